#include "adapters/backups/settle.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>

#include "adapters/backups/folder.h"

namespace lifeboat::backup {

namespace {

/// A backup without a manifest is one that is being written, or was broken off: what is written grows.
constexpr auto kLongestWait = std::chrono::seconds(2);
constexpr auto kStep = std::chrono::milliseconds(100);

bool IsFault(const Finding& finding) { return finding.severity == Severity::kFault; }
bool IsOfWal(const Finding& finding) { return finding.fault >= 12 && finding.fault <= 17; }

const SetInfo* SetCalled(const Inventory& inventory, const std::string& label) {
  const auto at =
      std::find_if(inventory.sets.begin(), inventory.sets.end(), [&](const SetInfo& each) { return each.label == label; });
  return at == inventory.sets.end() ? nullptr : &*at;
}

/// Nothing: a list of objects is held to for the whole run, and what vanished meanwhile ends it with an error.
Result<Inventory> LookNow(Source& source) {
  const auto* reads = dynamic_cast<const FolderSource*>(&source);
  if (reads != nullptr && reads->repo().remote()) return Refused("the list is held to");
  return source.Look();
}

bool IsAnother(const SetInfo& before, const SetInfo& now) {
  return before.stopped != now.stopped || before.stored_size != now.stored_size || before.size != now.size;
}

std::set<std::string> NamesIn(const Archive& archive) {
  std::set<std::string> names;
  for (const WalFile& file : archive.wal) names.insert(file.name);
  return names;
}

}  // namespace

std::string Settler::MovedText(const std::string& label) const {
  const auto at = moved_.find(label);
  return at == moved_.end() ? "" : at->second;
}

bool Settler::AnyGap() const {
  for (std::size_t at = 0; at < catalogs_.size(); ++at) {
    std::vector<BackupSpan> spans;
    for (const SetInfo& set : inventory_.sets) {
      if (set.archive == at || set.own == at) spans.push_back(set.span);
    }
    for (const Finding& each : JudgeArchive(spans, catalogs_[at])) {
      if (each.fault == 12 || each.fault == 13) return true;
    }
  }
  return false;
}

void Settler::NoteMoved(const Inventory& now) {
  for (SetInfo& set : inventory_.sets) {
    const SetInfo* after = SetCalled(now, set.label);
    if (after == nullptr) moved_[set.label] = "it was removed while it was looked at";
    if (after != nullptr && IsAnother(set, *after)) moved_[set.label] = "it was being written while it was looked at";
    if (moved_.count(set.label) == 0) continue;
    // SAFETY: it counts for no age and no window: it is no backup that stands.
    set.present = false;
    collector_.Drop([&](const Finding& each) { return each.set == set.label; });
  }
}

void Settler::Archive(std::size_t at, const Inventory& now) {
  backup::Archive& before = inventory_.archives[at];
  WalCatalog& catalog = catalogs_[at];
  const auto after =
      std::find_if(now.archives.begin(), now.archives.end(), [&](const backup::Archive& each) { return each.name == before.name; });
  if (after == now.archives.end()) return;
  const std::set<std::string> were = NamesIn(before);
  const std::set<std::string> are = NamesIn(*after);
  const auto removed = [&](const WalFile& file) { return are.count(file.name) == 0; };
  for (const WalFile& file : before.wal) {
    if (!removed(file)) continue;
    collector_.Drop([&](const Finding& each) { return IsOfWal(each) && each.set.empty() && each.object == file.name; });
    // SAFETY: what a backup that is there needs, or leads through from it, is a hole now, and told as one.
    catalog.Remove(file.place);
  }
  std::erase_if(before.wal, removed);
  for (const WalFile& file : after->wal) {
    const auto known = catalog.present().find(file.place.timeline);
    const bool closes = known != catalog.present().end() && !known->second.empty() && file.place.number < *known->second.rbegin();
    if (were.count(file.name) > 0 || !closes) continue;
    catalog.Add(file.place);
    ++came_;
  }
}

void Settler::Archives() {
  const bool doubted = collector_.Has([](const Finding& each) { return IsFault(each) && IsOfWal(each); });
  if (!doubted && !AnyGap()) return;
  const Result<Inventory> now = LookNow(source_);
  if (!now) return;
  NoteMoved(*now);
  for (std::size_t at = 0; at < catalogs_.size(); ++at) Archive(at, *now);
}

void Settler::Sets() {
  const auto doubted = [&](const SetInfo& set, int fault) {
    return collector_.Has(
        [&](const Finding& each) { return IsFault(each) && each.set == set.label && (fault == 0 || each.fault == fault); });
  };
  const bool any = std::any_of(inventory_.sets.begin(), inventory_.sets.end(), [&](const SetInfo& set) { return doubted(set, 0); });
  if (!any) return;
  Result<Inventory> now = LookNow(source_);
  if (!now) return;
  const bool unfinished = !source_.pgbackrest() && std::any_of(inventory_.sets.begin(), inventory_.sets.end(),
                                                               [&](const SetInfo& set) { return doubted(set, 5); });
  const auto began = std::chrono::steady_clock::now();
  while (unfinished && std::chrono::steady_clock::now() - began < kLongestWait) {
    bool all = true;
    for (const SetInfo& set : inventory_.sets) {
      const SetInfo* after = SetCalled(*now, set.label);
      all = all && (!doubted(set, 5) || after == nullptr || IsAnother(set, *after));
    }
    if (all) break;
    std::this_thread::sleep_for(kStep);
    now = LookNow(source_);
    if (!now) return;
  }
  NoteMoved(*now);
}

}  // namespace lifeboat::backup
