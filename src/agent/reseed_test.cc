// A store that was lost and begun anew, with whole agents on fakes and virtual time: docs/runbooks/store-lost.md.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fakes/simulation.h"

namespace lifeboat::testing {
namespace {

using ::testing::HasSubstr;

class ReseedTest : public ::testing::Test {
 protected:
  void Founded() {
    sim_.StartAll();
    ASSERT_TRUE(sim_.RunUntil([&] { return sim_.Healthy(sim_.east); }, 30s)) << sim_.Picture();
    sim_.time.RunFor(5s);
  }
  /// The store's host ends, and comes back over an empty store.
  void LoseStore() {
    sim_.KillAgent(sim_.witness);
    sim_.store.Forget();
    sim_.StartAgent(sim_.witness);
  }
  Result<Json> Reseed(const RegionName& holder, Json attest = Json::object()) {
    return sim_.Ask(sim_.witness, "store.reseed", Json{{"holder", holder.text}, {"attest", std::move(attest)}, {"by", "jane"}});
  }
  AgentRecord RecordOnDisk(const RegionName& name) {
    const auto& files = sim_.machines[name].files.content;
    return *AgentRecordFromJson(*ParseJson(files.at("/state/" + name.text + "/record.json"), "record"));
  }

  Simulation sim_;
};

TEST_F(ReseedTest, AllRefuseAnEmptyStoreAndAfterAReseedTheSameServerServesOn) {
  Founded();
  LoseStore();
  sim_.time.RunFor(20s);
  EXPECT_EQ(sim_.Server(sim_.east).mode, ServerMode::kPrimary) << "the candidate's promises did not carry it";
  EXPECT_THAT(sim_.AgentOf(sim_.west).keeper().StoreProblem(), HasSubstr("lifeboat store reseed"));
  EXPECT_FALSE(sim_.Item());

  const Result<Json> answer = Reseed(sim_.east);
  ASSERT_TRUE(answer.ok()) << answer.error().Text();
  EXPECT_EQ(TextAt(*answer, "holder_has_not_read_it"), "");
  EXPECT_TRUE(sim_.RunUntil([&] { return sim_.Healthy(sim_.east); }, 30s)) << sim_.Picture();
  EXPECT_EQ(sim_.Item()->epoch, Epoch{3});
  EXPECT_THAT(sim_.Item()->attested, HasSubstr("operator jane"));
  EXPECT_EQ(sim_.Server(sim_.east).starts_as_primary, 1);
  EXPECT_EQ(RecordOnDisk(sim_.west).highest, Epoch{3});
}

TEST_F(ReseedTest, NothingIsWrittenBeforeEveryCandidateHasItOnItsDisk) {
  Founded();
  LoseStore();
  sim_.time.RunFor(2s);
  // Given a candidate whose disk is full: it answers, and cannot record anything.
  sim_.machines[sim_.west].files.full = true;
  const Result<Json> refused = Reseed(sim_.east);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().retry, Retry::kRefused);
  EXPECT_THAT(refused.error().message, HasSubstr("'us-west-2' has not recorded epoch 3"));
  EXPECT_FALSE(sim_.Item());
  EXPECT_EQ(RecordOnDisk(sim_.west).highest, Epoch{1});

  // And the second try goes further up, whatever the first one left in memory.
  sim_.machines[sim_.west].files.full = false;
  const Result<Json> answer = Reseed(sim_.east);
  ASSERT_TRUE(answer.ok()) << answer.error().Text();
  EXPECT_GE(sim_.Item()->epoch, Epoch{3});
  EXPECT_EQ(RecordOnDisk(sim_.west).highest, sim_.Item()->epoch);
  EXPECT_TRUE(sim_.RunUntil([&] { return sim_.Healthy(sim_.east); }, 30s)) << sim_.Picture();
}

TEST_F(ReseedTest, ACandidateThatRecordedItRefusesTheOldWordAlsoAfterARestart) {
  Founded();
  LoseStore();
  sim_.time.RunFor(2s);
  sim_.KillAgent(sim_.east);  // the holder is silent when the others record
  const Result<Json> answer = Reseed(sim_.east, Json{{"us-east-1", "jane saw it dark"}});
  ASSERT_TRUE(answer.ok()) << answer.error().Text();
  EXPECT_THAT(TextAt(*answer, "holder_has_not_read_it"), HasSubstr("attested as down"));
  EXPECT_TRUE(sim_.Item()->IsCandidate(sim_.west));
  const Epoch epoch = sim_.Item()->epoch;
  sim_.KillAgent(sim_.west);
  sim_.StartAgent(sim_.west);
  EXPECT_EQ(RecordOnDisk(sim_.west).highest, epoch);

  // It takes over in the ordinary way: its run before knew the primary's position, this one does not, so a person accepts the loss.
  // The old primary is fenced when it returns. That never two servers can commit is judged after every step.
  sim_.time.RunFor(10s);
  const Json order = {{"to", sim_.west.text}, {"accept_loss", true}, {"by", "jane"}};
  const Result<Json> begun = sim_.Ask(sim_.west, "failover", order);
  ASSERT_TRUE(begun.ok()) << begun.error().Text();
  EXPECT_TRUE(sim_.RunUntil([&] { return sim_.Writable() == &sim_.Server(sim_.west); }, 60s)) << sim_.Picture();
  EXPECT_EQ(sim_.Item()->epoch, Next(epoch));
  sim_.StartAgent(sim_.east);
  sim_.time.RunFor(20s);
  EXPECT_NE(sim_.Server(sim_.east).mode, ServerMode::kPrimary) << sim_.Picture();
}

TEST_F(ReseedTest, RefusesWhileACandidateIsSilentAndWhileTheStoreIsWhole) {
  Founded();
  EXPECT_THAT(Reseed(sim_.east).error().message, HasSubstr("the store is not lost"));
  LoseStore();
  sim_.time.RunFor(1s);
  sim_.KillAgent(sim_.west);
  const Result<Json> refused = Reseed(sim_.east);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr("'us-west-2' neither records the new epoch nor is attested as down"));
  EXPECT_FALSE(sim_.Item());
}

}  // namespace
}  // namespace lifeboat::testing
