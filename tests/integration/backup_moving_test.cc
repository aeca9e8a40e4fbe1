// A source that does not stand still while it is looked at: backups expire, dumps and backups are being written, WAL goes with an
// old backup, or comes late. None of it is a fault, none of it passes; and what is really gone is told all the same.

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "adapters/backups/verify.h"
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
using testing_support::NumbersOf;
using testing_support::PostgresLab;
using testing_support::ReplaceFile;
using testing_support::Slurp;
using testing_support::Told;
using Numbers = std::set<std::string>;

const BackupWorld& TheWorld() {
  static const BackupWorld world;
  return world;
}

/// Another source, at which something happens between two looks.
class Meanwhile : public backup::Source {
 public:
  enum class When { kListed, kOpened, kWal };
  Meanwhile(std::unique_ptr<backup::Source> source, When when, std::string set, std::function<void()> happens)
      : source_(std::move(source)), when_(when), set_(std::move(set)), happens_(std::move(happens)) {}

  const std::string& name() const override { return source_->name(); }
  Result<backup::Inventory> Look() override {
    auto inventory = source_->Look();
    listed_ = true;
    Happen(When::kListed);
    return inventory;
  }
  std::optional<backup::SetContent> OpenSet(const backup::SetInfo& set, std::vector<backup::Finding>& findings) override {
    auto content = source_->OpenSet(set, findings);
    if (set.label == set_) Happen(When::kOpened);
    return content;
  }
  backup::StreamPtr OpenWal(const backup::WalFile& file) override {
    if (listed_) Happen(When::kWal);
    return source_->OpenWal(file);
  }
  std::optional<backup::StoredPlace> PlaceOfWal(const backup::WalFile& file) const override { return source_->PlaceOfWal(file); }

 private:
  void Happen(When now) {
    if (now != when_ || !happens_) return;
    std::exchange(happens_, nullptr)();
  }

  std::unique_ptr<backup::Source> source_;
  When when_;
  std::string set_;
  std::function<void()> happens_;
  bool listed_ = false;
};

backup::Verified VerifyMeanwhile(const fs::path& path, const fs::path& wal, Meanwhile::When when, const std::string& set,
                                 std::function<void()> happens) {
  auto opened = backup::OpenSource({path, wal, "", nullptr});
  EXPECT_TRUE(opened) << opened.error().Text();
  Meanwhile source(std::move(*opened), when, set, std::move(happens));
  backup::VerifyOptions options;
  options.threads = 1;
  auto verified = backup::Verify(source, options);
  EXPECT_TRUE(verified) << verified.error().Text();
  return *std::move(verified);
}

const backup::SetReport* SetOf(const backup::Verified& verified, const std::string& label) {
  for (const backup::SetReport& each : verified.report.sets) {
    if (each.label == label) return &each;
  }
  return nullptr;
}

void ExpectNotChecked(const backup::Verified& verified, const std::string& label) {
  const backup::SetReport* set = SetOf(verified, label);
  ASSERT_NE(set, nullptr) << label;
  for (int level = 0; level <= 3; ++level) {
    EXPECT_EQ(set->levels[static_cast<std::size_t>(level)].verdict, Verdict::kNotChecked) << level;
    EXPECT_NE(set->levels[static_cast<std::size_t>(level)].reason.find("while it was looked at"), std::string::npos) << level;
  }
  for (const backup::SetInfo& each : verified.inventory.sets) {
    EXPECT_FALSE(each.label == label && each.present) << "it counts for no age";
  }
}

void ExpectPasses(const backup::Verified& verified, const std::string& label) {
  const backup::SetReport* set = SetOf(verified, label);
  ASSERT_NE(set, nullptr) << label;
  for (int level = 0; level <= 3; ++level) {
    EXPECT_EQ(set->levels[static_cast<std::size_t>(level)].verdict, Verdict::kPass)
        << level << ": " << set->levels[static_cast<std::size_t>(level)].reason;
  }
}

std::vector<fs::path> SegmentsOf(const fs::path& archive) {
  return FilesOf(archive, [](const std::string& path) { return fs::path(path).filename().string().size() == 24; });
}

/// The first segment that a backup needs.
std::string NeededOf(const fs::path& backup) {
  const std::string label = Slurp(backup / "backup_label");
  return label.substr(label.find("(file ") + 6, 24);
}

TEST(BackupMoving, ABackupThatIsRemovedWhileItIsReadIsNotCheckedAndNoFault) {
  const BackupCopy copy(TheWorld().both);
  const auto verified = VerifyMeanwhile(copy.folder(), TheWorld().archive, Meanwhile::When::kOpened, "monday",
                                        [&] { fs::remove_all(copy.folder() / "monday"); });
  EXPECT_EQ(Told(verified), "");
  ExpectNotChecked(verified, "monday");
  ExpectPasses(verified, "tuesday");
  for (const backup::Window& window : verified.windows) EXPECT_NE(window.label, "monday");
}

TEST(BackupMoving, AFileThatVanishesFromABackupThatStaysIsTold) {
  const BackupCopy copy(TheWorld().monday);
  const auto verified = VerifyMeanwhile(copy.folder(), TheWorld().archive, Meanwhile::When::kOpened, "monday",
                                        [&] { fs::remove(copy.folder() / "monday" / TheWorld().heap); });
  EXPECT_TRUE(verified.report.HasFault()) << "the backup is there, and its file is not";
  EXPECT_EQ(SetOf(verified, "monday")->levels[2].verdict, Verdict::kFail);
}

TEST(BackupMoving, WalThatGoesWithAnOldBackupIsNoGap) {
  const BackupCopy sets(TheWorld().both);
  const BackupCopy archive(TheWorld().archive);
  const std::string oldest = NeededOf(sets.folder() / "tuesday");
  ASSERT_LT(SegmentsOf(archive.folder()).front().filename().string(), oldest) << "nothing lies before tuesday";
  const auto verified = VerifyMeanwhile(sets.folder(), archive.folder(), Meanwhile::When::kWal, "", [&] {
    fs::remove_all(sets.folder() / "monday");
    for (const fs::path& each : SegmentsOf(archive.folder())) {
      if (each.filename().string() < oldest) fs::remove(each);
    }
  });
  EXPECT_EQ(Told(verified), "");
  ExpectNotChecked(verified, "monday");
  ExpectPasses(verified, "tuesday");
}

TEST(BackupMoving, WalThatVanishesAndIsNeededIsAHole) {
  const BackupCopy archive(TheWorld().archive);
  const fs::path gone = SegmentsOf(archive.folder()).rbegin()[2];
  const auto verified = VerifyMeanwhile(TheWorld().both, archive.folder(), Meanwhile::When::kWal, "", [&] { fs::remove(gone); });
  EXPECT_EQ(NumbersOf(verified), Numbers{"F13"}) << Told(verified);
}

TEST(BackupMoving, ASegmentThatComesAfterTheOneBehindItIsNoGap) {
  const BackupCopy archive(TheWorld().archive);
  const fs::path late = SegmentsOf(archive.folder()).rbegin()[2];
  const std::string content = Slurp(late);
  fs::remove(late);
  const auto verified =
      VerifyMeanwhile(TheWorld().both, archive.folder(), Meanwhile::When::kListed, "", [&] { ReplaceFile(late, content); });
  EXPECT_EQ(Told(verified), "");
  EXPECT_EQ(verified.report.wal_levels[1].verdict, Verdict::kPass);
  EXPECT_EQ(verified.report.wal_levels[2].verdict, Verdict::kNotChecked) << "it was not read, and that is no pass";
}

TEST(BackupMoving, ABackupThatIsBeingWrittenIsNoneYet) {
  const BackupCopy copy(TheWorld().both);
  ASSERT_FALSE(fs::is_symlink(copy.folder() / "tuesday")) << "what is changed here is the copy's own";
  fs::remove(copy.folder() / "tuesday/backup_manifest");
  const auto verified = VerifyMeanwhile(copy.folder(), TheWorld().archive, Meanwhile::When::kOpened, "tuesday",
                                        [&] { ReplaceFile(copy.folder() / "tuesday/base/1/123456", "more"); });
  EXPECT_EQ(Told(verified), "");
  ExpectNotChecked(verified, "tuesday");
  ExpectPasses(verified, "monday");
}

TEST(BackupMoving, ADumpThatIsBeingWrittenIsNoneYet) {
  PostgresLab lab;
  const fs::path dumps = lab.MakeFolder("dumps");
  std::string script = "--\n-- PostgreSQL database dump\n--\n\nSET statement_timeout = 0;\n" + std::string(2000, '\n');
  ReplaceFile(dumps / "orders.sql", script);
  EXPECT_EQ(NumbersOf(testing_support::VerifyAt(dumps)), (Numbers{"F08", "F37"})) << "it ends too early, and goes on no more";
  const auto verified = VerifyMeanwhile(dumps, {}, Meanwhile::When::kOpened, "orders.sql",
                                        [&] { ReplaceFile(dumps / "orders.sql", script + "SELECT 1;\n"); });
  EXPECT_FALSE(verified.report.HasFault()) << Told(verified);
  ExpectNotChecked(verified, "orders.sql");
}

}  // namespace
}  // namespace lifeboat
