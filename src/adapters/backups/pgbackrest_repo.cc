// A pgBackRest repository, on a file system or in a store of objects: info files and their copies, manifests, files alone or in
// bundles, compressed, encrypted; the archive of each cluster that it served. Read natively: nothing of pgBackRest runs.

#include <algorithm>
#include <set>

#include "adapters/backups/block_file.h"
#include "adapters/backups/folder.h"
#include "adapters/backups/source_internal.h"
#include "backup/pgbackrest.h"

namespace lifeboat::backup {

namespace {

namespace fs = std::filesystem;
using pgbackrest::BackupInfo;
using pgbackrest::ListedBackup;
using pgbackrest::RepoManifest;

constexpr std::size_t kLargestText = 256U << 20;  // a manifest of about a million files

/// Where a file's stored bytes are.
struct Place {
  fs::path file;
  std::uint64_t offset = 0;
  bool part = false;
  bool bare = false;  ///< without headers of its compression and encryption
};

/// How the bytes of a backup's files are packed.
struct Packing {
  Compression compression = Compression::kNone;
  std::shared_ptr<Secret> pass;  ///< null: not encrypted
  bool bare_bundles = false;
};

/// @param hashed  the caller compares a hash of what comes out
StreamPtr Unpack(StreamPtr stream, const Packing& packing, const Place& place, bool hashed) {
  if (packing.pass) stream = DecryptCbc(std::move(stream), *packing.pass, place.bare);
  if (place.bare && packing.compression == Compression::kGzip) return InflateZlib(std::move(stream));
  return Decompress(std::move(stream), packing.compression, hashed);
}

class RepoSetReader : public SetReader {
 public:
  struct File {
    std::string path;
    Place place;
    std::uint64_t stored_size = 0;
    bool hashed = false;  ///< the manifest states a hash of its content
    // Stored as changed blocks:
    std::uint64_t size = 0;
    std::uint32_t block_bytes = 0;  ///< 0: stored whole
    std::uint32_t map_bytes = 0;
    std::uint32_t checksum_bytes = 0;
  };
  /// @param backups  the folder of all backups; `references`: their names, as maps of changed blocks number them
  RepoSetReader(std::shared_ptr<Folder> folder, std::vector<File> files, Packing packing, fs::path backups,
                std::vector<std::string> references)
      : folder_(std::move(folder)),
        files_(std::move(files)),
        packing_(std::move(packing)),
        backups_(std::move(backups)),
        references_(std::move(references)) {}

  std::size_t Units() const override { return files_.size(); }
  std::uint64_t StoredBytes(std::size_t unit) const override { return files_[unit].stored_size; }
  std::string PathOf(std::size_t unit) const override { return files_[unit].path; }
  std::optional<StoredPlace> PlaceOf(std::size_t unit) const override {
    return folder_->PlaceOf(files_[unit].place.file, files_[unit].place.offset);
  }
  void Read(std::size_t unit, FileSink& sink) override {
    const File& file = files_[unit];
    if (file.block_bytes != 0) return ReadBlocks(file, sink);
    const StreamPtr stream = Unpack(OpenStored(file), packing_, file.place, file.hashed);
    Pump(*stream, file.path, sink);
  }
  bool ReadStored(std::size_t unit, FileSink& sink) override {
    Pump(*OpenStored(files_[unit]), files_[unit].path, sink);
    return true;
  }

 private:
  [[nodiscard]] StreamPtr OpenStored(const File& file) const {
    return file.place.part ? folder_->OpenPart(file.place.file, file.place.offset, file.stored_size)
                           : folder_->Open(file.place.file);
  }

  /// The map lies behind the file's own blocks, encrypted for itself and not compressed.
  void ReadBlocks(const File& file, FileSink& sink) const {
    StreamPtr map = folder_->OpenPart(
        file.place.file, file.place.offset + file.stored_size - std::min<std::uint64_t>(file.map_bytes, file.stored_size),
        file.map_bytes);
    if (packing_.pass) map = DecryptCbc(std::move(map), *packing_.pass, true);
    ReadError error;
    const std::optional<std::string> text = ReadAll(*map, file.map_bytes, error);
    Result<std::vector<MappedBlock>> blocks = std::vector<MappedBlock>();
    if (text) blocks = ParseBlockMap(*text, file.block_bytes, file.checksum_bytes, file.size / file.block_bytes + 1);
    if (!blocks) error = {ReadProblem::kDamaged, blocks.error().message};
    if (!text || !blocks) {
      sink.Begin(file.path);
      return sink.End(&error);
    }
    BlockFileStream stream(*std::move(blocks), file.block_bytes, file.size,
                           [&](const MappedBlock& block) { return OpenSuper(file, block); });
    Pump(stream, file.path, sink);
  }

  [[nodiscard]] StreamPtr OpenSuper(const File& file, const MappedBlock& block) const {
    const fs::path folder = backups_ / (block.reference < references_.size() ? references_[block.reference] : "no such backup");
    const fs::path alone = folder / ((file.path.starts_with("pg_tblspc/") ? "" : "pg_data/") + file.path + ".pgbi");
    Place place{block.bundle != 0 ? folder / "bundle" / std::to_string(block.bundle) : alone, block.offset, true, true};
    return Unpack(folder_->OpenPart(place.file, place.offset, block.size), packing_, place, file.hashed);
  }

  std::shared_ptr<Folder> folder_;
  std::vector<File> files_;
  Packing packing_;
  fs::path backups_;
  std::vector<std::string> references_;
};

std::shared_ptr<Secret> PassOf(const std::string& text) { return text.empty() ? nullptr : std::make_shared<Secret>(text); }

std::optional<Compression> CompressionNamed(const std::string& name) {
  for (const Compression each :
       {Compression::kNone, Compression::kGzip, Compression::kLz4, Compression::kZstd, Compression::kBzip2}) {
    if (name == ToString(each)) return each;
  }
  return std::nullopt;
}

bool IsLabel(const std::string& name) {
  return name.size() >= 16 && name[8] == '-' && (name.back() == 'F' || name.back() == 'D' || name.back() == 'I');
}

/// A text that lies there twice, decrypted.
struct Pair {
  std::optional<std::string> text;  ///< of the one that can be read
  bool key_problem = false;
};

class PgBackRestRepo : public FolderSource {
 public:
  PgBackRestRepo(std::shared_ptr<Folder> folder, fs::path root, std::string stanza, std::shared_ptr<Secret> pass)
      : FolderSource(std::move(folder)),
        root_(std::move(root)),
        stanza_(std::move(stanza)),
        pass_(std::move(pass)),
        name_(root_.string() + " stanza " + stanza_) {}

  const std::string& name() const override { return name_; }
  std::optional<PgBackRestPlace> pgbackrest() const override {
    return PgBackRestPlace{repo().remote() ? fs::path() : root_, stanza_, pass_, repo().blobs()};
  }

  Result<Inventory> Look() override {
    Inventory inventory;
    LookAtArchives(inventory);
    LookAtBackups(inventory);
    if (const std::optional<Error> trouble = repo().Trouble()) return *trouble;
    return inventory;
  }

  std::optional<SetContent> OpenSet(const SetInfo& set, std::vector<Finding>& findings) override {
    if (!set.present) return std::nullopt;  // told when it was listed
    std::optional<RepoManifest> manifest = ReadManifest(set.label, findings);
    if (!manifest) return std::nullopt;
    const std::optional<Compression> compression = CompressionNamed(manifest->compression);
    if (!compression) {
      findings.push_back(
          MakeFinding(6, set.label, "backup.manifest", "", "the compression '" + manifest->compression + "' is unknown here"));
      return std::nullopt;
    }
    SetContent content;
    content.manifest = std::move(manifest->content);
    content.manifest.wal = set.span.wal;
    ArrangeFiles(set, content, {*compression, PassOf(manifest->cipher_pass), manifest->bare_bundles},
                 std::move(manifest->references), findings);
    return content;
  }

  StreamPtr OpenWal(const WalFile& file) override {
    StreamPtr stream = repo().Open(file.file);
    if (wal_pass_) stream = DecryptCbc(std::move(stream), *wal_pass_);
    return Decompress(std::move(stream), file.compression);
  }

 private:
  [[nodiscard]] fs::path Backups() const { return root_ / "backup" / stanza_; }
  [[nodiscard]] fs::path Archives() const { return root_ / "archive" / stanza_; }

  std::optional<std::string> ReadPlain(const fs::path& file, const std::shared_ptr<Secret>& pass, ReadError& error) const {
    const StreamPtr stored = repo().Open(file);
    std::optional<std::string> raw = ReadAll(*stored, kLargestText, error);
    if (!raw) return std::nullopt;
    const bool encrypted = raw->starts_with("Salted__");
    if (!encrypted && !pass) return raw;
    if (encrypted && !pass) {
      error = {ReadProblem::kKey, "it is encrypted, and no pass is given"};
      return std::nullopt;
    }
    const StreamPtr stream = DecryptCbc(OpenText(std::move(*raw)), *pass);
    return ReadAll(*stream, kLargestText, error);
  }

  /// Reads `file` and its copy, tells what is wrong with them (F05, F06, F20), and hands out a text that `good` accepts.
  Pair ReadPair(const fs::path& file, const std::string& set, const std::shared_ptr<Secret>& pass,
                const std::function<bool(const std::string&, ManifestError&)>& good, std::vector<Finding>& findings) const {
    Pair pair;
    const std::string object = file.filename().string();
    std::optional<std::string> texts[2];
    int missing = 0;
    for (int copy = 0; copy < 2; ++copy) {
      const std::string name = object + (copy == 0 ? "" : ".copy");
      ReadError error;
      std::optional<std::string> text = ReadPlain(file.parent_path() / name, pass, error);
      ManifestError refused;
      if (!text && error.problem == ReadProblem::kGone) {
        ++missing;
        findings.push_back(MakeFinding(5, set, name, "", "it is not there"));
      } else if (!text && error.problem == ReadProblem::kKey) {
        if (!pair.key_problem) findings.push_back(MakeFinding(20, set, name, "", error.message));
        pair.key_problem = true;
      } else if (!text) {
        findings.push_back(MakeFinding(6, set, name, "", error.message));
      } else if (!good(*text, refused)) {
        // What a wrong key makes of a text is no text of pgBackRest from its first byte on.
        if (pass && !text->starts_with("[backrest]\n")) {
          if (!pair.key_problem)
            findings.push_back(MakeFinding(20, set, name, "", "what comes out of the decryption is no text of pgBackRest"));
          pair.key_problem = true;
        } else {
          findings.push_back(MakeFinding(6, set, name, "", refused.message));
        }
      } else {
        texts[copy] = std::move(text);
      }
    }
    if (texts[0] && texts[1] && *texts[0] != *texts[1]) {
      findings.push_back(MakeFinding(5, set, object, "", "it and its copy say different things"));
    }
    if (missing == 2) {
      findings.pop_back();
      findings.back().what = "neither it nor its copy is there";
    }
    pair.text = texts[0] ? std::move(texts[0]) : std::move(texts[1]);
    if (pair.text && pair.key_problem) {
      // The key opens the other one: what does not open is damaged.
      for (Finding& each : findings) {
        if (each.fault == 20 && each.set == set && each.object.starts_with(object))
          each = MakeFinding(6, set, each.object, "", each.what);
      }
    }
    return pair;
  }

  std::optional<RepoManifest> ReadManifest(const std::string& label, std::vector<Finding>& findings) const {
    std::optional<RepoManifest> manifest;
    const auto good = [&](const std::string& text, ManifestError& error) {
      std::optional<RepoManifest> parsed = pgbackrest::ParseRepoManifest(text, error);
      if (!parsed) return false;
      if (!manifest) manifest = std::move(parsed);
      return true;
    };
    (void)ReadPair(Backups() / label / "backup.manifest", label, manifest_pass_, good, findings);
    if (!manifest) return std::nullopt;
    auto& files = manifest->content.files;
    std::sort(files.begin(), files.end(), [](const FileEntry& a, const FileEntry& b) { return a.path < b.path; });
    return manifest;
  }

  void LookAtArchives(Inventory& inventory) {
    if (!Exists(Archives())) return;
    std::optional<pgbackrest::ArchiveInfo> info;
    const auto good = [&](const std::string& text, ManifestError& error) {
      std::optional<pgbackrest::ArchiveInfo> parsed = pgbackrest::ParseArchiveInfo(text, error);
      if (!parsed) return false;
      info = std::move(parsed);
      return true;
    };
    (void)ReadPair(Archives() / "archive.info", "", pass_, good, inventory.findings);
    if (!info) return;
    wal_pass_ = PassOf(info->cipher_pass);
    for (const auto& [id, cluster] : info->history) {
      Archive archive;
      archive.name = cluster.version + "-" + std::to_string(id);
      archive.system_id = cluster.system_id;
      std::vector<RawFile> files;
      const fs::path folder = Archives() / archive.name;
      for (const StoredFile& file : repo().ListTree(folder)) {
        const fs::path path = folder / file.path;
        files.push_back({path.filename().string(), path, "", file.size});
      }
      FillArchive(
          archive, files, [this](const WalFile& file) { return OpenWal(file); }, inventory.findings);
      archive_of_[id] = inventory.archives.size();
      inventory.archives.push_back(std::move(archive));
    }
  }

  void LookAtBackups(Inventory& inventory) {
    if (!Exists(Backups())) return;
    std::optional<BackupInfo> info;
    const auto good = [&](const std::string& text, ManifestError& error) {
      std::optional<BackupInfo> parsed = pgbackrest::ParseBackupInfo(text, error);
      if (!parsed) return false;
      info = std::move(parsed);
      return true;
    };
    (void)ReadPair(Backups() / "backup.info", "", pass_, good, inventory.findings);
    if (!info) return;
    manifest_pass_ = PassOf(info->cipher_pass);
    std::set<std::string> labels;
    for (const ListedBackup& listed : info->backups) labels.insert(listed.label);
    for (const ListedBackup& listed : info->backups) inventory.sets.push_back(SetOf(listed, *info, labels, inventory));
    for (const std::string& label : repo().FoldersIn(Backups(), false)) {
      if (!IsLabel(label) || labels.count(label) > 0) continue;
      // pgBackRest keeps the folder of a backup that is running, or was broken off, without a manifest that is whole.
      if (!Exists(Backups() / label / "backup.manifest")) continue;
      inventory.findings.push_back(MakeFinding(7, label, label, "", "it is stored, and backup.info does not list it"));
    }
  }

  SetInfo SetOf(const ListedBackup& listed, const BackupInfo& info, const std::set<std::string>& labels, Inventory& inventory) {
    SetInfo set;
    set.label = listed.label;
    set.kind = "pgbackrest " + listed.type;
    set.prior = listed.prior;
    set.started = listed.started;
    set.stopped = listed.stopped;
    set.size = listed.size;
    set.stored_size = listed.stored_size;
    if (const auto cluster = info.history.find(listed.db_id); cluster != info.history.end()) {
      set.version = cluster->second.version;
      set.system_id = cluster->second.system_id;
    }
    if (const auto archive = archive_of_.find(listed.db_id); archive != archive_of_.end()) set.archive = archive->second;
    set.span.label = listed.label;
    set.span.stopped = listed.stopped;
    // The timeline stands in the segment's name alone.
    const std::uint64_t any_size = 1U << 20;
    const auto start = ParseSegmentName(listed.wal_start.substr(0, 16) + "00000000", any_size);
    const auto stop = ParseSegmentName(listed.wal_stop.substr(0, 16) + "00000000", any_size);
    set.offline = !listed.online;
    if (start && stop) set.span.wal.push_back({stop->timeline, listed.start, listed.stop});
    set.folder = Backups() / listed.label;
    set.present = Exists(set.folder);
    if (!set.present) {
      inventory.findings.push_back(
          MakeFinding(7, listed.label, listed.label, "", "backup.info lists the backup, and its folder is not stored"));
    }
    std::set<std::string> gone;
    for (const std::string& needed : listed.references) {
      if (labels.count(needed) == 0 || !Exists(Backups() / needed)) gone.insert(needed);
    }
    if (!listed.prior.empty() && (labels.count(listed.prior) == 0 || !Exists(Backups() / listed.prior))) gone.insert(listed.prior);
    for (const std::string& needed : gone) {
      inventory.findings.push_back(
          MakeFinding(11, listed.label, needed, "", "the backup needs files of '" + needed + "', which is gone"));
    }
    return set;
  }

  Place PlaceOf(const FileEntry& file, const std::string& label, const Packing& packing) const {
    const fs::path folder = Backups() / (file.holder.empty() ? label : file.holder);
    if (file.bundle != 0) return {folder / "bundle" / std::to_string(file.bundle), file.bundle_offset, true, packing.bare_bundles};
    const Compression compression = packing.compression;
    const std::string ending = file.block_incremental              ? ".pgbi"
                               : compression == Compression::kNone ? ""
                                                                   : std::string(".") + ToString(compression);
    const bool tablespace = file.path.starts_with("pg_tblspc/");
    return {folder / ((tablespace ? "" : "pg_data/") + file.path + ending), 0, false, false};
  }

  /// Compares the manifest with what is stored, and prepares the reading.
  void ArrangeFiles(const SetInfo& set, SetContent& content, Packing packing, std::vector<std::string> references,
                    std::vector<Finding>& findings) {
    std::vector<RepoSetReader::File> files;
    std::vector<StoredFile> listed;
    std::vector<StoredFile> stored;
    std::map<fs::path, std::optional<std::uint64_t>> bundles;
    std::map<fs::path, std::uint64_t> bundle_files;
    std::set<fs::path> own;
    std::set<std::string> holders_gone;
    for (const FileEntry& file : content.manifest.files) {
      if (file.size == 0 && file.digest == DigestKind::kNone && file.bundle == 0 && file.stored_sha1.empty())
        continue;  // not stored
      const Place place = PlaceOf(file, set.label, packing);
      if (!file.holder.empty() && !Exists(Backups() / file.holder)) {
        holders_gone.insert(file.holder);
        continue;  // told as the gone parent
      }
      if (file.bundle != 0) {
        const auto [bundle, is_new] = bundles.try_emplace(place.file, SizeOf(place.file));
        if (!bundle->second) {
          ++bundle_files[place.file];
          continue;
        }
        if (file.bundle_offset + file.stored_size > *bundle->second) {
          findings.push_back(
              MakeFinding(8, set.label, file.path, "", "it lies beyond the end of bundle " + std::to_string(file.bundle)));
          continue;
        }
      } else {
        listed.push_back({file.path, file.stored_size});
        if (file.holder.empty()) own.insert(place.file);
        const std::optional<std::uint64_t> size = SizeOf(place.file);
        if (!size) continue;
        stored.push_back({file.path, *size});
        if (*size != file.stored_size) continue;  // told by the comparison
      }
      if (file.block_incremental) {
        const bool mapped = file.block_map_bytes > 0 && file.block_map_bytes <= file.stored_size && file.block_bytes > 0;
        if (!mapped) {
          content.unread.push_back(file.path);
          continue;
        }
        files.push_back({file.path, place, file.stored_size, file.digest != DigestKind::kNone, file.size, file.block_bytes,
                         file.block_map_bytes, file.block_checksum_bytes});
        continue;
      }
      TakeSmall(file, place, packing, content.small);
      if (file.size == 0) continue;  // nothing in it could be damaged
      files.push_back({file.path, place, file.stored_size, file.digest != DigestKind::kNone, file.size, 0, 0, 0});
    }
    for (const auto& [bundle, count] : bundle_files) {
      Finding finding = MakeFinding(10, set.label, bundle.lexically_relative(Backups()).string(), "",
                                    std::to_string(count) + " files of the backup lie in it, and it is not stored");
      findings.push_back(std::move(finding));
    }
    AddStray(set.label, own, stored);
    std::sort(stored.begin(), stored.end(), [](const StoredFile& a, const StoredFile& b) { return a.path < b.path; });
    CompareListing(set.label, listed, stored, findings);
    content.reader =
        std::make_unique<RepoSetReader>(shared_repo(), std::move(files), std::move(packing), Backups(), std::move(references));
  }

  /// Files in the backup's own folder that its manifest does not know.
  void AddStray(const std::string& label, const std::set<fs::path>& own, std::vector<StoredFile>& stored) const {
    const fs::path folder = Backups() / label;
    for (const char* part : {"pg_data", "pg_tblspc"}) {
      for (const StoredFile& file : repo().ListTree(folder / part)) {
        if (file.path.starts_with("pg_tblspc/")) continue;  // links to the folder beside this one
        if (own.count(folder / part / file.path) == 0) stored.push_back({std::string(part) + "/" + file.path, file.size});
      }
    }
  }

  void TakeSmall(const FileEntry& file, const Place& place, const Packing& packing, SmallFiles& small) const {
    std::optional<std::string>* wanted = file.path == "PG_VERSION"          ? &small.version
                                         : file.path == "global/pg_control" ? &small.control
                                         : file.path == "backup_label"      ? &small.label
                                         : file.path == "tablespace_map"    ? &small.tablespace_map
                                                                            : nullptr;
    if (wanted == nullptr) return;
    StreamPtr stream = place.part ? repo().OpenPart(place.file, place.offset, file.stored_size) : repo().Open(place.file);
    stream = Unpack(std::move(stream), packing, place, false);
    ReadError error;
    *wanted = ReadAll(*stream, 1U << 20, error);
  }

  [[nodiscard]] bool Exists(const fs::path& path) const { return repo().Exists(path); }
  [[nodiscard]] std::optional<std::uint64_t> SizeOf(const fs::path& file) const { return repo().SizeOf(file); }

  fs::path root_;
  std::string stanza_;
  std::shared_ptr<Secret> pass_;
  std::string name_;
  std::shared_ptr<Secret> manifest_pass_;
  std::shared_ptr<Secret> wal_pass_;
  std::map<std::uint64_t, std::size_t> archive_of_;
};

std::vector<std::string> StanzasIn(const Folder& folder, const fs::path& root) {
  std::set<std::string> names;
  for (const char* part : {"backup", "archive"}) {
    for (std::string& name : folder.FoldersIn(root / part, true)) names.insert(std::move(name));
  }
  return {names.begin(), names.end()};
}

}  // namespace

Result<std::unique_ptr<Source>> OpenPgBackRestIn(std::shared_ptr<Folder> folder, const SourceOptions& options) {
  const std::vector<std::string> stanzas = StanzasIn(*folder, options.path);
  std::string known;
  for (const std::string& each : stanzas) known += (known.empty() ? "'" : ", '") + each + "'";
  std::string stanza = options.stanza;
  if (stanza.empty() && stanzas.size() == 1) stanza = stanzas[0];
  if (const std::optional<Error> trouble = folder->Trouble(); trouble && stanzas.empty()) return *trouble;
  if (stanzas.empty())
    return Fail("the repository '" + options.path.string() + "' holds no stanza",
                "is it the repository's own folder (repo1-path)?");
  if (stanza.empty())
    return Fail("the repository '" + options.path.string() + "' holds several stanzas", "name one of them: " + known);
  if (std::find(stanzas.begin(), stanzas.end(), stanza) == stanzas.end()) {
    return Fail("the repository '" + options.path.string() + "' holds no stanza '" + stanza + "'", "it holds " + known);
  }
  return std::unique_ptr<Source>(std::make_unique<PgBackRestRepo>(std::move(folder), options.path, stanza, options.cipher_pass));
}

}  // namespace lifeboat::backup
