#include "prove/evidence_pool.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <optional>

namespace lifeboat {

namespace {
template <typename T>
Task<std::optional<Result<T>>> RunHere(std::function<Result<T>()> work) {
  co_return work();
}

/// Optional: what crosses co_spawn must have a default value.
template <typename T>
Task<Result<T>> OnPool(boost::asio::thread_pool& pool, std::function<Result<T>()> work) {
  auto here = RunHere<T>(std::move(work));
  const std::optional<Result<T>> result = co_await boost::asio::co_spawn(pool, std::move(here), boost::asio::use_awaitable);
  co_return *result;
}
}  // namespace

Task<Result<Json>> EvidencePool::Append(std::string kind, ExecutionId execution, Json body, WallTime at) {
  std::function<Result<Json>()> work = [this, kind = std::move(kind), execution = std::move(execution), body = std::move(body),
                                        at]() -> Result<Json> {
    auto row = log_.Append(kind, execution, body, at);
    if (!row.ok()) return row.error();
    return ToJson(*row);
  };
  co_return co_await OnPool<Json>(pool_, std::move(work));
}

Task<Result<Json>> EvidencePool::Head() {
  std::function<Result<Json>()> work = [this]() -> Result<Json> {
    auto head = log_.Head();
    if (!head.ok()) return head.error();
    Json json = ToJson(*head);
    json["region"] = region_.text;
    return json;
  };
  co_return co_await OnPool<Json>(pool_, std::move(work));
}

Task<Result<Json>> EvidencePool::List(std::uint64_t limit) {
  std::function<Result<Json>()> work = [this, limit]() -> Result<Json> {
    EvidenceFilter filter;
    filter.limit = limit;
    auto rows = log_.List(filter);
    if (!rows.ok()) return rows.error();
    Json list = Json::array();
    for (const EvidenceRow& row : *rows) list.push_back(ToJson(row));
    return Json{{"region", region_.text}, {"records", list}};
  };
  co_return co_await OnPool<Json>(pool_, std::move(work));
}

Task<Result<Unit>> EvidencePool::NoteForeignHead(RegionName region, std::uint64_t sequence, std::string hash, WallTime at) {
  std::function<Result<Unit>()> work = [this, region = std::move(region), sequence, hash = std::move(hash), at]() {
    return log_.NoteForeignHead(region, sequence, hash, at);
  };
  co_return co_await OnPool<Unit>(pool_, std::move(work));
}

Task<Result<Json>> EvidencePool::ForeignHeads(RegionName region) {
  std::function<Result<Json>()> work = [this, region = std::move(region)]() -> Result<Json> {
    auto heads = log_.ForeignHeads(region);
    if (!heads.ok()) return heads.error();
    Json list = Json::array();
    for (const ForeignHead& head : *heads) list.push_back(ToJson(head));
    return list;
  };
  co_return co_await OnPool<Json>(pool_, std::move(work));
}

Task<Result<Json>> EvidencePool::Verify(Json held_by_others) {
  std::function<Result<Json>()> work = [this, held_by_others = std::move(held_by_others)]() -> Result<Json> {
    std::vector<ForeignHead> heads;
    for (const Json& json : held_by_others) {
      auto head = ForeignHeadFromJson(json);
      if (!head.ok()) return head.error();
      heads.push_back(*std::move(head));
    }
    auto report = log_.Verify(heads);
    if (!report.ok()) return report.error();
    return ToJson(*report);
  };
  co_return co_await OnPool<Json>(pool_, std::move(work));
}

}  // namespace lifeboat
