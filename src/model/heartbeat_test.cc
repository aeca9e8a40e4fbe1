// Stories of beats that were heard of, rows that copies show, and what a failover lost.

#include "model/heartbeat.h"

#include <gtest/gtest.h>

namespace lifeboat {
namespace {

const RegionName kEast("us-east-1");
constexpr std::int64_t kNoon = 1'700'000'000'000'000'000;

/// Beat `sequence`, one a second by the database's clock.
Heartbeat Beat(std::uint64_t sequence, std::uint64_t epoch = 3) {
  return {kEast, sequence, {epoch}, {kNoon + static_cast<std::int64_t>(sequence) * 1'000'000'000}, "0/" + std::to_string(sequence)};
}
Instant At(Duration since_boot) { return {since_boot, since_boot}; }

TEST(HeartbeatBook, ARowIsAsOldAsThisAgentsOwnClocksSay) {
  HeartbeatBook book;
  book.Note(Beat(7), At(100s));
  book.Note(Beat(8), At(101s));
  book.Note(Beat(9), At(102s));
  // A copy shows beat 8: it had everything until that was written, and what came after is what it would lose.
  EXPECT_EQ(book.WholeAt(Beat(8)), At(101s));
  EXPECT_EQ(book.Newest(kEast)->beat.sequence, 9u);
}

TEST(HeartbeatBook, TheDatabasesClockSaysNothingWhereTheBeatWasHeardOf) {
  // Given a clock that was set forward by an hour between two beats.
  HeartbeatBook book;
  book.Note(Beat(7), At(100s));
  Heartbeat late = Beat(8);
  late.at.ns += Duration(1h).count();
  book.Note(late, At(101s));
  // Then beat 7 is a second older, and not an hour.
  EXPECT_EQ(book.WholeAt(Beat(7)), At(100s));
}

TEST(HeartbeatBook, ABeatBetweenTwoThatWereHeardOfCountsAsTheOlderOne) {
  HeartbeatBook book;
  book.Note(Beat(7), At(100s));
  book.Note(Beat(11), At(104s));
  EXPECT_EQ(book.WholeAt(Beat(9)), At(100s)) << "an age is never understated";
  EXPECT_EQ(book.WholeAt(Beat(12)), At(104s)) << "newer than all that was heard of: at least as whole as the newest";
}

TEST(HeartbeatBook, WhatIsOlderThanAllThatWasHeardOfIsReckonedByTheDatabasesClock) {
  HeartbeatBook book;
  book.Note(Beat(40), At(100s));
  EXPECT_EQ(book.WholeAt(Beat(10)), At(70s));
}

TEST(HeartbeatBook, WhatNobodyHeardOfIsUnknown) {
  HeartbeatBook book;
  EXPECT_FALSE(book.WholeAt(Beat(10)));
  book.Note({RegionName("us-west-2"), 1, {1}, {kNoon}, ""}, At(1s));
  EXPECT_FALSE(book.WholeAt(Beat(10))) << "another region's beats say nothing";
}

TEST(HeartbeatBook, WhatIsToldTwiceKeepsTheNearerMoment) {
  HeartbeatBook book;
  book.Note(Beat(7), At(95s));  // by way of another agent
  book.Note(Beat(7), At(99s));  // by the writer's
  book.Note(Beat(7), At(90s));
  EXPECT_EQ(book.WholeAt(Beat(7)), At(99s));
}

TEST(HeartbeatBook, ALaterEpochBeginsAnew) {
  // Given beats that a failover lost, whose numbers are given again after the way back.
  HeartbeatBook book;
  for (std::uint64_t n = 1; n <= 9; ++n) book.Note(Beat(n, 3), At(100s + std::chrono::seconds(n)));
  book.Note(Beat(6, 5), At(500s));
  EXPECT_EQ(book.WholeAt(Beat(6, 5)), At(500s));
  EXPECT_EQ(book.Newest(kEast)->beat.epoch, (Epoch{5}));
  // Then late word of the old epoch changes nothing.
  book.Note(Beat(12, 3), At(501s));
  EXPECT_EQ(book.Newest(kEast)->beat.sequence, 6u);
}

TEST(HeartbeatBook, ItsMemoryIsBounded) {
  HeartbeatBook book;
  for (std::uint64_t n = 1; n <= 3 * HeartbeatBook::kMost; ++n) book.Note(Beat(n), At(std::chrono::seconds(n)));
  EXPECT_EQ(book.WholeAt(Beat(1)), At(1s)) << "forgotten, and reckoned from the oldest that is kept";
  EXPECT_EQ(book.WholeAt(Beat(3 * HeartbeatBook::kMost)), At(std::chrono::seconds(3 * HeartbeatBook::kMost)));
}

TEST(MeasuredLoss, IsWhatIsMissingOfTheKnownAndTheTimeThatNobodySaw) {
  // Given beat 50 as the last that was heard of, 1.5 s before the region fell silent; the new writer holds beat 47.
  const LastBeats known{{Beat(50), At(100s)}, 1500ms};
  const MeasuredLoss loss = MeasureLoss(known, Beat(47));
  EXPECT_EQ(loss.time, Duration(4500ms));
  EXPECT_EQ(loss.beats, 3u);
  EXPECT_NE(loss.basis.find("47"), std::string::npos) << loss.basis;
  EXPECT_EQ(ToJson(loss)["state"], "bounded");
}

TEST(MeasuredLoss, WhereTheLastKnownBeatSurvivedOnlyTheUnseenTimeCounts) {
  const LastBeats known{{Beat(50), At(100s)}, 1500ms};
  EXPECT_EQ(MeasureLoss(known, Beat(50)).time, Duration(1500ms));
  EXPECT_EQ(MeasureLoss(known, Beat(50)).beats, 0u);
  // One more than anybody had heard of survived.
  EXPECT_EQ(MeasureLoss(known, Beat(51)).time, Duration(500ms));
  EXPECT_EQ(MeasureLoss(known, Beat(51)).beats, 0u);
}

TEST(MeasuredLoss, OfAWriterThatWroteOnIsUnknownAndNotZero) {
  // Given a copy that shows a beat from long after the region was found silent: cut off from the agents, and not from its copy.
  const MeasuredLoss cut_off = MeasureLoss(LastBeats{{Beat(50), At(100s)}, 1500ms}, Beat(60));
  EXPECT_FALSE(cut_off.time) << cut_off.basis;
  EXPECT_FALSE(cut_off.beats);
  // And one that was not found silent at all: a person ordered the failover.
  for (const std::uint64_t survivor : {47U, 50U, 60U}) {
    const MeasuredLoss ordered = MeasureLoss(LastBeats{{Beat(50), At(100s)}, std::nullopt}, Beat(survivor));
    EXPECT_FALSE(ordered.time) << ordered.basis;
    EXPECT_EQ(ToJson(ordered)["state"], "unknown");
    EXPECT_EQ(ordered.beats, survivor == 47U ? std::optional<std::uint64_t>(3) : std::nullopt);
  }
}

TEST(MeasuredLoss, UnknownIsNeverZero) {
  EXPECT_FALSE(MeasureLoss(std::nullopt, Beat(50)).time);
  EXPECT_FALSE(MeasureLoss(std::nullopt, Beat(50)).beats);
  const LastBeats known{{Beat(50), At(100s)}, 1500ms};
  EXPECT_FALSE(MeasureLoss(known, std::nullopt).time);
  EXPECT_TRUE(ToJson(MeasureLoss(known, std::nullopt))["seconds"].is_null());
  EXPECT_EQ(ToJson(MeasureLoss(known, std::nullopt))["state"], "unknown");
}

TEST(MeasuredLoss, ASurvivorOfAnEarlierEpochLosesAllThatCameAfterIt) {
  const LastBeats known{{Beat(50, 4), At(100s)}, 0ns};
  const MeasuredLoss loss = MeasureLoss(known, Beat(48, 3));
  EXPECT_EQ(loss.time, Duration(2s));
  EXPECT_EQ(loss.beats, 2u);
}

TEST(Heartbeat, ArrivesAsItWasSent) {
  const auto back = HeartbeatFromJson(ToJson(Beat(7)));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(*back, Beat(7));
  EXPECT_FALSE(HeartbeatFromJson(Json::object()).ok());
  EXPECT_FALSE(HeartbeatFromJson({{"region", "x"}, {"sequence", 0}, {"at_ns", 1}}).ok()) << "no beat has the number 0";
}

}  // namespace
}  // namespace lifeboat
