// The DynamoDB store where answers are lost, regions fall silent, requests are throttled, and tables come back from copies.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "adapters/store/dynamodb_store.h"
#include "adapters/store/dynamodb_table.h"
#include "support/aws_client.h"
#include "support/real_aws.h"
#include "support/run_task.h"

namespace lifeboat::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr Duration kTimeout = 20s;
constexpr const char* kWest = "eu-west-1";
constexpr const char* kCentral = "eu-central-1";

class DynamoDbTest : public ::testing::TestWithParam<AwsEmulator> {
 protected:
  DynamoDbTest() {
    road_.Reset();
    MakeStoreTable(aws_.Url(), kWest, table_);
  }
  /// Everything that the tests of one emulator sent, at once.
  static void TearDownTestSuite() {
    for (const AwsEmulator emulator : {AwsEmulator::kMinistack, AwsEmulator::kMoto}) EXPECT_EQ(RoadTo(emulator).Invalid(), "");
  }
  static AwsRoad& RoadTo(AwsEmulator emulator) {
    static AwsRoad ministack(SharedAws(AwsEmulator::kMinistack));
    static AwsRoad moto(SharedAws(AwsEmulator::kMoto));
    return emulator == AwsEmulator::kMinistack ? ministack : moto;
  }

  std::shared_ptr<aws::Client> Client() { return MakeAwsClient(context_, {{"*", road_.Url()}}, dynamodb::RetriesOfTable()); }
  std::unique_ptr<DynamoDbStore> Open(std::vector<std::string> regions = {kWest}, const std::string& service = "orders") {
    DynamoDbOptions options;
    options.service = service;
    options.table = table_;
    options.regions = std::move(regions);
    options.poll = 25ms;
    return std::make_unique<DynamoDbStore>(context_.get_executor(), Client(), std::move(options), Log());
  }

  static Transaction PutOf(const std::string& key, const std::string& value) {
    Transaction transaction;
    transaction.puts.push_back({key, value});
    return transaction;
  }
  static Transaction Change(const std::string& key, Version from, const std::string& value) {
    Transaction transaction = PutOf(key, value);
    transaction.compares.push_back({key, from});
    return transaction;
  }
  Result<TransactionResult> Commit(Store& store, const Transaction& transaction, Duration timeout = kTimeout) {
    return Await(context_, store.Commit(transaction, timeout));
  }
  Version Put(Store& store, const std::string& key, const std::string& value) {
    const auto result = Commit(store, PutOf(key, value));
    EXPECT_TRUE(result.ok()) << result.error().Text();
    return result ? result->version : Version{};
  }
  Reading Read(Store& store, const std::string& prefix = "") {
    const auto reading = Await(context_, store.Read(prefix, kTimeout));
    EXPECT_TRUE(reading.ok()) << reading.error().Text();
    return reading ? *reading : Reading{};
  }
  std::string ValueOf(Store& store, const std::string& key) {
    const Reading reading = Read(store, key);
    return reading.records.empty() ? "(absent)" : reading.records[0].value;
  }

  // Past the road: what an operator does to the table.
  Json Ask(const std::string& operation, const Json& body) {
    const auto client = MakeAwsClient(context_, {{"*", aws_.Url()}});
    return AwsJson(context_, *client, "dynamodb", "DynamoDB_20120810." + operation, kWest, body);
  }
  Json Head() {
    const Json key = {{"service", {{"S", "orders"}}}, {"item", {{"S", "head"}}}};
    return Ask("GetItem", {{"TableName", table_}, {"Key", key}, {"ConsistentRead", true}})["Item"];
  }
  void PutItem(const Json& item) { Ask("PutItem", {{"TableName", table_}, {"Item", item}}); }
  std::size_t Items() { return Ask("Scan", {{"TableName", table_}, {"ConsistentRead", true}})["Items"].size(); }

  RealAws& aws_ = SharedAws(GetParam());
  AwsRoad& road_ = RoadTo(GetParam());
  const std::string table_ = "lifeboat-" + RandomHex(6);
  boost::asio::io_context context_;
};

// ---- answers that are lost ----

TEST_P(DynamoDbTest, AChangeWhoseAnswerIsLostIsFoundToHaveBeenMade) {
  const auto store = Open();
  const Version first = Put(*store, "lease", "0");
  road_.Faults({{{"do", "lose_answer"}, {"operation", "PutItem"}, {"times", 1}}});
  const auto result = Commit(*store, Change("lease", first, "1"));
  ASSERT_TRUE(result.ok()) << result.error().Text();
  EXPECT_TRUE(result->committed);
  EXPECT_EQ(Read(*store, "lease").records, (std::vector<Record>{{"lease", "1", result->version}}));
}

TEST_P(DynamoDbTest, ACreationWhoseAnswerIsLostIsMadeOnce) {
  const auto store = Open();
  Read(*store);
  road_.Faults({{{"do", "lose_answer"}, {"operation", "PutItem"}, {"times", 1}}});
  const auto mine = Commit(*store, Change("executions/current", Version{}, "7"));
  ASSERT_TRUE(mine.ok()) << mine.error().Text();
  EXPECT_TRUE(mine->committed);
  const auto other = Open();
  EXPECT_FALSE(Commit(*other, Change("executions/current", Version{}, "8"))->committed);
}

TEST_P(DynamoDbTest, AnAnswerThatIsCutOffIsNoAnswer) {
  const auto store = Open();
  const Version first = Put(*store, "lease", "0");
  road_.Faults(
      {{{"do", "truncate"}, {"operation", "PutItem"}, {"times", 1}}, {{"do", "truncate"}, {"operation", "GetItem"}, {"times", 1}}});
  const auto result = Commit(*store, Change("lease", first, "1"));
  ASSERT_TRUE(result.ok()) << result.error().Text();
  EXPECT_TRUE(result->committed);
  EXPECT_EQ(ValueOf(*store, "lease"), "1");
}

TEST_P(DynamoDbTest, ALostAnswerThatWasAnothersVictoryIsAConflict) {
  // Given a change that never arrives, and another agent's that does while it is tried.
  const auto store = Open();
  const auto other = Open();
  const Version first = Put(*store, "lease", "0");
  road_.Faults({{{"do", "silent"}, {"operation", "PutItem"}, {"times", 1}}});
  auto mine = Start(context_, store->Commit(Change("lease", first, "mine"), kTimeout));
  ASSERT_TRUE(RunUntil(context_, [&] { return road_.HeldIn(kWest) == 1; }));
  const auto theirs = Commit(*other, Change("lease", first, "theirs"));
  ASSERT_TRUE(theirs.ok() && theirs->committed);
  road_.Clear();
  const auto result = Finish(context_, mine);
  ASSERT_TRUE(result.ok()) << result.error().Text();
  EXPECT_FALSE(result->committed);
  ASSERT_EQ(result->current.size(), 1u);
  EXPECT_EQ(result->current[0].value, "theirs");
}

TEST_P(DynamoDbTest, WhatCannotBeLookedUpInTimeIsUnknown) {
  const auto store = Open();
  const Version first = Put(*store, "lease", "0");
  road_.Faults({{{"do", "silent_after"}}});
  const auto result = Commit(*store, Change("lease", first, "1"), 1500ms);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().retry, Retry::kUnknownOutcome) << result.error().Text();
  road_.Clear();
  EXPECT_EQ(ValueOf(*store, "lease"), "1");
}

TEST_P(DynamoDbTest, AChangeThatMayStillArriveIsUnknownAlthoughItIsNotThere) {
  // Given a region that keeps the request, and another one that refuses it and shows the record as it was.
  road_.MakeGlobal({kWest, kCentral});
  const auto store = Open({kCentral, kWest});
  const Version first = Put(*store, "lease", "0");
  road_.Faults({{{"do", "silent"}, {"operation", "PutItem"}, {"region", kCentral}},
                {{"do", "error"}, {"operation", "PutItem"}, {"region", kWest}, {"code", "AccessDeniedException"}}});
  const auto result = Commit(*store, Change("lease", first, "1"), 3s);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().retry, Retry::kUnknownOutcome) << result.error().Text();
}

TEST_P(DynamoDbTest, WhatWasNeverSentIsNotUnknown) {
  const auto store = Open();
  Put(*store, "lease", "0");
  aws::RetryLimits once = dynamodb::RetriesOfTable();
  DynamoDbOptions options{"orders", table_, {kWest}};
  const auto closed = MakeAwsClient(context_, {{"*", "http://127.0.0.1:9"}}, once);
  DynamoDbStore nowhere(context_.get_executor(), closed, options, Log());
  const auto result = Commit(nowhere, PutOf("k", "v"), 500ms);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().retry, Retry::kRetry) << result.error().Text();
}

TEST_P(DynamoDbTest, WhatIsRememberedIsNoAnswer) {
  // Given an agent that has not looked since another one made the change that it is told of.
  const auto store = Open();
  const auto other = Open();
  Put(*store, "lease", "0");
  const Version theirs = Put(*other, "lease", "1");
  EXPECT_TRUE(Commit(*store, Change("lease", theirs, "2"))->committed);
}

// ---- throttling, clocks ----

TEST_P(DynamoDbTest, ThrottledRequestsAreTriedAgainAndCountOnce) {
  const auto store = Open();
  Version version = Put(*store, "lease", "0");
  for (int renewal = 1; renewal <= 5; ++renewal) {
    road_.Faults({{{"do", "throttle"}, {"times", 3}}});
    const auto result = Commit(*store, Change("lease", version, std::to_string(renewal)));
    ASSERT_TRUE(result.ok()) << result.error().Text();
    ASSERT_TRUE(result->committed);
    version = result->version;
  }
  EXPECT_EQ(ValueOf(*store, "lease"), "5");
}

TEST_P(DynamoDbTest, ThrottledForGoodIsALaterTryAndNothingChanges) {
  const auto store = Open();
  const Version first = Put(*store, "lease", "0");
  road_.Faults({{{"do", "throttle"}, {"operation", "PutItem"}}});
  const auto result = Commit(*store, Change("lease", first, "1"), 2s);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().retry, Retry::kRetry) << result.error().Text();
  road_.Clear();
  EXPECT_EQ(ValueOf(*store, "lease"), "0");
}

TEST_P(DynamoDbTest, AClockTenMinutesOffIsPutRight) {
  road_.ShiftClock(600);
  const auto store = Open();
  Put(*store, "lease", "0");
  EXPECT_EQ(ValueOf(*store, "lease"), "0");
}

TEST_P(DynamoDbTest, AConflictWithAnotherRegionsWriteIsTriedAgain) {
  const auto store = Open();
  const Version first = Put(*store, "lease", "0");
  road_.Faults({{{"do", "error"}, {"operation", "PutItem"}, {"code", "ReplicatedWriteConflictException"}, {"times", 3}},
                {{"do", "error"}, {"operation", "PutItem"}, {"code", "TransactionConflictException"}, {"times", 1}}});
  const auto result = Commit(*store, Change("lease", first, "1"));
  ASSERT_TRUE(result.ok()) << result.error().Text();
  EXPECT_TRUE(result->committed);
}

TEST_P(DynamoDbTest, APermissionThatIsMissingIsSaidAtOnce) {
  road_.Faults(
      {{{"do", "error"}, {"code", "AccessDeniedException"}, {"message", "not authorized to perform: dynamodb:DescribeTable"}}});
  const auto store = Open();
  const auto result = Commit(*store, PutOf("k", "v"));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().retry, Retry::kFail);
  EXPECT_THAT(result.error().message, HasSubstr("AccessDenied"));
}

// ---- regions ----

TEST_P(DynamoDbTest, ASilentRegionCostsNoRenewal) {
  // Given a table of two regions, and the one that is asked first falls silent.
  road_.MakeGlobal({kWest, kCentral});
  const auto store = Open({kCentral, kWest});
  Version version = Put(*store, "lease", "0");
  road_.Faults({{{"do", "silent"}, {"region", kCentral}}});
  for (int renewal = 1; renewal <= 5; ++renewal) {
    const auto result = Commit(*store, Change("lease", version, std::to_string(renewal)), 3s);
    ASSERT_TRUE(result.ok()) << renewal << ": " << result.error().Text();
    ASSERT_TRUE(result->committed);
    version = result->version;
  }
  EXPECT_EQ(ValueOf(*store, "lease"), "5");
  EXPECT_EQ(road_.HeldIn(kCentral), 1u) << "once it is known to be silent, the other one is asked first";
  EXPECT_EQ(road_.CountOf("dynamodb", "DescribeTable"), 1u) << "the control plane is not on the way";
}

TEST_P(DynamoDbTest, AChangeLostInOneRegionIsFoundThroughTheOther) {
  road_.MakeGlobal({kWest, kCentral});
  const auto store = Open({kCentral, kWest});
  const Version first = Put(*store, "lease", "0");
  road_.Faults({{{"do", "silent_after"}, {"region", kCentral}}});
  const auto result = Commit(*store, Change("lease", first, "1"), 3s);
  ASSERT_TRUE(result.ok()) << result.error().Text();
  EXPECT_TRUE(result->committed);
  EXPECT_EQ(ValueOf(*store, "lease"), "1");
}

TEST_P(DynamoDbTest, AgentsThatAskDifferentRegionsShareOneStore) {
  road_.MakeGlobal({kWest, kCentral});
  const auto west = Open({kWest, kCentral});
  const auto central = Open({kCentral, kWest});
  const Version first = Put(*west, "lease", "0");
  EXPECT_TRUE(Commit(*central, Change("lease", first, "central"))->committed);
  EXPECT_FALSE(Commit(*west, Change("lease", first, "west"))->committed);
  EXPECT_EQ(ValueOf(*west, "lease"), "central");
}

TEST_P(DynamoDbTest, RegionsThatAgreeOnlyInTheEndAreRefused) {
  // Given two regions whose tables are not one strongly consistent table.
  const auto store = Open({kWest, kCentral});
  const auto result = Commit(*store, PutOf("lease", "0"));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().retry, Retry::kFail);
  EXPECT_THAT(result.error().message, HasSubstr("not strongly consistent over regions"));
  road_.MakeGlobal({kWest, "eu-west-2"});
  const auto elsewhere = Open({kWest, kCentral});
  EXPECT_THAT(Commit(*elsewhere, PutOf("lease", "0")).error().message, HasSubstr("no replica in 'eu-central-1'"));
  EXPECT_EQ(Items(), 0u);
}

TEST_P(DynamoDbTest, ATableThatIsNotThereOrHasOtherKeysIsRefused) {
  DynamoDbOptions options{"orders", "no-such-table", {kWest}};
  DynamoDbStore none(context_.get_executor(), Client(), options, Log());
  EXPECT_THAT(Commit(none, PutOf("k", "v")).error().message, HasSubstr("there is no table 'no-such-table'"));
  Ask("CreateTable", {{"TableName", table_ + "-other"},
                      {"BillingMode", "PAY_PER_REQUEST"},
                      {"KeySchema", Json::array({{{"AttributeName", "id"}, {"KeyType", "HASH"}}})},
                      {"AttributeDefinitions", Json::array({{{"AttributeName", "id"}, {"AttributeType", "S"}}})}});
  options.table = table_ + "-other";
  DynamoDbStore other(context_.get_executor(), Client(), options, Log());
  EXPECT_THAT(Commit(other, PutOf("k", "v")).error().message, HasSubstr("has other keys"));
}

// ---- copies ----

TEST_P(DynamoDbTest, AnOlderCopyIsANewIncarnation) {
  const auto store = Open();
  Put(*store, "lease", "0");
  const Json copy = Head();
  const Version lost = Put(*store, "lease", "1");
  const Incarnation before = Read(*store).incarnation;
  PutItem(copy);  // the table is restored in place
  const Reading after = Read(*store);
  EXPECT_GT(after.incarnation, before);
  EXPECT_EQ(after.records[0].value, "0");
  EXPECT_GT(after.records[0].version, lost) << "no version of the lost branch comes back";
  EXPECT_FALSE(Commit(*store, Change("lease", lost, "2"))->committed);
}

TEST_P(DynamoDbTest, AnotherBranchOfTheSameLengthIsANewIncarnation) {
  const auto store = Open();
  Put(*store, "lease", "0");
  const Json copy = Head();
  Put(*store, "lease", "1");
  PutItem(copy);
  const auto stranger = Open();
  Put(*stranger, "lease", "2");
  Put(*stranger, "lease", "3");
  const auto incarnation = Read(*stranger).incarnation;
  EXPECT_GT(Read(*store).incarnation, incarnation);
}

TEST_P(DynamoDbTest, ATableThatWasEmptiedIsANewIncarnation) {
  const auto store = Open();
  Put(*store, "lease", "0");
  const Incarnation before = Read(*store).incarnation;
  Ask("DeleteItem", {{"TableName", table_}, {"Key", {{"service", {{"S", "orders"}}}, {"item", {{"S", "head"}}}}}});
  const Reading after = Read(*store);
  EXPECT_GT(after.incarnation, before);
  EXPECT_TRUE(after.records.empty());
}

/// On the emulator that gives tables an id, as DynamoDB does.
class DynamoDbTableIdTest : public DynamoDbTest {};

TEST_P(DynamoDbTableIdTest, ItemsThatWereCarriedToAnotherTableAreANewIncarnation) {
  // Given nobody who remembers: every agent was restarted, and the table made anew from a copy.
  Put(*Open(), "lease", "0");
  const Json copy = Head();
  Ask("DeleteTable", {{"TableName", table_}});
  MakeStoreTable(aws_.Url(), kWest, table_);
  PutItem(copy);
  const auto store = Open();
  const Reading after = Read(*store);
  EXPECT_GT(after.incarnation.number, std::stoull(copy["incarnation"]["N"].get<std::string>()));
  EXPECT_EQ(after.records[0].value, "0");
}

TEST_P(DynamoDbTest, AnItemThatAnotherProgramWroteIsRefusedAndKept) {
  PutItem({{"service", {{"S", "orders"}}},
           {"item", {{"S", "head"}}},
           {"attempt", {{"S", "x"}}},
           {"format", {{"S", "lifeboat-store/2"}}}});
  const auto store = Open();
  const auto result = Commit(*store, PutOf("k", "v"));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().retry, Retry::kFail);
  EXPECT_THAT(result.error().hint, HasSubstr("a newer Lifeboat did"));
  EXPECT_EQ(TextAt(Head()["format"], "S"), "lifeboat-store/2");
}

TEST_P(DynamoDbTest, OfTwoThatReseedAtOnceOneIsRefused) {
  const auto one = Open();
  const auto other = Open();
  Put(*one, "old", "x");
  const Incarnation seen = Read(*one).incarnation;
  auto first = Start(context_, one->Reseed(seen, Incarnation{seen.number + 5}, {{"lease", "one"}}, kTimeout));
  auto second = Start(context_, other->Reseed(seen, Incarnation{seen.number + 5}, {{"lease", "other"}}, kTimeout));
  const auto first_result = Finish(context_, first);
  const auto second_result = Finish(context_, second);
  EXPECT_NE(first_result.ok(), second_result.ok());
  const auto& loser = first_result.ok() ? second_result : first_result;
  EXPECT_EQ(loser.error().retry, Retry::kRefused);
  const Reading after = Read(*other);
  EXPECT_EQ(after.incarnation.number, seen.number + 5);
  ASSERT_EQ(after.records.size(), 1u);
  EXPECT_EQ(after.records[0].value, first_result.ok() ? "one" : "other");
}

// ---- size ----

TEST_P(DynamoDbTest, ManyRecordsStayReadableAndTheHeadStaysSmall) {
  const auto store = Open();
  for (int execution = 0; execution < 60; ++execution) {
    Put(*store, "executions/" + std::to_string(1000 + execution), std::string(300, 'x') + std::to_string(execution));
  }
  for (int large = 0; large < 10; ++large)
    Put(*store, "large/" + std::to_string(large), std::string(20'000, 'y') + std::to_string(large));
  EXPECT_LT(Head().dump().size(), 10'000u) << "a renewal writes the whole head";
  const auto stranger = Open();
  const Reading reading = Read(*stranger, "executions/");
  ASSERT_EQ(reading.records.size(), 60u);
  EXPECT_EQ(reading.records[7].value, std::string(300, 'x') + "7");
  const Reading large = Read(*stranger, "large/");
  ASSERT_EQ(large.records.size(), 10u);
  EXPECT_EQ(large.records[7].value, std::string(20'000, 'y') + "7");
  EXPECT_LE(road_.CountOf("dynamodb", "Query"), 2u) << "one question for all large values";
  // A version that was read stays good wherever the record lies, and a change moves it to the head again.
  const auto changed = Commit(*stranger, Change("executions/1007", reading.records[7].version, "new"));
  EXPECT_TRUE(changed->committed);
  EXPECT_EQ(ValueOf(*store, "executions/1007"), "new");
}

TEST_P(DynamoDbTest, TextsThatNothingNamesAnyMoreAreRemoved) {
  const auto store = Open();
  for (int change = 0; change < 10; ++change) Put(*store, "large", std::string(5'000, 'a') + std::to_string(change));
  Put(*store, "small", "x");
  ASSERT_EQ(Items(), 11u);
  const auto swept = Await(context_, store->Sweep(kTimeout));
  ASSERT_TRUE(swept.ok()) << swept.error().Text();
  EXPECT_EQ(*swept, 9u);
  EXPECT_EQ(Items(), 2u);
  EXPECT_EQ(ValueOf(*Open(), "large"), std::string(5'000, 'a') + "9");
}

TEST_P(DynamoDbTest, ATextOfACommitThatIsUnderWayIsNotRemoved) {
  // Given a commit whose text is written, and whose head is not yet.
  const auto store = Open();
  const auto sweeper = Open();
  Put(*store, "k", "x");
  road_.Faults({{{"do", "silent"}, {"operation", "PutItem"}, {"skip", 1}, {"times", 1}}});
  auto commit = Start(context_, store->Commit(PutOf("large", std::string(5'000, 'a')), kTimeout));
  ASSERT_TRUE(RunUntil(context_, [&] { return road_.HeldIn(kWest) == 1; }));
  EXPECT_EQ(*Await(context_, sweeper->Sweep(kTimeout)), 0u);
  road_.Clear();
  EXPECT_TRUE(Finish(context_, commit)->committed);
  EXPECT_EQ(ValueOf(*sweeper, "large"), std::string(5'000, 'a'));
}

TEST_P(DynamoDbTest, AValueLargerThanAnItemIsRefusedAndNothingChanges) {
  const auto store = Open();
  Transaction large = PutOf("k", "x");
  large.puts.push_back({"large", std::string(400 << 10, 'y')});
  const auto result = Commit(*store, large);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().retry, Retry::kFail);
  EXPECT_TRUE(Read(*store).records.empty());
}

INSTANTIATE_TEST_SUITE_P(Aws, DynamoDbTest, ::testing::Values(AwsEmulator::kMinistack, AwsEmulator::kMoto),
                         [](const auto& kind) { return std::string(NameOf(kind.param)); });

INSTANTIATE_TEST_SUITE_P(Aws, DynamoDbTableIdTest, ::testing::Values(AwsEmulator::kMinistack),
                         [](const auto& kind) { return std::string(NameOf(kind.param)); });

}  // namespace
}  // namespace lifeboat::testing
