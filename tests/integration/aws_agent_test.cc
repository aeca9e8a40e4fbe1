// The program with its store in DynamoDB: credentials and endpoint by the usual environment, the table named in lifeboat.yaml.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

// Before the others: it speaks of GoogleTest as "testing", which they make a namespace of ours.
#include "support/operator_lab.h"

#include "support/aws_client.h"
#include "support/real_aws.h"

namespace lifeboat::testing {
namespace {

using ::testing::HasSubstr;
using testing_support::Environment;
using testing_support::Eventually;
using testing_support::ProgramEnd;
using testing_support::RunProgram;

constexpr const char* kRegion = "eu-west-1";

std::uint16_t FreePort() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ::bind(socket, reinterpret_cast<const sockaddr*>(&address), size);
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(socket);
  return ntohs(address.sin_port);
}

/// The witness's agent of a service whose data regions are not there.
class AwsAgentTest : public ::testing::TestWithParam<AwsEmulator> {
 protected:
  AwsAgentTest() {
    Write("token", RandomHex(32) + "\n");
    Write("dns.key", "c2VjcmV0IG9mIHRoZSB0ZXN0cyBmb3IgdGhlIG5hbWU=\n");
    Write("lifeboat.yaml", Config());
  }
  ~AwsAgentTest() override { End(); }

  void Write(const std::string& name, const std::string& text) const {
    const std::filesystem::path file = folder_.path() / name;
    std::ofstream(file) << text;
    std::filesystem::permissions(file, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  }
  std::string Data(const std::string& name) {
    const std::string base = (folder_.path() / name).string();
    return "  - name: " + name + "\n    agent: 127.0.0.1:" + std::to_string(FreePort()) + "\n    state_directory: " + base +
           "\n    database: {address: '127.0.0.1:" + std::to_string(FreePort()) + "', data_directory: " + base +
           "-data, socket_directory: " + base + "-run}\n";
  }
  std::string Config() {
    const std::string folder = folder_.path().string();
    return "service: orders\nobjectives: {rto: 5s, rpo: 5s}\nstore: {kind: dynamodb, table: " + table_ + ", aws_regions: [" +
           kRegion + "]}\nregions:\n" + Data("us-east-1") + Data("us-west-2") +
           "  - name: eu-west-1\n    kind: witness\n    agent: 127.0.0.1:" + std::to_string(FreePort()) +
           "\n    state_directory: " + folder +
           "/witness\nfirst_primary: us-east-1\n"
           "dns: {name: orders-db.example.net., zone: example.net., server: '127.0.0.1:" +
           std::to_string(FreePort()) + "', key_name: lifeboat, key_file: " + folder + "/dns.key}\ntoken_file: " + folder +
           "/token\n";
  }
  Environment Surroundings() const {
    return {{"AWS_ENDPOINT_URL", road_.Url()},
            {"AWS_ACCESS_KEY_ID", kAwsAccessKey},
            {"AWS_SECRET_ACCESS_KEY", kAwsSecretKey},
            {"AWS_EC2_METADATA_DISABLED", "true"}};
  }
  void Begin() {
    std::filesystem::create_directory(folder_.path() / "witness");
    const std::string config = (folder_.path() / "lifeboat.yaml").string();
    const std::string log = (folder_.path() / "agent.log").string();
    const Environment surroundings = Surroundings();
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (const auto& [name, value] : surroundings) ::setenv(name.c_str(), value.c_str(), 1);
    const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    ::dup2(out, STDOUT_FILENO);
    ::dup2(out, STDERR_FILENO);
    ::execl(LIFEBOAT_PROGRAM, "lifeboat", "agent", "--region", kRegion, "--config", config.c_str(), static_cast<char*>(nullptr));
    ::_exit(127);
  }
  void End() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  ProgramEnd Ask(const std::string& command) const {
    return RunProgram(LIFEBOAT_PROGRAM, {command, "--region", kRegion, "--config", (folder_.path() / "lifeboat.yaml").string()});
  }
  std::string Log() const {
    std::ifstream in(folder_.path() / "agent.log");
    return {std::istreambuf_iterator<char>(in), {}};
  }
  ::testing::AssertionResult Says(const std::string& command, const std::string& words) {
    std::string said;
    const bool heard = Eventually(
        [&] {
          said = Ask(command).Said();
          return said.find(words) != std::string::npos;
        },
        std::chrono::seconds(60));
    if (heard) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "'" << words << "' is not in:\n" << said << "\nthe agent's log:\n" << Log();
  }

  RealAws& aws_ = SharedAws(GetParam());
  AwsRoad road_{aws_};
  const std::string table_ = "lifeboat-" + RandomHex(6);
  lifeboat::testing_support::ScratchFolder folder_;
  pid_t pid_ = -1;
};

TEST_P(AwsAgentTest, AnAgentWorksWithItsTableAndSaysWhenItCannot) {
  Begin();
  EXPECT_TRUE(Says("check", "there is no table '" + table_ + "'"));
  MakeStoreTable(aws_.Url(), kRegion, table_);
  EXPECT_TRUE(Says("check", "the store in DynamoDB answers (incarnation 1)"));
  EXPECT_TRUE(Says("check", "'store.aws_regions' names one region: its loss takes the store with it"));
  EXPECT_TRUE(Says("status", "DynamoDB, table " + table_ + " in eu-west-1, answers"));
  road_.Faults({{{"do", "silent"}, {"service", "dynamodb"}}});
  EXPECT_TRUE(Says("check", "the store in DynamoDB does not answer"));
  road_.Clear();
  EXPECT_TRUE(Says("check", "the store in DynamoDB answers (incarnation 1)"));
  End();
  EXPECT_EQ(road_.Invalid(), "");
}

INSTANTIATE_TEST_SUITE_P(Aws, AwsAgentTest, ::testing::Values(AwsEmulator::kMinistack),
                         [](const auto& kind) { return std::string(NameOf(kind.param)); });

}  // namespace
}  // namespace lifeboat::testing
