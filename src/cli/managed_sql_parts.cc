#include "cli/managed_sql_parts.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "adapters/aws/traffic_names.h"

namespace lifeboat {

namespace {

/// The public name as a client hears it: from the first of the zone's name servers that answers. The one that did is asked first
/// the next time, so that one that is silent slows no row down but the first.
struct PublicName {
  std::shared_ptr<NameServers> names;
  std::shared_ptr<aws::ZoneNames> zone;
  std::string name;
  std::string type;
  std::size_t first = 0;
};

Task<Result<std::string>> AskName(std::shared_ptr<PublicName> about, Duration timeout) {
  const postgres::Deadline deadline(timeout);
  auto servers = co_await about->zone->Servers(timeout);
  if (!servers.ok()) co_return servers.error();
  const std::size_t count = servers->size();
  const Duration each = timeout / std::max<std::size_t>(std::min<std::size_t>(count, 3), 1);
  Error problem = RetryLater("no name server of '" + about->name + "' is known");
  for (std::size_t turn = 0; turn < count && !deadline.HasPassed(); ++turn) {
    const std::size_t which = (about->first + turn) % count;
    const Duration patience = std::max<Duration>(std::min(each, deadline.Left()), 1ms);
    auto answer = co_await about->names->Ask((*servers)[which], about->name, about->type, patience);
    if (answer.ok() && answer->values.size() == 1) {
      about->first = which;
      co_return answer->values.front();
    }
    problem = answer.ok() ? RetryLater("'" + about->name + "' has " + std::to_string(answer->values.size()) + " answers, not one")
                          : answer.error();
  }
  co_return problem;
}

Result<Unit> CheckFiles(const AwsSqlSettings& settings) {
  if (settings.password_file) {
    struct stat file {};
    if (stat(settings.password_file->c_str(), &file) != 0)
      return Fail("aws.sql.password_file '" + *settings.password_file + "' cannot be read: " + std::strerror(errno));
    // libpq passes over such a file without a word, and the login would fail for want of a password.
    if ((file.st_mode & 077) != 0)
      return Fail("aws.sql.password_file '" + *settings.password_file + "' may be read by others",
                  "chmod 600 " + *settings.password_file);
  }
  if (!settings.root_cert.empty() && access(settings.root_cert.c_str(), R_OK) != 0)
    return Fail("aws.sql.root_cert '" + settings.root_cert + "' cannot be read: " + std::strerror(errno));
  return Done();
}

}  // namespace

ManagedSqlParts::ManagedSqlParts(boost::asio::any_io_executor io, const RegionName& self, const AwsSqlSettings& settings)
    : resolver(io), sql(io, self, settings, resolver) {}

Result<std::unique_ptr<ManagedSqlParts>> ManagedSqlParts::Open(boost::asio::any_io_executor io, const RegionName& self,
                                                               const AwsSettings& aws, std::shared_ptr<NameServers> names,
                                                               Clock& clock) {
  if (!aws.sql) return std::unique_ptr<ManagedSqlParts>();
  const auto sound = CheckFiles(*aws.sql);
  if (!sound.ok()) return sound.error();
  auto parts = std::make_unique<ManagedSqlParts>(io, self, *aws.sql);
  if (!aws.traffic && !aws.sql->global_endpoint) return parts;
  postgres::ManagedCanary::Lookup look_up;
  if (aws.traffic) {
    auto zone = std::make_shared<aws::ZoneNames>(names, *aws.traffic, clock);
    auto about = std::make_shared<PublicName>(PublicName{std::move(names), std::move(zone), aws.traffic->name, aws.traffic->type});
    look_up = [about](Duration timeout) { return AskName(about, timeout); };
  }
  parts->of_loop = std::make_unique<postgres::ManagedCanary>(io, self, *aws.sql, aws.traffic, look_up, parts->resolver);
  parts->of_steps = std::make_unique<postgres::ManagedCanary>(io, self, *aws.sql, aws.traffic, look_up, parts->resolver);
  return parts;
}

}  // namespace lifeboat
