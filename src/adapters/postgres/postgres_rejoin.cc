// Rejoining a stopped server: what it wrote beyond the fork is saved first (SaveDivergence), and only then thrown away
// (Rewind or CopyFrom). None of it touches a directory in which a process lives.

#include "adapters/postgres/divergence_archive.h"
#include "adapters/postgres/postgres_database.h"
#include "adapters/system/files.h"

namespace lifeboat::postgres {

namespace {

constexpr Duration kDiskTime = std::chrono::seconds(30);  ///< for putting things right after the caller's time is over

/// Sets the flag when the coroutine that waits for the work goes, so that the work ends soon after.
class GiveUpAtExit {
 public:
  GiveUpAtExit() : flag_(std::make_shared<std::atomic<bool>>(false)) {}
  ~GiveUpAtExit() { *flag_ = true; }
  GiveUpAtExit(const GiveUpAtExit&) = delete;
  GiveUpAtExit& operator=(const GiveUpAtExit&) = delete;
  [[nodiscard]] const GiveUp& flag() const { return flag_; }

 private:
  GiveUp flag_;
};

bool Has(const CommandOutput& output, std::string_view text) {
  return output.err.find(text) != std::string::npos || output.out.find(text) != std::string::npos;
}

/// The line of a tool's complaint that matters.
std::string Complaint(const CommandOutput& output) {
  for (const std::string_view mark : {"fatal: ", "error: ", "FATAL:  ", "PANIC:  "}) {
    const std::size_t at = output.err.find(mark);
    if (at == std::string::npos) continue;
    return output.err.substr(at + mark.size(), std::min(output.err.find('\n', at), output.err.size()) - at - mark.size());
  }
  return output.err.substr(0, 300);
}

bool CannotConnect(const CommandOutput& output) {
  return Has(output, "could not connect to server") || Has(output, "connection to server");
}

/// pg_rewind's own words for what an operator can change.
Error RewindError(const CommandOutput& output) {
  const std::string message = "pg_rewind failed: '" + Complaint(output) + "'";
  if (Has(output, "wal_log_hints")) {
    return Fail(message, "turn on data checksums or 'wal_log_hints' on every server; until then take a fresh base backup");
  }
  if (Has(output, "are from different systems"))
    return Refused(message, "the source is not this server's system: check its address");
  if (CannotConnect(output)) return RetryLater(message, "is the source up, and may the superuser log in to it from here?");
  return Fail(message, "take a fresh base backup");
}

}  // namespace

Task<Result<Divergence>> PostgresDatabase::SaveDivergence(Timeline timeline, Lsn fork, std::string folder, Duration timeout) {
  const Deadline deadline(timeout);
  if (!data_.Processes().empty()) co_return StillAlive("the divergent WAL is not saved");
  Result<ControlFile> control = co_await ReadControlFile(data_.path(), deadline.Left());
  if (!control) co_return control.error();
  if (data_.IsHalfRewound()) co_return co_await FindSalvaged(control->data.system_id, deadline);
  const WalReader wal(executor_, settings_.bin_directory, data_.WalFolder(), control->geometry);
  // A standby may have ended before the fork, in a segment before the fork's: then its last checkpoint is where to look.
  const bool has_fork = wal.HasSegment(timeline, SegmentOf(Lsn{fork.bytes - 1}, wal.geometry()));
  const bool may_end_before = !has_fork && control->data.checkpoint < fork && control->data.timeline == timeline;
  Result<WalEnd> end = co_await wal.FindEnd(timeline, may_end_before ? control->data.checkpoint : fork, deadline);
  if (!end) co_return end.error().Within("the divergent WAL is not saved");
  // SAFETY: where the files end, and not the WAL, something may have been removed: "nothing diverged" is not concluded.
  const bool gap = end->files_ended && (may_end_before || end->at <= control->data.checkpoint ||
                                        HasSegmentBeyond(data_.WalFolder(), timeline, end->at, wal.geometry()));
  if (gap) {
    co_return Fail(
        "the divergent WAL is not saved: the segment with '" + end->at.Text() + "' is missing from '" + data_.WalFolder() + "'",
        "bring the segment back from the archive, or copy the data directory aside by hand");
  }
  Divergence found;
  found.fork = fork;
  found.end = end->at;
  if (!found.Diverged()) co_return found;

  const DivergentWal wanted{control->data.system_id, timeline, fork, end->at, data_.WalFolder(), control->geometry};
  auto look = [wanted, folder]() -> Result<std::optional<Divergence>> { return FindSaved(wanted, folder); };
  Result<std::optional<Divergence>> saved = co_await OnPool(std::move(look), deadline);
  if (!saved) co_return saved.error();
  if (*saved) co_return co_await NoteSalvaged(std::move(**saved), deadline);

  auto begin = [folder] { return BeginSaving(folder); };
  Result<std::string> saving = co_await OnPool(std::move(begin), deadline);
  if (!saving) co_return saving.error();
  const std::string list = *saving + "/transactions.txt";
  if (Result<Unit> listed = co_await wal.ListTransactions(timeline, fork, end->at, list, deadline); !listed)
    co_return listed.error();
  auto count = [list] { return CountCommits(list); };
  Result<CommitCount> commits = co_await OnPool(std::move(count), deadline);
  if (!commits) co_return commits.error();
  found.commits = commits->commits;
  found.first_commit = commits->first;
  found.last_commit = commits->last;

  const GiveUpAtExit give_up;
  auto copy = [wanted, folder, found, flag = give_up.flag()] { return SaveWal(wanted, folder, found, flag); };
  Result<Divergence> done = co_await OnPool(std::move(copy), deadline);
  if (!done) co_return done;
  log_.Info("divergent WAL saved", ToJson(*done));
  co_return co_await NoteSalvaged(*std::move(done), deadline);
}

Task<Result<Divergence>> PostgresDatabase::NoteSalvaged(Divergence saved, Deadline deadline) {
  auto note = [file = data_.SalvagedPath(), folder = saved.saved_in] { return WriteFileDurably(file, folder); };
  if (Result<Unit> noted = co_await OnPool(std::move(note), deadline); !noted) co_return noted.error();
  co_return saved;
}

Task<Result<Divergence>> PostgresDatabase::FindSalvaged(SystemId system_id, Deadline deadline) {
  // SAFETY: its WAL is not its own any more. What diverged was saved before the rewind began, in the folder that was written down
  // then, or nobody may go on.
  auto find = [system_id = std::move(system_id), file = data_.SalvagedPath()]() -> Result<std::optional<Divergence>> {
    const Result<std::string> folder = ReadSmallFile(file);
    return folder ? FindSavedIn(system_id, *folder) : std::nullopt;
  };
  Result<std::optional<Divergence>> before = co_await OnPool(std::move(find), deadline);
  if (!before) co_return before.error();
  if (*before) co_return std::move(**before);
  co_return Fail("a rewind of '" + data_.path() + "' was interrupted, and the folder of the ledger that '" + data_.SalvagedPath() +
                     "' names does not hold what had been saved before",
                 "bring that folder back, or move the data directory away by hand");
}

Task<Result<Unit>> PostgresDatabase::RecoverForRewind(Deadline deadline) {
  Result<ControlFile> control = co_await ReadControlFile(data_.path(), deadline.Left());
  if (!control) co_return Fail(control.error().message, "take a fresh base backup");
  const std::string& state = control->data.cluster_state;
  if (state == "shut down" || state == "shut down in recovery") co_return Done();
  // A single-user server lets no client in, and holds the lock file while it works: nobody else can start the directory.
  // SAFETY: it refuses to run under standby.signal, so the fence is away for just this run, and not for all of pg_rewind.
  auto open = [data = data_] { return data.RemoveFence(); };
  if (Result<Unit> opened = co_await OnPool(std::move(open), deadline); !opened) co_return opened.error();
  std::vector<std::string> argv = {settings_.bin_directory + "/postgres", "--single", "-D", data_.path(), "template1"};
  Result<CommandOutput> output = co_await RunTool(std::move(argv), deadline.Left());
  if (Result<Unit> fenced = co_await PlaceFence(Deadline(kDiskTime)); !fenced) co_return fenced.error();
  if (!output) co_return Fail(output.error().message, "the server's crash recovery did not end: take a fresh base backup");
  if (output->exit_code != 0) {
    co_return Fail("the server's crash recovery failed: '" + Complaint(*output) + "'", "take a fresh base backup");
  }
  co_return Done();
}

Task<Result<Unit>> PostgresDatabase::RunRewind(Upstream source, Deadline deadline) {
  Conninfo conninfo = RemoteConninfo(source.address, login_.superuser);
  conninfo.emplace_back("dbname", login_.database);
  std::vector<std::string> argv = {settings_.bin_directory + "/pg_rewind", "--target-pgdata=" + data_.path(),
                                   "--source-server=" + ConninfoText(conninfo), "--no-ensure-shutdown", "--progress"};
  Result<CommandOutput> output = co_await RunTool(std::move(argv), deadline.Left());
  if (!output) {
    if (output.error().retry == Retry::kUnknownOutcome) co_return output.error();
    co_return RetryLater(output.error().message, output.error().hint);  // it never ran
  }
  if (output->exit_code == 0) co_return Done();
  const Error error = RewindError(*output);
  // "need to copy …" is what it says last before the first change. @source pg_rewind.c, perform_rewind
  if (Has(*output, "need to copy")) co_return UnknownOutcome(error.message, error.hint);
  co_return error;
}

Task<Result<Unit>> PostgresDatabase::Rewind(Upstream source, Duration timeout) {
  const Deadline deadline(timeout);
  if (!data_.IsThere()) co_return Fail("'" + data_.path() + "' is not a data directory", "take a fresh base backup");
  if (!data_.Processes().empty()) co_return StillAlive("the server is not rewound");
  if (data_.IsHalfRewound()) {
    co_return Fail("an earlier rewind of '" + data_.path() + "' was interrupted", "take a fresh base backup");
  }
  // SAFETY: the fence stands again in every outcome, also when this coroutine is cancelled.
  struct FenceAtExit {
    const DataDirectory& data;
    ~FenceAtExit() { (void)data.PlaceFence().ok(); }
  } const fence{data_};
  if (Result<Unit> recovered = co_await RecoverForRewind(deadline); !recovered) co_return recovered.error();
  // pg_rewind copies the source's configuration over ours, so ours is set aside; while it is, nothing starts this directory.
  auto prepare = [data = data_] { return data.SetSettingsAside(); };
  if (Result<Unit> prepared = co_await OnPool(std::move(prepare), deadline); !prepared) co_return prepared.error();
  Result<Unit> rewound = co_await RunRewind(source, deadline);
  const bool half_done = !rewound && rewound.error().retry == Retry::kUnknownOutcome;
  auto restore = [data = data_, half_done]() -> Result<Unit> {
    if (Result<Unit> back = data.BringSettingsBack(); !back) return back;
    if (Result<Unit> fenced = data.PlaceFence(); !fenced) return fenced;
    return half_done ? Done() : data.ForgetSettingsAside();
  };
  Result<Unit> restored = co_await OnPool(std::move(restore), Deadline(kDiskTime));
  if (half_done)
    co_return Fail(rewound.error().message, "the directory is half rewound and is not started: take a fresh base backup");
  if (!rewound) co_return rewound.error();
  if (!restored) co_return restored.error().Within("rewound, but its settings are not back");
  log_.Info("rewound", {{"source", source.address.Text()}});
  co_return Done();
}

Task<Result<Unit>> PostgresDatabase::CheckCopy(Deadline deadline) {
  Result<ControlFile> copy = co_await ReadControlFile(data_.CopyingPath(), deadline.Left());
  if (!copy) co_return copy.error();
  if (!data_.IsThere()) co_return Done();
  Result<ControlFile> ours = co_await ReadControlFile(data_.path(), deadline.Left());
  // An unreadable control file is one reason to come here.
  if (!ours) co_return Done();
  // SAFETY: a copy of another system never takes this server's place.
  if (ours->data.system_id != copy->data.system_id) {
    co_return Refused(
        "the source is system '" + copy->data.system_id.text + "' and this server is '" + ours->data.system_id.text + "'",
        "check the source's address; remove the data directory by hand if it is to go");
  }
  co_return Done();
}

Task<Result<Unit>> PostgresDatabase::CopyFrom(Upstream source, Duration timeout) {
  const Deadline deadline(timeout);
  auto prepare = [data = data_]() -> Result<Unit> {
    if (Result<Unit> finished = data.FinishSwap(); !finished) return finished;
    return data.RemoveUnfinishedCopy();
  };
  if (!data_.Processes().empty()) co_return StillAlive("no copy is taken");
  if (Result<Unit> prepared = co_await OnPool(std::move(prepare), deadline); !prepared) co_return prepared.error();
  const std::string conninfo = ConninfoText(RemoteConninfo(source.address, login_.replication_user));
  std::vector<std::string> argv = {
      settings_.bin_directory + "/pg_basebackup", "-D", data_.CopyingPath(), "-X", "stream", "--checkpoint=fast", "-d", conninfo};
  Result<CommandOutput> output = co_await RunTool(std::move(argv), deadline.Left());
  if (!output) co_return output.error();
  if (output->exit_code != 0) {
    const std::string message = "pg_basebackup failed: '" + Complaint(*output) + "'";
    if (CannotConnect(*output))
      co_return RetryLater(message, "is the source up, and may '" + login_.replication_user + "' log in from here?");
    co_return Fail(message);
  }
  if (Result<Unit> same = co_await CheckCopy(deadline); !same) {
    auto remove = [data = data_] { return data.RemoveUnfinishedCopy(); };
    const Result<Unit> removed = co_await OnPool(std::move(remove), Deadline(kDiskTime));
    if (!removed) log_.Warn("the refused copy is still there", {{"error", removed.error().message}});
    co_return same.error();
  }
  if (!data_.Processes().empty()) co_return StillAlive("the copy is not put in place");
  const ServerSettings first = {{"listen_addresses", settings_.address.host},
                                {"port", std::to_string(settings_.address.port)},
                                {"unix_socket_directories", settings_.socket_directory}};
  auto swap = [data = data_, first] { return data.SwapInCopy(first); };
  if (Result<Unit> swapped = co_await OnPool(std::move(swap), Deadline(kDiskTime)); !swapped) co_return swapped.error();
  log_.Info("fresh copy in place", {{"source", source.address.Text()}});
  co_return Done();
}

}  // namespace lifeboat::postgres
