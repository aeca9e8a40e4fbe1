// A name moves by one object in the standby's region: Route 53's data plane over an emulator's records, checks and buckets, and a
// real DNS server that answers. No call to Route 53 is part of the move.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <thread>

#include "adapters/aws/xml.h"
#include "adapters/dns/dns_traffic.h"
#include "support/aws_client.h"
#include "support/aws_route53_plane.h"
#include "support/real_knot.h"
#include "support/run_task.h"

namespace lifeboat::testing {
namespace {

constexpr const char* kStandby = "us-west-2";
constexpr const char* kPrimaryAddress = "192.0.2.1";
constexpr const char* kStandbyAddress = "192.0.2.2";
constexpr const char* kNamespace = "https://route53.amazonaws.com/doc/2013-04-01/";

class Route53PlaneTest : public ::testing::Test {
 protected:
  std::string Send(const std::string& service, const std::string& region, const std::string& method, const std::string& path,
                   const std::string& body, const aws::Pairs& headers = {}) {
    aws::Call call;
    call.headers = headers;
    call.service = service;
    call.region = region;
    call.operation = method + " " + path;
    call.method = method;
    call.path = path;
    call.body = body;
    const Result<aws::Reply> reply = Await(context_, client_->Send(std::move(call), 30s));
    if (!reply) throw std::runtime_error(reply.error().Text());
    return reply->body;
  }
  std::string Route53(const std::string& path, const std::string& root, const std::string& inside) {
    return Send("route53", "us-east-1", "POST", "/2013-04-01/" + path,
                "<" + root + " xmlns=\"" + kNamespace + "\">" + inside + "</" + root + ">");
  }
  std::string MakeCheck(const std::string& inside) {
    const std::string reply =
        Route53("healthcheck", "CreateHealthCheckRequest",
                "<CallerReference>" + RandomHex(8) + "</CallerReference><HealthCheckConfig>" + inside +
                    "<RequestInterval>10</RequestInterval><FailureThreshold>1</FailureThreshold></HealthCheckConfig>");
    const Result<aws::XmlNode> answer = aws::ParseXml(reply, "the health check");
    return (*answer)["HealthCheck"]["Id"].text;
  }
  std::string CheckOnObject(const std::string& object, const std::string& more) {
    return MakeCheck("<Type>HTTPS</Type><ResourcePath>/" + object + "</ResourcePath><FullyQualifiedDomainName>" + bucket_ + ".s3." +
                     kStandby + ".amazonaws.com</FullyQualifiedDomainName>" + more);
  }
  static std::string Half(const std::string& which, const std::string& address, const std::string& check) {
    return "<Change><Action>UPSERT</Action><ResourceRecordSet><Name>" + std::string(RealKnot::kName) +
           "</Name><Type>A</Type><SetIdentifier>" + which + "</SetIdentifier><Failover>" + which +
           "</Failover><TTL>1</TTL><ResourceRecords><ResourceRecord><Value>" + address +
           "</Value></ResourceRecord></ResourceRecords>" + (check.empty() ? "" : "<HealthCheckId>" + check + "</HealthCheckId>") +
           "</ResourceRecordSet></Change>";
  }
  void MakeZone(const std::string& primary_check, const std::string& standby_check) {
    const std::string reply =
        Route53("hostedzone", "CreateHostedZoneRequest",
                "<Name>" + std::string(RealKnot::kZone) + "</Name><CallerReference>" + RandomHex(8) + "</CallerReference>");
    const Result<aws::XmlNode> answer = aws::ParseXml(reply, "the zone");
    Route53((*answer)["HostedZone"]["Id"].text.substr(1) + "/rrset/", "ChangeResourceRecordSetsRequest",
            "<ChangeBatch><Changes>" + Half("PRIMARY", kPrimaryAddress, primary_check) +
                Half("SECONDARY", kStandbyAddress, standby_check) + "</Changes></ChangeBatch>");
  }
  /// Checkers come from the internet and sign nothing: what they are to see is public.
  void Put(const std::string& object) {
    Send("s3", kStandby, "PUT", "/" + bucket_ + "/" + object, "x", {{"x-amz-acl", "public-read"}});
  }
  void Delete(const std::string& object) { Send("s3", kStandby, "DELETE", "/" + bucket_ + "/" + object, ""); }

  bool Serves(const std::string& address) {
    const auto end = std::chrono::steady_clock::now() + 60s;
    while (std::chrono::steady_clock::now() < end) {
      const auto answer = Await(context_, ResolveAddress(context_.get_executor(), knot_.endpoint(), RealKnot::kName, 2s));
      if (answer && *answer == address) return true;
      std::this_thread::sleep_for(10ms);  // between two looks
    }
    ADD_FAILURE() << plane_.State().dump(2);
    return false;
  }
  void AwaitRounds(std::uint64_t rounds) {
    const std::uint64_t from = NumberAt(plane_.State(), "rounds");
    const auto end = std::chrono::steady_clock::now() + 60s;
    while (NumberAt(plane_.State(), "rounds") < from + rounds && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(10ms);
    }
  }

  boost::asio::io_context context_;
  RealAws aws_{AwsEmulator::kMoto};  // the other one forgets that a check is inverted
  std::shared_ptr<aws::Client> client_ = MakeAwsClient(context_, {{"*", aws_.Url()}});
  const std::string bucket_ = "stop-" + RandomHex(6);
  RealKnot knot_;
  const DnsSettings update_ = knot_.ClientSettings();
  Route53Plane plane_{aws_, knot_.endpoint(), update_.key_name, update_.key_algorithm, knot_.secret()};
};

TEST_F(Route53PlaneTest, OneObjectInTheStandbysRegionMovesTheNameAndItsRemovalMovesItBack) {
  // Given the pattern "standby takes over": the primary's check is inverted and looks at an object of the standby's region.
  Send("s3", kStandby, "PUT", "/" + bucket_,
       "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>" + std::string(kStandby) +
           "</LocationConstraint></CreateBucketConfiguration>");
  MakeZone(CheckOnObject("failover", "<Inverted>true</Inverted>"), "");
  ASSERT_TRUE(Serves(kPrimaryAddress));
  Put("failover");
  EXPECT_TRUE(Serves(kStandbyAddress));
  AwaitRounds(20);
  EXPECT_TRUE(Serves(kStandbyAddress)) << "it stays, whatever the primary does";
  Delete("failover");
  EXPECT_TRUE(Serves(kPrimaryAddress));
}

TEST_F(Route53PlaneTest, EightyTwoOfAHundredCheckersMustAgreeAndAllUnhealthyIsThePrimary) {
  Send("s3", kStandby, "PUT", "/" + bucket_,
       "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>" + std::string(kStandby) +
           "</LocationConstraint></CreateBucketConfiguration>");
  Put("primary");
  Put("standby");
  const std::string primary = CheckOnObject("primary", "");
  const std::string standby = CheckOnObject("standby", "");
  MakeZone(primary, standby);
  ASSERT_TRUE(Serves(kPrimaryAddress));
  plane_.Blind({{primary, 13.0 / 16}});  // three of sixteen are more than 18 %
  AwaitRounds(40);
  EXPECT_TRUE(Serves(kPrimaryAddress));
  EXPECT_EQ(NumberAt(plane_.State()["checks"][primary], "checkers_healthy"), 3u);
  plane_.Blind({{primary, 14.0 / 16}});
  EXPECT_TRUE(Serves(kStandbyAddress));
  Delete("standby");
  EXPECT_TRUE(Serves(kPrimaryAddress)) << "both unhealthy: never nothing, and the primary";
}

}  // namespace
}  // namespace lifeboat::testing
