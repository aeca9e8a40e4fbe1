#include "act/region_hand.h"

#include <map>

#include "base/seeded_bug.h"

namespace lifeboat {

namespace {
Json LsnObject(const char* key, Lsn lsn) { return {{key, lsn.Text()}}; }
/// A slot that was asked for is kept for so long, also when somebody asks for another's: its standby may not stream yet.
constexpr Duration kSlotPatience = 5min;
/// A replay that has stood still for so long has replayed every whole record.
constexpr Duration kReplayStall = 100ms;
}  // namespace

RegionHand::RegionHand(RegionName self, Doors doors) : self_(std::move(self)), doors_(std::move(doors)) {}

Task<Result<Json>> RegionHand::Do(std::string verb, Json parameters, Duration timeout) {
  static const std::map<std::string, Verb> kVerbs = {
      {"look", &RegionHand::Look},
      {"ready", &RegionHand::Ready},
      {"checkpoint", &RegionHand::Checkpoint},
      {"stop", &RegionHand::Stop},
      {"reopen", &RegionHand::Reopen},
      {"release", &RegionHand::ReleaseLease},
      {"freeze", &RegionHand::Freeze},
      {"cut", &RegionHand::Cut},
      {"cede", &RegionHand::Cede},
      {"mark", &RegionHand::Mark},
      {"claim", &RegionHand::ClaimLease},
      {"promote", &RegionHand::Promote},
      {"slots", &RegionHand::Slots},
      {"heartbeat", &RegionHand::WriteHeartbeat},
      {"heartbeat_seen", &RegionHand::SeenHeartbeat},
      {"fork", &RegionHand::Fork},
      {"sign", &RegionHand::Sign},
      {"end_of_wal", &RegionHand::EndOfWal},
      {"fence", &RegionHand::FenceDatabase},
      {"salvage", &RegionHand::Salvage},
      {"rewind", &RegionHand::Rewind},
      {"copy", &RegionHand::Copy},
      {"follow", &RegionHand::Follow},
      {"joined", &RegionHand::Joined},
      {"admit", &RegionHand::Admit},
  };
  const auto found = kVerbs.find(verb);
  if (found == kVerbs.end()) co_return NotFound("'" + self_.text + "' knows no verb '" + verb + "'");
  if (!doors_.database) co_return Refused("'" + self_.text + "' is a witness: it has no database");
  const Verb method = found->second;
  Result<Json> answer = co_await (this->*method)(std::move(parameters), timeout);
  if (answer.ok()) co_return answer;
  co_return answer.error().Within(verb + " in '" + self_.text + "'");
}

Result<Epoch> RegionHand::CheckEpoch(const Json& parameters) const {
  const Epoch asked{NumberAt(parameters, "epoch")};
  const auto item = doors_.lease.Item();
  if (!item) return RetryLater("the store has not been read yet");
  // SAFETY: a late step of an older primaryship must not touch the world of a newer one.
  if (asked < item->epoch && !SEEDED_BUG(kStepWithoutEpoch)) {
    return Refused("asked under epoch " + std::to_string(asked.number) + ", but epoch " + std::to_string(item->epoch.number) +
                       " is known here",
                   "a newer primaryship has begun: look at 'lifeboat status' and start anew");
  }
  return asked;
}

Result<Upstream> RegionHand::PrimaryOf(const Json& parameters) const {
  const RegionName primary(TextAt(parameters, "primary"));
  const auto found = doors_.databases.find(primary);
  if (found == doors_.databases.end()) return Refused("'" + primary.text + "' is no data region of this service");
  if (primary == self_) return Refused("'" + self_.text + "' cannot follow itself");
  return Upstream{found->second, primary};
}

Result<Unit> RegionHand::CheckNotHolder() const {
  const auto item = doors_.lease.Item();
  // SAFETY: nothing here may stop, rewind or replace the server of the region that holds the lease.
  if (!item || item->holder == self_)
    return Refused("'" + self_.text + "' holds the lease", "switch over first: lifeboat switchover --to …");
  return Done();
}

Task<Result<Json>> RegionHand::Look(Json, Duration timeout) {
  const DatabaseState state = co_await doors_.database->Observe(timeout);
  Json answer = {{"database", ToJson(state)},
                 {"control", nullptr},
                 {"fence", nullptr},
                 {"lease", nullptr},
                 {"detached", doors_.lease.Detached()},
                 {"held", doors_.lease.Held().number}};
  auto control = co_await doors_.database->ReadControl();
  if (control.ok()) {
    answer["control"] = {{"system_id", control->system_id.text},
                         {"cluster_state", control->cluster_state},
                         {"timeline", control->timeline},
                         {"checkpoint", control->checkpoint.Text()},
                         {"redo", control->redo.Text()}};
  } else if (control.error().retry != Retry::kNotFound) {
    answer["control_problem"] = control.error().message;
  }
  auto fence = co_await doors_.database->HasFence();
  if (fence.ok()) answer["fence"] = *fence;
  if (const auto item = doors_.lease.Item()) {
    answer["lease"] = ToJson(*item);
    answer["lease"]["valid"] = doors_.lease.Holds(item->epoch);
  }
  co_return answer;
}

Task<Result<Json>> RegionHand::Ready(Json parameters, Duration timeout) {
  const auto item = doors_.lease.Item();
  if (!item || !item->IsCandidate(self_)) co_return Refused("'" + self_.text + "' is not a candidate");
  const GuardState guard = co_await doors_.guard->Look(timeout);
  if (!guard.reachable) co_return Refused("the guard of '" + self_.text + "' does not answer", "start the guard");
  const DatabaseState state = co_await doors_.database->Observe(timeout);
  if (!state.IsStandby() || !state.flushed) {
    co_return Refused("the database of '" + self_.text + "' is not a running standby" +
                      (state.problem.empty() ? "" : " (" + state.problem + ")"));
  }
  const std::string system_id = TextAt(parameters, "system_id");
  if (!system_id.empty() && state.system_id.text != system_id) {
    co_return Refused("the database of '" + self_.text + "' has system id " + state.system_id.text + ", not " + system_id,
                      "it is a copy of another cluster: check data_directory in the configuration");
  }
  auto ours = co_await SeeHistory(parameters, state, timeout);
  if (!ours.ok()) co_return ours.error();
  const auto through = Lsn::Parse(TextAt(parameters, "through"));
  if (through && *state.flushed < *through) {
    co_return RetryLater("'" + self_.text + "' holds WAL up to " + state.flushed->Text() + " of " + through->Text());
  }
  co_return LsnObject("flushed", *state.flushed);
}

/// SAFETY: a copy that went another way at a fork may show a higher position and hold none of the newest rows (G4, G5).
Task<Result<Unit>> RegionHand::SeeHistory(Json parameters, DatabaseState state, Duration timeout) {
  const auto asked = static_cast<Timeline>(NumberAt(parameters, "timeline"));
  if (asked == 0) co_return Done();
  if (!state.timeline) co_return RetryLater("the timeline of '" + self_.text + "' is unknown");
  if (*state.timeline == asked) {
    const std::string sign = TextAt(parameters, "sign");
    if (sign.empty()) co_return Done();
    auto own = co_await doors_.database->SignOf(asked, timeout);
    if (!own.ok() || *own == sign) co_return Done();
    co_return Refused("timeline " + std::to_string(asked) + " of '" + self_.text + "' is another one of that number",
                      "lifeboat rejoin " + self_.text);
  }
  // It has not received that timeline yet, and holds nothing that lies beyond its beginning.
  const auto fork = Lsn::Parse(TextAt(parameters, "fork"));
  if (*state.timeline + 1 == asked && fork && *state.flushed <= *fork) co_return Done();
  co_return Refused("'" + self_.text + "' is on timeline " + std::to_string(*state.timeline) + " and holds WAL up to " +
                        state.flushed->Text() + ", which is not known to be part of the history of timeline " +
                        std::to_string(asked),
                    "lifeboat rejoin " + self_.text);
}

Task<Result<Json>> RegionHand::Checkpoint(Json parameters, Duration timeout) {
  const auto epoch = CheckEpoch(parameters);
  if (!epoch.ok()) co_return epoch.error();
  auto done = co_await doors_.database->Checkpoint(timeout);
  if (!done.ok()) co_return done.error();
  co_return Json::object();
}

Task<Result<Json>> RegionHand::Stop(Json parameters, Duration timeout) {
  const auto epoch = CheckEpoch(parameters);
  if (!epoch.ok()) co_return epoch.error();
  // SAFETY: a clean stop is a proof only if this region was the writer until the end: it stops while it still holds the lease.
  if (!doors_.lease.Holds(*epoch))
    co_return Refused("'" + self_.text + "' does not hold a valid lease of epoch " + std::to_string(epoch->number));
  auto token = co_await doors_.database->StopCleanly(timeout);
  if (!token.ok()) co_return token.error();
  co_return ToJson(*token);
}

Task<Result<Unit>> RegionHand::OpenUnder(Epoch epoch, Duration timeout) {
  auto prepared = co_await doors_.lease.PrepareToWrite(epoch);
  if (!prepared.ok()) co_return prepared.error();
  const DatabaseState state = co_await doors_.database->Observe(timeout);
  if (state.IsWritable()) co_return Done();
  // SAFETY: a database that hangs is looked at for long; whoever took over meanwhile has made a standby of this one.
  if (!doors_.lease.Holds(epoch))
    co_return RetryLater("the lease of epoch " + std::to_string(epoch.number) + " is not valid at this moment");
  // Stopped half-way, or restarted by somebody as a standby: this region holds the lease, so it may be started anew.
  if (state.process_alive) {
    auto ended = co_await doors_.database->KillAll(timeout);
    if (!ended.ok()) co_return ended.error();
    prepared = co_await doors_.lease.PrepareToWrite(epoch);
    if (!prepared.ok()) co_return prepared.error();
  }
  co_return co_await doors_.database->StartPrimary(timeout);
}

Task<Result<Json>> RegionHand::Reopen(Json, Duration timeout) {
  auto item = doors_.lease.Item();
  if (!item || item->holder != self_) {
    co_return Refused("'" + self_.text + "' is not the holder any more",
                      "the heir has taken over: the switchover can only go forward");
  }
  Epoch epoch = item->epoch;
  if (item->released || !doors_.lease.Holds(epoch)) {
    auto reclaimed = co_await doors_.lease.Reclaim();
    if (reclaimed.ok()) {
      epoch = *reclaimed;
    } else if (!doors_.lease.Holds(epoch)) {
      co_return reclaimed.error();
    }
  }
  auto opened = co_await OpenUnder(epoch, timeout);
  if (!opened.ok()) co_return opened.error();
  co_return Json{{"epoch", epoch.number}};
}

Task<Result<Json>> RegionHand::ReleaseLease(Json parameters, Duration timeout) {
  const auto epoch = CheckEpoch(parameters);
  if (!epoch.ok()) co_return epoch.error();
  const DatabaseState state = co_await doors_.database->Observe(timeout);
  // SAFETY: released means that nothing here can commit: no process of the data directory is left, not even a backend.
  if (state.process_alive) co_return Refused("processes of the database in '" + self_.text + "' are still alive");
  const auto fence = co_await doors_.database->HasFence();
  if (!fence.ok()) co_return fence.error();
  if (!*fence) co_return Refused("the data directory of '" + self_.text + "' has no standby.signal: a restart would be writable");
  const RegionName heir(TextAt(parameters, "heir"));
  auto done = co_await doors_.lease.Release(*epoch, heir, TextAt(parameters, "token"));
  if (!done.ok()) co_return done.error();
  co_return Json::object();
}

Task<Result<Json>> RegionHand::Freeze(Json parameters, Duration timeout) {
  const auto epoch = CheckEpoch(parameters);
  if (!epoch.ok()) co_return epoch.error();
  auto flushed = co_await doors_.database->StopReceiving(timeout);
  if (!flushed.ok()) co_return flushed.error();
  co_return LsnObject("flushed", *flushed);
}

Task<Result<Json>> RegionHand::Cut(Json parameters, Duration timeout) {
  const auto epoch = CheckEpoch(parameters);
  if (!epoch.ok()) co_return epoch.error();
  const auto safe = CheckNotHolder();
  if (!safe.ok()) co_return safe.error();
  const DatabaseState state = co_await doors_.database->Observe(timeout);
  if (!state.IsStandby()) {
    co_return Refused("the database of '" + self_.text + "' is not a running standby" +
                      (state.problem.empty() ? "" : " (" + state.problem + ")"));
  }
  // A late question must not cut it off from the new primary, which it follows already.
  const auto target = doors_.databases.find(RegionName(TextAt(parameters, "target")));
  if (target != doors_.databases.end() && state.upstream == target->second.host)
    co_return Refused("'" + self_.text + "' follows '" + target->first.text + "' already");
  auto flushed = co_await doors_.database->StopReceiving(timeout);
  if (!flushed.ok()) co_return flushed.error();
  const GuardState guard = co_await doors_.guard->Look(timeout);
  co_return Json{{"flushed", flushed->Text()},
                 {"system_id", state.system_id.text},
                 {"timeline", state.timeline.value_or(0)},
                 {"detached", doors_.lease.Detached()},
                 {"guard", guard.reachable}};
}

Task<Result<Json>> RegionHand::Cede(Json parameters, Duration timeout) {
  const auto epoch = CheckEpoch(parameters);
  if (!epoch.ok()) co_return epoch.error();
  const DatabaseState state = co_await doors_.database->Observe(timeout);
  // SAFETY: given away without a stop only where it was never opened: nothing here has accepted a write under this epoch.
  const auto item = doors_.lease.Item();
  const bool released = item && item->released && item->epoch == *epoch;
  if (!released && state.process_alive && !state.IsStandby()) {
    co_return Refused("the database of '" + self_.text + "' is not a running standby" +
                      (state.problem.empty() ? "" : " (" + state.problem + ")"));
  }
  const auto fence = co_await doors_.database->HasFence();
  if (!fence.ok()) co_return fence.error();
  if (!*fence) co_return Refused("the data directory of '" + self_.text + "' has no standby.signal: a restart would be writable");
  const RegionName heir(TextAt(parameters, "heir"));
  auto done = co_await doors_.lease.Release(*epoch, heir, TextAt(parameters, "token"));
  if (!done.ok()) co_return done.error();
  co_return Json::object();
}

Task<Result<Json>> RegionHand::Mark(Json parameters, Duration timeout) {
  const Epoch asked{NumberAt(parameters, "of")};
  Result<PromotionMark> mark = NotFound("not asked");
  if (asked.number > 0)
    mark = co_await doors_.database->ReadPromotionMarkOf(asked, timeout);
  else
    mark = co_await doors_.database->ReadPromotionMark(timeout);
  if (!mark.ok()) co_return mark.error();
  co_return Json{{"epoch", mark->epoch.number}, {"uuid", mark->uuid}, {"region", mark->region.text}};
}

Task<Result<Json>> RegionHand::Sign(Json parameters, Duration timeout) {
  auto sign = co_await doors_.database->SignOf(static_cast<Timeline>(NumberAt(parameters, "timeline")), timeout);
  if (!sign.ok()) co_return sign.error();
  co_return Json{{"sign", *sign}};
}

Task<Result<Json>> RegionHand::ClaimLease(Json parameters, Duration) {
  const auto item = doors_.lease.Item();
  const Epoch wanted{NumberAt(parameters, "epoch")};
  if (item && item->holder == self_ && item->epoch == wanted) co_return Json{{"epoch", wanted.number}};
  Transaction nothing;
  auto epoch = co_await doors_.lease.Claim(std::move(nothing), SEEDED_BUG(kReleaseToldDirectly) ? "told" : "");
  if (!epoch.ok()) co_return epoch.error();
  co_return Json{{"epoch", epoch->number}};
}

/// The execution decides over this database, so nobody else starts it where it dies before its promotion has come through.
Task<Result<Unit>> RegionHand::Revive(Json parameters, Duration timeout) {
  const DatabaseState state = co_await doors_.database->Observe(timeout);
  if (state.process_alive) co_return Done();
  const auto upstream = PrimaryOf(parameters);
  if (!upstream.ok()) co_return upstream.error();
  doors_.log.Warn("the database died before its promotion: it is started again as a standby", {{"problem", state.problem}});
  auto started = co_await doors_.database->StartStandby(*upstream, timeout);
  if (!started.ok()) co_return started;
  auto cut = co_await doors_.database->StopReceiving(timeout);
  if (!cut.ok()) co_return cut.error();
  co_return Done();
}

Task<Result<Json>> RegionHand::Promote(Json parameters, Duration timeout) {
  const auto epoch = CheckEpoch(parameters);
  if (!epoch.ok()) co_return epoch.error();
  auto prepared = co_await doors_.lease.PrepareToWrite(*epoch);
  if (!prepared.ok()) co_return prepared.error();
  auto running = co_await Revive(parameters, timeout);
  if (!running.ok()) co_return running.error();
  const auto through = Lsn::Parse(TextAt(parameters, "through"));
  if (through) {
    const DatabaseState state = co_await doors_.database->Observe(timeout);
    if (!state.IsWritable()) {
      // SAFETY: not seen is not refused: a refusal says that nothing was promoted, and an earlier try may have come through.
      if (!state.IsStandby() || !state.flushed) {
        co_return RetryLater("the position of '" + self_.text + "' is unknown" +
                             (state.problem.empty() ? "" : " (" + state.problem + ")"));
      }
      if (*state.flushed < *through) {
        co_return Refused("'" + self_.text + "' holds WAL up to " + state.flushed->Text() + ", the old primary stopped at " +
                          through->Text());
      }
    }
  }
  // What was received is replayed first, which may take long: the second look comes after it.
  const Instant began = doors_.clock.Now();
  std::optional<Lsn> last;
  Instant moved = began;
  while (true) {
    const DatabaseState state = co_await doors_.database->Observe(timeout);
    // A stream that was cut ends within a record as a rule, and that never replays. PostgreSQL itself replays every whole record
    // that it has before it ends recovery, so nothing is lost where a slow replay is taken for this.
    if (state.replayed && last == state.replayed && AgeAt(moved, doors_.clock.Now()) >= kReplayStall) break;
    if (last != state.replayed) moved = doors_.clock.Now();
    last = state.replayed;
    if (state.IsWritable() || (state.replayed && state.flushed && *state.replayed >= *state.flushed)) break;
    if (!state.process_alive) co_return RetryLater("the database of '" + self_.text + "' has died while it replayed");
    if (AgeAt(began, doors_.clock.Now()) > timeout) {
      co_return RetryLater("'" + self_.text + "' has replayed up to " +
                           (state.replayed ? state.replayed->Text() : std::string("an unknown position")) + " of " +
                           (state.flushed ? state.flushed->Text() : std::string("an unknown position")));
    }
    co_await doors_.clock.Sleep(5ms);
  }
  // SAFETY: looked at again at this very moment, after everything that took time (docs/lease.md section 4.3).
  if (!doors_.lease.MayPromote(*epoch)) {
    co_return RetryLater("the lease of epoch " + std::to_string(epoch->number) + " is not valid at this moment");
  }
  auto fork = co_await doors_.database->Promote(timeout);
  if (!fork.ok()) co_return fork.error();
  // The first transaction of the new timeline: lineage that timelines alone cannot prove.
  auto schema = co_await doors_.database->EnsureSchema(timeout);
  if (!schema.ok()) co_return schema.error();
  auto mark = co_await doors_.database->ReadPromotionMark(timeout);
  if (!mark.ok() || mark->epoch < *epoch) {
    PromotionMark fresh{*epoch, RandomUuid(), self_};
    auto written = co_await doors_.database->WritePromotionMark(fresh, timeout);
    if (!written.ok()) co_return written.error();
    mark = std::move(fresh);
  }
  // The other standbys live by their slots here from now on.
  std::vector<RegionName> others = doors_.lease.Item() ? doors_.lease.Item()->candidates : std::vector<RegionName>();
  if (!others.empty()) {
    auto slots = co_await doors_.database->EnsureSlots(std::move(others), timeout);
    if (!slots.ok()) doors_.log.Warn("replication slots could not be put right", {{"problem", slots.error().message}});
  }
  co_return Json{{"fork", fork->Text()}, {"uuid", mark->uuid}};
}

Task<Result<Json>> RegionHand::Slots(Json parameters, Duration timeout) {
  const auto epoch = CheckEpoch(parameters);
  if (!epoch.ok()) co_return epoch.error();
  if (!doors_.lease.Holds(*epoch))
    co_return Refused("'" + self_.text + "' does not hold a valid lease of epoch " + std::to_string(epoch->number));
  std::vector<RegionName> wanted = doors_.lease.Item()->candidates;
  slots_asked_[RegionName(TextAt(parameters, "region"))] = doors_.clock.Now();
  for (const auto& [region, at] : slots_asked_) {
    if (AgeAt(at, doors_.clock.Now()) < kSlotPatience) wanted.push_back(region);
  }
  auto done = co_await doors_.database->EnsureSlots(std::move(wanted), timeout);
  if (!done.ok()) co_return done.error();
  co_return Json::object();
}

Task<Result<Json>> RegionHand::WriteHeartbeat(Json parameters, Duration timeout) {
  const auto epoch = CheckEpoch(parameters);
  if (!epoch.ok()) co_return epoch.error();
  auto sequence = co_await doors_.database->WriteHeartbeat(*epoch, self_, timeout);
  if (!sequence.ok()) co_return sequence.error();
  co_return Json{{"sequence", *sequence}};
}

Task<Result<Json>> RegionHand::SeenHeartbeat(Json, Duration timeout) {
  auto sequence = co_await doors_.database->ReadHeartbeat(timeout);
  if (!sequence.ok()) co_return sequence.error();
  co_return Json{{"sequence", *sequence}};
}

Task<Result<Json>> RegionHand::Fork(Json parameters, Duration timeout) {
  auto fork = co_await doors_.database->ForkOf(static_cast<Timeline>(NumberAt(parameters, "timeline")), timeout);
  if (!fork.ok()) co_return fork.error();
  co_return LsnObject("fork", *fork);
}

Task<Result<Json>> RegionHand::EndOfWal(Json parameters, Duration timeout) {
  auto control = co_await doors_.database->ReadControl();
  if (!control.ok()) co_return control.error();
  Lsn from = control->redo;
  if (const auto asked = Lsn::Parse(TextAt(parameters, "from")); asked && *asked > from) from = *asked;
  auto end = co_await doors_.database->EndOfWal(control->timeline, from, timeout);
  if (!end.ok()) co_return end.error();
  co_return LsnObject("end", *end);
}

Task<Result<Json>> RegionHand::FenceDatabase(Json parameters, Duration timeout) {
  const auto epoch = CheckEpoch(parameters);
  if (!epoch.ok()) co_return epoch.error();
  const auto safe = CheckNotHolder();
  if (!safe.ok()) co_return safe.error();
  auto forbidden = co_await doors_.guard->Forbid(*epoch, timeout);
  if (!forbidden.ok()) {
    // One that observes ends nothing: it is ended below, from here.
    const GuardState guard = co_await doors_.guard->Look(timeout);
    if (!guard.reachable || !guard.observes) co_return forbidden.error();
  }
  auto fenced = co_await doors_.database->Fence();
  if (!fenced.ok()) co_return fenced.error();
  auto killed = co_await doors_.database->KillAll(timeout);
  if (!killed.ok()) co_return killed.error();
  co_return Json::object();
}

Task<Result<Json>> RegionHand::Salvage(Json parameters, Duration timeout) {
  const auto epoch = CheckEpoch(parameters);
  if (!epoch.ok()) co_return epoch.error();
  const auto safe = CheckNotHolder();
  if (!safe.ok()) co_return safe.error();
  const auto fork = Lsn::Parse(TextAt(parameters, "fork"));
  if (!fork) co_return Fail("no fork position was given");
  const auto timeline = static_cast<Timeline>(NumberAt(parameters, "timeline"));
  const std::string folder = doors_.ledger_folder + "/" + TextAt(parameters, "execution");
  auto saved = co_await doors_.database->SaveDivergence(timeline, *fork, folder, timeout);
  if (!saved.ok()) co_return saved.error();
  co_return ToJson(*saved);
}

Task<Result<Json>> RegionHand::Rewind(Json parameters, Duration timeout) {
  const auto epoch = CheckEpoch(parameters);
  if (!epoch.ok()) co_return epoch.error();
  const auto safe = CheckNotHolder();
  if (!safe.ok()) co_return safe.error();
  const auto primary = PrimaryOf(parameters);
  if (!primary.ok()) co_return primary.error();
  auto done = co_await doors_.database->Rewind(*primary, timeout);
  if (!done.ok()) co_return done.error();
  co_return Json::object();
}

Task<Result<Json>> RegionHand::Copy(Json parameters, Duration timeout) {
  const auto epoch = CheckEpoch(parameters);
  if (!epoch.ok()) co_return epoch.error();
  const auto safe = CheckNotHolder();
  if (!safe.ok()) co_return safe.error();
  const auto primary = PrimaryOf(parameters);
  if (!primary.ok()) co_return primary.error();
  auto done = co_await doors_.database->CopyFrom(*primary, timeout);
  if (!done.ok()) co_return done.error();
  co_return Json::object();
}

Task<Result<Json>> RegionHand::Follow(Json parameters, Duration timeout) {
  const auto epoch = CheckEpoch(parameters);
  if (!epoch.ok()) co_return epoch.error();
  const auto safe = CheckNotHolder();
  if (!safe.ok()) co_return safe.error();
  const auto primary = PrimaryOf(parameters);
  if (!primary.ok()) co_return primary.error();
  auto done = co_await doors_.database->StartStandby(*primary, timeout);
  if (!done.ok()) co_return done.error();
  // Slots of its time as a primary would keep WAL here for ever.
  std::vector<RegionName> none;
  auto dropped = co_await doors_.database->EnsureSlots(std::move(none), timeout);
  if (!dropped.ok()) doors_.log.Warn("old replication slots could not be dropped", {{"problem", dropped.error().message}});
  co_return Json::object();
}

Task<Result<Json>> RegionHand::Joined(Json parameters, Duration) {
  const auto epoch = CheckEpoch(parameters);
  if (!epoch.ok()) co_return epoch.error();
  auto done = co_await doors_.lease.NoteJoined(*epoch);
  if (!done.ok()) co_return done.error();
  co_return Json::object();
}

Task<Result<Json>> RegionHand::Admit(Json parameters, Duration) {
  const auto epoch = CheckEpoch(parameters);
  if (!epoch.ok()) co_return epoch.error();
  auto done = co_await doors_.lease.ChangeCandidate(RegionName(TextAt(parameters, "region")), true);
  if (!done.ok()) co_return done.error();
  co_return Json::object();
}

}  // namespace lifeboat
