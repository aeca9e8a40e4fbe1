#pragma once

// What was seen of one PostgreSQL server, and what a stopped one says of itself.

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/time.h"
#include "base/types.h"

namespace lifeboat {

/// A standby as its primary sees it (pg_stat_replication).
struct StandbyLink {
  std::string name;   ///< application_name: the region's name
  std::string state;  ///< "streaming", "catchup", …
  Lsn flushed;
  Lsn replayed;
  friend bool operator==(const StandbyLink&, const StandbyLink&) = default;
};

/// One look at a server. What could not be asked is empty: never zero, never "no".
struct DatabaseState {
  bool process_alive = false;         ///< any process of the data directory lives
  bool accepting = false;             ///< it answered a query
  std::optional<bool> in_recovery;    ///< true: a standby
  SystemId system_id;                 ///< empty: unknown
  std::optional<Timeline> timeline;   ///< of the WAL being written or replayed
  std::optional<Lsn> flushed;         ///< primary: flushed; standby: received and flushed, or replayed where more
  std::optional<Lsn> replayed;        ///< standby only
  std::string upstream;               ///< standby: host of the primary that it streams from now; empty: none
  std::vector<StandbyLink> standbys;  ///< primary only
  std::string wal_retrieve_retry_interval;
  std::string wal_level;
  std::string problem;  ///< why it did not answer, in its own words

  friend bool operator==(const DatabaseState&, const DatabaseState&) = default;
  [[nodiscard]] bool IsWritable() const { return accepting && in_recovery && !*in_recovery; }
  [[nodiscard]] bool IsStandby() const { return accepting && in_recovery && *in_recovery; }
};

[[nodiscard]] Json ToJson(const DatabaseState& state);
[[nodiscard]] DatabaseState DatabaseStateFromJson(const Json& json);

/// What pg_control of a stopped server says. @source pg_controldata(1)
struct ControlData {
  SystemId system_id;
  std::string cluster_state;  ///< "shut down", "in production", "in archive recovery", …
  Timeline timeline = 0;
  Lsn checkpoint;  ///< where the last checkpoint record begins
  Lsn redo;
  Lsn min_recovery_end;
};

/// Proof that a primary stopped cleanly and where: its heir must hold WAL to exactly this end.
struct ShutdownToken {
  SystemId system_id;
  Timeline timeline = 0;
  Lsn checkpoint;  ///< the shutdown checkpoint record
  Lsn end;         ///< first byte after it
  friend bool operator==(const ShutdownToken&, const ShutdownToken&) = default;
};
[[nodiscard]] Json ToJson(const ShutdownToken& token);
[[nodiscard]] Result<ShutdownToken> ShutdownTokenFromJson(const Json& json);

/// The WAL that an old primary wrote after the fork, saved aside, and what it held.
struct Divergence {
  Lsn fork;              ///< where the new timeline left the old one
  Lsn end;               ///< last byte of valid WAL on the old primary
  std::string saved_in;  ///< folder in the ledger; empty: there was nothing to save
  std::vector<std::string> files;
  ByteCount saved;            ///< bytes copied
  std::uint64_t commits = 0;  ///< commit records after the fork
  std::string first_commit;   ///< wall time of the first, as PostgreSQL wrote it; empty: none
  std::string last_commit;
  [[nodiscard]] bool Diverged() const { return end > fork; }
};
[[nodiscard]] Json ToJson(const Divergence& divergence);
[[nodiscard]] Divergence DivergenceFromJson(const Json& json);

}  // namespace lifeboat
