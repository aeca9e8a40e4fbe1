#include "adapters/aws/transport.h"

#include <curl/curl.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lifeboat::aws {

namespace {

namespace asio = boost::asio;
using SteadyTime = std::chrono::steady_clock::time_point;

constexpr Duration kFresh = 30s;           // an address is not asked for again before; AWS's own TTLs are 5 to 60 s
constexpr std::size_t kResolvers = 4;      // lookups at once: one that hangs does not hold up the others
constexpr std::size_t kMostAddresses = 3;  // tried for one request

/// Names to addresses. Old addresses are answered while the name service fails: a region's disaster may take it along.
class Resolver : public std::enable_shared_from_this<Resolver> {
 public:
  explicit Resolver(asio::any_io_executor executor) : executor_(std::move(executor)) {}

  Task<Result<std::vector<std::string>>> Resolve(std::string host, Duration timeout) {
    const auto self = shared_from_this();
    Entry& entry = entries_[host];  // never erased: one a service and region
    const SteadyTime now = std::chrono::steady_clock::now();
    if (!entry.addresses.empty() && now < entry.fresh_until) co_return entry.addresses;
    if (!entry.asking) Ask(host, entry);
    if (!entry.addresses.empty()) co_return entry.addresses;  // the old ones, while newer ones are looked for
    auto waiter = entry.waiters.emplace(entry.waiters.end(), executor_, now + timeout);
    co_await waiter->async_wait(asio::as_tuple(asio::use_awaitable));
    entry.waiters.erase(waiter);
    if (entry.addresses.empty()) {
      co_return RetryLater("the name '" + host + "' has no address here" + (entry.problem.empty() ? "" : ": " + entry.problem),
                           "look at the name service of this machine");
    }
    co_return entry.addresses;
  }

  /// `address` took no connection: the next one comes first.
  void Demote(const std::string& host, const std::string& address) {
    auto& addresses = entries_[host].addresses;
    if (addresses.size() < 2 || addresses.front() != address) return;
    std::rotate(addresses.begin(), addresses.begin() + 1, addresses.end());
  }

 private:
  struct Entry {
    std::vector<std::string> addresses;
    SteadyTime fresh_until{};
    bool asking = false;
    std::string problem;
    std::list<asio::steady_timer> waiters;
  };

  void Ask(const std::string& host, Entry& entry) {
    entry.asking = true;
    asio::post(pool_, [self = weak_from_this(), executor = executor_, host] {
      asio::io_context unused;
      boost::system::error_code problem;
      asio::ip::tcp::resolver resolver(unused);
      const auto found = resolver.resolve(host, "", problem);
      std::vector<std::string> addresses;
      for (const auto& one : found) addresses.push_back(one.endpoint().address().to_string());
      asio::post(executor, [self, host, addresses = std::move(addresses), words = problem ? problem.message() : ""] {
        if (const auto resolver_that_lives = self.lock()) resolver_that_lives->Take(host, addresses, words);
      });
    });
  }

  void Take(const std::string& host, const std::vector<std::string>& addresses, const std::string& problem) {
    Entry& entry = entries_[host];
    entry.asking = false;
    entry.problem = problem;
    if (!addresses.empty()) {
      entry.addresses = addresses;
      entry.fresh_until = std::chrono::steady_clock::now() + kFresh;
    }
    for (asio::steady_timer& waiter : entry.waiters) waiter.cancel();
  }

  asio::any_io_executor executor_;
  std::map<std::string, Entry> entries_;
  asio::thread_pool pool_{kResolvers};  // its end waits for lookups that hang: the resolver's own time-out, seconds
};

struct Door {
  Door(const asio::any_io_executor& executor, HttpOptions options)
      : resolver(std::make_shared<Resolver>(executor)), http(executor, std::move(options)) {}
  std::shared_ptr<Resolver> resolver;
  HttpClient http;
};

/// The host of a URL when it is a name that must be looked up; empty: an address, or no URL (the client says so).
std::string NameIn(const std::string& url) {
  const std::unique_ptr<CURLU, decltype(&::curl_url_cleanup)> parts(::curl_url(), &::curl_url_cleanup);
  if (!parts || ::curl_url_set(parts.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) return {};
  char* text = nullptr;
  if (::curl_url_get(parts.get(), CURLUPART_HOST, &text, 0) != CURLUE_OK) return {};
  std::string host(text);
  ::curl_free(text);
  boost::system::error_code problem;
  asio::ip::make_address(host.starts_with('[') ? host.substr(1, host.size() - 2) : host, problem);
  return problem ? host : std::string();
}

Task<Result<HttpResponse>> SendThrough(std::shared_ptr<Door> door, HttpRequest request, Duration timeout) {
  const std::string name = NameIn(request.url);
  if (name.empty() || !request.address.empty()) co_return co_await door->http.Send(std::move(request), timeout);
  const SteadyTime end = std::chrono::steady_clock::now() + timeout;
  const Duration patience = request.connect_timeout > 0ns ? std::min(timeout, request.connect_timeout) : timeout;
  Result<std::vector<std::string>> addresses = co_await door->resolver->Resolve(name, patience);
  if (!addresses) co_return addresses.error();
  std::optional<Error> last;
  for (std::size_t at = 0; at < std::min(addresses->size(), kMostAddresses); ++at) {
    const Duration left = end - std::chrono::steady_clock::now();
    if (left <= 0ns) break;
    HttpRequest one = request;
    one.address = (*addresses)[at];
    Result<HttpResponse> response = co_await door->http.Send(std::move(one), left);
    // SAFETY: the next address is tried only where nothing was sent to this one.
    if (response.ok() || response.error().retry != Retry::kRetry) co_return response;
    door->resolver->Demote(name, (*addresses)[at]);
    last = response.error();
  }
  if (!last) co_return RetryLater("no connection to '" + name + "' within " + FormatDuration(timeout));
  co_return *last;
}

}  // namespace

Transport OpenTransport(asio::any_io_executor executor, HttpOptions options) {
  auto door = std::make_shared<Door>(executor, std::move(options));
  return [door](HttpRequest request, Duration timeout) { return SendThrough(door, std::move(request), timeout); };
}

}  // namespace lifeboat::aws
