#pragma once

// What this agent sees of the world, kept fresh by a few loops: its own database and guard, the other agents, the service's
// name, the canary. Every question has a deadline, and each is asked by a coroutine of its own, so that a lost region
// (all answers time out at once) slows nothing down. Its content becomes the Snapshot that decide reads.
//
// Thread rule: the agent's executor.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>

#include "base/log.h"
#include "model/snapshot.h"
#include "observe/position_ring.h"
#include "ports/canary.h"
#include "ports/clock.h"
#include "ports/database.h"
#include "ports/guard.h"
#include "ports/peers.h"
#include "ports/traffic.h"

namespace lifeboat {

/// What another agent said last.
struct PeerView {
  RegionKind kind = RegionKind::kData;
  bool answers = false;
  std::optional<Instant> asked;   ///< of the question that it last answered
  std::optional<Instant> failed;  ///< of the first question that it did not answer since then
  std::string problem;
  Json said = Json::object();  ///< its last answer (docs/formats/peer.md, "agent.gossip")
};

struct CanaryView {
  std::optional<bool> ok;
  std::string address;  ///< that took the last good row
  WallTime last_good;   ///< 0: never
  WallTime first_bad;   ///< of the failures since the last good one; 0: none
  std::uint64_t written = 0;
  std::uint64_t failures = 0;
  Duration took{};  ///< of the last row, good or not
  std::string problem;
};

class World {
 public:
  struct Doors {
    Clock& clock;
    Peers& peers;
    Traffic& traffic;
    Canary& canary;
    Database* database = nullptr;
    Guard* guard = nullptr;
  };
  /// `changed` is called when something arrived that decide should look at before its next regular round.
  World(boost::asio::any_io_executor io, RegionName self, std::map<RegionName, RegionKind> regions, Doors doors, Log log,
        std::function<void()> changed);

  /// Called with every row of the canary. `address`: where it was committed; empty: it was not.
  std::function<void(Instant began, Duration took, const std::string& address, const std::string& problem)> on_row;
  /// How long the canary waits for a row, where that is more than its usual second.
  void SetCanaryPatience(Duration patience) { canary_patience_ = std::max(canary_patience_, patience); }

  /// Starts the loops; they end when the executor's context does.
  void Start();

  /// Who is primary under which epoch, as the lease says: whose positions the ring keeps, and who writes heartbeats.
  void SetHolder(RegionName holder, Epoch epoch);
  /// Looks at the own database now.
  Task<> LookAtDatabase();
  /// Asks for the service's name now.
  Task<> LookAtTraffic();
  /// Somebody has changed the service's name, or tried to: what was read before says nothing any more.
  void DoubtTraffic() { ++traffic_tries_; }

  [[nodiscard]] const std::optional<DatabaseState>& database() const { return database_; }
  [[nodiscard]] const GuardState& guard() const { return guard_; }
  [[nodiscard]] const std::map<RegionName, PeerView>& peers() const { return peers_; }
  [[nodiscard]] const std::optional<TrafficRecord>& traffic() const { return traffic_; }
  [[nodiscard]] const std::string& traffic_problem() const { return traffic_problem_; }
  /// What clients are sent to. Empty: unknown. @param own  this region's database, empty on a witness
  [[nodiscard]] std::optional<TrafficFacts> TrafficSeen(const std::string& own) const;
  [[nodiscard]] const CanaryView& canary() const { return canary_; }
  [[nodiscard]] const PositionRing& ring() const { return ring_; }
  [[nodiscard]] std::uint64_t heartbeat_written() const { return heartbeat_written_; }
  [[nodiscard]] std::uint64_t heartbeat_seen() const { return heartbeat_seen_; }
  /// True while no postmaster runs here.
  [[nodiscard]] bool postmaster_gone() const { return postmaster_gone_; }
  /// Since when the database that should be writable here has had no postmaster, until it is writable again.
  [[nodiscard]] std::optional<Instant> down_since() const { return down_since_; }

  [[nodiscard]] PeerFacts FactsOf(const RegionName& region, Instant now) const;

 private:
  Task<> DatabaseLoop();
  Task<> ExitLoop();
  Task<> GuardLoop();
  Task<> PeerLoop(RegionName region);
  Task<> TrafficLoop();
  Task<> CanaryLoop();
  void NoteDatabase(DatabaseState state);

  boost::asio::any_io_executor io_;
  const RegionName self_;
  Doors doors_;
  Log log_;
  std::function<void()> changed_;
  RegionName holder_;
  Epoch epoch_;
  std::optional<DatabaseState> database_;
  GuardState guard_;
  std::map<RegionName, PeerView> peers_;
  std::optional<TrafficRecord> traffic_;
  std::string traffic_problem_ = "not asked yet";
  bool traffic_missing_ = false;          // the server answered that there is no such name
  std::uint64_t traffic_tries_ = 0;       // to change it
  std::uint64_t traffic_seen_after_ = 0;  // how many of them had been made when the newest look began
  CanaryView canary_;
  Duration canary_patience_ = std::chrono::seconds(1);
  PositionRing ring_;
  std::uint64_t heartbeat_written_ = 0;
  std::uint64_t heartbeat_seen_ = 0;
  bool postmaster_gone_ = false;
  std::optional<Instant> down_since_;
};

}  // namespace lifeboat
