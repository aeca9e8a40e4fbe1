#pragma once

// A wait that can be ended early: "sleep for d, or until somebody rings". Built on the injected clock, so that a
// simulation with virtual time drives it like every other wait.
// Thread rule: one executor.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "ports/clock.h"

namespace lifeboat {

class Bell {
 public:
  explicit Bell(const boost::asio::any_io_executor& io) : timer_(io, boost::asio::steady_timer::time_point::max()) {}

  [[nodiscard]] boost::asio::any_io_executor executor() { return timer_.get_executor(); }
  /// Ends the waits of this moment; nobody waiting: no effect.
  void Ring() {
    ++rings_;
    timer_.cancel();
  }
  /// Resumes after `d`, or at the next ring.
  Task<> WaitFor(Clock& clock, Duration d) {
    using namespace boost::asio::experimental::awaitable_operators;
    (void)co_await (clock.Sleep(std::max<Duration>(d, 1ns)) || Rung(rings_));
  }
  /// Resumes at the next ring.
  Task<> Wait() { co_await Rung(rings_); }

 private:
  /// `seen`: a ring between the call and the wait counts too.
  Task<> Rung(std::uint64_t seen) {
    if (rings_ != seen) co_return;
    boost::system::error_code ignored;
    co_await timer_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
  }

  boost::asio::steady_timer timer_;  // never expires; cancelled by a ring
  std::uint64_t rings_ = 0;
};

}  // namespace lifeboat
