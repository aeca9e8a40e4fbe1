#pragma once

// A small AWS for measurements, in a process of its own so that its work is not counted: it answers what an agent asks of global
// clusters, in the shapes of RDS's and CloudWatch's API references, counts calls, and can fall silent for a region.
// Thread rule: the parent's functions from one thread; the child has one.

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>

namespace lifeboat::bench {

class AwsServer {
 public:
  /// Forks: nothing else may run in this process yet.
  AwsServer();
  ~AwsServer();
  AwsServer(const AwsServer&) = delete;
  AwsServer& operator=(const AwsServer&) = delete;
  [[nodiscard]] std::string Url() const;
  /// Requests to this region are kept without an answer from now on.
  void Silence(const std::string& region);
  /// Calls that were received, by operation.
  [[nodiscard]] std::map<std::string, std::uint64_t> Calls() const;
  /// Monotonic time at which the first FailoverGlobalCluster was received; 0: none was.
  [[nodiscard]] std::int64_t FirstFailoverNs() const;

 private:
  struct Shared;
  Shared* shared_ = nullptr;  ///< memory of both processes
  pid_t pid_ = -1;
  std::uint16_t port_ = 0;
};

/// Regions of the clusters that it knows: "orders-N" has its writer in the first and its secondary in the second.
inline constexpr const char* kWriterRegion = "eu-west-1";
inline constexpr const char* kOtherRegion = "eu-central-1";
[[nodiscard]] std::string ArnOf(const std::string& global_cluster, const std::string& region);

}  // namespace lifeboat::bench
