#pragma once

// Where a service of a region is, and how a request to it is signed.
//
// What was set by hand comes first: settings, then AWS_ENDPOINT_URL_<SERVICE>, then AWS_ENDPOINT_URL; then AWS's own names by
// partition. A region that stands with the service in the settings ("rds/eu-west-1") beats the service alone.
// Thread rule: pure functions and plain values.
// @source AWS SDKs and Tools Reference Guide, "Service-specific endpoints"; the endpoint rules of botocore 1.43

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace lifeboat::aws {

/// A variable of the environment; nothing: not set, or empty.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;
/// The process's own.
[[nodiscard]] Environment EnvironmentOfTheProcess();

struct ServiceEndpoint {
  std::string url;           ///< "https://rds.eu-west-1.amazonaws.com", without a slash at the end
  std::string sign_region;   ///< the region of the signature: us-east-1 for Route 53, wherever it is asked from
  std::string sign_service;  ///< "rds"; "route53-recovery-cluster"
  bool by_hand = false;      ///< set, not derived: there is no telling what other names lead to it
};

/// The part of AWS that a region belongs to. @error kFail: the name is not that of a region
struct Partition {
  std::string name;           ///< "aws", "aws-cn", "aws-us-gov", …
  std::string dns_suffix;     ///< "amazonaws.com"
  std::string global_region;  ///< where its Route 53 is signed for
};
[[nodiscard]] Result<Partition> PartitionOf(std::string_view region);

struct Endpoints {
  /// "rds", "rds/eu-west-1", "*/eu-west-1" or "*" → URL.
  std::map<std::string, std::string> set;

  /// `set` with what the environment says added where nothing stands yet. AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true: nothing is.
  void Add(const Environment& environment);
  /// The same for one service by its id in a shared config file: "rds", "route_53". Unknown ids are read over.
  void AddService(const std::string& id, const std::string& url);
  /// @error kFail: the region's name cannot be one, or the URL that was set is none
  [[nodiscard]] Result<ServiceEndpoint> Of(const std::string& service, const std::string& region) const;
};

}  // namespace lifeboat::aws
