#include "adapters/store/dynamodb_table.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <set>
#include <utility>

#include "adapters/store/dynamodb_wire.h"

namespace lifeboat::dynamodb {

namespace {

namespace asio = boost::asio;

constexpr Duration kAvoid = std::chrono::minutes(1);  // a region that did not answer
constexpr Duration kLeastPatience = 150ms;            // for a region while there is another one
constexpr Duration kMostPatience = 2s;
constexpr Duration kPause = 50ms;  // after all regions have failed

Duration TimeLeftUntil(SteadyTime end) { return std::max<Duration>(end - std::chrono::steady_clock::now(), 0ns); }

/// How long one region is waited for: while there are others to ask, about a half of what is left.
Duration PatienceFor(Duration left, bool last) {
  if (last) return left;
  return std::min(left, std::clamp<Duration>(left / 2, kLeastPatience, kMostPatience));
}

}  // namespace

aws::RetryLimits RetriesOfTable() {
  aws::RetryLimits limits;
  limits.attempts = 2;  // the second is for a clock or credentials that have just been put right, and for throttling
  limits.base = 50ms;
  return limits;
}

StoreTable::StoreTable(asio::any_io_executor executor, std::shared_ptr<aws::Client> client, TableOptions options, Log log)
    : executor_(std::move(executor)), client_(std::move(client)), options_(std::move(options)), log_(std::move(log)) {}

std::vector<std::string> StoreTable::Order() const {
  const SteadyTime now = std::chrono::steady_clock::now();
  std::vector<std::string> order = options_.regions;
  std::stable_sort(order.begin(), order.end(), [&](const std::string& one, const std::string& other) {
    const auto avoided = [&](const std::string& region) {
      const auto found = avoided_.find(region);
      return found != avoided_.end() && found->second > now;
    };
    return avoided(one) < avoided(other);
  });
  return order;
}

template <typename T>
Task<Result<T>> StoreTable::Ask(std::function<Task<Result<T>>(std::string region, Duration patience)> ask, bool changes, bool* echo,
                                SteadyTime end) {
  bool lost = false;
  asio::steady_timer pause(executor_);
  std::optional<Error> last;
  while (true) {
    const std::vector<std::string> order = Order();
    for (const std::string& region : order) {
      const Duration left = TimeLeftUntil(end);
      if (left == 0ns && last) break;
      const Duration patience = PatienceFor(std::max<Duration>(left, 1ms), region == order.back());
      Task<Result<T>> question = ask(region, patience);
      Result<T> answer = co_await std::move(question);
      if (answer) {
        avoided_.erase(region);
        if (answered_ != region && !answered_.empty())
          log_.Warn("another AWS region answers for the store", {{"aws_region", region}});
        answered_ = region;
        if (echo != nullptr) *echo = lost;
        co_return answer;
      }
      last = answer.error();
      lost = lost || last->retry == Retry::kUnknownOutcome;
      // Somebody in another region is writing the same item at this moment: nothing was changed, and nothing is wrong with the
      // region.
      const bool conflict = last->retry == Retry::kRefused;
      if (conflict) last->retry = Retry::kRetry;
      const bool passes = last->retry == Retry::kRetry || last->retry == Retry::kUnknownOutcome;
      // SAFETY: a clear "no" to the second try says nothing about the first.
      if (!passes && lost && changes) co_return UnknownOutcome(last->message, last->hint);
      if (!passes) co_return *last;
      if (!conflict) avoided_[region] = std::chrono::steady_clock::now() + kAvoid;
    }
    if (TimeLeftUntil(end) <= kPause) break;
    pause.expires_after(kPause);
    const auto [problem] = co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
    const asio::cancellation_state cancellation = co_await asio::this_coro::cancellation_state;
    if (problem || cancellation.cancelled() != asio::cancellation_type::none) break;
  }
  if (lost && changes) co_return UnknownOutcome(last->message, last->hint);
  co_return RetryLater(last->message, last->hint);
}

Task<Result<std::optional<Json>>> StoreTable::Get(Json key, SteadyTime end) {
  std::function<Task<Result<std::optional<Json>>>(std::string, Duration)> ask = [this, key](std::string region, Duration patience) {
    return aws::dynamodb::GetItem(*client_, In(region), key, patience);
  };
  co_return co_await Ask<std::optional<Json>>(std::move(ask), false, nullptr, end);
}

Task<Result<StoreTable::PutAnswer>> StoreTable::PutIf(Json item, std::optional<std::string> expected, SteadyTime end) {
  aws::dynamodb::Condition condition;
  if (expected) {
    condition.expression = "attempt = :expected";
    condition.values = {{":expected", aws::dynamodb::Text(*expected)}};
  } else {
    condition.expression = "attribute_not_exists(" + std::string(kPartition) + ")";
  }
  // SAFETY: it may be sent twice because its condition holds once: the item that it writes has another `attempt`.
  std::function<Task<Result<aws::dynamodb::Written>>(std::string, Duration)> ask = [this, item, condition](std::string region,
                                                                                                           Duration patience) {
    return aws::dynamodb::PutItem(*client_, In(region), item, condition, aws::Effect::kRepeatable, patience);
  };
  PutAnswer answer;
  Result<aws::dynamodb::Written> written = co_await Ask<aws::dynamodb::Written>(std::move(ask), true, &answer.echo, end);
  if (!written && written.error().retry != Retry::kUnknownOutcome) co_return written.error();
  if (written) {
    answer.done = written->done;
    answer.stands = std::move(written->stands);
    if (answer.done || answer.stands) co_return answer;
  } else {
    answer.echo = true;
  }
  // Either the answer was lost, or the item was not in it: look.
  const Error lost = written ? UnknownOutcome("DynamoDB did not say what stands there") : written.error();
  Json key = KeyOf(TextAt(item[kPartition], "S"), TextAt(item[kSort], "S"));
  Result<std::optional<Json>> stands = co_await Get(std::move(key), end);
  if (!stands) co_return answer.echo ? lost : stands.error();
  answer.stands = std::move(*stands);
  std::optional<std::string> now;
  if (answer.stands) now = TextAt(MemberAt(*answer.stands, "attempt"), "S");
  // SAFETY: while the condition would still hold, the request whose answer was lost may yet arrive.
  if (!written && now == expected) co_return lost;
  co_return answer;
}

Task<Result<Unit>> StoreTable::Put(Json item, SteadyTime end) {
  std::function<Task<Result<aws::dynamodb::Written>>(std::string, Duration)> ask = [this, item](std::string region,
                                                                                                Duration patience) {
    return aws::dynamodb::PutItem(*client_, In(region), item, {}, aws::Effect::kRepeatable, patience);
  };
  Result<aws::dynamodb::Written> written = co_await Ask<aws::dynamodb::Written>(std::move(ask), true, nullptr, end);
  if (!written) co_return written.error();
  co_return Done();
}

Task<Result<Unit>> StoreTable::Delete(Json key, SteadyTime end) {
  std::function<Task<Result<aws::dynamodb::Written>>(std::string, Duration)> ask = [this, key](std::string region,
                                                                                               Duration patience) {
    return aws::dynamodb::DeleteItem(*client_, In(region), key, {}, aws::Effect::kRepeatable, patience);
  };
  Result<aws::dynamodb::Written> written = co_await Ask<aws::dynamodb::Written>(std::move(ask), true, nullptr, end);
  if (!written) co_return written.error();
  co_return Done();
}

Task<Result<std::vector<Json>>> StoreTable::List(std::string service, std::string prefix, SteadyTime end) {
  aws::dynamodb::Condition condition;
  condition.expression = "#partition = :service AND begins_with(#sort, :prefix)";
  condition.names = {{"#partition", kPartition}, {"#sort", kSort}};
  condition.values = {{":service", aws::dynamodb::Text(service)}, {":prefix", aws::dynamodb::Text(prefix)}};
  std::function<Task<Result<std::vector<Json>>>(std::string, Duration)> ask = [this, condition](std::string region,
                                                                                                Duration patience) {
    return aws::dynamodb::Query(*client_, In(region), condition, patience);
  };
  co_return co_await Ask<std::vector<Json>>(std::move(ask), false, nullptr, end);
}

// ---- is it a table that can be trusted ----

Result<Unit> StoreTable::Judge(const Json& description, const std::string& region) {
  std::map<std::string, std::string> keys;
  for (const Json& key : MemberAt(description, "KeySchema")) keys[TextAt(key, "KeyType")] = TextAt(key, "AttributeName");
  const std::string named = "the table '" + options_.table + "' in '" + region + "'";
  if (keys["HASH"] != kPartition || keys["RANGE"] != kSort) {
    return Fail(named + " has other keys than 'service' and 'item'", "make one as docs/aws.md shows");
  }
  std::set<std::string> replicas = {region};
  for (const Json& replica : MemberAt(description, "Replicas")) replicas.insert(TextAt(replica, "RegionName"));
  const bool strong = TextAt(description, "MultiRegionConsistency") == "STRONG";
  if (options_.regions.size() > 1) {
    // SAFETY: replicas that agree only in the end let two regions take the lease at once.
    if (!strong) {
      return Fail(named + " is not strongly consistent over regions, and 'store.aws_regions' names several",
                  "make a global table with multi-region strong consistency, or name the one region that all agents shall ask");
    }
    for (const std::string& wanted : options_.regions) {
      if (!replicas.contains(wanted)) {
        return Fail(named + " has no replica in '" + wanted + "'", "name only regions with a replica in 'store.aws_regions'");
      }
    }
  } else if (replicas.size() > 1 && !strong) {
    log_.Warn("the store's table has replicas that agree only in the end; one region alone is asked", {{"aws_region", region}});
  }
  verified_region_ = region;
  table_id_ = TextAt(description, "TableId");
  return Done();
}

Task<Result<Unit>> StoreTable::Verify(SteadyTime end) {
  if (!verified_region_.empty()) co_return Done();
  std::function<Task<Result<Json>>(std::string, Duration)> ask = [this](std::string region, Duration patience) {
    return aws::dynamodb::DescribeTable(*client_, In(region), patience);
  };
  Result<Json> description = co_await Ask<Json>(std::move(ask), false, nullptr, end);
  if (!description && description.error().retry == Retry::kNotFound) {
    co_return Fail("there is no table '" + options_.table + "': " + description.error().message, "make one as docs/aws.md shows");
  }
  if (!description) co_return description.error();
  co_return Judge(*description, answered_);
}

Task<Json> StoreTable::Describe(Duration timeout) {
  Json list = Json::array();
  for (const std::string& region : options_.regions) {
    const Duration share = timeout / static_cast<int>(options_.regions.size());
    Result<Json> table = co_await aws::dynamodb::DescribeTable(*client_, In(region), share);
    Json said = {{"region", region}, {"answers", table.ok()}};
    if (table) {
      said["status"] = TextAt(*table, "TableStatus");
      said["consistency"] = TextAt(*table, "MultiRegionConsistency");
      said["bytes"] = NumberAt(*table, "TableSizeBytes");
      said["replicas"] = Json::array();
      for (const Json& replica : MemberAt(*table, "Replicas")) said["replicas"].push_back(TextAt(replica, "RegionName"));
    } else {
      said["problem"] = table.error().message;
    }
    list.push_back(std::move(said));
  }
  co_return list;
}

}  // namespace lifeboat::dynamodb
