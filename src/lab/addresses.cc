#include "lab/addresses.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <random>
#include <sstream>

namespace lifeboat::lab {

namespace {

constexpr std::uint16_t kReservation = 7077;  // bound, never listened on: says that a lab is being built in this slot
constexpr int kSlots = 254;

// A socket bound to address:port, or -1. Port 0: any free one.
int Bind(const std::string& address, std::uint16_t port, int type) {
  const int descriptor = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return -1;
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  ::inet_pton(AF_INET, address.c_str(), &at.sin_addr);
  if (::bind(descriptor, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0) return descriptor;
  ::close(descriptor);
  return -1;
}

bool IsFree(const std::string& address, std::uint16_t port, int type) {
  const int descriptor = Bind(address, port, type);
  if (descriptor >= 0) ::close(descriptor);
  return descriptor >= 0;
}

std::uint16_t PortOf(int descriptor) {
  sockaddr_in at{};
  socklen_t size = sizeof at;
  ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&at), &size);
  return ntohs(at.sin_port);
}

// True when any socket of this machine is bound within the slot. @source proc(5), /proc/net/tcp: addresses are
// little-endian hex there, so 127.77.s.h reads as hhss4D7F.
bool IsSpokenFor(int slot) {
  char middle[8];
  std::snprintf(middle, sizeof middle, "%02X4D7F", static_cast<unsigned>(slot));
  for (const char* table : {"/proc/net/tcp", "/proc/net/udp"}) {
    std::ifstream file(table);
    std::string line;
    while (std::getline(file, line)) {
      std::istringstream words(line);
      std::string number;
      std::string local;
      std::string remote;
      std::string state;
      words >> number >> local >> remote >> state;
      const bool time_wait = state == "06";  // of a lab that has gone: nobody holds it
      if (!time_wait && local.size() > 8 && local.compare(2, 6, middle) == 0) return true;
    }
  }
  return false;
}

}  // namespace

Result<Slot> Slot::Take(std::optional<int> first, const std::function<Result<bool>(int)>& also) {
  std::random_device random;
  const int begin = first ? *first - 1 : static_cast<int>(random() % kSlots);
  for (int tried = 0; tried < kSlots; ++tried) {
    const int number = (begin + tried) % kSlots + 1;
    if (IsSpokenFor(number)) continue;
    const int held = Bind("127.77." + std::to_string(number) + ".1", kReservation, SOCK_STREAM);
    if (held < 0) continue;
    Slot slot(number, held);
    const Result<bool> free = also ? also(number) : Result<bool>(true);
    if (!free) return free.error();
    if (*free) return slot;
  }
  return Fail("no addresses are free for a lab", "end the labs that are not needed with 'lifeboat lab down'");
}

Slot::Slot(Slot&& other) noexcept
    : number_(other.number_), descriptor_(std::exchange(other.descriptor_, -1)), given_(std::move(other.given_)) {}

Slot::~Slot() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::string Slot::Address(int host) const { return "127.77." + std::to_string(number_) + "." + std::to_string(host); }

Result<std::uint16_t> Slot::FreePort() {
  for (int tried = 0; tried < 100; ++tried) {
    const int descriptor = Bind(Address(1), 0, SOCK_STREAM);
    if (descriptor < 0) break;
    const std::uint16_t port = PortOf(descriptor);
    ::close(descriptor);
    bool free = std::find(given_.begin(), given_.end(), port) == given_.end();
    for (int host = 1; host <= 4 && free; ++host)
      free = IsFree(Address(host), port, SOCK_STREAM) && IsFree(Address(host), port, SOCK_DGRAM);
    if (!free) continue;
    given_.push_back(port);
    return port;
  }
  return Fail("no port is free on " + Address(1));
}

}  // namespace lifeboat::lab
