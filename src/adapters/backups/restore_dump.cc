#include "adapters/backups/restore_dump.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fstream>
#include <thread>

#include "adapters/backups/session.h"
#include "adapters/backups/source_internal.h"
#include "adapters/backups/tar.h"
#include "backup/server_words.h"

namespace lifeboat::backup {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr const char* kOwner = "lifeboat_owner";
constexpr std::size_t kMostContents = 512U << 20U;
constexpr std::size_t kMostHead = 64U << 20U;  // roles and tablespaces, before the first database
constexpr std::size_t kTail = 1024;
constexpr Duration kShort = std::chrono::minutes(5);

Compression CompressionOf(const fs::path& file) {
  const std::string whole = file.filename().string();
  std::string_view name = whole;
  return TakeCompression(name);
}

std::string SqlName(const std::string& name) {
  std::string quoted = "\"";
  for (const char c : name) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

/// A value of a connection string.
std::string ConnectValue(const std::string& value) {
  std::string quoted = "'";
  for (const char c : value) quoted += c == '\'' || c == '\\' ? std::string("\\") + c : std::string(1, c);
  return quoted + "'";
}

/// The newest version of PostgreSQL that this host has.
std::string NewestInstalled() {
  std::string newest;
  std::error_code problem;
  for (const fs::directory_entry& entry : fs::directory_iterator("/usr/lib/postgresql", problem)) {
    const std::string version = MajorVersionOf(entry.path().filename().string());
    if (version.size() > newest.size() || (version.size() == newest.size() && version > newest)) newest = version;
  }
  return newest;
}

std::string SettingsFor(const Sandbox& sandbox, const RestoreOptions& options) {
  const char* durable = options.durable ? "on" : "off";
  const auto line = [](const std::string& name, const std::string& value) { return name + " = " + Quoted(value) + "\n"; };
  return "# Written for one load of a dump.\nlisten_addresses = ''\nport = 5432\nunix_socket_permissions = 0700\nssl = off\n" +
         line("data_directory", sandbox.data().string()) + line("hba_file", (sandbox.tool() / "pg_hba.conf").string()) +
         line("ident_file", (sandbox.tool() / "pg_ident.conf").string()) +
         line("unix_socket_directories", sandbox.socket().string()) + line("shared_preload_libraries", options.preload) +
         "archive_mode = off\nwal_level = minimal\nmax_wal_senders = 0\nmax_logical_replication_workers = 0\nautovacuum = off\n"
         "restart_after_crash = off\nmax_connections = 40\nmax_locks_per_transaction = 256\nshared_buffers = '128MB'\n"
         "shared_memory_type = mmap\ndynamic_shared_memory_type = sysv\nmaintenance_work_mem = '128MB'\nmax_wal_size = '1GB'\n"
         "jit = off\ncheckpoint_timeout = '30min'\nlog_destination = 'stderr'\nlogging_collector = off\nlog_min_messages = "
         "warning\n"
         "log_min_error_statement = panic\nlog_error_verbosity = verbose\nlog_checkpoints = off\nlc_messages = 'C'\n"
         "timezone = 'UTC'\nlog_timezone = 'UTC'\n" +
         "fsync = " + durable + "\nfull_page_writes = " + durable + "\nsynchronous_commit = " + durable + "\n" +
         line("log_line_prefix", kServerLinePrefix);
}

/// Tablespaces of a cluster's script come to lie in the sandbox, whatever place it names.
class TablespaceMover {
 public:
  explicit TablespaceMover(const Sandbox& sandbox) : sandbox_(sandbox) {}

  /// @return what is to be handed on now
  std::string Take(std::string_view text) {
    if (past_) return std::string(text);
    rest_ += text;
    std::string out;
    std::size_t begin = 0;
    for (std::size_t end = rest_.find('\n'); end != std::string::npos && !past_; end = rest_.find('\n', begin)) {
      out += Line(rest_.substr(begin, end + 1 - begin));
      begin = end + 1;
    }
    rest_.erase(0, begin);
    // No statement of this kind is as long as that.
    if (past_ || rest_.size() > (1U << 20U)) out += std::exchange(rest_, {});
    return out;
  }
  std::string End() { return std::exchange(rest_, {}); }

 private:
  std::string Line(std::string line) {
    if (line.starts_with("\\connect ") || line.starts_with("COPY ") || line == "-- Databases\n" ||
        line.starts_with("-- PostgreSQL database dump\n")) {
      past_ = true;  // rows may look like anything
      return line;
    }
    const std::size_t at = line.find(" LOCATION '");
    if (!line.starts_with("CREATE TABLESPACE ") || at == std::string::npos) return line;
    const fs::path folder = sandbox_.space() / ("dump-" + std::to_string(++count_));
    std::error_code problem;
    fs::create_directory(folder, problem);
    (void)sandbox_.Give(folder);
    return line.substr(0, at) + " LOCATION " + Quoted(folder.string()) + ";\n";
  }

  const Sandbox& sandbox_;
  std::string rest_;
  std::size_t count_ = 0;
  bool past_ = false;
};

/// Feeds a script to psql's standard input, decompressed, on a thread of its own.
class ScriptFeed {
 public:
  ScriptFeed(fs::path file, Descriptor into, const Sandbox& sandbox, bool moves_tablespaces)
      : file_(std::move(file)), into_(std::move(into)), mover_(sandbox), moves_(moves_tablespaces), thread_([this] { Run(); }) {}

  /// Waits for its end, which comes when everything was read, or psql is gone.
  void Join() { thread_.join(); }
  [[nodiscard]] std::uint64_t fed() const { return fed_; }
  // After Join:
  [[nodiscard]] const std::optional<ReadError>& error() const { return error_; }
  [[nodiscard]] bool taken() const { return taken_; }  ///< psql took all of it
  [[nodiscard]] const std::string& last() const { return last_; }

 private:
  void Run() {
    const StreamPtr stream = Decompress(OpenFile(file_), CompressionOf(file_));
    std::vector<char> block(256U << 10U);
    while (true) {
      const std::optional<std::size_t> got = stream->Read(block);
      if (!got) error_ = stream->error();
      if (!got || *got == 0) break;
      const std::string_view text(block.data(), *got);
      const std::size_t keep = std::min(text.size(), kTail);
      last_.append(text.substr(text.size() - keep));
      if (last_.size() > kTail) last_.erase(0, last_.size() - kTail);
      if (!(moves_ ? Send(mover_.Take(text)) : Send(text))) break;
    }
    if (moves_ && taken_) (void)Send(mover_.End());
    into_.Close();
  }

  bool Send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = send(into_.number(), text.data(), text.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0) return taken_ = false;
      text.remove_prefix(static_cast<std::size_t>(sent));
      fed_ += static_cast<std::uint64_t>(sent);
    }
    return true;
  }

  fs::path file_;
  Descriptor into_;
  TablespaceMover mover_;
  bool moves_;
  std::atomic<std::uint64_t> fed_ = 0;
  std::optional<ReadError> error_;
  bool taken_ = true;
  std::string last_;
  std::jthread thread_;
};

}  // namespace

void DumpLoader::Trouble(int fault, std::string object, std::string what, std::string todo) {
  troubles_.push_back({fault, std::move(object), "", std::move(what), std::move(todo), 1, false});
}

bool HoldsRolesAlone(const Folder& in, const fs::path& file) {
  const StreamPtr stream = Decompress(in.Open(file), CompressionOf(file));
  std::string text = "\n";
  std::vector<char> block(64U << 10U);
  while (text.size() < kMostHead) {
    const std::optional<std::size_t> got = stream->Read(block);
    if (!got || *got == 0) break;
    text.append(block.data(), *got);
    if (ParseScriptHead(text).databases) return false;
  }
  return true;
}

// ---- what the dump says of itself ----

bool DumpLoader::LookAtArchive() {
  const fs::path file = place_.kind == "pg_dump directory" ? place_.path / "toc.dat" : place_.path;
  const std::size_t skip = place_.kind == "pg_dump tar" ? kTarBlock : 0;  // the table is its first entry, behind one header
  for (std::size_t limit = 256U << 10U;; limit *= 4) {
    const StreamPtr stream = Decompress(OpenFile(file), CompressionOf(file));
    std::string text(limit, '\0');
    std::size_t have = 0;
    while (have < limit) {
      const std::optional<std::size_t> got = stream->Read({text.data() + have, limit - have});
      if (!got) {
        Trouble(stream->error().problem == ReadProblem::kGone ? 7 : 9, file.filename().string(), stream->error().message);
        return false;
      }
      if (*got == 0) break;
      have += *got;
    }
    text.resize(have);
    bool cut = false;
    Result<DumpContents> contents = ParseDumpContents(std::string_view(text).substr(std::min(skip, text.size())), cut);
    if (contents) {
      contents_ = std::move(*contents);
      return true;
    }
    if (cut && text.size() == limit && limit < kMostContents) continue;
    Trouble(6, place_.label, contents.error().message);
    return false;
  }
}

bool DumpLoader::LookAtScript(const fs::path& file, ScriptHead& head) {
  const StreamPtr stream = Decompress(OpenFile(file), CompressionOf(file));
  std::string text = "\n";
  std::vector<char> block(64U << 10U);
  while (text.size() < kMostHead) {
    const std::optional<std::size_t> got = stream->Read(block);
    if (!got) {
      Trouble(9, file.filename().string(), stream->error().message);
      return false;
    }
    text.append(block.data(), *got);
    head = ParseScriptHead(text);
    const bool cluster = text.starts_with("\n--\n-- PostgreSQL database cluster dump\n");
    if (*got == 0 || !cluster || (head.databases && !head.server_version.empty())) break;
  }
  return true;
}

Result<bool> DumpLoader::Prepare() {
  std::string version = place_.version;
  if (IsArchive()) {
    if (!LookAtArchive()) return false;
    version = MajorVersionOf(contents_.server_version);
    encoding_ = contents_.encoding;
    database_ = contents_.database.empty() ? "postgres" : contents_.database;
  } else {
    ScriptHead head;
    if (!LookAtScript(place_.path, head)) return false;
    if (!head.server_version.empty()) version = MajorVersionOf(head.server_version);
    encoding_ = head.encoding;
    whole_cluster_ = place_.kind == "pg_dumpall";
    if (whole_cluster_) place_.globals.clear();  // it brings its own
    if (!whole_cluster_ && !place_.database.empty()) database_ = place_.database;
  }
  if (version.empty()) version = NewestInstalled();
  bin_ = options_.bin_directory.empty() ? fs::path("/usr/lib/postgresql") / version / "bin" : options_.bin_directory;
  for (const char* program : {"postgres", "initdb", IsArchive() ? "pg_restore" : "psql"}) {
    if (access((bin_ / program).c_str(), X_OK) == 0) continue;
    Trouble(31, "", "there is no '" + (bin_ / program).string() + "', and the dump is of PostgreSQL '" + version + "'",
            "install PostgreSQL " + version + " on every host that would restore, or name its folder (--bin)");
    return false;
  }
  const Result<bool> readable = MakeReadable();
  if (!readable || !*readable) return readable;
  const Result<bool> made = MakeCluster();
  if (!made || !*made) return made;
  return StartServer();
}

/// pg_restore reads the dump itself, as PostgreSQL's user: what that one may not read is copied.
Result<bool> DumpLoader::MakeReadable() {
  readable_ = place_.path;
  if (!IsArchive()) return true;
  if (CompressionOf(place_.path) != Compression::kNone) {  // what was compressed once more pg_restore does not read
    readable_ = sandbox_.tool() / "dump";
    const Result<Unit> copied = CopyIn(place_.path, readable_);
    return copied ? Result<bool>(true) : copied.error();
  }
  const Result<ToolEnd> unreadable =
      sandbox_.Run({"/usr/bin/find", place_.path.string(), "!", "-readable", "-print", "-quit"}, kShort);
  if (!unreadable) return unreadable.error();
  if (unreadable->exit_code == 0 && unreadable->words.empty()) return true;
  readable_ = sandbox_.tool() / "dump";
  std::error_code problem;
  if (!fs::is_directory(place_.path, problem)) {
    const Result<Unit> copied = CopyIn(place_.path, readable_);
    return copied ? Result<bool>(true) : copied.error();
  }
  fs::create_directory(readable_, problem);
  if (const Result<Unit> given = sandbox_.Give(readable_); !given) return given.error();
  for (const StoredFile& file : ListTree(place_.path)) {
    if (file.path.find('/') != std::string::npos) continue;  // a dump has no folders
    if (const Result<Unit> copied = CopyIn(place_.path / file.path, readable_ / file.path); !copied) return copied.error();
  }
  return true;
}

Result<Unit> DumpLoader::CopyIn(const fs::path& from, const fs::path& to) {
  const bool unpacks = from == place_.path;  // files within a directory are packed by the format itself
  const StreamPtr stream = unpacks ? Decompress(OpenFile(from), CompressionOf(from)) : OpenFile(from);
  std::ofstream out(to, std::ios::binary);
  std::vector<char> block(256U << 10U);
  while (true) {
    const std::optional<std::size_t> got = stream->Read(block);
    if (!got) return Fail("cannot read '" + from.string() + "': " + stream->error().message);
    if (*got == 0) break;
    if (!out.write(block.data(), static_cast<std::streamsize>(*got))) return Refused("the room for '" + to.string() + "' ran out");
    if (const Result<Unit> may = sandbox_.MayGoOn(); !may) return may;
  }
  out.close();
  if (!out) return Refused("the room for '" + to.string() + "' ran out");
  return sandbox_.Give(to);
}

// ---- the cluster ----

Result<bool> DumpLoader::MakeCluster() {
  std::vector<std::string> argv = {(bin_ / "initdb").string(),
                                   "-D",
                                   sandbox_.data().string(),
                                   "-U",
                                   kSuperuser,
                                   "--auth=trust",
                                   "--no-locale",
                                   "-E",
                                   encoding_ == "SQL_ASCII" ? "SQL_ASCII" : "UTF8"};
  if (!options_.durable) argv.emplace_back("--no-sync");
  const Result<ToolEnd> made = sandbox_.Run(std::move(argv), kShort);
  if (!made) return made.error();
  if (made->exit_code != 0) {
    const std::string words = made->words.substr(made->words.size() - std::min<std::size_t>(made->words.size(), 300));
    if (words.find("No space left") != std::string::npos) return Refused("there is no room for a cluster: " + words);
    Trouble(31, "", "initdb ends with exit code " + std::to_string(made->exit_code) + ": " + words);
    return false;
  }
  const std::pair<const char*, std::string> files[] = {
      {"postgresql.conf", SettingsFor(sandbox_, options_)}, {"pg_hba.conf", "local all all trust\n"}, {"pg_ident.conf", ""}};
  for (const auto& [name, text] : files) {
    if (const Result<Unit> written = sandbox_.Write(sandbox_.tool() / name, text); !written) return written.error();
  }
  return true;
}

Result<bool> DumpLoader::StartServer() {
  ServerWords words;
  const Result<bool> started = sandbox_.StartServer(bin_ / "postgres", sandbox_.tool() / "postgresql.conf", kShort, words);
  if (!started && started.error().retry == Retry::kRetry && !sandbox_.Cancelled()) return Fail(started.error().message);
  if (!started) return started.error();
  if (*started) return true;
  const DeathCause cause = CauseOf(words);
  Trouble(31, "", cause.what, cause.todo);
  return false;
}

Result<Session> DumpLoader::AsSuperuser() const {
  // Not to postgres, which may be made anew.
  return Session::Open({sandbox_.socket(), kSuperuser, "template1", options_.cancel, "", 5432, sandbox_.server_pid()});
}

Result<Unit> DumpLoader::Ask(const std::string& sql) {
  Result<Session> session = AsSuperuser();
  if (!session) return session.error();
  const QueryAnswer answer = session->Ask(sql);
  return answer.ok() ? Done() : Result<Unit>(Fail(answer.error->message));
}

/// With the dump's encoding and, where this host has it, its locale.
Result<Unit> DumpLoader::MakeDatabase(const std::string& owner) {
  if (database_ == "template1") return Ask("ALTER DATABASE template1 OWNER TO " + SqlName(owner));
  (void)Ask("DROP DATABASE IF EXISTS " + SqlName(database_));
  const std::string make = "CREATE DATABASE " + SqlName(database_) + " TEMPLATE template0 OWNER " + SqlName(owner) +
                           (encoding_.empty() ? "" : " ENCODING " + Quoted(encoding_));
  const std::string locale =
      contents_.collate.empty() ? "" : " LC_COLLATE " + Quoted(contents_.collate) + " LC_CTYPE " + Quoted(contents_.ctype);
  const Result<Unit> made = Ask(make + locale);
  if (made || locale.empty()) return made;
  const bool told = std::any_of(troubles_.begin(), troubles_.end(), [](const DumpTrouble& each) { return each.fault == 31; });
  if (!told) {
    DumpTrouble trouble{31,
                        database_,
                        "",
                        "it cannot be made with its locale '" + contents_.collate + "': " + made.error().message,
                        "install the locale on every host that would restore",
                        1,
                        false};
    troubles_.push_back(std::move(trouble));
  }
  return Ask(make);
}

// ---- loading ----

/// "": a role without rights will do.
std::string DumpLoader::WhyASuperuser() {
  if (!contents_.privileged.empty()) return contents_.privileged.front();
  Result<Session> session = AsSuperuser();
  if (!session) return {};
  for (const std::string& extension : contents_.extensions) {
    const QueryAnswer trusted =
        session->Ask("SELECT 1 FROM pg_available_extension_versions WHERE trusted AND name = " + Quoted(extension));
    if (!trusted.ok() || trusted.rows.empty()) return "EXTENSION " + extension;
  }
  return {};
}

Result<Unit> DumpLoader::LoadArchive(const std::string& role) {
  words_ = DumpWords();
  const bool folder = place_.kind == "pg_dump directory";
  const bool placed = std::all_of(contents_.entries.begin(), contents_.entries.end(),
                                  [](const DumpEntry& each) { return !each.holds_data || each.placed; });
  const std::string connect = "host=" + ConnectValue(sandbox_.socket().string()) + " port=5432 user=" + role +
                              " dbname=" + ConnectValue(database_) + " options='-c client_min_messages=warning'";
  std::vector<std::string> argv = {(bin_ / "pg_restore").string(), "--dbname=" + connect, "--no-tablespaces"};
  // Without pg_dumpall's file the owners are not there: that is told once (F37), and not statement by statement.
  if (role == kOwner || place_.globals.empty()) argv.insert(argv.end(), {"--no-owner", "--no-privileges"});
  if (options_.threads > 1 && (folder || placed)) argv.push_back("--jobs=" + std::to_string(options_.threads));
  argv.push_back(readable_.string());
  const Result<int> code = sandbox_.RunClient(std::move(argv), Descriptor(), options_.start_timeout,
                                              [this](std::string_view text) { words_.Add(text); });
  if (!code) return code.error();
  words_.End();
  archive_code_ = *code;
  return Done();
}

/// False: it wants more rights than an owner has.
Result<bool> DumpLoader::LoadAsOwner() {
  as_ = "owner";
  if (const Result<Unit> made = Ask(std::string("CREATE ROLE ") + kOwner + " LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE"); !made)
    return made.error();
  if (const Result<Unit> made = MakeDatabase(kOwner); !made) return made.error();
  if (const Result<Unit> loaded = LoadArchive(kOwner); !loaded) return loaded.error();
  return words_.refused_count() == 0 || database_ == "template1";
}

Result<bool> DumpLoader::LoadScript(const fs::path& file, const std::string& database,
                                    const std::function<void(std::uint64_t)>& on_bytes) {
  DumpWords& words = file == place_.path ? words_ : globals_words_;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    return Fail(std::string("cannot make a pair of sockets: ") + std::strerror(errno));
  Descriptor ours(ends[0]);
  Descriptor its(ends[1]);
  const std::string connect = "host=" + ConnectValue(sandbox_.socket().string()) + " port=5432 user=" + kSuperuser +
                              " dbname=" + ConnectValue(database) + " options='-c client_min_messages=warning'";
  ScriptFeed feed(file, std::move(ours), sandbox_, place_.kind == "pg_dumpall" || file == place_.globals);
  const Result<int> code = sandbox_.RunClient(
      {(bin_ / "psql").string(), "-X", "-q", "-o", "/dev/null", "-v", "ON_ERROR_STOP=0", "-d", connect, "-f", "-"}, std::move(its),
      options_.start_timeout, [&words](std::string_view text) { words.Add(text); }, [&] { on_bytes(feed.fed()); });
  feed.Join();
  if (!code) return code.error();
  words.End();
  const std::string name = file.filename().string();
  if (feed.error()) {
    Trouble(feed.error()->problem == ReadProblem::kTruncated ? 8 : 9, name,
            "it cannot be read to its end: " + feed.error()->message);
  } else if (!feed.taken() || *code != 0) {  // statements that fail leave it at 0
    Trouble(51, name, "psql ends before the script does, with exit code " + std::to_string(*code) + ": " + words.last_line());
  } else if (!IsEndOfScript(feed.last())) {
    // SAFETY: psql takes the end of a script within a table's rows for the end of the rows, and says nothing.
    Trouble(8, name, "it does not end with the words of a dump that is complete: rows may be missing, and no statement fails");
  }
  return true;
}

Result<bool> DumpLoader::Load(const std::function<void(std::uint64_t)>& on_bytes) {
  if (!place_.globals.empty() && place_.globals != place_.path) {
    const Result<bool> globals = LoadScript(place_.globals, "postgres", on_bytes);
    if (!globals) return globals.error();
  }
  if (!IsArchive()) {
    as_ = "superuser";
    if (database_ != "postgres") {
      if (const Result<Unit> made = MakeDatabase(kSuperuser); !made) return made.error();
    }
    const Result<bool> loaded = LoadScript(place_.path, database_, on_bytes);
    if (!loaded) return loaded.error();
  } else {
    why_superuser_ = WhyASuperuser();
    const auto began = Clock::now();
    bool done = false;
    if (why_superuser_.empty()) {
      const Result<bool> loaded = LoadAsOwner();
      if (!loaded) return loaded.error();
      done = *loaded;
      if (!done) {
        why_superuser_ = words_.first().empty() ? "" : words_.first().front().message;
        wasted_ = std::chrono::duration_cast<Duration>(Clock::now() - began);
      }
    }
    if (!done) {
      as_ = "superuser";
      if (const Result<Unit> made = MakeDatabase(kSuperuser); !made) return made.error();
      if (const Result<Unit> loaded = LoadArchive(kSuperuser); !loaded) return loaded.error();
    }
    // It ends with 0 or 1 by itself: with anything else it did not come to its end, whatever was said before.
    if (archive_code_ > 1 || (archive_code_ != 0 && words_.count() == 0 && words_.absent_count() == 0)) {
      Trouble(51, place_.label, "pg_restore ends with exit code " + std::to_string(archive_code_) + ": " + words_.last_line());
    }
    NoteAbsentOwners();
  }
  Conclude();
  return sandbox_.ServerLives();
}

void DumpLoader::NoteAbsentOwners() {
  if (place_.globals.empty()) return;  // told by the look at the folder
  Result<Session> session = AsSuperuser();
  if (!session) return;
  std::string absent;
  for (const std::string& owner : contents_.owners) {
    if (owner.starts_with("pg_")) continue;  // made by initdb
    const QueryAnswer there = session->Ask("SELECT 1 FROM pg_roles WHERE rolname = " + Quoted(owner));
    if (there.ok() && there.rows.empty()) absent += (absent.empty() ? "'" : ", '") + owner + "'";
  }
  if (absent.empty()) return;
  troubles_.push_back({37, place_.label, "", "its owners " + absent + " are not in '" + place_.globals.filename().string() + "'",
                       "take pg_dumpall --globals-only anew, with each dump", 1, true});
}

void DumpLoader::Conclude() {
  for (const DumpWords* words : {&globals_words_, &words_}) {
    const std::string object = words == &words_ ? place_.label : place_.globals.filename().string();
    if (words == &words_ && words->absent_count() > 0) {
      DumpTrouble trouble{37,
                          place_.label,
                          "",
                          std::to_string(words->absent_count()) +
                              (words->absent_count() == 1 ? " statement names" : " statements name") +
                              " what a dump of one database does not hold: " + *words->absent().begin() +
                              (words->absent().size() > 1 ? " and others" : ""),
                          "",
                          words->absent_count(),
                          true};
      troubles_.push_back(std::move(trouble));
    }
    if (words->count() == 0) continue;
    // What this host lacks explains what follows from it; else the first error speaks for all.
    const auto& first = words->first();
    auto at = std::find_if(first.begin(), first.end(), [](const DumpError& each) { return FaultOfDumpError(each) != 51; });
    if (at == first.end()) at = first.begin();
    DumpTrouble trouble{FaultOfDumpError(*at), object, at->where, "", "", words->count(), false};
    trouble.what = std::to_string(words->count()) +
                   (words->count() == 1 ? " statement fails: " : " statements fail; one of them: ") + at->message +
                   (at->sqlstate.empty() ? "" : " (" + at->sqlstate + ")");
    if (trouble.fault == 31) trouble.todo = "install what is missing on every host that would restore";
    troubles_.push_back(std::move(trouble));
  }
}

Json DumpLoader::ToJson() const {
  Json first = Json::array();
  for (const DumpWords* words : {&globals_words_, &words_}) {
    for (const DumpError& each : words->first()) {
      if (first.size() < 10) first.push_back({{"where", each.where}, {"sqlstate", each.sqlstate}, {"message", each.message}});
    }
  }
  Json absent = Json::array();
  for (const std::string& each : words_.absent()) absent.push_back(each);
  return {{"by", IsArchive() ? "pg_restore" : "psql"},
          {"as", as_},
          {"why_superuser", why_superuser_},
          {"database", whole_cluster_ ? Json(nullptr) : Json(database_)},
          {"globals", place_.globals.empty() ? Json(nullptr) : Json(place_.globals.filename().string())},
          {"errors", words_.count() + globals_words_.count()},
          {"absent_names", absent},
          {"first_errors", first}};
}

}  // namespace lifeboat::backup
