// lifeboat status, explain, check: what is so, why, and what stands in the way.

#include <cstdio>

#include "cli/commands.h"
#include "cli/table.h"
#include "decide/managed.h"
#include "decide/rules.h"

namespace lifeboat {

namespace {

Duration Milliseconds(const Json& value) { return std::chrono::milliseconds(value.get<std::int64_t>()); }

std::string Ago(const Json& milliseconds) {
  return milliseconds.is_number() ? FormatDuration(Milliseconds(milliseconds)) + " ago" : "at an unknown time";
}

std::string DatabaseText(const Json& region) {
  const Json& database = MemberAt(region, "database");
  if (TextAt(region, "kind") == "witness") return "-";
  if (MemberAt(region, "managed").is_string()) return TextAt(region, "managed");
  if (!database.is_object()) return "unknown";
  if (!FlagAt(database, "process_alive")) return FlagAt(region, "detached") ? "stopped, must be rejoined" : "stopped";
  if (!FlagAt(database, "accepting")) return "does not answer";
  std::string text = FlagAt(database, "in_recovery") ? "standby" : "accepts writes";
  if (FlagAt(database, "in_recovery")) {
    const std::string upstream = TextAt(database, "upstream");
    text = upstream.empty() ? "standby, streams from nobody" : "streams from " + upstream;
  }
  if (MemberAt(database, "timeline").is_number()) text += ", timeline " + std::to_string(NumberAt(database, "timeline"));
  if (!TextAt(database, "flushed").empty()) text += ", " + TextAt(database, "flushed");
  return text;
}

std::string BehindText(const Json& region) {
  if (TextAt(region, "role") != "standby") return "-";
  const Json& rpo = MemberAt(region, "rpo_ms");
  if (!rpo.is_number()) return "unknown";
  if (!MemberAt(region, "backlog_bytes").is_number()) {
    const std::string source = TextAt(region, "lag_source");
    return "at most " + FormatDuration(Milliseconds(rpo)) + (source.empty() ? "" : ", by " + source);
  }
  return FormatDuration(Milliseconds(rpo)) + ", " + FormatBytes({NumberAt(region, "backlog_bytes")});
}

/// Which path carries the lease, and for how long each alone would.
std::string CarriedText(const Json& lease) {
  const std::string path = TextAt(lease, "path");
  if (path.empty() || path == "unknown") return {};
  if (path == "none") return ", not carried by anything now";
  std::string text = ", carried by ";
  const auto part = [&](const char* name, const char* key) {
    const Json& left = MemberAt(lease, key);
    if (!left.is_number()) return std::string();
    return std::string(name) + " (" + FormatDuration(Milliseconds(left)) + " left)";
  };
  const std::string store = part("the store", "store_left_ms");
  const std::string promises = part("the candidates' promises", "promises_left_ms");
  text += store + (store.empty() || promises.empty() ? "" : " and ") + promises;
  return text;
}

std::string LeaseText(const Json& status) {
  const Json& lease = MemberAt(status, "lease");
  if (!MemberAt(lease, "epoch").is_number())
    return "none known" + (TextAt(lease, "store_problem").empty() ? "" : ": " + TextAt(lease, "store_problem"));
  std::string text = "epoch " + std::to_string(NumberAt(lease, "epoch")) + " held by " + TextAt(lease, "holder");
  if (MemberAt(lease, "released").is_object())
    text = "epoch " + std::to_string(NumberAt(lease, "epoch")) + " released by " + TextAt(lease, "holder") + " to " +
           TextAt(MemberAt(lease, "released"), "heir");
  text += ", seen to move " + Ago(MemberAt(lease, "counter_age_ms")) + ", length " +
          FormatDuration(std::chrono::milliseconds(NumberAt(lease, "length_ms"))) + CarriedText(lease);
  std::string candidates;
  for (const Json& candidate : MemberAt(lease, "candidates"))
    candidates += (candidates.empty() ? "" : ", ") + candidate.get<std::string>();
  text += "; candidates: " + (candidates.empty() ? "none" : candidates);
  if (!TextAt(lease, "attested").empty()) text += "\n            begun on a person's word: " + TextAt(lease, "attested");
  return text;
}

/// Where nothing is fenced by design; empty: nowhere.
std::string UnfencedText(const Json& status) {
  if (TextAt(MemberAt(status, "policy"), "automation") == "observe")
    return "none: policy.automation is 'observe', gates are held open, and Lifeboat promises nothing";
  std::string regions;
  for (const Json& region : MemberAt(status, "regions")) {
    const Json& guard = MemberAt(region, "guard");
    if (FlagAt(guard, "held") || FlagAt(guard, "observes")) regions += (regions.empty() ? "" : ", ") + TextAt(region, "name");
  }
  return regions.empty() ? regions : "none in " + regions + ": its guard observes, or was not fed since it did";
}

std::string VotesText(const Json& status) {
  const Json& votes = MemberAt(status, "votes");
  std::string text = std::to_string(NumberAt(votes, "ok")) + " of " + std::to_string(NumberAt(votes, "agents")) +
                     " agents call the primary ok, " + std::to_string(NumberAt(votes, "degraded")) + " degraded, " +
                     std::to_string(NumberAt(votes, "unknown")) + " unknown";
  if (MemberAt(votes, "majority_ms").is_number())
    text += "; a majority for " + FormatDuration(Milliseconds(MemberAt(votes, "majority_ms")));
  if (!TextAt(votes, "why").empty()) text += " (" + TextAt(votes, "why") + ")";
  return text;
}

/// Where AWS runs the database: what stands in the place of a lease.
std::string WriterText(const Json& status) {
  const Json& lease = MemberAt(status, "lease");
  if (!MemberAt(lease, "epoch").is_number()) return "none is noted";
  std::string text = "in " + TextAt(lease, "holder") + ", epoch " + std::to_string(NumberAt(lease, "epoch"));
  if (!TextAt(lease, "moving_to").empty()) text += ", moving to " + TextAt(lease, "moving_to");
  return text + "; nothing but AWS stops an old writer, as best it can";
}

std::string SilenceText(const Json& status) {
  const Json& votes = MemberAt(status, "silence");
  std::string text = std::to_string(NumberAt(votes, "degraded")) + " of " + std::to_string(NumberAt(votes, "agents")) +
                     " agents find the region of the writer silent";
  if (MemberAt(votes, "majority_ms").is_number())
    text += "; a majority for " + FormatDuration(Milliseconds(MemberAt(votes, "majority_ms")));
  return text + (TextAt(votes, "why").empty() ? "" : " (" + TextAt(votes, "why") + ")");
}

int PrintStatus(const Json& status, const Settings& settings) {
  const bool managed = MemberAt(status, "managed").is_string();
  std::printf("%s: %s\n%s\n\n", TextAt(status, "service").c_str(), TextAt(status, "verdict").c_str(),
              TextAt(status, "sentence").c_str());
  Table table({"REGION", "ROLE", "VERDICT", "DATABASE", "BEHIND", "AGENT"});
  for (const Json& region : MemberAt(status, "regions")) {
    const bool answers = FlagAt(region, "agent_reachable");
    std::string agent = answers ? "answers" : "silent, last heard " + Ago(MemberAt(region, "agent_age_ms"));
    if (!answers && !MemberAt(region, "agent_age_ms").is_number()) agent = "silent, never heard";
    table.Add({TextAt(region, "name"), TextAt(region, "role"), TextAt(region, "verdict"), DatabaseText(region), BehindText(region),
               agent});
  }
  std::printf("%s\n", table.Text().c_str());
  for (const Json& region : MemberAt(status, "regions")) {
    const std::string why = TextAt(region, "why_not_promotable");
    if (!why.empty()) std::printf("  %s could not take over: %s\n", TextAt(region, "name").c_str(), why.c_str());
  }
  // What waits for a person, and the one command: a lost region is known by it, whoever was asked.
  for (const Json& region : MemberAt(status, "regions")) {
    const Json& decision = MemberAt(region, "decision");
    const std::string unblock = TextAt(decision, "unblock");
    if (!FlagAt(decision, "withheld") || unblock.empty() || FlagAt(region, "detached")) continue;
    std::printf("  %s waits (rule %llu): %s\n    to do: %s\n", TextAt(region, "name").c_str(),
                static_cast<unsigned long long>(NumberAt(decision, "rule")), TextAt(decision, "reason").c_str(), unblock.c_str());
  }
  const Json& traffic = MemberAt(status, "traffic");
  std::string name = TextAt(traffic, "name") + " → ";
  if (MemberAt(traffic, "address").is_string()) {
    name += TextAt(traffic, "address") + " (" +
            (TextAt(traffic, "region").empty() ? "no region of ours" : TextAt(traffic, "region")) + "), epoch " +
            (MemberAt(traffic, "epoch").is_number() ? std::to_string(NumberAt(traffic, "epoch")) : "not written") + ", TTL " +
            std::to_string(NumberAt(traffic, "ttl_s")) + " s";
  } else {
    name += "unknown: " + TextAt(traffic, "problem");
  }
  const Json& canary = MemberAt(status, "canary");
  const Json& ok = MemberAt(canary, "ok");
  std::string writes = "unknown";
  if (ok.is_boolean()) writes = ok.get<bool>() ? "writes through the public name" : "cannot write: " + TextAt(canary, "problem");
  const Json& decision = MemberAt(status, "decision");
  const bool store = FlagAt(MemberAt(status, "lease"), "store_reachable");
  if (managed)
    std::printf("  writer    %s\n", WriterText(status).c_str());
  else
    std::printf("  lease     %s\n", LeaseText(status).c_str());
  if (const std::string unfenced = UnfencedText(status); !unfenced.empty()) std::printf("  fence     %s\n", unfenced.c_str());
  std::string kind = "embedded in " + settings.store.host.text;
  if (settings.store.kind == StoreKind::kEtcd) kind = "etcd, " + std::to_string(settings.store.endpoints.size()) + " members";
  if (settings.store.kind == StoreKind::kDynamoDb) {
    kind = "DynamoDB, table " + settings.store.table + " in";
    for (const std::string& region : settings.store.aws_regions) kind += " " + region;
  }
  std::printf("  store     %s, %s\n", kind.c_str(),
              store ? "answers" : ("silent: " + TextAt(MemberAt(status, "lease"), "store_problem")).c_str());
  if (managed && !MemberAt(traffic, "name").is_string()) name = "the database's own writer endpoint";
  std::printf("  name      %s\n", name.c_str());
  if (managed) std::printf("  silence   %s\n", SilenceText(status).c_str());
  if (!managed || ok.is_boolean()) std::printf("  canary    %s\n", writes.c_str());
  std::printf("  votes     %s\n", VotesText(status).c_str());
  if (const Json& latch = MemberAt(status, "cool_down"); latch.is_object()) {
    std::printf("  cool-down votes moved the service from %s to %s at %s (%s), and move it no second time before: %s\n",
                TextAt(latch, "from").c_str(), TextAt(latch, "to").c_str(), FormatWallTime({SignedAt(latch, "at_ns")}).c_str(),
                TextAt(latch, "by").c_str(), "lifeboat cool-down clear --reason \"what was found\"");
  }
  std::printf("  decision  rule %llu of %s: %s\n", static_cast<unsigned long long>(NumberAt(decision, "rule")),
              TextAt(status, "region").c_str(), TextAt(decision, "sentence").c_str());
  const Json& execution = MemberAt(status, "execution");
  if (execution.is_object()) std::printf("\n%s", ExecutionText(execution).c_str());
  return 0;
}

}  // namespace

int ShowStatus(const CommonOptions& options) {
  return AskAndShow(options, "status", Json::object(),
                    [&](const Json& status, const Settings& settings) { return options.json ? 0 : PrintStatus(status, settings); });
}

int ShowExplain(const CommonOptions& options, bool rules) {
  if (rules && options.json) {
    Json all = Json::array();
    for (const Rule& rule : AllRules()) all.push_back({{"number", rule.number}, {"sentence", rule.sentence}});
    for (const Rule& rule : AllManagedRules()) all.push_back({{"number", rule.number}, {"sentence", rule.sentence}});
    std::printf("%s\n", all.dump(2).c_str());
    return 0;
  }
  if (rules) {
    std::printf("| rule | sentence |\n| --- | --- |\n");
    for (const Rule& rule : AllRules()) std::printf("| %d | %s |\n", rule.number, rule.sentence);
    for (const Rule& rule : AllManagedRules()) std::printf("| %d | %s |\n", rule.number, rule.sentence);
    return 0;
  }
  return AskAndShow(options, "explain", Json::object(), [&](const Json& answer, const Settings&) {
    if (options.json) return 0;
    const Json& facts = MemberAt(answer, "facts");
    std::printf("%s, seen from %s\n\n", TextAt(facts, "sentence").c_str(), TextAt(answer, "region").c_str());
    std::printf("  rule %llu: %s (since %s)\n", static_cast<unsigned long long>(NumberAt(answer, "rule")),
                TextAt(answer, "sentence").c_str(), TextAt(answer, "since").c_str());
    std::printf("  because   %s\n", TextAt(answer, "reason").c_str());
    std::printf("  proposal  %s%s\n", TextAt(answer, "proposal").c_str(), FlagAt(answer, "withheld") ? " (withheld)" : "");
    if (!TextAt(answer, "unblock").empty()) std::printf("  unblocked by  %s\n", TextAt(answer, "unblock").c_str());
    if (!TextAt(answer, "last_problem").empty()) std::printf("  last try  %s\n", TextAt(answer, "last_problem").c_str());
    const Json& loss = MemberAt(facts, "loss");
    if (loss.is_object()) std::printf("  loss      %s: %s\n", TextAt(loss, "state").c_str(), TextAt(loss, "basis").c_str());
    std::printf("\n  What each region decides:\n");
    Table table({"REGION", "RULE", "SENTENCE", "REASON"});
    for (const Json& region : MemberAt(facts, "regions")) {
      const Json& decision = MemberAt(region, "decision");
      if (!decision.is_object())
        table.Add({TextAt(region, "name"), "-", "its agent does not answer", TextAt(region, "problem")});
      else
        table.Add({TextAt(region, "name"), std::to_string(NumberAt(decision, "rule")), TextAt(decision, "sentence"),
                   TextAt(decision, "reason")});
    }
    std::printf("%s", table.Text().c_str());
    for (const Json& region : MemberAt(facts, "regions")) {
      const std::string unblock = TextAt(MemberAt(region, "decision"), "unblock");
      if (!unblock.empty()) std::printf("\n  %s is unblocked by: %s\n", TextAt(region, "name").c_str(), unblock.c_str());
    }
    return 0;
  });
}

int ShowCheck(const CommonOptions& options) {
  return AskAndShow(
      options, "check", Json::object(),
      [&](const Json& answer, const Settings&) {
        const bool ready = FlagAt(answer, "ready");
        if (!options.json) {
          std::printf("%s: %s, seen from %s\n\n", TextAt(answer, "service").c_str(), ready ? "ready" : "not ready",
                      TextAt(answer, "seen_from").c_str());
          for (const Json& finding : MemberAt(answer, "findings")) {
            std::printf("  %-5s  %s\n", TextAt(finding, "level").c_str(), TextAt(finding, "what").c_str());
            if (!TextAt(finding, "hint").empty()) std::printf("         hint: %s\n", TextAt(finding, "hint").c_str());
          }
        }
        return static_cast<int>(ready ? Exit::kDone : Exit::kNotMet);
      },
      std::chrono::seconds(40));
}

}  // namespace lifeboat
