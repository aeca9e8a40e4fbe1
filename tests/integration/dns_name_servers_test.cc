// The name servers of a zone, found and asked as a stranger would: a real Knot DNS server stands for the resolver and for the
// zone's own.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "adapters/dns/name_servers.h"
#include "support/real_knot.h"
#include "support/run_task.h"

namespace lifeboat::testing {
namespace {

using ::testing::ElementsAre;

class NameServersTest : public ::testing::Test {
 protected:
  NameAnswer Ask(const std::string& name, const std::string& type) {
    const auto answer = Await(context_, servers_.Ask(knot_.endpoint(), name, type, 5s));
    if (!answer) throw std::runtime_error(answer.error().Text());
    return *answer;
  }
  boost::asio::io_context context_;
  RealKnot knot_{{{RealKnot::kName, "192.0.2.7", 42s, Epoch{3}}}, "www 60 IN CNAME orders-db\n"};
  DnsNameServers servers_{context_.get_executor(), {knot_.endpoint()}, knot_.endpoint().port};
};

TEST_F(NameServersTest, AreFoundThroughTheZoneThatANameIsIn) {
  for (const char* name : {"orders-db.lifeboat.test.", "a.b.c.lifeboat.test", "lifeboat.test.", "www.lifeboat.test."}) {
    const auto found = Await(context_, servers_.ServersOf(name, 5s));
    ASSERT_TRUE(found.ok()) << found.error().Text();
    EXPECT_THAT(*found, ElementsAre(knot_.endpoint())) << name;
  }
}

TEST_F(NameServersTest, AnswerEveryTypeWithItsTtl) {
  EXPECT_THAT(Ask(RealKnot::kName, "A").values, ElementsAre("192.0.2.7"));
  EXPECT_EQ(Ask(RealKnot::kName, "A").ttl, 42s);
  EXPECT_THAT(Ask("_lifeboat." + std::string(RealKnot::kName), "TXT").values, ElementsAre("\"epoch=3\""));
  EXPECT_THAT(Ask("www.lifeboat.test.", "CNAME").values, ElementsAre("orders-db.lifeboat.test."));
  EXPECT_TRUE(Ask(RealKnot::kName, "AAAA").exists);
  EXPECT_TRUE(Ask(RealKnot::kName, "AAAA").values.empty());
  EXPECT_FALSE(Ask("nobody.lifeboat.test.", "A").exists);
}

TEST_F(NameServersTest, WhoDoesNotServeTheZoneIsNotBelieved) {
  const auto foreign = Await(context_, servers_.Ask(knot_.endpoint(), "orders-db.example.com.", "A", 5s));
  ASSERT_FALSE(foreign.ok());
  EXPECT_EQ(foreign.error().retry, Retry::kFail) << foreign.error().Text();
  const auto alias = Await(context_, servers_.Ask(knot_.endpoint(), "www.lifeboat.test.", "A", 5s));
  ASSERT_FALSE(alias.ok());
  EXPECT_EQ(alias.error().retry, Retry::kFail);
}

TEST_F(NameServersTest, OneThatIsSilentIsToldInTime) {
  knot_.Freeze();
  const auto answer = Await(context_, servers_.Ask(knot_.endpoint(), RealKnot::kName, "A", 300ms));
  const auto found = Await(context_, servers_.ServersOf(RealKnot::kName, 300ms));
  knot_.Thaw();
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().retry, Retry::kRetry);
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().retry, Retry::kRetry);
}

}  // namespace
}  // namespace lifeboat::testing
