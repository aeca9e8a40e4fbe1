// What pg_basebackup writes: a folder that is a data directory, or base.tar, <oid>.tar and pg_wal.tar, each with a
// backup_manifest; one such folder, or a folder of them. WAL comes with it (pg_wal), or lies in an archive that is named.

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

bool Exists(const fs::path& path) {
  std::error_code problem;
  return fs::exists(path, problem);
}

/// A tar file of a backup: "base", "16384" or "pg_wal".
struct TarFile {
  fs::path file;
  std::string stem;
  Compression compression = Compression::kNone;
  std::uint64_t stored_size = 0;
};

std::vector<TarFile> TarFilesIn(const fs::path& folder) {
  std::vector<TarFile> tars;
  std::error_code problem;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, problem)) {
    const std::string file_name = entry.path().filename().string();
    std::string_view name = file_name;
    TarFile tar;
    tar.compression = TakeCompression(name);
    if (!name.ends_with(".tar")) continue;
    name.remove_suffix(4);
    tar.stem = name;
    tar.file = entry.path();
    std::error_code ignored;
    tar.stored_size = entry.file_size(ignored);
    tars.push_back(std::move(tar));
  }
  std::sort(tars.begin(), tars.end(), [](const TarFile& a, const TarFile& b) { return a.stem < b.stem; });
  return tars;
}

bool IsTarBackup(const fs::path& folder) {
  const std::vector<TarFile> tars = TarFilesIn(folder);
  return std::any_of(tars.begin(), tars.end(), [](const TarFile& tar) { return tar.stem == "base"; });
}

bool IsBackup(const fs::path& folder) {
  return Exists(folder / "backup_manifest") || Exists(folder / "PG_VERSION") || Exists(folder / "backup_label") || IsTarBackup(folder);
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
void PumpTar(const TarFile& tar, FileSink& sink) {
  TarReader reader(Decompress(OpenFile(tar.file), tar.compression));
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
  explicit TarSetReader(std::vector<TarFile> tars) : tars_(std::move(tars)) {}
  std::size_t Units() const override { return tars_.size(); }
  std::uint64_t StoredBytes(std::size_t unit) const override { return tars_[unit].stored_size; }
  void Read(std::size_t unit, FileSink& sink) override { PumpTar(tars_[unit], sink); }

 private:
  std::vector<TarFile> tars_;
};

class FolderSetReader : public SetReader {
 public:
  FolderSetReader(fs::path folder, std::vector<StoredFile> files) : folder_(std::move(folder)), files_(std::move(files)) {}
  std::size_t Units() const override { return files_.size(); }
  std::uint64_t StoredBytes(std::size_t unit) const override { return files_[unit].size; }
  std::string PathOf(std::size_t unit) const override { return files_[unit].path; }
  std::optional<StoredPlace> PlaceOf(std::size_t unit) const override { return StoredPlace{folder_ / files_[unit].path, 0}; }
  void Read(std::size_t unit, FileSink& sink) override {
    const StreamPtr stream = OpenFile(folder_ / files_[unit].path);
    Pump(*stream, files_[unit].path, sink);
  }

 private:
  fs::path folder_;
  std::vector<StoredFile> files_;
};

std::optional<std::string> SmallIn(const fs::path& folder, const char* name) {
  ReadError error;
  return ReadSmall(folder / name, error);
}

/// "2026-11-23 09:19:43 UTC" → seconds since 1970; 0: another zone, or no time.
std::int64_t LabelTime(const std::string& text) {
  std::tm parts{};
  const char* rest = strptime(text.c_str(), "%Y-%m-%d %H:%M:%S", &parts);
  if (rest == nullptr) return 0;
  const std::string zone = rest;
  return zone == " UTC" || zone == " GMT" ? timegm(&parts) : 0;
}

class BaseBackups : public Source {
 public:
  explicit BaseBackups(const SourceOptions& options) : folder_(options.path), wal_(options.wal), name_(folder_.string()) {}

  const std::string& name() const override { return name_; }

  Result<Inventory> Look() override {
    Inventory inventory;
    std::vector<fs::path> folders;
    if (IsBackup(folder_)) {
      folders.push_back(folder_);
    } else {
      std::error_code problem;
      for (const fs::directory_entry& entry : fs::directory_iterator(folder_, problem)) {
        if (entry.is_directory(problem) && IsBackup(entry.path())) folders.push_back(entry.path());
      }
    }
    if (folders.empty()) return Fail("'" + name_ + "' holds no backup and no WAL", "name the folder that pg_basebackup wrote, or the one above it");
    std::size_t archive = kNowhere;
    if (!wal_.empty()) {
      archive = inventory.archives.size();
      inventory.archives.push_back(ArchiveFolder(inventory.findings));
    }
    for (const fs::path& folder : folders) inventory.sets.push_back(LookAtSet(folder, archive, inventory));
    std::sort(inventory.sets.begin(), inventory.sets.end(),
              [](const SetInfo& a, const SetInfo& b) { return std::tie(a.stopped, a.label) < std::tie(b.stopped, b.label); });
    return inventory;
  }

  std::optional<SetContent> OpenSet(const SetInfo& set, std::vector<Finding>& findings) override {
    const fs::path folder = FolderOf(set.label);
    std::optional<Manifest> manifest = ReadManifest(folder, set.label, &findings);
    if (!manifest) return std::nullopt;
    SetContent content;
    content.manifest = std::move(*manifest);
    if (IsTarBackup(folder)) {
      std::vector<TarFile> tars = TarFilesIn(folder);
      tars.erase(std::remove_if(tars.begin(), tars.end(), [](const TarFile& tar) { return tar.stem == "pg_wal"; }), tars.end());
      content.small_when_read = true;
      content.reader = std::make_unique<TarSetReader>(std::move(tars));
      return content;
    }
    content.small = {SmallIn(folder, "PG_VERSION"), SmallIn(folder, "global/pg_control"), SmallIn(folder, "backup_label"),
                     SmallIn(folder, "tablespace_map")};
    std::vector<StoredFile> stored = ListTree(folder);
    stored.erase(std::remove_if(stored.begin(), stored.end(), [](const StoredFile& file) { return IsBesideManifest(file.path); }),
                 stored.end());
    std::vector<StoredFile> listed;
    for (const FileEntry& file : content.manifest.files) {
      if (!IsBesideManifest(file.path)) listed.push_back({file.path, file.size});
    }
    CompareListing(set.label, listed, stored, findings);
    content.reader = std::make_unique<FolderSetReader>(folder, std::move(stored));
    return content;
  }

  StreamPtr OpenWal(const WalFile& file) override {
    if (file.tar_entry.empty()) return Decompress(OpenFile(file.file), file.compression);
    const std::string tar_name = file.file.filename().string();
    std::string_view name = tar_name;
    return std::make_unique<TarEntryStream>(Decompress(OpenFile(file.file), TakeCompression(name)), file.tar_entry);
  }

 private:
  fs::path FolderOf(const std::string& label) const { return IsBackup(folder_) ? folder_ : folder_ / label; }

  /// @param findings  null: what is wrong is told when the set is opened
  static std::optional<Manifest> ReadManifest(const fs::path& folder, const std::string& label, std::vector<Finding>* findings) {
    const auto tell = [&](int fault, const std::string& what) {
      if (findings != nullptr) findings->push_back(MakeFinding(fault, label, "backup_manifest", "", what));
    };
    ReadError read;
    const std::optional<std::string> text = ReadSmall(folder / "backup_manifest", read);
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
    std::sort(manifest->files.begin(), manifest->files.end(), [](const FileEntry& a, const FileEntry& b) { return a.path < b.path; });
    return manifest;
  }

  Archive ArchiveFolder(std::vector<Finding>& findings) {
    Archive archive;
    archive.name = wal_.string();
    std::vector<RawFile> files;
    for (const StoredFile& file : ListTree(wal_)) {
      const fs::path path = wal_ / file.path;
      files.push_back({path.filename().string(), path, "", file.size});
    }
    FillArchive(archive, files, [this](const WalFile& file) { return OpenWal(file); }, findings);
    return archive;
  }

  SetInfo LookAtSet(const fs::path& folder, std::size_t archive, Inventory& inventory) {
    SetInfo set;
    const fs::path named = folder.has_filename() ? folder : folder.parent_path();
    set.label = named.filename().string();
    const bool tar = IsTarBackup(folder);
    set.kind = tar ? "pg_basebackup tar" : "pg_basebackup";
    set.archive = archive;
    set.folder = folder;
    set.span.label = set.label;
    set.stopped = ChangedAt(folder / "backup_manifest");
    if (const std::optional<Manifest> manifest = ReadManifest(folder, set.label, nullptr)) {
      set.system_id = manifest->system_id;
      set.span.wal = manifest->wal;
      for (const FileEntry& file : manifest->files) set.size += file.size;
    }
    set.span.stopped = set.stopped;
    Archive own;
    own.name = "pg_wal of " + set.label;
    own.only_needed = true;
    std::vector<RawFile> files;
    if (tar) {
      for (const TarFile& each : TarFilesIn(folder)) {
        set.stored_size += each.stored_size;
        if (each.stem == "pg_wal") ListTarWal(each, files);
      }
    } else {
      LookAtFolder(folder, set, own);
      for (const StoredFile& file : ListTree(folder / "pg_wal")) {
        if (file.path.find('/') == std::string::npos) files.push_back({file.path, folder / "pg_wal" / file.path, "", file.size});
      }
    }
    FillArchive(own, files, [this](const WalFile& file) { return OpenWal(file); }, inventory.findings);
    TakeOwner(set, own, archive, inventory);
    if (!own.wal.empty() || archive == kNowhere) {
      set.own = inventory.archives.size();
      inventory.archives.push_back(std::move(own));
    }
    return set;
  }

  /// Whose backup this is: the manifest's word (PostgreSQL 17), else that of its WAL. pg_control's own word is what is judged by it.
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

  static void LookAtFolder(const fs::path& folder, SetInfo& set, Archive& own) {
    set.stored_size = set.size;
    set.version = SmallIn(folder, "PG_VERSION").value_or("");
    while (!set.version.empty() && set.version.back() == '\n') set.version.pop_back();
    if (const auto text = SmallIn(folder, "backup_label")) {
      if (const auto label = ParseBackupLabel(*text)) set.started = LabelTime(label->start_time);
    }
    if (const auto text = SmallIn(folder, "global/pg_control")) {
      if (const auto control = ParsePgControl(*text)) {
        own.segment_bytes = control->wal_segment_bytes;
        own.system_id = control->system_id;
      }
    }
  }

  static void ListTarWal(const TarFile& tar, std::vector<RawFile>& files) {
    TarReader reader(Decompress(OpenFile(tar.file), tar.compression));
    while (const std::optional<TarEntry> entry = reader.Next()) {
      if (entry->type == '0' && entry->name.find('/') == std::string::npos) files.push_back({entry->name, tar.file, entry->name, entry->size});
    }
  }

  fs::path folder_;
  fs::path wal_;
  std::string name_;
};

}  // namespace

bool LooksLikeBaseBackups(const fs::path& folder) {
  if (IsBackup(folder)) return true;
  std::error_code problem;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, problem)) {
    std::error_code ignored;
    if (entry.is_directory(ignored) && IsBackup(entry.path())) return true;
  }
  return false;
}

Result<std::unique_ptr<Source>> OpenBaseBackups(const SourceOptions& options) {
  return std::unique_ptr<Source>(std::make_unique<BaseBackups>(options));
}

}  // namespace lifeboat::backup
