#include "adapters/aws/aurora_rules.h"

#include <algorithm>
#include <cctype>

namespace lifeboat::aws {

namespace {

constexpr const char* kAvailable = "available";
constexpr const char* kLostWritesPrefix = "rds:unplanned-global-failover-";
constexpr const char* kDetachHint =
    "what is left is detach-and-promote: it ends the global database, and nothing stops the old writer";

bool Contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

/// The name of a cluster as a word of its own: "orders-1" does not stand in "orders-10".
bool Names(const std::string& text, const std::string& name) {
  const auto part_of_name = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-'; };
  for (std::size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + 1)) {
    const std::size_t end = at + name.size();
    if ((at == 0 || !part_of_name(text[at - 1])) && (end == text.size() || !part_of_name(text[end]))) return true;
  }
  return false;
}

Result<Unit> MayBeWriter(const rds::GlobalCluster& global, const rds::DbCluster& target) {
  const rds::GlobalMember* member = MemberOf(global, target.arn);
  if (member == nullptr) {
    return Fail("cluster '" + target.id + "' is no member of global database '" + global.id + "'", "compare the ARNs in the file");
  }
  if (member->is_writer) return Refused("cluster '" + target.id + "' is the writer already");
  if (target.instances.empty()) {
    return Refused("cluster '" + target.id + "' has no instance: it could not be connected to", "add an instance to it first");
  }
  return Done();
}

}  // namespace

const char* ToString(WriterMove move) {
  switch (move) {
    case WriterMove::kNotBegun: return "not begun";
    case WriterMove::kUnderWay: return "under way";
    case WriterMove::kDone: return "done";
    case WriterMove::kElsewhere: return "elsewhere";
    case WriterMove::kCancelling: return "cancelling";
  }
  return "?";
}

const char* ToString(Fencing fencing) {
  switch (fencing) {
    case Fencing::kNoWord: return "no word";
    case Fencing::kSucceeded: return "succeeded";
    case Fencing::kTimedOut: return "timed out";
  }
  return "?";
}

const rds::GlobalMember* MemberOf(const rds::GlobalCluster& global, const std::string& cluster_arn) {
  for (const rds::GlobalMember& member : global.members) {
    if (member.cluster_arn == cluster_arn) return &member;
  }
  return nullptr;
}

std::string WriterOf(const rds::GlobalCluster& global) {
  for (const rds::GlobalMember& member : global.members) {
    if (member.is_writer) return member.cluster_arn;
  }
  return {};
}

WriterMove MoveOf(const rds::GlobalCluster& global, const std::string& target_arn) {
  if (global.failover) {
    if (global.failover->status == "cancelling") return WriterMove::kCancelling;
    return global.failover->to_arn == target_arn ? WriterMove::kUnderWay : WriterMove::kElsewhere;
  }
  const bool writer = WriterOf(global) == target_arn;
  // The roles change before the work ends: "failing-over" goes on without a FailoverState for a while.
  const bool busy = global.status == "switching-over" || global.status == "failing-over" || global.status == "promoting";
  if (busy) return WriterMove::kUnderWay;
  return writer ? WriterMove::kDone : WriterMove::kNotBegun;
}

bool SameMajorVersion(const std::string& a, const std::string& b) {
  return !a.empty() && a.substr(0, a.find('.')) == b.substr(0, b.find('.'));
}

Result<Unit> MaySwitchOver(const rds::GlobalCluster& global, const rds::DbCluster& source, const rds::DbCluster& target) {
  if (const Result<Unit> may = MayBeWriter(global, target); !may) return may;
  if (global.failover) {
    return Refused("global database '" + global.id + "' is busy: '" + global.failover->status + "'", "wait until that has ended");
  }
  if (global.status != kAvailable) return Refused("global database '" + global.id + "' is '" + global.status + "', not available");
  for (const rds::DbCluster* cluster : {&source, &target}) {
    if (cluster->status != kAvailable) return Refused("cluster '" + cluster->id + "' is '" + cluster->status + "', not available");
  }
  const rds::GlobalMember* member = MemberOf(global, target.arn);
  if (!member->synchronization.empty() && member->synchronization != "connected") {
    return Refused("cluster '" + target.id + "' is not in step with the writer: '" + member->synchronization + "'");
  }
  if (source.engine_version != target.engine_version) {
    return Refused(
        "the writer runs version '" + source.engine_version + "', cluster '" + target.id + "' '" + target.engine_version + "'",
        "bring both to the same version first");
  }
  return Done();
}

Result<Unit> MayFailOver(const rds::GlobalCluster& global, const rds::DbCluster& target) {
  if (const Result<Unit> may = MayBeWriter(global, target); !may) return may;
  if (global.failover && global.failover->to_arn != target.arn) {
    return Refused(
        "global database '" + global.id + "' is '" + global.failover->status + "' towards '" + global.failover->to_arn + "'",
        "wait until that has ended, or take that target");
  }
  if (!SameMajorVersion(global.engine_version, target.engine_version)) {
    return Refused("global database '" + global.id + "' runs version '" + global.engine_version + "', cluster '" + target.id +
                       "' '" + target.engine_version + "'",
                   kDetachHint);
  }
  return Done();
}

Error RefusalOf(const Error& refusal) {
  // "The target cluster … must have the same engine version as the current primary cluster." @source AWS re:Post, "minor version
  // mismatch" SAFETY: only a no that AWS gave for the versions, and never a state that passes by itself: detaching ends the global
  // database.
  const bool no = refusal.retry == Retry::kRefused || refusal.retry == Retry::kFail;
  if (!no || refusal.not_weighed || !Contains(refusal.message, "same engine version")) return refusal;
  return Refused(refusal.message, kDetachHint);
}

FencingWord FencingIn(const std::vector<rds::Event>& events, const std::string& name) {
  FencingWord word;
  for (const rds::Event& event : events) {
    // DescribeEvents gives no ids: RDS-EVENT-0390 and 0391 are known by their words.
    if (!Contains(event.message, "Attempt to block writes")) continue;
    // SAFETY: AWS's word about another cluster is no word about this one.
    if (!name.empty() && !Names(event.message, name)) continue;
    if (word.at && event.at && *event.at < *word.at) continue;
    Fencing said = Fencing::kNoWord;
    if (Contains(event.message, "succeeded")) said = Fencing::kSucceeded;
    if (Contains(event.message, "timed out")) said = Fencing::kTimedOut;
    // SAFETY: words that are not known are no word; nothing is taken for fenced that AWS did not call so.
    if (said != Fencing::kNoWord) word = FencingWord{said, event.message, event.at};
  }
  return word;
}

const rds::Snapshot* SnapshotOfLostWrites(const std::vector<rds::Snapshot>& snapshots, const std::string& cluster, WallTime from) {
  const rds::Snapshot* newest = nullptr;
  for (const rds::Snapshot& snapshot : snapshots) {
    if (!snapshot.id.starts_with(kLostWritesPrefix) || (!cluster.empty() && snapshot.of != cluster)) continue;
    // SAFETY: what an earlier failover lost is not passed off as this one's.
    if (!snapshot.created || *snapshot.created < from) continue;
    if (newest == nullptr || *newest->created < *snapshot.created) newest = &snapshot;
  }
  return newest;
}

std::string NameOfKeptSnapshot(const rds::Snapshot& snapshot) {
  // A manual snapshot's name has letters, digits and single hyphens, at most 255.
  std::string name = "lifeboat-lost-writes-" + snapshot.id.substr(std::string_view(kLostWritesPrefix).size());
  for (char& c : name) {
    const bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!fits) c = '-';
  }
  std::string out;
  for (const char c : name) {
    if (c != '-' || !out.ends_with('-')) out += c;
  }
  while (out.ends_with('-')) out.pop_back();
  return out.substr(0, 255);
}

std::vector<AuroraFinding> FindingsOf(const rds::GlobalCluster& global, const std::vector<rds::DbCluster>& clusters) {
  std::vector<AuroraFinding> findings;
  const std::string writer = WriterOf(global);
  if (writer.empty()) findings.push_back({"aurora-no-writer", "global database '" + global.id + "' has no writer", ""});
  if (global.members.size() < 2) {
    findings.push_back({"aurora-one-region", "global database '" + global.id + "' has no secondary", "add a secondary region"});
  }
  for (const rds::DbCluster& cluster : clusters) {
    const rds::GlobalMember* member = MemberOf(global, cluster.arn);
    if (member == nullptr) {
      findings.push_back({"aurora-not-member", "cluster '" + cluster.id + "' is no member of global database '" + global.id + "'",
                          "add it, or take it out of the file"});
      continue;
    }
    if (cluster.instances.empty()) {
      findings.push_back({"aurora-headless", "cluster '" + cluster.id + "' has no instance and cannot take over",
                          "add an instance: creating one during a disaster may not succeed"});
    }
    if (cluster.status != kAvailable) {
      findings.push_back({"aurora-not-available", "cluster '" + cluster.id + "' is '" + cluster.status + "'", ""});
    }
    if (!SameMajorVersion(cluster.engine_version, global.engine_version)) {
      findings.push_back({"aurora-version",
                          "cluster '" + cluster.id + "' runs '" + cluster.engine_version + "', the global database '" +
                              global.engine_version + "'",
                          kDetachHint});
    } else if (cluster.engine_version != global.engine_version) {
      findings.push_back({"aurora-version-minor",
                          "cluster '" + cluster.id + "' runs '" + cluster.engine_version + "', the global database '" +
                              global.engine_version + "'",
                          "a switchover needs the same version on both sides"});
    }
    if (!member->is_writer && member->synchronization == "pending-resync") {
      findings.push_back({"aurora-pending-resync", "cluster '" + cluster.id + "' is not in step with the writer", ""});
    }
  }
  return findings;
}

}  // namespace lifeboat::aws
