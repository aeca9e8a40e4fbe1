#include "cli/run_managed.h"

#include <malloc.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "adapters/aws/alarms.h"
#include "adapters/aws/compute.h"
#include "adapters/aws/credential_check.h"
#include "adapters/aws/database_check.h"
#include "adapters/aws/dependence.h"
#include "adapters/aws/hooks.h"
#include "adapters/aws/managed_database.h"
#include "adapters/aws/notices.h"
#include "adapters/aws/objects.h"
#include "adapters/aws/open.h"
#include "adapters/aws/permission_check.h"
#include "adapters/aws/rds_automated.h"
#include "adapters/aws/secret_check.h"
#include "adapters/aws/traffic.h"
#include "adapters/aws/traffic_check.h"
#include "adapters/dns/name_servers.h"
#include "adapters/peers/peer_client.h"
#include "adapters/peers/token.h"
#include "adapters/store/remote_store.h"
#include "adapters/system/clock.h"
#include "adapters/system/files.h"
#include "adapters/system/pool_files.h"
#include "agent/managed_agent.h"
#include "base/drive.h"
#include "base/spawn.h"
#include "cli/agent_store.h"
#include "cli/backup_desk.h"
#include "cli/managed_sql_parts.h"
#include "cli/self_look.h"
#include "cli/trace_desk.h"
#include "cli/version.h"
#include "config/text.h"
#include "prove/evidence_pool.h"
#include "serve/http_server.h"
#include "serve/metrics.h"

namespace lifeboat {

namespace {

using OpenedClient = std::optional<Result<aws::Opened>>;

Task<> KeepClient(Task<Result<aws::Opened>> opening, OpenedClient* into) { into->emplace(co_await std::move(opening)); }

/// Drives `context`, in which nothing else runs yet, until the shared files of AWS have been read. Nobody is asked.
Result<aws::Opened> OpenClient(boost::asio::io_context& context, const RegionName& self, Clock& clock, Files& files,
                               const Log& log) {
  aws::OpenOptions how;
  // A witness is in a region of AWS or not: STS is asked where the agent is, else where the environment says, never at the global
  // endpoint.
  how.credentials.region = aws::IsAwsRegion(self.text) ? self.text : std::string();
  OpenedClient client;
  Spawn(context.get_executor(), KeepClient(aws::OpenWithCredentials(context.get_executor(), std::move(how),
                                                                    {clock, files, aws::EnvironmentOfTheProcess(), log}),
                                           &client));
  DriveUntil(context, [&] { return client.has_value(); });
  return *std::move(client);
}

Task<Result<std::vector<Readiness>>> PermissionLines(aws::Client& client, std::string region, const Settings& settings,
                                                     Duration timeout) {
  co_return co_await aws::CheckPermissions(client, std::move(region), settings, timeout);
}

Task<Result<std::vector<Readiness>>> Answer(Task<std::vector<Readiness>> lines) { co_return co_await std::move(lines); }
Task<Result<std::vector<Readiness>>> Answered(std::vector<Readiness> lines) { co_return lines; }

std::vector<RegionName> DataRegions(const Settings& settings) {
  std::vector<RegionName> regions;
  for (const RegionSettings& region : settings.regions) {
    if (region.kind == RegionKind::kData) regions.push_back(region.name);
  }
  return regions;
}

/// Where an agent asks what no region of its own could be asked: in its own, one outside of AWS as the environment says, else in
/// the first data region.
std::string AsksIn(const Settings& settings, const RegionName& self) {
  const std::string region = aws::StsRegionFor(self.text, aws::EnvironmentOfTheProcess());
  const std::vector<RegionName> data = DataRegions(settings);
  return region.empty() && !data.empty() ? data.front().text : region;
}

Task<Result<std::vector<Readiness>>> CredentialAnswer(const aws::Opened& opened, const Settings& settings, const RegionName& self,
                                                      Clock& clock, Duration timeout) {
  aws::CredentialView view;
  view.own = aws::IsAwsRegion(self.text) ? self.text : std::string();
  for (const RegionName& region : DataRegions(settings)) view.data_regions.push_back(region.text);
  view.sts_region = aws::StsRegionFor(self.text, aws::EnvironmentOfTheProcess());
  if (!view.sts_region.empty()) {
    const Result<aws::ServiceEndpoint> sts = opened.endpoints.Of("sts", view.sts_region);
    if (sts.ok()) view.sts_url = sts->url;
  }
  co_return co_await aws::CheckCredentials(opened.credentials, std::move(view), clock, timeout);
}

/// Everything of AWS but the database and the name.
struct Neighbours {
  Neighbours(aws::Client& client, const AwsSettings& settings, Clock& clock, const Log& log)
      : compute(aws::OpenAwsCompute(client, settings.compute, clock, log)),
        objects(aws::OpenAwsObjects(client, settings.objects, clock, log)),
        hooks(aws::OpenAwsHooks(client, settings.hooks)),
        notifiers(aws::OpenAwsNotifiers(client, settings.notify)),
        alarms(client) {}
  std::vector<std::unique_ptr<Compute>> compute;
  std::vector<std::unique_ptr<Objects>> objects;
  std::vector<std::unique_ptr<Hook>> hooks;
  std::vector<std::unique_ptr<Notifier>> notifiers;
  aws::AwsAlarms alarms;
};

template <typename Door>
std::vector<Door*> Pointers(const std::vector<std::unique_ptr<Door>>& doors) {
  std::vector<Door*> all;
  for (const auto& door : doors) all.push_back(door.get());
  return all;
}

void UpdateMetrics(const ManagedAgent& agent, Metrics& metrics, int& last_rule) {
  const ManagedSnapshot& s = agent.snapshot();
  metrics.SetLeaseEpoch(s.item ? std::optional(s.item->epoch) : std::nullopt);
  metrics.SetStoreReachable(s.store_answers);
  ShowStatus(agent.Status(), metrics);
  for (const auto& [region, facts] : s.regions) {
    const bool writer = s.item && s.item->writer == region;
    std::optional<Role> role = Role::kNone;
    if (facts.kind == RegionKind::kWitness) role = Role::kWitness;
    if (writer) role = Role::kPrimary;
    if (!writer && facts.copy && facts.copy->role == ManagedRole::kSecondary) role = Role::kStandby;
    metrics.SetRole(region, role);
    const auto verdict = agent.decision().verdicts.find(region);
    metrics.SetVerdict(region, verdict == agent.decision().verdicts.end() ? std::nullopt : std::optional(verdict->second));
    const bool bounded = !writer && facts.loss && facts.loss->kind == LossEstimate::Kind::kBounded;
    const std::string source = bounded ? agent.world().LossOf(region, ReadClocks()).source : "";
    metrics.SetLagSource(region, source.empty() ? std::nullopt : std::optional(source));
    metrics.SetReplicationLag(region, bounded ? std::optional(facts.loss->time) : std::nullopt);
  }
  if (const ManagedSqlWatch* sql = agent.sql()) {
    if (sql->HasCanary()) {
      metrics.SetCanaryOk(sql->CanaryOk());
      metrics.SetCanaryLastSuccess(sql->CanaryLastGood().ns > 0 ? std::optional(sql->CanaryLastGood()) : std::nullopt);
    }
    const Instant now = ReadClocks();
    for (const auto& [region, facts] : s.regions) {
      if (facts.kind == RegionKind::kData) metrics.SetHeartbeatAge(region, sql->HeartbeatAge(region, now));
    }
  }
  metrics.SetVotes(s.votes.degraded, s.votes.agents, s.votes.majority_for && *s.votes.majority_for >= s.policy.degraded_after);
  metrics.SetCoolDownLatched(s.cool_down_read ? std::optional(s.cool_down.has_value()) : std::nullopt);
  if (agent.decision().rule != last_rule) {
    last_rule = agent.decision().rule;
    metrics.CountDecision(last_rule);
  }
}

/// Brings markers to rest after a move: by the region that serves, while nothing runs.
Task<> TendName(aws::AwsTraffic& traffic, const ManagedAgent& agent, RegionName self, Clock& clock, Log log) {
  while (true) {
    co_await clock.Sleep(1min);
    const ManagedSnapshot& s = agent.snapshot();
    if (!s.journal_read || s.execution || !s.item || s.item->writer != self || !s.item->moving_to.empty()) continue;
    auto settled = co_await traffic.Settle(30s);
    if (settled.ok() && !settled->empty()) log.Info("the name's markers were brought to rest", {{"what", *settled}});
    if (!settled.ok()) log.Warn("the name's markers could not be brought to rest", {{"problem", settled.error().message}});
  }
}

/// LIFEBOAT_AWS_WORD_PATIENCE: how long the word about the old writer is waited for, where two minutes are wrong: emulators have
/// none.
std::optional<Duration> WordPatience() {
  const char* text = std::getenv("LIFEBOAT_AWS_WORD_PATIENCE");
  return text == nullptr ? std::nullopt : ParseDuration(text);
}

Task<Result<Json>> AnswerBackups(Json results) { co_return results; }

int Complain(const Error& error) {
  std::fprintf(stderr, "lifeboat agent: %s\n", error.Text().c_str());
  return error.retry == Retry::kRefused ? 3 : 1;
}

}  // namespace

int RunManagedProcess(const Settings& settings, const RegionName& name, const std::string& log_file) {
  const RegionSettings* region = settings.Find(name);
  if (!region) {
    std::fprintf(stderr, "lifeboat agent: '%s' is no region of '%s'\n", name.text.c_str(), settings.file.c_str());
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error to report, not a reason to die
  mallopt(M_ARENA_MAX, 2);
  for (const char* folder : {"", "/journal"}) {
    const auto made = EnsureDirectory(region->state_directory + folder);
    if (!made.ok()) return Complain(made.error());
  }
  // SAFETY: one agent a region: a second one would vote and act beside the first.
  auto lock = FileLock::Take(region->state_directory, "agent.lock");
  if (!lock.ok()) return Complain(lock.error());
  auto log = Log::Open(log_file, {{"service", settings.service}, {"region", name.text}});
  if (!log.ok()) return Complain(log.error());
  auto token = ReadToken(settings.token_file);
  if (!token.ok()) return Complain(token.error());
  auto evidence_log = EvidenceLog::Open(region->state_directory + "/evidence.sqlite", name);
  if (!evidence_log.ok()) return Complain(evidence_log.error());

  boost::asio::io_context context(1);
  // Without it the context would stop, and the agent end at once, where a pool's thread lets go of the last work before the loops
  // have begun.
  const auto work = boost::asio::make_work_guard(context);
  const boost::asio::any_io_executor io = context.get_executor();
  SystemClock clock;
  PoolFiles files;
  EvidencePool evidence(*std::move(evidence_log), name);
  std::map<RegionName, Endpoint> agents;
  for (const RegionSettings& each : settings.regions) agents[each.name] = each.agent;
  PeerClient peers(io, name, agents, token->Clone(), *log);
  auto opened_client = OpenClient(context, name, clock, files, *log);
  if (!opened_client.ok()) return Complain(opened_client.error());
  const std::shared_ptr<aws::Client>* const client = &opened_client->client;
  auto store = OpenAgentStore(context, settings, name, peers, clock, files, *log);
  if (!store.ok()) return Complain(store.error());
  const auto database = aws::OpenManagedDatabase(**client, *settings.aws->database, clock, *log);
  Neighbours neighbours(**client, *settings.aws, clock, *log);
  const auto names = std::make_shared<DnsNameServers>(io);
  std::unique_ptr<aws::AwsTraffic> traffic;
  if (settings.aws->traffic) {
    aws::AwsTrafficOptions options;
    options.own = name;
    auto opened = aws::OpenAwsTraffic(*client, names, *settings.aws->traffic, options, clock, *log);
    if (!opened.ok()) return Complain(opened.error());
    traffic = *std::move(opened);
  }
  auto sql = ManagedSqlParts::Open(io, name, *settings.aws, names, clock);
  if (!sql.ok()) return Complain(sql.error());
  const AgentId id(RandomHex(8));
  ManagedAgent::Doors doors{clock,
                            *store->store,
                            files,
                            peers,
                            evidence,
                            *database,
                            traffic.get(),
                            nullptr,
                            &neighbours.alarms,
                            Pointers(neighbours.compute),
                            Pointers(neighbours.objects),
                            Pointers(neighbours.hooks),
                            Pointers(neighbours.notifiers)};
  if (*sql) {
    doors.sql = &(*sql)->sql;
    doors.canary = (*sql)->of_loop.get();
    doors.canary_of_steps = (*sql)->of_steps.get();
  }
  ManagedAgent agent(io, settings, name, id, std::move(doors), ManagedTimes(), *log);
  if (const auto patience = WordPatience()) agent.SetWordPatience(*patience, std::min<Duration>(*patience / 4, 10s));
  agent.describe_store = store->describe;
  const std::string asks = AsksIn(settings, name);
  agent.checks.push_back([&](Duration timeout) { return PermissionLines(**client, asks, settings, timeout); });
  agent.checks.push_back([&](Duration timeout) { return CredentialAnswer(*opened_client, settings, name, clock, timeout); });
  agent.checks.push_back([&](Duration) { return Answered(aws::DependenceLines(settings)); });
  agent.checks.push_back([&](Duration) { return Answered(aws::CheckNoticeRegions(settings.aws->notify)); });
  agent.checks.push_back([&](Duration timeout) {
    const auto& item = agent.snapshot().item;
    return Answer(aws::CheckManagedDatabase(**client, *settings.aws->database, item ? item->writer : RegionName(), clock, timeout));
  });
  agent.checks.push_back([&](Duration timeout) {
    return Answer(aws::CheckSecrets(**client, settings.aws->secrets, DataRegions(settings), clock, timeout));
  });
  if (settings.aws->database->kind == AwsDatabaseKind::kRdsReplica)
    agent.checks.push_back(
        [&](Duration timeout) { return aws::CheckAutomatedBackups(**client, *settings.aws->database, clock, timeout); });
  if (traffic) {
    agent.checks.push_back([&](Duration timeout) {
      aws::TrafficCheckDoors look{*client, names, clock, aws::OpenPublicGet(aws::OpenTransport(io, {}))};
      return aws::CheckAwsTraffic(std::move(look), *settings.aws->traffic, settings.objectives.rto, timeout);
    });
  }
  auto backups = BackupDesk::Open(
      io, settings, *region, clock, evidence, [&agent] { return agent.snapshot().execution.has_value(); }, *log);
  if (!backups.ok()) return Complain(backups.error());
  agent.describe_backups = [&backups] { return (*backups)->watch().Briefs(); };
  TraceDesk traces(settings, name, id, *log);
  agent.on_ended = [&traces](const Execution& execution) { traces.Ended(execution); };
  (*backups)->watch().on_run = [&traces](const BackupRun& run) { traces.Worked(run); };
  Metrics metrics(ProgramVersion());
  int last_rule = 0;
  int rounds = 0;
  agent.on_round = [&] {
    if (rounds++ % 2 != 0) return;
    UpdateMetrics(agent, metrics, last_rule);
    (*backups)->Show(metrics);
    traces.Show(metrics);
  };
  const CallHandler handler = [&](std::string method, Json parameters) -> Task<Result<Json>> {
    if (IsStoreMethod(method)) {
      if (store->answer) return store->answer(std::move(method), std::move(parameters));
    }
    if (method == "backups.results") return AnswerBackups((*backups)->Results());
    return agent.Handle(std::move(method), std::move(parameters));
  };
  const HealthSource health = [&] {
    Health answer;
    answer.healthy = agent.Healthy();
    answer.body = {{"status", answer.healthy ? "ok" : "stuck"}, {"region", name.text}, {"service", settings.service}};
    return answer;
  };
  auto server = HttpServer::Listen(io, region->agent, token->Clone(), handler, health, metrics, *log);
  if (!server.ok()) return Complain(server.error());
  boost::asio::signal_set signals(context, SIGTERM, SIGINT);
  signals.async_wait([&](const boost::system::error_code&, int number) {
    log->Info("the agent ends; what it began stands in the journal", {{"signal", number}});
    (*server)->Stop();
    context.stop();
  });
  log->Info("the agent begins",
            {{"agent", id.text}, {"version", ProgramVersion()}, {"address", region->agent.Text()}, {"pid", getpid()}});
  agent.Start();
  if (traffic && region->kind == RegionKind::kData) Spawn(io, TendName(*traffic, agent, name, clock, *log));
  (*backups)->watch().Start();
  Spawn(io, LookAtOneself(handler, clock, metrics, SelfLookTimesOf(settings)));
  context.restart();  // the opening of the store, or of AWS, may have left it stopped
  context.run();
  // As a crash would end it, which is the one way of ending that everything else is built for.
  std::fflush(nullptr);
  _exit(0);
}

}  // namespace lifeboat
