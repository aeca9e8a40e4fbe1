#include "adapters/postgres/connection.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace lifeboat::postgres {

namespace {

namespace asio = boost::asio;
using Socket = asio::posix::stream_descriptor;

constexpr auto kAsTuple = asio::as_tuple(asio::use_awaitable);

std::string OneLine(std::string_view text) {
  std::string line;
  for (const char c : text) {
    if (c != '\n' && c != '\r' && c != '\t') {
      line += c;
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

/// The one table from PostgreSQL's error codes to what a caller can do.
/// @source PostgreSQL manual, Appendix A, PostgreSQL Error Codes
Retry RetryOf(std::string_view sqlstate) {
  if (sqlstate == "42P01" || sqlstate == "3F000" || sqlstate == "42703") return Retry::kNotFound;  // table, schema, column
  if (sqlstate == "25006") return Retry::kRefused;                                                 // read-only transaction
  for (const std::string_view passing : {"08", "40", "53", "57"}) {  // connection, serialization, resources, intervention
    if (sqlstate.starts_with(passing)) return Retry::kRetry;
  }
  if (sqlstate == "55006" || sqlstate == "55P03" || sqlstate == "55000") return Retry::kRetry;  // in use, lock, wrong state
  return Retry::kFail;
}

Error ServerError(const PGresult* result) {
  const char* code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const char* message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  const char* hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
  const std::string sqlstate = code != nullptr ? code : "";
  return {RetryOf(sqlstate),
          "postgresql said '" + OneLine(message != nullptr ? message : PQresultErrorMessage(result)) + "' (" + sqlstate + ")",
          hint != nullptr ? OneLine(hint) : ""};
}

}  // namespace

std::string ConninfoText(const Conninfo& conninfo) {
  std::string text;
  for (const auto& [key, value] : conninfo) {
    if (!text.empty()) text += ' ';
    text += key + "='";
    for (const char c : value) {
      if (c == '\'' || c == '\\') text += '\\';
      text += c;
    }
    text += '\'';
  }
  return text;
}

Connection::~Connection() { UnwatchSocket(); }

void Connection::WatchSocket() {
  if (!socket_.is_open() && PQsocket(connection_.get()) >= 0) socket_.assign(PQsocket(connection_.get()));
}

void Connection::UnwatchSocket() {
  // libpq owns the descriptor and closes it.
  if (socket_.is_open()) socket_.release();
}

Task<bool> Connection::WaitForSocket(Socket::wait_type what, Deadline deadline) {
  using namespace asio::experimental::awaitable_operators;
  asio::steady_timer timer(socket_.get_executor());
  timer.expires_at(deadline.at());
  const auto first = co_await (socket_.async_wait(what, kAsTuple) || timer.async_wait(kAsTuple));
  co_return first.index() == 0;
}

Task<Result<std::unique_ptr<Connection>>> Connection::Open(asio::any_io_executor executor, Conninfo conninfo, Deadline deadline) {
  std::vector<const char*> keys;
  std::vector<const char*> values;
  for (const auto& [key, value] : conninfo) {
    keys.push_back(key.c_str());
    values.push_back(value.c_str());
  }
  keys.push_back(nullptr);
  values.push_back(nullptr);
  std::unique_ptr<Connection> connection(new Connection(std::move(executor)));
  connection->connection_.reset(PQconnectStartParams(keys.data(), values.data(), 0));
  if (!connection->connection_) co_return RetryLater("there is no memory for a connection to postgresql");
  const Result<Unit> connected = co_await connection->Connect(deadline);
  if (!connected) co_return connected.error();
  co_return std::move(connection);
}

Task<Result<Unit>> Connection::Connect(Deadline deadline) {
  PGconn* connection = connection_.get();
  PostgresPollingStatusType next = PQstatus(connection) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
  while (next == PGRES_POLLING_READING || next == PGRES_POLLING_WRITING) {
    // libpq may go to another socket between two polls, so the watch lasts for one wait only.
    WatchSocket();
    const Socket::wait_type what = next == PGRES_POLLING_READING ? Socket::wait_read : Socket::wait_write;
    const bool ready = co_await WaitForSocket(what, deadline);
    UnwatchSocket();
    if (!ready) co_return RetryLater("postgresql did not let us in in time");
    next = PQconnectPoll(connection);
  }
  if (next != PGRES_POLLING_OK) {
    const std::string why = OneLine(PQerrorMessage(connection));
    const bool refused = why.find("password") != std::string::npos || why.find("pg_hba.conf") != std::string::npos ||
                         why.find("does not exist") != std::string::npos;
    if (refused) co_return Fail("postgresql refused the login: '" + why + "'", "check 'login' and pg_hba.conf");
    co_return RetryLater("postgresql cannot be reached: '" + why + "'");
  }
  PQsetnonblocking(connection, 1);
  // Notices (a table that exists already) are no one's news.
  PQsetNoticeReceiver(
      connection, [](void*, const PGresult*) {}, nullptr);
  WatchSocket();
  co_return Done();
}

Error Connection::Lost(const char* what, Effect effect) {
  broken_ = true;
  const std::string why = OneLine(PQerrorMessage(connection_.get()));
  const std::string message = std::string(what) + (why.empty() ? "" : ": '" + why + "'");
  return effect == Effect::kRead ? RetryLater(message) : UnknownOutcome(message, "look again before trying again");
}

Task<Result<Answer>> Connection::Receive(Effect effect, Deadline deadline) {
  PGconn* connection = connection_.get();
  broken_ = true;  // until the answer is whole, also when this coroutine is destroyed at a wait
  for (int unsent = PQflush(connection); unsent != 0; unsent = PQflush(connection)) {
    if (unsent < 0) co_return Lost("postgresql did not take the question", effect);
    const bool ready = co_await WaitForSocket(Socket::wait_write, deadline);
    if (!ready) co_return Lost("postgresql did not take the question in time", effect);
  }
  std::optional<Answer> last;
  std::optional<Error> error;
  while (true) {
    while (PQisBusy(connection) != 0) {
      const bool ready = co_await WaitForSocket(Socket::wait_read, deadline);
      if (!ready) co_return Lost("postgresql did not answer in time", effect);
      if (PQconsumeInput(connection) == 0) co_return Lost("the connection to postgresql broke", effect);
    }
    PGresult* result = PQgetResult(connection);
    if (result == nullptr) break;
    const ExecStatusType status = PQresultStatus(result);
    last.emplace(result);
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) continue;
    error = ServerError(result);
  }
  if (PQstatus(connection) == CONNECTION_BAD) co_return Lost("the connection to postgresql broke", effect);
  broken_ = false;
  if (error) co_return *error;
  if (!last) co_return Lost("postgresql gave no answer", effect);
  co_return std::move(*last);
}

Task<Result<Answer>> Connection::Ask(std::string sql, std::vector<std::optional<std::string>> parameters, Effect effect,
                                     Deadline deadline) {
  std::vector<const char*> values;
  values.reserve(parameters.size());
  for (const auto& parameter : parameters) values.push_back(parameter ? parameter->c_str() : nullptr);
  const int sent = PQsendQueryParams(connection_.get(), sql.c_str(), static_cast<int>(values.size()), nullptr, values.data(),
                                     nullptr, nullptr, 0);
  // Not sent: nothing can have happened.
  if (sent == 0) co_return Lost("postgresql could not be asked", Effect::kRead);
  co_return co_await Receive(effect, deadline);
}

Task<Result<Answer>> Connection::AskPrepared(const char* sql, Deadline deadline) {
  const std::string name = "s" + std::to_string(reinterpret_cast<std::uintptr_t>(sql));
  if (!prepared_.contains(sql)) {
    if (PQsendPrepare(connection_.get(), name.c_str(), sql, 0, nullptr) == 0) {
      co_return Lost("postgresql could not be asked", Effect::kRead);
    }
    Result<Answer> prepared = co_await Receive(Effect::kRead, deadline);
    if (!prepared) co_return prepared.error();
    prepared_.insert(sql);
  }
  if (PQsendQueryPrepared(connection_.get(), name.c_str(), 0, nullptr, nullptr, nullptr, 0) == 0) {
    co_return Lost("postgresql could not be asked", Effect::kRead);
  }
  co_return co_await Receive(Effect::kRead, deadline);
}

bool Connection::IsUsable() {
  if (broken_ || PQstatus(connection_.get()) != CONNECTION_OK) return false;
  // A server that has gone has closed its end: the read shows it. Nothing to read is no error.
  if (PQconsumeInput(connection_.get()) == 0 || PQstatus(connection_.get()) != CONNECTION_OK) broken_ = true;
  return !broken_ && PQtransactionStatus(connection_.get()) == PQTRANS_IDLE;
}

std::string Connection::Protection() const {
  const char* protocol = PQsslInUse(connection_.get()) != 0 ? PQsslAttribute(connection_.get(), "protocol") : nullptr;
  return protocol != nullptr ? protocol : "readable";
}

std::string Connection::Identifier(std::string_view name) const {
  char* quoted = PQescapeIdentifier(connection_.get(), name.data(), name.size());
  std::string text = quoted != nullptr ? quoted : "";
  PQfreemem(quoted);
  return text;
}

}  // namespace lifeboat::postgres
