#pragma once

// The door Hands: verbs on the own region go to its RegionHand, verbs on another one to that region's agent.
// Thread rule: the agent's executor.

#include "act/region_hand.h"
#include "agent/agent.h"
#include "ports/peers.h"

namespace lifeboat {

class Agent::LocalOrRemoteHands final : public Hands {
 public:
  LocalOrRemoteHands(RegionName self, RegionHand& hand, Peers& peers) : self_(std::move(self)), hand_(hand), peers_(peers) {}

  Task<Result<Json>> Do(RegionName region, std::string verb, Json parameters, Duration timeout) override {
    if (region == self_) co_return co_await hand_.Do(std::move(verb), std::move(parameters), timeout);
    // The other agent ends its work within `timeout`; its answer needs a moment more.
    parameters["timeout_ms"] = Millis(timeout);
    const std::string method = "hand." + verb;
    co_return co_await peers_.Call(std::move(region), method, std::move(parameters), timeout + 500ms, Lane::kWork);
  }

 private:
  const RegionName self_;
  RegionHand& hand_;
  Peers& peers_;
};

}  // namespace lifeboat
