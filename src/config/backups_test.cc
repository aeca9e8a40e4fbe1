#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/load.h"

namespace lifeboat {
namespace {

using testing::HasSubstr;

constexpr const char* kRest = R"(service: orders
objectives: {rto: 5s, rpo: 4s}
store: {host: eu-west-1}
regions:
  - name: us-east-1
    agent: 127.77.1.1:7400
    state_directory: /srv/east
    database: {address: "127.77.1.1:5432", data_directory: /pg/east, socket_directory: /run/east, bin_directory: /opt/pg/bin}
  - name: us-west-2
    agent: 127.77.2.1:7400
    state_directory: /srv/west
    database: {address: "127.77.2.1:5432", data_directory: /pg/west, socket_directory: /run/west}
  - name: eu-west-1
    kind: witness
    agent: 127.77.3.1:7400
    state_directory: /srv/witness
first_primary: us-east-1
dns: {name: orders-db.example.net, zone: example.net., server: "127.77.3.1:53", key_name: lifeboat, key_file: /etc/dns.key}
token_file: /etc/lifeboat/token
)";  // 19 lines: 'backups' begins on line 20

constexpr const char* kGood = R"(backups:
  - name: nightly
    region: us-east-1
    path: /srv/repo
    kind: pgbackrest
    stanza: orders
    cipher_pass_file: /etc/pass
    threads: 4
    read_rate: 100MiB
    rolling_share: 2/9
    gate: true
    schedule: {every: 1d, level: 2, restore_every: 7d, restore_level: 5, deadline: 6h}
    scratch: {folder: /srv/scratch, limit: 20GiB}
    objectives: {backup_age: 26h, verified_age: 3d, rto: 1h, rpo: 10min}
    checks:
      - {name: rows, database: orders, sql: "select count(*) > 0 from orders", expect: t}
      - {name: newest, database: orders, sql: "select 1", expect: 1}
  - name: plain
    region: eu-west-1
    path: /srv/plain
)";

Result<Settings> Parse(const std::string& backups) {
  return ParseSettings(kRest + backups, "lifeboat.yaml", [](const std::string&) { return std::optional<std::string>(); });
}

/// What the operator reads for kGood with one piece exchanged.
std::string ErrorOf(const std::string& piece, const std::string& replacement) {
  std::string text = kGood;
  const auto at = text.find(piece);
  EXPECT_NE(at, std::string::npos) << "not in the good text: " << piece;
  const auto settings = Parse(text.replace(at, piece.size(), replacement));
  return settings.ok() ? "loaded" : settings.error().Text();
}

TEST(Backups, AServiceWithoutThemHasNone) {
  const auto settings = Parse("");
  ASSERT_TRUE(settings.ok()) << settings.error().Text();
  EXPECT_TRUE(settings->backups.empty());
  EXPECT_EQ(settings->FindBackups("nightly"), nullptr);
}

TEST(Backups, EveryKeyIsRead) {
  const auto settings = Parse(kGood);
  ASSERT_TRUE(settings.ok()) << settings.error().Text();
  ASSERT_EQ(settings->backups.size(), 2u);
  const BackupSourceSettings* s = settings->FindBackups("nightly");
  ASSERT_NE(s, nullptr);
  EXPECT_EQ(s->region, RegionName("us-east-1"));
  EXPECT_EQ(s->kind, BackupKind::kPgBackRest);
  EXPECT_EQ(s->path, "/srv/repo");
  EXPECT_EQ(s->stanza, "orders");
  EXPECT_EQ(s->cipher_pass_file, "/etc/pass");
  EXPECT_EQ(s->threads, 4u);
  EXPECT_EQ(s->read_rate.bytes, 100u << 20);
  EXPECT_EQ(s->rolling_part, 2u);
  EXPECT_EQ(s->rolling_of, 9u);
  EXPECT_TRUE(s->gate);
  EXPECT_EQ(s->schedule.every, 24h);
  EXPECT_EQ(s->schedule.level, 2);
  EXPECT_EQ(s->schedule.restore_every, 24h * 7);
  EXPECT_EQ(s->schedule.restore_level, 5);
  EXPECT_EQ(s->schedule.deadline, 6h);
  EXPECT_EQ(s->scratch_folder, "/srv/scratch");
  EXPECT_EQ(s->scratch_limit.bytes, 20ULL << 30);
  EXPECT_EQ(s->bin_directory, "/opt/pg/bin") << "that of the region's database";
  EXPECT_EQ(s->objectives.backup_age, 26h);
  EXPECT_EQ(s->objectives.verified_age, 72h);
  EXPECT_EQ(s->objectives.rto, 1h);
  EXPECT_EQ(s->objectives.rpo, 10min);
  ASSERT_EQ(s->checks.size(), 2u);
  EXPECT_EQ(s->checks[0].name, "rows");
  EXPECT_EQ(s->checks[0].database, "orders");
  EXPECT_EQ(s->checks[0].sql, "select count(*) > 0 from orders");
  EXPECT_EQ(s->checks[0].expect, "t");
  EXPECT_EQ(s->checks[1].expect, "1");
}

TEST(Backups, WhatIsNotGivenPromisesAndDoesNothing) {
  const auto settings = Parse(kGood);
  ASSERT_TRUE(settings.ok()) << settings.error().Text();
  const BackupSourceSettings& s = settings->backups[1];
  EXPECT_EQ(s.kind, BackupKind::kAuto);
  EXPECT_EQ(s.threads, 2u);
  EXPECT_EQ(s.read_rate.bytes, 0u);
  EXPECT_EQ(s.rolling_part, 1u);
  EXPECT_EQ(s.rolling_of, 7u);
  EXPECT_FALSE(s.gate);
  EXPECT_EQ(s.schedule.every, 0s);
  EXPECT_EQ(s.schedule.restore_every, 0s);
  EXPECT_EQ(s.schedule.level, 3);
  EXPECT_EQ(s.schedule.restore_level, 6);
  EXPECT_EQ(s.schedule.deadline, 12h);
  EXPECT_EQ(s.objectives.verified_age, 0s);
  EXPECT_TRUE(s.scratch_folder.empty());
  EXPECT_EQ(s.bin_directory, DatabaseSettings{}.bin_directory) << "a witness has none of its own";
}

TEST(Backups, ErrorsNameFileLineKeyAndItem) {
  EXPECT_EQ(ErrorOf("read_rate: 100MiB", "read_rate: fast"),
            "lifeboat.yaml:28: 'read_rate' of backup source 'nightly' must be a size, not 'fast'\n"
            "  hint: write a number and a unit: 512B, 64MiB, 1GB");
  EXPECT_EQ(ErrorOf("read_rate:", "raed_rate:"), "lifeboat.yaml:28: unknown key 'raed_rate'\n  hint: did you mean 'read_rate'?");
  EXPECT_EQ(ErrorOf("expect: t}", "expct: t}"),
            "lifeboat.yaml:35: unknown key 'expct'\n  hint: did you mean 'expect'?\n"
            "lifeboat.yaml:35: 'expect' of check 'rows' of backup source 'nightly' is missing\n  hint: for example 'expect: t'");
  EXPECT_THAT(ErrorOf("level: 2", "level: 4"),
              HasSubstr("'schedule.level' of backup source 'nightly' must be one of '0', '1', '2', '3', not '4'"));
  EXPECT_THAT(ErrorOf("    path: /srv/plain\n", ""), HasSubstr("lifeboat.yaml:37: 'path' of backup source 'plain' is missing"));
  EXPECT_THAT(ErrorOf("threads: 4", "threads: four"),
              HasSubstr("must be a whole number, not 'four'\n  hint: write digits alone: 4"));
  EXPECT_THAT(ErrorOf("2/9", "9/2"), HasSubstr("'rolling_share' of backup source 'nightly' must be a share, not '9/2'"));
  EXPECT_THAT(Parse("backups: here\n").error().Text(), HasSubstr("lifeboat.yaml:20: 'backups' must be a list, not a single value"));
  EXPECT_THAT(Parse("backups: []\n").error().Text(), HasSubstr("'backups' is empty\n  hint: give it an item, or remove the line"));
  EXPECT_THAT(ErrorOf("      - {name: newest, database: orders, sql: \"select 1\", expect: 1}", "      - select 1"),
              HasSubstr("lifeboat.yaml:36: an item of 'checks' of backup source 'nightly' is a single value, not a section"));
}

TEST(Backups, ASecretNeverStandsInTheFile) {
  const std::string error = ErrorOf("cipher_pass_file: /etc/pass", "passphrase: hunter2");
  EXPECT_THAT(error, HasSubstr("name that file in 'backups[].cipher_pass_file'"));
  EXPECT_EQ(error.find("hunter2"), std::string::npos);
}

TEST(Backups, NamesAreUniqueAndRegionsKnown) {
  EXPECT_EQ(ErrorOf("name: plain", "name: nightly"),
            "lifeboat.yaml:37: backup source 'nightly' is given twice\n  hint: give each source a name of its own");
  EXPECT_EQ(ErrorOf("region: us-east-1", "region: us-eats-1"),
            "lifeboat.yaml:22: 'region' of backup source 'nightly' names the unknown region 'us-eats-1'\n"
            "  hint: did you mean 'us-east-1'?");
  EXPECT_THAT(ErrorOf("name: newest", "name: rows"), HasSubstr("check 'rows' of backup source 'nightly' is given twice"));
}

TEST(Backups, ARestoreNeverLiesWhereSomethingElseDoes) {
  for (const char* folder : {"/pg/east/scratch", "/pg", "/srv/repo", "/srv/repo/x", "/srv/plain/x", "/"}) {
    EXPECT_THAT(ErrorOf("folder: /srv/scratch", std::string("folder: ") + folder), HasSubstr("lie in each other")) << folder;
  }
  EXPECT_THAT(ErrorOf("    scratch: {folder: /srv/scratch, limit: 20GiB}\n", ""),
              HasSubstr("'schedule.restore_every' of backup source 'nightly' is given, and a restore needs a place"));
}

constexpr const char* kStore = R"(backups:
  - name: nightly
    region: us-east-1
    kind: pgbackrest
    path: s3://orders-backups/pgbackrest
    s3_region: us-east-1
    s3_endpoint: https://minio.example.net:9000
    s3_ca_file: /etc/ca.pem
    s3_profile: backup reader
    replica: {path: s3://orders-west/pgbackrest, s3_region: us-west-2, lag: 30min}
    locked: true
    schedule: {every: 1d, restore_every: 7d}
    scratch: {folder: /srv/scratch}
  - {name: base, region: us-west-2, path: /srv/base, wal: s3://orders-backups/wal, s3_region: us-east-1}
)";

std::string StoreErrorOf(const std::string& piece, const std::string& replacement) {
  std::string text = kStore;
  const auto at = text.find(piece);
  EXPECT_NE(at, std::string::npos) << "not in the good text: " << piece;
  const auto settings = Parse(text.replace(at, piece.size(), replacement));
  return settings.ok() ? "loaded" : settings.error().Text();
}

TEST(Backups, ASourceMayLieInS3) {
  const auto settings = Parse(kStore);
  ASSERT_TRUE(settings.ok()) << settings.error().Text();
  const BackupSourceSettings& s = settings->backups[0];
  EXPECT_EQ(s.path, "s3://orders-backups/pgbackrest");
  EXPECT_EQ(s.store.region, "us-east-1");
  EXPECT_EQ(s.store.endpoint, "https://minio.example.net:9000");
  EXPECT_EQ(s.store.ca_file, "/etc/ca.pem");
  EXPECT_EQ(s.store.profile, "backup reader");
  EXPECT_EQ(s.replica.path, "s3://orders-west/pgbackrest");
  EXPECT_EQ(s.replica.store.region, "us-west-2");
  EXPECT_EQ(s.replica.store.endpoint, "");
  EXPECT_EQ(s.replica.store.profile, "backup reader") << "one reader reads both";
  EXPECT_EQ(s.replica.lag, 30min);
  EXPECT_TRUE(s.locked);
  EXPECT_EQ(settings->backups[1].wal, "s3://orders-backups/wal");
  EXPECT_EQ(settings->backups[1].store.region, "us-east-1");
  EXPECT_EQ(settings->backups[1].replica.path, "");
  EXPECT_FALSE(settings->backups[1].locked);
}

TEST(Backups, WhatIsSaidOfS3MustFitIt) {
  for (const char* path :
       {"s3://", "s3://ab", "s3://Orders/x", "s3://orders_x/y", "s3://orders//x", "s3:orders/x", "gs://orders/x", "orders/x"}) {
    EXPECT_THAT(StoreErrorOf("s3://orders-backups/pgbackrest", path),
                HasSubstr("'path' of backup source 'nightly' must be an absolute path, a folder in S3 or a name in RDS"))
        << path;
  }
  EXPECT_EQ(StoreErrorOf("s3://orders-backups/pgbackrest", "s3://orders.backups-2"), "loaded") << "a whole bucket";
  for (const char* url : {"minio.example.net", "https://", "https://a b", "https://host/path", "https://host:0", "ftp://host"}) {
    EXPECT_THAT(StoreErrorOf("https://minio.example.net:9000", url),
                HasSubstr("'s3_endpoint' of backup source 'nightly' must be a URL"))
        << url;
  }
  for (const char* url : {"https://10.0.0.1", "https://[::1]:9000", "https://minio"}) {
    EXPECT_EQ(StoreErrorOf("https://minio.example.net:9000", url), "loaded") << url;
  }
  EXPECT_THAT(StoreErrorOf("https://minio.example.net:9000", "http://minio:9000"), HasSubstr("pgBackRest restores by TLS alone"));
  EXPECT_THAT(StoreErrorOf("path: s3://orders-west/pgbackrest", "path: /srv/west"),
              HasSubstr("'replica.path' of backup source 'nightly' must be a folder in S3"));
  EXPECT_THAT(StoreErrorOf("wal: s3://orders-backups/wal", "wal: /srv/wal"),
              HasSubstr("'s3_region' of backup source 'base' is given, and nothing lies in S3"));
  EXPECT_THAT(StoreErrorOf("wal: s3://orders-backups/wal", "wal: s3://orders-backups/wal, locked: true"),
              HasSubstr("'locked' of backup source 'base' is given, and 'path' is no folder in S3"));
}

TEST(Backups, ValuesHoldTheirBounds) {
  EXPECT_THAT(ErrorOf("threads: 4", "threads: 0"),
              HasSubstr("'threads' of backup source 'nightly' must lie between 1 and 64, not '0'"));
  EXPECT_THAT(ErrorOf("read_rate: 100MiB", "read_rate: 10kB"), HasSubstr("must be at least 1MiB"));
  EXPECT_THAT(ErrorOf("every: 1d", "every: 1s"), HasSubstr("'schedule.every' of backup source 'nightly' must be at least 1min"));
  EXPECT_THAT(ErrorOf("rto: 1h", "rto: 0s"), HasSubstr("'objectives.rto' of backup source 'nightly' must be more than 0s"));
  EXPECT_THAT(ErrorOf("verified_age: 3d", "verified_age: 3h"), HasSubstr("is shorter than 'schedule.every'"));
  EXPECT_THAT(ErrorOf("verified_age: 3d, ", ""),
              HasSubstr("'gate' of backup source 'nightly' is 'true', and 'objectives.verified_age' is missing"));
  EXPECT_THAT(ErrorOf("kind: pgbackrest", "kind: wal"),
              HasSubstr("'stanza' of backup source 'nightly' is a key of 'kind: pgbackrest'"));
  EXPECT_THAT(ErrorOf("select 1", " ; "), HasSubstr("'sql' of check 'newest' of backup source 'nightly' is empty"));
}

constexpr const char* kOfRds = R"(backups:
  - name: snapshots
    region: us-east-1
    path: rds:orders
    rds: {regions: [eu-west-1, eu-central-1], subnet_group: verify, security_groups: [sg-1, sg-2], user: reader, patience: 3h}
    schedule: {every: 6h, restore_every: 1d, restore_level: 6, deadline: 5h}
    objectives: {backup_age: 26h, verified_age: 3d, rto: 1h, rpo: 1d}
)";

std::string RdsErrorOf(const std::string& piece, const std::string& replacement) {
  std::string text = kOfRds;
  const auto at = text.find(piece);
  EXPECT_NE(at, std::string::npos) << "not in the good text: " << piece;
  const auto settings = Parse(text.replace(at, piece.size(), replacement));
  return settings.ok() ? "loaded" : settings.error().Text();
}

TEST(Backups, SnapshotsOfRdsAreASourceLikeEveryOther) {
  const auto settings = Parse(kOfRds);
  ASSERT_TRUE(settings.ok()) << settings.error().Text();
  const BackupSourceSettings* s = settings->FindBackups("snapshots");
  ASSERT_NE(s, nullptr);
  EXPECT_EQ(s->kind, BackupKind::kRds);
  EXPECT_EQ(s->path, "rds:orders");
  EXPECT_EQ(s->rds.regions, (std::vector<std::string>{"eu-west-1", "eu-central-1"}));
  EXPECT_EQ(s->rds.subnet_group, "verify");
  EXPECT_EQ(s->rds.security_groups, (std::vector<std::string>{"sg-1", "sg-2"}));
  EXPECT_EQ(s->rds.user, "reader");
  EXPECT_EQ(s->rds.patience, Duration(3h));
  EXPECT_EQ(s->schedule.level, 1) << "RDS shows no bytes";
  EXPECT_EQ(s->schedule.restore_level, 6);
  EXPECT_EQ(s->objectives.verified_age, Duration(72h));
}

TEST(Backups, WhatSnapshotsOfRdsCannotGiveIsNotPromised) {
  EXPECT_THAT(RdsErrorOf("    rds: {regions: [eu-west-1, eu-central-1], subnet_group: verify, security_groups: [sg-1, sg-2], user: "
                         "reader, patience: 3h}\n",
                         ""),
              HasSubstr("in which AWS regions"));
  EXPECT_THAT(RdsErrorOf("eu-central-1]", "eu-west-1]"), HasSubstr("twice"));
  EXPECT_THAT(RdsErrorOf("every: 6h,", "every: 6h, level: 3,"), HasSubstr("neither bytes nor pages"));
  EXPECT_THAT(RdsErrorOf("restore_level: 6", "restore_level: 5"), HasSubstr("amcheck"));
  EXPECT_THAT(RdsErrorOf("restore_every: 1d, ", ""), HasSubstr("nothing restores"));
  EXPECT_THAT(RdsErrorOf("verified_age: 3d", "verified_age: 12h"), HasSubstr("shorter than 'schedule.restore_every'"));
  EXPECT_THAT(RdsErrorOf("restore_level: 6", "restore_level: 4"), HasSubstr("no query"));
  EXPECT_THAT(RdsErrorOf("    path: rds:orders\n", "    path: rds:orders\n    kind: wal\n"), HasSubstr("something else"));
  EXPECT_THAT(RdsErrorOf("    path: rds:orders\n", "    path: /srv/repo\n"), HasSubstr("no name in RDS"));
  EXPECT_THAT(RdsErrorOf("    path: rds:orders\n", "    path: rds:or/ders\n"), HasSubstr("path"));
  EXPECT_THAT(RdsErrorOf("    path: rds:orders\n", "    path: rds:orders\n    threads: 3\n"), HasSubstr("no files"));
}

}  // namespace
}  // namespace lifeboat
