#pragma once

// An Aurora global database in an emulator: two regions with a cluster and an instance each, made past the road, a new one for each
// test. Thread rule: the thread of the test.

#include <boost/asio/io_context.hpp>
#include <memory>
#include <stdexcept>
#include <string>

#include "adapters/aws/aurora_global.h"
#include "adapters/aws/protocol.h"
#include "support/aws_client.h"
#include "support/real_aws.h"
#include "support/run_task.h"

namespace lifeboat::testing {

/// The writer's region, and the other one. moto keeps global clusters in us-east-1 and detaches only what is there.
inline std::string WriterRegion(AwsEmulator emulator) { return emulator == AwsEmulator::kMoto ? "eu-west-1" : "us-east-1"; }
inline std::string OtherRegion(AwsEmulator emulator) { return emulator == AwsEmulator::kMoto ? "us-east-1" : "eu-west-1"; }

/// A global database of its own for each test, made past the road.
class AuroraWorld {
 public:
  /// `version_of_two`: of the secondary, which the emulator alone may take for another one.
  explicit AuroraWorld(AwsEmulator emulator, const std::string& version_of_two = "17.7")
      : one(WriterRegion(emulator)), two(OtherRegion(emulator)), emulator_(emulator) {
    Make(one, "CreateGlobalCluster",
         {{"GlobalClusterIdentifier", name}, {"Engine", "aurora-postgresql"}, {"EngineVersion", "17.7"}});
    for (const std::string& region : {one, two}) {
      const std::string cluster = ClusterOf(region);
      aws::QueryParameters parameters = {{"DBClusterIdentifier", cluster},
                                         {"Engine", "aurora-postgresql"},
                                         {"EngineVersion", region == one ? std::string("17.7") : version_of_two},
                                         {"GlobalClusterIdentifier", name}};
      if (region == one) parameters.Text("MasterUsername", "lifeboat").Text("MasterUserPassword", "not-a-secret-1");
      Make(region, "CreateDBCluster", parameters);
      Make(region, "CreateDBInstance",
           {{"DBInstanceIdentifier", cluster + "-a"},
            {"DBClusterIdentifier", cluster},
            {"Engine", "aurora-postgresql"},
            {"DBInstanceClass", "db.r6g.large"}});
      const auto described = Await(context, aws::rds::DescribeDbCluster(*maker_, region, cluster, 30s));
      if (!described) throw std::runtime_error(described.error().Text());
      database.clusters[RegionName(region)] = described->arn;
    }
    database.id = name;
  }

  /// A datum of Aurora's own reporting: AWS refuses its namespace, the emulators take it. `at`: when it was measured; empty: now.
  void ReportLag(const std::string& region, double milliseconds, std::optional<WallTime> at = {}) {
    aws::QueryParameters datum = {{"Namespace", "AWS/RDS"},
                                  {"MetricData.member.1.MetricName", "AuroraGlobalDBRPOLag"},
                                  {"MetricData.member.1.Dimensions.member.1.Name", "DBClusterIdentifier"},
                                  {"MetricData.member.1.Dimensions.member.1.Value", ClusterOf(region)},
                                  {"MetricData.member.1.Value", std::to_string(milliseconds)}};
    if (at) datum.Text("MetricData.member.1.Timestamp", FormatWallTime(*at));
    aws::Call call = aws::QueryCall({"monitoring", "2010-08-01"}, region, "PutMetricData", datum, aws::Effect::kOnce);
    const auto reply = Await(context, maker_->Send(std::move(call), 30s));
    if (!reply) throw std::runtime_error(reply.error().Text());
  }
  [[nodiscard]] std::string ClusterOf(const std::string& region) const { return name + (region == one ? "-1" : "-2"); }
  [[nodiscard]] std::string Writer() {
    const auto global = Await(context, aws::rds::DescribeGlobalCluster(*maker_, two, name, 30s));
    return global.ok() ? aws::rds::RegionOfArn(aws::WriterOf(*global)) : global.error().Text();
  }

  const std::string one;
  const std::string two;
  boost::asio::io_context context;
  const std::string name = "orders-" + RandomHex(4);
  aws::GlobalDatabase database;

 private:
  void Make(const std::string& region, const std::string& action, const aws::QueryParameters& parameters) {
    aws::Call call = aws::QueryCall({"rds", "2014-10-31"}, region, action, parameters, aws::Effect::kOnce);
    const auto reply = Await(context, maker_->Send(std::move(call), 30s));
    if (!reply) throw std::runtime_error(reply.error().Text());
  }
  AwsEmulator emulator_;
  std::shared_ptr<aws::Client> maker_ = MakeAwsClient(context, {{"*", SharedAws(emulator_).Url()}});
};

}  // namespace lifeboat::testing
