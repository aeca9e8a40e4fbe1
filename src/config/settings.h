#pragma once

// lifeboat.yaml, validated and typed. One service a file.

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "config/aws_settings.h"
#include "config/backup_settings.h"
#include "config/fence_settings.h"
#include "config/telemetry_settings.h"
#include "model/policy.h"
#include "model/region.h"

namespace lifeboat {

/// The PostgreSQL server of a data region.
struct DatabaseSettings {
  Endpoint address;            ///< where clients and standbys reach it (an IP address)
  std::string data_directory;  ///< absolute
  std::string bin_directory = "/usr/lib/postgresql/15/bin";
  std::string socket_directory;  ///< absolute, outside the data directory
  std::string log_file;          ///< of the server; default: <state_directory>/postgresql.log
  std::string gate_file;         ///< absolute, in tmpfs: setting lifeboat.gate_file of the module; empty: no gate
};

struct RegionSettings {
  RegionName name;
  RegionKind kind = RegionKind::kData;
  Endpoint agent;                            ///< where its agent listens
  std::string state_directory;               ///< absolute: the agent's durable record, journal, evidence, ledger, guard socket
  std::optional<DatabaseSettings> database;  ///< data regions only
  std::optional<FenceSettings> fence;        ///< data regions only: how others stop its instance; nothing: they do not
};

/// How to log in to every database of the service.
struct LoginSettings {
  std::string database = "postgres";
  std::string superuser = "postgres";  ///< through the local socket and for pg_rewind
  std::string replication_user = "lifeboat_replication";
  std::string canary_user = "lifeboat_canary";
  std::optional<std::string> password_file;  ///< libpq passfile (0600), used for every connection
};

enum class StoreKind { kEmbedded, kEtcd, kDynamoDb };

struct StoreSettings {
  StoreKind kind = StoreKind::kEmbedded;
  RegionName host;                           ///< embedded: the region whose agent hosts it
  std::string file;                          ///< embedded; default: <state_directory of host>/store.sqlite
  std::vector<std::string> endpoints;        ///< etcd: "https://10.0.0.1:2379", one a member; asked in turn
  std::string user;                          ///< etcd; empty: no login
  std::optional<std::string> password_file;  ///< etcd, 0600
  std::string ca_file;                       ///< etcd: certificates that sign its members'; empty: the system's
  std::string certificate_file;              ///< etcd: the client's own; empty: none
  std::string key_file;                      ///< etcd: of certificate_file, 0600
  std::string table;                         ///< dynamodb
  std::vector<std::string> aws_regions;      ///< dynamodb: "eu-west-1": those that hold a replica; asked in turn
};

/// A name that clients follow, kept by RFC 2136 updates.
struct DnsSettings {
  std::string name;  ///< "orders-db.lifeboat.test."; fully qualified, with the final dot
  std::string zone;
  Endpoint server;  ///< the authoritative primary
  std::chrono::seconds ttl{1};
  std::string key_name;  ///< TSIG
  std::string key_algorithm = "hmac-sha256";
  std::string key_file;  ///< holds the base64 secret, 0600
};

struct Settings {
  std::string service;
  Objectives objectives;
  Policy policy;
  LeaseSettings lease;
  StoreSettings store;
  std::vector<RegionSettings> regions;  ///< in the file's order
  RegionName first_primary;             ///< who takes epoch 1 of a service that has no lease item yet
  LoginSettings login;
  DnsSettings dns;
  std::vector<BackupSourceSettings> backups;  ///< in the file's order; names are unique
  std::optional<AwsSettings> aws;             ///< parts that AWS runs; nothing: none
  TelemetrySettings telemetry;
  std::string token_file;      ///< shared token of agents and command line, 0600
  std::filesystem::path file;  ///< where it was read from

  [[nodiscard]] const RegionSettings* Find(const RegionName& region) const;
  /// The backup source of that name, or null.
  [[nodiscard]] const BackupSourceSettings* FindBackups(const std::string& source) const;
};

/// Reads and validates; nothing is started on a bad file.
/// @error kFail: every problem, one a line: "lifeboat.yaml:12: unknown key 'loss_limt'" + "hint: did you mean 'loss_limit'?"
[[nodiscard]] Result<Settings> LoadSettings(const std::filesystem::path& file);

}  // namespace lifeboat
