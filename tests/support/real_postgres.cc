#include "support/real_postgres.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdlib>
#include <fstream>
#include <memory>

#include "adapters/system/processes.h"

namespace lifeboat::testing_support {

namespace {

namespace fs = std::filesystem;

constexpr const char* kBin = "/usr/lib/postgresql/15/bin/";

/// A loopback port that nobody listens on.
std::uint16_t FreePort() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  socklen_t length = sizeof address;
  EXPECT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), 0);
  close(listener);
  return ntohs(address.sin_port);
}

/// Where the labs are made: TMPDIR where it is set; else in memory where there is room, since servers are many small files.
fs::path Ground() {
  std::error_code error;
  const fs::path memory = "/dev/shm";
  constexpr std::uintmax_t kRoom = std::uintmax_t{2} << 30U;
  const bool roomy = std::getenv("TMPDIR") == nullptr && fs::is_directory(memory, error) && access(memory.c_str(), W_OK) == 0 &&
                     fs::space(memory, error).available > kRoom && !error;
  return roomy ? memory : fs::temp_directory_path();
}

void GiveTo(const std::optional<RunAs>& owner, const fs::path& path) {
  if (owner) {
    EXPECT_EQ(chown(path.c_str(), owner->uid, owner->gid), 0) << path;
  }
}

}  // namespace

PostgresLab::PostgresLab() {
  std::string pattern = (Ground() / "lifeboat-pg-XXXXXX").string();
  folder_ = fs::canonical(mkdtemp(pattern.data()));
  if (geteuid() == 0) {
    const Result<RunAs> user = FindUser("postgres");
    EXPECT_TRUE(user) << "as root these tests need user 'postgres'";
    if (user) run_as_ = *user;
  }
  GiveTo(run_as_, folder_);
}

PostgresLab::~PostgresLab() {
  const Result<Unit> ended = KillWithin(folder_.string(), std::chrono::seconds(10));
  EXPECT_TRUE(ended) << (ended ? "" : ended.error().Text());
  fs::remove_all(folder_);
}

fs::path PostgresLab::MakeFolder(const std::string& name) {
  const fs::path path = folder_ / name;
  fs::create_directories(path);
  GiveTo(run_as_, path);
  return path;
}

DatabaseSettings PostgresLab::Reserve(const std::string& name) {
  const fs::path home = MakeFolder(name);
  DatabaseSettings server;
  server.address = {"127.0.0.1", FreePort()};
  server.data_directory = (home / "data").string();
  server.socket_directory = MakeFolder(name + "/socket").string();
  server.log_file = (home / "postgresql.log").string();
  return server;
}

DatabaseSettings PostgresLab::Initialise(const std::string& name, const ServerOptions& options) {
  const DatabaseSettings server = Reserve(name);
  std::vector<std::string> argv = {std::string(kBin) + "initdb",
                                   "-D",
                                   server.data_directory,
                                   "-U",
                                   "postgres",
                                   "-A",
                                   "trust",
                                   "-E",
                                   "UTF8",
                                   "--locale=C",
                                   "--no-instructions",
                                   "--no-sync",
                                   "--wal-segsize=" + std::to_string(options.wal_segment_mib)};
  if (options.data_checksums) argv.emplace_back("--data-checksums");
  const CommandOutput made = Run(argv);
  EXPECT_EQ(made.exit_code, 0) << made.err;
  std::ofstream settings(server.data_directory + "/postgresql.conf", std::ios::app);
  settings << "listen_addresses = '127.0.0.1'\nport = " << server.address.port << "\nunix_socket_directories = '"
           << server.socket_directory << "'\nshared_buffers = '16MB'\nmax_connections = 30\nautovacuum = off\n"
           << "checkpoint_timeout = '1h'\nwal_keep_size = '256MB'\nmax_wal_size = '1GB'\nmin_wal_size = '32MB'\n"
           << options.more_settings;
  return server;
}

LoginSettings PostgresLab::Login() { return {}; }

CommandOutput PostgresLab::Run(std::vector<std::string> argv) const {
  boost::asio::io_context io;
  std::optional<Result<CommandOutput>> output;
  CommandOptions options;
  options.cwd = "/";
  options.run_as = run_as_;
  auto run = [](boost::asio::any_io_executor executor, std::vector<std::string> command, CommandOptions how,
                std::optional<Result<CommandOutput>>* into) -> Task<> {
    into->emplace(co_await RunCommand(executor, std::move(command), std::move(how), std::chrono::seconds(60)));
  };
  boost::asio::co_spawn(io, run(io.get_executor(), std::move(argv), std::move(options), &output),
                        [](const std::exception_ptr& error) {
                          if (error) std::rethrow_exception(error);
                        });
  io.run();
  if (output && *output) return **output;
  return {1, "", output ? output->error().Text() : "it did not end"};
}

void PostgresLab::StartByAnyone(const DatabaseSettings& server) const {
  const CommandOutput started =
      Run({std::string(kBin) + "pg_ctl", "start", "-w", "-D", server.data_directory, "-l", server.log_file});
  EXPECT_EQ(started.exit_code, 0) << started.out << started.err;
}

void CreateRoles(const DatabaseSettings& server, const LoginSettings& login) {
  AskServer(server, "CREATE ROLE " + login.replication_user + " LOGIN REPLICATION");
  AskServer(server, "CREATE ROLE " + login.canary_user + " LOGIN");
}

std::optional<std::string> AskServer(const DatabaseSettings& server, const std::string& sql, const std::string& user) {
  const std::string conninfo = "hostaddr=" + server.address.host + " port=" + std::to_string(server.address.port) +
                               " user=" + user + " dbname=postgres connect_timeout=3 application_name=test";
  const std::unique_ptr<PGconn, decltype(&PQfinish)> connection(PQconnectdb(conninfo.c_str()), &PQfinish);
  if (PQstatus(connection.get()) != CONNECTION_OK) return std::nullopt;
  const std::unique_ptr<PGresult, decltype(&PQclear)> result(PQexec(connection.get(), sql.c_str()), &PQclear);
  const ExecStatusType status = PQresultStatus(result.get());
  if (status == PGRES_COMMAND_OK) return "";
  if (status != PGRES_TUPLES_OK) return std::nullopt;
  return PQntuples(result.get()) > 0 ? PQgetvalue(result.get(), 0, 0) : "";
}

pid_t PostmasterPid(const DatabaseSettings& server) {
  std::ifstream lock(server.data_directory + "/postmaster.pid");
  pid_t pid = 0;
  lock >> pid;
  return pid;
}

}  // namespace lifeboat::testing_support
