#include "prove/report.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <initializer_list>

namespace lifeboat {

namespace {

enum class Kind { kText, kMoment, kCount, kNumber, kFlag, kObject, kList };
enum class Null { kNo, kYes };

struct Member {
  const char* name;
  Kind kind;
  Null null = Null::kNo;
};
using Members = std::initializer_list<Member>;

const char* Describe(Kind kind) {
  switch (kind) {
    case Kind::kText: return "a text";
    case Kind::kMoment: return "a moment in nanoseconds";
    case Kind::kCount: return "a count";
    case Kind::kNumber: return "a number";
    case Kind::kFlag: return "true or false";
    case Kind::kObject: return "an object";
    case Kind::kList: return "a list";
  }
  return "a value";
}

bool Is(const Json& value, Kind kind) {
  switch (kind) {
    case Kind::kText: return value.is_string();
    case Kind::kMoment: return value.is_number_integer();
    case Kind::kCount: return value.is_number_integer() && value >= 0;
    case Kind::kNumber: return value.is_number();
    case Kind::kFlag: return value.is_boolean();
    case Kind::kObject: return value.is_object();
    case Kind::kList: return value.is_array();
  }
  return false;
}

/// Checks a document against docs/formats/report.md and keeps the first complaint.
class Validation {
 public:
  [[nodiscard]] Result<Unit> Run(const Json& document) {
    if (!document.is_object()) return Fail("report: the document is not an object");
    if (TextAt(document, "format") != "lifeboat-report/1") {
      return Fail("report: 'format' is '" + TextAt(document, "format") + "', not 'lifeboat-report/1'",
                  "use the program that wrote it");
    }
    Object(document, "",
           {{"service", Kind::kText},
            {"generated_ns", Kind::kMoment},
            {"machine", Kind::kText},
            {"settings", Kind::kObject},
            {"objectives", Kind::kObject},
            {"verdict", Kind::kText},
            {"sentences", Kind::kList},
            {"events", Kind::kList},
            {"runs", Kind::kList},
            {"clients", Kind::kList},
            {"regions", Kind::kList},
            {"ledger", Kind::kList},
            {"evidence", Kind::kObject}});
    if (complaint_.empty()) Parts(document);
    if (!complaint_.empty()) return Fail("report: " + complaint_, "see docs/formats/report.md");
    return Done();
  }

 private:
  void Parts(const Json& document) {
    Object(document["objectives"], "objectives", {{"rto_s", Kind::kNumber}, {"rpo_s", Kind::kNumber}});
    OneOf(document["verdict"], "verdict", {"met", "missed", "unknown"});
    for (std::size_t at = 0; at < document["sentences"].size(); ++at)
      Value(document["sentences"][at], "sentences[" + std::to_string(at) + "]", Kind::kText);
    List(document["events"], "events",
         {{"at_ns", Kind::kMoment}, {"region", Kind::kText}, {"kind", Kind::kText}, {"text", Kind::kText}});
    List(document["ledger"], "ledger",
         {{"region", Kind::kText},
          {"fork", Kind::kText},
          {"end", Kind::kText},
          {"saved_in", Kind::kText},
          {"files", Kind::kList},
          {"saved_bytes", Kind::kCount},
          {"diverged_bytes", Kind::kCount},
          {"commits", Kind::kCount},
          {"first_commit", Kind::kText},
          {"last_commit", Kind::kText}});
    Object(document["evidence"], "evidence",
           {{"records", Kind::kCount}, {"head", Kind::kText, Null::kYes}, {"verified", Kind::kFlag, Null::kYes}});
    List(document["runs"], "runs",
         {{"kind", Kind::kText},
          {"execution", Kind::kText},
          {"source", Kind::kText},
          {"target", Kind::kText},
          {"epoch", Kind::kCount},
          {"fault_ns", Kind::kMoment, Null::kYes},
          {"began_ns", Kind::kMoment},
          {"ended_ns", Kind::kMoment, Null::kYes},
          {"phases", Kind::kList},
          {"rto_s", Kind::kNumber, Null::kYes},
          {"rto_met", Kind::kFlag, Null::kYes},
          {"loss", Kind::kObject, Null::kYes},
          {"rpo_met", Kind::kFlag, Null::kYes},
          {"steps", Kind::kList}});
    List(document["clients"], "clients",
         {{"name", Kind::kText},
          {"mode", Kind::kText},
          {"acknowledged", Kind::kCount},
          {"lost", Kind::kCount, Null::kYes},
          {"unaccounted", Kind::kCount, Null::kYes},
          {"longest_outage_s", Kind::kNumber, Null::kYes},
          {"outages", Kind::kList},
          {"rate", Kind::kList}});
    List(document["regions"], "regions", {{"name", Kind::kText}, {"spans", Kind::kList}});
    if (document.contains("backups")) {
      Value(document["backups"], "backups", Kind::kList);
      if (!complaint_.empty()) return;
      List(document["backups"], "backups",
           {{"source", Kind::kText},
            {"region", Kind::kText},
            {"gate", Kind::kFlag},
            {"as_of", Kind::kCount, Null::kYes},
            {"problem", Kind::kText},
            {"levels", Kind::kList},
            {"objectives", Kind::kList},
            {"sets", Kind::kList},
            {"findings", Kind::kList},
            {"windows", Kind::kList},
            {"restore", Kind::kObject, Null::kYes},
            {"read", Kind::kObject}});
    }
    if (!complaint_.empty()) return;
    for (std::size_t at = 0; at < document["runs"].size(); ++at) RunParts(document["runs"][at], "runs[" + std::to_string(at) + "]");
    for (std::size_t at = 0; at < document["clients"].size(); ++at) {
      const std::string path = "clients[" + std::to_string(at) + "]";
      List(document["clients"][at]["outages"], path + ".outages", {{"from_ns", Kind::kMoment}, {"to_ns", Kind::kMoment}});
      List(document["clients"][at]["rate"], path + ".rate", {{"at_ns", Kind::kMoment}, {"per_second", Kind::kNumber}});
    }
    for (std::size_t at = 0; at < document["regions"].size(); ++at) {
      const Json& spans = document["regions"][at]["spans"];
      const std::string path = "regions[" + std::to_string(at) + "].spans";
      List(spans, path, {{"from_ns", Kind::kMoment}, {"to_ns", Kind::kMoment}, {"role", Kind::kText}});
      for (std::size_t span = 0; complaint_.empty() && span < spans.size(); ++span) {
        OneOf(spans[span]["role"], path + "[" + std::to_string(span) + "].role",
              {"primary", "standby", "witness", "down", "rejoining"});
      }
    }
  }

  void RunParts(const Json& run, const std::string& path) {
    OneOf(run["kind"], path + ".kind", {"failover", "switchover", "rejoin"});
    List(run["phases"], path + ".phases",
         {{"name", Kind::kText},
          {"began_ns", Kind::kMoment, Null::kYes},
          {"ended_ns", Kind::kMoment, Null::kYes},
          {"seconds", Kind::kNumber, Null::kYes}});
    List(run["steps"], path + ".steps",
         {{"name", Kind::kText}, {"state", Kind::kText}, {"seconds", Kind::kNumber, Null::kYes}, {"outcome", Kind::kText}});
    if (!run["loss"].is_object()) return;
    Object(run["loss"], path + ".loss",
           {{"state", Kind::kText},
            {"rows", Kind::kCount, Null::kYes},
            {"seconds", Kind::kNumber, Null::kYes},
            {"bytes", Kind::kCount, Null::kYes}});
    if (complaint_.empty())
      OneOf(run["loss"]["state"], path + ".loss.state", {"proven zero", "bounded", "counted", "decoded", "unknown"});
  }

  void Object(const Json& object, const std::string& path, Members members) {
    for (const Member& member : members) {
      const std::string name = path.empty() ? member.name : path + "." + member.name;
      if (!object.contains(member.name)) {
        Complain("'" + name + "' is missing");
      } else if (!(member.null == Null::kYes && object[member.name].is_null())) {
        Value(object[member.name], name, member.kind);
      }
    }
  }

  void List(const Json& list, const std::string& path, Members members) {
    for (std::size_t at = 0; at < list.size(); ++at) {
      const std::string item = path + "[" + std::to_string(at) + "]";
      Value(list[at], item, Kind::kObject);
      if (!complaint_.empty()) return;
      Object(list[at], item, members);
    }
  }

  void Value(const Json& value, const std::string& path, Kind kind) {
    if (!Is(value, kind)) Complain("'" + path + "' is not " + Describe(kind));
  }

  void OneOf(const Json& value, const std::string& path, std::initializer_list<const char*> words) {
    if (std::none_of(words.begin(), words.end(), [&](const char* word) { return value == word; })) {
      Complain("'" + path + "' has the unknown value '" + (value.is_string() ? value.get<std::string>() : value.dump()) + "'");
    }
  }

  void Complain(std::string what) {
    if (complaint_.empty()) complaint_ = std::move(what);
  }

  std::string complaint_;
};

Error CannotWrite(const std::filesystem::path& file) {
  return Fail("cannot write '" + file.string() + "': " + std::strerror(errno), "look at the folder and the room on its disk");
}

/// Under another name first, so that nobody ever reads half of it.
Result<Unit> WriteWhole(const std::filesystem::path& file, const std::string& text) {
  const std::filesystem::path beside = file.string() + ".new";
  const int descriptor = open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor < 0) return CannotWrite(file);
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t n = write(descriptor, text.data() + written, text.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    written += static_cast<std::size_t>(n);
  }
  const bool whole = written == text.size() && fsync(descriptor) == 0;
  const Error problem = CannotWrite(file);
  close(descriptor);
  if (whole && rename(beside.c_str(), file.c_str()) == 0) return Done();
  const Error error = whole ? CannotWrite(file) : problem;
  unlink(beside.c_str());
  return error;
}

}  // namespace

Result<Unit> ValidateReport(const Json& document) { return Validation().Run(document); }

Result<Unit> WriteReport(const Json& document, const std::filesystem::path& html, const std::filesystem::path& json) {
  if (auto valid = ValidateReport(document); !valid) return valid;
  if (!json.empty()) {
    auto written = WriteWhole(json, document.dump(1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace) + "\n");
    if (!written) return written;
  }
  if (html.empty()) return Done();
  return WriteWhole(html, RenderHtml(document));
}

}  // namespace lifeboat
