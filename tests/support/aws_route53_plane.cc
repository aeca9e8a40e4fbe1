#include "support/aws_route53_plane.h"

namespace lifeboat::testing {

Route53Plane::Route53Plane(const RealAws& aws, const Endpoint& dns, const std::string& key_name, const std::string& key_algorithm,
                           const Secret& secret)
    : program_({AwsScript("route53_plane.py"), "--aws", aws.Url(), "--dns", dns.host, std::to_string(dns.port), "--key",
                key_algorithm + ":" + key_name + ":" + secret.Reveal()}) {}

Route53Plane::~Route53Plane() { PrintLogOfFailure("Route 53's data plane", program_.Log()); }

void Route53Plane::Blind(const std::map<std::string, double>& shares) {
  AwsControl(program_, 0, "PUT", "/blind", Json(shares).dump());
}

Json Route53Plane::State() const { return AwsControl(program_, 0, "GET", "/state", ""); }

}  // namespace lifeboat::testing
