#include "adapters/aws/endpoint.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include "adapters/aws/encoding.h"

namespace lifeboat::aws {

namespace {

struct PartitionRule {
  std::string_view prefix;  ///< of its regions' names; the first that fits counts
  std::string_view name;
  std::string_view dns_suffix;
  std::string_view global_region;
};

// @source partitions.json of botocore 1.43
constexpr std::array kPartitions{
    PartitionRule{"cn-", "aws-cn", "amazonaws.com.cn", "cn-northwest-1"},
    PartitionRule{"us-gov-", "aws-us-gov", "amazonaws.com", "us-gov-west-1"},
    PartitionRule{"us-iso-", "aws-iso", "c2s.ic.gov", "us-iso-east-1"},
    PartitionRule{"us-isob-", "aws-iso-b", "sc2s.sgov.gov", "us-isob-east-1"},
    PartitionRule{"eu-isoe-", "aws-iso-e", "cloud.adc-e.uk", "eu-isoe-west-1"},
    PartitionRule{"us-isof-", "aws-iso-f", "csp.hci.ic.gov", "us-isof-south-1"},
    PartitionRule{"eusc-", "aws-eusc", "amazonaws.eu", "eusc-de-east-1"},
    PartitionRule{"", "aws", "amazonaws.com", "us-east-1"},
};

/// The last part of AWS_ENDPOINT_URL_…: the service's id in capitals. @source serviceId of botocore's models
struct ServiceId {
  std::string_view service;
  std::string_view variable;
};
constexpr std::array kServiceIds{
    ServiceId{"rds", "RDS"},
    ServiceId{"monitoring", "CLOUDWATCH"},
    ServiceId{"route53", "ROUTE_53"},
    ServiceId{"route53-recovery-cluster", "ROUTE53_RECOVERY_CLUSTER"},
    ServiceId{"route53-recovery-control-config", "ROUTE53_RECOVERY_CONTROL_CONFIG"},
    ServiceId{"s3", "S3"},
    ServiceId{"s3-control", "S3_CONTROL"},
    ServiceId{"sts", "STS"},
    ServiceId{"dynamodb", "DYNAMODB"},
    ServiceId{"application-autoscaling", "APPLICATION_AUTO_SCALING"},
    ServiceId{"autoscaling", "AUTO_SCALING"},
    ServiceId{"ec2", "EC2"},
    ServiceId{"ecs", "ECS"},
    ServiceId{"eks", "EKS"},
    ServiceId{"elasticloadbalancing", "ELASTIC_LOAD_BALANCING_V2"},
    ServiceId{"events", "EVENTBRIDGE"},
    ServiceId{"iam", "IAM"},
    ServiceId{"kms", "KMS"},
    ServiceId{"lambda", "LAMBDA"},
    ServiceId{"secretsmanager", "SECRETS_MANAGER"},
    ServiceId{"servicequotas", "SERVICE_QUOTAS"},
    ServiceId{"sns", "SNS"},
};

bool IsRegionName(std::string_view region) {
  const auto fits = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  return !region.empty() && region.size() <= 32 && std::all_of(region.begin(), region.end(), fits) && region.front() != '-' &&
         region.back() != '-';
}

bool IsUrl(std::string_view url) { return url.starts_with("https://") || url.starts_with("http://"); }

std::string SigningNameOf(const std::string& service) { return service == "s3-control" ? "s3" : service; }

}  // namespace

Environment EnvironmentOfTheProcess() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr || *value == '\0') return std::nullopt;
    return std::string(value);
  };
}

Result<Partition> PartitionOf(std::string_view region) {
  if (!IsRegionName(region)) return Fail("'" + std::string(region) + "' is not the name of an AWS region");
  for (const PartitionRule& rule : kPartitions) {
    if (region.starts_with(rule.prefix)) {
      return Partition{std::string(rule.name), std::string(rule.dns_suffix), std::string(rule.global_region)};
    }
  }
  return Fail("'" + std::string(region) + "' is in no partition of AWS that is known here");
}

void Endpoints::Add(const Environment& environment) {
  if (environment("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").value_or("") == "true") return;
  for (const ServiceId& id : kServiceIds) {
    if (const auto url = environment("AWS_ENDPOINT_URL_" + std::string(id.variable))) set.emplace(id.service, *url);
  }
  if (const auto url = environment("AWS_ENDPOINT_URL")) set.emplace("*", *url);
}

void Endpoints::AddService(const std::string& id, const std::string& url) {
  for (const ServiceId& known : kServiceIds) {
    if (Lower(known.variable) == Lower(id)) set.emplace(known.service, url);
  }
}

Result<ServiceEndpoint> Endpoints::Of(const std::string& service, const std::string& region) const {
  const Result<Partition> partition = PartitionOf(region);
  if (!partition) return partition.error();
  const bool global = service == "route53" || service == "iam";
  ServiceEndpoint endpoint;
  endpoint.sign_region = global ? partition->global_region : region;
  endpoint.sign_service = SigningNameOf(service);
  for (const std::string& key : {service + "/" + region, service, "*/" + region, std::string("*")}) {
    const auto found = set.find(key);
    if (found == set.end()) continue;
    if (!IsUrl(found->second))
      return Fail("the endpoint '" + found->second + "' of '" + key + "' is not a URL", "write https://host");
    endpoint.url = found->second;
    endpoint.by_hand = true;
    while (endpoint.url.ends_with('/')) endpoint.url.pop_back();
    return endpoint;
  }
  if (service == "route53") {
    endpoint.url =
        partition->name == "aws-us-gov" ? "https://route53.us-gov.amazonaws.com" : "https://route53." + partition->dns_suffix;
  } else if (service == "iam") {
    endpoint.url = "https://iam." + partition->dns_suffix;
  } else {
    endpoint.url = "https://" + service + "." + region + "." + partition->dns_suffix;
  }
  return endpoint;
}

}  // namespace lifeboat::aws
