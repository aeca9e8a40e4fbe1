#pragma once

// A whole service in one thread on virtual time: two or three data regions and a witness that hosts the store. Real: the agents
// (src/agent, decide, act, observe) and the guard's decisions (src/guard/guard_core.h). Modelled: PostgreSQL, the network, the
// store's process, disks, clocks, the name server, clients that write all the time (docs/simulation.md).
//
// After every step the checker is told who could acknowledge a commit; what it says first stops the run.
// Thread rule: one thread; a world is a function of its options.

#include <deque>
#include <map>
#include <memory>
#include <string>

#include "config/settings.h"
#include "fakes/fake_evidence.h"
#include "fakes/fake_traffic.h"
#include "model/execution.h"
#include "simulation/checker.h"
#include "simulation/doors.h"

namespace lifeboat::simulation {

using testing::FakeServer;
using testing::ServerMode;

struct Options {
  std::uint64_t seed = 1;
  int data_regions = 2;
  bool gate = false;
  bool drift = true;  ///< clocks run up to 0.5 % apart
  bool trace = false;
  Duration length = std::chrono::seconds(3);
  Duration margin = std::chrono::milliseconds(150);
  /// Another length in the second data region's file.
  std::optional<Duration> other_length;
  Policy policy;
  Duration between_writes = std::chrono::milliseconds(20);  ///< of each region's client
  Duration disk = std::chrono::microseconds(200);
  Duration guard_lateness{0};  ///< the most by which a guard comes late
  Duration replication_delay = std::chrono::milliseconds(3);
  std::string bug;  ///< seeded, in a modelled part
};

/// What is to be known of an execution.
struct Seen {
  PlanKind kind = PlanKind::kFailover;
  ExecutionState state = ExecutionState::kRunning;
  Epoch epoch;
  std::string requested_by;
  std::string waiting_for;
  std::string owner_agent;
  RegionName source;
  RegionName target;
  std::map<std::string, StepState> steps;  ///< of which the store has had a word, and the last one
};

/// What executions have done to a server so far.
struct Acts {
  int promotions = 0;
  int stops = 0;
  int salvages = 0;
  int rebuilds = 0;
  friend bool operator==(const Acts&, const Acts&) = default;
};

struct RunOfAgent;

class World {
 public:
  explicit World(const Options& options);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  const Options options;
  VirtualTime time;
  Dice dice;
  Network network;
  Checker checker;
  testing::FakeServers servers{time};
  testing::FakeNameServer names;
  PeerHub hub;

  struct Machine {
    int place = 0;
    RegionName name;
    Settings settings;  ///< its own file
    std::unique_ptr<FakeClock> clock;
    FakeServer* server = nullptr;
    std::unique_ptr<GuardHost> guard;
    testing::FakeFiles files;
    std::vector<testing::FakeEvidence::Row> evidence;
    Duration disk{0};
    std::unique_ptr<RunOfAgent> run;
    int runs = 0;
    bool frozen = false;  ///< the whole machine
    bool agent_frozen = false;
    std::optional<Duration> freeze_at_route;  ///< the agent stands still for so long at its next change of the name
    std::uint64_t calls_left = 0;             ///< the agent is killed (or frozen) at this call to a door; 0: never
    bool freeze_at_call = false;
    std::uint64_t freezes = 0;
    std::optional<Instant> held_until;  ///< as the last run of its agent knew, when it was killed
    // judged
    bool open = false;
    int primaries = 0;  ///< times it became one
    Acts acts;
    std::uint64_t diverged = 0;
  };
  std::vector<std::unique_ptr<Machine>> machines;  ///< data regions, then the witness
  std::unique_ptr<StoreHost> store;

  [[nodiscard]] int data() const { return options.data_regions; }
  [[nodiscard]] int witness() const { return options.data_regions; }
  Machine& At(int place) { return *machines[static_cast<std::size_t>(place)]; }

  // ---- processes ----
  void StartAgent(int place);
  void KillAgent(int place);
  [[nodiscard]] bool AgentRuns(int place) { return At(place).run != nullptr; }
  /// The agent's process stands still for `d`.
  void FreezeAgent(int place, Duration d);
  /// Everything of the machine stands still, its clocks do not.
  void FreezeMachine(int place, Duration d);
  void ThawMachine(int place);
  void ThawAgent(int place);
  /// Kills (or freezes for a while) the agent at its n-th call to a door from now.
  void KillAtCall(int place, std::uint64_t n, bool freeze);
  void KillMachine(int place);
  /// Boot: new boot id, clocks from zero; supervisors start guard and agent.
  void StartMachine(int place, bool rebooted);
  void StartAll();
  /// A service manager starts the server, as it finds it.
  void SuperviseServer(int place);

  // ---- orders of a person ----
  void Order(int place, const std::string& method, Json parameters);

  // ---- looking ----
  [[nodiscard]] std::optional<LeaseItem> Item() const;
  [[nodiscard]] int PlaceOf(const RegionName& name) const;
  /// The region serves under the item, clients are sent there, and every other data region is a candidate.
  [[nodiscard]] bool Healthy(int place);
  /// One region serves, clients are sent there, and no execution is under way.
  [[nodiscard]] bool Serves();
  /// The rule that holds a region back, and what would unblock it; empty: none does.
  [[nodiscard]] std::string HeldBack(int place);
  [[nodiscard]] int RuleOf(int place);
  [[nodiscard]] bool Busy() const { return store->data.ValueOf("orders/current").has_value(); }
  [[nodiscard]] const std::map<std::string, Seen>& executions() const { return executions_; }
  [[nodiscard]] std::uint64_t failovers() const { return failovers_; }
  [[nodiscard]] std::uint64_t switchovers() const { return switchovers_; }
  [[nodiscard]] bool NobodyWrites() const;

  // ---- running ----
  /// @return false: it did not hold within `limit`, or a promise was broken
  bool RunUntil(const std::function<bool()>& holds, Duration limit);
  void RunFor(Duration d);
  [[nodiscard]] bool Broken() const { return checker.violation().has_value(); }

  // ---- telling ----
  void Note(const std::string& line);
  /// Nothing more is noted: what follows only repeats itself.
  void Mute() { muted_ = true; }
  [[nodiscard]] bool tracing() const { return options.trace; }
  [[nodiscard]] const std::deque<std::string>& trace() const { return trace_; }
  /// Where everything stands.
  [[nodiscard]] std::string Picture();
  /// A number that any difference in what happened would change.
  [[nodiscard]] std::uint64_t fingerprint() const { return fingerprint_; }

 private:
  friend struct RunOfAgent;
  void Judge();
  void JudgeServer(Machine& machine);
  void JudgeActs(Machine& machine);
  [[nodiscard]] bool HasWordOf(const RegionName& region, const std::string& step) const;
  void OnCommit(const Transaction& transaction);
  void NoteExecution(const std::string& key, const std::string& text);
  void NoteItem(const std::string& text);
  void Write(Machine& machine);
  void Flush(Machine& machine, std::uint64_t generation);
  void Point(Machine& machine);
  /// The agent is about to send an update to the name server.
  void Route(Machine& machine);

  std::vector<Dice> client_dice_;
  std::map<std::string, Seen> executions_;
  std::map<std::uint64_t, StatedLoss> stated_;  // by epoch
  std::string last_item_;
  std::uint64_t failovers_ = 0;
  std::uint64_t switchovers_ = 0;
  std::deque<std::string> trace_;
  bool muted_ = false;
  std::uint64_t fingerprint_ = 0;
};

}  // namespace lifeboat::simulation
