#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/load.h"

namespace lifeboat {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// `east` and `witness` go into those regions, as they stand.
Result<Settings> Parse(const std::string& east, const std::string& witness = "") {
  const std::string text = R"(service: orders
objectives: {rto: 5s, rpo: 4s}
store: {host: eu-west-1}
regions:
  - name: us-east-1
    agent: 127.77.1.1:7400
    state_directory: /srv/east
    database: {address: "127.77.1.1:5432", data_directory: /pg/east, socket_directory: /run/east}
)" + east + R"(  - name: us-west-2
    agent: 127.77.2.1:7400
    state_directory: /srv/west
    database: {address: "127.77.2.1:5432", data_directory: /pg/west, socket_directory: /run/west}
  - name: eu-west-1
    kind: witness
    agent: 127.77.3.1:7400
    state_directory: /srv/witness
)" + witness + R"(first_primary: us-east-1
dns: {name: orders-db.example.net, zone: example.net., server: "127.77.3.1:53", key_name: lifeboat, key_file: /etc/dns.key}
token_file: /etc/lifeboat/token
)";
  return ParseSettings(text, "lifeboat.yaml", [](const std::string&) { return std::optional<std::string>(); });
}

std::string ErrorOf(const std::string& east, const std::string& witness = "") {
  const auto settings = Parse(east, witness);
  return settings.ok() ? "" : settings.error().Text();
}

TEST(LoadFence, IsNothingWhereTheFileSaysNothing) {
  const auto settings = Parse("");
  ASSERT_TRUE(settings.ok()) << settings.error().Text();
  for (const RegionSettings& region : settings->regions) EXPECT_FALSE(region.fence);
}

TEST(LoadFence, ReadsTheCommandAsItStandsAndTheCarefulDefaults) {
  const auto settings = Parse("    fence: {command: [/usr/local/sbin/stop, \"i 0\", --force]}\n");
  ASSERT_TRUE(settings.ok()) << settings.error().Text();
  const auto& fence = settings->regions[0].fence;
  ASSERT_TRUE(fence);
  EXPECT_THAT(fence->command, ElementsAre("/usr/local/sbin/stop", "i 0", "--force"));
  EXPECT_EQ(fence->timeout, 30s);
  EXPECT_EQ(fence->on_failure, FenceFailure::kGoOn);
  EXPECT_FALSE(settings->regions[1].fence);
  const auto other = Parse("    fence: {command: [/s], timeout: 2min, on_failure: wait}\n");
  ASSERT_TRUE(other.ok()) << other.error().Text();
  EXPECT_EQ(other->regions[0].fence->timeout, 120s);
  EXPECT_EQ(other->regions[0].fence->on_failure, FenceFailure::kWait);
}

TEST(LoadFence, RefusesWhatCouldNotWork) {
  EXPECT_THAT(ErrorOf("    fence: {timeout: 10s}\n"), HasSubstr("'fence.command' of region 'us-east-1' is missing"));
  EXPECT_THAT(ErrorOf("    fence: {command: [stop, i-0]}\n"), HasSubstr("begins with 'stop', which is no absolute path"));
  EXPECT_THAT(ErrorOf("    fence: {command: /usr/local/sbin/stop}\n"), HasSubstr("must be a list of texts"));
  EXPECT_THAT(ErrorOf("    fence: {command: [/s], timeout: 100ms}\n"), HasSubstr("must lie between 1s and 10min, not '100ms'"));
  EXPECT_THAT(ErrorOf("    fence: {command: [/s], on_failure: maybe}\n"), HasSubstr("must be one of 'go-on', 'wait'"));
  EXPECT_THAT(ErrorOf("", "    fence: {command: [/s]}\n"),
              HasSubstr("'fence' of region 'eu-west-1' stands in a region without a server of its own"));
}

}  // namespace
}  // namespace lifeboat
