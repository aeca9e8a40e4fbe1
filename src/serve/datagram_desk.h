#pragma once

// The server's side of the lane of datagrams (docs/formats/peer.md): answers what is sealed with the token, meant for this region
// and registered for the lane; drops everything else without a word, and counts it. Private to serve.
// Life cycle: always in a shared_ptr; Open, then Start, then Stop for good. Answers to questions under way are dropped after that.
// Thread rule: the server's executor.

#include <array>
#include <boost/asio/ip/udp.hpp>
#include <memory>
#include <string_view>

#include "adapters/peers/datagram.h"
#include "serve/service_internal.h"

namespace lifeboat::serve {

class DatagramDesk : public std::enable_shared_from_this<DatagramDesk> {
 public:
  DatagramDesk(const boost::asio::any_io_executor& executor, DatagramRules rules) : socket_(executor), rules_(std::move(rules)) {}

  [[nodiscard]] boost::system::error_code Open(const boost::asio::ip::udp::endpoint& address);
  void Start(std::shared_ptr<Service> service);
  void Stop();

 private:
  static Task<> ReadLoop(std::shared_ptr<DatagramDesk> self);
  static Task<> Answer(std::shared_ptr<DatagramDesk> self, peers::Datagram question, boost::asio::ip::udp::endpoint from);
  [[nodiscard]] const char* Take(std::string_view bytes);
  void Send(const peers::Datagram& question, const Result<Json>& result, const boost::asio::ip::udp::endpoint& to);

  boost::asio::ip::udp::socket socket_;
  const DatagramRules rules_;
  std::shared_ptr<Service> service_;
  boost::asio::ip::udp::endpoint from_;
  std::array<char, 2 * peers::kMostSealedBytes> chunk_{};  // larger than any datagram of ours: a longer one shows as too long
  std::shared_ptr<std::size_t> working_ = std::make_shared<std::size_t>(0);
};

}  // namespace lifeboat::serve
