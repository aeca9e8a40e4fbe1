// Dumps of pg_dump and pg_dumpall, loaded into a fresh cluster of a sandbox by the real tools: whole ones pass levels 4 to 6; rows
// and statements that fail are counted; what a dump's SQL would do outside of the sandbox does not happen; nothing is left behind.

#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <thread>
#include <tuple>

#include "adapters/backups/restore.h"
#include "adapters/system/processes.h"
#include "support/backup_files.h"
#include "support/real_postgres.h"

namespace lifeboat {
namespace {

namespace fs = std::filesystem;
using backup::Level;
using backup::RestoreOptions;
using backup::RestoreOutcome;
using backup::Severity;
using backup::Verdict;
using testing_support::BackupCopy;
using testing_support::CutFile;
using testing_support::PostgresLab;
using testing_support::ReplaceFile;
using testing_support::ServerOptions;
using testing_support::Slurp;
using Numbers = std::set<std::string>;

/// A cluster with roles, a tablespace and two databases, and its dumps of every kind. It goes on running.
struct World {
  PostgresLab lab;
  DatabaseSettings server;
  fs::path dumps;  ///< shop.dump, shop.dir, bare.dump (not compressed), shop.sql.gz, shop.sql, shop.tar, packed.tar.gz, tools.dump,
                   ///< stale.dump, cluster.sql, globals.sql

  World() {
    dumps = lab.MakeFolder("dumps");
    server = lab.Initialise("source", ServerOptions{.more_settings = "fsync = off\n"});
    lab.StartByAnyone(server);
    Sql("postgres", "create role alice; create role reader login password 'r'");
    Sql("postgres", "create tablespace elsewhere owner alice location '" + lab.MakeFolder("space").string() + "'");
    Sql("postgres", "create database shop owner alice");
    Sql("postgres", "create database tools");
    Sql("tools", "create extension pageinspect; create table used(i int); insert into used values (7)");
    Sql("shop",
        "create table orders(i int primary key, v text); insert into orders select g, md5(g::text) from generate_series(1, 3000) g;"
        "create table items(id serial primary key, of_order int references orders, note text);"
        "insert into items(of_order, note) select g, 'x' from generate_series(1, 500) g;"
        "create table kept tablespace elsewhere as select * from orders limit 100; create index on orders(v);"
        "create function twice(n int) returns int language sql immutable as 'select 2 * n';"
        "create schema lifeboat; create table lifeboat.heartbeat (region text primary key, at timestamptz not null);"
        "insert into lifeboat.heartbeat values ('here', clock_timestamp());"
        "alter table orders owner to alice; alter table items owner to alice; grant select on orders to reader;"
        "select lo_from_bytea(0, decode(repeat('c0ffee', 1000), 'hex'))");
    Dump({"pg_dumpall", "-g", "-f", (dumps / "globals.sql").string()});
    Dump({"pg_dumpall", "-f", (dumps / "cluster.sql").string()});
    Sql("postgres", "create database stale");
    Sql("stale",
        "create schema lifeboat; create table lifeboat.heartbeat (region text primary key, at timestamptz not null);"
        "insert into lifeboat.heartbeat values ('here', clock_timestamp() - interval '3 days')");
    Dump({"pg_dump", "-Fc", "-f", (dumps / "stale.dump").string(), "stale"});
    Dump({"pg_dump", "-Fc", "-f", (dumps / "tools.dump").string(), "tools"});
    Dump({"pg_dump", "-Ft", "-f", (dumps / "shop.tar").string(), "shop"});
    Must({"sh", "-c", "gzip -1 < '" + (dumps / "shop.tar").string() + "' > '" + (dumps / "packed.tar.gz").string() + "'"});
    Dump({"pg_dump", "-Fp", "-f", (dumps / "shop.sql").string(), "shop"});
    Dump({"pg_dump", "-Fp", "-Z1", "-f", (dumps / "shop.sql.gz").string(), "shop"});
    Dump({"pg_dump", "-Fd", "-f", (dumps / "shop.dir").string(), "shop"});
    Dump({"pg_dump", "-Fc", "-Z0", "-f", (dumps / "bare.dump").string(), "shop"});
    Dump({"pg_dump", "-Fc", "-f", (dumps / "shop.dump").string(), "shop"});
  }
  void Must(std::vector<std::string> argv) const {
    const CommandOutput done = lab.Run(argv);
    ASSERT_EQ(done.exit_code, 0) << argv.back() << done.err;
  }
  [[nodiscard]] std::vector<std::string> Psql(const std::string& database, const std::string& sql) const {
    return {server.bin_directory + "/psql",
            "-qXAt",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            server.socket_directory,
            "-p",
            std::to_string(server.address.port),
            "-U",
            "postgres",
            "-d",
            database,
            "-c",
            sql};
  }
  void Sql(const std::string& database, const std::string& sql) const { Must(Psql(database, sql)); }
  [[nodiscard]] std::string Value(const std::string& database, const std::string& sql) const {
    return lab.Run(Psql(database, sql)).out;
  }
  void Dump(std::vector<std::string> argv) const {
    argv[0] = server.bin_directory + "/" + argv[0];
    argv.insert(argv.begin() + 1, {"-h", server.socket_directory, "-p", std::to_string(server.address.port), "-U", "postgres"});
    Must(argv);
  }
};

World& TheWorld() {
  static World world;
  return world;
}

/// A scratch folder that must be empty again at the end, with no process in it.
class Scratch {
 public:
  Scratch() : folder_(fs::temp_directory_path() / ("dump-scratch-" + RandomHex(4))) {
    fs::create_directory(folder_);
    fs::permissions(folder_, fs::perms::owner_all | fs::perms::group_exec | fs::perms::others_exec);
  }
  ~Scratch() {
    EXPECT_TRUE(fs::is_empty(folder_)) << "something was left behind in " << folder_;
    EXPECT_TRUE(ProcessesWithin(folder_.string()).empty());
    fs::remove_all(folder_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] const fs::path& folder() const { return folder_; }

 private:
  fs::path folder_;
};

RestoreOptions OptionsFor(const Scratch& scratch, const std::string& set, Level level = Level::kContent) {
  RestoreOptions options;
  options.scratch = scratch.folder();
  options.set = set;
  options.level = level;
  return options;
}

RestoreOutcome RestoreFrom(const fs::path& folder, const RestoreOptions& options) {
  auto source = backup::OpenDumps({folder, {}, {}, nullptr});
  EXPECT_TRUE(source.ok()) << source.error().Text();
  auto outcome = backup::RestoreAndCheck(**source, options);
  EXPECT_TRUE(outcome.ok()) << outcome.error().Text();
  return std::move(*outcome);
}

std::string Told(const RestoreOutcome& outcome) {
  std::string text;
  for (const auto& each : outcome.findings)
    text += each.Number() + " " + each.object + " at '" + each.position + "': " + each.what + "\n";
  for (const auto& each : outcome.levels) text += std::string(backup::ToString(each.verdict)) + " " + each.reason + "\n";
  return text + outcome.load.dump();
}

Numbers FaultsOf(const RestoreOutcome& outcome) {
  Numbers numbers;
  for (const auto& each : outcome.findings) {
    if (each.severity == Severity::kFault) numbers.insert(each.Number());
  }
  return numbers;
}

Verdict VerdictOn(const RestoreOutcome& outcome, Level level) { return outcome.levels[static_cast<std::size_t>(level)].verdict; }

/// A copy of the dumps in which one script is changed.
class ChangedScript {
 public:
  ChangedScript(const std::string& find, const std::string& put, const std::string& name = "shop.sql") : copy_(TheWorld().dumps) {
    std::string text = Slurp(copy_.folder() / name);
    const std::size_t at = text.find(find);
    EXPECT_NE(at, std::string::npos) << find;
    text.replace(at, find.size(), put);
    ReplaceFile(copy_.folder() / name, text);
    fs::permissions(copy_.folder() / name, fs::perms::owner_read | fs::perms::group_read | fs::perms::others_read);
  }
  [[nodiscard]] const fs::path& folder() const { return copy_.folder(); }

 private:
  BackupCopy copy_;
};

struct Kind {
  const char* label;
  const char* by;
  const char* as;
};

class WholeDump : public testing::TestWithParam<Kind> {};

TEST_P(WholeDump, RestoresAndPassesEveryLevel) {
  const Scratch scratch;
  RestoreOptions options = OptionsFor(scratch, GetParam().label);
  options.tier = backup::Tier::kQuick;
  const bool tools = std::string(GetParam().label) == "tools.dump";
  if (tools) {
    options.checks = {{"rows", "", "select i from used", "7"}};
  } else {
    options.checks = {
        {"rows", "shop", "select count(*), (select count(*) from items), (select count(*) from kept) from orders", "3000|500|100"},
        {"function", "shop", "select twice(21)", "42"},
        {"large object", "shop", "select length(lo_get(oid)) from pg_largeobject_metadata", "3000"}};
  }
  const RestoreOutcome outcome = RestoreFrom(TheWorld().dumps, options);
  EXPECT_EQ(FaultsOf(outcome), Numbers{}) << Told(outcome);
  for (const Level level : {Level::kRestores, Level::kLogic, Level::kContent})
    EXPECT_EQ(VerdictOn(outcome, level), Verdict::kPass) << Told(outcome);
  EXPECT_EQ(TextAt(outcome.load, "by"), GetParam().by);
  EXPECT_EQ(TextAt(outcome.load, "as"), GetParam().as) << Told(outcome);
  EXPECT_EQ(SignedAt(outcome.load, "errors"), 0) << Told(outcome);
  EXPECT_TRUE(outcome.rto.measured);
  EXPECT_EQ(outcome.heartbeat.has_value(), !tools);
  EXPECT_EQ(outcome.write_guard, "landlock");
}

INSTANTIATE_TEST_SUITE_P(Dumps, WholeDump,
                         testing::Values(Kind{"shop.dump", "pg_restore", "owner"}, Kind{"shop.dir", "pg_restore", "owner"},
                                         Kind{"tools.dump", "pg_restore", "superuser"}, Kind{"shop.sql.gz", "psql", "superuser"},
                                         Kind{"shop.tar", "pg_restore", "owner"}, Kind{"packed.tar.gz", "pg_restore", "owner"},
                                         Kind{"cluster.sql", "psql", "superuser"}),
                         [](const auto& at) {
                           std::string name = at.param.label;
                           for (char& c : name) c = c == '.' ? '_' : c;
                           return name;
                         });

TEST(BackupDumpRestore, F34TheDataOfADumpIsDaysOlderThanTheDump) {
  const Scratch scratch;
  RestoreOptions options = OptionsFor(scratch, "stale.dump");
  options.tier = backup::Tier::kQuick;
  const RestoreOutcome outcome = RestoreFrom(TheWorld().dumps, options);
  EXPECT_EQ(FaultsOf(outcome), Numbers{"F34"}) << Told(outcome);
}

TEST(BackupDumpRestore, TheLatestIsTheNewestDumpAndNotTheFileOfRoles) {
  const Scratch scratch;
  const BackupCopy copy(TheWorld().dumps);
  // Dumps tell when they were made to the second alone: one of them, and a file of roles that is newer.
  for (const fs::directory_entry& each : fs::directory_iterator(copy.folder())) {
    const std::string name = each.path().filename().string();
    if (name != "shop.dump" && name != "globals.sql") fs::remove_all(each.path());
  }
  fs::last_write_time(copy.folder() / "globals.sql", fs::file_time_type::clock::now());
  const RestoreOutcome outcome = RestoreFrom(copy.folder(), OptionsFor(scratch, "latest", Level::kRestores));
  EXPECT_EQ(outcome.set, "shop.dump") << Told(outcome);
  EXPECT_EQ(TextAt(outcome.load, "globals"), "globals.sql");
  EXPECT_EQ(VerdictOn(outcome, Level::kRestores), Verdict::kPass) << Told(outcome);
}

TEST(BackupDumpRestore, ABadRowInAScriptFailsLevelFourWithItsPlaceAndWithoutItsValue) {
  const Scratch scratch;
  const ChangedScript changed("\n1700\t", "\none-seven\t");
  const RestoreOutcome outcome = RestoreFrom(changed.folder(), OptionsFor(scratch, "shop.sql", Level::kRestores));
  EXPECT_EQ(FaultsOf(outcome), Numbers{"F51"}) << Told(outcome);
  EXPECT_EQ(VerdictOn(outcome, Level::kRestores), Verdict::kFail);
  ASSERT_FALSE(outcome.findings.empty());
  EXPECT_EQ(outcome.findings[0].level, Level::kRestores);
  EXPECT_EQ(outcome.findings[0].position, "COPY orders, line 1700, column i") << Told(outcome);
  EXPECT_EQ(Told(outcome).find("one-seven"), std::string::npos) << "a row's value is told: " << Told(outcome);
  EXPECT_EQ(SignedAt(outcome.load, "errors"), 2) << "the rows, and the foreign key to them: " << Told(outcome);
}

TEST(BackupDumpRestore, ABadRowInACustomDumpFailsLevelFour) {
  const Scratch scratch;
  const ChangedScript changed("1700\t", "x700\t", "bare.dump");
  const RestoreOutcome outcome = RestoreFrom(changed.folder(), OptionsFor(scratch, "bare.dump", Level::kRestores));
  EXPECT_EQ(FaultsOf(outcome), Numbers{"F51"}) << Told(outcome);
  EXPECT_EQ(SignedAt(outcome.load, "errors"), 2) << Told(outcome);
}

TEST(BackupDumpRestore, RowsThatBreakAKeyFailLevelFour) {
  const Scratch scratch;
  const ChangedScript changed("\n17\t", "\n16\t");
  const RestoreOutcome outcome = RestoreFrom(changed.folder(), OptionsFor(scratch, "shop.sql", Level::kRestores));
  EXPECT_EQ(FaultsOf(outcome), Numbers{"F51"}) << Told(outcome);
  EXPECT_NE(Told(outcome).find("could not create unique index"), std::string::npos) << Told(outcome);
}

TEST(BackupDumpRestore, AScriptThatEndsWithinItsRowsFailsAlthoughNoStatementDoes) {
  const Scratch scratch;
  const BackupCopy copy(TheWorld().dumps);
  const std::string text = Slurp(copy.folder() / "shop.sql");
  // Within the rows of the largest object, at a row's end: psql takes it for the end of the rows.
  CutFile(copy.folder() / "shop.sql", text.find("\n2000\t") + 1);
  fs::permissions(copy.folder() / "shop.sql", fs::perms::owner_read | fs::perms::group_read | fs::perms::others_read);
  const RestoreOutcome outcome = RestoreFrom(copy.folder(), OptionsFor(scratch, "shop.sql", Level::kRestores));
  EXPECT_EQ(FaultsOf(outcome), Numbers{"F08"}) << Told(outcome);
  EXPECT_EQ(SignedAt(outcome.load, "errors"), 0) << Told(outcome);
  EXPECT_EQ(VerdictOn(outcome, Level::kRestores), Verdict::kFail);
}

TEST(BackupDumpRestore, ACustomDumpThatIsCutOffFails) {
  const Scratch scratch;
  const BackupCopy copy(TheWorld().dumps);
  CutFile(copy.folder() / "bare.dump", fs::file_size(copy.folder() / "bare.dump") / 2);
  fs::permissions(copy.folder() / "bare.dump", fs::perms::owner_read | fs::perms::group_read | fs::perms::others_read);
  const RestoreOutcome outcome = RestoreFrom(copy.folder(), OptionsFor(scratch, "bare.dump", Level::kRestores));
  EXPECT_EQ(FaultsOf(outcome), Numbers{"F08"}) << Told(outcome);
  EXPECT_EQ(VerdictOn(outcome, Level::kRestores), Verdict::kFail);
}

TEST(BackupDumpRestore, WithoutTheFileOfRolesTheDataComeBackAndTheOwnersAreNoted) {
  const Scratch scratch;
  const BackupCopy copy(TheWorld().dumps);
  fs::remove(copy.folder() / "globals.sql");
  RestoreOptions options = OptionsFor(scratch, "shop.sql", Level::kRestores);
  const RestoreOutcome outcome = RestoreFrom(copy.folder(), options);
  EXPECT_EQ(FaultsOf(outcome), Numbers{}) << Told(outcome);
  EXPECT_EQ(VerdictOn(outcome, Level::kRestores), Verdict::kPass);
  ASSERT_EQ(outcome.findings.size(), 1U) << Told(outcome);
  EXPECT_EQ(outcome.findings[0].Number(), "F37");
  EXPECT_NE(Told(outcome).find("alice"), std::string::npos);
}

TEST(BackupDumpRestore, WhatThisHostLacksIsF31) {
  const Scratch scratch;
  const ChangedScript changed("CREATE TABLE public.orders", "CREATE EXTENSION nonesuch;\nCREATE TABLE public.orders");
  const RestoreOutcome outcome = RestoreFrom(changed.folder(), OptionsFor(scratch, "shop.sql", Level::kRestores));
  EXPECT_EQ(FaultsOf(outcome), Numbers{"F31"}) << Told(outcome);
}

TEST(BackupDumpRestore, WhatADumpWouldDoOutsideOfTheSandboxDoesNotHappen) {
  const Scratch scratch;
  World& world = TheWorld();
  const fs::path harm = world.lab.MakeFolder("harm-" + RandomHex(4));
  const std::string port = std::to_string(world.server.address.port);
  // A script that starts programs, from psql and from the server, writes files, and connects to the source, by socket and by TCP.
  const ChangedScript changed("CREATE TABLE public.orders (",
                              "\\! touch " + (harm / "by-psql").string() + "\n\\o " + (harm / "by-psql-itself").string() +
                                  "\nselect 1;\n\\o\nCOPY (select 1) TO PROGRAM 'touch " + (harm / "by-server").string() +
                                  "';\nCOPY (select 1) TO '" + (harm / "by-server-itself").string() +
                                  "';\n\\connect shop postgres " + world.server.socket_directory + " " + port +
                                  "\nCREATE TABLE public.was_here(i int);\nCREATE TABLE public.orders (");
  // Newer tools forbid most of it themselves; what older ones wrote has no such line.
  std::string text = Slurp(changed.folder() / "shop.sql");
  for (const char* word : {"\n\\restrict ", "\n\\unrestrict "}) {
    if (const std::size_t at = text.find(word); at != std::string::npos) text.erase(at, text.find('\n', at + 1) - at);
  }
  ReplaceFile(changed.folder() / "shop.sql", text);
  RestoreOptions options = OptionsFor(scratch, "shop.sql", Level::kContent);
  options.tier = backup::Tier::kQuick;
  options.checks = {{"led", "shop", "select count(*) from pg_class where relname = 'was_here'", "1"}};
  const RestoreOutcome outcome = RestoreFrom(changed.folder(), options);
  EXPECT_TRUE(fs::is_empty(harm)) << Told(outcome);
  EXPECT_EQ(world.Value("shop", "select count(*) from pg_class where relname = 'was_here'"), "0\n") << "the source was reached";
  EXPECT_EQ(FaultsOf(outcome), Numbers{"F51"})
      << "the statements that were refused are counted, and each connection led to the sandbox: " << Told(outcome);
  EXPECT_EQ(VerdictOn(outcome, Level::kContent), Verdict::kPass) << "the question was asked: " << Told(outcome);
}

TEST(BackupDumpRestore, F39RowsThatWereRewrittenAsSomethingThatCannotBePackedAreTold) {
  const Scratch scratch;
  World& world = TheWorld();
  const fs::path folder = world.lab.MakeFolder("letters-" + RandomHex(4));
  world.Sql("postgres",
            "create table letters as select g as i, 'Dear customer ' || g || ', your order has left our house today and comes to "
            "you on Monday.' as body"
            " from generate_series(1, 2000) g");
  world.Dump({"pg_dump", "-Fc", "-f", (folder / "letters.dump").string(), "-t", "letters", "postgres"});
  RestoreOptions options = OptionsFor(scratch, "letters.dump");
  options.tier = backup::Tier::kQuick;
  const RestoreOutcome before = RestoreFrom(folder, options);
  ASSERT_EQ(FaultsOf(before), Numbers{}) << Told(before);
  options.history = before.content;
  // As an intruder would leave it: as many rows, each of them unreadable.
  world.Sql("postgres", "update letters set body = md5(random()::text || i) || md5(random()::text || body)");
  world.Dump({"pg_dump", "-Fc", "-f", (folder / "letters.dump").string(), "-t", "letters", "postgres"});
  world.Sql("postgres", "drop table letters");
  const RestoreOutcome after = RestoreFrom(folder, options);
  EXPECT_EQ(FaultsOf(after), Numbers{"F39"}) << Told(after);
  EXPECT_EQ(VerdictOn(after, Level::kContent), Verdict::kFail);
}

/// PostgreSQL's programs, one of which is a script of ours.
fs::path ToolsWith(const std::string& name, const std::string& script) {
  const World& world = TheWorld();
  const fs::path folder = world.lab.folder() / ("tools-" + RandomHex(4));
  fs::create_directory(folder);
  for (const char* each : {"postgres", "initdb", "psql", "pg_restore"}) {
    if (each != name) fs::create_symlink(fs::path(world.server.bin_directory) / each, folder / each);
  }
  ReplaceFile(folder / name, "#!/bin/sh\n" + script);
  for (const fs::path& each : {folder, folder / name}) fs::permissions(each, fs::perms(0755));
  return folder;
}

std::string Says(const std::string& state, const std::string& message) {
  return "echo '1763900000.123 ERROR:  " + state + ": " + message +
         "'\necho 'pg_restore: error: could not execute query: ERROR:  " + message + "'\n";
}

TEST(BackupDumpRestore, AToolThatIsKilledFailsLevelFourWhateverItSaidBefore) {
  const std::string absent = Says("42704", "role \"ghost\" does not exist");
  for (const auto& [label, tool, script] :
       {std::tuple{"shop.dump", "pg_restore", absent + "kill -9 $$\n"},
        std::tuple{"shop.sql", "psql", std::string("while read -r line; do :; done\nkill -9 $$\n")},
        std::tuple{"shop.sql", "psql", std::string("while read -r line; do :; done\nexit 1\n")}}) {
    const Scratch scratch;
    RestoreOptions options = OptionsFor(scratch, label, Level::kRestores);
    options.bin_directory = ToolsWith(tool, script);
    const RestoreOutcome outcome = RestoreFrom(TheWorld().dumps, options);
    EXPECT_EQ(FaultsOf(outcome), Numbers{"F51"}) << label << Told(outcome);
    EXPECT_EQ(VerdictOn(outcome, Level::kRestores), Verdict::kFail) << label << Told(outcome);
  }
}

TEST(BackupDumpRestore, AnOwnersTryThatIsKilledIsNoFaultOnceTheSuperuserLoadsItAll) {
  const Scratch scratch;
  RestoreOptions options = OptionsFor(scratch, "shop.dump", Level::kRestores);
  options.bin_directory = ToolsWith("pg_restore", "if [ -e tried ]; then exit 0; fi\n: >tried\n" +
                                                      Says("42501", "permission denied for schema public") + "kill -9 $$\n");
  const RestoreOutcome outcome = RestoreFrom(TheWorld().dumps, options);
  EXPECT_EQ(TextAt(outcome.load, "as"), "superuser") << Told(outcome);
  EXPECT_EQ(FaultsOf(outcome), Numbers{}) << Told(outcome);
}

TEST(BackupDumpRestore, CancelledWithinTheLoadNothingIsLeft) {
  for (const char* label : {"shop.dump", "shop.sql.gz"}) {
    const Scratch scratch;
    std::atomic<bool> cancel = false;
    RestoreOptions options = OptionsFor(scratch, label);
    options.cancel = &cancel;
    // What runs beneath the folder once the server is there: the moment that every load passes.
    std::jthread watcher([&](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        for (const auto& entry : fs::directory_iterator(scratch.folder())) {
          std::error_code problem;
          if (fs::exists(entry.path() / "s/.s.PGSQL.5432", problem)) cancel = true;
        }
      }
    });
    const RestoreOutcome outcome = RestoreFrom(TheWorld().dumps, options);
    EXPECT_TRUE(outcome.cancelled) << label << Told(outcome);
    EXPECT_EQ(VerdictOn(outcome, Level::kRestores), Verdict::kNotChecked) << label;
  }
}

}  // namespace
}  // namespace lifeboat
