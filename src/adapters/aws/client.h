#pragma once

// One call to an AWS service: signed, sent to the endpoint of its region, tried again where that is safe, and its answer or
// error reduced to what a caller can do. The typed calls (rds.h, dynamodb.h, …) are thin functions over Send.
//
//   CredentialSource ─┐
//   Endpoints ────────┼─► Client::Send(Call) ─► sign (sigv4.h) ─► Transport (adapters/http) ─► judge (api_error.h) ─► Reply
//   Clock, dice ──────┘            ▲──────────────── back off (retry.h) ◄─────────────────────┘
//
// Secrets are in no message and no log; the request id of AWS is in both.
// Life cycle: calls under way outlive the client. Thread rule: one executor that runs one thing at a time.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/aws/credentials.h"
#include "adapters/aws/encoding.h"
#include "adapters/aws/endpoint.h"
#include "adapters/aws/retry.h"
#include "adapters/aws/transport.h"
#include "base/log.h"
#include "ports/clock.h"

namespace lifeboat::aws {

/// What a second sending of the same call would do. It decides what is tried again.
enum class Effect {
  kReads,       ///< changes nothing: tried again after everything that may pass
  kRepeatable,  ///< twice is the same as once (an idempotency token, a whole object): tried again also without an answer
  kOnce,        ///< tried again only where it is certain that nothing was done
};

struct Call {
  std::string service;    ///< the name in its endpoint: "rds", "dynamodb", "monitoring", "route53"
  std::string region;     ///< where it is sent; a global service is sent to its own
  std::string operation;  ///< "DescribeGlobalClusters": for messages, logs and counts
  std::string method = "POST";
  std::string path = "/";  ///< percent-encoded as it is sent
  Pairs query;             ///< plain; encoded when it is sent
  Pairs headers;
  std::string body;
  Effect effect = Effect::kOnce;
  std::string bucket;       ///< S3: part of the host or of the path, as the endpoint wants it
  std::string host_prefix;  ///< "123456789012": stands before the host of AWS's own endpoints; one set by hand stays as it is
  std::string endpoint;     ///< of this call alone ("https://host"); empty: the service's in that region
  int attempts = 0;         ///< at most; 0: as the client's limits say
  std::vector<std::string> answers;  ///< error codes that are answers to this caller: they come as a Reply with `code`
};

struct Reply {
  int status = 0;
  Pairs headers;  ///< names in lower case
  std::string body;
  std::string request_id;  ///< for logs and evidence; empty: AWS gave none
  std::string code;        ///< one of Call::answers; empty: the call was done
  std::string message;     ///< beside `code`
  int attempts = 1;

  /// The value of the header `name` (in lower case); empty: there is none.
  [[nodiscard]] std::string Header(std::string_view name) const;
};

struct ClientOptions {
  Endpoints endpoints;
  RetryLimits retry;
  Duration connect_timeout = 2s;
  Duration attempt_timeout = 10s;  ///< of one attempt, its connection included
  std::string user_agent = "lifeboat";
};

struct ClientDoors {
  Clock& clock;
  Transport transport;
  std::function<double()> dice;  ///< uniform in [0, 1); DiceOfTheSystem() in production
  Log log;
};

class Client {
 public:
  Client(std::shared_ptr<CredentialSource> credentials, ClientOptions options, ClientDoors doors);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// One call, all its attempts within `timeout`.
  /// @error kRetry: nothing changed (throttled, no connection, no credentials yet, and any failure of a call that only reads)
  /// @error kNotFound: what it names does not exist; kRefused: a state or condition said no, nothing changed
  /// @error kFail: it cannot work as it is (permission, parameters, account)
  /// @error kUnknownOutcome: a change that was sent, and no answer, or an answer that does not say whether it was done
  Task<Result<Reply>> Send(Call call, Duration timeout);

  /// What is added to the machine's clock when a request is signed: learned from AWS's own Date.
  [[nodiscard]] Duration skew() const;
  /// How far AWS's clock is ahead of this machine's, as the last answer told, at most; 0: no more than its Date could tell.
  [[nodiscard]] Duration ahead() const;
  /// Requests sent until now, attempts counted one by one, by "service.operation".
  [[nodiscard]] const std::map<std::string, std::uint64_t>& requests() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

/// Random numbers from the kernel's generator, for ClientDoors::dice.
[[nodiscard]] std::function<double()> DiceOfTheSystem();

}  // namespace lifeboat::aws
