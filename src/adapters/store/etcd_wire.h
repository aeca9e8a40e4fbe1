#pragma once

// Questions to etcd's v3 JSON gateway and its answers, as text: base64, 64-bit numbers as strings, absent members for
// zero and empty. Nothing here sends anything. An answer is understood whole or not at all.
// Thread rule: pure functions.
// @source etcd documentation v3.4, "gRPC gateway"; etcdserver/etcdserverpb/rpc.proto

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace lifeboat::etcd {

[[nodiscard]] std::string Base64(std::string_view bytes);
/// Nothing when the text is not base64.
[[nodiscard]] std::optional<std::string> FromBase64(std::string_view text);

/// The end of the range of all keys that begin with `prefix`, which is not empty. @source rpc.proto, RangeRequest.range_end
[[nodiscard]] std::string PrefixEnd(std::string prefix);

struct KeyValue {
  std::string key;
  std::string value;
  std::uint64_t mod_revision = 0;
  friend bool operator==(const KeyValue&, const KeyValue&) = default;
};

struct Header {
  std::string cluster_id;
  std::uint64_t revision = 0;
};

struct TxnAnswer {
  Header header;
  bool succeeded = false;
  std::vector<std::vector<KeyValue>> ranges;  ///< of the branch that ran: one a range that was asked, in that order
};

/// An error that etcd itself said. @source gRPC status codes
struct Refusal {
  std::uint64_t code = 0;
  std::string message;
};

[[nodiscard]] Json CompareVersion(const std::string& key, std::uint64_t mod_revision);
[[nodiscard]] Json CompareValue(const std::string& key, const std::string& value);
[[nodiscard]] Json PutOf(const std::string& key, const std::string& value);
[[nodiscard]] Json DeleteOf(const std::string& key);
/// All keys from `begin` to before `end`.
[[nodiscard]] Json DeleteBetween(const std::string& begin, const std::string& end);
[[nodiscard]] Json RangeOfKey(const std::string& key);
[[nodiscard]] Json RangeOfPrefix(const std::string& prefix);
[[nodiscard]] Json Txn(Json compares, Json success, Json failure);
[[nodiscard]] Json WatchOfPrefix(const std::string& prefix, std::uint64_t start_revision);

/// @error kFail: it is no answer to a transaction
[[nodiscard]] Result<TxnAnswer> ParseTxn(const Json& answer);
[[nodiscard]] Refusal ParseRefusal(const std::string& body);

/// One line of a watch's stream.
struct WatchLine {
  Header header;
  std::vector<KeyValue> changes;       ///< the value is not kept; deletions too
  bool canceled = false;               ///< nothing more will come
  std::uint64_t compact_revision = 0;  ///< canceled: what is older was compacted away
  std::string reason;                  ///< canceled: in etcd's words
};
/// @error kFail: it is no line of a watch
[[nodiscard]] Result<WatchLine> ParseWatchLine(std::string_view line);

}  // namespace lifeboat::etcd
