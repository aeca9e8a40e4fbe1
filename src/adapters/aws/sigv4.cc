#include "adapters/aws/sigv4.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <map>
#include <vector>

namespace lifeboat::aws {

namespace {

constexpr const char* kAlgorithm = "AWS4-HMAC-SHA256";

/// Without ".", ".." and empty segments. @source RFC 3986 section 5.2.4
std::string NormalisedPath(const std::string& path) {
  std::vector<std::string> kept;
  std::size_t at = 0;
  while (at < path.size()) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    std::string segment = path.substr(at, end - at);
    at = end + 1;
    if (segment == "..") {
      if (!kept.empty()) kept.pop_back();
    } else if (!segment.empty() && segment != ".") {
      kept.push_back(std::move(segment));
    }
  }
  std::string out;
  for (const std::string& segment : kept) out += "/" + segment;
  if (out.empty() || path.ends_with('/')) out += "/";
  return out;
}

std::string CanonicalPath(const std::string& path, PathRule rule) {
  std::string out = path.empty() ? "/" : path;
  if (rule.normalise) out = NormalisedPath(out);
  return rule.encode_again ? UriEncode(out, false) : out;
}

std::string CanonicalQuery(const Pairs& query) {
  Pairs encoded;
  for (const auto& [name, value] : query) encoded.emplace_back(UriEncode(name), UriEncode(value));
  std::sort(encoded.begin(), encoded.end());
  std::string out;
  for (const auto& [name, value] : encoded) out += (out.empty() ? "" : "&") + name + "=" + value;
  return out;
}

/// One space for every run of white space, none at the ends.
std::string Folded(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c != ' ' && c != '\t' && c != '\n' && c != '\r') {
      out += c;
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

/// By name; the values of a name that stands twice joined in their order.
std::map<std::string, std::string> CanonicalHeaders(const Pairs& headers) {
  std::map<std::string, std::string> out;
  for (const auto& [name, value] : headers) {
    const auto [at, first] = out.try_emplace(Lower(name), Folded(value));
    if (!first) at->second += "," + Folded(value);
  }
  return out;
}

std::string CredentialScope(const SigningScope& scope) {
  return AmzDate(scope.at).substr(0, 8) + "/" + scope.region + "/" + scope.service + "/aws4_request";
}

}  // namespace

std::string AmzDate(WallTime at) {
  const std::time_t seconds = at.ns / 1'000'000'000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y%m%dT%H%M%SZ", &parts);
  return {text.data(), size};
}

std::string SignedHeaders(const Pairs& headers) {
  std::string out;
  for (const auto& [name, value] : CanonicalHeaders(headers)) out += (out.empty() ? "" : ";") + name;
  return out;
}

std::string CanonicalRequest(const Signable& request, PathRule rule) {
  std::string out = request.method + "\n" + CanonicalPath(request.path, rule) + "\n" + CanonicalQuery(request.query) + "\n";
  for (const auto& [name, value] : CanonicalHeaders(request.headers)) out += name + ":" + value + "\n";
  return out + "\n" + SignedHeaders(request.headers) + "\n" + request.payload_hash;
}

std::string StringToSign(const std::string& canonical_request, const SigningScope& scope) {
  return std::string(kAlgorithm) + "\n" + AmzDate(scope.at) + "\n" + CredentialScope(scope) + "\n" + Sha256Hex(canonical_request);
}

std::string Signature(const std::string& secret_key, const std::string& string_to_sign, const SigningScope& scope) {
  std::string key = HmacSha256("AWS4" + secret_key, AmzDate(scope.at).substr(0, 8));
  key = HmacSha256(key, scope.region);
  key = HmacSha256(key, scope.service);
  key = HmacSha256(key, "aws4_request");
  return Hex(HmacSha256(key, string_to_sign));
}

void Sign(Signable& request, const Credentials& credentials, const SigningScope& scope) {
  if (credentials.access_key_id.empty()) return;
  request.headers.emplace_back("X-Amz-Date", AmzDate(scope.at));
  if (!credentials.session_token.empty()) {
    request.headers.emplace_back("X-Amz-Security-Token", credentials.session_token.Reveal());
  }
  const std::string to_sign = StringToSign(CanonicalRequest(request, scope.path_rule), scope);
  request.headers.emplace_back("Authorization", std::string(kAlgorithm) + " Credential=" + credentials.access_key_id + "/" +
                                                    CredentialScope(scope) + ", SignedHeaders=" + SignedHeaders(request.headers) +
                                                    ", Signature=" + Signature(credentials.secret_key.Reveal(), to_sign, scope));
}

}  // namespace lifeboat::aws
