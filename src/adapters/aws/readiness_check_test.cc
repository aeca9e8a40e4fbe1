// What `lifeboat check` says of a database that AWS runs, of secrets, of credentials, and of who would have to answer. Each line is
// shown once as it is well and once as it fails.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/aws/credential_check.h"
#include "adapters/aws/database_check.h"
#include "adapters/aws/dependence.h"
#include "adapters/aws/secret_check.h"
#include "adapters/aws/test_support.h"

namespace lifeboat::aws {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using testing::FakeAws;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Said;
using testing::Seen;
using ::testing::StartsWith;

const RegionName kOne("eu-west-1");
const RegionName kTwo("eu-central-1");
const std::string kKeyOne = "arn:aws:kms:eu-west-1:1:key/a";
const std::string kKeyTwo = "arn:aws:kms:eu-central-1:1:key/b";

std::vector<std::string> WordsOf(const std::vector<Readiness>& lines) {
  std::vector<std::string> words;
  for (const Readiness& line : lines) {
    words.push_back(line.level + ": " + line.what);
    EXPECT_EQ(line.hint.empty(), line.level == "ok") << line.what;  // whoever is told of a fault is told what to do
  }
  return words;
}

template <typename T>
Looked<T> Known(T value) {
  Looked<T> looked;
  looked.value = std::move(value);
  return looked;
}
template <typename T>
Looked<T> Blind(bool denied) {
  Looked<T> looked;
  looked.problem = denied ? "'AccessDenied'" : "no answer within 10 s";
  looked.denied = denied;
  return looked;
}

rds::DbInstance Instance(const std::string& instance_class, const std::string& status = "available") {
  rds::DbInstance instance;
  instance.id = "i";
  instance.instance_class = instance_class;
  instance.status = status;
  return instance;
}

DatabaseFacts Facts(const RegionName& region) {
  DatabaseFacts facts;
  facts.region = region;
  facts.id = region == kOne ? "orders-1" : "orders-2";
  facts.instances = Known(std::vector<rds::DbInstance>{Instance("db.r6g.large"), Instance("db.r6g.2xlarge")});
  facts.serverless_most = Known(0.0);
  facts.kms_key = Known(std::string(region == kOne ? kKeyOne : kKeyTwo));
  facts.key_state = Known(std::string("Enabled"));
  facts.instance_quota = Known(40.0);
  facts.cluster_quota = Known(40.0);
  facts.maintenance = Known(std::vector<std::string>());
  facts.events = Known(std::size_t{3});
  return facts;
}

/// Both regions well, then changed by `spoil`.
std::vector<std::string> Spoilt(const std::function<void(DatabaseFacts& one, DatabaseFacts& two)>& spoil,
                                AwsDatabaseKind kind = AwsDatabaseKind::kAuroraGlobal, const RegionName& writer = kOne) {
  std::vector<DatabaseFacts> facts{Facts(kOne), Facts(kTwo)};
  spoil(facts[0], facts[1]);
  return WordsOf(DatabaseLines(kind, writer, facts));
}

TEST(DatabaseReadiness, AllIsWellWithItsNumbers) {
  const auto words = Spoilt([](DatabaseFacts&, DatabaseFacts&) {});
  EXPECT_THAT(words, Each(StartsWith("ok: ")));
  EXPECT_THAT(
      words,
      Contains(HasSubstr(
          "the largest of 2 instance(s) of 'orders-2' in 'eu-central-1' is 'db.r6g.2xlarge', the writer's 'db.r6g.2xlarge'")));
  EXPECT_THAT(words, Contains(HasSubstr("quota of RDS (DB instances) is 40 in 'eu-central-1' and 40 in 'eu-west-1'")));
  EXPECT_THAT(words, Contains(HasSubstr("'eu-west-1' (3 in the last hour)")));
  EXPECT_THAT(words, Contains(HasSubstr("no maintenance waits in 2 regions")));
}

TEST(DatabaseReadiness, SmallerMachinesAreAFault) {
  EXPECT_THAT(Spoilt([](DatabaseFacts&, DatabaseFacts& two) {
                two.instances = Known(std::vector<rds::DbInstance>{Instance("db.r6g.xlarge")});
              }),
              Contains(AllOf(StartsWith("fault: "), HasSubstr("is 'db.r6g.xlarge', the writer's 'db.r6g.2xlarge'"))));
  EXPECT_THAT(Spoilt([](DatabaseFacts&, DatabaseFacts& two) {
                two.instances = Known(std::vector<rds::DbInstance>{Instance("db.r6g.4xlarge", "creating")});
              }),
              Contains("fault: instance 'i' of 'orders-2' in 'eu-central-1' is 'creating'"));
  EXPECT_THAT(Spoilt([](DatabaseFacts&, DatabaseFacts& two) {
                two.instances = Known(std::vector<rds::DbInstance>{Instance("db.x9.metal")});
              }),
              Contains(AllOf(StartsWith("unknown: "), HasSubstr("which is larger is not known here"))));
  EXPECT_THAT(Spoilt([](DatabaseFacts& one, DatabaseFacts& two) {
                one.instances = Known(std::vector<rds::DbInstance>{Instance("db.serverless")});
                two.instances = one.instances;
                one.serverless_most = Known(64.0);
                two.serverless_most = Known(8.0);
              }),
              Contains("fault: 'orders-2' in 'eu-central-1' may grow to 8 capacity units, the writer to 64"));
  for (const bool denied : {false, true}) {
    EXPECT_THAT(Spoilt([denied](DatabaseFacts& one, DatabaseFacts& two) {
                  one.instances = Known(std::vector<rds::DbInstance>{Instance("db.serverless")});
                  two.instances = one.instances;
                  one.serverless_most = Blind<double>(denied);
                  two.serverless_most = Blind<double>(denied);
                }),
                Contains(AllOf(StartsWith(denied ? "fault: " : "unknown: "), HasSubstr("may grow could not be compared"))));
  }
  EXPECT_THAT(Spoilt([](DatabaseFacts& one, DatabaseFacts&) { one.instances = Blind<std::vector<rds::DbInstance>>(false); }),
              Contains(AllOf(StartsWith("unknown: "), HasSubstr("would have to carry is not known"))));
  EXPECT_THAT(Spoilt([](DatabaseFacts&, DatabaseFacts&) {}, AwsDatabaseKind::kAuroraGlobal, RegionName()),
              Contains(AllOf(StartsWith("unknown: "), HasSubstr("it is not known where that is"))));
  EXPECT_EQ(SizeOfClass("db.t4g.medium"), 4u);
  EXPECT_EQ(SizeOfClass("db.r6g.large"), 8u);
  EXPECT_EQ(SizeOfClass("db.r6g.12xlarge"), 192u);
  EXPECT_EQ(SizeOfClass("db.serverless"), std::nullopt);
  EXPECT_EQ(SizeOfClass(""), std::nullopt);
}

TEST(DatabaseReadiness, AKeyThatCouldNotBeUsedIsAFault) {
  EXPECT_THAT(Spoilt([](DatabaseFacts&, DatabaseFacts& two) { two.key_state = Known(std::string("PendingDeletion")); }),
              Contains(AllOf(StartsWith("fault: "), HasSubstr("is 'PendingDeletion': the database could not be opened"))));
  EXPECT_THAT(Spoilt([](DatabaseFacts&, DatabaseFacts& two) { two.kms_key = Known(std::string(kKeyOne)); }),
              Contains(AllOf(StartsWith("fault: "), HasSubstr("is of 'eu-west-1'"))));
  EXPECT_THAT(Spoilt([](DatabaseFacts&, DatabaseFacts& two) { two.kms_key = Blind<std::string>(false); }),
              Contains(AllOf(StartsWith("unknown: "), HasSubstr("by which key, is not known"))));
  EXPECT_THAT(Spoilt([](DatabaseFacts&, DatabaseFacts& two) { two.key_state = Blind<std::string>(false); }),
              Contains(StartsWith("unknown: KMS key")));
  EXPECT_THAT(Spoilt([](DatabaseFacts&, DatabaseFacts& two) { two.key_state = Blind<std::string>(true); }),
              Contains(StartsWith("fault: KMS key")));
}

TEST(DatabaseReadiness, QuotasMaintenanceAndEventsFailByNumbersAndAreUnknownWhereNotSeen) {
  EXPECT_THAT(Spoilt([](DatabaseFacts&, DatabaseFacts& two) { two.instance_quota = Known(10.0); }),
              Contains("fault: quota of RDS (DB instances) is 10 in 'eu-central-1' and 40 in 'eu-west-1'"));
  EXPECT_THAT(Spoilt([](DatabaseFacts& one, DatabaseFacts&) { one.cluster_quota = Blind<double>(false); }),
              Contains(AllOf(StartsWith("unknown: "), HasSubstr("(DB clusters) of 'eu-west-1' could not be read"))));
  EXPECT_THAT(
      Spoilt([](DatabaseFacts&, DatabaseFacts& two) { two.maintenance = Known(std::vector<std::string>{"system-update"}); }),
      Contains(AllOf(StartsWith("fault: maintenance waits for 'orders-2' (system-update) and not for 'orders-1'"),
                     HasSubstr("Aurora refuses"))));
  EXPECT_THAT(Spoilt([](DatabaseFacts& one, DatabaseFacts& two) {
                one.maintenance = Known(std::vector<std::string>{"system-update"});
                two.maintenance = one.maintenance;
              }),
              Contains(StartsWith("ok: maintenance waits alike")));
  EXPECT_THAT(Spoilt([](DatabaseFacts&, DatabaseFacts& two) { two.maintenance = Blind<std::vector<std::string>>(false); }),
              Contains(AllOf(StartsWith("unknown: "), HasSubstr("what maintenance waits"))));
  EXPECT_THAT(Spoilt([](DatabaseFacts&, DatabaseFacts& two) { two.events = Blind<std::size_t>(true); }),
              Contains(AllOf(StartsWith("fault: "), HasSubstr("nobody would know whether AWS blocked the old writer"))));
  EXPECT_THAT(Spoilt([](DatabaseFacts&, DatabaseFacts& two) { two.events = Blind<std::size_t>(false); }),
              Contains(StartsWith("unknown: RDS's events")));
}

TEST(DatabaseReadiness, ARegionThatIsSilentCostsItsOwnLinesAndAllAreAskedAtOnce) {
  FakeAws aws;
  aws.answer = [](const Seen& seen) {
    if (seen.region == kTwo.text) return FakeAws::Silence();
    return FakeAws::QueryError(403, "AccessDenied");
  };
  const auto client = aws.MakeClient();
  AwsDatabaseSettings settings;
  settings.members = {{kOne, "arn:aws:rds:eu-west-1:1:cluster:orders-1"}, {kTwo, "arn:aws:rds:eu-central-1:1:cluster:orders-2"}};
  const auto words = WordsOf(aws.Run(CheckManagedDatabase(*client, settings, kOne, aws.clock, 20s)));
  EXPECT_THAT(words, Contains(AllOf(StartsWith("fault: RDS's events in 'eu-west-1' could not be read"))));
  EXPECT_THAT(words, Contains(StartsWith("unknown: RDS's events in 'eu-central-1' could not be read")));
  EXPECT_THAT(words, Not(Contains(StartsWith("ok: "))));
}

// ---- secrets ----

SecretLook Good(const RegionName& region) {
  SecretLook look;
  look.secret.emplace();
  look.secret->arn = "arn:aws:secretsmanager:" + region.text + ":1:secret:orders/db-abc";
  look.secret->primary_region = kOne.text;
  look.secret->current_version = "v2";
  look.secret->kms_key = region == kOne ? kKeyOne : kKeyTwo;
  look.key_state = "Enabled";
  if (region == kOne) look.secret->replicas = {{kTwo.text, "InSync"}};
  return look;
}

std::vector<std::string> SecretSpoilt(const std::function<void(SecretLook& one, SecretLook& two)>& spoil) {
  std::map<RegionName, SecretLook> looks{{kOne, Good(kOne)}, {kTwo, Good(kTwo)}};
  spoil(looks[kOne], looks[kTwo]);
  return WordsOf(SecretLines("orders/db", looks));
}

TEST(SecretReadiness, ASecretStandsEverywhereWithTheSameVersionOrThatIsSaid) {
  EXPECT_THAT(SecretSpoilt([](SecretLook&, SecretLook&) {}),
              ElementsAre("ok: secret 'orders/db' stands in 2 regions, with the same current version"));
  const auto fault = [](const std::string& words) { return ElementsAre(AllOf(StartsWith("fault: "), HasSubstr(words))); };
  EXPECT_THAT(SecretSpoilt([](SecretLook&, SecretLook& two) { two = SecretLook{{}, true, false, "", "", ""}; }),
              fault("in 'eu-central-1' is not there"));
  EXPECT_THAT(SecretSpoilt([](SecretLook&, SecretLook& two) { two.secret->current_version = "v1"; }),
              fault("has different current versions"));
  EXPECT_THAT(SecretSpoilt([](SecretLook&, SecretLook& two) { two.secret->deleted = true; }), fault("is being deleted"));
  EXPECT_THAT(SecretSpoilt([](SecretLook& one, SecretLook&) { one.secret->replicas[kTwo.text] = "Failed"; }),
              fault("in 'eu-central-1' is 'Failed'"));
  EXPECT_THAT(SecretSpoilt([](SecretLook&, SecretLook& two) { two.secret->primary_region.clear(); }),
              fault("is replicated with no other region"));
  EXPECT_THAT(SecretSpoilt([](SecretLook&, SecretLook& two) { two.secret->kms_key = kKeyOne; }),
              fault("under a KMS key of 'eu-west-1'"));
  EXPECT_THAT(SecretSpoilt([](SecretLook&, SecretLook& two) { two.key_state = "Disabled"; }), fault("is 'Disabled'"));
  EXPECT_THAT(SecretSpoilt([](SecretLook&, SecretLook& two) { two = SecretLook{{}, false, true, "no", "", ""}; }),
              fault("could not be looked at: no"));
  EXPECT_THAT(SecretSpoilt([](SecretLook&, SecretLook& two) { two = SecretLook{{}, false, false, "silent", "", ""}; }),
              ElementsAre(StartsWith("unknown: ")));
}

TEST(SecretReadiness, ASecretIsLookedAtAndNeverRead) {
  FakeAws aws;
  aws.answer = [](const Seen& seen) {
    if (seen.operation == "DescribeKey") return Said{200, R"({"KeyMetadata":{"Arn":"a","KeyState":"Enabled"}})", {}, {}};
    if (seen.region == kTwo.text) return Said{400, R"({"__type":"ResourceNotFoundException","Message":"no"})", {}, {}};
    return Said{
        200,
        R"({"ARN":"arn:aws:secretsmanager:eu-west-1:1:secret:orders/db-abc","KmsKeyId":"arn:aws:kms:eu-west-1:1:key/a","PrimaryRegion":"eu-west-1",)"
        R"("VersionIdsToStages":{"v1":["AWSPREVIOUS"],"v2":["AWSCURRENT"]},"ReplicationStatus":[{"Region":"eu-central-1","Status":"InSync"}]})",
        {},
        {}};
  };
  const auto client = aws.MakeClient();
  const auto words = WordsOf(aws.Run(CheckSecrets(*client, {{"orders/db"}}, {kOne, kTwo}, aws.clock, 20s)));
  EXPECT_THAT(words, ElementsAre(HasSubstr("in 'eu-central-1' is not there")));
  EXPECT_EQ(aws.CountOf("GetSecretValue"), 0u);
  EXPECT_EQ(aws.CountOf("DescribeSecret"), 2u);
}

// ---- credentials ----

std::vector<std::string> CredentialWords(const Credentials& credentials, const CredentialView& view) {
  return WordsOf(CredentialLines(credentials, view, WallTime{1'000'000'000'000'000}));
}

TEST(CredentialReadiness, WhatRenewingThemNeedsIsSaid) {
  Credentials role;
  role.source = "role 'arn:aws:iam::1:role/lifeboat'";
  role.session_token = lifeboat::Secret("t");
  role.expires = WallTime{1'000'000'000'000'000 + Duration(40min).count()};
  CredentialView view{kTwo.text, {kOne.text, kTwo.text}, kTwo.text, "https://sts.eu-central-1.amazonaws.com"};
  EXPECT_THAT(CredentialWords(role, view),
              ElementsAre(AllOf(StartsWith("ok: "), HasSubstr("end in 40 min")),
                          "ok: roles are taken at 'https://sts.eu-central-1.amazonaws.com', in 'eu-central-1'"));
  // The global endpoint is us-east-1; another data region may be the one that is lost.
  view.sts_url = "https://sts.amazonaws.com";
  EXPECT_THAT(CredentialWords(role, view),
              Contains(AllOf(StartsWith("fault: "), HasSubstr("the global endpoint, which is us-east-1"))));
  view.sts_url = "https://sts.eu-west-1.amazonaws.com";
  EXPECT_THAT(
      CredentialWords(role, view),
      Contains(AllOf(StartsWith("fault: "), HasSubstr("with 'eu-west-1' lost this agent's credentials could not be renewed"))));
  view = {"", {kOne.text, kTwo.text}, kOne.text, "https://vpce-1.sts.eu-west-1.vpce.amazonaws.com"};  // a witness outside of AWS
  EXPECT_THAT(CredentialWords(role, view), Contains(StartsWith("fault: ")));
  view.sts_region = "eu-west-2";
  view.sts_url = "https://sts.eu-west-2.amazonaws.com";
  EXPECT_THAT(CredentialWords(role, view), Each(StartsWith("ok: ")));
  view.sts_url.clear();
  EXPECT_THAT(CredentialWords(role, view), Contains(StartsWith("unknown: ")));
}

TEST(CredentialReadiness, KeysThatEndUnseenAreAFaultAndThoseThatDoNotEndAreNone) {
  const CredentialView view{kTwo.text, {kOne.text, kTwo.text}, kTwo.text, "https://sts.amazonaws.com"};
  Credentials keys;
  keys.source = "environment";
  EXPECT_THAT(CredentialWords(keys, view),
              ElementsAre(AllOf(StartsWith("ok: "), HasSubstr("do not end"))));  // STS is not asked for them
  keys.session_token = lifeboat::Secret("t");
  EXPECT_THAT(CredentialWords(keys, view), ElementsAre(AllOf(StartsWith("fault: "), HasSubstr("nobody knows when"))));
  keys.expires = WallTime{1'000'000'000'000'000 - Duration(5min).count()};
  EXPECT_THAT(CredentialWords(keys, view), ElementsAre(AllOf(StartsWith("fault: "), HasSubstr("ended 5 min 0 s ago"))));
}

TEST(CredentialReadiness, OnlyNamesOfAwssRegionsAreAskedForATokenService) {
  for (const char* region : {"eu-west-1", "us-gov-west-1", "ap-northeast-3", "eusc-de-east-1", "cn-north-1"})
    EXPECT_TRUE(IsAwsRegion(region)) << region;
  for (const char* region : {"witness", "", "eu-west", "1", "-1", "witness-1"}) EXPECT_FALSE(IsAwsRegion(region)) << region;
  const Environment nothing = [](const std::string&) -> std::optional<std::string> { return std::nullopt; };
  const Environment west = [](const std::string& name) -> std::optional<std::string> {
    return name == "AWS_REGION" ? std::optional<std::string>("eu-west-2") : std::nullopt;
  };
  EXPECT_EQ(StsRegionFor("eu-west-1", west), "eu-west-1");
  EXPECT_EQ(StsRegionFor("witness", west), "eu-west-2");
  EXPECT_EQ(StsRegionFor("witness", nothing), "");
}

// ---- who would have to answer ----

Settings Orders() {
  Settings settings;
  settings.service = "orders";
  for (const RegionName& name : {kOne, kTwo, RegionName("eu-west-2")}) {
    RegionSettings region;
    region.name = name;
    region.kind = name == RegionName("eu-west-2") ? RegionKind::kWitness : RegionKind::kData;
    settings.regions.push_back(region);
  }
  settings.store.kind = StoreKind::kDynamoDb;
  settings.store.aws_regions = {kOne.text, kTwo.text};
  settings.aws.emplace();
  settings.aws->database.emplace();
  settings.aws->traffic.emplace();
  return settings;
}

TEST(Dependence, AFailoverThatNeedsNothingOfTheLostRegionIsSaidWithWhatItAsks) {
  const auto words = WordsOf(DependenceLines(Orders()));
  EXPECT_THAT(
      words,
      ElementsAre(HasSubstr("ok: with 'eu-west-1' lost, a failover to 'eu-central-1' asks DynamoDB in 'eu-central-1', RDS and "
                            "CloudWatch in 'eu-central-1', S3 in "
                            "'eu-central-1' and the zone's name servers; nothing of 'eu-west-1', and nothing of 'us-east-1'"),
                  HasSubstr("ok: with 'eu-central-1' lost, a failover to 'eu-west-1'")));
}

TEST(Dependence, APartThatStandsInTheLostRegionAloneOrInUsEast1IsAFault) {
  const auto fault = [](const std::string& words) { return Contains(AllOf(StartsWith("fault: "), HasSubstr(words))); };
  Settings settings = Orders();
  settings.store.aws_regions = {kOne.text};
  EXPECT_THAT(WordsOf(DependenceLines(settings)),
              fault("with 'eu-west-1' lost, a failover to 'eu-central-1' would need it: the store's table is there alone"));
  settings = Orders();
  settings.store.kind = StoreKind::kEmbedded;
  settings.store.host = kOne;
  EXPECT_THAT(WordsOf(DependenceLines(settings)), fault("the store is hosted there alone"));
  settings = Orders();
  settings.aws->traffic->kind = AwsTrafficKind::kRecords;
  EXPECT_THAT(WordsOf(DependenceLines(settings)),
              fault("is changed through 'us-east-1', which has to answer whatever region is lost"));
  settings = Orders();
  settings.aws->hooks = {
      {"drain", "before-promote", {{kOne, "drain"}, {kTwo, "arn:aws:lambda:eu-west-1:1:function:drain"}}, true, 10s}};
  EXPECT_THAT(WordsOf(DependenceLines(settings)),
              fault("the function of hook 'drain' is 'arn:aws:lambda:eu-west-1:1:function:drain'"));
  settings.aws->hooks[0].required = false;
  EXPECT_THAT(WordsOf(DependenceLines(settings)), Each(StartsWith("ok: ")));
  settings = Orders();
  AwsComputeSettings compute;
  compute.name = "web";
  compute.target_groups = {{kTwo, "arn:aws:elasticloadbalancing:us-west-2:1:targetgroup/x"}};
  settings.aws->compute = {compute};
  EXPECT_THAT(WordsOf(DependenceLines(settings)), fault("target group of compute 'web' is of 'us-west-2'"));
}

}  // namespace
}  // namespace lifeboat::aws
