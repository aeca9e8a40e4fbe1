// The lab on this machine, with real PostgreSQL, Knot DNS and processes; the agents are stand-ins (a script that sleeps),
// since what is tested here is what the lab itself promises.

#include "lab/lab.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "adapters/system/processes.h"
#include "config/settings.h"
#include "lab/client.h"
#include "lab/resolve.h"
#include "lab/sql.h"
#include "lab/supervisor.h"
#include "lab/tools.h"

namespace lifeboat::lab {
namespace {

namespace fs = std::filesystem;

// Looks until `holds`, at most ten seconds.
template <typename Condition>
bool Eventually(const Condition& holds) {
  const Instant deadline = ReadClocks() + 10s;
  while (!holds()) {
    if (HasPassed(deadline, ReadClocks())) return false;
    std::this_thread::sleep_for(5ms);
  }
  return true;
}

class LabTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "lifeboat-lab-test-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    base_ = name;
    ASSERT_EQ(::chmod(name.c_str(), 0755), 0);
    script_ = base_ / "stand-in";
    std::ofstream(script_)
        << "#!/bin/sh\n(cd / && exec sleep 600) &\necho $! > tool.pid\nwait\n";  // a part, and a tool of it elsewhere
    ASSERT_EQ(::chmod(script_.c_str(), 0755), 0);
  }

  void TearDown() override {
    for (const fs::path& folder : folders_) {
      const auto down = Down(folder);
      EXPECT_TRUE(down) << down.error().Text();
      EXPECT_FALSE(fs::exists(folder));
    }
    for (const pid_t pid : supervisors_) ::waitpid(pid, nullptr, 0);
    fs::remove_all(base_);
  }

  fs::path NewFolder(const std::string& name) {
    folders_.push_back(base_ / name);
    return folders_.back();
  }

  Result<LabInfo> Build(const std::string& name) {
    LabOptions options;
    options.folder = NewFolder(name);
    options.program = script_;
    options.start_processes = false;
    return Up(
        options, [](const std::string&) {}, [] { return true; });
  }

  void StartSupervisor(const LabInfo& lab, const std::string& region) {
    const pid_t pid = ::fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      const auto owner = OwnerFor();
      if (owner && *owner && (::setgid((*owner)->gid) != 0 || ::setuid((*owner)->uid) != 0)) ::_exit(99);
      ::setenv(kPlaceVariable, lab.FolderOf(region).c_str(), 1);
      ::_exit(RunSupervisor(lab.folder, region));
    }
    supervisors_.push_back(pid);
  }

  // Starts the region's PostgreSQL as a primary, which in a lab only an agent under a lease does.
  void StartPrimary(const LabInfo& lab, const std::string& region) {
    const fs::path folder = lab.FolderOf(region);
    fs::remove(folder / "data" / "standby.signal");
    const auto owner = OwnerFor();
    ASSERT_TRUE(owner);
    const auto started = RunTool({lab.bin_directory + "/pg_ctl", "start", "-w", "-D", (folder / "data").string(), "-l",
                                  (folder / "log" / "postgresql.log").string()},
                                 (folder / "run").string(), *owner, 30s);
    ASSERT_TRUE(started) << started.error().Text();
  }

  static std::vector<pid_t> Live(const fs::path& folder) { return ProcessesWithin(folder.string()); }

  static std::optional<pid_t> PidOf(const LabInfo& lab, const std::string& region, const std::string& part) {
    std::ifstream file(lab.FolderOf(region) / "run" / (part + ".pid"));
    pid_t pid = 0;
    if (!(file >> pid) || !IsAlive(pid)) return std::nullopt;
    return pid;
  }

  // The System V segment of a running server: line 7 of postmaster.pid is "key id".
  static int SharedMemoryOf(const fs::path& data) {
    std::ifstream file(data / "postmaster.pid");
    std::string line;
    for (int number = 0; number < 7; ++number) std::getline(file, line);
    int id = -1;
    return std::sscanf(line.c_str(), "%*u %d", &id) == 1 ? id : -1;
  }

  fs::path base_;
  fs::path script_;
  std::vector<fs::path> folders_;
  std::vector<pid_t> supervisors_;
};

ClientOptions Writer(const LabInfo& lab, int number, ClientMode mode) {
  ClientOptions options;
  options.number = number;
  options.name = std::string(ToString(mode)) + "-" + std::to_string(number);
  options.mode = mode;
  options.dns_server = lab.dns;
  options.dns_name = kDnsName;
  options.port = lab.postgres_port;
  for (const LabRegion& region : lab.regions) {
    if (region.kind == RegionKind::kData) options.hosts.push_back(region.address);
  }
  options.user = kClientUser;
  options.database = kDatabase;
  options.password_file = lab.PasswordFile().string();
  return options;
}

TEST_F(LabTest, WritesAConfigurationThatLoads) {
  const auto lab = Build("lab");
  ASSERT_TRUE(lab) << lab.error().Text();

  const auto settings = LoadSettings(lab->Config());

  ASSERT_TRUE(settings) << settings.error().Text();
  EXPECT_EQ(settings->service, "orders");
  EXPECT_EQ(settings->first_primary.text, "us-east-1");
  EXPECT_EQ(settings->store.host.text, "eu-west-1");
  ASSERT_EQ(settings->regions.size(), 3U);
  EXPECT_EQ(settings->regions[1].database->address, (Endpoint{lab->regions[1].address, lab->postgres_port}));
  EXPECT_EQ(settings->lease.length, Duration(3s));
  const auto read = ReadLab(lab->folder);
  ASSERT_TRUE(read) << read.error().Text();
  EXPECT_EQ(LabJson(*read), LabJson(*lab));
}

TEST_F(LabTest, TwoLabsAtOnceHaveDifferentAddresses) {
  const auto one = Build("one");
  ASSERT_TRUE(one) << one.error().Text();
  StartPrimary(*one, "us-east-1");

  const auto two = Build("two");

  ASSERT_TRUE(two) << two.error().Text();
  EXPECT_NE(one->slot, two->slot);
  StartPrimary(*two, "us-east-1");
  ASSERT_TRUE(ConnectTo(one->Conninfo("us-east-1", kClientUser)));
  ASSERT_TRUE(ConnectTo(two->Conninfo("us-east-1", kClientUser)));
}

TEST_F(LabTest, AServerThatIsStartedByAnyoneComesUpAsAStandby) {
  const auto lab = Build("lab");
  ASSERT_TRUE(lab) << lab.error().Text();
  for (const char* region : {"us-east-1", "us-west-2"})
    EXPECT_TRUE(fs::exists(lab->FolderOf(region) / "data" / "standby.signal")) << region;
}

TEST_F(LabTest, KillsEveryProcessOfARegionAtOneInstantAndNoOther) {
  // given: two regions with supervisor and parts, one with PostgreSQL as well
  const auto lab = Build("lab");
  ASSERT_TRUE(lab) << lab.error().Text();
  StartPrimary(*lab, "us-east-1");
  StartSupervisor(*lab, "us-east-1");
  StartSupervisor(*lab, "us-west-2");
  ASSERT_TRUE(Eventually([&] { return PidOf(*lab, "us-east-1", "agent") && PidOf(*lab, "us-east-1", "guard"); }));
  ASSERT_TRUE(Eventually([&] { return PidOf(*lab, "us-west-2", "agent") && PidOf(*lab, "us-west-2", "guard"); }));
  const auto agent = PidOf(*lab, "us-west-2", "agent");
  pid_t tool = 0;
  ASSERT_TRUE(Eventually([&] { return std::ifstream(lab->FolderOf("us-east-1") / "run" / "tool.pid") >> tool && IsAlive(tool); }));
  const int segment = SharedMemoryOf(lab->FolderOf("us-east-1") / "data");
  shmid_ds state{};
  ASSERT_EQ(::shmctl(segment, IPC_STAT, &state), 0);

  // when
  const std::int64_t before_ns = MonotonicNs();
  const auto killed = Kill(lab->folder, "us-east-1");

  // then: nothing of the region is left, nor does anything come back; the other region never noticed
  ASSERT_TRUE(killed) << killed.error().Text();
  EXPECT_GE(killed->monotonic_ns, before_ns);
  EXPECT_GE(killed->killed.size(), 8U);  // supervisor, guard, agent, postmaster and its five
  EXPECT_TRUE(Live(lab->FolderOf("us-east-1")).empty());
  EXPECT_EQ(PidOf(*lab, "us-west-2", "agent"), agent);
  EXPECT_FALSE(IsAlive(tool));                        // it stood in "/"
  EXPECT_NE(::shmctl(segment, IPC_STAT, &state), 0);  // nor its shared memory, which outlives processes
  EXPECT_FALSE(ConnectTo(lab->Conninfo("us-east-1", kClientUser)));
}

TEST_F(LabTest, ASupervisorStartsAgainWhatEndsAndANewOneTakesOver) {
  const auto lab = Build("lab");
  ASSERT_TRUE(lab) << lab.error().Text();
  StartSupervisor(*lab, "us-west-2");
  ASSERT_TRUE(Eventually([&] { return PidOf(*lab, "us-west-2", "agent") && PidOf(*lab, "us-west-2", "guard"); }));
  const auto first = PidOf(*lab, "us-west-2", "agent");

  ASSERT_TRUE(Kill(lab->folder, "us-west-2", "agent"));
  ASSERT_TRUE(Eventually([&] { return PidOf(*lab, "us-west-2", "agent").has_value(); }));
  const auto second = PidOf(*lab, "us-west-2", "agent");
  EXPECT_NE(first, second);

  ASSERT_TRUE(Kill(lab->folder, "us-west-2", "supervisor"));
  StartSupervisor(*lab, "us-west-2");
  ASSERT_TRUE(Eventually([&] { return PidOf(*lab, "us-west-2", "supervisor").has_value(); }));
  ASSERT_TRUE(Kill(lab->folder, "us-west-2", "guard"));
  ASSERT_TRUE(Eventually([&] { return PidOf(*lab, "us-west-2", "guard").has_value(); }));
  EXPECT_EQ(PidOf(*lab, "us-west-2", "agent"), second);  // taken over, not started twice
}

TEST_F(LabTest, DownAfterACrashOfAHalfBuiltLabLeavesNoProcessAndNoFile) {
  // given: whoever builds the lab is killed in the middle of it
  const fs::path folder = NewFolder("lab");
  const pid_t builder = ::fork();
  ASSERT_GE(builder, 0);
  if (builder == 0) {
    LabOptions options;
    options.folder = folder;
    options.program = script_;
    options.start_processes = false;
    ::_exit(Up(
                options, [](const std::string&) {}, [] { return true; })
                ? 0
                : 1);
  }
  ASSERT_TRUE(Eventually([&] { return !Live(folder).empty(); }));
  ASSERT_EQ(::kill(builder, SIGKILL), 0);
  ::waitpid(builder, nullptr, 0);
  ASSERT_FALSE(Live(folder).empty());

  // when, then: also twice
  for (int time = 1; time <= 2; ++time) {
    const auto down = Down(folder);
    ASSERT_TRUE(down) << down.error().Text();
    EXPECT_TRUE(Live(folder).empty());
    EXPECT_FALSE(fs::exists(folder));
  }
}

TEST_F(LabTest, NeverTouchesAFolderThatIsNoLab) {
  const fs::path folder = base_ / "precious";
  fs::create_directory(folder);
  std::ofstream(folder / "work") << "mine";

  const auto down = Down(folder);
  LabOptions options;
  options.folder = folder;
  options.program = script_;  // never this test program: were the check broken, a lab of it would run these tests again
  options.start_processes = false;
  const auto up = Up(
      options, [](const std::string&) {}, [] { return true; });

  ASSERT_FALSE(down);
  EXPECT_EQ(down.error().retry, Retry::kRefused);
  ASSERT_FALSE(up);
  EXPECT_EQ(up.error().retry, Retry::kRefused);
  EXPECT_TRUE(fs::exists(folder / "work"));
}

TEST_F(LabTest, ClientsFindTheServerByNameAndByBothAddresses) {
  // given: the name server answers the primary's address, set by the update that an agent would send
  const auto lab = Build("lab");
  ASSERT_TRUE(lab) << lab.error().Text();
  StartPrimary(*lab, "us-east-1");
  StartSupervisor(*lab, "eu-west-1");
  ASSERT_TRUE(Eventually([&] {
    const auto answer = ResolveAt(lab->dns, kDnsName, 200ms);
    return !answer && answer.error().retry == Retry::kNotFound;  // it serves, and the name is not there yet
  }));
  const fs::path commands = base_ / "update";
  std::ifstream key_file(lab->KeyFile());
  std::string key;
  std::getline(key_file, key);
  std::ofstream(commands) << "server " << lab->dns.host << " " << lab->dns.port << "\nkey hmac-sha256:lifeboat. " << key
                          << "\nzone " << kDnsZone << "\nadd " << kDnsName << " 1 A " << lab->regions[0].address << "\nsend\n";
  const auto updated = RunTool({"knsupdate", commands.string()}, "/", std::nullopt, 10s);
  ASSERT_TRUE(updated) << updated.error().Text();

  // when
  std::vector<std::unique_ptr<Client>> clients;
  int number = 0;
  for (const ClientMode mode : {ClientMode::kFresh, ClientMode::kTtl, ClientMode::kMultihost}) {
    clients.push_back(std::make_unique<Client>(Writer(*lab, ++number, mode)));
    ASSERT_TRUE(clients.back()->Start());
  }

  // then: all write, and the table holds exactly what they were told
  for (const auto& client : clients) {
    EXPECT_TRUE(Eventually([&] { return client->Acknowledged() > 20; })) << client->options().name << ": " << client->LastProblem();
    client->Stop();
    const auto check = CheckRecord(client->Record(), lab->Conninfo("us-east-1", kClientUser));
    ASSERT_TRUE(check) << check.error().Text();
    EXPECT_EQ(check->acknowledged, client->Acknowledged());
    EXPECT_TRUE(check->missing.empty());
    EXPECT_TRUE(check->unexpected.empty());
  }
}

TEST_F(LabTest, TheCheckNamesEveryAcknowledgedRowThatIsMissingAndEveryRowThatNobodySent) {
  // given: a client that wrote, and whose server is killed under it
  const auto lab = Build("lab");
  ASSERT_TRUE(lab) << lab.error().Text();
  StartPrimary(*lab, "us-east-1");
  Client client(Writer(*lab, 7, ClientMode::kMultihost));
  ASSERT_TRUE(client.Start());
  ASSERT_TRUE(Eventually([&] { return client.Acknowledged() > 50; })) << client.LastProblem();
  pid_t postmaster = 0;
  std::ifstream(lab->FolderOf("us-east-1") / "data" / "postmaster.pid") >> postmaster;
  ASSERT_TRUE(Kill(lab->folder, "us-east-1", "database"));
  const std::uint64_t at_kill = client.Acknowledged();
  ASSERT_TRUE(Eventually([&] { return ::kill(postmaster, 0) != 0; }));  // init has collected it: PostgreSQL asks for that
  StartPrimary(*lab, "us-east-1");
  ASSERT_TRUE(Eventually([&] { return client.Acknowledged() > at_kill + 20; })) << client.LastProblem();
  client.Stop();
  const ClientRecord record = client.Record();

  // when: two acknowledged rows vanish and one appears
  const auto connection = ConnectTo(lab->Conninfo("us-east-1", "postgres"));
  ASSERT_TRUE(connection) << connection.error().Text();
  ASSERT_TRUE(Query(*connection, "DELETE FROM ledger_rows WHERE client = 7 AND n IN (3, 5)"));
  ASSERT_TRUE(Query(*connection, "INSERT INTO ledger_rows(client, n) VALUES (7, 1000000)"));
  const auto check = CheckRecord(record, lab->Conninfo("us-east-1", kClientUser));

  // then
  ASSERT_TRUE(check) << check.error().Text();
  ASSERT_EQ(check->missing.size(), 2U);
  EXPECT_EQ(check->missing[0].n, 3U);
  EXPECT_EQ(check->missing[1].n, 5U);
  EXPECT_EQ(check->unexpected, std::vector<std::uint64_t>{1000000});
  EXPECT_EQ(check->acknowledged, record.Count(RowFate::kAcknowledged));
  for (std::size_t at = 1; at < record.rows.size(); ++at) EXPECT_EQ(record.rows[at].n, record.rows[at - 1].n + 1);  // never repeats
  EXPECT_FALSE(record.Outages(20ms).empty());
}

}  // namespace
}  // namespace lifeboat::lab
