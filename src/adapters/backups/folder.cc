#include "adapters/backups/folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>

#include "adapters/backups/read_budget.h"
#include "adapters/backups/source_internal.h"

namespace lifeboat::backup {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kFirstRange = 256U << 10;      // a header, or most files of a database, need no more
constexpr std::size_t kLargestSmallFile = 256U << 20;  // a manifest of about a million files

class Local final : public Folder {
 public:
  bool remote() const override { return false; }
  bool Exists(const fs::path& path) const override {
    std::error_code problem;
    return fs::exists(path, problem);
  }
  bool IsFolder(const fs::path& path) const override {
    std::error_code problem;
    return fs::is_directory(path, problem);
  }
  std::optional<std::uint64_t> SizeOf(const fs::path& file) const override {
    struct stat about {};
    if (stat(file.c_str(), &about) != 0) return std::nullopt;
    return static_cast<std::uint64_t>(about.st_size);
  }
  std::int64_t ChangedAt(const fs::path& file) const override { return backup::ChangedAt(file); }
  std::optional<StoredPlace> PlaceOf(const fs::path& file, std::uint64_t offset) const override {
    return StoredPlace{file, offset, "", 0, 0};
  }
  Result<std::vector<FolderEntry>> EntriesIn(const fs::path& folder) const override {
    std::vector<FolderEntry> entries;
    std::error_code problem;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, problem)) {
      std::error_code ignored;
      entries.push_back({entry.path().filename().string(), entry.is_directory(ignored), entry.is_regular_file(ignored)});
    }
    if (problem) MayRead(folder);
    if (problem) return Fail("cannot list '" + folder.string() + "': " + problem.message());
    return entries;
  }
  std::vector<StoredFile> ListTree(const fs::path& folder) const override {
    return backup::ListTree(folder, [this](const fs::path& below) {
      if (below.filename() != "lost+found") MayRead(below);  // of the file system, where the folder is the top of one
    });
  }
  std::vector<std::string> FoldersIn(const fs::path& folder, bool links) const override {
    std::vector<std::string> names;
    std::error_code problem;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, problem)) {
      std::error_code ignored;
      if (entry.is_directory(ignored) && (links || !entry.is_symlink(ignored))) names.push_back(entry.path().filename().string());
    }
    if (problem) MayRead(folder);
    return names;
  }
  StreamPtr Open(const fs::path& file) const override {
    MayRead(file);
    return OpenFile(file);
  }
  StreamPtr OpenPart(const fs::path& file, std::uint64_t offset, std::uint64_t length) const override {
    MayRead(file);
    return OpenFilePart(file, offset, length);
  }
  std::optional<Error> Trouble() const override {
    const std::lock_guard lock(mutex_);
    return trouble_;
  }
  void NoteTrouble(const Error& error) override {
    const std::lock_guard lock(mutex_);
    if (!trouble_) trouble_ = error;
  }

 private:
  /// SAFETY: what this user may not read is no damage of the backup, and no verdict on it.
  void MayRead(const fs::path& path) const {
    if (faccessat(AT_FDCWD, path.c_str(), R_OK, AT_EACCESS) == 0 || errno != EACCES) return;
    const std::lock_guard lock(mutex_);
    if (!trouble_)
      trouble_ = Fail("'" + path.string() + "' may not be read by this user",
                      "run it as the user that the backups belong to, or let its group read them");
  }

  mutable std::mutex mutex_;
  mutable std::optional<Error> trouble_;
};

/// What streams and folder share; streams may outlive the folder.
struct Store {
  std::shared_ptr<Blobs> blobs;
  std::map<std::string, Blob> listed;
  std::mutex mutex;
  std::optional<Error> trouble;

  void Note(const Error& error) {
    const std::lock_guard lock(mutex);
    if (!trouble) trouble = error;
  }
  std::optional<Error> Trouble() {
    const std::lock_guard lock(mutex);
    return trouble;
  }
};

class BlobStream final : public ByteStream {
 public:
  /// @param length  nothing: to the end
  BlobStream(std::shared_ptr<Store> store, std::string path, std::uint64_t offset, std::optional<std::uint64_t> length)
      : store_(std::move(store)), path_(std::move(path)), at_(offset), length_(length) {}

  std::optional<std::size_t> Read(std::span<char> into) override {
    if (blob_ == nullptr && !Begin()) return std::nullopt;
    if (from_ == have_.size() && at_ < end_ && !Fetch()) return std::nullopt;
    const std::size_t take = std::min(into.size(), have_.size() - from_);
    std::memcpy(into.data(), have_.data() + from_, take);
    from_ += take;
    return take;
  }

 private:
  bool Begin() {
    const auto found = store_->listed.find(path_);
    if (found == store_->listed.end()) {
      (void)Fail(ReadProblem::kGone, "'" + path_ + "': no such object");
      return false;
    }
    const Blob& blob = found->second;
    if (!blob.cold.empty()) {
      (void)Fail(ReadProblem::kDevice,
                 "'" + path_ + "' lies in storage class '" + blob.cold + "', and cannot be read before it is brought back");
      return false;
    }
    end_ = length_ ? at_ + *length_ : blob.size;
    if (end_ > blob.size) {
      (void)Fail(ReadProblem::kTruncated, "'" + path_ + "' ends " + std::to_string(end_ - blob.size) + " bytes too early");
      return false;
    }
    blob_ = &blob;
    return true;
  }

  bool Fetch() {
    // The run has no verdict any more: what is left would be asked for, and waited for, in vain.
    if (const std::optional<Error> trouble = store_->Trouble()) {
      (void)Fail(ReadProblem::kDevice, trouble->message);
      return false;
    }
    const std::uint64_t length = std::min({end_ - at_, range_, store_->blobs->MostAtOnce()});
    range_ = store_->blobs->MostAtOnce();
    have_ = std::string();  // what was used is not held while the next comes
    Result<std::string> got = store_->blobs->Read(*blob_, at_, length);
    // SAFETY: fewer bytes than were asked for are no end of the object.
    if (got.ok() && got->size() != length) {
      got = RetryLater("'" + path_ + "': " + std::to_string(got->size()) + " bytes came of " + std::to_string(length) +
                       " that were asked for");
    }
    if (!got) {
      const bool gone = got.error().retry == Retry::kNotFound;
      if (!gone && got.error().retry != Retry::kRefused) store_->Note(got.error());
      (void)Fail(gone ? ReadProblem::kGone : ReadProblem::kDevice, got.error().message);
      return false;
    }
    ReadBudget::OfProcess().Take(length);
    have_ = std::move(*got);
    from_ = 0;
    at_ += length;
    return true;
  }

  std::shared_ptr<Store> store_;
  std::string path_;
  std::uint64_t at_;
  std::optional<std::uint64_t> length_;
  const Blob* blob_ = nullptr;
  std::uint64_t end_ = 0;
  std::uint64_t range_ = kFirstRange;
  std::string have_;
  std::size_t from_ = 0;
};

/// Folders are what lies before a slash in the objects' names.
class Remote final : public Folder {
 public:
  explicit Remote(std::shared_ptr<Store> store) : store_(std::move(store)), root_(store_->blobs->name() + "/") {}

  bool remote() const override { return true; }
  bool Exists(const fs::path& path) const override { return store_->listed.count(KeyOf(path)) > 0 || IsFolder(path); }
  bool IsFolder(const fs::path& path) const override {
    const std::string begin = BeginOf(path);
    const auto next = store_->listed.lower_bound(begin);
    return next != store_->listed.end() && next->first.starts_with(begin);
  }
  std::optional<std::uint64_t> SizeOf(const fs::path& file) const override {
    const auto found = store_->listed.find(KeyOf(file));
    return found == store_->listed.end() ? std::nullopt : std::optional(found->second.size);
  }
  std::int64_t ChangedAt(const fs::path& file) const override {
    const auto found = store_->listed.find(KeyOf(file));
    return found == store_->listed.end() ? 0 : found->second.modified;
  }
  /// SAFETY: an object under the same name, ETag, size and time is the same object; a store that says none of them is read each
  /// time.
  std::optional<StoredPlace> PlaceOf(const fs::path& file, std::uint64_t offset) const override {
    const auto found = store_->listed.find(KeyOf(file));
    if (found == store_->listed.end() || found->second.version.empty() || found->second.modified == 0) return std::nullopt;
    return StoredPlace{file, offset, found->second.version, found->second.size, found->second.modified};
  }
  Result<std::vector<FolderEntry>> EntriesIn(const fs::path& folder) const override {
    const std::string begin = BeginOf(folder);
    std::vector<FolderEntry> entries;
    auto at = store_->listed.lower_bound(begin);
    while (at != store_->listed.end() && at->first.starts_with(begin)) {
      const std::size_t slash = at->first.find('/', begin.size());
      if (slash == std::string::npos) {
        entries.push_back({at->first.substr(begin.size()), false, true});
        ++at;
        continue;
      }
      entries.push_back({at->first.substr(begin.size(), slash - begin.size()), true, false});
      at = store_->listed.lower_bound(at->first.substr(0, slash) + "0");  // '0' follows '/': the first name behind this folder
    }
    return entries;
  }
  std::vector<StoredFile> ListTree(const fs::path& folder) const override {
    const std::string begin = BeginOf(folder);
    std::vector<StoredFile> files;
    for (auto at = store_->listed.lower_bound(begin); at != store_->listed.end() && at->first.starts_with(begin); ++at) {
      files.push_back({at->first.substr(begin.size()), at->second.size});
    }
    return files;
  }
  std::vector<std::string> FoldersIn(const fs::path& folder, bool /*links*/) const override {
    std::vector<std::string> names;
    for (FolderEntry& entry : EntriesOf(*this, folder)) {
      if (entry.folder) names.push_back(std::move(entry.name));
    }
    return names;
  }
  StreamPtr Open(const fs::path& file) const override { return std::make_unique<BlobStream>(store_, KeyOf(file), 0, std::nullopt); }
  StreamPtr OpenPart(const fs::path& file, std::uint64_t offset, std::uint64_t length) const override {
    return std::make_unique<BlobStream>(store_, KeyOf(file), offset, length);
  }
  std::optional<Error> Trouble() const override { return store_->Trouble(); }
  void NoteTrouble(const Error& error) override { store_->Note(error); }
  std::shared_ptr<Blobs> blobs() const override { return store_->blobs; }

 private:
  [[nodiscard]] std::string KeyOf(const fs::path& path) const {
    std::string text = path.string();
    if (text + "/" == root_ || text == root_) return "";
    return text.starts_with(root_) ? text.substr(root_.size()) : text;
  }
  /// What names of that folder's objects begin with.
  [[nodiscard]] std::string BeginOf(const fs::path& folder) const {
    const std::string key = KeyOf(folder);
    return key.empty() ? "" : key + "/";
  }

  std::shared_ptr<Store> store_;
  std::string root_;
};

}  // namespace

std::vector<FolderEntry> EntriesOf(const Folder& folder, const fs::path& path) {
  Result<std::vector<FolderEntry>> entries = folder.EntriesIn(path);
  return entries ? std::move(*entries) : std::vector<FolderEntry>();
}

std::optional<std::string> ReadSmall(const Folder& folder, const fs::path& file, ReadError& error) {
  const StreamPtr stream = folder.Open(file);
  return ReadAll(*stream, kLargestSmallFile, error);
}

Result<std::shared_ptr<Folder>> FolderOf(const std::shared_ptr<Blobs>& store) {
  if (store == nullptr) return LocalFolder();
  return BlobFolder(store);
}

std::shared_ptr<Folder> LocalFolder() { return std::make_shared<Local>(); }

Result<std::shared_ptr<Folder>> BlobFolder(std::shared_ptr<Blobs> blobs) {
  Result<std::vector<Blob>> listed = blobs->List();
  if (!listed) return listed.error();
  auto store = std::make_shared<Store>();
  store->blobs = std::move(blobs);
  for (Blob& blob : *listed) {
    std::string path = blob.path;
    store->listed.insert_or_assign(std::move(path), std::move(blob));
  }
  return std::shared_ptr<Folder>(std::make_shared<Remote>(std::move(store)));
}

std::optional<Error> TroubleOf(const Source& source) {
  const auto* reads = dynamic_cast<const FolderSource*>(&source);
  return reads == nullptr ? std::nullopt : reads->Trouble();
}

std::shared_ptr<Blobs> StoreOf(const Source& source) {
  const auto* reads = dynamic_cast<const FolderSource*>(&source);
  return reads == nullptr ? nullptr : reads->repo().blobs();
}

void NoteTrouble(Source& source, const Error& error) {
  if (auto* reads = dynamic_cast<FolderSource*>(&source)) reads->repo().NoteTrouble(error);
}

}  // namespace lifeboat::backup
