#pragma once

// Every key of lifeboat.yaml, once. The parser (what is unknown, missing, of the wrong type, the default), the reference
// docs/configuration.md and the JSON schema all come from this list.
// Thread rule: constant data.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace lifeboat {

enum class KeyType {
  kSection,
  kRegionList,
  kItemList,  ///< of sections, other than regions
  kLabel,
  kIdentifier,
  kDuration,
  kWholeSeconds,
  kBytes,
  kEndpoint,
  kPath,
  kFolder,   ///< an absolute path, or "s3://BUCKET/PREFIX"
  kS3,       ///< "s3://BUCKET/PREFIX" alone
  kBackups,  ///< an absolute path, "s3://BUCKET/PREFIX", or "rds:NAME"
  kUrl,      ///< "https://host[:port]"
  kUrlList,
  kLabelList,
  kTextList,
  kTextMap,  ///< short name → text
  kDnsName,
  kChoice,
  kNumber,  ///< a whole number
  kShare,   ///< "1/7"
  kText,    ///< anything, as it stands
};

enum class Presence {
  kRequired,  ///< within its section, when that is given
  kOptional,
};

struct Key {
  std::string_view path;  ///< "policy.loss_limit.time"; inside a list's items "regions[].name"
  KeyType type;
  Presence presence;
  std::string_view fallback;  ///< the default as it would be written; empty: none
  std::string_view choices;   ///< kChoice: words separated by '|'
  std::string_view sample;    ///< a value for documentation and hints
  std::string_view note;      ///< when it is required, or a derived default; may be empty
  std::string_view help;      ///< one sentence
};

[[nodiscard]] std::span<const Key> AllKeys();
/// The key at `path`, or null.
[[nodiscard]] const Key* FindKey(std::string_view path);
/// Keys directly inside `section` ("": the top, "regions[]": a region), in the order of the list.
[[nodiscard]] std::vector<const Key*> KeysIn(std::string_view section);
/// What one item of the list at this generic path is called: "region".
[[nodiscard]] const char* ItemNoun(std::string_view list);
/// "time" of "policy.loss_limit.time".
[[nodiscard]] std::string_view LastWord(std::string_view path);
[[nodiscard]] std::vector<std::string> Choices(const Key& key);
/// What a value of this type is called in messages: "a duration".
[[nodiscard]] const char* Describe(KeyType type);
/// How a value of this type is written: the hint of a type error.
[[nodiscard]] const char* HowToWrite(KeyType type);

/// docs/configuration.md.
[[nodiscard]] std::string ConfigurationReference();
/// A JSON schema (draft 2020-12) for editors.
[[nodiscard]] Json ConfigurationSchema();

}  // namespace lifeboat
