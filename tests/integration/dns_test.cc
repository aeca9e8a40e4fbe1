// The service's name at a real Knot DNS server.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "adapters/dns/dns_traffic.h"
#include "adapters/dns/dns_transport.h"
#include "support/real_knot.h"
#include "support/run_task.h"

namespace lifeboat::testing {
namespace {

using std::chrono::steady_clock;
using ::testing::HasSubstr;
using Udp = boost::asio::ip::udp;

constexpr Duration kTimeout = std::chrono::seconds(10);

class Dns : public ::testing::Test {
 protected:
  DnsTraffic TrafficWith(DnsSettings settings, Result<Secret> secret) {
    return DnsTraffic(context_.get_executor(), std::move(settings), std::move(secret), Log());
  }
  DnsTraffic TrafficOf(const RealKnot& knot) { return TrafficWith(knot.ClientSettings(), knot.secret().Clone()); }
  DnsTraffic TrafficThrough(const RealKnot& knot, Endpoint proxy) {
    DnsSettings settings = knot.ClientSettings();
    settings.server = proxy;
    return TrafficWith(settings, knot.secret().Clone());
  }
  Result<Unit> Point(DnsTraffic& traffic, const std::string& address, std::uint64_t epoch, Duration timeout = kTimeout) {
    return Await(context_, traffic.Point(address, Epoch{epoch}, timeout));
  }
  TrafficRecord Read(DnsTraffic& traffic) {
    const Result<TrafficRecord> record = Await(context_, traffic.Read(kTimeout));
    EXPECT_TRUE(record.ok()) << record.error().Text();
    return record ? *record : TrafficRecord{};
  }
  void ExpectStands(DnsTraffic& traffic, const std::string& address, std::uint64_t epoch) {
    const TrafficRecord record = Read(traffic);
    EXPECT_EQ(record.address, address);
    EXPECT_EQ(record.epoch, Epoch{epoch});
  }

  boost::asio::io_context context_;
};

/// Passes packets between clients and a server, and loses those that it is told to lose.
class LossyProxy {
 public:
  LossyProxy(boost::asio::io_context& context, Endpoint server)
      : state_(std::make_shared<State>(context, Udp::endpoint(boost::asio::ip::make_address(server.host), server.port))) {
    boost::asio::co_spawn(context, PassQuestions(state_), boost::asio::detached);
    boost::asio::co_spawn(context, PassAnswers(state_), boost::asio::detached);
  }
  ~LossyProxy() {
    state_->clients.close();
    state_->upstream.close();
  }
  LossyProxy(const LossyProxy&) = delete;
  LossyProxy& operator=(const LossyProxy&) = delete;

  [[nodiscard]] Endpoint endpoint() const { return {"127.0.0.1", state_->clients.local_endpoint().port()}; }
  void LoseAnswersToUpdates(int count) { state_->update_answers_to_lose = count; }
  void LoseEverythingAfterAnUpdate() { state_->silent_after_update = true; }
  /// Updates no longer reach the server; an unsigned "done" comes back.
  void ForgeAnswersToUpdates() { state_->forge = true; }
  [[nodiscard]] int updates() const { return state_->updates; }

 private:
  struct State {
    State(boost::asio::io_context& context, Udp::endpoint to)
        : clients(context, Udp::endpoint(boost::asio::ip::address_v4::loopback(), 0)), upstream(context, Udp::v4()), server(to) {
      upstream.connect(server);
    }
    Udp::socket clients;
    Udp::socket upstream;
    Udp::endpoint server;
    Udp::endpoint last_client;
    int update_answers_to_lose = 0;
    int updates = 0;
    bool silent_after_update = false;
    bool forge = false;
    bool silent = false;
  };
  static constexpr std::size_t kQuestionEnd = 12 + 15 + 4;  ///< header, "lifeboat.test.", type and class
  static bool IsUpdate(unsigned char flags) { return (flags >> 3U & 0x0fU) == 5; }

  static Task<> PassQuestions(std::shared_ptr<State> state) {
    std::array<unsigned char, 4096> packet{};
    for (;;) {
      const std::size_t size =
          co_await state->clients.async_receive_from(boost::asio::buffer(packet), state->last_client, boost::asio::use_awaitable);
      if (state->silent) continue;
      if (IsUpdate(packet[2])) ++state->updates;
      if (IsUpdate(packet[2]) && state->silent_after_update) state->silent = true;
      if (IsUpdate(packet[2]) && state->forge) {
        packet[2] |= 0x80U;                                                                 // an answer
        std::fill(packet.begin() + 6, packet.begin() + 12, static_cast<unsigned char>(0));  // with the question alone
        co_await state->clients.async_send_to(boost::asio::buffer(packet, kQuestionEnd), state->last_client,
                                              boost::asio::use_awaitable);
        continue;
      }
      co_await state->upstream.async_send(boost::asio::buffer(packet, size), boost::asio::use_awaitable);
    }
  }
  static Task<> PassAnswers(std::shared_ptr<State> state) {
    std::array<unsigned char, 4096> packet{};
    for (;;) {
      const std::size_t size = co_await state->upstream.async_receive(boost::asio::buffer(packet), boost::asio::use_awaitable);
      if (state->silent) continue;
      if (IsUpdate(packet[2]) && state->update_answers_to_lose > 0) {
        --state->update_answers_to_lose;
        continue;
      }
      co_await state->clients.async_send_to(boost::asio::buffer(packet, size), state->last_client, boost::asio::use_awaitable);
    }
  }

  // Shared with the two coroutines, which end when the sockets are closed.
  std::shared_ptr<State> state_;
};

TEST_F(Dns, PointsANewNameAndWritesTheEpochBesideIt) {
  RealKnot knot;
  DnsTraffic traffic = TrafficOf(knot);
  EXPECT_EQ(Await(context_, traffic.Read(kTimeout)).error().retry, Retry::kNotFound);

  ASSERT_TRUE(Point(traffic, "10.0.0.1", 1).ok());
  const TrafficRecord record = Read(traffic);
  EXPECT_EQ(record.address, "10.0.0.1");
  EXPECT_EQ(record.epoch, Epoch{1});
  EXPECT_EQ(record.ttl, std::chrono::seconds(1));
  EXPECT_EQ(*Await(context_, ResolveAddress(context_.get_executor(), knot.endpoint(), RealKnot::kName, kTimeout)), "10.0.0.1");
}

TEST_F(Dns, MovesANameToAnotherAddressAlsoOfTheOtherFamily) {
  RealKnot knot({{RealKnot::kName, "10.0.0.1", std::chrono::seconds(60), std::nullopt}});
  DnsTraffic traffic = TrafficOf(knot);
  EXPECT_EQ(Read(traffic).epoch, std::nullopt);
  EXPECT_EQ(Read(traffic).ttl, std::chrono::seconds(60));
  ASSERT_TRUE(Point(traffic, "10.0.0.2", 4).ok());
  ExpectStands(traffic, "10.0.0.2", 4);
  ASSERT_TRUE(Point(traffic, "2001:db8::3", 5).ok());
  ExpectStands(traffic, "2001:db8::3", 5);
  EXPECT_EQ(*Await(context_, ResolveAddress(context_.get_executor(), knot.endpoint(), RealKnot::kName, kTimeout)), "2001:db8::3");
  ASSERT_TRUE(Point(traffic, "10.0.0.1", 6).ok());
  ExpectStands(traffic, "10.0.0.1", 6);
}

TEST_F(Dns, WritesTheConfiguredTimeToLive) {
  RealKnot knot({{RealKnot::kName, "10.0.0.1", std::chrono::seconds(60), Epoch{3}}});
  DnsSettings settings = knot.ClientSettings();
  settings.ttl = std::chrono::seconds(7);
  DnsTraffic traffic = TrafficWith(settings, knot.secret().Clone());
  ASSERT_TRUE(Point(traffic, "10.0.0.1", 3).ok()) << "the same address and epoch, but another time to live";
  EXPECT_EQ(Read(traffic).ttl, std::chrono::seconds(7));
}

TEST_F(Dns, SendsNoUpdateWhenTheNameAlreadyStandsSo) {
  RealKnot knot({{RealKnot::kName, "10.0.0.1", std::chrono::seconds(1), Epoch{3}}});
  LossyProxy proxy(context_, knot.endpoint());
  DnsTraffic traffic = TrafficThrough(knot, proxy.endpoint());
  ASSERT_TRUE(Point(traffic, "10.0.0.1", 3).ok());
  EXPECT_EQ(proxy.updates(), 0);
}

TEST_F(Dns, ALateWriterIsRefusedAndChangesNothing) {
  RealKnot knot({{RealKnot::kName, "10.0.0.2", std::chrono::seconds(1), Epoch{8}}});
  DnsTraffic traffic = TrafficOf(knot);
  const Result<Unit> late = Point(traffic, "10.0.0.1", 7);
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().retry, Retry::kRefused);
  EXPECT_THAT(late.error().message, HasSubstr("epoch '8'"));
  ExpectStands(traffic, "10.0.0.2", 8);
}

TEST_F(Dns, OfTwoUpdatesFromOneReadingExactlyOneIsTaken) {
  // Given two writers that have read the same, and whose updates arrive in the wrong order: the newer epoch first.
  RealKnot knot({{RealKnot::kName, "10.0.0.1", std::chrono::seconds(1), Epoch{1}}});
  NameState read;
  read.exists = true;
  read.ipv4.values = {"10.0.0.1"};
  read.texts.values = {EpochValue(Epoch{1})};
  const TsigKey key{"lifeboat", "hmac-sha256", knot.secret().Clone()};
  std::vector<int> rcodes;
  for (const std::uint64_t epoch : {3U, 2U}) {
    const UpdatePlan plan{RealKnot::kZone, RealKnot::kName,        read, "10.0.0." + std::to_string(epoch),
                          Epoch{epoch},    std::chrono::seconds(1)};
    const Request request = *BuildUpdate(plan, key);
    Exchange exchange;
    exchange.server = knot.endpoint();
    exchange.request = request;
    exchange.accept = [request](const Bytes& bytes) { return ParseUpdateAnswer(bytes, request, RealKnot::kZone); };
    exchange.deadline = steady_clock::now() + kTimeout;
    const Result<DnsAnswer> answer = Await(context_, Carry(context_.get_executor(), exchange));
    ASSERT_TRUE(answer.ok());
    rcodes.push_back(answer->rcode);
  }
  EXPECT_EQ(rcodes[0], rcode::kNoError);
  EXPECT_TRUE(rcodes[1] == rcode::kNxRrset || rcodes[1] == rcode::kYxRrset) << rcodes[1];
  DnsTraffic traffic = TrafficOf(knot);
  ExpectStands(traffic, "10.0.0.3", 3);
}

TEST_F(Dns, TwoRacingWritersEndAtTheHigherEpoch) {
  RealKnot knot({{RealKnot::kName, "10.0.0.1", std::chrono::seconds(1), Epoch{1}}});
  DnsTraffic one = TrafficOf(knot);
  DnsTraffic two = TrafficOf(knot);
  for (std::uint64_t epoch = 2; epoch < 22; epoch += 2) {
    auto lower = Start(context_, one.Point("10.0.1.1", Epoch{epoch}, kTimeout));
    auto higher = Start(context_, two.Point("10.0.2.2", Epoch{epoch + 1}, kTimeout));
    const Result<Unit> lower_result = Finish(context_, lower);
    EXPECT_TRUE(Finish(context_, higher).ok());
    EXPECT_TRUE(lower_result.ok() || lower_result.error().retry == Retry::kRefused);
    ExpectStands(one, "10.0.2.2", epoch + 1);
  }
}

TEST_F(Dns, ClientsNeverSeeAnEmptyNameWhileItMoves) {
  RealKnot knot({{RealKnot::kName, "10.0.0.1", std::chrono::seconds(1), Epoch{1}}});
  DnsTraffic traffic = TrafficOf(knot);
  bool stop = false;
  int looks = 0;
  const auto look = [](boost::asio::io_context& context, Endpoint server, const bool& ended, int& count) -> Task<Result<Unit>> {
    while (!ended) {
      Result<std::string> address = co_await ResolveAddress(context.get_executor(), server, RealKnot::kName, kTimeout);
      if (!address) co_return address.error();
      ++count;
    }
    co_return Done();
  };
  auto client = Start(context_, look(context_, knot.endpoint(), stop, looks));
  for (std::uint64_t epoch = 2; epoch < 30; ++epoch) {
    ASSERT_TRUE(Point(traffic, epoch % 2 == 0 ? "10.0.0.2" : "10.0.0.1", epoch).ok());
  }
  stop = true;
  const Result<Unit> seen = Finish(context_, client);
  EXPECT_TRUE(seen.ok()) << seen.error().Text();
  EXPECT_GT(looks, 20);
}

TEST_F(Dns, RefusesToTouchANameWhoseEpochItCannotRead) {
  RealKnot knot({{RealKnot::kName, "10.0.0.1", std::chrono::seconds(1), std::nullopt}},
                EpochNameOf(RealKnot::kName) + " 1 IN TXT \"v=spf1 -all\"\n");
  DnsTraffic traffic = TrafficOf(knot);
  const Result<Unit> result = Point(traffic, "10.0.0.2", 2);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().retry, Retry::kFail);
  EXPECT_THAT(result.error().message, HasSubstr("v=spf1 -all"));
  EXPECT_FALSE(Await(context_, traffic.Read(kTimeout)).ok());
  EXPECT_EQ(*Await(context_, ResolveAddress(context_.get_executor(), knot.endpoint(), RealKnot::kName, kTimeout)), "10.0.0.1");
}

TEST_F(Dns, AWrongKeyIsNamedAndChangesNothing) {
  RealKnot knot({{RealKnot::kName, "10.0.0.1", std::chrono::seconds(1), Epoch{1}}});
  DnsSettings settings = knot.ClientSettings();
  DnsTraffic wrong_secret = TrafficWith(settings, Secret("d3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmc="));
  const Result<Unit> secret_result = Point(wrong_secret, "10.0.0.2", 2);
  ASSERT_FALSE(secret_result.ok());
  EXPECT_EQ(secret_result.error().retry, Retry::kFail);
  EXPECT_THAT(secret_result.error().message, HasSubstr("'lifeboat': BADSIG"));
  EXPECT_THAT(secret_result.error().hint, HasSubstr("secret of the key"));

  settings.key_name = "stranger";
  DnsTraffic wrong_name = TrafficWith(settings, knot.secret().Clone());
  const Result<Unit> name_result = Point(wrong_name, "10.0.0.2", 2);
  ASSERT_FALSE(name_result.ok());
  EXPECT_THAT(name_result.error().message, HasSubstr("'stranger': BADKEY"));

  DnsTraffic unreadable = TrafficWith(knot.ClientSettings(), Fail("cannot read the TSIG key file"));
  EXPECT_THAT(Point(unreadable, "10.0.0.2", 2).error().message, HasSubstr("TSIG key file"));
  ExpectStands(unreadable, "10.0.0.1", 1);
}

TEST_F(Dns, AZoneThatTheServerDoesNotServeIsAnError) {
  RealKnot knot;
  DnsSettings settings = knot.ClientSettings();
  settings.name = "orders-db.elsewhere.test.";
  settings.zone = "elsewhere.test.";
  DnsTraffic traffic = TrafficWith(settings, knot.secret().Clone());
  const Result<Unit> result = Point(traffic, "10.0.0.2", 2);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().retry, Retry::kFail);
  EXPECT_THAT(result.error().Text(), HasSubstr("authoritative primary"));
}

TEST_F(Dns, AServerThatIsDownIsToBeTriedAgainWithinTheDeadline) {
  RealKnot knot;
  DnsTraffic traffic = TrafficOf(knot);
  knot.Kill();
  const auto began = steady_clock::now();
  EXPECT_EQ(Point(traffic, "10.0.0.2", 2, 500ms).error().retry, Retry::kRetry);
  EXPECT_EQ(Await(context_, traffic.Read(300ms)).error().retry, Retry::kRetry);
  EXPECT_LT(steady_clock::now() - began, 2s);
}

TEST_F(Dns, AServerThatComesBackWithinTheDeadlineIsUpdated) {
  RealKnot knot;
  DnsTraffic traffic = TrafficOf(knot);
  knot.Kill();
  auto point = Start(context_, traffic.Point("10.0.0.2", Epoch{2}, kTimeout));
  EXPECT_FALSE(RunUntil(
      context_, [&] { return point->has_value(); }, 300ms));
  knot.Start();
  EXPECT_TRUE(Finish(context_, point).ok());
  ExpectStands(traffic, "10.0.0.2", 2);
}

TEST_F(Dns, AServerThatHangsEndsAtTheDeadline) {
  RealKnot knot;
  DnsTraffic traffic = TrafficOf(knot);
  knot.Freeze();
  const auto began = steady_clock::now();
  EXPECT_EQ(Point(traffic, "10.0.0.2", 2, 600ms).error().retry, Retry::kRetry);
  EXPECT_LT(steady_clock::now() - began, 2s);
  knot.Thaw();
}

TEST_F(Dns, ALostAnswerIsDoneAfterLookingAgain) {
  RealKnot knot({{RealKnot::kName, "10.0.0.1", std::chrono::seconds(1), Epoch{1}}});
  for (const int lost : {1, 1000}) {
    LossyProxy proxy(context_, knot.endpoint());
    proxy.LoseAnswersToUpdates(lost);
    DnsTraffic traffic = TrafficThrough(knot, proxy.endpoint());
    const std::uint64_t epoch = lost == 1 ? 2 : 3;
    const Result<Unit> result = Point(traffic, "10.0.0.2", epoch, 2s);
    EXPECT_TRUE(result.ok()) << result.error().Text();
    EXPECT_GT(proxy.updates(), 1) << "it was sent again";
    ExpectStands(traffic, "10.0.0.2", epoch);
  }
}

TEST_F(Dns, SilenceAfterTheUpdateIsUnknown) {
  RealKnot knot({{RealKnot::kName, "10.0.0.1", std::chrono::seconds(1), Epoch{1}}});
  LossyProxy proxy(context_, knot.endpoint());
  proxy.LoseEverythingAfterAnUpdate();
  DnsTraffic traffic = TrafficThrough(knot, proxy.endpoint());
  const auto began = steady_clock::now();
  EXPECT_EQ(Point(traffic, "10.0.0.2", 2, 1s).error().retry, Retry::kUnknownOutcome);
  EXPECT_LT(steady_clock::now() - began, 2s);
}

TEST_F(Dns, AForgedYesIsNotBelieved) {
  RealKnot knot({{RealKnot::kName, "10.0.0.1", std::chrono::seconds(1), Epoch{1}}});
  LossyProxy proxy(context_, knot.endpoint());
  proxy.ForgeAnswersToUpdates();
  DnsTraffic traffic = TrafficThrough(knot, proxy.endpoint());
  EXPECT_EQ(Point(traffic, "10.0.0.2", 2, 1s).error().retry, Retry::kUnknownOutcome);
  EXPECT_GT(proxy.updates(), 2) << "the forged answer was passed over, and the update sent again";
  ExpectStands(traffic, "10.0.0.1", 1);
}

TEST_F(Dns, AnUpdateSurvivesAKillOfTheServer) {
  RealKnot knot({{RealKnot::kName, "10.0.0.1", std::chrono::seconds(1), Epoch{1}}});
  DnsTraffic traffic = TrafficOf(knot);
  for (std::uint64_t epoch = 2; epoch < 7; ++epoch) {
    const std::string address = "10.0.0." + std::to_string(epoch);
    ASSERT_TRUE(Point(traffic, address, epoch).ok());
    knot.Kill();
    knot.Start();
    ExpectStands(traffic, address, epoch);
  }
  knot.Stop();
  knot.Start();
  ExpectStands(traffic, "10.0.0.6", 6);
}

TEST_F(Dns, ALongAnswerIsFetchedOverTcp) {
  // Given a name with so many addresses that they do not fit into one datagram.
  std::vector<KnotName> names;
  for (int last = 1; last <= 120; ++last)
    names.push_back({RealKnot::kName, "10.0.0." + std::to_string(last), std::chrono::seconds(1), {}});
  RealKnot knot(names);
  const Request request = *BuildQuestion(RealKnot::kName, RecordType::kA);
  Exchange exchange;
  exchange.server = knot.endpoint();
  exchange.request = request;
  exchange.accept = [request](const Bytes& bytes) { return ParseAnswer(bytes, request, RealKnot::kName, RecordType::kA); };
  exchange.deadline = steady_clock::now() + kTimeout;
  const Result<DnsAnswer> answer = Await(context_, Carry(context_.get_executor(), exchange));
  ASSERT_TRUE(answer.ok()) << answer.error().Text();
  EXPECT_EQ(answer->records.values.size(), 120u);
}

TEST_F(Dns, TheKeyFileMustBeItsOwnersAlone) {
  const std::filesystem::path file = std::filesystem::temp_directory_path() / ("lifeboat-key-" + RandomHex(8));
  std::ofstream(file) << "c2VjcmV0\n";
  std::filesystem::permissions(file, std::filesystem::perms(0644));
  EXPECT_THAT(ReadTsigSecret(file.string()).error().Text(), HasSubstr("chmod 600"));
  std::filesystem::permissions(file, std::filesystem::perms(0600));
  EXPECT_EQ(ReadTsigSecret(file.string())->Reveal(), "c2VjcmV0");
  std::filesystem::remove(file);
  EXPECT_THAT(ReadTsigSecret(file.string()).error().message, HasSubstr("No such file"));
}

TEST_F(Dns, ManyMovesInARowAllTakeEffectAndShowTheirTime) {
  RealKnot knot({{RealKnot::kName, "10.0.0.1", std::chrono::seconds(1), Epoch{1}}});
  DnsTraffic traffic = TrafficOf(knot);
  std::vector<double> times;
  for (std::uint64_t epoch = 2; epoch < 42; ++epoch) {
    const auto began = steady_clock::now();
    ASSERT_TRUE(Point(traffic, epoch % 2 == 0 ? "10.0.0.2" : "10.0.0.1", epoch).ok());
    times.push_back(Seconds(steady_clock::now() - began) * 1000);
  }
  std::sort(times.begin(), times.end());
  RecordProperty("point_median_ms", std::to_string(times[times.size() / 2]));
  std::printf("Point: min %.2f ms, median %.2f ms, max %.2f ms\n", times.front(), times[times.size() / 2], times.back());
  ExpectStands(traffic, "10.0.0.1", 41);
}

}  // namespace
}  // namespace lifeboat::testing
