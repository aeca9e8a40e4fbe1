#include "support/otlp_receiver.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <stdexcept>

namespace lifeboat::testing_support {

namespace {

constexpr int kPatienceMs = 60'000;

std::filesystem::path Source() { return LIFEBOAT_SOURCE; }

/// The first line of what `fd` says.
std::string FirstLine(int fd) {
  std::string line;
  while (!line.ends_with('\n')) {
    pollfd ready{fd, POLLIN, 0};
    char byte = 0;
    if (::poll(&ready, 1, kPatienceMs) <= 0 || ::read(fd, &byte, 1) != 1) return {};
    line += byte;
  }
  return line;
}

}  // namespace

OtlpReceiver::OtlpReceiver(Manner manner) {
  const std::string python = (Source() / "build/otlp-venv/bin/python").string();
  if (!std::filesystem::exists(python)) {
    throw std::runtime_error("there is no Python environment of the tests of traces at '" + python + "': run scripts/otlp-venv.sh");
  }
  const std::string script = (Source() / "tests/otlp/receiver.py").string();
  const std::string folder = folder_.path().string();
  std::vector<const char*> words = {python.c_str(), "-B", script.c_str(), folder.c_str()};
  if (manner == Manner::kSilent) words.push_back("--silent");
  words.push_back(nullptr);
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) throw std::runtime_error("cannot make a pipe");
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    ::dup2(pipe[1], STDOUT_FILENO);
    ::execv(words[0], const_cast<char**>(words.data()));
    ::_exit(127);
  }
  ::close(pipe[1]);
  const std::string line = pid_ > 0 ? FirstLine(pipe[0]) : std::string();
  ::close(pipe[0]);
  port_ = line.empty() ? 0 : static_cast<std::uint16_t>(std::stoul(line));
  if (port_ == 0) throw std::runtime_error("the receiver of traces does not serve");
}

OtlpReceiver::~OtlpReceiver() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

std::vector<Json> OtlpReceiver::Requests() const {
  std::vector<Json> requests;
  std::ifstream file(folder_.path() / "requests.jsonl");
  for (std::string line; std::getline(file, line);) {
    const auto json = ParseJson(line, "request");
    if (json.ok()) requests.push_back(*json);  // else it is being written
  }
  return requests;
}

std::optional<Json> OtlpReceiver::Find(const TraceId& trace) const {
  for (const Json& request : Requests()) {
    const Json& spans = MemberAt(request, "spans");
    if (!spans.empty() && TextAt(spans.front(), "trace") == trace.text) return spans;
  }
  return std::nullopt;
}

}  // namespace lifeboat::testing_support
