#pragma once

// What an agent reaches through a network that loses, delays and doubles: the other agents, the store, and, on its own
// machine, the guard and the disk. The far ends (StoreHost, GuardHost) outlive the agents that ask them.
//
// Each question is a message and each answer another; an answer that comes when nobody waits any more is dropped, a question
// that comes late is carried out late.
// Thread rule: the simulation's one thread.

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "fakes/fake_database.h"
#include "fakes/fake_files.h"
#include "fakes/fake_store.h"
#include "guard/guard_core.h"
#include "ports/files.h"
#include "ports/guard.h"
#include "ports/peers.h"
#include "simulation/network.h"

namespace lifeboat::simulation {

using testing::FakeClock;
using testing::VirtualTime;

/// A moment in a process's life at which it may be made to end or to stand still: each of its calls to a door.
using DoorPoint = std::function<void()>;

/// One answer that a process waits for. The waiting coroutine owns it; messages hold it weakly.
template <typename T>
struct Pending {
  explicit Pending(boost::asio::any_io_executor io) : timer(std::move(io), boost::asio::steady_timer::time_point::max()) {}
  void Give(T answer) {
    if (value) return;
    value = std::move(answer);
    timer.cancel();
  }
  boost::asio::steady_timer timer;
  std::optional<T> value;
};

template <typename T>
Task<std::optional<T>> AnswerOf(std::shared_ptr<Pending<T>> pending, VirtualTime& time, Duration due) {
  if (!pending->value && due > time.now()) co_await time.SleepUntil(due, pending->timer);
  co_return std::move(pending->value);
}

// ---- agents ----

class PeerHub {
 public:
  struct Process {
    boost::asio::io_context* context = nullptr;
    CallHandler handler;
    std::uint64_t life = 0;
  };
  PeerHub(VirtualTime& t, Network& n, Dice d, int places)
      : time(t), network(n), dice(d), processes(static_cast<std::size_t>(places)) {}
  VirtualTime& time;
  Network& network;
  Dice dice;
  std::vector<Process> processes;  ///< by place; no context: none runs
  std::vector<RegionName> names;
  double stale_answers = 0;  ///< an old answer comes again, in the place of a later one (datagrams)
  std::uint64_t stale_given = 0;
};

class SimPeers final : public Peers {
 public:
  SimPeers(int self, FakeClock& clock, PeerHub& hub, DoorPoint point)
      : self_(self), clock_(clock), hub_(hub), point_(std::move(point)) {}
  Task<Result<Json>> Call(RegionName region, std::string method, Json parameters, Duration timeout, Lane lane) override;

 private:
  const int self_;
  FakeClock& clock_;
  PeerHub& hub_;
  DoorPoint point_;
  std::map<int, Json> old_answers_;
};

// ---- the store ----

/// The store's process, where it runs, and its disk.
class StoreHost {
 public:
  StoreHost(VirtualTime& time, Network& network, int place, const Duration& disk)
      : time_(time), network_(network), place_(place), disk_(disk) {}

  testing::FakeStoreServer data;
  std::function<void(const Transaction&)> on_commit;
  /// The agent's seeded bugs reach the store: an extension that compares nothing.
  bool compare_nothing = false;
  /// A restart forgets that it forgot: no new incarnation.
  bool same_incarnation = false;

  [[nodiscard]] bool up() const { return up_; }
  void Start();
  void Stop();
  void Freeze() { frozen_ = true; }
  void Thaw();
  /// Somebody puts an old copy of its file in its place; it must be stopped.
  void RestoreFrom(const testing::FakeStoreServer& copy) { data = copy; }
  [[nodiscard]] int place() const { return place_; }

 private:
  friend class SimStore;
  struct Watcher {
    std::uint64_t id;
    std::string prefix;
    Version after;
    Incarnation incarnation;
    std::function<void(Result<Reading>)> answer;
  };
  /// Carries out `work` when the store gets to it; `refused` where nothing listens.
  void Arrive(std::function<void()> work, const std::function<void()>& refused);
  void Notify();

  VirtualTime& time_;
  Network& network_;
  const int place_;
  const Duration& disk_;
  bool up_ = false;
  bool frozen_ = false;
  std::uint64_t life_ = 0;
  std::uint64_t next_watcher_ = 0;
  std::vector<Watcher> watchers_;
  std::vector<std::function<void()>> waiting_;  // frozen
};

class SimStore final : public Store {
 public:
  SimStore(int self, FakeClock& clock, VirtualTime& time, Network& network, StoreHost& host, DoorPoint point)
      : self_(self), clock_(clock), time_(time), network_(network), host_(host), point_(std::move(point)) {}
  Task<Result<Reading>> Read(std::string prefix, Duration timeout) override;
  Task<Result<TransactionResult>> Commit(Transaction transaction, Duration timeout) override;
  Task<Result<Reading>> Watch(std::string prefix, Version after, Incarnation incarnation, Duration timeout) override;

 private:
  const int self_;
  FakeClock& clock_;
  VirtualTime& time_;
  Network& network_;
  StoreHost& host_;
  DoorPoint point_;
};

// ---- the guard ----

/// The guard's process with the real decisions, the gate's file, and what it keeps on disk.
class GuardHost {
 public:
  GuardHost(VirtualTime& time, FakeClock& clock, testing::FakeServer& server, const Duration& disk, bool gate);
  ~GuardHost() { Die(); }

  void Live();
  void Die();
  void Freeze();
  void Thaw();
  /// With its machine: files of this boot are gone.
  void Reboot();
  [[nodiscard]] bool alive() const { return context_ != nullptr; }

  /// How late it comes to kill: scheduling, a busy machine. Below lease.margin unless something is wrong.
  Duration lateness{0};
  bool fences = true;       ///< seeded: it kills and leaves the server to whoever restarts it
  bool gate_fails = false;  ///< the module is not loaded by the server that runs now

  /// Whether a commit passes now: by the gate's file alone, whoever is dead.
  [[nodiscard]] bool GateIsOpen() const;
  /// The last permission that was granted: until when its region may commit, and under which epoch.
  [[nodiscard]] const std::optional<Permission>& granted() const { return granted_; }
  [[nodiscard]] std::uint64_t kills() const { return kills_; }

 private:
  friend class SimGuard;
  void Ask(std::function<void()> question);
  void Permit(Permission permission, std::function<void(GuardAnswer)> answer);
  Task<> Loop();
  void WriteGate();
  [[nodiscard]] ServerVerdict Verdict() const;

  VirtualTime& time_;
  FakeClock& clock_;
  testing::FakeServer& server_;
  const Duration& disk_;
  const bool gate_;
  // on disk, and in tmpfs
  Epoch recorded_;
  Epoch closed_;
  std::optional<Permission> kept_;
  std::optional<Permission> gate_file_;
  int gate_boot_ = 0;
  // of the process
  std::unique_ptr<boost::asio::io_context> context_;
  std::unique_ptr<boost::asio::steady_timer> bell_;
  std::unique_ptr<GuardCore> core_;
  std::uint64_t life_ = 0;
  bool rung_ = false;
  bool frozen_ = false;
  std::vector<std::function<void()>> waiting_;
  std::optional<Permission> granted_;
  std::uint64_t kills_ = 0;
};

class SimGuard final : public Guard {
 public:
  SimGuard(VirtualTime& time, FakeClock& clock, GuardHost& host, DoorPoint point)
      : time_(time), clock_(clock), host_(host), point_(std::move(point)) {}
  Task<Result<Unit>> Permit(Epoch epoch, Instant deadline, Duration length, Duration timeout) override;
  Task<Result<Unit>> Forbid(Epoch epoch, Duration timeout) override;
  Task<Result<Unit>> Close(Epoch epoch, Duration timeout) override;
  Task<Result<Unit>> Hold(Epoch, Duration) override { co_return Refused("this guard acts"); }
  Task<GuardState> Look(Duration timeout) override;

 private:
  VirtualTime& time_;
  FakeClock& clock_;
  GuardHost& host_;
  DoorPoint point_;
};

// ---- the disk ----

/// The agent's small files: written when the disk has written them, not at all when the process ends before.
class SimFiles final : public Files {
 public:
  SimFiles(FakeClock& clock, testing::FakeFiles& disk, const Duration& delay, DoorPoint point)
      : clock_(clock), disk_(disk), delay_(delay), point_(std::move(point)) {}
  Task<Result<Unit>> Write(std::string path, std::string content) override;
  Task<Result<std::string>> Read(std::string path) override { return disk_.Read(std::move(path)); }
  Task<Result<Unit>> Remove(std::string path) override { return disk_.Remove(std::move(path)); }

 private:
  FakeClock& clock_;
  testing::FakeFiles& disk_;
  const Duration& delay_;
  DoorPoint point_;
};

}  // namespace lifeboat::simulation
