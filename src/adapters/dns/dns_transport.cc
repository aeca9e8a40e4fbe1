#include "adapters/dns/dns_transport.h"

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <memory>
#include <string>

namespace lifeboat {

namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;
using boost::system::error_code;

constexpr auto kSendAgain = std::chrono::milliseconds(200);
constexpr auto kAfterRefusal = std::chrono::milliseconds(50);  // the server is perhaps just being started
constexpr auto use_tuple = asio::as_tuple(asio::use_awaitable);

/// Ends whatever waits on a socket, at a moment.
template <typename Socket>
class StopAt {
 public:
  StopAt(Socket& socket, Clock::time_point at) : timer_(std::make_shared<asio::steady_timer>(socket.get_executor(), at)) {
    // Shared with the handler, which the executor may still hold when this guard has gone.
    timer_->async_wait([timer = timer_, alive = std::weak_ptr<bool>(alive_), &socket](error_code stopped) {
      if (stopped || alive.expired()) return;
      error_code ignored;
      socket.cancel(ignored);
    });
  }
  ~StopAt() { timer_->cancel(); }
  StopAt(const StopAt&) = delete;
  StopAt& operator=(const StopAt&) = delete;

 private:
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::shared_ptr<asio::steady_timer> timer_;
};

Task<> WaitUntil(asio::any_io_executor executor, Clock::time_point at) {
  asio::steady_timer timer(executor, at);
  co_await timer.async_wait(use_tuple);
}

/// What became of waiting for an answer.
enum class Fate { kAnswered, kSilent, kTurnedAway, kCancelled };

struct Heard {
  Fate fate = Fate::kSilent;
  std::optional<DnsAnswer> answer;
};

/// Listens until an answer that is accepted, or `end`.
Task<Heard> Listen(asio::ip::udp::socket& socket, const Exchange& exchange, Clock::time_point end) {
  Heard heard;
  Bytes buffer(65'535);
  const StopAt<asio::ip::udp::socket> limit(socket, end);
  while (Clock::now() < end) {
    const auto [error, size] = co_await socket.async_receive(asio::buffer(buffer), use_tuple);
    const asio::cancellation_state cancellation = co_await asio::this_coro::cancellation_state;
    if (cancellation.cancelled() != asio::cancellation_type::none) heard.fate = Fate::kCancelled;
    if (error == asio::error::connection_refused) heard.fate = Fate::kTurnedAway;
    if (error) break;
    const Bytes received(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(size));
    heard.answer = exchange.accept(received);
    if (!heard.answer) continue;
    heard.fate = Fate::kAnswered;
    break;
  }
  co_return heard;
}

/// The same over TCP. Nothing: no answer by the deadline.
Task<std::optional<DnsAnswer>> AskOverTcp(asio::any_io_executor executor, const Exchange& exchange) {
  asio::ip::tcp::socket socket(executor);
  const asio::ip::tcp::endpoint server(asio::ip::make_address(exchange.server.host), exchange.server.port);
  const StopAt<asio::ip::tcp::socket> limit(socket, exchange.deadline);
  const auto [connect_error] = co_await socket.async_connect(server, use_tuple);
  if (connect_error) co_return std::nullopt;
  const std::size_t size = exchange.request.bytes.size();
  Bytes framed{static_cast<std::uint8_t>(size >> 8U), static_cast<std::uint8_t>(size & 0xffU)};  // RFC 1035 section 4.2.2
  framed.insert(framed.end(), exchange.request.bytes.begin(), exchange.request.bytes.end());
  const auto [write_error, written] = co_await asio::async_write(socket, asio::buffer(framed), use_tuple);
  if (write_error) co_return std::nullopt;
  for (;;) {
    std::array<std::uint8_t, 2> prefix{};
    const auto [prefix_error, prefix_size] = co_await asio::async_read(socket, asio::buffer(prefix), use_tuple);
    if (prefix_error) co_return std::nullopt;
    Bytes received(static_cast<std::size_t>(prefix[0]) << 8U | prefix[1]);
    const auto [read_error, read_size] = co_await asio::async_read(socket, asio::buffer(received), use_tuple);
    if (read_error) co_return std::nullopt;
    if (std::optional<DnsAnswer> answer = exchange.accept(received)) co_return answer;
  }
}

}  // namespace

Task<Result<DnsAnswer>> Carry(asio::any_io_executor executor, Exchange exchange) {
  error_code problem;
  const asio::ip::udp::endpoint server(asio::ip::make_address(exchange.server.host, problem), exchange.server.port);
  if (problem) co_return Fail("DNS server '" + exchange.server.Text() + "' is not an IP address and a port");
  asio::ip::udp::socket socket(executor);
  socket.open(server.protocol(), problem);
  // Connected: the kernel passes on packets of this server only, and tells when its host turns ours away.
  if (!problem) socket.connect(server, problem);
  if (problem) co_return RetryLater("DNS server '" + exchange.server.Text() + "' cannot be reached: " + problem.message());

  // One socket for all repeats: an answer that takes longer than the repeat still finds it.
  int turned_away = 0;
  int sent = 0;
  Heard heard;
  while (heard.fate != Fate::kCancelled && !heard.answer && Clock::now() < exchange.deadline) {
    const Clock::time_point now = Clock::now();
    ++sent;
    socket.send(asio::buffer(exchange.request.bytes), 0, problem);
    if (!problem) heard = co_await Listen(socket, exchange, std::min(now + kSendAgain, exchange.deadline));
    if (!problem && heard.fate != Fate::kTurnedAway) continue;
    ++turned_away;
    co_await WaitUntil(executor, std::min(now + kAfterRefusal, exchange.deadline));
  }
  if (heard.answer && heard.answer->truncated) heard.answer = co_await AskOverTcp(executor, exchange);
  if (heard.answer) co_return std::move(*heard.answer);
  const std::string message = "DNS server '" + exchange.server.Text() + "' did not answer in time";
  const char* const hint = "is it running, and does UDP reach it?";
  if (sent == turned_away) co_return RetryLater(message, hint);
  co_return UnknownOutcome(message, hint);
}

}  // namespace lifeboat
