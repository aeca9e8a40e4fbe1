#pragma once

// What tests of backups share: a verification in one call, its findings as text, and damage to files of a cheap copy.
// Thread rule: one thread.

#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "adapters/backups/verify.h"

namespace lifeboat::testing_support {

/// A copy that a test may damage, beside its original; removed with it. Files are links: ReplaceFile and its kin make a new
/// file and never write into the original.
class BackupCopy {
 public:
  explicit BackupCopy(const std::filesystem::path& of);
  ~BackupCopy() { std::filesystem::remove_all(folder_); }
  BackupCopy(const BackupCopy&) = delete;
  BackupCopy& operator=(const BackupCopy&) = delete;
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path folder_;
};

struct VerifyQuestion {
  std::filesystem::path path;
  const char* pass = nullptr;  ///< null: not encrypted
  std::filesystem::path wal;   ///< an archive beside base backups
  backup::VerifyOptions options;
};
/// Opens and verifies; a test fails when that cannot be done.
backup::Verified VerifyAt(const VerifyQuestion& question);
backup::Verified VerifyAt(const std::filesystem::path& path, const char* pass = nullptr,
                          backup::Level level = backup::Level::kPages, const std::filesystem::path& wal = {});

/// Every finding, a line each.
std::string Told(const backup::Verified& verified);
/// "F09", "F12".
std::set<std::string> NumbersOf(const backup::Verified& verified);

/// Regular files below `folder` that are wanted, sorted.
std::vector<std::filesystem::path> FilesOf(const std::filesystem::path& folder,
                                           const std::function<bool(const std::string&)>& wanted);

/// The file's bytes, as they are stored, or decompressed by its name's ending.
std::string Slurp(const std::filesystem::path& file);
std::string Unpacked(const std::filesystem::path& file);

// Damage: each puts a new file in the place of the old one.
void ReplaceFile(const std::filesystem::path& file, const std::string& content);
void CutFile(const std::filesystem::path& file, std::size_t size);
/// Turns one bit around. @param where  as a share of the size
void FlipBit(const std::filesystem::path& file, double where = 0.5);

}  // namespace lifeboat::testing_support
