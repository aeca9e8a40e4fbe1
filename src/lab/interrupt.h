#pragma once

// Ctrl-C for long blocking commands: the signal is noted, the waits see it and end, and what was built is taken down.
// Thread rule: one Interrupt at a time in a process, held by its main thread; Came() from any thread.

#include <csignal>

namespace lifeboat::lab {

class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;
  [[nodiscard]] static bool Came();

 private:
  struct sigaction former_int_ {};
  struct sigaction former_term_ {};
};

}  // namespace lifeboat::lab
