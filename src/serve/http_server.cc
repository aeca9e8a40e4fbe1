#include "serve/http_server.h"

#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <list>

#include "adapters/peers/wire.h"
#include "base/address_reach.h"
#include "serve/datagram_desk.h"
#include "serve/request.h"
#include "serve/service_internal.h"

namespace lifeboat {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using SteadyClock = std::chrono::steady_clock;

namespace {

constexpr auto kNoThrow = asio::as_tuple(asio::use_awaitable);

constexpr auto kLingerTime = 1s;
constexpr std::size_t kMostLingerBytes = 8U << 20U;
constexpr auto kRestAfterAcceptError = 100ms;
constexpr int kListenBacklog = 128;

using Parser = http::request_parser<http::string_body>;

struct Reply {
  unsigned status = 200;
  std::string body;
  std::string content_type = "application/json";
  http::field extra_name = http::field::unknown;  ///< one more header; unknown: none
  std::string extra_value;
};

Reply ErrorReply(unsigned status, const Error& error) {
  Reply reply;
  reply.status = status;
  reply.body = serve::ErrorBody(error);
  return reply;
}

Reply Unauthorized() {
  Reply reply = ErrorReply(401, Fail("the token is missing or wrong", "use the agent's 'token_file'"));
  reply.extra_name = http::field::www_authenticate;
  reply.extra_value = "Bearer";
  return reply;
}

Reply WrongVerb(const std::string& allowed) {
  Reply reply = ErrorReply(405, Fail("this page does not know that verb", "use " + allowed));
  reply.extra_name = http::field::allow;
  reply.extra_value = allowed;
  return reply;
}

Reply HealthReply(const serve::Service& service) {
  Health health;
  try {
    health = service.health();
  } catch (const std::exception& exception) {
    service.log.Error("the health source threw", {{"what", exception.what()}});
  }
  if (!health.body.is_object()) health.body = Json::object();
  if (!health.body.contains("status")) health.body["status"] = health.healthy ? "ok" : "failing";
  Reply reply;
  reply.status = health.healthy ? 200 : 503;
  reply.body = peers::DumpJson(health.body) + "\n";
  return reply;
}

Reply MetricsReply(const serve::Service& service) {
  Reply reply;
  reply.body = service.metrics->Text();
  reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
  return reply;
}

Reply ResultReply(const Result<Json>& result) {
  if (!result) return ErrorReply(serve::StatusOf(result.error().retry), result.error());
  Reply reply;
  reply.body = peers::DumpJson(*result) + "\n";
  return reply;
}

bool IsRegionName(std::string_view text) {
  constexpr std::size_t kLongest = 64;
  const auto fits = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.'; };
  return !text.empty() && text.size() <= kLongest && std::all_of(text.begin(), text.end(), fits);
}

bool IsAuthorized(const Parser& parser, const serve::Service& service) {
  return serve::IsAuthorized(parser.get()[http::field::authorization], service.token);
}

/// What a request that could not be read is told; nothing: its sender has gone.
std::optional<Reply> BrokenRequest(const boost::system::error_code& failure) {
  if (failure == http::error::end_of_stream || failure == http::error::partial_message) return std::nullopt;
  if (failure == http::error::body_limit) {
    return ErrorReply(413, Fail("the body is larger than '" + FormatBytes(ByteCount{kMostBodyBytes}) + "'"));
  }
  if (failure == http::error::header_limit || failure == http::error::buffer_overflow) {
    return ErrorReply(431, Fail("the head is larger than '" + FormatBytes(ByteCount{kMostHeadBytes}) + "'"));
  }
  if (failure.category() == make_error_code(http::error::bad_method).category()) {
    return ErrorReply(400, Fail("this is not HTTP/1.1: " + failure.message()));
  }
  return std::nullopt;
}

/// One client, from accept to close.
struct Connection {
  explicit Connection(tcp::socket socket) : stream(std::move(socket)) {}
  void Close() {
    if (framed) framed->Close();
    stream.close();
  }

  beast::tcp_stream stream;
  beast::flat_buffer buffer{kMostBodyBytes + kMostHeadBytes};
  std::shared_ptr<peers::FramedSocket> framed;  ///< after the upgrade
  bool waiting = true;                          ///< for a request: may make room for another
  SteadyClock::time_point since = SteadyClock::now();
};

}  // namespace

class HttpServer::Listener : public std::enable_shared_from_this<Listener> {
 public:
  explicit Listener(const asio::any_io_executor& executor) : acceptor_(executor) {}

  [[nodiscard]] Result<Unit> Open(const Endpoint& address);
  [[nodiscard]] Result<Unit> OpenDatagrams(DatagramRules rules);
  void Start(std::shared_ptr<serve::Service> service);
  void Stop();
  [[nodiscard]] Endpoint Address() const { return address_; }
  [[nodiscard]] std::size_t Connections() const { return connections_.size(); }
  [[nodiscard]] std::size_t InFlight() const { return service_->in_flight; }

 private:
  using ConnectionPtr = std::shared_ptr<Connection>;
  /// Takes a connection from the list when its coroutine ends, however it ends.
  struct Leave {
    std::shared_ptr<Listener> listener;
    ConnectionPtr connection;
    ~Leave() { listener->connections_.remove(connection); }
  };

  static Task<> AcceptLoop(std::shared_ptr<Listener> self);
  static Task<> Serve(std::shared_ptr<Listener> self, ConnectionPtr connection);
  void Admit(tcp::socket socket);
  [[nodiscard]] bool MakeRoom();
  Task<bool> ServeOne(ConnectionPtr connection);
  Task<bool> Answer(ConnectionPtr connection, Parser& parser);
  Task<bool> AnswerCall(ConnectionPtr connection, Parser& parser, std::string method);
  Task<bool> ServeUpgrade(ConnectionPtr connection, Parser& parser);
  Task<bool> Send(ConnectionPtr connection, Reply reply, unsigned version, bool keep);
  static Task<> Linger(ConnectionPtr connection);

  tcp::acceptor acceptor_;
  std::shared_ptr<serve::DatagramDesk> datagrams_;  ///< nothing: no such lane
  Endpoint address_;
  std::shared_ptr<serve::Service> service_;
  std::list<ConnectionPtr> connections_;
};

Result<Unit> HttpServer::Listener::Open(const Endpoint& address) {
  boost::system::error_code failure;
  const asio::ip::address host = asio::ip::make_address(address.host, failure);
  if (failure) return Fail("cannot listen at '" + address.Text() + "': '" + address.host + "' is not an IP address");
  // Tokens and answers travel in the clear: nothing of it may leave the machine, or the private network that the configuration
  // allows it (peers.allow_plaintext, judged where the file is read).
  if (ReachOf(address.host) == AddressReach::kPublic) {
    return Refused("refusing to listen at '" + address.Text() + "': it is beyond loopback, and agents do not speak TLS",
                   "use an address within 127.0.0.0/8 or ::1, and an encrypted tunnel between the regions");
  }
  const tcp::endpoint endpoint(host, address.port);
  acceptor_.open(endpoint.protocol(), failure);
  // A restart must not wait for connections of the process before it to leave TIME_WAIT.
  if (!failure) acceptor_.set_option(tcp::acceptor::reuse_address(true), failure);
  if (!failure) acceptor_.bind(endpoint, failure);
  if (!failure) acceptor_.listen(kListenBacklog, failure);
  if (failure == asio::error::address_in_use) {
    return Fail("cannot listen at '" + address.Text() + "': the port is taken",
                "does an agent of this region run already? ss -ltnp 'sport = :" + std::to_string(address.port) + "'");
  }
  if (failure) return Fail("cannot listen at '" + address.Text() + "': " + failure.message());
  address_ = Endpoint{address.host, acceptor_.local_endpoint().port()};
  return Done();
}

Result<Unit> HttpServer::Listener::OpenDatagrams(DatagramRules rules) {
  if (!rules.answers) return Done();
  boost::system::error_code failure;
  const asio::ip::udp::endpoint endpoint(asio::ip::make_address(address_.host, failure), address_.port);
  datagrams_ = std::make_shared<serve::DatagramDesk>(acceptor_.get_executor(), std::move(rules));
  if (!failure) failure = datagrams_->Open(endpoint);
  if (failure) {
    return Fail("cannot listen for datagrams at '" + address_.Text() + "': " + failure.message(),
                "who has the port? ss -lunp 'sport = :" + std::to_string(address_.port) + "'");
  }
  return Done();
}

void HttpServer::Listener::Start(std::shared_ptr<serve::Service> service) {
  service_ = std::move(service);
  if (datagrams_) datagrams_->Start(service_);
  asio::co_spawn(acceptor_.get_executor(), AcceptLoop(shared_from_this()), serve::Report(service_->log));
}

void HttpServer::Listener::Stop() {
  service_->stopped = true;
  boost::system::error_code ignored;  // closed is closed
  acceptor_.close(ignored);
  if (datagrams_) datagrams_->Stop();
  for (const ConnectionPtr& connection : std::list<ConnectionPtr>(connections_)) connection->Close();
}

Task<> HttpServer::Listener::AcceptLoop(std::shared_ptr<Listener> self) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  bool told = false;
  while (!self->service_->stopped) {
    auto [failure, socket] = co_await self->acceptor_.async_accept(kNoThrow);
    if (self->service_->stopped) co_return;
    if (!failure) {
      told = false;
      self->Admit(std::move(socket));
      continue;
    }
    // Out of descriptors and the like: existing connections go on, and new ones are tried again soon.
    if (!told) self->service_->log.Error("cannot accept connections", {{"why", failure.message()}});
    told = true;
    asio::steady_timer rest(executor, kRestAfterAcceptError);
    co_await rest.async_wait(kNoThrow);
  }
}

void HttpServer::Listener::Admit(tcp::socket socket) {
  if (!MakeRoom()) {
    service_->log.Warn("a connection was refused: all are busy", {{"connections", connections_.size()}});
    return;  // closes the socket
  }
  peers::TunePeerSocket(socket);
  const auto connection = std::make_shared<Connection>(std::move(socket));
  connections_.push_back(connection);
  asio::co_spawn(acceptor_.get_executor(), Serve(shared_from_this(), connection), serve::Report(service_->log));
}

/// Idle strangers must never keep the other agents out: the one that has waited longest goes.
bool HttpServer::Listener::MakeRoom() {
  if (connections_.size() < kMostConnections) return true;
  auto oldest = connections_.end();
  for (auto candidate = connections_.begin(); candidate != connections_.end(); ++candidate) {
    if (!(*candidate)->waiting) continue;
    if (oldest == connections_.end() || (*candidate)->since < (*oldest)->since) oldest = candidate;
  }
  if (oldest == connections_.end()) return false;
  (*oldest)->Close();
  connections_.erase(oldest);
  return true;
}

Task<> HttpServer::Listener::Serve(std::shared_ptr<Listener> self, ConnectionPtr connection) {
  const Leave leave{self, connection};
  bool keep = true;
  while (keep && !self->service_->stopped) keep = co_await self->ServeOne(connection);
  connection->Close();
}

/// One request. @return true: another may follow on the connection
Task<bool> HttpServer::Listener::ServeOne(ConnectionPtr connection) {
  Parser parser;
  parser.header_limit(kMostHeadBytes);
  parser.body_limit(kMostBodyBytes);
  connection->waiting = true;
  connection->since = SteadyClock::now();
  connection->stream.expires_after(service_->times.head);
  const auto [failure, size] = co_await http::async_read_header(connection->stream, connection->buffer, parser, kNoThrow);
  connection->waiting = false;
  if (service_->stopped) co_return false;
  if (!failure) co_return co_await Answer(connection, parser);
  const std::optional<Reply> reply = BrokenRequest(failure);
  if (!reply) co_return false;
  co_return co_await Send(connection, *reply, 11, false);
}

Task<bool> HttpServer::Listener::Answer(ConnectionPtr connection, Parser& parser) {
  const auto& request = parser.get();
  const unsigned version = request.version();
  const serve::Target target = serve::SplitTarget(std::string_view(request.target()));
  const bool keep = request.keep_alive() && parser.is_done();
  if (target.path == peers::kUpgradePath) co_return co_await ServeUpgrade(connection, parser);

  const std::optional<std::string> method = serve::MethodOfPath(target.path);
  if (method) co_return co_await AnswerCall(connection, parser, *method);

  Reply reply = ErrorReply(404, NotFound("there is no page '" + target.path.substr(0, 128) + "'"));
  const bool open_page = target.path == "/health" || target.path == "/metrics";
  if (open_page && request.method() != http::verb::get) {
    reply = WrongVerb("GET");
  } else if (target.path == "/health") {
    reply = HealthReply(*service_);
  } else if (target.path == "/metrics") {
    reply = MetricsReply(*service_);
  }
  co_return co_await Send(connection, std::move(reply), version, keep);
}

Task<bool> HttpServer::Listener::AnswerCall(ConnectionPtr connection, Parser& parser, std::string method) {
  const unsigned version = parser.get().version();
  const http::verb verb = parser.get().method();
  std::optional<Reply> refusal;
  // Before a byte of the body is read: strangers cost us a head and no more.
  if (!IsAuthorized(parser, *service_)) {
    refusal = Unauthorized();
  } else if (verb != http::verb::get && verb != http::verb::post) {
    refusal = WrongVerb("GET, POST");
  }
  if (refusal) co_return co_await Send(connection, std::move(*refusal), version, false);
  connection->stream.expires_after(service_->times.body);
  if (beast::iequals(parser.get()[http::field::expect], "100-continue") && !parser.is_done()) {
    const http::response<http::empty_body> go_on(http::status::continue_, version);
    const auto [unsent, written] = co_await http::async_write(connection->stream, go_on, kNoThrow);
    if (unsent) co_return false;
  }
  const auto [failure, size] = co_await http::async_read(connection->stream, connection->buffer, parser, kNoThrow);
  if (failure) {
    const std::optional<Reply> broken = BrokenRequest(failure);
    if (!broken) co_return false;
    co_return co_await Send(connection, *broken, version, false);
  }
  Result<Json> parameters = Json::object();
  if (verb == http::verb::post) {
    parameters = serve::ParseBody(parser.get().body());
  } else {
    parameters = serve::ParseQuery(serve::SplitTarget(std::string_view(parser.get().target())).query);
  }
  const bool keep = parser.get().keep_alive();
  if (!parameters) {
    Reply unreadable = ErrorReply(400, parameters.error());
    co_return co_await Send(connection, std::move(unreadable), version, keep);
  }
  connection->stream.expires_never();  // the handler keeps its own deadlines
  const Result<Json> result = co_await serve::Work(service_, std::move(method), std::move(*parameters));
  Reply reply = ResultReply(result);
  co_return co_await Send(connection, std::move(reply), version, keep);
}

Task<bool> HttpServer::Listener::ServeUpgrade(ConnectionPtr connection, Parser& parser) {
  const auto& request = parser.get();
  const std::string region(request[std::string(peers::kRegionHeader)]);
  std::optional<Reply> refusal;
  if (!IsAuthorized(parser, *service_)) {
    refusal = Unauthorized();
  } else if (request.method() != http::verb::get || !parser.upgrade() || request[http::field::upgrade] != peers::kUpgradeToken) {
    refusal = ErrorReply(426, Fail("this page speaks '" + std::string(peers::kUpgradeToken) + "' after an upgrade",
                                   "run the same version of Lifeboat in all regions"));
    refusal->extra_name = http::field::upgrade;
    refusal->extra_value = std::string(peers::kUpgradeToken);
  } else if (!IsRegionName(region)) {
    refusal = ErrorReply(400, Fail("the header '" + std::string(peers::kRegionHeader) + "' is missing or no region's name"));
  }
  if (refusal) co_return co_await Send(connection, std::move(*refusal), request.version(), false);

  http::response<http::empty_body> accepted(http::status::switching_protocols, 11);
  accepted.set(http::field::connection, "Upgrade");
  accepted.set(http::field::upgrade, std::string(peers::kUpgradeToken));
  connection->stream.expires_after(service_->times.reply);
  const auto [failure, written] = co_await http::async_write(connection->stream, accepted, kNoThrow);
  if (failure || service_->stopped) co_return false;
  connection->stream.expires_never();
  const auto early = connection->buffer.cdata();
  const std::string_view early_bytes(static_cast<const char*>(early.data()), early.size());
  connection->framed = std::make_shared<peers::FramedSocket>(connection->stream.release_socket(), early_bytes);
  connection->buffer.consume(early.size());
  connection->buffer.shrink_to_fit();
  co_await serve::ServePeer(service_, connection->framed, region);
  co_return false;
}

Task<bool> HttpServer::Listener::Send(ConnectionPtr connection, Reply reply, unsigned version, bool keep) {
  if (service_->stopped) co_return false;
  http::response<http::string_body> response(http::int_to_status(reply.status), version);
  response.set(http::field::content_type, reply.content_type);
  response.set(http::field::cache_control, "no-store");
  if (reply.extra_name != http::field::unknown) response.set(reply.extra_name, reply.extra_value);
  response.keep_alive(keep);
  response.body() = std::move(reply.body);
  response.prepare_payload();
  connection->stream.expires_after(service_->times.reply);
  const auto [failure, written] = co_await http::async_write(connection->stream, response, kNoThrow);
  if (failure) co_return false;
  if (!keep) co_await Linger(connection);
  co_return keep;
}

/// Lets the answer arrive before the close: a close over unread bytes would reset the connection and take it away.
/// @source RFC 9112, section 9.6
Task<> HttpServer::Listener::Linger(ConnectionPtr connection) {
  boost::system::error_code failure;
  connection->stream.socket().shutdown(tcp::socket::shutdown_send, failure);
  connection->waiting = true;
  connection->stream.expires_after(kLingerTime);
  std::array<char, 8192> unread{};
  std::size_t total = 0;
  while (!failure && total < kMostLingerBytes) {
    const auto room = asio::buffer(unread);
    const auto [ended, count] = co_await connection->stream.async_read_some(room, kNoThrow);
    failure = ended;
    total += count;
  }
}

HttpServer::HttpServer(std::shared_ptr<Listener> listener) : listener_(std::move(listener)) {}

HttpServer::~HttpServer() { Stop(); }

Result<std::unique_ptr<HttpServer>> HttpServer::Listen(asio::any_io_executor executor, Endpoint address, Secret token,
                                                       CallHandler handler, HealthSource health, Metrics& metrics, Log log,
                                                       HttpTimes times, DatagramRules datagrams) {
  const auto listener = std::make_shared<Listener>(executor);
  const Result<Unit> opened = listener->Open(address);
  if (!opened) return opened.error();
  const Result<Unit> for_datagrams = listener->OpenDatagrams(std::move(datagrams));
  if (!for_datagrams) return for_datagrams.error();
  const auto service = std::make_shared<serve::Service>();
  service->token = std::move(token);
  service->handler = std::move(handler);
  service->health = std::move(health);
  service->metrics = &metrics;
  service->log = std::move(log);
  service->times = times;
  listener->Start(service);
  return std::unique_ptr<HttpServer>(new HttpServer(listener));  // NOLINT(modernize-make-unique): the constructor is private
}

Endpoint HttpServer::Address() const { return listener_->Address(); }
std::size_t HttpServer::Connections() const { return listener_->Connections(); }
std::size_t HttpServer::InFlight() const { return listener_->InFlight(); }
void HttpServer::Stop() { listener_->Stop(); }

}  // namespace lifeboat
