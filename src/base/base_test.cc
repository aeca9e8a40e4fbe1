// The small nouns: positions, durations, secrets, results, JSON that never throws.

#include <gtest/gtest.h>

#include <set>
#include <sstream>
#include <type_traits>

#include "base/json.h"
#include "base/result.h"
#include "base/time.h"
#include "base/types.h"

namespace lifeboat {
namespace {

TEST(Lsn, ReadsWhatItWrites) {
  for (const std::uint64_t bytes : {0ull, 1ull, 0x3000148ull, 0xFFFFFFFFull, 0x100000000ull, 0x16B374D848ull, ~0ull}) {
    EXPECT_EQ(Lsn::Parse(Lsn{bytes}.Text()), Lsn{bytes}) << Lsn{bytes}.Text();
  }
  EXPECT_EQ(Lsn{0x3000148}.Text(), "0/3000148");
  EXPECT_EQ(Lsn::Parse("16/b374d848")->bytes, 0x16B374D848u);
}

TEST(Lsn, RefusesEverythingElse) {
  for (const char* text : {"", "/", "0/", "/0", "0", "0/0/0", "g/0", "0/g", " 0/0", "0/0 ", "+1/0", "-1/0", "0/-1", "0x1/0",
                           "123456789/0", "0/123456789", "0/ 1"}) {
    EXPECT_FALSE(Lsn::Parse(text)) << "'" << text << "'";
  }
}

TEST(Instant, ADeadlinePassesByEitherClockAndAWaitEndsByBoth) {
  const Instant end{10s, 10s};
  EXPECT_FALSE(HasPassed(end, {10s - 1ns, 10s - 1ns}));
  EXPECT_TRUE(HasPassed(end, {10s, 9s}));
  EXPECT_TRUE(HasPassed(end, {9s, 10s}));
  EXPECT_FALSE(IsOver(end, {10s, 10s - 1ns}));
  EXPECT_FALSE(IsOver(end, {10s - 1ns, 10s}));
  EXPECT_TRUE(IsOver(end, {10s, 10s}));
  EXPECT_EQ(AgeAt({1s, 1s}, {3s, 5s}), 4s);
  EXPECT_EQ(TimeLeft(end, {9s, 7s}), 1s);
}

TEST(Duration, ReadsAsPeopleSayIt) {
  EXPECT_EQ(FormatDuration(0ns), "0 ms");
  EXPECT_EQ(FormatDuration(999ms), "999 ms");
  EXPECT_EQ(FormatDuration(1s), "1 s");
  EXPECT_EQ(FormatDuration(1500ms), "1.5 s");
  EXPECT_EQ(FormatDuration(60s), "1 min 0 s");
  EXPECT_EQ(FormatDuration(3h + 25min), "3 h 25 min");
  EXPECT_EQ(FormatDuration(49h), "2 d 1 h");
  EXPECT_EQ(FormatDuration(-2s), "-2 s");
  EXPECT_EQ(FormatSeconds(250ms), "0.250");
  EXPECT_EQ(FormatWallTime({1'795'411'124'123'000'000}), "2026-11-23T05:18:44.123Z");
  EXPECT_EQ(FormatBytes({1023}), "1023 B");
  EXPECT_EQ(FormatBytes({1536}), "1.5 KiB");
}

TEST(Secret, LeavesOnlyByRevealAndComparesWhole) {
  static_assert(!std::is_copy_constructible_v<Secret> && !std::is_copy_assignable_v<Secret>);
  static_assert(!std::is_convertible_v<Secret, std::string>);
  const Secret secret(std::string("hunter2"));
  EXPECT_TRUE(secret.Equals("hunter2"));
  for (const char* other : {"", "hunter", "hunter22", "Hunter2"}) EXPECT_FALSE(secret.Equals(other)) << other;
  EXPECT_FALSE(Secret().Equals("")) << "an empty secret must open nothing";
  EXPECT_EQ(secret.Clone().Reveal(), "hunter2");
}

TEST(Result, HoldsAValueOrAnError) {
  const Result<int> good = 7;
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(*good, 7);
  const Result<int> bad = Refused("no", "ask again");
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().retry, Retry::kRefused);
  EXPECT_EQ(bad.error().Text(), "no\n  hint: ask again");
  EXPECT_EQ(bad.error().Within("stop").Text(), "stop: no\n  hint: ask again");
  EXPECT_EQ(bad.error().Within("stop").retry, Retry::kRefused);
}

TEST(ResultDeathTest, AnErrorHasNoValue) {
  const Result<int> bad = Fail("no");
  EXPECT_DEATH((void)*bad, "check failed");
  const Result<int> good = 7;
  EXPECT_DEATH((void)good.error(), "check failed");
}

TEST(Json, BrokenTextIsAnErrorThatNamesWhatItWas) {
  for (const char* text : {"", "{", "{\"a\":}", "nul", "{} {}", "\xff"}) {
    const auto parsed = ParseJson(text, "record.json");
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_NE(parsed.error().message.find("record.json"), std::string::npos);
  }
}

TEST(Json, FieldsOfAnotherTypeAreAbsent) {
  const Json object = {{"text", "a"}, {"number", 7}, {"negative", -7}, {"real", 1.5}, {"flag", true}, {"null", nullptr}};
  EXPECT_EQ(TextAt(object, "number", "none"), "none");
  EXPECT_EQ(NumberAt(object, "text", 3), 3u);
  EXPECT_EQ(NumberAt(object, "negative", 3), 3u);
  EXPECT_EQ(NumberAt(object, "real", 3), 3u);
  EXPECT_EQ(SignedAt(object, "negative"), -7);
  EXPECT_FALSE(FlagAt(object, "number"));
  EXPECT_TRUE(FlagAt(object, "absent", true));
  EXPECT_TRUE(MemberAt(object, "absent").is_null());
  EXPECT_EQ(TextAt(Json::array(), "text", "none"), "none");
  EXPECT_EQ(TextAt(Json("text"), "text", "none"), "none");
}

TEST(Random, IdsAreNewEachTime) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    const std::string uuid = RandomUuid();
    EXPECT_EQ(uuid.size(), 36u);
    EXPECT_EQ(uuid[14], '4');
    EXPECT_TRUE(seen.insert(uuid).second);
  }
  EXPECT_EQ(RandomHex(8).size(), 16u);
}

}  // namespace
}  // namespace lifeboat
