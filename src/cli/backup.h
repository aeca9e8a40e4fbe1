#pragma once

// lifeboat backup: what backups there are, whether they are whole, and to which moments they lead.
// Thread rule: the main thread; reading uses threads of its own, which end with the command.

#include <string>

#include "cli/ask.h"

namespace lifeboat {

struct BackupOptions {
  std::string repository;        ///< a pgBackRest repository, a folder of base backups, or of WAL
  std::string wal;               ///< archive folder beside base backups
  std::string stanza;            ///< pgBackRest; "": the only one
  std::string cipher_pass_file;  ///< pgBackRest; "": not encrypted
  std::string set;               ///< a label, "latest", or "": all
  int level = 3;
  unsigned threads = 0;  ///< 0: as many as there are processors
};

[[nodiscard]] int ListBackups(const CommonOptions& common, const BackupOptions& options);
[[nodiscard]] int VerifyBackups(const CommonOptions& common, const BackupOptions& options);
[[nodiscard]] int ShowWindows(const CommonOptions& common, const BackupOptions& options);

}  // namespace lifeboat
