#include "prove/report_backups.h"

#include <algorithm>
#include <cstdio>

#include "base/time.h"
#include "base/types.h"
#include "prove/report_picture.h"
#include "prove/report_text.h"

namespace lifeboat {

namespace {

constexpr double kWidth = 1120;
constexpr double kLeft = 210;  // labels stand here
constexpr double kPlot = kWidth - kLeft - 16;
constexpr double kLane = 22;
constexpr double kGap = 8;
constexpr std::size_t kMostLanes = 40;
constexpr std::size_t kMostFindings = 30;
constexpr int kCells = 48;

std::string Escaped(const Json& object, const char* key) { return EscapeHtml(TextAt(object, key)); }

std::string Px(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

std::string MomentText(const Json& seconds) {
  if (!seconds.is_number() || seconds.get<std::int64_t>() == 0) return "unknown";
  return FormatWallTime({seconds.get<std::int64_t>() * 1000000000}).substr(0, 19) + "Z";
}

/// "pass" and its kin as the page colours them.
const char* StyleOf(const std::string& verdict) { return verdict == "pass" ? "met" : verdict == "fail" ? "missed" : "unknown"; }
const char* SignOf(const std::string& verdict) { return verdict == "pass" ? "✓" : verdict == "fail" ? "✗" : "?"; }

std::string Pill(const std::string& verdict) {
  return std::string("<span class=\"pill ") + StyleOf(verdict) + "\">" + SignOf(verdict) + " " + EscapeHtml(verdict) + "</span>";
}

std::string ObjectiveName(const std::string& name) {
  if (name == "backup_age") return "age of the newest backup";
  if (name == "verified_age") return "age of the newest verified backup";
  if (name == "rto") return "RTO: restore to the first verified query";
  return name == "rpo" ? "RPO: what a restore to now would lose" : name;
}

/// Ages in days are no figures of milliseconds.
std::string LengthText(const Json& seconds) {
  if (!seconds.is_number()) return "unknown";
  const double value = seconds.get<double>();
  return value < 600 ? SecondsText(seconds) : FormatDuration(std::chrono::seconds(static_cast<std::int64_t>(value)));
}

double Bytes(const Json& object, const char* key) { return static_cast<double>(NumberAt(object, key)); }

/// Positions of all windows, as shares of the picture's width.
struct Range {
  double from = 0;
  double to = 0;
  explicit Range(const Json& windows) {
    bool any = false;
    for (const Json& window : windows) {
      if (NumberAt(window, "from_bytes") == 0) continue;
      const double first = Bytes(window, "from_bytes");
      const double last = std::max(Bytes(window, "newest_wal_bytes"), Bytes(window, "to_bytes"));
      from = any ? std::min(from, first) : first;
      to = any ? std::max(to, last) : last;
      any = true;
    }
  }
  [[nodiscard]] bool empty() const { return to <= from; }
  [[nodiscard]] double At(double bytes) const { return std::clamp((bytes - from) / (to - from), 0.0, 1.0); }
};

std::string Rect(double x, double y, double width, const std::string& style, const std::string& tip) {
  return "<rect x=\"" + Px(x) + "\" y=\"" + Px(y) + "\" width=\"" + Px(std::max(width, 1.5)) + "\" height=\"" + Px(kLane) +
         "\" rx=\"3\" class=\"" + style + "\"><title>" + EscapeHtml(tip) + "</title></rect>";
}

std::string Lane(const Json& window, const Range& range, double y) {
  const auto x = [&](double bytes) { return kLeft + range.At(bytes) * kPlot; };
  const double from = x(Bytes(window, "from_bytes"));
  const double to = x(Bytes(window, "to_bytes"));
  const double last = x(std::max(Bytes(window, "newest_wal_bytes"), Bytes(window, "to_bytes")));
  std::string svg =
      "<text x=\"0\" y=\"" + Px(y + 15) + "\" class=\"lane\">" + EscapeHtml(TextAt(window, "backup").substr(0, 34)) + "</text>";
  if (!FlagAt(window, "restores")) {
    return svg + Rect(kLeft, y, kPlot, "w-none", "it does not restore: its own WAL is not whole") + "<text x=\"" + Px(kLeft + 8) +
           "\" y=\"" + Px(y + 15) + "\">does not restore</text>";
  }
  if (last > to)
    svg += Rect(to, y, last - to, "w-behind",
                "WAL that is there and cannot be reached from this backup, up to " + TextAt(window, "newest_wal"));
  svg += Rect(from, y, to - from, "w-good",
              "every moment from " + TextAt(window, "from") + " to " + TextAt(window, "to") + ", timeline " +
                  std::to_string(NumberAt(window, "timeline")));
  for (const Json& hole : MemberAt(window, "holes")) {
    const double begin = x(Bytes(hole, "first_bytes"));
    const double end = x(Bytes(hole, "first_bytes") + Bytes(hole, "bytes"));
    const bool missing = FlagAt(hole, "missing");
    svg += Rect(begin, y, end - begin, missing ? "w-hole" : "w-bad",
                std::to_string(NumberAt(hole, "segments")) + (missing ? " segments missing" : " segments damaged") + " from " +
                    TextAt(hole, "first"));
  }
  return svg;
}

std::string LevelPills(const Json& source) {
  std::string html = "<div class=\"levels\">";
  for (const Json& level : MemberAt(source, "levels")) {
    html += "<span>" + std::to_string(NumberAt(level, "level")) + " " + Escaped(level, "name") + " " +
            Pill(TextAt(level, "verdict")) + "</span>";
  }
  return html + "</div>";
}

std::string ObjectiveTable(const Json& source) {
  std::string rows;
  for (const Json& line : MemberAt(source, "objectives")) {
    rows += "<tr><td>" + EscapeHtml(ObjectiveName(TextAt(line, "name"))) + "</td><td class=\"n\">" +
            LengthText(MemberAt(line, "measured_s")) + "</td><td class=\"n\">" +
            (MemberAt(line, "objective_s").is_number() ? "≤ " + LengthText(MemberAt(line, "objective_s")) : "none") + "</td><td>" +
            Pill(TextAt(line, "verdict")) + "</td><td class=\"quiet\">" + Escaped(line, "reason") + "</td></tr>";
  }
  if (rows.empty()) return {};
  return "<h3>Promises</h3><div class=\"wide\"><table><thead><tr><th>what</th><th class=\"n\">measured</th><th "
         "class=\"n\">objective</th><th>judged</th><th></th></tr></thead><tbody>" +
         rows + "</tbody></table></div>";
}

std::string SetTable(const Json& source) {
  std::string rows;
  for (const Json& set : MemberAt(source, "sets")) {
    rows += "<tr><td>" + Escaped(set, "label") + "</td><td>" + Escaped(set, "kind") + "</td>";
    for (const Json& level : MemberAt(set, "levels")) {
      const std::string verdict = TextAt(level, "verdict");
      rows += "<td title=\"" + Escaped(level, "reason") + "\" class=\"" +
              (verdict == "fail"   ? "failed"
               : verdict == "pass" ? ""
                                   : "quiet") +
              "\">" + EscapeHtml(verdict) + "</td>";
    }
    rows += "</tr>";
  }
  if (rows.empty()) return {};
  return "<h3>Backups</h3><div "
         "class=\"wide\"><table><thead><tr><th>backup</th><th>kind</th><th>exists</th><th>structure</th><th>bytes</th><th>pages</"
         "th>"
         "<th>restores</th><th>logic</th><th>content</th></tr></thead><tbody>" +
         rows + "</tbody></table></div>";
}

std::string FindingTable(const Json& source) {
  std::string rows;
  std::size_t shown = 0;
  for (const Json& finding : MemberAt(source, "findings")) {
    if (++shown > kMostFindings) break;
    rows += "<tr><td" + std::string(TextAt(finding, "severity") == "fault" ? " class=\"failed\"" : "") + ">" +
            Escaped(finding, "fault") + "</td><td>" + Escaped(finding, "set") + "</td><td>" + Escaped(finding, "object") + " " +
            Escaped(finding, "position") + "</td><td>" + Escaped(finding, "what") +
            "<br><span class=\"quiet\">restore: " + Escaped(finding, "means") + "<br>do: " + Escaped(finding, "todo") +
            "</span></td></tr>";
  }
  if (rows.empty()) return "<h3>Findings</h3><p class=\"quiet\">None.</p>";
  const std::size_t all = MemberAt(source, "findings").size();
  const std::string rest = all > kMostFindings ? "<p class=\"quiet\">and " + std::to_string(all - kMostFindings) + " more</p>" : "";
  return "<h3>Findings</h3><div "
         "class=\"wide\"><table><thead><tr><th>number</th><th>backup</th><th>object</th><th>what</th></tr></thead><tbody>" +
         rows + "</tbody></table></div>" + rest;
}

std::string RestoreTable(const Json& source) {
  const Json& phases = MemberAt(MemberAt(source, "restore"), "phases");
  if (phases.empty()) return {};
  std::string rows;
  for (const Json& phase : phases) {
    rows += "<tr><td>" + Escaped(phase, "name") + "</td><td class=\"n\">" + SecondsText(MemberAt(phase, "seconds")) + "</td></tr>";
  }
  return "<h3>Last restore, of " + EscapeHtml(TextAt(MemberAt(source, "restore"), "set", "unknown")) +
         "</h3><table style=\"max-width:420px\"><thead><tr><th>phase</th><th class=\"n\">time</th></tr></thead><tbody>" + rows +
         "</tbody></table>";
}

std::string ReadText(const Json& source) {
  const Json& read = MemberAt(source, "read");
  if (!MemberAt(read, "read_bytes").is_number()) return "nothing was verified yet";
  std::string text = FormatBytes({NumberAt(read, "read_bytes")}) + " read";
  if (NumberAt(read, "standing_bytes") > 0) {
    text += ", " + FormatBytes({NumberAt(read, "standing_bytes")}) +
            " unchanged since an earlier run found it good, the oldest read at " + MomentText(MemberAt(read, "oldest_reading"));
  }
  return text;
}

std::string Section(const Json& source) {
  std::string html = "<section><h2>Backups: " + Escaped(source, "source") + "</h2><p class=\"facts\">" + Escaped(source, "region") +
                     " · verified at " + MomentText(MemberAt(source, "as_of")) + " · " + EscapeHtml(ReadText(source)) +
                     (FlagAt(source, "gate") ? " · a gate" : "") + "</p>";
  if (const std::string problem = TextAt(source, "problem"); !problem.empty())
    html += "<p class=\"failed\">" + EscapeHtml(problem) + "</p>";
  html += LevelPills(source) + ObjectiveTable(source);
  if (const std::string picture = WindowsPicture(MemberAt(source, "windows")); !picture.empty()) {
    html += "<h3>Windows: to which moments a restore can go, by WAL position</h3><div class=\"wide\">" + picture +
            "</div><div class=\"legend\"><span><i class=\"swatch w-good\"></i>can be reached</span><span><i class=\"swatch "
            "w-hole\"></i>missing</span>"
            "<span><i class=\"swatch w-bad\"></i>damaged</span><span><i class=\"swatch w-behind\"></i>there, and cannot be "
            "reached</span></div>";
  }
  return html + RestoreTable(source) + SetTable(source) + FindingTable(source) + "</section>";
}

/// "====.xx---": reached, missing, damaged, behind.
std::string Cells(const Json& window, const Range& range) {
  if (!FlagAt(window, "restores")) return "does not restore";
  std::string cells(kCells, ' ');
  const auto cell = [&](double bytes) { return std::min(kCells - 1, static_cast<int>(range.At(bytes) * kCells)); };
  const auto fill = [&](double from, double to, char sign) {
    for (int at = cell(from); at <= std::max(cell(from), cell(std::max(from, to - 1))); ++at)
      cells[static_cast<std::size_t>(at)] = sign;
  };
  const double to = Bytes(window, "to_bytes");
  const double last = std::max(Bytes(window, "newest_wal_bytes"), to);
  if (last > to) fill(to, last, '-');
  fill(Bytes(window, "from_bytes"), to, '=');
  for (const Json& hole : MemberAt(window, "holes")) {
    fill(Bytes(hole, "first_bytes"), Bytes(hole, "first_bytes") + Bytes(hole, "bytes"), FlagAt(hole, "missing") ? '.' : 'x');
  }
  return "[" + cells + "]";
}

void AppendWindows(const Json& source, std::vector<std::string>& lines) {
  const Json& windows = MemberAt(source, "windows");
  const Range range(windows);
  if (windows.empty()) return;
  lines.push_back("windows by WAL position: '=' can be reached, '.' missing, 'x' damaged, '-' there, and cannot be reached");
  for (const Json& window : windows) {
    std::string label = TextAt(window, "backup").substr(0, 34);
    label.resize(36, ' ');
    lines.push_back("  " + label + (range.empty() ? "no WAL behind it" : Cells(window, range)));
  }
}

std::vector<std::string> LinesOf(const Json& source) {
  std::vector<std::string> lines = {"Backups: " + TextAt(source, "source") + " · " + TextAt(source, "region")};
  lines.push_back("verified at " + MomentText(MemberAt(source, "as_of")) + "; " + ReadText(source));
  if (const std::string problem = TextAt(source, "problem"); !problem.empty()) lines.push_back("problem: " + problem);
  std::string levels;
  for (const Json& level : MemberAt(source, "levels"))
    levels += (levels.empty() ? "" : ", ") + TextAt(level, "name") + " " + TextAt(level, "verdict");
  if (!levels.empty()) lines.push_back(levels);
  for (const Json& line : MemberAt(source, "objectives")) {
    const bool promised = MemberAt(line, "objective_s").is_number();
    lines.push_back("  " + ObjectiveName(TextAt(line, "name")) + ": " + LengthText(MemberAt(line, "measured_s")) +
                    (promised ? " of at most " + LengthText(MemberAt(line, "objective_s")) + ": " + TextAt(line, "verdict") : ""));
  }
  std::string phases;
  for (const Json& phase : MemberAt(MemberAt(source, "restore"), "phases")) {
    phases += (phases.empty() ? "" : ", ") + TextAt(phase, "name") + " " + SecondsText(MemberAt(phase, "seconds"));
  }
  if (!phases.empty()) lines.push_back("last restore: " + phases);
  AppendWindows(source, lines);
  std::size_t shown = 0;
  for (const Json& finding : MemberAt(source, "findings")) {
    if (++shown > kMostFindings) break;
    lines.push_back("  " + TextAt(finding, "fault") + " " + TextAt(finding, "severity") + " " + TextAt(finding, "set") + " " +
                    TextAt(finding, "object") + ": " + TextAt(finding, "what"));
  }
  if (shown > kMostFindings) lines.push_back("  and more findings: see the page, or the document");
  return lines;
}

}  // namespace

const char* BackupStyle() {
  return ".levels{display:flex;flex-wrap:wrap;gap:8px 18px;font-size:13px}"
         ".w-good{fill:var(--good);background:var(--good)}.w-behind{fill:var(--witness);background:var(--witness)}"
         ".w-hole{fill:var(--card);stroke:var(--bad);stroke-width:1.5;stroke-dasharray:3 2;background:var(--card);outline:1px "
         "dashed var(--bad)}"
         ".w-bad{fill:var(--bad);background:var(--bad)}.w-none{fill:var(--bad-soft)}";
}

std::string WindowsPicture(const Json& windows) {
  const Range range(windows);
  if (range.empty()) return {};
  const std::size_t first = windows.size() > kMostLanes ? windows.size() - kMostLanes : 0;  // the newest stand last
  std::string lanes;
  double y = 0;
  for (std::size_t at = first; at < windows.size(); ++at, y += kLane + kGap) lanes += Lane(windows[at], range, y);
  const auto end = [&](double x, double bytes, const char* anchor) {
    return "<text x=\"" + Px(x) + "\" y=\"" + Px(y + 14) + "\" class=\"tick\" text-anchor=\"" + anchor + "\">" +
           Lsn{static_cast<std::uint64_t>(bytes)}.Text() + "</text>";
  };
  return "<svg viewBox=\"0 0 " + Px(kWidth) + " " + Px(y + 20) +
         "\" role=\"img\" aria-label=\"windows of point-in-time restores\">" + lanes + end(kLeft, range.from, "start") +
         end(kLeft + kPlot, range.to, "end") + "</svg>";
}

std::string BackupSections(const Json& document) {
  std::string html;
  for (const Json& source : MemberAt(document, "backups")) html += Section(source);
  return html;
}

std::vector<std::vector<std::string>> BackupLines(const Json& document) {
  std::vector<std::vector<std::string>> blocks;
  for (const Json& source : MemberAt(document, "backups")) blocks.push_back(LinesOf(source));
  return blocks;
}

}  // namespace lifeboat
