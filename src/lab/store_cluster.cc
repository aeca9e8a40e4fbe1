#include "lab/store_cluster.h"

#include "adapters/system/files.h"
#include "lab/etcd_cluster.h"

namespace lifeboat::lab {

namespace fs = std::filesystem;

namespace {

constexpr const char* kUser = "lifeboat";
constexpr const char* kService = "orders";

fs::path SecretsOf(const LabInfo& lab) { return lab.folder / "secrets" / "etcd"; }
fs::path PasswordOf(const LabInfo& lab) { return SecretsOf(lab) / "password"; }

EtcdCertificates CertificatesOf(const LabInfo& lab) {
  const fs::path folder = SecretsOf(lab);
  return {folder / "ca.pem", folder / "member.pem", folder / "member.key"};
}

std::vector<EtcdMember> MembersOf(const LabInfo& lab) {
  std::vector<EtcdMember> members;
  for (const LabRegion& region : lab.regions) {
    members.push_back({region.name.text,
                       lab.FolderOf(region.name.text) / "etcd" / "data",
                       {region.address, lab.etcd_port},
                       {region.address, lab.etcd_peer_port}});
  }
  return members;
}

std::vector<std::string> EndpointsOf(const LabInfo& lab) {
  std::vector<std::string> endpoints;
  for (const EtcdMember& member : MembersOf(lab)) endpoints.push_back(EtcdUrl(member.client, true));
  return endpoints;
}

}  // namespace

Result<Unit> WriteStoreCluster(const LabInfo& lab, const std::optional<RunAs>& owner) {
  if (lab.knobs.store != StoreKind::kEtcd) return Done();
  if (auto made = MakeOwnedFolder(SecretsOf(lab), 0700, owner); !made) return made;
  // On loopback every connection comes from 127.0.0.1, and members compare each other's address with their certificates.
  std::vector<std::string> addresses = {"127.0.0.1"};
  for (const LabRegion& region : lab.regions) {
    addresses.push_back(region.address);
    if (auto made = MakeOwnedFolder(lab.FolderOf(region.name.text) / "etcd", 0700, owner); !made) return made;
  }
  if (auto made = MakeEtcdCertificates(SecretsOf(lab), addresses, owner); !made) return made.error();
  return WriteOwned(PasswordOf(lab), RandomHex(16) + "\n", 0600, owner);
}

std::vector<std::string> StoreMemberCommand(const LabInfo& lab, const std::string& region) {
  const std::vector<EtcdMember> members = MembersOf(lab);
  for (const EtcdMember& member : members) {
    if (member.name == region) return EtcdCommand(member, members, CertificatesOf(lab));
  }
  LIFEBOAT_CHECK(false, "a region that the lab does not have");
  return {};
}

Result<Unit> OpenStoreCluster(const LabInfo& lab, Duration timeout) {
  auto password = ReadSmallFile(PasswordOf(lab).string());
  if (!password) return password.error();
  while (!password->empty() && password->back() == '\n') password->pop_back();
  HttpTls tls;
  tls.ca_file = CertificatesOf(lab).ca.string();
  // Nobody needs root's password again: what the cluster's members hold goes with the lab's folder.
  return EnableEtcdLogin(EndpointsOf(lab), tls, EtcdLogin{kUser, Secret(*password), kService}, Secret(RandomHex(16)), timeout);
}

std::string StoreClusterConfig(const LabInfo& lab) {
  std::string text = "store:\n  kind: etcd\n  endpoints:\n";
  for (const std::string& endpoint : EndpointsOf(lab)) text += "    - " + endpoint + "\n";
  return text + "  user: " + kUser + "\n  password_file: " + PasswordOf(lab).string() +
         "\n  ca_file: " + CertificatesOf(lab).ca.string() + "\n";
}

}  // namespace lifeboat::lab
