#pragma once

// The promise: a candidate's word to the holder that it will not take over before a moment on its own clock
// (docs/lease.md, "Promise"). Question and answer as plain values, and as they travel (docs/formats/peer.md, "lease.promise").
// Thread rule: plain values.

#include <string>

#include "base/json.h"
#include "base/time.h"
#include "base/types.h"

namespace lifeboat {

struct PromiseQuestion {
  RegionName holder;
  AgentId agent;  ///< the run that asks; its clocks are the only ones that `asked` means anything to
  Epoch epoch;
  Instant asked;        ///< t0, which names the round
  Duration length{};    ///< for how long nobody else is to take over; whole milliseconds
  bool binding = true;  ///< false: a probe: would you?
  friend bool operator==(const PromiseQuestion&, const PromiseQuestion&) = default;
};

struct PromiseAnswer {
  RegionName region;    ///< who answers
  AgentId agent;        ///< the run that asked, echoed
  Epoch epoch;          ///< echoed
  Instant asked;        ///< echoed
  bool binding = true;  ///< echoed
  bool promised = false;
  Duration granted{};   ///< from the arrival of the question; never more than was asked for
  Epoch highest;        ///< that the answering region has on its disk
  std::string refusal;  ///< why not; empty: promised
  AgentId run;          ///< the run that answers; its clock is compared with itself alone
  Instant clock;        ///< of the answering region: two answers betray an asking machine whose own clocks stood still
  friend bool operator==(const PromiseAnswer&, const PromiseAnswer&) = default;
};

[[nodiscard]] Json ToJson(const PromiseQuestion& question);
/// @error kFail: a member is missing or of the wrong type
[[nodiscard]] Result<PromiseQuestion> PromiseQuestionFromJson(const Json& json);
[[nodiscard]] Json ToJson(const PromiseAnswer& answer);
[[nodiscard]] Result<PromiseAnswer> PromiseAnswerFromJson(const Json& json);

}  // namespace lifeboat
