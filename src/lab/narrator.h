#pragma once

// The lines that a long command says while it works: elapsed seconds, then what happens or what is waited for. Nothing is
// repeated; a wait that lasts says so every few seconds. Thread rule: one thread.

#include <cstdio>
#include <string>

#include "base/time.h"
#include "lab/agents.h"

namespace lifeboat::lab {

class Narrator {
 public:
  explicit Narrator(std::FILE* out) : out_(out), began_(ReadClocks()) {}

  void Title(const std::string& text);
  void Say(const std::string& text);
  /// A block of lines, without times.
  void Show(const std::string& text);
  /// For waits: says what is waited for when it changes, and again after a while; ends them on Ctrl-C.
  [[nodiscard]] Patience Waiting();

 private:
  void Line(const std::string& text);

  std::FILE* out_;
  Instant began_;
  std::string waiting_for_;
  Instant said_;
};

}  // namespace lifeboat::lab
