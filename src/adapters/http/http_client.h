#pragma once

// HTTP/1.1 requests over kept-open connections, as coroutines: libcurl's multi interface on an Asio executor, with no thread of
// its own. It resolves no names, since libcurl's resolver is a thread: the URL's host is an address, or `address` says where it
// lives. A request is sent at most once: libcurl's silent second try on a connection that died is refused, because a change that
// the server has already made would be made twice, or its loss would be reported as a fact (HttpClientTest.NeverSendsAChangeTwice).
// Life cycle: destroying the client ends its requests; they answer. Thread rule: one executor that runs one thing at a time.

#include <boost/asio/any_io_executor.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "base/time.h"

namespace lifeboat {

struct HttpRequest {
  std::string method = "GET";
  std::string url;                   ///< "https://10.0.0.1:2379/v3/kv/range"
  std::string address;               ///< where the URL's host lives, when that is a name; the certificate is still for the name
  std::vector<std::string> headers;  ///< "Content-Type: application/json"; they never appear in a message
  std::string body;
  Duration connect_timeout{0};  ///< 0: the whole timeout
  bool fresh_connection =
      false;  ///< never over a kept one, which may have died unseen: for a change whose fate must not be in doubt
  /// Is handed the answer's body as it arrives; `body` of the response stays empty. Called on the executor.
  std::function<void(std::string_view)> on_body;
};

struct HttpResponse {
  int status = 0;
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case, in their order
};

/// Files are read by each new connection, so a renewed certificate needs no restart.
struct HttpTls {
  std::string ca_file;           ///< empty: the system's certificates
  std::string certificate_file;  ///< the client's own; empty: none
  std::string key_file;
};

struct HttpOptions {
  HttpTls tls;
  std::size_t most_body = 16U << 20U;  ///< bytes of an answer's body that is kept; more ends the request
  std::size_t most_connections = 32;   ///< kept open
};

class HttpClient {
 public:
  HttpClient(boost::asio::any_io_executor executor, HttpOptions options);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// One request and its whole answer, whatever its status. Cancellable; a cancelled request's connection is closed.
  /// @error kRetry: nothing that a server could act on was sent (no connection, its certificate is not trusted)
  /// @error kUnknownOutcome: sent, and no whole answer came
  /// @error kFail: the request cannot work as it is (its host is a name and no address is given)
  Task<Result<HttpResponse>> Send(HttpRequest request, Duration timeout);

 private:
  struct Engine;
  std::shared_ptr<Engine> engine_;  // shared: requests that are under way outlive this object until they have been answered
};

}  // namespace lifeboat
