#pragma once

// The door to a database that a cloud runs, by SQL: heartbeat rows, and what Aurora itself tells of its lag. Its own endpoints are
// names that the cloud gives, resolved without blocking and kept while a resolver is silent. What is said of its API stands in
// ports/managed_database.h. Behind it: adapters/postgres/managed_sql.h; before it: agent/managed_sql.h, act/managed_plans.
// Thread rule: the agent's executor. Calls with different endpoints go side by side; of two with the same the second is not
// asked (kRetry, `not_weighed`).

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "base/time.h"
#include "base/types.h"
#include "model/heartbeat.h"

namespace lifeboat {

/// Which endpoint of a region is asked.
enum class SqlEnd {
  kWriter,  ///< takes writes where the region is the writer's
  kReader,  ///< answers reads always
};

/// What Aurora says of one secondary's lag.
struct SqlLag {
  RegionName region;                   ///< the secondary's, as the cloud names it
  std::optional<Duration> rpo;         ///< of the newest commit of a user
  std::optional<Duration> durability;  ///< of the storage
  Duration age{};                      ///< since it reckoned them, by its own clock
};

class ManagedSql {
 public:
  virtual ~ManagedSql() = default;

  /// One more beat in the row of this agent's region, through its writer endpoint. Makes the schema where it is not there yet.
  /// @return the row as it was committed
  /// @error kRefused: that endpoint is read-only now, or a beat of a later epoch stands there; kFail: login, grants, certificates;
  ///        kRetry, kUnknownOutcome: no answer
  virtual Task<Result<Heartbeat>> Beat(Epoch epoch, Duration timeout) = 0;
  /// The rows of all regions, as an endpoint of `region` shows them.
  /// @error kNotFound: there is no such table yet; else as Beat
  virtual Task<Result<std::vector<Heartbeat>>> ReadBeats(RegionName region, SqlEnd end, Duration timeout) = 0;
  /// aurora_global_db_status(), asked at an endpoint of this agent's region. The writer's own row is left out.
  /// @error kNotFound: the database has no such function; else as Beat
  virtual Task<Result<std::vector<SqlLag>>> GlobalLags(SqlEnd end, Duration timeout) = 0;
  /// How the last connection to an endpoint of this agent's region is protected: "TLSv1.3", "readable"; empty: there was none.
  [[nodiscard]] virtual std::string Protection(SqlEnd end) const = 0;
};

}  // namespace lifeboat
