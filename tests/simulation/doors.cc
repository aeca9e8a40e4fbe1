#include "simulation/doors.h"

#include <boost/asio/detached.hpp>

namespace lifeboat::simulation {

namespace asio = boost::asio;
using testing::FakeServer;
using testing::ServerMode;

// ---- agents ----

namespace {

using Reply = Pending<Result<Json>>;

/// One question on its way, and what its answer needs to find the way back.
struct Question {
  PeerHub* hub;
  int from;
  int to;
  bool datagram;
  std::string method;
  Json parameters;
  std::weak_ptr<Reply> reply;
};

void SendBack(const Question& question, Result<Json> answer) {
  question.hub->network.Send(question.to, question.from, question.datagram,
                             [to = question.reply, answer = std::make_shared<Result<Json>>(std::move(answer))] {
                               if (const auto waiting = to.lock()) waiting->Give(*answer);
                             });
}

/// Travels with the question through the answering process; where that ends first, the asker's connection breaks.
struct Carrier {
  explicit Carrier(std::shared_ptr<const Question> q) : question(std::move(q)) {}
  Carrier(Carrier&&) = default;
  Carrier(const Carrier&) = delete;
  ~Carrier() {
    if (question && !question->datagram)
      SendBack(*question, UnknownOutcome("the connection to '" + question->hub->names[static_cast<std::size_t>(question->to)].text +
                                         "' broke"));
  }
  std::shared_ptr<const Question> question;
};

Task<> Answer(CallHandler handler, Carrier carrier) {
  auto answer = co_await handler(carrier.question->method, carrier.question->parameters);
  SendBack(*carrier.question, std::move(answer));
  carrier.question.reset();
}

void Deliver(const std::shared_ptr<const Question>& question) {
  const PeerHub::Process& process = question->hub->processes[static_cast<std::size_t>(question->to)];
  if (process.context) {
    asio::co_spawn(*process.context, Answer(process.handler, Carrier(question)), asio::detached);
  } else if (!question->datagram) {
    SendBack(*question, RetryLater("the agent does not answer: connection refused"));
  }
}

}  // namespace

Task<Result<Json>> SimPeers::Call(RegionName region, std::string method, Json parameters, Duration timeout, Lane lane) {
  point_();
  int to = 0;
  while (hub_.names[static_cast<std::size_t>(to)] != region) ++to;
  const bool datagram = lane == Lane::kDatagram;
  const Duration due = clock_.WorldTimeAfter(timeout);
  auto reply = std::make_shared<Reply>(co_await asio::this_coro::executor);
  const auto question =
      std::make_shared<const Question>(Question{&hub_, self_, to, datagram, std::move(method), std::move(parameters), reply});
  hub_.network.Send(self_, to, datagram, [question] { Deliver(question); });
  if (datagram && hub_.dice.Chance(hub_.stale_answers) && old_answers_.contains(to)) {
    ++hub_.stale_given;
    reply->Give(old_answers_[to]);
  }
  auto answer = co_await AnswerOf(std::move(reply), hub_.time, due);
  if (!answer) co_return UnknownOutcome("no answer from the agent of '" + region.text + "' in time");
  if (datagram && hub_.stale_answers > 0 && answer->ok()) old_answers_[to] = **answer;
  co_return *std::move(answer);
}

// ---- the store ----

void StoreHost::Start() {
  if (up_) return;
  up_ = true;
  frozen_ = false;
  if (same_incarnation) {
    data.RestartUnnoticed();
  } else {
    data.Restart();
  }
}

void StoreHost::Stop() {
  if (!up_) return;
  up_ = false;
  frozen_ = false;
  ++life_;
  waiting_.clear();
  auto gone = std::move(watchers_);
  watchers_.clear();
  for (Watcher& watcher : gone) watcher.answer(RetryLater("the connection to the store broke"));
}

void StoreHost::Thaw() {
  frozen_ = false;
  auto work = std::move(waiting_);
  waiting_.clear();
  for (const auto& each : work) each();
}

void StoreHost::Arrive(std::function<void()> work, const std::function<void()>& refused) {
  if (!up_) return refused();
  if (frozen_) {
    waiting_.push_back(std::move(work));
  } else {
    work();
  }
}

void StoreHost::Notify() {
  for (std::size_t at = 0; at < watchers_.size();) {
    Watcher& watcher = watchers_[at];
    if (watcher.incarnation == data.incarnation() && !data.ChangedSince(watcher.prefix, watcher.after)) {
      ++at;
      continue;
    }
    watcher.answer(data.Read(watcher.prefix));
    watchers_.erase(watchers_.begin() + static_cast<std::ptrdiff_t>(at));
  }
}

namespace {
/// Sends an answer of the store to the one who waits for it, if he still does.
template <typename T>
std::function<void(Result<T>)> AnswerTo(Network& network, int from, int to, std::weak_ptr<Pending<Result<T>>> reply) {
  return [&network, from, to, reply](Result<T> answer) {
    network.Send(from, to, false, [reply, answer = std::make_shared<Result<T>>(std::move(answer))] {
      if (const auto waiting = reply.lock()) waiting->Give(std::move(*answer));
    });
  };
}
constexpr const char* kNoStore = "the store does not answer: connection refused";
}  // namespace

Task<Result<Reading>> SimStore::Read(std::string prefix, Duration timeout) {
  point_();
  const Duration due = clock_.WorldTimeAfter(timeout);
  auto reply = std::make_shared<Pending<Result<Reading>>>(co_await asio::this_coro::executor);
  const auto answer = AnswerTo<Reading>(network_, host_.place(), self_, reply);
  network_.Send(self_, host_.place(), false, [&host = host_, prefix = std::move(prefix), answer] {
    host.Arrive([&host, prefix, answer] { answer(host.data.Read(prefix)); }, [answer] { answer(RetryLater(kNoStore)); });
  });
  auto reading = co_await AnswerOf(std::move(reply), time_, due);
  if (!reading) co_return RetryLater("the store did not answer in time");
  co_return *std::move(reading);
}

Task<Result<TransactionResult>> SimStore::Commit(Transaction transaction, Duration timeout) {
  point_();
  const Duration due = clock_.WorldTimeAfter(timeout);
  auto reply = std::make_shared<Pending<Result<TransactionResult>>>(co_await asio::this_coro::executor);
  const auto answer = AnswerTo<TransactionResult>(network_, host_.place(), self_, reply);
  const auto sent = std::make_shared<Transaction>(std::move(transaction));
  network_.Send(self_, host_.place(), false, [&host = host_, sent, answer] {
    const auto apply = [&host, sent, answer] {
      if (host.compare_nothing && sent->durability == Durability::kVolatile) {
        sent->compares.clear();
        sent->incarnation.reset();
      }
      auto result = host.data.Apply(*sent);
      if (result.ok() && result->committed) {
        if (host.on_commit) host.on_commit(*sent);
        host.Notify();
      }
      answer(std::move(result));
    };
    const auto arrive = [&host, sent, apply] {
      if (sent->durability != Durability::kDurable || host.disk_ <= Duration(0)) return apply();
      host.time_.At(host.time_.now() + host.disk_, [&host, life = host.life_, apply] {
        if (host.life_ == life && host.up_) host.Arrive(apply, [] {});
      });
    };
    host.Arrive(arrive, [answer] { answer(RetryLater(kNoStore)); });
  });
  auto result = co_await AnswerOf(std::move(reply), time_, due);
  point_();
  if (!result) co_return UnknownOutcome("the store did not answer in time");
  co_return *std::move(result);
}

Task<Result<Reading>> SimStore::Watch(std::string prefix, Version after, Incarnation incarnation, Duration timeout) {
  const Duration due = clock_.WorldTimeAfter(timeout + 500ms);
  auto reply = std::make_shared<Pending<Result<Reading>>>(co_await asio::this_coro::executor);
  const auto answer = AnswerTo<Reading>(network_, host_.place(), self_, reply);
  network_.Send(self_, host_.place(), false, [&host = host_, prefix = std::move(prefix), after, incarnation, timeout, answer] {
    const auto arrive = [&host, prefix, after, incarnation, timeout, answer] {
      if (incarnation != host.data.incarnation() || host.data.ChangedSince(prefix, after)) return answer(host.data.Read(prefix));
      const std::uint64_t id = ++host.next_watcher_;
      host.watchers_.push_back({id, prefix, after, incarnation, answer});
      host.time_.At(host.time_.now() + timeout, [&host, id] {
        for (auto at = host.watchers_.begin(); at != host.watchers_.end(); ++at) {
          if (at->id != id) continue;
          if (!host.frozen_) at->answer(host.data.Read(at->prefix));
          host.watchers_.erase(at);
          return;
        }
      });
    };
    host.Arrive(arrive, [answer] { answer(RetryLater(kNoStore)); });
  });
  auto reading = co_await AnswerOf(std::move(reply), time_, due);
  if (!reading) co_return RetryLater("the store did not answer in time");
  co_return *std::move(reading);
}

// ---- the guard ----

GuardHost::GuardHost(VirtualTime& time, FakeClock& clock, FakeServer& server, const Duration& disk, bool gate)
    : time_(time), clock_(clock), server_(server), disk_(disk), gate_(gate) {
  Live();
}

void GuardHost::Live() {
  if (context_) return;
  context_ = std::make_unique<asio::io_context>(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);
  bell_ = std::make_unique<asio::steady_timer>(*context_, asio::steady_timer::time_point::max());
  core_ = std::make_unique<GuardCore>(recorded_, kept_, 1ms, clock_.Now());
  if (gate_) core_->ExpectGate();
  core_->KeepClosed(closed_);
  WriteGate();
  time_.Attach(*context_);
  asio::co_spawn(*context_, Loop(), asio::detached);
}

void GuardHost::Die() {
  if (!context_) return;
  ++life_;
  time_.Detach(*context_);
  frozen_ = false;
  waiting_.clear();
  bell_.reset();
  context_.reset();
  core_.reset();
}

void GuardHost::Freeze() {
  if (!context_) return;
  frozen_ = true;
  time_.Freeze(*context_);
}

void GuardHost::Thaw() {
  if (!context_ || !frozen_) return;
  frozen_ = false;
  time_.Thaw(*context_);
  auto work = std::move(waiting_);
  waiting_.clear();
  for (const auto& each : work) each();
}

void GuardHost::Reboot() {
  kept_.reset();
  gate_file_.reset();
  granted_.reset();
}

void GuardHost::WriteGate() {
  kept_ = core_->permission();
  closed_ = core_->closed();
  gate_file_ = core_->GateIsOpen() ? core_->permission() : std::nullopt;
  gate_boot_ = clock_.boot_id();
}

bool GuardHost::GateIsOpen() const {
  if (!gate_ || gate_fails) return true;
  return gate_file_ && gate_boot_ == clock_.boot_id() && !HasPassed(gate_file_->deadline, clock_.Now());
}

void GuardHost::Ask(std::function<void()> question) {
  if (frozen_) {
    waiting_.push_back(std::move(question));
    return;
  }
  question();
  if (!core_) return;
  WriteGate();
  rung_ = true;
  bell_->cancel();
}

void GuardHost::Permit(Permission permission, std::function<void(GuardAnswer)> answer) {
  const auto grant = [this, permission, answer] {
    const GuardAnswer permitted = core_->Permit(permission, clock_.Now());
    if (permitted == GuardAnswer::kDone &&
        (!granted_ || permission.epoch > granted_->epoch || permission.deadline.boot > granted_->deadline.boot))
      granted_ = permission;
    answer(permitted);
  };
  Ask([this, permission, answer, grant] {
    const GuardAnswer considered = core_->Consider(permission, clock_.Now());
    if (considered != GuardAnswer::kDone) return answer(considered);
    if (permission.epoch <= core_->recorded()) return grant();
    // A new epoch is on disk before it is permitted.
    time_.At(time_.now() + disk_, [this, life = life_, permission, grant] {
      if (life != life_ || !core_) return;
      recorded_ = std::max(recorded_, permission.epoch);
      core_->Recorded(recorded_);
      Ask(grant);
    });
  });
}

Task<> GuardHost::Loop() {
  while (true) {
    const auto action = core_->Tick(clock_.Now());
    if (action == GuardCore::Action::kLook) {
      core_->SawServer(Verdict(), clock_.Now());
    } else if (action == GuardCore::Action::kKill) {
      if (lateness > Duration(0)) co_await time_.SleepUntil(time_.now() + lateness);
      const std::int64_t found = server_.ProcessesLive() ? 1 : 0;
      if (found > 0) {
        server_.Kill();
        ++kills_;
      }
      core_->SawProcesses(found, clock_.Now());
    } else if (action == GuardCore::Action::kProve) {
      core_->SawGate(gate_ && !gate_fails, clock_.Now());
    } else if (action == GuardCore::Action::kFence) {
      if (fences) server_.fence = true;
      core_->FencePlaced(true, clock_.Now());
    }
    WriteGate();
    const Duration pause = core_->NextTick(clock_.Now());
    if (action != GuardCore::Action::kSleep && pause <= Duration(0)) continue;
    if (!rung_) co_await time_.SleepUntil(clock_.WorldTimeAfter(std::max<Duration>(pause, 1ns)), *bell_);
    rung_ = false;
  }
}

ServerVerdict GuardHost::Verdict() const {
  if (server_.strays) return ServerVerdict::kStrays;
  if (server_.mode == ServerMode::kPrimary || (server_.mode == ServerMode::kStarting && server_.writable_start))
    return ServerVerdict::kWritable;
  return ServerVerdict::kHarmless;
}

Task<Result<Unit>> SimGuard::Permit(Epoch epoch, Instant deadline, Duration length, Duration timeout) {
  point_();
  if (!host_.alive()) co_return RetryLater("the guard does not answer");
  auto pending = std::make_shared<Pending<GuardAnswer>>(co_await asio::this_coro::executor);
  host_.Permit({epoch, deadline, length}, [reply = std::weak_ptr(pending)](GuardAnswer answer) {
    if (const auto waiting = reply.lock()) waiting->Give(answer);
  });
  const auto answer = co_await AnswerOf(std::move(pending), time_, clock_.WorldTimeAfter(timeout));
  point_();
  if (!answer) co_return RetryLater("the guard did not answer in time");
  if (*answer == GuardAnswer::kDone) co_return Done();
  if (*answer == GuardAnswer::kStillKilling) co_return RetryLater("the guard is still killing");
  co_return Refused("the guard refuses: " + std::to_string(static_cast<unsigned>(*answer)));
}

Task<Result<Unit>> SimGuard::Forbid(Epoch epoch, Duration timeout) {
  point_();
  if (!host_.alive()) co_return RetryLater("the guard does not answer");
  const Duration due = clock_.WorldTimeAfter(timeout);
  auto pending = std::make_shared<Pending<GuardAnswer>>(co_await asio::this_coro::executor);
  host_.Ask([&host = host_, &clock = clock_, epoch, reply = std::weak_ptr(pending)] {
    const GuardAnswer answer = host.core_->Forbid(epoch, clock.Now());
    if (const auto waiting = reply.lock()) waiting->Give(answer);
  });
  const auto answer = co_await AnswerOf(std::move(pending), time_, due);
  if (!answer) co_return UnknownOutcome("the guard did not answer in time");
  if (*answer != GuardAnswer::kDone) co_return Refused("the guard refuses: " + std::to_string(static_cast<unsigned>(*answer)));
  while (true) {
    if (!host_.alive()) co_return UnknownOutcome("the guard ended");
    if (!host_.frozen_ && host_.core_->IsQuiet()) co_return Done();
    if (time_.now() >= due) co_return UnknownOutcome("the guard has not finished in time");
    co_await clock_.Sleep(1ms);
  }
}

Task<Result<Unit>> SimGuard::Close(Epoch epoch, Duration timeout) {
  point_();
  if (!host_.alive()) co_return RetryLater("the guard does not answer");
  auto pending = std::make_shared<Pending<GuardAnswer>>(co_await asio::this_coro::executor);
  host_.Ask([&host = host_, epoch, reply = std::weak_ptr(pending)] {
    const GuardAnswer answer = host.core_->Close(epoch, host.gate_ && !host.gate_fails);
    if (const auto waiting = reply.lock()) waiting->Give(answer);
  });
  const auto answer = co_await AnswerOf(std::move(pending), time_, clock_.WorldTimeAfter(timeout));
  if (!answer) co_return UnknownOutcome("the guard did not answer in time");
  if (*answer == GuardAnswer::kDone) co_return Done();
  co_return Refused("the guard refuses: " + std::to_string(static_cast<unsigned>(*answer)));
}

Task<GuardState> SimGuard::Look(Duration timeout) {
  if (!host_.alive()) co_return GuardState{};
  if (host_.frozen_) {
    co_await clock_.Sleep(timeout);
    co_return GuardState{};
  }
  GuardState state = host_.core_->State(clock_.Now());
  state.gate = host_.gate_ && !host_.gate_fails;
  co_return state;
}

// ---- the disk ----

Task<Result<Unit>> SimFiles::Write(std::string path, std::string content) {
  point_();
  if (delay_ > Duration(0)) co_await clock_.Sleep(delay_);
  auto written = co_await disk_.Write(std::move(path), std::move(content));
  point_();
  co_return written;
}

}  // namespace lifeboat::simulation
