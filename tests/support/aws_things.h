#pragma once

// What runs around a service's database, made in an emulator past the road: groups of machines, ECS services, functions, topics
// with a listener, event buses, alarms, buckets. Whatever cannot be made throws. Thread rule: the thread of the test.

#include <boost/asio/io_context.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "adapters/aws/protocol.h"
#include "base/json.h"
#include "ports/compute.h"
#include "support/aws_client.h"

namespace lifeboat::testing {

class AwsThings {
 public:
  /// @param urls  as aws::Endpoints::set
  AwsThings(boost::asio::io_context& context, std::map<std::string, std::string> urls);

  /// An Auto Scaling group of machines that start at once.
  void MakeGroup(const std::string& region, const std::string& name, const ComputeSizes& sizes);
  void ResizeGroup(const std::string& region, const std::string& name, const ComputeSizes& sizes);
  [[nodiscard]] ComputeSizes SizesOfGroup(const std::string& region, const std::string& name);
  [[nodiscard]] std::string MakeTargetGroup(const std::string& region);
  /// As the machines' own start would do it.
  void Register(const std::string& region, const std::string& target_group, const std::string& group);

  /// An ECS service "name/web" with its bounds.
  void MakeService(const std::string& region, const std::string& name, const ComputeSizes& sizes);
  void BoundService(const std::string& region, const std::string& name, std::uint64_t least, std::uint64_t most);
  [[nodiscard]] ComputeSizes SizesOfService(const std::string& region, const std::string& name);

  /// A function that answers {"warmed": execution}, or fails with "no such tenant".
  void MakeFunction(const std::string& region, const std::string& name, bool fails = false);

  struct Topic {
    std::string arn;
    std::string region;
    std::string queue;  ///< URL of its one listener
  };
  [[nodiscard]] Topic MakeTopic(const std::string& region, const std::string& name);
  /// What it was told and was not heard yet: bodies of notices, in their order.
  [[nodiscard]] std::vector<Json> Heard(const Topic& topic);
  void MakeBus(const std::string& region, const std::string& name);

  void MakeAlarm(const std::string& region, const std::string& name);
  /// "OK", "ALARM", "INSUFFICIENT_DATA".
  void SetAlarm(const std::string& region, const std::string& name, const std::string& state, const std::string& reason);

  /// A bucket with versions.
  void MakeBucket(const std::string& region, const std::string& name);
  void CopyBucket(const std::string& region, const std::string& from, const std::string& to);

 private:
  std::string Send(aws::Call call);
  std::string Query(const aws::QueryService& service, const std::string& region, const std::string& action,
                    const aws::QueryParameters& parameters);
  Json JsonOf(const std::string& service, const std::string& target, const std::string& region, const Json& body);
  void Bucket(const std::string& region, const std::string& bucket, const std::string& query, const std::string& body);

  boost::asio::io_context& context_;
  std::shared_ptr<aws::Client> client_;
};

}  // namespace lifeboat::testing
