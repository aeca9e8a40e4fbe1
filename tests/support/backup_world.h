#pragma once

// A small PostgreSQL with a plain WAL archive and base backups, made once for a program's tests. What tests damage are copies.
// Thread rule: one thread.

#include <filesystem>
#include <string>

#include "support/real_postgres.h"

namespace lifeboat::testing_support {

/// The server's life: monday's backup; two restores of it, each of which became a timeline 2 of its own; more commits; tuesday's.
struct BackupWorld {
  BackupWorld();

  PostgresLab lab;
  DatabaseSettings server;
  std::filesystem::path monday;       ///< a folder with one backup, "monday", whose WAL is in the archive
  std::filesystem::path both;         ///< a folder with "monday" and "tuesday"; tuesday brought its own WAL
  std::filesystem::path tar;          ///< a folder with "wednesday", in tar files, SHA-256
  std::filesystem::path archive;      ///< plain segments of timeline 1
  std::filesystem::path early;        ///< the same, as it was before timeline 2 was made
  std::filesystem::path branch;       ///< timeline 2, made from the end of `early`, by a restore that archives
  std::filesystem::path late_branch;  ///< another one, made after everything else, from a position before tuesday
  std::string heap;  ///< path of a table's file within the data directory, of its primary key, and of another table
  std::string index;
  std::string other_heap;
  std::string foreign_control;  ///< global/pg_control of another cluster

  void Sql(const std::string& sql) const;

 private:
  void BaseBackup(const std::filesystem::path& to, std::vector<std::string> more) const;
  std::filesystem::path RestoreAsTimelineTwo(const std::string& name, const std::string& target,
                                             const std::filesystem::path& from) const;
  std::filesystem::path space_;
};

/// A new folder beside `like`, with links to the files of `folders`, one after the other. Removed by whoever made it.
std::filesystem::path Merge(const std::vector<std::filesystem::path>& folders);

/// Makes the backup_manifest in `folder` true again for what lies there now: sizes, hashes (CRC32C) and its own checksum; files
/// that are gone leave it. So the backup is a faithful copy of a source that was like that.
void SignManifest(const std::filesystem::path& folder);

/// Writes `content` over a relation's block, with the checksum that its place demands.
void WritePage(const std::filesystem::path& file, std::uint32_t block, std::string content);

}  // namespace lifeboat::testing_support
