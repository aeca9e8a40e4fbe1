#include "adapters/postgres/postgres_canary.h"

namespace lifeboat::postgres {

PostgresCanary::PostgresCanary(boost::asio::any_io_executor executor, RegionName self, LoginSettings login,
                               std::map<std::string, std::uint16_t> ports, Resolver resolve)
    : executor_(std::move(executor)),
      self_(std::move(self)),
      login_(std::move(login)),
      ports_(std::move(ports)),
      resolve_(std::move(resolve)) {}

Task<Result<std::string>> PostgresCanary::Write(Duration timeout) {
  // The loop and an execution's verification may both want to write: the second looks again in a moment.
  if (busy_) co_return RetryLater("the canary is writing already");
  busy_ = true;
  auto written = co_await WriteOnce(timeout);
  busy_ = false;
  if (!written.ok()) connection_.reset();
  co_return written;
}

Task<Result<std::string>> PostgresCanary::WriteOnce(Duration timeout) {
  const Deadline deadline(timeout);
  auto address = co_await resolve_(timeout / 2);
  if (!address.ok()) co_return RetryLater(address.error().message, address.error().hint);
  if (connection_ && (connected_to_ != *address || !connection_->IsUsable())) connection_.reset();
  if (!connection_) {
    const auto port = ports_.find(*address);
    if (port == ports_.end())
      co_return RetryLater("the service's name points to '" + *address + "', which is no database of this service");
    Conninfo conninfo;
    conninfo.emplace_back("hostaddr", *address);
    conninfo.emplace_back("port", std::to_string(port->second));
    conninfo.emplace_back("user", login_.canary_user);
    conninfo.emplace_back("dbname", login_.database);
    conninfo.emplace_back("application_name", "lifeboat canary of " + self_.text);
    conninfo.emplace_back("tcp_user_timeout", "1000");
    if (login_.password_file) conninfo.emplace_back("passfile", *login_.password_file);
    auto opened = co_await Connection::Open(executor_, std::move(conninfo), deadline);
    if (!opened.ok()) co_return RetryLater(opened.error().message, opened.error().hint);
    connection_ = std::move(*opened);
    connected_to_ = *address;
  }
  std::vector<std::optional<std::string>> parameters;
  parameters.emplace_back(self_.text);
  auto answer = co_await connection_->Ask(
      "INSERT INTO lifeboat.canary AS c (region, sequence, epoch, at) VALUES ($1, 1, 0, clock_timestamp()) "
      "ON CONFLICT (region) DO UPDATE SET sequence = c.sequence + 1, at = clock_timestamp()",
      std::move(parameters), Effect::kChange, deadline);
  if (!answer.ok()) co_return RetryLater(answer.error().message, answer.error().hint);
  co_return connected_to_;
}

}  // namespace lifeboat::postgres
