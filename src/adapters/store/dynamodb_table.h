#pragma once

// Questions to a DynamoDB table, asked in one AWS region after another until one answers: the table is either in one region, or a
// global one with multi-region strong consistency, where it does not matter which is asked. Anything else is refused.
// Thread rule: one executor that runs one thing at a time.
// @source DynamoDB API reference 2012-08-10; DynamoDB developer guide, "Global tables: how it works"

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapters/aws/dynamodb.h"
#include "base/json.h"
#include "base/log.h"

namespace lifeboat::dynamodb {

using SteadyTime = std::chrono::steady_clock::time_point;

struct TableOptions {
  std::string table;
  std::vector<std::string> regions;  ///< the first is asked first
};

/// The AWS client that a Table wants: few tries of its own, since going on to another region is better than waiting.
[[nodiscard]] aws::RetryLimits RetriesOfTable();

class StoreTable {
 public:
  StoreTable(boost::asio::any_io_executor executor, std::shared_ptr<aws::Client> client, TableOptions options, Log log);

  /// The item with that key as it is after every write that was answered before; nothing: there is none.
  /// @error kRetry: no region answered in time; kFail: the table cannot be used as it is
  Task<Result<std::optional<Json>>> Get(Json key, SteadyTime end);

  struct PutAnswer {
    bool done = false;
    std::optional<Json> stands;  ///< not done: the item that stands there instead
    bool echo = false;           ///< not done: a try before got no answer, and may have been what changed it
  };
  /// Replaces an item if its attribute `attempt` is `expected`; nothing: if there is none. Where an answer was lost the request is
  /// sent again as it is, perhaps to another region, so "not done" may be the echo of its own success: look for it in `stands`.
  /// @error kUnknownOutcome: it may have been done; kRetry: it was not, and cannot be any more; kFail
  Task<Result<PutAnswer>> PutIf(Json item, std::optional<std::string> expected, SteadyTime end);

  /// Writes an item whose key nobody else writes.
  Task<Result<Unit>> Put(Json item, SteadyTime end);
  Task<Result<Unit>> Delete(Json key, SteadyTime end);
  /// All items of `service` whose sort key begins with `prefix`.
  Task<Result<std::vector<Json>>> List(std::string service, std::string prefix, SteadyTime end);

  /// Looks at the table once; until then nothing is written to it or believed of it.
  Task<Result<Unit>> Verify(SteadyTime end);
  /// The AWS region that Verify asked, and the id of the table there: another table of that name has another one.
  [[nodiscard]] const std::string& verified_region() const { return verified_region_; }
  [[nodiscard]] const std::string& table_id() const { return table_id_; }

  /// Every region as it answers now: a list of {region, answers, problem | status, consistency, replicas, bytes}.
  Task<Json> Describe(Duration timeout);

 private:
  /// The regions in the order in which they are to be asked now.
  [[nodiscard]] std::vector<std::string> Order() const;
  /// Asks one region after another, and again, until one answers or the time is over.
  /// @param changes  then a lost answer ends as kUnknownOutcome, else as kRetry
  /// @param echo  becomes true when an answer was lost
  template <typename T>
  Task<Result<T>> Ask(std::function<Task<Result<T>>(std::string region, Duration patience)> ask, bool changes, bool* echo,
                      SteadyTime end);
  [[nodiscard]] aws::dynamodb::Table In(const std::string& region) const { return {region, options_.table}; }
  [[nodiscard]] Result<Unit> Judge(const Json& description, const std::string& region);

  boost::asio::any_io_executor executor_;
  std::shared_ptr<aws::Client> client_;
  TableOptions options_;
  Log log_;
  std::map<std::string, SteadyTime> avoided_;  ///< regions that did not answer, and until when the others are asked before them
  std::string answered_;                       ///< the region that answered last
  std::string verified_region_;
  std::string table_id_;
};

}  // namespace lifeboat::dynamodb
