#pragma once

// Several clients that write at the same time, and what is asked of them together: has everyone moved, who wrote first,
// what is missing. Used by the demo and the benchmarks.
// Thread rule: one thread; blocks where it says so.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lab/agents.h"
#include "lab/client.h"
#include "lab/layout.h"

namespace lifeboat::lab {

/// Options of a client of this lab.
[[nodiscard]] ClientOptions ClientOf(const LabInfo& lab, int number, ClientMode mode);

class ClientGroup {
 public:
  /// @param tls_root  as ClientOptions::tls_root
  explicit ClientGroup(const LabInfo& lab, std::string tls_root = {}) : lab_(lab), tls_root_(std::move(tls_root)) {}

  [[nodiscard]] Result<Unit> Add(ClientMode mode, int number, bool keep_record_file);
  void Stop();

  /// Waits until each client has `more` further rows acknowledged. Blocks. @error kRetry: who has not, and why
  [[nodiscard]] Result<Unit> AwaitMore(std::uint64_t more, Duration timeout, const Patience& patience) const;
  /// Waits until each client has a row acknowledged by `region` after `since_ns` (CLOCK_MONOTONIC).
  [[nodiscard]] Result<Unit> AwaitOn(const std::string& region, std::int64_t since_ns, Duration timeout,
                                     const Patience& patience) const;

  [[nodiscard]] std::vector<ClientRecord> Records() const;
  [[nodiscard]] std::uint64_t Acknowledged() const;

 private:
  using Pending = std::function<bool(const Client&)>;
  [[nodiscard]] Result<Unit> AwaitEach(const Pending& pending, const std::string& what, Duration timeout,
                                       const Patience& patience) const;

  const LabInfo& lab_;
  const std::string tls_root_;
  std::vector<std::unique_ptr<Client>> clients_;
};

/// A row that has arrived on a standby.
struct Arrival {
  std::string row;         ///< which: "row 4711 of client fresh-1"
  std::int64_t at_ns = 0;  ///< wall time at which it was seen there
};

/// Waits until a row that was written after this call is seen by the server behind `conninfo`, in `region`: "streaming, lag 0" is
/// no proof. Blocks. @error kRetry: it has not arrived within `timeout`; kFail: patience ended
[[nodiscard]] Result<Arrival> AwaitArrival(const ClientGroup& clients, const std::string& conninfo, const std::string& region,
                                           Duration timeout, const Patience& patience);

/// The service's outage by the records of clients of `mode`: from the last acknowledgement of any of them by another
/// server to the first by `address`, after `since_ns` (CLOCK_MONOTONIC). Nothing: nobody has moved there.
[[nodiscard]] std::optional<ClientOutage> ServiceOutage(const std::vector<ClientRecord>& records, ClientMode mode,
                                                        const std::string& address, std::int64_t since_ns);

}  // namespace lifeboat::lab
