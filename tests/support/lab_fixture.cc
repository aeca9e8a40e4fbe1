#include "support/lab_fixture.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>

#include "adapters/system/command.h"
#include "adapters/system/processes.h"
#include "model/database_state.h"
#include "support/run_task.h"

namespace lifeboat::testing_support {

namespace fs = std::filesystem;

namespace {

constexpr Duration kAskTimeout = 2s;
constexpr std::int64_t kOnItsWayNs = 1'000'000'000;  // an answer that was on its way at a fault arrives a moment later

lab::Patience Patient() {
  return [](const std::string&) { return true; };
}

std::string ReadAll(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::string LastLines(const std::string& text, int count) {
  std::size_t at = text.size();
  while (count > 0 && at > 0) {
    at = text.rfind('\n', at - 1);
    if (at == std::string::npos) return text;
    --count;
  }
  return text.substr(at);
}

}  // namespace

Json CliAnswer::Parsed() const {
  const auto json = ParseJson(out, "output");
  return json ? *json : Json();
}

LabFixture::~LabFixture() {
  if (built_) (void)lab::Down(folder_).ok();  // TearDown did not run
}

lab::LabKnobs LabFixture::Quick() {
  lab::LabKnobs knobs;
  knobs.lease = 1s;
  return knobs;
}

void LabFixture::BringUp(lab::LabKnobs knobs, const Edit& edit) {
  std::string name = (fs::temp_directory_path() / "lifeboat-scenario-XXXXXX").string();
  ASSERT_NE(::mkdtemp(name.data()), nullptr);
  ASSERT_EQ(::chmod(name.c_str(), 0755), 0);
  folder_ = fs::canonical(name);
  lab::LabOptions options;
  options.folder = folder_;
  options.program = LIFEBOAT_PROGRAM;
  options.knobs = knobs;
  options.place = place_;
  options.start_processes = !edit;
  built_ = true;
  auto up = lab::Up(
      options, [](const std::string&) {}, [] { return true; });
  ASSERT_TRUE(up) << up.error().Text();
  lab_ = std::move(up).value();
  if (!edit) return;
  std::string config = ReadAll(lab_.Config());
  edit(lab_, config);
  const auto owner = lab::OwnerFor();
  ASSERT_TRUE(owner) << owner.error().Text();
  const auto written = lab::WriteOwned(lab_.Config(), config, 0644, *owner);
  ASSERT_TRUE(written) << written.error().Text();
  for (const lab::LabRegion& region : lab_.regions) StartRegion(region.name.text);
  AwaitWhole();
}

void LabFixture::TearDown() {
  clients_.reset();
  if (HasFailure()) SaySoOnFailure();
  if (!built_) return;
  const auto down = lab::Down(folder_);
  EXPECT_TRUE(down) << down.error().Text();
  built_ = !down.ok();
}

void LabFixture::SaySoOnFailure() const {
  for (const lab::LabRegion& region : lab_.regions) {  // the causes first, as far as the lines go back
    for (const auto& [log, lines] :
         {std::pair{"supervisor", 12}, std::pair{"guard", 12}, std::pair{"agent", 150}, std::pair{"postgresql", 60}}) {
      const std::string text = LogOf(region.name.text, log);
      if (!text.empty()) std::cerr << "---- " << region.name.text << " " << log << LastLines(text, lines) << "\n";
    }
    const Json status = StatusOf(region.name.text);
    if (status.is_object()) {
      std::cerr << "---- " << region.name.text << " now: " << TextAt(status, "sentence") << "; rule "
                << NumberAt(MemberAt(status, "decision"), "rule") << ": " << TextAt(MemberAt(status, "decision"), "reason") << "\n";
    }
  }
}

bool LabFixture::Eventually(const std::function<bool()>& holds, Duration limit, Duration every) {
  const Instant deadline = ReadClocks() + limit;
  while (!holds()) {
    if (HasPassed(deadline, ReadClocks())) return false;
    std::this_thread::sleep_for(every);
  }
  return true;
}

Json LabFixture::Ask(const std::string& region, const std::string& method, const Json& parameters) const {
  const auto answer = lab::AskAgent(lab_, region, method, parameters, kAskTimeout);
  return answer ? *answer : Json();
}

Json LabFixture::StatusOf(const std::string& region) const { return Ask(region, "status"); }

int LabFixture::RuleAt(const std::string& region) const {
  return static_cast<int>(NumberAt(MemberAt(StatusOf(region), "decision"), "rule"));
}

std::string LabFixture::Holder() const {
  const auto status = lab::AskAny(lab_, "status", Json::object(), kAskTimeout);
  return status ? lab::HolderOf(*status) : "";
}

std::uint64_t LabFixture::EpochSeenBy(const std::string& region) const {
  return NumberAt(MemberAt(StatusOf(region), "lease"), "epoch");
}

void LabFixture::AwaitWhole(Duration limit) {
  const auto whole = lab::AwaitWhole(lab_, limit, Patient());
  ASSERT_TRUE(whole) << whole.error().Text();
}

std::optional<Execution> LabFixture::NewestExecution(PlanKind kind, WallTime since, const std::string& region) const {
  const Json running = MemberAt(StatusOf(region), "execution");
  if (running.is_object()) {
    const auto execution = ExecutionFromJson(running);
    if (execution && execution->kind == kind && execution->began >= since) return *execution;
  }
  const auto found = lab::FindExecution(lab_, kind, since);
  return found ? *found : std::nullopt;
}

std::optional<Execution> LabFixture::Show(const ExecutionId& id, const std::string& region) const {
  const Json answer = Ask(region, "executions.show", {{"id", id.text}});
  if (!answer.is_object()) return std::nullopt;
  const auto execution = ExecutionFromJson(answer);
  return execution ? std::optional(*execution) : std::nullopt;
}

std::optional<Execution> LabFixture::AwaitEnded(const ExecutionId& id, Duration limit) const {
  std::optional<Execution> last;
  Eventually(
      [&] {
        const auto answer = lab::AskAny(lab_, "executions.show", {{"id", id.text}}, kAskTimeout);
        const auto execution = answer ? ExecutionFromJson(*answer) : Result<Execution>(answer.error());
        if (execution) last = *execution;
        return execution && IsEnded(execution->state);
      },
      limit);
  return last && IsEnded(last->state) ? last : std::nullopt;
}

pid_t LabFixture::PidOf(const std::string& region, const std::string& part) const {
  const fs::path folder = lab_.FolderOf(region);
  std::ifstream file(part == "postmaster" ? folder / "data" / "postmaster.pid" : folder / "run" / (part + ".pid"));
  pid_t pid = 0;
  return file >> pid && IsAlive(pid) ? pid : 0;
}

std::string LabFixture::LogOf(const std::string& region, const std::string& log) const {
  return ReadAll(lab_.FolderOf(region) / "log" / (log + ".log"));
}

bool LabFixture::LogHas(const std::string& region, const std::string& log, const std::string& text, std::size_t from) const {
  return LogOf(region, log).find(text, from) != std::string::npos;
}

Result<lab::Rows> LabFixture::Sql(const std::string& region, const std::string& sql) const {
  const auto connection = lab::ConnectTo(lab_.Conninfo(region, "postgres"));
  if (!connection) return connection.error();
  return lab::Query(*connection, sql);
}

bool LabFixture::TakesWrites(const std::string& region) const {
  return Sql(region, "CREATE TABLE IF NOT EXISTS write_probe(at timestamptz); INSERT INTO write_probe VALUES (now())").ok();
}

CliAnswer LabFixture::Cli(std::vector<std::string> arguments, Duration timeout) const {
  arguments.insert(arguments.begin(), LIFEBOAT_PROGRAM);
  CommandOptions options;
  options.cwd = folder_.parent_path().string();
  options.environment = {{"LIFEBOAT_CONFIG", lab_.Config().string()}, {"LIFEBOAT_LAB", folder_.string()}};
  boost::asio::io_context context;
  const auto output = lifeboat::testing::Await(context, RunCommand(context.get_executor(), std::move(arguments), options, timeout));
  if (!output) return {-1, "", output.error().Text()};
  return {output->exit_code, output->out, output->err};
}

lab::KillReport LabFixture::KillRegion(const std::string& region) {
  NoteFault(region);
  const auto killed = lab::Kill(folder_, region);
  EXPECT_TRUE(killed) << killed.error().Text();
  if (!killed) return {};
  faults_.back().account.fault_ns = killed->monotonic_ns;
  faults_.back().account.fault_wall_ns = killed->wall_ns;
  return *killed;
}

void LabFixture::KillPart(const std::string& region, const std::string& part) {
  const auto killed = lab::Kill(folder_, region, part);
  EXPECT_TRUE(killed) << killed.error().Text();
}

void LabFixture::SignalPart(const std::string& region, const std::string& part, int signal) {
  const auto process = IdentifyProcess(PidOf(region, part));
  ASSERT_TRUE(process) << part << " does not run in " << region;
  const auto sent = SignalProcess(*process, signal);
  EXPECT_TRUE(sent) << sent.error().Text();
}

void LabFixture::StartRegion(const std::string& region) {
  const auto started = lab::Start(folder_, region);
  EXPECT_TRUE(started) << started.error().Text();
}

lab::CutReport LabFixture::Cut(const std::string& a, const std::string& b, bool one_way) {
  const auto cut = lab::Cut(folder_, a, b, one_way);
  EXPECT_TRUE(cut) << cut.error().Text();
  return cut ? *cut : lab::CutReport();
}

void LabFixture::Heal(const std::string& a, const std::string& b) {
  const auto healed = lab::Heal(folder_, a, b);
  EXPECT_TRUE(healed) << healed.error().Text();
}

lab::KillReport LabFixture::Freeze(const std::string& region, const std::string& part) {
  const auto frozen = lab::Freeze(folder_, region, part);
  EXPECT_TRUE(frozen) << frozen.error().Text();
  return frozen ? *frozen : lab::KillReport();
}

void LabFixture::Thaw() {
  const auto thawed = lab::Thaw(folder_);
  EXPECT_TRUE(thawed) << thawed.error().Text();
}

void NetworkLab::SetUp() {
  place_ = lab::LabPlace::kNamespaces;
  const auto possible = lab::CanMakeNetworks();
  ASSERT_TRUE(possible) << "this test needs root and network namespaces: " << possible.error().Text()
                        << "; 'ctest -LE network' runs the tests that do not";
}

void LabFixture::NoteFault(const std::string& region) {
  Fault fault;
  fault.region = region;
  fault.account.old_address = AddressOf(region);
  fault.account.fault_ns = lab::MonotonicNs();
  fault.account.fault_wall_ns = ReadWallClock().ns;
  faults_.push_back(fault);
}

Execution LabFixture::Rejoin(const std::string& region) {
  const auto rejoined = lab::RejoinRegion(lab_, region, 90s, Patient());
  EXPECT_TRUE(rejoined) << rejoined.error().Text();
  if (!rejoined) return {};
  const Json& divergence = MemberAt(rejoined->facts, "divergence");
  for (auto fault = faults_.rbegin(); fault != faults_.rend(); ++fault) {
    if (fault->region != region) continue;
    if (divergence.is_object()) fault->account.ledger_commits = DivergenceFromJson(divergence).commits;
    break;
  }
  return *rejoined;
}

Execution LabFixture::SwitchOver(const std::string& to) {
  const auto switched = lab::SwitchTo(lab_, to, 60s, Patient());
  EXPECT_TRUE(switched) << switched.error().Text();
  return switched ? *switched : Execution{};
}

ExecutionId LabFixture::OrderSwitchover(const std::string& to) {
  Result<Json> answer = RetryLater("not asked");
  // A region's agent that was killed a moment ago is still taken for alive: what it cannot do is refused or answered late.
  Eventually(
      [&] {
        answer = lab::AskAgent(lab_, to, "switchover", {{"to", to}}, 5s);
        return answer.ok();
      },
      20s, 100ms);
  EXPECT_TRUE(answer) << answer.error().Text();
  return answer ? ExecutionId(TextAt(*answer, "id")) : ExecutionId();
}

void LabFixture::Mend(Duration limit) {
  const Instant deadline = ReadClocks() + limit;
  std::string why_not = "no agent answers";
  while (!HasPassed(deadline, ReadClocks())) {
    const auto status = lab::AskAny(lab_, "status", Json::object(), kAskTimeout);
    if (status && lab::IsWhole(*status, lab_, why_not)) return;
    const std::string holder = status ? lab::HolderOf(*status) : "";
    const bool rests = status && MemberAt(*status, "execution").is_null() && !holder.empty();
    if (rests && RuleAt(Other(holder)) == 310) Rejoin(Other(holder));
    std::this_thread::sleep_for(100ms);
  }
  FAIL() << "the service is not whole after " << FormatDuration(limit) << ": " << why_not;
}

std::optional<Execution> LabFixture::KillAt(const std::string& region, const std::function<bool(const Execution&)>& moment,
                                            const std::string& victim, const std::string& part, Duration limit) {
  std::optional<Execution> seen;
  const bool came = Eventually(
      [&] {
        const Json running = MemberAt(StatusOf(region), "execution");
        const auto execution = running.is_object() ? ExecutionFromJson(running) : Result<Execution>(NotFound("none"));
        if (!execution || !moment(*execution)) return false;
        seen = *execution;
        return true;
      },
      limit, 0ms);
  if (came) SignalPart(victim, part, SIGKILL);
  return seen;
}

void LabFixture::StartClients(int count) {
  clients_ = std::make_unique<lab::ClientGroup>(lab_);
  clients_since_ = ReadWallClock();
  faults_.clear();
  for (int added = 0; added < count; ++added) {
    const auto begun = clients_->Add(lab::ClientMode::kFresh, ++clients_so_far_, false);
    ASSERT_TRUE(begun) << begun.error().Text();
  }
  AwaitRows();
}

void LabFixture::AwaitRows(std::uint64_t more, Duration limit) {
  const auto written = clients_->AwaitMore(more, limit, Patient());
  ASSERT_TRUE(written) << written.error().Text();
}

void LabFixture::AwaitRowsOn(const std::string& region, Duration limit) {
  const auto written = clients_->AwaitOn(region, lab::MonotonicNs(), limit, Patient());
  ASSERT_TRUE(written) << written.error().Text();
}

Duration LabFixture::LongestGap(std::int64_t since_ns) const {
  Duration longest{0};
  for (const lab::ClientRecord& record : clients_->Records()) {
    const auto gap = record.LongestGap(since_ns);
    if (gap) longest = std::max(longest, gap->Length());
  }
  return longest;
}

void LabFixture::Conclude(Duration limit) {
  ASSERT_NO_FATAL_FAILURE(AwaitWhole(limit));
  // Nothing that was begun hangs: it has ended, or the status would name it.
  Json running;
  EXPECT_TRUE(Eventually(
      [&] {
        running = MemberAt(StatusOf(kWitness), "execution");
        return running.is_null();
      },
      limit, 50ms))
      << running.dump();
  const std::string holder = Holder();
  for (const lab::LabRegion& region : lab_.regions) {
    EXPECT_TRUE(Eventually([&] { return lab::HolderOf(StatusOf(region.name.text)) == holder; }, 10s))
        << region.name.text << " does not see " << holder;
  }
  if (!clients_) return;
  AwaitRowsOn(holder);
  clients_->Stop();
  const std::vector<lab::ClientRecord> records = clients_->Records();
  CheckRows(records, holder);
  CheckOneWriter(records);
  clients_.reset();
}

/// G2 to G4: an acknowledged row is there, or a fault explains it and the ledger counts it.
void LabFixture::CheckRows(const std::vector<lab::ClientRecord>& records, const std::string& holder) const {
  std::vector<lab::ClientCheck> checks;
  for (const lab::ClientRecord& record : records) {
    auto check = lab::CheckRecord(record, lab_.Conninfo(holder, lab::kClientUser));
    ASSERT_TRUE(check) << check.error().Text();
    EXPECT_TRUE(check->unexpected.empty()) << check->name << ": row " << check->unexpected.front()
                                           << " is in the table though refused or never sent";
    EXPECT_GT(check->acknowledged, 0U) << check->name;
    checks.push_back(std::move(check).value());
  }
  std::int64_t from_ns = 0;
  for (const Fault& fault : faults_) {  // each fault answers for the rows up to it
    const std::int64_t to_ns = fault.account.fault_ns + kOnItsWayNs;
    const auto outside = [&](const lab::ClientRow& row) { return row.ended_ns <= from_ns || row.ended_ns > to_ns; };
    std::vector<lab::ClientRecord> part = records;
    std::vector<lab::ClientCheck> part_checks = checks;
    for (lab::ClientRecord& record : part) std::erase_if(record.rows, outside);
    for (lab::ClientCheck& check : part_checks) std::erase_if(check.missing, outside);
    const lab::LossAccount loss = lab::AccountForLoss(part, part_checks, fault.account);
    EXPECT_EQ(loss.other_rows, 0U) << "lost rows that the fault of " << fault.region << " does not explain";
    EXPECT_EQ(loss.Unaccounted(), 0U) << loss.failover_rows << " rows were lost with " << fault.region << ", and the ledger names "
                                      << fault.account.ledger_commits.value_or(0);
    from_ns = to_ns;
  }
  for (const lab::ClientCheck& check : checks) {
    const auto late = std::count_if(check.missing.begin(), check.missing.end(),
                                    [&](const lab::ClientRow& row) { return row.ended_ns > from_ns; });
    EXPECT_EQ(late, 0) << check.name << ": acknowledged rows are missing, the first is " << check.missing.front().n << " of "
                       << check.acknowledged;
  }
}

/// G1: the service moved no oftener than executions moved it. A second writer would show as a reign too many.
void LabFixture::CheckOneWriter(const std::vector<lab::ClientRecord>& records) const {
  const auto answer = lab::AskAny(lab_, "executions.list", Json::object(), kAskTimeout);
  ASSERT_TRUE(answer) << answer.error().Text();
  std::size_t moves = 0;
  for (const Json& json : MemberAt(*answer, "executions")) {
    const auto execution = ExecutionFromJson(json);
    ASSERT_TRUE(execution) << execution.error().Text();
    if (execution->kind == PlanKind::kRejoin || execution->began < clients_since_) continue;
    const StepRecord* promote = execution->Find("promote");
    if (promote != nullptr && promote->attempts > 0) ++moves;
  }
  const std::vector<std::string> reigns = ReignsIn(records);
  std::string said;
  for (const std::string& server : reigns) said += (said.empty() ? "" : ", ") + server;
  EXPECT_LE(reigns.size(), moves + 1) << "two regions acknowledged writes side by side: " << said;
}

bool HasBegun(const Execution& execution, const std::string& step) {
  const StepRecord* record = execution.Find(step);
  return record != nullptr && (record->state == StepState::kIntended || record->state == StepState::kDone);
}

std::vector<std::string> ReignsIn(const std::vector<lab::ClientRecord>& records) {
  struct Written {
    std::int64_t sent_ns;
    std::int64_t ended_ns;
    std::string server;
  };
  std::vector<Written> rows;
  for (const lab::ClientRecord& record : records) {
    for (const lab::ClientRow& row : record.rows) {
      if (row.fate == lab::RowFate::kAcknowledged) rows.push_back({row.sent_ns, row.ended_ns, record.servers.at(row.server)});
    }
  }
  std::sort(rows.begin(), rows.end(), [](const Written& a, const Written& b) { return a.ended_ns < b.ended_ns; });
  std::vector<std::string> reigns;
  std::int64_t first_of_reign_ns = 0;  // end of the first row that the present reign acknowledged
  for (const Written& row : rows) {
    if (!reigns.empty() && reigns.back() == row.server) continue;
    const bool of_the_one_before = reigns.size() > 1 && reigns[reigns.size() - 2] == row.server && row.sent_ns <= first_of_reign_ns;
    if (of_the_one_before) continue;
    reigns.push_back(row.server);
    first_of_reign_ns = row.ended_ns;
  }
  return reigns;
}

}  // namespace lifeboat::testing_support
