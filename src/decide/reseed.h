#pragma once

// What a store that was lost is begun anew with (docs/lease.md section 5, docs/runbooks/store-lost.md): a pure function from what
// the agents that answer have on record, and from what a person attests about the others, to the new item, or to why not. Thread
// rule: pure functions.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/agent_record.h"
#include "model/lease_item.h"

namespace lifeboat {

/// What one region's agent says about itself.
struct ReseedWitness {
  RegionName region;
  bool data = true;      ///< not a witness: it has a database, and may be holder or candidate
  bool answers = false;  ///< nothing below is known where it does not
  std::string problem;   ///< why it does not
  AgentId agent;
  AgentRecord record;
  std::optional<LeaseItem> remembered;  ///< the last item that this run has read and not refused
  bool writable = false;
  bool standby = false;  ///< its database runs in recovery
};

struct ReseedQuestion {
  RegionName holder;  ///< as the operator names it
  std::string by;
  std::map<RegionName, std::string> attested;  ///< regions that are down: who saw what
  Incarnation incarnation;                     ///< of the store, as it is now
  std::optional<LeaseItem> item;               ///< in the store, as it is now
  Duration length{};                           ///< L
  std::vector<ReseedWitness> regions;          ///< all of the service
};

struct ReseedPlan {
  LeaseItem item;
  Incarnation least;                  ///< of the new life
  std::vector<RegionName> to_record;  ///< must have the new epoch on their disks before the item is written
  bool holder_answers = false;
};

/// @error kRefused, saying what stands in the way and what to do: the store is whole; a data region neither answers nor is attested
///        as down; another region was the last primary; names that are no data regions; an attested region that answers
[[nodiscard]] Result<ReseedPlan> PlanReseed(const ReseedQuestion& question);

}  // namespace lifeboat
