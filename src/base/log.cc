#include "base/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <mutex>

#include "base/time.h"

namespace lifeboat {

struct Log::Shared {
  std::shared_ptr<spdlog::logger> logger;
  std::mutex mutex;
  Json context;  // guarded by mutex
};

Result<Log> Log::Open(const std::string& path, Json context) {
  Log log;
  log.shared_ = std::make_shared<Shared>();
  try {
    spdlog::sink_ptr sink;
    if (path == "-") {
      sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    } else {
      sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path);
    }
    log.shared_->logger = std::make_shared<spdlog::logger>("lifeboat", sink);
  } catch (const spdlog::spdlog_ex& e) {
    return Fail("cannot open the log '" + path + "': " + e.what(), "check that the folder exists and is writable");
  }
  log.shared_->logger->set_pattern("%v");
  log.shared_->logger->flush_on(spdlog::level::info);
  log.shared_->context = {{"service", ""}, {"region", ""}, {"epoch", 0}, {"execution", ""}, {"trace_id", ""}, {"rule", 0}};
  log.shared_->context.update(context);
  return log;
}

void Log::SetContext(const char* key, Json value) const {
  if (!shared_) return;
  const std::lock_guard lock(shared_->mutex);
  shared_->context[key] = std::move(value);
}

Log Log::With(Json fields) const {
  Log copy = *this;
  copy.fixed_.update(fields);
  return copy;
}

void Log::Write(const char* level, std::string_view message, const Json& fields) const {
  if (!shared_) return;
  Json line;
  {
    const std::lock_guard lock(shared_->mutex);
    line = shared_->context;
  }
  line.update(fixed_);
  if (fields.is_object()) line.update(fields);
  line["time"] = FormatWallTime(ReadWallClock());
  line["level"] = level;
  line["message"] = message;
  shared_->logger->info("{}", line.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace lifeboat
