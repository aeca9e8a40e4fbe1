#include "guard/server_look.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

namespace lifeboat {
namespace {

constexpr ServerLook kUp{true, false, PostmasterStatus::kUp, ClusterState::kInProduction, true};

ServerLook With(ServerLook look, std::optional<ClusterState> cluster) {
  look.cluster = cluster;
  return look;
}

TEST(Judge, AServerInProductionIsWritableWhateverTheFenceSays) {
  EXPECT_EQ(Judge(kUp), ServerVerdict::kWritable);
  ServerLook stopping = kUp;
  stopping.status = PostmasterStatus::kStopping;
  EXPECT_EQ(Judge(stopping), ServerVerdict::kWritable) << "sessions may live on while it waits for them";
}

TEST(Judge, AStandbyIsHarmless) {
  ServerLook standby = With(kUp, ClusterState::kArchiveRecovery);
  EXPECT_EQ(Judge(standby), ServerVerdict::kHarmless);
  standby.fence = false;
  EXPECT_EQ(Judge(standby), ServerVerdict::kHarmless);
}

TEST(Judge, AStartingServerIsWhatItsFenceMakesOfIt) {
  for (const ClusterState left : {ClusterState::kShutDown, ClusterState::kShutDownInRecovery, ClusterState::kCrashRecovery,
                                  ClusterState::kInProduction, ClusterState::kStartup}) {
    ServerLook starting = With(kUp, left);
    starting.status = PostmasterStatus::kStarting;
    EXPECT_EQ(Judge(starting), ServerVerdict::kHarmless);
    starting.fence = false;
    EXPECT_EQ(Judge(starting), ServerVerdict::kWritable) << static_cast<int>(left);
  }
}

TEST(Judge, AServerAtTheEndOfItsShutdownIsHarmless) {
  EXPECT_EQ(Judge(With(kUp, ClusterState::kShuttingDown)), ServerVerdict::kHarmless);
  EXPECT_EQ(Judge(With(kUp, ClusterState::kShutDown)), ServerVerdict::kHarmless);
}

TEST(Judge, ASingleUserServerServesNobody) {
  ServerLook single = kUp;
  single.single_user = true;
  EXPECT_EQ(Judge(single), ServerVerdict::kHarmless);
}

TEST(Judge, ProcessesWithoutAPostmasterAreStraysUnlessTheServerWasStoppedOrAStandby) {
  ServerLook crashed = kUp;
  crashed.postmaster_alive = false;
  EXPECT_EQ(Judge(crashed), ServerVerdict::kStrays);
  EXPECT_EQ(Judge(With(crashed, ClusterState::kCrashRecovery)), ServerVerdict::kStrays);
  EXPECT_EQ(Judge(With(crashed, ClusterState::kArchiveRecovery)), ServerVerdict::kHarmless);
  EXPECT_EQ(Judge(With(crashed, ClusterState::kShutDown)), ServerVerdict::kHarmless);
}

TEST(Judge, UnknownIsNeverGood) {
  EXPECT_EQ(Judge(With(kUp, std::nullopt)), ServerVerdict::kWritable);
  ServerLook dead = With(kUp, std::nullopt);
  dead.postmaster_alive = false;
  EXPECT_EQ(Judge(dead), ServerVerdict::kStrays);
}

class ServerFilesTest : public testing::Test {
 protected:
  ServerFilesTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "lifeboat_look_XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    std::filesystem::create_directory(folder_ + "/global");
    before_ = std::filesystem::current_path();
    std::filesystem::current_path(folder_);  // this process plays the postmaster
  }
  ~ServerFilesTest() override {
    std::filesystem::current_path(before_);
    std::filesystem::remove_all(folder_);
  }
  void WriteControl(std::uint32_t version, std::uint32_t state) const {
    const std::uint64_t system_id = 42;
    const std::uint32_t catalog = 202209061;
    std::ofstream file(folder_ + "/global/pg_control", std::ios::binary);
    for (const auto& [from, size] :
         {std::pair<const void*, std::size_t>(&system_id, 8), {&version, 4}, {&catalog, 4}, {&state, 4}}) {
      file.write(static_cast<const char*>(from), static_cast<std::streamsize>(size));
    }
  }
  void WriteLockFile(long pid, const std::string& status) const {
    std::ofstream(folder_ + "/postmaster.pid") << pid << "\n"
                                               << folder_ << "\n1700000000\n5432\n/tmp\nlocalhost\n 1 2\n"
                                               << status << "\n";
  }
  [[nodiscard]] ServerLook Look() const { return ServerFiles::Make(folder_)->Look(); }

  std::string folder_;
  std::filesystem::path before_;
};

TEST_F(ServerFilesTest, ReadsStatePostmasterAndFence) {
  WriteControl(1300, 5);
  WriteLockFile(getpid(), "ready   ");
  ServerLook look = Look();
  EXPECT_EQ(look.cluster, ClusterState::kArchiveRecovery);
  EXPECT_TRUE(look.postmaster_alive);
  EXPECT_FALSE(look.single_user);
  EXPECT_EQ(look.status, PostmasterStatus::kUp);
  EXPECT_FALSE(look.fence);
  ASSERT_TRUE(PlaceFence(folder_).ok());
  EXPECT_TRUE(Look().fence);
}

TEST_F(ServerFilesTest, ReadsEveryStatusOfThePostmaster) {
  WriteLockFile(getpid(), "starting");
  EXPECT_EQ(Look().status, PostmasterStatus::kStarting);
  WriteLockFile(getpid(), "stopping");
  EXPECT_EQ(Look().status, PostmasterStatus::kStopping);
  WriteLockFile(getpid(), "standby ");
  EXPECT_EQ(Look().status, PostmasterStatus::kUp);
  std::ofstream(folder_ + "/postmaster.pid") << getpid() << "\n";
  EXPECT_EQ(Look().status, PostmasterStatus::kStarting) << "the later lines are not there yet";
}

TEST_F(ServerFilesTest, ANegativePidIsASingleUserServer) {
  WriteLockFile(-getpid(), "");
  EXPECT_TRUE(Look().single_user);
  EXPECT_TRUE(Look().postmaster_alive);
}

TEST_F(ServerFilesTest, APidThatIsAnotherProcessByNowIsNoPostmaster) {
  WriteLockFile(1, "ready   ");
  EXPECT_FALSE(Look().postmaster_alive);
  std::filesystem::current_path(before_);
  WriteLockFile(getpid(), "ready   ");
  EXPECT_FALSE(Look().postmaster_alive);
}

TEST_F(ServerFilesTest, AControlFileCutAtAnyByteIsUnknown) {
  WriteControl(1300, 6);
  EXPECT_EQ(Look().cluster, ClusterState::kInProduction);
  for (std::uintmax_t size = 20; size-- > 0;) {
    std::filesystem::resize_file(folder_ + "/global/pg_control", size);
    EXPECT_EQ(Look().cluster, std::nullopt) << size;
  }
  WriteControl(1300, 7);
  EXPECT_EQ(Look().cluster, std::nullopt);
  WriteControl(0x14050000, 6);
  EXPECT_EQ(Look().cluster, std::nullopt) << "bytes of another order";
}

TEST_F(ServerFilesTest, TheFenceBelongsToTheOwnerOfTheFolder) {
  if (geteuid() == 0) {
    ASSERT_EQ(chown(folder_.c_str(), 12345, 12345), 0);
  }
  ASSERT_TRUE(PlaceFence(folder_).ok());
  struct stat fence {};
  struct stat folder {};
  ASSERT_EQ(stat((folder_ + "/standby.signal").c_str(), &fence), 0);
  ASSERT_EQ(stat(folder_.c_str(), &folder), 0);
  EXPECT_EQ(fence.st_uid, folder.st_uid);
  EXPECT_TRUE(PlaceFence(folder_ + "/none").ok()) << "there is nothing to start";
}

}  // namespace
}  // namespace lifeboat
