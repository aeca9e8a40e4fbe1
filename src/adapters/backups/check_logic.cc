#include <algorithm>
#include <atomic>
#include <thread>

#include "adapters/backups/checks.h"
#include "backup/server_words.h"

namespace lifeboat::backup {

namespace {

constexpr const char* kSchema = "lifeboat_check";
constexpr const char* kMakeAmcheck = "CREATE SCHEMA IF NOT EXISTS lifeboat_check; CREATE EXTENSION amcheck SCHEMA lifeboat_check";
constexpr std::size_t kMostUnknown = 5;

/// What amcheck is asked about.
struct Relation {
  bool index = false;
  std::string oid;
  std::string name;   ///< "schema.relation"
  std::string table;  ///< the table that it belongs to
};

void Unknown(CheckState& state, std::string why) {
  const std::lock_guard lock(state.mutex);
  if (state.unknown.size() < kMostUnknown) state.unknown.push_back(std::move(why));
}

/// "block 7 of relation base/5/1": the block; "".
std::string BlockIn(const std::string& message) {
  const std::size_t at = message.find("block ");
  if (at == std::string::npos) return "";
  const std::size_t begin = at + 6;
  const std::size_t end = message.find_first_not_of("0123456789", begin);
  return end == begin ? "" : "block " + message.substr(begin, end == std::string::npos ? end : end - begin);
}

/// A relation's first file: without segment and fork.
std::string MainFile(std::string path) {
  const std::size_t slash = path.rfind('/');
  const std::size_t end = path.find_first_of("._", slash == std::string::npos ? 0 : slash);
  return path.substr(0, end);
}

bool IsKnown(const std::vector<Finding>& known, const std::string& message) {
  return std::any_of(known.begin(), known.end(), [&](const Finding& each) {
    if (each.severity != Severity::kFault || each.object.find('/') == std::string::npos) return false;
    const std::string file = MainFile(each.object);
    const std::size_t at = message.find(file);
    if (at == std::string::npos) return false;
    const std::size_t after = at + file.size();
    return after >= message.size() || message[after] < '0' || message[after] > '9';
  });
}

/// The schema that holds amcheck, made where it is missing. @error kNotFound: this host has none
Result<std::string> ReadyAmcheck(Session& session) {
  const QueryAnswer there =
      session.Ask("SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'");
  if (!there.ok()) return Fail(there.error->message);
  if (!there.rows.empty()) {
    const QueryAnswer updated = session.Ask("ALTER EXTENSION amcheck UPDATE");
    if (!updated.ok()) return Fail(updated.error->message);
    return there.First();
  }
  const QueryAnswer available = session.Ask("SELECT 1 FROM pg_available_extensions WHERE name = 'amcheck'");
  if (!available.ok()) return Fail(available.error->message);
  if (available.rows.empty())
    return NotFound("PostgreSQL's extension amcheck is not installed on this host (package postgresql-contrib in many systems)");
  const QueryAnswer made = session.Ask(kMakeAmcheck);
  if (!made.ok()) return Fail(made.error->message);
  return std::string(kSchema);
}

std::string RelationsSql(const std::string& only_schema) {
  const std::string schema = only_schema.empty() ? "" : " AND tn.nspname = " + Quoted(only_schema);
  const std::string owner = "coalesce(wn.nspname || '.' || w.relname, tn.nspname || '.' || t.relname)";
  const std::string owners =
      " LEFT JOIN pg_class w ON w.reltoastrelid = t.oid LEFT JOIN pg_namespace wn ON wn.oid = w.relnamespace";
  return "SELECT 'h', t.oid, tn.nspname || '.' || t.relname, " + owner +
         ", t.relpages FROM pg_class t JOIN pg_namespace tn ON tn.oid = t.relnamespace" + owners +
         " WHERE t.relkind IN ('r', 'm', 't') AND t.relam = 2 AND t.relpersistence <> 't'" + schema +
         " UNION ALL SELECT 'i', c.oid, n.nspname || '.' || c.relname, " + owner +
         ", c.relpages FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
         " JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace" +
         owners + " WHERE c.relkind = 'i' AND c.relam = 403 AND i.indisready AND i.indisvalid AND c.relpersistence <> 't'" +
         schema + " ORDER BY 5 DESC";
}

class LogicOfDatabase {
 public:
  LogicOfDatabase(const CheckOptions& options, std::string database, CheckState& state)
      : options_(options), database_(std::move(database)), state_(state) {}

  /// False: this host has no amcheck.
  bool Do() {
    SessionPlace place = options_.place;
    place.database = database_;
    Result<Session> session = Session::Open(place);
    if (!session) {
      Unknown(state_, "database '" + database_ + "': " + session.error().message);
      return true;
    }
    const Result<std::string> schema = ReadyAmcheck(*session);
    if (!schema) {
      Unknown(state_, "database '" + database_ + "': " + schema.error().message);
      return schema.error().retry != Retry::kNotFound;
    }
    schema_ = *schema;
    NoteCollations(*session);
    const QueryAnswer heapam = session->Ask(
        "SELECT 1 FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.proname = 'verify_heapam' AND n.nspname = " +
        Quoted(schema_));
    const QueryAnswer listed = session->Ask(RelationsSql(options_.only_schema));
    if (!listed.ok()) {
      TakeError(options_, Level::kLogic, database_, "its catalog", "", *listed.error, state_);
      return true;
    }
    std::vector<Relation> relations;
    for (const auto& row : listed.rows) {
      if (row[0] == "h" && heapam.rows.empty()) continue;  // before PostgreSQL 14
      relations.push_back({row[0] == "i", row[1], row[2], row[3]});
    }
    EachWithSession(options_, database_, relations.size(), state_,
                    [&](Session& with, std::size_t at) { Check(with, relations[at]); });
    return true;
  }

 private:
  void Check(Session& session, const Relation& relation) {
    const bool full = options_.tier == Tier::kFull;
    std::string sql;
    if (relation.index) {
      sql = full ? "SELECT \"" + schema_ + "\".bt_index_parent_check(" + relation.oid + "::regclass, true, true)"
                 : "SELECT \"" + schema_ + "\".bt_index_check(" + relation.oid + "::regclass, false)";
    } else {
      sql = "SELECT blkno, offnum, msg FROM \"" + schema_ + "\".verify_heapam(" + relation.oid +
            "::regclass, on_error_stop := true, check_toast := " + (full ? "true" : "false") + ") LIMIT 20";
    }
    const QueryAnswer answer = session.Ask(sql);
    if (answer.error) return TakeError(options_, Level::kLogic, database_, relation.name, relation.table, *answer.error, state_);
    const std::lock_guard lock(state_.mutex);
    ++(relation.index ? state_.counts.indexes : state_.counts.heaps);
    if (relation.index || answer.rows.empty()) return;
    Finding finding = MakeFinding(28, options_.set, database_ + "." + relation.name,
                                  "block " + answer.rows[0][0] + ", row " + answer.rows[0][1], answer.rows[0][2]);
    finding.level = Level::kLogic;
    finding.count = answer.rows.size();
    state_.told.insert(database_ + "." + relation.table);
    state_.findings.push_back(std::move(finding));
  }

  /// Where the host's collations are others than the source's, indexes on text may be out of order here and right there.
  void NoteCollations(Session& session) {
    const QueryAnswer answer = session.Ask(
        "SELECT coalesce(datcollversion, ''), coalesce(pg_database_collation_actual_version(oid), '') FROM pg_database"
        " WHERE datname = current_database() AND datcollversion IS DISTINCT FROM pg_database_collation_actual_version(oid)");
    if (!answer.ok() || answer.rows.empty()) return;
    Finding note = MakeFinding(
        29, options_.set, database_, "",
        "the database was made with collations of version '" + answer.rows[0][0] + "', this host has '" + answer.rows[0][1] + "'");
    note.level = Level::kLogic;
    note.severity = Severity::kNote;
    note.means = "indexes on text must be rebuilt after a restore to this host";
    const std::lock_guard lock(state_.mutex);
    state_.findings.push_back(std::move(note));
  }

  const CheckOptions& options_;
  std::string database_;
  CheckState& state_;
  std::string schema_;
};

}  // namespace

Result<std::vector<std::string>> DatabasesOf(const SessionPlace& place) {
  SessionPlace first = place;
  first.database = "postgres";
  Result<Session> session = Session::Open(first);
  if (!session) {
    first.database = "template1";
    Result<Session> other = Session::Open(first);
    if (!other) return session.error();
    session = std::move(other);
  }
  const QueryAnswer answer = session->Ask("SELECT datname FROM pg_database WHERE datallowconn ORDER BY oid");
  if (!answer.ok()) return Fail(answer.error->message);
  std::vector<std::string> databases;
  for (const auto& row : answer.rows) databases.push_back(row[0]);
  return databases;
}

void EachWithSession(const CheckOptions& options, const std::string& database, std::size_t count, CheckState& state,
                     const std::function<void(Session&, std::size_t)>& work) {
  std::atomic<std::size_t> next = 0;
  std::atomic<bool> stop = false;
  SessionPlace place = options.place;
  place.database = database;
  const auto take = [&] {
    if (next >= count) return;
    Result<Session> session = Session::Open(place);
    if (!session) {
      Unknown(state, "database '" + database + "': " + session.error().message);
      stop = true;
      return;
    }
    for (std::size_t at = next++; at < count && !stop; at = next++) {
      if (place.cancel != nullptr && place.cancel->load(std::memory_order_relaxed)) {
        const std::lock_guard lock(state.mutex);
        state.cancelled = true;
        return;
      }
      work(*session, at);
      if (options.on_progress) options.on_progress({"check", at + 1, count, database});
    }
  };
  std::vector<std::jthread> helpers;
  for (unsigned helper = 1; helper < std::min<std::size_t>(std::max(options.threads, 1U), count); ++helper)
    helpers.emplace_back(take);
  take();
}

void TakeError(const CheckOptions& options, Level level, const std::string& database, const std::string& relation,
               const std::string& table, const QueryError& error, CheckState& state) {
  const std::string object = database + "." + relation;
  const std::string owner = database + "." + table;
  const int fault = FaultOfQueryError(error.sqlstate, error.message);
  if (error.cancelled || fault == 0) {
    if (!error.cancelled) Unknown(state, "'" + object + "': " + error.message);
    const std::lock_guard lock(state.mutex);
    state.cancelled = state.cancelled || error.cancelled;
    return;
  }
  const std::lock_guard lock(state.mutex);
  if (IsKnown(options.known, error.message)) {
    ++state.known_again;
    state.told.insert(owner);
    return;
  }
  // One damage, one finding: a bad page of a table shows in the check of each of its indexes too.
  for (Finding& each : state.findings) {
    if (each.fault == fault && state.told.count(owner) > 0 && (each.object == object || each.object == owner)) {
      ++each.count;
      return;
    }
  }
  if (state.told.count(owner) > 0 && fault != 28 && fault != 29) return;
  Finding finding = MakeFinding(fault, options.set, object, BlockIn(error.message), error.message);
  finding.level = level;
  state.told.insert(owner);
  state.findings.push_back(std::move(finding));
}

LevelResult VerdictOf(Level level, const CheckState& state, std::uint64_t known_before, std::size_t unknown_before) {
  const bool fault = std::any_of(state.findings.begin(), state.findings.end(),
                                 [&](const Finding& each) { return each.level == level && each.severity == Severity::kFault; });
  if (fault) return {Verdict::kFail, ""};
  if (state.known_again > known_before) return {Verdict::kFail, "damage that a lower level told shows here too"};
  if (state.cancelled) return {Verdict::kNotChecked, "cancelled"};
  if (state.unknown.size() > unknown_before) return {Verdict::kUnknown, state.unknown[unknown_before]};
  return {Verdict::kPass, ""};
}

LevelResult CheckLogic(const CheckOptions& options, const std::vector<std::string>& databases, CheckState& state) {
  const std::uint64_t known_before = state.known_again;
  const std::size_t unknown_before = state.unknown.size();
  for (const std::string& database : databases) {
    if (state.cancelled) break;
    if (!LogicOfDatabase(options, database, state).Do()) return {Verdict::kNotChecked, state.unknown.back()};
  }
  return VerdictOf(Level::kLogic, state, known_before, unknown_before);
}

}  // namespace lifeboat::backup
