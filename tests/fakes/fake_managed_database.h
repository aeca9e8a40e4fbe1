#pragma once

// A database that a cloud runs, in memory: the cloud moves its writer later than it answers. FakeCloud outlives the processes;
// FakeManagedDatabase is one agent's door to it. A region that is silent answers nobody; its requests are counted.

#include <map>
#include <set>
#include <vector>

#include "fakes/virtual_time.h"
#include "ports/managed_database.h"

namespace lifeboat::testing {

struct FakeCloud {
  explicit FakeCloud(VirtualTime& t) : time(t) {}

  VirtualTime& time;
  std::map<RegionName, ManagedCopy> copies;
  std::map<RegionName, ManagedLag> lags;
  std::set<RegionName> silent;          ///< whose API answers nobody
  Duration move_takes = 20s;            ///< from the request to the new writer
  ManagedFenceWord word;                ///< about the old writer
  std::string snapshot;                 ///< of the lost writes
  std::optional<WallTime> snapshot_at;  ///< when it was taken; empty: since whatever is asked
  std::set<RegionName> throttled;       ///< whose API says that it is asked too often
  std::optional<Error> refuse_failover;
  std::optional<Error> refuse_switchover;
  std::optional<Error> refuse_while_moving;  ///< a second request, as RDS does to an instance that is being changed
  int take_back = 0;                         ///< so many moves are taken on and do not happen
  Duration ahead{0};                         ///< of its clock, against the agents'
  int lose_answers = 0;                      ///< so many requests are done, and their answer is lost
  std::vector<std::string> requests;         ///< that change something: "failover us-west-2"
  std::map<RegionName, int> held;            ///< questions to a silent region
  std::set<RegionName> detached;
  RegionName moving_to;
  bool moving_with_loss = false;  ///< what goes on is a failover
  ManagedReturn back{true, false, "it follows again"};

  void Add(const RegionName& region, ManagedRole role) {
    ManagedCopy copy;
    copy.role = role;
    copy.id = "orders-" + region.text;
    copy.status = "available";
    copy.instances = 1;
    copies[region] = copy;
  }
  [[nodiscard]] RegionName Writer() const {
    for (const auto& [region, copy] : copies) {
      if (copy.role == ManagedRole::kWriter && !detached.contains(region)) return region;
    }
    return {};
  }
  void MoveTo(const RegionName& target) {
    moving_to = target;
    const bool taken_back = take_back > 0;
    if (taken_back) --take_back;
    time.At(time.now() + move_takes, [this, target, taken_back] {
      moving_to = RegionName();
      if (taken_back) return;
      for (auto& [region, copy] : copies) copy.role = region == target ? ManagedRole::kWriter : ManagedRole::kSecondary;
    });
  }
};

class FakeManagedDatabase final : public ManagedDatabase {
 public:
  std::set<RegionName> no_way_to;  ///< regions that this agent alone cannot reach

  FakeManagedDatabase(Clock& clock, FakeCloud& cloud, Duration latency = 20ms) : clock_(clock), cloud_(cloud), latency_(latency) {}

  Task<Result<ManagedView>> Look(RegionName asked, Duration timeout) override {
    const bool answers = co_await Reach(asked, timeout);
    if (!answers) co_return RetryLater("the API of '" + asked.text + "' did not answer");
    if (cloud_.throttled.contains(asked)) {
      Error too_often = RetryLater("the API is asked too often");
      too_often.not_weighed = true;
      co_return too_often;
    }
    ManagedView view;
    view.asked = asked;
    view.writer = cloud_.Writer();
    view.moving_to = cloud_.moving_to;
    for (const auto& [region, copy] : cloud_.copies) {
      view.copies[region] = copy;
      if (region != asked) view.copies[region].status.clear();
    }
    co_return view;
  }
  [[nodiscard]] Duration CloudAhead() const override { return cloud_.ahead; }
  Task<Result<ManagedLag>> Lag(RegionName secondary, Duration timeout) override {
    const bool answers = co_await Reach(secondary, timeout);
    if (!answers) co_return RetryLater("the API of '" + secondary.text + "' did not answer");
    ManagedLag lag;
    if (const auto known = cloud_.lags.find(secondary); known != cloud_.lags.end()) lag = known->second;
    co_return lag;
  }
  Task<Result<std::vector<Readiness>>> Check(Duration) override {
    std::vector<Readiness> lines{{"ok", "the cloud answers", ""}};
    co_return lines;
  }
  Task<Result<std::string>> Preflight(RegionName target, Duration timeout) override {
    const RegionName writer = cloud_.Writer();
    const bool answers = co_await Reach(writer, timeout);
    if (!answers) co_return Refused("the region of the writer does not answer");
    if (cloud_.refuse_switchover) co_return *cloud_.refuse_switchover;
    co_return "'" + target.text + "' could take over";
  }
  Task<Result<bool>> SwitchOver(RegionName target, Duration timeout) override {
    const RegionName writer = cloud_.Writer();
    const bool answers = co_await Reach(writer, timeout);
    if (!answers) co_return RetryLater("the region of the writer does not answer");
    if (cloud_.Writer() == target || cloud_.moving_to == target) co_return false;
    if (cloud_.refuse_switchover) co_return *cloud_.refuse_switchover;
    cloud_.requests.push_back("switchover " + target.text);
    cloud_.MoveTo(target);
    cloud_.moving_with_loss = false;
    co_return co_await Answer(timeout);
  }
  Task<Result<bool>> FailOver(RegionName target, ManagedConsent consent, Duration timeout) override {
    const bool answers = co_await Reach(target, timeout);
    if (!answers) co_return RetryLater("the API of '" + target.text + "' did not answer");
    if (consent.by.empty()) co_return Refused("nobody has said that writes may be lost");
    if (cloud_.detached.contains(target)) co_return Fail("it is no member of the global database");
    if (cloud_.moving_to == target && cloud_.refuse_while_moving) co_return *cloud_.refuse_while_moving;
    // A switchover may wait for ever: only a failover that is under way is as good as this one.
    if (cloud_.Writer() == target || (cloud_.moving_to == target && cloud_.moving_with_loss)) co_return false;
    if (cloud_.refuse_failover) co_return *cloud_.refuse_failover;
    cloud_.requests.push_back("failover " + target.text);
    cloud_.MoveTo(target);
    cloud_.moving_with_loss = true;
    co_return co_await Answer(timeout);
  }
  Task<Result<bool>> Detach(RegionName target, ManagedConsent, Duration timeout) override {
    const bool answers = co_await Reach(target, timeout);
    if (!answers) co_return RetryLater("the API of '" + target.text + "' did not answer");
    if (cloud_.detached.contains(target)) co_return false;
    cloud_.requests.push_back("detach " + target.text);
    cloud_.detached.insert(target);
    cloud_.copies[target].role = ManagedRole::kApart;
    co_return co_await Answer(timeout);
  }
  Task<Result<Unit>> Await(RegionName target, bool detached, Duration timeout) override {
    const Instant end = clock_.Now() + timeout;
    while (true) {
      const bool answers = co_await Reach(target, 1s);
      if (!answers) co_return RetryLater("the API of '" + target.text + "' did not answer");
      if (detached ? cloud_.detached.contains(target) : cloud_.Writer() == target) co_return Done();
      if (TimeLeft(end, clock_.Now()) <= 0ns) co_return RetryLater("the writer is not there yet");
      co_await clock_.Sleep(1s);
    }
  }
  Task<Result<ManagedFenceWord>> ReadFencing(RegionName source, RegionName, WallTime, Duration timeout) override {
    (void)co_await Reach(source, timeout);
    co_return cloud_.word;
  }
  Task<Result<std::string>> KeepLostWrites(RegionName source, WallTime from, Duration timeout) override {
    const bool answers = co_await Reach(source, timeout);
    if (!answers) co_return RetryLater("the API of '" + source.text + "' did not answer");
    const bool older = cloud_.snapshot_at && *cloud_.snapshot_at < from;
    co_return older ? std::string() : cloud_.snapshot;
  }
  Task<Result<ManagedReturn>> Rejoin(RegionName region, RegionName, Duration timeout) override {
    const bool answers = co_await Reach(region, timeout);
    if (!answers) co_return RetryLater("the API of '" + region.text + "' did not answer");
    if (cloud_.back.done) cloud_.copies[region].role = ManagedRole::kSecondary;
    co_return cloud_.back;
  }

 private:
  Task<bool> Reach(RegionName region, Duration timeout) {
    const bool silent = cloud_.silent.contains(region) || no_way_to.contains(region);
    if (silent) ++cloud_.held[region];
    co_await clock_.Sleep(silent ? timeout : latency_);
    co_return !silent;
  }
  Task<Result<bool>> Answer(Duration timeout) {
    if (cloud_.lose_answers > 0) {
      --cloud_.lose_answers;
      co_await clock_.Sleep(timeout);
      co_return UnknownOutcome("the cloud did not answer");
    }
    co_return true;
  }
  Clock& clock_;
  FakeCloud& cloud_;
  const Duration latency_;
};

}  // namespace lifeboat::testing
