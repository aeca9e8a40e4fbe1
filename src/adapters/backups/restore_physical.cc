// A server brought up in the sandbox from the files of a backup: copied or restored by pgBackRest, configured, started, promoted.

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>

#include "adapters/backups/restore_copy.h"
#include "adapters/backups/restore_pgbackrest.h"
#include "adapters/backups/restore_run_internal.h"
#include "adapters/backups/restore_settings.h"
#include "adapters/backups/source_internal.h"

namespace lifeboat::backup {

namespace fs = std::filesystem;

Result<Unit> Restore::BringUp() {
  const Result<bool> copied = source_.pgbackrest() ? RunPgBackRest() : CopyFiles();
  if (!copied) return copied.error();
  EndPhase("copy");
  if (!*copied) return Done();
  std::vector<Finding> left = FindLeftOvers(outcome_.set, sandbox_->data());
  const Result<bool> configured = Configure();
  if (!configured) return configured.error();
  if (!*configured) return Done();
  ServerWords words;
  const Result<bool> started =
      sandbox_->StartServer(bin_ / "postgres", sandbox_->tool() / "postgresql.conf", options_.start_timeout, words,
                            [this] { Say("replay", wal_ ? wal_->handed_out() : 0, 0, wal_ ? wal_->last_asked() : ""); });
  if (!started && started.error().retry == Retry::kRetry && !sandbox_->Cancelled()) {
    outcome_.rto.reason = started.error().message;
    Tell(32, "",
         started.error().message +
             (wal_ && !wal_->last_asked().empty() ? "; it was at WAL segment '" + wal_->last_asked() + "'" : "") + Unreadable(),
         "take backups more often, so that less WAL is to be replayed, or state a longer time (--start-timeout)");
    return Done();
  }
  if (!started) return started.error();
  TakeTimes(words);
  if (!*started) {
    const DeathCause cause = CauseOf(words);
    Tell(cause.fault, "", cause.what + Unreadable(), cause.todo);
    return Done();
  }
  const Result<Unit> asked = FirstQuery(words);
  if (!asked) return asked.error();
  LevelResult& level = At(Level::kRestores);
  for (Finding& each : left) {
    if (each.severity == Severity::kFault) level.verdict = Verdict::kFail;
    outcome_.findings.push_back(std::move(each));
  }
  return Done();
}

Result<bool> Restore::RunPgBackRest() {
  const PgBackRestPlace place = *source_.pgbackrest();
  Result<PgBackRestCall> call = PreparePgBackRest(*sandbox_, place, options_.threads);
  if (!call) {
    if (call.error().retry == Retry::kRetry) NoteTrouble(source_, call.error());  // no credentials now
    return call.error();
  }
  outcome_.tool_network = call->network;
  std::vector<std::string> argv = call->argv;
  argv.insert(argv.end(),
              {"--set=" + set_->label, "--archive-mode=off", "--tablespace-map-all=" + sandbox_->space().string(), "restore"});
  const Result<std::uint64_t> room = RoomIn(sandbox_->folder());
  const auto tick = [&] {
    const Result<std::uint64_t> now = RoomIn(sandbox_->folder());
    if (room && now && *now < *room) Say("copy", std::min(*room - *now, set_->size), set_->size, set_->label);
  };
  const Result<ToolEnd> ended = sandbox_->Run(std::move(argv), options_.start_timeout, tick, call->rights);
  if (!ended) return ended.error();
  outcome_.restored_bytes = set_->size;
  if (ended->exit_code != 0) return Refuse(*ended, place.store != nullptr);
  // The server has no network: what it needs of S3 comes by us.
  if (place.store) return ServeWal();
  restore_command_ = call->argv[0] + " " + call->argv[1] + " " + call->argv[2] + " archive-get %f \"%p\"";
  return true;
}

Result<bool> Restore::Refuse(const ToolEnd& ended, bool in_s3) {
  const PgBackRestRefusal refusal = JudgeRefusal(ended.words, in_s3);
  const std::string what = "pgbackrest restore ends with exit code " + std::to_string(ended.exit_code) + ": " + refusal.message;
  if (refusal.fault == 49) return Refused("the restore ran out of room: " + refusal.message);
  if (refusal.fault == 0) {
    const Error trouble = Fail(what);
    NoteTrouble(source_, trouble);
    return trouble;
  }
  Tell(refusal.fault, "", what);
  return false;
}

Result<bool> Restore::ServeWal() {
  Result<std::unique_ptr<WalServer>> wal = WalServer::Start(*sandbox_, source_, archives_);
  if (!wal) return wal.error();
  wal_ = std::move(*wal);
  restore_command_ = wal_->command();
  return true;
}

Result<bool> Restore::CopyFiles() {
  std::atomic<std::uint64_t> written = 0;
  std::mutex mutex;
  const Result<std::uint64_t> copied = CopyBaseBackup(*sandbox_, *PlaceIn(), *set_, options_.threads, [&](std::uint64_t bytes) {
    written += bytes;
    const std::unique_lock lock(mutex, std::try_to_lock);
    if (lock.owns_lock()) Say("copy", written, set_->size, set_->label);
  });
  if (!copied && copied.error().retry == Retry::kFail) {
    Tell(7, "", copied.error().message);
    return false;
  }
  if (!copied) return copied.error();
  outcome_.restored_bytes = *copied;
  return ServeWal();
}

Result<bool> Restore::Configure() {
  ReadError ignored;
  std::string version = ReadSmall(sandbox_->data() / "PG_VERSION", ignored).value_or("");
  while (!version.empty() && version.back() == '\n') version.pop_back();
  bin_ = options_.bin_directory.empty() ? fs::path("/usr/lib/postgresql") / version / "bin" : options_.bin_directory;
  if (access((bin_ / "postgres").c_str(), X_OK) != 0) {
    Tell(31, "", "there is no '" + (bin_ / "postgres").string() + "', and the backup is of PostgreSQL '" + version + "'",
         "install PostgreSQL " + version + " on every host that would restore, or name its folder (--bin)");
    return false;
  }
  const Result<ToolEnd> control = sandbox_->Run({(bin_ / "pg_controldata").string(), "-D", sandbox_->data().string()}, 60s);
  if (!control) return control.error();
  if (control->exit_code != 0) {
    Tell(31, "global/pg_control", "pg_controldata cannot read it: " + control->words);
    return false;
  }
  if (const Result<Unit> complete = CompleteDataDirectory(*sandbox_); !complete) return complete.error();
  const std::string settings = ServerSettings(*sandbox_, options_, ParseControlData(control->words), restore_command_);
  const fs::path tool = sandbox_->tool();
  // postgresql.auto.conf would outrank ours: it is emptied.
  const std::array<std::pair<fs::path, std::string>, 5> files = {{{tool / "postgresql.conf", settings},
                                                                  {tool / "pg_hba.conf", "local all all trust\n"},
                                                                  {tool / "pg_ident.conf", ""},
                                                                  {sandbox_->data() / "postgresql.auto.conf", ""},
                                                                  {sandbox_->data() / "recovery.signal", ""}}};
  for (const auto& [file, content] : files) {
    if (const Result<Unit> written = sandbox_->Write(file, content); !written) return written.error();
  }
  return true;
}

std::string Restore::Unreadable() const {
  if (!wal_ || wal_->unreadable().empty()) return "";
  return "; WAL that cannot be read: " + wal_->unreadable().front();
}

}  // namespace lifeboat::backup
