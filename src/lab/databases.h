#pragma once

// The two databases of a lab before any agent runs: a fresh server with roles and table in the first region, an equal copy
// in the other, both stopped cleanly and fenced (standby.signal), so that whoever starts them gets standbys. From there
// on they are the agents'.
// Thread rule: any thread; blocks for seconds.

#include <map>
#include <optional>
#include <string>

#include "lab/layout.h"

namespace lifeboat::lab {

/// Role → password, for pgpass and for the roles.
using Passwords = std::map<std::string, std::string>;

/// Passwords for all roles of the lab, random.
[[nodiscard]] Passwords MakePasswords();
/// The libpq passfile that holds them. @source PostgreSQL manual, The Password File
[[nodiscard]] std::string PasswordFileText(const Passwords& passwords);

/// Builds the servers of all data regions. The folders of the layout exist.
[[nodiscard]] Result<Unit> BuildDatabases(const LabInfo& lab, const Passwords& passwords, const std::optional<RunAs>& owner);

}  // namespace lifeboat::lab
