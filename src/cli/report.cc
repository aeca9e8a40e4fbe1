// lifeboat report: what the executions of this service cost, from the journal and the evidence, against the objectives.

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "cli/backup_report.h"
#include "cli/commands.h"
#include "model/execution.h"
#include "prove/phases.h"
#include "prove/report.h"

namespace lifeboat {

namespace {

std::string Machine() {
  utsname name{};
  uname(&name);
  return std::to_string(std::thread::hardware_concurrency()) + " cores, Linux " + name.release;
}

/// What a failover lost: counted once its old primary was rejoined, bounded until then.
Json LossOf(const Execution& failover, const std::vector<Execution>& all) {
  if (failover.kind == PlanKind::kSwitchover) {
    return {{"state", failover.state == ExecutionState::kDone ? "proven zero" : "unknown"},
            {"rows", nullptr},
            {"seconds", failover.state == ExecutionState::kDone ? Json(0) : Json(nullptr)},
            {"bytes", failover.state == ExecutionState::kDone ? Json(0) : Json(nullptr)}};
  }
  for (const Execution& rejoin : all) {
    if (rejoin.kind != PlanKind::kRejoin || rejoin.source != failover.source || rejoin.epoch != failover.epoch) continue;
    const Json& divergence = MemberAt(rejoin.facts, "divergence");
    if (!divergence.is_object()) continue;
    const std::uint64_t commits = NumberAt(divergence, "commits");
    // When the lost commits were made is not known here; where there are none, no time was lost.
    return {{"state", "counted"},
            {"rows", commits},
            {"seconds", commits == 0 ? Json(0) : Json(nullptr)},
            {"bytes", NumberAt(divergence, "diverged_bytes")}};
  }
  // By the old writer's heartbeat on the new one; where that could not be told, what it was decided on.
  if (const Json& measured = MemberAt(failover.facts, "loss_measured"); TextAt(measured, "state") == "bounded") {
    return {{"state", "bounded"},
            {"rows", nullptr},
            {"seconds", MemberAt(measured, "seconds")},
            {"bytes", nullptr},
            {"beats", MemberAt(measured, "beats")}};
  }
  const Json& estimate = MemberAt(failover.facts, "loss_estimate");
  if (!estimate.is_object()) return nullptr;
  return {{"state", TextAt(estimate, "state", "unknown")},
          {"rows", nullptr},
          {"seconds", MemberAt(estimate, "seconds")},
          {"bytes", MemberAt(estimate, "bytes")}};
}

/// The settings that an outage's length depends on.
Json SettingsThatCount(const Settings& settings) {
  if (!settings.aws) return {{"lease_ms", Millis(settings.lease.length)}, {"ttl_s", settings.dns.ttl.count()}};
  Json json = {{"failover_after_ms", Millis(settings.policy.failover_after)}};
  if (settings.policy.loss_limit) json["loss_limit_ms"] = Millis(settings.policy.loss_limit->time);
  return json;
}

Json EventsOf(const Execution& e) {
  Json events = Json::array();
  const std::pair<const char*, const char*> kMoments[] = {{"suspected_ns", "detected"},
                                                          {"claimed_ns", "fenced"},
                                                          {"promoted_ns", "promoted"},
                                                          {"routed_ns", "routed"},
                                                          {"first_good_write_ns", "first write"}};
  for (const auto& [fact, kind] : kMoments) {
    if (!MemberAt(e.facts, fact).is_number()) continue;
    events.push_back({{"at_ns", SignedAt(e.facts, fact)},
                      {"region", e.target.text},
                      {"kind", kind},
                      {"text", std::string(ToString(e.kind)) + " " + e.id.text}});
  }
  if (e.kind == PlanKind::kRejoin && e.state == ExecutionState::kDone) {
    events.push_back({{"at_ns", e.ended.ns}, {"region", e.source.text}, {"kind", "rejoined"}, {"text", e.id.text}});
  }
  return events;
}

Json Document(const std::vector<Execution>& all, const std::vector<Execution>& chosen, const Settings& settings,
              const Json& evidence) {
  Json runs = Json::array();
  Json events = Json::array();
  Json ledger = Json::array();
  Json sentences = Json::array();
  bool missed = false;
  bool unknown = chosen.empty();
  for (const Execution& execution : chosen) {
    const Json loss = execution.kind == PlanKind::kRejoin ? Json(nullptr) : LossOf(execution, all);
    Json run = ReportRun(execution, settings.objectives, loss);
    for (const char* judgement : {"rto_met", "rpo_met"}) {
      const Json& met = MemberAt(run, judgement);
      if (execution.kind == PlanKind::kRejoin) continue;
      missed = missed || (met.is_boolean() && !met.get<bool>());
      unknown = unknown || !met.is_boolean();
    }
    missed = missed || execution.state == ExecutionState::kFailed;
    runs.push_back(std::move(run));
    for (Json& event : EventsOf(execution)) events.push_back(std::move(event));
    sentences.push_back(FormatWallTime(execution.began) + " " + ToString(execution.kind) + " from " + execution.source.text +
                        " to " + execution.target.text + ": " + ToString(execution.state) + "; " + execution.reason);
    if (MemberAt(execution.facts, "divergence").is_object()) {
      Json entry = MemberAt(execution.facts, "divergence");
      entry["region"] = execution.source.text;
      ledger.push_back(std::move(entry));
    }
  }
  Json chain = {{"records", 0}, {"head", nullptr}, {"verified", nullptr}};
  for (const Json& each : MemberAt(evidence, "chains")) {
    chain["records"] = NumberAt(chain, "records") + NumberAt(each, "records");
    const Json& intact = MemberAt(each, "intact");
    if (!intact.is_boolean()) continue;
    if (!intact.get<bool>())
      chain["verified"] = false;
    else if (chain["verified"].is_null())
      chain["verified"] = true;
    if (chain["head"].is_null() && NumberAt(MemberAt(each, "head"), "sequence") > 0)
      chain["head"] = TextAt(MemberAt(each, "head"), "hash");
  }
  return {{"format", "lifeboat-report/1"},
          {"service", settings.service},
          {"generated_ns", ReadWallClock().ns},
          {"machine", Machine()},
          {"settings", SettingsThatCount(settings)},
          {"objectives", {{"rto_s", Seconds(settings.objectives.rto)}, {"rpo_s", Seconds(settings.objectives.rpo)}}},
          {"verdict", missed    ? "missed"
                      : unknown ? "unknown"
                                : "met"},
          {"sentences", sentences},
          {"events", events},
          {"runs", runs},
          {"clients", Json::array()},
          {"regions", Json::array()},
          {"ledger", ledger},
          {"evidence", chain}};
}

/// A promise about backups that is broken is one of the service's.
void AddBackups(Json backups, Json& document) {
  if (backups.empty()) return;
  for (const Json& source : backups) {
    for (const Json& line : MemberAt(source, "objectives")) {
      const std::string verdict = TextAt(line, "verdict");
      if (verdict == "fail") document["verdict"] = "missed";
      if (verdict == "unknown" && document["verdict"] == "met") document["verdict"] = "unknown";
    }
  }
  document["backups"] = std::move(backups);
}

}  // namespace

int MakeReport(const CommonOptions& options, const ReportOptions& report) {
  const auto settings = SettingsFor(options);
  if (!settings.ok()) {
    (void)EndWith(settings.error(), options);
    return static_cast<int>(Exit::kUsage);
  }
  const auto answer = Ask(*settings, options, "executions.list", Json::object(), std::chrono::seconds(10));
  if (!answer.ok()) return EndWith(answer.error(), options);
  std::vector<Execution> all;
  for (const Json& json : MemberAt(answer->json, "executions")) {
    auto execution = ExecutionFromJson(json);
    if (execution.ok()) all.push_back(*std::move(execution));
  }
  std::vector<Execution> chosen;
  for (const Execution& execution : all) {
    const bool wanted = report.execution.empty() ? chosen.size() < 20 : execution.id.text == report.execution;
    if (wanted) chosen.push_back(execution);
  }
  if (chosen.empty() && !report.execution.empty())
    return EndWith(NotFound("there is no execution '" + report.execution + "'", "lifeboat executions list"), options);
  std::reverse(chosen.begin(), chosen.end());
  const auto evidence = Ask(*settings, options, "evidence.verify", Json::object(), std::chrono::seconds(20));
  Json document = Document(all, chosen, *settings, evidence.ok() ? evidence->json : Json::object());
  AddBackups(BackupsForReport(*settings, options), document);
  std::error_code problem;
  std::filesystem::create_directories(report.folder, problem);
  const std::filesystem::path folder(report.folder);
  const auto written = WriteReport(document, folder / "report.html", folder / "report.json");
  if (!written.ok()) return EndWith(written.error(), options);
  if (options.json) {
    std::printf("%s\n", document.dump(2).c_str());
  } else {
    std::printf("%s\n%s and %s\n", RenderTerminal(document, isatty(1) ? Colour::kYes : Colour::kNo).c_str(),
                (folder / "report.html").c_str(), (folder / "report.json").c_str());
  }
  return static_cast<int>(TextAt(document, "verdict") == "met" ? Exit::kDone : Exit::kNotMet);
}

}  // namespace lifeboat
