#pragma once

// LIFEBOAT_CHECK guards our own logic, always on; never input. A failed check ends the process: the supervisor
// starts a new one, which reads the world again.

namespace lifeboat::internal {
[[noreturn]] void CheckFailed(const char* expression, const char* what, const char* file, int line);
}  // namespace lifeboat::internal

#define LIFEBOAT_CHECK(condition, what)                                        \
  do {                                                                         \
    if (!(condition)) {                                                        \
      ::lifeboat::internal::CheckFailed(#condition, what, __FILE__, __LINE__); \
    }                                                                          \
  } while (false)
