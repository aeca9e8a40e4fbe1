#pragma once

// How fast backups may be read: one token bucket for all streams of this process, so that a verification leaves the storage to
// those who need it. Without a limit it costs one load a block. Thread rule: any thread; Take blocks.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>

namespace lifeboat::backup {

class ReadBudget {
 public:
  using Moment = std::chrono::steady_clock::time_point;
  /// @param now, sleep  for tests: what tells the time, and what waits until a moment
  explicit ReadBudget(std::function<Moment()> now = {}, std::function<void(Moment)> sleep = {});

  /// @param bytes_a_second  0: no limit
  void Limit(std::uint64_t bytes_a_second);
  /// Accounts for bytes that were read, and waits until they are paid for. What was not used in the last tenth of a second is lost.
  void Take(std::uint64_t bytes) {
    if (rate_.load(std::memory_order_relaxed) != 0 && bytes != 0) Pay(bytes);
  }

  [[nodiscard]] static ReadBudget& OfProcess();

 private:
  void Pay(std::uint64_t bytes);

  std::function<Moment()> now_;
  std::function<void(Moment)> sleep_;
  std::atomic<std::uint64_t> rate_ = 0;
  std::mutex mutex_;
  Moment paid_until_{};  ///< what has been read is paid for at this moment
};

}  // namespace lifeboat::backup
