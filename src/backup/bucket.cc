#include "backup/bucket.h"

#include <algorithm>

namespace lifeboat::backup {

namespace {

constexpr std::int64_t kDay = 86400;
constexpr std::int64_t kHorizon = 2 * kDay;
constexpr std::size_t kAsked = 16;  // objects whose own status is asked for

std::string TimeText(std::int64_t seconds) { return FormatWallTime({seconds * 1000000000}).substr(0, 19) + "Z"; }

std::string Objects(std::uint64_t count) { return std::to_string(count) + (count == 1 ? " object" : " objects"); }

/// Some of a kind: how many, which comes first, since when.
struct Some {
  std::uint64_t count = 0;
  std::string first;
  std::int64_t oldest = 0;
  void Add(const ListedObject& object) {
    if (count++ == 0) first = object.path;
    if (oldest == 0 || object.modified < oldest) oldest = object.modified;
  }
};

Finding Tell(int fault, const Some& some, const std::string& what) {
  Finding finding = MakeFinding(fault, "", some.first, "", what);
  finding.count = some.count;
  return finding;
}

bool Covers(const ExpiryRule& rule, const std::string& key, const ListedObject& object) {
  return !rule.by_tags && key.starts_with(rule.prefix) && (rule.more_than == 0 || object.size > rule.more_than) &&
         (rule.less_than == 0 || object.size < rule.less_than);
}

/// When a rule deletes an object. @source S3 user guide, "Lifecycle and other bucket configurations": days are counted to the next
/// midnight UTC
std::int64_t EndOf(const ExpiryRule& rule, const ListedObject& object) {
  if (rule.days == 0) return rule.date;
  const std::int64_t due = object.modified + static_cast<std::int64_t>(rule.days) * kDay;
  return (due + kDay - 1) / kDay * kDay;
}

bool Fits(const std::string& path, const std::string& missing) {
  return path == missing || path.ends_with("/" + missing) || path.find("/" + missing + "-") != std::string::npos ||
         path.find("/" + missing + ".") != std::string::npos || path.starts_with(missing + "/") ||
         path.find("/" + missing + "/") != std::string::npos;
}

}  // namespace

Json ToJson(const BucketFacts& facts) {
  Json json = {{"versions", facts.versions ? Json(*facts.versions) : Json(nullptr)},
               {"lock", facts.lock ? Json(*facts.lock) : Json(nullptr)},
               {"expiry_rules", facts.expiry ? Json(facts.expiry->size()) : Json(nullptr)},
               {"unseen", facts.unseen}};
  return json;
}

bool JudgeLock(const std::string& bucket, const BucketFacts& facts, std::vector<Finding>& findings) {
  std::string missing;
  if (facts.versions && !*facts.versions) missing = "it keeps no versions";
  if (facts.lock && !*facts.lock) missing += std::string(missing.empty() ? "it" : " and") + " has no Object Lock";
  if (!missing.empty()) findings.push_back(MakeFinding(43, "", bucket, "", missing));
  return facts.versions && facts.lock;
}

void JudgeReplica(const ReplicaQuestion& question, std::vector<Finding>& findings) {
  const std::int64_t patience = std::chrono::duration_cast<std::chrono::seconds>(question.lag).count();
  Some missing;
  Some other;
  Some waiting;
  std::string waits;
  std::size_t asked = 0;
  auto there = question.there.begin();
  for (const ListedObject& object : question.here) {
    while (there != question.there.end() && there->path < object.path) ++there;
    const bool found = there != question.there.end() && there->path == object.path;
    if ((found && there->size == object.size) || object.modified + patience >= question.now) continue;
    const std::optional<std::string> status =
        question.status && asked++ < kAsked ? question.status(object.path) : std::optional<std::string>();
    if (status && (*status == "PENDING" || *status == "FAILED")) {
      if (waits != "FAILED") waits = *status;
      waiting.Add(object);
    } else {
      (found ? other : missing).Add(object);
    }
  }
  if (waiting.count > 0) {
    findings.push_back(Tell(41, waiting,
                            Objects(waiting.count) + " not in '" + question.replica + "', the oldest since " +
                                TimeText(waiting.oldest) + ": the store says " + waits));
  }
  const std::string rules = question.rules.empty() ? "" : " (" + question.rules + ")";
  if (missing.count > 0) {
    findings.push_back(
        Tell(40, missing,
             Objects(missing.count) + " not in '" + question.replica + "', the oldest since " + TimeText(missing.oldest) + rules));
  }
  if (other.count > 0) {
    findings.push_back(Tell(40, other, Objects(other.count) + " of another size in '" + question.replica + "'" + rules));
  }
}

void JudgeExpiry(const ExpiryQuestion& question, std::vector<Finding>& findings) {
  for (const ExpiryRule& rule : question.rules) {
    Some doomed;
    std::int64_t first_end = 0;
    for (const ListedObject& object : question.needed) {
      if (!Covers(rule, question.prefix + object.path, object)) continue;
      const std::int64_t end = EndOf(rule, object);
      if (end == 0 || end > question.now + kHorizon) continue;
      doomed.Add(object);
      if (first_end == 0 || end < first_end) first_end = end;
    }
    if (doomed.count == 0) continue;
    Finding finding = Tell(42, doomed,
                           "the lifecycle rule '" + rule.id + "' deletes " + Objects(doomed.count) +
                               " that the newest backup needs, from " + TimeText(first_end) + " on");
    finding.set = question.set;
    findings.push_back(std::move(finding));
  }
}

std::optional<std::string> MissingIn(const Finding& finding) {
  if (finding.severity != Severity::kFault || finding.object.empty()) return std::nullopt;
  for (const int fault : {5, 7, 10, 11, 12, 13, 18}) {
    if (finding.fault == fault) return finding.object;
  }
  return std::nullopt;
}

void ExplainHidden(const std::vector<HiddenObject>& hidden, std::vector<Finding>& findings) {
  for (Finding& each : findings) {
    const std::optional<std::string> missing = MissingIn(each);
    if (!missing) continue;
    const auto found = std::find_if(hidden.begin(), hidden.end(), [&](const HiddenObject& object) {
      return !object.version.empty() && Fits(object.path, *missing);
    });
    if (found == hidden.end()) continue;
    Finding marked = MakeFinding(44, each.set, each.object, each.position,
                                 "a delete marker of " + TimeText(found->since) + " hides '" + found->path +
                                     "', of which version '" + found->version + "' is there; without it: " + each.what);
    marked.level = each.level;
    marked.count = each.count;
    each = std::move(marked);
  }
}

}  // namespace lifeboat::backup
