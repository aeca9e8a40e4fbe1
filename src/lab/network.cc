#include "lab/network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <optional>
#include <thread>

#include "adapters/system/files.h"
#include "lab/client.h"
#include "lab/tools.h"

namespace lifeboat::lab {

namespace {

constexpr const char* kIp = "/usr/sbin/ip";
constexpr const char* kNft = "/usr/sbin/nft";
constexpr const char* kNamespaces = "/run/netns";  // @source ip-netns(8)
constexpr const char* kPrefix = "lifeboat-";       // of every namespace of ours
constexpr Duration kToolTimeout = 10s;
constexpr int kSubnetBits = 24;

Result<std::string> Ip(std::vector<std::string> words) {
  words.insert(words.begin(), kIp);
  return RunTool(std::move(words), "/", std::nullopt, kToolTimeout);
}

Result<std::string> Nft(const std::string& netns, const std::string& statement, bool json = false) {
  std::vector<std::string> argv = {kIp, "netns", "exec", netns, kNft};
  if (json) argv.emplace_back("-j");
  argv.push_back(statement);
  return RunTool(std::move(argv), "/", std::nullopt, kToolTimeout);
}

// SAFETY: names come from a file in the lab's folder; whatever stands there, nothing but a namespace of ours is ever removed.
bool IsOurs(const std::string& netns) { return netns.starts_with(kPrefix) && netns.find('/') == std::string::npos; }

bool Exists(const std::string& netns) {
  std::error_code ignored;
  return std::filesystem::exists(std::filesystem::path(kNamespaces) / netns, ignored);
}

// Drops by address, not by connection: what was established is cut as well. ARP is another protocol and passes, so that a
// sender sees silence and not "no route to host".
constexpr const char* kFilter =
    "add table bridge lifeboat; "
    "add set bridge lifeboat cuts { type ipv4_addr . ipv4_addr; }; "
    "add chain bridge lifeboat passing { type filter hook forward priority 0; policy accept; }; "
    "add rule bridge lifeboat passing ip saddr . ip daddr @cuts counter drop";

Result<Unit> MakeBridge(const std::string& netns) {
  for (const std::vector<std::string>& words :
       std::initializer_list<std::vector<std::string>>{{"netns", "add", netns},
                                                       {"-n", netns, "link", "set", "lo", "up"},
                                                       {"-n", netns, "link", "add", "br0", "type", "bridge"},
                                                       {"-n", netns, "link", "set", "br0", "up"}}) {
    if (const auto ran = Ip(words); !ran) return ran.error();
  }
  const auto filtered = Nft(netns, kFilter);
  return filtered ? Done() : Result<Unit>(filtered.error());
}

Result<Unit> JoinRegion(const LabInfo& lab, const LabRegion& region, int number) {
  const std::string& bridge = lab.network->bridge;
  const std::string port = "r" + std::to_string(number);
  for (const std::vector<std::string>& words : std::initializer_list<std::vector<std::string>>{
           {"netns", "add", region.netns},
           {"-n", region.netns, "link", "set", "lo", "up"},
           {"-n", bridge, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", region.netns},
           {"-n", bridge, "link", "set", port, "master", "br0", "up"},
           {"-n", region.netns, "addr", "add", region.address + "/" + std::to_string(kSubnetBits), "dev", "eth0"},
           {"-n", region.netns, "link", "set", "eth0", "up"}}) {
    if (const auto ran = Ip(words); !ran) return ran.error();
  }
  return Done();
}

Result<Unit> JoinHost(const LabNetwork& network) {
  for (const std::vector<std::string>& words : std::initializer_list<std::vector<std::string>>{
           {"link", "add", network.host_link, "type", "veth", "peer", "name", "host", "netns", network.bridge},
           {"-n", network.bridge, "link", "set", "host", "master", "br0", "up"},
           {"addr", "add", network.host_address + "/" + std::to_string(kSubnetBits), "dev", network.host_link},
           {"link", "set", network.host_link, "up"}}) {
    if (const auto ran = Ip(words); !ran) return ran.error();
  }
  return Done();
}

struct Range {
  std::uint32_t first;
  std::uint32_t last;
};

// "10.0.0.0/8", "10.1.2.3". Nothing: "default", or not IPv4.
std::optional<Range> RangeOf(const std::string& text) {
  const std::size_t slash = text.find('/');
  in_addr address{};
  if (::inet_pton(AF_INET, text.substr(0, slash).c_str(), &address) != 1) return std::nullopt;
  const int bits = slash == std::string::npos ? 32 : std::atoi(text.c_str() + slash + 1);
  if (bits <= 0 || bits > 32) return std::nullopt;  // 0.0.0.0/0 is the default route: ours is narrower
  const std::uint32_t mask = ~std::uint32_t{0} << (32 - bits);
  const std::uint32_t first = ntohl(address.s_addr) & mask;
  return Range{first, first | ~mask};
}

std::string AddressOf(const LabInfo& lab, const std::string& party) {
  if (party == kClients) return lab.network->host_address;
  const LabRegion* region = lab.Find(party);
  return region == nullptr ? "" : region->address;
}

std::string PartyAt(const LabInfo& lab, const std::string& address) {
  if (address == lab.network->host_address) return kClients;
  for (const LabRegion& region : lab.regions) {
    if (region.address == address) return region.name.text;
  }
  return address;
}

std::vector<std::string> PartiesOf(const LabInfo& lab) {
  std::vector<std::string> parties;
  for (const LabRegion& region : lab.regions) parties.push_back(region.name.text);
  parties.emplace_back(kClients);
  return parties;
}

Result<Unit> Known(const LabInfo& lab, const std::string& party) {
  const std::vector<std::string> parties = PartiesOf(lab);
  if (std::find(parties.begin(), parties.end(), party) != parties.end()) return Done();
  std::string words;
  for (const std::string& each : parties) words += (words.empty() ? "'" : ", '") + each + "'";
  return Refused("the lab has no region '" + party + "'", "what can be cut is " + words);
}

Result<Unit> HasNetwork(const LabInfo& lab) {
  if (!lab.network) {
    return Refused(
        "the regions of this lab share the loopback network, in which no packets can be dropped",
        "start a lab with 'lifeboat lab up --network namespaces', as root; 'lab kill' and 'lab freeze' work here as well");
  }
  if (::geteuid() != 0) return Refused("only root can look at the lab's network or change it", "run the command as root");
  if (!Exists(lab.network->bridge)) {
    return Fail("the lab's network '" + lab.network->bridge + "' is gone",
                "was the machine started again? end the lab with 'lifeboat lab down' and start a new one");
  }
  return Done();
}

std::string Elements(const LabInfo& lab, const std::vector<CutLink>& links) {
  std::string text;
  for (const CutLink& link : links) {
    text += (text.empty() ? "" : ", ") + AddressOf(lab, link.from) + " . " + AddressOf(lab, link.to);
  }
  return "{ " + text + " }";
}

Result<CutReport> Change(const LabInfo& lab, const std::string& verb, const std::vector<CutLink>& links) {
  CutReport report;
  report.begun_ns = MonotonicNs();
  if (!links.empty()) {
    const auto ran = Nft(lab.network->bridge, verb + " element bridge lifeboat cuts " + Elements(lab, links));
    if (!ran) return ran.error();
  }
  report.in_force_ns = MonotonicNs();
  report.in_force_wall_ns = ReadWallClock().ns;
  auto now = ReadCuts(lab);
  if (!now) return now.error();
  report.links = std::move(now).value();
  return report;
}

}  // namespace

Result<Unit> CanMakeNetworks() {
  if (::geteuid() != 0) return Fail("network namespaces need root");
  for (const char* tool : {kIp, kNft}) {
    if (::access(tool, X_OK) != 0) return Fail("there is no '" + std::string(tool) + "'", "'make setup' installs it");
  }
  // In a namespace without a name, which ends with the command, also when we are killed meanwhile.
  const std::string trial =
      std::string(kIp) + " link add br0 type bridge && " + kIp + " link add try type veth && " + kNft + " '" + kFilter + "'";
  const auto tried = RunTool({"unshare", "--net", "sh", "-c", trial}, "/", std::nullopt, kToolTimeout);
  return tried ? Done() : Result<Unit>(tried.error().Within("network namespaces"));
}

Result<bool> SubnetIsFree(const std::string& subnet) {
  const auto ours = RangeOf(subnet + ".0/" + std::to_string(kSubnetBits));
  LIFEBOAT_CHECK(ours.has_value(), "a subnet is three numbers");
  const auto text = Ip({"-4", "-json", "route", "show", "table", "all"});
  if (!text) return text.error();
  const auto routes = ParseJson(*text, "routes");
  if (!routes) return routes.error();
  for (const Json& route : *routes) {
    const auto other = RangeOf(TextAt(route, "dst"));
    if (other && other->first <= ours->last && ours->first <= other->last) return false;
  }
  return true;
}

LabNetwork NameNetwork(const std::string& subnet) {
  LabNetwork network;
  network.id = RandomHex(3);
  network.subnet = subnet;
  network.bridge = NamespaceOf(network, "bridge");
  network.host_link = "lb" + network.id;  // an interface's name holds 15 bytes
  network.host_address = subnet + ".254";
  return network;
}

std::string NamespaceOf(const LabNetwork& network, const std::string& region) { return kPrefix + network.id + "-" + region; }

Result<Unit> MakeNetwork(const LabInfo& lab) {
  if (auto made = MakeBridge(lab.network->bridge); !made) return made.error().Within("the lab's network");
  int number = 0;
  for (const LabRegion& region : lab.regions) {
    if (auto joined = JoinRegion(lab, region, ++number); !joined)
      return joined.error().Within("network of '" + region.name.text + "'");
  }
  if (auto joined = JoinHost(*lab.network); !joined) return joined.error().Within("the lab's link to this machine");
  return Done();
}

Result<Unit> RemoveNetwork(const LabNetwork& network, const std::vector<std::string>& namespaces) {
  std::error_code ignored;
  const bool link =
      network.host_link == "lb" + network.id && std::filesystem::exists("/sys/class/net/" + network.host_link, ignored);
  std::vector<std::string> there;
  for (const std::string& netns : namespaces) {
    if (IsOurs(netns) && Exists(netns)) there.push_back(netns);
  }
  if (!link && there.empty()) return Done();
  if (::geteuid() != 0) return Fail("only root can remove the lab's network", "run the command as root");
  if (link) {  // at once: the subnet is free when we are done, and not when the kernel has cleaned up behind a namespace
    if (const auto removed = Ip({"link", "del", network.host_link}); !removed) return removed.error();
  }
  for (const std::string& netns : there) {
    if (const auto removed = Ip({"netns", "del", netns}); !removed) return removed.error();
  }
  return Done();
}

Result<Unit> InNamespace(const std::string& netns, const std::function<Result<Unit>()>& work) {
  if (netns.empty()) return work();
  const std::string path = std::string(kNamespaces) + "/" + netns;
  const int handle = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (handle < 0) {
    return NotFound("the network namespace '" + netns + "' cannot be entered: " + std::strerror(errno),
                    "was the machine started again? end the lab with 'lifeboat lab down' and start a new one");
  }
  Result<Unit> outcome = Fail("the network namespace '" + netns + "' was not entered");
  // A namespace belongs to a thread: ours stays where it is. @source setns(2)
  std::thread([&] {
    if (::setns(handle, CLONE_NEWNET) == 0) {
      outcome = work();
    } else {
      outcome = Fail("the network namespace '" + netns + "' cannot be entered: " + std::strerror(errno), "run the command as root");
    }
  }).join();
  ::close(handle);
  return outcome;
}

Result<std::vector<CutLink>> LinksBetween(const LabInfo& lab, const std::string& a, const std::string& b, bool one_way) {
  if (auto known = Known(lab, a); !known) return known.error();
  if (auto known = b.empty() ? Done() : Known(lab, b); !known) return known.error();
  if (b.empty() && one_way) return Refused("a one-way cut needs two ends", "lifeboat lab cut REGION REGION --one-way");
  if (a == b) return Refused("'" + a + "' cannot be cut from itself", "name two regions");
  std::vector<CutLink> links;
  for (const std::string& other : PartiesOf(lab)) {
    if (other == a || (!b.empty() && other != b)) continue;
    links.push_back({a, other});
    if (!one_way) links.push_back({other, a});
  }
  return links;
}

Result<CutReport> AddCuts(const LabInfo& lab, const std::vector<CutLink>& links) {
  if (auto there = HasNetwork(lab); !there) return there.error();
  return Change(lab, "add", links);
}

Result<CutReport> RemoveCuts(const LabInfo& lab, const std::string& a, const std::string& b) {
  for (const std::string& party : {a, b}) {
    if (party.empty()) continue;
    if (auto known = Known(lab, party); !known) return known.error();
  }
  if (auto there = HasNetwork(lab); !there) return there.error();
  const auto now = ReadCuts(lab);
  if (!now) return now.error();
  std::vector<CutLink> healed;
  for (const CutLink& link : *now) {
    const auto touches = [&](const std::string& party) { return party.empty() || link.from == party || link.to == party; };
    if (touches(a) && touches(b)) healed.push_back(link);
  }
  return Change(lab, "delete", healed);
}

Result<std::vector<CutLink>> ReadCuts(const LabInfo& lab) {
  std::vector<CutLink> links;
  if (!lab.network) return links;
  if (auto there = HasNetwork(lab); !there) return there.error();
  const auto text = Nft(lab.network->bridge, "list set bridge lifeboat cuts", true);
  if (!text) return text.error();
  const auto json = ParseJson(*text, "nft");
  if (!json) return json.error();
  for (const Json& object : MemberAt(*json, "nftables")) {
    for (const Json& element : MemberAt(MemberAt(object, "set"), "elem")) {
      const Json& pair = MemberAt(element, "concat");
      if (pair.size() == 2) links.push_back({PartyAt(lab, pair[0].get<std::string>()), PartyAt(lab, pair[1].get<std::string>())});
    }
  }
  std::sort(links.begin(), links.end());
  return links;
}

}  // namespace lifeboat::lab
