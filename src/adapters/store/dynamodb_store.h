#pragma once

// The store in a DynamoDB table, in one AWS region or strongly consistent over several. docs/formats/dynamodb.md has the items. A
// commit is ONE conditional write of ONE item: transactions of DynamoDB are refused by tables with multi-region strong consistency.
// DynamoDB's time-to-live is not used. An incarnation ends when the table shows an older copy of its data, or is another table.
// Thread rule: one executor that runs one thing at a time. Life cycle: destroying it ends its watches; calls under way answer.

#include <boost/asio/any_io_executor.hpp>
#include <memory>
#include <string>
#include <vector>

#include "adapters/aws/client.h"
#include "base/json.h"
#include "base/log.h"
#include "ports/store.h"

namespace lifeboat {

struct DynamoDbOptions {
  std::string service;  ///< its items are those whose hash key is this
  std::string table;
  std::vector<std::string> regions;  ///< AWS regions that hold a replica; the first is asked first
  /// How often a watch asks. A change of this store's own wakes its watches at once.
  Duration poll = std::chrono::milliseconds(500);
};

class DynamoDbStore : public Store {
 public:
  /// @param client  with dynamodb::RetriesOfTable()
  DynamoDbStore(boost::asio::any_io_executor executor, std::shared_ptr<aws::Client> client, DynamoDbOptions options, Log log);
  ~DynamoDbStore() override;
  DynamoDbStore(const DynamoDbStore&) = delete;
  DynamoDbStore& operator=(const DynamoDbStore&) = delete;

  Task<Result<Reading>> Read(std::string prefix, Duration timeout) override;
  /// @error kUnknownOutcome: no answer in time, and the write may still arrive
  /// @error kFail: DynamoDB refused it (permission, table), or a value is larger than an item can be (350 KiB); nothing changed
  Task<Result<TransactionResult>> Commit(Transaction transaction, Duration timeout) override;
  Task<Result<Reading>> Watch(std::string prefix, Version after, Incarnation incarnation, Duration timeout) override;
  Task<Result<Incarnation>> Reseed(Incarnation seen, Incarnation least, std::vector<Transaction::Put> puts,
                                   Duration timeout) override;

  /// The regions as they answer now, for `lifeboat check`: a list of {region, answers, problem | status, consistency, replicas,
  /// bytes}.
  Task<Json> Regions(Duration timeout);
  /// Removes texts that no commit can name any more. It also does so by itself, after every 64 of them.
  /// @return how many were removed
  Task<Result<std::size_t>> Sweep(Duration timeout);

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared: calls and the poller outlive this object until they have ended
};

}  // namespace lifeboat
