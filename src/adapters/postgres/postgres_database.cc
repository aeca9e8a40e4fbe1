#include "adapters/postgres/postgres_database.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "adapters/postgres/divergence_archive.h"
#include "adapters/system/files.h"
#include "adapters/system/processes.h"
#include "model/control_state.h"

namespace lifeboat::postgres {

namespace {

constexpr Duration kLookTime = std::chrono::seconds(2);   ///< budget of looks at files, which have no timeout of their own
constexpr Duration kDiskTime = std::chrono::seconds(10);  ///< budget of a sync, where the caller named none
constexpr std::size_t kMostIdle = 2;                      ///< connections kept: the look and one change beside it

// One round trip. Functions and not views where a view would join what is not needed. Timeline: pg_control is stale
// after a promotion, so a primary says it by the name of the file that it writes, and a standby by its WAL receiver or,
// without one, by the newest timeline that it has received WAL of.
constexpr const char* kObserve = R"(
SELECT pg_is_in_recovery(),
       (SELECT system_identifier FROM pg_control_system()),
       CASE WHEN NOT pg_is_in_recovery() THEN substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8) END,
       CASE WHEN pg_is_in_recovery()
            THEN coalesce((SELECT received_tli FROM pg_stat_get_wal_receiver() WHERE pid IS NOT NULL),
                          (SELECT greatest(min_recovery_end_timeline, (SELECT timeline_id FROM pg_control_checkpoint()),
                                           (SELECT max(('x' || substr(name, 1, 8))::bit(32)::int) FROM pg_ls_waldir()
                                             WHERE name ~ '^[0-9A-F]{24}$'))
                             FROM pg_control_recovery())) END,
       CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
            ELSE pg_current_wal_flush_lsn() END,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() END,
       CASE WHEN pg_is_in_recovery()
            THEN (SELECT sender_host FROM pg_stat_get_wal_receiver() WHERE status = 'streaming') END,
       CASE WHEN NOT pg_is_in_recovery()
            THEN (SELECT json_agg(json_build_object('name', a.application_name, 'state', w.state,
                                                    'flushed', w.flush_lsn, 'replayed', w.replay_lsn))
                    FROM pg_stat_get_wal_senders() w JOIN pg_stat_get_activity(NULL) a USING (pid)
                   WHERE w.flush_lsn IS NOT NULL) END,
       current_setting('wal_retrieve_retry_interval'),
       current_setting('wal_level'))";

constexpr const char* kFlushed = "SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn() END";

std::uint64_t NumberIn(std::string_view text, int base = 10) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number, base);
  return number;
}

void FillState(const Answer& row, DatabaseState& state) {
  state.accepting = true;
  state.process_alive = true;
  state.in_recovery = row.IsTrue(0, 0);
  state.system_id = SystemId(std::string(row.Text(0, 1)));
  if (!row.IsNull(0, 2)) state.timeline = static_cast<Timeline>(NumberIn(row.Text(0, 2), 16));
  if (!row.IsNull(0, 3)) state.timeline = static_cast<Timeline>(NumberIn(row.Text(0, 3)));
  state.flushed = Lsn::Parse(row.Text(0, 4));
  state.replayed = Lsn::Parse(row.Text(0, 5));
  state.upstream = row.Text(0, 6);
  state.wal_retrieve_retry_interval = row.Text(0, 8);
  state.wal_level = row.Text(0, 9);
  if (row.IsNull(0, 7)) return;
  const Result<Json> links = ParseJson(row.Text(0, 7), "pg_stat_replication");
  if (!links) return;
  for (const Json& link : *links) {
    const auto flushed = Lsn::Parse(TextAt(link, "flushed"));
    if (!flushed) continue;
    state.standbys.push_back(
        {TextAt(link, "name"), TextAt(link, "state"), *flushed, Lsn::Parse(TextAt(link, "replayed")).value_or(*flushed)});
  }
}

}  // namespace

std::string SlotName(const RegionName& region) {
  std::string name = "lifeboat_";
  for (const char c : region.text) {
    const auto lower = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    name += std::isalnum(static_cast<unsigned char>(lower)) != 0 ? lower : '_';
  }
  return name;
}

PostgresDatabase::PostgresDatabase(boost::asio::any_io_executor executor, RegionName self, DatabaseSettings settings,
                                   LoginSettings login, Log log)
    : executor_(std::move(executor)),
      self_(std::move(self)),
      settings_(std::move(settings)),
      login_(std::move(login)),
      log_(std::move(log)),
      data_(settings_.data_directory) {}

PostgresDatabase::~PostgresDatabase() { pool_.join(); }

// ---- connections ----

Conninfo PostgresDatabase::LocalConninfo() const {
  Conninfo conninfo = {
      {"host", settings_.socket_directory},
      {"port", std::to_string(settings_.address.port)},
      {"user", login_.superuser},
      {"dbname", login_.database},
      {"application_name", "lifeboat"},
      {"client_encoding", "UTF8"},
      {"options", "-c client_connection_check_interval=500ms -c jit=off -c datestyle=ISO -c search_path=pg_catalog"}};
  if (login_.password_file) conninfo.emplace_back("passfile", *login_.password_file);
  return conninfo;
}

Conninfo PostgresDatabase::RemoteConninfo(const Endpoint& address, const std::string& user) const {
  Conninfo conninfo = {{"hostaddr", address.host},
                       {"port", std::to_string(address.port)},
                       {"user", user},
                       {"application_name", self_.text},
                       {"connect_timeout", "3"},
                       {"tcp_user_timeout", "5000"},
                       {"keepalives_idle", "2"},
                       {"keepalives_interval", "1"},
                       {"keepalives_count", "3"}};
  if (login_.password_file) conninfo.emplace_back("passfile", *login_.password_file);
  return conninfo;
}

Task<Result<std::unique_ptr<Connection>>> PostgresDatabase::TakeConnection(Deadline deadline) {
  while (!idle_.empty()) {
    std::unique_ptr<Connection> kept = std::move(idle_.back());
    idle_.pop_back();
    if (kept->IsUsable()) co_return std::move(kept);
  }
  Conninfo conninfo = LocalConninfo();
  Result<std::unique_ptr<Connection>> opened = co_await Connection::Open(executor_, std::move(conninfo), deadline);
  if (!opened) co_return opened.error();
  // SAFETY: another server may listen at the same socket directory and port: only ours is asked, and promoted.
  Result<Answer> where = co_await (*opened)->AskPrepared("SELECT current_setting('data_directory')", deadline);
  if (!where) co_return where.error();
  std::error_code error;
  if (where->rows() != 1 || !std::filesystem::equivalent(std::string(where->Text(0, 0)), data_.path(), error) || error) {
    co_return Fail("the server at '" + settings_.socket_directory + "', port " + std::to_string(settings_.address.port) +
                       ", is not that of '" + data_.path() + "'",
                   "check 'socket_directory' and the port in lifeboat.yaml and postgresql.conf");
  }
  co_return std::move(*opened);
}

void PostgresDatabase::GiveBack(std::unique_ptr<Connection> connection) {
  if (idle_.size() < kMostIdle && connection->IsUsable()) idle_.push_back(std::move(connection));
}

Task<Result<Answer>> PostgresDatabase::Ask(std::string sql, std::vector<std::optional<std::string>> parameters, Effect effect,
                                           Deadline deadline) {
  Result<std::unique_ptr<Connection>> connection = co_await TakeConnection(deadline);
  if (!connection) co_return connection.error();
  Result<Answer> answer = co_await (*connection)->Ask(std::move(sql), std::move(parameters), effect, deadline);
  GiveBack(std::move(*connection));
  co_return answer;
}

Task<Result<Answer>> PostgresDatabase::AskPrepared(const char* sql, Deadline deadline) {
  Result<std::unique_ptr<Connection>> connection = co_await TakeConnection(deadline);
  if (!connection) co_return connection.error();
  Result<Answer> answer = co_await (*connection)->AskPrepared(sql, deadline);
  GiveBack(std::move(*connection));
  co_return answer;
}

// ---- programs and files ----

Task<Result<CommandOutput>> PostgresDatabase::RunTool(std::vector<std::string> argv, Duration timeout) {
  CommandOptions options;
  options.cwd = "/";
  options.environment = {{"LC_ALL", "C"}, {"TZ", "UTC"}};
  Result<std::optional<RunAs>> owner = data_.Owner();
  if (!owner) co_return owner.error();
  options.run_as = *owner;
  co_return co_await RunCommand(executor_, std::move(argv), std::move(options), timeout);
}

Task<Result<ControlFile>> PostgresDatabase::ReadControlFile(std::string data_path, Duration timeout) {
  std::vector<std::string> argv = {settings_.bin_directory + "/pg_controldata", "-D", data_path};
  Result<CommandOutput> output = co_await RunTool(std::move(argv), timeout);
  if (!output) co_return output.error();
  if (output->exit_code != 0)
    co_return Fail("pg_controldata cannot read '" + data_path + "': '" + output->err.substr(0, 300) + "'");
  co_return ParseControlFile(output->out);
}

Task<Result<WalReader>> PostgresDatabase::OpenWal(Deadline deadline) {
  Result<ControlFile> control = co_await ReadControlFile(data_.path(), deadline.Left());
  if (!control) co_return control.error();
  co_return WalReader(executor_, settings_.bin_directory, data_.WalFolder(), control->geometry);
}

Task<Result<Unit>> PostgresDatabase::PlaceFence(Deadline deadline) {
  auto work = [data = data_] { return data.PlaceFence(); };
  co_return co_await OnPool(std::move(work), deadline);
}

Error PostgresDatabase::StillAlive(const char* what) const {
  std::string pids;
  for (const pid_t pid : data_.Processes()) pids += (pids.empty() ? "" : ", ") + std::to_string(pid);
  return Refused(std::string(what) + ": processes of '" + data_.path() + "' still live: " + pids,
                 "stop the server first; backends can outlive their postmaster");
}

// ---- looking ----

Task<DatabaseState> PostgresDatabase::Observe(Duration timeout) {
  DatabaseState state;
  Result<Answer> row = co_await AskPrepared(kObserve, Deadline(timeout));
  if (row && row->rows() == 1) {
    FillState(*row, state);
    co_return state;
  }
  state.problem = row ? "the server gave no row" : row.error().message;
  state.process_alive = !data_.Processes().empty();
  co_return state;
}

Task<Result<Lsn>> PostgresDatabase::FlushedPosition(Duration timeout) {
  Result<Answer> row = co_await AskPrepared(kFlushed, Deadline(timeout));
  if (!row) co_return row.error();
  const auto flushed = Lsn::Parse(row->Text(0, 0));
  if (!flushed) co_return RetryLater("the server is a standby and writes no WAL of its own");
  co_return *flushed;
}

Task<> PostgresDatabase::WaitForExit() {
  if (const std::optional<pid_t> postmaster = data_.Postmaster()) co_await WaitForProcessExit(executor_, *postmaster);
}

Task<Result<ControlData>> PostgresDatabase::ReadControl() {
  // SAFETY: "not found" is said of what is not there alone: a rejoin takes it for leave to put a copy in this place.
  auto has = [data = data_] { return data.HasContent(); };
  const Result<bool> content = co_await OnPool(std::move(has), Deadline(kLookTime));
  if (!content) co_return content.error();
  if (!*content) co_return NotFound("'" + data_.path() + "' is not there, or empty");
  Result<ControlFile> control = co_await ReadControlFile(data_.path(), kLookTime);
  if (!control) {
    const Error& why = control.error();
    co_return why.retry == Retry::kNotFound ? Fail(why.message, why.hint) : why;
  }
  // SAFETY: until the first checkpoint of a timeline pg_control names the one before it: the end of the WAL would be looked for
  // there, and every commit of the new timeline would count as never made.
  auto look = [folder = data_.WalFolder(), known = control->data.timeline]() -> Result<Timeline> {
    return NewestTimeline(folder, known);
  };
  const Result<Timeline> newest = co_await OnPool(std::move(look), Deadline(kLookTime));
  if (newest) control->data.timeline = *newest;
  // What pg_control says of a directory that pg_rewind left half-way is neither the old state nor the new one.
  if (data_.IsHalfRewound()) control->data.cluster_state = kHalfRewound;
  co_return control->data;
}

Task<Result<bool>> PostgresDatabase::HasFence() { co_return data_.HasFence(); }

Task<Result<Lsn>> PostgresDatabase::EndOfWal(Timeline timeline, Lsn from, Duration timeout) {
  const Deadline deadline(timeout);
  if (!data_.Processes().empty()) co_return StillAlive("the end of the WAL is not known");
  Result<WalReader> wal = co_await OpenWal(deadline);
  if (!wal) co_return wal.error();
  Result<WalEnd> end = co_await wal->FindEnd(timeline, from, deadline);
  if (!end) co_return end.error();
  co_return end->at;
}

Task<Result<PromotionMark>> PostgresDatabase::ReadPromotionMark(Duration timeout) {
  std::string sql = "SELECT epoch, uuid, region FROM lifeboat.promotion ORDER BY epoch DESC LIMIT 1";
  std::vector<std::optional<std::string>> none;
  Result<Answer> row = co_await Ask(std::move(sql), std::move(none), Effect::kRead, Deadline(timeout));
  if (!row) co_return row.error();
  if (row->rows() == 0) co_return NotFound("no promotion is marked yet");
  co_return PromotionMark{Epoch{NumberIn(row->Text(0, 0))}, std::string(row->Text(0, 1)), RegionName(std::string(row->Text(0, 2)))};
}

Task<Result<PromotionMark>> PostgresDatabase::ReadPromotionMarkOf(Epoch epoch, Duration timeout) {
  std::string sql = "SELECT uuid, region FROM lifeboat.promotion WHERE epoch = $1::bigint";
  std::vector<std::optional<std::string>> values{std::to_string(epoch.number)};
  Result<Answer> row = co_await Ask(std::move(sql), std::move(values), Effect::kRead, Deadline(timeout));
  if (!row) co_return row.error();
  if (row->rows() == 0) co_return NotFound("no promotion of epoch " + std::to_string(epoch.number) + " is marked");
  co_return PromotionMark{epoch, std::string(row->Text(0, 0)), RegionName(std::string(row->Text(0, 1)))};
}

Task<Result<std::string>> PostgresDatabase::SignOf(Timeline timeline, Duration timeout) {
  const Deadline deadline(timeout);
  auto fork = co_await ForkOf(timeline, deadline.Left());
  if (!fork) co_return fork.error();
  Result<WalReader> wal = co_await OpenWal(deadline);
  if (!wal) co_return wal.error();
  auto work = [folder = data_.WalFolder(), timeline, at = *fork, geometry = wal->geometry()] {
    return ReadBeginning(folder, timeline, at, geometry);
  };
  co_return co_await OnPool(std::move(work), deadline);
}

Task<Result<Lsn>> PostgresDatabase::ForkOf(Timeline timeline, Duration timeout) {
  if (timeline <= 1) co_return NotFound("timeline 1 has no fork");
  auto work = [file = data_.WalFolder() + "/" + HistoryName(timeline)] { return ReadSmallFile(file); };
  Result<std::string> text = co_await OnPool(std::move(work), Deadline(timeout));
  if (!text) co_return text.error();
  Result<std::vector<TimelineFork>> forks = ParseHistory(*text);
  if (!forks) co_return forks.error();
  if (forks->empty()) co_return Fail("the history file of timeline " + std::to_string(timeline) + " names no fork");
  co_return forks->back().at;
}

// ---- running, as primary ----

Task<Result<Unit>> PostgresDatabase::EnsureSchema(Duration timeout) {
  const Deadline deadline(timeout);
  std::vector<std::string> statements = {
      "CREATE SCHEMA IF NOT EXISTS lifeboat",
      "CREATE TABLE IF NOT EXISTS lifeboat.heartbeat (region text PRIMARY KEY, sequence bigint NOT NULL, epoch bigint NOT NULL,"
      " at timestamptz NOT NULL, lsn pg_lsn NOT NULL)",
      "CREATE TABLE IF NOT EXISTS lifeboat.promotion (epoch bigint PRIMARY KEY, uuid text NOT NULL, region text NOT NULL,"
      " at timestamptz NOT NULL)",
      "CREATE TABLE IF NOT EXISTS lifeboat.canary (region text PRIMARY KEY, sequence bigint NOT NULL, epoch bigint NOT NULL,"
      " at timestamptz NOT NULL)"};
  Result<std::unique_ptr<Connection>> taken = co_await TakeConnection(deadline);
  if (!taken) co_return taken.error();
  std::unique_ptr<Connection> connection = std::move(*taken);
  for (std::string& statement : statements) {
    std::vector<std::optional<std::string>> none;
    Result<Answer> made = co_await connection->Ask(std::move(statement), std::move(none), Effect::kChange, deadline);
    if (!made) co_return made.error();
  }
  std::string missing =
      "SELECT 1 FROM pg_roles WHERE rolname = $1 AND NOT (has_schema_privilege(oid, 'lifeboat', 'USAGE') AND"
      " has_table_privilege(oid, 'lifeboat.canary', 'SELECT') AND has_table_privilege(oid, 'lifeboat.canary', 'INSERT') AND"
      " has_table_privilege(oid, 'lifeboat.canary', 'UPDATE'))";
  std::vector<std::optional<std::string>> user = {login_.canary_user};
  Result<Answer> wanted = co_await connection->Ask(std::move(missing), std::move(user), Effect::kRead, deadline);
  if (!wanted) co_return wanted.error();
  if (wanted->rows() == 1) {
    const std::string role = connection->Identifier(login_.canary_user);
    std::vector<std::string> grants = {"GRANT USAGE ON SCHEMA lifeboat TO " + role,
                                       "GRANT SELECT, INSERT, UPDATE ON lifeboat.canary TO " + role};
    for (std::string& grant : grants) {
      std::vector<std::optional<std::string>> none;
      Result<Answer> granted = co_await connection->Ask(std::move(grant), std::move(none), Effect::kChange, deadline);
      if (!granted) co_return granted.error();
    }
  }
  GiveBack(std::move(connection));
  co_return Done();
}

Task<Result<Unit>> PostgresDatabase::WritePromotionMark(PromotionMark mark, Duration timeout) {
  const Deadline deadline(timeout);
  std::string insert =
      "INSERT INTO lifeboat.promotion (epoch, uuid, region, at) VALUES ($1, $2, $3, clock_timestamp()) ON CONFLICT DO NOTHING";
  std::vector<std::optional<std::string>> values = {std::to_string(mark.epoch.number), mark.uuid, mark.region.text};
  Result<Answer> written = co_await Ask(std::move(insert), std::move(values), Effect::kChange, deadline);
  if (!written) co_return written.error();
  std::string select = "SELECT uuid, region FROM lifeboat.promotion WHERE epoch = $1";
  std::vector<std::optional<std::string>> key = {std::to_string(mark.epoch.number)};
  Result<Answer> row = co_await Ask(std::move(select), std::move(key), Effect::kRead, deadline);
  if (!row) co_return UnknownOutcome(row.error().message, row.error().hint);
  // SAFETY: an epoch has one mark for ever: a second writer of the same epoch is another lineage.
  if (row->rows() != 1 || row->Text(0, 0) != mark.uuid || row->Text(0, 1) != mark.region.text) {
    co_return Refused("epoch " + std::to_string(mark.epoch.number) + " is marked by another promotion already");
  }
  co_return Done();
}

Task<Result<std::uint64_t>> PostgresDatabase::WriteHeartbeat(Epoch epoch, RegionName region, Duration timeout) {
  // SAFETY: each epoch begins above all numbers of the earlier ones, so that a row of a copy that went its own way is never
  // taken for one that was written later on the primary.
  std::string sql =
      "INSERT INTO lifeboat.heartbeat AS h (region, sequence, epoch, at, lsn) SELECT $1, greatest(coalesce(max(sequence), 0) + 1,"
      " $2::bigint << 32), $2,"
      " clock_timestamp(), pg_current_wal_flush_lsn() FROM lifeboat.heartbeat ON CONFLICT (region) DO UPDATE SET sequence ="
      " greatest(excluded.sequence, h.sequence + 1), epoch = excluded.epoch, at = excluded.at, lsn = excluded.lsn RETURNING "
      "sequence";
  std::vector<std::optional<std::string>> values = {region.text, std::to_string(epoch.number)};
  Result<Answer> row = co_await Ask(std::move(sql), std::move(values), Effect::kChange, Deadline(timeout));
  if (!row) co_return row.error();
  co_return NumberIn(row->Text(0, 0));
}

Task<Result<std::uint64_t>> PostgresDatabase::ReadHeartbeat(Duration timeout) {
  std::string sql = "SELECT max(sequence) FROM lifeboat.heartbeat";
  std::vector<std::optional<std::string>> none;
  Result<Answer> row = co_await Ask(std::move(sql), std::move(none), Effect::kRead, Deadline(timeout));
  if (!row) co_return row.error();
  if (row->IsNull(0, 0)) co_return NotFound("there is no heartbeat yet");
  co_return NumberIn(row->Text(0, 0));
}

Task<Result<Unit>> PostgresDatabase::Checkpoint(Duration timeout) {
  std::vector<std::optional<std::string>> none;
  Result<Answer> done = co_await Ask("CHECKPOINT", std::move(none), Effect::kRead, Deadline(timeout));
  if (!done) co_return done.error();
  co_return Done();
}

Task<Result<Unit>> PostgresDatabase::EnsureSlots(std::vector<RegionName> regions, Duration timeout) {
  const Deadline deadline(timeout);
  std::string wanted = "{";
  for (const RegionName& region : regions) wanted += (wanted.size() > 1 ? "," : "") + SlotName(region);
  wanted += "}";
  // A slot whose WAL is gone serves no one: it goes, too, and is made anew.
  std::string drop =
      "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_type = 'physical' AND NOT active AND"
      " starts_with(slot_name, 'lifeboat_') AND (slot_name <> ALL ($1::name[]) OR wal_status = 'lost')";
  std::vector<std::optional<std::string>> drop_values = {wanted};
  Result<Answer> dropped = co_await Ask(std::move(drop), std::move(drop_values), Effect::kChange, deadline);
  if (!dropped) co_return dropped.error();
  std::string make =
      "SELECT pg_create_physical_replication_slot(name, true) FROM unnest($1::name[]) name WHERE NOT EXISTS"
      " (SELECT FROM pg_replication_slots WHERE slot_name = name)";
  std::vector<std::optional<std::string>> make_values = {wanted};
  Result<Answer> made = co_await Ask(std::move(make), std::move(make_values), Effect::kChange, deadline);
  if (!made) co_return made.error();
  co_return Done();
}

}  // namespace lifeboat::postgres
