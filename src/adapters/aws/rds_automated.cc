#include "adapters/aws/rds_automated.h"

#include <algorithm>
#include <charconv>

#include "adapters/aws/check_lines.h"
#include "adapters/aws/http_date.h"
#include "adapters/aws/kms.h"
#include "adapters/aws/protocol.h"
#include "adapters/aws/rds.h"

namespace lifeboat::aws {

namespace {

constexpr QueryService kService{"rds", "2014-10-31"};
constexpr const char* kAction = "DescribeDBInstanceAutomatedBackups";
constexpr int kPageSize = 100;
constexpr int kMostPages = 100;
constexpr Duration kClocksDiffer = std::chrono::minutes(5);

std::uint64_t NumberIn(const XmlNode& node) {
  std::uint64_t value = 0;
  (void)std::from_chars(node.text.data(), node.text.data() + node.text.size(), value);
  return value;
}

AutomatedBackup BackupFrom(const XmlNode& node, const std::string& region) {
  AutomatedBackup backup;
  backup.region = region;
  backup.of = node["DBInstanceIdentifier"].text;
  // The instance's own ARN names its region in copies too.
  backup.of_region = rds::RegionOfArn(node["DBInstanceArn"].text);
  if (backup.of_region.empty()) backup.of_region = node["Region"].text.empty() ? region : node["Region"].text;
  backup.status = node["Status"].text;
  backup.earliest = ParseTimestamp(node["RestoreWindow"]["EarliestTime"].text);
  backup.latest = ParseTimestamp(node["RestoreWindow"]["LatestTime"].text);
  backup.encrypted = node["Encrypted"].text == "true";
  backup.kms_key = node["KmsKeyId"].text;
  backup.engine_version = node["EngineVersion"].text;
  backup.days = NumberIn(node["BackupRetentionPeriod"]);
  backup.gib = NumberIn(node["AllocatedStorage"]);
  return backup;
}

/// "copied automated backups of 'orders-1' (us-east-1) in 'eu-central-1'".
std::string NameOf(const std::string& id, const std::string& of_region, const std::string& region) {
  return std::string(of_region == region ? "" : "copied ") + "automated backups of '" + id + "' (" + of_region + ") in '" + region +
         "'";
}

/// What is known of the key; empty: nothing speaks against it, or it has none.
struct KeyWord {
  bool usable = true;
  bool known = true;
  std::string text;
};
KeyWord WordOfKey(const AutomatedBackup& backup, const AutomatedKeys& keys) {
  if (!backup.encrypted) return {true, true, "not encrypted"};
  const auto found = keys.find(backup.kms_key);
  if (backup.kms_key.empty() || found == keys.end()) return {true, false, "its key was not looked at"};
  if (found->second.state.empty()) return {true, false, "its key could not be looked at: " + found->second.problem};
  return {found->second.state == "Enabled", true, "its key is '" + found->second.state + "'"};
}

bool IsOf(const AutomatedBackup& backup, const AutomatedWish::Instance& writer) {
  return backup.of == writer.id && backup.of_region == writer.region;
}

bool IsWanted(const AutomatedWish& wish, const AutomatedBackup& backup) {
  if (std::find(wish.regions.begin(), wish.regions.end(), backup.region) == wish.regions.end()) return false;
  return std::any_of(wish.writers.begin(), wish.writers.end(),
                     [&](const AutomatedWish::Instance& each) { return IsOf(backup, each); });
}

Readiness LineOf(const AutomatedWish& wish, const AutomatedBackup& backup, const AutomatedKeys& keys, WallTime now) {
  const KeyWord key = WordOfKey(backup, keys);
  const std::string what = NameOf(backup.of, backup.of_region, backup.region) + " are '" + backup.status + "', restore to " +
                           WindowText(backup, now) + ", " + key.text;
  const bool wanted = IsWanted(wish, backup);
  if (!key.usable) return Fault(what, "nothing can be restored from them: enable that key, or keep the copy under another one");
  const std::string objection = ObjectionTo(backup, wanted ? wish.age : Duration{0}, now);
  if (!objection.empty() && wanted)
    return Fault(what + ": " + objection,
                 "look at the copying in RDS's console of '" + backup.region + "': what it lacks is lost with the writer's region");
  if (!key.known) return Unknown(what, "the agent needs kms:DescribeKey on it");
  return Ok(what + (objection.empty() ? "" : ": " + objection));
}

}  // namespace

Task<Result<std::vector<AutomatedBackup>>> ListAutomatedBackups(Client& client, std::string region, std::vector<std::string> of,
                                                                Duration timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  std::vector<AutomatedBackup> found;
  std::string marker;
  for (int page = 0; page < kMostPages; ++page) {
    // Without its identifier: that "must match an existing instance", and where a copy is kept there is none.
    QueryParameters parameters;
    parameters.Number("MaxRecords", kPageSize).Text("Marker", marker);
    const Duration left = end - std::chrono::steady_clock::now();
    if (left <= 0ns)
      co_return RetryLater("'" + std::string(kAction) + "' was not answered whole within " + FormatDuration(timeout));
    Call call = QueryCall(kService, region, kAction, parameters, Effect::kReads);
    Result<Reply> reply = co_await client.Send(std::move(call), left);
    if (!reply) co_return reply.error();
    Result<XmlNode> result = QueryResult(*reply, kAction);
    if (!result) co_return Unreadable(Effect::kReads, result.error());
    for (const XmlNode& node : (*result)["DBInstanceAutomatedBackups"].children) {
      AutomatedBackup backup = BackupFrom(node, region);
      if (std::find(of.begin(), of.end(), backup.of) != of.end()) found.push_back(std::move(backup));
    }
    marker = (*result)["Marker"].text;
    if (marker.empty()) co_return found;
  }
  co_return Fail("'" + std::string(kAction) + "' has more pages than can be");
}

Task<AutomatedKeys> LookAtKeys(Client& client, std::vector<AutomatedRegion> regions, Duration timeout) {
  AutomatedKeys keys;
  for (const AutomatedRegion& region : regions) {
    for (const AutomatedBackup& backup : region.backups) {
      if (!backup.encrypted || backup.kms_key.empty() || keys.contains(backup.kms_key)) continue;
      const Result<kms::Key> seen = co_await kms::DescribeKey(client, region.region, backup.kms_key, timeout);
      AutomatedKey& key = keys[backup.kms_key];
      if (seen.ok()) key.state = seen->state;
      if (!seen && seen.error().retry == Retry::kNotFound) key.state = "not there";
      if (!seen) key.problem = seen.error().message;
    }
  }
  co_return keys;
}

std::string WindowText(const AutomatedBackup& backup, WallTime now) {
  if (!backup.latest) return "no moment that RDS names";
  const std::string from = backup.earliest ? FormatWallTime(*backup.earliest) : std::string("an unknown moment");
  const Duration age = Duration(now.ns - backup.latest->ns);
  return from + " to " + FormatWallTime(*backup.latest) + (age < 0ns ? "" : ", " + FormatDuration(age) + " ago");
}

std::string ObjectionTo(const AutomatedBackup& backup, Duration age, WallTime now) {
  if (backup.status == "creating") return "the first backup is not whole yet";
  if (!backup.latest) return "RDS names no moment that could be restored";
  // SAFETY: a time to come is no freshness: one of the clocks is wrong, and which is not known.
  if (backup.latest->ns - now.ns > Duration(kClocksDiffer).count()) return "its newest moment lies in the future";
  if (backup.status != "active") return "nothing is added to it any more";
  const Duration old = Duration(now.ns - backup.latest->ns);
  if (age > 0ns && old > age)
    return "its newest moment is " + FormatDuration(old) + " old, and at most " + FormatDuration(age) + " is allowed";
  return {};
}

std::vector<Readiness> JudgeAutomatedBackups(const AutomatedWish& wish, const std::vector<AutomatedRegion>& regions,
                                             const AutomatedKeys& keys, WallTime now) {
  std::vector<Readiness> lines;
  for (const AutomatedRegion& region : regions) {
    if (!region.problem.empty()) {
      lines.push_back(
          Unknown("automated backups in '" + region.region + "' could not be listed: " + region.problem,
                  "see whether the region answers, and that the agent may rds:DescribeDBInstanceAutomatedBackups there"));
      continue;
    }
    for (const AutomatedBackup& backup : region.backups) lines.push_back(LineOf(wish, backup, keys, now));
    const bool wanted = std::find(wish.regions.begin(), wish.regions.end(), region.region) != wish.regions.end();
    for (const AutomatedWish::Instance& writer : wish.writers) {
      const bool there = std::any_of(region.backups.begin(), region.backups.end(),
                                     [&](const AutomatedBackup& each) { return IsOf(each, writer); });
      if (!wanted || there) continue;
      lines.push_back(Fault("there are no " + NameOf(writer.id, writer.region, region.region),
                            "begin to copy them (start-db-instance-automated-backups-replication in '" + region.region +
                                "'), or take the region out of aws.database.backup_regions"));
    }
  }
  return lines;
}

Task<Result<std::vector<Readiness>>> CheckAutomatedBackups(Client& client, AwsDatabaseSettings settings, Clock& clock,
                                                           Duration timeout) {
  const Instant began = clock.Now();
  std::vector<std::string> places = settings.backup_regions;
  for (const auto& [region, id] : settings.members) {
    if (std::find(places.begin(), places.end(), region.text) == places.end()) places.push_back(region.text);
  }
  // A region that is silent costs its own share alone.
  const Duration share = timeout / static_cast<int>(places.size() + settings.members.size() + 2);
  AutomatedWish wish;
  wish.regions = settings.backup_regions;
  wish.age = settings.backup_age;
  std::vector<AutomatedWish::Instance> members;
  std::vector<std::string> names;
  for (const auto& [region, id] : settings.members) {
    members.push_back({region.text, id});
    names.push_back(id);
  }
  for (const AutomatedWish::Instance& member : members) {
    auto instance = co_await rds::DescribeDbInstance(client, member.region, member.id, share);
    if (instance.ok() && instance->replica_of.empty()) wish.writers.push_back(member);
  }
  std::vector<AutomatedRegion> regions;
  for (const std::string& place : places) {
    AutomatedRegion region;
    region.region = place;
    auto found = co_await ListAutomatedBackups(client, place, names, share);
    if (!found) region.problem = found.error().message;
    if (found.ok()) region.backups = *std::move(found);
    regions.push_back(std::move(region));
  }
  const Duration left = std::max<Duration>(timeout - AgeAt(began, clock.Now()), 1s);
  AutomatedKeys keys = co_await LookAtKeys(client, regions, std::min(left, share));
  const WallTime now{clock.Wall().ns + Duration(client.skew()).count()};
  std::vector<Readiness> lines = JudgeAutomatedBackups(wish, regions, keys, now);
  if (wish.writers.empty() && !wish.regions.empty())
    lines.push_back(Unknown("whose automated backups should be copied is not known: no instance that follows nobody answers",
                            "see the lines of the database"));
  co_return lines;
}

}  // namespace lifeboat::aws
