#include "adapters/backups/source.h"

#include <sys/stat.h>

#include <algorithm>

#include "adapters/backups/source_internal.h"
#include "backup/wal_walk.h"

namespace lifeboat::backup {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kBlock = 256U << 10;
constexpr std::size_t kLargestSmallFile = 256U << 20;  // a manifest of about a million files
constexpr int kHeadersTried = 8;

Result<SegmentHeader> HeaderOf(const WalFile& file, const Opener& open) {
  char head[64];
  StreamPtr stream = open(file);
  std::size_t have = 0;
  while (have < sizeof head) {
    const std::optional<std::size_t> got = stream->Read({head + have, sizeof head - have});
    if (!got || *got == 0) break;
    have += *got;
  }
  return ParseSegmentHeader({head, have});
}

/// Segment size and owner, by a sample of headers.
void LearnGeometry(Archive& archive, const std::vector<WalFile>& segments, const Opener& open) {
  std::map<std::uint64_t, std::size_t> votes;
  const std::size_t step = std::max<std::size_t>(1, segments.size() / kHeadersTried);
  for (std::size_t at = 0; at < segments.size(); at += step) {
    const Result<SegmentHeader> header = HeaderOf(segments[at], open);
    if (!header || !IsSegmentSize(header->segment_bytes)) continue;
    if (archive.segment_bytes == 0) archive.segment_bytes = header->segment_bytes;
    ++votes[header->system_id];
    if (!segments[at].tar_entry.empty()) break;  // each look would read the tar file from its begin
  }
  const auto most = std::max_element(votes.begin(), votes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  if (most != votes.end()) archive.owner = most->first;
}

void TakeHistory(Archive& archive, const WalFile& file, const std::string& timeline, const Opener& open,
                 std::vector<Finding>& findings) {
  ReadError error;
  const StreamPtr stream = open(file);
  const std::optional<std::string> text = ReadAll(*stream, 1U << 20, error);
  const Result<History> history = text ? ParseHistory(*text) : Result<History>(Fail(error.message));
  if (!history) {
    findings.push_back(MakeFinding(18, "", file.name, "", history.error().message));
    return;
  }
  archive.histories[static_cast<Timeline>(std::stoul(timeline, nullptr, 16))] = *history;
}

}  // namespace

void FillArchive(Archive& archive, const std::vector<RawFile>& files, const Opener& open, std::vector<Finding>& findings) {
  std::vector<std::string> digits;
  for (const RawFile& raw : files) {
    const ArchiveName name = ParseArchiveName(raw.name);
    WalFile file;
    file.name = raw.name;
    file.file = raw.file;
    file.tar_entry = raw.tar_entry;
    file.sha1 = name.sha1;
    file.compression = name.compression;
    file.stored_size = raw.stored_size;
    if (name.kind == ArchiveFileKind::kHistory) TakeHistory(archive, file, name.wal, open, findings);
    if (name.kind != ArchiveFileKind::kSegment) continue;
    archive.wal.push_back(std::move(file));
    digits.push_back(name.wal);
  }
  LearnGeometry(archive, archive.wal, open);
  const std::uint64_t segment_bytes = archive.segment_bytes != 0 ? archive.segment_bytes : 16U << 20;
  std::vector<WalFile> placed;
  for (std::size_t at = 0; at < archive.wal.size(); ++at) {
    const std::optional<WalPlace> place = ParseSegmentName(digits[at], segment_bytes);
    if (!place) continue;  // no segment of this size has such a name: it is no WAL of this cluster
    archive.wal[at].place = *place;
    placed.push_back(std::move(archive.wal[at]));
  }
  archive.wal = std::move(placed);
  std::sort(archive.wal.begin(), archive.wal.end(),
            [](const WalFile& a, const WalFile& b) { return std::tie(a.place, a.name) < std::tie(b.place, b.name); });
}

void Pump(ByteStream& stream, const std::string& path, FileSink& sink) {
  // Aligned, since pages are looked at in place.
  struct alignas(64) Block {
    char bytes[kBlock];
  };
  thread_local std::unique_ptr<Block> block = std::make_unique<Block>();
  sink.Begin(path);
  while (true) {
    std::size_t have = 0;
    bool ended = false;
    while (have < kBlock && !ended) {
      const std::optional<std::size_t> got = stream.Read({block->bytes + have, kBlock - have});
      if (!got) return sink.End(&stream.error());
      have += *got;
      ended = *got == 0;
    }
    if (have > 0 && !sink.Data({block->bytes, have})) return sink.End(nullptr);
    if (ended) return sink.End(nullptr);
  }
}

std::optional<std::string> ReadSmall(const fs::path& file, ReadError& error) {
  const StreamPtr stream = OpenFile(file);
  return ReadAll(*stream, kLargestSmallFile, error);
}

std::vector<StoredFile> ListTree(const fs::path& folder, const std::function<void(const fs::path&)>& on_folder) {
  std::vector<StoredFile> files;
  if (on_folder) on_folder(folder);
  std::error_code problem;
  fs::recursive_directory_iterator at(
      folder, fs::directory_options::follow_directory_symlink | fs::directory_options::skip_permission_denied, problem);
  const fs::recursive_directory_iterator end;
  while (!problem && at != end) {
    std::error_code ignored;
    struct stat about {};
    if (on_folder && at->is_directory(ignored)) on_folder(at->path());
    if (at->is_regular_file(ignored) && stat(at->path().c_str(), &about) == 0) {
      files.push_back({at->path().lexically_relative(folder).string(), static_cast<std::uint64_t>(about.st_size)});
    }
    at.increment(problem);
  }
  std::sort(files.begin(), files.end(), [](const StoredFile& a, const StoredFile& b) { return a.path < b.path; });
  return files;
}

std::int64_t ChangedAt(const fs::path& file) {
  struct stat about {};
  return stat(file.c_str(), &about) == 0 ? about.st_mtim.tv_sec : 0;
}

enum class SourceKind { kPgBackRest, kBaseBackups, kWal, kDumps };

static SourceKind KindAt(const Folder& folder, const fs::path& path) {
  if (folder.IsFolder(path / "backup") || folder.IsFolder(path / "archive")) return SourceKind::kPgBackRest;
  for (const FolderEntry& entry : EntriesOf(folder, path)) {
    const ArchiveFileKind kind = ParseArchiveName(entry.name).kind;
    if (kind == ArchiveFileKind::kSegment || kind == ArchiveFileKind::kHistory) return SourceKind::kWal;
  }
  if (LooksLikeBaseBackups(folder, path)) return SourceKind::kBaseBackups;
  return LooksLikeDumps(folder, path) ? SourceKind::kDumps : SourceKind::kBaseBackups;
}

namespace {

using OpenIn = Result<std::unique_ptr<Source>> (*)(std::shared_ptr<Folder>, const SourceOptions&);

Result<std::unique_ptr<Source>> OpenBy(OpenIn open, const SourceOptions& options) {
  Result<std::shared_ptr<Folder>> folder = FolderOf(options.store);
  if (!folder) return folder.error();
  SourceOptions at = options;
  if (at.store) at.path = at.store->name();
  if (at.wal_store) at.wal = at.wal_store->name();
  return open(std::move(*folder), at);
}

Result<std::unique_ptr<Source>> OpenAnyIn(std::shared_ptr<Folder> folder, const SourceOptions& options) {
  if (!folder->IsFolder(options.path)) {
    return Fail("'" + options.path.string() + "' is no folder that can be read",
                "name a pgBackRest repository, a folder of base backups, of WAL or of dumps");
  }
  const SourceKind kind = KindAt(*folder, options.path);
  // SAFETY: what a store did not answer while we looked tells no kind.
  if (const std::optional<Error> trouble = folder->Trouble()) return *trouble;
  switch (kind) {
    case SourceKind::kPgBackRest: return OpenPgBackRestIn(std::move(folder), options);
    case SourceKind::kWal: return OpenWalFolderIn(std::move(folder), options);
    case SourceKind::kDumps: return OpenDumpsIn(std::move(folder), options);
    case SourceKind::kBaseBackups: break;
  }
  return OpenBaseBackupsIn(std::move(folder), options);
}

}  // namespace

Result<std::unique_ptr<Source>> OpenSource(const SourceOptions& options) { return OpenBy(&OpenAnyIn, options); }
Result<std::unique_ptr<Source>> OpenPgBackRest(const SourceOptions& options) { return OpenBy(&OpenPgBackRestIn, options); }
Result<std::unique_ptr<Source>> OpenBaseBackups(const SourceOptions& options) { return OpenBy(&OpenBaseBackupsIn, options); }
Result<std::unique_ptr<Source>> OpenWalFolder(const SourceOptions& options) { return OpenBy(&OpenWalFolderIn, options); }
Result<std::unique_ptr<Source>> OpenDumps(const SourceOptions& options) { return OpenBy(&OpenDumpsIn, options); }

}  // namespace lifeboat::backup
