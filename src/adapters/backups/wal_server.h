#pragma once

// Hands WAL out of a source to a restored server: its restore_command is a shell script that asks through a pipe with a name, and
// a thread of ours answers, whatever the segments are packed by. The server can ask for names, and for nothing else.
// Thread rule: made and destroyed by one thread; it answers on a thread of its own.

#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "adapters/backups/sandbox.h"
#include "adapters/backups/source.h"

namespace lifeboat::backup {

class WalServer {
 public:
  /// @param archives  looked through in this order; they and `source` outlive the object
  [[nodiscard]] static Result<std::unique_ptr<WalServer>> Start(Sandbox& sandbox, Source& source,
                                                                std::vector<const Archive*> archives);
  ~WalServer();
  WalServer(const WalServer&) = delete;
  WalServer& operator=(const WalServer&) = delete;

  /// The value of restore_command.
  [[nodiscard]] const std::string& command() const { return command_; }
  [[nodiscard]] std::uint64_t handed_out() const { return handed_out_; }
  /// The last segment that was asked for; "": none.
  [[nodiscard]] std::string last_asked() const;
  /// Segments that are there and could not be read, and why.
  [[nodiscard]] std::vector<std::string> unreadable() const;

 private:
  WalServer(Sandbox& sandbox, Source& source, std::vector<const Archive*> archives)
      : sandbox_(sandbox), source_(source), archives_(std::move(archives)) {}
  void Serve();
  bool HandOut(const std::string& name);
  bool Copy(const WalFile& file);
  [[nodiscard]] std::optional<std::string> HistoryText(const std::string& name) const;

  Sandbox& sandbox_;
  Source& source_;
  std::vector<const Archive*> archives_;
  std::string command_;
  Descriptor ask_;
  Descriptor answer_;
  std::atomic<bool> stop_ = false;
  std::atomic<std::uint64_t> handed_out_ = 0;
  mutable std::mutex mutex_;
  std::string last_asked_;
  std::vector<std::string> unreadable_;
  std::jthread thread_;
};

}  // namespace lifeboat::backup
