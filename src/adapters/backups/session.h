#pragma once

// A connection to a restored server, for checks: every wait looks at Ctrl-C, and what the server says is kept with its SQLSTATE.
// Thread rule: one owner; it blocks.

#include <libpq-fe.h>
#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace lifeboat::backup {

/// NULL reads as "".
using Rows = std::vector<std::vector<std::string>>;

struct QueryError {
  std::string sqlstate;  ///< "": the connection is gone, or the run was cancelled
  std::string message;   ///< on one line, with the detail
  bool cancelled = false;
};

struct QueryAnswer {
  Rows rows;
  std::optional<QueryError> error;
  [[nodiscard]] bool ok() const { return !error; }
  /// The first column of the first row; "" where there is none.
  [[nodiscard]] std::string First() const { return rows.empty() || rows[0].empty() ? "" : rows[0][0]; }
};

struct SessionPlace {
  std::filesystem::path socket;  ///< folder
  std::string user;
  std::string database;
  const std::atomic<bool>* cancel = nullptr;
  std::string
      address;  ///< of a server elsewhere, asked over TLS (PGSSLMODE says otherwise) by whoever is no superuser; "": by the socket
  std::uint16_t port = 5432;  ///< of `address`
  pid_t server = 0;  ///< process that listens at `socket`, and no other is asked anything (-1: none may be); 0: whoever it is
};

class Session {
 public:
  /// @error kFail: the server's words, or it is another server than `place` names; kRetry: cancelled
  [[nodiscard]] static Result<Session> Open(const SessionPlace& place);
  /// Runs one or several statements and answers the last one's rows.
  [[nodiscard]] QueryAnswer Ask(const std::string& sql);
  [[nodiscard]] const std::string& database() const { return place_.database; }

 private:
  struct Close {
    void operator()(PGconn* connection) const { PQfinish(connection); }
  };
  Session(SessionPlace place, PGconn* connection) : place_(std::move(place)), connection_(connection) {}
  [[nodiscard]] bool Cancelled() const { return place_.cancel != nullptr && place_.cancel->load(std::memory_order_relaxed); }
  SessionPlace place_;
  std::unique_ptr<PGconn, Close> connection_;
};

/// 'text' for SQL.
[[nodiscard]] std::string Quoted(const std::string& text);

}  // namespace lifeboat::backup
