#include "lab/bench.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace lifeboat::lab {
namespace {

TEST(Summary, TakesTheMiddleOfAnOddNumberAndTheMeanOfTheMiddleTwoOfAnEvenOne) {
  EXPECT_EQ(Summary({3}), (Json{{"n", 1}, {"min", 3.0}, {"median", 3.0}, {"max", 3.0}}));
  EXPECT_EQ(Summary({9, 1, 4}), (Json{{"n", 3}, {"min", 1.0}, {"median", 4.0}, {"max", 9.0}}));
  EXPECT_EQ(Summary({9, 1, 4, 6}), (Json{{"n", 4}, {"min", 1.0}, {"median", 5.0}, {"max", 9.0}}));
}

TEST(Usage, OfThisProcessIsReadAndOfNoneIsNotFound) {
  const auto memory = ResidentMemory(::getpid());
  ASSERT_TRUE(memory);
  EXPECT_GT(memory->bytes, 1U << 20);
  ASSERT_TRUE(ProcessorSeconds(::getpid()));
  EXPECT_EQ(ResidentMemory(0).error().retry, Retry::kNotFound);
  EXPECT_EQ(ProcessorSeconds(0).error().retry, Retry::kNotFound);
}

}  // namespace
}  // namespace lifeboat::lab
