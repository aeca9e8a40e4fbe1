#include "cli/aws_survey.h"

#include <algorithm>

#include "adapters/aws/s3_place.h"
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
  std::stable_partition(survey->clusters.begin(), survey->clusters.end(), [](const SurveyedCluster& each) { return each.is_writer; });
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
    Result<aws::route53::HealthCheck> check =
        co_await aws::route53::GetHealthCheck(client, region, record.health_check, timeout);
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

}  // namespace

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
  }
  for (const std::string& name : request.buckets) {
    SurveyedBucket bucket;
    bucket.name = name;
    co_await ReadBucket(client, request.regions.front(), &bucket, timeout);
    survey.buckets.push_back(std::move(bucket));
  }
  co_return survey;
}

}  // namespace lifeboat
