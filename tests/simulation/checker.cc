#include "simulation/checker.h"

#include <algorithm>

namespace lifeboat::simulation {

namespace {
constexpr std::uint64_t kBytesOfRow = 0x100;
/// Clocks differ by half a percent, and a look takes a moment.
Duration WithSlack(Duration d) { return d + d / 100 + std::chrono::milliseconds(5); }
std::string Name(int region) { return "region " + std::to_string(region); }
}  // namespace

void Checker::Break(std::string promise, Duration at, std::string text) {
  if (!violation_) violation_ = Violation{std::move(promise), at, std::move(text)};
}

void Checker::Opened(Duration at, int region, Epoch epoch) {
  if (std::find(open_.begin(), open_.end(), region) != open_.end()) return;
  for (const int other : open_) {
    Break("G1", at,
          Name(other) + " and " + Name(region) + " can commit at the same moment (" + Name(region) + " under epoch " +
              std::to_string(epoch.number) + ")");
  }
  open_.push_back(region);
  if (newest_ && newest_->region != region && epoch <= newest_->epoch) {
    Break("G1", at,
          Name(region) + " opens under epoch " + std::to_string(epoch.number) + " after " + Name(newest_->region) +
              " was open under epoch " + std::to_string(newest_->epoch.number));
  }
  if (!newest_ || epoch > newest_->epoch) newest_ = Reign{epoch, region};
}

void Checker::Closed(int region) { std::erase(open_, region); }

void Checker::Acknowledged(Duration at, int region, Epoch epoch, std::uint64_t row, Lsn, bool lease_ended) {
  if (lease_ended) {
    Break("G2", at,
          Name(region) + " acknowledged row " + std::to_string(row) + " after the lease of epoch " + std::to_string(epoch.number) +
              " had ended");
  }
  if (newest_ && newest_->region != region && epoch <= newest_->epoch) {
    Break("G1", at,
          Name(region) + " acknowledged row " + std::to_string(row) + " under epoch " + std::to_string(epoch.number) + " after " +
              Name(newest_->region) + " was open under epoch " + std::to_string(newest_->epoch.number));
  }
  rows_.push_back({row, at, region});
  last_ = at;
  ++acknowledged_;
}

void Checker::BecamePrimary(Duration at, int region, Epoch epoch, const std::function<bool(std::uint64_t)>& holds,
                            const std::optional<StatedLoss>& stated) {
  std::optional<Duration> first;
  std::uint64_t count = 0;
  std::erase_if(rows_, [&](const Row& row) {
    if (holds(row.id)) return false;
    if (!first) first = row.at;
    ++count;
    return true;
  });
  lost_ += count;
  const std::string who = Name(region) + ", primary of epoch " + std::to_string(epoch.number) + ", lacks " + std::to_string(count) +
                          " acknowledged rows";
  if (!stated) {
    if (count > 0) Break("G3", at, who + " although nothing was to be lost");
    return;
  }
  if (stated->automatic && (!stated->known || stated->above_limit)) {
    Break("G5", at,
          Name(region) + " took epoch " + std::to_string(epoch.number) + " by itself with a loss " +
              (stated->known ? "above the limit" : "that is unknown"));
  }
  if (count == 0 || stated->unsaid) return;
  const Duration window = *last_ - *first;
  if (stated->known && window > WithSlack(stated->time)) {
    Break("G4", at, who + " of " + FormatDuration(window) + ", stated were at most " + FormatDuration(stated->time));
  }
  if (stated->known && count * kBytesOfRow > stated->bytes.bytes && stated->time == Duration(0)) {
    Break("G4", at, who + ", stated was none");
  }
  if (stated->automatic && stated->limit && window > WithSlack(*stated->limit)) {
    Break("G5", at, who + " of " + FormatDuration(window) + ", the limit is " + FormatDuration(*stated->limit));
  }
}

void Checker::DestroyedUnsaved(Duration at, int region) {
  Break("G4", at, "divergent WAL of " + Name(region) + " was destroyed before it was saved");
}

void Checker::CountedDivergence(Duration at, std::uint64_t counted, std::uint64_t truly) {
  if (counted == truly) return;
  Break("G4", at, "a rejoin counted " + std::to_string(counted) + " divergent commits, there were " + std::to_string(truly));
}

void Checker::ActedWithoutWord(Duration at, int region, const std::string& step) {
  Break("G6", at, "step '" + step + "' acted on " + Name(region) + " and no intent of it stood in the journal");
}
void Checker::NameWentBack(Duration at, Epoch from, Epoch to) {
  Break("G6", at, "the name was led back from epoch " + std::to_string(from.number) + " to epoch " + std::to_string(to.number));
}
void Checker::Stuck(Duration at, std::string text) { Break("G6", at, std::move(text)); }
void Checker::FencedWithoutNeed(Duration at, std::string text) { Break("G7", at, std::move(text)); }

}  // namespace lifeboat::simulation
