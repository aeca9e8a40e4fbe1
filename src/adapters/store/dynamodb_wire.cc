#include "adapters/store/dynamodb_wire.h"

#include <algorithm>

namespace lifeboat::dynamodb {

namespace {

constexpr const char* kHeadFormat = "lifeboat-store/1";
constexpr const char* kPartFormat = "lifeboat-part/1";
constexpr std::size_t kEntryBytes = 60;  // of an entry beside its key and value

Json Text(const std::string& text) { return {{"S", text}}; }
Json Number(std::uint64_t number) { return {{"N", std::to_string(number)}}; }

std::string TextOfAttribute(const Json& item, const char* name) { return TextAt(MemberAt(item, name), "S"); }

std::optional<std::uint64_t> NumberOfAttribute(const Json& item, const char* name) {
  const std::string digits = TextAt(MemberAt(item, name), "N");
  const bool plain = !digits.empty() && digits.size() < 20 &&
                     std::all_of(digits.begin(), digits.end(), [](unsigned char c) { return c >= '0' && c <= '9'; });
  if (!plain) return std::nullopt;
  return std::stoull(digits);
}

Error Unreadable(const std::string& what) {
  return Fail("the item '" + what + "' in DynamoDB cannot be read", "another program wrote it, or a newer Lifeboat did");
}

/// [key, version, value] or [key, version, null, part]
Json ListOf(const Entries& entries) {
  Json list = Json::array();
  for (const auto& [key, entry] : entries) {
    if (entry.part.empty()) {
      list.push_back({key, entry.version, entry.value});
    } else {
      list.push_back({key, entry.version, nullptr, entry.part});
    }
  }
  return list;
}

std::optional<Entries> EntriesOf(const Json& list) {
  if (!list.is_array()) return std::nullopt;
  Entries entries;
  for (const Json& row : list) {
    const bool whole = row.is_array() && (row.size() == 3 || row.size() == 4) && row[0].is_string() && row[1].is_number_unsigned();
    if (!whole) return std::nullopt;
    const Json& text = row[row.size() - 1];
    if (!text.is_string() || (row.size() == 4 && !row[2].is_null())) return std::nullopt;
    Entry& entry = entries[row[0].get<std::string>()];
    entry.version = row[1].get<std::uint64_t>();
    (row.size() == 3 ? entry.value : entry.part) = text.get<std::string>();
  }
  return entries;
}

bool ReadState(const Json& state, Head& head) {
  const auto recent = EntriesOf(MemberAt(state, "recent"));
  const Json& attempts = MemberAt(state, "attempts");
  const Json& gone = MemberAt(state, "gone");
  const Json& tables = MemberAt(state, "tables");
  if (!recent || !attempts.is_array() || attempts.empty() || !gone.is_object() || !tables.is_object()) return false;
  head.recent = *recent;
  for (const Json& attempt : attempts) {
    if (!attempt.is_string()) return false;
    head.attempts.push_back(attempt.get<std::string>());
  }
  for (const auto& [key, version] : gone.items()) {
    if (!version.is_number_unsigned()) return false;
    head.gone[key] = version.get<std::uint64_t>();
  }
  for (const auto& [region, id] : tables.items()) {
    if (!id.is_string()) return false;
    head.tables[region] = id.get<std::string>();
  }
  head.base = TextAt(state, "base");
  head.folded = NumberAt(state, "folded");
  return true;
}

}  // namespace

bool Head::Holds(const std::string& attempt) const {
  return std::find(attempts.begin(), attempts.end(), attempt) != attempts.end();
}

std::size_t Head::Bytes() const {
  std::size_t bytes = 0;
  for (const auto& [key, entry] : recent) bytes += key.size() + entry.value.size() + entry.part.size() + kEntryBytes;
  for (const auto& [key, version] : gone) bytes += key.size() + kEntryBytes;
  return bytes;
}

Json KeyOf(const std::string& service, const std::string& item) { return {{kPartition, Text(service)}, {kSort, Text(item)}}; }

Json ItemOf(const std::string& service, const Head& head) {
  const Json state = {{"attempts", head.attempts},     {"base", head.base},
                      {"folded", head.folded},         {"gone", Json(head.gone)},
                      {"recent", ListOf(head.recent)}, {"tables", Json(head.tables)}};
  Json item = KeyOf(service, kHead);
  item["format"] = Text(kHeadFormat);
  item["incarnation"] = Number(head.incarnation);
  item["counter"] = Number(head.counter);
  item["attempt"] = Text(head.attempt());
  item["state"] = Text(state.dump());
  return item;
}

Result<Head> ParseHead(const Json& item) {
  Head head;
  const auto incarnation = NumberOfAttribute(item, "incarnation");
  const auto counter = NumberOfAttribute(item, "counter");
  if (TextOfAttribute(item, "format") != kHeadFormat || !incarnation || *incarnation == 0 || !counter) return Unreadable(kHead);
  head.incarnation = *incarnation;
  head.counter = *counter;
  const Result<Json> state = ParseJson(TextOfAttribute(item, "state"), kHead);
  if (!state || !ReadState(*state, head) || head.attempt() != TextOfAttribute(item, "attempt")) return Unreadable(kHead);
  return head;
}

std::string SortOfPart(const std::string& id) { return "part/" + id; }

Json ItemOf(const std::string& service, const Part& part) {
  Json item = KeyOf(service, SortOfPart(part.id));
  item["format"] = Text(kPartFormat);
  item["incarnation"] = Number(part.incarnation);
  item["counter"] = Number(part.counter);
  item["text"] = Text(part.text);
  return item;
}

Result<Part> ParsePart(const Json& item) {
  const std::string sort = TextOfAttribute(item, kSort);
  const auto incarnation = NumberOfAttribute(item, "incarnation");
  const auto counter = NumberOfAttribute(item, "counter");
  const bool whole = sort.starts_with("part/") && TextOfAttribute(item, "format") == kPartFormat && incarnation && counter;
  if (!whole) return Unreadable(sort);
  return Part{sort.substr(5), *incarnation, *counter, TextOfAttribute(item, "text")};
}

std::string TextOf(const Entries& entries) { return ListOf(entries).dump(); }

Result<Entries> ParseEntries(const std::string& text) {
  const Result<Json> list = ParseJson(text, "a part");
  std::optional<Entries> entries;
  if (list) entries = EntriesOf(*list);
  if (!entries) return Unreadable("part");
  return std::move(*entries);
}

}  // namespace lifeboat::dynamodb
