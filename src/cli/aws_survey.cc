#include "cli/aws_survey.h"

#include <algorithm>

#include "adapters/aws/autoscaling.h"
#include "adapters/aws/cloudwatch.h"
#include "adapters/aws/control_config.h"
#include "adapters/aws/ecs.h"
#include "adapters/aws/eks.h"
#include "adapters/aws/rds_watch.h"
#include "adapters/aws/s3_place.h"
#include "adapters/aws/secretsmanager.h"
#include "adapters/aws/sns.h"
#include "config/text.h"

namespace lifeboat {

namespace {

using aws::Client;

/// Asks one region after the other until one knows the global cluster; those that failed before it are noted.
Task<Result<aws::rds::GlobalCluster>> FindGlobal(Client& client, AwsSurveyRequest request, std::vector<std::string>* problems,
                                                 Duration timeout) {
  std::optional<Error> first;
  for (const std::string& region : request.regions) {
    Result<aws::rds::GlobalCluster> global =
        co_await aws::rds::DescribeGlobalCluster(client, region, request.global_cluster, timeout);
    if (global.ok()) co_return global;
    problems->push_back("region '" + region + "' did not tell of '" + request.global_cluster + "': " + global.error().message);
    if (!first) first = global.error();
  }
  if (!first) co_return Fail("no region is named in which to ask", "name one or more: --region eu-west-1");
  Error error = first->Within("the global cluster '" + request.global_cluster + "' cannot be read");
  if (error.hint.empty()) error.hint = "look at its id, at --region, and at the credentials: rds:DescribeGlobalClusters";
  co_return error;
}

Task<> ReadClusters(Client& client, AwsSurvey* survey, Duration timeout) {
  for (const aws::rds::GlobalMember& member : survey->global.members) {
    SurveyedCluster one;
    one.region = RegionName(aws::rds::RegionOfArn(member.cluster_arn));
    if (!IsLabel(one.region.text)) {
      survey->problems.push_back("a member of it has no ARN that names a region: '" + member.cluster_arn + "'");
      continue;
    }
    one.arn = member.cluster_arn;
    one.is_writer = member.is_writer;
    Result<aws::rds::DbCluster> cluster =
        co_await aws::rds::DescribeDbCluster(client, one.region.text, aws::rds::NameOfArn(member.cluster_arn), timeout);
    if (cluster.ok()) {
      one.cluster = *std::move(cluster);
    } else {
      one.problem = cluster.error().message;
    }
    survey->clusters.push_back(std::move(one));
  }
  std::stable_partition(survey->clusters.begin(), survey->clusters.end(),
                        [](const SurveyedCluster& each) { return each.is_writer; });
}

Task<> ReadZone(Client& client, std::string region, AwsSurvey* survey, Duration timeout) {
  Result<std::vector<aws::route53::RecordSet>> records =
      co_await aws::route53::ListRecordSets(client, region, survey->zone, survey->name, timeout);
  if (!records) {
    survey->zone_problem = records.error().message;
    co_return;
  }
  for (aws::route53::RecordSet& record : *records) {
    if (FullyQualified(record.name) == survey->name) survey->records.push_back(std::move(record));
  }
  if (survey->records.empty()) {
    survey->zone_problem = "there is no record '" + survey->name + "' in zone '" + survey->zone + "'";
    co_return;
  }
  for (const aws::route53::RecordSet& record : survey->records) {
    if (record.health_check.empty()) continue;
    Result<aws::route53::HealthCheck> check = co_await aws::route53::GetHealthCheck(client, region, record.health_check, timeout);
    if (check.ok()) {
      survey->checks[record.health_check] = *std::move(check);
    } else {
      survey->problems.push_back("health check '" + record.health_check + "': " + check.error().message);
    }
  }
}

Task<> ReadBucket(Client& client, std::string asked, SurveyedBucket* bucket, Duration timeout) {
  Result<std::string> region = co_await aws::s3::RegionOfBucket(client, asked, bucket->name, timeout);
  if (!region) {
    bucket->problem = region.error().message;
    co_return;
  }
  bucket->region = RegionName(*region);
  const aws::s3::Bucket place{*region, bucket->name};
  Result<bool> versioned = co_await aws::s3::GetBucketVersioning(client, place, timeout);
  if (versioned.ok()) bucket->versioned = *versioned;
  if (!versioned) bucket->problem = versioned.error().message;
  Result<std::vector<aws::s3::ReplicationRule>> rules = co_await aws::s3::GetBucketReplication(client, place, timeout);
  if (rules.ok()) bucket->rules = *std::move(rules);
  if (!rules) bucket->problem += (bucket->problem.empty() ? "" : "; ") + rules.error().message;
}

/// The endpoints of the cluster whose controls the name's checks follow.
Task<> ReadControls(Client& client, AwsSurvey* survey, Duration timeout) {
  std::string panel;
  for (const auto& [id, check] : survey->checks) {
    if (panel.empty()) panel = aws::control_config::PanelOfControl(check.routing_control);
  }
  if (panel.empty()) co_return;
  Result<std::string> cluster = co_await aws::control_config::ClusterOfPanel(client, panel, timeout);
  if (!cluster) {
    survey->control_problem = cluster.error().message;
    co_return;
  }
  Result<std::map<std::string, std::string>> endpoints = co_await aws::control_config::EndpointsOf(client, *cluster, timeout);
  if (endpoints.ok()) survey->control_endpoints = *std::move(endpoints);
  if (!endpoints) survey->control_problem = endpoints.error().message;
}

std::string Sizes(std::uint64_t desired, std::uint64_t least, std::uint64_t most) {
  return "wants " + std::to_string(desired) + ", of " + std::to_string(least) + " to " + std::to_string(most);
}

Task<> ReadGroup(Client& client, SurveyedGroup* group, Duration timeout) {
  const std::string region = group->group.region.text;
  const std::string name = group->group.name;
  const std::string parent = name.substr(0, name.find('/'));
  const std::string child = name.find('/') == std::string::npos ? std::string() : name.substr(name.find('/') + 1);
  if (group->group.kind != AwsComputeKind::kAutoScaling && (parent.empty() || child.empty())) {
    group->problem = "it is not written as 'cluster/service' or 'cluster/nodegroup'";
    co_return;
  }
  switch (group->group.kind) {
    case AwsComputeKind::kAutoScaling: {
      Result<aws::autoscaling::Group> seen = co_await aws::autoscaling::DescribeGroup(client, region, name, timeout);
      if (!seen) {
        group->problem = seen.error().message;
        co_return;
      }
      group->seen = Sizes(seen->sizes.desired, seen->sizes.least, seen->sizes.most);
      group->target_groups = seen->target_groups;
      co_return;
    }
    case AwsComputeKind::kEcs: {
      Result<aws::ecs::Service> seen = co_await aws::ecs::DescribeService(client, region, parent, child, timeout);
      if (!seen) {
        group->problem = seen.error().message;
        co_return;
      }
      group->seen = "wants " + std::to_string(seen->desired) + " tasks";
      group->target_groups = seen->target_groups;
      co_return;
    }
    case AwsComputeKind::kEks: {
      Result<aws::eks::Nodegroup> seen = co_await aws::eks::DescribeNodegroup(client, region, parent, child, timeout);
      if (!seen) {
        group->problem = seen.error().message;
        co_return;
      }
      group->seen = Sizes(seen->sizes.desired, seen->sizes.least, seen->sizes.most);
      co_return;
    }
  }
}

Task<> ReadTopic(Client& client, SurveyedTopic* topic, Duration timeout) {
  const std::string region = aws::rds::RegionOfArn(topic->arn);
  if (region.empty()) {
    topic->problem = "it is no ARN that names a region";
    co_return;
  }
  Result<aws::sns::Topic> seen = co_await aws::sns::GetTopic(client, region, topic->arn, timeout);
  if (seen.ok()) topic->subscribers = seen->subscribers;
  if (!seen) topic->problem = seen.error().message;
}

/// Whether a subscription to events of RDS tells of this cluster.
bool Hears(const aws::rds::EventSubscription& one, const std::string& cluster) {
  if (!one.enabled || (!one.source_type.empty() && one.source_type != "db-cluster" && one.source_type != "db-instance"))
    return false;
  return one.sources.empty() || std::find(one.sources.begin(), one.sources.end(), cluster) != one.sources.end();
}

/// Topics that hear of the clusters already: who gets those events is perhaps who should be told of failovers.
Task<> FindTopics(Client& client, AwsSurvey* survey, Duration timeout) {
  const std::size_t clusters = survey->clusters.size();
  for (std::size_t at = 0; at < clusters; ++at) {
    const SurveyedCluster& cluster = survey->clusters[at];
    if (!cluster.cluster) continue;
    const std::string region = cluster.region.text;
    Result<std::vector<aws::rds::EventSubscription>> all = co_await aws::rds::DescribeEventSubscriptions(client, region, timeout);
    if (!all) {
      survey->problems.push_back("who hears of events of RDS in '" + region + "': " + all.error().message);
      continue;
    }
    for (const aws::rds::EventSubscription& one : *all) {
      const bool known = std::any_of(survey->topics.begin(), survey->topics.end(),
                                     [&](const SurveyedTopic& topic) { return topic.arn == one.topic; });
      if (known || !Hears(one, aws::rds::NameOfArn(survey->clusters[at].arn))) continue;
      SurveyedTopic topic;
      topic.arn = one.topic;
      topic.hears = one.name;
      survey->topics.push_back(std::move(topic));
    }
  }
}

Task<> ReadAlarm(Client& client, SurveyedAlarm* alarm, Duration timeout) {
  const std::vector<std::string> names(1, alarm->name);
  Result<std::vector<aws::cloudwatch::Alarm>> seen =
      co_await aws::cloudwatch::DescribeAlarms(client, alarm->region.text, names, timeout);
  if (!seen) {
    alarm->problem = seen.error().message;
  } else if (seen->empty()) {
    alarm->problem = "there is no such alarm";
  } else {
    alarm->state = seen->front().state;
  }
}

Task<> ReadSecret(Client& client, const AwsSurvey& survey, SurveyedSecret* secret, Duration timeout) {
  for (const SurveyedCluster& each : survey.clusters) {
    const RegionName region = each.region;
    Result<aws::secretsmanager::Secret> seen =
        co_await aws::secretsmanager::DescribeSecret(client, region.text, secret->name, timeout);
    if (!seen) secret->problems[region] = seen.error().message;
    if (seen.ok() && seen->primary_region.empty()) secret->problems[region] = "it is replicated with no other region";
  }
}

/// What is named beside the database.
Task<> ReadNeighbours(Client& client, const AwsSurveyRequest& request, AwsSurvey* survey, Duration timeout) {
  for (const AwsSurveyRequest::Group& named : request.groups) {
    SurveyedGroup group;
    group.group = named;
    co_await ReadGroup(client, &group, timeout);
    survey->groups.push_back(std::move(group));
  }
  for (const std::string& arn : request.topics) {
    SurveyedTopic topic;
    topic.arn = arn;
    co_await ReadTopic(client, &topic, timeout);
    survey->topics.push_back(std::move(topic));
  }
  co_await FindTopics(client, survey, timeout);
  for (const auto& [region, name] : request.alarms) {
    SurveyedAlarm alarm;
    alarm.region = region;
    alarm.name = name;
    co_await ReadAlarm(client, &alarm, timeout);
    survey->alarms.push_back(std::move(alarm));
  }
  for (const std::string& name : request.secrets) {
    SurveyedSecret secret;
    secret.name = name;
    co_await ReadSecret(client, *survey, &secret, timeout);
    survey->secrets.push_back(std::move(secret));
  }
}

}  // namespace

Result<std::pair<RegionName, std::string>> ParseInRegion(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size() || !IsLabel(text.substr(0, equals)))
    return Fail("'" + text + "' names no region", "write REGION=NAME: eu-west-1=web");
  return std::pair(RegionName(text.substr(0, equals)), text.substr(equals + 1));
}

Task<Result<AwsSurvey>> ReadAws(Client& client, AwsSurveyRequest request, Duration timeout) {
  AwsSurvey survey;
  Result<aws::rds::GlobalCluster> global = co_await FindGlobal(client, request, &survey.problems, timeout);
  if (!global) co_return global.error();
  survey.global = *std::move(global);
  co_await ReadClusters(client, &survey, timeout);
  for (const std::string& region : request.regions) {
    const bool holds = std::any_of(survey.clusters.begin(), survey.clusters.end(),
                                   [&](const SurveyedCluster& each) { return each.region.text == region; });
    const bool known = std::find(survey.others.begin(), survey.others.end(), RegionName(region)) != survey.others.end();
    if (!holds && !known) survey.others.emplace_back(region);
  }
  if (!request.zone.empty()) {
    survey.zone = request.zone;
    survey.name = FullyQualified(request.name);
    co_await ReadZone(client, request.regions.front(), &survey, timeout);
    co_await ReadControls(client, &survey, timeout);
  }
  for (const std::string& name : request.buckets) {
    SurveyedBucket bucket;
    bucket.name = name;
    co_await ReadBucket(client, request.regions.front(), &bucket, timeout);
    survey.buckets.push_back(std::move(bucket));
  }
  co_await ReadNeighbours(client, request, &survey, timeout);
  co_return survey;
}

}  // namespace lifeboat
