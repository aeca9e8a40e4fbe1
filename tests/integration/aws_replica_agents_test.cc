// RDS for PostgreSQL inside the agents: a primary and its replica in another region, three agents, the name by Route 53's data
// plane and a real DNS server. The primary's region is lost, the replica is promoted, and the way back. Every request is checked
// against the vendor's models.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

// Before the others: it speaks of GoogleTest as "testing", which they make a namespace of ours.
#include "support/operator_lab.h"

#include "adapters/aws/protocol.h"
#include "adapters/aws/traffic.h"
#include "adapters/aws/xml.h"
#include "adapters/dns/dns_traffic.h"
#include "adapters/dns/name_servers.h"
#include "adapters/system/files.h"
#include "lab/aws_agents.h"
#include "prove/phases.h"
#include "support/aws_aurora_world.h"
#include "support/aws_route53_plane.h"
#include "support/aws_three_agents.h"
#include "support/real_knot.h"

namespace lifeboat::testing {
namespace {

using ::testing::HasSubstr;

// Not us-east-1: a change of records, by which the name moves here, needs it whatever region is lost.
const RegionName kOne("eu-west-1");
const RegionName kTwo("us-west-2");
constexpr const char* kOneAddress = "192.0.2.1";
constexpr const char* kTwoAddress = "192.0.2.2";
constexpr const char* kNamespace = "https://route53.amazonaws.com/doc/2013-04-01/";

/// A primary with a replica, and a name that leads to the primary, made past the roads.
class RdsWorld {
 public:
  RdsWorld() {
    Rds(kOne, "CreateDBInstance",
        {{"DBInstanceIdentifier", primary},
         {"Engine", "postgres"},
         {"EngineVersion", "15.8"},
         {"DBInstanceClass", "db.t3.micro"},
         {"AllocatedStorage", "20"},
         {"MasterUsername", "lifeboat"},
         {"MasterUserPassword", "not-a-secret-1"},
         {"BackupRetentionPeriod", "1"}});
    Rds(kTwo, "CreateDBInstanceReadReplica",
        {{"DBInstanceIdentifier", replica},
         {"SourceDBInstanceIdentifier", Look(kOne, primary)->arn},
         {"DBInstanceClass", "db.t3.micro"}});
    const std::string made =
        Route53("hostedzone", "CreateHostedZoneRequest",
                "<Name>" + std::string(RealKnot::kZone) + "</Name><CallerReference>" + RandomHex(8) + "</CallerReference>");
    zone = (*aws::ParseXml(made, "the zone"))["HostedZone"]["Id"].text.substr(std::string("/hostedzone/").size());
    Route53("hostedzone/" + zone + "/rrset/", "ChangeResourceRecordSetsRequest",
            "<ChangeBatch><Changes><Change><Action>UPSERT</Action><ResourceRecordSet><Name>" + std::string(RealKnot::kName) +
                "</Name><Type>A</Type><TTL>5</TTL><ResourceRecords><ResourceRecord><Value>" + kOneAddress +
                "</Value></ResourceRecord></ResourceRecords></ResourceRecordSet></Change></Changes></ChangeBatch>");
  }

  Result<aws::rds::DbInstance> Look(const RegionName& region, const std::string& id) {
    return Await(context, aws::rds::DescribeDbInstance(*maker_, region.text, id, 30s));
  }
  /// What a person does with the old primary, once what it holds is saved.
  void Delete(const RegionName& region, const std::string& id) {
    Rds(region, "DeleteDBInstance", {{"DBInstanceIdentifier", id}, {"SkipFinalSnapshot", "true"}});
  }
  /// AWS refuses its own namespace; the emulator takes it.
  void ReportLag(const RegionName& region, const std::string& id, double seconds) {
    const aws::QueryParameters datum = {{"Namespace", "AWS/RDS"},
                                        {"MetricData.member.1.MetricName", "ReplicaLag"},
                                        {"MetricData.member.1.Dimensions.member.1.Name", "DBInstanceIdentifier"},
                                        {"MetricData.member.1.Dimensions.member.1.Value", id},
                                        {"MetricData.member.1.Value", std::to_string(seconds)}};
    Send(aws::QueryCall({"monitoring", "2010-08-01"}, region.text, "PutMetricData", datum, aws::Effect::kOnce));
  }
  /// What a client is given.
  std::string Answered() {
    const auto answer = Await(context, ResolveAddress(context.get_executor(), knot.endpoint(), RealKnot::kName, 5s));
    return answer.ok() ? *answer : answer.error().message;
  }

  AwsSettings Settings() const {
    AwsSettings settings;
    settings.database.emplace();
    settings.database->kind = AwsDatabaseKind::kRdsReplica;
    settings.database->members = {{kOne, primary}, {kTwo, replica}};
    settings.database->backup_days = 9;
    settings.traffic.emplace();
    settings.traffic->kind = AwsTrafficKind::kRecords;
    settings.traffic->zone = zone;
    settings.traffic->name = RealKnot::kName;
    settings.traffic->type = "A";
    settings.traffic->targets = {{kOne, kOneAddress}, {kTwo, kTwoAddress}};
    return settings;
  }

  boost::asio::io_context context;
  RealAws aws{AwsEmulator::kMoto};  // the other one makes no replicas
  RealKnot knot;
  const DnsSettings update = knot.ClientSettings();
  Route53Plane plane{aws, knot.endpoint(), update.key_name, update.key_algorithm, knot.secret()};
  const std::string primary = "orders-1-" + RandomHex(4);
  const std::string replica = "orders-2-" + RandomHex(4);
  std::string zone;

 private:
  std::string Send(aws::Call call) {
    const auto reply = Await(context, maker_->Send(std::move(call), 30s));
    if (!reply) throw std::runtime_error(reply.error().Text());
    return reply->body;
  }
  void Rds(const RegionName& region, const std::string& action, const aws::QueryParameters& parameters) {
    Send(aws::QueryCall({"rds", "2014-10-31"}, region.text, action, parameters, aws::Effect::kOnce));
  }
  std::string Route53(const std::string& path, const std::string& root, const std::string& inside) {
    aws::Call call;
    call.service = "route53";
    call.region = "us-east-1";
    call.operation = "POST " + path;
    call.method = "POST";
    call.path = "/2013-04-01/" + path;
    call.body = "<" + root + " xmlns=\"" + kNamespace + "\">" + inside + "</" + root + ">";
    return Send(std::move(call));
  }
  std::shared_ptr<aws::Client> maker_ = MakeAwsClient(context, {{"*", aws.Url()}});
};

class AwsReplicaAgentsTest : public ::testing::Test {
 protected:
  AwsReplicaAgentsTest() {
    agents_.Start([this](const RegionName& region, std::shared_ptr<aws::Client> client) -> std::unique_ptr<Traffic> {
      aws::AwsTrafficOptions options;
      options.own = region;
      options.look_every = 50ms;
      auto traffic = aws::OpenAwsTraffic(std::move(client), names_, *world_.Settings().traffic, options, agents_.clock(), Log());
      if (!traffic) throw std::runtime_error(traffic.error().Text());
      return std::move(*traffic);
    });
  }
  bool Ready() {
    world_.ReportLag(kTwo, world_.replica, 1.5);
    return agents_.Until([&] {
      const auto& record = agents_.agent(kTwo).world().traffic();
      return agents_.agent(kTwo).decision().rule == 680 && agents_.agent(ThreeAgents::kWitness).keeper().item() && record &&
             record->address == kOneAddress;
    });
  }
  std::string Why() { return agents_.agent(kTwo).decision().reason + "; " + agents_.agent(kTwo).world().traffic_problem(); }
  /// The primary's region is lost and its replica promoted.
  Execution LoseAndFailOver() {
    agents_.Lose(kOne);
    EXPECT_TRUE(agents_.Until([&] { return agents_.agent(kTwo).snapshot().execution.has_value(); })) << Why();
    return agents_.Ended(1);
  }
  std::size_t CountOf(const std::string& operation) {
    return agents_.road.CountOf("rds", operation) + agents_.others_road.CountOf("rds", operation);
  }

  RdsWorld world_;
  std::shared_ptr<NameServers> names_ = std::make_shared<DnsNameServers>(
      world_.context.get_executor(), std::vector<Endpoint>{world_.knot.endpoint()}, world_.knot.endpoint().port);
  ThreeAgents agents_{world_.context, world_.aws, kOne, kTwo, world_.Settings()};
};

TEST_F(AwsReplicaAgentsTest, ALostPrimaryIsReplacedByItsReplicaWithBackupsAndClientsFollow) {
  // given: a switchover is refused, with what is left to do
  ASSERT_TRUE(Ready()) << Why();
  const auto refused = agents_.Ask(ThreeAgents::kWitness, "switchover", {{"to", kTwo.text}, {"by", "ann"}});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().retry, Retry::kRefused);
  EXPECT_THAT(refused.error().hint, HasSubstr("lifeboat failover --to " + kTwo.text + " --accept-loss"));
  EXPECT_TRUE(agents_.Executions().empty());

  // when: nobody commands anything
  const Execution e = LoseAndFailOver();

  // then: promoted once, at the replica's region, with the retention of the file
  EXPECT_EQ(e.state, ExecutionState::kDone) << ToJson(e).dump(1);
  EXPECT_EQ(e.requested_by, "rule 650");
  EXPECT_EQ(CountOf("PromoteReadReplica"), 1u);
  const auto promoted = world_.Look(kTwo, world_.replica);
  ASSERT_TRUE(promoted.ok()) << promoted.error().Text();
  EXPECT_EQ(promoted->replica_of, "");
  EXPECT_EQ(promoted->backup_days, 9u);
  // Clients are sent there, as every name server of the zone says.
  EXPECT_EQ(world_.Answered(), kTwoAddress);
  EXPECT_EQ(agents_.agent(kTwo).keeper().item()->writer, kTwo);
  EXPECT_TRUE(agents_.agent(kTwo).keeper().item()->apart);
  // The report: bounded by the lag, nothing stopped the old primary, the outage by phase.
  EXPECT_EQ(TextAt(MemberAt(e.facts, "loss_estimate"), "state"), "bounded");
  EXPECT_EQ(TextAt(e.facts, "fence_word"), "none");
  const PhaseReport phases = ComputePhases(e);
  EXPECT_TRUE(phases.rto.has_value());
  EXPECT_GE(NumberAt(e.facts, "ttl_s"), 5u);
  const auto chain = agents_.Ask(kTwo, "evidence.list", Json::object());
  ASSERT_TRUE(chain.ok());
  EXPECT_THAT(chain->dump(), HasSubstr(e.id.text));
  // Nothing of it waited for the lost region: from the promotion on the agent that takes over asks it nothing before clients are
  // served.
  bool begun = false;
  for (const Json& request : agents_.road.Requests()) {
    begun = begun || TextAt(request, "operation") == "PromoteReadReplica";
    if (begun && TextAt(request, "service") == "rds") {
      EXPECT_EQ(TextAt(request, "region"), kTwo.text) << request.dump();
    }
    if (begun && TextAt(request, "operation") == "POST /2013-04-01/hostedzone/" + world_.zone + "/rrset/") break;
  }
  EXPECT_EQ(agents_.road.Invalid(), "");
  EXPECT_EQ(agents_.others_road.Invalid(), "");
}

TEST_F(AwsReplicaAgentsTest, TheOldPrimaryIsNeverTouchedAndAReplicaIsMadeOnceItIsGone) {
  // given
  ASSERT_TRUE(Ready()) << Why();
  ASSERT_EQ(LoseAndFailOver().state, ExecutionState::kDone);

  // when: the region is back, and with it the old primary, which follows nobody and takes writes
  agents_.Return(kOne);
  ASSERT_TRUE(agents_.Until([&] { return agents_.agent(kOne).decision().rule == 670; })) << agents_.agent(kOne).decision().reason;

  // then: it is not followed back, and a rejoin says what a person has to do
  EXPECT_EQ(agents_.agent(kOne).keeper().item()->writer, kTwo);
  ASSERT_TRUE(agents_.AskUntilBegun(kOne, "rejoin", {{"region", kOne.text}, {"by", "ann"}}).ok());
  const Execution refused = agents_.Ended(2);
  EXPECT_NE(refused.state, ExecutionState::kDone) << ToJson(refused).dump(1);
  EXPECT_THAT(ToJson(refused).dump(), HasSubstr("may hold writes that were lost"));
  EXPECT_THAT(ToJson(refused).dump(), HasSubstr("rename or delete it"));
  EXPECT_EQ(CountOf("CreateDBInstanceReadReplica"), 0u);
  EXPECT_TRUE(world_.Look(kOne, world_.primary).ok());

  // when: a person has saved its writes and deleted it
  world_.Delete(kOne, world_.primary);
  ASSERT_TRUE(agents_.AskUntilBegun(kOne, "rejoin", {{"region", kOne.text}, {"by", "ann"}}).ok());
  const Execution done = agents_.Ended(3);

  // then: a replica of the new primary under the old name
  EXPECT_EQ(done.state, ExecutionState::kDone) << ToJson(done).dump(1);
  const auto made = world_.Look(kOne, world_.primary);
  ASSERT_TRUE(made.ok()) << made.error().Text();
  EXPECT_EQ(made->replica_of, world_.Look(kTwo, world_.replica)->arn);
  EXPECT_FALSE(agents_.agent(kOne).keeper().item()->apart);
  // It could take over, once its lag is known.
  world_.ReportLag(kOne, world_.primary, 0.5);
  EXPECT_TRUE(agents_.Until([&] { return agents_.agent(kOne).decision().rule == 680; })) << agents_.agent(kOne).decision().reason;

  // And a rejoin of what follows already makes nothing.
  ASSERT_TRUE(agents_.AskUntilBegun(kOne, "rejoin", {{"region", kOne.text}, {"by", "ann"}}).ok());
  EXPECT_EQ(agents_.Ended(4).state, ExecutionState::kDone);
  EXPECT_EQ(CountOf("CreateDBInstanceReadReplica"), 1u);
  EXPECT_EQ(CountOf("DeleteDBInstance"), 0u);
  EXPECT_EQ(agents_.others_road.Invalid(), "");
}

TEST_F(AwsReplicaAgentsTest, APromotionWhoseAnswerIsLostIsAskedForOnce) {
  ASSERT_TRUE(Ready()) << Why();
  agents_.Lose(kOne);
  agents_.road.Faults(
      {{{"do", "silent"}, {"region", kOne.text}}, {{"do", "lose_answer"}, {"operation", "PromoteReadReplica"}, {"times", 1}}});
  ASSERT_TRUE(agents_.Until([&] { return agents_.agent(kTwo).snapshot().execution.has_value(); })) << Why();
  const Execution e = agents_.Ended(1);
  EXPECT_EQ(e.state, ExecutionState::kDone) << ToJson(e).dump(1);
  EXPECT_EQ(CountOf("PromoteReadReplica"), 1u);
  EXPECT_EQ(world_.Answered(), kTwoAddress);
}

// ---- the program ----

/// Three agents of the real program, at their default pace.
class AwsReplicaProgramTest : public ::testing::Test {
 protected:
  AwsReplicaProgramTest() {
    lab::AwsAgentsOptions options;
    options.folder = folder_.path();
    options.program = LIFEBOAT_PROGRAM;
    options.url = road_.Url();
    options.access_key = kAwsAccessKey;
    options.secret_key = kAwsSecretKey;
    options.global_cluster = "none";
    options.members = {{kOne.text, world_.primary}, {kTwo.text, world_.replica}};
    options.witness = kThird;
    options.more = std::string("    backup_regions: [") + kPlace +
                   ", ap-south-1]\n  traffic: {kind: records, zone: " + world_.zone + ", name: " + RealKnot::kName +
                   ", type: A, targets: {" + kOne.text + ": " + kOneAddress + ", " + kTwo.text + ": " + kTwoAddress +
                   "}, name_servers: [\"" + world_.knot.endpoint().Text() + "\"]}\n";
    agents_ = std::make_unique<lab::AwsAgents>(std::move(options));
  }
  void Start() {
    const auto prepared = agents_->Prepare();
    ASSERT_TRUE(prepared.ok()) << prepared.error().Text();
    const std::string file = agents_->lab().Config().string();
    auto config = ReadSmallFile(file);
    ASSERT_TRUE(config.ok());
    const std::string aurora = "kind: aurora-global\n    global_cluster: none\n";
    config->replace(config->find(aurora), aurora.size(), "kind: rds-replica\n");
    ASSERT_TRUE(WriteFileDurably(file, *config).ok());
    for (const std::string& region : {std::string(kThird), kOne.text, kTwo.text}) {
      const auto started = agents_->Start(region);
      ASSERT_TRUE(started.ok()) << started.error().Text();
    }
    const auto healthy = agents_->AwaitHealthy(kOne.text, 60s, [](const std::string&) { return true; });
    ASSERT_TRUE(healthy.ok()) << healthy.error().Text();
  }
  /// RDS's answer in a region that keeps a copy, of this moment.
  std::string Copies() {
    std::ifstream in(std::string(LIFEBOAT_FIXTURES) + "/rds_automated_backups.xml");
    std::string text{std::istreambuf_iterator<char>(in), {}};
    const auto put = [&text](const std::string& old, const std::string& now) {
      for (std::size_t at = text.find(old); at != std::string::npos; at = text.find(old, at + now.size()))
        text.replace(at, old.size(), now);
    };
    put("orders-1", world_.primary);
    put("us-east-1", kOne.text);
    put("2026-11-23T11:40:22Z", FormatWallTime(WallTime{ReadWallClock().ns - Duration(4min).count()}));
    const auto client = MakeAwsClient(world_.context, {{"*", world_.aws.Url()}});
    const Json key = AwsJson(world_.context, *client, "kms", "TrentService.CreateKey", kPlace, Json::object());
    put("arn:aws:kms:eu-central-1:123456789012:key/0d5b8f0e-2f3e-4b52-9a0e-1c1f0a4c2a11",
        TextAt(MemberAt(key, "KeyMetadata"), "Arn"));
    return text;
  }
  testing_support::ProgramEnd Run(const std::vector<std::string>& arguments) {
    return testing_support::RunProgram(LIFEBOAT_PROGRAM, arguments,
                                       {{"LIFEBOAT_CONFIG", agents_->lab().Config().string()},
                                        {"AWS_ENDPOINT_URL", road_.Url()},
                                        {"AWS_ACCESS_KEY_ID", kAwsAccessKey},
                                        {"AWS_SECRET_ACCESS_KEY", kAwsSecretKey}});
  }

  static constexpr const char* kPlace = "eu-central-1";
  static constexpr const char* kThird = "us-east-2";
  RdsWorld world_;
  AwsRoad road_{world_.aws};
  testing_support::ScratchFolder folder_;
  std::unique_ptr<lab::AwsAgents> agents_;
};

TEST_F(AwsReplicaProgramTest, RefusesASwitchoverAndNamesTheCopiesOfAutomatedBackups) {
  // given: one region keeps a copy, as no emulator does; another one that should keep one has none
  road_.Faults({{{"do", "answer"}, {"operation", "DescribeDBInstanceAutomatedBackups"}, {"region", kPlace}, {"body", Copies()}}});
  ASSERT_NO_FATAL_FAILURE(Start());

  testing_support::ProgramEnd refused;
  testing_support::Eventually([&] {  // an agent that has just begun does not know yet where the writer is
    refused = Run({"switchover", "--to", kTwo.text});
    return refused.exit_code != 1;
  });
  EXPECT_EQ(refused.exit_code, 3) << refused.Said();
  EXPECT_THAT(refused.Said(), HasSubstr("RDS has no switchover of a read replica without loss"));
  EXPECT_EQ(road_.CountOf("rds", "PromoteReadReplica"), 0u);

  const auto check = Run({"check"});
  EXPECT_THAT(check.Said(), HasSubstr("copied automated backups of '" + world_.primary +
                                      "' (eu-west-1) in 'eu-central-1' are 'active', restore to 2026-11-16"));
  EXPECT_THAT(check.Said(), HasSubstr("its key is 'Enabled'"));
  EXPECT_THAT(check.Said(),
              HasSubstr("there are no copied automated backups of '" + world_.primary + "' (eu-west-1) in 'ap-south-1'"));

  // And beside the snapshots of that region, of which there is none.
  const auto list = Run({"backup", "list", "--repo", "rds:" + world_.primary, "--rds-region", kPlace, "--json"});
  EXPECT_EQ(list.exit_code, 4) << list.Said();
  const Json kept = MemberAt(list.AsJson(), "automated");
  ASSERT_TRUE(kept.is_array() && kept.size() == 1 && MemberAt(kept[0], "backups").size() == 1) << list.Said();
  const Json backup = MemberAt(kept[0], "backups")[0];
  EXPECT_EQ(TextAt(backup, "of_region"), kOne.text);
  EXPECT_EQ(TextAt(backup, "earliest"), "2026-11-16T04:12:00.000Z");
  EXPECT_EQ(TextAt(backup, "key"), "Enabled");
  EXPECT_LT(MemberAt(backup, "age_seconds").get<double>(), 3600);
  agents_.reset();
  EXPECT_EQ(road_.Invalid(), "");
}

// ---- detach-and-promote of an Aurora global database ----

/// The secondary has stayed behind by a major version: a failover is refused before it is asked for.
class AwsDriftedAgentsTest : public ::testing::TestWithParam<bool> {
 protected:
  AwsDriftedAgentsTest() {
    agents_.NoteWriter(kFirst_);  // moto calls no member the writer
    agents_.Start();
  }
  AwsSettings Settings() const {
    AwsSettings settings;
    settings.database.emplace();
    settings.database->global_cluster = world_.name;
    settings.database->members = world_.database.clusters;
    settings.database->detach_when_needed = GetParam();
    return settings;
  }
  bool Ready() {
    world_.ReportLag(world_.two, 850);
    return agents_.Until([&] { return agents_.agent(kSecond_).decision().rule == 680; });
  }
  AuroraWorld world_{AwsEmulator::kMoto, "16.4"};
  const RegionName kFirst_{world_.one};
  const RegionName kSecond_{world_.two};
  ThreeAgents agents_{world_.context, SharedAws(AwsEmulator::kMoto), kFirst_, kSecond_, Settings()};
};

class AwsDetachWhenNeededTest : public AwsDriftedAgentsTest {};
class AwsDetachByOrderTest : public AwsDriftedAgentsTest {};

TEST_P(AwsDetachWhenNeededTest, WhatCannotFailOverIsCutLooseByItselfWhereTheFileSaysSo) {
  ASSERT_TRUE(Ready()) << agents_.agent(kSecond_).decision().reason;
  agents_.Lose(kFirst_);
  ASSERT_TRUE(agents_.Until([&] { return agents_.agent(kSecond_).snapshot().execution.has_value(); }));
  const Execution e = agents_.Ended(1);
  EXPECT_EQ(e.state, ExecutionState::kDone) << ToJson(e).dump(1);
  EXPECT_EQ(e.requested_by, "rule 650");
  EXPECT_EQ(TextAt(e.facts, "way"), "detach");
  EXPECT_THAT(TextAt(e.facts, "detached_because"), HasSubstr("16.4"));
  EXPECT_EQ(TextAt(e.facts, "fence_word"), "none");
  EXPECT_EQ(agents_.road.CountOf("rds", "RemoveFromGlobalCluster"), 1u);
  EXPECT_EQ(agents_.road.CountOf("rds", "FailoverGlobalCluster"), 0u);
  EXPECT_TRUE(agents_.agent(kSecond_).keeper().item()->apart);
  EXPECT_EQ(agents_.road.Invalid(), "");
}

TEST_P(AwsDetachByOrderTest, WhatCannotFailOverIsLeftAloneUntilAPersonSaysDetach) {
  // given
  ASSERT_TRUE(Ready()) << agents_.agent(kSecond_).decision().reason;
  agents_.Lose(kFirst_);
  ASSERT_TRUE(agents_.Until([&] { return agents_.agent(kSecond_).snapshot().execution.has_value(); }));

  // then: the failover that the rule begins is refused, and names what is left
  const Execution refused = agents_.Ended(1);
  EXPECT_NE(refused.state, ExecutionState::kDone) << ToJson(refused).dump(1);
  EXPECT_THAT(ToJson(refused).dump(), HasSubstr("detach"));
  EXPECT_EQ(agents_.road.CountOf("rds", "RemoveFromGlobalCluster"), 0u);
  EXPECT_EQ(agents_.agent(kSecond_).keeper().item()->writer, kFirst_);

  // when
  const std::size_t before = agents_.Executions().size();
  const auto begun =
      agents_.AskUntilBegun(kSecond_, "failover", {{"to", kSecond_.text}, {"by", "ann"}, {"detach", true}, {"accept_loss", true}});
  ASSERT_TRUE(begun.ok()) << begun.error().Text();

  // then
  const Execution e = agents_.Ended(before + 1);
  EXPECT_EQ(e.state, ExecutionState::kDone) << ToJson(e).dump(1);
  EXPECT_EQ(e.requested_by, "operator ann");
  EXPECT_EQ(TextAt(e.facts, "way"), "detach");
  EXPECT_EQ(agents_.road.CountOf("rds", "RemoveFromGlobalCluster"), 1u);
  EXPECT_EQ(agents_.agent(kSecond_).keeper().item()->writer, kSecond_);
  EXPECT_EQ(agents_.road.Invalid(), "");
}

INSTANTIATE_TEST_SUITE_P(Aws, AwsDetachWhenNeededTest, ::testing::Values(true));
INSTANTIATE_TEST_SUITE_P(Aws, AwsDetachByOrderTest, ::testing::Values(false));

}  // namespace
}  // namespace lifeboat::testing
