#pragma once

// Task<T>: the coroutine type of loops, executions and doors. It runs on whatever executor it was started on; nothing
// that returns a Task may block, sleep or name a thread.
// g++ 12: never write a braced initialiser or a ternary inside a co_await expression; build the argument first.

#include <boost/asio/awaitable.hpp>

namespace lifeboat {

template <typename T = void>
using Task = boost::asio::awaitable<T>;

}  // namespace lifeboat
