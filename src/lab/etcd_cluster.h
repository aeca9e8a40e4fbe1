#pragma once

// An etcd cluster for the lab and the tests: the command line of a member, certificates of its own, and the login that Lifeboat
// uses, which may read and write its own prefix and nothing else. Thread rule: any thread; everything blocks.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "adapters/http/http_client.h"
#include "adapters/system/command.h"
#include "base/result.h"
#include "base/types.h"

namespace lifeboat::lab {

struct EtcdMember {
  std::string name;
  std::filesystem::path data;
  Endpoint client;
  Endpoint peer;
};

struct EtcdCertificates {
  std::filesystem::path ca;           ///< what clients trust
  std::filesystem::path certificate;  ///< of every member, for all their addresses, and of clients that need one
  std::filesystem::path key;          ///< 0600
};

/// Makes an authority and one certificate for `addresses` in `folder`: ca.pem, member.pem, member.key. The authority's own
/// key is removed. @error kFail: 'openssl' is not installed, or its words
[[nodiscard]] Result<EtcdCertificates> MakeEtcdCertificates(const std::filesystem::path& folder,
                                                            const std::vector<std::string>& addresses,
                                                            const std::optional<RunAs>& owner);

/// "https://127.77.3.1:2379".
[[nodiscard]] std::string EtcdUrl(const Endpoint& endpoint, bool tls);

/// How to start `member` of the cluster `members`: history is kept for an hour, leaders change within a second.
/// @param certificates  nothing: without TLS
[[nodiscard]] std::vector<std::string> EtcdCommand(const EtcdMember& member, const std::vector<EtcdMember>& members,
                                                   const std::optional<EtcdCertificates>& certificates);

struct EtcdLogin {
  std::string user;
  Secret password;
  std::string service;  ///< whose prefix the user may read and write
};

/// Turns authentication on in a new cluster: user root with a password that nobody keeps unless `root_password` is given, and the
/// login. Waits until the cluster has a leader, at most `timeout`.
[[nodiscard]] Result<Unit> EnableEtcdLogin(const std::vector<std::string>& endpoints, const HttpTls& tls, const EtcdLogin& login,
                                           const Secret& root_password, Duration timeout);

}  // namespace lifeboat::lab
