#pragma once

// Carries traces to a collector by OTLP/HTTP, from a thread and connections of its own, so that nothing else ever waits for it: a
// failover least of all, whose collector may lie in the region that is lost. What is offered waits in a bounded queue; one more
// pushes the oldest out. What the collector cannot take now is offered again, by the rules of docs/formats/traces.md.
// Life cycle: the thread ends with the object, in the middle of whatever it does; what waits is then lost.
// Thread rule: any thread may call; nothing here waits for the network or a disk.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "adapters/otlp/target.h"
#include "base/log.h"

namespace lifeboat {

struct OtlpOptions {
  std::size_t most_waiting = 64;
  Duration first_pause = std::chrono::seconds(1);  ///< before a request is made again; doubles
  Duration longest_pause = std::chrono::seconds(30);
};

/// All but `waiting` only grow; each is a number of traces but `failed_tries`.
struct OtlpCounts {
  std::uint64_t sent = 0;
  std::uint64_t pushed_out = 0;
  std::uint64_t refused = 0;
  std::uint64_t failed_tries = 0;
  std::uint64_t waiting = 0;  ///< with the one that is on its way
};

class OtlpExporter {
 public:
  OtlpExporter(OtlpTarget target, OtlpOptions options, Log log);
  /// Waits for a lookup of the collector's name that is under way, seconds.
  ~OtlpExporter();
  OtlpExporter(const OtlpExporter&) = delete;
  OtlpExporter& operator=(const OtlpExporter&) = delete;

  /// @param make  gives the request's body; called once, on the exporter's thread, so that not even that is done here
  void Offer(std::function<std::string()> make);
  [[nodiscard]] OtlpCounts counts() const;

 private:
  struct Engine;
  std::unique_ptr<Engine> engine_;
};

/// What to do after an answer.
enum class OtlpVerdict {
  kTaken,
  kAgain,    ///< the collector may take it later
  kRefused,  ///< it never will
};
/// @source OTLP specification, "OTLP/HTTP Response", "Retryable Response Codes"
[[nodiscard]] OtlpVerdict JudgeStatus(int status);
/// What `Retry-After` asks for; 0: nothing that can be read. @source RFC 9110, section 10.2.3
[[nodiscard]] Duration RetryAfter(const std::string& value, WallTime now);

}  // namespace lifeboat
