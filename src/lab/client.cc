#include "lab/client.h"

#include <poll.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <unordered_set>

#include "lab/resolve.h"

namespace lifeboat::lab {

namespace {

constexpr Duration kPause = 20ms;            // between two tries to connect, as the peers' client pauses
constexpr Duration kConnectTimeout = 500ms;  // of one try of fresh and ttl
constexpr Duration kResolveTimeout = 200ms;
constexpr Duration kAnswerTimeout = 1s;  // of one row of fresh and ttl
constexpr int kStopLookMs = 100;         // how often a waiting client looks whether it should stop

void SleepUntil(std::int64_t ns) {
  timespec at{ns / 1'000'000'000, ns % 1'000'000'000};
  while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr) == EINTR) {
  }
}

void Pause() { SleepUntil(MonotonicNs() + kPause.count()); }

// Waits for `events` on the connection's socket. True once it is ready; false on time-out or stop.
bool WaitForSocket(const Connection& connection, short events, std::int64_t deadline_ns, const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const std::int64_t left_ms = (deadline_ns - MonotonicNs()) / 1'000'000;
    if (left_ms <= 0) return false;
    pollfd wait{PQsocket(connection.get()), events, 0};
    if (::poll(&wait, 1, static_cast<int>(std::min<std::int64_t>(left_ms, kStopLookMs))) > 0) return true;
  }
  return false;
}

// A refusal is the server's own ERROR over a connection that still stands. Everything else (FATAL, a lost connection)
// leaves open whether the row was committed.
RowFate FateOfError(const PGconn* connection, const PGresult* answer) {
  const char* severity = PQresultErrorField(answer, PG_DIAG_SEVERITY_NONLOCALIZED);
  const bool refused = PQstatus(connection) == CONNECTION_OK && severity != nullptr && std::strcmp(severity, "ERROR") == 0;
  return refused ? RowFate::kRefused : RowFate::kInDoubt;
}

}  // namespace

std::int64_t MonotonicNs() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

const char* ToString(ClientMode mode) {
  switch (mode) {
    case ClientMode::kFresh: return "fresh";
    case ClientMode::kTtl: return "ttl";
    case ClientMode::kMultihost: return "multihost";
  }
  return "fresh";
}

// ---- the record ----

std::uint64_t ClientRecord::Count(RowFate fate) const {
  return static_cast<std::uint64_t>(std::count_if(rows.begin(), rows.end(), [fate](const ClientRow& r) { return r.fate == fate; }));
}

namespace {
ClientOutage Between(const ClientRecord& record, const ClientRow& before, const ClientRow& after) {
  return {before.ended_ns,
          after.ended_ns,
          before.wall_ns,
          after.wall_ns,
          record.servers.at(before.server),
          record.servers.at(after.server)};
}
}  // namespace

std::vector<ClientOutage> ClientRecord::Outages(Duration least) const {
  std::vector<ClientOutage> outages;
  const ClientRow* before = nullptr;
  for (const ClientRow& row : rows) {
    if (row.fate != RowFate::kAcknowledged) continue;
    if (before != nullptr && row.ended_ns - before->ended_ns >= least.count()) outages.push_back(Between(*this, *before, row));
    before = &row;
  }
  return outages;
}

std::optional<ClientOutage> ClientRecord::FirstMove(std::int64_t since_ns) const {
  const ClientRow* before = nullptr;
  for (const ClientRow& row : rows) {
    if (row.fate != RowFate::kAcknowledged) continue;
    if (before != nullptr && row.ended_ns >= since_ns && row.server != before->server) return Between(*this, *before, row);
    before = &row;
  }
  return std::nullopt;
}

std::optional<ClientOutage> ClientRecord::LongestGap(std::int64_t since_ns) const {
  std::optional<ClientOutage> longest;
  for (const ClientOutage& gap : Outages(0ns)) {
    if (gap.to_ns >= since_ns && (!longest || gap.Length() > longest->Length())) longest = gap;
  }
  return longest;
}

// ---- the client ----

Client::Client(ClientOptions options) : options_(std::move(options)), pad_(64, 'x') {}

Client::~Client() {
  Stop();
  if (file_ != nullptr) std::fclose(file_);
}

Result<Unit> Client::Start() {
  if (options_.record_file && file_ == nullptr) {
    file_ = std::fopen(options_.record_file->c_str(), "ae");
    if (file_ == nullptr) return Fail("record '" + options_.record_file->string() + "': " + std::strerror(errno));
  }
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
  return Done();
}

void Client::Stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
  const std::lock_guard lock(mutex_);
  if (file_ != nullptr) std::fflush(file_);
}

ClientRecord Client::Record() const {
  const std::lock_guard lock(mutex_);
  return {options_.number, options_.name, options_.mode, rows_, servers_};
}

std::string Client::LastProblem() const {
  const std::lock_guard lock(mutex_);
  return problem_;
}

void Client::SetProblem(std::string problem) {
  const std::lock_guard lock(mutex_);
  problem_ = std::move(problem);
}

void Client::Run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    const Connection connection = Connect(stop);
    if (connection) {
      SetProblem("");
      PQsetNoticeProcessor(
          connection.get(), [](void*, const char*) {}, nullptr);  // a server's last words are no output of ours
      WriteRows(connection, stop);
    } else {
      Pause();
    }
  }
}

Connection Client::Connect(const std::stop_token& stop) {
  return options_.mode == ClientMode::kMultihost ? ConnectMultihost() : ConnectByName(stop);
}

std::optional<std::string> Client::AddressNow() {
  if (options_.mode == ClientMode::kTtl && !cached_address_.empty() && MonotonicNs() < cached_until_ns_) return cached_address_;
  const std::int64_t asked_ns = MonotonicNs();
  const Result<ResolvedAddress> resolved = ResolveAt(options_.dns_server, options_.dns_name, kResolveTimeout);
  if (!resolved) {
    SetProblem(resolved.error().message);
    return std::nullopt;
  }
  cached_address_ = resolved->address;
  cached_until_ns_ = asked_ns + resolved->ttl.count();
  return cached_address_;
}

Connection Client::ConnectByName(const std::stop_token& stop) {
  const std::optional<std::string> address = AddressNow();
  if (!address) return nullptr;
  const std::string port = std::to_string(options_.port);
  const char* keys[] = {"hostaddr",         "port",    "user",        "dbname",
                        "passfile",         "sslmode", "gssencmode",  "application_name",
                        "tcp_user_timeout", "host",    "sslrootcert", nullptr};
  const char* values[] = {address->c_str(),
                          port.c_str(),
                          options_.user.c_str(),
                          options_.database.c_str(),
                          options_.password_file.c_str(),
                          options_.tls_root.empty() ? "disable" : "verify-full",
                          "disable",
                          options_.name.c_str(),
                          "500",
                          address->c_str(),
                          options_.tls_root.c_str(),
                          nullptr};
  Connection connection(PQconnectStartParams(keys, values, 0));
  const std::int64_t deadline_ns = MonotonicNs() + kConnectTimeout.count();
  PostgresPollingStatusType next = PGRES_POLLING_WRITING;
  while (PQstatus(connection.get()) != CONNECTION_BAD && next != PGRES_POLLING_OK && next != PGRES_POLLING_FAILED) {
    const short events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT;
    if (!WaitForSocket(connection, events, deadline_ns, stop)) {
      SetProblem("no connection to " + *address + " within " + FormatDuration(kConnectTimeout));
      return nullptr;
    }
    next = PQconnectPoll(connection.get());
  }
  if (PQstatus(connection.get()) != CONNECTION_OK) {
    SetProblem(OneLine(PQerrorMessage(connection.get())));
    return nullptr;
  }
  return connection;
}

// The very connection string of the client that the peers are measured with.
Connection Client::ConnectMultihost() {
  std::string hosts;
  std::string ports;
  for (const std::string& host : options_.hosts) {
    hosts += (hosts.empty() ? "" : ",") + host;
    ports += (ports.empty() ? "" : ",") + std::to_string(options_.port);
  }
  const std::string conninfo = "host=" + hosts + " port=" + ports + " user=" + QuoteConninfo(options_.user) +
                               " dbname=" + QuoteConninfo(options_.database) +
                               " passfile=" + QuoteConninfo(options_.password_file) +
                               " target_session_attrs=read-write connect_timeout=1 tcp_user_timeout=1000 keepalives=1"
                               " keepalives_idle=1 keepalives_interval=1 keepalives_count=2 application_name=" +
                               QuoteConninfo(options_.name);
  Result<Connection> connection = ConnectTo(conninfo);
  if (!connection) {
    SetProblem(connection.error().message);
    return nullptr;
  }
  return std::move(connection).value();
}

void Client::WriteRows(const Connection& connection, const std::stop_token& stop) {
  const char* address = PQhostaddr(connection.get());
  const std::uint16_t server = ServerIndex(address != nullptr && *address != '\0' ? address : PQhost(connection.get()));
  std::int64_t next_ns = MonotonicNs();
  while (!stop.stop_requested()) {
    ClientRow row;
    row.n = next_n_++;
    row.server = server;
    row.sent_ns = MonotonicNs();
    row.fate = WriteRow(connection, row.n, stop);
    row.ended_ns = MonotonicNs();
    row.wall_ns = ReadWallClock().ns;
    Remember(row);
    if (row.fate != RowFate::kAcknowledged) return;  // the next connect finds whoever takes writes now
    next_ns += options_.interval.count();
    const std::int64_t now_ns = MonotonicNs();
    if (next_ns > now_ns) {
      SleepUntil(next_ns);
    } else {
      next_ns = now_ns;
    }
  }
}

RowFate Client::WriteRow(const Connection& connection, std::uint64_t n, const std::stop_token& stop) {
  const std::string client = std::to_string(options_.number);
  const std::string number = std::to_string(n);
  const char* values[] = {client.c_str(), number.c_str(), pad_.c_str()};
  if (PQsendQueryParams(connection.get(), "INSERT INTO ledger_rows(client, n, pad) VALUES ($1, $2, $3)", 3, nullptr, values,
                        nullptr, nullptr, 0) != 1) {
    SetProblem(OneLine(PQerrorMessage(connection.get())));
    return RowFate::kInDoubt;
  }
  // A cut that falls between the kernel's receipt and the server's answer leaves nothing for the kernel to give up on.
  const std::int64_t deadline_ns = MonotonicNs() + kAnswerTimeout.count();
  while (PQisBusy(connection.get()) != 0) {
    pollfd wait{PQsocket(connection.get()), POLLIN, 0};
    const int ready = ::poll(&wait, 1, kStopLookMs);
    if (ready == 0 && stop.stop_requested()) return RowFate::kInDoubt;
    if (ready == 0 && options_.mode != ClientMode::kMultihost && MonotonicNs() > deadline_ns) {
      SetProblem("no answer within " + FormatDuration(kAnswerTimeout));
      return RowFate::kInDoubt;
    }
    if (ready > 0 && PQconsumeInput(connection.get()) != 1) {
      SetProblem(OneLine(PQerrorMessage(connection.get())));
      return RowFate::kInDoubt;
    }
  }
  RowFate fate = RowFate::kInDoubt;
  // The last word counts: the server says that the INSERT is complete before it commits, and a refusal of the commit comes after
  // it.
  while (const Answer answer{PQgetResult(connection.get())}) {
    if (PQresultStatus(answer.get()) == PGRES_COMMAND_OK) {
      fate = RowFate::kAcknowledged;
    } else {
      fate = FateOfError(connection.get(), answer.get());
      SetProblem(OneLine(PQresultErrorMessage(answer.get())));
    }
  }
  return fate;
}

void Client::Remember(ClientRow row) {
  const std::lock_guard lock(mutex_);
  rows_.push_back(row);
  if (file_ != nullptr) {
    constexpr const char* kLetters[] = {"A", "D", "R"};
    std::fprintf(file_, "%s\t%" PRIu64 "\t%" PRId64 "\t%" PRId64 "\t%" PRId64 "\t%s\n", kLetters[static_cast<int>(row.fate)], row.n,
                 row.sent_ns, row.ended_ns, row.wall_ns, servers_[row.server].c_str());
  }
  if (row.fate == RowFate::kAcknowledged) {
    acknowledged_.fetch_add(1);
    last_acknowledged_ns_.store(row.ended_ns);
  }
}

std::uint16_t Client::ServerIndex(const std::string& address) {
  const std::lock_guard lock(mutex_);
  const auto known = std::find(servers_.begin(), servers_.end(), address);
  if (known != servers_.end()) return static_cast<std::uint16_t>(known - servers_.begin());
  servers_.push_back(address);
  return static_cast<std::uint16_t>(servers_.size() - 1);
}

// ---- the comparison ----

Result<ClientCheck> CheckRecord(const ClientRecord& record, const std::string& conninfo) {
  const Result<Connection> connection = ConnectTo(conninfo);
  if (!connection) return connection.error();
  const Result<Rows> rows =
      Query(*connection, "SELECT n FROM ledger_rows WHERE client = $1 ORDER BY n", {std::to_string(record.client)});
  if (!rows) return rows.error();
  std::unordered_set<std::uint64_t> present;
  for (const auto& row : *rows) present.insert(std::stoull(row[0]));

  ClientCheck check;
  check.client = record.client;
  check.name = record.name;
  for (const ClientRow& row : record.rows) {
    const bool there = present.erase(row.n) > 0;
    switch (row.fate) {
      case RowFate::kAcknowledged:
        ++check.acknowledged;
        if (!there) check.missing.push_back(row);
        break;
      case RowFate::kInDoubt:
        ++check.in_doubt;
        if (there) ++check.in_doubt_present;
        break;
      case RowFate::kRefused:
        if (there) check.unexpected.push_back(row.n);
        break;
    }
  }
  check.unexpected.insert(check.unexpected.end(), present.begin(), present.end());
  std::sort(check.unexpected.begin(), check.unexpected.end());
  return check;
}

}  // namespace lifeboat::lab
