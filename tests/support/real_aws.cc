#include "support/real_aws.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>

#include "adapters/http/http_client.h"
#include "support/run_task.h"

namespace lifeboat::testing {

namespace {

constexpr auto kPatience = std::chrono::seconds(60);
constexpr std::streamoff kMostLog = 16 << 10;

std::filesystem::path Python() {
  std::filesystem::path python = std::filesystem::path(LIFEBOAT_SOURCE) / "build/aws-venv/bin/python";
  if (!std::filesystem::exists(python)) {
    throw std::runtime_error("there is no Python environment of the AWS tests at '" + python.string() +
                             "': run scripts/aws-venv.sh, whose words say what is missing");
  }
  return python;
}

std::filesystem::path NewFolder() {
  std::filesystem::path folder = std::filesystem::temp_directory_path() / ("lifeboat-aws-" + RandomHex(8));
  std::filesystem::create_directory(folder);
  return folder;
}

}  // namespace

void PrintLogOfFailure(const std::string& what, const std::string& log) {
  const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
  if (test != nullptr && test->result()->Failed()) std::fprintf(stderr, "---- log of %s\n%s\n----\n", what.c_str(), log.c_str());
}

std::string AwsScript(const std::string& name) { return (std::filesystem::path(LIFEBOAT_SOURCE) / "tests/aws" / name).string(); }

Json AwsControl(const AwsProgram& program, std::size_t which, const std::string& method, const std::string& path,
                const std::string& body) {
  boost::asio::io_context context(1);
  HttpClient http(context.get_executor(), {});
  HttpRequest request;
  request.method = method;
  request.url = "http://127.0.0.1:" + std::to_string(program.port(which)) + path;
  request.body = body;
  const Result<HttpResponse> response = Await(context, http.Send(std::move(request), kPatience));
  if (!response || response->status != 200)
    throw std::runtime_error("a program of the AWS tests does not answer:\n" + program.Log());
  const Result<Json> json = ParseJson(response->body, path);
  if (!json) throw std::runtime_error(json.error().Text());
  return *json;
}

const char* NameOf(AwsEmulator emulator) { return emulator == AwsEmulator::kMinistack ? "ministack" : "moto"; }

// ---- a program ----

AwsProgram::AwsProgram(std::vector<std::string> arguments) : folder_(NewFolder()) {
  try {
    arguments.insert(arguments.begin(), Python().string());
    Spawn(arguments);
    AwaitPorts();
  } catch (...) {
    Kill();
    std::filesystem::remove_all(folder_);
    throw;
  }
}

AwsProgram::~AwsProgram() {
  Kill();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void AwsProgram::Spawn(const std::vector<std::string>& arguments) {
  std::vector<char*> words;
  for (const std::string& word : arguments) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) throw std::runtime_error("cannot make a pipe");
  const std::string log = (folder_ / "log").string();
  const std::string temporary = "TMPDIR=" + folder_.string();
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    const int err = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(pipe[1], STDOUT_FILENO);
    ::dup2(err, STDERR_FILENO);
    ::putenv(const_cast<char*>(temporary.c_str()));  // whatever it writes goes with the folder
    ::execv(words[0], words.data());
    ::_exit(127);
  }
  ::close(pipe[1]);
  out_ = pipe[0];
  if (pid_ < 0) throw std::runtime_error("cannot fork");
}

void AwsProgram::AwaitPorts() {
  std::string line;
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!line.ends_with('\n')) {
    pollfd ready{out_, POLLIN, 0};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
    char byte = 0;
    if (left <= 0 || ::poll(&ready, 1, static_cast<int>(left)) <= 0 || ::read(out_, &byte, 1) != 1) {
      throw std::runtime_error("an AWS emulator or its road does not serve:\n" + Log());
    }
    line += byte;
  }
  std::istringstream words(line);
  for (std::uint16_t port = 0; words >> port;) ports_.push_back(port);
}

std::string AwsProgram::Log() const {
  std::ifstream in(folder_ / "log", std::ios::ate);
  if (!in) return "(it has said nothing)";
  in.seekg(std::max<std::streamoff>(0, in.tellg() - kMostLog));
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

void AwsProgram::Freeze() {
  ::kill(pid_, SIGSTOP);
  ::waitpid(pid_, nullptr, WUNTRACED);
}
void AwsProgram::Thaw() { ::kill(pid_, SIGCONT); }

void AwsProgram::Kill() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  if (out_ >= 0) ::close(out_);
  pid_ = out_ = -1;
}

// ---- an emulator ----

RealAws::RealAws(AwsEmulator emulator) : emulator_(emulator), program_({AwsScript("emulator.py"), NameOf(emulator)}) {}
RealAws::~RealAws() { PrintLogOfFailure(NameOf(emulator_), program_.Log()); }
std::string RealAws::Url() const { return "http://127.0.0.1:" + std::to_string(program_.port()); }

RealAws& SharedAws(AwsEmulator emulator) {
  static std::map<AwsEmulator, std::unique_ptr<RealAws>> running;
  std::unique_ptr<RealAws>& aws = running[emulator];
  if (!aws) aws = std::make_unique<RealAws>(emulator);
  return *aws;
}

// ---- the road to it ----

namespace {

std::string Upstreams(std::string url, const std::map<std::string, std::string>& others) {
  for (const auto& [service, other] : others) url += "," + service + "=" + other;
  return url;
}

std::vector<std::string> RoadArguments(const std::string& url, const std::filesystem::path& folder, const RoadTls& tls) {
  std::vector<std::string> arguments = {AwsScript("proxy.py"), url, (folder / "requests.jsonl").string()};
  if (!tls.certificate.empty()) arguments.insert(arguments.end(), {tls.certificate, tls.key});
  return arguments;
}

}  // namespace

AwsRoad::AwsRoad(const RealAws& aws, const RoadTls& tls, const std::map<std::string, std::string>& others)
    : folder_(NewFolder()), tls_(!tls.certificate.empty()), program_(RoadArguments(Upstreams(aws.Url(), others), folder_, tls)) {}

AwsRoad::~AwsRoad() {
  PrintLogOfFailure("the road to AWS", program_.Log());
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

std::string AwsRoad::Url() const { return (tls_ ? "https://localhost:" : "http://127.0.0.1:") + std::to_string(program_.port(0)); }

void AwsRoad::Faults(const Json& faults) { AwsControl(program_, 1, "PUT", "/faults", faults.dump()); }
void AwsRoad::Reset() { AwsControl(program_, 1, "PUT", "/reset", "{}"); }
void AwsRoad::ShiftClock(int seconds) { AwsControl(program_, 1, "PUT", "/clock", Json{{"shift", seconds}}.dump()); }
void AwsRoad::MakeGlobal(const std::vector<std::string>& regions) {
  AwsControl(program_, 1, "PUT", "/global_table", Json{{"regions", regions}, {"stored_in", regions.at(0)}}.dump());
}
Json AwsRoad::Requests() const { return AwsControl(program_, 1, "GET", "/requests", ""); }

std::size_t AwsRoad::CountOf(const std::string& service, const std::string& operation) const {
  std::size_t count = 0;
  for (const Json& request : Requests()) {
    count += TextAt(request, "service") == service && TextAt(request, "operation") == operation ? 1 : 0;
  }
  return count;
}

std::size_t AwsRoad::HeldIn(const std::string& region) const {
  const Json counts = AwsControl(program_, 1, "GET", "/counts", "");
  return static_cast<std::size_t>(NumberAt(MemberAt(counts, region.c_str()), "held"));
}

std::string AwsRoad::Invalid() const {
  const std::string command = "'" + Python().string() + "' '" + AwsScript("validate_requests.py") + "' '" +
                              (folder_ / "requests.jsonl").string() + "' --secret '" + kAwsAccessKey + "=" + kAwsSecretKey +
                              "' 2>&1";
  FILE* pipe = ::popen(command.c_str(), "re");
  if (pipe == nullptr) throw std::runtime_error("cannot run the check of recorded requests");
  std::string out;
  std::array<char, 4096> part{};
  for (std::size_t size = 0; (size = ::fread(part.data(), 1, part.size(), pipe)) > 0;) out.append(part.data(), size);
  return ::pclose(pipe) == 0 ? std::string() : out;
}

}  // namespace lifeboat::testing
