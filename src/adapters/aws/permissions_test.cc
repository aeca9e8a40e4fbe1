#include "adapters/aws/permissions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "adapters/aws/permission_check.h"
#include "adapters/aws/test_support.h"

namespace lifeboat::aws {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using testing::FakeAws;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Said;
using testing::Seen;

const std::filesystem::path kRoot = std::filesystem::path(LIFEBOAT_FIXTURES).parent_path().parent_path();
constexpr const char* kBegin = "<!-- permissions: written by PermissionTable(), see src/adapters/aws/permissions.cc -->\n";
constexpr const char* kEnd = "<!-- end of permissions -->";

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

bool Regenerate() { return std::getenv("LIFEBOAT_REGENERATE") != nullptr; }

TEST(Permissions, TheTableOfTheDocumentationIsThisList) {
  const std::filesystem::path file = kRoot / "docs/aws.md";
  std::string text = ReadFile(file);
  const std::size_t begin = text.find(kBegin);
  const std::size_t end = text.find(kEnd);
  ASSERT_NE(begin, std::string::npos) << "docs/aws.md has lost its mark";
  ASSERT_NE(end, std::string::npos);
  const std::size_t from = begin + std::string_view(kBegin).size();
  const std::string table = "\n" + PermissionTable() + "\n";
  if (Regenerate()) {
    text.replace(from, end - from, table);
    std::ofstream(file) << text;
    return;
  }
  EXPECT_EQ(text.substr(from, end - from), table) << "write it again: LIFEBOAT_REGENERATE=1 and this test";
}

TEST(Permissions, ThePoliciesThatAreShippedAreThisList) {
  for (const auto& [name, content] : PolicyFiles()) {
    const std::filesystem::path file = kRoot / "deploy/aws" / name;
    if (Regenerate()) {
      std::filesystem::create_directories(file.parent_path());
      std::ofstream(file) << content;
      continue;
    }
    EXPECT_EQ(ReadFile(file), content) << file << ": write it again: LIFEBOAT_REGENERATE=1 and this test";
  }
}

TEST(Permissions, NothingIsListedTwiceAndNothingIsAllowedByAWildcardOfActions) {
  std::set<std::pair<PermissionPart, std::string_view>> seen;
  for (const Permission& each : AllPermissions()) {
    EXPECT_TRUE(seen.emplace(each.part, each.action).second) << each.action;
    EXPECT_EQ(each.action.find('*'), std::string_view::npos) << each.action;
    EXPECT_FALSE(each.why.empty()) << each.action;
    EXPECT_FALSE(each.resources.empty()) << each.action;
  }
}

TEST(Permissions, DatabasesAreDeletedUnderNamesOfOursAlone) {
  std::size_t deletions = 0;
  for (const Permission& each : AllPermissions()) {
    if (!each.action.starts_with("rds:Delete")) continue;
    ++deletions;
    EXPECT_EQ(each.part, PermissionPart::kSnapshotDrill);
    EXPECT_TRUE(each.resources.ends_with(":lifeboat-verify-*")) << each.resources;
  }
  EXPECT_EQ(deletions, 2u);
  EXPECT_THAT(PolicyFiles().at("agent-policy.json"), ::testing::Not(HasSubstr("rds:Delete")));
}

Settings Orders() {
  Settings settings;
  settings.service = "orders";
  for (const char* name : {"eu-west-1", "eu-central-1"}) {
    RegionSettings region;
    region.name = RegionName(name);
    settings.regions.push_back(region);
  }
  settings.aws.emplace();
  settings.aws->database.emplace();
  settings.aws->database->global_cluster = "orders";
  settings.aws->database->members = {{RegionName("eu-west-1"), "arn:aws:rds:eu-west-1:123456789012:cluster:orders-1"},
                                     {RegionName("eu-central-1"), "arn:aws:rds:eu-central-1:123456789012:cluster:orders-2"}};
  return settings;
}

TEST(Permissions, AServiceNeedsWhatItUsesOnWhatItNames) {
  Settings settings = Orders();
  settings.aws->traffic.emplace();
  settings.aws->traffic->zone = "Z1";
  settings.aws->traffic->markers = {{RegionName("eu-central-1"), "s3://orders-two/take/over"}};
  PermissionScope scope = ScopeOf(settings, "123456789012");
  scope.values["partition"] = {"aws"};
  EXPECT_THAT(scope.parts, ElementsAre(PermissionPart::kAurora, PermissionPart::kStandbyTakesOver, PermissionPart::kCheck));
  for (const Permission& each : AllPermissions()) {
    const std::vector<std::string> resources = ResourcesOf(each, scope);
    if (each.part == PermissionPart::kStandbyTakesOver && each.action == "s3:PutObject") {
      EXPECT_THAT(resources, ElementsAre("arn:aws:s3:::orders-two/take/over"));
    }
    if (each.part == PermissionPart::kAurora && each.action == "rds:FailoverGlobalCluster") {
      EXPECT_THAT(resources, Contains("arn:aws:rds:eu-central-1:123456789012:cluster:orders-2"));
    }
    if (each.part == PermissionPart::kRoutingControl && each.action.ends_with("UpdateRoutingControlStates")) {
      EXPECT_THAT(resources, IsEmpty());
    }
  }
}

TEST(Permissions, TheRoleOfASessionIsFoundAndNobodyElseIsTakenForOne) {
  EXPECT_EQ(PrincipalOf("arn:aws:sts::123456789012:assumed-role/lifeboat/i-0123"), "arn:aws:iam::123456789012:role/lifeboat");
  EXPECT_EQ(PrincipalOf("arn:aws-cn:sts::123456789012:assumed-role/lifeboat/x"), "arn:aws-cn:iam::123456789012:role/lifeboat");
  EXPECT_EQ(PrincipalOf("arn:aws:iam::123456789012:user/ops/ann"), "arn:aws:iam::123456789012:user/ops/ann");
  EXPECT_EQ(PrincipalOf("arn:aws:iam::123456789012:root"), "");
  EXPECT_EQ(PrincipalOf("arn:aws:sts::123456789012:federated-user/ann"), "");
}

/// IAM that says the same of everything, but of one action.
class FakeIam {
 public:
  FakeAws aws;
  std::string other_action;
  std::string other_decision = "allowed";
  std::string missing;
  bool may_ask = true;

  std::vector<Readiness> Check() {
    aws.answer = [this](const Seen& seen) { return Answer(seen); };
    const auto client = aws.MakeClient();
    const Settings settings = Orders();
    return aws.Run(CheckPermissions(*client, "eu-west-1", settings, 30s));
  }

 private:
  Said Answer(const Seen& seen) const {
    if (seen.operation == "GetCallerIdentity")
      return {200,
              "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:sts::123456789012:assumed-role/lifeboat/i-1</"
              "Arn><Account>123456789012</Account>"
              "</GetCallerIdentityResult></GetCallerIdentityResponse>",
              {},
              {}};
    if (!may_ask) return FakeAws::QueryError(403, "AccessDenied");
    EXPECT_EQ(seen.Form("PolicySourceArn"), "arn:aws:iam::123456789012:role/lifeboat");
    std::string results;
    for (int at = 1; !seen.Form("ActionNames.member." + std::to_string(at)).empty(); ++at) {
      const std::string action = seen.Form("ActionNames.member." + std::to_string(at));
      const bool other = action == other_action;
      results += "<member><EvalActionName>" + action + "</EvalActionName><EvalResourceName>r</EvalResourceName><EvalDecision>" +
                 (other ? other_decision : "allowed") + "</EvalDecision><MissingContextValues>" +
                 (other && !missing.empty() ? "<member>" + missing + "</member>" : "") + "</MissingContextValues></member>";
    }
    return {200,
            "<SimulatePrincipalPolicyResponse><SimulatePrincipalPolicyResult><EvaluationResults>" + results +
                "</EvaluationResults><IsTruncated>false</IsTruncated></SimulatePrincipalPolicyResult></"
                "SimulatePrincipalPolicyResponse>",
            {},
            {}};
  }
};

std::size_t CountOf(const std::vector<Readiness>& lines, const std::string& level) {
  std::size_t count = 0;
  for (const Readiness& each : lines) count += each.level == level ? 1u : 0u;
  return count;
}

TEST(Permissions, WhatIsAllowedIsOneLineAPart) {
  FakeIam iam;
  const std::vector<Readiness> lines = iam.Check();
  EXPECT_EQ(CountOf(lines, "fault"), 0u);
  EXPECT_EQ(CountOf(lines, "unknown"), 0u);
  EXPECT_EQ(CountOf(lines, "ok"), 3u);  // who it is, Aurora, check
}

TEST(Permissions, ADeniedActionIsAFaultThatNamesItsStep) {
  FakeIam iam;
  iam.other_action = "rds:FailoverGlobalCluster";
  iam.other_decision = "implicitDeny";
  const std::vector<Readiness> lines = iam.Check();
  ASSERT_EQ(CountOf(lines, "fault"), 1u);
  for (const Readiness& each : lines) {
    if (each.level == "fault") {
      EXPECT_THAT(each.what, HasSubstr("may not do 'rds:FailoverGlobalCluster'"));
    }
  }
}

TEST(Permissions, ANoForWantOfContextIsNoAnswer) {
  FakeIam iam;
  iam.other_action = "rds:FailoverGlobalCluster";
  iam.other_decision = "implicitDeny";
  iam.missing = "aws:ResourceTag/team";
  const std::vector<Readiness> lines = iam.Check();
  EXPECT_EQ(CountOf(lines, "fault"), 0u);
  EXPECT_EQ(CountOf(lines, "unknown"), 1u);
}

TEST(Permissions, WhoeverMayNotAskKnowsNothingAndHarmsNothing) {
  FakeIam iam;
  iam.may_ask = false;
  const std::vector<Readiness> lines = iam.Check();
  EXPECT_EQ(CountOf(lines, "fault"), 0u);
  EXPECT_EQ(CountOf(lines, "unknown"), 1u);
  EXPECT_EQ(iam.aws.CountOf("SimulatePrincipalPolicy"), 1u);  // it is not asked again for each part
}

}  // namespace
}  // namespace lifeboat::aws
