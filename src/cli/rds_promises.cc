#include "cli/rds_promises.h"

#include <algorithm>

namespace lifeboat {

namespace {

using aws::rds::StoredSnapshot;
using backup::Level;
using backup::Verdict;

Verdict At(const backup::SetReport& set, Level level) { return set.levels[static_cast<std::size_t>(level)].verdict; }

std::int64_t SecondsOf(const StoredSnapshot& snapshot) { return snapshot.created ? snapshot.created->ns / 1000000000 : 0; }

/// Of a snapshot that is there and usable; 0: there is none of that label, or its age is not known.
std::int64_t CreatedAt(const RdsFacts& facts, const std::string& label) {
  for (const RdsRegion& region : facts.regions) {
    for (const StoredSnapshot& each : region.snapshots) {
      if (LabelOf(each) == label && each.status == "available") return SecondsOf(each);
    }
  }
  return 0;
}

struct Worst {
  std::optional<backup::Aged> newest;
  std::string unknown;  ///< why it is; "": it is known
};

Worst OldestNewest(const RdsFacts& facts, const backup::Report& report) {
  Worst worst;
  bool lacking = false;
  for (const RdsRegion& region : facts.regions) {
    if (!region.problem.empty()) {
      worst.unknown = "'" + region.region + "' was not listed: " + region.problem;
      continue;
    }
    bool undated = false;
    const StoredSnapshot* newest = NewestUsable(region, report, undated);
    if (newest == nullptr && undated) worst.unknown = "the age of what lies in '" + region.region + "' is not known";
    if (newest == nullptr && !undated) lacking = true;
    if (newest == nullptr) continue;
    if (!worst.newest || SecondsOf(*newest) < worst.newest->stopped)
      worst.newest = backup::Aged{LabelOf(*newest), SecondsOf(*newest)};
  }
  if (lacking || !worst.unknown.empty()) worst.newest.reset();
  if (lacking) worst.unknown.clear();  // a region that has none decides, whatever the others would say
  return worst;
}

void TakeNewer(std::optional<backup::Aged>& newest, const backup::Aged& other) {
  if (other.stopped != 0 && (!newest || other.stopped >= newest->stopped)) newest = other;
}

}  // namespace

int RestoredTo(const backup::SetReport& set) {
  const bool failed = std::any_of(set.levels.begin(), set.levels.end(),
                                  [](const backup::LevelResult& each) { return each.verdict == backup::Verdict::kFail; });
  if (failed || At(set, Level::kRestores) != backup::Verdict::kPass) return 0;
  return static_cast<int>(At(set, Level::kContent) == backup::Verdict::kPass ? Level::kContent : Level::kRestores);
}

Freshness JudgeRdsAges(const RdsFacts& facts, const backup::Report& report, const RdsPromises& promises,
                       const std::optional<std::vector<backup::VerifiedSet>>& earlier, bool restored,
                       std::vector<backup::Finding>& findings) {
  Freshness freshness;
  const Worst worst = OldestNewest(facts, report);
  freshness.newest = worst.newest;
  for (const backup::SetReport& set : report.sets) {
    if (RestoredTo(set) >= promises.restore_level) TakeNewer(freshness.verified, {set.label, CreatedAt(facts, set.label)});
  }
  for (const backup::VerifiedSet& set : earlier.value_or(std::vector<backup::VerifiedSet>())) {
    // One that is gone, or is another by now, is verified no more.
    if (set.level >= promises.restore_level && CreatedAt(facts, set.label) == set.stopped)
      TakeNewer(freshness.verified, {set.label, set.stopped});
  }
  backup::FreshnessQuestion question;
  question.now = facts.now.ns / 1000000000;
  question.backup_age = promises.backup_age;
  question.verified_age = promises.verified_age;
  question.newest = freshness.newest;
  question.verified = freshness.verified;
  question.verified_known = restored || earlier.has_value();
  question.level = promises.restore_level;
  std::vector<backup::Finding> told;
  freshness.lines = backup::JudgeFreshness(question, told);
  backup::ObjectiveLine& newest = freshness.lines.front();
  if (!worst.unknown.empty()) {
    if (newest.objective != Duration{0}) newest.verdict = backup::Verdict::kUnknown;
    newest.reason = worst.unknown;
  }
  // Each region's own age is told where its snapshots are judged.
  if (freshness.lines.back().verdict == backup::Verdict::kFail) findings.push_back(told.back());
  return freshness;
}

Json RestoreObjective(Duration objective, std::optional<Duration> measured, const std::string& unmeasured) {
  backup::Verdict verdict = backup::Verdict::kNotChecked;
  if (objective != Duration{0})
    verdict = !measured ? backup::Verdict::kUnknown : *measured <= objective ? backup::Verdict::kPass : backup::Verdict::kFail;
  return {{"objective_seconds", objective == Duration{0} ? Json(nullptr) : Json(Seconds(objective))},
          {"measured_seconds", measured ? Json(Seconds(*measured)) : Json(nullptr)},
          {"verdict", backup::ToString(verdict)},
          {"reason", measured ? "" : unmeasured}};
}

}  // namespace lifeboat
