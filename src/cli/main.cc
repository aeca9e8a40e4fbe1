// lifeboat: the one program. This file is wiring: options to commands.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "cli/backup.h"
#include "cli/commands.h"
#include "cli/init_from_aws.h"
#include "cli/lab_commands.h"
#include "cli/run_agent.h"
#include "cli/run_managed.h"
#include "cli/version.h"
#include "config/text.h"
#include "guard/guard_process.h"

using namespace lifeboat;  // NOLINT(google-build-using-namespace): the program's own main

namespace {

int RunGuardOf(const CommonOptions& options, const std::string& log_file) {
  const auto settings = SettingsFor(options);
  if (!settings.ok()) {
    (void)EndWith(settings.error(), options);
    return static_cast<int>(Exit::kUsage);
  }
  const RegionSettings* region = settings->Find(RegionName(options.region));
  if (!region || !region->database) {
    std::string known;
    for (const RegionSettings& each : settings->regions) {
      if (each.database) known += (known.empty() ? "'" : ", '") + each.name.text + "'";
    }
    std::fprintf(stderr, "lifeboat guard: '%s' is no data region of '%s'\n  hint: its data regions are %s\n",
                 options.region.c_str(), settings->file.c_str(), known.c_str());
    return static_cast<int>(Exit::kUsage);
  }
  auto log = Log::Open(log_file, {{"service", settings->service}, {"region", options.region}});
  if (!log.ok()) return EndWith(log.error(), options);
  GuardOptions guard = GuardOptionsFor(region->state_directory, region->database->data_directory, *log);
  guard.gate_file = region->database->gate_file;
  guard.observe = settings->policy.automation != Automation::kAct;
  return RunGuard(guard);
}

int RunAgentOf(const CommonOptions& options, const std::string& log_file) {
  const auto settings = SettingsFor(options);
  if (!settings.ok()) {
    (void)EndWith(settings.error(), options);
    return static_cast<int>(Exit::kUsage);
  }
  if (settings->aws && settings->aws->database) return RunManagedProcess(*settings, RegionName(options.region), log_file);
  return RunAgentProcess(*settings, RegionName(options.region), log_file);
}

constexpr const char* kExitCodes =
    "Exit codes: 0 done, 1 failed, 2 bad usage or configuration, 3 refused by a rule,\n"
    "4 objective missed or not ready, 5 waits for approval or for something to come back.";

/// What somebody types who has not read anything else.
constexpr std::pair<const char*, const char*> kExamples[] = {
    {"status", "lifeboat status\n  lifeboat status --json --region us-west-2"},
    {"explain", "lifeboat explain --region us-west-2\n  lifeboat explain --rules"},
    {"check", "lifeboat check && echo ready"},
    {"switchover", "lifeboat switchover --to us-west-2"},
    {"failover",
     "lifeboat failover --to us-west-2\n  lifeboat failover --to us-west-2 --accept-loss\n"
     "  lifeboat failover --to us-west-2 --attest \"J. Doe: powered off by the provider, ticket 4711\""},
    {"rejoin", "lifeboat rejoin us-east-1"},
    {"cool-down", "lifeboat cool-down clear --reason \"the disk of us-east-1 was replaced, ticket 4711\""},
    {"cool-down clear", "lifeboat cool-down clear --reason \"the disk of us-east-1 was replaced, ticket 4711\""},
    {"candidates", "lifeboat candidates remove eu-north-1"},
    {"candidates remove", "lifeboat candidates remove eu-north-1"},
    {"store", "lifeboat store reseed --holder us-east-1"},
    {"store reseed",
     "lifeboat store reseed --holder us-east-1\n"
     "  lifeboat store reseed --holder us-east-1 --attest us-east-1=\"J. Doe: the site burns, ticket 4711\""},
    {"executions", "lifeboat executions list"},
    {"executions list", "lifeboat executions list"},
    {"executions show",
     "lifeboat executions show x-20261123-065029164-f0a0\n  lifeboat executions show x-20261123-065029164-f0a0 --otlp"},
    {"executions resume", "lifeboat executions resume x-20261123-065029164-f0a0"},
    {"executions abort", "lifeboat executions abort x-20261123-065029164-f0a0"},
    {"evidence", "lifeboat evidence verify"},
    {"evidence verify", "lifeboat evidence verify"},
    {"evidence list", "lifeboat evidence list --region us-west-2 --limit 10"},
    {"report", "lifeboat report --out /tmp/report\n  lifeboat report --execution x-20261123-065029164-f0a0"},
    {"agent", "lifeboat agent --region us-east-1 --config /etc/lifeboat/lifeboat.yaml"},
    {"guard", "lifeboat guard --region us-east-1 --config /etc/lifeboat/lifeboat.yaml"},
    {"backup", "lifeboat backup verify --repo /var/lib/pgbackrest"},
    {"backup list", "lifeboat backup list --repo /var/lib/pgbackrest"},
    {"backup verify",
     "lifeboat backup verify --repo /var/lib/pgbackrest\n  lifeboat backup verify --repo /backups/monday --wal /archive --level 2\n"
     "  lifeboat backup verify --source nightly --full\n"
     "  lifeboat backup verify --repo rds:orders --rds-region eu-west-1 --rds-region eu-central-1 --rds-age 26h --level 4"},
    {"backup drill", "lifeboat backup drill --repo /var/lib/pgbackrest --rto 15m --rpo 5m --scratch /restore"},
    {"backup windows", "lifeboat backup windows --repo /var/lib/pgbackrest --set latest"},
    {"init",
     "lifeboat init --from-aws --global-cluster orders --region eu-west-1 --region eu-central-1 --zone Z0123 --name "
     "orders.example.net"},
    {"lab", "lifeboat lab up"},
    {"lab up", "lifeboat lab up --lease 1 --lab /tmp/try"},
    {"lab status", "lifeboat lab status"},
    {"lab kill", "lifeboat lab kill us-east-1\n  lifeboat lab kill us-east-1 database"},
    {"lab start", "lifeboat lab start us-east-1"},
    {"lab down", "lifeboat lab down"},
    {"demo", "lifeboat demo\n  lifeboat demo --keep --report /tmp/report"},
    {"version", "lifeboat version"},
};

void AddExamples(CLI::App& app) {
  for (const auto& [path, example] : kExamples) {
    CLI::App* command = &app;
    for (const std::string& word : CLI::detail::split(path, ' ')) command = command->get_subcommand(word);
    command->footer(std::string("Example:\n  ") + example + "\n\n" + kExitCodes);
  }
}

std::vector<std::string> CommandsOf(const CLI::App& app) {
  std::vector<std::string> known;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) known.push_back(command->get_name());
  return known;
}

/// What verify from level 4 on and drill have in common.
void AddRestoreOptions(CLI::App* command, RestoreFlags& flags) {
  CLI::Option_group* restore = command->add_option_group("restore", "how a restore is made (levels 4 to 6)");
  restore->add_option("--to", flags.to, "latest, immediate, a position (0/3000148), or a time in UTC (default: latest)");
  restore->add_option("--scratch", flags.scratch, "folder for the sandbox (default: $TMPDIR, else /var/tmp)");
  restore->add_option("--scratch-limit", flags.scratch_limit, "how much it may take there")->transform(CLI::AsSizeValue(false));
  restore->add_option("--cpus", flags.cpus, "processors that it may use (default: all)");
  restore->add_option("--run-as", flags.run_as, "as root: the user that PostgreSQL runs as (default: postgres)");
  restore->add_option("--bin", flags.bin, "folder of PostgreSQL's programs (default: /usr/lib/postgresql/MAJOR/bin)");
  restore->add_option("--user", flags.user, "a superuser of the database")->capture_default_str();
  restore->add_option("--preload", flags.preload, "shared_preload_libraries that it cannot do without (default: none)");
  restore->add_option("--amcheck", flags.amcheck, "quick or full")->check(CLI::IsMember({"quick", "full"}))->capture_default_str();
  restore->add_option("--start-timeout", flags.start_timeout, "what is not restored and usable by then fails, as 2h (default: 1d)");
  restore->add_flag("--allow-unguarded", flags.allow_unguarded, "also where the kernel cannot keep it from writing elsewhere");
  restore->add_option("--checks", flags.checks, "file of the service's own questions: JSON, [{name, database, sql, expect}]");
  restore->add_option("--history", flags.history, "file of the last run's figures; compared, then replaced");
  restore->add_option("--rto", flags.rto, "objective: start to first verified query, e.g. 15m");
  restore->add_option("--rpo", flags.rpo, "objective: what a restore to now may lose, e.g. 5m");
}

/// What only snapshots of RDS know.
void AddRdsOptions(CLI::App* command, RdsFlags& flags) {
  CLI::Option_group* rds = command->add_option_group("rds", "snapshots of RDS (--repo rds:NAME)");
  rds->add_option("--rds-region", flags.regions, "where one must lie; repeat it (default: AWS_REGION)");
  rds->add_option("--rds-age", flags.age, "objective: age of the newest one in each region, e.g. 26h");
  rds->add_option("--rds-restore-region", flags.restore_region,
                  "where it is restored for levels 4 to 6 (default: the last --rds-region)");
  rds->add_option("--rds-class", flags.instance_class,
                  "class of the temporary instance (default: the source's; Aurora: db.t4g.medium)");
  rds->add_option("--rds-subnet-group", flags.subnet_group, "its subnet group (default: the default one)");
  rds->add_option("--rds-parameter-group", flags.parameter_group, "its parameter group; Aurora: the cluster's");
  rds->add_option("--rds-security-group", flags.security_groups, "its security groups; repeat it");
  rds->add_option("--rds-poll", flags.poll, "seconds between two looks at it")->check(CLI::Range(1, 600))->capture_default_str();
  rds->add_option("--rds-patience", flags.patience, "minutes until it must be available")
      ->check(CLI::Range(1, 1440))
      ->capture_default_str();
}

bool IsCommand(const CLI::App& app, const std::string& word) {
  const std::vector<std::string> known = CommandsOf(app);
  return std::find(known.begin(), known.end(), word) != known.end();
}

/// A word that is no command, with the nearest one.
int NoSuchCommand(const CLI::App& app, const std::string& word) {
  const std::vector<std::string> known = CommandsOf(app);
  const auto near = NearestTo(word, known);
  std::fprintf(stderr, "lifeboat: there is no command '%s'\n  hint: %s\n", word.c_str(),
               near ? ("did you mean '" + *near + "'?").c_str() : "lifeboat --help lists them");
  return static_cast<int>(Exit::kUsage);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Lifeboat moves a service to another region when a region is lost, and says what it cost.", "lifeboat"};
  app.require_subcommand(1);
  app.footer(kExitCodes);
  app.set_version_flag("--version", ProgramVersion());
  int exit_code = 0;
  CommonOptions common;
  OrderOptions order;
  ReportOptions report;
  ReseedOptions reseed;
  std::string log_file = "-";
  std::string id;
  bool otlp = false;
  std::string reason;
  std::uint64_t limit = 100;
  bool rules = false;
  app.add_option("--config", common.config,
                 "configuration (default: $LIFEBOAT_CONFIG, ./lifeboat.yaml, /etc/lifeboat/lifeboat.yaml, the running lab's)");

  const auto add = [&](CLI::App* parent, const char* name, const char* text, std::function<int()> run) {
    CLI::App* command = parent->add_subcommand(name, text);
    command->add_flag("--json", common.json, "print JSON");
    command->add_option("--config", common.config, "configuration");
    command->callback([&exit_code, run = std::move(run)] { exit_code = run(); });
    return command;
  };
  const auto asks = [&](CLI::App* command) {
    command->add_option("--region", common.region, "whose agent to ask (default: the first that answers)");
  };

  asks(add(&app, "status", "where the service is, and whether it could move", [&] { return ShowStatus(common); }));
  CLI::App* explain = add(&app, "explain", "the last decision, its rule and its facts; and why nothing is done when nothing is",
                          [&] { return ShowExplain(common, rules); });
  asks(explain);
  explain->add_flag("--rules", rules, "print the table of all rules instead");
  asks(add(&app, "check", "readiness: what would stand in the way of a failover now (exit code 4: something would)",
           [&] { return ShowCheck(common); }));

  CLI::App* switchover =
      add(&app, "switchover", "planned move to another region, losing nothing", [&] { return OrderSwitchover(common, order); });
  switchover->add_option("--to", order.region, "the region that becomes primary")->required();
  switchover->add_flag("--despite-backups", order.despite_backups,
                       "also where the target's backups are a gate and not verified; on record, for this once");
  switchover->add_flag("--no-wait", order.no_wait, "do not follow it to its end");
  CLI::App* failover = add(&app, "failover", "move away from a lost region", [&] { return OrderFailover(common, order); });
  failover->add_option("--to", order.region, "the region that becomes primary")->required();
  failover->add_flag("--accept-loss", order.accept_loss,
                     "also above the loss limit, or where the loss is unknown; on record, for this once");
  failover->add_flag(
      "--detach", order.detach,
      "a database that AWS runs: cut the secondary loose, which ends the global database; nothing stops the old writer");
  failover->add_option("--attest", order.attest, "\"who and how\": you saw to it yourself that the old region is off; on record");
  failover->add_flag("--no-wait", order.no_wait, "do not follow it to its end");
  CLI::App* rejoin =
      add(&app, "rejoin", "make a region that was primary a standby again; its divergent WAL is saved and counted first",
          [&] { return OrderRejoin(common, order); });
  rejoin->add_option("region", order.region, "the region to rejoin")->required();
  rejoin->add_flag("--no-wait", order.no_wait, "do not follow it to its end");

  CLI::App* candidates = app.add_subcommand("candidates", "the standby regions that may take over: remove");
  candidates->require_subcommand(1);
  CLI::App* remove = add(candidates, "remove", "no longer ask a region that is gone for good; it may join again later",
                         [&] { return RemoveCandidate(common, order.region); });
  remove->add_option("region", order.region, "the region")->required();

  CLI::App* store = app.add_subcommand("store", "the store that the agents share: reseed");
  store->require_subcommand(1);
  CLI::App* begin_anew = add(store, "reseed", "begin a store anew whose content was lost; refuses while the store is whole",
                             [&] { return ReseedStore(common, reseed); });
  begin_anew->add_option("--holder", reseed.holder, "the region that was the last primary: it keeps the lease")->required();
  begin_anew->add_option(
      "--attest", reseed.attest,
      "REGION=\"who saw what\": that region does not answer, and you saw to it that it is off; repeat it for each");
  asks(begin_anew);

  CLI::App* cool_down = app.add_subcommand("cool-down", "the latch after a move that votes drove: clear");
  cool_down->require_subcommand(1);
  CLI::App* clear = add(cool_down, "clear", "let votes move the service again; who and why is recorded in evidence",
                        [&] { return ClearCoolDown(common, reason); });
  clear->add_option("--reason", reason, "what was found, and done about it")->required();
  asks(clear);

  CLI::App* executions = app.add_subcommand("executions", "runs of plans: list, show, resume, abort");
  executions->require_subcommand(1);
  asks(add(executions, "list", "all of them, newest first", [&] { return ListExecutions(common); }));
  for (const auto& [verb, text] :
       {std::pair("show", "one, with its steps (exit code 5: it waits)"), std::pair("resume", "try again now what it waits for"),
        std::pair("abort", "end it and take back what was done, before its point of no return")}) {
    CLI::App* command = add(executions, verb, text, [&, verb = std::string(verb)] {
      return otlp ? PrintTrace(common, id) : OneExecution(common, verb, id, order.attest);
    });
    command->add_option("id", id, "its id")->required();
    if (command->get_name() == "show")
      command->add_flag("--otlp", otlp, "its trace as OTLP JSON, for a collector, once it has ended");
    if (command->get_name() == "resume") {
      command->add_option("--attest", order.attest,
                          "the instance whose external fence gives no proof is off, I saw to it: who and how; recorded");
    }
    asks(command);
  }

  CLI::App* evidence = app.add_subcommand("evidence", "what was measured, chained by hash: verify, list");
  evidence->require_subcommand(1);
  asks(add(evidence, "verify", "whether every region's chain is whole, compared with the heads that the others hold",
           [&] { return VerifyEvidence(common); }));
  CLI::App* list = add(evidence, "list", "the records of one region", [&] { return ListEvidence(common, limit); });
  asks(list);
  list->add_option("--limit", limit, "at most so many, the newest")->capture_default_str();

  CLI::App* reports = add(&app, "report", "what the executions cost against the objectives (HTML, JSON, and a table here)",
                          [&] { return MakeReport(common, report); });
  reports->add_option("--execution", report.execution, "only this one (default: the last 20)");
  reports->add_option("--out", report.folder, "folder for report.html and report.json")->capture_default_str();
  asks(reports);

  BackupOptions backups;
  CLI::App* backup = app.add_subcommand("backup", "backups: list, verify, drill, windows");
  backup->require_subcommand(1);
  for (const auto& [name, text, run] :
       {std::tuple("list", "what is there: age, size, the WAL that each needs", &ListBackups),
        std::tuple("verify", "whether they are whole: structure, bytes and pages in one pass (exit code 1: a fault)",
                   &VerifyBackups),
        std::tuple("drill", "a restore, timed by phase against its objectives (exit code 4: one is missed)", &DrillBackup),
        std::tuple("windows", "to which moments a restore can really go, and where the holes are", &ShowWindows)}) {
    CLI::App* command = add(backup, name, text, [&, run = run] { return run(common, backups); });
    CLI::Option_group* where = command->add_option_group("where", "which backups");
    where->add_option("--repo", backups.repository,
                      "a pgBackRest repository, a folder of base backups, or a folder of WAL; s3://BUCKET/PREFIX: the same in S3; "
                      "rds:NAME: snapshots of an RDS instance or an Aurora cluster");
    where->add_option("--source", backups.source, "a source that lifeboat.yaml describes, with its objectives");
    where->require_option(1);
    command->add_option("--memory", backups.memory,
                        "file of what was verified before (default with --source: its agent's, on that machine)");
    command->add_option("--wal", backups.wal, "the WAL archive of base backups");
    command->add_option("--stanza", backups.stanza, "pgBackRest's stanza (default: the only one)");
    command->add_option("--s3-region", backups.s3_region, "the bucket's region (default: AWS_REGION, AWS_DEFAULT_REGION)");
    command->add_option("--s3-endpoint", backups.s3_endpoint,
                        "URL of what speaks like S3, asked by path (default: AWS_ENDPOINT_URL_S3, else AWS)");
    command->add_option("--s3-ca-file", backups.s3_ca_file,
                        "certificates for that endpoint (default: AWS_CA_BUNDLE, else the system's)");
    command->add_option("--s3-profile", backups.s3_profile, "profile of AWS's shared files (default: the usual chain)");
    AddRdsOptions(command, backups.rds);
    command->add_option("--cipher-pass-file", backups.cipher_pass_file, "file with the repository's pass, mode 0600");
    if (std::string_view(name) == "list") continue;
    command->add_option("--set", backups.set, "one backup, or 'latest' (default: all)");
    command->add_option("--threads", backups.threads, "threads that read (default: one a processor)");
    command->add_option("--read-rate", backups.read_rate, "how much may be read in a second")->transform(CLI::AsSizeValue(false));
    if (std::string_view(name) == "drill") {
      AddRestoreOptions(command, backups.restore);
      command->add_option("--region", common.region,
                          "whose evidence the drill is recorded in (default with --source: its region's)");
      command->add_option("--level", backups.level, "4 restores, 5 logic, 6 content")->check(CLI::Range(4, 6));
      command->preparse_callback([&backups](std::size_t) { backups.level = 6; });
    }
    if (std::string_view(name) != "verify") continue;
    AddRestoreOptions(command, backups.restore);
    command->add_option("--live", backups.live,
                        "the running source, as libpq reaches it: its archiver and slots are looked at too (default with --source: "
                        "its region's database)");
    command->add_flag("--full", backups.full, "read everything, also what is unchanged since it was found good");
    command->add_option("--deadline", backups.deadline, "seconds after which it ends; what was not reached is not checked");
    command
        ->add_option("--level", backups.level,
                     "0 exists, 1 structure, 2 bytes, 3 pages; restored in a sandbox: 4 restores, 5 logic, 6 content")
        ->check(CLI::Range(0, 6))
        ->capture_default_str();
  }
  for (const auto& [name, text, run] : {std::tuple("agent", "run the agent of a region", &RunAgentOf),
                                        std::tuple("guard", "run the guard of a data region", &RunGuardOf)}) {
    CLI::App* command = add(&app, name, text, [&, run = run] { return run(common, log_file); });
    command->add_option("--region", common.region, "the region")->required();
    command->add_option("--log", log_file, "log file, JSON lines (default: standard error)");
  }
  InitOptions init;
  CLI::App* first =
      add(&app, "init", "a first lifeboat.yaml, commented, from what is running", [&] { return InitFromAws(common, init); });
  first->add_flag("--from-aws", init.from_aws, "read an Aurora global cluster, records and buckets; changes nothing there")
      ->required();
  first->add_option("--global-cluster", init.request.global_cluster, "its identifier")->required();
  first->add_option("--region", init.request.regions, "where to ask; repeat it. One that holds no cluster of it becomes a witness")
      ->required();
  CLI::Option* zone = first->add_option("--zone", init.request.zone, "id of the hosted zone that the service's name stands in");
  CLI::Option* name = first->add_option("--name", init.request.name, "that name")->needs(zone);
  zone->needs(name);
  first->add_option("--bucket", init.request.buckets, "a bucket of the service; repeat it, also for its copies");
  first->add_option("--group", init.groups, "an Auto Scaling group, as REGION=NAME; repeat it, one for each region");
  first->add_option("--service", init.services, "an ECS service, as REGION=CLUSTER/SERVICE; repeat it");
  first->add_option("--node-group", init.node_groups, "an EKS node group, as REGION=CLUSTER/NAME; repeat it");
  first->add_option("--topic", init.request.topics, "ARN of an SNS topic that is to be told; repeat it");
  first->add_option("--alarm", init.alarms, "a CloudWatch alarm, as REGION=NAME; repeat it");
  first->add_option("--secret", init.request.secrets, "name of a secret that the service needs in every region; repeat it");
  first->add_option("--output", init.output, "the file to write; never overwritten")->capture_default_str();
  AddLabCommands(app, exit_code);
  add(&app, "version", "the program's version", [&] {
    std::printf("%s\n", common.json ? Json{{"version", ProgramVersion()}}.dump().c_str() : ProgramVersion());
    return 0;
  });

  AddExamples(app);
  if (argc > 1 && argv[1][0] != '-' && !IsCommand(app, argv[1])) return NoSuchCommand(app, argv[1]);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : static_cast<int>(Exit::kUsage);
  }
  return exit_code;
}
