#pragma once

// The door to the PostgreSQL server of this agent's own region. Only the agent of the region opens it; another region
// asks that agent. Every change is idempotent: where its goal already holds it answers at once.

#include <string>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "model/database_state.h"

namespace lifeboat {

/// Where a standby streams from. With neither address nor region: from nobody. It is a standby still, and replays what it has.
struct Upstream {
  Endpoint address;
  RegionName region;
};

/// One row of table lifeboat.promotion: the lineage that timelines alone cannot prove.
struct PromotionMark {
  Epoch epoch;
  std::string uuid;
  RegionName region;
};

class Database {
 public:
  virtual ~Database() = default;

  // ---- looking ----

  /// One look, over a kept connection. Never fails: what could not be seen is empty, and `problem` says why.
  virtual Task<DatabaseState> Observe(Duration timeout) = 0;
  /// Primary only: the flushed position, cheap enough for four times a second. @error kRetry
  virtual Task<Result<Lsn>> FlushedPosition(Duration timeout) = 0;
  /// Resumes when the postmaster that runs now has ended (pidfd), at once when none runs. Cancellable.
  virtual Task<> WaitForExit() = 0;
  /// pg_control, also of a stopped server. @source pg_controldata(1)
  virtual Task<Result<ControlData>> ReadControl() = 0;
  /// True when standby.signal stands in the data directory: a start by anyone comes up as a standby.
  virtual Task<Result<bool>> HasFence() = 0;
  /// First byte after the last valid WAL record of a STOPPED server; `from` is any position at or before it whose
  /// segment still exists. @source pg_waldump(1)
  virtual Task<Result<Lsn>> EndOfWal(Timeline timeline, Lsn from, Duration timeout) = 0;
  /// Newest row of lifeboat.promotion. @error kNotFound: no such table or row yet
  virtual Task<Result<PromotionMark>> ReadPromotionMark(Duration timeout) = 0;
  /// The row of one epoch. @error kNotFound: this history knows no promotion under it
  virtual Task<Result<PromotionMark>> ReadPromotionMarkOf(Epoch epoch, Duration timeout) = 0;
  /// The position where `timeline` left the one before it, from its history file. @error kNotFound: timeline 1
  virtual Task<Result<Lsn>> ForkOf(Timeline timeline, Duration timeout) = 0;

  /// What tells `timeline` from another one of its number that left at the same position: how its own WAL begins. Also of a
  /// stopped server. @error kNotFound: timeline 1, or that WAL is not here (any more)
  virtual Task<Result<std::string>> SignOf(Timeline timeline, Duration timeout) = 0;

  // ---- stopping ----

  /// Makes a later start come up as a standby (standby.signal, synced), whoever starts it. Works on a running server.
  virtual Task<Result<Unit>> Fence() = 0;
  /// Kills every process of the data directory and answers when none is left. @error kRetry: some are still there
  virtual Task<Result<Unit>> KillAll(Duration timeout) = 0;
  /// Clean shutdown (mode fast). The fence is placed first. @return the shutdown checkpoint @error kUnknownOutcome
  virtual Task<Result<ShutdownToken>> StopCleanly(Duration timeout) = 0;

  // ---- starting and promoting: only under a valid lease, which the caller has checked ----

  /// Starts as a primary: removes the fence, starts, waits until it accepts writes, places the fence again. A copy that last ran
  /// as a standby is started as one and promoted: only so does it follow every timeline that it has received.
  virtual Task<Result<Unit>> StartPrimary(Duration timeout) = 0;
  /// Starts as a standby of `upstream` (fence stays). Running as one already: re-points it, without a restart.
  virtual Task<Result<Unit>> StartStandby(Upstream upstream, Duration timeout) = 0;
  /// Drops the link to the upstream, so that nothing more is received. @return the received and flushed position
  virtual Task<Result<Lsn>> StopReceiving(Duration timeout) = 0;
  /// Replays all that was received, promotes, waits until writable, places the fence again.
  /// @return the position of the fork @error kUnknownOutcome: Observe first. @source PostgreSQL manual, pg_promote
  virtual Task<Result<Lsn>> Promote(Duration timeout) = 0;

  // ---- running, as primary ----

  /// Schema lifeboat with its tables (heartbeat, promotion, canary); idempotent.
  virtual Task<Result<Unit>> EnsureSchema(Duration timeout) = 0;
  virtual Task<Result<Unit>> WritePromotionMark(PromotionMark mark, Duration timeout) = 0;
  /// One heartbeat row of this epoch, upserted per region. @return its sequence number: epoch · 2^32 and up, growing, so that a
  /// row of an earlier epoch, also of a copy that went its own way, is always below
  virtual Task<Result<std::uint64_t>> WriteHeartbeat(Epoch epoch, RegionName region, Duration timeout) = 0;
  /// Newest heartbeat row visible here (a standby answers what has been replayed). @error kNotFound
  virtual Task<Result<std::uint64_t>> ReadHeartbeat(Duration timeout) = 0;
  virtual Task<Result<Unit>> Checkpoint(Duration timeout) = 0;
  /// Physical replication slots exactly for `regions`: missing ones made, Lifeboat's others dropped when inactive.
  virtual Task<Result<Unit>> EnsureSlots(std::vector<RegionName> regions, Duration timeout) = 0;

  // ---- rejoining a stopped server ----

  /// Copies WAL from the segment of `fork` on (the partial one too) into `folder`, synced, and counts what it held.
  /// @error kFail: disk full and the like; nothing was removed from the server
  virtual Task<Result<Divergence>> SaveDivergence(Timeline timeline, Lsn fork, std::string folder, Duration timeout) = 0;
  /// pg_rewind against `source`; leaves the fence in place. @error kFail: it cannot work; the caller takes a base backup
  virtual Task<Result<Unit>> Rewind(Upstream source, Duration timeout) = 0;
  /// A fresh copy beside the data directory, put in its place when whole; the old one is kept until then.
  virtual Task<Result<Unit>> CopyFrom(Upstream source, Duration timeout) = 0;
};

}  // namespace lifeboat
