#include "lab/demo_aws.h"

#include <boost/asio/io_context.hpp>
#include <thread>

#include "adapters/aws/aurora_global.h"
#include "adapters/aws/protocol.h"
#include "adapters/http/http_client.h"
#include "adapters/system/clock.h"
#include "adapters/system/files.h"
#include "base/spawn.h"
#include "lab/aws_agents.h"
#include "lab/interrupt.h"
#include "lab/narrator.h"
#include "lab/tools.h"
#include "prove/phases.h"

namespace lifeboat::lab {

namespace fs = std::filesystem;

namespace {

constexpr const char* kOne = "us-east-1";
constexpr const char* kTwo = "eu-west-1";
constexpr const char* kWitness = "us-west-2";
constexpr const char* kGlobal = "orders";
constexpr const char* kKey = "AKIALIFEBOATDEMO0000";
constexpr const char* kSecret = "a secret of the demo/0123456789abcdefghij";
constexpr Duration kCall = 30s;
constexpr Duration kMove = 180s;
constexpr Duration kLagEvery = 20s;

/// The checkout that this program was built in: the emulator is a part of its tests.
Result<fs::path> FindCheckout() {
  std::error_code problem;
  for (fs::path at = fs::read_symlink("/proc/self/exe", problem).parent_path(); !at.empty(); at = at.parent_path()) {
    if (fs::exists(at / "tests/aws/emulator.py", problem)) return at;
    if (at == at.root_path()) break;
  }
  return Fail("the emulator of AWS is not beside this program", "run it from a checkout: build/release/bin/lifeboat demo --aws");
}

template <typename T>
Task<> Deliver(Task<T> task, std::optional<T>* into) {
  into->emplace(co_await std::move(task));
}

/// Coroutines from a thread that may wait.
class Loop {
 public:
  template <typename T>
  T Wait(Task<T> task) {
    std::optional<T> answer;
    Spawn(io_.get_executor(), Deliver<T>(std::move(task), &answer));
    while (!answer) io_.run_one();
    io_.restart();
    return *std::move(answer);
  }
  [[nodiscard]] boost::asio::any_io_executor executor() { return io_.get_executor(); }

 private:
  boost::asio::io_context io_{1};
};

class DemoAws {
 public:
  explicit DemoAws(const DemoAwsOptions& options) : options_(options), narrator_(stdout) {
    folder_ = options.folder.empty() ? fs::temp_directory_path() / ("lifeboat-demo-aws-" + RandomHex(4)) : fs::absolute(options.folder);
    program_ = options.program.empty() ? fs::path("/proc/self/exe") : options.program;
    std::error_code problem;
    if (options.program.empty()) program_ = fs::read_symlink(program_, problem);
  }

  int Run() {
    const Result<Unit> told = Tell();
    agents_.reset();
    road_.reset();
    emulator_.reset();
    if (!told) {
      std::fprintf(stderr, "\nlifeboat demo: %s\n", Interrupt::Came() ? "interrupted" : told.error().Text().c_str());
      if (made_ && !Interrupt::Came()) std::fprintf(stderr, "the logs are in %s\n", folder_.c_str());
    }
    std::error_code ignored;
    if (made_ && !options_.keep && (told.ok() || Interrupt::Came())) fs::remove_all(folder_, ignored);
    if (!told) return 1;
    return met_ ? 0 : 4;
  }

 private:
  Result<Unit> Tell() {
    for (const auto part : {&DemoAws::Emulate, &DemoAws::Provision, &DemoAws::StartAgents, &DemoAws::LoseRegion, &DemoAws::FailOver, &DemoAws::Cost,
                            &DemoAws::BringBack, &DemoAws::SwitchBack}) {
      if (Interrupt::Came()) return Fail("interrupted");
      if (Result<Unit> done = (this->*part)(); !done) return done;
    }
    return Done();
  }

  Result<Unit> Emulate() {
    narrator_.Title("1  An emulator of AWS, and a road to it that can fall silent for a region");
    const Result<fs::path> checkout = FindCheckout();
    if (!checkout) return checkout.error();
    std::error_code problem;
    if (fs::exists(folder_, problem)) return Refused("'" + folder_.string() + "' is there already", "name another folder");
    if (Result<Unit> made = EnsureDirectory(folder_.string()); !made) return made;
    made_ = true;
    narrator_.Say("its Python environment is made where there is none yet (scripts/aws-venv.sh)");
    const Result<std::string> venv = RunTool({(*checkout / "scripts/aws-venv.sh").string()}, checkout->string(), std::nullopt, 15min);
    if (!venv) return venv.error().Within("the emulator's Python environment cannot be made");
    const std::string python = (*checkout / "build/aws-venv/bin/python").string();
    const auto script = [&](const char* name) { return (*checkout / "tests/aws" / name).string(); };
    auto emulator = OwnProcess::Begin({python, "-B", script("emulator.py"), "ministack"}, {{"TMPDIR", folder_.string()}}, folder_ / "emulator.log");
    if (!emulator) return emulator.error();
    emulator_ = *std::move(emulator);
    const auto ports = emulator_->Ports(narrator_.Waiting());
    if (!ports) return ports.error();
    const std::string upstream = "http://127.0.0.1:" + std::to_string(ports->front());
    auto road = OwnProcess::Begin({python, "-B", script("proxy.py"), upstream, (folder_ / "requests.jsonl").string()}, {}, folder_ / "road.log");
    if (!road) return road.error();
    road_ = *std::move(road);
    const auto of_road = road_->Ports(narrator_.Waiting());
    if (!of_road) return of_road.error();
    if (of_road->size() < 2) return Fail("the road to the emulator has no control");
    url_ = "http://127.0.0.1:" + std::to_string(of_road->at(0));
    control_ = "http://127.0.0.1:" + std::to_string(of_road->at(1));
    OpenClient(upstream);
    return Done();
  }

  void OpenClient(const std::string& upstream) {
    aws::Credentials keys;
    keys.access_key_id = kKey;
    keys.secret_key = Secret(kSecret);
    aws::ClientOptions options;
    options.endpoints.set["*"] = upstream;
    aws::ClientDoors doors{clock_, aws::OpenTransport(loop_.executor(), {}), aws::DiceOfTheSystem(), Log()};
    client_ = std::make_shared<aws::Client>(std::make_shared<aws::FixedCredentials>(std::move(keys)), std::move(options), std::move(doors));
  }

  Result<Unit> Send(const char* service, const char* version, const std::string& region, const std::string& action, const aws::QueryParameters& parameters) {
    aws::Call call = aws::QueryCall({service, version}, region, action, parameters, aws::Effect::kOnce);
    const Result<aws::Reply> reply = loop_.Wait(client_->Send(std::move(call), kCall));
    if (!reply) return reply.error();
    return Done();
  }

  Result<Unit> Provision() {
    narrator_.Title("2  A service in two regions: an Aurora global database, its writer in " + std::string(kOne));
    const char* rds = "2014-10-31";
    Result<Unit> done = Send("rds", rds, kOne, "CreateGlobalCluster", {{"GlobalClusterIdentifier", kGlobal}, {"Engine", "aurora-postgresql"}, {"EngineVersion", "17.7"}});
    if (!done) return done;
    for (const std::string region : {kOne, kTwo}) {
      const std::string cluster = std::string(kGlobal) + "-" + region;
      aws::QueryParameters parameters = {{"DBClusterIdentifier", cluster}, {"Engine", "aurora-postgresql"}, {"EngineVersion", "17.7"}, {"GlobalClusterIdentifier", kGlobal}};
      if (region == kOne) parameters.Text("MasterUsername", "ann").Text("MasterUserPassword", "only-for-the-demo-1");
      if (done = Send("rds", rds, region, "CreateDBCluster", parameters); !done) return done;
      done = Send("rds", rds, region, "CreateDBInstance",
                  {{"DBInstanceIdentifier", cluster + "-a"}, {"DBClusterIdentifier", cluster}, {"Engine", "aurora-postgresql"}, {"DBInstanceClass", "db.r6g.large"}});
      if (!done) return done;
      const Result<aws::rds::DbCluster> seen = loop_.Wait(aws::rds::DescribeDbCluster(*client_, region, cluster, kCall));
      if (!seen) return seen.error();
      members_[region] = seen->arn;
      narrator_.Say(seen->arn + ", " + seen->engine + " " + seen->engine_version + ", " + seen->status);
    }
    return ReportLag();
  }

  /// What Aurora itself would report; the emulator measures nothing.
  Result<Unit> ReportLag() {
    lag_told_ = ReadClocks();
    for (const char* region : {kOne, kTwo}) {
      const Result<Unit> put = Send("monitoring", "2010-08-01", region, "PutMetricData",
                                    {{"Namespace", "AWS/RDS"},
                                     {"MetricData.member.1.MetricName", "AuroraGlobalDBRPOLag"},
                                     {"MetricData.member.1.Dimensions.member.1.Name", "DBClusterIdentifier"},
                                     {"MetricData.member.1.Dimensions.member.1.Value", std::string(kGlobal) + "-" + region},
                                     {"MetricData.member.1.Value", "850"}});
      if (!put) return put;
    }
    return Done();
  }

  /// Waits in which Aurora's lag goes on being reported, while its writer's region is there.
  Patience Waiting() {
    return [this, say = narrator_.Waiting()](const std::string& waiting_for) {
      if (!lost_ && AgeAt(lag_told_, ReadClocks()) > kLagEvery) (void)ReportLag();
      return say(waiting_for);
    };
  }

  Result<Unit> StartAgents() {
    narrator_.Title("3  Three agents, two beside the database and a witness that only votes");
    AwsAgentsOptions options;
    options.folder = folder_;
    options.program = program_;
    options.url = url_;
    options.access_key = kKey;
    options.secret_key = kSecret;
    options.global_cluster = kGlobal;
    options.members = members_;
    options.witness = kWitness;
    agents_ = std::make_unique<AwsAgents>(std::move(options));
    if (Result<Unit> prepared = agents_->Prepare(); !prepared) return prepared;
    for (const char* region : {kWitness, kOne, kTwo}) {
      if (Result<Unit> started = agents_->Start(region); !started) return started;
    }
    return AwaitHealthy(kOne);
  }

  Result<Unit> AwaitHealthy(const std::string& writer) {
    const Result<Json> status = agents_->AwaitHealthy(writer, kMove, Waiting());
    if (!status) return status.error();
    narrator_.Say(TextAt(*status, "sentence"));
    for (const Json& region : MemberAt(*status, "regions")) {
      narrator_.Say(TextAt(region, "name") + ": " + TextAt(region, "role") + (TextAt(region, "role") == "witness" ? "" : ", " + TextAt(region, "managed")));
    }
    return Done();
  }

  Result<Json> Control(const char* method, const char* path, const std::string& body) {
    HttpClient http(loop_.executor(), {});
    HttpRequest request;
    request.method = method;
    request.url = control_ + path;
    request.body = body;
    const Result<HttpResponse> response = loop_.Wait(http.Send(std::move(request), 10s));
    if (!response) return response.error();
    if (response->status != 200) return Fail("the road to the emulator answers " + std::to_string(response->status));
    return ParseJson(response->body, path);
  }

  Result<Unit> LoseRegion() {
    narrator_.Title("4  " + std::string(kOne) + " is lost: its agent is killed, and nothing that AWS runs there answers any more");
    if (Result<Unit> told = ReportLag(); !told) return told;
    lost_ = true;
    const Result<Json> silent = Control("PUT", "/faults", Json::array({{{"do", "silent"}, {"region", kOne}}}).dump());
    if (!silent) return silent.error();
    agents_->Stop(kOne);
    fault_ = ReadWallClock();
    return Done();
  }

  Result<Unit> FailOver() {
    narrator_.Title("5  Without a command from anyone: silence by a majority, decided, failed over, verified");
    std::string sentence;
    Instant asked;
    const Patience patience = Waiting();
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
      const Result<std::optional<Execution>> found = FindExecution(agents_->lab(), PlanKind::kFailover, fault_);
      if (found.ok() && *found) failover_ = **found;
      const StepRecord* verify = failover_.Find("verify");
      if (verify != nullptr && verify->state == StepState::kDone) break;
      const std::string waiting_for = failover_.id.empty() ? "no failover has begun" : "failover " + failover_.id.text + " is " + ToString(failover_.state);
      if (!show(waiting_for)) return Fail("interrupted");
      if (HasPassed(deadline, ReadClocks())) return RetryLater("not within " + FormatDuration(kMove) + ": " + waiting_for);
      std::this_thread::sleep_for(200ms);
    }
    narrator_.Say("failover " + failover_.id.text + ": " + failover_.requested_by + ", " + failover_.reason);
    return Done();
  }

  Result<Unit> Cost() {
    narrator_.Title("6  What it cost");
    const PhaseReport report = ComputePhases(failover_);
    for (const Phase& phase : report.phases) {
      if (const auto length = phase.Length()) narrator_.Say(phase.name + ": " + FormatDuration(*length));
    }
    for (const StepRecord& step : failover_.steps) {
      if (step.state == StepState::kDone) narrator_.Show("            " + step.name + ": " + step.outcome);
    }
    const std::int64_t promoted = SignedAt(failover_.facts, "promoted_ns");
    const Duration rto = Duration(promoted - fault_.ns);
    const bool in_time = promoted > 0 && rto <= 5min;
    narrator_.Say(promoted > 0 ? "RTO " + FormatDuration(rto) + " from the loss to the moment at which AWS says that " + kTwo + " takes writes; objective 5min"
                               : "RTO unknown: nobody noted when " + std::string(kTwo) + " took writes");
    const Json& loss = MemberAt(failover_.facts, "loss_estimate");
    const Json& seconds = MemberAt(loss, "seconds");
    const bool bounded = seconds.is_number() && seconds.get<double>() <= 180;
    narrator_.Say("RPO " + (seconds.is_number() ? "at most " + FormatSeconds(Duration(static_cast<std::int64_t>(seconds.get<double>() * 1e9))) + " s" : std::string("unknown")) +
                  " (" + TextAt(loss, "basis") + "); objective 3min");
    const Result<Json> counts = Control("GET", "/counts", "");
    if (counts) {
      narrator_.Say(std::to_string(NumberAt(MemberAt(*counts, kOne), "held")) + " requests to " + kOne + " got no answer, and " + kTwo +
                    " took writes all the same");
    }
    met_ = in_time && bounded;
    return Done();
  }

  Result<Unit> BringBack() {
    narrator_.Title("7  " + std::string(kOne) + " comes back");
    const Result<Json> healed = Control("PUT", "/faults", "[]");
    if (!healed) return healed.error();
    lost_ = false;
    if (Result<Unit> told = ReportLag(); !told) return told;
    if (Result<Unit> started = agents_->Start(kOne); !started) return started;
    narrator_.Say("the execution goes on for some seconds (at AWS itself two minutes): AWS's word about the old writer is waited for, which no emulator gives");
    const Result<Execution> ended = AwaitExecution(agents_->lab(), failover_.id, kMove, Waiting());
    if (!ended) return ended.error();
    for (const char* step : {"fencing", "keep-writes"}) {
      const StepRecord* record = ended->Find(step);
      if (record != nullptr) narrator_.Say(std::string(step) + ": " + record->outcome);
    }
    return AwaitHealthy(kTwo);
  }

  /// An execution's end reaches the other agents with their next look at the journal.
  Result<Unit> AwaitNothingRuns(const std::string& region) {
    const Instant deadline = ReadClocks() + kMove;
    const Patience patience = Waiting();
    while (true) {
      const Result<Json> status = AskAgent(agents_->lab(), region, "status", Json::object(), 2s);
      if (status.ok() && MemberAt(*status, "execution").is_null()) return Done();
      const std::string waiting_for = status.ok() ? "the agent of '" + region + "' has not seen the end of the failover yet" : status.error().message;
      if (!patience(waiting_for)) return Fail("interrupted");
      if (HasPassed(deadline, ReadClocks())) return RetryLater(waiting_for);
      std::this_thread::sleep_for(200ms);
    }
  }

  Result<Unit> SwitchBack() {
    narrator_.Title("8  Planned switchover back to " + std::string(kOne));
    if (Result<Unit> free = AwaitNothingRuns(kOne); !free) return free;
    Result<Execution> switched = SwitchTo(agents_->lab(), kOne, kMove, Waiting());
    if (!switched) return switched.error();
    narrator_.Say("switchover " + switched->id.text + " is done, and lost nothing: it cannot even ask for that");
    if (Result<Unit> healthy = AwaitHealthy(kOne); !healthy) return healthy;
    narrator_.Say(met_ ? "every objective was met" : "an objective was missed");
    return Done();
  }

  const DemoAwsOptions& options_;
  fs::path folder_;
  fs::path program_;
  bool made_ = false;
  bool lost_ = false;
  bool met_ = false;
  const Interrupt interrupt_;
  Narrator narrator_;
  Loop loop_;
  SystemClock clock_;
  std::shared_ptr<aws::Client> client_;
  std::unique_ptr<OwnProcess> emulator_;
  std::unique_ptr<OwnProcess> road_;
  std::unique_ptr<AwsAgents> agents_;
  std::string url_;
  std::string control_;
  std::map<std::string, std::string> members_;
  Instant lag_told_;
  WallTime fault_;
  Execution failover_;
};

}  // namespace

int RunDemoAws(const DemoAwsOptions& options) { return DemoAws(options).Run(); }

}  // namespace lifeboat::lab
