#pragma once

// The one item per service that the store holds (docs/lease.md section 1). Every change is one compare-and-set of it.

#include <optional>
#include <vector>

#include "base/json.h"
#include "base/time.h"
#include "base/types.h"

namespace lifeboat {

/// A store's life: a new one after each restart or restore. Numbers only grow.
struct Incarnation {
  std::uint64_t number = 0;
  friend auto operator<=>(const Incarnation&, const Incarnation&) = default;
};

/// The end of an epoch by its own holder's word.
struct Release {
  RegionName heir;    ///< need not wait; empty: nobody was named
  std::string token;  ///< a clean shutdown's token, or "database-dead:<last position>"
  friend bool operator==(const Release&, const Release&) = default;
};

struct LeaseItem {
  Epoch epoch;
  RegionName holder;
  AgentId holder_agent;
  std::uint64_t counter = 0;           ///< one more with each renewal; whoever waits watches it with its own clock
  std::vector<RegionName> candidates;  ///< standby regions that may take over; sorted, no duplicates
  Duration length{};                   ///< L, a whole number of milliseconds
  std::optional<Release> released;     ///< terminal for this epoch
  std::string attested;                ///< by whose word the epoch before this one was ended without a wait; empty: nobody's
  bool observed = false;               ///< nothing stops the holder at the deadline: policy.automation is 'observe' there

  friend bool operator==(const LeaseItem&, const LeaseItem&) = default;
  [[nodiscard]] bool IsCandidate(const RegionName& region) const;
  /// SAFETY: false: that this lease has run out says nothing about the holder's writes. It was ended by the holder's own word (its
  /// database is stopped), or guard or gate stop them at the deadline.
  [[nodiscard]] bool Fences() const { return released.has_value() || !observed; }
};

[[nodiscard]] Json ToJson(const LeaseItem& item);
/// @error kFail: a member is missing or of the wrong type
[[nodiscard]] Result<LeaseItem> LeaseItemFromJson(const Json& json);

}  // namespace lifeboat
