#include "prove/evidence.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <set>

namespace lifeboat {

namespace {

constexpr int kApplicationId = 0x4c424556;  // "LBEV"
constexpr int kVersion = 1;
constexpr int kBusyMilliseconds = 2000;

const std::string kNoHash(64, '0');

constexpr const char* kSchema = R"(
CREATE TABLE owner(region TEXT NOT NULL);
CREATE TABLE evidence(sequence INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, region TEXT NOT NULL, kind TEXT NOT NULL,
                      execution TEXT NOT NULL, body TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL);
CREATE TABLE foreign_heads(region TEXT NOT NULL, sequence INTEGER NOT NULL, hash TEXT NOT NULL, at_ns INTEGER NOT NULL,
                           PRIMARY KEY(region, sequence, hash)) WITHOUT ROWID;
CREATE TRIGGER owner_stands BEFORE UPDATE ON owner BEGIN SELECT RAISE(ABORT, 'evidence is append-only'); END;
CREATE TRIGGER owner_stays BEFORE DELETE ON owner BEGIN SELECT RAISE(ABORT, 'evidence is append-only'); END;
CREATE TRIGGER evidence_stands BEFORE UPDATE ON evidence BEGIN SELECT RAISE(ABORT, 'evidence is append-only'); END;
CREATE TRIGGER evidence_stays BEFORE DELETE ON evidence BEGIN SELECT RAISE(ABORT, 'evidence is append-only'); END;
CREATE TRIGGER heads_stand BEFORE UPDATE ON foreign_heads BEGIN SELECT RAISE(ABORT, 'evidence is append-only'); END;
CREATE TRIGGER heads_stay BEFORE DELETE ON foreign_heads BEGIN SELECT RAISE(ABORT, 'evidence is append-only'); END;
)";

std::string Sha256(std::string_view bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  LIFEBOAT_CHECK(EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_sha256(), nullptr) == 1, "SHA-256 failed");
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (unsigned int at = 0; at < size; ++at) {
    hex += kDigits[digest[at] >> 4];
    hex += kDigits[digest[at] & 15];
  }
  return hex;
}

bool IsHash(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

std::string Netstring(std::string_view bytes) { return std::to_string(bytes.size()) + ":" + std::string(bytes) + ","; }

/// A read changes nothing, so its errors are kRetry or kFail; of a write that failed oddly the outcome is unknown.
Error ToError(const SQLite::Exception& e, const std::filesystem::path& file, Retry unmapped) {
  const std::string message = "evidence file '" + file.string() + "': " + e.what();
  switch (e.getErrorCode()) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return RetryLater(message, "another process writes to it: try again");
    case SQLITE_FULL: return Fail(message, "make room on that disk");
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN: return Fail(message, "look at the owner and mode of the file and its folder");
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT: return Fail(message, "keep the file, and compare it with the heads that the other agents hold");
    case SQLITE_CONSTRAINT: return Fail(message);
    default: return {unmapped, message, ""};
  }
}

EvidenceRow RowOf(SQLite::Statement& query) {
  EvidenceRow row;
  row.sequence = static_cast<std::uint64_t>(query.getColumn(0).getInt64());
  row.at = {query.getColumn(1).getInt64()};
  row.region = RegionName(query.getColumn(2).getString());
  row.kind = query.getColumn(3).getString();
  row.execution = ExecutionId(query.getColumn(4).getString());
  row.body = query.getColumn(5).getString();
  row.previous = query.getColumn(6).getString();
  row.hash = query.getColumn(7).getString();
  return row;
}
constexpr const char* kColumns = "sequence, at_ns, region, kind, execution, body, previous, hash";

EvidenceHead ReadHead(SQLite::Database& database) {
  SQLite::Statement query(database, "SELECT sequence, hash, at_ns FROM evidence ORDER BY sequence DESC LIMIT 1");
  if (!query.executeStep()) return {};
  return {
      static_cast<std::uint64_t>(query.getColumn(0).getInt64()), query.getColumn(1).getString(), {query.getColumn(2).getInt64()}};
}

std::string Record(std::uint64_t sequence) { return "record " + std::to_string(sequence); }
std::string Missing(std::uint64_t from, std::uint64_t to) {
  if (from == to) return Record(from) + " is missing";
  return "records " + std::to_string(from) + " to " + std::to_string(to) + " are missing";
}

/// Walks the chain record by record; the heads of others are looked up as it passes them.
class Verification {
 public:
  Verification(RegionName region, const std::vector<ForeignHead>& heads) {
    report_.region = std::move(region);
    std::set<RegionName> holders;
    for (const ForeignHead& head : heads) {
      if (head.region != report_.region || head.sequence == 0) continue;
      heads_.emplace(head.sequence, head);
      holders.insert(head.holder);
    }
    report_.heads_compared = heads_.size();
    report_.holders.assign(holders.begin(), holders.end());
  }

  void Take(const EvidenceRow& row) {
    ++report_.records;
    const std::uint64_t expected = report_.head.sequence + 1;
    const bool follows = row.sequence == expected;
    if (!follows) Add(expected, Missing(expected, row.sequence - 1));
    if (row.hash != EvidenceHash(row)) Add(row.sequence, Record(row.sequence) + " was changed: its hash does not fit its content");
    if (follows && row.previous != (row.sequence == 1 ? kNoHash : report_.head.hash)) {
      Add(row.sequence, row.sequence == 1 ? "record 1 is not the first of a chain"
                                          : Record(row.sequence) + " does not follow " + Record(row.sequence - 1) +
                                                ": the hash that it names is another one");
    }
    if (row.region != report_.region) {
      Add(row.sequence, Record(row.sequence) + " claims region '" + row.region.text + "', and this is the chain of '" +
                            report_.region.text + "'");
    }
    Compare(row);
    report_.head = {row.sequence, row.hash, row.at};
  }

  /// What others hold beyond the end was cut off.
  VerifyReport End() {
    if (!heads_.empty() && heads_.rbegin()->first > report_.head.sequence) {
      const ForeignHead& last = heads_.rbegin()->second;
      Add(report_.head.sequence + 1, Missing(report_.head.sequence + 1, last.sequence) + ": region '" + last.holder.text +
                                         "' holds the head of " + Record(last.sequence));
    }
    return std::move(report_);
  }

  void Add(std::uint64_t sequence, std::string sentence) { report_.problems.push_back({sequence, std::move(sentence)}); }

 private:
  void Compare(const EvidenceRow& row) {
    const auto [begin, end] = heads_.equal_range(row.sequence);
    for (auto it = begin; it != end; ++it) {
      if (it->second.hash == row.hash) continue;
      Add(row.sequence, Record(row.sequence) + " is not the one that region '" + it->second.holder.text + "' holds the head of");
    }
  }

  VerifyReport report_;
  std::multimap<std::uint64_t, ForeignHead> heads_;
};

}  // namespace

struct EvidenceLog::State {
  std::filesystem::path file;
  RegionName region;
  std::mutex one_call;
  SQLite::Database database;

  State(std::filesystem::path path, RegionName name)
      : file(std::move(path)),
        region(std::move(name)),
        database(file.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE | SQLite::OPEN_FULLMUTEX, kBusyMilliseconds) {}

  int Pragma(const char* name) { return database.execAndGet("PRAGMA " + std::string(name)).getInt(); }

  /// Answers an error for a file that is not ours, before anything is written to it.
  std::optional<Error> Prepare() {
    const bool fresh = Pragma("application_id") == 0 && database.execAndGet("SELECT count(*) FROM sqlite_master").getInt() == 0;
    if (!fresh && Pragma("application_id") != kApplicationId)
      return Fail("'" + file.string() + "' is no evidence file", "name another file");
    if (!fresh && Pragma("user_version") != kVersion) {
      return Fail("evidence file '" + file.string() + "' has version " + std::to_string(Pragma("user_version")) +
                      ", and this program knows version " + std::to_string(kVersion),
                  "use the program that wrote it");
    }
    database.exec("PRAGMA journal_mode = WAL");
    database.exec("PRAGMA synchronous = FULL");
    SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
    if (database.execAndGet("SELECT count(*) FROM sqlite_master").getInt() == 0) {
      database.exec(kSchema);
      SQLite::Statement owner(database, "INSERT INTO owner VALUES (?)");
      owner.bind(1, region.text);
      owner.exec();
      database.exec("PRAGMA application_id = " + std::to_string(kApplicationId));
      database.exec("PRAGMA user_version = " + std::to_string(kVersion));
      transaction.commit();
    }
    const std::string owner = database.execAndGet("SELECT region FROM owner LIMIT 1").getString();
    if (owner == region.text) return std::nullopt;
    return Fail("evidence file '" + file.string() + "' is of region '" + owner + "', not '" + region.text + "'",
                "name the state directory of '" + region.text + "'");
  }
};

std::string CanonicalText(const Json& body) { return body.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace); }

std::string EvidenceHash(const EvidenceRow& row) {
  return Sha256(Netstring("lifeboat-evidence/1") + Netstring(std::to_string(row.sequence)) + Netstring(std::to_string(row.at.ns)) +
                Netstring(row.region.text) + Netstring(row.kind) + Netstring(row.execution.text) + Netstring(row.body) +
                Netstring(row.previous));
}

EvidenceLog::EvidenceLog(std::unique_ptr<State> state) : state_(std::move(state)) {}
EvidenceLog::EvidenceLog(EvidenceLog&&) noexcept = default;
EvidenceLog& EvidenceLog::operator=(EvidenceLog&&) noexcept = default;
EvidenceLog::~EvidenceLog() = default;

Result<EvidenceLog> EvidenceLog::Open(const std::filesystem::path& file, RegionName region) {
  // SQLite gives its side files the mode of the database, so it is made with 0600 before SQLite meets it.
  const int made = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (made >= 0) close(made);
  try {
    auto state = std::make_unique<State>(file, std::move(region));
    if (auto problem = state->Prepare()) return *problem;
    return EvidenceLog(std::move(state));
  } catch (const SQLite::Exception& e) {
    return ToError(e, file, Retry::kFail);
  }
}

Result<EvidenceRow> EvidenceLog::Append(std::string kind, ExecutionId execution, const Json& body, WallTime at) {
  const std::scoped_lock lock(state_->one_call);
  try {
    // IMMEDIATE: the head that is read is the one that is followed, also with a second process.
    SQLite::Transaction transaction(state_->database, SQLite::TransactionBehavior::IMMEDIATE);
    const EvidenceHead head = ReadHead(state_->database);
    EvidenceRow row{head.sequence + 1,
                    at,
                    state_->region,
                    std::move(kind),
                    std::move(execution),
                    CanonicalText(body),
                    head.sequence == 0 ? kNoHash : head.hash,
                    ""};
    row.hash = EvidenceHash(row);
    SQLite::Statement insert(state_->database, "INSERT INTO evidence VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
    insert.bind(1, static_cast<std::int64_t>(row.sequence));
    insert.bind(2, row.at.ns);
    insert.bind(3, row.region.text);
    insert.bind(4, row.kind);
    insert.bind(5, row.execution.text);
    insert.bind(6, row.body);
    insert.bind(7, row.previous);
    insert.bind(8, row.hash);
    insert.exec();
    transaction.commit();
    return row;
  } catch (const SQLite::Exception& e) {
    return ToError(e, state_->file, Retry::kUnknownOutcome);
  }
}

Result<EvidenceHead> EvidenceLog::Head() {
  const std::scoped_lock lock(state_->one_call);
  try {
    return ReadHead(state_->database);
  } catch (const SQLite::Exception& e) {
    return ToError(e, state_->file, Retry::kFail);
  }
}

Result<std::vector<EvidenceRow>> EvidenceLog::List(const EvidenceFilter& filter) {
  const std::scoped_lock lock(state_->one_call);
  try {
    SQLite::Statement query(state_->database,
                            std::string("SELECT ") + kColumns +
                                " FROM evidence WHERE sequence > ? AND (? IS NULL OR kind = ?) AND (? IS NULL OR execution = ?)"
                                " ORDER BY sequence DESC LIMIT ?");
    query.bind(1, static_cast<std::int64_t>(filter.after));
    for (const int place : {2, 3}) {
      if (filter.kind) query.bind(place, *filter.kind);
    }
    for (const int place : {4, 5}) {
      if (filter.execution) query.bind(place, filter.execution->text);
    }
    query.bind(6, static_cast<std::int64_t>(filter.limit));
    std::vector<EvidenceRow> rows;
    while (query.executeStep()) rows.push_back(RowOf(query));
    std::reverse(rows.begin(), rows.end());
    return rows;
  } catch (const SQLite::Exception& e) {
    return ToError(e, state_->file, Retry::kFail);
  }
}

Result<Unit> EvidenceLog::NoteForeignHead(RegionName region, std::uint64_t sequence, std::string hash, WallTime at) {
  if (region == state_->region) return Refused("a head of region '" + region.text + "' is no foreign head there");
  if (sequence == 0) return Done();  // an empty chain has no head yet
  if (region.empty() || !IsHash(hash)) return Fail("'" + hash.substr(0, 80) + "' is no head of an evidence chain");
  const std::scoped_lock lock(state_->one_call);
  try {
    // A second hash for the same sequence number is kept beside the first: that is the trace of a chain written anew.
    SQLite::Statement insert(state_->database, "INSERT OR IGNORE INTO foreign_heads VALUES (?, ?, ?, ?)");
    insert.bind(1, region.text);
    insert.bind(2, static_cast<std::int64_t>(sequence));
    insert.bind(3, hash);
    insert.bind(4, at.ns);
    insert.exec();
    return Done();
  } catch (const SQLite::Exception& e) {
    return ToError(e, state_->file, Retry::kRetry);  // noting it again does no harm
  }
}

Result<std::vector<ForeignHead>> EvidenceLog::ForeignHeads(const RegionName& region) {
  const std::scoped_lock lock(state_->one_call);
  try {
    SQLite::Statement query(state_->database,
                            "SELECT sequence, hash, at_ns FROM foreign_heads WHERE region = ? ORDER BY sequence, at_ns");
    query.bind(1, region.text);
    std::vector<ForeignHead> heads;
    while (query.executeStep()) {
      heads.push_back({region,
                       state_->region,
                       static_cast<std::uint64_t>(query.getColumn(0).getInt64()),
                       query.getColumn(1).getString(),
                       {query.getColumn(2).getInt64()}});
    }
    return heads;
  } catch (const SQLite::Exception& e) {
    return ToError(e, state_->file, Retry::kFail);
  }
}

Result<VerifyReport> EvidenceLog::Verify(const std::vector<ForeignHead>& held_by_others) {
  const std::scoped_lock lock(state_->one_call);
  Verification verification(state_->region, held_by_others);
  try {
    const std::string damage = state_->database.execAndGet("PRAGMA quick_check(1)").getString();
    if (damage != "ok") verification.Add(0, "the file is damaged: " + damage);
    SQLite::Statement query(state_->database, std::string("SELECT ") + kColumns + " FROM evidence ORDER BY sequence");
    while (query.executeStep()) verification.Take(RowOf(query));
  } catch (const SQLite::Exception& e) {
    if (e.getErrorCode() != SQLITE_CORRUPT && e.getErrorCode() != SQLITE_NOTADB) return ToError(e, state_->file, Retry::kFail);
    verification.Add(0, std::string("the file is damaged: ") + e.what());
  }
  return verification.End();
}

std::string VerifyReport::Sentence() const {
  std::string text = std::to_string(records) + (records == 1 ? " record, " : " records, ");
  text += Intact() ? "chain whole" : std::to_string(problems.size()) + (problems.size() == 1 ? " problem" : " problems");
  if (records == 0 && Intact() && heads_compared == 0) return "no record yet";
  if (heads_compared == 0) return text + ", its end not compared with any other region";
  return text + ", compared with " + std::to_string(holders.size()) + (holders.size() == 1 ? " region" : " regions");
}

Json ToJson(const EvidenceRow& row) {
  Json body = Json::parse(row.body, nullptr, /*allow_exceptions=*/false);
  return {{"sequence", row.sequence},        {"at_ns", row.at.ns},
          {"region", row.region.text},       {"kind", row.kind},
          {"execution", row.execution.text}, {"body", body.is_discarded() ? Json(row.body) : body},
          {"previous", row.previous},        {"hash", row.hash}};
}

Json ToJson(const EvidenceHead& head) { return {{"sequence", head.sequence}, {"hash", head.hash}, {"at_ns", head.at.ns}}; }

Json ToJson(const ForeignHead& head) {
  return {{"region", head.region.text},
          {"holder", head.holder.text},
          {"sequence", head.sequence},
          {"hash", head.hash},
          {"at_ns", head.at.ns}};
}

Result<ForeignHead> ForeignHeadFromJson(const Json& json) {
  ForeignHead head{RegionName(TextAt(json, "region")),
                   RegionName(TextAt(json, "holder")),
                   NumberAt(json, "sequence"),
                   TextAt(json, "hash"),
                   {SignedAt(json, "at_ns")}};
  if (head.region.empty() || head.holder.empty() || head.sequence == 0 || !IsHash(head.hash)) {
    return Fail("a head of an evidence chain cannot be read: '" + CanonicalText(json).substr(0, 200) + "'");
  }
  return head;
}

Json ToJson(const VerifyReport& report) {
  Json holders = Json::array();
  for (const RegionName& holder : report.holders) holders.push_back(holder.text);
  Json problems = Json::array();
  for (const EvidenceProblem& problem : report.problems)
    problems.push_back({{"sequence", problem.sequence}, {"sentence", problem.sentence}});
  return {{"region", report.region.text},
          {"records", report.records},
          {"head", ToJson(report.head)},
          {"intact", report.Intact()},
          {"heads_compared", report.heads_compared},
          {"holders", holders},
          {"problems", problems},
          {"sentence", report.Sentence()}};
}

}  // namespace lifeboat
