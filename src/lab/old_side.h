#pragma once

// What must be seen where two regions could both take writes: a client beside the old primary, in its own network, that keeps
// writing while its region is cut off, and the moment at which the new primary begins to take writes.
// Thread rule: one thread makes and stops them; each has a thread of its own.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "base/result.h"
#include "lab/client.h"
#include "lab/layout.h"

namespace lifeboat::lab {

/// Looks at one server every 5 ms until it is out of recovery. A server that is a primary already is seen at once.
class PromotionWatch {
 public:
  PromotionWatch(const LabInfo& lab, const std::string& region);
  /// CLOCK_MONOTONIC of the answer that first said so; nothing: it has not.
  [[nodiscard]] std::optional<std::int64_t> SeenNs() const;

 private:
  void Run(const std::stop_token& stop);

  const std::string conninfo_;
  std::atomic<std::int64_t> seen_ns_{0};
  std::jthread thread_;
};

/// What the client beside the old primary saw, by the clock of the records.
struct OldSideReport {
  std::uint64_t acknowledged = 0;  ///< rows after the fault: they are on the cut-off side alone
  std::uint64_t stale = 0;         ///< of those: acknowledged after the new primary began to take writes
  double last_acknowledged_s = 0;  ///< after the fault; 0: none
  double watched_s = 0;            ///< after the fault
};
[[nodiscard]] OldSideReport JudgeOldSide(const ClientRecord& record, std::int64_t fault_ns, std::int64_t writable_ns,
                                         std::int64_t until_ns);

/// A client in the region's own network that knows that region's server only and writes every 20 ms.
/// @error kNotFound: the region's namespace is gone
[[nodiscard]] Result<std::unique_ptr<Client>> StartOldSide(const LabInfo& lab, const std::string& region, int number);

}  // namespace lifeboat::lab
