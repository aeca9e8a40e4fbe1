#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/time.h"
#include "base/types.h"
#include "prove/report.h"
#include "prove/report_backups.h"
#include "prove/report_text.h"

namespace lifeboat {

namespace {

constexpr std::size_t kColumns = 100;

/// Columns that a UTF-8 text takes; every sign that we use is one wide.
std::size_t Width(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

/// The first `width` columns, with "…" where something was cut off.
std::string Fit(const std::string& text, std::size_t width) {
  if (Width(text) <= width) return text;
  std::string out;
  for (std::size_t at = 0, used = 0; at < text.size(); ++at) {
    const bool begins = (static_cast<unsigned char>(text[at]) & 0xC0) != 0x80;
    if (begins && ++used > width - 1) break;
    out += text[at];
  }
  return out + "…";
}

std::string Pad(const std::string& text, std::size_t width) {
  const std::string fitted = Fit(text, width);
  return fitted + std::string(width - Width(fitted), ' ');
}
std::string PadLeft(const std::string& text, std::size_t width) {
  const std::string fitted = Fit(text, width);
  return std::string(width - Width(fitted), ' ') + fitted;
}

/// Control characters of outside texts (names, outcomes) must not reach the terminal.
std::string Clean(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return text;
}

std::string TextOf(const Json& object, const char* key) { return Clean(TextAt(object, key)); }

class Page {
 public:
  explicit Page(Colour colour) : colour_(colour) {}

  void Line(const std::string& text = {}) {
    std::string line = text;
    while (!line.empty() && line.back() == ' ') line.pop_back();
    out_ += line + "\n";
  }
  void Title(const std::string& text) {
    Line();
    std::string rule = "── " + text + " ";
    for (std::size_t used = Width(rule); used < kColumns; ++used) rule += "─";
    Line(Paint(rule, "1"));
  }
  void Wrapped(const std::string& text, const std::string& first, const std::string& next) {
    std::string line = first;
    std::size_t words = 0;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t space = std::min(text.find(' ', at), text.size());
      const std::string word = text.substr(at, space - at);
      if (words > 0 && Width(line) + 1 + Width(word) > kColumns) {
        Line(line);
        line = next;
        words = 0;
      }
      line += (words++ > 0 ? " " : "") + Fit(word, kColumns - Width(next));
      at = space + 1;
    }
    Line(line);
  }
  /// Colour repeats what the word says; it never says anything alone.
  [[nodiscard]] std::string Judgement(const std::string& word, std::size_t width) const {
    return Paint(Pad(word, width), word == "met" || word == "verified"           ? "32"
                                   : word == "unknown" || word == "not verified" ? "33"
                                                                                 : "31");
  }
  [[nodiscard]] std::string Paint(const std::string& text, const char* code) const {
    return colour_ == Colour::kYes ? "\033[" + std::string(code) + "m" + text + "\033[0m" : text;
  }
  [[nodiscard]] std::string Take() { return std::move(out_); }

 private:
  Colour colour_;
  std::string out_;
};

std::string Bar(double share, std::size_t width) {
  std::string bar;
  const auto filled = static_cast<std::size_t>(std::lround(std::clamp(share, 0.0, 1.0) * static_cast<double>(width)));
  for (std::size_t at = 0; at < filled; ++at) bar += "█";
  if (filled == 0 && share > 0) bar = "▏";
  return bar;
}

void Head(Page& page, const Json& document) {
  const std::string right = FormatWallTime({SignedAt(document, "generated_ns")});
  page.Line(page.Paint(Pad("Lifeboat report: " + TextOf(document, "service"), kColumns - Width(right)), "1") + right);
  page.Line(Fit(TextOf(document, "machine"), kColumns));
  std::string settings;
  for (const auto& [name, value] : MemberAt(document, "settings").items()) {
    settings += (settings.empty() ? "" : ", ") + name + " " +
                (value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, Json::error_handler_t::replace));
  }
  if (!settings.empty()) page.Wrapped(Clean(settings), "", "");
  page.Line();
  page.Line("Verdict: " + page.Judgement(TextOf(document, "verdict"), 8) + " " + VerdictText(document));
  for (const Json& sentence : MemberAt(document, "sentences")) page.Wrapped(Clean(sentence.get<std::string>()), "  • ", "    ");
}

void Objectives(Page& page, const Json& document) {
  const auto figures = JudgedFigures(document);
  if (figures.empty()) return;
  page.Title("Objectives");
  page.Line(Pad("", 5) + Pad("run", 52) + PadLeft("measured", 15) + PadLeft("objective", 15) + "   judged");
  for (const Judged& figure : figures) {
    page.Line(Pad(figure.name, 5) + Pad(Clean(figure.what), 52) + PadLeft(figure.figure, 15) +
              PadLeft("≤ " + figure.objective, 15) + "   " + page.Judgement(JudgementText(figure.met), 8));
  }
}

void RunPhases(Page& page, const Json& run) {
  if (MemberAt(run, "phases").empty()) return;
  const auto total = Real(MemberAt(run, "rto_s"));
  page.Line();
  page.Line(Pad("phase", 20) + PadLeft("time", 12) + PadLeft("share", 9));
  for (const Json& phase : MemberAt(run, "phases")) {
    const auto seconds = Real(MemberAt(phase, "seconds"));
    const bool shared = seconds && total && *total > 0;
    char share[16] = "";
    const double percent = shared ? *seconds / *total * 100 : 0;
    if (shared) std::snprintf(share, sizeof share, percent > 0 && percent < 1 ? "< 1 %%" : "%.0f %%", percent);
    page.Line(Pad(TextOf(phase, "name"), 20) + PadLeft(SecondsText(MemberAt(phase, "seconds")), 12) + PadLeft(share, 9) + "  " +
              (shared ? Bar(*seconds / *total, 54) : ""));
  }
  page.Line(Pad("together (RTO)", 20) + PadLeft(SecondsText(MemberAt(run, "rto_s")), 12));
}

void Runs(Page& page, const Json& document) {
  for (const Json& run : MemberAt(document, "runs")) {
    page.Title(Fit(Clean(RunTitle(run)) + " · epoch " + CountText(MemberAt(run, "epoch")) + " · " + TextOf(run, "execution"), 90));
    if (TextAt(run, "kind") != "rejoin") page.Line("loss: " + LossText(MemberAt(run, "loss")));
    RunPhases(page, run);
    if (MemberAt(run, "steps").empty()) continue;
    page.Line();
    page.Line(Pad("step", 26) + Pad("state", 10) + PadLeft("time", 12) + "  outcome");
    for (const Json& step : MemberAt(run, "steps")) {
      page.Line(Pad(TextOf(step, "name"), 25) + " " + Pad(TextOf(step, "state"), 10) +
                PadLeft(SecondsText(MemberAt(step, "seconds")), 12) + "  " + Fit(TextOf(step, "outcome"), 50));
    }
  }
}

void Clients(Page& page, const Json& document) {
  if (MemberAt(document, "clients").empty()) return;
  page.Title("Clients");
  page.Line(Pad("client", 22) + Pad("mode", 14) + PadLeft("acknowledged", 14) + PadLeft("lost", 12) + PadLeft("unaccounted", 14) +
            PadLeft("longest outage", 18));
  for (const Json& client : MemberAt(document, "clients")) {
    page.Line(Pad(TextOf(client, "name"), 21) + " " + Pad(TextOf(client, "mode"), 14) +
              PadLeft(CountText(MemberAt(client, "acknowledged")), 14) + PadLeft(CountText(MemberAt(client, "lost")), 12) +
              PadLeft(CountText(MemberAt(client, "unaccounted")), 14) +
              PadLeft(SecondsText(MemberAt(client, "longest_outage_s")), 18));
  }
}

void Ledger(Page& page, const Json& document) {
  page.Title("Loss ledger");
  if (MemberAt(document, "ledger").empty()) page.Line(Fit(EmptyLedgerText(document), kColumns));
  for (const Json& entry : MemberAt(document, "ledger")) {
    page.Line(Fit(TextOf(entry, "region") + ": " + CountText(MemberAt(entry, "commits")) + " commits in " +
                      FormatBytes({NumberAt(entry, "diverged_bytes")}) + " of WAL, " + TextOf(entry, "fork") + " to " +
                      TextOf(entry, "end"),
                  kColumns));
    if (!TextAt(entry, "first_commit").empty())
      page.Line(Fit("  from " + TextOf(entry, "first_commit") + " to " + TextOf(entry, "last_commit"), kColumns));
    if (!TextAt(entry, "saved_in").empty()) {
      page.Line(
          Fit("  saved in " + TextOf(entry, "saved_in") + " (" + FormatBytes({NumberAt(entry, "saved_bytes")}) + ")", kColumns));
    }
  }
}

void Backups(Page& page, const Json& document) {
  for (const std::vector<std::string>& block : BackupLines(document)) {
    page.Title(Fit(Clean(block.front()), 90));
    for (std::size_t at = 1; at < block.size(); ++at) page.Line(Fit(Clean(block[at]), kColumns));
  }
}

void EvidenceLine(Page& page, const Json& document) {
  const Json& evidence = MemberAt(document, "evidence");
  page.Title("Evidence");
  page.Line(CountText(MemberAt(evidence, "records")) + " records, chain " +
            page.Judgement(EvidenceText(evidence), EvidenceText(evidence).size()) + ", head " +
            Fit(TextAt(evidence, "head", "unknown"), 64));
}

}  // namespace

std::string RenderTerminal(const Json& document, Colour colour) {
  Page page(colour);
  Head(page, document);
  Objectives(page, document);
  Runs(page, document);
  Clients(page, document);
  Ledger(page, document);
  Backups(page, document);
  EvidenceLine(page, document);
  return page.Take();
}

}  // namespace lifeboat
