#pragma once

// Carries one DNS request to one server and brings back its answer: UDP from a random port, sent again every 200 ms until
// the deadline; TCP when the answer says that it was cut short.
// Thread rule: on `executor`, the one of the awaiting coroutine.

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <functional>
#include <optional>

#include "adapters/dns/dns_packet.h"
#include "base/task.h"

namespace lifeboat {

struct Exchange {
  Endpoint server;
  Request request;
  /// The answer, if these bytes are one to this request; everything else is passed over. A plain function: it outlives nothing.
  std::function<std::optional<DnsAnswer>(const Bytes&)> accept;
  std::chrono::steady_clock::time_point deadline;
};

/// @error kRetry: it surely did not arrive (every packet was turned away by the server's host, or none could be sent);
///        kUnknownOutcome: sent, no answer by the deadline
Task<Result<DnsAnswer>> Carry(boost::asio::any_io_executor executor, Exchange exchange);

}  // namespace lifeboat
