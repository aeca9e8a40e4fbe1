#include "backup/freshness.h"

#include <algorithm>

namespace lifeboat::backup {

namespace {

constexpr std::int64_t kClocksDiffer = 60;  // seconds

void Judge(ObjectiveLine& line, const std::optional<Aged>& backup, const std::string& what, std::int64_t now,
           std::vector<Finding>& findings) {
  if (line.objective == Duration{0}) line.reason = "nothing is promised";
  if (!backup) {
    line.reason = "there is no " + what;
  } else if (!line.measured) {
    line.reason = "when backup '" + backup->label + "' ended is not known, or lies in the future";
  }
  if (line.objective == Duration{0}) return;
  line.verdict = line.measured ? (*line.measured <= line.objective ? Verdict::kPass : Verdict::kFail)
                               : (backup ? Verdict::kUnknown : Verdict::kFail);
  if (line.verdict != Verdict::kFail) return;
  if (backup) {
    line.reason = "the newest, '" + backup->label + "', is " + FormatDuration(std::chrono::seconds(now - backup->stopped)) +
                  " old, and may be " + FormatDuration(line.objective);
  }
  findings.push_back(MakeFinding(1, "", backup ? backup->label : what, "", line.reason));
}

}  // namespace

Json ToJson(const ObjectiveLine& line) {
  return {{"name", line.name},
          {"objective_s", line.objective == Duration{0} ? Json(nullptr) : Json(Seconds(line.objective))},
          {"measured_s", line.measured ? Json(Seconds(*line.measured)) : Json(nullptr)},
          {"verdict", ToString(line.verdict)},
          {"reason", line.reason}};
}

Json ToJson(const std::vector<ObjectiveLine>& lines) {
  Json json = Json::array();
  for (const ObjectiveLine& line : lines) json.push_back(ToJson(line));
  return json;
}

std::optional<Duration> AgeOf(std::int64_t moment, std::int64_t now) {
  if (moment == 0 || moment > now + kClocksDiffer) return std::nullopt;
  return std::chrono::seconds(std::max<std::int64_t>(0, now - moment));
}

std::vector<ObjectiveLine> JudgeFreshness(const FreshnessQuestion& question, std::vector<Finding>& findings) {
  ObjectiveLine backup{"backup_age", question.backup_age, {}, Verdict::kNotChecked, ""};
  if (question.newest) backup.measured = AgeOf(question.newest->stopped, question.now);
  Judge(backup, question.newest, "backup", question.now, findings);
  ObjectiveLine verified{"verified_age", question.verified_age, {}, Verdict::kNotChecked, ""};
  if (question.verified) verified.measured = AgeOf(question.verified->stopped, question.now);
  if (question.verified || question.verified_known) {
    Judge(verified, question.verified, "backup that was verified to level " + std::to_string(question.level), question.now,
          findings);
  } else {
    verified.reason = "this run did not look as far as level " + std::to_string(question.level) + ", and no earlier one is known";
  }
  return {backup, verified};
}

bool AnyMissed(const std::vector<ObjectiveLine>& lines) {
  return std::any_of(lines.begin(), lines.end(), [](const ObjectiveLine& line) {
    return line.objective != Duration{0} && (line.verdict == Verdict::kFail || line.verdict == Verdict::kUnknown);
  });
}

}  // namespace lifeboat::backup
