#pragma once

// AWS in the tests of this folder: a clock that passes by sleeping, and a transport that a function answers.

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "adapters/aws/client.h"
#include "base/json.h"
#include "support/run_task.h"

namespace lifeboat::aws::testing {

/// Time that passes only by sleeping. Begins at 2026-11-23T11:46:22Z.
class SteppedClock final : public Clock {
 public:
  Duration passed{0};
  WallTime wall{1'795'434'382'000'000'000};
  std::vector<Duration> sleeps;
  [[nodiscard]] Instant Now() const override { return {passed, passed}; }
  [[nodiscard]] WallTime Wall() const override { return {wall.ns + passed.count()}; }
  Task<> Sleep(Duration d) override {
    sleeps.push_back(d);
    passed += d;
    co_return;
  }
};

/// A request as AWS would read it.
struct Seen {
  HttpRequest request;
  std::string service;    ///< of the signature
  std::string region;     ///< of the signature
  std::string operation;  ///< Action, or the target's last part; empty for REST
  Pairs form;             ///< of the query protocol
  Json json;              ///< of the JSON protocol
  [[nodiscard]] std::string Header(const std::string& name) const {
    for (const std::string& header : request.headers) {
      if (header.starts_with(name + ": ")) return header.substr(name.size() + 2);
    }
    return {};
  }
  [[nodiscard]] std::string Form(const std::string& name) const { return HeaderOf(form, name); }
};

struct Said {
  int status = 200;
  std::string body;
  Pairs headers;
  std::optional<Error> silence;
};

class FakeAws {
 public:
  std::function<Said(const Seen&)> answer = [](const Seen&) { return Said{}; };
  std::vector<Seen> seen;
  SteppedClock clock;
  boost::asio::io_context context;

  [[nodiscard]] Transport MakeTransport() {
    return [this](HttpRequest request, Duration /*timeout*/) -> Task<Result<HttpResponse>> {
      const Seen asked = Read(std::move(request));
      seen.push_back(asked);
      co_await boost::asio::post(boost::asio::use_awaitable);  // no answer comes at once, and others may ask meanwhile
      const Said said = answer(asked);
      if (said.silence) co_return *said.silence;
      HttpResponse response;
      response.status = said.status;
      response.body = said.body;
      response.headers = said.headers;
      co_return response;
    };
  }
  [[nodiscard]] ClientDoors Doors() {
    return ClientDoors{clock, MakeTransport(), [] { return 0.5; }, Log()};
  }
  [[nodiscard]] std::unique_ptr<Client> MakeClient() {
    Credentials keys;
    keys.access_key_id = "key";
    keys.secret_key = Secret("secret");
    return std::make_unique<Client>(std::make_shared<FixedCredentials>(std::move(keys)), ClientOptions{}, Doors());
  }
  template <typename T>
  T Run(Task<T> task) {
    return lifeboat::testing::Await(context, std::move(task));
  }
  /// "rds SwitchoverGlobalCluster us-east-1", one a request.
  [[nodiscard]] std::vector<std::string> Calls() const {
    std::vector<std::string> calls;
    for (const Seen& one : seen) calls.push_back(one.service + " " + one.operation + " " + one.region);
    return calls;
  }
  [[nodiscard]] std::size_t CountOf(const std::string& operation) const {
    std::size_t count = 0;
    for (const Seen& one : seen) count += one.operation == operation ? 1U : 0U;
    return count;
  }

  static Said QueryError(int status, const std::string& code) {
    return Said{status, "<ErrorResponse><Error><Code>" + code + "</Code><Message>words</Message></Error></ErrorResponse>", {}, {}};
  }
  static Said Silence() { return Said{0, "", {}, UnknownOutcome("no answer within 10 s")}; }
  static Said NoConnection() { return Said{0, "", {}, RetryLater("connection refused")}; }

 private:
  static Seen Read(HttpRequest request) {
    Seen one;
    one.request = std::move(request);
    const std::string authorization = one.Header("Authorization");
    const std::size_t scope = authorization.find("Credential=");
    if (scope != std::string::npos) {
      std::vector<std::string> parts{""};
      for (const char c : authorization.substr(scope, authorization.find(',', scope) - scope)) {
        if (c == '/') {
          parts.emplace_back();
        } else {
          parts.back() += c;
        }
      }
      one.region = parts.at(2);
      one.service = parts.at(3);
    }
    const std::string target = one.Header("X-Amz-Target");
    if (!target.empty()) {
      one.operation = target.substr(target.rfind('.') + 1);
      one.json = Json::parse(one.request.body);
    } else if (one.request.body.starts_with("Action=")) {
      one.form = ParseQuery(one.request.body);
      one.operation = one.Form("Action");
    }
    return one;
  }
};

}  // namespace lifeboat::aws::testing
