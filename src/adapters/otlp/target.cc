#include "adapters/otlp/target.h"

#include <algorithm>
#include <cctype>
#include <sstream>

#include "config/load_telemetry.h"

namespace lifeboat {

namespace {

constexpr std::string_view kTracesPath = "/v1/traces";

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) text.remove_suffix(1);
  return text;
}

/// @source RFC 9110, section 5.6.2, token
bool IsHeaderName(std::string_view name) {
  const auto good = [](unsigned char c) {
    return std::isalnum(c) != 0 || std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos;
  };
  return !name.empty() && std::all_of(name.begin(), name.end(), good);
}

/// A line break would begin a header of its own.
bool IsHeaderValue(std::string_view value) {
  return std::all_of(value.begin(), value.end(), [](unsigned char c) { return c == '\t' || (c >= ' ' && c != 0x7F); });
}

std::optional<std::string> PercentDecoded(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%') {
      out += text[at];
      continue;
    }
    if (at + 2 >= text.size() || std::isxdigit(static_cast<unsigned char>(text[at + 1])) == 0 ||
        std::isxdigit(static_cast<unsigned char>(text[at + 2])) == 0)
      return std::nullopt;
    out += static_cast<char>(std::stoi(std::string(text.substr(at + 1, 2)), nullptr, 16));
    at += 2;
  }
  return out;
}

std::string WithTracesPath(std::string base) {
  while (base.ends_with('/')) base.pop_back();
  return base + std::string(kTracesPath);
}

/// Of a setting of all signals and its like for traces, the latter counts. An empty variable is as good as none.
struct Variable {
  std::string name;
  std::string value;
};
std::optional<Variable> Find(const Environment& environment, const std::string& what) {
  for (const std::string& name : {"OTEL_EXPORTER_OTLP_TRACES_" + what, "OTEL_EXPORTER_OTLP_" + what}) {
    const auto value = environment(name);
    if (value && !value->empty()) return Variable{name, *value};
  }
  return std::nullopt;
}

bool IsSwitchedOff(const Environment& environment) {
  std::string disabled = environment("OTEL_SDK_DISABLED").value_or("");
  std::transform(disabled.begin(), disabled.end(), disabled.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return disabled == "true" || environment("OTEL_TRACES_EXPORTER") == "none";
}

OtlpChoice FromEnvironment(const Environment& environment) {
  OtlpChoice choice;
  const auto endpoint = Find(environment, "ENDPOINT");
  if (!endpoint || IsSwitchedOff(environment)) return choice;
  const std::string given(Trimmed(endpoint->value));
  if (!IsCollectorUrl(given)) {
    choice.warnings.push_back("'" + endpoint->name + "' is no URL of a collector: traces are not sent");
    return choice;
  }
  OtlpTarget target;
  const bool of_traces = endpoint->name == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
  target.url = of_traces ? given : WithTracesPath(given);
  if (const auto headers = Find(environment, "HEADERS")) {
    auto parsed = ParseHeaderList(headers->value);
    if (!parsed.ok()) {
      choice.warnings.push_back("'" + headers->name + "': " + parsed.error().message + ": traces are not sent");
      return choice;
    }
    target.headers = *std::move(parsed);
  }
  if (const auto timeout = Find(environment, "TIMEOUT")) {
    const auto millis = ParseNumber(Trimmed(timeout->value));
    if (millis && *millis > 0)
      target.timeout = std::chrono::milliseconds(*millis);
    else
      choice.warnings.push_back("'" + timeout->name + "' is no number of milliseconds: " + FormatDuration(target.timeout) +
                                " is taken");
  }
  if (const auto certificate = Find(environment, "CERTIFICATE")) target.ca_file = certificate->value;
  if (const auto protocol = Find(environment, "PROTOCOL"); protocol && protocol->value != "http/json")
    choice.warnings.push_back("'" + protocol->name + "' asks for '" + protocol->value +
                              "': traces are sent as http/json all the same");
  choice.target = std::move(target);
  return choice;
}

}  // namespace

Result<std::vector<std::string>> ParseHeaderLines(const std::string& text) {
  std::vector<std::string> headers;
  std::istringstream lines(text);
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const std::string_view trimmed = Trimmed(line);
    if (trimmed.empty() || trimmed.starts_with('#')) continue;
    const std::size_t colon = trimmed.find(':');
    const bool good =
        colon != std::string_view::npos && IsHeaderName(trimmed.substr(0, colon)) && IsHeaderValue(trimmed.substr(colon + 1));
    if (!good) return Fail("line " + std::to_string(number) + " is no 'Name: value'");
    headers.push_back(std::string(trimmed.substr(0, colon)) + ": " + std::string(Trimmed(trimmed.substr(colon + 1))));
  }
  return headers;
}

Result<std::vector<std::string>> ParseHeaderList(const std::string& text) {
  std::vector<std::string> headers;
  std::istringstream members(text);
  int number = 0;
  for (std::string member; std::getline(members, member, ',');) {
    ++number;
    const std::string_view trimmed = Trimmed(member);
    if (trimmed.empty()) continue;
    const std::size_t equals = trimmed.find('=');
    const std::string_view name = Trimmed(trimmed.substr(0, equals));
    const auto value = equals == std::string_view::npos ? std::nullopt : PercentDecoded(Trimmed(trimmed.substr(equals + 1)));
    if (!value || !IsHeaderName(name) || !IsHeaderValue(*value))
      return Fail("its member " + std::to_string(number) + " is no 'name=value'");
    headers.push_back(std::string(name) + ": " + *value);
  }
  return headers;
}

OtlpChoice ChooseTarget(const std::optional<TraceSettings>& settings, const std::string& headers_text,
                        const Environment& environment) {
  if (!settings) return FromEnvironment(environment);
  OtlpChoice choice;
  auto headers = ParseHeaderLines(headers_text);
  if (!headers.ok()) {
    choice.warnings.push_back("'telemetry.traces.headers_file': " + headers.error().message + ": traces are not sent");
    return choice;
  }
  choice.target = OtlpTarget{WithTracesPath(settings->endpoint), *std::move(headers), settings->ca_file, settings->timeout};
  return choice;
}

}  // namespace lifeboat
