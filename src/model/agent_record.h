#pragma once

// What an agent keeps on disk, synced before it acts on it (docs/lease.md section 1). It outlives every run of the agent.

#include "base/json.h"
#include "model/lease_item.h"

namespace lifeboat {

struct AgentRecord {
  Epoch highest;               ///< the highest epoch seen: every question of a lower one is refused
  Incarnation incarnation;     ///< of the store, the newest seen: an older one is a restored copy and is refused
  Epoch released;              ///< the highest epoch that this region ended by its own word: it is never renewed again
  Epoch held;                  ///< the highest epoch under which this region's database may have been writable
  Epoch joined;                ///< the epoch of the primary that this region's copy was last proven to follow
  Duration longest_promise{};  ///< the longest that this region ever promised: what a new run waits before it promises or claims

  /// True: the copy here may hold writes that no other has. It must be rejoined before it counts as a standby.
  [[nodiscard]] bool Detached() const { return held > joined; }
  friend bool operator==(const AgentRecord&, const AgentRecord&) = default;
};

[[nodiscard]] Json ToJson(const AgentRecord& record);
[[nodiscard]] Result<AgentRecord> AgentRecordFromJson(const Json& json);

}  // namespace lifeboat
