#include "adapters/aws/traffic_rules.h"

#include <algorithm>
#include <limits>

#include "adapters/aws/endpoint.h"
#include "adapters/aws/traffic_doors.h"

namespace lifeboat::aws {

namespace {

using Lines = std::vector<Readiness>;
using route53::HealthCheck;
using route53::RecordSet;

constexpr Duration kToNameServers = 60s;  // of a changed record. @source ChangeResourceRecordSets: "generally within 60 seconds"

Readiness Ok(std::string what) { return {"ok", std::move(what), {}}; }
Readiness Fault(std::string what, std::string hint) { return {"fault", std::move(what), std::move(hint)}; }

std::vector<const RecordSet*> RecordsOfName(const AwsTrafficSettings& settings, const ZoneView& view) {
  std::vector<const RecordSet*> found;
  for (const RecordSet& record : view.records) {
    if (SameValue("CNAME", record.name, settings.name) && record.type == settings.type) found.push_back(&record);
  }
  return found;
}

std::optional<RegionName> RegionOf(const AwsTrafficSettings& settings, const RecordSet& record) {
  if (record.values.size() != 1) return std::nullopt;
  return RegionOfTarget(settings, record.values.front());
}

const RecordSet* HalfOf(const AwsTrafficSettings& settings, const ZoneView& view, const std::string& which) {
  for (const RecordSet* record : RecordsOfName(settings, view)) {
    if (record->failover == which) return record;
  }
  return nullptr;
}

std::string OtherRegion(const AwsTrafficSettings& settings, const RegionName& region) {
  for (const auto& [other, target] : settings.targets) {
    if (other != region) return other.text;
  }
  return {};
}

bool LooksAt(const HealthCheck& check, const std::string& marker, const RegionName& region) {
  const Result<MarkerPlace> place = ParseMarkerPlace(marker);
  if (!place) return false;
  const Result<Partition> partition = PartitionOf(region.text);
  const std::string suffix = partition.ok() ? partition->dns_suffix : "amazonaws.com";
  const std::string s3 = "s3." + region.text + "." + suffix;
  if (check.host == place->bucket + "." + s3) return check.path == "/" + place->key;
  return check.host == s3 && check.path == "/" + place->bucket + "/" + place->key;
}

/// The check of the record of `region`, which must be on the marker of the other one.
void JudgeMarkerCheck(const AwsTrafficSettings& settings, const HealthCheck& check, const RegionName& region, Lines& lines) {
  const std::string which = "health check '" + check.id + "' of the record of '" + region.text + "'";
  const std::string other = OtherRegion(settings, region);
  if (check.disabled) {
    lines.push_back(
        Fault(which + " is disabled: it counts as " + (check.inverted ? "unhealthy" : "healthy") + " whatever the marker says",
              "enable it"));
  }
  if (!check.inverted) {
    lines.push_back(Fault(which + " is not inverted: the record would be answered only while '" + other + "' has taken over",
                          "invert it (UpdateHealthCheck)"));
  }
  if (check.type != "HTTPS_STR_MATCH" && check.type != "HTTP_STR_MATCH") {
    lines.push_back(
        Fault(which + " is of type '" + check.type + "', which does not search: a marker at rest looks as one that has taken over",
              "make one of type HTTPS_STR_MATCH that searches '" + std::string(kTakesOverWord) +
                  "' (the type of a check cannot be changed)"));
  } else if (check.search != kTakesOverWord) {
    lines.push_back(Fault(which + " searches '" + check.search + "'", "let it search '" + std::string(kTakesOverWord) + "'"));
  }
  const auto marker = settings.markers.find(RegionName(other));
  if (marker == settings.markers.end() || !LooksAt(check, marker->second, RegionName(other))) {
    const std::string wanted = marker == settings.markers.end() ? "none is configured" : "'" + marker->second + "'";
    lines.push_back(
        Fault(which + " looks at 'https://" + check.host + check.path + "', not at the marker of '" + other + "' (" + wanted + ")",
              "let it look at the other region's marker, or correct the markers in lifeboat.yaml"));
  }
}

/// One half of the pair: whose it is, and its check.
void JudgeHalf(const AwsTrafficSettings& settings, const ZoneView& view, const std::string& which, Lines& lines) {
  const RecordSet* record = HalfOf(settings, view, which);
  if (record == nullptr) {
    lines.push_back(
        Fault("'" + settings.name + "' has no " + which + " record of type '" + settings.type + "'", "make the failover pair"));
    return;
  }
  const std::optional<RegionName> region = RegionOf(settings, *record);
  if (!region) {
    const std::string value =
        record->values.empty() ? "an alias to '" + record->alias_name + "'" : "'" + record->values.front() + "'";
    lines.push_back(Fault("the " + which + " record of '" + settings.name + "' is " + value + ", which is the target of no region",
                          "let it be one of the targets in lifeboat.yaml"));
    return;
  }
  if (record->health_check.empty()) {
    const bool primary = which == "PRIMARY";
    lines.push_back(
        Fault("the " + which + " record of '" + settings.name + "' has no health check and is always healthy: " +
                  (primary ? "the name never leaves '" + region->text + "'"
                           : "once it has taken over, '" + OtherRegion(settings, *region) + "' cannot take the name back alone"),
              "give it an inverted check on the marker of '" + OtherRegion(settings, *region) + "'"));
    return;
  }
  const auto check = view.checks.find(record->health_check);
  if (check == view.checks.end()) {
    lines.push_back({"unknown", "health check '" + record->health_check + "' of '" + settings.name + "' could not be read",
                     "does it exist, and may the agent call route53:GetHealthCheck?"});
    return;
  }
  JudgeMarkerCheck(settings, check->second, *region, lines);
}

}  // namespace

std::string PublicUrl(const MarkerPlace& place, const RegionName& region) {
  const Result<Partition> partition = PartitionOf(region.text);
  const std::string suffix = partition.ok() ? partition->dns_suffix : "amazonaws.com";
  return "https://" + place.bucket + ".s3." + region.text + "." + suffix + "/" + place.key;
}

Lines JudgePair(const AwsTrafficSettings& settings, const ZoneView& view) {
  Lines lines;
  const std::vector<const RecordSet*> records = RecordsOfName(settings, view);
  if (records.size() == 1 && records.front()->failover.empty()) {
    lines.push_back(
        Fault("'" + settings.name + "' is one simple record: no health check moves it", "make the failover pair of docs/aws.md"));
    return lines;
  }
  JudgeHalf(settings, view, "PRIMARY", lines);
  JudgeHalf(settings, view, "SECONDARY", lines);
  const RecordSet* primary = HalfOf(settings, view, "PRIMARY");
  const RecordSet* secondary = HalfOf(settings, view, "SECONDARY");
  if (primary != nullptr && secondary != nullptr) {
    if (RegionOf(settings, *primary) && RegionOf(settings, *primary) == RegionOf(settings, *secondary)) {
      lines.push_back(Fault("both records of '" + settings.name + "' lead to '" + RegionOf(settings, *primary)->text + "'",
                            "let one lead to each region"));
    }
    const auto first = view.healthy.find(primary->health_check);
    const auto second = view.healthy.find(secondary->health_check);
    if (first != view.healthy.end() && second != view.healthy.end() && !first->second && !second->second) {
      lines.push_back(Fault("the health checks of both records of '" + settings.name +
                                "' are unhealthy: Route 53 fails open and answers the primary, whoever has taken over",
                            "look at both markers; a new inverted check is unhealthy until it has data"));
    }
  }
  if (lines.empty()) {
    lines.push_back(Ok("'" + settings.name + "' leads to '" + RegionOf(settings, *primary)->text + "', and to '" +
                       RegionOf(settings, *secondary)->text +
                       "' once that has taken over; both checks are inverted, each on the other's marker"));
  }
  return lines;
}

Lines JudgeMarkers(const AwsTrafficSettings& settings, const ZoneView& view, const std::map<RegionName, MarkerLook>& markers) {
  Lines lines;
  const RecordSet* primary = HalfOf(settings, view, "PRIMARY");
  const std::optional<RegionName> first = primary == nullptr ? std::nullopt : RegionOf(settings, *primary);
  for (const auto& [region, look] : markers) {
    const std::string which = "the marker of '" + region.text + "' (" + settings.markers.at(region) + ")";
    if (!look.problem.empty()) {
      lines.push_back(Fault(which + " cannot be read: " + look.problem,
                            "without it '" + region.text + "' cannot take over: look at bucket and permissions"));
      continue;
    }
    if (!look.marker) {
      lines.push_back({"unknown", which + " is not there yet, so that nobody can see whether it would be public",
                       "it is written when the region first serves; or put any object there and look at " + look.public_url});
      continue;
    }
    if (look.public_status != 200) {
      lines.push_back(
          Fault(which + " is not readable by everyone: an unsigned look at '" + look.public_url + "' got " +
                    (look.public_status == 0 ? std::string("no answer") : "status " + std::to_string(look.public_status)),
                "health checks sign nothing: allow s3:GetObject on this one key to everyone in the bucket's policy"));
      continue;
    }
    const std::string epoch = "'" + std::to_string(look.marker->epoch.number) + "' of '" + look.marker->serves.text + "'";
    if (look.marker->takes_over && first && region == *first) {
      lines.push_back(
          Fault(which + " still has taken over, under epoch " + epoch + ": while it says so, '" + OtherRegion(settings, region) +
                    "' cannot take the name",
                "the agent of '" + region.text + "' puts it to rest by itself, some minutes after the other region answers again"));
      continue;
    }
    lines.push_back(
        Ok(which + " is public and " + (look.marker->takes_over ? "has taken over" : "rests") + " under epoch " + epoch));
  }
  return lines;
}

Lines JudgeControls(const AwsTrafficSettings& settings, const ZoneView& view) {
  Lines lines;
  for (const auto& [region, target] : settings.targets) {
    const auto control = settings.controls.find(region);
    const RecordSet* found = nullptr;
    for (const RecordSet* record : RecordsOfName(settings, view)) {
      if (RegionOf(settings, *record) == region) found = record;
    }
    if (found == nullptr) {
      lines.push_back(
          Fault("no record of '" + settings.name + "' leads to '" + region.text + "'", "make one, with a check on its control"));
      continue;
    }
    const auto check = view.checks.find(found->health_check);
    if (check == view.checks.end()) {
      lines.push_back(
          Fault("the record of '" + region.text + "' has no health check that could be read: no routing control moves it",
                "give it a check of type RECOVERY_CONTROL"));
      continue;
    }
    const HealthCheck& seen = check->second;
    const std::string which = "health check '" + seen.id + "' of the record of '" + region.text + "'";
    if (seen.disabled || seen.inverted) {
      lines.push_back(Fault(which + " is " + (seen.disabled ? "disabled" : "inverted"),
                            seen.disabled ? "enable it" : "let it not be inverted"));
    } else if (seen.type != "RECOVERY_CONTROL" || control == settings.controls.end() || seen.routing_control != control->second) {
      lines.push_back(
          Fault(which + " is of type '" + seen.type + "' on '" + seen.routing_control + "', not on the region's routing control",
                "let it be of type RECOVERY_CONTROL on the control that lifeboat.yaml names"));
    } else {
      lines.push_back(Ok(which + " follows its routing control"));
    }
  }
  return lines;
}

Lines JudgeRecord(const AwsTrafficSettings& settings, const ZoneView& view) {
  Lines lines;
  lines.push_back(
      Fault("'" + settings.name + "' is moved by a change of its record, which goes through us-east-1 whatever region is lost",
            "choose 'standby takes over' or routing control; or take it as the last resort that it is"));
  const Result<std::vector<route53::Change>> batch =
      RecordBatch(settings, view.records, settings.targets.begin()->second, Epoch{std::numeric_limits<std::uint64_t>::max()});
  if (!batch) lines.push_back(Fault(batch.error().message, batch.error().hint));
  for (const RecordSet* record : RecordsOfName(settings, view)) {
    if (!RegionOf(settings, *record) && record->alias_name.empty() && record->values.size() == 1) {
      lines.push_back(Fault("'" + settings.name + "' is '" + record->values.front() + "', which is the target of no region",
                            "let it be one of the targets in lifeboat.yaml"));
    }
  }
  return lines;
}

Lines JudgeTime(const AwsTrafficSettings& settings, const ZoneView& view, Duration rto) {
  std::uint64_t ttl = 0;
  Duration notice = settings.kind == AwsTrafficKind::kRecords ? kToNameServers : Duration(0);
  std::string by = settings.kind == AwsTrafficKind::kRecords ? "a changed record 60 s to the name servers" : "";
  std::string slow;
  for (const RecordSet* record : RecordsOfName(settings, view)) {
    ttl = std::max(ttl, record->ttl.value_or(60));  // an alias: Route 53 answers 60 s
    const auto check = view.checks.find(record->health_check);
    if (check == view.checks.end() || settings.kind != AwsTrafficKind::kStandbyTakesOver) continue;
    const Duration takes = std::chrono::seconds(check->second.interval_s * check->second.threshold);
    if (takes <= notice) continue;
    notice = takes;
    by = "health check every " + std::to_string(check->second.interval_s) + " s × " + std::to_string(check->second.threshold);
    slow = check->second.interval_s > 10 ? "an interval of 10 s, or a lower threshold" : "a lower threshold";
  }
  if (RecordsOfName(settings, view).empty()) return {};
  const Duration all = notice + std::chrono::seconds(ttl);
  const std::string what = "clients of '" + settings.name + "' follow within " + FormatDuration(all) + " of the act (" +
                           (by.empty() ? "" : by + ", ") + "TTL " + std::to_string(ttl) + " s); the RTO is " + FormatDuration(rto);
  if (all < rto) return {Ok(what)};
  const bool ttl_is_more = std::chrono::seconds(ttl) >= notice;
  return {Fault(what, ttl_is_more ? "a TTL of 60 s or less" + (slow.empty() ? "" : "; then " + slow)
                                  : slow + "; then a TTL of 60 s or less")};
}

Lines JudgeOthers(const AwsTrafficSettings& settings, const ZoneView& view) {
  Lines lines;
  for (const RecordSet& record : view.records) {
    if (SameValue("CNAME", record.name, settings.name)) continue;
    std::vector<std::string> leads = record.values;
    if (!record.alias_name.empty()) leads.push_back(record.alias_name);
    for (const std::string& value : leads) {
      std::optional<RegionName> region;
      for (const auto& [each, target] : settings.targets) {
        if (SameValue(settings.type, target, value) || SameValue("CNAME", target, value)) region = each;
      }
      if (!region) continue;
      lines.push_back(Fault("record '" + record.name + "' of type '" + record.type + "' leads to '" + region->text + "' (" + value +
                                ") and would stay there",
                            "let it be an alias of '" + settings.name + "', or see that nobody needs it in a disaster"));
    }
  }
  return lines;
}

}  // namespace lifeboat::aws
