// The three plans and their steps. Read ManagedPlanOf at the end first: it is the table.

#include "act/managed_plans.h"

#include <algorithm>

namespace lifeboat {

namespace {

using Answer = Task<Result<Unit>>;
using Already = Task<Result<bool>>;

constexpr Duration kTellPatience = 5s;
constexpr Duration kNameLook = 20s;            // a look at the name; a change has the step's time, since health checks take minutes
constexpr std::uint32_t kSwitchoverTries = 3;  // requests that were not sent, before a planned move is given up
constexpr Duration kPreflightPause = 3s;       // between two looks before a move that votes drove
constexpr Duration kComputeCall = 30s;
constexpr Duration kComputeWait = 30s;  // between two looks into the journal while machines start

ManagedDoors& Of(const StepContext& c) { return static_cast<ManagedDoors&>(c.doors); }

void Stamp(const StepContext& c, const char* fact) {
  if (!c.execution.facts.contains(fact)) c.execution.facts[fact] = c.doors.clock.Wall().ns;
}
std::string Quote(const RegionName& region) { return "'" + region.text + "'"; }
bool Detached(const StepContext& c) { return TextAt(c.execution.facts, "way") == "detach"; }
std::string TargetText(const StepContext& c) {
  const auto found = Of(c).targets.find(c.execution.target);
  return found == Of(c).targets.end() ? std::string() : found->second;
}
void Append(std::string& text, const std::string& more) { text += (text.empty() ? "" : "; ") + more; }

// ---- the beginning ----

Already TakenAtBirth(StepContext c) {
  // The epoch and the execution's record were one transaction: if this record exists, the epoch is this execution's.
  (void)c;
  co_return true;
}
Answer NothingToDo(StepContext) { co_return Done(); }
Answer SayEpoch(StepContext c) {
  c.record.result["outcome"] =
      "epoch " + std::to_string(c.execution.epoch.number) + " is this execution's; it orders, it does not fence";
  co_return Done();
}
/// Before the point of no return: the writer stays where it is.
Answer GiveEpochBack(StepContext c) {
  co_return co_await Of(c).writer.Record(c.execution.epoch, c.execution.source, Of(c).writer.Apart());
}

/// A move that votes drove: patient with what may pass, and ended where it does not get on. What follows then is a failover under
/// the loss limit, an execution of its own (rules 612 and 658).
bool ByVotes(const StepContext& c) { return c.execution.kind == PlanKind::kSwitchover && FlagAt(c.execution.facts, "by_votes"); }
Duration Patience(const StepContext& c) { return std::chrono::milliseconds(NumberAt(c.execution.facts, "patience_ms", 30000)); }

Answer Preflight(StepContext c) {
  const Instant began = c.doors.clock.Now();
  auto seen = co_await Of(c).database.Preflight(c.execution.target, c.timeout);
  while (!seen.ok() && ByVotes(c) && AgeAt(began, c.doors.clock.Now()) < Patience(c)) {
    co_await c.doors.clock.Sleep(kPreflightPause);
    seen = co_await Of(c).database.Preflight(c.execution.target, c.timeout);
  }
  if (!seen.ok()) co_return seen.error();
  c.record.result["outcome"] = *seen;
  co_return Done();
}

// ---- hooks and notices ----

/// Calls the hooks of a point, each until it has answered. A second run of the step passes over those that did.
Answer CallHooks(StepContext c, std::string when) {
  std::string told = TextAt(c.record.result, "outcome");
  for (Hook* hook : Of(c).hooks) {
    if (hook->when() != when || FlagAt(MemberAt(c.record.result, "called"), hook->name().c_str())) continue;
    Json payload = {{"execution", c.execution.id.text},  {"plan", ToString(c.execution.kind)}, {"point", when},
                    {"source", c.execution.source.text}, {"target", c.execution.target.text},  {"epoch", c.execution.epoch.number}};
    auto answer = co_await hook->Call(c.execution.target, std::move(payload), hook->patience());
    if (!answer.ok() && hook->required()) co_return answer.error().Within("hook '" + hook->name() + "'");
    c.record.result["called"][hook->name()] = true;
    Append(told, "'" + hook->name() + "' " +
                     (answer.ok() ? std::string("answered") : "failed, and is not required: " + answer.error().message));
    c.record.result["outcome"] = told;
  }
  if (told.empty()) c.record.result["outcome"] = "there is none";
  co_return Done();
}
Answer HooksBefore(StepContext c) { co_return co_await CallHooks(std::move(c), "before-promote"); }
Answer HooksAfter(StepContext c) { co_return co_await CallHooks(std::move(c), "after-promote"); }

/// Telling is never a condition: what did not get through is written down.
/// `point`: part of the id, which is the same whoever tells it and however often.
Task<std::string> TellAll(StepContext c, std::string point, std::string subject) {
  std::string told;
  for (Notifier* notifier : Of(c).notifiers) {
    Json body = {{"id", c.execution.id.text + "/" + point},
                 {"execution", c.execution.id.text},
                 {"plan", ToString(c.execution.kind)},
                 {"source", c.execution.source.text},
                 {"target", c.execution.target.text},
                 {"epoch", c.execution.epoch.number},
                 {"reason", c.execution.reason},
                 {"requested_by", c.execution.requested_by},
                 {"facts", c.execution.facts}};
    auto sent = co_await notifier->Tell(subject, std::move(body), kTellPatience);
    Append(told, notifier->name() + (sent.ok() ? " was told" : " was not told: " + sent.error().message));
  }
  co_return told.empty() ? std::string("nobody is to be told") : told;
}
Answer Announce(StepContext c) {
  const std::string subject = "lifeboat: " + std::string(ToString(c.execution.kind)) + " from " + c.execution.source.text + " to " +
                              c.execution.target.text + " begins";
  const std::string told = co_await TellAll(c, "begins", subject);
  c.record.result["outcome"] = told;
  co_return Done();
}

// ---- compute ----

/// How many ran in the old region, as last noted while it answered; empty: unknown.
std::optional<std::uint64_t> RanInSource(const StepContext& c, const std::string& name) {
  const Json& count = MemberAt(MemberAt(c.execution.facts, "source_ran"), name.c_str());
  if (!count.is_number_unsigned()) return std::nullopt;
  return count.get<std::uint64_t>();
}

/// What is about to change in one group, as a note; or why it is left as it is.
Task<Result<Json>> SizeOne(StepContext c, Compute& compute) {
  const RegionName target = c.execution.target;
  const auto ran = RanInSource(c, compute.name());
  if (!ran) co_return Fail("how many ran in " + Quote(c.execution.source) + " is unknown");
  auto state = co_await compute.Look(target, kComputeCall);
  if (!state.ok()) co_return state.error();
  const std::uint64_t wanted = WantedCount(compute.share(), *ran, state->running.value_or(state->sizes.desired));
  auto note = co_await compute.Prepare(target, wanted, kComputeCall);
  if (!note.ok()) co_return note.error();
  Json noted = {{"note", ToJson(*note)}, {"wanted", wanted}};
  co_return noted;
}

/// Writes down what scaling up will change, so that it can be put back. Never an error: clients go where the database is all the
/// same.
Answer SizeUp(StepContext c) {
  if (!c.execution.facts.contains("compute")) c.execution.facts["compute"] = Json::object();
  std::string told;
  for (Compute* compute : Of(c).compute) {
    if (MemberAt(c.execution.facts["compute"], compute->name().c_str()).is_object()) continue;  // by an earlier run
    auto noted = co_await SizeOne(c, *compute);
    for (int again = 0; !noted.ok() && noted.error().retry == Retry::kRetry && again < 2; ++again)
      noted = co_await SizeOne(c, *compute);
    if (noted.ok()) c.execution.facts["compute"][compute->name()] = *noted;
    Append(told, "'" + compute->name() + "' " +
                     (noted.ok() ? std::to_string(NumberAt(*noted, "wanted")) + " wanted"
                                 : "is left as it is: " + noted.error().message));
  }
  c.record.result["outcome"] = told.empty() ? "there is none" : told;
  co_return Done();
}

/// One group, to its end or its patience. Never an error.
Task<std::string> ScaleOne(StepContext c, Compute& compute, Json noted) {
  const Instant began = c.doors.clock.Now();
  const std::uint64_t wanted = NumberAt(noted, "wanted");
  std::string seen = "it was not asked";
  while (true) {
    auto note = ComputeNoteFrom(MemberAt(noted, "note"));
    if (!note.ok()) co_return "'" + compute.name() + "': " + note.error().message;
    auto grown = co_await compute.ScaleUp(*std::move(note), kComputeCall);
    if (grown.ok()) {
      const Duration left = std::max<Duration>(1s, compute.patience() - AgeAt(began, c.doors.clock.Now()));
      auto state = co_await compute.Await(c.execution.target, wanted, std::min(left, kComputeWait));
      if (state.ok()) {
        const std::uint64_t serve = state->healthy.value_or(state->running.value_or(0));
        co_return "'" + compute.name() + "': " + std::to_string(serve) + " serve, " + std::to_string(wanted) + " were wanted";
      }
      seen = state.error().message;
    } else {
      seen = grown.error().message;
      if (grown.error().retry == Retry::kNotFound || grown.error().retry == Retry::kFail)
        co_return "'" + compute.name() + "' could not be scaled: " + seen;
      co_await c.doors.clock.Sleep(2s);
    }
    // What the note says was asked for stays; a rejoin puts it back.
    if (Of(c).stopping()) co_return "'" + compute.name() + "' is waited for no more, since the execution ends: " + seen;
    if (AgeAt(began, c.doors.clock.Now()) >= compute.patience())
      co_return "'" + compute.name() + "' did not get there within " + FormatDuration(compute.patience()) + ": " + seen;
  }
}

Answer ScaleUp(StepContext c) {
  std::string told;
  const Json notes = MemberAt(c.execution.facts, "compute");
  for (Compute* compute : Of(c).compute) {
    Json noted = MemberAt(notes, compute->name().c_str());
    if (!noted.is_object()) continue;
    const std::string one = co_await ScaleOne(c, *compute, std::move(noted));
    Append(told, one);
  }
  c.record.result["outcome"] = told.empty() ? "there is none" : told;
  co_return Done();
}

// ---- moving the writer ----

/// What the executor makes of an error of the point of no return: refused is "did not happen". An error that says that nothing was
/// sent is that, unless an earlier request may have arrived.
Error NotSent(const StepContext& c, const Error& error, std::uint32_t patience) {
  if (error.retry == Retry::kUnknownOutcome)
    c.record.result["may_have_arrived"] = true;
  else
    c.record.result["answered"] = c.record.attempts;
  const bool never = !FlagAt(c.record.result, "may_have_arrived");
  const bool hopeless = error.retry == Retry::kFail || error.retry == Retry::kNotFound ||
                        (error.retry == Retry::kRetry && c.record.attempts >= patience);
  // SAFETY: a request that may have arrived is never given up: the writer may be moving.
  if (!never && error.retry == Retry::kRefused) return RetryLater(error.message, error.hint);
  return never && hopeless ? Refused(error.message, error.hint) : error;
}

Already IsMoved(StepContext c) {
  // SAFETY: an attempt whose answer stands nowhere, of a run that ended in between, may have arrived.
  if (c.record.state == StepState::kIntended && c.record.attempts > NumberAt(c.record.result, "answered"))
    c.record.result["may_have_arrived"] = true;
  auto view = co_await Of(c).database.Look(c.execution.target, c.timeout);
  if (!view.ok()) co_return view.error();
  if (view->writer == c.execution.target && view->moving_to.empty()) co_return true;
  const auto copy = view->copies.find(c.execution.target);
  co_return Detached(c) && copy != view->copies.end() && copy->second.role == ManagedRole::kApart;
}

Answer FailOver(StepContext c) {
  ManagedConsent consent{c.execution.id, c.execution.requested_by};
  const bool ordered = FlagAt(c.execution.facts, "detach");
  if (!ordered && !Detached(c)) {
    auto sent = co_await Of(c).database.FailOver(c.execution.target, consent, c.timeout);
    if (sent.ok()) {
      c.execution.facts["way"] = "failover";
      c.record.result["outcome"] = *sent ? "asked for at " + Quote(c.execution.target) : "it was under way";
      co_return Done();
    }
    const bool drifted = sent.error().retry == Retry::kRefused && sent.error().hint.find("detach") != std::string::npos;
    // SAFETY: cutting a secondary loose ends the global database and leaves the old writer alone: only where that was said
    // beforehand.
    if (!drifted || !Of(c).detach_when_needed) co_return NotSent(c, sent.error(), UINT32_MAX);
    // SAFETY: the way is written down with the next intent, before anything is cut loose: another run goes on along it.
    c.execution.facts["detached_because"] = sent.error().message;
    c.execution.facts["way"] = "detach";
    c.record.result["answered"] = c.record.attempts;
    co_return RetryLater("a failover is refused, the copy is cut loose next: " + sent.error().message);
  }
  c.execution.facts["way"] = "detach";
  auto sent = co_await Of(c).database.Detach(c.execution.target, consent, c.timeout);
  if (!sent.ok()) co_return NotSent(c, sent.error(), UINT32_MAX);
  c.record.result["outcome"] = "cut loose as a database of its own; nothing stops the old writer";
  co_return Done();
}

Answer SwitchOver(StepContext c) {
  Stamp(c, "outage_began_ns");
  auto sent = co_await Of(c).database.SwitchOver(c.execution.target, c.timeout);
  if (!sent.ok()) co_return NotSent(c, sent.error(), kSwitchoverTries);
  c.record.result["outcome"] = *sent ? "asked for at " + Quote(c.execution.source) : "it was under way";
  co_return Done();
}

/// What the cloud took on and took back is asked for again: past the point of no return nobody else would. @return what to say of
/// it
Task<std::string> AskAgain(StepContext c) {
  if (Detached(c)) co_return std::string();
  auto view = co_await Of(c).database.Look(c.execution.target, c.timeout);
  // SAFETY: only where nothing goes on, and of the writer that this execution moves: nobody has said that another one may lose
  // writes.
  const bool idle = view.ok() && view->moving_to.empty() && view->under_way.empty() && view->writer == c.execution.source;
  if (!idle) co_return std::string();
  if (ByVotes(c) && !c.execution.facts.contains("stalled")) {
    // Rule 612 decides first; where the loss limit forbids that, it is asked for again with the next look.
    c.execution.facts["stalled"] = "the cloud took it back";
    co_return std::string("; the cloud took it back");
  }
  ManagedConsent consent{c.execution.id, c.execution.requested_by};
  // SAFETY: in the same words: a switchover never turns into a failover.
  const bool planned = c.execution.kind == PlanKind::kSwitchover;
  Task<Result<bool>> asking = planned ? Of(c).database.SwitchOver(c.execution.target, c.timeout)
                                      : Of(c).database.FailOver(c.execution.target, std::move(consent), c.timeout);
  auto sent = co_await std::move(asking);
  if (!sent.ok()) co_return "; it was not moved, and asked again: " + sent.error().message;
  co_return std::string(*sent ? "; it was not moved, and is asked for again" : "");
}

Answer AwaitWriter(StepContext c) {
  auto done = co_await Of(c).database.Await(c.execution.target, Detached(c), c.timeout);
  if (!done.ok()) {
    // Past the point of no return nothing is refused: it is looked at again.
    const std::string again = co_await AskAgain(c);
    co_return RetryLater(done.error().message + again, done.error().hint);
  }
  Stamp(c, "promoted_ns");
  c.record.result["outcome"] = "the database takes writes in " + Quote(c.execution.target);
  co_return Done();
}

Answer NoteWriter(StepContext c) {
  const bool split = c.execution.kind == PlanKind::kFailover && (Detached(c) || Of(c).database.FailOverSplits());
  co_return co_await Of(c).writer.Record(c.execution.epoch, c.execution.target, split);
}

// ---- clients ----

Already IsRouted(StepContext c) {
  if (!Of(c).has_traffic) co_return false;
  auto record = co_await c.doors.traffic.Read(kNameLook);
  if (!record.ok()) co_return record.error();
  co_return record->address == TargetText(c) && (!record->epoch || *record->epoch >= c.execution.epoch);
}

Answer Route(StepContext c) {
  if (!Of(c).has_traffic) {
    c.record.result["outcome"] = "no name is kept: the database's own writer endpoint follows";
    co_return Done();
  }
  auto pointed = co_await c.doors.traffic.Point(TargetText(c), c.execution.epoch, c.timeout);
  if (!pointed.ok()) co_return pointed.error();
  c.record.result["outcome"] = "the name is sent to '" + TargetText(c) + "'";
  co_return Done();
}

Answer SeeRouted(StepContext c) {
  if (Of(c).has_traffic) {
    auto record = co_await c.doors.traffic.Read(kNameLook);
    if (!record.ok()) co_return record.error();
    if (record->address != TargetText(c)) co_return RetryLater("the name servers still answer '" + record->address + "'");
    c.execution.facts["ttl_s"] = record->ttl.count();
  }
  Stamp(c, "routed_ns");
  co_return Done();
}

/// One row, as a client would write it; good only where it went to the new writer.
Answer WriteAsClient(StepContext c) {
  auto target = co_await c.doors.canary.Write(std::min<Duration>(c.timeout, 5s));
  if (!target.ok()) co_return target.error();
  const auto wanted = Of(c).canary_targets.find(c.execution.target);
  if (wanted != Of(c).canary_targets.end() && *target != wanted->second)
    co_return RetryLater("the canary's row went to '" + *target + "'");
  Stamp(c, "first_good_write_ns");
  c.record.result["outcome"] = "a row written through the public name was committed";
  co_return Done();
}

/// Looks again at everything, independently of what the steps before said.
Answer SeeServing(StepContext c) {
  auto view = co_await Of(c).database.Look(c.execution.target, c.timeout);
  if (!view.ok()) co_return view.error();
  const auto copy = view->copies.find(c.execution.target);
  const bool writes = copy != view->copies.end() &&
                      (copy->second.role == ManagedRole::kWriter || (Detached(c) && copy->second.role == ManagedRole::kApart));
  if (!writes || !copy->second.Serves()) co_return RetryLater("the cloud does not show the writer in " + Quote(c.execution.target));
  auto routed = co_await SeeRouted(c);
  if (!routed.ok()) co_return routed;
  std::string no_row = "no row was written by Lifeboat";
  if (Of(c).has_canary) {
    auto written = co_await WriteAsClient(c);
    if (written.ok()) co_return Done();
    // Clients are served by all that was seen, and what comes next (the lost writes' snapshot among it) does not wait for a row for
    // ever.
    const std::int64_t since = c.doors.clock.Wall().ns - SignedAt(c.execution.facts, "routed_ns");
    if (Duration(since) < Of(c).canary_patience) co_return written;
    no_row = "no row could be written through the public name for " + FormatDuration(Of(c).canary_patience) + ": " +
             written.error().message;
  }
  Stamp(c, "seen_serving_ns");
  c.record.result["outcome"] = std::string(Of(c).has_traffic ? "the name answers the new target, and " : "") +
                               "the database shows its writer here, available; " + no_row;
  co_return Done();
}

// ---- after the service is back ----

Answer Finish(StepContext c) {
  // First, and once: that the region serves is true whatever becomes of the rest.
  if (!c.record.result.contains("told")) {
    const std::string subject = "lifeboat: " + c.execution.target.text + " serves after " + ToString(c.execution.kind);
    const std::string sent = co_await TellAll(c, "serves", subject);
    c.record.result["told"] = sent;
  }
  std::string told = TextAt(c.record.result, "told");
  for (Objects* objects : Of(c).objects) {
    if (!objects->has_access_point()) continue;
    auto moved = co_await objects->RouteTo(c.execution.target, c.execution.source, c.timeout);
    if (!moved.ok()) co_return moved.error().Within("access point of '" + objects->name() + "'");
    Append(told, "access point of '" + objects->name() + "' leads to " + Quote(c.execution.target));
  }
  auto hooks = co_await CallHooks(c, "after-route");
  if (!hooks.ok()) co_return hooks;
  const std::string called = TextAt(c.record.result, "outcome");
  if (called != "there is none") Append(told, called);
  c.record.result["outcome"] = told;
  co_return Done();
}

/// The moment before which no snapshot and no word is of the failover that was claimed at `claimed_ns`; 0: none is known, and any
/// is.
WallTime LostSince(std::int64_t claimed_ns) {
  constexpr Duration kClocksDiffer = std::chrono::minutes(2);
  return WallTime{claimed_ns > 0 ? claimed_ns - Duration(kClocksDiffer).count() : 0};
}

/// The cloud's word about the old writer. No word is an outcome too, and is called so.
Answer ReadFencing(StepContext c) {
  const Instant began = c.doors.clock.Now();
  ManagedFenceWord word;
  if (Detached(c)) {
    word.fence = ManagedFence::kNone;
    word.message = "a database that was cut loose stops nothing of the old writer";
  }
  std::string problem;
  while (word.fence == ManagedFence::kNoWord) {
    const WallTime from =
        LostSince(NumberAt(c.execution.facts, "claimed_ns") > 0 ? SignedAt(c.execution.facts, "claimed_ns") : c.execution.began.ns);
    auto said =
        co_await Of(c).database.ReadFencing(c.execution.source, c.execution.target, from, std::min(c.timeout, Of(c).word_call));
    if (said.ok()) word = *said;
    problem = said.ok() ? std::string() : said.error().message;
    if (word.fence != ManagedFence::kNoWord || AgeAt(began, c.doors.clock.Now()) >= Of(c).word_patience) break;
    co_await c.doors.clock.Sleep(Of(c).word_pause);
  }
  c.execution.facts["fence"] = "the cloud's word about the old writer: " + std::string(ToString(word.fence)) +
                               (word.message.empty() ? "" : " (" + word.message + ")");
  c.execution.facts["fence_word"] = ToString(word.fence);
  c.record.result["outcome"] = TextAt(c.execution.facts, "fence");
  if (word.fence != ManagedFence::kSucceeded)
    c.record.result["outcome"] =
        TextAt(c.record.result, "outcome") + ": it may still take writes, which are lost" + (problem.empty() ? "" : "; " + problem);
  co_return Done();
}

/// What was lost, by the old writer's heartbeat that the new one holds. Beside the estimate that it was decided on, never in its
/// place.
Answer MeasureLost(StepContext c) {
  if (Of(c).sql == nullptr) {
    c.record.result["outcome"] = "no SQL is configured: what was lost stays an estimate";
    co_return Done();
  }
  auto rows = co_await Of(c).sql->ReadBeats(c.execution.target, SqlEnd::kWriter, std::min<Duration>(c.timeout, 5s));
  if (!rows.ok() && rows.error().retry != Retry::kNotFound) co_return rows.error();
  std::optional<Heartbeat> survivor;
  for (const Heartbeat& row : rows.ok() ? *rows : std::vector<Heartbeat>()) {
    if (row.region == c.execution.source) survivor = row;
  }
  const Json& noted = MemberAt(c.execution.facts, "heartbeat");
  std::optional<LastBeats> known;
  const auto last = HeartbeatFromJson(MemberAt(noted, "last"));
  if (last.ok()) known = LastBeats{{*last, Instant()}, std::nullopt};
  if (known && MemberAt(noted, "unseen_ns").is_number_integer()) known->unseen = Duration(SignedAt(noted, "unseen_ns"));
  const MeasuredLoss loss = MeasureLoss(known, survivor);
  c.execution.facts["loss_measured"] = ToJson(loss);
  if (survivor) c.execution.facts["heartbeat"]["survivor"] = ToJson(*survivor);
  c.record.result["outcome"] = loss.time ? "at most " + FormatDuration(*loss.time) + " of writes are lost, " +
                                               std::to_string(loss.beats.value_or(0)) + " heartbeats among them"
                                         : "what was lost is not known by heartbeats: " + loss.basis;
  co_return Done();
}

Answer KeepLostWrites(StepContext c) {
  const Instant began = c.doors.clock.Now();
  const WallTime from =
      LostSince(NumberAt(c.execution.facts, "claimed_ns") > 0 ? SignedAt(c.execution.facts, "claimed_ns") : c.execution.began.ns);
  std::string seen;
  while (!Detached(c)) {
    auto kept = co_await Of(c).database.KeepLostWrites(c.execution.source, from, std::min(c.timeout, Of(c).word_call));
    if (kept.ok() && !kept->empty()) {
      c.execution.facts["lost_writes_snapshot"] = *kept;
      c.record.result["outcome"] = "the cloud's snapshot of the lost writes is kept: '" + *kept + "'";
      co_return Done();
    }
    seen = kept.ok() ? "the cloud has taken none" : kept.error().message;
    if (AgeAt(began, c.doors.clock.Now()) >= Of(c).word_patience) break;
    co_await c.doors.clock.Sleep(Of(c).word_pause);
  }
  c.record.result["outcome"] = Detached(c) ? "none is taken of a database that was cut loose"
                                           : "no snapshot of the lost writes is kept: " + seen +
                                                 "; it is asked for again by: lifeboat rejoin " + c.execution.source.text;
  co_return Done();
}

// ---- the way back ----

Answer Identify(StepContext c) {
  auto view = co_await Of(c).database.Look(c.execution.target, c.timeout);
  if (!view.ok()) co_return view.error();
  const auto here = view->copies.find(c.execution.target);
  const bool writes =
      here != view->copies.end() && (here->second.role == ManagedRole::kWriter || here->second.role == ManagedRole::kApart);
  if (!writes) co_return Refused("the cloud does not show the writer in " + Quote(c.execution.target), "lifeboat status");
  auto there = co_await Of(c).database.Look(c.execution.source, c.timeout);
  if (!there.ok() && there.error().retry != Retry::kNotFound) co_return there.error();
  std::string role = "absent";
  if (there.ok()) {
    const auto copy = there->copies.find(c.execution.source);
    if (copy != there->copies.end()) role = ToString(copy->second.role);
  }
  c.record.result["outcome"] = "the copy in " + Quote(c.execution.source) + " is " + role;
  co_return Done();
}

Answer KeepBeforeReturn(StepContext c) {
  const WallTime from = LostSince(NumberAt(c.execution.facts, "lost_at_ns") > 0 ? SignedAt(c.execution.facts, "lost_at_ns") : 0);
  auto kept = co_await Of(c).database.KeepLostWrites(c.execution.source, from, c.timeout);
  if (!kept.ok() && kept.error().retry != Retry::kNotFound) co_return kept.error();
  if (kept.ok() && !kept->empty()) c.execution.facts["lost_writes_snapshot"] = *kept;
  c.record.result["outcome"] =
      kept.ok() && !kept->empty() ? "kept: '" + *kept + "'" : "the cloud has taken no snapshot of lost writes";
  co_return Done();
}

Answer Return(StepContext c) {
  auto back = co_await Of(c).database.Rejoin(c.execution.source, c.execution.target, c.timeout);
  if (!back.ok()) co_return back.error();
  // What a person has to do is no failure of a try, and no try does it.
  if (back->by_person) co_return Refused(back->what, "do that, then: lifeboat rejoin " + c.execution.source.text);
  if (!back->done) co_return RetryLater(back->what);
  // It follows the writer again: the cloud's word about the whole counts again.
  auto whole = co_await Of(c).writer.Record(c.execution.epoch, c.execution.target, false);
  if (!whole.ok()) co_return whole;
  c.record.result["outcome"] = back->what;
  co_return Done();
}

Answer PutBack(StepContext c) {
  std::string told;
  const Json notes = MemberAt(c.execution.facts, "scaled_here");
  for (Compute* compute : Of(c).compute) {
    const Json& noted = MemberAt(notes, compute->name().c_str());
    if (!noted.is_object()) continue;
    auto note = ComputeNoteFrom(MemberAt(noted, "note"));
    if (!note.ok()) {
      Append(told, "'" + compute->name() + "': " + note.error().message);
      continue;
    }
    auto back = co_await compute->PutBack(*std::move(note), kComputeCall);
    if (!back.ok() && back.error().retry != Retry::kRefused) co_return back.error();
    Append(told, "'" + compute->name() + "' " + (back.ok() ? std::string("is as it was") : "stays: " + back.error().message));
  }
  c.record.result["outcome"] = told.empty() ? "nothing was scaled up there" : told;
  co_return Done();
}

}  // namespace

const Plan& ManagedPlanOf(PlanKind kind) {
  // A table, a step a paragraph.
  // clang-format off
  static const Plan failover{
      PlanKind::kFailover,
      {{.name = "claim", .does = "take the next epoch in the store", .timeout = 2s, .check = TakenAtBirth, .act = NothingToDo, .verify = SayEpoch, .undo = GiveEpochBack},
       {.name = "announce", .does = "tell who wants to be told", .after = {"claim"}, .timeout = 5s, .attempts = 1, .act = Announce},
       {.name = "before", .does = "call the hooks before the promotion", .after = {"claim"}, .timeout = 60s, .act = HooksBefore},
       {.name = "size-up", .does = "write down what scaling up will change", .after = {"claim"}, .timeout = 60s, .act = SizeUp},
       {.name = "scale-up", .does = "scale compute up and wait for it", .after = {"size-up"}, .timeout = 600s, .act = ScaleUp},
       {.name = "fail-over", .does = "ask the target's region to fail over", .after = {"before"}, .timeout = 30s, .attempts = 20, .point_of_no_return = true, .longest_pause = 5s,
        .check = IsMoved, .act = FailOver, .unblock = "lifeboat check; where failover itself does not work: lifeboat failover --detach"},
       {.name = "await", .does = "see the writer in the target's region, available", .after = {"fail-over"}, .timeout = 60s, .longest_pause = 5s, .act = AwaitWriter,
        .unblock = "look at the global database in AWS's console; where failover itself does not work: lifeboat failover --detach"},
       {.name = "record", .does = "note the writer in the store", .after = {"await"}, .timeout = 2s, .longest_pause = 5s, .act = NoteWriter, .unblock = "bring the store back"},
       {.name = "measure", .does = "read the old writer's last heartbeat on the new one", .after = {"await"}, .timeout = 10s, .give_up_after = 120s, .longest_pause = 2s,
        .act = MeasureLost},
       {.name = "after", .does = "call the hooks after the promotion", .after = {"await"}, .timeout = 60s, .longest_pause = 10s, .act = HooksAfter,
        .unblock = "see why the hook fails"},
       {.name = "route", .does = "send clients to the new writer", .after = {"await", "after", "scale-up"}, .timeout = 420s, .longest_pause = 5s, .check = IsRouted, .act = Route,
        .verify = SeeRouted, .unblock = "lifeboat check names what the name needs"},
       {.name = "verify", .does = "see that the name and the cloud show the new writer", .after = {"route"}, .timeout = 30s, .longest_pause = 5s, .act = SeeServing,
        .unblock = "try the service's name as a client would"},
       {.name = "finish", .does = "move access points, call the last hooks, tell", .after = {"verify"}, .timeout = 60s, .give_up_after = 600s, .longest_pause = 10s, .act = Finish},
       {.name = "fencing", .does = "read the cloud's word about the old writer", .after = {"verify"}, .timeout = 20s, .give_up_after = 600s, .longest_pause = 10s, .act = ReadFencing},
       {.name = "keep-writes", .does = "keep the cloud's snapshot of the lost writes", .after = {"verify"}, .timeout = 20s, .give_up_after = 600s, .longest_pause = 10s,
        .act = KeepLostWrites}}};
  static const Plan switchover{
      PlanKind::kSwitchover,
      {{.name = "claim", .does = "take the next epoch in the store", .timeout = 2s, .check = TakenAtBirth, .act = NothingToDo, .verify = SayEpoch, .undo = GiveEpochBack},
       {.name = "preflight", .does = "refuse what could not end well", .after = {"claim"}, .timeout = 30s, .attempts = 1, .act = Preflight},
       {.name = "before", .does = "call the hooks before the promotion", .after = {"preflight"}, .timeout = 60s, .act = HooksBefore},
       {.name = "size-up", .does = "write down what scaling up will change", .after = {"before"}, .timeout = 60s, .act = SizeUp},
       {.name = "scale-up", .does = "scale compute up and wait for it", .after = {"size-up"}, .timeout = 600s, .act = ScaleUp},
       {.name = "switch-over", .does = "ask the writer's region to switch over", .after = {"scale-up"}, .timeout = 30s, .point_of_no_return = true, .longest_pause = 5s,
        .check = IsMoved, .act = SwitchOver, .unblock = "look at the global database in AWS's console; if the old region is lost: lifeboat failover"},
       {.name = "await", .does = "see the writer in the target's region, available", .after = {"switch-over"}, .timeout = 60s, .longest_pause = 5s, .act = AwaitWriter,
        .unblock = "look at the global database in AWS's console; if the old region is lost: lifeboat failover"},
       {.name = "record", .does = "note the writer in the store", .after = {"await"}, .timeout = 2s, .longest_pause = 5s, .act = NoteWriter, .unblock = "bring the store back"},
       {.name = "after", .does = "call the hooks after the promotion", .after = {"await"}, .timeout = 60s, .longest_pause = 10s, .act = HooksAfter,
        .unblock = "see why the hook fails"},
       {.name = "route", .does = "send clients to the new writer", .after = {"after"}, .timeout = 420s, .longest_pause = 5s, .check = IsRouted, .act = Route, .verify = SeeRouted,
        .unblock = "lifeboat check names what the name needs"},
       {.name = "verify", .does = "see that the name and the cloud show the new writer", .after = {"route"}, .timeout = 30s, .longest_pause = 5s, .act = SeeServing,
        .unblock = "try the service's name as a client would"},
       {.name = "finish", .does = "move access points, call the last hooks, tell", .after = {"verify"}, .timeout = 60s, .give_up_after = 600s, .longest_pause = 10s, .act = Finish}}};
  static const Plan rejoin{
      PlanKind::kRejoin,
      {{.name = "identify", .does = "see where the writer is, and what the copy is", .timeout = 30s, .attempts = 3, .act = Identify},
       {.name = "keep-writes", .does = "keep the cloud's snapshot of the lost writes", .after = {"identify"}, .timeout = 30s, .attempts = 20, .longest_pause = 10s, .act = KeepBeforeReturn},
       {.name = "return", .does = "bring the copy back behind the writer", .after = {"keep-writes"}, .timeout = 60s, .attempts = 2000, .longest_pause = 15s, .act = Return},
       {.name = "put-back", .does = "put back what was scaled up there", .after = {"return"}, .timeout = 60s, .attempts = 20, .longest_pause = 10s, .act = PutBack}}};
  // clang-format on
  switch (kind) {
    case PlanKind::kFailover: return failover;
    case PlanKind::kSwitchover: return switchover;
    case PlanKind::kRejoin: return rejoin;
  }
  return failover;
}

std::vector<StepRecord> FreshManagedRecords(PlanKind kind) {
  std::vector<StepRecord> records;
  for (const Step& step : ManagedPlanOf(kind).steps) {
    StepRecord record;
    record.name = step.name;
    records.push_back(std::move(record));
  }
  return records;
}

}  // namespace lifeboat
