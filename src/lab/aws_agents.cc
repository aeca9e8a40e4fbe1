#include "lab/aws_agents.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <thread>

#include "adapters/system/command.h"
#include "adapters/system/files.h"
#include "adapters/system/processes.h"

namespace lifeboat::lab {

namespace {

/// 0: that port is taken.
std::uint16_t Bind(int type, std::uint16_t port) {
  const int socket = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool bound = socket >= 0 && ::bind(socket, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                     ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  if (socket >= 0) (void)::close(socket);
  return bound ? ntohs(address.sin_port) : 0;
}

}  // namespace

Result<std::uint16_t> FreePort() {
  for (int attempt = 0; attempt < 100; ++attempt) {
    const std::uint16_t port = Bind(SOCK_STREAM, 0);
    if (port != 0 && Bind(SOCK_DGRAM, port) == port) return port;
  }
  return Fail("there is no free port on 127.0.0.1");
}

Result<std::unique_ptr<OwnProcess>> OwnProcess::Begin(std::vector<std::string> argv, std::map<std::string, std::string> environment,
                                                      const std::filesystem::path& log) {
  const Result<pid_t> pid = SpawnDetached(std::move(argv), log.parent_path().string(), std::move(environment), log.string());
  if (!pid) return pid.error();
  return std::unique_ptr<OwnProcess>(new OwnProcess(*pid, log));
}

void OwnProcess::End() {
  if (pid_ > 0) (void)::kill(pid_, SIGKILL);
  const Instant deadline = ReadClocks() + 5s;  // until it can write nothing any more
  while (pid_ > 0 && IsAlive(pid_) && !HasPassed(deadline, ReadClocks())) std::this_thread::sleep_for(1ms);
  pid_ = -1;
}

void OwnProcess::EndKindly(Duration patience) {
  if (pid_ > 0) (void)::kill(pid_, SIGTERM);
  const Instant deadline = ReadClocks() + patience;
  while (pid_ > 0 && IsAlive(pid_) && !HasPassed(deadline, ReadClocks())) std::this_thread::sleep_for(10ms);
  End();
}

std::optional<std::string> OwnProcess::EndedWith() const {
  if (pid_ > 0 && IsAlive(pid_)) return std::nullopt;
  std::ifstream in(log_);
  std::string line;
  std::getline(in, line);
  return line;
}

Result<std::vector<std::uint16_t>> OwnProcess::Ports(const Patience& patience) const {
  const Instant deadline = ReadClocks() + 60s;
  while (!HasPassed(deadline, ReadClocks())) {
    std::ifstream in(log_);
    std::string line;
    if (std::getline(in, line) && !in.eof()) {
      std::istringstream words(line);
      std::vector<std::uint16_t> ports;
      for (std::uint16_t port = 0; words >> port;) ports.push_back(port);
      if (ports.empty()) return Fail("'" + log_.string() + "' begins with '" + line + "'");
      return ports;
    }
    if (!patience("a part of the emulator does not serve yet")) return Fail("interrupted");
    std::this_thread::sleep_for(50ms);
  }
  return RetryLater("a part of the emulator does not serve: see '" + log_.string() + "'");
}

std::string AwsAgents::ConfigText() const {
  std::ostringstream out;
  out << "service: orders\nobjectives: {rto: " << Millis(options_.objectives.rto) << "ms, rpo: " << Millis(options_.objectives.rpo)
      << "ms}\n"
      << "policy:\n  automation: act\n  failover_after: " << Millis(options_.failover_after)
      << "ms\n  loss_limit: {time: " << Millis(options_.objectives.rpo) << "ms}\n"
      << "store: {kind: embedded, host: " << options_.witness << "}\nregions:\n";
  for (const LabRegion& region : lab_.regions) {
    out << "  - name: " << region.name.text << "\n    kind: " << ToString(region.kind) << "\n    agent: " << region.address << ":"
        << region.agent_port << "\n    state_directory: " << (options_.folder / region.name.text).string() << "\n";
  }
  out << "aws:\n  database:\n    kind: aurora-global\n    global_cluster: " << options_.global_cluster << "\n    members:\n";
  for (const auto& [region, arn] : options_.members) out << "      " << region << ": \"" << arn << "\"\n";
  out << options_.more << "token_file: " << lab_.TokenFile().string() << "\n";
  return out.str();
}

Result<Unit> AwsAgents::Prepare() {
  std::vector<std::string> names = {options_.witness};
  for (const auto& [region, arn] : options_.members) names.push_back(region);
  for (const std::string& name : names) {
    const Result<std::uint16_t> port = FreePort();
    if (!port) return port.error();
    LabRegion region;
    region.name = RegionName(name);
    region.kind = name == options_.witness ? RegionKind::kWitness : RegionKind::kData;
    region.address = "127.0.0.1";
    region.agent_port = *port;
    lab_.regions.push_back(region);
    if (Result<Unit> made = EnsureDirectory((options_.folder / name).string()); !made) return made;
  }
  lab_.folder = options_.folder;
  if (Result<Unit> made = EnsureDirectory(lab_.TokenFile().parent_path().string()); !made) return made;
  if (Result<Unit> token = WriteFileDurably(lab_.TokenFile().string(), RandomHex(32) + "\n"); !token) return token;
  return WriteFileDurably(lab_.Config().string(), ConfigText());
}

Result<Unit> AwsAgents::Start(const std::string& region) {
  const std::filesystem::path log = options_.folder / (region + ".log");
  auto agent = OwnProcess::Begin(
      {options_.program.string(), "agent", "--region", region, "--config", lab_.Config().string(), "--log", log.string()},
      {{"AWS_ENDPOINT_URL", options_.url},
       {"AWS_ACCESS_KEY_ID", options_.access_key},
       {"AWS_SECRET_ACCESS_KEY", options_.secret_key},
       {"AWS_REGION", region},
       {"LIFEBOAT_AWS_WORD_PATIENCE", "5s"}},  // no emulator has a word about the old writer
      options_.folder / (region + ".out"));
  if (!agent) return agent.error();
  agents_[region] = *std::move(agent);
  return Done();
}

std::vector<pid_t> AwsAgents::Leave() {
  std::vector<pid_t> pids;
  for (auto& [region, agent] : agents_) pids.push_back(agent->Leave());
  return pids;
}

Result<Json> AwsAgents::AwaitHealthy(const std::string& writer, Duration timeout, const Patience& patience) const {
  const Instant deadline = ReadClocks() + timeout;
  while (true) {
    for (const auto& [region, agent] : agents_) {
      if (const auto words = agent->EndedWith()) return Fail("the agent of '" + region + "' has ended: " + *words);
    }
    const Result<Json> status = AskAny(lab_, "status", Json::object(), 2s);
    const bool there = status.ok() && (writer.empty() || TextAt(MemberAt(*status, "lease"), "holder") == writer);
    if (there && TextAt(*status, "verdict") == "healthy") return status;
    const std::string seen = status.ok() ? TextAt(*status, "sentence") : status.error().message;
    if (!patience(seen)) return Fail("interrupted");
    if (HasPassed(deadline, ReadClocks()))
      return RetryLater("the service is not healthy within " + FormatDuration(timeout) + ": " + seen);
    std::this_thread::sleep_for(200ms);
  }
}

}  // namespace lifeboat::lab
