#include "support/real_etcd.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "base/json.h"
#include "support/run_task.h"

namespace lifeboat::testing {

namespace {

constexpr auto kPatience = std::chrono::seconds(20);

/// Ports that are free at this moment, all different.
std::vector<std::uint16_t> FreePorts(std::size_t count) {
  std::vector<int> sockets;
  std::vector<std::uint16_t> ports;
  for (std::size_t port = 0; port < count; ++port) {
    sockets.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ::bind(sockets.back(), reinterpret_cast<const sockaddr*>(&address), size);
    ::getsockname(sockets.back(), reinterpret_cast<sockaddr*>(&address), &size);
    ports.push_back(ntohs(address.sin_port));
  }
  for (const int socket : sockets) ::close(socket);
  return ports;
}

std::string Quoted(const std::string& text) { return "'" + text + "'"; }

template <typename Holds>
bool Until(const Holds& holds) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

Json Post(const std::string& url, const HttpTls& tls, const std::string& body) {
  boost::asio::io_context context(1);
  HttpOptions options;
  options.tls = tls;
  HttpClient http(context.get_executor(), options);
  HttpRequest request;
  request.method = "POST";
  request.url = url;
  request.body = body;
  const Result<HttpResponse> response = Await(context, http.Send(std::move(request), std::chrono::seconds(1)));
  if (!response || response->status != 200) return {};
  const Result<Json> json = ParseJson(response->body, "etcd's status");
  return json ? *json : Json();
}

}  // namespace

RealEtcd::RealEtcd(EtcdSetup setup)
    : RealEtcd(std::move(setup), InFolder{std::filesystem::temp_directory_path() / ("lifeboat-etcd-" + RandomHex(8))}) {
  std::filesystem::create_directory(folder_);
  std::filesystem::permissions(folder_, std::filesystem::perms::owner_all);
  const std::vector<std::uint16_t> ports = FreePorts(2 * static_cast<std::size_t>(setup_.members));
  for (std::size_t member = 0; member < static_cast<std::size_t>(setup_.members); ++member) {
    const std::string name = "member-" + std::to_string(member);
    members_.push_back({name, folder_ / name, {"127.0.0.1", ports[2 * member]}, {"127.0.0.1", ports[2 * member + 1]}});
  }
  pids_.assign(members_.size(), -1);
  if (setup_.tls) {
    auto made = lab::MakeEtcdCertificates(folder_, {"127.0.0.1"}, std::nullopt);
    if (!made) throw std::runtime_error(made.error().Text());
    certificates_ = *made;
  }
  for (std::size_t member = 0; member < members_.size(); ++member) Spawn(member);
  for (std::size_t member = 0; member < members_.size(); ++member) AwaitServing(member);
  if (setup_.service.empty()) return;
  const lab::EtcdLogin login{kUser, Secret(kPassword), setup_.service};
  const auto enabled = lab::EnableEtcdLogin(Endpoints(), Tls(), login, Secret(kPassword), kPatience);
  if (!enabled) throw std::runtime_error(enabled.error().Text());
}

RealEtcd::~RealEtcd() {
  for (std::size_t member = 0; member < members_.size(); ++member) Kill(member);
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void RealEtcd::Spawn(std::size_t member) {
  std::vector<std::string> argv = lab::EtcdCommand(members_[member], members_, certificates_);
  if (setup_.client_certificates) argv.insert(argv.end(), {"--trusted-ca-file", certificates_->ca.string()});
  argv.insert(argv.end(), setup_.flags.begin(), setup_.flags.end());
  std::vector<char*> words;
  for (std::string& word : argv) words.push_back(word.data());
  words.push_back(nullptr);
  const std::string log = (folder_ / (members_[member].name + ".log")).string();
  const pid_t parent = ::getpid();
  pids_[member] = ::fork();
  if (pids_[member] < 0) throw std::runtime_error("cannot fork");
  if (pids_[member] > 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(out, STDERR_FILENO);
  ::execv(words[0], words.data());
  ::_exit(127);
}

bool RealEtcd::Serves(std::size_t member) const {
  const Json status = Post(Endpoints()[member] + "/v3/maintenance/status", Tls(), "{}");
  return !TextAt(status, "leader").empty() && TextAt(status, "leader") != "0";
}

void RealEtcd::AwaitServing(std::size_t member) const {
  if (!Until([&] { return Serves(member); })) throw std::runtime_error("etcd does not serve:\n" + Log(member));
}

void RealEtcd::Start(std::size_t member) {
  Spawn(member);
  AwaitServing(member);
}

void RealEtcd::End(std::size_t member, int signal) {
  if (pids_[member] < 0) return;
  ::kill(pids_[member], SIGCONT);
  ::kill(pids_[member], signal);
  ::waitpid(pids_[member], nullptr, 0);
  pids_[member] = -1;
}

void RealEtcd::Kill(std::size_t member) { End(member, SIGKILL); }
void RealEtcd::Freeze(std::size_t member) {
  ::kill(pids_[member], SIGSTOP);
  ::waitpid(pids_[member], nullptr, WUNTRACED);  // until every thread of it has stopped
}
void RealEtcd::Thaw(std::size_t member) { ::kill(pids_[member], SIGCONT); }

std::vector<std::string> RealEtcd::Endpoints() const {
  std::vector<std::string> endpoints;
  for (const lab::EtcdMember& member : members_) endpoints.push_back(lab::EtcdUrl(member.client, setup_.tls));
  return endpoints;
}

HttpTls RealEtcd::Tls() const {
  HttpTls tls;
  if (!certificates_) return tls;
  tls.ca_file = certificates_->ca.string();
  if (setup_.client_certificates) {
    tls.certificate_file = certificates_->certificate.string();
    tls.key_file = certificates_->key.string();
  }
  return tls;
}

std::size_t RealEtcd::Leader() const {
  std::optional<std::size_t> leader;
  const auto found = [&] {
    for (std::size_t member = 0; member < members_.size(); ++member) {
      if (pids_[member] < 0) continue;
      const Json status = Post(Endpoints()[member] + "/v3/maintenance/status", Tls(), "{}");
      if (!TextAt(status, "leader").empty() && TextAt(status, "leader") == TextAt(MemberAt(status, "header"), "member_id"))
        leader = member;
    }
    return leader.has_value();
  };
  if (!Until(found)) throw std::runtime_error("etcd has no leader");
  return *leader;
}

std::string RealEtcd::Ctl(const std::string& arguments) const {
  std::string command = "cd " + Quoted(folder_.string()) + " && ETCDCTL_API=3 etcdctl --endpoints " + Endpoints().front();
  if (certificates_) command += " --cacert " + Quoted(certificates_->ca.string());
  if (setup_.client_certificates) {
    command += " --cert " + Quoted(certificates_->certificate.string()) + " --key " + Quoted(certificates_->key.string());
  }
  if (!setup_.service.empty()) command += " --user " + Quoted(std::string("root:") + kPassword);
  command += " " + arguments + " 2>&1";
  FILE* pipe = ::popen(command.c_str(), "re");
  if (pipe == nullptr) throw std::runtime_error("cannot run etcdctl");
  std::string out;
  std::array<char, 4096> part{};
  for (std::size_t size = 0; (size = ::fread(part.data(), 1, part.size(), pipe)) > 0;) out.append(part.data(), size);
  if (::pclose(pipe) != 0) throw std::runtime_error("etcdctl " + arguments + ": " + out);
  return out;
}

void RealEtcd::ForgetTokens() {
  Ctl("auth disable");
  if (Post(Endpoints().front() + "/v3/auth/enable", Tls(), "{}").is_null())
    throw std::runtime_error("authentication is not on again");
}

void RealEtcd::Save(const std::string& file) const { Ctl("snapshot save " + Quoted(file)); }

void RealEtcd::Restore(const std::string& file, const std::string& token) {
  std::string cluster;
  for (const lab::EtcdMember& member : members_) {
    cluster += (cluster.empty() ? "" : ",") + member.name + "=" + lab::EtcdUrl(member.peer, setup_.tls);
  }
  for (std::size_t member = 0; member < members_.size(); ++member) Kill(member);
  for (const lab::EtcdMember& member : members_) {
    std::filesystem::remove_all(member.data);
    Ctl("snapshot restore " + Quoted(file) + " --name " + member.name + " --data-dir " + Quoted(member.data.string()) +
        " --initial-cluster " + cluster + " --initial-cluster-token " + token + " --initial-advertise-peer-urls " +
        lab::EtcdUrl(member.peer, setup_.tls));
  }
  for (std::size_t member = 0; member < members_.size(); ++member) Spawn(member);
  for (std::size_t member = 0; member < members_.size(); ++member) AwaitServing(member);
}

std::string RealEtcd::Log(std::size_t member) const {
  std::ifstream in(folder_ / (members_[member].name + ".log"));
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

}  // namespace lifeboat::testing
