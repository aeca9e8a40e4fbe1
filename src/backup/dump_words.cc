#include "backup/dump_words.h"

#include <utility>

namespace lifeboat::backup {

namespace {

constexpr std::string_view kError = "ERROR:  ";
constexpr std::string_view kFatal = "FATAL:  ";
constexpr std::size_t kMostStates = 256;
constexpr std::size_t kMostAbsent = 50;

bool Has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

/// The words of a server's line, behind "1763900000.123 "; empty: it is none.
std::string_view ServerWordsIn(std::string_view line) {
  const std::size_t space = line.find(' ');
  const std::size_t dot = line.find('.');
  if (space == std::string_view::npos || dot == 0 || dot > space) return {};
  if (line.substr(0, space).find_first_not_of("0123456789.") != std::string_view::npos) return {};
  return line.substr(space + 1);
}

/// Without the value that the server quotes at the end: "invalid input syntax for type integer".
std::string_view WithoutValue(std::string_view message) { return message.substr(0, message.find(": \"")); }

/// "COPY orders, line 3, column i" without the value behind it.
std::string_view ContextOf(std::string_view context) { return context.substr(0, context.find(": \"")); }

/// Behind "from TOC entry 12; 0 16385 ".
std::string_view EntryIn(std::string_view words) {
  std::size_t at = words.find("; ");
  if (at == std::string_view::npos) return words;
  at += 2;
  for (int number = 0; number < 2; ++number) {
    const std::size_t space = words.find(' ', at);
    if (space == std::string_view::npos) return words.substr(at);
    at = space + 1;
  }
  return words.substr(at);
}

}  // namespace

void DumpWords::Add(std::string_view text) {
  rest_ += text;
  std::size_t begin = 0;
  for (std::size_t end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n', begin)) {
    Line(std::string_view(rest_).substr(begin, end - begin));
    begin = end + 1;
  }
  rest_.erase(0, begin);
}

void DumpWords::End() {
  if (!rest_.empty()) Line(std::string(std::exchange(rest_, {})));
}

void DumpWords::ServerLine(std::string_view words) {
  for (const std::string_view level : {kError, kFatal}) {
    if (!words.starts_with(level) || words.size() < level.size() + 7) continue;
    if (states_.size() >= kMostStates) states_.clear();
    states_[std::string(words.substr(level.size() + 7))] = words.substr(level.size(), 5);
  }
}

void DumpWords::Line(std::string_view line) {
  if (const std::string_view words = ServerWordsIn(line); !words.empty()) return ServerLine(words);
  if (!line.empty()) last_line_ = line;
  constexpr std::string_view kContext = "CONTEXT:  ";
  if (open_ && line.starts_with(kContext)) {
    const std::string_view context = ContextOf(line.substr(kContext.size()));
    if (context.starts_with("COPY ")) first_.back().where = context;
    open_ = false;
    return;
  }
  constexpr std::string_view kEntry = "pg_restore: from TOC entry ";
  if (line.starts_with(kEntry)) {
    entry_ = EntryIn(line.substr(kEntry.size()));
    return;
  }
  std::string where;
  if (line.starts_with("psql:")) {
    // "psql:<stdin>:12: ERROR:  …", "psql: error: …"
    const std::size_t number = line.find(":", 5);
    const std::size_t end = number == std::string_view::npos ? number : line.find(": ", number);
    if (end != std::string_view::npos && end > number + 1) where = "line " + std::string(line.substr(number + 1, end - number - 1));
  } else if (line.starts_with("pg_restore: ")) {
    where = entry_;
  } else {
    return;
  }
  for (const std::string_view level : {kError, kFatal}) {
    if (const std::size_t at = line.find(level); at != std::string_view::npos) return Take(where, line.substr(at + level.size()));
  }
  constexpr std::string_view kOwn = "error: ";
  if (const std::size_t at = line.find(kOwn); at != std::string_view::npos && line.starts_with("p")) {
    Take(where, line.substr(at + kOwn.size()));
  }
}

void DumpWords::Take(std::string where, std::string_view message) {
  open_ = false;
  DumpError error;
  error.where = std::move(where);
  if (const auto known = states_.find(std::string(message)); known != states_.end()) error.sqlstate = known->second;
  error.message = WithoutValue(message);
  const bool no_tablespace = error.sqlstate == "22023" && message.starts_with("invalid value for parameter \"default_tablespace\"");
  const bool absent = error.sqlstate == "42704" && message.ends_with("\" does not exist") &&
                      (message.starts_with("role \"") || message.starts_with("tablespace \""));
  if (absent || no_tablespace) {
    ++absent_count_;
    if (absent_.size() < kMostAbsent)
      absent_.emplace(no_tablespace ? "a tablespace" : message.substr(0, message.rfind(" does not exist")));
    return;
  }
  ++count_;
  if (error.sqlstate == "42501") ++refused_;
  if (first_.size() >= kMostKept) return;
  first_.push_back(std::move(error));
  open_ = true;
}

int FaultOfDumpError(const DumpError& error) {
  const std::string_view message = error.message;
  if (error.sqlstate == "53100" || Has(message, "No space left on device")) return 49;
  for (const std::string_view each :
       {"could not open extension control file", "is not available", "could not access file", "could not load library",
        "invalid locale name", "is not supported by this build", "could not create locale"}) {
    if (Has(message, each)) return 31;
  }
  if (!error.sqlstate.empty()) return 51;
  // "could not find block ID 7 in archive": pg_restore came to the file's end while it looked for it, whatever it guesses beside;
  // of two that load side by side either may be the one that says so (pg_backup_custom.c, _PrintTocData).
  if (Has(message, "end of file") || Has(message, "too short") || Has(message, "could not find block ID")) return 8;
  if (Has(message, "uncompress") || Has(message, "decompress") || Has(message, "corrupt")) return 9;
  return 51;
}

}  // namespace lifeboat::backup
