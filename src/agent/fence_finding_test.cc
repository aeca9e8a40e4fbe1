#include "agent/fence_finding.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lifeboat {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class FenceLevelOfCheck : public ::testing::Test {
 protected:
  FenceLevelOfCheck() {
    region_.name = RegionName("us-east-1");
    region_.database = DatabaseSettings{};
  }
  void Configure(FenceFailure on_failure) { region_.fence = FenceSettings{{"/usr/local/sbin/stop"}, 30s, on_failure}; }
  Json Line(const std::string& guard, const Json& external) {
    const Json said = {{"fence", guard}, {"gate", "open"}};
    return FenceFinding(region_, said, external);
  }
  static std::string What(const Json& line) { return TextAt(line, "what"); }
  static bool Ok(const Json& line) { return TextAt(line, "level") == "ok"; }

  RegionSettings region_;
  const Json could_ = {{"us-west-2", ""}};
};

TEST_F(FenceLevelOfCheck, IsWhatTheGuardSaysWhereThereIsNoExternalFence) {
  EXPECT_EQ(What(Line("gate and guard", nullptr)), "fence level in force in 'us-east-1': gate and guard; the gate is open");
  EXPECT_TRUE(Ok(Line("gate and guard", nullptr)));
  EXPECT_EQ(What(Line("guard", nullptr)), "fence level in force in 'us-east-1': guard");
  EXPECT_TRUE(Ok(Line("guard", nullptr)));
  EXPECT_EQ(What(Line("none", nullptr)), "fence level in force in 'us-east-1': none");
  EXPECT_FALSE(Ok(Line("none", nullptr)));
}

TEST_F(FenceLevelOfCheck, OfAGuardThatSaysNothingIsNone) {
  EXPECT_EQ(What(FenceFinding(region_, nullptr, nullptr)), "fence level in force in 'us-east-1': none");
}

TEST_F(FenceLevelOfCheck, NamesAnExternalFenceBesideWhatIsInForceWithin) {
  Configure(FenceFailure::kWait);
  const Json line = Line("gate and guard", could_);
  EXPECT_TRUE(Ok(line));
  EXPECT_THAT(What(line), HasSubstr("gate and guard; the gate is open; an external fence, whose proof a takeover waits for"));
}

TEST_F(FenceLevelOfCheck, IsExternalWhereNothingFencesFromWithinAndATakeoverWaitsForTheProof) {
  Configure(FenceFailure::kWait);
  EXPECT_THAT(What(Line("none", could_)), HasSubstr("'us-east-1': external; "));
  EXPECT_FALSE(Ok(Line("none", could_))) << "the guard is missing all the same";
}

TEST_F(FenceLevelOfCheck, IsNoneWhereTheProofIsNotWaitedFor) {
  Configure(FenceFailure::kGoOn);
  EXPECT_THAT(What(Line("none", could_)), HasSubstr("'us-east-1': none; an external fence that is tried, and not waited for"));
}

TEST_F(FenceLevelOfCheck, IsNoneAndAFaultWhereARegionThatMayTakeOverCouldNotRunIt) {
  Configure(FenceFailure::kWait);
  const Json missing = {{"ap-south-1", ""}, {"us-west-2", "'/usr/local/sbin/stop': No such file or directory"}};
  EXPECT_THAT(What(Line("none", missing)), HasSubstr("'us-east-1': none"));
  const Json line = Line("gate and guard", missing);
  EXPECT_FALSE(Ok(line));
  EXPECT_THAT(What(line), HasSubstr("cannot be run everywhere: 'us-west-2': '/usr/local/sbin/stop': No such file"));
  EXPECT_THAT(What(line), Not(HasSubstr("ap-south-1")));
  EXPECT_THAT(TextAt(line, "hint"), HasSubstr("in every data region that may take over"));
  // Nobody was heard: unknown is never good.
  EXPECT_FALSE(Ok(Line("gate and guard", Json::object())));
  EXPECT_FALSE(Ok(Line("gate and guard", nullptr)));
}

}  // namespace
}  // namespace lifeboat
