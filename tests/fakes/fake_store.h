#pragma once

// The store in memory. FakeStoreServer is the store itself (it outlives its clients, and restarts as the real one does: a
// new incarnation, volatile changes forgotten); FakeStore is one client's door to it, with the faults of its network.
// Both pass the contract tests (src/ports/fakes_test.cc).

#include <algorithm>
#include <map>
#include <set>

#include "base/json.h"
#include "ports/bell.h"
#include "ports/store.h"

namespace lifeboat::testing {

class FakeStoreServer {
 public:
  /// The host's process ends and starts again over the same durable state.
  void Restart() {
    records_ = durable_;
    changed_.clear();
    ++incarnation_.number;
    ++version_.number;
    RingAll();
  }
  /// What no store may do: a restart that forgets the volatile changes and looks like the same life.
  void RestartUnnoticed() {
    records_ = durable_;
    RingAll();
  }
  /// Its file is gone: the host's next run makes an empty one, whose lives are counted from the beginning.
  void Forget() {
    durable_.clear();
    incarnation_.number = 0;
  }
  /// As Store::Reseed. Versions go on: they never come back.
  Result<Incarnation> Reseed(Incarnation seen, Incarnation least, const std::vector<Transaction::Put>& puts) {
    if (seen != incarnation_) return Refused("the store is in another incarnation");
    if (full) return Fail("the store cannot write: no space left on device");
    records_.clear();
    changed_.clear();
    incarnation_.number = std::max(seen.number + 1, least.number);
    ++version_.number;
    for (const auto& put : puts) records_[put.key] = {put.key, put.value, version_};
    durable_ = records_;
    RingAll();
    return incarnation_;
  }
  /// An old copy of its file is put in its place. Who waits at the door stays who waits now, not who waited then.
  void PutInPlace(const FakeStoreServer& copy) {
    auto bells = std::move(bells_);
    *this = copy;
    bells_ = std::move(bells);
  }
  bool up = true;
  bool full = false;  ///< its disk is full: durable changes fail
  std::uint64_t commits = 0;

  /// Clients that wait look again.
  void RingAll() {
    for (Bell* bell : bells_) bell->Ring();
  }

  [[nodiscard]] Reading Read(const std::string& prefix) const {
    Reading reading;
    for (auto it = records_.lower_bound(prefix); it != records_.end() && it->first.starts_with(prefix); ++it)
      reading.records.push_back(it->second);
    reading.version = version_;
    reading.incarnation = incarnation_;
    return reading;
  }
  [[nodiscard]] std::optional<std::string> ValueOf(const std::string& key) const {
    const auto found = records_.find(key);
    return found == records_.end() ? std::nullopt : std::optional(found->second.value);
  }
  [[nodiscard]] bool ChangedSince(const std::string& prefix, Version after) const {
    for (auto it = changed_.lower_bound(prefix); it != changed_.end() && it->first.starts_with(prefix); ++it) {
      if (it->second > after) return true;
    }
    return false;
  }
  [[nodiscard]] Incarnation incarnation() const { return incarnation_; }

  Result<TransactionResult> Apply(const Transaction& transaction) {
    std::set<std::string> keys;
    for (const auto& put : transaction.puts) {
      if (put.key.empty() || !IsUtf8(put.key) || !IsUtf8(put.value))
        return Fail("the record for key '" + put.key + "' cannot be stored");
      if (!keys.insert(put.key).second) return Fail("a transaction changes key '" + put.key + "' twice");
    }
    for (const auto& key : transaction.deletes) {
      if (key.empty() || !IsUtf8(key)) return Fail("a transaction deletes a bad key");
      if (!keys.insert(key).second) return Fail("a transaction changes key '" + key + "' twice");
    }
    for (const auto& compare : transaction.compares) {
      if (compare.key.empty() || !IsUtf8(compare.key)) return Fail("a transaction compares a bad key");
    }
    TransactionResult result;
    result.incarnation = incarnation_;
    bool holds = !transaction.incarnation || *transaction.incarnation == incarnation_;
    for (const auto& compare : transaction.compares) {
      const auto found = records_.find(compare.key);
      holds = holds && (found == records_.end() ? Version{} : found->second.version) == compare.version;
    }
    if (!holds) {
      for (const auto& compare : transaction.compares) {
        const auto found = records_.find(compare.key);
        if (found != records_.end()) result.current.push_back(found->second);
      }
      return result;
    }
    const bool durable = transaction.durability == Durability::kDurable;
    if (durable && full) return Fail("the store cannot write: no space left on device");
    ++version_.number;
    ++commits;
    for (const auto& put : transaction.puts) {
      const Record record{put.key, put.value, version_};
      records_[put.key] = record;
      if (durable) durable_[put.key] = record;
      changed_[put.key] = version_;
    }
    for (const auto& key : transaction.deletes) {
      if (records_.erase(key) > 0) changed_[key] = version_;
      if (durable) durable_.erase(key);
    }
    result.committed = true;
    result.version = version_;
    RingAll();
    return result;
  }

 private:
  friend class FakeStore;
  static bool IsUtf8(const std::string& text) {
    const auto plain = [](char c) { return static_cast<unsigned char>(c) < 0x80; };
    if (std::all_of(text.begin(), text.end(), plain)) return true;
    try {
      return !Json(text).dump().empty();
    } catch (const Json::exception&) {
      return false;
    }
  }
  std::map<std::string, Record> records_;
  std::map<std::string, Record> durable_;
  std::map<std::string, Version> changed_;  // of every key that was changed or deleted in this life
  Version version_{1};
  Incarnation incarnation_{1};
  std::set<Bell*> bells_;
};

class FakeStore final : public Store {
 public:
  /// @param latency there and back
  FakeStore(boost::asio::any_io_executor io, Clock& clock, FakeStoreServer& server, Duration latency = 0ns)
      : clock_(clock), server_(server), latency_(latency), bell_(std::move(io)) {
    server_.bells_.insert(&bell_);
  }
  ~FakeStore() override { server_.bells_.erase(&bell_); }

  bool silent = false;    ///< questions leave and no answer comes: nothing arrives at the store
  int lose_requests = 0;  ///< so many commits are lost on the way there, the sender cannot know
  int lose_answers = 0;   ///< so many commits are applied and their answer is lost
  int refuse = 0;         ///< so many commits fail at the store, nothing changed
  /// Called before and after each commit is applied: the place of a crash.
  std::function<void(const Transaction&)> before_commit;
  std::function<void(const Transaction&)> after_commit;

  void Ring() { bell_.Ring(); }

  Task<Result<Reading>> Read(std::string prefix, Duration timeout) override {
    if (!server_.up) co_return RetryLater("the store does not answer: connection refused");
    co_await clock_.Sleep(silent ? timeout : latency_ / 2);
    if (silent || !server_.up) co_return RetryLater("the store did not answer in time");
    Reading reading = server_.Read(prefix);
    co_await clock_.Sleep(latency_ - latency_ / 2);
    if (silent || !server_.up) co_return RetryLater("the store did not answer in time");
    co_return reading;
  }

  Task<Result<TransactionResult>> Commit(Transaction transaction, Duration timeout) override {
    if (!server_.up) co_return RetryLater("the store does not answer: connection refused");
    co_await clock_.Sleep(latency_ / 2);
    if (before_commit) before_commit(transaction);
    if (Take(lose_requests) || silent) {
      co_await clock_.Sleep(timeout);
      co_return UnknownOutcome("the store did not answer in time");
    }
    if (!server_.up) co_return UnknownOutcome("the connection to the store broke");
    if (Take(refuse)) co_return Fail("the store cannot write: no space left on device");
    auto result = server_.Apply(transaction);
    if (after_commit) after_commit(transaction);
    if (Take(lose_answers)) {
      co_await clock_.Sleep(timeout);
      co_return UnknownOutcome("the store did not answer in time");
    }
    co_await clock_.Sleep(latency_ - latency_ / 2);
    if (silent || !server_.up) co_return UnknownOutcome("the store did not answer in time");
    co_return result;
  }

  Task<Result<Incarnation>> Reseed(Incarnation seen, Incarnation least, std::vector<Transaction::Put> puts,
                                   Duration timeout) override {
    if (!server_.up) co_return RetryLater("the store does not answer: connection refused");
    co_await clock_.Sleep(silent ? timeout : latency_);
    if (silent) co_return UnknownOutcome("the store did not answer in time");
    co_return server_.Reseed(seen, least, puts);
  }

  Task<Result<Reading>> Watch(std::string prefix, Version after, Incarnation incarnation, Duration timeout) override {
    const Instant end = clock_.Now() + timeout;
    if (!server_.up) co_return RetryLater("the store does not answer: connection refused");
    while (true) {
      if (!server_.up) co_return RetryLater("the connection to the store broke");
      const Duration left = TimeLeft(end, clock_.Now());
      if (silent && left <= 0ns) co_return RetryLater("the store did not answer in time");
      if (!silent && (left <= 0ns || incarnation != server_.incarnation() || server_.ChangedSince(prefix, after))) {
        Reading reading = server_.Read(prefix);
        co_await clock_.Sleep(latency_ - latency_ / 2);
        co_return reading;
      }
      co_await bell_.WaitFor(clock_, left);
    }
  }

 private:
  static bool Take(int& left) {
    if (left <= 0) return false;
    --left;
    return true;
  }
  Clock& clock_;
  FakeStoreServer& server_;
  const Duration latency_;
  Bell bell_;
};

}  // namespace lifeboat::testing
