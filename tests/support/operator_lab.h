#pragma once

// The program as an operator meets it: run as a child, judged by its exit code and its words; and a lab for it to talk to, with
// real PostgreSQL, Knot DNS and agents, started in a temporary folder and ended with everything in it by the destructor.
// Thread rule: one thread; everything blocks.

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "adapters/system/command.h"
#include "base/json.h"
#include "base/time.h"
#include "lab/layout.h"
#include "support/lab_fixture.h"

namespace lifeboat::testing_support {

/// How a run of the program ended, and what it said.
struct ProgramEnd {
  int exit_code = -1;
  std::string out;
  std::string err;
  /// Both streams, for a test's message and for looking for words wherever they stand.
  [[nodiscard]] std::string Said() const { return out + err; }
  /// Standard output as JSON; null where it is none.
  [[nodiscard]] Json AsJson() const;
};

using Environment = std::map<std::string, std::string>;

/// Runs `program` with `arguments` to its end, at most two minutes.
ProgramEnd RunProgram(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                      const Environment& environment = {}, std::optional<RunAs> run_as = std::nullopt);

/// Looks until `holds`, at most `patience`. @return whether it held
bool Eventually(const std::function<bool()>& holds, Duration patience = std::chrono::seconds(20));

/// A folder of its own, short enough for sockets, removed at the end.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// One hash over names, kinds and contents of everything beneath `folder`.
std::string ChecksumOf(const std::filesystem::path& folder);

/// A process that stands still (SIGSTOP) while this lives, unless it has ended meanwhile.
class StoppedProcess {
 public:
  explicit StoppedProcess(pid_t pid);
  ~StoppedProcess() { GoOn(); }
  StoppedProcess(const StoppedProcess&) = delete;
  StoppedProcess& operator=(const StoppedProcess&) = delete;
  void GoOn();

 private:
  pid_t pid_;
};

class OperatorLab {
 public:
  /// Starts a lab and waits until the service is whole; the test fails if it does not become so.
  explicit OperatorLab(const std::filesystem::path& program, lab::LabKnobs knobs = ShortLease());
  /// Takes the lab down and looks that neither a process nor a file of it is left.
  ~OperatorLab();
  OperatorLab(const OperatorLab&) = delete;
  OperatorLab& operator=(const OperatorLab&) = delete;

  /// A lease of one second.
  static lab::LabKnobs ShortLease();

  [[nodiscard]] const lab::LabInfo& info() const { return info_; }
  [[nodiscard]] std::filesystem::path Folder(const std::string& region) const { return info_.FolderOf(region); }
  [[nodiscard]] std::filesystem::path Data(const std::string& region) const { return Folder(region) / "data"; }
  [[nodiscard]] const std::optional<RunAs>& owner() const { return owner_; }

  /// Runs a command against this lab.
  ProgramEnd Lifeboat(std::vector<std::string> arguments) const;
  /// The same with --json, parsed.
  Json Ask(std::vector<std::string> arguments) const;
  /// What `region`'s agent (empty: the first that answers) says of the service.
  Json Status(const std::string& region = {}) const;
  /// Rule number that `region` decides by now, as its own agent says. 0: it does not answer.
  std::uint64_t RuleOf(const std::string& region) const;
  /// True when `region` serves with a standby that could take over, and no execution is under way.
  bool IsWhole(const std::string& primary) const;
  /// True when `region` is the primary and accepts writes.
  bool Serves(const std::string& region) const;
  bool AwaitServes(const std::string& region) const;
  bool AwaitWhole(const std::string& primary) const;

  void Kill(const std::string& region, const std::string& part = {}) const;
  void Start(const std::string& region) const;
  /// Starts a region that was lost and makes it a standby again.
  void BringBack(const std::string& region, const std::string& primary) const;

  /// First column of the first row, as the superuser. Nothing: no server, or it refused.
  std::optional<std::string> Sql(const std::string& region, const std::string& sql) const;
  /// Writes at least `mib` MiB of WAL.
  void Fill(const std::string& region, int mib) const;
  /// The server process of `region` whose title holds `word` ("walsender", "walreceiver"). 0: none.
  pid_t ServerProcess(const std::string& region, const std::string& word) const;
  /// Pid of a supervised part: "agent", "guard", "knot", "supervisor". 0: it does not run.
  pid_t PidOf(const std::string& region, const std::string& part) const;
  /// Runs a tool as the lab's user.
  ProgramEnd Tool(const std::vector<std::string>& argv) const;

 private:
  ScratchFolder scratch_;
  lab::LabInfo info_;
  std::optional<RunAs> owner_;
};

}  // namespace lifeboat::testing_support
