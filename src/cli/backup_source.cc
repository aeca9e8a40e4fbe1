#include "cli/backup_source.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "cli/backup_live.h"
#include "config/text.h"

namespace lifeboat {

namespace {

using backup::Level;
using backup::Verdict;

/// The highest level up to which everything passed; -1: not even the first.
int PassedTo(const backup::Levels& levels) {
  int passed = -1;
  for (int level = 0; level < backup::kLevels && levels[static_cast<std::size_t>(level)].verdict == Verdict::kPass; ++level)
    passed = level;
  return passed;
}

bool AnyFailed(const backup::Levels& levels) {
  return std::any_of(levels.begin(), levels.end(), [](const backup::LevelResult& each) { return each.verdict == Verdict::kFail; });
}

/// What "verified" asks of a set: reading it, at least.
int WantedLevel(const BackupOptions& options) {
  return std::max(options.settings ? options.settings->schedule.level : 3, static_cast<int>(Level::kBytes));
}

void TakeNewer(std::optional<backup::Aged>& newest, const backup::Aged& other) {
  if (!newest || other.stopped >= newest->stopped) newest = other;
}

std::string LineText(const backup::ObjectiveLine& line) {
  const std::string measured = line.measured ? FormatDuration(*line.measured) : "unknown";
  if (line.objective == Duration{0}) return measured;
  return measured + " (at most " + FormatDuration(line.objective) + "): " + backup::ToString(line.verdict);
}

}  // namespace

std::string BackupFolder(const RegionSettings& region) { return region.state_directory + "/backups"; }

Result<Unit> ApplySource(const CommonOptions& common, BackupOptions& options) {
  if (options.source.empty()) return Done();
  const auto settings = SettingsFor(common);
  if (!settings.ok()) return settings.error();
  const BackupSourceSettings* source = settings->FindBackups(options.source);
  if (source == nullptr) {
    std::vector<std::string> known;
    std::string names;
    for (const BackupSourceSettings& each : settings->backups) {
      known.push_back(each.name);
      names += (names.empty() ? "'" : ", '") + each.name + "'";
    }
    const auto near = NearestTo(options.source, known);
    return NotFound("'" + options.source + "' is no backup source of '" + settings->file.string() + "'",
                    near            ? "did you mean '" + *near + "'?"
                    : known.empty() ? "describe one in its section 'backups'"
                                    : "its sources are " + names);
  }
  options.settings = *source;
  const auto take = [](std::string& option, const std::string& value) {
    if (option.empty()) option = value;
  };
  take(options.repository, source->path);
  take(options.wal, source->wal);
  take(options.s3_region, source->store.region);
  take(options.s3_endpoint, source->store.endpoint);
  take(options.s3_ca_file, source->store.ca_file);
  take(options.s3_profile, source->store.profile);
  take(options.stanza, source->stanza);
  take(options.cipher_pass_file, source->cipher_pass_file);
  if (source->kind == BackupKind::kRds) TakeRdsSettings(*source, options.rds);
  if (options.threads == 0) options.threads = source->threads;
  if (options.read_rate == 0) options.read_rate = source->read_rate.bytes;
  const RegionSettings* region = settings->Find(source->region);
  if (source->kind != BackupKind::kRds) take(options.live, LiveConninfo(*settings, region));
  std::error_code problem;
  if (options.memory.empty() && region != nullptr && std::filesystem::is_directory(region->state_directory, problem)) {
    std::filesystem::create_directory(BackupFolder(*region), problem);  // where it cannot be made, opening the memory says so
    options.memory = BackupFolder(*region) + "/memory.sqlite";
    if (options.restore.history.empty()) options.restore.history = BackupFolder(*region) + "/" + source->name + ".history.json";
  }
  return Done();
}

Result<std::optional<Descriptor>> LockSource(const BackupOptions& options) {
  if (!options.settings || options.memory.empty()) return std::optional<Descriptor>();
  // The folder itself is locked: a lock file would belong to whoever came first, and keep the others out by its mode.
  const std::string folder = std::filesystem::path(options.memory).parent_path().string();
  Descriptor lock(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock.ok()) return std::optional<Descriptor>();
  if (flock(lock.number(), LOCK_EX | LOCK_NB) == 0) return std::optional(std::move(lock));
  return Refused("backups are being verified here already", "wait for the end of that run, or stop it with Ctrl-C");
}

std::unique_ptr<backup::VerifiedMemory> OpenMemory(const BackupOptions& options, std::string& problem) {
  if (options.memory.empty()) return nullptr;
  auto memory = backup::VerifiedMemory::Open(options.memory, options.source.empty() ? options.repository : options.source);
  if (memory) return std::move(*memory);
  problem = memory.error().Text();
  return nullptr;
}

void NoteVerified(backup::VerifiedMemory& memory, const backup::Verified& verified, std::int64_t now) {
  for (const backup::SetReport& set : verified.report.sets) {
    if (AnyFailed(set.levels)) {
      memory.ForgetSet(set.label);
      continue;
    }
    const int passed = PassedTo(set.levels);
    if (passed < static_cast<int>(Level::kBytes)) continue;
    for (const backup::SetInfo& info : verified.inventory.sets) {
      if (info.label == set.label) memory.NoteSet({set.label, info.stopped, passed, now});
    }
  }
}

Freshness JudgeSource(const BackupOptions& options, const std::vector<backup::SetInfo>& sets, const backup::Report* report,
                      backup::VerifiedMemory* memory, std::vector<backup::Finding>& findings) {
  Freshness freshness;
  const int wanted = WantedLevel(options);
  const auto stopped_of = [&](const std::string& label) -> std::optional<std::int64_t> {
    for (const backup::SetInfo& set : sets) {
      if (set.label == label && set.present) return set.stopped;
    }
    return std::nullopt;
  };
  for (const backup::SetInfo& set : sets) {
    // SAFETY: an error text in a dump's place is young, and no backup: it must not make the source look fresh (F02).
    const bool none = std::any_of(findings.begin(), findings.end(), [&](const backup::Finding& each) {
      return each.fault == 2 && each.set == set.label && each.severity == backup::Severity::kFault;
    });
    if (set.present && !none) TakeNewer(freshness.newest, {set.label, set.stopped});
  }
  if (report != nullptr) {
    for (const backup::SetReport& set : report->sets) {
      const auto stopped = stopped_of(set.label);
      if (stopped && !AnyFailed(set.levels) && PassedTo(set.levels) >= wanted) TakeNewer(freshness.verified, {set.label, *stopped});
    }
  }
  bool known = report != nullptr && options.level >= wanted;
  if (memory != nullptr) {
    const auto before = memory->Sets();
    known = known || before.ok();
    for (const backup::VerifiedSet& set : before.ok() ? *before : std::vector<backup::VerifiedSet>()) {
      // One that was replaced under its name, or is gone, is verified no more.
      if (set.level >= wanted && stopped_of(set.label) == set.stopped) TakeNewer(freshness.verified, {set.label, set.stopped});
    }
  }
  backup::FreshnessQuestion question;
  question.now = ReadWallClock().ns / 1000000000;
  if (options.settings) {
    question.backup_age = options.settings->objectives.backup_age;
    question.verified_age = options.settings->objectives.verified_age;
  }
  question.newest = freshness.newest;
  question.verified = freshness.verified;
  question.verified_known = known;
  question.level = wanted;
  freshness.lines = backup::JudgeFreshness(question, findings);
  return freshness;
}

Json ToJson(const Freshness& freshness) {
  const auto aged = [](const std::optional<backup::Aged>& backup) {
    return backup ? Json{{"label", backup->label}, {"stopped", backup->stopped}} : Json(nullptr);
  };
  return {
      {"newest", aged(freshness.newest)}, {"verified", aged(freshness.verified)}, {"objectives", backup::ToJson(freshness.lines)}};
}

void PrintFreshness(const Freshness& freshness) {
  for (const backup::ObjectiveLine& line : freshness.lines) {
    const char* what = line.name == "backup_age" ? "newest backup" : "newest verified backup";
    std::printf("%s: %s%s%s\n", what, LineText(line).c_str(),
                line.reason.empty() || line.reason == "nothing is promised" ? "" : "; ",
                line.reason == "nothing is promised" ? "" : line.reason.c_str());
  }
}

}  // namespace lifeboat
