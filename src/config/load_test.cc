#include "config/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "config/keys.h"

namespace lifeboat {
namespace {

using testing::HasSubstr;

constexpr const char* kGood = R"(service: orders
objectives: {rto: 5s, rpo: 4s}
policy:
  automation: act
  loss_limit: {time: 10s, bytes: 64MiB}
store: {host: eu-west-1}
regions:
  - name: us-east-1
    agent: 127.77.1.1:7400
    state_directory: /srv/east
    database: {address: "127.77.1.1:5432", data_directory: /pg/east, socket_directory: /run/east}
  - name: us-west-2
    agent: 127.77.2.1:7400
    state_directory: /srv/west
    database: {address: "127.77.2.1:5432", data_directory: /pg/west, socket_directory: /run/west}
  - name: eu-west-1
    kind: witness
    agent: 127.77.3.1:7400
    state_directory: /srv/witness
first_primary: us-east-1
dns:
  name: orders-db.example.net
  zone: example.net.
  server: 127.77.3.1:53
  key_name: lifeboat
  key_file: /etc/lifeboat/dns.key
token_file: /etc/lifeboat/token
)";

std::string ReadFile(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

Result<Settings> Parse(const std::string& text) {
  return ParseSettings(text, "lifeboat.yaml", [](const std::string& name) -> std::optional<std::string> {
    if (name == "SECRET_PART") return "hunter2";
    if (name == "TOKEN_PATH") return "/run/secrets/token";
    return std::nullopt;
  });
}

/// kGood with one piece exchanged, which must be there.
std::string With(const std::string& piece, const std::string& replacement) {
  std::string text = kGood;
  const auto at = text.find(piece);
  EXPECT_NE(at, std::string::npos) << "not in the good file: " << piece;
  return text.replace(at, piece.size(), replacement);
}

/// What the operator reads for kGood with one piece exchanged.
std::string ErrorOf(const std::string& piece, const std::string& replacement) {
  const auto settings = Parse(With(piece, replacement));
  return settings.ok() ? "loaded" : settings.error().Text();
}

TEST(LoadSettings, ReadsTheExampleWhole) {
  const auto loaded = LoadSettings(LIFEBOAT_SOURCE_DIR "/examples/lifeboat.yaml");
  ASSERT_TRUE(loaded.ok()) << loaded.error().Text();
  const Settings& s = *loaded;
  EXPECT_EQ(s.service, "orders");
  EXPECT_EQ(s.objectives.rto, 5s);
  EXPECT_EQ(s.policy.automation, Automation::kAct);
  ASSERT_TRUE(s.policy.loss_limit);
  EXPECT_EQ(s.policy.loss_limit->time, 10s);
  EXPECT_EQ(s.policy.loss_limit->bytes.bytes, 64u << 20);
  EXPECT_EQ(s.policy.cool_down, 1h);
  EXPECT_EQ(s.lease.length, 3s);
  ASSERT_EQ(s.regions.size(), 3u);
  EXPECT_EQ(s.regions[0].database->address, (Endpoint{"127.77.1.1", 5432}));
  EXPECT_EQ(s.regions[0].database->log_file, "/var/log/postgresql/us-east-1.log");
  EXPECT_EQ(s.regions[1].database->log_file, "/var/lib/lifeboat/us-west-2/postgresql.log");
  EXPECT_EQ(s.regions[2].kind, RegionKind::kWitness);
  EXPECT_FALSE(s.regions[2].database);
  EXPECT_EQ(s.store.file, "/var/lib/lifeboat/eu-west-1/store.sqlite");
  EXPECT_EQ(s.first_primary, RegionName("us-east-1"));
  EXPECT_EQ(s.login.password_file, "/etc/lifeboat/passfile");
  EXPECT_EQ(s.dns.name, "orders-db.example.net.");
  EXPECT_EQ(s.dns.ttl, 1s);
  EXPECT_EQ(s.file, LIFEBOAT_SOURCE_DIR "/examples/lifeboat.yaml");
  EXPECT_EQ(s.Find(RegionName("nowhere")), nullptr);
}

TEST(LoadSettings, ReadsAnEtcdStore) {
  const auto loaded = Parse(With("store: {host: eu-west-1}", R"(store:
  kind: etcd
  endpoints:
    - https://10.0.1.9:2379
    - https://[2001:db8::9]:2379
  user: lifeboat
  password_file: /etc/lifeboat/etcd-password
  ca_file: /etc/lifeboat/ca.pem
  certificate_file: /etc/lifeboat/client.pem
  key_file: /etc/lifeboat/client.key)"));
  ASSERT_TRUE(loaded.ok()) << loaded.error().Text();
  const StoreSettings& store = loaded->store;
  EXPECT_EQ(store.kind, StoreKind::kEtcd);
  EXPECT_THAT(store.endpoints, testing::ElementsAre("https://10.0.1.9:2379", "https://[2001:db8::9]:2379"));
  EXPECT_EQ(store.user, "lifeboat");
  EXPECT_EQ(store.password_file, "/etc/lifeboat/etcd-password");
  EXPECT_EQ(store.ca_file, "/etc/lifeboat/ca.pem");
  EXPECT_EQ(store.certificate_file, "/etc/lifeboat/client.pem");
  EXPECT_EQ(store.key_file, "/etc/lifeboat/client.key");
  EXPECT_TRUE(store.host.empty());
  EXPECT_EQ(Parse(kGood)->store.kind, StoreKind::kEmbedded);
}

TEST(LoadSettings, ReadsADynamoDbStoreAndRefusesHalfOfOne) {
  const auto with = [](const std::string& values) { return With("store: {host: eu-west-1}", "store: {" + values + "}"); };
  const auto error = [](const std::string& values) { return ErrorOf("store: {host: eu-west-1}", "store: {" + values + "}"); };
  const auto settings = Parse(with("kind: dynamodb, table: lifeboat, aws_regions: [eu-west-1, eu-central-1]"));
  ASSERT_TRUE(settings.ok()) << settings.error().Text();
  EXPECT_EQ(settings->store.kind, StoreKind::kDynamoDb);
  EXPECT_EQ(settings->store.table, "lifeboat");
  EXPECT_THAT(settings->store.aws_regions, testing::ElementsAre("eu-west-1", "eu-central-1"));
  EXPECT_THAT(error("kind: dynamodb"), HasSubstr("'store.table' is missing, and 'kind: dynamodb' needs it"));
  EXPECT_THAT(error("kind: dynamodb, table: lifeboat"), HasSubstr("'store.aws_regions' is missing"));
  EXPECT_THAT(error("kind: dynamodb, table: a, aws_regions: [eu-west-1]"), HasSubstr("is no name of a table"));
  EXPECT_THAT(error("kind: dynamodb, table: lifeboat, aws_regions: eu-west-1"), HasSubstr("must be a list of short names"));
  EXPECT_THAT(error("kind: dynamodb, table: lifeboat, aws_regions: []"), HasSubstr("the list is empty"));
  EXPECT_THAT(error("kind: dynamodb, table: lifeboat, aws_regions: [EU]"), HasSubstr("must be a short name, not 'EU'"));
  EXPECT_THAT(error("kind: dynamodb, table: lifeboat, aws_regions: [eu-west-1, eu-west-1]"), HasSubstr("names 'eu-west-1' twice"));
  EXPECT_THAT(error("kind: dynamodb, table: lifeboat, aws_regions: [eu-west-1], host: eu-west-1"),
              HasSubstr("'store.host' is a key of 'kind: embedded'"));
  EXPECT_THAT(error("host: eu-west-1, table: lifeboat"), HasSubstr("'store.table' is a key of 'kind: dynamodb'"));
}

TEST(LoadSettings, RefusesAnEtcdStoreThatCannotBeReachedSafely) {
  const auto store = [](const std::string& values) { return ErrorOf("store: {host: eu-west-1}", "store: {" + values + "}"); };
  const std::string one = "kind: etcd, endpoints: [https://10.0.1.9:2379]";
  EXPECT_EQ(store(one), "loaded");
  EXPECT_EQ(store("kind: etcd, endpoints: ['http://127.0.0.1:2379']"), "loaded");
  EXPECT_EQ(store("kind: etcd"),
            "lifeboat.yaml:6: 'store.endpoints' is missing, and 'kind: etcd' needs it\n"
            "  hint: list the client URL of every member of the cluster");
  EXPECT_THAT(store("kind: etcd, endpoints: []"), HasSubstr("the list is empty"));
  EXPECT_THAT(store("kind: etcd, endpoints: https://10.0.1.9:2379"), HasSubstr("'store.endpoints' must be a list of URLs"));
  EXPECT_THAT(store("kind: etcd, endpoints: [https://etcd.example.net:2379]"),
              HasSubstr("must be 'https://' or 'http://' with an IP address and port, not 'https://etcd.example.net:2379'"));
  EXPECT_THAT(store("kind: etcd, endpoints: [10.0.1.9:2379]"), HasSubstr("must be 'https://'"));
  EXPECT_THAT(store("kind: etcd, endpoints: [https://10.0.1.9:2379/]"), HasSubstr("must be 'https://'"));
  EXPECT_THAT(store("kind: etcd, endpoints: [{a: b}]"), HasSubstr("is a section, not a URL"));
  EXPECT_THAT(store("kind: etcd, endpoints: ['http://10.0.1.9:2379']"), HasSubstr("without encryption"));
  EXPECT_THAT(store("kind: etcd, endpoints: ['https://10.0.1.9:2379', 'http://127.0.0.1:2379']"), HasSubstr("mixes"));
  EXPECT_THAT(store("kind: etcd, endpoints: [https://10.0.1.9:2379, https://10.0.1.9:2379]"), HasSubstr("twice"));
  EXPECT_THAT(store(one + ", user: lifeboat"), HasSubstr("'store.password_file' is missing, and 'store.user' needs it"));
  EXPECT_THAT(store(one + ", key_file: /k"), HasSubstr("'store.certificate_file' is missing"));
  EXPECT_THAT(store("kind: etcd, endpoints: ['http://127.0.0.1:2379'], ca_file: /ca"), HasSubstr("no endpoint uses TLS"));
  EXPECT_THAT(store(one + ", host: eu-west-1"), HasSubstr("'store.host' is a key of 'kind: embedded'"));
  EXPECT_THAT(store("host: eu-west-1, user: lifeboat, password_file: /p"), HasSubstr("'store.user' is a key of 'kind: etcd'"));
  EXPECT_EQ(store("kind: embedded"), "lifeboat.yaml:6: 'store.host' is missing\n  hint: for example 'host: eu-west-1'");
  EXPECT_THAT(
      store(one + ", password: hunter2"),
      testing::AllOf(HasSubstr("would hold a secret"), HasSubstr("'store.password_file'"), testing::Not(HasSubstr("hunter2"))));
}

TEST(LoadSettings, DefaultsAreThoseOfTheSettingsThemselves) {
  const auto loaded = Parse(With("policy:\n  automation: act\n  loss_limit: {time: 10s, bytes: 64MiB}\n", ""));
  ASSERT_TRUE(loaded.ok()) << loaded.error().Text();
  const Settings fresh;
  EXPECT_EQ(loaded->policy.automation, Automation::kObserve);  // the careful one
  EXPECT_EQ(loaded->policy.automation, fresh.policy.automation);
  EXPECT_FALSE(loaded->policy.loss_limit);
  EXPECT_EQ(loaded->policy.cool_down, fresh.policy.cool_down);
  EXPECT_EQ(loaded->policy.failover_after, fresh.policy.failover_after);
  EXPECT_EQ(loaded->policy.database_failure, fresh.policy.database_failure);
  EXPECT_EQ(loaded->policy.restart_budget, fresh.policy.restart_budget);
  EXPECT_EQ(loaded->lease.length, fresh.lease.length);
  EXPECT_EQ(loaded->lease.margin, fresh.lease.margin);
  EXPECT_EQ(loaded->login.database, fresh.login.database);
  EXPECT_EQ(loaded->login.superuser, fresh.login.superuser);
  EXPECT_EQ(loaded->login.replication_user, fresh.login.replication_user);
  EXPECT_EQ(loaded->login.canary_user, fresh.login.canary_user);
  EXPECT_EQ(loaded->login.password_file, fresh.login.password_file);
  EXPECT_EQ(loaded->dns.ttl, fresh.dns.ttl);
  EXPECT_EQ(loaded->dns.key_algorithm, fresh.dns.key_algorithm);
  EXPECT_EQ(loaded->regions[0].database->bin_directory, DatabaseSettings{}.bin_directory);
}

TEST(LoadSettings, ExpandsTheEnvironmentAndNamesWhatIsNotSet) {
  EXPECT_EQ(Parse(With("/etc/lifeboat/token", "${TOKEN_PATH}"))->token_file, "/run/secrets/token");
  EXPECT_EQ(ErrorOf("/etc/lifeboat/token", "${NOT_SET}"),
            "lifeboat.yaml:27: 'token_file': environment variable 'NOT_SET' is not set\n"
            "  hint: set 'NOT_SET' before starting, as in '.env.example'");
}

TEST(LoadSettings, NeverShowsAValueFromTheEnvironment) {
  const std::string error = ErrorOf("127.77.3.1:53", "${SECRET_PART}");
  EXPECT_THAT(error,
              HasSubstr("lifeboat.yaml:24: 'dns.server' must be an IP address and port, not '${SECRET_PART}' (after expansion)"));
  EXPECT_EQ(error.find("hunter2"), std::string::npos);
}

TEST(LoadSettings, RefusesALiteralSecretWithoutRepeatingIt) {
  const std::string error = ErrorOf("token_file: /etc/lifeboat/token", "token_file: /etc/lifeboat/token\ntoken: hunter2");
  EXPECT_EQ(error,
            "lifeboat.yaml:28: key 'token' would hold a secret, and secrets never stand in this file\n"
            "  hint: put the secret into a file of mode 0600 and name that file in 'token_file'");
  EXPECT_THAT(ErrorOf("first_primary:", "login: {password: hunter2}\nfirst_primary:"),
              HasSubstr("name that file in 'login.password_file'"));
  EXPECT_THAT(ErrorOf("  key_name: lifeboat\n", "  key_name: lifeboat\n  secret: hunter2\n"),
              HasSubstr("name that file in 'dns.key_file'"));
}

TEST(LoadSettings, UnknownKeysNameTheNearestKnownOne) {
  EXPECT_EQ(ErrorOf("  loss_limit: {", "  loss_limt: {"),
            "lifeboat.yaml:3: 'policy.loss_limit' is missing, and 'automation: act' needs it\n"
            "  hint: state the most that an automatic failover may lose: 'loss_limit: {time: 10s, bytes: 64MiB}'\n"
            "lifeboat.yaml:5: unknown key 'loss_limt'\n"
            "  hint: did you mean 'loss_limit'?");
  EXPECT_EQ(ErrorOf("store: {host", "store: {ttl: 1s, host"), "lifeboat.yaml:6: unknown key 'ttl'\n  hint: 'ttl' belongs in 'dns'");
  EXPECT_EQ(ErrorOf("objectives: {", "objectives: {elephant: 1, "),
            "lifeboat.yaml:2: unknown key 'elephant'\n  hint: known here: 'rto', 'rpo'");
  EXPECT_THAT(ErrorOf("service: orders", "service: orders\nregions[].name: x"), HasSubstr("unknown key 'regions[].name'"));
  EXPECT_THAT(ErrorOf("service: orders", "service: orders\npolicy.automation: act"), HasSubstr("unknown key 'policy.automation'"));
}

TEST(LoadSettings, KeysGivenTwiceAreErrors) {
  EXPECT_EQ(ErrorOf("service: orders", "service: orders\nservice: billing"),
            "lifeboat.yaml:2: key 'service' is given twice; the first is on line 1\n  hint: remove one of the two");
  EXPECT_THAT(ErrorOf("{rto: 5s,", "{rto: 5s, rto: 9s,"), HasSubstr("key 'rto' is given twice"));
}

TEST(LoadSettings, WrongTypesSayWhatToWrite) {
  EXPECT_EQ(ErrorOf("rto: 5s", "rto: 5"),
            "lifeboat.yaml:2: 'objectives.rto' must be a duration, not '5'\n"
            "  hint: write a number and a unit: 250ms, 3s, 10min, 1h, 7d (at most 365d)");
  EXPECT_THAT(ErrorOf("bytes: 64MiB", "bytes: 64M"), HasSubstr("'policy.loss_limit.bytes' must be a size, not '64M'"));
  EXPECT_THAT(ErrorOf("automation: act", "automation: atc"),
              HasSubstr("'policy.automation' must be one of 'observe', 'act', not 'atc'\n  hint: did you mean 'act'?"));
  EXPECT_THAT(
      ErrorOf("agent: 127.77.1.1:7400", "agent: east.example.net:7400"),
      HasSubstr("lifeboat.yaml:9: 'agent' of region 'us-east-1' must be an IP address and port, not 'east.example.net:7400'"));
  EXPECT_THAT(ErrorOf("/pg/east", "pg/east"),
              HasSubstr("'database.data_directory' of region 'us-east-1' must be an absolute path, not 'pg/east'"));
  EXPECT_THAT(ErrorOf("service: orders", "service: [orders]"), HasSubstr("'service' must be a short name, not a list"));
  EXPECT_THAT(ErrorOf("store: {host: eu-west-1}", "store: eu-west-1"), HasSubstr("'store' must be a section, not a single value"));
  EXPECT_THAT(ErrorOf("service: orders", "service:"), HasSubstr("'service' has no value"));
  EXPECT_THAT(ErrorOf("name: us-east-1", "name: US East"),
              HasSubstr("'name' of region number 1 must be a short name, not 'US East'"));
  EXPECT_THAT(ErrorOf("key_name: lifeboat", "key_name: lifeboat\n  ttl: 1500ms"),
              HasSubstr("'dns.ttl' must be a duration in whole seconds, not '1500ms'"));
  EXPECT_THAT(ErrorOf("  - name: us-east-1\n", "  - us-south-9\n  - name: us-east-1\n"),
              HasSubstr("lifeboat.yaml:8: an item of 'regions' is a single value, not a section"));
}

TEST(LoadSettings, MissingKeysAreShownByExample) {
  EXPECT_EQ(ErrorOf("token_file: /etc/lifeboat/token\n", ""),
            "lifeboat.yaml:1: 'token_file' is missing\n  hint: for example 'token_file: /etc/lifeboat/token'");
  EXPECT_EQ(ErrorOf("    agent: 127.77.2.1:7400\n", ""),
            "lifeboat.yaml:12: 'agent' of region 'us-west-2' is missing\n  hint: for example 'agent: 127.77.1.1:7400'");
  EXPECT_THAT(ErrorOf("time: 10s, ", ""), HasSubstr("lifeboat.yaml:5: 'policy.loss_limit.time' is missing"));
}

TEST(LoadSettings, AllProblemsAreReportedAtOnceInTheOrderOfTheirLines) {
  std::string text = With("token_file: /etc/lifeboat/token", "token_fil: /etc/lifeboat/token");
  text.replace(text.find("rto: 5s"), 7, "rto: 5");
  const auto loaded = Parse(text);
  ASSERT_FALSE(loaded.ok());
  const std::string error = loaded.error().Text();
  const auto missing = error.find("lifeboat.yaml:1: 'token_file' is missing");
  const auto type = error.find("lifeboat.yaml:2: 'objectives.rto' must be a duration");
  const auto unknown = error.find("lifeboat.yaml:27: unknown key 'token_fil'");
  EXPECT_LT(missing, type);
  EXPECT_LT(type, unknown);
  EXPECT_NE(unknown, std::string::npos) << error;
}

TEST(LoadSettings, SyntaxErrorsNameTheLine) {
  EXPECT_THAT(ErrorOf("objectives: {rto: 5s, rpo: 4s}", "objectives: {rto: 5s, rpo: 4s"), HasSubstr("lifeboat.yaml:"));
  EXPECT_THAT(ErrorOf("objectives: {rto: 5s, rpo: 4s}", "objectives: {rto: 5s, rpo: 4s"), HasSubstr("not valid YAML"));
  EXPECT_THAT(ErrorOf("  automation: act", "\tautomation: act"), HasSubstr("lifeboat.yaml:4: not valid YAML"));
  EXPECT_THAT(ErrorOf("service: orders", "service: orders\n---\nservice: more"), HasSubstr("a second YAML document begins"));
}

TEST(LoadSettings, EmptyAndForeignFilesAreNamed) {
  EXPECT_EQ(Parse("").error().Text(), "lifeboat.yaml: the file is empty\n  hint: start from 'examples/lifeboat.yaml'");
  EXPECT_THAT(Parse("# nothing but this\n").error().Text(), HasSubstr("the file is empty"));
  EXPECT_THAT(Parse("- a\n- b\n").error().Text(), HasSubstr("the file is a list, not 'key: value' lines"));
  EXPECT_THAT(Parse(std::string("a: b\n\0\n", 7)).error().Text(),
              HasSubstr("lifeboat.yaml:2: a control character stands in the file"));
  EXPECT_THAT(Parse(std::string(2 << 20, '#') + "\n").error().Text(), HasSubstr("larger than 1 MiB"));
  EXPECT_FALSE(Parse(std::string(20000, '[') + "\n").ok());
  EXPECT_FALSE(Parse("a: &x {b: *x}\n").ok());
}

TEST(LoadSettings, AFileThatIsNotThereIsNamed) {
  const auto loaded = LoadSettings("/nonexistent/lifeboat.yaml");
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.error().message, "cannot read '/nonexistent/lifeboat.yaml': No such file or directory");
  EXPECT_THAT(LoadSettings("/").error().message, HasSubstr("is a folder"));
}

TEST(LoadSettings, EveryProperBeginningOfAGoodFileIsRefused) {
  const std::string example = ReadFile(LIFEBOAT_SOURCE_DIR "/examples/lifeboat.yaml");
  for (const std::string& whole : {std::string(kGood), example}) {
    const auto read = [](const std::string& text) {
      return ParseSettings(text, "lifeboat.yaml", [](const std::string&) { return std::optional<std::string>("/x"); });
    };
    ASSERT_TRUE(read(whole).ok());
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const auto loaded = read(whole.substr(0, size));
      ASSERT_FALSE(loaded.ok()) << "the first " << size << " bytes loaded";
      ASSERT_FALSE(loaded.error().message.empty());
    }
  }
}

TEST(LoadSettings, OddBytesAnywhereNeverBreakIt) {
  const std::string whole = kGood;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const char odd : {'\x80', '{', ':', '\n', '"', '&', '*', '-', '!'}) {
      std::string text = whole;
      text[at] = odd;
      (void)Parse(text);
    }
  }
}

TEST(LoadSettings, AutomationActNeedsAWitnessForTheStore) {
  EXPECT_EQ(ErrorOf("store: {host: eu-west-1}", "store: {host: us-west-2}"),
            "lifeboat.yaml:6: 'store.host' names the data region 'us-west-2', and 'automation: act' needs a witness there\n"
            "  hint: add a region of 'kind: witness' and name it, or use 'automation: observe'");
  std::string observing = With("store: {host: eu-west-1}", "store: {host: us-west-2}");
  observing.replace(observing.find("automation: act"), 15, "automation: observe");
  EXPECT_TRUE(Parse(observing).ok());
}

TEST(LoadSettings, RegionsMustBeKnownUniqueAndTwo) {
  EXPECT_EQ(ErrorOf("first_primary: us-east-1", "first_primary: us-east-2"),
            "lifeboat.yaml:20: 'first_primary' names the unknown region 'us-east-2'\n  hint: did you mean 'us-east-1'?");
  EXPECT_THAT(ErrorOf("store: {host: eu-west-1}", "store: {host: mars}"),
              HasSubstr("'store.host' names the unknown region 'mars'\n  hint: known: 'us-east-1' 'us-west-2' 'eu-west-1'"));
  EXPECT_THAT(ErrorOf("first_primary: us-east-1", "first_primary: eu-west-1"),
              HasSubstr("'first_primary' names the witness 'eu-west-1'"));
  EXPECT_THAT(ErrorOf("name: us-west-2", "name: us-east-1"), HasSubstr("lifeboat.yaml:12: region 'us-east-1' is given twice"));
  EXPECT_THAT(ErrorOf("agent: 127.77.2.1:7400", "agent: 127.77.1.1:7400"),
              HasSubstr("'agent' of region 'us-west-2' is the same as 'agent' of region 'us-east-1' ('127.77.1.1:7400')"));
  EXPECT_THAT(ErrorOf("127.77.2.1:5432", "127.77.1.1:5432"), HasSubstr("'database.address' of region 'us-west-2' is the same as"));
  EXPECT_THAT(ErrorOf("    kind: witness", "    kind: data"),
              HasSubstr("'database' of region 'eu-west-1' is missing, and a data region needs it"));
  EXPECT_THAT(ErrorOf("  - name: us-west-2\n", "  - name: us-west-2\n    kind: witness\n"),
              HasSubstr("'database' of region 'us-west-2' stands in a witness region"));
  EXPECT_THAT(ErrorOf("  - name: us-west-2\n", "  - name: us-west-2\n    kind: witness\n"),
              HasSubstr("'regions' must hold at least two data regions, not 1"));
  EXPECT_THAT(Parse("regions: []\n").error().Text(), HasSubstr("'regions' is empty"));
}

TEST(LoadSettings, NothingOfOursLiesInsideADataDirectory) {
  EXPECT_EQ(
      ErrorOf("socket_directory: /run/east", "socket_directory: /pg/east/sockets"),
      "lifeboat.yaml:11: 'database.socket_directory' of region 'us-east-1' lies inside the data directory ('/pg/east/sockets')\n"
      "  hint: a rewind or a base backup replaces that folder: choose one outside '/pg/east'");
  EXPECT_THAT(ErrorOf("state_directory: /srv/east", "state_directory: /pg/east"),
              HasSubstr("'state_directory' of region 'us-east-1' lies inside"));
  EXPECT_THAT(ErrorOf("socket_directory: /run/east", "socket_directory: /run/east, log_file: /pg/east/log"),
              HasSubstr("'database.log_file' of region"));
  EXPECT_THAT(ErrorOf("socket_directory: /run/east", "socket_directory: /" + std::string(92, 'x')),
              HasSubstr("is longer than 92 bytes"));
  EXPECT_EQ(ErrorOf("socket_directory: /run/east", "socket_directory: /" + std::string(91, 'x')), "loaded");
  EXPECT_EQ(ErrorOf("state_directory: /srv/east", "state_directory: /pg/east-state"), "loaded");
}

TEST(LoadSettings, TimingsHoldTheirBounds) {
  const auto lease = [](const std::string& values) { return ErrorOf("store: {host", "lease: {" + values + "}\nstore: {host"); };
  EXPECT_THAT(lease("length: 499ms, margin: 20ms"), HasSubstr("'lease.length' must lie between 500 ms and 30 s, not '499ms'"));
  EXPECT_EQ(lease("length: 500ms, margin: 20ms"), "loaded");
  EXPECT_EQ(lease("length: 501ms, margin: 20ms"), "loaded");
  EXPECT_THAT(lease("length: 30001ms"), HasSubstr("'lease.length' must lie between"));
  EXPECT_THAT(lease("length: 3s, margin: 19ms"), HasSubstr("'lease.margin' must be at least 20ms, not '19ms'"));
  EXPECT_EQ(lease("length: 3s, margin: 999ms"), "loaded");
  EXPECT_THAT(lease("length: 3s, margin: 1s"),
              HasSubstr("'lease.margin' must be less than a third of 'lease.length' ('3s'), not '1s'"));
  EXPECT_THAT(ErrorOf("rto: 5s", "rto: 0s"), HasSubstr("'objectives.rto' must be more than 0s"));
  EXPECT_THAT(ErrorOf("rpo: 4s", "rpo: 0s"), HasSubstr("'objectives.rpo' must be more than 0s"));
  EXPECT_THAT(ErrorOf("  key_name", "  ttl: 0s\n  key_name"), HasSubstr("'dns.ttl' must lie between 1s and 300s, not '0s'"));
  EXPECT_EQ(ErrorOf("  key_name", "  ttl: 300s\n  key_name"), "loaded");
  EXPECT_THAT(ErrorOf("  key_name", "  ttl: 301s\n  key_name"), HasSubstr("'dns.ttl' must lie between"));
}

TEST(LoadSettings, ALossLimitBelowALeaseCouldNeverBeMet) {
  EXPECT_EQ(ErrorOf("time: 10s", "time: 2999ms"),
            "lifeboat.yaml:5: 'policy.loss_limit.time' ('2999ms') is shorter than 'lease.length' ('3s')\n"
            "  hint: a region that is cut off can write unseen until its lease ends, so no automatic failover could ever happen: "
            "raise the limit or shorten the lease");
  EXPECT_EQ(ErrorOf("time: 10s", "time: 3s"), "loaded");
  EXPECT_EQ(ErrorOf("time: 10s", "time: 3001ms"), "loaded");
}

TEST(LoadSettings, AgentsLeaveTheMachineOnlyByAWordOfTheirOwnAndNeverForThePublic) {
  const auto at = [](const std::string& address) { return With("agent: 127.77.2.1:7400", "agent: \"" + address + "\""); };
  const auto allowed = [](const std::string& text) { return text + "peers: {allow_plaintext: true}\n"; };
  EXPECT_THAT(Parse(at("10.0.2.1:7400")).error().Text(), HasSubstr("'agent' of region 'us-west-2' lies beyond loopback"));
  EXPECT_THAT(Parse(at("10.0.2.1:7400")).error().Text(), HasSubstr("allow_plaintext: true"));
  EXPECT_TRUE(Parse(allowed(at("10.0.2.1:7400"))).ok());
  EXPECT_TRUE(Parse(allowed(at("[fd00::2]:7400"))).ok());
  EXPECT_THAT(Parse(allowed(at("192.0.2.1:7400"))).error().Text(), HasSubstr("lies beyond loopback"));
}

TEST(LoadSettings, TheNameStandsInTheZone) {
  EXPECT_THAT(ErrorOf("orders-db.example.net", "orders-db.example.com"),
              HasSubstr("'dns.name' ('orders-db.example.com.') does not end in the zone 'example.net.'"));
  EXPECT_THAT(ErrorOf("orders-db.example.net", "ordersexample.net"), HasSubstr("does not end in the zone"));
  EXPECT_EQ(ErrorOf("orders-db.example.net", "example.net"), "loaded");
}

TEST(Reference, IsWhatTheKeyListSays) {
  const std::string path = LIFEBOAT_SOURCE_DIR "/docs/configuration.md";
  if (std::getenv("LIFEBOAT_REGENERATE") != nullptr) std::ofstream(path) << ConfigurationReference();
  EXPECT_EQ(ReadFile(path), ConfigurationReference())
      << "write it again: LIFEBOAT_REGENERATE=1 lifeboat_config_test --gtest_filter=Reference.*";
}

TEST(Reference, EveryKeyIsExplainedAndEveryDefaultIsAValue) {
  for (const Key& key : AllKeys()) {
    EXPECT_FALSE(key.help.empty()) << key.path;
    EXPECT_EQ(key.help.back(), '.') << key.path;
    const bool is_leaf = key.type != KeyType::kSection && key.type != KeyType::kRegionList && key.type != KeyType::kItemList;
    EXPECT_EQ(is_leaf, !key.sample.empty()) << key.path;
    EXPECT_EQ(key.type == KeyType::kChoice, !key.choices.empty()) << key.path;
    if (!key.fallback.empty()) {
      EXPECT_EQ(key.presence, Presence::kOptional) << key.path;
    }
  }
}

TEST(Schema, RefusesUnknownKeysAndNamesTheRequiredOnes) {
  const Json schema = ConfigurationSchema();
  EXPECT_EQ(schema["additionalProperties"], false);
  EXPECT_EQ(schema["required"], Json::parse(R"(["service","objectives","store","regions","token_file"])"));
  EXPECT_EQ(schema["anyOf"], Json::parse(R"([{"required":["aws"]},{"required":["first_primary","dns"]}])"));
  EXPECT_EQ(schema["properties"]["policy"]["properties"]["automation"]["enum"], Json::parse(R"(["observe","act"])"));
  EXPECT_EQ(schema["properties"]["policy"]["properties"]["automation"]["default"], "observe");
  EXPECT_EQ(schema["properties"]["regions"]["items"]["additionalProperties"], false);
  EXPECT_EQ(schema["properties"]["regions"]["items"]["properties"]["database"]["required"],
            Json::parse(R"(["address","data_directory","socket_directory"])"));
}

}  // namespace
}  // namespace lifeboat
