#include "lab/sql.h"

namespace lifeboat::lab {

std::string OneLine(const char* message) {
  std::string text = message == nullptr ? "" : message;
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  std::erase(text, '\t');
  for (std::size_t at; (at = text.find('\n')) != std::string::npos;) text.replace(at, 1, "; ");
  return text;
}

std::string QuoteConninfo(const std::string& value) {
  std::string quoted = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "'";
}

Result<Connection> ConnectTo(const std::string& conninfo) {
  Connection connection(PQconnectdb(conninfo.c_str()));
  if (PQstatus(connection.get()) != CONNECTION_OK) {
    return RetryLater("cannot connect: " + OneLine(PQerrorMessage(connection.get())));
  }
  return connection;
}

Result<Rows> Query(const Connection& connection, const std::string& sql, const std::vector<std::string>& parameters) {
  std::vector<const char*> values;
  values.reserve(parameters.size());
  for (const std::string& parameter : parameters) values.push_back(parameter.c_str());
  const Answer answer(parameters.empty() ? PQexec(connection.get(), sql.c_str())
                                         : PQexecParams(connection.get(), sql.c_str(), static_cast<int>(values.size()), nullptr,
                                                        values.data(), nullptr, nullptr, 0));
  const ExecStatusType status = PQresultStatus(answer.get());
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
    const std::string words = "query failed: " + OneLine(PQerrorMessage(connection.get()));
    return PQstatus(connection.get()) == CONNECTION_OK ? Fail(words) : RetryLater(words);
  }
  Rows rows;
  for (int row = 0; row < PQntuples(answer.get()); ++row) {
    std::vector<std::string> columns;
    for (int column = 0; column < PQnfields(answer.get()); ++column) columns.emplace_back(PQgetvalue(answer.get(), row, column));
    rows.push_back(std::move(columns));
  }
  return rows;
}

}  // namespace lifeboat::lab
