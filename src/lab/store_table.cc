#include "lab/store_table.h"

#include <algorithm>
#include <cstdlib>

#include "adapters/aws/client.h"
#include "adapters/aws/protocol.h"
#include "adapters/http/http_client.h"
#include "adapters/system/clock.h"
#include "adapters/system/files.h"
#include "base/drive.h"
#include "base/json.h"
#include "base/spawn.h"
#include "lab/aws_agents.h"
#include "lab/tools.h"

namespace lifeboat::lab {

namespace fs = std::filesystem;

namespace {

constexpr Duration kCall = 20s;
constexpr Duration kOrder = 5s;
constexpr const char* kMadeUpKey = "AKIALIFEBOATLAB00000";
constexpr const char* kMadeUpSecret = "a secret of the lab/0123456789abcdefghijk";
constexpr const char* kUsual = "us-east-1";
constexpr const char* kOther = "us-west-2";

fs::path FolderOf(const LabInfo& lab) { return lab.folder / "dynamodb"; }
fs::path CredentialsOf(const LabInfo& lab) { return lab.folder / "secrets" / "aws"; }
fs::path SilentOf(const LabInfo& lab) { return FolderOf(lab) / "silent.json"; }
std::string Local(std::uint16_t port) { return "http://127.0.0.1:" + std::to_string(port); }

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
    DriveUntil(io_, [&] { return answer.has_value(); });
    return *std::move(answer);
  }
  [[nodiscard]] boost::asio::any_io_executor executor() { return io_.get_executor(); }

 private:
  boost::asio::io_context io_{1};
};

struct Keys {
  std::string id = kMadeUpKey;
  std::string secret = kMadeUpSecret;
  std::string token;
};

std::string FromEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// Nobody weighs the signature of the lab's own emulator; who stands behind an endpoint that was given may.
Keys KeysFor(const LabTable& table) {
  Keys keys;
  if (table.control != 0 || FromEnvironment("AWS_ACCESS_KEY_ID").empty()) return keys;
  return {FromEnvironment("AWS_ACCESS_KEY_ID"), FromEnvironment("AWS_SECRET_ACCESS_KEY"), FromEnvironment("AWS_SESSION_TOKEN")};
}

Result<Json> AskTable(const LabTable& table, const std::string& operation, const Json& body, Duration timeout) {
  Loop loop;
  SystemClock clock;
  const Keys keys = KeysFor(table);
  aws::Credentials credentials;
  credentials.access_key_id = keys.id;
  credentials.secret_key = Secret(keys.secret);
  if (!keys.token.empty()) credentials.session_token = Secret(keys.token);
  aws::ClientOptions options;
  options.endpoints.set["*"] = table.endpoint;
  aws::ClientDoors doors{clock, aws::OpenTransport(loop.executor(), {}), aws::DiceOfTheSystem(), Log()};
  aws::Client client(std::make_shared<aws::FixedCredentials>(std::move(credentials)), std::move(options), std::move(doors));
  // Of the lab, not of an agent: no agent makes or removes a table.
  aws::Call call = aws::JsonCall(aws::JsonService{"dynamodb", "DynamoDB_20120810", "1.0"}, table.regions.front(), operation, body,
                                 aws::Effect::kOnce);
  const Result<aws::Reply> reply = loop.Wait(client.Send(std::move(call), timeout));
  if (!reply) return reply.error();
  return ParseJson(reply->body.empty() ? "{}" : reply->body, operation);
}

Result<Unit> Order(std::uint16_t control, const std::string& path, const Json& body) {
  Loop loop;
  HttpClient http(loop.executor(), {});
  HttpRequest request;
  request.method = "PUT";
  request.url = Local(control) + path;
  request.body = body.dump();
  const Result<HttpResponse> response = loop.Wait(http.Send(std::move(request), kOrder));
  if (!response) return response.error().Within("the road to the lab's DynamoDB");
  if (response->status != 200) return Fail("the road to the lab's DynamoDB answers " + std::to_string(response->status));
  return Done();
}

/// The checkout that this program was built in: the emulator is a part of its tests.
Result<fs::path> FindCheckout() {
  std::error_code problem;
  for (fs::path at = fs::read_symlink("/proc/self/exe", problem).parent_path(); !at.empty(); at = at.parent_path()) {
    if (fs::exists(at / "tests/aws/emulator.py", problem)) return at;
    if (at == at.root_path()) break;
  }
  return Fail("no emulator of DynamoDB is beside this program", "run it from a checkout, or name a DynamoDB: --store-endpoint URL");
}

/// The emulator and the road to it, of two regions.
Result<Unit> StartEmulator(const LabInfo& lab, LabTable& table, const Patience& patience) {
  const Result<fs::path> checkout = FindCheckout();
  if (!checkout) return checkout.error();
  const Result<std::string> venv = RunTool({(*checkout / "scripts/aws-venv.sh").string()}, checkout->string(), std::nullopt, 15min);
  if (!venv) return venv.error().Within("the emulator's Python environment cannot be made");
  const std::string python = (*checkout / "build/aws-venv/bin/python").string();
  const auto begin = [&](std::vector<std::string> argv, const char* log) {
    argv[0] = (*checkout / "tests/aws" / argv[0]).string();
    argv.insert(argv.begin(), {python, "-B"});
    return OwnProcess::Begin(std::move(argv), {{"TMPDIR", FolderOf(lab).string()}}, FolderOf(lab) / log);
  };
  const auto emulator = begin({"emulator.py", "ministack"}, "emulator.log");
  if (!emulator) return emulator.error();
  const auto ports = (*emulator)->Ports(patience);
  if (!ports) return ports.error();
  const auto road = begin({"proxy.py", Local(ports->front()), "/dev/null"}, "road.log");
  if (!road) return road.error();
  const auto of_road = (*road)->Ports(patience);
  if (!of_road) return of_road.error();
  if (of_road->size() < 2) return Fail("the road to the lab's DynamoDB has no control");
  table.endpoint = Local(of_road->at(0));
  table.control = of_road->at(1);
  table.regions = {kUsual, kOther};
  if (auto told = Order(table.control, "/global_table", {{"regions", table.regions}, {"stored_in", kUsual}}); !told) return told;
  // They are found by their folder from now on, and end with the lab.
  (void)(*emulator)->Leave();
  (void)(*road)->Leave();
  return Done();
}

Result<Unit> WriteCredentials(const LabInfo& lab, const std::optional<RunAs>& owner) {
  const Keys keys = KeysFor(*lab.table);
  const std::string text = "[default]\naws_access_key_id = " + keys.id + "\naws_secret_access_key = " + keys.secret + "\n" +
                           (keys.token.empty() ? "" : "aws_session_token = " + keys.token + "\n");
  return WriteOwned(CredentialsOf(lab), text, 0600, owner);
}

}  // namespace

Result<Unit> MakeStoreTable(LabInfo& lab, const std::optional<RunAs>& owner, const Patience& patience) {
  LabTable table;
  table.name = "lifeboat-lab-" + RandomHex(6);
  table.endpoint = lab.knobs.store_endpoint;
  table.regions = lab.knobs.store_regions;
  if (table.regions.empty()) table.regions = {kUsual};
  // Of whoever runs this: the checkout may be unreadable to the lab's owner.
  if (auto made = MakeOwnedFolder(FolderOf(lab), 0755, std::nullopt); !made) return made;
  if (table.endpoint.empty()) {
    if (auto started = StartEmulator(lab, table, patience); !started) return started;
  }
  const auto attribute = [](const char* name, const char* key, const char* value) {
    return Json{{"AttributeName", name}, {key, value}};
  };
  const Json wanted = {
      {"TableName", table.name},
      {"BillingMode", "PAY_PER_REQUEST"},
      {"KeySchema", {attribute("service", "KeyType", "HASH"), attribute("item", "KeyType", "RANGE")}},
      {"AttributeDefinitions", {attribute("service", "AttributeType", "S"), attribute("item", "AttributeType", "S")}}};
  const Result<Json> made = AskTable(table, "CreateTable", wanted, kCall);
  if (!made) return made.error().Within("the lab's table cannot be made at '" + table.endpoint + "'");
  lab.table = std::move(table);
  return WriteCredentials(lab, owner);
}

std::map<std::string, std::string> StoreTableEnvironment(const LabInfo& lab) {
  if (!lab.table) return {};
  return {{"AWS_ENDPOINT_URL_DYNAMODB", lab.table->endpoint},
          {"AWS_SHARED_CREDENTIALS_FILE", CredentialsOf(lab).string()},
          {"AWS_CONFIG_FILE", "/dev/null"},
          {"AWS_REGION", lab.table->regions.front()}};
}

std::string StoreTableConfig(const LabInfo& lab) {
  std::string text =
      "# Its endpoint and credentials stand in the environment that the lab's supervisor gives the agents.\nstore:\n  kind: "
      "dynamodb\n  table: " +
      lab.table->name + "\n  aws_regions:\n";
  for (const std::string& region : lab.table->regions) text += "    - " + region + "\n";
  return text;
}

bool HasStoreTableIn(const LabInfo& lab, const std::string& region) {
  return lab.table && lab.table->control != 0 &&
         std::find(lab.table->regions.begin(), lab.table->regions.end(), region) != lab.table->regions.end();
}

std::vector<std::string> SilentStoreTables(const LabInfo& lab) {
  std::vector<std::string> silent;
  const auto text = ReadSmallFile(SilentOf(lab).string());
  const auto json = text ? ParseJson(*text, "silent.json") : Result<Json>(Json::array());
  if (!json) return silent;
  for (const Json& region : *json) {
    if (region.is_string()) silent.push_back(region.get<std::string>());
  }
  return silent;
}

Result<Unit> SilenceStoreTables(const LabInfo& lab, const std::vector<std::string>& regions) {
  if (!lab.table || lab.table->control == 0) return Done();
  Json faults = Json::array();
  Json names = Json::array();
  for (const std::string& region : regions) {
    if (!HasStoreTableIn(lab, region)) continue;
    faults.push_back({{"do", "silent"}, {"service", "dynamodb"}, {"region", region}});
    names.push_back(region);
  }
  if (auto told = Order(lab.table->control, "/faults", faults); !told) return told;
  return WriteOwned(SilentOf(lab), names.dump() + "\n", 0644, std::nullopt);
}

void RemoveStoreTable(const LabInfo& lab) {
  if (!lab.table || lab.table->control != 0) return;
  (void)AskTable(*lab.table, "DeleteTable", {{"TableName", lab.table->name}}, kOrder);
}

}  // namespace lifeboat::lab
