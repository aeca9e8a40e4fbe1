#include "adapters/store/etcd_members.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdlib>
#include <numeric>
#include <utility>

#include "adapters/store/etcd_wire.h"
#include "base/spawn.h"

namespace lifeboat::etcd {

namespace {

namespace asio = boost::asio;

using SteadyTime = std::chrono::steady_clock::time_point;

constexpr Duration kLongestShare = std::chrono::milliseconds(500);
constexpr Duration kShortestShare = std::chrono::milliseconds(30);
constexpr Duration kPause = std::chrono::milliseconds(50);   // after all members said "not now": an election is under way
constexpr Duration kBlame = std::chrono::seconds(2);         // a member that failed goes last for so long
constexpr Duration kLoginTimeout = std::chrono::seconds(5);  // a password's hash may have to wait for a processor
constexpr std::size_t kLongestRefusal = 300;                 // of etcd's words in a message

// @source google.golang.org/grpc/codes
constexpr std::uint64_t kInvalidArgument = 3;
constexpr std::uint64_t kNotFoundCode = 5;
constexpr std::uint64_t kPermissionDenied = 7;
constexpr std::uint64_t kResourceExhausted = 8;
constexpr std::uint64_t kFailedPrecondition = 9;
constexpr std::uint64_t kOutOfRange = 11;
constexpr std::uint64_t kUnimplemented = 12;
constexpr std::uint64_t kUnavailable = 14;
constexpr std::uint64_t kUnauthenticated = 16;

Duration TimeLeftUntil(SteadyTime end) { return std::max<Duration>(end - std::chrono::steady_clock::now(), 0ns); }

bool Says(const Refusal& refusal, std::string_view words) { return refusal.message.find(words) != std::string::npos; }

/// The token is no longer, or not yet, good: another login helps.
bool NeedsLogin(const Refusal& refusal) {
  return refusal.code == kUnauthenticated || Says(refusal, "invalid auth token") ||
         Says(refusal, "auth: revision in header is old") || Says(refusal, "user name is empty");
}

std::string Words(const Refusal& refusal, int status) {
  if (refusal.message.empty()) return "HTTP status " + std::to_string(status);
  return refusal.message.substr(0, kLongestRefusal);
}

/// The same error with the operator's next move.
Error Explain(Error error, const HttpTls& tls) {
  const auto says = [&](std::string_view words) { return error.message.find(words) != std::string::npos; };
  // Under TLS 1.3 a member refuses a client after the handshake: what is seen of it differs from time to time.
  const bool cut_off = says("alert") || says("Broken pipe") || says("reset by peer") || says("Empty reply") || says("SSL_read");
  if (says("TLS failed")) {
    error.hint = "'store.ca_file' must hold the certificate that signed the member's; look at 'store.certificate_file' too";
  } else if (says("'http://") && says("Empty reply")) {
    error.hint = "if the member speaks TLS, write 'https://'";
  } else if (cut_off && tls.certificate_file.empty() && says("'https://")) {
    error.hint = "if the member demands a certificate of its clients, give it in 'store.certificate_file'";
  }
  return error;
}

}  // namespace

struct Members::Race {
  Race(const asio::any_io_executor& executor, std::string at, std::string with)
      : bell(executor), path(std::move(at)), body(std::move(with)) {}

  asio::steady_timer bell;
  const std::string path;
  const std::string body;
  struct Lane {
    std::size_t member = 0;
    bool seen = false;  ///< its reply was looked at
    std::optional<Reply> reply;
  };
  std::vector<Lane> lanes;
};

Members::Members(asio::any_io_executor executor, MembersOptions options, Log log)
    : executor_(executor),
      options_(std::move(options)),
      log_(std::move(log)),
      http_(executor, HttpOptions{options_.tls}),
      bad_until_(options_.endpoints.size()),
      logins_(options_.endpoints.size()),
      logged_in_(executor, asio::steady_timer::time_point::max()) {
  LIFEBOAT_CHECK(!options_.endpoints.empty(), "a cluster without a member");
}

std::vector<std::size_t> Members::Order() const {
  std::vector<std::size_t> order(Count());
  std::iota(order.begin(), order.end(), 0);
  std::rotate(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(preferred_), order.end());
  const Instant now = ReadClocks();
  std::stable_partition(order.begin(), order.end(), [&](std::size_t member) { return HasPassed(bad_until_[member], now); });
  return order;
}

void Members::Blame(std::size_t member) { bad_until_[member] = ReadClocks() + kBlame; }

void Members::Praise(std::size_t member) {
  bad_until_[member] = {};
  if (preferred_ == member) return;
  preferred_ = member;
  log_.Info("another member of etcd is asked first", {{"endpoint", options_.endpoints[member]}});
}

Task<Result<HttpResponse>> Members::Send(std::size_t member, std::string path, std::string body, Duration timeout) {
  HttpRequest request;
  request.method = "POST";
  request.url = options_.endpoints[member] + path;
  request.headers = {"Content-Type: application/json"};
  if (!token_.empty()) request.headers.push_back("Authorization: " + token_);
  request.body = std::move(body);
  co_return co_await http_.Send(std::move(request), timeout);
}

Task<Result<Unit>> Members::LogIn(std::size_t member, Duration timeout) {
  Json question{{"name", options_.user}, {"password", options_.password.Reveal()}};
  Result<HttpResponse> response = co_await Send(member, "/v3/auth/authenticate", question.dump(), timeout);
  if (!response) {
    const Error error = Explain(response.error(), options_.tls);
    co_return RetryLater("etcd, login: " + error.message, error.hint);
  }
  if (response->status == 200) {
    const Result<Json> answer = ParseJson(response->body, "etcd's answer to a login");
    const std::string token = answer ? TextAt(*answer, "token") : std::string();
    if (!token.empty()) {
      token_ = token;
      silences_ = 0;
      co_return Done();
    }
  }
  const Refusal refusal = ParseRefusal(response->body);
  const std::string what = "etcd at '" + options_.endpoints[member] + "' refuses the login of '" + options_.user +
                           "': " + Words(refusal, response->status);
  if (refusal.code == kUnavailable) co_return RetryLater(what);
  if (refusal.code == kFailedPrecondition) {
    co_return Fail(what, "authentication is off in the cluster: leave 'store.user' out, or turn it on with 'etcdctl auth enable'");
  }
  co_return Fail(what, "look at 'store.user' and the password in 'store.password_file'");
}

// A login costs the member a password's hash: tens of milliseconds of a processor. Were each question to log in for itself, and to
// give its login up with its own time, a busy member would do nothing but hash for clients that have left: one at a time, to its
// end.
Task<> Members::RunLogin(std::size_t member) {
  const std::shared_ptr<Members> self = shared_from_this();
  Result<Unit> in = co_await LogIn(member, kLoginTimeout);
  logins_[member].problem = in.ok() ? std::nullopt : std::optional(in.error());
  logins_[member].runs = false;
  logged_in_.cancel();
}

Task<Result<Unit>> Members::AwaitLogin(std::size_t member, SteadyTime end) {
  using namespace asio::experimental::awaitable_operators;  // NOLINT(google-build-using-namespace): the operators
  const std::shared_ptr<Members> self = shared_from_this();
  if (!logins_[member].runs) {
    logins_[member].runs = true;
    Spawn(executor_, RunLogin(member));
  }
  while (token_.empty() && logins_[member].runs && TimeLeftUntil(end) > 0ns) {
    asio::steady_timer limit(executor_, end);
    co_await (logged_in_.async_wait(asio::as_tuple(asio::use_awaitable)) || limit.async_wait(asio::as_tuple(asio::use_awaitable)));
  }
  if (!token_.empty()) co_return Done();
  if (!logins_[member].runs && logins_[member].problem) co_return *logins_[member].problem;
  co_return RetryLater("etcd, login: '" + options_.endpoints[member] + "' has not answered yet");
}

Members::Reply Members::ReplyOf(std::size_t member, const Result<HttpResponse>& response) const {
  if (!response) {
    Error error = Explain(response.error(), options_.tls).Within("etcd");
    const bool next = error.retry == Retry::kRetry;
    return {{}, std::move(error), next};
  }
  if (response->status == 200) {
    Result<Json> answer = ParseJson(response->body, "etcd's answer");
    if (answer) return {std::move(*answer), {}, false};
    return {{}, UnknownOutcome("etcd at '" + options_.endpoints[member] + "' answered something that is not JSON"), false};
  }
  const Refusal refusal = ParseRefusal(response->body);
  const std::string what = "etcd at '" + options_.endpoints[member] + "': " + Words(refusal, response->status);
  // SAFETY: only what etcd says before it proposes a change, or what all members refuse alike, is "nothing changed".
  // Everything else may have been made: time-outs, a leader that went, a server that stops. (EtcdMembers.…)
  if (Says(refusal, "too many requests") || Says(refusal, "etcdserver: no leader") || NeedsLogin(refusal)) {
    return {{}, RetryLater(what), true};
  }
  switch (refusal.code) {
    case kResourceExhausted:
      return {{}, Fail(what, "etcd's disk quota is full: compact and defragment it, then 'etcdctl alarm disarm'"), false};
    case kPermissionDenied:
      return {{}, Fail(what, "grant 'store.user' read and write on its prefix: 'etcdctl role grant-permission'"), false};
    case kInvalidArgument:
    case kNotFoundCode:
    case kFailedPrecondition:
    case kOutOfRange:
    case kUnimplemented: return {{}, Fail(what), false};
    default: break;
  }
  if (response->status == 404 || response->status == 405) {
    return {{}, Fail(what, "is it etcd's client port, 3.4 or newer, with its JSON gateway?"), false};
  }
  return {{}, UnknownOutcome(what), false};
}

void Members::NoteSilence(const std::string& used, const Result<HttpResponse>& response) {
  if (response.ok()) silences_ = 0;
  if (response.ok() || used.empty() || used != token_ || response.error().retry != Retry::kUnknownOutcome) return;
  // A token names a position of the raft log, and a member that is not there yet waits for it. In a cluster that was built anew or
  // restored it may never come: nothing is refused, nothing is answered. All members were silent twice: another login tells.
  // @source etcd 3.4, server/auth/simple_token.go, isValidSimpleToken (EtcdTest.ATokenThatAnotherClusterWaitsForIsFetchedAnew)
  if (++silences_ <= 2 * Count()) return;
  silences_ = 0;
  token_.clear();
  log_.Info("no member of etcd has answered for a while: the next question logs in anew");
}

Task<Members::Reply> Members::AskOne(std::size_t member, std::string path, std::string body, Duration timeout) {
  const SteadyTime end = std::chrono::steady_clock::now() + timeout;
  for (int attempt = 0;; ++attempt) {
    if (!options_.user.empty() && token_.empty()) {
      Result<Unit> in = co_await AwaitLogin(member, end);
      if (!in) {
        const bool next = in.error().retry == Retry::kRetry;
        Reply reply{{}, in.error(), next};
        co_return reply;
      }
    }
    const std::string used = token_;
    const Duration left = TimeLeftUntil(end);
    std::string copy = body;
    Result<HttpResponse> response = co_await Send(member, path, std::move(copy), left);
    NoteSilence(used, response);
    const bool refused = response.ok() && response->status != 200;
    if (!refused || attempt > 0 || options_.user.empty() || !NeedsLogin(ParseRefusal(response->body))) {
      co_return ReplyOf(member, response);
    }
    // The token ran out, the member was started anew, or the users changed. Another question may have fetched one meanwhile.
    if (token_ == used) token_.clear();
  }
}

Task<> Members::Enter(std::size_t member, std::shared_ptr<Race> race, std::size_t lane, Duration timeout) {
  const std::shared_ptr<Members> self = shared_from_this();
  Reply reply = co_await AskOne(member, race->path, race->body, timeout);
  if (reply.answer)
    bad_until_[member] = {};
  else
    Blame(member);
  race->lanes[lane].reply = std::move(reply);
  race->bell.cancel();
}

Task<Result<Json>> Members::Ask(Question question, Duration timeout) {
  const std::shared_ptr<Members> self = shared_from_this();
  const SteadyTime end = std::chrono::steady_clock::now() + timeout;
  const Duration share = std::clamp<Duration>(timeout / 3, kShortestShare, kLongestShare);
  const bool again = question.asking != Asking::kChangeOnce;
  const auto race = std::make_shared<Race>(executor_, std::move(question.path), question.body.dump());
  std::vector<std::size_t> order = Order();
  std::size_t next = 0;
  std::size_t under_way = 0;
  SteadyTime ask_next = std::chrono::steady_clock::now();
  std::optional<Error> unknown;      // sent to somebody who never answered
  std::optional<Error> passed_over;  // the first who did not act on it
  std::optional<Json> unsettled;     // an answer that another member's may overrule

  while (true) {
    // Look at what came.
    for (Race::Lane& lane : race->lanes) {
      if (lane.seen || !lane.reply) continue;
      lane.seen = true;
      --under_way;
      ask_next = std::chrono::steady_clock::now();
      if (lane.reply->answer) {
        const bool settled = !question.settles || question.settles(*lane.reply->answer);
        if (settled || (under_way == 0 && !unknown)) {
          Praise(lane.member);
          co_return std::move(*lane.reply->answer);
        }
        unsettled = std::move(*lane.reply->answer);
        next = order.size();  // it was refused here: another member would say the same
      } else if (lane.reply->next) {
        if (!passed_over) passed_over = lane.reply->error;
      } else if (lane.reply->error->retry == Retry::kUnknownOutcome && question.asking == Asking::kRead) {
        if (!passed_over) passed_over = lane.reply->error;
      } else if (lane.reply->error->retry == Retry::kUnknownOutcome) {
        if (!unknown) unknown = lane.reply->error;
      } else {
        // Refused for good. Where a copy of the same question is on its way somewhere else, its fate is open.
        if (under_way == 0 && !unknown) co_return *lane.reply->error;
        if (!unknown) unknown = UnknownOutcome(lane.reply->error->message);
        next = order.size();
      }
    }
    const Duration left = TimeLeftUntil(end);
    if (under_way == 0) {
      if (unsettled && !unknown) co_return std::move(*unsettled);
      const bool may_go_on = left > 0ns && !unsettled && (!unknown || again);
      if (next == order.size() && may_go_on && !unknown && left > kPause) {
        // Nobody acted on it: an election, or all are down. Begin anew while there is time.
        order = Order();
        next = 0;
        race->bell.expires_after(kPause);
        co_await race->bell.async_wait(asio::as_tuple(asio::use_awaitable));
        continue;
      }
      if (next == order.size() || !may_go_on) break;
    }
    // Ask one more: nobody is asked, or the one that is asked has had its share.
    const bool due = std::chrono::steady_clock::now() >= ask_next;
    if (next < order.size() && left > 0ns && (under_way == 0 || (again && due))) {
      if (under_way > 0) Blame(race->lanes.back().member);
      const std::size_t member = order[next++];
      race->lanes.push_back({member, false, std::nullopt});
      ++under_way;
      ask_next = std::chrono::steady_clock::now() + share;
      Spawn(executor_, Enter(member, race, race->lanes.size() - 1, left));
    }
    if (std::any_of(race->lanes.begin(), race->lanes.end(), [](const Race::Lane& lane) { return lane.reply && !lane.seen; }))
      continue;
    // A question that is under way answers by itself at the end of its time.
    const SteadyTime wake = next < order.size() && again ? std::min(ask_next, end) : end + std::chrono::seconds(1);
    race->bell.expires_at(std::max(wake, std::chrono::steady_clock::now()));
    co_await race->bell.async_wait(asio::as_tuple(asio::use_awaitable));
  }
  if (unknown) {
    co_return UnknownOutcome(unknown->message, unknown->hint.empty() ? "read the store again before a second try" : unknown->hint);
  }
  if (passed_over) co_return RetryLater(passed_over->message, passed_over->hint);
  co_return RetryLater("etcd was not asked within " + FormatDuration(timeout));
}

Task<Result<Unit>> Members::Stream(std::size_t member, std::string path, Json body, std::function<void(std::string_view)> on_body,
                                   Duration timeout) {
  const std::shared_ptr<Members> self = shared_from_this();
  if (!options_.user.empty() && token_.empty()) {
    const SteadyTime end = std::chrono::steady_clock::now() + std::min<Duration>(timeout, kLoginTimeout);
    Result<Unit> in = co_await AwaitLogin(member, end);
    if (!in) co_return in.error();
  }
  HttpRequest request;
  request.method = "POST";
  request.url = options_.endpoints[member] + path;
  request.headers = {"Content-Type: application/json"};
  if (!token_.empty()) request.headers.push_back("Authorization: " + token_);
  request.body = body.dump();
  request.connect_timeout = 1s;
  request.on_body = std::move(on_body);
  Result<HttpResponse> response = co_await http_.Send(std::move(request), timeout);
  if (!response) co_return response.error();
  if (response->status != 200) co_return RetryLater("etcd at '" + options_.endpoints[member] + "' refused a watch");
  co_return Done();
}

Task<Json> Members::Describe(Duration timeout) {
  const std::shared_ptr<Members> self = shared_from_this();
  const auto race = std::make_shared<Race>(executor_, "/v3/maintenance/status", "{}");
  for (std::size_t member = 0; member < Count(); ++member) race->lanes.push_back({member, false, std::nullopt});
  for (std::size_t member = 0; member < Count(); ++member) Spawn(executor_, Enter(member, race, member, timeout));
  const auto all_here = [&] {
    return std::all_of(race->lanes.begin(), race->lanes.end(), [](const Race::Lane& lane) { return lane.reply.has_value(); });
  };
  while (!all_here()) {
    race->bell.expires_after(timeout + 1s);
    co_await race->bell.async_wait(asio::as_tuple(asio::use_awaitable));
  }
  Json list = Json::array();
  for (const Race::Lane& lane : race->lanes) {
    Json line{{"endpoint", options_.endpoints[lane.member]}, {"answers", lane.reply->answer.has_value()}};
    if (lane.reply->answer) {
      const Json& status = *lane.reply->answer;
      const Json& header = MemberAt(status, "header");
      line["version"] = TextAt(status, "version");
      line["leader"] = TextAt(status, "leader") == TextAt(header, "member_id");
      line["has_leader"] = !TextAt(status, "leader").empty();
      line["cluster_id"] = TextAt(header, "cluster_id");
      line["db_bytes"] = std::strtoull(TextAt(status, "dbSize").c_str(), nullptr, 10);
      line["alarms"] = MemberAt(status, "errors");
    } else {
      line["problem"] = lane.reply->error->message;
    }
    list.push_back(std::move(line));
  }
  co_return list;
}

}  // namespace lifeboat::etcd
