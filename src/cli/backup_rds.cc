#include "cli/backup_rds.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>

#include <unistd.h>

#include "adapters/aws/kms.h"
#include "adapters/aws/open.h"
#include "adapters/aws/rds_snapshots.h"
#include "adapters/system/clock.h"
#include "adapters/system/files.h"
#include "adapters/system/pool_files.h"
#include "base/drive.h"
#include "base/spawn.h"
#include "cli/backup.h"
#include "cli/backup_source.h"
#include "cli/rds_content.h"
#include "cli/rds_promises.h"
#include "cli/rds_report.h"
#include "cli/rds_windows.h"
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

/// Ctrl-C and a deadline end the waiting; what was made is removed all the same, and that takes time of its own: whoever sets a
/// deadline kills us soon after it.
class Interruptible {
 public:
  explicit Interruptible(std::uint64_t deadline) {
    for (const int signal : kSignals) (void)std::signal(signal, [](int) { cancelled = true; });
    constexpr std::uint64_t kToRemove = 30 * 60;
    (void)alarm(static_cast<unsigned>(deadline - std::min(deadline / 2, kToRemove)));
  }
  ~Interruptible() {
    (void)alarm(0);
    for (const int signal : kSignals) (void)std::signal(signal, SIG_DFL);
  }
  Interruptible(const Interruptible&) = delete;
  Interruptible& operator=(const Interruptible&) = delete;

 private:
  static constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP, SIGALRM};
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
    DriveUntil(io_, [&] { return answer.has_value(); });
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
  } else if (options.settings) {
    facts.age = options.settings->objectives.backup_age;
  }
  LookAtKeys(aws, facts);
  DateCopies(facts);
  return facts;
}

/// The questions of a file, and of the source.
Result<std::vector<backup::SqlCheck>> QuestionsOf(const BackupOptions& options) {
  Result<std::vector<backup::SqlCheck>> questions = ReadSqlChecks(options.restore.checks);
  if (!questions || !options.settings) return questions;
  for (const BackupSqlCheck& each : options.settings->checks)
    questions->push_back({each.name, each.database, each.sql, each.expect});
  return questions;
}

/// Level 6 by SQL, where the instance can be reached from here.
RdsContent CheckBySql(const aws::Restored& restored, const aws::rds::StoredSnapshot& snapshot, const BackupOptions& options,
                      const std::string& label) {
  Result<std::vector<backup::SqlCheck>> questions = QuestionsOf(options);
  if (!questions) return {{Verdict::kNotChecked, questions.error().message}, {}, {}, {}, Json::object()};
  const std::string named = options.settings ? options.settings->rds.user : "";
  RdsContentQuestion question;
  question.place.address = restored.address;
  question.place.port = static_cast<std::uint16_t>(restored.port);
  question.place.user = options.restore.user;
  if (options.restore.user == "postgres" && !snapshot.user.empty()) question.place.user = snapshot.user;
  if (options.restore.user == "postgres" && !named.empty()) question.place.user = named;
  question.place.cancel = &cancelled;
  question.set = label;
  question.claimed = snapshot.created;
  question.checks = *std::move(questions);
  return CheckRdsContent(question);
}

LevelResult JudgeRestore(const Result<aws::Restored>& restored, const std::string& label, backup::Report& report) {
  if (!restored) {
    const bool later = restored.error().retry == Retry::kRetry || restored.error().retry == Retry::kUnknownOutcome;
    // RDS may refuse for a quota, a permission, a class that it does not have: that says nothing of the snapshot.
    return {later ? Verdict::kUnknown : Verdict::kNotChecked, restored.error().message};
  }
  if (restored->available) return {Verdict::kPass, "RDS says that it is available, after " + FormatDuration(restored->took)};
  const bool key = restored->status == "inaccessible-encryption-credentials";
  report.findings.push_back(
      backup::MakeFinding(key ? 20 : 31, label, "", "", "RDS gave the restore up: '" + restored->status + "'"));
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

/// What a restore of this snapshot to now would lose: nobody knows of writes after it, nor after its newest heartbeat.
std::optional<Duration> LossOf(const RdsFacts& facts, const aws::rds::StoredSnapshot& snapshot, const RdsContent& content) {
  if (!snapshot.created && !content.heartbeat) return std::nullopt;
  const std::int64_t newest = std::max(snapshot.created.value_or(WallTime{}).ns, content.heartbeat.value_or(WallTime{}).ns);
  return Duration(std::max<std::int64_t>(0, facts.now.ns - newest));
}

/// Levels 4 to 6 of one snapshot. @return false: something that costs money may be left
bool RestoreOne(Aws& aws, aws::TemporaryRestores& restores, const RdsFacts& facts, const aws::rds::StoredSnapshot& snapshot,
                const BackupOptions& options, const RdsPromises& promises, backup::Report& report) {
  const std::string label = LabelOf(snapshot);
  const auto set =
      std::find_if(report.sets.begin(), report.sets.end(), [&](const backup::SetReport& each) { return each.label == label; });
  if (set == report.sets.end()) return true;
  const aws::rds::TemporaryShape shape = ShapeOf(options.rds, snapshot);
  const auto began = std::chrono::steady_clock::now();
  const Result<aws::Restored> restored = aws.Wait(restores.Make(snapshot, shape));
  const bool there = restored.ok() && restored->available;
  Json figures = {{"set", label}, {"kind", set->kind}, {"id", shape.id}, {"region", snapshot.region}, {"phases", Json::array()}};
  set->levels[static_cast<std::size_t>(Level::kRestores)] = JudgeRestore(restored, label, report);
  if (options.level >= static_cast<int>(Level::kLogic)) {
    set->levels[static_cast<std::size_t>(Level::kLogic)] = {Verdict::kNotChecked,
                                                            "amcheck is not run on a restored instance of RDS"};
  }
  RdsContent content;
  content.level = {Verdict::kNotChecked, "there is nothing to ask"};
  if (options.level >= static_cast<int>(Level::kContent)) {
    if (there) content = CheckBySql(*restored, snapshot, options, label);
    set->levels[static_cast<std::size_t>(Level::kContent)] = content.level;
    report.findings.insert(report.findings.end(), content.findings.begin(), content.findings.end());
    figures["content"] = content.figures;
  }
  std::optional<Duration> usable;
  if (there && content.answered) usable = std::chrono::duration_cast<Duration>(*content.answered - began);
  if (restored.ok()) figures["phases"].push_back({{"name", "restore"}, {"seconds", Seconds(restored->took)}});
  if (usable)
    figures["phases"].push_back({{"name", "query"}, {"seconds", Seconds(std::max(Duration{0}, *usable - restored->took))}});
  figures["rto"] =
      RestoreObjective(promises.rto, usable, there ? "it was not asked by SQL, so no query was answered" : "no query was answered");
  figures["rpo"] = RestoreObjective(promises.rpo, there ? LossOf(facts, snapshot, content) : std::nullopt,
                                    there ? "neither RDS nor a heartbeat tells how new the data is" : "it was not restored");
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
    for (const std::string& each : swept->removed)
      std::fprintf(stderr, "lifeboat: '%s' in '%s', left by an earlier run, is deleted\n", each.c_str(), region.c_str());
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
      if (each.verdict == Verdict::kPass || (each.verdict == Verdict::kNotChecked && level >= static_cast<int>(Level::kBytes)))
        each.reason.clear();
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

/// Of the command line, else of the source, else of the environment.
Result<std::vector<std::string>> RegionsOf(const BackupOptions& options) {
  std::vector<std::string> regions = options.rds.regions;
  const aws::Environment environment = aws::EnvironmentOfTheProcess();
  for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION"}) {
    if (regions.empty() && environment(name)) regions.push_back(*environment(name));
  }
  if (regions.empty()) return Fail("no region is named in which snapshots should lie", "name each by --rds-region");
  if (options.repository.size() == kScheme.size()) return Fail("'rds:' names no instance or cluster", "write rds:orders");
  if (!options.restore.to.empty())
    return Fail("--to says nothing of snapshots of RDS: each is of one moment", "name a snapshot by --set");
  return regions;
}

Result<RdsPromises> PromisesOf(const BackupOptions& options) {
  RdsPromises promises;
  promises.restore_level = options.level >= static_cast<int>(Level::kRestores) && options.level < static_cast<int>(Level::kContent)
                               ? static_cast<int>(Level::kRestores)
                               : static_cast<int>(Level::kContent);
  if (options.settings) {
    const BackupObjectives& said = options.settings->objectives;
    promises = {said.backup_age, said.verified_age, said.rto, said.rpo, options.settings->schedule.restore_level};
  }
  for (const auto& [name, text, into] :
       {std::tuple("rto", &options.restore.rto, &promises.rto), std::tuple("rpo", &options.restore.rpo, &promises.rpo)}) {
    const Result<std::optional<Duration>> given = ParseObjective(name, *text);
    if (!given) return given.error();
    if (*given) *into = **given;
  }
  return promises;
}

/// Levels 4 to 6 of the snapshot that was asked for. @return whether one was tried, and whether nothing is left behind
std::pair<bool, bool> TryRestore(Aws& aws, const RdsFacts& facts, const BackupOptions& options,
                                 const std::vector<std::string>& regions, const RdsPromises& promises, backup::Report& report) {
  aws::TemporaryOptions temporary;
  temporary.poll = std::chrono::seconds(options.rds.poll);
  temporary.patience = std::chrono::minutes(options.rds.patience);
  temporary.cancel = &cancelled;
  const auto began = std::chrono::steady_clock::now();
  if (isatty(STDERR_FILENO) == 1) {
    temporary.on_progress = [began](const std::string& doing) {
      const auto gone = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - began);
      std::fprintf(stderr, "lifeboat: %s (%s)\n", doing.c_str(), FormatDuration(gone).c_str());
    };
  }
  aws::TemporaryRestores restores(aws.client(), aws.clock(), Log(), temporary);
  const std::string region = options.rds.restore_region.empty() ? regions.back() : options.rds.restore_region;
  std::vector<std::string> sweep = regions;
  if (std::find(sweep.begin(), sweep.end(), region) == sweep.end()) sweep.push_back(region);
  const bool clean = SweepAll(aws, restores, sweep);
  const aws::rds::StoredSnapshot* chosen = ChooseSnapshot(facts, region, options.set);
  if (chosen == nullptr) {
    std::fprintf(stderr, "lifeboat: there is no available snapshot to restore in '%s'\n", region.c_str());
    return {false, clean};
  }
  return {true, RestoreOne(aws, restores, facts, *chosen, options, promises, report) && clean};
}

/// What was restored and passed is known later, and what failed is forgotten.
void Remember(backup::VerifiedMemory& memory, const RdsFacts& facts, const backup::Report& report, std::int64_t now) {
  for (const backup::SetReport& set : report.sets) {
    if (std::any_of(set.levels.begin(), set.levels.end(), [](const LevelResult& each) { return each.verdict == Verdict::kFail; })) {
      memory.ForgetSet(set.label);
    }
    const int restored = RestoredTo(set);
    for (const RdsRegion& region : facts.regions) {
      for (const aws::rds::StoredSnapshot& each : region.snapshots) {
        if (restored > 0 && each.created && LabelOf(each) == set.label)
          memory.NoteSet({set.label, each.created->ns / 1000000000, restored, now});
      }
    }
  }
}

/// Whether an objective of a restore that was made is missed, or could not be measured.
bool AnyRestoreMissed(const backup::Report& report) {
  for (const backup::SetReport& set : report.sets) {
    for (const char* name : {"rto", "rpo"}) {
      const std::string verdict = TextAt(MemberAt(set.restore, name), "verdict");
      if (verdict == "fail" || verdict == "unknown") return true;
    }
  }
  return false;
}

void PrintRestores(const backup::Report& report) {
  for (const backup::SetReport& set : report.sets) {
    if (!set.restore.is_object()) continue;
    std::printf("%s restored in '%s'", set.label.c_str(), TextAt(set.restore, "region").c_str());
    for (const Json& phase : MemberAt(set.restore, "phases")) {
      std::printf(", %s %.1f s", TextAt(phase, "name").c_str(), MemberAt(phase, "seconds").get<double>());
    }
    std::printf("\n");
    for (const char* name : {"rto", "rpo"}) {
      const Json& told = MemberAt(set.restore, name);
      if (!MemberAt(told, "objective_seconds").is_number()) continue;
      const Json& measured = MemberAt(told, "measured_seconds");
      std::printf("  %s: %s (at most %.0f s): %s%s%s\n", name,
                  measured.is_number() ? (std::to_string(measured.get<double>()) + " s").c_str() : "unknown",
                  MemberAt(told, "objective_seconds").get<double>(), TextAt(told, "verdict").c_str(),
                  TextAt(told, "reason").empty() ? "" : "; ", TextAt(told, "reason").c_str());
    }
  }
}

/// Each restore becomes a record. @return what went wrong with it
Result<Unit> RecordRestores(const CommonOptions& common, const BackupOptions& options, const backup::Report& report) {
  for (const backup::SetReport& set : report.sets) {
    if (!set.restore.is_object()) continue;
    Json what = set.restore;
    what["source"] = report.source;
    what["levels"] = backup::ToJson(set.levels);
    what["findings"] = Json::array();
    for (const backup::Finding& each : report.findings) what["findings"].push_back(backup::ToJson(each));
    const Result<std::uint64_t> recorded = RecordDrill(common, options, what);
    if (!recorded) return recorded.error().Within("the drill was not recorded");
  }
  return Done();
}

Json JsonOf(const backup::Report& report, const BackupOptions& options, const std::vector<std::string>& regions,
            const Freshness& fresh, const std::string& memory_problem, std::int64_t now) {
  Json json = backup::ToJson(report);
  json["level"] = options.level;
  json["full"] = true;  // RDS is asked anew each time
  json["name"] = options.source;
  json["at"] = now;
  json["regions"] = regions;
  json["freshness"] = ToJson(fresh);
  json["windows"] = Json::array();
  json["memory"] = {{"file", options.memory}, {"problem", memory_problem}};
  return json;
}

}  // namespace

bool IsRds(const std::string& repository) { return repository.starts_with(kScheme); }

void TakeRdsSettings(const BackupSourceSettings& source, RdsFlags& flags) {
  const auto take = [](auto& option, const auto& value) {
    if (option.empty()) option = value;
  };
  take(flags.regions, source.rds.regions);
  take(flags.restore_region, source.rds.restore_region);
  take(flags.instance_class, source.rds.instance_class);
  take(flags.subnet_group, source.rds.subnet_group);
  take(flags.parameter_group, source.rds.parameter_group);
  take(flags.security_groups, source.rds.security_groups);
  const auto patience = std::chrono::duration_cast<std::chrono::minutes>(source.rds.patience).count();
  if (flags.patience == RdsFlags{}.patience && patience > 0) flags.patience = static_cast<std::uint64_t>(patience);
}

int VerifyRds(const CommonOptions& common, const BackupOptions& options, bool drill) {
  const Result<std::vector<std::string>> regions = RegionsOf(options);
  if (!regions) return EndWith(regions.error(), common);
  const Result<RdsPromises> promises = PromisesOf(options);
  if (!promises) return EndWith(promises.error(), common);
  if (const Result<Unit> proven = ProveThatRdsChecksCanFail(); !proven) return EndWith(proven.error(), common);
  const auto lock = options.level > static_cast<int>(Level::kExists)
                        ? LockSource(options)
                        : Result<std::optional<Descriptor>>(std::optional<Descriptor>());
  if (!lock) return EndWith(lock.error(), common);
  Aws aws;
  if (const Result<Unit> opened = aws.Open(regions->front()); !opened) return EndWith(opened.error(), common);
  std::string memory_problem;
  const auto memory = OpenMemory(options, memory_problem);
  const Interruptible interruptible(options.deadline);
  const Instant began = aws.clock().Now();
  const Result<RdsFacts> facts = Gather(aws, options, *regions);
  if (!facts) return EndWith(facts.error(), common);
  const RdsWindows windows = aws.Wait(LookAtWindows(aws.client(), *regions, facts->of, kOneCall));
  backup::Report report = JudgeRds(*facts);
  const bool restores = options.level >= static_cast<int>(Level::kRestores);
  const auto [tried, clean] = restores ? TryRestore(aws, *facts, options, *regions, *promises, report) : std::pair(true, true);
  report.cancelled = cancelled;
  report.took = AgeAt(began, aws.clock().Now());
  const std::int64_t now = facts->now.ns / 1000000000;
  if (memory) Remember(*memory, *facts, report, now);
  const auto known = memory ? memory->Sets() : Result<std::vector<backup::VerifiedSet>>(Fail(""));
  const Freshness fresh =
      JudgeRdsAges(*facts, report, *promises, known ? std::optional(*known) : std::nullopt, restores && tried, report.findings);
  if (common.json) {
    Json json = JsonOf(report, options, *regions, fresh, memory_problem, now);
    json["automated"] = ToJson(windows, facts->now);
    std::printf("%s\n", json.dump(2).c_str());
  } else {
    PrintShort(report);
    PrintRestores(report);
    PrintWindows(windows, facts->now);
    if (options.settings) PrintFreshness(fresh);
    if (!memory_problem.empty()) std::printf("what was verified before is not known: %s\n", memory_problem.c_str());
  }
  // A drill without its record is no evidence: it failed, whatever it found.
  if (const Result<Unit> recorded = drill ? RecordRestores(common, options, report) : Result<Unit>(Done()); !recorded)
    return EndWith(recorded.error(), common);
  const int code = CodeFor(report, options.level, tried, clean);
  const bool missed = backup::AnyMissed(fresh.lines) || AnyRestoreMissed(report);
  return code == static_cast<int>(Exit::kDone) && missed ? static_cast<int>(Exit::kNotMet) : code;
}

}  // namespace lifeboat
