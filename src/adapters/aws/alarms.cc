#include "adapters/aws/alarms.h"

#include "adapters/aws/check_lines.h"
#include "adapters/aws/cloudwatch.h"

namespace lifeboat::aws {

namespace {

/// A state that is not known here says nothing: it is no sign of health.
AlarmSign SignOf(const std::string& state) {
  if (state == "OK") return AlarmSign::kOk;
  return state == "ALARM" ? AlarmSign::kAlarm : AlarmSign::kNoData;
}

Readiness LineOf(const std::string& words, const AlarmState& state) {
  const std::string since = state.since ? " since " + FormatWallTime(*state.since) : "";
  if (state.sign == AlarmSign::kOk) return Ok(words + " is ok" + since);
  if (state.sign == AlarmSign::kAlarm) {
    return Fault(words + " is in alarm" + since + ": " + state.reason, "it counts as a sign of trouble: see to it");
  }
  return Unknown(words + " has no data" + since + ": it would not see trouble",
                 "see that its metric arrives in that region, also after a failover");
}

}  // namespace

Task<Result<std::map<std::string, AlarmState>>> AwsAlarms::States(RegionName region, std::vector<std::string> names,
                                                                  Duration timeout) {
  Result<std::vector<cloudwatch::Alarm>> alarms =
      co_await cloudwatch::DescribeAlarms(client_, region.text, std::move(names), timeout);
  if (!alarms) co_return alarms.error();
  std::map<std::string, AlarmState> states;
  for (cloudwatch::Alarm& alarm : *alarms) {
    states[alarm.name] = AlarmState{SignOf(alarm.state), std::move(alarm.reason), alarm.since};
  }
  co_return states;
}

Task<Result<AlarmState>> AwsAlarms::State(RegionName region, std::string name, Duration timeout) {
  const std::vector<std::string> names{name};
  Result<std::map<std::string, AlarmState>> states = co_await States(region, names, timeout);
  if (!states) co_return states.error();
  const auto found = states->find(name);
  if (found == states->end()) co_return NotFound("there is no alarm '" + name + "' in '" + region.text + "'");
  co_return found->second;
}

Task<Result<std::vector<Readiness>>> AwsAlarms::Check(RegionName region, std::vector<std::string> names, Duration timeout) {
  std::vector<Readiness> lines;
  Result<std::map<std::string, AlarmState>> states = co_await States(region, names, timeout);
  for (const std::string& name : names) {
    const std::string words = "alarm '" + name + "' in '" + region.text + "'";
    if (!states) {
      lines.push_back(Unseen(words + " cannot be looked at", states.error()));
      continue;
    }
    const auto found = states->find(name);
    lines.push_back(found != states->end() ? LineOf(words, found->second)
                                           : Fault(words + " does not exist", "create it, or write its name right"));
  }
  co_return lines;
}

}  // namespace lifeboat::aws
