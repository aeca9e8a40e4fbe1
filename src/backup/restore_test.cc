// What restores understand without a server: targets, a server's words, and judgement on content.

#include <gtest/gtest.h>

#include "backup/content.h"
#include "backup/restore_target.h"
#include "backup/server_words.h"

namespace lifeboat::backup {
namespace {

RestoreTarget Parsed(const std::string& text) {
  const auto target = ParseRestoreTarget(text);
  EXPECT_TRUE(target.ok()) << text;
  return *target;
}

TEST(RestoreTarget, IsReadInEveryFormThatAnOperatorTypes) {
  EXPECT_EQ(Parsed("").kind, RestoreTarget::Kind::kLatest);
  EXPECT_EQ(Parsed("immediate").kind, RestoreTarget::Kind::kImmediate);
  EXPECT_EQ(Parsed("16/B374D848").lsn, *Lsn::Parse("16/B374D848"));
  for (const char* text : {"2026-11-23 05:18:44.5", "2026-11-23T05:18:44.5Z", "2026-11-23 05:18:44.500 UTC"}) {
    EXPECT_EQ(Parsed(text).Text(), "2026-11-23T05:18:44.500Z") << text;
  }
  for (const char* text : {"yesterday", "2026-11-23", "2026-11-23 05:18:44+02", "16/"})
    EXPECT_FALSE(ParseRestoreTarget(text).ok()) << text;
}

TEST(RestoreTarget, BecomesSettingsThatStopWhereItSays) {
  EXPECT_NE(RecoverySettings(Parsed("2026-11-23 05:18:44.000123")).find("recovery_target_time = '2026-11-23 05:18:44.000123 UTC'"),
            std::string::npos);
  EXPECT_NE(RecoverySettings(Parsed("0/3000148")).find("recovery_target_lsn = '0/3000148'\nrecovery_target_inclusive = off"),
            std::string::npos);
  EXPECT_EQ(RecoverySettings(Parsed("latest")).find("recovery_target_lsn"), std::string::npos);
}

TEST(RestoreTarget, IsReachedFromTheNewestBackupThatEndedBeforeIt) {
  const std::vector<BackupSpan> spans = {{"a", {{1, Lsn{100}, Lsn{200}}}, 1000}, {"b", {{1, Lsn{300}, Lsn{400}}}, 2000}};
  EXPECT_EQ(NewestLeadingTo(Parsed("latest"), spans), 1U);
  EXPECT_EQ(NewestLeadingTo(Parsed("0/190"), spans), 1U);
  EXPECT_EQ(NewestLeadingTo(Parsed("0/18F"), spans), 0U);
  EXPECT_EQ(NewestLeadingTo(Parsed("0/C7"), spans), std::nullopt);
  EXPECT_EQ(NewestLeadingTo(Parsed("1970-01-01 00:33:19"), spans), 0U);
  EXPECT_EQ(NewestLeadingTo(Parsed("1970-01-01 00:33:20"), spans), 1U);
}

TEST(ServerWords, AreTimedAlsoWhenALineComesInPieces) {
  ServerWords words;
  words.Add("1763900000.100 LOG:  redo starts at 0/2000028\n1763900000.250 LOG:  redo done at 0/30001");
  EXPECT_TRUE(words.redo_began());
  EXPECT_FALSE(words.replayed());
  words.Add(
      "10 system usage: CPU\n1763900001.000 FATAL:  the database system is starting up\n1763900001.500 LOG:  database system is "
      "ready to accept connections\n");
  EXPECT_EQ(words.replayed()->ns - words.redo_began()->ns, 150'000'000);
  EXPECT_EQ(words.redo_done(), Lsn::Parse("0/3000110"));
  EXPECT_TRUE(words.ready());
  EXPECT_TRUE(words.deaths().empty()) << "a client that came too early is no death";
}

TEST(ServerWords, ADeathBecomesTheFaultThatItIs) {
  const std::pair<const char*, int> deaths[] = {
      {"1.0 FATAL:  recovery ended before configured recovery target was reached\n", 32},
      {"1.0 FATAL:  could not locate required checkpoint record\n", 12},
      {"1.0 LOG:  incorrect resource manager data checksum in record at 0/2000060\n1.1 FATAL:  WAL ends before end of online "
       "backup\n",
       15},
      {"1.0 LOG:  WAL file is from different database system: x\n1.1 FATAL:  could not locate required checkpoint record\n", 16},
      {"1.0 FATAL:  requested timeline 3 is not a child of this server's history\n", 18},
      {"1.0 FATAL:  could not access file \"citus\": No such file or directory\n", 31},
      {"1.0 PANIC:  WAL contains references to invalid pages\n", 26},
      {"1.0 FATAL:  could not write to file \"pg_wal/xlogtemp.1\": No space left on device\n", 49},
      {"1.0 FATAL:  database files are incompatible with server\n", 4},
      {"", 31},
  };
  for (const auto& [text, fault] : deaths) {
    ServerWords words;
    words.Add(text);
    EXPECT_EQ(CauseOf(words).fault, fault) << text;
  }
}

TEST(QueryErrors, AreToldApart) {
  EXPECT_EQ(FaultOfQueryError("XX001", "invalid page in block 7 of relation base/5/16384"), 23);
  EXPECT_EQ(FaultOfQueryError("XX001", "could not read block 9 in file \"base/5/16384\": read only 0 of 8192 bytes"), 26);
  EXPECT_EQ(FaultOfQueryError("58P01", "could not open file \"base/5/16384\": No such file or directory"), 26);
  EXPECT_EQ(
      FaultOfQueryError("58P01", "could not open file \"pg_tblspc/16390/PG_15_202209061/5/16384\": No such file or directory"), 21);
  EXPECT_EQ(FaultOfQueryError("XX002", "heap tuple (3,4) from table \"t\" lacks matching index tuple within index \"i\""), 28);
  EXPECT_EQ(FaultOfQueryError("XX002", "item order invariant violated for index \"i\""), 29);
  EXPECT_EQ(FaultOfQueryError("42P01", "relation \"x\" does not exist"), 0);
}

TableFacts Table(std::uint64_t known, std::uint64_t pages, std::optional<std::uint64_t> rows,
                 std::optional<std::uint64_t> index_rows) {
  TableFacts facts;
  facts.name = "db.public.t";
  facts.known_pages = known;
  facts.pages = pages;
  facts.rows = rows;
  facts.index_rows = index_rows;
  return facts;
}

int FaultOf(const TableFacts& facts) {
  const auto findings = JudgeTables("s", {facts});
  EXPECT_LE(findings.size(), 1U);
  return findings.empty() ? 0 : findings[0].fault;
}

TEST(Content, ATableIsJudgedBySizeAndByBothCounts) {
  EXPECT_EQ(FaultOf(Table(10, 12, 100, 100)), 0) << "it grew";
  EXPECT_EQ(FaultOf(Table(10, 5, 50, 100)), 26);
  EXPECT_EQ(FaultOf(Table(10, 5, 50, std::nullopt)), 26) << "no index to ask";
  EXPECT_EQ(FaultOf(Table(10, 0, 0, std::nullopt)), 26) << "emptied";
  EXPECT_EQ(FaultOf(Table(10, 8, 100, 100)), 0) << "a VACUUM had cut it, and its last figure was not written yet";
  EXPECT_EQ(FaultOf(Table(10, 10, 99, 100)), 25);
  EXPECT_EQ(FaultOf(Table(10, 10, 100, 99)), 28);
  TableFacts unlogged = Table(10, 0, std::nullopt, std::nullopt);
  unlogged.unlogged = true;
  const auto notes = JudgeTables("s", {unlogged});
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_EQ(notes[0].fault, 36);
  EXPECT_EQ(notes[0].severity, Severity::kNote);
}

TEST(Content, ASequenceIsBehindWhenItsNextNumberIsTaken) {
  const auto behind = [](std::int64_t last, bool called, std::int64_t step, std::optional<std::int64_t> furthest) {
    SequenceFacts facts{"db.public.s", "public.t.id", last, called, step, furthest};
    return !JudgeSequences("s", {facts}).empty();
  };
  EXPECT_FALSE(behind(10, true, 1, 10));
  EXPECT_TRUE(behind(10, true, 1, 11));
  EXPECT_TRUE(behind(1, false, 1, 1));
  EXPECT_FALSE(behind(1, false, 1, std::nullopt));
  EXPECT_FALSE(behind(-5, true, -1, -5));
  EXPECT_TRUE(behind(-5, true, -1, -6));
}

TEST(Content, TheLastRunsFiguresShowWhatIsGone) {
  ContentHistory before;
  before.tables = {{"a", {1000, 1}}, {"b", {1000, 1}}, {"gone", {1000, 1}}, {"small", {50, 1}}};
  ContentHistory now;
  now.tables = {{"a", {600, 1}}, {"b", {400, 1}}};
  const auto findings = JudgeHistory("s", before, now, 0.5);
  ASSERT_EQ(findings.size(), 2U);
  EXPECT_EQ(findings[0].object, "b");
  EXPECT_EQ(findings[1].object, "gone");
  const auto again = ContentHistoryFromJson(ToJson(before));
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(JudgeHistory("s", before, *again, 0.0).empty());
}

TEST(Content, AgeIsToldOnlyWhereHeartbeatsSayIt) {
  const WallTime claimed{10'000'000'000'000};
  AgeQuestion question{"s", claimed, WallTime{9'900'000'000'000}, std::nullopt, 60s};
  EXPECT_EQ(JudgeAge(question).size(), 1U) << "100 s older";
  question.commit = WallTime{9'999'000'000'000};
  EXPECT_TRUE(JudgeAge(question).empty()) << "a commit is newer than the heartbeat";
  question.commit.reset();
  question.heartbeat.reset();
  EXPECT_TRUE(JudgeAge(question).empty()) << "an idle database without heartbeats looks old";
}

}  // namespace
}  // namespace lifeboat::backup
