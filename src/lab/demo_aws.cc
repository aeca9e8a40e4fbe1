#include "lab/demo_aws.h"

#include <unistd.h>

#include <thread>

#include "adapters/system/files.h"
#include "lab/aws_report.h"
#include "lab/aws_stage.h"
#include "lab/interrupt.h"
#include "lab/narrator.h"
#include "prove/report.h"

namespace lifeboat::lab {

namespace fs = std::filesystem;

namespace {

constexpr const char* kOne = "us-east-1";
constexpr const char* kTwo = "eu-west-1";
constexpr const char* kWitness = "us-west-2";
constexpr Duration kMove = 180s;
constexpr Duration kDelay = 300ms;  // what Aurora's replication may be behind, "typically under a second"
constexpr Objectives kObjectives{5min, 1min};
constexpr Duration kFailoverAfter = 10s;    // the least that is taken where AWS runs the database
constexpr std::uint64_t kSteadyRows = 300;  // per client

AwsStageOptions StageOf(const fs::path& folder) {
  AwsStageOptions options;
  options.folder = folder;
  options.global_cluster = "orders";
  options.writer = kOne;
  options.reader = kTwo;
  options.witness = kWitness;
  options.delay = kDelay;
  return options;
}

class DemoAws {
 public:
  explicit DemoAws(const DemoAwsOptions& options) : options_(options), narrator_(options.json ? stderr : stdout) {
    folder_ =
        options.folder.empty() ? fs::temp_directory_path() / ("lifeboat-demo-aws-" + RandomHex(4)) : fs::absolute(options.folder);
    program_ = options.program.empty() ? fs::path("/proc/self/exe") : options.program;
    std::error_code problem;
    if (options.program.empty()) program_ = fs::read_symlink(program_, problem);
  }

  int Run() {
    const Result<Unit> told = Tell();
    const int code = told.ok() ? Conclude() : Explain(told.error());
    clients_.reset();
    TakeDown();
    return code;
  }

 private:
  Result<Unit> Tell() {
    for (const auto part : {&DemoAws::Open, &DemoAws::Provision, &DemoAws::StartAgents, &DemoAws::LoseRegion, &DemoAws::FailOver,
                            &DemoAws::Cost, &DemoAws::BringBack, &DemoAws::SwitchBack, &DemoAws::Count}) {
      if (Interrupt::Came()) return Fail("interrupted");
      if (Result<Unit> done = (this->*part)(); !done) return done;
    }
    return Done();
  }

  Result<Unit> Open() {
    narrator_.Title(
        "1  What stands in for AWS: two emulators, real PostgreSQL and a real name server behind them, and a road that can fall "
        "silent");
    std::error_code problem;
    if (fs::exists(folder_, problem)) return Refused("'" + folder_.string() + "' is there already", "name another folder");
    if (Result<Unit> made = EnsureDirectory(folder_.string()); !made) return made;
    made_ = true;
    stage_ = std::make_unique<AwsStage>(StageOf(folder_));
    return stage_->Open([this](const std::string& text) { narrator_.Say(text); }, narrator_.Waiting());
  }

  Result<Unit> Provision() {
    narrator_.Title("2  A service in two regions: an Aurora global database, its writer in " + std::string(kOne));
    Result<Unit> done = stage_->Provision([this](const std::string& text) { narrator_.Say(text); }, narrator_.Waiting());
    if (!done) return done;
    narrator_.Say(std::string(kDnsName) + " leads there, by a pair of failover records; what the writer sends its reader takes " +
                  FormatDuration(kDelay));
    return Done();
  }

  Result<Unit> StartAgents() {
    narrator_.Title("3  Three agents, two beside the database and a witness that only votes; four clients");
    AwsAgentsOptions options;
    options.folder = folder_;
    options.program = program_;
    options.url = stage_->url();
    options.access_key = stage_->access_key();
    options.secret_key = stage_->secret_key();
    options.global_cluster = "orders";
    options.members = stage_->members();
    options.witness = kWitness;
    options.objectives = kObjectives;
    options.failover_after = kFailoverAfter;
    options.more = stage_->AgentSettings();
    agents_ = std::make_unique<AwsAgents>(std::move(options));
    if (Result<Unit> prepared = agents_->Prepare(); !prepared) return prepared;
    for (const char* region : {kWitness, kOne, kTwo}) {
      if (Result<Unit> started = agents_->Start(region); !started) return started;
    }
    if (Result<Unit> healthy = AwaitHealthy(kOne); !healthy) return healthy;
    return StartClients();
  }

  Result<Unit> StartClients() {
    story_.lab = stage_->World(agents_->lab());
    story_.lab.knobs.rto = kObjectives.rto;
    story_.lab.knobs.rpo = kObjectives.rpo;
    story_.first = kOne;
    story_.second = kTwo;
    const auto version = ConnectTo(stage_->WriterConninfo(story_.lab, kOne));
    if (!version) return version.error();
    story_.postgresql = PQparameterStatus(version->get(), "server_version");
    clients_ = std::make_unique<ClientGroup>(story_.lab, stage_->tls_root());
    int number = 0;
    for (const ClientMode mode : {ClientMode::kFresh, ClientMode::kFresh, ClientMode::kFresh, ClientMode::kTtl}) {
      if (auto added = clients_->Add(mode, ++number, true); !added) return added;
    }
    if (auto writes = clients_->AwaitMore(1, kMove, narrator_.Waiting()); !writes) return writes;
    story_.healthy_ns = ReadWallClock().ns;
    narrator_.Say(
        "4 clients write numbered rows through the name, each one every 5 ms, over TLS with a server that they verify "
        "(PostgreSQL " +
        story_.postgresql + "), and keep their own record");
    return clients_->AwaitMore(kSteadyRows, kMove, narrator_.Waiting());
  }

  Result<Unit> AwaitHealthy(const std::string& writer) {
    const Result<Json> status = agents_->AwaitHealthy(writer, kMove, narrator_.Waiting());
    if (!status) return status.error();
    narrator_.Say(TextAt(*status, "sentence"));
    for (const Json& region : MemberAt(*status, "regions")) {
      narrator_.Say(TextAt(region, "name") + ": " + TextAt(region, "role") +
                    (TextAt(region, "role") == "witness" ? "" : ", " + TextAt(region, "managed")));
    }
    return Done();
  }

  Result<Unit> LoseRegion() {
    narrator_.Title("4  " + std::string(kOne) +
                    " is lost: database and agent are killed, and nothing of AWS there answers any more");
    Result<KillReport> lost = stage_->Lose(kOne);
    if (!lost) return lost.error();
    agents_->Stop(kOne);
    story_.fault = *std::move(lost);
    narrator_.Say(std::to_string(story_.fault.killed.size()) + " processes of PostgreSQL killed; what was on its way to " + kTwo +
                  " is lost with them");
    return Done();
  }

  Result<Unit> FailOver() {
    narrator_.Title("5  Without a command from anyone: silence by a majority, decided, failed over, routed, verified");
    std::string sentence;
    Instant asked;
    const Patience patience = narrator_.Waiting();
    const auto show = [&](const std::string& waiting_for) {
      if (AgeAt(asked, ReadClocks()) > 500ms) {
        asked = ReadClocks();
        const auto status = AskAgent(agents_->lab(), kTwo, "status", Json::object(), 1s);
        const std::string said = status ? TextAt(MemberAt(*status, "decision"), "sentence") : "";
        if (!said.empty() && said != sentence) narrator_.Say(std::string(kTwo) + ": " + said);
        if (!said.empty()) sentence = said;
      }
      return patience(waiting_for);
    };
    const Instant deadline = ReadClocks() + kMove;
    while (true) {
      const Result<std::optional<Execution>> found =
          FindExecution(agents_->lab(), PlanKind::kFailover, WallTime{story_.fault.wall_ns});
      if (found.ok() && *found) story_.failover = **found;
      const StepRecord* verify = story_.failover.Find("verify");
      if (verify != nullptr && verify->state == StepState::kDone) break;
      const std::string waiting_for = story_.failover.id.empty()
                                          ? "no failover has begun"
                                          : "failover " + story_.failover.id.text + " is " + ToString(story_.failover.state);
      if (!story_.failover.id.empty() && IsEnded(story_.failover.state)) {  // in its own words
        const Result<Execution> ended = AwaitExecution(agents_->lab(), story_.failover.id, kMove, patience);
        return ended.ok() ? Fail(waiting_for + " without having verified anything") : ended.error();
      }
      if (!show(waiting_for)) return Fail("interrupted");
      if (HasPassed(deadline, ReadClocks())) return RetryLater("not within " + FormatDuration(kMove) + ": " + waiting_for);
      std::this_thread::sleep_for(200ms);
    }
    narrator_.Say("failover " + story_.failover.id.text + ": " + story_.failover.requested_by + ", " + story_.failover.reason);
    if (auto moved = clients_->AwaitOn(kTwo, story_.fault.monotonic_ns, kMove, narrator_.Waiting()); !moved) return moved;
    narrator_.Say("all clients write again, to " + std::string(kTwo));
    return clients_->AwaitMore(kSteadyRows / 2, kMove, narrator_.Waiting());
  }

  /// A first account while the clients go on: what the lost writer acknowledged is compared with the new one's table.
  Result<Unit> Cost() {
    narrator_.Title("6  What it cost, by the clients' own record, and what the agents say of it");
    for (const StepRecord& step : story_.failover.steps) {
      if (step.state == StepState::kDone) narrator_.Show("            " + step.name + ": " + step.outcome);
    }
    if (Result<Unit> compared = Compare(kTwo, true); !compared) return compared;
    const AwsLoss loss = AwsLossOf(story_);
    const Json run = FailoverRun(story_, loss.account);
    const Json stated = StatedByAgents(story_);
    narrator_.Say("RTO " + SecondsText(MemberAt(run, "rto_s")) + ": fault to a client's first acknowledged row; the agents state " +
                  SecondsText(MemberAt(stated, "rto_s")) + " to '" + TextAt(stated, "ends_with") + "'; objective " +
                  FormatDuration(kObjectives.rto));
    narrator_.Say("RPO " + FormatSeconds(loss.account.failover_age) +
                  " s: " + std::to_string(loss.account.failover_rows + loss.account.other_rows) +
                  " acknowledged rows are missing; objective " + FormatDuration(kObjectives.rpo));
    narrator_.Say("when they decided, the agents state at most " + SecondsText(MemberAt(stated, "loss_bound_s")) + " (" +
                  TextAt(stated, "basis") + "); afterwards at most " + SecondsText(MemberAt(stated, "loss_measured_s")) + " (" +
                  TextAt(stated, "measured_by") + ")");
    narrator_.Say(std::to_string(stage_->HeldIn(kOne)) + " requests to " + kOne + " got no answer, and " + kTwo +
                  " took writes all the same");
    return Done();
  }

  /// Holds the clients' records against the table of a region's writer. @param lost_writer  only what the lost writer acknowledged
  Result<Unit> Compare(const std::string& region, bool lost_writer) {
    const std::string old_address = story_.lab.Find(kOne)->address;
    story_.records = clients_->Records();
    story_.checks.clear();
    for (const ClientRecord& whole : story_.records) {
      ClientRecord record = whole;
      if (lost_writer) {
        std::erase_if(record.rows, [&](const ClientRow& row) {
          return row.fate != RowFate::kAcknowledged || record.servers.at(row.server) != old_address;
        });
      }
      auto check = CheckRecord(record, stage_->WriterConninfo(story_.lab, region));
      if (!check) return check.error();
      if (lost_writer) check->unexpected.clear();  // the rows of the new writer, which this look leaves out
      story_.checks.push_back(*std::move(check));
    }
    return Done();
  }

  Result<Unit> BringBack() {
    narrator_.Title("7  " + std::string(kOne) + " comes back");
    story_.returned_ns = ReadWallClock().ns;
    if (Result<Unit> back = stage_->Return(kOne); !back) return back;
    if (Result<Unit> started = agents_->Start(kOne); !started) return started;
    if (Result<Unit> streams = stage_->AwaitWriter(kTwo, kMove, narrator_.Waiting()); !streams) return streams;
    story_.rejoin.ended = ReadWallClock();
    const auto arrived = AwaitArrival(*clients_, stage_->ReaderConninfo(story_.lab, kOne), kOne, kMove, narrator_.Waiting());
    if (!arrived) return arrived.error();
    story_.arrived_ns = arrived->at_ns;
    story_.arrived_row = arrived->row;
    narrator_.Say("Aurora builds its copy anew; " + arrived->row + ", written afterwards, has arrived on it");
    narrator_.Say(
        "the execution goes on for some seconds (at AWS itself two minutes): AWS's word about the old writer is waited for, which "
        "no emulator gives");
    Result<Execution> ended = AwaitExecution(agents_->lab(), story_.failover.id, kMove, narrator_.Waiting());
    if (!ended) return ended.error();
    story_.failover = *std::move(ended);
    for (const char* step : {"fencing", "keep-writes"}) {
      const StepRecord* record = story_.failover.Find(step);
      if (record != nullptr) narrator_.Say(std::string(step) + ": " + record->outcome);
    }
    return AwaitHealthy(kTwo);
  }

  /// An execution's end reaches the other agents with their next look at the journal.
  Result<Unit> AwaitNothingRuns(const std::string& region) {
    const Instant deadline = ReadClocks() + kMove;
    const Patience patience = narrator_.Waiting();
    while (true) {
      const Result<Json> status = AskAgent(agents_->lab(), region, "status", Json::object(), 2s);
      if (status.ok() && MemberAt(*status, "execution").is_null()) return Done();
      const std::string waiting_for =
          status.ok() ? "the agent of '" + region + "' has not seen the end of the failover yet" : status.error().message;
      if (!patience(waiting_for)) return Fail("interrupted");
      if (HasPassed(deadline, ReadClocks())) return RetryLater(waiting_for);
      std::this_thread::sleep_for(200ms);
    }
  }

  Result<Unit> SwitchBack() {
    narrator_.Title("8  Planned switchover back to " + std::string(kOne));
    if (Result<Unit> free = AwaitNothingRuns(kOne); !free) return free;
    story_.switchover_since_ns = MonotonicNs();
    Result<Execution> switched = SwitchTo(agents_->lab(), kOne, kMove, narrator_.Waiting());
    if (!switched) return switched.error();
    story_.switchover = *std::move(switched);
    narrator_.Say("switchover " + story_.switchover.id.text + " is done");
    if (auto moved = clients_->AwaitOn(kOne, story_.switchover_since_ns, kMove, narrator_.Waiting()); !moved) return moved;
    narrator_.Say("all clients write to " + std::string(kOne) + " again");
    if (Result<Unit> streams = stage_->AwaitWriter(kOne, kMove, narrator_.Waiting()); !streams) return streams;
    if (Result<Unit> healthy = AwaitHealthy(kOne); !healthy) return healthy;
    return clients_->AwaitMore(kSteadyRows / 2, kMove, narrator_.Waiting());
  }

  Result<Unit> Count() {
    narrator_.Title("9  The report");
    clients_->Stop();
    story_.ended_ns = ReadWallClock().ns;
    if (Result<Unit> compared = Compare(kOne, false); !compared) return compared;
    const AwsLoss loss = AwsLossOf(story_);
    std::uint64_t acknowledged = 0;
    for (const ClientCheck& check : story_.checks) acknowledged += check.acknowledged;
    narrator_.Say(
        std::to_string(acknowledged) + " acknowledged rows compared with the table: " + std::to_string(loss.account.failover_rows) +
        " lost with the region, " + std::to_string(loss.account.other_rows) + " at any other time, " + std::to_string(loss.beyond) +
        " beyond what the agents stated, " + std::to_string(loss.account.Unaccounted()) + " unaccounted for");
    const std::string first = story_.lab.Find(kOne)->address;
    const std::string second = story_.lab.Find(kTwo)->address;
    const std::uint64_t by_two = WritesByTwo(story_.records, first, second, story_.fault.monotonic_ns, story_.switchover_since_ns) +
                                 WritesByTwo(story_.records, second, first, story_.switchover_since_ns, MonotonicNs());
    if (by_two > 0) return Fail("two regions acknowledged writes at the same time: " + std::to_string(by_two) + " rows");
    if (const auto evidence = AskAgent(agents_->lab(), kTwo, "evidence.verify", Json::object(), 20s)) {
      story_.evidence = *evidence;
    } else {
      narrator_.Say("the evidence could not be verified: " + evidence.error().message);
    }
    return Done();
  }

  int Conclude() {
    const Json report = BuildAwsReport(story_, {{"replication_delay_ms", Millis(kDelay)},
                                                {"failover_after_ms", Millis(kFailoverAfter)},
                                                {"dns_ttl_s", 5},
                                                {"store", "embedded"},
                                                {"database", "Aurora global database in an emulator, PostgreSQL behind it"},
                                                {"postgresql", story_.postgresql},
                                                {"clients", story_.records.size()},
                                                {"write_every_ms", Millis(ClientOptions().interval)}});
    std::error_code problem;
    fs::create_directories(options_.report_folder, problem);
    const fs::path html = options_.report_folder / "report.html";
    const fs::path json = options_.report_folder / "report.json";
    if (const auto written = WriteReport(report, html, json); !written) return Explain(written.error());
    narrator_.Show(RenderTerminal(report, !options_.json && ::isatty(STDOUT_FILENO) != 0 ? Colour::kYes : Colour::kNo));
    narrator_.Show("report: " + fs::absolute(html).string() + " (to look at), " + fs::absolute(json).string() + " (for programs)");
    if (options_.json) std::printf("%s\n", report.dump(2).c_str());
    return TextAt(report, "verdict") == "met" ? 0 : 4;
  }

  int Explain(const Error& error) {
    const bool interrupted = Interrupt::Came();
    std::fprintf(stderr, "\nlifeboat demo: %s\n", interrupted ? "interrupted" : error.Text().c_str());
    if (options_.json)
      std::printf("%s\n", Json{{"error", interrupted ? "interrupted" : error.message}, {"hint", error.hint}}.dump().c_str());
    if (!interrupted && made_) SaveLogs();
    return 1;
  }

  /// The folder goes, its logs stay.
  void SaveLogs() {
    if (options_.keep) {
      std::fprintf(stderr, "the logs are in %s\n", folder_.c_str());
      return;
    }
    std::error_code problem;
    const fs::path logs = options_.report_folder / "logs";
    fs::remove_all(logs, problem);
    fs::create_directories(logs, problem);
    for (const auto& file : fs::directory_iterator(folder_, problem)) {
      const std::string extension = file.path().extension().string();
      if (extension == ".log" || extension == ".out") fs::copy(file.path(), logs, problem);
    }
    std::fprintf(stderr, "the logs of all processes are in %s\n", fs::absolute(logs).c_str());
  }

  void TakeDown() {
    if (options_.keep && stage_ && agents_) {
      Leave();
      return;
    }
    agents_.reset();
    stage_.reset();
    std::error_code problem;
    if (made_ && !options_.keep) fs::remove_all(folder_, problem);
    if (problem) std::fprintf(stderr, "lifeboat demo: '%s' was not removed: %s\n", folder_.c_str(), problem.message().c_str());
  }

  /// All goes on; a script that ends it stands beside. Their working directory says that a pid is still theirs.
  void Leave() {
    std::string pids;
    for (const pid_t pid : agents_->Leave()) pids += std::to_string(pid) + " ";
    for (const pid_t pid : stage_->Leave()) pids += std::to_string(pid) + " ";
    const std::string text =
        "#!/bin/sh\n# Ends what 'lifeboat demo --aws --keep' left running, and removes its folder.\ncd / || exit 1\nfolder='" +
        folder_.string() + "'\nours() { [ \"$(readlink /proc/$1/cwd)\" = \"$folder\" ]; }\nfor pid in " + pids +
        "; do ours $pid && kill $pid; done\nfor pid in " + pids +
        "; do while ours $pid; do sleep 0.1; done; done\nrm -rf \"$folder\"\n";
    if (const auto written = WriteFileDurably((folder_ / "end").string(), text); !written) {
      std::fprintf(stderr, "lifeboat demo: %s; the processes are %s\n", written.error().message.c_str(), pids.c_str());
      return;
    }
    narrator_.Show("\nall of it still runs. Look around, and end it:\n  " + program_.string() + " status --config " +
                   agents_->lab().Config().string() + "\n  sh " + (folder_ / "end").string());
  }

  const DemoAwsOptions& options_;
  fs::path folder_;
  fs::path program_;
  bool made_ = false;
  Narrator narrator_;
  Story story_;
  std::unique_ptr<AwsStage> stage_;
  std::unique_ptr<AwsAgents> agents_;
  std::unique_ptr<ClientGroup> clients_;
};

}  // namespace

int RunDemoAws(const DemoAwsOptions& options) {
  const Interrupt interrupt;
  return DemoAws(options).Run();
}

}  // namespace lifeboat::lab
