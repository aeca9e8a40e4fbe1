#pragma once

// What the guard knows of the gate in its server: which postmaster runs, whether it maps the gate file and enforces it, and what
// was last written for it. The guard's loop tells it what is permitted; nothing is decided here.
// Thread rule: the guard's first thread. Prove reads /proc, and files of the data directory only when another postmaster attaches.

#include <climits>
#include <optional>
#include <string>

#include "adapters/system/descriptor.h"
#include "guard/gate_file.h"
#include "guard/guard_core.h"
#include "guard/guard_protocol.h"
#include "guard/server_look.h"

namespace lifeboat {

class GateWatch {
 public:
  /// @param path  of the gate file; empty: there is none, and everything here says so
  GateWatch(std::string path, std::string data_directory, std::string boot_id, ServerFiles& files);

  /// Readable when the server wrote its page. @return -1: there is no gate file, or nothing can be watched
  [[nodiscard]] int event() const { return events_.number(); }
  void Acknowledge() const;

  [[nodiscard]] bool IsConfigured() const { return !path_.empty(); }
  /// Finds out whether the server that runs now maps the file and enforces it. Not known is false.
  bool Prove();
  /// By the last Prove, for people.
  [[nodiscard]] guard_protocol::GateStanding Standing(bool open, bool closed_for_good, bool held) const;
  [[nodiscard]] bool IsInForce() const { return proven_.has_value() && enforce_; }

  /// Makes the file say what is permitted, if that is something else than it says. @return the word before
  GateWord Tell(const GuardCore& core);
  [[nodiscard]] const GateWord& word() const { return word_; }
  /// Why the file cannot be used; empty: it can, or none is configured.
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  void EnsureOpen();
  [[nodiscard]] bool IsRunning(const PostmasterId& postmaster);

  std::string path_;
  std::string data_directory_;
  std::string boot_id_;
  ServerFiles& files_;
  Descriptor events_;  ///< inotify
  int watched_ = -1;
  std::optional<GateFile> file_;
  std::string problem_;
  std::optional<PostmasterId> proven_;  ///< runs in the data directory and maps the file
  bool enforce_ = false;
  GateWord word_;
};

}  // namespace lifeboat
