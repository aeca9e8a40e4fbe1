#pragma once

// The evidence chain of one region (docs/formats/evidence.md): what was measured, each record chained by hash to the one before.
// The head is copied to the other agents; theirs are kept here. Written by the agent's prove part, read by reports and the
// command line. Several processes may have the file open.
// Thread rule: any thread, one call at a time inside; every call blocks on the disk, so agents run it on a pool.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "base/time.h"
#include "base/types.h"

namespace lifeboat {

struct EvidenceRow {
  std::uint64_t sequence = 0;  ///< from 1, without a gap
  WallTime at;
  RegionName region;
  std::string kind;       ///< "failover", "canary", …
  ExecutionId execution;  ///< empty: belongs to none
  std::string body;       ///< canonical JSON text: the bytes that are hashed
  std::string previous;   ///< hash of the record before; 64 zeros for the first
  std::string hash;       ///< SHA-256, lower-case hexadecimal
  friend bool operator==(const EvidenceRow&, const EvidenceRow&) = default;
};
[[nodiscard]] Json ToJson(const EvidenceRow& row);

/// The newest record. sequence 0: the chain is empty.
struct EvidenceHead {
  std::uint64_t sequence = 0;
  std::string hash;
  WallTime at;
  friend bool operator==(const EvidenceHead&, const EvidenceHead&) = default;
};
[[nodiscard]] Json ToJson(const EvidenceHead& head);

/// A head of the chain of `region`, as `holder` has kept it.
struct ForeignHead {
  RegionName region;
  RegionName holder;
  std::uint64_t sequence = 0;
  std::string hash;
  WallTime at;  ///< when the holder noted it
  friend bool operator==(const ForeignHead&, const ForeignHead&) = default;
};
[[nodiscard]] Json ToJson(const ForeignHead& head);
[[nodiscard]] Result<ForeignHead> ForeignHeadFromJson(const Json& json);

struct EvidenceProblem {
  std::uint64_t sequence = 0;  ///< first record concerned; 0: the file as a whole
  std::string sentence;
};

struct VerifyReport {
  RegionName region;
  std::uint64_t records = 0;
  EvidenceHead head;
  std::uint64_t heads_compared = 0;  ///< 0: whether the end of the chain is whole is not known
  std::vector<RegionName> holders;   ///< whose heads were compared
  std::vector<EvidenceProblem> problems;
  [[nodiscard]] bool Intact() const { return problems.empty(); }
  /// For people: "41 records, chain whole, compared with 2 regions".
  [[nodiscard]] std::string Sentence() const;
};
[[nodiscard]] Json ToJson(const VerifyReport& report);

struct EvidenceFilter {
  std::optional<std::string> kind;
  std::optional<ExecutionId> execution;
  std::uint64_t after = 0;       ///< only records of a higher sequence number
  std::uint64_t limit = 10'000;  ///< the newest ones, in the order of the chain
};

/// The canonical text of a body.
[[nodiscard]] std::string CanonicalText(const Json& body);
/// What the hash of a record must be. @source docs/formats/evidence.md
[[nodiscard]] std::string EvidenceHash(const EvidenceRow& row);

class EvidenceLog {
 public:
  /// Opens the chain of `region`, or begins it.
  /// @error kFail: not an evidence file, another region's, of a newer program, or not writable; nothing was changed
  [[nodiscard]] static Result<EvidenceLog> Open(const std::filesystem::path& file, RegionName region);

  EvidenceLog(EvidenceLog&&) noexcept;
  EvidenceLog& operator=(EvidenceLog&&) noexcept;
  ~EvidenceLog();

  /// Adds a record; it is on the disk when this answers.
  /// @error kRetry: the file is busy, nothing was written; kFail: it cannot be written (disk full), nothing was written;
  ///        kUnknownOutcome: read the head before trying again
  [[nodiscard]] Result<EvidenceRow> Append(std::string kind, ExecutionId execution, const Json& body, WallTime at);
  [[nodiscard]] Result<EvidenceHead> Head();
  /// @error kRetry: the file is busy; kFail
  [[nodiscard]] Result<std::vector<EvidenceRow>> List(const EvidenceFilter& filter = {});

  /// Keeps a head of another region's chain for ever. The same again: done.
  /// @error kRefused: it is our own region's
  [[nodiscard]] Result<Unit> NoteForeignHead(RegionName region, std::uint64_t sequence, std::string hash, WallTime at);
  /// Every head of `region` that is kept here, by sequence number; what its agent compares its chain with.
  [[nodiscard]] Result<std::vector<ForeignHead>> ForeignHeads(const RegionName& region);

  /// Reads the whole chain and compares it with the heads that other agents hold of it (heads of other chains are passed over).
  /// @error kRetry, kFail: it could not be read; what is wrong with a chain that could is in the report
  [[nodiscard]] Result<VerifyReport> Verify(const std::vector<ForeignHead>& held_by_others = {});

 private:
  struct State;
  explicit EvidenceLog(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace lifeboat
