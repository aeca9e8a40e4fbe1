#pragma once

// The door to the region's own PostgreSQL server: ports/database.h over libpq, the server's own programs and the files of
// its data directory. Questions go through the local socket over kept connections; a server that does not run is read with
// pg_controldata and pg_waldump; starting, stopping and rejoining follow the order that lifeboat's safety asks for.
//
// It starts PostgreSQL in a session of its own, so that the server outlives the agent. All processes of a server have
// the data directory as their working directory: that is how they are found, also after the postmaster is gone.
// Run as root, it runs PostgreSQL's programs as the owner of the data directory.
//
// Life cycle: one a region, for as long as the agent lives; it must outlive the coroutines that use it and be gone before
// the executor's context is. The destructor waits for disk work that is under way.
// Thread rule: every call on `executor`, which runs one handler at a time (one thread, or a strand).

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <string>
#include <vector>

#include "adapters/postgres/blocking.h"
#include "adapters/postgres/connection.h"
#include "adapters/postgres/control_file.h"
#include "adapters/postgres/data_directory.h"
#include "adapters/postgres/deadline.h"
#include "adapters/postgres/wal_reader.h"
#include "base/log.h"
#include "config/settings.h"
#include "ports/database.h"

namespace lifeboat::postgres {

/// "lifeboat_us_east_1": the physical slot of a region's standby, and its primary_slot_name.
[[nodiscard]] std::string SlotName(const RegionName& region);

class PostgresDatabase final : public Database {
 public:
  PostgresDatabase(boost::asio::any_io_executor executor, RegionName self, DatabaseSettings settings, LoginSettings login, Log log);
  ~PostgresDatabase() override;

  Task<DatabaseState> Observe(Duration timeout) override;
  Task<Result<Lsn>> FlushedPosition(Duration timeout) override;
  Task<> WaitForExit() override;
  Task<Result<ControlData>> ReadControl() override;
  Task<Result<bool>> HasFence() override;
  Task<Result<Lsn>> EndOfWal(Timeline timeline, Lsn from, Duration timeout) override;
  Task<Result<PromotionMark>> ReadPromotionMark(Duration timeout) override;
  Task<Result<PromotionMark>> ReadPromotionMarkOf(Epoch epoch, Duration timeout) override;
  Task<Result<Lsn>> ForkOf(Timeline timeline, Duration timeout) override;
  Task<Result<std::string>> SignOf(Timeline timeline, Duration timeout) override;

  Task<Result<Unit>> Fence() override;
  Task<Result<Unit>> KillAll(Duration timeout) override;
  /// A server that stopped as a standby gives no token: kFail (it is stopped all the same).
  Task<Result<ShutdownToken>> StopCleanly(Duration timeout) override;

  Task<Result<Unit>> StartPrimary(Duration timeout) override;
  /// A fresh start is done when the standby lets clients in; the upstream may be down. Re-pointing a running standby is
  /// done when it streams from the new upstream.
  Task<Result<Unit>> StartStandby(Upstream upstream, Duration timeout) override;
  Task<Result<Lsn>> StopReceiving(Duration timeout) override;
  /// A primary on timeline 1, which was never promoted, answers position 0.
  /// @error kRetry: not all is replayed yet, and nothing was promoted
  Task<Result<Lsn>> Promote(Duration timeout) override;

  Task<Result<Unit>> EnsureSchema(Duration timeout) override;
  /// @error kRefused: the epoch has another mark already
  Task<Result<Unit>> WritePromotionMark(PromotionMark mark, Duration timeout) override;
  /// Sequence numbers only grow along a lineage, whichever region writes.
  Task<Result<std::uint64_t>> WriteHeartbeat(Epoch epoch, RegionName region, Duration timeout) override;
  Task<Result<std::uint64_t>> ReadHeartbeat(Duration timeout) override;
  Task<Result<Unit>> Checkpoint(Duration timeout) override;
  Task<Result<Unit>> EnsureSlots(std::vector<RegionName> regions, Duration timeout) override;

  Task<Result<Divergence>> SaveDivergence(Timeline timeline, Lsn fork, std::string folder, Duration timeout) override;
  /// @error kRetry: the source cannot be reached, nothing was changed; kRefused: processes live, or another system
  Task<Result<Unit>> Rewind(Upstream source, Duration timeout) override;
  /// @error kRefused: processes live, or the source is another system; kRetry: the source cannot be reached
  Task<Result<Unit>> CopyFrom(Upstream source, Duration timeout) override;

 private:
  // connections (postgres_database.cc)
  Task<Result<std::unique_ptr<Connection>>> TakeConnection(Deadline deadline);
  void GiveBack(std::unique_ptr<Connection> connection);
  Task<Result<Answer>> Ask(std::string sql, std::vector<std::optional<std::string>> parameters, Effect effect, Deadline deadline);
  Task<Result<Answer>> AskPrepared(const char* sql, Deadline deadline);
  [[nodiscard]] Conninfo LocalConninfo() const;
  [[nodiscard]] Conninfo RemoteConninfo(const Endpoint& address, const std::string& user) const;

  // programs and files (postgres_database.cc)
  Task<Result<CommandOutput>> RunTool(std::vector<std::string> argv, Duration timeout);
  Task<Result<ControlFile>> ReadControlFile(std::string data_path, Duration timeout);
  Task<Result<WalReader>> OpenWal(Deadline deadline);
  Task<Result<Unit>> PlaceFence(Deadline deadline);
  [[nodiscard]] Error StillAlive(const char* what) const;

  // starting, stopping, promoting (postgres_lifecycle.cc)
  Task<Result<Unit>> StartServer(Deadline deadline);
  Task<Result<Unit>> StartByPromotion(Deadline deadline);
  Task<Result<Unit>> WaitUntilReady(pid_t postmaster, Deadline deadline);
  enum class MayRecover { kNo, kYes };  // whether a session in recovery is on its way to be writable
  Task<Result<Unit>> WaitUntilWritable(Deadline deadline, MayRecover may_recover);
  Task<Result<Unit>> ReloadManaged(ServerSettings settings, Deadline deadline);
  Task<Result<Unit>> WaitUntilStreamingFrom(Upstream upstream, Deadline deadline);
  // rejoining (postgres_rejoin.cc)
  Task<Result<Divergence>> NoteSalvaged(Divergence saved, Deadline deadline);
  Task<Result<Divergence>> FindSalvaged(SystemId system_id, Deadline deadline);

  Task<Result<Unit>> WaitUntilReplayed(Deadline deadline);
  Task<Result<ShutdownToken>> ReadShutdownToken(Deadline deadline);
  [[nodiscard]] ServerSettings StandbySettings(const std::optional<Upstream>& upstream) const;
  [[nodiscard]] std::string LogTail() const;

  // rejoining (postgres_rejoin.cc)
  Task<Result<Unit>> RecoverForRewind(Deadline deadline);
  Task<Result<Unit>> RunRewind(Upstream source, Deadline deadline);
  Task<Result<Unit>> CheckCopy(Deadline deadline);

  /// `work` on the pool, its answer here.
  template <typename Work>
  auto OnPool(Work work, Deadline deadline) {
    return Blocking(executor_, pool_, std::move(work), deadline);
  }

  boost::asio::any_io_executor executor_;
  RegionName self_;
  DatabaseSettings settings_;
  LoginSettings login_;
  Log log_;
  DataDirectory data_;
  std::vector<std::unique_ptr<Connection>> idle_;  ///< the last one is used first
  boost::asio::thread_pool pool_{2};               ///< disk work; two, so that a fence never waits behind a copy
};

}  // namespace lifeboat::postgres

namespace lifeboat {
// The rest of the folder is its own affair.
using postgres::PostgresDatabase;
using postgres::SlotName;
}  // namespace lifeboat
