#include "adapters/otlp/exporter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio.hpp>
#include <future>
#include <mutex>
#include <thread>

#include "base/task.h"

namespace lifeboat {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using testing::ElementsAre;
using testing::HasSubstr;

/// A collector on a thread of its own: answers each request with what it is told, or never.
class Collector {
 public:
  explicit Collector(std::function<std::string(std::size_t)> answer)
      : answer_(std::move(answer)), acceptor_(context_, tcp::endpoint(asio::ip::address_v4::loopback(), 0)) {
    asio::co_spawn(context_, Accept(), asio::detached);
    thread_ = std::thread([this] { context_.run(); });
  }
  ~Collector() {
    context_.stop();
    thread_.join();
  }

  [[nodiscard]] std::string Url(const std::string& host = "127.0.0.1") const {
    return "http://" + host + ":" + std::to_string(acceptor_.local_endpoint().port()) + "/v1/traces";
  }
  [[nodiscard]] std::vector<std::string> Requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  [[nodiscard]] std::vector<std::string> Bodies() const {
    std::vector<std::string> bodies;
    for (const std::string& request : Requests()) bodies.push_back(request.substr(request.find("\r\n\r\n") + 4));
    return bodies;
  }

  static std::string Answer(const std::string& status, const std::string& body = "{}", const std::string& more = "") {
    return "HTTP/1.1 " + status + "\r\n" + more + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }

 private:
  Task<> Accept() {
    while (true) {
      auto [problem, socket] = co_await acceptor_.async_accept(asio::as_tuple(asio::use_awaitable));
      if (problem) co_return;
      asio::co_spawn(context_, Serve(std::move(socket)), asio::detached);
    }
  }
  Task<> Serve(tcp::socket socket) {
    std::string text;
    while (true) {
      auto [problem, size] =
          co_await asio::async_read_until(socket, asio::dynamic_buffer(text), "\r\n\r\n", asio::as_tuple(asio::use_awaitable));
      if (problem) co_return;
      const std::size_t at = text.find("Content-Length: ");
      const std::size_t length = at < size ? std::stoul(text.substr(at + 16)) : 0;
      if (text.size() < size + length) {
        auto [cut, more] =
            co_await asio::async_read(socket, asio::dynamic_buffer(text), asio::transfer_exactly(size + length - text.size()),
                                      asio::as_tuple(asio::use_awaitable));
        if (cut) co_return;
      }
      const std::string words = Take(text.substr(0, size + length));
      text.erase(0, size + length);
      while (words.empty()) {  // never
        asio::steady_timer timer(context_, std::chrono::hours(1));
        co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
      }
      auto [broken, written] = co_await asio::async_write(socket, asio::buffer(words), asio::as_tuple(asio::use_awaitable));
      if (broken) co_return;
    }
  }
  std::string Take(std::string request) {
    const std::lock_guard lock(mutex_);
    requests_.push_back(std::move(request));
    return answer_(requests_.size());
  }

  const std::function<std::string(std::size_t)> answer_;
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
  asio::io_context context_;
  tcp::acceptor acceptor_;
  std::thread thread_;
};

OtlpTarget To(const Collector& collector, Duration timeout = 30s) {
  OtlpTarget target;
  target.url = collector.Url();
  target.timeout = timeout;
  return target;
}

OtlpOptions Quick() {
  OtlpOptions options;
  options.first_pause = 1ms;
  options.longest_pause = 4ms;
  return options;
}

bool Eventually(const std::function<bool()>& holds) {
  const auto limit = std::chrono::steady_clock::now() + 30s;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > limit) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

std::function<std::string()> Says(std::string body) {
  return [body = std::move(body)] { return body; };
}

TEST(OtlpExporter, SendsWhatIsOfferedInItsOrder) {
  Collector collector([](std::size_t) { return Collector::Answer("200 OK"); });
  OtlpTarget target = To(collector);
  target.headers = {"Authorization: Bearer one"};
  OtlpExporter exporter(target, Quick(), Log());
  for (const char* body : {"first", "second", "third"}) exporter.Offer(Says(body));
  ASSERT_TRUE(Eventually([&] { return exporter.counts().sent == 3; }));
  EXPECT_THAT(collector.Bodies(), ElementsAre("first", "second", "third"));
  EXPECT_THAT(collector.Requests()[0],
              testing::AllOf(HasSubstr("POST /v1/traces HTTP/1.1"), HasSubstr("Content-Type: application/json"),
                             HasSubstr("Authorization: Bearer one")));
  EXPECT_EQ(exporter.counts().waiting, 0u);
}

TEST(OtlpExporter, ANameIsLookedUp) {
  Collector collector([](std::size_t) { return Collector::Answer("200 OK"); });
  OtlpTarget target = To(collector);
  target.url = collector.Url("localhost");  // on many machines ::1 first, where nobody listens
  OtlpExporter exporter(target, Quick(), Log());
  exporter.Offer(Says("one"));
  EXPECT_TRUE(Eventually([&] { return exporter.counts().sent == 1; }));
}

TEST(OtlpExporter, WhatTheCollectorCannotTakeNowIsOfferedAgainUntilItCan) {
  Collector collector([](std::size_t number) {
    static constexpr const char* kBusy[] = {"429 Too Many Requests", "502 Bad Gateway", "503 Service Unavailable",
                                            "504 Gateway Timeout"};
    return number <= 4 ? Collector::Answer(kBusy[number - 1]) : Collector::Answer("200 OK");
  });
  OtlpExporter exporter(To(collector), Quick(), Log());
  exporter.Offer(Says("one"));
  ASSERT_TRUE(Eventually([&] { return exporter.counts().sent == 1; }));
  EXPECT_THAT(collector.Bodies(), ElementsAre("one", "one", "one", "one", "one"));
  EXPECT_EQ(exporter.counts().failed_tries, 4u);
  EXPECT_EQ(exporter.counts().refused, 0u);
}

TEST(OtlpExporter, WhatItWillNeverTakeIsDroppedAndTheNextIsSent) {
  Collector collector([](std::size_t number) { return Collector::Answer(number == 1 ? "400 Bad Request" : "200 OK"); });
  OtlpExporter exporter(To(collector), Quick(), Log());
  exporter.Offer(Says("bad"));
  exporter.Offer(Says("good"));
  ASSERT_TRUE(Eventually([&] { return exporter.counts().sent == 1; }));
  EXPECT_THAT(collector.Bodies(), ElementsAre("bad", "good"));
  EXPECT_EQ(exporter.counts().refused, 1u);
}

TEST(OtlpExporter, ACollectorThatComesLaterGetsWhatWaited) {
  // Given a port on which nobody listens yet
  asio::io_context context;
  tcp::acceptor acceptor(context, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  const auto port = acceptor.local_endpoint();
  acceptor.close();
  OtlpTarget target;
  target.url = "http://127.0.0.1:" + std::to_string(port.port()) + "/v1/traces";
  OtlpExporter exporter(target, Quick(), Log());
  exporter.Offer(Says("one"));
  ASSERT_TRUE(Eventually([&] { return exporter.counts().failed_tries >= 2; }));
  EXPECT_EQ(exporter.counts().waiting, 1u);
  // When it begins to listen
  std::thread late([&] {
    acceptor.open(port.protocol());
    acceptor.set_option(tcp::acceptor::reuse_address(true));
    acceptor.bind(port);
    acceptor.listen();
    tcp::socket socket = acceptor.accept();
    std::string text;
    asio::read_until(socket, asio::dynamic_buffer(text), "one");
    asio::write(socket, asio::buffer(Collector::Answer("200 OK")));
  });
  // Then
  EXPECT_TRUE(Eventually([&] { return exporter.counts().sent == 1; }));
  late.join();
}

/// The promise: whoever offers a trace never waits for the collector, and what waits for it is bounded.
TEST(OtlpExporter, ACollectorThatNeverAnswersHoldsUpNobodyAndWhatWaitsIsBounded) {
  Collector collector([](std::size_t) { return std::string(); });
  OtlpOptions options;
  options.most_waiting = 8;
  // Not the exporter but the test would wait here: its answer has an hour to come.
  OtlpExporter exporter(To(collector, 1h), options, Log());
  exporter.Offer(Says("0"));
  ASSERT_TRUE(Eventually([&] { return collector.Requests().size() == 1; }));
  for (int number = 1; number <= 1000; ++number) exporter.Offer(Says(std::to_string(number)));
  const OtlpCounts counts = exporter.counts();
  EXPECT_EQ(counts.pushed_out, 992u);
  EXPECT_EQ(counts.waiting, 9u) << "eight, and the one on its way";
  EXPECT_EQ(counts.sent, 0u);
  EXPECT_EQ(collector.Requests().size(), 1u);
  // And it can be ended, in the middle of it: the destructor.
}

TEST(OtlpExporter, TheOldestIsPushedOut) {
  std::atomic<bool> open = false;
  Collector collector([&](std::size_t) { return Collector::Answer(open ? "200 OK" : "503 Service Unavailable"); });
  OtlpOptions options = Quick();
  options.most_waiting = 2;
  OtlpExporter exporter(To(collector), options, Log());
  for (const char* body : {"a", "b", "c", "d", "e"}) exporter.Offer(Says(body));
  ASSERT_TRUE(Eventually([&] { return exporter.counts().pushed_out == 3; }));
  open = true;
  ASSERT_TRUE(Eventually([&] { return exporter.counts().sent == 2; }));
  const std::vector<std::string> bodies = collector.Bodies();
  EXPECT_EQ(bodies.back(), "e");
  EXPECT_EQ(bodies[bodies.size() - 2], "d");
}

TEST(OtlpExporter, ARequestThatGetsNoAnswerInTimeIsMadeAgain) {
  Collector collector([](std::size_t number) { return number == 1 ? std::string() : Collector::Answer("200 OK"); });
  OtlpExporter exporter(To(collector, 100ms), Quick(), Log());
  exporter.Offer(Says("one"));
  EXPECT_TRUE(Eventually([&] { return exporter.counts().sent == 1; }));
  EXPECT_GE(exporter.counts().failed_tries, 1u);
}

TEST(OtlpExporter, ABodyIsMadeOnItsOwnThreadAndOneThatCannotBeMadeIsDropped) {
  Collector collector([](std::size_t) { return Collector::Answer("200 OK"); });
  OtlpExporter exporter(To(collector), Quick(), Log());
  std::promise<std::thread::id> where;
  exporter.Offer([&]() -> std::string {
    where.set_value(std::this_thread::get_id());
    throw std::runtime_error("no");
  });
  exporter.Offer(Says("two"));
  EXPECT_NE(where.get_future().get(), std::this_thread::get_id());
  ASSERT_TRUE(Eventually([&] { return exporter.counts().sent == 1; }));
  EXPECT_EQ(exporter.counts().refused, 1u);
  EXPECT_THAT(collector.Bodies(), ElementsAre("two"));
}

TEST(OtlpExporter, AnswersAreJudgedAsTheSpecificationSays) {
  for (const int status : {200, 202, 204}) EXPECT_EQ(JudgeStatus(status), OtlpVerdict::kTaken) << status;
  for (const int status : {429, 502, 503, 504}) EXPECT_EQ(JudgeStatus(status), OtlpVerdict::kAgain) << status;
  for (const int status : {100, 301, 307, 400, 401, 403, 404, 408, 413, 415, 500, 501, 505})
    EXPECT_EQ(JudgeStatus(status), OtlpVerdict::kRefused) << status;
}

TEST(OtlpExporter, RetryAfterIsReadAsSecondsOrAsADate) {
  const WallTime now{784'111'777'000'000'000};  // Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110
  EXPECT_EQ(RetryAfter("120", now), 2min);
  EXPECT_EQ(RetryAfter("Sun, 06 Nov 1994 08:49:57 GMT", now), 20s);
  EXPECT_EQ(RetryAfter("Sun, 06 Nov 1994 08:49:17 GMT", now), 0s);
  EXPECT_EQ(RetryAfter("999999", now), 5min);
  for (const char* none : {"", "soon", "12 s", "-3"}) EXPECT_EQ(RetryAfter(none, now), 0s) << none;
}

}  // namespace
}  // namespace lifeboat
