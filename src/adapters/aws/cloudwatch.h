#pragma once

// CloudWatch: the newest value of metrics, as far as lag and readiness need them, and what alarms say.
// Thread rule: as Client.
// @source CloudWatch API reference, 2010-08-01
// @iam cloudwatch:GetMetricData
// @iam cloudwatch:DescribeAlarms

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "adapters/aws/client.h"

namespace lifeboat::aws::cloudwatch {

struct Metric {
  std::string space;  ///< "AWS/RDS"
  std::string name;   ///< "AuroraGlobalDBRPOLag"
  Pairs dimensions;   ///< {{"DBClusterIdentifier", "orders-2"}}
  std::string statistic = "Maximum";
  Duration period = 60s;
};

struct Datum {
  WallTime at;  ///< the beginning of its period
  double value = 0;
};

/// The newest datum of each metric between `from` and `to`; nothing: there is none. At most 500 metrics.
/// @error kFail: CloudWatch says that it may not be read
Task<Result<std::vector<std::optional<Datum>>>> Newest(Client& client, std::string region, std::vector<Metric> metrics,
                                                       WallTime from, WallTime to, Duration timeout);

struct Alarm {
  std::string name;
  std::string state;  ///< "OK", "ALARM", "INSUFFICIENT_DATA"
  std::string reason;
  std::optional<WallTime> since;
};
/// Alarms of metrics and composed ones, at most 100 names. What does not exist is not in the answer.
Task<Result<std::vector<Alarm>>> DescribeAlarms(Client& client, std::string region, std::vector<std::string> names,
                                                Duration timeout);

}  // namespace lifeboat::aws::cloudwatch
