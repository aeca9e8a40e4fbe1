#include "adapters/store/dynamodb_store.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "adapters/store/dynamodb_table.h"
#include "adapters/store/dynamodb_wire.h"
#include "adapters/store/transaction_check.h"
#include "base/spawn.h"

namespace lifeboat {

namespace {

namespace asio = boost::asio;
using dynamodb::Entries;
using dynamodb::Entry;
using dynamodb::Head;
using dynamodb::Part;
using dynamodb::SteadyTime;

constexpr std::size_t kLargestInline = 1U << 10U;  // of a value in the head; every commit writes the whole head
constexpr std::size_t kLargestText = 350U << 10U;  // of a part: an item has at most 400 KiB
constexpr std::size_t kFoldAt = 6U << 10U;         // bytes of the head's records, then they move into the base
constexpr std::size_t kMostParts = 1024;           // remembered
constexpr std::size_t kMostSingly = 4;             // parts that are asked for one by one; more are listed at once
constexpr std::size_t kSweepAfter = 64;            // parts that were replaced
constexpr Duration kSweepTime = std::chrono::seconds(30);
constexpr Duration kLastLook = std::chrono::milliseconds(500);

Duration TimeLeftUntil(SteadyTime end) { return std::max<Duration>(end - std::chrono::steady_clock::now(), 0ns); }
SteadyTime EndOf(Duration timeout) { return std::chrono::steady_clock::now() + timeout; }

struct Watcher {
  std::string prefix;
  asio::steady_timer woken;
};

/// Whether a change of a key under `prefix` after `after` shows in `head`, or may be hidden in its base.
bool ChangedSince(const Head& head, std::string_view prefix, Version after) {
  if (after.number >= head.version()) return false;
  if (after.number < head.folded) return true;
  const auto changed = [&](const std::string& key, std::uint64_t version) {
    return version > after.number && std::string_view(key).starts_with(prefix);
  };
  return std::any_of(head.recent.begin(), head.recent.end(),
                     [&](const auto& at) { return changed(at.first, at.second.version); }) ||
         std::any_of(head.gone.begin(), head.gone.end(), [&](const auto& at) { return changed(at.first, at.second); });
}

/// Whether the two have the same history, as far as it is remembered: `later` has as many changes as `earlier` or more.
bool Continues(const Head& later, const Head& earlier) {
  const std::uint64_t since = later.counter - earlier.counter;
  if (since >= later.attempts.size()) return true;  // too long ago to tell
  return later.attempts[later.attempts.size() - 1 - since] == earlier.attempt();
}

bool IsNewer(const Head& one, const Head& other) { return one.version() > other.version(); }

std::set<std::string> PartsOf(const Head& head, const Entries& base) {
  std::set<std::string> parts;
  if (!head.base.empty()) parts.insert(head.base);
  for (const Entries* entries : {&head.recent, &base}) {
    for (const auto& [key, entry] : *entries) {
      if (!entry.part.empty()) parts.insert(entry.part);
    }
  }
  return parts;
}

}  // namespace

struct DynamoDbStore::State : std::enable_shared_from_this<DynamoDbStore::State> {
  State(asio::any_io_executor with, std::shared_ptr<aws::Client> client, DynamoDbOptions having, Log to)
      : executor(with),
        log(to),
        options(std::move(having)),
        table(std::move(with), std::move(client), {options.table, options.regions}, std::move(to)) {}

  enum class Verdict { kSame, kOvertaken, kBegin };
  /// What was known when a question was sent: its answer is judged by that.
  struct Before {
    std::uint64_t generation = 0;
    std::optional<Head> head;
  };
  [[nodiscard]] Before Now() const { return {generation, head}; }
  [[nodiscard]] Verdict Judge(const std::optional<Head>& found, const Before& before, std::string& why) const;
  void Adopt(Head found);
  Task<Result<Unit>> Begin(std::optional<Head> found, std::string why, SteadyTime end);
  /// Judges a head that an answer shows and does what follows. @return true: `head` is that one or a newer one
  Task<Result<bool>> Settle(std::optional<Head> found, Before before, SteadyTime end);
  /// `head` becomes what stands in the table after everything that was answered before.
  Task<Result<Unit>> Refresh(SteadyTime end);
  Task<Result<std::optional<Head>>> Look(SteadyTime end);

  /// The text of a part. @return nothing: it is gone, so the head that named it has been replaced
  Task<Result<std::optional<std::string>>> TextOf(std::string id, SteadyTime end);
  /// Remembers the parts that `entries` name, by one question for all where many are missing.
  Task<Result<Unit>> FetchParts(const Entries& entries, SteadyTime end);
  Task<Result<std::string>> WritePart(std::string text, Head follows, SteadyTime end);
  /// All records of a head, without the values that lie in parts.
  Task<Result<std::optional<Entries>>> EntriesOf(Head of, SteadyTime end);
  Task<Result<std::optional<std::vector<Record>>>> Load(Entries entries, SteadyTime end);

  struct Change {
    std::vector<Transaction::Put> puts;
    std::vector<std::string> deletes;
  };
  /// The head that follows `from` by `change`; its parts are written.
  Task<Result<Head>> Compose(Head from, Entries all, Change change, SteadyTime end);
  Task<Result<Unit>> Fold(Head* into, Entries all, Head follows, SteadyTime end);

  Task<Result<Reading>> Read(std::string prefix, SteadyTime end);
  Task<Result<TransactionResult>> Commit(Transaction transaction, SteadyTime end);
  struct Try {
    std::optional<TransactionResult> result;  ///< nothing: try again ...
    bool shown = false;                       ///< ... on `head`, which an answer has just shown; else look first
  };
  /// One try on `head`. @param fresh  it was read since the commit began
  Task<Result<Try>> TryCommit(const Transaction& transaction, bool fresh, SteadyTime end);
  Task<Result<Try>> Conflict(const Transaction& transaction, Entries all, Incarnation in, SteadyTime end);
  /// After a conditional write that was not done, or not the last time that it was sent.
  Task<Result<Try>> AfterRefusal(dynamodb::StoreTable::PutAnswer put, Head tried_head, Before before, SteadyTime end);
  Task<Result<Incarnation>> Reseed(Incarnation seen, Incarnation least, std::vector<Transaction::Put> puts, SteadyTime end);
  Task<Result<std::size_t>> Sweep(SteadyTime end);
  Task<> SweepAside();

  void WakeAll();
  Task<> Poll();
  void NoteReplaced(const Head& by);

  asio::any_io_executor executor;
  Log log;
  DynamoDbOptions options;
  dynamodb::StoreTable table;
  bool closed = false;

  std::optional<Head> head;                  ///< the newest that was seen
  std::uint64_t generation = 0;              ///< how many incarnations were seen
  std::map<std::string, std::string> parts;  ///< remembered; they never change
  std::size_t replaced = 0;                  ///< parts since the last sweep
  bool sweeping = false;
  std::list<Watcher> watchers;
  bool polling = false;
};

// ---- incarnations ----

DynamoDbStore::State::Verdict DynamoDbStore::State::Judge(const std::optional<Head>& found, const Before& before,
                                                          std::string& why) const {
  if (before.generation != generation) return Verdict::kOvertaken;
  if (!found) {
    why = before.head ? "the table was emptied or made anew" : "a new store";
    return Verdict::kBegin;
  }
  // SAFETY: a table that was restored from a copy has forgotten what came after the copy was made: whoever read before must not
  // write after. (DynamoDbTest.AnOlderCopyIsANewIncarnation, ATableThatWasMadeAnew…)
  const auto known = found->tables.find(table.verified_region());
  if (known != found->tables.end() && !table.table_id().empty() && known->second != table.table_id()) {
    why = "the items come from another table";
    return Verdict::kBegin;
  }
  if (!before.head || found->incarnation > before.head->incarnation) return Verdict::kSame;
  if (found->incarnation < before.head->incarnation || found->counter < before.head->counter) {
    why = "an older copy: version " + std::to_string(found->version()) + " after " + std::to_string(before.head->version());
    return Verdict::kBegin;
  }
  if (!Continues(*found, *before.head)) {
    why = "another copy of the same incarnation";
    return Verdict::kBegin;
  }
  return Verdict::kSame;
}

void DynamoDbStore::State::Adopt(Head found) {
  if (head && !IsNewer(found, *head)) return;
  const bool another = !head || head->incarnation != found.incarnation;
  if (head && another) log.Warn("the store in DynamoDB is in a new incarnation", {{"incarnation", found.incarnation}});
  if (head && !another) NoteReplaced(found);
  head = std::move(found);
  if (another) ++generation;
  WakeAll();
}

Task<Result<Unit>> DynamoDbStore::State::Begin(std::optional<Head> found, std::string why, SteadyTime end) {
  Head next;
  next.incarnation = std::max(head ? head->incarnation : 0, found ? found->incarnation : 0) + 1;
  next.attempts = {RandomHex(8)};
  if (!table.table_id().empty()) next.tables[table.verified_region()] = table.table_id();
  log.Warn("a new incarnation of the store in DynamoDB begins", {{"incarnation", next.incarnation}, {"why", why}});
  std::optional<std::string> expected;
  if (found) {
    expected = found->attempt();
    Result<std::optional<Entries>> all = co_await EntriesOf(*found, end);
    if (!all) co_return all.error();
    if (!*all) co_return Done();  // it has been replaced meanwhile: look again
    // SAFETY: versions of the branch that was lost must not be found on records of this one.
    for (auto& [key, entry] : **all) entry.version = next.version();
    next.folded = next.version();
    Entries entries = std::move(**all);
    Result<Unit> folded = co_await Fold(&next, std::move(entries), *found, end);
    if (!folded) co_return folded.error();
  }
  Json item = dynamodb::ItemOf(options.service, next);
  // Whether it was this agent's word or another's is not asked: the next look shows what stands there.
  Result<dynamodb::StoreTable::PutAnswer> put = co_await table.PutIf(std::move(item), std::move(expected), end);
  if (!put && put.error().retry == Retry::kFail) co_return put.error();
  co_return Done();
}

Task<Result<bool>> DynamoDbStore::State::Settle(std::optional<Head> found, Before before, SteadyTime end) {
  std::string why;
  switch (Judge(found, before, why)) {
    case Verdict::kSame: Adopt(std::move(*found)); co_return true;
    case Verdict::kOvertaken: co_return false;
    case Verdict::kBegin: break;
  }
  Result<Unit> begun = co_await Begin(std::move(found), std::move(why), end);
  if (!begun) co_return begun.error();
  co_return false;
}

Task<Result<std::optional<Head>>> DynamoDbStore::State::Look(SteadyTime end) {
  Result<Unit> sound = co_await table.Verify(end);
  if (!sound) co_return sound.error();
  Json key = dynamodb::KeyOf(options.service, dynamodb::kHead);
  Result<std::optional<Json>> item = co_await table.Get(std::move(key), end);
  if (!item) co_return item.error();
  if (!*item) co_return std::optional<Head>();
  Result<Head> parsed = dynamodb::ParseHead(**item);
  if (!parsed) co_return parsed.error();
  co_return std::optional<Head>(std::move(*parsed));
}

Task<Result<Unit>> DynamoDbStore::State::Refresh(SteadyTime end) {
  do {
    Before before = Now();
    Result<std::optional<Head>> found = co_await Look(end);
    if (!found) co_return found.error();
    std::optional<Head> shown = std::move(*found);
    Result<bool> counts = co_await Settle(std::move(shown), std::move(before), end);
    if (!counts) co_return counts.error();
    if (*counts) co_return Done();
  } while (TimeLeftUntil(end) > 0ns);
  co_return RetryLater("the store's incarnation in DynamoDB changes again and again", "do several tables answer to that name?");
}

// ---- parts and records ----

Task<Result<std::optional<std::string>>> DynamoDbStore::State::TextOf(std::string id, SteadyTime end) {
  if (const auto known = parts.find(id); known != parts.end()) co_return std::optional<std::string>(known->second);
  Json key = dynamodb::KeyOf(options.service, dynamodb::SortOfPart(id));
  Result<std::optional<Json>> item = co_await table.Get(std::move(key), end);
  if (!item) co_return item.error();
  if (!*item) co_return std::optional<std::string>();
  Result<Part> part = dynamodb::ParsePart(**item);
  if (!part) co_return part.error();
  if (parts.size() >= kMostParts) parts.clear();
  parts[id] = part->text;
  co_return std::optional<std::string>(std::move(part->text));
}

Task<Result<Unit>> DynamoDbStore::State::FetchParts(const Entries& entries, SteadyTime end) {
  const auto missing = std::count_if(entries.begin(), entries.end(), [this](const auto& entry) {
    return !entry.second.part.empty() && !parts.contains(entry.second.part);
  });
  if (static_cast<std::size_t>(missing) <= kMostSingly) co_return Done();
  Result<std::vector<Json>> items = co_await table.List(options.service, "part/", end);
  if (!items) co_return items.error();
  for (const Json& item : *items) {
    Result<Part> part = dynamodb::ParsePart(item);
    if (!part) co_return part.error();
    if (parts.size() < kMostParts) parts[part->id] = std::move(part->text);
  }
  co_return Done();
}

Task<Result<std::string>> DynamoDbStore::State::WritePart(std::string text, Head follows, SteadyTime end) {
  if (text.size() > kLargestText) {
    co_return Fail("a record of " + std::to_string(text.size()) + " bytes is larger than an item of DynamoDB may be");
  }
  Part part{RandomHex(8), follows.incarnation, follows.counter, std::move(text)};
  Json item = dynamodb::ItemOf(options.service, part);
  Result<Unit> put = co_await table.Put(std::move(item), end);
  // Nothing names it yet, so nothing has changed.
  if (!put && put.error().retry == Retry::kUnknownOutcome) co_return RetryLater(put.error().message, put.error().hint);
  if (!put) co_return put.error();
  if (parts.size() >= kMostParts) parts.clear();
  parts[part.id] = part.text;
  co_return part.id;
}

Task<Result<std::optional<Entries>>> DynamoDbStore::State::EntriesOf(Head of, SteadyTime end) {
  Entries all;
  if (!of.base.empty()) {
    Result<std::optional<std::string>> text = co_await TextOf(of.base, end);
    if (!text) co_return text.error();
    if (!*text) co_return std::optional<Entries>();
    Result<Entries> base = dynamodb::ParseEntries(**text);
    if (!base) co_return base.error();
    all = std::move(*base);
  }
  for (const auto& [key, version] : of.gone) all.erase(key);
  for (auto& [key, entry] : of.recent) all[key] = entry;
  co_return std::optional<Entries>(std::move(all));
}

Task<Result<std::optional<std::vector<Record>>>> DynamoDbStore::State::Load(Entries entries, SteadyTime end) {
  std::vector<Record> records;
  Result<Unit> fetched = co_await FetchParts(entries, end);
  if (!fetched) co_return fetched.error();
  for (auto& [key, entry] : entries) {
    Record record{key, std::move(entry.value), Version{entry.version}};
    if (!entry.part.empty()) {
      Result<std::optional<std::string>> text = co_await TextOf(entry.part, end);
      if (!text) co_return text.error();
      if (!*text) co_return std::optional<std::vector<Record>>();
      record.value = std::move(**text);
    }
    records.push_back(std::move(record));
  }
  co_return std::optional<std::vector<Record>>(std::move(records));
}

Task<Result<Unit>> DynamoDbStore::State::Fold(Head* into, Entries all, Head follows, SteadyTime end) {
  into->recent.clear();
  into->gone.clear();
  into->base.clear();
  if (all.empty()) co_return Done();
  std::string text = dynamodb::TextOf(all);
  if (text.size() > kLargestText) {
    co_return Fail("the store's table of contents would be larger than an item of DynamoDB may be",
                   "move old executions away: the ledger keeps them");
  }
  Result<std::string> id = co_await WritePart(std::move(text), std::move(follows), end);
  if (!id) co_return id.error();
  into->base = std::move(*id);
  co_return Done();
}

Task<Result<Head>> DynamoDbStore::State::Compose(Head from, Entries all, Change change, SteadyTime end) {
  Head next = from;
  ++next.counter;
  next.attempts.push_back(RandomHex(8));
  if (next.attempts.size() > dynamodb::kMostAttempts) next.attempts.erase(next.attempts.begin());
  if (!table.table_id().empty()) next.tables[table.verified_region()] = table.table_id();
  for (const std::string& key : change.deletes) {
    next.recent.erase(key);
    if (all.erase(key) > 0) next.gone[key] = next.version();
  }
  for (Transaction::Put& put : change.puts) {
    Entry entry;
    entry.version = next.version();
    if (put.value.size() <= kLargestInline) {
      entry.value = std::move(put.value);
    } else {
      Result<std::string> id = co_await WritePart(std::move(put.value), from, end);
      if (!id) co_return id.error();
      entry.part = std::move(*id);
    }
    next.gone.erase(put.key);
    next.recent[put.key] = entry;
    all[put.key] = std::move(entry);
  }
  if (next.Bytes() > kFoldAt) {
    next.folded = next.version();
    Result<Unit> folded = co_await Fold(&next, std::move(all), std::move(from), end);
    if (!folded) co_return folded.error();
  }
  co_return next;
}

// ---- reads ----

Task<Result<Reading>> DynamoDbStore::State::Read(std::string prefix, SteadyTime end) {
  do {
    Result<Unit> refreshed = co_await Refresh(end);
    if (!refreshed) co_return refreshed.error();
    const Head at = *head;
    Result<std::optional<Entries>> all = co_await EntriesOf(at, end);
    if (!all) co_return all.error();
    if (!*all) continue;
    std::erase_if(**all, [&](const auto& entry) { return !std::string_view(entry.first).starts_with(prefix); });
    Entries wanted = std::move(**all);
    Result<std::optional<std::vector<Record>>> records = co_await Load(std::move(wanted), end);
    if (!records) co_return records.error();
    if (!*records) continue;
    Reading reading;
    reading.records = std::move(**records);
    reading.version = Version{at.version()};
    reading.incarnation = Incarnation{at.incarnation};
    co_return reading;
  } while (TimeLeftUntil(end) > 0ns);
  co_return RetryLater("the store in DynamoDB changes faster than it can be read");
}

// ---- commits ----

Task<Result<DynamoDbStore::State::Try>> DynamoDbStore::State::Conflict(const Transaction& transaction, Entries all, Incarnation in,
                                                                       SteadyTime end) {
  Entries compared;
  for (const Transaction::Compare& compare : transaction.compares) {
    if (const auto found = all.find(compare.key); found != all.end()) compared.insert(*found);
  }
  Result<std::optional<std::vector<Record>>> records = co_await Load(std::move(compared), end);
  if (!records) co_return records.error();
  Try tried;
  if (!*records) co_return tried;
  tried.result.emplace();
  tried.result->incarnation = in;
  tried.result->current = std::move(**records);
  co_return tried;
}

Task<Result<DynamoDbStore::State::Try>> DynamoDbStore::State::TryCommit(const Transaction& transaction, bool fresh,
                                                                        SteadyTime end) {
  const Head from = *head;
  Before before = Now();
  Try tried;
  Result<std::optional<Entries>> all = co_await EntriesOf(from, end);
  if (!all) co_return all.error();
  if (!*all) co_return tried;
  const auto holds = [&](const Transaction::Compare& compare) {
    const auto found = (*all)->find(compare.key);
    return (found == (*all)->end() ? 0 : found->second.version) == compare.version.number;
  };
  Entries entries = **all;
  const bool lives = !transaction.incarnation || transaction.incarnation->number == from.incarnation;
  if (!lives || !std::all_of(transaction.compares.begin(), transaction.compares.end(), holds)) {
    // What is remembered may be old: only what has just been read is an answer.
    if (!fresh) co_return tried;
    co_return co_await Conflict(transaction, std::move(entries), Incarnation{from.incarnation}, end);
  }
  TransactionResult result;
  result.committed = true;
  result.incarnation = Incarnation{from.incarnation};
  result.version = Version{from.version()};
  if (transaction.puts.empty() && transaction.deletes.empty()) {
    if (fresh) tried.result = std::move(result);
    co_return tried;
  }
  Change change{transaction.puts, transaction.deletes};
  Result<Head> next = co_await Compose(from, std::move(entries), std::move(change), end);
  if (!next) co_return next.error();
  result.version = Version{next->version()};
  Json item = dynamodb::ItemOf(options.service, *next);
  std::optional<std::string> expected = from.attempt();
  Result<dynamodb::StoreTable::PutAnswer> put = co_await table.PutIf(std::move(item), std::move(expected), end);
  if (!put) co_return put.error();
  if (put->done) {
    Adopt(std::move(*next));
    tried.result = std::move(result);
    co_return tried;
  }
  co_return co_await AfterRefusal(std::move(*put), std::move(*next), std::move(before), end);
}

Task<Result<DynamoDbStore::State::Try>> DynamoDbStore::State::AfterRefusal(dynamodb::StoreTable::PutAnswer put, Head tried_head,
                                                                           Before before, SteadyTime end) {
  Try tried;
  std::optional<Head> stands;
  if (put.stands) {
    Result<Head> parsed = dynamodb::ParseHead(*put.stands);
    // SAFETY: what cannot be read may be what we wrote, changed by a newer program since.
    if (!parsed && put.echo) co_return UnknownOutcome(parsed.error().message, parsed.error().hint);
    if (!parsed) co_return parsed.error();
    stands = std::move(*parsed);
  }
  if (put.echo) {
    // SAFETY: this "no" may be the echo of our own write, whose answer was lost: then our word stands in the item's history.
    if (stands && stands->Holds(tried_head.attempt())) {
      TransactionResult result;
      result.committed = true;
      result.version = Version{tried_head.version()};
      result.incarnation = Incarnation{tried_head.incarnation};
      tried.result = std::move(result);
      Adopt(std::move(*stands));
      co_return tried;
    }
    // SAFETY: when too much has happened since, the history no longer says whether ours was part of it.
    const bool told = stands && stands->incarnation == tried_head.incarnation && stands->counter >= tried_head.counter &&
                      stands->counter - tried_head.counter < stands->attempts.size();
    if (!told) co_return UnknownOutcome("the store in DynamoDB has changed too much to tell whether this change was part of it");
  }
  Result<bool> counts = co_await Settle(std::move(stands), std::move(before), end);
  // Nothing of ours was done; what the look met with is for the next one to say.
  if (!counts && counts.error().retry == Retry::kFail) co_return counts.error();
  tried.shown = counts && *counts;
  co_return tried;
}

Task<Result<TransactionResult>> DynamoDbStore::State::Commit(Transaction transaction, SteadyTime end) {
  bool fresh = false;
  bool look = !head;
  do {
    if (look) {
      Result<Unit> refreshed = co_await Refresh(end);
      if (!refreshed && refreshed.error().retry == Retry::kUnknownOutcome) {
        co_return RetryLater(refreshed.error().message, refreshed.error().hint);  // it was only looked at
      }
      if (!refreshed) co_return refreshed.error();
      fresh = true;
    }
    Result<Try> tried = co_await TryCommit(transaction, fresh, end);
    if (!tried) co_return tried.error();
    if (tried->result) co_return std::move(*tried->result);
    fresh = fresh || tried->shown;
    look = !tried->shown;
  } while (TimeLeftUntil(end) > 0ns);
  co_return RetryLater("others change the store in DynamoDB all the time", "try again");
}

Task<Result<Incarnation>> DynamoDbStore::State::Reseed(Incarnation seen, Incarnation least, std::vector<Transaction::Put> puts,
                                                       SteadyTime end) {
  Result<Unit> refreshed = co_await Refresh(end);
  if (!refreshed) co_return refreshed.error();
  const Head from = *head;
  if (from.incarnation != seen.number) {
    co_return Refused("the store's incarnation is '" + std::to_string(from.incarnation) + "' by now",
                      "somebody else has reseeded it, or the table was restored: look again");
  }
  Head empty;
  empty.incarnation = std::max(seen.number + 1, least.number);
  empty.folded = empty.version();
  Change change{std::move(puts), {}};
  Result<Head> next = co_await Compose(std::move(empty), Entries(), std::move(change), end);
  if (!next) co_return next.error();
  const std::string attempt = next->attempt();
  Json item = dynamodb::ItemOf(options.service, *next);
  std::optional<std::string> expected = from.attempt();
  Result<dynamodb::StoreTable::PutAnswer> put = co_await table.PutIf(std::move(item), std::move(expected), end);
  if (!put) co_return put.error();
  if (!put->done) {
    const Result<Head> stands = put->stands ? dynamodb::ParseHead(*put->stands) : Result<Head>(NotFound("nothing"));
    if (!stands || !stands->Holds(attempt)) co_return Refused("the store's incarnation moved meanwhile", "look again");
  }
  const Incarnation begun{next->incarnation};
  Adopt(std::move(*next));
  co_return begun;
}

// ---- what nothing names any more ----

void DynamoDbStore::State::NoteReplaced(const Head& by) {
  for (const auto& [key, entry] : by.recent) {
    const auto old = head->recent.find(key);
    if (old != head->recent.end() && !old->second.part.empty() && old->second.part != entry.part) ++replaced;
  }
  if (by.base != head->base && !head->base.empty()) ++replaced;
  if (replaced < kSweepAfter || sweeping) return;
  replaced = 0;
  sweeping = true;
  Spawn(executor, SweepAside());
}

Task<> DynamoDbStore::State::SweepAside() {
  const std::shared_ptr<State> self = shared_from_this();
  const Result<std::size_t> swept = co_await Sweep(EndOf(kSweepTime));
  if (!swept) log.Info("texts that nothing names could not be removed from DynamoDB", {{"problem", swept.error().message}});
  sweeping = false;
}

Task<Result<std::size_t>> DynamoDbStore::State::Sweep(SteadyTime end) {
  Result<std::vector<Json>> items = co_await table.List(options.service, "part/", end);
  if (!items) co_return items.error();
  // The head is read after the list: a part on the list that it does not name was either never named, or is no longer.
  Result<Unit> refreshed = co_await Refresh(end);
  if (!refreshed) co_return refreshed.error();
  const Head at = *head;
  Entries base;
  if (!at.base.empty()) {
    Result<std::optional<std::string>> text = co_await TextOf(at.base, end);
    if (!text) co_return text.error();
    if (!*text) co_return std::size_t{0};
    Result<Entries> parsed = dynamodb::ParseEntries(**text);
    if (!parsed) co_return parsed.error();
    base = std::move(*parsed);
  }
  const std::set<std::string> named = PartsOf(at, base);
  std::size_t removed = 0;
  for (const Json& item : *items) {
    const Result<Part> part = dynamodb::ParsePart(item);
    if (!part || named.contains(part->id)) continue;
    // SAFETY: a part may wait for the head that will name it. That head must follow the one that the part was written after; once
    // the head is past that one, its condition can never hold.
    const bool past = part->incarnation < at.incarnation || (part->incarnation == at.incarnation && part->counter < at.counter);
    if (!past) continue;
    Json key = dynamodb::KeyOf(options.service, dynamodb::SortOfPart(part->id));
    Result<Unit> gone = co_await table.Delete(std::move(key), end);
    if (!gone) co_return gone.error();
    parts.erase(part->id);
    ++removed;
  }
  co_return removed;
}

// ---- watches: one poller for all of them ----

void DynamoDbStore::State::WakeAll() {
  for (Watcher& watcher : watchers) watcher.woken.cancel();
}

Task<> DynamoDbStore::State::Poll() {
  const std::shared_ptr<State> self = shared_from_this();
  asio::steady_timer pause(executor);
  while (!closed && !watchers.empty()) {
    pause.expires_after(options.poll);
    co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
    if (closed || watchers.empty()) break;
    // Adopting what it finds wakes who waits; who finds nothing looks for itself at its end, and says so.
    (void)co_await Refresh(EndOf(std::max<Duration>(options.poll, 2s)));
  }
  polling = false;
}

// ---- the door ----

DynamoDbStore::DynamoDbStore(asio::any_io_executor executor, std::shared_ptr<aws::Client> client, DynamoDbOptions options, Log log)
    : state_(std::make_shared<State>(std::move(executor), std::move(client), std::move(options), std::move(log))) {}

DynamoDbStore::~DynamoDbStore() {
  state_->closed = true;
  state_->WakeAll();
}

Task<Result<Reading>> DynamoDbStore::Read(std::string prefix, Duration timeout) {
  const std::shared_ptr<State> state = state_;
  Result<Reading> reading = co_await state->Read(std::move(prefix), EndOf(timeout));
  // A read changes nothing (the incarnation that it may begin is looked at again), so it can always be asked again.
  if (!reading && reading.error().retry == Retry::kUnknownOutcome)
    co_return RetryLater(reading.error().message, reading.error().hint);
  co_return reading;
}

Task<Result<TransactionResult>> DynamoDbStore::Commit(Transaction transaction, Duration timeout) {
  const std::shared_ptr<State> state = state_;
  if (Result<Unit> sound = CheckTransaction(transaction); !sound) co_return sound.error();
  co_return co_await state->Commit(std::move(transaction), EndOf(timeout));
}

Task<Result<Reading>> DynamoDbStore::Watch(std::string prefix, Version after, Incarnation incarnation, Duration timeout) {
  const std::shared_ptr<State> state = state_;
  const SteadyTime end = EndOf(timeout);
  if (!state->head) {
    Result<Reading> first = co_await Read(prefix, timeout);
    if (!first || first->incarnation != incarnation) co_return first;
  }
  state->watchers.push_back({prefix, asio::steady_timer(state->executor)});
  const auto place = std::prev(state->watchers.end());
  if (!state->polling) {
    state->polling = true;
    Spawn(state->executor, state->Poll());
  }
  while (!state->closed && state->head->incarnation == incarnation.number && !ChangedSince(*state->head, prefix, after) &&
         TimeLeftUntil(end) > 0ns) {
    place->woken.expires_at(end);
    co_await place->woken.async_wait(asio::as_tuple(asio::use_awaitable));
    const asio::cancellation_state cancellation = co_await asio::this_coro::cancellation_state;
    if (cancellation.cancelled() != asio::cancellation_type::none) break;
  }
  state->watchers.erase(place);
  if (state->closed) co_return RetryLater("the store is closing");
  const Duration left = std::max<Duration>(TimeLeftUntil(end), kLastLook);
  co_return co_await Read(std::move(prefix), left);
}

Task<Result<Incarnation>> DynamoDbStore::Reseed(Incarnation seen, Incarnation least, std::vector<Transaction::Put> puts,
                                                Duration timeout) {
  const std::shared_ptr<State> state = state_;
  Transaction transaction;
  transaction.puts = puts;
  if (Result<Unit> sound = CheckTransaction(transaction); !sound) co_return sound.error();
  co_return co_await state->Reseed(seen, least, std::move(puts), EndOf(timeout));
}

Task<Json> DynamoDbStore::Regions(Duration timeout) {
  const std::shared_ptr<State> state = state_;
  co_return co_await state->table.Describe(timeout);
}

Task<Result<std::size_t>> DynamoDbStore::Sweep(Duration timeout) {
  const std::shared_ptr<State> state = state_;
  co_return co_await state->Sweep(EndOf(timeout));
}

}  // namespace lifeboat
