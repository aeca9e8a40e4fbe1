#include "adapters/aws/objects.h"

#include <algorithm>

#include "adapters/aws/cloudwatch.h"

namespace lifeboat::aws {

namespace {

constexpr Duration kBacklogWindow = std::chrono::minutes(15);
constexpr Duration kMinute = std::chrono::minutes(1);
constexpr Duration kOneLook = 5s;  // a region that is silent leaves time for the other
constexpr unsigned kAll = 100;

Duration Left(const Clock& clock, Instant began, Duration timeout) {
  return std::max<Duration>(timeout - AgeAt(began, clock.Now()), 1ms);
}

/// What a canary says of itself; nothing: it is none of ours.
struct CanaryText {
  std::string id;
  WallTime put;
};
std::optional<CanaryText> ReadCanary(const std::string& body) {
  const Result<Json> json = ParseJson(body, "a canary");
  if (!json || !MemberAt(*json, "put_ms").is_number_integer() || TextAt(*json, "canary").empty()) return std::nullopt;
  return CanaryText{TextAt(*json, "canary"), WallTime{SignedAt(*json, "put_ms") * 1'000'000}};
}

/// AWS's regions of the control, the one to avoid at the end: it may be the one that is lost.
std::vector<std::string> ControlOrder(const RegionName& avoid) {
  std::vector<std::string> order = s3control::ControlRegions();
  std::stable_partition(order.begin(), order.end(), [&avoid](const std::string& region) { return region != avoid.text; });
  return order;
}

cloudwatch::Metric MetricOf(const char* name, const char* statistic, const std::string& from, const std::string& to,
                            const std::string& rule) {
  cloudwatch::Metric metric;
  metric.space = "AWS/S3";
  metric.name = name;
  metric.dimensions = {{"SourceBucket", from}, {"DestinationBucket", to}, {"RuleId", rule}};
  metric.statistic = statistic;
  return metric;
}

}  // namespace

bool Covers(const s3::ReplicationRule& rule, const std::string& prefix) { return !rule.by_tags && prefix.starts_with(rule.prefix); }

const s3::ReplicationRule* RuleFor(const std::vector<s3::ReplicationRule>& rules, const std::string& target,
                                   const std::string& prefix) {
  const s3::ReplicationRule* best = nullptr;
  const auto rank = [&prefix](const s3::ReplicationRule& rule) { return (rule.enabled ? 2 : 0) + (Covers(rule, prefix) ? 1 : 0); };
  for (const s3::ReplicationRule& rule : rules) {
    // "arn:aws:s3:::bucket", whatever the partition
    if (rule.destination.substr(rule.destination.rfind(':') + 1) != target) continue;
    if (best == nullptr || rank(*best) < rank(rule)) best = &rule;
  }
  return best;
}

AwsObjects::AwsObjects(Client& client, AwsObjectsSettings settings, Clock& clock, Log log, Duration poll)
    : client_(client), settings_(std::move(settings)), clock_(clock), log_(std::move(log)), poll_(poll) {}

Result<s3::Bucket> AwsObjects::BucketOf(const RegionName& region) const {
  const auto found = settings_.buckets.find(region);
  if (found == settings_.buckets.end()) {
    return Fail("objects '" + settings_.name + "' have no bucket in region '" + region.text + "'", "write it in the file");
  }
  return s3::Bucket{region.text, found->second};
}

std::string AwsObjects::CanaryKey(const RegionName& from) const { return settings_.prefix + "lifeboat-canary-" + from.text; }

Task<Result<ReplicationLook>> AwsObjects::Look(RegionName from, RegionName to, Duration timeout) {
  const Instant began = clock_.Now();
  const Result<s3::Bucket> source = BucketOf(from);
  if (!source) co_return source.error();
  const Result<s3::Bucket> target = BucketOf(to);
  if (!target) co_return target.error();
  ReplicationLook look;
  // The target first: it is what counts when the other is lost. Each region gets half of the time.
  const Duration half = timeout / 2;
  Result<bool> versioned = co_await s3::GetBucketVersioning(client_, *target, half);
  if (versioned.ok()) look.versioned_to = *versioned;
  if (!versioned) look.unseen.push_back("versioning of bucket '" + target->name + "': " + versioned.error().message);
  Result<s3::BucketEncryption> encryption = co_await s3::GetBucketEncryption(client_, *target, Left(clock_, began, half));
  if (encryption.ok()) look.key_to = encryption->kms_key;
  if (!encryption) look.unseen.push_back("encryption of bucket '" + target->name + "': " + encryption.error().message);

  Result<std::vector<s3::ReplicationRule>> rules =
      co_await s3::GetBucketReplication(client_, *source, Left(clock_, began, timeout));
  if (!rules) {
    look.unseen.push_back("replication of bucket '" + source->name + "': " + rules.error().message);
    co_return look;
  }
  const s3::ReplicationRule* rule = RuleFor(*rules, target->name, settings_.prefix);
  look.has_rule = rule != nullptr;
  if (rule != nullptr) {
    look.enabled = rule->enabled;
    look.covers_prefix = Covers(*rule, settings_.prefix);
    look.delete_markers = rule->delete_markers;
    look.metrics = rule->metrics || rule->time_control;
    look.kms_objects = rule->kms_objects;
    look.rule = rule->id;
    look.replica_key = rule->replica_kms_key;
  }
  versioned = co_await s3::GetBucketVersioning(client_, *source, Left(clock_, began, timeout));
  if (versioned.ok()) look.versioned_from = *versioned;
  if (!versioned) look.unseen.push_back("versioning of bucket '" + source->name + "': " + versioned.error().message);
  encryption = co_await s3::GetBucketEncryption(client_, *source, Left(clock_, began, timeout));
  if (encryption.ok()) {
    look.key_from = encryption->kms_key;
    // "aws:kms" without a key is the account's own key for S3, which no other region has.
    if (look.key_from.empty() && encryption->algorithm.starts_with("aws:kms")) look.key_from = "aws/s3";
  }
  if (!encryption) look.unseen.push_back("encryption of bucket '" + source->name + "': " + encryption.error().message);
  co_return look;
}

Task<Result<CanaryObject>> AwsObjects::PutCanary(RegionName from, Duration timeout) {
  const Result<s3::Bucket> bucket = BucketOf(from);
  if (!bucket) co_return bucket.error();
  CanaryObject canary;
  canary.from = from;
  canary.key = CanaryKey(from);
  canary.put = WallTime{clock_.Wall().ns / 1'000'000 * 1'000'000};  // as it is written: in milliseconds
  canary.id = RandomUuid();
  const Json body = {{"canary", canary.id}, {"from", from.text}, {"put_ms", canary.put.ns / 1'000'000}};
  s3::OnlyIf whatever_stands_there;
  Result<s3::Object> put =
      co_await s3::PutObject(client_, *bucket, canary.key, body.dump(), "application/json", whatever_stands_there, timeout);
  if (!put) co_return put.error();
  co_return canary;
}

Task<Result<CanaryArrival>> AwsObjects::AwaitCanary(CanaryObject canary, RegionName to, Duration timeout) {
  const Instant began = clock_.Now();
  const Result<s3::Bucket> source = BucketOf(canary.from);
  if (!source) co_return source.error();
  const Result<s3::Bucket> target = BucketOf(to);
  if (!target) co_return target.error();
  CanaryArrival arrival;
  bool asked = false;  // one of the two regions has answered once
  std::optional<Error> problem;
  while (true) {
    // What stands in the target is the proof; the source's status is its word, and says why where there is none.
    Duration share = std::min(Left(clock_, began, timeout), kOneLook);
    Result<s3::Object> there = co_await s3::GetObject(client_, *target, canary.key, share);
    const std::optional<CanaryText> text = there.ok() ? ReadCanary(there->body) : std::nullopt;
    arrival.arrived = text && (text->id == canary.id || text->put > canary.put);
    share = std::min(Left(clock_, began, timeout), kOneLook);
    Result<s3::Object> here = co_await s3::HeadObject(client_, *source, canary.key, share);
    if (here.ok()) arrival.status = here->replication;
    arrival.took = std::max<Duration>(Duration(clock_.Wall().ns - canary.put.ns), 0ns);
    if (arrival.arrived || arrival.status == "FAILED") co_return arrival;
    asked = asked || here.ok() || there.ok() || there.error().retry == Retry::kNotFound;
    if (!there) problem = there.error();
    if (AgeAt(began, clock_.Now()) + poll_ >= timeout) break;
    co_await clock_.Sleep(poll_);
  }
  if (!asked) co_return *problem;
  co_return arrival;
}

Task<Result<std::optional<WallTime>>> AwsObjects::NewestArrival(RegionName from, RegionName to, Duration timeout) {
  const Result<s3::Bucket> target = BucketOf(to);
  if (!target) co_return target.error();
  std::optional<WallTime> put;
  Result<s3::Object> canary = co_await s3::GetObject(client_, *target, CanaryKey(from), timeout);
  if (!canary && canary.error().retry != Retry::kNotFound) co_return canary.error();
  if (!canary) co_return put;
  const std::optional<CanaryText> text = ReadCanary(canary->body);
  if (!text) co_return Fail("object '" + CanaryKey(from) + "' of bucket '" + target->name + "' is no canary", "remove it");
  put = text->put;
  co_return put;
}

Task<Result<ReplicationBacklog>> AwsObjects::Backlog(RegionName from, RegionName to, Duration timeout) {
  const Instant began = clock_.Now();
  const Result<s3::Bucket> source = BucketOf(from);
  if (!source) co_return source.error();
  const Result<s3::Bucket> target = BucketOf(to);
  if (!target) co_return target.error();
  ReplicationBacklog backlog;
  // The rule's id is a dimension. With the source lost it is the one that was seen last.
  Result<std::vector<s3::ReplicationRule>> rules = co_await s3::GetBucketReplication(client_, *source, timeout / 3);
  if (rules.ok()) {
    const s3::ReplicationRule* rule = RuleFor(*rules, target->name, settings_.prefix);
    if (rule == nullptr) co_return backlog;
    rules_[{from, to}] = rule->id;
  }
  const auto known = rules_.find({from, to});
  if (known == rules_.end()) co_return rules.error();
  const std::string& rule = known->second;
  const WallTime now = clock_.Wall();
  const WallTime since{now.ns - Duration(kBacklogWindow).count()};
  const WallTime until{now.ns + Duration(kMinute).count()};
  const auto metric = [&](const char* name, const char* statistic) {
    return MetricOf(name, statistic, source->name, target->name, rule);
  };
  const std::vector<cloudwatch::Metric> pending = {metric("OperationsPendingReplication", "Maximum"),
                                                   metric("BytesPendingReplication", "Maximum"),
                                                   metric("ReplicationLatency", "Maximum")};
  cloudwatch::Metric failed = metric("OperationsFailedReplication", "Sum");
  failed.period = kBacklogWindow;
  const std::vector<cloudwatch::Metric> failures = {failed};
  Result<std::vector<std::optional<cloudwatch::Datum>>> there =
      co_await cloudwatch::Newest(client_, to.text, pending, since, until, Left(clock_, began, timeout));
  if (!there) co_return there.error();
  const auto note = [&backlog](const std::optional<cloudwatch::Datum>& datum) {
    if (datum && (!backlog.at || datum->at < *backlog.at)) backlog.at = datum->at;
    return datum && datum->value >= 0;
  };
  if (note((*there)[0])) backlog.pending_operations = static_cast<std::uint64_t>((*there)[0]->value);
  if (note((*there)[1])) backlog.pending_bytes = static_cast<std::uint64_t>((*there)[1]->value);
  if (note((*there)[2])) backlog.latency = Duration(static_cast<Duration::rep>((*there)[2]->value * 1e9));
  if (!rules) co_return backlog;  // the source's region is silent: it is not asked a second time
  Result<std::vector<std::optional<cloudwatch::Datum>>> here =
      co_await cloudwatch::Newest(client_, from.text, failures, since, until, Left(clock_, began, timeout));
  if (here.ok() && (*here)[0] && (*here)[0]->value >= 0) {
    backlog.failed_operations = static_cast<std::uint64_t>((*here)[0]->value);
  }
  co_return backlog;
}

Task<Result<std::vector<s3control::Route>>> AwsObjects::ReadRoutes(RegionName avoid, Duration timeout) {
  if (!has_access_point()) co_return Fail("objects '" + settings_.name + "' have no multi-region access point");
  co_return co_await s3control::GetRoutes(client_, ControlOrder(avoid), settings_.access_point, timeout);
}

Task<Result<std::vector<ObjectRoute>>> AwsObjects::Routes(RegionName avoid, Duration timeout) {
  Result<std::vector<s3control::Route>> read = co_await ReadRoutes(std::move(avoid), timeout);
  if (!read) co_return read.error();
  std::vector<ObjectRoute> routes;
  for (const s3control::Route& route : *read) routes.push_back(ObjectRoute{RegionName(route.region), route.bucket, route.percent});
  co_return routes;
}

namespace {

/// `routes` with all of it on `to`. @error kFail: the access point does not lead there
Result<std::vector<s3control::Route>> AllTo(std::vector<s3control::Route> routes, const RegionName& to, const std::string& name) {
  bool found = false;
  for (s3control::Route& route : routes) {
    route.percent = route.region == to.text ? kAll : 0;
    found = found || route.region == to.text;
  }
  if (!found) return Fail("the access point of objects '" + name + "' has no bucket in '" + to.text + "'", "add the bucket to it");
  return routes;
}

bool Same(const std::vector<s3control::Route>& left, const std::vector<s3control::Route>& right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(), [](const s3control::Route& a, const s3control::Route& b) {
    return a.region == b.region && a.bucket == b.bucket && a.percent == b.percent;
  });
}

}  // namespace

Task<Result<Unit>> AwsObjects::RouteTo(RegionName to, RegionName avoid, Duration timeout) {
  const Instant began = clock_.Now();
  Result<std::vector<s3control::Route>> now = co_await ReadRoutes(avoid, timeout);
  if (!now) co_return now.error();
  const Result<std::vector<s3control::Route>> wanted = AllTo(*now, to, settings_.name);
  if (!wanted) co_return wanted.error();
  if (Same(*now, *wanted)) co_return Done();
  Result<Unit> sent =
      co_await s3control::SubmitRoutes(client_, ControlOrder(avoid), settings_.access_point, *wanted, Left(clock_, began, timeout));
  if (!sent) co_return sent.error();
  log_.Info("the access point's routes are moved", {{"objects", settings_.name}, {"target", to.text}});
  std::string seen = "it still says the old ones";
  while (true) {
    Result<std::vector<s3control::Route>> read = co_await ReadRoutes(avoid, Left(clock_, began, timeout));
    if (read.ok() && Same(*read, *wanted)) co_return Done();
    if (!read) seen = read.error().message;
    if (AgeAt(began, clock_.Now()) + poll_ >= timeout) {
      co_return UnknownOutcome("the routes of objects '" + settings_.name + "' were sent and are not seen after " +
                                   FormatDuration(timeout) + ": " + seen,
                               "read them again");
    }
    co_await clock_.Sleep(poll_);
  }
}

std::vector<std::unique_ptr<Objects>> OpenAwsObjects(Client& client, const std::vector<AwsObjectsSettings>& settings, Clock& clock,
                                                     Log log) {
  std::vector<std::unique_ptr<Objects>> doors;
  for (const AwsObjectsSettings& one : settings) doors.push_back(std::make_unique<AwsObjects>(client, one, clock, log));
  return doors;
}

}  // namespace lifeboat::aws
