#pragma once

// A disk for the agent's few small files: whole and synced, or not at all. It outlives the process.

#include <map>
#include <set>

#include "ports/files.h"

namespace lifeboat::testing {

class FakeFiles final : public Files {
 public:
  std::map<std::string, std::string> content;
  bool full = false;  ///< the disk is full: nothing can be written
  std::size_t writes = 0;

  Task<Result<Unit>> Write(std::string path, std::string text) override {
    if (full) co_return Fail("cannot write '" + path + "': no space left on device", "free some space");
    ++writes;
    content[path] = std::move(text);
    co_return Done();
  }
  Task<Result<std::string>> Read(std::string path) override {
    const auto found = content.find(path);
    if (found == content.end()) co_return NotFound("no file '" + path + "'");
    co_return found->second;
  }
  Task<Result<Unit>> Remove(std::string path) override {
    content.erase(path);
    co_return Done();
  }
};

}  // namespace lifeboat::testing
