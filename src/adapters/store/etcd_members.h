#pragma once

// The members of an etcd cluster as one that answers: which to ask, when to ask the next one too, and the login.
// A question goes to the member that answered last. One that cannot be connected is passed over at once; one that is silent
// for a third of the time is left to go on while the next one is asked as well, where asking twice does no harm.
// Thread rule: one executor that runs one thing at a time.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapters/http/http_client.h"
#include "base/json.h"
#include "base/log.h"
#include "base/result.h"
#include "base/types.h"

namespace lifeboat::etcd {

struct MembersOptions {
  std::vector<std::string> endpoints;  ///< "https://10.0.0.1:2379", without a final slash
  std::string user;                    ///< empty: no login
  Secret password;
  HttpTls tls;
};

/// What may become of a question that is asked of two members.
enum class Asking {
  kRead,        ///< changes nothing: ask as often as time allows
  kChangeOnce,  ///< asked again it might be made twice: one member, and no answer means that nobody knows
  kChangeSafe,  ///< made once, it cannot be made again: where it compares a revision that it changes
};

struct Question {
  std::string path;  ///< "/v3/kv/txn"
  Json body;
  Asking asking = Asking::kRead;
  /// kChangeSafe: whether this answer settles it, whatever an earlier member may have done with the same question.
  std::function<bool(const Json&)> settles;
};

class Members : public std::enable_shared_from_this<Members> {
 public:
  Members(boost::asio::any_io_executor executor, MembersOptions options, Log log);

  /// The answer of the first member that has one.
  /// @error kRetry: nobody was asked, or nobody acted on it, nothing changed; a read found no answer in time
  /// @error kUnknownOutcome: a change was sent, and whether it was made is not known
  /// @error kFail: etcd refused it for good (login, permission, size, no space), nothing changed
  Task<Result<Json>> Ask(Question question, Duration timeout);

  /// Asks member `member` for a stream; `on_body` gets it as it comes. Ends with the stream, or an error.
  Task<Result<Unit>> Stream(std::size_t member, std::string path, Json body, std::function<void(std::string_view)> on_body,
                            Duration timeout);
  /// A new token is needed: a stream said so.
  void ForgetToken() { token_.clear(); }
  /// Keeps count of what came of a question with `used`.
  void NoteSilence(const std::string& used, const Result<HttpResponse>& response);

  /// The member to ask first: the one that answered last.
  [[nodiscard]] std::size_t Preferred() const { return preferred_; }
  [[nodiscard]] std::size_t Count() const { return options_.endpoints.size(); }

  /// One line a member, in the order of the endpoints: {endpoint, answers, problem, version, leader, db_bytes, cluster_id, alarms}.
  Task<Json> Describe(Duration timeout);

 private:
  struct Race;
  /// What became of one question to one member.
  struct Reply {
    std::optional<Json> answer;
    std::optional<Error> error;
    bool next = false;  ///< not acted on here; another member, or a later moment, may do better
  };

  Task<> Enter(std::size_t member, std::shared_ptr<Race> race, std::size_t lane, Duration timeout);
  Task<Reply> AskOne(std::size_t member, std::string path, std::string body, Duration timeout);
  Task<Result<HttpResponse>> Send(std::size_t member, std::string path, std::string body, Duration timeout);
  Task<Result<Unit>> LogIn(std::size_t member, Duration timeout);
  /// Returns when there is a token, when the login at `member` has failed, or at `end`.
  Task<Result<Unit>> AwaitLogin(std::size_t member, std::chrono::steady_clock::time_point end);
  Task<> RunLogin(std::size_t member);
  [[nodiscard]] Reply ReplyOf(std::size_t member, const Result<HttpResponse>& response) const;
  [[nodiscard]] std::vector<std::size_t> Order() const;
  void Blame(std::size_t member);
  void Praise(std::size_t member);

  boost::asio::any_io_executor executor_;
  MembersOptions options_;
  Log log_;
  HttpClient http_;
  std::size_t preferred_ = 0;
  std::vector<Instant> bad_until_;
  std::string token_;
  struct Login {
    bool runs = false;
    std::optional<Error> problem;  ///< of the last one that has ended
  };
  std::vector<Login> logins_;            ///< at each member
  boost::asio::steady_timer logged_in_;  ///< cancelled whenever a login has ended
  std::size_t silences_ = 0;             ///< questions with this token that found no answer, since the last that did
};

}  // namespace lifeboat::etcd
