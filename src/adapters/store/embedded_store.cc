#include "adapters/store/embedded_store.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "adapters/store/transaction_check.h"

namespace lifeboat {

namespace {

namespace asio = boost::asio;

constexpr std::uint64_t kLastNumber = 0xffffffff;  // the lower half of a version
constexpr std::size_t kMostWaiting = 1024;         // commits that wait for the disk; more are told to come back
constexpr std::size_t kMostDeletions = 4096;       // remembered for watchers; older ones wake them without need

struct Entry {
  std::string value;
  Version version;
  /// When the record became visible. Later than `version` where volatile changes overtook a slow durable one: watchers go
  /// by this, or they would miss it.
  Version visible;
};

struct Deletion {
  Version visible;
  std::string key;
};

struct Commitment {
  Commitment(const asio::any_io_executor& executor, Transaction asked) : transaction(std::move(asked)), done(executor) {}

  [[nodiscard]] bool Changes() const { return !transaction.puts.empty() || !transaction.deletes.empty(); }
  void Answer(Result<TransactionResult> result) {
    answer = std::move(result);
    done.cancel();
  }

  Transaction transaction;
  Version version;
  std::optional<Incarnation> reseeds;  ///< it begins a new life: nothing overtakes it
  bool writing = false;
  std::optional<Result<TransactionResult>> answer;
  asio::steady_timer done;
};

struct Watcher {
  std::string prefix;
  asio::steady_timer woken;
};

bool BeginsWith(std::string_view text, std::string_view prefix) { return text.substr(0, prefix.size()) == prefix; }

bool Writes(const Transaction& transaction, std::string_view key) {
  const auto puts = [key](const Transaction::Put& put) { return put.key == key; };
  return std::any_of(transaction.puts.begin(), transaction.puts.end(), puts) ||
         std::find(transaction.deletes.begin(), transaction.deletes.end(), key) != transaction.deletes.end();
}

/// True when a key that `first` writes is read or written by `second`.
bool Disturbs(const Transaction& first, const Transaction& second) {
  const auto compares = [&first](const Transaction::Compare& compare) { return Writes(first, compare.key); };
  const auto puts = [&first](const Transaction::Put& put) { return Writes(first, put.key); };
  const auto deletes = [&first](const std::string& key) { return Writes(first, key); };
  return std::any_of(second.compares.begin(), second.compares.end(), compares) ||
         std::any_of(second.puts.begin(), second.puts.end(), puts) ||
         std::any_of(second.deletes.begin(), second.deletes.end(), deletes);
}

/// Transactions that do not overlap have the same effect in either order.
bool Overlap(const Transaction& one, const Transaction& other) { return Disturbs(one, other) || Disturbs(other, one); }

Error Closing() { return RetryLater("the store is closing"); }

}  // namespace

struct EmbeddedStore::State : std::enable_shared_from_this<EmbeddedStore::State> {
  State(asio::any_io_executor with, std::unique_ptr<StoreDisk> on) : executor(std::move(with)), disk(std::move(on)) {}

  [[nodiscard]] Reading ReadNow(std::string_view prefix) const;
  [[nodiscard]] bool ChangedSince(std::string_view prefix, Version after) const;
  [[nodiscard]] bool Holds(const Transaction& transaction) const;
  [[nodiscard]] TransactionResult Conflict(const Transaction& transaction) const;
  [[nodiscard]] bool MustWait(const Commitment& next, std::size_t place) const;
  [[nodiscard]] Version NextVersion();
  void Serve();
  void Begin(const std::shared_ptr<Commitment>& next);
  void WriteToDisk(const std::shared_ptr<Commitment>& next);
  void Finish(const std::shared_ptr<Commitment>& written, const Result<Unit>& result);
  void Apply(const Transaction& transaction, Version version, Version visible);
  void BeginLife(const Commitment& seed);
  void Remember(Deletion deletion);
  void Wake(const Transaction& transaction);
  void Close();

  asio::any_io_executor executor;
  std::unique_ptr<StoreDisk> disk;
  asio::thread_pool disk_thread{1};
  Incarnation incarnation;
  std::map<std::string, Entry, std::less<>> records;
  std::deque<Deletion> deletions;  ///< oldest first
  Version forgotten;               ///< deletions up to here are no longer known
  Version used;                    ///< the last one given out
  Version visible;                 ///< of the newest change that can be read
  std::deque<std::shared_ptr<Commitment>> waiting;
  std::shared_ptr<Commitment> writing;
  std::list<Watcher> watchers;
  bool closed = false;
};

Reading EmbeddedStore::State::ReadNow(std::string_view prefix) const {
  Reading reading;
  for (auto at = records.lower_bound(prefix); at != records.end() && BeginsWith(at->first, prefix); ++at) {
    reading.records.push_back({at->first, at->second.value, at->second.version});
  }
  reading.version = visible;
  reading.incarnation = incarnation;
  return reading;
}

bool EmbeddedStore::State::ChangedSince(std::string_view prefix, Version after) const {
  if (after < forgotten) return true;
  for (auto at = deletions.rbegin(); at != deletions.rend() && at->visible > after; ++at) {
    if (BeginsWith(at->key, prefix)) return true;
  }
  for (auto at = records.lower_bound(prefix); at != records.end() && BeginsWith(at->first, prefix); ++at) {
    if (at->second.visible > after) return true;
  }
  return false;
}

bool EmbeddedStore::State::Holds(const Transaction& transaction) const {
  // SAFETY: a volatile change may have been forgotten between two incarnations: who read in the one must not write in the other.
  if (transaction.incarnation && *transaction.incarnation != incarnation) return false;
  return std::all_of(transaction.compares.begin(), transaction.compares.end(), [this](const Transaction::Compare& compare) {
    const auto found = records.find(compare.key);
    return compare.version == (found == records.end() ? Version{} : found->second.version);
  });
}

TransactionResult EmbeddedStore::State::Conflict(const Transaction& transaction) const {
  TransactionResult result;
  result.incarnation = incarnation;
  for (const Transaction::Compare& compare : transaction.compares) {
    const auto found = records.find(compare.key);
    if (found != records.end()) result.current.push_back({found->first, found->second.value, found->second.version});
  }
  return result;
}

Version EmbeddedStore::State::NextVersion() {
  LIFEBOAT_CHECK((used.number & kLastNumber) != kLastNumber,
                 "the versions of this incarnation are used up; a restart begins a new one");
  used.number += 1;
  return used;
}

bool EmbeddedStore::State::MustWait(const Commitment& next, std::size_t place) const {
  const bool needs_disk = next.transaction.durability == Durability::kDurable && next.Changes();
  if (writing && (needs_disk || writing->reseeds || Overlap(writing->transaction, next.transaction))) return true;
  // Those that came earlier and touch the same keys go first.
  return std::any_of(
      waiting.begin(), waiting.begin() + static_cast<std::ptrdiff_t>(place),
      [&next](const std::shared_ptr<Commitment>& earlier) { return Overlap(earlier->transaction, next.transaction); });
}

void EmbeddedStore::State::Serve() {
  for (std::size_t place = 0; place < waiting.size();) {
    if (MustWait(*waiting[place], place)) {
      ++place;
      continue;
    }
    const std::shared_ptr<Commitment> next = waiting[place];
    waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(place));
    Begin(next);
  }
}

void EmbeddedStore::State::Begin(const std::shared_ptr<Commitment>& next) {
  const Transaction& transaction = next->transaction;
  if (!Holds(transaction)) {
    next->Answer(Conflict(transaction));
    return;
  }
  next->version = NextVersion();
  if (transaction.durability == Durability::kDurable && next->Changes()) {
    WriteToDisk(next);
    return;
  }
  Apply(transaction, next->version, next->version);
  next->Answer(TransactionResult{true, next->version, incarnation, {}});
}

void EmbeddedStore::State::WriteToDisk(const std::shared_ptr<Commitment>& next) {
  next->writing = true;
  writing = next;
  asio::post(disk_thread, [self = shared_from_this(), next] {
    const DurableChange change{next->transaction.puts, next->transaction.deletes, next->version, next->reseeds};
    Result<Unit> result = self->disk->Write(change);
    asio::any_io_executor back = self->executor;
    asio::post(back, [self, next, result = std::move(result)] { self->Finish(next, result); });
  });
}

void EmbeddedStore::State::Finish(const std::shared_ptr<Commitment>& written, const Result<Unit>& result) {
  writing.reset();
  if (result && written->reseeds) {
    BeginLife(*written);
    written->Answer(TransactionResult{true, written->version, incarnation, {}});
  } else if (result) {
    const bool overtaken = used != written->version;
    const Version seen = overtaken ? NextVersion() : written->version;
    Apply(written->transaction, written->version, seen);
    written->Answer(TransactionResult{true, written->version, incarnation, {}});
  } else {
    written->Answer(result.error());
  }
  Serve();
}

/// Everything that was known of the life before is gone; whoever watches looks again.
void EmbeddedStore::State::BeginLife(const Commitment& seed) {
  records.clear();
  deletions.clear();
  incarnation = *seed.reseeds;
  used = seed.version;
  forgotten = seed.version;
  for (const Transaction::Put& put : seed.transaction.puts) records[put.key] = Entry{put.value, seed.version, seed.version};
  visible = seed.version;
  for (Watcher& watcher : watchers) watcher.woken.cancel();
}

void EmbeddedStore::State::Apply(const Transaction& transaction, Version version, Version seen) {
  for (const Transaction::Put& put : transaction.puts) records[put.key] = Entry{put.value, version, seen};
  for (const std::string& key : transaction.deletes) {
    if (records.erase(key) != 0) Remember({seen, key});
  }
  visible = seen;
  Wake(transaction);
}

void EmbeddedStore::State::Remember(Deletion deletion) {
  deletions.push_back(std::move(deletion));
  if (deletions.size() <= kMostDeletions) return;
  forgotten = deletions.front().visible;
  deletions.pop_front();
}

void EmbeddedStore::State::Wake(const Transaction& transaction) {
  for (Watcher& watcher : watchers) {
    const auto puts = [&watcher](const Transaction::Put& put) { return BeginsWith(put.key, watcher.prefix); };
    const auto deletes = [&watcher](const std::string& key) { return BeginsWith(key, watcher.prefix); };
    if (std::any_of(transaction.puts.begin(), transaction.puts.end(), puts) ||
        std::any_of(transaction.deletes.begin(), transaction.deletes.end(), deletes)) {
      watcher.woken.cancel();
    }
  }
}

void EmbeddedStore::State::Close() {
  closed = true;
  for (const std::shared_ptr<Commitment>& commitment : waiting) commitment->Answer(Closing());
  waiting.clear();
  for (Watcher& watcher : watchers) watcher.woken.cancel();
}

Result<std::unique_ptr<EmbeddedStore>> EmbeddedStore::Open(asio::any_io_executor executor, const std::string& file) {
  Result<StoreFile::Opened> opened = StoreFile::Open(file);
  if (!opened) return opened.error();
  return std::make_unique<EmbeddedStore>(std::move(executor), std::move(opened->contents), std::move(opened->file));
}

EmbeddedStore::EmbeddedStore(asio::any_io_executor executor, StoreContents contents, std::unique_ptr<StoreDisk> disk)
    : state_(std::make_shared<State>(std::move(executor), std::move(disk))) {
  State& state = *state_;
  state.incarnation = contents.incarnation;
  state.used.number = contents.incarnation.number << 32;
  state.visible = state.used;
  for (Record& record : contents.records) {
    state.records[std::move(record.key)] = Entry{std::move(record.value), record.version, record.version};
  }
}

EmbeddedStore::~EmbeddedStore() {
  state_->Close();
  state_->disk_thread.join();
  state_->disk.reset();  // the file's lock is free from here on, also while an answer is still on its way
}

Incarnation EmbeddedStore::incarnation() const { return state_->incarnation; }

Task<Result<Reading>> EmbeddedStore::Read(std::string prefix, Duration /*timeout*/) { co_return state_->ReadNow(prefix); }

Task<Result<TransactionResult>> EmbeddedStore::Commit(Transaction transaction, Duration timeout) {
  const std::shared_ptr<State> state = state_;
  if (Result<Unit> sound = CheckTransaction(transaction); !sound) co_return sound.error();
  if (state->waiting.size() >= kMostWaiting) co_return RetryLater("the store has too many changes waiting for its disk");
  const auto commitment = std::make_shared<Commitment>(state->executor, std::move(transaction));
  state->waiting.push_back(commitment);
  state->Serve();
  if (!commitment->answer) {
    commitment->done.expires_after(timeout);
    co_await commitment->done.async_wait(asio::as_tuple(asio::use_awaitable));
  }
  if (commitment->answer) co_return std::move(*commitment->answer);
  if (commitment->writing) {
    co_return UnknownOutcome("the store's disk did not finish a change within " + FormatDuration(timeout),
                             "read the store again; look at the load and the health of the disk");
  }
  std::erase(state->waiting, commitment);
  state->Serve();
  co_return RetryLater("the store's disk was busy with earlier changes for " + FormatDuration(timeout));
}

Task<Result<Incarnation>> EmbeddedStore::Reseed(Incarnation seen, Incarnation least, std::vector<Transaction::Put> puts,
                                                Duration timeout) {
  const std::shared_ptr<State> state = state_;
  Transaction transaction;
  transaction.puts = std::move(puts);
  if (Result<Unit> sound = CheckTransaction(transaction); !sound) co_return sound.error();
  if (state->closed) co_return Closing();
  // SAFETY: of two that reseed at once one must find that the other was there.
  if (seen != state->incarnation) {
    co_return Refused("the store's incarnation is '" + std::to_string(state->incarnation.number) + "' by now",
                      "somebody else has reseeded or restarted it: look again");
  }
  if (state->writing || !state->waiting.empty()) co_return RetryLater("the store has changes under way");
  const Incarnation next{std::max(seen.number + 1, least.number)};
  if (next.number > StoreFile::kLastIncarnation) co_return Fail("the store has used up its incarnations");
  const auto commitment = std::make_shared<Commitment>(state->executor, std::move(transaction));
  commitment->reseeds = next;
  commitment->version.number = (next.number << 32) + 1;
  state->WriteToDisk(commitment);
  commitment->done.expires_after(timeout);
  co_await commitment->done.async_wait(asio::as_tuple(asio::use_awaitable));
  if (!commitment->answer)
    co_return UnknownOutcome("the store's disk did not finish within " + FormatDuration(timeout), "look again");
  if (!*commitment->answer) co_return commitment->answer->error();
  co_return next;
}

Task<Result<Reading>> EmbeddedStore::Watch(std::string prefix, Version after, Incarnation incarnation, Duration timeout) {
  const std::shared_ptr<State> state = state_;
  if (state->closed) co_return Closing();
  if (incarnation != state->incarnation) co_return state->ReadNow(prefix);
  state->watchers.push_back({prefix, asio::steady_timer(state->executor, timeout)});
  const auto place = std::prev(state->watchers.end());
  bool over = false;
  while (!over && !state->closed && incarnation == state->incarnation && !state->ChangedSince(prefix, after)) {
    const auto [timed_out] = co_await place->woken.async_wait(asio::as_tuple(asio::use_awaitable));
    const asio::cancellation_state cancellation = co_await asio::this_coro::cancellation_state;
    over = !timed_out || cancellation.cancelled() != asio::cancellation_type::none;
  }
  state->watchers.erase(place);
  if (state->closed) co_return Closing();
  co_return state->ReadNow(prefix);
}

}  // namespace lifeboat
