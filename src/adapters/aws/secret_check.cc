#include "adapters/aws/secret_check.h"

#include <memory>
#include <set>

#include "adapters/aws/check_lines.h"
#include "adapters/aws/kms.h"
#include "adapters/aws/rds.h"
#include "adapters/aws/together.h"

namespace lifeboat::aws {

namespace {

using Lines = std::vector<Readiness>;

/// What is wrong with it in one region.
void JudgeOne(const std::string& name, const RegionName& region, const SecretLook& look, Lines& lines) {
  const std::string which = "secret '" + name + "' in '" + region.text + "'";
  if (look.missing) {
    lines.push_back(Fault(which + " is not there: what runs there could not log on", "replicate it to that region"));
    return;
  }
  if (!look.secret) {
    const std::string what = which + " could not be looked at: " + look.problem;
    lines.push_back(look.denied ? Fault(what, "allow secretsmanager:DescribeSecret")
                                : Unknown(what, "see whether the region answers"));
    return;
  }
  const secretsmanager::Secret& secret = *look.secret;
  if (secret.deleted) lines.push_back(Fault(which + " is being deleted", "restore it (RestoreSecret)"));
  if (secret.current_version.empty()) lines.push_back(Fault(which + " has no current version", "put a value into it"));
  const std::string home = rds::RegionOfArn(secret.kms_key);
  if (!home.empty() && home != region.text) {
    lines.push_back(Fault(which + " is under a KMS key of '" + home + "': it could not be read without that region",
                          "replicate it with a key of '" + region.text + "'"));
  } else if (!look.key_problem.empty()) {
    lines.push_back(Unknown("the KMS key of " + which + " could not be looked at: " + look.key_problem, "allow kms:DescribeKey"));
  } else if (!look.key_state.empty() && look.key_state != "Enabled") {
    lines.push_back(Fault("the KMS key of " + which + " is '" + look.key_state + "'", "enable it, or cancel its deletion"));
  }
}

/// Whether what stands in the regions is one secret, and the same version of it.
void JudgeCopies(const std::string& name, const std::map<RegionName, SecretLook>& looks, Lines& lines) {
  std::set<std::string> versions;
  for (const auto& [region, look] : looks) {
    if (!look.secret) return;
    versions.insert(look.secret->current_version);
    for (const auto& [replica, status] : look.secret->replicas) {
      if (looks.contains(RegionName(replica)) && status != "InSync")
        lines.push_back(
            Fault("the replica of secret '" + name + "' in '" + replica + "' is '" + status + "'", "look at why it is not copied"));
    }
    if (look.secret->primary_region.empty() && looks.size() > 1) {
      lines.push_back(Fault("secret '" + name + "' in '" + region.text +
                                "' is replicated with no other region: what is rotated in one is not known in the other",
                            "make the others replicas of one (ReplicateSecretToRegions)"));
      return;
    }
  }
  if (versions.size() > 1)
    lines.push_back(
        Fault("secret '" + name + "' has different current versions in its regions: the newest has not arrived everywhere",
              "wait, then look at its replication"));
}

Task<> LookAtSecret(Client& client, std::string name, RegionName region, std::shared_ptr<SecretLook> look, Clock& clock,
                    Duration timeout) {
  const Instant began = clock.Now();
  Result<secretsmanager::Secret> secret = co_await secretsmanager::DescribeSecret(client, region.text, std::move(name), timeout);
  if (!secret) {
    look->missing = secret.error().retry == Retry::kNotFound;
    look->denied = secret.error().retry == Retry::kFail;
    look->problem = secret.error().message;
    co_return;
  }
  look->secret = *secret;
  if (rds::RegionOfArn(secret->kms_key) != region.text) co_return;  // the account's own, an alias, or of another region
  const Duration left = std::max<Duration>(timeout - AgeAt(began, clock.Now()), 1ms);
  Result<kms::Key> key = co_await kms::DescribeKey(client, region.text, secret->kms_key, left);
  if (key.ok()) look->key_state = key->state;
  if (!key && key.error().retry == Retry::kNotFound) look->key_state = "not there";
  if (!key && look->key_state.empty()) look->key_problem = key.error().message;
}

}  // namespace

Lines SecretLines(const std::string& name, const std::map<RegionName, SecretLook>& looks) {
  Lines lines;
  for (const auto& [region, look] : looks) JudgeOne(name, region, look, lines);
  JudgeCopies(name, looks, lines);
  if (lines.empty())
    lines.push_back(
        Ok("secret '" + name + "' stands in " + std::to_string(looks.size()) + " regions, with the same current version"));
  return lines;
}

Task<Lines> CheckSecrets(Client& client, std::vector<AwsSecretSettings> secrets, std::vector<RegionName> regions, Clock& clock,
                         Duration timeout) {
  std::map<std::string, std::map<RegionName, std::shared_ptr<SecretLook>>> looks;
  std::vector<Task<>> questions;
  for (const AwsSecretSettings& secret : secrets) {
    for (const RegionName& region : regions) {
      auto look = std::make_shared<SecretLook>();
      looks[secret.name][region] = look;
      questions.push_back(LookAtSecret(client, secret.name, region, look, clock, timeout));
    }
  }
  co_await Together(std::move(questions));
  Lines lines;
  for (const auto& [name, by_region] : looks) {
    std::map<RegionName, SecretLook> seen;
    for (const auto& [region, look] : by_region) seen[region] = *look;
    for (Readiness& line : SecretLines(name, seen)) lines.push_back(std::move(line));
  }
  co_return lines;
}

}  // namespace lifeboat::aws
