#include "cli/backup_store.h"

#include <algorithm>
#include <cstdio>
#include <set>

#include "adapters/backups/blobs.h"
#include "backup/bucket.h"
#include "cli/backup_s3.h"

namespace lifeboat {

namespace {

using backup::Finding;

/// All objects below a store's prefix, by path. @error any: they cannot be listed
Result<std::vector<backup::ListedObject>> ObjectsOf(backup::Blobs& store) {
  Result<std::vector<backup::Blob>> listed = store.List();
  if (!listed) return listed.error();
  std::vector<backup::ListedObject> objects;
  objects.reserve(listed->size());
  for (backup::Blob& each : *listed) objects.push_back({std::move(each.path), each.size, each.modified});
  std::sort(objects.begin(), objects.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return objects;
}

/// Paths below the store's prefix that the newest backup cannot do without.
class Needs {
 public:
  Needs(const std::string& store, const backup::Inventory& inventory) : root_(store + "/"), inventory_(inventory) {
    for (const backup::SetInfo& set : inventory.sets) newest_ = set.present ? &set : newest_;
    if (newest_ == nullptr) return;
    for (const backup::SetInfo* set = newest_; set != nullptr; set = Prior(*set)) AddFolder(set->folder.string());
    const Lsn from = newest_->span.wal.empty() ? Lsn{} : newest_->span.wal.front().start;
    for (const std::size_t at : {newest_->own, newest_->archive}) {
      if (at == backup::kNowhere) continue;
      const backup::Archive& archive = inventory.archives[at];
      const std::uint64_t segment = archive.segment_bytes != 0 ? archive.segment_bytes : 16U << 20U;
      for (const backup::WalFile& file : archive.wal) {
        if ((file.place.number + 1) * segment > from.bytes) AddFile(file.file.string());
      }
    }
  }

  [[nodiscard]] std::string set() const { return newest_ == nullptr ? "" : newest_->label; }
  [[nodiscard]] bool Has(const std::string& path) const {
    if (files_.count(path) > 0) return true;
    const std::string name = path.substr(path.rfind('/') + 1);
    // Lists without which pgBackRest knows of no backup and no archive.
    if (newest_ != nullptr && (name.starts_with("backup.info") || name.starts_with("archive.info"))) return true;
    return std::any_of(folders_.begin(), folders_.end(), [&](const std::string& folder) {
      return folder.empty() || path == folder || path.starts_with(folder + "/");
    });
  }

 private:
  [[nodiscard]] const backup::SetInfo* Prior(const backup::SetInfo& set) const {
    const auto found = std::find_if(inventory_.sets.begin(), inventory_.sets.end(),
                                    [&](const backup::SetInfo& each) { return !set.prior.empty() && each.label == set.prior; });
    return found == inventory_.sets.end() || &*found == &set ? nullptr : &*found;
  }
  void AddFolder(const std::string& path) {
    if (path + "/" == root_) folders_.emplace_back();
    if (path.starts_with(root_)) folders_.push_back(path.substr(root_.size()));
  }
  void AddFile(const std::string& path) {
    if (path.starts_with(root_)) files_.insert(path.substr(root_.size()));
  }

  std::string root_;
  const backup::Inventory& inventory_;
  const backup::SetInfo* newest_ = nullptr;
  std::vector<std::string> folders_;
  std::set<std::string> files_;
};

void ExplainMissing(S3Store& store, std::vector<Finding>& findings, backup::BucketFacts& facts) {
  const bool any =
      std::any_of(findings.begin(), findings.end(), [](const Finding& each) { return backup::MissingIn(each).has_value(); });
  // Where there never were versions nothing can be hidden.
  if (!any || (facts.versions && !*facts.versions && facts.unseen.empty())) return;
  const auto hidden = store.Hidden("");
  if (!hidden) {
    facts.unseen.push_back(hidden.error().message);
    return;
  }
  backup::ExplainHidden(*hidden, findings);
}

bool CompareReplica(const BackupReplica& replica, const BackupStore& reader, S3Store& store,
                    const std::vector<backup::ListedObject>& here, bool locked, std::vector<Finding>& findings, Json& told) {
  told["replica"] = {{"path", replica.path}, {"problem", ""}};
  const auto fails = [&](const Error& error) {
    told["replica"]["problem"] = error.message;
    return false;
  };
  const auto other = OpenS3({replica.path, replica.store.region, replica.store.endpoint, replica.store.ca_file,
                             replica.store.profile.empty() ? reader.profile : replica.store.profile, 1});
  if (!other) return fails(other.error());
  Result<std::vector<backup::ListedObject>> there = ObjectsOf(**other);
  if (!there) return fails(there.error());
  backup::ReplicaQuestion question;
  question.replica = replica.path;
  question.here = here;
  question.there = std::move(*there);
  question.now = ReadWallClock().ns / 1000000000;
  question.lag = replica.lag;
  question.status = [&store](const std::string& path) { return store.CopyStatus(path); };
  const std::size_t before = findings.size();
  backup::JudgeReplica(question, findings);
  if (findings.size() > before) {
    question.rules = store.CopyRules();
    findings.resize(before);
    backup::JudgeReplica(question, findings);
  }
  if (!locked) return true;
  const backup::BucketFacts facts = (*other)->Facts();
  told["replica"]["bucket"] = backup::ToJson(facts);
  return backup::JudgeLock((*other)->name(), facts, findings);
}

}  // namespace

void PrintStore(const Json& told) {
  if (!told.is_object()) return;
  for (const Json& each : MemberAt(told, "unseen")) {
    if (each.is_string()) std::printf("not seen of the bucket: %s\n", each.get<std::string>().c_str());
  }
  const std::string problem = TextAt(MemberAt(told, "replica"), "problem");
  if (!problem.empty()) std::printf("the copy could not be looked at: %s\n", problem.c_str());
}

bool JudgeStore(const BackupOptions& options, const backup::Source& source, backup::Verified& verified, Json& told) {
  const auto store = std::dynamic_pointer_cast<S3Store>(backup::StoreOf(source));
  if (store == nullptr) return true;
  std::vector<Finding>& findings = verified.report.findings;
  backup::BucketFacts facts = store->Facts();
  ExplainMissing(*store, findings, facts);
  told = backup::ToJson(facts);
  const BackupReplica replica = options.settings ? options.settings->replica : BackupReplica();
  const bool locked = options.settings && options.settings->locked;
  bool shown = !locked || backup::JudgeLock(store->name(), facts, findings);
  const bool expires = facts.expiry && !facts.expiry->empty();
  if (!expires && replica.path.empty()) return shown;
  const Result<std::vector<backup::ListedObject>> here = ObjectsOf(*store);
  if (!here) {
    told["unseen"].push_back(here.error().message);
    return shown && replica.path.empty();
  }
  if (expires) {
    const Needs needs(store->name(), verified.inventory);
    backup::ExpiryQuestion question;
    question.set = needs.set();
    for (const backup::ListedObject& each : *here) {
      if (needs.Has(each.path)) question.needed.push_back(each);
    }
    question.prefix = store->prefix();
    question.rules = *facts.expiry;
    question.now = ReadWallClock().ns / 1000000000;
    backup::JudgeExpiry(question, findings);
  }
  if (!replica.path.empty()) {
    shown = CompareReplica(replica, options.settings->store, *store, *here, locked, findings, told) && shown;
  }
  return shown;
}

}  // namespace lifeboat
