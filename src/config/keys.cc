#include "config/keys.h"

namespace lifeboat {

namespace {

using enum KeyType;
using enum Presence;

// path, type, presence, default, choices, sample, note, help
constexpr Key kKeys[] = {
    {"service", kLabel, kRequired, "", "", "orders", "", "Name of the service; all its regions use the same file."},

    {"objectives", kSection, kRequired, "", "", "", "", "What every drill and every real run is judged against."},
    {"objectives.rto", kDuration, kRequired, "", "", "5s", "more than 0s",
     "How long clients may be without a database that takes writes, from the fault to the first good write."},
    {"objectives.rpo", kDuration, kRequired, "", "", "5s", "more than 0s",
     "How much of the newest acknowledged work may be lost, as time before the fault."},

    {"policy", kSection, kOptional, "", "", "", "", "What Lifeboat may do by itself."},
    {"policy.automation", kChoice, kOptional, "observe", "observe|act", "act", "",
     "`observe` decides and says so but changes nothing; `act` fails over by itself."},
    {"policy.loss_limit", kSection, kOptional, "", "", "", "required where `policy.automation` is `act`",
     "The most that an automatic failover may lose; above it, or where the loss is unknown, it asks."},
    {"policy.loss_limit.time", kDuration, kRequired, "", "", "10s",
     "at least `lease.length`; with `aws.database` 1min, with `aws.sql` too 10s",
     "Loss limit as time: a region that is cut off can write unseen until its lease ends, so less than a lease is refused. AWS "
     "tells "
     "the lag once a minute; heartbeat rows tell it every second."},
    {"policy.loss_limit.bytes", kBytes, kOptional, "", "", "64MiB", "required, but refused beside `aws.database`",
     "Loss limit as bytes of write-ahead log."},
    {"policy.cool_down", kDuration, kOptional, "1h", "", "1h", "", "After a takeover, how long no other automatic one may begin."},
    {"policy.failover_after", kDuration, kOptional, "0s", "", "0s", "at least 10s with `aws.database` and `act`",
     "How long a region must stay lost beyond the lease before the takeover; with `aws.database`, how long a majority of all "
     "agents must "
     "find it silent."},
    {"policy.database_failure", kChoice, kOptional, "restart", "restart|failover", "restart", "",
     "When only the database is dead: `restart` it locally first, or `failover` at once when the loss is proven zero."},
    {"policy.restart_budget", kDuration, kOptional, "10s", "", "10s", "",
     "With `restart`: how long local restarts may take before the lease is released."},
    {"policy.degraded_action", kChoice, kOptional, "tell", "tell|ask|switchover", "tell", "",
     "When a majority of all agents sees the primary serve badly: `tell`, `ask` with the one command, or `switchover`, gracefully "
     "first ([failure-detection.md](failure-detection.md), \"Votes\")."},
    {"policy.degraded_after", kDuration, kOptional, "30s", "", "30s", "at least 5s",
     "How long that majority must stand without a break."},
    {"policy.degraded_latency", kDuration, kOptional, "750ms", "", "750ms", "10ms to 10s",
     "A row of the canary that takes longer is a sign of it; slow is degraded, never lost."},
    {"policy.degraded_patience", kDuration, kOptional, "30s", "", "30s", "1s to 10min",
     "With `switchover`: how long each graceful step may take before the move goes on ungracefully, under `loss_limit`."},

    {"lease", kSection, kOptional, "", "", "", "", "The write lease (docs/lease.md). All regions must have the same."},
    {"lease.length", kDuration, kOptional, "3s", "", "3s", "500ms to 30s",
     "How long a primary may write without renewal; also how fast a lost region is noticed."},
    {"lease.margin", kDuration, kOptional, "150ms", "", "150ms", "20ms to less than a third of `lease.length`",
     "Taken off the deadline; covers the guard's worst time to kill."},

    {"store", kSection, kRequired, "", "", "", "", "The key-value store that the agents share."},
    {"store.kind", kChoice, kOptional, "embedded", "embedded|etcd|dynamodb", "embedded", "",
     "`embedded`: SQLite, hosted by the agent of one region. `etcd`: an etcd cluster, version 3.4 or newer "
     "([formats/store.md](formats/store.md)). `dynamodb`: a table of AWS ([formats/dynamodb.md](formats/dynamodb.md))."},
    {"store.host", kLabel, kOptional, "", "", "eu-west-1",
     "required where `kind` is `embedded`; a witness where `policy.automation` is `act`",
     "Region whose agent hosts the store: on a data region, one lost region would take the store with it."},
    {"store.file", kPath, kOptional, "", "", "/var/lib/lifeboat/store.sqlite",
     "default: `store.sqlite` in the host's `state_directory`", "File of the embedded store on that region's machine."},
    {"store.endpoints", kUrlList, kOptional, "", "", "[https://10.0.1.9:2379, https://10.0.2.9:2379, https://10.0.3.9:2379]",
     "required where `kind` is `etcd`; `http` for loopback addresses alone",
     "Client URLs of all members of one cluster, by address. Three members in three regions outlive the loss of any of them."},
    {"store.user", kIdentifier, kOptional, "", "", "lifeboat", "", "etcd's user, who may read and write `lifeboat/<service>/`."},
    {"store.password_file", kPath, kOptional, "", "", "/etc/lifeboat/etcd-password", "required where `user` is given; mode 0600",
     "File that holds that user's password; read when an agent starts."},
    {"store.ca_file", kPath, kOptional, "", "", "/etc/lifeboat/etcd-ca.pem", "default: the system's certificates",
     "Certificates of those who sign the members' certificates."},
    {"store.certificate_file", kPath, kOptional, "", "", "/etc/lifeboat/etcd-client.pem", "",
     "The agent's own certificate, where etcd demands one."},
    {"store.key_file", kPath, kOptional, "", "", "/etc/lifeboat/etcd-client.key",
     "required where `certificate_file` is given; mode 0600", "Key of that certificate."},
    {"store.table", kText, kOptional, "", "", "lifeboat", "required where `kind` is `dynamodb`",
     "Name of the table; several services may share one."},
    {"store.aws_regions", kLabelList, kOptional, "", "", "[eu-west-1, eu-central-1]", "required where `kind` is `dynamodb`",
     "AWS regions that hold a replica of the table. Several are allowed only for a global table with multi-region strong "
     "consistency; the first is asked first, the others when it is silent."},

    {"regions", kRegionList, kRequired, "", "", "", "at least two of kind `data`", "The regions, one list item each."},
    {"regions[].name", kLabel, kRequired, "", "", "us-east-1", "unique", "Name of the region."},
    {"regions[].kind", kChoice, kOptional, "data", "data|witness", "data", "",
     "`data` holds a copy of the database; `witness` only votes and hosts the store."},
    {"regions[].agent", kEndpoint, kRequired, "", "", "127.77.1.1:7400", "unique",
     "Address and port on which the region's agent listens."},
    {"regions[].state_directory", kPath, kRequired, "", "", "/var/lib/lifeboat", "outside `database.data_directory`",
     "The agent's durable record, journal, evidence and ledger."},
    {"regions[].database", kSection, kOptional, "", "", "",
     "required where `kind` is `data`, refused where it is `witness` and beside `aws.database`", "The region's PostgreSQL server."},
    {"regions[].database.address", kEndpoint, kRequired, "", "", "127.77.1.1:5432", "unique",
     "Where clients and standbys reach the server."},
    {"regions[].database.data_directory", kPath, kRequired, "", "", "/var/lib/postgresql/15/main", "", "Its data directory."},
    {"regions[].database.bin_directory", kPath, kOptional, "/usr/lib/postgresql/15/bin", "", "/usr/lib/postgresql/15/bin", "",
     "Where `postgres`, `pg_ctl` and `pg_rewind` are."},
    {"regions[].database.socket_directory", kPath, kRequired, "", "", "/var/run/postgresql",
     "outside `data_directory`, at most 92 bytes", "Where its Unix socket lies."},
    {"regions[].database.log_file", kPath, kOptional, "", "", "/var/log/postgresql/orders.log",
     "outside `data_directory`; default: `postgresql.log` in `state_directory`", "The server's log."},
    {"regions[].database.gate_file", kPath, kOptional, "", "", "/run/lifeboat/gate", "in tmpfs, outside `data_directory`",
     "The same as the server's setting `lifeboat.gate_file` (docs/formats/gate.md). Without it there is no gate: the guard alone "
     "stops writes, by killing the server at the deadline."},
    {"regions[].fence", kSection, kOptional, "", "", "", "refused where there is no `database`",
     "An external fence: how the region that takes over stops this one's instance, on top of the lease "
     "([fencing.md](fencing.md))."},
    {"regions[].fence.command", kTextList, kRequired, "", "", "[/usr/local/sbin/stop-instance, i-0123456789abcdef0]",
     "the program by its whole path",
     "Run without a shell by the agent of the region that takes over, after its claim and before it opens its database. Exit code "
     "0 "
     "only when the instance is proven to be stopped."},
    {"regions[].fence.timeout", kDuration, kOptional, "30s", "", "30s", "1s to 10min",
     "After which a run is ended, without proof."},
    {"regions[].fence.on_failure", kChoice, kOptional, "go-on", "go-on|wait", "go-on", "",
     "Without proof: `go-on` says so and takes over all the same, since the lease has ended; `wait` tries again, and waits for "
     "proof or "
     "for a person's word."},

    {"peers", kSection, kOptional, "", "", "", "", "How agents and command line speak to each other."},
    {"peers.allow_plaintext", kChoice, kOptional, "false", "false|true", "false", "",
     "**`true` lets the token travel readable:** agents may then listen at and call private addresses (10/8, 172.16/12, "
     "192.168/16, "
     "100.64/10, fc00::/7) without encryption, and whoever can read that network can give orders. For a lab, or inside a tunnel "
     "that encrypts. Public addresses are refused all the same."},

    {"first_primary", kLabel, kOptional, "", "", "us-east-1", "required, but refused beside `aws.database`; a data region",
     "Region that takes epoch 1 of a service that has no lease yet; ignored ever after."},

    {"login", kSection, kOptional, "", "", "", "", "How Lifeboat logs in to every database of the service."},
    {"login.database", kIdentifier, kOptional, "postgres", "", "postgres", "", "Database that holds the schema `lifeboat`."},
    {"login.superuser", kIdentifier, kOptional, "postgres", "", "postgres", "",
     "Used through the local socket and by `pg_rewind`."},
    {"login.replication_user", kIdentifier, kOptional, "lifeboat_replication", "", "lifeboat_replication", "",
     "Used by the standbys."},
    {"login.canary_user", kIdentifier, kOptional, "lifeboat_canary", "", "lifeboat_canary", "",
     "Used by the canary, which writes as a client does."},
    {"login.password_file", kPath, kOptional, "", "", "/etc/lifeboat/passfile", "mode 0600",
     "libpq password file for every connection."},

    {"dns", kSection, kOptional, "", "", "", "required, but refused beside `aws.database`",
     "The name that clients follow, kept by DNS updates (RFC 2136)."},
    {"dns.name", kDnsName, kRequired, "", "", "orders-db.example.net.", "ends in `dns.zone`", "The service's name."},
    {"dns.zone", kDnsName, kRequired, "", "", "example.net.", "", "Zone in which it stands."},
    {"dns.server", kEndpoint, kRequired, "", "", "127.77.3.1:53", "", "The zone's authoritative primary server."},
    {"dns.ttl", kWholeSeconds, kOptional, "1s", "", "1s", "1s to 300s",
     "How long clients may keep an answer: part of every outage."},
    {"dns.key_name", kDnsName, kRequired, "", "", "lifeboat", "", "Name of the TSIG key."},
    {"dns.key_algorithm", kChoice, kOptional, "hmac-sha256", "hmac-sha256|hmac-sha384|hmac-sha512", "hmac-sha256", "",
     "Algorithm of the TSIG key."},
    {"dns.key_file", kPath, kRequired, "", "", "/etc/lifeboat/dns.key", "mode 0600", "File that holds the key's secret in base64."},

    {"backups", kItemList, kOptional, "", "", "", "", "Places where backups lie, one list item each ([backups.md](backups.md))."},
    {"backups[].name", kLabel, kRequired, "", "", "nightly", "unique",
     "Name of the source: `lifeboat backup verify --source nightly`."},
    {"backups[].region", kLabel, kRequired, "", "", "us-west-2", "a region",
     "Region whose agent looks; `path` is as it is seen there."},
    {"backups[].kind", kChoice, kOptional, "auto", "auto|pgbackrest|base-backup|wal|dump|rds", "pgbackrest", "",
     "What lies there; `auto` tells by what is found."},
    {"backups[].path", kBackups, kRequired, "", "", "/var/lib/pgbackrest", "",
     "The repository or folder, here or in S3 (`s3://orders-backups/pgbackrest`), or the RDS instance or Aurora cluster whose "
     "snapshots "
     "they are (`rds:orders`). It is only ever read."},
    {"backups[].wal", kFolder, kOptional, "", "", "/var/lib/postgresql/archive", "",
     "Folder of archived WAL beside base backups, here or in S3."},
    {"backups[].s3_region", kLabel, kOptional, "", "", "us-west-2", "default: `AWS_REGION` of whoever looks",
     "Region of the buckets in `path` and `wal`."},
    {"backups[].s3_endpoint", kUrl, kOptional, "", "", "https://minio.example.net:9000", "default: AWS's own",
     "What speaks like S3, asked by path."},
    {"backups[].s3_ca_file", kPath, kOptional, "", "", "/etc/lifeboat/minio-ca.pem", "default: the system's certificates",
     "Certificates that the endpoint's is checked by."},
    {"backups[].s3_profile", kText, kOptional, "", "", "backup-reader", "default: the usual chain of AWS",
     "Profile of AWS's shared files: best a role that may only read."},
    {"backups[].replica", kSection, kOptional, "", "", "", "", "A second bucket in which every object of `path` must lie too."},
    {"backups[].replica.path", kS3, kRequired, "", "", "s3://orders-backups-west/pgbackrest", "",
     "The bucket, and the same folder in it."},
    {"backups[].replica.s3_region", kLabel, kOptional, "", "", "us-west-2", "default: `AWS_REGION` of whoever looks",
     "Region of that bucket."},
    {"backups[].replica.s3_endpoint", kUrl, kOptional, "", "", "https://minio-west.example.net:9000", "default: AWS's own",
     "What speaks like S3 there."},
    {"backups[].replica.lag", kDuration, kOptional, "15min", "", "15min", "", "How long an object may be on its way."},
    {"backups[].locked", kChoice, kOptional, "false", "false|true", "false", "",
     "`true`: the buckets must keep versions and have Object Lock, so that nobody can destroy what lies there."},
    {"backups[].rds", kSection, kOptional, "", "", "", "required where `path` begins with `rds:`",
     "Snapshots of RDS: where they must lie, and into what one is restored to be looked at ([aws.md](aws.md))."},
    {"backups[].rds.regions", kLabelList, kRequired, "", "", "[eu-west-1, eu-central-1]", "",
     "AWS regions, in each of which a usable snapshot must lie."},
    {"backups[].rds.restore_region", kLabel, kOptional, "", "", "eu-central-1", "default: the last of `regions`",
     "AWS region in which one is restored."},
    {"backups[].rds.instance_class", kText, kOptional, "", "", "db.t4g.medium", "default: the source's; Aurora: db.t4g.medium",
     "Class of the temporary instance."},
    {"backups[].rds.subnet_group", kText, kOptional, "", "", "verify", "default: the region's own", "Its subnet group."},
    {"backups[].rds.parameter_group", kText, kOptional, "", "", "orders-15", "default: the engine's own",
     "Its parameter group; Aurora: the cluster's."},
    {"backups[].rds.security_groups", kTextList, kOptional, "", "", "[sg-0123456789abcdef0]", "default: the VPC's own",
     "Its security groups."},
    {"backups[].rds.user", kText, kOptional, "", "", "orders", "default: the source's master user",
     "Who asks the restored database; the password is in libpq's password file."},
    {"backups[].rds.patience", kDuration, kOptional, "2h", "", "2h", "1min to 1d", "How long RDS may take until it is available."},
    {"backups[].stanza", kText, kOptional, "", "", "orders", "", "pgBackRest's stanza; needed only where there are several."},
    {"backups[].cipher_pass_file", kPath, kOptional, "", "", "/etc/lifeboat/backup-pass", "mode 0600",
     "File that holds pgBackRest's repository passphrase, one line."},
    {"backups[].threads", kNumber, kOptional, "2", "", "2", "1 to 64", "How many threads read and check."},
    {"backups[].read_rate", kBytes, kOptional, "", "", "100MiB", "at least 1MiB; default: no limit",
     "How much may be read in a second, as stored."},
    {"backups[].rolling_share", kShare, kOptional, "1/7", "", "1/7", "",
     "Of what is unchanged and was found good before, the share that every run reads again: after that many runs all of it was."},
    {"backups[].gate", kChoice, kOptional, "false", "false|true", "false", "with `true`, `objectives.verified_age` is required",
     "`true`: where the newest verified backup is older than its objective, or unknown, `lifeboat check` says *not ready*."},
    {"backups[].schedule", kSection, kOptional, "", "", "", "", "When the agent looks by itself."},
    {"backups[].schedule.every", kDuration, kOptional, "", "", "1d", "at least 1min; default: never",
     "Time between the starts of two verifications."},
    {"backups[].schedule.level", kChoice, kOptional, "3", "0|1|2|3", "3", "", "How far they go up the ladder."},
    {"backups[].schedule.restore_every", kDuration, kOptional, "", "", "7d",
     "at least 1min; needs `scratch.folder`, but for RDS; default: never",
     "Time between the starts of two restores of the newest backup."},
    {"backups[].schedule.restore_level", kChoice, kOptional, "6", "4|5|6", "6", "", "How far a restored backup is looked at."},
    {"backups[].schedule.deadline", kDuration, kOptional, "12h", "", "12h", "at least 1min",
     "A run that takes longer is ended; what it did not reach is *not checked*."},
    {"backups[].scratch", kSection, kOptional, "", "", "", "", "Where backups are restored to be looked at."},
    {"backups[].scratch.folder", kPath, kRequired, "", "", "/var/lib/lifeboat/scratch",
     "outside every data directory and every source", "Folder in which a restore makes one of its own, and removes it."},
    {"backups[].scratch.limit", kBytes, kOptional, "", "", "200GiB", "default: what is free",
     "The most that a restore may take there."},
    {"backups[].scratch.bin_directory", kPath, kOptional, "", "", "/usr/lib/postgresql/15/bin",
     "default: that of the region's database", "Programs of the PostgreSQL that restores: of the backup's major version."},
    {"backups[].objectives", kSection, kOptional, "", "", "", "",
     "What the source is judged against; one that is missed is exit code 4."},
    {"backups[].objectives.backup_age", kDuration, kOptional, "", "", "26h", "more than 0s", "Age of the newest backup."},
    {"backups[].objectives.verified_age", kDuration, kOptional, "", "", "3d", "more than 0s; at least `schedule.every`",
     "Age of the newest backup that was verified."},
    {"backups[].objectives.rto", kDuration, kOptional, "", "", "1h", "more than 0s",
     "From the start of a restore to the first verified query."},
    {"backups[].objectives.rpo", kDuration, kOptional, "", "", "10min", "more than 0s",
     "What a restore to the newest moment would lose."},
    {"backups[].checks", kItemList, kOptional, "", "", "", "", "Your own questions to a restored database (level 6)."},
    {"backups[].checks[].name", kLabel, kRequired, "", "", "orders-are-there", "unique in its source", "Name of the check."},
    {"backups[].checks[].database", kIdentifier, kRequired, "", "", "orders", "", "Database that is asked."},
    {"backups[].checks[].sql", kText, kRequired, "", "", "select count(*) > 1000 from orders", "",
     "One statement that only reads."},
    {"backups[].checks[].expect", kText, kRequired, "", "", "t", "", "The first column of its first row, as text."},

    {"aws", kSection, kOptional, "", "", "", "", "A service whose database AWS runs ([aws.md](aws.md), [managed.md](managed.md))."},
    {"aws.database", kSection, kRequired, "", "", "", "", "The database, in place of the regions' own servers."},
    {"aws.database.kind", kChoice, kOptional, "aurora-global", "aurora-global|rds-replica", "aurora-global", "",
     "`aurora-global`: an Aurora global database. `rds-replica`: an RDS for PostgreSQL instance with a replica in each other "
     "region."},
    {"aws.database.global_cluster", kText, kOptional, "", "", "orders", "required where `kind` is `aurora-global`",
     "Identifier of the global database."},
    {"aws.database.members", kTextMap, kRequired, "", "", "{us-east-1: \"arn:aws:rds:us-east-1:123456789012:cluster:orders-1\", …}",
     "every data region",
     "Of each region the ARN of its cluster; with `rds-replica` the identifier of its instance. A region is named as AWS names "
     "it."},
    {"aws.database.detach_when_needed", kChoice, kOptional, "false", "false|true", "false", "`aurora-global` alone",
     "`true`: where Aurora refuses the failover since versions have drifted apart, the secondary is cut out of the global database "
     "by "
     "itself. That ends the global database, and nothing stops the old writer."},
    {"aws.database.backup_days", kNumber, kOptional, "7", "", "7", "`rds-replica` alone; 1 to 35",
     "How long a promoted replica keeps its automated backups."},
    {"aws.database.kms_keys", kTextMap, kOptional, "", "", "{us-east-1: \"arn:aws:kms:us-east-1:123456789012:key/…\", …}",
     "`rds-replica` alone",
     "Of each region the key of a replica that a rejoin makes there: needed where the primary is encrypted."},
    {"aws.database.subnet_groups", kTextMap, kOptional, "", "", "{us-east-1: orders-east, us-west-2: orders-west}",
     "`rds-replica` alone; default: the region's own", "Subnet group of a replica that a rejoin makes."},
    {"aws.database.parameter_groups", kTextMap, kOptional, "", "", "{us-east-1: orders-15, us-west-2: orders-15}",
     "`rds-replica` alone; default: the engine's own", "Parameter group of a replica that a rejoin makes."},
    {"aws.database.security_groups", kTextMap, kOptional, "", "", "{us-east-1: \"sg-0123456789abcdef0, sg-0123456789abcdef1\"}",
     "`rds-replica` alone; default: the VPC's own", "Security groups of a replica that a rejoin makes, with commas between them."},
    {"aws.database.backup_regions", kLabelList, kOptional, "", "", "[eu-central-1]", "`rds-replica` alone",
     "AWS regions, of the service or others, in which RDS keeps a copy of the writer's automated backups: `lifeboat check` misses "
     "one that "
     "is not there."},
    {"aws.database.backup_age", kDuration, kOptional, "1h", "", "1h", "`rds-replica` alone; at least 10min",
     "How old the newest moment may be that such a copy restores to."},
    {"aws.sql", kSection, kOptional, "", "", "", "",
     "How the database is asked by SQL: heartbeat rows, the canary, Aurora's own lag ([managed.md](managed.md), \"SQL\")."},
    {"aws.sql.user", kIdentifier, kRequired, "", "", "lifeboat", "",
     "Role that logs in everywhere; what it needs: [aws.md](aws.md), \"SQL\"."},
    {"aws.sql.database", kIdentifier, kOptional, "postgres", "", "orders", "", "Database that holds the schema `lifeboat`."},
    {"aws.sql.password_file", kPath, kOptional, "", "", "/etc/lifeboat/passfile", "mode 0600",
     "libpq password file; its lines name the hosts as they stand here."},
    {"aws.sql.sslmode", kChoice, kOptional, "verify-full", "verify-full|verify-ca|require|disable", "verify-full",
     "`disable`: loopback addresses alone",
     "As libpq's. Through the public name the certificate is checked against the writer endpoint of the region that it leads to."},
    {"aws.sql.root_cert", kPath, kOptional, "", "", "/etc/lifeboat/rds-global-bundle.pem", "required where `sslmode` verifies",
     "Certificates of those who sign the servers': AWS's bundle."},
    {"aws.sql.writers", kTextMap, kRequired, "", "", "{us-east-1: \"orders-1.cluster-x.us-east-1.rds.amazonaws.com:5432\", …}",
     "every data region", "Cluster endpoint of each region, `host:port`; with `rds-replica` the instance's."},
    {"aws.sql.readers", kTextMap, kOptional, "", "", "{us-east-1: \"orders-1.cluster-ro-x.us-east-1.rds.amazonaws.com:5432\", …}",
     "every data region, where `aws.database.kind` is `aurora-global`; default: `writers`",
     "Reader endpoint of each region: a secondary of Aurora answers nowhere else."},
    {"aws.sql.port", kNumber, kOptional, "", "", "5432", "default: the port of `writers` where the name leads to",
     "Port of the public name, `aws.traffic.name`."},
    {"aws.sql.global_endpoint", kText, kOptional, "", "", "\"orders.global-x.global.rds.amazonaws.com:5432\"",
     "refused beside `aws.traffic`",
     "What the canary writes through where no name is kept: the global database's writer endpoint. Without either there is no "
     "canary."},
    {"aws.traffic", kSection, kOptional, "", "", "",
     "required where `aws.database.kind` is `rds-replica`: an Aurora global database has a writer endpoint that follows",
     "The name that clients follow, in Route 53."},
    {"aws.traffic.kind", kChoice, kOptional, "standby-takes-over", "standby-takes-over|routing-control|records",
     "standby-takes-over", "",
     "`standby-takes-over`: an object in the standby's region under an inverted health check. `routing-control`: ARC routing "
     "controls. "
     "`records`: a change of records, which depends on us-east-1."},
    {"aws.traffic.zone", kText, kRequired, "", "", "Z0123456789ABCDEFGHIJ", "", "Id of the hosted zone."},
    {"aws.traffic.name", kDnsName, kRequired, "", "", "db.example.net.", "", "The service's name."},
    {"aws.traffic.type", kChoice, kOptional, "CNAME", "CNAME|A|AAAA", "CNAME", "", "Type of its records."},
    {"aws.traffic.targets", kTextMap, kRequired, "", "", "{us-east-1: orders-1.cluster-x.us-east-1.rds.amazonaws.com, …}",
     "every data region", "What the name answers when that region serves."},
    {"aws.traffic.name_servers", kTextList, kOptional, "", "", "[\"205.251.192.1:53\"]", "default: those that the zone names",
     "Name servers that are asked whether a change is there, by address and port."},
    {"aws.traffic.markers", kTextMap, kOptional, "", "", "{us-west-2: \"s3://orders-west/initiate-failover\", …}",
     "every data region, where `kind` is `standby-takes-over`",
     "Of each region the object whose presence sends clients to it: it lies in that region, and the health check of the others' "
     "record asks for it."},
    {"aws.traffic.control_endpoints", kTextMap, kOptional, "", "",
     "{us-east-1: \"https://….route53-recovery-cluster.us-east-1.amazonaws.com/v1\", …}",
     "all five, where `kind` is `routing-control`", "Endpoints of the cluster, by their AWS region."},
    {"aws.traffic.controls", kTextMap, kOptional, "", "", "{us-east-1: \"arn:aws:route53-recovery-control::…\", …}",
     "every data region, where `kind` is `routing-control`", "ARN of each region's routing control."},
    {"aws.compute", kItemList, kOptional, "", "", "", "", "What is scaled up in the region that takes over; never down."},
    {"aws.compute[].name", kLabel, kRequired, "", "", "web", "unique", "Name in messages and reports."},
    {"aws.compute[].kind", kChoice, kOptional, "auto-scaling", "auto-scaling|ecs|eks", "auto-scaling", "",
     "An EC2 Auto Scaling group, an ECS service, or an EKS node group."},
    {"aws.compute[].groups", kTextMap, kRequired, "", "", "{us-east-1: web-east, us-west-2: web-west}", "every data region",
     "The group; `cluster/service` or `cluster/nodegroup`."},
    {"aws.compute[].target_groups", kTextMap, kOptional, "", "", "{us-west-2: \"arn:aws:elasticloadbalancing:…\"}", "",
     "ARN of the load balancer's target group, whose word counts: as many targets healthy as are wanted."},
    {"aws.compute[].share", kNumber, kOptional, "100", "", "100", "1 to 1000", "Percent of what the old region ran."},
    {"aws.compute[].timeout", kDuration, kOptional, "10min", "", "10min", "at least 10s",
     "How long it is waited for before clients are sent there all the same."},
    {"aws.objects", kItemList, kOptional, "", "", "", "", "Buckets that S3 replicates."},
    {"aws.objects[].name", kLabel, kRequired, "", "", "invoices", "unique", "Name in messages and reports."},
    {"aws.objects[].buckets", kTextMap, kRequired, "", "", "{us-east-1: invoices-east, us-west-2: invoices-west}",
     "every data region", "The bucket of each region."},
    {"aws.objects[].prefix", kText, kOptional, "", "", "pdf/", "default: the whole bucket", "Only keys that begin with it."},
    {"aws.objects[].access_point", kText, kOptional, "", "", "arn:aws:s3::123456789012:accesspoint/abcdef.mrap", "",
     "ARN of the multi-region access point whose routes move with the service."},
    {"aws.objects[].canary_every", kDuration, kOptional, "", "", "1min", "at least 10s; default: never",
     "How often a small object is written to see it arrive."},
    {"aws.notify", kItemList, kOptional, "", "", "", "", "Who is told."},
    {"aws.notify[].kind", kChoice, kOptional, "sns", "sns|event-bridge", "sns", "", "A topic or an event bus."},
    {"aws.notify[].region", kLabel, kRequired, "", "", "eu-west-1", "", "AWS region of it: better none that may be lost."},
    {"aws.notify[].target", kText, kRequired, "", "", "arn:aws:sns:eu-west-1:123456789012:orders", "",
     "ARN of the topic, or name of the event bus."},
    {"aws.alarms", kItemList, kOptional, "", "", "", "", "CloudWatch alarms that count as signs of trouble."},
    {"aws.alarms[].region", kLabel, kRequired, "", "", "us-west-2", "a region",
     "Region whose agent looks, at alarms of that region."},
    {"aws.alarms[].about", kLabel, kRequired, "", "", "us-east-1", "a data region", "Region that it tells of."},
    {"aws.alarms[].alarm", kText, kRequired, "", "", "orders-errors-seen-from-west", "", "Name of the alarm."},
    {"aws.hooks", kItemList, kOptional, "", "", "", "", "Lambda functions that are called at a point of a plan."},
    {"aws.hooks[].name", kLabel, kRequired, "", "", "drain-queues", "unique", "Name in messages and reports."},
    {"aws.hooks[].when", kChoice, kRequired, "", "before-promote|after-promote|after-route", "after-promote", "", "The point."},
    {"aws.hooks[].functions", kTextMap, kRequired, "", "", "{us-east-1: drain, us-west-2: drain}", "every data region",
     "Name or ARN of the function in the region that takes over."},
    {"aws.hooks[].required", kChoice, kOptional, "true", "true|false", "true", "",
     "`false`: where it fails that is noted, and the plan goes on."},
    {"aws.hooks[].timeout", kDuration, kOptional, "60s", "", "60s", "1s to 15min", "How long it is waited for."},
    {"aws.secrets", kItemList, kOptional, "", "", "", "",
     "Secrets of Secrets Manager that the service needs wherever it runs: `lifeboat check` sees whether they are there, current, "
     "and under a "
     "key that works there. Their contents are never asked for."},
    {"aws.secrets[].name", kText, kRequired, "", "", "orders/database", "unique",
     "Name of the secret, the same in every data region."},

    {"telemetry", kSection, kOptional, "", "", "", "", "What is told to systems that watch."},
    {"telemetry.traces", kSection, kOptional, "", "", "", "",
     "OpenTelemetry: every execution, and every run of work on backups, as a trace ([formats/traces.md](formats/traces.md)). "
     "Without "
     "it the agent's environment counts: `OTEL_EXPORTER_OTLP_ENDPOINT` and its like."},
    {"telemetry.traces.endpoint", kText, kRequired, "", "", "https://collector.example.net:4318",
     "`https` or `http`; `/v1/traces` is appended",
     "URL of a collector that takes OTLP over HTTP in JSON. Better one in each region: what waits when an agent ends is lost."},
    {"telemetry.traces.headers_file", kPath, kOptional, "", "", "/etc/lifeboat/otlp-headers",
     "mode 0600; with `http` only to this machine",
     "File of `Name: value` lines that go with each request; read when an agent starts."},
    {"telemetry.traces.ca_file", kPath, kOptional, "", "", "/etc/lifeboat/collector-ca.pem", "default: the system's certificates",
     "Certificates of those who sign the collector's."},
    {"telemetry.traces.timeout", kDuration, kOptional, "10s", "", "10s", "100ms to 1min", "Of one request; nothing waits for it."},

    {"token_file", kPath, kRequired, "", "", "/etc/lifeboat/token", "mode 0600",
     "File that holds the token that agents and command line share."},
};

constexpr std::string_view kIntroduction = R"(# Configuration

<!-- Written by ConfigurationReference() from the list in src/config/keys.cc; a test compares. To write it again:
     LIFEBOAT_REGENERATE=1 build/release/bin/lifeboat_config_test --gtest_filter=Reference.* -->

One `lifeboat.yaml` describes one service. Every region reads the same file. A commented example that loads as it stands is
[examples/lifeboat.yaml](../examples/lifeboat.yaml).

Nothing is started on a bad file. All problems are reported at once, each with its line:

```
lifeboat.yaml:12: unknown key 'loss_limt'
  hint: did you mean 'loss_limit'?
```

- **Durations** are a number and a unit: `250ms`, `1.5s`, `10min`, `1h`, `7d`.
- **Sizes** are a number and a unit: `64MiB` (1024 × 1024), `1GB` (1000 × 1000 × 1000), `512B`.
- **Addresses** are IP addresses with a port, `10.0.1.5:5432` or `[2001:db8::5]:5432`: a failover must not wait for a resolver.
- **Paths** are absolute.
- **`${NAME}`** in a value is replaced by that environment variable; one that is not set is an error. `$${` is a literal `${`.
- **Secrets** never stand here: they lie in files of mode 0600 that this file names (the name may come from `${NAME}`).
- The file ends with a line break: one that does not was perhaps cut off while it was written, and is refused.
)";

std::string Cell(std::string_view text) {
  std::string cell;
  for (const char c : text) cell += c == '|' ? std::string("\\|") : std::string(1, c);
  return cell;
}

std::string Values(const Key& key) {
  if (key.type != kChoice) return Describe(key.type);
  std::string words;
  for (const std::string& choice : Choices(key)) words += (words.empty() ? "`" : ", `") + choice + "`";
  return words;
}

/// "required", a default, or "optional", and the note after it.
std::string Presence(const Key& key) {
  std::string text = key.presence == kRequired ? "required" : "optional";
  if (!key.fallback.empty()) text = "default `" + std::string(key.fallback) + "`";
  const bool replaces = key.note.starts_with("required") || key.note.starts_with("default");
  if (replaces) return std::string(key.note);
  return key.note.empty() ? text : text + "; " + std::string(key.note);
}

void AppendSection(std::string& out, std::string_view section) {
  std::string rows;
  for (const Key* key : KeysIn(section)) {
    if (key->type == kSection || key->type == kRegionList || key->type == kItemList) {
      rows += "| `" + std::string(LastWord(key->path)) + "` | " + Describe(key->type) + " | | " + Cell(Presence(*key)) + " | " +
              Cell(key->help) + " |\n";
      continue;
    }
    rows += "| `" + std::string(LastWord(key->path)) + "` | " + Values(*key) + " | `" + std::string(key->sample) + "` | " +
            Cell(Presence(*key)) + " | " + Cell(key->help) + " |\n";
  }
  const std::string title = section.empty() ? "The top of the file" : "`" + std::string(section) + "`";
  out += "\n## " + title + "\n\n| key | value | example | presence | meaning |\n| --- | --- | --- | --- | --- |\n" + rows;
  for (const Key* key : KeysIn(section)) {
    if (key->type == kSection) AppendSection(out, key->path);
    if (key->type == kRegionList || key->type == kItemList) AppendSection(out, std::string(key->path) + "[]");
  }
}

Json SchemaOf(const Key& key);

Json SchemaOfSection(std::string_view section) {
  Json properties = Json::object();
  Json required = Json::array();
  for (const Key* key : KeysIn(section)) {
    properties[std::string(LastWord(key->path))] = SchemaOf(*key);
    if (key->presence == kRequired) required.push_back(LastWord(key->path));
  }
  return {{"type", "object"}, {"additionalProperties", false}, {"properties", properties}, {"required", required}};
}

Json SchemaOf(const Key& key) {
  Json schema = {{"type", "string"}};
  switch (key.type) {
    case kSection: schema = SchemaOfSection(key.path); break;
    case kRegionList: schema = {{"type", "array"}, {"minItems", 2}, {"items", SchemaOfSection("regions[]")}}; break;
    case kItemList: schema = {{"type", "array"}, {"minItems", 1}, {"items", SchemaOfSection(std::string(key.path) + "[]")}}; break;
    case kChoice: schema["enum"] = Choices(key); break;
    case kNumber: schema = {{"type", {"integer", "string"}}, {"minimum", 0}, {"pattern", "^([0-9]+|.*\\$\\{.*)$"}}; break;
    case kShare: schema["pattern"] = "^([0-9]+/[0-9]+|.*\\$\\{.*)$"; break;
    case kText: schema["type"] = {"string", "number", "boolean"}; break;
    case kDuration:
    case kWholeSeconds: schema["pattern"] = "^([0-9]+(\\.[0-9]{1,3})?(us|ms|s|min|h|d)|.*\\$\\{.*)$"; break;
    case kBytes: schema["pattern"] = "^([0-9]+(\\.[0-9]{1,3})?(B|KiB|MiB|GiB|TiB|kB|MB|GB|TB)|.*\\$\\{.*)$"; break;
    case kPath: schema["pattern"] = "^(/|.*\\$\\{)"; break;
    case kFolder: schema["pattern"] = "^(/|s3://|.*\\$\\{)"; break;
    case kBackups: schema["pattern"] = "^(/|s3://|rds:|.*\\$\\{)"; break;
    case kS3: schema["pattern"] = "^(s3://|.*\\$\\{)"; break;
    case kUrl: schema["pattern"] = "^(https?://|.*\\$\\{)"; break;
    case kUrlList:
      schema = {{"type", "array"}, {"minItems", 1}, {"items", {{"type", "string"}, {"pattern", "^(https?://|.*\\$\\{)"}}}};
      break;
    case kLabelList:
    case kTextList: schema = {{"type", "array"}, {"minItems", 1}, {"items", {{"type", "string"}}}}; break;
    case kTextMap:
      schema = {{"type", "object"}, {"minProperties", 1}, {"additionalProperties", {{"type", {"string", "number"}}}}};
      break;
    case kLabel:
    case kIdentifier:
    case kEndpoint:
    case kDnsName: break;
  }
  schema["description"] = key.help;
  if (!key.fallback.empty()) schema["default"] = key.fallback;
  return schema;
}

}  // namespace

std::span<const Key> AllKeys() { return kKeys; }

const Key* FindKey(std::string_view path) {
  for (const Key& key : kKeys) {
    if (key.path == path) return &key;
  }
  return nullptr;
}

std::vector<const Key*> KeysIn(std::string_view section) {
  std::vector<const Key*> keys;
  for (const Key& key : kKeys) {
    const auto dot = key.path.rfind('.');
    const std::string_view parent = dot == std::string_view::npos ? std::string_view() : key.path.substr(0, dot);
    if (parent == section) keys.push_back(&key);
  }
  return keys;
}

const char* ItemNoun(std::string_view list) {
  if (list == "regions") return "region";
  if (list == "backups") return "backup source";
  if (list == "aws.compute") return "compute";
  if (list == "aws.objects") return "objects";
  if (list == "aws.notify") return "receiver";
  if (list == "aws.alarms") return "alarm";
  if (list == "aws.hooks") return "hook";
  if (list == "aws.secrets") return "secret";
  return "check";
}

std::string_view LastWord(std::string_view path) {
  const auto dot = path.rfind('.');
  return dot == std::string_view::npos ? path : path.substr(dot + 1);
}

std::vector<std::string> Choices(const Key& key) {
  std::vector<std::string> words;
  std::string_view rest = key.choices;
  while (!rest.empty()) {
    const auto bar = rest.find('|');
    words.emplace_back(rest.substr(0, bar));
    rest = bar == std::string_view::npos ? std::string_view() : rest.substr(bar + 1);
  }
  return words;
}

const char* Describe(KeyType type) {
  switch (type) {
    case kSection: return "a section";
    case kRegionList: return "a list";
    case kItemList: return "a list";
    case kLabel: return "a short name";
    case kIdentifier: return "a PostgreSQL name";
    case kDuration: return "a duration";
    case kWholeSeconds: return "a duration in whole seconds";
    case kBytes: return "a size";
    case kEndpoint: return "an IP address and port";
    case kPath: return "an absolute path";
    case kFolder: return "an absolute path or a folder in S3";
    case kS3: return "a folder in S3";
    case kBackups: return "an absolute path, a folder in S3 or a name in RDS";
    case kUrl: return "a URL";
    case kUrlList: return "a list of URLs";
    case kLabelList: return "a list of short names";
    case kTextList: return "a list of texts";
    case kTextMap: return "a section of texts by region";
    case kDnsName: return "a DNS name";
    case kChoice: return "a choice";
    case kNumber: return "a whole number";
    case kShare: return "a share";
    case kText: return "a text";
  }
  return "a value";
}

const char* HowToWrite(KeyType type) {
  switch (type) {
    case kSection: return "write its keys on the lines below, indented by two spaces";
    case kRegionList: return "write one item a region, each begun with '- name: …'";
    case kItemList: return "write one item each, begun with '- name: …'";
    case kLabel: return "use 1 to 63 lower-case letters, digits and hyphens, with no hyphen at either end";
    case kIdentifier: return "use letters, digits, '_' and '-', begun with a letter or '_', at most 63";
    case kDuration: return "write a number and a unit: 250ms, 3s, 10min, 1h, 7d (at most 365d)";
    case kWholeSeconds: return "write whole seconds: 1s, 30s, 5min";
    case kBytes: return "write a number and a unit: 512B, 64MiB, 1GB";
    case kEndpoint: return "write an address that the other regions reach, never a name: 10.0.1.5:5432 or [2001:db8::5]:5432";
    case kPath: return "begin it with '/'";
    case kFolder: return "begin it with '/', or write s3://BUCKET/PREFIX";
    case kS3: return "write s3://BUCKET/PREFIX";
    case kBackups: return "begin it with '/', or write s3://BUCKET/PREFIX or rds:NAME";
    case kUrl: return "write 'https://' and a host, with its port where it is another than 443: https://minio.example.net:9000";
    case kUrlList: return "write one URL a member, with its address and port: '- https://10.0.1.9:2379'";
    case kLabelList: return "write one name each: '- eu-west-1'";
    case kTextList: return "write one each, begun with '- '";
    case kTextMap: return "write 'region: text' lines, or '{us-east-1: …, us-west-2: …}'";
    case kDnsName: return "write labels joined by dots: orders-db.example.net.";
    case kChoice: return "write one of its words";
    case kNumber: return "write digits alone: 4";
    case kShare: return "write a part and a whole: 1/7";
    case kText: return "write at most 4096 bytes";
  }
  return "";
}

std::string ConfigurationReference() {
  std::string out(kIntroduction);
  AppendSection(out, "");
  return out;
}

Json ConfigurationSchema() {
  Json schema = SchemaOfSection("");
  schema["$schema"] = "https://json-schema.org/draft/2020-12/schema";
  schema["title"] = "lifeboat.yaml";
  // A database that AWS runs needs neither.
  schema["anyOf"] = {{{"required", {"aws"}}}, {{"required", {"first_primary", "dns"}}}};
  return schema;
}

}  // namespace lifeboat
