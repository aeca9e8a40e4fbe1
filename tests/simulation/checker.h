#pragma once

// Judges a history: who could acknowledge commits and when, which rows were acknowledged, what a new primary lacks. Pure:
// it is told what happened and keeps the first breach of a promise (docs/guarantees.md, G1 to G7). The world tells it after
// every step; its own tests tell it bad histories (checker_test.cc).
// Thread rule: one owner.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "base/types.h"

namespace lifeboat::simulation {

struct Violation {
  std::string promise;  ///< "G1" … "G7"
  Duration at{};
  std::string text;
};

/// What a failover's own record says about its loss.
struct StatedLoss {
  bool known = false;   ///< when it was decided
  bool unsaid = false;  ///< taken back before the promotion, or its agent was replaced by then: not judged
  Duration time{};
  ByteCount bytes;
  bool automatic = false;         ///< decided by a rule, not by a person
  bool above_limit = false;       ///< the policy's limit, for an automatic one
  std::optional<Duration> limit;  ///< of time
};

class Checker {
 public:
  // ---- G1, G2: told of every change, at once ----

  /// From now on a client of this region could get a commit acknowledged, under `epoch`.
  void Opened(Duration at, int region, Epoch epoch);
  void Closed(int region);
  /// `lease_ended`: the deadline under which the region might commit had passed by its own clocks.
  void Acknowledged(Duration at, int region, Epoch epoch, std::uint64_t row, Lsn end, bool lease_ended);

  // ---- G3, G4, G5: when a server has become writable ----

  /// `holds`: whether its WAL has a row. `stated`: of the failover that brought it here; nothing: a switchover or a restart.
  void BecamePrimary(Duration at, int region, Epoch epoch, const std::function<bool(std::uint64_t row)>& holds,
                     const std::optional<StatedLoss>& stated);
  /// WAL that no other server has was destroyed before it was saved.
  void DestroyedUnsaved(Duration at, int region);
  /// A rejoin says that it saved `counted` commits after the fork, where there were `truly`.
  void CountedDivergence(Duration at, std::uint64_t counted, std::uint64_t truly);

  // ---- G6, G7 ----

  void Stuck(Duration at, std::string text);
  /// An execution changed a server, and the journal had no word of that step: whoever went on with it would not know of it.
  void ActedWithoutWord(Duration at, int region, const std::string& step);
  /// The service's name was led from a newer primaryship back to an older one.
  void NameWentBack(Duration at, Epoch from, Epoch to);
  /// The primary stopped serving although only the store, or only the candidates' agents, were away.
  void FencedWithoutNeed(Duration at, std::string text);

  [[nodiscard]] const std::optional<Violation>& violation() const { return violation_; }
  [[nodiscard]] std::uint64_t acknowledged() const { return acknowledged_; }
  [[nodiscard]] std::uint64_t lost() const { return lost_; }
  [[nodiscard]] std::optional<Duration> last_acknowledged() const { return last_; }

 private:
  struct Row {
    std::uint64_t id;
    Duration at;
    int region;
  };
  struct Reign {
    Epoch epoch;
    int region;
  };
  void Break(std::string promise, Duration at, std::string text);

  std::optional<Violation> violation_;
  std::vector<int> open_;        // regions
  std::optional<Reign> newest_;  // the highest epoch that was ever open
  std::vector<Row> rows_;        // acknowledged, in the order of time, and not lost so far
  std::optional<Duration> last_;
  std::uint64_t acknowledged_ = 0;
  std::uint64_t lost_ = 0;
};

}  // namespace lifeboat::simulation
