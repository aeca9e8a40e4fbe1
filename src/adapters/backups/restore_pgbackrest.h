#pragma once

// What pgBackRest needs to restore a set out of its repository, and what its refusals mean. It gets no more than that: everything
// it writes lies in the sandbox; secrets come to it by its environment, and stand in no argument, log or file of an S3 repository;
// only where the repository lies in S3 it may use the network, as the only one of the sandbox's programs.
// SAFETY: `restore` reads the repository alone (list, get), and the server is started with archive_mode=off, so nothing is ever
// archived. That its keys could not write is not for us to see: that is the right of the role which they stand for.
// Thread rule: the restoring thread.

#include <string>
#include <vector>

#include "adapters/backups/blobs.h"
#include "adapters/backups/sandbox.h"

namespace lifeboat::backup {

struct PgBackRestCall {
  std::vector<std::string> argv;  ///< the program with --config and --stanza: a command follows
  ToolRights rights;
  std::string network;  ///< in words, for the report; "": none
};

/// Writes its configuration into the sandbox.
/// @error kFail: the store speaks no TLS, or there are no keys: pgBackRest can do without neither; any: no credentials now
[[nodiscard]] Result<PgBackRestCall> PreparePgBackRest(const Sandbox& sandbox, const PgBackRestPlace& place, unsigned threads);

/// What a refusal says, and of what.
struct PgBackRestRefusal {
  int fault = 0;        ///< 0: it says nothing of the backup: the store could not be read
  std::string message;  ///< its last error, without the date: "ERROR: [056]: unable to …"
};
/// @param words  all that it said
/// @param in_s3  SAFETY: then only what names a file's own damage speaks of the backup, the rest is trouble on the way to it
[[nodiscard]] PgBackRestRefusal JudgeRefusal(const std::string& words, bool in_s3);

}  // namespace lifeboat::backup
