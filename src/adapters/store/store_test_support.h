#pragma once

// For the tests of this folder: a folder of its own a test, and a door to the agents that stays in this process.

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "adapters/store/embedded_store.h"
#include "ports/peers.h"

namespace lifeboat::testing {

class TestFolder {
 public:
  TestFolder() : path_(std::filesystem::temp_directory_path() / ("lifeboat-store-" + RandomHex(8))) {
    std::filesystem::create_directory(path_);
  }
  ~TestFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  [[nodiscard]] std::string File(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

inline std::unique_ptr<EmbeddedStore> OpenOrThrow(boost::asio::io_context& context, const std::string& file) {
  Result<std::unique_ptr<EmbeddedStore>> opened = EmbeddedStore::Open(context.get_executor(), file);
  if (!opened) throw std::runtime_error(opened.error().Text());
  return std::move(opened).value();
}

/// Carries questions as text, as the wire does, and can be told to lose the question or the answer.
class InProcessPeers : public Peers {
 public:
  enum class Fault { kNone, kNotSent, kAnswerLost, kAnswerGarbled, kFirstAnswerLost /* the question comes twice */ };

  explicit InProcessPeers(boost::asio::io_context& context) : context_(context) {}

  Task<Result<Json>> Call(RegionName region, std::string method, Json parameters, Duration timeout, Lane lane) override {
    const char* const name = lane == Lane::kLease ? " lease" : lane == Lane::kWork ? " work" : " datagram";
    calls.push_back(region.text + " " + method + name);
    last_timeout = timeout;
    if (fault == Fault::kNotSent || !handler) co_return RetryLater("not connected");
    co_await boost::asio::post(context_, boost::asio::use_awaitable);
    Json asked = Json::parse(parameters.dump());
    if (fault == Fault::kFirstAnswerLost) {
      Json copy = asked;
      (void)co_await handler(method, std::move(copy));
    }
    Result<Json> answer = co_await handler(std::move(method), std::move(asked));
    co_await boost::asio::post(context_, boost::asio::use_awaitable);
    if (fault == Fault::kAnswerLost) co_return UnknownOutcome("no answer");
    if (fault == Fault::kAnswerGarbled) co_return Json("?");
    if (!answer) co_return answer.error();
    co_return Json::parse(answer->dump());
  }

  CallHandler handler;
  Fault fault = Fault::kNone;
  std::vector<std::string> calls;
  Duration last_timeout{};

 private:
  boost::asio::io_context& context_;
};

}  // namespace lifeboat::testing
