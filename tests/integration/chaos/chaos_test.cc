// A handful of fixed seeds of the chaos run. What fails prints its story, the one command that repeats it, and the folder.

#include "integration/chaos/chaos.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>

namespace lifeboat::chaos {
namespace {

struct Given {
  std::uint64_t seed;
  StoreKind store = StoreKind::kEmbedded;
};

class Chaos : public testing::TestWithParam<Given> {};

TEST_P(Chaos, BreaksNoPromise) {
  Options options;
  options.seed = GetParam().seed;
  options.store = GetParam().store;
  options.program = LIFEBOAT_PROGRAM;
  // Root has networks to cut, or it is told why not; others have none, and are told.
  options.place = ::geteuid() == 0 ? lab::LabPlace::kNamespaces : lab::LabPlace::kLoopback;
  const Outcome outcome = chaos::Run(options);
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

// Two things that fence are taken away at once, and the third stands still: what follows is a split brain, and has to be seen as
// one.
TEST(ChaosHarness, SeesTwoWritersWhereNothingFences) {
  Options options;
  options.program = LIFEBOAT_PROGRAM;
  options.place = lab::LabPlace::kLoopback;
  options.gate = false;
  options.schedule = {{FaultKind::kFreeze, "us-east-1", "guard", 500ms, 6s}, {FaultKind::kFreeze, "us-east-1", "agent", 600ms, 6s}};
  const Outcome outcome = chaos::Run(options);
  EXPECT_THAT(outcome.problems, testing::Contains(testing::HasSubstr("two writers: us-east-1 (timeline 1)")));
  std::error_code ignored;
  std::filesystem::remove_all(outcome.folder, ignored);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Chaos, testing::Values(Given{1}, Given{2}, Given{3}, Given{4}, Given{5, StoreKind::kEtcd}),
                         [](const auto& given) {
                           return "Seed" + std::to_string(given.param.seed) +
                                  (given.param.store == StoreKind::kEtcd ? "OnEtcd" : "");
                         });

}  // namespace
}  // namespace lifeboat::chaos
