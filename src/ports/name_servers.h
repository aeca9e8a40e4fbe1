#pragma once

// The door to the name servers of a zone that somebody else keeps: who they are, and what each of them answers. It only asks.
// Thread rule: one executor that runs one thing at a time.

#include <string>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "base/time.h"
#include "base/types.h"

namespace lifeboat {

/// What one name server answers for one name and type, as a zone file writes it. No values: there is no such record.
struct NameAnswer {
  bool exists = false;  ///< the name, of whatever type
  std::vector<std::string> values;
  std::chrono::seconds ttl{0};
};

class NameServers {
 public:
  virtual ~NameServers() = default;
  /// All name servers of the zone that `name` is in, as the system's resolvers tell.
  /// @error kRetry: no resolver answers, or a server's address is not known; kNotFound: no zone has such a name
  virtual Task<Result<std::vector<Endpoint>>> ServersOf(std::string name, Duration timeout) = 0;
  /// One question to one server. @param type "A", "AAAA", "CNAME", "TXT"
  /// @error kRetry: no answer; kFail: it does not serve the zone, or the name is an alias and another type was asked for
  virtual Task<Result<NameAnswer>> Ask(Endpoint server, std::string name, std::string type, Duration timeout) = 0;
};

}  // namespace lifeboat
