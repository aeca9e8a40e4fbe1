#include "lab/demo.h"

#include <unistd.h>

#include <sstream>

#include "lab/demo_report.h"
#include "lab/interrupt.h"
#include "lab/narrator.h"
#include "prove/report.h"

namespace lifeboat::lab {

namespace fs = std::filesystem;

namespace {

constexpr Duration kMoveTimeout = 60s;
constexpr Duration kRejoinTimeout = 90s;
constexpr std::uint64_t kSteadyRows = 400;  // per client, about two seconds: a baseline in the picture

std::string FigureOf(const Json& object, const char* key, const char* unit) {
  const Json& value = MemberAt(object, key);
  if (!value.is_number()) return "unknown";
  return std::to_string(value.get<std::int64_t>()) + " " + unit;
}

// Roles, lag, lease and readiness, from the status of an agent.
std::string StatusTable(const Json& status) {
  std::ostringstream out;
  char line[160];
  std::snprintf(line, sizeof line, "            %-11s %-9s %-9s %-12s %-12s\n", "region", "role", "verdict", "lag", "backlog");
  out << line;
  for (const Json& region : MemberAt(status, "regions")) {
    const bool standby = TextAt(region, "role") == ToString(Role::kStandby);
    std::snprintf(line, sizeof line, "            %-11s %-9s %-9s %-12s %-12s\n", TextAt(region, "name").c_str(),
                  TextAt(region, "role").c_str(), TextAt(region, "verdict").c_str(),
                  standby ? FigureOf(region, "rpo_ms", "ms").c_str() : "",
                  standby ? FigureOf(region, "backlog_bytes", "B").c_str() : "");
    out << line;
  }
  const Json& lease = MemberAt(status, "lease");
  const Json& traffic = MemberAt(status, "traffic");
  out << "            lease    epoch " << NumberAt(lease, "epoch") << ", held by " << TextAt(lease, "holder")
      << ", ready to take over:";
  for (const Json& candidate : MemberAt(lease, "candidates")) out << " " << candidate.get<std::string>();
  out << "\n            traffic  " << TextAt(traffic, "name") << " -> " << TextAt(traffic, "address") << "\n";
  return out.str();
}

class Demo {
 public:
  explicit Demo(const DemoOptions& options)
      : options_(options),
        folder_(options.folder.empty() ? DefaultFolder() : fs::absolute(options.folder)),
        narrator_(options.json ? stderr : stdout) {}

  int Run() {
    Result<Unit> told = Tell();
    const int code = told ? Conclude() : Explain(told.error());
    clients_.reset();
    TakeDown();
    return code;
  }

 private:
  Result<Unit> Tell() {
    for (const auto part :
         {&Demo::Healthy, &Demo::LoseRegion, &Demo::FailOver, &Demo::Cost, &Demo::BringBack, &Demo::SwitchBack, &Demo::Count}) {
      if (Interrupt::Came()) return Fail("interrupted");
      if (auto done = (this->*part)(); !done) return done;
    }
    return Done();
  }

  Result<Unit> Healthy() {
    narrator_.Title("1  Healthy: three regions, each with its own addresses, processes and agent");
    LabOptions lab;
    lab.folder = folder_;
    lab.program = options_.program;
    lab.knobs = options_.knobs;
    auto up = Up(
        lab, [this](const std::string& text) { narrator_.Say(text); }, [] { return !Interrupt::Came(); });
    if (!up) {
      built_ = up.error().retry != Retry::kRefused;  // refused: the folder is not ours
      return up.error();
    }
    built_ = true;
    story_.lab = std::move(up).value();
    const auto status = AwaitWhole(story_.lab, kMoveTimeout, narrator_.Waiting());
    if (!status) return status.error();
    story_.first = HolderOf(*status);
    for (const LabRegion& region : story_.lab.regions) {
      if (region.kind == RegionKind::kData && region.name.text != story_.first) story_.second = region.name.text;
    }
    const auto version = ConnectTo(story_.lab.Conninfo(story_.first, kClientUser));
    if (!version) return version.error();
    story_.postgresql = PQparameterStatus(version->get(), "server_version");

    clients_ = std::make_unique<ClientGroup>(story_.lab);
    int number = 0;
    for (const ClientMode mode : {ClientMode::kFresh, ClientMode::kFresh, ClientMode::kFresh, ClientMode::kTtl}) {
      if (auto added = clients_->Add(mode, ++number, true); !added) return added;
    }
    if (auto writes = clients_->AwaitMore(1, kMoveTimeout, narrator_.Waiting()); !writes) return writes;
    story_.healthy_ns = ReadWallClock().ns;
    narrator_.Say("4 clients write numbered rows, each one every 5 ms, and keep their own record of what was acknowledged");
    if (auto writes = clients_->AwaitMore(kSteadyRows, kMoveTimeout, narrator_.Waiting()); !writes) return writes;
    const auto now = AwaitWhole(story_.lab, kMoveTimeout, narrator_.Waiting());
    if (!now) return now.error();
    narrator_.Show(StatusTable(*now));
    return Done();
  }

  Result<Unit> LoseRegion() {
    narrator_.Title("2  " + story_.first + " is lost: every process of it is killed at one instant");
    auto killed = Kill(story_.lab.folder, story_.first);
    if (!killed) return killed.error();
    story_.fault = std::move(killed).value();
    narrator_.Say(std::to_string(story_.fault.killed.size()) + " processes killed (database, agent, guard, supervisor)");
    return Done();
  }

  // Nobody is told anything here: what the agents say of themselves is shown while the clients try.
  Result<Unit> FailOver() {
    narrator_.Title("3  Without a command from anyone: detected, fenced, promoted, routed, verified");
    std::string sentence;
    Instant asked;
    const Patience patience = narrator_.Waiting();
    const auto show_decisions = [&](const std::string& waiting_for) {
      if (AgeAt(asked, ReadClocks()) > 200ms) {
        asked = ReadClocks();
        const auto status = AskAgent(story_.lab, story_.second, "status", Json::object(), 1s);
        const std::string said = status ? TextAt(MemberAt(*status, "decision"), "sentence") : "";
        if (!said.empty() && said != sentence) narrator_.Say(story_.second + ": " + said);
        if (!said.empty()) sentence = said;
      }
      return patience(waiting_for);
    };
    if (auto moved = clients_->AwaitOn(story_.second, story_.fault.monotonic_ns, kMoveTimeout, show_decisions); !moved)
      return moved;
    narrator_.Say("all clients write again, to " + story_.second);
    auto execution = AwaitFailover(story_.lab, WallTime{story_.fault.wall_ns}, kMoveTimeout, narrator_.Waiting());
    if (!execution) return execution.error();
    story_.failover = std::move(execution).value();
    narrator_.Say("failover " + story_.failover.id.text + " is done and verified");
    return clients_->AwaitMore(kSteadyRows / 2, kMoveTimeout, narrator_.Waiting());
  }

  // A first account while the clients go on: what the old primary acknowledged is compared with the new one's table.
  Result<Unit> Cost() {
    narrator_.Title("4  What it cost, measured by the clients");
    const std::string old_address = story_.lab.Find(story_.first)->address;
    story_.records = clients_->Records();
    std::vector<ClientCheck> checks;
    for (ClientRecord record : story_.records) {
      std::erase_if(record.rows, [&](const ClientRow& row) {
        return row.fate != RowFate::kAcknowledged || record.servers.at(row.server) != old_address;
      });
      auto check = CheckRecord(record, story_.lab.Conninfo(story_.second, kClientUser));
      if (!check) return check.error();
      check->unexpected.clear();  // the rows of the new primary, which this look leaves out
      checks.push_back(std::move(check).value());
    }
    story_.checks = std::move(checks);
    const LossAccount loss = LossOf(story_);
    const Json run = FailoverRun(story_, loss);
    for (const Json& phase : MemberAt(run, "phases")) {
      const Json& seconds = MemberAt(phase, "seconds");
      char line[96];
      std::snprintf(
          line, sizeof line, "            %-18s %s", TextAt(phase, "name").c_str(),
          seconds.is_number() ? (std::to_string(static_cast<long>(seconds.get<double>() * 1000)) + " ms").c_str() : "unknown");
      narrator_.Show(line);
    }
    const Json& rto = MemberAt(run, "rto_s");
    narrator_.Say(
        "RTO " +
        (rto.is_number() ? FormatSeconds(Duration(static_cast<std::int64_t>(rto.get<double>() * 1e9))) + " s" : "unknown") +
        ", objective " + FormatDuration(story_.lab.knobs.rto));
    narrator_.Say("RPO " + FormatSeconds(loss.failover_age) + " s: " + std::to_string(loss.failover_rows + loss.other_rows) +
                  " acknowledged rows are missing on the new primary, objective " + FormatDuration(story_.lab.knobs.rpo));
    return Done();
  }

  Result<Unit> BringBack() {
    narrator_.Title("5  " + story_.first + " comes back and is rejoined as a standby");
    story_.returned_ns = ReadWallClock().ns;
    if (auto started = Start(story_.lab.folder, story_.first); !started) return started;
    narrator_.Say("the region is started again; its database is fenced");
    auto rejoined = RejoinRegion(story_.lab, story_.first, kRejoinTimeout, narrator_.Waiting());
    if (!rejoined) return rejoined.error();
    story_.rejoin = std::move(rejoined).value();
    if (const auto divergence = DivergenceOf(story_.rejoin)) {
      narrator_.Say(divergence->saved_in.empty()
                        ? std::string("the old primary held nothing that the new one lacks")
                        : FormatBytes(divergence->saved) + " of its WAL with " + std::to_string(divergence->commits) +
                              " commits after the fork were saved to " + divergence->saved_in);
    }
    return AwaitReturn();
  }

  Result<Unit> AwaitReturn() {
    const auto arrived =
        AwaitArrival(*clients_, story_.lab.Conninfo(story_.first, kClientUser), story_.first, kMoveTimeout, narrator_.Waiting());
    if (!arrived) return arrived.error();
    story_.arrived_ns = arrived->at_ns;
    story_.arrived_row = arrived->row;
    narrator_.Say(story_.arrived_row + ", written after the rejoin, has arrived on it");
    return Done();
  }

  Result<Unit> SwitchBack() {
    narrator_.Title("6  Planned switchover back to " + story_.first);
    if (auto writes = clients_->AwaitMore(kSteadyRows / 2, kMoveTimeout, narrator_.Waiting()); !writes) return writes;
    story_.switchover_since_ns = MonotonicNs();
    auto switched = SwitchTo(story_.lab, story_.first, kMoveTimeout, narrator_.Waiting());
    if (!switched) return switched.error();
    story_.switchover = std::move(switched).value();
    if (auto moved = clients_->AwaitOn(story_.first, story_.switchover_since_ns, kMoveTimeout, narrator_.Waiting()); !moved)
      return moved;
    narrator_.Say("all clients write to " + story_.first + " again");
    if (auto whole = AwaitWhole(story_.lab, kMoveTimeout, narrator_.Waiting()); !whole) return whole.error();
    return clients_->AwaitMore(kSteadyRows / 2, kMoveTimeout, narrator_.Waiting());
  }

  Result<Unit> Count() {
    narrator_.Title("7  The report");
    clients_->Stop();
    story_.ended_ns = ReadWallClock().ns;
    story_.records = clients_->Records();
    story_.checks.clear();
    std::uint64_t acknowledged = 0;
    for (const ClientRecord& record : story_.records) {
      auto check = CheckRecord(record, story_.lab.Conninfo(story_.first, kClientUser));
      if (!check) return check.error();
      acknowledged += check->acknowledged;
      story_.checks.push_back(std::move(check).value());
    }
    const LossAccount loss = LossOf(story_);
    narrator_.Say(std::to_string(acknowledged) + " acknowledged rows compared with the table: " +
                  std::to_string(loss.failover_rows) + " lost with the region, " + std::to_string(loss.other_rows) +
                  " at any other time, " + std::to_string(loss.Unaccounted()) + " unaccounted for");
    const std::string first = story_.lab.Find(story_.first)->address;
    const std::string second = story_.lab.Find(story_.second)->address;
    const std::uint64_t by_two = WritesByTwo(story_.records, first, second, story_.fault.monotonic_ns, story_.switchover_since_ns) +
                                 WritesByTwo(story_.records, second, first, story_.switchover_since_ns, MonotonicNs());
    if (by_two > 0) return Fail("two regions acknowledged writes at the same time: " + std::to_string(by_two) + " rows");
    if (const auto evidence = AskAgent(story_.lab, story_.first, "evidence.verify", Json::object(), 20s)) {
      story_.evidence = *evidence;
    } else {
      narrator_.Say("the evidence could not be verified: " + evidence.error().message);
    }
    return Done();
  }

  int Conclude() {
    const Json report = BuildReport(story_);
    std::error_code problem;
    fs::create_directories(options_.report_folder, problem);
    const fs::path html = options_.report_folder / "report.html";
    const fs::path json = options_.report_folder / "report.json";
    if (const auto written = WriteReport(report, html, json); !written) return Explain(written.error());
    narrator_.Show(RenderTerminal(report, !options_.json && ::isatty(STDOUT_FILENO) != 0 ? Colour::kYes : Colour::kNo));
    narrator_.Show("report: " + fs::absolute(html).string() + " (to look at), " + fs::absolute(json).string() + " (for programs)");
    if (options_.json) std::printf("%s\n", report.dump(2).c_str());
    return TextAt(report, "verdict") == "met" ? 0 : 4;
  }

  int Explain(const Error& error) {
    const bool interrupted = Interrupt::Came();
    std::fprintf(stderr, "\nlifeboat demo: %s\n", interrupted ? "interrupted" : error.Text().c_str());
    if (options_.json)
      std::printf("%s\n", Json{{"error", interrupted ? "interrupted" : error.message}, {"hint", error.hint}}.dump().c_str());
    if (!interrupted && built_) SaveLogs();
    return 1;
  }

  // The lab goes, its logs stay.
  void SaveLogs() {
    if (options_.keep) {
      std::fprintf(stderr, "the logs are beneath %s/*/log\n", folder_.c_str());
      return;
    }
    std::error_code problem;
    const fs::path logs = options_.report_folder / "logs";
    fs::remove_all(logs, problem);
    for (const auto& region : fs::directory_iterator(folder_, problem)) {
      if (!fs::is_directory(region.path() / "log", problem)) continue;
      fs::create_directories(logs / region.path().filename(), problem);
      fs::copy(region.path() / "log", logs / region.path().filename(),
               fs::copy_options::recursive | fs::copy_options::overwrite_existing, problem);
    }
    std::fprintf(stderr, "the logs of all processes are in %s\n", fs::absolute(logs).c_str());
  }

  void TakeDown() {
    if (!built_) return;
    if (options_.keep) {
      narrator_.Show("\nthe lab still runs in " + folder_.string() + ". Look around, and end it:\n  " +
                     (folder_ / "bin" / "lifeboat").string() + " status --config " + (folder_ / "lifeboat.yaml").string() +
                     "\n  lifeboat lab down --lab " + folder_.string());
      return;
    }
    if (const auto down = Down(folder_); !down)
      std::fprintf(stderr, "lifeboat demo: the lab was not removed: %s\n", down.error().Text().c_str());
  }

  const DemoOptions& options_;
  const fs::path folder_;
  Narrator narrator_;
  Story story_;
  std::unique_ptr<ClientGroup> clients_;
  bool built_ = false;
};

}  // namespace

int RunDemo(const DemoOptions& options) {
  const Interrupt interrupt;
  return Demo(options).Run();
}

}  // namespace lifeboat::lab
