#pragma once

// Small files on a thread of their own: the door ports/files.h of production.
// Thread rule: any executor; the disk is touched on the pool only.

#include <boost/asio/thread_pool.hpp>

#include "ports/files.h"

namespace lifeboat {

class PoolFiles final : public Files {
 public:
  Task<Result<Unit>> Write(std::string path, std::string content) override;
  Task<Result<std::string>> Read(std::string path) override;
  Task<Result<Unit>> Remove(std::string path) override;

 private:
  boost::asio::thread_pool pool_{1};
};

}  // namespace lifeboat
