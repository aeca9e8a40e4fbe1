// The fakes keep the doors' contracts: what a test proves on them is true of the real ones.

#include "contract/store_contract.h"
#include "fakes/fake_store.h"
#include "fakes/fake_traffic.h"
#include "fakes/virtual_time.h"

namespace lifeboat::testing {
namespace {

/// Real time: the contract's tests drive their io_context by it.
class RealClock final : public Clock {
 public:
  [[nodiscard]] Instant Now() const override { return ReadClocks(); }
  [[nodiscard]] WallTime Wall() const override { return ReadWallClock(); }
  Task<> Sleep(Duration d) override {
    if (d <= 0ns) co_return;
    boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, d);
    co_await timer.async_wait(boost::asio::use_awaitable);
  }
};

class FakeUnderTest : public StoreUnderTest {
 public:
  explicit FakeUnderTest(boost::asio::io_context& context) : store_(context.get_executor(), clock_, server_) {}
  Store& store() override { return store_; }
  bool CanRestart() const override { return true; }
  void Restart() override { server_.Restart(); }

 private:
  RealClock clock_;
  FakeStoreServer server_;
  FakeStore store_;
};

INSTANTIATE_TEST_SUITE_P(Fake, StoreContract,
                         ::testing::Values(StoreCase{"fake",
                                                     [](boost::asio::io_context& context) -> std::unique_ptr<StoreUnderTest> {
                                                       return std::make_unique<FakeUnderTest>(context);
                                                     }}),
                         StoreCaseName);

TEST(VirtualTime, WakesSleepersInTheirOrderAndWaitsForNobody) {
  VirtualTime time;
  FakeClock clock(time);
  boost::asio::io_context io;
  time.Attach(io);
  std::vector<int> order;
  const auto sleep = [](Clock& c, std::vector<int>& out, int number, Duration d) -> Task<> {
    co_await c.Sleep(d);
    out.push_back(number);
  };
  for (const auto& [number, d] : {std::pair<int, Duration>(3, 3h), {1, 1ms}, {2, 1s}}) {
    boost::asio::co_spawn(io, sleep(clock, order, number, d), boost::asio::detached);
  }
  time.RunFor(2h);
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
  time.RunFor(2h);
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(time.now(), Duration(4h));
}

TEST(VirtualTime, AFastMachinesHourEndsEarlier) {
  VirtualTime time;
  FakeClock fast(time, 1.005);
  const Instant before = fast.Now();
  time.RunFor(1000s);
  EXPECT_EQ(AgeAt(before, fast.Now()), Duration(1005s));
}

TEST(Bell, ARingEndsTheWaitAndOneBeforeItDoesNot) {
  VirtualTime time;
  FakeClock clock(time);
  boost::asio::io_context io;
  time.Attach(io);
  Bell bell(io.get_executor());
  bell.Ring();
  Duration woke{};
  const auto wait = [](Bell& b, Clock& c, VirtualTime& t, Duration& out) -> Task<> {
    co_await b.WaitFor(c, 10s);
    out = t.now();
  };
  boost::asio::co_spawn(io, wait(bell, clock, time, woke), boost::asio::detached);
  time.RunFor(3s);
  EXPECT_EQ(woke, Duration(0));
  bell.Ring();
  time.RunFor(1s);
  EXPECT_EQ(woke, Duration(3s));
  boost::asio::co_spawn(io, wait(bell, clock, time, woke), boost::asio::detached);
  time.RunFor(20s);
  EXPECT_EQ(woke, Duration(14s));
}

TEST(FakeTraffic, ALateWriterDoesNotUndoANewerOne) {
  VirtualTime time;
  FakeClock clock(time);
  boost::asio::io_context io;
  time.Attach(io);
  FakeNameServer server;
  FakeTraffic old(clock, server);
  ASSERT_TRUE(time.Await(io, old.Point("127.0.1.1", {1}, 1s)).ok());
  // Epoch 2 arrives between its read and its update.
  old.before_point = [&] { server.Update(Epoch{1}, "127.0.2.1", Epoch{2}); };
  const auto late = time.Await(io, old.Point("127.0.9.9", {1}, 1s));
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().retry, Retry::kRetry);
  old.before_point = nullptr;
  const auto refused = time.Await(io, old.Point("127.0.9.9", {1}, 1s));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().retry, Retry::kRefused);
  EXPECT_EQ(server.record.address, "127.0.2.1");
}

}  // namespace
}  // namespace lifeboat::testing
