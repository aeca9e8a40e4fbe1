#include "adapters/aws/objects.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "adapters/aws/test_support.h"

namespace lifeboat::aws {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using testing::FakeAws;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Said;
using testing::Seen;

const RegionName kFrom("us-east-1");
const RegionName kTo("eu-west-1");
constexpr const char* kKeyThere = "arn:aws:kms:eu-west-1:1:key/k";

s3::ReplicationRule Rule(const std::string& id, bool enabled, const std::string& prefix, const std::string& bucket) {
  s3::ReplicationRule rule;
  rule.id = id;
  rule.enabled = enabled;
  rule.prefix = prefix;
  rule.destination = "arn:aws:s3:::" + bucket;
  return rule;
}

TEST(ReplicationRule, TheOneThatCarriesMostIsTheOneThatCounts) {
  const std::vector<s3::ReplicationRule> rules = {Rule("other", true, "", "elsewhere"), Rule("off", false, "", "there"),
                                                  Rule("part", true, "orders/2026/", "there"),
                                                  Rule("whole", true, "orders/", "there")};
  EXPECT_EQ(RuleFor(rules, "there", "orders/")->id, "whole");
  EXPECT_EQ(RuleFor(rules, "there", "invoices/")->id, "part");  // on, and does not cover it: that is what is told
  EXPECT_EQ(RuleFor(rules, "nowhere", ""), nullptr);
  EXPECT_TRUE(Covers(rules[3], "orders/"));
  EXPECT_FALSE(Covers(rules[3], ""));
  s3::ReplicationRule tagged = rules[3];
  tagged.by_tags = true;
  EXPECT_FALSE(Covers(tagged, "orders/"));
}

std::vector<std::string> WordsOf(const std::vector<Readiness>& lines) {
  std::vector<std::string> words;
  for (const Readiness& line : lines) {
    words.push_back(line.level + ": " + line.what);
    EXPECT_EQ(line.level == "ok", line.hint.empty()) << line.what;
  }
  return words;
}

TEST(ReplicationLook, EachWayToLoseObjectsHasItsLine) {
  ReplicationLook look;
  look.versioned_from = look.versioned_to = look.has_rule = true;
  look.enabled = look.covers_prefix = look.delete_markers = look.metrics = true;
  look.rule = "r";
  EXPECT_THAT(WordsOf(LinesOf("o", look, kTo)), ElementsAre("ok: rule 'r' of o is on and covers the prefix"));
  look.delete_markers = false;
  EXPECT_THAT(WordsOf(LinesOf("o", look, kTo)), Contains(HasSubstr("fault: rule 'r' of o does not copy deletions")));
  look.versioned_to = false;
  EXPECT_THAT(WordsOf(LinesOf("o", look, kTo)), Contains(HasSubstr("fault: the target of o has no versioning")));
  look.enabled = false;
  EXPECT_THAT(WordsOf(LinesOf("o", look, kTo)), Contains(HasSubstr("fault: rule 'r' of o is turned off")));
  look.covers_prefix = false;
  EXPECT_THAT(WordsOf(LinesOf("o", look, kTo)), Contains(HasSubstr("fault: rule 'r' of o covers only a part")));
  look.metrics = false;
  EXPECT_THAT(WordsOf(LinesOf("o", look, kTo)), Contains(HasSubstr("unknown: rule 'r' of o has no metrics")));
  look.has_rule = false;
  EXPECT_THAT(WordsOf(LinesOf("o", look, kTo)), Contains(HasSubstr("fault: no replication rule leads along o")));
  look.has_rule.reset();
  look.unseen = {"replication of bucket 'b': silent"};
  EXPECT_THAT(WordsOf(LinesOf("o", look, kTo)), ElementsAre(HasSubstr("unknown: of o could not be seen: replication of bucket 'b'"),
                                                            HasSubstr("fault: the target of o has no versioning")));
}

TEST(ReplicationLook, AKeyOfAnotherRegionIsAFault) {
  ReplicationLook look;
  look.versioned_from = look.versioned_to = look.has_rule = true;
  look.enabled = look.covers_prefix = look.delete_markers = look.metrics = true;
  look.key_from = "aws/s3";
  EXPECT_THAT(WordsOf(LinesOf("o", look, kTo)), Contains(HasSubstr("fault: objects of o are written under KMS key 'aws/s3'")));
  look.kms_objects = true;
  EXPECT_THAT(WordsOf(LinesOf("o", look, kTo)), Contains(HasSubstr("names no KMS key for the copies")));
  look.replica_key = "arn:aws:kms:us-east-1:1:key/k";
  EXPECT_THAT(WordsOf(LinesOf("o", look, kTo)),
              Contains(HasSubstr("fault: the copies of o are written under a KMS key of 'us-east-1'")));
  look.replica_key = "alias/copies";
  EXPECT_THAT(WordsOf(LinesOf("o", look, kTo)), Contains(HasSubstr("unknown: the copies' KMS key 'alias/copies'")));
  look.replica_key = kKeyThere;
  EXPECT_THAT(WordsOf(LinesOf("o", look, kTo)), Contains("ok: the copies of o are written under a KMS key of 'eu-west-1'"));
}

/// Two buckets, of which one is copied to the other when the test says so.
class AwsObjectsTest : public ::testing::Test {
 protected:
  AwsObjectsTest() {
    settings_.name = "invoices";
    settings_.buckets = {{kFrom, "here"}, {kTo, "there"}};
    settings_.prefix = "invoices/";
    aws_.answer = [this](const Seen& seen) {
      if (silent.contains(seen.region)) return FakeAws::Silence();
      return Answer(seen);
    };
  }
  Said Answer(const Seen& seen) {
    if (seen.operation == "GetMetricData") return Metrics(seen);
    const std::string& url = seen.request.url;
    const std::string host = url.substr(8, url.find('.') - 8);
    if (url.find("/routes") != std::string::npos) return Routes(seen);
    if (url.ends_with("?versioning="))
      return Said{200, "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>", {}, {}};
    if (url.ends_with("?encryption=")) {
      return Said{404, "<Error><Code>ServerSideEncryptionConfigurationNotFoundError</Code></Error>", {}, {}};
    }
    if (url.ends_with("?replication=")) {
      return Said{
          200,
          "<ReplicationConfiguration><Rule><ID>all</ID><Status>Enabled</Status><Filter/><DeleteMarkerReplication><Status>Enabled"
          "</Status></DeleteMarkerReplication><Destination><Bucket>arn:aws:s3:::there</Bucket><Metrics><Status>Enabled</Status>"
          "</Metrics></Destination></Rule></ReplicationConfiguration>",
          {},
          {}};
    }
    if (seen.request.method == "PUT") {
      objects[host] = seen.request.body;
      keys.insert(url.substr(url.find('/', 8)));
      return Said{};
    }
    if (on_look) on_look();
    if (!objects.contains(host)) return Said{404, "<Error><Code>NoSuchKey</Code></Error>", {}, {}};
    if (seen.request.method == "HEAD") return Said{200, "", {{"x-amz-replication-status", status}}, {}};
    return Said{200, objects[host], {}, {}};
  }
  Said Metrics(const Seen& seen) {
    std::string list;
    for (int at = 0;; ++at) {
      const std::string query = "MetricDataQueries.member." + std::to_string(at + 1) + ".";
      const std::string name = seen.Form(query + "MetricStat.Metric.MetricName");
      if (name.empty()) break;
      rule_asked = seen.Form(query + "MetricStat.Metric.Dimensions.member.3.Value");
      const auto value = metrics.find(seen.region + " " + name);
      list += "<member><Id>m" + std::to_string(at) + "</Id><StatusCode>Complete</StatusCode>";
      if (value != metrics.end()) {
        list +=
            "<Timestamps><member>2026-11-23T11:45:00Z</member></Timestamps><Values><member>" + value->second + "</member></Values>";
      }
      list += "</member>";
    }
    return Said{200,
                "<GetMetricDataResponse><GetMetricDataResult><MetricDataResults>" + list +
                    "</MetricDataResults></GetMetricDataResult></GetMetricDataResponse>",
                {},
                {}};
  }
  Said Routes(const Seen& seen) {
    if (seen.request.method == "PATCH") {
      asked = seen.request.body;
      if (moves) percent = {{"us-east-1", 0}, {"eu-west-1", 100}};
      return Said{};
    }
    std::string list;
    for (const auto& [region, share] : percent) {
      list += "<Route><Bucket>b</Bucket><Region>" + region + "</Region><TrafficDialPercentage>" + std::to_string(share) +
              "</TrafficDialPercentage></Route>";
    }
    return Said{200,
                "<GetMultiRegionAccessPointRoutesResult><Routes>" + list + "</Routes></GetMultiRegionAccessPointRoutesResult>",
                {},
                {}};
  }
  AwsObjects Door() { return AwsObjects(*client_, settings_, aws_.clock, Log()); }
  void Copy() { objects["there"] = objects["here"]; }

  FakeAws aws_;
  std::unique_ptr<Client> client_ = aws_.MakeClient();
  AwsObjectsSettings settings_;
  std::map<std::string, std::string> objects;
  std::set<std::string> keys;
  std::string status = "PENDING";
  std::map<std::string, std::string> metrics;
  std::string rule_asked;
  std::map<std::string, int> percent = {{"us-east-1", 100}, {"eu-west-1", 0}};
  bool moves = true;
  std::string asked;
  std::set<std::string> silent;
  std::function<void()> on_look;
};

TEST_F(AwsObjectsTest, ACanaryHasArrivedWhenItStandsThereAndNotWhenItIsSaidToHave) {
  AwsObjects door = Door();
  const auto canary = aws_.Run(door.PutCanary(kFrom, 10s));
  ASSERT_TRUE(canary.ok()) << canary.error().Text();
  EXPECT_THAT(keys, ElementsAre("/invoices/lifeboat-canary-us-east-1"));
  status = "COMPLETED";
  const auto said = aws_.Run(door.AwaitCanary(*canary, kTo, 30s));
  ASSERT_TRUE(said.ok());
  EXPECT_FALSE(said->arrived);
  EXPECT_EQ(said->status, "COMPLETED");
  EXPECT_GE(said->took, 25s);
  const auto fresh = aws_.Run(door.PutCanary(kFrom, 10s));
  int looks = 0;
  on_look = [this, &looks] {
    if (++looks == 5) Copy();
  };
  const auto there = aws_.Run(door.AwaitCanary(*fresh, kTo, 1min));
  ASSERT_TRUE(there.ok());
  EXPECT_TRUE(there->arrived);
  EXPECT_EQ(there->took, 10s);
}

TEST_F(AwsObjectsTest, AnOlderCanaryIsNotThisOneAndFailedIsAnAnswer) {
  AwsObjects door = Door();
  const auto first = aws_.Run(door.PutCanary(kFrom, 10s));
  Copy();
  aws_.clock.passed += 1s;
  const auto second = aws_.Run(door.PutCanary(kFrom, 10s));
  EXPECT_FALSE(aws_.Run(door.AwaitCanary(*second, kTo, 10s))->arrived);
  EXPECT_TRUE(aws_.Run(door.AwaitCanary(*first, kTo, 10s))->arrived);
  Copy();
  EXPECT_TRUE(aws_.Run(door.AwaitCanary(*first, kTo, 10s))->arrived);  // overtaken by a newer one
  objects.erase("there");
  status = "FAILED";
  const Duration before = aws_.clock.passed;
  EXPECT_EQ(aws_.Run(door.AwaitCanary(*second, kTo, 1min))->status, "FAILED");
  EXPECT_EQ(aws_.clock.passed, before);
}

TEST_F(AwsObjectsTest, WithTheSourceLostTheTargetStillSaysHowFarTheCopyingHadCome) {
  AwsObjects door = Door();
  EXPECT_FALSE(aws_.Run(door.NewestArrival(kFrom, kTo, 10s))->has_value());
  const auto canary = aws_.Run(door.PutCanary(kFrom, 10s));
  Copy();
  metrics = {{"eu-west-1 OperationsPendingReplication", "7"},
             {"eu-west-1 BytesPendingReplication", "4096"},
             {"eu-west-1 ReplicationLatency", "12"},
             {"us-east-1 OperationsFailedReplication", "2"}};
  const auto whole = aws_.Run(door.Backlog(kFrom, kTo, 30s));
  ASSERT_TRUE(whole.ok()) << whole.error().Text();
  EXPECT_EQ(whole->failed_operations, 2u);
  silent.insert("us-east-1");
  aws_.seen.clear();
  const auto newest = aws_.Run(door.NewestArrival(kFrom, kTo, 10s));
  ASSERT_TRUE(newest.ok() && newest->has_value());
  EXPECT_EQ(**newest, canary->put);
  for (const Seen& seen : aws_.seen) EXPECT_EQ(seen.region, "eu-west-1");
  const auto backlog = aws_.Run(door.Backlog(kFrom, kTo, 30s));
  ASSERT_TRUE(backlog.ok()) << backlog.error().Text();
  EXPECT_EQ(rule_asked, "all");
  EXPECT_EQ(backlog->pending_operations, 7u);
  EXPECT_EQ(backlog->latency, 12s);
  EXPECT_FALSE(backlog->failed_operations.has_value());
  EXPECT_TRUE(backlog->at.has_value());
}

TEST_F(AwsObjectsTest, RoutesAreMovedInOneChangeAwayFromTheLostRegion) {
  settings_.access_point = "arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap";
  silent.insert("us-east-1");
  AwsObjects door = Door();
  ASSERT_TRUE(aws_.Run(door.RouteTo(kTo, kFrom, 1min)).ok());
  EXPECT_THAT(asked, HasSubstr("<Region>us-east-1</Region><TrafficDialPercentage>0<"));
  EXPECT_THAT(asked, HasSubstr("<Region>eu-west-1</Region><TrafficDialPercentage>100<"));
  for (const Seen& seen : aws_.seen) EXPECT_NE(seen.region, "us-east-1");
  asked.clear();
  ASSERT_TRUE(aws_.Run(door.RouteTo(kTo, kFrom, 1min)).ok());
  EXPECT_EQ(asked, "");
  // Taken and never seen: it is not known.
  percent = {{"us-east-1", 100}, {"eu-west-1", 0}};
  moves = false;
  EXPECT_EQ(aws_.Run(door.RouteTo(kTo, kFrom, 1min)).error().retry, Retry::kUnknownOutcome);
  EXPECT_EQ(aws_.Run(door.RouteTo(RegionName("sa-east-1"), kFrom, 1min)).error().retry, Retry::kFail);
  settings_.access_point.clear();
  AwsObjects without = Door();
  EXPECT_EQ(aws_.Run(without.RouteTo(kTo, kFrom, 1min)).error().retry, Retry::kFail);
}

TEST_F(AwsObjectsTest, CheckSaysWhatIsBehindAndWhatCouldNotBeSeen) {
  AwsObjects door = Door();
  const auto lines = [&] {
    const auto checked = aws_.Run(door.Check(kFrom, kTo, 15min, 40s));
    return checked.ok() ? WordsOf(*checked) : std::vector<std::string>{checked.error().Text()};
  };
  EXPECT_THAT(lines(),
              Contains(HasSubstr("fault: no canary of objects 'invoices' from 'us-east-1' to 'eu-west-1' has ever arrived")));
  EXPECT_THAT(lines(), Contains(HasSubstr("unknown: CloudWatch has no count")));
  (void)aws_.Run(door.PutCanary(kFrom, 10s));
  Copy();
  aws_.clock.passed += 5min;
  metrics = {{"eu-west-1 OperationsPendingReplication", "7"}, {"eu-west-1 ReplicationLatency", "12"}};
  EXPECT_THAT(lines(), Contains(HasSubstr("that has arrived was put 5 min 0 s ago")));
  EXPECT_THAT(lines(), Contains(HasSubstr("ok: 7 operations of objects")));
  EXPECT_THAT(lines(), Not(Contains(HasSubstr("fault"))));
  aws_.clock.passed += 15min;
  metrics["us-east-1 OperationsFailedReplication"] = "3";
  EXPECT_THAT(lines(), Contains(HasSubstr("15 min 0 s are allowed")));
  EXPECT_THAT(lines(), Contains(HasSubstr("fault: 3 operations of objects")));
  settings_.access_point = "arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap";
  percent = {{"us-east-1", 0}, {"eu-west-1", 100}};
  AwsObjects with = Door();
  const auto routed = aws_.Run(with.Check(kFrom, kTo, 0s, 40s));
  EXPECT_THAT(WordsOf(*routed), Contains(HasSubstr("sends nothing to 'us-east-1', which serves")));
  silent.insert("us-east-1");
  EXPECT_THAT(lines(),
              Contains(HasSubstr("unknown: of objects 'invoices' from 'us-east-1' to 'eu-west-1' could not be seen: replication")));
}

}  // namespace
}  // namespace lifeboat::aws
