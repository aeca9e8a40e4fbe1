#include "config/load_telemetry.h"

#include <algorithm>
#include <cctype>

#include "base/address_reach.h"

namespace lifeboat {

namespace {

constexpr Duration kShortestTimeout = std::chrono::milliseconds(100);
constexpr Duration kLongestTimeout = std::chrono::minutes(1);

/// "https://host:port" and the path behind it.
std::pair<std::string_view, std::string_view> Split(std::string_view url) {
  const std::size_t scheme = url.find("://");
  const std::size_t slash = scheme == std::string_view::npos ? scheme : url.find('/', scheme + 3);
  if (slash == std::string_view::npos) return {url, {}};
  return {url.substr(0, slash), url.substr(slash)};
}

bool IsHere(const std::string& host) { return host == "localhost" || ReachOf(host) == AddressReach::kLoopback; }

}  // namespace

bool IsCollectorUrl(std::string_view text) {
  const auto [origin, path] = Split(text);
  const auto plain = [](unsigned char c) {
    return std::isalnum(c) != 0 || std::string_view("/-._~%").find(static_cast<char>(c)) != std::string_view::npos;
  };
  return IsHostUrl(origin) && std::all_of(path.begin(), path.end(), plain);
}

std::string HostOfCollector(std::string_view url) {
  std::string_view host = Split(url).first;
  host.remove_prefix(std::min(host.size(), host.find("://") + 3));
  if (host.starts_with('[')) return std::string(host.substr(1, host.find(']') - 1));
  return std::string(host.substr(0, host.find(':')));
}

TelemetrySettings BuildTelemetry(const Document& document) {
  TelemetrySettings telemetry;
  if (!document.Given("telemetry.traces")) return telemetry;
  TraceSettings traces;
  traces.endpoint = document.Valid("telemetry.traces.endpoint").value_or("");
  traces.headers_file = document.Valid("telemetry.traces.headers_file");
  traces.ca_file = document.Valid("telemetry.traces.ca_file").value_or("");
  traces.timeout = ParseDuration(document.Valid("telemetry.traces.timeout").value_or("")).value_or(traces.timeout);
  telemetry.traces = std::move(traces);
  return telemetry;
}

void CheckTelemetry(const Document& document, const Settings& settings, Problems& problems) {
  if (!settings.telemetry.traces) return;
  const TraceSettings& traces = *settings.telemetry.traces;
  const auto complain = [&](const char* key, const std::string& what, const std::string& hint) {
    problems.Add(document.Line(key), document.Label(key) + " " + what, hint);
  };
  const bool given = document.Valid("telemetry.traces.endpoint").has_value();
  if (given && !IsCollectorUrl(traces.endpoint)) {
    complain(
        "telemetry.traces.endpoint", "is no URL of a collector",
        "write 'https://' and a host, its port, and the path that stands before '/v1/traces': https://collector.example.net:4318");
  } else if (given && traces.endpoint.ends_with("/v1/traces")) {
    complain("telemetry.traces.endpoint", "ends in '/v1/traces', which is appended", "leave it out");
  } else if (given && traces.headers_file && traces.endpoint.starts_with("http://") && !IsHere(HostOfCollector(traces.endpoint))) {
    // SAFETY: what stands in the file lets its bearer in; whoever reads the network would have it.
    complain("telemetry.traces.headers_file", "would be sent without encryption to '" + HostOfCollector(traces.endpoint) + "'",
             "write 'https://', or send to a collector on this machine");
  }
  if (given && !traces.ca_file.empty() && traces.endpoint.starts_with("http://"))
    complain("telemetry.traces.ca_file", "is given, and 'endpoint' does not use TLS", "write 'https://'");
  if (document.Valid("telemetry.traces.timeout") && (traces.timeout < kShortestTimeout || traces.timeout > kLongestTimeout)) {
    complain("telemetry.traces.timeout",
             "must lie between 100ms and 1min, not '" + document.Valid("telemetry.traces.timeout").value_or("") + "'",
             "nothing waits for it; the default is 10s");
  }
}

}  // namespace lifeboat
