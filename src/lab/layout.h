#pragma once

// What a lab is made of and where it lies: lab.json, the only thing that all commands of the lab read. The folder is
// the lab's identity; a folder without its marker is never touched.
//
//   <lab>/.lifeboat-lab   marker, placed before anything else; names the lab's own network, if it has one
//   <lab>/lab.json        this description
//   <lab>/lifeboat.yaml   the configuration of all agents and commands
//   <lab>/bin/lifeboat    a copy of the program: the checkout may be unreadable to user postgres
//   <lab>/lib/            a copy of the module lifeboat_gate, where it is built; its gate files lie in /dev/shm
//   <lab>/secrets/        passwords (libpq passfile), TSIG key, token
//   <lab>/clients/        the records of the demo's clients
//   <lab>/dynamodb/       what stands in for DynamoDB, where that is the store
//   <lab>/REGION/         data, socket, state, log, run; knot in the witness region; etcd where that is the store
//
// Thread rule: plain values; functions block on the disk.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "adapters/system/command.h"
#include "base/result.h"
#include "base/types.h"
#include "config/settings.h"
#include "model/policy.h"
#include "model/region.h"

namespace lifeboat::lab {

inline constexpr const char* kMarker = ".lifeboat-lab";
inline constexpr const char* kDatabase = "orders";
inline constexpr const char* kClientUser = "clients";
inline constexpr const char* kDnsZone = "lifeboat.test.";
inline constexpr const char* kDnsName = "orders-db.lifeboat.test.";

struct LabRegion {
  RegionName name;
  RegionKind kind = RegionKind::kData;
  std::string address;  ///< of its own: loopback, or of its namespace
  std::uint16_t agent_port = 0;
  std::string netns;  ///< network namespace; empty: the host's
};

/// What the lab calls its own network where regions live in namespaces (lab/network.h).
struct LabNetwork {
  std::string id;            ///< part of every name
  std::string subnet;        ///< "10.177.S": the first three numbers of all addresses
  std::string bridge;        ///< namespace that holds the bridge and drops what is cut
  std::string host_link;     ///< interface in the host's namespace
  std::string host_address;  ///< of clients and commands
};

/// The store's table in DynamoDB (lab/store_table.h).
struct LabTable {
  std::string endpoint;              ///< URL of what answers for DynamoDB
  std::string name;                  ///< of the lab alone
  std::vector<std::string> regions;  ///< AWS regions of its replicas, the first asked first
  std::uint16_t control = 0;         ///< of the road before the lab's own emulator; 0: the endpoint was given
};

/// What may differ from lab to lab.
struct LabKnobs {
  Duration lease = std::chrono::seconds(3);
  Duration margin = std::chrono::milliseconds(150);
  Duration rto = std::chrono::seconds(5);
  Duration rpo = std::chrono::seconds(5);
  Duration cool_down = std::chrono::seconds(1);
  std::string automation = "act";
  DatabaseFailure database_failure = DatabaseFailure::kRestart;
  StoreKind store = StoreKind::kEmbedded;
  std::string store_endpoint;              ///< DynamoDB: URL; empty: an emulator of the lab's own
  std::vector<std::string> store_regions;  ///< DynamoDB: of the table at that URL; empty: one
  int data_regions = 2;                    ///< 2 or 3
  bool gate = true;  ///< the servers load the module lifeboat_gate; Up turns it off where the module is not built
};

struct LabInfo {
  std::filesystem::path folder;
  std::string version;
  std::string owner;                ///< the user that everything in the lab runs as
  int slot = 0;                     ///< third octet of the addresses
  std::uint16_t postgres_port = 0;  ///< the same in all data regions
  Endpoint dns;
  std::uint16_t etcd_port = 0;       ///< of clients, the same in all regions; 0: the store is embedded
  std::uint16_t etcd_peer_port = 0;  ///< between the members
  std::optional<LabTable> table;     ///< nothing: the store is no DynamoDB
  std::string bin_directory;         ///< of PostgreSQL
  std::vector<LabRegion> regions;
  std::optional<LabNetwork> network;  ///< nothing: all regions share the loopback network
  LabKnobs knobs;

  [[nodiscard]] const LabRegion* Find(const std::string& region) const;
  [[nodiscard]] const LabRegion& Witness() const;
  [[nodiscard]] const LabRegion& FirstPrimary() const;
  [[nodiscard]] std::filesystem::path FolderOf(const std::string& region) const { return folder / region; }
  [[nodiscard]] std::filesystem::path Program() const { return folder / "bin" / "lifeboat"; }
  [[nodiscard]] std::filesystem::path GateModule() const { return folder / "lib" / "lifeboat_gate.so"; }
  [[nodiscard]] std::filesystem::path GateFile(const std::string& region) const { return GateFilePrefix(folder) + region; }
  /// How the names of a lab's gate files begin.
  [[nodiscard]] static std::string GateFilePrefix(const std::filesystem::path& folder);
  [[nodiscard]] std::filesystem::path Config() const { return folder / "lifeboat.yaml"; }
  [[nodiscard]] std::filesystem::path PasswordFile() const { return folder / "secrets" / "pgpass"; }
  [[nodiscard]] std::filesystem::path TokenFile() const { return folder / "secrets" / "token"; }
  [[nodiscard]] std::filesystem::path KeyFile() const { return folder / "secrets" / "tsig.key"; }
  /// libpq connection string of a data region's server over TCP, as `user`.
  [[nodiscard]] std::string Conninfo(const std::string& region, const std::string& user) const;
};

/// What stands in the marker: the names of the lab's own network too, so that Down finds it where all else is broken.
[[nodiscard]] std::string MarkerText(const LabInfo* info);
/// The network that the marker names, and all its namespaces.
[[nodiscard]] std::optional<LabNetwork> ReadNetwork(const std::filesystem::path& folder, std::vector<std::string>& namespaces);

/// $LIFEBOAT_LAB, or /tmp/lifeboat-lab-<uid>.
[[nodiscard]] std::filesystem::path DefaultFolder();

/// Reads <folder>/lab.json. @error kNotFound: there is no lab; kFail: it is half-built or not readable
[[nodiscard]] Result<LabInfo> ReadLab(const std::filesystem::path& folder);

/// True when the folder holds a lab's marker.
[[nodiscard]] bool IsLab(const std::filesystem::path& folder);

[[nodiscard]] std::string LabJson(const LabInfo& info);
/// lifeboat.yaml of this lab.
[[nodiscard]] std::string LabConfig(const LabInfo& info);

/// Whom the lab's processes run as: nothing as an ordinary user (ourselves), user postgres for root.
[[nodiscard]] Result<std::optional<RunAs>> OwnerFor();

/// Makes a file or a folder that belongs to the lab's owner.
[[nodiscard]] Result<Unit> WriteOwned(const std::filesystem::path& path, std::string_view content, unsigned mode,
                                      const std::optional<RunAs>& owner);
[[nodiscard]] Result<Unit> MakeOwnedFolder(const std::filesystem::path& path, unsigned mode, const std::optional<RunAs>& owner);

}  // namespace lifeboat::lab
