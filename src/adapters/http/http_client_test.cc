#include "adapters/http/http_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <filesystem>

#include "support/run_task.h"

namespace lifeboat::testing {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ::testing::HasSubstr;

/// Answers with what it is told, one answer a request, and keeps what came.
class Server {
 public:
  explicit Server(asio::io_context& context) : acceptor_(context, tcp::endpoint(asio::ip::address_v4::loopback(), 0)) {
    asio::co_spawn(context, Accept(), asio::detached);
  }
  [[nodiscard]] std::string Url(const std::string& host = "127.0.0.1") const {
    return "http://" + host + ":" + std::to_string(acceptor_.local_endpoint().port()) + "/path";
  }
  void Close() { acceptor_.close(); }

  std::vector<std::string> requests;
  int connections = 0;
  std::function<std::string(std::size_t)> answer = [](std::size_t) { return Ok("fine"); };  ///< empty: close without a word

  static std::string Ok(const std::string& body) {
    return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }

 private:
  Task<> Accept() {
    while (true) {
      auto [problem, socket] = co_await acceptor_.async_accept(asio::as_tuple(asio::use_awaitable));
      if (problem) co_return;
      ++connections;
      asio::co_spawn(acceptor_.get_executor(), Serve(std::move(socket)), asio::detached);
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
      requests.push_back(text.substr(0, size + length));
      text.erase(0, size + length);
      const std::string words = answer(requests.size());
      if (words.empty()) co_return;
      auto [broken, written] = co_await asio::async_write(socket, asio::buffer(words), asio::as_tuple(asio::use_awaitable));
      if (broken) co_return;
    }
  }
  tcp::acceptor acceptor_;
};

class HttpClientTest : public ::testing::Test {
 protected:
  HttpRequest Post(const std::string& url, const std::string& body = "change") {
    HttpRequest request;
    request.method = "POST";
    request.url = url;
    request.body = body;
    return request;
  }
  Result<HttpResponse> Send(HttpRequest request, Duration timeout = 5s) {
    return Await(context_, client_.Send(std::move(request), timeout));
  }

  asio::io_context context_;
  Server server_{context_};
  HttpClient client_{context_.get_executor(), HttpOptions{{}, 1000}};
};

TEST_F(HttpClientTest, SendsAndKeepsTheConnectionOpen) {
  HttpRequest request = Post(server_.Url());
  request.headers = {"Authorization: secret"};
  const auto first = Send(std::move(request));
  ASSERT_TRUE(first.ok()) << first.error().Text();
  EXPECT_EQ(first->status, 200);
  EXPECT_EQ(first->body, "fine");
  ASSERT_TRUE(Send(Post(server_.Url())).ok());
  EXPECT_EQ(server_.connections, 1);
  EXPECT_THAT(server_.requests[0],
              ::testing::AllOf(HasSubstr("POST /path HTTP/1.1"), HasSubstr("Authorization: secret"), HasSubstr("\r\n\r\nchange")));
  HttpRequest get;
  get.url = server_.Url();
  ASSERT_TRUE(Send(std::move(get)).ok());
  EXPECT_THAT(server_.requests[2], HasSubstr("GET /path"));
}

TEST_F(HttpClientTest, AStatusOfAnyKindIsAnAnswer) {
  server_.answer = [](std::size_t) { return std::string("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nwait"); };
  const auto response = Send(Post(server_.Url()));
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->status, 503);
  EXPECT_EQ(response->body, "wait");
}

TEST_F(HttpClientTest, TheHeadOfAnAnswerIsHandedOnAndThePathIsSentAsItStands) {
  server_.answer = [](std::size_t) {
    return std::string("HTTP/1.1 200 OK\r\nETag:  \"a:b\" \r\nX-Request-Id: 7\r\nContent-Length: 0\r\n\r\n");
  };
  HttpRequest request = Post(server_.Url() + "/a/../b//c");
  const auto response = Send(std::move(request));
  ASSERT_TRUE(response.ok());
  const std::vector<std::pair<std::string, std::string>> expected = {
      {"etag", "\"a:b\""}, {"x-request-id", "7"}, {"content-length", "0"}};
  EXPECT_EQ(response->headers, expected);
  EXPECT_THAT(server_.requests[0], HasSubstr("POST /path/a/../b//c HTTP/1.1"));
}

TEST_F(HttpClientTest, AFreshConnectionIsNeverAKeptOne) {
  ASSERT_TRUE(Send(Post(server_.Url())).ok());
  HttpRequest request = Post(server_.Url());
  request.fresh_connection = true;
  ASSERT_TRUE(Send(std::move(request)).ok());
  EXPECT_EQ(server_.connections, 2);
}

TEST_F(HttpClientTest, NeverSendsAChangeTwice) {
  // Given a kept connection that closes after the server has taken the second request.
  server_.answer = [](std::size_t number) { return number == 1 ? Server::Ok("fine") : std::string(); };
  ASSERT_TRUE(Send(Post(server_.Url(), "first")).ok());
  const auto second = Send(Post(server_.Url(), "second"));
  // Then the request was sent once, and its fate is not known.
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().retry, Retry::kUnknownOutcome) << second.error().Text();
  EXPECT_EQ(server_.requests.size(), 2u);
}

TEST_F(HttpClientTest, WhatWasNotSentIsToldApartFromWhatWas) {
  const std::string url = server_.Url();
  server_.answer = [](std::size_t) { return std::string("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"); };
  const auto half = Send(Post(url), 300ms);
  ASSERT_FALSE(half.ok());
  EXPECT_EQ(half.error().retry, Retry::kUnknownOutcome);
  EXPECT_THAT(half.error().message, HasSubstr("no answer within 300 ms"));
  server_.Close();
  const auto refused = Send(Post(url));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().retry, Retry::kRetry) << refused.error().Text();
}

TEST_F(HttpClientTest, NamesNeedAnAddress) {
  const auto unknown = Send(Post(server_.Url("db.lifeboat.test")));
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().retry, Retry::kFail);
  HttpRequest request = Post(server_.Url("db.lifeboat.test"));
  request.address = "127.0.0.1";
  ASSERT_TRUE(Send(std::move(request)).ok());
  EXPECT_THAT(server_.requests[0], HasSubstr("Host: db.lifeboat.test"));
  EXPECT_EQ(Send(Post("ftp://127.0.0.1/")).error().retry, Retry::kFail);
}

TEST_F(HttpClientTest, AnAnswerThatIsTooLargeIsNotKept) {
  server_.answer = [](std::size_t) { return Server::Ok(std::string(1001, 'x')); };
  const auto large = Send(Post(server_.Url()));
  ASSERT_FALSE(large.ok());
  EXPECT_THAT(large.error().message, HasSubstr("answered more than"));
  server_.answer = [](std::size_t) { return Server::Ok(std::string(1000, 'x')); };
  EXPECT_TRUE(Send(Post(server_.Url())).ok());
}

TEST_F(HttpClientTest, AStreamIsHandedOnAsItComesAndEndsWhenItIsCancelled) {
  server_.answer = [](std::size_t) { return std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"); };
  std::string seen;
  HttpRequest request = Post(server_.Url());
  request.on_body = [&](std::string_view part) { seen.append(part); };
  asio::cancellation_signal stop;
  bool ended = false;
  const auto send = [](HttpClient& client, HttpRequest what) -> Task<> { (void)co_await client.Send(std::move(what), 60s); };
  asio::co_spawn(context_, send(client_, std::move(request)),
                 asio::bind_cancellation_slot(stop.slot(), [&](const std::exception_ptr&) { ended = true; }));
  ASSERT_TRUE(RunUntil(context_, [&] { return seen == "first"; }));
  EXPECT_FALSE(ended);
  stop.emit(asio::cancellation_type::terminal);
  ASSERT_TRUE(RunUntil(context_, [&] { return ended; }));
  server_.answer = [](std::size_t) { return Server::Ok("fine"); };
  EXPECT_TRUE(Send(Post(server_.Url())).ok());
}

TEST_F(HttpClientTest, ManyRequestsAtOnceEachGetTheirOwnAnswer) {
  server_.answer = [&](std::size_t) {
    const std::string& last = server_.requests.back();
    return Server::Ok(last.substr(last.find("\r\n\r\n") + 4));
  };
  std::vector<Outcome<Result<HttpResponse>>> outcomes;
  for (int number = 0; number < 50; ++number)
    outcomes.push_back(Start(context_, client_.Send(Post(server_.Url(), std::to_string(number)), 5s)));
  for (int number = 0; number < 50; ++number) {
    const auto response = Finish(context_, outcomes[static_cast<std::size_t>(number)]);
    ASSERT_TRUE(response.ok()) << response.error().Text();
    EXPECT_EQ(response->body, std::to_string(number));
  }
}

TEST_F(HttpClientTest, RequestsThatRunOutOfTimeLeaveNoSocketAndNoWork) {
  const auto sockets = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
  };
  asio::io_context context;
  tcp::acceptor silent(context_, tcp::endpoint(asio::ip::address_v4::loopback(), 0));  // takes connections, says nothing
  const std::string origin = "127.0.0.1:" + std::to_string(silent.local_endpoint().port());
  std::ptrdiff_t before = 0;
  {
    HttpClient client(context.get_executor(), HttpOptions{});
    for (const char* scheme : {"http://", "https://"}) {
      for (int round = 0; round < 5; ++round) {
        if (round == 1 && before == 0) before = sockets();
        EXPECT_FALSE(Await(context, client.Send(Post(scheme + origin), 20ms)).ok());
      }
    }
    EXPECT_LE(sockets(), before + 1);
  }
  context.restart();
  context.run_for(1s);
  EXPECT_TRUE(context.stopped());
}

TEST_F(HttpClientTest, ClosingTheClientAnswersWhatIsUnderWay) {
  server_.answer = [](std::size_t) { return std::string("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"); };
  auto client = std::make_unique<HttpClient>(context_.get_executor(), HttpOptions{});
  auto outcome = Start(context_, client->Send(Post(server_.Url()), 60s));
  ASSERT_TRUE(RunUntil(context_, [&] { return !server_.requests.empty(); }));
  client.reset();
  EXPECT_FALSE(Finish(context_, outcome).ok());
}

}  // namespace
}  // namespace lifeboat::testing
