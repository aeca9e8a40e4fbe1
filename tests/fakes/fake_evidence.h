#pragma once

// Evidence rows in memory. The chain itself has its own tests (src/prove).

#include "ports/evidence.h"

namespace lifeboat::testing {

class FakeEvidence final : public Evidence {
 public:
  struct Row {
    std::string kind;
    ExecutionId execution;
    Json body;
  };
  std::vector<Row>& rows;  ///< outlive the process
  explicit FakeEvidence(RegionName region, std::vector<Row>& kept) : rows(kept), region_(std::move(region)) {}

  Task<Result<Json>> Append(std::string kind, ExecutionId execution, Json body, WallTime) override {
    rows.push_back({std::move(kind), std::move(execution), std::move(body)});
    co_return HeadNow();
  }
  Task<Result<Json>> Head() override { co_return HeadNow(); }
  Task<Result<Json>> List(std::uint64_t) override {
    Json all = Json::array();
    for (const Row& row : rows) all.push_back({{"kind", row.kind}, {"execution", row.execution.text}});
    co_return all;
  }
  Task<Result<Unit>> NoteForeignHead(RegionName region, std::uint64_t sequence, std::string hash, WallTime) override {
    foreign_[region] = {sequence, std::move(hash)};
    co_return Done();
  }
  Task<Result<Json>> ForeignHeads(RegionName region) override {
    Json all = Json::array();
    if (const auto found = foreign_.find(region); found != foreign_.end())
      all.push_back({{"sequence", found->second.first}, {"hash", found->second.second}});
    co_return all;
  }
  Task<Result<Json>> Verify(Json) override { co_return Json{{"region", region_.text}, {"intact", true}}; }

 private:
  [[nodiscard]] Json HeadNow() const {
    return {{"region", region_.text}, {"sequence", rows.size()}, {"hash", std::to_string(rows.size())}};
  }
  const RegionName region_;
  std::map<RegionName, std::pair<std::uint64_t, std::string>> foreign_;
};

}  // namespace lifeboat::testing
