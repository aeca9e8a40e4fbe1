#pragma once

// Level 6 of a restored instance of RDS, by SQL: rows counted by two ways, sequences, the service's own questions, heartbeats.
// Thread rule: one call at a time; it blocks.

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "adapters/backups/session.h"
#include "backup/content.h"

namespace lifeboat {

struct RdsContentQuestion {
  backup::SessionPlace place;  ///< `address`, `port`, `user`; the password is libpq's matter (PGPASSFILE, PGPASSWORD)
  std::string set;
  std::optional<WallTime> claimed;  ///< the moment that the data should show at least
  std::vector<backup::SqlCheck> checks;
};

struct RdsContent {
  backup::LevelResult level;  ///< "not checked" where it cannot be reached: never a pass
  std::vector<backup::Finding> findings;
  std::optional<std::chrono::steady_clock::time_point> answered;  ///< when its first query was
  std::optional<WallTime> heartbeat;                              ///< the newest one
  Json figures = Json::object();                                  ///< databases, tables, rows, questions, heartbeat
};

/// SAFETY: before anything else it is asked a question whose wrong answer must be told (F50); without that nothing passes.
[[nodiscard]] RdsContent CheckRdsContent(const RdsContentQuestion& question);

}  // namespace lifeboat
