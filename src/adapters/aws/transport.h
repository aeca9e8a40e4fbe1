#pragma once

// How requests leave: one function, so that tests and recorders can stand in its place. The real one resolves names on a small
// pool of threads, keeps the addresses (old ones serve on while name service fails), goes on to the next address when one
// takes no connection, and sends over adapters/http.
// Thread rule: one executor that runs one thing at a time.

#include <boost/asio/any_io_executor.hpp>
#include <functional>

#include "adapters/http/http_client.h"

namespace lifeboat::aws {

/// @error as HttpClient::Send
using Transport = std::function<Task<Result<HttpResponse>>(HttpRequest request, Duration timeout)>;

/// The transport of production. Its copies share their connections; the last one that goes closes them.
[[nodiscard]] Transport OpenTransport(boost::asio::any_io_executor executor, HttpOptions options);

}  // namespace lifeboat::aws
