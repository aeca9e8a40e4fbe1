#include "decide/reseed.h"

#include <algorithm>

namespace lifeboat {

namespace {

const char* const kCommand = "lifeboat store reseed --holder ";

const ReseedWitness* Find(const ReseedQuestion& q, const RegionName& region) {
  const auto found = std::find_if(q.regions.begin(), q.regions.end(), [&](const ReseedWitness& w) { return w.region == region; });
  return found == q.regions.end() || !found->data ? nullptr : &*found;
}

std::string Quoted(const std::vector<RegionName>& regions) {
  std::string text;
  for (const RegionName& region : regions) text += (text.empty() ? "'" : ", '") + region.text + "'";
  return text;
}

std::vector<RegionName> DataRegions(const ReseedQuestion& q) {
  std::vector<RegionName> names;
  for (const ReseedWitness& w : q.regions) {
    if (w.data) names.push_back(w.region);
  }
  return names;
}

std::string Number(Epoch epoch) { return std::to_string(epoch.number); }

Result<Unit> CheckNames(const ReseedQuestion& q) {
  const std::string known = "its data regions are " + Quoted(DataRegions(q));
  if (Find(q, q.holder) == nullptr) return Refused("'" + q.holder.text + "' is no data region of the service", known);
  for (const auto& [region, words] : q.attested) {
    const ReseedWitness* w = Find(q, region);
    if (w == nullptr) return Refused("'" + region.text + "' is no data region of the service", known);
    if (words.empty()) return Refused("the attestation of '" + region.text + "' is empty", "say who saw what");
    // SAFETY: whoever answers is not down, and records the new epoch by itself.
    if (w->answers) {
      return Refused("'" + region.text + "' is attested as down, but its agent answers",
                     "leave --attest " + region.text + " away: it records the new epoch itself");
    }
  }
  return Done();
}

/// SAFETY: a region of which nothing is known could go on, or give its word, under the old epoch.
Result<Unit> CheckAllAreKnown(const ReseedQuestion& q) {
  std::string silent;
  std::string hint;
  for (const ReseedWitness& w : q.regions) {
    if (!w.data || w.answers || q.attested.contains(w.region)) continue;
    silent += (silent.empty() ? "" : "; ") +
              ("'" + w.region.text + "' neither records the new epoch nor is attested as down (" + w.problem + ")");
    hint += " --attest " + w.region.text + "=\"who saw what\"";
  }
  if (silent.empty()) return Done();
  return Refused(silent, "start its agent; or, where that region is off and you saw to it: " + (kCommand + q.holder.text) + hint);
}

struct Known {
  Epoch epoch;              ///< the highest on record anywhere
  Incarnation incarnation;  ///< likewise
};

Known HighestOf(const ReseedQuestion& q) {
  Known known;
  for (const ReseedWitness& w : q.regions) {
    if (!w.answers) continue;
    known.epoch = std::max(known.epoch, w.record.highest);
    known.incarnation = std::max(known.incarnation, w.record.incarnation);
  }
  return known;
}

Result<Unit> CheckIsLost(const ReseedQuestion& q, const Known& known) {
  if (known.epoch == Epoch{})
    return Refused("no agent that answers has ever seen an epoch", "a new service founds itself; nothing was lost");
  const Epoch stands = q.item ? q.item->epoch : Epoch{};
  // SAFETY: beside a store that still counts, a new life of it would end a reign that is valid.
  if (stands >= known.epoch && q.incarnation >= known.incarnation) {
    return Refused("the store is not lost: it holds epoch " + Number(stands) + " in incarnation " +
                       std::to_string(q.incarnation.number) + ", as the agents have it on record",
                   "lifeboat status");
  }
  return Done();
}

/// Which region was last allowed to write, and how that is known. Nothing: nobody who answers can tell.
struct LastPrimary {
  RegionName region;
  Epoch epoch;
  std::string basis;
};

std::optional<LastPrimary> FindLastPrimary(const ReseedQuestion& q) {
  std::optional<LastPrimary> last;
  const auto consider = [&last](LastPrimary found) {
    if (found.epoch > Epoch{} && (!last || found.epoch > last->epoch)) last = std::move(found);
  };
  for (const ReseedWitness& w : q.regions) {
    if (w.answers && w.data) consider({w.region, w.record.held, "it has on record that it was writable under it"});
  }
  for (const ReseedWitness& w : q.regions) {
    if (!w.answers || !w.remembered) continue;
    // A holder that answers knows better than anybody whether it ever came to write.
    const ReseedWitness* holder = Find(q, w.remembered->holder);
    if (holder == nullptr || holder->answers) continue;
    consider({holder->region, w.remembered->epoch, "as the agent of '" + w.region.text + "' last read in the store"});
  }
  return last;
}

/// SAFETY: a holder that has not the primary's data would begin to write without it.
Result<Unit> CheckHolder(const ReseedQuestion& q) {
  for (const ReseedWitness& w : q.regions) {
    if (w.answers && w.writable && w.region != q.holder) {
      return Refused("the database of '" + w.region.text + "' accepts writes at this moment", kCommand + w.region.text);
    }
  }
  const auto last = FindLastPrimary(q);
  if (!last || last->region == q.holder) return Done();
  const ReseedWitness* primary = Find(q, last->region);
  std::string hint = kCommand + last->region.text;
  if (primary != nullptr && !primary->answers) {
    hint += " --attest " + last->region.text + "=\"who saw what\", then: lifeboat failover --to " + q.holder.text;
  }
  return Refused("'" + last->region.text + "' was the last primary, under epoch " + Number(last->epoch) + " (" + last->basis +
                     "), not '" + q.holder.text + "'",
                 hint);
}

std::string Words(const ReseedQuestion& q) {
  std::string words = "store reseeded by " + q.by;
  for (const auto& [region, saw] : q.attested) words += "; '" + region.text + "' is down: " + saw;
  return words;
}

}  // namespace

Result<ReseedPlan> PlanReseed(const ReseedQuestion& q) {
  const Known known = HighestOf(q);
  for (const Result<Unit>& check : {CheckNames(q), CheckIsLost(q, known), CheckAllAreKnown(q), CheckHolder(q)}) {
    if (!check) return check.error();
  }
  const ReseedWitness& holder = *Find(q, q.holder);
  ReseedPlan plan;
  plan.holder_answers = holder.answers;
  // Two above: the one in between may have been claimed by somebody who does not answer.
  plan.item.epoch = Next(Next(std::max(known.epoch, q.item ? q.item->epoch : Epoch{})));
  plan.item.holder = q.holder;
  plan.item.holder_agent = holder.agent;
  plan.item.length = q.length;
  plan.item.attested = Words(q);
  plan.least = {std::max(known.incarnation, q.incarnation).number + 1};
  for (const ReseedWitness& w : q.regions) {
    if (!w.data || !w.answers || w.region == q.holder) continue;
    plan.to_record.push_back(w.region);
    // A holder that lives admits its standbys itself, asking them first. One that is attested as down cannot, and they must be
    // able to take over from it.
    if (!holder.answers && w.standby && !w.record.Detached()) plan.item.candidates.push_back(w.region);
  }
  std::sort(plan.item.candidates.begin(), plan.item.candidates.end());
  return plan;
}

}  // namespace lifeboat
