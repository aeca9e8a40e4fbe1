#include "lab/old_side.h"

#include "lab/client_group.h"
#include "lab/network.h"
#include "lab/sql.h"

namespace lifeboat::lab {

namespace {
constexpr Duration kEvery = 5ms;
constexpr Duration kPace = 20ms;
}  // namespace

PromotionWatch::PromotionWatch(const LabInfo& lab, const std::string& region) : conninfo_(lab.Conninfo(region, "postgres")) {
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

std::optional<std::int64_t> PromotionWatch::SeenNs() const {
  const std::int64_t seen = seen_ns_.load();
  return seen == 0 ? std::nullopt : std::optional(seen);
}

void PromotionWatch::Run(const std::stop_token& stop) {
  Connection connection;
  while (!stop.stop_requested() && seen_ns_.load() == 0) {
    if (!connection) {
      if (auto made = ConnectTo(conninfo_)) connection = std::move(made).value();
    }
    if (connection) {
      const auto rows = Query(connection, "SELECT pg_is_in_recovery()");
      if (!rows) connection.reset();
      if (rows && !rows->empty() && rows->front().front() == "f") seen_ns_.store(MonotonicNs());
    }
    std::this_thread::sleep_for(kEvery);
  }
}

OldSideReport JudgeOldSide(const ClientRecord& record, std::int64_t fault_ns, std::int64_t writable_ns, std::int64_t until_ns) {
  OldSideReport report;
  report.watched_s = static_cast<double>(until_ns - fault_ns) / 1e9;
  for (const ClientRow& row : record.rows) {
    if (row.fate != RowFate::kAcknowledged || row.ended_ns < fault_ns) continue;
    ++report.acknowledged;
    if (row.ended_ns > writable_ns) ++report.stale;
    report.last_acknowledged_s = static_cast<double>(row.ended_ns - fault_ns) / 1e9;
  }
  return report;
}

Result<std::unique_ptr<Client>> StartOldSide(const LabInfo& lab, const std::string& region, int number) {
  const LabRegion* where = lab.Find(region);
  if (where == nullptr) return NotFound("there is no region '" + region + "'");
  ClientOptions options = ClientOf(lab, number, ClientMode::kMultihost);
  options.name = "inside-" + std::to_string(number);
  options.hosts = {where->address};
  options.interval = kPace;
  auto client = std::make_unique<Client>(options);
  // A thread lives where the thread that made it does.
  Client* const starting = client.get();
  if (auto started = InNamespace(where->netns, [starting] { return starting->Start(); }); !started) return started.error();
  return client;
}

}  // namespace lifeboat::lab
