#include "cli/lab_commands.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <set>

#include "cli/ask.h"
#include "cli/table.h"
#include "lab/demo.h"
#include "lab/demo_aws.h"
#include "lab/interrupt.h"
#include "lab/lab.h"
#include "lab/supervisor.h"

namespace lifeboat {

namespace {

struct LabState {
  std::string folder;
  std::string region;
  std::string part;
  std::string database_failure = "restart";
  std::string automation = "act";
  std::string store = "embedded";
  std::string store_endpoint;
  std::vector<std::string> store_regions;
  std::string gate = "on";
  std::string network = "auto";
  std::string other;
  bool one_way = false;
  double lease_seconds = 3;
  int data_regions = 2;
  bool json = false;
  lab::DemoOptions demo;
  bool aws = false;
  [[nodiscard]] std::filesystem::path Folder() const {
    return folder.empty() ? lab::DefaultFolder() : std::filesystem::path(folder);
  }
  /// The command that does `verb` to this very lab.
  [[nodiscard]] std::string Command(const std::string& verb) const {
    return "lifeboat lab " + verb + (Folder() == lab::DefaultFolder() ? "" : " --lab " + Folder().string());
  }
  [[nodiscard]] lab::LabPlace Place() const {
    if (network == "auto") return lab::LabPlace::kAuto;
    return network == "namespaces" ? lab::LabPlace::kNamespaces : lab::LabPlace::kLoopback;
  }
  [[nodiscard]] lab::LabKnobs Knobs() const {
    lab::LabKnobs knobs;
    knobs.lease = std::chrono::milliseconds(static_cast<std::int64_t>(lease_seconds * 1000));
    knobs.automation = automation;
    knobs.store = store == "etcd" ? StoreKind::kEtcd : store == "dynamodb" ? StoreKind::kDynamoDb : StoreKind::kEmbedded;
    knobs.store_endpoint = store_endpoint;
    knobs.store_regions = store_regions;
    knobs.gate = gate == "on";
    knobs.data_regions = data_regions;
    knobs.database_failure = database_failure == "failover" ? DatabaseFailure::kFailover : DatabaseFailure::kRestart;
    return knobs;
  }
};

int Fail(const Error& error, const LabState& state) {
  CommonOptions options;
  options.json = state.json;
  return EndWith(error, options);
}

int Up(const LabState& state) {
  const lab::Interrupt interrupt;
  lab::LabOptions options;
  options.folder = state.Folder();
  options.knobs = state.Knobs();
  options.place = state.Place();
  const auto up = lab::Up(
      options,
      [&](const std::string& text) {
        if (!state.json) std::printf("  %s\n", text.c_str());
        std::fflush(stdout);
      },
      [] { return !lab::Interrupt::Came(); });
  if (!up.ok()) {
    const int code = Fail(up.error(), state);
    // Refused: whatever stands in the folder is not of this call.
    if (up.error().retry != Retry::kRefused && !state.json) {
      std::fprintf(stderr, "  what was built stays in '%s' to be looked at; then: %s\n", options.folder.c_str(),
                   state.Command("down").c_str());
    }
    return code;
  }
  if (state.json) {
    const auto status = lab::Status(up->folder);
    std::printf("%s\n", status.ok() ? status->dump(2).c_str() : "{}");
    return 0;
  }
  const bool found_by_itself = state.Folder() == lab::DefaultFolder();
  std::printf("the lab is up in %s\n  try: lifeboat status%s\n  end: %s\n", up->folder.c_str(),
              found_by_itself ? "" : (" --config " + up->Config().string()).c_str(), state.Command("down").c_str());
  return 0;
}

// "CUT us-east-1 <> us-west-2, us-east-1 > clients".
std::string CutsText(const Json& cuts) {
  std::set<std::pair<std::string, std::string>> links;
  for (const Json& cut : cuts) links.emplace(TextAt(cut, "from"), TextAt(cut, "to"));
  std::string text;
  for (const auto& [from, to] : links) {
    const bool both = links.contains({to, from});
    if (both && to < from) continue;  // told already, from the other end
    text += (text.empty() ? "CUT " : ", ") + from + (both ? " <> " : " > ") + to;
  }
  return text.empty() ? "nothing is cut" : text;
}

int Cuts(const Result<lab::CutReport>& done, const LabState& state) {
  if (!done.ok()) return Fail(done.error(), state);
  Json cuts = Json::array();
  for (const lab::CutLink& link : done->links) cuts.push_back({{"from", link.from}, {"to", link.to}});
  if (state.json)
    std::printf("%s\n", Json{{"cuts", cuts}, {"at_ns", done->in_force_wall_ns}}.dump().c_str());
  else
    std::printf("%s, since %s\n", CutsText(cuts).c_str(), FormatWallTime({done->in_force_wall_ns}).c_str());
  return 0;
}

int Signalled(const Result<lab::KillReport>& done, const LabState& state, const char* verb) {
  if (!done.ok()) return Fail(done.error(), state);
  if (state.json)
    std::printf("%s\n", Json{{verb, done->killed}, {"at_ns", done->wall_ns}}.dump().c_str());
  else if (done->killed.empty())  // nothing but what answers for DynamoDB
    std::printf("%s: %s, since %s\n", verb, state.part.empty() ? "nothing stood still" : state.part.c_str(),
                FormatWallTime({done->wall_ns}).c_str());
  else
    std::printf("%s %zu processes at %s\n", verb, done->killed.size(), FormatWallTime({done->wall_ns}).c_str());
  return 0;
}

int Status(const LabState& state) {
  const auto status = lab::Status(state.Folder());
  if (!status.ok()) return Fail(status.error(), state);
  if (state.json) {
    std::printf("%s\n", status->dump(2).c_str());
    return 0;
  }
  Table table({"REGION", "PROCESS", "PID", "STATE"});
  for (const Json& region : MemberAt(*status, "regions")) {
    for (const Json& process : MemberAt(region, "processes")) {
      const bool alive = FlagAt(process, "alive");
      table.Add({TextAt(region, "name"), TextAt(process, "name"), alive ? std::to_string(NumberAt(process, "pid")) : "-",
                 !alive                      ? "not running"
                 : FlagAt(process, "frozen") ? "FROZEN"
                                             : "lives"});
    }
  }
  std::printf("lab in %s\n%s", state.Folder().c_str(), table.Text().c_str());
  if (MemberAt(*status, "cuts").is_null())
    std::printf("\nnetwork: namespaces; what is cut only root can see\n");
  else if (!MemberAt(*status, "cuts").empty())
    std::printf("\nnetwork: %s\n", CutsText(MemberAt(*status, "cuts")).c_str());
  else
    std::printf("\nnetwork: %s, nothing is cut\n", TextAt(*status, "network").c_str());
  if (const Json& store = MemberAt(*status, "table"); store.is_object()) {
    std::string regions;
    for (const Json& region : MemberAt(store, "regions")) {
      const Json& silent = MemberAt(store, "silent");
      const bool is_silent = std::find(silent.begin(), silent.end(), region) != silent.end();
      regions += (regions.empty() ? "" : ", ") + region.get<std::string>() + (is_silent ? " (SILENT)" : "");
    }
    std::printf("\nDynamoDB: table %s at %s in %s\n", TextAt(store, "name").c_str(), TextAt(store, "endpoint").c_str(),
                regions.c_str());
  }
  const Json& service = MemberAt(*status, "service");
  if (service.is_object())
    std::printf("\n%s: %s\n", TextAt(service, "service").c_str(), TextAt(service, "sentence").c_str());
  else
    std::printf("\nno agent answers\n");
  return 0;
}

int Kill(const LabState& state) {
  const auto killed =
      state.part.empty() ? lab::Kill(state.Folder(), state.region) : lab::Kill(state.Folder(), state.region, state.part);
  if (!killed.ok()) return Fail(killed.error(), state);
  if (state.json)
    std::printf("%s\n", Json{{"killed", killed->killed}, {"at_ns", killed->wall_ns}}.dump().c_str());
  else
    std::printf("killed %zu processes of %s at %s\n", killed->killed.size(), state.region.c_str(),
                FormatWallTime({killed->wall_ns}).c_str());
  return 0;
}

int Simple(const Result<Unit>& done, const LabState& state, const char* text) {
  if (!done.ok()) return Fail(done.error(), state);
  if (!state.json) std::printf("%s\n", text);
  return 0;
}

void AddKnobs(CLI::App* command, const std::shared_ptr<LabState>& state) {
  command->add_option("--lease", state->lease_seconds, "length of the write lease, seconds")
      ->check(CLI::Range(0.5, 30.0))
      ->capture_default_str();
  command->add_option("--database-failure", state->database_failure, "policy for a dead database under a living agent")
      ->check(CLI::IsMember({"restart", "failover"}))
      ->capture_default_str();
  command->add_option("--gate", state->gate, "whether the servers load lifeboat_gate (where it is built)")
      ->check(CLI::IsMember({"on", "off"}))
      ->capture_default_str();
  CLI::Option* store =
      command
          ->add_option(
              "--store", state->store,
              "embedded: hosted by the witness's agent; etcd: a member of a cluster in each region; dynamodb: a table in two "
              "regions, in an emulator from the checkout")
          ->check(CLI::IsMember({"embedded", "etcd", "dynamodb"}))
          ->capture_default_str();
  CLI::Option* endpoint = command->add_option("--store-endpoint", state->store_endpoint,
                                              "with --store dynamodb: URL of another DynamoDB, in which a table is made");
  endpoint->needs(store);
  command
      ->add_option("--store-region", state->store_regions,
                   "AWS region of the table at that URL (more than one: of a table with strong consistency over them)")
      ->needs(endpoint);
  command->add_option("--automation", state->automation, "whether the agents act or only observe")
      ->check(CLI::IsMember({"act", "observe"}))
      ->capture_default_str();
}

using Adder = std::function<CLI::App*(const char*, const char*, std::function<int()>)>;

void AddFaults(const Adder& add, const std::shared_ptr<LabState>& state) {
  CLI::App* cut = add("cut", "drop all packets between two regions, or between one and everybody, without a word",
                      [state] { return Cuts(lab::Cut(state->Folder(), state->region, state->other, state->one_way), *state); });
  cut->add_option("region", state->region, "a region, or 'clients'")->required();
  cut->add_option("other", state->other, "the other end (default: all other regions, and the clients)");
  cut->add_flag("--one-way", state->one_way, "only the packets from the first to the second");
  CLI::App* heal = add("heal", "let packets through again: between two, between one and everybody, or (none named) everywhere",
                       [state] { return Cuts(lab::Heal(state->Folder(), state->region, state->other), *state); });
  heal->add_option("region", state->region, "a region, or 'clients'");
  heal->add_option("other", state->other, "the other end");
  CLI::App* freeze = add("freeze", "let a part of a region stand still (SIGSTOP), or all of it",
                         [state] { return Signalled(lab::Freeze(state->Folder(), state->region, state->part), *state, "frozen"); });
  freeze->add_option("region", state->region, "the region")->required();
  freeze->add_option("part", state->part,
                     "agent, guard, database, postmaster, knot, etcd, dynamodb or supervisor (default: everything)");
  CLI::App* thaw = add("thaw", "let go on what stands still: a part, a region, or (none named) everything",
                       [state] { return Signalled(lab::Thaw(state->Folder(), state->region, state->part), *state, "thawed"); });
  thaw->add_option("region", state->region, "the region");
  thaw->add_option("part", state->part, "the part");
}

}  // namespace

void AddLabCommands(CLI::App& app, int& exit_code) {
  const auto state = std::make_shared<LabState>();
  CLI::App* labs =
      app.add_subcommand("lab", "three regions on this machine, with real PostgreSQL, DNS and agents, to try things on");
  labs->require_subcommand(1);
  const auto add = [&, state](const char* name, const char* text, std::function<int()> run) {
    CLI::App* command = labs->add_subcommand(name, text);
    command->add_option("--lab", state->folder, "folder of the lab (default: $LIFEBOAT_LAB, or one in /tmp)");
    command->add_flag("--json", state->json, "print JSON");
    command->callback([&exit_code, run = std::move(run)] { exit_code = run(); });
    return command;
  };
  CLI::App* up = add("up", "build and start it, and wait until the service is whole", [state] { return Up(*state); });
  AddKnobs(up, state);
  up->add_option("--data-regions", state->data_regions, "how many regions hold a copy of the database")
      ->check(CLI::Range(2, 3))
      ->capture_default_str();
  up->add_option("--network", state->network, "each region in a network namespace of its own (needs root), or all on loopback")
      ->check(CLI::IsMember({"auto", "namespaces", "loopback"}))
      ->capture_default_str();
  add("status", "its processes, and what the agents say", [state] { return Status(*state); });
  CLI::App* kill =
      add("kill", "kill all processes of a region at one instant, or one part of it", [state] { return Kill(*state); });
  kill->add_option("region", state->region, "the region")->required();
  kill->add_option("part", state->part, "agent, guard, database, postmaster, knot, etcd or supervisor (default: everything)");
  AddFaults(add, state);
  CLI::App* start = add("start", "start a region again",
                        [state] { return Simple(lab::Start(state->Folder(), state->region), *state, "started"); });
  start->add_option("region", state->region, "the region")->required();
  add("down", "end every process of it and remove its folder",
      [state] { return Simple(lab::Down(state->Folder()), *state, "the lab is gone"); });
  CLI::App* supervise = add("supervise", "run a region's processes and restart what ends (what systemd is on a real machine)",
                            [state] { return lab::RunSupervisor(state->Folder(), state->region); });
  supervise->add_option("--region", state->region, "the region")->required();
  supervise->group("");

  CLI::App* demo = app.add_subcommand(
      "demo", "tell the whole story on this machine: healthy, lost, failed over, accounted, rejoined, switched back");
  demo->add_flag("--keep", state->demo.keep, "leave the lab running afterwards");
  demo->add_flag("--aws", state->aws, "an Aurora global database in an emulator of AWS instead, with agents that are real");
  demo->add_flag("--json", state->demo.json, "print the report as JSON; the story goes to standard error");
  demo->add_option("--lab", state->folder, "folder of the lab (default: $LIFEBOAT_LAB, or one in /tmp)");
  demo->add_option("--report", state->demo.report_folder, "folder for report.html and report.json")->capture_default_str();
  AddKnobs(demo, state);
  demo->callback([&exit_code, state] {
    if (state->aws) {
      lab::DemoAwsOptions of_aws;
      of_aws.keep = state->demo.keep;
      of_aws.json = state->demo.json;
      of_aws.folder = state->folder;
      of_aws.report_folder = state->demo.report_folder;
      exit_code = lab::RunDemoAws(of_aws);
      return;
    }
    state->demo.folder = state->folder;
    state->demo.knobs = state->Knobs();
    exit_code = lab::RunDemo(state->demo);
  });
}

}  // namespace lifeboat
