// A plain archive: what an archive_command copied, compressed or not, in one folder or in folders below it, here or in a store.

#include <algorithm>

#include "adapters/backups/source_internal.h"

namespace lifeboat::backup {

namespace {

namespace fs = std::filesystem;

class WalFolder : public FolderSource {
 public:
  WalFolder(std::shared_ptr<Folder> in, fs::path folder)
      : FolderSource(std::move(in)), folder_(std::move(folder)), name_(folder_.string()) {}

  const std::string& name() const override { return name_; }
  bool holds_backups() const override { return false; }

  Result<Inventory> Look() override {
    Inventory inventory;
    Archive archive;
    archive.name = name_;
    std::vector<RawFile> files;
    for (const StoredFile& file : repo().ListTree(folder_)) {
      const fs::path path = folder_ / file.path;
      files.push_back({path.filename().string(), path, "", file.size});
    }
    FillArchive(
        archive, files, [this](const WalFile& file) { return OpenWal(file); }, inventory.findings);
    inventory.archives.push_back(std::move(archive));
    if (const std::optional<Error> trouble = Trouble()) return *trouble;
    return inventory;
  }

  std::optional<SetContent> OpenSet(const SetInfo&, std::vector<Finding>&) override { return std::nullopt; }

  StreamPtr OpenWal(const WalFile& file) override { return Decompress(repo().Open(file.file), file.compression); }

 private:
  fs::path folder_;
  std::string name_;
};

}  // namespace

Result<std::unique_ptr<Source>> OpenWalFolderIn(std::shared_ptr<Folder> folder, const SourceOptions& options) {
  return std::unique_ptr<Source>(std::make_unique<WalFolder>(std::move(folder), options.path));
}

}  // namespace lifeboat::backup
