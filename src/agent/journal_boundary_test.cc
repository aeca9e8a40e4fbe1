// The executing agent dies at every boundary of the journal: of each plan's every step, before its intent stands in the
// store, after the intent, after the act, after the outcome. The steps are those of PlanOf: one that is added is covered.
// Whole agents on virtual time (tests/fakes/simulation.h), which throws when two servers can commit at one moment.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fakes/simulation.h"

namespace lifeboat::testing {
namespace {

enum class Boundary { kBeforeIntent, kAfterIntent, kAfterAct, kAfterOutcome };
constexpr Boundary kBoundaries[] = {Boundary::kBeforeIntent, Boundary::kAfterIntent, Boundary::kAfterAct, Boundary::kAfterOutcome};

const char* ToString(Boundary boundary) {
  switch (boundary) {
    case Boundary::kBeforeIntent: return "before the intent";
    case Boundary::kAfterIntent: return "after the intent";
    case Boundary::kAfterAct: return "after the act";
    case Boundary::kAfterOutcome: return "after the outcome";
  }
  return "";
}

/// Three data regions: when the agent of one that takes over is gone, there is another that can.
Settings ThreeDataRegions() {
  Settings settings = SimulationSettings();
  RegionSettings south = settings.regions[1];
  south.name = RegionName("ap-south-1");
  south.agent.host = south.database->address.host = "127.0.4.1";
  south.state_directory = "/state/ap-south-1";
  settings.regions.push_back(std::move(south));
  settings.regions[0].fence =
      FenceSettings{{"/usr/local/sbin/stop"}, 30s, FenceFailure::kWait};  // the optional step is one of them
  return settings;
}

/// What a transaction says of a step, compared with what stands in the store.
struct Words {
  bool birth = false;
  std::set<std::string> intents;
  std::set<std::string> outcomes;
};

/// One service, a client that writes all the time, and a plan whose executing agent may die.
class Story {
 public:
  explicit Story(PlanKind plan) : kind(plan), sim(plan == PlanKind::kFailover ? ThreeDataRegions() : SimulationSettings()) {
    for (const RegionSettings& region : sim.settings.regions) sim.StartAgent(region.name);
    Write();
  }
  ~Story() { over_ = true; }

  /// Up to the moment before the plan begins.
  [[nodiscard]] bool Prepare() {
    const std::size_t standbys = kind == PlanKind::kFailover ? 2 : 1;
    const auto ready = [&] {
      const auto item = sim.Item();
      return item && item->candidates.size() == standbys && sim.Server(sim.east).CanCommit() && Routed();
    };
    if (!sim.RunUntil(ready, 30s)) return false;
    sim.time.RunFor(3s);
    if (kind != PlanKind::kRejoin) return true;
    sim.network.cut_links.insert({sim.east, sim.west});  // the last rows do not arrive: there is something to salvage
    sim.time.RunFor(100ms);
    sim.KillRegion(sim.east);
    sim.network.cut_links.clear();
    if (!sim.RunUntil([&] { return sim.Server(sim.west).CanCommit() && !Current(); }, 60s)) return false;
    sim.StartRegion(sim.east);
    sim.time.RunFor(5s);
    acknowledged.clear();  // what the lost region had alone is the failover's loss
    before_ = sim.LastExecution();
    return true;
  }
  void Begin() {
    for (auto& [name, machine] : sim.machines) {
      if (machine.run) Watch(name);
    }
    switch (kind) {
      case PlanKind::kFailover: sim.KillRegion(sim.east); break;
      case PlanKind::kSwitchover: Order("switchover", Json{{"to", "us-west-2"}, {"by", "test"}}); break;
      case PlanKind::kRejoin: Order("rejoin", Json{{"region", "us-east-1"}, {"by", "test"}}); break;
    }
  }

  // ---- looking ----
  [[nodiscard]] bool Current() const { return sim.store.ValueOf("orders/current").has_value(); }
  /// The newest execution of this story's plan.
  [[nodiscard]] std::optional<Execution> Last() const {
    auto last = sim.LastExecution();
    return last && before_ && last->id == before_->id ? std::nullopt : last;
  }
  [[nodiscard]] bool Routed() const {
    const FakeServer* writable = sim.Writable();
    return writable && sim.names.record.address == writable->host;
  }
  [[nodiscard]] bool Serves() const {
    const FakeServer* writable = sim.Writable();
    return writable && writable->CanCommit() && Routed() && sim.Item()->holder == writable->region;
  }
  [[nodiscard]] bool Ended() const { return Last() && IsEnded(Last()->state) && !Current(); }

  const PlanKind kind;
  Simulation sim;
  std::set<std::uint64_t> acknowledged;

  // ---- the death ----
  std::string step;
  Boundary boundary = Boundary::kBeforeIntent;
  bool armed = false;
  RegionName dead;                    ///< whose agent has died
  std::map<std::string, Words> seen;  ///< by region: of all transactions

 private:
  /// A row every few milliseconds on whatever server takes it.
  void Write() {
    for (const auto& server : sim.servers.all()) {
      if (server->CanCommit() && server->Commit("row")) acknowledged.insert(server->wal.back().id);
    }
    sim.time.At(sim.time.now() + 20ms, [this] {
      if (!over_) Write();
    });
  }
  void Order(const std::string& method, Json parameters) {
    Simulation::Run& run = *sim.machines.at(sim.west).run;
    (void)sim.time.Start(run.io, run.agent->Handle(method, std::move(parameters)));
  }
  void Watch(const RegionName& name) {
    FakeStore& store = *sim.machines.at(name).run->store;
    store.before_commit = [this, name](const Transaction& t) {
      on_its_way_[name] = Read(t);
      const Words& words = on_its_way_[name];
      Words& all = seen[name.text];
      all.birth |= words.birth;
      all.intents.insert(words.intents.begin(), words.intents.end());
      all.outcomes.insert(words.outcomes.begin(), words.outcomes.end());
      if (Is(Boundary::kBeforeIntent) && Intends(words)) Die(name);
      if (Is(Boundary::kAfterAct) && words.outcomes.contains(step)) Die(name);
    };
    store.after_commit = [this, name](const Transaction&) {
      const Words words = std::exchange(on_its_way_[name], {});
      if (Is(Boundary::kAfterIntent) && Intends(words)) Die(name);
      if (Is(Boundary::kAfterOutcome) && words.outcomes.contains(step)) Die(name);
    };
  }
  [[nodiscard]] bool Is(Boundary b) const { return armed && dead.text.empty() && boundary == b; }
  /// A plan's first step may be done by the transaction that begins it: that is its intent then.
  [[nodiscard]] bool Intends(const Words& words) const {
    return words.intents.contains(step) || (words.birth && PlanOf(kind).steps.front().name == step && kind == PlanKind::kFailover);
  }
  [[nodiscard]] Words Read(const Transaction& transaction) const {
    Words words;
    for (const auto& put : transaction.puts) {
      if (!put.key.starts_with("orders/executions/")) continue;
      const auto execution = ExecutionFromJson(*ParseJson(put.value, put.key));
      if (!execution.ok() || execution->kind != kind) continue;
      const auto stood = sim.store.ValueOf(put.key);
      words.birth = !stood;
      std::optional<Execution> before;
      if (stood) before = *ExecutionFromJson(*ParseJson(*stood, put.key));
      for (const StepRecord& record : execution->steps) {
        const StepState was = before ? before->Find(record.name)->state : StepState::kPending;
        if (record.state == was) continue;
        if (record.state == StepState::kIntended) words.intents.insert(record.name);
        if (record.state == StepState::kDone) words.outcomes.insert(record.name);
      }
    }
    return words;
  }
  /// SIGKILL within the call: nothing more of this process runs, not even what was ready.
  void Die(const RegionName& name) {
    dead = name;
    Simulation::Run& run = *sim.machines.at(name).run;
    run.store->silent = true;
    run.io.stop();
    sim.time.Freeze(run.io);
    sim.time.Defer([this, name] { sim.KillAgent(name); });
  }

  std::map<RegionName, Words> on_its_way_;
  std::optional<Execution> before_;
  bool over_ = false;
};

/// The plan and whether the agent that dies comes back.
using Fate = std::tuple<PlanKind, bool>;

class JournalBoundary : public ::testing::TestWithParam<Fate> {
 protected:
  /// Which words the journal takes where nobody dies, by step.
  [[nodiscard]] static Words Undisturbed(PlanKind kind) {
    Story story(kind);
    EXPECT_TRUE(story.Prepare()) << story.sim.Picture();
    story.Begin();
    EXPECT_TRUE(story.sim.RunUntil([&] { return story.Serves() && story.Ended(); }, 60s)) << story.sim.Picture();
    Words all;
    for (const auto& [region, words] : story.seen) {
      all.intents.insert(words.intents.begin(), words.intents.end());
      all.outcomes.insert(words.outcomes.begin(), words.outcomes.end());
    }
    return all;
  }
  /// Every row whose commit was acknowledged is on `server`.
  static std::size_t Missing(const Story& story, const FakeServer& server) {
    std::set<std::uint64_t> there;
    for (const WalEntry& entry : server.wal) there.insert(entry.id);
    return static_cast<std::size_t>(
        std::count_if(story.acknowledged.begin(), story.acknowledged.end(), [&](std::uint64_t id) { return !there.contains(id); }));
  }

  /// One region serves, the name points there, and the execution has ended: done, or taken back with a reason.
  static void ExpectFinished(Story& story) {
    ASSERT_TRUE(story.sim.RunUntil([&] { return story.Serves() && story.Ended(); }, 120s)) << story.sim.Picture();
    const Execution last = *story.Last();
    const FakeServer& serving = *story.sim.Writable();
    if (last.state != ExecutionState::kDone) {
      // Only a switchover is taken back; then the old primary serves, and the execution says why.
      EXPECT_EQ(last.kind, PlanKind::kSwitchover) << story.sim.Picture();
      EXPECT_EQ(serving.region, story.sim.east) << story.sim.Picture();
      EXPECT_THAT(last.reason, ::testing::HasSubstr("aborted: ")) << story.sim.Picture();
    }
    if (last.state == ExecutionState::kDone && last.kind != PlanKind::kFailover) {
      // Right after it was admitted an older word of its agent may still count against it, for a moment.
      const auto follows = [&] { return story.sim.Server(last.source).Streams() && story.sim.Item()->IsCandidate(last.source); };
      EXPECT_TRUE(story.sim.RunUntil(follows, 5s)) << story.sim.Picture();
    }
    if (last.kind != PlanKind::kRejoin) {
      EXPECT_LE(serving.promotions, 1) << story.sim.Picture();
    }
    // A failover's losses are those of the region that was lost; where nothing was lost but an agent, no row is.
    if (last.kind != PlanKind::kFailover) {
      EXPECT_EQ(Missing(story, serving), 0u) << story.sim.Picture();
    }
    for (const auto& server : story.sim.servers.all()) EXPECT_FALSE(server->unsaved_loss) << story.sim.Picture();
  }
  /// Nobody may go on in its place: whoever asks is told what is waited for, and what ends the wait.
  static void ExpectNamed(Story& story, const std::string& says) {
    ASSERT_TRUE(story.Current()) << story.sim.Picture();
    for (const auto& [name, machine] : story.sim.machines) {
      if (!machine.run) continue;
      EXPECT_THAT(TextAt(machine.run->agent->Status(), "sentence"), ::testing::HasSubstr(says)) << story.sim.Picture();
    }
    // Nothing is lost while it waits: each row is on the server that took it.
    std::set<std::uint64_t> rows = story.acknowledged;
    for (const auto& server : story.sim.servers.all()) {
      for (const WalEntry& entry : server->wal) rows.erase(entry.id);
      EXPECT_FALSE(server->unsaved_loss) << story.sim.Picture();
    }
    EXPECT_TRUE(rows.empty()) << story.sim.Picture();
  }
  static void Run(PlanKind kind, bool returns, const std::string& step, Boundary boundary) {
    Story story(kind);
    ASSERT_TRUE(story.Prepare()) << story.sim.Picture();
    story.step = step;
    story.boundary = boundary;
    story.armed = true;
    story.Begin();
    ASSERT_TRUE(story.sim.RunUntil([&] { return !story.dead.empty(); }, 60s)) << story.sim.Picture();
    story.sim.time.RunFor(500ms);
    if (returns) {
      story.sim.StartAgent(story.dead);
      ExpectFinished(story);
      // Back within the lease it finishes what was begun; nothing is taken back because of it.
      EXPECT_EQ(story.Last()->state, ExecutionState::kDone) << story.sim.Picture();
      return;
    }
    // For good. Another finishes, or says what it waits for: the store's item decides who may.
    const std::string owner = "start the agent of '" + story.dead.text + "'";
    const auto named = [&] {
      for (const auto& [name, machine] : story.sim.machines) {
        if (machine.run && TextAt(machine.run->agent->Status(), "sentence").find(owner) == std::string::npos) return false;
      }
      return true;
    };
    const auto settled = [&] { return (story.Serves() && story.Ended()) || named(); };
    for (Duration waited = 0s; waited < 60s && !settled(); waited += 250ms) story.sim.time.RunFor(250ms);
    ASSERT_TRUE(settled()) << story.sim.Picture();
    // A failover has a second heir, a switchover that was not claimed its old primary.
    const bool claimed = story.sim.Item()->epoch > story.Last()->epoch || story.sim.Item()->holder == story.dead;
    const bool other = kind == PlanKind::kFailover || (kind == PlanKind::kSwitchover && !claimed);
    if (other || !named()) {
      ExpectFinished(story);
    } else {
      ExpectNamed(story, owner);
    }
  }
};

TEST_P(JournalBoundary, OfEveryStepIsSurvived) {
  const auto& [kind, returns] = GetParam();
  const Words undisturbed = Undisturbed(kind);
  int cases = 0;
  for (const Step& step : PlanOf(kind).steps) {
    EXPECT_TRUE(undisturbed.outcomes.contains(step.name)) << step.name;
    // A goal that holds already is acted on by nobody: the journal takes its outcome alone. What begins a plan stands in its birth.
    const bool intended = undisturbed.intents.contains(step.name) || step.name == PlanOf(kind).steps.front().name;
    EXPECT_TRUE(intended || step.check) << step.name;
    for (const Boundary boundary : kBoundaries) {
      if (!intended && (boundary == Boundary::kBeforeIntent || boundary == Boundary::kAfterIntent)) continue;
      SCOPED_TRACE(std::string(lifeboat::ToString(kind)) + ": the agent dies at '" + step.name + "' " + ToString(boundary) +
                   (returns ? " and returns" : " for good"));
      try {
        Run(kind, returns, step.name, boundary);
      } catch (const std::exception& problem) {
        ADD_FAILURE() << problem.what();
      }
      ++cases;
      if (HasFatalFailure()) return;
    }
  }
  RecordProperty("cases", cases);
}

INSTANTIATE_TEST_SUITE_P(Plans, JournalBoundary,
                         ::testing::Combine(::testing::Values(PlanKind::kFailover, PlanKind::kSwitchover, PlanKind::kRejoin),
                                            ::testing::Bool()),
                         [](const auto& fate) {
                           return std::string(lifeboat::ToString(std::get<0>(fate.param))) +
                                  (std::get<1>(fate.param) ? "Returns" : "ForGood");
                         });

}  // namespace
}  // namespace lifeboat::testing
