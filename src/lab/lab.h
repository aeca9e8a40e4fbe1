#pragma once

// A lab: three regions on this machine, with real PostgreSQL, Knot DNS and agents, each region on a loopback address of its
// own, or with root in a network namespace of its own, between which packets can be dropped. For the demo, the drills, the tests
// and for trying the commands. Everything in it belongs to one folder and ends with it; a lab is found by its folder and a process
// of it by its working directory, never by a name.
//
// Life cycle: Up → any of Kill, Cut, Heal, Freeze, Thaw, Start, Status → Down, which also works on a half-built or crashed lab, and
// twice. Thread rule: any thread, one at a time per folder; blocks for seconds.

#include <functional>
#include <string>

#include "base/json.h"
#include "lab/faults.h"
#include "lab/layout.h"
#include "lab/network.h"

namespace lifeboat::lab {

/// Where the regions of a lab live.
enum class LabPlace {
  kLoopback,    ///< each at a loopback address of its own: everybody's, but no packet can be dropped
  kNamespaces,  ///< each in a network namespace of its own: needs root
  kAuto,        ///< namespaces where they are possible
};

struct LabOptions {
  std::filesystem::path folder;   ///< empty: DefaultFolder()
  std::filesystem::path program;  ///< this executable; empty: /proc/self/exe
  LabKnobs knobs;
  LabPlace place = LabPlace::kLoopback;
  bool start_processes = true;  ///< false: builds everything and starts nothing
  Duration patience = 45s;      ///< for the service to become whole
};

/// Told of each step of a long call, for a person: "initialises the database".
using Progress = std::function<void(const std::string& text)>;
/// False ends a long call early (Ctrl-C).
using GoOn = std::function<bool()>;

/// Builds a lab, starts it and waits until the service is whole. What was built stays on failure: Down removes it.
/// @error kRefused: the folder holds something else, or a lab already
[[nodiscard]] Result<LabInfo> Up(const LabOptions& options, const Progress& progress, const GoOn& go_on);

/// What the agents say, which processes of each region live, and which faults there are:
/// {"folder","network":"namespaces"|"loopback","cuts":[{"from","to"}]|null,
///  "regions":[{"name","processes":[{"name","pid","alive","frozen"}]}],"service":{status of an agent}|null,
///  "table":{"endpoint","name","regions","silent"}|null}.
[[nodiscard]] Result<Json> Status(const std::filesystem::path& folder);

/// Ends all processes of a region at one instant.
[[nodiscard]] Result<KillReport> Kill(const std::filesystem::path& folder, const std::string& region);
/// Ends one part: "agent", "guard", "knot", "etcd", "supervisor", "postmaster", or "database" (all processes of the server).
/// @error kNotFound: it does not run
[[nodiscard]] Result<KillReport> Kill(const std::filesystem::path& folder, const std::string& region, const std::string& part);

/// Drops all packets between `a` and `b` (regions, or kClients) from now on, in both directions or only from `a` to `b`;
/// b empty: between `a` and everybody. @error kRefused: no such region; a lab on loopback; not root
[[nodiscard]] Result<CutReport> Cut(const std::filesystem::path& folder, const std::string& a, const std::string& b = {},
                                    bool one_way = false);
/// Lets packets through again, between `a` and `b`, between `a` and everybody, or everywhere (both empty).
[[nodiscard]] Result<CutReport> Heal(const std::filesystem::path& folder, const std::string& a = {}, const std::string& b = {});

/// Stops (SIGSTOP) a part of a region, as Kill names them, at one instant; part empty: all of the region, as if its machine stood
/// still. "dynamodb": what answers for it keeps silence in that region.
/// @error kNotFound: it does not run
[[nodiscard]] Result<KillReport> Freeze(const std::filesystem::path& folder, const std::string& region,
                                        const std::string& part = {});
/// Lets what stands still go on: a part, a region, or (both empty) everything. Nothing stands still: done.
[[nodiscard]] Result<KillReport> Thaw(const std::filesystem::path& folder, const std::string& region = {},
                                      const std::string& part = {});

/// Starts the region's supervisor, which starts the rest. @error kRefused: it runs
[[nodiscard]] Result<Unit> Start(const std::filesystem::path& folder, const std::string& region);

/// Ends every process beneath the folder and removes it. No folder: done.
/// @error kRefused: the folder is not a lab
[[nodiscard]] Result<Unit> Down(const std::filesystem::path& folder);

}  // namespace lifeboat::lab
