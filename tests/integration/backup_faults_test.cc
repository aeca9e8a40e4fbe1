// The list of faults (docs/backup-faults.md) on base backups and a plain archive: each is put into a copy, fires its number, and
// nothing else. "In the source" is a faithful copy of a source that was so: hashes and manifest fit what lies there.

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <set>

#include "backup/digest.h"
#include "backup/finding.h"
#include "backup/page.h"
#include "base/json.h"
#include "support/backup_files.h"
#include "support/backup_world.h"

namespace lifeboat {
namespace {

namespace fs = std::filesystem;
using backup::Level;
using backup::Verdict;
using testing_support::BackupCopy;
using testing_support::BackupWorld;
using testing_support::CutFile;
using testing_support::FilesOf;
using testing_support::FlipBit;
using testing_support::Merge;
using testing_support::NumbersOf;
using testing_support::ReplaceFile;
using testing_support::SignManifest;
using testing_support::Slurp;
using testing_support::Told;
using testing_support::VerifyAt;

constexpr std::size_t kPage = 8192;

const BackupWorld& TheWorld() {
  static const BackupWorld world;
  return world;
}

using Numbers = std::set<std::string>;

struct Fault {
  const char* name;  ///< also the test's
  Numbers fires;
  const char* object;  ///< part of what the finding names
  std::function<void(const fs::path&)> inject;
};

std::string NameOf(const testing::TestParamInfo<Fault>& at) {
  std::string name;
  for (const char* letter = at.param.name; *letter != '\0'; ++letter)
    name += std::isalnum(static_cast<unsigned char>(*letter)) != 0 ? *letter : '_';
  return name;
}

void ExpectOnly(const backup::Verified& verified, const Fault& fault) {
  EXPECT_EQ(NumbersOf(verified), fault.fires) << Told(verified);
  EXPECT_TRUE(verified.report.HasFault());
  bool named = false;
  for (const backup::Finding& each : verified.report.findings) {
    named = named || each.object.find(fault.object) != std::string::npos;
    EXPECT_FALSE(each.object.empty() || each.what.empty() || each.means.empty() || each.todo.empty()) << Told(verified);
  }
  EXPECT_TRUE(named) << Told(verified);
}

// ---- a base backup in a folder ----------------------------------------------------------------------------------------------

/// A file of the backup is another one, and its source was so.
void InTheSource(const fs::path& backup, const std::string& file, const std::string& content) {
  ReplaceFile(backup / file, content);
  SignManifest(backup);
}

std::string Flipped(std::string content, std::size_t at) {
  content.at(at) = static_cast<char>(content.at(at) ^ 0x10);
  return content;
}

const std::vector<Fault>& OfABackup() {
  static const std::vector<Fault> faults = {
      {"F02 an error text in place of the manifest",
       {"F02"},
       "backup_manifest",
       [](const fs::path& b) { ReplaceFile(b / "backup_manifest", "pg_basebackup: error: connection"); }},
      {"F03 pg_control of another cluster",
       {"F03"},
       "pg_control",
       [](const fs::path& b) { InTheSource(b, "global/pg_control", TheWorld().foreign_control); }},
      {"F04 version of another release", {"F04"}, "PG_VERSION", [](const fs::path& b) { InTheSource(b, "PG_VERSION", "14\n"); }},
      {"F05 manifest missing", {"F05"}, "backup_manifest", [](const fs::path& b) { fs::remove(b / "backup_manifest"); }},
      {"F06 manifest cut off", {"F06"}, "backup_manifest", [](const fs::path& b) { CutFile(b / "backup_manifest", 9000); }},
      {"F06 manifest tampered with", {"F06"}, "backup_manifest", [](const fs::path& b) { FlipBit(b / "backup_manifest"); }},
      {"F07 a file gone", {"F07"}, "global/1262", [](const fs::path& b) { fs::remove(b / "global/1262"); }},
      {"F07 heap file gone", {"F07"}, "base/", [](const fs::path& b) { fs::remove(b / TheWorld().heap); }},
      {"F07 a file that nobody lists", {"F07"}, "base/1/99999", [](const fs::path& b) { ReplaceFile(b / "base/1/99999", "x"); }},
      {"F08 heap truncated in the backup", {"F08"}, "base/", [](const fs::path& b) { CutFile(b / TheWorld().heap, 4 * kPage); }},
      {"F08 heap emptied in the backup", {"F08"}, "base/", [](const fs::path& b) { CutFile(b / TheWorld().heap, 0); }},
      {"F09 heap bit flip in the backup", {"F09"}, "base/", [](const fs::path& b) { FlipBit(b / TheWorld().heap); }},
      {"F09 index bit flip in the backup", {"F09"}, "base/", [](const fs::path& b) { FlipBit(b / TheWorld().index); }},
      {"F09 one page zeroed in the backup",
       {"F09"},
       "base/",
       [](const fs::path& b) {
         ReplaceFile(b / TheWorld().heap, Slurp(b / TheWorld().heap).replace(3 * kPage, kPage, std::string(kPage, '\0')));
       }},
      {"F07 pg_control gone beside a damaged page",
       {"F07"},
       "global/pg_control",
       [](const fs::path& b) {
         InTheSource(b, TheWorld().heap, Flipped(Slurp(b / TheWorld().heap), 5 * kPage + 6000));
         fs::remove(b / "global/pg_control");
       }},
      {"F09 pg_control damaged in the backup",
       {"F09"},
       "global/pg_control",
       [](const fs::path& b) { ReplaceFile(b / "global/pg_control", Flipped(Slurp(b / "global/pg_control"), 100)); }},
      {"F31 pg_control damaged in the source",
       {"F31"},
       "global/pg_control",
       [](const fs::path& b) { InTheSource(b, "global/pg_control", Flipped(Slurp(b / "global/pg_control"), 100)); }},
      {"F21 tablespace link absent",
       {"F21"},
       "pg_tblspc/",
       [](const fs::path& b) { fs::remove(*fs::directory_iterator(b / "pg_tblspc")); }},
      {"F22 backup label missing", {"F22"}, "backup_label", [](const fs::path& b) { fs::remove(b / "backup_label"); }},
      {"F22 backup label of another backup",
       {"F22"},
       "backup_label",
       [](const fs::path& b) { InTheSource(b, "backup_label", Slurp(TheWorld().both / "tuesday/backup_label")); }},
      {"F23 heap bit flip in the source",
       {"F23"},
       "base/",
       [](const fs::path& b) { InTheSource(b, TheWorld().heap, Flipped(Slurp(b / TheWorld().heap), 5 * kPage + 6000)); }},
      {"F23 index bit flip in the source",
       {"F23"},
       "base/",
       [](const fs::path& b) { InTheSource(b, TheWorld().index, Flipped(Slurp(b / TheWorld().index), 2 * kPage + 8000)); }},
      {"F23 a page cut in two in the source",
       {"F23"},
       "base/",
       [](const fs::path& b) {
         InTheSource(b, TheWorld().other_heap, Slurp(b / TheWorld().other_heap).substr(0, 3 * kPage + 100));
       }},
      {"F23 an index page cut off from its relation in the source",
       {"F23"},
       "base/",
       [](const fs::path& b) { InTheSource(b, TheWorld().index, Slurp(b / TheWorld().index).substr(0, 2 * kPage + 4000)); }},
      {"F24 a page written to the wrong place",
       {"F24"},
       "base/",
       [](const fs::path& b) {
         // Block 7 was to be written, and block 4 was: it holds what 7 holds.
         const std::string pages = Slurp(b / TheWorld().heap);
         InTheSource(b, TheWorld().heap, std::string(pages).replace(4 * kPage, kPage, pages.substr(7 * kPage, kPage)));
       }},
      {"F24 a new page written to the wrong place",
       {"F24"},
       "base/",
       [](const fs::path& b) {
         const std::string pages = Slurp(b / TheWorld().heap);
         InTheSource(b, TheWorld().heap,
                     std::string(pages)
                         .replace(4 * kPage, kPage, pages.substr(7 * kPage, kPage))
                         .replace(7 * kPage, kPage, std::string(kPage, '\0')));
       }},
      {"F27 a middle segment missing",
       {"F27"},
       ".2",
       [](const fs::path& b) {
         // A relation of three segments, of which the middle one is gone; a page of zeros is a good page of a new relation.
         Json manifest = Json::parse(Slurp(b / "backup_manifest"));
         manifest["Files"].push_back(
             {{"Path", TheWorld().heap + ".2"}, {"Size", kPage}, {"Last-Modified", "2026-01-01 00:00:00 GMT"}});
         ReplaceFile(b / "backup_manifest", manifest.dump());
         ReplaceFile(b / (TheWorld().heap + ".2"), std::string(kPage, '\0'));
         SignManifest(b);
       }},
  };
  return faults;
}

TEST(BackupFaults, WithoutPgControlNobodyKnowsWhatAPageIs) {
  const BackupCopy copy(TheWorld().monday / "monday");
  fs::remove(copy.folder() / "global/pg_control");
  const backup::Verified verified = VerifyAt(copy.folder(), nullptr, Level::kPages, TheWorld().archive);
  ASSERT_EQ(verified.report.sets.size(), 1U);
  EXPECT_EQ(verified.report.sets[0].levels[3].verdict, Verdict::kUnknown) << verified.report.sets[0].levels[3].reason;
}

TEST(BackupFaults, WhatNobodyReadOfAnArchiveIsNoPass) {
  testing_support::VerifyQuestion question;
  question.path = TheWorld().both;
  question.wal = TheWorld().archive;
  question.options.set = "tuesday";
  const backup::Verified verified = VerifyAt(question);
  EXPECT_EQ(Told(verified), "");
  EXPECT_EQ(verified.report.wal_levels[2].verdict, Verdict::kNotChecked) << "only what tuesday needs was read";
}

class FaultOfABackup : public testing::TestWithParam<Fault> {};

TEST_P(FaultOfABackup, FiresItsNumberAndNothingElse) {
  const BackupCopy copy(TheWorld().monday / "monday");
  GetParam().inject(copy.folder());
  ExpectOnly(VerifyAt(copy.folder(), nullptr, Level::kPages, TheWorld().archive), GetParam());
}

INSTANTIATE_TEST_SUITE_P(Folder, FaultOfABackup, testing::ValuesIn(OfABackup()), NameOf);

// ---- an archive of WAL ------------------------------------------------------------------------------------------------------

std::vector<fs::path> SegmentsOf(const fs::path& archive) {
  return FilesOf(archive, [](const std::string& path) { return fs::path(path).filename().string().size() == 24; });
}

/// The first segment that monday's backup needs.
fs::path Needed(const fs::path& archive) {
  const std::string label = Slurp(TheWorld().monday / "monday/backup_label");
  return archive / label.substr(label.find("(file ") + 6, 24);
}
/// One behind all that the backup needs. Byte 40 of it begins its first record: never filling between two.
fs::path Later(const fs::path& archive) { return SegmentsOf(archive).rbegin()[2]; }

const std::vector<Fault>& OfAnArchive() {
  static const std::vector<Fault> faults = {
      {"F12 required WAL missing", {"F12"}, "0000", [](const fs::path& a) { fs::remove(Needed(a)); }},
      {"F12 all WAL missing",
       {"F12"},
       "0000",
       [](const fs::path& a) {
         for (const fs::path& each : SegmentsOf(a)) fs::remove(each);
       }},
      {"F13 gap later in the window", {"F13"}, "0000", [](const fs::path& a) { fs::remove(Later(a)); }},
      {"F14 zero length", {"F14"}, "0000", [](const fs::path& a) { CutFile(Later(a), 0); }},
      {"F14 torn", {"F14"}, "0000", [](const fs::path& a) { CutFile(Later(a), 300000); }},
      {"F14 longer than a segment", {"F14"}, "0000", [](const fs::path& a) { ReplaceFile(Later(a), Slurp(Later(a)) + "more"); }},
      {"F15 bit flip in the later WAL",
       {"F15"},
       "0000",
       [](const fs::path& a) { ReplaceFile(Later(a), Flipped(Slurp(Later(a)), 40)); }},
      {"F15 bit flip in the required WAL",
       {"F15"},
       "0000",
       [](const fs::path& a) { ReplaceFile(Needed(a), Flipped(Slurp(Needed(a)), 40)); }},
      {"F15 a page of zeros",
       {"F15"},
       "0000",
       [](const fs::path& a) { ReplaceFile(Later(a), Slurp(Later(a)).replace(0, kPage, std::string(kPage, '\0'))); }},
      {"F15 another segment under this name", {"F15"}, "0000", [](const fs::path& a) { ReplaceFile(Later(a), Slurp(Needed(a))); }},
      {"F16 of another cluster", {"F16"}, "0000", [](const fs::path& a) { ReplaceFile(Later(a), Flipped(Slurp(Later(a)), 24)); }},
      {"F17 two contents under one name",
       {"F17"},
       "0000",
       [](const fs::path& a) {
         fs::create_directory(a / "again");
         ReplaceFile(a / "again" / Later(a).filename(), Flipped(Slurp(Later(a)), 61));
       }},
  };
  return faults;
}

class FaultOfAnArchive : public testing::TestWithParam<Fault> {};

TEST_P(FaultOfAnArchive, FiresItsNumberAndNothingElse) {
  const BackupCopy archive(TheWorld().archive);
  GetParam().inject(archive.folder());
  ExpectOnly(VerifyAt(TheWorld().monday, nullptr, Level::kPages, archive.folder()), GetParam());
}

INSTANTIATE_TEST_SUITE_P(Plain, FaultOfAnArchive, testing::ValuesIn(OfAnArchive()), NameOf);

// ---- timelines --------------------------------------------------------------------------------------------------------------

TEST(BackupFaults, CleanBackupsAndArchivesPass) {
  const BackupWorld& world = TheWorld();
  const fs::path failed_over = Merge({world.early, world.branch});
  for (const auto& [sets, wal] :
       {std::pair(world.both, world.archive), std::pair(world.monday, world.archive), std::pair(world.monday, world.early),
        std::pair(world.monday, failed_over), std::pair(world.tar, fs::path())}) {
    const backup::Verified verified = VerifyAt(sets, nullptr, Level::kPages, wal);
    EXPECT_EQ(Told(verified), "") << sets << " " << wal;
    EXPECT_FALSE(verified.report.sets.empty());
    for (const auto& set : verified.report.sets) {
      for (int level = 0; level <= 3; ++level)
        EXPECT_EQ(set.levels[level].verdict, Verdict::kPass) << set.label << " level " << level << ": " << set.levels[level].reason;
    }
  }
  fs::remove_all(failed_over);
}

TEST(BackupFaults, F18WithoutItsHistoryATimelineCannotBeFollowed) {
  const fs::path wal = Merge({TheWorld().early, TheWorld().branch});
  fs::remove(wal / "00000002.history");
  EXPECT_EQ(NumbersOf(VerifyAt(TheWorld().monday, nullptr, Level::kPages, wal)), Numbers{"F18"});
  ReplaceFile(wal / "00000002.history", "this is no history\n");
  EXPECT_EQ(NumbersOf(VerifyAt(TheWorld().monday, nullptr, Level::kPages, wal)), Numbers{"F18"});
  fs::remove_all(wal);
}

TEST(BackupFaults, F18TheNewestTimelineIsNoChildOfABackupThatIsNewerThanTheFork) {
  const fs::path wal = Merge({TheWorld().archive, TheWorld().late_branch});
  const backup::Verified verified = VerifyAt(TheWorld().both, nullptr, Level::kPages, wal);
  EXPECT_EQ(NumbersOf(verified), Numbers{"F18"}) << Told(verified);
  ASSERT_EQ(verified.report.findings.size(), 1U) << "monday's backup is older than the fork";
  EXPECT_EQ(verified.report.findings[0].set, "tuesday");
  fs::remove_all(wal);
}

TEST(BackupFaults, F03TheArchiveIsThatOfAnotherCluster) {
  const fs::path wal = Merge({TheWorld().archive});
  for (const fs::path& each : SegmentsOf(wal)) ReplaceFile(each, Flipped(Slurp(each), 24));
  const backup::Verified verified = VerifyAt(TheWorld().monday, nullptr, Level::kPages, wal);
  EXPECT_EQ(NumbersOf(verified), Numbers{"F03"}) << Told(verified);
  fs::remove_all(wal);
}

TEST(BackupFaults, F19ATestRestoreThatArchivesLeadsAwayFromTheServicesOwnTimeline) {
  const fs::path wal = Merge({TheWorld().archive, TheWorld().branch});
  const backup::Verified verified = VerifyAt(TheWorld().monday, nullptr, Level::kStructure, wal);
  EXPECT_EQ(NumbersOf(verified), Numbers{"F19"}) << Told(verified);
  fs::remove_all(wal);
}

TEST(BackupFaults, F11AnIncrementalBackupOfPostgresql17NeedsTheOneThatItGoesOnFrom) {
  // As pg_basebackup --incremental of PostgreSQL 17 writes it: this PostgreSQL is older, so the label's lines and the file are made
  // here.
  const fs::path folder = TheWorld().monday.parent_path() / "chain";
  fs::create_directory(folder);
  {
    const BackupCopy parent(TheWorld().monday / "monday");
    const BackupCopy child(TheWorld().both / "tuesday");
    const std::string from =
        Slurp(parent.folder() / "backup_label").substr(20, Slurp(parent.folder() / "backup_label").find(' ', 20) - 20);
    ReplaceFile(child.folder() / "backup_label",
                Slurp(child.folder() / "backup_label") + "INCREMENTAL FROM LSN: " + from + "\nINCREMENTAL FROM TLI: 1\n");
    Json manifest = Json::parse(Slurp(child.folder() / "backup_manifest"));
    for (Json& file : manifest["Files"]) {
      if (file.at("Path") == TheWorld().heap)
        file["Path"] =
            fs::path(TheWorld().heap).replace_filename("INCREMENTAL." + fs::path(TheWorld().heap).filename().string()).string();
    }
    ReplaceFile(child.folder() / "backup_manifest", manifest.dump());
    fs::rename(child.folder() / TheWorld().heap,
               (child.folder() / TheWorld().heap).replace_filename("INCREMENTAL." + fs::path(TheWorld().heap).filename().string()));
    SignManifest(child.folder());
    fs::create_directory_symlink(parent.folder(), folder / "monday");
    fs::create_directory_symlink(child.folder(), folder / "tuesday");
    const backup::Verified chain = VerifyAt(folder, nullptr, Level::kPages, TheWorld().archive);
    EXPECT_EQ(Told(chain), "");
    ASSERT_EQ(chain.report.sets.size(), 2U);
    for (const backup::SetReport& set : chain.report.sets) {
      EXPECT_EQ(set.levels[2].verdict, Verdict::kPass) << set.label;
      EXPECT_EQ(set.levels[3].verdict, set.label == "monday" ? Verdict::kPass : Verdict::kNotChecked)
          << set.label << ": not checked is no pass";
    }
    fs::remove(folder / "monday");
    const backup::Verified orphan = VerifyAt(folder, nullptr, Level::kPages, TheWorld().archive);
    EXPECT_EQ(NumbersOf(orphan), Numbers{"F11"}) << Told(orphan);
  }
  fs::remove_all(folder);
}

TEST(BackupFaults, TheListNamesEveryFaultAndWhereItIsTested) {
  const std::string list = Slurp(fs::path(__FILE__).parent_path() / "../../docs/backup-faults.md");
  ASSERT_FALSE(list.empty());
  for (int number = 1; number <= 50; ++number) {
    const std::string row = std::string("\n| F") + (number < 10 ? "0" : "") + std::to_string(number) + " |";
    EXPECT_NE(list.find(row), std::string::npos) << row;
  }
  for (const backup::Fault& each : backup::AllFaults())
    EXPECT_NE(list.find(each.name), std::string::npos) << each.number << " is told as '" << each.name << "'";
}

TEST(BackupFaults, F45ABackupOfTheFutureIsOneOfAnotherClock) {
  const BackupCopy copy(TheWorld().monday / "monday");
  ReplaceFile(copy.folder() / "backup_manifest", Slurp(copy.folder() / "backup_manifest"));  // a file of its own, for its date
  fs::last_write_time(copy.folder() / "backup_manifest", fs::file_time_type::clock::now() + std::chrono::hours(1));
  const backup::Verified verified = VerifyAt(copy.folder(), nullptr, Level::kPages, TheWorld().archive);
  EXPECT_EQ(NumbersOf(verified), Numbers{"F45"}) << Told(verified);
}

}  // namespace
}  // namespace lifeboat
