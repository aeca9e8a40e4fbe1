#pragma once

// The agent's one port: the HTTP API, /health and /metrics, the kept-open connections of the other agents, and over UDP their
// datagrams (docs/formats/peer.md). It reads state and passes questions to a CallHandler; it never acts by itself.
// Life cycle: Listen → accepts until Stop (or destruction), which ends every connection. Questions that are being
// worked on then are not cancelled: they run to their end, and their answers are dropped; what the handler refers to must
// outlive them (InFlight() says how many there are).
// Thread rule: `executor` is single-threaded (or a strand), and everything happens on it.

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

#include "base/json.h"
#include "base/log.h"
#include "base/result.h"
#include "base/time.h"
#include "base/types.h"
#include "ports/peers.h"
#include "serve/metrics.h"

namespace lifeboat {

/// What GET /health answers: the body with "status" in it, and whether it is 200 or 503.
struct Health {
  Json body = Json::object();
  bool healthy = false;
};
using HealthSource = std::function<Health()>;

/// Most connections at once. When it is full, the one that has waited longest for a request makes room.
inline constexpr std::size_t kMostConnections = 256;
/// Most questions of one peer connection that are worked on at once.
inline constexpr std::size_t kMostQuestionsInFlight = 256;
inline constexpr std::size_t kMostBodyBytes = 1U << 20U;
inline constexpr std::size_t kMostHeadBytes = 8U << 10U;

/// Each bounds the whole of its part, not the pause between two bytes: a drip of bytes buys no time.
struct HttpTimes {
  Duration head = std::chrono::seconds(10);  ///< waiting for a request included
  Duration body = std::chrono::seconds(10);
  Duration reply = std::chrono::seconds(10);
};

/// Most datagrams that are worked on at once; more are dropped.
inline constexpr std::size_t kMostDatagramsInFlight = 256;

/// What is answered on the lane of datagrams (UDP, the same address and port).
struct DatagramRules {
  RegionName self;                                         ///< questions to another region are dropped
  std::function<bool(const std::string& method)> answers;  ///< its handlers are idempotent; empty: the UDP port stays closed
};

class HttpServer {
 public:
  /// Listens at `address` (port 0: a free one) and serves from then on. `metrics` must outlive the server.
  /// A handler that throws is answered with kUnknownOutcome and logged.
  /// @error kRefused: an address beyond loopback and private networks; kFail: no IP address, or the port is taken
  [[nodiscard]] static Result<std::unique_ptr<HttpServer>> Listen(boost::asio::any_io_executor executor, Endpoint address,
                                                                  Secret token, CallHandler handler, HealthSource health,
                                                                  Metrics& metrics, Log log, HttpTimes times = {},
                                                                  DatagramRules datagrams = {});
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// Where it listens, with the port that was chosen.
  [[nodiscard]] Endpoint Address() const;
  [[nodiscard]] std::size_t Connections() const;
  [[nodiscard]] std::size_t InFlight() const;

  /// Closes the port and every connection, at once. Idempotent.
  void Stop();

 private:
  class Listener;
  explicit HttpServer(std::shared_ptr<Listener> listener);
  std::shared_ptr<Listener> listener_;
};

}  // namespace lifeboat
