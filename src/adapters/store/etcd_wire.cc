#include "adapters/store/etcd_wire.h"

#include <openssl/evp.h>

#include <charconv>
#include <utility>

namespace lifeboat::etcd {

namespace {

/// A 64-bit number, which the gateway writes as text and leaves out when it is 0.
std::optional<std::uint64_t> Number(const Json& object, const char* key) {
  const Json& member = MemberAt(object, key);
  if (member.is_null()) return 0;
  if (member.is_number_unsigned()) return member.get<std::uint64_t>();
  if (!member.is_string()) return std::nullopt;
  const std::string& text = member.get_ref<const std::string&>();
  std::uint64_t number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<std::string> Bytes(const Json& object, const char* key) {
  const Json& member = MemberAt(object, key);
  if (member.is_null()) return std::string();
  if (!member.is_string()) return std::nullopt;
  return FromBase64(member.get_ref<const std::string&>());
}

std::optional<KeyValue> ParseKeyValue(const Json& json) {
  std::optional<std::string> key = Bytes(json, "key");
  std::optional<std::string> value = Bytes(json, "value");
  const std::optional<std::uint64_t> revision = Number(json, "mod_revision");
  if (!json.is_object() || !key || key->empty() || !value || !revision || *revision == 0) return std::nullopt;
  return KeyValue{std::move(*key), std::move(*value), *revision};
}

std::optional<Header> ParseHeader(const Json& json) {
  const std::string cluster = TextAt(json, "cluster_id");
  const std::optional<std::uint64_t> revision = Number(json, "revision");
  if (cluster.empty() || !revision) return std::nullopt;
  return Header{cluster, *revision};
}

std::optional<std::vector<KeyValue>> ParseRange(const Json& range) {
  if (!range.is_object() || FlagAt(range, "more")) return std::nullopt;
  std::vector<KeyValue> found;
  const Json& list = MemberAt(range, "kvs");
  if (list.is_null()) return found;
  if (!list.is_array()) return std::nullopt;
  for (const Json& item : list) {
    std::optional<KeyValue> one = ParseKeyValue(item);
    if (!one) return std::nullopt;
    found.push_back(std::move(*one));
  }
  return found;
}

Error NotUnderstood(const char* what) {
  return Fail(std::string("the answer of etcd to ") + what + " is not understood",
              "is it the v3 JSON gateway of etcd 3.4 or newer that listens there?");
}

}  // namespace

std::string Base64(std::string_view bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size = ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                     reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  return text;
}

std::optional<std::string> FromBase64(std::string_view text) {
  if (text.empty()) return std::string();
  if (text.size() % 4 != 0) return std::nullopt;
  std::string bytes(text.size() / 4 * 3, '\0');
  const int size = ::EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                     reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (size < 0) return std::nullopt;
  // EVP_DecodeBlock writes the padding as zero bytes.
  const std::size_t padding = text.ends_with("==") ? 2 : (text.ends_with("=") ? 1 : 0);
  bytes.resize(static_cast<std::size_t>(size) - padding);
  return bytes;
}

std::string PrefixEnd(std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\xff') prefix.pop_back();
  if (prefix.empty()) return std::string(1, '\0');  // "all keys from here on"
  prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
  return prefix;
}

Json CompareVersion(const std::string& key, std::uint64_t mod_revision) {
  return {{"target", "MOD"}, {"result", "EQUAL"}, {"key", Base64(key)}, {"mod_revision", std::to_string(mod_revision)}};
}

Json CompareValue(const std::string& key, const std::string& value) {
  return {{"target", "VALUE"}, {"result", "EQUAL"}, {"key", Base64(key)}, {"value", Base64(value)}};
}

Json PutOf(const std::string& key, const std::string& value) {
  return {{"request_put", {{"key", Base64(key)}, {"value", Base64(value)}}}};
}

Json DeleteOf(const std::string& key) { return {{"request_delete_range", {{"key", Base64(key)}}}}; }

Json DeleteBetween(const std::string& begin, const std::string& end) {
  return {{"request_delete_range", {{"key", Base64(begin)}, {"range_end", Base64(end)}}}};
}

Json RangeOfKey(const std::string& key) { return {{"request_range", {{"key", Base64(key)}}}}; }

Json RangeOfPrefix(const std::string& prefix) {
  return {{"request_range", {{"key", Base64(prefix)}, {"range_end", Base64(PrefixEnd(prefix))}}}};
}

Json Txn(Json compares, Json success, Json failure) {
  return {{"compare", std::move(compares)}, {"success", std::move(success)}, {"failure", std::move(failure)}};
}

Json WatchOfPrefix(const std::string& prefix, std::uint64_t start_revision) {
  return {
      {"create_request",
       {{"key", Base64(prefix)}, {"range_end", Base64(PrefixEnd(prefix))}, {"start_revision", std::to_string(start_revision)}}}};
}

Result<TxnAnswer> ParseTxn(const Json& answer) {
  std::optional<Header> header = ParseHeader(MemberAt(answer, "header"));
  if (!header || header->revision == 0) return NotUnderstood("a transaction");
  TxnAnswer parsed{std::move(*header), FlagAt(answer, "succeeded"), {}};
  const Json& responses = MemberAt(answer, "responses");
  if (!responses.is_null() && !responses.is_array()) return NotUnderstood("a transaction");
  for (const Json& response : responses) {
    if (!response.contains("response_range")) continue;
    std::optional<std::vector<KeyValue>> range = ParseRange(response["response_range"]);
    if (!range) return NotUnderstood("a read");
    parsed.ranges.push_back(std::move(*range));
  }
  return parsed;
}

Refusal ParseRefusal(const std::string& body) {
  const Result<Json> json = ParseJson(body, "etcd's answer");
  if (!json || !json->is_object()) return {};
  const std::string message = TextAt(*json, "message");
  return {NumberAt(*json, "code"), message.empty() ? TextAt(*json, "error") : message};
}

Result<WatchLine> ParseWatchLine(std::string_view line) {
  const Result<Json> json = ParseJson(line, "a line of etcd's watch");
  if (!json) return json.error();
  const Json& problem = MemberAt(*json, "error");
  if (problem.is_object()) return Fail("etcd ended a watch: " + TextAt(problem, "message"));
  const Json& result = MemberAt(*json, "result");
  std::optional<Header> header = ParseHeader(MemberAt(result, "header"));
  const std::optional<std::uint64_t> compacted = Number(result, "compact_revision");
  if (!header || !compacted) return NotUnderstood("a watch");
  WatchLine parsed{std::move(*header), {}, FlagAt(result, "canceled"), *compacted, TextAt(result, "cancel_reason")};
  const Json& events = MemberAt(result, "events");
  if (!events.is_null() && !events.is_array()) return NotUnderstood("a watch");
  for (const Json& event : events) {
    std::optional<KeyValue> change = ParseKeyValue(MemberAt(event, "kv"));
    if (!change) return NotUnderstood("a watch");
    change->value.clear();
    parsed.changes.push_back(std::move(*change));
  }
  return parsed;
}

}  // namespace lifeboat::etcd
