#include "adapters/store/embedded_store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fstream>
#include <sstream>

#include "adapters/store/store_test_support.h"
#include "support/run_task.h"

namespace lifeboat::testing {
namespace {

using ::testing::HasSubstr;

Transaction PutOf(const std::string& key, const std::string& value, Durability durability = Durability::kDurable) {
  Transaction transaction;
  transaction.puts.push_back({key, value});
  transaction.durability = durability;
  return transaction;
}

std::string BytesOf(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

class EmbeddedStoreTest : public ::testing::Test {
 protected:
  std::string ErrorOfOpening() {
    Result<std::unique_ptr<EmbeddedStore>> opened = EmbeddedStore::Open(context_.get_executor(), file_);
    return opened ? "(opened)" : opened.error().Text();
  }
  Result<TransactionResult> Commit(EmbeddedStore& store, Transaction transaction) {
    return Await(context_, store.Commit(std::move(transaction), 10s));
  }
  std::string ValueOf(EmbeddedStore& store, const std::string& key) {
    const Result<Reading> reading = Await(context_, store.Read(key, 1s));
    return reading->records.empty() ? "(absent)" : reading->records[0].value;
  }

  boost::asio::io_context context_;
  TestFolder folder_;
  std::string file_ = folder_.File("store.sqlite");
};

TEST_F(EmbeddedStoreTest, KeepsASecondOpenerOut) {
  auto store = OpenOrThrow(context_, file_);
  EXPECT_THAT(ErrorOfOpening(), HasSubstr("is open in another process"));
  EXPECT_TRUE(Commit(*store, PutOf("k", "v")).ok());
  store.reset();
  EXPECT_EQ(ErrorOfOpening(), "(opened)");
}

TEST_F(EmbeddedStoreTest, IsReadableByItsUserOnly) {
  auto store = OpenOrThrow(context_, file_);
  EXPECT_TRUE(Commit(*store, PutOf("k", "v"))->committed);
  for (const char* suffix : {"", "-wal", ".lock"}) {
    struct ::stat status {};
    ASSERT_EQ(::stat((file_ + suffix).c_str(), &status), 0) << suffix;
    EXPECT_EQ(status.st_mode & 0777, 0600u) << suffix;
  }
}

TEST_F(EmbeddedStoreTest, RefusesAFileThatIsNoDatabaseAndLeavesItAlone) {
  std::ofstream(file_) << "name: orders\n" << std::string(500, '#');
  const std::string before = BytesOf(file_);
  EXPECT_THAT(ErrorOfOpening(), HasSubstr("is not a Lifeboat store"));
  EXPECT_EQ(BytesOf(file_), before);
}

TEST_F(EmbeddedStoreTest, RefusesADatabaseOfAnotherApplicationOrVersionAndLeavesItAlone) {
  OpenOrThrow(context_, file_).reset();
  const std::string good = BytesOf(file_);
  for (const std::size_t at : {std::size_t{68}, std::size_t{63}}) {
    std::string changed = good;
    changed[at] = '\x7f';
    std::ofstream(file_, std::ios::binary) << changed;
    EXPECT_THAT(ErrorOfOpening(), HasSubstr(at == 68 ? "of another application" : "schema version '127'"));
    EXPECT_EQ(BytesOf(file_), changed);
  }
}

TEST_F(EmbeddedStoreTest, RefusesACorruptFileAndLeavesItAlone) {
  {
    auto store = OpenOrThrow(context_, file_);
    for (int key = 0; key < 200; ++key) {
      EXPECT_TRUE(Commit(*store, PutOf("k/" + std::to_string(key), std::string(500, 'v')))->committed);
    }
  }
  const std::string good = BytesOf(file_);
  ASSERT_GT(good.size(), 40'000u);
  // Given pages overwritten, and a file that ends too early.
  std::string torn = good;
  for (std::size_t at = 4096; at + 4096 < torn.size(); at += 8192) std::fill_n(torn.begin() + static_cast<long>(at), 2048, '\x5a');
  for (const std::string& changed : {torn, good.substr(0, good.size() / 2), good.substr(0, 50)}) {
    std::ofstream(file_, std::ios::binary) << changed;
    EXPECT_NE(ErrorOfOpening(), "(opened)");
    EXPECT_EQ(BytesOf(file_), changed);
  }
  std::ofstream(file_, std::ios::binary) << good;
  auto store = OpenOrThrow(context_, file_);
  EXPECT_EQ(Await(context_, store->Read("k/", 1s))->records.size(), 200u);
}

TEST_F(EmbeddedStoreTest, RefusesALogWithoutItsDatabase) {
  std::ofstream(file_ + "-wal") << "frames";
  EXPECT_THAT(ErrorOfOpening(), HasSubstr("is missing, but its log"));
  EXPECT_FALSE(std::filesystem::exists(file_));
}

TEST_F(EmbeddedStoreTest, SaysWhyItCannotOpenInAFolderThatIsNotThere) {
  file_ = folder_.File("absent/store.sqlite");
  EXPECT_THAT(ErrorOfOpening(), HasSubstr("No such file or directory"));
}

/// Lowers the largest size of a file that this process may write, for its own life.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) : old_handler_(::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    rlimit limit = old_;
    limit.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    ::signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_{};
  sighandler_t old_handler_;
};

TEST_F(EmbeddedStoreTest, ADiskThatCannotTakeMoreFailsTheDurableChangeOnlyAndIsTriedAgain) {
  auto store = OpenOrThrow(context_, file_);
  const Version before = Commit(*store, PutOf("k", "before"))->version;
  {
    const FullDisk full(1 << 20);
    const Result<TransactionResult> failed = Commit(*store, PutOf("k", std::string(4 << 20, 'x')));
    ASSERT_FALSE(failed.ok());
    EXPECT_EQ(failed.error().retry, Retry::kFail);
    EXPECT_THAT(failed.error().message, HasSubstr("cannot write"));
    EXPECT_THAT(failed.error().hint, HasSubstr("free space"));
    // Then nothing has changed, and reads and renewals go on.
    const Result<Reading> reading = Await(context_, store->Read("k", 1s));
    EXPECT_EQ(reading->records[0], (Record{"k", "before", before}));
    EXPECT_TRUE(Commit(*store, PutOf("lease", "renewed", Durability::kVolatile))->committed);
  }
  EXPECT_TRUE(Commit(*store, PutOf("k", "after"))->committed);
  store.reset();
  store = OpenOrThrow(context_, file_);
  EXPECT_EQ(ValueOf(*store, "k"), "after");
}

TEST_F(EmbeddedStoreTest, WhatWasAnsweredAsNotWrittenIsNotThereAfterARestartEither) {
  for (int round = 0; round < 3; ++round) {
    auto store = OpenOrThrow(context_, file_);
    EXPECT_EQ(ValueOf(*store, "big"), "(absent)");
    const FullDisk full((1 << 20) + round * 4096);
    EXPECT_FALSE(Commit(*store, PutOf("big", std::string(2 << 20, 'x'))).ok());
    EXPECT_FALSE(Commit(*store, PutOf("big", std::string(2 << 20, 'x'))).ok());
  }
}

TEST_F(EmbeddedStoreTest, ACancelledWatchEndsAndLeavesTheStoreWorking) {
  using namespace boost::asio::experimental::awaitable_operators;
  auto store = OpenOrThrow(context_, file_);
  const Result<Reading> now = Await(context_, store->Read("", 1s));
  const auto race = [](EmbeddedStore& in, Reading since) -> Task<Result<Unit>> {
    boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, 50ms);
    auto ended = co_await (in.Watch("k", since.version, since.incarnation, 60s) || timer.async_wait(boost::asio::use_awaitable));
    co_return ended.index() == 1 ? Result<Unit>(Done()) : Result<Unit>(Fail("the watch ended first"));
  };
  const auto began = std::chrono::steady_clock::now();
  EXPECT_TRUE(Await(context_, race(*store, *now)).ok());
  EXPECT_LT(std::chrono::steady_clock::now() - began, 10s);
  EXPECT_TRUE(Commit(*store, PutOf("k", "v"))->committed);
}

TEST_F(EmbeddedStoreTest, AReseededStoreIsANewLifeThatHoldsNothingElse) {
  auto store = OpenOrThrow(context_, file_);
  ASSERT_TRUE(Commit(*store, PutOf("journal", "old"))->committed);
  const Incarnation before = store->incarnation();
  auto watch = Start(context_, store->Watch("lease", Version{UINT64_MAX >> 1}, before, 10s));
  // Whoever has seen another life may not.
  const auto refused = Await(context_, store->Reseed(Incarnation{before.number + 1}, Incarnation{9}, {{"lease", "x"}}, 1s));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().retry, Retry::kRefused);
  EXPECT_EQ(ValueOf(*store, "journal"), "old");

  const auto begun = Await(context_, store->Reseed(before, Incarnation{9}, {{"lease", "epoch 12"}}, 5s));
  ASSERT_TRUE(begun.ok()) << begun.error().Text();
  EXPECT_EQ(*begun, Incarnation{9});
  EXPECT_EQ(ValueOf(*store, "lease"), "epoch 12");
  EXPECT_TRUE(Await(context_, store->Read("journal", 1s))->records.empty());
  // The watcher looks again, and a change that expects the old life does nothing.
  context_.restart();
  context_.poll();
  ASSERT_TRUE(watch->has_value());
  EXPECT_EQ((**watch)->incarnation, Incarnation{9});
  Transaction late = PutOf("lease", "late");
  late.incarnation = before;
  EXPECT_FALSE(Commit(*store, late)->committed);
  EXPECT_TRUE(Commit(*store, PutOf("journal", "new"))->committed);

  // It is on the disk, and the next life comes after it.
  store.reset();
  store = OpenOrThrow(context_, file_);
  EXPECT_EQ(store->incarnation(), Incarnation{10});
  EXPECT_EQ(ValueOf(*store, "lease"), "epoch 12");
  EXPECT_EQ(ValueOf(*store, "journal"), "new");
  // `least` never leads back.
  EXPECT_EQ(*Await(context_, store->Reseed(Incarnation{10}, Incarnation{3}, {{"lease", "epoch 14"}}, 5s)), Incarnation{11});
}

/// A disk that waits for a word before each write, and writes nowhere.
class SlowDisk : public StoreDisk {
 public:
  struct Gate {
    std::atomic<int> begun = 0;
    std::atomic<int> allowed = 0;
    std::atomic<bool> full = false;
  };
  explicit SlowDisk(Gate& gate) : gate_(gate) {}
  Result<Unit> Write(const DurableChange&) override {
    const int mine = ++gate_.begun;
    while (gate_.allowed < mine) gate_.allowed.wait(mine - 1);
    if (gate_.full) return Fail("the disk is full");
    return Done();
  }

 private:
  Gate& gate_;
};

class EmbeddedStoreOnASlowDisk : public EmbeddedStoreTest {
 protected:
  EmbeddedStoreOnASlowDisk() {
    StoreContents contents{Incarnation{7}, {{"lease", "epoch 1", Version{1}}, {"journal", "step 0", Version{2}}}};
    store_ = std::make_unique<EmbeddedStore>(context_.get_executor(), contents, std::make_unique<SlowDisk>(gate_));
  }
  ~EmbeddedStoreOnASlowDisk() override { Allow(100); }
  void Allow(int writes) {
    gate_.allowed = writes;
    gate_.allowed.notify_all();
  }
  Outcome<Result<TransactionResult>> StartCommit(Transaction transaction, Duration timeout = 10s) {
    auto outcome = Start(context_, store_->Commit(std::move(transaction), timeout));
    context_.restart();
    context_.poll();
    return outcome;
  }

  SlowDisk::Gate gate_;
  std::unique_ptr<EmbeddedStore> store_;
};

TEST_F(EmbeddedStoreOnASlowDisk, NothingOvertakesAReseedAndAFullDiskChangesNothing) {
  gate_.full = true;
  auto reseed = Start(context_, store_->Reseed(Incarnation{7}, Incarnation{8}, {{"lease", "epoch 9"}}, 10s));
  context_.restart();
  context_.poll();
  Transaction renewal = PutOf("lease", "epoch 1 renewed");
  renewal.durability = Durability::kVolatile;
  renewal.incarnation = Incarnation{7};
  auto waits = StartCommit(renewal);
  EXPECT_FALSE(waits->has_value());
  EXPECT_EQ(Await(context_, store_->Reseed(Incarnation{7}, Incarnation{8}, {{"lease", "y"}}, 1s)).error().retry, Retry::kRetry);
  Allow(1);
  EXPECT_TRUE(RunUntil(context_, [&] { return reseed->has_value() && waits->has_value(); }));
  EXPECT_FALSE((*reseed)->ok());
  EXPECT_TRUE((**waits)->committed);  // the old life goes on
  EXPECT_EQ(store_->incarnation(), Incarnation{7});
}

TEST_F(EmbeddedStoreOnASlowDisk, ADurableChangeIsInvisibleUntilItIsOnTheDisk) {
  auto change = StartCommit(PutOf("journal", "step 1"));
  EXPECT_EQ(ValueOf(*store_, "journal"), "step 0");
  EXPECT_FALSE(change->has_value());
  Allow(1);
  EXPECT_TRUE(Finish(context_, change)->committed);
  EXPECT_EQ(ValueOf(*store_, "journal"), "step 1");
}

TEST_F(EmbeddedStoreOnASlowDisk, ARenewalDoesNotWaitForTheDiskAndNoWatcherMissesTheOvertakenChange) {
  auto change = StartCommit(PutOf("journal", "step 1"));
  const Result<TransactionResult> renewal = Commit(*store_, PutOf("lease", "renewed", Durability::kVolatile));
  EXPECT_TRUE(renewal->committed);
  EXPECT_FALSE(change->has_value());
  // Given a watcher that has read after the renewal, whose version is the higher one.
  const Result<Reading> now = Await(context_, store_->Read("", 1s));
  auto watch = Start(context_, store_->Watch("journal", now->version, now->incarnation, 10s));
  Allow(1);
  const TransactionResult done = *Finish(context_, change);
  EXPECT_LT(done.version, renewal->version);
  const Result<Reading> seen = Finish(context_, watch);
  ASSERT_EQ(seen->records.size(), 1u);
  EXPECT_EQ(seen->records[0], (Record{"journal", "step 1", done.version}));
  EXPECT_GT(seen->version, now->version);
}

TEST_F(EmbeddedStoreOnASlowDisk, ARenewalOfTheKeyThatIsBeingWrittenWaitsAndThenLoses) {
  Transaction takeover = PutOf("lease", "epoch 2");
  takeover.compares.push_back({"lease", Version{1}});
  Transaction renewal = PutOf("lease", "epoch 1, renewed", Durability::kVolatile);
  renewal.compares.push_back({"lease", Version{1}});
  auto first = StartCommit(takeover);
  auto second = StartCommit(renewal);
  EXPECT_FALSE(second->has_value());
  Allow(1);
  EXPECT_TRUE(Finish(context_, first)->committed);
  const Result<TransactionResult> lost = Finish(context_, second);
  EXPECT_FALSE(lost->committed);
  ASSERT_EQ(lost->current.size(), 1u);
  EXPECT_EQ(lost->current[0].value, "epoch 2");
}

TEST_F(EmbeddedStoreOnASlowDisk, ATransactionThatComparesTheKeyBeingWrittenWaits) {
  auto writing = StartCommit(PutOf("journal", "step 1"));
  Transaction reader = PutOf("note", "x", Durability::kVolatile);
  reader.compares.push_back({"journal", Version{2}});
  auto waiting = StartCommit(reader);
  EXPECT_FALSE(waiting->has_value());
  Allow(1);
  EXPECT_TRUE(Finish(context_, writing)->committed);
  EXPECT_FALSE(Finish(context_, waiting)->committed);
}

TEST_F(EmbeddedStoreOnASlowDisk, AFailedWriteChangesNothingAndTheNextInTurnGoesOn) {
  gate_.full = true;
  auto first = StartCommit(PutOf("journal", "step 1"));
  auto second = StartCommit(PutOf("journal", "step 2"));
  Allow(1);
  EXPECT_EQ(Finish(context_, first).error().retry, Retry::kFail);
  EXPECT_EQ(ValueOf(*store_, "journal"), "step 0");
  gate_.full = false;
  Allow(2);
  EXPECT_TRUE(Finish(context_, second)->committed);
  EXPECT_EQ(ValueOf(*store_, "journal"), "step 2");
}

TEST_F(EmbeddedStoreOnASlowDisk, ADeadlineMeansUnknownWhileTheDiskWritesAndNothingChangedWhileInTheQueue) {
  auto writing = StartCommit(PutOf("journal", "step 1"), 50ms);
  auto waiting = StartCommit(PutOf("journal", "step 2"), 50ms);
  EXPECT_EQ(Finish(context_, writing).error().retry, Retry::kUnknownOutcome);
  EXPECT_EQ(Finish(context_, waiting).error().retry, Retry::kRetry);
  Allow(2);
  ASSERT_TRUE(RunUntil(context_, [this] { return ValueOf(*store_, "journal") == "step 1"; }));
  EXPECT_EQ(gate_.begun, 1) << "what was answered 'nothing changed' was written after all";
}

TEST_F(EmbeddedStoreOnASlowDisk, EndingTheStoreAnswersEveryCallThatWaits) {
  auto writing = StartCommit(PutOf("journal", "step 1"));
  auto waiting = StartCommit(PutOf("journal", "step 2"));
  auto watch = Start(context_, store_->Watch("other", Version{~0ULL}, Incarnation{7}, 10s));
  context_.restart();
  context_.poll();
  Allow(1);
  store_.reset();
  EXPECT_TRUE(Finish(context_, writing)->committed);
  EXPECT_EQ(Finish(context_, waiting).error().retry, Retry::kRetry);
  EXPECT_EQ(Finish(context_, watch).error().retry, Retry::kRetry);
}

TEST_F(EmbeddedStoreOnASlowDisk, AWatcherThatMissedMoreDeletesThanAreRememberedIsWoken) {
  const Result<Reading> start = Await(context_, store_->Read("", 1s));
  for (int key = 0; key < 5000; ++key) {
    const std::string name = "k/" + std::to_string(key);
    EXPECT_TRUE(Commit(*store_, PutOf(name, "v", Durability::kVolatile))->committed);
    Transaction remove;
    remove.deletes.push_back(name);
    remove.durability = Durability::kVolatile;
    EXPECT_TRUE(Commit(*store_, remove)->committed);
  }
  const auto began = std::chrono::steady_clock::now();
  EXPECT_TRUE(Await(context_, store_->Watch("k/3", start->version, start->incarnation, 10s)).ok());
  EXPECT_LT(std::chrono::steady_clock::now() - began, 5s);
}

/// Commits durable records for ever and prints the number of each one that was acknowledged.
[[noreturn]] void CommitUntilKilled(const std::string& file, int acknowledged) {
  boost::asio::io_context context;
  auto store = OpenOrThrow(context, file);
  for (std::uint32_t number = 1;; ++number) {
    Transaction change = PutOf("n/" + std::to_string(number), std::string(200, 'v'));
    change.puts.push_back({"last", std::to_string(number)});
    const Result<TransactionResult> result = Await(context, store->Commit(std::move(change), 10s));
    if (!result || !result->committed || ::write(acknowledged, &number, sizeof number) != sizeof number) ::_exit(1);
  }
}

TEST(EmbeddedStoreKilled, KeepsEveryAcknowledgedDurableCommit) {
  TestFolder folder;
  const std::string file = folder.File("store.sqlite");
  std::uint64_t incarnation = 0;
  for (const std::uint32_t kill_after : {3u, 40u, 300u}) {
    int pipe_ends[2];
    ASSERT_EQ(::pipe2(pipe_ends, O_CLOEXEC), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) CommitUntilKilled(file, pipe_ends[1]);
    ::close(pipe_ends[1]);
    std::uint32_t acknowledged = 0;
    std::uint32_t number = 0;
    while (acknowledged < kill_after && ::read(pipe_ends[0], &number, sizeof number) == sizeof number) acknowledged = number;
    ::kill(child, SIGKILL);
    while (::read(pipe_ends[0], &number, sizeof number) == sizeof number) acknowledged = number;
    ::close(pipe_ends[0]);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    ASSERT_GE(acknowledged, kill_after);

    boost::asio::io_context context;
    auto store = OpenOrThrow(context, file);
    EXPECT_GT(store->incarnation().number, incarnation + 1);
    incarnation = store->incarnation().number;
    for (std::uint32_t each = 1; each <= acknowledged; ++each) {
      ASSERT_FALSE(Await(context, store->Read("n/" + std::to_string(each), 1s))->records.empty())
          << "commit " << each << " was acknowledged";
    }
    // Both keys of a transaction are there, or neither.
    const Result<Reading> newest = Await(context, store->Read("last", 1s));
    ASSERT_EQ(newest->records.size(), 1u);
    const std::string last = newest->records[0].value;
    EXPECT_GE(std::stoul(last), acknowledged);
    EXPECT_FALSE(Await(context, store->Read("n/" + last, 1s))->records.empty());
  }
}

}  // namespace
}  // namespace lifeboat::testing
