#include "adapters/postgres/host_resolver.h"

#include <netdb.h>
#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>

namespace lifeboat::postgres {

namespace asio = boost::asio;

Result<std::string> LookUpHost(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int problem = getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (problem != 0) {
    const std::string why = "'" + host + "' cannot be resolved: " + gai_strerror(problem);
    return problem == EAI_NONAME ? NotFound(why, "look at the endpoint's name, and at this machine's resolver") : RetryLater(why);
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> all(found, freeaddrinfo);
  char text[NI_MAXHOST];
  const int named = getnameinfo(all->ai_addr, all->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
  if (named != 0) return RetryLater("'" + host + "' cannot be resolved: " + gai_strerror(named));
  return std::string(text);
}

HostResolver::HostResolver(asio::any_io_executor executor, std::function<Result<std::string>(const std::string&)> look_up)
    : executor_(std::move(executor)), look_up_(std::move(look_up)), hosts_(std::make_shared<std::map<std::string, Host>>()) {}

HostResolver::~HostResolver() {
  pool_.stop();  // what waits is not looked up any more; what is under way ends by itself
  pool_.join();
}

Task<Result<std::string>> HostResolver::Resolve(std::string host, Deadline deadline) {
  boost::system::error_code no_address;
  asio::ip::make_address(host, no_address);
  if (!no_address) co_return host;
  struct Pending {
    explicit Pending(const asio::any_io_executor& ex) : done(ex) {}
    asio::steady_timer done;
    std::optional<Result<std::string>> answer;
  };
  const auto hosts = hosts_;
  if (!(*hosts)[host].asked) {
    (*hosts)[host].asked = true;
    auto pending = std::make_shared<Pending>(executor_);
    // Where an address is known it serves a slow resolver's caller, who needs the rest of the time to connect.
    const bool has_one = !(*hosts)[host].known.empty();
    pending->done.expires_at(deadline.at() - (has_one ? deadline.Left() / 2 : Duration(0)));
    asio::post(pool_, [pending, hosts, host, look_up = look_up_, executor = executor_] {
      auto answer = std::make_shared<Result<std::string>>(look_up(host));
      asio::post(executor, [pending, hosts, host, answer] {
        Host& known = (*hosts)[host];
        known.asked = false;
        // What nobody waits for any more is known all the same, for the next.
        if (answer->ok()) known.known = **answer;
        pending->answer.emplace(std::move(*answer));
        pending->done.cancel();
      });
    });
    co_await pending->done.async_wait(asio::as_tuple(asio::use_awaitable));
    if (pending->answer && (pending->answer->ok() || pending->answer->error().retry == Retry::kNotFound))
      co_return *pending->answer;
  }
  const std::string known = (*hosts)[host].known;
  if (known.empty()) co_return RetryLater("no resolver answers for '" + host + "'");
  co_return known;
}

}  // namespace lifeboat::postgres
