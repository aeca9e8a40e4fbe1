#include "adapters/store/remote_store.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "adapters/store/transaction_check.h"

namespace lifeboat {

namespace {

constexpr const char* kRead = "store.read";
constexpr const char* kCommit = "store.commit";
constexpr const char* kWatch = "store.watch";

/// The host waits no longer than this for one question, whatever was asked.
constexpr Duration kLongestWait = std::chrono::seconds(60);
/// The host's answer "nothing changed" must be back before the asker gives up.
constexpr Duration kWayBack = std::chrono::milliseconds(250);

/// What the host may spend of `timeout`.
Duration HostsShare(Duration timeout) { return std::max(timeout - kWayBack, timeout / 2); }

constexpr std::size_t kLongestAsk = 64;

bool IsNumber(const Json& value) { return value.is_number_unsigned(); }

Json RecordsToJson(const std::vector<Record>& records) {
  Json list = Json::array();
  for (const Record& record : records) list.push_back(Json::array({record.key, record.value, record.version.number}));
  return list;
}

/// Nothing when one of them is not a record.
std::optional<std::vector<Record>> RecordsFromJson(const Json& list) {
  if (!list.is_array()) return std::nullopt;
  std::vector<Record> records;
  for (const Json& item : list) {
    if (!item.is_array() || item.size() != 3 || !item[0].is_string() || !item[1].is_string() || !IsNumber(item[2]))
      return std::nullopt;
    records.push_back({item[0].get<std::string>(), item[1].get<std::string>(), Version{item[2].get<std::uint64_t>()}});
  }
  return records;
}

Json ReadingToJson(const Reading& reading) {
  return Json{{"records", RecordsToJson(reading.records)},
              {"version", reading.version.number},
              {"incarnation", reading.incarnation.number}};
}

std::optional<Reading> ReadingFromJson(const Json& json) {
  std::optional<std::vector<Record>> records = RecordsFromJson(MemberAt(json, "records"));
  if (!records || !IsNumber(MemberAt(json, "version")) || !IsNumber(MemberAt(json, "incarnation"))) return std::nullopt;
  return Reading{std::move(*records), Version{NumberAt(json, "version")}, Incarnation{NumberAt(json, "incarnation")}};
}

Json TransactionToJson(const Transaction& transaction, Duration timeout) {
  Json compares = Json::array();
  for (const auto& compare : transaction.compares) compares.push_back(Json::array({compare.key, compare.version.number}));
  Json puts = Json::array();
  for (const auto& put : transaction.puts) puts.push_back(Json::array({put.key, put.value}));
  Json json{{"compares", std::move(compares)},
            {"puts", std::move(puts)},
            {"deletes", transaction.deletes},
            {"durable", transaction.durability == Durability::kDurable},
            {"timeout_ms", Millis(HostsShare(timeout))}};
  if (transaction.incarnation) json["incarnation"] = transaction.incarnation->number;
  return json;
}

/// Parsed completely or not at all: a compare that was lost on the way would let a stale writer through.
std::optional<Transaction> TransactionFromJson(const Json& json) {
  Transaction transaction;
  const Json& compares = MemberAt(json, "compares");
  const Json& puts = MemberAt(json, "puts");
  const Json& deletes = MemberAt(json, "deletes");
  const Json& durable = MemberAt(json, "durable");
  if (!compares.is_array() || !puts.is_array() || !deletes.is_array() || !durable.is_boolean()) return std::nullopt;
  for (const Json& item : compares) {
    if (!item.is_array() || item.size() != 2 || !item[0].is_string() || !IsNumber(item[1])) return std::nullopt;
    transaction.compares.push_back({item[0].get<std::string>(), Version{item[1].get<std::uint64_t>()}});
  }
  for (const Json& item : puts) {
    if (!item.is_array() || item.size() != 2 || !item[0].is_string() || !item[1].is_string()) return std::nullopt;
    transaction.puts.push_back({item[0].get<std::string>(), item[1].get<std::string>()});
  }
  for (const Json& item : deletes) {
    if (!item.is_string()) return std::nullopt;
    transaction.deletes.push_back(item.get<std::string>());
  }
  transaction.durability = durable.get<bool>() ? Durability::kDurable : Durability::kVolatile;
  if (json.contains("incarnation")) {
    if (!IsNumber(json["incarnation"])) return std::nullopt;
    transaction.incarnation = Incarnation{json["incarnation"].get<std::uint64_t>()};
  }
  return transaction;
}

/// A volatile change that compares every key that it writes: whoever applies it a second time finds other versions.
bool MayBeAskedTwice(const Transaction& transaction) {
  const auto compared = [&transaction](const std::string& key) {
    return std::any_of(transaction.compares.begin(), transaction.compares.end(),
                       [&key](const Transaction::Compare& compare) { return compare.key == key; });
  };
  return transaction.durability == Durability::kVolatile && transaction.deletes.empty() &&
         std::all_of(transaction.puts.begin(), transaction.puts.end(),
                     [&compared](const Transaction::Put& put) { return compared(put.key); });
}

Json TransactionResultToJson(const TransactionResult& result) {
  return Json{{"committed", result.committed},
              {"version", result.version.number},
              {"incarnation", result.incarnation.number},
              {"current", RecordsToJson(result.current)}};
}

std::optional<TransactionResult> TransactionResultFromJson(const Json& json) {
  std::optional<std::vector<Record>> current = RecordsFromJson(MemberAt(json, "current"));
  if (!current || !MemberAt(json, "committed").is_boolean() || !IsNumber(MemberAt(json, "version")) ||
      !IsNumber(MemberAt(json, "incarnation"))) {
    return std::nullopt;
  }
  return TransactionResult{FlagAt(json, "committed"), Version{NumberAt(json, "version")},
                           Incarnation{NumberAt(json, "incarnation")}, std::move(*current)};
}

Duration TimeoutIn(const Json& question) {
  const Duration asked =
      std::chrono::milliseconds(std::clamp<std::int64_t>(SignedAt(question, "timeout_ms"), 0, Millis(kLongestWait)));
  return asked;
}

Error NotUnderstood(const std::string& method) {
  return Fail("the question '" + method + "' was not understood", "run the same Lifeboat version in every region");
}

Task<Result<Json>> AnswerRead(Store& store, Json question) {
  if (!MemberAt(question, "prefix").is_string()) co_return NotUnderstood(kRead);
  Result<Reading> reading = co_await store.Read(TextAt(question, "prefix"), kLongestWait);
  if (!reading) co_return reading.error();
  co_return ReadingToJson(*reading);
}

Task<Result<Json>> AnswerCommit(Store& store, Json question) {
  std::optional<Transaction> transaction = TransactionFromJson(question);
  if (!transaction) co_return NotUnderstood(kCommit);
  Result<TransactionResult> result = co_await store.Commit(std::move(*transaction), TimeoutIn(question));
  if (!result) co_return result.error();
  co_return TransactionResultToJson(*result);
}

/// The latest renewals, by the number that their asker gave them: a second copy of a question gets the first one's answer.
class LatestRenewals {
 public:
  struct Entry {
    std::string ask;
    std::optional<Result<Json>> answer;  ///< nothing: under way
  };

  /// Nothing: it has not come before (or so many have come since that nobody waits for it any more).
  [[nodiscard]] std::shared_ptr<Entry> Find(const std::string& ask) const {
    const auto found = std::find_if(entries_.begin(), entries_.end(), [&ask](const auto& entry) { return entry->ask == ask; });
    return found == entries_.end() ? nullptr : *found;
  }
  [[nodiscard]] std::shared_ptr<Entry> Add(std::string ask) {
    entries_.push_back(std::make_shared<Entry>(Entry{std::move(ask), std::nullopt}));
    if (entries_.size() > kMostKept) entries_.pop_front();
    return entries_.back();
  }

 private:
  static constexpr std::size_t kMostKept = 256;
  std::deque<std::shared_ptr<Entry>> entries_;
};

/// SAFETY: a second copy changes nothing, since it compares the versions that the first one replaced, and is never answered
/// "not committed" when the first was (RemoteStoreTest.ARenewalThatArrivesTwiceChangesTheStoreOnce).
Task<Result<Json>> AnswerRenew(Store& store, std::shared_ptr<LatestRenewals> latest, Json question) {
  std::optional<Transaction> transaction = TransactionFromJson(question);
  const std::string ask = TextAt(question, "ask");
  if (!transaction || !MayBeAskedTwice(*transaction) || ask.empty() || ask.size() > kLongestAsk)
    co_return NotUnderstood(kStoreRenew);
  if (const auto earlier = latest->Find(ask)) {
    if (earlier->answer) co_return *earlier->answer;
    co_return UnknownOutcome("this very change is under way", "read it again");
  }
  const auto entry = latest->Add(ask);
  Result<TransactionResult> result = co_await store.Commit(std::move(*transaction), TimeoutIn(question));
  if (result) {
    entry->answer = TransactionResultToJson(*result);
  } else {
    entry->answer = result.error();
  }
  co_return *entry->answer;
}

Task<Result<Json>> AnswerWatch(Store& store, Json question) {
  if (!MemberAt(question, "prefix").is_string() || !IsNumber(MemberAt(question, "after")) ||
      !IsNumber(MemberAt(question, "incarnation"))) {
    co_return NotUnderstood(kWatch);
  }
  const Version after{NumberAt(question, "after")};
  const Incarnation incarnation{NumberAt(question, "incarnation")};
  Result<Reading> reading = co_await store.Watch(TextAt(question, "prefix"), after, incarnation, TimeoutIn(question));
  if (!reading) co_return reading.error();
  co_return ReadingToJson(*reading);
}

Task<Result<Json>> AnswerStore(Store& store, std::shared_ptr<LatestRenewals> latest, std::string method, Json question) {
  if (method == kRead) co_return co_await AnswerRead(store, std::move(question));
  if (method == kCommit) co_return co_await AnswerCommit(store, std::move(question));
  if (method == kStoreRenew) co_return co_await AnswerRenew(store, std::move(latest), std::move(question));
  if (method == kWatch) co_return co_await AnswerWatch(store, std::move(question));
  co_return NotFound("the store has no method '" + method + "'");
}

}  // namespace

Task<Result<Reading>> RemoteStore::Ask(std::string method, Json question, Duration timeout) {
  Result<Json> answer = co_await peers_.Call(host_, std::move(method), std::move(question), timeout, Lane::kLease);
  if (!answer) {
    Error error = answer.error();
    // A question that changes nothing can always be asked again.
    if (error.retry == Retry::kUnknownOutcome) error.retry = Retry::kRetry;
    co_return error.Within("the store in '" + host_.text + "'");
  }
  std::optional<Reading> reading = ReadingFromJson(*answer);
  if (!reading) co_return Fail("the store in '" + host_.text + "' answered something that is not understood");
  co_return std::move(*reading);
}

Task<Result<Reading>> RemoteStore::Read(std::string prefix, Duration timeout) {
  Json question{{"prefix", std::move(prefix)}};
  co_return co_await Ask(kRead, std::move(question), timeout);
}

Task<Result<TransactionResult>> RemoteStore::Commit(Transaction transaction, Duration timeout) {
  if (Result<Unit> sound = CheckTransaction(transaction); !sound) co_return sound.error();
  Json question = TransactionToJson(transaction, timeout);
  std::string method = kCommit;
  Lane lane = Lane::kLease;
  // After a datagram without an answer the next renewal goes by the connection: a network that lets none through costs every second
  // renewal, and not the lease.
  if (MayBeAskedTwice(transaction) && !std::exchange(datagram_lost_, false)) {
    question["ask"] = RandomHex(8);
    if (question.dump().size() <= kMostDatagramBytes) {
      method = kStoreRenew;
      lane = Lane::kDatagram;
    }
  }
  const Result<Json> answer = co_await peers_.Call(host_, std::move(method), std::move(question), timeout, lane);
  datagram_lost_ = lane == Lane::kDatagram && !answer;
  if (!answer) co_return answer.error().Within("the store in '" + host_.text + "'");
  std::optional<TransactionResult> result = TransactionResultFromJson(*answer);
  // SAFETY: an answer that cannot be read may have been "committed": the caller must look again
  // (RemoteStoreTest.CallsAGarbledAnswerToACommitUnknown).
  if (!result)
    co_return UnknownOutcome("the store in '" + host_.text + "' answered a change with something that is not understood");
  co_return std::move(*result);
}

Task<Result<Reading>> RemoteStore::Watch(std::string prefix, Version after, Incarnation incarnation, Duration timeout) {
  Json question{{"prefix", std::move(prefix)},
                {"after", after.number},
                {"incarnation", incarnation.number},
                {"timeout_ms", Millis(HostsShare(timeout))}};
  co_return co_await Ask(kWatch, std::move(question), timeout);
}

bool IsStoreMethod(const std::string& method) {
  return method == kRead || method == kCommit || method == kStoreRenew || method == kWatch;
}

CallHandler MakeStoreHandler(Store& store) {
  return [&store, latest = std::make_shared<LatestRenewals>()](std::string method, Json question) {
    return AnswerStore(store, latest, std::move(method), std::move(question));
  };
}

}  // namespace lifeboat
