#include "adapters/backups/known_bad.h"

#include <gtest/gtest.h>

namespace lifeboat::backup {
namespace {

TEST(SelfTest, TellsEachFaultOfItsFixtureAndNothingElse) {
  const auto proven = ProveThatChecksCanFail();
  EXPECT_TRUE(proven.ok()) << proven.error().Text();
}

}  // namespace
}  // namespace lifeboat::backup
