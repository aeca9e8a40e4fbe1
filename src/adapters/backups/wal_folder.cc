// A plain archive: what an archive_command copied, compressed or not, in one folder or in folders below it.

#include <algorithm>

#include "adapters/backups/source_internal.h"

namespace lifeboat::backup {

namespace {

namespace fs = std::filesystem;

class WalFolder : public Source {
 public:
  explicit WalFolder(fs::path folder) : folder_(std::move(folder)), name_(folder_.string()) {}

  const std::string& name() const override { return name_; }

  Result<Inventory> Look() override {
    Inventory inventory;
    Archive archive;
    archive.name = name_;
    std::vector<RawFile> files;
    for (const StoredFile& file : ListTree(folder_)) {
      const fs::path path = folder_ / file.path;
      files.push_back({path.filename().string(), path, "", file.size});
    }
    FillArchive(archive, files, [this](const WalFile& file) { return OpenWal(file); }, inventory.findings);
    inventory.archives.push_back(std::move(archive));
    return inventory;
  }

  std::optional<SetContent> OpenSet(const SetInfo&, std::vector<Finding>&) override { return std::nullopt; }

  StreamPtr OpenWal(const WalFile& file) override { return Decompress(OpenFile(file.file), file.compression); }

 private:
  fs::path folder_;
  std::string name_;
};

}  // namespace

Result<std::unique_ptr<Source>> OpenWalFolder(const SourceOptions& options) {
  return std::unique_ptr<Source>(std::make_unique<WalFolder>(options.path));
}

}  // namespace lifeboat::backup
