#pragma once

// What the sources share: files of an archive folder to an Archive, one stream to a sink.

#include <functional>

#include "adapters/backups/folder.h"
#include "adapters/backups/source.h"

namespace lifeboat::backup {

/// A file of an archive folder, before its name is understood.
struct RawFile {
  std::string name;
  std::filesystem::path file;
  std::string tar_entry;
  std::uint64_t stored_size = 0;
};

using Opener = std::function<StreamPtr(const WalFile&)>;

/// Fills `archive` from a folder's files. The segment size is that of the first header that can be read, unless it is known.
void FillArchive(Archive& archive, const std::vector<RawFile>& files, const Opener& open, std::vector<Finding>& findings);

/// Feeds one file's stream to the sink, in blocks of 256 KiB.
void Pump(ByteStream& stream, const std::string& path, FileSink& sink);

/// A small file as it lies on disk, undecoded.
[[nodiscard]] std::optional<std::string> ReadSmall(const std::filesystem::path& file, ReadError& error);

/// Regular files below `folder`, links followed, as paths relative to it, sorted. Vanished ones are left out.
/// @param on_folder  is told of each folder, that one among them; may be empty
[[nodiscard]] std::vector<StoredFile> ListTree(const std::filesystem::path& folder,
                                               const std::function<void(const std::filesystem::path&)>& on_folder = {});

/// What lies there is, or holds, a base backup; a dump.
[[nodiscard]] bool LooksLikeBaseBackups(const Folder& in, const std::filesystem::path& folder);
[[nodiscard]] bool LooksLikeDumps(const Folder& in, const std::filesystem::path& folder);

// As their namesakes without In, of what `folder` opens. `options.store` is not looked at.
[[nodiscard]] Result<std::unique_ptr<Source>> OpenPgBackRestIn(std::shared_ptr<Folder> folder, const SourceOptions& options);
[[nodiscard]] Result<std::unique_ptr<Source>> OpenBaseBackupsIn(std::shared_ptr<Folder> folder, const SourceOptions& options);
[[nodiscard]] Result<std::unique_ptr<Source>> OpenWalFolderIn(std::shared_ptr<Folder> folder, const SourceOptions& options);
[[nodiscard]] Result<std::unique_ptr<Source>> OpenDumpsIn(std::shared_ptr<Folder> folder, const SourceOptions& options);

/// Seconds since 1970 of a file's last change; 0: unknown.
[[nodiscard]] std::int64_t ChangedAt(const std::filesystem::path& file);

}  // namespace lifeboat::backup
