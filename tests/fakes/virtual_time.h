#pragma once

// Virtual time: several "processes" (one io_context each) in one thread. Nothing waits for real: when no coroutine is
// ready, time jumps to the next moment at which one wakes. The same test is the same run, always.
//
//   VirtualTime time;                      // outlives everything below
//   boost::asio::io_context process;
//   time.Attach(process);
//   FakeClock clock(time);                 // one a machine; its rate may differ
//   time.RunFor(3s);
//
// A crash of a process is Detach() and the end of its io_context: its coroutines end where they stand, what they had
// done to the fakes stays done.

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <vector>

#include "ports/clock.h"

namespace lifeboat::testing {

class VirtualTime {
 public:
  VirtualTime() = default;
  VirtualTime(const VirtualTime&) = delete;
  VirtualTime& operator=(const VirtualTime&) = delete;

  /// Since the beginning of this world.
  [[nodiscard]] Duration now() const { return now_; }

  void Attach(boost::asio::io_context& process) { processes_.push_back(&process); }
  void Detach(boost::asio::io_context& process) { std::erase(processes_, &process); }
  /// Carried out when no coroutine runs: the place to end a process from within one of its own calls.
  void Defer(std::function<void()> what) { deferred_.push_back(std::move(what)); }

  /// Called whenever all is quiet at one moment, before time moves on: the place for invariants.
  std::function<void()> at_rest;

  /// Runs what is ready, then moves to the next moment at which something wakes, not beyond `until`.
  /// @return false: nothing sleeps before `until`; time stands at `until` then
  bool Step(Duration until) {
    Settle();
    if (sleepers_.empty() || sleepers_.begin()->first > until) {
      now_ = std::max(now_, until);
      return false;
    }
    now_ = std::max(now_, sleepers_.begin()->first);
    while (!sleepers_.empty() && sleepers_.begin()->first <= now_) {
      Sleeper* sleeper = sleepers_.begin()->second;
      sleepers_.erase(sleepers_.begin());
      sleeper->fired = true;
      sleeper->timer->cancel();
    }
    return true;
  }

  void RunFor(Duration d) {
    const Duration end = now_ + d;
    while (Step(end)) {
    }
    Settle();
  }

  /// @return false: it did not hold within `limit` of virtual time
  bool RunUntil(const std::function<bool()>& holds, Duration limit) {
    const Duration end = now_ + limit;
    Settle();
    while (!holds()) {
      if (!Step(end)) {
        Settle();
        return holds();
      }
      Settle();
    }
    return true;
  }

  /// Runs `task` in `process` to its end.
  template <typename T>
  T Await(boost::asio::io_context& process, Task<T> task, Duration limit = std::chrono::hours(24)) {
    auto outcome = Start(process, std::move(task));
    if (!RunUntil([&] { return outcome->has_value(); }, limit))
      throw std::runtime_error("the task did not end in its virtual time");
    return std::move(**outcome);
  }
  template <typename T>
  std::shared_ptr<std::optional<T>> Start(boost::asio::io_context& process, Task<T> task) {
    auto outcome = std::make_shared<std::optional<T>>();
    boost::asio::co_spawn(process, Keep<T>(std::move(task), outcome), [](std::exception_ptr problem) {
      if (problem) std::rethrow_exception(problem);
    });
    return outcome;
  }

  /// Resumes at `due`. Cancellation ends it as it ends a real timer.
  Task<> SleepUntil(Duration due) {
    boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, boost::asio::steady_timer::time_point::max());
    Sleeper sleeper{*this, &timer, {}, false};
    sleeper.at = sleepers_.emplace(due, &sleeper);
    boost::system::error_code error;
    co_await timer.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, error));
    if (!sleeper.fired) throw boost::system::system_error(error);
  }

 private:
  struct Sleeper {
    VirtualTime& world;
    boost::asio::steady_timer* timer;
    std::multimap<Duration, Sleeper*>::iterator at;
    bool fired;
    ~Sleeper() {
      if (!fired) world.sleepers_.erase(at);
    }
  };

  template <typename T>
  static Task<> Keep(Task<T> task, std::shared_ptr<std::optional<T>> outcome) {
    outcome->emplace(co_await std::move(task));
  }

  /// Runs all that is ready at this moment.
  void Settle() {
    std::size_t calls = 0;
    for (bool any = true; any;) {
      any = false;
      const std::vector<boost::asio::io_context*> all = processes_;
      for (boost::asio::io_context* process : all) {
        if (std::find(processes_.begin(), processes_.end(), process) == processes_.end()) continue;
        process->restart();
        const std::size_t done = process->poll();
        calls += done;
        any = any || done > 0;
      }
      if (!deferred_.empty()) {
        const auto now = std::move(deferred_);
        deferred_.clear();
        for (const auto& what : now) what();
        any = true;
      }
      if (calls > 200'000) throw std::runtime_error("coroutines run in a circle without time passing");
    }
    if (at_rest) at_rest();
  }

  Duration now_{0};
  std::multimap<Duration, Sleeper*> sleepers_;  // of one moment in the order in which they lay down
  std::vector<boost::asio::io_context*> processes_;
  std::vector<std::function<void()>> deferred_;
};

/// The clock of one machine. `rate`: how fast it runs compared with the world's time (docs/lease.md: within 0.5 % of each other).
class FakeClock final : public Clock {
 public:
  explicit FakeClock(VirtualTime& time, double rate = 1.0, Duration uptime = std::chrono::hours(1))
      : time_(time), rate_(rate), uptime_(uptime) {}

  [[nodiscard]] Instant Now() const override {
    const Duration at = uptime_ + Scale(time_.now(), rate_);
    return {at, at};
  }
  [[nodiscard]] WallTime Wall() const override { return {1'800'000'000'000'000'000 + time_.now().count()}; }
  Task<> Sleep(Duration d) override {
    if (d <= 0ns) co_return;
    co_await time_.SleepUntil(time_.now() + std::max<Duration>(1ns, Scale(d, 1 / rate_)));
  }

 private:
  static Duration Scale(Duration d, double by) {
    return by == 1.0 ? d : Duration(static_cast<std::int64_t>(std::ceil(static_cast<double>(d.count()) * by)));
  }
  VirtualTime& time_;
  const double rate_;
  const Duration uptime_;
};

}  // namespace lifeboat::testing
