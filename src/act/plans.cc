// The three plans and their steps. Read PlanOf at the end first: it is the table.

#include <boost/asio/this_coro.hpp>
#include <map>

#include <memory>
#include "base/seeded_bug.h"

#include "act/fence_step.h"
#include "act/plan.h"
#include "base/spawn.h"
#include "model/control_state.h"
#include "model/database_state.h"
#include "ports/bell.h"

namespace lifeboat {

namespace {

using Answer = Task<Result<Unit>>;
using Already = Task<Result<bool>>;

constexpr ByteCount kSwitchoverLag{16 * 1024 * 1024};  // more would be waited for while nobody can write
constexpr Duration kLinkPatience = 2s;                 // for a row written now to arrive on the standby
constexpr Duration kCutPatience = 1s;                  // for another standby to drop its link and tell its position
constexpr Duration kCutPatienceWhenSilent = 200ms;     // where its agent was silent before: it slows nothing down

void Stamp(const StepContext& c, const char* fact) {
  if (!c.execution.facts.contains(fact)) c.execution.facts[fact] = c.doors.clock.Wall().ns;
}

/// {key: value}. A function, since a braced initialiser inside a co_await is miscompiled by g++ 12.
Json One(const char* key, Json value) {
  Json object = Json::object();
  object[key] = std::move(value);
  return object;
}

std::string HostOf(const ActDoors& doors, const RegionName& region) {
  const auto found = doors.databases.find(region);
  return found == doors.databases.end() ? std::string() : found->second.host;
}

Json Facts(const StepContext& c, const char* step) {
  const StepRecord* record = c.execution.Find(step);
  return record ? record->result : Json::object();
}

// ---- steps shared by plans ----

Already IsPromoted(StepContext c) {
  // Only the hand's own promote knows whether the promotion mark stands too: never "already so" from outside.
  (void)c;
  co_return false;
}

Answer Promote(StepContext c) {
  Json parameters = One("primary", c.execution.source.text);
  const Json token = MemberAt(c.execution.facts, "token");
  if (token.is_object()) parameters["through"] = TextAt(token, "end");
  auto answer = co_await c.Ask(c.execution.target, "promote", parameters);
  if (!answer.ok()) co_return answer.error();
  c.record.result = *answer;
  c.record.result["outcome"] = "new timeline from " + TextAt(*answer, "fork");
  Stamp(c, "promoted_ns");
  c.execution.facts["fork"] = TextAt(*answer, "fork");
  c.execution.facts["promotion_uuid"] = TextAt(*answer, "uuid");
  co_return Done();
}

Answer SeeWritable(StepContext c) {
  auto look = co_await c.Ask(c.execution.target, "look", Json::object());
  if (!look.ok()) co_return look.error();
  const DatabaseState state = DatabaseStateFromJson(MemberAt(*look, "database"));
  if (!state.IsWritable()) co_return RetryLater("the database of '" + c.execution.target.text + "' does not accept writes yet");
  co_return Done();
}

Already IsRouted(StepContext c) {
  auto record = co_await c.doors.traffic.Read(c.timeout);
  if (!record.ok()) co_return record.error();
  co_return record->address == HostOf(c.doors, c.execution.target) && record->epoch == c.execution.epoch;
}

Answer Route(StepContext c) {
  auto pointed = co_await c.doors.traffic.Point(HostOf(c.doors, c.execution.target), c.execution.epoch, c.timeout);
  if (!pointed.ok()) co_return pointed.error();
  c.record.result["outcome"] = "the name points to " + HostOf(c.doors, c.execution.target);
  co_return Done();
}

Answer SeeRouted(StepContext c) {
  auto record = co_await c.doors.traffic.Read(c.timeout);
  if (!record.ok()) co_return record.error();
  if (record->address != HostOf(c.doors, c.execution.target)) {
    co_return RetryLater("the name server still answers '" + record->address + "'");
  }
  Stamp(c, "routed_ns");
  c.execution.facts["ttl_s"] = record->ttl.count();
  co_return Done();
}

Answer WriteAsClient(StepContext c) {
  auto address = co_await c.doors.canary.Write(c.timeout);
  if (!address.ok()) co_return address.error();
  if (*address != HostOf(c.doors, c.execution.target)) co_return RetryLater("the canary's write went to '" + *address + "'");
  Stamp(c, "first_good_write_ns");
  c.record.result["outcome"] = "a row written through the public name was committed";
  co_return Done();
}

// ---- the region that becomes a standby: switchover's source, rejoin's region ----

Already Follows(StepContext c) {
  auto look = co_await c.Ask(c.execution.source, "look", Json::object());
  if (!look.ok()) co_return look.error();
  const DatabaseState state = DatabaseStateFromJson(MemberAt(*look, "database"));
  co_return state.IsStandby() && state.upstream == HostOf(c.doors, c.execution.target);
}

Answer Follow(StepContext c) {
  // Its slot first: from here on the primary keeps what it needs.
  auto slots = co_await c.Ask(c.execution.target, "slots", One("region", c.execution.source.text));
  if (!slots.ok()) co_return slots.error();
  auto answer = co_await c.Ask(c.execution.source, "follow", One("primary", c.execution.target.text));
  if (!answer.ok()) co_return answer.error();
  co_return Done();
}

/// "row 7 of epoch 2": a heartbeat's sequence number holds both.
std::string RowText(std::uint64_t sequence) {
  return "row " + std::to_string(sequence & 0xFFFFFFFFU) + " of epoch " + std::to_string(sequence >> 32U);
}

/// A row written on the primary now must arrive on the standby: "streaming, lag 0" is no proof.
Answer ProveByRow(StepContext c) {
  // Its slot again: the primary may have been started anew since, and a standby without its slot never streams.
  auto slots = co_await c.Ask(c.execution.target, "slots", One("region", c.execution.source.text));
  if (!slots.ok()) co_return slots.error();
  auto written = co_await c.Ask(c.execution.target, "heartbeat", Json::object());
  if (!written.ok()) co_return written.error();
  const std::uint64_t sequence = NumberAt(*written, "sequence");
  const Instant began = c.doors.clock.Now();
  while (true) {
    auto seen = co_await c.Ask(c.execution.source, "heartbeat_seen", Json::object());
    if (seen.ok() && NumberAt(*seen, "sequence") >= sequence) break;
    if (AgeAt(began, c.doors.clock.Now()) > c.timeout) {
      co_return RetryLater(RowText(sequence) + ", written on '" + c.execution.target.text + "', has not arrived on '" +
                           c.execution.source.text + "'" +
                           (seen.ok() ? ", which shows " + RowText(NumberAt(*seen, "sequence")) : ": " + seen.error().message));
    }
    co_await c.doors.clock.Sleep(10ms);
  }
  c.record.result["sequence"] = sequence;
  c.record.result["outcome"] = RowText(sequence) + ", written after the rejoin, has arrived";
  co_return Done();
}

Answer Admit(StepContext c) {
  auto joined = co_await c.Ask(c.execution.source, "joined", Json::object());
  if (!joined.ok()) co_return joined.error();
  auto admitted = co_await c.Ask(c.execution.target, "admit", One("region", c.execution.source.text));
  if (!admitted.ok()) co_return admitted.error();
  co_return Done();
}

// ---- switchover ----

/// A move that votes drove: gracefully first; where that stalls for its patience, ungracefully.
bool ByVotes(const StepContext& c) { return FlagAt(c.execution.facts, "by_votes"); }
bool Stalled(const StepContext& c) { return !TextAt(c.execution.facts, "stalled").empty(); }
Duration Patience(const StepContext& c) { return std::chrono::milliseconds(NumberAt(c.execution.facts, "patience_ms", 30000)); }
void NoteStall(StepContext& c, const std::string& why) {
  if (!Stalled(c)) c.execution.facts["stalled"] = why;
  c.record.result["outcome"] = "it does not get on gracefully: " + why;
}

Answer Preflight(StepContext c) {
  auto possible = co_await PreflightSwitchover(c.doors, c.execution.source, c.execution.target);
  if (!ByVotes(c)) co_return possible;
  const Instant began = c.doors.clock.Now();
  while (!possible.ok() && AgeAt(began, c.doors.clock.Now()) < Patience(c)) {
    co_await c.doors.clock.Sleep(500ms);
    possible = co_await PreflightSwitchover(c.doors, c.execution.source, c.execution.target);
  }
  if (!possible.ok()) NoteStall(c, possible.error().message);
  co_return Done();
}

Answer CheckpointSource(StepContext c) {
  if (Stalled(c)) co_return Done();
  if (ByVotes(c)) c.timeout = std::min(c.timeout, Patience(c));
  auto answer = co_await c.Ask(c.execution.source, "checkpoint", Json::object());
  if (!answer.ok() && ByVotes(c)) {
    // It only shortens the stop.
    c.record.result["outcome"] = "left out: " + answer.error().message;
    co_return Done();
  }
  if (!answer.ok()) co_return answer.error();
  co_return Done();
}

/// The ungraceful way: the old primary's own agent ends its database at once and releases the lease, under the loss limit. The
/// heir takes over as after any release; this execution has done its part and ends.
Answer YieldSource(StepContext c) {
  Json parameters = {{"execution", c.execution.id.text}, {"why", TextAt(c.execution.facts, "stalled")}};
  c.timeout = std::max<Duration>(c.timeout, 10s);
  auto yielded = co_await c.Ask(c.execution.source, "yield", std::move(parameters));
  if (!yielded.ok()) co_return yielded.error();
  const std::string heir = TextAt(*yielded, "heir");
  c.execution.facts["yielded"] = heir;
  co_return Refused("it went on ungracefully, since " + TextAt(c.execution.facts, "stalled") + ": '" + c.execution.source.text +
                    "' ended its database at " + TextAt(*yielded, "end") + " and released the lease to '" + heir + "'");
}

Answer StopSource(StepContext c) {
  Stamp(c, "outage_began_ns");
  if (Stalled(c)) co_return co_await YieldSource(c);
  if (ByVotes(c)) c.timeout = std::min(c.timeout, Patience(c));
  auto token = co_await c.Ask(c.execution.source, "stop", Json::object());
  if (!token.ok() && ByVotes(c)) {
    NoteStall(c, token.error().message);
    co_return co_await YieldSource(c);
  }
  if (!token.ok()) co_return token.error();
  c.execution.facts["token"] = *token;
  c.record.result["outcome"] = "shut down cleanly at " + TextAt(*token, "end");
  Stamp(c, "stopped_ns");
  co_return Done();
}

Answer Reopen(StepContext c) {
  if (!TextAt(c.execution.facts, "yielded").empty())
    co_return Refused("the lease was released to '" + TextAt(c.execution.facts, "yielded") + "', which takes over");
  auto answer = co_await c.Ask(c.execution.source, "reopen", Json::object());
  if (!answer.ok()) co_return answer.error();
  c.execution.facts["reopened_epoch"] = NumberAt(*answer, "epoch");
  co_return Done();
}

Answer SeeCaughtUp(StepContext c) {
  const Json token = MemberAt(c.execution.facts, "token");
  Json parameters = {
      {"through", TextAt(token, "end")}, {"system_id", TextAt(token, "system_id")}, {"timeline", NumberAt(token, "timeline")}};
  auto ready = co_await c.Ask(c.execution.target, "ready", parameters);
  if (!ready.ok()) co_return ready.error();
  c.record.result["outcome"] = "'" + c.execution.target.text + "' holds all WAL up to " + TextAt(token, "end");
  co_return Done();
}

Already IsReleased(StepContext c) {
  auto look = co_await c.Ask(c.execution.target, "look", Json::object());
  if (!look.ok()) co_return look.error();
  const auto item = LeaseItemFromJson(MemberAt(*look, "lease"));
  if (!item.ok()) co_return item.error();
  if (SEEDED_BUG(kReleaseToldDirectly)) co_return true;
  co_return (item->released && item->released->heir == c.execution.target) || item->holder == c.execution.target;
}

Answer ReleaseToHeir(StepContext c) {
  Json parameters = {{"heir", c.execution.target.text}, {"token", MemberAt(c.execution.facts, "token").dump()}};
  auto answer = co_await c.Ask(c.execution.source, "release", parameters);
  if (!answer.ok()) co_return answer.error();
  co_return Done();
}

Answer ClaimRelease(StepContext c) {
  auto answer = co_await c.Ask(c.execution.target, "claim", One("epoch", c.execution.epoch.number + 1));
  if (!answer.ok()) co_return answer.error();
  c.execution.facts["old_epoch"] = c.execution.epoch.number;
  c.execution.epoch = {NumberAt(*answer, "epoch")};
  Stamp(c, "claimed_ns");
  c.record.result["outcome"] =
      "epoch " + std::to_string(c.execution.epoch.number) + " is held by '" + c.execution.target.text + "'";
  co_return Done();
}

Already IsClaimed(StepContext c) {
  auto look = co_await c.Ask(c.execution.target, "look", Json::object());
  if (!look.ok()) co_return look.error();
  const auto item = LeaseItemFromJson(MemberAt(*look, "lease"));
  if (!item.ok()) co_return item.error();
  if (item->holder != c.execution.target || item->released) co_return false;
  if (item->epoch > c.execution.epoch) {
    c.execution.facts["old_epoch"] = c.execution.epoch.number;
    c.execution.epoch = item->epoch;
  }
  Stamp(c, "claimed_ns");
  co_return true;
}

// ---- failover ----

Already TakenAtBirth(StepContext c) {
  // The claim and the execution's record were one transaction: if this record exists, the claim was committed.
  (void)c;
  co_return true;
}
Answer NothingToDo(StepContext) { co_return Done(); }
Answer SayEpoch(StepContext c) {
  c.record.result["outcome"] =
      "epoch " + std::to_string(c.execution.epoch.number) + " is held by '" + c.execution.target.text + "'";
  co_return Done();
}

Answer FreezeStandby(StepContext c) {
  auto answer = co_await c.Ask(c.execution.target, "freeze", Json::object());
  if (!answer.ok()) co_return answer.error();
  c.execution.facts["received"] = TextAt(*answer, "flushed");
  c.record.result["outcome"] = "everything received ends at " + TextAt(*answer, "flushed");
  co_return Done();
}

Already IsFrozen(StepContext c) {
  // After a crash in the middle the promotion may have happened already: nothing is left to freeze.
  auto look = co_await c.Ask(c.execution.target, "look", Json::object());
  if (!look.ok()) co_return look.error();
  co_return DatabaseStateFromJson(MemberAt(*look, "database")).IsWritable();
}

/// What the other standbys said, side by side. It outlives the step where one answers late.
struct Cuts {
  explicit Cuts(boost::asio::any_io_executor io) : bell(std::move(io)) {}
  Bell bell;
  std::map<RegionName, Result<Json>> answers;
};

Task<> CutOne(Hands& hands, RegionName region, Json parameters, Duration timeout, std::shared_ptr<Cuts> cuts) {
  auto answer = co_await hands.Do(region, "cut", std::move(parameters), timeout);
  cuts->answers.emplace(region, std::move(answer));
  cuts->bell.Ring();
}

/// Every other standby that can be reached drops its link to the old primary and tells its flushed position.
Task<std::shared_ptr<Cuts>> CutOthers(StepContext c, std::size_t& asked) {
  auto cuts = std::make_shared<Cuts>(co_await boost::asio::this_coro::executor);
  Duration longest = 0s;
  for (const auto& [region, address] : c.doors.databases) {
    if (region == c.execution.target || region == c.execution.source) continue;
    const Duration patience = !c.doors.answers || c.doors.answers(region) ? kCutPatience : kCutPatienceWhenSilent;
    longest = std::max(longest, patience);
    Json parameters = {{"epoch", c.execution.epoch.number}, {"target", c.execution.target.text}};
    Spawn(cuts->bell.executor(), CutOne(c.doors.hands, region, std::move(parameters), patience, cuts));
    ++asked;
  }
  const Instant end = c.doors.clock.Now() + longest;
  while (cuts->answers.size() < asked && !IsOver(end, c.doors.clock.Now())) {
    const Duration left = TimeLeft(end, c.doors.clock.Now());
    co_await cuts->bell.WaitFor(c.doors.clock, left);
  }
  co_return cuts;
}

/// The one with the most WAL takes over: where another holds more, this region gives the epoch away before it has opened it.
Answer CompareStandbys(StepContext c) {
  std::size_t asked = 0;
  auto cuts = co_await CutOthers(c, asked);
  if (asked == 0) {
    c.record.result["outcome"] = "there is no other standby";
    co_return Done();
  }
  auto look = co_await c.Ask(c.execution.target, "look", Json::object());
  if (!look.ok()) co_return look.error();
  const DatabaseState here = DatabaseStateFromJson(MemberAt(*look, "database"));
  const auto item = LeaseItemFromJson(MemberAt(*look, "lease"));
  if (!item.ok()) co_return item.error();
  if (!here.flushed) co_return RetryLater("the position of '" + c.execution.target.text + "' is unknown");
  std::string said;
  RegionName best;
  Lsn most = *here.flushed;
  for (const auto& [region, answer] : cuts->answers) {
    const auto flushed = answer.ok() ? Lsn::Parse(TextAt(*answer, "flushed")) : std::nullopt;
    said += (said.empty() ? "'" : ", '") + region.text + "' ";
    if (!flushed) {
      said += "does not say: " + (answer.ok() ? std::string("unknown position") : answer.error().message);
      continue;
    }
    said += "holds WAL up to " + flushed->Text();
    // Only a proven copy of this history counts: the position of any other means nothing here.
    const bool able = item->IsCandidate(region) && !FlagAt(*answer, "detached") && FlagAt(*answer, "guard") &&
                      TextAt(*answer, "system_id") == here.system_id.text &&
                      NumberAt(*answer, "timeline") >= here.timeline.value_or(0);
    if (!able) said += ", but may not take over";
    if (able && *flushed > most) {
      most = *flushed;
      best = region;
    }
  }
  for (const auto& [region, address] : c.doors.databases) {
    if (region == c.execution.target || region == c.execution.source || cuts->answers.contains(region)) continue;
    said += (said.empty() ? "'" : ", '") + region.text + "' does not answer";
  }
  if (best.empty()) {
    c.record.result["outcome"] = "nobody else holds more than " + here.flushed->Text() + ": " + said;
    co_return Done();
  }
  Json token = {{"reason", "yielded"}, {"source", c.execution.source.text}, {"epoch", c.execution.epoch.number - 1}};
  // The heir holds all that is here and more: what would have been lost here is the most that it loses.
  token["loss"] = MemberAt(c.execution.facts, "loss_estimate");
  Json parameters = {{"heir", best.text}, {"token", token.dump()}};
  auto ceded = co_await c.Ask(c.execution.target, "cede", std::move(parameters));
  if (!ceded.ok()) co_return RetryLater(ceded.error().message);
  c.execution.facts["yielded"] = best.text;
  co_return Refused("'" + best.text + "' holds WAL up to " + most.Text() + ", more than the " + here.flushed->Text() +
                    " here: epoch " + std::to_string(c.execution.epoch.number) + ", which was never opened, was released to it");
}

// ---- rejoin ----

bool AlreadyHealthy(const StepContext& c) { return FlagAt(Facts(c, "identify"), "follows"); }

Answer Identify(StepContext c) {
  auto identity = co_await IdentifyRejoin(c.doors, c.execution.source, c.execution.target);
  if (!identity.ok()) co_return identity.error();
  c.record.result = *identity;
  co_return Done();
}

Already IsFenced(StepContext c) {
  if (AlreadyHealthy(c)) co_return true;
  auto look = co_await c.Ask(c.execution.source, "look", Json::object());
  if (!look.ok()) co_return look.error();
  const bool alive = FlagAt(MemberAt(*look, "database"), "process_alive");
  const bool no_data = !MemberAt(*look, "control").is_object() && TextAt(*look, "control_problem").empty();
  co_return !alive && (FlagAt(*look, "fence") || no_data);
}

Answer FenceRegion(StepContext c) {
  auto answer = co_await c.Ask(c.execution.source, "fence", Json::object());
  if (!answer.ok()) co_return answer.error();
  co_return Done();
}

Answer CheckpointPrimary(StepContext c) {
  // Before PostgreSQL 16 pg_rewind judges by the control file: the new timeline must stand there.
  auto answer = co_await c.Ask(c.execution.target, "checkpoint", Json::object());
  if (!answer.ok()) co_return answer.error();
  co_return Done();
}

/// Whether a timeline that left at one position on both servers is one and the same: by how its WAL begins, which holds the moment
/// of the promotion.
Task<Result<bool>> IsOneTimeline(StepContext c, std::uint64_t timeline) {
  auto theirs = co_await c.Ask(c.execution.target, "sign", One("timeline", timeline));
  auto ours = co_await c.Ask(c.execution.source, "sign", One("timeline", timeline));
  if (!theirs.ok() && theirs.error().retry != Retry::kNotFound) co_return theirs.error();
  if (!ours.ok() && ours.error().retry != Retry::kNotFound) co_return ours.error();
  if (theirs.ok() && ours.ok()) co_return TextAt(*theirs, "sign") == TextAt(*ours, "sign");
  // That WAL is gone on one of them. SAFETY: then the old copy's own last primaryship must be part of the new one's history; where
  // it is not, everything from here on counts as divergent, which saves too much rather than too little.
  const std::uint64_t held = NumberAt(Facts(c, "identify"), "held");
  if (held == 0) co_return true;
  auto mark = co_await c.Ask(c.execution.target, "mark", One("of", held));
  if (!mark.ok() && mark.error().retry != Retry::kNotFound) co_return mark.error();
  co_return mark.ok() && TextAt(*mark, "region") == c.execution.source.text;
}

/// Two promotions that did not know of each other give their timelines the same number: told apart by where each left the one
/// before it, and where that is one position too, by how each begins. Nothing: up to the lower of the two numbers it is one
/// history.
Task<Result<std::optional<std::string>>> ForkOfNamesakes(StepContext c, std::uint64_t old_timeline, std::uint64_t new_timeline) {
  std::optional<Lsn> fork;
  for (std::uint64_t timeline = std::min(old_timeline, new_timeline); timeline > 1; --timeline) {
    auto theirs = co_await c.Ask(c.execution.target, "fork", One("timeline", timeline));
    auto ours = co_await c.Ask(c.execution.source, "fork", One("timeline", timeline));
    if (!theirs.ok() && theirs.error().retry != Retry::kNotFound) co_return theirs.error();
    if (!ours.ok() && ours.error().retry != Retry::kNotFound) co_return ours.error();
    if (!theirs.ok() || !ours.ok()) break;  // a fresh copy has no old history files
    const auto there = Lsn::Parse(TextAt(*theirs, "fork"));
    const auto here = Lsn::Parse(TextAt(*ours, "fork"));
    if (!there || !here) break;
    if (*there == *here) {
      auto one = co_await IsOneTimeline(c, timeline);
      if (!one.ok()) co_return one.error();
      if (*one) break;
      // pg_rewind goes by numbers and positions alone: it would take the two for one, and mix their histories.
      c.record.result["namesakes"] = timeline;
    }
    fork = std::min(*there, *here);
  }
  if (!fork) co_return std::optional<std::string>();
  co_return std::optional(fork->Text());
}

/// Where the primary's history left the timeline that the old copy was writing. Nothing: it never did.
Task<Result<std::optional<std::string>>> ForkFrom(StepContext c, std::uint64_t old_timeline, std::uint64_t new_timeline) {
  auto namesakes = co_await ForkOfNamesakes(c, old_timeline, new_timeline);
  if (!namesakes.ok() || namesakes->has_value()) co_return namesakes;
  if (old_timeline > new_timeline) {
    // The old copy went further in numbers: what both have ends at the latest where it left the primary's timeline.
    auto left = co_await c.Ask(c.execution.source, "fork", One("timeline", new_timeline + 1));
    if (!left.ok()) co_return left.error();
    co_return std::optional(TextAt(*left, "fork"));
  }
  for (std::uint64_t timeline = old_timeline + 1; timeline <= new_timeline; ++timeline) {
    auto fork = co_await c.Ask(c.execution.target, "fork", One("timeline", timeline));
    if (fork.ok()) co_return std::optional(TextAt(*fork, "fork"));
    if (fork.error().retry != Retry::kNotFound) co_return fork.error();
  }
  co_return std::optional<std::string>();
}

Answer Salvage(StepContext c) {
  const Json identity = Facts(c, "identify");
  if (!FlagAt(identity, "has_data")) {
    c.record.result["outcome"] = "there was no data directory, so nothing to save";
    co_return Done();
  }
  const std::uint64_t old_timeline = NumberAt(identity, "timeline");
  const std::uint64_t new_timeline = NumberAt(identity, "primary_timeline");
  if (FlagAt(identity, "half_rewound")) {
    // Its timelines say nothing any more: what the earlier rejoin saved is looked up.
    Json parameters = {{"timeline", old_timeline}, {"fork", Lsn{}.Text()}, {"execution", c.execution.id.text}};
    auto saved = co_await c.Ask(c.execution.source, "salvage", parameters);
    if (!saved.ok()) co_return saved.error();
    c.record.result = *saved;
    c.record.result["diverged"] = true;
    c.record.result["outcome"] = "an earlier rejoin saved " + std::to_string(NumberAt(*saved, "commits")) + " commits in " +
                                 TextAt(*saved, "saved_in") + ", and its rewind was interrupted";
    c.execution.facts["divergence"] = *saved;
    co_return Done();
  }
  auto fork = co_await ForkFrom(c, old_timeline, new_timeline);
  if (!fork.ok()) co_return fork.error();
  if (!*fork) {
    c.record.result["outcome"] = "both are on timeline " + std::to_string(new_timeline) + ": nothing diverged";
    co_return Done();
  }
  Json parameters = {{"timeline", old_timeline}, {"fork", **fork}, {"execution", c.execution.id.text}};
  auto saved = co_await c.Ask(c.execution.source, "salvage", parameters);
  if (!saved.ok()) co_return saved.error();
  const Divergence divergence = DivergenceFromJson(*saved);
  const Json namesakes = MemberAt(c.record.result, "namesakes");
  c.record.result = *saved;
  if (namesakes.is_number()) c.record.result["namesakes"] = namesakes;
  c.record.result["diverged"] = divergence.Diverged();
  c.record.result["outcome"] = divergence.Diverged() ? std::to_string(divergence.commits) + " commits after " +
                                                           divergence.fork.Text() + " saved in " + divergence.saved_in
                                                     : "nothing was written after the fork at " + divergence.fork.Text();
  c.execution.facts["divergence"] = *saved;
  co_return Done();
}

Answer Rebuild(StepContext c) {
  const Json identity = Facts(c, "identify");
  const Json salvage = Facts(c, "salvage");
  Json parameters = {{"primary", c.execution.target.text}};
  // SAFETY: where numbers and positions of timelines say nothing, or more than the primary's, only a fresh copy is sure.
  const bool namesakes = MemberAt(salvage, "namesakes").is_number();
  const bool later = NumberAt(identity, "timeline") > NumberAt(identity, "primary_timeline");
  if (FlagAt(identity, "has_data") && !FlagAt(salvage, "diverged") && !namesakes && !later) {
    c.record.result["outcome"] = "the copy has not diverged";
    c.record.result["method"] = "none";
    co_return Done();
  }
  std::string why = "there was no data directory";
  if (namesakes) {
    why =
        "its timeline " + std::to_string(NumberAt(salvage, "namesakes")) + " is another one than the primary's of the same number";
  } else if (FlagAt(identity, "half_rewound")) {
    why = "an earlier rewind of it was interrupted";
  } else if (later) {
    why = "it is on timeline " + std::to_string(NumberAt(identity, "timeline")) + " by a promotion of its own";
  } else if (FlagAt(identity, "has_data")) {
    auto rewound = co_await c.Ask(c.execution.source, "rewind", parameters);
    if (rewound.ok()) {
      c.record.result["outcome"] = "rewound to the fork";
      c.record.result["method"] = "rewind";
      co_return Done();
    }
    if (rewound.error().retry != Retry::kFail) co_return rewound.error();
    why = rewound.error().message;
  }
  auto copied = co_await c.Ask(c.execution.source, "copy", parameters);
  if (!copied.ok()) co_return copied.error();
  c.record.result["outcome"] = "fresh base backup (" + why + ")";
  c.record.result["method"] = "base_backup";
  co_return Done();
}

Already FollowsAlready(StepContext c) {
  if (AlreadyHealthy(c)) co_return true;
  co_return false;
}

}  // namespace

Task<Result<Json>> StepContext::Ask(RegionName region, std::string verb, Json parameters) const {
  if (!parameters.contains("epoch")) parameters["epoch"] = execution.epoch.number;
  co_return co_await doors.hands.Do(std::move(region), std::move(verb), std::move(parameters), timeout);
}

bool EpochAllows(const Execution& execution, const LeaseItem& item) {
  if (item.epoch <= execution.epoch) return true;
  return execution.kind == PlanKind::kSwitchover && item.epoch == Next(execution.epoch) && item.holder == execution.target;
}

/// What the primary writes now must arrive now. A link can hang with next to no lag, and a primary that is told to stop waits
/// for its standby, while nobody is served.
static Task<Result<Unit>> SeeLinkMove(ActDoors& doors, RegionName source, RegionName target, Epoch epoch) {
  auto written = co_await doors.hands.Do(source, "heartbeat", One("epoch", epoch.number), 2s);
  if (!written.ok())
    co_return Refused("the primary '" + source.text + "' does not take a row: " + written.error().message, "lifeboat status");
  auto source_look = co_await doors.hands.Do(source, "look", Json::object(), 2s);
  if (!source_look.ok()) co_return Refused("the primary's region cannot be asked: " + source_look.error().message);
  const auto wanted = DatabaseStateFromJson(MemberAt(*source_look, "database")).flushed;
  if (!wanted) co_return Refused("the position of the primary '" + source.text + "' is unknown", "lifeboat status");
  const Instant began = doors.clock.Now();
  std::optional<Lsn> held;
  while (AgeAt(began, doors.clock.Now()) < kLinkPatience) {
    auto target_look = co_await doors.hands.Do(target, "look", Json::object(), kLinkPatience);
    if (target_look.ok()) held = DatabaseStateFromJson(MemberAt(*target_look, "database")).flushed;
    if (held && *held >= *wanted) co_return Done();
    co_await doors.clock.Sleep(20ms);
  }
  co_return Refused("'" + target.text + "' holds WAL up to " + (held ? held->Text() : std::string("an unknown position")) +
                        ", and what the primary wrote up to " + wanted->Text() + " has not arrived within " +
                        FormatDuration(kLinkPatience),
                    "its link to the primary hangs or is too slow: look at the standby's PostgreSQL log and at the network");
}

Task<Result<Unit>> PreflightSwitchover(ActDoors& doors, RegionName source, RegionName target) {
  const std::string name = "'" + target.text + "'";
  auto source_look = co_await doors.hands.Do(source, "look", Json::object(), 2s);
  if (!source_look.ok())
    co_return Refused("the primary's region cannot be asked: " + source_look.error().message,
                      "a switchover needs both regions; for a lost one: lifeboat failover --to " + target.text);
  auto target_look = co_await doors.hands.Do(target, "look", Json::object(), 2s);
  if (!target_look.ok())
    co_return Refused("the standby's region cannot be asked: " + target_look.error().message, "bring its agent back first");
  const DatabaseState primary = DatabaseStateFromJson(MemberAt(*source_look, "database"));
  const DatabaseState standby = DatabaseStateFromJson(MemberAt(*target_look, "database"));
  const auto item = LeaseItemFromJson(MemberAt(*source_look, "lease"));
  if (!item.ok()) co_return item.error();
  if (item->holder != source || !FlagAt(MemberAt(*source_look, "lease"), "valid")) {
    co_return Refused("'" + source.text + "' does not hold a valid lease", "look at 'lifeboat status'");
  }
  if (!primary.IsWritable())
    co_return Refused("the database of '" + source.text + "' does not accept writes" +
                      (primary.problem.empty() ? "" : " (" + primary.problem + ")"));
  // By its control file, which also speaks for a copy of another cluster that never becomes a running standby.
  const std::string system_id = TextAt(MemberAt(*target_look, "control"), "system_id");
  if (!system_id.empty() && !primary.system_id.empty() && system_id != primary.system_id.text) {
    co_return Refused("the database of " + name + " has system id " + system_id + ", the primary has " + primary.system_id.text,
                      "it is a copy of another cluster: check its data_directory");
  }
  if (!standby.IsStandby()) {
    co_return Refused(
        "the database of " + name + " is not a running standby" + (standby.problem.empty() ? "" : " (" + standby.problem + ")"),
        "lifeboat status");
  }
  if (primary.system_id.empty() || standby.system_id != primary.system_id) {
    co_return Refused(
        "the database of " + name + " has system id " + standby.system_id.text + ", the primary has " + primary.system_id.text,
        "it is a copy of another cluster: check its data_directory");
  }
  if (standby.upstream != HostOf(doors, source)) {
    co_return Refused(name + " does not stream from '" + source.text + "'" +
                          (standby.upstream.empty() ? "" : " but from '" + standby.upstream + "'"),
                      "lifeboat status shows its link; lifeboat rejoin " + target.text);
  }
  if (!item->IsCandidate(target)) co_return Refused(name + " is not a candidate", "lifeboat rejoin " + target.text);
  if (!standby.flushed || !primary.flushed) co_return Refused("the lag of " + name + " is unknown");
  const std::uint64_t lag = primary.flushed->bytes > standby.flushed->bytes ? primary.flushed->bytes - standby.flushed->bytes : 0;
  if (lag > kSwitchoverLag.bytes) {
    co_return Refused(name + " lags by " + FormatBytes({lag}) + ", a switchover waits for at most " + FormatBytes(kSwitchoverLag),
                      "wait until it has caught up: lifeboat status");
  }
  if (standby.replayed &&
      standby.flushed->bytes - std::min(standby.flushed->bytes, standby.replayed->bytes) > kSwitchoverLag.bytes) {
    co_return Refused(name + " has replayed up to " + standby.replayed->Text() + " of " + standby.flushed->Text(),
                      "look for a paused replay or a long query on the standby");
  }
  co_return co_await SeeLinkMove(doors, source, target, item->epoch);
}

Task<Result<Json>> IdentifyRejoin(ActDoors& doors, RegionName region, RegionName primary) {
  auto primary_look = co_await doors.hands.Do(primary, "look", Json::object(), 2s);
  if (!primary_look.ok()) {
    co_return RetryLater("the primary's region cannot be asked: " + primary_look.error().message,
                         "a region is rejoined to a primary that serves: lifeboat status");
  }
  auto look = co_await doors.hands.Do(region, "look", Json::object(), 2s);
  if (!look.ok()) co_return RetryLater("'" + region.text + "' cannot be asked: " + look.error().message);
  const DatabaseState there = DatabaseStateFromJson(MemberAt(*primary_look, "database"));
  const DatabaseState here = DatabaseStateFromJson(MemberAt(*look, "database"));
  const Json& lease = MemberAt(*primary_look, "lease");
  if (TextAt(lease, "holder") != primary.text || !FlagAt(lease, "valid") || !there.IsWritable() || there.system_id.empty() ||
      !there.timeline) {
    co_return RetryLater("'" + primary.text + "' is not serving as the primary at this moment");
  }
  Json identity = {
      {"primary_system_id", there.system_id.text}, {"primary_timeline", *there.timeline}, {"has_data", false}, {"follows", false}};
  const Json& control = MemberAt(*look, "control");
  // SAFETY: what could not be read is not "no data": its divergent WAL would be replaced by a copy, unsaved.
  if (const std::string why = TextAt(*look, "control_problem"); !why.empty()) {
    co_return RetryLater(
        "the data directory of '" + region.text + "' is there and cannot be read: " + why,
        "try again; move it away by hand if it is damaged and is to be replaced, since nothing of it is saved then");
  }
  if (!control.is_object()) {
    if (here.process_alive)
      co_return Refused("processes live in the data directory of '" + region.text + "', but it has no readable pg_control");
    identity["outcome"] = "no data directory there: a fresh copy is made";
    co_return identity;
  }
  // SAFETY: proven identity before anything destructive, never by host name alone. (RejoinRefusesAnotherSystem…)
  if (TextAt(control, "system_id") != there.system_id.text) {
    co_return Refused("the data directory of '" + region.text + "' has system id " + TextAt(control, "system_id") +
                          ", the service has " + there.system_id.text,
                      "it is another cluster: check data_directory; nothing was touched");
  }
  if (here.IsWritable()) {
    co_return Refused("the database of '" + region.text + "' accepts writes: it is not a server to be rejoined",
                      "stop it first, and find out who started it");
  }
  const std::uint64_t timeline = NumberAt(control, "timeline");
  // One that this region itself was promoted to, in a primaryship that the new history does not know, is saved like any other.
  const bool own_promotion = FlagAt(*look, "detached") && NumberAt(*look, "held") > 1;
  if (timeline > *there.timeline && !own_promotion) {
    co_return Refused("the data directory of '" + region.text + "' is on timeline " + std::to_string(timeline) +
                          ", the primary on " + std::to_string(*there.timeline),
                      "it was promoted by somebody else: its data must be looked at by a person before it is rejoined");
  }
  identity["has_data"] = true;
  identity["held"] = NumberAt(*look, "held");
  identity["timeline"] = timeline;
  identity["half_rewound"] = TextAt(control, "cluster_state") == kHalfRewound;
  identity["system_id"] = TextAt(control, "system_id");
  // A copy that is trusted and streams from the primary needs no rejoin; a detached one is never taken at its word.
  identity["follows"] = here.IsStandby() && here.upstream == HostOf(doors, primary) && !FlagAt(*look, "detached", true);
  identity["outcome"] = FlagAt(identity, "follows") ? "it follows the primary already"
                                                    : "same system " + there.system_id.text + ", timeline " +
                                                          std::to_string(timeline) + " of " + std::to_string(*there.timeline);
  co_return identity;
}

const Step* Plan::Find(std::string_view name) const {
  for (const Step& step : steps) {
    if (step.name == name) return &step;
  }
  return nullptr;
}

const Plan& PlanOf(PlanKind kind) {
  // A table, a step a paragraph.
  // clang-format off
  static const Plan failover{
      PlanKind::kFailover,
      {{.name = "claim", .does = "take the next epoch in the store", .timeout = 2s, .check = TakenAtBirth, .act = NothingToDo, .verify = SayEpoch},
       {.name = "stop-instance", .does = "stop the lost region's instance from outside, and see proof of it", .after = {"claim"}, .timeout = 30s,
        .attempts = 1'000'000, .longest_pause = 10s, .optional = true, .act = FenceInstances,
        .unblock = "see why its fence.command fails; or stop that instance yourself and say so: lifeboat executions resume ID --attest \"who and how\""},
       {.name = "freeze", .does = "drop the link to the old primary and state what was received", .after = {"claim", "stop-instance"}, .timeout = 2s, .attempts = 20,
        .check = IsFrozen, .act = FreezeStandby, .unblock = "bring the standby's database up"},
       {.name = "compare", .does = "see that no other standby holds more, with their links to the old primary dropped", .after = {"freeze"}, .timeout = 2s,
        .attempts = 20, .check = IsFrozen, .act = CompareStandbys},
       {.name = "promote", .does = "replay all that was received and promote", .after = {"compare"}, .timeout = 60s, .attempts = 100,
        .point_of_no_return = true, .check = IsPromoted, .act = Promote, .verify = SeeWritable, .unblock = "look at the standby's PostgreSQL log"},
       {.name = "route", .does = "point the service's name to the new primary", .after = {"promote"}, .timeout = 2s, .check = IsRouted, .act = Route,
        .verify = SeeRouted, .unblock = "bring the name server back; the change is tried again by itself"},
       {.name = "verify", .does = "write a row through the public name, as a client", .after = {"route"}, .timeout = 2s, .act = WriteAsClient,
        .unblock = "try the service's name as a client would"}}};
  static const Plan switchover{
      PlanKind::kSwitchover,
      {{.name = "preflight", .does = "refuse what could not work", .timeout = 3s, .attempts = 1, .act = Preflight},
       {.name = "checkpoint", .does = "shorten the shutdown by a checkpoint beforehand", .after = {"preflight"}, .timeout = 60s, .act = CheckpointSource},
       {.name = "stop", .does = "stop the primary cleanly, under its lease", .after = {"checkpoint"}, .timeout = 20s, .attempts = 2, .act = StopSource, .undo = Reopen,
        .unblock = "bring the old primary's agent back"},
       {.name = "caught-up", .does = "see that the standby holds all WAL to the shutdown checkpoint", .after = {"stop"}, .timeout = 2s, .attempts = 12, .act = SeeCaughtUp},
       {.name = "release", .does = "end the epoch in favour of the heir", .after = {"caught-up"}, .timeout = 2s, .attempts = 8, .check = IsReleased, .act = ReleaseToHeir},
       {.name = "claim", .does = "take the next epoch in the store", .after = {"release"}, .timeout = 2s, .attempts = 12, .check = IsClaimed, .act = ClaimRelease},
       {.name = "promote", .does = "promote the heir", .after = {"claim"}, .timeout = 60s, .attempts = 8, .point_of_no_return = true, .check = IsPromoted, .act = Promote,
        .verify = SeeWritable, .unblock = "look at the standby's PostgreSQL log"},
       {.name = "route", .does = "point the service's name to the new primary", .after = {"promote"}, .timeout = 2s, .check = IsRouted, .act = Route, .verify = SeeRouted,
        .unblock = "bring the name server back; the change is tried again by itself"},
       {.name = "verify", .does = "write a row through the public name, as a client", .after = {"route"}, .timeout = 2s, .act = WriteAsClient,
        .unblock = "try the service's name as a client would"},
       {.name = "follow", .does = "start the old primary as a standby of the new one", .after = {"promote"}, .timeout = 20s, .give_up_after = 60s, .check = Follows,
        .act = Follow, .unblock = "lifeboat rejoin the old primary's region"},
       {.name = "prove", .does = "see a row written since arrive on it", .after = {"follow"}, .timeout = 10s, .give_up_after = 60s, .act = ProveByRow,
        .unblock = "lifeboat rejoin the old primary's region"},
       {.name = "admit", .does = "name it as a candidate", .after = {"prove"}, .timeout = 3s, .give_up_after = 60s, .act = Admit,
        .unblock = "lifeboat rejoin the old primary's region"}}};
  static const Plan rejoin{
      PlanKind::kRejoin,
      {{.name = "identify", .does = "prove that it is the server that it should be", .timeout = 3s, .attempts = 5, .act = Identify},
       {.name = "fence", .does = "see that nothing of its database lives or can start writable", .after = {"identify"}, .timeout = 10s, .check = IsFenced, .act = FenceRegion,
        .verify = nullptr},
       {.name = "checkpoint", .does = "checkpoint the primary, so that its control file shows its timeline", .after = {"identify"}, .timeout = 300s, .act = CheckpointPrimary},
       {.name = "salvage", .does = "copy the divergent WAL to the ledger and count what it held", .after = {"fence", "checkpoint"}, .timeout = 600s, .check = FollowsAlready, .act = Salvage},
       {.name = "rebuild", .does = "rewind it, or copy the primary afresh where that cannot work", .after = {"salvage"}, .timeout = std::chrono::hours(6), .check = FollowsAlready,
        .act = Rebuild},
       {.name = "follow", .does = "start it as a standby of the primary", .after = {"rebuild"}, .timeout = 60s, .check = Follows, .act = Follow},
       {.name = "prove", .does = "see a row written after the rejoin arrive on it", .after = {"follow"}, .timeout = 60s, .act = ProveByRow},
       {.name = "admit", .does = "name it as a candidate", .after = {"prove"}, .timeout = 3s, .attempts = 10, .act = Admit}}};
  // clang-format on
  switch (kind) {
    case PlanKind::kFailover: return failover;
    case PlanKind::kSwitchover: return switchover;
    case PlanKind::kRejoin: return rejoin;
  }
  return failover;
}

std::vector<StepRecord> FreshRecords(PlanKind kind) {
  std::vector<StepRecord> records;
  for (const Step& step : PlanOf(kind).steps) {
    if (step.optional) continue;
    StepRecord record;
    record.name = step.name;
    records.push_back(std::move(record));
  }
  return records;
}

}  // namespace lifeboat
