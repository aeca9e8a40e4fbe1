#include <pthread.h>
#include <sys/eventfd.h>

#include <exception>
#include <utility>

#include "guard/disk_worker_internal.h"
#include "guard/guard_memory.h"
#include "guard/server_look.h"

namespace lifeboat {

namespace {

const char* Sentence(GuardEvent event) {
  switch (event) {
    case GuardEvent::kStarted: return "the guard runs; 'ms' is what one look through the processes costs";
    case GuardEvent::kPermitted: return "the database may be writable";
    case GuardEvent::kDeadline: return "the deadline has passed: the database is being killed";
    case GuardEvent::kForbidden: return "forbidden: the database is being killed";
    case GuardEvent::kWritableSeen: return "a writable server without a permission is being killed";
    case GuardEvent::kStopped: return "the guard is being stopped while something is permitted: it fences first";
    case GuardEvent::kKilled: return "no process of the data directory is left; 'ms' is what the kill took";
    case GuardEvent::kGateOpens: return "the gate opens";
    case GuardEvent::kGateCloses: return "the lease has run out: the gate is closed";
    case GuardEvent::kHeld:
      return "nothing is fenced: the server is held open whatever the lease does (policy.automation 'observe')";
    case GuardEvent::kBlind: return "the processes could not be read from /proc; trying on";
  }
  return "";
}

/// Out of memory is an error as any other here: the guard lives on.
template <typename Work>
Result<Unit> Try(Work work) {
  try {
    return work();
  } catch (const std::exception& problem) {
    return Fail(problem.what());
  }
}

}  // namespace

DiskWorker::DiskWorker(std::string record, std::string data_directory, Log log)
    : record_(std::move(record)),
      data_directory_(std::move(data_directory)),
      log_(std::move(log)),
      event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      thread_([this](std::stop_token stop) { Run(std::move(stop)); }) {
  pthread_setname_np(thread_.native_handle(), "guard-disk");
}

DiskWorker::~DiskWorker() {
  thread_.request_stop();
  thread_.join();
}

void DiskWorker::Acknowledge() {
  eventfd_t count = 0;
  eventfd_read(event_.number(), &count);
}

void DiskWorker::Signal() const { eventfd_write(event_.number(), 1); }

void DiskWorker::Record(Epoch epoch) {
  const std::lock_guard lock(mutex_);
  wanted_ = std::max(wanted_, epoch);
  record_failed_ = false;
  wake_.notify_one();
}

void DiskWorker::Fence() {
  const std::lock_guard lock(mutex_);
  want_fence_ = true;
  wake_.notify_one();
}

void DiskWorker::Tell(GuardEvent event, Epoch epoch, Duration duration) { Add(Line{event, epoch, duration, std::nullopt}); }

void DiskWorker::TellEnd(GuardEvent event, Epoch epoch, Instant closed_at) { Add(Line{event, epoch, Duration(0), closed_at}); }

void DiskWorker::Add(const Line& line) {
  const std::lock_guard lock(mutex_);
  if (line_count_ == lines_.size()) return;
  lines_[(first_line_ + line_count_) % lines_.size()] = line;
  ++line_count_;
  wake_.notify_one();
}

DiskWorker::Finished DiskWorker::Take() {
  const std::lock_guard lock(mutex_);
  return Finished{recorded_, record_failed_, std::exchange(fence_, std::nullopt)};
}

Result<Unit> DiskWorker::Logged(Result<Unit> result) const {
  if (!result) log_.Error(result.error().message, {{"hint", result.error().hint}});
  return result;
}

Result<Unit> DiskWorker::WriteLine(const Line& line) const {
  Json fields = Json::object();
  if (line.epoch.number != 0) fields["epoch"] = line.epoch.number;
  if (line.duration != Duration(0)) fields["ms"] = std::chrono::duration<double, std::milli>(line.duration).count();
  if (line.closed_at) {
    const WallTime at{ReadWallClock().ns - (ReadClocks().boot - line.closed_at->boot).count()};
    fields["closed_at"] = FormatWallTime(at);
    fields["closed_at_ns"] = at.ns;
  }
  const bool good =
      line.event == GuardEvent::kStarted || line.event == GuardEvent::kPermitted || line.event == GuardEvent::kGateOpens;
  if (good) {
    log_.Info(Sentence(line.event), fields);
  } else {
    log_.Warn(Sentence(line.event), fields);
  }
  return Done();
}

void DiskWorker::Run(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  for (;;) {
    const auto has_work = [this] { return want_fence_ || (wanted_ > recorded_ && !record_failed_) || line_count_ > 0; };
    wake_.wait(lock, stop, has_work);
    if (!has_work()) return;  // asked to stop, and everything is done
    if (want_fence_) {
      want_fence_ = false;
      lock.unlock();
      const bool placed = Try([this] { return Logged(PlaceFence(data_directory_)); }).ok();
      lock.lock();
      fence_ = placed;
      Signal();
    } else if (wanted_ > recorded_ && !record_failed_) {
      const Epoch epoch = wanted_;
      lock.unlock();
      const bool written = Try([&] { return Logged(WriteGuardRecord(record_, epoch)); }).ok();
      lock.lock();
      if (written) recorded_ = epoch;
      record_failed_ = !written;
      Signal();
    } else {
      const Line line = lines_[first_line_];
      first_line_ = (first_line_ + 1) % lines_.size();
      --line_count_;
      lock.unlock();
      static_cast<void>(Try([&] { return WriteLine(line); }));  // a line that cannot be written has nobody to tell
      lock.lock();
    }
  }
}

}  // namespace lifeboat
