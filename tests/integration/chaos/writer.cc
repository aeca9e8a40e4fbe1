#include "integration/chaos/writer.h"

#include <poll.h>

#include <algorithm>
#include <cstring>

#include "lab/client.h"
#include "lab/resolve.h"

namespace lifeboat::chaos {

namespace {

constexpr Duration kPatience = 1500ms;  // for one answer
constexpr Duration kResolveTimeout = 200ms;
constexpr Duration kPause = 20ms;  // between two tries to connect
// The name of a WAL file begins with the timeline that is written now. @source PostgreSQL manual, pg_walfile_name
constexpr const char* kWrite =
    "INSERT INTO chaos_rows VALUES ($1, $2) "
    "RETURNING (pg_current_xact_id()::text::numeric % 4294967296)::text, substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, "
    "8)";

std::string RegionAt(const lab::LabInfo& lab, const std::string& address) {
  for (const lab::LabRegion& region : lab.regions) {
    if (region.address == address) return region.name.text;
  }
  return address;
}

// A server says 25006 before it commits anything: a standby, or a closed gate. Whatever else it says may come too late to tell.
Fate FateOf(const PGresult* answer) {
  const char* state = PQresultErrorField(answer, PG_DIAG_SQLSTATE);
  return state != nullptr && std::strcmp(state, "25006") == 0 ? Fate::kRefused : Fate::kInDoubt;
}

}  // namespace

Writer::Writer(const lab::LabInfo& lab, int number, std::string beside, Duration interval)
    : lab_(lab), number_(number), beside_(std::move(beside)), interval_(interval) {}

Writer::~Writer() { Stop(); }

void Writer::Start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

void Writer::Stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

std::vector<Row> Writer::Rows() const {
  const std::lock_guard lock(mutex_);
  return rows_;
}

std::uint64_t Writer::Acknowledged() const {
  const std::lock_guard lock(mutex_);
  return acknowledged_;
}

lab::Connection Writer::Connect(std::string& region) const {
  std::string conninfo;
  if (beside_.empty()) {
    const auto resolved = lab::ResolveAt(lab_.dns, lab::kDnsName, kResolveTimeout);
    if (!resolved) return nullptr;
    region = RegionAt(lab_, resolved->address);
    if (lab_.Find(region) == nullptr) return nullptr;
    conninfo = lab_.Conninfo(region, lab::kClientUser);
  } else {
    region = beside_;
    conninfo = "host=" + lab::QuoteConninfo((lab_.FolderOf(region) / "socket").string()) +
               " port=" + std::to_string(lab_.postgres_port) + " user=postgres dbname=" + lab::kDatabase + " connect_timeout=2";
  }
  auto connected = lab::ConnectTo(conninfo);
  if (!connected) return nullptr;
  PQsetNoticeProcessor(
      connected->get(), [](void*, const char*) {}, nullptr);
  return std::move(connected).value();
}

void Writer::Run(const std::stop_token& stop) {
  lab::Connection connection;
  std::string region;
  std::int64_t next_ns = lab::MonotonicNs();
  while (!stop.stop_requested()) {
    if (!connection) connection = Connect(region);
    if (!connection) {
      std::this_thread::sleep_for(kPause);
      continue;
    }
    bool broken = false;
    const Row row = Write(connection, region, stop, broken);
    {
      const std::lock_guard lock(mutex_);
      rows_.push_back(row);
      acknowledged_ += row.fate == Fate::kAcknowledged ? 1 : 0;
    }
    if (broken || (beside_.empty() && row.fate != Fate::kAcknowledged)) connection.reset();  // whoever follows the name asks again
    next_ns = std::max(next_ns + interval_.count(), lab::MonotonicNs());
    std::this_thread::sleep_for(Duration(next_ns - lab::MonotonicNs()));
  }
}

Row Writer::Write(const lab::Connection& connection, const std::string& region, const std::stop_token& stop, bool& broken) {
  Row row;
  row.writer = number_;
  row.n = next_n_++;
  row.region = region;
  row.sent_ns = lab::MonotonicNs();
  const std::string writer = std::to_string(number_);
  const std::string number = std::to_string(row.n);
  const char* values[] = {writer.c_str(), number.c_str()};
  broken = PQsendQueryParams(connection.get(), kWrite, 2, nullptr, values, nullptr, nullptr, 0) != 1;
  while (!broken && PQisBusy(connection.get()) != 0) {
    pollfd wait{PQsocket(connection.get()), POLLIN, 0};
    const int ready = ::poll(&wait, 1, 50);
    broken = (ready > 0 && PQconsumeInput(connection.get()) != 1) || stop.stop_requested() ||
             lab::MonotonicNs() - row.sent_ns > kPatience.count();
  }
  if (!broken) {
    const lab::Answer answer(PQgetResult(connection.get()));
    const bool good = PQresultStatus(answer.get()) == PGRES_TUPLES_OK && PQntuples(answer.get()) == 1;
    row.fate = good ? Fate::kAcknowledged : FateOf(answer.get());
    // The last word counts: the server says that the INSERT is complete before it commits, and a refusal of the commit comes after
    // it.
    while (const lab::Answer rest{PQgetResult(connection.get())}) row.fate = FateOf(rest.get());
    broken = PQstatus(connection.get()) != CONNECTION_OK;
    if (broken) row.fate = Fate::kInDoubt;
    if (good && row.fate == Fate::kAcknowledged) {
      row.xid = static_cast<std::uint32_t>(std::strtoul(PQgetvalue(answer.get(), 0, 0), nullptr, 10));
      row.timeline = static_cast<std::uint32_t>(std::strtoul(PQgetvalue(answer.get(), 0, 1), nullptr, 16));
    }
  }
  row.ended_ns = lab::MonotonicNs();
  row.ended_wall_ns = ReadWallClock().ns;
  return row;
}

}  // namespace lifeboat::chaos
