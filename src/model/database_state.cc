#include "model/database_state.h"

namespace lifeboat {

namespace {
Json LsnJson(const std::optional<Lsn>& lsn) { return lsn ? Json(lsn->Text()) : Json(nullptr); }

std::optional<Lsn> LsnFrom(const Json& object, const char* key) {
  const std::string text = TextAt(object, key);
  return text.empty() ? std::nullopt : Lsn::Parse(text);
}
}  // namespace

Json ToJson(const DatabaseState& state) {
  Json standbys = Json::array();
  for (const StandbyLink& link : state.standbys) {
    standbys.push_back(
        {{"name", link.name}, {"state", link.state}, {"flushed", link.flushed.Text()}, {"replayed", link.replayed.Text()}});
  }
  return {{"process_alive", state.process_alive},
          {"accepting", state.accepting},
          {"in_recovery", state.in_recovery ? Json(*state.in_recovery) : Json(nullptr)},
          {"system_id", state.system_id.text},
          {"timeline", state.timeline ? Json(*state.timeline) : Json(nullptr)},
          {"flushed", LsnJson(state.flushed)},
          {"replayed", LsnJson(state.replayed)},
          {"upstream", state.upstream},
          {"standbys", standbys},
          {"wal_retrieve_retry_interval", state.wal_retrieve_retry_interval},
          {"wal_level", state.wal_level},
          {"problem", state.problem}};
}

DatabaseState DatabaseStateFromJson(const Json& json) {
  DatabaseState state;
  state.process_alive = FlagAt(json, "process_alive");
  state.accepting = FlagAt(json, "accepting");
  if (MemberAt(json, "in_recovery").is_boolean()) state.in_recovery = FlagAt(json, "in_recovery");
  state.system_id = SystemId(TextAt(json, "system_id"));
  if (MemberAt(json, "timeline").is_number()) state.timeline = static_cast<Timeline>(NumberAt(json, "timeline"));
  state.flushed = LsnFrom(json, "flushed");
  state.replayed = LsnFrom(json, "replayed");
  state.upstream = TextAt(json, "upstream");
  for (const Json& link : MemberAt(json, "standbys")) {
    state.standbys.push_back({TextAt(link, "name"), TextAt(link, "state"), LsnFrom(link, "flushed").value_or(Lsn{}),
                              LsnFrom(link, "replayed").value_or(Lsn{})});
  }
  state.wal_retrieve_retry_interval = TextAt(json, "wal_retrieve_retry_interval");
  state.wal_level = TextAt(json, "wal_level");
  state.problem = TextAt(json, "problem");
  return state;
}

Json ToJson(const ShutdownToken& token) {
  return {{"system_id", token.system_id.text},
          {"timeline", token.timeline},
          {"checkpoint", token.checkpoint.Text()},
          {"end", token.end.Text()}};
}

Result<ShutdownToken> ShutdownTokenFromJson(const Json& json) {
  const auto checkpoint = LsnFrom(json, "checkpoint");
  const auto end = LsnFrom(json, "end");
  if (!checkpoint || !end || TextAt(json, "system_id").empty() || NumberAt(json, "timeline") == 0) {
    return Fail("the shutdown token cannot be read: '" + json.dump() + "'");
  }
  return ShutdownToken{SystemId(TextAt(json, "system_id")), static_cast<Timeline>(NumberAt(json, "timeline")), *checkpoint, *end};
}

Json ToJson(const Divergence& d) {
  return {{"fork", d.fork.Text()},        {"end", d.end.Text()},
          {"saved_in", d.saved_in},       {"files", d.files},
          {"saved_bytes", d.saved.bytes}, {"diverged_bytes", d.Diverged() ? d.end.bytes - d.fork.bytes : 0},
          {"commits", d.commits},         {"first_commit", d.first_commit},
          {"last_commit", d.last_commit}};
}

Divergence DivergenceFromJson(const Json& json) {
  Divergence d;
  d.fork = LsnFrom(json, "fork").value_or(Lsn{});
  d.end = LsnFrom(json, "end").value_or(Lsn{});
  d.saved_in = TextAt(json, "saved_in");
  for (const Json& file : MemberAt(json, "files")) {
    if (file.is_string()) d.files.push_back(file.get<std::string>());
  }
  d.saved = {NumberAt(json, "saved_bytes")};
  d.commits = NumberAt(json, "commits");
  d.first_commit = TextAt(json, "first_commit");
  d.last_commit = TextAt(json, "last_commit");
  return d;
}

}  // namespace lifeboat
