#pragma once

// Work that blocks (fsync, copying files) goes to a pool and comes back as an awaitable answer. When the disk does not
// answer in time the caller goes on without it; the work then ends unheard, and the pool's destructor waits for it.
// Thread rule: awaited on `executor`, which runs one handler at a time; `work` runs on the pool and owns all that it uses.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "adapters/postgres/deadline.h"
#include "base/result.h"
#include "base/task.h"

namespace lifeboat::postgres {

/// Waits for `d`. @error operation_aborted is thrown when the awaiting coroutine is cancelled
inline Task<> Pause(boost::asio::any_io_executor executor, Duration d) {
  boost::asio::steady_timer timer(executor);
  timer.expires_after(d);
  co_await timer.async_wait(boost::asio::use_awaitable);
}

/// Runs `work` (which returns a Result) on `pool`.
/// @error kUnknownOutcome: it was not done by the deadline
template <typename Work>
Task<std::invoke_result_t<Work>> Blocking(boost::asio::any_io_executor executor, boost::asio::thread_pool& pool, Work work,
                                          Deadline deadline) {
  using Outcome = std::invoke_result_t<Work>;
  struct Pending {
    explicit Pending(const boost::asio::any_io_executor& ex) : done(ex) {}
    boost::asio::steady_timer done;
    std::optional<Outcome> answer;
  };
  // Shared: whoever comes last, the waiter that gave up or the work that took too long, frees it.
  auto pending = std::make_shared<Pending>(executor);
  pending->done.expires_at(deadline.at());
  boost::asio::post(pool, [pending, executor, work = std::move(work)]() mutable {
    auto answer = std::make_shared<Outcome>(work());
    boost::asio::post(executor, [pending, answer] {
      pending->answer = std::move(*answer);
      pending->done.cancel();
    });
  });
  co_await pending->done.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  if (!pending->answer) {
    co_return UnknownOutcome("the file system did not answer in time", "look for a full or failing disk");
  }
  co_return std::move(*pending->answer);
}

}  // namespace lifeboat::postgres
