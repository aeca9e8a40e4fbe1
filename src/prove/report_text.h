#pragma once

// Figures as words, the same on the terminal and on the page. What was not measured is "unknown".
// Thread rule: pure functions.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace lifeboat {

/// "3.215 s", "0.342 s", "1 min 5 s"; "unknown" for null.
[[nodiscard]] std::string SecondsText(const Json& seconds);
/// "1 204"; "unknown" for null.
[[nodiscard]] std::string CountText(const Json& count);
/// "met", "missed", "unknown".
[[nodiscard]] std::string JudgementText(const Json& met);
/// "41 rows, 0.118 s, 11.0 KiB (counted)"; "unknown" for null.
[[nodiscard]] std::string LossText(const Json& loss);
/// The verdict as a sentence.
[[nodiscard]] std::string VerdictText(const Json& document);
/// "verified", "does not verify", "not verified".
[[nodiscard]] std::string EvidenceText(const Json& evidence);
/// What an empty loss ledger says: that nothing diverged only where no run lost anything, or may have.
[[nodiscard]] std::string EmptyLedgerText(const Json& document);
/// "failover us-east-1 → us-west-2".
[[nodiscard]] std::string RunTitle(const Json& run);

/// One figure judged against an objective.
struct Judged {
  std::string name;       ///< "RTO"
  std::string what;       ///< "failover us-east-1 → us-west-2"
  std::string figure;     ///< "3.215 s"
  std::string detail;     ///< "41 rows, 11.0 KiB (counted)"; may be empty
  std::string objective;  ///< "5 s"
  Json met;               ///< true, false or null
};
/// RTO and RPO of every failover and switchover, in the document's order.
[[nodiscard]] std::vector<Judged> JudgedFigures(const Json& document);

/// The number, or nothing for null.
[[nodiscard]] std::optional<double> Real(const Json& number);

/// Seconds since the earliest moment of the document.
class Axis {
 public:
  explicit Axis(const Json& document);
  [[nodiscard]] double At(const Json& ns) const { return static_cast<double>(ns.get<std::int64_t>() - first_) / 1e9; }
  [[nodiscard]] double Length() const { return static_cast<double>(last_ - first_) / 1e9; }
  [[nodiscard]] std::int64_t First() const { return first_; }

 private:
  void Take(const Json& ns);
  std::int64_t first_ = 0;
  std::int64_t last_ = 0;
  bool any_ = false;
};

}  // namespace lifeboat
