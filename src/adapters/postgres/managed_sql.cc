#include "adapters/postgres/managed_sql.h"

#include <charconv>

namespace lifeboat::postgres {

namespace {

constexpr const char* kGrants =
    "let the role make it (GRANT CREATE ON DATABASE), or make it by hand: docs/aws.md, \"SQL\", has the statements";

constexpr const char* kSchema[] = {
    "CREATE SCHEMA IF NOT EXISTS lifeboat",
    "CREATE TABLE IF NOT EXISTS lifeboat.beat (region text PRIMARY KEY, sequence bigint NOT NULL, epoch bigint NOT NULL,"
    " at timestamptz NOT NULL, position text NOT NULL)",
    "CREATE TABLE IF NOT EXISTS lifeboat.canary (region text PRIMARY KEY, sequence bigint NOT NULL, epoch bigint NOT NULL,"
    " at timestamptz NOT NULL)"};

#define LIFEBOAT_BEAT_COLUMNS "region, sequence, epoch, (extract(epoch FROM at) * 1000000)::bigint, position"

constexpr const char* kRead = "SELECT " LIFEBOAT_BEAT_COLUMNS " FROM lifeboat.beat ORDER BY region";

// SAFETY: the time is taken before the row is committed: whoever shows the row has all that was committed before that time.
// SAFETY: a beat of an agent that lags behind an epoch does not overwrite one of a later epoch.
std::string BeatText(const std::string& position) {
  return "INSERT INTO lifeboat.beat AS b (region, sequence, epoch, at, position) VALUES ($1, 1, $2::bigint, clock_timestamp(), " +
         position +
         ") ON CONFLICT (region) DO UPDATE SET sequence = b.sequence + 1, epoch = excluded.epoch, at = excluded.at,"
         " position = excluded.position WHERE b.epoch <= excluded.epoch RETURNING " LIFEBOAT_BEAT_COLUMNS;
}

/// Instances of one cluster, whose clocks AWS keeps, may differ by so much.
constexpr std::chrono::milliseconds kClocksApart{1000};
constexpr const char* kLags =
    "SELECT aws_region, rpo_lag_in_msec::bigint, durability_lag_in_msec::bigint,"
    " (extract(epoch FROM clock_timestamp() - last_lag_calculation_time) * 1000)::bigint"
    " FROM pg_catalog.aurora_global_db_status()";

std::optional<std::int64_t> NumberIn(std::string_view text) {
  std::int64_t number = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), number);
  if (end.ec != std::errc() || end.ptr != text.data() + text.size()) return std::nullopt;
  return number;
}

Result<Heartbeat> BeatIn(const Answer& answer, int row) {
  const auto sequence = NumberIn(answer.Text(row, 1));
  const auto epoch = NumberIn(answer.Text(row, 2));
  const auto micros = NumberIn(answer.Text(row, 3));
  if (!sequence || !epoch || !micros || *sequence < 1 || *epoch < 0)
    return Fail("a row of lifeboat.beat cannot be read", "look at the table: only Lifeboat writes there");
  return Heartbeat{RegionName(std::string(answer.Text(row, 0))),
                   static_cast<std::uint64_t>(*sequence),
                   {static_cast<std::uint64_t>(*epoch)},
                   {*micros * 1000},
                   std::string(answer.Text(row, 4))};
}

std::optional<Duration> LagIn(const Answer& answer, int row, int column) {
  const auto millis = NumberIn(answer.Text(row, column));
  if (!millis || *millis < 0) return std::nullopt;  // -1 marks the writer's own row; NULL is unknown
  return std::chrono::milliseconds(*millis);
}

/// What an operator can do about a connection that does not come about.
Error WithHint(Error error, const std::string& endpoint) {
  error.message = "'" + endpoint + "': " + error.message;
  // "SSL SYSCALL error: EOF" is how a server that dies says good-bye: no word about who signed what.
  if (error.message.find("certificate") != std::string::npos || error.message.find("does not support SSL") != std::string::npos) {
    error.retry = Retry::kFail;
    error.hint =
        "aws.sql.root_cert must hold those who signed the server's certificate, and the endpoint be the name that it is made out "
        "to";
  } else if (error.retry == Retry::kFail && error.message.find("refused the login") != std::string::npos) {
    error.hint = "look at aws.sql.user and aws.sql.database, and at the password file's line for this host";
  } else if (error.message.find("(42501)") != std::string::npos) {
    error.hint = kGrants;
  }
  return error;
}

std::string TextOf(const SqlEndpoint& endpoint) { return endpoint.host + ":" + std::to_string(endpoint.port); }

const char* ModeOf(SqlTls tls) {
  switch (tls) {
    case SqlTls::kVerifyFull: return "verify-full";
    case SqlTls::kVerifyCa: return "verify-ca";
    case SqlTls::kRequire: return "require";
    case SqlTls::kDisable: return "disable";
  }
  return "verify-full";
}

/// Names are the same whatever their case, and with or without the final dot.
bool SameName(std::string one, std::string two) {
  for (std::string* name : {&one, &two}) {
    while (!name->empty() && name->back() == '.') name->pop_back();
    for (char& c : *name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return one == two;
}

Error NotWeighed(Error error) {
  error.not_weighed = true;
  error.retry = Retry::kRetry;
  return error;
}

/// Frees what one call at a time may use, however the call ends.
struct Use {
  explicit Use(bool& flag) : busy(flag) { busy = true; }
  ~Use() { busy = false; }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;
  bool& busy;
};

}  // namespace

Conninfo ManagedConninfo(const AwsSqlSettings& settings, const SqlEndpoint& endpoint, const std::string& address,
                         const std::string& name) {
  // `host` is what the certificate and the password file are asked for; `hostaddr` is where it connects, so that libpq resolves
  // nothing.
  Conninfo conninfo = {{"host", endpoint.host},
                       {"hostaddr", address},
                       {"port", std::to_string(endpoint.port)},
                       {"user", settings.user},
                       {"dbname", settings.database},
                       {"sslmode", ModeOf(settings.tls)},
                       {"gssencmode", "disable"},
                       {"application_name", name},
                       {"tcp_user_timeout", "3000"},
                       {"options", "-c search_path=pg_catalog -c datestyle=ISO -c statement_timeout=5s -c lock_timeout=2s"}};
  if (!settings.root_cert.empty()) conninfo.emplace_back("sslrootcert", settings.root_cert);
  if (settings.password_file) conninfo.emplace_back("passfile", *settings.password_file);
  return conninfo;
}

// ---- heartbeats and lags ----

struct PostgresManagedSql::Line {
  SqlEndpoint endpoint;
  std::unique_ptr<Connection> connection;
  std::string protection;
  bool busy = false;
  // Known of the connection that is open:
  bool schema_stands = false;
  std::optional<bool> tells_position;  ///< Aurora has no pg_current_wal_insert_lsn()
  std::optional<bool> tells_lag;
};

PostgresManagedSql::PostgresManagedSql(boost::asio::any_io_executor executor, RegionName self, AwsSqlSettings settings,
                                       HostResolver& resolver)
    : executor_(std::move(executor)), self_(std::move(self)), settings_(std::move(settings)), resolver_(resolver) {}

PostgresManagedSql::~PostgresManagedSql() = default;

Result<PostgresManagedSql::Line*> PostgresManagedSql::LineTo(const RegionName& region, SqlEnd end) {
  const auto& endpoints = end == SqlEnd::kWriter ? settings_.writers : settings_.readers;
  const auto endpoint = endpoints.find(region);
  if (endpoint == endpoints.end()) return Fail("no SQL endpoint of '" + region.text + "' is configured");
  auto& line = lines_[{region, end}];
  if (!line) line = std::make_unique<Line>();
  line->endpoint = endpoint->second;
  if (line->busy) return NotWeighed(RetryLater("'" + TextOf(line->endpoint) + "' is being asked already"));
  return line.get();
}

Task<Result<Unit>> PostgresManagedSql::Open(Line& line, Deadline deadline) {
  if (line.connection && line.connection->IsUsable()) co_return Done();
  line.connection.reset();
  line.schema_stands = false;
  line.tells_position.reset();
  line.tells_lag.reset();
  auto address = co_await resolver_.Resolve(line.endpoint.host, deadline);
  if (!address.ok()) co_return address.error();
  Conninfo conninfo = ManagedConninfo(settings_, line.endpoint, *address, "lifeboat agent of " + self_.text);
  auto opened = co_await Connection::Open(executor_, std::move(conninfo), deadline);
  if (!opened.ok()) co_return WithHint(opened.error(), TextOf(line.endpoint));
  line.connection = std::move(*opened);
  line.protection = line.connection->Protection();
  co_return Done();
}

/// One statement. Whatever goes wrong, the connection is given up.
Task<Result<Answer>> PostgresManagedSql::Ask(Line& line, std::string sql, std::vector<std::optional<std::string>> parameters,
                                             Effect effect, Deadline deadline) {
  auto answer = co_await line.connection->Ask(std::move(sql), std::move(parameters), effect, deadline);
  if (answer.ok()) co_return answer;
  line.connection.reset();
  co_return WithHint(answer.error(), TextOf(line.endpoint));
}

/// Once a connection: that the tables are there, and what this server can tell of its position.
Task<Result<Unit>> PostgresManagedSql::Prepare(Line& line, Deadline deadline) {
  std::vector<std::optional<std::string>> none;
  if (!line.schema_stands) {
    auto there =
        co_await Ask(line,
                     "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'lifeboat'"
                     " AND c.relname IN ('beat', 'canary') AND c.relkind IN ('r', 'p')",
                     none, Effect::kRead, deadline);
    if (!there.ok()) co_return there.error();
    if (there->Text(0, 0) != "2") {
      for (const char* statement : kSchema) {
        std::vector<std::optional<std::string>> nothing;
        auto made = co_await Ask(line, statement, std::move(nothing), Effect::kChange, deadline);
        if (!made.ok()) co_return made.error().Within("the schema 'lifeboat' could not be made");
      }
    }
    line.schema_stands = true;
  }
  if (!line.tells_position) {
    // Asked past Ask: a refusal is an answer here.
    std::vector<std::optional<std::string>> nothing;
    auto position =
        co_await line.connection->Ask("SELECT pg_current_wal_insert_lsn()", std::move(nothing), Effect::kRead, deadline);
    line.tells_position = position.ok();
    if (!line.connection->IsUsable()) {
      const Error problem = position.ok() ? RetryLater("the connection broke") : position.error();
      line.connection.reset();
      co_return problem;
    }
  }
  co_return Done();
}

Task<Result<Heartbeat>> PostgresManagedSql::Beat(Epoch epoch, Duration timeout) {
  const Deadline deadline(timeout);
  auto found = LineTo(self_, SqlEnd::kWriter);
  if (!found.ok()) co_return found.error();
  Line& line = **found;
  const Use use(line.busy);
  auto open = co_await Open(line, deadline);
  if (!open.ok()) co_return open.error();
  auto ready = co_await Prepare(line, deadline);
  if (!ready.ok()) co_return ready.error();
  std::vector<std::optional<std::string>> parameters;
  parameters.emplace_back(self_.text);
  parameters.emplace_back(std::to_string(epoch.number));
  const std::string sql = BeatText(*line.tells_position ? "pg_current_wal_insert_lsn()::text" : "''");
  auto answer = co_await Ask(line, sql, std::move(parameters), Effect::kChange, deadline);
  if (!answer.ok()) co_return answer.error();
  if (answer->rows() == 0)
    co_return Refused("a heartbeat of a later epoch than " + std::to_string(epoch.number) + " stands in '" + TextOf(line.endpoint) +
                      "'");
  co_return BeatIn(*answer, 0);
}

Task<Result<std::vector<Heartbeat>>> PostgresManagedSql::ReadBeats(RegionName region, SqlEnd end, Duration timeout) {
  const Deadline deadline(timeout);
  auto found = LineTo(region, end);
  if (!found.ok()) co_return found.error();
  Line& line = **found;
  const Use use(line.busy);
  auto open = co_await Open(line, deadline);
  if (!open.ok()) co_return open.error();
  std::vector<std::optional<std::string>> none;
  auto answer = co_await Ask(line, kRead, std::move(none), Effect::kRead, deadline);
  if (!answer.ok()) co_return answer.error();
  std::vector<Heartbeat> beats;
  for (int row = 0; row < answer->rows(); ++row) {
    auto beat = BeatIn(*answer, row);
    if (!beat.ok()) co_return beat.error();
    beats.push_back(*std::move(beat));
  }
  co_return beats;
}

Task<Result<std::vector<SqlLag>>> PostgresManagedSql::GlobalLags(SqlEnd end, Duration timeout) {
  const Deadline deadline(timeout);
  auto found = LineTo(self_, end);
  if (!found.ok()) co_return found.error();
  Line& line = **found;
  const Use use(line.busy);
  auto open = co_await Open(line, deadline);
  if (!open.ok()) co_return open.error();
  if (!line.tells_lag) {
    std::vector<std::optional<std::string>> none;
    auto there = co_await Ask(line, "SELECT to_regprocedure('pg_catalog.aurora_global_db_status()') IS NOT NULL", std::move(none),
                              Effect::kRead, deadline);
    if (!there.ok()) co_return there.error();
    line.tells_lag = there->IsTrue(0, 0);
  }
  if (!*line.tells_lag) co_return NotFound("the database has no aurora_global_db_status()");
  std::vector<std::optional<std::string>> none;
  auto answer = co_await Ask(line, kLags, std::move(none), Effect::kRead, deadline);
  if (!answer.ok()) co_return answer.error();
  std::vector<SqlLag> lags;
  for (int row = 0; row < answer->rows(); ++row) {
    SqlLag lag{RegionName(std::string(answer->Text(row, 0))), LagIn(*answer, row, 1), LagIn(*answer, row, 2), Duration{0}};
    const auto age = NumberIn(answer->Text(row, 3));
    // SAFETY: a lag that nobody knows the age of, or that was reckoned in the future, may be hours old.
    if (!age || *age < -kClocksApart.count() || (!lag.rpo && !lag.durability)) continue;
    lag.age = std::chrono::milliseconds(std::max<std::int64_t>(*age, 0));
    lags.push_back(std::move(lag));
  }
  co_return lags;
}

std::string PostgresManagedSql::Protection(SqlEnd end) const {
  const auto found = lines_.find({self_, end});
  return found == lines_.end() ? std::string() : found->second->protection;
}

// ---- the canary ----

ManagedCanary::ManagedCanary(boost::asio::any_io_executor executor, RegionName self, AwsSqlSettings settings,
                             const std::optional<AwsTrafficSettings>& traffic, Lookup look_up, HostResolver& resolver)
    : executor_(std::move(executor)),
      self_(std::move(self)),
      settings_(std::move(settings)),
      traffic_(traffic),
      look_up_(std::move(look_up)),
      resolver_(resolver) {}

Task<Result<std::string>> ManagedCanary::Write(Duration timeout) {
  if (busy_) co_return NotWeighed(RetryLater("the canary is writing already"));
  const Use use(busy_);
  const Deadline deadline(timeout);
  auto written = co_await WriteOnce(deadline);
  if (!written.ok()) connection_.reset();
  co_return written;
}

Task<Result<ManagedCanary::Place>> ManagedCanary::Find(Deadline deadline) {
  if (traffic_) co_return co_await FindByName(deadline);
  co_return co_await FindByEndpoint(deadline);
}

Task<Result<ManagedCanary::Place>> ManagedCanary::FindByName(Deadline deadline) {
  auto answered = co_await look_up_(deadline.Left() / 2);
  if (!answered.ok()) co_return NotWeighed(answered.error());
  for (const auto& [region, target] : traffic_->targets) {
    const auto writer = settings_.writers.find(region);
    if (!SameName(target, *answered) || writer == settings_.writers.end()) continue;
    Place place{target, writer->second, std::string()};
    if (settings_.port) place.endpoint.port = *settings_.port;
    if (traffic_->type != "CNAME") {
      // An address: the certificate is the writer's, and so must be who answers there.
      place.address = target;
      co_return place;
    }
    if (!SameName(target, place.endpoint.host)) place.endpoint.host = target;
    while (!place.endpoint.host.empty() && place.endpoint.host.back() == '.') place.endpoint.host.pop_back();
    auto address = co_await resolver_.Resolve(place.endpoint.host, deadline);
    if (!address.ok()) co_return NotWeighed(address.error());
    place.address = *address;
    co_return place;
  }
  co_return NotWeighed(RetryLater("the name leads to '" + *answered + "', which is no region's target"));
}

/// Where no name is kept: the cloud's own endpoint has the address of one of the writer endpoints, and that says where it leads.
Task<Result<ManagedCanary::Place>> ManagedCanary::FindByEndpoint(Deadline deadline) {
  Place place{std::string(), *settings_.global_endpoint, std::string()};
  auto address = co_await resolver_.Resolve(place.endpoint.host, deadline);
  if (!address.ok()) co_return NotWeighed(address.error());
  place.address = *address;
  for (const auto& [region, writer] : settings_.writers) {
    auto its = co_await resolver_.Resolve(writer.host, deadline);
    if (!its.ok() || *its != place.address) continue;
    place.target = writer.host;
    co_return place;
  }
  co_return NotWeighed(
      RetryLater("'" + place.endpoint.host + "' leads to " + place.address + ", which is no region's writer endpoint"));
}

Task<Result<std::string>> ManagedCanary::WriteOnce(Deadline deadline) {
  auto place = co_await Find(deadline);
  if (!place.ok()) co_return place.error();
  const std::string where = place->address + " " + TextOf(place->endpoint);
  if (connection_ && (connected_to_ != where || !connection_->IsUsable())) connection_.reset();
  if (!connection_) {
    Conninfo conninfo = ManagedConninfo(settings_, place->endpoint, place->address, "lifeboat canary of " + self_.text);
    auto opened = co_await Connection::Open(executor_, std::move(conninfo), deadline);
    if (!opened.ok()) {
      const Error why = WithHint(opened.error(), TextOf(place->endpoint));
      co_return RetryLater(why.message, why.hint);
    }
    connection_ = std::move(*opened);
    connected_to_ = where;
  }
  std::vector<std::optional<std::string>> parameters;
  parameters.emplace_back(self_.text);
  auto written = co_await connection_->Ask(
      "INSERT INTO lifeboat.canary AS c (region, sequence, epoch, at) VALUES ($1, 1, 0, clock_timestamp()) "
      "ON CONFLICT (region) DO UPDATE SET sequence = c.sequence + 1, at = clock_timestamp() RETURNING sequence",
      std::move(parameters), Effect::kChange, deadline);
  if (!written.ok()) {
    const Error why = WithHint(written.error(), TextOf(place->endpoint));
    co_return RetryLater(why.message, why.hint);
  }
  std::vector<std::optional<std::string>> question;
  question.emplace_back(self_.text);
  question.emplace_back(std::string(written->Text(0, 0)));
  auto read = co_await connection_->Ask("SELECT 1 FROM lifeboat.canary WHERE region = $1 AND sequence >= $2::bigint",
                                        std::move(question), Effect::kRead, deadline);
  if (!read.ok()) co_return RetryLater(read.error().message, read.error().hint);
  if (read->rows() != 1) co_return RetryLater("the row that was written to '" + TextOf(place->endpoint) + "' is not there");
  co_return place->target;
}

}  // namespace lifeboat::postgres
