#pragma once

// The network between regions: every message has its own fate. Links are directed, so partitions can be one-way and
// non-transitive. A datagram that is lost is lost, and may come twice; what travels on a connection is sent again, later and
// later, and can arrive long after its sender has given it up.
//
// Thread rule: the simulation's one thread; what is delivered is carried out while no process runs.

#include <functional>
#include <vector>

#include "fakes/virtual_time.h"
#include "simulation/dice.h"

namespace lifeboat::simulation {

/// What happens to messages of a link at the moment; every link has its own.
struct LinkFaults {
  bool cut = false;
  Duration least{std::chrono::milliseconds(1)};
  Duration most{std::chrono::milliseconds(3)};
  double loss = 0;       ///< of a datagram, or of one try of a connection
  double duplicate = 0;  ///< of a datagram
  double slow = 0;       ///< a message that takes up to `slowest`: later ones overtake it
  Duration slowest{0};
};

class Network {
 public:
  Network(testing::VirtualTime& time, Dice dice, int places) : time_(time), dice_(dice), places_(places) {
    links_.resize(static_cast<std::size_t>(places * places));
  }

  LinkFaults& Link(int from, int to) { return links_[static_cast<std::size_t>(from * places_ + to)]; }
  [[nodiscard]] bool Passes(int from, int to) const {
    return from == to || !links_[static_cast<std::size_t>(from * places_ + to)].cut;
  }
  /// A connection needs both ways.
  [[nodiscard]] bool Connects(int a, int b) const { return Passes(a, b) && Passes(b, a); }
  void HealAll() {
    for (LinkFaults& link : links_) link = LinkFaults();
  }

  /// At most once on a connection; a datagram perhaps twice.
  void Send(int from, int to, bool datagram, std::function<void()> deliver) { Try(from, to, datagram, 0, std::move(deliver)); }

  std::uint64_t sent = 0;
  std::uint64_t lost = 0;
  std::uint64_t doubled = 0;

 private:
  void Try(int from, int to, bool datagram, int attempt, std::function<void()> deliver);
  Duration Delay(const LinkFaults& link) {
    return link.slow > 0 && dice_.Chance(link.slow) ? dice_.Between(link.most, link.slowest) : dice_.Between(link.least, link.most);
  }

  testing::VirtualTime& time_;
  Dice dice_;
  const int places_;
  std::vector<LinkFaults> links_;
};

}  // namespace lifeboat::simulation
