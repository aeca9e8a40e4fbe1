#pragma once

// What an agent learns by SQL of a database that a cloud runs: heartbeats that the writer's agent writes and every copy shows, the
// lag that Aurora itself tells, and rows that the canary writes through the public name. Each question has a deadline and a loop of
// its own; what follows from the answers is model/heartbeat.h, decide/votes.h and decide/managed.h. ManagedWorld asks it, and
// carries what it has to say to the other agents and back. Thread rule: the agent's executor.

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "decide/votes.h"
#include "model/heartbeat.h"
#include "model/managed.h"
#include "model/policy.h"
#include "model/snapshot.h"
#include "ports/canary.h"
#include "ports/clock.h"
#include "ports/managed_sql.h"
#include "ports/readiness.h"

namespace lifeboat {

struct ManagedSqlTimes {
  Duration beat = std::chrono::seconds(1);  ///< between two beats, or two looks at them
  Duration lags = std::chrono::seconds(5);
  Duration canary = std::chrono::seconds(2);
  Duration canary_when_bad = std::chrono::seconds(1);
  Duration call = std::chrono::seconds(3);  ///< deadline of a question
};

class ManagedSqlWatch {
 public:
  struct Doors {
    Clock& clock;
    ManagedSql& sql;
    Canary* canary = nullptr;                   ///< none where there is no public name
    std::map<RegionName, std::string> targets;  ///< what the canary returns when its row went to the region
  };
  /// @param data     this region holds a copy: a witness neither writes nor reads heartbeats
  ManagedSqlWatch(boost::asio::any_io_executor io, RegionName self, bool data, Doors doors, const Policy& policy,
                  ManagedSqlTimes times, Log log);

  void Start();
  /// Where the writer is believed to be. Another than before: what was known of lags is of that one.
  void SetWriter(const std::optional<WriterItem>& item);
  /// What the public name answers, as last read; empty: unknown. A row that went elsewhere says nothing of the writer.
  void SetName(std::string answers) { name_ = std::move(answers); }

  /// The least that can be said of what a failover to `region` would lose now, and from where that is known. Nothing: SQL tells
  /// nothing.
  struct Known {
    LossEstimate loss;
    Duration lag{};  ///< as it was measured
    Duration age{};  ///< since then
    const char* source = "";
  };
  [[nodiscard]] std::optional<Known> LossOf(const RegionName& region, Instant now, std::optional<Duration> silent_for) const;
  /// How old the newest heartbeat is that the region's copy shows, of the writer's own: since it was written.
  [[nodiscard]] std::optional<Duration> HeartbeatAge(const RegionName& region, Instant now) const;
  /// Of the writer that serves now, for an execution that moves away from it.
  [[nodiscard]] std::optional<LastBeats> LastBeatsAt(Instant now, std::optional<Duration> silent_for) const;

  /// This agent's vote about the writer, by the rows of its canary. Unknown where there is none.
  [[nodiscard]] Vote VoteAt(Instant now) const { return judge_.VoteAt(now); }
  [[nodiscard]] bool HasCanary() const { return doors_.canary != nullptr; }
  [[nodiscard]] std::optional<bool> CanaryOk() const { return canary_.ok; }
  [[nodiscard]] WallTime CanaryLastGood() const { return canary_.last_good; }
  /// The newest moment at which any agent wrote a row, by this agent's clock; empty: none is known since the writer is where it is.
  [[nodiscard]] std::optional<WallTime> LastGoodWrite() const;

  /// What this agent tells the others, and what they told: `said` as Gossip wrote it, to a question asked at `asked`.
  [[nodiscard]] Json Gossip(Instant now) const;
  void TakeGossip(const RegionName& region, const Json& said, Instant asked);

  /// For `status`: of a region, and of this agent's canary.
  [[nodiscard]] Json RegionStatus(const RegionName& region, Instant now) const;
  [[nodiscard]] Json CanaryStatus() const;
  /// For `check`: every data region's endpoints as its own agent sees them, heartbeats, the canary.
  [[nodiscard]] std::vector<Readiness> Check(const std::vector<RegionName>& data_regions, Instant now) const;

 private:
  /// How an endpoint answers its own region's agent.
  struct End {
    std::optional<bool> ok;  ///< empty: it has not been asked
    std::string problem;
    std::string hint;
    std::string protection;
  };
  struct Sample {
    SqlLag lag;
    Instant measured;
  };
  struct Row {
    std::optional<bool> ok;
    WallTime last_good;  ///< 0: never
    Instant good_at;     ///< the same moment
    Duration took{};
    std::uint64_t failures = 0;
    std::string problem;
  };

  Task<> AskLoop();
  Task<> WriteBeat();
  Task<> ReadBeats();
  Task<> AskLags();
  Task<> CanaryLoop();
  template <typename T>
  void Note(SqlEnd end, const Result<T>& answer, const char* doing);
  void TakeLag(const SqlLag& lag, Instant asked);
  void TakeCanaryRow(Instant began, Duration took, const Result<std::string>& written);
  [[nodiscard]] bool IsWriterHere() const { return data_ && !writer_.empty() && writer_ == self_; }
  [[nodiscard]] Json EndJson(const End& end) const;

  boost::asio::any_io_executor io_;
  const RegionName self_;
  const bool data_;
  Doors doors_;
  const ManagedSqlTimes times_;
  const Duration canary_patience_;
  Log log_;
  RegionName writer_;
  Epoch epoch_;
  WallTime writer_since_;
  std::string name_;

  HeartbeatBook book_;
  std::map<RegionName, Heartbeat> seen_;  ///< the present writer's newest row that each region's copy shows
  std::map<RegionName, Sample> lags_;     ///< aurora_global_db_status(), the newest reckoning of each secondary
  std::optional<bool> tells_lag_;
  std::map<SqlEnd, End> ends_;
  std::map<RegionName, Json> told_;     ///< by the other agents
  std::map<RegionName, Instant> good_;  ///< when each of the others last wrote a row, not later
  CanaryJudge judge_;
  Row canary_;
};

}  // namespace lifeboat
