#pragma once

// lifeboat backup: what backups there are, whether they are whole, and to which moments they lead.
// Thread rule: the main thread; reading uses threads of its own, which end with the command.

#include <cstdint>
#include <optional>
#include <string>

#include "cli/ask.h"
#include "cli/backup_rds.h"
#include "cli/backup_restore.h"
#include "config/backup_settings.h"

namespace lifeboat {

struct BackupOptions {
  std::string repository;        ///< a pgBackRest repository, a folder of base backups, of WAL, or of dumps; here, or "s3://…"
  std::string s3_region;         ///< of the bucket; "": as the environment says
  std::string s3_endpoint;       ///< of what speaks like S3; "": as the environment says, else AWS
  std::string s3_ca_file;        ///< certificates for that; "": as the environment says, else the system's
  std::string s3_profile;        ///< of AWS's shared files; "": the usual chain
  std::string wal;               ///< archive folder beside base backups; here, or "s3://…"
  std::string stanza;            ///< pgBackRest; "": the only one
  std::string cipher_pass_file;  ///< pgBackRest; "": not encrypted
  std::string set;               ///< a label, "latest", or "": all
  int level = 3;
  unsigned threads = 0;  ///< 0: as many as there are processors

  std::string source;  ///< name of one in lifeboat.yaml; what is given above goes before what that says
  std::string live;    ///< how to reach the running source (libpq); "": the database of the source's region, where it has one
  std::string memory;  ///< file of what earlier runs verified; "": that of the source's agent, where there is one
  bool full = false;   ///< read everything, whatever is known
  std::uint64_t read_rate = 0;                   ///< stored bytes a second; 0: no limit
  std::uint64_t deadline = 0;                    ///< seconds; 0: none
  std::optional<BackupSourceSettings> settings;  ///< of `source`
  RestoreFlags restore;                          ///< levels 4 to 6, and drill
  RdsFlags rds;                                  ///< `repository` is "rds:…"
};

[[nodiscard]] int ListBackups(const CommonOptions& common, const BackupOptions& options);
[[nodiscard]] int VerifyBackups(const CommonOptions& common, const BackupOptions& options);
[[nodiscard]] int ShowWindows(const CommonOptions& common, const BackupOptions& options);

}  // namespace lifeboat
