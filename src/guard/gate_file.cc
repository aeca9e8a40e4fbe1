#include "guard/gate_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "adapters/system/descriptor.h"
#include "guard/guard_protocol.h"

namespace lifeboat {

namespace {

constexpr long kTmpfs = 0x01021994;  // @source statfs(2), TMPFS_MAGIC

std::atomic_ref<std::uint64_t> SequenceOf(char* page) {
  return std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(page + sizeof(std::uint64_t)));
}

template <typename Page>
std::optional<Page> ReadPage(char* from, std::uint64_t magic, std::uint64_t (*sum)(const Page*)) {
  for (int attempt = 0; attempt < 3; ++attempt) {  // a writer in its midst is not waited for: its event follows
    const std::uint64_t before = SequenceOf(from).load(std::memory_order_acquire);
    if (before % 2 != 0) continue;
    Page page;
    std::memcpy(&page, from, sizeof page);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (SequenceOf(from).load(std::memory_order_relaxed) != before) continue;
    if (page.magic != magic || page.checksum != sum(&page)) return std::nullopt;
    return page;
  }
  return std::nullopt;
}

Result<Descriptor> OpenFile(const std::string& path, uid_t owner, gid_t group) {
  const auto problem = [&] { return Fail("cannot open gate file '" + path + "': " + std::strerror(errno)); };
  // Not O_CREAT at first: the kernel refuses it for another user's file in a sticky folder. @source proc(5), protected_regular
  Descriptor file(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!file.ok() && errno == ENOENT) {
    file = Descriptor(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (file.ok() && geteuid() == 0 && fchown(file.number(), owner, group) != 0) return problem();
  }
  if (!file.ok() && errno == EEXIST)
    file = Descriptor(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));  // the server came first
  if (!file.ok()) return problem();
  struct stat status {};
  struct statfs system {};
  if (fstat(file.number(), &status) != 0 || fstatfs(file.number(), &system) != 0) return problem();
  // SAFETY: in a folder like /dev/shm anybody could have placed it first, and would decide when the server may commit.
  const bool ours = status.st_uid == owner || status.st_uid == geteuid() || status.st_uid == 0;
  if (!S_ISREG(status.st_mode) || !ours || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return Fail("gate file '" + path + "' is not a plain file of the server's user that nobody else may write",
                "see who made it, and remove it");
  }
  if (system.f_type != kTmpfs) {
    return Fail("gate file '" + path + "' does not lie in tmpfs",
                "choose a path below /run or /dev/shm: nobody must wait for a disk");
  }
  // Blocks are reserved now: a full memory must not kill the guard with SIGBUS later. @source posix_fallocate(3)
  if (status.st_size < LIFEBOAT_GATE_FILE_SIZE && posix_fallocate(file.number(), 0, LIFEBOAT_GATE_FILE_SIZE) != 0) return problem();
  return file;
}

}  // namespace

Result<GateFile> GateFile::Open(const std::string& path, const std::string& boot_id, uid_t owner, gid_t group) {
  const Result<Descriptor> file = OpenFile(path, owner, group);
  if (!file) return file.error();
  struct stat status {};
  void* mapped = mmap(nullptr, LIFEBOAT_GATE_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file->number(), 0);
  if (mapped == MAP_FAILED || fstat(file->number(), &status) != 0)
    return Fail("cannot map gate file '" + path + "': " + std::strerror(errno));
  static_cast<void>(mlock(mapped, LIFEBOAT_GATE_FILE_SIZE));  // where it is not allowed: it is touched twice a second anyhow
  return GateFile(static_cast<char*>(mapped), boot_id, status.st_dev, status.st_ino);
}

GateFile::GateFile(char* pages, const std::string& boot_id, dev_t device, ino_t inode)
    : pages_(pages), boot_id_(guard_protocol::PackBootId(boot_id)), device_(device), inode_(inode) {}

GateFile::GateFile(GateFile&& other) noexcept
    : pages_(std::exchange(other.pages_, nullptr)), boot_id_(other.boot_id_), device_(other.device_), inode_(other.inode_) {}

GateFile& GateFile::operator=(GateFile&& other) noexcept {
  std::swap(pages_, other.pages_);
  boot_id_ = other.boot_id_;
  device_ = other.device_;
  inode_ = other.inode_;
  return *this;
}

GateFile::~GateFile() {
  if (pages_ != nullptr) munmap(pages_, LIFEBOAT_GATE_FILE_SIZE);
}

void GateFile::Write(const GateWord& word) {
  LifeboatGateWord next{};
  next.magic = LIFEBOAT_GATE_WORD_MAGIC;
  next.open = word.open ? 1 : 0;
  next.epoch = word.epoch.number;
  next.deadline_boot = word.deadline.boot.count();
  next.deadline_raw = word.deadline.raw.count();
  next.system_id = word.postmaster.system_id;
  next.postmaster_pid = word.postmaster.pid;
  next.postmaster_start = word.postmaster.start;
  next.counted_on = word.counted_on ? 1 : 0;
  std::memcpy(next.boot_id, boot_id_.data(), sizeof next.boot_id);
  next.checksum = LifeboatGateWordSum(&next);
  // Odd already: a guard was killed in its midst; then it stays odd until this word is whole.
  const auto sequence = SequenceOf(pages_);
  const std::uint64_t writing = sequence.load(std::memory_order_relaxed) | 1U;
  sequence.store(writing, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  std::memcpy(pages_, &next.magic, sizeof next.magic);
  std::memcpy(pages_ + LIFEBOAT_GATE_BODY, reinterpret_cast<const char*>(&next) + LIFEBOAT_GATE_BODY,
              sizeof next - LIFEBOAT_GATE_BODY);
  sequence.store(writing + 1, std::memory_order_release);
}

std::optional<GateWord> GateFile::Word() const {
  const auto page = ReadPage<LifeboatGateWord>(pages_, LIFEBOAT_GATE_WORD_MAGIC, &LifeboatGateWordSum);
  if (!page || std::memcmp(page->boot_id, boot_id_.data(), sizeof page->boot_id) != 0) return std::nullopt;
  GateWord word;
  word.open = page->open == 1;
  word.epoch = Epoch{page->epoch};
  word.deadline = {Duration(page->deadline_boot), Duration(page->deadline_raw)};
  word.postmaster = {page->postmaster_pid, page->postmaster_start, page->system_id};
  word.counted_on = page->counted_on == 1;
  return word;
}

std::optional<GateAttached> GateFile::Attached() const {
  const auto page =
      ReadPage<LifeboatGateAttached>(pages_ + LIFEBOAT_GATE_PAGE, LIFEBOAT_GATE_ATTACHED_MAGIC, &LifeboatGateAttachedSum);
  if (!page || std::memcmp(page->boot_id, boot_id_.data(), sizeof page->boot_id) != 0) return std::nullopt;
  return GateAttached{{page->postmaster_pid, page->postmaster_start, page->system_id}, page->enforce == 1};
}

bool GateFile::IsAt(const char* path) const {
  struct stat status {};
  return stat(path, &status) == 0 && status.st_dev == device_ && status.st_ino == inode_;
}

std::optional<std::int64_t> ProcessStart(std::int64_t pid) {
  char path[48];
  std::snprintf(path, sizeof path, "/proc/%lld/stat", static_cast<long long>(pid));
  const Descriptor file(open(path, O_RDONLY | O_CLOEXEC));
  if (!file.ok()) return std::nullopt;
  char text[1024];
  const ssize_t size = read(file.number(), text, sizeof text - 1);
  if (size <= 0) return std::nullopt;
  text[size] = 0;
  const char* field = std::strrchr(text, ')');  // the name before it may hold anything
  if (field == nullptr || field[1] == 0 || field[2] == 'Z' || field[2] == 'X') return std::nullopt;
  for (int number = 2; field != nullptr && number < 22; ++number) field = std::strchr(field + 1, ' ');
  if (field == nullptr) return std::nullopt;
  return std::strtoll(field, nullptr, 10);
}

}  // namespace lifeboat
