#include "agent/carried_loss.h"

#include <gtest/gtest.h>

namespace lifeboat {
namespace {

TEST(CarriedLoss, ABoundIsReadBackAsItWasWritten) {
  LossEstimate loss;
  loss.kind = LossEstimate::Kind::kBounded;
  loss.time = std::chrono::seconds(2);
  loss.bytes = {4096};
  const LossEstimate read = LossFromJson(ToJson(loss));
  EXPECT_EQ(read.kind, LossEstimate::Kind::kBounded);
  EXPECT_EQ(read.time, std::chrono::seconds(2));
  EXPECT_EQ(read.bytes.bytes, 4096U);
}

TEST(CarriedLoss, ABoundThatLacksItsBytesIsUnknownAndNeverZeroBytes) {
  const LossEstimate read = LossFromJson({{"state", "bounded"}, {"seconds", 2.0}, {"bytes", nullptr}});
  EXPECT_EQ(read.kind, LossEstimate::Kind::kUnknown);
}

}  // namespace
}  // namespace lifeboat
