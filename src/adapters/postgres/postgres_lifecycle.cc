// Starting, stopping and promoting. The order of the steps is the safety of it: the fence (standby.signal) stands in the
// data directory at all times but between a primary's start and its first answer, so that a start by anyone else, at any
// moment, comes up as a standby.

#include <signal.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fstream>
#include <sstream>

#include "adapters/postgres/postgres_database.h"
#include "adapters/system/processes.h"

namespace lifeboat::postgres {

namespace {

constexpr Duration kDiskTime = std::chrono::seconds(10);
constexpr Duration kPoll = std::chrono::milliseconds(5);           ///< between looks at a server that changes
constexpr Duration kPromotionPoll = std::chrono::milliseconds(2);  ///< a promotion takes 20 to 50 ms
constexpr Duration kReplayStall = std::chrono::milliseconds(50);

/// The fence comes back whatever way the scope is left, also when the coroutine is cancelled. Blocks for one sync then.
class FenceAtExit {
 public:
  explicit FenceAtExit(const DataDirectory& data) : data_(data) {}
  ~FenceAtExit() {
    if (armed_) (void)data_.PlaceFence().ok();
  }
  FenceAtExit(const FenceAtExit&) = delete;
  FenceAtExit& operator=(const FenceAtExit&) = delete;
  void Disarm() { armed_ = false; }

 private:
  const DataDirectory& data_;
  bool armed_ = true;
};

Error NotInTime(const std::string& what) { return RetryLater(what, "look at the server's log"); }

/// What a log may hold that is of use in an error: its last lines, without their blank ends.
std::string LastLines(const std::string& text, std::size_t lines) {
  std::size_t at = text.find_last_not_of("\n ");
  if (at == std::string::npos) return {};
  const std::size_t end = at + 1;
  while (lines > 0 && at > 0 && at != std::string::npos) {
    at = text.rfind('\n', at - 1);
    --lines;
  }
  return text.substr(at == std::string::npos ? 0 : at, end - (at == std::string::npos ? 0 : at));
}

}  // namespace

std::string PostgresDatabase::LogTail() const {
  std::ifstream file(settings_.log_file, std::ios::ate | std::ios::binary);
  if (!file) return {};
  const std::streamoff size = file.tellg();
  file.seekg(std::max<std::streamoff>(0, size - 4096));
  std::ostringstream text;
  text << file.rdbuf();
  constexpr std::size_t kLines = 4;
  std::string tail = LastLines(text.str(), kLines);
  std::replace(tail.begin(), tail.end(), '\n', ' ');
  return tail;
}

// ---- stopping ----

Task<Result<Unit>> PostgresDatabase::Fence() { co_return co_await PlaceFence(Deadline(kDiskTime)); }

Task<Result<Unit>> PostgresDatabase::KillAll(Duration timeout) {
  idle_.clear();
  if (!data_.IsThere()) co_return Done();
  co_return co_await KillWithinAsync(executor_, data_.path(), timeout);
}

Task<Result<ShutdownToken>> PostgresDatabase::ReadShutdownToken(Deadline deadline) {
  Result<ControlFile> control = co_await ReadControlFile(data_.path(), deadline.Left());
  if (!control) co_return UnknownOutcome(control.error().message, control.error().hint);
  const ControlData& data = control->data;
  if (data.cluster_state == "shut down in recovery") {
    co_return Fail("the server stopped as a standby ('shut down in recovery'): that proves nothing of a primary's end");
  }
  // SAFETY: only this state says that the last record is the shutdown checkpoint, so that an heir with it has everything.
  if (data.cluster_state != "shut down") {
    co_return UnknownOutcome("the server did not shut down cleanly: its state is '" + data.cluster_state + "'",
                             "read the end of its WAL, and compare it with what the standby has");
  }
  const WalReader wal(executor_, settings_.bin_directory, data_.WalFolder(), control->geometry);
  Result<WalRecord> record = co_await wal.ReadRecord(data.timeline, data.checkpoint, deadline);
  if (!record) co_return UnknownOutcome("the shutdown checkpoint cannot be read: " + record.error().message, record.error().hint);
  if (!record->description.starts_with("CHECKPOINT_SHUTDOWN")) {
    co_return UnknownOutcome("the record at '" + data.checkpoint.Text() + "' is no shutdown checkpoint");
  }
  co_return ShutdownToken{data.system_id, data.timeline, data.checkpoint, EndOf(*record, control->geometry)};
}

Task<Result<ShutdownToken>> PostgresDatabase::StopCleanly(Duration timeout) {
  using namespace boost::asio::experimental::awaitable_operators;
  const Deadline deadline(timeout);
  // SAFETY: the fence first: from here on no start makes this server writable.
  if (Result<Unit> fenced = co_await PlaceFence(deadline); !fenced) co_return fenced.error();
  idle_.clear();
  if (const std::optional<pid_t> postmaster = data_.Postmaster()) {
    const std::optional<ProcessIdentity> process = IdentifyProcess(*postmaster);
    // Fast shutdown: clients are disconnected, the standby is sent everything. @source PostgreSQL manual, Shutting Down the Server
    if (process) (void)SignalProcess(*process, SIGINT).ok();
    boost::asio::steady_timer timer(executor_);
    timer.expires_at(deadline.at());
    const auto first = co_await (WaitForProcessExit(executor_, *postmaster) ||
                                 timer.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable)));
    if (first.index() == 1) {
      co_return UnknownOutcome("the server was told to stop and is not down yet",
                               "it waits for its standby or for clients to take what is left; the server's log says for whom");
    }
  }
  // SAFETY: pg_control speaks for the server only once nobody can write it.
  while (!data_.Processes().empty()) {
    if (deadline.HasPassed()) {
      Error alive = StillAlive("the server is not down");
      co_return UnknownOutcome(std::move(alive.message), std::move(alive.hint));
    }
    co_await Pause(executor_, kPoll);
  }
  Result<ShutdownToken> token = co_await ReadShutdownToken(deadline);
  if (token) log_.Info("server stopped cleanly", ToJson(*token));
  co_return token;
}

// ---- starting ----

Task<Result<Unit>> PostgresDatabase::WaitUntilReady(pid_t postmaster, Deadline deadline) {
  while (!data_.IsReady(postmaster)) {
    if (!IsAlive(postmaster))
      co_return Fail("the server ended at its start: '" + LogTail() + "'", "see '" + settings_.log_file + "'");
    if (deadline.HasPassed())
      co_return NotInTime("the server runs (process " + std::to_string(postmaster) + ") and lets nobody in yet");
    co_await Pause(executor_, kPoll);
  }
  co_return Done();
}

Task<Result<Unit>> PostgresDatabase::StartServer(Deadline deadline) {
  // SAFETY: what an older postmaster left running would write beside the new one.
  if (!data_.Processes().empty()) co_return StillAlive("the server is not started");
  // SAFETY: a half rewound directory looks whole to PostgreSQL and is not.
  if (data_.IsHalfRewound()) {
    co_return Refused("the server is not started: a rewind of '" + data_.path() + "' was interrupted", "take a fresh base backup");
  }
  idle_.clear();
  Result<std::optional<RunAs>> owner = data_.Owner();
  if (!owner) co_return owner.error();
  SpawnOptions options;
  options.run_as = *owner;
  if (!settings_.log_file.empty()) options.log_file = settings_.log_file;
  std::vector<std::string> argv = {settings_.bin_directory + "/postgres", "-D", data_.path()};
  auto work = [argv, options] { return SpawnDetached(argv, options); };
  Result<pid_t> postmaster = co_await OnPool(std::move(work), deadline);
  if (!postmaster) co_return postmaster.error();
  log_.Info("server started", {{"pid", *postmaster}});
  co_return co_await WaitUntilReady(*postmaster, deadline);
}

Task<Result<Unit>> PostgresDatabase::WaitUntilWritable(Deadline deadline, MayRecover may_recover) {
  while (true) {
    Result<Answer> row = co_await AskPrepared("SELECT pg_is_in_recovery()", deadline);
    if (row && !row->IsTrue(0, 0)) co_return Done();
    // A server without a signal file takes no session before its recovery has ended.
    if (row && may_recover == MayRecover::kNo) {
      co_return RetryLater("the server came up as a standby: it was fenced while it was being started",
                           "it waits to be promoted where it stands, which the lease's holder does next");
    }
    if (deadline.HasPassed())
      co_return UnknownOutcome(row ? "the server is still in recovery" : row.error().message, "look again first");
    if (!row && row.error().retry == Retry::kFail) co_return row.error();
    if (!data_.Postmaster()) co_return UnknownOutcome("the server ended: '" + LogTail() + "'", "look again first");
    co_await Pause(executor_, kPromotionPoll);
  }
}

Task<Result<Unit>> PostgresDatabase::StartPrimary(Duration timeout) {
  const Deadline deadline(timeout);
  if (!data_.IsThere()) co_return NotFound("'" + data_.path() + "' is not a data directory");
  if (!data_.Processes().empty()) {
    const DatabaseState state = co_await Observe(deadline.Left());
    if (state.IsWritable()) co_return co_await PlaceFence(deadline);
    if (state.IsStandby()) co_return Refused("the server runs as a standby", "promote it, or stop it first");
    co_return StillAlive("the primary is not started");
  }
  Result<ControlFile> control = co_await ReadControlFile(data_.path(), deadline.Left());
  if (!control) co_return control.error();
  // SAFETY: a copy that last ran as a standby may hold WAL of a timeline that its control file does not name yet. Started without
  // its signal file it would silently go on from an older one, and lose what was acknowledged since: it is promoted instead.
  const std::string& state = control->data.cluster_state;
  if (state == "in archive recovery" || state == "shut down in recovery") co_return co_await StartByPromotion(deadline);
  // SAFETY: the only place that removes the fence for a start; it is back in every outcome, also a cancelled one.
  FenceAtExit fence(data_);
  auto work = [data = data_] { return data.RemoveFence(); };
  Result<Unit> open = co_await OnPool(std::move(work), deadline);
  if (!open) co_return open.error();
  Result<Unit> started = co_await StartServer(deadline);
  if (started) started = co_await WaitUntilWritable(deadline, MayRecover::kNo);
  Result<Unit> fenced = co_await PlaceFence(Deadline(kDiskTime));
  if (fenced) fence.Disarm();
  if (!started) co_return started.error();
  if (!fenced) co_return UnknownOutcome("the primary runs without its fence: " + fenced.error().message, fenced.error().hint);
  co_return Done();
}

Task<Result<Unit>> PostgresDatabase::StartByPromotion(Deadline deadline) {
  log_.Warn("the server last ran as a standby: it is started as one and promoted");
  if (Result<Unit> fenced = co_await PlaceFence(deadline); !fenced) co_return fenced.error();
  auto work = [data = data_, settings = StandbySettings(std::nullopt)] { return data.WriteManagedSettings(settings); };
  if (Result<Unit> written = co_await OnPool(std::move(work), deadline); !written) co_return written.error();
  if (Result<Unit> started = co_await StartServer(deadline); !started) co_return started.error();
  Result<Lsn> fork = co_await Promote(deadline.Left());
  if (!fork) co_return fork.error();
  co_return Done();
}

ServerSettings PostgresDatabase::StandbySettings(const std::optional<Upstream>& upstream) const {
  ServerSettings settings = {{"hot_standby", "on"},
                             {"recovery_target_timeline", "latest"},
                             // A promotion just after the upstream was lost stalls for the whole interval, 5 s by default.
                             {"wal_retrieve_retry_interval", "100ms"},
                             {"primary_slot_name", SlotName(self_)},
                             {"primary_conninfo", ""}};
  if (upstream) settings.back().second = ConninfoText(RemoteConninfo(upstream->address, login_.replication_user));
  return settings;
}

Task<Result<Unit>> PostgresDatabase::ReloadManaged(ServerSettings settings, Deadline deadline) {
  const std::string wanted = settings.back().second;
  auto work = [data = data_, settings = std::move(settings)] { return data.WriteManagedSettings(settings); };
  if (Result<Unit> written = co_await OnPool(std::move(work), deadline); !written) co_return written.error();
  std::vector<std::optional<std::string>> none;
  Result<Answer> reloaded = co_await Ask("SELECT pg_reload_conf()", std::move(none), Effect::kRead, deadline);
  if (!reloaded) co_return reloaded.error();
  // The postmaster tells the startup process in the same breath as this session.
  while (true) {
    Result<Answer> row = co_await AskPrepared("SELECT current_setting('primary_conninfo')", deadline);
    if (!row) co_return row.error();
    if (row->Text(0, 0) == wanted) co_return Done();
    if (deadline.HasPassed()) {
      co_return Fail("the server does not take our 'primary_conninfo'", "is it set on the command line, or after lifeboat.conf?");
    }
    co_await Pause(executor_, kPoll);
  }
}

Task<Result<Unit>> PostgresDatabase::WaitUntilStreamingFrom(Upstream upstream, Deadline deadline) {
  const std::string port = std::to_string(upstream.address.port);
  while (true) {
    Result<Answer> row = co_await AskPrepared(
        "SELECT sender_host, sender_port FROM pg_stat_get_wal_receiver() WHERE status = 'streaming'", deadline);
    if (!row) co_return row.error();
    if (row->rows() == 1 && row->Text(0, 0) == upstream.address.host && row->Text(0, 1) == port) co_return Done();
    if (deadline.HasPassed()) {
      co_return RetryLater("the standby is pointed to '" + upstream.address.Text() + "' and does not stream from it yet",
                           "is the upstream up, and does it have slot '" + SlotName(self_) + "'?");
    }
    co_await Pause(executor_, kPoll);
  }
}

Task<Result<Unit>> PostgresDatabase::StartStandby(Upstream upstream, Duration timeout) {
  const Deadline deadline(timeout);
  if (!data_.IsThere()) {
    // A crash may have interrupted the last step of CopyFrom, with the whole copy still beside its place.
    auto finish = [data = data_] { return data.FinishSwap(); };
    if (Result<Unit> finished = co_await OnPool(std::move(finish), deadline); !finished) co_return finished.error();
  }
  // SAFETY: the fence before everything else: whatever is started from here on comes up as a standby.
  if (Result<Unit> fenced = co_await PlaceFence(deadline); !fenced) co_return fenced.error();
  // Without an address it follows nobody yet: its primary's lineage has not been proven.
  const bool alone = upstream.address.host.empty();
  ServerSettings settings = StandbySettings(alone ? std::nullopt : std::optional(upstream));
  if (const std::optional<pid_t> postmaster = data_.Postmaster()) {
    if (Result<Unit> ready = co_await WaitUntilReady(*postmaster, deadline); !ready) co_return ready.error();
    const DatabaseState state = co_await Observe(deadline.Left());
    if (state.IsWritable()) co_return Refused("the server runs as a primary", "stop it first");
    if (!state.accepting) co_return RetryLater("the standby cannot be re-pointed: " + state.problem);
    if (Result<Unit> pointed = co_await ReloadManaged(std::move(settings), deadline); !pointed) co_return pointed.error();
    if (alone) co_return Done();
    co_return co_await WaitUntilStreamingFrom(std::move(upstream), deadline);
  }
  auto work = [data = data_, settings] { return data.WriteManagedSettings(settings); };
  if (Result<Unit> written = co_await OnPool(std::move(work), deadline); !written) co_return written.error();
  if (Result<Unit> started = co_await StartServer(deadline); !started) co_return started.error();
  const DatabaseState state = co_await Observe(deadline.Left());
  if (state.IsStandby()) co_return Done();
  if (state.accepting) co_return UnknownOutcome("the server came up writable though its fence stands", "fence the region at once");
  co_return RetryLater("the standby was started and does not answer: " + state.problem);
}

// ---- promoting ----

Task<Result<Lsn>> PostgresDatabase::StopReceiving(Duration timeout) {
  const Deadline deadline(timeout);
  Result<Answer> role = co_await AskPrepared("SELECT pg_is_in_recovery()", deadline);
  if (!role) co_return role.error();
  if (!role->IsTrue(0, 0)) co_return Refused("the server is a primary and receives nothing");
  if (Result<Unit> cut = co_await ReloadManaged(StandbySettings(std::nullopt), deadline); !cut) co_return cut.error();
  // Seen gone twice: a receiver that was being launched when the setting changed shows itself in between.
  for (int gone = 0; gone < 2;) {
    Result<Answer> row = co_await AskPrepared(
        "SELECT (SELECT count(*) FROM pg_stat_get_activity(NULL) WHERE backend_type = 'walreceiver') +"
        " (SELECT count(*) FROM pg_stat_get_wal_receiver() WHERE pid IS NOT NULL), greatest(pg_last_wal_receive_lsn(),"
        " pg_last_wal_replay_lsn())",
        deadline);
    if (!row) co_return row.error();
    gone = row->Text(0, 0) == "0" ? gone + 1 : 0;
    if (gone == 2) {
      const auto received = Lsn::Parse(row->Text(0, 1));
      if (!received) co_return RetryLater("the standby does not say what it has received");
      co_return *received;
    }
    if (deadline.HasPassed()) co_return NotInTime("the WAL receiver is still there");
    co_await Pause(executor_, kPoll);
  }
  co_return RetryLater("the WAL receiver is still there");
}

Task<Result<Unit>> PostgresDatabase::WaitUntilReplayed(Deadline deadline) {
  std::optional<Lsn> last;
  Deadline stalled(kReplayStall);
  while (true) {
    Result<Answer> row =
        co_await AskPrepared("SELECT pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn(), pg_is_in_recovery()", deadline);
    if (!row) co_return row.error();
    if (!row->IsTrue(0, 2)) co_return Done();  // a promotion asked for earlier has come through
    const auto received = Lsn::Parse(row->Text(0, 0));
    const auto replayed = Lsn::Parse(row->Text(0, 1));
    if (replayed && (!received || *replayed >= *received)) co_return Done();
    if (replayed != last) {
      last = replayed;
      stalled = Deadline(kReplayStall);
    }
    // What was received may end within a record, which never replays. PostgreSQL itself replays every whole record that
    // it has before it ends recovery, so asking now loses nothing.
    if (stalled.HasPassed()) co_return Done();
    if (deadline.HasPassed()) co_return RetryLater("the standby has not replayed all that it received; it was not promoted");
    co_await Pause(executor_, kPromotionPoll);
  }
}

Task<Result<Lsn>> PostgresDatabase::Promote(Duration timeout) {
  const Deadline deadline(timeout);
  Result<Answer> role = co_await AskPrepared("SELECT pg_is_in_recovery()", deadline);
  if (!role) co_return role.error();
  if (role->IsTrue(0, 0)) {
    if (Result<Unit> replayed = co_await WaitUntilReplayed(deadline); !replayed) co_return replayed.error();
    std::vector<std::optional<std::string>> none;
    Result<Answer> asked = co_await Ask("SELECT pg_promote(false)", std::move(none), Effect::kChange, deadline);
    // An answer "recovery is not in progress" means that an earlier request has come through: the wait below sees it.
    if (!asked && asked.error().retry != Retry::kRetry) co_return asked.error();
    if (Result<Unit> writable = co_await WaitUntilWritable(deadline, MayRecover::kYes); !writable)
      co_return UnknownOutcome(writable.error().message, writable.error().hint);
  }
  // SAFETY: the promotion removed standby.signal; a restart by anyone must come up as a standby again.
  if (Result<Unit> fenced = co_await PlaceFence(Deadline(kDiskTime)); !fenced) {
    co_return UnknownOutcome("the new primary runs without its fence: " + fenced.error().message,
                             "promote again: it places the fence");
  }
  Result<Answer> row = co_await AskPrepared("SELECT substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8)", deadline);
  if (!row) co_return UnknownOutcome(row.error().message, row.error().hint);
  const auto timeline = static_cast<Timeline>(std::stoul(std::string(row->Text(0, 0)), nullptr, 16));
  if (timeline == 1) co_return Lsn{};
  Result<Lsn> fork = co_await ForkOf(timeline, std::max<Duration>(deadline.Left(), std::chrono::seconds(1)));
  if (!fork) co_return UnknownOutcome("promoted, but the fork is not known: " + fork.error().message, fork.error().hint);
  log_.Info("promoted", {{"timeline", timeline}, {"fork", fork->Text()}});
  co_return *fork;
}

}  // namespace lifeboat::postgres
