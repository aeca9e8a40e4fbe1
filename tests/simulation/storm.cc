// Everything at random: which faults there are at all, when, where and for how long.

#include "simulation/storm.h"

#include "model/agent_record.h"

namespace lifeboat::simulation {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Storm {
 public:
  Storm(World& world, const Wishes& wishes) : w_(world), dice_(world.dice.Fork()), copies_(wishes.seed * 104729) {
    old_copy_ = wishes.faults == kOldCopy;
    held_.resize(static_cast<std::size_t>(w_.data() + 1));
    for (const Fault& fault : Faults()) {
      const bool wanted = wishes.faults.empty() ? dice_.Chance(0.65) : std::string(fault.name).starts_with(wishes.faults);
      if (wanted && (w_.options.gate || !fault.needs_gate)) enabled_.push_back(&fault);
    }
    if (enabled_.empty()) {
      for (const Fault& fault : Faults()) {
        if (w_.options.gate || !fault.needs_gate) enabled_.push_back(&fault);
      }
    }
    service_manager_ = dice_.Chance(0.3);
  }

  void Run() {
    w_.StartAll();
    if (!w_.RunUntil([&] { return w_.Healthy(0); }, 60s)) return w_.checker.Stuck(w_.time.now(), "the service was not founded");
    Supervise();
    Operate();
    if (old_copy_) CopyStore();
    const std::uint64_t events = 6 + dice_.Below(14);
    for (std::uint64_t event = 0; event < events && !w_.Broken(); ++event) {
      w_.RunFor(Short(2500));
      (this->*enabled_[dice_.Below(enabled_.size())]->strike)();
      if (dice_.Chance(0.4)) {  // two at once
        w_.RunFor(Short(60));
        (this->*enabled_[dice_.Below(enabled_.size())]->strike)();
      }
    }
    w_.RunFor(Short(4000));
    Heal();
  }

  struct Fault {
    const char* name;
    void (Storm::*strike)();
    bool needs_gate;
  };
  static const std::vector<Fault>& Faults();
  static constexpr const char* kOldCopy = "old-copy";  ///< beside all the others

 private:
  struct Held {
    Duration agent{0};
    Duration guard{0};
    Duration machine{0};
  };

  int Any() { return static_cast<int>(dice_.Below(static_cast<std::uint64_t>(w_.data() + 1))); }
  int AnyData() { return static_cast<int>(dice_.Below(static_cast<std::uint64_t>(w_.data()))); }
  Duration Short(std::uint64_t most_ms) { return Duration(dice_.Below(most_ms * 1'000'000)) + milliseconds(1); }
  /// Mostly around the lease's length, sometimes much longer.
  Duration While() {
    const auto length = static_cast<std::uint64_t>(w_.options.length.count());
    return dice_.Chance(0.2) ? Duration(dice_.Below(8 * length)) : Duration(dice_.Below(2 * length));
  }
  Held& HeldAt(int place) { return held_[static_cast<std::size_t>(place)]; }

  /// Service managers: what has ended is started again, after a moment, unless it is held down.
  void Supervise() {
    w_.time.At(w_.time.now() + milliseconds(20 + dice_.Below(600)), [this] {
      Supervise();
      const Duration now = w_.time.now();
      for (int place = 0; place <= w_.data(); ++place) {
        World::Machine& machine = w_.At(place);
        const Held& held = HeldAt(place);
        if (held.machine > now || machine.frozen) continue;
        if (machine.guard && !machine.guard->alive() && held.guard <= now) machine.guard->Live();
        if (!machine.run && held.agent <= now) w_.StartAgent(place);
        if (service_manager_ && machine.server && machine.server->mode == ServerMode::kDown && dice_.Chance(0.5))
          w_.SuperviseServer(place);
      }
    });
  }
  /// A person who rejoins what was lost, so that it can be lost again.
  void Operate() {
    w_.time.At(w_.time.now() + seconds(2) + milliseconds(dice_.Below(4000)), [this] {
      Operate();
      for (int place = 0; place < w_.data(); ++place) {
        if (w_.RuleOf(place) == 310) w_.Order(place, "rejoin", Json{{"region", w_.At(place).name.text}, {"by", "storm"}});
      }
    });
  }

  /// Somebody keeps a copy of the store's file, and puts it in the file's place later on. Where a region that was away at that
  /// moment alone knew better, nothing can help (docs/lease.md section 1; the model shows it), so that is not tried: each agent has
  /// what the store says now on its disk, and hears it.
  void CopyStore() {
    w_.time.At(w_.time.now() + copies_.Between(Duration(0), seconds(12)), [this] {
      kept_ = std::make_unique<testing::FakeStoreServer>(w_.store->data);
      if (w_.tracing()) w_.Note("somebody copies the store's file");
      w_.time.At(w_.time.now() + copies_.Between(milliseconds(100), seconds(8)), [this] { RestoreWhenAllKnow(); });
    });
  }
  [[nodiscard]] bool AllKnow() {
    const auto item = w_.Item();
    if (!item || !w_.store->up()) return false;
    for (int place = 0; place <= w_.data(); ++place) {
      const World::Machine& machine = w_.At(place);
      if (!machine.run || machine.frozen || machine.agent_frozen) return false;
      for (int other = 0; other <= w_.data(); ++other) {
        const LinkFaults& link = w_.network.Link(place, other);
        if (link.cut || link.loss > 0 || link.slow > 0) return false;
      }
      const auto file = machine.files.content.find("/state/record.json");
      if (file == machine.files.content.end()) return false;
      const AgentRecord record = *AgentRecordFromJson(*ParseJson(file->second, "record"));
      if (record.highest != item->epoch || record.incarnation != w_.store->data.incarnation()) return false;
    }
    return true;
  }
  void RestoreWhenAllKnow() {
    After(milliseconds(20), [this] {
      if (!AllKnow()) return RestoreWhenAllKnow();
      const auto before = kept_->ValueOf("orders/lease");
      // The store's next run counts its lives from the copy's: what is not a new life to the agents is refused or passed over.
      const bool older = !before || LeaseItemFromJson(*ParseJson(*before, "lease"))->epoch < w_.Item()->epoch ||
                         kept_->incarnation() < w_.store->data.incarnation();
      if (w_.tracing())
        w_.Note(std::string("the store's file is replaced by the copy") + (older ? ", of an earlier epoch or life" : ""));
      const auto newest = std::make_shared<testing::FakeStoreServer>(w_.store->data);
      PutInPlace(*kept_);
      // Everybody refuses that. The person who did it is told so, and brings the newest back.
      if (!older) return;
      brought_back_ = false;
      w_.time.At(w_.time.now() + copies_.Between(milliseconds(200), seconds(9)), [this] { BringBack(); });
      newest_ = newest;
    });
  }
  /// Not any more where an agent has taken a life of the copy for the store, and went on in it: then that is the store.
  void BringBack() {
    if (brought_back_) return;
    brought_back_ = true;
    const Epoch newest = LeaseItemFromJson(*ParseJson(*newest_->ValueOf("orders/lease"), "lease"))->epoch;
    if (w_.Item() && w_.Item()->epoch > newest) return;
    for (int place = 0; place <= w_.data(); ++place) {
      const auto& files = w_.At(place).files.content;
      const auto file = files.find("/state/record.json");
      if (file == files.end()) continue;
      if (AgentRecordFromJson(*ParseJson(file->second, "record"))->incarnation > newest_->incarnation()) return;
    }
    if (w_.tracing()) w_.Note("the newest copy of the store's file is brought back");
    PutInPlace(*newest_);
  }
  void PutInPlace(const testing::FakeStoreServer& copy) {
    w_.KillAgent(w_.witness());
    w_.store->RestoreFrom(copy);
    if (HeldAt(w_.witness()).machine <= w_.time.now()) w_.StartAgent(w_.witness());
  }

  /// Without a gate, a region whose guard and agent are both dead or still for longer than the lease is not fenced by anyone: that
  /// is stated (docs/guarantees.md), and not tried here.
  void SpareGuard(int place) {
    if (w_.options.gate || place == w_.witness()) return;
    HeldAt(place).guard = Duration(0);
    w_.At(place).guard->Live();
  }

  // ---- faults ----
  void AgentKilled() {
    const int place = Any();
    SpareGuard(place);
    if (dice_.Chance(0.4)) HeldAt(place).agent = w_.time.now() + While();
    w_.KillAgent(place);
  }
  void AgentKilledAtCall() {
    const int place = Any();
    SpareGuard(place);
    w_.KillAtCall(place, 1 + dice_.Below(60), false);
  }
  void AgentFrozen() {
    const int place = Any();
    SpareGuard(place);
    w_.FreezeAgent(place, While());
  }
  void AgentFrozenAtCall() {
    const int place = AnyData();
    SpareGuard(place);
    w_.KillAtCall(place, 1 + dice_.Below(60), true);
  }
  void GuardKilled() {
    const int place = AnyData();
    const World::Machine& machine = w_.At(place);
    if (!w_.options.gate && (!machine.run || machine.agent_frozen || machine.calls_left > 0)) return;
    if (dice_.Chance(0.4)) HeldAt(place).guard = w_.time.now() + While();
    if (w_.tracing()) w_.Note(w_.At(place).name.text + ": the guard is killed");
    w_.At(place).guard->Die();
  }
  void MachineOff() {
    const int place = Any();
    const Duration d = While();
    const Duration until = w_.time.now() + d;
    HeldAt(place).machine = until;
    w_.KillMachine(place);
    w_.time.At(until + milliseconds(1), [this, place, until] {
      if (HeldAt(place).machine != until) return;  // off for longer by now, or all is healed
      w_.StartMachine(place, true);
    });
  }
  void MachineFrozen() { w_.FreezeMachine(AnyData(), While()); }
  void WitnessFrozen() { w_.FreezeMachine(w_.witness(), While()); }
  void ServerKilled() {
    World::Machine& machine = w_.At(AnyData());
    const bool postmaster = dice_.Chance(0.4);
    if (w_.tracing()) w_.Note(machine.name.text + (postmaster ? ": the postmaster is killed" : ": PostgreSQL is killed"));
    machine.server->Kill(postmaster);
  }
  void ServerHangs() {
    FakeServer* server = w_.At(AnyData()).server;
    if (w_.tracing()) w_.Note(server->region.text + ": PostgreSQL hangs");
    server->hung = true;
    w_.time.At(w_.time.now() + While(), [server] { server->hung = false; });
  }
  void ServerDoesNotStart() {
    FakeServer* server = w_.At(AnyData()).server;
    if (w_.tracing()) w_.Note(server->region.text + ": PostgreSQL does not start for a while");
    server->start_fails = true;
    w_.time.At(w_.time.now() + While(), [server] { server->start_fails = false; });
    if (dice_.Chance(0.5)) server->Kill();
  }
  void RewindFails() {
    FakeServer* server = w_.At(AnyData()).server;
    server->rewind_fails = true;
    w_.time.At(w_.time.now() + While(), [server] { server->rewind_fails = false; });
  }
  void ServerRestartedBySomebody() {
    const int place = AnyData();
    w_.At(place).server->Kill();
    w_.time.At(w_.time.now() + Short(100), [this, place] {
      if (HeldAt(place).machine <= w_.time.now()) w_.SuperviseServer(place);
    });
  }
  void LinkCut() {
    const int from = Any();
    const int to = Any();
    const bool both = dice_.Chance(0.5);
    if (w_.tracing()) w_.Note("cut: " + w_.At(from).name.text + (both ? " <-> " : " -> ") + w_.At(to).name.text);
    w_.network.Link(from, to).cut = true;
    if (both) w_.network.Link(to, from).cut = true;
    w_.time.At(w_.time.now() + While(), [this, from, to, both] {
      if (w_.tracing()) w_.Note("healed: " + w_.At(from).name.text + (both ? " <-> " : " -> ") + w_.At(to).name.text);
      w_.network.Link(from, to).cut = false;
      if (both) w_.network.Link(to, from).cut = false;
    });
  }
  void RegionCutOff() {
    const int place = Any();
    const int direction = static_cast<int>(dice_.Below(3));  // in, out, both
    if (w_.tracing())
      w_.Note("cut off: " + w_.At(place).name.text + (direction == 0 ? ", inwards" : direction == 1 ? ", outwards" : ""));
    CutOff(place, direction, true);
    w_.time.At(w_.time.now() + While(), [this, place, direction] {
      if (w_.tracing()) w_.Note("no longer cut off: " + w_.At(place).name.text);
      CutOff(place, direction, false);
    });
  }
  void CutOff(int place, int direction, bool cut) {
    for (int other = 0; other <= w_.data(); ++other) {
      if (direction != 1) w_.network.Link(other, place).cut = cut;
      if (direction != 0) w_.network.Link(place, other).cut = cut;
    }
  }
  void LinkPoor() {
    LinkFaults poor;
    poor.most = milliseconds(3 + dice_.Below(40));
    poor.loss = dice_.Chance(0.6) ? dice_.Fraction() * 0.7 : 0;
    poor.duplicate = dice_.Chance(0.5) ? dice_.Fraction() * 0.5 : 0;
    poor.slow = dice_.Chance(0.5) ? dice_.Fraction() * 0.6 : 0;
    poor.slowest = While();
    const bool all = dice_.Chance(0.3);
    const int from = Any();
    const int to = Any();
    if (w_.tracing()) w_.Note("poor: " + (all ? std::string("all links") : w_.At(from).name.text + " -> " + w_.At(to).name.text));
    const Duration d = 2 * While();
    for (int a = 0; a <= w_.data(); ++a) {
      for (int b = 0; b <= w_.data(); ++b) {
        if (!all && (a != from || b != to)) continue;
        const bool cut = w_.network.Link(a, b).cut;
        w_.network.Link(a, b) = poor;
        w_.network.Link(a, b).cut = cut;
      }
    }
    w_.time.At(w_.time.now() + d, [this, all, from, to] {
      for (int a = 0; a <= w_.data(); ++a) {
        for (int b = 0; b <= w_.data(); ++b) {
          if (!all && (a != from || b != to)) continue;
          const bool cut = w_.network.Link(a, b).cut;
          w_.network.Link(a, b) = LinkFaults();
          w_.network.Link(a, b).cut = cut;
        }
      }
    });
  }
  void DiskSlow() {
    World::Machine& machine = w_.At(Any());
    if (w_.tracing()) w_.Note(machine.name.text + ": the disk is slow");
    machine.disk = Short(900);
    w_.time.At(w_.time.now() + While(), [this, &machine] { machine.disk = w_.options.disk; });
  }
  void DiskFull() {
    World::Machine& machine = w_.At(Any());
    if (w_.tracing()) w_.Note(machine.name.text + ": the disk is full");
    machine.files.full = true;
    if (machine.place == w_.witness()) w_.store->data.full = true;
    w_.time.At(w_.time.now() + While(), [this, &machine] {
      machine.files.full = false;
      if (machine.place == w_.witness()) w_.store->data.full = false;
    });
  }
  void NameServerDown() {
    w_.names.up = false;
    w_.time.At(w_.time.now() + While(), [this] { w_.names.up = true; });
  }
  void StoreRestarts() {
    w_.KillAgent(w_.witness());
    w_.time.At(w_.time.now() + Short(300), [this] {
      if (HeldAt(w_.witness()).machine <= w_.time.now()) w_.StartAgent(w_.witness());
    });
  }
  void OrderedSwitchover() {
    const int to = AnyData();
    w_.Order(dice_.Chance(0.7) ? to : Any(), "switchover", Json{{"to", w_.At(to).name.text}, {"by", "storm"}});
  }
  void OrderedAbort() {
    const auto current = w_.store->data.ValueOf("orders/current");
    if (current) w_.Order(Any(), "executions.abort", Json{{"id", *current}, {"by", "storm"}});
  }
  /// Whoever executes is killed at one of its calls, and the next run is told to stop.
  void TrapExecutorKilled() {
    const int to = AnyData();
    w_.Order(to, "switchover", Json{{"to", w_.At(to).name.text}, {"by", "storm"}});
    SpareGuard(to);
    w_.KillAtCall(to, 1 + dice_.Below(140), false);
    AbortOnce(to, w_.At(to).runs, w_.time.now() + seconds(6));
  }
  void AbortOnce(int place, int runs, Duration until) {
    After(milliseconds(5), [this, place, runs, until] {
      if (!w_.AgentRuns(place)) w_.StartAgent(place);
      if (w_.At(place).runs == runs && w_.time.now() < until) return AbortOnce(place, runs, until);
      if (w_.At(place).runs == runs) return;
      for (int again = 0; again < 4; ++again) {
        After(milliseconds(5 + dice_.Below(150)), [this, place] {
          const auto current = w_.store->data.ValueOf("orders/current");
          if (current) w_.Order(place, "executions.abort", Json{{"id", *current}, {"by", "storm"}});
        });
      }
    });
  }
  /// Whoever takes over stands still just before it moves the name, and goes on when another may long have taken over in turn.
  void TrapLateRoute() {
    const int to = AnyData();
    if (w_.tracing()) w_.Note("trap: " + w_.At(to).name.text + " stands still before it moves the name");
    SpareGuard(to);
    w_.At(to).freeze_at_route = Lengths(4 + 4 * dice_.Fraction());
    w_.Order(to, "switchover", Json{{"to", w_.At(to).name.text}, {"by", "storm"}});
  }
  void OrderedFailover() {
    const int to = AnyData();
    Json order = {{"to", w_.At(to).name.text}, {"by", "storm"}};
    if (dice_.Chance(0.5)) order["accept_loss"] = true;
    w_.Order(to, "failover", std::move(order));
  }
  /// A person who has seen to it that the holder's region is off says so, and does not lie.
  void AttestedFailover() {
    const auto item = w_.Item();
    if (!item) return;
    const int holder = w_.PlaceOf(item->holder);
    const Duration until = w_.time.now() + seconds(40);  // longer than anyone stands still
    HeldAt(holder).machine = until;
    w_.KillMachine(holder);
    w_.time.At(until + milliseconds(1), [this, holder, until] {
      if (HeldAt(holder).machine == until) w_.StartMachine(holder, true);
    });
    const int to = AnyData();
    if (to == holder) return;
    w_.time.At(w_.time.now() + Short(700), [this, to] {
      Json order = {{"to", w_.At(to).name.text}, {"by", "storm"}, {"accept_loss", true}, {"attest", "a person: it is off"}};
      w_.Order(to, "failover", std::move(order));
    });
  }

  // ---- traps: several steps, each at the moment at which it hurts most ----

  std::optional<int> Holder() {
    const auto item = w_.Item();
    if (!item || item->released || !w_.At(w_.PlaceOf(item->holder)).server->CanCommit()) return std::nullopt;
    return w_.PlaceOf(item->holder);
  }
  void After(Duration d, std::function<void()> what) {
    w_.time.At(w_.time.now() + d, [this, what = std::move(what)] {
      if (!healed_) what();
    });
  }
  void Cut(int a, int b, bool cut) { w_.network.Link(a, b).cut = w_.network.Link(b, a).cut = cut; }
  void CutCandidates(int holder, bool cut) {
    for (int place = 0; place < w_.data(); ++place) {
      if (place != holder) Cut(holder, place, cut);
    }
  }
  Duration Lengths(double n) const {
    return Duration(static_cast<std::int64_t>(static_cast<double>(w_.options.length.count()) * n));
  }

  /// The promises alone carry the lease, and their answers are slow, doubled and mixed up; then the questions are lost.
  void TrapAnswersLate() {
    const auto holder = Holder();
    if (!holder) return;
    if (w_.tracing()) w_.Note("trap: slow answers to " + w_.At(*holder).name.text + ", then no more questions");
    w_.hub.stale_answers = 0.3;
    Cut(*holder, w_.witness(), true);
    for (int place = 0; place < w_.data(); ++place) {
      if (place == *holder) continue;
      LinkFaults& back = w_.network.Link(place, *holder);
      back.least = Lengths(0.05);
      back.most = std::min<Duration>(Lengths(0.9), milliseconds(950));
      back.duplicate = 0.3;
    }
    After(Lengths(1.2 + dice_.Fraction()), [this, holder = *holder] {
      for (int place = 0; place < w_.data(); ++place) {
        if (place != holder) w_.network.Link(holder, place).cut = true;
      }
    });
    After(Lengths(5), [this, holder = *holder] {
      w_.hub.stale_answers = 0;
      Cut(holder, w_.witness(), false);
      CutCandidates(holder, false);
      for (int place = 0; place < w_.data(); ++place) w_.network.Link(place, holder) = LinkFaults();
    });
  }
  /// The store alone carries the lease; then it is out of reach.
  void TrapStoreAlone() {
    const auto holder = Holder();
    if (!holder) return;
    if (w_.tracing()) w_.Note("trap: the store alone carries " + w_.At(*holder).name.text + ", then nothing does");
    CutCandidates(*holder, true);
    After(Lengths(1.2 + dice_.Fraction()), [this, holder = *holder] { Cut(holder, w_.witness(), true); });
    After(Lengths(5), [this, holder = *holder] {
      Cut(holder, w_.witness(), false);
      CutCandidates(holder, false);
    });
  }
  /// The promises alone carry the lease; then nothing does, and whoever promised has forgotten it.
  void TrapPromisesForgotten() {
    const auto holder = Holder();
    if (!holder) return;
    if (w_.tracing()) w_.Note("trap: promises alone carry " + w_.At(*holder).name.text + ", and who gave them starts anew");
    Cut(*holder, w_.witness(), true);
    After(Lengths(1.3 + dice_.Fraction()), [this, holder = *holder] {
      CutCandidates(holder, true);
      for (int place = 0; place < w_.data(); ++place) {
        if (place == holder) continue;
        SpareGuard(place);
        w_.KillAgent(place);
        w_.StartAgent(place);
        // The new run knows nothing of what would be lost: a person takes it on.
        for (const double later : {0.1, 0.2, 0.3}) {
          After(Lengths(later), [this, place] {
            w_.Order(place, "failover", Json{{"to", w_.At(place).name.text}, {"by", "storm"}, {"accept_loss", true}});
          });
        }
      }
    });
    After(Lengths(5), [this, holder = *holder] {
      Cut(holder, w_.witness(), false);
      CutCandidates(holder, false);
    });
  }
  /// The promises alone carry the lease, and one candidate of several cannot be asked any more; perhaps it is removed.
  void TrapOneCandidateAway() {
    const auto holder = Holder();
    if (!holder || w_.data() < 3) return;
    int away = AnyData();
    if (away == *holder) away = (away + 1) % w_.data();
    const bool removed = dice_.Chance(0.5);
    if (w_.tracing())
      w_.Note("trap: " + w_.At(*holder).name.text + " lacks the promise of " + w_.At(away).name.text +
              (removed ? ", and removes it" : ""));
    Cut(*holder, away, true);
    After(Lengths(0.4), [this, holder = *holder] { Cut(holder, w_.witness(), true); });
    if (removed) {
      After(Lengths(0.5), [this, holder = *holder, away] {
        w_.Order(holder, "candidates.remove", Json{{"region", w_.At(away).name.text}, {"by", "storm"}});
      });
    }
    After(Lengths(4), [this, holder = *holder, away] {
      Cut(holder, w_.witness(), false);
      Cut(holder, away, false);
    });
  }
  /// A takeover's answer is lost with the agent that sent it; the old primary is heard again before the store is.
  void TrapClaimForgotten() {
    const auto holder = Holder();
    if (!holder) return;
    int heir = AnyData();
    if (heir == *holder) heir = (heir + 1) % w_.data();
    if (w_.tracing()) w_.Note("trap: the takeover by " + w_.At(heir).name.text + " is forgotten by who sent it");
    const Epoch before = w_.Item()->epoch;
    const bool killed = dice_.Chance(0.7);
    CutOff(*holder, 2, true);
    WaitForClaim(*holder, heir, before, killed, w_.time.now() + Lengths(4));
  }
  void WaitForClaim(int holder, int heir, Epoch before, bool killed, Duration until) {
    After(Duration(200'000), [this, holder, heir, before, killed, until] {
      const bool claimed = w_.Item() && w_.Item()->epoch > before;
      if (!claimed && w_.time.now() < until) return WaitForClaim(holder, heir, before, killed, until);
      if (claimed) {
        Cut(heir, w_.witness(), true);  // the answer is lost too
        if (killed) {
          SpareGuard(heir);
          w_.KillAgent(heir);
          w_.StartAgent(heir);
        }
      }
      // The old primary and the candidates hear each other again; the store is out of reach for both.
      CutCandidates(holder, false);
      After(Lengths(1.1 + 1.5 * dice_.Fraction()), [this, heir] { Cut(heir, w_.witness(), false); });
      After(Lengths(4), [this, holder] { CutOff(holder, 2, false); });
    });
  }

  void Heal() {
    healed_ = true;
    w_.hub.stale_answers = 0;
    if (w_.tracing()) w_.Note("---- everything is healed ----");
    w_.network.HealAll();
    w_.names.up = true;
    BringBack();
    w_.store->data.full = false;
    for (int place = 0; place <= w_.data(); ++place) {
      World::Machine& machine = w_.At(place);
      HeldAt(place) = Held();
      w_.ThawMachine(place);
      w_.ThawAgent(place);
      machine.calls_left = 0;
      machine.freeze_at_route.reset();
      machine.disk = w_.options.disk;
      machine.files.full = false;
      if (machine.server) machine.server->hung = machine.server->start_fails = machine.server->rewind_fails = false;
    }
    MakePeace(w_, std::chrono::minutes(8));
  }

  World& w_;
  Dice dice_;
  Dice copies_;  // of its own
  bool old_copy_ = false;
  std::unique_ptr<testing::FakeStoreServer> kept_;
  std::shared_ptr<testing::FakeStoreServer> newest_;  // while an older one stands in its place
  bool brought_back_ = true;
  std::vector<Held> held_;
  std::vector<const Fault*> enabled_;
  bool service_manager_ = false;
  bool healed_ = false;
};

const std::vector<Storm::Fault>& Storm::Faults() {
  static const std::vector<Fault> kFaults = {
      {"agent-killed", &Storm::AgentKilled, false},
      {"agent-killed-at-call", &Storm::AgentKilledAtCall, false},
      {"agent-frozen", &Storm::AgentFrozen, false},
      {"agent-frozen-at-call", &Storm::AgentFrozenAtCall, false},
      {"guard-killed", &Storm::GuardKilled, false},
      {"machine-off", &Storm::MachineOff, false},
      {"machine-frozen", &Storm::MachineFrozen, true},
      {"witness-frozen", &Storm::WitnessFrozen, false},
      {"server-killed", &Storm::ServerKilled, false},
      {"server-hangs", &Storm::ServerHangs, false},
      {"server-does-not-start", &Storm::ServerDoesNotStart, false},
      {"server-restarted", &Storm::ServerRestartedBySomebody, false},
      {"rewind-fails", &Storm::RewindFails, false},
      {"link-cut", &Storm::LinkCut, false},
      {"region-cut-off", &Storm::RegionCutOff, false},
      {"link-poor", &Storm::LinkPoor, false},
      {"disk-slow", &Storm::DiskSlow, false},
      {"disk-full", &Storm::DiskFull, false},
      {"name-server-down", &Storm::NameServerDown, false},
      {"store-restarts", &Storm::StoreRestarts, false},
      {"order-switchover", &Storm::OrderedSwitchover, false},
      {"order-failover", &Storm::OrderedFailover, false},
      {"order-abort", &Storm::OrderedAbort, false},
      {"order-attested", &Storm::AttestedFailover, false},
      {"trap-answers-late", &Storm::TrapAnswersLate, false},
      {"trap-store-alone", &Storm::TrapStoreAlone, false},
      {"trap-promises-forgotten", &Storm::TrapPromisesForgotten, false},
      {"trap-one-candidate-away", &Storm::TrapOneCandidateAway, false},
      {"trap-claim-forgotten", &Storm::TrapClaimForgotten, false},
      {"trap-executor-killed", &Storm::TrapExecutorKilled, false},
      {"trap-late-route", &Storm::TrapLateRoute, false},
  };
  return kFaults;
}

}  // namespace

std::vector<std::string> FaultNames() {
  std::vector<std::string> names;
  for (const Storm::Fault& fault : Storm::Faults()) names.emplace_back(fault.name);
  names.emplace_back(Storm::kOldCopy);
  return names;
}

Options StormOptions(const Wishes& wishes) {
  Dice dice(wishes.seed * 7919);
  Options options;
  options.seed = wishes.seed;
  options.trace = wishes.trace;
  options.data_regions = wishes.data_regions.value_or(dice.Chance(0.3) ? 3 : 2);
  options.gate = wishes.gate.value_or(dice.Chance(0.5));
  options.length = milliseconds(dice.Chance(0.5) ? 3000 : 600 + 100 * dice.Below(20));
  if (dice.Chance(0.2)) options.other_length = milliseconds(600 + 100 * dice.Below(30));
  options.guard_lateness = milliseconds(dice.Below(140));
  options.replication_delay = milliseconds(dice.Chance(0.7) ? 3 : dice.Below(400));
  options.policy.automation = Automation::kAct;
  options.policy.loss_limit =
      LossLimit{dice.Chance(0.7) ? Duration(30s) : Duration(milliseconds(500 + dice.Below(6000))), {64 << 20}};
  options.policy.cool_down = 0s;
  options.policy.failover_after = dice.Chance(0.2) ? Duration(milliseconds(dice.Below(2000))) : Duration(0);
  if (dice.Chance(0.5)) options.policy.database_failure = DatabaseFailure::kFailover;
  return options;
}

void RunStorm(World& world, const Wishes& wishes) { Storm(world, wishes).Run(); }

}  // namespace lifeboat::simulation
