// The etcd store on a real cluster whose members die, stall, forget and come back from copies.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

#include "adapters/store/etcd_store.h"
#include "support/real_etcd.h"
#include "support/run_task.h"
#include "support/tcp_relay.h"

namespace lifeboat::testing {
namespace {

using ::testing::HasSubstr;

constexpr Duration kTimeout = 10s;
constexpr Duration kRenewal = 750ms;  // what a renewal has at L = 3 s

class EtcdTest : public ::testing::Test {
 protected:
  static EtcdOptions OptionsFor(const RealEtcd& etcd) {
    EtcdOptions options;
    options.service = "orders";
    options.endpoints = etcd.Endpoints();
    options.tls = etcd.Tls();
    return options;
  }
  static EtcdOptions LoggedIn(const RealEtcd& etcd, const std::string& password = RealEtcd::kPassword) {
    EtcdOptions options = OptionsFor(etcd);
    options.user = RealEtcd::kUser;
    options.password = Secret(password);
    return options;
  }
  /// The endpoints in the order first, others.
  static EtcdOptions AskingFirst(const RealEtcd& etcd, std::size_t first) {
    EtcdOptions options = OptionsFor(etcd);
    std::swap(options.endpoints[0], options.endpoints[first]);
    return options;
  }
  std::unique_ptr<EtcdStore> Open(EtcdOptions options) {
    return std::make_unique<EtcdStore>(context_.get_executor(), std::move(options), Log());
  }

  Reading Read(EtcdStore& store, const std::string& prefix = "") {
    const Result<Reading> reading = Await(context_, store.Read(prefix, kTimeout));
    EXPECT_TRUE(reading.ok()) << reading.error().Text();
    return reading ? *reading : Reading{};
  }
  std::string ValueOf(EtcdStore& store, const std::string& key) {
    const Reading reading = Read(store, key);
    return reading.records.empty() ? "(absent)" : reading.records[0].value;
  }
  static Transaction Change(const std::string& key, Version from, const std::string& value) {
    Transaction transaction;
    transaction.compares.push_back({key, from});
    transaction.puts.push_back({key, value});
    return transaction;
  }
  Result<TransactionResult> Commit(EtcdStore& store, const Transaction& transaction, Duration timeout = kTimeout) {
    return Await(context_, store.Commit(transaction, timeout));
  }
  Version Put(EtcdStore& store, const std::string& key, const std::string& value) {
    Transaction transaction;
    transaction.puts.push_back({key, value});
    const Result<TransactionResult> result = Commit(store, transaction);
    EXPECT_TRUE(result.ok()) << result.error().Text();
    return result ? result->version : Version{};
  }

  boost::asio::io_context context_;
};

TEST_F(EtcdTest, AMembersRestartIsNoNewIncarnationAndForgetsNothing) {
  RealEtcd etcd;
  const auto store = Open(OptionsFor(etcd));
  Transaction renewal = Change("lease", Version{}, "one");
  renewal.durability = Durability::kVolatile;
  const Version first = Commit(*store, renewal)->version;
  const Incarnation before = Read(*store).incarnation;
  etcd.Kill(0);
  const Result<Reading> silent = Await(context_, store->Read("", 300ms));
  ASSERT_FALSE(silent.ok());
  EXPECT_EQ(silent.error().retry, Retry::kRetry);
  etcd.Start(0);
  const Reading after = Read(*store);
  EXPECT_EQ(after.incarnation, before);
  ASSERT_EQ(after.records.size(), 1u);
  EXPECT_EQ(after.records[0], (Record{"lease", "one", first}));
  EXPECT_GT(Put(*store, "lease", "two"), first);
}

TEST_F(EtcdTest, ADeadMemberCostsNoRenewal) {
  // Given a holder that renews through a follower, which dies.
  RealEtcd etcd({.members = 3});
  const std::size_t asked = (etcd.Leader() + 1) % 3;
  const auto store = Open(AskingFirst(etcd, asked));
  Version version = Put(*store, "lease", "0");
  etcd.Kill(asked);
  for (int renewal = 1; renewal <= 5; ++renewal) {
    const Result<TransactionResult> result = Commit(*store, Change("lease", version, std::to_string(renewal)), kRenewal);
    // The first may have been on the connection that died: made or not, the next member was asked, and it is known.
    ASSERT_TRUE(result.ok()) << renewal << ": " << result.error().Text();
    ASSERT_TRUE(result->committed);
    version = result->version;
  }
}

TEST_F(EtcdTest, AFrozenMemberCostsNoRenewal) {
  RealEtcd etcd({.members = 3});
  const std::size_t asked = (etcd.Leader() + 1) % 3;
  const auto store = Open(AskingFirst(etcd, asked));
  Version version = Put(*store, "lease", "0");
  etcd.Freeze(asked);
  for (int renewal = 1; renewal <= 5; ++renewal) {
    const Result<TransactionResult> result = Commit(*store, Change("lease", version, std::to_string(renewal)), kRenewal);
    ASSERT_TRUE(result.ok()) << renewal << ": " << result.error().Text();
    ASSERT_TRUE(result->committed);
    version = result->version;
  }
  // What the frozen member still has to do for us is refused when it wakes: it compares what has changed since.
  etcd.Thaw(asked);
  EXPECT_EQ(ValueOf(*store, "lease"), "5");
  EXPECT_EQ(Read(*store, "lease").records[0].version, version);
}

TEST_F(EtcdTest, ALeaderThatDiesInTheMiddleOfACreationLeavesItsFateUnknownUntilItIsLookedUp) {
  RealEtcd etcd({.members = 3});
  const std::size_t leader = etcd.Leader();
  // Given a store that asks the leader first: one that has had to wait for it on a busy machine may have turned to another member.
  std::unique_ptr<EtcdStore> store;
  Duration took = 1s;
  for (int tries = 0; tries < 50 && took > 200ms; ++tries) {
    const Instant began = ReadClocks();
    store = Open(AskingFirst(etcd, leader));
    Put(*store, "other" + std::to_string(tries), "x");
    took = AgeAt(began, ReadClocks());
  }
  ASSERT_LE(took, 200ms) << "no member answers at once";
  etcd.Freeze(leader);
  auto creation = Start(context_, store->Commit(Change("executions/current", Version{}, "7"), kTimeout));
  EXPECT_FALSE(RunUntil(
      context_, [&] { return creation->has_value(); }, 100ms));
  etcd.Kill(leader);
  const Result<TransactionResult> fate = Finish(context_, creation);
  ASSERT_FALSE(fate.ok());
  EXPECT_EQ(fate.error().retry, Retry::kUnknownOutcome);
  // It never left the frozen leader; the others know, and a second try is made.
  EXPECT_EQ(ValueOf(*store, "executions/current"), "(absent)");
  const Result<TransactionResult> second = Commit(*store, Change("executions/current", Version{}, "7"));
  ASSERT_TRUE(second.ok()) << second.error().Text();
  EXPECT_TRUE(second->committed);
}

TEST_F(EtcdTest, ALostAnswerIsAnUnknownOutcomeAlsoWhereTheChangeWasMade) {
  RealEtcd etcd;
  EtcdOptions options = OptionsFor(etcd);
  const std::string url = options.endpoints[0];
  TcpRelay relay(context_, static_cast<std::uint16_t>(std::stoi(url.substr(url.rfind(':') + 1))));
  options.endpoints = {relay.Url()};
  const auto store = Open(std::move(options));
  const Version version = Put(*store, "lease", "one");
  relay.lose_answers = true;
  const Result<TransactionResult> change = Commit(*store, Change("lease", version, "two"), kRenewal);
  const Result<TransactionResult> creation = Commit(*store, Change("claim", Version{}, "mine"), kRenewal);
  relay.lose_answers = false;
  ASSERT_FALSE(change.ok() || creation.ok());
  EXPECT_EQ(change.error().retry, Retry::kUnknownOutcome) << change.error().Text();
  EXPECT_EQ(creation.error().retry, Retry::kUnknownOutcome) << creation.error().Text();
  EXPECT_EQ(relay.answers_lost, 2);  // each was sent once
  EXPECT_EQ(ValueOf(*store, "lease"), "two");
  EXPECT_EQ(ValueOf(*store, "claim"), "mine");
}

TEST_F(EtcdTest, NothingSentIsNothingChanged) {
  RealEtcd etcd;
  const auto store = Open(OptionsFor(etcd));
  const Version version = Put(*store, "lease", "one");
  etcd.Kill(0);
  Result<TransactionResult> change = Commit(*store, Change("lease", version, "two"), 300ms);  // may find the old connection
  if (!change.ok() && change.error().retry == Retry::kUnknownOutcome)
    change = Commit(*store, Change("lease", version, "two"), 300ms);
  ASSERT_FALSE(change.ok());
  EXPECT_EQ(change.error().retry, Retry::kRetry) << change.error().Text();
  EXPECT_THAT(change.error().message, HasSubstr(etcd.Endpoints()[0]));
}

TEST_F(EtcdTest, AWatchGoesOnWhenItsMemberDies) {
  RealEtcd etcd({.members = 3});
  const std::size_t asked = (etcd.Leader() + 1) % 3;
  const auto watching = Open(AskingFirst(etcd, asked));
  const auto writing = Open(AskingFirst(etcd, etcd.Leader()));
  Put(*writing, "lease", "one");
  const Reading before = Read(*watching, "lease");
  auto watch = Start(context_, watching->Watch("lease", before.version, before.incarnation, kTimeout));
  EXPECT_FALSE(RunUntil(
      context_, [&] { return watch->has_value(); }, 100ms));
  etcd.Kill(asked);
  Put(*writing, "lease", "two");
  const auto began = std::chrono::steady_clock::now();
  const Result<Reading> seen = Finish(context_, watch);
  ASSERT_TRUE(seen.ok()) << seen.error().Text();
  EXPECT_EQ(seen->records[0].value, "two");
  EXPECT_LT(std::chrono::steady_clock::now() - began, 2s);
}

TEST_F(EtcdTest, AWatchOnAFrozenMemberLooksForItself) {
  RealEtcd etcd({.members = 3});
  const std::size_t asked = (etcd.Leader() + 1) % 3;
  const auto watching = Open(AskingFirst(etcd, asked));
  const auto writing = Open(AskingFirst(etcd, etcd.Leader()));
  Put(*writing, "lease", "one");
  const Reading before = Read(*watching, "lease");
  auto watch = Start(context_, watching->Watch("lease", before.version, before.incarnation, kTimeout));
  EXPECT_FALSE(RunUntil(
      context_, [&] { return watch->has_value(); }, 100ms));
  etcd.Freeze(asked);
  Put(*writing, "lease", "two");
  const auto began = std::chrono::steady_clock::now();
  const Result<Reading> seen = Finish(context_, watch);
  ASSERT_TRUE(seen.ok()) << seen.error().Text();
  EXPECT_EQ(seen->records[0].value, "two");
  EXPECT_LT(std::chrono::steady_clock::now() - began, 2s);
}

TEST_F(EtcdTest, AWatchWhoseChangesWereCompactedAwayLooksForItself) {
  RealEtcd etcd;
  const auto store = Open(OptionsFor(etcd));
  Put(*store, "k/1", "one");
  const Reading before = Read(*store, "k/");
  Version last;
  for (const char* value : {"two", "three", "four"}) last = Put(*store, "k/1", value);
  etcd.Ctl("compact " + std::to_string(last.number));
  const Result<Reading> seen = Await(context_, store->Watch("k/", before.version, before.incarnation, kTimeout));
  ASSERT_TRUE(seen.ok());
  EXPECT_EQ(seen->records[0].value, "four");
  // And it goes on from there.
  auto watch = Start(context_, store->Watch("k/", seen->version, seen->incarnation, kTimeout));
  EXPECT_FALSE(RunUntil(
      context_, [&] { return watch->has_value(); }, 100ms));
  Put(*store, "k/1", "five");
  EXPECT_EQ(Finish(context_, watch)->records[0].value, "five");
}

TEST_F(EtcdTest, ATokenThatIsNoLongerGoodIsFetchedAgain) {
  RealEtcd etcd({.tls = true, .service = "orders", .flags = {"--bcrypt-cost", "4"}});
  const auto store = Open(LoggedIn(etcd));
  const Version version = Put(*store, "lease", "one");
  etcd.ForgetTokens();
  const Result<TransactionResult> renewal = Commit(*store, Change("lease", version, "two"), 2s);
  ASSERT_TRUE(renewal.ok()) << renewal.error().Text();
  EXPECT_TRUE(renewal->committed);
  // And by a stream that was open.
  auto watch = Start(context_, store->Watch("lease", renewal->version, Read(*store).incarnation, 20s));
  EXPECT_FALSE(RunUntil(
      context_, [&] { return watch->has_value(); }, 100ms));
  etcd.Kill(0);
  etcd.Start(0);
  ASSERT_TRUE(Commit(*store, Change("lease", renewal->version, "three"), 2s).ok());
  EXPECT_EQ(Finish(context_, watch)->records[0].value, "three");
}

TEST_F(EtcdTest, ATokenThatAnotherClusterWaitsForIsFetchedAnew) {
  // given: a token that names a position of the log which the cluster, once it is restored, has not reached
  RealEtcd etcd({.tls = true, .service = "orders", .flags = {"--bcrypt-cost", "4"}});
  auto first = Open(LoggedIn(etcd));
  Put(*first, "lease", "one");
  const std::string copy = (etcd.folder() / "copy").string();
  etcd.Save(copy);
  for (int change = 0; change < 100; ++change) Put(*first, "lease", std::to_string(change));
  const auto store = Open(LoggedIn(etcd));
  const Incarnation before = Read(*store).incarnation;
  // when
  etcd.Restore(copy);
  // then: it is heard again, and known as another life
  std::optional<Incarnation> after;
  const Instant end = ReadClocks() + 60s;
  while (!after && !HasPassed(end, ReadClocks())) {
    const Result<Reading> reading = Await(context_, store->Read("", 700ms));
    if (reading.ok()) after = reading->incarnation;
  }
  ASSERT_TRUE(after) << "the members wait for the old token's position, and are never asked with another";
  EXPECT_NE(*after, before);
}

TEST_F(EtcdTest, ALoginOutlivesTheQuestionThatWantedIt) {
  // given: a password whose hash takes longer than any question waits, as on a member that is short of processor time
  RealEtcd etcd({.tls = true, .service = "orders", .flags = {"--bcrypt-cost", "13"}});
  const auto store = Open(LoggedIn(etcd));
  // when, then: the login that the first one began serves a later one
  bool read = false;
  const Instant end = ReadClocks() + 60s;
  while (!read && !HasPassed(end, ReadClocks())) read = Await(context_, store->Read("", 100ms)).ok();
  EXPECT_TRUE(read);
}

TEST_F(EtcdTest, RefusalsSayWhatToDo) {
  RealEtcd etcd({.tls = true, .service = "orders", .flags = {"--bcrypt-cost", "4"}});
  const auto error_of = [&](EtcdOptions options) {
    const auto store = Open(std::move(options));
    const Result<Reading> reading = Await(context_, store->Read("", 500ms));
    return reading.ok() ? "no error" : reading.error().Text();
  };
  EtcdOptions stranger = LoggedIn(etcd);
  stranger.tls.ca_file.clear();  // the system's authorities did not sign it
  EXPECT_THAT(error_of(std::move(stranger)), ::testing::AllOf(HasSubstr("TLS failed"), HasSubstr("'store.ca_file'")));
  EXPECT_THAT(error_of(LoggedIn(etcd, "wrong")),
              ::testing::AllOf(HasSubstr("refuses the login of 'lifeboat'"), HasSubstr("'store.password_file'"),
                               ::testing::Not(HasSubstr("wrong"))));
  EtcdOptions other_service = LoggedIn(etcd);
  other_service.service = "billing";
  EXPECT_THAT(error_of(std::move(other_service)), ::testing::AllOf(HasSubstr("permission denied"), HasSubstr("grant-permission")));
  EtcdOptions plain = LoggedIn(etcd);
  plain.endpoints[0].replace(0, 5, "http");
  EXPECT_THAT(error_of(std::move(plain)), HasSubstr("if the member speaks TLS, write 'https://'"));
}

TEST_F(EtcdTest, AClientWithoutTheCertificateThatIsDemandedIsToldSo) {
  RealEtcd etcd({.tls = true, .client_certificates = true});
  const auto good = Open(OptionsFor(etcd));
  Put(*good, "k", "v");
  EtcdOptions options = OptionsFor(etcd);
  options.tls.certificate_file.clear();
  const auto store = Open(std::move(options));
  const Result<Reading> reading = Await(context_, store->Read("", 500ms));
  ASSERT_FALSE(reading.ok());
  EXPECT_THAT(reading.error().Text(), HasSubstr("'store.certificate_file'"));
}

TEST_F(EtcdTest, ASnapshotThatIsRestoredIsNoticedAsAnOlderCopy) {
  // Given a cluster that was saved, and then written to.
  RealEtcd etcd;
  const auto store = Open(OptionsFor(etcd));
  const Version old = Put(*store, "lease", "epoch 4");
  const std::string copy = (etcd.folder() / "copy").string();
  etcd.Save(copy);
  const Version lost = Put(*store, "lease", "epoch 5");
  const Reading before = Read(*store);
  auto watch = Start(context_, store->Watch("lease", before.version, before.incarnation, 30s));
  // When the copy takes its place under the same name,
  etcd.Restore(copy);
  // then its content is shown under a new incarnation, and a change of the old one is refused.
  Transaction late = Change("lease", lost, "epoch 5, renewed");
  late.incarnation = before.incarnation;
  const Result<TransactionResult> refused = Commit(*store, late);
  ASSERT_TRUE(refused.ok()) << refused.error().Text();
  EXPECT_FALSE(refused->committed);
  const Reading after = Read(*store);
  EXPECT_GT(after.incarnation, before.incarnation);
  ASSERT_EQ(after.records.size(), 1u);
  EXPECT_EQ(after.records[0], (Record{"lease", "epoch 4", old}));
  EXPECT_GT(Finish(context_, watch)->incarnation, before.incarnation);
  // Another agent, which has not seen what was lost, is told by the same record.
  const auto other = Open(OptionsFor(etcd));
  EXPECT_EQ(Read(*other).incarnation, after.incarnation);
}

TEST_F(EtcdTest, ACopyInAnotherClusterIsNoticedByWhoeverAsksFirst) {
  RealEtcd etcd;
  auto store = Open(OptionsFor(etcd));
  Put(*store, "lease", "one");
  const Incarnation before = Read(*store).incarnation;
  const std::string copy = (etcd.folder() / "copy").string();
  etcd.Save(copy);
  store.reset();
  etcd.Restore(copy, "another-token");
  store = Open(OptionsFor(etcd));  // remembers nothing
  EXPECT_GT(Read(*store).incarnation, before);
}

TEST_F(EtcdTest, AnEmptiedClusterIsANewIncarnation) {
  RealEtcd etcd;
  const auto store = Open(OptionsFor(etcd));
  Put(*store, "lease", "one");
  const Incarnation before = Read(*store).incarnation;
  etcd.Ctl("del --prefix lifeboat/");
  const Reading after = Read(*store);
  EXPECT_TRUE(after.records.empty());
  EXPECT_GT(after.incarnation, before);
}

TEST_F(EtcdTest, ARevisionThatComesBackWithAnotherContentIsAConflict) {
  // Given a restore that nobody has noticed, after which another agent's claim has the very revision of our renewal.
  RealEtcd etcd;
  const auto ours = Open(OptionsFor(etcd));
  Put(*ours, "lease", "one");
  const std::string copy = (etcd.folder() / "copy").string();
  etcd.Save(copy);
  const Version version = Put(*ours, "lease", "our renewal");
  etcd.Restore(copy);
  const auto theirs = Open(OptionsFor(etcd));
  ASSERT_EQ(Put(*theirs, "lease", "their claim"), version);
  for (int more = 0; more < 3; ++more) Put(*theirs, "more", "x");
  // When we go on from what we know,
  const Result<TransactionResult> renewal = Commit(*ours, Change("lease", version, "our next renewal"));
  // then the claim stands.
  ASSERT_TRUE(renewal.ok()) << renewal.error().Text();
  EXPECT_FALSE(renewal->committed);
  EXPECT_EQ(ValueOf(*theirs, "lease"), "their claim");
}

TEST_F(EtcdTest, AReseedLeavesNothingButWhatItWritesUnderANewIncarnation) {
  RealEtcd etcd;
  const auto store = Open(OptionsFor(etcd));
  for (const char* key : {"a", "orders/lease", "orders/lease2", "z"}) Put(*store, key, "old");
  const Incarnation before = Read(*store).incarnation;
  const auto reseed = [&](Incarnation seen) {
    std::vector<Transaction::Put> puts = {{"orders/lease", "new"}, {"b", "too"}};
    return Await(context_, store->Reseed(seen, Incarnation{before.number + 5}, std::move(puts), kTimeout));
  };
  EXPECT_EQ(reseed(Incarnation{before.number + 1}).error().retry, Retry::kRefused);
  const Result<Incarnation> next = reseed(before);
  ASSERT_TRUE(next.ok()) << next.error().Text();
  EXPECT_EQ(next->number, before.number + 5);
  const Reading after = Read(*store);
  EXPECT_EQ(after.incarnation, *next);
  ASSERT_EQ(after.records.size(), 2u);
  EXPECT_EQ(after.records[0].key, "b");
  EXPECT_EQ(after.records[1].value, "new");
  EXPECT_EQ(reseed(before).error().retry, Retry::kRefused);  // the second of two
}

TEST_F(EtcdTest, EachMemberIsDescribed) {
  RealEtcd etcd({.members = 3});
  const std::size_t dead = (etcd.Leader() + 1) % 3;
  const auto store = Open(OptionsFor(etcd));
  etcd.Kill(dead);
  const Json members = Await(context_, store->Members(1s));
  ASSERT_EQ(members.size(), 3u);
  int leaders = 0;
  for (std::size_t member = 0; member < 3; ++member) {
    EXPECT_EQ(FlagAt(members[member], "answers"), member != dead);
    EXPECT_EQ(TextAt(members[member], "endpoint"), etcd.Endpoints()[member]);
    leaders += FlagAt(members[member], "leader") ? 1 : 0;
  }
  EXPECT_EQ(leaders, 1);
}

}  // namespace
}  // namespace lifeboat::testing
