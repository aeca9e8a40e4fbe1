#pragma once

// Bugs on purpose: each is one rule of the protocol left out (docs/seeded-bugs.md), so that the simulation can be seen to fail.
// In the program that is shipped SEEDED_BUG(k…) is the constant false, and nothing of it is compiled. In the test program
// lifeboat_simulation_seeded one of them is chosen at run time.
// Thread rule: chosen once, before anything runs.

#include <string_view>

namespace lifeboat {

enum class SeededBug {
  kNone,
  kPromotionNotLookedAtAgain,
  kExtensionComparesNothing,
  kStoreTimersLost,
  kEpochNotDurable,
  kWritableAgentPromises,
  kRoundsMixed,
  kAnswersNotMatched,
  kDeadlineFromAnswer,
  kCounterFromQuestion,
  kNoStartupWait,
  kMembershipFromFiles,
  kRemovalBeforeTransaction,
  kReleaseNotTerminal,
  kReleaseToldDirectly,
  kStoreRegressAccepted,
  kTakeoverNotLookedUp,
  kLengthsDiffer,
  kNoMargin,
  kGuardLate,
  kRestartWithoutFence,
  kDeadByPostmaster,
  kStepWithoutEpoch,
  kIntentAfterAct,
};

struct SeededBugName {
  SeededBug bug;
  const char* name;
  const char* says;
};

inline constexpr SeededBugName kSeededBugs[] = {
    {SeededBug::kPromotionNotLookedAtAgain, "promotion-not-looked-at-again", "the promise is not looked at again at the promotion"},
    {SeededBug::kExtensionComparesNothing, "extension-compares-nothing", "an extension compares nothing"},
    {SeededBug::kStoreTimersLost, "store-timers-lost", "a restarted store forgets renewals and looks like the same life"},
    {SeededBug::kEpochNotDurable, "epoch-not-durable", "a restarted agent has forgotten the epochs that it saw"},
    {SeededBug::kWritableAgentPromises, "writable-agent-promises", "the agent of a writable database promises"},
    {SeededBug::kRoundsMixed, "rounds-mixed", "a deadline comes from a mixture of rounds"},
    {SeededBug::kAnswersNotMatched, "answers-not-matched", "answers are taken without agent and t0"},
    {SeededBug::kDeadlineFromAnswer, "deadline-from-answer", "a deadline is counted from the answer"},
    {SeededBug::kCounterFromQuestion, "counter-from-question", "the counter is timed from the question instead of the answer"},
    {SeededBug::kNoStartupWait, "no-startup-wait", "no start-up wait"},
    {SeededBug::kMembershipFromFiles, "membership-from-files", "who is asked stands in the file, not in the item"},
    {SeededBug::kRemovalBeforeTransaction, "removal-before-transaction",
     "a candidate is asked no more before the transaction that removes it"},
    {SeededBug::kReleaseNotTerminal, "release-not-terminal", "a late answer brings a released epoch back"},
    {SeededBug::kReleaseToldDirectly, "release-told-directly", "the heir is told of a release before it stands in the store"},
    {SeededBug::kStoreRegressAccepted, "store-regress-accepted", "a store that went back is believed"},
    {SeededBug::kTakeoverNotLookedUp, "takeover-not-looked-up", "a takeover without an answer counts as failed"},
    {SeededBug::kLengthsDiffer, "lengths-differ", "each counts with the length in its own file"},
    {SeededBug::kNoMargin, "no-margin", "no margin and no drift in the deadline"},
    {SeededBug::kGuardLate, "guard-late", "the guard kills later than the margin"},
    {SeededBug::kRestartWithoutFence, "restart-without-fence", "a killed server is restarted writable by its service manager"},
    {SeededBug::kDeadByPostmaster, "dead-by-postmaster", "a database counts as dead when its postmaster is gone"},
    {SeededBug::kStepWithoutEpoch, "step-without-epoch", "a step does not look at the epoch"},
    {SeededBug::kIntentAfterAct, "intent-after-act", "the intent is journaled after the act"},
};

#ifdef LIFEBOAT_SEEDED_BUGS
inline SeededBug chosen_seeded_bug = SeededBug::kNone;
#define SEEDED_BUG(bug) (::lifeboat::chosen_seeded_bug == ::lifeboat::SeededBug::bug)
inline bool SelectSeededBug(std::string_view name) {
  for (const SeededBugName& each : kSeededBugs) {
    if (name != each.name) continue;
    chosen_seeded_bug = each.bug;
    return true;
  }
  return false;
}
#else
#define SEEDED_BUG(bug) false
inline bool SelectSeededBug(std::string_view) { return false; }
#endif

}  // namespace lifeboat
