// The store is an etcd cluster, a member in each region: the loss of any one region leaves two of three.

#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>

#include "lab/store_cluster.h"
#include "support/lab_fixture.h"

namespace lifeboat::testing_support {
namespace {

class EtcdStoreLab : public LabFixture {
 protected:
  static lab::LabKnobs WithEtcd(Duration lease) {
    lab::LabKnobs knobs = Quick();
    knobs.lease = lease;
    knobs.store = StoreKind::kEtcd;
    return knobs;
  }
  /// The words of `check`, whatever it found.
  std::string Check() const { return Cli({"check"}).out; }
};

TEST_F(EtcdStoreLab, ARegionLostWithItsMemberIsReplaced) {
  // given
  ASSERT_NO_FATAL_FAILURE(BringUp(WithEtcd(3s)));
  ASSERT_NO_FATAL_FAILURE(StartClients());
  EXPECT_NE(Check().find("3 of 3 members of etcd answer"), std::string::npos) << Check();
  const WallTime since = ReadWallClock();

  // when: the primary's region dies at one instant, its member of the store with it
  const lab::KillReport fault = KillRegion(kEast);
  ASSERT_EQ(PidOf(kEast, "etcd"), 0);
  const auto failover = lab::AwaitFailover(lab(), since, 30s, [](const std::string&) { return true; });

  // then
  ASSERT_TRUE(failover) << failover.error().Text();
  EXPECT_EQ(failover->target.text, kWest);
  ASSERT_NO_FATAL_FAILURE(AwaitRowsOn(kWest));
  EXPECT_LT(LongestGap(fault.monotonic_ns), lab().knobs.rto + 2s);
  EXPECT_NE(Check().find("2 of 3 members of etcd answer"), std::string::npos) << Check();

  // when: it is back, then all three are one again, and no incarnation has begun
  StartRegion(kEast);
  Rejoin(kEast);
  EXPECT_TRUE(Eventually([&] { return Check().find("3 of 3 members of etcd answer") != std::string::npos; })) << Check();
  EXPECT_EQ(NumberAt(MemberAt(StatusOf(kWest), "lease"), "incarnation"), 1U);
  ASSERT_NO_FATAL_FAILURE(Conclude());
}

TEST_F(EtcdStoreLab, AMemberLostMovesNothing) {
  // given
  ASSERT_NO_FATAL_FAILURE(BringUp(WithEtcd(3s)));
  ASSERT_NO_FATAL_FAILURE(StartClients());
  const int postmaster = PidOf(kEast, "postmaster");
  const WallTime since = ReadWallClock();

  // when: one member after another is lost for longer than a lease, the leader among them
  for (const char* region : {kEast, kWest, kWitness}) {
    SignalPart(region, "etcd", SIGSTOP);
    EXPECT_FALSE(Eventually([&] { return !TakesWrites(kEast); }, 3500ms)) << "fenced for the want of the member in " << region;
    SignalPart(region, "etcd", SIGCONT);
    KillPart(region, "etcd");
    ASSERT_TRUE(Eventually([&] { return Check().find("3 of 3 members of etcd answer") != std::string::npos; })) << Check();
  }

  // then: the same server under the same epoch, and no incarnation has begun
  EXPECT_EQ(PidOf(kEast, "postmaster"), postmaster);
  EXPECT_EQ(EpochSeenBy(kEast), 1U);
  EXPECT_EQ(NumberAt(MemberAt(StatusOf(kEast), "lease"), "incarnation"), 1U);
  ASSERT_NO_FATAL_FAILURE(Conclude());
  EXPECT_FALSE(NewestExecution(PlanKind::kFailover, since, kWest));
}

TEST_F(EtcdStoreLab, AClusterThatIsBuiltAnewIsRefusedAndAfterAReseedTheSamePrimaryGoesOn) {
  // given
  ASSERT_NO_FATAL_FAILURE(BringUp(WithEtcd(3s)));
  ASSERT_NO_FATAL_FAILURE(StartClients());
  const int postmaster = PidOf(kEast, "postmaster");

  // when: all members are lost with their disks, and a new cluster stands at their addresses, with the login and nothing else
  for (const char* region : {kEast, kWest, kWitness}) SignalPart(region, "supervisor", SIGSTOP);
  for (const char* region : {kEast, kWest, kWitness}) KillPart(region, "etcd");
  for (const char* region : {kEast, kWest, kWitness}) std::filesystem::remove_all(lab().FolderOf(region) / "etcd" / "data");
  for (const char* region : {kEast, kWest, kWitness}) SignalPart(region, "supervisor", SIGCONT);
  const auto opened = lab::OpenStoreCluster(lab(), 30s);
  ASSERT_TRUE(opened.ok()) << opened.error().Text();

  // then: everybody refuses it and names the command, and the primary lives on the candidate's promises
  for (const char* region : {kEast, kWest, kWitness}) {
    EXPECT_TRUE(Eventually([&] {
      return TextAt(MemberAt(StatusOf(region), "lease"), "store_problem").find("lifeboat store reseed") != std::string::npos;
    })) << region
        << ": " << StatusOf(region).dump();
  }
  EXPECT_TRUE(TakesWrites(kEast));

  // when
  const CliAnswer reseeded = Cli({"store", "reseed", "--holder", kEast});

  // then: two epochs on, the same server
  EXPECT_EQ(reseeded.exit_code, 0) << reseeded.out << reseeded.err;
  EXPECT_TRUE(Eventually([&] { return TextAt(MemberAt(StatusOf(kEast), "lease"), "path") == "store and promises"; }));
  EXPECT_EQ(EpochSeenBy(kEast), 3U);
  ASSERT_NO_FATAL_FAILURE(AwaitRowsOn(kEast));
  EXPECT_EQ(PidOf(kEast, "postmaster"), postmaster);
  ASSERT_NO_FATAL_FAILURE(Conclude());
}

}  // namespace
}  // namespace lifeboat::testing_support
