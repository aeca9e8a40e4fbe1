#pragma once

// The control plane of ARC's routing controls: which cluster a control belongs to, and where that cluster's five endpoints are. It
// lives in us-west-2 alone, so it is asked when a configuration is written and never when it is needed. Thread rule: as Client.
// @source Recovery Control Configuration API reference, 2020-11-02
// @iam route53-recovery-control-config:DescribeControlPanel
// @iam route53-recovery-control-config:DescribeCluster

#include <map>
#include <string>

#include "adapters/aws/client.h"

namespace lifeboat::aws::control_config {

/// The ARN of the cluster that a control panel belongs to.
Task<Result<std::string>> ClusterOfPanel(Client& client, std::string panel_arn, Duration timeout);
/// Region → URL of each endpoint of a cluster; five where it is deployed.
Task<Result<std::map<std::string, std::string>>> EndpointsOf(Client& client, std::string cluster_arn, Duration timeout);

/// "arn:…:controlpanel/abc" of "arn:…:controlpanel/abc/routingcontrol/def"; empty: it is no routing control's.
[[nodiscard]] std::string PanelOfControl(const std::string& control_arn);

}  // namespace lifeboat::aws::control_config
