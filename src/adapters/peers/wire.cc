#include "adapters/peers/wire.h"

#include <algorithm>

namespace lifeboat::peers {

namespace {

constexpr std::size_t kKeptBufferBytes = 64U << 10U;  // more than this is given back once it is empty

std::uint32_t ReadLength(std::string_view bytes) {
  std::uint32_t length = 0;
  for (std::size_t index = 0; index < kLengthBytes; ++index) length = length << 8U | static_cast<unsigned char>(bytes[index]);
  return length;
}

/// Counts brackets outside strings; text that is no JSON at all is left to the parser.
bool NestsWithin(std::string_view text, int deepest) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t index = 0; index < text.size(); ++index) {
    const char c = text[index];
    if (in_string) {
      if (c == '\\') ++index;
      if (c == '"') in_string = false;
      continue;
    }
    if (c == '"') in_string = true;
    if ((c == '{' || c == '[') && ++depth > deepest) return false;
    if (c == '}' || c == ']') --depth;
  }
  return true;
}

std::optional<Retry> ParseRetry(const std::string& text) {
  for (const Retry retry : {Retry::kRetry, Retry::kFail, Retry::kNotFound, Retry::kRefused, Retry::kUnknownOutcome}) {
    if (text == ToString(retry)) return retry;
  }
  return std::nullopt;
}

Result<std::uint64_t> ParseId(const Json& message) {
  const Json& id = MemberAt(message, "id");
  if (!id.is_number_unsigned()) return Fail("a message without an 'id'");
  const auto number = id.get<std::uint64_t>();
  if (number == 0 || number > kLargestId) return Fail("a message with the id '" + std::to_string(number) + "'");
  return number;
}

Json QuestionJson(const std::string& method, const Json& parameters) {
  Json message = Json::object();
  message["method"] = method;
  if (!parameters.is_null()) message["params"] = parameters;
  return message;
}

Result<Question> QuestionFromJson(Json message, std::uint64_t id) {
  Question question;
  question.id = id;
  question.method = TextAt(message, "method");
  if (!IsMethod(question.method)) return Fail("a question without a method of the form 'name' or 'group.name'");
  const auto parameters = message.find("params");
  if (parameters == message.end()) return question;
  if (!parameters->is_object()) return Fail("a question whose 'params' are no object");
  question.parameters = std::move(*parameters);
  return question;
}

Json AnswerJson(const Result<Json>& result) {
  Json message = Json::object();
  if (result.ok()) {
    message["ok"] = *result;
  } else {
    message["error"] = ErrorToJson(result.error());
  }
  return message;
}

Result<Answer> AnswerFromJson(Json message, std::uint64_t id) {
  const auto good = message.find("ok");
  const Json& error = MemberAt(message, "error");
  if ((good != message.end()) == error.is_object()) return Fail("an answer that has not exactly one of 'ok' and 'error'");
  if (error.is_object()) return Answer{id, ErrorFromJson(error)};
  return Answer{id, Result<Json>(std::move(*good))};
}

}  // namespace

Result<std::string> EncodeFrame(std::string_view text) {
  if (text.empty() || text.size() > kMostFrameBytes) {
    return Fail("a message of " + std::to_string(text.size()) + " bytes does not fit into a frame of '" +
                std::to_string(kMostFrameBytes) + "' bytes");
  }
  const auto length = static_cast<std::uint32_t>(text.size());
  std::string frame;
  frame.reserve(kLengthBytes + text.size());
  for (const unsigned shift : {24U, 16U, 8U, 0U}) frame += static_cast<char>(length >> shift & 0xFFU);
  frame += text;
  return frame;
}

void FrameDecoder::Append(std::string_view bytes) {
  if (taken_ > 0) {
    buffer_.erase(0, taken_);
    taken_ = 0;
  }
  buffer_ += bytes;
}

Result<std::optional<std::string>> FrameDecoder::Next() {
  const std::string_view rest = std::string_view(buffer_).substr(taken_);
  if (rest.size() < kLengthBytes) return std::optional<std::string>();
  const std::uint32_t length = ReadLength(rest);
  // The length is judged before a byte of the text is awaited: nobody makes us hold more than one frame.
  if (length == 0 || length > kMostFrameBytes) return Fail("a frame of " + std::to_string(length) + " bytes");
  if (rest.size() - kLengthBytes < length) return std::optional<std::string>();
  std::optional<std::string> text(std::string(rest.substr(kLengthBytes, length)));
  taken_ += kLengthBytes + length;
  if (taken_ == buffer_.size()) {
    taken_ = 0;
    buffer_.clear();
    if (buffer_.capacity() > kKeptBufferBytes) std::string().swap(buffer_);
  }
  return text;
}

Result<Json> ParseForeignJson(std::string_view text, std::string_view what) {
  if (!NestsWithin(text, kDeepestNesting)) {
    return Fail("'" + std::string(what) + "' nests deeper than " + std::to_string(kDeepestNesting) + " levels");
  }
  return ParseJson(text, what);
}

std::string DumpJson(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string QuestionText(std::uint64_t id, const std::string& method, const Json& parameters) {
  Json message = QuestionJson(method, parameters);
  message["id"] = id;
  return DumpJson(message);
}

std::string BareQuestionText(const std::string& method, const Json& parameters) {
  return DumpJson(QuestionJson(method, parameters));
}

Result<Question> ParseQuestion(std::string_view text) {
  Result<Json> message = ParseForeignJson(text, "question");
  if (!message) return message.error();
  const Result<std::uint64_t> id = ParseId(*message);
  if (!id) return id.error();
  return QuestionFromJson(*std::move(message), *id);
}

Result<Question> ParseBareQuestion(std::string_view text) {
  Result<Json> message = ParseForeignJson(text, "question");
  if (!message) return message.error();
  return QuestionFromJson(*std::move(message), 0);
}

std::string AnswerText(std::uint64_t id, const Result<Json>& result) {
  Json message = AnswerJson(result);
  message["id"] = id;
  return DumpJson(message);
}

std::string BareAnswerText(const Result<Json>& result) { return DumpJson(AnswerJson(result)); }

Result<Answer> ParseAnswer(std::string_view text) {
  Result<Json> message = ParseForeignJson(text, "answer");
  if (!message) return message.error();
  const Result<std::uint64_t> id = ParseId(*message);
  if (!id) return id.error();
  return AnswerFromJson(*std::move(message), *id);
}

Result<Answer> ParseBareAnswer(std::string_view text) {
  Result<Json> message = ParseForeignJson(text, "answer");
  if (!message) return message.error();
  return AnswerFromJson(*std::move(message), 0);
}

Json ErrorToJson(const Error& error) {
  Json json = Json::object();
  json["retry"] = ToString(error.retry);
  json["message"] = error.message;
  json["hint"] = error.hint;
  return json;
}

Error ErrorFromJson(const Json& json) {
  Error error;
  error.retry = ParseRetry(TextAt(json, "retry")).value_or(Retry::kUnknownOutcome);
  error.message = TextAt(json, "message", "an error without a message");
  error.hint = TextAt(json, "hint");
  return error;
}

bool IsMethodPart(std::string_view text) {
  constexpr std::size_t kLongest = 64;
  const auto fits = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'; };
  return !text.empty() && text.size() <= kLongest && std::all_of(text.begin(), text.end(), fits);
}

bool IsMethod(std::string_view text) {
  const std::size_t dot = text.find('.');
  if (dot == std::string_view::npos) return IsMethodPart(text);
  return IsMethodPart(text.substr(0, dot)) && IsMethodPart(text.substr(dot + 1));
}

}  // namespace lifeboat::peers
