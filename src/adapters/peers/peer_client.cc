#include "adapters/peers/peer_client.h"

#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <unordered_map>

#include "adapters/peers/datagram_line.h"
#include "adapters/peers/framed_socket.h"
#include "adapters/peers/wire.h"
#include "base/address_reach.h"

namespace lifeboat {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using SteadyClock = std::chrono::steady_clock;

namespace {

constexpr auto kNoThrow = asio::as_tuple(asio::use_awaitable);
constexpr Duration kMostConnectTime = 1s;
constexpr Duration kRestAfterRefusal = 50ms;
constexpr int kMostSilentTimeouts = 2;

const char* LaneName(Lane lane) { return lane == Lane::kLease ? "lease" : "work"; }

/// A moment that several coroutines wait for, each with its own deadline.
class Gate {
 public:
  [[nodiscard]] bool IsOpen() const { return open_; }

  void Open() {
    open_ = true;
    for (asio::steady_timer* waiter : waiters_) waiter->cancel();
  }

  /// Resumes when the gate opens, at `deadline`, or on cancellation. True: not cancelled.
  Task<bool> WaitUntil(asio::any_io_executor executor, SteadyClock::time_point deadline) {
    if (open_) co_return true;
    asio::steady_timer timer(executor, deadline);
    const Registration registration(&waiters_, &timer);
    const auto [failure] = co_await timer.async_wait(kNoThrow);
    co_return open_ || !failure;
  }

 private:
  /// Also undone when the coroutine is destroyed while it waits.
  struct Registration {
    Registration(std::vector<asio::steady_timer*>* list, asio::steady_timer* entry) : waiters(list), timer(entry) {
      waiters->push_back(timer);
    }
    ~Registration() { std::erase(*waiters, timer); }
    Registration(const Registration&) = delete;
    Registration& operator=(const Registration&) = delete;
    std::vector<asio::steady_timer*>* waiters;
    asio::steady_timer* timer;
  };

  bool open_ = false;
  std::vector<asio::steady_timer*> waiters_;
};

using Identity = peers::LineIdentity;

/// One question under way.
struct Pending {
  Gate settled;
  std::optional<Result<Json>> answer;
  std::shared_ptr<peers::OutgoingFrame> frame;
};

/// One open connection and the questions that wait on it.
struct Link {
  std::shared_ptr<peers::FramedSocket> socket;
  std::unordered_map<std::uint64_t, std::shared_ptr<Pending>> pending;
  std::uint64_t next_id = 1;
  int silent_timeouts = 0;  ///< time-outs in a row without any frame received
};

/// Keeps a question in its link's list for as long as somebody waits for it.
class PendingEntry {
 public:
  PendingEntry(std::shared_ptr<Link> link, std::uint64_t id, std::shared_ptr<Pending> pending) : link_(std::move(link)), id_(id) {
    link_->pending.emplace(id_, std::move(pending));
  }
  ~PendingEntry() { link_->pending.erase(id_); }
  PendingEntry(const PendingEntry&) = delete;
  PendingEntry& operator=(const PendingEntry&) = delete;

 private:
  std::shared_ptr<Link> link_;
  std::uint64_t id_;
};

/// One try to connect, and those who wait for its end.
struct Attempt {
  Attempt(const asio::any_io_executor& executor, Duration most) : stream(executor), limit(most) {}
  beast::tcp_stream stream;
  Duration limit;
  Gate ended;
  std::optional<Error> error;
  bool timed_out = false;
};

http::request<http::empty_body> UpgradeRequest(const Endpoint& peer, const Identity& identity) {
  http::request<http::empty_body> request(http::verb::get, std::string(peers::kUpgradePath), 11);
  request.set(http::field::host, peer.Text());
  request.set(http::field::connection, "Upgrade");
  request.set(http::field::upgrade, std::string(peers::kUpgradeToken));
  request.set(http::field::authorization, "Bearer " + identity.token.Reveal());
  request.set(std::string(peers::kRegionHeader), identity.self.text);
  return request;
}

/// Connections leave from our own region's address, so that the two ends of each name the two regions. Where that
/// address is not on this machine the system chooses one.
void BindSource(tcp::socket& socket, const tcp::endpoint& target, const Identity& identity) {
  if (!identity.source || identity.source->is_v4() != target.address().is_v4()) return;
  boost::system::error_code ignored;
  socket.open(target.protocol(), ignored);
  using PortLater = asio::detail::socket_option::boolean<IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT>;
  socket.set_option(PortLater(true), ignored);
  socket.bind(tcp::endpoint(*identity.source, 0), ignored);
}

}  // namespace

/// One region and lane.
class PeerClient::Channel : public std::enable_shared_from_this<Channel> {
 public:
  Channel(asio::any_io_executor executor, RegionName region, Endpoint endpoint, Lane lane, std::shared_ptr<const Identity> identity,
          Log log)
      : executor_(std::move(executor)),
        region_(std::move(region)),
        endpoint_(std::move(endpoint)),
        identity_(std::move(identity)),
        log_(log.With({{"peer", region_.text}, {"lane", LaneName(lane)}})) {}

  Task<Result<Json>> Ask(std::string method, Json parameters, Duration timeout);
  void Stop();

 private:
  [[nodiscard]] std::string Who() const { return "the agent of '" + region_.text + "' at '" + endpoint_.Text() + "'"; }
  Task<Result<std::shared_ptr<Link>>> OpenLink(SteadyClock::time_point deadline);
  std::shared_ptr<Attempt> JoinAttempt(Duration left);
  static Task<> Connect(std::shared_ptr<Channel> self, std::shared_ptr<Attempt> attempt);
  Task<Result<std::shared_ptr<peers::FramedSocket>>> Dial(std::shared_ptr<Attempt> attempt);
  Task<Result<std::shared_ptr<peers::FramedSocket>>> Upgrade(std::shared_ptr<Attempt> attempt);
  [[nodiscard]] Error DialError(Attempt& attempt, const boost::system::error_code& failure) const;
  [[nodiscard]] Error UpgradeRefused(unsigned status) const;
  static Task<> ReadLoop(std::shared_ptr<Channel> self, std::shared_ptr<Link> link);
  [[nodiscard]] Result<Unit> Settle(Link& link, const std::string& text) const;
  [[nodiscard]] Result<Json> GiveUp(const std::shared_ptr<Link>& link, Pending& pending, bool timed_out, Duration timeout);
  void Drop(std::shared_ptr<Link> link, const std::string& why);

  asio::any_io_executor executor_;
  RegionName region_;
  Endpoint endpoint_;
  std::shared_ptr<const Identity> identity_;
  Log log_;
  std::shared_ptr<Link> link_;        // nothing: not connected
  std::shared_ptr<Attempt> attempt_;  // nothing: not connecting
  std::optional<Error> refusal_;      // of the last try, unless it merely timed out
  SteadyClock::time_point refused_at_;
  bool stopped_ = false;
  bool told_ = false;  // that the peer cannot be reached: said once, not with every call
};

Task<Result<Json>> PeerClient::Channel::Ask(std::string method, Json parameters, Duration timeout) {
  const SteadyClock::time_point deadline = SteadyClock::now() + std::chrono::duration_cast<SteadyClock::duration>(timeout);
  Result<std::shared_ptr<Link>> opened = co_await OpenLink(deadline);
  if (!opened) co_return opened.error();
  const std::shared_ptr<Link> link = *opened;

  const std::uint64_t id = link->next_id;
  Result<std::string> bytes = peers::EncodeFrame(peers::QuestionText(id, method, parameters));
  if (!bytes) co_return bytes.error().Within("'" + method + "'");
  ++link->next_id;
  const auto pending = std::make_shared<Pending>();
  pending->frame = std::make_shared<peers::OutgoingFrame>();
  pending->frame->bytes = std::move(*bytes);
  const PendingEntry entry(link, id, pending);
  link->socket->Send(pending->frame);

  const bool waited = co_await pending->settled.WaitUntil(executor_, deadline);
  if (pending->answer) co_return std::move(*pending->answer);
  co_return GiveUp(link, *pending, waited, timeout);
}

/// Without an answer all depends on whether the question can have left.
Result<Json> PeerClient::Channel::GiveUp(const std::shared_ptr<Link>& link, Pending& pending, bool timed_out, Duration timeout) {
  const bool unsent = pending.frame->stage == peers::Sending::kQueued;
  if (unsent) pending.frame->stage = peers::Sending::kWithdrawn;
  if (timed_out && ++link->silent_timeouts >= kMostSilentTimeouts) {
    Drop(link, "two calls in a row timed out and nothing arrived meanwhile");
  }
  const std::string what = Who() + " did not answer within " + FormatDuration(timeout);
  // SAFETY: a question of which one byte may have left may have been acted upon; only an unsent one is safe to repeat.
  if (unsent) return RetryLater(what + ", and the question was not sent");
  return UnknownOutcome(what, "look again before trying again");
}

/// The open connection, made if there is none.
Task<Result<std::shared_ptr<Link>>> PeerClient::Channel::OpenLink(SteadyClock::time_point deadline) {
  for (;;) {
    if (stopped_) co_return RetryLater("the connections to other agents are closed");
    // An idle connection may have ended without our reader having had its turn yet.
    if (link_ && link_->pending.empty() && link_->socket->HasEnded()) Drop(link_, "the peer closed the connection");
    const SteadyClock::time_point now = SteadyClock::now();
    if (now >= deadline) co_return RetryLater("no time was left to ask " + Who());
    if (link_) co_return link_;
    if (refusal_ && now - refused_at_ < kRestAfterRefusal) co_return *refusal_;
    const std::shared_ptr<Attempt> attempt = JoinAttempt(deadline - now);
    const bool waited = co_await attempt->ended.WaitUntil(executor_, deadline);
    if (!waited) co_return RetryLater("the call was cancelled before it was sent");
    if (!attempt->ended.IsOpen()) co_return RetryLater(Who() + " could not be connected in time");
    // A try that was bounded by another call's shorter patience says nothing about ours: look again.
    if (attempt->error && !attempt->timed_out) co_return *attempt->error;
  }
}

std::shared_ptr<Attempt> PeerClient::Channel::JoinAttempt(Duration left) {
  if (attempt_) return attempt_;
  const auto attempt = std::make_shared<Attempt>(executor_, std::min(left, kMostConnectTime));
  attempt_ = attempt;
  // co_spawn may run it to its end before it returns, and then attempt_ is empty again.
  asio::co_spawn(executor_, Connect(shared_from_this(), attempt), asio::detached);
  return attempt;
}

Task<> PeerClient::Channel::Connect(std::shared_ptr<Channel> self, std::shared_ptr<Attempt> attempt) {
  Result<std::shared_ptr<peers::FramedSocket>> socket = co_await self->Dial(attempt);
  self->attempt_.reset();
  if (socket.ok() && self->stopped_) {
    (*socket)->Close();
    socket = RetryLater("the connections to other agents are closed");
  }
  if (socket.ok()) {
    self->link_ = std::make_shared<Link>();
    self->link_->socket = *socket;
    self->refusal_.reset();
    self->told_ = false;
    self->log_.Info("connected to the agent of another region", {{"address", self->endpoint_.Text()}});
    asio::co_spawn(self->executor_, ReadLoop(self, self->link_), asio::detached);
  } else {
    attempt->error = socket.error();
    if (!attempt->timed_out) {
      self->refusal_ = socket.error();
      self->refused_at_ = SteadyClock::now();
    }
    if (!self->told_) self->log_.Warn("cannot reach the agent of another region", {{"why", socket.error().message}});
    self->told_ = true;
  }
  attempt->ended.Open();
}

Task<Result<std::shared_ptr<peers::FramedSocket>>> PeerClient::Channel::Dial(std::shared_ptr<Attempt> attempt) {
  boost::system::error_code bad_address;
  const asio::ip::address address = asio::ip::make_address(endpoint_.host, bad_address);
  if (bad_address) co_return Fail("the agent's address of '" + region_.text + "' is not an IP address: '" + endpoint_.host + "'");
  // The token would travel in the clear. Private networks are judged where the configuration is read (peers.allow_plaintext).
  if (ReachOf(endpoint_.host) == AddressReach::kPublic) {
    co_return Fail(Who() + " is beyond loopback, and agents do not speak TLS",
                   "use a loopback address or a tunnel that ends on one");
  }
  const tcp::endpoint target(address, endpoint_.port);
  BindSource(attempt->stream.socket(), target, *identity_);
  attempt->stream.expires_after(attempt->limit);
  const auto [failure] = co_await attempt->stream.async_connect(target, kNoThrow);
  if (failure) co_return DialError(*attempt, failure);
  peers::TunePeerSocket(attempt->stream.socket());
  co_return co_await Upgrade(attempt);
}

Task<Result<std::shared_ptr<peers::FramedSocket>>> PeerClient::Channel::Upgrade(std::shared_ptr<Attempt> attempt) {
  const http::request<http::empty_body> request = UpgradeRequest(endpoint_, *identity_);
  const auto [unsent, written] = co_await http::async_write(attempt->stream, request, kNoThrow);
  if (unsent) co_return DialError(*attempt, unsent);
  beast::flat_buffer buffer;
  http::response_parser<http::empty_body> parser;
  const auto [unread, size] = co_await http::async_read_header(attempt->stream, buffer, parser, kNoThrow);
  if (unread) co_return DialError(*attempt, unread);
  if (parser.get().result() != http::status::switching_protocols) co_return UpgradeRefused(parser.get().result_int());
  const auto early = buffer.cdata();
  attempt->stream.expires_never();
  const std::string_view early_bytes(static_cast<const char*>(early.data()), early.size());
  co_return std::make_shared<peers::FramedSocket>(attempt->stream.release_socket(), early_bytes);
}

Error PeerClient::Channel::DialError(Attempt& attempt, const boost::system::error_code& failure) const {
  attempt.timed_out = failure == beast::error::timeout;
  if (attempt.timed_out) return RetryLater(Who() + " could not be connected within " + FormatDuration(attempt.limit));
  return RetryLater(Who() + " cannot be reached (" + failure.message() + ")");
}

Error PeerClient::Channel::UpgradeRefused(unsigned status) const {
  const std::string what = Who() + " refused the connection with status '" + std::to_string(status) + "'";
  switch (status) {
    case 401: return Fail(what + ": it knows another token", "give all agents the same content of 'token_file', then restart them");
    case 426: return Fail(what + ": it speaks another version", "run the same version of Lifeboat in all regions");
    case 503: return RetryLater(what);
    default: return Fail(what, "is that port an agent's? compare it with the configuration");
  }
}

Task<> PeerClient::Channel::ReadLoop(std::shared_ptr<Channel> self, std::shared_ptr<Link> link) {
  for (;;) {
    const Result<std::string> text = co_await link->socket->Read();
    Result<Unit> settled = Done();
    if (text.ok()) {
      settled = self->Settle(*link, *text);
    } else {
      settled = text.error();
    }
    if (!settled) {
      self->Drop(link, settled.error().message);
      co_return;
    }
  }
}

/// Hands one answer to whoever waits for it. @error kFail: it is no answer to anything that was asked
Result<Unit> PeerClient::Channel::Settle(Link& link, const std::string& text) const {
  Result<peers::Answer> answer = peers::ParseAnswer(text);
  if (!answer) return answer.error();
  if (answer->id >= link.next_id) return Fail("an answer to a question that was never asked");
  link.silent_timeouts = 0;
  const auto found = link.pending.find(answer->id);
  if (found == link.pending.end()) return Done();  // too late: its caller has gone
  found->second->answer = std::move(answer->result);
  found->second->settled.Open();
  return Done();
}

/// Ends a connection and all that waits on it. Takes `link` by value, since link_ itself is passed, and reset here.
void PeerClient::Channel::Drop(std::shared_ptr<Link> link, const std::string& why) {
  if (link->socket->IsClosed() && link_ != link) return;
  // SAFETY: a question that was given up must not leave the kernel's buffer seconds later, when a cut network heals.
  link->socket->Abort();
  if (link_ == link) link_.reset();
  log_.Info("the connection to the agent of another region ended", {{"why", why}});
  for (const auto& [id, pending] : link->pending) {
    if (pending->answer) continue;
    const std::string what = "the connection to " + Who() + " was lost";
    // SAFETY: as in GiveUp: only a question of which no byte has left is safe to repeat.
    if (pending->frame->stage == peers::Sending::kQueued) {
      pending->answer = RetryLater(what + " before the question was sent");
    } else {
      pending->answer = UnknownOutcome(what + " before the answer came", "look again before trying again");
    }
    pending->settled.Open();
  }
}

void PeerClient::Channel::Stop() {
  stopped_ = true;
  if (link_) Drop(link_, "closed by us");
  if (attempt_) attempt_->stream.close();
}

PeerClient::PeerClient(asio::any_io_executor executor, RegionName self, std::map<RegionName, Endpoint> peers, Secret token,
                       Log log) {
  const auto identity = std::make_shared<Identity>();
  identity->self = self;
  identity->token = std::move(token);
  const auto own = peers.find(self);
  if (own != peers.end()) {
    boost::system::error_code bad_address;
    const asio::ip::address address = asio::ip::make_address(own->second.host, bad_address);
    if (!bad_address) identity->source = address;
  }
  for (const auto& [region, endpoint] : peers) {
    for (const Lane lane : {Lane::kLease, Lane::kWork}) {
      channels_.emplace(std::pair(region, lane), std::make_shared<Channel>(executor, region, endpoint, lane, identity, log));
    }
    lines_.emplace(region, std::make_shared<peers::DatagramLine>(executor, region, endpoint, identity, log));
  }
}

PeerClient::~PeerClient() {
  for (const auto& [key, channel] : channels_) channel->Stop();
  for (const auto& [region, line] : lines_) line->Stop();
}

Task<Result<Json>> PeerClient::Call(RegionName region, std::string method, Json parameters, Duration timeout, Lane lane) {
  const auto found_line = lines_.find(region);
  if (found_line == lines_.end()) co_return Fail("there is no agent of a region '" + region.text + "'");
  // Kept alive here, as the channel below: the client may be destroyed while its calls end.
  const std::shared_ptr<peers::DatagramLine> line = found_line->second;
  if (lane == Lane::kDatagram) co_return co_await line->Ask(std::move(method), std::move(parameters), timeout);
  const auto found = channels_.find(std::pair(region, lane));
  const std::shared_ptr<Channel> channel = found->second;
  co_return co_await channel->Ask(std::move(method), std::move(parameters), timeout);
}

}  // namespace lifeboat
