#include "cli/agent_store.h"

#include <algorithm>
#include <filesystem>

#include "adapters/aws/credential_check.h"
#include "adapters/aws/open.h"
#include "adapters/store/dynamodb_store.h"
#include "adapters/store/dynamodb_table.h"
#include "adapters/store/embedded_store.h"
#include "adapters/store/etcd_store.h"
#include "adapters/store/remote_store.h"
#include "adapters/system/files.h"
#include "base/drive.h"
#include "base/spawn.h"

namespace lifeboat {

namespace {

constexpr Duration kDescribeTimeout = 1s;  // for each member of the store's cluster, all at once
constexpr Duration kDescribeRegions = 4s;  // for all AWS regions of the store's table, one after the other

Result<Secret> ReadStorePassword(const std::string& file) {
  namespace fs = std::filesystem;
  std::error_code problem;
  const fs::perms mode = fs::status(file, problem).permissions();
  if (!problem && (mode & (fs::perms::group_all | fs::perms::others_all)) != fs::perms::none) {
    return Fail("the password file '" + file + "' may be used by its group or by others",
                "chmod 600 '" + file + "', and change the password");
  }
  auto text = ReadSmallFile(file);
  if (!text.ok()) return text.error().Within("'store.password_file'");
  while (!text->empty() && (text->back() == '\n' || text->back() == '\r')) text->pop_back();
  if (text->empty()) return Fail("the password file '" + file + "' is empty", "write the password of 'store.user' into it");
  return Secret(*std::move(text));
}

Result<AgentStore> OpenEtcd(boost::asio::io_context& context, const Settings& settings, const Log& log) {
  EtcdOptions options;
  options.service = settings.service;
  options.endpoints = settings.store.endpoints;
  options.tls = {settings.store.ca_file, settings.store.certificate_file, settings.store.key_file};
  options.user = settings.store.user;
  if (settings.store.password_file) {
    auto password = ReadStorePassword(*settings.store.password_file);
    if (!password.ok()) return password.error();
    options.password = *std::move(password);
  }
  auto etcd = std::make_unique<EtcdStore>(context.get_executor(), std::move(options), log);
  AgentStore opened;
  opened.describe = [store = etcd.get()] { return store->Members(kDescribeTimeout); };
  opened.store = std::move(etcd);
  return opened;
}

using OpenedClient = std::optional<Result<std::shared_ptr<aws::Client>>>;

Task<> KeepClient(Task<Result<std::shared_ptr<aws::Client>>> opening, OpenedClient* into) {
  into->emplace(co_await std::move(opening));
}

/// Drives `context` until the shared files of AWS have been read. Nobody is asked.
Result<AgentStore> OpenDynamoDb(boost::asio::io_context& context, const Settings& settings, const RegionName& self, Clock& clock,
                                Files& files, const Log& log) {
  aws::OpenOptions how;
  how.client.retry = dynamodb::RetriesOfTable();
  how.credentials.region = StsRegionOfTable(settings.store, self, aws::EnvironmentOfTheProcess());
  OpenedClient client;
  Spawn(
      context.get_executor(),
      KeepClient(aws::Open(context.get_executor(), std::move(how), {clock, files, aws::EnvironmentOfTheProcess(), log}), &client));
  DriveUntil(context, [&] { return client.has_value(); });
  if (!client->ok()) return client->error();
  DynamoDbOptions options;
  options.service = settings.service;
  options.table = settings.store.table;
  options.regions = settings.store.aws_regions;
  auto table = std::make_unique<DynamoDbStore>(context.get_executor(), **client, std::move(options), log);
  AgentStore opened;
  opened.describe = [store = table.get()] { return store->Regions(kDescribeRegions); };
  opened.store = std::move(table);
  return opened;
}

}  // namespace

std::string StsRegionOfTable(const StoreSettings& store, const RegionName& self, const aws::Environment& environment) {
  const std::string region = aws::StsRegionFor(self.text, environment);
  if (!region.empty()) return region;
  const auto held = std::find(store.aws_regions.begin(), store.aws_regions.end(), self.text);
  return held == store.aws_regions.end() ? store.aws_regions.front() : *held;
}

Result<AgentStore> OpenAgentStore(boost::asio::io_context& context, const Settings& settings, const RegionName& self, Peers& peers,
                                  Clock& clock, Files& files, const Log& log) {
  if (settings.store.kind == StoreKind::kEtcd) return OpenEtcd(context, settings, log);
  if (settings.store.kind == StoreKind::kDynamoDb) return OpenDynamoDb(context, settings, self, clock, files, log);
  AgentStore opened;
  if (settings.store.host != self) {
    opened.store = std::make_unique<RemoteStore>(peers, settings.store.host);
    return opened;
  }
  auto embedded = EmbeddedStore::Open(context.get_executor(), settings.store.file);
  if (!embedded.ok()) return embedded.error();
  opened.store = *std::move(embedded);
  opened.answer = MakeStoreHandler(*opened.store);
  return opened;
}

}  // namespace lifeboat
