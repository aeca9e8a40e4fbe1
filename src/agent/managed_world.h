#pragma once

// What an agent of a service whose database a cloud runs sees: the other agents, the cloud's word about the copies, the lag of
// every region, the name, alarms, compute. Each question has a deadline and a coroutine of its own. A region that an execution is
// leaving is asked nothing: what is lost must not be waited for. Thread rule: the agent's executor.

#include <boost/asio/any_io_executor.hpp>
#include <functional>
#include <map>
#include <set>

#include "agent/managed_sql.h"
#include "base/log.h"
#include "decide/managed.h"
#include "ports/alarms.h"
#include "ports/bell.h"
#include "ports/clock.h"
#include "ports/compute.h"
#include "ports/files.h"
#include "ports/managed_database.h"
#include "ports/objects.h"
#include "ports/peers.h"
#include "ports/traffic.h"

namespace lifeboat {

struct ManagedTimes {
  Duration gossip = std::chrono::seconds(1);
  Duration peer = std::chrono::milliseconds(800);  ///< deadline of a question to another agent
  Duration look = std::chrono::seconds(10);        ///< between two looks at this region's own copy
  Duration look_silent = std::chrono::seconds(3);  ///< at the writer's, while its agent is silent
  Duration lag = std::chrono::seconds(20);         ///< CloudWatch has a new one every minute
  Duration traffic = std::chrono::seconds(10);
  Duration alarms = std::chrono::seconds(15);
  Duration compute = std::chrono::seconds(60);
  Duration call = std::chrono::seconds(4);     ///< deadline of a question to the cloud
  Duration silence = std::chrono::seconds(5);  ///< without an answer for so long a region's agent, or API, is silent
};

class ManagedWorld {
 public:
  struct Doors {
    Clock& clock;
    Peers& peers;
    Files& files;
    ManagedDatabase& database;
    Traffic* traffic = nullptr;
    Alarms* alarms = nullptr;
    std::map<std::string, RegionName> alarms_about;  ///< of this region: name → region that it tells of
    std::vector<Compute*> compute;
    std::vector<Objects*> objects;
    ManagedSqlWatch* sql = nullptr;  ///< none where no SQL is configured
  };
  struct Region {
    RegionName name;
    RegionKind kind = RegionKind::kData;
  };
  /// `lag_file`: keeps the last lags over a restart; empty: they are not kept.
  ManagedWorld(boost::asio::any_io_executor io, RegionName self, std::vector<Region> regions, Doors doors, ManagedTimes times,
               std::string lag_file, Log log, std::function<void()> changed);

  void Start();
  /// Where the writer is believed to be, and when that was last changed: a lag of before is of another writer.
  void SetWriter(const std::optional<WriterItem>& item);
  /// A region that is asked nothing for now; empty: all are.
  void Spare(RegionName region) { spared_ = std::move(region); }

  /// All regions but what the cloud's votes and the loss need of the agent.
  [[nodiscard]] std::map<RegionName, ManagedFacts> FactsAt(Instant now) const;
  /// Whether this agent finds the writer's region silent, and what it thinks of a writer that serves.
  [[nodiscard]] Vote SilenceAt(Instant now) const;
  [[nodiscard]] Vote DegradedAt(Instant now) const;
  /// Since when the writer's region has been silent to this agent; empty: it is not.
  [[nodiscard]] std::optional<Duration> SilentFor(Instant now) const;
  [[nodiscard]] RegionName SeenWriter(Instant now) const;
  /// This agent has no way to the API of the writer's region: its silence says nothing here. Empty: it has answered, or was not
  /// asked yet.
  [[nodiscard]] std::string BlindTo() const;
  [[nodiscard]] RegionName MovingTo(Instant now) const;

  struct Peer {
    RegionKind kind = RegionKind::kData;
    bool answers = false;
    std::optional<Instant> asked;   ///< of the question that it last answered
    std::optional<Instant> failed;  ///< when the first question that it has not answered since was given up
    std::string problem;
    Json said = Json::object();
  };
  [[nodiscard]] const std::map<RegionName, Peer>& peers() const { return peers_; }
  /// Known lag of a region: how much, and how old.
  struct Lag {
    Duration time{};
    WallTime at;       ///< when it was measured, by the cloud's clock
    Instant measured;  ///< the same by ours
  };
  /// By the cloud's own figures.
  [[nodiscard]] std::optional<Lag> LagOf(const RegionName& region) const;
  /// The least bound on what a failover to `region` would lose now, of all that tell one, and which of them says so.
  [[nodiscard]] ManagedSqlWatch::Known LossOf(const RegionName& region, Instant now) const;
  [[nodiscard]] const std::optional<TrafficRecord>& traffic() const { return traffic_; }
  [[nodiscard]] const std::string& traffic_problem() const { return traffic_problem_; }
  /// The last moment at which the writer's region was heard; empty: never.
  [[nodiscard]] std::optional<WallTime> WriterHeard() const { return heard_; }
  /// What ran in a region, as last told by whomever: what has been seen once is kept through looks that failed. Empty: unknown.
  [[nodiscard]] Json RanIn(const RegionName& region) const;
  /// What this agent tells the others of all this.
  [[nodiscard]] Json Gossip(Instant now) const;
  /// Looks at once, out of turn.
  Task<> LookNow();
  /// The next look is now: something moved.
  void LookSoon() { look_kick_.Ring(); }

 private:
  /// What the API of a region said.
  struct Sight {
    std::optional<ManagedView> view;
    std::optional<Instant> seen;    ///< the question that was answered last
    std::optional<Instant> failed;  ///< when the first one since then was given up
    bool blind = false;  ///< it has never answered, and did not while the region's agent did: there is no way to it from here
    std::string problem;
  };
  Task<> PeerLoop(RegionName region);
  Task<> LookLoop();
  Task<> SourceLoop();
  Task<> LagLoop();
  Task<> TrafficLoop();
  Task<> AlarmLoop();
  Task<> ComputeLoop();
  Task<> ObjectsLoop(Objects* objects);
  Task<> Look(RegionName region);
  void TakeGossip(const RegionName& region, const Json& said, Instant asked);
  void TakeLag(const RegionName& region, Duration time, WallTime at);
  [[nodiscard]] Instant InstantOf(WallTime cloud) const;
  void TakeRan(const RegionName& region, const Json& counts, std::int64_t at_ns);
  Task<> KeepLags();
  Task<> LoadLags();
  [[nodiscard]] RegionName WhomToLookAt() const;
  [[nodiscard]] bool IsData(const RegionName& region) const;
  void HearWriter(const RegionName& region);

  boost::asio::any_io_executor io_;
  Bell look_kick_;
  const RegionName self_;
  const std::vector<Region> regions_;
  Doors doors_;
  const ManagedTimes times_;
  const std::string lag_file_;
  Log log_;
  std::function<void()> changed_;
  const Instant began_;
  RegionName writer_;
  Epoch epoch_;
  WallTime writer_since_;
  RegionName spared_;
  std::map<RegionName, Peer> peers_;
  std::map<RegionName, Sight> sights_;
  std::map<RegionName, Lag> lags_;
  /// What ran, and when that was looked at, by the clock of the region's own agent.
  struct Ran {
    Json counts = Json::object();
    std::int64_t at_ns = 0;
  };
  std::map<RegionName, Ran> ran_;
  Duration ahead_{0};  ///< of the cloud's clock, as the lags' times are held against
  std::map<std::string, AlarmState> alarm_states_;
  std::optional<Instant> alarms_read_;
  std::optional<TrafficRecord> traffic_;
  std::string traffic_problem_ = "it has not been asked yet";
  std::optional<WallTime> heard_;
};

}  // namespace lifeboat
