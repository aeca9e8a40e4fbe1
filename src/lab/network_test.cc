#include "lab/network.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>

namespace lifeboat::lab {
namespace {

namespace fs = std::filesystem;

LabInfo WithNetwork() {
  LabInfo info;
  info.network = NameNetwork("10.177.9");
  for (const char* name : {"east", "west"}) {
    info.regions.push_back(
        {RegionName(name), RegionKind::kData, std::string("10.177.9.") + name[0], 7400, NamespaceOf(*info.network, name)});
  }
  return info;
}

TEST(Network, ACutOfTwoIsBothWaysUnlessOneIsAskedFor) {
  const LabInfo info = WithNetwork();
  EXPECT_EQ(*LinksBetween(info, "east", "west", false), (std::vector<CutLink>{{"east", "west"}, {"west", "east"}}));
  EXPECT_EQ(*LinksBetween(info, "east", "west", true), (std::vector<CutLink>{{"east", "west"}}));
  EXPECT_EQ(*LinksBetween(info, "west", kClients, true), (std::vector<CutLink>{{"west", kClients}}));
}

TEST(Network, ACutOfOneIsFromEverybodyTheClientsAmongThem) {
  EXPECT_EQ(*LinksBetween(WithNetwork(), "east", "", false),
            (std::vector<CutLink>{{"east", "west"}, {"west", "east"}, {"east", kClients}, {kClients, "east"}}));
}

TEST(Network, CutsThatMakeNoSenseAreRefused) {
  const LabInfo info = WithNetwork();
  for (const auto& refused : {LinksBetween(info, "mars", "", false), LinksBetween(info, "east", "mars", false),
                              LinksBetween(info, "east", "east", false), LinksBetween(info, "east", "", true)}) {
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().retry, Retry::kRefused) << refused.error().Text();
    EXPECT_FALSE(refused.error().hint.empty());
  }
}

TEST(Network, ASubnetThatARouteLeadsToIsNotFree) {
  const auto loopback = SubnetIsFree("127.77.3");
  ASSERT_TRUE(loopback) << loopback.error().Text();
  EXPECT_FALSE(*loopback) << "it lies within 127.0.0.0/8";
}

TEST(Network, TheMarkerNamesWhatDownRemovesAndOnlyAWholeOneDoes) {
  std::string name = (fs::temp_directory_path() / "lifeboat-network-XXXXXX").string();
  ASSERT_NE(::mkdtemp(name.data()), nullptr);
  const fs::path folder = name;
  const LabInfo info = WithNetwork();
  const std::string whole = MarkerText(&info);
  const auto read = [&](const std::string& text, std::vector<std::string>& namespaces) {
    std::ofstream(folder / kMarker, std::ios::trunc) << text;
    namespaces.clear();
    return ReadNetwork(folder, namespaces);
  };
  std::vector<std::string> namespaces;
  const auto network = read(whole, namespaces);
  ASSERT_TRUE(network);
  EXPECT_EQ(network->host_link, info.network->host_link);
  EXPECT_EQ(namespaces, (std::vector<std::string>{info.network->bridge, info.regions[0].netns, info.regions[1].netns}));
  EXPECT_FALSE(read(MarkerText(nullptr), namespaces)) << "a lab on loopback";
  for (std::size_t size = 0; size + 1 < whole.size(); ++size) EXPECT_FALSE(read(whole.substr(0, size), namespaces)) << size;
  fs::remove_all(folder);
}

TEST(Network, NamesThatAreNotOursAreNeverRemoved) {
  LabNetwork network = NameNetwork("10.177.9");
  network.host_link = "lo";  // somebody wrote into the marker
  EXPECT_TRUE(RemoveNetwork(network, {"production", "../../tmp/x", "lifeboat-/../x"}));
  EXPECT_TRUE(fs::exists("/sys/class/net/lo"));
}

}  // namespace
}  // namespace lifeboat::lab
