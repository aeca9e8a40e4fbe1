#include "lab/accounting.h"

#include <gtest/gtest.h>

namespace lifeboat::lab {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kFault = 10'000 * kMs;

// Rows 1..old by the old server, the last one acknowledged 1 ms before the fault and each other 5 ms before the next; then
// rows by the new server from 3 s after the fault on.
ClientRecord Writer(std::uint64_t old_rows, std::uint64_t new_rows) {
  ClientRecord record;
  record.client = 1;
  record.servers = {"old", "new"};
  for (std::uint64_t n = 1; n <= old_rows; ++n) {
    const std::int64_t at = kFault - kMs - static_cast<std::int64_t>(old_rows - n) * 5 * kMs;
    record.rows.push_back({n, at - kMs, at, at, RowFate::kAcknowledged, 0});
  }
  for (std::uint64_t n = 1; n <= new_rows; ++n) {
    const std::int64_t at = kFault + (3000 + static_cast<std::int64_t>(n) * 5) * kMs;
    record.rows.push_back({old_rows + n, at - kMs, at, at, RowFate::kAcknowledged, 1});
  }
  return record;
}

ClientCheck Missing(const ClientRecord& record, const std::vector<std::uint64_t>& numbers) {
  ClientCheck check;
  check.client = record.client;
  check.acknowledged = record.Count(RowFate::kAcknowledged);
  for (const std::uint64_t n : numbers) check.missing.push_back(record.rows.at(n - 1));
  return check;
}

FailoverFault Fault(std::optional<std::uint64_t> ledger_commits) { return {"old", kFault, kFault, ledger_commits}; }

TEST(AccountForLoss, NothingMissingIsNoLoss) {
  const ClientRecord record = Writer(10, 5);
  const LossAccount account = AccountForLoss({record}, {Missing(record, {})}, Fault(std::nullopt));
  EXPECT_EQ(account.failover_rows, 0U);
  EXPECT_EQ(account.Unaccounted(), 0U);
  EXPECT_EQ(account.failover_age, Duration(0));
}

TEST(AccountForLoss, TheNewestRowsOfTheOldPrimaryAreExplainedByTheForkAndAgedFromTheFault) {
  const ClientRecord record = Writer(10, 5);
  const LossAccount account = AccountForLoss({record}, {Missing(record, {8, 9, 10})}, Fault(3));
  EXPECT_EQ(account.failover_rows, 3U);
  EXPECT_EQ(account.failover_age, Duration(11ms));  // row 8
  EXPECT_EQ(account.Unaccounted(), 0U);
  EXPECT_EQ(account.other_rows, 0U);
}

TEST(AccountForLoss, ALedgerThatHoldsFewerCommitsThanAreMissingLeavesTheRestUnaccounted) {
  const ClientRecord record = Writer(10, 5);
  const ClientCheck check = Missing(record, {8, 9, 10});
  EXPECT_EQ(AccountForLoss({record}, {check}, Fault(2)).Unaccounted(), 1U);
  EXPECT_EQ(AccountForLoss({record}, {check}, Fault(3)).Unaccounted(), 0U);
  EXPECT_EQ(AccountForLoss({record}, {check}, Fault(4)).Unaccounted(), 0U);
  EXPECT_EQ(AccountForLoss({record}, {check}, Fault(std::nullopt)).Unaccounted(), 3U);  // no ledger: nothing is known
}

TEST(AccountForLoss, ARowThatIsMissingBeforeOneThatSurvivedIsUnaccounted) {
  const ClientRecord record = Writer(10, 5);
  const LossAccount account = AccountForLoss({record}, {Missing(record, {4, 10})}, Fault(100));
  EXPECT_EQ(account.failover_rows, 1U);
  EXPECT_EQ(account.other_rows, 1U);
  EXPECT_EQ(account.Unaccounted(), 1U);
}

TEST(AccountForLoss, ARowThatTheNewPrimaryAcknowledgedIsNeverExplainedByTheFork) {
  const ClientRecord record = Writer(10, 5);
  const LossAccount account = AccountForLoss({record}, {Missing(record, {15})}, Fault(100));
  EXPECT_EQ(account.other_rows, 1U);
  EXPECT_EQ(account.Unaccounted(), 1U);
}

TEST(AccountForLoss, ARowThatNobodySentIsUnaccounted) {
  const ClientRecord record = Writer(10, 5);
  ClientCheck check = Missing(record, {});
  check.unexpected = {99};
  EXPECT_EQ(AccountForLoss({record}, {check}, Fault(100)).Unaccounted(), 1U);
}

TEST(WritesByTwo, SeesAnOldServerThatAcknowledgesARowSentAfterTheNewOneBegan) {
  ClientRecord record = Writer(10, 5);
  EXPECT_EQ(WritesByTwo({record}, "old", "new", 0, kFault * 10), 0U);
  ClientRecord second = record;
  const std::int64_t first_new_ns = record.rows[10].ended_ns;
  second.rows.push_back({16, first_new_ns, first_new_ns + kMs, 0, RowFate::kAcknowledged, 0});  // sent at that very moment
  EXPECT_EQ(WritesByTwo({record, second}, "old", "new", 0, kFault * 10), 0U);
  second.rows.back().sent_ns += 1;
  EXPECT_EQ(WritesByTwo({record, second}, "old", "new", 0, kFault * 10), 1U);
}

TEST(ClientRecord, AnOutageLastsFromTheLastAcknowledgementBeforeToTheFirstAfter) {
  const ClientRecord record = Writer(10, 5);
  const auto move = record.FirstMove(kFault);
  ASSERT_TRUE(move);
  EXPECT_EQ(move->from_server, "old");
  EXPECT_EQ(move->to_server, "new");
  EXPECT_EQ(move->Length(), Duration(3006ms));
  ASSERT_EQ(record.Outages(3006ms).size(), 1U);
  EXPECT_TRUE(record.Outages(3007ms).empty());
  EXPECT_EQ(record.LongestGap(kFault)->Length(), Duration(3006ms));
}

}  // namespace
}  // namespace lifeboat::lab
