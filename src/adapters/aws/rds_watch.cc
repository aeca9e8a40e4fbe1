#include "adapters/aws/rds_watch.h"

#include "adapters/aws/protocol.h"

namespace lifeboat::aws::rds {

namespace {

constexpr QueryService kService{"rds", "2014-10-31"};
constexpr int kMostPages = 100;

/// The elements of `list` through all pages.
Task<Result<std::vector<XmlNode>>> Collect(Client& client, std::string region, std::string action, QueryParameters parameters,
                                           std::string list, Duration timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  std::vector<XmlNode> found;
  std::string marker;
  for (int page = 0; page < kMostPages; ++page) {
    QueryParameters one = parameters;
    one.Number("MaxRecords", 100).Text("Marker", marker);
    Call call = QueryCall(kService, region, action, one, Effect::kReads);
    const Duration left = std::max<Duration>(end - std::chrono::steady_clock::now(), 1ms);
    Result<Reply> reply = co_await client.Send(std::move(call), left);
    if (!reply) co_return reply.error();
    const Result<XmlNode> result = QueryResult(*reply, action);
    if (!result) co_return result.error();
    const XmlNode& elements = (*result)[list];
    found.insert(found.end(), elements.children.begin(), elements.children.end());
    marker = (*result)["Marker"].text;
    if (marker.empty()) co_return found;
  }
  co_return Fail("'" + action + "' has more pages than can be");
}

}  // namespace

Task<Result<std::vector<EventSubscription>>> DescribeEventSubscriptions(Client& client, std::string region, Duration timeout) {
  Result<std::vector<XmlNode>> nodes = co_await Collect(client, std::move(region), "DescribeEventSubscriptions", QueryParameters(),
                                                        "EventSubscriptionsList", timeout);
  if (!nodes) co_return nodes.error();
  std::vector<EventSubscription> all;
  for (const XmlNode& node : *nodes) {
    EventSubscription one;
    one.name = node["CustSubscriptionId"].text;
    one.topic = node["SnsTopicArn"].text;
    one.source_type = node["SourceType"].text;
    one.enabled = node["Enabled"].text == "true";
    for (const XmlNode& source : node["SourceIdsList"].children) one.sources.push_back(source.text);
    all.push_back(std::move(one));
  }
  co_return all;
}

Task<Result<std::vector<std::string>>> PendingMaintenance(Client& client, std::string region, std::string filter, std::string id,
                                                          Duration timeout) {
  QueryParameters parameters;
  parameters.Text("Filters.Filter.1.Name", filter).Text("Filters.Filter.1.Values.Value.1", id);
  Result<std::vector<XmlNode>> nodes = co_await Collect(client, std::move(region), "DescribePendingMaintenanceActions",
                                                        std::move(parameters), "PendingMaintenanceActions", timeout);
  if (!nodes) co_return nodes.error();
  std::vector<std::string> actions;
  for (const XmlNode& node : *nodes) {
    for (const XmlNode& action : node["PendingMaintenanceActionDetails"].children) actions.push_back(action["Action"].text);
  }
  co_return actions;
}

}  // namespace lifeboat::aws::rds
