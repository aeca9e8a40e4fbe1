// The recovery point: never understated, and unknown where it was not measured.

#include "observe/position_ring.h"

#include <gtest/gtest.h>

namespace lifeboat {
namespace {

Instant At(Duration d) { return {1000s + d, 1000s + d}; }

/// A position every 250 ms for ten seconds, 1000 bytes each.
PositionRing Steady() {
  PositionRing ring;
  for (int entry = 0; entry <= 40; ++entry) ring.Add({7}, At(entry * 250ms), Lsn{10'000u + 1000u * static_cast<unsigned>(entry)});
  return ring;
}

TEST(PositionRing, AnEmptyOneKnowsNothing) {
  const PositionRing ring;
  EXPECT_FALSE(ring.LagOf({1}, At(0s), 2s));
  EXPECT_EQ(ring.LossAt({1}, At(0s)).kind, LossEstimate::Kind::kUnknown);
  EXPECT_FALSE(ring.Newest());
}

TEST(PositionRing, ACaughtUpStandbyIsAsOldAsTheNewestQuestion) {
  const PositionRing ring = Steady();
  const auto lag = ring.LagOf({50'000}, At(10s + 100ms), 2s);
  ASSERT_TRUE(lag);
  EXPECT_EQ(lag->time, 100ms);
  EXPECT_EQ(lag->backlog.bytes, 0u);
}

TEST(PositionRing, LagCountsFromTheNewestPositionThatIsCovered) {
  const PositionRing ring = Steady();
  const auto lag = ring.LagOf({41'999}, At(10s), 2s);  // covers 41'000, asked at 7.75 s
  ASSERT_TRUE(lag);
  EXPECT_EQ(lag->time, 2250ms);
  EXPECT_EQ(lag->backlog.bytes, 50'000u - 41'999u);
  // At n-1, n, n+1 of a position.
  EXPECT_EQ(ring.LagOf({40'999}, At(10s), 2s)->time, 2500ms);
  EXPECT_EQ(ring.LagOf({41'000}, At(10s), 2s)->time, 2250ms);
  EXPECT_EQ(ring.LagOf({41'001}, At(10s), 2s)->time, 2250ms);
}

TEST(PositionRing, ARingThatStoppedIsUnknownAndNotZero) {
  const PositionRing ring = Steady();
  EXPECT_TRUE(ring.LagOf({50'000}, At(12s), 2s));
  EXPECT_FALSE(ring.LagOf({50'000}, At(12s + 1ns), 2s));
}

TEST(PositionRing, AStandbyBehindEverythingThatWasSeenIsUnknown) {
  const PositionRing ring = Steady();
  EXPECT_FALSE(ring.LagOf({9'999}, At(10s), 2s));
  EXPECT_EQ(ring.LossAt({9'999}, At(13s)).kind, LossEstimate::Kind::kUnknown);
}

TEST(PositionRing, ALossIsBoundedByTheEndOfTheLeaseAndTheHighestRate) {
  const PositionRing ring = Steady();
  const LossEstimate loss = ring.LossAt({50'000}, At(13s));
  EXPECT_EQ(loss.kind, LossEstimate::Kind::kBounded);
  EXPECT_EQ(loss.time, 3s);
  EXPECT_EQ(loss.bytes.bytes, 12'000u);  // 4000 bytes a second for three unseen seconds
  const LossEstimate behind = ring.LossAt({48'000}, At(13s));
  EXPECT_EQ(behind.time, 3500ms);
  EXPECT_EQ(behind.bytes.bytes, 14'000u);
}

TEST(PositionRing, ANewEpochBeginsAnew) {
  PositionRing ring = Steady();
  ring.Add({8}, At(11s), {100});
  EXPECT_EQ(ring.Newest(), Lsn{100});
  EXPECT_EQ(ring.LossAt({99}, At(12s)).kind, LossEstimate::Kind::kUnknown);
}

TEST(PositionRing, AnAnswerThatWasOvertakenSaysNothing) {
  PositionRing ring = Steady();
  ring.Add({7}, At(11s), {30'000});
  EXPECT_EQ(ring.Newest(), Lsn{50'000});
}

TEST(PositionRing, AnIdlePrimaryIsAsFreshAsItsLastQuestion) {
  PositionRing ring;
  for (int entry = 0; entry < 100; ++entry) ring.Add({7}, At(entry * 250ms), {500});
  EXPECT_EQ(ring.LagOf({500}, At(24s + 750ms), 2s)->time, 0s);
  EXPECT_EQ(ring.LossAt({500}, At(25s)).bytes.bytes, 0u);
}

TEST(PositionRing, KeepsTwentyMinutes) {
  PositionRing ring;
  for (int entry = 0; entry < 5000; ++entry) ring.Add({7}, At(entry * 250ms), {1000u + static_cast<unsigned>(entry)});
  EXPECT_FALSE(ring.LagOf({1199}, At(1250s), 2s));
  EXPECT_TRUE(ring.LagOf({1200}, At(1250s), 2s));
}

}  // namespace
}  // namespace lifeboat
