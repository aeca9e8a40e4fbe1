// Traffic through doubles of S3, ARC and name servers that do what their references say: who is asked, in which order, and what is
// left alone. With real emulators and a real DNS server: tests/integration/aws_traffic_test.cc.

#include "adapters/aws/traffic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/aws/test_support.h"
#include "adapters/aws/traffic_marker.h"

namespace lifeboat::aws {
namespace {

using ::testing::Contains;
using ::testing::Each;
using testing::FakeAws;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Said;
using testing::Seen;

const RegionName kFirst("eu-west-1");
const RegionName kSecond("us-west-2");
constexpr const char* kName = "orders-db.example.com.";
constexpr const char* kFirstTarget = "db.eu.example.net";
constexpr const char* kSecondTarget = "db.us.example.net";

/// Name servers that answer what a function says.
class FakeNames final : public NameServers {
 public:
  std::function<std::string(const Endpoint& server)> target;  ///< empty: no answer
  std::vector<Endpoint> servers{{"192.0.2.1", 53}, {"192.0.2.2", 53}};
  int looked_up = 0;
  bool resolvers_fail = false;
  Task<Result<std::vector<Endpoint>>> ServersOf(std::string /*name*/, Duration /*timeout*/) override {
    ++looked_up;
    if (resolvers_fail) co_return RetryLater("no resolver");
    co_return servers;
  }
  Task<Result<NameAnswer>> Ask(Endpoint server, std::string name, std::string type, Duration /*timeout*/) override {
    co_await boost::asio::post(boost::asio::use_awaitable);
    if (type == "TXT") co_return NameAnswer{};
    const std::string said = target(server);
    if (said.empty()) co_return RetryLater("no answer from '" + server.Text() + "' for '" + name + "'");
    co_return NameAnswer{true, {said + "."}, 60s};
  }
};

class TrafficUnderTest : public ::testing::Test {
 protected:
  std::unique_ptr<AwsTraffic> Open(const RegionName& own) {
    AwsTrafficOptions options;
    options.own = own;
    Result<std::unique_ptr<AwsTraffic>> traffic = OpenAwsTraffic(client_, names_, settings_, options, aws_.clock, Log());
    if (!traffic) throw std::runtime_error(traffic.error().Text());
    return std::move(*traffic);
  }
  Result<Unit> Point(AwsTraffic& traffic, const std::string& target, std::uint64_t epoch) {
    return aws_.Run(traffic.Point(target, Epoch{epoch}, 5min));
  }
  std::set<std::string> RegionsAsked() const {
    std::set<std::string> regions;
    for (const Seen& seen : aws_.seen) regions.insert(seen.region);
    return regions;
  }

  FakeAws aws_;
  std::shared_ptr<Client> client_ = aws_.MakeClient();
  std::shared_ptr<FakeNames> names_ = std::make_shared<FakeNames>();
  AwsTrafficSettings settings_;
};

// ---- standby takes over ----

/// Buckets with conditional writes, and Route 53 over inverted checks on what is in them.
class StandbyTest : public TrafficUnderTest {
 protected:
  StandbyTest() {
    settings_.zone = "Z1";
    settings_.name = kName;
    settings_.targets = {{kFirst, kFirstTarget}, {kSecond, kSecondTarget}};
    settings_.markers = {{kFirst, "s3://marks-eu/orders"}, {kSecond, "s3://marks-us/orders"}};
    aws_.answer = [this](const Seen& seen) { return Answer(seen); };
    names_->target = [this](const Endpoint&) {
      // docs/aws.md: healthy while the other has not taken over; all unhealthy is the primary.
      return Takes(kSecond) && !Takes(kFirst) ? kSecondTarget : kFirstTarget;
    };
  }
  bool Takes(const RegionName& region) const {
    const auto found = objects_.find(region.text);
    return !lost_.contains(region.text) && found != objects_.end() && found->second.first.find(kTakesOverWord) != std::string::npos;
  }
  Said Answer(const Seen& seen) {
    if (lost_.contains(seen.region)) return FakeAws::Silence();
    if (seen.service == "route53") return Said{200, zone_, {}, {}};
    const auto found = objects_.find(seen.region);
    if (seen.request.method == "GET") {
      if (found == objects_.end()) return Said{404, "<Error><Code>NoSuchKey</Code></Error>", {}, {}};
      return Said{200, found->second.first, {{"etag", found->second.second}}, {}};
    }
    if (before_put) std::exchange(before_put, nullptr)();
    const auto now = objects_.find(seen.region);
    const std::string match = seen.Header("If-Match");
    const std::string none_match = seen.Header("If-None-Match");
    const bool bound = !match.empty() || !none_match.empty();
    const bool holds = !bound || (now == objects_.end() ? none_match == "*" : match == now->second.second);
    if (!holds) return Said{412, "<Error><Code>PreconditionFailed</Code></Error>", {}, {}};
    Store(seen.region, seen.request.body);
    if (std::exchange(lose_answer, false)) return FakeAws::Silence();
    return Said{200, "", {{"etag", objects_[seen.region].second}}, {}};
  }
  void Store(const std::string& region, const std::string& body) {
    objects_[region] = {body, "\"" + std::to_string(++versions_) + "\""};
  }
  Marker Standing(const RegionName& region) { return *ParseMarker(objects_.at(region.text).first, kName, region); }
  std::string Answered() { return names_->target({}); }

  std::map<std::string, std::pair<std::string, std::string>> objects_;  // region → body and etag
  std::set<std::string> lost_;                                          // regions of which nothing answers, S3 included
  int versions_ = 0;
  std::function<void()> before_put;  // once
  bool lose_answer = false;
  std::string zone_ =
      "<ListResourceRecordSetsResponse><ResourceRecordSets><ResourceRecordSet><Name>orders-db.example.com.</Name><Type>CNAME</Type>"
      "<SetIdentifier>1</SetIdentifier><Failover>PRIMARY</Failover><TTL>60</TTL><ResourceRecords><ResourceRecord>"
      "<Value>db.eu.example.net.</Value></ResourceRecord></ResourceRecords></ResourceRecordSet></ResourceRecordSets>"
      "<IsTruncated>false</IsTruncated></ListResourceRecordSetsResponse>";
};

TEST_F(StandbyTest, TakingOverIsOneConditionalPutInTheRegionThatTakesOverAndNobodyElseIsAsked) {
  lost_ = {kFirst.text};
  const auto traffic = Open(kSecond);
  const auto pointed = Point(*traffic, kSecondTarget, 2);
  ASSERT_TRUE(pointed.ok()) << pointed.error().Text();
  EXPECT_EQ(Answered(), kSecondTarget);
  EXPECT_THAT(RegionsAsked(), ::testing::ElementsAre(kSecond.text)) << "not the region that is lost, and not us-east-1";
  EXPECT_EQ(aws_.seen.size(), 2u) << "a GET and a PUT";
  EXPECT_EQ(aws_.seen.at(1).Header("If-None-Match"), "*");
  EXPECT_EQ(Standing(kSecond), (Marker{true, kName, kSecond, kSecond, Epoch{2}}));
  const auto record = aws_.Run(traffic->Read(10s));
  ASSERT_TRUE(record.ok()) << record.error().Text();
  EXPECT_EQ(record->address, kSecondTarget);
  EXPECT_EQ(record->epoch, Epoch{2});
  EXPECT_EQ(record->ttl, 60s);
}

TEST_F(StandbyTest, ThereAndBackAndThereAgainWhicheverRegionIsLost) {
  const auto first = Open(kFirst);
  const auto second = Open(kSecond);
  ASSERT_TRUE(Point(*first, kFirstTarget, 1).ok());
  EXPECT_FALSE(Takes(kFirst)) << "it serves already: only its epoch is written";
  lost_ = {kFirst.text};
  ASSERT_TRUE(Point(*second, kSecondTarget, 2).ok());
  ASSERT_EQ(Answered(), kSecondTarget);
  // The first region comes back, and the second is lost, though its bucket is still seen by the health checks.
  lost_ = {};
  aws_.seen.clear();
  ASSERT_TRUE(Point(*first, kFirstTarget, 3).ok());
  EXPECT_THAT(RegionsAsked(), ::testing::ElementsAre(kFirst.text));
  EXPECT_EQ(Answered(), kFirstTarget) << "both have taken over: the primary is answered";
  EXPECT_TRUE(Takes(kFirst));
  EXPECT_TRUE(Takes(kSecond));
  // At leisure, once the second answers, both are put to rest: its own only when the checks must have seen the other's.
  const auto other = aws_.Run(first->Settle(30s));
  ASSERT_TRUE(other.ok()) << other.error().Text();
  EXPECT_EQ(*other, "the marker of 'us-west-2' rests under epoch '3'");
  EXPECT_TRUE(Takes(kFirst));
  aws_.clock.passed += 1min;
  EXPECT_EQ(*aws_.Run(first->Settle(30s)), "");
  EXPECT_TRUE(Takes(kFirst)) << "too early";
  aws_.clock.passed += 6min;
  EXPECT_EQ(*aws_.Run(first->Settle(30s)), "the marker of 'eu-west-1' rests again");
  EXPECT_FALSE(Takes(kFirst));
  EXPECT_EQ(Answered(), kFirstTarget);
  EXPECT_EQ(*aws_.Run(first->Settle(30s)), "");
  // And so the next failover finds them at rest.
  lost_ = {kFirst.text};
  ASSERT_TRUE(Point(*second, kSecondTarget, 4).ok());
  EXPECT_EQ(Answered(), kSecondTarget);
}

TEST_F(StandbyTest, TheSecondaryNeverPutsItsOwnMarkerToRestWhileItServes) {
  const auto second = Open(kSecond);
  ASSERT_TRUE(Point(*second, kSecondTarget, 2).ok());
  ASSERT_TRUE(aws_.Run(second->Settle(30s)).ok());
  EXPECT_EQ(Standing(kFirst), (Marker{false, kName, kFirst, kSecond, Epoch{2}})) << "so that a late writer there is refused";
  aws_.clock.passed += 1h;
  EXPECT_EQ(*aws_.Run(second->Settle(30s)), "");
  EXPECT_TRUE(Takes(kSecond));
  EXPECT_EQ(Answered(), kSecondTarget);
  const auto late = Point(*Open(kFirst), kFirstTarget, 1);
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().retry, Retry::kRefused);
  EXPECT_EQ(Answered(), kSecondTarget);
}

TEST_F(StandbyTest, SettlingStopsAtANewerEpoch) {
  const auto first = Open(kFirst);
  Store(kFirst.text, MarkerText(Marker{true, kName, kFirst, kFirst, Epoch{3}}));
  Store(kSecond.text, MarkerText(Marker{true, kName, kSecond, kSecond, Epoch{4}}));
  aws_.clock.passed += 1h;
  const auto settled = aws_.Run(first->Settle(30s));
  ASSERT_FALSE(settled.ok());
  EXPECT_EQ(settled.error().retry, Retry::kRefused);
  EXPECT_EQ(Standing(kSecond).epoch, Epoch{4});
  EXPECT_TRUE(Takes(kSecond));
}

TEST_F(StandbyTest, OfTwoWritersFromOneReadingOneIsTaken) {
  Store(kSecond.text, MarkerText(Marker{false, kName, kSecond, kFirst, Epoch{7}}));
  const auto late = Open(kSecond);
  // Between its look and its write, a newer primaryship is written by the other region's agent.
  const std::string newer = MarkerText(Marker{false, kName, kSecond, kFirst, Epoch{9}});
  before_put = [&] { Store(kSecond.text, newer); };
  const auto pointed = Point(*late, kSecondTarget, 8);
  ASSERT_FALSE(pointed.ok());
  EXPECT_EQ(pointed.error().retry, Retry::kRefused) << pointed.error().Text();
  EXPECT_EQ(objects_[kSecond.text].first, newer);
  EXPECT_EQ(Answered(), kFirstTarget);
}

TEST_F(StandbyTest, AWriteWhoseAnswerIsLostIsLookedUpAndNotMadeTwice) {
  lose_answer = true;
  const auto pointed = Point(*Open(kSecond), kSecondTarget, 2);
  ASSERT_TRUE(pointed.ok()) << pointed.error().Text();
  EXPECT_EQ(versions_, 1);
}

TEST_F(StandbyTest, AMarkerThatIsNotOursIsLeftAlone) {
  Store(kSecond.text, "<html>a page</html>");
  const auto pointed = Point(*Open(kSecond), kSecondTarget, 2);
  ASSERT_FALSE(pointed.ok());
  EXPECT_EQ(pointed.error().retry, Retry::kFail);
  EXPECT_EQ(objects_[kSecond.text].first, "<html>a page</html>");
}

TEST_F(StandbyTest, ItIsNotDoneWhileOneNameServerSendsClientsToTheOldRegion) {
  names_->target = [](const Endpoint& server) { return server.host == "192.0.2.2" ? kFirstTarget : kSecondTarget; };
  const auto pointed = Point(*Open(kSecond), kSecondTarget, 2);
  ASSERT_FALSE(pointed.ok());
  EXPECT_EQ(pointed.error().retry, Retry::kUnknownOutcome);
  EXPECT_THAT(pointed.error().message, HasSubstr("'192.0.2.2:53' answers 'db.eu.example.net.'"));
  names_->target = [](const Endpoint& server) { return server.host == "192.0.2.2" ? "" : kSecondTarget; };
  const auto silent = Point(*Open(kSecond), kSecondTarget, 2);
  ASSERT_FALSE(silent.ok());
  EXPECT_THAT(silent.error().message, HasSubstr("'192.0.2.2:53' does not answer"));
}

TEST_F(StandbyTest, OldNameServersServeOnWhenTheResolversFail) {
  const auto traffic = Open(kFirst);
  ASSERT_TRUE(aws_.Run(traffic->Read(10s)).ok());
  names_->resolvers_fail = true;
  aws_.clock.passed += 2h;
  EXPECT_TRUE(aws_.Run(traffic->Read(10s)).ok());
  EXPECT_EQ(names_->looked_up, 2);
}

TEST_F(StandbyTest, SettingsThatCannotWorkAreRefusedAtTheStart) {
  const auto refused = [this](const std::function<void(AwsTrafficSettings&)>& spoil) {
    AwsTrafficSettings settings = settings_;
    spoil(settings);
    return !OpenAwsTraffic(client_, names_, settings, {}, aws_.clock, Log()).ok();
  };
  EXPECT_TRUE(refused([](auto& s) { s.markers.erase(kFirst); }));
  EXPECT_TRUE(refused([](auto& s) { s.markers[kFirst] = "marks-eu/orders"; }));
  EXPECT_TRUE(refused([](auto& s) { s.targets[kFirst] = "DB.US.example.net."; })) << "the other's";
  EXPECT_TRUE(refused([](auto& s) { s.targets[kFirst] = "192.0.2.1"; })) << "no CNAME";
  EXPECT_TRUE(refused([](auto& s) { s.type = "A"; }));
  EXPECT_TRUE(refused([](auto& s) { s.name = "orders-db.example.com"; }));
  EXPECT_TRUE(refused([](auto& s) { s.kind = AwsTrafficKind::kRoutingControl; }));
  EXPECT_FALSE(refused([](auto& /*s*/) {}));
}

// ---- routing control ----

/// A cluster of five endpoints that agree; Route 53 answers the region whose control is on.
class ControlTest : public TrafficUnderTest {
 protected:
  ControlTest() {
    settings_.kind = AwsTrafficKind::kRoutingControl;
    settings_.zone = "Z1";
    settings_.name = kName;
    settings_.targets = {{kFirst, kFirstTarget}, {kSecond, kSecondTarget}};
    settings_.controls = {{kFirst, "arn:eu"}, {kSecond, "arn:us"}};
    for (const char* region : {"us-east-1", "us-west-2", "eu-west-1", "ap-northeast-1", "ap-southeast-2"}) {
      settings_.control_endpoints.push_back(std::string(region) + "=https://" + region + ".cluster.example.com/v1");
    }
    aws_.answer = [this](const Seen& seen) { return Answer(seen); };
    names_->target = [this](const Endpoint&) { return on_["arn:us"] && !on_["arn:eu"] ? kSecondTarget : kFirstTarget; };
  }
  Said Answer(const Seen& seen) {
    if (down_.contains(seen.region)) return FakeAws::NoConnection();
    if (seen.operation == "GetRoutingControlState") {
      const std::string arn = TextAt(seen.json, "RoutingControlArn");
      return Said{200, Json{{"RoutingControlArn", arn}, {"RoutingControlState", on_[arn] ? "On" : "Off"}}.dump(), {}, {}};
    }
    std::map<std::string, bool> after = on_;
    for (const Json& entry : MemberAt(seen.json, "UpdateRoutingControlStateEntries")) {
      after[TextAt(entry, "RoutingControlArn")] = TextAt(entry, "RoutingControlState") == "On";
    }
    if (!rule.empty()) return Said{409, Json{{"message", rule}}.dump(), {{"x-amzn-errortype", "ConflictException"}}, {}};
    on_ = after;
    if (std::exchange(lose_answer, false)) return FakeAws::Silence();
    return Said{200, "{}", {}, {}};
  }
  std::map<std::string, bool> on_{{"arn:eu", true}, {"arn:us", false}};
  std::set<std::string> down_;
  std::string rule;  // that forbids every change, in its words
  bool lose_answer = false;
};

TEST_F(ControlTest, TheTargetIsTurnedOnAndTheOtherOffInOneChangeWhicheverTwoEndpointsAreDown) {
  const auto traffic = Open(kSecond);
  down_ = {"us-east-1", "eu-west-1"};
  for (int round = 0; round < 8; ++round) {  // the order is drawn anew each time
    const bool there = round % 2 == 0;
    aws_.seen.clear();
    const auto pointed = Point(*traffic, there ? kSecondTarget : kFirstTarget, 2 + round);
    ASSERT_TRUE(pointed.ok()) << pointed.error().Text();
    EXPECT_EQ(on_, (std::map<std::string, bool>{{"arn:eu", !there}, {"arn:us", there}}));
    const Json entries = MemberAt(aws_.seen.back().json, "UpdateRoutingControlStateEntries");
    EXPECT_EQ(entries.size(), 2u);
    EXPECT_FALSE(aws_.seen.back().json.contains("SafetyRulesToOverride"));
    EXPECT_LE(aws_.seen.size(), 3u);
  }
  EXPECT_EQ(aws_.Run(traffic->Read(10s))->epoch, Epoch{9});
  const auto late = Point(*traffic, kSecondTarget, 8);
  EXPECT_EQ(late.error().retry, Retry::kRefused);
}

TEST_F(ControlTest, ASafetyRuleIsRespectedAndItsWordsAreShown) {
  rule = "Safety rule 'at-least-one-on' with ATLEAST 1 would not hold";
  const auto pointed = Point(*Open(kSecond), kSecondTarget, 2);
  ASSERT_FALSE(pointed.ok());
  EXPECT_EQ(pointed.error().retry, Retry::kRefused);
  EXPECT_THAT(pointed.error().message, HasSubstr(rule));
  EXPECT_EQ(aws_.CountOf("UpdateRoutingControlStates"), 1u) << "no endpoint is asked again";
  EXPECT_TRUE(on_["arn:eu"]);
}

TEST_F(ControlTest, AChangeWhoseAnswerIsLostIsMadeAgainAtTheNextEndpoint) {
  lose_answer = true;
  const auto pointed = Point(*Open(kSecond), kSecondTarget, 2);
  ASSERT_TRUE(pointed.ok()) << pointed.error().Text();
  EXPECT_TRUE(on_["arn:us"]);
}

}  // namespace
}  // namespace lifeboat::aws
