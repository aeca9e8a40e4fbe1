#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/aws/credential_chain.h"
#include "adapters/aws/test_support.h"
#include "fakes/fake_files.h"

namespace lifeboat::aws {
namespace {

using lifeboat::testing::FakeFiles;
using testing::FakeAws;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Said;
using testing::Seen;

class CredentialsTest : public ::testing::Test {
 protected:
  CredentialDoors Doors() {
    Environment environment = [this](const std::string& name) -> std::optional<std::string> {
      const auto found = environment_.find(name);
      return found == environment_.end() ? std::nullopt : std::optional<std::string>(found->second);
    };
    return CredentialDoors{aws_.Doors(), files_, environment, ClientOptions{}};
  }
  Result<SharedCredentials> Find(CredentialOptions options = {}) {
    source_ = OpenCredentials(std::move(options), Doors());
    return aws_.Run(source_->Get(30s));
  }
  static Said StsKeys(const std::string& action, const std::string& key, const std::string& expires) {
    return Said{200,
                "<" + action + "Response><" + action + "Result><Credentials><AccessKeyId>" + key +
                    "</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>" + expires +
                    "</Expiration></Credentials></" + action + "Result></" + action + "Response>",
                {},
                {}};
  }
  static std::string Keys(const std::string& key, const std::string& expires) {
    return R"({"Code":"Success","AccessKeyId":")" + key + R"(","SecretAccessKey":"s","Token":"t","Expiration":")" + expires +
           R"("})";
  }

  FakeAws aws_;
  FakeFiles files_;
  std::map<std::string, std::string> environment_ = {{"HOME", "/home/x"}};
  std::shared_ptr<CredentialSource> source_;
};

TEST_F(CredentialsTest, TheEnvironmentComesFirst) {
  environment_["AWS_ACCESS_KEY_ID"] = "E";
  environment_["AWS_SECRET_ACCESS_KEY"] = "s";
  environment_["AWS_SESSION_TOKEN"] = "t";
  files_.content["/home/x/.aws/credentials"] = "[default]\naws_access_key_id = F\naws_secret_access_key = s\n";
  auto found = Find();
  ASSERT_TRUE(found.ok()) << found.error().Text();
  EXPECT_EQ((*found)->access_key_id, "E");
  EXPECT_EQ((*found)->session_token.Reveal(), "t");
  // A profile that is asked for by name is meant.
  CredentialOptions options;
  options.profile = "default";
  found = Find(options);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ((*found)->access_key_id, "F");
  environment_.erase("AWS_SECRET_ACCESS_KEY");
  EXPECT_EQ(Find().error().retry, Retry::kFail);  // half a key is a mistake, not an absence
  EXPECT_TRUE(aws_.seen.empty());
}

TEST_F(CredentialsTest, ARoleIsTakenThroughTheRegionsOwnTokenService) {
  environment_["AWS_PROFILE"] = "dr";
  environment_["AWS_REGION"] = "eu-west-1";
  files_.content["/home/x/.aws/config"] =
      "[profile dr]\nrole_arn = arn:aws:iam::2:role/dr\nsource_profile = base\nexternal_id = secret-handshake\nrole_session_name = "
      "me\n"
      "duration_seconds = 900\n";
  files_.content["/home/x/.aws/credentials"] = "[base]\naws_access_key_id = B\naws_secret_access_key = s\n";
  aws_.answer = [](const Seen&) { return StsKeys("AssumeRole", "R", "2026-11-23T12:46:22Z"); };
  const auto found = Find();
  ASSERT_TRUE(found.ok()) << found.error().Text();
  EXPECT_EQ((*found)->access_key_id, "R");
  ASSERT_EQ(aws_.seen.size(), 1u);
  EXPECT_EQ(aws_.seen[0].request.url, "https://sts.eu-west-1.amazonaws.com/");
  EXPECT_THAT(aws_.seen[0].Header("Authorization"), HasSubstr("Credential=B/"));
  EXPECT_EQ(aws_.seen[0].Form("ExternalId"), "secret-handshake");
  EXPECT_EQ(aws_.seen[0].Form("RoleSessionName"), "me");
  EXPECT_EQ(aws_.seen[0].Form("DurationSeconds"), "900");
}

TEST_F(CredentialsTest, WithoutARegionNoTokenServiceIsGuessed) {
  files_.content["/home/x/.aws/config"] = "[default]\nrole_arn = arn:r\ncredential_source = Environment\n";
  environment_["AWS_WEB_IDENTITY_TOKEN_FILE"] = "/t";
  CredentialOptions options;
  options.profile = "default";
  environment_["AWS_ACCESS_KEY_ID"] = "E";
  environment_["AWS_SECRET_ACCESS_KEY"] = "s";
  const auto found = Find(options);
  ASSERT_FALSE(found.ok());
  EXPECT_THAT(found.error().message, HasSubstr("no region is known"));
  EXPECT_TRUE(aws_.seen.empty());
}

TEST_F(CredentialsTest, RolesOfAnotherAccountAreTakenOneAfterTheOther) {
  environment_["AWS_ACCESS_KEY_ID"] = "E";
  environment_["AWS_SECRET_ACCESS_KEY"] = "s";
  aws_.answer = [](const Seen& seen) { return StsKeys("AssumeRole", "for-" + seen.Form("RoleArn"), "2026-11-23T12:46:22Z"); };
  CredentialOptions options;
  options.region = "eu-west-1";
  options.roles = {{"one", "", "", 3600}, {"two", "", "ext", 3600}};
  const auto found = Find(options);
  ASSERT_TRUE(found.ok()) << found.error().Text();
  EXPECT_EQ((*found)->access_key_id, "for-two");
  EXPECT_THAT(aws_.seen[0].Header("Authorization"), HasSubstr("Credential=E/"));
  EXPECT_THAT(aws_.seen[1].Header("Authorization"), HasSubstr("Credential=for-one/"));
}

TEST_F(CredentialsTest, AWebIdentityIsExchangedWithoutASignature) {
  environment_["AWS_WEB_IDENTITY_TOKEN_FILE"] = "/var/token";
  environment_["AWS_ROLE_ARN"] = "arn:w";
  environment_["AWS_REGION"] = "eu-west-1";
  files_.content["/var/token"] = "the-token\n";
  aws_.answer = [](const Seen&) { return StsKeys("AssumeRoleWithWebIdentity", "W", "2026-11-23T12:46:22Z"); };
  const auto found = Find();
  ASSERT_TRUE(found.ok()) << found.error().Text();
  EXPECT_EQ(aws_.seen[0].Header("Authorization"), "");
  EXPECT_EQ(aws_.seen[0].Form("WebIdentityToken"), "the-token");
}

TEST_F(CredentialsTest, AContainersEndpointIsAskedWithItsTokenAndOnlyWhereItMayBe) {
  environment_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://169.254.170.23/v1/credentials";
  environment_["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = "/var/pod-token";
  files_.content["/var/pod-token"] = "pod\n";
  aws_.answer = [](const Seen&) { return Said{200, Keys("C", "2026-11-23T12:46:22Z"), {}, {}}; };
  ASSERT_TRUE(Find().ok());
  EXPECT_EQ(aws_.seen[0].Header("Authorization"), "pod");
  for (const char* bad :
       {"http://169.254.170.23.evil.example/x", "http://example.com/x", "http://127.evil.example/", "http://localhost.evil/"}) {
    aws_.seen.clear();
    environment_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = bad;
    EXPECT_EQ(Find().error().retry, Retry::kFail) << bad;
    EXPECT_TRUE(aws_.seen.empty()) << bad;
  }
  environment_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://127.0.0.1:8080/x";
  EXPECT_TRUE(Find().ok());
  environment_["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/v2/credentials/id";
  aws_.seen.clear();
  ASSERT_TRUE(Find().ok());
  EXPECT_EQ(aws_.seen[0].request.url, "http://169.254.170.2/v2/credentials/id");
}

TEST_F(CredentialsTest, AnInstancesRoleIsReadByTheSecondVersionAlone) {
  aws_.answer = [](const Seen& seen) {
    if (seen.request.method == "PUT") return Said{200, "TOKEN", {}, {}};
    EXPECT_EQ(seen.Header("X-aws-ec2-metadata-token"), "TOKEN");
    if (seen.request.url.ends_with("/security-credentials/")) return Said{200, "db-role\n", {}, {}};
    return Said{200, Keys("I", "2026-11-23T12:46:22Z"), {}, {}};
  };
  const auto found = Find();
  ASSERT_TRUE(found.ok()) << found.error().Text();
  EXPECT_EQ((*found)->source, "instance role 'db-role'");
  EXPECT_EQ(aws_.seen[0].Header("X-aws-ec2-metadata-token-ttl-seconds"), "21600");
  EXPECT_EQ(aws_.seen[2].request.url, "http://169.254.169.254/latest/meta-data/iam/security-credentials/db-role");
  // No token: the version that would answer without one is not asked.
  aws_.seen.clear();
  aws_.answer = [](const Seen& seen) { return Said{seen.request.method == "PUT" ? 403 : 200, "db-role", {}, {}}; };
  EXPECT_FALSE(Find().ok());
  for (const Seen& seen : aws_.seen) EXPECT_EQ(seen.request.method, "PUT");
  environment_["AWS_EC2_METADATA_DISABLED"] = "true";
  EXPECT_EQ(Find().error().retry, Retry::kNotFound);
}

TEST_F(CredentialsTest, TheyAreRenewedBeforeTheirEndAndTheOldOnesServeOnWhileThatFails) {
  environment_["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/c";
  int number = 0;
  bool broken = false;
  aws_.answer = [&](const Seen&) {
    if (broken) return Said{500, "", {}, {}};
    ++number;
    return Said{200, Keys("C" + std::to_string(number), number == 1 ? "2026-11-23T12:46:22Z" : "2026-11-23T13:46:22Z"), {}, {}};
  };
  ASSERT_EQ((*Find())->access_key_id, "C1");
  const auto get = [&] { return aws_.Run(source_->Get(5s)); };
  aws_.clock.passed += 45min;
  EXPECT_EQ((*get())->access_key_id, "C1");
  EXPECT_EQ(number, 1);
  aws_.clock.passed += 6min;  // nine minutes before the end
  EXPECT_TRUE(get().ok());    // answered at once, the old ones or the new; the new ones come in the background
  ASSERT_TRUE(lifeboat::testing::RunUntil(aws_.context, [&] { return number == 2; }));
  EXPECT_EQ((*get())->access_key_id, "C2");
  broken = true;
  aws_.clock.passed += 2h;  // past their end
  EXPECT_EQ((*get())->access_key_id, "C2");
  // AWS says that they have ended: then there is nothing.
  source_->Reject(*get());
  EXPECT_FALSE(get().ok());
  broken = false;
  EXPECT_EQ((*get())->access_key_id, "C3");
}

TEST_F(CredentialsTest, ASourceThatHasNothingNewerYetIsNotAskedWithEveryCall) {
  environment_["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/c";
  int number = 0;
  aws_.answer = [&](const Seen&) { return Said{200, Keys("C" + std::to_string(++number), "2026-11-23T12:46:22Z"), {}, {}}; };
  ASSERT_TRUE(Find().ok());
  aws_.clock.passed += 53min;  // seven minutes before the end
  for (int call = 0; call < 50; ++call) {
    EXPECT_TRUE(aws_.Run(source_->Get(5s)).ok());
    aws_.context.restart();
    aws_.context.poll();
  }
  EXPECT_EQ(number, 2);
  aws_.clock.passed += 11s;
  EXPECT_TRUE(aws_.Run(source_->Get(5s)).ok());
  ASSERT_TRUE(lifeboat::testing::RunUntil(aws_.context, [&] { return number == 3; }));
}

TEST_F(CredentialsTest, KeysThatSomebodyRenewsInTheirFileAreReadAnewWhenTheOldOnesHaveEnded) {
  const std::string file = "/home/x/.aws/credentials";
  files_.content[file] = "[default]\naws_access_key_id = F1\naws_secret_access_key = s\naws_session_token = t\n";
  ASSERT_EQ((*Find())->access_key_id, "F1");
  files_.content[file] = "[default]\naws_access_key_id = F2\naws_secret_access_key = s\naws_session_token = t\n";
  EXPECT_EQ((*aws_.Run(source_->Get(5s)))->access_key_id, "F1");
  source_->Reject(*aws_.Run(source_->Get(5s)));  // AWS: ExpiredToken
  EXPECT_EQ((*aws_.Run(source_->Get(5s)))->access_key_id, "F2");
  // While the file is gone nobody else is taken in their place, though there would be somebody.
  files_.content.erase(file);
  aws_.answer = [](const Seen& seen) {
    return Said{200, seen.request.method == "PUT" ? "TOKEN" : Keys("I", "2026-11-23T12:46:22Z"), {}, {}};
  };
  source_->Reject(*aws_.Run(source_->Get(5s)));
  const auto gone = aws_.Run(source_->Get(5s));
  ASSERT_FALSE(gone.ok());
  EXPECT_EQ(gone.error().retry, Retry::kRetry);
  EXPECT_TRUE(aws_.seen.empty());
}

TEST_F(CredentialsTest, AnInstancesSilenceSaysWhatItMayComeFrom) {
  aws_.answer = [](const Seen&) { return FakeAws::Silence(); };
  const auto found = Find();
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().retry, Retry::kRetry);
  EXPECT_THAT(found.error().hint, HasSubstr("hop limit"));
}

TEST_F(CredentialsTest, ManyThatWaitAreServedByOneRequest) {
  environment_["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/c";
  aws_.answer = [](const Seen&) { return Said{200, Keys("C", "2026-11-23T12:46:22Z"), {}, {}}; };
  source_ = OpenCredentials({}, Doors());
  std::vector<lifeboat::testing::Outcome<Result<SharedCredentials>>> outcomes;
  for (int i = 0; i < 20; ++i) outcomes.push_back(lifeboat::testing::Start(aws_.context, source_->Get(5s)));
  for (auto& outcome : outcomes) EXPECT_TRUE(lifeboat::testing::Finish(aws_.context, outcome).ok());
  EXPECT_EQ(aws_.seen.size(), 1u);
}

TEST(SharedConfigFiles, AreReadAsTheVendorsToolsReadThem) {
  const SharedConfig config = ParseSharedConfig(
      "# comment\n[default]\nregion = us-east-1 ; inline\n[profile a b]\nrole_arn=arn:r\nsource_profile=base\n"
      "s3 =\n  max_concurrent_requests = 20\nendpoint_url = http://127.0.0.1:1\nservices = lab\n"
      "[services lab]\nrds =\n  endpoint_url = http://127.0.0.1:2\nnonsense =\n  endpoint_url = http://127.0.0.1:3\n",
      "[base]\r\naws_access_key_id = K\r\naws_secret_access_key = a#b=c\r\n");
  EXPECT_EQ(config.profiles.at("default").at("region"), "us-east-1");
  EXPECT_EQ(config.profiles.at("a b").at("s3.max_concurrent_requests"), "20");
  EXPECT_EQ(config.profiles.at("base").at("aws_secret_access_key"), "a#b=c");
  const auto found = CredentialsOfProfile(config, "a b");
  ASSERT_TRUE(found.ok()) << found.error().Text();
  EXPECT_EQ(found->access_key_id, "K");
  ASSERT_EQ(found->roles.size(), 1u);
  Endpoints endpoints;
  AddProfileEndpoints(config, "a b", endpoints);
  EXPECT_EQ(endpoints.Of("rds", "eu-west-1")->url, "http://127.0.0.1:2");
  EXPECT_EQ(endpoints.Of("sns", "eu-west-1")->url, "http://127.0.0.1:1");
}

TEST(SharedConfigFiles, CirclesAndHalvesAndWhatIsNotFollowedAreMistakes) {
  const auto judge = [](const char* text, const char* profile) {
    return CredentialsOfProfile(ParseSharedConfig(text, ""), profile).error();
  };
  EXPECT_EQ(judge("[profile a]\nrole_arn=r\nsource_profile=b\n[profile b]\nrole_arn=r\nsource_profile=a\n", "a").retry,
            Retry::kFail);
  EXPECT_EQ(judge("[profile a]\nrole_arn=r\nsource_profile=gone\n", "a").retry, Retry::kFail);
  EXPECT_EQ(judge("[profile a]\nrole_arn=r\n", "a").retry, Retry::kFail);
  EXPECT_EQ(judge("[profile a]\naws_access_key_id=k\n", "a").retry, Retry::kFail);
  EXPECT_EQ(judge("[profile a]\nsso_session=x\n", "a").retry, Retry::kFail);
  EXPECT_EQ(judge("[profile a]\nregion=x\n", "a").retry, Retry::kNotFound);
  EXPECT_EQ(judge("", "a").retry, Retry::kNotFound);
  // Its own keys, then its role.
  const auto self = CredentialsOfProfile(
      ParseSharedConfig("[profile a]\nrole_arn=r\nsource_profile=a\naws_access_key_id=k\naws_secret_access_key=s\n", ""), "a");
  ASSERT_TRUE(self.ok()) << self.error().Text();
  EXPECT_EQ(self->roles.size(), 1u);
}

}  // namespace
}  // namespace lifeboat::aws
