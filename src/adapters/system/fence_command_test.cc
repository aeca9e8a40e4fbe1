// The external fence by a command: real programs.

#include "adapters/system/fence_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <fstream>
#include <future>

#include "adapters/system/test_folder_internal.h"

namespace lifeboat {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

const RegionName kEast("us-east-1");

class FenceCommandTest : public ::testing::Test {
 protected:
  std::string Script(const std::string& body) {
    const std::string path = folder_.path() + "/stop-instance";
    std::ofstream(path) << "#!/bin/sh\n" << body << "\n";
    chmod(path.c_str(), 0700);
    return path;
  }
  FenceCommand Make(std::vector<std::string> command, Duration timeout = 20s) {
    std::map<RegionName, FenceCommand::Target> targets;
    targets[kEast] = {std::move(command), timeout};
    return FenceCommand(context_.get_executor(), "orders", RegionName("us-west-2"), std::move(targets), Log());
  }
  Result<std::string> Stop(FenceCommand& fence, const RegionName& region = kEast) {
    return RunTask(context_, fence.Stop({region, Epoch{7}, ExecutionId("x-1")}));
  }
  std::string Said(const std::string& body, Duration timeout = 20s) {
    FenceCommand fence = Make({Script(body)}, timeout);
    const auto stopped = Stop(fence);
    if (stopped.ok()) return "proof: " + *stopped;
    EXPECT_NE(stopped.error().retry, Retry::kRefused) << "it may be tried again";
    EXPECT_NE(stopped.error().retry, Retry::kFail) << "it may be tried again";
    return stopped.error().message;
  }

  TestFolder folder_;
  boost::asio::io_context context_;
};

TEST_F(FenceCommandTest, ExitCodeZeroAloneIsProofAndItsLastLineIsKept) {
  EXPECT_EQ(Said("echo asking; echo i-0abc is stopped"), "proof: i-0abc is stopped");
  EXPECT_EQ(Said("exit 0"), "proof: its fence command ended with 0");
  EXPECT_EQ(Said("echo i-0abc is stopped; exit 3"), "its fence command ended with 3: i-0abc is stopped");
  EXPECT_EQ(Said("echo throttled >&2; exit 1"), "its fence command ended with 1: throttled");
  EXPECT_EQ(Said("kill -KILL $$"), "its fence command ended with 137");
}

TEST_F(FenceCommandTest, KnowsWhatItIsAskedForAndByWhom) {
  FenceCommand fence =
      Make({Script("echo \"$1 $LIFEBOAT_REGION $LIFEBOAT_SERVICE $LIFEBOAT_EPOCH $LIFEBOAT_EXECUTION $LIFEBOAT_BY\""), "i 0"});
  const auto stopped = Stop(fence);
  ASSERT_TRUE(stopped.ok()) << stopped.error().Text();
  EXPECT_EQ(*stopped, "i 0 us-east-1 orders 7 x-1 us-west-2");
}

TEST_F(FenceCommandTest, WhatTakesTooLongIsKilledWithAllThatItStartedAndIsNoProof) {
  const std::string mark = folder_.path() + "/mark";
  EXPECT_THAT(Said("(sleep 60; touch " + mark + ") & echo $! > " + mark + ".pid; wait; exit 0", 1s), HasSubstr("gave no answer"));
  pid_t child = 0;
  std::ifstream(mark + ".pid") >> child;
  ASSERT_GT(child, 0);
  const std::string proc = "/proc/" + std::to_string(child);
  EXPECT_TRUE(Eventually([&] {
    std::string name;
    std::string state;
    std::ifstream stat(proc + "/stat");
    return !(stat >> child >> name >> state) || state == "Z";
  }));
  EXPECT_FALSE(std::filesystem::exists(mark));
}

TEST_F(FenceCommandTest, OfARegionThatHasNoneIsNoProof) {
  FenceCommand fence = Make({"/bin/true"});
  const auto stopped = Stop(fence, RegionName("ap-south-1"));
  ASSERT_FALSE(stopped.ok());
  EXPECT_THAT(stopped.error().message, HasSubstr("no fence command is configured for 'ap-south-1'"));
}

TEST_F(FenceCommandTest, ALookSaysWhatIsInTheWayAndRunsNothing) {
  const std::string mark = folder_.path() + "/mark";
  const auto look = [&](const std::string& program) {
    FenceCommand fence = Make({program});
    return RunTask(context_, fence.Look()).at(kEast);
  };
  const std::string program = Script("touch " + mark);
  EXPECT_THAT(look(program), IsEmpty());
  EXPECT_THAT(look(folder_.path() + "/absent"), HasSubstr("No such file or directory"));
  EXPECT_THAT(look(folder_.path()), HasSubstr("is no file"));
  chmod(program.c_str(), 0777);
  EXPECT_THAT(look(program), HasSubstr("may be written by everybody"));
  chmod(program.c_str(), 0600);
  EXPECT_THAT(look(program), HasSubstr("cannot be executed by the agent"));
  EXPECT_FALSE(std::filesystem::exists(mark));
  // And it is not run then either.
  FenceCommand fence = Make({program});
  EXPECT_THAT(Stop(fence).error().message, HasSubstr("its fence command cannot be run"));
}

TEST_F(FenceCommandTest, AProgramWhoseFileSystemHangsIsNoProofAndHoldsUpNoOtherRegions) {
  const RegionName south("ap-south-1");
  const std::string hung = "/bin/true";
  std::promise<void> back;
  auto looks = std::make_shared<std::atomic<int>>(0);
  const auto look = [looks, hung, waiting = back.get_future().share()](const std::string& program) {
    if (program != hung) return std::string();
    ++*looks;
    waiting.wait();
    return std::string();
  };
  std::map<RegionName, FenceCommand::Target> targets;
  targets[kEast] = {{hung}, 20s};
  targets[south] = {{Script("echo off")}, 20s};
  FenceCommand fence(context_.get_executor(), "orders", RegionName("us-west-2"), std::move(targets), Log(), look);
  const auto first = Stop(fence);
  ASSERT_FALSE(first.ok());
  EXPECT_EQ(first.error().retry, Retry::kRetry);
  EXPECT_EQ(first.error().message, "its fence command cannot be run: '/bin/true': its file system does not answer");
  // Another region's is run meanwhile, and check says what is known.
  const auto other = Stop(fence, south);
  EXPECT_TRUE(other.ok() && *other == "off");
  const auto seen = RunTask(context_, fence.Look());
  EXPECT_THAT(seen.at(kEast), HasSubstr("does not answer"));
  EXPECT_THAT(seen.at(south), IsEmpty());
  EXPECT_EQ(*looks, 1) << "one thread hangs, however often it is tried";
  back.set_value();
  EXPECT_TRUE(Eventually([&] { return Stop(fence).ok(); }));
}

TEST(LastLineOf, IsOneLineOfPlainCharacters) {
  EXPECT_EQ(LastLineOf(""), "");
  EXPECT_EQ(LastLineOf("\n \n"), "");
  EXPECT_EQ(LastLineOf("a\nb\r\n\n"), "b");
  EXPECT_EQ(LastLineOf("only"), "only");
  EXPECT_EQ(LastLineOf("x\x01\xff y"), "x?? y");
  EXPECT_EQ(LastLineOf(std::string(5000, 'z')).size(), 200u);
}

}  // namespace
}  // namespace lifeboat
