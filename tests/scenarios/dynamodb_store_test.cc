// The store is a table in DynamoDB, one over two regions with strong consistency: the loss of a region takes its copy of the table
// with it, and DynamoDB as a whole may fall silent.

#include <gtest/gtest.h>

#include <filesystem>

#include "lab/store_table.h"
#include "support/lab_fixture.h"

namespace lifeboat::testing_support {
namespace {

class DynamoDbStoreLab : public LabFixture {
 protected:
  static lab::LabKnobs WithDynamoDb() {
    lab::LabKnobs knobs = Quick();
    knobs.lease = 3s;
    knobs.store = StoreKind::kDynamoDb;
    return knobs;
  }
  /// The words of `check`, whatever it found.
  std::string Check() const { return Cli({"check"}).out; }
  std::string PathAt(const std::string& region) const { return TextAt(MemberAt(StatusOf(region), "lease"), "path"); }
};

TEST_F(DynamoDbStoreLab, ARegionLostWithItsCopyOfTheTableIsReplaced) {
  // given
  ASSERT_NO_FATAL_FAILURE(BringUp(WithDynamoDb()));
  ASSERT_NO_FATAL_FAILURE(StartClients());
  EXPECT_NE(Check().find("the store's table answers in all 2 AWS regions"), std::string::npos) << Check();
  const WallTime since = ReadWallClock();

  // when: the primary's region dies at one instant, and DynamoDB answers nobody there any more
  KillRegion(kEast);
  ASSERT_EQ(lab::SilentStoreTables(lab()), std::vector<std::string>{kEast});
  const auto failover = lab::AwaitFailover(lab(), since, 30s, [](const std::string&) { return true; });

  // then: the lease in the other region's copy of the table decides
  ASSERT_TRUE(failover) << failover.error().Text();
  EXPECT_EQ(failover->target.text, kWest);
  ASSERT_NO_FATAL_FAILURE(AwaitRowsOn(kWest));
  EXPECT_NE(Check().find("the store's table in 'us-east-1' does not answer"), std::string::npos) << Check();

  // when: it is back, then all is whole again, and no incarnation has begun
  StartRegion(kEast);
  EXPECT_TRUE(lab::SilentStoreTables(lab()).empty());
  Rejoin(kEast);
  EXPECT_EQ(NumberAt(MemberAt(StatusOf(kWest), "lease"), "incarnation"), 1U);
  ASSERT_NO_FATAL_FAILURE(Conclude());
}

TEST_F(DynamoDbStoreLab, SilentInOneRegionOrInAllMovesNothingSinceTheOtherOneAndThenThePromisesCarryTheLease) {
  // given
  ASSERT_NO_FATAL_FAILURE(BringUp(WithDynamoDb()));
  ASSERT_NO_FATAL_FAILURE(StartClients());
  const int postmaster = PidOf(kEast, "postmaster");
  const WallTime since = ReadWallClock();

  // when: DynamoDB keeps silence in the region that is asked first
  Freeze(kEast, "dynamodb");

  // then: the lease is renewed through the other one
  EXPECT_FALSE(Eventually([&] { return !TakesWrites(kEast); }, 4s)) << "fenced for the want of one region";
  EXPECT_TRUE(Eventually([&] { return PathAt(kEast) == "store and promises"; })) << StatusOf(kEast).dump();

  // when: in both, for longer than a lease
  Freeze(kWest, "dynamodb");

  // then: the primary says what carries it now, and is not fenced
  ASSERT_TRUE(Eventually([&] { return PathAt(kEast) == "promises"; })) << StatusOf(kEast).dump();
  EXPECT_FALSE(Eventually([&] { return !TakesWrites(kEast); }, 4s)) << "a healthy primary was fenced";
  EXPECT_EQ(PidOf(kEast, "postmaster"), postmaster);

  // when: it answers again
  Thaw();

  // then: both carry it, under the same epoch and incarnation, and nothing has moved
  ASSERT_TRUE(Eventually([&] { return PathAt(kEast) == "store and promises"; })) << StatusOf(kEast).dump();
  EXPECT_EQ(EpochSeenBy(kEast), 1U);
  EXPECT_EQ(NumberAt(MemberAt(StatusOf(kEast), "lease"), "incarnation"), 1U);
  ASSERT_NO_FATAL_FAILURE(Conclude());
  EXPECT_FALSE(NewestExecution(PlanKind::kFailover, since, kWest));
}

TEST(DynamoDbStore, WhatCannotBeIsRefusedBeforeAnythingIsMade) {
  const auto said = [](StoreKind store, const char* endpoint, lab::LabPlace place) {
    lab::LabOptions options;
    options.folder = std::filesystem::temp_directory_path() / ("lifeboat-refused-" + RandomHex(4));
    options.program = LIFEBOAT_PROGRAM;
    options.place = place;
    options.knobs.store = store;
    options.knobs.store_endpoint = endpoint;
    const auto up = lab::Up(
        options, [](const std::string&) {}, [] { return true; });
    EXPECT_FALSE(std::filesystem::exists(options.folder));
    EXPECT_FALSE(up.ok());
    if (up.ok()) return std::string("it is up");
    EXPECT_EQ(up.error().retry, Retry::kRefused);
    return up.error().Text();
  };
  EXPECT_NE(said(StoreKind::kEtcd, "http://127.0.0.1:9", lab::LabPlace::kLoopback).find("add --store dynamodb"), std::string::npos);
  EXPECT_NE(said(StoreKind::kDynamoDb, "", lab::LabPlace::kNamespaces).find("--network loopback"), std::string::npos);
}

}  // namespace
}  // namespace lifeboat::testing_support
