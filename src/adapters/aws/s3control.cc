#include "adapters/aws/s3control.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "adapters/aws/xml.h"

namespace lifeboat::aws::s3control {

namespace {

constexpr const char* kNamespace = "http://awss3control.amazonaws.com/doc/2018-08-20/";

/// One call, in one region after the other, each with its fair share of the time that is left.
Task<Result<Reply>> Ask(Client& client, std::vector<std::string> regions, std::string access_point, Call call, Duration timeout) {
  const Result<std::string> account = AccountOf(access_point);
  if (!account) co_return account.error();
  call.service = "s3-control";
  call.host_prefix = *account;
  call.path = "/v20180820/mrap/instances/" + UriEncode(access_point, false) + "/routes";
  call.headers.emplace_back("X-Amz-Account-Id", *account);
  call.attempts = 1;  // the next region is the second attempt
  const auto end = std::chrono::steady_clock::now() + timeout;
  Error last = Fail("no region was named to ask about access point '" + access_point + "'");
  bool unknown = false;
  for (std::size_t at = 0; at < regions.size(); ++at) {
    Call one = call;
    one.region = regions[at];
    const Duration left = std::max<Duration>(end - std::chrono::steady_clock::now(), 1ms);
    Result<Reply> reply = co_await client.Send(std::move(one), left / static_cast<int>(regions.size() - at));
    if (reply.ok()) co_return reply;
    last = reply.error();
    unknown = unknown || last.retry == Retry::kUnknownOutcome;
    if (last.retry != Retry::kUnknownOutcome && last.retry != Retry::kRetry) break;
  }
  // SAFETY: one region may have carried out what the others then refused.
  if (unknown && call.effect != Effect::kReads) co_return UnknownOutcome(last.message, last.hint);
  co_return last;
}

}  // namespace

const std::vector<std::string>& ControlRegions() {
  static const std::vector<std::string> regions{"us-east-1", "us-west-2", "eu-west-1", "ap-northeast-1", "ap-southeast-2"};
  return regions;
}

Result<std::string> AccountOf(const std::string& access_point) {
  // arn:PARTITION:s3::ACCOUNT:accesspoint/ALIAS.mrap
  const std::size_t at = access_point.find(":s3::");
  const std::size_t end = access_point.find(":accesspoint/");
  if (!access_point.starts_with("arn:") || at == std::string::npos || end == std::string::npos || end < at + 5 ||
      !access_point.ends_with(".mrap")) {
    return Fail("'" + access_point + "' is not the ARN of a multi-region access point",
                "write arn:aws:s3::ACCOUNT:accesspoint/ALIAS.mrap");
  }
  const std::string account = access_point.substr(at + 5, end - at - 5);
  const bool digits = std::all_of(account.begin(), account.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (account.size() != 12 || !digits) return Fail("'" + account + "' in '" + access_point + "' is no account: twelve digits");
  return account;
}

Task<Result<std::vector<Route>>> GetRoutes(Client& client, std::vector<std::string> regions, std::string access_point,
                                           Duration timeout) {
  Call call;
  call.operation = "GetMultiRegionAccessPointRoutes";
  call.method = "GET";
  call.effect = Effect::kReads;
  Result<Reply> reply = co_await Ask(client, std::move(regions), std::move(access_point), std::move(call), timeout);
  if (!reply) co_return reply.error();
  const Result<XmlNode> root = ParseXml(reply->body, "GetMultiRegionAccessPointRoutes");
  if (!root) co_return root.error();
  std::vector<Route> routes;
  for (const XmlNode& node : (*root)["Routes"].children) {
    Route route{node["Bucket"].text, node["Region"].text, 0};
    const std::string& text = node["TrafficDialPercentage"].text;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), route.percent);
    if (problem != std::errc() || end != text.data() + text.size()) {
      co_return Fail("a route of the access point has no percentage");
    }
    routes.push_back(std::move(route));
  }
  if (routes.empty()) co_return Fail("'GetMultiRegionAccessPointRoutes' was answered without routes");
  co_return routes;
}

Task<Result<Unit>> SubmitRoutes(Client& client, std::vector<std::string> regions, std::string access_point,
                                std::vector<Route> routes, Duration timeout) {
  // SAFETY: an access point that leads nowhere takes the objects off the net.
  const bool leads = std::any_of(routes.begin(), routes.end(), [](const Route& route) { return route.percent == 100; });
  if (!leads) co_return Fail("no region of access point '" + access_point + "' would be left on");
  std::string list;
  for (const Route& route : routes) {
    list += "<Route>" + XmlElement("Bucket", route.bucket) + XmlElement("Region", route.region) +
            XmlElement("TrafficDialPercentage", std::to_string(route.percent)) + "</Route>";
  }
  Call call;
  call.operation = "SubmitMultiRegionAccessPointRoutes";
  call.method = "PATCH";
  call.effect = Effect::kRepeatable;
  call.headers = {{"Content-Type", "application/xml"}};
  call.body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><SubmitMultiRegionAccessPointRoutesRequest xmlns=\"" +
              std::string(kNamespace) + "\"><RouteUpdates>" + list + "</RouteUpdates></SubmitMultiRegionAccessPointRoutesRequest>";
  Result<Reply> reply = co_await Ask(client, std::move(regions), std::move(access_point), std::move(call), timeout);
  if (!reply) co_return reply.error();
  co_return Done();
}

}  // namespace lifeboat::aws::s3control
