#include "adapters/postgres/control_file.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>

namespace lifeboat::postgres {

namespace {

/// The value of the line "<label>:   <value>"; empty where there is none.
std::string_view ValueOf(std::string_view text, std::string_view label) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.starts_with(label) || line.size() <= label.size() || line[label.size()] != ':') continue;
    line.remove_prefix(label.size() + 1);
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    return line;
  }
  return {};
}

std::optional<std::uint64_t> NumberOf(std::string_view text, std::string_view label) {
  const std::string_view value = ValueOf(text, label);
  std::uint64_t number = 0;
  if (std::from_chars(value.data(), value.data() + value.size(), number).ec != std::errc{}) return std::nullopt;
  return number;
}

}  // namespace

Result<ControlFile> ParseControlFile(std::string_view text) {
  const auto checkpoint = Lsn::Parse(ValueOf(text, "Latest checkpoint location"));
  const auto redo = Lsn::Parse(ValueOf(text, "Latest checkpoint's REDO location"));
  const auto recovery_end = Lsn::Parse(ValueOf(text, "Minimum recovery ending location"));
  const auto timeline = NumberOf(text, "Latest checkpoint's TimeLineID");
  const auto recovery_timeline = NumberOf(text, "Min recovery ending loc's timeline");
  const auto segment = NumberOf(text, "Bytes per WAL segment");
  const auto page = NumberOf(text, "WAL block size");
  ControlFile control;
  control.data.system_id = SystemId(std::string(ValueOf(text, "Database system identifier")));
  control.data.cluster_state = ValueOf(text, "Database cluster state");
  if (!checkpoint || !redo || !recovery_end || !timeline || !recovery_timeline || !segment || !page || *segment == 0 ||
      *page == 0 || control.data.system_id.empty() || control.data.cluster_state.empty()) {
    return Fail("the answer of pg_controldata cannot be read", "is 'bin_directory' that of the server's own version?");
  }
  control.data.checkpoint = *checkpoint;
  control.data.redo = *redo;
  control.data.min_recovery_end = *recovery_end;
  control.data.timeline = static_cast<Timeline>(std::max(*timeline, *recovery_timeline));
  control.geometry = {*segment, *page};
  return control;
}

}  // namespace lifeboat::postgres
