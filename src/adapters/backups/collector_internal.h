#pragma once

// Findings of a run, gathered from its threads. Beyond twenty of one fault in one set they are counted, not kept: a lost disk
// must not take the memory of the machine that looks at it.
// Thread rule: any thread.

#include <algorithm>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

#include "backup/finding.h"

namespace lifeboat::backup {

class Collector {
 public:
  void Add(Finding finding) {
    const std::lock_guard lock(mutex_);
    const auto key = std::make_pair(finding.fault, finding.set);
    std::size_t& kept = kept_[key];
    if (kept < kMost) {
      ++kept;
      findings_.push_back(std::move(finding));
      return;
    }
    const auto [rest, is_new] = rest_.try_emplace(key, findings_.size());
    if (is_new) {
      Finding more = MakeFinding(finding.fault, finding.set, "", "", "");
      more.severity = finding.severity;
      more.count = 0;
      findings_.push_back(std::move(more));
    }
    Finding& more = findings_[rest->second];
    more.count += finding.count;
    if (finding.severity == Severity::kFault) more.severity = Severity::kFault;
    more.what = "and " + std::to_string(more.count) + " more";
  }
  void Add(std::vector<Finding> findings) {
    for (Finding& finding : findings) Add(std::move(finding));
  }
  [[nodiscard]] std::vector<Finding> Take() {
    const std::lock_guard lock(mutex_);
    std::erase_if(findings_, &Dropped);
    return std::move(findings_);
  }
  /// Takes back what turned out to be none.
  void Drop(const std::function<bool(const Finding&)>& which) {
    const std::lock_guard lock(mutex_);
    for (Finding& each : findings_) {
      if (!Dropped(each) && which(each)) each.fault = 0;
    }
  }
  [[nodiscard]] bool Has(const std::function<bool(const Finding&)>& which) const {
    const std::lock_guard lock(mutex_);
    return std::any_of(findings_.begin(), findings_.end(), [&](const Finding& each) { return !Dropped(each) && which(each); });
  }
  /// A fault of `level` in `set`.
  [[nodiscard]] bool HasFault(const std::string& set, Level level) const {
    return Has([&](const Finding& each) { return each.set == set && each.level == level && each.severity == Severity::kFault; });
  }

 private:
  static bool Dropped(const Finding& each) { return each.fault == 0; }  // in place: `rest_` holds indexes

  static constexpr std::size_t kMost = 20;
  mutable std::mutex mutex_;
  std::vector<Finding> findings_;
  std::map<std::pair<int, std::string>, std::size_t> kept_;
  std::map<std::pair<int, std::string>, std::size_t> rest_;
};

}  // namespace lifeboat::backup
