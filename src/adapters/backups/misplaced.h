#pragma once

// Of pages with a wrong checksum, those that are good pages of another place: a disk or a driver wrote them to the wrong block.
// Thread rule: one call; it reads the files of those pages once more.

#include <map>
#include <vector>

#include "adapters/backups/read_set.h"
#include "adapters/backups/read_wal.h"

namespace lifeboat::backup {

/// For each page of `bad` that is meant for another block of its relation: that block. A checksum alone proves nothing, since one
/// in 65535 fits by chance: the block must also be one that never was written, or hold an older version of the page. Looks at the
/// first few bad pages, and only where a file can be read alone (not in tar files).
[[nodiscard]] std::map<PageName, std::uint32_t> FindMisplaced(const SetContent& content, const std::vector<SuspectPage>& bad,
                                                              std::uint32_t page_bytes, std::uint32_t segment_blocks);

}  // namespace lifeboat::backup
