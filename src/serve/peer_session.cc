#include <boost/asio.hpp>

#include "serve/service_internal.h"

namespace lifeboat::serve {

namespace asio = boost::asio;

namespace {

// Answers that a peer does not fetch; past this it is not reading at all.
constexpr std::size_t kMostAnswersQueued = 4 * kMostQuestionsInFlight;

void SendAnswer(peers::FramedSocket& socket, std::uint64_t id, const Result<Json>& result) {
  Result<std::string> bytes = peers::EncodeFrame(peers::AnswerText(id, result));
  if (!bytes) {
    // The work is done; that its answer cannot travel does not undo it.
    const Error too_large = UnknownOutcome("the answer is too large: " + bytes.error().message, "ask for less");
    bytes = peers::EncodeFrame(peers::AnswerText(id, too_large));
  }
  if (!bytes) return;
  auto frame = std::make_shared<peers::OutgoingFrame>();
  frame->bytes = std::move(*bytes);
  socket.Send(std::move(frame));
}

/// One peer's connection.
struct Peer {
  std::shared_ptr<Service> service;
  std::shared_ptr<peers::FramedSocket> socket;
  std::shared_ptr<std::size_t> working = std::make_shared<std::size_t>(0);
  std::uint64_t last_id = 0;
};

Task<> AnswerQuestion(std::shared_ptr<Peer> peer, peers::Question question) {
  const Counted counted(peer->working);
  const Result<Json> result = co_await Work(peer->service, question.method, std::move(question.parameters));
  SendAnswer(*peer->socket, question.id, result);
}

/// Starts the work on one question. @error kFail: the connection must end
Result<Unit> Begin(const asio::any_io_executor& executor, const std::shared_ptr<Peer>& peer, const std::string& text) {
  Result<peers::Question> question = peers::ParseQuestion(text);
  if (!question) return question.error();
  if (question->id <= peer->last_id) return Fail("the id '" + std::to_string(question->id) + "' came after a higher one");
  peer->last_id = question->id;
  const std::size_t queued = peer->socket->QueueLength();
  if (queued >= kMostAnswersQueued) return Fail("it does not fetch its answers");
  // An answer that waits to be written holds memory as work does, and counts as such.
  if (*peer->working + queued >= kMostQuestionsInFlight) {
    SendAnswer(*peer->socket, question->id, RetryLater("this agent works on too many questions of yours already"));
    return Done();
  }
  asio::co_spawn(executor, AnswerQuestion(peer, std::move(*question)), Report(peer->service->log));
  return Done();
}

}  // namespace

Task<Result<Json>> Work(std::shared_ptr<Service> service, std::string method, Json parameters) {
  const Counted counted(std::shared_ptr<std::size_t>(service, &service->in_flight));
  std::string thrown;
  try {
    Task<Result<Json>> task = service->handler(method, std::move(parameters));
    co_return co_await std::move(task);
  } catch (const std::exception& exception) {
    thrown = exception.what();
  } catch (...) {
    thrown = "an unknown exception";
  }
  service->log.Error("a question ended with an exception", {{"method", method}, {"what", thrown}});
  co_return UnknownOutcome("'" + method + "' ended with an internal error", "see the agent's log; look again before trying again");
}

Task<> ServePeer(std::shared_ptr<Service> service, std::shared_ptr<peers::FramedSocket> socket, std::string region) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  const Log log = service->log.With({{"peer", region}});
  const auto peer = std::make_shared<Peer>();
  peer->service = service;
  peer->socket = socket;
  log.Info("another agent connected");
  for (;;) {
    const Result<std::string> text = co_await socket->Read();
    Result<Unit> begun = Done();
    if (text.ok()) {
      begun = Begin(executor, peer, *text);
    } else {
      begun = text.error();
    }
    if (begun.ok()) continue;
    const bool malformed = begun.error().retry == Retry::kFail;
    if (malformed) log.Warn("another agent's connection was ended: it broke the format", {{"why", begun.error().message}});
    if (!malformed) log.Info("another agent's connection ended", {{"why", begun.error().message}});
    socket->Close();
    co_return;
  }
}

std::function<void(std::exception_ptr)> Report(Log log) {
  return [log = std::move(log)](const std::exception_ptr& thrown) {
    if (!thrown) return;
    try {
      std::rethrow_exception(thrown);
    } catch (const std::exception& exception) {
      log.Error("a connection ended with an exception", {{"what", exception.what()}});
    } catch (...) {
      log.Error("a connection ended with an unknown exception");
    }
  };
}

}  // namespace lifeboat::serve
