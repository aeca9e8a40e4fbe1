#include "adapters/backups/memory.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <SQLiteCpp/VariadicBind.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mutex>

namespace lifeboat::backup {

namespace {

namespace fs = std::filesystem;

constexpr int kApplicationId = 0x4c42424d;  // "LBBM"
constexpr int kVersion = 1;
constexpr int kBusyMilliseconds = 5000;
constexpr std::size_t kMostPending = 5000;

// reading: what stands. at: of the reading; seen: the run of its scope that met it last.
constexpr const char* kSchema = R"(
CREATE TABLE reading(source TEXT NOT NULL, key TEXT NOT NULL, size INTEGER NOT NULL, changed_ns INTEGER NOT NULL,
                     touched_ns INTEGER NOT NULL, expected TEXT NOT NULL, level INTEGER NOT NULL, at INTEGER NOT NULL,
                     scope TEXT NOT NULL, seen INTEGER NOT NULL, PRIMARY KEY(source, key)) WITHOUT ROWID;
CREATE TABLE run(source TEXT NOT NULL, scope TEXT NOT NULL, number INTEGER NOT NULL, at INTEGER NOT NULL,
                 PRIMARY KEY(source, scope)) WITHOUT ROWID;
CREATE TABLE verified(source TEXT NOT NULL, label TEXT NOT NULL, stopped INTEGER NOT NULL, level INTEGER NOT NULL,
                      at INTEGER NOT NULL, PRIMARY KEY(source, label)) WITHOUT ROWID;
)";

std::uint64_t Fnv(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const unsigned char c : text) hash = (hash ^ c) * 0x100000001b3ULL;
  return hash ^ (hash >> 32U);
}

std::int64_t Nanoseconds(const timespec& at) { return static_cast<std::int64_t>(at.tv_sec) * 1000000000 + at.tv_nsec; }

bool IsDamage(const SQLite::Exception& e) { return e.getErrorCode() == SQLITE_NOTADB || e.getErrorCode() == SQLITE_CORRUPT; }

Error ToError(const SQLite::Exception& e, const fs::path& file) {
  return Fail("the memory of what was verified, '" + file.string() + "': " + e.what(), "look at its folder's owner and free space");
}

/// SAFETY: nobody else may write into it: a forged reading would pass for a real one.
void MakeOurs(const fs::path& file) {
  const int fd = open(file.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return;
  struct stat folder {};
  // Made by root in the folder of another user (an agent's): that one must be able to use it as well.
  if (geteuid() == 0 && stat(file.parent_path().c_str(), &folder) == 0) (void)!fchown(fd, folder.st_uid, folder.st_gid);
  close(fd);
}

std::unique_ptr<SQLite::Database> OpenDatabase(const fs::path& file) {
  MakeOurs(file);
  auto database =
      std::make_unique<SQLite::Database>(file.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, kBusyMilliseconds);
  database->exec("PRAGMA synchronous = FULL");
  const int application = database->execAndGet("PRAGMA application_id").getInt();
  const int version = database->execAndGet("PRAGMA user_version").getInt();
  if (application == kApplicationId && version == kVersion) {
    if (database->execAndGet("PRAGMA quick_check(1)").getString() != "ok") throw SQLite::Exception("it is damaged", SQLITE_CORRUPT);
    return database;
  }
  const bool empty = database->execAndGet("SELECT count(*) FROM sqlite_master").getInt() == 0;
  if (application != 0 || version != 0 || !empty)
    throw SQLite::Exception("it is another program's, or a newer one's", SQLITE_MISMATCH);
  SQLite::Transaction all(*database, SQLite::TransactionBehavior::IMMEDIATE);
  database->exec(kSchema);
  database->exec("PRAGMA application_id = " + std::to_string(kApplicationId));
  database->exec("PRAGMA user_version = " + std::to_string(kVersion));
  all.commit();
  return database;
}

}  // namespace

std::optional<StoredIdentity> IdentityOf(const fs::path& file, std::uint64_t offset, std::string expected) {
  if (file.string().starts_with("s3://")) return std::nullopt;  // an object, whatever lies here under such a path
  struct stat about {};
  if (stat(file.c_str(), &about) != 0) return std::nullopt;
  StoredIdentity identity;
  identity.key = offset == 0 ? file.string() : file.string() + "@" + std::to_string(offset);
  identity.size = static_cast<std::uint64_t>(about.st_size);
  identity.changed_ns = Nanoseconds(about.st_mtim);
  identity.touched_ns = Nanoseconds(about.st_ctim);
  identity.expected = std::move(expected);
  return identity;
}

std::optional<StoredIdentity> IdentityOf(const StoredPlace& place, std::string expected) {
  if (place.version.empty()) return IdentityOf(place.file, place.offset, std::move(expected));
  StoredIdentity identity;
  identity.key = place.offset == 0 ? place.file.string() : place.file.string() + "@" + std::to_string(place.offset);
  identity.size = place.size;
  identity.changed_ns = place.modified * 1'000'000'000;
  identity.expected = std::move(expected) + " version " + place.version;
  return identity;
}

bool IsDue(std::string_view group, std::uint64_t run, RollingShare share) {
  if (share.part >= share.whole) return true;
  const std::uint64_t slot = Fnv(group) % share.whole;
  const std::uint64_t first = run % share.whole * share.part % share.whole;
  return (slot + share.whole - first) % share.whole < share.part;
}

/// Writes are gathered, so that threads that read do not wait for the disk one by one.
struct VerifiedMemory::State {
  struct Pending {
    StoredIdentity identity;
    int level = -1;    ///< -1: forget it
    bool met = false;  ///< it stands, and was met
  };

  fs::path file;
  std::string source;
  std::unique_ptr<SQLite::Database> database;
  std::mutex mutex;
  std::unique_ptr<SQLite::Statement> find;
  RunOptions run;
  std::uint64_t number = 0;
  bool begun = false;
  std::vector<Pending> pending;
  std::optional<Error> problem;  ///< the first; from then on nothing stands

  /// Runs `work` on the database; what it throws ends the use of this memory.
  template <typename Work>
  void Try(const Work& work) {
    if (problem) return;
    try {
      work();
    } catch (const SQLite::Exception& e) {
      problem = ToError(e, file);
    }
  }

  void Flush() {
    Try([this] {
      if (pending.empty()) return;
      SQLite::Transaction all(*database, SQLite::TransactionBehavior::IMMEDIATE);
      SQLite::Statement put(
          *database,
          "INSERT INTO reading VALUES(?,?,?,?,?,?,?,?,?,?) ON CONFLICT(source, key) DO UPDATE SET size = excluded.size, "
          "changed_ns = excluded.changed_ns, touched_ns = excluded.touched_ns, expected = excluded.expected, "
          "level = excluded.level, at = excluded.at, scope = excluded.scope, seen = excluded.seen");
      SQLite::Statement meet(*database, "UPDATE reading SET scope = ?, seen = ? WHERE source = ? AND key = ?");
      SQLite::Statement drop(*database, "DELETE FROM reading WHERE source = ? AND key = ?");
      for (const Pending& each : pending) Write(each, put, meet, drop);
      all.commit();
      pending.clear();
    });
  }

  void Write(const Pending& each, SQLite::Statement& put, SQLite::Statement& meet, SQLite::Statement& drop) const {
    const auto seen = static_cast<std::int64_t>(number);
    const StoredIdentity& identity = each.identity;
    if (each.met) {
      SQLite::bind(meet, run.scope, seen, source, identity.key);
      meet.exec();
      meet.reset();
    } else if (each.level < 0) {
      SQLite::bind(drop, source, identity.key);
      drop.exec();
      drop.reset();
    } else {
      SQLite::bind(put, source, identity.key, static_cast<std::int64_t>(identity.size), identity.changed_ns, identity.touched_ns,
                   identity.expected, each.level, run.now, run.scope, seen);
      put.exec();
      put.reset();
    }
  }

  void Add(Pending each) {
    if (problem || !begun) return;
    pending.push_back(std::move(each));
    if (pending.size() >= kMostPending) Flush();
  }
};

VerifiedMemory::VerifiedMemory(std::unique_ptr<State> state) : state_(std::move(state)) {}
VerifiedMemory::~VerifiedMemory() = default;

Result<std::unique_ptr<VerifiedMemory>> VerifiedMemory::Open(const fs::path& file, std::string source) {
  auto state = std::make_unique<State>();
  state->file = file;
  state->source = std::move(source);
  for (const bool again : {false, true}) {
    try {
      state->database = OpenDatabase(file);
      state->find = std::make_unique<SQLite::Statement>(
          *state->database, "SELECT size, changed_ns, touched_ns, expected, level, at FROM reading WHERE source = ? AND key = ?");
      break;
    } catch (const SQLite::Exception& e) {
      std::error_code failed;
      if (again || !IsDamage(e)) return ToError(e, file);
      fs::rename(file, file.string() + ".damaged", failed);
      if (failed) return ToError(e, file);
    }
  }
  return std::unique_ptr<VerifiedMemory>(new VerifiedMemory(std::move(state)));
}

void VerifiedMemory::Begin(RunOptions options) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  s.run = std::move(options);
  s.begun = true;
  s.Try([&] {
    SQLite::Statement ask(*s.database, "SELECT number FROM run WHERE source = ? AND scope = ?");
    SQLite::bind(ask, s.source, s.run.scope);
    s.number = ask.executeStep() ? static_cast<std::uint64_t>(ask.getColumn(0).getInt64()) : 0;
  });
}

std::optional<std::int64_t> VerifiedMemory::Stands(const StoredIdentity& identity, Level level, std::string_view group) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  if (!s.begun || s.run.full || s.problem) return std::nullopt;
  if (IsDue(group.empty() ? std::string_view(identity.key) : group, s.number, s.run.share)) return std::nullopt;
  std::optional<std::int64_t> at;
  s.Try([&] {
    s.find->reset();
    SQLite::bind(*s.find, s.source, identity.key);
    if (!s.find->executeStep()) return;
    const bool same = static_cast<std::uint64_t>(s.find->getColumn(0).getInt64()) == identity.size &&
                      s.find->getColumn(1).getInt64() == identity.changed_ns &&
                      s.find->getColumn(2).getInt64() == identity.touched_ns &&
                      s.find->getColumn(3).getString() == identity.expected;
    const std::int64_t read_at = s.find->getColumn(5).getInt64();
    // SAFETY: a reading of a lower level says nothing of the higher one, and one from the future is by a clock that was wrong.
    if (same && s.find->getColumn(4).getInt() >= static_cast<int>(level) && read_at <= s.run.now) at = read_at;
    s.find->reset();
  });
  if (at) s.Add({identity, 0, true});
  return s.problem ? std::nullopt : at;
}

void VerifiedMemory::Remember(const StoredIdentity& identity, Level level) {
  const std::lock_guard lock(state_->mutex);
  state_->Add({identity, static_cast<int>(level), false});
}

void VerifiedMemory::Forget(const StoredIdentity& identity) {
  const std::lock_guard lock(state_->mutex);
  state_->Add({identity, -1, false});
}

Result<Unit> VerifiedMemory::End(bool complete) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  s.Flush();
  if (complete) {
    s.Try([&] {
      SQLite::Transaction all(*s.database, SQLite::TransactionBehavior::IMMEDIATE);
      SQLite::Statement drop(*s.database, "DELETE FROM reading WHERE source = ? AND scope = ? AND seen < ?");
      SQLite::bind(drop, s.source, s.run.scope, static_cast<std::int64_t>(s.number));
      drop.exec();
      SQLite::Statement put(*s.database, "INSERT OR REPLACE INTO run VALUES(?,?,?,?)");
      SQLite::bind(put, s.source, s.run.scope, static_cast<std::int64_t>(s.number + 1), s.run.now);
      put.exec();
      all.commit();
    });
  }
  s.begun = false;
  if (s.problem) return *s.problem;
  return lifeboat::Done();
}

void VerifiedMemory::NoteSet(const VerifiedSet& set) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  s.Try([&] {
    SQLite::Statement put(
        *s.database,
        "INSERT INTO verified VALUES(?,?,?,?,?) ON CONFLICT(source, label) DO UPDATE SET stopped = excluded.stopped, "
        "level = max(level, excluded.level), at = excluded.at");
    SQLite::bind(put, s.source, set.label, set.stopped, set.level, set.at);
    put.exec();
  });
}

void VerifiedMemory::ForgetSet(const std::string& label) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  s.Try([&] {
    SQLite::Statement drop(*s.database, "DELETE FROM verified WHERE source = ? AND label = ?");
    SQLite::bind(drop, s.source, label);
    drop.exec();
  });
}

Result<std::vector<VerifiedSet>> VerifiedMemory::Sets() {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  std::vector<VerifiedSet> sets;
  s.Try([&] {
    SQLite::Statement ask(*s.database, "SELECT label, stopped, level, at FROM verified WHERE source = ? ORDER BY stopped");
    SQLite::bind(ask, s.source);
    while (ask.executeStep()) {
      sets.push_back(
          {ask.getColumn(0).getString(), ask.getColumn(1).getInt64(), ask.getColumn(2).getInt(), ask.getColumn(3).getInt64()});
    }
  });
  if (s.problem) return *s.problem;
  return sets;
}

}  // namespace lifeboat::backup
