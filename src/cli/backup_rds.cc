#include "cli/backup_rds.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <csignal>
#include <cstdio>

#include "adapters/aws/kms.h"
#include "adapters/aws/open.h"
#include "adapters/aws/rds_snapshots.h"
#include "adapters/system/clock.h"
#include "adapters/system/files.h"
#include "adapters/system/pool_files.h"
#include "base/spawn.h"
#include "cli/backup.h"
#include "cli/rds_content.h"
#include "cli/rds_report.h"
#include "config/text.h"

namespace lifeboat {

namespace {

using backup::Level;
using backup::LevelResult;
using backup::Verdict;

constexpr std::string_view kScheme = "rds:";
constexpr Duration kOneCall = 30s;
constexpr const char* kClassOfAurora = "db.t4g.medium";  // CreateDBInstance wants one; the smallest that Aurora PostgreSQL takes

std::atomic<bool> cancelled = false;

/// Ctrl-C ends the waiting; what was made is removed all the same.
class Interruptible {
 public:
  Interruptible() {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) (void)std::signal(signal, [](int) { cancelled = true; });
  }
  ~Interruptible() {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) (void)std::signal(signal, SIG_DFL);
  }
  Interruptible(const Interruptible&) = delete;
  Interruptible& operator=(const Interruptible&) = delete;
};

template <typename T>
Task<> Deliver(Task<T> task, std::optional<T>* into) {
  into->emplace(co_await std::move(task));
}

/// The client of one command, and the loop that it runs in.
class Aws {
 public:
  template <typename T>
  T Wait(Task<T> task) {
    std::optional<T> answer;
    Spawn(io_.get_executor(), Deliver<T>(std::move(task), &answer));
    while (!answer) io_.run_one();
    io_.restart();
    return *std::move(answer);
  }
  Result<Unit> Open(const std::string& region) {
    aws::OpenOptions how;
    how.credentials.region = region;
    aws::Surroundings around{clock_, files_, aws::EnvironmentOfTheProcess(), Log()};
    Result<std::shared_ptr<aws::Client>> client = Wait(aws::Open(io_.get_executor(), std::move(how), std::move(around)));
    if (!client) return client.error();
    client_ = *std::move(client);
    return Done();
  }
  [[nodiscard]] aws::Client& client() { return *client_; }
  [[nodiscard]] Clock& clock() { return clock_; }

 private:
  boost::asio::io_context io_{1};
  SystemClock clock_;
  PoolFiles files_;
  std::shared_ptr<aws::Client> client_;
};

RdsRegion ListRegion(Aws& aws, const std::string& region, const std::string& of) {
  RdsRegion found;
  found.region = region;
  for (const bool of_cluster : {false, true}) {
    Result<std::vector<aws::rds::StoredSnapshot>> snapshots =
        aws.Wait(aws::rds::ListStoredSnapshots(aws.client(), region, of, of_cluster, kOneCall));
    if (!snapshots) found.problem = snapshots.error().message;
    if (snapshots.ok()) found.snapshots.insert(found.snapshots.end(), snapshots->begin(), snapshots->end());
  }
  return found;
}

void LookAtKeys(Aws& aws, RdsFacts& facts) {
  for (const RdsRegion& region : facts.regions) {
    for (const aws::rds::StoredSnapshot& each : region.snapshots) {
      if (!each.encrypted || each.kms_key.empty() || facts.keys.count(each.kms_key) > 0) continue;
      RdsKey& key = facts.keys[each.kms_key];
      const Result<aws::kms::Key> seen = aws.Wait(aws::kms::DescribeKey(aws.client(), region.region, each.kms_key, kOneCall));
      if (seen.ok()) key.state = seen->state;
      if (!seen && seen.error().retry == Retry::kNotFound) key.state = "not there";
      if (!seen) key.problem = seen.error().message;
    }
  }
}

Result<RdsFacts> Gather(Aws& aws, const BackupOptions& options, const std::vector<std::string>& regions) {
  RdsFacts facts;
  facts.of = options.repository.substr(kScheme.size());
  for (const std::string& region : regions) facts.regions.push_back(ListRegion(aws, region, facts.of));
  if (std::all_of(facts.regions.begin(), facts.regions.end(), [](const RdsRegion& each) { return !each.problem.empty(); })) {
    return RetryLater("no region tells of snapshots of '" + facts.of + "': " + facts.regions.front().problem);
  }
  facts.now = WallTime{aws.clock().Wall().ns + aws.client().skew().count()};
  if (!options.rds.age.empty()) {
    const std::optional<Duration> age = ParseDuration(options.rds.age);
    if (!age) return Fail("'" + options.rds.age + "' is no time for --rds-age", "write a number and a unit: 26h, 90min");
    facts.age = *age;
  }
  LookAtKeys(aws, facts);
  DateCopies(facts);
  return facts;
}

/// Level 6 by SQL, where the instance can be reached from here.
LevelResult CheckBySql(const aws::Restored& restored, const aws::rds::StoredSnapshot& snapshot, const BackupOptions& options, const std::string& label,
                       backup::Report& report, Json& figures) {
  Result<std::vector<backup::SqlCheck>> questions = ReadSqlChecks(options.restore.checks);
  if (!questions) return {Verdict::kNotChecked, questions.error().message};
  RdsContentQuestion question;
  question.place.address = restored.address;
  question.place.port = static_cast<std::uint16_t>(restored.port);
  question.place.user = options.restore.user == "postgres" && !snapshot.user.empty() ? snapshot.user : options.restore.user;
  question.place.cancel = &cancelled;
  question.set = label;
  question.claimed = snapshot.created;
  question.checks = *std::move(questions);
  RdsContent content = CheckRdsContent(question);
  report.findings.insert(report.findings.end(), content.findings.begin(), content.findings.end());
  figures["content"] = std::move(content.figures);
  return content.level;
}

LevelResult JudgeRestore(const Result<aws::Restored>& restored, const std::string& label, backup::Report& report) {
  if (!restored) {
    const bool later = restored.error().retry == Retry::kRetry || restored.error().retry == Retry::kUnknownOutcome;
    // RDS may refuse for a quota, a permission, a class that it does not have: that says nothing of the snapshot.
    return {later ? Verdict::kUnknown : Verdict::kNotChecked, restored.error().message};
  }
  if (restored->available) return {Verdict::kPass, "RDS says that it is available, after " + FormatDuration(restored->took)};
  const bool key = restored->status == "inaccessible-encryption-credentials";
  report.findings.push_back(backup::MakeFinding(key ? 20 : 31, label, "", "", "RDS gave the restore up: '" + restored->status + "'"));
  report.findings.back().level = Level::kRestores;
  return {Verdict::kFail, ""};
}

aws::rds::TemporaryShape ShapeOf(const RdsFlags& flags, const aws::rds::StoredSnapshot& snapshot) {
  aws::rds::TemporaryShape shape;
  shape.id = aws::TemporaryRestores::NewName();
  shape.instance_class = flags.instance_class.empty() && snapshot.of_cluster ? kClassOfAurora : flags.instance_class;
  shape.subnet_group = flags.subnet_group;
  shape.parameter_group = flags.parameter_group;
  shape.security_groups = flags.security_groups;
  return shape;
}

/// Levels 4 to 6 of one snapshot. @return false: something that costs money may be left
bool RestoreOne(Aws& aws, aws::TemporaryRestores& restores, const aws::rds::StoredSnapshot& snapshot, const BackupOptions& options,
                backup::Report& report) {
  const std::string label = LabelOf(snapshot);
  const auto set = std::find_if(report.sets.begin(), report.sets.end(), [&](const backup::SetReport& each) { return each.label == label; });
  if (set == report.sets.end()) return true;
  const aws::rds::TemporaryShape shape = ShapeOf(options.rds, snapshot);
  const Result<aws::Restored> restored = aws.Wait(restores.Make(snapshot, shape));
  Json figures = {{"id", shape.id}, {"region", snapshot.region}};
  set->levels[static_cast<std::size_t>(Level::kRestores)] = JudgeRestore(restored, label, report);
  if (options.level >= static_cast<int>(Level::kLogic)) {
    set->levels[static_cast<std::size_t>(Level::kLogic)] = {Verdict::kNotChecked, "amcheck is not run on a restored instance of RDS"};
  }
  if (options.level >= static_cast<int>(Level::kContent)) {
    const bool there = restored.ok() && restored->available;
    set->levels[static_cast<std::size_t>(Level::kContent)] =
        there ? CheckBySql(*restored, snapshot, options, label, report, figures) : LevelResult{Verdict::kNotChecked, "there is nothing to ask"};
  }
  if (restored.ok()) figures["took_ms"] = Millis(restored->took);
  // SAFETY: whatever happened until here: what was made is removed, also after Ctrl-C.
  const Result<Unit> removed = aws.Wait(restores.Remove(snapshot.region, shape.id, snapshot.of_cluster));
  figures["removed"] = removed.ok();
  if (!removed) std::fprintf(stderr, "lifeboat: %s\n", removed.error().Text().c_str());
  set->restore = std::move(figures);
  return removed.ok();
}

/// What killed runs have left. @return false: something is still there
bool SweepAll(Aws& aws, aws::TemporaryRestores& restores, const std::vector<std::string>& regions) {
  bool clean = true;
  for (const std::string& region : regions) {
    const Result<aws::Swept> swept = aws.Wait(restores.Sweep(region));
    if (!swept) continue;  // listing its snapshots says why, if it does not answer
    for (const std::string& each : swept->removed) std::fprintf(stderr, "lifeboat: '%s' in '%s', left by an earlier run, is deleted\n", each.c_str(), region.c_str());
    for (const std::string& each : swept->problems) std::fprintf(stderr, "lifeboat: in '%s': %s\n", region.c_str(), each.c_str());
    clean = clean && swept->problems.empty();
  }
  return clean;
}

bool AnyUnseen(const backup::Report& report, int level) {
  for (const backup::SetReport& set : report.sets) {
    for (const LevelResult& each : set.levels) {
      if (each.verdict == Verdict::kUnknown) return true;
    }
    const bool tried = !set.restore.is_null();
    for (int at = static_cast<int>(Level::kRestores); tried && at <= level; ++at) {
      const bool never = at == static_cast<int>(Level::kLogic);  // never looked at here, and said so
      if (!never && set.levels[static_cast<std::size_t>(at)].verdict == Verdict::kNotChecked) return true;
    }
  }
  return false;
}

/// With dozens of snapshots, what is so of all of them is said once.
void PrintShort(backup::Report report) {
  for (backup::SetReport& set : report.sets) {
    for (int level = 0; level < static_cast<int>(Level::kRestores); ++level) {
      LevelResult& each = set.levels[static_cast<std::size_t>(level)];
      if (each.verdict == Verdict::kPass || (each.verdict == Verdict::kNotChecked && level >= static_cast<int>(Level::kBytes))) each.reason.clear();
    }
  }
  PrintBackupReport(report);
  std::printf("bytes and pages are not checked: RDS shows neither files nor pages of a snapshot\n");
}

int CodeFor(const backup::Report& report, int level, bool tried, bool clean) {
  bool fault = false;
  bool missed = false;
  for (const backup::Finding& each : report.findings) {
    if (each.severity != backup::Severity::kFault) continue;
    (each.fault == 1 ? missed : fault) = true;
  }
  if (fault || !clean || report.cancelled) return static_cast<int>(Exit::kFailed);
  return static_cast<int>(missed || !tried || AnyUnseen(report, level) ? Exit::kNotMet : Exit::kDone);
}

Result<std::vector<std::string>> RegionsOf(const BackupOptions& options) {
  std::vector<std::string> regions = options.rds.regions;
  const aws::Environment environment = aws::EnvironmentOfTheProcess();
  for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION"}) {
    if (regions.empty() && environment(name)) regions.push_back(*environment(name));
  }
  if (regions.empty()) return Fail("no region is named in which snapshots should lie", "name each by --rds-region");
  if (options.repository.size() == kScheme.size()) return Fail("'rds:' names no instance or cluster", "write rds:orders");
  if (!options.restore.to.empty() || !options.restore.rto.empty() || !options.restore.rpo.empty()) {
    return Fail("--to, --rto and --rpo say nothing of snapshots of RDS", "leave them out; --rds-age judges their age");
  }
  return regions;
}

}  // namespace

bool IsRds(const std::string& repository) { return repository.starts_with(kScheme); }

int VerifyRds(const CommonOptions& common, const BackupOptions& options) {
  const Result<std::vector<std::string>> regions = RegionsOf(options);
  if (!regions) return EndWith(regions.error(), common);
  Aws aws;
  if (const Result<Unit> opened = aws.Open(regions->front()); !opened) return EndWith(opened.error(), common);
  const Interruptible interruptible;
  const Instant began = aws.clock().Now();
  const Result<RdsFacts> facts = Gather(aws, options, *regions);
  if (!facts) return EndWith(facts.error(), common);
  backup::Report report = JudgeRds(*facts);
  bool tried = true;
  bool clean = true;
  if (options.level >= static_cast<int>(Level::kRestores)) {
    aws::TemporaryOptions temporary;
    temporary.poll = std::chrono::seconds(options.rds.poll);
    temporary.patience = std::chrono::minutes(options.rds.patience);
    temporary.cancel = &cancelled;
    aws::TemporaryRestores restores(aws.client(), aws.clock(), Log(), temporary);
    const std::string region = options.rds.restore_region.empty() ? regions->back() : options.rds.restore_region;
    std::vector<std::string> sweep = *regions;
    if (std::find(sweep.begin(), sweep.end(), region) == sweep.end()) sweep.push_back(region);
    clean = SweepAll(aws, restores, sweep);
    const aws::rds::StoredSnapshot* chosen = ChooseSnapshot(*facts, region, options.set);
    tried = chosen != nullptr;
    if (!tried) std::fprintf(stderr, "lifeboat: there is no available snapshot to restore in '%s'\n", region.c_str());
    if (tried) clean = RestoreOne(aws, restores, *chosen, options, report) && clean;
  }
  report.cancelled = cancelled;
  report.took = AgeAt(began, aws.clock().Now());
  if (common.json) {
    Json json = backup::ToJson(report);
    json["level"] = options.level;
    json["regions"] = *regions;
    std::printf("%s\n", json.dump(2).c_str());
  } else {
    PrintShort(report);
  }
  return CodeFor(report, options.level, tried, clean);
}

}  // namespace lifeboat
