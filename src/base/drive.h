#pragma once

// Drives an io_context from code that is no coroutine: a command, or a start, that waits for one answer.
// Thread rule: the one thread that drives the context.

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

namespace lifeboat {

/// Runs `context` until `done` says so; it can be driven or run again afterwards, by whoever calls restart() first.
/// The guard matters: what a pool works on is no work of the context, which else stops for want of any. And so does the restart
/// once the guard stands: the end of an earlier question's leftover, on a pool, may have stopped the context at any moment since.
template <typename Done>
void DriveUntil(boost::asio::io_context& context, Done done) {
  const auto work = boost::asio::make_work_guard(context);
  context.restart();
  while (!done()) context.run_one();
}

}  // namespace lifeboat
