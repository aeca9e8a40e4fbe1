#include "prove/report_picture.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <utility>
#include <vector>

#include "prove/report_text.h"

namespace lifeboat {

namespace {

constexpr double kWidth = 1120;
constexpr double kLeft = 112;  // lane names stand here
constexpr double kRight = 16;
constexpr double kPlot = kWidth - kLeft - kRight;
constexpr double kLane = 30;
constexpr double kGap = 10;
constexpr double kFlagRow = 17;
constexpr std::size_t kMostFlagRows = 9;
constexpr double kRateHeight = 96;

/// About how wide a text of 11.5 px is, in pixels.
double TextWidth(const std::string& text) {
  const auto signs = std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
  return static_cast<double>(signs) * 6.4;
}

std::string Px(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", std::isfinite(value) ? value : 0.0);
  return text;
}

/// Writes SVG elements; every text goes through EscapeHtml.
class Svg {
 public:
  void Rect(double x, double y, double width, double height, const std::string& style, const std::string& tip = {},
            double radius = 3) {
    out_ += "<rect x=\"" + Px(x) + "\" y=\"" + Px(y) + "\" width=\"" + Px(std::max(width, 0.0)) + "\" height=\"" + Px(height) +
            "\" rx=\"" + Px(radius) + "\" class=\"" + style + "\"";
    out_ += tip.empty() ? "/>" : "><title>" + EscapeHtml(tip) + "</title></rect>";
  }
  void Line(double x1, double y1, double x2, double y2, const std::string& style) {
    out_ +=
        "<line x1=\"" + Px(x1) + "\" y1=\"" + Px(y1) + "\" x2=\"" + Px(x2) + "\" y2=\"" + Px(y2) + "\" class=\"" + style + "\"/>";
  }
  void Text(double x, double y, const std::string& text, const std::string& style, const char* anchor = "start") {
    out_ += "<text x=\"" + Px(x) + "\" y=\"" + Px(y) + "\" class=\"" + style + "\" text-anchor=\"" + anchor + "\">" +
            EscapeHtml(text) + "</text>";
  }
  void Circle(double x, double y, double radius, const std::string& style) {
    out_ += "<circle cx=\"" + Px(x) + "\" cy=\"" + Px(y) + "\" r=\"" + Px(radius) + "\" class=\"" + style + "\"/>";
  }
  void Raw(const std::string& markup) { out_ += markup; }
  [[nodiscard]] std::string Take() { return std::exchange(out_, {}); }
  [[nodiscard]] std::string Finish(double height, const std::string& label) const {
    return "<svg viewBox=\"0 0 " + Px(kWidth) + " " + Px(height) + "\" role=\"img\" aria-label=\"" + EscapeHtml(label) + "\">" +
           out_ + "</svg>";
  }

 private:
  std::string out_;
};

/// A step of 1, 2 or 5 times a power of ten (or whole minutes) that gives about `wanted` ticks.
double TickStep(double length, double wanted) {
  for (const double step :
       {0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0}) {
    if (length / step <= wanted) return step;
  }
  return std::ceil(length / wanted / 3600) * 3600;
}

std::string TickText(double seconds, double step) {
  char text[32];
  std::snprintf(text, sizeof text, step >= 1 ? "%.0f s" : step >= 0.1 ? "%.1f s" : "%.2f s", seconds);
  return text;
}

std::string At(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f s", seconds);
  return text;
}

bool IsMeasured(const Json& phase) {
  return MemberAt(phase, "seconds").is_number() && MemberAt(phase, "began_ns").is_number() &&
         MemberAt(phase, "ended_ns").is_number();
}

/// The timeline, lane by lane from top to bottom; `y_` is where the next lane begins.
class RunPicture {
 public:
  explicit RunPicture(const Json& document) : document_(document), axis_(document) {}

  std::string Draw() {
    PlaceFlags();
    top_ = 8 + static_cast<double>(rows_) * kFlagRow + 10;
    y_ = top_;
    for (const Json& region : MemberAt(document_, "regions")) RegionLane(region);
    RunLane();
    RateLane();
    // The grid is as high as the lanes, so it is known last; it lies beneath them.
    const std::string lanes = svg_.Take();
    svg_.Raw(kPatterns);
    Grid();
    svg_.Raw(lanes);
    Flags();
    return svg_.Finish(y_ + 26, "timeline of the run in seconds from its start");
  }

 private:
  static constexpr const char* kPatterns =
      "<defs><pattern id=\"hatch-down\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">"
      "<rect width=\"7\" height=\"7\" class=\"down-ground\"/><rect width=\"2.4\" height=\"7\" class=\"down-line\"/></pattern>"
      "<pattern id=\"hatch-rejoining\" width=\"9\" height=\"9\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(-45)\">"
      "<rect width=\"9\" height=\"9\" class=\"rejoining-ground\"/><rect width=\"2\" height=\"9\" "
      "class=\"rejoining-line\"/></pattern></defs>";

  struct Flag {
    double x;
    std::size_t row;
    bool leftward;
    bool shown;
    std::string text;
  };

  [[nodiscard]] double X(double seconds) const { return kLeft + seconds / axis_.Length() * kPlot; }

  /// Each flag takes the first row where its text meets no other; at the right edge the text stands to the left.
  void PlaceFlags() {
    std::vector<std::pair<double, std::string>> events;
    for (const Json& event : MemberAt(document_, "events"))
      events.emplace_back(axis_.At(MemberAt(event, "at_ns")), TextAt(event, "kind"));
    std::stable_sort(events.begin(), events.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<std::vector<std::pair<double, double>>> taken(kMostFlagRows);
    double last_to = 0;
    for (const auto& [seconds, kind] : events) {
      const double x = X(seconds);
      const double width = TextWidth(kind) + 16;
      const bool leftward = x + width > kWidth - 2;
      const double from = leftward ? x - width : x - 3;
      const double to = leftward ? x + 3 : x + width;
      Flag flag{x, 0, leftward, false, kind};
      // Beneath the flag before it when they are near, so that a cluster reads from top to bottom in time order.
      const bool near = !flags_.empty() && flags_.back().shown && from < last_to;
      for (std::size_t row = near ? flags_.back().row + 1 : 0; row < kMostFlagRows && !flag.shown; ++row) {
        const bool free = std::none_of(taken[row].begin(), taken[row].end(),
                                       [&](const auto& span) { return from < span.second && to > span.first; });
        if (!free) continue;
        taken[row].emplace_back(from, to);
        flag.row = row;
        flag.shown = true;
        rows_ = std::max(rows_, row + 1);
      }
      if (flag.shown) last_to = to;
      flags_.push_back(flag);
    }
  }

  void Flags() {
    for (const Flag& flag : flags_) {
      if (!flag.shown) continue;
      const double y = FlagY(flag);
      svg_.Circle(flag.x, y - 4, 3.2, "flag-dot");
      svg_.Text(flag.leftward ? flag.x - 8 : flag.x + 8, y, flag.text, "flag", flag.leftward ? "end" : "start");
    }
  }
  [[nodiscard]] double FlagY(const Flag& flag) const { return 8 + static_cast<double>(flag.row) * kFlagRow + 9; }

  void Grid() {
    const double bottom = y_;
    const double step = TickStep(axis_.Length(), 13);
    for (double tick = 0; tick <= axis_.Length() + 1e-9; tick += step) {
      svg_.Line(X(tick), top_ - 4, X(tick), bottom, "grid");
      svg_.Text(X(tick), bottom + 16, TickText(tick, step), "tick", "middle");
    }
    for (const Flag& flag : flags_) svg_.Line(flag.x, flag.shown ? FlagY(flag) - 4 : top_ - 4, flag.x, bottom, "marker");
  }

  void LaneName(const std::string& name, double height) { svg_.Text(kLeft - 12, y_ + height / 2 + 4, name, "lane", "end"); }

  void RegionLane(const Json& region) {
    const std::string name = TextAt(region, "name");
    LaneName(name, kLane);
    svg_.Rect(kLeft, y_, kPlot, kLane, "unknown-span", name + ": unknown where nothing is drawn");
    for (const Json& span : MemberAt(region, "spans")) {
      const double from = axis_.At(MemberAt(span, "from_ns"));
      const double to = std::max(axis_.At(MemberAt(span, "to_ns")), from);
      const std::string role = TextAt(span, "role");
      const double width = X(to) - X(from);
      svg_.Rect(X(from), y_, std::max(width, 1.0), kLane, "span role-" + role,
                name + ": " + role + ", " + At(from) + " to " + At(to), 2);
      if (width > TextWidth(role) + 12) SpanLabel(X(from), width, role);
    }
    y_ += kLane + kGap;
  }

  /// Hatched spans carry their word on a plain plate: letters on stripes are hard to read.
  void SpanLabel(double x, double width, const std::string& role) {
    if (role == "down" || role == "rejoining") {
      const double plate = TextWidth(role) + 10;
      svg_.Rect(x + width / 2 - plate / 2, y_ + 7, plate, kLane - 14, "plate-" + role, "", 3);
    }
    svg_.Text(x + width / 2, y_ + kLane / 2 + 4, role, "on-" + role, "middle");
  }

  static std::string RunLabel(const Json& run, double length) {
    const std::string kind = TextAt(run, "kind");
    if (!MemberAt(run, "ended_ns").is_number()) return kind + ", not ended";
    if (kind == "rejoin") return kind + " " + SecondsText(Json(length));
    return MemberAt(run, "rto_s").is_number() ? kind + " " + SecondsText(MemberAt(run, "rto_s")) : kind + ", time unknown";
  }

  void RunLane() {
    if (MemberAt(document_, "runs").empty()) return;
    LaneName("executions", 18);
    double taken = 0;
    std::vector<double> row_ends = {0};
    for (const Json& run : MemberAt(document_, "runs")) {
      const bool outage = MemberAt(run, "fault_ns").is_number();
      const double from = axis_.At(outage ? MemberAt(run, "fault_ns") : MemberAt(run, "began_ns"));
      const double to =
          std::max(MemberAt(run, "ended_ns").is_number() ? axis_.At(MemberAt(run, "ended_ns")) : axis_.Length(), from);
      const std::string label = RunLabel(run, to - from);
      const double x = X(from);
      const double width = std::max(X(to) - x, 2.0);
      const bool inside = width > TextWidth(label) + 10;
      const bool leftward = !inside && X(to) + TextWidth(label) + 8 > kWidth;
      const double begin = leftward ? x - TextWidth(label) - 8 : x;
      const double end = inside || leftward ? x + width : x + width + TextWidth(label) + 8;
      std::size_t row = 0;
      while (row < row_ends.size() && row_ends[row] > begin) ++row;
      if (row == row_ends.size()) row_ends.push_back(0);
      row_ends[row] = end;
      const double y = y_ + static_cast<double>(row) * 22;
      taken = std::max(taken, static_cast<double>(row + 1) * 22);
      svg_.Rect(x, y, width, 18, "run run-" + TextAt(run, "kind"), RunTitle(run) + ", " + At(from) + " to " + At(to), 3);
      const double text_x = inside ? x + width / 2 : leftward ? x - 5 : x + width + 5;
      svg_.Text(text_x, y + 13, label, inside ? "on-run" : "run-label", inside ? "middle" : leftward ? "end" : "start");
    }
    y_ += taken + kGap;
  }

  /// All clients' rows a second together, sampled on a grid of one value a pixel pair.
  void RateLane() {
    std::vector<std::optional<double>> total(static_cast<std::size_t>(kPlot / 2));
    for (const Json& client : MemberAt(document_, "clients")) AddRate(MemberAt(client, "rate"), total);
    double highest = 0;
    for (const auto& value : total) highest = std::max(highest, value.value_or(0));
    if (highest <= 0) return;
    svg_.Text(kLeft - 12, y_ + 14, "clients", "lane", "end");
    svg_.Text(kLeft - 12, y_ + 30, CountText(Json(std::lround(highest))) + " rows/s", "tick", "end");
    svg_.Text(kLeft - 12, y_ + kRateHeight, "0", "tick", "end");
    Outages();
    const double base = y_ + kRateHeight;
    const double slot = kPlot / static_cast<double>(total.size());
    std::string path;
    double last_x = 0;
    for (std::size_t at = 0; at < total.size(); ++at) {
      if (!total[at]) continue;
      const double x = kLeft + (static_cast<double>(at) + 0.5) * slot;
      const double y = base - *total[at] / highest * (kRateHeight - 8);
      path += path.empty() || !total[at - 1] ? "M" + Px(x) + " " + Px(base) + "L" : "L";
      path += Px(x) + " " + Px(y);
      last_x = x;
      if (at + 1 == total.size() || !total[at + 1]) path += "L" + Px(last_x) + " " + Px(base) + "Z";
    }
    svg_.Raw("<path d=\"" + path + "\" class=\"rate\"><title>committed rows a second, all clients together</title></path>");
    svg_.Line(kLeft, base, kLeft + kPlot, base, "axis");
    y_ += kRateHeight + 4;
  }

  /// A sample holds until the next one, at most three usual distances: a gap in the record is no zero and no plateau.
  void AddRate(const Json& samples, std::vector<std::optional<double>>& total) const {
    if (samples.empty()) return;
    std::vector<double> distances;
    for (std::size_t at = 1; at < samples.size(); ++at) {
      distances.push_back(axis_.At(MemberAt(samples[at], "at_ns")) - axis_.At(MemberAt(samples[at - 1], "at_ns")));
    }
    std::sort(distances.begin(), distances.end());
    const double usual = distances.empty() ? axis_.Length() : distances[distances.size() / 2];
    for (std::size_t slot = 0, sample = 0; slot < total.size(); ++slot) {
      const double now = (static_cast<double>(slot) + 0.5) / static_cast<double>(total.size()) * axis_.Length();
      while (sample + 1 < samples.size() && axis_.At(MemberAt(samples[sample + 1], "at_ns")) <= now) ++sample;
      const double since = now - axis_.At(MemberAt(samples[sample], "at_ns"));
      if (since < 0 || since > usual * (sample + 1 == samples.size() ? 1.0 : 3.0)) continue;
      total[slot] = total[slot].value_or(0) + std::max(0.0, MemberAt(samples[sample], "per_second").get<double>());
    }
  }

  void Outages() {
    std::vector<std::pair<double, double>> spans;
    for (const Json& client : MemberAt(document_, "clients")) {
      for (const Json& outage : MemberAt(client, "outages"))
        spans.emplace_back(axis_.At(MemberAt(outage, "from_ns")), axis_.At(MemberAt(outage, "to_ns")));
    }
    std::sort(spans.begin(), spans.end());
    std::vector<std::pair<double, double>> merged;
    for (const auto& span : spans) {
      if (!merged.empty() && span.first <= merged.back().second) {
        merged.back().second = std::max(merged.back().second, span.second);
      } else {
        merged.push_back(span);
      }
    }
    for (const auto& [from, to] : merged) {
      svg_.Rect(X(from), y_, std::max(X(to) - X(from), 1.5), kRateHeight, "outage",
                "at least one client out: " + At(from) + " to " + At(to), 0);
    }
  }

  const Json& document_;
  const Axis axis_;
  Svg svg_;
  std::vector<Flag> flags_;
  std::size_t rows_ = 0;
  double top_ = 0;
  double y_ = 0;
};

}  // namespace

std::string EscapeHtml(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '&': safe += "&amp;"; break;
      case '<': safe += "&lt;"; break;
      case '>': safe += "&gt;"; break;
      case '"': safe += "&quot;"; break;
      case '\'': safe += "&#39;"; break;
      default: safe += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
    }
  }
  return safe;
}

std::string PhaseClass(std::string_view name) {
  static constexpr std::string_view kNames[] = {"detect", "decide", "fence", "promote", "route", "first good write"};
  const auto at = std::find(std::begin(kNames), std::end(kNames), name) - std::begin(kNames);
  return "phase-" + std::to_string(at);  // 6: any other name
}

std::string TimelinePicture(const Json& document) { return RunPicture(document).Draw(); }

std::string PhasePicture(const Json& run) {
  const Json& phases = MemberAt(run, "phases");
  std::optional<std::int64_t> first;
  std::int64_t last = 0;
  for (const Json& phase : phases) {
    if (!IsMeasured(phase)) continue;
    const auto began = SignedAt(phase, "began_ns");
    first = std::min(first.value_or(began), began);
    last = std::max(last, SignedAt(phase, "ended_ns"));
  }
  if (!first || last <= *first) return {};
  const double length = static_cast<double>(last - *first) / 1e9;
  constexpr double kBarLeft = 16;
  constexpr double kBarWidth = kWidth - 2 * kBarLeft;
  const auto x_of = [&](std::int64_t ns) { return kBarLeft + static_cast<double>(ns - *first) / 1e9 / length * kBarWidth; };
  const auto label_of = [](const Json& phase) { return TextAt(phase, "name") + " " + SecondsText(MemberAt(phase, "seconds")); };
  // Narrow phases are named above the bar, each in a row of its own, ordered so that no line to the bar crosses a name:
  // names that stand to the left of their place with the rightmost on top, the others with the leftmost on top.
  const auto middle_of = [&](const Json& phase) {
    return (x_of(SignedAt(phase, "began_ns")) + x_of(SignedAt(phase, "ended_ns"))) / 2;
  };
  const auto fits_left = [&](const Json& phase) { return middle_of(phase) - TextWidth(label_of(phase)) - 12 > 0; };
  std::vector<const Json*> leftward;
  std::vector<const Json*> narrow;
  for (const Json& phase : phases) {
    if (!IsMeasured(phase)) continue;
    const double width = x_of(SignedAt(phase, "ended_ns")) - x_of(SignedAt(phase, "began_ns"));
    if (width < TextWidth(label_of(phase)) + 12) (fits_left(phase) ? leftward : narrow).push_back(&phase);
  }
  narrow.insert(narrow.end(), leftward.rbegin(), leftward.rend());
  const double bar = 6 + static_cast<double>(narrow.size()) * kFlagRow + (narrow.empty() ? 0 : 6);
  const auto row_y = [](std::size_t row) { return 6 + static_cast<double>(row) * kFlagRow + 9; };
  Svg svg;
  for (std::size_t row = 0; row < narrow.size(); ++row)
    svg.Line(middle_of(*narrow[row]), row_y(row) - 4, middle_of(*narrow[row]), bar, "marker");
  for (const Json& phase : phases) {
    if (!IsMeasured(phase)) continue;
    const double x = x_of(SignedAt(phase, "began_ns"));
    const double width = x_of(SignedAt(phase, "ended_ns")) - x;
    svg.Rect(x, bar, std::max(width - 1, 1.0), 30, PhaseClass(TextAt(phase, "name")), label_of(phase), 2);
    if (width >= TextWidth(label_of(phase)) + 12) svg.Text(x + width / 2, bar + 19, label_of(phase), "on-phase", "middle");
  }
  for (std::size_t row = 0; row < narrow.size(); ++row) {
    const bool left = fits_left(*narrow[row]);
    svg.Circle(middle_of(*narrow[row]), row_y(row) - 4, 2.6, "flag-dot");
    svg.Text(middle_of(*narrow[row]) + (left ? -7 : 7), row_y(row), label_of(*narrow[row]), "flag", left ? "end" : "start");
  }
  const double step = TickStep(length, 10);
  for (double tick = 0; tick <= length + 1e-9; tick += step) {
    const double x = kBarLeft + tick / length * kBarWidth;
    svg.Line(x, bar + 30, x, bar + 35, "axis");
    svg.Text(x, bar + 48, TickText(tick, step), "tick", tick == 0 ? "start" : x > kWidth - 40 ? "end" : "middle");
  }
  return svg.Finish(bar + 54, "phases of " + RunTitle(run));
}

}  // namespace lifeboat
