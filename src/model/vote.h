#pragma once

// Votes about the primary: what each agent says of the region that serves, by rows that it wrote there itself as a client would,
// and the count of them. A region that is lost is the lease's matter; votes are about one that serves, but badly.

#include <optional>
#include <string>

#include "base/json.h"
#include "base/time.h"
#include "base/types.h"

namespace lifeboat {

enum class Opinion {
  kUnknown,  ///< no vote for either
  kOk,
  kDegraded,  ///< it serves, but not as it should; never "lost"
};
[[nodiscard]] const char* ToString(Opinion opinion);

/// What one agent says about one primaryship.
struct Vote {
  Opinion opinion = Opinion::kUnknown;
  RegionName about;
  Epoch epoch;        ///< of the primaryship that it is about
  std::string why;    ///< degraded or unknown: in words
  Duration lasted{};  ///< for how long it has been so without a break, by the voter's own clock
  friend bool operator==(const Vote&, const Vote&) = default;
};
[[nodiscard]] Json ToJson(const Vote& vote);
/// Anything that is missing or wrong makes the vote unknown.
[[nodiscard]] Vote VoteFromJson(const Json& json);

/// The votes of all agents of the service about the present primaryship, counted.
struct VoteCount {
  std::size_t agents = 0;  ///< of the service, also those that do not answer
  std::size_t degraded = 0;
  std::size_t ok = 0;
  std::optional<Duration> majority_for;  ///< since when a majority of ALL has called it degraded, without a break
  std::string why;                       ///< whose votes, and why
  [[nodiscard]] std::size_t Unknown() const { return agents - degraded - ok; }
};
[[nodiscard]] Json ToJson(const VoteCount& count);

/// The latch of a move that votes drove: no second one before a person has cleared it.
struct CoolDown {
  WallTime at;
  std::string by;  ///< "rule 386"
  std::string why;
  RegionName from;
  RegionName to;
  std::string execution;
};
[[nodiscard]] Json ToJson(const CoolDown& cool_down);
[[nodiscard]] CoolDown CoolDownFromJson(const Json& json);

}  // namespace lifeboat
