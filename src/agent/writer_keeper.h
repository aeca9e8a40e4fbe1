#pragma once

// Keeps <service>/writer: the item that says where the writer is and orders Lifeboat's moves of a database that a cloud runs
// (docs/managed.md). It stands where the lease stands for a self-hosted service, and fences nothing: for the executor it answers
// which epoch has begun, and refuses everything that only a lease could do. Thread rule: the agent's executor.

#include <functional>
#include <string>

#include "act/managed_plans.h"
#include "base/log.h"
#include "ports/clock.h"
#include "ports/store.h"

namespace lifeboat {

class WriterKeeper final : public LeaseDoor, public WriterDoor {
 public:
  /// `changed` is called when the item changed, and when the store fell silent or answered again.
  WriterKeeper(Clock& clock, Store& store, std::string service, Log log, std::function<void()> changed);

  /// Follows the item; never ends.
  Task<> Loop();

  [[nodiscard]] bool StoreAnswers() const;
  [[nodiscard]] const std::string& StoreProblem() const { return problem_; }
  /// Read, and there is no item.
  [[nodiscard]] bool Empty() const { return read_ && !item_; }
  [[nodiscard]] Incarnation incarnation() const { return incarnation_; }
  [[nodiscard]] const std::optional<WriterItem>& item() const { return item_; }
  [[nodiscard]] std::optional<Duration> ReadAge() const;

  /// Begins an execution and its epoch in one transaction, if the item is still the one that is known here.
  /// @param extra the compares and puts of the execution's record @return the version of its puts
  /// @error kRefused: the item changed meanwhile; kUnknownOutcome: look for the execution
  Task<Result<Version>> Begin(Transaction extra, WriterItem next);
  /// Takes note of a writer that others moved. `at`: when it is known to have been there; 0: from the beginning. @error as Begin
  Task<Result<Unit>> Note(RegionName writer, WallTime at);

  // ---- WriterDoor ----
  Task<Result<Unit>> Record(Epoch epoch, RegionName writer, bool apart) override;
  [[nodiscard]] bool Apart() const override { return item_ && item_->apart; }

  // ---- LeaseDoor ----
  [[nodiscard]] std::optional<LeaseItem> Item() const override;
  [[nodiscard]] bool Holds(Epoch) const override { return false; }
  [[nodiscard]] bool MayPromote(Epoch) const override { return false; }
  [[nodiscard]] bool Detached() const override { return false; }
  [[nodiscard]] Epoch Held() const override { return {}; }
  Task<Result<Epoch>> Claim(Transaction extra, std::string attested) override;
  Task<Result<Unit>> Release(Epoch epoch, RegionName heir, std::string token) override;
  Task<Result<Epoch>> Reclaim() override;
  Task<Result<Unit>> ChangeCandidate(RegionName region, bool is_candidate) override;
  Task<Result<Unit>> PrepareToWrite(Epoch epoch) override;
  Task<Result<Unit>> NoteJoined(Epoch epoch) override;

 private:
  [[nodiscard]] std::string Key() const { return service_ + "/writer"; }
  void Take(const Reading& reading);
  Task<Result<Unit>> Read();
  Task<Result<Version>> Put(Transaction transaction, WriterItem next);

  Clock& clock_;
  Store& store_;
  const std::string service_;
  Log log_;
  std::function<void()> changed_;
  std::optional<WriterItem> item_;
  Version version_;  ///< of the item
  Version seen_;     ///< of the whole store, for the watch
  Incarnation incarnation_;
  bool read_ = false;
  std::optional<Instant> answered_;
  std::string problem_ = "it has not been read yet";
};

}  // namespace lifeboat
