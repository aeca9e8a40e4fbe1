#pragma once

// What every implementation of ports/store.h must do, as tests with a value parameter. Include it in ONE file of a test
// program and instantiate:
//   INSTANTIATE_TEST_SUITE_P(Embedded, StoreContract, ::testing::Values(StoreCase{"embedded", MakeIt}), StoreCaseName);

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "ports/store.h"
#include "support/run_task.h"

namespace lifeboat::testing {

/// One store to test, and a way to restart what hosts it.
class StoreUnderTest {
 public:
  virtual ~StoreUnderTest() = default;
  virtual Store& store() = 0;
  /// False: this implementation offers the test no restart.
  virtual bool CanRestart() const { return false; }
  /// A clean end of the store's host and a new start over the same durable state.
  virtual void Restart() {}
};

struct StoreCase {
  std::string name;
  std::function<std::unique_ptr<StoreUnderTest>(boost::asio::io_context&)> make;
};
inline std::string StoreCaseName(const ::testing::TestParamInfo<StoreCase>& info) { return info.param.name; }
inline void PrintTo(const StoreCase& store_case, std::ostream* out) { *out << store_case.name; }

class StoreContract : public ::testing::TestWithParam<StoreCase> {
 protected:
  static constexpr Duration kTimeout = std::chrono::seconds(10);

  StoreContract() : subject_(GetParam().make(context_)) {}

  Store& store() { return subject_->store(); }

  Reading Read(const std::string& prefix) {
    Result<Reading> reading = Await(context_, store().Read(prefix, kTimeout));
    EXPECT_TRUE(reading.ok()) << reading.error().Text();
    return reading ? *reading : Reading{};
  }

  TransactionResult Commit(const Transaction& transaction) {
    Result<TransactionResult> result = Await(context_, store().Commit(transaction, kTimeout));
    EXPECT_TRUE(result.ok()) << result.error().Text();
    return result ? *result : TransactionResult{};
  }

  static Transaction PutOf(const std::string& key, const std::string& value, Durability durability = Durability::kDurable) {
    Transaction transaction;
    transaction.puts.push_back({key, value});
    transaction.durability = durability;
    return transaction;
  }

  Version Put(const std::string& key, const std::string& value, Durability durability = Durability::kDurable) {
    const TransactionResult result = Commit(PutOf(key, value, durability));
    EXPECT_TRUE(result.committed);
    return result.version;
  }

  Version Delete(const std::string& key) {
    Transaction transaction;
    transaction.deletes.push_back(key);
    const TransactionResult result = Commit(transaction);
    EXPECT_TRUE(result.committed);
    return result.version;
  }

  static std::vector<std::string> KeysOf(const Reading& reading) {
    std::vector<std::string> keys;
    for (const Record& record : reading.records) keys.push_back(record.key);
    return keys;
  }

  static std::string ValueIn(const Reading& reading, const std::string& key) {
    for (const Record& record : reading.records) {
      if (record.key == key) return record.value;
    }
    return "(absent)";
  }

  Outcome<Result<Reading>> StartWatch(const std::string& prefix, const Reading& since, Duration timeout = kTimeout) {
    return Start(context_, store().Watch(prefix, since.version, since.incarnation, timeout));
  }

  boost::asio::io_context context_;
  std::unique_ptr<StoreUnderTest> subject_;
};

TEST_P(StoreContract, ReadsItsOwnWrites) {
  const Version version = Put("lease/orders", "one");
  const Reading reading = Read("lease/orders");
  ASSERT_EQ(reading.records.size(), 1u);
  EXPECT_EQ(reading.records[0], (Record{"lease/orders", "one", version}));
  EXPECT_GE(reading.version, version);
  EXPECT_GT(reading.incarnation.number, 0u);
}

TEST_P(StoreContract, AnAbsentPrefixReadsAsNothing) {
  Put("a/1", "x");
  EXPECT_TRUE(Read("b/").records.empty());
}

TEST_P(StoreContract, APrefixReadsSortedAndOnlyWhatBeginsWithIt) {
  for (const char* key : {"x/2", "x/10", "x", "y/1", "w/9", "x/1"}) Put(key, "v");
  EXPECT_THAT(KeysOf(Read("x/")), ::testing::ElementsAre("x/1", "x/10", "x/2"));
  EXPECT_THAT(KeysOf(Read("x")), ::testing::ElementsAre("x", "x/1", "x/10", "x/2"));
  EXPECT_EQ(KeysOf(Read("")).size(), 6u);
}

TEST_P(StoreContract, KeepsValuesExactly) {
  const std::string value =
      "{\"text\":\"line\\n \\u0000 'quoted'\", \"more\":\"Zürich ☃\"}" + std::string("\n\t") + std::string(100'000, 'z');
  Put("k", value);
  Put("empty", "");
  EXPECT_EQ(ValueIn(Read("k"), "k"), value);
  EXPECT_EQ(ValueIn(Read("empty"), "empty"), "");
}

TEST_P(StoreContract, ACompareThatHoldsCommits) {
  const Version first = Put("k", "1");
  Transaction change = PutOf("k", "2");
  change.compares.push_back({"k", first});
  const TransactionResult result = Commit(change);
  EXPECT_TRUE(result.committed);
  EXPECT_GT(result.version, first);
  EXPECT_EQ(ValueIn(Read("k"), "k"), "2");
}

TEST_P(StoreContract, AConflictChangesNothingAndAnswersTheRecordsAsTheyAre) {
  const Version first = Put("a", "1");
  const Version second = Put("a", "2");
  const Version other = Put("b", "1");
  Transaction change = PutOf("a", "3");
  change.compares = {{"a", first}, {"b", other}, {"absent", Version{}}};
  const TransactionResult result = Commit(change);
  EXPECT_FALSE(result.committed);
  EXPECT_THAT(result.current, ::testing::UnorderedElementsAre(Record{"a", "2", second}, Record{"b", "1", other}));
  EXPECT_EQ(ValueIn(Read("a"), "a"), "2");
}

TEST_P(StoreContract, VersionZeroMeansAbsent) {
  Transaction create = PutOf("k", "mine");
  create.compares.push_back({"k", Version{}});
  EXPECT_TRUE(Commit(create).committed);
  Transaction again = PutOf("k", "theirs");
  again.compares.push_back({"k", Version{}});
  EXPECT_FALSE(Commit(again).committed);
  EXPECT_EQ(ValueIn(Read("k"), "k"), "mine");
}

TEST_P(StoreContract, ACompareOfAnAbsentKeyWithAVersionFails) {
  const Version version = Put("k", "1");
  Delete("k");
  Transaction change = PutOf("k", "2");
  change.compares.push_back({"k", version});
  const TransactionResult result = Commit(change);
  EXPECT_FALSE(result.committed);
  EXPECT_TRUE(result.current.empty());
}

TEST_P(StoreContract, SeveralKeysChangeTogetherOrNotAtAll) {
  const Version gone = Put("old", "x");
  Transaction change;
  change.compares = {{"executions/current", Version{}}, {"old", gone}};
  change.puts = {{"executions/1", "running"}, {"executions/current", "1"}};
  change.deletes = {"old"};
  const TransactionResult first = Commit(change);
  EXPECT_TRUE(first.committed);
  const Reading after = Read("");
  EXPECT_THAT(KeysOf(after), ::testing::ElementsAre("executions/1", "executions/current"));
  for (const Record& record : after.records) EXPECT_EQ(record.version, first.version);

  change.puts = {{"executions/2", "running"}, {"executions/current", "2"}};
  change.deletes.clear();
  EXPECT_FALSE(Commit(change).committed);
  EXPECT_EQ(Read("").records, after.records);
}

TEST_P(StoreContract, VersionsGrowAndNeverComeBackAfterADelete) {
  std::set<Version> seen;
  Version last;
  for (int round = 0; round < 5; ++round) {
    const Durability durability = round % 2 == 0 ? Durability::kDurable : Durability::kVolatile;
    const Version put = Put("k", "v", durability);
    EXPECT_GT(put, last);
    EXPECT_TRUE(seen.insert(put).second);
    last = put;
    Delete("k");
  }
  Transaction stale = PutOf("k", "late");
  stale.compares.push_back({"k", *seen.begin()});
  Put("k", "v");
  EXPECT_FALSE(Commit(stale).committed);
}

TEST_P(StoreContract, AnotherIncarnationIsAConflict) {
  const Version version = Put("k", "1");
  Transaction change = PutOf("k", "2");
  change.compares.push_back({"k", version});
  change.incarnation = Incarnation{Read("k").incarnation.number + 1};
  const TransactionResult result = Commit(change);
  EXPECT_FALSE(result.committed);
  EXPECT_EQ(result.incarnation, Read("k").incarnation);
  EXPECT_EQ(ValueIn(Read("k"), "k"), "1");
  change.incarnation = result.incarnation;
  EXPECT_TRUE(Commit(change).committed);
}

TEST_P(StoreContract, ATransactionThatChangesAKeyTwiceIsRefusedWhole) {
  Transaction twice = PutOf("k", "1");
  twice.puts.push_back({"other", "1"});
  twice.deletes.push_back("k");
  const Result<TransactionResult> result = Await(context_, store().Commit(twice, kTimeout));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().retry, Retry::kFail);
  EXPECT_TRUE(Read("").records.empty());
}

TEST_P(StoreContract, OfTwoRacingCommitsExactlyOneWins) {
  for (const Durability durability : {Durability::kDurable, Durability::kVolatile}) {
    const Version version = Put("k", "start");
    Transaction one = PutOf("k", "one", durability);
    one.compares.push_back({"k", version});
    Transaction two = PutOf("k", "two");
    two.compares.push_back({"k", version});
    auto first = Start(context_, store().Commit(one, kTimeout));
    auto second = Start(context_, store().Commit(two, kTimeout));
    const Result<TransactionResult> first_result = Finish(context_, first);
    const Result<TransactionResult> second_result = Finish(context_, second);
    ASSERT_TRUE(first_result.ok() && second_result.ok());
    EXPECT_NE(first_result->committed, second_result->committed);
    EXPECT_EQ(ValueIn(Read("k"), "k"), first_result->committed ? "one" : "two");
    const TransactionResult& loser = first_result->committed ? *second_result : *first_result;
    ASSERT_EQ(loser.current.size(), 1u);
    EXPECT_EQ(loser.current[0].value, first_result->committed ? "one" : "two");
  }
}

TEST_P(StoreContract, ManyRacingCountersLoseNoStep) {
  // Given eight writers that each add ten to one counter by compare-and-set.
  const auto add = [](Store& to, int writer) -> Task<Result<Unit>> {
    for (int step = 0; step < 10;) {
      Result<Reading> now = co_await to.Read("counter", kTimeout);
      if (!now) co_return now.error();
      const bool absent = now->records.empty();
      const int value = absent ? 0 : std::stoi(now->records[0].value);
      Transaction change =
          PutOf("counter", std::to_string(value + 1), writer % 2 == 0 ? Durability::kDurable : Durability::kVolatile);
      change.compares.push_back({"counter", absent ? Version{} : now->records[0].version});
      Result<TransactionResult> result = co_await to.Commit(std::move(change), kTimeout);
      if (!result) co_return result.error();
      if (result->committed) ++step;
    }
    co_return Done();
  };
  std::vector<Outcome<Result<Unit>>> writers;
  for (int writer = 0; writer < 8; ++writer) writers.push_back(Start(context_, add(store(), writer)));
  for (const auto& writer : writers) EXPECT_TRUE(Finish(context_, writer).ok());
  EXPECT_EQ(ValueIn(Read("counter"), "counter"), "80");
}

TEST_P(StoreContract, AWatchAnswersAtOnceWhatChangedBeforeItCame) {
  const Reading before = Read("k");
  Put("k", "1");
  const Result<Reading> seen = Finish(context_, StartWatch("k", before));
  ASSERT_TRUE(seen.ok());
  EXPECT_EQ(ValueIn(*seen, "k"), "1");
}

TEST_P(StoreContract, AWatchWakesOnAChange) {
  for (const Durability durability : {Durability::kDurable, Durability::kVolatile}) {
    Put("k/1", "old");
    auto watch = StartWatch("k/", Read("k/"));
    EXPECT_FALSE(RunUntil(
        context_, [&] { return watch->has_value(); }, 50ms));
    Put("k/1", "new", durability);
    const Result<Reading> seen = Finish(context_, watch);
    ASSERT_TRUE(seen.ok());
    EXPECT_EQ(ValueIn(*seen, "k/1"), "new");
  }
}

TEST_P(StoreContract, AWatchWakesOnADelete) {
  Put("k/1", "old");
  const Reading before = Read("k/");
  auto watch = StartWatch("k/", before);
  EXPECT_FALSE(RunUntil(
      context_, [&] { return watch->has_value(); }, 50ms));
  Delete("k/1");
  const Result<Reading> seen = Finish(context_, watch);
  ASSERT_TRUE(seen.ok());
  EXPECT_TRUE(seen->records.empty());
  // And one that comes after the delete with the earlier version learns of it too.
  const Result<Reading> late = Finish(context_, StartWatch("k/", before));
  ASSERT_TRUE(late.ok());
  EXPECT_TRUE(late->records.empty());
  EXPECT_GT(late->version, before.version);
}

TEST_P(StoreContract, AWatchSleepsThroughOtherChangesAndEndsAtItsTimeWithoutAnError) {
  Put("k/1", "same");
  auto watch = StartWatch("k/", Read("k/"), 300ms);
  const auto began = std::chrono::steady_clock::now();
  Put("other", "x");
  Delete("never-there");
  const Result<Reading> seen = Finish(context_, watch);
  ASSERT_TRUE(seen.ok()) << seen.error().Text();
  EXPECT_GE(std::chrono::steady_clock::now() - began, 100ms);
  EXPECT_EQ(ValueIn(*seen, "k/1"), "same");
}

TEST_P(StoreContract, AWatchOfAnotherIncarnationAnswersAtOnce) {
  Put("k", "1");
  Reading before = Read("k");
  before.incarnation.number -= 1;
  const Result<Reading> seen = Finish(context_, StartWatch("k", before));
  ASSERT_TRUE(seen.ok());
  EXPECT_EQ(ValueIn(*seen, "k"), "1");
  EXPECT_NE(seen->incarnation, before.incarnation);
}

TEST_P(StoreContract, OneChangeWakesAllItsWatchersAndNoOther) {
  const Reading before = Read("");
  std::vector<Outcome<Result<Reading>>> watchers;
  for (int watcher = 0; watcher < 20; ++watcher) watchers.push_back(StartWatch("k/", before));
  auto other = StartWatch("j/", before);
  EXPECT_FALSE(RunUntil(
      context_, [&] { return watchers.back()->has_value() || other->has_value(); }, 50ms));
  Put("k/7", "now");
  for (const auto& watcher : watchers) {
    const Result<Reading> seen = Finish(context_, watcher);
    ASSERT_TRUE(seen.ok());
    EXPECT_EQ(ValueIn(*seen, "k/7"), "now");
  }
  EXPECT_FALSE(other->has_value());
  Put("j/1", "end");
  EXPECT_TRUE(Finish(context_, other).ok());
}

TEST_P(StoreContract, FollowingAKeyByWatchesEndsAtItsLastValue) {
  // Given a watcher that goes on from each reading, and a writer that mixes durable and volatile changes.
  const auto follow = [](Store& in) -> Task<Result<std::string>> {
    Result<Reading> last = co_await in.Read("k", kTimeout);
    while (last && (last->records.empty() || last->records[0].value != "30")) {
      Result<Reading> next = co_await in.Watch("k", last->version, last->incarnation, kTimeout);
      last = std::move(next);
    }
    if (!last) co_return last.error();
    co_return last->records[0].value;
  };
  auto follower = Start(context_, follow(store()));
  for (int step = 1; step <= 30; ++step)
    Put("k", std::to_string(step), step % 3 == 0 ? Durability::kDurable : Durability::kVolatile);
  const Result<std::string> seen = Finish(context_, follower);
  ASSERT_TRUE(seen.ok());
  EXPECT_EQ(*seen, "30");
}

TEST_P(StoreContract, ARestartIsANewIncarnation) {
  if (!subject_->CanRestart()) return;
  const Incarnation before = Read("").incarnation;
  subject_->Restart();
  const Incarnation after = Read("").incarnation;
  EXPECT_GT(after, before);
  Transaction late = PutOf("k", "late");
  late.incarnation = before;
  EXPECT_FALSE(Commit(late).committed);
}

TEST_P(StoreContract, ARestartKeepsDurableChangesAndForgetsVolatileOnes) {
  if (!subject_->CanRestart()) return;
  const Version durable = Put("kept", "durable");
  Put("lease", "epoch 1");
  Put("lease", "epoch 1, renewed", Durability::kVolatile);
  Put("never-durable", "x", Durability::kVolatile);
  Put("both", "volatile", Durability::kVolatile);
  Put("both", "durable");
  Put("deleted", "x");
  Delete("deleted");
  subject_->Restart();
  const Reading after = Read("");
  EXPECT_THAT(KeysOf(after), ::testing::ElementsAre("both", "kept", "lease"));
  EXPECT_EQ(ValueIn(after, "lease"), "epoch 1");
  EXPECT_EQ(ValueIn(after, "both"), "durable");
  EXPECT_EQ(after.records[1], (Record{"kept", "durable", durable}));
}

TEST_P(StoreContract, VersionsNeverComeBackAfterARestart) {
  if (!subject_->CanRestart()) return;
  Put("k", "1");
  const Version forgotten = Put("k", "2", Durability::kVolatile);
  Version last = forgotten;
  for (int life = 0; life < 3; ++life) {
    subject_->Restart();
    const Version next = Put("k", "3");
    EXPECT_GT(next, last);
    last = next;
  }
  Transaction late = PutOf("k", "late");
  late.compares.push_back({"k", forgotten});
  EXPECT_FALSE(Commit(late).committed);
}

TEST_P(StoreContract, AWatcherOfTheLifeBeforeARestartLearnsAtOnce) {
  if (!subject_->CanRestart()) return;
  Put("k", "1");
  const Reading before = Read("k");
  subject_->Restart();
  const Result<Reading> seen = Finish(context_, StartWatch("k", before));
  ASSERT_TRUE(seen.ok());
  EXPECT_GT(seen->incarnation, before.incarnation);
  EXPECT_EQ(ValueIn(*seen, "k"), "1");
}

}  // namespace lifeboat::testing
