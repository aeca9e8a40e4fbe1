#pragma once

// Several questions at once, for looks that must not wait for one region after the other.
// Thread rule: the caller's executor.

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <vector>

#include "base/task.h"

namespace lifeboat::aws {

/// Ends when all of them have. Each keeps its own deadline.
inline Task<> Together(std::vector<Task<>> tasks) {
  namespace asio = boost::asio;
  if (tasks.empty()) co_return;
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  using Started = decltype(asio::co_spawn(executor, std::move(tasks.front()), asio::deferred));
  std::vector<Started> started;
  for (Task<>& task : tasks) started.push_back(asio::co_spawn(executor, std::move(task), asio::deferred));
  auto group = asio::experimental::make_parallel_group(std::move(started));
  co_await group.async_wait(asio::experimental::wait_for_all(), asio::use_awaitable);
}

}  // namespace lifeboat::aws
