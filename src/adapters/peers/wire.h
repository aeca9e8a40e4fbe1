#pragma once

// The words of docs/formats/peer.md: frames, questions, answers and errors as bytes. Pure: no socket, no clock.
// Both sides use it (PeerClient here, HttpServer in serve), so that the format stands in one place.
// Thread rule: plain values; a FrameDecoder belongs to one connection.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace lifeboat::peers {

inline constexpr std::string_view kUpgradeToken = "lifeboat-peer/1";
inline constexpr std::string_view kUpgradePath = "/v1/peer";
inline constexpr std::string_view kRegionHeader = "Lifeboat-Region";

inline constexpr std::size_t kLengthBytes = 4;
inline constexpr std::size_t kMostFrameBytes = 4U << 20U;
inline constexpr int kDeepestNesting = 64;
inline constexpr std::uint64_t kLargestId = (std::uint64_t{1} << 53U) - 1;  ///< what every JSON reader holds exactly

/// The frame that carries `text`. @error kFail: empty, or larger than kMostFrameBytes
[[nodiscard]] Result<std::string> EncodeFrame(std::string_view text);

/// Cuts a stream of bytes back into the texts of its frames.
class FrameDecoder {
 public:
  void Append(std::string_view bytes);
  /// The next whole text; nothing while bytes are missing. @error kFail: no frame begins so; the connection must end
  [[nodiscard]] Result<std::optional<std::string>> Next();

 private:
  std::string buffer_;
  std::size_t taken_ = 0;  ///< bytes at the front of buffer_ that were handed out
};

/// JSON from outside: complete, and nested no deeper than kDeepestNesting, since what writes JSON recurses.
/// @error kFail, naming `what` it was
[[nodiscard]] Result<Json> ParseForeignJson(std::string_view text, std::string_view what);

/// JSON as text; never throws: bytes that are not UTF-8 become U+FFFD.
[[nodiscard]] std::string DumpJson(const Json& json);

struct Question {
  std::uint64_t id = 0;
  std::string method;
  Json parameters = Json::object();
};

[[nodiscard]] std::string QuestionText(std::uint64_t id, const std::string& method, const Json& parameters);
/// @error kFail: not a question
[[nodiscard]] Result<Question> ParseQuestion(std::string_view text);

struct Answer {
  std::uint64_t id = 0;
  Result<Json> result;
};

[[nodiscard]] std::string AnswerText(std::uint64_t id, const Result<Json>& result);
/// @error kFail: not an answer
[[nodiscard]] Result<Answer> ParseAnswer(std::string_view text);

/// The same without ids, as datagrams carry them (their id stands before the text). A parsed one has the id 0.
[[nodiscard]] std::string BareQuestionText(const std::string& method, const Json& parameters);
[[nodiscard]] Result<Question> ParseBareQuestion(std::string_view text);
[[nodiscard]] std::string BareAnswerText(const Result<Json>& result);
[[nodiscard]] Result<Answer> ParseBareAnswer(std::string_view text);

/// {"retry", "message", "hint"}.
[[nodiscard]] Json ErrorToJson(const Error& error);
/// A class that we do not know is kUnknownOutcome: the caller looks again before any second attempt.
[[nodiscard]] Error ErrorFromJson(const Json& json);

/// One part of a method's name: 1 to 64 of a-z, 0-9, '_', '-'.
[[nodiscard]] bool IsMethodPart(std::string_view text);
/// "name" or "group.name".
[[nodiscard]] bool IsMethod(std::string_view text);

}  // namespace lifeboat::peers
