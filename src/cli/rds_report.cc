#include "cli/rds_report.h"

#include <algorithm>

namespace lifeboat {

namespace {

using aws::rds::StoredSnapshot;
using backup::Level;
using backup::LevelResult;
using backup::Verdict;

constexpr Duration kClocksDiffer = std::chrono::minutes(5);

LevelResult& At(backup::SetReport& set, Level level) { return set.levels[static_cast<std::size_t>(level)]; }

bool IsAvailable(const StoredSnapshot& snapshot) { return snapshot.status == "available"; }
bool HasFailed(const StoredSnapshot& snapshot) {
  return snapshot.status == "failed" || snapshot.status == "error" || snapshot.status.starts_with("incompatible");
}

LevelResult JudgeExistence(const StoredSnapshot& snapshot, std::vector<backup::Finding>& findings) {
  if (IsAvailable(snapshot)) return {Verdict::kPass, ""};
  if (!HasFailed(snapshot)) return {Verdict::kNotChecked, "it is '" + snapshot.status + "', and no backup yet"};
  findings.push_back(backup::MakeFinding(2, LabelOf(snapshot), "", "", "RDS says that the snapshot is '" + snapshot.status + "'"));
  return {Verdict::kFail, ""};
}

LevelResult JudgeKey(const RdsFacts& facts, const StoredSnapshot& snapshot, std::vector<backup::Finding>& findings) {
  if (!snapshot.encrypted) return {Verdict::kPass, "not encrypted"};
  const auto found = facts.keys.find(snapshot.kms_key);
  if (found == facts.keys.end() || !found->second.state) {
    return {Verdict::kUnknown,
            "its key was not looked at: " + (found == facts.keys.end() ? "RDS names none" : found->second.problem)};
  }
  if (*found->second.state == "Enabled") return {Verdict::kPass, ""};
  findings.push_back(backup::MakeFinding(20, LabelOf(snapshot), snapshot.kms_key, "",
                                         "the key is '" + *found->second.state + "' in '" + snapshot.region + "'"));
  return {Verdict::kFail, ""};
}

backup::SetReport JudgeSnapshot(const RdsFacts& facts, const StoredSnapshot& snapshot, std::vector<backup::Finding>& findings) {
  backup::SetReport set;
  set.label = LabelOf(snapshot);
  set.kind = (snapshot.of_cluster ? "aurora " : "rds ") + snapshot.type;
  for (LevelResult& each : set.levels) each.reason = "not asked for";
  At(set, Level::kExists) = JudgeExistence(snapshot, findings);
  At(set, Level::kStructure) = IsAvailable(snapshot) ? JudgeKey(facts, snapshot, findings)
                                                     : LevelResult{Verdict::kNotChecked, "there is nothing to look at"};
  for (const Level level : {Level::kBytes, Level::kPages})
    At(set, level) = {Verdict::kNotChecked, "RDS shows neither files nor pages of a snapshot"};
  return set;
}

/// What is promised of a region: that something is there, and how old it is.
void JudgeRegion(const RdsFacts& facts, const RdsRegion& region, backup::Report& report) {
  std::vector<backup::Finding>& findings = report.findings;
  bool undated = false;
  const StoredSnapshot* newest = NewestUsable(region, report, undated);
  if (newest == nullptr) {
    const std::string what =
        undated ? "the age of what is in '" + region.region + "' is not known: copies whose sources were not listed"
                : "there is no usable snapshot of '" + facts.of + "' in '" + region.region + "'";
    if (!undated || facts.age.count() > 0) findings.push_back(backup::MakeFinding(1, "", region.region, "", what));
    return;
  }
  const Duration age = Duration(facts.now.ns - newest->created->ns);
  if (age < -kClocksDiffer) {
    findings.push_back(backup::MakeFinding(45, LabelOf(*newest), "", "", "it was taken " + FormatDuration(-age) + " from now"));
  } else if (facts.age.count() > 0 && age > facts.age) {
    findings.push_back(backup::MakeFinding(1, LabelOf(*newest), region.region, "",
                                           "the newest usable snapshot in '" + region.region + "' is " + FormatDuration(age) +
                                               " old, and at most " + FormatDuration(facts.age) + " is promised"));
  }
}

}  // namespace

std::string LabelOf(const StoredSnapshot& snapshot) { return snapshot.region + "/" + snapshot.id; }

void DateCopies(RdsFacts& facts) {
  std::map<std::string, WallTime> known;
  for (const RdsRegion& region : facts.regions) {
    for (const StoredSnapshot& each : region.snapshots) {
      if (each.created) known[each.arn] = *each.created;
    }
  }
  for (RdsRegion& region : facts.regions) {
    for (StoredSnapshot& each : region.snapshots) {
      const auto source = known.find(each.copied_from);
      if (!each.created && source != known.end()) each.created = source->second;
    }
  }
}

backup::Report JudgeRds(const RdsFacts& facts) {
  backup::Report report;
  report.source = "rds:" + facts.of;
  for (const RdsRegion& region : facts.regions) {
    std::vector<StoredSnapshot> snapshots = region.snapshots;
    std::stable_sort(snapshots.begin(), snapshots.end(), [](const StoredSnapshot& a, const StoredSnapshot& b) {
      return a.created.value_or(WallTime{}).ns < b.created.value_or(WallTime{}).ns;
    });
    for (const StoredSnapshot& each : snapshots) report.sets.push_back(JudgeSnapshot(facts, each, report.findings));
    if (region.problem.empty()) {
      JudgeRegion(facts, region, report);
      continue;
    }
    backup::SetReport unseen;
    unseen.label = region.region;
    unseen.kind = "not listed";
    for (LevelResult& each : unseen.levels) each = {Verdict::kUnknown, region.problem};
    report.sets.push_back(std::move(unseen));
  }
  return report;
}

Result<Unit> ProveThatRdsChecksCanFail() {
  constexpr std::int64_t kHour = 3'600'000'000'000;
  RdsFacts facts;
  facts.of = "self-test";
  facts.now = WallTime{1000 * kHour};
  facts.age = std::chrono::hours(26);
  StoredSnapshot good;
  good.region = "one";
  good.id = "good";
  good.status = "available";
  good.encrypted = true;
  good.kms_key = "key";
  good.created = WallTime{facts.now.ns - kHour};
  facts.regions = {{"one", "", {good}}};
  facts.keys["key"].state = "Enabled";
  const auto told = [&] {
    std::string text;
    const backup::Report report = JudgeRds(facts);
    for (const backup::Finding& each : report.findings) text += each.Number() + " ";
    for (const backup::SetReport& set : report.sets) text += std::string(backup::ToString(set.levels[1].verdict)) + ";";
    return text;
  };
  const std::string clean = told();
  StoredSnapshot failed = good;
  failed.id = "failed";
  failed.status = "failed";
  StoredSnapshot locked = good;
  locked.region = "two";
  locked.kms_key = "disabled key";
  StoredSnapshot old = good;
  old.region = "three";
  old.created = WallTime{facts.now.ns - 100 * kHour};
  facts.keys["disabled key"].state = "Disabled";
  facts.regions = {{"one", "", {good, failed}}, {"two", "", {locked}}, {"three", "", {old}}, {"four", "", {}}};
  const std::string bad = told();
  if (clean == "pass;" && bad == "F02 F20 F01 F01 F01 pass;not checked;fail;pass;") return Done();
  return Fail(
      "the judge of snapshots did not tell what it must of its own fixtures (F50): it told '" + clean + "' and '" + bad + "'",
      "no verdict of this program counts: install it anew, and report it");
}

const StoredSnapshot* NewestUsable(const RdsRegion& region, const backup::Report& report, bool& undated) {
  const StoredSnapshot* newest = nullptr;
  for (const StoredSnapshot& each : region.snapshots) {
    const auto judged = std::find_if(report.sets.begin(), report.sets.end(),
                                     [&](const backup::SetReport& set) { return set.label == LabelOf(each); });
    const bool usable = IsAvailable(each) && judged != report.sets.end() &&
                        judged->levels[static_cast<std::size_t>(Level::kStructure)].verdict != Verdict::kFail;
    if (!usable) continue;
    undated = undated || !each.created;
    if (each.created && (newest == nullptr || each.created->ns > newest->created->ns)) newest = &each;
  }
  return newest;
}

const StoredSnapshot* ChooseSnapshot(const RdsFacts& facts, const std::string& region, const std::string& wanted) {
  const StoredSnapshot* chosen = nullptr;
  for (const RdsRegion& place : facts.regions) {
    for (const StoredSnapshot& each : place.snapshots) {
      if (wanted == LabelOf(each)) return &each;
      if (place.region != region || !IsAvailable(each)) continue;
      if (wanted == each.id) return &each;
      const bool newer = chosen == nullptr || each.created.value_or(WallTime{}).ns > chosen->created.value_or(WallTime{}).ns;
      if ((wanted.empty() || wanted == "latest") && newer) chosen = &each;
    }
  }
  return chosen;
}

}  // namespace lifeboat
