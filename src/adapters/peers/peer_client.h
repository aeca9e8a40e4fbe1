#pragma once

// The client side of docs/formats/peer.md: asks the agents of other regions (and, all the same, our own) over one
// kept-open connection per region and lane. Connections are made by the first call and made anew by the next call
// after they were lost; nothing runs between calls. The lane of datagrams has one UDP socket per region (datagram_line.h).
// Observe, the lease and act stand on it through the door Peers.
// Life cycle: the destructor closes all connections; calls still under way answer as if the connection was lost.
// Thread rule: `executor` is single-threaded (or a strand), and everything happens on it.

#include <boost/asio/any_io_executor.hpp>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/log.h"
#include "base/types.h"
#include "ports/peers.h"

namespace lifeboat {

namespace peers {
class DatagramLine;
}

class PeerClient final : public Peers {
 public:
  /// `self` names us to the others, and its address is the one that our connections leave from. `peers` may hold `self`.
  PeerClient(boost::asio::any_io_executor executor, RegionName self, std::map<RegionName, Endpoint> peers, Secret token, Log log);
  ~PeerClient() override;
  PeerClient(const PeerClient&) = delete;
  PeerClient& operator=(const PeerClient&) = delete;

  /// Asks `method` ("group.name") of the agent of `region`. A peer that is down refuses at once; after a refusal, calls
  /// fail without trying for 50 ms. Cancelling gives the call up as its time-out does.
  /// @param timeout of the whole call, connecting included (at most 1 s of it for one try to connect)
  /// @error kRetry: not one byte of the question has left; kUnknownOutcome: it has, and no answer came;
  ///        kFail: no such region, an address beyond loopback and private networks, a token that the peer refuses (a datagram with
  ///        a wrong token stays without an answer), a question over 4 MiB or larger than a datagram; else the peer's own error
  Task<Result<Json>> Call(RegionName region, std::string method, Json parameters, Duration timeout, Lane lane) override;

 private:
  class Channel;
  std::map<std::pair<RegionName, Lane>, std::shared_ptr<Channel>> channels_;
  std::map<RegionName, std::shared_ptr<peers::DatagramLine>> lines_;
};

}  // namespace lifeboat
