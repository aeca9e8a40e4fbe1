// Heartbeats, Aurora's lag and the canary of a database that a cloud runs, against two real PostgreSQL servers, a writer and a copy
// that streams from it: over TLS, with a password, by names that an own resolver leads to them. The cloud's function is made by
// hand, with its documented columns.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "adapters/postgres/managed_sql.h"
#include "support/real_postgres.h"
#include "support/run_task.h"

namespace lifeboat {
namespace {

using ::testing::AllOf;
using testing::Await;
using ::testing::HasSubstr;
using ::testing::Not;
using testing_support::AskServer;
using testing_support::PostgresLab;

const RegionName kEast("us-east-1");
const RegionName kWest("us-west-2");
constexpr Duration kPatience = 20s;

/// Who is a server of the service, by name.
Result<std::string> LookUp(const std::string& host) {
  if (host == "orders-east.test" || host == "orders-west.test" || host == "another.test") return std::string("127.0.0.1");
  return NotFound("'" + host + "' cannot be resolved");
}

class ManagedSqlTest : public ::testing::Test {
 protected:
  static constexpr const char* kBin = "/usr/lib/postgresql/15/bin/";

  void SetUp() override {
    const std::string certificates = lab_.MakeFolder("tls").string();
    const CommandOutput made =
        lab_.Run({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                  "-subj", "/CN=orders", "-addext", "subjectAltName=DNS:orders-east.test,DNS:orders-west.test", "-keyout",
                  certificates + "/server.key", "-out", certificates + "/server.crt"});
    ASSERT_EQ(made.exit_code, 0) << made.err;
    testing_support::ServerOptions options;
    options.more_settings =
        "ssl = on\nssl_cert_file = '" + certificates + "/server.crt'\nssl_key_file = '" + certificates + "/server.key'\n";
    east_ = lab_.Initialise("east", options);
    WriteAccess(east_);
    lab_.StartByAnyone(east_);
    AskServer(east_, "CREATE ROLE lifeboat LOGIN PASSWORD 'secret-of-the-test'");
    AskServer(east_, "GRANT CREATE ON DATABASE postgres TO lifeboat");
    settings_.user = "lifeboat";
    settings_.root_cert = certificates + "/server.crt";
    settings_.password_file = lab_.folder().string() + "/passfile";
    std::ofstream(*settings_.password_file) << "*:*:*:lifeboat:secret-of-the-test\n";
    chmod(settings_.password_file->c_str(), 0600);
    settings_.writers[kEast] = settings_.readers[kEast] = {"orders-east.test", east_.address.port};
  }
  static void WriteAccess(const DatabaseSettings& server) {
    std::ofstream(server.data_directory + "/pg_hba.conf")
        << "local all all trust\nhost all postgres 127.0.0.1/32 trust\n"
           "host replication all 127.0.0.1/32 trust\nhostssl all lifeboat 127.0.0.1/32 scram-sha-256\n";
  }
  /// The other region's copy.
  void AddWest() {
    west_ = lab_.Reserve("west");
    const CommandOutput copied =
        lab_.Run({std::string(kBin) + "pg_basebackup", "-h", "127.0.0.1", "-p", std::to_string(east_.address.port), "-U",
                  "postgres", "-D", west_.data_directory, "-R", "-c", "fast", "-X", "stream"});
    ASSERT_EQ(copied.exit_code, 0) << copied.err;
    std::ofstream(west_.data_directory + "/postgresql.conf", std::ios::app)
        << "port = " << west_.address.port << "\nunix_socket_directories = '" << west_.socket_directory << "'\n";
    lab_.StartByAnyone(west_);
    settings_.writers[kWest] = settings_.readers[kWest] = {"orders-west.test", west_.address.port};
  }
  std::unique_ptr<postgres::PostgresManagedSql> Door(const RegionName& self) {
    return std::make_unique<postgres::PostgresManagedSql>(io_.get_executor(), self, settings_, resolver_);
  }
  /// Asks until the answer is as wanted.
  template <typename Answer>
  bool Becomes(const std::function<Answer()>& ask, const std::function<bool(const Answer&)>& wanted) {
    const auto end = std::chrono::steady_clock::now() + 30s;
    while (std::chrono::steady_clock::now() < end) {
      if (wanted(ask())) return true;
    }
    return false;
  }

  PostgresLab lab_;
  DatabaseSettings east_;
  DatabaseSettings west_;
  AwsSqlSettings settings_;
  boost::asio::io_context io_;
  postgres::HostResolver resolver_{io_.get_executor(), LookUp};
};

TEST_F(ManagedSqlTest, BeatsTravelOverTlsToTheCopyAndSurviveOnTheNewWriter) {
  AddWest();
  auto east = Door(kEast);
  auto west = Door(kWest);
  const auto first = Await(io_, east->Beat({3}, kPatience));
  ASSERT_TRUE(first.ok()) << first.error().Text();
  EXPECT_EQ(first->sequence, 1u);
  EXPECT_EQ(first->epoch, (Epoch{3}));
  EXPECT_THAT(first->position, HasSubstr("/"));
  EXPECT_EQ(east->Protection(SqlEnd::kWriter), "TLSv1.3");
  const auto second = Await(io_, east->Beat({3}, kPatience));
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->sequence, 2u);
  EXPECT_GT(second->at, first->at);
  // The copy shows it, with the writer's own time.
  using Rows = Result<std::vector<Heartbeat>>;
  const bool arrived = Becomes<Rows>([&] { return Await(io_, west->ReadBeats(kWest, SqlEnd::kReader, kPatience)); },
                                     [&](const Rows& rows) { return rows.ok() && !rows->empty() && rows->front() == *second; });
  EXPECT_TRUE(arrived);
  // A copy takes no beat, and says so in a way that is no fault of the connection.
  const auto refused = Await(io_, west->Beat({3}, kPatience));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().retry, Retry::kRefused) << refused.error().Text();
  // When the copy has become the writer it still holds the old one's row, and begins one of its own.
  ASSERT_EQ(lab_.Run({std::string(kBin) + "pg_ctl", "promote", "-w", "-D", west_.data_directory}).exit_code, 0);
  const auto own = Await(io_, west->Beat({4}, kPatience));
  ASSERT_TRUE(own.ok()) << own.error().Text();
  EXPECT_EQ(own->sequence, 1u);
  const auto rows = Await(io_, west->ReadBeats(kWest, SqlEnd::kWriter, kPatience));
  ASSERT_TRUE(rows.ok());
  ASSERT_EQ(rows->size(), 2u);
  EXPECT_EQ(rows->front(), *second);
}

TEST_F(ManagedSqlTest, ABeatOfAnEarlierEpochOverwritesNothing) {
  auto east = Door(kEast);
  ASSERT_TRUE(Await(io_, east->Beat({5}, kPatience)).ok());
  const auto late = Await(io_, east->Beat({4}, kPatience));
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().retry, Retry::kRefused);
  EXPECT_EQ(AskServer(east_, "SELECT epoch FROM lifeboat.beat"), "5");
}

TEST_F(ManagedSqlTest, AurorasLagIsReadAsItsDocumentationWritesIt) {
  auto east = Door(kEast);
  const auto none = Await(io_, east->GlobalLags(SqlEnd::kWriter, kPatience));
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().retry, Retry::kNotFound);
  ASSERT_TRUE(AskServer(
      east_, R"(CREATE FUNCTION pg_catalog.aurora_global_db_status() RETURNS TABLE (aws_region text, highest_lsn_written bigint,
      durability_lag_in_msec bigint, rpo_lag_in_msec bigint, last_lag_calculation_time timestamptz, feedback_epoch bigint, feedback_xmin bigint)
      LANGUAGE sql AS $$ VALUES
        ('us-east-1', 93763984222::bigint, -1::bigint, -1::bigint, '1970-01-01 00:00:00+00'::timestamptz, 0::bigint, 0::bigint),
        ('eu-west-1', 93763984222, 0, 0, NULL, 2, 3315479243),
        ('eu-central-1', 93763984222, 0, 0, clock_timestamp() + interval '1 hour', 2, 3315479243),
        ('us-west-2', 93763984222, 900, 250, clock_timestamp() - interval '7 seconds', 2, 3315479243) $$)"));
  const auto again = Await(io_, Door(kEast)->GlobalLags(SqlEnd::kWriter, kPatience));
  ASSERT_TRUE(again.ok()) << again.error().Text();
  ASSERT_EQ(again->size(), 1u) << "the writer's own row is no lag, and one of no time or of a time to come is of no known age";
  EXPECT_EQ(again->front().region, kWest);
  EXPECT_EQ(again->front().rpo, Duration(250ms));
  EXPECT_EQ(again->front().durability, Duration(900ms));
  EXPECT_GE(again->front().age, 7s);
}

TEST_F(ManagedSqlTest, ARoleThatMayNotMakeTheSchemaIsToldWhatIsMissing) {
  AskServer(east_, "REVOKE CREATE ON DATABASE postgres FROM lifeboat");
  const auto refused = Await(io_, Door(kEast)->Beat({1}, kPatience));
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().Text(), AllOf(HasSubstr("the schema 'lifeboat' could not be made"), HasSubstr("permission denied"),
                                            HasSubstr("docs/aws.md")));
  // Made by hand, as the document says, it needs no such right.
  for (const char* statement :
       {"CREATE SCHEMA lifeboat",
        "CREATE TABLE lifeboat.beat (region text PRIMARY KEY, sequence bigint NOT NULL, epoch bigint NOT NULL, "
        "at timestamptz NOT NULL, position text NOT NULL)",
        "CREATE TABLE lifeboat.canary (region text PRIMARY KEY, sequence bigint NOT NULL, epoch bigint NOT NULL, at timestamptz "
        "NOT NULL)",
        "GRANT USAGE ON SCHEMA lifeboat TO lifeboat", "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA lifeboat TO lifeboat"})
    ASSERT_TRUE(AskServer(east_, statement)) << statement;
  const auto beat = Await(io_, Door(kEast)->Beat({1}, kPatience));
  EXPECT_TRUE(beat.ok()) << beat.error().Text();
}

TEST_F(ManagedSqlTest, WhoeverIsNotProvenToBeTheServerHearsNoPassword) {
  // The right server under a name that its certificate does not bear.
  settings_.writers[kEast].host = "another.test";
  const auto other = Await(io_, Door(kEast)->Beat({1}, kPatience));
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.error().retry, Retry::kFail);
  EXPECT_THAT(other.error().Text(), AllOf(HasSubstr("another.test"), HasSubstr("root_cert"), Not(HasSubstr("secret-of-the-test"))));
  EXPECT_EQ(AskServer(east_, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'lifeboat'"), "0");
  // Without verifying the name it would have been let in: the name was what refused it.
  settings_.tls = SqlTls::kVerifyCa;
  EXPECT_TRUE(Await(io_, Door(kEast)->Beat({1}, kPatience)).ok());
}

TEST_F(ManagedSqlTest, AWrongPasswordSaysWhereToLookAndNeverWhatItWas) {
  std::ofstream(*settings_.password_file) << "*:*:*:lifeboat:wrong-and-unseen\n";
  const auto refused = Await(io_, Door(kEast)->Beat({1}, kPatience));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().retry, Retry::kFail);
  EXPECT_THAT(refused.error().Text(), AllOf(HasSubstr("aws.sql.user"), Not(HasSubstr("wrong-and-unseen"))));
}

TEST_F(ManagedSqlTest, TheCanaryGoesWhereTheNameLeadsAndSaysWhere) {
  AddWest();
  AwsTrafficSettings traffic;
  traffic.type = "CNAME";
  traffic.targets = {{kEast, "Orders-East.test."}, {kWest, "orders-west.test"}};
  Result<std::string> name = std::string("orders-east.test.");
  const auto ask = [](Result<std::string>* answer) -> Task<Result<std::string>> { co_return *answer; };
  postgres::ManagedCanary canary(
      io_.get_executor(), kEast, settings_, traffic, [&](Duration) { return ask(&name); }, resolver_);
  ASSERT_TRUE(Await(io_, Door(kEast)->Beat({1}, kPatience)).ok()) << "it makes the tables";
  const auto written = Await(io_, canary.Write(kPatience));
  ASSERT_TRUE(written.ok()) << written.error().Text();
  EXPECT_EQ(*written, "Orders-East.test.") << "as the settings write it";
  EXPECT_EQ(AskServer(east_, "SELECT sequence FROM lifeboat.canary WHERE region = 'us-east-1'"), "1");
  // Where the name leads to a copy the row is refused: that is telling.
  name = std::string("ORDERS-WEST.test");
  const auto refused = Await(io_, canary.Write(kPatience));
  ASSERT_FALSE(refused.ok());
  EXPECT_FALSE(refused.error().not_weighed) << refused.error().Text();
  EXPECT_THAT(refused.error().message, HasSubstr("orders-west.test"));
  // Once it is the writer the next row is good.
  ASSERT_EQ(lab_.Run({std::string(kBin) + "pg_ctl", "promote", "-w", "-D", west_.data_directory}).exit_code, 0);
  const auto moved = Await(io_, canary.Write(kPatience));
  ASSERT_TRUE(moved.ok()) << moved.error().Text();
  EXPECT_EQ(*moved, "orders-west.test");
  // A name that leads nowhere, or to no region, says nothing of any writer.
  name = std::string("parked.example.net");
  EXPECT_TRUE(Await(io_, canary.Write(kPatience)).error().not_weighed);
  name = RetryLater("no name server answers");
  EXPECT_TRUE(Await(io_, canary.Write(kPatience)).error().not_weighed);
}

TEST_F(ManagedSqlTest, AnAddressRecordIsProvenByTheWritersCertificate) {
  ASSERT_TRUE(Await(io_, Door(kEast)->Beat({1}, kPatience)).ok());
  AwsTrafficSettings traffic;
  traffic.type = "A";
  traffic.targets = {{kEast, "127.0.0.1"}};
  const auto ask = []() -> Task<Result<std::string>> { co_return std::string("127.0.0.1"); };
  postgres::ManagedCanary canary(
      io_.get_executor(), kWest, settings_, traffic, [&](Duration) { return ask(); }, resolver_);
  const auto written = Await(io_, canary.Write(kPatience));
  ASSERT_TRUE(written.ok()) << written.error().Text();
  EXPECT_EQ(*written, "127.0.0.1");
}

TEST_F(ManagedSqlTest, WhereNoNameIsKeptTheCloudsEndpointSaysWhichWriterItIs) {
  ASSERT_TRUE(Await(io_, Door(kEast)->Beat({1}, kPatience)).ok());
  settings_.tls = SqlTls::kVerifyCa;
  settings_.global_endpoint = SqlEndpoint{"another.test", east_.address.port};
  postgres::ManagedCanary canary(io_.get_executor(), kWest, settings_, std::nullopt, {}, resolver_);
  const auto written = Await(io_, canary.Write(kPatience));
  ASSERT_TRUE(written.ok()) << written.error().Text();
  EXPECT_EQ(*written, "orders-east.test");
  settings_.writers[kEast].host = "10.0.0.1";
  postgres::ManagedCanary elsewhere(io_.get_executor(), kWest, settings_, std::nullopt, {}, resolver_);
  EXPECT_TRUE(Await(io_, elsewhere.Write(kPatience)).error().not_weighed);
}

TEST_F(ManagedSqlTest, AServerThatStandsStillIsGivenUpAndTheNextQuestionBeginsAnew) {
  auto east = Door(kEast);
  ASSERT_TRUE(Await(io_, east->Beat({1}, kPatience)).ok());
  const pid_t backend = std::stoi(*AskServer(east_, "SELECT pid FROM pg_stat_activity WHERE usename = 'lifeboat'"));
  ASSERT_EQ(kill(backend, SIGSTOP), 0);
  const auto hung = Await(io_, east->Beat({1}, 500ms));
  ASSERT_FALSE(hung.ok());
  EXPECT_EQ(hung.error().retry, Retry::kUnknownOutcome) << hung.error().Text();
  const auto next = Await(io_, east->Beat({1}, kPatience));
  EXPECT_TRUE(next.ok()) << next.error().Text();
  ASSERT_EQ(kill(backend, SIGCONT), 0);
}

}  // namespace
}  // namespace lifeboat
