#include "agent/writer_keeper.h"

namespace lifeboat {

namespace {
constexpr Duration kTimeout = 1s;
constexpr Duration kWatch = 2s;
constexpr Duration kPause = 500ms;
/// Without an answer for so long the store is called silent.
constexpr Duration kSilent = 4s;

Error OnlyALease() { return Refused("there is no lease where a cloud runs the database"); }
}  // namespace

WriterKeeper::WriterKeeper(Clock& clock, Store& store, std::string service, Log log, std::function<void()> changed)
    : clock_(clock), store_(store), service_(std::move(service)), log_(std::move(log)), changed_(std::move(changed)) {}

bool WriterKeeper::StoreAnswers() const { return answered_ && AgeAt(*answered_, clock_.Now()) < kSilent && problem_.empty(); }

std::optional<Duration> WriterKeeper::ReadAge() const {
  if (!answered_) return std::nullopt;
  return AgeAt(*answered_, clock_.Now());
}

void WriterKeeper::Take(const Reading& reading) {
  const bool first = !read_ || !problem_.empty();
  answered_ = clock_.Now();
  seen_ = reading.version;
  incarnation_ = reading.incarnation;
  const auto before = item_;
  std::optional<WriterItem> item;
  for (const lifeboat::Record& record : reading.records) {
    if (record.key != Key()) continue;
    const auto json = ParseJson(record.value, record.key);
    const auto parsed = json.ok() ? WriterItemFromJson(*json) : Result<WriterItem>(json.error());
    if (!parsed.ok()) {
      // SAFETY: an item that cannot be read is not an item that is not there: nothing is founded over it.
      problem_ = parsed.error().message;
      return;
    }
    item = *parsed;
    version_ = record.version;
  }
  if (!item) version_ = Version{};
  item_ = item;
  read_ = true;
  problem_.clear();
  if (first || item_ != before) changed_();
}

Task<Result<Unit>> WriterKeeper::Read() {
  auto reading = co_await store_.Read(Key(), kTimeout);
  if (!reading.ok()) co_return reading.error();
  Take(*reading);
  co_return Done();
}

Task<> WriterKeeper::Loop() {
  while (true) {
    Task<Result<Reading>> asking = read_ ? store_.Watch(Key(), seen_, incarnation_, kWatch) : store_.Read(Key(), kTimeout);
    auto reading = co_await std::move(asking);
    if (reading.ok()) {
      Take(*reading);
      if (read_) continue;
    } else {
      const bool news = problem_.empty();
      problem_ = reading.error().message;
      if (news) {
        log_.Warn("the store does not answer", {{"problem", problem_}});
        changed_();
      }
    }
    co_await clock_.Sleep(kPause);
  }
}

Task<Result<Version>> WriterKeeper::Put(Transaction transaction, WriterItem next) {
  transaction.compares.push_back({Key(), version_});
  transaction.puts.push_back({Key(), ToJson(next).dump()});
  auto done = co_await store_.Commit(std::move(transaction), kTimeout);
  if (!done.ok()) co_return done.error();
  if (!done->committed) {
    (void)co_await Read();
    co_return Refused("another agent moved or began something at the same moment", "lifeboat status");
  }
  item_ = std::move(next);
  version_ = done->version;
  seen_ = std::max(seen_, done->version);
  changed_();
  co_return done->version;
}

Task<Result<Version>> WriterKeeper::Begin(Transaction extra, WriterItem next) {
  // SAFETY: an epoch begins on the item that was decided on, and on no later one.
  if (!item_ || next.epoch != lifeboat::Next(item_->epoch))
    co_return Refused("the item in the store changed meanwhile", "lifeboat status");
  co_return co_await Put(std::move(extra), std::move(next));
}

Task<Result<Unit>> WriterKeeper::Note(RegionName writer, WallTime at) {
  WriterItem next;
  next.epoch = lifeboat::Next(item_ ? item_->epoch : Epoch{});
  next.writer = std::move(writer);
  next.at = at;
  const std::string noted = next.writer.text;
  Transaction alone;
  // SAFETY: never beside an execution: it knows better where the writer goes.
  alone.compares.push_back({service_ + "/current", Version{0}});
  auto put = co_await Put(std::move(alone), std::move(next));
  if (!put.ok()) co_return put.error();
  log_.Warn("the writer was taken note of", {{"writer", noted}, {"epoch", item_->epoch.number}});
  co_return Done();
}

Task<Result<Unit>> WriterKeeper::Record(Epoch epoch, RegionName writer, bool apart) {
  auto read = co_await Read();
  if (!read.ok()) co_return read;
  if (!item_ || item_->epoch > epoch) co_return Done();
  if (item_->writer == writer && item_->moving_to.empty() && item_->apart == apart) co_return Done();
  WriterItem next = *item_;
  if (next.writer != writer) next.at = clock_.Wall();
  next.writer = std::move(writer);
  next.moving_to = RegionName();
  next.apart = apart;
  auto put = co_await Put(Transaction(), std::move(next));
  if (!put.ok()) co_return RetryLater(put.error().message);
  co_return Done();
}

std::optional<LeaseItem> WriterKeeper::Item() const {
  if (!item_) return std::nullopt;
  LeaseItem item;
  item.epoch = item_->epoch;
  item.holder = item_->writer;
  return item;
}

Task<Result<Epoch>> WriterKeeper::Claim(Transaction, std::string) { co_return OnlyALease(); }
Task<Result<Unit>> WriterKeeper::Release(Epoch, RegionName, std::string) { co_return OnlyALease(); }
Task<Result<Epoch>> WriterKeeper::Reclaim() { co_return OnlyALease(); }
Task<Result<Unit>> WriterKeeper::ChangeCandidate(RegionName, bool) { co_return OnlyALease(); }
Task<Result<Unit>> WriterKeeper::PrepareToWrite(Epoch) { co_return OnlyALease(); }
Task<Result<Unit>> WriterKeeper::NoteJoined(Epoch) { co_return OnlyALease(); }

}  // namespace lifeboat
