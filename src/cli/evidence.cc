// lifeboat evidence: what was measured, and whether the record of it is whole.

#include <cstdio>

#include "cli/commands.h"
#include "cli/table.h"

namespace lifeboat {

int VerifyEvidence(const CommonOptions& options) {
  return AskAndShow(options, "evidence.verify", Json::object(), [&](const Json& answer, const Settings&) {
    bool bad = false;
    bool unknown = false;
    for (const Json& chain : MemberAt(answer, "chains")) {
      const Json& intact = MemberAt(chain, "intact");
      bad = bad || (intact.is_boolean() && !intact.get<bool>());
      unknown = unknown || !intact.is_boolean();
      if (options.json) continue;
      std::printf("  %-10s  %s\n", TextAt(chain, "region").c_str(), TextAt(chain, "sentence").c_str());
      for (const Json& problem : MemberAt(chain, "problems"))
        std::printf("      record %llu: %s\n", static_cast<unsigned long long>(NumberAt(problem, "sequence")),
                    TextAt(problem, "sentence").c_str());
      for (const Json& silent : MemberAt(chain, "not_asked"))
        std::printf("      not compared with %s: its agent does not answer\n", silent.get<std::string>().c_str());
    }
    if (!options.json)
      std::printf("%s\n", bad       ? "the evidence was changed"
                          : unknown ? "the evidence that could be checked is whole; some could not"
                                    : "the evidence is whole");
    return static_cast<int>(bad ? Exit::kFailed : unknown ? Exit::kNotMet : Exit::kDone);
  });
}

int ListEvidence(const CommonOptions& options, std::uint64_t limit) {
  return AskAndShow(options, "evidence.list", Json{{"limit", limit}}, [&](const Json& answer, const Settings&) {
    if (options.json) return 0;
    Table table({"SEQUENCE", "AT", "KIND", "EXECUTION", "HASH"});
    for (const Json& row : MemberAt(answer, "records")) {
      table.Add({std::to_string(NumberAt(row, "sequence")), FormatWallTime({SignedAt(row, "at_ns")}), TextAt(row, "kind"),
                 TextAt(row, "execution"), TextAt(row, "hash").substr(0, 16) + "…"});
    }
    std::printf("evidence of %s\n%s", TextAt(answer, "region").c_str(),
                MemberAt(answer, "records").empty() ? "  no record yet\n" : table.Text().c_str());
    return 0;
  });
}

}  // namespace lifeboat
