#pragma once

// A look through /proc for the processes within one folder, without an allocation: the guard does it with its memory
// locked, while the machine may be out of memory.
// Thread rule: one owner at a time; it keeps a buffer and the descriptor of /proc.

#include <sys/types.h>

#include <array>
#include <climits>
#include <span>
#include <string>

#include "adapters/system/descriptor.h"
#include "base/result.h"

namespace lifeboat {

class ProcessScan {
 public:
  /// Symbolic links in `folder` are followed at each look, so that it may be made or replaced later. While it is missing the
  /// last place counts that it was known to have. @error kFail: /proc cannot be opened, or the path is too long
  [[nodiscard]] static Result<ProcessScan> Make(const std::string& folder);

  /// Fills `found` with live processes whose working directory is the folder or beneath it; never ourselves.
  /// @return how many there are; at most found.size() of them were written
  /// @error a negative errno: /proc could not be read
  [[nodiscard]] ssize_t Find(std::span<pid_t> found);

  /// One round of a kill: SIGKILL to all that are found. @return how many were found, or a negative errno
  [[nodiscard]] ssize_t KillOnce();

 private:
  ProcessScan(Descriptor proc, std::string folder);
  void Resolve();
  template <typename Visit>
  ssize_t ForEach(Visit visit);
  [[nodiscard]] bool IsWithin(const char* pid_text);

  Descriptor proc_;
  std::string given_;
  std::array<char, PATH_MAX> folder_{};  ///< real path, without a final slash
  alignas(8) std::array<char, 16384> entries_{};
  std::array<char, PATH_MAX + 32> link_{};
};

}  // namespace lifeboat
