#pragma once

// What a bucket's own settings, its older versions and its copy in another region say of the backups in it: F40 to F44. None of
// that shows in the objects themselves. Thread rule: pure, but for what the caller lets it ask.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "backup/finding.h"

namespace lifeboat::backup {

/// An object as a list says it, by a path below the source's own.
struct ListedObject {
  std::string path;
  std::uint64_t size = 0;
  std::int64_t modified = 0;  ///< seconds since 1970
};

/// A lifecycle rule that deletes what is current.
struct ExpiryRule {
  std::string id;
  std::string prefix;           ///< of keys in the bucket; "": all
  std::uint64_t days = 0;       ///< after it was put there; 0: by `date`
  std::int64_t date = 0;        ///< seconds since 1970
  std::uint64_t more_than = 0;  ///< of objects larger than this, in bytes
  std::uint64_t less_than = 0;  ///< and smaller than this; 0: any
  bool by_tags = false;         ///< of objects with certain tags alone: which those are is not known here
};

/// How a bucket is set up. Nothing in an optional: it could not be seen, and `unseen` says why.
struct BucketFacts {
  std::optional<bool> versions;  ///< kept; false: never were, or suspended
  std::optional<bool> lock;      ///< Object Lock is on
  std::optional<std::vector<ExpiryRule>> expiry;
  std::vector<std::string> unseen;
};
[[nodiscard]] Json ToJson(const BucketFacts& facts);

/// F43, where it is promised that nobody can destroy what lies there. @return false: it cannot be shown that the promise is kept
[[nodiscard]] bool JudgeLock(const std::string& bucket, const BucketFacts& facts, std::vector<Finding>& findings);

struct ReplicaQuestion {
  std::string replica;             ///< its name, for words
  std::vector<ListedObject> here;  ///< both by path
  std::vector<ListedObject> there;
  std::int64_t now = 0;  ///< seconds since 1970
  Duration lag{0};       ///< how long an object may be on its way
  /// What the store says of an object's own copying: "PENDING", "FAILED", "COMPLETED", "": no rule covers it. Nothing: unseen.
  /// Asked of the first few that are missing.
  std::function<std::optional<std::string>(const std::string& path)> status;
  std::string rules;  ///< what the rules for copying say, for words: "no rule"; may be empty
};
/// F40: objects that nobody copies, or that are others there. F41: those whose copying failed or waits longer than it may.
void JudgeReplica(const ReplicaQuestion& question, std::vector<Finding>& findings);

struct ExpiryQuestion {
  std::string set;                   ///< the newest backup
  std::vector<ListedObject> needed;  ///< by it: its files, its chain's, the WAL since, the repository's lists
  std::string prefix;                ///< what keys in the bucket begin with, "" or ending in '/'
  std::vector<ExpiryRule> rules;
  std::int64_t now = 0;
};
/// F42: what the store will have deleted two days from now (it counts whole days, and takes its time) although the newest backup
/// needs it: a fault a rule.
void JudgeExpiry(const ExpiryQuestion& question, std::vector<Finding>& findings);

/// An object that is hidden by a delete marker: older versions of it are there.
struct HiddenObject {
  std::string path;
  std::int64_t since = 0;  ///< seconds since 1970
  std::string version;     ///< the newest that holds bytes; "": there is none
};
/// Findings that something is missing which can be looked for among the hidden: its path, or the last part of it.
[[nodiscard]] std::optional<std::string> MissingIn(const Finding& finding);
/// F44 in the place of those findings whose object is hidden by a delete marker, and has a version that can be brought back.
void ExplainHidden(const std::vector<HiddenObject>& hidden, std::vector<Finding>& findings);

}  // namespace lifeboat::backup
