#include "adapters/backups/session.h"

#include <poll.h>

#include <array>
#include <cstdlib>

#include "adapters/backups/guarded_child.h"

namespace lifeboat::backup {

namespace {

struct Clear {
  void operator()(PGresult* result) const { PQclear(result); }
};
using ResultPtr = std::unique_ptr<PGresult, Clear>;

// What a role or a database has set must not bend the checks: options of a client outrank them.
constexpr const char* kOptions =
    "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 -c default_transaction_read_only=off"
    " -c session_preload_libraries= -c local_preload_libraries= -c max_parallel_workers_per_gather=0"
    " -c client_min_messages=error -c lc_messages=C -c row_security=off -c ignore_checksum_failure=off -c zero_damaged_pages=off";

// The same, as far as nobody needs to be a superuser for it.
constexpr const char* kOptionsOfAnybody =
    "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 -c default_transaction_read_only=off"
    " -c max_parallel_workers_per_gather=0 -c client_min_messages=error -c row_security=off";

std::string OneLine(const char* text) {
  std::string line = text == nullptr ? "" : text;
  while (!line.empty() && line.back() == '\n') line.pop_back();
  for (char& c : line) c = c == '\n' ? ' ' : c;
  return line;
}

QueryError ErrorOf(const PGresult* result, PGconn* connection) {
  QueryError error;
  const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  error.sqlstate = state == nullptr ? "" : state;
  error.message = OneLine(PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
  const std::string detail = OneLine(PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL));
  if (!detail.empty()) error.message += " (" + detail + ")";
  if (error.message.empty()) error.message = OneLine(PQerrorMessage(connection));
  return error;
}

Rows RowsOf(const PGresult* result) {
  Rows rows(static_cast<std::size_t>(PQntuples(result)));
  for (int row = 0; row < PQntuples(result); ++row) {
    for (int column = 0; column < PQnfields(result); ++column)
      rows[static_cast<std::size_t>(row)].emplace_back(PQgetvalue(result, row, column));
  }
  return rows;
}

}  // namespace

Result<Session> Session::Open(const SessionPlace& place) {
  const bool remote = !place.address.empty();
  const std::string host = remote ? place.address : place.socket.string();
  const std::string port = std::to_string(place.port);
  const char* chosen = std::getenv("PGSSLMODE");
  // A password must not travel readable because a server says that it has no TLS.
  const char* tls = !remote ? "disable" : chosen == nullptr || *chosen == '\0' ? "require" : chosen;
  const std::array<const char*, 10> names = {
      "host", "port", "user", "dbname", "options", "connect_timeout", "application_name", "client_encoding", "sslmode", nullptr};
  const std::array<const char*, 10> values = {host.c_str(),
                                              remote ? port.c_str() : "5432",
                                              place.user.c_str(),
                                              place.database.c_str(),
                                              remote ? kOptionsOfAnybody : kOptions,
                                              remote ? "15" : "60",
                                              "lifeboat",
                                              "UTF8",
                                              tls,
                                              nullptr};
  PGconn* connection = PQconnectdbParams(names.data(), values.data(), 0);
  Session session(place, connection);
  if (PQstatus(connection) != CONNECTION_OK) return Fail(OneLine(PQerrorMessage(connection)));
  if (place.server != 0 && !IsServedBy(PQsocket(connection), place.server)) {
    return Fail("at '" + host + "' another server answers than the one that was restored");
  }
  return session;
}

QueryAnswer Session::Ask(const std::string& sql) {
  QueryAnswer answer;
  PGconn* connection = connection_.get();
  if (PQsendQuery(connection, sql.c_str()) == 0) {
    answer.error = QueryError{"", OneLine(PQerrorMessage(connection)), false};
    return answer;
  }
  while (true) {
    while (PQisBusy(connection) == 1) {
      pollfd at{PQsocket(connection), POLLIN, 0};
      (void)poll(&at, 1, 100);
      if (Cancelled()) {
        // The connection is of no use from here on; the server is killed with its sandbox.
        answer.error = QueryError{"", "cancelled", true};
        return answer;
      }
      if (PQconsumeInput(connection) == 0) {
        answer.error = QueryError{"", OneLine(PQerrorMessage(connection)), false};
        return answer;
      }
    }
    const ResultPtr result(PQgetResult(connection));
    if (!result) return answer;
    const ExecStatusType status = PQresultStatus(result.get());
    if (status == PGRES_TUPLES_OK) answer.rows = RowsOf(result.get());
    if (status == PGRES_COMMAND_OK) answer.rows.clear();
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && !answer.error) answer.error = ErrorOf(result.get(), connection);
  }
}

std::string Quoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') quoted += '\'';
    quoted += c;
  }
  return quoted + "'";
}

}  // namespace lifeboat::backup
