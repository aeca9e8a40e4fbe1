#include <zlib.h>

#include <algorithm>
#include <charconv>

#include "adapters/backups/checks.h"
#include "backup/server_words.h"

namespace lifeboat::backup {

namespace {

template <typename T>
T NumberIn(const std::string& text, T fallback = 0) {
  T number = fallback;
  (void)std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

/// A table as the catalog lists it.
struct ListedTable {
  TableFacts facts;
  std::string quoted;  ///< for SQL
  std::string schema;
  std::string plain;  ///< "schema.table"
  bool countable = false;
};

constexpr const char* kByHeap =
    "SET enable_seqscan = on; SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off; ";
constexpr const char* kByIndex =
    "SET enable_seqscan = off; SET enable_indexscan = on; SET enable_indexonlyscan = on; SET enable_bitmapscan = off; ";

constexpr std::uint64_t kFewRows = 100;

bool IsSystem(const std::string& schema) {
  return schema == "pg_catalog" || schema == "information_schema" || schema == "pg_toast" || schema == "lifeboat_check";
}

class ContentOfDatabase {
 public:
  ContentOfDatabase(const CheckOptions& options, std::string database, CheckState& state)
      : options_(options), database_(std::move(database)), state_(state) {}

  void Do() {
    SessionPlace place = options_.place;
    place.database = database_;
    Result<Session> session = Session::Open(place);
    if (!session) {
      const std::lock_guard lock(state_.mutex);
      state_.unknown.push_back("database '" + database_ + "': " + session.error().message);
      return;
    }
    std::vector<ListedTable> tables = ListTables(*session);
    EachWithSession(options_, database_, tables.size(), state_, [&](Session& with, std::size_t at) { Count(with, tables[at]); });
    Judge(tables);
    LookAtSequences(*session);
    for (const SqlCheck& question : options_.questions) {
      if ((question.database.empty() ? "postgres" : question.database) == database_) AskQuestion(*session, question);
    }
    const std::lock_guard lock(state_.mutex);
    ++state_.counts.databases;
  }

 private:
  std::vector<ListedTable> ListTables(Session& session) {
    const std::string schema = options_.only_schema.empty() ? "" : " AND n.nspname = " + Quoted(options_.only_schema);
    const QueryAnswer answer = session.Ask(
        "SELECT n.nspname, c.relname, format('%I.%I', n.nspname, c.relname), c.relpages, pg_relation_size(c.oid), "
        "current_setting('block_size'),"
        " coalesce(pg_relation_filepath(c.oid), ''), c.relpersistence, c.relkind IN ('r', 'm') AND c.relispopulated FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'm', 't') AND c.relpersistence <> 't'" +
        schema + " ORDER BY c.relpages DESC, c.oid");
    if (!answer.ok()) TakeError(options_, Level::kContent, database_, "its catalog", "", *answer.error, state_);
    std::vector<ListedTable> tables;
    for (const auto& row : answer.rows) {
      ListedTable table;
      table.schema = row[0];
      table.plain = row[0] + "." + row[1];
      table.quoted = row[2];
      table.facts.name = database_ + "." + table.plain;
      table.facts.known_pages = static_cast<std::uint64_t>(std::max<std::int64_t>(0, NumberIn<std::int64_t>(row[3])));
      table.facts.page_bytes = NumberIn<std::uint32_t>(row[5], 8192);
      table.facts.pages = NumberIn<std::uint64_t>(row[4]) / table.facts.page_bytes;
      table.facts.path = row[6];
      table.facts.unlogged = row[7] == "u";
      table.countable = row[8] == "t" && !table.facts.unlogged;
      tables.push_back(std::move(table));
    }
    return tables;
  }

  void Count(Session& session, ListedTable& table) {
    if (!table.countable) return;
    const std::string count = "SELECT count(*) FROM ONLY " + table.quoted;
    const QueryAnswer by_heap = session.Ask(kByHeap + count);
    if (by_heap.error) return TakeError(options_, Level::kContent, database_, table.plain, table.plain, *by_heap.error, state_);
    table.facts.rows = NumberIn<std::uint64_t>(by_heap.First());
    if (*table.facts.rows >= kFewRows && !IsSystem(table.schema)) table.facts.packed = PackedShare(session, table);
    const QueryAnswer plan = session.Ask(kByIndex + ("EXPLAIN (COSTS OFF) " + count));
    const std::string scan = "Index Only Scan using ";
    for (const auto& row : plan.rows) {
      const std::size_t at = row[0].find(scan);
      if (at == std::string::npos) continue;
      const std::size_t begin = at + scan.size();
      table.facts.index = row[0].substr(begin, row[0].find(" on ", begin) - begin);
    }
    if (table.facts.index.empty()) return;  // no index holds every row
    const QueryAnswer by_index = session.Ask(kByIndex + count);
    if (by_index.error) return TakeError(options_, Level::kContent, database_, table.plain, table.plain, *by_index.error, state_);
    table.facts.index_rows = NumberIn<std::uint64_t>(by_index.First());
  }

  /// Of rows out of some pages: what was encrypted does not get smaller (F39).
  static std::optional<double> PackedShare(Session& session, const ListedTable& table) {
    constexpr double kPagesAsked = 32;
    constexpr std::size_t kEnough = 4096;
    const double percent = std::min(100.0, 100 * kPagesAsked / static_cast<double>(std::max<std::uint64_t>(1, table.facts.pages)));
    const QueryAnswer some = session.Ask("SELECT left(t::text, 1000) FROM ONLY " + table.quoted + " t TABLESAMPLE SYSTEM (" +
                                         std::to_string(percent) + ") REPEATABLE (7) LIMIT 500");
    if (!some.ok()) return std::nullopt;
    std::string text;
    for (const auto& row : some.rows) text += row[0] + "\n";
    if (text.size() < kEnough) return std::nullopt;
    uLongf size = compressBound(text.size());
    std::vector<Bytef> packed(size);
    if (compress2(packed.data(), &size, reinterpret_cast<const Bytef*>(text.data()), text.size(), Z_BEST_SPEED) != Z_OK)
      return std::nullopt;
    return static_cast<double>(size) / static_cast<double>(text.size());
  }

  void Judge(const std::vector<ListedTable>& tables) {
    std::vector<TableFacts> facts;
    const std::lock_guard lock(state_.mutex);
    for (const ListedTable& table : tables) {
      ++state_.counts.tables;
      state_.counts.rows += table.facts.rows.value_or(0);
      if (table.facts.index_rows) ++state_.counts.counted_by_index;
      if (table.facts.rows && !IsSystem(table.schema)) {
        state_.content.tables[table.facts.name] = {*table.facts.rows, table.facts.pages * table.facts.page_bytes,
                                                   table.facts.packed.value_or(0)};
      }
      const bool system_unlogged = table.facts.unlogged && IsSystem(table.schema);  // the TOAST table of one that is named
      if (state_.told.count(table.facts.name) == 0 && !system_unlogged) facts.push_back(table.facts);
    }
    for (Finding& finding : JudgeTables(options_.set, facts)) {
      if (finding.severity == Severity::kFault) state_.told.insert(finding.object);
      state_.findings.push_back(std::move(finding));
    }
  }

  void LookAtSequences(Session& session) {
    const std::string schema = options_.only_schema.empty() ? "" : " AND n.nspname = " + Quoted(options_.only_schema);
    const QueryAnswer listed = session.Ask(
        "SELECT n.nspname || '.' || s.relname, format('%I.%I', n.nspname, s.relname), tn.nspname || '.' || t.relname, "
        "format('%I.%I', tn.nspname, t.relname),"
        " a.attname, quote_ident(a.attname), q.seqincrement FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'"
        " JOIN pg_namespace n ON n.oid = s.relnamespace JOIN pg_sequence q ON q.seqrelid = s.oid JOIN pg_class t ON t.oid = "
        "d.refobjid AND t.relkind IN ('r', 'p')"
        " JOIN pg_namespace tn ON tn.oid = t.relnamespace JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid"
        " WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND "
        "d.refobjsubid > 0"
        " AND a.atttypid IN (20, 21, 23) AND t.relpersistence = 'p'" +
        schema);
    if (!listed.ok()) return TakeError(options_, Level::kContent, database_, "its sequences", "", *listed.error, state_);
    std::vector<SequenceFacts> sequences;
    for (const auto& row : listed.rows) {
      if (state_.told.count(database_ + "." + row[2]) > 0) continue;
      SequenceFacts facts;
      facts.name = database_ + "." + row[0];
      facts.column = row[2] + "." + row[4];
      facts.step = NumberIn<std::int64_t>(row[6], 1);
      const QueryAnswer answer = session.Ask(
          "RESET enable_seqscan; RESET enable_indexscan; RESET enable_indexonlyscan; SELECT last_value, is_called, (SELECT " +
          std::string(facts.step >= 0 ? "max(" : "min(") + row[5] + ") FROM " + row[3] + ") FROM " + row[1]);
      if (answer.error) {
        TakeError(options_, Level::kContent, database_, row[0], row[2], *answer.error, state_);
        continue;
      }
      facts.last = NumberIn<std::int64_t>(answer.rows.at(0)[0]);
      facts.called = answer.rows[0][1] == "t";
      if (!answer.rows[0][2].empty()) facts.furthest = NumberIn<std::int64_t>(answer.rows[0][2]);
      sequences.push_back(std::move(facts));
    }
    const std::lock_guard lock(state_.mutex);
    state_.counts.sequences += sequences.size();
    for (Finding& finding : JudgeSequences(options_.set, sequences)) state_.findings.push_back(std::move(finding));
  }

  void AskQuestion(Session& session, const SqlCheck& question) {
    (void)session.Ask(
        "RESET enable_seqscan; RESET enable_indexscan; RESET enable_indexonlyscan; RESET enable_bitmapscan; BEGIN READ ONLY");
    const QueryAnswer answer = session.Ask(question.sql);
    (void)session.Ask("ROLLBACK");
    const std::lock_guard lock(state_.mutex);
    ++state_.counts.sql_checks;
    if (answer.error && answer.error->cancelled) {
      state_.cancelled = true;
      return;
    }
    std::string got;
    for (const auto& row : answer.rows) {
      if (!got.empty()) got += '\n';
      for (std::size_t column = 0; column < row.size(); ++column) got += (column == 0 ? "" : "|") + row[column];
    }
    if (!answer.error && got == question.expect) return;
    const std::string what =
        answer.error ? "it fails: " + answer.error->message
                     : "the answer is '" + got.substr(0, 200) + "', and should be '" + question.expect.substr(0, 200) + "'";
    const int fault = answer.error ? FaultOfQueryError(answer.error->sqlstate, answer.error->message) : 0;
    Finding finding = MakeFinding(fault != 0 ? fault : 35, options_.set, question.name, database_, what);
    finding.level = Level::kContent;
    state_.findings.push_back(std::move(finding));
  }

  const CheckOptions& options_;
  std::string database_;
  CheckState& state_;
};

// What the self-test puts into a database of its own: an index whose order changed under it, a table that says to have been longer,
// a sequence that is behind. With a question that has the wrong answer they are what must be told, and nothing else.
constexpr const char* kSelfTest = "lifeboat_selftest";
constexpr const char* kKnownBad =
    "CREATE FUNCTION public.order_of(int4, int4) RETURNS int4 IMMUTABLE LANGUAGE sql AS 'SELECT btint4cmp($1, $2)';"
    "CREATE OPERATOR CLASS public.ordered FOR TYPE int4 USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, "
    "OPERATOR 5 >,"
    " FUNCTION 1 public.order_of(int4, int4);"
    "CREATE TABLE public.disordered AS SELECT g AS i FROM generate_series(1, 400) g;"
    "CREATE INDEX ON public.disordered (i public.ordered);"
    "CREATE OR REPLACE FUNCTION public.order_of(int4, int4) RETURNS int4 IMMUTABLE LANGUAGE sql AS 'SELECT btint4cmp($2, $1)';"
    "CREATE TABLE public.cut AS SELECT 1 AS i; CREATE TABLE public.good AS SELECT 1 AS i; CREATE INDEX ON public.good (i);"
    "CREATE TABLE public.behind (i serial); INSERT INTO public.behind VALUES (5);"
    "SET allow_system_table_mods = on; UPDATE pg_class SET relpages = 99 WHERE oid = 'public.cut'::regclass";

}  // namespace

LevelResult CheckContent(const CheckOptions& options, const std::vector<std::string>& databases, CheckState& state) {
  const std::uint64_t known_before = state.known_again;
  const std::size_t unknown_before = state.unknown.size();
  for (const std::string& database : databases) {
    if (!state.cancelled) ContentOfDatabase(options, database, state).Do();
  }
  for (const SqlCheck& question : options.questions) {
    const std::string database = question.database.empty() ? "postgres" : question.database;
    if (std::find(databases.begin(), databases.end(), database) != databases.end()) continue;
    Finding finding = MakeFinding(35, options.set, question.name, database, "there is no database '" + database + "'");
    finding.level = Level::kContent;
    state.findings.push_back(std::move(finding));
  }
  return VerdictOf(Level::kContent, state, known_before, unknown_before);
}

std::optional<WallTime> NewestHeartbeat(const SessionPlace& place, const std::vector<std::string>& databases) {
  std::optional<WallTime> newest;
  for (const std::string& database : databases) {
    SessionPlace at = place;
    at.database = database;
    Result<Session> session = Session::Open(at);
    if (!session) continue;
    if (session->Ask("SELECT to_regclass('lifeboat.heartbeat')").First().empty()) continue;
    const std::string micros = session->Ask("SELECT (extract(epoch FROM max(at)) * 1000000)::int8 FROM lifeboat.heartbeat").First();
    if (!micros.empty()) newest = std::max(newest.value_or(WallTime{}), WallTime{NumberIn<std::int64_t>(micros) * 1000});
  }
  return newest;
}

Result<Unit> ProveThatContentChecksCanFail(const CheckOptions& given, Level level) {
  SessionPlace place = given.place;
  const Result<std::vector<std::string>> databases = DatabasesOf(place);
  if (!databases) return databases.error();
  place.database = databases->front();
  Result<Session> maker = Session::Open(place);
  if (!maker) return maker.error();
  const QueryAnswer made = maker->Ask(std::string("CREATE DATABASE ") + kSelfTest + " TEMPLATE template0");
  if (!made.ok()) return Fail("the self-test's database cannot be made: " + made.error->message);
  {
    SessionPlace inside = given.place;
    inside.database = kSelfTest;
    Result<Session> session = Session::Open(inside);
    if (!session) return session.error();
    const QueryAnswer filled = session->Ask(kKnownBad);
    if (!filled.ok()) return Fail("the self-test's database cannot be filled: " + filled.error->message);
  }
  CheckOptions options = given;
  options.only_schema = "public";
  options.known.clear();
  options.on_progress = nullptr;
  options.questions = {{"self-test", kSelfTest, "SELECT 1", "2"}};
  CheckState state;
  const LevelResult logic = CheckLogic(options, {kSelfTest}, state);
  if (level >= Level::kContent) (void)CheckContent(options, {kSelfTest}, state);
  (void)maker->Ask(std::string("DROP DATABASE ") + kSelfTest);
  if (state.cancelled) return RetryLater("cancelled");
  std::set<std::string> told;
  std::string list;
  for (const Finding& each : state.findings) {
    told.insert(each.Number());
    list += (list.empty() ? "" : "; ") + each.Number() + " " + each.object + ": " + each.what;
  }
  std::set<std::string> expected;
  if (logic.verdict != Verdict::kNotChecked) expected.insert("F29");  // no amcheck: level 5 says so
  if (level >= Level::kContent) expected.insert({"F26", "F35", "F38"});
  if (told == expected && state.findings.size() == expected.size()) return Done();
  return Fail("the self-test's known damage was not told as it should: " + (list.empty() ? "nothing was told" : list));
}

}  // namespace lifeboat::backup
