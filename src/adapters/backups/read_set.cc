#include "adapters/backups/read_set.h"

#include <numeric>

#include "backup/page.h"

namespace lifeboat::backup {

namespace {

constexpr std::size_t kMostSuspects = 100000;

std::uint64_t KeyOf(const FileEntry& file, const std::string& label) {
  return std::hash<std::string>{}((file.holder.empty() ? label : file.holder) + '\n' + file.path + '\n' + file.digest_hex);
}

/// The manifest's entry of a path; null: none.
const FileEntry* EntryOf(const SetContent& content, const std::string& path) {
  const auto& files = content.manifest.files;
  const auto at = std::lower_bound(files.begin(), files.end(), path,
                                   [](const FileEntry& file, const std::string& name) { return file.path < name; });
  return at != files.end() && at->path == path ? &*at : nullptr;
}

/// What a later run knows a unit by; nothing: it is read each time.
std::optional<StoredIdentity> IdentityOfUnit(const SetPassOptions& options, const Run& run, std::size_t unit) {
  if (run.memory() == nullptr) return std::nullopt;
  const SetReader& reader = *options.content->reader;
  const std::optional<StoredPlace> place = reader.PlaceOf(unit);
  const FileEntry* entry = EntryOf(*options.content, reader.PathOf(unit));
  if (!place || entry == nullptr) return std::nullopt;
  return IdentityOf(*place, std::string(ToString(entry->digest)) + " " + entry->digest_hex + " of " + std::to_string(entry->size) +
                                " in " + std::to_string(reader.StoredBytes(unit)) + " as " + entry->path);
}

/// What all threads of a pass share.
struct Shared {
  const SetPassOptions& options;
  Run& run;
  KnownFiles& known;
  Collector& collector;
  std::mutex mutex;
  SetPass pass;
};

/// Takes one file after the other on one thread.
class FileCheck : public FileSink {
 public:
  /// @param stored  the bytes come as they are stored, and are no pages
  FileCheck(Shared& shared, std::optional<StoredIdentity> identity, bool stored)
      : shared_(shared), stored_(stored), identity_(std::move(identity)) {}
  ~FileCheck() override {
    const std::lock_guard lock(shared_.mutex);
    shared_.pass.counts.Add(counts_);
  }
  FileCheck(const FileCheck&) = delete;
  FileCheck& operator=(const FileCheck&) = delete;

  void Begin(const std::string& path) override {
    path_ = path;
    size_ = 0;
    suspects_.clear();
    captured_.clear();
    const auto& files = shared_.options.content->manifest.files;
    const auto at = std::lower_bound(files.begin(), files.end(), path,
                                     [](const FileEntry& file, const std::string& name) { return file.path < name; });
    entry_ = at != files.end() && at->path == path ? &*at : nullptr;
    index_ = static_cast<std::size_t>(at - files.begin());
    digest_.emplace(stored_ ? DigestKind::kSha1 : entry_ != nullptr ? entry_->digest : DigestKind::kNone);
    relation_ = shared_.options.level >= Level::kPages && entry_ != nullptr && !stored_ ? ParseRelationPath(path) : std::nullopt;
    block_ = relation_ ? relation_->segment * shared_.options.segment_blocks : 0;
    captures_ = shared_.options.content->small_when_read &&
                (path == "PG_VERSION" || path == "global/pg_control" || path == "backup_label" || path == "tablespace_map");
  }

  bool Data(std::span<const char> bytes) override {
    size_ += bytes.size();
    digest_->Add(bytes.data(), bytes.size());
    if (relation_) Pages(bytes);
    if (captures_ && captured_.size() < (1U << 20)) captured_.append(bytes.data(), bytes.size());
    counts_.bytes += bytes.size();
    return !shared_.run.Cancelled();
  }

  void End(const ReadError* error) override {
    if (shared_.run.Cancelled()) return;
    ++counts_.files;
    if (shared_.options.content->small_when_read) RememberTarFile();
    if (error != nullptr) return Damaged(error->problem == ReadProblem::kTruncated ? 8 : 9, error->message);
    if (entry_ == nullptr) return;  // stored and not listed: told by the comparison
    if (stored_) {
      if (size_ != entry_->stored_size || digest_->Hex() != entry_->stored_sha1)
        return Damaged(9, "the SHA1 of its stored bytes is not the one in the manifest");
    } else if (size_ != entry_->size) {
      // The store's size is compared before anything is read; this one is the size of what comes out. Where a repository's own
      // size was as listed, its bytes are not.
      return Damaged(entry_->stored_size != 0 ? 9 : 8,
                     "it has " + std::to_string(size_) + " bytes, and should have " + std::to_string(entry_->size));
    }
    if (!stored_ && entry_->digest != DigestKind::kNone && digest_->Hex() != entry_->digest_hex) {
      return Damaged(9, std::string("its ") + ToString(entry_->digest) + " is not the one in the manifest");
    }
    if (identity_ && suspects_.empty()) shared_.run.memory()->Remember(*identity_, shared_.options.level);
    if (identity_ && !suspects_.empty()) shared_.run.memory()->Forget(*identity_);
    const std::lock_guard lock(shared_.mutex);
    shared_.known[KeyOf(*entry_, shared_.options.set->label)] = suspects_.empty();
    for (const SuspectPage& page : suspects_) {
      if (shared_.pass.suspects.size() < kMostSuspects) {
        shared_.pass.suspects.push_back(page);
      } else {
        shared_.pass.suspects_left_out = true;
      }
    }
  }

 private:
  void Pages(std::span<const char> bytes) {
    const std::uint32_t size = shared_.options.page_bytes;
    for (; bytes.size() >= size; bytes = bytes.subspan(size), ++block_) {
      switch (JudgePage(bytes.data(), size, block_, shared_.options.start)) {
        case PageState::kGood: break;
        case PageState::kNew: ++counts_.new_pages; break;
        case PageState::kHot:
        case PageState::kBad:
        case PageState::kBadHeader: Suspect(false); break;
      }
      ++counts_.pages;
    }
    if (!bytes.empty()) Suspect(true);
  }

  void Suspect(bool cut) {
    if (suspects_.size() < kMostSuspects) suspects_.push_back({index_, block_, cut});
  }

  void Damaged(int fault, const std::string& what) {
    std::string position;
    if (!suspects_.empty()) position = "block " + std::to_string(suspects_.front().block);
    shared_.collector.Add(MakeFinding(fault, shared_.options.set->label, path_, position, what));
    // SAFETY: what is not good now must be read again by every run until it is.
    if (identity_) shared_.run.memory()->Forget(*identity_);
    const std::lock_guard lock(shared_.mutex);
    ++shared_.pass.damaged_files;
    shared_.pass.control_damaged = shared_.pass.control_damaged || path_ == "global/pg_control";
  }

  void RememberTarFile() {
    const std::lock_guard lock(shared_.mutex);
    // A size that differs is told here, with what was read: the comparison is to look at names alone.
    if (!IsBesideManifest(path_) && path_.find(".tar") == std::string::npos) {
      shared_.pass.seen.push_back({path_, entry_ != nullptr ? entry_->size : size_});
    }
    if (!captures_) return;
    SmallFiles& small = shared_.pass.small;
    (path_ == "PG_VERSION"       ? small.version
     : path_ == "backup_label"   ? small.label
     : path_ == "tablespace_map" ? small.tablespace_map
                                 : small.control) = captured_;
  }

  Shared& shared_;
  bool stored_;
  std::optional<StoredIdentity> identity_;  ///< from before it was read: what changes meanwhile is not known later
  Counts counts_;
  std::string path_;
  const FileEntry* entry_ = nullptr;
  std::size_t index_ = 0;
  std::uint64_t size_ = 0;
  std::optional<Digest> digest_;
  std::optional<RelationFile> relation_;
  std::uint32_t block_ = 0;
  std::vector<SuspectPage> suspects_;
  bool captures_ = false;
  std::string captured_;
};

/// A file that this backup takes from an earlier one, whose bytes and pages were found good in this run.
bool WasReadBefore(Shared& shared, const std::string& path) {
  const FileEntry* at = EntryOf(*shared.options.content, path);
  if (at == nullptr || at->holder.empty()) return false;
  const std::lock_guard lock(shared.mutex);
  const auto before = shared.known.find(KeyOf(*at, shared.options.set->label));
  if (before == shared.known.end() || !before->second) return false;
  ++shared.pass.counts.files;
  return true;
}

/// A unit that an earlier run read and found good, that is as it was, and whose turn it is not.
bool StandsFromBefore(Shared& shared, std::size_t unit, const std::optional<StoredIdentity>& identity) {
  if (!identity) return false;
  const std::optional<std::int64_t> at = shared.run.memory()->Stands(*identity, shared.options.level);
  if (!at) return false;
  const SetReader& reader = *shared.options.content->reader;
  Counts standing;
  standing.standing_files = 1;
  standing.standing_bytes = reader.StoredBytes(unit);
  standing.oldest_reading = *at;
  const std::lock_guard lock(shared.mutex);
  shared.pass.counts.Add(standing);
  shared.known[KeyOf(*EntryOf(*shared.options.content, reader.PathOf(unit)), shared.options.set->label)] = true;
  return true;
}

/// Level 2 alone asks whether the bytes are those that were written: where the manifest states a hash of the stored ones, nothing
/// is unpacked for it.
void ReadUnit(Shared& shared, std::size_t unit, std::optional<StoredIdentity> identity) {
  SetReader& reader = *shared.options.content->reader;
  const FileEntry* entry = EntryOf(*shared.options.content, reader.PathOf(unit));
  // SAFETY: a file of changed blocks needs blocks of earlier backups too, which the hash of its own stored bytes says nothing of.
  const bool as_stored = entry != nullptr && shared.options.level == Level::kBytes && !entry->block_incremental;
  if (as_stored && !entry->stored_sha1.empty()) {
    FileCheck check(shared, identity, true);
    if (reader.ReadStored(unit, check)) return;
  }
  FileCheck check(shared, std::move(identity), false);
  reader.Read(unit, check);
}

}  // namespace

SetPass ReadSet(const SetPassOptions& options, Run& run, KnownFiles& known, Collector& collector) {
  SetReader& reader = *options.content->reader;
  std::vector<std::size_t> order(reader.Units());
  std::iota(order.begin(), order.end(), std::size_t{0});
  // The largest first, so that no thread is left with a large one at the end.
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return reader.StoredBytes(a) > reader.StoredBytes(b); });
  Shared shared{options, run, known, collector, {}, {}};
  run.Doing("backup " + options.set->label);
  run.Each(order.size(), [&](std::size_t at) {
    if (WasReadBefore(shared, reader.PathOf(order[at]))) return run.Skip(reader.StoredBytes(order[at]));
    std::optional<StoredIdentity> identity = IdentityOfUnit(options, run, order[at]);
    if (StandsFromBefore(shared, order[at], identity)) return run.Skip(reader.StoredBytes(order[at]));
    ReadUnit(shared, order[at], std::move(identity));
    run.Done(reader.StoredBytes(order[at]));
    const std::lock_guard lock(shared.mutex);
    shared.pass.counts.stored_bytes += reader.StoredBytes(order[at]);
  });
  return std::move(shared.pass);
}

}  // namespace lifeboat::backup
