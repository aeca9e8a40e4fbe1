// What pgBackRest's refusals mean: a file's own damage is the backup's; trouble on the way to a store is nobody's verdict.

#include "adapters/backups/restore_pgbackrest.h"

#include <gtest/gtest.h>

namespace lifeboat::backup {
namespace {

constexpr const char* kLog = "2026-11-23 15:20:01.001 P00   WARN: something of no weight\n2026-11-23 15:20:01.002 P00  ERROR: ";

TEST(PgBackRestRefusal, DamageIsTheBackupsWhereverItLies) {
  for (const bool in_s3 : {false, true}) {
    EXPECT_EQ(JudgeRefusal(std::string(kLog) + "[026]: error restoring '/pg/x': actual checksum 'a' does not match expected", in_s3)
                  .fault,
              9);
    EXPECT_EQ(JudgeRefusal(
                  std::string(kLog) + "[055]: raised from local-1 shim protocol: unable to open missing file '/x' for read", in_s3)
                  .fault,
              7);
    EXPECT_EQ(JudgeRefusal(std::string(kLog) + "[095]: unable to flush: cipher final failed", in_s3).fault, 20);
    EXPECT_EQ(JudgeRefusal(std::string(kLog) + "[064]: unable to write '/s/data/x': [28] No space left on device", in_s3).fault,
              49);
    EXPECT_EQ(JudgeRefusal(std::string(kLog) + "[029]: unexpected eof in compressed data", in_s3).fault, 31);
  }
}

TEST(PgBackRestRefusal, TroubleWithAStoreIsNoVerdict) {
  for (const char* words : {"[039]: HTTP request failed with 403 (Forbidden):",
                            "[049]: unable to connect to 'localhost:443': [111]", "[066]: timeout after 60000ms waiting",
                            "[101]: TLS error [1:167772294] certificate verify failed", "[103]: unable to find a valid repository",
                            "[075]: no backup set found to restore", "[042]: unable to read", "[122]: unexpected error"}) {
    EXPECT_EQ(JudgeRefusal(std::string(kLog) + words, true).fault, 0) << words;
    EXPECT_EQ(JudgeRefusal(std::string(kLog) + words, false).fault, 31) << words;
  }
  EXPECT_EQ(JudgeRefusal("", true).fault, 0) << "killed without a word";
}

TEST(PgBackRestRefusal, TheLastErrorIsToldWithoutItsDate) {
  EXPECT_EQ(JudgeRefusal(std::string(kLog) + "[055]: first\n2026 P00  ERROR: [026]: second\nbye\n", false).message,
            "ERROR: [026]: second");
  EXPECT_EQ(JudgeRefusal("Segmentation fault", false).message, "Segmentation fault");
}

}  // namespace
}  // namespace lifeboat::backup
