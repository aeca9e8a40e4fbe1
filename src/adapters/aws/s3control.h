#pragma once

// S3 Control: where a multi-region access point leads to. Asked in five regions, any of which may be down; the order is the
// caller's. Thread rule: as Client.
// @source S3 Control API reference, 2018-08-20; S3 User Guide, "Amazon S3 Multi-Region Access Points failover controls"
// @iam s3:GetMultiRegionAccessPointRoutes
// @iam s3:SubmitMultiRegionAccessPointRoutes

#include <string>
#include <vector>

#include "adapters/aws/client.h"

namespace lifeboat::aws::s3control {

struct Route {
  std::string bucket;
  std::string region;
  unsigned percent = 0;  ///< 0 or 100
};

/// The regions whose endpoints answer these calls, wherever the buckets are.
[[nodiscard]] const std::vector<std::string>& ControlRegions();
/// The account of "arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap". @error kFail: it is no such ARN
[[nodiscard]] Result<std::string> AccountOf(const std::string& access_point);

/// @param regions  to be asked, one after the other until one answers @error kNotFound: there is no such access point
Task<Result<std::vector<Route>>> GetRoutes(Client& client, std::vector<std::string> regions, std::string access_point,
                                           Duration timeout);
/// Absolute numbers: twice is as once. What is not named stays as it is. AWS: felt within about two minutes.
/// @error kFail: nothing would be left on; kUnknownOutcome: no region said clearly; read them
Task<Result<Unit>> SubmitRoutes(Client& client, std::vector<std::string> regions, std::string access_point,
                                std::vector<Route> routes, Duration timeout);

}  // namespace lifeboat::aws::s3control
