#include "aws_server.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <csignal>
#include <cstring>
#include <ctime>
#include <stdexcept>
#include <string_view>

namespace lifeboat::bench {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr std::array<const char*, 8> kOperations{
    "DescribeGlobalClusters", "DescribeDBClusters", "GetMetricData",         "DescribeDBInstances",
    "DescribeEvents",         "GetCallerIdentity",  "FailoverGlobalCluster", "other"};

std::int64_t MonotonicNs() {
  timespec now{};
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

/// The value of a parameter of the query protocol; percent-encoding does not occur in what is asked here but in ARNs.
std::string Parameter(const std::string& body, const std::string& name) {
  std::size_t at = body.find("&" + name + "=");
  if (at == std::string::npos) return {};
  at += name.size() + 2;
  std::string value = body.substr(at, body.find('&', at) - at);
  for (std::size_t colon = 0; (colon = value.find("%3A")) != std::string::npos;) value.replace(colon, 3, ":");
  return value;
}

std::string Reply(const std::string& action, const std::string& result) {
  return "<" + action + "Response><" + action + "Result>" + result + "</" + action +
         "Result><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></" + action + "Response>";
}

std::string Member(const std::string& id, const char* region, bool writer) {
  const std::string readers = writer ? "<member>" + ArnOf(id, kOtherRegion) + "</member>" : "";
  return "<GlobalClusterMember><DBClusterArn>" + ArnOf(id, region) + "</DBClusterArn><IsWriter>" + (writer ? "true" : "false") +
         "</IsWriter><Readers>" + readers +
         "</Readers><SynchronizationStatus>connected</SynchronizationStatus></GlobalClusterMember>";
}

std::string GlobalCluster(const std::string& id, bool moved) {
  return "<GlobalClusterIdentifier>" + id +
         "</GlobalClusterIdentifier><GlobalClusterArn>arn:aws:rds::123456789012:global-cluster:" + id +
         "</GlobalClusterArn><Status>available</Status><Engine>aurora-postgresql</Engine><EngineVersion>16.4</"
         "EngineVersion><GlobalClusterMembers>" +
         Member(id, kWriterRegion, !moved) + Member(id, kOtherRegion, moved) + "</GlobalClusterMembers>";
}

std::string Cluster(std::string id, const std::string& region) {
  const std::size_t last = id.rfind(':');
  if (last != std::string::npos) id = id.substr(last + 1);
  return "<DBCluster><DBClusterIdentifier>" + id + "</DBClusterIdentifier><DBClusterArn>arn:aws:rds:" + region +
         ":123456789012:cluster:" + id +
         "</DBClusterArn><Status>available</Status><Engine>aurora-postgresql</Engine><EngineVersion>16.4</"
         "EngineVersion><Endpoint>" +
         id + ".cluster-abcdefghijkl." + region +
         ".rds.amazonaws.com</Endpoint><Port>5432</Port><StorageEncrypted>true</"
         "StorageEncrypted><DBClusterMembers><DBClusterMember><DBInstanceIdentifier>" +
         id + "-a</DBInstanceIdentifier><IsClusterWriter>true</IsClusterWriter></DBClusterMember></DBClusterMembers></DBCluster>";
}

std::string Metrics() {
  const std::time_t now = std::time(nullptr) / 60 * 60 - 60;
  std::array<char, 32> at{};
  std::tm parts{};
  (void)gmtime_r(&now, &parts);
  (void)std::strftime(at.data(), at.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  std::string results;
  for (const char* id : {"m0", "m1"}) {
    results += std::string("<member><Id>") + id + "</Id><StatusCode>Complete</StatusCode><Timestamps><member>" + at.data() +
               "</member></Timestamps><Values><member>850</member></Values></member>";
  }
  return Reply("GetMetricData", "<MetricDataResults>" + results + "</MetricDataResults>");
}

}  // namespace

std::string ArnOf(const std::string& global_cluster, const std::string& region) {
  return "arn:aws:rds:" + region + ":123456789012:cluster:" + global_cluster + "-" + region;
}

struct AwsServer::Shared {
  std::atomic<int> silent{0};  // 1: the writer's region, 2: the other one
  std::atomic<std::int64_t> failover_ns{0};
  std::array<std::atomic<std::uint64_t>, kOperations.size()> calls{};
  std::atomic<std::uint16_t> port{0};

  void Count(const std::string& operation) {
    std::size_t at = 0;
    while (at + 1 < kOperations.size() && operation != kOperations[at]) ++at;
    ++calls[at];
  }
  std::string Answer(const std::string& body, const std::string& region) {
    const std::string action = Parameter("&" + body, "Action");
    Count(action);
    const std::string id = Parameter(body, "GlobalClusterIdentifier");
    const bool moved = failover_ns.load() != 0;
    if (action == "DescribeGlobalClusters")
      return Reply(action,
                   "<GlobalClusters><GlobalClusterMember>" + GlobalCluster(id, moved) + "</GlobalClusterMember></GlobalClusters>");
    if (action == "DescribeDBClusters")
      return Reply(action, "<DBClusters>" + Cluster(Parameter(body, "DBClusterIdentifier"), region) + "</DBClusters>");
    if (action == "GetMetricData") return Metrics();
    if (action == "FailoverGlobalCluster") {
      std::int64_t none = 0;
      (void)failover_ns.compare_exchange_strong(none, MonotonicNs());
      return Reply(action, "<GlobalCluster>" + GlobalCluster(id, true) + "</GlobalCluster>");
    }
    if (action == "GetCallerIdentity")
      return Reply(action, "<Account>123456789012</Account><Arn>arn:aws:iam::123456789012:user/bench</Arn>");
    return Reply(action, "");
  }
};

namespace {

std::string Header(const std::string& head, const std::string& name) {
  const std::size_t at = head.find(name);
  if (at == std::string::npos) return {};
  const std::size_t begin = at + name.size();
  return head.substr(begin, head.find("\r\n", begin) - begin);
}

template <typename Shared>
asio::awaitable<void> Serve(tcp::socket socket, Shared* shared) {
  try {
    asio::streambuf buffer;
    while (true) {
      const std::size_t size = co_await asio::async_read_until(socket, buffer, "\r\n\r\n", asio::use_awaitable);
      std::string head(asio::buffers_begin(buffer.data()), asio::buffers_begin(buffer.data()) + static_cast<std::ptrdiff_t>(size));
      buffer.consume(size);
      const std::string length = Header(head, "Content-Length: ");
      const std::size_t wanted = length.empty() ? 0 : std::stoul(length);
      if (buffer.size() < wanted)
        co_await asio::async_read(socket, buffer, asio::transfer_exactly(wanted - buffer.size()), asio::use_awaitable);
      std::string body(asio::buffers_begin(buffer.data()),
                       asio::buffers_begin(buffer.data()) + static_cast<std::ptrdiff_t>(wanted));
      buffer.consume(wanted);
      // "Credential=AKID/20261123/eu-west-1/rds/aws4_request"
      std::string scope = Header(head, "Credential=");
      for (int part = 0; part < 2; ++part) scope = scope.substr(std::min(scope.find('/') + 1, scope.size()));
      const std::string region = scope.substr(0, scope.find('/'));
      const int silent = shared->silent.load();
      if ((silent == 1 && region == kWriterRegion) || (silent == 2 && region == kOtherRegion)) {
        asio::steady_timer never(socket.get_executor(), std::chrono::hours(1));
        co_await never.async_wait(asio::use_awaitable);
      }
      const std::string answer = shared->Answer(body, region);
      const std::string reply =
          "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: " + std::to_string(answer.size()) + "\r\n\r\n" + answer;
      co_await asio::async_write(socket, asio::buffer(reply), asio::use_awaitable);
    }
  } catch (const std::exception&) {  // the client has gone
  }
}

template <typename Shared>
asio::awaitable<void> Accept(tcp::acceptor& acceptor, Shared* shared) {
  while (true) {
    tcp::socket socket = co_await acceptor.async_accept(asio::use_awaitable);
    asio::co_spawn(acceptor.get_executor(), Serve(std::move(socket), shared), asio::detached);
  }
}

}  // namespace

AwsServer::AwsServer() {
  void* memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("no memory for the server of the measurement");
  shared_ = new (memory) Shared();
  asio::io_context io(1);
  tcp::acceptor acceptor(io, tcp::endpoint(asio::ip::make_address("127.0.0.1"), 0));
  port_ = acceptor.local_endpoint().port();
  io.notify_fork(asio::io_context::fork_prepare);
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ < 0) throw std::runtime_error("cannot fork");
  if (pid_ > 0) {
    io.notify_fork(asio::io_context::fork_parent);
    return;
  }
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  io.notify_fork(asio::io_context::fork_child);
  asio::co_spawn(io, Accept(acceptor, shared_), asio::detached);
  io.run();
  _exit(0);
}

AwsServer::~AwsServer() {
  (void)kill(pid_, SIGKILL);
  (void)waitpid(pid_, nullptr, 0);
  (void)munmap(shared_, sizeof(Shared));
}

std::string AwsServer::Url() const { return "http://127.0.0.1:" + std::to_string(port_); }
void AwsServer::Silence(const std::string& region) { shared_->silent = region == kWriterRegion ? 1 : 2; }
std::int64_t AwsServer::FirstFailoverNs() const { return shared_->failover_ns.load(); }
std::map<std::string, std::uint64_t> AwsServer::Calls() const {
  std::map<std::string, std::uint64_t> calls;
  for (std::size_t at = 0; at < kOperations.size(); ++at) {
    if (shared_->calls[at].load() > 0) calls[kOperations[at]] = shared_->calls[at].load();
  }
  return calls;
}

}  // namespace lifeboat::bench
