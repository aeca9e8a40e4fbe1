// What pg_basebackup writes: a folder that is a data directory, or base.tar, <oid>.tar and pg_wal.tar, each with a
// backup_manifest; one such folder, or a folder of them. WAL comes with it (pg_wal), or lies in an archive that is named. Backups
// and archive lie here or in a store, each for itself.

#include <algorithm>
#include <charconv>
#include <ctime>

#include "adapters/backups/source_internal.h"
#include "adapters/backups/tar.h"
#include "backup/page.h"

namespace lifeboat::backup {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kBlock = 256U << 10;

/// A tar file of a backup: "base", "16384" or "pg_wal".
struct TarFile {
  fs::path file;
  std::string stem;
  Compression compression = Compression::kNone;
  std::uint64_t stored_size = 0;
};

std::vector<TarFile> TarFilesIn(const Folder& in, const fs::path& folder) {
  std::vector<TarFile> tars;
  for (const FolderEntry& entry : EntriesOf(in, folder)) {
    std::string_view name = entry.name;
    TarFile tar;
    tar.compression = TakeCompression(name);
    if (!name.ends_with(".tar")) continue;
    name.remove_suffix(4);
    tar.stem = name;
    tar.file = folder / entry.name;
    tar.stored_size = in.SizeOf(tar.file).value_or(0);
    tars.push_back(std::move(tar));
  }
  std::sort(tars.begin(), tars.end(), [](const TarFile& a, const TarFile& b) { return a.stem < b.stem; });
  return tars;
}

bool IsTarBackup(const Folder& in, const fs::path& folder) {
  const std::vector<TarFile> tars = TarFilesIn(in, folder);
  return std::any_of(tars.begin(), tars.end(), [](const TarFile& tar) { return tar.stem == "base"; });
}

bool IsBackup(const Folder& in, const fs::path& folder) {
  return in.Exists(folder / "backup_manifest") || in.Exists(folder / "PG_VERSION") || in.Exists(folder / "backup_label") ||
         IsTarBackup(in, folder);
}

/// One entry of a tar file, as a stream.
class TarEntryStream : public ByteStream {
 public:
  TarEntryStream(StreamPtr tar, std::string entry) : reader_(std::move(tar)), entry_(std::move(entry)) {}
  std::optional<std::size_t> Read(std::span<char> into) override {
    while (!found_) {
      const std::optional<TarEntry> entry = reader_.Next();
      if (!entry) {
        return reader_.failed() ? Fail(reader_.error().problem, reader_.error().message)
                                : Fail(ReadProblem::kGone, "the tar file does not hold '" + entry_ + "'");
      }
      found_ = entry->name == entry_;
    }
    const std::optional<std::size_t> got = reader_.Read(into);
    return got ? got : Fail(reader_.error().problem, reader_.error().message);
  }

 private:
  TarReader reader_;
  std::string entry_;
  bool found_ = false;
};

/// A tar file's entries, one after the other, to a sink.
void PumpTar(const Folder& in, const TarFile& tar, FileSink& sink) {
  TarReader reader(Decompress(in.Open(tar.file), tar.compression));
  const std::string prefix = tar.stem == "base" ? "" : "pg_tblspc/" + tar.stem + "/";
  std::vector<char> memory(kBlock + 64);
  char* block = memory.data() + (64 - reinterpret_cast<std::uintptr_t>(memory.data()) % 64) % 64;
  while (const std::optional<TarEntry> entry = reader.Next()) {
    if (entry->type != '0') continue;
    sink.Begin(prefix + entry->name);
    std::uint64_t left = entry->size;
    bool whole = true;
    while (left > 0 && whole) {
      const std::size_t want = static_cast<std::size_t>(std::min<std::uint64_t>(left, kBlock));
      std::size_t have = 0;
      while (have < want && whole) {
        const std::optional<std::size_t> got = reader.Read({block + have, want - have});
        whole = got && *got > 0;
        if (whole) have += *got;
      }
      if (have > 0 && !sink.Data({block, have})) return sink.End(nullptr);
      left -= have;
    }
    sink.End(whole ? nullptr : &reader.error());
    if (!whole) return;
  }
  if (!reader.failed()) return;
  // The damage lies between files: it is told of the tar file itself.
  sink.Begin(tar.file.filename().string());
  sink.End(&reader.error());
}

class TarSetReader : public SetReader {
 public:
  TarSetReader(std::shared_ptr<Folder> in, std::vector<TarFile> tars) : in_(std::move(in)), tars_(std::move(tars)) {}
  std::size_t Units() const override { return tars_.size(); }
  std::uint64_t StoredBytes(std::size_t unit) const override { return tars_[unit].stored_size; }
  void Read(std::size_t unit, FileSink& sink) override { PumpTar(*in_, tars_[unit], sink); }

 private:
  std::shared_ptr<Folder> in_;
  std::vector<TarFile> tars_;
};

class FolderSetReader : public SetReader {
 public:
  FolderSetReader(std::shared_ptr<Folder> in, fs::path folder, std::vector<StoredFile> files)
      : in_(std::move(in)), folder_(std::move(folder)), files_(std::move(files)) {}
  std::size_t Units() const override { return files_.size(); }
  std::uint64_t StoredBytes(std::size_t unit) const override { return files_[unit].size; }
  std::string PathOf(std::size_t unit) const override { return files_[unit].path; }
  std::optional<StoredPlace> PlaceOf(std::size_t unit) const override { return in_->PlaceOf(folder_ / files_[unit].path, 0); }
  void Read(std::size_t unit, FileSink& sink) override {
    const StreamPtr stream = in_->Open(folder_ / files_[unit].path);
    Pump(*stream, files_[unit].path, sink);
  }

 private:
  std::shared_ptr<Folder> in_;
  fs::path folder_;
  std::vector<StoredFile> files_;
};

std::optional<std::string> SmallIn(const Folder& in, const fs::path& folder, const char* name) {
  ReadError error;
  return ReadSmall(in, folder / name, error);
}

/// "2026-11-23 09:19:43 UTC" → seconds since 1970; 0: another zone, or no time.
std::int64_t LabelTime(const std::string& text) {
  std::tm parts{};
  const char* rest = strptime(text.c_str(), "%Y-%m-%d %H:%M:%S", &parts);
  if (rest == nullptr) return 0;
  const std::string zone = rest;
  return zone == " UTC" || zone == " GMT" ? timegm(&parts) : 0;
}

class BaseBackups : public FolderSource {
 public:
  /// @param wal  where the archive lies
  BaseBackups(std::shared_ptr<Folder> in, std::shared_ptr<Folder> wal, const SourceOptions& options)
      : FolderSource(std::move(in)), wal_in_(std::move(wal)), folder_(options.path), wal_(options.wal), name_(folder_.string()) {}

  const std::string& name() const override { return name_; }
  const Folder& FolderFor(const fs::path& file) const override {
    return !wal_.empty() && file.string().starts_with((wal_ / "").string()) ? *wal_in_ : repo();
  }
  std::optional<Error> Trouble() const override {
    const std::optional<Error> trouble = repo().Trouble();
    return trouble ? trouble : wal_in_->Trouble();
  }

  Result<Inventory> Look() override {
    Inventory inventory;
    std::vector<fs::path> folders;
    if (IsBackup(repo(), folder_)) {
      folders.push_back(folder_);
    } else {
      for (const FolderEntry& entry : EntriesOf(repo(), folder_)) {
        if (entry.folder && IsBackup(repo(), folder_ / entry.name)) folders.push_back(folder_ / entry.name);
      }
    }
    if (folders.empty())
      return Fail("'" + name_ + "' holds no backup and no WAL", "name the folder that pg_basebackup wrote, or the one above it");
    std::size_t archive = kNowhere;
    if (!wal_.empty()) {
      archive = inventory.archives.size();
      inventory.archives.push_back(ArchiveFolder(inventory.findings));
    }
    for (const fs::path& folder : folders) inventory.sets.push_back(LookAtSet(folder, archive, inventory));
    std::sort(inventory.sets.begin(), inventory.sets.end(),
              [](const SetInfo& a, const SetInfo& b) { return std::tie(a.stopped, a.label) < std::tie(b.stopped, b.label); });
    if (const std::optional<Error> trouble = Trouble()) return *trouble;
    return inventory;
  }

  std::optional<SetContent> OpenSet(const SetInfo& set, std::vector<Finding>& findings) override {
    const fs::path folder = FolderOf(set.label);
    std::optional<Manifest> manifest = ReadManifest(folder, set.label, &findings);
    if (!manifest) return std::nullopt;
    SetContent content;
    content.manifest = std::move(*manifest);
    if (IsTarBackup(repo(), folder)) {
      std::vector<TarFile> tars = TarFilesIn(repo(), folder);
      tars.erase(std::remove_if(tars.begin(), tars.end(), [](const TarFile& tar) { return tar.stem == "pg_wal"; }), tars.end());
      content.small_when_read = true;
      content.reader = std::make_unique<TarSetReader>(shared_repo(), std::move(tars));
      return content;
    }
    content.small = {SmallIn(repo(), folder, "PG_VERSION"), SmallIn(repo(), folder, "global/pg_control"),
                     SmallIn(repo(), folder, "backup_label"), SmallIn(repo(), folder, "tablespace_map")};
    std::vector<StoredFile> stored = repo().ListTree(folder);
    stored.erase(std::remove_if(stored.begin(), stored.end(), [](const StoredFile& file) { return IsBesideManifest(file.path); }),
                 stored.end());
    std::vector<StoredFile> listed;
    for (const FileEntry& file : content.manifest.files) {
      if (!IsBesideManifest(file.path)) listed.push_back({file.path, file.size});
    }
    CompareListing(set.label, listed, stored, findings);
    content.reader = std::make_unique<FolderSetReader>(shared_repo(), folder, std::move(stored));
    return content;
  }

  StreamPtr OpenWal(const WalFile& file) override {
    StreamPtr stored = FolderFor(file.file).Open(file.file);
    if (file.tar_entry.empty()) return Decompress(std::move(stored), file.compression);
    const std::string tar_name = file.file.filename().string();
    std::string_view name = tar_name;
    return std::make_unique<TarEntryStream>(Decompress(std::move(stored), TakeCompression(name)), file.tar_entry);
  }

 private:
  fs::path FolderOf(const std::string& label) const { return IsBackup(repo(), folder_) ? folder_ : folder_ / label; }

  /// @param findings  null: what is wrong is told when the set is opened
  std::optional<Manifest> ReadManifest(const fs::path& folder, const std::string& label, std::vector<Finding>* findings) const {
    const auto tell = [&](int fault, const std::string& what) {
      if (findings != nullptr) findings->push_back(MakeFinding(fault, label, "backup_manifest", "", what));
    };
    ReadError read;
    const std::optional<std::string> text = ReadSmall(repo(), folder / "backup_manifest", read);
    if (!text) {
      tell(5, read.problem == ReadProblem::kGone ? "the backup has no manifest" : read.message);
      return std::nullopt;
    }
    ManifestError error;
    std::optional<Manifest> manifest = ParseBackupManifest(*text, error);
    if (!manifest) {
      tell(text->find("PostgreSQL-Backup-Manifest-Version") == std::string::npos ? 2 : 6, error.message);
      return std::nullopt;
    }
    std::sort(manifest->files.begin(), manifest->files.end(),
              [](const FileEntry& a, const FileEntry& b) { return a.path < b.path; });
    return manifest;
  }

  Archive ArchiveFolder(std::vector<Finding>& findings) {
    Archive archive;
    archive.name = wal_.string();
    std::vector<RawFile> files;
    for (const StoredFile& file : wal_in_->ListTree(wal_)) {
      const fs::path path = wal_ / file.path;
      files.push_back({path.filename().string(), path, "", file.size});
    }
    FillArchive(
        archive, files, [this](const WalFile& file) { return OpenWal(file); }, findings);
    return archive;
  }

  SetInfo LookAtSet(const fs::path& folder, std::size_t archive, Inventory& inventory) {
    SetInfo set;
    const fs::path named = folder.has_filename() ? folder : folder.parent_path();
    set.label = named.filename().string();
    const bool tar = IsTarBackup(repo(), folder);
    set.kind = tar ? "pg_basebackup tar" : "pg_basebackup";
    set.archive = archive;
    set.folder = folder;
    set.span.label = set.label;
    set.stopped = repo().ChangedAt(folder / "backup_manifest");
    set.span.stopped = set.stopped;
    if (const std::optional<Manifest> manifest = ReadManifest(folder, set.label, nullptr)) {
      set.system_id = manifest->system_id;
      set.span.wal = manifest->wal;
      for (const FileEntry& file : manifest->files) set.size += file.size;
      // An object's time is that of its upload, and an old backup does not become young by being copied. What its files say is
      // not after its end; what leads to a moment is judged by the upload, which is not before it.
      const std::int64_t said = LabelTime(manifest->newest_change);
      if (repo().remote() && said != 0) set.stopped = std::min(set.stopped, said);
    }
    Archive own;
    own.name = "pg_wal of " + set.label;
    own.only_needed = true;
    std::vector<RawFile> files;
    if (tar) {
      for (const TarFile& each : TarFilesIn(repo(), folder)) {
        set.stored_size += each.stored_size;
        if (each.stem == "pg_wal") ListTarWal(each, files);
      }
    } else {
      LookAtFolder(folder, set, own);
      for (const StoredFile& file : repo().ListTree(folder / "pg_wal")) {
        if (file.path.find('/') == std::string::npos) files.push_back({file.path, folder / "pg_wal" / file.path, "", file.size});
      }
    }
    FillArchive(
        own, files, [this](const WalFile& file) { return OpenWal(file); }, inventory.findings);
    TakeOwner(set, own, archive, inventory);
    if (!own.wal.empty() || archive == kNowhere) {
      set.own = inventory.archives.size();
      inventory.archives.push_back(std::move(own));
    }
    return set;
  }

  /// Whose backup this is: the manifest's word (PostgreSQL 17), else that of its WAL. pg_control's own word is what is judged by
  /// it.
  static void TakeOwner(SetInfo& set, Archive& own, std::size_t archive, const Inventory& inventory) {
    const std::optional<std::uint64_t> by_archive = archive != kNowhere ? inventory.archives[archive].owner : std::nullopt;
    // One segment beside pg_control is one word against another: a third must agree.
    const bool own_counts = own.owner && (own.wal.size() > 1 || own.owner == by_archive);
    if (set.system_id) {
      own.system_id = set.system_id;
    } else if (own_counts) {
      own.system_id = own.owner;
    }
    if (!set.system_id) set.system_id = by_archive ? by_archive : own_counts ? own.owner : std::nullopt;
  }

  void LookAtFolder(const fs::path& folder, SetInfo& set, Archive& own) const {
    set.stored_size = set.size;
    if (set.stopped == 0) {  // without a manifest it may be one that is being written: that grows
      for (const StoredFile& file : repo().ListTree(folder)) set.stored_size += file.size;
    }
    set.version = SmallIn(repo(), folder, "PG_VERSION").value_or("");
    while (!set.version.empty() && set.version.back() == '\n') set.version.pop_back();
    if (const auto text = SmallIn(repo(), folder, "backup_label")) {
      if (const auto label = ParseBackupLabel(*text)) set.started = LabelTime(label->start_time);
    }
    if (const auto text = SmallIn(repo(), folder, "global/pg_control")) {
      if (const auto control = ParsePgControl(*text)) {
        own.segment_bytes = control->wal_segment_bytes;
        own.system_id = control->system_id;
      }
    }
  }

  void ListTarWal(const TarFile& tar, std::vector<RawFile>& files) const {
    TarReader reader(Decompress(repo().Open(tar.file), tar.compression));
    while (const std::optional<TarEntry> entry = reader.Next()) {
      if (entry->type == '0' && entry->name.find('/') == std::string::npos)
        files.push_back({entry->name, tar.file, entry->name, entry->size});
    }
  }

  std::shared_ptr<Folder> wal_in_;
  fs::path folder_;
  fs::path wal_;
  std::string name_;
};

}  // namespace

bool LooksLikeBaseBackups(const Folder& in, const fs::path& folder) {
  if (IsBackup(in, folder)) return true;
  for (const FolderEntry& entry : EntriesOf(in, folder)) {
    if (entry.folder && IsBackup(in, folder / entry.name)) return true;
  }
  return false;
}

Result<std::unique_ptr<Source>> OpenBaseBackupsIn(std::shared_ptr<Folder> folder, const SourceOptions& options) {
  Result<std::shared_ptr<Folder>> wal = FolderOf(options.wal_store);
  if (!wal) return wal.error();
  return std::unique_ptr<Source>(std::make_unique<BaseBackups>(std::move(folder), std::move(*wal), options));
}

}  // namespace lifeboat::backup
