#pragma once

// A name server that keeps one name and the epoch beside it, as RFC 2136 updates with prerequisites do: an update
// requires exactly the epoch that was read, and is refused where another stands by then. FakeTraffic is one agent's door.

#include <functional>
#include <optional>

#include "ports/clock.h"
#include "ports/traffic.h"

namespace lifeboat::testing {

struct FakeNameServer {
  TrafficRecord record{"", std::nullopt, std::chrono::seconds(1)};
  bool up = true;
  int changes = 0;                      ///< updates that were applied
  bool looks_at_epochs = true;          ///< false: seeded, a step that looks at no epoch
  std::optional<Epoch> went_back_from;  ///< an update put an older epoch in its place

  /// One update message. @return false: the prerequisite does not hold
  bool Update(std::optional<Epoch> required, const std::string& address, Epoch epoch) {
    if (looks_at_epochs && record.epoch != required) return false;
    if (record.epoch && epoch < *record.epoch) went_back_from = record.epoch;
    record.address = address;
    record.epoch = epoch;
    ++changes;
    return true;
  }
};

class FakeTraffic final : public Traffic {
 public:
  FakeTraffic(Clock& clock, FakeNameServer& server, Duration latency = 0ns) : clock_(clock), server_(server), latency_(latency) {}

  bool silent = false;
  int lose_answers = 0;                ///< so many updates are applied and their answer is lost
  std::function<void()> before_point;  ///< the place of a crash, and of another writer
  std::function<void()> after_point;

  Task<Result<TrafficRecord>> Read(Duration timeout) override {
    co_await clock_.Sleep(silent || !server_.up ? timeout : latency_);
    if (silent || !server_.up) co_return RetryLater("the name server does not answer");
    if (server_.record.address.empty()) co_return NotFound("the name does not exist");
    co_return server_.record;
  }

  Task<Result<Unit>> Point(std::string address, Epoch epoch, Duration timeout) override {
    co_await clock_.Sleep(silent || !server_.up ? timeout : latency_);
    if (silent || !server_.up) co_return RetryLater("the name server does not answer");
    const TrafficRecord seen = server_.record;
    if (server_.looks_at_epochs && seen.epoch && *seen.epoch > epoch) {
      co_return Refused("epoch " + std::to_string(seen.epoch->number) + " stands beside the name, this change is of epoch " +
                        std::to_string(epoch.number));
    }
    if (seen.epoch == epoch && seen.address == address) co_return Done();
    if (before_point) before_point();
    co_await clock_.Sleep(latency_);
    if (!server_.Update(seen.epoch, address, epoch)) co_return RetryLater("the record changed at the same moment");
    if (after_point) after_point();
    if (lose_answers > 0) {
      --lose_answers;
      co_await clock_.Sleep(timeout);
      co_return UnknownOutcome("the name server did not answer the update");
    }
    co_return Done();
  }

 private:
  Clock& clock_;
  FakeNameServer& server_;
  const Duration latency_;
};

}  // namespace lifeboat::testing
