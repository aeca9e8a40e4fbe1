#include "support/write_probe.h"

#include <poll.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "lab/client.h"
#include "lab/sql.h"

namespace lifeboat::testing_support {

namespace {

constexpr Duration kEvery = 20ms;
constexpr Duration kPatience = 2s;  // for one answer; a server that stands still is asked again on another connection
constexpr const char* kTable = "CREATE TABLE IF NOT EXISTS write_probe(region text, sent_ns bigint)";
// The name of a WAL file begins with the timeline that is written now. @source PostgreSQL manual, pg_walfile_name
constexpr const char* kWrite =
    "INSERT INTO write_probe VALUES ($1, $2) RETURNING substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)";

std::string SocketConninfo(const lab::LabInfo& lab, const std::string& region) {
  return "host=" + lab::QuoteConninfo((lab.FolderOf(region) / "socket").string()) + " port=" + std::to_string(lab.postgres_port) +
         " user=postgres dbname=" + lab::kDatabase + " connect_timeout=2 application_name=write_probe";
}

/// The next result, or the end of them (false in `more`). @return false: the connection is of no use any more
bool NextResult(const lab::Connection& connection, const std::stop_token& stop, std::int64_t until_ns, lab::Answer& answer) {
  while (PQisBusy(connection.get()) != 0) {
    pollfd wait{PQsocket(connection.get()), POLLIN, 0};
    const int ready = ::poll(&wait, 1, 50);
    if (ready > 0 && PQconsumeInput(connection.get()) != 1) return false;
    if (stop.stop_requested() || lab::MonotonicNs() > until_ns) return false;
  }
  answer.reset(PQgetResult(connection.get()));
  return true;
}

// Nothing: not committed, or not known to be; `broken` says whether the connection is of no use any more. The row's own result
// comes before the commit: only when no error follows it has the server said that it is committed.
std::optional<ProbeCommit> TryWrite(const lab::Connection& connection, const std::string& region, const std::stop_token& stop,
                                    bool& broken) {
  ProbeCommit commit;
  commit.sent_ns = lab::MonotonicNs();
  const std::string sent = std::to_string(commit.sent_ns);
  const char* values[] = {region.c_str(), sent.c_str()};
  broken = PQsendQueryParams(connection.get(), kWrite, 2, nullptr, values, nullptr, nullptr, 0) != 1;
  bool row = false;
  bool refused = false;
  while (!broken) {
    lab::Answer answer(nullptr);
    broken = !NextResult(connection, stop, commit.sent_ns + kPatience.count(), answer);
    if (broken || !answer) break;
    if (PQresultStatus(answer.get()) != PGRES_TUPLES_OK) {
      refused = true;
    } else if (PQntuples(answer.get()) == 1) {
      row = true;
      commit.timeline = static_cast<std::uint32_t>(std::strtoul(PQgetvalue(answer.get(), 0, 0), nullptr, 16));
    }
  }
  if (broken) return std::nullopt;
  commit.ended_ns = lab::MonotonicNs();
  broken = PQstatus(connection.get()) != CONNECTION_OK;
  return row && !refused ? std::optional(commit) : std::nullopt;
}

std::string Milliseconds(std::int64_t ns) { return std::to_string(ns / 1'000'000) + " ms"; }

}  // namespace

struct WriteProbe::Server {
  std::string region;
  std::string conninfo;
  mutable std::mutex mutex;  // protects commits
  std::vector<ProbeCommit> commits;
  std::jthread thread;
};

WriteProbe::WriteProbe() = default;

WriteProbe::~WriteProbe() { Stop(); }

Result<Unit> WriteProbe::Start(const lab::LabInfo& lab, const std::string& primary) {
  const auto connection = lab::ConnectTo(SocketConninfo(lab, primary));
  if (!connection) return connection.error();
  if (const auto made = lab::Query(*connection, kTable); !made) return made.error();
  for (const lab::LabRegion& region : lab.regions) {
    if (region.kind != RegionKind::kData) continue;
    auto server = std::make_unique<Server>();
    server->region = region.name.text;
    server->conninfo = SocketConninfo(lab, region.name.text);
    Server& at = *servers_.emplace_back(std::move(server));
    at.thread = std::jthread([&at](const std::stop_token& stop) { Run(at, stop); });
  }
  return Done();
}

void WriteProbe::Run(Server& server, const std::stop_token& stop) {
  lab::Connection connection;
  for (std::int64_t next_ns = lab::MonotonicNs(); !stop.stop_requested();
       next_ns = std::max(next_ns + kEvery.count(), lab::MonotonicNs())) {
    std::this_thread::sleep_for(Duration(std::max<std::int64_t>(next_ns - lab::MonotonicNs(), 0)));
    if (!connection) {
      auto connected = lab::ConnectTo(server.conninfo);
      if (!connected) continue;
      connection = std::move(connected).value();
      PQsetNoticeProcessor(
          connection.get(), [](void*, const char*) {}, nullptr);
    }
    bool broken = false;
    const auto commit = TryWrite(connection, server.region, stop, broken);
    if (commit) {
      const std::lock_guard lock(server.mutex);
      server.commits.push_back(*commit);
    }
    if (broken) connection.reset();
  }
}

void WriteProbe::Stop() {
  for (const auto& server : servers_) server->thread.request_stop();
  for (const auto& server : servers_) {
    if (server->thread.joinable()) server->thread.join();
  }
}

std::vector<Reign> WriteProbe::Reigns() const {
  std::vector<std::vector<Reign>> all;
  for (const auto& server : servers_) {
    const std::lock_guard lock(server->mutex);
    all.push_back(ReignsOf(server->region, server->commits));
  }
  return Merge(std::move(all));
}

std::int64_t WriteProbe::LastCommitNs(const std::string& region) const {
  for (const auto& server : servers_) {
    const std::lock_guard lock(server->mutex);
    if (server->region == region && !server->commits.empty()) return server->commits.back().ended_ns;
  }
  return 0;
}

std::int64_t WriteProbe::FirstCommitNs(const std::string& region, std::int64_t since_ns) const {
  for (const auto& server : servers_) {
    const std::lock_guard lock(server->mutex);
    if (server->region != region) continue;
    for (const ProbeCommit& commit : server->commits) {
      if (commit.sent_ns >= since_ns) return commit.ended_ns;
    }
  }
  return 0;
}

std::vector<Reign> ReignsOf(const std::string& region, const std::vector<ProbeCommit>& commits) {
  std::map<std::uint32_t, Reign> reigns;
  for (const ProbeCommit& commit : commits) {
    const auto [at, is_first] =
        reigns.try_emplace(commit.timeline, Reign{region, commit.timeline, commit.ended_ns, commit.sent_ns, 0});
    Reign& reign = at->second;
    reign.begun_by_ns = std::min(reign.begun_by_ns, commit.ended_ns);
    reign.not_over_at_ns = std::max(reign.not_over_at_ns, commit.sent_ns);
    ++reign.commits;
  }
  std::vector<Reign> sorted;
  for (const auto& [timeline, reign] : reigns) sorted.push_back(reign);
  return Merge({sorted});
}

std::vector<Reign> Merge(std::vector<std::vector<Reign>> reigns) {
  std::vector<Reign> all;
  for (std::vector<Reign>& each : reigns) all.insert(all.end(), each.begin(), each.end());
  std::sort(all.begin(), all.end(), [](const Reign& a, const Reign& b) { return a.begun_by_ns < b.begun_by_ns; });
  return all;
}

std::vector<std::string> FindOverlaps(const std::vector<Reign>& reigns) {
  std::vector<std::string> found;
  for (std::size_t later = 1; later < reigns.size(); ++later) {
    for (std::size_t earlier = 0; earlier < later; ++earlier) {
      const std::int64_t by_ns = reigns[earlier].not_over_at_ns - reigns[later].begun_by_ns;
      if (by_ns <= 0) continue;
      found.push_back(reigns[earlier].region + " (timeline " + std::to_string(reigns[earlier].timeline) + ") committed still " +
                      Milliseconds(by_ns) + " after " + reigns[later].region + " (timeline " +
                      std::to_string(reigns[later].timeline) + ") had begun to");
    }
  }
  return found;
}

}  // namespace lifeboat::testing_support
