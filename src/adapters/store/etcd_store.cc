#include "adapters/store/etcd_store.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "adapters/store/etcd_members.h"
#include "adapters/store/etcd_wire.h"
#include "adapters/store/transaction_check.h"
#include "base/spawn.h"

namespace lifeboat {

namespace {

namespace asio = boost::asio;

using SteadyTime = std::chrono::steady_clock::time_point;

constexpr const char* kTxnPath = "/v3/kv/txn";
constexpr const char* kLifeFormat = "lifeboat-incarnation/1";
constexpr std::size_t kLargestCompared = 64U << 10U;        // of a value that is compared beside its version
constexpr std::size_t kMostRemembered = 256;                // values of records, for that
constexpr std::size_t kMostChanges = 4096;                  // remembered for watchers; older ones wake them without need
constexpr std::size_t kLongestLine = 16U << 20U;            // of a watch's stream
constexpr Duration kLook = std::chrono::milliseconds(500);  // a watch looks for itself: a member may have fallen behind
constexpr Duration kStreamLife = std::chrono::minutes(5);   // a stream is begun anew, on the member that answers best
constexpr Duration kStreamPause = std::chrono::milliseconds(50);
constexpr int kMostTurns = 8;  // of one call through incarnations that begin meanwhile

Duration TimeLeftUntil(SteadyTime end) { return std::max<Duration>(end - std::chrono::steady_clock::now(), 0ns); }
SteadyTime EndOf(Duration timeout) { return std::chrono::steady_clock::now() + timeout; }

/// The incarnation record as it stands in the cluster.
struct Life {
  std::uint64_t number = 0;
  std::string cluster;
  std::string bytes;
};

std::string LifeBytes(std::uint64_t number, const std::string& cluster) {
  return Json{{"format", kLifeFormat}, {"number", number}, {"cluster", cluster}, {"nonce", RandomHex(16)}}.dump();
}

Result<Life> ParseLife(const std::string& bytes, const std::string& key) {
  const Result<Json> json = ParseJson(bytes, key);
  if (!json || TextAt(*json, "format") != kLifeFormat || NumberAt(*json, "number") == 0) {
    return Fail("the record '" + key + "' in etcd cannot be read", "another program wrote it, or a newer Lifeboat did");
  }
  return Life{NumberAt(*json, "number"), TextAt(*json, "cluster"), bytes};
}

/// A change that a watch's stream told of.
struct Change {
  std::uint64_t revision = 0;
  std::string key;
};

struct Watcher {
  std::string prefix;
  asio::steady_timer woken;
};

}  // namespace

struct EtcdStore::State : std::enable_shared_from_this<EtcdStore::State> {
  State(asio::any_io_executor with, EtcdOptions options, Log to)
      : executor(with),
        log(std::move(to)),
        life_key("lifeboat/" + options.service + "/incarnation"),
        root("lifeboat/" + options.service + "/records/"),
        members(std::make_shared<etcd::Members>(with,
                                                etcd::MembersOptions{std::move(options.endpoints), std::move(options.user),
                                                                     std::move(options.password), std::move(options.tls)},
                                                log)),
        stream_stop(with) {}

  /// What was known when a question was sent: its answer is judged by that.
  struct Before {
    std::uint64_t generation = 0;
    std::uint64_t revision = 0;
  };
  enum class Verdict { kSame, kNewer, kOvertaken, kBegin };

  [[nodiscard]] Before Now() const { return {generation, revision}; }
  [[nodiscard]] Verdict Judge(const etcd::Header& header, const std::optional<Life>& found, Before before, std::string& why) const;
  void Adopt(Life found, const etcd::Header& header);
  void Note(const etcd::Header& header) { revision = std::max(revision, header.revision); }
  Task<Result<Unit>> Begin(std::optional<etcd::KeyValue> stands, std::string cluster, std::string why, SteadyTime end);
  Task<Result<etcd::TxnAnswer>> Ask(Json txn, etcd::Asking asking, SteadyTime end);
  /// Judges the incarnation record that an answer shows and does what follows. @return true: the answer counts
  Task<Result<bool>> Settle(const etcd::TxnAnswer& answer, std::vector<etcd::KeyValue> life_range, Before before, SteadyTime end);

  Task<Result<Reading>> Read(std::string prefix, SteadyTime end);
  Task<Result<TransactionResult>> Commit(Transaction transaction, SteadyTime end);
  Task<Result<std::optional<TransactionResult>>> TryCommit(const Transaction& transaction, SteadyTime end);
  Task<Result<TransactionResult>> Conflict(const Transaction& transaction, SteadyTime end);
  Task<Result<Incarnation>> Reseed(Incarnation seen, Incarnation least, std::vector<Transaction::Put> puts, SteadyTime end);
  [[nodiscard]] Json TxnOf(const Transaction& transaction) const;
  [[nodiscard]] Record RecordOf(etcd::KeyValue pair) const;
  void Remember(const std::string& key, const std::string& value, std::uint64_t at);

  void EnsureStream(Version after);
  Task<> Follow();
  void TakeLine(std::string_view line);
  void TakeBytes(std::string_view bytes);
  void LoseStream();
  void WakeAll();
  [[nodiscard]] bool ChangedSince(std::string_view prefix, Version after) const;

  asio::any_io_executor executor;
  Log log;
  const std::string life_key;
  const std::string root;
  std::shared_ptr<etcd::Members> members;
  bool closed = false;

  std::optional<Life> life;      ///< the newest that was seen
  std::uint64_t generation = 0;  ///< how often `life` changed
  std::uint64_t revision = 0;    ///< the highest that was seen in it
  std::map<std::string, etcd::KeyValue> remembered;

  bool following = false;
  asio::steady_timer stream_stop;  ///< its end ends the stream that is open
  std::string stream_text;         ///< of a line that is not whole yet
  std::uint64_t stream_from = 0;   ///< every change from this revision on ...
  std::uint64_t stream_next = 0;   ///< ... and before this one is known; 0: no revision to go on from
  std::deque<Change> changes;      ///< oldest first
  std::list<Watcher> watchers;
};

// ---- incarnations ----

EtcdStore::State::Verdict EtcdStore::State::Judge(const etcd::Header& header, const std::optional<Life>& found, Before before,
                                                  std::string& why) const {
  if (before.generation != generation) return Verdict::kOvertaken;  // asked in an incarnation that has ended since
  if (!found) {
    why = life ? "the cluster was emptied or rebuilt" : "a new store";
    return Verdict::kBegin;
  }
  // SAFETY: a cluster that was restored from a copy, or whose data were carried to another, has forgotten what came after
  // the copy was made: whoever read before must not write after. (EtcdStoreTest.ASnapshotThatIsRestored…)
  if (found->cluster != header.cluster_id) {
    why = "the data come from another cluster";
    return Verdict::kBegin;
  }
  if (life && found->number < life->number) {
    why = "an older copy: its incarnation was " + std::to_string(found->number);
    return Verdict::kBegin;
  }
  if (!life || found->number > life->number) return Verdict::kNewer;
  if (found->bytes != life->bytes) {
    why = "another copy of the same incarnation";
    return Verdict::kBegin;
  }
  if (header.revision < before.revision) {
    why = "revision " + std::to_string(header.revision) + " after " + std::to_string(before.revision) + ": an older copy";
    return Verdict::kBegin;
  }
  return Verdict::kSame;
}

void EtcdStore::State::Adopt(Life found, const etcd::Header& header) {
  if (life) log.Warn("etcd is in a new incarnation", {{"incarnation", found.number}, {"before", life->number}});
  life = std::move(found);
  ++generation;
  revision = header.revision;
  remembered.clear();
  LoseStream();
}

Task<Result<Unit>> EtcdStore::State::Begin(std::optional<etcd::KeyValue> stands, std::string cluster, std::string why,
                                           SteadyTime end) {
  std::uint64_t number = life ? life->number : 0;
  if (stands) {
    const Result<Life> old = ParseLife(stands->value, life_key);
    if (!old) co_return old.error();
    number = std::max(number, old->number);
  }
  ++number;
  log.Warn("a new incarnation of the store in etcd begins", {{"incarnation", number}, {"why", why}, {"cluster", cluster}});
  Json compares = Json::array({etcd::CompareVersion(life_key, stands ? stands->mod_revision : 0)});
  if (stands) compares.push_back(etcd::CompareValue(life_key, stands->value));
  Json success = Json::array({etcd::PutOf(life_key, LifeBytes(number, cluster))});
  Json txn = etcd::Txn(std::move(compares), std::move(success), Json::array());
  // Whether it was this agent's word or another's is not asked: the next look shows what stands there.
  Result<etcd::TxnAnswer> answer = co_await Ask(std::move(txn), etcd::Asking::kChangeOnce, end);
  if (!answer && answer.error().retry == Retry::kFail) co_return answer.error();
  co_return Done();
}

Task<Result<bool>> EtcdStore::State::Settle(const etcd::TxnAnswer& answer, std::vector<etcd::KeyValue> life_range, Before before,
                                            SteadyTime end) {
  std::optional<Life> found;
  std::optional<etcd::KeyValue> stands;
  if (!life_range.empty()) {
    stands = std::move(life_range.front());
    Result<Life> parsed = ParseLife(stands->value, life_key);
    if (!parsed) co_return parsed.error();
    found = std::move(*parsed);
  }
  std::string why;
  switch (Judge(answer.header, found, before, why)) {
    case Verdict::kSame: Note(answer.header); co_return true;
    case Verdict::kNewer: Adopt(std::move(*found), answer.header); co_return true;
    case Verdict::kOvertaken: co_return false;
    case Verdict::kBegin: break;
  }
  std::string cluster = answer.header.cluster_id;
  Result<Unit> begun = co_await Begin(std::move(stands), std::move(cluster), std::move(why), end);
  if (!begun) co_return begun.error();
  co_return false;
}

// ---- questions ----

Task<Result<etcd::TxnAnswer>> EtcdStore::State::Ask(Json txn, etcd::Asking asking, SteadyTime end) {
  etcd::Question question{kTxnPath, std::move(txn), asking, nullptr};
  if (asking == etcd::Asking::kChangeSafe) question.settles = [](const Json& answer) { return FlagAt(answer, "succeeded"); };
  const Duration left = TimeLeftUntil(end);
  Result<Json> answer = co_await members->Ask(std::move(question), left);
  if (!answer) co_return answer.error();
  Result<etcd::TxnAnswer> parsed = etcd::ParseTxn(*answer);
  // SAFETY: an answer that cannot be read may have been "committed".
  if (!parsed && asking != etcd::Asking::kRead) co_return UnknownOutcome(parsed.error().message, parsed.error().hint);
  co_return parsed;
}

Record EtcdStore::State::RecordOf(etcd::KeyValue pair) const {
  return {pair.key.substr(root.size()), std::move(pair.value), Version{pair.mod_revision}};
}

void EtcdStore::State::Remember(const std::string& key, const std::string& value, std::uint64_t at) {
  if (value.size() > kLargestCompared) {
    remembered.erase(key);
    return;
  }
  if (remembered.size() >= kMostRemembered && !remembered.contains(key)) remembered.erase(remembered.begin());
  remembered[key] = {key, value, at};
}

Task<Result<Reading>> EtcdStore::State::Read(std::string prefix, SteadyTime end) {
  for (int turn = 0; turn < kMostTurns; ++turn) {
    const Before before = Now();
    Json ranges = Json::array({etcd::RangeOfKey(life_key), etcd::RangeOfPrefix(root + prefix)});
    Json txn = etcd::Txn(Json::array(), std::move(ranges), Json::array());
    Result<etcd::TxnAnswer> answer = co_await Ask(std::move(txn), etcd::Asking::kRead, end);
    if (!answer) co_return answer.error();
    if (answer->ranges.size() != 2) co_return Fail("etcd answered a read with something else");
    std::vector<etcd::KeyValue> life_range = std::move(answer->ranges[0]);
    Result<bool> counts = co_await Settle(*answer, std::move(life_range), before, end);
    if (!counts) co_return counts.error();
    if (!*counts) continue;
    Reading reading;
    reading.version = {answer->header.revision};
    reading.incarnation = {life->number};
    for (etcd::KeyValue& pair : answer->ranges[1]) {
      if (!std::string_view(pair.key).starts_with(root)) co_return Fail("etcd answered with a key that was not asked for");
      Remember(pair.key, pair.value, pair.mod_revision);
      reading.records.push_back(RecordOf(std::move(pair)));
    }
    co_return reading;
  }
  co_return RetryLater("the store's incarnation in etcd changes again and again",
                       "do several clusters answer at 'store.endpoints'?");
}

// ---- transactions ----

Json EtcdStore::State::TxnOf(const Transaction& transaction) const {
  // SAFETY: the incarnation record is compared in every transaction, so that one that was read before a restore cannot write after.
  Json compares = Json::array({etcd::CompareValue(life_key, life->bytes)});
  Json failure = Json::array({etcd::RangeOfKey(life_key)});
  for (const Transaction::Compare& compare : transaction.compares) {
    const std::string key = root + compare.key;
    compares.push_back(etcd::CompareVersion(key, compare.version.number));
    failure.push_back(etcd::RangeOfKey(key));
    // SAFETY: after a restore that nobody has noticed yet the same revision may stand for something else: the value says so.
    const auto known = remembered.find(key);
    if (compare.version.number != 0 && known != remembered.end() && known->second.mod_revision == compare.version.number) {
      compares.push_back(etcd::CompareValue(key, known->second.value));
    }
  }
  Json success = Json::array();
  for (const Transaction::Put& put : transaction.puts) success.push_back(etcd::PutOf(root + put.key, put.value));
  for (const std::string& key : transaction.deletes) success.push_back(etcd::DeleteOf(root + key));
  return etcd::Txn(std::move(compares), std::move(success), std::move(failure));
}

namespace {

/// True when the change, once made, can never be made again by a copy of the same question that arrives late: it changes a
/// key whose revision it compares, and revisions never come back. "Absent" does come back, when somebody deletes the key.
bool IsOnceOnly(const Transaction& transaction) {
  return std::any_of(transaction.compares.begin(), transaction.compares.end(), [&](const Transaction::Compare& compare) {
    const auto puts = [&](const Transaction::Put& put) { return put.key == compare.key; };
    return compare.version.number != 0 &&
           (std::any_of(transaction.puts.begin(), transaction.puts.end(), puts) ||
            std::find(transaction.deletes.begin(), transaction.deletes.end(), compare.key) != transaction.deletes.end());
  });
}

}  // namespace

/// One question. Nothing: the incarnation moved meanwhile, look again.
Task<Result<std::optional<TransactionResult>>> EtcdStore::State::TryCommit(const Transaction& transaction, SteadyTime end) {
  const Before before = Now();
  const etcd::Asking asking = IsOnceOnly(transaction) ? etcd::Asking::kChangeSafe : etcd::Asking::kChangeOnce;
  const std::string cluster = life->cluster;
  Result<etcd::TxnAnswer> answer = co_await Ask(TxnOf(transaction), asking, end);
  if (!answer) co_return answer.error();
  if (answer->succeeded) {
    if (generation != before.generation || answer->header.revision < before.revision || answer->header.cluster_id != cluster) {
      // SAFETY: an older copy took it, before anybody noticed. Whoever asked looks again, in the incarnation that begins now.
      (void)co_await Read("", end);
      co_return UnknownOutcome("etcd took a change into an older copy of its data", "read the store again");
    }
    Note(answer->header);
    const std::uint64_t at = answer->header.revision;
    for (const Transaction::Put& put : transaction.puts) Remember(root + put.key, put.value, at);
    for (const std::string& key : transaction.deletes) remembered.erase(root + key);
    std::optional<TransactionResult> done = TransactionResult{true, Version{at}, Incarnation{life->number}, {}};
    co_return done;
  }
  if (answer->ranges.size() != transaction.compares.size() + 1) co_return Fail("etcd answered a transaction with something else");
  std::vector<etcd::KeyValue> life_range = std::move(answer->ranges[0]);
  Result<bool> counts = co_await Settle(*answer, std::move(life_range), before, end);
  if (!counts) co_return counts.error();
  if (!*counts || generation != before.generation) co_return std::optional<TransactionResult>();
  std::optional<TransactionResult> conflict = TransactionResult{false, {}, Incarnation{life->number}, {}};
  for (std::size_t compare = 0; compare < transaction.compares.size(); ++compare) {
    for (etcd::KeyValue& pair : answer->ranges[compare + 1]) {
      Remember(pair.key, pair.value, pair.mod_revision);
      conflict->current.push_back(RecordOf(std::move(pair)));
    }
  }
  co_return conflict;
}

/// The compared keys as they are, for a transaction of another incarnation.
Task<Result<TransactionResult>> EtcdStore::State::Conflict(const Transaction& transaction, SteadyTime end) {
  TransactionResult conflict;
  for (const Transaction::Compare& compare : transaction.compares) {
    Result<Reading> reading = co_await Read(compare.key, end);
    if (!reading) co_return reading.error();
    for (Record& record : reading->records) {
      if (record.key == compare.key) conflict.current.push_back(std::move(record));
    }
  }
  conflict.incarnation = {life->number};
  co_return conflict;
}

Task<Result<TransactionResult>> EtcdStore::State::Commit(Transaction transaction, SteadyTime end) {
  for (int turn = 0; turn < kMostTurns; ++turn) {
    if (!life) {
      Result<Reading> first = co_await Read("", end);
      if (!first) co_return first.error();
    }
    if (transaction.incarnation && transaction.incarnation->number != life->number) {
      co_return co_await Conflict(transaction, end);
    }
    Result<std::optional<TransactionResult>> tried = co_await TryCommit(transaction, end);
    if (!tried) co_return tried.error();
    if (*tried) co_return std::move(**tried);
  }
  co_return RetryLater("the store's incarnation in etcd changes again and again",
                       "do several clusters answer at 'store.endpoints'?");
}

namespace {

/// Deletes every key beneath `root` but those that are put: etcd refuses a transaction that does both to one key.
Json ReplaceAll(const std::string& root, std::vector<Transaction::Put> puts) {
  std::sort(puts.begin(), puts.end(),
            [](const Transaction::Put& one, const Transaction::Put& other) { return one.key < other.key; });
  Json operations = Json::array();
  std::string from = root;
  for (const Transaction::Put& put : puts) {
    const std::string key = root + put.key;
    if (from < key) operations.push_back(etcd::DeleteBetween(from, key));
    operations.push_back(etcd::PutOf(key, put.value));
    from = key + '\0';
  }
  operations.push_back(etcd::DeleteBetween(from, etcd::PrefixEnd(root)));
  return operations;
}

}  // namespace

Task<Result<Incarnation>> EtcdStore::State::Reseed(Incarnation seen, Incarnation least, std::vector<Transaction::Put> puts,
                                                   SteadyTime end) {
  Result<Reading> now = co_await Read("", end);
  if (!now) co_return now.error();
  if (now->incarnation != seen) {
    co_return Refused("the store's incarnation is '" + std::to_string(now->incarnation.number) + "' by now",
                      "somebody else has reseeded it, or the cluster was restored: look again");
  }
  const Incarnation next{std::max(seen.number + 1, least.number)};
  // SAFETY: of two that reseed at once one must find that the other was there: the record's bytes hold a nonce.
  Json compares = Json::array({etcd::CompareValue(life_key, life->bytes)});
  Json success = ReplaceAll(root, std::move(puts));
  success.push_back(etcd::PutOf(life_key, LifeBytes(next.number, life->cluster)));
  Json txn = etcd::Txn(std::move(compares), std::move(success), Json::array());
  Result<etcd::TxnAnswer> answer = co_await Ask(std::move(txn), etcd::Asking::kChangeOnce, end);
  if (!answer) co_return answer.error();
  if (!answer->succeeded) co_return Refused("the store's incarnation moved meanwhile", "look again");
  (void)co_await Read("", end);  // takes the new incarnation in, and wakes who watches
  co_return next;
}

// ---- watches: one stream for all of them ----

bool EtcdStore::State::ChangedSince(std::string_view prefix, Version after) const {
  if (stream_next == 0 || after.number + 1 < stream_from) return true;  // not known: a look will tell
  for (auto at = changes.rbegin(); at != changes.rend() && at->revision > after.number; ++at) {
    if (std::string_view(at->key).starts_with(prefix)) return true;
  }
  return false;
}

void EtcdStore::State::WakeAll() {
  for (Watcher& watcher : watchers) watcher.woken.cancel();
}

/// Whatever was known of changes no longer counts.
void EtcdStore::State::LoseStream() {
  stream_from = stream_next = 0;
  changes.clear();
  stream_stop.cancel();
  WakeAll();
}

void EtcdStore::State::TakeLine(std::string_view text) {
  const Result<etcd::WatchLine> line = etcd::ParseWatchLine(text);
  if (!line || line->canceled) {
    if (line && line->compact_revision != 0) {
      // What happened since is gone from etcd's history: all look for themselves, and the stream goes on from now.
      log.Info("etcd has compacted what a watch had still to see", {{"revision", line->compact_revision}});
      LoseStream();
    } else {
      members->ForgetToken();  // the usual reason for a refusal that comes within a stream
      stream_stop.cancel();
    }
    return;
  }
  for (const etcd::KeyValue& change : line->changes) {
    stream_next = std::max(stream_next, change.mod_revision + 1);
    if (!std::string_view(change.key).starts_with(root)) continue;
    changes.push_back({change.mod_revision, change.key.substr(root.size())});
    for (Watcher& watcher : watchers) {
      if (std::string_view(changes.back().key).starts_with(watcher.prefix)) watcher.woken.cancel();
    }
  }
  while (changes.size() > kMostChanges) {
    stream_from = changes.front().revision + 1;
    changes.pop_front();
  }
}

void EtcdStore::State::TakeBytes(std::string_view bytes) {
  stream_text.append(bytes);
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = stream_text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    if (end > begin) TakeLine(std::string_view(stream_text).substr(begin, end - begin));
  }
  stream_text.erase(0, begin);
  if (stream_text.size() > kLongestLine) {
    stream_text.clear();
    LoseStream();
  }
}

void EtcdStore::State::EnsureStream(Version after) {
  if (stream_next == 0) stream_from = stream_next = after.number + 1;
  if (following) return;
  following = true;
  Spawn(executor, Follow());
}

Task<> EtcdStore::State::Follow() {
  const std::shared_ptr<State> self = shared_from_this();
  using asio::experimental::awaitable_operators::operator||;
  std::size_t member = members->Preferred();
  asio::steady_timer pause(executor);
  while (!closed) {
    if (stream_next != 0) {
      stream_text.clear();
      stream_stop.expires_after(kStreamLife);
      std::function<void(std::string_view)> on_body = [self](std::string_view bytes) { self->TakeBytes(bytes); };
      Json question = etcd::WatchOfPrefix(root, stream_next);
      Task<Result<Unit>> stream = members->Stream(member, "/v3/watch", std::move(question), std::move(on_body), kStreamLife);
      const auto ended = co_await (std::move(stream) || stream_stop.async_wait(asio::as_tuple(asio::use_awaitable)));
      const bool by_itself = ended.index() == 0;
      if (closed) break;
      // A member that ended it, or was found behind, is not asked again at once; the one that answers questions is.
      const bool was_preferred = member == members->Preferred();
      member = was_preferred && members->Count() > 1 ? (member + 1) % members->Count() : members->Preferred();
      if (!by_itself) continue;
    }
    pause.expires_after(kStreamPause);
    co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

// ---- the door ----

EtcdStore::EtcdStore(asio::any_io_executor executor, EtcdOptions options, Log log)
    : state_(std::make_shared<State>(std::move(executor), std::move(options), std::move(log))) {}

EtcdStore::~EtcdStore() {
  state_->closed = true;
  state_->stream_stop.cancel();
  state_->WakeAll();
}

Task<Result<Reading>> EtcdStore::Read(std::string prefix, Duration timeout) {
  const std::shared_ptr<State> state = state_;
  Result<Reading> reading = co_await state->Read(std::move(prefix), EndOf(timeout));
  // A read changes nothing (the incarnation that it may begin is looked at again), so it can always be asked again.
  if (!reading && reading.error().retry == Retry::kUnknownOutcome)
    co_return RetryLater(reading.error().message, reading.error().hint);
  co_return reading;
}

Task<Result<TransactionResult>> EtcdStore::Commit(Transaction transaction, Duration timeout) {
  const std::shared_ptr<State> state = state_;
  if (Result<Unit> sound = CheckTransaction(transaction); !sound) co_return sound.error();
  co_return co_await state->Commit(std::move(transaction), EndOf(timeout));
}

Task<Result<Reading>> EtcdStore::Watch(std::string prefix, Version after, Incarnation incarnation, Duration timeout) {
  const std::shared_ptr<State> state = state_;
  const SteadyTime end = EndOf(timeout);
  if (!state->life) {
    Result<Reading> first = co_await Read(prefix, timeout);
    if (!first || first->incarnation != incarnation) co_return first;
  }
  state->EnsureStream(after);
  state->watchers.push_back({prefix, asio::steady_timer(state->executor)});
  const auto place = std::prev(state->watchers.end());
  std::optional<Result<Reading>> answer;
  while (!answer && !state->closed && state->life->number == incarnation.number && !state->ChangedSince(prefix, after) &&
         TimeLeftUntil(end) > 0ns) {
    place->woken.expires_at(std::min(end, EndOf(kLook)));
    const auto [problem] = co_await place->woken.async_wait(asio::as_tuple(asio::use_awaitable));
    const asio::cancellation_state cancellation = co_await asio::this_coro::cancellation_state;
    if (cancellation.cancelled() != asio::cancellation_type::none) break;
    if (problem || TimeLeftUntil(end) == 0ns) continue;
    // Nothing came for a while. A stream may hang on a member that is cut off: ask for ourselves.
    Result<Reading> look = co_await state->Read(prefix, EndOf(std::max<Duration>(TimeLeftUntil(end), kLook)));
    if (!look) continue;  // the end of the time, or the stream, will tell
    const auto is_news = [&](const Record& record) { return record.version > after; };
    const bool news = look->incarnation != incarnation || std::any_of(look->records.begin(), look->records.end(), is_news);
    if (!news) continue;
    if (look->incarnation == incarnation && !state->ChangedSince(prefix, after)) state->stream_stop.cancel();  // it lags behind
    answer = std::move(look);
  }
  state->watchers.erase(place);
  if (state->closed) co_return RetryLater("the store is closing");
  if (answer) co_return std::move(*answer);
  const Duration left = std::max<Duration>(TimeLeftUntil(end), kLook);
  co_return co_await Read(std::move(prefix), left);
}

Task<Result<Incarnation>> EtcdStore::Reseed(Incarnation seen, Incarnation least, std::vector<Transaction::Put> puts,
                                            Duration timeout) {
  const std::shared_ptr<State> state = state_;
  Transaction transaction;
  transaction.puts = puts;
  if (Result<Unit> sound = CheckTransaction(transaction); !sound) co_return sound.error();
  co_return co_await state->Reseed(seen, least, std::move(puts), EndOf(timeout));
}

Task<Json> EtcdStore::Members(Duration timeout) {
  const std::shared_ptr<State> state = state_;
  co_return co_await state->members->Describe(timeout);
}

}  // namespace lifeboat
