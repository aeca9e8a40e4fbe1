// The simulation's contexts have no descriptors and no real timers, yet Asio asks the kernel for events at every poll of every
// one of them: half of the run time. Nothing here waits, so the answer is always "none". The random bytes that ids are made of
// come from the seed, so that a run is the same to the last byte.

#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/timerfd.h>

#include "simulation/no_real_io.h"

namespace lifeboat::simulation {
namespace {
thread_local std::uint64_t random_state = 1;
}
void SeedRandomBytes(std::uint64_t seed) { random_state = seed * 2 + 1; }
}  // namespace lifeboat::simulation

extern "C" {
int epoll_wait(int, epoll_event*, int, int) { return 0; }
int timerfd_settime(int, int, const itimerspec*, itimerspec*) { return 0; }
ssize_t getrandom(void* buffer, size_t length, unsigned) {
  auto* bytes = static_cast<unsigned char*>(buffer);
  for (size_t at = 0; at < length; ++at) {
    lifeboat::simulation::random_state = lifeboat::simulation::random_state * 6364136223846793005U + 1442695040888963407U;
    bytes[at] = static_cast<unsigned char>(lifeboat::simulation::random_state >> 56U);
  }
  return static_cast<ssize_t>(length);
}
}
