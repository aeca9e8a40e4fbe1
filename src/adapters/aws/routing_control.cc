#include "adapters/aws/routing_control.h"

#include <algorithm>
#include <optional>

#include "adapters/aws/protocol.h"

namespace lifeboat::aws::routing_control {

namespace {

constexpr JsonService kService{"route53-recovery-cluster", "ToggleCustomerAPI", "1.0"};
constexpr int kMostPages = 100;

std::vector<ClusterEndpoint> Shuffled(const Cluster& cluster) {
  std::vector<ClusterEndpoint> order = cluster.endpoints;
  for (std::size_t left = order.size(); left > 1; --left) {
    const auto pick = std::min(left - 1, static_cast<std::size_t>(cluster.dice() * static_cast<double>(left)));
    std::swap(order[left - 1], order[pick]);
  }
  return order;
}

/// One call, at one endpoint after the other, each with its fair share of the time that is left.
Task<Result<Json>> Ask(Client& client, Cluster cluster, std::string operation, Json body, Effect effect, Duration timeout) {
  if (cluster.endpoints.empty()) co_return Fail("the routing control cluster has no endpoints", "write all five");
  const std::vector<ClusterEndpoint> order = Shuffled(cluster);
  const auto end = std::chrono::steady_clock::now() + timeout;
  std::optional<Error> last;
  bool unknown = false;
  for (std::size_t at = 0; at < order.size(); ++at) {
    Call call = JsonCall(kService, order[at].region, operation, body, effect);
    std::string url = order[at].url;
    while (url.ends_with('/')) url.pop_back();
    const std::size_t path = url.find('/', url.find("://") + 3);
    if (path != std::string::npos) {
      call.path = url.substr(path);
      url.resize(path);
    }
    call.endpoint = url;
    call.attempts = 1;  // the next endpoint is the second attempt
    const Duration left = std::max<Duration>(end - std::chrono::steady_clock::now(), 1ms);
    Result<Reply> reply = co_await client.Send(std::move(call), left / static_cast<int>(order.size() - at));
    if (reply.ok()) {
      Result<Json> json = JsonResult(*reply, operation);
      if (!json) co_return Unreadable(effect, json.error());
      co_return json;
    }
    last = reply.error();
    unknown = unknown || last->retry == Retry::kUnknownOutcome;
    if (last->retry != Retry::kUnknownOutcome && last->retry != Retry::kRetry) break;
  }
  // SAFETY: one endpoint may have carried out what the others then refused.
  if (unknown && effect != Effect::kReads) co_return UnknownOutcome(last->message, last->hint);
  co_return *last;
}

}  // namespace

Task<Result<State>> GetState(Client& client, Cluster cluster, std::string control_arn, Duration timeout) {
  Json body = {{"RoutingControlArn", control_arn}};
  Result<Json> json = co_await Ask(client, std::move(cluster), "GetRoutingControlState", std::move(body), Effect::kReads, timeout);
  if (!json) co_return json.error();
  const std::string state = TextAt(*json, "RoutingControlState");
  if (state != "On" && state != "Off") co_return Fail("'GetRoutingControlState' was answered without a state");
  co_return State{control_arn, state == "On"};
}

Task<Result<std::vector<State>>> ListControls(Client& client, Cluster cluster, std::string panel_arn, Duration timeout) {
  std::vector<State> states;
  std::string token;
  for (int page = 0; page < kMostPages; ++page) {
    Json body = Json::object();
    if (!panel_arn.empty()) body["ControlPanelArn"] = panel_arn;
    if (!token.empty()) body["NextToken"] = token;
    Result<Json> json = co_await Ask(client, cluster, "ListRoutingControls", std::move(body), Effect::kReads, timeout);
    if (!json) co_return json.error();
    for (const Json& control : MemberAt(*json, "RoutingControls")) {
      states.push_back(State{TextAt(control, "RoutingControlArn"), TextAt(control, "RoutingControlState") == "On"});
    }
    token = TextAt(*json, "NextToken");
    if (token.empty()) co_return states;
  }
  co_return Fail("'ListRoutingControls' has more pages than can be");
}

Task<Result<Unit>> UpdateStates(Client& client, Cluster cluster, std::vector<State> states, Duration timeout) {
  Json entries = Json::array();
  for (const State& state : states) {
    Json entry = {{"RoutingControlArn", state.control_arn}, {"RoutingControlState", state.on ? "On" : "Off"}};
    entries.push_back(std::move(entry));
  }
  Json body = {{"UpdateRoutingControlStateEntries", std::move(entries)}};
  Result<Json> json =
      co_await Ask(client, std::move(cluster), "UpdateRoutingControlStates", std::move(body), Effect::kRepeatable, timeout);
  if (!json) co_return json.error();
  co_return Done();
}

}  // namespace lifeboat::aws::routing_control
