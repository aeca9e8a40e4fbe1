#include "observe/world.h"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/ip/address.hpp>
#include "base/spawn.h"

namespace lifeboat {

namespace asio = boost::asio;

namespace {
constexpr Duration kLookEvery = 250ms;
constexpr Duration kLookTimeout = 1s;
constexpr Duration kPeerTimeout = 600ms;
constexpr Duration kGuardEvery = 1s;
constexpr Duration kTrafficEvery = 2s;
constexpr Duration kCanaryEvery = 500ms;
constexpr Duration kCanaryEveryWhenBad = 100ms;
/// A vote that was told longer ago than this is none: a lost message must not break a count, silence must.
constexpr Duration kVoteFresh = 2s;
constexpr int kHeartbeatEveryLooks = 4;
}  // namespace

World::World(asio::any_io_executor io, RegionName self, std::map<RegionName, RegionKind> regions, Doors doors, Log log,
             std::function<void()> changed)
    : io_(std::move(io)), self_(std::move(self)), doors_(doors), log_(std::move(log)), changed_(std::move(changed)) {
  for (const auto& [region, kind] : regions) {
    if (region != self_) peers_[region].kind = kind;
  }
}

void World::Start() {
  if (doors_.database) {
    Spawn(io_, DatabaseLoop());
    Spawn(io_, ExitLoop());
  }
  if (doors_.guard) Spawn(io_, GuardLoop());
  for (const auto& [region, view] : peers_) Spawn(io_, PeerLoop(region));
  Spawn(io_, TrafficLoop());
  Spawn(io_, CanaryLoop());
}

void World::SetHolder(RegionName holder, Epoch epoch) {
  holder_ = std::move(holder);
  epoch_ = epoch;
}

void World::NoteDatabase(DatabaseState state) {
  const bool was_writable = database_ && database_->IsWritable();
  const bool changed = !database_ || database_->process_alive != state.process_alive ||
                       database_->in_recovery != state.in_recovery || was_writable != state.IsWritable() ||
                       database_->upstream != state.upstream;
  if (state.IsWritable()) down_since_.reset();
  database_ = std::move(state);
  if (changed) changed_();
}

Task<> World::LookAtDatabase() {
  DatabaseState state = co_await doors_.database->Observe(kLookTimeout);
  NoteDatabase(std::move(state));
}

Task<> World::DatabaseLoop() {
  for (int round = 0;; ++round) {
    const Instant asked = doors_.clock.Now();
    co_await LookAtDatabase();
    if (holder_ == self_ && database_->IsWritable() && database_->flushed) ring_.Add(epoch_, asked, *database_->flushed);
    if (round % kHeartbeatEveryLooks == 0) {
      if (holder_ == self_ && database_->IsWritable()) {
        auto written = co_await doors_.database->WriteHeartbeat(epoch_, self_, kLookTimeout);
        if (written.ok()) heartbeat_written_ = *written;
      } else if (database_->IsStandby()) {
        auto seen = co_await doors_.database->ReadHeartbeat(kLookTimeout);
        if (seen.ok()) heartbeat_seen_ = *seen;
      }
    }
    co_await doors_.clock.Sleep(kLookEvery);
  }
}

/// The kernel says when the postmaster ends: no probe is that fast.
Task<> World::ExitLoop() {
  using namespace boost::asio::experimental::awaitable_operators;
  while (true) {
    // Where none runs the wait ends at once; one that lasts says that a postmaster runs.
    const auto first = co_await (doors_.database->WaitForExit() || doors_.clock.Sleep(30ms));
    if (first.index() == 1) {
      postmaster_gone_ = false;
      co_await doors_.database->WaitForExit();
    }
    const bool news = !postmaster_gone_;
    postmaster_gone_ = true;
    if (!down_since_) down_since_ = doors_.clock.Now();
    if (news) {
      log_.Warn("the postmaster has ended");
      co_await LookAtDatabase();
      changed_();
    }
    if (first.index() == 0) co_await doors_.clock.Sleep(50ms);
  }
}

Task<> World::GuardLoop() {
  while (true) {
    const bool before = guard_.reachable;
    guard_ = co_await doors_.guard->Look(300ms);
    if (before != guard_.reachable) changed_();
    co_await doors_.clock.Sleep(guard_.reachable ? kGuardEvery : Duration(100ms));
  }
}

Task<> World::PeerLoop(RegionName region) {
  PeerView& view = peers_.at(region);
  while (true) {
    const Instant asked = doors_.clock.Now();
    Json question = Json::object();
    auto answer = co_await doors_.peers.Call(region, "agent.gossip", std::move(question), kPeerTimeout, Lane::kWork);
    const bool before = view.answers;
    view.answers = answer.ok();
    if (answer.ok()) {
      view.asked = asked;
      view.failed.reset();
      view.problem.clear();
      view.said = *std::move(answer);
      const auto position = Lsn::Parse(TextAt(view.said, "position"));
      if (position && region == holder_) ring_.Add(Epoch{NumberAt(view.said, "position_epoch")}, asked, *position);
    } else {
      if (!view.failed) view.failed = asked;
      view.problem = answer.error().message;
    }
    if (before != view.answers) {
      log_.Info(view.answers ? "an agent answers" : "an agent does not answer", {{"peer", region.text}, {"problem", view.problem}});
      changed_();
    }
    const Duration spent = AgeAt(asked, doors_.clock.Now());
    co_await doors_.clock.Sleep(std::max<Duration>(20ms, kLookEvery - spent));
  }
}

Task<> World::LookAtTraffic() {
  const std::uint64_t tries = traffic_tries_;
  auto record = co_await doors_.traffic.Read(1s);
  if (tries < traffic_seen_after_) co_return;  // a later look was faster
  traffic_missing_ = !record.ok() && record.error().retry == Retry::kNotFound;
  if (record.ok()) {
    traffic_ = *record;
    traffic_problem_.clear();
  } else {
    traffic_.reset();
    traffic_problem_ = record.error().message;
  }
  traffic_seen_after_ = tries;
}

Task<> World::TrafficLoop() {
  while (true) {
    co_await LookAtTraffic();
    co_await doors_.clock.Sleep(kTrafficEvery);
  }
}

std::optional<TrafficFacts> World::TrafficSeen(const std::string& own) const {
  if (traffic_seen_after_ != traffic_tries_) return std::nullopt;
  if (traffic_missing_) return TrafficFacts{};
  if (!traffic_) return std::nullopt;
  boost::system::error_code problem;
  const auto there = asio::ip::make_address(traffic_->address, problem);
  const auto here = problem ? there : asio::ip::make_address(own, problem);
  // One address may be written in several ways.
  const bool same = problem ? !own.empty() && traffic_->address == own : there == here;
  return TrafficFacts{traffic_->address, same, traffic_->epoch};
}

Task<> World::CanaryLoop() {
  while (true) {
    const WallTime began = doors_.clock.Wall();
    const Instant asked = doors_.clock.Now();
    auto address = co_await doors_.canary.Write(canary_patience_);
    canary_.took = AgeAt(asked, doors_.clock.Now());
    if (address.ok()) {
      if (canary_.ok == false) log_.Info("the canary writes again", {{"address", *address}, {"failures", canary_.failures}});
      canary_.ok = true;
      canary_.address = *address;
      canary_.last_good = doors_.clock.Wall();
      canary_.first_bad = {};
      canary_.failures = 0;
      ++canary_.written;
      canary_.problem.clear();
    } else {
      if (canary_.ok != false) log_.Warn("the canary cannot write", {{"problem", address.error().message}});
      if (canary_.first_bad.ns == 0) canary_.first_bad = began;
      canary_.ok = false;
      ++canary_.failures;
      canary_.problem = address.error().message;
    }
    if (on_row) on_row(asked, canary_.took, address.ok() ? *address : std::string(), canary_.problem);
    co_await doors_.clock.Sleep(canary_.ok == true ? kCanaryEvery : kCanaryEveryWhenBad);
  }
}

PeerFacts World::FactsOf(const RegionName& region, Instant now) const {
  const PeerView& view = peers_.at(region);
  PeerFacts facts;
  facts.kind = view.kind;
  facts.answers = view.answers;
  if (view.asked) facts.age = AgeAt(*view.asked, now);
  facts.agent = AgentId(TextAt(view.said, "agent"));
  facts.highest = {NumberAt(view.said, "epoch")};
  facts.detached = FlagAt(view.said, "detached");
  facts.heartbeat_seen = NumberAt(view.said, "heartbeat_seen");
  facts.guard_answers = FlagAt(MemberAt(view.said, "guard"), "answers");
  if (facts.age && *facts.age <= kVoteFresh) facts.vote = VoteFromJson(MemberAt(view.said, "vote"));
  if (MemberAt(view.said, "database").is_object()) facts.database = DatabaseStateFromJson(MemberAt(view.said, "database"));
  return facts;
}

}  // namespace lifeboat
