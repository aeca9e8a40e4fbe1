#include "guard/gate_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "adapters/system/files.h"

namespace lifeboat {
namespace {

constexpr const char* kBoot = "11111111-2222-3333-4444-555555555555";
const GateWord kWord{true, Epoch{7}, {10s, 9s}, {42, 4711, 99}, true};

class GateFileTest : public testing::Test {
 protected:
  GateFileTest() {
    std::string pattern = "/dev/shm/lifeboat-gate-XXXXXX";
    folder_ = mkdtemp(pattern.data());
    path_ = folder_ + "/gate";
  }
  ~GateFileTest() override { std::filesystem::remove_all(folder_); }

  GateFile Open(const std::string& boot = kBoot) {
    Result<GateFile> file = GateFile::Open(path_, boot, geteuid(), getegid());
    EXPECT_TRUE(file) << (file ? "" : file.error().Text());
    return std::move(file).value();
  }
  void Put(off_t offset, const void* bytes, std::size_t size) {
    const int file = open(path_.c_str(), O_WRONLY | O_CLOEXEC);
    ASSERT_EQ(pwrite(file, bytes, size, offset), static_cast<ssize_t>(size));
    close(file);
  }

  std::string folder_;
  std::string path_;
};

TEST_F(GateFileTest, SaysNothingUntilItIsWritten) {
  const GateFile file = Open();
  EXPECT_EQ(file.Word(), std::nullopt);
  EXPECT_FALSE(file.Attached());
  EXPECT_EQ(std::filesystem::file_size(path_), 8192U);
  EXPECT_EQ(std::filesystem::status(path_).permissions(), std::filesystem::perms(0600));
}

TEST_F(GateFileTest, WhatIsWrittenIsSeenByEveryOtherMapping) {
  GateFile file = Open();
  const GateFile other = Open();
  file.Write(kWord);
  EXPECT_EQ(other.Word(), kWord);
  file.Write(GateWord{});
  EXPECT_EQ(other.Word(), GateWord{});
}

TEST_F(GateFileTest, AWordOfAnotherBootIsNone) {
  Open("another-boot").Write(kWord);
  EXPECT_EQ(Open().Word(), std::nullopt);
}

TEST_F(GateFileTest, AWordThatIsBeingWrittenOrDamagedIsNone) {
  GateFile file = Open();
  for (const off_t offset : {0, 8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 120}) {
    file.Write(kWord);
    ASSERT_TRUE(file.Word());
    std::uint64_t field = 0;
    const int raw = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    ASSERT_EQ(pread(raw, &field, sizeof field, offset), 8);
    close(raw);
    field ^= 1;  // of the sequence: odd, as a guard leaves it that is killed in its midst
    Put(offset, &field, sizeof field);
    EXPECT_FALSE(file.Word()) << "damaged at " << offset;
  }
  file.Write(kWord);
  EXPECT_EQ(file.Word(), kWord) << "the next whole word counts again";
}

TEST_F(GateFileTest, NoReaderEverSeesHalfOfOneWordAndHalfOfAnother) {
  GateFile file = Open();
  const GateFile reader = Open();
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (std::uint64_t turn = 1; !stop; ++turn) {
      const Duration at(static_cast<std::int64_t>(turn));
      file.Write(GateWord{true, Epoch{turn}, {at, at}, {1, 2, turn}, false});
      if (turn % 64 == 0) std::this_thread::yield();
    }
  });
  int whole = 0;
  const Instant end = ReadClocks() + 10s;
  while (whole < 20000 && !HasPassed(end, ReadClocks())) {
    const auto word = reader.Word();
    if (!word || word->epoch.number == 0) continue;
    ++whole;
    ASSERT_EQ(word->deadline.boot.count(), static_cast<std::int64_t>(word->epoch.number));
    ASSERT_EQ(word->postmaster.system_id, word->epoch.number);
  }
  stop = true;
  writer.join();
  EXPECT_GT(whole, 0);
}

TEST_F(GateFileTest, AFileOutsideTmpfsIsRefused) {
  const std::string path = std::filesystem::exists("/var/tmp") ? "/var/tmp/lifeboat-gate-test" : "/lifeboat-gate-test";
  const auto file = GateFile::Open(path, kBoot, geteuid(), getegid());
  std::filesystem::remove(path);
  ASSERT_FALSE(file);
  EXPECT_NE(file.error().message.find("tmpfs"), std::string::npos) << file.error().message;
}

TEST_F(GateFileTest, AFileThatOthersMayWriteALinkOrAFolderIsRefused) {
  static_cast<void>(Open());
  ASSERT_EQ(chmod(path_.c_str(), 0622), 0);
  EXPECT_FALSE(GateFile::Open(path_, kBoot, geteuid(), getegid()));
  std::filesystem::rename(path_, folder_ + "/real");
  std::filesystem::create_symlink("real", path_);
  EXPECT_FALSE(GateFile::Open(path_, kBoot, geteuid(), getegid()));
  EXPECT_FALSE(GateFile::Open(folder_, kBoot, geteuid(), getegid()));
}

TEST_F(GateFileTest, AFileThatWasReplacedIsNoticed) {
  const GateFile file = Open();
  EXPECT_TRUE(file.IsAt(path_.c_str()));
  std::filesystem::remove(path_);
  EXPECT_FALSE(file.IsAt(path_.c_str()));
  static_cast<void>(Open());
  EXPECT_FALSE(file.IsAt(path_.c_str()));
}

TEST(ProcessStart, IsTheSameForOneProcessAndNothingForNone) {
  ASSERT_TRUE(ProcessStart(getpid()));
  EXPECT_EQ(ProcessStart(getpid()), ProcessStart(getpid()));
  EXPECT_EQ(ProcessStart(0x7fffffff), std::nullopt);
}

}  // namespace
}  // namespace lifeboat
