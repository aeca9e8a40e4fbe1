#include "adapters/otlp/exporter.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>
#include <ctime>
#include <deque>
#include <mutex>
#include <random>
#include <thread>

#include "adapters/http/http_client.h"
#include "base/json.h"
#include "base/spawn.h"
#include "config/load_telemetry.h"

namespace lifeboat {

namespace asio = boost::asio;

namespace {

constexpr std::size_t kMostAnswer = 64U << 10U;  // bytes: an answer is a few words
constexpr Duration kLongestRetryAfter = 5min;
constexpr std::size_t kMostAddresses = 4;

struct Item {
  std::function<std::string()> make;
  std::string body;
};

/// What came of one request.
struct Outcome {
  OtlpVerdict verdict = OtlpVerdict::kAgain;
  Duration wait{0};     ///< at least so long, as the collector asks
  std::string problem;  ///< kAgain, kRefused: in words
};

/// A collector that takes a request may say that it left spans out.
std::string PartlyRefused(const std::string& body) {
  const auto json = ParseJson(body, "answer");
  if (!json.ok()) return {};
  const Json& partial = MemberAt(*json, "partialSuccess");
  const Json& rejected = MemberAt(partial, "rejectedSpans");  // an int64: a text by proto3's mapping, and a number from some
  const bool none = rejected.is_null() || rejected == "0" || rejected == 0;
  if (none) return {};
  return "it left out spans: " + TextAt(partial, "errorMessage").substr(0, 200);
}

std::string HeaderOf(const HttpResponse& response, std::string_view name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return {};
}

}  // namespace

OtlpVerdict JudgeStatus(int status) {
  if (status >= 200 && status < 300) return OtlpVerdict::kTaken;
  if (status == 429 || status == 502 || status == 503 || status == 504) return OtlpVerdict::kAgain;
  return OtlpVerdict::kRefused;
}

Duration RetryAfter(const std::string& value, WallTime now) {
  std::uint32_t seconds = 0;
  const auto [rest, problem] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (problem == std::errc() && rest == value.data() + value.size())
    return std::min<Duration>(std::chrono::seconds(seconds), kLongestRetryAfter);
  std::tm parts{};
  const char* end = ::strptime(value.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  if (end == nullptr || *end != '\0') return 0ns;
  const std::int64_t ahead = std::int64_t{::timegm(&parts)} - now.ns / 1000000000;
  return std::clamp<Duration>(std::chrono::seconds(std::clamp<std::int64_t>(ahead, 0, 86400)), 0ns, kLongestRetryAfter);
}

struct OtlpExporter::Engine {
  Engine(OtlpTarget to, OtlpOptions with, Log into)
      : target(std::move(to)), options(with), log(std::move(into)), host(HostOfCollector(target.url)), context(1), wake(context) {
    boost::system::error_code problem;
    asio::ip::make_address(host, problem);
    named = static_cast<bool>(problem);
    // Last: from here on the thread uses all of the above.
    thread = std::thread([this] { Work(); });
  }

  ~Engine() {
    context.stop();
    thread.join();
  }

  void Work() {
    HttpOptions how;
    how.tls.ca_file = target.ca_file;
    how.most_body = kMostAnswer;
    how.most_connections = 1;
    http = std::make_unique<HttpClient>(context.get_executor(), std::move(how));
    Spawn(context.get_executor(), Loop());
    const auto work = asio::make_work_guard(context);
    context.run();
    http.reset();  // by the thread that used it
  }

  // ---- the queue: the only thing that two threads touch ----

  void Offer(std::function<std::string()> make) {
    bool first = false;
    {
      const std::lock_guard lock(mutex);
      waiting.push_back({std::move(make), {}});
      first = Shorten();
    }
    asio::post(context, [this] { wake.cancel(); });
    if (first) log.Warn("traces are dropped: the collector takes none, and no more may wait", {{"collector", host}});
  }

  /// @return whether these are the first that are dropped since one was sent
  bool Shorten() {
    bool first = false;
    while (waiting.size() > options.most_waiting) {
      waiting.pop_front();
      ++counts.pushed_out;
      first = !std::exchange(dropping, true) || first;
    }
    return first;
  }

  std::optional<Item> Take() {
    const std::lock_guard lock(mutex);
    if (waiting.empty()) return std::nullopt;
    Item item = std::move(waiting.front());
    waiting.pop_front();
    on_its_way = true;
    return item;
  }

  /// The item has been dealt with, or waits again, where newer ones have left it room.
  void Settle(Item item, const Outcome& outcome) {
    const std::lock_guard lock(mutex);
    on_its_way = false;
    if (outcome.verdict == OtlpVerdict::kTaken) ++counts.sent;
    if (outcome.verdict == OtlpVerdict::kTaken) dropping = false;
    if (outcome.verdict == OtlpVerdict::kRefused) ++counts.refused;
    if (outcome.verdict != OtlpVerdict::kAgain) return;
    ++counts.failed_tries;
    waiting.push_front(std::move(item));
    (void)Shorten();
  }

  OtlpCounts Counts() const {
    const std::lock_guard lock(mutex);
    OtlpCounts all = counts;
    all.waiting = waiting.size() + (on_its_way ? 1 : 0);
    return all;
  }

  // ---- the thread ----

  /// Whatever goes wrong here stays here: no trace is worth the agent.
  Task<> Loop() {
    while (true) {
      std::string thrown;
      try {
        co_await Round();
      } catch (const std::exception& e) {  // a thread for the resolver that cannot be had, memory
        thrown = e.what();
        thrown += thrown.empty() ? "?" : "";
      }
      if (thrown.empty()) continue;
      log.Error("a trace was dropped", {{"collector", host}, {"problem", thrown}});
      Outcome dropped;
      dropped.verdict = OtlpVerdict::kRefused;
      Settle({}, dropped);
      co_await Rest(options.longest_pause);
    }
  }

  /// One item, or the wait for one.
  Task<> Round() {
    std::optional<Item> item = Take();
    if (!item) {
      co_await Rest(std::nullopt);
      co_return;
    }
    const Outcome outcome = co_await Carry(*item);
    if (outcome.verdict == OtlpVerdict::kRefused)
      log.Warn("a trace was not taken, and will not be", {{"collector", host}, {"problem", outcome.problem}});
    if (outcome.verdict == OtlpVerdict::kTaken && !outcome.problem.empty())
      log.Warn("a trace was taken in part", {{"collector", host}, {"problem", outcome.problem}});
    const bool again = outcome.verdict == OtlpVerdict::kAgain;
    if (again && !failing)
      log.Warn("traces wait: the collector does not take them", {{"collector", host}, {"problem", outcome.problem}});
    if (!again && failing) log.Info("the collector takes traces again", {{"collector", host}});
    failing = again;
    Settle(*std::move(item), outcome);
    if (!again) {
      pause = options.first_pause;
      co_return;
    }
    const Duration at_random(std::uniform_int_distribution<std::int64_t>(0, pause.count() / 4)(dice));
    const Duration wait = std::max(pause + at_random, outcome.wait);
    pause = std::min(pause * 2, options.longest_pause);
    co_await Rest(wait);
  }

  /// Sleeps for `d`; without one, until something is offered.
  Task<> Rest(std::optional<Duration> d) {
    if (d) {
      asio::steady_timer timer(context, *d);
      co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
      co_return;
    }
    {
      const std::lock_guard lock(mutex);
      if (!waiting.empty()) co_return;
    }
    // What is offered from here on cancels it: that is posted to this thread, so it comes after the wait has begun.
    wake.expires_at(asio::steady_timer::time_point::max());
    co_await wake.async_wait(asio::as_tuple(asio::use_awaitable));
  }

  Task<Outcome> Carry(Item& item) {
    Outcome outcome;
    if (item.make) {
      try {
        item.body = item.make();
      } catch (const std::exception& e) {
        outcome.verdict = OtlpVerdict::kRefused;
        outcome.problem = e.what();
      }
      item.make = nullptr;
      if (outcome.verdict == OtlpVerdict::kRefused) co_return outcome;
    }
    std::vector<std::string> addresses;
    if (named) {
      auto found = co_await Resolve();
      if (!found.ok()) {
        outcome.problem = found.error().message;
        co_return outcome;
      }
      addresses = *std::move(found);
    } else {
      addresses.emplace_back();
    }
    for (std::size_t at = 0; at < std::min(addresses.size(), kMostAddresses); ++at) {
      HttpRequest request;
      request.method = "POST";
      request.url = target.url;
      request.address = addresses[at];
      request.headers = target.headers;
      request.headers.emplace_back("Content-Type: application/json");
      request.body = item.body;
      const Result<HttpResponse> response = co_await http->Send(std::move(request), target.timeout);
      if (!response.ok()) {
        outcome.problem = response.error().message;
        if (response.error().retry == Retry::kFail) outcome.verdict = OtlpVerdict::kRefused;
        if (response.error().retry == Retry::kRetry) continue;  // nothing was sent: perhaps another address takes it
        co_return outcome;
      }
      outcome.verdict = JudgeStatus(response->status);
      outcome.problem = outcome.verdict == OtlpVerdict::kTaken ? PartlyRefused(response->body)
                                                               : "it answers '" + std::to_string(response->status) + "'";
      outcome.wait = RetryAfter(HeaderOf(*response, "retry-after"), ReadWallClock());
      co_return outcome;
    }
    co_return outcome;
  }

  Task<Result<std::vector<std::string>>> Resolve() {
    asio::ip::tcp::resolver resolver(context);
    const auto answer = co_await resolver.async_resolve(host, "", asio::as_tuple(asio::use_awaitable));
    const auto& [problem, found] = answer;
    if (problem) co_return RetryLater("the name '" + host + "' cannot be looked up: " + problem.message());
    std::vector<std::string> addresses;
    for (const auto& one : found) addresses.push_back(one.endpoint().address().to_string());
    if (addresses.empty()) co_return RetryLater("the name '" + host + "' has no address");
    co_return addresses;
  }

  const OtlpTarget target;
  const OtlpOptions options;
  const Log log;
  const std::string host;
  bool named = false;  ///< the host is a name

  mutable std::mutex mutex;
  std::deque<Item> waiting;  // guarded by mutex
  OtlpCounts counts;         // guarded by mutex
  bool on_its_way = false;   // guarded by mutex
  bool dropping = false;     // guarded by mutex

  asio::io_context context;
  asio::steady_timer wake;
  std::minstd_rand dice{std::random_device{}()};
  Duration pause{options.first_pause};  ///< before the next request, where the last one is to be made again
  bool failing = false;
  std::unique_ptr<HttpClient> http;
  std::thread thread;
};

OtlpExporter::OtlpExporter(OtlpTarget target, OtlpOptions options, Log log)
    : engine_(std::make_unique<Engine>(std::move(target), options, std::move(log))) {}

OtlpExporter::~OtlpExporter() = default;

void OtlpExporter::Offer(std::function<std::string()> make) { engine_->Offer(std::move(make)); }

OtlpCounts OtlpExporter::counts() const { return engine_->Counts(); }

}  // namespace lifeboat
