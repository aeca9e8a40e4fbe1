#include "adapters/peers/framed_socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio.hpp>
#include <cerrno>

namespace lifeboat::peers {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr auto kNoThrow = asio::as_tuple(asio::use_awaitable);

// A peer that vanished is noticed after 5 s of silence to written data, or 5 s idle and 3 unanswered looks.
constexpr int kUserTimeoutMillis = 5000;
constexpr int kKeepIdleSeconds = 5;
constexpr int kKeepIntervalSeconds = 1;
constexpr int kKeepCount = 3;

}  // namespace

FramedSocket::FramedSocket(tcp::socket socket, std::string_view early) : socket_(std::move(socket)) { decoder_.Append(early); }

Task<Result<std::string>> FramedSocket::Read() {
  for (;;) {
    Result<std::optional<std::string>> next = decoder_.Next();
    if (!next) co_return next.error();
    if (next->has_value()) co_return std::move(**next);
    if (closed_) co_return RetryLater("the connection was closed");
    const auto room = asio::buffer(chunk_);
    const auto [failure, count] = co_await socket_.async_read_some(room, kNoThrow);
    if (failure) co_return RetryLater("the connection has ended (" + failure.message() + ")");
    decoder_.Append(std::string_view(chunk_.data(), count));
  }
}

void FramedSocket::Send(std::shared_ptr<OutgoingFrame> frame) {
  if (closed_) return;
  queue_.push_back(std::move(frame));
  if (writing_) return;
  writing_ = true;
  asio::co_spawn(socket_.get_executor(), WriteLoop(shared_from_this()), asio::detached);
}

Task<> FramedSocket::WriteLoop(std::shared_ptr<FramedSocket> self) {
  while (!self->closed_ && !self->queue_.empty()) {
    const std::shared_ptr<OutgoingFrame> frame = self->queue_.front();
    if (frame->stage == Sending::kWithdrawn) {
      self->queue_.pop_front();
      continue;
    }
    frame->stage = Sending::kBegun;
    const auto bytes = asio::buffer(frame->bytes);
    const auto [failure, count] = co_await asio::async_write(self->socket_, bytes, kNoThrow);
    if (failure) {
      if (count == 0) frame->stage = Sending::kQueued;  // the kernel took nothing: the peer cannot have seen it
      self->Close();
      break;
    }
    frame->stage = Sending::kWritten;
    if (!self->queue_.empty()) self->queue_.pop_front();  // Close may have emptied it meanwhile
  }
  self->writing_ = false;
}

bool FramedSocket::HasEnded() {
  if (closed_) return true;
  char byte = 0;
  const ssize_t count = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return count == 0 || (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

void FramedSocket::Close() {
  if (closed_) return;
  closed_ = true;
  queue_.clear();
  boost::system::error_code ignored;  // a socket that is closing has nothing left to report
  socket_.shutdown(tcp::socket::shutdown_both, ignored);
  socket_.close(ignored);
}

void FramedSocket::Abort() {
  if (closed_) return;
  closed_ = true;
  queue_.clear();
  boost::system::error_code ignored;
  socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  socket_.close(ignored);
}

void TunePeerSocket(tcp::socket& socket) {
  boost::system::error_code ignored;  // each option only sharpens the noticing; without it the call's own timeout rules
  socket.set_option(tcp::no_delay(true), ignored);
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  using KeepIdle = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPIDLE>;
  using KeepInterval = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPINTVL>;
  using KeepCount = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPCNT>;
  using UserTimeout = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_USER_TIMEOUT>;
  socket.set_option(KeepIdle(kKeepIdleSeconds), ignored);
  socket.set_option(KeepInterval(kKeepIntervalSeconds), ignored);
  socket.set_option(KeepCount(kKeepCount), ignored);
  socket.set_option(UserTimeout(kUserTimeoutMillis), ignored);
}

}  // namespace lifeboat::peers
