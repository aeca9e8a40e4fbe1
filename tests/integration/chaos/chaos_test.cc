// A handful of fixed seeds of the chaos run. What fails prints its story, the one command that repeats it, and the folder.

#include "integration/chaos/chaos.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <iostream>

namespace lifeboat::chaos {
namespace {

class Chaos : public testing::TestWithParam<std::uint64_t> {};

TEST_P(Chaos, BreaksNoPromise) {
  Options options;
  options.seed = GetParam();
  options.program = LIFEBOAT_PROGRAM;
  // Root has networks to cut, or it is told why not; others have none, and are told.
  options.place = ::geteuid() == 0 ? lab::LabPlace::kNamespaces : lab::LabPlace::kLoopback;
  const Outcome outcome = Run(options);
  std::cout << "seed " << options.seed << ": " << outcome.Summary()
            << (outcome.network ? "" : "; NO CUTS: the regions share the loopback network, root is needed") << "\n";
  EXPECT_EQ(outcome.problems, std::vector<std::string>());
  EXPECT_GT(outcome.verdict.acknowledged, 100U);
  EXPECT_GT(outcome.faults, 2U);
  if (!outcome.problems.empty()) {
    for (const std::string& line : outcome.story) std::cout << line << "\n";
    std::cout << "again:  " << Repeat(options) << "\nfolder: " << outcome.folder.string() << "\n";
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Chaos, testing::Values(1, 2, 3, 4, 5));

}  // namespace
}  // namespace lifeboat::chaos
