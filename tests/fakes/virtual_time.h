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
#include <set>
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
  void Detach(boost::asio::io_context& process) {
    std::erase(processes_, &process);
    frozen_.erase(&process);
  }
  /// A process that stands still (SIGSTOP, a paused machine): clocks run on, and nothing of it runs before Thaw. What fell due
  /// meanwhile is done then, late.
  void Freeze(boost::asio::io_context& process) { frozen_.insert(&process); }
  void Thaw(boost::asio::io_context& process) { frozen_.erase(&process); }
  /// Carried out at `due` by nobody's process: a message that arrives, a disk that has written, a fault.
  void At(Duration due, std::function<void()> what) { events_.emplace(std::max(due, now_), std::move(what)); }
  /// Carried out when no coroutine runs: the place to end a process from within one of its own calls.
  void Defer(std::function<void()> what) { deferred_.push_back(std::move(what)); }

  /// Called whenever all is quiet at one moment, before time moves on: the place for invariants.
  std::function<void()> at_rest;

  /// Runs what is ready, then moves to the next moment at which something wakes, not beyond `until`.
  /// @return false: nothing sleeps before `until`; time stands at `until` then
  bool Step(Duration until) {
    Settle();
    Duration next = sleepers_.empty() ? Duration::max() : sleepers_.begin()->first;
    if (!events_.empty()) next = std::min(next, events_.begin()->first);
    if (next > until) {
      now_ = std::max(now_, until);
      return false;
    }
    now_ = std::max(now_, next);
    ++steps_;
    while (!events_.empty() && events_.begin()->first <= now_) {
      const auto what = std::move(events_.begin()->second);
      events_.erase(events_.begin());
      what();
    }
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

  /// How many moments there have been.
  [[nodiscard]] std::uint64_t steps() const { return steps_; }

  /// Resumes at `due`. Cancelled, it ends at once; what its coroutine awaits next throws, as with a real timer.
  Task<> SleepUntil(Duration due) {
    boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, boost::asio::steady_timer::time_point::max());
    co_await SleepUntil(due, timer);
  }
  /// Resumes at `due`, or when somebody cancels `timer`.
  Task<> SleepUntil(Duration due, boost::asio::steady_timer& timer) {
    Sleeper sleeper{*this, &timer, {}, false};
    sleeper.at = sleepers_.emplace(due, &sleeper);
    boost::system::error_code ignored;
    co_await timer.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
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
      // Processes end and begin in deferred_ and events_ only: never while others run.
      for (std::size_t at = 0; at < processes_.size(); ++at) {
        boost::asio::io_context* process = processes_[at];
        if (!frozen_.empty() && frozen_.contains(process)) continue;
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
  std::multimap<Duration, std::function<void()>> events_;
  std::vector<boost::asio::io_context*> processes_;
  std::set<boost::asio::io_context*> frozen_;
  std::vector<std::function<void()>> deferred_;
  std::uint64_t steps_ = 0;
};

/// The clocks of one machine. Rates: how fast each runs compared with the world's time (docs/lease.md: within 0.5 % of each
/// other, also of another machine's).
class FakeClock final : public Clock {
 public:
  explicit FakeClock(VirtualTime& time, double rate = 1.0, Duration uptime = std::chrono::hours(1))
      : FakeClock(time, rate, rate, uptime) {}
  FakeClock(VirtualTime& time, double boot_rate, double raw_rate, Duration uptime)
      : time_(time), boot_rate_(boot_rate), raw_rate_(raw_rate), uptime_(uptime) {}

  [[nodiscard]] Instant Now() const override {
    const Duration since = time_.now() - booted_;
    return {uptime_ + Scale(since, boot_rate_), uptime_ + Scale(since, raw_rate_)};
  }
  [[nodiscard]] WallTime Wall() const override { return {1'800'000'000'000'000'000 + time_.now().count() + wall_offset.count()}; }
  Task<> Sleep(Duration d) override {
    if (d <= 0ns) co_return;
    co_await time_.SleepUntil(WorldTimeAfter(d));
  }
  /// The world's time when `d` has passed here.
  [[nodiscard]] Duration WorldTimeAfter(Duration d) const {
    return time_.now() + std::max<Duration>(1ns, Scale(d, 1 / boot_rate_));
  }
  /// The machine starts again: both clocks begin at nothing, and the boot has another id.
  void Reboot() {
    booted_ = time_.now();
    uptime_ = Duration(0);
    ++boot_id_;
  }
  [[nodiscard]] int boot_id() const { return boot_id_; }
  Duration wall_offset{0};

 private:
  static Duration Scale(Duration d, double by) {
    return by == 1.0 ? d : Duration(static_cast<std::int64_t>(std::ceil(static_cast<double>(d.count()) * by)));
  }
  VirtualTime& time_;
  const double boot_rate_;
  const double raw_rate_;
  Duration uptime_;
  Duration booted_{0};
  int boot_id_ = 1;
};

}  // namespace lifeboat::testing
