#pragma once

// Every action of AWS that Lifeboat may take, once: why, and in which step. The table in docs/aws.md, the policies in deploy/aws
// and the check of permissions (permission_check.h) all come from this list; a test fails when the code sends what is not in it.
// Thread rule: constant data and pure functions.
// @source Service Authorization Reference, "Actions, resources, and condition keys" of each service

#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "config/settings.h"

namespace lifeboat::aws {

/// What somebody uses of Lifeboat, and so what its agent must be allowed.
enum class PermissionPart {
  kAurora,
  kRdsReplica,
  kStandbyTakesOver,
  kRoutingControl,
  kRecords,
  kAutoScaling,
  kEcs,
  kEks,
  kTargetGroups,
  kObjects,
  kAccessPoint,
  kSns,
  kEventBridge,
  kAlarms,
  kHooks,
  kSecrets,
  kStore,
  kCheck,          ///< of `lifeboat check` alone
  kBackupsInS3,    ///< what reads repositories in S3
  kSnapshots,      ///< lifeboat backup --repo rds:…, levels 0 and 1
  kSnapshotDrill,  ///< the same from level 4 on
  kInit,           ///< lifeboat init --from-aws
};
[[nodiscard]] std::string_view ToString(PermissionPart part);  ///< "aurora"
[[nodiscard]] std::string_view TitleOf(PermissionPart part);   ///< "Aurora global database"

struct Permission {
  PermissionPart part;
  std::string_view action;      ///< of IAM: "rds:FailoverGlobalCluster"
  std::string_view operations;  ///< that are sent: names divided by blanks; empty: AWS asks for it beside another one
  std::string_view step;        ///< "look", "failover", "check", …
  std::string_view why;
  std::string_view resources;  ///< ARNs divided by blanks, with {names} of what a service fills in; "*": the action knows no others
  std::string_view condition;  ///< JSON; empty: none
};
[[nodiscard]] std::span<const Permission> AllPermissions();

/// The rows of docs/aws.md.
[[nodiscard]] std::string PermissionTable();
/// A policy for `parts`: one statement for actions of a part that share resources. {names} stand as they are.
[[nodiscard]] Json PolicyOf(const std::set<PermissionPart>& parts);
/// The files of deploy/aws: name → content.
[[nodiscard]] std::map<std::string, std::string> PolicyFiles();

/// What a service uses, and what its {names} are.
struct PermissionScope {
  std::set<PermissionPart> parts;
  std::map<std::string, std::vector<std::string>> values;  ///< "global_cluster" → {"orders"}
};
/// @param account  of the caller, twelve digits
[[nodiscard]] PermissionScope ScopeOf(const Settings& settings, const std::string& account);
/// The resources of a permission with every {name} replaced, one for each combination; empty: a name has no value.
[[nodiscard]] std::vector<std::string> ResourcesOf(const Permission& permission, const PermissionScope& scope);

}  // namespace lifeboat::aws
