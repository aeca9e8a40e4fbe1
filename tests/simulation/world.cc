#include "simulation/world.h"

#include <algorithm>

#include "simulation/run_of_agent.h"

namespace lifeboat::simulation {

namespace {

constexpr const char* kNames[] = {"us-east-1", "us-west-2", "ap-south-1"};
constexpr const char* kWitness = "eu-west-1";
constexpr const char* kModes[] = {"down", "starting", "primary", "standby"};
constexpr Duration kCommitTakes = std::chrono::microseconds(150);
constexpr std::size_t kTraceLines = 400;

std::string HostOf(int place) { return "127.0." + std::to_string(place + 1) + ".1"; }

Settings SettingsOf(const Options& options) {
  Settings settings;
  settings.service = "orders";
  settings.objectives = {std::chrono::seconds(60), std::chrono::seconds(5)};
  settings.policy = options.policy;
  settings.lease.length = options.length;
  settings.lease.margin = options.margin;
  settings.first_primary = RegionName(kNames[0]);
  for (int place = 0; place <= options.data_regions; ++place) {
    const bool data = place < options.data_regions;
    RegionSettings region;
    region.name = RegionName(data ? kNames[place] : kWitness);
    region.kind = data ? RegionKind::kData : RegionKind::kWitness;
    region.agent = {HostOf(place), 7000};
    region.state_directory = "/state";
    if (data) {
      region.database = DatabaseSettings{};
      region.database->address = {HostOf(place), 5432};
      if (options.gate) region.database->gate_file = "/run/gate";
    }
    settings.regions.push_back(std::move(region));
  }
  settings.store.host = RegionName(kWitness);
  settings.dns.name = "orders-db.lifeboat.test.";
  settings.dns.ttl = std::chrono::seconds(1);
  return settings;
}

}  // namespace

World::World(const Options& o)
    : options(o),
      dice(o.seed),
      network(time, dice.Fork(), o.data_regions + 1),
      hub(time, network, dice.Fork(), o.data_regions + 1) {
  const Settings settings = SettingsOf(options);
  for (int place = 0; place <= data(); ++place) {
    auto machine = std::make_unique<Machine>();
    machine->place = place;
    machine->name = settings.regions[static_cast<std::size_t>(place)].name;
    machine->settings = settings;
    if (place == 1 && options.other_length) machine->settings.lease.length = *options.other_length;
    machine->disk = options.disk;
    // SAFETY of the lease rests on clocks whose rates differ by half a percent at most: the two of one machine too.
    const auto rate = [&] { return options.drift ? 1.0 + (dice.Fraction() - 0.5) * 0.0049 : 1.0; };
    const double boot = rate();
    machine->clock =
        std::make_unique<FakeClock>(time, boot, rate(), std::chrono::minutes(10) + Duration(dice.Below(1'000'000'000)));
    machine->clock->wall_offset = options.drift ? dice.Between(Duration(0), std::chrono::seconds(2)) : Duration(0);
    hub.names.push_back(machine->name);
    if (place < data()) machine->server = &servers.Add(machine->name.text, HostOf(place));
    machines.push_back(std::move(machine));
    client_dice_.push_back(dice.Fork());
  }
  servers.Seed();
  servers.replication_delay = options.replication_delay;
  servers.reachable = [this](const RegionName& a, const RegionName& b) { return network.Connects(PlaceOf(a), PlaceOf(b)); };
  for (int place = 0; place < data(); ++place) {
    Machine& machine = At(place);
    machine.guard = std::make_unique<GuardHost>(time, *machine.clock, *machine.server, machine.disk, options.gate);
    machine.guard->lateness = dice.Between(Duration(0), options.guard_lateness);
    machine.server->gate_is_open = [guard = machine.guard.get()] { return guard->GateIsOpen(); };
    time.At(dice.Between(Duration(0), options.between_writes), [this, &machine] { Write(machine); });
  }
  if (options.bug == "guard-late") {
    for (int place = 0; place < data(); ++place) At(place).guard->lateness = std::chrono::milliseconds(200 + dice.Below(800));
  }
  names.looks_at_epochs = options.bug != "step-without-epoch";
  if (options.bug == "dead-by-postmaster") {
    for (int place = 0; place < data(); ++place) At(place).server->strays_unseen = true;
  }
  store = std::make_unique<StoreHost>(time, network, witness(), At(witness()).disk);
  store->compare_nothing = options.bug == "extension-compares-nothing";
  store->same_incarnation = options.bug == "store-timers-lost";
  store->on_commit = [this](const Transaction& transaction) { OnCommit(transaction); };
  time.at_rest = [this] { Judge(); };
}

World::~World() {
  time.at_rest = nullptr;
  for (int place = 0; place <= data(); ++place) KillAgent(place);
  for (int place = 0; place < data(); ++place) At(place).guard->Die();
}

// ---- clients ----

/// One client beside each server, the most stubborn there is: it writes to this very server, whatever the name says.
void World::Write(Machine& machine) {
  Dice& own = client_dice_[static_cast<std::size_t>(machine.place)];
  time.At(time.now() + own.Between(options.between_writes / 2, options.between_writes * 3 / 2),
          [this, &machine] { Write(machine); });
  FakeServer& server = *machine.server;
  if (!server.CanCommit()) return;  // the gate's first look, before the commit
  time.At(time.now() + kCommitTakes + machine.disk,
          [this, &machine, generation = server.generation] { Flush(machine, generation); });
}

void World::Flush(Machine& machine, std::uint64_t generation) {
  FakeServer& server = *machine.server;
  if (server.frozen) {
    time.At(time.now() + 5ms, [this, &machine, generation] { Flush(machine, generation); });
    return;
  }
  if (server.generation != generation && !server.strays) return;
  if (!server.AcceptsCommits()) return;
  const testing::WalEntry& row = server.Append("row");
  // The gate's second look, before the client hears of it.
  if (!server.CanCommit()) return;
  const auto& granted = machine.guard->granted();
  const Instant now = machine.clock->Now();
  // Whoever of the two says that the lease goes on: without its guard the agent may still know better.
  const Duration margin = machine.settings.lease.margin;
  const bool guarded = granted && !HasPassed(granted->deadline + margin, now);
  const bool held =
      (machine.run && machine.run->Holds(now - margin)) || (machine.held_until && !HasPassed(*machine.held_until + margin, now));
  const bool ended = !guarded && !held;
  checker.Acknowledged(time.now(), machine.place, granted ? granted->epoch : Epoch{}, row.id, row.end, ended);
}

// ---- judging ----

void World::Judge() {
  servers.Replicate();
  for (int place = 0; place < data(); ++place) JudgeServer(At(place));
  if (names.went_back_from) checker.NameWentBack(time.now(), *names.went_back_from, names.record.epoch.value_or(Epoch{}));
}

void World::JudgeServer(Machine& machine) {
  JudgeActs(machine);
  FakeServer& server = *machine.server;
  const Epoch epoch = machine.guard->granted() ? machine.guard->granted()->epoch : Epoch{};
  const int primaries = server.promotions + server.starts_as_primary;
  // A server behind a closed gate serves nobody: it is judged when its gate opens.
  if (primaries != machine.primaries && server.CanCommit()) {
    machine.primaries = primaries;
    fingerprint_ = fingerprint_ * 1099511628211U + static_cast<std::uint64_t>(time.now().count());
    std::vector<std::uint64_t> ids;
    ids.reserve(server.wal.size());
    for (const testing::WalEntry& entry : server.wal) ids.push_back(entry.id);
    const auto stated = stated_.find(epoch.number);
    const std::uint64_t before = checker.lost();
    checker.BecamePrimary(
        time.now(), machine.place, epoch, [&](std::uint64_t row) { return std::binary_search(ids.begin(), ids.end(), row); },
        stated == stated_.end() ? std::nullopt : std::optional(stated->second));
    if (tracing())
      Note(machine.name.text + ": PostgreSQL is a primary, epoch " + std::to_string(epoch.number) + ", " +
           std::to_string(checker.lost() - before) + " acknowledged rows are not on it");
  }
  if (server.unsaved_loss) checker.DestroyedUnsaved(time.now(), machine.place);
  const bool open = server.CanCommit();
  if (open == machine.open) return;
  machine.open = open;
  if (tracing())
    Note(machine.name.text + (open ? ": accepts commits" : ": accepts no commits") + " (server " +
         kModes[static_cast<int>(server.mode)] + ")");
  if (open)
    checker.Opened(time.now(), machine.place, epoch);
  else
    checker.Closed(machine.place);
}

/// The journal has a word of `step` on `region`: in the store, or in an owner's own file where the store is silent. Also where no
/// execution that is under way has such a step there: then it was not an execution's act.
bool World::HasWordOf(const RegionName& region, const std::string& step) const {
  const auto current = store->data.ValueOf("orders/current");
  if (!current) return true;
  const std::string key = "orders/executions/" + *current;
  const auto running = executions_.find(key);
  if (running == executions_.end()) return true;
  const auto is_there = [&](const Seen& seen) {
    if (step == "promote") return seen.kind != PlanKind::kRejoin && seen.target == region;
    return seen.kind == (step == "stop" ? PlanKind::kSwitchover : PlanKind::kRejoin) && seen.source == region;
  };
  if (!is_there(running->second) || running->second.steps.contains(step)) return true;
  // What the owner of an earlier one began and did not see the end of may still go on when another execution has ended that one.
  for (const auto& [other, seen] : executions_) {
    const auto word = seen.steps.find(step);
    const bool open = word != seen.steps.end() && (word->second == StepState::kIntended || word->second == StepState::kFailed);
    if (open && is_there(seen)) return true;
  }
  for (const auto& machine : machines) {
    const auto file = machine->files.content.find("/state/journal/" + *current + ".json");
    if (file == machine->files.content.end()) continue;
    const auto own = ExecutionFromJson(*ParseJson(file->second, file->first));
    const StepRecord* record = own.ok() ? own->Find(step) : nullptr;
    if (record && record->state != StepState::kPending) return true;
  }
  return false;
}

/// Whoever goes on with an execution must be able to know what it may have done: the intent stands before the act.
void World::JudgeActs(Machine& machine) {
  const FakeServer& server = *machine.server;
  const Acts now{server.promotions, server.stops, server.salvages, server.rewinds + server.copies};
  const Acts before = std::exchange(machine.acts, now);
  if (now == before) return;
  const auto judge = [&](int was, int is, const char* step) {
    if (is != was && !HasWordOf(machine.name, step)) checker.ActedWithoutWord(time.now(), machine.place, step);
  };
  judge(before.promotions, now.promotions, "promote");
  judge(before.stops, now.stops, "stop");
  judge(before.salvages, now.salvages, "salvage");
  judge(before.rebuilds, now.rebuilds, "rebuild");
}

void World::OnCommit(const Transaction& transaction) {
  static const std::string kPrefix = "orders/executions/";
  for (const auto& put : transaction.puts) {
    if (put.key.starts_with(kPrefix)) {
      NoteExecution(put.key, put.value);
    } else if (tracing() && put.key == "orders/lease") {
      NoteItem(put.value);
    }
  }
}

void World::NoteItem(const std::string& text) {
  const auto item = LeaseItemFromJson(*ParseJson(text, "lease"));
  if (!item.ok()) return;
  std::string line = "store: epoch " + std::to_string(item->epoch.number) + " of " + item->holder.text + " (" +
                     item->holder_agent.text + "), candidates";
  for (const RegionName& candidate : item->candidates) line += " " + candidate.text;
  if (item->released) line += ", released to " + item->released->heir.text;
  if (!item->attested.empty()) line += ", attested";
  if (line == last_item_) return;
  last_item_ = line;
  Note(line);
}

void World::NoteExecution(const std::string& key, const std::string& text) {
  const auto json = ParseJson(text, key);
  if (!json.ok()) return;
  const auto execution = ExecutionFromJson(*json);
  if (!execution.ok()) return;
  const bool fresh = !executions_.contains(key);
  Seen& seen = executions_[key];
  if (fresh && execution->kind == PlanKind::kFailover) {
    StatedLoss stated;
    const Json& loss = MemberAt(execution->facts, "loss_estimate");
    const std::string state = TextAt(loss, "state");
    stated.known = state != "unknown";
    const Json& seconds = MemberAt(loss, "seconds");
    if (seconds.is_number()) stated.time = Duration(static_cast<std::int64_t>(seconds.get<double>() * 1e9));
    stated.bytes = {NumberAt(loss, "bytes")};
    stated.automatic = execution->requested_by.starts_with("rule ");
    if (options.policy.loss_limit) {
      stated.limit = options.policy.loss_limit->time;
      stated.above_limit = stated.time > options.policy.loss_limit->time || stated.bytes > options.policy.loss_limit->bytes;
    }
    stated_[execution->epoch.number] = stated;
  } else if (execution->kind == PlanKind::kFailover) {
    // An agent that goes on with it may say that more is not known any more.
    StatedLoss& stated = stated_[execution->epoch.number];
    stated.unsaid = stated.unsaid || TextAt(MemberAt(execution->facts, "loss_estimate"), "state") == "unknown" ||
                    seen.owner_agent != execution->owner_agent.text;
  }
  if (tracing()) {
    std::string steps;
    for (const StepRecord& step : execution->steps) {
      if (step.state == StepState::kIntended || step.state == StepState::kFailed || step.state == StepState::kUndone)
        steps += " " + step.name + "=" + ToString(step.state) + (step.outcome.empty() ? "" : "(" + step.outcome + ")");
    }
    Note(std::string("journal: ") + ToString(execution->kind) + " to " + execution->target.text + " of " +
         execution->owner_agent.text + " is " + ToString(execution->state) + ", epoch " + std::to_string(execution->epoch.number) +
         steps + (fresh || IsEnded(execution->state) ? " [" + execution->reason + "]" : ""));
  }
  const bool ended_now = IsEnded(execution->state) && (fresh || !IsEnded(seen.state));
  std::map<std::string, StepState> words = std::move(seen.steps);
  for (const StepRecord& step : execution->steps) {
    if (step.state != StepState::kPending) words[step.name] = step.state;
  }
  seen = {execution->kind,         execution->state,       execution->epoch,
          execution->requested_by, execution->waiting_for, execution->owner_agent.text,
          execution->source,       execution->target,      std::move(words)};
  if (ended_now && execution->state == ExecutionState::kDone) {
    failovers_ += execution->kind == PlanKind::kFailover ? 1 : 0;
    switchovers_ += execution->kind == PlanKind::kSwitchover ? 1 : 0;
  }
}

// ---- processes ----

void World::Point(Machine& machine) {
  if (machine.calls_left == 0) return;
  if (--machine.calls_left > 0) return;
  const int place = machine.place;
  const bool freeze = machine.freeze_at_call;
  time.Defer([this, place, freeze] {
    if (freeze)
      FreezeAgent(place, std::chrono::milliseconds(200 + dice.Below(8000)));
    else
      KillAgent(place);
  });
}

void World::Route(Machine& machine) {
  const auto still = std::exchange(machine.freeze_at_route, std::nullopt);
  if (still) time.Defer([this, place = machine.place, d = *still] { FreezeAgent(place, d); });
}

void World::KillAtCall(int place, std::uint64_t n, bool freeze) {
  At(place).calls_left = n;
  At(place).freeze_at_call = freeze;
}

void World::StartAgent(int place) {
  Machine& machine = At(place);
  if (machine.run || machine.frozen) return;
  if (place == witness()) store->Start();
  std::optional<AgentRecord> record;
  if (const auto found = machine.files.content.find("/state/record.json"); found != machine.files.content.end())
    record = *AgentRecordFromJson(*ParseJson(found->second, "record"));
  machine.agent_frozen = false;
  machine.run = std::make_unique<RunOfAgent>(*this, machine, record);
  if (tracing()) Note(machine.name.text + ": agent run " + std::to_string(machine.runs) + " starts");
}

void World::KillAgent(int place) {
  Machine& machine = At(place);
  if (!machine.run) return;
  if (tracing()) Note(machine.name.text + ": agent run " + std::to_string(machine.runs) + " is killed");
  hub.processes[static_cast<std::size_t>(place)] = {};
  if (place == witness()) store->Stop();
  machine.held_until = machine.run->HeldUntil();
  machine.run.reset();
  machine.agent_frozen = false;
}

void World::FreezeAgent(int place, Duration d) {
  Machine& machine = At(place);
  if (!machine.run || machine.agent_frozen || machine.frozen) return;
  if (tracing()) Note(machine.name.text + ": agent stands still for " + FormatDuration(d));
  machine.agent_frozen = true;
  time.Freeze(machine.run->io);
  if (place == witness()) store->Freeze();
  time.At(time.now() + d, [this, &machine, run = machine.runs] {
    if (machine.run && machine.runs == run) ThawAgent(machine.place);
  });
}

void World::FreezeMachine(int place, Duration d) {
  Machine& machine = At(place);
  if (machine.frozen) return;
  if (tracing()) Note(machine.name.text + ": the whole machine stands still for " + FormatDuration(d));
  machine.frozen = true;
  if (machine.run) time.Freeze(machine.run->io);
  if (place == witness()) store->Freeze();
  if (machine.guard) machine.guard->Freeze();
  if (machine.server) machine.server->frozen = true;
  const std::uint64_t freeze = ++machine.freezes;
  time.At(time.now() + d, [this, &machine, freeze] {
    if (machine.freezes == freeze) ThawMachine(machine.place);
  });
}

void World::ThawMachine(int place) {
  Machine& machine = At(place);
  if (!machine.frozen) return;
  machine.frozen = false;
  if (tracing()) Note(machine.name.text + ": the machine goes on");
  if (machine.server) machine.server->frozen = false;
  if (machine.run && !machine.agent_frozen) time.Thaw(machine.run->io);
  if (place == witness() && !machine.agent_frozen) store->Thaw();
  if (machine.guard) machine.guard->Thaw();
}

void World::ThawAgent(int place) {
  Machine& machine = At(place);
  if (!machine.agent_frozen || machine.frozen) return;
  machine.agent_frozen = false;
  time.Thaw(machine.run->io);
  if (place == witness()) store->Thaw();
  if (tracing()) Note(machine.name.text + ": agent goes on");
}

void World::KillMachine(int place) {
  Machine& machine = At(place);
  if (tracing()) Note(machine.name.text + ": the machine is off");
  KillAgent(place);
  if (machine.guard) machine.guard->Die();
  if (machine.server) {
    machine.server->frozen = false;
    machine.server->Kill();
  }
  machine.frozen = false;
}

void World::StartMachine(int place, bool rebooted) {
  Machine& machine = At(place);
  if (rebooted) {
    KillMachine(place);
    machine.clock->Reboot();
    machine.held_until.reset();
    if (machine.guard) machine.guard->Reboot();
    if (tracing()) Note(machine.name.text + ": the machine has booted");
  }
  if (machine.guard && !machine.guard->alive()) machine.guard->Live();
  StartAgent(place);
}

void World::StartAll() {
  for (int place = data(); place >= 0; --place) StartMachine(place, false);
}

void World::SuperviseServer(int place) {
  Machine& machine = At(place);
  if (options.bug == "restart-without-fence" && !machine.server->ProcessesLive() && !machine.frozen) {
    machine.server->fence = false;
    if (tracing()) Note(machine.name.text + ": a service manager starts PostgreSQL, whatever the guard says");
    return machine.server->Started(true);
  }
  // Its unit needs the guard's (docs/lease.md section 7).
  if (machine.server->ProcessesLive() || !machine.guard->alive() || machine.frozen) return;
  if (tracing())
    Note(machine.name.text + ": a service manager starts PostgreSQL " + (machine.server->fence ? "(fenced)" : "(no fence stands)"));
  servers.StartByServiceManager(*machine.server);
}

// ---- looking ----

std::optional<LeaseItem> World::Item() const {
  const auto value = store->data.ValueOf("orders/lease");
  if (!value) return std::nullopt;
  return *LeaseItemFromJson(*ParseJson(*value, "lease"));
}

int World::PlaceOf(const RegionName& name) const {
  int place = 0;
  while (place <= options.data_regions && hub.names[static_cast<std::size_t>(place)] != name) ++place;
  return place;
}

bool World::Healthy(int place) {
  FakeServer& server = *At(place).server;
  if (server.mode != ServerMode::kPrimary || names.record.address != server.host) return false;
  const auto item = Item();
  return item && item->holder == server.region && !item->released && static_cast<int>(item->candidates.size()) == data() - 1;
}

bool World::NobodyWrites() const {
  for (const auto& machine : machines) {
    if (machine->server && machine->server->CanCommit()) return false;
  }
  return true;
}

bool World::Serves() {
  if (Busy()) return false;
  for (int place = 0; place < data(); ++place) {
    FakeServer& server = *At(place).server;
    if (!server.CanCommit() || names.record.address != server.host) continue;
    const auto item = Item();
    return item && item->holder == server.region && !item->released;
  }
  return false;
}

bool World::RunUntil(const std::function<bool()>& holds, Duration limit) {
  const Duration end = time.now() + limit;
  while (!Broken()) {
    if (holds()) return true;
    if (!time.Step(end)) return !Broken() && holds();
  }
  return false;
}

void World::RunFor(Duration d) {
  const Duration end = time.now() + d;
  while (!Broken() && time.Step(end)) {
  }
}

// ---- telling ----

void World::Note(const std::string& line) {
  if (!tracing() || muted_) return;
  trace_.push_back(FormatSeconds(time.now()) + "  " + line);
  if (trace_.size() > kTraceLines) trace_.pop_front();
}

std::string World::Picture() {
  std::string text = "at " + FormatSeconds(time.now()) + " s; item " + store->data.ValueOf("orders/lease").value_or("none") +
                     "; name -> " + names.record.address + "; store " + (store->up() ? "up" : "down");
  for (const auto& machine : machines) {
    text += "\n  " + machine->name.text + ": ";
    if (const FakeServer* server = machine->server) {
      text += std::string("server ") + kModes[static_cast<int>(server->mode)] + (server->strays ? " strays" : "") +
              (server->fence ? " fenced" : "") + (server->Streams() ? " streams" : "") + " tl " + std::to_string(server->timeline) +
              " end " + server->End().Text() + "; guard " + (machine->guard->alive() ? "lives" : "dead") +
              (machine->guard->GateIsOpen() ? "" : ", gate closed") + "; ";
    }
    text += machine->run ? machine->run->Describe() : "no agent";
  }
  for (const auto& [key, seen] : executions_) {
    if (IsEnded(seen.state)) continue;
    text += std::string("\n  ") + ToString(seen.kind) + " " + key + " is " + ToString(seen.state) +
            (seen.waiting_for.empty() ? "" : ": " + seen.waiting_for);
  }
  return text;
}

}  // namespace lifeboat::simulation
