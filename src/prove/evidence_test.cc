#include "prove/evidence.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

namespace lifeboat {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class EvidenceChain : public testing::Test {
 protected:
  EvidenceChain() {
    std::string pattern = (std::filesystem::temp_directory_path() / "lifeboat-evidence-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    file_ = folder_ / "evidence.sqlite";
  }
  ~EvidenceChain() override { std::filesystem::remove_all(folder_); }

  EvidenceLog Open(const std::string& region = "us-west-2") {
    auto log = EvidenceLog::Open(file_, RegionName(region));
    EXPECT_TRUE(log.ok()) << log.error().Text();
    return std::move(log).value();
  }

  /// A chain of `count` records in a fresh file.
  EvidenceLog Chain(std::uint64_t count) {
    EvidenceLog log = Open();
    for (std::uint64_t n = 1; n <= count; ++n) {
      EXPECT_TRUE(log.Append("canary", ExecutionId(), {{"acknowledged", n}}, WallTime{static_cast<std::int64_t>(n)}).ok());
    }
    return log;
  }

  /// What somebody with the file in hand can do.
  void Tamper(const std::string& sql) {
    SQLite::Database database(file_.string(), SQLite::OPEN_READWRITE);
    for (const char* trigger : {"evidence_stands", "evidence_stays"}) database.exec("DROP TRIGGER " + std::string(trigger));
    database.exec(sql);
  }

  static std::vector<std::string> Sentences(EvidenceLog& log, const std::vector<ForeignHead>& heads = {}) {
    const auto report = log.Verify(heads);
    EXPECT_TRUE(report.ok());
    std::vector<std::string> sentences;
    for (const EvidenceProblem& problem : report->problems) sentences.push_back(problem.sentence);
    return sentences;
  }

  static ForeignHead HeldIn(const std::string& holder, const EvidenceHead& head) {
    return {RegionName("us-west-2"), RegionName(holder), head.sequence, head.hash, WallTime{1}};
  }

  std::filesystem::path folder_;
  std::filesystem::path file_;
};

TEST_F(EvidenceChain, HashesAsTheWorkedExampleOfTheFormatPage) {
  // Given the two records of docs/formats/evidence.md
  EvidenceLog log = Open();
  const auto first = log.Append("failover", ExecutionId("x-0000000000000001"), {{"target", "us-west-2"}, {"rto_s", 3.214}},
                                WallTime{1795498724123000000});
  const auto second = log.Append("canary", ExecutionId(), {{"acknowledged", 41}}, WallTime{1795498725000000000});
  // Then both hashes stand on the page, and their bodies are the canonical text of it
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->hash, "4c73cb7386b40dd0baf7e5045878c2e462f0c3fe7aae3e8d64d916ef28536940");
  EXPECT_EQ(second->hash, "dba438fabb7118bcba34a66a494b43b481a94a4559a3f934d6907f121bbeb504");
  EXPECT_EQ(second->previous, first->hash);
  std::ostringstream page;
  page << std::ifstream(LIFEBOAT_SOURCE_DIR "/docs/formats/evidence.md").rdbuf();
  for (const std::string& text : {first->hash, second->hash, first->body, second->body}) EXPECT_THAT(page.str(), HasSubstr(text));
}

TEST_F(EvidenceChain, ChainsRecordsAndKeepsThemOverARestart) {
  Chain(3);
  EvidenceLog log = Open();
  ASSERT_TRUE(log.Append("failover", ExecutionId("x-1"), {{"rto_s", 3.5}}, WallTime{4}).ok());
  const auto rows = log.List();
  ASSERT_TRUE(rows.ok());
  ASSERT_EQ(rows->size(), 4u);
  EXPECT_EQ(rows->at(0).previous, std::string(64, '0'));
  EXPECT_EQ(rows->at(3).previous, rows->at(2).hash);
  EXPECT_EQ(log.Head()->sequence, 4u);
  EXPECT_EQ(log.Head()->hash, rows->at(3).hash);
  EXPECT_THAT(Sentences(log), IsEmpty());
}

TEST_F(EvidenceChain, ListFiltersByKindExecutionAndPlace) {
  EvidenceLog log = Chain(3);
  ASSERT_TRUE(log.Append("failover", ExecutionId("x-1"), Json::object(), WallTime{4}).ok());
  EXPECT_EQ(log.List({.kind = "failover"})->size(), 1u);
  EXPECT_EQ(log.List({.execution = ExecutionId("x-1")})->at(0).sequence, 4u);
  EXPECT_EQ(log.List({.after = 2})->size(), 2u);
  EXPECT_EQ(log.List({.limit = 1})->at(0).sequence, 4u);
  EXPECT_EQ(log.List({.kind = "canary", .limit = 2})->at(0).sequence, 2u);
}

TEST_F(EvidenceChain, AnEmptyChainHasNoHeadAndNothingWrong) {
  EvidenceLog log = Open();
  EXPECT_EQ(*log.Head(), EvidenceHead{});
  const auto report = log.Verify();
  EXPECT_TRUE(report->Intact());
  EXPECT_EQ(report->Sentence(), "no record yet");
}

TEST_F(EvidenceChain, ChangedBodiesAndFieldsAreFound) {
  EvidenceLog log = Chain(5);
  Tamper("UPDATE evidence SET body = '{\"acknowledged\":999}' WHERE sequence = 3");
  EXPECT_THAT(Sentences(log), ElementsAre("record 3 was changed: its hash does not fit its content"));
}

TEST_F(EvidenceChain, EveryFieldIsCoveredByTheHash) {
  for (const char* change : {"at_ns = 77", "kind = 'other'", "execution = 'x-9'", "body = '{}'"}) {
    std::filesystem::remove(file_);
    std::filesystem::remove(file_.string() + "-wal");
    std::filesystem::remove(file_.string() + "-shm");
    EvidenceLog log = Chain(3);
    Tamper(std::string("UPDATE evidence SET ") + change + " WHERE sequence = 2");
    EXPECT_THAT(Sentences(log), ElementsAre("record 2 was changed: its hash does not fit its content")) << change;
  }
}

TEST_F(EvidenceChain, AChangedRecordThatWasHashedAgainBreaksTheLinkAfterIt) {
  EvidenceLog log = Chain(5);
  EvidenceRow row = log.List()->at(2);
  row.body = R"({"acknowledged":999})";
  Tamper("UPDATE evidence SET body = '" + row.body + "', hash = '" + EvidenceHash(row) + "' WHERE sequence = 3");
  EXPECT_THAT(Sentences(log), ElementsAre("record 4 does not follow record 3: the hash that it names is another one"));
}

TEST_F(EvidenceChain, RemovedRecordsInTheMiddleAreFound) {
  EvidenceLog log = Chain(7);
  Tamper("DELETE FROM evidence WHERE sequence IN (3, 5, 6)");
  EXPECT_THAT(Sentences(log), ElementsAre("record 3 is missing", "records 5 to 6 are missing"));
}

TEST_F(EvidenceChain, ARemovedBeginningIsFound) {
  EvidenceLog log = Chain(4);
  Tamper("DELETE FROM evidence WHERE sequence < 3");
  EXPECT_THAT(Sentences(log), ElementsAre("records 1 to 2 are missing"));
}

TEST_F(EvidenceChain, ACutOffEndShowsOnlyAgainstTheHeadsOfOthers) {
  // Given twelve records whose head another region holds
  EvidenceLog log = Chain(12);
  const ForeignHead held = HeldIn("eu-west-1", *log.Head());
  EXPECT_THAT(Sentences(log, {held}), IsEmpty());
  // When the last three are removed
  Tamper("DELETE FROM evidence WHERE sequence > 9");
  // Then the chain alone looks whole, and says that it was compared with nobody
  EXPECT_THAT(Sentences(log), IsEmpty());
  EXPECT_EQ(log.Verify()->Sentence(), "9 records, chain whole, its end not compared with any other region");
  // And the head that is held elsewhere shows the gap
  EXPECT_THAT(Sentences(log, {held}), ElementsAre("records 10 to 12 are missing: region 'eu-west-1' holds the head of record 12"));
}

TEST_F(EvidenceChain, AChainWrittenAnewShowsAgainstTheHeadsOfOthers) {
  EvidenceLog log = Chain(8);
  const auto rows = *log.List();
  const ForeignHead held = HeldIn("eu-west-1", {7, rows[6].hash, rows[6].at});
  // When every record from the third on is changed, hashed again and chained again
  std::string sql;
  std::string previous = rows[1].hash;
  for (std::size_t at = 2; at < rows.size(); ++at) {
    EvidenceRow row = rows[at];
    row.body = R"({"acknowledged":0})";
    row.previous = previous;
    row.hash = previous = EvidenceHash(row);
    sql += "UPDATE evidence SET body = '" + row.body + "', previous = '" + row.previous + "', hash = '" + row.hash +
           "' WHERE sequence = " + std::to_string(row.sequence) + ";";
  }
  Tamper(sql);
  EXPECT_THAT(Sentences(log), IsEmpty());
  EXPECT_THAT(Sentences(log, {held}), ElementsAre("record 7 is not the one that region 'eu-west-1' holds the head of"));
}

TEST_F(EvidenceChain, ADeletedFileShowsAgainstTheHeadsOfOthers) {
  ForeignHead held;
  {
    EvidenceLog log = Chain(4);
    held = HeldIn("us-east-1", *log.Head());
  }
  std::filesystem::remove(file_);
  EvidenceLog log = Open();
  EXPECT_THAT(Sentences(log, {held}), ElementsAre("records 1 to 4 are missing: region 'us-east-1' holds the head of record 4"));
}

TEST_F(EvidenceChain, HeadsOfOtherChainsAreNotCompared) {
  EvidenceLog log = Chain(2);
  ForeignHead other = HeldIn("eu-west-1", *log.Head());
  other.region = RegionName("us-east-1");
  other.sequence = 90;
  const auto report = log.Verify({other});
  EXPECT_TRUE(report->Intact());
  EXPECT_EQ(report->heads_compared, 0u);
}

TEST_F(EvidenceChain, KeepsTheHeadsOfOthersForEver) {
  EvidenceLog log = Open();
  const RegionName east("us-east-1");
  const std::string a(64, 'a');
  const std::string b(64, 'b');
  ASSERT_TRUE(log.NoteForeignHead(east, 5, a, WallTime{10}).ok());
  ASSERT_TRUE(log.NoteForeignHead(east, 5, a, WallTime{11}).ok());   // again: nothing new
  ASSERT_TRUE(log.NoteForeignHead(east, 5, b, WallTime{12}).ok());   // written anew there: both stay
  ASSERT_TRUE(log.NoteForeignHead(east, 3, b, WallTime{13}).ok());   // went back: kept too
  ASSERT_TRUE(log.NoteForeignHead(east, 0, "", WallTime{14}).ok());  // nothing yet
  const auto heads = log.ForeignHeads(east);
  ASSERT_EQ(heads->size(), 3u);
  EXPECT_EQ(heads->at(0).sequence, 3u);
  EXPECT_EQ(heads->at(1).hash, a);
  EXPECT_EQ(heads->at(1).at, WallTime{10});
  EXPECT_EQ(heads->at(1).holder, RegionName("us-west-2"));
  EXPECT_EQ(log.NoteForeignHead(RegionName("us-west-2"), 1, a, WallTime{1}).error().retry, Retry::kRefused);
  EXPECT_FALSE(log.NoteForeignHead(east, 6, "not a hash", WallTime{1}).ok());
  EXPECT_EQ(*ForeignHeadFromJson(ToJson(heads->at(1))), heads->at(1));
}

TEST_F(EvidenceChain, ChangesAndDeletionsAreRefusedByTheFileItself) {
  EvidenceLog log = Chain(2);
  SQLite::Database database(file_.string(), SQLite::OPEN_READWRITE);
  for (const char* sql :
       {"DELETE FROM evidence", "UPDATE evidence SET kind = 'x'", "UPDATE owner SET region = 'x'", "DELETE FROM owner"}) {
    EXPECT_THROW(database.exec(sql), SQLite::Exception) << sql;
  }
}

TEST_F(EvidenceChain, TwoWritersMakeOneChain) {
  Chain(0);
  const auto write = [this](const char* kind) {
    EvidenceLog log = Open();
    for (int n = 0; n < 20; ++n) EXPECT_TRUE(log.Append(kind, ExecutionId(), {{"n", n}}, WallTime{n}).ok());
  };
  {
    std::jthread one(write, "one");
    std::jthread two(write, "two");
  }
  EvidenceLog log = Open();
  EXPECT_EQ(log.Head()->sequence, 40u);
  EXPECT_THAT(Sentences(log), IsEmpty());
}

TEST_F(EvidenceChain, ABusyFileIsTriedAgainLater) {
  EvidenceLog log = Chain(1);
  SQLite::Database other(file_.string(), SQLite::OPEN_READWRITE);
  other.exec("BEGIN IMMEDIATE");
  const auto row = log.Append("canary", ExecutionId(), Json::object(), WallTime{2});
  EXPECT_EQ(row.error().retry, Retry::kRetry);
  other.exec("ROLLBACK");
  EXPECT_EQ(log.Head()->sequence, 1u);
}

TEST_F(EvidenceChain, ForeignFilesAreRefusedAndLeftAsTheyAre) {
  Chain(1);
  EXPECT_THAT(EvidenceLog::Open(file_, RegionName("us-east-1")).error().message,
              HasSubstr("is of region 'us-west-2', not 'us-east-1'"));
  {
    SQLite::Database database(file_.string(), SQLite::OPEN_READWRITE);
    database.exec("PRAGMA user_version = 9");
  }
  EXPECT_THAT(EvidenceLog::Open(file_, RegionName("us-west-2")).error().message, HasSubstr("has version 9"));
  const auto text_file = folder_ / "text";
  std::ofstream(text_file) << std::string(4096, 'x');
  EXPECT_EQ(EvidenceLog::Open(text_file, RegionName("us-west-2")).error().retry, Retry::kFail);
  EXPECT_EQ(std::filesystem::file_size(text_file), 4096u);
  {
    SQLite::Database database((folder_ / "other.sqlite").string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    database.exec("CREATE TABLE t(x)");
  }
  EXPECT_THAT(EvidenceLog::Open(folder_ / "other.sqlite", RegionName("us-west-2")).error().message,
              HasSubstr("is no evidence file"));
  EXPECT_FALSE(EvidenceLog::Open(folder_ / "no" / "such" / "folder", RegionName("us-west-2")).ok());
}

TEST_F(EvidenceChain, OnlyItsOwnerMayReadIt) {
  Chain(1);
  struct stat status {};
  ASSERT_EQ(stat(file_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(EvidenceChain, DamagedBytesAreReportedNotThrown) {
  { EvidenceLog log = Chain(60); }
  {
    std::fstream bytes(file_, std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekp(static_cast<std::streamoff>(std::filesystem::file_size(file_)) - 4000);
    bytes << std::string(3900, '\xff');
  }
  auto log = EvidenceLog::Open(file_, RegionName("us-west-2"));
  if (!log.ok()) return;  // refused as a whole: as good
  const auto report = std::move(log).value().Verify();
  EXPECT_TRUE(!report.ok() || !report->Intact());
}

}  // namespace
}  // namespace lifeboat
