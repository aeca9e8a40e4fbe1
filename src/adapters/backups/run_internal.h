#pragma once

// What the parts of one verification share: threads, progress, cancelling.
// Thread rule: any thread.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "adapters/backups/verify.h"

namespace lifeboat::backup {

class Run {
 public:
  explicit Run(const VerifyOptions& options) : options_(options) {}

  [[nodiscard]] bool Cancelled() const { return options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed); }
  void Expect(std::uint64_t bytes) { total_ += bytes; }
  /// Expected, and not going to be read: it counts neither as work done nor as work left.
  void Skip(std::uint64_t bytes) { total_ -= bytes; }
  /// Null: everything is read.
  [[nodiscard]] VerifiedMemory* memory() const { return options_.memory; }
  void Doing(const std::string& what) {
    const std::lock_guard lock(mutex_);
    doing_ = what;
  }
  void Done(std::uint64_t bytes) {
    done_ += bytes;
    if (!options_.on_progress) return;
    const std::unique_lock lock(mutex_, std::try_to_lock);
    const auto now = std::chrono::steady_clock::now();
    if (!lock.owns_lock() || now - told_ < std::chrono::milliseconds(100)) return;
    told_ = now;
    options_.on_progress({done_.load(), total_.load(), doing_});
  }

  /// Calls `work` for 0 … count - 1 on the run's threads, in about that order, and returns when all is done.
  void Each(std::size_t count, const std::function<void(std::size_t)>& work) const {
    std::atomic<std::size_t> next = 0;
    const auto take = [&] {
      for (std::size_t at = next++; at < count && !Cancelled(); at = next++) work(at);
    };
    const std::size_t helpers = std::min<std::size_t>(std::max(options_.threads, 1U), count);
    std::vector<std::jthread> threads;
    for (std::size_t helper = 1; helper < helpers; ++helper) threads.emplace_back(take);
    take();
  }

 private:
  const VerifyOptions& options_;
  std::atomic<std::uint64_t> done_ = 0;
  std::atomic<std::uint64_t> total_ = 0;
  std::mutex mutex_;
  std::string doing_;
  std::chrono::steady_clock::time_point told_;
};

}  // namespace lifeboat::backup
