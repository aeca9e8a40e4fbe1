#pragma once

// Where a repository's files lie, a folder of this machine or objects in a store, under one door.
// Thread rule: as Source.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapters/backups/blobs.h"

namespace lifeboat::backup {

class Folder {
 public:
  virtual ~Folder() = default;
  [[nodiscard]] virtual bool remote() const = 0;
  /// A file or a folder.
  [[nodiscard]] virtual bool Exists(const std::filesystem::path& path) const = 0;
  [[nodiscard]] virtual std::optional<std::uint64_t> SizeOf(const std::filesystem::path& file) const = 0;
  /// As backup::ListTree.
  [[nodiscard]] virtual std::vector<StoredFile> ListTree(const std::filesystem::path& folder) const = 0;
  /// Names of the folders in `folder`. @param links  those that are links to folders too
  [[nodiscard]] virtual std::vector<std::string> FoldersIn(const std::filesystem::path& folder, bool links) const = 0;
  [[nodiscard]] virtual StreamPtr Open(const std::filesystem::path& file) const = 0;
  [[nodiscard]] virtual StreamPtr OpenPart(const std::filesystem::path& file, std::uint64_t offset, std::uint64_t length) const = 0;
  /// The first failure that says nothing about the files themselves.
  [[nodiscard]] virtual std::optional<Error> Trouble() const { return std::nullopt; }
};

[[nodiscard]] std::shared_ptr<Folder> LocalFolder();
/// Paths begin with the store's name. @error any: it cannot be listed
[[nodiscard]] Result<std::shared_ptr<Folder>> BlobFolder(std::shared_ptr<Blobs> blobs);

/// A source that reads through a Folder.
class FolderSource : public Source {
 public:
  explicit FolderSource(std::shared_ptr<Folder> folder) : repo_(std::move(folder)) {}
  [[nodiscard]] const Folder& repo() const { return *repo_; }

 protected:
  [[nodiscard]] const std::shared_ptr<Folder>& shared_repo() const { return repo_; }

 private:
  std::shared_ptr<Folder> repo_;
};

}  // namespace lifeboat::backup
