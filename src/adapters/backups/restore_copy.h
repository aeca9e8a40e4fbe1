#pragma once

// What pg_basebackup wrote, here or in a store, brought into a sandbox: folders are copied, tar files unpacked. WAL stays where it
// is (wal_server.h). Every tablespace comes to lie in the sandbox, whatever place the backup names. Thread rule: the sandbox's
// thread; folders are copied by threads of its own, which end with the call.

#include <functional>

#include "adapters/backups/folder.h"
#include "adapters/backups/sandbox.h"
#include "adapters/backups/source.h"

namespace lifeboat::backup {

/// @param on_bytes  is given bytes written since the last call; from any thread
/// @return bytes written
/// @error kRetry: cancelled; kRefused: the room ran out; kFail: a file cannot be read or written, or a name leads out of the backup
[[nodiscard]] Result<std::uint64_t> CopyBaseBackup(Sandbox& sandbox, const Folder& from, const SetInfo& set, unsigned threads,
                                                   const std::function<void(std::uint64_t)>& on_bytes);

/// One file, or a folder of files, out of a store into the sandbox's tool folder, under its own name.
/// @return where it lies there @error as CopyBaseBackup
[[nodiscard]] Result<std::filesystem::path> FetchInto(Sandbox& sandbox, const Folder& from, const std::filesystem::path& path,
                                                      const std::function<void(std::uint64_t)>& on_bytes);

/// Makes the folders that PostgreSQL wants and backups leave out, and empties those that belong to a server's run.
[[nodiscard]] Result<Unit> CompleteDataDirectory(const Sandbox& sandbox);

}  // namespace lifeboat::backup
