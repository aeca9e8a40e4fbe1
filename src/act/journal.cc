#include "act/journal.h"

#include <algorithm>

namespace lifeboat {

namespace {
constexpr Duration kStoreTimeout = 700ms;

}  // namespace

Journal::Journal(Clock& clock, Store& store, Files& files, std::string service, std::string folder, Log log)
    : clock_(clock), store_(store), files_(files), service_(std::move(service)), folder_(std::move(folder)), log_(std::move(log)) {}

Task<Result<Transaction>> Journal::Beginning(Execution execution, bool supersede) {
  superseded_.reset();
  auto reading = co_await store_.Read(CurrentKey(), kStoreTimeout);
  if (!reading.ok()) co_return reading.error();
  Transaction transaction;
  Version pointer;
  if (!reading->records.empty()) {
    pointer = reading->records.front().version;
    const ExecutionId running(reading->records.front().value);
    auto other = co_await Find(running, kStoreTimeout);
    if (!other.ok() && other.error().retry != Retry::kNotFound) co_return other.error();
    if (other.ok() && !IsEnded(other->state)) {
      if (!supersede) {
        co_return Refused(
            std::string(ToString(other->kind)) + " '" + running.text + "' is " + ToString(other->state),
            "wait for it (lifeboat executions show " + running.text + "), or end it: lifeboat executions abort " + running.text);
      }
      Execution ended = *other;
      ended.state = ExecutionState::kAborted;
      ended.ended = clock_.Wall();
      ended.waiting_for.clear();
      ended.reason += "; ended by failover '" + execution.id.text + "'";
      ended.revision += 1;
      transaction.puts.push_back({KeyOf(running), ToJson(ended).dump()});
      superseded_ = std::move(ended);
    }
  }
  transaction.compares.push_back({CurrentKey(), pointer});
  transaction.compares.push_back({KeyOf(execution.id), Version{0}});
  transaction.puts.push_back({CurrentKey(), execution.id.text});
  transaction.puts.push_back({KeyOf(execution.id), ToJson(execution).dump()});
  co_return transaction;
}

Task<Result<Unit>> Journal::Begin(Execution execution) {
  auto transaction = co_await Beginning(execution, false);
  if (!transaction.ok()) co_return transaction.error();
  auto result = co_await store_.Commit(*transaction, kStoreTimeout);
  if (!result.ok()) {
    if (result.error().retry != Retry::kUnknownOutcome) co_return result.error();
    auto found = co_await Find(execution.id, kStoreTimeout);  // no answer: look whether it was ours
    if (!found.ok()) co_return result.error();
    co_return Done();
  }
  if (!result->committed) {
    co_return Refused("another execution began at the same moment", "look at it: lifeboat executions list");
  }
  versions_[execution.id] = result->version;
  co_return Done();
}

void Journal::Began(const Execution& execution, Version version) { versions_[execution.id] = version; }

Task<std::optional<Execution>> Journal::ReadOwn(ExecutionId id) {
  const std::string file = FileOf(id);
  auto text = co_await files_.Read(file);
  if (!text.ok()) co_return std::nullopt;
  const auto json = ParseJson(*text, file);
  if (!json.ok()) co_return std::nullopt;
  auto execution = ExecutionFromJson(*json);
  if (!execution.ok()) co_return std::nullopt;
  own_file_[id] = true;
  co_return *execution;
}

Task<Journal::Written> Journal::Write(Execution& execution, bool forward_only) {
  execution.revision += 1;
  Transaction transaction;
  transaction.compares.push_back({KeyOf(execution.id), versions_[execution.id]});
  transaction.puts.push_back({KeyOf(execution.id), ToJson(execution).dump()});
  if (IsEnded(execution.state)) transaction.deletes.push_back(CurrentKey());
  auto result = co_await store_.Commit(transaction, kStoreTimeout);
  if (result.ok() && result->committed) {
    versions_[execution.id] = result->version;
    if (own_file_.erase(execution.id) > 0) (void)co_await files_.Remove(FileOf(execution.id));
    co_return Written::kInStore;
  }
  if (result.ok()) {
    // Something else stands there: our own earlier write whose answer was lost, or a new owner's.
    bool stands = false;
    for (const Record& record : result->current) {
      if (record.key != KeyOf(execution.id)) continue;
      stands = true;
      const auto json = ParseJson(record.value, record.key);
      if (!json.ok()) co_return Written::kNowhere;
      const auto there = ExecutionFromJson(*json);
      if (!there.ok()) co_return Written::kNowhere;
      if (there->owner_agent != execution.owner_agent || IsEnded(there->state)) {
        log_.Warn("another agent owns this execution now", {{"owner", there->owner.text}});
        co_return Written::kLost;
      }
      versions_[execution.id] = record.version;
    }
    if (!stands) {
      // Gone with a store that was replaced by a copy from before it began: the rules look after what it moved.
      log_.Warn("this execution stands in the store no more", {{"execution", execution.id.text}});
      co_return Written::kLost;
    }
    auto again = transaction;
    again.compares.front().version = versions_[execution.id];
    auto second = co_await store_.Commit(again, kStoreTimeout);
    if (second.ok() && second->committed) {
      versions_[execution.id] = second->version;
      co_return Written::kInStore;
    }
  }
  if (!forward_only) co_return Written::kNowhere;
  own_file_[execution.id] = true;
  const std::string text = ToJson(execution).dump();
  auto kept = co_await files_.Write(FileOf(execution.id), text);
  if (!kept.ok()) {
    log_.Error("neither the store nor the own journal file took a step", {{"problem", kept.error().message}});
    co_return Written::kNowhere;
  }
  log_.Warn("the store is silent: the journal goes on in the own file", {{"file", FileOf(execution.id)}});
  co_return Written::kInFile;
}

Task<Result<Execution>> Journal::Find(ExecutionId id, Duration timeout) {
  const std::string key = KeyOf(id);
  auto reading = co_await store_.Read(key, timeout);
  if (!reading.ok()) {
    auto own = co_await ReadOwn(id);
    if (own) co_return *own;
    co_return reading.error();
  }
  for (const Record& record : reading->records) {
    if (record.key != key) continue;
    const auto json = ParseJson(record.value, record.key);
    if (!json.ok()) co_return json.error();
    auto stored = ExecutionFromJson(*json);
    if (!stored.ok()) co_return stored.error();
    auto own = co_await ReadOwn(id);
    if (own && own->revision > stored->revision && !IsEnded(stored->state)) co_return *own;
    co_return *stored;
  }
  co_return NotFound("there is no execution '" + id.text + "'", "lifeboat executions list");
}

Task<Result<std::optional<Execution>>> Journal::Current(Duration timeout) {
  auto reading = co_await store_.Read(CurrentKey(), timeout);
  if (!reading.ok()) co_return reading.error();
  if (reading->records.empty()) co_return std::optional<Execution>();
  auto found = co_await Find(ExecutionId(reading->records.front().value), timeout);
  if (!found.ok()) co_return found.error();
  // Ended in the store: the pointer is about to go. Ended in the own file alone: it is still on record as running for all
  // others, and whoever has the file must merge it (Adopt).
  if (IsEnded(found->state) && !own_file_.contains(found->id)) co_return std::optional<Execution>();
  co_return std::optional<Execution>(*found);
}

Task<Result<std::vector<Execution>>> Journal::List(Duration timeout) {
  auto reading = co_await store_.Read(service_ + "/executions/", timeout);
  if (!reading.ok()) co_return reading.error();
  std::vector<Execution> all;
  for (const Record& record : reading->records) {
    const auto json = ParseJson(record.value, record.key);
    if (!json.ok()) continue;
    auto execution = ExecutionFromJson(*json);
    if (execution.ok()) all.push_back(*std::move(execution));
  }
  std::sort(all.begin(), all.end(), [](const Execution& a, const Execution& b) { return a.id > b.id; });
  co_return all;
}

Task<Result<Execution>> Journal::Adopt(ExecutionId id, RegionName region, AgentId agent) {
  auto found = co_await Find(id, kStoreTimeout);
  if (!found.ok()) co_return found.error();
  const std::string key = KeyOf(id);
  auto reading = co_await store_.Read(key, kStoreTimeout);
  if (!reading.ok()) co_return reading.error();
  if (reading->records.empty()) co_return NotFound("there is no execution '" + id.text + "'");
  const auto json = ParseJson(reading->records.front().value, key);
  if (!json.ok()) co_return json.error();
  const auto stored = ExecutionFromJson(*json);
  if (!stored.ok()) co_return stored.error();
  if (IsEnded(stored->state)) {
    // Its own last word freed the pointer, or a failover ended it, whose pointer stands there now: nothing is left to write.
    if (own_file_.erase(id) > 0) (void)co_await files_.Remove(FileOf(id));
    co_return Refused("execution '" + id.text + "' has ended");
  }
  Execution adopted = *found;
  if (IsEnded(adopted.state)) {
    // It ended while the store was silent: its last word stands in the own file only, and is merged now.
    adopted.revision += 1;
    Transaction merge;
    merge.compares.push_back({key, reading->records.front().version});
    merge.puts.push_back({key, ToJson(adopted).dump()});
    merge.deletes.push_back(CurrentKey());
    auto merged = co_await store_.Commit(std::move(merge), kStoreTimeout);
    if (merged.ok() && merged->committed && own_file_.erase(id) > 0) (void)co_await files_.Remove(FileOf(id));
    co_return Refused("execution '" + id.text + "' has ended");
  }
  adopted.owner = std::move(region);
  adopted.owner_agent = std::move(agent);
  adopted.revision += 1;
  Transaction transaction;
  transaction.compares.push_back({key, reading->records.front().version});
  transaction.puts.push_back({key, ToJson(adopted).dump()});
  auto result = co_await store_.Commit(transaction, kStoreTimeout);
  if (!result.ok()) co_return result.error();
  if (!result->committed) co_return Refused("execution '" + id.text + "' was adopted by another agent");
  versions_[id] = result->version;
  co_return adopted;
}

}  // namespace lifeboat
