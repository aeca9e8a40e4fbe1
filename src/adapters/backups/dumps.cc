// Dumps of pg_dump in one folder, here or in a store: custom and tar files, directories, plain scripts (compressed or not), and
// pg_dumpall's. They hold no hash of their bytes: what is compressed carries its compression's checksum, what is not can only be
// seen to be whole.

#include <algorithm>
#include <map>
#include <set>

#include "adapters/backups/dump_readers.h"
#include "adapters/backups/source_internal.h"
#include "adapters/backups/tar.h"
#include "backup/pg_dump.h"

namespace lifeboat::backup {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kHead = 512;
constexpr std::size_t kMostContents = 512U << 20;
constexpr std::int64_t kLongestDump = 24 * 3600;  // seconds that a dump may have taken: its header says when it began
constexpr std::uint64_t kTinyShare = 10;          // a dump of less than a tenth of the one before it
constexpr std::uint64_t kTinyFrom = 64U << 10;    // where that one was at least so large

/// Up to `limit` bytes of the stream. Nothing: it fails before.
std::optional<std::string> ReadFirst(ByteStream& stream, std::size_t limit) {
  std::string text(limit, '\0');
  std::size_t have = 0;
  while (have < limit) {
    const std::optional<std::size_t> got = stream.Read({text.data() + have, limit - have});
    if (!got) return std::nullopt;
    if (*got == 0) break;
    have += *got;
  }
  text.resize(have);
  return text;
}

/// The table of contents at a file's begin (of a tar file: in its first entry); what it takes is read, not more than four times
/// that.
Result<DumpContents> ReadContents(const Folder& in, const fs::path& file, std::size_t header = 0) {
  for (std::size_t limit = 256U << 10;; limit *= 4) {
    const StreamPtr stream = Decompress(in.Open(file), CompressionOfDump(file));
    const std::optional<std::string> text = ReadFirst(*stream, limit);
    if (!text) return Fail(stream->error().message);
    std::string_view table = *text;
    if (header > 0) {
      const Result<TarEntry> entry = ParseTarHeader(table);
      if (!entry) return entry.error();
      table = table.substr(header, entry->size);
    }
    bool cut = false;
    Result<DumpContents> contents = ParseDumpContents(table, cut);
    const bool all = text->size() < limit || (header > 0 && table.size() + header < text->size());
    if (contents || !cut || all || limit >= kMostContents) return contents;
  }
}

/// When the dump began, as its header says; the first bytes are enough. 0: it says nothing.
std::int64_t BeganAt(const Folder& in, const fs::path& file, std::size_t header) {
  const StreamPtr stream = Decompress(in.Open(file), CompressionOfDump(file));
  const std::optional<std::string> text = ReadFirst(*stream, header + kHead);
  return text && text->size() > header ? BeginOfDump(std::string_view(*text).substr(header)) : 0;
}

bool HasDumpEnding(const fs::path& file) {
  const std::string whole = file.filename().string();
  std::string_view name = whole;
  (void)TakeCompression(name);
  for (const char* ending : {".dump", ".sql", ".pgdump", ".dmp", ".custom"}) {
    if (name.ends_with(ending)) return true;
  }
  return false;
}

/// One dump, as it lies there.
struct Dump {
  std::string label;
  fs::path path;
  DumpKind kind = DumpKind::kNone;
  std::uint64_t stored = 0;
  std::int64_t changed = 0;
  std::int64_t began = 0;  ///< DumpContents::began
};

DumpKind KindOf(const Folder& in, const fs::path& file) {
  const StreamPtr stream = Decompress(in.Open(file), CompressionOfDump(file));
  const std::optional<std::string> first = ReadFirst(*stream, kHead);
  if (!first) {
    // What cannot be decompressed from its first byte on is judged by its name: a damaged script, or nothing at all.
    const std::string name = file.filename().string();
    return name.find(".sql") != std::string::npos ? DumpKind::kScript : DumpKind::kNone;
  }
  return RecogniseDump(*first);
}

Dump LookAt(const Folder& in, const fs::path& path) {
  Dump dump;
  dump.label = path.filename().string();
  dump.path = path;
  if (in.IsFolder(path)) {
    dump.kind = DumpKind::kDirectory;
    for (const StoredFile& file : in.ListTree(path)) dump.stored += file.size;
    dump.changed = in.ChangedAt(in.Exists(path / "toc.dat") ? path / "toc.dat" : path);
    if (in.Exists(path / "toc.dat")) dump.began = BeganAt(in, path / "toc.dat", 0);
    return dump;
  }
  dump.kind = KindOf(in, path);
  dump.stored = in.SizeOf(path).value_or(0);
  dump.changed = in.ChangedAt(path);
  if (dump.kind == DumpKind::kCustom || dump.kind == DumpKind::kTar)
    dump.began = BeganAt(in, path, dump.kind == DumpKind::kTar ? kTarBlock : 0);
  return dump;
}

bool IsDumpDirectory(const Folder& in, const fs::path& folder) {
  if (in.Exists(folder / "toc.dat")) return true;
  bool data = false;
  for (const FolderEntry& entry : EntriesOf(in, folder)) {
    if (entry.name == "PG_VERSION") return false;
    data = data ||
           (entry.name.find(".dat") != std::string::npos && entry.name.find_first_not_of("0123456789") == entry.name.find(".dat"));
  }
  return data;
}

std::vector<Dump> DumpsIn(const Folder& in, const fs::path& folder) {
  std::vector<Dump> dumps;
  if (IsDumpDirectory(in, folder)) {
    dumps.push_back(LookAt(in, folder.has_filename() ? folder : folder.parent_path()));
    return dumps;
  }
  for (const FolderEntry& entry : EntriesOf(in, folder)) {
    const fs::path path = folder / entry.name;
    if (entry.name.starts_with(".")) continue;
    if (entry.folder ? IsDumpDirectory(in, path) : entry.file) dumps.push_back(LookAt(in, path));
  }
  std::sort(dumps.begin(), dumps.end(),
            [](const Dump& a, const Dump& b) { return std::tie(a.changed, a.label) < std::tie(b.changed, b.label); });
  return dumps;
}

class Dumps : public FolderSource {
 public:
  Dumps(std::shared_ptr<Folder> in, fs::path folder)
      : FolderSource(std::move(in)), folder_(std::move(folder)), name_(folder_.string()) {}
  const std::string& name() const override { return name_; }

  Result<Inventory> Look() override {
    Inventory inventory;
    dumps_ = DumpsIn(repo(), folder_);
    if (const std::optional<Error> trouble = Trouble()) return *trouble;
    if (dumps_.empty()) return Fail("'" + name_ + "' holds no dump", "name the folder that pg_dump's files lie in");
    for (const Dump& dump : dumps_) {
      SetInfo set;
      set.label = dump.label;
      set.kind = dump.kind == DumpKind::kNone ? "unknown" : ToString(dump.kind);
      set.logical = true;
      set.folder = dump.path;
      set.stopped = dump.changed;
      if (dump.began != 0) {
        // What its own header says goes before a file's date: an old dump does not become young by being copied. Its zone is not
        // said, so the latest moment counts that it can mean, and for the data's age the earliest.
        const Moments began = MomentsOf(dump.began);
        set.shows = std::min(dump.changed, began.earliest);
        if (dump.changed - began.latest > kLongestDump) set.stopped = began.latest;
      }
      set.size = dump.stored;
      set.stored_size = dump.stored;
      set.span.label = dump.label;
      set.span.stopped = dump.changed;
      if (dump.kind == DumpKind::kNone) {
        inventory.findings.push_back(
            MakeFinding(2, dump.label, dump.label, "", "it has " + std::to_string(dump.stored) + " bytes, and they are no dump"));
      }
      inventory.sets.push_back(std::move(set));
    }
    JudgeSize(inventory.findings);
    return inventory;
  }

  std::optional<SetContent> OpenSet(const SetInfo& set, std::vector<Finding>& findings) override {
    const auto dump = std::find_if(dumps_.begin(), dumps_.end(), [&](const Dump& each) { return each.label == set.label; });
    if (dump == dumps_.end() || dump->kind == DumpKind::kNone) return std::nullopt;
    TellRoles(*dump, findings);
    switch (dump->kind) {
      case DumpKind::kCustom: return OpenCustom(*dump, findings);
      case DumpKind::kDirectory: return OpenDirectory(*dump, findings);
      case DumpKind::kTar: return OpenTar(*dump, findings);
      default: return OpenScript(*dump, findings);
    }
  }

  StreamPtr OpenWal(const WalFile& file) override { return repo().Open(file.file); }

 private:
  /// The newest dump against the one of its kind before it.
  void JudgeSize(std::vector<Finding>& findings) const {
    const Dump& newest = dumps_.back();
    if (newest.kind == DumpKind::kNone || newest.kind == DumpKind::kGlobals) return;
    for (auto before = dumps_.rbegin() + 1; before != dumps_.rend(); ++before) {
      if (before->kind != newest.kind || CompressionOfDump(before->path) != CompressionOfDump(newest.path)) continue;
      if (before->stored >= kTinyFrom && newest.stored < before->stored / kTinyShare) {
        findings.push_back(MakeFinding(2, newest.label, newest.label, "",
                                       "it has " + std::to_string(newest.stored) + " bytes, and '" + before->label +
                                           "' before it " + std::to_string(before->stored)));
      }
      return;
    }
  }

  /// Roles, their passwords and tablespaces are of the cluster: no dump of a database holds them.
  void TellRoles(const Dump& dump, std::vector<Finding>& findings) const {
    const bool here = std::any_of(dumps_.begin(), dumps_.end(), [](const Dump& each) { return each.kind == DumpKind::kGlobals; });
    if (here || dump.kind == DumpKind::kGlobals || &dump != &dumps_.back()) return;
    Finding finding = MakeFinding(37, dump.label, dump.label, "", "no file of pg_dumpall lies beside it");
    finding.severity = Severity::kNote;
    findings.push_back(std::move(finding));
  }

  std::optional<SetContent> OpenCustom(const Dump& dump, std::vector<Finding>& findings) const {
    Result<DumpContents> contents = ReadContents(repo(), dump.path);
    if (!contents) {
      findings.push_back(MakeFinding(6, dump.label, dump.label, "", contents.error().message));
      return std::nullopt;
    }
    SetContent content;
    if (CompressionOfDump(dump.path) != Compression::kNone) {
      // Compressed once more: nothing in it can be found by its place, and all of it has the outer compression's checksum.
      content.reader = ReadDumpFiles(shared_repo(), std::vector<DumpFile>{{dump.label, dump.path, dump.stored, false}});
      return content;
    }
    for (const DumpEntry& entry : contents->entries) {
      if (!entry.holds_data || !entry.placed || entry.offset < dump.stored) continue;
      findings.push_back(MakeFinding(8, dump.label, dump.label, entry.what,
                                     "its data should begin at " + std::to_string(entry.offset) + ", and the file has " +
                                         std::to_string(dump.stored) + " bytes"));
      return std::nullopt;  // one damage, one number
    }
    if (contents->compression == Compression::kNone)
      content.not_proven = "it is not compressed, and holds no checksums: it was seen to be whole, no more";
    content.reader = ReadCustomDump(shared_repo(), dump.path, dump.stored, std::move(*contents));
    return content;
  }

  std::optional<SetContent> OpenTar(const Dump& dump, std::vector<Finding>& findings) const {
    const Result<DumpContents> contents = ReadContents(repo(), dump.path, kTarBlock);
    if (!contents) {
      findings.push_back(MakeFinding(6, dump.label, dump.label, "", contents.error().message));
      return std::nullopt;
    }
    std::set<std::string> listed;
    for (const DumpEntry& entry : contents->entries) {
      if (!entry.holds_data) continue;
      // Large objects have files of their own, and a list of them, which is not what the entry names. @source pg_backup_tar.c
      const bool large = entry.what.starts_with("BLOBS");
      listed.insert(!large ? entry.file : contents->format_minor < 16 ? "blobs.toc" : "blobs_" + std::to_string(entry.id) + ".toc");
    }
    SetContent content;
    if (CompressionOfDump(dump.path) != Compression::kNone) {
      content.small_when_read = true;
    } else {
      if (const std::optional<std::string> wrong = WalkTar(dump, listed)) {
        findings.push_back(MakeFinding(8, dump.label, dump.label, "", *wrong));
        return std::nullopt;  // one damage, one number
      }
      content.not_proven = "it is not compressed, and holds no checksums: it was seen to be whole, no more";
    }
    content.reader = ReadTarDump(shared_repo(), dump.path, dump.stored, std::move(listed));
    return content;
  }

  /// From header to header, without what lies between. @return what is wrong with it
  std::optional<std::string> WalkTar(const Dump& dump, const std::set<std::string>& listed) const {
    TarMembers members(listed);
    for (std::uint64_t at = 0;;) {
      if (at + kTarBlock > dump.stored) return "the tar file has no end mark";
      const StreamPtr stream = repo().OpenPart(dump.path, at, kTarBlock);
      const std::optional<std::string> block = ReadFirst(*stream, kTarBlock);
      if (!block) return stream->error().message;
      if (block->find_first_not_of('\0') == std::string::npos) break;
      const Result<TarEntry> entry = ParseTarHeader(*block);
      if (!entry) return entry.error().message;
      members.Begin(entry->name);
      if (members.IsList()) {
        ReadError error;
        const StreamPtr list = repo().OpenPart(dump.path, at + kTarBlock, entry->size);
        const std::optional<std::string> text = ReadAll(*list, kMostContents, error);
        if (!text) return error.message;
        members.Take(*text);
      }
      at += kTarBlock + (entry->size + kTarBlock - 1) / kTarBlock * kTarBlock;
    }
    return members.Missing();
  }

  std::optional<SetContent> OpenDirectory(const Dump& dump, std::vector<Finding>& findings) const {
    if (!repo().Exists(dump.path / "toc.dat")) {
      findings.push_back(MakeFinding(5, dump.label, "toc.dat", "", "the dump has no table of contents"));
      return std::nullopt;
    }
    const Result<DumpContents> contents = ReadContents(repo(), dump.path / "toc.dat");
    std::string wrong = contents ? "" : contents.error().message;
    if (contents && contents->bytes != repo().SizeOf(dump.path / "toc.dat").value_or(0))
      wrong = "it does not end where its table of contents does";
    if (!wrong.empty()) {
      findings.push_back(MakeFinding(6, dump.label, "toc.dat", "", wrong));
      return std::nullopt;
    }
    std::set<std::string> listed;
    for (const DumpEntry& entry : contents->entries) {
      if (!entry.holds_data) continue;
      listed.insert(entry.file);
      if (entry.file.starts_with("blobs")) AddLargeObjects(dump, entry.file, listed);
    }
    SetContent content;
    std::vector<DumpFile> files;
    bool compressed = true;
    for (const StoredFile& file : repo().ListTree(dump.path)) {
      std::string_view name = file.path;
      const Compression compression = TakeCompression(name);
      if (file.path == "toc.dat") continue;
      if (listed.erase(std::string(name)) == 0) {
        findings.push_back(MakeFinding(7, dump.label, file.path, "", "it is stored, and the table of contents does not list it"));
        continue;
      }
      compressed = compressed && (compression != Compression::kNone || file.path.ends_with(".toc"));
      files.push_back({file.path, dump.path / file.path, file.size, false});
    }
    for (const std::string& gone : listed) {
      findings.push_back(MakeFinding(7, dump.label, gone, "", "the table of contents lists it, and it is not stored"));
    }
    if (!compressed) content.not_proven = "it is not compressed, and holds no checksums: its files are there, no more is known";
    content.reader = ReadDumpFiles(shared_repo(), std::move(files));
    return content;
  }

  void AddLargeObjects(const Dump& dump, const std::string& list, std::set<std::string>& listed) const {
    ReadError error;
    TakeLargeObjects(ReadSmall(repo(), dump.path / list, error).value_or(""), listed);
  }

  std::optional<SetContent> OpenScript(const Dump& dump, std::vector<Finding>& findings) const {
    const bool compressed = CompressionOfDump(dump.path) != Compression::kNone;
    SetContent content;
    if (!compressed) {
      const std::uint64_t from = dump.stored - std::min<std::uint64_t>(dump.stored, kDumpTail);
      const StreamPtr stream = repo().OpenPart(dump.path, from, dump.stored - from);
      ReadError error;
      if (!IsEndOfScript(ReadAll(*stream, kDumpTail, error).value_or(""))) {
        findings.push_back(MakeFinding(8, dump.label, dump.label, "", "it does not end with the words of a dump that is complete"));
        return std::nullopt;  // one damage, one number
      }
      content.not_proven = "it is not compressed, and holds no checksums: it was seen to be whole, no more";
    }
    content.reader = ReadDumpFiles(shared_repo(), std::vector<DumpFile>{{dump.label, dump.path, dump.stored, true}});
    return content;
  }

  fs::path folder_;
  std::string name_;
  std::vector<Dump> dumps_;
};

}  // namespace

bool LooksLikeDumps(const Folder& in, const fs::path& folder) {
  if (IsDumpDirectory(in, folder)) return true;
  for (const FolderEntry& entry : EntriesOf(in, folder)) {
    if (entry.folder ? IsDumpDirectory(in, folder / entry.name) : HasDumpEnding(entry.name)) return true;
    if (entry.file && KindOf(in, folder / entry.name) != DumpKind::kNone) return true;
  }
  return false;
}

Result<std::unique_ptr<Source>> OpenDumpsIn(std::shared_ptr<Folder> folder, const SourceOptions& options) {
  return std::unique_ptr<Source>(std::make_unique<Dumps>(std::move(folder), options.path));
}

}  // namespace lifeboat::backup
