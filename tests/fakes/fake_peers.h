#pragma once

// The network between agents: questions are carried to the other process and answered there, with the network's faults.

#include <set>

#include "fakes/virtual_time.h"
#include "ports/bell.h"
#include "ports/peers.h"

namespace lifeboat::testing {

/// Who can be reached, from where. Regions that are not named are fine.
struct FakeNetwork {
  std::set<RegionName> cut_off;                           ///< regions that no other reaches
  std::set<std::pair<RegionName, RegionName>> cut_links;  ///< both ways
  Duration latency = 2ms;                                 ///< one way

  [[nodiscard]] bool Reaches(const RegionName& a, const RegionName& b) const {
    if (a == b) return true;
    return !cut_off.contains(a) && !cut_off.contains(b) && !cut_links.contains({a, b}) && !cut_links.contains({b, a});
  }
};

class FakePeerHub {
 public:
  struct Process {
    boost::asio::io_context* context = nullptr;
    CallHandler handler;
  };
  explicit FakePeerHub(FakeNetwork& n) : network(n) {}
  FakeNetwork& network;
  std::map<RegionName, Process> processes;  ///< those that run
};

class FakePeers final : public Peers {
 public:
  FakePeers(RegionName self, Clock& clock, FakePeerHub& hub) : self_(std::move(self)), clock_(clock), hub_(hub) {}

  Task<Result<Json>> Call(RegionName region, std::string method, Json parameters, Duration timeout, Lane) override {
    const FakeNetwork& network = hub_.network;
    const Instant until = clock_.Now() + timeout;
    co_await clock_.Sleep(network.latency);
    if (!network.Reaches(self_, region)) {
      co_await clock_.Sleep(timeout);
      co_return UnknownOutcome("no answer from the agent of '" + region.text + "' in time");
    }
    const auto found = hub_.processes.find(region);
    if (found == hub_.processes.end())
      co_return RetryLater("the agent of '" + region.text + "' does not answer: connection refused");
    auto reply = std::make_shared<Reply>(co_await boost::asio::this_coro::executor);
    boost::asio::co_spawn(*found->second.context,
                          Answer(found->second.handler, std::move(method), std::move(parameters), Carrier(reply)),
                          boost::asio::detached);
    while (!reply->value && !reply->broken) {
      const Duration left = TimeLeft(until, clock_.Now());
      if (left <= 0ns) break;
      co_await reply->bell.WaitFor(clock_, left);
    }
    if (!network.Reaches(self_, region)) {
      co_await clock_.Sleep(std::max<Duration>(1ns, TimeLeft(until, clock_.Now())));
      co_return UnknownOutcome("no answer from the agent of '" + region.text + "' in time");
    }
    co_await clock_.Sleep(network.latency);
    if (reply->value) co_return *std::move(reply->value);
    co_return UnknownOutcome(reply->broken ? "the connection to '" + region.text + "' broke"
                                           : "no answer from the agent of '" + region.text + "' in time");
  }

 private:
  struct Reply {
    explicit Reply(boost::asio::any_io_executor io) : bell(std::move(io)) {}
    std::optional<Result<Json>> value;
    bool broken = false;
    Bell bell;
  };
  /// Travels with the question; where the answering process ends before it answered, the asker's connection breaks.
  struct Carrier {
    explicit Carrier(std::shared_ptr<Reply> r) : reply(std::move(r)) {}
    Carrier(Carrier&&) = default;
    Carrier(const Carrier&) = delete;
    ~Carrier() {
      if (const auto to = reply.lock(); to && !to->value) {
        to->broken = true;
        to->bell.Ring();
      }
    }
    std::weak_ptr<Reply> reply;  // the asker may be gone
  };
  static Task<> Answer(CallHandler handler, std::string method, Json parameters, Carrier carrier) {
    auto answer = co_await handler(std::move(method), std::move(parameters));
    if (const auto to = carrier.reply.lock()) {
      to->value = std::move(answer);
      to->bell.Ring();
    }
  }

  const RegionName self_;
  Clock& clock_;
  FakePeerHub& hub_;
};

}  // namespace lifeboat::testing
