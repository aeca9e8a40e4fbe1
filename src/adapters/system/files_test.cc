#include "adapters/system/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <boost/asio/thread_pool.hpp>
#include <fstream>

#include "adapters/system/clock.h"
#include "adapters/system/test_folder_internal.h"

namespace lifeboat {
namespace {

using testing::HasSubstr;

TEST(Files, AWrittenFileIsWholeAndPrivate) {
  const TestFolder folder;
  const std::string path = folder.path() + "/record";
  ASSERT_TRUE(WriteFileDurably(path, "one").ok());
  ASSERT_TRUE(WriteFileDurably(path, std::string(100'000, 'x')).ok());
  EXPECT_EQ(*ReadSmallFile(path), std::string(100'000, 'x'));
  struct stat status {};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1) << "nothing is left beside it";
}

TEST(Files, AFileThatCannotBeWrittenIsAnError) {
  const TestFolder folder;
  const Result<Unit> missing = WriteFileDurably(folder.path() + "/none/record", "one");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().retry, Retry::kNotFound);
  std::filesystem::create_directory(folder.path() + "/taken");
  std::ofstream(folder.path() + "/taken/file") << "x";
  EXPECT_FALSE(WriteFileDurably(folder.path() + "/taken", "one").ok());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1) << "nothing is left beside it";
}

TEST(Files, WritingOnAPoolComesBack) {
  const TestFolder folder;
  boost::asio::thread_pool pool(1);
  boost::asio::io_context context;
  const std::thread::id here = std::this_thread::get_id();
  const auto write = [](boost::asio::thread_pool& on, std::string path, std::thread::id expected) -> Task<bool> {
    const Result<Unit> written = co_await WriteFileDurablyAsync(on, path, "one");
    co_return written.ok() && std::this_thread::get_id() == expected;
  };
  EXPECT_TRUE(RunTask(context, write(pool, folder.path() + "/record", here)));
  EXPECT_EQ(*ReadSmallFile(folder.path() + "/record"), "one");
}

TEST(Files, ReadingIsBounded) {
  const TestFolder folder;
  std::ofstream(folder.path() + "/file") << "12345";
  EXPECT_EQ(*ReadSmallFile(folder.path() + "/file", 5), "12345");
  EXPECT_FALSE(ReadSmallFile(folder.path() + "/file", 4).ok());
  EXPECT_EQ(ReadSmallFile(folder.path() + "/none").error().retry, Retry::kNotFound);
}

TEST(Files, RemovingAMissingFileIsDone) {
  const TestFolder folder;
  std::ofstream(folder.path() + "/file") << "12345";
  EXPECT_TRUE(RemoveFileDurably(folder.path() + "/file").ok());
  EXPECT_TRUE(RemoveFileDurably(folder.path() + "/file").ok());
  EXPECT_FALSE(std::filesystem::exists(folder.path() + "/file"));
}

TEST(Files, FoldersAreMadeWithTheirParents) {
  const TestFolder folder;
  EXPECT_TRUE(EnsureDirectory(folder.path() + "/a/b/c").ok());
  EXPECT_TRUE(EnsureDirectory(folder.path() + "/a/b/c").ok());
  std::ofstream(folder.path() + "/a/file") << "x";
  EXPECT_FALSE(EnsureDirectory(folder.path() + "/a/file").ok());
  EXPECT_FALSE(EnsureDirectory(folder.path() + "/a/file/d").ok());
}

TEST(FileLock, ASecondHolderIsToldWhoTheFirstIs) {
  const TestFolder folder;
  std::optional<Result<FileLock>> first = FileLock::Take(folder.path());
  ASSERT_TRUE(first->ok());
  const Result<FileLock> second = FileLock::Take(folder.path());
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().retry, Retry::kRefused);
  EXPECT_THAT(second.error().message, HasSubstr("process " + std::to_string(getpid())));
  first.reset();
  EXPECT_TRUE(FileLock::Take(folder.path()).ok());
}

TEST(FileLock, EndsWithItsProcessHoweverThatEnds) {
  const TestFolder folder;
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    const Result<FileLock> lock = FileLock::Take(folder.path());
    if (write(ready[1], "x", 1) != 1 || !lock.ok()) _exit(1);
    pause();
    _exit(0);
  }
  char byte = 0;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_FALSE(FileLock::Take(folder.path()).ok());
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  EXPECT_TRUE(FileLock::Take(folder.path()).ok());
  close(ready[0]);
  close(ready[1]);
}

TEST(SystemClock, SleepsAsLongAsAskedByBothClocks) {
  boost::asio::io_context context;
  SystemClock clock;
  const auto sleep = [](SystemClock& with) -> Task<bool> {
    const Instant begin = with.Now();
    co_await with.Sleep(20ms);
    co_await with.Sleep(-1s);
    co_return IsOver(begin + 19ms, with.Now());
  };
  EXPECT_TRUE(RunTask(context, sleep(clock)));
  EXPECT_GT(clock.Wall().ns, 1'600'000'000'000'000'000);
}

}  // namespace
}  // namespace lifeboat
