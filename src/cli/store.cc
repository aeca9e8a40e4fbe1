// lifeboat store reseed: begins a store that was lost anew.

#include <pwd.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include "cli/commands.h"

namespace lifeboat {

namespace {

/// "REGION=who saw what", each region once.
Result<Json> ParseAttestations(const std::vector<std::string>& given) {
  Json attested = Json::object();
  for (const std::string& each : given) {
    const std::size_t equals = each.find('=');
    if (equals == 0 || equals == std::string::npos || equals + 1 == each.size())
      return Fail("'" + each + "' is no attestation", "--attest REGION=\"who saw what\"");
    const std::string region = each.substr(0, equals);
    if (attested.contains(region)) return Fail("'" + region + "' is attested twice");
    attested[region] = each.substr(equals + 1);
  }
  return attested;
}

int Show(const Json& answer) {
  const Json& item = MemberAt(answer, "item");
  const std::string holder = TextAt(item, "holder");
  std::printf("the store begins anew: incarnation %llu, epoch %llu, holder %s\n",
              static_cast<unsigned long long>(NumberAt(answer, "incarnation")),
              static_cast<unsigned long long>(NumberAt(item, "epoch")), holder.c_str());
  for (const Json& region : MemberAt(answer, "recorded_by")) std::printf("  recorded by %s\n", region.get<std::string>().c_str());
  for (const auto& [region, words] : MemberAt(answer, "attested_as_down").items()) {
    std::printf("  attested as down: %s (%s)\n", region.c_str(), words.get<std::string>().c_str());
  }
  const std::string unread = TextAt(answer, "holder_has_not_read_it");
  if (unread.empty()) {
    std::printf("  %s has read it and goes on\nlifeboat status shows when a standby could take over again\n", holder.c_str());
    return static_cast<int>(Exit::kDone);
  }
  std::printf("  %s has not read it: %s\nnext: lifeboat failover --to REGION, or bring %s back\n", holder.c_str(), unread.c_str(),
              holder.c_str());
  return static_cast<int>(Exit::kWaits);
}

}  // namespace

int ReseedStore(const CommonOptions& options, const ReseedOptions& reseed) {
  const auto settings = SettingsFor(options);
  if (!settings.ok()) {
    (void)EndWith(settings.error(), options);
    return static_cast<int>(Exit::kUsage);
  }
  const auto attested = ParseAttestations(reseed.attest);
  if (!attested.ok()) {
    (void)EndWith(attested.error(), options);
    return static_cast<int>(Exit::kUsage);
  }
  const passwd* user = getpwuid(getuid());
  const Json parameters = {
      {"holder", reseed.holder}, {"attest", *attested}, {"by", user ? user->pw_name : std::to_string(getuid())}};
  CommonOptions whom = options;
  if (whom.region.empty() && settings->store.kind == StoreKind::kEmbedded) whom.region = settings->store.host.text;
  const auto answer = Ask(*settings, whom, "store.reseed", parameters, std::chrono::seconds(30));
  if (!answer.ok()) return EndWith(answer.error(), options);
  if (!options.json) return Show(answer->json);
  std::printf("%s\n", answer->json.dump(2).c_str());
  return static_cast<int>(TextAt(answer->json, "holder_has_not_read_it").empty() ? Exit::kDone : Exit::kWaits);
}

}  // namespace lifeboat
