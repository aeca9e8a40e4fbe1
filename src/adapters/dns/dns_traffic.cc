#include "adapters/dns/dns_traffic.h"

#include <sys/stat.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>

#include "adapters/dns/dns_transport.h"

namespace lifeboat {

namespace {

namespace asio = boost::asio;
using std::chrono::steady_clock;

constexpr int kMostUpdates = 5;  // each lost to another writer; more is not a race but a quarrel
constexpr auto kBeforeAnother = std::chrono::milliseconds(100);

struct Question {
  Endpoint server;
  std::string name;
  RecordType type;
  steady_clock::time_point deadline;
};

Error NotAuthoritative(const Question& question, const std::string& why) {
  return Fail("DNS server '" + question.server.Text() + "' answered '" + why + "' for '" + question.name + "'",
              "dns.server must be the authoritative primary of the zone");
}

/// One question to the authoritative server; the answer is NOERROR or NXDOMAIN.
Task<Result<DnsAnswer>> AskAuthority(asio::any_io_executor executor, Question question) {
  Result<Request> request = BuildQuestion(question.name, question.type);
  if (!request) co_return request.error();
  Exchange exchange;
  exchange.server = question.server;
  exchange.request = *request;
  exchange.accept = [name = question.name, type = question.type, asked = *request](const Bytes& bytes) {
    return ParseAnswer(bytes, asked, name, type);
  };
  exchange.deadline = question.deadline;
  Result<DnsAnswer> answer = co_await Carry(executor, std::move(exchange));
  if (!answer) {
    Error error = answer.error();
    if (error.retry == Retry::kUnknownOutcome) error.retry = Retry::kRetry;  // a question changes nothing
    co_return error;
  }
  if (answer->rcode == rcode::kServFail) {
    co_return RetryLater("DNS server '" + question.server.Text() + "' answered 'SERVFAIL' for '" + question.name + "'",
                         "look at the server's log: has it loaded the zone?");
  }
  if (answer->rcode != rcode::kNoError && answer->rcode != rcode::kNxDomain)
    co_return NotAuthoritative(question, answer->rcode_text);
  if (!answer->authoritative) co_return NotAuthoritative(question, "not authoritative");
  if (answer->is_alias) {
    co_return Fail("'" + question.name + "' is an alias (CNAME)", "point dns.name to a name that has addresses of its own");
  }
  co_return answer;
}

Task<> Pause(asio::any_io_executor executor, Duration time) {
  asio::steady_timer timer(executor, time);
  co_await timer.async_wait(asio::use_awaitable);
}

Result<TsigKey> KeyFrom(const DnsSettings& settings, Result<Secret> secret) {
  if (!secret) return secret.error();
  TsigKey key{settings.key_name, settings.key_algorithm, std::move(secret).value()};
  if (Result<Unit> sound = CheckTsigKey(key); !sound) return sound.error();
  return key;
}

const char* TsigErrorText(int error) {
  switch (error) {
    case 16: return "BADSIG";
    case 17: return "BADKEY";
    case 18: return "BADTIME";
    case 22: return "BADTRUNC";
    default: return "";
  }
}

}  // namespace

Result<Secret> ReadTsigSecret(const std::string& file) {
  struct ::stat status {};
  if (::stat(file.c_str(), &status) != 0) return Fail("cannot read the TSIG key file '" + file + "': " + std::strerror(errno));
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return Fail("the TSIG key file '" + file + "' can be read by others", "chmod 600 '" + file + "'");
  }
  std::ifstream in(file);
  std::string text;
  in >> text;
  if (!in || text.empty()) return Fail("the TSIG key file '" + file + "' cannot be read or is empty", "it holds the base64 secret");
  return Secret(std::move(text));
}

DnsTraffic::DnsTraffic(asio::any_io_executor executor, DnsSettings settings, Result<Secret> secret, Log log)
    : executor_(std::move(executor)),
      settings_(std::move(settings)),
      key_(KeyFrom(settings_, std::move(secret))),
      log_(std::move(log)) {}

Task<Result<RecordSet>> DnsTraffic::AskSet(std::string name, RecordType type, Moment deadline, bool* exists) {
  Question question{settings_.server, std::move(name), type, deadline};
  Result<DnsAnswer> answer = co_await AskAuthority(executor_, std::move(question));
  if (!answer) co_return answer.error();
  if (answer->rcode == rcode::kNoError) *exists = true;
  co_return std::move(answer->records);
}

Task<Result<NameState>> DnsTraffic::Look(Moment deadline) {
  // The epoch first: an address read after it is at least as new, so a new epoch is never shown beside an old address.
  NameState state;
  Result<RecordSet> texts = co_await AskSet(EpochNameOf(settings_.name), RecordType::kTxt, deadline, &state.exists);
  if (!texts) co_return texts.error();
  Result<RecordSet> ipv4 = co_await AskSet(settings_.name, RecordType::kA, deadline, &state.exists);
  if (!ipv4) co_return ipv4.error();
  Result<RecordSet> ipv6 = co_await AskSet(settings_.name, RecordType::kAaaa, deadline, &state.exists);
  if (!ipv6) co_return ipv6.error();
  state.texts = std::move(texts).value();
  state.ipv4 = std::move(ipv4).value();
  state.ipv6 = std::move(ipv6).value();
  co_return state;
}

Task<Result<TrafficRecord>> DnsTraffic::Read(Duration timeout) {
  Result<NameState> state = co_await Look(steady_clock::now() + timeout);
  if (!state) co_return state.error();
  if (!state->exists) co_return NotFound("'" + settings_.name + "' does not exist at DNS server '" + settings_.server.Text() + "'");
  Result<std::optional<Epoch>> epoch = EpochIn(state->texts);
  if (!epoch) co_return epoch.error();
  const RecordSet& addresses = state->ipv4.values.empty() ? state->ipv6 : state->ipv4;
  TrafficRecord record;
  record.epoch = *epoch;
  record.ttl = addresses.ttl;
  if (!addresses.values.empty()) record.address = addresses.values.front();
  co_return record;
}

bool DnsTraffic::PointsTo(const NameState& state, const std::string& address) const {
  const RecordSet& used = state.ipv4.values.empty() ? state.ipv6 : state.ipv4;
  if (state.ipv4.values.size() + state.ipv6.values.size() != 1) return false;
  boost::system::error_code problem;
  const auto wanted = asio::ip::make_address(address, problem);
  const auto found = asio::ip::make_address(used.values.front(), problem);
  return !problem && wanted == found;
}

Error DnsTraffic::Denied(const DnsAnswer& answer) const {
  const std::string server = "DNS server '" + settings_.server.Text() + "'";
  const std::string detail = *TsigErrorText(answer.tsig_error) == '\0' ? answer.rcode_text : TsigErrorText(answer.tsig_error);
  const std::string message =
      server + " refused the update of '" + settings_.name + "' under TSIG key '" + settings_.key_name + "': " + detail;
  if (answer.tsig_error == 18) return Fail(message, "set the clocks of this host and of the DNS server");
  if (answer.tsig_error != 0) return Fail(message, "compare name, algorithm and secret of the key here and at the DNS server");
  if (answer.rcode == rcode::kRefused || answer.rcode == rcode::kNotAuth) {
    return Fail(message,
                "allow the key to update zone '" + settings_.zone + "' at the DNS server, and check that it is the zone's primary");
  }
  return Fail(message, "check dns.zone and dns.name");
}

Task<Result<DnsTraffic::Outcome>> DnsTraffic::Update(UpdatePlan plan, Moment deadline) {
  Result<Request> request = BuildUpdate(plan, *key_);
  if (!request) co_return request.error();
  Exchange exchange;
  exchange.server = settings_.server;
  exchange.request = *request;
  // SAFETY: only an answer under our key says that the update was taken or not; an unsigned "no" stops us, an unsigned "yes"
  // is passed over, and the look afterwards decides.
  exchange.accept = [this, asked = *request](const Bytes& bytes) -> std::optional<DnsAnswer> {
    std::optional<DnsAnswer> answer = ParseUpdateAnswer(bytes, asked, settings_.zone);
    if (!answer || answer->truncated || VerifyAnswer(bytes, asked, *key_)) return answer;
    if (answer->rcode == rcode::kNotAuth || answer->rcode == rcode::kRefused) return answer;
    return std::nullopt;
  };
  exchange.deadline = deadline;
  Result<DnsAnswer> answer = co_await Carry(executor_, std::move(exchange));
  if (!answer) {
    if (answer.error().retry == Retry::kUnknownOutcome) co_return Outcome::kUnknown;
    if (answer.error().retry == Retry::kRetry) co_return Outcome::kNotSent;
    co_return answer.error();
  }
  switch (answer->rcode) {
    case rcode::kNoError: co_return Outcome::kTaken;
    case rcode::kNxDomain:
    case rcode::kYxDomain:
    case rcode::kNxRrset:
    case rcode::kYxRrset: co_return Outcome::kOvertaken;
    case rcode::kServFail: co_return Outcome::kUnknown;
    default: co_return Denied(*answer);
  }
}

Task<Result<Unit>> DnsTraffic::Point(std::string address, Epoch epoch, Duration timeout) {
  if (!key_) co_return key_.error();
  const Moment deadline = steady_clock::now() + timeout;
  // A look must still fit behind an update that nobody answers.
  const Moment update_deadline = deadline - timeout / 4;
  Outcome last = Outcome::kNotSent;
  for (int updates = 0;; ++updates) {
    Result<NameState> state = co_await Look(deadline);
    if (!state && last == Outcome::kNotSent) co_return state.error();
    if (!state) {
      co_return UnknownOutcome(
          "an update of '" + settings_.name + "' was sent and could not be looked up: " + state.error().message,
          state.error().hint);
    }
    const Result<std::optional<Epoch>> found = EpochIn(state->texts);
    if (!found) co_return found.error();
    // SAFETY: a late writer never undoes a newer primaryship (Dns.ALateWriterIsRefusedAndChangesNothing).
    if (*found && **found > epoch) {
      co_return Refused("'" + settings_.name + "' already stands under epoch '" + std::to_string((*found)->number) +
                            "', ours is '" + std::to_string(epoch.number) + "'",
                        "another region has taken over since; run 'lifeboat status'");
    }
    const bool ours = *found && **found == epoch && PointsTo(*state, address);
    const RecordSet& shown = state->ipv4.values.empty() ? state->ipv6 : state->ipv4;
    if (ours && (updates > 0 || shown.ttl == settings_.ttl)) co_return Done();
    if (updates == kMostUpdates || steady_clock::now() >= update_deadline) {
      if (last == Outcome::kOvertaken) {
        co_return RetryLater("another writer keeps changing '" + settings_.name + "'",
                             "find out who else has TSIG key '" + settings_.key_name + "'");
      }
      if (last == Outcome::kNotSent) co_return RetryLater("DNS server '" + settings_.server.Text() + "' takes no update");
      co_return UnknownOutcome("an update of '" + settings_.name + "' was sent and does not show yet",
                               "look at the DNS server's log");
    }
    if (last == Outcome::kUnknown) co_await Pause(executor_, kBeforeAnother);  // the server is in trouble: do not press it
    UpdatePlan plan{settings_.zone, settings_.name, std::move(*state), address, epoch, settings_.ttl};
    Result<Outcome> outcome = co_await Update(std::move(plan), update_deadline);
    if (!outcome) co_return outcome.error();
    // Once one was perhaps taken, "not sent" of a later one no longer means that nothing changed.
    last = *outcome == Outcome::kNotSent && last == Outcome::kUnknown ? Outcome::kUnknown : *outcome;
    log_.Info("DNS update sent", Json{{"name", settings_.name}, {"address", address}, {"taken", *outcome == Outcome::kTaken}});
  }
}

Task<Result<std::string>> ResolveAddress(asio::any_io_executor executor, Endpoint server, std::string name, Duration timeout) {
  const auto deadline = steady_clock::now() + timeout;
  for (const RecordType type : {RecordType::kA, RecordType::kAaaa}) {
    Question question{server, name, type, deadline};
    Result<DnsAnswer> answer = co_await AskAuthority(executor, std::move(question));
    if (!answer) co_return answer.error();
    if (!answer->records.values.empty()) co_return answer->records.values.front();
  }
  co_return NotFound("'" + name + "' has no address at DNS server '" + server.Text() + "'");
}

}  // namespace lifeboat
