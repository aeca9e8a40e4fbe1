#include "base/json.h"

namespace lifeboat {

Result<Json> ParseJson(std::string_view text, std::string_view what) {
  Json parsed = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_discarded()) return Fail("'" + std::string(what) + "' is not valid JSON");
  return parsed;
}

const Json& MemberAt(const Json& object, const char* key) {
  static const Json kNull;
  if (!object.is_object()) return kNull;
  const auto it = object.find(key);
  return it == object.end() ? kNull : *it;
}

std::string TextAt(const Json& object, const char* key, std::string fallback) {
  const Json& member = MemberAt(object, key);
  return member.is_string() ? member.get<std::string>() : fallback;
}

std::uint64_t NumberAt(const Json& object, const char* key, std::uint64_t fallback) {
  const Json& member = MemberAt(object, key);
  if (member.is_number_unsigned()) return member.get<std::uint64_t>();
  if (member.is_number_integer() && member.get<std::int64_t>() >= 0) return member.get<std::uint64_t>();
  return fallback;
}

std::int64_t SignedAt(const Json& object, const char* key, std::int64_t fallback) {
  const Json& member = MemberAt(object, key);
  return member.is_number_integer() ? member.get<std::int64_t>() : fallback;
}

bool FlagAt(const Json& object, const char* key, bool fallback) {
  const Json& member = MemberAt(object, key);
  return member.is_boolean() ? member.get<bool>() : fallback;
}

}  // namespace lifeboat
