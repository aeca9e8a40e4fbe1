// What a DNS client gets when a region is lost: our doors over a road that misbehaves, an emulator's records, checks and buckets,
// Route 53's data plane as its documentation describes it, and a real DNS server. Routing control has no emulator:
// tests/aws/routing_control.py.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <thread>

#include "adapters/aws/traffic.h"
#include "adapters/aws/traffic_check.h"
#include "adapters/aws/traffic_marker.h"
#include "adapters/aws/xml.h"
#include "adapters/dns/dns_traffic.h"
#include "adapters/dns/name_servers.h"
#include "adapters/system/clock.h"
#include "support/aws_client.h"
#include "support/aws_route53_plane.h"
#include "support/real_knot.h"
#include "support/run_task.h"

namespace lifeboat::testing {
namespace {

using aws::AwsTraffic;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Field;
using ::testing::HasSubstr;

const RegionName kFirst("eu-west-1");
const RegionName kSecond("us-west-2");
constexpr const char* kFirstAddress = "192.0.2.1";
constexpr const char* kSecondAddress = "192.0.2.2";
constexpr const char* kNamespace = "https://route53.amazonaws.com/doc/2013-04-01/";
constexpr const char* kTtl = "7";

/// The machine's time, and what a test adds to it.
class LateClock final : public Clock {
 public:
  Duration ahead{0};
  [[nodiscard]] Instant Now() const override { return system_.Now() + ahead; }
  [[nodiscard]] WallTime Wall() const override { return system_.Wall(); }
  Task<> Sleep(Duration d) override { co_await system_.Sleep(d); }

 private:
  SystemClock system_;
};

/// Holds the first change that a client sends until it is let go: a writer that was stopped between its look and its write.
struct Gate {
  bool reached = false;
  bool open = false;
};
std::shared_ptr<aws::Client> MakeHeldClient(boost::asio::io_context& context, Clock& clock, const std::string& url,
                                            std::shared_ptr<Gate> gate) {
  aws::Credentials keys;
  keys.access_key_id = kAwsAccessKey;
  keys.secret_key = Secret(kAwsSecretKey);
  aws::ClientOptions options;
  options.endpoints.set = {{"*", url}};
  options.attempt_timeout = 60s;
  const aws::Transport road = aws::OpenTransport(context.get_executor(), {});
  aws::Transport held = [gate, road, &clock](HttpRequest request, Duration timeout) -> Task<Result<HttpResponse>> {
    if (request.method != "GET" && !gate->reached) {
      gate->reached = true;
      while (!gate->open) co_await clock.Sleep(5ms);
    }
    co_return co_await road(std::move(request), timeout);
  };
  aws::ClientDoors doors{clock, std::move(held), aws::DiceOfTheSystem(), Log()};
  return std::make_shared<aws::Client>(std::make_shared<aws::FixedCredentials>(std::move(keys)), std::move(options),
                                       std::move(doors));
}

/// A zone in an emulator, answered by a real DNS server, and our doors on the road between.
class TrafficWorld : public ::testing::Test {
 protected:
  explicit TrafficWorld(AwsEmulator emulator) : aws_(emulator) {
    aws::RetryLimits retry;
    retry.base = 10ms;
    client_ = MakeAwsClient(context_, {{"*", road_.Url()}}, retry);
    const std::string reply =
        Route53("hostedzone", "CreateHostedZoneRequest",
                "<Name>" + std::string(RealKnot::kZone) + "</Name><CallerReference>" + RandomHex(8) + "</CallerReference>");
    settings_.zone = (*aws::ParseXml(reply, "the zone"))["HostedZone"]["Id"].text.substr(std::string("/hostedzone/").size());
    settings_.name = RealKnot::kName;
    settings_.type = "A";
    settings_.targets = {{kFirst, kFirstAddress}, {kSecond, kSecondAddress}};
  }

  /// Past the road, as an operator would have done before.
  std::string Send(const std::string& service, const std::string& region, const std::string& method, const std::string& path,
                   const std::string& body, const aws::Pairs& headers = {}) {
    aws::Call call;
    call.headers = headers;
    call.service = service;
    call.region = region;
    call.operation = method + " " + path;
    call.method = method;
    call.path = path;
    call.body = body;
    const Result<aws::Reply> reply = Await(context_, maker_->Send(std::move(call), 30s));
    if (!reply) throw std::runtime_error(reply.error().Text());
    return reply->body;
  }
  std::string Route53(const std::string& path, const std::string& root, const std::string& inside) {
    return Send("route53", "us-east-1", "POST", "/2013-04-01/" + path,
                "<" + root + " xmlns=\"" + kNamespace + "\">" + inside + "</" + root + ">");
  }
  static std::string Upsert(const std::string& name, const std::string& type, const std::string& value,
                            const std::string& which = "", const std::string& check = "") {
    const std::string half = which.empty() ? "" : "<SetIdentifier>" + which + "</SetIdentifier><Failover>" + which + "</Failover>";
    return "<Change><Action>UPSERT</Action><ResourceRecordSet><Name>" + name + "</Name><Type>" + type + "</Type>" + half + "<TTL>" +
           kTtl + "</TTL><ResourceRecords><ResourceRecord><Value>" + value + "</Value></ResourceRecord></ResourceRecords>" +
           (check.empty() ? "" : "<HealthCheckId>" + check + "</HealthCheckId>") + "</ResourceRecordSet></Change>";
  }
  void Change(const std::string& changes) {
    Route53("hostedzone/" + settings_.zone + "/rrset/", "ChangeResourceRecordSetsRequest",
            "<ChangeBatch><Changes>" + changes + "</Changes></ChangeBatch>");
  }

  std::unique_ptr<AwsTraffic> Open(const RegionName& own, std::shared_ptr<aws::Client> client = nullptr) {
    aws::AwsTrafficOptions options;
    options.own = own;
    options.look_every = 50ms;
    Result<std::unique_ptr<AwsTraffic>> traffic =
        aws::OpenAwsTraffic(client ? client : client_, names_, settings_, options, clock_, Log());
    if (!traffic) throw std::runtime_error(traffic.error().Text());
    return std::move(*traffic);
  }
  Result<Unit> Point(AwsTraffic& traffic, const std::string& address, std::uint64_t epoch, Duration timeout = 50s) {
    return Await(context_, traffic.Point(address, Epoch{epoch}, timeout));
  }
  /// What a client is given now.
  std::string Answered() {
    const auto answer = Await(context_, ResolveAddress(context_.get_executor(), knot_.endpoint(), RealKnot::kName, 5s));
    return answer.ok() ? *answer : answer.error().message;
  }
  bool Serves(const std::string& address) {
    const auto end = std::chrono::steady_clock::now() + 60s;
    while (Answered() != address) {
      if (std::chrono::steady_clock::now() > end) {
        ADD_FAILURE() << plane_.State().dump(2);
        return false;
      }
      std::this_thread::sleep_for(10ms);  // between two looks
    }
    return true;
  }
  void AwaitRounds(std::uint64_t rounds) {
    const std::uint64_t from = NumberAt(plane_.State(), "rounds");
    const auto end = std::chrono::steady_clock::now() + 60s;
    while (NumberAt(plane_.State(), "rounds") < from + rounds && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(10ms);
    }
  }
  Task<Result<std::vector<Readiness>>> CheckOf(Duration rto, Duration timeout) {
    // Where a checker would look at S3's own name, the emulator is.
    aws::TrafficCheckDoors doors{client_, names_, clock_, nullptr};
    const std::string url = aws_.Url();
    aws::PublicGet get = aws::OpenPublicGet(aws::OpenTransport(context_.get_executor(), {}));
    doors.look = [url, get](std::string place, Duration timeout) -> Task<Result<int>> {
      const std::string rest = place.substr(std::string("https://").size());
      std::string there = url + "/" + rest.substr(0, rest.find('.')) + rest.substr(rest.find('/'));
      co_return co_await get(std::move(there), timeout);
    };
    return aws::CheckAwsTraffic(std::move(doors), settings_, rto, timeout);
  }
  std::vector<Readiness> Check(Duration rto) {
    const auto lines = Await(context_, CheckOf(rto, 30s));
    if (!lines) throw std::runtime_error(lines.error().Text());
    return *lines;
  }

  boost::asio::io_context context_;
  LateClock clock_;
  RealAws aws_;
  AwsRoad road_{aws_};
  std::shared_ptr<aws::Client> maker_ = MakeAwsClient(context_, {{"*", aws_.Url()}});
  std::shared_ptr<aws::Client> client_;
  RealKnot knot_;
  const DnsSettings update_ = knot_.ClientSettings();
  Route53Plane plane_{aws_, knot_.endpoint(), update_.key_name, update_.key_algorithm, knot_.secret()};
  // The name server is found as it would be: the zone's NS record, and the address of the server that it names.
  std::shared_ptr<NameServers> names_ =
      std::make_shared<DnsNameServers>(context_.get_executor(), std::vector<Endpoint>{knot_.endpoint()}, knot_.endpoint().port);
  AwsTrafficSettings settings_;
};

auto Fault(const std::string& text) { return AllOf(Field(&Readiness::level, "fault"), Field(&Readiness::what, HasSubstr(text))); }
auto Ok(const std::string& text) { return AllOf(Field(&Readiness::level, "ok"), Field(&Readiness::what, HasSubstr(text))); }

// ---- standby takes over ----

/// The pair of docs/aws.md. moto: the other one forgets that a check is inverted.
class AwsTrafficTest : public TrafficWorld {
 protected:
  AwsTrafficTest() : TrafficWorld(AwsEmulator::kMoto) {
    for (const RegionName& region : {kFirst, kSecond}) {
      const std::string bucket = BucketOf(region);
      // Checkers sign nothing: what they are to see is public.
      Send("s3", region.text, "PUT", "/" + bucket,
           "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>" + region.text +
               "</LocationConstraint></CreateBucketConfiguration>",
           {{"x-amz-acl", "public-read"}});
      settings_.markers[region] = "s3://" + bucket + "/orders";
    }
    first_check_ = MakeCheck(kSecond);
    second_check_ = MakeCheck(kFirst);
    Change(Upsert(RealKnot::kName, "A", kFirstAddress, "PRIMARY", first_check_) +
           Upsert(RealKnot::kName, "A", kSecondAddress, "SECONDARY", second_check_));
  }
  std::string BucketOf(const RegionName& region) const { return "marks-" + run_ + "-" + region.text; }
  /// On the marker of `region`.
  std::string MakeCheck(const RegionName& region) {
    const std::string reply =
        Route53("healthcheck", "CreateHealthCheckRequest",
                "<CallerReference>" + RandomHex(8) +
                    "</CallerReference><HealthCheckConfig><Type>HTTPS_STR_MATCH</Type><ResourcePath>/orders" +
                    "</ResourcePath><FullyQualifiedDomainName>" + BucketOf(region) + ".s3." + region.text +
                    ".amazonaws.com</FullyQualifiedDomainName><SearchString>" + aws::kTakesOverWord + "</SearchString>" +
                    "<RequestInterval>10</RequestInterval><FailureThreshold>1</FailureThreshold><Inverted>true</Inverted></"
                    "HealthCheckConfig>");
    return (*aws::ParseXml(reply, "the health check"))["HealthCheck"]["Id"].text;
  }
  void Silence(const RegionName& region) { road_.Faults({{{"do", "silent"}, {"region", region.text}}}); }
  std::size_t RequestsIn(const std::string& region) const {
    std::size_t count = 0;
    for (const Json& request : road_.Requests()) count += TextAt(request, "region") == region ? 1U : 0U;
    return count;
  }

  const std::string run_ = RandomHex(4);
  std::string first_check_;
  std::string second_check_;
};

TEST_F(AwsTrafficTest, OneObjectMovesTheNameThereAndBackAndARegionThatIsSilentIsNeverAsked) {
  const auto first = Open(kFirst);
  const auto second = Open(kSecond);
  ASSERT_TRUE(Serves(kFirstAddress));
  const auto registered = Point(*first, kFirstAddress, 1);
  ASSERT_TRUE(registered.ok()) << registered.error().Text();

  // When the first region's own S3 says nothing to us (the health checks still see it), the second takes over.
  Silence(kFirst);
  const std::size_t before = RequestsIn(kFirst.text);
  const auto over = Point(*second, kSecondAddress, 2);
  ASSERT_TRUE(over.ok()) << over.error().Text();
  EXPECT_EQ(Answered(), kSecondAddress) << "what a client gets";
  EXPECT_EQ(RequestsIn(kFirst.text), before);
  EXPECT_EQ(RequestsIn("us-east-1"), 0u) << "Route 53's own calls are no part of it";
  EXPECT_EQ(road_.HeldIn(kFirst.text), 0u);
  const auto record = Await(context_, second->Read(10s));
  ASSERT_TRUE(record.ok()) << record.error().Text();
  EXPECT_EQ(record->address, kSecondAddress);
  EXPECT_EQ(record->epoch, Epoch{2});
  EXPECT_EQ(record->ttl, 7s);
  AwaitRounds(20);
  EXPECT_EQ(Answered(), kSecondAddress) << "it stays";

  // And back, with the second region silent: its marker still says that it has taken over.
  Silence(kSecond);
  const std::size_t second_before = RequestsIn(kSecond.text);
  const auto back = Point(*first, kFirstAddress, 3);
  ASSERT_TRUE(back.ok()) << back.error().Text();
  EXPECT_EQ(Answered(), kFirstAddress);
  EXPECT_EQ(RequestsIn(kSecond.text), second_before);
  EXPECT_EQ(road_.HeldIn(kSecond.text), 0u);

  // Once both answer, the markers are put to rest one after the other, and no client ever gets the second region meanwhile.
  road_.Clear();
  const auto settle = [this, &first] {
    const Result<std::string> settled = Await(context_, first->Settle(30s));
    return settled.ok() ? *settled : settled.error().Text();
  };
  EXPECT_EQ(settle(), "the marker of 'us-west-2' rests under epoch '3'");
  EXPECT_EQ(settle(), "") << "its own only when every check must have seen the other's";
  AwaitRounds(20);
  EXPECT_EQ(Answered(), kFirstAddress);
  clock_.ahead = 6min;
  EXPECT_EQ(settle(), "the marker of 'eu-west-1' rests again");
  for (int look = 0; look < 20; ++look) {
    AwaitRounds(1);
    ASSERT_EQ(Answered(), kFirstAddress);
  }
  // So that the next failover moves it again.
  const auto again = Point(*second, kSecondAddress, 4);
  ASSERT_TRUE(again.ok()) << again.error().Text();
  EXPECT_EQ(Answered(), kSecondAddress);
  EXPECT_EQ(road_.Invalid(), "");
}

TEST_F(AwsTrafficTest, ALateWriterDoesNotUndoANewerOne) {
  // Given a writer of epoch 2 that has looked and is about to write, while epoch 3 is written.
  ASSERT_TRUE(Serves(kFirstAddress));
  const auto gate = std::make_shared<Gate>();
  const auto late = Open(kSecond, MakeHeldClient(context_, clock_, road_.Url(), gate));
  auto undecided = Start(context_, late->Point(kSecondAddress, Epoch{2}, 50s));
  ASSERT_TRUE(RunUntil(context_, [&gate] { return gate->reached; }));
  const aws::Marker newer{false, RealKnot::kName, kSecond, kFirst, Epoch{3}};
  Send("s3", kSecond.text, "PUT", "/" + BucketOf(kSecond) + "/orders", aws::MarkerText(newer));
  // When it goes on
  gate->open = true;
  const Result<Unit> said = Finish<Result<Unit>>(context_, undecided);
  // Then it is refused, and what stands is the newer.
  ASSERT_FALSE(said.ok());
  EXPECT_EQ(said.error().retry, Retry::kRefused) << said.error().Text();
  EXPECT_EQ(Send("s3", kSecond.text, "GET", "/" + BucketOf(kSecond) + "/orders", ""), aws::MarkerText(newer));
  AwaitRounds(20);
  EXPECT_EQ(Answered(), kFirstAddress);
}

TEST_F(AwsTrafficTest, AWriteWhoseAnswerIsLostIsDone) {
  ASSERT_TRUE(Serves(kFirstAddress));
  road_.Faults({{{"do", "lose_answer"}, {"operation", "PUT /" + BucketOf(kSecond) + "/orders"}, {"times", 1}}});
  const auto pointed = Point(*Open(kSecond), kSecondAddress, 2);
  ASSERT_TRUE(pointed.ok()) << pointed.error().Text();
  EXPECT_EQ(Answered(), kSecondAddress);
}

TEST_F(AwsTrafficTest, ItIsNotDoneWhileOneNameServerOfTheZoneDoesNotKnow) {
  ASSERT_TRUE(Serves(kFirstAddress));
  const RealKnot stale({{RealKnot::kName, kFirstAddress, 7s, std::nullopt}});
  settings_.name_servers = {knot_.endpoint(), stale.endpoint()};
  const auto pointed = Point(*Open(kSecond), kSecondAddress, 2, 3s);
  ASSERT_FALSE(pointed.ok());
  EXPECT_EQ(pointed.error().retry, Retry::kUnknownOutcome);
  EXPECT_THAT(pointed.error().message, HasSubstr("'" + stale.endpoint().Text() + "' answers '" + std::string(kFirstAddress) + "'"));
  EXPECT_TRUE(Serves(kSecondAddress)) << "it was acted";
}

TEST_F(AwsTrafficTest, WhatWouldGoWrongIsFoundBefore) {
  ASSERT_TRUE(Serves(kFirstAddress));
  ASSERT_TRUE(Point(*Open(kFirst), kFirstAddress, 1).ok());
  std::vector<Readiness> lines = Check(1min);
  EXPECT_THAT(lines, Contains(Ok("leads to 'eu-west-1' at 1 name servers")));
  EXPECT_THAT(lines, Contains(Ok("(s3://" + BucketOf(kFirst) + "/orders) is public and rests under epoch '1'")));
  EXPECT_THAT(lines, Contains(AllOf(Field(&Readiness::level, "unknown"), Field(&Readiness::what, HasSubstr(BucketOf(kSecond))))));
  EXPECT_THAT(lines, Contains(Ok("health check every 10 s × 1, TTL 7 s")));
  // moto's checkers say "Success" whatever is there: both inverted checks are unhealthy, and that is what fails open.
  EXPECT_THAT(lines, Contains(Fault("Route 53 fails open and answers the primary")));

  Send("route53", "us-east-1", "POST", "/2013-04-01/healthcheck/" + first_check_,
       "<UpdateHealthCheckRequest xmlns=\"" + std::string(kNamespace) + "\"><Disabled>true</Disabled></UpdateHealthCheckRequest>");
  Change(Upsert("reports." + std::string(RealKnot::kZone), "A", kFirstAddress));
  settings_.markers[kSecond] = "s3://no-such-bucket-" + run_ + "/orders";
  lines = Check(10s);
  EXPECT_THAT(lines, Contains(Fault("'" + first_check_ + "' of the record of 'eu-west-1' is disabled")));
  EXPECT_THAT(lines, Contains(Fault("record 'reports.lifeboat.test.' of type 'A' leads to 'eu-west-1'")));
  EXPECT_THAT(lines, Contains(Fault("cannot be read: 'GetObject' of 's3' in 'us-west-2'")));
  EXPECT_THAT(lines, Contains(Fault("not at the marker of 'us-west-2'")));
  EXPECT_THAT(lines, Contains(Fault("the RTO is 10 s")));
  EXPECT_EQ(road_.Invalid(), "");
}

TEST_F(AwsTrafficTest, ARegionThatIsSilentCostsItsOwnLinesOfCheckAndNoOthers) {
  ASSERT_TRUE(Serves(kFirstAddress));
  ASSERT_TRUE(Point(*Open(kFirst), kFirstAddress, 1).ok());
  road_.Faults({{{"do", "silent"}, {"region", kSecond.text}}, {{"do", "silent"}, {"region", "us-east-1"}}});
  const auto outcome = Start(context_, CheckOf(10min, 4s));
  // The agent waits so much longer than it gives, and then shows nothing at all of the name.
  ASSERT_TRUE(RunUntil(
      context_, [&] { return outcome->has_value(); }, 4s + 2s));
  const std::vector<Readiness>& lines = ***outcome;
  EXPECT_THAT(lines, Contains(Ok("leads to 'eu-west-1' at 1 name servers")));
  EXPECT_THAT(lines, Contains(Ok("(s3://" + BucketOf(kFirst) + "/orders) is public and rests under epoch '1'")));
  EXPECT_THAT(lines, Contains(Fault("the marker of 'us-west-2' (s3://" + BucketOf(kSecond) + "/orders) cannot be read")));
  EXPECT_THAT(lines,
              Contains(AllOf(Field(&Readiness::level, "unknown"), Field(&Readiness::what, HasSubstr("the records of zone")))));
}

// ---- a change of records ----

/// ministack: the one that holds a deletion against the values that stand.
class AwsRecordsTest : public TrafficWorld {
 protected:
  AwsRecordsTest() : TrafficWorld(AwsEmulator::kMinistack) {
    settings_.kind = AwsTrafficKind::kRecords;
    Change(Upsert(RealKnot::kName, "A", kFirstAddress));
  }
};

TEST_F(AwsRecordsTest, TheRecordAndItsEpochMoveTogetherThereAndBack) {
  ASSERT_TRUE(Serves(kFirstAddress));
  const auto traffic = Open(kSecond);
  EXPECT_EQ(Await(context_, traffic->Read(10s))->epoch, std::nullopt);
  std::uint64_t epoch = 1;
  for (const char* address : {kSecondAddress, kFirstAddress}) {
    const auto pointed = Point(*traffic, address, ++epoch);
    ASSERT_TRUE(pointed.ok()) << pointed.error().Text();
    EXPECT_EQ(Answered(), address);
    const auto record = Await(context_, traffic->Read(10s));
    ASSERT_TRUE(record.ok()) << record.error().Text();
    EXPECT_EQ(record->address, address);
    EXPECT_EQ(record->epoch, Epoch{epoch});
    EXPECT_EQ(record->ttl, 7s);
  }
  EXPECT_THAT(Check(5min), Contains(Fault("goes through us-east-1")));
  EXPECT_EQ(road_.Invalid(), "");
}

TEST_F(AwsRecordsTest, ALateChangeOfARecordIsRefusedAndChangesNothing) {
  ASSERT_TRUE(Serves(kFirstAddress));
  // It has looked and is about to send its batch, while a newer epoch is written.
  const auto gate = std::make_shared<Gate>();
  const auto late = Open(kSecond, MakeHeldClient(context_, clock_, road_.Url(), gate));
  auto undecided = Start(context_, late->Point(kSecondAddress, Epoch{2}, 50s));
  ASSERT_TRUE(RunUntil(context_, [&gate] { return gate->reached; }));
  Change(Upsert(RealKnot::kName, "A", "192.0.2.3") + Upsert("_lifeboat." + std::string(RealKnot::kName), "TXT", "\"epoch=3\""));
  gate->open = true;
  const Result<Unit> said = Finish<Result<Unit>>(context_, undecided);
  ASSERT_FALSE(said.ok());
  EXPECT_EQ(said.error().retry, Retry::kRefused) << said.error().Text();
  EXPECT_TRUE(Serves("192.0.2.3"));
}

TEST_F(AwsRecordsTest, WithoutUsEast1TheHintSaysWhatItDependsOn) {
  ASSERT_TRUE(Serves(kFirstAddress));
  road_.Faults({{{"do", "silent"}, {"region", "us-east-1"}}});
  const auto pointed = Point(*Open(kSecond), kSecondAddress, 2, 3s);
  ASSERT_FALSE(pointed.ok());
  EXPECT_THAT(pointed.error().hint, HasSubstr("us-east-1"));
  EXPECT_EQ(Answered(), kFirstAddress);
}

// ---- routing control ----

/// Answers as Route 53 would over checks on the cluster's controls.
class NamesOverControls final : public NameServers {
 public:
  explicit NamesOverControls(const AwsProgram& cluster) : cluster_(cluster) {}
  Task<Result<std::vector<Endpoint>>> ServersOf(std::string /*name*/, Duration /*timeout*/) override {
    co_return std::vector<Endpoint>{{"192.0.2.53", 53}};
  }
  Task<Result<NameAnswer>> Ask(Endpoint /*server*/, std::string /*name*/, std::string /*type*/, Duration /*timeout*/) override {
    const Json controls = MemberAt(AwsControl(cluster_, 5, "GET", "/state", ""), "controls");
    const bool second = TextAt(controls, "arn:second") == "On" && TextAt(controls, "arn:first") == "Off";
    NameAnswer answer;
    answer.exists = true;
    answer.values = {second ? kSecondAddress : kFirstAddress};
    answer.ttl = 60s;
    co_return answer;
  }

 private:
  const AwsProgram& cluster_;
};

class AwsRoutingControlTest : public ::testing::Test {
 protected:
  AwsRoutingControlTest() {
    settings_.kind = AwsTrafficKind::kRoutingControl;
    settings_.zone = "Z1";
    settings_.name = "orders-db.example.com.";
    settings_.type = "A";
    settings_.targets = {{kFirst, kFirstAddress}, {kSecond, kSecondAddress}};
    settings_.controls = {{kFirst, "arn:first"}, {kSecond, "arn:second"}};
    const std::array<const char*, 5> regions{"us-east-1", "us-west-2", "eu-west-1", "ap-northeast-1", "ap-southeast-2"};
    for (std::size_t at = 0; at < regions.size(); ++at) {
      settings_.control_endpoints.push_back(std::string(regions[at]) + "=http://127.0.0.1:" + std::to_string(cluster_.port(at)));
    }
    aws::AwsTrafficOptions options;
    options.look_every = 20ms;
    traffic_ = std::move(*aws::OpenAwsTraffic(client_, names_, settings_, options, clock_, Log()));
  }
  void Tell(const std::string& what, const Json& value) { AwsControl(cluster_, 5, "PUT", what, value.dump()); }
  Json State() { return AwsControl(cluster_, 5, "GET", "/state", ""); }
  Result<Unit> Point(const std::string& address, std::uint64_t epoch) {
    return Await(context_, traffic_->Point(address, Epoch{epoch}, 30s));
  }

  boost::asio::io_context context_;
  SystemClock clock_;
  AwsProgram cluster_{{AwsScript("routing_control.py"), "arn:first", "arn:second"}};
  std::shared_ptr<aws::Client> client_ = MakeAwsClient(context_, {});
  std::shared_ptr<NameServers> names_ = std::make_shared<NamesOverControls>(cluster_);
  AwsTrafficSettings settings_;
  std::unique_ptr<AwsTraffic> traffic_;
};

TEST_F(AwsRoutingControlTest, TwoOfFiveEndpointsMayBeDown) {
  Tell("/down", {0, 2});
  std::uint64_t epoch = 1;
  for (int round = 0; round < 4; ++round) {
    for (const char* address : {kSecondAddress, kFirstAddress}) {
      const auto pointed = Point(address, ++epoch);
      ASSERT_TRUE(pointed.ok()) << pointed.error().Text();
      EXPECT_EQ(Await(context_, traffic_->Read(10s))->address, address);
    }
  }
  EXPECT_EQ(State()["controls"], (Json{{"arn:first", "On"}, {"arn:second", "Off"}}));
}

TEST_F(AwsRoutingControlTest, ASafetyRuleIsRespectedInItsWords) {
  Tell("/rules", {{{"Name", "both-regions-stay"}, {"ATLEAST", 2}, {"AssertedControls", {"arn:first", "arn:second"}}}});
  const auto pointed = Point(kSecondAddress, 2);
  ASSERT_FALSE(pointed.ok());
  EXPECT_EQ(pointed.error().retry, Retry::kRefused);
  EXPECT_THAT(pointed.error().message, HasSubstr("The safety rule both-regions-stay (ATLEAST 2) would not be met"));
  EXPECT_EQ(State()["controls"], (Json{{"arn:first", "On"}, {"arn:second", "Off"}})) << "all or nothing";
}

TEST_F(AwsRoutingControlTest, NoEndpointAtAllIsSaidAndNothingIsClaimed) {
  Tell("/down", {0, 1, 2, 3, 4});
  const auto pointed = Point(kSecondAddress, 2);
  ASSERT_FALSE(pointed.ok());
  EXPECT_NE(pointed.error().retry, Retry::kRefused);
  EXPECT_EQ(Await(context_, traffic_->Read(10s))->address, kFirstAddress);
}

}  // namespace
}  // namespace lifeboat::testing
