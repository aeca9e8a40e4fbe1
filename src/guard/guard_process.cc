#include "guard/guard_process.h"

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <utility>

#include "adapters/system/descriptor.h"
#include "adapters/system/files.h"
#include "adapters/system/process_scan.h"
#include "guard/disk_worker_internal.h"
#include "guard/gate_watch.h"
#include "guard/guard_core.h"
#include "guard/guard_memory.h"
#include "guard/guard_protocol.h"
#include "guard/server_look.h"

namespace lifeboat {

namespace {

using guard_protocol::Answer;
using guard_protocol::Kind;
using guard_protocol::Question;

/// While nothing is permitted, processes without a living postmaster are looked for this often.
constexpr Duration kStrayPause = std::chrono::seconds(1);
/// How long a stopping guard tries to place the fence after its kill.
constexpr Duration kLastFence = std::chrono::seconds(10);

Error SystemError(const std::string& what) { return Fail(what + ": " + std::strerror(errno)); }

Result<Descriptor> Listen(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Fail("the path of the guard's socket '" + path + "' has " + std::to_string(path.size()) + " bytes, 107 is the most",
                "give the region a state directory with a shorter path");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  Descriptor listener(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener.ok()) return SystemError("cannot make the guard's socket");
  unlink(path.c_str());  // of an earlier run: the lock says that there is no other
  const mode_t before = umask(0177);
  const int bound = bind(listener.number(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  umask(before);
  if (bound != 0 || listen(listener.number(), 64) != 0) return SystemError("cannot listen at '" + path + "'");
  return listener;
}

/// What may be refused to us makes the guard slower under pressure, not wrong: it is tried, and said in the log.
Json RaisePriority() {
  mallopt(M_ARENA_MAX, 1);  // a second arena of the second thread would be locked memory for nothing
  // Only what is touched is locked, which the first look at start-up does: libraries that the guard never uses stay out.
  rlimit limit{};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  // Where a limit holds, what is mapped later (the log's own) must not fail for want of locked memory.
  const int later = geteuid() == 0 || limit.rlim_cur == RLIM_INFINITY ? MCL_FUTURE : 0;
  const bool locked = mlockall(MCL_CURRENT | MCL_ONFAULT | later) == 0;
  sched_param parameters{};
  parameters.sched_priority = 50;
  const bool real_time = sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &parameters) == 0;
  if (!real_time) setpriority(PRIO_PROCESS, 0, -20);
  const Descriptor oom(open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  const bool spared = oom.ok() && write(oom.number(), "-1000", 5) == 5;
  return {{"memory_locked", locked}, {"real_time", real_time}, {"spared_by_oom_killer", spared}};
}

/// A client's connection, and the question of it that is not answered yet.
struct Connection {
  Descriptor socket;
  std::optional<Question> pending;
  std::uint64_t since = 0;  ///< order of arrival
};

class GuardLoop {
 public:
  struct Parts {
    ProcessScan scan;
    ServerFiles files;
    KeptPermission kept;
    Descriptor listener;
    Descriptor epoll;
    Descriptor timer;
    Descriptor signals;
  };

  GuardLoop(Parts parts, DiskWorker& disk, GuardCore core, std::string boot_id, const GuardOptions& options)
      : parts_(std::move(parts)),
        disk_(disk),
        core_(std::move(core)),
        boot_id_(guard_protocol::PackBootId(boot_id)),
        gate_(options.gate_file, options.data_directory, boot_id, parts_.files) {
    if (gate_.IsConfigured()) core_.ExpectGate();
    core_.KeepClosed(parts_.kept.LoadClosed());
    UpdateGate();
    if (!gate_.problem().empty()) options.log.Error("there is no gate", {{"problem", gate_.problem()}});
    if (core_.IsHeld()) NoteHeld();
  }

  [[nodiscard]] Result<Unit> Register() {
    for (const int descriptor : {parts_.listener.number(), parts_.timer.number(), parts_.signals.number(), disk_.event()}) {
      if (!Add(descriptor, descriptor)) return SystemError("cannot wait for events");
    }
    if (gate_.event() >= 0 && !Add(gate_.event(), gate_.event())) return SystemError("cannot watch the gate file");
    return Done();
  }

  void Run() {
    for (;;) {
      Act();
      AnswerPending();
      UpdateGate();
      if (MayEnd()) return;
      Wait();
    }
  }

 private:
  bool Add(int descriptor, int tag) const {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = tag;
    return epoll_ctl(parts_.epoll.number(), EPOLL_CTL_ADD, descriptor, &event) == 0;
  }

  /// A stopping guard waits for its kill without limit and for the disk that takes the fence only so long.
  [[nodiscard]] bool MayEnd() const {
    if (!stopping_ || core_.IsKilling()) return false;
    return ((core_.IsQuiet() || core_.IsHeld()) && !core_.IsFenceMissing()) || HasPassed(give_up_, ReadClocks());
  }

  // ---- acting ----

  /// Does what the core says until it says sleep.
  void Act() {
    for (int rounds = 0; rounds < 64; ++rounds) {
      const Instant now = ReadClocks();
      const bool was_armed = core_.permission().has_value();
      const std::uint64_t kills = core_.State(now).kills;
      const GuardCore::Action action = core_.Tick(now);
      if (was_armed && !core_.permission()) PermissionEnded(GuardEvent::kDeadline);
      switch (action) {
        case GuardCore::Action::kSleep: return;
        case GuardCore::Action::kLook: LookAtServer(now); break;
        case GuardCore::Action::kKill: Kill(); break;
        case GuardCore::Action::kFence: disk_.Fence(); break;
        case GuardCore::Action::kProve: ProveGate(); break;
      }
      if (core_.State(now).kills != kills) disk_.Tell(GuardEvent::kKilled, core_.highest(), AgeAt(kill_began_, ReadClocks()));
    }
  }

  void PermissionEnded(GuardEvent why) {
    kill_began_ = core_.kill_since();
    parts_.kept.Save(std::nullopt, core_.closed());
    UpdateGate();
    disk_.TellEnd(why, core_.highest(), why == GuardEvent::kDeadline && last_deadline_ ? *last_deadline_ : kill_began_);
  }

  // ---- the gate ----

  /// Makes the gate file say what is permitted. Before every answer: whoever was told "done" may rely on it.
  void UpdateGate() {
    if (!gate_.IsConfigured()) return;
    const GateWord before = gate_.Tell(core_);
    const GateWord& after = gate_.word();
    if (after.open && (!before.open || before.epoch != after.epoch)) disk_.Tell(GuardEvent::kGateOpens, after.epoch, Duration(0));
    if (before.open && !after.open) {
      const Instant now = ReadClocks();
      disk_.TellEnd(GuardEvent::kGateCloses, before.epoch, HasPassed(before.deadline, now) ? before.deadline : now);
    }
  }

  /// SAFETY: first the sessions are told that the gate is counted on, then it is proven again: a person who turns it off at this
  /// very instant is either seen here or not heeded there (GatePostgres.TurningItOffBehindAClosedGateIsNotHeededAndKills).
  void ProveGate() {
    bool in_force = gate_.Prove();
    UpdateGate();
    in_force = in_force && gate_.Prove();
    const bool was_permitted = core_.permission().has_value();
    core_.SawGate(in_force, ReadClocks());
    if (was_permitted && !core_.permission()) PermissionEnded(GuardEvent::kDeadline);
    UpdateGate();
  }

  void Kill() {
    const ssize_t count = parts_.scan.KillOnce();
    const Instant now = ReadClocks();
    if (count < 0 && !blind_) disk_.Tell(GuardEvent::kBlind, core_.highest(), Duration(0));
    blind_ = count < 0;
    core_.SawProcesses(count, now);
  }

  void LookAtServer(Instant now) {
    ServerVerdict verdict = Judge(parts_.files.Look());
    if (verdict == ServerVerdict::kStrays) verdict = LookForStrays(now);
    const bool was_held = core_.IsHeld();
    core_.SawServer(verdict, ReadClocks());
    if (was_held && !core_.IsHeld()) parts_.kept.Save(std::nullopt, core_.closed());
    if (!core_.IsKilling()) return;
    kill_began_ = now;
    disk_.Tell(GuardEvent::kWritableSeen, core_.highest(), Duration(0));
  }

  /// The look through all processes is the dear part: once a second, unless there are some, or somebody waits for it.
  ServerVerdict LookForStrays(Instant now) {
    if (!strays_seen_ && core_.IsQuiet() && !HasPassed(next_stray_look_, now)) return ServerVerdict::kHarmless;
    next_stray_look_ = now + kStrayPause;
    std::array<pid_t, 4> found{};
    strays_seen_ = parts_.scan.Find(found) != 0;
    return strays_seen_ ? ServerVerdict::kStrays : ServerVerdict::kHarmless;
  }

  // ---- waiting ----

  void Wait() {
    ArmTimer(core_.NextTick(ReadClocks()));
    std::array<epoll_event, 8> events;
    // The timeout is a second string to the timer's bow: CLOCK_MONOTONIC beside CLOCK_BOOTTIME.
    const int count = epoll_wait(parts_.epoll.number(), events.data(), events.size(), 1000);
    for (int at = 0; at < count; ++at) Serve(events[static_cast<std::size_t>(at)].data.fd);
  }

  void ArmTimer(Duration after) const {
    after = std::max<Duration>(after, 1us);  // zero would disarm it
    itimerspec spec{};
    spec.it_value.tv_sec = after.count() / 1'000'000'000;
    spec.it_value.tv_nsec = after.count() % 1'000'000'000;
    timerfd_settime(parts_.timer.number(), 0, &spec, nullptr);
  }

  void Serve(int descriptor) {
    if (descriptor == parts_.timer.number()) {
      std::uint64_t count = 0;
      if (read(descriptor, &count, sizeof count) < 0) return;
    } else if (descriptor == parts_.listener.number()) {
      Accept();
    } else if (descriptor == gate_.event()) {
      gate_.Acknowledge();
      ProveGate();
    } else if (descriptor == disk_.event()) {
      TakeFromDisk();
    } else if (descriptor == parts_.signals.number()) {
      Stop();
    } else {
      for (Connection& connection : connections_) {
        if (connection.socket.number() == descriptor) return Hear(connection);
      }
    }
  }

  void TakeFromDisk() {
    disk_.Acknowledge();
    const DiskWorker::Finished finished = disk_.Take();
    core_.Recorded(finished.recorded);
    record_failed_ = finished.record_failed;
    if (finished.fence) core_.FencePlaced(*finished.fence, ReadClocks());
  }

  /// SAFETY: a guard that is told to end does not leave a writable database unguarded
  /// (GuardProcess.AskedToEndWhilePermittedItFencesFirst).
  void Stop() {
    signalfd_siginfo info{};
    if (read(parts_.signals.number(), &info, sizeof info) < 0 || stopping_) return;
    const Instant now = ReadClocks();
    stopping_ = true;
    give_up_ = now + kLastFence;
    const bool was_armed = core_.permission().has_value();
    if (was_armed) core_.Abandon(now);
    if (was_armed) PermissionEnded(GuardEvent::kStopped);
  }

  // ---- talking ----

  void Accept() {
    for (;;) {
      Descriptor socket(accept4(parts_.listener.number(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!socket.ok()) return;
      // All places taken: the one that came first goes, so that clients that were forgotten cannot lock the agent out.
      Connection* place = &connections_[0];
      for (Connection& connection : connections_) {
        if (place->socket.ok() && (!connection.socket.ok() || connection.since < place->since)) place = &connection;
      }
      if (!Add(socket.number(), socket.number())) continue;
      place->pending.reset();
      place->since = ++arrivals_;
      place->socket = std::move(socket);
    }
  }

  static void Drop(Connection& connection) {
    connection.pending.reset();
    connection.socket.Close();
  }

  void Hear(Connection& connection) {
    Question question;
    const ssize_t size = recv(connection.socket.number(), &question, sizeof question, MSG_TRUNC);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size <= 0 || connection.pending) return Drop(connection);  // one question at a time
    if (size != sizeof question || question.magic != guard_protocol::kMagic) {
      question.number = 0;
      return Reply(connection, question, GuardAnswer::kNotUnderstood);
    }
    switch (question.kind) {
      case Kind::kLook: gate_.Prove(); return Reply(connection, question, GuardAnswer::kDone);
      case Kind::kClose: return HearClose(connection, question);
      case Kind::kPermit: return HearPermit(connection, question);
      case Kind::kForbid: return HearForbid(connection, question);
      case Kind::kHold: return HearHold(connection, question);
    }
    Reply(connection, question, GuardAnswer::kNotUnderstood);
  }

  static Permission PermissionOf(const Question& question) {
    return {Epoch{question.epoch}, Instant{Duration(question.deadline_boot), Duration(question.deadline_raw)},
            Duration(question.length)};
  }

  void HearClose(Connection& connection, const Question& question) {
    const GuardAnswer answer = core_.Close(Epoch{question.epoch}, !core_.IsHeld() && gate_.Prove());
    if (answer == GuardAnswer::kDone) parts_.kept.Save(core_.permission(), core_.closed());
    Reply(connection, question, answer);
  }

  void HearPermit(Connection& connection, const Question& question) {
    // SAFETY: a deadline of another boot lies far in the future on this one's clocks.
    if (question.boot_id != boot_id_) return Reply(connection, question, GuardAnswer::kOtherBoot);
    if (stopping_) return Reply(connection, question, GuardAnswer::kStillKilling);
    Act();  // a deadline that passed a moment ago closes the gate first, and this question opens it again
    const GuardAnswer answer = core_.Consider(PermissionOf(question), ReadClocks());
    if (answer != GuardAnswer::kDone) return Reply(connection, question, answer);
    Await(connection, question);
  }

  void HearForbid(Connection& connection, const Question& question) {
    const bool was_open = core_.permission().has_value() || core_.IsHeld();
    const GuardAnswer answer = core_.Forbid(Epoch{question.epoch}, ReadClocks());
    if (answer != GuardAnswer::kDone) return Reply(connection, question, answer);
    if (was_open) PermissionEnded(GuardEvent::kForbidden);
    Await(connection, question);
  }

  void HearHold(Connection& connection, const Question& question) {
    const bool was_held = core_.IsHeld();
    const GuardAnswer answer = core_.Hold(Epoch{question.epoch});
    if (answer == GuardAnswer::kDone) {
      if (core_.recorded() < core_.highest()) disk_.Record(core_.highest());
      gate_.Prove();
      if (!was_held) NoteHeld();
    }
    Reply(connection, question, answer);
  }

  void NoteHeld() {
    last_deadline_.reset();
    parts_.kept.Save(std::nullopt, core_.closed(), true);
    UpdateGate();
    disk_.Tell(GuardEvent::kHeld, core_.highest(), Duration(0));
  }

  void Await(Connection& connection, const Question& question) {
    if (core_.recorded() < core_.highest()) {
      record_failed_ = false;
      disk_.Record(core_.highest());
    }
    connection.pending = question;
    AnswerPending();
  }

  void AnswerPending() {
    for (Connection& connection : connections_) {
      if (!connection.pending) continue;
      const Question question = *connection.pending;
      const std::optional<GuardAnswer> answer = question.kind == Kind::kPermit ? TryPermit(question) : TryForbid(question);
      if (answer) Reply(connection, question, *answer);
    }
  }

  std::optional<GuardAnswer> TryPermit(const Question& question) {
    const Epoch epoch{question.epoch};
    if (epoch > core_.recorded() && !record_failed_) return std::nullopt;
    const bool was_armed = core_.permission().has_value();
    const Epoch before = was_armed ? core_.permission()->epoch : Epoch{};
    const GuardAnswer answer = core_.Permit(PermissionOf(question), ReadClocks());
    if (answer != GuardAnswer::kDone) return answer;
    last_deadline_ = core_.permission()->deadline;
    parts_.kept.Save(core_.permission(), core_.closed());
    gate_.Prove();
    if (!was_armed || before != epoch) disk_.Tell(GuardEvent::kPermitted, epoch, Duration(0));
    return answer;
  }

  std::optional<GuardAnswer> TryForbid(const Question& question) {
    if (!core_.IsQuiet()) return std::nullopt;
    if (core_.IsFenceMissing()) return GuardAnswer::kNotFenced;
    if (Epoch{question.epoch} <= core_.recorded()) return GuardAnswer::kDone;
    return record_failed_ ? std::optional(GuardAnswer::kNotRecorded) : std::nullopt;
  }

  void Reply(Connection& connection, const Question& question, GuardAnswer result) {
    connection.pending.reset();
    UpdateGate();
    const GuardState state = core_.State(ReadClocks());
    Answer answer;
    answer.answer = static_cast<std::uint32_t>(result);
    answer.number = question.number;
    answer.epoch = core_.highest().number;
    answer.armed = state.armed ? 1 : 0;
    answer.fired = state.fired ? 1 : 0;
    answer.left = state.left.count();
    answer.worst_kill = state.worst_kill.count();
    answer.kills = state.kills;
    answer.flags = (state.observes ? guard_protocol::kFlagObserves : 0U) | (state.held ? guard_protocol::kFlagHeld : 0U);
    const bool closed_for_good = core_.permission() && core_.permission()->epoch <= core_.closed();
    answer.gate = gate_.Standing(gate_.word().open, closed_for_good, state.held);
    const ssize_t sent = send(connection.socket.number(), &answer, sizeof answer, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent != sizeof answer) Drop(connection);  // a client that does not read is none
  }

  Parts parts_;
  DiskWorker& disk_;
  GuardCore core_;
  const std::array<char, 40> boot_id_;
  GateWatch gate_;
  std::array<Connection, 16> connections_;
  std::uint64_t arrivals_ = 0;
  std::optional<Instant> last_deadline_ = core_.permission() ? std::optional(core_.permission()->deadline) : std::nullopt;
  Instant kill_began_;
  Instant next_stray_look_;
  Instant give_up_;
  bool strays_seen_ = false;
  bool record_failed_ = false;
  bool blind_ = false;
  bool stopping_ = false;
};

/// What a kill costs at the least: two looks through the processes. The worst of a few, which also brings all that a
/// kill needs into memory.
Duration MeasureFloor(ProcessScan& scan, ServerFiles& files) {
  Duration worst{0};
  std::array<pid_t, 4> found{};
  for (int round = 0; round < 3; ++round) {
    const Instant begin = ReadClocks();
    for (int look = 0; look < 2; ++look) {
      if (scan.Find(found) < 0) break;
    }
    worst = std::max(worst, AgeAt(begin, ReadClocks()));
    static_cast<void>(Judge(files.Look()));
  }
  kill(getpid(), 0);
  return worst;
}

/// Only one guard for a data directory, also when two state directories are at odds. It need not exist yet.
Result<Descriptor> LockDataDirectory(const std::string& path) {
  Descriptor folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.ok()) return folder;
  if (flock(folder.number(), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return folder;
  return Refused("another guard holds data directory '" + path + "'", "end it first: one guard a data directory");
}

Result<Descriptor> ListenToSignals() {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  sigprocmask(SIG_BLOCK, &ends, nullptr);
  Descriptor signals(signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals.ok()) return SystemError("cannot wait for signals");
  return signals;
}

Result<Unit> Guarded(const GuardOptions& options) {
  const Result<FileLock> lock = FileLock::Take(options.lock_folder, "guard.lock");
  if (!lock) return lock.error();
  const Result<Descriptor> data_lock = LockDataDirectory(options.data_directory);
  if (!data_lock) return data_lock.error();
  const Result<Epoch> recorded = ReadGuardRecord(options.record);
  if (!recorded) return recorded.error();
  const std::string boot_id = ReadBootId();
  Result<KeptPermission> kept = KeptPermission::Open(options.permission, boot_id);
  if (!kept) return kept.error();
  Result<ProcessScan> scan = ProcessScan::Make(options.data_directory);
  if (!scan) return scan.error();
  Result<ServerFiles> files = ServerFiles::Make(options.data_directory);
  if (!files) return files.error();
  Result<Descriptor> listener = Listen(options.socket);
  if (!listener) return listener.error();
  Result<Descriptor> signals = ListenToSignals();
  if (!signals) return signals.error();
  Descriptor epoll(epoll_create1(EPOLL_CLOEXEC));
  Descriptor timer(timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!epoll.ok() || !timer.ok()) return SystemError("cannot make a timer");
  // Whoever starts us chooses the working directory; within the database's own we would find ourselves among its processes.

  // Started before the priority is raised: the disk's thread needs none.
  DiskWorker disk(options.record, options.data_directory, options.log);
  options.log.Info("what the guard was granted", RaisePriority());
  const Duration floor = MeasureFloor(*scan, *files);
  disk.Tell(GuardEvent::kStarted, *recorded, floor / 2);
  const std::optional<Permission> permission = kept->Load();
  GuardCore core(*recorded, permission, floor, ReadClocks(), {options.observe, kept->LoadHeld()});
  if (permission && !core.permission()) disk.TellEnd(GuardEvent::kGateCloses, permission->epoch, permission->deadline);
  GuardLoop loop({std::move(scan).value(), std::move(files).value(), std::move(kept).value(), std::move(listener).value(),
                  std::move(epoll), std::move(timer), std::move(signals).value()},
                 disk, std::move(core), boot_id, options);
  if (Result<Unit> registered = loop.Register(); !registered) return registered;
  loop.Run();
  unlink(options.socket.c_str());
  return Done();
}

}  // namespace

std::string GuardSocketPath(const std::string& state_directory) { return state_directory + "/guard.sock"; }

GuardOptions GuardOptionsFor(const std::string& state_directory, const std::string& data_directory, Log log) {
  GuardOptions options;
  options.data_directory = data_directory;
  options.socket = GuardSocketPath(state_directory);
  options.record = state_directory + "/guard.json";
  options.permission = state_directory + "/guard.permission";
  options.lock_folder = state_directory;
  options.log = std::move(log);
  return options;
}

int RunGuard(const GuardOptions& options) {
  const Result<Unit> ended = Guarded(options);
  if (ended.ok()) {
    options.log.Info("the guard has ended");
    return 0;
  }
  options.log.Error(ended.error().message, {{"hint", ended.error().hint}});
  std::fprintf(stderr, "lifeboat guard: %s\n", ended.error().Text().c_str());
  return 1;
}

}  // namespace lifeboat
