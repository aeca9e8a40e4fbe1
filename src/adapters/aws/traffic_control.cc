// Routing controls. They have no conditional change and keep no epoch, so that the only guard against a late writer is the lease;
// the markers of 'standby takes over' are the stronger kind.

#include <algorithm>

#include "adapters/aws/traffic_doors.h"

namespace lifeboat::aws {

namespace {

constexpr Duration kOneCall = 10s;  // two seconds for each of five endpoints

}  // namespace

Result<routing_control::Cluster> ParseCluster(const std::vector<std::string>& endpoints) {
  routing_control::Cluster cluster;
  for (const std::string& text : endpoints) {
    const std::size_t equals = text.find('=');
    const std::string url = equals == std::string::npos ? std::string() : text.substr(equals + 1);
    if (equals == 0 || !(url.starts_with("https://") || url.starts_with("http://"))) {
      return Fail("routing control endpoint '" + text + "' is not understood",
                  "write region=https://…, as DescribeCluster shows them");
    }
    cluster.endpoints.push_back({text.substr(0, equals), url});
  }
  if (cluster.endpoints.empty()) return Fail("there are no routing control endpoints", "write all five");
  cluster.dice = DiceOfTheSystem();
  return cluster;
}

ControlTraffic::ControlTraffic(TrafficDoors doors, routing_control::Cluster cluster)
    : ZoneTraffic(std::move(doors)), cluster_(std::move(cluster)) {}

Task<Result<std::optional<Epoch>>> ControlTraffic::EpochOf(RegionName region, std::string /*address*/, Duration /*timeout*/) {
  if (!made_ || made_->first != region) co_return std::optional<Epoch>();
  co_return std::optional<Epoch>(made_->second);
}

/// The target's is on, and all others are off.
Task<Result<bool>> ControlTraffic::StandsFor(RegionName target, Duration timeout) {
  const Instant end = doors_.clock.Now() + timeout;
  for (const auto& [region, arn] : doors_.settings.controls) {
    Result<routing_control::State> state = co_await routing_control::GetState(*doors_.client, cluster_, arn, Left(end));
    if (!state) co_return state.error();
    if (state->on != (region == target)) co_return false;
  }
  co_return true;
}

Task<Result<Unit>> ControlTraffic::Switch(RegionName target, Instant end) {
  std::vector<routing_control::State> states;
  // The one that is turned on first: safety rules judge the change as a whole, people read it in order.
  states.push_back({doors_.settings.controls.at(target), true});
  for (const auto& [region, arn] : doors_.settings.controls) {
    if (region != target) states.push_back({arn, false});
  }
  Result<Unit> updated =
      co_await routing_control::UpdateStates(*doors_.client, cluster_, std::move(states), std::min(Left(end), kOneCall));
  if (updated.ok()) co_return updated;
  const Error error = updated.error();
  if (error.retry == Retry::kRefused) {
    co_return Refused("routing controls stay as they are: " + error.message,
                      "a safety rule forbids it, and Lifeboat overrides none: change the controls by hand, or the rule");
  }
  if (error.retry != Retry::kUnknownOutcome) co_return error;
  // One endpoint did not say; what the cluster agrees on does.
  Result<bool> stands = co_await StandsFor(target, std::min(Left(end), kOneCall));
  if (stands.ok() && *stands) co_return Done();
  co_return error;
}

Task<Result<Unit>> ControlTraffic::Point(std::string address, Epoch epoch, Duration timeout) {
  const Instant end = doors_.clock.Now() + timeout;
  const Result<RegionName> target = RegionOf(address);
  if (!target) co_return target.error();
  if (made_ && made_->second > epoch) {
    co_return Refused("'" + doors_.settings.name + "' was pointed under epoch '" + std::to_string(made_->second.number) + "' since",
                      "another region has taken over; run 'lifeboat status'");
  }
  // The change is the same when it is made twice, and a look costs as much as the change.
  Result<Unit> switched = co_await Switch(*target, end);
  if (!switched) co_return switched;
  std::string acted = "the routing control of '" + target->text + "' is on and all others are off";
  Result<Unit> proven = co_await Prove(std::move(address), std::move(acted), end);
  if (proven.ok()) made_.emplace(*target, epoch);
  co_return proven;
}

}  // namespace lifeboat::aws
