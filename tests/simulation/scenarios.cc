// The peace after every storm, the failover mill, and outages that must not be felt.

#include "simulation/storm.h"

#include "simulation/no_real_io.h"

namespace lifeboat::simulation {

using std::chrono::milliseconds;

namespace {

/// A person reads what the rule says and types it.
void FollowAdvice(World& world) {
  for (int place = 0; place < world.data(); ++place) {
    const std::string advice = world.HeldBack(place);
    const RegionName& name = world.At(place).name;
    if (advice.find("lifeboat rejoin " + name.text) != std::string::npos) {
      world.Order(place, "rejoin", Json{{"region", name.text}, {"by", "peace"}});
    } else if (advice.find("lifeboat failover --to " + name.text) != std::string::npos) {
      world.Order(place, "failover", Json{{"to", name.text}, {"by", "peace"}, {"accept_loss", true}});
    }
  }
}

bool AllEnded(const World& world) {
  for (const auto& [key, seen] : world.executions()) {
    if (IsEnded(seen.state)) continue;
    // What was seen being written may be of another copy of the store than the one that stands there now: one that it lacks is
    // gone, and one that had ended in it has ended.
    const auto there = world.store->data.ValueOf(key);
    if (!there) continue;
    const auto json = ParseJson(*there, key);
    const auto execution = json.ok() ? ExecutionFromJson(*json) : Result<Execution>(json.error());
    if (!execution.ok() || !IsEnded(execution->state)) return false;
  }
  return true;
}

bool AllWell(World& world) {
  if (world.Busy()) return false;
  for (int place = 0; place < world.data(); ++place) {
    if (world.Healthy(place)) return AllEnded(world);
  }
  return false;
}

constexpr int kFailoversOfAMill = 20;

}  // namespace

void MakePeace(World& world, Duration limit) {
  const Duration end = world.time.now() + limit;
  // What the storm did to leases and start-up waits still shows for so long: before that, nothing well is well for good.
  const Duration settled = world.time.now() + 2 * std::max(world.options.length, world.options.other_length.value_or(Duration(0)));
  while (!world.Broken()) {
    if (world.RunUntil([&] { return world.time.now() >= settled && AllWell(world); }, std::chrono::seconds(2))) break;
    if (world.Broken()) return;
    if (world.time.now() >= end - limit + std::chrono::seconds(30)) world.Mute();
    if (world.time.now() >= end)
      return world.checker.Stuck(world.time.now(), "not well " + FormatDuration(limit) + " after everything was healed");
    for (int place = 0; place <= world.data(); ++place) {
      if (!world.AgentRuns(place)) world.StartMachine(place, false);
    }
    FollowAdvice(world);
  }
  // And it stays so.
  world.RunFor(std::chrono::seconds(5));
  if (!world.Broken() && !world.Serves()) world.checker.Stuck(world.time.now(), "well for a moment only");
}

// ---- the mill ----

Options MillOptions(const Wishes& wishes) {
  Options options;
  options.seed = wishes.seed;
  options.trace = wishes.trace;
  options.data_regions = wishes.data_regions.value_or(2);
  options.gate = wishes.gate.value_or(wishes.seed % 2 == 0);
  options.length = std::chrono::seconds(1);
  options.policy.automation = Automation::kAct;
  options.policy.loss_limit = LossLimit{std::chrono::seconds(30), {64 << 20}};
  options.policy.cool_down = Duration(0);
  return options;
}

/// A region is lost, replaced, comes back, is rejoined: and the other way round.
void RunMill(World& world) {
  world.StartAll();
  if (!world.RunUntil([&] { return world.Healthy(0); }, std::chrono::seconds(60)))
    return world.checker.Stuck(world.time.now(), "the service was not founded");
  int primary = 0;
  for (int round = 0; round < kFailoversOfAMill && !world.Broken(); ++round) {
    world.RunFor(milliseconds(1 + world.dice.Below(400)));
    const std::uint64_t before = world.failovers();
    world.KillMachine(primary);
    if (!world.RunUntil([&] { return world.failovers() > before && world.Serves(); }, std::chrono::seconds(60)))
      return world.checker.Stuck(world.time.now(), "a lost region was not replaced");
    const int lost = primary;
    while (!world.At(primary).server->CanCommit()) primary = (primary + 1) % world.data();
    world.StartMachine(lost, true);
    const Duration end = world.time.now() + std::chrono::seconds(60);
    while (!world.RunUntil([&] { return world.Healthy(primary) && !world.Busy(); }, milliseconds(300))) {
      if (world.Broken()) return;
      if (world.time.now() > end) return world.checker.Stuck(world.time.now(), "a region that came back was not rejoined");
      if (!world.Busy()) FollowAdvice(world);
    }
  }
}

// ---- outages that must not be felt ----

Options OutageOptions(const Wishes& wishes) {
  Options options = StormOptions(wishes);
  options.other_length.reset();
  options.policy.failover_after = Duration(0);
  return options;
}

void RunOutage(World& world) {
  world.StartAll();
  if (!world.RunUntil([&] { return world.Healthy(0); }, std::chrono::seconds(60)))
    return world.checker.Stuck(world.time.now(), "the service was not founded");
  // Candidates have sat out their start-up waits, and have heard of the epoch.
  world.RunFor(std::chrono::seconds(30) + world.dice.Between(Duration(0), world.options.length));
  const Epoch epoch = world.Item()->epoch;
  const Duration d = world.options.length * static_cast<int>(2 + world.dice.Below(8));
  const bool store = world.dice.Chance(0.5);
  const int how = static_cast<int>(world.dice.Below(3));
  std::string story;
  if (store) {
    story = how == 0 ? "the store is down" : how == 1 ? "the store stands still" : "the primary does not reach the store";
    if (how == 0) world.KillAgent(world.witness());
    if (how == 1) world.FreezeMachine(world.witness(), d);
    if (how == 2) world.network.Link(0, world.witness()).cut = world.network.Link(world.witness(), 0).cut = true;
  } else {
    story = how == 0   ? "the candidates' agents are dead"
            : how == 1 ? "the candidates' agents stand still"
                       : "the primary does not reach the candidates";
    for (int place = 1; place < world.data(); ++place) {
      if (how == 0) world.KillAgent(place);
      if (how == 1) world.FreezeAgent(place, d);
      if (how == 2) world.network.Link(0, place).cut = world.network.Link(place, 0).cut = true;
    }
  }
  world.Note(story + " for " + FormatDuration(d));
  const bool fenced = world.RunUntil([&] { return !world.At(0).server->CanCommit(); }, d);
  if (world.Broken()) return;
  if (fenced) return world.checker.FencedWithoutNeed(world.time.now(), story + ", and the primary accepts no commits");
  world.network.HealAll();
  for (int place = 1; place <= world.data(); ++place) world.StartMachine(place, false);
  MakePeace(world, std::chrono::minutes(4));
  if (!world.Broken() && (world.Item()->epoch != epoch || !world.Healthy(0)))
    world.checker.FencedWithoutNeed(world.time.now(), story + ", and another epoch began");
}

// ---- one of them ----

std::optional<Mode> ParseMode(std::string_view text) {
  for (const Mode mode : {Mode::kStorm, Mode::kMill, Mode::kOutage}) {
    if (text == ToString(mode)) return mode;
  }
  return std::nullopt;
}

const char* ToString(Mode mode) {
  switch (mode) {
    case Mode::kStorm: return "storm";
    case Mode::kMill: return "mill";
    case Mode::kOutage: return "outage";
  }
  return "storm";
}

Outcome Run(Mode mode, const Wishes& wishes) {
  Outcome outcome;
  outcome.seed = wishes.seed;
  SeedRandomBytes(wishes.seed);
  Options options = mode == Mode::kStorm ? StormOptions(wishes) : mode == Mode::kMill ? MillOptions(wishes) : OutageOptions(wishes);
  options.bug = wishes.bug;
  World world(options);
  try {
    if (mode == Mode::kStorm) RunStorm(world, wishes);
    if (mode == Mode::kMill) RunMill(world);
    if (mode == Mode::kOutage) RunOutage(world);
  } catch (const std::exception& problem) {
    world.checker.Stuck(world.time.now(), std::string("an exception: ") + problem.what());
  }
  outcome.violation = world.checker.violation();
  outcome.failovers = world.failovers();
  outcome.switchovers = world.switchovers();
  for (int place = 0; place < world.data(); ++place)
    outcome.promotions += static_cast<std::uint64_t>(world.At(place).server->promotions);
  outcome.acknowledged = world.checker.acknowledged();
  outcome.lost = world.checker.lost();
  outcome.steps = world.time.steps();
  outcome.virtual_time = world.time.now();
  outcome.fingerprint = world.fingerprint() ^ (world.time.steps() << 1U) ^ world.checker.acknowledged();
  if (wishes.trace) {
    for (const std::string& line : world.trace()) outcome.told += line + "\n";
    outcome.told += world.Picture() + "\n";
  }
  return outcome;
}

}  // namespace lifeboat::simulation
