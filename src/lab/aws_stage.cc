#include "lab/aws_stage.h"

#include <fstream>
#include <sstream>
#include <thread>

#include "adapters/aws/aurora_global.h"
#include "adapters/aws/quotas.h"
#include "adapters/aws/xml.h"
#include "adapters/http/http_client.h"
#include "adapters/system/files.h"
#include "base/drive.h"
#include "base/spawn.h"
#include "lab/name_server.h"
#include "lab/resolve.h"
#include "lab/sql.h"
#include "lab/tools.h"

namespace lifeboat::lab {

namespace fs = std::filesystem;

namespace {

constexpr Duration kCall = 30s;
constexpr Duration kOrder = 60s;  // of the databases' plane: a copy that is built anew
constexpr Duration kServes = 60s;
constexpr const char* kRoute53 = "https://route53.amazonaws.com/doc/2013-04-01/";
constexpr const char* kTtl = "5";

/// The checkout that this program was built in: what stands in for AWS is a part of its tests.
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

std::string Local(std::uint16_t port) { return "http://127.0.0.1:" + std::to_string(port); }

std::string FailoverRecord(const std::string& which, const std::string& address, const std::string& check) {
  return "<Change><Action>CREATE</Action><ResourceRecordSet><Name>" + std::string(kDnsName) +
         "</Name><Type>A</Type><SetIdentifier>" + which + "</SetIdentifier><Failover>" + which + "</Failover><TTL>" + kTtl +
         "</TTL><ResourceRecords><ResourceRecord><Value>" + address + "</Value></ResourceRecord></ResourceRecords><HealthCheckId>" +
         check + "</HealthCheckId></ResourceRecordSet></Change>";
}

}  // namespace

AwsStage::AwsStage(AwsStageOptions options) : options_(std::move(options)) {}

AwsStage::~AwsStage() {
  if (databases_) databases_->EndKindly(20s);  // it ends its servers and removes their folder
  while (!processes_.empty()) processes_.pop_back();
}

template <typename T>
T AwsStage::Wait(Task<T> task) {
  std::optional<T> answer;
  Spawn(io_.get_executor(), Deliver<T>(std::move(task), &answer));
  DriveUntil(io_, [&] { return answer.has_value(); });
  return *std::move(answer);
}

// ---- its parts ----

Result<Unit> AwsStage::Open(const Say& say, const Patience& patience) {
  Result<fs::path> checkout = FindCheckout();
  if (!checkout) return checkout.error();
  checkout_ = *std::move(checkout);
  say("its Python environment is made where there is none yet (scripts/aws-venv.sh)");
  const Result<std::string> venv = RunTool({(checkout_ / "scripts/aws-venv.sh").string()}, checkout_.string(), std::nullopt, 15min);
  if (!venv) return venv.error().Within("the emulators' Python environment cannot be made");
  if (Result<Unit> done = OpenEmulators(patience); !done) return done;
  if (Result<Unit> done = OpenRoad(patience); !done) return done;
  if (Result<Unit> done = BeginDatabases(); !done) return done;
  WarmUp();
  if (Result<Unit> done = OpenNames(patience); !done) return done;
  return OpenDatabases(patience);
}

Result<std::unique_ptr<OwnProcess>> AwsStage::Begin(const std::string& script, std::vector<std::string> arguments,
                                                    const std::string& log, std::map<std::string, std::string> environment) {
  std::vector<std::string> argv = {(checkout_ / "build/aws-venv/bin/python").string(), "-B",
                                   (checkout_ / "tests/aws" / script).string()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return OwnProcess::Begin(std::move(argv), std::move(environment), options_.folder / log);
}

Result<Unit> AwsStage::OpenEmulators(const Patience& patience) {
  std::vector<const OwnProcess*> begun;
  for (const char* emulator : {"ministack", "moto"}) {
    auto process = Begin("emulator.py", {emulator}, std::string(emulator) + ".log", {{"TMPDIR", options_.folder.string()}});
    if (!process) return process.error();
    begun.push_back(process->get());
    processes_.push_back(*std::move(process));
  }
  std::vector<std::string> urls;
  for (const OwnProcess* process : begun) {
    const auto ports = process->Ports(patience);
    if (!ports) return ports.error();
    urls.push_back(Local(ports->front()));
  }
  rds_url_ = urls[0];
  s3_url_ = urls[1];
  return Done();
}

Result<Unit> AwsStage::OpenRoad(const Patience& patience) {
  recording_ = (options_.folder / "requests.jsonl").string();
  auto road = Begin("proxy.py", {rds_url_ + ",s3=" + s3_url_ + ",route53=" + s3_url_, recording_}, "road.log");
  if (!road) return road.error();
  processes_.push_back(*std::move(road));
  const auto ports = processes_.back()->Ports(patience);
  if (!ports) return ports.error();
  if (ports->size() < 2) return Fail("the road to the emulators has no control");
  url_ = Local(ports->at(0));
  road_control_ = ports->at(1);
  aws::Credentials keys;
  keys.access_key_id = access_key_;
  keys.secret_key = Secret(secret_key_);
  aws::ClientOptions options;
  options.endpoints.set["*"] = url_;
  aws::ClientDoors doors{clock_, aws::OpenTransport(io_.get_executor(), {}), aws::DiceOfTheSystem(), Log()};
  client_ =
      std::make_shared<aws::Client>(std::make_shared<aws::FixedCredentials>(std::move(keys)), std::move(options), std::move(doors));
  return Done();
}

/// The emulator stands still for seconds at its first question about quotas, which `lifeboat check` asks: better now than in a
/// failover.
void AwsStage::WarmUp() { (void)Wait(aws::quotas::ValueOf(*client_, options_.writer, aws::quotas::kDbClusters, kCall)); }

Result<Unit> AwsStage::BeginDatabases() {
  auto begun = Begin(
      "aurora_plane.py",
      {"--aws", rds_url_, "--global", options_.global_cluster, "--region", options_.writer, "--region", options_.reader, "--delay",
       FormatSeconds(options_.delay), "--recording", recording_, "--log", (options_.folder / "postgresql.log").string()},
      "databases.log");
  if (!begun) return begun.error();
  databases_ = *std::move(begun);
  return Done();
}

Result<Unit> AwsStage::OpenDatabases(const Patience& patience) {
  const auto ports = databases_->Ports(patience);
  if (!ports) return ports.error();
  if (ports->size() < 2) return Fail("the databases' plane names no port of its endpoints");
  databases_control_ = ports->at(0);
  sql_port_ = ports->at(1);
  const Result<Json> state = Databases();
  if (!state) return state.error();
  for (const auto& [region, its] : MemberAt(*state, "regions").items()) {
    writers_[region] = TextAt(its, "writer_endpoint");
    readers_[region] = TextAt(its, "reader_endpoint");
  }
  tls_root_ = TextAt(*state, "ca");
  std::error_code problem;
  fs::copy_file(TextAt(*state, "passfile"), options_.folder / "secrets" / "pgpass", problem);
  if (problem) return Fail("the databases' passwords cannot be copied: " + problem.message());
  return Done();
}

Result<Unit> AwsStage::OpenNames(const Patience& patience) {
  const Result<std::uint16_t> port = FreePort();
  if (!port) return port.error();
  dns_ = {"127.0.0.1", *port};
  LabInfo lab;
  lab.folder = options_.folder;
  lab.dns = dns_;
  LabRegion witness;
  witness.name = RegionName(options_.witness);
  witness.kind = RegionKind::kWitness;
  lab.regions.push_back(witness);
  for (const fs::path& folder : {lab.FolderOf(options_.witness) / "knot", lab.KeyFile().parent_path(), lab.folder / "clients"}) {
    if (Result<Unit> made = EnsureDirectory(folder.string()); !made) return made;
  }
  if (Result<Unit> written = WriteNameServer(lab, std::nullopt); !written) return written;
  auto knot = OwnProcess::Begin({"/usr/sbin/knotd", "-c", (lab.FolderOf(options_.witness) / "knot" / "knot.conf").string()}, {},
                                options_.folder / "knot.log");
  if (!knot) return knot.error();
  processes_.push_back(*std::move(knot));
  std::string key;
  std::ifstream(lab.KeyFile()) >> key;
  auto plane = Begin("route53_plane.py",
                     {"--aws", s3_url_, "--dns", dns_.host, std::to_string(dns_.port), "--key", "hmac-sha256:lifeboat.:" + key,
                      "--checkers", "3", "--second", "0.1"},
                     "route53.log");
  if (!plane) return plane.error();
  processes_.push_back(*std::move(plane));
  if (const auto serves = processes_.back()->Ports(patience); !serves) return serves.error();
  return Done();
}

// ---- the service ----

Result<std::string> AwsStage::Send(aws::Call call) {
  const Result<aws::Reply> reply = Wait(client_->Send(std::move(call), kCall));
  if (!reply) return reply.error();
  return reply->body;
}

Result<Unit> AwsStage::Rds(const std::string& region, const std::string& action, const aws::QueryParameters& parameters) {
  const Result<std::string> reply = Send(aws::QueryCall({"rds", "2014-10-31"}, region, action, parameters, aws::Effect::kOnce));
  if (!reply) return reply.error();
  return Done();
}

Result<std::string> AwsStage::Route53(const std::string& path, const std::string& root, const std::string& inside) {
  aws::Call call;
  call.service = "route53";
  call.region = "us-east-1";
  call.operation = root;
  call.path = "/2013-04-01/" + path;
  call.body = "<" + root + " xmlns=\"" + kRoute53 + "\">" + inside + "</" + root + ">";
  return Send(std::move(call));
}

Result<Unit> AwsStage::Provision(const Say& say, const Patience& patience) {
  if (Result<Unit> done = MakeDatabase(say); !done) return done;
  if (Result<Unit> done = MakeName(); !done) return done;
  if (Result<Unit> done = AwaitWriter(options_.writer, kServes, patience); !done) return done;
  return AwaitName(patience);
}

Result<Unit> AwsStage::MakeDatabase(const Say& say) {
  const aws::QueryParameters aurora = {{"Engine", "aurora-postgresql"}, {"EngineVersion", "17.7"}};
  aws::QueryParameters global = aurora;
  global.Text("GlobalClusterIdentifier", options_.global_cluster);
  if (Result<Unit> done = Rds(options_.writer, "CreateGlobalCluster", global); !done) return done;
  for (const std::string& region : {options_.writer, options_.reader}) {
    const std::string cluster = options_.global_cluster + "-" + region;
    aws::QueryParameters parameters = global;
    parameters.Text("DBClusterIdentifier", cluster);
    if (region == options_.writer) parameters.Text("MasterUsername", "ann").Text("MasterUserPassword", "only-for-the-demo-1");
    if (Result<Unit> done = Rds(region, "CreateDBCluster", parameters); !done) return done;
    const Result<Unit> instance = Rds(region, "CreateDBInstance",
                                      {{"DBInstanceIdentifier", cluster + "-a"},
                                       {"DBClusterIdentifier", cluster},
                                       {"Engine", "aurora-postgresql"},
                                       {"DBInstanceClass", "db.r6g.large"}});
    if (!instance) return instance;
    const Result<aws::rds::DbCluster> seen = Wait(aws::rds::DescribeDbCluster(*client_, region, cluster, kCall));
    if (!seen) return seen.error();
    members_[region] = seen->arn;
    say(seen->arn + ", " + seen->engine + " " + seen->engine_version + ", " + seen->status + ", writer endpoint " +
        writers_[region] + ":" + std::to_string(sql_port_));
  }
  return Done();
}

std::string AwsStage::BucketOf(const std::string& region) const { return options_.global_cluster + "-marker-" + region; }

Result<Unit> AwsStage::MakeBucket(const std::string& region) {
  aws::Call call;
  call.service = "s3";
  call.region = region;
  call.operation = "CreateBucket";
  call.method = "PUT";
  call.path = "/" + BucketOf(region);
  call.headers = {{"x-amz-acl", "public-read"}};  // health checks sign nothing
  if (region != "us-east-1") {
    call.body = "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>" + region +
                "</LocationConstraint></CreateBucketConfiguration>";
  }
  const Result<std::string> made = Send(std::move(call));
  if (!made) return made.error();
  return Done();
}

/// An inverted check on the marker of `region`, in that region. @return its id
Result<std::string> AwsStage::MakeCheck(const std::string& region) {
  const Result<std::string> reply =
      Route53("healthcheck", "CreateHealthCheckRequest",
              "<CallerReference>" + RandomHex(8) +
                  "</CallerReference><HealthCheckConfig><Type>HTTPS_STR_MATCH</Type><ResourcePath>/orders-db" +
                  "</ResourcePath><FullyQualifiedDomainName>" + BucketOf(region) + ".s3." + region +
                  ".amazonaws.com</FullyQualifiedDomainName>" +
                  "<SearchString>lifeboat-takes-over</SearchString><RequestInterval>10</RequestInterval>" +
                  "<FailureThreshold>3</FailureThreshold><Inverted>true</Inverted></HealthCheckConfig>");
  if (!reply) return reply.error();
  const auto parsed = aws::ParseXml(*reply, "the health check");
  if (!parsed) return parsed.error();
  return (*parsed)["HealthCheck"]["Id"].text;
}

Result<Unit> AwsStage::MakeName() {
  for (const std::string& region : {options_.writer, options_.reader}) {
    if (Result<Unit> made = MakeBucket(region); !made) return made;
  }
  const Result<std::string> reply =
      Route53("hostedzone", "CreateHostedZoneRequest",
              "<Name>" + std::string(kDnsZone) + "</Name><CallerReference>" + RandomHex(8) + "</CallerReference>");
  if (!reply) return reply.error();
  const auto parsed = aws::ParseXml(*reply, "the zone");
  if (!parsed) return parsed.error();
  const std::string id = (*parsed)["HostedZone"]["Id"].text;
  zone_ = id.substr(id.rfind('/') + 1);
  // Each record is healthy while the other region has not taken over.
  const Result<std::string> first = MakeCheck(options_.reader);
  if (!first) return first.error();
  const Result<std::string> second = MakeCheck(options_.writer);
  if (!second) return second.error();
  const Result<std::string> changed =
      Route53("hostedzone/" + zone_ + "/rrset/", "ChangeResourceRecordSetsRequest",
              "<ChangeBatch><Changes>" + FailoverRecord("PRIMARY", writers_[options_.writer], *first) +
                  FailoverRecord("SECONDARY", writers_[options_.reader], *second) + "</Changes></ChangeBatch>");
  if (!changed) return changed.error();
  return Done();
}

Result<Unit> AwsStage::AwaitName(const Patience& patience) {
  const Instant deadline = ReadClocks() + kServes;
  while (true) {
    const Result<ResolvedAddress> answer = ResolveAt(dns_, kDnsName, 500ms);
    if (answer.ok() && answer->address == writers_[options_.writer]) return Done();
    const std::string seen = answer.ok() ? "the name leads to " + answer->address : answer.error().message;
    if (!patience(seen)) return Fail("interrupted");
    if (HasPassed(deadline, ReadClocks())) return RetryLater("the name does not lead to '" + options_.writer + "': " + seen);
    std::this_thread::sleep_for(20ms);
  }
}

Result<Unit> AwsStage::AwaitWriter(const std::string& region, Duration timeout, const Patience& patience) {
  const Instant deadline = ReadClocks() + timeout;
  while (true) {
    const Result<Json> state = Databases();
    std::string seen = state.ok() ? "the database's writer is in '" + TextAt(*state, "writer") + "'" : state.error().message;
    if (state.ok() && TextAt(*state, "writer") == region) {
      bool streams = true;
      for (const auto& [name, its] : MemberAt(*state, "regions").items()) {
        if (name == region || MemberAt(its, "lag_msec").is_number()) continue;
        streams = false;
        seen = "the copy in '" + name + "' does not stream yet";
      }
      if (streams) return Done();
    }
    if (state.ok() && !TextAt(*state, "problem").empty()) seen += " (" + TextAt(*state, "problem") + ")";
    if (!patience(seen)) return Fail("interrupted");
    if (HasPassed(deadline, ReadClocks())) return RetryLater("after " + FormatDuration(timeout) + ", " + seen);
    std::this_thread::sleep_for(50ms);
  }
}

// ---- what happens to it ----

Result<Json> AwsStage::Control(std::uint16_t port, const char* method, const std::string& path, const Json& body,
                               Duration timeout) {
  HttpClient http(io_.get_executor(), {});
  HttpRequest request;
  request.method = method;
  request.url = Local(port) + path;
  if (!body.is_null()) request.body = body.dump();
  const Result<HttpResponse> response = Wait(http.Send(std::move(request), timeout));
  if (!response) return response.error();
  if (response->status != 200)
    return Fail("'" + path + "' is answered with " + std::to_string(response->status) + ": " + response->body);
  return ParseJson(response->body, path);
}

Result<Json> AwsStage::Databases() { return Control(databases_control_, "GET", "/state", nullptr, 10s); }

Result<KillReport> AwsStage::Lose(const std::string& region) {
  const Result<Json> silent = Control(road_control_, "PUT", "/faults", Json::array({{{"do", "silent"}, {"region", region}}}), 10s);
  if (!silent) return silent.error();
  const Result<Json> lost = Control(databases_control_, "PUT", "/lose", Json{{"region", region}}, kOrder);
  if (!lost) return lost.error();
  KillReport report;
  report.monotonic_ns = SignedAt(*lost, "monotonic_ns");
  report.wall_ns = SignedAt(*lost, "at_ns");
  report.killed.resize(NumberAt(*lost, "processes"));
  return report;
}

Result<Unit> AwsStage::Return(const std::string& region) {
  const Result<Json> healed = Control(road_control_, "PUT", "/faults", Json::array(), 10s);
  if (!healed) return healed.error();
  const Result<Json> back = Control(databases_control_, "PUT", "/return", Json{{"region", region}}, kOrder);
  if (!back) return back.error();
  return Done();
}

std::uint64_t AwsStage::HeldIn(const std::string& region) {
  const Result<Json> counts = Control(road_control_, "GET", "/counts", nullptr, 10s);
  return counts.ok() ? NumberAt(MemberAt(*counts, region.c_str()), "held") : 0;
}

std::vector<pid_t> AwsStage::Leave() {
  std::vector<pid_t> pids = {databases_->Leave()};
  for (const auto& process : processes_) pids.push_back(process->Leave());
  return pids;
}

// ---- who uses it ----

std::string AwsStage::AgentSettings() const {
  const auto quoted = [](const std::string& text) { return "\"" + text + "\""; };
  std::ostringstream out;
  out << "  traffic:\n    kind: standby-takes-over\n    zone: " << zone_ << "\n    name: " << kDnsName
      << "\n    type: A\n    name_servers: [\"" << dns_.Text() << "\"]\n    targets:\n";
  for (const auto& [region, address] : writers_) out << "      " << region << ": " << quoted(address) << "\n";
  out << "    markers:\n";
  for (const auto& [region, address] : writers_)
    out << "      " << region << ": " << quoted("s3://" + BucketOf(region) + "/orders-db") << "\n";
  out << "  sql:\n    user: lifeboat\n    database: " << kDatabase
      << "\n    password_file: " << (options_.folder / "secrets" / "pgpass").string() << "\n    root_cert: " << tls_root_
      << "\n    sslmode: verify-full\n";
  for (const auto& [key, addresses] : {std::pair{"writers", &writers_}, std::pair{"readers", &readers_}}) {
    out << "    " << key << ":\n";
    for (const auto& [region, address] : *addresses)
      out << "      " << region << ": " << quoted(address + ":" + std::to_string(sql_port_)) << "\n";
  }
  return out.str();
}

LabInfo AwsStage::World(const LabInfo& agents) const {
  LabInfo world = agents;
  world.dns = dns_;
  world.postgres_port = sql_port_;
  for (LabRegion& region : world.regions) {
    if (const auto found = writers_.find(region.name.text); found != writers_.end()) region.address = found->second;
  }
  return world;
}

std::string AwsStage::WriterConninfo(const LabInfo& world, const std::string& region) const {
  // What stands last counts.
  return world.Conninfo(region, kClientUser) + " host=" + world.Find(region)->address +
         " sslmode=verify-full sslrootcert=" + QuoteConninfo(tls_root_);
}

std::string AwsStage::ReaderConninfo(const LabInfo& world, const std::string& region) const {
  const std::string& address = readers_.at(region);
  return WriterConninfo(world, region) + " hostaddr=" + address + " host=" + address;
}

}  // namespace lifeboat::lab
