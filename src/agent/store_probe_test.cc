#include "agent/store_probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fakes/simulation.h"

namespace lifeboat::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(StoreWriteFinding, SaysWhetherItWroteWhetherItCouldNotOrWhetherNobodyKnows) {
  const Json good = StoreWriteFinding(Done(), 3ms, 2s);
  EXPECT_EQ(TextAt(good, "level"), "ok");
  EXPECT_THAT(TextAt(good, "what"), HasSubstr("takes durable writes: one took 3 ms"));
  const Json full = StoreWriteFinding(Fail("store '/s' cannot write: disk full", "make free space"), 3ms, 2s);
  EXPECT_EQ(TextAt(full, "level"), "fault");
  EXPECT_THAT(TextAt(full, "what"), HasSubstr("takes no durable write, so nobody could take over: store '/s' cannot write"));
  EXPECT_EQ(TextAt(full, "hint"), "make free space");
  const Json unknown = StoreWriteFinding(UnknownOutcome("no answer"), 2s, 2s);
  EXPECT_EQ(TextAt(unknown, "level"), "fault");
  EXPECT_THAT(TextAt(unknown, "what"), HasSubstr("is unknown: none was confirmed within 2 s"));
}

class CheckOfTheStore : public ::testing::Test {
 protected:
  CheckOfTheStore() {
    sim_.StartAll();
    EXPECT_TRUE(sim_.RunUntil([&] { return sim_.Healthy(sim_.east); }, 30s)) << sim_.Picture();
    sim_.time.RunFor(5s);
  }
  std::string CheckText(const RegionName& region) { return sim_.Ask(region, "check", Json::object())->dump(); }
  Simulation sim_;
};

TEST_F(CheckOfTheStore, WritesOneRecordOfItsOwnAndNothingElse) {
  const std::string before = sim_.store.ValueOf("orders/lease").value_or("");
  EXPECT_THAT(CheckText(sim_.west), HasSubstr("the store takes durable writes"));
  const std::string first = sim_.store.ValueOf("orders/check/us-west-2").value_or("");
  EXPECT_FALSE(first.empty());
  sim_.time.RunFor(1s);
  CheckText(sim_.west);
  EXPECT_NE(sim_.store.ValueOf("orders/check/us-west-2"), first);
  EXPECT_EQ(sim_.store.Read("orders/check").records.size(), 1u);
  EXPECT_EQ(sim_.Item()->epoch, Epoch{1});
}

TEST_F(CheckOfTheStore, IsAFaultWhileItsDiskIsFullThoughItAnswersAndRenews) {
  ASSERT_TRUE(FlagAt(*sim_.Ask(sim_.west, "check", Json::object()), "ready")) << CheckText(sim_.west);
  sim_.store.full = true;
  sim_.time.RunFor(10s);
  ASSERT_TRUE(sim_.Server(sim_.east).CanCommit()) << "renewals are volatile";
  const auto seen = sim_.Ask(sim_.west, "check", Json::object());
  EXPECT_FALSE(FlagAt(*seen, "ready"));
  EXPECT_THAT(seen->dump(),
              HasSubstr("takes no durable write, so nobody could take over: the store cannot write: no space left on device"));
  sim_.store.full = false;
  EXPECT_TRUE(FlagAt(*sim_.Ask(sim_.west, "check", Json::object()), "ready"));
}

TEST_F(CheckOfTheStore, SaysUnknownWhereTheStoreDoesNotConfirmIt) {
  sim_.machines[sim_.west].run->store->lose_answers = 1;
  EXPECT_THAT(CheckText(sim_.west), HasSubstr("whether the store takes durable writes is unknown"));
}

TEST_F(CheckOfTheStore, IsNotTriedWhileTheStoreIsAway) {
  sim_.KillAgent(sim_.witness);
  sim_.time.RunFor(1500ms);
  EXPECT_THAT(CheckText(sim_.west), Not(HasSubstr("durable write")));
}

}  // namespace
}  // namespace lifeboat::testing
