#include "lab/heavy_load.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <thread>
#include <vector>

#include "adapters/system/descriptor.h"
#include "lab/agents.h"
#include "lab/client_group.h"
#include "lab/tools.h"

namespace lifeboat::lab {

namespace fs = std::filesystem;

namespace {

constexpr Duration kAsk = 5s;  // agents are busy too
constexpr int kScale = 20;     // about 300 MB: more than the server's buffers
constexpr std::size_t kChunk = 8U << 20U;
constexpr const char* kClients = "8";
constexpr int kClientNumber = 900;

struct State {
  std::string holder;
  std::uint64_t epoch = 0;
  std::uint64_t kills = 0;
};

Result<State> Look(const LabInfo& lab) {
  const auto status = AskAny(lab, "status", Json::object(), kAsk);
  if (!status) return status.error();
  State state;
  state.holder = HolderOf(*status);
  state.epoch = NumberAt(MemberAt(*status, "lease"), "epoch");
  for (const Json& region : MemberAt(*status, "regions")) state.kills += NumberAt(MemberAt(region, "guard"), "kills");
  return state;
}

void Spin(const std::stop_token& stop) {
  volatile std::uint64_t number = 0;
  while (!stop.stop_requested()) number = number + 1;
}

/// Writes and syncs without a pause, in a file that is removed at the end.
void WriteAndSync(const std::stop_token& stop, const fs::path& file) {
  {
    const Descriptor out(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    const std::vector<char> chunk(kChunk, 'x');
    for (std::size_t turn = 0; out.ok() && !stop.stop_requested(); ++turn) {
      const off_t place = static_cast<off_t>(turn % 16 * kChunk);
      if (::pwrite(out.number(), chunk.data(), chunk.size(), place) < 0 || ::fsync(out.number()) != 0) break;
    }
  }
  std::error_code ignored;
  fs::remove(file, ignored);
}

/// The number behind "tps = " in pgbench's report.
double TpsIn(const std::string& report) {
  const std::size_t at = report.find("tps = ");
  return at == std::string::npos ? 0 : std::strtod(report.c_str() + at + 6, nullptr);
}

std::uint64_t RunsOfRefusals(const ClientRecord& record) {
  std::uint64_t runs = 0;
  bool refused = false;
  for (const ClientRow& row : record.rows) {
    if (row.fate == RowFate::kRefused && !refused) ++runs;
    refused = row.fate == RowFate::kRefused || (refused && row.fate != RowFate::kAcknowledged);
  }
  return runs;
}

}  // namespace

Result<FenceCount> CountFencesUnderLoad(const LabInfo& lab, Duration length, const std::function<bool()>& go_on) {
  const auto before = Look(lab);
  if (!before) return before.error();
  const std::string conninfo = lab.Conninfo(before->holder, "postgres");
  const std::string pgbench = lab.bin_directory + "/pgbench";
  if (auto made = RunTool({pgbench, "-i", "-q", "-s", std::to_string(kScale), conninfo}, "/", std::nullopt, 120s); !made)
    return made.error();

  ClientGroup clients(lab);
  if (auto added = clients.Add(ClientMode::kFresh, kClientNumber, false); !added) return added.error();
  if (auto writes = clients.AwaitMore(100, 30s, [&go_on](const std::string&) { return go_on(); }); !writes) return writes.error();
  const std::int64_t since_ns = MonotonicNs();
  std::optional<Result<std::string>> benched;
  {
    const long seconds = static_cast<long>(std::chrono::duration_cast<std::chrono::seconds>(length).count());
    std::jthread bench([&] {
      benched = RunTool({pgbench, "-n", "-c", kClients, "-j", "2", "-T", std::to_string(seconds), conninfo}, "/", std::nullopt,
                        length + 60s);
    });
    std::vector<std::jthread> hogs;
    for (unsigned core = 0; core < std::max(1U, std::thread::hardware_concurrency()); ++core) hogs.emplace_back(Spin);
    hogs.emplace_back([&lab](const std::stop_token& stop) { WriteAndSync(stop, lab.folder / "load.tmp"); });
    const Instant until = ReadClocks() + length;
    while (!HasPassed(until, ReadClocks()) && go_on()) std::this_thread::sleep_for(250ms);
  }
  clients.Stop();
  if (!go_on()) return Fail("interrupted");

  const auto after = Look(lab);
  if (!after) return after.error();
  const ClientRecord record = clients.Records().front();
  FenceCount count;
  count.epochs = after->epoch - before->epoch;
  count.kills = after->kills - std::min(before->kills, after->kills);
  count.closings = RunsOfRefusals(record);
  if (const auto gap = record.LongestGap(since_ns)) count.longest_gap_s = Seconds(gap->Length());
  // A primary that was fenced ended pgbench too: the count says so.
  if (benched && benched->ok()) count.pgbench_tps = TpsIn(**benched);
  if (benched && !benched->ok() && count.Fences() == 0) return benched->error();
  double load = 0;
  if (::getloadavg(&load, 1) == 1) count.load = load;
  return count;
}

}  // namespace lifeboat::lab
