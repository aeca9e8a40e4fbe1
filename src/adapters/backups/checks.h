#pragma once

// Levels 5 and 6 on a restored server, by SQL: amcheck over every database; rows counted twice, sizes, sequences, the service's own
// questions, heartbeats. They write nothing but the extension amcheck, in a schema of its own.
// Thread rule: one call at a time; each uses connections and threads of its own, which end with it.

#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "adapters/backups/restore.h"
#include "adapters/backups/session.h"

namespace lifeboat::backup {

struct CheckOptions {
  SessionPlace place;  ///< without a database
  std::string set;
  unsigned threads = 2;
  Tier tier = Tier::kFull;
  std::string only_schema;     ///< "": all
  std::vector<Finding> known;  ///< of lower levels
  std::vector<SqlCheck> questions;
  std::function<void(const RestoreProgress&)> on_progress;
};

/// What the checks gather; both levels add to the same one.
struct CheckState {
  std::mutex mutex;
  std::vector<Finding> findings;
  std::set<std::string> told;        ///< "database.schema.table": has a finding, its own or of an index
  std::vector<std::string> unknown;  ///< what could not be checked, and why
  std::uint64_t known_again = 0;     ///< damage that a lower level told
  ContentCounts counts;
  ContentHistory content;
  bool cancelled = false;
};

/// The databases that take connections. @error kFail: the server's words
[[nodiscard]] Result<std::vector<std::string>> DatabasesOf(const SessionPlace& place);

/// Level 5: F23, F26, F28, F29, F21.
[[nodiscard]] LevelResult CheckLogic(const CheckOptions& options, const std::vector<std::string>& databases, CheckState& state);
/// Level 6 without ages and history: F25, F26, F28, F35, F36, F38.
[[nodiscard]] LevelResult CheckContent(const CheckOptions& options, const std::vector<std::string>& databases, CheckState& state);

/// The newest row of lifeboat.heartbeat in any database.
[[nodiscard]] std::optional<WallTime> NewestHeartbeat(const SessionPlace& place, const std::vector<std::string>& databases);

/// The check of these checks (F50): a database with known damage is made, looked at, and dropped. @error kFail: what was told and
/// what not
[[nodiscard]] Result<Unit> ProveThatContentChecksCanFail(const CheckOptions& options, Level level);

// ---- shared by the two ----

/// Calls `work` for 0 … count - 1 of one database, each thread with a connection of its own.
void EachWithSession(const CheckOptions& options, const std::string& database, std::size_t count, CheckState& state,
                     const std::function<void(Session&, std::size_t)>& work);

/// An error of a query over `relation` ("schema.relation") of `table`: to a finding, to what a lower level knows, or to the
/// unknown.
void TakeError(const CheckOptions& options, Level level, const std::string& database, const std::string& relation,
               const std::string& table, const QueryError& error, CheckState& state);

/// The verdict on what a level added to `state`.
[[nodiscard]] LevelResult VerdictOf(Level level, const CheckState& state, std::uint64_t known_before, std::size_t unknown_before);

}  // namespace lifeboat::backup
