#include "adapters/system/pool_files.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <optional>

#include "adapters/system/files.h"

namespace lifeboat {

namespace {
// Optional: what crosses co_spawn must have a default value.
Task<std::optional<Result<std::string>>> ReadOnPool(std::string path) { co_return ReadSmallFile(path); }
Task<std::optional<Result<Unit>>> RemoveOnPool(std::string path) { co_return RemoveFileDurably(path); }
}  // namespace

Task<Result<Unit>> PoolFiles::Write(std::string path, std::string content) {
  co_return co_await WriteFileDurablyAsync(pool_, std::move(path), std::move(content));
}

Task<Result<std::string>> PoolFiles::Read(std::string path) {
  const auto text = co_await boost::asio::co_spawn(pool_, ReadOnPool(std::move(path)), boost::asio::use_awaitable);
  co_return *text;
}

Task<Result<Unit>> PoolFiles::Remove(std::string path) {
  const auto removed = co_await boost::asio::co_spawn(pool_, RemoveOnPool(std::move(path)), boost::asio::use_awaitable);
  co_return *removed;
}

}  // namespace lifeboat
