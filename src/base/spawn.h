#pragma once

// Starting a coroutine that nobody waits for. An exception that leaves it would otherwise end it in silence, a renewal loop
// among them: here it ends the process, which a supervisor starts again, and which then reads the world anew.
// Thread rule: the executor that is given.

#include <boost/asio/co_spawn.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "base/task.h"

namespace lifeboat {

inline void Spawn(boost::asio::any_io_executor executor, Task<> task) {
  boost::asio::co_spawn(executor, std::move(task), [](std::exception_ptr thrown) {
    if (!thrown) return;
    try {
      std::rethrow_exception(thrown);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "lifeboat: a loop ended by an exception: %s\n", e.what());
      std::abort();
    } catch (...) {
      // Nothing of ours or of a library's throws anything else; tests end a coroutine so, as a crash would.
    }
  });
}

}  // namespace lifeboat
