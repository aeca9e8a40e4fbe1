#pragma once

// What lifeboat.yaml says of backups: where they lie, who looks at them, how often, how far, and what they are judged against.
// Read by the command line and by the agent of the region named. Thread rule: plain values.

#include <string>
#include <vector>

#include "base/time.h"
#include "base/types.h"

namespace lifeboat {

/// What lies at a source's path.
enum class BackupKind {
  kAuto,        ///< told by what is there
  kPgBackRest,  ///< a pgBackRest repository
  kBaseBackup,  ///< what pg_basebackup wrote: folders or tar files
  kWal,         ///< a folder of WAL
  kDump,        ///< what pg_dump wrote
  kRds,         ///< snapshots of an RDS instance or of an Aurora cluster
};

/// A question to the restored database, with the answer that a good backup gives.
struct BackupSqlCheck {
  std::string name;
  std::string database;
  std::string sql;     ///< one statement; the first column of its first row is the answer
  std::string expect;  ///< as text
};

/// How often the agent looks, and how far up the ladder.
struct BackupSchedule {
  Duration every{0};          ///< between the starts of two verifications; 0: never by itself
  int level = 3;              ///< 0 to 3
  Duration restore_every{0};  ///< between the starts of two restores; 0: never by itself
  int restore_level = 6;      ///< 4 to 6
  Duration deadline{0};       ///< a run that takes longer is ended
};

/// What is promised of a source. 0: nothing is.
struct BackupObjectives {
  Duration backup_age{0};    ///< of the newest backup
  Duration verified_age{0};  ///< of the newest backup that was verified
  Duration rto{0};           ///< from the start of a restore to the first verified query
  Duration rpo{0};           ///< what a restore to the newest moment would lose
};

/// How a bucket is reached. "": as the environment says.
struct BackupStore {
  std::string region;
  std::string endpoint;  ///< "https://host[:port]", asked by path; "": AWS's own
  std::string ca_file;   ///< certificates that the endpoint's is checked by; "": AWS_CA_BUNDLE, else the system's
  std::string profile;   ///< of AWS's shared files: a role that only reads; "": the usual chain
};

/// A second bucket in which every object of the first must lie.
struct BackupReplica {
  std::string path;  ///< "s3://bucket/prefix"; "": none is promised
  BackupStore store;
  Duration lag{0};  ///< how long an object may be on its way
};

/// Where snapshots of RDS must lie, and into what they are restored to be looked at. "": as RDS chooses.
struct BackupRds {
  std::vector<std::string> regions;  ///< AWS regions, in each of which a usable snapshot must lie; never empty with kind kRds
  std::string restore_region;        ///< "": the last of `regions`
  std::string instance_class;        ///< of the temporary instance
  std::string subnet_group;
  std::string parameter_group;  ///< for a cluster: of the cluster
  std::vector<std::string> security_groups;
  std::string user;      ///< of the database; "": the source's master user
  Duration patience{0};  ///< until RDS must say that it is available
};

/// One place where backups lie.
struct BackupSourceSettings {
  std::string name;
  RegionName region;  ///< whose agent looks
  BackupKind kind = BackupKind::kAuto;
  std::string path;   ///< absolute, "s3://bucket/prefix", or "rds:name" of an instance or cluster
  std::string wal;    ///< archive folder beside base backups, written likewise; may be empty
  BackupStore store;  ///< of what begins with s3://
  BackupReplica replica;
  BackupRds rds;                 ///< of what begins with rds:
  bool locked = false;           ///< its buckets must keep versions and have Object Lock
  std::string stanza;            ///< pgBackRest; "": the only one
  std::string cipher_pass_file;  ///< pgBackRest, 0600; "": not encrypted
  unsigned threads = 2;
  ByteCount read_rate;        ///< stored bytes a second; 0: no limit
  unsigned rolling_part = 1;  ///< of what is known to be good, rolling_part of rolling_of is read again each run
  unsigned rolling_of = 7;
  bool gate = false;  ///< an unverified source makes its service not ready
  BackupSchedule schedule;
  std::string scratch_folder;  ///< absolute; "": no restores
  ByteCount scratch_limit;     ///< of what a restore may take; 0: what is free
  std::string bin_directory;   ///< PostgreSQL's programs for the restore
  BackupObjectives objectives;
  std::vector<BackupSqlCheck> checks;
};

}  // namespace lifeboat
