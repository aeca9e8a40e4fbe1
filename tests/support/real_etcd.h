#pragma once

// A real etcd cluster for tests: a folder of its own, free ports of 127.0.0.1, one member or several, with TLS and a login
// where asked for. Dies with the test. Thread rule: the thread of the test; starting and stopping block.

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "adapters/http/http_client.h"
#include "lab/etcd_cluster.h"

namespace lifeboat::testing {

struct EtcdSetup {
  int members = 1;
  bool tls = false;
  bool client_certificates = false;  ///< with TLS: members demand one of their clients
  std::string service;               ///< not empty: users root and `lifeboat`, who may use this service's prefix alone
  std::vector<std::string> flags;    ///< more of them, for every member
};

class RealEtcd {
 public:
  static constexpr const char* kUser = "lifeboat";
  static constexpr const char* kPassword = "a password of the tests";

  /// Throws when the cluster does not serve within 20 s.
  explicit RealEtcd(EtcdSetup setup = {});
  ~RealEtcd();
  RealEtcd(const RealEtcd&) = delete;
  RealEtcd& operator=(const RealEtcd&) = delete;

  void Kill(std::size_t member);   ///< SIGKILL, and waits
  void Start(std::size_t member);  ///< and waits until the cluster serves through it
  void Freeze(std::size_t member);
  void Thaw(std::size_t member);

  [[nodiscard]] std::vector<std::string> Endpoints() const;
  [[nodiscard]] HttpTls Tls() const;
  [[nodiscard]] std::filesystem::path folder() const { return folder_; }
  /// The member that leads, once there is one. Throws after 20 s.
  [[nodiscard]] std::size_t Leader() const;

  /// etcdctl, as root where there is a login. Throws unless it succeeds. @return its standard output
  std::string Ctl(const std::string& arguments) const;
  /// Where there is a login: every token that was given out is no longer good.
  void ForgetTokens();
  /// Copies the data of the first member into `file`.
  void Save(const std::string& file) const;
  /// Ends all members, puts `file` in the place of their data, as an operator would, and starts them.
  /// @param token  another one gives the cluster another id
  void Restore(const std::string& file, const std::string& token = "etcd-cluster");

 private:
  struct InFolder {
    std::filesystem::path path;
  };
  /// Only takes its place: whatever fails after it in the other constructor, the destructor ends and removes.
  RealEtcd(EtcdSetup setup, InFolder folder) : setup_(std::move(setup)), folder_(std::move(folder.path)) {}

  void Spawn(std::size_t member);
  [[nodiscard]] bool Serves(std::size_t member) const;
  void AwaitServing(std::size_t member) const;
  void End(std::size_t member, int signal);
  [[nodiscard]] std::string Log(std::size_t member) const;

  EtcdSetup setup_;
  std::filesystem::path folder_;
  std::vector<lab::EtcdMember> members_;
  std::optional<lab::EtcdCertificates> certificates_;
  std::vector<pid_t> pids_;
};

}  // namespace lifeboat::testing
