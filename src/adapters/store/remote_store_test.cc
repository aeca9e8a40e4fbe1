#include "adapters/store/remote_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/store/store_test_support.h"
#include "support/run_task.h"

namespace lifeboat::testing {
namespace {

class RemoteStoreTest : public ::testing::Test {
 protected:
  RemoteStoreTest() { peers_.handler = MakeStoreHandler(*host_); }

  static Transaction PutOf(const std::string& key, const std::string& value) {
    Transaction transaction;
    transaction.puts.push_back({key, value});
    return transaction;
  }

  boost::asio::io_context context_;
  TestFolder folder_;
  std::unique_ptr<EmbeddedStore> host_ = OpenOrThrow(context_, folder_.File("store.sqlite"));
  InProcessPeers peers_{context_};
  RemoteStore remote_{peers_, RegionName("eu-west-1")};
};

TEST_F(RemoteStoreTest, AsksTheHostOnTheLaneOfTheLease) {
  EXPECT_TRUE(Await(context_, remote_.Commit(PutOf("k", "v"), 1s)).ok());
  EXPECT_TRUE(Await(context_, remote_.Read("k", 1s)).ok());
  EXPECT_TRUE(Await(context_, remote_.Watch("k", Version{}, Incarnation{1}, 1s)).ok());
  EXPECT_THAT(peers_.calls,
              ::testing::ElementsAre("eu-west-1 store.commit lease", "eu-west-1 store.read lease", "eu-west-1 store.watch lease"));
}

TEST_F(RemoteStoreTest, SendsARenewalThatFitsAsADatagramAndEverythingElseNot) {
  const Result<TransactionResult> first = Await(context_, remote_.Commit(PutOf("k", "1"), 1s));
  Transaction renewal = PutOf("k", "2");
  renewal.compares.push_back({"k", first->version});
  renewal.durability = Durability::kVolatile;
  const Result<TransactionResult> renewed = Await(context_, remote_.Commit(renewal, 1s));
  ASSERT_TRUE(renewed.ok()) << renewed.error().Text();
  EXPECT_TRUE(renewed->committed);
  Transaction large = PutOf("k", std::string(kMostDatagramBytes, 'x'));
  large.compares.push_back({"k", renewed->version});
  large.durability = Durability::kVolatile;
  EXPECT_TRUE(Await(context_, remote_.Commit(large, 1s))->committed);
  Transaction blind = PutOf("k", "3");  // it would change the store each time that it comes
  blind.durability = Durability::kVolatile;
  EXPECT_TRUE(Await(context_, remote_.Commit(blind, 1s))->committed);
  EXPECT_THAT(peers_.calls, ::testing::ElementsAre("eu-west-1 store.commit lease", "eu-west-1 store.renew datagram",
                                                   "eu-west-1 store.commit lease", "eu-west-1 store.commit lease"));
}

TEST_F(RemoteStoreTest, AfterADatagramWithoutAnAnswerTheNextRenewalGoesByTheConnection) {
  const Result<TransactionResult> first = Await(context_, remote_.Commit(PutOf("k", "1"), 1s));
  Transaction renewal = PutOf("k", "2");
  renewal.compares.push_back({"k", first->version});
  renewal.durability = Durability::kVolatile;
  peers_.fault = InProcessPeers::Fault::kAnswerLost;
  EXPECT_FALSE(Await(context_, remote_.Commit(renewal, 1s)).ok());
  peers_.fault = InProcessPeers::Fault::kNone;
  renewal.compares[0].version = Await(context_, remote_.Read("k", 1s))->records[0].version;
  for (int times = 0; times < 2; ++times) {
    const Result<TransactionResult> renewed = Await(context_, remote_.Commit(renewal, 1s));
    ASSERT_TRUE(renewed.ok()) << renewed.error().Text();
    renewal.compares[0].version = renewed->version;
  }
  EXPECT_THAT(peers_.calls,
              ::testing::ElementsAre("eu-west-1 store.commit lease", "eu-west-1 store.renew datagram", "eu-west-1 store.read lease",
                                     "eu-west-1 store.commit lease", "eu-west-1 store.renew datagram"));
}

TEST_F(RemoteStoreTest, ARenewalThatArrivesTwiceChangesTheStoreOnce) {
  const Result<TransactionResult> first = Await(context_, remote_.Commit(PutOf("k", "1"), 1s));
  Transaction renewal = PutOf("k", "2");
  renewal.compares.push_back({"k", first->version});
  renewal.durability = Durability::kVolatile;
  peers_.fault = InProcessPeers::Fault::kFirstAnswerLost;
  const Result<TransactionResult> twice = Await(context_, remote_.Commit(renewal, 1s));
  // It was applied, by the first copy: never "not committed".
  ASSERT_TRUE(twice.ok()) << twice.error().Text();
  EXPECT_TRUE(twice->committed);
  peers_.fault = InProcessPeers::Fault::kNone;
  const Result<Reading> now = Await(context_, remote_.Read("k", 1s));
  EXPECT_EQ(now->records[0].value, "2");
  EXPECT_EQ(now->records[0].version.number, first->version.number + 1);
  // The same words once more are another question, and the version has moved on.
  EXPECT_FALSE(Await(context_, remote_.Commit(renewal, 1s))->committed);
}

TEST_F(RemoteStoreTest, TheHandlerTakesNoRenewalThatWouldChangeMoreWhenItComesTwice) {
  const CallHandler handler = MakeStoreHandler(*host_);
  for (const char* text : {R"({"ask":"1","compares":[["k",0]],"puts":[["k","v"]],"deletes":[],"durable":true})",
                           R"({"ask":"2","compares":[],"puts":[["k","v"]],"deletes":[],"durable":false})",
                           R"({"ask":"3","compares":[["k",0]],"puts":[["k","v"],["other","v"]],"deletes":[],"durable":false})",
                           R"({"ask":"4","compares":[["k",0]],"puts":[],"deletes":["k"],"durable":false})",
                           R"({"compares":[["k",0]],"puts":[["k","v"]],"deletes":[],"durable":false})"}) {
    const Result<Json> answer = Await(context_, handler(kStoreRenew, Json::parse(text)));
    ASSERT_FALSE(answer.ok()) << text;
    EXPECT_EQ(answer.error().retry, Retry::kFail);
  }
  EXPECT_TRUE(Await(context_, remote_.Read("", 1s))->records.empty());
}

TEST_F(RemoteStoreTest, ALostAnswerLeavesACommitUnknownAndAReadOrWatchToBeTriedAgain) {
  peers_.fault = InProcessPeers::Fault::kAnswerLost;
  const Result<TransactionResult> commit = Await(context_, remote_.Commit(PutOf("k", "v"), 1s));
  ASSERT_FALSE(commit.ok());
  EXPECT_EQ(commit.error().retry, Retry::kUnknownOutcome);
  EXPECT_THAT(commit.error().message, ::testing::HasSubstr("eu-west-1"));
  EXPECT_EQ(Await(context_, remote_.Read("k", 1s)).error().retry, Retry::kRetry);
  EXPECT_EQ(Await(context_, remote_.Watch("k", Version{}, Incarnation{1}, 100ms)).error().retry, Retry::kRetry);
  // And it had been applied: looking again shows it.
  peers_.fault = InProcessPeers::Fault::kNone;
  EXPECT_EQ(Await(context_, remote_.Read("k", 1s))->records.size(), 1u);
}

TEST_F(RemoteStoreTest, AQuestionThatWasNotSentCanBeTriedAgain) {
  peers_.fault = InProcessPeers::Fault::kNotSent;
  EXPECT_EQ(Await(context_, remote_.Commit(PutOf("k", "v"), 1s)).error().retry, Retry::kRetry);
  EXPECT_EQ(Await(context_, remote_.Read("k", 1s)).error().retry, Retry::kRetry);
}

TEST_F(RemoteStoreTest, CallsAGarbledAnswerToACommitUnknown) {
  peers_.fault = InProcessPeers::Fault::kAnswerGarbled;
  EXPECT_EQ(Await(context_, remote_.Commit(PutOf("k", "v"), 1s)).error().retry, Retry::kUnknownOutcome);
  EXPECT_EQ(Await(context_, remote_.Read("k", 1s)).error().retry, Retry::kFail);
}

TEST_F(RemoteStoreTest, TheHostAnswersAWatchBeforeTheAskerGivesUp) {
  const Result<Reading> now = Await(context_, remote_.Read("k", 1s));
  const auto began = std::chrono::steady_clock::now();
  const Result<Reading> seen = Await(context_, remote_.Watch("k", now->version, now->incarnation, 400ms));
  EXPECT_TRUE(seen.ok());
  EXPECT_EQ(peers_.last_timeout, Duration(400ms));
  EXPECT_LT(std::chrono::steady_clock::now() - began, 390ms);
}

TEST_F(RemoteStoreTest, TheHandlerAcceptsAQuestionCompletelyOrNotAtAll) {
  const CallHandler handler = MakeStoreHandler(*host_);
  for (const char* text :
       {R"({})", R"([])", R"({"compares":[["k"]],"puts":[],"deletes":[],"durable":true})",
        R"({"compares":[["k",-1]],"puts":[["k","v"]],"deletes":[],"durable":true})",
        R"({"puts":[["k","v"]],"deletes":[],"durable":true})", R"({"compares":[],"puts":[["k","v"]],"deletes":[],"durable":1})",
        R"({"compares":[],"puts":[["k",7]],"deletes":[],"durable":true})",
        R"({"compares":[],"puts":[["k","v"]],"deletes":[7],"durable":true})",
        R"({"compares":[],"puts":[["k","v"]],"deletes":[],"durable":true,"incarnation":"1"})"}) {
    const Result<Json> answer = Await(context_, handler("store.commit", Json::parse(text)));
    ASSERT_FALSE(answer.ok()) << text;
    EXPECT_EQ(answer.error().retry, Retry::kFail);
  }
  EXPECT_EQ(Await(context_, handler("store.watch", Json::object())).error().retry, Retry::kFail);
  EXPECT_EQ(Await(context_, handler("store.read", Json::object())).error().retry, Retry::kFail);
  EXPECT_EQ(Await(context_, handler("store.drop", Json::object())).error().retry, Retry::kNotFound);
  EXPECT_TRUE(Await(context_, remote_.Read("", 1s))->records.empty());
}

}  // namespace
}  // namespace lifeboat::testing
