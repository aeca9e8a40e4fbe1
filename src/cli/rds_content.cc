#include "cli/rds_content.h"

#include <algorithm>

#include "adapters/backups/checks.h"

namespace lifeboat {

namespace {

using backup::LevelResult;
using backup::Verdict;

constexpr const char* kDatabase = "postgres";
constexpr const char* kOfAws = "rdsadmin";  // nobody but AWS may log in to it
constexpr const char* kSelfTest = "lifeboat-self-test";

bool QuestionsCanFail(backup::CheckOptions checks) {
  backup::CheckState state;
  checks.only_schema = "lifeboat_nothing";
  checks.questions = {{kSelfTest, kDatabase, "SELECT 1", "2"}};
  (void)backup::CheckContent(checks, {kDatabase}, state);
  return state.findings.size() == 1 && state.findings.front().object == kSelfTest && state.unknown.empty();
}

}  // namespace

RdsContent CheckRdsContent(const RdsContentQuestion& question) {
  RdsContent content;
  backup::CheckOptions checks;
  checks.place = question.place;
  checks.place.database = kDatabase;
  checks.set = question.set;
  checks.questions = question.checks;
  Result<std::vector<std::string>> databases = backup::DatabasesOf(checks.place);
  // A server that says nothing to us was not looked at; that is no fault of the backup.
  if (!databases) {
    content.level = {Verdict::kNotChecked, "it cannot be asked by SQL from here: " + databases.error().message};
    return content;
  }
  content.answered = std::chrono::steady_clock::now();
  databases->erase(std::remove(databases->begin(), databases->end(), kOfAws), databases->end());
  if (!QuestionsCanFail(checks)) {
    content.findings.push_back(backup::MakeFinding(50, question.set, "", "", "a wrong answer to a question was not told"));
    content.level = {Verdict::kNotChecked, "the checks do not see what they must"};
    return content;
  }
  backup::CheckState state;
  content.level = backup::CheckContent(checks, *databases, state);
  content.findings = std::move(state.findings);
  backup::AgeQuestion age;
  age.set = question.set;
  age.claimed = question.claimed;
  age.heartbeat = backup::NewestHeartbeat(checks.place, *databases);
  content.heartbeat = age.heartbeat;
  for (backup::Finding& each : backup::JudgeAge(age)) {
    content.level = {Verdict::kFail, ""};
    content.findings.push_back(std::move(each));
  }
  content.figures = {{"databases", state.counts.databases},
                     {"tables", state.counts.tables},
                     {"rows", state.counts.rows},
                     {"questions", state.counts.sql_checks},
                     {"heartbeat", age.heartbeat ? Json(FormatWallTime(*age.heartbeat)) : Json(nullptr)}};
  return content;
}

}  // namespace lifeboat
