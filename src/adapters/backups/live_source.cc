#include "adapters/backups/live_source.h"

#include <libpq-fe.h>

#include <charconv>
#include <memory>

namespace lifeboat::backup {

namespace {

struct Finish {
  void operator()(PGconn* connection) const { PQfinish(connection); }
  void operator()(PGresult* result) const { PQclear(result); }
};
using Connection = std::unique_ptr<PGconn, Finish>;
using Answer = std::unique_ptr<PGresult, Finish>;

constexpr const char* kFactsSql =
    "SELECT extract(epoch FROM now())::int8, (SELECT system_identifier FROM pg_control_system()), pg_is_in_recovery(), "
    "current_setting('archive_mode'),"
    " coalesce(last_archived_wal, ''), coalesce(extract(epoch FROM last_archived_time)::int8, 0), coalesce(last_failed_wal, ''),"
    " coalesce(extract(epoch FROM last_failed_time)::int8, 0), (SELECT setting::int8 FROM pg_settings WHERE name = "
    "'wal_segment_size'),"
    " coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false)"
    " FROM pg_stat_archiver";
constexpr const char* kWaitingSql =
    "SELECT count(*), coalesce(extract(epoch FROM min(modification))::int8, 0) FROM pg_ls_archive_statusdir() WHERE name LIKE "
    "'%.ready'";
constexpr const char* kSlotsSql =
    "SELECT slot_name, active, coalesce(wal_status, ''), safe_wal_size FROM pg_replication_slots ORDER BY slot_name";

std::string OneLine(const char* text) {
  std::string line = text == nullptr ? "" : text;
  while (!line.empty() && line.back() == '\n') line.pop_back();
  for (char& c : line) c = c == '\n' || c == '\t' ? ' ' : c;
  return line;
}

template <typename T>
T NumberAt(const Answer& answer, int row, int column) {
  const std::string_view text = PQgetvalue(answer.get(), row, column);
  T number = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

Result<LiveFacts> AskLive(const std::string& conninfo) {
  const Connection connection(PQconnectdb(
      (conninfo + " connect_timeout=10 application_name=lifeboat options='-c statement_timeout=10s -c lc_messages=C'").c_str()));
  if (PQstatus(connection.get()) != CONNECTION_OK)
    return RetryLater("the source does not answer: " + OneLine(PQerrorMessage(connection.get())));
  const auto ask = [&](const char* sql) { return Answer(PQexec(connection.get(), sql)); };
  const Answer facts_row = ask(kFactsSql);
  if (PQresultStatus(facts_row.get()) != PGRES_TUPLES_OK || PQntuples(facts_row.get()) != 1) {
    return Fail("the source does not say: " + OneLine(PQerrorMessage(connection.get())));
  }
  LiveFacts facts;
  facts.now = NumberAt<std::int64_t>(facts_row, 0, 0);
  facts.system_id = NumberAt<std::uint64_t>(facts_row, 0, 1);
  facts.in_recovery = PQgetvalue(facts_row.get(), 0, 2)[0] == 't';
  facts.archive_mode = PQgetvalue(facts_row.get(), 0, 3);
  facts.last_archived = PQgetvalue(facts_row.get(), 0, 4);
  facts.last_archived_at = NumberAt<std::int64_t>(facts_row, 0, 5);
  facts.last_failed = PQgetvalue(facts_row.get(), 0, 6);
  facts.last_failed_at = NumberAt<std::int64_t>(facts_row, 0, 7);
  facts.segment_bytes = NumberAt<std::uint64_t>(facts_row, 0, 8);
  facts.failing = PQgetvalue(facts_row.get(), 0, 9)[0] == 't';
  // Without the right to look at the folder, pg_stat_archiver alone speaks.
  const Answer waiting = ask(kWaitingSql);
  if (PQresultStatus(waiting.get()) == PGRES_TUPLES_OK) {
    facts.waiting = NumberAt<std::uint64_t>(waiting, 0, 0);
    facts.waiting_since = NumberAt<std::int64_t>(waiting, 0, 1);
  }
  const Answer slots = ask(kSlotsSql);
  if (PQresultStatus(slots.get()) != PGRES_TUPLES_OK)
    return Fail("the source does not say: " + OneLine(PQerrorMessage(connection.get())));
  for (int row = 0; row < PQntuples(slots.get()); ++row) {
    SlotFacts slot{PQgetvalue(slots.get(), row, 0), PQgetvalue(slots.get(), row, 1)[0] == 't', PQgetvalue(slots.get(), row, 2),
                   std::nullopt};
    if (PQgetisnull(slots.get(), row, 3) == 0) slot.safe_bytes = NumberAt<std::int64_t>(slots, row, 3);
    facts.slots.push_back(std::move(slot));
  }
  return facts;
}

std::vector<Finding> JudgeLiveSource(const LiveFacts& facts, const std::vector<Archive>& archives) {
  std::vector<Finding> findings = JudgeLive(facts);
  std::vector<std::string> names;
  bool ours = false;
  for (const Archive& archive : archives) {
    const auto owner = archive.system_id ? archive.system_id : archive.owner;
    if (archive.only_needed || owner != facts.system_id) continue;
    ours = true;
    for (const WalFile& file : archive.wal) names.push_back(file.name);
  }
  if (!ours) return findings;  // where the source's WAL lies is not known here
  for (Finding& each : JudgeKept(facts, names)) findings.push_back(std::move(each));
  return findings;
}

}  // namespace lifeboat::backup
