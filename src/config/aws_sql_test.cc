// 'aws.sql' of lifeboat.yaml: what is read, what is refused and in which words.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/load.h"

namespace lifeboat {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr const char* kHead = R"(service: orders
objectives: {rto: 10min, rpo: 2min}
policy:
  automation: act
  failover_after: 30s
  loss_limit: {time: 20s}
store: {host: eu-west-1}
regions:
  - name: us-east-1
    agent: 127.77.1.1:7400
    state_directory: /srv/east
  - name: us-west-2
    agent: 127.77.2.1:7400
    state_directory: /srv/west
  - name: eu-west-1
    kind: witness
    agent: 127.77.3.1:7400
    state_directory: /srv/witness
token_file: /etc/lifeboat/token
aws:
  database:
    kind: aurora-global
    global_cluster: orders
    members:
      us-east-1: arn:aws:rds:us-east-1:123456789012:cluster:orders-east
      us-west-2: arn:aws:rds:us-west-2:123456789012:cluster:orders-west
)";
constexpr const char* kSql = R"(  sql:
    user: lifeboat
    database: orders
    password_file: /etc/lifeboat/passfile
    root_cert: /etc/lifeboat/rds.pem
    writers: {us-east-1: "e.cluster-x.example.com:5432", us-west-2: "[2001:db8::5]:5433"}
    readers: {us-east-1: "e.cluster-ro-x.example.com:5432", us-west-2: "10.0.2.5:5432"}
    global_endpoint: orders.global.example.com:6432
)";
const RegionName kEast("us-east-1");
const RegionName kWest("us-west-2");

Result<Settings> Parse(const std::string& text) {
  return ParseSettings(text, "lifeboat.yaml", [](const std::string&) { return std::optional<std::string>(); });
}
/// What the operator reads for the good file with one piece exchanged.
std::string ErrorOf(const std::string& piece, const std::string& replacement) {
  std::string text = std::string(kHead) + kSql;
  const auto at = text.find(piece);
  EXPECT_NE(at, std::string::npos) << "not in the good file: " << piece;
  const auto settings = Parse(text.replace(at, piece.size(), replacement));
  return settings.ok() ? "loaded" : settings.error().Text();
}

TEST(AwsSqlConfig, EveryKeyArrivesInItsPlace) {
  const auto loaded = Parse(std::string(kHead) + kSql);
  ASSERT_TRUE(loaded.ok()) << loaded.error().Text();
  ASSERT_TRUE(loaded->aws && loaded->aws->sql);
  const AwsSqlSettings& sql = *loaded->aws->sql;
  EXPECT_EQ(sql.user, "lifeboat");
  EXPECT_EQ(sql.database, "orders");
  EXPECT_EQ(sql.password_file, "/etc/lifeboat/passfile");
  EXPECT_EQ(sql.tls, SqlTls::kVerifyFull);
  EXPECT_EQ(sql.root_cert, "/etc/lifeboat/rds.pem");
  EXPECT_EQ(sql.writers.at(kEast), (SqlEndpoint{"e.cluster-x.example.com", 5432}));
  EXPECT_EQ(sql.writers.at(kWest), (SqlEndpoint{"2001:db8::5", 5433}));
  EXPECT_EQ(sql.readers.at(kWest), (SqlEndpoint{"10.0.2.5", 5432}));
  EXPECT_EQ(sql.global_endpoint, (SqlEndpoint{"orders.global.example.com", 6432}));
  EXPECT_FALSE(sql.port);
}

TEST(AwsSqlConfig, WithoutItNoSqlIsAskedAndTheShortestLossLimitIsAMinute) {
  const auto loaded = Parse(kHead);
  ASSERT_FALSE(loaded.ok());
  EXPECT_THAT(loaded.error().Text(), AllOf(HasSubstr("is shorter than 1min"), HasSubstr("aws.sql")));
}

TEST(AwsSqlConfig, HeartbeatsAllowAShorterLossLimitAndNotEveryOne) {
  EXPECT_THAT(ErrorOf("{time: 20s}", "{time: 10s}"), HasSubstr("loaded"));
  EXPECT_THAT(ErrorOf("{time: 20s}", "{time: 9s}"), AllOf(HasSubstr("lifeboat.yaml:6"), HasSubstr("is shorter than 10s")));
}

TEST(AwsSqlConfig, ACopyOfAnInstanceHasOneEndpoint) {
  std::string text = std::string(kHead) + kSql;
  text.replace(text.find("kind: aurora-global"), 19, "kind: rds-replica");
  text.replace(text.find("    global_cluster: orders\n"), 27, "");
  for (const char* arn :
       {"arn:aws:rds:us-east-1:123456789012:cluster:orders-east", "arn:aws:rds:us-west-2:123456789012:cluster:orders-west"})
    text.replace(text.find(arn), std::string(arn).size(), "orders");
  text.replace(text.find("    readers:"), text.find("    global_endpoint") - text.find("    readers:"), "");
  text.replace(text.find("    global_endpoint"), std::string::npos, "    port: 6000\n");
  text += R"(  traffic:
    zone: Z1
    kind: records
    name: db.example.net.
    targets: {us-east-1: east.example.net, us-west-2: west.example.net}
)";
  const auto loaded = Parse(text);
  ASSERT_TRUE(loaded.ok()) << loaded.error().Text();
  EXPECT_EQ(loaded->aws->sql->readers, loaded->aws->sql->writers);
  EXPECT_EQ(loaded->aws->sql->port, 6000);
}

TEST(AwsSqlConfig, AnAuroraSecondaryNeedsItsReaderEndpoint) {
  const std::string readers = R"(    readers: {us-east-1: "e.cluster-ro-x.example.com:5432", us-west-2: "10.0.2.5:5432"})";
  EXPECT_THAT(ErrorOf(readers + "\n", ""), AllOf(HasSubstr("'aws.sql.readers' is missing"), HasSubstr("reader endpoint")));
  EXPECT_THAT(ErrorOf(R"(us-west-2: "10.0.2.5:5432")", R"(mars: "10.0.2.5:5432")"),
              AllOf(HasSubstr("lifeboat.yaml:33"), HasSubstr("names 'mars', which is no data region"),
                    HasSubstr("lacks the data region 'us-west-2'")));
}

TEST(AwsSqlConfig, WhatIsNoEndpointIsRefused) {
  for (const char* wrong : {"10.0.2.5", ":5432", "10.0.2.5:0", "10.0.2.5:70000", "a b:5432", "2001:db8::5:5432", "[name]:5432"})
    EXPECT_THAT(ErrorOf("10.0.2.5:5432", wrong),
                AllOf(HasSubstr("lifeboat.yaml:33"), HasSubstr("which is no endpoint"), HasSubstr("host:port")))
        << wrong;
}

TEST(AwsSqlConfig, NothingTravelsReadableBeyondThisMachine) {
  EXPECT_THAT(ErrorOf("    root_cert: /etc/lifeboat/rds.pem\n", "    sslmode: disable\n"), HasSubstr("is no loopback address"));
  EXPECT_THAT(ErrorOf("    root_cert: /etc/lifeboat/rds.pem\n", ""),
              AllOf(HasSubstr("'aws.sql.root_cert' is missing"), HasSubstr("bundle")));
  EXPECT_THAT(ErrorOf("    root_cert: /etc/lifeboat/rds.pem\n", "    root_cert: /x\n    sslmode: require\n"),
              HasSubstr("says nothing where 'sslmode' does not verify"));
  EXPECT_THAT(ErrorOf("    root_cert: /etc/lifeboat/rds.pem\n", "    sslmode: require\n"), HasSubstr("loaded"));
}

TEST(AwsSqlConfig, ThePublicNameIsOneOfTwo) {
  EXPECT_THAT(ErrorOf("    global_endpoint: orders.global.example.com:6432\n", "    port: 5432\n"),
              HasSubstr("there is no 'aws.traffic'"));
  const std::string traffic =
      "  traffic: {zone: Z1, kind: records, name: db.example.net., targets: {us-east-1: a.example.net, us-west-2: "
      "b.example.net}}\n";
  const auto both = Parse(std::string(kHead) + traffic + kSql);
  ASSERT_FALSE(both.ok());
  EXPECT_THAT(both.error().Text(), HasSubstr("'aws.sql.global_endpoint' stands beside 'aws.traffic'"));
}

}  // namespace
}  // namespace lifeboat
