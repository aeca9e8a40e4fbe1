// A dump loaded in the sandbox, and asked.

#include <algorithm>
#include <charconv>

#include "adapters/backups/restore_copy.h"
#include "adapters/backups/restore_run_internal.h"

namespace lifeboat::backup {

namespace fs = std::filesystem;

DumpPlace Restore::PlaceOfDump() const {
  DumpPlace place;
  place.label = set_->label;
  place.kind = set_->kind;
  place.path = set_->folder;
  if (roles_ != set_->folder) place.globals = roles_;
  for (const SqlCheck& each : options_.checks) {
    if (!place.database.empty() && each.database != place.database) return place.database.clear(), place;
    place.database = each.database;
  }
  return place;
}

Result<Unit> Restore::FetchDump(DumpPlace& place) {
  const std::shared_ptr<const Folder> from = PlaceIn();
  if (!from->remote()) return Done();
  std::uint64_t fetched = 0;
  for (fs::path* each : {&place.path, &place.globals}) {
    if (each->empty()) continue;
    Result<fs::path> here = FetchInto(*sandbox_, *from, *each, [&](std::uint64_t bytes) {
      fetched += bytes;
      Say("copy", fetched, set_->stored_size, set_->label);
    });
    if (!here) return here.error();
    *each = std::move(*here);
  }
  EndPhase("copy");
  return Done();
}

Result<Unit> Restore::LoadDump() {
  DumpPlace place = PlaceOfDump();
  if (const Result<Unit> fetched = FetchDump(place); !fetched) return fetched;
  DumpLoader loader(*sandbox_, options_, std::move(place));
  const Result<bool> ready = loader.Prepare();
  if (!ready) return ready.error();
  EndPhase("initialise");
  if (*ready) {
    user_ = DumpLoader::kSuperuser;
    const Result<bool> loaded = loader.Load([this](std::uint64_t bytes) { Say("load", bytes, 0, set_->label); });
    if (!loaded && loaded.error().retry == Retry::kRetry && !sandbox_->Cancelled()) {
      Tell(32, "", loaded.error().message, "load it with more threads, or state a longer time (--start-timeout)");
      return Done();
    }
    if (!loaded) return loaded.error();
    EndPhase("load");
    outcome_.load = loader.ToJson();
    dump_database_ = loader.database();
    if (*loaded) FirstQueryOfDump(loader.wasted());
  }
  for (const DumpTrouble& each : loader.troubles()) TellTrouble(each);
  return Done();
}

void Restore::FirstQueryOfDump(Duration wasted) {
  LevelResult& level = At(Level::kRestores);
  Result<std::vector<std::string>> databases = DatabasesOf(Place());
  SessionPlace place = Place();
  place.database = dump_database_;
  Result<Session> session = databases ? Session::Open(place) : Result<Session>(databases.error());
  const QueryAnswer answer =
      session ? session->Ask("SELECT (SELECT sum(pg_database_size(oid))::int8 FROM pg_database), count(*) FROM pg_class")
              : QueryAnswer();
  if (!session || !answer.ok() || answer.rows.empty()) {
    if (WasCancelled(level)) return;
    level = {Verdict::kUnknown,
             "it was loaded, and cannot be asked: " + (session ? answer.error->message : session.error().message)};
    return;
  }
  databases_ = std::move(*databases);
  (void)std::from_chars(answer.rows[0][0].data(), answer.rows[0][0].data() + answer.rows[0][0].size(), outcome_.restored_bytes);
  answered_ = true;
  level = {Verdict::kPass, ""};
  EndPhase("query");
  outcome_.rto.measured = Since(began_) - wasted;
  outcome_.heartbeat = NewestHeartbeat(Place(), databases_);
}

void Restore::TellTrouble(const DumpTrouble& trouble) {
  const std::size_t before = outcome_.findings.size();
  if (!trouble.note) Tell(trouble.fault, trouble.object, trouble.what, trouble.todo);
  const bool told = std::any_of(options_.known.begin(), options_.known.end(),
                                [&](const Finding& each) { return each.fault == trouble.fault && each.set == outcome_.set; });
  if (trouble.note && !told)
    outcome_.findings.push_back(MakeFinding(trouble.fault, outcome_.set, trouble.object, "", trouble.what));
  if (outcome_.findings.size() == before) return;
  Finding& finding = outcome_.findings.back();
  finding.position = trouble.position;
  finding.count = trouble.count;
  if (trouble.note) finding.severity = Severity::kNote;
  if (!trouble.todo.empty()) finding.todo = trouble.todo;
}

}  // namespace lifeboat::backup
