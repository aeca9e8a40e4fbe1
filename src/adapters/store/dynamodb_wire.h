#pragma once

// The items of a service in a DynamoDB table, as text and back: docs/formats/dynamodb.md. Nothing here sends anything. An item is
// understood whole or not at all.
// Thread rule: pure functions and plain values.
// @source DynamoDB API reference, "AttributeValue"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace lifeboat::dynamodb {

inline constexpr const char* kPartition = "service";  ///< the table's hash key, text
inline constexpr const char* kSort = "item";          ///< its range key, text
inline constexpr const char* kHead = "head";

/// A record as the head or its base has it.
struct Entry {
  std::uint64_t version = 0;
  std::string value;
  std::string part;  ///< not empty: the value is the text of the item "part/<part>"
  friend bool operator==(const Entry&, const Entry&) = default;
};
using Entries = std::map<std::string, Entry>;

/// The one item whose replacement is a commit. Records that have not changed for a while are in `base`, an item of its own.
struct Head {
  std::uint64_t incarnation = 0;
  std::uint64_t counter = 0;                  ///< of changes in this incarnation
  std::vector<std::string> attempts;          ///< words that the last changes were tried under, the newest last
  std::string base;                           ///< "part/<base>" holds Entries; empty: there are none
  Entries recent;                             ///< changed since; these win
  std::map<std::string, std::uint64_t> gone;  ///< deleted since, with the version of that
  std::uint64_t folded = 0;                   ///< the version at which `base` was written
  std::map<std::string, std::string> tables;  ///< AWS region → id of the table there

  /// The version of the whole store. Within an incarnation it counts; the next one is above all of it.
  [[nodiscard]] std::uint64_t version() const { return (incarnation << 32U) | counter; }
  [[nodiscard]] std::string attempt() const { return attempts.empty() ? std::string() : attempts.back(); }
  [[nodiscard]] bool Holds(const std::string& attempt) const;
  /// A rough size of what a commit writes, in bytes.
  [[nodiscard]] std::size_t Bytes() const;
};

inline constexpr std::size_t kMostAttempts = 16;

[[nodiscard]] Json KeyOf(const std::string& service, const std::string& item);
[[nodiscard]] Json ItemOf(const std::string& service, const Head& head);
/// @error kFail: another program wrote it, or a newer Lifeboat
[[nodiscard]] Result<Head> ParseHead(const Json& item);

/// A text that never changes, written before the head that names it. `incarnation` and `counter` are of the head that it was to
/// follow: once the head is past them and does not name it, it never will.
struct Part {
  std::string id;
  std::uint64_t incarnation = 0;
  std::uint64_t counter = 0;
  std::string text;
};
[[nodiscard]] std::string SortOfPart(const std::string& id);
[[nodiscard]] Json ItemOf(const std::string& service, const Part& part);
/// Its text may be absent where only the keys were asked for.
[[nodiscard]] Result<Part> ParsePart(const Json& item);

[[nodiscard]] std::string TextOf(const Entries& entries);
[[nodiscard]] Result<Entries> ParseEntries(const std::string& text);

}  // namespace lifeboat::dynamodb
