#include "support/operator_lab.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "adapters/system/processes.h"
#include "lab/lab.h"
#include "lab/sql.h"

namespace lifeboat::testing_support {

namespace fs = std::filesystem;

namespace {

constexpr Duration kRunTimeout = std::chrono::minutes(2);

std::string ReadAll(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

ProgramEnd RunCommandToEnd(std::vector<std::string> argv, CommandOptions options) {
  boost::asio::io_context io;
  std::optional<Result<CommandOutput>> output;
  auto run = [](boost::asio::any_io_executor executor, std::vector<std::string> command, CommandOptions how,
                std::optional<Result<CommandOutput>>* into) -> Task<> {
    into->emplace(co_await RunCommand(executor, std::move(command), std::move(how), kRunTimeout));
  };
  boost::asio::co_spawn(io, run(io.get_executor(), std::move(argv), std::move(options), &output),
                        [](const std::exception_ptr& error) {
                          if (error) std::rethrow_exception(error);
                        });
  io.run();
  if (output && *output) return {(*output)->exit_code, (*output)->out, (*output)->err};
  return {-1, "", output ? output->error().Text() : "it did not end"};
}

}  // namespace

Json ProgramEnd::AsJson() const {
  const auto json = ParseJson(out, "output");
  return json ? *json : Json();
}

ProgramEnd RunProgram(const fs::path& program, const std::vector<std::string>& arguments, const Environment& environment,
                      std::optional<RunAs> run_as) {
  std::vector<std::string> argv = {program.string()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  CommandOptions options;
  options.cwd = "/";
  options.environment = environment;
  options.run_as = std::move(run_as);
  return RunCommandToEnd(std::move(argv), std::move(options));
}

bool Eventually(const std::function<bool()>& holds, Duration patience) {
  const Instant deadline = ReadClocks() + patience;
  while (!holds()) {
    if (HasPassed(deadline, ReadClocks())) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

ScratchFolder::ScratchFolder() {
  std::string pattern = (fs::temp_directory_path() / "lifeboat-op-XXXXXX").string();
  path_ = fs::canonical(::mkdtemp(pattern.data()));
  EXPECT_EQ(::chmod(path_.c_str(), 0755), 0);
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string ChecksumOf(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::size_t sum = 0;
  for (const fs::path& file : files) {
    sum = sum * 1099511628211U ^ std::hash<std::string>()(file.string());
    if (fs::is_regular_file(fs::symlink_status(file))) sum = sum * 1099511628211U ^ std::hash<std::string>()(ReadAll(file));
  }
  return std::to_string(files.size()) + " entries, " + std::to_string(sum);
}

StoppedProcess::StoppedProcess(pid_t pid) : pid_(pid) {
  EXPECT_GT(pid, 1);
  if (pid_ > 1) {
    EXPECT_EQ(::kill(pid_, SIGSTOP), 0);
  }
}

void StoppedProcess::GoOn() {
  if (pid_ > 1) (void)::kill(pid_, SIGCONT);
  pid_ = 0;
}

lab::LabKnobs OperatorLab::ShortLease() {
  lab::LabKnobs knobs;
  knobs.lease = 1s;
  return knobs;
}

OperatorLab::OperatorLab(const fs::path& program, lab::LabKnobs knobs) {
  lab::LabOptions options;
  options.folder = scratch_.path() / "lab";
  options.program = program;
  options.knobs = std::move(knobs);
  // An observing lab never becomes whole by itself: its databases wait for a person.
  auto up = lab::Up(
      options, [](const std::string&) {}, [] { return true; });
  EXPECT_TRUE(up) << up.error().Text();
  if (up) info_ = *std::move(up);
  if (const auto owner = lab::OwnerFor()) owner_ = *owner;
}

OperatorLab::~OperatorLab() {
  const fs::path folder = scratch_.path() / "lab";
  if (::testing::Test::HasFailure()) {
    for (const char* region : {kEast, kWest, kWitness}) {
      const std::string log = ReadAll(folder / region / "log" / "agent.log");
      std::fprintf(stderr, "---- the end of the log of %s's agent\n%s\n", region,
                   log.substr(log.size() - std::min<std::size_t>(log.size(), 4000)).c_str());
    }
  }
  const auto down = lab::Down(folder);
  EXPECT_TRUE(down) << down.error().Text();
  EXPECT_FALSE(fs::exists(folder));
  EXPECT_TRUE(ProcessesWithin(folder.string()).empty());
}

ProgramEnd OperatorLab::Lifeboat(std::vector<std::string> arguments) const {
  return RunProgram(info_.Program(), arguments,
                    {{"LIFEBOAT_CONFIG", info_.Config().string()}, {"LIFEBOAT_LAB", info_.folder.string()}});
}

Json OperatorLab::Ask(std::vector<std::string> arguments) const {
  arguments.emplace_back("--json");
  return Lifeboat(std::move(arguments)).AsJson();
}

Json OperatorLab::Status(const std::string& region) const {
  return Ask(region.empty() ? std::vector<std::string>{"status"} : std::vector<std::string>{"status", "--region", region});
}

std::uint64_t OperatorLab::RuleOf(const std::string& region) const {
  return NumberAt(Ask({"explain", "--region", region}), "rule");
}

bool OperatorLab::Serves(const std::string& region) const {
  const Json status = Status();
  for (const Json& each : MemberAt(status, "regions")) {
    if (TextAt(each, "name") != region) continue;
    const Json& recovering = MemberAt(MemberAt(each, "database"), "in_recovery");
    return TextAt(each, "role") == "primary" && recovering.is_boolean() && !recovering.get<bool>();
  }
  return false;
}

bool OperatorLab::AwaitServes(const std::string& region) const {
  return Eventually([&] { return Serves(region); }, 10s);
}

bool OperatorLab::IsWhole(const std::string& primary) const {
  const Json status = Status();
  return TextAt(status, "verdict") == "healthy" && TextAt(MemberAt(status, "lease"), "holder") == primary;
}

bool OperatorLab::AwaitWhole(const std::string& primary) const {
  return Eventually([&] { return IsWhole(primary); }, 30s);
}

void OperatorLab::Kill(const std::string& region, const std::string& part) const {
  const auto killed = part.empty() ? lab::Kill(info_.folder, region) : lab::Kill(info_.folder, region, part);
  EXPECT_TRUE(killed) << killed.error().Text();
}

void OperatorLab::Start(const std::string& region) const {
  const auto started = lab::Start(info_.folder, region);
  EXPECT_TRUE(started) << started.error().Text();
}

void OperatorLab::BringBack(const std::string& region, const std::string& primary) const {
  Start(region);
  ProgramEnd rejoined;
  EXPECT_TRUE(Eventually([&] {
    rejoined = Lifeboat({"rejoin", region});
    return rejoined.exit_code == 0;
  })) << rejoined.Said();
  EXPECT_TRUE(AwaitWhole(primary)) << Lifeboat({"status"}).Said();
}

std::optional<std::string> OperatorLab::Sql(const std::string& region, const std::string& sql) const {
  const auto connection = lab::ConnectTo(info_.Conninfo(region, "postgres"));
  if (!connection) return std::nullopt;
  const auto rows = lab::Query(*connection, sql);
  if (!rows) return std::nullopt;
  return rows->empty() || rows->front().empty() ? std::string() : rows->front().front();
}

void OperatorLab::Fill(const std::string& region, int mib) const {
  // Stored as it is: a megabyte of text is a megabyte of WAL.
  const auto filled = Sql(region,
                          "CREATE TABLE IF NOT EXISTS filler (t text); ALTER TABLE filler ALTER t SET STORAGE EXTERNAL;"
                          "INSERT INTO filler SELECT repeat(md5(n::text), 32768) FROM generate_series(1, " +
                              std::to_string(mib) + ") n; SELECT 'done'");
  EXPECT_EQ(filled, "done");
}

pid_t OperatorLab::ServerProcess(const std::string& region, const std::string& word) const {
  for (const pid_t pid : ProcessesWithin(Data(region).string())) {
    if (ReadAll("/proc/" + std::to_string(pid) + "/cmdline").find(word) != std::string::npos) return pid;
  }
  return 0;
}

pid_t OperatorLab::PidOf(const std::string& region, const std::string& part) const {
  std::ifstream file(Folder(region) / "run" / (part + ".pid"));
  pid_t pid = 0;
  if (!(file >> pid) || !IsAlive(pid)) return 0;
  return pid;
}

ProgramEnd OperatorLab::Tool(const std::vector<std::string>& argv) const {
  CommandOptions options;
  options.cwd = "/";
  options.run_as = owner_;
  return RunCommandToEnd(argv, std::move(options));
}

}  // namespace lifeboat::testing_support
