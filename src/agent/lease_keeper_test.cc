// The lease keeper alone, on a fake store, a fake disk and the guard's real decisions: in which order it speaks to them.

#include "agent/lease_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fakes/fake_files.h"
#include "fakes/fake_guard.h"
#include "fakes/fake_peers.h"
#include "fakes/fake_store.h"

namespace lifeboat::testing {
namespace {

using ::testing::HasSubstr;

const RegionName kEast("us-east-1");
const RegionName kWest("us-west-2");

/// The guard, and what arrives at it right after it has been told to end the server.
class GuardWithLateMessages final : public Guard {
 public:
  GuardWithLateMessages(Clock& clock, FakeGuardProcess& process) : clock_(clock), inner_(clock, process) {}
  Duration permit_takes{0};  ///< how late its answer to a permission comes
  std::function<void()> after_forbid;
  std::vector<Epoch> forbidden;

  Task<Result<Unit>> Permit(Epoch epoch, Instant deadline, Duration length, Duration timeout) override {
    auto permitted = co_await inner_.Permit(epoch, deadline, length, timeout);
    co_await clock_.Sleep(permit_takes);
    co_return permitted;
  }
  Task<Result<Unit>> Forbid(Epoch epoch, Duration timeout) override {
    forbidden.push_back(epoch);
    auto done = co_await inner_.Forbid(epoch, timeout);
    if (const auto late = std::exchange(after_forbid, nullptr)) late();
    co_return done;
  }
  Task<Result<Unit>> Close(Epoch epoch, Duration timeout) override { co_return co_await inner_.Close(epoch, timeout); }
  Task<Result<Unit>> Hold(Epoch epoch, Duration timeout) override { co_return co_await inner_.Hold(epoch, timeout); }
  Task<GuardState> Look(Duration timeout) override { co_return co_await inner_.Look(timeout); }

 private:
  Clock& clock_;
  FakeGuard inner_;
};

class LeaseKeeperTest : public ::testing::Test {
 protected:
  /// One run of an agent's keeper; the store has been read by it.
  struct Run {
    Run(LeaseKeeperTest& test, const RegionName& self, std::optional<AgentRecord> record, Automation automation)
        : time(test.time_), peers(self, test.clock_, test.hub_), store(io.get_executor(), test.clock_, test.server_, 2ms) {
      time.Attach(io);
      const LeaseKeeper::Options options{self, AgentId(self.text + "-run-2"), "orders", LeaseSettings{}, automation,
                                         0s,   "/state/record.json"};
      keeper = std::make_unique<LeaseKeeper>(
          io.get_executor(), options, std::move(record),
          LeaseKeeper::Doors{test.clock_, store, test.files_, peers, &test.guard_, [] { return true; }, [] {}}, Log());
    }
    ~Run() { time.Detach(io); }
    /// Reads the store, and goes on watching it.
    void Watch() {
      boost::asio::co_spawn(io, keeper->WatchLoop(), boost::asio::detached);
      time.RunFor(10ms);
    }
    template <typename T>
    T Await(Task<T> task) {
      return time.Await(io, std::move(task), 1min);
    }
    VirtualTime& time;
    boost::asio::io_context io;
    FakePeers peers;
    FakeStore store;
    std::unique_ptr<LeaseKeeper> keeper;
  };

  LeaseKeeperTest() { servers_.Seed(); }

  std::unique_ptr<Run> Begin(const RegionName& self, std::optional<AgentRecord> record = std::nullopt,
                             Automation automation = Automation::kAct) {
    return std::make_unique<Run>(*this, self, std::move(record), automation);
  }
  /// us-east-1 holds epoch 1, and its guard permits it.
  std::unique_ptr<Run> Holder() {
    auto run = Begin(kEast);
    run->Watch();
    EXPECT_TRUE(run->Await(run->keeper->Found()).ok());
    EXPECT_TRUE(run->Await(run->keeper->PrepareToWrite(Epoch{1})).ok());
    EXPECT_TRUE(process_.core().permission());
    return run;
  }
  [[nodiscard]] LeaseItem Stored() const { return *LeaseItemFromJson(*ParseJson(*server_.ValueOf("orders/lease"), "lease")); }
  void Put(const LeaseItem& item) {
    Transaction put;
    put.puts.push_back({"orders/lease", ToJson(item).dump()});
    put.durability = Durability::kDurable;
    ASSERT_TRUE(server_.Apply(put).ok());
  }
  static LeaseItem ItemOf(Epoch epoch, const RegionName& holder, const RegionName& candidate) {
    LeaseItem item;
    item.epoch = epoch;
    item.holder = holder;
    item.holder_agent = AgentId(holder.text + "-run-1");
    item.candidates = {candidate};
    item.length = 3s;
    return item;
  }

  VirtualTime time_;
  FakeClock clock_{time_};
  FakeServers servers_{time_};
  FakeServer& database_ = servers_.Add("us-east-1", "127.0.1.1");
  FakeGuardProcess process_{clock_, database_};
  GuardWithLateMessages guard_{clock_, process_};
  FakeStoreServer server_;
  FakeFiles files_;
  FakeNetwork network_;
  FakePeerHub hub_{network_};
};

using LeaseKeeperRelease = LeaseKeeperTest;

TEST_F(LeaseKeeperRelease, APermissionThatWasOnItsWayOpensNothingOfAReleasedEpoch) {
  const auto run = Holder();
  // given: a permission that left before the release, and arrives once nothing of the server is left
  const auto late = [&] {
    const Permission permission{Epoch{1}, clock_.Now() + 2s, 3s};
    return process_.core().Consider(permission, clock_.Now()) == GuardAnswer::kDone
               ? process_.core().Permit(permission, clock_.Now())
               : GuardAnswer::kLowerEpoch;
  };
  guard_.after_forbid = [&] { EXPECT_EQ(late(), GuardAnswer::kDone) << "the guard cannot know yet"; };
  // when
  ASSERT_TRUE(run->Await(run->keeper->Release(Epoch{1}, kWest, "token")).ok());
  // then: it is ended again before the others hear of the release, and another one that is later still is refused
  EXPECT_TRUE(Stored().released);
  EXPECT_FALSE(process_.core().permission());
  EXPECT_EQ(late(), GuardAnswer::kLowerEpoch);
  EXPECT_EQ(guard_.forbidden, (std::vector{Epoch{1}, Epoch{2}}));
}

TEST_F(LeaseKeeperRelease, IsNotSentBeforeTheGuardHasEndedTheEpoch) {
  const auto run = Holder();
  guard_.after_forbid = [&] { process_.Die(); };
  EXPECT_FALSE(run->Await(run->keeper->Release(Epoch{1}, kWest, "token")).ok());
  EXPECT_FALSE(Stored().released);
  // Tried again, it goes on from there.
  process_.Live();
  ASSERT_TRUE(run->Await(run->keeper->Release(Epoch{1}, kWest, "token")).ok());
  EXPECT_TRUE(Stored().released);
}

TEST_F(LeaseKeeperRelease, ThatDidNotReachTheStoreIsSentAgain) {
  const auto run = Holder();
  run->store.silent = true;
  EXPECT_FALSE(run->Await(run->keeper->Release(Epoch{1}, kWest, "token")).ok());
  EXPECT_FALSE(Stored().released);
  run->store.silent = false;
  time_.RunFor(2s);
  const auto again = run->Await(run->keeper->Release(Epoch{1}, kWest, "token"));
  ASSERT_TRUE(again.ok()) << again.error().Text();
  EXPECT_TRUE(Stored().released);
}

TEST_F(LeaseKeeperRelease, WhoseHeirDoesNotComeIsGoneOnWithUnderTheNextEpoch) {
  const auto run = Holder();
  ASSERT_TRUE(run->Await(run->keeper->Release(Epoch{1}, kWest, "token")).ok());
  const auto reclaimed = run->Await(run->keeper->Reclaim());
  ASSERT_TRUE(reclaimed.ok()) << reclaimed.error().Text();
  EXPECT_EQ(*reclaimed, Epoch{2});
  ASSERT_TRUE(run->Await(run->keeper->PrepareToWrite(Epoch{2})).ok());
  EXPECT_EQ(process_.core().permission()->epoch, Epoch{2});
}

TEST_F(LeaseKeeperTest, ALeaseThatEndsWhileItIsPreparedForOpensNothing) {
  const auto run = Holder();
  ASSERT_TRUE(run->keeper->Holds(Epoch{1}));
  // when: the word of the guard takes longer than the lease has left, and nothing renews it
  guard_.permit_takes = 4s;
  const auto prepared = run->Await(run->keeper->PrepareToWrite(Epoch{1}));
  // then: somebody else may have taken over by now
  ASSERT_FALSE(prepared.ok());
  EXPECT_EQ(prepared.error().retry, Retry::kRetry);
  EXPECT_THAT(prepared.error().message, HasSubstr("has ended while"));
}

TEST_F(LeaseKeeperTest, ARunThatFindsItselfTheHolderOpensNothingWhileItsOwnPromiseBindsIt) {
  // given: an earlier run of this region claimed epoch 2 and died before it heard so; this one has read nothing yet, and gives the
  // holder of epoch 1 its word
  AgentRecord record;
  record.highest = Epoch{1};
  const auto run = Begin(kWest, record);
  const PromiseQuestion question{kEast, AgentId("east-run-1"), Epoch{1}, clock_.Now(), 3s, true};
  const auto answer = run->Await(run->keeper->OnQuestion(ToJson(question)));
  ASSERT_TRUE(answer.ok());
  ASSERT_TRUE(PromiseAnswerFromJson(*answer)->promised) << answer->dump();
  // when: it reads the store, and adopts the lease there
  Put(ItemOf(Epoch{2}, kWest, kEast));
  run->Watch();
  ASSERT_TRUE(run->Await(run->keeper->RenewNow()).ok());
  ASSERT_TRUE(run->keeper->Holds(Epoch{2}));
  // then: the old primary may still write by that word
  const auto bound = run->Await(run->keeper->PrepareToWrite(Epoch{2}));
  ASSERT_FALSE(bound.ok());
  EXPECT_THAT(bound.error().message, HasSubstr("own promise"));
  EXPECT_FALSE(process_.core().permission()) << "the guard was not fed either";
  time_.RunFor(3020ms);
  ASSERT_TRUE(run->Await(run->keeper->RenewNow()).ok());
  EXPECT_TRUE(run->Await(run->keeper->PrepareToWrite(Epoch{2})).ok());
}

TEST_F(LeaseKeeperTest, ARunThatFindsItselfTheHolderOpensNothingWhileThePromiseOfAnEarlierRunMayBindIt) {
  // given: an earlier run claimed epoch 2 and died before it heard so, the next one gave the holder of epoch 1 its word and died
  // too
  AgentRecord record;
  record.highest = Epoch{1};
  record.longest_promise = 3s;
  const auto run = Begin(kWest, record);
  Put(ItemOf(Epoch{2}, kWest, kEast));
  run->Watch();
  time_.RunFor(100ms);
  ASSERT_TRUE(run->Await(run->keeper->RenewNow()).ok());
  ASSERT_TRUE(run->keeper->Holds(Epoch{2}));
  // then: this run has promised nothing, and opens nothing all the same
  const auto bound = run->Await(run->keeper->PrepareToWrite(Epoch{2}));
  ASSERT_FALSE(bound.ok());
  EXPECT_THAT(bound.error().message, HasSubstr("earlier run"));
  EXPECT_FALSE(process_.core().permission()) << "the guard was not fed either";
  time_.RunFor(3020ms);
  ASSERT_TRUE(run->Await(run->keeper->RenewNow()).ok());
  EXPECT_TRUE(run->Await(run->keeper->PrepareToWrite(Epoch{2})).ok());
}

TEST_F(LeaseKeeperTest, ARegionThatHasOpenedItsEpochBeforeNeedNotWaitForWhatItPromisedBeforeThat) {
  AgentRecord record;
  record.highest = record.held = Epoch{2};
  record.longest_promise = 3s;
  const auto run = Begin(kWest, record);
  Put(ItemOf(Epoch{2}, kWest, kEast));
  run->Watch();
  time_.RunFor(100ms);
  ASSERT_TRUE(run->Await(run->keeper->RenewNow()).ok());
  EXPECT_TRUE(run->Await(run->keeper->PrepareToWrite(Epoch{2})).ok());
}

TEST_F(LeaseKeeperTest, ALeaseThatFencesNothingIsClaimedOnlyByAPersonsWord) {
  LeaseItem item = ItemOf(Epoch{1}, kEast, kWest);
  item.observed = true;
  Put(item);
  AgentRecord record;
  record.highest = Epoch{1};
  const auto run = Begin(kWest, record);
  run->Watch();
  time_.RunFor(10s);
  Transaction nothing;
  const auto refused = run->Await(run->keeper->Claim(nothing, ""));
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr("fences nothing"));
  EXPECT_EQ(Stored().epoch, Epoch{1});
  const auto claimed = run->Await(run->keeper->Claim(nothing, "jane: power cut"));
  ASSERT_TRUE(claimed.ok()) << claimed.error().Text();
  EXPECT_FALSE(Stored().observed) << "the new holder is fenced";
}

TEST_F(LeaseKeeperTest, AnActingAgentBesideAnObservingGuardLetsItGoOnlyOnceTheStoreSaysSo) {
  // given: a guard that was away beyond its deadline, and comes back with 'observe'
  const auto run = Holder();
  process_.Die();
  time_.RunFor(5s);
  process_.observe = true;
  process_.Live();
  // when: it is fed
  ASSERT_TRUE(run->Await(run->keeper->RenewNow()).ok());
  EXPECT_FALSE(run->Await(run->keeper->PrepareToWrite(Epoch{1})).ok());
  EXPECT_FALSE(Stored().observed);
  EXPECT_FALSE(process_.core().IsHeld()) << "another region may take over by what stands in the store";
  // then
  ASSERT_TRUE(run->Await(run->keeper->RenewNow()).ok() || Stored().observed);
  EXPECT_TRUE(Stored().observed);
  EXPECT_TRUE(process_.core().IsHeld());
}

TEST_F(LeaseKeeperTest, AnObservingAgentLetsGoOnlyOnceTheStoreSaysSo) {
  // given: an acting run held epoch 1 and fed its guard, which was restarted with 'observe' since
  Holder().reset();
  process_.Die();
  process_.observe = true;
  process_.Live();
  ASSERT_TRUE(process_.core().permission()) << "it fences on";
  // when: an observing run adopts the lease, and its word does not reach the store
  AgentRecord record;
  record.highest = Epoch{1};
  const auto run = Begin(kEast, record, Automation::kObserve);
  run->Watch();
  run->store.lose_requests = 1;
  ASSERT_FALSE(run->Await(run->keeper->RenewNow()).ok());
  EXPECT_FALSE(process_.core().IsHeld());
  // then: it is held once it stands there
  ASSERT_TRUE(run->Await(run->keeper->RenewNow()).ok());
  EXPECT_TRUE(Stored().observed);
  EXPECT_TRUE(process_.core().IsHeld());
  server_.Restart();
  EXPECT_TRUE(Stored().observed) << "a store that restarts has not forgotten it";
}

}  // namespace
}  // namespace lifeboat::testing
