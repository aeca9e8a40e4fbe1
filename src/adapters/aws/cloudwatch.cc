#include "adapters/aws/cloudwatch.h"

#include <cstdlib>

#include "adapters/aws/http_date.h"
#include "adapters/aws/protocol.h"

namespace lifeboat::aws::cloudwatch {

namespace {

constexpr QueryService kService{"monitoring", "2010-08-01"};
constexpr std::size_t kMostMetrics = 500;
constexpr int kMostPages = 100;
constexpr int kMostAlarms = 100;

std::string IsoTime(WallTime at) { return FormatWallTime(at).substr(0, 19) + "Z"; }

QueryParameters ParametersOf(const std::vector<Metric>& metrics, WallTime from, WallTime to) {
  QueryParameters parameters;
  for (std::size_t at = 0; at < metrics.size(); ++at) {
    const Metric& metric = metrics[at];
    const std::string query = "MetricDataQueries.member." + std::to_string(at + 1) + ".";
    parameters.Text(query + "Id", "m" + std::to_string(at));
    parameters.Text(query + "MetricStat.Metric.Namespace", metric.space);
    parameters.Text(query + "MetricStat.Metric.MetricName", metric.name);
    for (std::size_t dimension = 0; dimension < metric.dimensions.size(); ++dimension) {
      const std::string prefix = query + "MetricStat.Metric.Dimensions.member." + std::to_string(dimension + 1) + ".";
      parameters.Text(prefix + "Name", metric.dimensions[dimension].first);
      parameters.Text(prefix + "Value", metric.dimensions[dimension].second);
    }
    parameters.Number(query + "MetricStat.Period", Millis(metric.period) / 1000);
    parameters.Text(query + "MetricStat.Stat", metric.statistic);
    parameters.Flag(query + "ReturnData", true);
  }
  parameters.Text("StartTime", IsoTime(from)).Text("EndTime", IsoTime(to)).Text("ScanBy", "TimestampDescending");
  return parameters;
}

/// @error kFail: CloudWatch refused one of them
Result<Unit> Take(const XmlNode& result, std::vector<std::optional<Datum>>& newest) {
  for (const XmlNode& one : result["MetricDataResults"].children) {
    if (one["StatusCode"].text == "Forbidden") return Fail("CloudWatch refuses metric '" + one["Label"].text + "'");
    const std::string id = one["Id"].text;
    const std::size_t at = id.size() > 1 ? std::strtoul(id.c_str() + 1, nullptr, 10) : newest.size();
    const auto& times = one["Timestamps"].children;
    const auto& values = one["Values"].children;
    if (at >= newest.size() || times.size() != values.size()) return Fail("CloudWatch's answer cannot be read");
    for (std::size_t i = 0; i < times.size(); ++i) {
      const auto when = ParseTimestamp(times[i].text);
      if (when && (!newest[at] || newest[at]->at < *when)) newest[at] = Datum{*when, std::strtod(values[i].text.c_str(), nullptr)};
    }
  }
  return Done();
}

}  // namespace

Task<Result<std::vector<std::optional<Datum>>>> Newest(Client& client, std::string region, std::vector<Metric> metrics,
                                                       WallTime from, WallTime to, Duration timeout) {
  if (metrics.size() > kMostMetrics) co_return Fail("more than 500 metrics at once");
  const auto end = std::chrono::steady_clock::now() + timeout;
  std::vector<std::optional<Datum>> newest(metrics.size());
  std::string token;
  for (int page = 0; page < kMostPages; ++page) {
    QueryParameters parameters = ParametersOf(metrics, from, to);
    parameters.Text("NextToken", token);
    Call call = QueryCall(kService, region, "GetMetricData", parameters, Effect::kReads);
    const Duration left = std::max<Duration>(end - std::chrono::steady_clock::now(), 1ms);
    Result<Reply> reply = co_await client.Send(std::move(call), left);
    if (!reply) co_return reply.error();
    const Result<XmlNode> result = QueryResult(*reply, "GetMetricData");
    if (!result) co_return result.error();
    const Result<Unit> taken = Take(*result, newest);
    if (!taken) co_return taken.error();
    token = (*result)["NextToken"].text;
    if (token.empty()) co_return newest;
  }
  co_return Fail("'GetMetricData' has more pages than can be");
}

Task<Result<std::vector<Alarm>>> DescribeAlarms(Client& client, std::string region, std::vector<std::string> names,
                                                Duration timeout) {
  std::vector<Alarm> alarms;
  // Without a name it would be all alarms of the account.
  if (names.empty()) co_return alarms;
  if (names.size() > kMostAlarms) co_return Fail("more than 100 alarms at once");
  QueryParameters parameters;
  parameters.List("AlarmNames.member", names).List("AlarmTypes.member", {"MetricAlarm", "CompositeAlarm"});
  parameters.Number("MaxRecords", kMostAlarms);
  Call call = QueryCall(kService, std::move(region), "DescribeAlarms", parameters, Effect::kReads);
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  const Result<XmlNode> result = QueryResult(*reply, "DescribeAlarms");
  if (!result) co_return result.error();
  for (const char* kind : {"MetricAlarms", "CompositeAlarms"}) {
    for (const XmlNode& node : (*result)[kind].children) {
      alarms.push_back(Alarm{node["AlarmName"].text, node["StateValue"].text, node["StateReason"].text,
                             ParseTimestamp(node["StateUpdatedTimestamp"].text)});
    }
  }
  co_return alarms;
}

}  // namespace lifeboat::aws::cloudwatch
