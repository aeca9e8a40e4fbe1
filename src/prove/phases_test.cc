#include "prove/phases.h"

#include <gtest/gtest.h>

namespace lifeboat {
namespace {

constexpr std::int64_t kStart = 1'795'498'724'000'000'000;
std::int64_t After(std::int64_t ms) { return kStart + ms * 1'000'000; }

Execution Failover(Json facts) {
  Execution execution;
  execution.id = ExecutionId("x-0000000000000001");
  execution.kind = PlanKind::kFailover;
  execution.began = {After(3000)};
  execution.facts = std::move(facts);
  return execution;
}

Json Facts() {
  return {{"fault_ns", After(0)},      {"last_good_write_ns", After(-2)},   {"suspected_ns", After(3000)},
          {"decided_ns", After(3010)}, {"claimed_ns", After(3060)},         {"promoted_ns", After(3200)},
          {"routed_ns", After(3260)},  {"first_good_write_ns", After(3300)}};
}

std::vector<std::optional<std::int64_t>> Lengths(const PhaseReport& report) {
  std::vector<std::optional<std::int64_t>> lengths;
  for (const Phase& phase : report.phases) {
    lengths.push_back(phase.Length() ? std::optional(Millis(*phase.Length())) : std::nullopt);
  }
  return lengths;
}
using Expected = std::vector<std::optional<std::int64_t>>;

TEST(ComputePhases, SplitsAFailoverFromTheFaultToTheFirstGoodWrite) {
  const PhaseReport report = ComputePhases(Failover(Facts()));
  EXPECT_EQ(Lengths(report), (Expected{3000, 10, 50, 140, 60, 40}));
  EXPECT_EQ(report.rto, Duration(3300ms));
  EXPECT_EQ(report.phases[0].name, "detect");
  EXPECT_EQ(report.phases[5].name, "first good write");
}

TEST(ComputePhases, CountsFromTheLastGoodWriteWhereTheFaultIsNotKnown) {
  Json facts = Facts();
  facts.erase("fault_ns");
  const PhaseReport report = ComputePhases(Failover(facts));
  EXPECT_EQ(report.rto, Duration(3302ms));
  EXPECT_EQ(Lengths(report)[0], 3002);
}

TEST(ComputePhases, WhatWasNotMeasuredIsUnknownOnBothSides) {
  Json facts = Facts();
  facts.erase("claimed_ns");
  EXPECT_EQ(Lengths(ComputePhases(Failover(facts))), (Expected{3000, 10, std::nullopt, std::nullopt, 60, 40}));
  EXPECT_EQ(ComputePhases(Failover(facts)).rto, Duration(3300ms));
  facts.erase("first_good_write_ns");
  EXPECT_EQ(ComputePhases(Failover(facts)).rto, std::nullopt);
  const PhaseReport nothing = ComputePhases(Failover(Json::object()));
  EXPECT_EQ(Lengths(nothing), (Expected(6, std::nullopt)));
  EXPECT_EQ(nothing.rto, std::nullopt);
  EXPECT_EQ(nothing.fault, std::nullopt);
}

TEST(ComputePhases, AZeroOrATextIsNoTime) {
  Json facts = Facts();
  facts["first_good_write_ns"] = 0;
  facts["fault_ns"] = "yesterday";
  facts.erase("last_good_write_ns");
  const PhaseReport report = ComputePhases(Failover(facts));
  EXPECT_EQ(report.fault, std::nullopt);
  EXPECT_EQ(report.rto, std::nullopt);
}

TEST(ComputePhases, NoPhaseIsNegativeAndTheyAddUpToTheRto) {
  // Given a first good write that comes before the route was verified, and a suspicion older than the fault
  Json facts = Facts();
  facts["suspected_ns"] = After(-500);
  facts["routed_ns"] = After(3400);
  const PhaseReport report = ComputePhases(Failover(facts));
  EXPECT_EQ(Lengths(report), (Expected{0, 3010, 50, 140, 100, 0}));
  Duration sum{0};
  for (const Phase& phase : report.phases) sum += *phase.Length();
  EXPECT_EQ(sum, *report.rto);
}

TEST(ComputePhases, TimesThatStepBackStartTheNextPhaseLater) {
  Json facts = Facts();
  facts["decided_ns"] = After(2900);  // by another machine's clock
  EXPECT_EQ(Lengths(ComputePhases(Failover(facts))), (Expected{3000, 0, 60, 140, 60, 40}));
}

TEST(ComputePhases, AFirstWriteBeforeTheFaultMeasuresNothing) {
  Json facts = Facts();
  facts["first_good_write_ns"] = After(-1);
  const PhaseReport report = ComputePhases(Failover(facts));
  EXPECT_EQ(report.rto, std::nullopt);
  EXPECT_EQ(Lengths(report).back(), std::nullopt);
}

TEST(ComputePhases, ASwitchoverDetectsNothingAndARejoinIsNoOutage) {
  Execution execution = Failover(Facts());
  execution.kind = PlanKind::kSwitchover;
  const PhaseReport report = ComputePhases(execution);
  EXPECT_EQ(Lengths(report), (Expected{3060, 140, 60, 40}));
  EXPECT_EQ(report.phases[0].name, "fence");
  execution.kind = PlanKind::kRejoin;
  EXPECT_TRUE(ComputePhases(execution).phases.empty());
  EXPECT_EQ(ComputePhases(execution).rto, std::nullopt);
}

TEST(ComputePhases, ASwitchoverThatNoClientWatchedCountsFromTheStopOfTheOldPrimary) {
  Json facts = Facts();
  facts.erase("fault_ns");
  facts.erase("last_good_write_ns");
  facts["outage_began_ns"] = After(3000);
  Execution execution = Failover(facts);
  EXPECT_EQ(ComputePhases(execution).rto, std::nullopt) << "a failover's outage does not begin at a stop";
  execution.kind = PlanKind::kSwitchover;
  EXPECT_EQ(Lengths(ComputePhases(execution)), (Expected{60, 140, 60, 40}));
  EXPECT_EQ(ComputePhases(execution).rto, std::optional<Duration>(300ms));
}

TEST(MeetsRpo, SaysUnknownWhereItIsNotKnown) {
  const auto meets = [](Json loss) { return MeetsRpo(loss, 5s); };
  EXPECT_EQ(meets({{"state", "proven zero"}}), true);
  EXPECT_EQ(meets({{"state", "counted"}, {"rows", 12}, {"seconds", 4.999}}), true);
  EXPECT_EQ(meets({{"state", "counted"}, {"rows", 12}, {"seconds", 5.0}}), true);
  EXPECT_EQ(meets({{"state", "counted"}, {"rows", 12}, {"seconds", 5.001}}), false);
  EXPECT_EQ(meets({{"state", "counted"}, {"rows", 0}}), true);
  EXPECT_EQ(meets({{"state", "counted"}, {"rows", 12}}), std::nullopt);
  EXPECT_EQ(meets({{"state", "bounded"}, {"seconds", 3.0}}), true);
  EXPECT_EQ(meets({{"state", "bounded"}, {"seconds", 9.0}}), std::nullopt);
  EXPECT_EQ(meets({{"state", "unknown"}, {"seconds", 0}}), std::nullopt);
  EXPECT_EQ(meets(Json()), std::nullopt);
}

TEST(Phases, WhereNobodyWritesTheEndIsWhatWasSeenAndIsCalledSo) {
  Execution execution = Failover(Facts());
  const auto written = ComputePhases(execution);
  execution.facts["seen_serving_ns"] = execution.facts["first_good_write_ns"];
  EXPECT_EQ(ComputePhases(execution).phases.back().name, "first good write");  // a row beats a look
  execution.facts.erase("first_good_write_ns");
  const auto seen = ComputePhases(execution);
  EXPECT_EQ(seen.phases.back().name, "seen serving");
  EXPECT_EQ(seen.rto, written.rto);
}

TEST(ReportRun, CarriesUnknownsAsNull) {
  Execution execution = Failover(Facts());
  execution.facts.erase("routed_ns");
  execution.steps.push_back({"promote", StepState::kDone, 1, {After(3060)}, {After(3200)}, "promoted", Json::object()});
  execution.steps.push_back({"route", StepState::kIntended, 1, {After(3200)}, {}, "", Json::object()});
  const Json run = ReportRun(execution, {5s, 5s}, Json());
  EXPECT_EQ(run["rto_s"], 3.3);
  EXPECT_EQ(run["rto_met"], true);
  EXPECT_EQ(run["rpo_met"], nullptr);
  EXPECT_EQ(run["ended_ns"], nullptr);
  EXPECT_EQ(run["phases"][4]["seconds"], nullptr);
  EXPECT_EQ(run["steps"][0]["seconds"], 0.14);
  EXPECT_EQ(run["steps"][1]["seconds"], nullptr);
}

}  // namespace
}  // namespace lifeboat
