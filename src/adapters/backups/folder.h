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

/// What lies in a folder.
struct FolderEntry {
  std::string name;
  bool folder = false;
  bool file = false;  ///< a regular one
};

class Folder {
 public:
  virtual ~Folder() = default;
  [[nodiscard]] virtual bool remote() const = 0;
  /// A file or a folder.
  [[nodiscard]] virtual bool Exists(const std::filesystem::path& path) const = 0;
  [[nodiscard]] virtual bool IsFolder(const std::filesystem::path& path) const = 0;
  [[nodiscard]] virtual std::optional<std::uint64_t> SizeOf(const std::filesystem::path& file) const = 0;
  /// Seconds since 1970 of the last change; 0: unknown. Of an object: when it was put there.
  [[nodiscard]] virtual std::int64_t ChangedAt(const std::filesystem::path& file) const = 0;
  /// Links are what they lead to. @error kFail: it cannot be listed
  [[nodiscard]] virtual Result<std::vector<FolderEntry>> EntriesIn(const std::filesystem::path& folder) const = 0;
  /// As backup::ListTree.
  [[nodiscard]] virtual std::vector<StoredFile> ListTree(const std::filesystem::path& folder) const = 0;
  /// Names of the folders in `folder`. @param links  those that are links to folders too
  [[nodiscard]] virtual std::vector<std::string> FoldersIn(const std::filesystem::path& folder, bool links) const = 0;
  [[nodiscard]] virtual StreamPtr Open(const std::filesystem::path& file) const = 0;
  [[nodiscard]] virtual StreamPtr OpenPart(const std::filesystem::path& file, std::uint64_t offset, std::uint64_t length) const = 0;
  /// The first failure that says nothing about the files themselves.
  /// What a file is known by in later runs; nothing: by nothing that would show another content.
  [[nodiscard]] virtual std::optional<StoredPlace> PlaceOf(const std::filesystem::path& file, std::uint64_t offset) const = 0;
  [[nodiscard]] virtual std::optional<Error> Trouble() const { return std::nullopt; }
  /// Takes such a failure of somebody else's. Any thread.
  virtual void NoteTrouble(const Error& /*error*/) {}
  /// Null: files of this machine.
  [[nodiscard]] virtual std::shared_ptr<Blobs> blobs() const { return nullptr; }
};

/// EntriesIn; none where that fails.
[[nodiscard]] std::vector<FolderEntry> EntriesOf(const Folder& folder, const std::filesystem::path& path);
/// A small file as it is stored.
[[nodiscard]] std::optional<std::string> ReadSmall(const Folder& folder, const std::filesystem::path& file, ReadError& error);

[[nodiscard]] std::shared_ptr<Folder> LocalFolder();
/// Paths begin with the store's name. @error any: it cannot be listed
[[nodiscard]] Result<std::shared_ptr<Folder>> BlobFolder(std::shared_ptr<Blobs> blobs);

/// BlobFolder of a store; this machine's where it is null.
[[nodiscard]] Result<std::shared_ptr<Folder>> FolderOf(const std::shared_ptr<Blobs>& store);

/// A source that reads through a Folder.
class FolderSource : public Source {
 public:
  explicit FolderSource(std::shared_ptr<Folder> folder) : repo_(std::move(folder)) {}
  [[nodiscard]] const Folder& repo() const { return *repo_; }
  [[nodiscard]] Folder& repo() { return *repo_; }
  /// Where this file of the source lies.
  [[nodiscard]] virtual const Folder& FolderFor(const std::filesystem::path& /*file*/) const { return *repo_; }
  [[nodiscard]] std::optional<StoredPlace> PlaceOfWal(const WalFile& file) const override {
    return FolderFor(file.file).PlaceOf(file.file, 0);
  }
  /// As Folder::Trouble, of all that the source reads.
  [[nodiscard]] virtual std::optional<Error> Trouble() const { return repo_->Trouble(); }

 protected:
  [[nodiscard]] const std::shared_ptr<Folder>& shared_repo() const { return repo_; }

 private:
  std::shared_ptr<Folder> repo_;
};

}  // namespace lifeboat::backup
