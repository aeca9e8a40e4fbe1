// Dumps of pg_dump and plain WAL archives, compressed or not, made by the real tools: whole ones pass; each fault fires its number.

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <set>

#include "backup/pg_dump.h"
#include "support/backup_files.h"
#include "support/real_postgres.h"

namespace lifeboat {
namespace {

namespace fs = std::filesystem;
using backup::Level;
using backup::Verdict;
using testing_support::AskServer;
using testing_support::BackupCopy;
using testing_support::CutFile;
using testing_support::FilesOf;
using testing_support::FlipBit;
using testing_support::NumbersOf;
using testing_support::PostgresLab;
using testing_support::ReplaceFile;
using testing_support::ServerOptions;
using testing_support::Slurp;
using testing_support::Told;
using testing_support::Unpacked;
using testing_support::VerifyAt;

using Numbers = std::set<std::string>;

/// A server's dumps in every format, and its WAL in an archive; it is stopped when they are made.
struct DumpWorld {
  PostgresLab lab;
  DatabaseSettings server;
  fs::path dumps;    ///< orders.dump, orders.dir, orders.tar, orders.sql, orders.sql.gz, piped.dump, twice.dump.gz, twice.tar.gz,
                     ///< globals.sql
  fs::path archive;  ///< plain segments

  DumpWorld() {
    dumps = lab.MakeFolder("dumps");
    archive = lab.MakeFolder("archive");
    ServerOptions options;
    options.more_settings = "archive_mode = on\narchive_command = 'cp %p " + archive.string() + "/%f'\nfsync = off\n";
    server = lab.Initialise("source", options);
    lab.StartByAnyone(server);
    for (const char* sql :
         {"create table orders(i int primary key, v text)",
          "insert into orders select g, md5(g::text) from generate_series(1, 20000) g", "create table nothing(i int)",
          "select lo_from_bytea(0, decode(repeat('c0ffee', 1000), 'hex'))", "select lo_from_bytea(0, 'x')"}) {
      EXPECT_TRUE(AskServer(server, sql)) << sql;
    }
    Dump({"-Fc", "-f", (dumps / "orders.dump").string()});
    Dump({"-Fd", "-f", (dumps / "orders.dir").string()});
    Dump({"-Fp", "-f", (dumps / "orders.sql").string()});
    Dump({"-Fp", "-Z1", "-f", (dumps / "orders.sql.gz").string()});
    const std::string connect =
        "' -h '" + server.socket_directory + "' -p " + std::to_string(server.address.port) + " -U postgres ";
    Dump({"-Ft", "-f", (dumps / "orders.tar").string()});
    for (const char* format : {"c", "t"}) {
      const std::string name = std::string("twice.") + (*format == 'c' ? "dump" : "tar") + ".gz";
      Must({"sh", "-c",
            "'" + server.bin_directory + "/pg_dump" + connect + "-F" + format + " postgres | gzip -1 > '" +
                (dumps / name).string() + "'"});
    }
    Must({"sh", "-c",
          "'" + server.bin_directory + "/pg_dump" + connect + "-Fc postgres | cat > '" + (dumps / "piped.dump").string() + "'"});
    Must({"sh", "-c", "'" + server.bin_directory + "/pg_dumpall" + connect + "-g -f '" + (dumps / "globals.sql").string() + "'"});
    for (int more = 0; more < 6; ++more) EXPECT_TRUE(AskServer(server, "insert into nothing values (1); select pg_switch_wal()"));
    Must({server.bin_directory + "/pg_ctl", "-D", server.data_directory, "-w", "stop"});
  }
  void Must(const std::vector<std::string>& argv) const {
    const CommandOutput done = lab.Run(argv);
    ASSERT_EQ(done.exit_code, 0) << argv.back() << done.err;
  }
  void Dump(std::vector<std::string> more) const {
    more.insert(more.begin(), {server.bin_directory + "/pg_dump", "-h", server.socket_directory, "-p",
                               std::to_string(server.address.port), "-U", "postgres"});
    Must(more);
  }
};

const DumpWorld& TheWorld() {
  static const DumpWorld world;
  return world;
}

const backup::SetReport& SetOf(const backup::Verified& verified, const std::string& label) {
  for (const backup::SetReport& each : verified.report.sets) {
    if (each.label == label) return each;
  }
  static const backup::SetReport none;
  ADD_FAILURE() << "no set " << label;
  return none;
}

TEST(BackupDumps, WholeDumpsPassAndWhatHasNoChecksumsIsSaidNotToBeChecked) {
  const backup::Verified verified = VerifyAt(TheWorld().dumps);
  EXPECT_EQ(Told(verified), "");
  EXPECT_EQ(verified.report.sets.size(), 9U);
  for (const char* label : {"orders.dump", "piped.dump", "orders.dir", "orders.tar", "twice.dump.gz", "twice.tar.gz",
                            "orders.sql.gz", "orders.sql", "globals.sql"}) {
    const backup::Levels& levels = SetOf(verified, label).levels;
    EXPECT_EQ(levels[0].verdict, Verdict::kPass) << label;
    EXPECT_EQ(levels[1].verdict, Verdict::kPass) << label << levels[1].reason;
    const bool bare = std::string(label).ends_with(".sql") || std::string(label) == "orders.tar";
    EXPECT_EQ(levels[2].verdict, bare ? Verdict::kNotChecked : Verdict::kPass) << label << levels[2].reason;
    EXPECT_EQ(levels[3].verdict, Verdict::kNotChecked) << label;
  }
  EXPECT_GT(SetOf(verified, "orders.dump").counts.bytes, 20000U * 32) << "the rows were read, decompressed";
}

TEST(BackupDumps, TheTableOfContentsIsThatOfPgRestore) {
  for (const char* name : {"orders.dump", "orders.dir"}) {
    const fs::path dump = TheWorld().dumps / name;
    const CommandOutput listed = TheWorld().lab.Run({TheWorld().server.bin_directory + "/pg_restore", "--list", dump.string()});
    ASSERT_EQ(listed.exit_code, 0) << listed.err;
    bool cut = false;
    const auto contents = backup::ParseDumpContents(Slurp(fs::is_directory(dump) ? dump / "toc.dat" : dump), cut);
    ASSERT_TRUE(contents) << contents.error().Text();
    EXPECT_EQ(contents->database, "postgres");
    EXPECT_NE(listed.out.find("TOC Entries: " + std::to_string(contents->entries.size()) + "\n"), std::string::npos) << listed.out;
    for (const backup::DumpEntry& each : contents->entries) {
      if (each.what != "TABLE DATA public.orders") continue;
      EXPECT_TRUE(each.holds_data);
      EXPECT_NE(listed.out.find(std::to_string(each.id) + "; "), std::string::npos);
    }
  }
}

TEST(BackupDumps, AnOldDumpDoesNotBecomeYoungByBeingCopied) {
  const BackupCopy copy(TheWorld().dumps);
  for (const char* name : {"orders.dump", "orders.tar"}) {
    std::string dump = Slurp(copy.folder() / name);
    constexpr std::size_t kYearAt = 42;  // of the header's local time, low byte, behind its sign
    const std::size_t at = dump.find("PGDMP") + kYearAt;
    dump[at] = static_cast<char>(dump[at] - 1);
    ReplaceFile(copy.folder() / name, dump);
  }
  const backup::Verified verified = VerifyAt(copy.folder(), nullptr, Level::kStructure);
  const std::int64_t now = ReadWallClock().ns / 1000000000;
  constexpr std::int64_t kDay = 24 * 3600;
  for (const backup::SetInfo& set : verified.inventory.sets) {
    const bool old = set.label == "orders.dump" || set.label == "orders.tar";
    EXPECT_EQ(set.stopped < now - 360 * kDay, old) << set.label << " of " << set.stopped;
    EXPECT_EQ(set.shows != 0, set.kind != "pg_dump plain" && set.kind != "pg_dumpall") << set.label;
    EXPECT_LE(set.shows, set.stopped) << set.label;
  }
}

/// Where the header of a table's file begins in a tar dump.
std::size_t TableIn(const std::string& tar) {
  for (std::size_t at = 512; at + 512 <= tar.size(); at += 512) {
    const std::string name = tar.substr(at, tar.find('\0', at) - at);
    if (tar.compare(at + 257, 5, "ustar") == 0 && name.ends_with(".dat")) return at;
  }
  ADD_FAILURE() << "it holds no table";
  return 0;
}

struct Fault {
  const char* name;
  Numbers fires;
  std::function<void(const fs::path&)> inject;
};

const std::vector<Fault>& Faults() {
  static const std::vector<Fault> faults = {
      {"F02 an error text", {"F02"}, [](const fs::path& d) { ReplaceFile(d / "orders.dump", "pg_dump: error"); }},
      {"F02 empty", {"F02"}, [](const fs::path& d) { ReplaceFile(d / "orders.sql", ""); }},
      {"F05 table of contents missing", {"F05"}, [](const fs::path& d) { fs::remove(d / "orders.dir/toc.dat"); }},
      {"F06 table of contents cut off", {"F06"}, [](const fs::path& d) { CutFile(d / "orders.dir/toc.dat", 900); }},
      {"F06 custom dump cut off in its table of contents",
       {"F06"},
       [](const fs::path& d) {
         const auto made = fs::last_write_time(d / "orders.dump");
         CutFile(d / "orders.dump", 900);
         fs::last_write_time(d / "orders.dump", made);  // as the newest it would be F02 too, beside the larger one before it
       }},
      {"F06 bytes behind the table of contents",
       {"F06"},
       [](const fs::path& d) { ReplaceFile(d / "orders.dir/toc.dat", Slurp(d / "orders.dir/toc.dat") + "more"); }},
      {"F07 a table's file missing",
       {"F07"},
       [](const fs::path& d) {
         fs::remove(FilesOf(d / "orders.dir", [](const std::string& path) { return path.ends_with(".dat.gz"); }).at(0));
       }},
      {"F07 a large object missing",
       {"F07"},
       [](const fs::path& d) {
         fs::remove(
             FilesOf(d / "orders.dir", [](const std::string& path) { return path.find("/blob_") != std::string::npos; }).at(0));
       }},
      {"F07 a file too many", {"F07"}, [](const fs::path& d) { ReplaceFile(d / "orders.dir/9999.dat.gz", "x"); }},
      {"F08 custom dump cut off",
       {"F08"},
       [](const fs::path& d) { CutFile(d / "orders.dump", fs::file_size(d / "orders.dump") - 7); }},
      {"F08 custom dump cut off in the middle",
       {"F08"},
       [](const fs::path& d) { CutFile(d / "piped.dump", fs::file_size(d / "piped.dump") / 2); }},
      {"F08 piped dump cut off between two objects",
       {"F08"},
       [](const fs::path& d) {
         // A pipe's dump knows no positions; those of the same dump in a file do.
         bool cut = false;
         const auto contents = backup::ParseDumpContents(Slurp(d / "orders.dump"), cut);
         std::uint64_t last = 0;
         for (const backup::DumpEntry& each : contents->entries) last = std::max(last, each.placed ? each.offset : 0);
         CutFile(d / "piped.dump", last);
       }},
      {"F08 plain dump cut off",
       {"F08"},
       [](const fs::path& d) { CutFile(d / "orders.sql", fs::file_size(d / "orders.sql") - 200); }},
      {"F08 compressed plain dump cut off",
       {"F08"},
       [](const fs::path& d) { CutFile(d / "orders.sql.gz", fs::file_size(d / "orders.sql.gz") / 2); }},
      {"F08 a table's file cut off",
       {"F08"},
       [](const fs::path& d) {
         const fs::path file = FilesOf(d / "orders.dir", [](const std::string& path) {
                                 return path.ends_with(".dat.gz") && fs::file_size(path) > 10000;
                               }).at(0);
         CutFile(file, 5000);
       }},
      {"F09 custom dump bit flip", {"F09"}, [](const fs::path& d) { FlipBit(d / "orders.dump"); }},
      {"F09 compressed plain dump bit flip", {"F09"}, [](const fs::path& d) { FlipBit(d / "orders.sql.gz"); }},
      {"F09 a table's file bit flip",
       {"F09"},
       [](const fs::path& d) {
         FlipBit(FilesOf(d / "orders.dir", [](const std::string& path) {
                   return path.ends_with(".dat.gz") && fs::file_size(path) > 10000;
                 }).at(0));
       }},
      {"F06 table of contents of a tar dump cut off",
       {"F06"},
       [](const fs::path& d) {
         const auto made = fs::last_write_time(d / "orders.tar");
         CutFile(d / "orders.tar", 1400);
         fs::last_write_time(d / "orders.tar", made);
       }},
      {"F08 tar dump cut off in the middle",
       {"F08"},
       [](const fs::path& d) { CutFile(d / "orders.tar", fs::file_size(d / "orders.tar") / 2); }},
      {"F08 tar dump without its end",
       {"F08"},
       [](const fs::path& d) { CutFile(d / "orders.tar", fs::file_size(d / "orders.tar") - 1024); }},
      {"F08 compressed tar dump cut off",
       {"F08"},
       [](const fs::path& d) { CutFile(d / "twice.tar.gz", fs::file_size(d / "twice.tar.gz") / 2); }},
      {"F08 a table of a tar dump missing",
       {"F08"},
       [](const fs::path& d) {
         // The table's file is called otherwise, and the header's sum fits: only the table of contents knows.
         std::string tar = Slurp(d / "orders.tar");
         const std::size_t at = TableIn(tar);
         tar[at] = tar[at] == '9' ? '8' : static_cast<char>(tar[at] + 1);
         std::fill_n(tar.begin() + static_cast<std::ptrdiff_t>(at) + 148, 8, ' ');
         unsigned sum = 0;
         for (std::size_t byte = 0; byte < 512; ++byte) sum += static_cast<unsigned char>(tar[at + byte]);
         char digits[8];
         std::snprintf(digits, sizeof digits, "%06o", sum);
         std::copy_n(digits, 7, tar.begin() + static_cast<std::ptrdiff_t>(at) + 148);
         ReplaceFile(d / "orders.tar", tar);
       }},
      {"F08 a large object of a tar dump missing",
       {"F08"},
       [](const fs::path& d) {
         // The list of large objects names one more.
         std::string tar = Slurp(d / "orders.tar");
         const std::size_t at = tar.find(" blob_");
         tar[at + 6] = tar[at + 6] == '9' ? '8' : '9';
         ReplaceFile(d / "orders.tar", tar);
       }},
      {"F08 header of a tar dump damaged",
       {"F08"},
       [](const fs::path& d) {
         std::string tar = Slurp(d / "orders.tar");
         tar[TableIn(tar) + 130] ^= 1;
         ReplaceFile(d / "orders.tar", tar);
       }},
      {"F09 compressed tar dump bit flip", {"F09"}, [](const fs::path& d) { FlipBit(d / "twice.tar.gz"); }},
      {"F09 custom dump that was compressed once more bit flip", {"F09"}, [](const fs::path& d) { FlipBit(d / "twice.dump.gz"); }},
      {"F37 no roles beside it", {"F37"}, [](const fs::path& d) { fs::remove(d / "globals.sql"); }},
  };
  return faults;
}

std::string NameOf(const std::string& text) {
  std::string name;
  for (const char letter : text) name += std::isalnum(static_cast<unsigned char>(letter)) != 0 ? letter : '_';
  return name;
}

class FaultOfADump : public testing::TestWithParam<Fault> {};

TEST_P(FaultOfADump, FiresItsNumberAndNothingElse) {
  const BackupCopy copy(TheWorld().dumps);
  GetParam().inject(copy.folder());
  const backup::Verified verified = VerifyAt(copy.folder());
  EXPECT_EQ(NumbersOf(verified), GetParam().fires) << Told(verified);
  EXPECT_EQ(verified.report.HasFault(), GetParam().fires != Numbers{"F37"}) << "what a dump cannot hold is a note";
}

INSTANTIATE_TEST_SUITE_P(Dumps, FaultOfADump, testing::ValuesIn(Faults()), [](const auto& at) { return NameOf(at.param.name); });

TEST(BackupDumps, F02TheNewestDumpIsATinyOneAfterALargeOne) {
  const BackupCopy copy(TheWorld().dumps);
  for (const char* name :
       {"orders.sql", "orders.sql.gz", "orders.dir", "orders.tar", "twice.dump.gz", "twice.tar.gz", "piped.dump", "globals.sql"})
    fs::remove_all(copy.folder() / name);
  // A dump that is whole, of a database that lost its tables: as pg_dump writes it of an empty one.
  PostgresLab lab;
  const DatabaseSettings empty = lab.Initialise("empty");
  lab.StartByAnyone(empty);
  const fs::path made = lab.MakeFolder("out") / "newer.dump";
  ASSERT_EQ(lab.Run({empty.bin_directory + "/pg_dump", "-h", empty.socket_directory, "-p", std::to_string(empty.address.port), "-U",
                     "postgres", "-Fc", "-f", made.string()})
                .exit_code,
            0);
  ReplaceFile(copy.folder() / "newer.dump", Slurp(made));
  fs::last_write_time(copy.folder() / "newer.dump", fs::last_write_time(copy.folder() / "orders.dump") + std::chrono::seconds(2));
  const backup::Verified verified = VerifyAt(copy.folder(), nullptr, Level::kExists);
  EXPECT_EQ(NumbersOf(verified), Numbers{"F02"}) << Told(verified);
}

// ---- WAL archives, compressed ------------------------------------------------------------------------------------------------

std::vector<fs::path> SegmentsOf(const fs::path& archive) {
  return FilesOf(archive, [](const std::string& path) {
    return backup::ParseArchiveName(fs::path(path).filename().string()).kind == backup::ArchiveFileKind::kSegment;
  });
}

class WalArchive : public testing::TestWithParam<const char*> {
 protected:
  WalArchive() : copy_(TheWorld().archive) {
    const std::string tool = GetParam();
    const std::string by = tool == "gz"    ? "gzip -1"
                           : tool == "lz4" ? "lz4 -q -m -1 --rm"
                           : tool == "zst" ? "zstd -q -1 --rm"
                                           : "true";
    if (tool != "plain") {
      EXPECT_EQ(std::system(("cd '" + copy_.folder().string() + "' && " + by + (tool == "gz" ? " -f" : " -f") + " *").c_str()), 0);
    }
  }
  fs::path Middle() const { return SegmentsOf(copy_.folder()).at(SegmentsOf(copy_.folder()).size() / 2); }
  Numbers Fired(Level level = Level::kPages) const {
    const backup::Verified verified = VerifyAt(copy_.folder(), nullptr, level);
    told_ = Told(verified);
    return NumbersOf(verified);
  }
  BackupCopy copy_;
  mutable std::string told_;
};

TEST_P(WalArchive, AWholeOnePasses) {
  EXPECT_GE(SegmentsOf(copy_.folder()).size(), 6U);
  const backup::Verified verified = VerifyAt(copy_.folder());
  EXPECT_EQ(Told(verified), "");
  EXPECT_EQ(verified.report.wal_levels[1].verdict, Verdict::kPass);
  EXPECT_EQ(verified.report.wal_levels[2].verdict, Verdict::kPass);
  EXPECT_EQ(verified.report.wal_counts.wal_segments, SegmentsOf(copy_.folder()).size());
}

TEST_P(WalArchive, FaultsFireTheirNumbers) {
  const fs::path middle = Middle();
  const std::string whole = Slurp(middle);
  const std::string ending = middle.filename().string().substr(24);
  fs::remove(middle);
  EXPECT_EQ(Fired(Level::kStructure), Numbers{"F13"}) << told_;
  ReplaceFile(middle, "");
  EXPECT_EQ(Fired(), Numbers{"F14"}) << told_;
  ReplaceFile(middle, whole.substr(0, whole.size() / 2));
  EXPECT_EQ(Fired(), Numbers{"F14"}) << told_;
  ReplaceFile(middle, whole);
  ASSERT_EQ(Fired(), Numbers{}) << told_;
  std::string content = Unpacked(middle);
  ASSERT_EQ(content.size(), 1U << 20U);
  content[40] = static_cast<char>(content[40] ^ 1);                                 // the first record: never filling between two
  ReplaceFile(copy_.folder() / middle.filename().string().substr(0, 24), content);  // as it is, beside a compressed one
  EXPECT_EQ(Fired(), ending.empty() ? Numbers{"F15"} : Numbers{"F17"}) << told_;
  if (!ending.empty()) {
    fs::remove(copy_.folder() / middle.filename().string().substr(0, 24));
    ReplaceFile(middle, whole);
    // The fullest: in what a compression makes of zeros, most flips change nothing of what comes out.
    const auto segments = SegmentsOf(copy_.folder());
    FlipBit(*std::max_element(segments.begin(), segments.end(),
                              [](const fs::path& a, const fs::path& b) { return fs::file_size(a) < fs::file_size(b); }));
    EXPECT_EQ(Fired(), Numbers{"F15"}) << told_;
  }
}

INSTANTIATE_TEST_SUITE_P(By, WalArchive, testing::Values("plain", "gz", "lz4", "zst"),
                         [](const auto& at) { return std::string(at.param); });

}  // namespace
}  // namespace lifeboat
