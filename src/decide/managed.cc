#include "decide/managed.h"

#include <functional>
#include <vector>

namespace lifeboat {

namespace {

/// What was seen of a copy longer ago than this says nothing about now.
constexpr Duration kFreshCopy = 45s;
/// A switchover of a cloud takes a minute or two: one that goes on for so long does not get on.
constexpr Duration kSwitchoverTakes = 5min;
/// An execution is taken over from an agent that has been silent for so long.
constexpr Duration kAdoptPatience = 30s;

using S = ManagedSnapshot;
using D = ManagedDecision;

bool Acts(const S& s) { return s.policy.automation == Automation::kAct; }
std::string Quote(const RegionName& region) { return "'" + region.text + "'"; }

const ManagedFacts* Find(const S& s, const RegionName& region) {
  const auto found = s.regions.find(region);
  return found == s.regions.end() ? nullptr : &found->second;
}
const ManagedFacts& Self(const S& s) { return s.regions.at(s.self); }
bool IsData(const S& s) { return Self(s).kind == RegionKind::kData; }
bool IsWriter(const S& s) { return s.item && s.item->writer == s.self; }
/// A data region that is not the writer's.
bool IsStandby(const S& s) { return s.item && IsData(s) && !IsWriter(s); }

void Propose(D& d, ManagedProposal proposal, std::string reason) {
  d.proposal = proposal;
  d.reason = std::move(reason);
}
void Withhold(D& d, std::string reason, std::string unblock) {
  d.withheld = true;
  d.reason = std::move(reason);
  d.unblock = std::move(unblock);
}

/// "the region of the writer, 'us-east-1', has been found silent by 2 of 3 agents for 31 s (…)".
std::string SilenceText(const S& s) {
  std::string text = "the region of the writer, " + Quote(s.item->writer) + ", is found silent by " +
                     std::to_string(s.silence.degraded) + " of " + std::to_string(s.silence.agents) + " agents";
  if (s.silence.majority_for) text += ", by a majority for " + FormatDuration(*s.silence.majority_for);
  return text + (s.silence.why.empty() ? "" : " (" + s.silence.why + ")");
}

std::string LossText(const ManagedFacts& facts) {
  if (!facts.loss || facts.loss->kind != LossEstimate::Kind::kBounded)
    return "the loss is unknown" + (facts.loss && !facts.loss->basis.empty() ? " (" + facts.loss->basis + ")" : "");
  return "at most " + FormatDuration(facts.loss->time) + " of writes would be lost (" + facts.loss->basis + ")";
}

bool DegradedForLong(const S& s) { return s.votes.majority_for && *s.votes.majority_for >= s.policy.degraded_after; }

/// Who goes on with an execution whose owner is silent: the target's agent, else the first that answers.
RegionName Adopter(const S& s) {
  const auto could = [&](const RegionName& region) {
    const ManagedFacts* facts = Find(s, region);
    return facts != nullptr && region != s.execution->owner && (region == s.self || facts->agent_answers);
  };
  if (could(s.execution->target)) return s.execution->target;
  RegionName first;
  std::size_t order = SIZE_MAX;
  for (const auto& [region, facts] : s.regions) {
    if (!could(region) || facts.order >= order) continue;
    first = region;
    order = facts.order;
  }
  return first;
}

/// What a failover does not interrupt: one to a region that answers. A switchover waits for the region that fell silent, and so
/// does a rejoin behind it.
bool WaitsForTheLost(const S& s) {
  if (!s.execution || !s.item || !LostByVotes(s)) return false;
  const Execution& e = *s.execution;
  return (e.kind == PlanKind::kSwitchover && e.source == s.item->writer) ||
         (e.kind == PlanKind::kRejoin && e.target == s.item->writer);
}

/// Within the cool-down of a failover, or nobody knows whether.
bool SoonAfterFailover(const S& s) { return !s.takeover_read || (s.since_takeover && *s.since_takeover < s.policy.cool_down); }

/// Votes may move the service, and what would have to be known for that is.
bool VotesMove(const S& s) {
  return s.policy.degraded_action == DegradedAction::kSwitchover && Acts(s) && s.store_answers && s.journal_read;
}

/// A switchover that votes drove to here.
bool IsMoveToHere(const S& s, const Execution& e) {
  return e.kind == PlanKind::kSwitchover && e.target == s.self && FlagAt(e.facts, "by_votes") && s.item &&
         e.source == s.item->writer && s.cool_down && s.cool_down->execution == e.id.text;
}

/// The cloud took such a move on, and it does not end: taken back, or not done after the time that one takes. Else empty.
std::string Stalled(const S& s) {
  if (!s.execution || !VotesMove(s) || !IsMoveToHere(s, *s.execution)) return {};
  if (const std::string why = TextAt(s.execution->facts, "stalled"); !why.empty()) return why;
  const StepRecord* asked = s.execution->Find("switch-over");
  const StepRecord* awaited = s.execution->Find("await");
  if (asked == nullptr || awaited == nullptr || asked->state != StepState::kDone || awaited->state == StepState::kDone) return {};
  const Duration taken(s.wall.ns - asked->ended.ns);
  const Duration patience = std::max<Duration>(s.policy.degraded_patience, kSwitchoverTakes);
  return taken > patience ? "it was asked for " + FormatDuration(taken) + " ago, and is not done" : std::string();
}

/// Such a move was refused, before anything was moved.
bool WasRefused(const S& s) {
  return VotesMove(s) && s.latched && s.latched->state == ExecutionState::kFailed && IsMoveToHere(s, *s.latched) && IsStandby(s) &&
         !s.execution;
}

struct Row {
  Rule rule;
  bool (*holds)(const S&);
  void (*conclude)(const S&, D&);
};

const Row kRows[] = {
    // ---- executions ----
    {{600, "nothing is begun before it is known what runs"},
     [](const S& s) { return !s.journal_read && !s.item; },
     [](const S& s, D& d) {
       const std::string why =
           s.store_answers ? "the journal has not been read yet" : "the store does not answer: " + s.store_problem;
       Withhold(d, why, s.store_answers ? "" : "bring the store back");
     }},
    {{605, "an execution of this region is gone on with"},
     [](const S& s) { return s.execution && s.execution->owner == s.self && !s.execution_runs_here && s.store_answers; },
     [](const S& s, D& d) {
       Propose(d, ManagedProposal::kAdoptExecution,
               std::string(ToString(s.execution->kind)) + " '" + s.execution->id.text + "' is of an earlier run of this agent");
     }},
    {{610, "an execution whose owner fell silent is gone on with"},
     [](const S& s) {
       return s.execution && !s.execution_runs_here && s.store_answers && s.execution_owner_silent &&
              *s.execution_owner_silent > kAdoptPatience && Adopter(s) == s.self;
     },
     [](const S& s, D& d) {
       Propose(d, ManagedProposal::kAdoptExecution,
               "the agent of " + Quote(s.execution->owner) + ", which runs " + ToString(s.execution->kind) + " '" +
                   s.execution->id.text + "', has been silent for " + FormatDuration(*s.execution_owner_silent));
     }},
    {{612, "a move by votes that does not end goes on as a failover, under the loss limit"},
     [](const S& s) {
       return !Stalled(s).empty() && TakeoverObjection(Self(s)).empty() && LossLimitObjection(Self(s).loss, s.policy).empty();
     },
     [](const S& s, D& d) {
       d.subject = s.item->writer;
       Propose(d, ManagedProposal::kForceMove,
               "switchover '" + s.execution->id.text + "' does not get on: " + Stalled(s) + "; " + LossText(Self(s)));
     }},
    {{615, "one execution at a time"},
     [](const S& s) { return s.execution && !WaitsForTheLost(s); },
     [](const S& s, D& d) {
       d.reason = std::string(ToString(s.execution->kind)) + " '" + s.execution->id.text + "' is " + ToString(s.execution->state) +
                  " in " + Quote(s.execution->owner);
       if (!s.execution->waiting_for.empty()) d.reason += ": " + s.execution->waiting_for;
     }},

    // ---- where the writer is ----
    {{620, "the writer of a service that is new here is taken note of"},
     [](const S& s) { return s.store_answers && s.store_empty && !WriterByMajority(s).empty(); },
     [](const S& s, D& d) {
       d.subject = WriterByMajority(s);
       Propose(d, ManagedProposal::kNoteWriter,
               "a majority of all agents sees " + Quote(d.subject) + " take writes, and nothing is noted yet");
     }},
    {{622, "a writer is taken note of when a majority sees it"},
     [](const S& s) { return !s.item; },
     [](const S& s, D& d) {
       Withhold(
           d,
           s.store_answers ? "no majority of the agents sees the same writer yet" : "the store does not answer: " + s.store_problem,
           s.store_answers ? "lifeboat check" : "bring the store back");
     }},
    {{625, "a writer that was moved by others is taken note of"},
     [](const S& s) {
       const RegionName seen = WriterByMajority(s);
       // SAFETY: after a detachment or a promotion the old database goes on saying that it is the one: it is not followed back.
       if (s.item->apart) return false;
       return s.store_answers && s.journal_read && !s.execution && !seen.empty() && seen != s.item->writer && s.moving_to.empty();
     },
     [](const S& s, D& d) {
       d.subject = WriterByMajority(s);
       Propose(d, ManagedProposal::kNoteWriter,
               "a majority of all agents sees " + Quote(d.subject) + " take writes, and " + Quote(s.item->writer) +
                   " is noted: somebody moved it");
     }},

    // ---- the writer's region is lost ----
    {{630, "a lost writer is not replaced where Lifeboat only observes"},
     [](const S& s) { return IsStandby(s) && LostByVotes(s) && !Acts(s); },
     [](const S& s, D& d) {
       Withhold(d, SilenceText(s) + "; policy.automation is 'observe'", "lifeboat failover --to " + s.self.text);
     }},
    {{632, "without the store nothing orders two failovers, so none is begun"},
     [](const S& s) { return IsStandby(s) && LostByVotes(s) && !s.store_answers; },
     [](const S& s, D& d) {
       Withhold(d, SilenceText(s) + "; the store does not answer: " + s.store_problem, "bring the store back");
     }},
    {{634, "a copy that could not take over does not"},
     [](const S& s) { return IsStandby(s) && LostByVotes(s) && !TakeoverObjection(Self(s)).empty(); },
     [](const S& s, D& d) {
       Withhold(d, SilenceText(s) + "; the copy here could not take over: " + TakeoverObjection(Self(s)), "lifeboat check");
     }},
    {{636, "the region that would lose the least takes over"},
     [](const S& s) { return IsStandby(s) && LostByVotes(s) && BestCandidate(s) != s.self; },
     [](const S& s, D& d) { d.reason = SilenceText(s) + "; " + Quote(BestCandidate(s)) + " takes over"; }},
    {{638, "one failover within the cool-down, and no second by itself"},
     [](const S& s) { return IsStandby(s) && LostByVotes(s) && SoonAfterFailover(s); },
     [](const S& s, D& d) {
       // SAFETY: a failover of which nothing is known is none that was long ago.
       if (!s.takeover_read)
         return Withhold(d, SilenceText(s) + "; when the last failover was has not been read yet", "bring the store back");
       Withhold(d,
                SilenceText(s) + "; the last failover was " + FormatDuration(*s.since_takeover) + " ago, policy.cool_down is " +
                    FormatDuration(s.policy.cool_down),
                "lifeboat failover --to " + s.self.text);
     }},
    {{640, "above the loss limit, or where the loss is unknown, a person is asked"},
     [](const S& s) { return IsStandby(s) && LostByVotes(s) && !LossLimitObjection(Self(s).loss, s.policy).empty(); },
     [](const S& s, D& d) {
       Withhold(d, SilenceText(s) + "; " + LossLimitObjection(Self(s).loss, s.policy),
                "lifeboat failover --to " + s.self.text + " --accept-loss");
     }},
    {{650, "a lost writer is replaced"},
     [](const S& s) { return IsStandby(s) && LostByVotes(s); },
     [](const S& s, D& d) {
       d.subject = s.item->writer;
       Propose(d, ManagedProposal::kFailover, SilenceText(s) + "; " + LossText(Self(s)));
     }},
    {{652, "whoever holds no copy only votes"},
     [](const S& s) { return s.item && !IsData(s) && LostByVotes(s); },
     [](const S& s, D& d) {
       const RegionName best = BestCandidate(s);
       d.reason = SilenceText(s) + (best.empty() ? "; no region could take over" : "; " + Quote(best) + " decides");
     }},
    {{654, "a silent region is waited for"},
     [](const S& s) { return s.item && s.silence.majority_for.has_value(); },
     [](const S& s, D& d) { d.reason = SilenceText(s) + "; policy.failover_after is " + FormatDuration(s.policy.failover_after); }},
    {{656, "one agent's silence is no loss"},
     [](const S& s) { return s.item && !IsWriter(s) && s.own_silence.opinion == Opinion::kDegraded; },
     [](const S& s, D& d) { d.reason = SilenceText(s) + "; that is no majority"; }},

    // ---- the writer serves badly ----
    {{658, "a move by votes that was refused goes on as a failover, under the loss limit"},
     [](const S& s) { return WasRefused(s) && DegradedForLong(s) && TakeoverObjection(Self(s)).empty(); },
     [](const S& s, D& d) {
       const std::string why = s.votes.why + "; switchover '" + s.latched->id.text + "' did not get on";
       // SAFETY: above the limit, or unknown, the writer that serves badly is left where it is.
       if (const std::string objection = LossLimitObjection(Self(s).loss, s.policy); !objection.empty())
         return Withhold(d, why + "; " + objection, "lifeboat failover --to " + s.self.text + " --accept-loss");
       d.subject = s.item->writer;
       Propose(d, ManagedProposal::kForceMove, why + "; " + LossText(Self(s)));
     }},
    {{660, "a degraded writer is moved once, and then a person looks"},
     [](const S& s) {
       return s.item && DegradedForLong(s) && s.policy.degraded_action == DegradedAction::kSwitchover && Acts(s) && s.cool_down;
     },
     [](const S& s, D& d) {
       Withhold(d, s.votes.why + "; votes moved the service at " + FormatWallTime(s.cool_down->at),
                "lifeboat cool-down clear --reason \"what was found\"");
     }},
    {{662, "a writer that a majority calls degraded is moved"},
     [](const S& s) {
       return IsStandby(s) && DegradedForLong(s) && VotesMove(s) && s.cool_down_read && !SoonAfterFailover(s) &&
              BestCandidate(s) == s.self;
     },
     [](const S& s, D& d) {
       d.subject = s.item->writer;
       Propose(d, ManagedProposal::kMove, s.votes.why);
     }},
    {{664, "a degraded writer is a person's matter"},
     [](const S& s) { return s.item && DegradedForLong(s) && s.policy.degraded_action != DegradedAction::kTell; },
     [](const S& s, D& d) {
       const RegionName best = BestCandidate(s);
       const bool recent =
           s.policy.degraded_action == DegradedAction::kSwitchover && s.since_takeover && *s.since_takeover < s.policy.cool_down;
       const std::string why = recent ? "; the last failover was " + FormatDuration(*s.since_takeover) +
                                            " ago, policy.cool_down is " + FormatDuration(s.policy.cool_down)
                                      : "";
       Withhold(d, s.votes.why + why, best.empty() ? "lifeboat check" : "lifeboat switchover --to " + best.text);
     }},
    {{666, "a degraded writer is told of"},
     [](const S& s) { return s.item && s.votes.majority_for.has_value(); },
     [](const S& s, D& d) { d.reason = s.votes.why; }},

    // ---- quiet ----
    {{670, "a copy that stands apart comes back by a person's order"},
     [](const S& s) {
       return IsStandby(s) && Self(s).copy &&
              (Self(s).copy->role == ManagedRole::kApart || Self(s).copy->role == ManagedRole::kWriter);
     },
     [](const S& s, D& d) {
       Withhold(d,
                "the copy here follows nobody, and " + Quote(s.item->writer) + " is the writer: it may hold writes that were lost",
                "lifeboat rejoin " + s.self.text);
     }},
    {{672, "a copy that could not take over says why"},
     [](const S& s) { return IsStandby(s) && !TakeoverObjection(Self(s)).empty(); },
     [](const S& s, D& d) { Withhold(d, TakeoverObjection(Self(s)), "lifeboat check"); }},
    {{674, "a lag that is unknown or above the limit says that a person would be asked"},
     [](const S& s) { return IsStandby(s) && Acts(s) && !LossLimitObjection(Self(s).loss, s.policy).empty(); },
     [](const S& s, D& d) {
       d.reason = "were the writer lost now, a person would be asked: " + LossLimitObjection(Self(s).loss, s.policy);
     }},
    {{680, "a secondary is ready to take over"},
     [](const S& s) { return IsStandby(s); },
     [](const S& s, D& d) { d.reason = Quote(s.item->writer) + " takes writes; " + LossText(Self(s)); }},
    {{684, "the writer serves"},
     [](const S& s) { return IsWriter(s); },
     [](const S& s, D& d) {
       const auto& copy = Self(s).copy;
       d.reason = "epoch " + std::to_string(s.item->epoch.number) + "; the cluster here is " +
                  (copy && !copy->status.empty() ? "'" + copy->status + "'" : "of an unknown state");
     }},
    {{690, "the witness sees and votes"},
     [](const S&) { return true; },
     [](const S& s, D& d) { d.reason = s.item ? Quote(s.item->writer) + " is the writer" : "no writer is known"; }},
};

Verdict VerdictOf(const S& s, const RegionName& region, const ManagedFacts& facts) {
  const bool writer = s.item && s.item->writer == region;
  if (writer && LostByVotes(s)) return Verdict::kLost;
  if (writer && s.silence.degraded > 0) return Verdict::kSuspect;
  if (!facts.agent_answers && !facts.copy) return Verdict::kUnknown;
  if (facts.kind == RegionKind::kWitness) return facts.agent_answers ? Verdict::kHealthy : Verdict::kSuspect;
  if (writer && DegradedForLong(s)) return Verdict::kDegraded;
  const bool fresh = facts.copy && facts.copy_age && *facts.copy_age < kFreshCopy;
  if (!fresh) return Verdict::kUnknown;
  if (writer) {
    const bool writes = facts.copy->role == ManagedRole::kWriter || facts.copy->role == ManagedRole::kApart;
    return writes && facts.copy->Serves() ? Verdict::kHealthy : Verdict::kDegraded;
  }
  if (facts.copy->role == ManagedRole::kApart || facts.copy->role == ManagedRole::kWriter ||
      facts.copy->role == ManagedRole::kAbsent)
    return Verdict::kDetached;
  return TakeoverObjection(facts).empty() ? Verdict::kHealthy : Verdict::kDegraded;
}

}  // namespace

const char* ToString(ManagedProposal proposal) {
  switch (proposal) {
    case ManagedProposal::kNothing: return "nothing";
    case ManagedProposal::kNoteWriter: return "note the writer";
    case ManagedProposal::kAdoptExecution: return "adopt the execution";
    case ManagedProposal::kFailover: return "fail over";
    case ManagedProposal::kMove: return "switch over";
    case ManagedProposal::kForceMove: return "fail over";
  }
  return "nothing";
}

Json ToJson(const ManagedDecision& d) {
  Json verdicts = Json::object();
  for (const auto& [region, verdict] : d.verdicts) verdicts[region.text] = ToString(verdict);
  return {{"rule", d.rule},
          {"sentence", d.sentence},
          {"reason", d.reason},
          {"subject", d.subject.text},
          {"proposal", ToString(d.proposal)},
          {"withheld", d.withheld},
          {"unblock", d.unblock},
          {"verdicts", verdicts}};
}

std::span<const Rule> AllManagedRules() {
  static const std::vector<Rule> all = [] {
    std::vector<Rule> rules;
    for (const Row& row : kRows) rules.push_back(row.rule);
    return rules;
  }();
  return all;
}

ManagedDecision Decide(const ManagedSnapshot& snapshot) {
  ManagedDecision decision;
  for (const Row& row : kRows) {
    if (!row.holds(snapshot)) continue;
    decision.rule = row.rule.number;
    decision.sentence = row.rule.sentence;
    row.conclude(snapshot, decision);
    break;
  }
  for (const auto& [region, facts] : snapshot.regions) decision.verdicts[region] = VerdictOf(snapshot, region, facts);
  return decision;
}

LossEstimate LossByLag(std::optional<Duration> lag, Duration age, std::optional<Duration> silent_for) {
  LossEstimate loss;
  if (!lag) {
    loss.basis = "no lag is known";
    return loss;
  }
  const Duration unseen = std::max<Duration>(0ns, age - silent_for.value_or(0ns));
  loss.kind = LossEstimate::Kind::kBounded;
  loss.time = *lag + unseen;
  loss.basis = "the lag was " + FormatDuration(*lag) + " when it was last measured, " + FormatDuration(age) + " ago";
  if (silent_for) loss.basis += ", and the writer's region fell silent " + FormatDuration(*silent_for) + " ago";
  loss.basis += "; not bounded is what a writer that is only cut off takes after that";
  return loss;
}

LossEstimate LossByHeartbeat(Duration age, std::optional<Duration> silent_for) {
  LossEstimate loss;
  loss.kind = LossEstimate::Kind::kBounded;
  loss.time = std::max<Duration>(0ns, age - silent_for.value_or(0ns));
  loss.basis = "the copy had everything until " + FormatDuration(age) + " ago, by the newest heartbeat that it shows";
  if (silent_for) loss.basis += ", and the writer's region fell silent " + FormatDuration(*silent_for) + " ago";
  loss.basis += "; not bounded is what a writer that is only cut off takes after that";
  return loss;
}

Json LossJson(const LossEstimate& loss) {
  Json json = ToJson(loss);
  json["bytes"] = nullptr;
  return json;
}

std::string TakeoverObjection(const ManagedFacts& facts) {
  const std::string why = facts.copy && !facts.copy->problem.empty() ? ": " + facts.copy->problem : std::string();
  if (!facts.copy || !facts.copy_age) return "its copy has not been looked at" + why;
  if (*facts.copy_age > kFreshCopy) return "its copy was last seen " + FormatDuration(*facts.copy_age) + " ago" + why;
  const ManagedCopy& copy = *facts.copy;
  switch (copy.role) {
    case ManagedRole::kUnknown: return "its copy could not be looked at" + (copy.problem.empty() ? "" : ": " + copy.problem);
    case ManagedRole::kAbsent: return "there is no '" + copy.id + "'";
    case ManagedRole::kApart:
    case ManagedRole::kWriter: return "'" + copy.id + "' follows nobody: it may lack what the writer has";
    case ManagedRole::kSecondary: break;
  }
  // SAFETY: after a promotion or a detachment other copies may go on following the old database: what the new one has taken since
  // is lost with them, and their lag, which is of the old one, says nothing of it.
  if (!copy.follows.empty() && !facts.noted_writer.empty() && copy.follows != facts.noted_writer)
    return "'" + copy.id + "' follows the database in " + Quote(copy.follows) + ", not the writer in " + Quote(facts.noted_writer);
  // SAFETY: a failover to it would end in a database that nobody can connect to.
  if (copy.instances == std::size_t{0}) return "'" + copy.id + "' has no instance";
  if (!copy.Available()) return "'" + copy.id + "' is '" + copy.status + "', not available";
  return {};
}

RegionName BestCandidate(const ManagedSnapshot& s) {
  RegionName best;
  const ManagedFacts* held = nullptr;
  const auto known = [](const ManagedFacts& facts) { return facts.loss && facts.loss->kind == LossEstimate::Kind::kBounded; };
  for (const auto& [region, facts] : s.regions) {
    if (facts.kind != RegionKind::kData || !s.item || region == s.item->writer) continue;
    if (!facts.agent_answers || !TakeoverObjection(facts).empty()) continue;
    bool better = held == nullptr;
    if (held != nullptr) {
      // Seconds, since agents' ages differ by the way: a difference of less decides by the file's order, alike in every region.
      const auto seconds = [](const ManagedFacts& f) { return std::chrono::duration_cast<std::chrono::seconds>(f.loss->time); };
      if (known(facts) != known(*held))
        better = known(facts);
      else if (known(facts) && seconds(facts) != seconds(*held))
        better = seconds(facts) < seconds(*held);
      else
        better = facts.order < held->order;
    }
    if (!better) continue;
    best = region;
    held = &facts;
  }
  return best;
}

bool LostByVotes(const ManagedSnapshot& s) {
  // SAFETY: counted over all agents of the service, without a break, by this agent's own clock.
  return s.item && s.silence.majority_for && *s.silence.majority_for >= s.policy.failover_after;
}

RegionName WriterByMajority(const ManagedSnapshot& s) {
  std::map<RegionName, std::size_t> counts;
  for (const auto& [region, facts] : s.regions) {
    if (facts.agent_answers && !facts.seen_writer.empty()) ++counts[facts.seen_writer];
  }
  for (const auto& [writer, count] : counts) {
    if (count * 2 > s.regions.size()) return writer;
  }
  return {};
}

}  // namespace lifeboat
