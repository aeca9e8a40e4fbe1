#include "config/text.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>

namespace lifeboat {

namespace {

constexpr Duration kLongestDuration = std::chrono::hours(24 * 365);  // sums of a few of them stay far from overflow

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

struct UnitName {
  std::string_view name;
  std::uint64_t size;
};

/// `number[.fraction]unit` in the smallest unit; nothing on any other text or on overflow.
template <std::size_t N>
std::optional<std::uint64_t> ParseQuantity(std::string_view text, const UnitName (&units)[N]) {
  std::size_t at = 0;
  while (at < text.size() && IsDigit(text[at])) ++at;
  if (at == 0 || at > 18) return std::nullopt;
  std::uint64_t whole = 0;
  std::from_chars(text.data(), text.data() + at, whole);
  std::uint64_t fraction = 0;
  std::uint64_t scale = 1;
  if (at < text.size() && text[at] == '.') {
    const std::size_t begin = ++at;
    for (; at < text.size() && IsDigit(text[at]); ++at, scale *= 10) {
      if (at - begin == 3) return std::nullopt;
      fraction = fraction * 10 + static_cast<std::uint64_t>(text[at] - '0');
    }
    if (at == begin) return std::nullopt;
  }
  for (const UnitName& unit : units) {
    if (text.substr(at) != unit.name) continue;
    std::uint64_t total = 0;
    if (__builtin_mul_overflow(whole, unit.size, &total)) return std::nullopt;
    if ((fraction * unit.size) % scale != 0) return std::nullopt;  // "1.5B" is no number of bytes
    if (__builtin_add_overflow(total, fraction * unit.size / scale, &total)) return std::nullopt;
    return total;
  }
  return std::nullopt;
}

bool IsLabelWith(std::string_view text, std::string_view extra) {
  if (text.empty() || text.size() > 63 || text.front() == '-' || text.back() == '-') return false;
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || IsDigit(c) || c == '-' || extra.find(c) != std::string_view::npos;
  });
}

/// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours.
std::size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> cost(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t row = 0; row <= a.size(); ++row) cost[row][0] = row;
  for (std::size_t column = 0; column <= b.size(); ++column) cost[0][column] = column;
  for (std::size_t row = 1; row <= a.size(); ++row) {
    for (std::size_t column = 1; column <= b.size(); ++column) {
      const std::size_t change = a[row - 1] == b[column - 1] ? 0 : 1;
      std::size_t best = std::min({cost[row - 1][column] + 1, cost[row][column - 1] + 1, cost[row - 1][column - 1] + change});
      if (row > 1 && column > 1 && a[row - 1] == b[column - 2] && a[row - 2] == b[column - 1]) {
        best = std::min(best, cost[row - 2][column - 2] + 1);
      }
      cost[row][column] = best;
    }
  }
  return cost[a.size()][b.size()];
}

}  // namespace

std::optional<Duration> ParseDuration(std::string_view text) {
  static constexpr UnitName kUnits[] = {{"ms", 1'000'000},        {"s", 1'000'000'000},      {"min", 60'000'000'000},
                                        {"h", 3'600'000'000'000}, {"d", 86'400'000'000'000}, {"us", 1'000}};
  const auto ns = ParseQuantity(text, kUnits);
  if (!ns || *ns > static_cast<std::uint64_t>(kLongestDuration.count())) return std::nullopt;
  return Duration(static_cast<std::int64_t>(*ns));
}

std::optional<ByteCount> ParseByteCount(std::string_view text) {
  static constexpr UnitName kUnits[] = {
      {"B", 1},      {"KiB", 1ULL << 10}, {"MiB", 1ULL << 20},   {"GiB", 1ULL << 30},      {"TiB", 1ULL << 40},
      {"kB", 1'000}, {"MB", 1'000'000},   {"GB", 1'000'000'000}, {"TB", 1'000'000'000'000}};
  const auto bytes = ParseQuantity(text, kUnits);
  if (!bytes) return std::nullopt;
  return ByteCount{*bytes};
}

std::optional<std::uint32_t> ParseNumber(std::string_view text) {
  std::uint32_t number = 0;
  if (text.empty() || text.size() > 9) return std::nullopt;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + static_cast<std::uint32_t>(c - '0');
  }
  return number;
}

std::optional<Share> ParseShare(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto part = ParseNumber(text.substr(0, slash));
  const auto whole = ParseNumber(text.substr(slash + 1));
  if (!part || !whole || *part == 0 || *part > *whole || *whole > 1000) return std::nullopt;
  return Share{*part, *whole};
}

std::optional<Endpoint> ParseEndpoint(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string host(text.substr(0, colon));
  const std::string_view digits = text.substr(colon + 1);
  std::uint16_t port = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (digits.empty() || parsed.ec != std::errc{} || parsed.ptr != digits.data() + digits.size() || port == 0) return std::nullopt;
  if (host.find('\0') != std::string::npos) return std::nullopt;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    in6_addr address{};
    if (inet_pton(AF_INET6, host.c_str(), &address) != 1 || IN6_IS_ADDR_UNSPECIFIED(&address)) return std::nullopt;
    return Endpoint{host, port};
  }
  in_addr address{};
  if (inet_pton(AF_INET, host.c_str(), &address) != 1 || address.s_addr == INADDR_ANY) return std::nullopt;
  return Endpoint{host, port};
}

bool IsMemberUrl(std::string_view text) {
  for (const std::string_view scheme : {std::string_view("https://"), std::string_view("http://")}) {
    if (text.starts_with(scheme)) return ParseEndpoint(text.substr(scheme.size())).has_value();
  }
  return false;
}

bool IsS3Folder(std::string_view text) {
  constexpr std::string_view kScheme = "s3://";
  if (!text.starts_with(kScheme) || text.size() > 1024) return false;
  text.remove_prefix(kScheme.size());
  if (text.ends_with('/')) text.remove_suffix(1);
  const std::string_view bucket = text.substr(0, text.find('/'));
  const auto edge = [](char c) { return (c >= 'a' && c <= 'z') || IsDigit(c); };
  const bool named = bucket.size() >= 3 && bucket.size() <= 63 && edge(bucket.front()) && edge(bucket.back()) &&
                     std::all_of(bucket.begin(), bucket.end(), [&](char c) { return edge(c) || c == '.' || c == '-'; });
  if (!named || std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; })) return false;
  return text.size() == bucket.size() || (text.find("//") == std::string_view::npos && !text.ends_with('/'));
}

bool IsRdsName(std::string_view text) {
  constexpr std::string_view kScheme = "rds:";
  if (!text.starts_with(kScheme)) return false;
  text.remove_prefix(kScheme.size());
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  return !text.empty() && text.size() <= 63 && letter(text.front()) && !text.ends_with('-') &&
         text.find("--") == std::string_view::npos &&
         std::all_of(text.begin(), text.end(), [&](char c) { return letter(c) || IsDigit(c) || c == '-'; });
}

bool IsHostUrl(std::string_view text) {
  const bool tls = text.starts_with("https://");
  if (!tls && !text.starts_with("http://")) return false;
  const std::string host(text.substr(tls ? 8 : 7));
  if (ParseEndpoint(host) || ParseEndpoint(host + ":443")) return true;
  const auto colon = host.find(':');
  const bool port = colon == std::string::npos || ParseEndpoint("127.0.0.1" + host.substr(colon)).has_value();
  return port && IsDnsName(std::string_view(host).substr(0, colon));
}

bool IsLabel(std::string_view text) { return IsLabelWith(text, ""); }

bool IsDnsName(std::string_view text) {
  const std::string name = FullyQualified(text);
  if (name.size() > 254 || name == ".") return false;
  std::size_t begin = 0;
  for (std::size_t dot = name.find('.'); dot != std::string::npos; begin = dot + 1, dot = name.find('.', begin)) {
    if (!IsLabelWith(std::string_view(name).substr(begin, dot - begin), "_")) return false;
  }
  return true;
}

std::string FullyQualified(std::string_view name) {
  std::string full(name);
  for (char& c : full) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  if (full.empty() || full.back() != '.') full += '.';
  return full;
}

bool IsIdentifier(std::string_view text) {
  if (text.empty() || text.size() > 63 || !(IsLetter(text.front()) || text.front() == '_')) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return IsLetter(c) || IsDigit(c) || c == '_' || c == '-'; });
}

bool LiesInside(const std::string& path, const std::string& folder) {
  // A trailing slash is an empty last element: dropped on both sides.
  const auto strip = [](std::filesystem::path p) {
    p = p.lexically_normal();
    return p.has_filename() || !p.has_parent_path() || p == p.root_path() ? p : p.parent_path();
  };
  const std::filesystem::path inner = strip(path);
  const std::filesystem::path outer = strip(folder);
  const auto end = std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end());
  return end.first == outer.end();
}

Result<std::string> ExpandEnvironment(std::string_view text, const Environment& environment) {
  std::string expanded;
  for (std::size_t at = 0; at < text.size();) {
    if (text.substr(at, 3) == "$${") {
      expanded += "${";
      at += 3;
      continue;
    }
    if (text.substr(at, 2) != "${") {
      expanded += text[at++];
      continue;
    }
    const auto close = text.find('}', at);
    const std::string name(text.substr(at + 2, close == std::string_view::npos ? close : close - at - 2));
    const bool named = !name.empty() && !IsDigit(name.front()) &&
                       std::all_of(name.begin(), name.end(), [](char c) { return IsLetter(c) || IsDigit(c) || c == '_'; });
    if (close == std::string_view::npos || !named) {
      return Fail("'" + std::string(text) + "' does not name an environment variable",
                  "write '${NAME}', or '$${' for a literal '${'");
    }
    const auto value = environment(name);
    if (!value)
      return Fail("environment variable '" + name + "' is not set", "set '" + name + "' before starting, as in '.env.example'");
    expanded += *value;
    at = close + 1;
  }
  return expanded;
}

std::optional<std::string> NearestTo(std::string_view word, const std::vector<std::string>& candidates) {
  std::optional<std::string> best;
  std::size_t least = std::max<std::size_t>(1, (word.size() + 1) / 3) + 1;  // about one slip in three letters
  if (word.size() > 80) return best;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = EditDistance(word, candidate);
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace lifeboat
