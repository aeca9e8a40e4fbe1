#pragma once

// A snapshot of RDS restored for a look: into an instance of our own name and tag, waited for, and deleted again, whatever
// happened. What a killed run left behind is found by name and tag, and deleted once its time (kTemporaryUntil) is over. Data flow:
// ListStoredSnapshots → Make → (questions by SQL, elsewhere) → Remove; before it all, Sweep. Thread rule: as Client.

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "adapters/aws/rds_restore.h"
#include "base/log.h"
#include "ports/clock.h"

namespace lifeboat::aws {

struct TemporaryOptions {
  Duration poll = std::chrono::seconds(15);             ///< between two looks
  Duration patience = std::chrono::hours(2);            ///< until RDS says that it is available
  Duration remove_patience = std::chrono::minutes(30);  ///< until RDS says that it is being deleted
  Duration call = std::chrono::seconds(30);             ///< of one call, all attempts
  const std::atomic<bool>* cancel = nullptr;            ///< ends the waiting, never the removal
  std::function<void(const std::string& doing)> on_progress;
};

/// What became of a restore.
struct Restored {
  bool available = false;  ///< RDS says so: the engine runs on the restored data
  std::string status;      ///< RDS's last word
  std::string address;
  std::uint64_t port = 0;
  Duration took{0};
};

struct Swept {
  std::vector<std::string> removed;
  std::vector<std::string> problems;  ///< ours and over, and not removed; or named like ours, and not proven to be
};

class TemporaryRestores {
 public:
  /// `client` and `clock` outlive it.
  TemporaryRestores(Client& client, Clock& clock, Log log, TemporaryOptions options);

  /// A name that nothing else has: "lifeboat-verify-0123456789ab".
  [[nodiscard]] static std::string NewName();

  /// Restores the snapshot into `shape.id` (for a cluster's: a cluster of that name, and an instance of it) and waits for it.
  /// After it, done or not, Remove must be called.
  /// @return also where RDS gave it up: `available` is false then, and `status` says why
  /// @error kRefused, kFail: RDS did not begin; kRetry: not available in time, or cancelled; kUnknownOutcome: RDS did not answer
  Task<Result<Restored>> Make(rds::StoredSnapshot snapshot, rds::TemporaryShape shape);

  /// Deletes what Make made, as far as it came, and waits until RDS deletes it. Done where there is nothing of that name.
  /// @error kRefused: it is not proven to be ours; kRetry: not in time: a later Sweep will
  Task<Result<Unit>> Remove(std::string region, std::string id, bool of_cluster);

  /// Removes what earlier runs left in a region, when its time is over. @error kRetry, kFail: the region cannot be listed
  Task<Result<Swept>> Sweep(std::string region);

 private:
  Task<Result<rds::Tagged>> Await(std::string region, std::string id, bool is_cluster, Instant began);
  Task<Result<Unit>> RemoveOne(std::string region, std::string id, bool is_cluster);
  Task<> SweepKind(std::string region, bool clusters, Swept* swept, Result<Unit>* problem);
  [[nodiscard]] bool Cancelled() const { return options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed); }
  void Tell(const std::string& doing) const {
    if (options_.on_progress) options_.on_progress(doing);
  }

  Client& client_;
  Clock& clock_;
  Log log_;
  TemporaryOptions options_;
};

}  // namespace lifeboat::aws
