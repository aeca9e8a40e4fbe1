#include "adapters/store/etcd_wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lifeboat::etcd {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

Json Parsed(const char* text) { return Json::parse(text); }

TEST(EtcdBase64, KeepsEveryByte) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) {
    all += static_cast<char>(byte);
    EXPECT_EQ(FromBase64(Base64(all)), all);
  }
  EXPECT_EQ(Base64("a/x"), "YS94");
  EXPECT_EQ(Base64(""), "");
  EXPECT_EQ(FromBase64(""), "");
}

TEST(EtcdBase64, RefusesWhatIsNone) {
  for (const char* text : {"YS9", "YS94Y", "????", "YS94 "}) EXPECT_EQ(FromBase64(text), std::nullopt) << text;
}

TEST(EtcdRange, EndsWhereThePrefixEnds) {
  EXPECT_EQ(PrefixEnd("a/"), "a0");
  EXPECT_EQ(PrefixEnd("a\xff\xff"), "b");
  EXPECT_EQ(PrefixEnd("\xff"), std::string(1, '\0'));
}

TEST(EtcdTxn, IsWrittenAsTheGatewayReadsIt) {
  const Json txn = Txn(Json::array({CompareVersion("a/x", 7), CompareValue("a/x", "one")}),
                       Json::array({PutOf("a/x", "two"), DeleteOf("a/y")}), Json::array({RangeOfKey("a/x"), RangeOfPrefix("a/")}));
  EXPECT_EQ(txn, Parsed(R"({
    "compare": [{"target": "MOD", "result": "EQUAL", "key": "YS94", "mod_revision": "7"},
                {"target": "VALUE", "result": "EQUAL", "key": "YS94", "value": "b25l"}],
    "success": [{"request_put": {"key": "YS94", "value": "dHdv"}}, {"request_delete_range": {"key": "YS95"}}],
    "failure": [{"request_range": {"key": "YS94"}}, {"request_range": {"key": "YS8=", "range_end": "YTA="}}]})"));
}

TEST(EtcdTxn, AnAnswerIsUnderstoodWhole) {
  const auto answer = ParseTxn(Parsed(R"({"header": {"cluster_id": "32", "member_id": "33", "revision": "3", "raft_term": "2"},
    "responses": [{"response_range": {"header": {"revision": "3"}, "kvs": [{"key": "YS94", "create_revision": "2", "mod_revision": "3",
      "version": "2", "value": "dHdv"}, {"key": "YS95", "mod_revision": "2"}], "count": "2"}}, {"response_range": {"header": {"revision": "3"}}}]})"));
  ASSERT_TRUE(answer.ok()) << answer.error().Text();
  EXPECT_EQ(answer->header.cluster_id, "32");
  EXPECT_EQ(answer->header.revision, 3u);
  EXPECT_FALSE(answer->succeeded);  // the gateway leaves out what is false
  ASSERT_THAT(answer->ranges, SizeIs(2));
  EXPECT_THAT(answer->ranges[0], ElementsAre(KeyValue{"a/x", "two", 3}, KeyValue{"a/y", "", 2}));
  EXPECT_TRUE(answer->ranges[1].empty());
}

TEST(EtcdTxn, OrRefusedWhole) {
  for (
      const char* text : {
          "{}",
          "[]",
          R"({"header": {"revision": "3"}, "succeeded": true})",
          R"({"header": {"cluster_id": "1"}, "succeeded": true})",
          R"({"header": {"cluster_id": "1", "revision": "x"}, "succeeded": true})",
          R"({"header": {"cluster_id": "1", "revision": "-3"}, "succeeded": true})",
          R"({"header": {"cluster_id": "1", "revision": "3"}, "responses": 7})",
          R"({"header": {"cluster_id": "1", "revision": "3"}, "responses": [{"response_range": {"kvs": [{"key": "?", "mod_revision": "1"}]}}]})",
          R"({"header": {"cluster_id": "1", "revision": "3"}, "responses": [{"response_range": {"kvs": [{"key": "YS94"}]}}]})",
          R"({"header": {"cluster_id": "1", "revision": "3"}, "responses": [{"response_range": {"more": true}}]})",
      }) {
    EXPECT_FALSE(ParseTxn(Parsed(text)).ok()) << text;
  }
}

TEST(EtcdWatch, LinesTellOfChangesDeletionsAndTheEnd) {
  const auto changes = ParseWatchLine(R"({"result": {"header": {"cluster_id": "1", "revision": "4"}, "events": [
    {"kv": {"key": "YS94", "mod_revision": "3", "value": "b25l"}}, {"type": "DELETE", "kv": {"key": "YS94", "mod_revision": "4"}}]}})");
  ASSERT_TRUE(changes.ok());
  EXPECT_THAT(changes->changes, ElementsAre(KeyValue{"a/x", "", 3}, KeyValue{"a/x", "", 4}));
  EXPECT_FALSE(changes->canceled);
  const auto compacted =
      ParseWatchLine(R"({"result": {"header": {"cluster_id": "1"}, "canceled": true, "compact_revision": "3"}})");
  ASSERT_TRUE(compacted.ok());
  EXPECT_TRUE(compacted->canceled);
  EXPECT_EQ(compacted->compact_revision, 3u);
  EXPECT_FALSE(ParseWatchLine(R"({"error": {"message": "server stopped"}})").ok());
  EXPECT_FALSE(ParseWatchLine("{").ok());
}

TEST(EtcdRefusal, IsReadFromAnyBody) {
  EXPECT_EQ(ParseRefusal(R"({"error": "x", "message": "etcdserver: no leader", "code": 14})").message, "etcdserver: no leader");
  EXPECT_EQ(ParseRefusal(R"({"error": "x", "code": 14})").code, 14u);
  EXPECT_EQ(ParseRefusal("<html>").message, "");
}

}  // namespace
}  // namespace lifeboat::etcd
