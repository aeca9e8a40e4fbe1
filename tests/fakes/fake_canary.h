#pragma once

// A client like any other: asks the name server, writes one row where it points to.

#include "fakes/fake_database.h"
#include "fakes/fake_traffic.h"
#include "ports/canary.h"

namespace lifeboat::testing {

class FakeCanary final : public Canary {
 public:
  FakeCanary(Clock& clock, FakeNameServer& names, FakeServers& servers, RegionName self)
      : clock_(clock), names_(names), servers_(servers), self_(std::move(self)) {}

  Task<Result<std::string>> Write(Duration timeout) override {
    co_await clock_.Sleep(2ms);
    FakeServer* server = names_.up ? servers_.ByHost(names_.record.address) : nullptr;
    if (!server) co_return RetryLater("the name cannot be resolved");
    if (!servers_.reachable(self_, server->region) || server->hung || server->frozen) {
      co_await clock_.Sleep(timeout);
      co_return RetryLater("no answer from " + server->host);
    }
    if (server->client_delay > 0ns) {
      co_await clock_.Sleep(std::min(server->client_delay, timeout));
      if (server->client_delay > timeout) co_return RetryLater("no answer from " + server->host + " in time");
    }
    if (server->refuses_clients) co_return RetryLater(server->host + ": could not extend file: No space left on device");
    if (server->mode != ServerMode::kPrimary || !server->Commit("canary"))
      co_return RetryLater(server->host + " does not accept writes");
    co_return server->host;
  }

 private:
  Clock& clock_;
  FakeNameServer& names_;
  FakeServers& servers_;
  const RegionName self_;
};

}  // namespace lifeboat::testing
