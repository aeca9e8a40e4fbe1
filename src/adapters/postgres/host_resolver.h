#pragma once

// Addresses of hosts whose names a cloud gives, by the system's resolver (files, search domains and private zones as everybody else
// on this machine sees them), which blocks, so on a pool. A resolver that is silent takes no connection away: the last known
// address serves. Thread rule: the executor that it was given.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "adapters/postgres/deadline.h"
#include "base/result.h"
#include "base/task.h"

namespace lifeboat::postgres {

/// The first address of a host, for TCP; it blocks. @error kNotFound: there is no such name; kRetry: no answer
[[nodiscard]] Result<std::string> LookUpHost(const std::string& host);

class HostResolver {
 public:
  /// @param look_up  runs on the pool: another one in tests
  explicit HostResolver(boost::asio::any_io_executor executor,
                        std::function<Result<std::string>(const std::string&)> look_up = LookUpHost);
  ~HostResolver();

  /// `host` itself where it is an address. One question about a host is under way at a time: whoever asks meanwhile gets the last
  /// known address. @error kNotFound: there is no such name; kRetry: no answer in time, and none is known of earlier
  Task<Result<std::string>> Resolve(std::string host, Deadline deadline);

 private:
  struct Host {
    std::string known;
    bool asked = false;  ///< a question is under way
  };
  boost::asio::any_io_executor executor_;
  const std::function<Result<std::string>(const std::string&)> look_up_;
  std::shared_ptr<std::map<std::string, Host>> hosts_;
  boost::asio::thread_pool pool_{2};
};

}  // namespace lifeboat::postgres
