#include "lab/interrupt.h"

#include <atomic>

namespace lifeboat::lab {

namespace {
std::atomic<bool> came{false};  // written by the signal handler: a lock-free atomic is safe there
static_assert(std::atomic<bool>::is_always_lock_free);
}  // namespace

Interrupt::Interrupt() {
  came = false;
  struct sigaction noted {};
  noted.sa_handler = [](int) { came = true; };
  ::sigaction(SIGINT, &noted, &former_int_);
  ::sigaction(SIGTERM, &noted, &former_term_);
}

Interrupt::~Interrupt() {
  ::sigaction(SIGINT, &former_int_, nullptr);
  ::sigaction(SIGTERM, &former_term_, nullptr);
}

bool Interrupt::Came() { return came; }

}  // namespace lifeboat::lab
