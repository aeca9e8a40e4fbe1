#include "adapters/aws/client.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <random>
#include <utility>

#include "adapters/aws/api_error.h"
#include "adapters/aws/http_date.h"
#include "adapters/aws/sigv4.h"

namespace lifeboat::aws {

namespace {

constexpr Duration kClockOff = std::chrono::minutes(4);  // AWS refuses more than five. @source botocore, handlers and retries
constexpr Duration kLongestRetryAfter = 30s;

/// "https://host:8443" → the Host header that names it.
std::string HostOf(const std::string& url) {
  const bool tls = url.starts_with("https://");
  std::string host = url.substr(url.find("://") + 3);
  host = host.substr(0, host.find('/'));
  const std::string_view usual = tls ? ":443" : ":80";
  return host.ends_with(usual) ? host.substr(0, host.size() - usual.size()) : host;
}

std::string WordsOf(const Call& call) { return "'" + call.operation + "' of '" + call.service + "' in '" + call.region + "'"; }

/// What an attempt came to, and whether another one may follow.
struct Judged {
  Error error;
  bool again = false;
  bool unknown = false;  ///< it may have been done
  bool renew = false;    ///< with other credentials
  bool at_once = false;  ///< what was wrong has been put right: there is nothing to wait for
  int price = 0;
  Duration at_least{0};  ///< AWS asked to be left alone for so long
  std::string code;
  std::string request_id;
};

struct Sent {
  HttpRequest request;
  WallTime signed_at;  ///< by AWS's clock, as it was known
  WallTime at;         ///< by this machine's
};

Duration RetryAfterOf(const Pairs& headers) {
  const std::string text = HeaderOf(headers, "retry-after");
  int seconds = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (problem != std::errc() || end != text.data() + text.size() || seconds < 0) return 0ns;
  return std::min<Duration>(std::chrono::seconds(seconds), kLongestRetryAfter);
}

}  // namespace

std::string Reply::Header(std::string_view name) const { return HeaderOf(headers, name); }

struct Client::State {
  State(std::shared_ptr<CredentialSource> source, ClientOptions having, ClientDoors through)
      : credentials(std::move(source)), options(std::move(having)), doors(std::move(through)) {}

  [[nodiscard]] Result<Sent> Build(const Call& call, const Credentials& keys) const;
  bool NoteDate(const HttpResponse& response, WallTime signed_at, WallTime sent_at);
  [[nodiscard]] Judged JudgeSilence(const Call& call, const Error& error) const;
  [[nodiscard]] Judged JudgeAnswer(const Call& call, const ApiError& error, const HttpResponse& response, bool clock_was_off) const;
  void LogAgain(const Call& call, const Judged& judged, int attempt, Duration wait) const;
  [[nodiscard]] RetryBudget& BudgetOf(const Call& call) {
    return budgets.try_emplace(call.service + "/" + call.region, RetryBudget(options.retry.budget)).first->second;
  }

  std::shared_ptr<CredentialSource> credentials;
  ClientOptions options;
  ClientDoors doors;
  std::map<std::string, RetryBudget> budgets;
  std::map<std::string, std::uint64_t> requests;
  Duration skew{0};
  Duration ahead{0};
};

Result<Sent> Client::State::Build(const Call& call, const Credentials& keys) const {
  Result<ServiceEndpoint> endpoint = options.endpoints.Of(call.service, call.region);
  if (!endpoint) return endpoint.error();
  std::string url = call.endpoint.empty() ? endpoint->url : call.endpoint;
  std::string path = call.path;
  if (!call.host_prefix.empty() && call.endpoint.empty() && !endpoint->by_hand) {
    url.insert(url.find("://") + 3, call.host_prefix + ".");
  }
  if (!call.bucket.empty()) {
    // Under an endpoint of AWS's own the bucket is part of the host; a name with dots would not fit the certificate.
    const bool in_host = call.endpoint.empty() && !endpoint->by_hand && call.bucket.find('.') == std::string::npos;
    if (in_host) {
      url.insert(url.find("://") + 3, call.bucket + ".");
    } else {
      path = "/" + UriEncode(call.bucket) + (path == "/" ? "" : path);
    }
  }
  Signable signable{call.method, path, call.query, call.headers, Sha256Hex(call.body)};
  signable.headers.emplace_back("Host", HostOf(url));
  const bool s3 = endpoint->sign_service == "s3";
  if (s3 && !keys.access_key_id.empty()) signable.headers.emplace_back("X-Amz-Content-Sha256", signable.payload_hash);
  SigningScope scope;
  scope.at = WallTime{doors.clock.Wall().ns + skew.count()};
  scope.region = endpoint->sign_region;
  scope.service = endpoint->sign_service;
  if (s3) scope.path_rule = kPathAsSent;
  Sign(signable, keys, scope);

  Sent sent;
  sent.signed_at = scope.at;
  sent.at = WallTime{scope.at.ns - skew.count()};
  sent.request.method = call.method;
  sent.request.url = url + path;
  if (!call.query.empty()) sent.request.url += "?" + QueryString(call.query);
  bool typed = false;
  for (const auto& [name, value] : signable.headers) {
    typed = typed || Lower(name) == "content-type";
    sent.request.headers.push_back(name + ": " + value);
  }
  if (!typed) sent.request.headers.emplace_back("Content-Type:");  // libcurl would name a type of its own
  sent.request.headers.push_back("User-Agent: " + options.user_agent);
  sent.request.body = call.body;
  sent.request.connect_timeout = options.connect_timeout;
  // SAFETY: a kept connection may have died unseen; what is sent on it is neither done nor not done.
  sent.request.fresh_connection = call.effect == Effect::kOnce;
  return sent;
}

/// @return true: the time that was signed was not AWS's
bool Client::State::NoteDate(const HttpResponse& response, WallTime signed_at, WallTime sent_at) {
  const std::optional<WallTime> date = ParseHttpDate(HeaderOf(response.headers, "date"));
  if (!date) return false;
  // The header is cut to its second, and was written between the sending and the arrival.
  const Duration least(date->ns - doors.clock.Wall().ns);
  const Duration most(date->ns - sent_at.ns + Duration(1s).count());
  ahead = least <= 0ns && most >= 0ns ? Duration(0) : most;
  const Duration off(date->ns - signed_at.ns);
  if (off < kClockOff && off > -kClockOff) return false;
  // Set, not added to: others that were signed by the same wrong time learn the same.
  skew = Duration(date->ns - sent_at.ns);
  doors.log.Warn("this machine's clock and AWS's differ; requests are signed with AWS's", {{"skew_s", Seconds(skew)}});
  return true;
}

Judged Client::State::JudgeSilence(const Call& call, const Error& error) const {
  Judged judged;
  judged.error = error.Within(WordsOf(call));
  judged.price = options.retry.price_no_answer;
  judged.unknown = error.retry == Retry::kUnknownOutcome;
  judged.again = error.retry == Retry::kRetry || (judged.unknown && call.effect != Effect::kOnce);
  return judged;
}

Judged Client::State::JudgeAnswer(const Call& call, const ApiError& error, const HttpResponse& response, bool clock_was_off) const {
  const Verdict verdict = Judge(error, clock_was_off);
  Judged judged;
  judged.error = ToError(error, verdict, WordsOf(call));
  judged.code = error.code;
  judged.request_id = error.request_id;
  judged.price = options.retry.price;
  judged.at_least = RetryAfterOf(response.headers);
  switch (verdict) {
    case Verdict::kThrottled: judged.again = true; break;
    case Verdict::kClock:
      judged.again = clock_was_off;
      judged.at_once = true;
      break;
    case Verdict::kExpired:
      judged.again = true;
      judged.renew = true;
      judged.at_once = true;
      break;
    case Verdict::kUnknown:
      judged.unknown = true;
      judged.again = call.effect != Effect::kOnce;
      break;
    case Verdict::kNotFound:
    case Verdict::kRefused:
    case Verdict::kFail: break;
  }
  return judged;
}

void Client::State::LogAgain(const Call& call, const Judged& judged, int attempt, Duration wait) const {
  Json fields = {{"aws", call.service},
                 {"aws_region", call.region},
                 {"operation", call.operation},
                 {"attempt", attempt},
                 {"wait_ms", Millis(wait)}};
  if (!judged.code.empty()) fields["code"] = judged.code;
  if (!judged.request_id.empty()) fields["request_id"] = judged.request_id;
  if (judged.code.empty()) fields["problem"] = judged.error.message;
  doors.log.Warn("a call to AWS is tried again", fields);
}

Client::Client(std::shared_ptr<CredentialSource> credentials, ClientOptions options, ClientDoors doors)
    : state_(std::make_shared<State>(std::move(credentials), std::move(options), std::move(doors))) {}
Client::~Client() = default;

Duration Client::skew() const { return state_->skew; }
Duration Client::ahead() const { return state_->ahead; }
const std::map<std::string, std::uint64_t>& Client::requests() const { return state_->requests; }

namespace {

/// The error of a call that ends: what an earlier attempt may have done is not forgotten over what the last one said.
Error EndWith(const Call& call, const Judged& judged, bool unknown_before) {
  Error error = judged.error;
  if (call.effect == Effect::kReads) {
    if (error.retry == Retry::kUnknownOutcome) error.retry = Retry::kRetry;
    return error;
  }
  // SAFETY: "no", said to a second attempt, may be the echo of the first one's success.
  if (unknown_before && error.retry != Retry::kUnknownOutcome) {
    return UnknownOutcome(error.message + "; an attempt before it got no clear answer", error.hint);
  }
  return error;
}

}  // namespace

Task<Result<Reply>> Client::Send(Call call, Duration timeout) {
  const std::shared_ptr<State> state = state_;
  const Instant began = state->doors.clock.Now();
  const auto left = [&state, began, timeout] { return timeout - AgeAt(began, state->doors.clock.Now()); };
  RetryBudget& budget = state->BudgetOf(call);
  const int attempts = call.attempts > 0 ? call.attempts : state->options.retry.attempts;
  bool unknown = false;
  bool renewed = false;
  for (int attempt = 1;; ++attempt) {
    Result<SharedCredentials> keys = co_await state->credentials->Get(std::max<Duration>(left(), 1ms));
    Judged judged;
    if (!keys) {
      judged.error = keys.error().Within(WordsOf(call) + " was not sent");
      judged.error.not_weighed = true;
      if (judged.error.retry == Retry::kNotFound || judged.error.retry == Retry::kUnknownOutcome) {
        judged.error.retry = judged.error.retry == Retry::kNotFound ? Retry::kFail : Retry::kRetry;
      }
      co_return EndWith(call, judged, unknown);
    }
    Result<Sent> sent = state->Build(call, **keys);
    if (!sent) co_return sent.error().Within(WordsOf(call));
    const WallTime signed_at = sent->signed_at;
    const WallTime sent_at = sent->at;
    Duration patience = std::max<Duration>(left(), 1ms);
    if (call.effect != Effect::kOnce) patience = std::min(patience, state->options.attempt_timeout);
    ++state->requests[call.service + "." + call.operation];
    Result<HttpResponse> response = co_await state->doors.transport(std::move(sent->request), patience);
    if (!response) {
      judged = state->JudgeSilence(call, response.error());
    } else {
      const bool clock_was_off = state->NoteDate(*response, signed_at, sent_at);
      Reply reply;
      reply.status = response->status;
      reply.request_id = RequestIdOf(response->headers);
      reply.attempts = attempt;
      if (response->status < 300) {
        if (attempt == 1) budget.Give(state->options.retry.earned);
        reply.headers = std::move(response->headers);
        reply.body = std::move(response->body);
        co_return reply;
      }
      const ApiError error = ParseApiError(response->status, response->headers, response->body);
      const bool is_answer = std::find(call.answers.begin(), call.answers.end(), error.code) != call.answers.end();
      if (is_answer && (!unknown || call.effect == Effect::kReads)) {
        reply.code = error.code;
        reply.message = ForPeople(error);
        reply.headers = std::move(response->headers);
        reply.body = std::move(response->body);
        co_return reply;
      }
      judged = state->JudgeAnswer(call, error, *response, clock_was_off);
    }

    const bool again = judged.again && attempt < attempts && !(judged.renew && renewed);
    const Duration wait =
        judged.at_once ? 0ns : std::max(judged.at_least, BackOff(state->options.retry, attempt + 1, state->doors.dice()));
    if (!again || wait >= left() || !budget.Take(judged.price)) co_return EndWith(call, judged, unknown);
    unknown = unknown || judged.unknown;
    if (judged.renew) {
      renewed = true;
      state->credentials->Reject(*keys);
    }
    state->LogAgain(call, judged, attempt, wait);
    if (wait > 0ns) co_await state->doors.clock.Sleep(wait);
  }
}

std::function<double()> DiceOfTheSystem() {
  return [] {
    static std::random_device device;
    return std::generate_canonical<double, 32>(device);
  };
}

}  // namespace lifeboat::aws
