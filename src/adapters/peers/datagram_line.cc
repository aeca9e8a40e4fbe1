#include "adapters/peers/datagram_line.h"

#include <boost/asio.hpp>
#include <chrono>

#include "adapters/peers/wire.h"
#include "base/address_reach.h"

namespace lifeboat::peers {

namespace asio = boost::asio;
using asio::ip::udp;
using SteadyClock = std::chrono::steady_clock;

namespace {
constexpr auto kNoThrow = asio::as_tuple(asio::use_awaitable);
constexpr const char* kLookAgain = "look again before trying again";
}  // namespace

/// One question that was sent.
struct DatagramLine::Waiting {
  Waiting(const asio::any_io_executor& executor, SteadyClock::time_point deadline) : timer(executor, deadline) {}
  void Settle(Result<Json> result) {
    if (answer) return;
    answer = std::move(result);
    timer.cancel();
  }
  asio::steady_timer timer;
  std::optional<Result<Json>> answer;
};

/// Keeps a question in the list for as long as somebody waits for it; also when its coroutine is destroyed.
struct DatagramLine::Entry {
  Entry(std::shared_ptr<DatagramLine> in, std::uint64_t as, Waiting* waiting) : line(std::move(in)), id(as) {
    line->waiting_.emplace(id, waiting);
  }
  ~Entry() { line->waiting_.erase(id); }
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;
  std::shared_ptr<DatagramLine> line;
  std::uint64_t id;
};

DatagramLine::DatagramLine(asio::any_io_executor executor, RegionName region, Endpoint endpoint,
                           std::shared_ptr<const LineIdentity> identity, Log log)
    : executor_(std::move(executor)),
      region_(std::move(region)),
      endpoint_(std::move(endpoint)),
      identity_(std::move(identity)),
      log_(log.With({{"peer", region_.text}, {"lane", "datagram"}})) {}

Task<Result<Json>> DatagramLine::Ask(std::string method, Json parameters, Duration timeout) {
  if (stopped_) co_return RetryLater("the connections to other agents are closed");
  if (timeout <= 0s) co_return RetryLater("no time was left to ask " + Who());
  if (waiting_.size() >= kMostDatagramsWaiting) co_return RetryLater("too many questions wait for " + Who());
  Datagram question;
  question.id = RandomId();
  question.from = identity_->self;
  question.to = region_;
  question.text = BareQuestionText(method, parameters);
  const Result<std::string> bytes = Seal(question, identity_->token);
  if (!bytes) co_return bytes.error().Within("'" + method + "'");
  const Result<Unit> open = OpenSocket();
  if (!open) co_return open.error();

  Waiting waiting(executor_, SteadyClock::now() + std::chrono::duration_cast<SteadyClock::duration>(timeout));
  const Result<Unit> sent = Send(*bytes);
  if (!sent) co_return sent.error();
  const Entry entry(shared_from_this(), question.id, &waiting);  // only now: Send may give up all that were sent before
  co_await waiting.timer.async_wait(kNoThrow);
  if (waiting.answer) co_return std::move(*waiting.answer);
  co_return UnknownOutcome(Who() + " did not answer within " + FormatDuration(timeout), kLookAgain);
}

/// Sends in this very call or never: a datagram that waited here would be asked after its asker gave it up.
Result<Unit> DatagramLine::Send(const std::string& bytes) {
  boost::system::error_code failure;
  socket_->send(asio::buffer(bytes), 0, failure);
  if (failure == asio::error::connection_refused) {
    // The kernel's word about an earlier question; this one has not been sent yet.
    GiveUpAll("nobody listens there");
    socket_->send(asio::buffer(bytes), 0, failure);
  }
  if (!failure) return Done();
  // SAFETY: the kernel took none of it, so it is safe to repeat.
  return RetryLater(Who() + " cannot be asked (" + failure.message() + ")");
}

Result<Unit> DatagramLine::OpenSocket() {
  if (socket_) return Done();
  boost::system::error_code failure;
  const asio::ip::address address = asio::ip::make_address(endpoint_.host, failure);
  if (failure) return Fail("the agent's address of '" + region_.text + "' is not an IP address: '" + endpoint_.host + "'");
  // What is asked and answered would travel in the clear; private networks are judged where the configuration is read.
  if (ReachOf(endpoint_.host) == AddressReach::kPublic) {
    return Fail(Who() + " is beyond loopback, and agents do not encrypt", "use a loopback address or a tunnel that ends on one");
  }
  const udp::endpoint target(address, endpoint_.port);
  const auto socket = std::make_shared<udp::socket>(executor_);
  socket->open(target.protocol(), failure);
  boost::system::error_code ignored;  // an address that is not on this machine: the system chooses one
  const bool bound = !failure && identity_->source && identity_->source->is_v4() == address.is_v4();
  if (bound) socket->bind(udp::endpoint(*identity_->source, 0), ignored);
  if (!failure) socket->connect(target, failure);
  if (!failure) socket->non_blocking(true, failure);
  if (failure) return RetryLater(Who() + " cannot be asked (" + failure.message() + ")");
  socket_ = socket;
  asio::co_spawn(executor_, ReadLoop(shared_from_this(), socket), asio::detached);
  return Done();
}

Task<> DatagramLine::ReadLoop(std::shared_ptr<DatagramLine> self, std::shared_ptr<udp::socket> socket) {
  while (!self->stopped_ && self->socket_ == socket) {
    const auto room = asio::buffer(self->chunk_);
    const auto [failure, size] = co_await socket->async_receive(room, kNoThrow);
    if (self->stopped_ || self->socket_ != socket) co_return;
    if (!failure) {
      self->Take(std::string_view(self->chunk_.data(), size));
    } else if (failure == asio::error::connection_refused) {
      self->GiveUpAll("nobody listens there");
    } else {
      // The next question opens a new socket.
      self->GiveUpAll(failure.message());
      self->socket_.reset();
    }
  }
}

/// SAFETY: an answer counts when it is sealed with our token, comes from the region that was asked (and by the socket from its
/// address), is meant for us, and its question still waits. Everything else is dropped.
void DatagramLine::Take(std::string_view bytes) {
  const Result<Datagram> datagram = Open(bytes, identity_->token);
  if (!datagram || datagram->direction != Direction::kAnswer) return;
  if (datagram->from != region_ || datagram->to != identity_->self) return;
  const auto found = waiting_.find(datagram->id);
  if (found == waiting_.end()) return;  // late, or the second copy
  if (told_) log_.Info("the agent of another region answers datagrams again");
  told_ = false;
  Result<Answer> answer = ParseBareAnswer(datagram->text);
  if (answer) {
    found->second->Settle(std::move(answer->result));
  } else {
    found->second->Settle(UnknownOutcome(Who() + " answered something that is not understood", kLookAgain));
  }
}

/// SAFETY: all of them were sent, and one may have arrived before the agent went away: none is known not to have been acted upon.
void DatagramLine::GiveUpAll(const std::string& why) {
  if (!told_) log_.Warn("the agent of another region takes no datagrams", {{"why", why}});
  told_ = true;
  for (const auto& [id, waiting] : waiting_) waiting->Settle(UnknownOutcome(Who() + " did not answer: " + why, kLookAgain));
}

void DatagramLine::Stop() {
  stopped_ = true;
  boost::system::error_code ignored;  // closed is closed
  if (socket_) socket_->close(ignored);
  for (const auto& [id, waiting] : waiting_)
    waiting->Settle(UnknownOutcome("the connection to " + Who() + " was closed", kLookAgain));
}

}  // namespace lifeboat::peers
