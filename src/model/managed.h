#pragma once

// A database that a cloud runs, as plain values: what each region's copy is, and the one item in the store that says where Lifeboat
// believes the writer to be. The item fences nothing: it orders Lifeboat's own executions, one at a time, by compare-and-set.
// Thread rule: plain values.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/time.h"
#include "base/types.h"

namespace lifeboat {

/// What a region's copy is, as the cloud shows it.
enum class ManagedRole {
  kUnknown,    ///< not looked at, or no answer
  kWriter,     ///< it takes writes
  kSecondary,  ///< it follows the writer
  kApart,      ///< it is there and follows nobody: a copy that went its own way, or was detached
  kAbsent,     ///< the cloud knows no such database
};
[[nodiscard]] const char* ToString(ManagedRole role);

/// Whether a database in this state takes connections: available, or at work on something that does not hinder them, such as its
/// nightly backup. @source RDS user guide, "Viewing Amazon RDS DB instance status"; Aurora user guide, "Viewing DB cluster status"
[[nodiscard]] bool TakesConnections(std::string_view status);

/// The copy of one region.
struct ManagedCopy {
  ManagedRole role = ManagedRole::kUnknown;
  std::string id;                        ///< ARN or identifier, as configured
  std::string status;                    ///< the cloud's own word ("available"); empty: that region was not asked
  std::string version;                   ///< of the engine; empty: unknown
  std::optional<std::size_t> instances;  ///< that could take connections; 0: headless, nobody can connect after a failover
  RegionName follows;                    ///< secondary: the region that it follows, where the cloud says so
  std::string problem;                   ///< why it could not be looked at; empty: it could
  /// Nothing is going on with it: it could be promoted.
  [[nodiscard]] bool Available() const { return status == "available"; }
  /// It takes connections.
  [[nodiscard]] bool Serves() const { return TakesConnections(status); }
  friend bool operator==(const ManagedCopy&, const ManagedCopy&) = default;
};
[[nodiscard]] Json ToJson(const ManagedCopy& copy);
/// What is missing or wrong is unknown.
[[nodiscard]] ManagedCopy ManagedCopyFromJson(const Json& json);

/// The database as the API of one region shows it.
struct ManagedView {
  RegionName asked;
  RegionName writer;                         ///< empty: the cloud shows none, or another one than the service's regions
  RegionName moving_to;                      ///< a change of the writer is under way to here; empty: none is
  std::string under_way;                     ///< the cloud's own words about it
  std::map<RegionName, ManagedCopy> copies;  ///< that of `asked` with its state; of the others what the cloud tells here
};

/// Where Lifeboat believes the writer to be: <service>/writer in the store.
struct WriterItem {
  Epoch epoch;            ///< one more with each move that Lifeboat makes or takes note of
  RegionName writer;      ///< where the database was last seen to take writes
  RegionName moving_to;   ///< an execution of this epoch moves it to there; empty: none does
  ExecutionId execution;  ///< that began the epoch; empty: taken note of
  WallTime at;            ///< when it was last changed
  /// The writer is a database of its own, cut loose or promoted: what the cloud says of the old one says nothing of where the
  /// writer is.
  bool apart = false;
  friend bool operator==(const WriterItem&, const WriterItem&) = default;
};
[[nodiscard]] Json ToJson(const WriterItem& item);
/// @error kFail: a member is missing or of the wrong type
[[nodiscard]] Result<WriterItem> WriterItemFromJson(const Json& json);

}  // namespace lifeboat
