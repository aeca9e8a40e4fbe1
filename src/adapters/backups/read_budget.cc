#include "adapters/backups/read_budget.h"

#include <algorithm>
#include <thread>

namespace lifeboat::backup {

namespace {
constexpr std::chrono::milliseconds kBurst(100);
}  // namespace

ReadBudget::ReadBudget(std::function<Moment()> now, std::function<void(Moment)> sleep)
    : now_(now ? std::move(now) : [] { return std::chrono::steady_clock::now(); }),
      sleep_(sleep ? std::move(sleep) : [](Moment until) { std::this_thread::sleep_until(until); }) {}

void ReadBudget::Limit(std::uint64_t bytes_a_second) {
  const std::lock_guard lock(mutex_);
  rate_ = bytes_a_second;
  paid_until_ = now_();
}

void ReadBudget::Pay(std::uint64_t bytes) {
  Moment until;
  {
    const std::lock_guard lock(mutex_);
    const double seconds = static_cast<double>(bytes) / static_cast<double>(rate_.load());
    paid_until_ = std::max(paid_until_, now_() - kBurst) +
                  std::chrono::duration_cast<Moment::duration>(std::chrono::duration<double>(seconds));
    until = paid_until_;
  }
  sleep_(until);
}

ReadBudget& ReadBudget::OfProcess() {
  static ReadBudget budget;
  return budget;
}

}  // namespace lifeboat::backup
