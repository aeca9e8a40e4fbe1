#pragma once

// What stands in for AWS in `lifeboat demo --aws`: two emulators behind a road that can fall silent for a region, a name server
// that Route 53's data plane of the tests serves, and real PostgreSQL servers behind the emulator's global cluster (tests/aws). A
// service in two regions is provisioned in it by AWS's own calls.
//
//   agents ─► road ─┬► ministack: Aurora's control plane, CloudWatch   ◄─ aurora_plane.py: PostgreSQL, its endpoints, its lag
//                   └► moto: Route 53's records and checks, S3         ◄─ route53_plane.py ─► Knot DNS ◄─ clients
//
// Why two emulators: one forgets that a health check is inverted, the other moves no writer (docs/aws.md).
// Life cycle: Open, Provision, and then it runs until the object ends; every process is ended by its pid unless `Leave`.
// Thread rule: one thread; blocks.

#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "adapters/aws/client.h"
#include "adapters/aws/protocol.h"
#include "adapters/system/clock.h"
#include "base/json.h"
#include "lab/aws_agents.h"
#include "lab/faults.h"

namespace lifeboat::lab {

struct AwsStageOptions {
  std::filesystem::path folder;  ///< is there, and ours
  std::string global_cluster;
  std::string writer;   ///< region where the writer is at first
  std::string reader;   ///< region of the other copy
  std::string witness;  ///< region whose folder the name server lies in
  Duration delay{};     ///< by which what the writer sends its reader is held: that much is lost with a region
};

class AwsStage {
 public:
  using Say = std::function<void(const std::string&)>;

  explicit AwsStage(AwsStageOptions options);
  ~AwsStage();
  AwsStage(const AwsStage&) = delete;
  AwsStage& operator=(const AwsStage&) = delete;

  /// Starts all parts. @error kFail: this program is in no checkout, or a part did not start; kRetry: one does not serve
  [[nodiscard]] Result<Unit> Open(const Say& say, const Patience& patience);
  /// Makes the global database, the zone with its pair of failover records, their health checks and buckets, and waits until the
  /// name leads to the writer's region and the other one streams.
  [[nodiscard]] Result<Unit> Provision(const Say& say, const Patience& patience);
  /// Waits until the database's writer is in `region` and another region is its reader. @error kRetry: not within `timeout`
  [[nodiscard]] Result<Unit> AwaitWriter(const std::string& region, Duration timeout, const Patience& patience);

  /// The region is gone: its API and its endpoints keep silence, its servers are killed at one instant.
  [[nodiscard]] Result<KillReport> Lose(const std::string& region);
  /// It is there again: a copy that was failed over from is built anew, as a reader.
  [[nodiscard]] Result<Unit> Return(const std::string& region);
  /// Requests to the region's API that were ever left without an answer.
  [[nodiscard]] std::uint64_t HeldIn(const std::string& region);

  [[nodiscard]] const std::string& url() const { return url_; }
  [[nodiscard]] const std::string& access_key() const { return access_key_; }
  [[nodiscard]] const std::string& secret_key() const { return secret_key_; }
  /// Region → ARN of its cluster.
  [[nodiscard]] const std::map<std::string, std::string>& members() const { return members_; }
  /// Lines of lifeboat.yaml, of section 'aws': the name, and how SQL is asked.
  [[nodiscard]] std::string AgentSettings() const;
  /// As the clients see it: regions at the addresses of their writer endpoints, the name server, passwords.
  [[nodiscard]] LabInfo World(const LabInfo& agents) const;
  /// Of the CA that signed the servers' certificates.
  [[nodiscard]] const std::string& tls_root() const { return tls_root_; }
  /// Where a region can always be read. libpq connection string.
  [[nodiscard]] std::string ReaderConninfo(const LabInfo& world, const std::string& region) const;
  /// The same of its writer endpoint.
  [[nodiscard]] std::string WriterConninfo(const LabInfo& world, const std::string& region) const;
  /// What the data plane says of itself: GET /state of tests/aws/aurora_plane.py.
  [[nodiscard]] Result<Json> Databases();
  /// Leaves all running. @return their pids, the databases' plane first
  [[nodiscard]] std::vector<pid_t> Leave();

 private:
  [[nodiscard]] Result<Unit> OpenEmulators(const Patience& patience);
  [[nodiscard]] Result<Unit> OpenRoad(const Patience& patience);
  [[nodiscard]] Result<Unit> BeginDatabases();
  void WarmUp();
  [[nodiscard]] Result<Unit> OpenNames(const Patience& patience);
  [[nodiscard]] Result<Unit> OpenDatabases(const Patience& patience);
  [[nodiscard]] Result<Unit> MakeDatabase(const Say& say);
  [[nodiscard]] Result<Unit> MakeName();
  [[nodiscard]] Result<Unit> MakeBucket(const std::string& region);
  [[nodiscard]] Result<std::string> MakeCheck(const std::string& region);
  [[nodiscard]] Result<Unit> AwaitName(const Patience& patience);

  [[nodiscard]] Result<std::unique_ptr<OwnProcess>> Begin(const std::string& script, std::vector<std::string> arguments,
                                                          const std::string& log,
                                                          std::map<std::string, std::string> environment = {});
  [[nodiscard]] Result<std::string> Send(aws::Call call);
  [[nodiscard]] Result<Unit> Rds(const std::string& region, const std::string& action, const aws::QueryParameters& parameters);
  [[nodiscard]] Result<std::string> Route53(const std::string& path, const std::string& root, const std::string& inside);
  [[nodiscard]] Result<Json> Control(std::uint16_t port, const char* method, const std::string& path, const Json& body,
                                     Duration timeout);
  template <typename T>
  T Wait(Task<T> task);
  [[nodiscard]] std::string BucketOf(const std::string& region) const;

  const AwsStageOptions options_;
  std::filesystem::path checkout_;
  std::string access_key_ = "AKIALIFEBOATDEMO0000";
  std::string secret_key_ = "a secret of the demo/0123456789abcdefghij";

  boost::asio::io_context io_{1};
  SystemClock clock_;
  std::shared_ptr<aws::Client> client_;
  std::vector<std::unique_ptr<OwnProcess>> processes_;  // in the order of their beginning
  std::unique_ptr<OwnProcess> databases_;

  std::string url_;
  std::string recording_;
  std::string rds_url_;
  std::string s3_url_;
  std::uint16_t road_control_ = 0;
  std::uint16_t databases_control_ = 0;
  std::uint16_t sql_port_ = 0;
  Endpoint dns_;
  std::string zone_;
  std::map<std::string, std::string> members_;
  std::map<std::string, std::string> writers_;  // region → address of its writer endpoint
  std::map<std::string, std::string> readers_;
  std::string tls_root_;
};

}  // namespace lifeboat::lab
