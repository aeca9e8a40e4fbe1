#pragma once

// The step "stop-instance" of a failover: the external fences of the regions that were lost are run, one after the other, after the
// claim and before anything else. Only executions that were drafted with it have it (AskForFence). It is an addition: the lease has
// ended by the protocol's own wait before the claim, and every later step looks at the epoch and at the lease as it does without
// it.
//
//   facts.external_fence  {region: {on_failure, state, tries, said, at_ns}}; state: pending, proven, not proven, attested
//
// Thread rule: the agent's executor.

#include <string>

#include "act/plan.h"

namespace lifeboat {

/// Puts a region's external fence into a failover that was not begun yet. @param waits  without proof it does not go on
void AskForFence(Execution& execution, const RegionName& region, bool waits);
/// True where the execution was drafted with an external fence.
[[nodiscard]] bool HasFence(const Execution& execution);

/// The act of the step. @error kRetry: no proof for a region whose failure is waited for
[[nodiscard]] Task<Result<Unit>> FenceInstances(StepContext c);

/// True while a fence without proof keeps the execution from going on.
[[nodiscard]] bool WaitsForFence(const Execution& execution);
/// A person's word in place of the proofs that are missing. @error kRefused: none is waited for
[[nodiscard]] Result<Unit> AttestFence(Execution& execution, const std::string& who);

}  // namespace lifeboat
