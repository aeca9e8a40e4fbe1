#include "adapters/aws/database_check.h"

#include <algorithm>
#include <charconv>
#include <memory>

#include "adapters/aws/check_lines.h"
#include "adapters/aws/kms.h"
#include "adapters/aws/quotas.h"
#include "adapters/aws/rds_watch.h"
#include "adapters/aws/together.h"

namespace lifeboat::aws {

namespace {

using Lines = std::vector<Readiness>;

constexpr unsigned kLarge = 8;  // of SizeOfClass
constexpr Duration kEventsBack = std::chrono::hours(1);

std::string Quote(const std::string& text) { return "'" + text + "'"; }
std::string Number(double value) { return std::to_string(static_cast<std::int64_t>(value)); }

template <typename T>
void Take(const Result<T>& answer, Looked<T>& into) {
  if (answer.ok()) {
    into.value = *answer;
    return;
  }
  into.problem = answer.error().message;
  into.denied = answer.error().retry == Retry::kFail;
}

template <typename T>
Readiness NotSeen(const std::string& what, const Looked<T>& looked, const std::string& hint) {
  const std::string words = what + ": " + (looked.problem.empty() ? "it was not asked" : looked.problem);
  return looked.denied ? Fault(words, hint) : Unknown(words, "see whether the region answers");
}

struct Largest {
  std::string name;  ///< of the class; empty: there is no instance
  std::optional<unsigned> size;
  std::size_t count = 0;
};
Largest LargestOf(const std::vector<rds::DbInstance>& instances) {
  Largest largest;
  for (const rds::DbInstance& one : instances) {
    ++largest.count;
    const std::optional<unsigned> size = SizeOfClass(one.instance_class);
    if (largest.name.empty() || (size && (!largest.size || *size > *largest.size))) {
      largest.name = one.instance_class;
      largest.size = size;
    }
  }
  return largest;
}

bool Serverless(const std::string& instance_class) { return instance_class == "db.serverless"; }

/// What takes over against what it takes over from.
void AddCapacity(const DatabaseFacts& standby, const DatabaseFacts& writer, Lines& lines) {
  const std::string which = Quote(standby.id) + " in " + Quote(standby.region.text);
  if (!standby.instances.value) {
    lines.push_back(
        NotSeen("the instances of " + which + " could not be looked at", standby.instances, "allow rds:DescribeDBInstances"));
    return;
  }
  for (const rds::DbInstance& one : *standby.instances.value) {
    if (one.status != "available")
      lines.push_back(
          Fault("instance " + Quote(one.id) + " of " + which + " is " + Quote(one.status), "look at it in AWS's console"));
  }
  const Largest here = LargestOf(*standby.instances.value);
  if (here.count == 0) return;  // headless: the door says so
  if (!writer.instances.value) {
    lines.push_back(NotSeen("what " + which + " would have to carry is not known: the writer's instances could not be looked at",
                            writer.instances, "allow rds:DescribeDBInstances"));
    return;
  }
  const Largest there = LargestOf(*writer.instances.value);
  const std::string hint = "make it as large: a machine that is asked for in a disaster may not come";
  if (Serverless(here.name) && Serverless(there.name)) {
    const Looked<double>& blind = standby.serverless_most.value ? writer.serverless_most : standby.serverless_most;
    if (!blind.value) {
      lines.push_back(
          NotSeen("how far " + which + " and the writer may grow could not be compared", blind, "allow rds:DescribeDBClusters"));
      return;
    }
    const double most = *standby.serverless_most.value;
    const double needed = *writer.serverless_most.value;
    const std::string what = which + " may grow to " + Number(most) + " capacity units, the writer to " + Number(needed);
    lines.push_back(most < needed ? Fault(what, "raise its maximum") : Ok(what));
    return;
  }
  const std::string what = "the largest of " + std::to_string(here.count) + " instance(s) of " + which + " is " + Quote(here.name) +
                           ", the writer's " + Quote(there.name);
  if (!here.size || !there.size) {
    lines.push_back(here.name == there.name ? Ok(what)
                                            : Unknown(what + ": which is larger is not known here", "compare them by hand"));
    return;
  }
  lines.push_back(*here.size < *there.size ? Fault(what, hint) : Ok(what));
}

void AddKey(const DatabaseFacts& facts, Lines& lines) {
  if (!facts.kms_key.value) {
    lines.push_back(
        NotSeen("whether " + Quote(facts.id) + " in " + Quote(facts.region.text) + " is encrypted, and by which key, is not known",
                facts.kms_key, "allow rds:DescribeDBClusters and rds:DescribeDBInstances"));
    return;
  }
  if (facts.kms_key.value->empty()) return;
  const std::string which = "KMS key " + Quote(*facts.kms_key.value) + " of " + Quote(facts.id);
  const std::string home = rds::RegionOfArn(*facts.kms_key.value);
  if (!home.empty() && home != facts.region.text) {
    lines.push_back(Fault(which + " is of " + Quote(home) + ", and the database is in " + Quote(facts.region.text),
                          "use a key of its own region"));
  } else if (!facts.key_state.value) {
    lines.push_back(NotSeen(which + " could not be looked at", facts.key_state, "allow kms:DescribeKey, in the key's policy too"));
  } else if (*facts.key_state.value != "Enabled") {
    lines.push_back(Fault(which + " is " + Quote(*facts.key_state.value) + ": the database could not be opened with it",
                          "enable it, or cancel its deletion"));
  } else {
    lines.push_back(Ok(which + " in " + Quote(facts.region.text) + " is 'Enabled'"));
  }
}

void AddQuota(const std::string& words, const DatabaseFacts& standby, const Looked<double>& here, const DatabaseFacts& writer,
              const Looked<double>& there, Lines& lines) {
  const std::string what = "quota of RDS (" + words + ") ";
  if (!here.value || !there.value) {
    const DatabaseFacts& blind = here.value ? writer : standby;
    lines.push_back(NotSeen(what + "of " + Quote(blind.region.text) + " could not be read", here.value ? there : here,
                            "allow servicequotas:GetServiceQuota"));
    return;
  }
  const std::string numbers = what + "is " + Number(*here.value) + " in " + Quote(standby.region.text) + " and " +
                              Number(*there.value) + " in " + Quote(writer.region.text);
  lines.push_back(*here.value < *there.value ? Fault(numbers, "ask AWS for the same in both") : Ok(numbers));
}

void AddMaintenance(AwsDatabaseKind kind, const std::vector<DatabaseFacts>& facts, Lines& lines) {
  std::string waits;
  std::string rests;
  for (const DatabaseFacts& one : facts) {
    if (!one.maintenance.value) {
      lines.push_back(NotSeen("what maintenance waits for " + Quote(one.id) + " could not be looked at", one.maintenance,
                              "allow rds:DescribePendingMaintenanceActions"));
      return;
    }
    std::string& list = one.maintenance.value->empty() ? rests : waits;
    list += (list.empty() ? "" : ", ") + Quote(one.id);
    for (const std::string& action : *one.maintenance.value) list += " (" + action + ")";
  }
  const bool aurora = kind == AwsDatabaseKind::kAuroraGlobal;
  if (waits.empty()) {
    lines.push_back(Ok("no maintenance waits in " + std::to_string(facts.size()) + " regions"));
  } else if (rests.empty()) {
    lines.push_back(Ok("maintenance waits alike: " + waits));
  } else {
    lines.push_back(Fault("maintenance waits for " + waits + " and not for " + rests + ": they may run different patches" +
                              (aurora ? ", and Aurora refuses a switchover and a failover between some of them" : ""),
                          "bring both to the same patch (SELECT aurora_version() shows it), the secondaries first"));
  }
}

/// Whether AWS's word about the old writer could be read, where it may stand.
void AddFencing(const std::vector<DatabaseFacts>& facts, Lines& lines) {
  std::string seen;
  for (const DatabaseFacts& one : facts) {
    if (!one.events.value) {
      lines.push_back(NotSeen("RDS's events in " + Quote(one.region.text) +
                                  " could not be read: after a failover nobody would know whether AWS blocked the old writer",
                              one.events, "allow rds:DescribeEvents"));
      continue;
    }
    seen += (seen.empty() ? "" : ", ") + Quote(one.region.text) + " (" + std::to_string(*one.events.value) + " in the last hour)";
  }
  if (!seen.empty())
    lines.push_back(
        Ok("the old writer is blocked by AWS's best effort alone; AWS's word about that, which is no fence where it is missing, "
           "can be read in the events of " +
           seen));
}

/// Everything of one region, one question after the other.
Task<> LookAtRegion(Client& client, AwsDatabaseKind kind, std::shared_ptr<DatabaseFacts> facts, Clock& clock, Duration timeout) {
  const Instant began = clock.Now();
  const auto left = [&clock, began, timeout] { return std::max<Duration>(timeout - AgeAt(began, clock.Now()), 1ms); };
  const std::string region = facts->region.text;
  const bool aurora = kind == AwsDatabaseKind::kAuroraGlobal;
  if (aurora) {
    Result<std::vector<rds::DbInstance>> instances = co_await rds::DescribeInstancesOf(client, region, facts->id, left());
    Take(instances, facts->instances);
    Result<rds::DbCluster> cluster = co_await rds::DescribeDbCluster(client, region, facts->id, left());
    Result<std::string> key = cluster.ok() ? Result<std::string>(cluster->kms_key) : Result<std::string>(cluster.error());
    Take(key, facts->kms_key);
    Result<double> most = cluster.ok() ? Result<double>(cluster->serverless_most) : Result<double>(cluster.error());
    Take(most, facts->serverless_most);
  } else {
    Result<rds::DbInstance> instance = co_await rds::DescribeDbInstance(client, region, facts->id, left());
    Result<std::string> key = instance.ok() ? Result<std::string>(instance->kms_key) : Result<std::string>(instance.error());
    Take(key, facts->kms_key);
    Result<std::vector<rds::DbInstance>> all =
        instance.ok() ? Result<std::vector<rds::DbInstance>>(std::vector<rds::DbInstance>(1, *instance))
                      : Result<std::vector<rds::DbInstance>>(instance.error());
    Take(all, facts->instances);
  }
  if (facts->kms_key.value && !facts->kms_key.value->empty()) {
    Result<kms::Key> key = co_await kms::DescribeKey(client, region, *facts->kms_key.value, left());
    Result<std::string> state = key.ok() ? Result<std::string>(key->state) : Result<std::string>(key.error());
    if (!key && key.error().retry == Retry::kNotFound) state = std::string("not there");
    Take(state, facts->key_state);
  }
  Result<double> quota = co_await quotas::ValueOf(client, region, quotas::kDbInstances, left());
  Take(quota, facts->instance_quota);
  if (aurora) {
    Result<double> clusters = co_await quotas::ValueOf(client, region, quotas::kDbClusters, left());
    Take(clusters, facts->cluster_quota);
  }
  const std::string filter = aurora ? "db-cluster-id" : "db-instance-id";
  Result<std::vector<std::string>> waits = co_await rds::PendingMaintenance(client, region, filter, facts->id, left());
  Take(waits, facts->maintenance);
  if (!aurora) co_return;
  const WallTime from{clock.Wall().ns - Duration(kEventsBack).count()};
  Result<std::vector<rds::Event>> events = co_await rds::DescribeEvents(client, region, "db-instance", from, left());
  Result<std::size_t> count = events.ok() ? Result<std::size_t>(events->size()) : Result<std::size_t>(events.error());
  Take(count, facts->events);
}

}  // namespace

std::optional<unsigned> SizeOfClass(const std::string& instance_class) {
  const std::string size = instance_class.substr(instance_class.rfind('.') + 1);
  const std::pair<const char*, unsigned> named[] = {
      {"micro", 1}, {"small", 2}, {"medium", 4}, {"large", kLarge}, {"xlarge", 2 * kLarge}};
  for (const auto& [name, units] : named) {
    if (size == name) return units;
  }
  unsigned times = 0;
  const auto [end, problem] = std::from_chars(size.data(), size.data() + size.size(), times);
  if (problem != std::errc() || times == 0 || std::string(end, size.data() + size.size()) != "xlarge") return std::nullopt;
  return times * 2 * kLarge;
}

Lines DatabaseLines(AwsDatabaseKind kind, const RegionName& writer, const std::vector<DatabaseFacts>& facts) {
  Lines lines;
  const auto found = std::find_if(facts.begin(), facts.end(), [&](const DatabaseFacts& one) { return one.region == writer; });
  const bool aurora = kind == AwsDatabaseKind::kAuroraGlobal;
  if (found == facts.end()) {
    lines.push_back(Unknown("what takes over was not compared with the writer: it is not known where that is", "lifeboat status"));
  } else {
    for (const DatabaseFacts& one : facts) {
      if (one.region == writer) continue;
      AddCapacity(one, *found, lines);
      AddQuota(quotas::kDbInstances.words, one, one.instance_quota, *found, found->instance_quota, lines);
      if (aurora) AddQuota(quotas::kDbClusters.words, one, one.cluster_quota, *found, found->cluster_quota, lines);
    }
  }
  for (const DatabaseFacts& one : facts) AddKey(one, lines);
  AddMaintenance(kind, facts, lines);
  if (aurora) AddFencing(facts, lines);
  return lines;
}

Task<Lines> CheckManagedDatabase(Client& client, AwsDatabaseSettings settings, RegionName writer, Clock& clock, Duration timeout) {
  std::vector<std::shared_ptr<DatabaseFacts>> looks;
  std::vector<Task<>> questions;
  for (const auto& [region, member] : settings.members) {
    auto facts = std::make_shared<DatabaseFacts>();
    facts->region = region;
    facts->id = settings.kind == AwsDatabaseKind::kAuroraGlobal ? rds::NameOfArn(member) : member;
    looks.push_back(facts);
    questions.push_back(LookAtRegion(client, settings.kind, facts, clock, timeout));
  }
  co_await Together(std::move(questions));
  std::vector<DatabaseFacts> all;
  for (const auto& one : looks) all.push_back(*one);
  co_return DatabaseLines(settings.kind, writer, all);
}

}  // namespace lifeboat::aws
