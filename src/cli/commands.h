#pragma once

// One function a command, one file a group; main.cc gives them their options. Each answers the exit code.
// Thread rule: the main thread.

#include <string>
#include <vector>

#include "cli/ask.h"

namespace lifeboat {

[[nodiscard]] int ShowStatus(const CommonOptions& options);
[[nodiscard]] int ShowExplain(const CommonOptions& options, bool rules);
[[nodiscard]] int ShowCheck(const CommonOptions& options);

struct OrderOptions {
  std::string region;  ///< the target, or the region that is rejoined
  bool accept_loss = false;
  bool detach = false;           ///< a database that AWS runs: detach-and-promote
  bool despite_backups = false;  ///< a planned switchover although backups that are a gate are not verified
  std::string attest;
  bool no_wait = false;  ///< answer as soon as the execution has begun
};
[[nodiscard]] int OrderSwitchover(const CommonOptions& options, const OrderOptions& order);
[[nodiscard]] int OrderFailover(const CommonOptions& options, const OrderOptions& order);
[[nodiscard]] int OrderRejoin(const CommonOptions& options, const OrderOptions& order);

/// Removes a region that is gone for good from the candidates.
[[nodiscard]] int RemoveCandidate(const CommonOptions& options, const std::string& region);

struct ReseedOptions {
  std::string holder;               ///< the region that was the last primary
  std::vector<std::string> attest;  ///< "REGION=who saw what", each
};
/// Begins a store that was lost anew.
[[nodiscard]] int ReseedStore(const CommonOptions& options, const ReseedOptions& reseed);

/// Ends the cool-down after a move that votes drove.
[[nodiscard]] int ClearCoolDown(const CommonOptions& options, const std::string& reason);

[[nodiscard]] int ListExecutions(const CommonOptions& options);
/// `verb`: show, resume or abort. `attest`: with resume, a person's word in place of an external fence's proof; else empty.
[[nodiscard]] int OneExecution(const CommonOptions& options, const std::string& verb, const std::string& id,
                               const std::string& attest);

/// Prints the trace of an execution as OTLP JSON (docs/formats/traces.md): what can be handed to a collector.
[[nodiscard]] int PrintTrace(const CommonOptions& options, const std::string& id);

[[nodiscard]] int VerifyEvidence(const CommonOptions& options);
[[nodiscard]] int ListEvidence(const CommonOptions& options, std::uint64_t limit);

struct ReportOptions {
  std::string execution;  ///< empty: the last ones
  std::string folder = "lifeboat-report";
};
[[nodiscard]] int MakeReport(const CommonOptions& options, const ReportOptions& report);

/// The text of one execution, as `executions show` prints it.
[[nodiscard]] std::string ExecutionText(const Json& execution);

}  // namespace lifeboat
