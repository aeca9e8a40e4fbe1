#include "adapters/peers/wire.h"

#include <gtest/gtest.h>

namespace lifeboat::peers {
namespace {

std::string Length(std::uint32_t length) {
  std::string bytes;
  for (const unsigned shift : {24U, 16U, 8U, 0U}) bytes += static_cast<char>(length >> shift & 0xFFU);
  return bytes;
}

TEST(Frame, MatchesTheWorkedExampleOfTheFormat) {
  const Result<std::string> frame = EncodeFrame(R"({"id":7,"method":"lease.look"})");
  ASSERT_TRUE(frame.ok());
  EXPECT_EQ(frame->substr(0, 6), std::string("\x00\x00\x00\x1e\x7b\x22", 6));
  EXPECT_EQ(QuestionText(7, "lease.look", Json()), R"({"id":7,"method":"lease.look"})");
}

TEST(Frame, FitsUpToTheLimitAndNotOneByteMore) {
  EXPECT_FALSE(EncodeFrame("").ok());
  EXPECT_TRUE(EncodeFrame(std::string(kMostFrameBytes - 1, 'x')).ok());
  EXPECT_TRUE(EncodeFrame(std::string(kMostFrameBytes, 'x')).ok());
  EXPECT_FALSE(EncodeFrame(std::string(kMostFrameBytes + 1, 'x')).ok());
}

TEST(FrameDecoder, FindsTheSameFramesHoweverTheBytesAreCut) {
  const std::string stream = *EncodeFrame("first") + *EncodeFrame("2") + *EncodeFrame(std::string(70000, 'z'));
  for (const std::size_t step : {std::size_t{1}, std::size_t{3}, std::size_t{4096}, stream.size()}) {
    FrameDecoder decoder;
    std::vector<std::string> texts;
    for (std::size_t at = 0; at < stream.size(); at += step) {
      decoder.Append(std::string_view(stream).substr(at, step));
      for (;;) {
        const auto next = decoder.Next();
        ASSERT_TRUE(next.ok());
        if (!next->has_value()) break;
        texts.push_back(**next);
      }
    }
    ASSERT_EQ(texts.size(), 3U) << step;
    EXPECT_EQ(texts[0], "first");
    EXPECT_EQ(texts[1], "2");
    EXPECT_EQ(texts[2].size(), 70000U);
  }
}

TEST(FrameDecoder, RefusesALengthBeforeItsBytesArrive) {
  for (const std::uint32_t length : {0U, static_cast<std::uint32_t>(kMostFrameBytes) + 1, 0xFFFFFFFFU, 0x47455420U /* "GET " */}) {
    FrameDecoder decoder;
    decoder.Append(Length(length));
    EXPECT_FALSE(decoder.Next().ok()) << length;
  }
  FrameDecoder decoder;
  decoder.Append(Length(kMostFrameBytes));
  EXPECT_TRUE(decoder.Next().ok());
}

TEST(ParseQuestion, RejectsEverythingThatIsNoQuestion) {
  EXPECT_TRUE(ParseQuestion(R"({"id":1,"method":"a.b","params":{"x":[1]},"later":true})").ok());
  EXPECT_TRUE(ParseQuestion(R"({"id":9007199254740991,"method":"a.b"})").ok());
  for (const char* text :
       {"", "7", "[]", "{}", R"({"method":"a.b"})", R"({"id":0,"method":"a.b"})", R"({"id":-1,"method":"a.b"})",
        R"({"id":"1","method":"a.b"})", R"({"id":1.5,"method":"a.b"})", R"({"id":9007199254740992,"method":"a.b"})", R"({"id":1})",
        R"({"id":1,"method":"a.b."})", R"({"id":1,"method":"a.b.c"})", R"({"id":1,"method":"a.b","params":[]})",
        R"({"id":1,"method":"a.b"} x)"}) {
    EXPECT_FALSE(ParseQuestion(text).ok()) << text;
  }
}

TEST(ParseQuestion, RefusesNestingThatWouldExhaustTheStack) {
  const auto nested = [](int levels) {
    return R"({"id":1,"method":"a.b","params":{"x":)" + std::string(levels, '[') + std::string(levels, ']') + "}}";
  };
  EXPECT_TRUE(ParseQuestion(nested(kDeepestNesting - 2)).ok());
  EXPECT_FALSE(ParseQuestion(nested(kDeepestNesting - 1)).ok());
  EXPECT_FALSE(ParseQuestion(nested(1'000'000)).ok());
  EXPECT_TRUE(ParseQuestion(
                  R"({"id":1,"method":"a.b","params":{"x":"\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["}})")
                  .ok());
}

TEST(Answer, CarriesEveryClassOfErrorThereAndBack) {
  for (const Retry retry : {Retry::kRetry, Retry::kFail, Retry::kNotFound, Retry::kRefused, Retry::kUnknownOutcome}) {
    const Result<Answer> answer = ParseAnswer(AnswerText(3, Error{retry, "what", "next"}));
    ASSERT_TRUE(answer.ok());
    EXPECT_EQ(answer->id, 3U);
    ASSERT_FALSE(answer->result.ok());
    EXPECT_EQ(answer->result.error().retry, retry);
    EXPECT_EQ(answer->result.error().message, "what");
    EXPECT_EQ(answer->result.error().hint, "next");
  }
}

TEST(Answer, TakesAnUnknownClassForAnUnknownOutcome) {
  const Result<Answer> answer = ParseAnswer(R"({"id":1,"error":{"retry":"maybe","message":"x"}})");
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->result.error().retry, Retry::kUnknownOutcome);
}

TEST(Answer, HasExactlyOneOfResultAndError) {
  EXPECT_TRUE(ParseAnswer(R"({"id":1,"ok":null})").ok());
  for (const char* text : {R"({"id":1})", R"({"id":1,"ok":1,"error":{}})", R"({"id":1,"error":"x"})", R"({"ok":1})"}) {
    EXPECT_FALSE(ParseAnswer(text).ok()) << text;
  }
}

TEST(DumpJson, ReplacesBytesThatAreNotUtf8) { EXPECT_EQ(DumpJson(Json("a\xff")), "\"a\xEF\xBF\xBD\""); }

}  // namespace
}  // namespace lifeboat::peers
