// What `lifeboat check` asks of the store (agent/store_probe.h), on the embedded store and a disk that is full in truth: it answers
// and carries renewals all the while.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <boost/asio/io_context.hpp>
#include <filesystem>

#include "adapters/store/embedded_store.h"
#include "agent/store_probe.h"
#include "support/run_task.h"

namespace lifeboat::testing {
namespace {

using ::testing::HasSubstr;

/// No file of this process may grow, for its own life: what a full disk does. @source getrlimit(2), RLIMIT_FSIZE
class FullDisk {
 public:
  FullDisk() : old_handler_(::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    rlimit limit = old_;
    limit.rlim_cur = 1;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    ::signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_{};
  sighandler_t old_handler_;
};

class StoreProbe : public ::testing::Test {
 protected:
  StoreProbe() {
    std::string pattern = (std::filesystem::temp_directory_path() / "lifeboat-store-probe-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    auto opened = EmbeddedStore::Open(context_.get_executor(), (folder_ / "store.sqlite").string());
    EXPECT_TRUE(opened.ok()) << opened.error().Text();
    store_ = *std::move(opened);
  }
  ~StoreProbe() override {
    store_.reset();
    std::filesystem::remove_all(folder_);
  }
  Result<Unit> Probe(std::int64_t at = 1) {
    return Await(context_, ProbeDurableWrite(*store_, "orders/check/us-east-1", WallTime{at}, std::chrono::seconds(20)));
  }

  boost::asio::io_context context_;
  std::filesystem::path folder_;
  std::unique_ptr<EmbeddedStore> store_;
};

TEST_F(StoreProbe, LeavesOneRecordHoweverOftenItIsAsked) {
  for (int time = 1; time <= 3; ++time) ASSERT_TRUE(Probe(time).ok());
  const auto reading = Await(context_, store_->Read("orders/", std::chrono::seconds(20)));
  ASSERT_TRUE(reading.ok());
  ASSERT_EQ(reading->records.size(), 1u);
  EXPECT_EQ(reading->records[0].value, R"({"at_ns":3})");
}

TEST_F(StoreProbe, AFullDiskIsAFaultWhileRenewalsGoOnAndGoodAgainOnceThereIsRoom) {
  Transaction renewal;
  renewal.puts.push_back({"orders/lease", "renewed"});
  renewal.durability = Durability::kVolatile;
  {
    const FullDisk full;
    const auto wrote = Probe();
    ASSERT_FALSE(wrote.ok());
    const Json line = StoreWriteFinding(wrote, std::chrono::milliseconds(1), std::chrono::seconds(2));
    EXPECT_EQ(TextAt(line, "level"), "fault");
    EXPECT_THAT(TextAt(line, "what"), HasSubstr("the store answers and takes no durable write, so nobody could take over"));
    EXPECT_THAT(TextAt(line, "hint"), HasSubstr("free space"));
    EXPECT_TRUE(Await(context_, store_->Commit(renewal, std::chrono::seconds(20))).ok());
  }
  EXPECT_TRUE(Probe().ok());
}

}  // namespace
}  // namespace lifeboat::testing
