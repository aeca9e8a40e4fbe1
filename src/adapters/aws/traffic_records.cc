// A change of the record itself: the last resort, since Route 53 takes changes in us-east-1 alone. What stands is deleted by its
// exact values in the same batch that makes the new, so that a batch from an old reading fails as a whole.

#include <charconv>

#include "adapters/aws/traffic_doors.h"

namespace lifeboat::aws {

namespace {

constexpr int kMostTries = 5;
constexpr Duration kOneCall = 30s;
constexpr const char* kGlobal = "us-east-1";
constexpr const char* kDependsHint =
    "changes of records go through us-east-1 whatever region is meant: 'standby takes over' and routing control do not";
constexpr std::string_view kEpochPrefix = "\"epoch=";

Error WithDependency(Error error) {
  error.hint += (error.hint.empty() ? "" : "; ") + std::string(kDependsHint);
  return error;
}

}  // namespace

std::string EpochRecordOf(const std::string& name) { return "_lifeboat." + name; }

Result<std::optional<Epoch>> EpochInTexts(const std::vector<std::string>& values) {
  if (values.empty()) return std::optional<Epoch>();
  const std::string& text = values.front();
  Epoch epoch;
  bool good = values.size() == 1 && text.size() > kEpochPrefix.size() + 1 && text.starts_with(kEpochPrefix) && text.back() == '"';
  if (good) {
    const char* const last = text.data() + text.size() - 1;
    const auto [end, problem] = std::from_chars(text.data() + kEpochPrefix.size(), last, epoch.number);
    good = problem == std::errc() && end == last;
  }
  // SAFETY: an epoch that cannot be read may be a higher one (AwsTrafficRecords.AnEpochThatCannotBeReadStopsTheChange).
  if (!good) return Fail("the epoch's TXT record says '" + text + "'", "remove it by hand once you know which region serves");
  return std::optional<Epoch>(epoch);
}

Result<std::vector<route53::Change>> RecordBatch(const AwsTrafficSettings& settings,
                                                 const std::vector<route53::RecordSet>& standing, const std::string& target,
                                                 Epoch epoch) {
  const route53::RecordSet* record = nullptr;
  const route53::RecordSet* text = nullptr;
  for (const route53::RecordSet& each : standing) {
    const bool is_name = each.name == settings.name && (each.type == "CNAME" || each.type == "A" || each.type == "AAAA");
    const bool is_text = each.name == EpochRecordOf(settings.name) && each.type == "TXT";
    if (!is_name && !is_text) continue;
    if (!each.set_id.empty() || !each.unknown.empty() || !each.alias_name.empty() || !each.ttl || (is_name && record != nullptr)) {
      return Fail("'" + each.name + "' is not one simple record: it has a routing policy, is an alias, or has several types",
                  "kind 'records' moves one simple record; a failover pair is moved by 'standby takes over' or routing control");
    }
    (is_name ? record : text) = &each;
  }
  if (record == nullptr) return Fail("zone '" + settings.zone + "' has no record '" + settings.name + "'", "make it, with its TTL");
  if (record->type != settings.type)
    return Fail("'" + settings.name + "' is of type '" + record->type + "', not '" + settings.type + "'");
  const Result<std::optional<Epoch>> found = EpochInTexts(text == nullptr ? std::vector<std::string>() : text->values);
  if (!found) return found.error();
  // SAFETY: a late writer never undoes a newer primaryship (AwsRecordsTest.ALateChangeOfARecordIsRefusedAndChangesNothing).
  if (*found && **found > epoch) {
    return Refused("'" + settings.name + "' already stands under epoch '" + std::to_string((*found)->number) + "', ours is '" +
                       std::to_string(epoch.number) + "'",
                   "another region has taken over since; run 'lifeboat status'");
  }
  const bool same = record->values.size() == 1 && SameValue(settings.type, record->values.front(), target);
  if (same && *found && **found == epoch) return std::vector<route53::Change>();
  route53::RecordSet after = *record;
  after.values = {target};
  route53::RecordSet text_after;
  text_after.name = EpochRecordOf(settings.name);
  text_after.type = "TXT";
  text_after.ttl = record->ttl;
  text_after.values = {std::string(kEpochPrefix) + std::to_string(epoch.number) + "\""};
  std::vector<route53::Change> changes;
  changes.push_back({"DELETE", *record});
  if (text != nullptr) changes.push_back({"DELETE", *text});
  changes.push_back({"CREATE", std::move(after)});
  changes.push_back({"CREATE", std::move(text_after)});
  return changes;
}

RecordTraffic::RecordTraffic(TrafficDoors doors) : ZoneTraffic(std::move(doors)) {}

Task<Result<std::optional<Epoch>>> RecordTraffic::EpochOf(RegionName /*region*/, std::string /*address*/, Duration timeout) {
  std::string name = EpochRecordOf(doors_.settings.name);
  Result<std::vector<ServerAnswer>> answers = co_await zone_.AskAll(std::move(name), "TXT", timeout);
  if (!answers) co_return answers.error();
  std::optional<Epoch> newest;
  std::optional<Error> problem;
  bool answered = false;
  for (const ServerAnswer& each : *answers) {
    if (!each.answer) {
      problem = each.answer.error();
      continue;
    }
    answered = true;
    Result<std::optional<Epoch>> epoch = EpochInTexts(each.answer->values);
    if (!epoch) co_return epoch.error();
    newest = std::max(newest, *epoch);
  }
  if (!answered && problem) co_return *problem;
  co_return newest;
}

Task<Result<std::vector<route53::RecordSet>>> RecordTraffic::Standing(Duration timeout) {
  const Instant end = doors_.clock.Now() + timeout;
  Result<std::vector<route53::RecordSet>> records =
      co_await route53::ListRecordSets(*doors_.client, kGlobal, doors_.settings.zone, doors_.settings.name, timeout);
  if (!records) co_return records.error();
  std::string name = EpochRecordOf(doors_.settings.name);
  Result<std::vector<route53::RecordSet>> texts =
      co_await route53::ListRecordSets(*doors_.client, kGlobal, doors_.settings.zone, std::move(name), Left(end));
  if (!texts) co_return texts.error();
  for (route53::RecordSet& text : *texts) records->push_back(std::move(text));
  co_return records;
}

Task<Result<Unit>> RecordTraffic::Point(std::string address, Epoch epoch, Duration timeout) {
  const Instant end = doors_.clock.Now() + timeout;
  const Result<RegionName> target = RegionOf(address);
  if (!target) co_return target.error();
  std::optional<Error> doubt;
  for (int tries = 0;; ++tries) {
    Result<std::vector<route53::RecordSet>> standing = co_await Standing(std::min(Left(end), kOneCall));
    if (!standing && doubt) co_return UnknownOutcome(doubt->message + "; then: " + standing.error().message, kDependsHint);
    if (!standing) co_return WithDependency(standing.error());
    Result<std::vector<route53::Change>> batch =
        RecordBatch(doors_.settings, *standing, doors_.settings.targets.at(*target), epoch);
    if (!batch) co_return batch.error();
    if (batch->empty()) break;
    if (tries == kMostTries || (doubt && TimeLeft(end, doors_.clock.Now()) <= Duration::zero())) {
      co_return UnknownOutcome("the record '" + doors_.settings.name + "' could not be changed: " + doubt->message, kDependsHint);
    }
    std::string comment = "Lifeboat: '" + target->text + "' serves under epoch '" + std::to_string(epoch.number) + "'";
    Result<route53::ChangeInfo> changed = co_await route53::ChangeRecordSets(
        *doors_.client, kGlobal, doors_.settings.zone, std::move(*batch), std::move(comment), std::min(Left(end), kOneCall));
    if (changed.ok()) break;
    if (changed.error().retry == Retry::kFail) co_return WithDependency(changed.error());
    doubt = changed.error();  // overtaken, or not known: what stands there now says which
  }
  std::string acted = "the record '" + doors_.settings.name + "' stands under epoch '" + std::to_string(epoch.number) + "'";
  co_return co_await Prove(std::move(address), std::move(acted), end);
}

}  // namespace lifeboat::aws
