#include "cli/run_agent.h"

#include <malloc.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <cstdio>

#include "adapters/dns/dns_traffic.h"
#include "adapters/peers/peer_client.h"
#include "adapters/peers/token.h"
#include "adapters/postgres/postgres_canary.h"
#include "adapters/postgres/postgres_database.h"
#include "adapters/store/remote_store.h"
#include "adapters/system/clock.h"
#include "adapters/system/fence_command.h"
#include "adapters/system/files.h"
#include "adapters/system/pool_files.h"
#include "agent/agent.h"
#include "base/spawn.h"
#include "cli/agent_store.h"
#include "cli/backup_desk.h"
#include "cli/self_look.h"
#include "cli/trace_desk.h"
#include "cli/version.h"
#include "guard/guard_client.h"
#include "guard/guard_process.h"
#include "prove/evidence_pool.h"
#include "serve/http_server.h"
#include "serve/metrics.h"

namespace lifeboat {

namespace {

Result<std::optional<AgentRecord>> ReadRecord(const std::string& file) {
  const auto text = ReadSmallFile(file);
  if (!text.ok()) {
    if (text.error().retry == Retry::kNotFound) return std::optional<AgentRecord>();
    return text.error();
  }
  const auto json = ParseJson(*text, file);
  if (!json.ok()) return json.error();
  const auto record = AgentRecordFromJson(*json);
  if (!record.ok()) return record.error().Within("'" + file + "'");
  return std::optional(*record);
}

Task<Result<std::string>> ResolveName(boost::asio::any_io_executor io, const DnsSettings& dns, Duration timeout) {
  co_return co_await ResolveAddress(io, dns.server, dns.name, timeout);
}

void UpdateMetrics(const Agent& agent, Metrics& metrics, int& last_rule) {
  const Snapshot& s = agent.snapshot();
  metrics.SetLeaseEpoch(s.lease.item ? std::optional(s.lease.item->epoch) : std::nullopt);
  metrics.SetLeaseHeld(s.lease.item ? std::optional(s.lease.valid) : std::nullopt);
  metrics.SetLeaseLeft(s.lease.held_by_this_run ? std::optional(s.lease.left) : std::nullopt);
  metrics.SetStoreReachable(s.lease.store_answers);
  const LeaseKeeper& keeper = agent.keeper();
  metrics.SetLeaseRenewals(keeper.Renewals(true), keeper.Renewals(false), keeper.LastRenewalTook());
  const Json status = agent.Status();
  ShowStatus(status, metrics);
  for (const Json& region : MemberAt(status, "regions")) {
    const RegionName name(TextAt(region, "name"));
    metrics.SetRole(name, ParseRole(TextAt(region, "role")));
    const auto verdict = agent.decision().verdicts.find(name);
    metrics.SetVerdict(name, verdict == agent.decision().verdicts.end() ? std::nullopt : std::optional(verdict->second));
    const Json& rpo = MemberAt(region, "rpo_ms");
    const Json& backlog = MemberAt(region, "backlog_bytes");
    metrics.SetReplicationLag(
        name, rpo.is_number() ? std::optional<Duration>(std::chrono::milliseconds(rpo.get<std::int64_t>())) : std::nullopt);
    metrics.SetReplicationLagBytes(name,
                                   backlog.is_number() ? std::optional(ByteCount{backlog.get<std::uint64_t>()}) : std::nullopt);
  }
  const CanaryView& canary = agent.world().canary();
  metrics.SetCanaryOk(canary.ok);
  metrics.SetCanaryLastSuccess(canary.last_good.ns > 0 ? std::optional(canary.last_good) : std::nullopt);
  metrics.SetVotes(s.votes.degraded, s.votes.agents, DegradedByVotes(s));
  metrics.SetCoolDownLatched(s.cool_down_read ? std::optional(s.cool_down.has_value()) : std::nullopt);
  const GuardState& guard = agent.world().guard();
  metrics.SetGuardWorstKill(guard.reachable ? std::optional(guard.worst_kill) : std::nullopt);
  metrics.SetGuardKills(guard.reachable ? std::optional(guard.kills) : std::nullopt);
  if (agent.decision().rule != last_rule) {
    last_rule = agent.decision().rule;
    metrics.CountDecision(last_rule);
  }
}

/// What other agents may ask by datagram: questions that change nothing when they come twice (ports/peers.h).
bool IsAnsweredOnDatagrams(const std::string& method) {
  return method == "lease.promise" || method == "lease.probe" || method == kStoreRenew;
}

Task<Result<Json>> AnswerBackups(Json results) { co_return results; }

int Complain(const Error& error) {
  std::fprintf(stderr, "lifeboat agent: %s\n", error.Text().c_str());
  return error.retry == Retry::kRefused ? 3 : 1;
}

}  // namespace

int RunAgentProcess(const Settings& settings, const RegionName& name, const std::string& log_file) {
  const RegionSettings* region = settings.Find(name);
  if (!region) {
    std::string known;
    for (const RegionSettings& each : settings.regions) known += (known.empty() ? "'" : ", '") + each.name.text + "'";
    std::fprintf(stderr, "lifeboat agent: '%s' is no region of '%s'\n  hint: its regions are %s\n", name.text.c_str(),
                 settings.file.c_str(), known.c_str());
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error to report, not a reason to die
  mallopt(M_ARENA_MAX, 2);        // few threads that hardly allocate: arenas of their own only cost memory

  for (const char* folder : {"", "/journal", "/ledger"}) {
    const auto made = EnsureDirectory(region->state_directory + folder);
    if (!made.ok()) return Complain(made.error());
  }
  // SAFETY: one agent a region: a second one would renew, promise and act beside the first.
  auto lock = FileLock::Take(region->state_directory, "agent.lock");
  if (!lock.ok()) return Complain(lock.error());
  auto log = Log::Open(log_file, {{"service", settings.service}, {"region", name.text}});
  if (!log.ok()) return Complain(log.error());
  auto token = ReadToken(settings.token_file);
  if (!token.ok()) return Complain(token.error());
  auto record = ReadRecord(region->state_directory + "/record.json");
  if (!record.ok()) return Complain(record.error());
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
  std::map<std::string, std::uint16_t> ports;
  for (const RegionSettings& each : settings.regions) {
    agents[each.name] = each.agent;
    if (each.database) ports[each.database->address.host] = each.database->address.port;
  }
  PeerClient peers(io, name, agents, token->Clone(), *log);
  DnsTraffic traffic(io, settings.dns, ReadTsigSecret(settings.dns.key_file), *log);
  postgres::PostgresCanary canary(io, name, settings.login, ports,
                                  [io, &settings](Duration timeout) { return ResolveName(io, settings.dns, timeout); });
  auto store = OpenAgentStore(context, settings, name, peers, clock, files, *log);
  if (!store.ok()) return Complain(store.error());
  std::unique_ptr<PostgresDatabase> database;
  std::unique_ptr<GuardClient> guard;
  if (region->database) {
    database = std::make_unique<PostgresDatabase>(io, name, *region->database, settings.login, *log);
    guard = std::make_unique<GuardClient>(GuardSocketPath(region->state_directory));
  }
  std::map<RegionName, FenceCommand::Target> fences;
  for (const RegionSettings& each : settings.regions) {
    if (each.fence && each.name != name) fences[each.name] = {each.fence->command, each.fence->timeout};
  }
  FenceCommand fence(io, settings.service, name, fences, *log);
  const AgentId id(RandomHex(8));
  Agent agent(io, settings, name, id, *record,
              Agent::Doors{clock, *store->store, files, peers, traffic, canary, evidence, database.get(), guard.get(), &fence},
              *log);
  auto backups = BackupDesk::Open(
      io, settings, *region, clock, evidence, [&agent] { return agent.snapshot().execution.has_value(); }, *log);
  if (!backups.ok()) return Complain(backups.error());
  TraceDesk traces(settings, name, id, *log);
  agent.on_ended = [&traces](const Execution& execution) { traces.Ended(execution); };
  (*backups)->watch().on_run = [&traces](const BackupRun& run) { traces.Worked(run); };
  Metrics metrics(ProgramVersion());
  int last_rule = 0;
  int rounds = 0;
  agent.on_round = [&] {
    if (rounds++ % 4 != 0) return;
    UpdateMetrics(agent, metrics, last_rule);
    (*backups)->Show(metrics);
    traces.Show(metrics);
  };
  agent.describe_backups = [&backups] { return (*backups)->watch().Briefs(); };
  agent.describe_store = store->describe;
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
  DatagramRules datagrams{name, IsAnsweredOnDatagrams};
  auto server =
      HttpServer::Listen(io, region->agent, token->Clone(), handler, health, metrics, *log, HttpTimes(), std::move(datagrams));
  if (!server.ok()) return Complain(server.error());

  boost::asio::signal_set signals(context, SIGTERM, SIGINT);
  signals.async_wait([&](const boost::system::error_code&, int number) {
    log->Info("the agent ends; the database goes on until the guard's deadline", {{"signal", number}});
    (*server)->Stop();
    context.stop();
  });
  log->Info("the agent begins",
            {{"agent", id.text}, {"version", ProgramVersion()}, {"address", region->agent.Text()}, {"pid", getpid()}});
  agent.Start();
  (*backups)->watch().Start();
  Spawn(io, LookAtOneself(handler, clock, metrics, SelfLookTimesOf(settings)));
  context.restart();  // the opening of the store, or of AWS, may have left it stopped
  context.run();
  // The loops are suspended in the middle of their doors: the process ends here, as it would by a crash, which is the one
  // way of ending that everything else is built for. What had to be kept is on the disk.
  std::fflush(nullptr);
  _exit(0);
}

}  // namespace lifeboat
