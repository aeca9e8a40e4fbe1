// Levels 5 and 6 of a restored server, and the proof that their checks can fail.

#include "adapters/backups/check_coverage.h"
#include "adapters/backups/restore_run_internal.h"

namespace lifeboat::backup {

void Restore::CheckIt() {
  if (options_.level < Level::kLogic) return;
  CheckOptions checks;
  checks.place = Place();
  checks.set = outcome_.set;
  checks.threads = options_.threads;
  checks.tier = options_.tier;
  checks.known = options_.known;
  checks.questions = options_.checks;
  for (SqlCheck& each : checks.questions) {
    if (each.database.empty() && set_->logical) each.database = dump_database_;
  }
  checks.on_progress = options_.on_progress;
  CheckState state;
  LevelResult& logic = At(Level::kLogic);
  LevelResult& content = At(Level::kContent);
  logic = CheckLogic(checks, databases_, state);
  if (options_.level >= Level::kContent && !state.cancelled) {
    content = CheckContent(checks, databases_, state);
    state.content.at = outcome_.began;
    if (!state.cancelled) JudgeTimeAndHistory(state, content);
  }
  outcome_.cancelled = state.cancelled || sandbox_->Cancelled();
  if (outcome_.cancelled) {
    for (LevelResult* each : {&logic, &content}) {
      if (each->verdict != Verdict::kFail) *each = {Verdict::kNotChecked, "cancelled"};
    }
  } else {
    ProveChecks(checks, logic, content);
    // It needs the server shut down, and so comes last.
    if (options_.level >= Level::kContent) outcome_.coverage = CheckCoverageOf(*sandbox_, checks, databases_, state, content);
    outcome_.cancelled = sandbox_->Cancelled();
  }
  outcome_.counts = state.counts;
  outcome_.content = std::move(state.content);
  for (Finding& each : state.findings) outcome_.findings.push_back(std::move(each));
}

void Restore::JudgeTimeAndHistory(CheckState& state, LevelResult& content) {
  std::vector<Finding> more;
  AgeQuestion age;
  age.set = outcome_.set;
  // A dump shows the moment at which it began; its file's date is that of its end, and only some say more of themselves.
  if (set_->logical && set_->shows > 0) age.claimed = WallTime{set_->shows * 1'000'000'000};
  if (set_->stopped > 0 && !set_->logical) age.claimed = WallTime{std::max(set_->stopped, newest_stop_) * 1'000'000'000};
  age.heartbeat = outcome_.heartbeat;
  age.commit = outcome_.commit;
  more = JudgeAge(age);
  if (options_.history) {
    for (Finding& each : JudgeHistory(outcome_.set, *options_.history, state.content, options_.most_shrink)) {
      if (state.told.count(each.object) == 0) more.push_back(std::move(each));
    }
  }
  if (!more.empty()) content = {Verdict::kFail, ""};
  for (Finding& each : more) state.findings.push_back(std::move(each));
}

void Restore::ProveChecks(const CheckOptions& checks, LevelResult& logic, LevelResult& content) {
  const Result<Unit> proven = ProveThatContentChecksCanFail(checks, options_.level);
  if (proven || sandbox_->Cancelled()) return;
  // SAFETY: a check that does not see known damage gives no verdict.
  outcome_.findings.push_back(MakeFinding(50, outcome_.set, "", "", proven.error().message));
  for (LevelResult* each : {&logic, &content}) {
    if (each->verdict == Verdict::kPass) *each = {Verdict::kUnknown, "the checks did not pass their self-test"};
  }
}

}  // namespace lifeboat::backup
