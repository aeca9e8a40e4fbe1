#include "lab/client_group.h"

#include <thread>

namespace lifeboat::lab {

ClientOptions ClientOf(const LabInfo& lab, int number, ClientMode mode) {
  ClientOptions options;
  options.number = number;
  options.name = std::string(ToString(mode)) + "-" + std::to_string(number);
  options.mode = mode;
  options.dns_server = lab.dns;
  options.dns_name = kDnsName;
  options.port = lab.postgres_port;
  for (const LabRegion& region : lab.regions) {
    if (region.kind == RegionKind::kData) options.hosts.push_back(region.address);
  }
  options.user = kClientUser;
  options.database = kDatabase;
  options.password_file = lab.PasswordFile().string();
  return options;
}

Result<Unit> ClientGroup::Add(ClientMode mode, int number, bool keep_record_file) {
  ClientOptions options = ClientOf(lab_, number, mode);
  options.tls_root = tls_root_;
  if (keep_record_file) options.record_file = lab_.folder / "clients" / (options.name + ".tsv");
  clients_.push_back(std::make_unique<Client>(std::move(options)));
  return clients_.back()->Start();
}

void ClientGroup::Stop() {
  for (const auto& client : clients_) client->Stop();
}

Result<Unit> ClientGroup::AwaitEach(const Pending& pending, const std::string& what, Duration timeout,
                                    const Patience& patience) const {
  const Instant deadline = ReadClocks() + timeout;
  for (;;) {
    std::string waiting_for;
    for (const auto& client : clients_) {
      if (!pending(*client)) continue;
      const std::string problem = client->LastProblem();
      waiting_for = "client '" + client->options().name + "' " + what + (problem.empty() ? "" : " (" + problem + ")");
      break;
    }
    if (waiting_for.empty()) return Done();
    if (!patience(waiting_for)) return Fail("given up while waiting: " + waiting_for);
    if (HasPassed(deadline, ReadClocks())) return RetryLater("after " + FormatDuration(timeout) + ", " + waiting_for);
    std::this_thread::sleep_for(20ms);
  }
}

Result<Unit> ClientGroup::AwaitMore(std::uint64_t more, Duration timeout, const Patience& patience) const {
  std::vector<std::pair<const Client*, std::uint64_t>> goals;
  for (const auto& client : clients_) goals.emplace_back(client.get(), client->Acknowledged() + more);
  const auto pending = [&goals](const Client& client) {
    for (const auto& [known, goal] : goals) {
      if (known == &client) return client.Acknowledged() < goal;
    }
    return true;
  };
  return AwaitEach(pending, "has yet to write some rows more", timeout, patience);
}

Result<Unit> ClientGroup::AwaitOn(const std::string& region, std::int64_t since_ns, Duration timeout,
                                  const Patience& patience) const {
  const LabRegion* found = lab_.Find(region);
  if (found == nullptr) return NotFound("the lab has no region '" + region + "'");
  const auto pending = [&](const Client& client) {
    // A look at the last row first: the record is copied only once the client writes again.
    if (client.LastAcknowledgedNs() < since_ns) return true;
    const ClientRecord record = client.Record();
    for (auto row = record.rows.rbegin(); row != record.rows.rend() && row->ended_ns >= since_ns; ++row) {
      if (row->fate == RowFate::kAcknowledged && record.servers.at(row->server) == found->address) return false;
    }
    return true;
  };
  return AwaitEach(pending, "does not write to '" + region + "' yet", timeout, patience);
}

std::vector<ClientRecord> ClientGroup::Records() const {
  std::vector<ClientRecord> records;
  for (const auto& client : clients_) records.push_back(client->Record());
  return records;
}

std::uint64_t ClientGroup::Acknowledged() const {
  std::uint64_t sum = 0;
  for (const auto& client : clients_) sum += client->Acknowledged();
  return sum;
}

Result<Arrival> AwaitArrival(const ClientGroup& clients, const std::string& conninfo, const std::string& region, Duration timeout,
                             const Patience& patience) {
  const std::int64_t since_ns = MonotonicNs();
  const Instant deadline = ReadClocks() + timeout;
  std::string row;
  std::vector<std::string> key;
  while (true) {
    if (key.empty()) {
      // The newest row at this call was sent before it; the first that was sent afterwards is looked for.
      if (auto more = clients.AwaitMore(1, TimeLeft(deadline, ReadClocks()), patience); !more) return more.error();
      const ClientRecord record = clients.Records().front();
      for (const ClientRow& written : record.rows) {
        if (!key.empty() || written.fate != RowFate::kAcknowledged || written.sent_ns < since_ns) continue;
        key = {std::to_string(record.client), std::to_string(written.n)};
        row = "row " + key[1] + " of client " + record.name;
      }
      continue;
    }
    const auto standby = ConnectTo(conninfo);
    const auto found =
        standby ? Query(*standby, "SELECT 1 FROM ledger_rows WHERE client = $1 AND n = $2", key) : Result<Rows>(standby.error());
    if (found && !found->empty()) return Arrival{row, ReadWallClock().ns};
    if (!patience("the row has not arrived in '" + region + "'" + (found ? "" : ": " + found.error().message)))
      return Fail("interrupted");
    if (HasPassed(deadline, ReadClocks())) return RetryLater("a row written after the rejoin has not arrived in '" + region + "'");
    std::this_thread::sleep_for(20ms);
  }
}

std::optional<ClientOutage> ServiceOutage(const std::vector<ClientRecord>& records, ClientMode mode, const std::string& address,
                                          std::int64_t since_ns) {
  const ClientRow* first = nullptr;
  for (const ClientRecord& record : records) {
    if (record.mode != mode) continue;
    for (const ClientRow& row : record.rows) {
      if (row.fate != RowFate::kAcknowledged || row.ended_ns < since_ns || record.servers.at(row.server) != address) continue;
      if (first == nullptr || row.ended_ns < first->ended_ns) first = &row;
    }
  }
  if (first == nullptr) return std::nullopt;
  const ClientRow* last = nullptr;
  std::string last_server;
  for (const ClientRecord& record : records) {
    if (record.mode != mode) continue;
    for (const ClientRow& row : record.rows) {
      if (row.fate != RowFate::kAcknowledged || row.ended_ns > first->ended_ns || record.servers.at(row.server) == address)
        continue;
      if (last == nullptr || row.ended_ns > last->ended_ns) {
        last = &row;
        last_server = record.servers.at(row.server);
      }
    }
  }
  if (last == nullptr) return std::nullopt;
  return ClientOutage{last->ended_ns, first->ended_ns, last->wall_ns, first->wall_ns, last_server, address};
}

}  // namespace lifeboat::lab
