#pragma once

// What all connections of one HttpServer share, and the two ways to serve one. Private to serve.
// Thread rule: the server's executor.

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "adapters/peers/framed_socket.h"
#include "base/log.h"
#include "base/types.h"
#include "serve/http_server.h"

namespace lifeboat::serve {

struct Service {
  Secret token;
  CallHandler handler;
  HealthSource health;
  Metrics* metrics = nullptr;
  Log log;
  HttpTimes times;
  std::size_t in_flight = 0;
  bool stopped = false;
};

/// Counts one thing for as long as it lives; also when its coroutine is destroyed.
class Counted {
 public:
  explicit Counted(std::shared_ptr<std::size_t> counter) : counter_(std::move(counter)) { ++*counter_; }
  ~Counted() { --*counter_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  std::shared_ptr<std::size_t> counter_;
};

/// Asks the handler. Never throws: an exception ends here, as kUnknownOutcome.
Task<Result<Json>> Work(std::shared_ptr<Service> service, std::string method, Json parameters);

/// Answers the questions of a peer until its connection ends, each in a coroutine of its own.
Task<> ServePeer(std::shared_ptr<Service> service, std::shared_ptr<peers::FramedSocket> socket, std::string region);

/// A completion handler that logs what escaped from a coroutine; the server goes on.
[[nodiscard]] std::function<void(std::exception_ptr)> Report(Log log);

}  // namespace lifeboat::serve
