#include "adapters/backups/dump_readers.h"

#include <algorithm>
#include <map>

#include "adapters/backups/source_internal.h"
#include "adapters/backups/tar.h"

namespace lifeboat::backup {

namespace {

namespace fs = std::filesystem;

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
    const std::optional<std::size_t> got =
        file_.Read(into.first(static_cast<std::size_t>(std::min<std::uint64_t>(left_, into.size()))));
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
      error = {ReadProblem::kTruncated, "the data of " + std::to_string(missing.size()) + " objects are missing, the first '" +
                                            missing.begin()->second + "'"};
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
    data = contents_.compression == Compression::kGzip ? InflateZlib(std::move(data))
                                                       : Decompress(std::move(data), contents_.compression);
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
    TarReader reader(Decompress(in_->Open(file_), CompressionOfDump(file_)));
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
  FilesReader(std::shared_ptr<Folder> in, std::vector<DumpFile> files) : in_(std::move(in)), files_(std::move(files)) {}
  std::size_t Units() const override { return files_.size(); }
  std::uint64_t StoredBytes(std::size_t unit) const override { return files_[unit].stored; }
  std::string PathOf(std::size_t unit) const override { return files_[unit].path; }
  void Read(std::size_t unit, FileSink& sink) override {
    const DumpFile& file = files_[unit];
    const StreamPtr stream = Decompress(in_->Open(file.file), CompressionOfDump(file.file));
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
      const std::size_t keep = std::min(bytes.size(), kDumpTail);
      last_.append(bytes.data() + bytes.size() - keep, keep);
      if (last_.size() > kDumpTail) last_.erase(0, last_.size() - kDumpTail);
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
  std::vector<DumpFile> files_;
};

}  // namespace

Compression CompressionOfDump(const fs::path& file) {
  const std::string whole = file.filename().string();
  std::string_view name = whole;
  return TakeCompression(name);
}

void TakeLargeObjects(std::string_view list, std::set<std::string>& files) {
  for (std::size_t at = 0; at < list.size();) {
    const std::size_t end = std::min(list.find('\n', at), list.size());
    const std::size_t space = list.find(' ', at);
    if (space < end) files.insert(std::string(list.substr(space + 1, end - space - 1)));
    at = end + 1;
  }
}

std::unique_ptr<SetReader> ReadCustomDump(std::shared_ptr<Folder> in, fs::path file, std::uint64_t stored, DumpContents contents) {
  return std::make_unique<CustomReader>(std::move(in), std::move(file), stored, std::move(contents));
}

std::unique_ptr<SetReader> ReadTarDump(std::shared_ptr<Folder> in, fs::path file, std::uint64_t stored,
                                       std::set<std::string> expected) {
  return std::make_unique<TarDumpReader>(std::move(in), std::move(file), stored, std::move(expected));
}

std::unique_ptr<SetReader> ReadDumpFiles(std::shared_ptr<Folder> in, std::vector<DumpFile> files) {
  return std::make_unique<FilesReader>(std::move(in), std::move(files));
}

}  // namespace lifeboat::backup
