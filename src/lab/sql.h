#pragma once

// A small RAII layer over blocking libpq for the lab and its clients. Agents use adapters/postgres instead.
// Thread rule: one thread at a time per connection.

#include <libpq-fe.h>

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace lifeboat::lab {

struct ConnectionClose {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};
using Connection = std::unique_ptr<PGconn, ConnectionClose>;

struct AnswerClear {
  void operator()(PGresult* answer) const { PQclear(answer); }
};
using Answer = std::unique_ptr<PGresult, AnswerClear>;

using Rows = std::vector<std::vector<std::string>>;

/// Connects with a libpq connection string; give it `hostaddr` or a socket folder, and a connect_timeout.
/// @error kRetry: libpq's own words
[[nodiscard]] Result<Connection> ConnectTo(const std::string& conninfo);

/// Runs `sql` (several statements are fine without parameters) and answers the last one's rows. NULL reads as "".
/// @error kFail: the server's words; kRetry: the connection is gone
[[nodiscard]] Result<Rows> Query(const Connection& connection, const std::string& sql,
                                 const std::vector<std::string>& parameters = {});

/// `value` quoted for a libpq connection string. @source PostgreSQL manual, Keyword/Value Connection Strings
[[nodiscard]] std::string QuoteConninfo(const std::string& value);

/// A server's words on one line, without the trailing line break.
[[nodiscard]] std::string OneLine(const char* message);

}  // namespace lifeboat::lab
