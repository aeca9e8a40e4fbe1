// Dumps of pg_dump in one folder, here or in a store: custom and tar files, directories, plain scripts (compressed or not), and pg_dumpall's. They hold no hash
// of their bytes: what is compressed carries its compression's checksum, what is not can only be seen to be whole.

#include <algorithm>
#include <map>
#include <set>

#include "adapters/backups/source_internal.h"
#include "adapters/backups/tar.h"
#include "backup/pg_dump.h"

namespace lifeboat::backup {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kHead = 512;
constexpr std::size_t kTail = 1024;
constexpr std::size_t kMostContents = 512U << 20;
constexpr std::int64_t kLongestDump = 24 * 3600;  // seconds that a dump may have taken: its header says when it began
constexpr std::uint64_t kTinyShare = 10;         // a dump of less than a tenth of the one before it
constexpr std::uint64_t kTinyFrom = 64U << 10;  // where that one was at least so large

Compression CompressionOf(const fs::path& file) {
  const std::string whole = file.filename().string();
  std::string_view name = whole;
  return TakeCompression(name);
}

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

/// The table of contents at a file's begin (of a tar file: in its first entry); what it takes is read, not more than four times that.
Result<DumpContents> ReadContents(const Folder& in, const fs::path& file, std::size_t header = 0) {
  for (std::size_t limit = 256U << 10;; limit *= 4) {
    const StreamPtr stream = Decompress(in.Open(file), CompressionOf(file));
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
  const StreamPtr stream = Decompress(in.Open(file), CompressionOf(file));
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
  const StreamPtr stream = Decompress(in.Open(file), CompressionOf(file));
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
  if (dump.kind == DumpKind::kCustom || dump.kind == DumpKind::kTar) dump.began = BeganAt(in, path, dump.kind == DumpKind::kTar ? kTarBlock : 0);
  return dump;
}

bool IsDumpDirectory(const Folder& in, const fs::path& folder) {
  if (in.Exists(folder / "toc.dat")) return true;
  bool data = false;
  for (const FolderEntry& entry : EntriesOf(in, folder)) {
    if (entry.name == "PG_VERSION") return false;
    data = data || (entry.name.find(".dat") != std::string::npos && entry.name.find_first_not_of("0123456789") == entry.name.find(".dat"));
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
  std::sort(dumps.begin(), dumps.end(), [](const Dump& a, const Dump& b) { return std::tie(a.changed, a.label) < std::tie(b.changed, b.label); });
  return dumps;
}

/// The pieces of one object in a custom dump's data: a length and that many bytes, until a length of zero.
class PieceStream : public ByteStream {
 public:
  PieceStream(ByteStream& file, int integer_bytes) : file_(file), integer_bytes_(integer_bytes) {}

  std::optional<std::size_t> Read(std::span<char> into) override {
    while (left_ == 0) {
      if (ended_) return 0;
      const std::optional<std::int64_t> length = Integer();
      if (!length) return std::nullopt;
      if (*length < 0) return Fail(ReadProblem::kDamaged, "a piece of data has a length below zero");
      left_ = static_cast<std::uint64_t>(*length);
      ended_ = left_ == 0;
    }
    const std::optional<std::size_t> got = file_.Read(into.first(static_cast<std::size_t>(std::min<std::uint64_t>(left_, into.size()))));
    if (!got) return Pass(file_);
    if (*got == 0) return Fail(ReadProblem::kTruncated, "the dump ends " + std::to_string(left_) + " bytes too early");
    left_ -= *got;
    return got;
  }

  std::optional<std::int64_t> Integer() {
    unsigned char bytes[33];
    const std::size_t size = static_cast<std::size_t>(integer_bytes_) + 1;
    for (std::size_t have = 0; have < size;) {
      const std::optional<std::size_t> got = file_.Read({reinterpret_cast<char*>(bytes) + have, size - have});
      if (!got) return Pass(file_);
      if (*got == 0) return Fail(ReadProblem::kTruncated, "the dump ends within its data");
      have += *got;
    }
    std::int64_t number = 0;
    for (std::size_t byte = std::min<std::size_t>(size - 1, 7); byte > 0; --byte) number = number << 8 | bytes[byte];
    return bytes[0] != 0 ? -number : number;
  }

 private:
  ByteStream& file_;
  int integer_bytes_;
  std::uint64_t left_ = 0;
  bool ended_ = false;
};

/// Lets another own the stream.
class Borrowed : public ByteStream {
 public:
  explicit Borrowed(ByteStream& inner) : inner_(inner) {}
  std::optional<std::size_t> Read(std::span<char> into) override {
    const std::optional<std::size_t> got = inner_.Read(into);
    return got ? got : Pass(inner_);
  }

 private:
  ByteStream& inner_;
};

/// Small reads of a custom dump's lengths, out of large ones of the file.
class Buffered : public ByteStream {
 public:
  explicit Buffered(StreamPtr inner) : inner_(std::move(inner)), buffer_(256U << 10) {}
  std::optional<std::size_t> Read(std::span<char> into) override {
    if (from_ == to_) {
      const std::optional<std::size_t> got = inner_->Read(buffer_);
      if (!got) return Pass(*inner_);
      from_ = 0;
      to_ = *got;
    }
    const std::size_t take = std::min(into.size(), to_ - from_);
    std::copy_n(buffer_.begin() + static_cast<std::ptrdiff_t>(from_), take, into.begin());
    from_ += take;
    return take;
  }

 private:
  StreamPtr inner_;
  std::vector<char> buffer_;
  std::size_t from_ = 0;
  std::size_t to_ = 0;
};

/// Walks a custom dump's data from its first block to its end.
class CustomReader : public SetReader {
 public:
  CustomReader(std::shared_ptr<Folder> in, fs::path file, std::uint64_t stored, DumpContents contents)
      : in_(std::move(in)), file_(std::move(file)), stored_(stored), contents_(std::move(contents)) {
    for (const DumpEntry& entry : contents_.entries) {
      if (entry.holds_data) expected_.emplace(entry.id, entry.what);
    }
  }
  std::size_t Units() const override { return 1; }
  std::uint64_t StoredBytes(std::size_t) const override { return stored_; }
  void Read(std::size_t, FileSink& sink) override {
    std::map<std::int64_t, std::string> missing = expected_;
    const std::string name = file_.filename().string();
    Buffered file(in_->OpenPart(file_, contents_.bytes, stored_ - std::min(stored_, contents_.bytes)));
    ReadError error;
    bool whole = true;
    char kind = 0;
    for (std::optional<std::size_t> got = file.Read({&kind, 1}); whole; got = file.Read({&kind, 1})) {
      if (!got) {
        error = file.error();
        whole = false;
      } else if (*got == 0) {
        break;
      } else {
        whole = Block(file, kind, sink, missing, error);
      }
    }
    if (whole && !missing.empty()) {
      error = {ReadProblem::kTruncated, "the data of " + std::to_string(missing.size()) + " objects are missing, the first '" + missing.begin()->second + "'"};
      whole = false;
    }
    if (whole) return;
    sink.Begin(name);
    sink.End(&error);
  }

 private:
  bool Block(ByteStream& file, char kind, FileSink& sink, std::map<std::int64_t, std::string>& missing, ReadError& error) const {
    constexpr char kData = 1;
    constexpr char kLargeObjects = 3;
    PieceStream head(file, contents_.integer_bytes);
    const std::optional<std::int64_t> id = head.Integer();
    const auto known = id ? expected_.find(*id) : expected_.end();
    if (!id || (kind != kData && kind != kLargeObjects) || known == expected_.end()) {
      error = id ? ReadError{ReadProblem::kDamaged, "there is no block of data where one should begin"} : head.error();
      return false;
    }
    missing.erase(*id);
    if (kind == kData) return Object(file, known->second, sink, error);
    while (true) {
      const std::optional<std::int64_t> object = head.Integer();
      if (!object) {
        error = head.error();
        return false;
      }
      if (*object == 0) return true;
      if (!Object(file, known->second + " " + std::to_string(*object), sink, error)) return false;
    }
  }

  bool Object(ByteStream& file, const std::string& what, FileSink& sink, ReadError& error) const {
    PieceStream pieces(file, contents_.integer_bytes);
    StreamPtr data = std::make_unique<Borrowed>(pieces);
    data = contents_.compression == Compression::kGzip ? InflateZlib(std::move(data)) : Decompress(std::move(data), contents_.compression);
    sink.Begin(what);
    std::vector<char> block(256U << 10);
    while (true) {
      const std::optional<std::size_t> got = data->Read(block);
      if (!got) {
        error = data->error();
        error.message = "'" + what + "': " + error.message;
        return false;
      }
      if (*got == 0) {
        sink.End(nullptr);
        return true;
      }
      if (!sink.Data({block.data(), *got})) {
        sink.End(nullptr);
        return false;
      }
    }
  }

  std::shared_ptr<Folder> in_;
  fs::path file_;
  std::uint64_t stored_;
  DumpContents contents_;
  std::map<std::int64_t, std::string> expected_;
};

/// A list of large objects names their files: "16391 blob_16391.dat".
void TakeLargeObjects(std::string_view list, std::set<std::string>& files) {
  for (std::size_t at = 0; at < list.size();) {
    const std::size_t end = std::min(list.find('\n', at), list.size());
    const std::size_t space = list.find(' ', at);
    if (space < end) files.insert(std::string(list.substr(space + 1, end - space - 1)));
    at = end + 1;
  }
}

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

/// Walks a tar dump from its first entry to its end mark.
class TarDumpReader : public SetReader {
 public:
  /// @param expected  the files that the table of contents lists
  TarDumpReader(std::shared_ptr<Folder> in, fs::path file, std::uint64_t stored, std::set<std::string> expected)
      : in_(std::move(in)), file_(std::move(file)), stored_(stored), expected_(std::move(expected)) {}
  std::size_t Units() const override { return 1; }
  std::uint64_t StoredBytes(std::size_t) const override { return stored_; }
  void Read(std::size_t, FileSink& sink) override {
    TarMembers members(expected_);
    TarReader reader(Decompress(in_->Open(file_), CompressionOf(file_)));
    std::vector<char> block(256U << 10);
    while (const std::optional<TarEntry> entry = reader.Next()) {
      members.Begin(entry->name);
      sink.Begin(entry->name);
      std::optional<std::size_t> got = reader.Read(block);
      for (; got && *got > 0; got = reader.Read(block)) {
        if (members.IsList()) members.Take({block.data(), *got});
        if (!sink.Data({block.data(), *got})) return sink.End(nullptr);
      }
      if (!got) break;  // told of the file as a whole
      sink.End(nullptr);
    }
    ReadError error = reader.error();
    const std::optional<std::string> missing = members.Missing();
    if (!reader.failed() && !missing) return;
    if (!reader.failed()) error = {ReadProblem::kTruncated, *missing};
    sink.Begin(file_.filename().string());
    sink.End(&error);
  }

 private:
  std::shared_ptr<Folder> in_;
  fs::path file_;
  std::uint64_t stored_;
  std::set<std::string> expected_;
};

/// Files that are decompressed one by one; of a script also the last words are looked at.
class FilesReader : public SetReader {
 public:
  struct File {
    std::string path;
    fs::path file;
    std::uint64_t stored = 0;
    bool script = false;
  };
  FilesReader(std::shared_ptr<Folder> in, std::vector<File> files) : in_(std::move(in)), files_(std::move(files)) {}
  std::size_t Units() const override { return files_.size(); }
  std::uint64_t StoredBytes(std::size_t unit) const override { return files_[unit].stored; }
  std::string PathOf(std::size_t unit) const override { return files_[unit].path; }
  void Read(std::size_t unit, FileSink& sink) override {
    const File& file = files_[unit];
    const StreamPtr stream = Decompress(in_->Open(file.file), CompressionOf(file.file));
    if (!file.script) return Pump(*stream, file.path, sink);
    LastWords words(sink);
    Pump(*stream, file.path, words);
  }

 private:
  /// Passes all on, and turns a script without an end into one that is cut off.
  class LastWords : public FileSink {
   public:
    explicit LastWords(FileSink& sink) : sink_(sink) {}
    void Begin(const std::string& path) override { sink_.Begin(path); }
    bool Data(std::span<const char> bytes) override {
      const std::size_t keep = std::min(bytes.size(), kTail);
      last_.append(bytes.data() + bytes.size() - keep, keep);
      if (last_.size() > kTail) last_.erase(0, last_.size() - kTail);
      going_on_ = sink_.Data(bytes);
      return going_on_;
    }
    void End(const ReadError* error) override {
      const ReadError cut{ReadProblem::kTruncated, "it does not end with the words of a dump that is complete"};
      sink_.End(error == nullptr && going_on_ && !IsEndOfScript(last_) ? &cut : error);
    }

   private:
    FileSink& sink_;
    std::string last_;
    bool going_on_ = true;
  };
  std::shared_ptr<Folder> in_;
  std::vector<File> files_;
};

class Dumps : public FolderSource {
 public:
  Dumps(std::shared_ptr<Folder> in, fs::path folder) : FolderSource(std::move(in)), folder_(std::move(folder)), name_(folder_.string()) {}
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
        inventory.findings.push_back(MakeFinding(2, dump.label, dump.label, "", "it has " + std::to_string(dump.stored) + " bytes, and they are no dump"));
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
      if (before->kind != newest.kind || CompressionOf(before->path) != CompressionOf(newest.path)) continue;
      if (before->stored >= kTinyFrom && newest.stored < before->stored / kTinyShare) {
        findings.push_back(MakeFinding(2, newest.label, newest.label, "", "it has " + std::to_string(newest.stored) + " bytes, and '" + before->label +
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
    if (CompressionOf(dump.path) != Compression::kNone) {
      // Compressed once more: nothing in it can be found by its place, and all of it has the outer compression's checksum.
      content.reader = std::make_unique<FilesReader>(shared_repo(), std::vector<FilesReader::File>{{dump.label, dump.path, dump.stored, false}});
      return content;
    }
    for (const DumpEntry& entry : contents->entries) {
      if (!entry.holds_data || !entry.placed || entry.offset < dump.stored) continue;
      findings.push_back(MakeFinding(8, dump.label, dump.label, entry.what, "its data should begin at " + std::to_string(entry.offset) + ", and the file has " +
                                                                                std::to_string(dump.stored) + " bytes"));
      return std::nullopt;  // one damage, one number
    }
    if (contents->compression == Compression::kNone) content.not_proven = "it is not compressed, and holds no checksums: it was seen to be whole, no more";
    content.reader = std::make_unique<CustomReader>(shared_repo(), dump.path, dump.stored, std::move(*contents));
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
    if (CompressionOf(dump.path) != Compression::kNone) {
      content.small_when_read = true;
    } else {
      if (const std::optional<std::string> wrong = WalkTar(dump, listed)) {
        findings.push_back(MakeFinding(8, dump.label, dump.label, "", *wrong));
        return std::nullopt;  // one damage, one number
      }
      content.not_proven = "it is not compressed, and holds no checksums: it was seen to be whole, no more";
    }
    content.reader = std::make_unique<TarDumpReader>(shared_repo(), dump.path, dump.stored, std::move(listed));
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
    if (contents && contents->bytes != repo().SizeOf(dump.path / "toc.dat").value_or(0)) wrong = "it does not end where its table of contents does";
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
    std::vector<FilesReader::File> files;
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
    content.reader = std::make_unique<FilesReader>(shared_repo(), std::move(files));
    return content;
  }

  void AddLargeObjects(const Dump& dump, const std::string& list, std::set<std::string>& listed) const {
    ReadError error;
    TakeLargeObjects(ReadSmall(repo(), dump.path / list, error).value_or(""), listed);
  }

  std::optional<SetContent> OpenScript(const Dump& dump, std::vector<Finding>& findings) const {
    const bool compressed = CompressionOf(dump.path) != Compression::kNone;
    SetContent content;
    if (!compressed) {
      const std::uint64_t from = dump.stored - std::min<std::uint64_t>(dump.stored, kTail);
      const StreamPtr stream = repo().OpenPart(dump.path, from, dump.stored - from);
      ReadError error;
      if (!IsEndOfScript(ReadAll(*stream, kTail, error).value_or(""))) {
        findings.push_back(MakeFinding(8, dump.label, dump.label, "", "it does not end with the words of a dump that is complete"));
        return std::nullopt;  // one damage, one number
      }
      content.not_proven = "it is not compressed, and holds no checksums: it was seen to be whole, no more";
    }
    content.reader = std::make_unique<FilesReader>(shared_repo(), std::vector<FilesReader::File>{{dump.label, dump.path, dump.stored, true}});
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
