#pragma once

// What reads the bytes of a dump: a custom file's blocks, a tar file's entries, files one by one.
// Thread rule: as SetReader.

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/backups/folder.h"
#include "adapters/backups/source.h"
#include "backup/pg_dump.h"

namespace lifeboat::backup {

inline constexpr std::size_t kDumpTail = 1024;  ///< of a script: its last words lie there

/// By the file's ending.
[[nodiscard]] Compression CompressionOfDump(const std::filesystem::path& file);

/// Walks a custom dump's data from its first block to its end.
[[nodiscard]] std::unique_ptr<SetReader> ReadCustomDump(std::shared_ptr<Folder> in, std::filesystem::path file,
                                                        std::uint64_t stored, DumpContents contents);
/// Walks a tar dump from its first entry to its end mark. @param expected  the files that the table of contents lists
[[nodiscard]] std::unique_ptr<SetReader> ReadTarDump(std::shared_ptr<Folder> in, std::filesystem::path file, std::uint64_t stored,
                                                     std::set<std::string> expected);

struct DumpFile {
  std::string path;
  std::filesystem::path file;
  std::uint64_t stored = 0;
  bool script = false;  ///< its last words are looked at too
};
/// Files that are decompressed one by one.
[[nodiscard]] std::unique_ptr<SetReader> ReadDumpFiles(std::shared_ptr<Folder> in, std::vector<DumpFile> files);

/// A list of large objects names their files: "16391 blob_16391.dat".
void TakeLargeObjects(std::string_view list, std::set<std::string>& files);

/// The entries of a tar dump against its table of contents, and against its lists of large objects.
class TarMembers {
 public:
  explicit TarMembers(std::set<std::string> expected) : expected_(std::move(expected)) {}

  void Begin(const std::string& name) {
    seen_.insert(name);
    is_list_ = name.starts_with("blobs") && name.ends_with(".toc");
    if (is_list_) lists_ += '\n';
  }
  /// What the entry holds is to be taken.
  [[nodiscard]] bool IsList() const { return is_list_; }
  void Take(std::string_view bytes) { lists_ += bytes; }
  /// What is wrong when all entries were met; nothing: all is there.
  [[nodiscard]] std::optional<std::string> Missing() const {
    std::set<std::string> expected = expected_;
    TakeLargeObjects(lists_, expected);
    for (const std::string& each : expected) {
      if (seen_.count(each) == 0) return "it does not hold '" + each + "', which its table of contents lists";
    }
    return std::nullopt;
  }

 private:
  std::set<std::string> expected_;
  std::set<std::string> seen_;
  std::string lists_;
  bool is_list_ = false;
};

}  // namespace lifeboat::backup
