#pragma once

// The network of a lab: each region in a network namespace of its own, joined by a bridge in a further namespace, so that
// packets between two regions can be dropped and nothing else. In the host's own namespace stands one end of a veth pair, through
// which commands and clients reach the regions; nothing else of the host is touched: no forwarding, no packet filter, no route but
// the one of that link's own subnet, which was unused.
//
//   region namespace  eth0 10.177.S.1 ─┐
//   region namespace  eth0 10.177.S.2 ─┼─ bridge br0, table "lifeboat" drops what is cut
//   region namespace  eth0 10.177.S.3 ─┤
//   the host          lbXXXXXX  .254 ──┘
//
// All names stand in the lab's marker before the first is made, and only names that stand there are ever removed.
// Thread rule: any thread, one call at a time per lab; blocks for milliseconds (it runs ip and nft).

#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "base/time.h"
#include "lab/layout.h"

namespace lifeboat::lab {

/// What stands for the host, and so for all clients and commands, where regions are named.
inline constexpr const char* kClients = "clients";

/// A direction in which packets are dropped without a word.
struct CutLink {
  std::string from;  ///< a region, or kClients
  std::string to;
  auto operator<=>(const CutLink&) const = default;
};

/// When a fault of the network began: somewhere between these two moments (CLOCK_MONOTONIC).
struct CutReport {
  std::int64_t begun_ns = 0;
  std::int64_t in_force_ns = 0;
  std::int64_t in_force_wall_ns = 0;
  std::vector<CutLink> links;  ///< all that are cut now
};

/// Tries what a lab with networks needs: root, namespaces, a bridge, a packet filter on it. Leaves nothing behind.
/// @error kFail: what is missing, in words for a person
[[nodiscard]] Result<Unit> CanMakeNetworks();

/// "10.177.S", where no route of this machine leads to a part of 10.177.S.0/24. @error kFail: the routes cannot be read
[[nodiscard]] Result<bool> SubnetIsFree(const std::string& subnet);

/// Names for the network of a lab whose regions have addresses in 10.177.S.0/24; nothing is made yet.
[[nodiscard]] LabNetwork NameNetwork(const std::string& subnet);
[[nodiscard]] std::string NamespaceOf(const LabNetwork& network, const std::string& region);

/// Makes what `lab` names. What was made stays on failure: RemoveNetwork removes it.
[[nodiscard]] Result<Unit> MakeNetwork(const LabInfo& lab);
/// Removes it, whole or in part; processes in it must have ended. Nothing there: done.
/// @error kFail: not root, or the kernel's words
[[nodiscard]] Result<Unit> RemoveNetwork(const LabNetwork& network, const std::vector<std::string>& namespaces);

/// Runs `work` on a thread of its own that has entered the namespace: what it starts lives there. Empty name: just runs it.
/// @error kNotFound: there is no such namespace (any more)
[[nodiscard]] Result<Unit> InNamespace(const std::string& netns, const std::function<Result<Unit>()>& work);

/// Adds to what is cut, in one step. Established connections are cut like new ones; address resolution goes on, so that no
/// end is told. @error kRefused: no such region, or the lab has no network of its own
[[nodiscard]] Result<CutReport> AddCuts(const LabInfo& lab, const std::vector<CutLink>& links);
/// Takes away what is cut between `a` and `b`; b empty: between `a` and everybody; both empty: everything.
[[nodiscard]] Result<CutReport> RemoveCuts(const LabInfo& lab, const std::string& a, const std::string& b);
/// What is cut now; nothing in a lab without a network of its own. @error kRefused: not root
[[nodiscard]] Result<std::vector<CutLink>> ReadCuts(const LabInfo& lab);

/// Both directions between `a` and `b`, or the one; b empty: between `a` and all others, clients among them.
/// @error kRefused: no such region; a region and itself; one way without b
[[nodiscard]] Result<std::vector<CutLink>> LinksBetween(const LabInfo& lab, const std::string& a, const std::string& b,
                                                        bool one_way);

}  // namespace lifeboat::lab
