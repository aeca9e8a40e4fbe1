#include "cli/init_from_aws.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <set>

#include "adapters/aws/encoding.h"
#include "adapters/aws/open.h"
#include "adapters/system/clock.h"
#include "adapters/system/descriptor.h"
#include "adapters/system/pool_files.h"
#include "base/drive.h"
#include "base/spawn.h"
#include "config/text.h"

namespace lifeboat {

namespace {

constexpr std::size_t kWidth = 118;  // of a comment
constexpr Duration kOneCall = 15s;   // all attempts at it
constexpr const char* kTable = "lifeboat";
constexpr std::size_t kControlEndpoints = 5;

using aws::Lower;

/// A scalar of YAML: as it stands where that is certain to read as the same text, in single quotes else.
std::string Scalar(const std::string& text) {
  const auto plain = [](unsigned char c) { return std::isalnum(c) != 0 || std::strchr("._/:@+-*", c) != nullptr; };
  const bool safe = !text.empty() && std::all_of(text.begin(), text.end(), plain) &&
                    std::isalnum(static_cast<unsigned char>(text.front())) != 0 && text.back() != ':' &&
                    text.find(": ") == std::string::npos;
  if (safe) return text;
  std::string quoted = "'";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20) continue;
    quoted += c == '\'' ? "''" : std::string(1, c);
  }
  // SAFETY: '${' would be read as a variable of whoever loads the file.
  for (std::size_t at = 0; (at = quoted.find("${", at)) != std::string::npos; at += 3) quoted.insert(at, "$");
  return quoted + "'";
}

/// YAML, line by line. Below `Off()` every line is a comment, so that a section that is not whole can be shown.
class Page {
 public:
  void Line(int indent, const std::string& text) {
    const std::string lead(static_cast<std::size_t>(indent), ' ');
    text_ += (off_ ? "# " : "") + lead + text + "\n";
  }
  void Key(int indent, const std::string& key, const std::string& value) { Line(indent, key + ": " + Scalar(value)); }
  void Gap() { text_ += "\n"; }
  /// Any text, whoever wrote it: it stays a comment.
  void Comment(int indent, const std::string& text) {
    std::string words;
    for (const char c : text) words += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    const std::string lead = std::string(static_cast<std::size_t>(indent), ' ') + "# ";
    std::string line;
    for (const std::string& word : Words(words)) {
      if (!line.empty() && lead.size() + line.size() + 1 + word.size() > kWidth) {
        text_ += lead + line + "\n";
        line.clear();
      }
      line += (line.empty() ? "" : " ") + word;
    }
    if (!line.empty()) text_ += lead + line + "\n";
  }
  void Off() { off_ = true; }
  void On() { off_ = false; }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  static std::vector<std::string> Words(const std::string& text) {
    std::vector<std::string> words;
    std::string word;
    for (const char c : text + " ") {
      if (c != ' ') {
        word += c;
      } else if (!word.empty()) {
        words.push_back(std::move(word));
        word.clear();
      }
    }
    return words;
  }
  std::string text_;
  bool off_ = false;
};

void RegionMap(Page& page, int indent, const std::string& key, const std::map<RegionName, std::string>& values) {
  if (values.empty()) return;
  page.Line(indent, key + ":");
  for (const auto& [region, value] : values) page.Key(indent + 2, region.text, value);
}

std::vector<RegionName> DataRegions(const AwsSurvey& survey) {
  std::vector<RegionName> regions;
  for (const SurveyedCluster& each : survey.clusters) regions.push_back(each.region);
  return regions;
}

std::string WithoutDot(std::string name) {
  if (name.ends_with('.')) name.pop_back();
  return Lower(name);
}

/// Which data region a record points to: by its cluster's endpoint, by the region in the name, by the record's own region.
std::optional<RegionName> RegionOf(const AwsSurvey& survey, const aws::route53::RecordSet& record, const std::string& value) {
  for (const SurveyedCluster& each : survey.clusters) {
    if (each.cluster && WithoutDot(each.cluster->endpoint) == WithoutDot(value)) return each.region;
  }
  for (const SurveyedCluster& each : survey.clusters) {
    if (WithoutDot(value).find("." + each.region.text + ".") != std::string::npos || record.region == each.region.text)
      return each.region;
  }
  return std::nullopt;
}

/// "s3://bucket/key" that a health check looks at; nothing: it looks at no object of S3 in one of the data regions.
std::optional<std::pair<RegionName, std::string>> MarkerOf(const AwsSurvey& survey, const aws::route53::HealthCheck& check) {
  const std::string host = Lower(check.host);
  std::string key = check.path;
  while (key.starts_with('/')) key.erase(0, 1);
  for (const RegionName& region : DataRegions(survey)) {
    const std::string by_host = ".s3." + region.text + ".amazonaws.com";
    if (host.ends_with(by_host)) return std::pair(region, "s3://" + host.substr(0, host.size() - by_host.size()) + "/" + key);
    if ("." + host == by_host && key.find('/') != std::string::npos) return std::pair(region, "s3://" + key);
  }
  return std::nullopt;
}

/// What the zone's records say of how clients are led, and what of it is missing.
struct Traffic {
  std::string kind = "records";
  std::string type;
  std::map<RegionName, std::string> targets;
  std::map<RegionName, std::string> markers;
  std::map<RegionName, std::string> controls;
  std::vector<std::string> notes;
  std::vector<std::string> missing;  ///< not empty: the section cannot be used as it is
};

void ReadCheck(const AwsSurvey& survey, const aws::route53::RecordSet& record, const std::optional<RegionName>& region,
               Traffic& traffic) {
  const auto found = survey.checks.find(record.health_check);
  if (found == survey.checks.end()) return;
  const aws::route53::HealthCheck& check = found->second;
  if (check.disabled)
    traffic.notes.push_back("health check '" + check.id + "' is disabled: it counts as healthy, whatever happens");
  if (check.type == "RECOVERY_CONTROL" && region) {
    traffic.kind = "routing-control";
    traffic.controls[*region] = check.routing_control;
  }
  const auto marker = MarkerOf(survey, check);
  if (marker && check.inverted) {
    traffic.kind = "standby-takes-over";
    traffic.markers.insert(*marker);
  } else if (marker) {
    traffic.notes.push_back("health check '" + check.id + "' looks at " + marker->second +
                            " and is not inverted: the object's absence would be the failure");
  }
}

/// What the loader would refuse is told here, and the section stays a comment.
void CheckTargets(Traffic& traffic) {
  std::set<std::string> seen;
  for (const auto& [region, target] : traffic.targets) {
    if (!seen.insert(target).second)
      traffic.missing.push_back("two regions have the target '" + target + "': where clients are would not be known");
  }
  for (const char* known : {"CNAME", "A", "AAAA", "alias", ""}) {
    if (traffic.type == known) return;
  }
  traffic.missing.push_back("records of type " + traffic.type + " are not moved by Lifeboat");
}

Traffic JudgeTraffic(const AwsSurvey& survey) {
  Traffic traffic;
  for (const aws::route53::RecordSet& record : survey.records) {
    std::vector<std::string> values = record.values;
    if (!record.alias_name.empty()) values.push_back(record.alias_name);
    traffic.type = record.alias_name.empty() ? record.type : "alias";
    std::optional<RegionName> region;
    for (const std::string& value : values) {
      const std::optional<RegionName> one = RegionOf(survey, record, value);
      if (!one) traffic.notes.push_back("nothing says which region '" + value + "' is in");
      if (!one) continue;
      region = one;
      traffic.targets[*one] = value;
    }
    if (record.ttl)
      traffic.notes.push_back("'" + record.failover + (record.failover.empty() ? record.type : "") + "' has a TTL of " +
                              std::to_string(*record.ttl) + " s: that much is part of every outage");
    ReadCheck(survey, record, region, traffic);
  }
  if (!survey.zone_problem.empty()) traffic.missing.push_back(survey.zone_problem);
  for (const SurveyedCluster& each : survey.clusters) {
    if (traffic.targets.count(each.region) > 0) continue;
    // A plain record names one region alone; what the others would be called is their cluster's own name.
    if (traffic.type == "CNAME" && each.cluster && !each.cluster->endpoint.empty()) {
      traffic.targets[each.region] = each.cluster->endpoint;
      traffic.notes.push_back("no record names " + each.region.text + ": its target below is the endpoint of its cluster");
    } else if (survey.zone_problem.empty()) {
      traffic.missing.push_back("the target of '" + each.region.text + "' is not known");
    }
  }
  if (traffic.type == "alias") traffic.missing.push_back("the record is an alias, which is not moved by Lifeboat");
  if (traffic.kind == "routing-control" && survey.control_endpoints.size() != kControlEndpoints) {
    traffic.missing.push_back(
        "the five endpoints of the routing controls' cluster: " +
        (survey.control_problem.empty() ? "it has " + std::to_string(survey.control_endpoints.size()) : survey.control_problem));
  }
  if (traffic.kind == "routing-control" && traffic.controls.size() < survey.clusters.size())
    traffic.missing.push_back("not every region has a record under a check on a routing control of its own");
  if (traffic.kind == "standby-takes-over" && traffic.markers.size() < survey.clusters.size())
    traffic.missing.push_back(
        "not every region has an object under the other record's inverted check: from there the service could not come back");
  CheckTargets(traffic);
  return traffic;
}

void WriteHead(Page& page, const AwsSurvey& survey) {
  page.Comment(0,
               "lifeboat.yaml: one service on an Aurora global database, as AWS told of it when this file was made. Nothing in AWS "
               "was changed.");
  page.Comment(0,
               "All regions read the same file. Every key is explained in docs/configuration.md, the set-up in docs/aws.md. Look "
               "through it, "
               "put in what only you know (marked CHANGE), then: lifeboat check --config lifeboat.yaml");
  for (const std::string& problem : survey.problems) page.Comment(0, "Not read: " + problem);
  page.Gap();
  page.Key(0, "service", Lower(survey.global.id));
  page.Gap();
  page.Comment(0, "CHANGE: what every drill and every real run is judged against, measured at a client.");
  page.Line(0, "objectives:");
  page.Line(2, "rto: 10min # from the fault to the first good write; Aurora takes minutes to move its writer");
  page.Line(2, "rpo: 2min  # newest acknowledged work that may be lost; AWS tells the lag once a minute");
  page.Gap();
  page.Comment(0, "'observe': it decides and says what it would do, and changes nothing. 'act' also needs the two lines below it.");
  page.Line(0, "policy:");
  page.Line(2, "automation: observe");
  page.Comment(2, "failover_after: 30s       # so long a majority of all agents must find the writer's region silent");
  page.Comment(2, "loss_limit: {time: 3min}  # above it, or where the lag is unknown, a person is asked");
  page.Gap();
}

void WriteStore(Page& page, const AwsSurvey& survey) {
  page.Comment(0,
               "The agents' shared store: a DynamoDB table, made as docs/aws.md says (\"The store's table\"): with two regions it "
               "must be a global table "
               "with multi-region strong consistency. It was not looked at.");
  page.Line(0, "store:");
  page.Line(2, "kind: dynamodb");
  page.Line(2, std::string("table: ") + kTable);
  std::string regions;
  for (std::size_t at = 0; at < survey.clusters.size() && at < 2; ++at)
    regions += (at == 0 ? "" : ", ") + survey.clusters[at].region.text;
  page.Line(2, "aws_regions: [" + regions + "]");
  page.Gap();
}

std::string About(const SurveyedCluster& each) {
  if (!each.cluster) return "Not read: " + each.problem;
  std::string text = std::string(each.is_writer ? "The writer, when this was made: cluster '" : "Cluster '") + each.cluster->id +
                     "', " + each.cluster->engine + " " + each.cluster->engine_version + ", " + each.cluster->status + ", " +
                     std::to_string(each.cluster->instances.size()) + " instances";
  if (each.cluster->instances.empty()) text += ": it is headless, and nobody could connect to it after a failover";
  return text;
}

void WriteRegions(Page& page, const AwsSurvey& survey) {
  page.Comment(0, "CHANGE: where each region's agent listens, beside its tunnel to the others, and where it keeps its records.");
  page.Line(0, "regions:");
  int number = 0;
  const auto write = [&](const std::string& name, const char* kind, const std::string& about) {
    const std::string address = "127.77." + std::to_string(++number) + ".1:7400";
    if (number > 1) page.Gap();
    if (!about.empty()) page.Comment(2, about);
    page.Line(2, "- name: " + Scalar(name));
    page.Line(4, std::string("kind: ") + kind);
    page.Line(4, "agent: " + address);
    page.Line(4, "state_directory: /var/lib/lifeboat");
  };
  for (const SurveyedCluster& each : survey.clusters) write(each.region.text, "data", About(each));
  for (const RegionName& each : survey.others) write(each.text, "witness", "Holds no cluster of it: its agent votes.");
  if (survey.others.empty())
    page.Comment(2, "A third region whose agent only votes: name it by one more --region, or write an item with 'kind: witness'.");
  page.Gap();
}

void WriteDatabase(Page& page, const AwsSurvey& survey) {
  page.Line(2, "database:");
  page.Line(4, "kind: aurora-global");
  page.Key(4, "global_cluster", survey.global.id);
  std::map<RegionName, std::string> members;
  for (const SurveyedCluster& each : survey.clusters) members[each.region] = each.arn;
  page.Comment(4, "Written down here, since a lost region answers nothing.");
  RegionMap(page, 4, "members", members);
  page.Comment(4, "detach_when_needed: true  # see docs/managed.md first: nothing stops the old writer then");
}

void WriteTraffic(Page& page, const AwsSurvey& survey) {
  page.Gap();
  page.Comment(2, "The name that clients follow.");
  if (survey.zone.empty()) {
    page.Comment(2, "No zone was named (--zone, --name): clients must follow the global writer endpoint" +
                        (survey.global.endpoint.empty() ? std::string() : ", '" + survey.global.endpoint + "',") +
                        " or a name that you write here.");
    return;
  }
  const Traffic traffic = JudgeTraffic(survey);
  for (const std::string& note : traffic.notes) page.Comment(2, "Seen: " + note + ".");
  if (traffic.kind == "records") {
    page.Comment(2, "A change of records needs Route 53's control plane in us-east-1: docs/aws.md says what does not.");
  }
  for (const std::string& missing : traffic.missing) page.Comment(2, "Missing: " + missing + ".");
  if (!traffic.missing.empty()) page.Off();
  page.Line(2, "traffic:");
  page.Key(4, "kind", traffic.kind);
  page.Key(4, "zone", survey.zone);
  page.Key(4, "name", survey.name);
  if (!traffic.type.empty() && traffic.type != "alias") page.Key(4, "type", traffic.type);
  RegionMap(page, 4, "targets", traffic.targets);
  RegionMap(page, 4, "markers", traffic.markers);
  RegionMap(page, 4, "controls", traffic.controls);
  if (traffic.kind == "routing-control") {
    std::map<RegionName, std::string> endpoints;
    for (const auto& [region, url] : survey.control_endpoints) endpoints[RegionName(region)] = url;
    if (endpoints.empty())
      page.Line(4, "control_endpoints: {us-east-1: 'https://…', us-west-2: 'https://…', …}");
    else
      RegionMap(page, 4, "control_endpoints", endpoints);
  }
  page.On();
}

/// Buckets that are copied to one another, as one item.
struct Objects {
  std::string name;
  std::string prefix;
  std::map<RegionName, std::string> buckets;
  std::vector<std::string> notes;
};

std::string LabelOf(const std::string& bucket) {
  std::string label;
  for (const char c : Lower(bucket)) label += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '-';
  label.resize(std::min<std::size_t>(label.size(), 63));
  while (label.ends_with('-')) label.pop_back();
  while (label.starts_with('-')) label.erase(0, 1);
  return label.empty() ? "objects" : label;
}

void ReadRules(const AwsSurvey& survey, const SurveyedBucket& bucket, Objects& objects) {
  const std::vector<RegionName> data = DataRegions(survey);
  for (const aws::s3::ReplicationRule& rule : bucket.rules) {
    const std::string to = rule.destination.substr(rule.destination.rfind(':') + 1);
    if (!rule.enabled) {
      objects.notes.push_back("rule '" + rule.id + "' of '" + bucket.name + "' is not enabled");
      continue;
    }
    if (!rule.delete_markers)
      objects.notes.push_back("rule '" + rule.id + "' of '" + bucket.name + "' does not copy delete markers");
    const auto other =
        std::find_if(survey.buckets.begin(), survey.buckets.end(), [&](const SurveyedBucket& each) { return each.name == to; });
    if (other == survey.buckets.end()) {
      objects.notes.push_back("'" + bucket.name + "' is copied to '" + to +
                              "', whose region was not asked for: name it too (--bucket " + to + ")");
      continue;
    }
    if (std::find(data.begin(), data.end(), other->region) != data.end()) objects.buckets[other->region] = to;
    objects.prefix = rule.prefix;
  }
}

std::vector<Objects> JudgeObjects(const AwsSurvey& survey) {
  std::vector<Objects> all;
  const std::vector<RegionName> data = DataRegions(survey);
  for (const SurveyedBucket& bucket : survey.buckets) {
    const bool known = std::any_of(all.begin(), all.end(), [&](const Objects& each) {
      return std::any_of(each.buckets.begin(), each.buckets.end(), [&](const auto& one) { return one.second == bucket.name; });
    });
    Objects objects;
    objects.name = LabelOf(bucket.name);
    if (!bucket.problem.empty()) objects.notes.push_back("not read of '" + bucket.name + "': " + bucket.problem);
    if (bucket.versioned && !*bucket.versioned)
      objects.notes.push_back("'" + bucket.name + "' keeps no versions, which replication needs");
    if (std::find(data.begin(), data.end(), bucket.region) != data.end()) {
      objects.buckets[bucket.region] = bucket.name;
    } else if (!bucket.region.text.empty()) {
      objects.notes.push_back("'" + bucket.name + "' lies in '" + bucket.region.text + "', which is no data region");
    }
    ReadRules(survey, bucket, objects);
    if (!known) all.push_back(std::move(objects));
  }
  return all;
}

void WriteObjects(Page& page, const AwsSurvey& survey) {
  const std::vector<Objects> all = JudgeObjects(survey);
  if (all.empty()) return;
  page.Gap();
  page.Comment(2, "Buckets that are copied between the regions.");
  const bool any =
      std::any_of(all.begin(), all.end(), [&](const Objects& each) { return each.buckets.size() == survey.clusters.size(); });
  if (any) page.Line(2, "objects:");
  for (const Objects& each : all) {
    for (const std::string& note : each.notes) page.Comment(4, "Seen: " + note + ".");
    const bool whole = each.buckets.size() == survey.clusters.size();
    if (!whole) page.Comment(4, "Missing: its copy in every other region.");
    if (!whole) page.Off();
    page.Line(4, "- name: " + Scalar(each.name));
    RegionMap(page, 6, "buckets", each.buckets);
    if (!each.prefix.empty()) page.Key(6, "prefix", each.prefix);
    page.On();
    page.Comment(6, "canary_every: 5min  # small objects that show how long a copy takes");
  }
}

const char* KindOf(AwsComputeKind kind) {
  switch (kind) {
    case AwsComputeKind::kAutoScaling: return "auto-scaling";
    case AwsComputeKind::kEcs: return "ecs";
    case AwsComputeKind::kEks: return "eks";
  }
  return "auto-scaling";
}

/// The groups of a kind, one of each region as one item: the first of each region belong together, then the second.
std::vector<std::vector<const SurveyedGroup*>> GroupsOf(const AwsSurvey& survey, AwsComputeKind kind) {
  std::vector<std::vector<const SurveyedGroup*>> items;
  std::map<RegionName, std::size_t> taken;
  for (const SurveyedGroup& one : survey.groups) {
    if (one.group.kind != kind) continue;
    const std::size_t item = taken[one.group.region]++;
    if (item == items.size()) items.emplace_back();
    items[item].push_back(&one);
  }
  return items;
}

void WriteGroups(Page& page, const AwsSurvey& survey, const std::vector<const SurveyedGroup*>& item, std::set<std::string>& names) {
  std::map<RegionName, std::string> groups;
  std::map<RegionName, std::string> targets;
  const std::vector<RegionName> data = DataRegions(survey);
  for (const SurveyedGroup* one : item) {
    const RegionName& region = one->group.region;
    if (!one->problem.empty()) page.Comment(4, "Not read: '" + one->group.name + "' in " + region.text + ": " + one->problem + ".");
    if (!one->seen.empty()) page.Comment(4, "Seen: '" + one->group.name + "' in " + region.text + " " + one->seen + ".");
    if (one->target_groups.size() > 1)
      page.Comment(4, "Seen: it has " + std::to_string(one->target_groups.size()) + " target groups; the first is written here.");
    if (std::find(data.begin(), data.end(), region) == data.end()) {
      page.Comment(4, "Seen: " + region.text + " is no data region.");
      continue;
    }
    groups[region] = one->group.name;
    if (!one->target_groups.empty()) targets[region] = one->target_groups.front();
  }
  std::string name = LabelOf(item.front()->group.name.substr(item.front()->group.name.rfind('/') + 1));
  for (int again = 2; !names.insert(name).second; ++again) name = name.substr(0, 58) + "-" + std::to_string(again);
  const bool whole = groups.size() == data.size();
  if (!whole) page.Comment(4, "Missing: its group in every other region.");
  if (!whole) page.Off();
  page.Line(4, "- name: " + Scalar(name));
  page.Line(6, std::string("kind: ") + KindOf(item.front()->group.kind));
  RegionMap(page, 6, "groups", groups);
  RegionMap(page, 6, "target_groups", targets);
  page.On();
  page.Comment(6, "share: 100  # percent of what the old region ran");
}

void WriteCompute(Page& page, const AwsSurvey& survey) {
  if (survey.groups.empty()) return;
  page.Gap();
  page.Comment(2,
               "What is scaled up in the region that takes over. The load balancer's word counts where a target group is named.");
  std::set<std::string> names;
  std::vector<std::vector<const SurveyedGroup*>> items;
  for (const AwsComputeKind kind : {AwsComputeKind::kAutoScaling, AwsComputeKind::kEcs, AwsComputeKind::kEks}) {
    for (auto& item : GroupsOf(survey, kind)) items.push_back(std::move(item));
  }
  const std::vector<RegionName> data = DataRegions(survey);
  const auto whole = [&](const std::vector<const SurveyedGroup*>& item) {
    return std::all_of(data.begin(), data.end(), [&](const RegionName& region) {
      return std::any_of(item.begin(), item.end(), [&](const SurveyedGroup* one) { return one->group.region == region; });
    });
  };
  if (std::any_of(items.begin(), items.end(), whole)) page.Line(2, "compute:");
  for (const auto& item : items) WriteGroups(page, survey, item, names);
}

void WriteNotices(Page& page, const AwsSurvey& survey) {
  if (survey.topics.empty()) return;
  page.Gap();
  page.Comment(2, "Who is told. Better in more than one region: nobody hears of a failover whose only topic is in the lost one.");
  const auto named = [](const SurveyedTopic& topic) { return topic.hears.empty() && !aws::rds::RegionOfArn(topic.arn).empty(); };
  if (std::any_of(survey.topics.begin(), survey.topics.end(), named)) page.Line(2, "notify:");
  for (const SurveyedTopic& topic : survey.topics) {
    if (!topic.problem.empty()) page.Comment(4, "Not read: topic '" + topic.arn + "': " + topic.problem + ".");
    if (topic.subscribers) page.Comment(4, "Seen: it has " + std::to_string(*topic.subscribers) + " confirmed subscriptions.");
    if (!topic.hears.empty())
      page.Comment(4, "Seen: it hears events of RDS (subscription '" + topic.hears + "'); yours to name here too:");
    if (!named(topic)) page.Off();
    page.Line(4, "- kind: sns");
    page.Line(6, "region: " + Scalar(aws::rds::RegionOfArn(topic.arn)));
    page.Line(6, "target: " + Scalar(topic.arn));
    page.On();
  }
}

void WriteAlarms(Page& page, const AwsSurvey& survey) {
  if (survey.alarms.empty()) return;
  page.Gap();
  page.Comment(2,
               "Alarms that count as signs of trouble. CHANGE 'about': the region that an alarm tells of, here the writer's when "
               "this was made.");
  const auto known = [&](const SurveyedAlarm& alarm) {
    const std::vector<RegionName> data = DataRegions(survey);
    return std::find(data.begin(), data.end(), alarm.region) != data.end() ||
           std::find(survey.others.begin(), survey.others.end(), alarm.region) != survey.others.end();
  };
  if (std::any_of(survey.alarms.begin(), survey.alarms.end(), known)) page.Line(2, "alarms:");
  for (const SurveyedAlarm& alarm : survey.alarms) {
    if (!alarm.problem.empty())
      page.Comment(4, "Not read: alarm '" + alarm.name + "' in " + alarm.region.text + ": " + alarm.problem + ".");
    if (!alarm.state.empty()) page.Comment(4, "Seen: it is " + alarm.state + ".");
    if (!known(alarm)) page.Comment(4, "Missing: " + alarm.region.text + " is no region of this service: name it too (--region).");
    if (!known(alarm)) page.Off();
    page.Line(4, "- region: " + Scalar(alarm.region.text));
    page.Line(6, "about: " + Scalar(survey.clusters.front().region.text));
    page.Line(6, "alarm: " + Scalar(alarm.name));
    page.On();
  }
}

void WriteSecrets(Page& page, const AwsSurvey& survey) {
  if (survey.secrets.empty()) return;
  page.Gap();
  page.Comment(2, "Secrets that the service needs wherever it runs. They are looked at, and never read.");
  page.Line(2, "secrets:");
  std::set<std::string> names;
  for (const SurveyedSecret& secret : survey.secrets) {
    if (!names.insert(secret.name).second) continue;
    for (const auto& [region, problem] : secret.problems)
      page.Comment(4, "Missing: '" + secret.name + "' in " + region.text + ": " + problem + ".");
    page.Line(4, "- name: " + Scalar(secret.name));
  }
}

void WriteRest(Page& page, const AwsSurvey& survey) {
  std::string rest;
  const auto add = [&rest](bool missing, const char* what) {
    rest += missing ? (rest.empty() ? "" : ", ") + std::string(what) : std::string();
  };
  add(survey.groups.empty(), "compute (what is scaled up in the region that takes over)");
  add(survey.topics.empty(), "notify (SNS, EventBridge)");
  add(survey.alarms.empty(), "alarms (CloudWatch alarms that count as votes)");
  add(survey.secrets.empty(), "secrets");
  add(true, "hooks (Lambda functions)");
  page.Gap();
  page.Comment(2, "Not asked for, and yours to add: " + rest + ". docs/configuration.md has their keys.");
  page.Gap();
  page.Comment(
      0, "CHANGE: the token that agents and command line share: 32 random bytes or more, mode 0600, the same in all regions.");
  page.Line(0, "token_file: /etc/lifeboat/token");
}

/// SAFETY: O_EXCL: a configuration that somebody has worked on is never overwritten.
Result<Unit> WriteNew(const std::string& path, const std::string& text) {
  const Descriptor file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file.ok() && errno == EEXIST)
    return Refused("'" + path + "' is there already, and is not overwritten", "name another file: --output FILE");
  if (!file.ok()) return Fail("cannot make '" + path + "': " + std::strerror(errno));
  std::size_t at = 0;
  while (at < text.size()) {
    const ssize_t written = write(file.number(), text.data() + at, text.size() - at);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      const std::string why = std::strerror(errno);
      (void)unlink(path.c_str());
      return Fail("cannot write '" + path + "': " + why);
    }
    at += static_cast<std::size_t>(written);
  }
  return Done();
}

Task<Result<AwsSurvey>> Survey(boost::asio::any_io_executor io, AwsSurveyRequest request, Clock& clock, Files& files) {
  aws::OpenOptions how;
  how.credentials.region = request.regions.front();
  aws::Surroundings around{clock, files, aws::EnvironmentOfTheProcess(), Log()};
  Result<std::shared_ptr<aws::Client>> client = co_await aws::Open(io, std::move(how), std::move(around));
  if (!client) co_return client.error();
  const std::shared_ptr<aws::Client> keep = *client;
  co_return co_await ReadAws(*keep, std::move(request), kOneCall);
}

Task<> Deliver(Task<Result<AwsSurvey>> task, std::optional<Result<AwsSurvey>>* into) { into->emplace(co_await std::move(task)); }

}  // namespace

Result<std::string> FirstSettings(const AwsSurvey& survey) {
  if (survey.clusters.size() < 2) {
    return Refused("'" + survey.global.id + "' has " + std::to_string(survey.clusters.size()) +
                       " cluster: there is no second region to move to",
                   "add a secondary cluster in another region, then run this again");
  }
  Page page;
  WriteHead(page, survey);
  WriteStore(page, survey);
  WriteRegions(page, survey);
  page.Comment(0, "What AWS runs of the service. Only names and ids: credentials come from where the agent runs (docs/aws.md).");
  page.Line(0, "aws:");
  WriteDatabase(page, survey);
  WriteTraffic(page, survey);
  WriteCompute(page, survey);
  WriteObjects(page, survey);
  WriteNotices(page, survey);
  WriteAlarms(page, survey);
  WriteSecrets(page, survey);
  WriteRest(page, survey);
  return page.text();
}

namespace {

/// What the command line names in regions.
Result<AwsSurveyRequest> RequestOf(const InitOptions& options) {
  AwsSurveyRequest request = options.request;
  const std::pair<AwsComputeKind, const std::vector<std::string>*> lists[] = {{AwsComputeKind::kAutoScaling, &options.groups},
                                                                              {AwsComputeKind::kEcs, &options.services},
                                                                              {AwsComputeKind::kEks, &options.node_groups}};
  for (const auto& [kind, texts] : lists) {
    for (const std::string& text : *texts) {
      const auto one = ParseInRegion(text);
      if (!one) return one.error();
      request.groups.push_back({kind, one->first, one->second});
    }
  }
  for (const std::string& text : options.alarms) {
    const auto one = ParseInRegion(text);
    if (!one) return one.error();
    request.alarms.push_back(*one);
  }
  return request;
}

}  // namespace

int InitFromAws(const CommonOptions& common, const InitOptions& options) {
  const Result<AwsSurveyRequest> request = RequestOf(options);
  if (!request) return EndWith(request.error(), common);
  if (access(options.output.c_str(), F_OK) == 0) {
    return EndWith(Refused("'" + options.output + "' is there already, and is not overwritten", "name another file: --output FILE"),
                   common);
  }
  boost::asio::io_context io(1);
  SystemClock clock;
  PoolFiles files;
  std::optional<Result<AwsSurvey>> survey;
  Spawn(io.get_executor(), Deliver(Survey(io.get_executor(), *request, clock, files), &survey));
  DriveUntil(io, [&] { return survey.has_value(); });
  if (!survey->ok()) return EndWith(survey->error(), common);
  const Result<std::string> text = FirstSettings(**survey);
  if (!text) return EndWith(text.error(), common);
  if (const Result<Unit> written = WriteNew(options.output, *text); !written) return EndWith(written.error(), common);
  if (common.json) {
    std::printf("%s\n", Json{{"file", options.output}, {"service", Lower((*survey)->global.id)}}.dump(2).c_str());
  } else {
    std::printf(
        "'%s' is written; nothing in AWS was changed\n  next: look for CHANGE and Missing in it, then lifeboat check --config %s\n",
        options.output.c_str(), options.output.c_str());
  }
  return static_cast<int>(Exit::kDone);
}

}  // namespace lifeboat
