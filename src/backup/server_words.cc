#include "backup/server_words.h"

#include <charconv>

namespace lifeboat::backup {

namespace {

bool Has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

/// "1763900000.123 LOG:  words" → its time and the rest.
std::optional<std::pair<WallTime, std::string_view>> Split(std::string_view line) {
  const std::size_t dot = line.find('.');
  const std::size_t space = line.find(' ');
  if (dot == std::string_view::npos || space == std::string_view::npos || dot > space) return std::nullopt;
  std::int64_t seconds = 0;
  std::int64_t millis = 0;
  const auto whole = std::from_chars(line.data(), line.data() + dot, seconds);
  const auto part = std::from_chars(line.data() + dot + 1, line.data() + space, millis);
  if (whole.ec != std::errc() || part.ec != std::errc() || whole.ptr != line.data() + dot || part.ptr != line.data() + space)
    return std::nullopt;
  return std::pair(WallTime{seconds * 1'000'000'000 + millis * 1'000'000}, line.substr(space + 1));
}

/// What WAL reading says when it finds no record. @source PostgreSQL, xlogreader.c and xlogrecovery.c
bool TellsOfABadRecord(std::string_view words) {
  for (const std::string_view each :
       {"invalid record length at", "incorrect resource manager data checksum", "unexpected pageaddr",
        "record with incorrect prev-link", "record with invalid length", "invalid magic number",
        "WAL file is from different database system", "there is no contrecord flag", "invalid contrecord length",
        "out-of-sequence timeline ID", "invalid resource manager ID", "invalid info bits", "has wrong size"}) {
    if (Has(words, each)) return true;
  }
  return false;
}

}  // namespace

void ServerWords::Add(std::string_view text) {
  rest_ += text;
  std::size_t begin = 0;
  for (std::size_t end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n', begin)) {
    Line(std::string_view(rest_).substr(begin, end - begin));
    begin = end + 1;
  }
  rest_.erase(0, begin);
}

void ServerWords::Line(std::string_view line) {
  if (!line.empty()) last_line_ = line;
  const auto parts = Split(line);
  if (!parts) return;
  const auto& [at, words] = *parts;
  const auto first = [&at = at](std::optional<WallTime>& into) {
    if (!into) into = at;
  };
  if (Has(words, "redo starts at")) first(redo_began_);
  if (Has(words, "consistent recovery state reached")) first(consistent_);
  if (Has(words, "redo done at ") || Has(words, "redo is not required")) {
    first(replayed_);
    const std::size_t where = words.find("redo done at ");
    if (where != std::string_view::npos) {
      const std::string_view lsn = words.substr(where + 13);
      redo_done_ = Lsn::Parse(lsn.substr(0, lsn.find(' ')));
    }
  }
  if (Has(words, "database system is ready to accept connections")) first(ready_);
  if (TellsOfABadRecord(words)) bad_record_ = words.substr(std::min(words.find(":  ") + 3, words.size()));
  // A client that came too early is no death of the server.
  const bool death = words.starts_with("FATAL:  ") || words.starts_with("PANIC:  ");
  if (death && !Has(words, "the database system is")) deaths_.emplace_back(words.substr(8));
  if ((words.starts_with("HINT:  ") || words.starts_with("DETAIL:  ")) && !deaths_.empty()) {
    deaths_.back() += " (" + std::string(words.substr(words.find(":  ") + 3)) + ")";
  }
}

DeathCause CauseOf(const ServerWords& words) {
  DeathCause cause;
  if (words.deaths().empty()) {
    cause.what = "the server ended without a word";
    if (!words.last_line().empty()) cause.what = "the server ended; its last words: " + words.last_line();
    return cause;
  }
  const std::string& death = words.deaths().front();
  cause.what = "the server says: " + death;
  if (!words.last_bad_record().empty()) cause.what += "; before: " + words.last_bad_record();
  const auto is = [&](int fault, std::initializer_list<std::string_view> parts, const char* todo = "") {
    for (const std::string_view part : parts) {
      if (!Has(death, part)) continue;
      cause.fault = fault;
      cause.todo = todo;
      return true;
    }
    return false;
  };
  if (Has(words.last_bad_record(), "different database system")) {
    cause.fault = 16;
    return cause;
  }
  if (is(49, {"No space left on device", "Disk quota exceeded"})) return cause;
  if (is(32, {"recovery ended before configured recovery target", "requested recovery stop point is before"})) return cause;
  if (is(18, {"is not a child of this server's history", "does not contain minimum recovery point", "history file"})) return cause;
  const bool damaged = Has(words.last_bad_record(), "checksum") || Has(words.last_bad_record(), "prev-link");
  if (is(damaged ? 15 : 12, {"could not locate required checkpoint record", "could not find redo location", "WAL ends before"}))
    return cause;
  if (is(26, {"WAL contains references to invalid pages"})) return cause;
  if (is(23, {"invalid page in block"})) return cause;
  if (is(22, {"invalid checkpoint record", "could not locate a valid checkpoint record"})) return cause;
  if (is(4, {"database files are incompatible with server", "was initialized by PostgreSQL version"})) return cause;
  if (is(31, {"resource manager with ID", "shared_preload_libraries"},
         "name the library that it needs (--preload), and install it"))
    return cause;
  if (is(31, {"could not access file", "could not load library"}, "install the extension on every host that would restore"))
    return cause;
  if (is(31, {"shared memory"}, "give this host more memory")) return cause;
  if (is(31, {"locale"}, "install the locale on every host that would restore")) return cause;
  (void)is(31, {"Permission denied"},
           "if it makes a tablespace outside of the sandbox (CREATE TABLESPACE after the backup), restore to before that moment "
           "(--to), or take a new backup");
  return cause;
}

int FaultOfQueryError(std::string_view sqlstate, std::string_view message) {
  const bool elsewhere = Has(message, "pg_tblspc/");
  if (Has(message, "could not open file") || Has(message, "could not access file \"base/")) return elsewhere ? 21 : 26;
  if (Has(message, "could not read block") || Has(message, "could not read blocks")) return Has(message, "read only") ? 26 : 23;
  if (Has(message, "lacks matching index tuple")) return 28;
  if (sqlstate == "XX002") return 29;
  if (sqlstate == "XX001") return 23;
  return 0;
}

}  // namespace lifeboat::backup
