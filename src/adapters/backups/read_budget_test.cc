#include "adapters/backups/read_budget.h"

#include <gtest/gtest.h>

namespace lifeboat::backup {
namespace {

using namespace std::chrono_literals;

/// Time that moves only by waiting.
struct VirtualTime {
  ReadBudget::Moment now{};
  ReadBudget Budget() {
    return ReadBudget([this] { return now; }, [this](ReadBudget::Moment until) { now = std::max(now, until); });
  }
};

TEST(ReadBudget, WithoutALimitNothingWaits) {
  VirtualTime time;
  ReadBudget budget = time.Budget();
  budget.Take(1ULL << 40);
  EXPECT_EQ(time.now, ReadBudget::Moment{});
}

TEST(ReadBudget, OverASecondExactlyTheRateIsRead) {
  VirtualTime time;
  ReadBudget budget = time.Budget();
  budget.Limit(10 << 20);
  for (int block = 0; block < 40; ++block) budget.Take(256 << 10);  // 10 MiB
  EXPECT_EQ(time.now, ReadBudget::Moment{} + 1s);
}

TEST(ReadBudget, WhatWasNotReadInAPauseIsNotCaughtUpWith) {
  VirtualTime time;
  ReadBudget budget = time.Budget();
  budget.Limit(10 << 20);
  time.now += 1h;
  for (int block = 0; block < 40; ++block) budget.Take(256 << 10);
  EXPECT_EQ(time.now, ReadBudget::Moment{} + 1h + 900ms) << "a tenth of a second may be caught up with, not an hour";
}

}  // namespace
}  // namespace lifeboat::backup
