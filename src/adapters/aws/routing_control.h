#pragma once

// ARC routing control: the data plane of a cluster, five endpoints in five regions, any of which may be asked and two of which
// may be down. Each call goes from one to the next until one answers; the order is shuffled, so that no region is the favourite.
// Thread rule: as Client.
// @source Route 53 ARC, Routing Control API reference, 2019-12-02

#include <string>
#include <vector>

#include "adapters/aws/client.h"

namespace lifeboat::aws::routing_control {

struct ClusterEndpoint {
  std::string region;  ///< its requests are signed for
  std::string url;     ///< "https://host-aaaaaa.us-east-1.example.com/v1"
};

struct Cluster {
  std::vector<ClusterEndpoint> endpoints;
  std::function<double()> dice;  ///< for the order
};

struct State {
  std::string control_arn;
  bool on = false;
};

Task<Result<State>> GetState(Client& client, Cluster cluster, std::string control_arn, Duration timeout);
Task<Result<std::vector<State>>> ListControls(Client& client, Cluster cluster, std::string panel_arn, Duration timeout);

/// All or nothing, at most 10. Safety rules are respected: no call of this file can override one.
/// @error kRefused: a safety rule, or another change, forbids it @error kUnknownOutcome: no endpoint said clearly; read them
Task<Result<Unit>> UpdateStates(Client& client, Cluster cluster, std::vector<State> states, Duration timeout);

}  // namespace lifeboat::aws::routing_control
