#pragma once

// A folder for one test, removed at its end, and the running of one Task to its end. Tests of this folder only.

#include <stdlib.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "base/task.h"
#include "base/time.h"

namespace lifeboat {

class TestFolder {
 public:
  TestFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "lifeboat_test_XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  ~TestFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

template <typename T>
T RunTask(boost::asio::io_context& context, Task<T> task) {
  std::optional<T> answer;
  std::exception_ptr problem;
  boost::asio::co_spawn(
      context,
      [](Task<T> inner, std::optional<T>& into) -> Task<> { into.emplace(co_await std::move(inner)); }(std::move(task), answer),
      [&](std::exception_ptr thrown) { problem = thrown; });
  context.restart();
  context.run();
  if (problem) std::rethrow_exception(problem);
  return std::move(*answer);
}

/// Looks every millisecond until `condition` holds. @return whether it did before `timeout`
inline bool Eventually(const std::function<bool()>& condition, Duration timeout = std::chrono::seconds(10)) {
  const Instant end = ReadClocks() + timeout;
  while (!condition()) {
    if (HasPassed(end, ReadClocks())) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace lifeboat
