#include "guard/guard_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "adapters/system/descriptor.h"
#include "adapters/system/files.h"
#include "base/json.h"
#include "guard/guard_protocol.h"

namespace lifeboat {

namespace {
constexpr std::uint64_t kPermissionMagic = 0x324D524550474C42;  // "BLGPERM2"
constexpr int kRecordVersion = 1;
constexpr std::uint64_t kHeldMark = 2;
}  // namespace

Result<Epoch> ReadGuardRecord(const std::string& path) {
  const Result<std::string> text = ReadSmallFile(path, 4096);
  if (!text && text.error().retry == Retry::kNotFound) return Epoch{0};
  if (!text) return text.error();
  const char* hint = "restore the file, or remove it once you know that no other region is primary";
  const Result<Json> json = ParseJson(*text, "the guard's record");
  if (!json) return Fail("'" + path + "' is damaged: " + json.error().message, hint);
  const Json& epoch = MemberAt(*json, "epoch");
  if (NumberAt(*json, "version") != kRecordVersion || !epoch.is_number_unsigned())
    return Fail("'" + path + "' is no guard record of version 1", hint);
  return Epoch{epoch.get<std::uint64_t>()};
}

Result<Unit> WriteGuardRecord(const std::string& path, Epoch epoch) {
  const Json record = {{"version", kRecordVersion}, {"epoch", epoch.number}};
  return WriteFileDurably(path, record.dump() + "\n");
}

struct KeptPermission::Slot {
  std::uint64_t magic;
  std::uint64_t turn;
  std::uint64_t permitted;  ///< 0: nothing, 1: a permission, kHeldMark: nothing is fenced
  std::uint64_t epoch;
  std::int64_t deadline_boot;
  std::int64_t deadline_raw;
  std::int64_t length;
  std::uint64_t closed;
  std::array<char, 40> boot_id;
  std::uint64_t checksum;

  /// FNV-1a over everything before it: against a write cut short, not against malice.
  [[nodiscard]] std::uint64_t Checksum() const {
    const auto* bytes = reinterpret_cast<const unsigned char*>(this);
    std::uint64_t sum = 0xCBF29CE484222325;
    for (std::size_t at = 0; at < offsetof(Slot, checksum); ++at) sum = (sum ^ bytes[at]) * 0x100000001B3;
    return sum;
  }
  [[nodiscard]] bool IsWhole() const { return magic == kPermissionMagic && checksum == Checksum(); }
};

Result<KeptPermission> KeptPermission::Open(const std::string& path, const std::string& boot_id) {
  const auto problem = [&] { return Fail("cannot map '" + path + "': " + std::strerror(errno)); };
  const Descriptor file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file.ok()) return problem();
  // Blocks are reserved now: a full disk must not kill the guard with SIGBUS later. @source posix_fallocate(3)
  if (const int error = posix_fallocate(file.number(), 0, sizeof(Slot) * 2); error != 0) {
    errno = error;
    return problem();
  }
  void* mapped = mmap(nullptr, sizeof(Slot) * 2, PROT_READ | PROT_WRITE, MAP_SHARED, file.number(), 0);
  if (mapped == MAP_FAILED) return problem();
  return KeptPermission(static_cast<Slot*>(mapped), boot_id);
}

KeptPermission::KeptPermission(Slot* slots, const std::string& boot_id)
    : slots_(slots), boot_id_(guard_protocol::PackBootId(boot_id)) {
  for (const Slot* slot : {&slots[0], &slots[1]}) {
    if (slot->IsWhole()) turn_ = std::max(turn_, slot->turn);
  }
}

KeptPermission::KeptPermission(KeptPermission&& other) noexcept
    : slots_(std::exchange(other.slots_, nullptr)), boot_id_(other.boot_id_), turn_(other.turn_) {}

KeptPermission::~KeptPermission() {
  if (slots_ != nullptr) munmap(slots_, sizeof(Slot) * 2);
}

const KeptPermission::Slot* KeptPermission::Newest() const {
  const Slot* newest = nullptr;
  for (const Slot* slot : {&slots_[0], &slots_[1]}) {
    if (slot->IsWhole() && (newest == nullptr || slot->turn > newest->turn)) newest = slot;
  }
  // SAFETY: clocks of two boots are never compared (GuardMemory.APermissionOfAnotherBootIsNone).
  return newest != nullptr && newest->boot_id == boot_id_ ? newest : nullptr;
}

std::optional<Permission> KeptPermission::Load() const {
  const Slot* newest = Newest();
  if (newest == nullptr || newest->permitted != 1) return std::nullopt;
  return Permission{Epoch{newest->epoch}, Instant{Duration(newest->deadline_boot), Duration(newest->deadline_raw)},
                    Duration(newest->length)};
}

Epoch KeptPermission::LoadClosed() const {
  const Slot* newest = Newest();
  return newest == nullptr ? Epoch{} : Epoch{newest->closed};
}

bool KeptPermission::LoadHeld() const {
  const Slot* newest = Newest();
  return newest != nullptr && newest->permitted == kHeldMark;
}

void KeptPermission::Save(const std::optional<Permission>& permission, Epoch closed, bool held) {
  Slot next{};
  next.magic = kPermissionMagic;
  next.turn = ++turn_;
  next.boot_id = boot_id_;
  next.closed = closed.number;
  if (permission) {
    next.permitted = 1;
    next.epoch = permission->epoch.number;
    next.deadline_boot = permission->deadline.boot.count();
    next.deadline_raw = permission->deadline.raw.count();
    next.length = permission->length.count();
  } else if (held) {
    next.permitted = kHeldMark;
  }
  next.checksum = next.Checksum();
  Slot& into = slots_[turn_ % 2];
  std::memcpy(&into, &next, sizeof next);
  std::atomic_thread_fence(std::memory_order_release);
}

}  // namespace lifeboat
