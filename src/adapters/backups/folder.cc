#include "adapters/backups/folder.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>

#include "adapters/backups/read_budget.h"
#include "adapters/backups/source_internal.h"

namespace lifeboat::backup {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kFirstRange = 256U << 10;  // a header, or most files of a database, need no more
constexpr std::uint64_t kRange = 8U << 20;

class Local final : public Folder {
 public:
  bool remote() const override { return false; }
  bool Exists(const fs::path& path) const override {
    std::error_code problem;
    return fs::exists(path, problem);
  }
  std::optional<std::uint64_t> SizeOf(const fs::path& file) const override {
    struct stat about {};
    if (stat(file.c_str(), &about) != 0) return std::nullopt;
    return static_cast<std::uint64_t>(about.st_size);
  }
  std::vector<StoredFile> ListTree(const fs::path& folder) const override { return backup::ListTree(folder); }
  std::vector<std::string> FoldersIn(const fs::path& folder, bool links) const override {
    std::vector<std::string> names;
    std::error_code problem;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, problem)) {
      std::error_code ignored;
      if (entry.is_directory(ignored) && (links || !entry.is_symlink(ignored))) names.push_back(entry.path().filename().string());
    }
    return names;
  }
  StreamPtr Open(const fs::path& file) const override { return OpenFile(file); }
  StreamPtr OpenPart(const fs::path& file, std::uint64_t offset, std::uint64_t length) const override {
    return OpenFilePart(file, offset, length);
  }
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
    const std::uint64_t length = std::min(end_ - at_, range_);
    range_ = kRange;
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
  bool Exists(const fs::path& path) const override {
    const std::string key = KeyOf(path);
    if (store_->listed.count(key) > 0) return true;
    const auto next = store_->listed.lower_bound(key + "/");
    return next != store_->listed.end() && next->first.starts_with(key + "/");
  }
  std::optional<std::uint64_t> SizeOf(const fs::path& file) const override {
    const auto found = store_->listed.find(KeyOf(file));
    return found == store_->listed.end() ? std::nullopt : std::optional(found->second.size);
  }
  std::vector<StoredFile> ListTree(const fs::path& folder) const override {
    const std::string begin = KeyOf(folder) + "/";
    std::vector<StoredFile> files;
    for (auto at = store_->listed.lower_bound(begin); at != store_->listed.end() && at->first.starts_with(begin); ++at) {
      files.push_back({at->first.substr(begin.size()), at->second.size});
    }
    return files;
  }
  std::vector<std::string> FoldersIn(const fs::path& folder, bool /*links*/) const override {
    const std::string begin = KeyOf(folder) + "/";
    std::vector<std::string> names;
    auto at = store_->listed.lower_bound(begin);
    while (at != store_->listed.end() && at->first.starts_with(begin)) {
      const std::size_t slash = at->first.find('/', begin.size());
      if (slash == std::string::npos) {
        ++at;
        continue;
      }
      names.push_back(at->first.substr(begin.size(), slash - begin.size()));
      at = store_->listed.lower_bound(begin + names.back() + "0");  // '0' follows '/': the first name behind this folder
    }
    return names;
  }
  StreamPtr Open(const fs::path& file) const override { return std::make_unique<BlobStream>(store_, KeyOf(file), 0, std::nullopt); }
  StreamPtr OpenPart(const fs::path& file, std::uint64_t offset, std::uint64_t length) const override {
    return std::make_unique<BlobStream>(store_, KeyOf(file), offset, length);
  }
  std::optional<Error> Trouble() const override { return store_->Trouble(); }

 private:
  [[nodiscard]] std::string KeyOf(const fs::path& path) const {
    std::string text = path.string();
    return text.starts_with(root_) ? text.substr(root_.size()) : text;
  }

  std::shared_ptr<Store> store_;
  std::string root_;
};

}  // namespace

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
  return reads == nullptr ? std::nullopt : reads->repo().Trouble();
}

}  // namespace lifeboat::backup
