#include "adapters/peers/call_once.h"

#include <algorithm>
#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <optional>

#include "adapters/peers/wire.h"
#include "base/address_reach.h"

namespace lifeboat {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using SteadyClock = std::chrono::steady_clock;

namespace {

constexpr auto kNoThrow = asio::as_tuple(asio::use_awaitable);
constexpr Duration kMostConnectTime = 1s;
constexpr std::size_t kMostAnswerBytes = 16U << 20U;

http::request<http::string_body> BuildRequest(const Endpoint& endpoint, const Secret& token, const std::string& method,
                                              const Json& parameters) {
  std::string target = "/v1/" + method;
  std::replace(target.begin(), target.end(), '.', '/');
  http::request<http::string_body> request(http::verb::post, target, 11);
  request.set(http::field::host, endpoint.Text());
  request.set(http::field::authorization, "Bearer " + token.Reveal());
  request.set(http::field::content_type, "application/json");
  request.set(http::field::connection, "close");
  request.body() = peers::DumpJson(parameters.is_null() ? Json::object() : parameters);
  request.prepare_payload();
  return request;
}

Result<Json> ReadAnswer(unsigned status, const std::string& body, const std::string& who) {
  Result<Json> json = peers::ParseForeignJson(body, "answer");
  if (status == 200) {
    if (json.ok()) return json;
    return UnknownOutcome(who + " answered something that is not JSON", "look again before trying again");
  }
  if (status == 401) return Fail(who + " refused our token", "use the same 'token_file' as the agent");
  const Json error = json.ok() ? MemberAt(*json, "error") : Json();
  if (error.is_object()) return peers::ErrorFromJson(error);
  return Fail(who + " answered with status '" + std::to_string(status) + "' and is no agent",
              "compare the address with the agent's in the configuration");
}

/// `token` and `answer` belong to CallOnceBlocking, which outlives this.
Task<> KeepAnswer(asio::any_io_executor executor, Endpoint endpoint, const Secret* token, std::string method, Json parameters,
                  Duration timeout, std::optional<Result<Json>>* answer) {
  Result<Json> result = co_await CallOnce(executor, endpoint, *token, method, parameters, timeout);
  answer->emplace(std::move(result));
}

}  // namespace

Task<Result<Json>> CallOnce(asio::any_io_executor executor, Endpoint endpoint, const Secret& token, std::string method,
                            Json parameters, Duration timeout) {
  const SteadyClock::time_point deadline = SteadyClock::now() + std::chrono::duration_cast<SteadyClock::duration>(timeout);
  const std::string who = "the agent at '" + endpoint.Text() + "'";
  if (!peers::IsMethod(method)) co_return Fail("'" + method + "' is no method of the form 'name' or 'group.name'");
  boost::system::error_code bad_address;
  const asio::ip::address address = asio::ip::make_address(endpoint.host, bad_address);
  if (bad_address) co_return Fail("'" + endpoint.host + "' is not an IP address");
  // The token would travel in the clear. Private networks are judged where the configuration is read (peers.allow_plaintext).
  if (ReachOf(endpoint.host) == AddressReach::kPublic) {
    co_return Fail(who + " is beyond loopback, and agents do not speak TLS", "run the command in that region");
  }

  const http::request<http::string_body> request = BuildRequest(endpoint, token, method, parameters);
  beast::tcp_stream stream(executor);
  stream.expires_after(std::min(timeout, kMostConnectTime));
  const auto [unreached] = co_await stream.async_connect(tcp::endpoint(address, endpoint.port), kNoThrow);
  if (unreached) co_return RetryLater(who + " cannot be reached (" + unreached.message() + ")", "is it running? see its log");

  stream.expires_at(deadline);
  const auto [unsent, written] = co_await http::async_write(stream, request, kNoThrow);
  if (unsent && written == 0) co_return RetryLater(who + " closed the connection (" + unsent.message() + ")");
  // Also after a failed write the agent may have said why (413 and the like), so the answer is read in any case.
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(kMostAnswerBytes);
  const auto [unread, size] = co_await http::async_read(stream, buffer, parser, kNoThrow);
  if (unread == beast::error::timeout) {
    co_return UnknownOutcome(who + " did not answer within " + FormatDuration(timeout), "look again before trying again");
  }
  if (unread) {
    co_return UnknownOutcome("the connection to " + who + " was lost (" + unread.message() + ")", "look again before trying again");
  }
  co_return ReadAnswer(parser.get().result_int(), parser.get().body(), who);
}

Result<Json> CallOnceBlocking(const Endpoint& endpoint, const Secret& token, const std::string& method, const Json& parameters,
                              Duration timeout) {
  asio::io_context context(1);
  std::optional<Result<Json>> answer;
  asio::co_spawn(context, KeepAnswer(context.get_executor(), endpoint, &token, method, parameters, timeout, &answer),
                 asio::detached);
  context.run();
  if (!answer)
    return UnknownOutcome("the call to '" + endpoint.Text() + "' ended without an answer", "look again before trying again");
  return std::move(*answer);
}

}  // namespace lifeboat
