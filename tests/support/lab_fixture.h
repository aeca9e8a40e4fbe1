#pragma once

// A real lab for scenario tests: three regions with real PostgreSQL, Knot DNS, guards and agents of the real program, in a
// temporary folder of its own, always taken down; where a test fails, the last lines of every log stand in its output.
//
// A story is: BringUp, StartClients, something bad, what has to be seen, Conclude. Conclude is the same for all: the service is
// whole, no acknowledged row is missing unless the ledger names it, never two writers, and no execution hangs. Several stories can
// be told on one lab: Conclude ends the clients, and StartClients begins with new ones.
//
// Thread rule: one thread; everything blocks.

#include <gtest/gtest.h>
#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lab/accounting.h"
#include "lab/agents.h"
#include "lab/client_group.h"
#include "lab/lab.h"
#include "lab/sql.h"

namespace lifeboat::testing_support {

inline constexpr const char* kEast = "us-east-1";     ///< the first primary
inline constexpr const char* kWest = "us-west-2";     ///< the first standby
inline constexpr const char* kWitness = "eu-west-1";  ///< store and name server

/// What the command line said.
struct CliAnswer {
  int exit_code = 0;
  std::string out;
  std::string err;
  [[nodiscard]] Json Parsed() const;  ///< of `out`; null where it is no JSON
};

class LabFixture : public testing::Test {
 protected:
  /// Changes lifeboat.yaml (and whatever else lies in the folder) before any agent is started.
  using Edit = std::function<void(const lab::LabInfo& lab, std::string& config)>;

  ~LabFixture() override;
  void TearDown() override;

  /// Lease 1 s: a story that is not about time is quick.
  [[nodiscard]] static lab::LabKnobs Quick();
  /// Builds the lab, starts it and waits until the service is whole. Call it within ASSERT_NO_FATAL_FAILURE.
  void BringUp(lab::LabKnobs knobs = Quick(), const Edit& edit = {});

  /// Where BringUp places the regions.
  lab::LabPlace place_ = lab::LabPlace::kLoopback;

  [[nodiscard]] const lab::LabInfo& lab() const { return lab_; }
  [[nodiscard]] std::string AddressOf(const std::string& region) const { return lab_.Find(region)->address; }
  [[nodiscard]] static std::string Other(const std::string& region) { return region == kEast ? kWest : kEast; }

  // ---- looking ----

  /// Looks until `holds`. @return false: it did not within `limit`
  static bool Eventually(const std::function<bool()>& holds, Duration limit = 30s, Duration every = 10ms);
  /// The status as one region's agent has it; null: it does not answer.
  [[nodiscard]] Json StatusOf(const std::string& region) const;
  [[nodiscard]] Json Ask(const std::string& region, const std::string& method, const Json& parameters = Json::object()) const;
  /// Rule that decides at a region now; 0: its agent does not answer.
  [[nodiscard]] int RuleAt(const std::string& region) const;
  [[nodiscard]] std::string Holder() const;
  /// Epoch of the lease item as `region` (its agent) knows it; 0: unknown.
  [[nodiscard]] std::uint64_t EpochSeenBy(const std::string& region) const;
  void AwaitWhole(Duration limit = 60s);
  /// The newest execution of a kind that began at `since` or later, asked at `region`, which knows what runs there best.
  [[nodiscard]] std::optional<Execution> NewestExecution(PlanKind kind, WallTime since, const std::string& region) const;
  /// An execution as `region` has it now.
  [[nodiscard]] std::optional<Execution> Show(const ExecutionId& id, const std::string& region) const;
  /// Waits until an execution has ended, whichever way.
  [[nodiscard]] std::optional<Execution> AwaitEnded(const ExecutionId& id, Duration limit = 60s) const;

  /// The pid of "agent", "guard", "knot", "supervisor" or "postmaster"; 0: it does not run.
  [[nodiscard]] pid_t PidOf(const std::string& region, const std::string& part) const;
  /// Text of a log beneath the region's folder ("agent", "guard", "supervisor", "postgresql", "knot").
  [[nodiscard]] std::string LogOf(const std::string& region, const std::string& log) const;
  /// True when a log line written since `from` (a size of LogOf) holds `text`.
  [[nodiscard]] bool LogHas(const std::string& region, const std::string& log, const std::string& text, std::size_t from = 0) const;
  /// SQL as superuser, over TCP.
  [[nodiscard]] Result<lab::Rows> Sql(const std::string& region, const std::string& sql) const;
  /// True when the region's server takes a write at this moment. Tries one, in a table of its own.
  [[nodiscard]] bool TakesWrites(const std::string& region) const;
  /// The program with `arguments` and this lab's configuration.
  [[nodiscard]] CliAnswer Cli(std::vector<std::string> arguments, Duration timeout = 60s) const;

  // ---- doing ----

  /// Kills every process of a region at one instant and remembers the fault for Conclude.
  lab::KillReport KillRegion(const std::string& region);
  /// SIGKILL to one part (lab::Kill); "database" is all of a server's processes.
  void KillPart(const std::string& region, const std::string& part);
  void SignalPart(const std::string& region, const std::string& part, int signal);
  /// Starts the region's supervisor.
  void StartRegion(const std::string& region);
  /// The faults of lab/lab.h; a lab on the network has them all.
  lab::CutReport Cut(const std::string& a, const std::string& b = {}, bool one_way = false);
  void Heal(const std::string& a = {}, const std::string& b = {});
  lab::KillReport Freeze(const std::string& region, const std::string& part = {});
  void Thaw();
  /// Remembers that `region` was the primary and lost the service at about this moment, possibly with rows that the
  /// ledger must then name.
  void NoteFault(const std::string& region);
  /// Rejoins a region, waits until the service is whole, and takes the ledger's count for Conclude.
  Execution Rejoin(const std::string& region);
  Execution SwitchOver(const std::string& to);
  /// Orders a switchover and does not wait for it. What an agent that has just begun cannot do yet is asked again.
  ExecutionId OrderSwitchover(const std::string& to);
  /// What an operator does after a bad day: whatever says that it must be rejoined is rejoined, until the service is whole.
  void Mend(Duration limit = 90s);
  /// Looks at what runs at `region` as fast as it can until `moment` holds, then SIGKILLs `part` of `victim`.
  /// @return the execution as it was seen then; nothing: no such moment within `limit`, and nothing was killed
  std::optional<Execution> KillAt(const std::string& region, const std::function<bool(const Execution&)>& moment,
                                  const std::string& victim, const std::string& part, Duration limit = 20s);

  // ---- clients ----

  /// `fresh` clients that write all the while.
  void StartClients(int count = 2);
  /// Each client has `more` further rows acknowledged.
  void AwaitRows(std::uint64_t more = 20, Duration limit = 30s);
  /// Each client has a row acknowledged by `region` that ended after this call.
  void AwaitRowsOn(const std::string& region, Duration limit = 30s);
  [[nodiscard]] std::uint64_t RowsAcknowledged() const { return clients_ ? clients_->Acknowledged() : 0; }
  /// The longest time without an acknowledgement since `since_ns` (CLOCK_MONOTONIC), of any client.
  [[nodiscard]] Duration LongestGap(std::int64_t since_ns) const;

  /// Waits until the service is whole and nothing runs, ends the clients and checks every promise that can be checked.
  void Conclude(Duration limit = 60s);

 private:
  struct Fault {
    std::string region;
    lab::FailoverFault account;
  };
  void SaySoOnFailure() const;
  void CheckRows(const std::vector<lab::ClientRecord>& records, const std::string& holder) const;
  void CheckOneWriter(const std::vector<lab::ClientRecord>& records) const;

  std::filesystem::path folder_;
  lab::LabInfo lab_;
  bool built_ = false;
  std::unique_ptr<lab::ClientGroup> clients_;
  int clients_so_far_ = 0;
  WallTime clients_since_;
  std::vector<Fault> faults_;
};

/// A lab whose regions live in network namespaces. It needs root, and says so by failing: a test that is passed over shows nothing.
class NetworkLab : public LabFixture {
 protected:
  void SetUp() override;
};

/// True when the step was begun (its intent is journaled, or it is done).
[[nodiscard]] bool HasBegun(const Execution& execution, const std::string& step);

/// The servers that acknowledged rows, in order, each once a reign: the fewest reigns that explain the records. A row whose
/// commit may lie in the reign before does not begin a new one.
[[nodiscard]] std::vector<std::string> ReignsIn(const std::vector<lab::ClientRecord>& records);

}  // namespace lifeboat::testing_support
