// The gate in real PostgreSQL servers, sentence by sentence of section 6 of the lease protocol (docs/formats/gate.md): first with a
// gate file that the test writes itself, as good and as bad as it likes, then with a real guard.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "adapters/system/files.h"
#include "adapters/system/processes.h"
#include "guard/gate_file.h"
#include "guard/guard_client.h"
#include "guard/guard_process.h"
#include "support/real_postgres.h"

namespace lifeboat {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing_support::PostgresLab;
using testing_support::PostmasterPid;
using testing_support::ServerOptions;

constexpr Epoch kSeven{7};

bool Eventually(const std::function<bool()>& condition, Duration timeout = 20s) {
  const Instant end = ReadClocks() + timeout;
  while (!condition()) {
    if (HasPassed(end, ReadClocks())) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

/// What a client sees of one statement.
struct Answer {
  bool ok = false;
  bool cut = false;  ///< the connection ended without an answer
  std::string state;
  std::string message;
  std::string hint;
  std::string tag;
  std::string value;
};

class Session {
 public:
  explicit Session(const DatabaseSettings& server, const std::string& more = "user=postgres") {
    const std::string conninfo =
        "hostaddr=127.0.0.1 dbname=postgres connect_timeout=5 port=" + std::to_string(server.address.port) + " " + more;
    connection_.reset(PQconnectdb(conninfo.c_str()));
    PQsetNoticeReceiver(
        connection_.get(),
        [](void* self, const PGresult* notice) { static_cast<Session*>(self)->notices += PQresultErrorMessage(notice); }, this);
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  [[nodiscard]] bool IsUp() const { return PQstatus(connection_.get()) == CONNECTION_OK; }

  Answer Run(const std::string& sql) {
    Send(sql);
    return Receive();
  }
  void Send(const std::string& sql) { sent_ = PQsendQuery(connection_.get(), sql.c_str()) == 1; }
  /// By the extended protocol, which sends "INSERT 0 1" before the commit, though not before it is flushed.
  void SendExtended(const std::string& sql) {
    sent_ = PQsendQueryParams(connection_.get(), sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0) == 1;
  }
  Answer Receive() {
    Answer answer;
    answer.ok = sent_;
    if (!sent_) answer.message = PQerrorMessage(connection_.get());
    while (PGresult* raw = PQgetResult(connection_.get())) {
      const std::unique_ptr<PGresult, decltype(&PQclear)> result(raw, &PQclear);
      const auto field = [&](int code) {
        const char* text = PQresultErrorField(raw, code);
        return std::string(text == nullptr ? "" : text);
      };
      if (PQresultStatus(raw) == PGRES_FATAL_ERROR) {
        answer.ok = false;
        answer.state = field(PG_DIAG_SQLSTATE);
        answer.message = PQresultErrorMessage(raw);
        answer.hint = field(PG_DIAG_MESSAGE_HINT);
      } else {
        answer.tag = PQcmdStatus(raw);
        if (PQntuples(raw) > 0) answer.value = PQgetvalue(raw, 0, 0);
      }
    }
    answer.cut = !IsUp();
    return answer;
  }

  std::string notices;

 private:
  bool sent_ = false;
  std::unique_ptr<PGconn, decltype(&PQfinish)> connection_{nullptr, &PQfinish};
};

void ExpectRefused(const Answer& answer, const std::string& why = "") {
  EXPECT_FALSE(answer.ok);
  EXPECT_FALSE(answer.cut) << answer.message;
  EXPECT_EQ(answer.state, "25006") << answer.message;
  EXPECT_THAT(answer.message, HasSubstr("commits nothing"));
  EXPECT_THAT(answer.hint, HasSubstr("lifeboat status"));
  EXPECT_THAT(answer.message, HasSubstr(why));
}

void ExpectCut(const Answer& answer) {
  EXPECT_FALSE(answer.ok) << "acknowledged: " << answer.tag;
  EXPECT_TRUE(answer.cut);
  EXPECT_EQ(answer.tag, "") << "the client must not see an acknowledgement";
}

/// A server with the module, and its gate file, which the test opens as the guard would.
class Gate : public testing::Test {
 protected:
  Gate() {
    std::string pattern = "/dev/shm/lifeboat-gate-test-XXXXXX";
    ground_ = mkdtemp(pattern.data());
    gate_path_ = ground_ / "gate";
    // Another build of the module, for seeing these tests fail on one that was broken on purpose.
    const char* other = std::getenv("LIFEBOAT_GATE_MODULE");
    const fs::path module =
        other ? fs::path(other) : fs::path(LIFEBOAT_PROGRAM).parent_path().parent_path() / "lib" / "lifeboat_gate.so";
    EXPECT_TRUE(fs::exists(module)) << "build lifeboat_gate: its packages are in scripts/setup.sh";
    const fs::path copy = lab_.MakeFolder("lib") / "lifeboat_gate.so";
    fs::copy_file(module, copy, fs::copy_options::overwrite_existing);
    struct stat owner {};
    EXPECT_EQ(stat(copy.parent_path().c_str(), &owner), 0);
    owner_ = owner.st_uid;
    group_ = owner.st_gid;
    EXPECT_EQ(chown(ground_.c_str(), owner_, group_), 0);
    module_ = copy.string();
  }
  ~Gate() override { fs::remove_all(ground_); }

  [[nodiscard]] std::string Settings() const {
    return "shared_preload_libraries = '" + module_ + "'\nlifeboat.gate_file = '" + gate_path_.string() +
           "'\nmax_prepared_transactions = 10\nwal_level = logical\nfsync = off\nrestart_after_crash = on\n";
  }
  void Make(const std::string& more = "") {
    ServerOptions options;
    options.data_checksums = false;
    options.more_settings = Settings() + more;
    server_ = lab_.Initialise("server", options);
  }
  void Start() { lab_.StartByAnyone(server_); }
  /// A running server with table t, its gate open for a minute.
  void StartOpen(const std::string& more = "") {
    Make(more);
    Start();
    Open(60s);
    ASSERT_TRUE(Session(server_).Run("create table t (n int)").ok);
  }
  CommandOutput Stop(const std::string& mode) {
    return lab_.Run({server_.bin_directory + "/pg_ctl", "stop", "-w", "-m", mode, "-D", server_.data_directory});
  }

  GateFile& File() {
    if (!file_) {
      Result<GateFile> opened = GateFile::Open(gate_path_.string(), ReadBootId(), owner_, group_);
      EXPECT_TRUE(opened) << (opened ? "" : opened.error().Text());
      file_.emplace(std::move(opened).value());
    }
    return *file_;
  }
  GateWord GoodWord(Duration left) {
    GateWord word{true, kSeven, ReadClocks() + left, {}, false};
    const auto attached = File().Attached();
    EXPECT_TRUE(attached) << "no server maps the gate file";
    if (attached) word.postmaster = attached->postmaster;
    return word;
  }
  Instant Open(Duration left) {
    const GateWord word = GoodWord(left);
    File().Write(word);
    return word.deadline;
  }
  void Close() {
    GateWord word = GoodWord(0s);
    word.open = false;
    File().Write(word);
  }
  /// Changes a field of the guard's page as it lies in the file.
  void Damage(off_t offset, std::uint64_t flip) {
    const int file = open(gate_path_.c_str(), O_RDWR | O_CLOEXEC);
    std::uint64_t field = 0;
    ASSERT_EQ(pread(file, &field, sizeof field, offset), 8);
    field ^= flip;
    ASSERT_EQ(pwrite(file, &field, sizeof field, offset), 8);
    close(file);
  }
  std::string Ask(const std::string& sql) { return Session(server_).Run(sql).value; }
  std::string LogText() {
    std::ifstream file(server_.log_file);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  bool IsInLog(const std::string& text) { return LogText().find(text) != std::string::npos; }

  PostgresLab lab_;
  fs::path ground_;
  fs::path gate_path_;
  std::string module_;
  uid_t owner_ = 0;
  gid_t group_ = 0;
  DatabaseSettings server_;
  std::optional<GateFile> file_;
};

TEST_F(Gate, StartsClosedRefusesByStateEpochAndHintAndLetsLogInAndRead) {
  Make();
  Start();
  // Given a server that nobody has permitted anything: logging in and reading work, a row does not.
  Session session(server_);
  ASSERT_TRUE(session.IsUp());
  EXPECT_EQ(session.Run("select count(*) from pg_class where relname = 'pg_class'").value, "1");
  ExpectRefused(session.Run("create table t (n int)"), "holds no write lease");
  EXPECT_THAT(session.Run("show lifeboat.gate_state").value, HasSubstr("closed: "));
  EXPECT_EQ(Ask("select count(*) from pg_class where relname = 't'"), "0");
  // When it is permitted, then it commits at once, in the same session.
  Open(60s);
  EXPECT_TRUE(session.Run("create table t (n int)").ok);
  EXPECT_TRUE(session.Run("insert into t values (1)").ok);
  EXPECT_THAT(session.Run("show lifeboat.gate_state").value, HasSubstr("epoch 7"));
  // When it is closed, then nothing that has an xid commits, whatever its form.
  Close();
  ExpectRefused(session.Run("insert into t values (2)"), "lease of epoch 7");
  ExpectRefused(session.Run("begin; insert into t values (2); commit"), "lease of epoch 7");
  EXPECT_TRUE(session.Run("begin").ok);
  EXPECT_TRUE(session.Run("insert into t values (2)").ok);
  ExpectRefused(session.Run("commit"));
  ExpectRefused(session.Run("do $$ begin insert into t values (2); end $$"));
  ExpectRefused(session.Run("create index on t (n)"));
  session.SendExtended("insert into t values (2)");
  ExpectRefused(session.Receive());
  EXPECT_TRUE(session.Run("begin; insert into t values (2); rollback").ok);
  EXPECT_TRUE(Session(server_).IsUp());
  EXPECT_EQ(Ask("select count(*) from t"), "1");
}

TEST_F(Gate, IsClosedByEitherClockAndByEveryWordThatIsNotWholeAndOfThisVeryServer) {
  StartOpen();
  Session session(server_);
  const std::string insert = "insert into t values (1)";
  const auto refused = [&](const std::string& name, const std::string& why) {
    SCOPED_TRACE(name);
    ExpectRefused(session.Run(insert), why);
    Open(60s);
    EXPECT_TRUE(session.Run(insert).ok) << "the next good word opens it again";
  };
  const auto with = [&](const std::function<void(GateWord&)>& change) {
    GateWord word = GoodWord(60s);
    change(word);
    File().Write(word);
  };
  with([](GateWord& w) { w.deadline.boot = ReadClocks().boot; });
  refused("deadline by CLOCK_BOOTTIME", "not renewed in time");
  with([](GateWord& w) { w.deadline.raw = ReadClocks().raw; });
  refused("deadline by CLOCK_MONOTONIC_RAW", "not renewed in time");
  with([](GateWord& w) { w.open = false; });
  refused("closed", "the guard has closed it");
  with([](GateWord& w) { ++w.postmaster.system_id; });
  refused("other cluster", "another cluster");
  with([](GateWord& w) { ++w.postmaster.pid; });
  refused("other postmaster", "since this server was started");
  with([](GateWord& w) { ++w.postmaster.start; });
  refused("other postmaster of the same pid", "since this server was started");
  {
    Result<GateFile> other = GateFile::Open(gate_path_.string(), "11111111-2222-3333-4444-555555555555", owner_, group_);
    ASSERT_TRUE(other);
    other->Write(GoodWord(60s));
  }
  refused("another boot", "another boot");
  Damage(8, 1);
  refused("torn: a guard was killed in its midst", "no whole word");
  Damage(120, 1);
  refused("checksum", "no whole word");
  Damage(32, std::uint64_t{1} << 40U);
  refused("a deadline that was damaged", "no whole word");
  Damage(0, 1);
  refused("magic", "no whole word");
}

TEST_F(Gate, AFileThatIsMissingOrNotFitToBeTrustedIsClosed) {
  Make();
  const auto expect_closed = [&](const std::string& name, const std::string& in_log) {
    SCOPED_TRACE(name);
    Start();
    ExpectRefused(Session(server_).Run("create table t (n int)"), "there is no gate file");
    EXPECT_TRUE(IsInLog(in_log)) << LogText();
    EXPECT_EQ(Stop("fast").exit_code, 0);
    fs::remove(server_.log_file);
    fs::remove(gate_path_);
  };
  fs::rename(ground_, ground_.string() + "-away");
  expect_closed("its folder is missing", "could not open gate file");
  fs::rename(ground_.string() + "-away", ground_);
  std::ofstream(gate_path_) << "x";
  ASSERT_EQ(chown(gate_path_.c_str(), owner_, group_), 0);
  ASSERT_EQ(chmod(gate_path_.c_str(), 0666), 0);
  expect_closed("anybody may write it", "writable for nobody else");
  std::ofstream(ground_ / "elsewhere") << "x";
  fs::create_symlink("elsewhere", gate_path_);
  expect_closed("a link", "could not open gate file");
  std::ofstream(server_.data_directory + "/postgresql.conf", std::ios::app)
      << "lifeboat.gate_file = '/var/tmp/lifeboat-gate-test'\n";
  expect_closed("not in tmpfs", "must lie in tmpfs");
  fs::remove("/var/tmp/lifeboat-gate-test");
}

TEST_F(Gate, TwoPhaseCommitIsRefusedBeforeAnythingIsWritten) {
  StartOpen();
  Session session(server_);
  ASSERT_TRUE(session.Run("begin; insert into t values (1); prepare transaction 'one'").ok);
  Close();
  // COMMIT PREPARED: an error must mean that it is not committed, and it can be tried again.
  ExpectRefused(session.Run("commit prepared 'one'"), "lease of epoch 7");
  EXPECT_EQ(Ask("select count(*) from t"), "0");
  EXPECT_EQ(Ask("select string_agg(gid, ',') from pg_prepared_xacts"), "one");
  // PREPARE TRANSACTION, also of one without an xid so far.
  ExpectRefused(session.Run("begin; insert into t values (2); prepare transaction 'two'"), "lease of epoch 7");
  ExpectRefused(session.Run("begin; select 1; prepare transaction 'three'"));
  EXPECT_EQ(Ask("select string_agg(gid, ',') from pg_prepared_xacts"), "one");
  Open(60s);
  EXPECT_EQ(session.Run("commit prepared 'one'").tag, "COMMIT PREPARED");
  EXPECT_EQ(Ask("select count(*) from t"), "1");
}

TEST_F(Gate, AProcedureWithCommitsOfItsOwnEndsAtTheFirstOneBeyondTheDeadline) {
  StartOpen();
  Session session(server_);
  ASSERT_TRUE(
      session
          .Run("create procedure p() language plpgsql as $$ begin for i in 1..100000000 loop insert into t values (i); commit; "
               "end loop; end $$")
          .ok);
  const Instant deadline = Open(300ms);
  const Answer answer = session.Run("call p()");
  EXPECT_TRUE(HasPassed(deadline, ReadClocks()));
  // Where the deadline falls between the two looks of one commit, that commit stands and its client is cut off.
  if (answer.cut)
    ExpectCut(answer);
  else
    ExpectRefused(answer, "not renewed in time");
  const std::string rows = Ask("select count(*) from t");
  EXPECT_GT(std::stoi(rows), 0);
  EXPECT_LT(std::stoi(rows), 100000000);
  EXPECT_EQ(Ask("select count(*) from t"), rows) << "nothing goes on behind it";
}

TEST_F(Gate, ParallelWorkersAreTheirLeadersMatter) {
  StartOpen(
      "max_parallel_workers_per_gather = 2\nmin_parallel_table_scan_size = 0\nparallel_setup_cost = 0\nparallel_tuple_cost = "
      "0\nparallel_leader_participation = off\nmin_parallel_index_scan_size = 0\n");
  Session session(server_);
  ASSERT_TRUE(session.Run("insert into t select generate_series(1, 50000)").ok);
  ASSERT_TRUE(session.Run("analyze t").ok);
  ASSERT_TRUE(session.Run("alter table t set (parallel_workers = 2)").ok);
  Close();
  // A reading leader has no xid; its workers run and end while the gate is closed.
  EXPECT_EQ(session.Run("select count(*) from t where n % 2 = 0").value, "25000");
  const std::string plan = session.Run("explain (analyze, format json) select count(*) from t where n % 2 = 0").value;
  EXPECT_THAT(plan, HasSubstr("\"Workers Launched\": 2"));
  // A writing leader is refused, once, by itself; its workers raise nothing.
  const Answer answer = session.Run("create index parallel_index on t (n)");
  ExpectRefused(answer);
  EXPECT_THAT(answer.message, testing::Not(HasSubstr("parallel worker")));
  Open(60s);
  EXPECT_TRUE(session.Run("create table u as select count(*) c from t where n % 2 = 0").ok);
  EXPECT_TRUE(session.Run("create index parallel_index on t (n)").ok);
}

/// Commits that hang in their wait for a synchronous standby while the deadline passes.
class GateSyncWait : public Gate {
 protected:
  void StartSync() {
    StartOpen();
    Session session(server_);
    ASSERT_TRUE(session
                    .Run("create procedure p() language plpgsql as $$ begin insert into t values (1); commit; insert into t values "
                         "(2); commit; end $$")
                    .ok);
    ASSERT_TRUE(session.Run("begin; insert into t values (9); prepare transaction 'earlier'").ok);
    WaitForNobody(true);
  }
  void WaitForNobody(bool wait) {
    Session session(server_);
    ASSERT_TRUE(
        session.Run(wait ? "alter system set synchronous_standby_names = 'nobody'" : "alter system reset synchronous_standby_names")
            .ok);
    ASSERT_TRUE(session.Run("select pg_reload_conf()").ok);
    ASSERT_TRUE(Eventually([&] { return Session(server_).Run("show synchronous_standby_names").value == (wait ? "nobody" : ""); }));
  }
  bool IsWaiting() { return Ask("select count(*) from pg_stat_activity where wait_event = 'SyncRep'") != "0"; }
};

TEST_F(GateSyncWait, PastTheDeadlineTheClientIsCutOffAndSeesNoAcknowledgement) {
  StartSync();
  const pid_t postmaster = PostmasterPid(server_);
  Session bystander(server_);
  struct Case {
    const char* sql;
    bool extended;
    const char* stands;  ///< counted afterwards: the commit itself cannot be taken back
    const char* count;
  };
  const Case cases[] = {
      {"insert into t values (1)", false, "select count(*) from t where n = 1", "1"},
      {"insert into t values (3)", true, "select count(*) from t where n = 3", "1"},
      {"begin; insert into t values (4); commit", false, "select count(*) from t where n = 4", "1"},
      {"begin; insert into t values (5); prepare transaction 'late'", false,
       "select count(*) from pg_prepared_xacts where gid = 'late'", "1"},
      {"commit prepared 'earlier'", false, "select count(*) from t where n = 9", "1"},
      {"call p()", false, "select count(*) from t where n = 2", "0"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.sql);
    WaitForNobody(true);
    Session session(server_);
    const Instant deadline = Open(400ms);
    if (c.extended)
      session.SendExtended(c.sql);
    else
      session.Send(c.sql);
    ASSERT_TRUE(Eventually([&] { return IsWaiting(); }));
    ASSERT_FALSE(HasPassed(deadline, ReadClocks())) << "the pre-commit look was to come before the deadline";
    ASSERT_TRUE(Eventually([&] { return HasPassed(deadline, ReadClocks()); }));
    WaitForNobody(false);
    ExpectCut(session.Receive());
    ASSERT_TRUE(Eventually([&] { return !IsWaiting(); }));
    Open(60s);
    EXPECT_EQ(Ask(c.stands), c.count);
    ASSERT_TRUE(Eventually([&] { return IsInLog("its client is cut off without an answer"); }));
  }
  // Nothing was raised there: no crash, no other session ended.
  EXPECT_EQ(PostmasterPid(server_), postmaster);
  EXPECT_EQ(bystander.Run("select 1").value, "1");
  EXPECT_FALSE(IsInLog("PANIC")) << LogText();
  EXPECT_FALSE(IsInLog("crash of another server process"));
}

TEST_F(GateSyncWait, WithinTheLeaseTheAnswerComesAndTheSessionLivesOn) {
  StartSync();
  Session session(server_);
  Open(60s);
  session.Send("insert into t values (1)");
  ASSERT_TRUE(Eventually([&] { return IsWaiting(); }));
  WaitForNobody(false);
  const Answer answer = session.Receive();
  EXPECT_EQ(answer.tag, "INSERT 0 1");
  EXPECT_FALSE(answer.cut);
  EXPECT_EQ(session.Run("commit prepared 'earlier'").tag, "COMMIT PREPARED");
}

TEST_F(Gate, AutovacuumAndBackgroundWorkersGetAnErrorAndTheServerLives) {
  // Given an autovacuum that has work, and a subscription whose apply worker has a row to commit.
  StartOpen(
      "autovacuum = on\nautovacuum_naptime = '1s'\nautovacuum_vacuum_threshold = 1\nautovacuum_analyze_threshold = 1\n"
      "wal_retrieve_retry_interval = '100ms'\nlog_autovacuum_min_duration = 0\n");
  ServerOptions options;
  options.data_checksums = false;
  options.more_settings = "wal_level = logical\nfsync = off\n";
  const DatabaseSettings publisher = lab_.Initialise("publisher", options);
  lab_.StartByAnyone(publisher);
  Session there(publisher);
  ASSERT_TRUE(there.Run("create table r (n int)").ok);
  ASSERT_TRUE(there.Run("create publication p for table r").ok);
  Session session(server_);
  ASSERT_TRUE(session.Run("create table r (n int)").ok);
  ASSERT_TRUE(session
                  .Run("create subscription s connection 'host=127.0.0.1 user=postgres dbname=postgres port=" +
                       std::to_string(publisher.address.port) + "' publication p")
                  .ok);
  ASSERT_TRUE(Eventually([&] { return Ask("select count(*) from pg_subscription_rel where srsubstate = 'r'") == "1"; }));
  ASSERT_TRUE(session.Run("insert into t select generate_series(1, 1000)").ok);
  ASSERT_TRUE(session.Run("delete from t").ok);
  const pid_t postmaster = PostmasterPid(server_);
  // When the gate closes, then their commits are refused with an ERROR in the log.
  Close();
  ASSERT_TRUE(there.Run("insert into r values (1)").ok);
  ASSERT_TRUE(Eventually([&] { return IsInLog("ERROR:  the write lease of epoch 7 does not hold"); })) << LogText();
  ASSERT_TRUE(Eventually([&] {
    const std::string log = LogText();
    // "logical replication worker", since PostgreSQL 16 "logical replication apply worker".
    return log.find("background worker \"logical replication ") != std::string::npos &&
           log.find("exited with exit code 1") != std::string::npos;
  })) << LogText();
  EXPECT_EQ(Ask("select count(*) from r"), "0");
  EXPECT_EQ(PostmasterPid(server_), postmaster);
  EXPECT_FALSE(IsInLog("PANIC"));
  // When it opens, then they do their work.
  Open(60s);
  EXPECT_TRUE(Eventually([&] { return Ask("select count(*) from r") == "1"; })) << LogText();
  EXPECT_TRUE(Eventually([&] { return IsInLog("automatic vacuum of table \"postgres.public.t\""); })) << LogText();
}

TEST_F(Gate, ACrashOfASessionChangesNothingAndAnotherPostmasterStartsClosed) {
  StartOpen();
  Session victim(server_);
  const pid_t session = std::stoi(victim.Run("select pg_backend_pid()").value);
  kill(session, SIGKILL);
  // The same postmaster starts its sessions anew: its word still holds.
  ASSERT_TRUE(Eventually([&] { return Session(server_).Run("insert into t values (1)").ok; }));
  // Another postmaster is another server, though the word is still valid for a minute.
  const pid_t postmaster = PostmasterPid(server_);
  kill(postmaster, SIGKILL);
  ASSERT_TRUE(KillWithin(server_.data_directory, 10s).ok());
  ASSERT_TRUE(Eventually([&] { return kill(postmaster, 0) != 0; })) << "PostgreSQL does not start beside a zombie of its lock file";
  Start();
  ExpectRefused(Session(server_).Run("insert into t values (2)"), "since this server was started");
  EXPECT_NE(File().Attached()->postmaster, File().Word()->postmaster) << "the new one has said that it maps the file";
  Open(60s);
  EXPECT_TRUE(Session(server_).Run("insert into t values (2)").ok);
}

TEST_F(Gate, AStandbyReadsAndOnceItIsPromotedItIsClosedUntilItIsPermitted) {
  StartOpen();
  ASSERT_EQ(Stop("fast").exit_code, 0);
  std::ofstream(server_.data_directory + "/standby.signal") << "";
  ASSERT_EQ(chown((server_.data_directory + "/standby.signal").c_str(), owner_, group_), 0);
  Start();
  Session session(server_);
  EXPECT_EQ(session.Run("select pg_is_in_recovery()").value, "t");
  EXPECT_EQ(session.Run("select count(*) from t").value, "0");
  EXPECT_THAT(session.Run("insert into t values (1)").message, HasSubstr("read-only transaction"));
  ASSERT_EQ(session.Run("select pg_promote()").value, "t");
  ExpectRefused(Session(server_).Run("insert into t values (1)"));
  Open(60s);
  EXPECT_TRUE(Session(server_).Run("insert into t values (1)").ok);
}

TEST_F(Gate, TurnedOffForMaintenanceItIsLoudAndNotBehindTheGuardsBack) {
  StartOpen();
  Session session(server_);
  ASSERT_TRUE(session.Run("create role somebody login").ok);
  Close();
  // Only a superuser, and only for the whole server.
  EXPECT_EQ(Session(server_, "user=somebody").Run("alter system set lifeboat.gate = off").state, "42501");
  EXPECT_EQ(session.Run("set lifeboat.gate = off").state, "55P02");
  ExpectRefused(session.Run("insert into t values (1)"));
  ASSERT_TRUE(session.Run("alter system set lifeboat.gate = off").ok);
  ASSERT_TRUE(session.Run("select pg_reload_conf()").ok);
  ASSERT_TRUE(Eventually([&] { return !File().Attached()->enforce; }));
  session.notices.clear();
  EXPECT_TRUE(session.Run("insert into t values (1)").ok);
  EXPECT_THAT(session.notices, HasSubstr("commits nevertheless"));
  session.notices.clear();
  EXPECT_TRUE(session.Run("insert into t values (1)").ok);
  EXPECT_EQ(session.notices, "") << "each session is told once";
  EXPECT_TRUE(IsInLog("WARNING:  the gate is turned off"));
  // While the guard counts on the gate, it is not heeded.
  GateWord word = GoodWord(0s);
  word.counted_on = true;
  File().Write(word);
  ExpectRefused(session.Run("insert into t values (2)"));
  word.counted_on = false;
  File().Write(word);
  EXPECT_TRUE(session.Run("insert into t values (1)").ok);
  // On again, at once for all sessions.
  ASSERT_TRUE(session.Run("alter system reset lifeboat.gate").ok);
  ASSERT_TRUE(session.Run("select pg_reload_conf()").ok);
  ASSERT_TRUE(Eventually([&] { return File().Attached()->enforce; }));
  ExpectRefused(session.Run("insert into t values (2)"));
}

TEST_F(Gate, SingleUserModeAndAServerWithoutAGateFileAreNotHindered) {
  StartOpen();
  ASSERT_EQ(Stop("fast").exit_code, 0);
  const CommandOutput single = lab_.Run({"sh", "-c",
                                         "echo 'insert into t values (1)' | " + server_.bin_directory + "/postgres --single -D '" +
                                             server_.data_directory + "' postgres"});
  EXPECT_EQ(single.exit_code, 0) << single.err;
  EXPECT_EQ(single.err.find("commits nothing"), std::string::npos) << single.err;
  std::ofstream(server_.data_directory + "/postgresql.conf", std::ios::app) << "lifeboat.gate_file = ''\n";
  Start();
  EXPECT_EQ(Ask("select count(*) from t"), "1");
  EXPECT_TRUE(Session(server_).Run("insert into t values (2)").ok);
  EXPECT_TRUE(IsInLog("there is no gate"));
}

// ---- with a real guard ----

template <typename T>
Task<> Store(Task<T> task, std::optional<T>& into) {
  into.emplace(co_await std::move(task));
}

template <typename T>
T Await(Task<T> task) {
  boost::asio::io_context context;
  std::optional<T> answer;
  boost::asio::co_spawn(context, Store(std::move(task), answer), [](const std::exception_ptr&) {});
  context.run();
  return std::move(answer).value();
}

class GatePostgres : public Gate {
 protected:
  GatePostgres() : state_(lab_.MakeFolder("state").string()) { client_.emplace(GuardSocketPath(state_)); }
  ~GatePostgres() override { KillGuard(); }

  void StartGuard(bool observe = false) {
    fs::remove(GuardSocketPath(state_));
    guard_ = fork();
    if (guard_ == 0) {
      const Result<Log> log = Log::Open(GuardLog(), Json::object());
      GuardOptions options = GuardOptionsFor(state_, server_.data_directory, log.ok() ? *log : Log());
      options.gate_file = gate_path_.string();
      options.observe = observe;
      _exit(RunGuard(options));
    }
    ASSERT_TRUE(Eventually([&] { return Look().reachable; })) << "the guard did not come up";
  }
  void KillGuard() {
    if (guard_ <= 0) return;
    kill(guard_, SIGKILL);
    waitpid(std::exchange(guard_, 0), nullptr, 0);
  }
  [[nodiscard]] std::string GuardLog() const { return state_ + "/guard.log"; }
  Result<Unit> Permit(Duration left, Duration length = 1s, Epoch epoch = kSeven) {
    deadline_ = ReadClocks() + left;
    return Await(client_->Permit(epoch, deadline_, length, 5s));
  }
  GuardState Look() { return Await(client_->Look(2s)); }
  /// A guard that permits, then a server that is started under it, with table t.
  void StartGuarded() {
    Make();
    StartGuard();
    ASSERT_TRUE(Permit(25s).ok());
    Start();
    ASSERT_TRUE(Session(server_).Run("create table t (n int)").ok);
  }
  void AwaitDeadline() {
    ASSERT_TRUE(Eventually([&] { return HasPassed(deadline_, ReadClocks()); }));
  }

  std::string state_;
  std::optional<GuardClient> client_;
  pid_t guard_ = 0;
  Instant deadline_;
};

TEST_F(GatePostgres, AStartingPrimaryUnderAValidPermissionOpensAtOnce) {
  Make();
  StartGuard();
  ASSERT_TRUE(Permit(25s).ok());
  EXPECT_FALSE(Look().gate);
  EXPECT_THAT(Look().gate_state, HasSubstr("no server runs"));
  Start();
  // Not one commit is refused: the postmaster said that it maps the file before it took its first client.
  EXPECT_TRUE(Session(server_).Run("create table t (n int)").ok);
  EXPECT_TRUE(Look().gate);
  EXPECT_EQ(Look().gate_state, "open");
  EXPECT_THAT(*ReadSmallFile(GuardLog()), HasSubstr("the gate opens"));
  // Restarted by anyone, still under the permission: the word for the postmaster before does not hold, the new one is named at
  // once.
  ASSERT_EQ(Stop("fast").exit_code, 0);
  fs::remove(server_.data_directory + "/standby.signal");
  Start();
  EXPECT_TRUE(Session(server_).Run("insert into t values (1)").ok);
}

TEST_F(GatePostgres, PermitOpensTheGateOfAStandbyBeforeItIsAnsweredSoThatAPromotionIsNotDelayed) {
  Make();
  Start();  // once, for the WAL level
  ASSERT_EQ(Stop("fast").exit_code, 0);
  std::ofstream(server_.data_directory + "/standby.signal") << "";
  ASSERT_EQ(chown((server_.data_directory + "/standby.signal").c_str(), owner_, group_), 0);
  StartGuard();
  Start();
  EXPECT_TRUE(Look().gate);
  EXPECT_EQ(Look().gate_state, "closed");
  EXPECT_FALSE(File().Word()->open);
  ASSERT_TRUE(Permit(25s).ok());
  EXPECT_TRUE(File().Word()->open);
  Session session(server_);
  ASSERT_EQ(session.Run("select pg_promote()").value, "t");
  EXPECT_TRUE(Session(server_).Run("create table t (n int)").ok);
}

TEST_F(GatePostgres, AtTheDeadlineItOnlyClosesABlipOpensItAgainAndTheKillComesAFurtherLengthLater) {
  StartGuarded();
  const pid_t postmaster = PostmasterPid(server_);
  Session session(server_);
  // A higher epoch replaces the deadline by an earlier one.
  ASSERT_TRUE(Permit(300ms, 20s, Epoch{8}).ok());
  EXPECT_TRUE(session.Run("insert into t values (1)").ok);
  AwaitDeadline();
  ExpectRefused(session.Run("insert into t values (2)"), "lease of epoch 8");
  EXPECT_EQ(Look().gate_state, "closed");
  EXPECT_FALSE(Look().armed);
  EXPECT_TRUE(IsAlive(postmaster));
  // The lease renews: the same session goes on, nobody was needed.
  ASSERT_TRUE(Permit(500ms, 500ms, Epoch{8}).ok());
  EXPECT_TRUE(session.Run("insert into t values (3)").ok);
  EXPECT_EQ(Look().kills, 0U);
  // It does not renew: closed at the deadline, killed a further length later and not before.
  AwaitDeadline();
  ExpectRefused(session.Run("insert into t values (4)"), "lease of epoch 8");
  const Instant kill_at = deadline_ + 500ms;
  ASSERT_TRUE(Eventually([&] { return !IsAlive(postmaster) || HasPassed(kill_at - 20ms, ReadClocks()); }));
  EXPECT_TRUE(IsAlive(postmaster));
  ASSERT_TRUE(Eventually([&] { return !IsAlive(postmaster); }));
  EXPECT_TRUE(HasPassed(kill_at, ReadClocks()));
  std::printf("killed at most %.1f ms after deadline and length\n", AgeAt(kill_at, ReadClocks()).count() / 1e6);
  ASSERT_TRUE(Eventually([&] { return ReadSmallFile(GuardLog())->find("closed_at_ns") != std::string::npos; }));
}

TEST_F(GatePostgres, WithTheGuardDeadTheGateStillClosesAtTheDeadline) {
  StartGuarded();
  ASSERT_TRUE(Permit(400ms, 1s, Epoch{8}).ok());
  KillGuard();
  Session session(server_);
  EXPECT_TRUE(session.Run("insert into t values (1)").ok);
  AwaitDeadline();
  ExpectRefused(session.Run("insert into t values (2)"), "lease of epoch 8");
}

TEST_F(GatePostgres, AGuardThatIsReplacedClosesNothing) {
  StartGuarded();
  Session session(server_);
  KillGuard();
  std::thread again([&] { StartGuard(); });
  int rows = 0;
  bool up = false;
  while (!up && rows < 100000) {
    up = Look().reachable;
    const Answer answer = session.Run("insert into t values (1)");
    EXPECT_TRUE(answer.ok) << answer.message;
    if (!answer.ok) break;
    ++rows;
  }
  again.join();
  EXPECT_TRUE(Look().gate);
  EXPECT_EQ(Look().gate_state, "open");
  EXPECT_TRUE(session.Run("insert into t values (1)").ok);
}

TEST_F(GatePostgres, ForbidKillsAtOnceAlsoBehindAClosedGate) {
  StartGuarded();
  ASSERT_TRUE(Permit(200ms, 25s, Epoch{8}).ok());
  AwaitDeadline();
  ASSERT_TRUE(Eventually([&] { return Look().gate_state == "closed"; }));
  ASSERT_TRUE(Await(client_->Forbid(Epoch{9}, 10s)).ok()) << "a higher epoch was heard of";
  EXPECT_TRUE(ProcessesWithin(server_.data_directory).empty());
  EXPECT_FALSE(File().Word()->open);
}

TEST_F(GatePostgres, WithoutTheModuleInTheServerTheKillIsNotDelayed) {
  Make("shared_preload_libraries = ''\n");
  StartGuard();
  ASSERT_TRUE(Permit(25s).ok());
  Start();
  const pid_t postmaster = PostmasterPid(server_);
  EXPECT_FALSE(Look().gate);
  ASSERT_TRUE(Permit(300ms, 20s, Epoch{8}).ok());
  ASSERT_TRUE(Eventually([&] { return !IsAlive(postmaster); }, 5s));
  EXPECT_THAT(Await(client_->Close(Epoch{8}, 2s)).error().message, HasSubstr("no gate in force"));
}

TEST_F(GatePostgres, TurningItOffBehindAClosedGateIsNotHeededAndKills) {
  StartGuarded();
  const pid_t postmaster = PostmasterPid(server_);
  Session session(server_);
  ASSERT_TRUE(Permit(300ms, 25s, Epoch{8}).ok());
  AwaitDeadline();
  ASSERT_TRUE(Eventually([&] { return Look().gate_state == "closed"; }));
  ASSERT_TRUE(session.Run("alter system set lifeboat.gate = off").ok);
  ASSERT_EQ(kill(postmaster, SIGHUP), 0);
  bool committed = false;
  ASSERT_TRUE(Eventually([&] {
    committed = session.Run("insert into t values (1)").ok || committed;
    return !session.IsUp();
  }));
  EXPECT_FALSE(committed);
  EXPECT_TRUE(Eventually([&] { return !IsAlive(postmaster); }, 5s));
}

TEST_F(GatePostgres, TurnedOffWithinTheLeaseTheGuardGoesBackToKillingAtTheDeadline) {
  StartGuarded();
  const pid_t postmaster = PostmasterPid(server_);
  Session session(server_);
  ASSERT_TRUE(session.Run("alter system set lifeboat.gate = off").ok);
  ASSERT_TRUE(session.Run("select pg_reload_conf()").ok);
  ASSERT_TRUE(Eventually([&] { return !Look().gate; }));
  EXPECT_THAT(Look().gate_state, HasSubstr("turned off"));
  EXPECT_FALSE(File().Word()->counted_on);
  ASSERT_TRUE(Permit(300ms, 25s, Epoch{8}).ok());
  EXPECT_TRUE(Eventually([&] { return !IsAlive(postmaster); }, 5s));
  EXPECT_LT(AgeAt(deadline_, ReadClocks()), 5s);
}

TEST_F(GatePostgres, CloseEndsAnEpochForGoodAndTheServerLivesOn) {
  StartGuarded();
  Session session(server_);
  ASSERT_TRUE(Await(client_->Close(kSeven, 2s)).ok());
  ExpectRefused(session.Run("insert into t values (1)"), "the guard has closed it");
  EXPECT_THAT(Look().gate_state, HasSubstr("for good"));
  // A late answer to an earlier renewal extends the server's life and opens nothing, also not after a restart of the guard.
  ASSERT_TRUE(Permit(27s).ok());
  ExpectRefused(session.Run("insert into t values (1)"));
  KillGuard();
  StartGuard();
  ASSERT_TRUE(Permit(28s).ok());
  ExpectRefused(session.Run("insert into t values (1)"));
  // It is stopped cleanly, still under the lease.
  EXPECT_EQ(Stop("fast").exit_code, 0);
  // Under the next epoch it goes on.
  fs::remove(server_.data_directory + "/standby.signal");
  Start();
  ExpectRefused(Session(server_).Run("insert into t values (1)"));
  ASSERT_TRUE(Permit(25s, 1s, Epoch{8}).ok());
  EXPECT_TRUE(Session(server_).Run("insert into t values (1)").ok);
}

// ---- policy.automation 'observe' ----

TEST_F(GatePostgres, AGuardThatObservesHoldsTheGateOpenAlsoOnceItIsDead) {
  Make();
  StartGuard(true);
  Start();
  Session session(server_);
  ASSERT_TRUE(session.Run("create table t (n int)").ok) << "not one commit is refused from the server's start on";
  EXPECT_THAT(session.Run("show lifeboat.gate_state").value, HasSubstr("held open"));
  const GuardState look = Look();
  EXPECT_TRUE(look.observes && look.held);
  EXPECT_FALSE(look.gate) << "it is no fence";
  EXPECT_THAT(look.gate_state, HasSubstr("held open"));
  const Result<Unit> permitted = Permit(25s);
  ASSERT_FALSE(permitted.ok()) << "whoever acts must know that nothing would be stopped";
  EXPECT_THAT(permitted.error().message, HasSubstr("only observes"));
  EXPECT_FALSE(Await(client_->Forbid(kSeven, 5s)).ok());
  KillGuard();
  EXPECT_TRUE(session.Run("insert into t values (1)").ok);
  EXPECT_TRUE(Session(server_).Run("insert into t values (2)").ok);
  // Another server in that data directory is another matter: the guard that is back names it.
  ASSERT_EQ(Stop("fast").exit_code, 0);
  Start();
  ExpectRefused(Session(server_).Run("insert into t values (3)"), "since this server was started");
  StartGuard(true);
  EXPECT_TRUE(Session(server_).Run("insert into t values (3)").ok);
}

TEST_F(GatePostgres, FromActToObserveNothingIsRefusedAndTheDeadlineIsGoneOnceItIsLetGo) {
  StartGuarded();
  const pid_t postmaster = PostmasterPid(server_);
  Session session(server_);
  KillGuard();
  StartGuard(true);
  EXPECT_TRUE(Look().armed) << "others may rely on the word that was given";
  EXPECT_TRUE(Permit(26s).ok()) << "it is fed on";
  EXPECT_TRUE(session.Run("insert into t values (1)").ok);
  ASSERT_TRUE(Await(client_->Hold(kSeven, 5s)).ok());
  EXPECT_EQ(File().Word()->deadline, kGateHeld);
  EXPECT_TRUE(Look().held);
  EXPECT_TRUE(session.Run("insert into t values (2)").ok);
  EXPECT_THAT(*ReadSmallFile(GuardLog()), HasSubstr("the gate opens"));
  ASSERT_TRUE(Eventually([&] { return ReadSmallFile(GuardLog())->find("nothing is fenced") != std::string::npos; }));
  EXPECT_EQ(PostmasterPid(server_), postmaster);
}

TEST_F(GatePostgres, AGuardThatObservesAndComesBackAfterTheDeadlineOpensTheGateOnlyWhenItIsTold) {
  StartGuarded();
  const pid_t postmaster = PostmasterPid(server_);
  ASSERT_TRUE(Permit(200ms, 25s, Epoch{8}).ok());
  KillGuard();
  AwaitDeadline();
  StartGuard(true);
  Session session(server_);
  ExpectRefused(session.Run("insert into t values (1)"), "lease of epoch 8");
  EXPECT_FALSE(Look().held);
  EXPECT_TRUE(IsAlive(postmaster)) << "it ends nothing";
  ASSERT_TRUE(Await(client_->Hold(Epoch{8}, 5s)).ok());
  EXPECT_TRUE(session.Run("insert into t values (1)").ok);
}

TEST_F(GatePostgres, FromObserveToActAPrimaryIsNeitherKilledNorRefusedAndFencedFromItsFirstPermissionOn) {
  Make();
  StartGuard(true);
  Start();
  const pid_t postmaster = PostmasterPid(server_);
  Session session(server_);
  ASSERT_TRUE(session.Run("create table t (n int)").ok);
  KillGuard();
  StartGuard();
  EXPECT_TRUE(Look().held);
  EXPECT_FALSE(Look().observes);
  EXPECT_FALSE(Await(client_->Hold(kSeven, 5s)).ok()) << "a guard that acts holds nothing open by order";
  // Many of its looks at the server lie in here: each sees a writable one that nobody has permitted.
  const Instant end = ReadClocks() + 500ms;
  while (!HasPassed(end, ReadClocks())) ASSERT_TRUE(session.Run("insert into t values (1)").ok);
  EXPECT_TRUE(IsAlive(postmaster));
  ASSERT_TRUE(Permit(400ms, 20s).ok());
  EXPECT_FALSE(Look().held);
  EXPECT_TRUE(Look().gate);
  AwaitDeadline();
  ExpectRefused(session.Run("insert into t values (2)"), "lease of epoch 7");
  EXPECT_TRUE(IsAlive(postmaster));
}

TEST_F(GatePostgres, AGuardThatActsAgainEndsAHeldStandbysPromotionThatNobodyPermitted) {
  Make();
  Start();  // once, for the WAL level
  ASSERT_EQ(Stop("fast").exit_code, 0);
  std::ofstream(server_.data_directory + "/standby.signal") << "";
  ASSERT_EQ(chown((server_.data_directory + "/standby.signal").c_str(), owner_, group_), 0);
  StartGuard(true);
  Start();
  EXPECT_TRUE(Look().held);
  KillGuard();
  StartGuard();
  ASSERT_TRUE(Eventually([&] { return !Look().held; })) << "a standby waits for no permission";
  EXPECT_EQ(Look().gate_state, "closed");
  const pid_t postmaster = PostmasterPid(server_);
  Session(server_).Run("select pg_promote(false)");
  EXPECT_TRUE(Eventually([&] { return !IsAlive(postmaster); }));
}

}  // namespace
}  // namespace lifeboat
