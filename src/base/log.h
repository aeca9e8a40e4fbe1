#pragma once

// The log: JSON lines with the same six fields on every line (service, region, epoch, execution, trace_id, rule), so that
// one incident can be followed across agents with grep. Secrets never come here: Secret has no way in.
// Thread rule: any thread; a Log is a cheap handle and is copied freely.

#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"

namespace spdlog {
class logger;
}

namespace lifeboat {

class Log {
 public:
  /// A log that drops everything: for tests and commands.
  Log() = default;
  /// Writes to `path` ("-": standard error). Fails when the file cannot be opened.
  [[nodiscard]] static Result<Log> Open(const std::string& path, Json context);

  void Info(std::string_view message, const Json& fields = {}) const { Write("info", message, fields); }
  void Warn(std::string_view message, const Json& fields = {}) const { Write("warn", message, fields); }
  void Error(std::string_view message, const Json& fields = {}) const { Write("error", message, fields); }

  /// The six fields that change as the agent lives; shared by all copies of this log.
  void SetContext(const char* key, Json value) const;
  /// A copy that adds fixed fields to every line.
  [[nodiscard]] Log With(Json fields) const;

 private:
  struct Shared;
  void Write(const char* level, std::string_view message, const Json& fields) const;

  std::shared_ptr<Shared> shared_;
  Json fixed_ = Json::object();
};

}  // namespace lifeboat
