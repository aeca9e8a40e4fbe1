#pragma once

// The guard's second thread: record, fence and log, whatever may wait for a disk. The first thread hands it fixed-size
// jobs and is told through an eventfd, so that it neither waits nor allocates. Used by guard_process.cc alone.

#include <array>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "adapters/system/descriptor.h"
#include "base/log.h"
#include "guard/guard_core.h"

namespace lifeboat {

/// What the log tells; the numbers mean what the line says.
enum class GuardEvent {
  kPermitted,
  kDeadline,
  kForbidden,
  kWritableSeen,
  kStopped,
  kKilled,
  kBlind,
  kStarted,
  kGateOpens,
  kGateCloses,
  kHeld
};

class DiskWorker {
 public:
  DiskWorker(std::string record, std::string data_directory, Log log);
  DiskWorker(const DiskWorker&) = delete;
  DiskWorker& operator=(const DiskWorker&) = delete;
  /// Finishes the log first.
  ~DiskWorker();

  /// Readable when something below has changed. @return -1: it could not be made
  [[nodiscard]] int event() const { return event_.number(); }
  void Acknowledge();

  void Record(Epoch epoch);
  void Fence();
  /// Drops the line when a hundred wait already: the log must never hold up the guard.
  void Tell(GuardEvent event, Epoch epoch, Duration duration);
  /// @param closed_at  since when nothing is permitted: docs/formats/gate.md, how a checker judges
  void TellEnd(GuardEvent event, Epoch epoch, Instant closed_at);

  struct Finished {
    Epoch recorded;  ///< the highest that is on disk through this worker
    bool record_failed = false;
    std::optional<bool> fence;  ///< whether it was placed; handed over once
  };
  [[nodiscard]] Finished Take();

 private:
  struct Line {
    GuardEvent event = GuardEvent::kStarted;
    Epoch epoch;
    Duration duration{};
    std::optional<Instant> closed_at;
  };
  void Add(const Line& line);

  void Run(std::stop_token stop);
  [[nodiscard]] Result<Unit> WriteLine(const Line& line) const;
  [[nodiscard]] Result<Unit> Logged(Result<Unit> result) const;
  void Signal() const;

  const std::string record_;
  const std::string data_directory_;
  const Log log_;
  const Descriptor event_;

  std::mutex mutex_;  // guards all below; held for moments only
  std::condition_variable_any wake_;
  Epoch wanted_;
  Epoch recorded_;
  bool record_failed_ = false;
  bool want_fence_ = false;
  std::optional<bool> fence_;
  std::array<Line, 100> lines_{};
  std::size_t first_line_ = 0;
  std::size_t line_count_ = 0;

  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace lifeboat
