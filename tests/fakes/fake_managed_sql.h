#pragma once

// The SQL side of a database that a cloud runs (fake_managed_database.h), in memory: rows that the writer takes reach each other
// region's copy after a while, and stay behind when the writer is lost. FakeSqlServers outlives the processes; FakeManagedSql and
// FakeManagedCanary are one agent's doors.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "fakes/fake_managed_database.h"
#include "fakes/fake_traffic.h"
#include "ports/canary.h"
#include "ports/managed_sql.h"

namespace lifeboat::testing {

struct FakeSqlServers {
  FakeSqlServers(VirtualTime& t, FakeCloud& c, Clock& k) : time(t), cloud(c), clock(k) {}

  VirtualTime& time;
  FakeCloud& cloud;
  Clock& clock;                                                  ///< of the databases
  std::map<RegionName, std::map<RegionName, Heartbeat>> copies;  ///< what each region's copy shows, by whose row it is
  std::map<RegionName, Duration> delay;                          ///< of replication to a region
  std::set<RegionName> refuses_clients;                          ///< whose database takes no client's row
  std::map<RegionName, std::vector<SqlLag>> aurora;  ///< what aurora_global_db_status() says there; empty: no such function
  std::map<RegionName, std::vector<RegionName>> writers_of_rows;  ///< who wrote beats to a region
  std::optional<Error> refuse_beats;
  std::map<RegionName, int> canary_rows;
  std::optional<RegionName> canary_lands_in;  ///< a client's stale way: its rows are taken there, wherever the name leads

  [[nodiscard]] bool Silent(const RegionName& region) const { return cloud.silent.contains(region); }
  void Commit(const RegionName& writer, const Heartbeat& beat) {
    copies[writer][beat.region] = beat;
    for (const auto& [region, copy] : cloud.copies) {
      if (region == writer) continue;
      const auto wait = delay.find(region);
      time.At(time.now() + (wait == delay.end() ? 100ms : wait->second), [this, writer, region = region, beat] {
        // What a lost or demoted writer has not sent by then never arrives.
        if (cloud.Writer() == writer && !Silent(writer)) copies[region][beat.region] = beat;
      });
    }
  }
};

class FakeManagedSql final : public ManagedSql {
 public:
  FakeManagedSql(Clock& clock, FakeSqlServers& servers, RegionName self)
      : clock_(clock), servers_(servers), self_(std::move(self)) {}

  Task<Result<Heartbeat>> Beat(Epoch epoch, Duration timeout) override {
    servers_.writers_of_rows[self_].push_back(self_);
    const bool answers = co_await Reach(self_, timeout);
    if (!answers) co_return RetryLater("no answer from " + self_.text);
    if (servers_.refuse_beats) co_return *servers_.refuse_beats;
    if (servers_.cloud.Writer() != self_)
      co_return Refused("postgresql said 'cannot execute INSERT in a read-only transaction' (25006)");
    Heartbeat beat = servers_.copies[self_][self_];
    if (epoch < beat.epoch) co_return Refused("a heartbeat of a later epoch stands there");
    beat = {self_, beat.sequence + 1, epoch, servers_.clock.Wall(), "0/1"};
    servers_.Commit(self_, beat);
    co_return beat;
  }
  Task<Result<std::vector<Heartbeat>>> ReadBeats(RegionName region, SqlEnd, Duration timeout) override {
    const bool answers = co_await Reach(region, timeout);
    if (!answers) co_return RetryLater("no answer from " + region.text);
    std::vector<Heartbeat> rows;
    for (const auto& [of, row] : servers_.copies[region]) rows.push_back(row);
    if (rows.empty()) co_return NotFound("postgresql said 'relation \"lifeboat.beat\" does not exist' (42P01)");
    co_return rows;
  }
  Task<Result<std::vector<SqlLag>>> GlobalLags(SqlEnd, Duration timeout) override {
    const bool answers = co_await Reach(self_, timeout);
    if (!answers) co_return RetryLater("no answer from " + self_.text);
    if (servers_.aurora[self_].empty()) co_return NotFound("the database has no aurora_global_db_status()");
    co_return servers_.aurora[self_];
  }
  [[nodiscard]] std::string Protection(SqlEnd) const override { return "TLSv1.3"; }

 private:
  Task<bool> Reach(RegionName region, Duration timeout) {
    const bool silent = servers_.Silent(region);
    co_await clock_.Sleep(silent ? timeout : 5ms);
    co_return !silent;
  }
  Clock& clock_;
  FakeSqlServers& servers_;
  const RegionName self_;
};

/// Writes where the name leads.
class FakeManagedCanary final : public Canary {
 public:
  FakeManagedCanary(Clock& clock, FakeSqlServers& servers, FakeNameServer& names, std::map<RegionName, std::string> targets)
      : clock_(clock), servers_(servers), names_(names), targets_(std::move(targets)) {}

  Task<Result<std::string>> Write(Duration timeout) override {
    co_await clock_.Sleep(5ms);
    if (servers_.canary_lands_in) co_return targets_.at(*servers_.canary_lands_in);
    for (const auto& [region, target] : targets_) {
      if (!names_.up || target != names_.record.address) continue;
      if (servers_.Silent(region)) {
        co_await clock_.Sleep(timeout);
        co_return RetryLater("no answer from '" + target + "'");
      }
      if (servers_.refuses_clients.contains(region))
        co_return RetryLater("'" + target + "': could not extend file: No space left on device");
      if (servers_.cloud.Writer() != region) co_return RetryLater("'" + target + "' is read-only");
      ++servers_.canary_rows[region];
      co_return target;
    }
    Error no_name = RetryLater("the name leads nowhere");
    no_name.not_weighed = true;
    co_return no_name;
  }

 private:
  Clock& clock_;
  FakeSqlServers& servers_;
  FakeNameServer& names_;
  const std::map<RegionName, std::string> targets_;
};

}  // namespace lifeboat::testing
