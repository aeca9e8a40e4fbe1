#pragma once

// The gate file (docs/formats/gate.md) as the guard uses it: its own page through memory, and the page in which the module's
// postmaster says that it maps the file.
// Thread rule: one owner. Open blocks for a moment (tmpfs); everything else is memory alone and neither blocks nor allocates.

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "base/types.h"
#include "guard/gate_format.h"

namespace lifeboat {

/// A running server: what cannot be confused with an earlier one of this boot.
struct PostmasterId {
  std::int64_t pid = 0;
  std::int64_t start = 0;  ///< clock ticks since boot
  std::uint64_t system_id = 0;
  friend bool operator==(const PostmasterId&, const PostmasterId&) = default;
};

/// The deadline of a gate that is held open: it outlives the guard, but neither the boot nor the postmaster.
inline constexpr Instant kGateHeld{Duration(LIFEBOAT_GATE_HELD), Duration(LIFEBOAT_GATE_HELD)};

/// Page 0: until when which server may commit.
struct GateWord {
  bool open = false;
  Epoch epoch;
  Instant deadline;
  PostmasterId postmaster;
  bool counted_on = false;
  friend bool operator==(const GateWord&, const GateWord&) = default;
};

/// Page 1: which server maps the file.
struct GateAttached {
  PostmasterId postmaster;
  bool enforce = false;
};

class GateFile {
 public:
  /// Opens the file at `path`, or makes it, mode 0600. @param owner  whom a new file is given to, where we are root
  /// @error kFail: it cannot be opened, is not in tmpfs, or could have been placed there by somebody else
  [[nodiscard]] static Result<GateFile> Open(const std::string& path, const std::string& boot_id, uid_t owner, gid_t group);
  GateFile(GateFile&& other) noexcept;
  GateFile& operator=(GateFile&& other) noexcept;
  ~GateFile();

  void Write(const GateWord& word);
  /// Nothing: torn, damaged, never written, or of another boot.
  [[nodiscard]] std::optional<GateWord> Word() const;
  /// Nothing: torn, damaged, never written, or of another boot.
  [[nodiscard]] std::optional<GateAttached> Attached() const;
  /// True while `path` still names the file that is open here.
  [[nodiscard]] bool IsAt(const char* path) const;

 private:
  GateFile(char* pages, const std::string& boot_id, dev_t device, ino_t inode);

  char* pages_;
  std::array<char, LIFEBOAT_GATE_BOOT_ID> boot_id_{};
  dev_t device_;
  ino_t inode_;
};

/// Field `starttime` of /proc/PID/stat. Nothing: no such process, or it has ended and was not collected yet.
[[nodiscard]] std::optional<std::int64_t> ProcessStart(std::int64_t pid);

}  // namespace lifeboat
