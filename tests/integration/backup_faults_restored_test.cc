// Faults of the source that a faithful backup carries with right hashes and right page checksums: levels 0 to 3 pass, as every
// stock tool does, and a restore tells each by its number and nothing else.

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <functional>
#include <set>

#include "adapters/backups/restore.h"
#include "support/backup_files.h"
#include "support/backup_world.h"
#include "support/real_postgres.h"

namespace lifeboat {
namespace {

namespace fs = std::filesystem;
using backup::Level;
using backup::Severity;
using backup::Verdict;
using testing_support::AskServer;
using testing_support::BackupCopy;
using testing_support::CutFile;
using testing_support::PostgresLab;
using testing_support::ReplaceFile;
using testing_support::ServerOptions;
using testing_support::SignManifest;
using testing_support::Slurp;
using testing_support::Told;
using testing_support::VerifyAt;
using testing_support::WritePage;

constexpr std::size_t kPage = 8192;
using Numbers = std::set<std::string>;

/// A server at rest, and two backups of it: as it should be, and with a sequence that was set back.
struct World {
  PostgresLab lab;
  DatabaseSettings server;
  fs::path good;
  fs::path behind;
  std::string heap;
  std::string index;
  std::string old_heap;  ///< their content before half of the rows were written
  std::string old_index;

  World() {
    ServerOptions options;
    options.more_settings = "fsync = off\n";
    server = lab.Initialise("source", options);
    lab.StartByAnyone(server);
    Do({"create table accounts(id serial primary key, v text)",
        "insert into accounts(v) select md5(g::text) from generate_series(1, 6050) g", "vacuum analyze accounts", "checkpoint"});
    heap = AskServer(server, "select pg_relation_filepath('accounts')").value_or("");
    index = AskServer(server, "select pg_relation_filepath('accounts_pkey')").value_or("");
    old_heap = Slurp(fs::path(server.data_directory) / heap);
    old_index = Slurp(fs::path(server.data_directory) / index);
    Do({"insert into accounts(v) select md5(g::text) from generate_series(6051, 12000) g", "vacuum analyze accounts"});
    good = Take("good");
    Do({"select setval('accounts_id_seq', 5)"});
    behind = Take("behind");
    EXPECT_EQ(lab.Run({server.bin_directory + "/pg_ctl", "-D", server.data_directory, "-w", "stop"}).exit_code, 0);
  }
  void Do(const std::vector<std::string>& statements) const {
    for (const std::string& sql : statements) EXPECT_TRUE(AskServer(server, sql)) << sql;
  }
  fs::path Take(const std::string& name) const {
    const fs::path to = lab.folder() / name;
    const CommandOutput done = lab.Run({server.bin_directory + "/pg_basebackup", "-h", server.socket_directory, "-p",
                                        std::to_string(server.address.port), "-U", "postgres", "-c", "fast", "-D", to.string()});
    EXPECT_EQ(done.exit_code, 0) << done.err;
    return to;
  }
};

World& TheWorld() {
  static World world;
  return world;
}

struct Fault {
  const char* name;
  Numbers fires;
  std::function<void(const fs::path&)> inject;
};

/// Two neighbours of an index leaf change places: its order is broken, its rows are all there.
void SwapEntries(const fs::path& index) {
  constexpr std::uint32_t kLeaf = 1;
  std::string page = Slurp(index).substr(kLeaf * kPage, kPage);
  char pointer[4];
  char* second = page.data() + 24 + 4 * 20;
  std::memcpy(pointer, second, 4);
  std::memcpy(second, second + 4, 4);
  std::memcpy(second + 4, pointer, 4);
  WritePage(index, kLeaf, page);
}

const std::vector<Fault>& Faults() {
  static const std::vector<Fault> faults = {
      {"F25 one page zeroed",
       {"F25"},
       [](const fs::path& b) {
         ReplaceFile(b / TheWorld().heap, Slurp(b / TheWorld().heap).replace(9 * kPage, kPage, std::string(kPage, '\0')));
       }},
      {"F26 heap truncated", {"F26"}, [](const fs::path& b) { CutFile(b / TheWorld().heap, 40 * kPage); }},
      {"F26 heap emptied", {"F26"}, [](const fs::path& b) { CutFile(b / TheWorld().heap, 0); }},
      {"F28 index of an earlier moment",
       {"F28"},
       [](const fs::path& b) { ReplaceFile(b / TheWorld().index, TheWorld().old_index); }},
      {"F28 heap of an earlier moment", {"F28"}, [](const fs::path& b) { ReplaceFile(b / TheWorld().heap, TheWorld().old_heap); }},
      {"F28 one page of the heap of an earlier moment",
       {"F28"},
       [](const fs::path& b) {
         // The page that was half full when the first half of the rows was in: the write that filled it was lost.
         const std::size_t last = TheWorld().old_heap.size() / kPage - 1;
         ReplaceFile(b / TheWorld().heap,
                     Slurp(b / TheWorld().heap).replace(last * kPage, kPage, TheWorld().old_heap.substr(last * kPage, kPage)));
       }},
      {"F29 an index out of order", {"F29"}, [](const fs::path& b) { SwapEntries(b / TheWorld().index); }},
      {"F38 a sequence behind its column", {"F38"}, nullptr},
  };
  return faults;
}

std::string NameOf(const std::string& text) {
  std::string name;
  for (const char letter : text) name += std::isalnum(static_cast<unsigned char>(letter)) != 0 ? letter : '_';
  return name;
}

backup::RestoreOutcome Restore(const fs::path& path) {
  auto source = backup::OpenSource({path, {}, "", nullptr});
  EXPECT_TRUE(source) << source.error().Text();
  backup::RestoreOptions options;
  options.scratch = TheWorld().lab.MakeFolder("scratch");
  auto outcome = backup::RestoreAndCheck(**source, options);
  EXPECT_TRUE(outcome) << outcome.error().Text();
  EXPECT_TRUE(fs::is_empty(options.scratch));
  return std::move(*outcome);
}

std::string Told(const backup::RestoreOutcome& outcome) {
  std::string text;
  for (const auto& each : outcome.findings)
    text += each.Number() + " " + each.object + " " + each.position + ": " + each.what + "\n";
  for (const auto& each : outcome.levels) text += std::string(backup::ToString(each.verdict)) + " " + each.reason + "\n";
  return text;
}

class FaultOfTheSource : public testing::TestWithParam<Fault> {};

TEST_P(FaultOfTheSource, PassesLevelsZeroToThreeAndIsToldByARestore) {
  const BackupCopy copy(GetParam().inject ? TheWorld().good : TheWorld().behind);
  if (GetParam().inject) {
    GetParam().inject(copy.folder());
    SignManifest(copy.folder());
  }
  const backup::Verified verified = VerifyAt(copy.folder());
  EXPECT_EQ(Told(verified), "") << "no reading of files can see it";
  const backup::RestoreOutcome outcome = Restore(copy.folder());
  Numbers numbers;
  for (const backup::Finding& each : outcome.findings) numbers.insert(each.Number());
  EXPECT_EQ(numbers, GetParam().fires) << Told(outcome);
  EXPECT_TRUE(outcome.HasFault());
}

INSTANTIATE_TEST_SUITE_P(Restored, FaultOfTheSource, testing::ValuesIn(Faults()),
                         [](const auto& at) { return NameOf(at.param.name); });

TEST(BackupFaultsRestored, TheSameBackupWithoutAFaultPassesAllLevels) {
  EXPECT_EQ(Told(VerifyAt(TheWorld().good)), "");
  const backup::RestoreOutcome outcome = Restore(TheWorld().good);
  EXPECT_TRUE(outcome.findings.empty()) << Told(outcome);
  for (const Level level : {Level::kRestores, Level::kLogic, Level::kContent}) {
    EXPECT_EQ(outcome.levels[static_cast<std::size_t>(level)].verdict, Verdict::kPass) << Told(outcome);
  }
}

}  // namespace
}  // namespace lifeboat
