// A rejoin of a copy whose newest timeline has the number of the primary's, and is another one: two promotions that did not know of
// each other. Its divergent WAL is saved like any other (promise G4).

#include <gtest/gtest.h>

#include "fakes/act_world.h"

namespace lifeboat::testing {
namespace {

/// us-east-1 went on as timeline 2 after it was restarted, with rows that nobody received; us-west-2 took over from timeline 1, and
/// its timeline is number 2 as well.
std::set<std::uint64_t> MakeNamesakes(ActWorld& world) {
  world.west.receiving = false;
  std::set<std::uint64_t> only_here;
  const auto row = [&] {
    EXPECT_TRUE(world.east.Commit("row"));
    only_here.insert(world.east.wal.back().id);
  };
  row();
  world.east.timeline = world.east.control_timeline = 2;
  world.east.forks[2] = world.east.End();
  row();
  row();
  world.east.Kill();
  world.east.fence = true;
  world.west.timeline = 2;
  world.west.forks[2] = world.west.End();
  world.west.Started(true);
  world.west.Commit("mark", {2}, 0, "uuid-of-epoch-2 us-west-2");
  world.west.Commit("row");
  world.shared.item.epoch = {2};
  world.shared.item.holder = kWest;
  world.shared.item.candidates.clear();
  world.names.record = {kWestHost, Epoch{2}, std::chrono::seconds(1)};
  return only_here;
}

TEST(Namesakes, WhatACopyHoldsBeyondTheEarlierOfTwoForksIsSavedBeforeItIsRejoined) {
  ActWorld world;
  const std::set<std::uint64_t> only_here = MakeNamesakes(world);
  ActProcess process(world, kEast, "run-1");
  process.Spawn(process.BeginAndRun(process.Draft(PlanKind::kRejoin)));
  ASSERT_TRUE(world.time.RunUntil([&] { return process.ended; }, 300s));
  const auto execution = Stored(world);
  ASSERT_TRUE(execution);
  EXPECT_EQ(execution->state, ExecutionState::kDone) << execution->reason << " / " << execution->waiting_for;
  for (const std::uint64_t id : only_here) EXPECT_TRUE(world.east.saved_ids.contains(id)) << id;
  EXPECT_FALSE(world.east.unsaved_loss);
  EXPECT_EQ(NumberAt(MemberAt(execution->facts, "divergence"), "commits"), only_here.size());
  EXPECT_TRUE(world.east.Streams());
  EXPECT_TRUE(world.east.FollowsHistoryOf(world.west));
}

}  // namespace
}  // namespace lifeboat::testing
