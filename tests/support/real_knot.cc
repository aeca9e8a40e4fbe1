#include "support/real_knot.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <thread>

namespace lifeboat::testing {

namespace {

constexpr const char* kProgram = "/usr/sbin/knotd";

sockaddr_in Loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

class Socket {
 public:
  explicit Socket(int type) : fd_(::socket(AF_INET, type | SOCK_CLOEXEC, 0)) {}
  ~Socket() { ::close(fd_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool Bind(std::uint16_t port) const {
    const sockaddr_in address = Loopback(port);
    return ::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }

 private:
  int fd_;
};

/// A port that is free for UDP and TCP at this moment.
std::uint16_t FreePort() {
  for (int attempt = 0; attempt < 100; ++attempt) {
    const Socket udp(SOCK_DGRAM);
    if (!udp.Bind(0)) continue;
    sockaddr_in address{};
    socklen_t size = sizeof address;
    ::getsockname(udp.get(), reinterpret_cast<sockaddr*>(&address), &size);
    const Socket tcp(SOCK_STREAM);
    if (tcp.Bind(ntohs(address.sin_port))) return ntohs(address.sin_port);
  }
  throw std::runtime_error("no port is free for UDP and TCP");
}

}  // namespace

std::filesystem::path RealKnot::MakeFolder() {
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / ("lifeboat-knot-" + RandomHex(8));
  std::filesystem::create_directory(folder);
  std::filesystem::permissions(folder, std::filesystem::perms::owner_all);
  return folder;
}

KnotSettings RealKnot::MakeSettings(const std::filesystem::path& folder) {
  KnotSettings settings;
  settings.listen = {"127.0.0.1", FreePort()};
  settings.directory = folder.string();
  settings.zone = kZone;
  settings.key_name = "lifeboat";
  return settings;
}

Secret RealKnot::MakeSecret() {
  const std::string raw = RandomHex(16);
  std::array<unsigned char, 64> text{};
  const int size = ::EVP_EncodeBlock(text.data(), reinterpret_cast<const unsigned char*>(raw.data()), static_cast<int>(raw.size()));
  return Secret(std::string(text.begin(), text.begin() + size));
}

void RealKnot::WriteFile(const std::string& name, const std::string& text) const {
  std::ofstream out(folder_ / name);
  out << text;
  if (!out.flush()) throw std::runtime_error("cannot write '" + (folder_ / name).string() + "'");
  std::filesystem::permissions(folder_ / name, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

RealKnot::~RealKnot() {
  Kill();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void RealKnot::Start() {
  const std::string config = (folder_ / "knot.conf").string();
  const std::string log = (folder_ / "knot.log").string();
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("cannot fork");
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(out, STDERR_FILENO);
    ::execl(kProgram, kProgram, "-c", config.c_str(), nullptr);
    ::_exit(127);
  }
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!Answers()) {
    const bool ended = ::waitpid(pid_, nullptr, WNOHANG) == pid_;
    if (ended) pid_ = -1;
    if (ended || std::chrono::steady_clock::now() > end) throw std::runtime_error("knotd does not serve:\n" + LogText());
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

bool RealKnot::Answers() const {
  // "SOA of lifeboat.test.", as bytes: the zone is loaded when the answer is NOERROR.
  constexpr std::string_view question("\x12\x34\0\0\0\1\0\0\0\0\0\0\x08lifeboat\x04test\0\0\x06\0\x01", 31);
  const Socket socket(SOCK_DGRAM);
  const sockaddr_in server = Loopback(settings_.listen.port);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&server), sizeof server) != 0) return false;
  if (::send(socket.get(), question.data(), question.size(), MSG_NOSIGNAL) < 0) return false;
  pollfd readable{socket.get(), POLLIN, 0};
  if (::poll(&readable, 1, 200) != 1) return false;
  std::array<unsigned char, 512> answer{};
  return ::recv(socket.get(), answer.data(), answer.size(), 0) > 12 && (answer[3] & 0x0f) == 0;
}

void RealKnot::End(int signal) {
  if (pid_ < 0) return;
  ::kill(pid_, SIGCONT);
  ::kill(pid_, signal);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void RealKnot::Stop() { End(SIGTERM); }
void RealKnot::Kill() { End(SIGKILL); }
void RealKnot::Freeze() {
  ::kill(pid_, SIGSTOP);
  ::waitpid(pid_, nullptr, WUNTRACED);  // until every thread of it has stopped
}
void RealKnot::Thaw() { ::kill(pid_, SIGCONT); }

DnsSettings RealKnot::ClientSettings() const {
  DnsSettings settings;
  settings.name = kName;
  settings.zone = kZone;
  settings.server = settings_.listen;
  settings.ttl = std::chrono::seconds(1);
  settings.key_name = settings_.key_name;
  settings.key_algorithm = settings_.key_algorithm;
  return settings;
}

std::string RealKnot::LogText() const {
  std::ifstream in(folder_ / "knot.log");
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

}  // namespace lifeboat::testing
