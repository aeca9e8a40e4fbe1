#include "adapters/postgres/divergence_archive.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "adapters/system/descriptor.h"
#include "adapters/system/files.h"
#include "base/json.h"

namespace lifeboat::postgres {

namespace {

namespace fs = std::filesystem;

constexpr const char* kManifest = "manifest.json";
constexpr std::size_t kBlock = 1U << 20U;

Error DiskError(const char* verb, const std::string& path, int error) {
  const std::string message = std::string("cannot ") + verb + " '" + path + "': " + std::generic_category().message(error);
  return Fail(message, error == ENOSPC ? "free space for the ledger; nothing was removed from the server" : "");
}

class Sha256 {
 public:
  Sha256() { EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr); }
  void Add(const void* bytes, std::size_t count) { EVP_DigestUpdate(context_.get(), bytes, count); }
  std::string Hex() {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    EVP_DigestFinal_ex(context_.get(), digest, &length);
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    for (unsigned int at = 0; at < length; ++at) {
      text += kDigits[digest[at] >> 4U];
      text += kDigits[digest[at] & 15U];
    }
    return text;
  }

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_{EVP_MD_CTX_new()};
};

struct FileFacts {
  std::string name;
  std::uint64_t bytes = 0;
  std::string sha256;
};

/// Hashes `from`, copies it to `to` when that is another file, and syncs `to`.
Result<FileFacts> CopyHashed(const std::string& from, const std::string& to, const GiveUp& give_up) {
  const Descriptor source(open(from.c_str(), O_RDONLY | O_CLOEXEC));
  if (!source.ok()) return DiskError("read", from, errno);
  const bool copies = from != to;
  const Descriptor target(open(to.c_str(), copies ? O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC : O_RDONLY | O_CLOEXEC, 0600));
  if (!target.ok()) return DiskError("write", to, errno);
  FileFacts facts{fs::path(to).filename().string(), 0, {}};
  Sha256 hash;
  std::vector<char> block(kBlock);
  while (true) {
    if (*give_up) return Fail("the copy of the divergent WAL was not done in time", "free the disk of other work and do it again");
    const ssize_t got = read(source.number(), block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return DiskError("read", from, errno);
    if (got == 0) break;
    hash.Add(block.data(), static_cast<std::size_t>(got));
    facts.bytes += static_cast<std::uint64_t>(got);
    for (ssize_t written = 0; copies && written < got;) {
      const ssize_t put = write(target.number(), block.data() + written, static_cast<std::size_t>(got - written));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return DiskError("write", to, errno);
      written += put;
    }
  }
  if (fsync(target.number()) != 0) return DiskError("sync", to, errno);
  facts.sha256 = hash.Hex();
  return facts;
}

bool Exists(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}

/// Names within the WAL folder that must be saved. @error kFail: a segment is missing
Result<std::vector<std::string>> NamesToSave(const DivergentWal& wal) {
  std::vector<std::string> names;
  const std::uint64_t last = SegmentOf(Lsn{wal.end.bytes - 1}, wal.geometry);
  for (std::uint64_t segment = SegmentOf(wal.fork, wal.geometry); segment <= last; ++segment) {
    const std::string name = SegmentName(wal.timeline, segment, wal.geometry);
    const bool whole = Exists(wal.wal_folder + "/" + name);
    const bool partial = Exists(wal.wal_folder + "/" + name + ".partial");
    // SAFETY: a gap is never skipped: what is not saved must not be rewound away.
    if (!whole && !partial) return Fail("the divergent WAL segment '" + name + "' is not in '" + wal.wal_folder + "'");
    if (whole) names.push_back(name);
    if (partial) names.push_back(name + ".partial");
  }
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(wal.wal_folder, error)) {
    if (entry.path().extension() == ".history") names.push_back(entry.path().filename().string());
  }
  if (error) return DiskError("list", wal.wal_folder, error.value());
  return names;
}

Json ManifestOf(const DivergentWal& wal, const Divergence& saved, const std::vector<FileFacts>& files) {
  Json list = Json::array();
  for (const FileFacts& file : files) list.push_back({{"name", file.name}, {"bytes", file.bytes}, {"sha256", file.sha256}});
  return {{"format", 1},
          {"system_id", wal.system_id.text},
          {"timeline", wal.timeline},
          {"wal_segment_bytes", wal.geometry.segment_bytes},
          {"divergence", ToJson(saved)},
          {"files", list}};
}

Result<Unit> MoveAsideEarlier(const std::string& folder) {
  for (int number = 1; Exists(folder); ++number) {
    const std::string earlier = folder + ".earlier-" + std::to_string(number);
    if (Exists(earlier)) continue;
    if (rename(folder.c_str(), earlier.c_str()) != 0) return DiskError("rename", folder, errno);
  }
  return Done();
}

Result<Divergence> CopyAll(const DivergentWal& wal, const std::string& folder, Divergence saved, const GiveUp& give_up) {
  const std::string saving = folder + ".saving";
  const Result<std::vector<std::string>> names = NamesToSave(wal);
  if (!names) return names.error();
  std::vector<FileFacts> files;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(saving, error)) {
    Result<FileFacts> facts = CopyHashed(entry.path().string(), entry.path().string(), give_up);
    if (!facts) return facts.error();
    files.push_back(*facts);
  }
  if (error) return DiskError("list", saving, error.value());
  for (const std::string& name : *names) {
    Result<FileFacts> facts = CopyHashed(wal.wal_folder + "/" + name, saving + "/" + name, give_up);
    if (!facts) return facts.error();
    files.push_back(*facts);
  }
  saved.saved_in = folder;
  for (const FileFacts& file : files) {
    saved.files.push_back(file.name);
    saved.saved.bytes += file.bytes;
  }
  if (Result<Unit> synced = SyncFolder(saving); !synced) return synced.error();
  if (Result<Unit> written = WriteFileDurably(saving + "/" + kManifest, ManifestOf(wal, saved, files).dump(2) + "\n"); !written) {
    return written.error();
  }
  if (Result<Unit> moved = MoveAsideEarlier(folder); !moved) return moved.error();
  if (rename(saving.c_str(), folder.c_str()) != 0) return DiskError("rename", saving, errno);
  if (Result<Unit> synced = SyncFolder(fs::path(folder).parent_path().string()); !synced) return synced.error();
  return saved;
}

}  // namespace

namespace {

/// The manifest of a folder that is whole: each file that it names is there in its size.
std::optional<Json> WholeManifest(const std::string& folder) {
  const Result<std::string> text = ReadSmallFile(folder + "/" + kManifest, 64U << 20U);
  if (!text) return std::nullopt;
  const Result<Json> manifest = ParseJson(*text, "manifest");
  if (!manifest) return std::nullopt;
  for (const Json& file : MemberAt(*manifest, "files")) {
    std::error_code error;
    if (fs::file_size(folder + "/" + TextAt(file, "name"), error) != NumberAt(file, "bytes") || error) return std::nullopt;
  }
  return *manifest;
}

}  // namespace

std::optional<Divergence> FindSaved(const DivergentWal& wal, const std::string& folder) {
  const std::optional<Json> manifest = WholeManifest(folder);
  if (!manifest) return std::nullopt;
  Divergence saved = DivergenceFromJson(MemberAt(*manifest, "divergence"));
  if (TextAt(*manifest, "system_id") != wal.system_id.text || NumberAt(*manifest, "timeline") != wal.timeline ||
      saved.fork != wal.fork || saved.end != wal.end) {
    return std::nullopt;
  }
  return saved;
}

std::optional<Divergence> FindSavedIn(const SystemId& system_id, const std::string& folder) {
  const std::optional<Json> manifest = WholeManifest(folder);
  if (!manifest || TextAt(*manifest, "system_id") != system_id.text) return std::nullopt;
  return DivergenceFromJson(MemberAt(*manifest, "divergence"));
}

Timeline NewestTimeline(const std::string& wal_folder, Timeline known) {
  std::error_code error;
  Timeline newest = known;
  for (const fs::directory_entry& entry : fs::directory_iterator(wal_folder, error)) {
    const std::string name = entry.path().filename().string();
    const bool segment = name.size() == 24 && name.find_first_not_of("0123456789ABCDEF") == std::string::npos;
    if (segment) newest = std::max(newest, static_cast<Timeline>(std::stoul(name.substr(0, 8), nullptr, 16)));
  }
  return newest;
}

bool HasSegmentBeyond(const std::string& wal_folder, Timeline timeline, Lsn position, const WalGeometry& geometry) {
  // Names of one timeline sort as their positions do.
  const std::string first = SegmentName(timeline, SegmentOf(position, geometry), geometry);
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(wal_folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.size() == first.size() && name.starts_with(first.substr(0, 8)) && name >= first) return true;
  }
  return false;
}

Result<std::string> BeginSaving(const std::string& folder) {
  const std::string saving = folder + ".saving";
  std::error_code error;
  fs::remove_all(saving, error);
  if (error) return DiskError("remove", saving, error.value());
  if (Result<Unit> made = EnsureDirectory(saving); !made) return made.error();
  return saving;
}

Result<Divergence> SaveWal(const DivergentWal& wal, const std::string& folder, Divergence saved, const GiveUp& give_up) {
  Result<Divergence> result = CopyAll(wal, folder, std::move(saved), give_up);
  if (!result) {
    std::error_code ignored;
    fs::remove_all(folder + ".saving", ignored);
  }
  return result;
}

}  // namespace lifeboat::postgres
