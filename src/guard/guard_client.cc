#include "guard/guard_client.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/generic/seq_packet_protocol.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>
#include <utility>

namespace lifeboat {

namespace {

namespace asio = boost::asio;
using asio::generic::seq_packet_protocol;
using guard_protocol::Answer;
using guard_protocol::Question;

Error NotThere(const std::string& path, const std::string& why) {
  return RetryLater("the guard at '" + path + "' " + why, "see that 'lifeboat guard' runs in this region and read its log");
}

/// Optional since Asio makes an empty one for the case of an exception.
using Heard = std::optional<Result<Answer>>;

/// One question and its answer, without a time limit.
Task<Heard> Exchange(std::string path, Question question) {
  const auto token = asio::as_tuple(asio::use_awaitable);
  const seq_packet_protocol protocol(AF_UNIX, 0);
  seq_packet_protocol::socket socket(co_await asio::this_coro::executor, protocol);
  const seq_packet_protocol::endpoint endpoint(asio::local::stream_protocol::endpoint{path});
  if (const auto [error] = co_await socket.async_connect(endpoint, token); error)
    co_return NotThere(path, "is not there: " + error.message());
  const auto [send_error, sent] = co_await socket.async_send(asio::buffer(&question, sizeof question), 0, token);
  if (send_error || sent != sizeof question) co_return NotThere(path, "was not reached: " + send_error.message());
  Answer answer;
  seq_packet_protocol::socket::message_flags flags = 0;
  const auto [error, size] = co_await socket.async_receive(asio::buffer(&answer, sizeof answer), flags, token);
  if (error) co_return NotThere(path, "ended the connection: " + error.message());
  if (size != sizeof answer || answer.magic != guard_protocol::kMagic || answer.number != question.number) {
    co_return NotThere(path, "gave an answer that is not understood");
  }
  co_return answer;
}

Task<Heard> TimeOut(std::string path, Duration timeout) {
  asio::steady_timer timer(co_await asio::this_coro::executor, timeout);
  co_await timer.async_wait(asio::use_awaitable);
  co_return NotThere(path, "did not answer within " + FormatDuration(timeout));
}

Result<Unit> Read(const Answer& answer, Epoch epoch) {
  const std::string number = std::to_string(epoch.number);
  switch (static_cast<GuardAnswer>(answer.answer)) {
    case GuardAnswer::kDone: return Done();
    case GuardAnswer::kLowerEpoch:
      return Refused("the guard has heard of epoch " + std::to_string(answer.epoch) + " and refuses epoch " + number);
    case GuardAnswer::kDeadlinePassed: return Refused("the guard refuses a deadline of epoch " + number + " that has passed");
    case GuardAnswer::kDeadlineTooFar:
      return Refused("the guard refuses a deadline of epoch " + number + " that is farther than any lease is long");
    case GuardAnswer::kOtherBoot:
      return Refused("the guard refuses a deadline of epoch " + number + " read in another boot of this machine");
    case GuardAnswer::kStillKilling: return RetryLater("the guard is still ending the database's processes");
    case GuardAnswer::kNotRecorded:
      return Fail("the guard cannot record epoch " + number, "free space in its state directory and read its log");
    case GuardAnswer::kNotFenced:
      return Fail("the guard ended the database's processes, but cannot place the fence",
                  "place 'standby.signal' in the data directory by hand, and read the guard's log");
    case GuardAnswer::kObserves:
      return Refused("the guard only observes: it was started with 'automation: observe'",
                     "restart the guard with the present configuration");
    case GuardAnswer::kNoGate: return Refused("there is no gate in force that could be closed for epoch " + number);
    case GuardAnswer::kActs:
      return Refused("the guard acts: it was started with 'automation: act'", "restart the guard with the present configuration");
    case GuardAnswer::kNotUnderstood: break;
  }
  return Fail("the guard did not understand the question", "agent and guard must be of one version");
}

const char* Sentence(guard_protocol::GateStanding standing) {
  using enum guard_protocol::GateStanding;
  switch (standing) {
    case kNotConfigured: return "no gate_file is configured";
    case kNoFile: return "the gate file cannot be used; the guard's log says why";
    case kNotAttached: return "no server runs that has loaded lifeboat_gate with this gate file";
    case kTurnedOff: return "turned off by setting lifeboat.gate";
    case kClosed: return "closed";
    case kOpen: return "open";
    case kClosedForGood: return "closed for good: the epoch was released";
    case kHeldOpen: return "held open: it refuses nothing";
  }
  return "not known";
}

}  // namespace

GuardClient::GuardClient(std::string socket_path) : socket_path_(std::move(socket_path)), boot_id_(ReadBootId()) {}

Task<Result<Answer>> GuardClient::Ask(Question question, Duration timeout) {
  using namespace asio::experimental::awaitable_operators;  // NOLINT(google-build-using-namespace): the operators
  question.number = ++last_number_;
  if (socket_path_.size() > 107) co_return Fail("the path of the guard's socket '" + socket_path_ + "' is longer than 107 bytes");
  Task<Heard> exchange = Exchange(socket_path_, question);
  Task<Heard> time_out = TimeOut(socket_path_, timeout);
  auto first = co_await (std::move(exchange) || std::move(time_out));
  const Heard heard = first.index() == 0 ? std::get<0>(first) : std::get<1>(first);
  LIFEBOAT_CHECK(heard.has_value(), "neither an answer nor a timeout");
  co_return *heard;
}

Task<Result<Unit>> GuardClient::Permit(Epoch epoch, Instant deadline, Duration length, Duration timeout) {
  Question question;
  question.kind = guard_protocol::Kind::kPermit;
  question.epoch = epoch.number;
  question.deadline_boot = deadline.boot.count();
  question.deadline_raw = deadline.raw.count();
  question.length = length.count();
  question.boot_id = guard_protocol::PackBootId(boot_id_);
  const Result<Answer> answer = co_await Ask(question, timeout);
  if (!answer) co_return answer.error();
  co_return Read(*answer, epoch);
}

Task<Result<Unit>> GuardClient::Forbid(Epoch epoch, Duration timeout) {
  Question question;
  question.kind = guard_protocol::Kind::kForbid;
  question.epoch = epoch.number;
  const Result<Answer> answer = co_await Ask(question, timeout);
  if (!answer) co_return answer.error();
  co_return Read(*answer, epoch);
}

Task<Result<Unit>> GuardClient::Close(Epoch epoch, Duration timeout) {
  Question question;
  question.kind = guard_protocol::Kind::kClose;
  question.epoch = epoch.number;
  const Result<Answer> answer = co_await Ask(question, timeout);
  if (!answer) co_return answer.error();
  co_return Read(*answer, epoch);
}

Task<Result<Unit>> GuardClient::Hold(Epoch epoch, Duration timeout) {
  Question question;
  question.kind = guard_protocol::Kind::kHold;
  question.epoch = epoch.number;
  const Result<Answer> answer = co_await Ask(question, timeout);
  if (!answer) co_return answer.error();
  co_return Read(*answer, epoch);
}

Task<GuardState> GuardClient::Look(Duration timeout) {
  const Question question;
  const Result<Answer> answer = co_await Ask(question, timeout);
  GuardState state;
  if (!answer || answer->answer != static_cast<std::uint32_t>(GuardAnswer::kDone)) co_return state;
  state.reachable = true;
  state.armed = answer->armed != 0;
  state.fired = answer->fired != 0;
  state.left = Duration(answer->left);
  state.worst_kill = Duration(answer->worst_kill);
  state.kills = answer->kills;
  state.observes = (answer->flags & guard_protocol::kFlagObserves) != 0;
  state.held = (answer->flags & guard_protocol::kFlagHeld) != 0;
  state.gate = guard_protocol::IsInForce(answer->gate);
  state.gate_state = Sentence(answer->gate);
  co_return state;
}

}  // namespace lifeboat
