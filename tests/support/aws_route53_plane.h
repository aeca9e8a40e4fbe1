#pragma once

// Route 53's data plane over an emulator's records and health checks: tests/aws/route53_plane.py, which serves them by a real DNS
// server. Dies with the test. Thread rule: the thread of the test; its calls block.

#include <map>
#include <string>

#include "base/types.h"
#include "support/real_aws.h"

namespace lifeboat::testing {

class Route53Plane {
 public:
  /// @param dns  of a server that has the zones and takes updates with this key
  Route53Plane(const RealAws& aws, const Endpoint& dns, const std::string& key_name, const std::string& key_algorithm,
               const Secret& secret);
  ~Route53Plane();

  /// The share of a health check's checkers that reach nothing from now on.
  void Blind(const std::map<std::string, double>& shares);
  /// {"rounds", "checks": {id: {"healthy", "checkers_healthy", "checkers"}}, "answers": {"name type": [value]}, "problem"}
  [[nodiscard]] Json State() const;

 private:
  AwsProgram program_;
};

}  // namespace lifeboat::testing
