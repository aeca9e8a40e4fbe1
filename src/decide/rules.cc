#include "decide/rules.h"

#include <functional>

namespace lifeboat {

namespace {

/// Signs of loss are shown from here on; acting waits for the lease.
constexpr int kSuspectPeriods = 2;
constexpr Duration kPeerSilence = 1s;
/// An heir that does not come within this many lengths of the lease is given up by the releasing region.
constexpr int kHeirPatience = 2;
/// Longer than this a dead database does not wait for the answers of candidates.
constexpr Duration kAssessPatience = 2s;
/// So long a candidate lets another that holds more go first, and no longer: it may be able to do less than it says.
constexpr Duration kDeferPatience = 1s;
/// What another agent said longer ago than this is not compared with.
constexpr Duration kFreshGossip = 1s;
/// A standby that was pointed to its primary is left to reconnect by itself for so long.
constexpr Duration kReconnectPatience = 5s;
/// Another region adopts a switchover only after this many lengths of its owner's silence.
constexpr int kAdoptPatience = 2;

Duration Length(const Snapshot& s) { return s.lease.item ? s.lease.item->length : Duration(3s); }
bool Writable(const Snapshot& s) { return s.database && s.database->IsWritable(); }
bool ProcessAlive(const Snapshot& s) { return s.database && s.database->process_alive; }
/// SAFETY: a server that answers nobody here may still serve clients (its connection slots can be used up): where it was a primary,
/// and no guard would end it, it is ended as one.
bool MayBeWritable(const Snapshot& s) {
  return Writable(s) || (ProcessAlive(s) && !s.database->accepting && s.detached && !s.guard_answers);
}
bool Acts(const Snapshot& s) { return s.policy.automation == Automation::kAct; }
std::string Quote(const RegionName& region) { return "'" + region.text + "'"; }

/// Once promoted, the target is a primary like any other: started again where it dies. So is the one that a rejoin copies from.
bool ExecutionNeedsDatabase(const Snapshot& s) {
  if (!s.execution) return false;
  if (s.execution->source == s.self) return true;
  const StepRecord* promote = s.execution->Find("promote");
  return s.execution->target == s.self && promote && promote->state != StepState::kDone;
}

/// The highest epoch that any other region's agent holds on its disk.
Epoch EpochElsewhere(const Snapshot& s) {
  Epoch highest;
  for (const auto& [name, peer] : s.peers) highest = std::max(highest, peer.highest);
  return highest;
}

/// The holder asked for this region's promise lately: it is alive, whatever its counter in the store says.
bool PromisedLately(const Snapshot& s) {
  return s.lease.promised_left && *s.lease.promised_left > Length(s) - Length(s) / 6 * kSuspectPeriods;
}

/// The holder shows signs of loss: its counter or its agent is silent.
bool HolderSuspect(const Snapshot& s) {
  if (!s.lease.item || s.lease.item->released) return s.lease.item.has_value();
  if (PromisedLately(s)) return false;
  if (s.lease.counter_age && *s.lease.counter_age > Length(s) / 6 * kSuspectPeriods) return true;
  const auto holder = s.peers.find(s.lease.item->holder);
  return holder != s.peers.end() && !holder->second.answers && (!holder->second.age || *holder->second.age > kPeerSilence / 2);
}

std::string HolderSigns(const Snapshot& s) {
  std::string text = "the lease of " + Quote(s.lease.item->holder) + " (epoch " + std::to_string(s.lease.item->epoch.number) +
                     ") was last renewed " +
                     (s.lease.counter_age ? FormatDuration(*s.lease.counter_age) + " ago" : "at an unknown time");
  const auto holder = s.peers.find(s.lease.item->holder);
  if (holder != s.peers.end()) text += holder->second.answers ? ", its agent answers" : ", its agent does not answer";
  if (s.lease.promised_left) text += ", and it has this region's promise for " + FormatDuration(*s.lease.promised_left);
  return text;
}

/// A standby that streams from here, of the same system, on which a row written after it was seen has arrived.
const RegionName* AdmissibleStandby(const Snapshot& s) {
  if (!s.database || s.heartbeat_written == 0) return nullptr;
  for (const auto& [name, peer] : s.peers) {
    if (peer.kind != RegionKind::kData || s.lease.item->IsCandidate(name)) continue;
    if (!peer.answers || peer.detached || !peer.database || !peer.database->IsStandby()) continue;
    if (peer.database->system_id != s.database->system_id || peer.database->timeline != s.database->timeline) continue;
    if (peer.database->upstream.empty() || peer.heartbeat_seen == 0 || peer.heartbeat_seen + 8 < s.heartbeat_written) continue;
    return &name;
  }
  return nullptr;
}

/// A candidate whose agent says that its copy must be rejoined, to a question that was asked since it became one: what it said
/// before that is of before its rejoin.
const RegionName* CandidateToDrop(const Snapshot& s) {
  for (const auto& [name, peer] : s.peers) {
    if (!s.lease.item->IsCandidate(name) || !peer.answers || !peer.detached) continue;
    if (peer.age && peer.candidate_for && *peer.age < *peer.candidate_for) return &name;
  }
  return nullptr;
}

/// Another candidate that could take over now and holds more than this region, or as much and stands before it.
const RegionName* BetterCandidate(const Snapshot& s) {
  if (!s.database || !s.database->flushed) return nullptr;
  const RegionName* best = nullptr;
  Lsn most = *s.database->flushed;
  std::size_t order = s.order;
  for (const auto& [name, peer] : s.peers) {
    if (!s.lease.item->IsCandidate(name) || !peer.answers || !peer.age || *peer.age > kFreshGossip) continue;
    if (peer.detached || !peer.guard_answers || !peer.database || !peer.database->IsStandby() || !peer.database->flushed) continue;
    if (peer.database->system_id != s.database->system_id || peer.database->timeline != s.database->timeline) continue;
    if (*peer.database->flushed < most || (*peer.database->flushed == most && peer.order > order)) continue;
    most = *peer.database->flushed;
    order = peer.order;
    best = &name;
  }
  return best;
}

/// An execution that moves the service points its name by itself.
bool Moves(const Snapshot& s) { return s.execution && s.execution->kind != PlanKind::kRejoin; }

/// The name leads elsewhere, or carries an earlier epoch, and whoever wrote it knew of no later primaryship than this one.
bool MayRoute(const Snapshot& s) {
  if (!s.traffic || !s.lease.valid || !s.journal_read || Moves(s)) return false;
  const Epoch beside = s.traffic->epoch.value_or(Epoch{});
  return beside < s.lease.item->epoch || (beside == s.lease.item->epoch && !s.traffic->leads_here);
}

std::string TrafficText(const Snapshot& s) {
  if (s.traffic->address.empty()) return "the service's name does not exist";
  return "the service's name leads to '" + s.traffic->address + "' under " +
         (s.traffic->epoch ? "epoch " + std::to_string(s.traffic->epoch->number) : std::string("no epoch"));
}

std::string VotesText(const Snapshot& s) {
  return std::to_string(s.votes.degraded) + " of " + std::to_string(s.votes.agents) + " agents have called " +
         Quote(s.lease.item->holder) + " degraded for " + FormatDuration(*s.votes.majority_for) + " (" + s.votes.why + ")";
}

/// Why this region could not be switched over to now; empty: it could, as far as is seen from here.
std::string MoveObjection(const Snapshot& s) {
  if (!s.lease.item->IsCandidate(s.self)) return "this region is not a candidate";
  if (!s.lease.store_answers) return "the store does not answer: " + s.lease.store_problem;
  if (!s.journal_read || !s.cool_down_read) return "the journal has not been read by this run yet";
  if (!s.database || !s.database->IsStandby()) return "the database here is not a running standby";
  if (!s.guard_answers) return "the guard of this region does not answer";
  return {};
}

/// The holder gave its epoch away and never opened it: taking it up again loses what its takeover would have lost, and more of it
/// where the heir holds more.
bool GivenAwayUnopened(const LeaseItem& item) {
  if (!item.released) return false;
  const auto token = ParseJson(item.released->token, "token");
  return IsYielded(item) || (token.ok() && MemberAt(*token, "loss").is_object());
}

struct Row {
  Rule rule;
  std::function<bool(const Snapshot&)> holds;
  std::function<void(const Snapshot&, Decision&)> conclude;
};

void Propose(Decision& d, Proposal proposal, std::string reason) {
  d.proposal = proposal;
  d.reason = std::move(reason);
}
void Withhold(Decision& d, std::string reason, std::string unblock) {
  d.withheld = true;
  d.reason = std::move(reason);
  d.unblock = std::move(unblock);
}

bool HolderRegion(const Snapshot& s) { return s.kind == RegionKind::kData && s.lease.held_here; }
bool StandbyRegion(const Snapshot& s) {
  return s.kind == RegionKind::kData && s.lease.item && !s.lease.held_here && s.lease.item->holder != s.self;
}
/// Votes move nothing while the lease or an execution decides.
bool MayBeMoved(const Snapshot& s) {
  return StandbyRegion(s) && DegradedByVotes(s) && !s.lease.item->released && !s.execution && !HolderSuspect(s) &&
         !s.lease.may_take_over;
}
/// A takeover ends the execution of another region by its own transaction; one that this region runs is finished first.
bool ExecutionBlocksTakeover(const Snapshot& s) {
  if (!s.execution || s.execution->owner != s.self || s.execution->kind == PlanKind::kRejoin) return false;
  // A switchover whose old primary was lost before it released: nothing of it can go on, or be taken back from here.
  const bool source_lost = s.execution->kind == PlanKind::kSwitchover && s.lease.item && !s.lease.item->released &&
                           s.lease.item->holder == s.execution->source;
  return !source_lost;
}
// A run that has just begun must know its own switchover first: it is gone on with, not replaced by a failover.
bool WouldTakeOver(const Snapshot& s) {
  return StandbyRegion(s) && s.lease.may_take_over && s.journal_read && !ExecutionBlocksTakeover(s);
}

const Row kRows[] = {
    // ---- anyone ----
    {{50, "a primary without a valid lease is stopped"},
     [](const Snapshot& s) {
       // An earlier run's lease is adopted, not stopped: until then the guard goes on with the deadline that it was given.
       const bool earlier_run = s.lease.held_here && !s.lease.held_by_this_run;
       // A closed gate commits nothing: while nobody has gone on under a higher epoch, the guard waits for a renewal.
       // Nor does anybody go on while this lease fences nothing yet (observe): a person's word would be needed.
       const bool gate_holds =
           (s.gate || (s.lease.item && !s.lease.item->Fences())) && s.lease.held_here && EpochElsewhere(s) <= s.lease.item->epoch;
       return Acts(s) && MayBeWritable(s) && s.lease.item && !s.lease.valid && !earlier_run && !gate_holds &&
              s.kind == RegionKind::kData;
     },
     [](const Snapshot& s, Decision& d) {
       Propose(d, Proposal::kStopDatabase,
               std::string(Writable(s) ? "the database here accepts writes"
                                       : "the database here was a primary and says nothing, its guard neither") +
                   ", and this region's lease is not valid (epoch " + std::to_string(s.lease.item->epoch.number) + " is held by " +
                   Quote(s.lease.item->holder) + ")");
     }},
    {{60, "an execution whose own region's agent was replaced is gone on with"},
     [](const Snapshot& s) { return s.execution && !s.execution_runs_here && s.execution->owner == s.self; },
     [](const Snapshot& s, Decision& d) {
       Propose(d, Proposal::kAdoptExecution, "execution '" + s.execution->id.text + "' belongs to an earlier run of this agent");
     }},
    {{65, "a switchover whose owner is gone is ended by the region that it would have left"},
     [](const Snapshot& s) {
       return s.execution && !s.execution_runs_here && s.execution->kind == PlanKind::kSwitchover &&
              s.execution->source == s.self && s.execution->owner != s.self && s.execution_owner_silent &&
              *s.execution_owner_silent > Length(s) * kAdoptPatience && s.lease.item && s.lease.item->holder == s.self;
     },
     [](const Snapshot& s, Decision& d) {
       Propose(d, Proposal::kAdoptExecution,
               "the agent of " + Quote(s.execution->owner) + ", which runs '" + s.execution->id.text + "', is silent for " +
                   FormatDuration(*s.execution_owner_silent));
     }},
    {{70, "the store is not read yet"},
     [](const Snapshot& s) { return !s.lease.item && !s.lease.store_empty; },
     [](const Snapshot& s, Decision& d) {
       Withhold(d, s.lease.store_problem.empty() ? "no answer from the store since this agent began" : s.lease.store_problem,
                "bring the store back; nothing is started on a guess");
     }},
    {{80, "a service without a lease is founded by its first primary"},
     [](const Snapshot& s) { return s.lease.store_empty && s.self == s.first_primary && s.kind == RegionKind::kData && Acts(s); },
     [](const Snapshot&, Decision& d) { Propose(d, Proposal::kFoundService, "the store holds no lease item for this service"); }},
    {{85, "a service without a lease waits for its first primary"},
     [](const Snapshot& s) { return s.lease.store_empty; },
     [](const Snapshot& s, Decision& d) {
       Withhold(d, "the store holds no lease item for this service",
                Acts(s) ? "start the agent of " + Quote(s.first_primary) : "set policy.automation to 'act'");
     }},

    // ---- the region that holds the lease ----
    {{200, "a running execution decides over the database that it moves"},
     [](const Snapshot& s) {
       // The lease is never the execution's: that of an earlier run is adopted at once, or the guard would fall in its midst.
       const bool earlier_run = s.lease.held_here && !s.lease.held_by_this_run;
       return s.kind == RegionKind::kData && ExecutionNeedsDatabase(s) && !WouldTakeOver(s) && !earlier_run;
     },
     [](const Snapshot& s, Decision& d) {
       d.reason = std::string(ToString(s.execution->kind)) + " '" + s.execution->id.text + "' is " + ToString(s.execution->state) +
                  (s.execution->waiting_for.empty() ? "" : ": " + s.execution->waiting_for);
       const std::string owner = WaitsForOwner(s);
       if (!owner.empty()) Withhold(d, d.reason + "; " + owner, "start the agent of " + Quote(s.execution->owner));
     }},
    {{202, "a store that lacks an epoch which another region has seen opens nothing"},
     [](const Snapshot& s) {
       return HolderRegion(s) && (!s.lease.held_by_this_run || !Writable(s)) && EpochElsewhere(s) > s.lease.item->epoch;
     },
     [](const Snapshot& s, Decision& d) {
       Withhold(d,
                "the store says epoch " + std::to_string(s.lease.item->epoch.number) +
                    ", but another region's agent has seen epoch " + std::to_string(EpochElsewhere(s).number) +
                    ": the store was restored from an old copy",
                "bring the newest copy of the store back");
     }},
    {{205, "a lease of an earlier run of this agent is adopted"},
     [](const Snapshot& s) { return HolderRegion(s) && !s.lease.held_by_this_run && s.lease.store_answers; },
     [](const Snapshot& s, Decision& d) {
       Propose(d, Proposal::kAdoptLease,
               "epoch " + std::to_string(s.lease.item->epoch.number) + " is this region's, held by an earlier run");
     }},
    {{210, "a holder whose lease has run out waits, fenced, for the store"},
     [](const Snapshot& s) { return HolderRegion(s) && !s.lease.valid; },
     [](const Snapshot& s, Decision& d) {
       Withhold(d,
                "the lease of epoch " + std::to_string(s.lease.item->epoch.number) + " could not be renewed" +
                    (s.lease.store_problem.empty() ? "" : ": " + s.lease.store_problem),
                "the region opens again by itself once the store answers and nobody has taken over");
     }},
    {{220, "no guard, no primary"},
     [](const Snapshot& s) { return HolderRegion(s) && !s.guard_answers && !Writable(s); },
     [](const Snapshot&, Decision& d) {
       Withhold(d, "the guard of this region does not answer, so nothing would stop the database at the deadline",
                "start the guard");
     }},
    {{225, "nothing is started before the journal says which execution runs"},
     [](const Snapshot& s) { return HolderRegion(s) && !Writable(s) && !s.journal_read; },
     [](const Snapshot&, Decision& d) { Withhold(d, "the journal has not been read by this run yet", "bring the store back"); }},
    {{230, "a dead database is failed over at once where the policy says so and the loss is proven zero"},
     [](const Snapshot& s) {
       return HolderRegion(s) && !ProcessAlive(s) && s.database_down && s.policy.database_failure == DatabaseFailure::kFailover &&
              Acts(s) && !s.ready_heir.empty() && s.loss && s.loss->kind == LossEstimate::Kind::kProvenZero;
     },
     [](const Snapshot& s, Decision& d) {
       Propose(d, Proposal::kReleaseDead,
               "no process of the database lives, and " + Quote(s.ready_heir) + " holds all of its WAL (" + s.loss->basis + ")");
       d.subject = s.ready_heir;
     }},
    {{235, "a dead database is assessed before it is started again"},
     [](const Snapshot& s) {
       return HolderRegion(s) && !Writable(s) && s.database_down && s.policy.database_failure == DatabaseFailure::kFailover &&
              Acts(s) && !s.loss && *s.database_down < kAssessPatience;
     },
     [](const Snapshot&, Decision& d) {
       d.reason = "where its WAL ends, and which candidate holds all of it, is being found out";
     }},
    {{240, "a dead database is failed over when the restart budget is spent, under the loss limit"},
     [](const Snapshot& s) {
       return HolderRegion(s) && !Writable(s) && s.database_down && *s.database_down > s.policy.restart_budget && Acts(s) &&
              !s.ready_heir.empty() && LossLimitObjection(s.loss, s.policy).empty();
     },
     [](const Snapshot& s, Decision& d) {
       Propose(d, Proposal::kReleaseDead,
               "the database could not be restarted within " + FormatDuration(s.policy.restart_budget) + "; " +
                   Quote(s.ready_heir) + " takes over (" + s.loss->basis + ")");
       d.subject = s.ready_heir;
     }},
    {{250, "the holder's database is started here"},
     [](const Snapshot& s) { return HolderRegion(s) && s.database && !Writable(s) && Acts(s); },
     [](const Snapshot& s, Decision& d) {
       std::string reason =
           s.database->process_alive ? "the database runs but does not accept writes" : "no process of the database lives";
       if (!s.database->problem.empty()) reason += " (" + s.database->problem + ")";
       if (s.database_down && *s.database_down > s.policy.restart_budget) {
         reason += "; the restart budget is spent, but no heir may take over: ";
         reason += s.ready_heir.empty() ? "no candidate says that it can" : LossLimitObjection(s.loss, s.policy);
       }
       Propose(d, Proposal::kStartPrimary, reason);
     }},
    {{255, "the service's name is pointed to the region that serves"},
     [](const Snapshot& s) { return HolderRegion(s) && Writable(s) && Acts(s) && MayRoute(s); },
     [](const Snapshot& s, Decision& d) {
       Propose(d, Proposal::kRoute,
               TrafficText(s) + ", and this region serves under epoch " + std::to_string(s.lease.item->epoch.number));
     }},
    {{260, "a proven standby is named as a candidate"},
     [](const Snapshot& s) { return HolderRegion(s) && Writable(s) && Acts(s) && AdmissibleStandby(s) != nullptr; },
     [](const Snapshot& s, Decision& d) {
       d.subject = *AdmissibleStandby(s);
       Propose(d, Proposal::kAdmitStandby, Quote(d.subject) + " streams from here, and a row written since has arrived on it");
     }},
    {{265, "a candidate whose copy must be rejoined is a candidate no longer"},
     [](const Snapshot& s) {
       return HolderRegion(s) && s.lease.store_answers && Writable(s) && Acts(s) && CandidateToDrop(s) != nullptr;
     },
     [](const Snapshot& s, Decision& d) {
       d.subject = *CandidateToDrop(s);
       Propose(d, Proposal::kDropCandidate, "the agent of " + Quote(d.subject) + " says that its copy must be rejoined");
     }},
    {{270, "a primary that a majority calls degraded says so, and serves"},
     [](const Snapshot& s) { return HolderRegion(s) && Writable(s) && DegradedByVotes(s); },
     [](const Snapshot& s, Decision& d) {
       d.reason = VotesText(s) + "; policy.degraded_action is '" + ToString(s.policy.degraded_action) + "'";
     }},
    {{285, "a name that carries a higher epoch is left alone"},
     [](const Snapshot& s) {
       return HolderRegion(s) && Writable(s) && s.traffic && s.traffic->epoch && *s.traffic->epoch > s.lease.item->epoch;
     },
     [](const Snapshot& s, Decision& d) {
       Withhold(d,
                TrafficText(s) + ", and this region serves under epoch " + std::to_string(s.lease.item->epoch.number) +
                    ": the store was restored from an old copy, or another service uses the name",
                "find out who wrote it; for a store that was restored: bring the newest copy back, or lifeboat store reseed");
     }},
    {{290, "the holder serves"},
     [](const Snapshot& s) { return HolderRegion(s); },
     [](const Snapshot& s, Decision& d) {
       d.reason = Writable(s) ? "the database accepts writes under epoch " + std::to_string(s.lease.item->epoch.number) +
                                    ", lease valid for " + FormatDuration(s.lease.left)
                              : "the database does not accept writes, and policy.automation is 'observe'";
       d.withheld = !Writable(s);
     }},
    {{295, "a released epoch whose heir did not come goes on here"},
     [](const Snapshot& s) {
       return s.kind == RegionKind::kData && s.lease.item && s.lease.item->holder == s.self && s.lease.released_here && Acts(s) &&
              !s.execution && s.lease.counter_age && *s.lease.counter_age > Length(s) * kHeirPatience &&
              !GivenAwayUnopened(*s.lease.item);
     },
     [](const Snapshot& s, Decision& d) {
       Propose(d, Proposal::kReclaim,
               "epoch " + std::to_string(s.lease.item->epoch.number) + " was released " + FormatDuration(*s.lease.counter_age) +
                   " ago, and nobody took it");
     }},
    {{296,
      "an epoch that was given to a region which held more is taken up again when that region is lost too, under the loss limit"},
     [](const Snapshot& s) {
       if (s.kind != RegionKind::kData || !s.lease.item || s.lease.item->holder != s.self || !s.lease.released_here || !Acts(s))
         return false;
       if (s.execution || !GivenAwayUnopened(*s.lease.item) || !s.lease.counter_age ||
           *s.lease.counter_age <= Length(s) * kHeirPatience)
         return false;
       const auto heir = s.peers.find(s.lease.item->released->heir);
       return heir != s.peers.end() && !heir->second.answers && LossLimitObjection(s.loss, s.policy).empty();
     },
     [](const Snapshot& s, Decision& d) {
       Propose(d, Proposal::kReclaim,
               "epoch " + std::to_string(s.lease.item->epoch.number) + " was given to " + Quote(s.lease.item->released->heir) +
                   " " + FormatDuration(*s.lease.counter_age) + " ago, which did not take it and does not answer");
     }},
    {{298, "a released epoch waits for its heir"},
     [](const Snapshot& s) {
       return s.kind == RegionKind::kData && s.lease.item && s.lease.item->holder == s.self && s.lease.released_here;
     },
     [](const Snapshot& s, Decision& d) {
       d.reason = "epoch " + std::to_string(s.lease.item->epoch.number) + " was ended by this region's own word";
     }},

    // ---- a standby region ----
    {{310, "a copy that was primary is not started before it has been rejoined"},
     [](const Snapshot& s) { return StandbyRegion(s) && s.detached && !s.lease.item->IsCandidate(s.self); },
     [](const Snapshot& s, Decision& d) {
       Withhold(d, "the database here was the primary of an earlier epoch and may hold writes that no other has",
                "lifeboat rejoin " + s.self.text);
     }},
    {{312, "a copy that holds more than the primary's history is not made to follow before it has been rejoined"},
     [](const Snapshot& s) { return StandbyRegion(s) && !s.ahead.empty(); },
     [](const Snapshot& s, Decision& d) { Withhold(d, s.ahead, "lifeboat rejoin " + s.self.text); }},
    {{320, "a standby that is not running is started"},
     [](const Snapshot& s) { return StandbyRegion(s) && s.database && !ProcessAlive(s) && Acts(s); },
     [](const Snapshot& s, Decision& d) {
       Propose(d, Proposal::kStartStandby, "no process of the database lives");
       d.subject = s.lease.item->holder;
     }},
    {{322, "a standby follows the primary once its lineage is proven"},
     [](const Snapshot& s) {
       return StandbyRegion(s) && Acts(s) && s.database && s.database->IsStandby() && s.not_following && !s.lease.item->released &&
              !WouldTakeOver(s) && (!s.pointed || *s.not_following > kReconnectPatience);
     },
     [](const Snapshot& s, Decision& d) {
       d.subject = s.lease.item->holder;
       Propose(d, Proposal::kFollow,
               Quote(d.subject) + " serves under epoch " + std::to_string(s.lease.item->epoch.number) +
                   ", and the standby here has not streamed from it for " + FormatDuration(*s.not_following));
     }},
    {{330, "a region that may not take over says why"},
     [](const Snapshot& s) { return StandbyRegion(s) && HolderSuspect(s) && !s.lease.item->IsCandidate(s.self); },
     [](const Snapshot& s, Decision& d) {
       Withhold(d, HolderSigns(s) + "; this region is not a candidate",
                "it becomes one when its copy is proven to follow the primary");
     }},
    {{340, "a lost holder is not replaced while automation only observes"},
     [](const Snapshot& s) { return WouldTakeOver(s) && (!Acts(s) || !s.lease.item->Fences()); },
     [](const Snapshot& s, Decision& d) {
       const std::string objection = LossLimitObjection(s.loss, s.policy);
       Withhold(
           d,
           HolderSigns(s) +
               (Acts(s)
                    ? "; policy.automation was 'observe' there, so that its lease fences nothing: it may be writing still; else "
                    : "; policy.automation is 'observe'; with 'act' ") +
               (objection.empty() ? "this region would take over now" : "a person would be asked: " + objection),
           "lifeboat failover --to " + s.self.text + " --attest \"who saw that " + s.lease.item->holder.text +
               " is off, and how\"" + (objection.empty() ? "" : " --accept-loss"));
     }},
    {{343, "a lost holder is not replaced while the store is silent"},
     [](const Snapshot& s) { return WouldTakeOver(s) && !s.lease.store_answers; },
     [](const Snapshot& s, Decision& d) {
       Withhold(d,
                HolderSigns(s) + "; but a takeover is a transaction in the store, and it does not answer: " + s.lease.store_problem,
                "bring the store back");
     }},
    {{345, "a standby that cannot be promoted does not take over"},
     [](const Snapshot& s) { return WouldTakeOver(s) && !(s.database && s.database->IsStandby()); },
     [](const Snapshot& s, Decision& d) {
       Withhold(d,
                HolderSigns(s) + "; but the database here is not a running standby" +
                    (s.database && !s.database->problem.empty() ? " (" + s.database->problem + ")" : ""),
                "bring the standby here up");
     }},
    {{347, "no guard, no takeover"},
     [](const Snapshot& s) { return WouldTakeOver(s) && !s.guard_answers; },
     [](const Snapshot& s, Decision& d) {
       Withhold(d, HolderSigns(s) + "; but the guard of this region does not answer", "start the guard");
     }},
    {{350, "a takeover soon after another waits for a person"},
     [](const Snapshot& s) {
       return WouldTakeOver(s) && !s.lease.item->released && s.since_takeover && *s.since_takeover < s.policy.cool_down;
     },
     [](const Snapshot& s, Decision& d) {
       Withhold(d,
                HolderSigns(s) + "; the last takeover was " + FormatDuration(*s.since_takeover) + " ago, cool_down is " +
                    FormatDuration(s.policy.cool_down),
                "lifeboat failover --to " + s.self.text);
     }},
    {{360, "a loss that is unknown or above the limit waits for a person"},
     [](const Snapshot& s) { return WouldTakeOver(s) && !LossLimitObjection(s.loss, s.policy).empty(); },
     [](const Snapshot& s, Decision& d) {
       Withhold(d, HolderSigns(s) + "; " + LossLimitObjection(s.loss, s.policy),
                "lifeboat failover --to " + s.self.text + " --accept-loss");
     }},
    {{370, "the heir of a release takes over at once"},
     [](const Snapshot& s) { return WouldTakeOver(s) && s.lease.item->released; },
     [](const Snapshot& s, Decision& d) {
       Propose(d, Proposal::kFailover,
               Quote(s.lease.item->holder) + " ended epoch " + std::to_string(s.lease.item->epoch.number) + " by its own word");
     }},
    {{375, "of several candidates the one with the most received WAL takes over, the others let it go first"},
     [](const Snapshot& s) {
       return WouldTakeOver(s) && BetterCandidate(s) != nullptr && (!s.takeover_open || *s.takeover_open < kDeferPatience);
     },
     [](const Snapshot& s, Decision& d) {
       const RegionName& better = *BetterCandidate(s);
       d.subject = better;
       d.reason = HolderSigns(s) + "; " + Quote(better) + " holds WAL up to " + s.peers.at(better).database->flushed->Text() +
                  ", this region up to " + s.database->flushed->Text() + ": it goes first, for at most " +
                  FormatDuration(kDeferPatience);
     }},
    {{380, "a lost holder is replaced"},
     [](const Snapshot& s) { return WouldTakeOver(s); },
     [](const Snapshot& s, Decision& d) { Propose(d, Proposal::kFailover, HolderSigns(s)); }},
    {{381, "a degraded primary is told of, and left where it is"},
     [](const Snapshot& s) { return MayBeMoved(s) && s.policy.degraded_action == DegradedAction::kTell; },
     [](const Snapshot& s, Decision& d) { d.reason = VotesText(s) + "; policy.degraded_action is 'tell'"; }},
    {{382, "a degraded primary is not moved to a region that could not take it over, nor while automation only observes"},
     [](const Snapshot& s) { return MayBeMoved(s) && (!Acts(s) || !MoveObjection(s).empty()); },
     [](const Snapshot& s, Decision& d) {
       const std::string objection = MoveObjection(s);
       Withhold(d, VotesText(s) + "; " + (objection.empty() ? "policy.automation is 'observe'" : objection),
                objection.empty() ? "set policy.automation to 'act'" : "lifeboat status");
     }},
    {{383, "a degraded primary is moved by the candidate that holds the most"},
     [](const Snapshot& s) { return MayBeMoved(s) && BetterCandidate(s) != nullptr; },
     [](const Snapshot& s, Decision& d) {
       d.subject = *BetterCandidate(s);
       d.reason = VotesText(s) + "; it is left to " + Quote(d.subject);
     }},
    {{384, "a degraded primary is moved by a person's word, where the policy says so or during a cool-down"},
     [](const Snapshot& s) {
       const bool recent = s.since_takeover && *s.since_takeover < s.policy.cool_down;
       return MayBeMoved(s) && (s.policy.degraded_action == DegradedAction::kAsk || s.cool_down || recent);
     },
     [](const Snapshot& s, Decision& d) {
       const std::string order = "lifeboat switchover --to " + s.self.text;
       if (s.policy.degraded_action == DegradedAction::kAsk)
         return Withhold(d, VotesText(s) + "; policy.degraded_action is 'ask'", order);
       if (s.cool_down) {
         return Withhold(d,
                         VotesText(s) + "; votes moved the service from " + Quote(s.cool_down->from) + " to " +
                             Quote(s.cool_down->to) + " at " + FormatWallTime(s.cool_down->at) +
                             ", and no second time before a person has cleared that",
                         "lifeboat cool-down clear --reason \"what was found\"");
       }
       Withhold(d,
                VotesText(s) + "; the last takeover was " + FormatDuration(*s.since_takeover) + " ago, cool_down is " +
                    FormatDuration(s.policy.cool_down),
                order);
     }},
    {{385, "a suspect holder's lease is waited out"},
     [](const Snapshot& s) { return StandbyRegion(s) && HolderSuspect(s); },
     [](const Snapshot& s, Decision& d) {
       d.reason = HolderSigns(s) + "; " + s.lease.takeover_bar;
       if (s.lease.takeover_left > 0s) d.reason += ", " + FormatDuration(s.lease.takeover_left) + " left";
     }},
    {{386, "a degraded primary is switched over, gracefully first"},
     [](const Snapshot& s) { return MayBeMoved(s); },
     [](const Snapshot& s, Decision& d) {
       d.subject = s.lease.item->holder;
       Propose(d, Proposal::kMove, VotesText(s));
     }},
    {{390, "a standby follows"},
     [](const Snapshot& s) { return StandbyRegion(s); },
     [](const Snapshot& s, Decision& d) { d.reason = HolderSigns(s); }},

    // ---- a witness ----
    {{490, "a witness watches"},
     [](const Snapshot& s) { return s.kind == RegionKind::kWitness; },
     [](const Snapshot& s, Decision& d) { d.reason = s.lease.item ? HolderSigns(s) : "no lease item yet"; }},
    {{990, "nothing applies"},
     [](const Snapshot&) { return true; },
     [](const Snapshot&, Decision& d) {
       d.reason = "no rule applies to what was seen";
       d.withheld = true;
       d.unblock = "lifeboat explain";
     }},
};

Verdict VerdictOfSelf(const Snapshot& s) {
  if (s.kind == RegionKind::kWitness) return s.lease.store_answers ? Verdict::kHealthy : Verdict::kDegraded;
  if (!s.database) return Verdict::kUnknown;
  if (s.lease.held_here) {
    if (!s.lease.valid) return Verdict::kFenced;
    if (DegradedByVotes(s)) return Verdict::kDegraded;
    return Writable(s) ? Verdict::kHealthy : Verdict::kDegraded;
  }
  if (s.execution && s.execution->kind == PlanKind::kRejoin && s.execution->source == s.self) return Verdict::kRejoining;
  if (s.detached || !s.ahead.empty()) return Verdict::kDetached;
  if (!s.lease.item) return Verdict::kUnknown;
  if (!s.database->IsStandby()) return Verdict::kDegraded;
  return s.database->upstream.empty() ? Verdict::kDegraded : Verdict::kHealthy;
}

Verdict VerdictOfPeer(const Snapshot& s, const RegionName& name, const PeerFacts& peer) {
  const bool holder = s.lease.item && s.lease.item->holder == name;
  if (holder) {
    if (s.lease.item->released) return Verdict::kLost;
    // The store's counter is one of two paths: a holder that asked for a promise, or is seen writable now, is not lost by it.
    const bool seen = PromisedLately(s) || (peer.answers && peer.database && peer.database->IsWritable());
    const bool ran_out = s.lease.counter_age && *s.lease.counter_age > Length(s) && !seen;
    if (ran_out) return s.lease.store_answers ? Verdict::kLost : Verdict::kUnknown;
    if (HolderSuspect(s)) return Verdict::kSuspect;
  }
  if (!peer.answers) return peer.age ? Verdict::kLost : Verdict::kUnknown;
  if (s.execution && s.execution->kind == PlanKind::kRejoin && s.execution->source == name) return Verdict::kRejoining;
  if (peer.kind == RegionKind::kWitness) return Verdict::kHealthy;
  if (!peer.database) return Verdict::kUnknown;
  if (holder) return peer.database->IsWritable() && !DegradedByVotes(s) ? Verdict::kHealthy : Verdict::kDegraded;
  if (peer.detached) return Verdict::kDetached;
  return peer.database->IsStandby() && !peer.database->upstream.empty() ? Verdict::kHealthy : Verdict::kDegraded;
}

}  // namespace

const char* ToString(Proposal proposal) {
  switch (proposal) {
    case Proposal::kNothing: return "nothing";
    case Proposal::kFoundService: return "found the service";
    case Proposal::kAdoptLease: return "adopt the lease";
    case Proposal::kStartPrimary: return "start the primary";
    case Proposal::kStopDatabase: return "stop the database";
    case Proposal::kStartStandby: return "start the standby";
    case Proposal::kAdmitStandby: return "admit the standby";
    case Proposal::kDropCandidate: return "drop the candidate";
    case Proposal::kFollow: return "follow the primary";
    case Proposal::kRoute: return "route";
    case Proposal::kMove: return "switch over";
    case Proposal::kReleaseDead: return "release the lease";
    case Proposal::kReclaim: return "reclaim the lease";
    case Proposal::kFailover: return "fail over";
    case Proposal::kAdoptExecution: return "adopt the execution";
  }
  return "nothing";
}

Json ToJson(const Decision& d) {
  Json verdicts = Json::object();
  for (const auto& [region, verdict] : d.verdicts) verdicts[region.text] = ToString(verdict);
  return {{"rule", d.rule},
          {"sentence", d.sentence},
          {"reason", d.reason},
          {"proposal", ToString(d.proposal)},
          {"subject", d.subject.text},
          {"withheld", d.withheld},
          {"unblock", d.unblock},
          {"verdicts", verdicts}};
}

std::span<const Rule> AllRules() {
  static const std::vector<Rule> rules = [] {
    std::vector<Rule> all;
    for (const Row& row : kRows) all.push_back(row.rule);
    return all;
  }();
  return rules;
}

bool DegradedByVotes(const Snapshot& s) {
  return s.lease.item && s.votes.majority_for && *s.votes.majority_for >= s.policy.degraded_after;
}

std::string WaitsForOwner(const Snapshot& s) {
  if (!s.execution || s.execution_runs_here || !s.execution_owner_silent) return {};
  if (*s.execution_owner_silent <= Length(s) * kAdoptPatience) return {};
  return "its agent in " + Quote(s.execution->owner) + " has been silent for " + FormatDuration(*s.execution_owner_silent) +
         "; to unblock: start the agent of " + Quote(s.execution->owner);
}

bool IsYielded(const LeaseItem& item) {
  if (!item.released) return false;
  const auto token = ParseJson(item.released->token, "token");
  return token.ok() && TextAt(*token, "reason") == "yielded";
}

std::string LossLimitObjection(const std::optional<LossEstimate>& loss, const Policy& policy) {
  // SAFETY: unknown is never good (G8), and no limit means that nobody stated one.
  if (!loss || loss->kind == LossEstimate::Kind::kUnknown) {
    return "the loss is unknown" + (loss && !loss->basis.empty() ? " (" + loss->basis + ")" : std::string());
  }
  if (loss->kind == LossEstimate::Kind::kProvenZero) return {};
  if (!policy.loss_limit) return "no loss_limit is configured";
  if (loss->time > policy.loss_limit->time) {
    return "up to " + FormatDuration(loss->time) + " of writes would be lost, loss_limit.time is " +
           FormatDuration(policy.loss_limit->time);
  }
  if (loss->bytes > policy.loss_limit->bytes) {
    return "up to " + FormatBytes(loss->bytes) + " of writes would be lost, loss_limit.bytes is " +
           FormatBytes(policy.loss_limit->bytes);
  }
  return {};
}

Decision Decide(const Snapshot& snapshot) {
  Decision decision;
  for (const Row& row : kRows) {
    if (!row.holds(snapshot)) continue;
    decision.rule = row.rule.number;
    decision.sentence = row.rule.sentence;
    row.conclude(snapshot, decision);
    break;
  }
  decision.verdicts[snapshot.self] = VerdictOfSelf(snapshot);
  for (const auto& [name, peer] : snapshot.peers) decision.verdicts[name] = VerdictOfPeer(snapshot, name, peer);
  return decision;
}

}  // namespace lifeboat
