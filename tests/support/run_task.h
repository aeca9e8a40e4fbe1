#pragma once

// Runs coroutines in tests: the calling thread drives the io_context until the task has ended, and no longer than a minute.

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include "base/task.h"

namespace lifeboat::testing {

/// Where the value of a spawned task will be.
template <typename T>
using Outcome = std::shared_ptr<std::optional<T>>;

namespace internal {
template <typename T>
Task<> Keep(Task<T> task, Outcome<T> outcome) {
  outcome->emplace(co_await std::move(task));
}
}  // namespace internal

/// Starts `task` and does not wait. What it throws comes out of the call that drives the context.
template <typename T>
Outcome<T> Start(boost::asio::io_context& context, Task<T> task) {
  auto outcome = std::make_shared<std::optional<T>>();
  boost::asio::co_spawn(context, internal::Keep<T>(std::move(task), outcome), [](std::exception_ptr problem) {
    if (problem) std::rethrow_exception(problem);
  });
  return outcome;
}

/// Drives `context` until `holds`. @return false: it did not within `limit`
inline bool RunUntil(boost::asio::io_context& context, const std::function<bool()>& holds,
                     std::chrono::nanoseconds limit = std::chrono::seconds(60)) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    context.restart();
    context.run_one_for(std::chrono::milliseconds(20));
  }
  return true;
}

template <typename T>
T Finish(boost::asio::io_context& context, const Outcome<T>& outcome) {
  if (!RunUntil(context, [&outcome] { return outcome->has_value(); })) throw std::runtime_error("the task did not end in a minute");
  return std::move(**outcome);
}

template <typename T>
T Await(boost::asio::io_context& context, Task<T> task) {
  return Finish<T>(context, Start(context, std::move(task)));
}

}  // namespace lifeboat::testing
