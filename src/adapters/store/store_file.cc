#include "adapters/store/store_file.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>
#include <optional>

namespace lifeboat {

namespace {

constexpr std::uint32_t kApplicationId = 0x4c425354;  // "LBST"
constexpr std::uint32_t kSchemaVersion = 1;

/// A file descriptor that closes itself.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

std::string SystemText() { return std::strerror(errno); }

Result<Descriptor> TakeLock(const std::string& path) {
  const std::string lock_path = path + ".lock";
  Descriptor lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock.valid()) {
    return Fail("cannot open '" + lock_path + "': " + SystemText(), "make the folder and let the agent's user write in it");
  }
  // SAFETY: two processes with one store would each serve its own memory: two truths (EmbeddedStoreTest.KeepsASecondOpenerOut).
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return Fail("store '" + path + "' is open in another process", "stop the other agent of this region first");
  }
  return lock;
}

std::uint32_t BigEndianAt(const std::array<char, 100>& header, std::size_t offset) {
  std::uint32_t number = 0;
  for (std::size_t at = offset; at < offset + 4; ++at) number = number << 8 | static_cast<unsigned char>(header[at]);
  return number;
}

/// Reads the header without SQLite, which would already touch a foreign file. The header never lags behind the log: both
/// numbers are written before the file gets its name.
Result<Unit> CheckHeader(const std::string& path) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return Fail("cannot read store '" + path + "': " + SystemText());
  std::array<char, 100> header{};
  const ssize_t count = ::read(file.get(), header.data(), header.size());
  const char* const other_file = "it was left untouched; give store.file another path, or restore the store's own file";
  if (count != static_cast<ssize_t>(header.size()) || std::memcmp(header.data(), "SQLite format 3", 16) != 0) {
    return Fail("'" + path + "' is not a Lifeboat store", other_file);
  }
  if (BigEndianAt(header, 68) != kApplicationId) {
    return Fail("'" + path + "' is a database of another application", other_file);
  }
  if (const std::uint32_t version = BigEndianAt(header, 60); version != kSchemaVersion) {
    return Fail("store '" + path + "' has schema version '" + std::to_string(version) + "', this program knows '" +
                    std::to_string(kSchemaVersion) + "'",
                "run the Lifeboat version that wrote it");
  }
  return Done();
}

Result<Unit> SyncFolderOf(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  Descriptor folder(::open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid() || ::fsync(folder.get()) != 0) return Fail("cannot sync the folder of '" + path + "': " + SystemText());
  return Done();
}

/// Makes a whole file beside `path` and renames it, so that a half-made store never has the name of one.
Result<Unit> CreateFile(const std::string& path) {
  const std::string fresh = path + ".new";
  for (const char* suffix : {"", "-journal", "-wal", "-shm"}) ::unlink((fresh + suffix).c_str());
  if (Descriptor made(::open(fresh.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)); !made.valid()) {
    return Fail("cannot make store '" + path + "': " + SystemText());
  }
  {
    SQLite::Database database(fresh, SQLite::OPEN_READWRITE);
    database.exec("PRAGMA synchronous=FULL");
    database.exec("BEGIN");
    database.exec("CREATE TABLE meta(name TEXT PRIMARY KEY, number INTEGER NOT NULL) WITHOUT ROWID");
    database.exec("CREATE TABLE records(key TEXT PRIMARY KEY, value TEXT NOT NULL, version INTEGER NOT NULL) WITHOUT ROWID");
    database.exec("INSERT INTO meta VALUES('incarnation', 0), ('rewritten', 0)");
    database.exec("PRAGMA application_id=" + std::to_string(kApplicationId));
    database.exec("PRAGMA user_version=" + std::to_string(kSchemaVersion));
    database.exec("COMMIT");
  }
  if (::rename(fresh.c_str(), path.c_str()) != 0) return Fail("cannot name store '" + path + "': " + SystemText());
  return SyncFolderOf(path);
}

/// Makes the file where there is none; otherwise it must be a store of this version.
Result<Unit> PrepareFile(const std::string& path) {
  struct ::stat status {};
  if (::stat(path.c_str(), &status) == 0) return CheckHeader(path);
  if (errno != ENOENT) return Fail("cannot look at store '" + path + "': " + SystemText());
  if (::stat((path + "-wal").c_str(), &status) == 0) {
    return Fail("store '" + path + "' is missing, but its log '" + path + "-wal' is there",
                "put the database file back beside its log; to begin with an empty store, move the log away");
  }
  return CreateFile(path);
}

void Configure(SQLite::Database& database) {
  // Until everything has been found good, closing must not move the log into the file.
  sqlite3_db_config(database.getHandle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  database.exec("PRAGMA locking_mode=EXCLUSIVE");
  database.exec("PRAGMA journal_mode=WAL");
  // SAFETY: an epoch that was answered is on the disk (EmbeddedStoreKilled.KeepsEveryAcknowledgedDurableCommit).
  database.exec("PRAGMA synchronous=FULL");
}

std::optional<Error> FindCorruption(SQLite::Database& database, const std::string& path) {
  SQLite::Statement check(database, "PRAGMA quick_check(1)");
  const std::string finding = check.executeStep() ? check.getColumn(0).getString() : "no answer";
  if (finding == "ok") return std::nullopt;
  return Fail("store '" + path + "' is corrupt: " + finding, "it was left untouched; restore it from a copy, or move it away");
}

StoreContents ReadContents(SQLite::Database& database) {
  StoreContents contents;
  SQLite::Statement rows(database, "SELECT key, value, version FROM records ORDER BY key");
  while (rows.executeStep()) {
    Version version{static_cast<std::uint64_t>(rows.getColumn(2).getInt64())};
    contents.records.push_back({rows.getColumn(0).getString(), rows.getColumn(1).getString(), version});
  }
  contents.incarnation.number =
      static_cast<std::uint64_t>(database.execAndGet("SELECT number FROM meta WHERE name='incarnation'").getInt64());
  return contents;
}

}  // namespace

struct StoreFile::Handles {
  std::string path;
  Descriptor lock;
  std::unique_ptr<SQLite::Database> database;
};

StoreFile::StoreFile(std::unique_ptr<Handles> handles) : handles_(std::move(handles)) {}
StoreFile::~StoreFile() = default;

Result<StoreFile::Opened> StoreFile::Open(const std::string& path) {
  auto handles = std::make_unique<Handles>();
  handles->path = path;
  Result<Descriptor> lock = TakeLock(path);
  if (!lock) return lock.error();
  handles->lock = std::move(lock).value();
  try {
    if (Result<Unit> prepared = PrepareFile(path); !prepared) return prepared.error();
    handles->database = std::make_unique<SQLite::Database>(path, SQLite::OPEN_READWRITE);
    SQLite::Database& database = *handles->database;
    Configure(database);
    if (std::optional<Error> corruption = FindCorruption(database, path)) return *corruption;
    StoreContents contents = ReadContents(database);
    if (contents.incarnation.number >= kLastIncarnation) return Fail("store '" + path + "' has used up its incarnations");
    // SAFETY: a restart that looked like the same life would let a renewal be forgotten unseen
    // (StoreContract.ARestartIsANewIncarnation).
    database.exec("UPDATE meta SET number=number+1 WHERE name='incarnation'");
    contents.incarnation.number += 1;
    sqlite3_db_config(database.getHandle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, nullptr);
    return Opened{std::unique_ptr<StoreFile>(new StoreFile(std::move(handles))), std::move(contents)};
  } catch (const SQLite::Exception& problem) {
    switch (problem.getErrorCode()) {
      case SQLITE_BUSY: return Fail("store '" + path + "' is open in another program", "close it there first");
      case SQLITE_CORRUPT:
      case SQLITE_NOTADB:
        return Fail("store '" + path + "' is corrupt: " + problem.what(),
                    "it was left untouched; restore it from a copy, or move it away");
      default:
        return Fail("cannot open store '" + path + "': " + problem.what(), "free space on its disk, and check who may write there");
    }
  }
}

void StoreFile::Apply(const DurableChange& change) {
  SQLite::Database& database = *handles_->database;
  SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
  if (change.reseeded) {
    database.exec("DELETE FROM records");
    SQLite::Statement begin(database, "UPDATE meta SET number=? WHERE name='incarnation'");
    begin.bind(1, static_cast<std::int64_t>(change.reseeded->number));
    begin.exec();
  }
  SQLite::Statement put(database, "INSERT INTO records VALUES(?,?,?) ON CONFLICT(key) DO UPDATE SET value=?2, version=?3");
  for (const Transaction::Put& record : change.puts) {
    put.reset();
    put.bind(1, record.key);
    put.bind(2, record.value);
    put.bind(3, static_cast<std::int64_t>(change.version.number));
    put.exec();
  }
  SQLite::Statement remove(database, "DELETE FROM records WHERE key=?");
  for (const std::string& key : change.deletes) {
    remove.reset();
    remove.bind(1, key);
    remove.exec();
  }
  transaction.commit();
}

bool StoreFile::Rewrite() noexcept {
  try {
    handles_->database->exec("UPDATE meta SET number=number+1 WHERE name='rewritten'");
    must_rewrite_ = false;
    return true;
  } catch (const SQLite::Exception&) {
    return false;
  }
}

Result<Unit> StoreFile::Write(const DurableChange& change) {
  const char* const hint = "free space on its disk; reads and lease renewals go on, and the next change tries again";
  if (must_rewrite_ && !Rewrite()) return Fail("store '" + handles_->path + "' still cannot write to its disk", hint);
  try {
    Apply(change);
    return Done();
  } catch (const SQLite::Exception& problem) {
    // SAFETY: what is reported as not written must not come back after a crash; a neutral commit takes its place in the log.
    must_rewrite_ = true;
    std::string message = "store '" + handles_->path + "' cannot write: " + problem.what();
    Rewrite();
    return Fail(std::move(message), hint);
  }
}

}  // namespace lifeboat
