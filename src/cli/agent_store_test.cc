#include "cli/agent_store.h"

#include <gtest/gtest.h>

namespace lifeboat {
namespace {

TEST(AgentStore, TheTablesRoleIsRenewedWhereTheAgentIsAndNotInTheTablesFirstRegion) {
  StoreSettings store;
  store.aws_regions = {"eu-west-1", "eu-central-1"};
  std::map<std::string, std::string> variables;
  const aws::Environment environment = [&](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
  EXPECT_EQ(StsRegionOfTable(store, RegionName("eu-central-1"), environment), "eu-central-1");
  EXPECT_EQ(StsRegionOfTable(store, RegionName("eu-west-2"), environment), "eu-west-2");
  variables["AWS_REGION"] = "eu-north-1";
  EXPECT_EQ(StsRegionOfTable(store, RegionName("cellar"), environment), "eu-north-1");
  variables.clear();
  EXPECT_EQ(StsRegionOfTable(store, RegionName("cellar"), environment), "eu-west-1");  // nothing else is known
}

}  // namespace
}  // namespace lifeboat
