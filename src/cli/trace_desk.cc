#include "cli/trace_desk.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "adapters/otlp/target.h"
#include "adapters/system/files.h"
#include "cli/version.h"

namespace lifeboat {

namespace {

Result<std::string> ReadHeaders(const std::string& file) {
  struct stat status {};
  // SAFETY: what stands in it lets its bearer in.
  if (::stat(file.c_str(), &status) == 0 && (status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
    return Fail("the file '" + file + "' may be used by its group or by others",
                "chmod 600 '" + file + "', and change what stands in it");
  return ReadSmallFile(file);
}

std::optional<std::string> OfProcess(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr) return std::nullopt;
  return std::string(value);
}

std::unique_ptr<OtlpExporter> OpenExporter(const TelemetrySettings& settings, const Log& log) {
  std::string headers;
  if (settings.traces && settings.traces->headers_file) {
    auto text = ReadHeaders(*settings.traces->headers_file);
    if (!text.ok()) {
      log.Warn("traces are not sent", {{"problem", text.error().Within("'telemetry.traces.headers_file'").Text()}});
      return nullptr;
    }
    headers = *std::move(text);
  }
  OtlpChoice choice = ChooseTarget(settings.traces, headers, OfProcess);
  for (const std::string& warning : choice.warnings) log.Warn("about traces", {{"problem", warning}});
  if (!choice.target) return nullptr;
  log.Info("traces are sent", {{"collector", choice.target->url}});
  choice.target->headers.push_back(std::string("User-Agent: lifeboat/") + ProgramVersion());
  return std::make_unique<OtlpExporter>(*std::move(choice.target), OtlpOptions(), log);
}

}  // namespace

std::string HostName() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data()) : std::string();
}

TraceDesk::TraceDesk(const Settings& settings, const RegionName& region, const AgentId& agent, const Log& log)
    : service_(settings.service),
      objectives_(settings.objectives),
      resource_{ProgramVersion(), agent.text, HostName(), region},
      exporter_(OpenExporter(settings.telemetry, log)) {}

void TraceDesk::Ended(const Execution& execution) {
  if (!exporter_) return;
  exporter_->Offer([execution, service = service_, objectives = objectives_, resource = resource_] {
    return OtlpText(OtlpRequest(TraceOf(execution, service, objectives), resource));
  });
}

void TraceDesk::Worked(const BackupRun& run) {
  if (!exporter_) return;
  BackupWorkDone done{service_,  resource_.region, run.source,    ToString(run.work), run.level,
                      run.began, run.ended,        run.exit_code, run.problem,        run.report};
  exporter_->Offer([done = std::move(done), resource = resource_] { return OtlpText(OtlpRequest(TraceOf(done), resource)); });
}

void TraceDesk::Show(Metrics& metrics) const {
  if (!exporter_) return;
  const OtlpCounts counts = exporter_->counts();
  metrics.SetTraces({counts.sent, counts.pushed_out, counts.refused, counts.failed_tries, counts.waiting});
}

}  // namespace lifeboat
