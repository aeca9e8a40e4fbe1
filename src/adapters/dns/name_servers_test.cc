#include "adapters/dns/name_servers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace lifeboat {
namespace {

TEST(DnsNameServers, TheResolversAreThoseOfResolvConf) {
  const std::filesystem::path file = std::filesystem::temp_directory_path() / ("lifeboat-resolv-" + RandomHex(6));
  std::ofstream(file)
      << "# comment\nsearch example.com\nnameserver 192.0.2.1\n nameserver 2001:db8::1\nnameserver no-address\noptions ndots:1\n";
  EXPECT_THAT(ResolversIn(file.string()), ::testing::ElementsAre(Endpoint{"192.0.2.1", 53}, Endpoint{"2001:db8::1", 53}));
  std::filesystem::remove(file);
  EXPECT_THAT(ResolversIn(file.string()), ::testing::ElementsAre(Endpoint{"127.0.0.1", 53})) << "as the system's own resolver does";
}

}  // namespace
}  // namespace lifeboat
