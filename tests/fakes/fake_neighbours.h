#pragma once

// What runs around a database that a cloud runs, in memory: compute, hooks, receivers, alarms. They outlive the processes that ask
// them.

#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "ports/alarms.h"
#include "ports/clock.h"
#include "ports/compute.h"
#include "ports/hook.h"
#include "ports/notifier.h"

namespace lifeboat::testing {

/// A group in each region. What it is told to be runs at once, unless `stuck`.
class FakeCompute final : public Compute {
 public:
  FakeCompute(Clock& clock, std::string name) : clock_(clock), name_(std::move(name)) {}

  std::map<RegionName, ComputeSizes> sizes;
  std::map<RegionName, std::uint64_t> runs;
  std::set<RegionName> silent;
  bool stuck = false;
  Duration patience_of = std::chrono::minutes(10);
  std::vector<std::string> changes;  ///< "up us-west-2 4", "back us-west-2 1"

  void Set(const RegionName& region, ComputeSizes is) {
    sizes[region] = is;
    runs[region] = is.desired;
  }
  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] unsigned share() const override { return 100; }
  [[nodiscard]] Duration patience() const override { return patience_of; }
  Task<Result<ComputeState>> Look(RegionName region, Duration timeout) override {
    const bool answers = co_await Reach(region, timeout);
    if (!answers) co_return NoAnswer(region);
    ComputeState state;
    state.sizes = sizes[region];
    state.running = runs[region];
    co_return state;
  }
  Task<Result<ComputeNote>> Prepare(RegionName region, std::uint64_t wanted, Duration timeout) override {
    const bool answers = co_await Reach(region, timeout);
    if (!answers) co_return NoAnswer(region);
    ComputeNote note;
    note.region = region;
    note.before = note.after = sizes[region];
    note.after.desired = std::max(note.before.desired, wanted);
    co_return note;
  }
  Task<Result<Unit>> ScaleUp(ComputeNote note, Duration timeout) override {
    const RegionName region = note.region;
    const bool answers = co_await Reach(region, timeout);
    if (!answers) co_return NoAnswer(region);
    if (sizes[region].desired >= note.after.desired) co_return Done();
    sizes[region] = note.after;
    if (!stuck) runs[region] = note.after.desired;
    changes.push_back("up " + region.text + " " + std::to_string(note.after.desired));
    co_return Done();
  }
  Task<Result<ComputeState>> Await(RegionName region, std::uint64_t wanted, Duration timeout) override {
    if (runs[region] < wanted) {
      co_await clock_.Sleep(timeout);
      co_return RetryLater("too few run");
    }
    auto state = co_await Look(region, timeout);
    co_return state;
  }
  Task<Result<Unit>> PutBack(ComputeNote note, Duration timeout) override {
    const RegionName region = note.region;
    const bool answers = co_await Reach(region, timeout);
    if (!answers) co_return NoAnswer(region);
    const ComputeSizes now = sizes[region];
    if (now != note.after && now != note.before) co_return Refused("its sizes have been changed by somebody else");
    Set(region, note.before);
    changes.push_back("back " + region.text + " " + std::to_string(note.before.desired));
    co_return Done();
  }
  Task<Result<std::vector<Readiness>>> Check(RegionName, std::optional<std::uint64_t>, Duration) override {
    co_return std::vector<Readiness>();
  }

 private:
  static Error NoAnswer(const RegionName& region) { return RetryLater("the API of '" + region.text + "' did not answer"); }
  Task<bool> Reach(RegionName region, Duration timeout) {
    const bool is_silent = silent.contains(region);
    co_await clock_.Sleep(is_silent ? timeout : Duration(10ms));
    co_return !is_silent;
  }
  Clock& clock_;
  const std::string name_;
};

class FakeHook final : public Hook {
 public:
  FakeHook(Clock& clock, std::string name, std::string when, bool required)
      : clock_(clock), name_(std::move(name)), when_(std::move(when)), required_(required) {}

  std::optional<Error> fails;
  std::vector<Json> calls;

  [[nodiscard]] std::string name() const override { return name_; }
  [[nodiscard]] std::string when() const override { return when_; }
  [[nodiscard]] bool required() const override { return required_; }
  [[nodiscard]] Duration patience() const override { return 60s; }
  Task<Result<Json>> Call(RegionName, Json payload, Duration) override {
    calls.push_back(std::move(payload));
    co_await clock_.Sleep(50ms);
    if (fails) co_return *fails;
    co_return Json::object();
  }
  Task<Result<std::vector<Readiness>>> Check(RegionName, Duration) override { co_return std::vector<Readiness>(); }

 private:
  Clock& clock_;
  const std::string name_;
  const std::string when_;
  const bool required_;
};

class FakeNotifier final : public Notifier {
 public:
  struct Told {
    std::string subject;
    Json body;
  };
  std::vector<Told> told;
  std::optional<Error> fails;

  [[nodiscard]] std::string name() const override { return "topic 'ops'"; }
  Task<Result<Unit>> Tell(std::string subject, Json body, Duration) override {
    if (fails) co_return *fails;
    told.push_back({std::move(subject), std::move(body)});
    co_return Done();
  }
  Task<Result<std::vector<Readiness>>> Check(Duration) override { co_return std::vector<Readiness>(); }
};

class FakeAlarms final : public Alarms {
 public:
  std::map<RegionName, std::map<std::string, AlarmState>> states;

  Task<Result<std::map<std::string, AlarmState>>> States(RegionName region, std::vector<std::string>, Duration) override {
    co_return states[region];
  }
  Task<Result<AlarmState>> State(RegionName region, std::string name, Duration) override { co_return states[region][name]; }
  Task<Result<std::vector<Readiness>>> Check(RegionName, std::vector<std::string>, Duration) override {
    co_return std::vector<Readiness>();
  }
};

}  // namespace lifeboat::testing
