#pragma once

// What the guard decides, without I/O: when the database may run on, when it is killed, and what is looked at meanwhile
// (docs/lease.md section 7). The shell (guard_process.cc) feeds it questions, the time and what it saw, and does what
// Tick says; nothing else of the guard decides anything.
//
// idle ──Permit──▶ armed ──deadline or Forbid──▶ killing ──none left──▶ fencing ──placed, still none──▶ idle
//   │                │ ▲                          ▲ ▲ ▲────────some came back────────┘
//   │        deadline│ │Permit                    │ │
//   │                ▼ │                          │ │
//   │              closed ──a further L, Forbid, or the gate is not in force──┘ │
//   └──────────────a writable server is seen────────┘
//
// held ──Permit (of a guard that acts)──▶ armed; ──Forbid──▶ killing. Nothing is fenced: policy.automation is, or was until a
// moment ago, 'observe' (docs/adr/0013). A guard that observes begins held; one that has permitted, in this boot, fences on until
// Hold, since other regions may rely on its word until the store says that the lease fences nothing.
//
// closed: the lease has run out, and a gate that is proven to be in force (docs/formats/gate.md) refuses every commit. The
// server lives on for a further L, so that a blip needs neither a person nor a restart.
//
// Thread rule: one owner.

#include <optional>

#include "base/time.h"
#include "base/types.h"
#include "ports/guard.h"

namespace lifeboat {

/// The answer to a question, as it travels (docs/formats/guard.md): numbers are never reused.
enum class GuardAnswer : std::uint32_t {
  kDone = 0,
  kLowerEpoch = 1,
  kDeadlinePassed = 2,
  kDeadlineTooFar = 3,  ///< farther than any lease is long
  kOtherBoot = 4,       ///< the deadline was read from clocks of another boot
  kStillKilling = 5,
  kNotUnderstood = 6,
  kNotRecorded = 7,  ///< the epoch could not be written to disk
  kNotFenced = 8,    ///< nothing is left of the server, but the fence could not be placed
  kObserves = 9,     ///< policy.automation is 'observe': this guard ends nothing, so it permits nothing
  kNoGate = 10,      ///< Close: no gate is proven to be in force
  kActs = 11,        ///< Hold: policy.automation is 'act'
};

/// What a look at the server and its files says while nothing is permitted.
enum class ServerVerdict {
  kHarmless,  ///< none, a standby, or one that cannot become writable as it is
  kWritable,  ///< it is writable, or will be without anyone's further doing
  kStrays,    ///< processes without a postmaster that may be sessions of a writable server
};

struct Permission {
  Epoch epoch;
  Instant deadline;
  Duration length{};  ///< of the lease: how much longer the server may live with its gate closed
  friend bool operator==(const Permission&, const Permission&) = default;
};

/// How a run of the guard begins.
struct GuardStart {
  bool observe = false;  ///< policy.automation is 'observe' in its configuration
  bool held = false;     ///< an earlier run in this boot held the server, and nothing was permitted or forbidden since
};

class GuardCore {
 public:
  /// How soon a writable server is seen while nothing is permitted.
  static constexpr Duration kLookPause = std::chrono::milliseconds(50);
  /// The clocks are read again this often while a deadline runs, whatever the timers say.
  static constexpr Duration kLongestSleep = std::chrono::seconds(1);
  /// A killed process takes about a millisecond to go.
  static constexpr Duration kFirstKillPause = std::chrono::microseconds(250);
  static constexpr Duration kLongestKillPause = std::chrono::milliseconds(20);
  /// After a fence that could not be placed.
  static constexpr Duration kFencePause = std::chrono::seconds(1);
  /// While a closed gate alone holds a server, it is proven again this often.
  static constexpr Duration kProvePause = std::chrono::milliseconds(20);

  enum class Action {
    kSleep,  ///< for NextTick()
    kLook,   ///< look at the server, then SawServer
    kKill,   ///< SIGKILL to every process of the data directory, then SawProcesses
    kFence,  ///< place the fence durably, then FencePlaced; the answer may take its time
    kProve,  ///< find out whether the gate is in force in the server that runs, then SawGate
  };

  /// @param recorded  the highest epoch on disk
  /// @param kept      the permission under which an earlier run of the guard, in this boot, was; one that has passed is
  ///                  no permission, and its server is then judged as any other that runs without one
  /// @param floor     what a kill costs at the least: two looks through /proc
  GuardCore(Epoch recorded, std::optional<Permission> kept, Duration floor, Instant now, GuardStart start = {});
  /// There may be a gate: at a deadline it is asked for (kProve) before anything is killed. Without this call there is none.
  void ExpectGate() { gate_expected_ = true; }

  // ---- questions ----

  /// kDone: Permit would be granted, once the epoch is on disk. A higher epoch is heeded from here on.
  [[nodiscard]] GuardAnswer Consider(const Permission& permission, Instant now);
  /// Of one epoch the latest deadline counts; an earlier one (a message that was overtaken) is done and changes nothing.
  /// A higher epoch replaces the deadline, also by an earlier one.
  [[nodiscard]] GuardAnswer Permit(const Permission& permission, Instant now);
  /// kDone: it is being done; it is finished when IsQuiet(). A server that ran under a permission is killed, as it
  /// might become writable this instant; where nothing was permitted only a writable one is.
  [[nodiscard]] GuardAnswer Forbid(Epoch epoch, Instant now);
  /// The gate stays closed for `epoch` and every lower one, whatever is permitted; the server lives on as permitted.
  /// @param gate  whether the gate was proven to be in force just now
  [[nodiscard]] GuardAnswer Close(Epoch epoch, bool gate);
  /// Lets go: nothing is fenced from now on, without a deadline. kActs: not by a guard that acts.
  [[nodiscard]] GuardAnswer Hold(Epoch epoch);
  /// Kill at once whatever was permitted: the guard itself is being stopped.
  void Abandon(Instant now);

  // ---- the world ----

  [[nodiscard]] Action Tick(Instant now);
  [[nodiscard]] Duration NextTick(Instant now) const;
  void SawServer(ServerVerdict verdict, Instant now);
  /// @param count  processes that were found and killed in this round; negative: /proc could not be read
  void SawProcesses(std::int64_t count, Instant now);
  void FencePlaced(bool placed, Instant now);
  /// The answer to kProve. @param in_force  proven; not known is false
  void SawGate(bool in_force, Instant now);
  void Recorded(Epoch epoch) { recorded_ = std::max(recorded_, epoch); }

  // ---- facts ----

  [[nodiscard]] Epoch highest() const { return highest_; }
  [[nodiscard]] Epoch recorded() const { return recorded_; }
  [[nodiscard]] const std::optional<Permission>& permission() const { return permission_; }
  /// Nothing is permitted, nothing is being killed, and the last look after a Forbid found nothing writable.
  [[nodiscard]] bool IsQuiet() const { return phase_ == Phase::kIdle && !must_look_; }
  [[nodiscard]] bool IsKilling() const { return phase_ == Phase::kKilling; }
  /// The gate holds the server whose lease has run out.
  [[nodiscard]] bool IsClosed() const { return phase_ == Phase::kClosed; }
  /// Since when the kill that runs, or ran last, was due.
  [[nodiscard]] Instant kill_since() const { return kill_since_; }
  /// What the gate's file is to say: commits are allowed until the permission's own deadline, which the gate itself looks at.
  [[nodiscard]] bool GateIsOpen() const {
    return (phase_ == Phase::kArmed && permission_->epoch > closed_) || (IsHeld() && (closed_ == Epoch{} || highest_ > closed_));
  }
  /// Nothing is fenced; an open gate then has no deadline.
  [[nodiscard]] bool IsHeld() const { return phase_ == Phase::kHeld; }
  /// The highest epoch that was closed for good. Kept by the shell across restarts of the guard.
  [[nodiscard]] Epoch closed() const { return closed_; }
  void KeepClosed(Epoch epoch) { closed_ = std::max(closed_, epoch); }
  [[nodiscard]] bool IsFenceMissing() const { return fence_missing_; }
  [[nodiscard]] GuardState State(Instant now) const;

 private:
  enum class Phase { kIdle, kHeld, kArmed, kClosed, kKilling, kFencing, kAfterFence };

  void BeginKill(Instant since, Instant now);
  void EndKill(Instant now);

  Epoch recorded_;
  Epoch highest_;
  Phase phase_ = Phase::kIdle;
  std::optional<Permission> permission_;
  bool observe_ = false;
  bool gate_expected_ = false;
  Epoch closed_;
  Instant kill_at_;     ///< kClosed
  Instant next_prove_;  ///< kClosed
  bool must_look_ = true;
  bool fence_asked_ = false;
  bool fence_missing_ = false;
  bool fired_ = false;
  int stray_looks_ = 0;
  int empty_looks_ = 0;
  Instant next_look_;
  Instant next_kill_;
  Instant next_fence_;
  Instant kill_since_;
  Duration kill_pause_ = kFirstKillPause;
  Duration worst_kill_{};
  std::uint64_t kills_ = 0;
};

}  // namespace lifeboat
