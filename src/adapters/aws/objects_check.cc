// What `lifeboat check` says of objects: apart from the door itself, which it only asks.

#include "adapters/aws/check_lines.h"
#include "adapters/aws/objects.h"

namespace lifeboat::aws {

namespace {

/// "eu-west-1" of "arn:aws:kms:eu-west-1:1:key/k"; empty: an alias, an id, or S3's own.
std::string RegionOfKey(const std::string& key) {
  if (!key.starts_with("arn:")) return {};
  std::size_t at = 0;
  for (int i = 0; i < 3; ++i) at = key.find(':', at) + 1;
  return key.substr(at, key.find(':', at) - at);
}

void AddVersioning(std::vector<Readiness>& lines, const std::string& what, const std::optional<bool>& on) {
  if (on && !*on) lines.push_back(Fault(what + " has no versioning: nothing is copied", "turn it on"));
}

void AddKeys(std::vector<Readiness>& lines, const std::string& words, const ReplicationLook& look, const RegionName& to) {
  if (!look.key_from.empty() && !look.kms_objects) {
    lines.push_back(Fault("objects of " + words + " are written under KMS key '" + look.key_from + "', and rule '" + look.rule +
                              "' does not copy such objects",
                          "turn SseKmsEncryptedObjects on, and name a key of the target's region"));
  }
  if (!look.kms_objects) return;
  const std::string region = RegionOfKey(look.replica_key);
  if (look.replica_key.empty()) {
    lines.push_back(
        Fault("rule '" + look.rule + "' of " + words + " names no KMS key for the copies", "name a key of '" + to.text + "'"));
  } else if (region.empty()) {
    lines.push_back(
        Unknown("the copies' KMS key '" + look.replica_key + "' of " + words + " does not say its region", "write it as an ARN"));
  } else if (region != to.text) {
    lines.push_back(
        Fault("the copies of " + words + " are written under a KMS key of '" + region + "': they cannot be read without it",
              "name a key of '" + to.text + "'"));
  } else {
    lines.push_back(Ok("the copies of " + words + " are written under a KMS key of '" + to.text + "'"));
  }
}

}  // namespace

std::vector<Readiness> LinesOf(const std::string& words, const ReplicationLook& look, const RegionName& to) {
  std::vector<Readiness> lines;
  for (const std::string& unseen : look.unseen) {
    lines.push_back(Unknown("of " + words + " could not be seen: " + unseen, "see whether the region answers, and may be asked"));
  }
  AddVersioning(lines, "the source of " + words, look.versioned_from);
  AddVersioning(lines, "the target of " + words, look.versioned_to);
  if (!look.has_rule) return lines;
  const std::string rule = "rule '" + look.rule + "' of " + words;
  if (!*look.has_rule) {
    lines.push_back(Fault("no replication rule leads along " + words, "add one: what is written there is in one region alone"));
    return lines;
  }
  if (!look.enabled) lines.push_back(Fault(rule + " is turned off", "turn it on, and copy what was written meanwhile by a batch"));
  if (!look.covers_prefix) {
    lines.push_back(
        Fault(rule + " covers only a part of what is to be copied", "widen its prefix, and take tags out of its filter"));
  }
  if (look.enabled && look.covers_prefix) lines.push_back(Ok(rule + " is on and covers the prefix"));
  if (!look.delete_markers) {
    lines.push_back(Fault(rule + " does not copy deletions: what was deleted is there again after a failover",
                          "turn delete marker replication on, or live with it"));
  }
  if (!look.metrics) {
    lines.push_back(
        Unknown(rule + " has no metrics: how much is pending or has failed is not counted", "turn replication metrics on"));
  }
  AddKeys(lines, words, look, to);
  return lines;
}

Task<Result<std::vector<Readiness>>> AwsObjects::Check(RegionName from, RegionName to, Duration canary_age, Duration timeout) {
  const std::string words = "objects '" + settings_.name + "' from '" + from.text + "' to '" + to.text + "'";
  const Duration share = timeout / 4;
  Result<ReplicationLook> look = co_await Look(from, to, share);
  if (!look) co_return look.error();
  std::vector<Readiness> lines = LinesOf(words, *look, to);
  const auto add = [&lines](std::vector<Readiness> more) {
    lines.insert(lines.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  };
  if (canary_age > 0ns) {
    std::vector<Readiness> more = co_await CheckArrivals(from, to, canary_age, share);
    add(std::move(more));
  }
  if (look->metrics || !look->has_rule) {
    std::vector<Readiness> more = co_await CheckBacklog(from, to, share);
    add(std::move(more));
  }
  if (has_access_point()) {
    std::vector<Readiness> more = co_await CheckRoutes(from, to, share);
    add(std::move(more));
  }
  co_return lines;
}

Task<std::vector<Readiness>> AwsObjects::CheckArrivals(RegionName from, RegionName to, Duration canary_age, Duration timeout) {
  const std::string words = "objects '" + settings_.name + "' from '" + from.text + "' to '" + to.text + "'";
  std::vector<Readiness> lines;
  Result<std::optional<WallTime>> put = co_await NewestArrival(from, to, timeout);
  if (!put) {
    lines.push_back(Unseen("whether a canary of " + words + " has arrived could not be seen", put.error()));
    co_return lines;
  }
  if (!*put) {
    lines.push_back(
        Fault("no canary of " + words + " has ever arrived", "see whether canaries are put, and whether the rule copies"));
    co_return lines;
  }
  const Duration age = std::max<Duration>(Duration(clock_.Wall().ns - (*put)->ns), 0ns);
  const std::string what = "the newest canary of " + words + " that has arrived was put " + FormatDuration(age) + " ago";
  if (age > canary_age) {
    lines.push_back(Fault(what + ", and " + FormatDuration(canary_age) + " are allowed: the copying is behind, or nobody puts them",
                          "look at the source's replication status"));
  } else {
    lines.push_back(Ok(what));
  }
  co_return lines;
}

Task<std::vector<Readiness>> AwsObjects::CheckBacklog(RegionName from, RegionName to, Duration timeout) {
  const std::string words = "objects '" + settings_.name + "' from '" + from.text + "' to '" + to.text + "'";
  std::vector<Readiness> lines;
  Result<ReplicationBacklog> backlog = co_await Backlog(from, to, timeout);
  if (!backlog) {
    lines.push_back(Unseen("what is pending of " + words + " could not be seen", backlog.error()));
    co_return lines;
  }
  if (backlog->failed_operations.value_or(0) > 0) {
    lines.push_back(Fault(std::to_string(*backlog->failed_operations) + " operations of " + words +
                              " have failed in the last 15 minutes: S3 does not try them again",
                          "find the cause in the events, and copy them by a batch"));
  }
  if (!backlog->pending_operations && !backlog->latency) {
    lines.push_back(Unknown("CloudWatch has no count of what is pending of " + words + " in the last 15 minutes",
                            "it has none while nothing is written; else see whether metrics are on"));
    co_return lines;
  }
  std::string what = std::to_string(backlog->pending_operations.value_or(0)) + " operations of " + words + " are pending";
  if (backlog->latency) what += ", the target is " + FormatDuration(*backlog->latency) + " behind";
  lines.push_back(Ok(what));
  co_return lines;
}

Task<std::vector<Readiness>> AwsObjects::CheckRoutes(RegionName from, RegionName to, Duration timeout) {
  std::vector<Readiness> lines;
  const std::string words = "access point of objects '" + settings_.name + "'";
  Result<std::vector<ObjectRoute>> routes = co_await Routes(RegionName(), timeout);
  if (!routes) {
    const bool missing = routes.error().retry == Retry::kNotFound;
    lines.push_back(missing ? Fault("the " + words + " does not exist", "write its ARN right")
                            : Unseen("the routes of the " + words + " could not be read", routes.error()));
    co_return lines;
  }
  bool leads_there = false;
  std::string list;
  for (const ObjectRoute& route : *routes) {
    list += (list.empty() ? "" : ", ") + route.region.text + " " + std::to_string(route.percent);
    leads_there = leads_there || route.region == to;
    if (route.region == from && route.percent == 0) {
      lines.push_back(Fault("the " + words + " sends nothing to '" + from.text + "', which serves", "move its routes there"));
    }
  }
  if (!leads_there) lines.push_back(Fault("the " + words + " has no bucket in '" + to.text + "'", "add it"));
  if (lines.empty()) lines.push_back(Ok("the " + words + " leads to " + list));
  co_return lines;
}

}  // namespace lifeboat::aws
