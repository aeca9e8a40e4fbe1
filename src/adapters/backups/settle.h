#pragma once

// What a source did while it was looked at: backups that expired, dumps and backups that are being written, WAL that was removed
// with an old backup or came late. A fault that is none any more at a second look is not told; what moved is not checked, which is
// no pass. Data flow: Verification holds its first look and its findings, this takes back what the second look explains. Thread
// rule: one thread; it blocks.

#include <map>
#include <string>
#include <vector>

#include "adapters/backups/collector_internal.h"
#include "adapters/backups/source.h"
#include "backup/windows.h"

namespace lifeboat::backup {

class Settler {
 public:
  /// All outlive it. @param catalogs  one an archive of `inventory`
  Settler(Source& source, Inventory& inventory, std::vector<WalCatalog>& catalogs, Collector& collector)
      : source_(source), inventory_(inventory), catalogs_(catalogs), collector_(collector) {}

  /// After the WAL was read: gaps that were closed, segments that were removed with the backups that needed them.
  void Archives();
  /// After the files were read: backups that are gone, or are others by now.
  void Sets();

  /// Why nothing is said of this set; "": it stood still.
  [[nodiscard]] std::string MovedText(const std::string& label) const;
  /// Segments that came while it was looked at, and were not read.
  [[nodiscard]] std::uint64_t came() const { return came_; }

 private:
  [[nodiscard]] bool AnyGap() const;
  void NoteMoved(const Inventory& now);
  void Archive(std::size_t at, const Inventory& now);

  Source& source_;
  Inventory& inventory_;
  std::vector<WalCatalog>& catalogs_;
  Collector& collector_;
  std::map<std::string, std::string> moved_;  ///< why, by label
  std::uint64_t came_ = 0;
};

}  // namespace lifeboat::backup
