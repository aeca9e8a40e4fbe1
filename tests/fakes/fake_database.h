#pragma once

// PostgreSQL servers as the failover sees them: a data directory (system id, timelines, WAL, standby.signal), processes
// that outlive whoever started them, streaming between them, and a door for each region's agent.
//
// What holds here holds there: a start comes up as a standby exactly when standby.signal stands in the data directory;
// a standby streams only from a server whose WAL its own is a prefix of; promotion removes standby.signal and begins a
// timeline; backends can outlive their postmaster and commit; pg_control shows a new timeline only after a checkpoint.
// FakeServers::Check() throws when two servers can commit at one moment.

#include <boost/asio/detached.hpp>
#include <map>
#include <set>
#include <stdexcept>

#include "fakes/virtual_time.h"
#include "model/control_state.h"
#include "ports/bell.h"
#include "ports/database.h"

namespace lifeboat::testing {

/// One record of WAL. `id` is unique in the world: two histories are compared by it.
struct WalEntry {
  std::uint64_t id = 0;
  Lsn end;
  Timeline timeline = 1;
  std::string kind;  ///< "row", "heartbeat", "mark", "schema", "checkpoint"
  Epoch epoch;
  std::uint64_t sequence = 0;
  std::string text;
  Duration at{};
};

enum class ServerMode { kDown, kStarting, kPrimary, kStandby };

struct ServerTimes {
  Duration query = 1ms;
  Duration start = 300ms;
  Duration stop = 60ms;
  Duration promote = 40ms;
  Duration copy = 2s;
};

class FakeServers;

class FakeServer {
 public:
  FakeServer(FakeServers& w, RegionName name, std::string address) : region(std::move(name)), host(std::move(address)), world_(w) {}

  const RegionName region;
  const std::string host;
  ServerTimes times;

  // ---- the data directory ----
  bool has_data = false;
  SystemId system_id;
  Timeline timeline = 1;
  Timeline control_timeline = 1;  ///< what pg_control says: behind until a checkpoint
  std::map<Timeline, Lsn> forks;
  std::vector<WalEntry> wal;
  bool fence = false;  ///< standby.signal
  std::string cluster_state = "shut down";

  // ---- processes ----
  ServerMode mode = ServerMode::kDown;
  bool writable_start = false;  ///< kStarting: it will come up as a primary
  bool stopping = false;        ///< shutting down: no client is served, standbys are
  bool strays_unseen = false;   ///< seeded: nobody looks for backends that outlived their postmaster
  bool strays = false;          ///< backends of a primary outlived their postmaster
  std::string upstream;         ///< host
  bool receiving = false;       ///< the link to the upstream was not dropped
  bool replay_paused = false;
  std::size_t replayed = 0;  ///< entries

  // ---- faults ----
  bool start_fails = false;
  bool rewind_fails = false;
  bool control_unreadable = false;
  bool forgets_signs = false;    ///< the WAL in which its timelines begin has been recycled
  bool hung = false;             ///< answers no query
  Duration client_delay{0};      ///< how much longer a client's commit takes
  bool refuses_clients = false;  ///< clients get errors, while agents and standbys are served
  bool frozen = false;           ///< its whole machine stands still: nothing of it runs, its processes are there
  /// The gate in the server (docs/lease.md section 6): whether a commit passes at this moment. None: no gate is loaded.
  std::function<bool()> gate_is_open;

  // ---- what happened, for judging ----
  int promotions = 0;
  int starts_as_primary = 0;
  int stops = 0;
  int rewinds = 0;
  int copies = 0;
  int salvages = 0;
  bool unsaved_loss = false;  ///< divergent WAL was destroyed unsaved (G4)
  std::set<std::uint64_t> saved_ids;
  std::optional<Divergence> last_saved;  ///< the newest of its ledger

  [[nodiscard]] bool PostmasterRuns() const { return mode != ServerMode::kDown; }
  [[nodiscard]] bool ProcessesLive() const { return PostmasterRuns() || (strays && !strays_unseen); }
  [[nodiscard]] bool AcceptsCommits() const { return ((mode == ServerMode::kPrimary && !stopping) || strays) && !frozen; }
  /// A client that asked now would get its commit, and the word that it has it.
  [[nodiscard]] bool CanCommit() const { return AcceptsCommits() && (!gate_is_open || gate_is_open()); }
  [[nodiscard]] bool IsStandbyRunning() const { return mode == ServerMode::kStandby; }
  [[nodiscard]] Lsn End() const { return wal.empty() ? Lsn{0x3000000} : wal.back().end; }
  [[nodiscard]] Lsn Replayed() const { return replayed == 0 ? Lsn{0x3000000} : wal[replayed - 1].end; }
  [[nodiscard]] bool Streams() const;
  [[nodiscard]] bool FollowsHistoryOf(const FakeServer& other) const {
    if (wal.size() > other.wal.size() || system_id != other.system_id) return false;
    return wal.empty() || wal.back().id == other.wal[wal.size() - 1].id;
  }

  /// A row that a client committed. @return false: it does not accept writes
  bool Commit(const std::string& kind, Epoch epoch = {}, std::uint64_t sequence = 0, const std::string& text = {});
  /// WAL that no gate looks at: of the server itself, or of a commit that passed the gate before.
  const WalEntry& Append(const std::string& kind, Epoch epoch = {}, std::uint64_t sequence = 0, const std::string& text = {});
  void Started(bool as_primary);
  /// SIGKILL to everything, or to the postmaster alone while its backends go on.
  void Kill(bool postmaster_only = false) {
    if (postmaster_only)
      strays = strays || mode == ServerMode::kPrimary;
    else
      strays = strays && strays_unseen;
    if (mode == ServerMode::kPrimary) cluster_state = "in production";
    mode = ServerMode::kDown;
    stopping = false;
    ++generation;
    Changed();
  }
  void Changed() {
    if (door_bell) door_bell->Ring();
  }

  std::uint64_t generation = 0;  ///< one more whenever processes end: what was under way has failed
  Bell* door_bell = nullptr;     ///< of the agent's process that watches, if one does
  FakeServers& world() { return world_; }

 private:
  FakeServers& world_;
};

/// All servers of the service, and the network between them.
class FakeServers {
 public:
  explicit FakeServers(VirtualTime& time) : time_(time) { time_.Attach(processes_); }
  ~FakeServers() { time_.Detach(processes_); }

  VirtualTime& time() { return time_; }
  /// Where servers' own doings run: they go on when the agent that asked has died.
  boost::asio::io_context& processes() { return processes_; }

  FakeServer& Add(const std::string& region, const std::string& host) {
    return *servers_.emplace_back(std::make_unique<FakeServer>(*this, RegionName(region), host));
  }
  [[nodiscard]] FakeServer* ByHost(const std::string& host) {
    for (auto& server : servers_) {
      if (server->host == host) return server.get();
    }
    return nullptr;
  }
  [[nodiscard]] FakeServer* ByRegion(const RegionName& region) {
    for (auto& server : servers_) {
      if (server->region == region) return server.get();
    }
    return nullptr;
  }
  [[nodiscard]] const std::vector<std::unique_ptr<FakeServer>>& all() const { return servers_; }

  /// A service manager starts it, as its data directory stands.
  void StartByServiceManager(FakeServer& server) {
    if (server.ProcessesLive() || !server.has_data) return;
    server.mode = ServerMode::kStarting;
    server.writable_start = !server.fence;
    boost::asio::co_spawn(processes_, StartServer(server, server.generation, !server.fence), boost::asio::detached);
  }
  static Task<> StartServer(FakeServer& server, std::uint64_t generation, bool as_primary) {
    co_await server.world().Work(server, server.times.start);
    if (server.generation != generation || server.mode != ServerMode::kStarting) co_return;
    if (server.start_fails)
      server.Kill();
    else
      server.Started(as_primary);
  }

  /// Nobody who streams from it lacks anything.
  bool StandbysHaveAll(const FakeServer& from) {
    Replicate();
    for (const auto& standby : servers_) {
      if (standby->Streams() && standby->upstream == from.host && standby->wal.size() < from.wal.size()) return false;
    }
    return true;
  }
  /// Time that a server's own doings take; a machine that stands still takes longer.
  Task<> Work(FakeServer& server, Duration d) {
    co_await time_.SleepUntil(time_.now() + d);
    while (server.frozen) co_await time_.SleepUntil(time_.now() + 5ms);
  }

  /// initdb, and a copy of it for each of the others, as standbys of the first. Nothing runs yet.
  void Seed(const std::string& system_id = "7001") {
    for (auto& server : servers_) {
      server->has_data = true;
      server->system_id = SystemId(system_id);
      server->fence = true;
      server->upstream = server.get() == servers_.front().get() ? "" : servers_.front()->host;
    }
  }

  std::function<bool(const RegionName&, const RegionName&)> reachable = [](const RegionName&, const RegionName&) { return true; };
  Duration replication_delay{0};
  std::uint64_t next_id = 1;

  /// WAL flows to every standby that streams. @return when more will flow by itself
  void Replicate() {
    for (auto& standby : servers_) {
      if (!standby->Streams()) continue;
      FakeServer& from = *ByHost(standby->upstream);
      while (standby->wal.size() < from.wal.size()) {
        const WalEntry& next = from.wal[standby->wal.size()];
        if (next.at + replication_delay > time_.now()) break;
        standby->wal.push_back(next);
        standby->timeline = std::max(standby->timeline, next.timeline);
        standby->forks = from.forks;
      }
      if (standby->wal.size() == from.wal.size()) standby->timeline = from.timeline, standby->forks = from.forks;
      if (!standby->replay_paused) standby->replayed = standby->wal.size();
    }
  }

  /// G1: never two that can commit.
  void Check() const {
    std::string who;
    int count = 0;
    for (const auto& server : servers_) {
      if (!server->CanCommit()) continue;
      ++count;
      who += " " + server->region.text;
    }
    if (count > 1) throw std::runtime_error("two servers can commit at " + std::to_string(Seconds(time_.now())) + " s:" + who);
  }

 private:
  VirtualTime& time_;
  boost::asio::io_context processes_;
  std::vector<std::unique_ptr<FakeServer>> servers_;
};

inline bool FakeServer::Streams() const {
  if (mode != ServerMode::kStandby || !receiving || upstream.empty()) return false;
  const FakeServer* from = world_.ByHost(upstream);
  if (!from || from == this || frozen || from->frozen) return false;
  if (from->mode != ServerMode::kPrimary && from->mode != ServerMode::kStandby) return false;
  return world_.reachable(region, from->region) && FollowsHistoryOf(*from);
}

inline bool FakeServer::Commit(const std::string& kind, Epoch epoch, std::uint64_t sequence, const std::string& text) {
  if (!CanCommit()) return false;
  Append(kind, epoch, sequence, text);
  return true;
}

inline const WalEntry& FakeServer::Append(const std::string& kind, Epoch epoch, std::uint64_t sequence, const std::string& text) {
  wal.push_back({world_.next_id++, {End().bytes + 0x100}, timeline, kind, epoch, sequence, text, world_.time().now()});
  replayed = wal.size();
  return wal.back();
}

inline void FakeServer::Started(bool as_primary) {
  mode = as_primary ? ServerMode::kPrimary : ServerMode::kStandby;
  cluster_state = as_primary ? "in production" : "in archive recovery";
  replayed = wal.size();
  if (as_primary) {
    ++starts_as_primary;
    control_timeline = timeline;
  } else {
    receiving = true;
  }
  Changed();
}

/// One agent's door to its own server.
class FakeDatabase final : public Database {
 public:
  FakeDatabase(boost::asio::any_io_executor io, Clock& clock, FakeServer& server)
      : clock_(clock), server_(server), bell_(std::move(io)) {
    server_.door_bell = &bell_;
  }
  ~FakeDatabase() override {
    if (server_.door_bell == &bell_) server_.door_bell = nullptr;
  }

  Task<DatabaseState> Observe(Duration timeout) override {
    co_await clock_.Sleep(server_.hung || server_.frozen ? timeout : server_.times.query);
    DatabaseState state;
    state.process_alive = server_.ProcessesLive();
    const bool answers =
        !server_.hung && !server_.frozen && (server_.mode == ServerMode::kPrimary || server_.mode == ServerMode::kStandby);
    if (!answers) {
      state.problem = server_.mode == ServerMode::kStarting ? "the database system is starting up"
                      : server_.hung                        ? "no answer in time"
                                                            : "connection refused";
      co_return state;
    }
    state.accepting = true;
    state.in_recovery = server_.mode == ServerMode::kStandby;
    state.system_id = server_.system_id;
    state.timeline = server_.timeline;
    state.flushed = server_.End();
    if (*state.in_recovery) {
      state.replayed = server_.Replayed();
      if (server_.Streams()) state.upstream = server_.upstream;
    } else {
      for (const auto& other : server_.world().all()) {
        if (other->Streams() && other->upstream == server_.host)
          state.standbys.push_back({other->region.text, "streaming", other->End(), other->Replayed()});
      }
    }
    state.wal_retrieve_retry_interval = "100ms";
    state.wal_level = "replica";
    co_return state;
  }

  Task<Result<Lsn>> FlushedPosition(Duration timeout) override {
    co_await clock_.Sleep(server_.hung || server_.frozen ? timeout : server_.times.query);
    if (server_.hung || server_.frozen || server_.mode != ServerMode::kPrimary)
      co_return RetryLater("the database does not answer");
    co_return server_.End();
  }

  Task<> WaitForExit() override {
    while (server_.PostmasterRuns()) co_await bell_.Wait();
  }

  Task<Result<ControlData>> ReadControl() override {
    if (!server_.has_data) co_return NotFound("there is no data directory");
    if (server_.control_unreadable) co_return Fail("pg_controldata did not end in time");
    ControlData control;
    control.system_id = server_.system_id;
    control.cluster_state = server_.cluster_state;
    // As the real door: the newest timeline of which WAL is here, which pg_control names only after a checkpoint.
    control.timeline = server_.control_timeline;
    if (!server_.wal.empty()) control.timeline = std::max(control.timeline, server_.wal.back().timeline);
    control.checkpoint = control.redo = Lsn{0x3000000};
    co_return control;
  }

  Task<Result<bool>> HasFence() override { co_return server_.fence; }

  Task<Result<Lsn>> EndOfWal(Timeline timeline, Lsn, Duration) override {
    if (server_.ProcessesLive()) co_return Refused("the server runs");
    Lsn end{0x3000000};
    for (const WalEntry& entry : server_.wal) {
      if (entry.timeline <= timeline) end = entry.end;
    }
    co_return end;
  }

  Task<Result<PromotionMark>> ReadPromotionMark(Duration) override {
    co_await clock_.Sleep(server_.times.query);
    if (!server_.PostmasterRuns()) co_return RetryLater("the database does not answer");
    for (std::size_t at = server_.replayed; at-- > 0;) {
      const WalEntry& entry = server_.wal[at];
      const auto space = entry.text.find(' ');
      if (entry.kind == "mark")
        co_return PromotionMark{entry.epoch, entry.text.substr(0, space), RegionName(entry.text.substr(space + 1))};
    }
    co_return NotFound("no promotion mark yet");
  }

  Task<Result<PromotionMark>> ReadPromotionMarkOf(Epoch epoch, Duration) override {
    co_await clock_.Sleep(server_.times.query);
    if (!server_.PostmasterRuns()) co_return RetryLater("the database does not answer");
    for (std::size_t at = 0; at < server_.replayed; ++at) {
      const WalEntry& entry = server_.wal[at];
      const auto space = entry.text.find(' ');
      if (entry.kind == "mark" && entry.epoch == epoch)
        co_return PromotionMark{entry.epoch, entry.text.substr(0, space), RegionName(entry.text.substr(space + 1))};
    }
    co_return NotFound("no promotion of epoch " + std::to_string(epoch.number) + " is marked");
  }

  Task<Result<std::string>> SignOf(Timeline timeline, Duration) override {
    if (server_.forgets_signs) co_return NotFound("that WAL is not here any more");
    for (const WalEntry& entry : server_.wal) {
      if (timeline > 1 && entry.timeline == timeline) co_return std::to_string(entry.id);
    }
    co_return NotFound("timeline " + std::to_string(timeline) + " has no WAL here");
  }

  Task<Result<Lsn>> ForkOf(Timeline timeline, Duration) override {
    const auto found = server_.forks.find(timeline);
    if (found == server_.forks.end()) co_return NotFound("timeline " + std::to_string(timeline) + " has no history");
    co_return found->second;
  }

  Task<Result<Unit>> Fence() override {
    co_await clock_.Sleep(1ms);
    server_.fence = true;
    co_return Done();
  }

  Task<Result<Unit>> KillAll(Duration) override {
    server_.Kill();
    co_await clock_.Sleep(2ms);
    if (server_.ProcessesLive()) co_return RetryLater("processes of the database are still there");
    co_return Done();
  }

  Task<Result<ShutdownToken>> StopCleanly(Duration timeout) override {
    server_.fence = true;
    if (server_.mode == ServerMode::kPrimary) {
      ++server_.stops;
      Spawn(ShutDown(server_, server_.generation, clock_));
    } else if (server_.PostmasterRuns()) {
      co_return Refused("it does not run as a primary");
    }
    const auto until = clock_.Now() + timeout;
    while (server_.PostmasterRuns()) {
      const Duration left = TimeLeft(until, clock_.Now());
      if (left <= 0ns) co_return UnknownOutcome("it did not stop in time");
      co_await bell_.WaitFor(clock_, left);
    }
    if (server_.cluster_state != "shut down") co_return Refused("it was not shut down cleanly: '" + server_.cluster_state + "'");
    co_return ShutdownToken{server_.system_id, server_.timeline, server_.wal.empty() ? Lsn{0x3000000} : server_.wal.back().end,
                            server_.End()};
  }

  Task<Result<Unit>> StartPrimary(Duration timeout) override {
    if (server_.mode == ServerMode::kPrimary) co_return Done();
    if (server_.ProcessesLive()) co_return Refused("processes of the database are alive");
    if (server_.cluster_state == kHalfRewound) co_return Refused("a rewind of it was interrupted");
    // A copy that last ran as a standby is started as one and promoted: only so does it begin a timeline of its own.
    if (server_.cluster_state == "in archive recovery") {
      const Instant began = clock_.Now();
      auto started = co_await Start(timeout);
      if (!started.ok()) co_return started;
      server_.receiving = false;
      auto promoted = co_await Promote(timeout - AgeAt(began, clock_.Now()));
      if (!promoted.ok()) co_return promoted.error();
      co_return Done();
    }
    server_.fence = false;
    co_await clock_.Sleep(1ms);
    auto started = co_await Start(timeout);
    if (!started.ok()) co_return started;
    if (server_.mode != ServerMode::kPrimary) co_return RetryLater("it came up as a standby");
    server_.fence = true;
    co_return Done();
  }

  Task<Result<Unit>> StartStandby(Upstream upstream, Duration timeout) override {
    if (server_.mode == ServerMode::kPrimary || server_.strays) co_return Refused("a primary runs here");
    if (!server_.has_data) co_return Fail("there is no data directory");
    if (server_.cluster_state == kHalfRewound) co_return Refused("a rewind of it was interrupted");
    server_.fence = true;
    server_.upstream = upstream.address.host;
    co_await clock_.Sleep(1ms);
    if (server_.mode == ServerMode::kStandby) {
      server_.receiving = true;
      co_return Done();
    }
    co_return co_await Start(timeout);
  }

  Task<Result<Lsn>> StopReceiving(Duration) override {
    co_await clock_.Sleep(server_.times.query);
    if (server_.mode != ServerMode::kStandby) co_return RetryLater("it is not a running standby");
    server_.receiving = false;
    co_return server_.End();
  }

  Task<Result<Lsn>> Promote(Duration timeout) override {
    if (server_.mode == ServerMode::kPrimary) {
      const auto fork = server_.forks.find(server_.timeline);
      server_.fence = true;
      co_return fork == server_.forks.end() ? server_.End() : fork->second;
    }
    if (server_.mode != ServerMode::kStandby) co_return RetryLater("it is not a running standby");
    Spawn(PromoteServer(server_, server_.generation, clock_));
    const auto until = clock_.Now() + timeout;
    const std::uint64_t generation = server_.generation;
    while (server_.mode != ServerMode::kPrimary) {
      const Duration left = TimeLeft(until, clock_.Now());
      if (left <= 0ns || server_.generation != generation) co_return UnknownOutcome("the promotion did not end in time");
      co_await bell_.WaitFor(clock_, left);
    }
    co_await clock_.Sleep(1ms);
    server_.fence = true;
    co_return server_.forks.at(server_.timeline);
  }

  Task<Result<Unit>> EnsureSchema(Duration) override { co_return co_await Write("schema", {}, 0, {}, true); }
  Task<Result<Unit>> WritePromotionMark(PromotionMark mark, Duration) override {
    co_return co_await Write("mark", mark.epoch, 0, mark.uuid + " " + mark.region.text, false);
  }
  Task<Result<std::uint64_t>> WriteHeartbeat(Epoch epoch, RegionName region, Duration) override {
    const std::uint64_t sequence = std::max(NewestHeartbeat() + 1, epoch.number << 32U);
    auto done = co_await Write("heartbeat", epoch, sequence, region.text, false);
    if (!done.ok()) co_return done.error();
    co_return sequence;
  }
  Task<Result<std::uint64_t>> ReadHeartbeat(Duration) override {
    co_await clock_.Sleep(server_.times.query);
    if (!server_.PostmasterRuns()) co_return RetryLater("the database does not answer");
    const std::uint64_t newest = NewestHeartbeat();
    if (newest == 0) co_return NotFound("there is no heartbeat yet");
    co_return newest;
  }
  Task<Result<Unit>> Checkpoint(Duration) override {
    co_await clock_.Sleep(server_.times.query);
    if (!server_.PostmasterRuns()) co_return RetryLater("the database does not answer");
    server_.control_timeline = server_.timeline;
    co_return Done();
  }
  std::vector<RegionName> slots;
  Task<Result<Unit>> EnsureSlots(std::vector<RegionName> regions, Duration) override {
    slots = std::move(regions);
    co_return Done();
  }

  Task<Result<Divergence>> SaveDivergence(Timeline, Lsn fork, std::string folder, Duration) override {
    if (server_.ProcessesLive()) co_return Refused("the server runs");
    co_await clock_.Sleep(20ms);
    if (server_.cluster_state == kHalfRewound) {
      if (!server_.last_saved) co_return Fail("a rewind was interrupted, and nothing saved before it is found");
      co_return *server_.last_saved;
    }
    Divergence divergence;
    divergence.fork = divergence.end = fork;
    for (const WalEntry& entry : server_.wal) {
      if (entry.end <= fork) continue;
      divergence.end = entry.end;
      ++divergence.commits;
      server_.saved_ids.insert(entry.id);
    }
    if (divergence.Diverged()) divergence.saved_in = folder;
    if (divergence.Diverged()) server_.last_saved = divergence;
    ++server_.salvages;
    co_return divergence;
  }

  Task<Result<Unit>> Rewind(Upstream source, Duration) override {
    if (server_.ProcessesLive()) co_return Refused("the server runs");
    if (server_.cluster_state == kHalfRewound) co_return Fail("an earlier rewind was interrupted");
    co_await clock_.Sleep(50ms);
    if (server_.rewind_fails) co_return Fail("pg_rewind: could not find common ancestor");
    FakeServer* from = server_.world().ByHost(source.address.host);
    if (!from || from->mode != ServerMode::kPrimary) co_return RetryLater("the source does not run");
    std::size_t common = 0;
    while (common < std::min(server_.wal.size(), from->wal.size()) && server_.wal[common].id == from->wal[common].id) ++common;
    Drop(common);
    // Half-way: who is killed here leaves a directory whose history is not its own any more.
    server_.cluster_state = kHalfRewound;
    server_.forks = from->forks;
    co_await clock_.Sleep(50ms);
    server_.timeline = common == 0 ? 1 : server_.wal.back().timeline;
    server_.control_timeline = from->timeline;
    server_.cluster_state = "in archive recovery";
    ++server_.rewinds;
    co_return Done();
  }

  Task<Result<Unit>> CopyFrom(Upstream source, Duration) override {
    if (server_.ProcessesLive()) co_return Refused("the server runs");
    co_await clock_.Sleep(server_.times.copy);
    FakeServer* from = server_.world().ByHost(source.address.host);
    if (!from || from->mode != ServerMode::kPrimary) co_return RetryLater("the source does not run");
    std::size_t common = 0;
    while (common < std::min(server_.wal.size(), from->wal.size()) && server_.wal[common].id == from->wal[common].id) ++common;
    Drop(common);
    server_.has_data = true;
    server_.system_id = from->system_id;
    server_.wal = from->wal;
    server_.timeline = server_.control_timeline = from->timeline;
    server_.forks = from->forks;
    server_.cluster_state = "in archive recovery";
    server_.fence = true;
    ++server_.copies;
    co_return Done();
  }

 private:
  void Spawn(Task<> doing) { boost::asio::co_spawn(server_.world().processes(), std::move(doing), boost::asio::detached); }

  static Task<> ShutDown(FakeServer& server, std::uint64_t generation, Clock&) {
    co_await server.world().Work(server, server.times.stop);
    if (server.generation != generation || server.mode != ServerMode::kPrimary) co_return;
    server.stopping = true;
    server.Append("checkpoint");
    // A clean shutdown waits until the standbys that stream have everything, or are given up.
    FakeServers& world = server.world();
    for (Duration waited = 0ns; waited < 5s && !world.StandbysHaveAll(server); waited += 2ms) co_await world.Work(server, 2ms);
    if (server.generation != generation || server.mode != ServerMode::kPrimary) co_return;
    server.stopping = false;
    server.mode = ServerMode::kDown;
    server.cluster_state = "shut down";
    server.control_timeline = server.timeline;
    ++server.generation;
    server.Changed();
  }
  static Task<> PromoteServer(FakeServer& server, std::uint64_t generation, Clock&) {
    co_await server.world().Work(server, server.times.promote);
    if (server.generation != generation || server.mode != ServerMode::kStandby) co_return;
    const Lsn fork = server.End();
    ++server.timeline;
    server.forks[server.timeline] = fork;
    server.replayed = server.wal.size();
    server.mode = ServerMode::kPrimary;
    server.cluster_state = "in production";
    server.fence = false;  // promotion removes standby.signal
    server.receiving = false;
    ++server.promotions;
    server.Changed();
  }

  Task<Result<Unit>> Start(Duration timeout) {
    if (server_.mode == ServerMode::kDown) {
      server_.mode = ServerMode::kStarting;
      server_.writable_start = !server_.fence;
      Spawn(FakeServers::StartServer(server_, server_.generation, !server_.fence));
    }
    const auto until = clock_.Now() + timeout;
    const std::uint64_t generation = server_.generation;
    while (server_.mode == ServerMode::kStarting) {
      const Duration left = TimeLeft(until, clock_.Now());
      if (left <= 0ns) co_return UnknownOutcome("it did not start in time");
      co_await bell_.WaitFor(clock_, left);
    }
    if (server_.generation != generation) co_return RetryLater("the server ended while it started");
    co_return Done();
  }

  Task<Result<Unit>> Write(std::string kind, Epoch epoch, std::uint64_t sequence, std::string text, bool once) {
    co_await clock_.Sleep(server_.times.query);
    if (server_.hung || server_.frozen || server_.mode != ServerMode::kPrimary)
      co_return RetryLater("the database does not accept writes");
    if (once) {
      for (const WalEntry& entry : server_.wal) {
        if (entry.kind == kind) co_return Done();
      }
    }
    if (!server_.Commit(kind, epoch, sequence, text)) co_return RetryLater("the gate refuses the commit");
    co_return Done();
  }

  [[nodiscard]] std::uint64_t NewestHeartbeat() const {
    for (std::size_t at = server_.replayed; at-- > 0;) {
      if (server_.wal[at].kind == "heartbeat") return server_.wal[at].sequence;
    }
    return 0;
  }

  /// SAFETY is judged here: what is dropped must have been saved.
  void Drop(std::size_t common) {
    for (std::size_t at = common; at < server_.wal.size(); ++at) {
      if (!server_.saved_ids.contains(server_.wal[at].id)) server_.unsaved_loss = true;
    }
    server_.wal.resize(common);
    server_.replayed = common;
  }

  Clock& clock_;
  FakeServer& server_;
  Bell bell_;
};

}  // namespace lifeboat::testing
