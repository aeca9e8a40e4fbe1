#include "adapters/postgres/data_directory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace lifeboat::postgres {
namespace {

namespace fs = std::filesystem;

/// A folder that looks like a data directory, owned by whoever runs the test.
class DataDirectoryTest : public testing::Test {
 protected:
  DataDirectoryTest() {
    Make(root_ / "data");
    // As root the directory must belong to someone that PostgreSQL can run as.
    if (geteuid() == 0) {
      const Result<RunAs> user = FindUser("postgres");
      EXPECT_TRUE(user) << "these tests need user 'postgres' when run as root";
      if (user) {
        EXPECT_EQ(chown((root_ / "data").c_str(), user->uid, user->gid), 0);
      }
    }
  }
  ~DataDirectoryTest() override { fs::remove_all(root_); }

  static fs::path MakeRoot() {
    std::string pattern = (fs::temp_directory_path() / "lifeboat-data-XXXXXX").string();
    return mkdtemp(pattern.data());
  }
  static void Make(const fs::path& path) {
    fs::create_directories(path / "global");
    Write(path / "PG_VERSION", "15\n");
    Write(path / "postgresql.conf", "port = 5432\n");
    Write(path / "postgresql.auto.conf", "");
  }
  static void Write(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }
  static std::string Read(const fs::path& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }

  fs::path root_ = MakeRoot();
  DataDirectory data_{(root_ / "data").string()};
};

TEST(ServerSettings, AreQuotedSoThatPostgresqlReadsThemBack) {
  EXPECT_EQ(SettingsText({{"primary_conninfo", "host='a b' x=\\'"}}), "primary_conninfo = 'host=''a b'' x=\\\\'''\n");
}

TEST(ServerSettings, ManagedOnesAreTakenOutWhateverTheirSpelling) {
  EXPECT_EQ(WithoutManagedSettings("work_mem = '4MB'\n PRIMARY_CONNINFO='x'\nprimary_slot_name 'y'\n# port = 1\nport_x = 1\n"),
            "work_mem = '4MB'\n# port = 1\nport_x = 1\n");
}

TEST_F(DataDirectoryTest, FenceIsPlacedAndRemovedAgainAndAgain) {
  EXPECT_FALSE(*data_.HasFence());
  EXPECT_TRUE(data_.PlaceFence());
  EXPECT_TRUE(data_.PlaceFence());
  EXPECT_TRUE(*data_.HasFence());
  EXPECT_TRUE(data_.RemoveFence());
  EXPECT_TRUE(data_.RemoveFence());
  EXPECT_FALSE(*data_.HasFence());
}

TEST_F(DataDirectoryTest, FenceOfNoDataDirectoryIsNotFound) {
  const DataDirectory none((root_ / "none").string());
  EXPECT_EQ(none.PlaceFence().error().retry, Retry::kNotFound);
  EXPECT_EQ(none.HasFence().error().retry, Retry::kNotFound);
}

TEST_F(DataDirectoryTest, AFolderThatIsNoDataDirectoryHasNoProcesses) { EXPECT_TRUE(DataDirectory("/").Processes().empty()); }

TEST_F(DataDirectoryTest, ManagedSettingsAreIncludedOnceAndShadowedByNothing) {
  Write(root_ / "data/postgresql.auto.conf", "primary_conninfo = 'old'\nwork_mem = '4MB'\n");
  ASSERT_TRUE(data_.WriteManagedSettings({{"primary_conninfo", "one"}}));
  ASSERT_TRUE(data_.WriteManagedSettings({{"primary_conninfo", "two"}}));
  const std::string main = Read(root_ / "data/postgresql.conf");
  EXPECT_EQ(main.find("include_if_exists"), main.rfind("include_if_exists"));
  EXPECT_NE(main.find("include_if_exists = 'lifeboat.conf'"), std::string::npos);
  EXPECT_NE(Read(root_ / "data/lifeboat.conf").find("primary_conninfo = 'two'"), std::string::npos);
  EXPECT_EQ(Read(root_ / "data/postgresql.auto.conf"), "work_mem = '4MB'\n");
}

TEST_F(DataDirectoryTest, SettingsSurviveARewindThatOverwritesThem) {
  ASSERT_TRUE(data_.SetSettingsAside());
  EXPECT_TRUE(data_.IsHalfRewound());
  Write(root_ / "data/postgresql.conf", "port = 1\n");
  ASSERT_TRUE(data_.BringSettingsBack());
  EXPECT_EQ(Read(root_ / "data/postgresql.conf"), "port = 5432\n");
  EXPECT_EQ(Read(root_ / "data/PG_VERSION"), "15\n");
  ASSERT_TRUE(data_.ForgetSettingsAside());
  EXPECT_FALSE(data_.IsHalfRewound());
}

TEST_F(DataDirectoryTest, CopyTakesItsPlaceWithTheLocalSettingsAndTheFence) {
  Make(root_ / "data.copying");
  Write(root_ / "data.copying/postgresql.conf", "port = 1\n");
  Write(root_ / "data.copying/fresh", "yes");
  if (geteuid() == 0) {
    const Result<RunAs> user = FindUser("postgres");
    ASSERT_EQ(chown((root_ / "data.copying").c_str(), user->uid, user->gid), 0);
  }
  ASSERT_TRUE(data_.SwapInCopy({}));
  EXPECT_EQ(Read(root_ / "data/fresh"), "yes");
  EXPECT_EQ(Read(root_ / "data/postgresql.conf"), "port = 5432\n");
  EXPECT_TRUE(*data_.HasFence());
  EXPECT_FALSE(fs::exists(root_ / "data.old"));
  EXPECT_FALSE(fs::exists(root_ / "data.new"));
}

TEST_F(DataDirectoryTest, SwapGoesOnWhereACrashInterruptedIt) {
  // Between the two renames: the old directory is aside, the new one is not in place.
  fs::rename(root_ / "data", root_ / "data.old");
  Make(root_ / "data.new");
  Write(root_ / "data.new/fresh", "yes");
  ASSERT_TRUE(data_.FinishSwap());
  EXPECT_EQ(Read(root_ / "data/fresh"), "yes");
  EXPECT_FALSE(fs::exists(root_ / "data.old"));
  // Before the first rename.
  Make(root_ / "data.new");
  Write(root_ / "data.new/fresh", "again");
  ASSERT_TRUE(data_.FinishSwap());
  EXPECT_EQ(Read(root_ / "data/fresh"), "again");
  // Nothing to do.
  ASSERT_TRUE(data_.FinishSwap());
  EXPECT_EQ(Read(root_ / "data/fresh"), "again");
}

}  // namespace
}  // namespace lifeboat::postgres
