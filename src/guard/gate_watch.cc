#include "guard/gate_watch.h"

#include <sys/inotify.h>
#include <sys/stat.h>

#include <utility>

namespace lifeboat {

using guard_protocol::GateStanding;

GateWatch::GateWatch(std::string path, std::string data_directory, std::string boot_id, ServerFiles& files)
    : path_(std::move(path)), data_directory_(std::move(data_directory)), boot_id_(std::move(boot_id)), files_(files) {
  if (path_.empty()) return;
  events_ = Descriptor(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  Prove();
}

void GateWatch::Acknowledge() const {
  alignas(inotify_event) char events[4096];
  while (read(events_.number(), events, sizeof events) > 0) {
  }
}

void GateWatch::EnsureOpen() {
  if (file_ && file_->IsAt(path_.c_str())) return;
  // The file goes to whom the server belongs, who must be able to write its page.
  struct stat owner {};
  if (stat(data_directory_.c_str(), &owner) != 0) return;
  Result<GateFile> opened = GateFile::Open(path_, boot_id_, owner.st_uid, owner.st_gid);
  problem_ = opened ? std::string() : opened.error().Text();
  if (!opened) return;
  file_ = std::move(opened).value();
  // A word of this boot is an earlier guard's, which is gone on with or replaced by the next Tell: an upgrade closes nothing.
  word_ = file_->Word().value_or(GateWord{});
  if (word_ == GateWord{}) file_->Write(word_);
  if (watched_ >= 0) inotify_rm_watch(events_.number(), watched_);
  watched_ = inotify_add_watch(events_.number(), path_.c_str(), IN_MODIFY);
}

bool GateWatch::IsRunning(const PostmasterId& postmaster) {
  if (ProcessStart(postmaster.pid) != postmaster.start) return false;
  // A postmaster that was proven once and lives holds the lock of its data directory: there is no other. SAFETY: no disk is read
  // then.
  if (proven_ == postmaster) return true;
  const ServerLook look = files_.Look();
  return look.postmaster_alive && !look.single_user && look.postmaster == postmaster.pid && look.system_id == postmaster.system_id;
}

bool GateWatch::Prove() {
  if (path_.empty()) return false;
  std::optional<GateAttached> attached = file_ ? file_->Attached() : std::nullopt;
  if (!attached || !IsRunning(attached->postmaster)) {
    EnsureOpen();
    attached = file_ ? file_->Attached() : std::nullopt;
    if (attached && !IsRunning(attached->postmaster)) attached.reset();
  }
  proven_ = attached ? std::optional(attached->postmaster) : std::nullopt;
  enforce_ = attached && attached->enforce;
  return IsInForce();
}

GateStanding GateWatch::Standing(bool open, bool closed_for_good, bool held) const {
  if (path_.empty()) return GateStanding::kNotConfigured;
  if (!file_) return GateStanding::kNoFile;
  if (!proven_) return GateStanding::kNotAttached;
  if (!enforce_) return GateStanding::kTurnedOff;
  if (held && open) return GateStanding::kHeldOpen;
  if (closed_for_good) return GateStanding::kClosedForGood;
  return open ? GateStanding::kOpen : GateStanding::kClosed;
}

GateWord GateWatch::Tell(const GuardCore& core) {
  const GateWord before = word_;
  GateWord next;
  if (core.permission()) {
    next.epoch = core.permission()->epoch;
    next.deadline = core.permission()->deadline;
    // SAFETY: behind a closed gate it stays counted on until the server is dead: turning it off then must not let a commit through.
    next.counted_on = IsInForce() || core.IsClosed();
  } else {
    next.epoch = core.highest();
    if (core.IsHeld()) next.deadline = kGateHeld;
  }
  if (proven_) next.postmaster = *proven_;
  next.open = core.GateIsOpen() && proven_.has_value();
  if (next != before && file_) file_->Write(next);
  if (file_) word_ = next;
  return before;
}

}  // namespace lifeboat
