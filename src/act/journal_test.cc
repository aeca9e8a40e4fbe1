// The journal: one execution at a time, no lost owner writes, and the own file while the store is silent.

#include "act/journal.h"

#include <gtest/gtest.h>

#include "act/plan.h"
#include "fakes/fake_files.h"
#include "fakes/fake_store.h"
#include "fakes/virtual_time.h"

namespace lifeboat::testing {
namespace {

class JournalTest : public ::testing::Test {
 protected:
  JournalTest() { time_.Attach(io_); }
  ~JournalTest() override { time_.Detach(io_); }

  template <typename T>
  T Await(Task<T> task) {
    return time_.Await(io_, std::move(task));
  }

  static Execution Some(const std::string& id, PlanKind kind = PlanKind::kSwitchover, const std::string& agent = "run-1") {
    Execution e;
    e.id = ExecutionId(id);
    e.kind = kind;
    e.source = RegionName("us-east-1");
    e.target = RegionName("us-west-2");
    e.owner = RegionName("us-west-2");
    e.owner_agent = AgentId(agent);
    e.epoch = {7};
    e.steps = FreshRecords(kind);
    return e;
  }
  std::optional<Execution> Stored(const std::string& id) {
    const auto value = server_.ValueOf("orders/executions/" + id);
    if (!value) return std::nullopt;
    return *ExecutionFromJson(*ParseJson(*value, id));
  }

  VirtualTime time_;
  FakeClock clock_{time_};
  boost::asio::io_context io_;
  FakeStoreServer server_;
  FakeStore store_{io_.get_executor(), clock_, server_, 2ms};
  FakeStore other_store_{io_.get_executor(), clock_, server_, 2ms};
  FakeFiles files_;
  FakeFiles other_files_;
  Journal journal_{clock_, store_, files_, "orders", "/state/journal", Log()};
  Journal other_{clock_, other_store_, other_files_, "orders", "/state/journal", Log()};
};

TEST_F(JournalTest, ASecondExecutionIsRefusedAndTheMessageNamesTheFirst) {
  ASSERT_TRUE(Await(journal_.Begin(Some("x-1"))).ok());
  const auto second = Await(other_.Begin(Some("x-2", PlanKind::kRejoin, "run-2")));
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().retry, Retry::kRefused);
  EXPECT_NE(second.error().message.find("switchover 'x-1' is running"), std::string::npos) << second.error().Text();
  EXPECT_NE(second.error().hint.find("x-1"), std::string::npos);
  EXPECT_FALSE(Stored("x-2"));
}

TEST_F(JournalTest, OfTwoThatBeginAtOnceOneIsRefused) {
  auto first = time_.Start(io_, journal_.Begin(Some("x-1")));
  auto second = time_.Start(io_, other_.Begin(Some("x-2", PlanKind::kRejoin, "run-2")));
  ASSERT_TRUE(time_.RunUntil([&] { return first->has_value() && second->has_value(); }, 5s));
  EXPECT_NE((*first)->ok(), (*second)->ok());
}

TEST_F(JournalTest, AnEndedExecutionLetsTheNextBegin) {
  Execution first = Some("x-1");
  ASSERT_TRUE(Await(journal_.Begin(first)).ok());
  first.state = ExecutionState::kDone;
  EXPECT_EQ(Await(journal_.Write(first, false)), Journal::Written::kInStore);
  EXPECT_FALSE(server_.ValueOf("orders/current"));
  EXPECT_TRUE(Await(other_.Begin(Some("x-2"))).ok());
}

TEST_F(JournalTest, AFailoverEndsARejoinInItsOwnTransaction) {
  Execution rejoin = Some("x-1", PlanKind::kRejoin, "run-2");
  ASSERT_TRUE(Await(other_.Begin(rejoin)).ok());
  const Execution failover = Some("x-2", PlanKind::kFailover);
  auto transaction = Await(journal_.Beginning(failover, true));
  ASSERT_TRUE(transaction.ok());
  // Nothing has changed yet: it goes with the claim, or not at all.
  EXPECT_EQ(Stored("x-1")->state, ExecutionState::kRunning);
  auto result = Await(store_.Commit(*transaction, 1s));
  ASSERT_TRUE(result.ok() && result->committed);
  journal_.Began(failover, result->version);
  EXPECT_EQ(Stored("x-1")->state, ExecutionState::kAborted);
  EXPECT_NE(Stored("x-1")->reason.find("x-2"), std::string::npos);
  EXPECT_EQ(server_.ValueOf("orders/current"), "x-2");
  // And the rejoin's owner, which does not know it yet, stops at its next write and does not free the failover's pointer.
  EXPECT_EQ(Await(other_.Write(rejoin, false)), Journal::Written::kLost);
  EXPECT_EQ(server_.ValueOf("orders/current"), "x-2");
  Execution mine = failover;
  EXPECT_EQ(Await(journal_.Write(mine, false)), Journal::Written::kInStore);
}

TEST_F(JournalTest, AnEndedRunThatWasSupersededDoesNotFreeItsSuccessorsPointer) {
  Execution rejoin = Some("x-1", PlanKind::kRejoin, "run-2");
  ASSERT_TRUE(Await(other_.Begin(rejoin)).ok());
  auto transaction = Await(journal_.Beginning(Some("x-2", PlanKind::kFailover), true));
  ASSERT_TRUE(Await(store_.Commit(*transaction, 1s))->committed);
  rejoin.state = ExecutionState::kFailed;
  EXPECT_EQ(Await(other_.Write(rejoin, false)), Journal::Written::kLost);
  EXPECT_EQ(server_.ValueOf("orders/current"), "x-2");
}

TEST_F(JournalTest, WhoWouldAdoptWhatAFailoverHasEndedDoesNotFreeTheFailoversPointer) {
  ASSERT_TRUE(Await(other_.Begin(Some("x-1", PlanKind::kRejoin, "run-2"))).ok());
  const Execution failover = Some("x-2", PlanKind::kFailover);
  auto transaction = Await(journal_.Beginning(failover, true));
  ASSERT_TRUE(Await(store_.Commit(*transaction, 1s))->committed);
  // Given: the rejoin's owner was cut off meanwhile and still holds it for its own. When: it would go on with it.
  const auto adopted = Await(other_.Adopt(ExecutionId("x-1"), RegionName("us-east-1"), AgentId("run-3")));
  // Then: it hears that it has ended, and the failover is still the one that runs.
  ASSERT_FALSE(adopted.ok());
  EXPECT_EQ(adopted.error().retry, Retry::kRefused);
  EXPECT_EQ(Stored("x-1")->state, ExecutionState::kAborted);
  EXPECT_EQ(server_.ValueOf("orders/current"), "x-2");
}

TEST_F(JournalTest, ALastWordInTheOwnFileDoesNotOverwriteTheEndThatAFailoverGaveIt) {
  Execution rejoin = Some("x-1", PlanKind::kRejoin, "run-2");
  ASSERT_TRUE(Await(other_.Begin(rejoin)).ok());
  // Given: its last word stands in the own file only, and a failover has ended it in the store since.
  other_store_.silent = true;
  rejoin.state = ExecutionState::kDone;
  ASSERT_EQ(Await(other_.Write(rejoin, true)), Journal::Written::kInFile);
  auto transaction = Await(journal_.Beginning(Some("x-2", PlanKind::kFailover), true));
  ASSERT_TRUE(Await(store_.Commit(*transaction, 1s))->committed);
  other_store_.silent = false;
  // When: it would be merged. Then: the store's word stands, and the own file is gone.
  EXPECT_FALSE(Await(other_.Adopt(ExecutionId("x-1"), RegionName("us-east-1"), AgentId("run-3"))).ok());
  EXPECT_EQ(Stored("x-1")->state, ExecutionState::kAborted);
  EXPECT_EQ(server_.ValueOf("orders/current"), "x-2");
  EXPECT_TRUE(other_files_.content.empty());
}

TEST_F(JournalTest, AnExecutionThatIsGoneWithAReplacedStoreIsLostAndNotWrittenForEver) {
  const FakeStoreServer before = server_;
  Execution e = Some("x-1");
  ASSERT_TRUE(Await(journal_.Begin(e)).ok());
  server_.PutInPlace(before);
  EXPECT_EQ(Await(journal_.Write(e, false)), Journal::Written::kLost);
  EXPECT_EQ(Await(journal_.Write(e, true)), Journal::Written::kLost);
  EXPECT_FALSE(Stored("x-1"));
}

TEST_F(JournalTest, ABeginWhoseAnswerWasLostIsFoundAgain) {
  store_.lose_answers = 1;
  Execution e = Some("x-1");
  ASSERT_TRUE(Await(journal_.Begin(e)).ok());
  // And it is this journal's to write.
  EXPECT_EQ(Await(journal_.Write(e, false)), Journal::Written::kInStore);
}

TEST_F(JournalTest, ABeginWhoseRequestWasLostIsNoSuccess) {
  store_.lose_requests = 1;
  const auto begun = Await(journal_.Begin(Some("x-1")));
  ASSERT_FALSE(begun.ok());
  EXPECT_FALSE(Stored("x-1"));
}

TEST_F(JournalTest, AWriteAfterALostAnswerGoesOnFromWhatStandsThere) {
  Execution e = Some("x-1");
  ASSERT_TRUE(Await(journal_.Begin(e)).ok());
  store_.lose_answers = 1;
  e.steps[0].state = StepState::kIntended;
  EXPECT_EQ(Await(journal_.Write(e, false)), Journal::Written::kNowhere);  // unknown is not written
  e.steps[0].state = StepState::kDone;
  EXPECT_EQ(Await(journal_.Write(e, false)), Journal::Written::kInStore);
  EXPECT_EQ(Stored("x-1")->steps[0].state, StepState::kDone);
  EXPECT_EQ(Stored("x-1")->revision, e.revision);
}

TEST_F(JournalTest, ALastWordWhoseAnswerWasLostIsNotTakenForAnothersEnd) {
  Execution e = Some("x-1");
  ASSERT_TRUE(Await(journal_.Begin(e)).ok());
  store_.lose_answers = 1;
  e.state = ExecutionState::kDone;
  EXPECT_EQ(Await(journal_.Write(e, false)), Journal::Written::kNowhere);
  const Journal::Written again = Await(journal_.Write(e, false));
  EXPECT_TRUE(again == Journal::Written::kInStore || again == Journal::Written::kLost);
  EXPECT_EQ(Stored("x-1")->state, ExecutionState::kDone);
  EXPECT_FALSE(server_.ValueOf("orders/current"));
}

TEST_F(JournalTest, AfterAnAdoptionTheOldOwnerCannotWrite) {
  Execution e = Some("x-1");
  ASSERT_TRUE(Await(journal_.Begin(e)).ok());
  const auto adopted = Await(other_.Adopt(e.id, RegionName("us-east-1"), AgentId("run-2")));
  ASSERT_TRUE(adopted.ok());
  EXPECT_EQ(adopted->owner_agent, AgentId("run-2"));
  e.steps[0].state = StepState::kDone;
  EXPECT_EQ(Await(journal_.Write(e, false)), Journal::Written::kLost);
  // SAFETY: also past the point of no return, where the own file would take it.
  EXPECT_EQ(Await(journal_.Write(e, true)), Journal::Written::kLost);
  EXPECT_EQ(Stored("x-1")->steps[0].state, StepState::kPending);
}

TEST_F(JournalTest, OfTwoThatAdoptOneIsRefused) {
  ASSERT_TRUE(Await(journal_.Begin(Some("x-1"))).ok());
  auto one = time_.Start(io_, journal_.Adopt(ExecutionId("x-1"), RegionName("us-west-2"), AgentId("run-2")));
  auto two = time_.Start(io_, other_.Adopt(ExecutionId("x-1"), RegionName("us-east-1"), AgentId("run-3")));
  ASSERT_TRUE(time_.RunUntil([&] { return one->has_value() && two->has_value(); }, 5s));
  EXPECT_NE((*one)->ok(), (*two)->ok());
}

TEST_F(JournalTest, ASilentStoreTakesNothingBeforeThePointOfNoReturnAndTheOwnFileDoesAfterIt) {
  Execution e = Some("x-1");
  ASSERT_TRUE(Await(journal_.Begin(e)).ok());
  store_.silent = true;
  EXPECT_EQ(Await(journal_.Write(e, false)), Journal::Written::kNowhere);
  EXPECT_TRUE(files_.content.empty());
  e.steps[0].state = StepState::kDone;
  EXPECT_EQ(Await(journal_.Write(e, true)), Journal::Written::kInFile);
  EXPECT_EQ(files_.content.size(), 1u);
  // The store comes back: the next write merges, and the file is gone.
  store_.silent = false;
  EXPECT_EQ(Await(journal_.Write(e, true)), Journal::Written::kInStore);
  EXPECT_TRUE(files_.content.empty());
  EXPECT_EQ(Stored("x-1")->steps[0].state, StepState::kDone);
}

TEST_F(JournalTest, ADiskThatIsFullBesidesASilentStoreTakesNothing) {
  Execution e = Some("x-1");
  ASSERT_TRUE(Await(journal_.Begin(e)).ok());
  store_.silent = true;
  files_.full = true;
  EXPECT_EQ(Await(journal_.Write(e, true)), Journal::Written::kNowhere);
}

TEST_F(JournalTest, AnOwnFileThatIsNewerThanTheStoresRecordWinsWhenTheExecutionIsFound) {
  Execution e = Some("x-1");
  ASSERT_TRUE(Await(journal_.Begin(e)).ok());
  store_.silent = true;
  e.steps[0].state = StepState::kDone;
  ASSERT_EQ(Await(journal_.Write(e, true)), Journal::Written::kInFile);
  store_.silent = false;
  // A new run of the agent, over the same files.
  Journal next(clock_, store_, files_, "orders", "/state/journal", Log());
  const auto found = Await(next.Find(e.id, 1s));
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->steps[0].state, StepState::kDone);
  const auto adopted = Await(next.Adopt(e.id, e.owner, AgentId("run-2")));
  ASSERT_TRUE(adopted.ok());
  EXPECT_EQ(adopted->steps[0].state, StepState::kDone);
  EXPECT_EQ(Stored("x-1")->steps[0].state, StepState::kDone);
  // Another region has no such file: it goes by the store's record.
  EXPECT_EQ(Await(other_.Find(e.id, 1s))->owner_agent, AgentId("run-2"));
}

TEST_F(JournalTest, AnOlderOwnFileDoesNotOverrideTheStore) {
  Execution e = Some("x-1");
  ASSERT_TRUE(Await(journal_.Begin(e)).ok());
  files_.content["/state/journal/x-1.json"] = ToJson(e).dump();
  e.steps[0].state = StepState::kDone;
  ASSERT_EQ(Await(journal_.Write(e, false)), Journal::Written::kInStore);
  Journal next(clock_, store_, files_, "orders", "/state/journal", Log());
  EXPECT_EQ(Await(next.Find(e.id, 1s))->steps[0].state, StepState::kDone);
}

TEST_F(JournalTest, ALastWordInTheOwnFileIsMergedByTheNextAdoption) {
  Execution e = Some("x-1");
  ASSERT_TRUE(Await(journal_.Begin(e)).ok());
  store_.silent = true;
  e.state = ExecutionState::kDone;
  ASSERT_EQ(Await(journal_.Write(e, true)), Journal::Written::kInFile);
  store_.silent = false;
  // Until it is merged nobody else can begin: so whoever has the file must be told that there is something to merge.
  const auto current = Await(journal_.Current(1s));
  ASSERT_TRUE(current.ok());
  ASSERT_TRUE(current->has_value()) << "the execution stays on record as running for all others, for ever";
  (void)Await(journal_.Adopt(e.id, e.owner, AgentId("run-2")));
  EXPECT_EQ(Stored("x-1")->state, ExecutionState::kDone);
  EXPECT_FALSE(server_.ValueOf("orders/current"));
  EXPECT_TRUE(files_.content.empty());
  EXPECT_TRUE(Await(other_.Begin(Some("x-2"))).ok());
}

TEST_F(JournalTest, ACorruptOwnFileIsPassedOver) {
  Execution e = Some("x-1");
  ASSERT_TRUE(Await(journal_.Begin(e)).ok());
  for (const char* text : {"", "{", "null", "{\"id\": \"x-1\"}", "\xff\xfe", "[1,2,3]"}) {
    files_.content["/state/journal/x-1.json"] = text;
    const auto found = Await(journal_.Find(e.id, 1s));
    ASSERT_TRUE(found.ok()) << text;
    EXPECT_EQ(found->revision, 0u);
  }
}

TEST_F(JournalTest, ACorruptRecordInTheStoreIsAnErrorAndNotAnEmptyJournal) {
  Transaction bad;
  bad.puts = {{"orders/current", "x-1"}, {"orders/executions/x-1", "{\"id\":"}};
  ASSERT_TRUE(Await(store_.Commit(bad, 1s))->committed);
  EXPECT_FALSE(Await(journal_.Current(1s)).ok());
  EXPECT_FALSE(Await(journal_.Begin(Some("x-2"))).ok());
}

TEST_F(JournalTest, AnUnknownExecutionIsNotFound) {
  const auto found = Await(journal_.Find(ExecutionId("x-9"), 1s));
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().retry, Retry::kNotFound);
}

}  // namespace
}  // namespace lifeboat::testing
