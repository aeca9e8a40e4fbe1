#include "adapters/postgres/host_resolver.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "support/run_task.h"

namespace lifeboat::postgres {
namespace {

using lifeboat::testing::Await;

TEST(HostResolver, AnAddressIsNotAskedFor) {
  boost::asio::io_context io;
  HostResolver resolver(io.get_executor(), [](const std::string&) -> Result<std::string> { return Fail("asked"); });
  EXPECT_EQ(*Await(io, resolver.Resolve("10.0.1.5", Deadline(5s))), "10.0.1.5");
  EXPECT_EQ(*Await(io, resolver.Resolve("2001:db8::5", Deadline(5s))), "2001:db8::5");
}

TEST(HostResolver, ANameThatIsNotThereIsNotMadeUpFromWhatItOnceWas) {
  boost::asio::io_context io;
  bool there = true;
  HostResolver resolver(io.get_executor(), [&there](const std::string&) {
    return there ? Result<std::string>(std::string("10.0.1.5")) : NotFound("no such name");
  });
  EXPECT_EQ(*Await(io, resolver.Resolve("db.test", Deadline(5s))), "10.0.1.5");
  there = false;
  const auto gone = Await(io, resolver.Resolve("db.test", Deadline(5s)));
  ASSERT_FALSE(gone.ok());
  EXPECT_EQ(gone.error().retry, Retry::kNotFound);
}

TEST(HostResolver, WhileAResolverIsSilentTheLastKnownAddressServes) {
  boost::asio::io_context io;
  std::mutex lock;
  std::condition_variable told;
  bool silent = false;
  HostResolver resolver(io.get_executor(), [&](const std::string&) {
    std::unique_lock held(lock);
    told.wait(held, [&] { return !silent; });
    return Result<std::string>(std::string("10.0.1.5"));
  });
  ASSERT_TRUE(Await(io, resolver.Resolve("db.test", Deadline(5s))).ok());
  {
    const std::scoped_lock held(lock);
    silent = true;
  }
  EXPECT_EQ(*Await(io, resolver.Resolve("db.test", Deadline(50ms))), "10.0.1.5");
  EXPECT_FALSE(Await(io, resolver.Resolve("other.test", Deadline(50ms))).ok()) << "never heard of";
  // A second question about it does not wait behind the first.
  EXPECT_EQ(*Await(io, resolver.Resolve("db.test", Deadline(5s))), "10.0.1.5");
  {
    const std::scoped_lock held(lock);
    silent = false;
  }
  told.notify_all();
}

TEST(HostResolver, TheSystemKnowsThisMachine) {
  const auto local = LookUpHost("localhost");
  ASSERT_TRUE(local.ok()) << local.error().Text();
  EXPECT_TRUE(*local == "127.0.0.1" || *local == "::1") << *local;
}

}  // namespace
}  // namespace lifeboat::postgres
