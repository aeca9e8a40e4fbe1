#pragma once

// A connection to PostgreSQL: libpq in non-blocking mode, its socket watched by Asio. It is made for one question at a
// time. Names are never resolved (libpq would block): servers are given by address or by their socket directory.
// When an answer does not come in time the connection is closed and not cancelled: libpq's cancel blocks, and the server
// itself ends what runs for a client that has gone (client_connection_check_interval, set here).
// Thread rule: the executor that it was opened on; used by one coroutine at a time.

#include <libpq-fe.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "adapters/postgres/deadline.h"
#include "base/result.h"
#include "base/task.h"

namespace lifeboat::postgres {

/// libpq's keywords and values. @source PostgreSQL manual, Parameter Key Words
using Conninfo = std::vector<std::pair<std::string, std::string>>;

/// As one text, quoted as libpq wants it.
[[nodiscard]] std::string ConninfoText(const Conninfo& conninfo);

/// Whether a question changes the server: decides what a lost answer means.
enum class Effect {
  kRead,    ///< a lost answer is kRetry
  kChange,  ///< a lost answer is kUnknownOutcome
};

/// The rows of one answer.
class Answer {
 public:
  explicit Answer(PGresult* result) : result_(result) {}

  [[nodiscard]] int rows() const { return PQntuples(result_.get()); }
  [[nodiscard]] bool IsNull(int row, int column) const { return PQgetisnull(result_.get(), row, column) != 0; }
  /// Empty for NULL.
  [[nodiscard]] std::string_view Text(int row, int column) const {
    return {PQgetvalue(result_.get(), row, column), static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
  }
  [[nodiscard]] bool IsTrue(int row, int column) const { return Text(row, column) == "t"; }

 private:
  struct Clear {
    void operator()(PGresult* result) const { PQclear(result); }
  };
  std::unique_ptr<PGresult, Clear> result_;
};

class Connection {
 public:
  /// @error kRetry: no server, not yet, or not in time; kFail: it refused the login
  static Task<Result<std::unique_ptr<Connection>>> Open(boost::asio::any_io_executor executor, Conninfo conninfo,
                                                        Deadline deadline);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// One statement with parameters $1… (nothing: NULL).
  /// @error kNotFound: no such table, column or schema; kRefused: the server is read-only; kRetry or kUnknownOutcome: no
  ///        answer; kFail: anything else that the server says
  Task<Result<Answer>> Ask(std::string sql, std::vector<std::optional<std::string>> parameters, Effect effect, Deadline deadline);
  /// A statement without parameters that is planned once per connection. `sql` must live as long as the program.
  Task<Result<Answer>> AskPrepared(const char* sql, Deadline deadline);

  /// False once the server has closed it or an answer is outstanding. Looks without blocking.
  [[nodiscard]] bool IsUsable();
  /// How what travels is protected: "TLSv1.3", or "readable".
  [[nodiscard]] std::string Protection() const;
  /// "\"name\"", safe within SQL.
  [[nodiscard]] std::string Identifier(std::string_view name) const;

 private:
  explicit Connection(boost::asio::any_io_executor executor) : socket_(std::move(executor)) {}
  Task<Result<Unit>> Connect(Deadline deadline);
  Task<bool> WaitForSocket(boost::asio::posix::stream_descriptor::wait_type what, Deadline deadline);
  void WatchSocket();
  void UnwatchSocket();
  Task<Result<Answer>> Receive(Effect effect, Deadline deadline);
  [[nodiscard]] Error Lost(const char* what, Effect effect);

  struct Finish {
    void operator()(PGconn* connection) const { PQfinish(connection); }
  };
  // Declared before the socket's watch and closed after it: the watch must let the descriptor go first.
  std::unique_ptr<PGconn, Finish> connection_;
  boost::asio::posix::stream_descriptor socket_;
  std::set<const char*> prepared_;
  bool broken_ = false;
};

}  // namespace lifeboat::postgres
