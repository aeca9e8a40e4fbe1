#include "serve/datagram_desk.h"

#include <boost/asio.hpp>

#include "adapters/peers/wire.h"

namespace lifeboat::serve {

namespace asio = boost::asio;
using asio::ip::udp;

namespace {
constexpr auto kNoThrow = asio::as_tuple(asio::use_awaitable);
constexpr auto kRestAfterError = std::chrono::milliseconds(100);
}  // namespace

boost::system::error_code DatagramDesk::Open(const udp::endpoint& address) {
  boost::system::error_code failure;
  socket_.open(address.protocol(), failure);
  if (!failure) socket_.bind(address, failure);
  if (!failure) socket_.non_blocking(true, failure);
  return failure;
}

void DatagramDesk::Start(std::shared_ptr<Service> service) {
  service_ = std::move(service);
  asio::co_spawn(socket_.get_executor(), ReadLoop(shared_from_this()), Report(service_->log));
}

void DatagramDesk::Stop() {
  boost::system::error_code ignored;  // closed is closed
  socket_.close(ignored);
}

Task<> DatagramDesk::ReadLoop(std::shared_ptr<DatagramDesk> self) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  while (!self->service_->stopped) {
    const auto room = asio::buffer(self->chunk_);
    const auto [failure, size] = co_await self->socket_.async_receive_from(room, self->from_, kNoThrow);
    if (self->service_->stopped) co_return;
    if (!failure) {
      self->service_->metrics->CountDatagram(self->Take(std::string_view(self->chunk_.data(), size)));
      continue;
    }
    self->service_->metrics->CountDatagram("failed");
    asio::steady_timer rest(executor, kRestAfterError);
    co_await rest.async_wait(kNoThrow);
  }
}

/// Begins the work on one datagram from from_, or drops it. @return what became of it, for the metrics
const char* DatagramDesk::Take(std::string_view bytes) {
  Result<peers::Datagram> datagram = peers::Open(bytes, service_->token);
  if (!datagram) return datagram.error().retry == Retry::kRefused ? "not_authenticated" : "malformed";
  if (datagram->direction != peers::Direction::kQuestion) return "malformed";
  if (datagram->to != rules_.self) return "other_region";
  if (*working_ >= kMostDatagramsInFlight) return "busy";
  asio::co_spawn(socket_.get_executor(), Answer(shared_from_this(), *std::move(datagram), from_), Report(service_->log));
  return "taken";
}

Task<> DatagramDesk::Answer(std::shared_ptr<DatagramDesk> self, peers::Datagram asked, udp::endpoint from) {
  const Counted counted(self->working_);
  Result<peers::Question> question = peers::ParseBareQuestion(asked.text);
  Result<Json> result = Fail("not understood");
  if (!question) {
    result = question.error();
  } else if (!self->rules_.answers(question->method)) {
    // SAFETY: a datagram may come twice, and not every handler may be asked twice.
    result = NotFound("'" + question->method + "' is not answered on datagrams");
  } else {
    result = co_await Work(self->service_, question->method, std::move(question->parameters));
  }
  self->Send(asked, result, from);
}

void DatagramDesk::Send(const peers::Datagram& question, const Result<Json>& result, const udp::endpoint& to) {
  if (service_->stopped) return;
  peers::Datagram answer{peers::Direction::kAnswer, question.id, question.to, question.from, peers::BareAnswerText(result)};
  Result<std::string> bytes = peers::Seal(answer, service_->token);
  if (!bytes) {
    // The work is done; that its answer cannot travel does not undo it.
    const Error too_large = UnknownOutcome("the answer is too large: " + bytes.error().message, "ask over TCP");
    answer.text = peers::BareAnswerText(too_large);
    bytes = peers::Seal(answer, service_->token);
  }
  boost::system::error_code failure;
  if (bytes) socket_.send_to(asio::buffer(*bytes), to, 0, failure);
  if (!bytes || failure) service_->metrics->CountDatagram("not_answered");
}

}  // namespace lifeboat::serve
