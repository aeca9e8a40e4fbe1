#pragma once

// The client's side of the lane of datagrams to one region: one kept-open UDP socket that is connected to the agent's address, so
// that the kernel drops what anybody else sends and says when nobody listens there. The questions on it overlap freely.
// Life cycle: always in a shared_ptr; the first call opens the socket, Stop closes it for good.
// Thread rule: one single-threaded executor (or strand).

#include <array>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "adapters/peers/datagram.h"
#include "base/log.h"
#include "base/task.h"
#include "base/time.h"

namespace lifeboat::peers {

/// Questions of one line that wait for their answers; more than that are refused.
inline constexpr std::size_t kMostDatagramsWaiting = 256;

/// What all lines of one client share.
struct LineIdentity {
  RegionName self;
  std::optional<boost::asio::ip::address> source;  ///< where our datagrams leave from; nothing: the system chooses
  Secret token;
};

class DatagramLine : public std::enable_shared_from_this<DatagramLine> {
 public:
  DatagramLine(boost::asio::any_io_executor executor, RegionName region, Endpoint endpoint,
               std::shared_ptr<const LineIdentity> identity, Log log);

  /// @error as Peers::Call on Lane::kDatagram. kUnknownOutcome comes at once when the peer's machine says that nobody listens.
  Task<Result<Json>> Ask(std::string method, Json parameters, Duration timeout);
  void Stop();

 private:
  struct Waiting;
  struct Entry;

  [[nodiscard]] std::string Who() const { return "the agent of '" + region_.text + "' at '" + endpoint_.Text() + "'"; }
  [[nodiscard]] Result<Unit> OpenSocket();
  [[nodiscard]] Result<Unit> Send(const std::string& bytes);
  static Task<> ReadLoop(std::shared_ptr<DatagramLine> self, std::shared_ptr<boost::asio::ip::udp::socket> socket);
  void Take(std::string_view bytes);
  void GiveUpAll(const std::string& why);

  boost::asio::any_io_executor executor_;
  const RegionName region_;
  const Endpoint endpoint_;
  const std::shared_ptr<const LineIdentity> identity_;
  const Log log_;
  std::shared_ptr<boost::asio::ip::udp::socket> socket_;  // nothing: not open
  std::array<char, 2 * kMostSealedBytes> chunk_{};        // larger than any datagram of ours: a longer one shows as too long
  std::unordered_map<std::uint64_t, Waiting*> waiting_;
  bool stopped_ = false;
  bool told_ = false;  // that nobody listens: said once, not with every question
};

}  // namespace lifeboat::peers
