#include "guard/guard_memory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace lifeboat {
namespace {

class GuardMemory : public testing::Test {
 protected:
  GuardMemory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "lifeboat_memory_XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~GuardMemory() override { std::filesystem::remove_all(folder_); }
  [[nodiscard]] KeptPermission Open(const std::string& boot_id = "boot-1") const {
    return std::move(KeptPermission::Open(folder_ + "/permission", boot_id)).value();
  }
  std::string folder_;
};

const Permission kPermission{Epoch{7}, Instant{1234567890123ns, 987654321098ns}, 3s};

TEST_F(GuardMemory, ARecordComesBackAndAMissingOneIsEpochZero) {
  EXPECT_EQ(*ReadGuardRecord(folder_ + "/record"), Epoch{0});
  ASSERT_TRUE(WriteGuardRecord(folder_ + "/record", Epoch{18446744073709551615U}).ok());
  EXPECT_EQ(*ReadGuardRecord(folder_ + "/record"), Epoch{18446744073709551615U});
}

TEST_F(GuardMemory, ARecordCutAtAnyByteIsAnErrorAndNeverEpochZero) {
  ASSERT_TRUE(WriteGuardRecord(folder_ + "/record", Epoch{12}).ok());
  for (std::uintmax_t size = std::filesystem::file_size(folder_ + "/record") - 1; size-- > 0;) {
    std::filesystem::resize_file(folder_ + "/record", size);
    EXPECT_FALSE(ReadGuardRecord(folder_ + "/record").ok()) << size;
  }
}

TEST_F(GuardMemory, APermissionOutlivesTheProcessThatKeptIt) {
  EXPECT_EQ(Open().Load(), std::nullopt);
  Open().Save(kPermission, Epoch{});
  EXPECT_EQ(Open().Load(), kPermission);
  KeptPermission kept = Open();
  kept.Save(Permission{Epoch{8}, kPermission.deadline + 1s}, Epoch{});
  EXPECT_EQ(Open().Load(), (Permission{Epoch{8}, kPermission.deadline + 1s}));
  kept.Save(std::nullopt, Epoch{});
  EXPECT_EQ(Open().Load(), std::nullopt);
}

TEST_F(GuardMemory, AnEpochThatWasClosedForGoodIsKeptWithAndWithoutAPermissionAndOnlyInItsBoot) {
  EXPECT_EQ(Open().LoadClosed(), Epoch{});
  Open().Save(kPermission, Epoch{7});
  EXPECT_EQ(Open().LoadClosed(), Epoch{7});
  Open().Save(std::nullopt, Epoch{7});
  EXPECT_EQ(Open().LoadClosed(), Epoch{7});
  EXPECT_EQ(Open("boot-2").LoadClosed(), Epoch{});
}

TEST_F(GuardMemory, APermissionOfAnotherBootIsNone) {
  Open("boot-1").Save(kPermission, Epoch{});
  EXPECT_EQ(Open("boot-2").Load(), std::nullopt);
  EXPECT_EQ(Open("boot-1").Load(), kPermission);
}

TEST_F(GuardMemory, AWriteThatWasCutShortLeavesTheOneBefore) {
  const Permission later{Epoch{7}, kPermission.deadline + 1s};
  Open().Save(kPermission, Epoch{});
  Open().Save(later, Epoch{});
  const std::size_t half = std::filesystem::file_size(folder_ + "/permission") / 2;
  int older = 0;
  for (std::size_t at = 0; at < half; ++at) {  // the second write went into the first slot
    std::fstream file(folder_ + "/permission", std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    const char byte = static_cast<char>(file.get());
    file.seekp(static_cast<std::streamoff>(at));
    file.put(static_cast<char>(byte ^ 0x55));
    file.flush();
    const std::optional<Permission> loaded = Open().Load();
    EXPECT_EQ(loaded, kPermission) << at;
    if (loaded == kPermission) ++older;
    file.seekp(static_cast<std::streamoff>(at));
    file.put(byte);
  }
  EXPECT_EQ(older, static_cast<int>(half));
  EXPECT_EQ(Open().Load(), later);
}

TEST_F(GuardMemory, AHoldIsKeptWithinABootAndEndedByAPermissionOrByNothing) {
  EXPECT_FALSE(Open().LoadHeld());
  Open().Save(std::nullopt, Epoch{7}, true);
  EXPECT_TRUE(Open().LoadHeld());
  EXPECT_FALSE(Open().Load()) << "a hold is no permission";
  EXPECT_EQ(Open().LoadClosed(), Epoch{7});
  EXPECT_FALSE(Open("another boot").LoadHeld());
  Open().Save(kPermission, Epoch{7});
  EXPECT_FALSE(Open().LoadHeld());
  Open().Save(std::nullopt, Epoch{7}, true);
  Open().Save(std::nullopt, Epoch{7});
  EXPECT_FALSE(Open().LoadHeld());
}

}  // namespace
}  // namespace lifeboat
