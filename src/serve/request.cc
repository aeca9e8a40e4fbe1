#include "serve/request.h"

#include "adapters/peers/wire.h"

namespace lifeboat::serve {

namespace {

std::optional<int> HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

/// @source WHATWG URL, application/x-www-form-urlencoded parsing
std::optional<std::string> Unescape(std::string_view text) {
  std::string plain;
  for (std::size_t index = 0; index < text.size(); ++index) {
    if (text[index] == '+') {
      plain += ' ';
    } else if (text[index] != '%') {
      plain += text[index];
    } else {
      if (index + 2 >= text.size()) return std::nullopt;
      const std::optional<int> high = HexDigit(text[index + 1]);
      const std::optional<int> low = HexDigit(text[index + 2]);
      if (!high || !low) return std::nullopt;
      plain += static_cast<char>(*high * 16 + *low);
      index += 2;
    }
  }
  return plain;
}

bool EqualsIgnoringCase(std::string_view left, std::string_view right) {
  if (left.size() != right.size()) return false;
  for (std::size_t index = 0; index < left.size(); ++index) {
    if (std::tolower(static_cast<unsigned char>(left[index])) != std::tolower(static_cast<unsigned char>(right[index])))
      return false;
  }
  return true;
}

/// The JSON library judges strings when it writes them.
bool IsUtf8(const std::string& text) {
  try {
    return !Json(text).dump().empty();
  } catch (const Json::exception&) {
    return false;
  }
}

}  // namespace

bool IsAuthorized(std::string_view authorization, const Secret& token) {
  constexpr std::string_view kScheme = "Bearer ";
  if (authorization.size() <= kScheme.size()) return false;
  if (!EqualsIgnoringCase(authorization.substr(0, kScheme.size()), kScheme)) return false;
  return token.Equals(authorization.substr(kScheme.size()));
}

Target SplitTarget(std::string_view target) {
  const std::size_t mark = target.find('?');
  if (mark == std::string_view::npos) return {std::string(target), ""};
  return {std::string(target.substr(0, mark)), std::string(target.substr(mark + 1))};
}

std::optional<std::string> MethodOfPath(std::string_view path) {
  constexpr std::string_view kPrefix = "/v1/";
  if (path.substr(0, kPrefix.size()) != kPrefix) return std::nullopt;
  const std::string_view rest = path.substr(kPrefix.size());
  const std::size_t slash = rest.find('/');
  if (slash == std::string_view::npos) return peers::IsMethodPart(rest) ? std::optional(std::string(rest)) : std::nullopt;
  const std::string_view group = rest.substr(0, slash);
  const std::string_view name = rest.substr(slash + 1);
  if (!peers::IsMethodPart(group) || !peers::IsMethodPart(name)) return std::nullopt;
  return std::string(group) + "." + std::string(name);
}

Result<Json> ParseQuery(std::string_view query) {
  Json parameters = Json::object();
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (pair.empty()) continue;
    const std::size_t equals = std::min(pair.find('='), pair.size());
    const std::optional<std::string> name = Unescape(pair.substr(0, equals));
    const std::optional<std::string> value = Unescape(pair.substr(std::min(equals + 1, pair.size())));
    if (!name || !value || name->empty() || !IsUtf8(*name) || !IsUtf8(*value)) return Fail("the query holds a broken parameter");
    if (parameters.contains(*name)) return Fail("the query gives '" + *name + "' twice");
    parameters[*name] = *value;
  }
  return parameters;
}

Result<Json> ParseBody(std::string_view body) {
  if (body.empty()) return Json::object();
  Result<Json> json = peers::ParseForeignJson(body, "body");
  if (json.ok() && !json->is_object()) return Fail("the body is not a JSON object");
  return json;
}

unsigned StatusOf(Retry retry) {
  switch (retry) {
    case Retry::kRetry: return 503;
    case Retry::kFail: return 422;
    case Retry::kNotFound: return 404;
    case Retry::kRefused: return 409;
    case Retry::kUnknownOutcome: return 502;
  }
  return 502;
}

std::string ErrorBody(const Error& error) {
  Json body = Json::object();
  body["error"] = peers::ErrorToJson(error);
  return peers::DumpJson(body) + "\n";
}

}  // namespace lifeboat::serve
