#pragma once

// External fences in memory. FakeFences is what lies outside of every process: the instances and who may stop them; FakeFence is
// one agent's door to it.

#include <functional>
#include <map>
#include <vector>

#include "ports/clock.h"
#include "ports/instance_fence.h"

namespace lifeboat::testing {

struct FakeFences {
  bool proves = true;                            ///< or fails, and says so
  Duration takes{0};                             ///< of one run
  std::vector<FenceOrder> orders;                ///< as they came
  std::map<RegionName, std::string> in_the_way;  ///< of Look
  std::function<void(const FenceOrder&)> on_order;
};

class FakeFence final : public InstanceFence {
 public:
  FakeFence(Clock& clock, FakeFences& fences) : clock_(clock), fences_(fences) {}
  Task<Result<std::string>> Stop(FenceOrder order) override {
    fences_.orders.push_back(order);
    if (fences_.on_order) fences_.on_order(order);
    if (fences_.takes > Duration(0)) co_await clock_.Sleep(fences_.takes);
    if (!fences_.proves) co_return RetryLater("its fence command ended with 1: the cloud does not answer");
    co_return std::string("the instance is stopped");
  }
  Task<std::map<RegionName, std::string>> Look() override { co_return fences_.in_the_way; }

 private:
  Clock& clock_;
  FakeFences& fences_;
};

}  // namespace lifeboat::testing
