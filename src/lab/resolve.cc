#include "lab/resolve.h"

#include <arpa/inet.h>
#include <ldns/ldns.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>
#include <vector>

namespace lifeboat::lab {

namespace {

struct PacketFree {
  void operator()(ldns_pkt* packet) const { ldns_pkt_free(packet); }
};
using Packet = std::unique_ptr<ldns_pkt, PacketFree>;

class Socket {
 public:
  Socket() : descriptor_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {}
  ~Socket() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  [[nodiscard]] int get() const { return descriptor_; }

 private:
  int descriptor_;
};

Result<ResolvedAddress> FirstAddress(const ldns_pkt& answer, const std::string& name) {
  const ldns_rr_list* records = ldns_pkt_answer(&answer);
  for (std::size_t at = 0; at < ldns_rr_list_rr_count(records); ++at) {
    const ldns_rr* record = ldns_rr_list_rr(records, at);
    if (ldns_rr_get_type(record) != LDNS_RR_TYPE_A) continue;
    const ldns_rdf* data = ldns_rr_rdf(record, 0);
    std::array<char, INET_ADDRSTRLEN> text{};
    ::inet_ntop(AF_INET, ldns_rdf_data(data), text.data(), text.size());
    return ResolvedAddress{text.data(), std::chrono::seconds(ldns_rr_ttl(record))};
  }
  return NotFound("name '" + name + "' has no address");
}

}  // namespace

Result<ResolvedAddress> ResolveAt(const Endpoint& server, const std::string& name, Duration timeout) {
  ldns_pkt* raw = nullptr;
  if (ldns_pkt_query_new_frm_str(&raw, name.c_str(), LDNS_RR_TYPE_A, LDNS_RR_CLASS_IN, 0) != LDNS_STATUS_OK) {
    return Fail("'" + name + "' is no domain name");
  }
  const Packet query(raw);
  ldns_pkt_set_random_id(query.get());
  std::uint8_t* wire = nullptr;
  std::size_t size = 0;
  if (ldns_pkt2wire(&wire, query.get(), &size) != LDNS_STATUS_OK) return Fail("a query for '" + name + "' cannot be built");
  const std::unique_ptr<std::uint8_t, decltype(&std::free)> owned(wire, &std::free);

  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(server.port);
  if (::inet_pton(AF_INET, server.host.c_str(), &to.sin_addr) != 1) return Fail("'" + server.host + "' is no IPv4 address");
  const Socket socket;
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 ||
      ::send(socket.get(), wire, size, MSG_NOSIGNAL) != static_cast<ssize_t>(size)) {
    return RetryLater("name server " + server.Text() + ": " + std::strerror(errno));
  }
  const Instant deadline = ReadClocks() + timeout;
  std::vector<std::uint8_t> buffer(4096);
  for (;;) {
    const Duration left = TimeLeft(deadline, ReadClocks());
    if (left <= 0ns) return RetryLater("name server " + server.Text() + " did not answer in " + FormatDuration(timeout));
    pollfd wait{socket.get(), POLLIN, 0};
    if (::poll(&wait, 1, static_cast<int>(Millis(left)) + 1) <= 0) continue;
    const ssize_t got = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (got < 0) return RetryLater("name server " + server.Text() + ": " + std::strerror(errno));
    ldns_pkt* parsed = nullptr;
    if (ldns_wire2pkt(&parsed, buffer.data(), static_cast<std::size_t>(got)) != LDNS_STATUS_OK) continue;
    const Packet answer(parsed);
    if (ldns_pkt_id(answer.get()) != ldns_pkt_id(query.get())) continue;  // a late answer to an earlier question
    return FirstAddress(*answer, name);
  }
}

}  // namespace lifeboat::lab
