#pragma once

// What was read and found good by earlier runs, so that a run reads what is new, what has changed, and a rolling share of the rest
// (docs/formats/backup-memory.md). A reading stands while the stored file is the same by path, size, times and by what its bytes
// were compared with. Only good readings are kept; a bad one is forgotten at once. Losing the file costs time, never a verdict.
// Thread rule: Stands, Remember and Forget from any thread; the rest from one. All of it blocks on the disk.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/backups/source.h"
#include "backup/finding.h"
#include "base/result.h"

namespace lifeboat::backup {

/// A stored file, or a part of one, as it was before it was read.
struct StoredIdentity {
  std::string key;  ///< its path, and where it begins in it
  std::uint64_t size = 0;
  std::int64_t changed_ns = 0;  ///< of its content (mtime)
  std::int64_t touched_ns = 0;  ///< of its inode (ctime): a time that was set back shows here
  std::string expected;         ///< what the bytes are compared with: hash, length, whose WAL
};
/// @return nothing: there is no such file
[[nodiscard]] std::optional<StoredIdentity> IdentityOf(const std::filesystem::path& file, std::uint64_t offset,
                                                       std::string expected);
/// The same of a place in a store too, by what the store's list says: there the version stands for the times of an inode.
[[nodiscard]] std::optional<StoredIdentity> IdentityOf(const StoredPlace& place, std::string expected);

/// Which share of what stands is due for reading again in a run: every slot comes round after `whole` runs at the latest.
struct RollingShare {
  std::uint32_t part = 1;
  std::uint32_t whole = 7;
};
/// @param group  what is read together: its hash alone decides, the same in every program
/// @param run    from 0
[[nodiscard]] bool IsDue(std::string_view group, std::uint64_t run, RollingShare share);

/// A backup set that passed every level up to `level`.
struct VerifiedSet {
  std::string label;
  std::int64_t stopped = 0;  ///< seconds since 1970: when the backup ended
  int level = 0;
  std::int64_t at = 0;  ///< seconds since 1970: when it was verified
};

class VerifiedMemory {
 public:
  /// Opens the memory of one source, or begins it. A file that is damaged is put aside as FILE.damaged and begun anew.
  /// @error kFail: it cannot be opened or written, or it is another program's
  [[nodiscard]] static Result<std::unique_ptr<VerifiedMemory>> Open(const std::filesystem::path& file, std::string source);
  ~VerifiedMemory();
  VerifiedMemory(const VerifiedMemory&) = delete;
  VerifiedMemory& operator=(const VerifiedMemory&) = delete;

  struct RunOptions {
    std::string scope;  ///< which sets are looked at: each scope comes round by its own count of runs
    bool full = false;  ///< read everything
    RollingShare share;
    std::int64_t now = 0;  ///< seconds since 1970
  };
  void Begin(RunOptions options);

  /// When it was last read and found good, in seconds since 1970; nothing: it has to be read now.
  /// @param group  "": its own key
  [[nodiscard]] std::optional<std::int64_t> Stands(const StoredIdentity& identity, Level level, std::string_view group = {});
  /// It was read now, whole, and everything that `level` asks was good.
  void Remember(const StoredIdentity& identity, Level level);
  /// It was read now, and was not good.
  void Forget(const StoredIdentity& identity);

  /// Writes what is left to write. @param complete  everything in the scope was reached: the next run takes the next share, and
  /// what was not met is dropped
  /// @error kFail: the memory could not be written, now or during the run; verdicts stand, the next run reads more
  [[nodiscard]] Result<Unit> End(bool complete);

  /// The highest level that it ever passed stands with it.
  void NoteSet(const VerifiedSet& set);
  void ForgetSet(const std::string& label);
  /// By `stopped`, oldest first.
  [[nodiscard]] Result<std::vector<VerifiedSet>> Sets();

 private:
  struct State;
  explicit VerifiedMemory(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace lifeboat::backup
