#include "adapters/store/dynamodb_wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lifeboat::dynamodb {
namespace {

Head Some() {
  Head head;
  head.incarnation = 3;
  head.counter = 7;
  head.attempts = {"aa", "bb"};
  head.base = "cc";
  head.recent = {{"lease", {(3ULL << 32U) | 7, "{\"a\":\"Zürich\"}", ""}}, {"large", {(3ULL << 32U) | 6, "", "dd"}}};
  head.gone = {{"old", (3ULL << 32U) | 5}};
  head.folded = (3ULL << 32U) | 1;
  head.tables = {{"eu-west-1", "id"}};
  return head;
}

TEST(DynamoDbWire, AHeadIsReadAsItWasWritten) {
  const Json item = ItemOf("orders", Some());
  EXPECT_EQ(item["service"], (Json{{"S", "orders"}}));
  EXPECT_EQ(item["item"], (Json{{"S", "head"}}));
  EXPECT_EQ(item["attempt"], (Json{{"S", "bb"}}));
  EXPECT_EQ(item["incarnation"], (Json{{"N", "3"}}));
  const Result<Head> head = ParseHead(item);
  ASSERT_TRUE(head.ok()) << head.error().Text();
  EXPECT_EQ(ItemOf("orders", *head), item);
  EXPECT_EQ(head->version(), (3ULL << 32U) | 7);
  EXPECT_EQ(head->recent, Some().recent);
  EXPECT_EQ(head->gone, Some().gone);
  EXPECT_TRUE(head->Holds("aa"));
  EXPECT_FALSE(head->Holds("cc"));
}

TEST(DynamoDbWire, WhatIsNotWhollyAHeadIsNone) {
  const auto without = [](const auto& change) {
    Json item = ItemOf("orders", Some());
    change(item);
    return ParseHead(item).ok();
  };
  EXPECT_TRUE(without([](Json&) {}));
  EXPECT_FALSE(without([](Json& item) { item["format"]["S"] = "lifeboat-store/2"; }));
  EXPECT_FALSE(without([](Json& item) { item.erase("incarnation"); }));
  EXPECT_FALSE(without([](Json& item) { item["incarnation"]["N"] = "0"; }));
  EXPECT_FALSE(without([](Json& item) { item["counter"]["N"] = "-1"; }));
  EXPECT_FALSE(without([](Json& item) { item["counter"]["N"] = "99999999999999999999"; }));
  EXPECT_FALSE(without([](Json& item) { item["state"]["S"] = "{"; }));
  EXPECT_FALSE(without([](Json& item) { item["state"]["S"] = "{}"; }));
  EXPECT_FALSE(without([](Json& item) { item["attempt"]["S"] = "aa"; })) << "the condition must be about what the state says";
  EXPECT_FALSE(ParseHead(Json()).ok());
}

TEST(DynamoDbWire, APartIsReadAsItWasWrittenAndByItsKeysAlone) {
  const Part part{"0123", 2, 5, "text"};
  Json item = ItemOf("orders", part);
  EXPECT_EQ(item["item"], (Json{{"S", "part/0123"}}));
  EXPECT_EQ(ParsePart(item)->text, "text");
  EXPECT_EQ(ParsePart(item)->counter, 5u);
  item.erase("text");
  EXPECT_EQ(ParsePart(item)->text, "");
  item["format"]["S"] = "other";
  EXPECT_FALSE(ParsePart(item).ok());
}

TEST(DynamoDbWire, EntriesAreReadAsTheyWereWritten) {
  const Entries entries = Some().recent;
  EXPECT_EQ(*ParseEntries(TextOf(entries)), entries);
  EXPECT_TRUE(ParseEntries("[]")->empty());
  for (const char* bad : {"", "{}", "[1]", "[[\"k\",1]]", "[[\"k\",-1,\"v\"]]", "[[\"k\",1,2]]", "[[\"k\",1,\"v\",\"part\"]]"}) {
    EXPECT_FALSE(ParseEntries(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace lifeboat::dynamodb
