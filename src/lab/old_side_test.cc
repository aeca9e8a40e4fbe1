#include "lab/old_side.h"

#include <gtest/gtest.h>

namespace lifeboat::lab {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

ClientRecord RecordOf(const std::vector<std::pair<double, RowFate>>& rows) {
  ClientRecord record;
  record.servers = {"127.0.0.1"};
  for (const auto& [ended, fate] : rows) {
    ClientRow row;
    row.n = record.rows.size() + 1;
    row.ended_ns = static_cast<std::int64_t>(ended * kSecond);
    row.fate = fate;
    record.rows.push_back(row);
  }
  return record;
}

TEST(OldSide, CountsWhatWasAcknowledgedAfterTheNewPrimaryTookWritesAndNothingElse) {
  const ClientRecord record = RecordOf({{9.9, RowFate::kAcknowledged},
                                        {10.5, RowFate::kAcknowledged},
                                        {12.8, RowFate::kAcknowledged},
                                        {13.2, RowFate::kAcknowledged},
                                        {13.3, RowFate::kRefused},
                                        {13.4, RowFate::kInDoubt}});
  const OldSideReport report = JudgeOldSide(record, 10 * kSecond, 13 * kSecond, 16 * kSecond);
  EXPECT_EQ(report.acknowledged, 3U);
  EXPECT_EQ(report.stale, 1U);
  EXPECT_DOUBLE_EQ(report.last_acknowledged_s, 3.2);
  EXPECT_DOUBLE_EQ(report.watched_s, 6);
}

TEST(OldSide, AFencedPrimaryShowsNone) {
  const OldSideReport report =
      JudgeOldSide(RecordOf({{9.9, RowFate::kAcknowledged}, {10.5, RowFate::kRefused}}), 10 * kSecond, 13 * kSecond, 16 * kSecond);
  EXPECT_EQ(report.acknowledged, 0U);
  EXPECT_EQ(report.stale, 0U);
  EXPECT_EQ(report.last_acknowledged_s, 0);
}

}  // namespace
}  // namespace lifeboat::lab
