// 'lifeboat lab' with networks, as an operator types it; two labs side by side; and nothing of it left afterwards, whatever
// happened.

#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <thread>

#include "adapters/system/processes.h"
#include "lab/lab.h"
#include "support/operator_lab.h"

namespace lifeboat::testing_support {
namespace {

namespace fs = std::filesystem;

bool Holds(const std::string& text, const std::string& word) { return text.find(word) != std::string::npos; }

class NetworkCommands : public testing::Test {
 protected:
  void SetUp() override {
    const auto possible = lab::CanMakeNetworks();
    ASSERT_TRUE(possible) << "this test needs root and network namespaces: " << possible.error().Text();
  }
  void TearDown() override {
    for (const char* name : {"one", "two"}) (void)Run(name, {"down"});
  }
  ProgramEnd Run(const std::string& name, std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "lab");
    return RunProgram(LIFEBOAT_PROGRAM, arguments, {{"LIFEBOAT_LAB", (scratch_.path() / name).string()}});
  }
  /// Names of the lab's namespaces and of its link that exist at this moment.
  [[nodiscard]] std::vector<std::string> LeftOf(const lab::LabNetwork& network) const {
    std::vector<std::string> left;
    for (const auto& [folder, word] :
         {std::pair("/run/netns", "lifeboat-" + network.id), std::pair("/sys/class/net", network.host_link)}) {
      for (const auto& entry : fs::directory_iterator(folder)) {
        if (Holds(entry.path().filename().string(), word)) left.push_back(entry.path().string());
      }
    }
    return left;
  }

  ScratchFolder scratch_;
};

TEST_F(NetworkCommands, ShowWhatIsCutAndFrozenAndLeaveNothingBehind) {
  // given: two labs, begun at the same time
  ProgramEnd other;
  std::thread beside([&] { other = Run("two", {"up", "--lease", "1"}); });
  const ProgramEnd up = Run("one", {"up", "--lease", "1", "--network", "namespaces"});
  beside.join();
  ASSERT_EQ(up.exit_code, 0) << up.Said();
  ASSERT_EQ(other.exit_code, 0) << other.Said();
  const auto one = lab::ReadLab(scratch_.path() / "one");
  const auto two = lab::ReadLab(scratch_.path() / "two");
  ASSERT_TRUE(one && two && one->network && two->network) << "as root, a lab has networks by itself";
  EXPECT_NE(one->network->subnet, two->network->subnet);
  EXPECT_EQ(LeftOf(*one->network).size(), 5U) << "three regions, the bridge, the link";

  // when, then: cuts add up, and each command says what is cut
  EXPECT_TRUE(Holds(Run("one", {"status"}).out, "network: namespaces, nothing is cut"));
  EXPECT_TRUE(Holds(Run("one", {"cut", kWest, kWitness, "--one-way"}).out, "CUT us-west-2 > eu-west-1"));
  EXPECT_TRUE(Holds(Run("one", {"cut", kWest, kWitness}).out, "CUT eu-west-1 <> us-west-2"));
  EXPECT_EQ(Run("one", {"cut", kWitness, "clients"}).exit_code, 0);
  EXPECT_TRUE(Holds(Run("one", {"status"}).out, "CUT clients <> eu-west-1, eu-west-1 <> us-west-2"));
  EXPECT_TRUE(Holds(Run("one", {"heal", "clients"}).out, "CUT eu-west-1 <> us-west-2"));
  EXPECT_TRUE(Holds(Run("one", {"heal"}).out, "nothing is cut"));
  EXPECT_EQ(Run("one", {"heal"}).exit_code, 0) << "twice is fine";
  EXPECT_TRUE(Holds(Run("two", {"status"}).out, "nothing is cut"));

  EXPECT_EQ(Run("one", {"freeze", kWest, "agent"}).exit_code, 0);
  EXPECT_TRUE(Holds(Run("one", {"status"}).out, "FROZEN"));
  EXPECT_TRUE(Holds(Run("one", {"thaw"}).out, "thawed 1 processes"));
  EXPECT_FALSE(Holds(Run("one", {"status"}).out, "FROZEN"));

  // what makes no sense is refused, with what would
  const std::pair<std::vector<std::string>, const char*> refused[] = {
      {{"cut", "mars"}, "what can be cut is 'us-east-1'"},           {{"cut", kEast, kEast}, "cannot be cut from itself"},
      {{"cut", kEast, "--one-way"}, "a one-way cut needs two ends"}, {{"heal", kEast, "mars"}, "no region 'mars'"},
      {{"freeze", kWitness, "database"}, "holds no database"},       {{"freeze", kEast, "engine"}, "its parts are 'database'"},
  };
  for (const auto& [command, words] : refused) {
    const ProgramEnd end = Run("one", command);
    EXPECT_EQ(end.exit_code, 3) << end.Said();
    EXPECT_TRUE(Holds(end.err, words)) << end.Said();
  }

  // a region that is started again is where it was
  ASSERT_EQ(Run("one", {"kill", kWest}).exit_code, 0);
  ASSERT_EQ(Run("one", {"start", kWest}).exit_code, 0);
  EXPECT_TRUE(Eventually([&] { return Holds(Run("one", {"status"}).out, "a standby could take over"); }))
      << Run("one", {"status"}).Said();

  // when: its description is lost and everything is killed; then: down removes it all the same, and nothing of the other
  fs::remove(scratch_.path() / "one" / "lab.json");
  const ProgramEnd down = Run("one", {"down"});
  EXPECT_EQ(down.exit_code, 0) << down.Said();
  EXPECT_EQ(LeftOf(*one->network), std::vector<std::string>());
  EXPECT_EQ(LeftOf(*two->network).size(), 5U);
  EXPECT_TRUE(Holds(Run("two", {"status"}).out, "a standby could take over"));
  EXPECT_EQ(Run("two", {"down"}).exit_code, 0);
  EXPECT_EQ(LeftOf(*two->network), std::vector<std::string>());
}

TEST_F(NetworkCommands, DownRemovesWhatAnUpThatWasKilledHadMade) {
  // given: killed as soon as anything of its network exists
  SpawnOptions options;
  options.environment = {{"LIFEBOAT_LAB", (scratch_.path() / "one").string()}};
  const auto up = SpawnDetached({LIFEBOAT_PROGRAM, "lab", "up", "--network", "namespaces"}, options);
  ASSERT_TRUE(up) << up.error().Text();
  std::optional<lab::LabNetwork> network;
  std::vector<std::string> namespaces;
  ASSERT_TRUE(Eventually([&] {
    namespaces.clear();
    if (!network) network = lab::ReadNetwork(scratch_.path() / "one", namespaces);
    return network && !LeftOf(*network).empty();
  }));
  const auto process = IdentifyProcess(*up);
  ASSERT_TRUE(process);
  ASSERT_TRUE(SignalProcess(*process, SIGKILL));
  ASSERT_TRUE(Eventually([&] { return !IsAlive(*process); }));

  // when
  const ProgramEnd down = Run("one", {"down"});

  // then: also what the ip that was just running had still made
  EXPECT_EQ(down.exit_code, 0) << down.Said();
  EXPECT_EQ(LeftOf(*network), std::vector<std::string>());
  EXPECT_FALSE(fs::exists(scratch_.path() / "one"));
}

TEST(LoopbackLab, SaysWhatItCannotShow) {
  const ScratchFolder scratch;
  lab::LabOptions options;
  options.folder = scratch.path() / "lab";
  options.program = LIFEBOAT_PROGRAM;
  options.start_processes = false;
  const auto up = lab::Up(
      options, [](const std::string&) {}, [] { return true; });
  ASSERT_TRUE(up) << up.error().Text();
  const auto cut = lab::Cut(options.folder, kEast);
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().retry, Retry::kRefused);
  EXPECT_TRUE(Holds(cut.error().Text(), "no packets can be dropped") && Holds(cut.error().Text(), "--network namespaces"));
  EXPECT_TRUE(lab::Down(options.folder));
}

}  // namespace
}  // namespace lifeboat::testing_support
