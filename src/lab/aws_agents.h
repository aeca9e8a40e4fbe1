#pragma once

// Three agents of a service whose database AWS runs, on this machine: its configuration, its token, a free port for each, and
// processes that end with this object. For the demo and for measurements; what stands in for AWS is theirs. Thread rule: one
// thread; blocks.

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "lab/agents.h"
#include "lab/layout.h"
#include "model/policy.h"

namespace lifeboat::lab {

/// A port of 127.0.0.1 that is free for TCP and UDP at this moment. @error kFail: there is none
[[nodiscard]] Result<std::uint16_t> FreePort();

/// A process that is ended with this object, by its pid. Its output goes to a file.
class OwnProcess {
 public:
  /// @error as SpawnDetached
  [[nodiscard]] static Result<std::unique_ptr<OwnProcess>> Begin(std::vector<std::string> argv,
                                                                 std::map<std::string, std::string> environment,
                                                                 const std::filesystem::path& log);
  ~OwnProcess() { End(); }
  OwnProcess(const OwnProcess&) = delete;
  OwnProcess& operator=(const OwnProcess&) = delete;
  void End();
  /// SIGTERM, so that it can end what it has started and remove its own; SIGKILL after `patience`. Blocks.
  void EndKindly(Duration patience);
  /// Its first line where it has ended by itself; nothing while it lives.
  [[nodiscard]] std::optional<std::string> EndedWith() const;
  /// Leaves it running. @return its pid
  [[nodiscard]] pid_t Leave() { return std::exchange(pid_, -1); }
  /// The numbers of its first line, once it has said them: the ports of a server of tests/aws.
  /// @error kRetry: not within a minute; kFail: the line holds none, or patience ended
  [[nodiscard]] Result<std::vector<std::uint16_t>> Ports(const Patience& patience) const;

 private:
  OwnProcess(pid_t pid, std::filesystem::path log) : pid_(pid), log_(std::move(log)) {}
  pid_t pid_;
  std::filesystem::path log_;
};

struct AwsAgentsOptions {
  std::filesystem::path folder;   ///< is there, and ours
  std::filesystem::path program;  ///< the lifeboat to run
  std::string url;                ///< of what stands in for AWS
  std::string access_key;
  std::string secret_key;
  std::string global_cluster;
  std::map<std::string, std::string> members;  ///< region → ARN of its cluster
  std::string witness;
  Duration failover_after = std::chrono::seconds(10);
  Objectives objectives{std::chrono::minutes(5), std::chrono::minutes(3)};
  std::string more;  ///< further lines of the section 'aws', indented by two
};

class AwsAgents {
 public:
  explicit AwsAgents(AwsAgentsOptions options) : options_(std::move(options)) {}
  /// Configuration and token. @error kFail: no free port, the folder cannot be written to
  [[nodiscard]] Result<Unit> Prepare();
  [[nodiscard]] Result<Unit> Start(const std::string& region);
  void Stop(const std::string& region) { agents_.erase(region); }
  /// Leaves them running. @return their pids
  [[nodiscard]] std::vector<pid_t> Leave();
  /// For AskAgent, AskAny and what is built on them.
  [[nodiscard]] const LabInfo& lab() const { return lab_; }
  /// Waits until the service is healthy with its writer in `writer` ("": anywhere). @error kRetry: not within `timeout`, and what
  /// it is instead; kFail: patience ended, or an agent ended by itself, in its own words
  [[nodiscard]] Result<Json> AwaitHealthy(const std::string& writer, Duration timeout, const Patience& patience) const;

 private:
  [[nodiscard]] std::string ConfigText() const;
  AwsAgentsOptions options_;
  LabInfo lab_;
  std::map<std::string, std::unique_ptr<OwnProcess>> agents_;
};

}  // namespace lifeboat::lab
