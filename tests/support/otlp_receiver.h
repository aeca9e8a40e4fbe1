#pragma once

// A collector of traces that judges what it gets by OpenTelemetry's own definitions (tests/otlp/receiver.py), in build/otlp-venv,
// which scripts/otlp-venv.sh makes; without it the constructor throws and says so. It dies with the test. Thread rule: the thread
// of the test; everything blocks.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "prove/trace.h"
#include "support/operator_lab.h"

namespace lifeboat::testing_support {

class OtlpReceiver {
 public:
  enum class Manner {
    kAnswers,
    kSilent,  ///< takes requests and never says a word
  };
  /// @throws std::runtime_error: it does not serve
  explicit OtlpReceiver(Manner manner = Manner::kAnswers);
  ~OtlpReceiver();
  OtlpReceiver(const OtlpReceiver&) = delete;
  OtlpReceiver& operator=(const OtlpReceiver&) = delete;

  /// "http://127.0.0.1:…"
  [[nodiscard]] std::string Url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  /// What came: {spans: […]}, {wrong: why}, {held: true}.
  [[nodiscard]] std::vector<Json> Requests() const;
  /// The spans of a trace, the root first; nothing: it has not come.
  [[nodiscard]] std::optional<Json> Find(const TraceId& trace) const;

 private:
  ScratchFolder folder_;
  pid_t pid_ = -1;
  std::uint16_t port_ = 0;
};

}  // namespace lifeboat::testing_support
