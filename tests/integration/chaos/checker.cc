#include "integration/chaos/checker.h"

#include <algorithm>
#include <map>
#include <set>

namespace lifeboat::chaos {

namespace {

// The guard's line that a gate opens is written a moment after it has, by a thread that may be busy with the disk.
constexpr std::int64_t kLogDelayNs = 500'000'000;
constexpr std::size_t kMostTold = 5;  // violations of one kind

using RowKey = std::pair<int, std::uint64_t>;

std::string Name(const Row& row) { return "row " + std::to_string(row.writer) + "/" + std::to_string(row.n); }

std::string Milliseconds(std::int64_t ns) { return std::to_string(ns / 1'000'000) + " ms"; }

// Tells the first few of a kind and counts the rest.
class Complaints {
 public:
  Complaints(Verdict& verdict, std::string rest) : verdict_(verdict), rest_(std::move(rest)) {}
  ~Complaints() {
    if (count_ > kMostTold) verdict_.violations.push_back(std::to_string(count_ - kMostTold) + " more " + rest_);
  }
  Complaints(const Complaints&) = delete;
  Complaints& operator=(const Complaints&) = delete;
  void Add(const std::string& text) {
    if (++count_ <= kMostTold) verdict_.violations.push_back(text);
  }

 private:
  Verdict& verdict_;
  std::string rest_;
  std::size_t count_ = 0;
};

std::vector<Reign> ReignsOf(const std::vector<Row>& rows) {
  std::map<std::pair<std::string, std::uint32_t>, Reign> reigns;
  for (const Row& row : rows) {
    if (row.fate != Fate::kAcknowledged) continue;
    const auto [at, is_first] =
        reigns.try_emplace({row.region, row.timeline}, Reign{row.region, row.timeline, row.ended_ns, row.sent_ns, 0});
    at->second.begun_by_ns = std::min(at->second.begun_by_ns, row.ended_ns);
    at->second.not_over_at_ns = std::max(at->second.not_over_at_ns, row.sent_ns);
    ++at->second.commits;
  }
  std::vector<Reign> sorted;
  for (const auto& [key, reign] : reigns) sorted.push_back(reign);
  std::sort(sorted.begin(), sorted.end(), [](const Reign& a, const Reign& b) { return a.begun_by_ns < b.begun_by_ns; });
  return sorted;
}

// Two reigns overlap for certain when one still committed something that was sent after the later one's first acknowledgement.
void JudgeWriters(Verdict& verdict) {
  Complaints complaints(verdict, "pairs of writers");
  for (std::size_t later = 1; later < verdict.reigns.size(); ++later) {
    for (std::size_t earlier = 0; earlier < later; ++earlier) {
      const Reign& first = verdict.reigns[earlier];
      const Reign& second = verdict.reigns[later];
      const std::int64_t by_ns = first.not_over_at_ns - second.begun_by_ns;
      if (by_ns <= 0) continue;
      complaints.Add("two writers: " + first.region + " (timeline " + std::to_string(first.timeline) + ") committed still " +
                     Milliseconds(by_ns) + " after " + second.region + " (timeline " + std::to_string(second.timeline) +
                     ") had begun to");
    }
  }
}

const LedgerEntry* NamedBy(const std::vector<LedgerEntry>& ledger, const Row& row) {
  for (const LedgerEntry& entry : ledger) {
    if (entry.region == row.region && entry.timeline == row.timeline && entry.xids.contains(row.xid)) return &entry;
  }
  return nullptr;
}

// The end of the last permission that the region had when the commit was made. Nothing: it was made under a permission, or the log
// does not say. `since_ns`: how long the permission had been over.
std::optional<std::int64_t> OutsideBy(const std::vector<const Permission*>& permissions, std::int64_t committed_ns) {
  std::optional<std::int64_t> outside;
  for (const Permission* permission : permissions) {  // in the order of their beginnings
    if (permission->opened_wall_ns - kLogDelayNs > committed_ns) break;
    outside.reset();
    if (permission->closed_wall_ns && committed_ns > *permission->closed_wall_ns)
      outside = committed_ns - *permission->closed_wall_ns;
  }
  return outside;
}

std::map<std::string, std::vector<const Permission*>> ByRegion(const std::vector<Permission>& permissions) {
  std::map<std::string, std::vector<const Permission*>> by_region;
  for (const Permission& permission : permissions) by_region[permission.region].push_back(&permission);
  for (auto& [region, all] : by_region) {
    std::sort(all.begin(), all.end(),
              [](const Permission* a, const Permission* b) { return a->opened_wall_ns < b->opened_wall_ns; });
  }
  return by_region;
}

void JudgeLeases(const History& history, const std::map<RowKey, std::int64_t>& committed, Verdict& verdict) {
  Complaints complaints(verdict, "commits outside a lease");
  const auto permissions = ByRegion(history.permissions);
  for (const Row& row : history.rows) {
    if (row.fate != Fate::kAcknowledged) continue;
    const auto at = committed.find({row.writer, row.n});
    const auto of_region = permissions.find(row.region);
    if (at == committed.end() || at->second == 0 || of_region == permissions.end()) continue;
    ++verdict.judged_by_lease;
    if (const auto by_ns = OutsideBy(of_region->second, at->second)) {
      complaints.Add(Name(row) + " was committed by " + row.region + " " + Milliseconds(*by_ns) + " after its lease had ended");
    } else if (OutsideBy(of_region->second, row.ended_wall_ns)) {
      ++verdict.late_arrivals;
    }
  }
}

}  // namespace

Verdict Judge(const History& history) {
  Verdict verdict;
  std::map<RowKey, std::int64_t> committed;  // every row that is there, or that the ledger names → its commit's time
  for (const PresentRow& row : history.present) committed[{row.writer, row.n}] = row.committed_wall_ns;
  std::set<RowKey> present;
  for (const PresentRow& row : history.present) present.insert({row.writer, row.n});

  {
    Complaints lost(verdict, "lost rows that nothing names");
    Complaints refused(verdict, "refused rows that are there");
    for (const Row& row : history.rows) {
      const bool there = present.erase({row.writer, row.n}) > 0;
      verdict.acknowledged += row.fate == Fate::kAcknowledged ? 1 : 0;
      verdict.in_doubt += row.fate == Fate::kInDoubt ? 1 : 0;
      verdict.refused += row.fate == Fate::kRefused ? 1 : 0;
      if (row.fate == Fate::kRefused && there) refused.Add(Name(row) + " is there, though " + row.region + " refused it");
      if (row.fate != Fate::kAcknowledged || there) continue;
      const LedgerEntry* entry = NamedBy(history.ledger, row);
      if (entry == nullptr) {
        lost.Add(Name(row) + " was acknowledged by " + row.region + " (timeline " + std::to_string(row.timeline) +
                 ", transaction " + std::to_string(row.xid) + "), is not there, and the ledger does not name it");
        continue;
      }
      ++verdict.lost;
      committed[{row.writer, row.n}] = entry->xids.at(row.xid);
    }
    Complaints unsent(verdict, "rows that nobody sent");
    for (const auto& [writer, n] : present)
      unsent.Add("row " + std::to_string(writer) + "/" + std::to_string(n) + " is there, and nobody sent it");
  }
  for (const LedgerEntry& entry : history.ledger) {
    if (entry.commits != entry.xids.size()) {
      verdict.violations.push_back("the ledger '" + entry.folder + "' counts " + std::to_string(entry.commits) +
                                   " commits and holds " + std::to_string(entry.xids.size()));
    }
  }
  verdict.reigns = ReignsOf(history.rows);
  JudgeWriters(verdict);
  JudgeLeases(history, committed, verdict);
  return verdict;
}

}  // namespace lifeboat::chaos
