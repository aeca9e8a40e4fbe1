#pragma once

// Lines of `lifeboat check` about a database that AWS runs, beside those of its door (managed_aurora.cc, managed_replica.cc):
// whether the machines of a region that takes over are as large as the writer's, whether its KMS key could be used, quotas,
// maintenance that waits on one side alone, and whether AWS's word about the old writer could be read. Reads only; all regions are
// asked at once. Thread rule: as Client.

#include <optional>
#include <string>
#include <vector>

#include "adapters/aws/client.h"
#include "adapters/aws/rds.h"
#include "config/aws_settings.h"
#include "ports/clock.h"
#include "ports/readiness.h"

namespace lifeboat::aws {

/// What was read, or why it was not.
template <typename T>
struct Looked {
  std::optional<T> value;
  std::string problem;
  bool denied = false;  ///< `problem` is a no, and no silence
};

/// What one region says.
struct DatabaseFacts {
  RegionName region;
  std::string id;  ///< of its cluster or instance
  Looked<std::vector<rds::DbInstance>> instances;
  Looked<double> serverless_most;  ///< capacity units of the cluster; 0: not serverless
  Looked<std::string> kms_key;     ///< empty: not encrypted
  Looked<std::string> key_state;   ///< as KMS says it; "not there"
  Looked<double> instance_quota;
  Looked<double> cluster_quota;  ///< aurora
  Looked<std::vector<std::string>> maintenance;
  Looked<std::size_t> events;  ///< aurora: of the last hour
};

/// How large an instance of this class is, as far as names tell: "db.r6g.2xlarge" is four of "db.r6g.large". Empty: it does not
/// say.
[[nodiscard]] std::optional<unsigned> SizeOfClass(const std::string& instance_class);

/// @param writer  region of it; empty: unknown, and nothing can be compared
[[nodiscard]] std::vector<Readiness> DatabaseLines(AwsDatabaseKind kind, const RegionName& writer,
                                                   const std::vector<DatabaseFacts>& facts);

Task<std::vector<Readiness>> CheckManagedDatabase(Client& client, AwsDatabaseSettings settings, RegionName writer, Clock& clock,
                                                  Duration timeout);

}  // namespace lifeboat::aws
