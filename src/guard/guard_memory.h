#pragma once

// What outlives one run of the guard. The record holds the highest epoch, synced whenever it rises. The kept permission
// is a mapped page, written at each permission without touching the disk: it outlives the process, not the boot, and
// that is what it is for (docs/formats/guard.md).
// Thread rule: KeptPermission: one owner. The functions block on the disk.

#include <optional>
#include <string>

#include "base/result.h"
#include "guard/guard_core.h"

namespace lifeboat {

/// The highest epoch on disk; 0 where there is no record yet. @error kFail: there is one that cannot be read
[[nodiscard]] Result<Epoch> ReadGuardRecord(const std::string& path);
[[nodiscard]] Result<Unit> WriteGuardRecord(const std::string& path, Epoch epoch);

class KeptPermission {
 public:
  /// Opens or makes the file at `path`, 0600, for this boot. @error kFail
  [[nodiscard]] static Result<KeptPermission> Open(const std::string& path, const std::string& boot_id);
  KeptPermission(KeptPermission&& other) noexcept;
  KeptPermission& operator=(KeptPermission&&) = delete;
  ~KeptPermission();

  /// Nothing: none, one of another boot, or a damaged one.
  [[nodiscard]] std::optional<Permission> Load() const;
  /// The highest epoch whose gate was closed for good in this boot; 0: none.
  [[nodiscard]] Epoch LoadClosed() const;
  /// True: the server was held (GuardCore::IsHeld) when this was saved last, in this boot.
  [[nodiscard]] bool LoadHeld() const;
  /// Memory alone is written: neither blocks nor allocates. @param held  with no permission: nothing is fenced
  void Save(const std::optional<Permission>& permission, Epoch closed, bool held = false);

 private:
  struct Slot;
  [[nodiscard]] const Slot* Newest() const;
  KeptPermission(Slot* slots, const std::string& boot_id);

  Slot* slots_;  ///< two, written in turn: a guard killed in mid-write leaves the other one whole
  std::array<char, 40> boot_id_{};
  std::uint64_t turn_ = 0;
};

}  // namespace lifeboat
