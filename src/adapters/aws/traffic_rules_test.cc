// What is decided about traffic without asking anybody: markers, name servers' answers, batches of records, findings.

#include "adapters/aws/traffic_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/aws/traffic_doors.h"

namespace lifeboat::aws {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const RegionName kFirst("eu-west-1");
const RegionName kSecond("us-west-2");
constexpr const char* kName = "orders-db.example.com.";

AwsTrafficSettings SettingsOf(AwsTrafficKind kind) {
  AwsTrafficSettings settings;
  settings.kind = kind;
  settings.zone = "Z1";
  settings.name = kName;
  settings.targets = {{kFirst, "db.eu.example.net"}, {kSecond, "db.us.example.net"}};
  settings.markers = {{kFirst, "s3://marks-eu/orders"}, {kSecond, "s3://marks-us/orders"}};
  settings.controls = {{kFirst, "arn:eu"}, {kSecond, "arn:us"}};
  return settings;
}

// ---- markers ----

Marker MarkerOf(bool takes_over, const RegionName& region, const RegionName& serves, std::uint64_t epoch) {
  return Marker{takes_over, kName, region, serves, Epoch{epoch}};
}

TEST(AwsTrafficMarker, SaysWhatItIsAndOnlyOneOfTheWordsIsInIt) {
  for (const bool takes_over : {true, false}) {
    const Marker marker = MarkerOf(takes_over, kFirst, kSecond, 7);
    const std::string text = MarkerText(marker);
    EXPECT_EQ(text.find(kTakesOverWord) != std::string::npos, takes_over) << text;
    EXPECT_EQ(text.find(kStandsBackWord) != std::string::npos, !takes_over) << text;
    EXPECT_LT(text.size(), 5120u) << "checkers search no further";
    const Result<Marker> read = ParseMarker(text, kName, kFirst);
    ASSERT_TRUE(read.ok()) << read.error().Text();
    EXPECT_EQ(*read, marker);
  }
}

TEST(AwsTrafficMarker, WhatIsNoMarkerOfThisNameAndRegionIsNeverWrittenOver) {
  const std::string good = MarkerText(MarkerOf(true, kFirst, kFirst, 7));
  EXPECT_FALSE(ParseMarker("<html>", kName, kFirst).ok());
  EXPECT_FALSE(ParseMarker("{}", kName, kFirst).ok());
  EXPECT_FALSE(ParseMarker(R"({"marker":"lifeboat-takes-over","epoch":0})", kName, kFirst).ok());
  EXPECT_THAT(ParseMarker(good, "other.example.com.", kFirst).error().message, HasSubstr("is that of 'orders-db.example.com.'"));
  EXPECT_FALSE(ParseMarker(good, kName, kSecond).ok());
}

TEST(AwsTrafficMarker, ALateWriterIsRefused) {
  const auto newer = MarkerFor(MarkerOf(false, kFirst, kSecond, 9), false, kName, kFirst, Epoch{8});
  ASSERT_FALSE(newer.ok());
  EXPECT_EQ(newer.error().retry, Retry::kRefused);
  const auto same = MarkerFor(MarkerOf(false, kFirst, kSecond, 9), false, kName, kFirst, Epoch{9});
  ASSERT_FALSE(same.ok()) << "an epoch is one region's";
  EXPECT_EQ(same.error().retry, Retry::kRefused);
}

TEST(AwsTrafficMarker, ARegionThatTakesOverSaysSoAndOneThatServesOnlyWritesDownItsEpoch) {
  const auto wanted = [](std::optional<Marker> stands, bool leads_there, std::uint64_t epoch) {
    return *MarkerFor(stands, leads_there, kName, kFirst, Epoch{epoch});
  };
  // The name leads elsewhere: it takes over, whatever stood there.
  EXPECT_EQ(wanted(std::nullopt, false, 2), MarkerOf(true, kFirst, kFirst, 2));
  EXPECT_EQ(wanted(MarkerOf(false, kFirst, kSecond, 2), false, 3), MarkerOf(true, kFirst, kFirst, 3));
  EXPECT_EQ(wanted(MarkerOf(false, kFirst, kFirst, 3), false, 3), MarkerOf(true, kFirst, kFirst, 3));
  // It leads here: the epoch is written, and nothing else changes.
  EXPECT_EQ(wanted(std::nullopt, true, 1), MarkerOf(false, kFirst, kFirst, 1));
  EXPECT_EQ(wanted(MarkerOf(false, kFirst, kFirst, 4), true, 5), MarkerOf(false, kFirst, kFirst, 5));
  EXPECT_EQ(wanted(MarkerOf(true, kFirst, kFirst, 4), true, 5), MarkerOf(true, kFirst, kFirst, 5));
  // It leads here, but another one may have taken over in between and not have been noticed yet.
  EXPECT_EQ(wanted(MarkerOf(false, kFirst, kFirst, 4), true, 6), MarkerOf(true, kFirst, kFirst, 6));
  EXPECT_EQ(wanted(MarkerOf(false, kFirst, kSecond, 5), true, 6), MarkerOf(true, kFirst, kFirst, 6));
  // So already.
  EXPECT_EQ(wanted(MarkerOf(true, kFirst, kFirst, 6), false, 6), std::nullopt);
  EXPECT_EQ(wanted(MarkerOf(false, kFirst, kFirst, 6), true, 6), std::nullopt);
}

TEST(AwsTrafficMarker, APlaceIsABucketAndAKey) {
  EXPECT_EQ(ParseMarkerPlace("s3://b/a/key")->bucket, "b");
  EXPECT_EQ(ParseMarkerPlace("s3://b/a/key")->key, "a/key");
  for (const char* wrong : {"", "s3://", "s3://b", "s3://b/", "s3:///k", "https://b/k"})
    EXPECT_FALSE(ParseMarkerPlace(wrong).ok()) << wrong;
}

// ---- name servers ----

ServerAnswer Says(const std::string& host, std::vector<std::string> values, int ttl = 60) {
  ServerAnswer answer;
  answer.server = Endpoint{host, 53};
  answer.answer = NameAnswer{true, std::move(values), std::chrono::seconds(ttl)};
  return answer;
}
ServerAnswer Silent(const std::string& host) {
  ServerAnswer answer;
  answer.server = Endpoint{host, 53};
  answer.answer = RetryLater("no answer");
  return answer;
}

TEST(AwsTrafficNames, OneOfFourThatAnswersTheOldTargetOrNothingIsNotMoved) {
  const ServerAnswer moved = Says("192.0.2.1", {"DB.us.example.net."});
  EXPECT_TRUE(AllAnswer({moved, moved, moved, moved}, "CNAME", "db.us.example.net"));
  for (const ServerAnswer& other : {Says("192.0.2.2", {"db.eu.example.net."}), Silent("192.0.2.2"), Says("192.0.2.2", {}),
                                    Says("192.0.2.2", {"db.us.example.net.", "db.eu.example.net."})}) {
    EXPECT_FALSE(AllAnswer({moved, other, moved, moved}, "CNAME", "db.us.example.net")) << Describe({other});
  }
  EXPECT_FALSE(AllAnswer({}, "CNAME", "db.us.example.net"));
}

TEST(AwsTrafficNames, TheyAnswerWhatThoseAgreeOnThatAnswer) {
  const AwsTrafficSettings settings = SettingsOf(AwsTrafficKind::kStandbyTakesOver);
  const auto record = Agreed(settings, {Says("192.0.2.1", {"DB.eu.example.net."}, 60), Silent("192.0.2.2"),
                                        Says("192.0.2.3", {"db.eu.example.net."}, 70)});
  ASSERT_TRUE(record.ok()) << record.error().Text();
  EXPECT_EQ(record->address, "db.eu.example.net");
  EXPECT_EQ(record->ttl, 70s);
  const auto split = Agreed(settings, {Says("192.0.2.1", {"db.eu.example.net."}), Says("192.0.2.2", {"db.us.example.net."})});
  ASSERT_FALSE(split.ok());
  EXPECT_EQ(split.error().retry, Retry::kRetry);
  EXPECT_THAT(split.error().message, HasSubstr("'192.0.2.2:53' answers 'db.us.example.net.'"));
  EXPECT_EQ(Agreed(settings, {Silent("192.0.2.1")}).error().retry, Retry::kRetry);
  EXPECT_EQ(Agreed(settings, {}).error().retry, Retry::kRetry);
  ServerAnswer none = Says("192.0.2.1", {});
  none.answer->exists = false;
  EXPECT_EQ(Agreed(settings, {none}).error().retry, Retry::kNotFound);
}

// ---- batches of records ----

route53::RecordSet Simple(const std::string& name, const std::string& type, const std::string& value) {
  route53::RecordSet record;
  record.name = name;
  record.type = type;
  record.ttl = 60;
  record.values = {value};
  return record;
}

TEST(AwsTrafficRecords, WhatStandsIsDeletedByItsValuesInTheBatchThatMakesTheNew) {
  const AwsTrafficSettings settings = SettingsOf(AwsTrafficKind::kRecords);
  const auto batch = RecordBatch(
      settings, {Simple(kName, "CNAME", "db.eu.example.net"), Simple("_lifeboat." + std::string(kName), "TXT", "\"epoch=3\"")},
      "db.us.example.net", Epoch{4});
  ASSERT_TRUE(batch.ok()) << batch.error().Text();
  std::vector<std::string> said;
  for (const route53::Change& change : *batch)
    said.push_back(change.action + " " + change.record.type + " " + change.record.values.at(0));
  EXPECT_THAT(said, ::testing::ElementsAre("DELETE CNAME db.eu.example.net", "DELETE TXT \"epoch=3\"",
                                           "CREATE CNAME db.us.example.net", "CREATE TXT \"epoch=4\""));
  EXPECT_EQ(batch->at(2).record.ttl, 60u);
}

TEST(AwsTrafficRecords, ANewerEpochStopsTheChange) {
  const auto batch =
      RecordBatch(SettingsOf(AwsTrafficKind::kRecords),
                  {Simple(kName, "CNAME", "db.eu.example.net"), Simple("_lifeboat." + std::string(kName), "TXT", "\"epoch=9\"")},
                  "db.us.example.net", Epoch{8});
  ASSERT_FALSE(batch.ok());
  EXPECT_EQ(batch.error().retry, Retry::kRefused);
}

TEST(AwsTrafficRecords, AnEpochThatCannotBeReadStopsTheChange) {
  for (const char* text :
       {"\"v=spf1\"", "\"epoch=\"", "\"epoch=7", "epoch=7", "\"epoch=7x\"", "\"epoch=99999999999999999999999\""}) {
    const auto batch =
        RecordBatch(SettingsOf(AwsTrafficKind::kRecords),
                    {Simple(kName, "CNAME", "db.eu.example.net"), Simple("_lifeboat." + std::string(kName), "TXT", text)},
                    "db.us.example.net", Epoch{8});
    ASSERT_FALSE(batch.ok()) << text;
    EXPECT_EQ(batch.error().retry, Retry::kFail) << text;
  }
}

TEST(AwsTrafficRecords, OnlyOneSimpleRecordIsEverChanged) {
  const AwsTrafficSettings settings = SettingsOf(AwsTrafficKind::kRecords);
  route53::RecordSet weighted = Simple(kName, "CNAME", "db.eu.example.net");
  weighted.set_id = "eu";
  weighted.weight = 10;
  route53::RecordSet alias = Simple(kName, "CNAME", "");
  alias.values.clear();
  alias.ttl.reset();
  alias.alias_name = "lb.example.net.";
  route53::RecordSet geo = Simple(kName, "CNAME", "db.eu.example.net");
  geo.unknown = "GeoLocation";
  for (const route53::RecordSet& record : {weighted, alias, geo, Simple(kName, "A", "192.0.2.1")}) {
    EXPECT_FALSE(RecordBatch(settings, {record}, "db.us.example.net", Epoch{2}).ok());
  }
  EXPECT_FALSE(RecordBatch(settings, {}, "db.us.example.net", Epoch{2}).ok()) << "it makes no name, it moves one";
}

// ---- findings ----

auto Fault(const std::string& text) { return AllOf(Field(&Readiness::level, "fault"), Field(&Readiness::what, HasSubstr(text))); }
auto AllOk() { return Each(Field(&Readiness::level, "ok")); }

class AwsTrafficFindings : public ::testing::Test {
 protected:
  AwsTrafficFindings() {
    Half("PRIMARY", "db.eu.example.net.", "check-1");
    Half("SECONDARY", "db.us.example.net.", "check-2");
    // Each record's check is on the marker of the other region.
    Check("check-1", "marks-us.s3.us-west-2.amazonaws.com");
    Check("check-2", "marks-eu.s3.eu-west-1.amazonaws.com");
    view_.healthy = {{"check-1", true}, {"check-2", true}};
  }
  void Half(const std::string& which, const std::string& value, const std::string& check) {
    route53::RecordSet record = Simple(kName, "CNAME", value);
    record.set_id = record.failover = which;
    record.health_check = check;
    view_.records.push_back(record);
  }
  void Check(const std::string& id, const std::string& host) {
    route53::HealthCheck check;
    check.id = id;
    check.type = "HTTPS_STR_MATCH";
    check.host = host;
    check.path = "/orders";
    check.search = kTakesOverWord;
    check.interval_s = 10;
    check.inverted = true;
    view_.checks[id] = check;
  }

  AwsTrafficSettings settings_ = SettingsOf(AwsTrafficKind::kStandbyTakesOver);
  ZoneView view_;
};

TEST_F(AwsTrafficFindings, APairAsTheDocumentationWantsItIsWell) {
  EXPECT_THAT(JudgePair(settings_, view_), AllOk());
  EXPECT_THAT(JudgeOthers(settings_, view_), IsEmpty());
  const auto time = JudgeTime(settings_, view_, 5min);
  EXPECT_THAT(time, AllOk());
  EXPECT_THAT(time.at(0).what, HasSubstr("every 10 s × 3, TTL 60 s")) << time.at(0).what;
  EXPECT_THAT(time.at(0).what, HasSubstr("1 min 30 s"));
}

TEST_F(AwsTrafficFindings, EachThingThatIsWrongWithACheckIsNamed) {
  view_.checks["check-1"].inverted = false;
  EXPECT_THAT(JudgePair(settings_, view_), Contains(Fault("'check-1' of the record of 'eu-west-1' is not inverted")));
  view_.checks["check-1"].inverted = true;
  view_.checks["check-1"].disabled = true;
  EXPECT_THAT(JudgePair(settings_, view_), Contains(Fault("is disabled: it counts as unhealthy whatever the marker says")));
  view_.checks["check-1"].disabled = false;
  view_.checks["check-2"].type = "HTTPS";
  EXPECT_THAT(JudgePair(settings_, view_),
              Contains(Fault("'check-2' of the record of 'us-west-2' is of type 'HTTPS', which does not search")));
  view_.checks["check-2"].type = "HTTPS_STR_MATCH";
  view_.checks["check-2"].search = "lifeboat";
  EXPECT_THAT(JudgePair(settings_, view_), Contains(Fault("searches 'lifeboat'"))) << "that word is in every marker";
  view_.checks["check-2"].search = kTakesOverWord;
  std::swap(view_.checks["check-1"].host, view_.checks["check-2"].host);
  EXPECT_THAT(JudgePair(settings_, view_), Contains(Fault("not at the marker of 'us-west-2' ('s3://marks-us/orders')")))
      << "its own marker";
}

TEST_F(AwsTrafficFindings, RecordsThatNoCheckMovesAreNamed) {
  view_.records[1].health_check.clear();
  EXPECT_THAT(JudgePair(settings_, view_), Contains(Fault("the SECONDARY record of 'orders-db.example.com.' has no health check")));
  view_.records[0].health_check.clear();
  EXPECT_THAT(JudgePair(settings_, view_), Contains(Fault("the name never leaves 'eu-west-1'")));
  view_.records.pop_back();
  EXPECT_THAT(JudgePair(settings_, view_), Contains(Fault("has no SECONDARY record")));
  view_.records = {Simple(kName, "CNAME", "db.eu.example.net.")};
  EXPECT_THAT(JudgePair(settings_, view_), Contains(Fault("is one simple record: no health check moves it")));
}

TEST_F(AwsTrafficFindings, BothUnhealthyFailsOpenAndIsSaid) {
  view_.healthy = {{"check-1", false}, {"check-2", false}};
  EXPECT_THAT(JudgePair(settings_, view_), Contains(Fault("Route 53 fails open and answers the primary")));
  view_.healthy = {{"check-1", false}, {"check-2", true}};
  EXPECT_THAT(JudgePair(settings_, view_), AllOk()) << "the second region serves";
}

TEST_F(AwsTrafficFindings, TheNumbersAreHeldAgainstTheRto) {
  view_.checks["check-1"].interval_s = 30;
  const auto time = JudgeTime(settings_, view_, 2min);
  EXPECT_THAT(time, Contains(Fault("within 2 min 30 s of the act (health check every 30 s × 3, TTL 60 s); the RTO is 2 min")));
  EXPECT_THAT(time.at(0).hint, HasSubstr("an interval of 10 s"));
  view_.records[0].ttl = 3600;
  EXPECT_THAT(JudgeTime(settings_, view_, 5min).at(0).hint, HasSubstr("a TTL of 60 s or less; then an interval of 10 s"));
}

TEST_F(AwsTrafficFindings, OtherRecordsThatLeadToARegionAreNamed) {
  view_.records.push_back(Simple("reports.example.com.", "CNAME", "db.eu.example.net."));
  view_.records.push_back(Simple("www.example.com.", "CNAME", "elsewhere.example.net."));
  const auto lines = JudgeOthers(settings_, view_);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines, Contains(Fault("record 'reports.example.com.' of type 'CNAME' leads to 'eu-west-1'")));
}

TEST_F(AwsTrafficFindings, AMarkerMustBePublicAndThePrimarysAtRest) {
  std::map<RegionName, MarkerLook> looks;
  looks[kFirst] = {MarkerOf(false, kFirst, kFirst, 7), "", "https://x", 200};
  looks[kSecond] = {MarkerOf(false, kSecond, kFirst, 7), "", "https://x", 200};
  EXPECT_THAT(JudgeMarkers(settings_, view_, looks), AllOk());
  looks[kSecond].public_status = 403;
  EXPECT_THAT(JudgeMarkers(settings_, view_, looks),
              Contains(Fault("is not readable by everyone: an unsigned look at 'https://x' got status 403")));
  looks[kSecond] = {std::nullopt, "'AccessDenied'", "https://x", 0};
  EXPECT_THAT(JudgeMarkers(settings_, view_, looks), Contains(Fault("cannot be read: 'AccessDenied'")));
  looks[kSecond] = {std::nullopt, "", "https://x", 0};
  EXPECT_THAT(JudgeMarkers(settings_, view_, looks), Contains(Field(&Readiness::level, "unknown")));
  looks[kFirst].marker->takes_over = true;
  EXPECT_THAT(JudgeMarkers(settings_, view_, looks), Contains(Fault("while it says so, 'us-west-2' cannot take the name")));
}

TEST_F(AwsTrafficFindings, ARoutingControlMustBeTheOneOfTheRecordsRegion) {
  settings_.kind = AwsTrafficKind::kRoutingControl;
  for (auto& [id, check] : view_.checks) {
    check = route53::HealthCheck{};
    check.id = id;
    check.type = "RECOVERY_CONTROL";
    check.routing_control = id == "check-1" ? "arn:eu" : "arn:us";
  }
  EXPECT_THAT(JudgeControls(settings_, view_), AllOk());
  EXPECT_THAT(JudgeTime(settings_, view_, 1min), Contains(Fault("TTL 60 s")));
  view_.checks["check-2"].routing_control = "arn:eu";
  EXPECT_THAT(JudgeControls(settings_, view_), Contains(Fault("'check-2' of the record of 'us-west-2'")));
  view_.records[0].health_check.clear();
  EXPECT_THAT(JudgeControls(settings_, view_), Contains(Fault("the record of 'eu-west-1' has no health check")));
}

TEST_F(AwsTrafficFindings, TheKindRecordsSaysWhatItDependsOn) {
  settings_.kind = AwsTrafficKind::kRecords;
  EXPECT_THAT(JudgeRecord(settings_, view_), Contains(Fault("goes through us-east-1 whatever region is lost")));
  EXPECT_THAT(JudgeRecord(settings_, view_), Contains(Fault("is not one simple record")));
  view_.records = {Simple(kName, "CNAME", "db.eu.example.net.")};
  EXPECT_EQ(JudgeRecord(settings_, view_).size(), 1u);
}

}  // namespace
}  // namespace lifeboat::aws
