#include "cli/backup_desk.h"

#include "adapters/system/files.h"
#include "backup/freshness.h"
#include "cli/backup_source.h"

namespace lifeboat {

namespace {

template <typename Number>
std::optional<Number> NumberOf(const Json& value) {
  return value.is_number() ? std::optional(value.get<Number>()) : std::nullopt;
}

std::optional<Duration> AgeSince(const Json& moment, std::int64_t now) {
  return moment.is_number() ? backup::AgeOf(moment.get<std::int64_t>(), now) : std::nullopt;
}

}  // namespace

BackupFigures FiguresOf(const Json& brief, std::int64_t now) {
  BackupFigures figures;
  figures.newest_age = AgeSince(MemberAt(MemberAt(brief, "newest"), "stopped"), now);
  figures.verified_age = AgeSince(MemberAt(MemberAt(brief, "verified"), "stopped"), now);
  // A restore speaks for its own levels, the verification for those below.
  for (const auto& [work, restores] : {std::pair("verify", false), std::pair("restore", true)}) {
    for (const auto& [level, verdict] : MemberAt(MemberAt(brief, work), "verdicts").items()) {
      const bool of_restore = level == "restores" || level == "logic" || level == "content";
      if (verdict.is_string() && of_restore == restores) figures.verdicts[level] = verdict.get<std::string>();
    }
  }
  figures.restore_seconds = NumberOf<double>(MemberAt(brief, "restore_seconds"));
  const Json& window = MemberAt(brief, "window");
  figures.window_from = NumberOf<std::uint64_t>(MemberAt(window, "from_bytes"));
  figures.window_to = NumberOf<std::uint64_t>(MemberAt(window, "to_bytes"));
  figures.window_commit = NumberOf<std::int64_t>(MemberAt(window, "last_commit_s"));
  figures.window_holes = NumberOf<std::uint64_t>(MemberAt(window, "holes"));
  figures.read_bytes = NumberOf<std::uint64_t>(MemberAt(brief, "read_bytes"));
  figures.standing_bytes = NumberOf<std::uint64_t>(MemberAt(brief, "standing_bytes"));
  figures.oldest_reading = AgeSince(MemberAt(brief, "oldest_reading"), now);
  const Json& last = MemberAt(brief, "verify");
  if (SignedAt(last, "ended") != 0) figures.report = TextAt(last, "problem").empty();
  return figures;
}

BackupDesk::BackupDesk(boost::asio::any_io_executor io, const Settings& settings, Clock& clock)
    : clock_(clock), runner_(std::move(io), OwnProgram(), settings.file.string()) {}

Result<std::unique_ptr<BackupDesk>> BackupDesk::Open(boost::asio::any_io_executor io, const Settings& settings,
                                                     const RegionSettings& region, Clock& clock, Evidence& evidence,
                                                     std::function<bool()> busy, const Log& log) {
  std::unique_ptr<BackupDesk> desk(new BackupDesk(io, settings, clock));
  desk->watch_ =
      std::make_unique<BackupWatch>(std::move(io), settings, region.name, BackupFolder(region),
                                    BackupWatch::Doors{clock, desk->files_, evidence, desk->runner_, std::move(busy)}, log);
  if (desk->watch_->HasWork()) {
    const Result<Unit> made = EnsureDirectory(BackupFolder(region));
    if (!made.ok()) return made.error();
  }
  return desk;
}

void BackupDesk::Show(Metrics& metrics) const {
  const std::int64_t now = clock_.Wall().ns / 1000000000;
  for (const Json& brief : watch_->Briefs()) metrics.SetBackups(TextAt(brief, "source"), FiguresOf(brief, now));
}

}  // namespace lifeboat
