#include "simulation/network.h"

namespace lifeboat::simulation {

namespace {
constexpr Duration kLocal = std::chrono::microseconds(100);
constexpr Duration kFirstAgain = std::chrono::milliseconds(200);
constexpr int kMostTries = 6;  // about twelve seconds: then the connection is given up
}  // namespace

void Network::Try(int from, int to, bool datagram, int attempt, std::function<void()> deliver) {
  if (attempt == 0) ++sent;
  if (from == to) {
    time_.At(time_.now() + kLocal, std::move(deliver));
    return;
  }
  const LinkFaults& link = Link(from, to);
  if (link.cut || dice_.Chance(link.loss)) {
    ++lost;
    if (datagram || attempt == kMostTries) return;
    time_.At(time_.now() + kFirstAgain * (1 << attempt), [this, from, to, attempt, deliver = std::move(deliver)]() mutable {
      Try(from, to, false, attempt + 1, std::move(deliver));
    });
    return;
  }
  if (datagram && dice_.Chance(link.duplicate)) {
    ++doubled;
    time_.At(time_.now() + Delay(link), deliver);
  }
  time_.At(time_.now() + Delay(link), std::move(deliver));
}

}  // namespace lifeboat::simulation
