#include "adapters/dns/name_servers.h"

#include <algorithm>
#include <array>
#include <boost/asio/ip/address.hpp>
#include <fstream>
#include <sstream>

#include "adapters/dns/dns_transport.h"

namespace lifeboat {

namespace {

using std::chrono::steady_clock;

constexpr std::array kTypes{RecordType::kA, RecordType::kAaaa, RecordType::kTxt, RecordType::kCname, RecordType::kNs};

std::optional<RecordType> TypeOf(const std::string& text) {
  for (const RecordType type : kTypes) {
    if (text == ToString(type)) return type;
  }
  return std::nullopt;
}

/// "b.example.com." → "example.com."; nothing above it that could be a zone of the service's: empty.
std::string ParentOf(const std::string& name) {
  const std::size_t dot = name.find('.');
  if (dot == std::string::npos || dot + 1 >= name.size()) return {};
  std::string parent = name.substr(dot + 1);
  return std::count(parent.begin(), parent.end(), '.') > 1 ? parent : std::string();
}

Error Odd(const Endpoint& server, const std::string& name, const std::string& what) {
  return Fail("DNS server '" + server.Text() + "' answered '" + what + "' for '" + name + "'",
              "is it a name server of the zone, and is the zone public?");
}

}  // namespace

std::vector<Endpoint> ResolversIn(const std::string& file) {
  std::vector<Endpoint> resolvers;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string key;
    std::string host;
    words >> key >> host;
    boost::system::error_code problem;
    boost::asio::ip::make_address(host, problem);
    if (key == "nameserver" && !problem) resolvers.push_back(Endpoint{host, 53});
  }
  if (resolvers.empty()) resolvers.push_back(Endpoint{"127.0.0.1", 53});
  return resolvers;
}

DnsNameServers::DnsNameServers(boost::asio::any_io_executor executor, std::vector<Endpoint> resolvers, std::uint16_t port)
    : executor_(std::move(executor)), resolvers_(std::move(resolvers)), port_(port) {}

/// One question; the answer is NOERROR or NXDOMAIN.
Task<Result<DnsAnswer>> DnsNameServers::Put(Endpoint server, std::string name, RecordType type, bool recursive, Duration timeout) {
  Result<Request> request = BuildQuestion(name, type, recursive);
  if (!request) co_return request.error();
  Exchange exchange;
  exchange.server = server;
  exchange.request = *request;
  exchange.accept = [name, type, asked = *request](const Bytes& bytes) { return ParseAnswer(bytes, asked, name, type); };
  exchange.deadline = steady_clock::now() + std::chrono::duration_cast<steady_clock::duration>(timeout);
  Result<DnsAnswer> answer = co_await Carry(executor_, std::move(exchange));
  if (!answer) {
    Error error = answer.error();
    if (error.retry == Retry::kUnknownOutcome) error.retry = Retry::kRetry;  // a question changes nothing
    co_return error;
  }
  if (answer->rcode == rcode::kServFail) {
    co_return RetryLater("DNS server '" + server.Text() + "' answered 'SERVFAIL' for '" + name + "'");
  }
  if (answer->rcode != rcode::kNoError && answer->rcode != rcode::kNxDomain) co_return Odd(server, name, answer->rcode_text);
  co_return answer;
}

Task<Result<NameAnswer>> DnsNameServers::Ask(Endpoint server, std::string name, std::string type, Duration timeout) {
  const std::optional<RecordType> kind = TypeOf(type);
  if (!kind) co_return Fail("records of type '" + type + "' cannot be asked for");
  Result<DnsAnswer> answer = co_await Put(server, name, *kind, false, timeout);
  if (!answer) co_return answer.error();
  // A cache answers what was, not what is.
  if (!answer->authoritative) co_return Odd(server, name, "not authoritative");
  if (answer->is_alias && *kind != RecordType::kCname) co_return Odd(server, name, "an alias (CNAME)");
  NameAnswer said;
  said.exists = answer->rcode == rcode::kNoError;
  said.values = std::move(answer->records.values);
  said.ttl = answer->records.ttl;
  co_return said;
}

Task<Result<DnsAnswer>> DnsNameServers::AskResolvers(std::string name, RecordType type, Duration timeout) {
  const std::vector<Endpoint> resolvers = resolvers_.empty() ? ResolversIn("/etc/resolv.conf") : resolvers_;
  const auto end = steady_clock::now() + timeout;
  std::optional<Error> last;
  for (std::size_t at = 0; at < resolvers.size(); ++at) {
    const Duration left = std::max<Duration>(end - steady_clock::now(), 1ms) / static_cast<int>(resolvers.size() - at);
    Result<DnsAnswer> answer = co_await Put(resolvers[at], name, type, true, left);
    if (answer.ok()) co_return answer;
    last = answer.error();
    last->retry = Retry::kRetry;  // another resolver, or this one later
  }
  co_return *last;
}

Task<Result<Endpoint>> DnsNameServers::AddressOf(std::string host, Duration timeout) {
  const auto end = steady_clock::now() + timeout;
  for (const RecordType type : {RecordType::kA, RecordType::kAaaa}) {
    const Duration left = std::max<Duration>(end - steady_clock::now(), 1ms);
    Result<DnsAnswer> answer = co_await AskResolvers(host, type, left);
    if (!answer) co_return answer.error();
    if (!answer->records.values.empty()) co_return Endpoint{answer->records.values.front(), port_};
  }
  co_return RetryLater("name server '" + host + "' has no address", "look at the zone's NS records");
}

Task<Result<std::vector<Endpoint>>> DnsNameServers::ServersOf(std::string name, Duration timeout) {
  const auto end = steady_clock::now() + timeout;
  for (std::string zone = name.ends_with('.') ? name : name + "."; !zone.empty(); zone = ParentOf(zone)) {
    Duration left = std::max<Duration>(end - steady_clock::now(), 1ms);
    Result<DnsAnswer> answer = co_await AskResolvers(zone, RecordType::kNs, left);
    if (!answer) co_return answer.error();
    if (answer->records.values.empty()) continue;
    std::vector<Endpoint> servers;
    for (const std::string& host : answer->records.values) {
      left = std::max<Duration>(end - steady_clock::now(), 1ms);
      Result<Endpoint> server = co_await AddressOf(host, left);
      // Whoever wants all of them to agree must not be handed some of them.
      if (!server) co_return server.error();
      servers.push_back(*server);
    }
    co_return servers;
  }
  co_return NotFound("no zone with name servers has '" + name + "'", "name the zone's name servers in the settings");
}

}  // namespace lifeboat
