#include <algorithm>
#include <cctype>
#include <cstdio>
#include <vector>

#include "base/time.h"
#include "base/types.h"
#include "prove/report.h"
#include "prove/report_backups.h"
#include "prove/report_picture.h"
#include "prove/report_text.h"

namespace lifeboat {

namespace {

constexpr const char* kStyle = R"(
:root{color-scheme:light dark;
--page:#f4f6f9;--card:#fff;--ink:#16202c;--soft:#566577;--line:#dde3ea;--faint:#eef1f5;
--good:#1a7f4b;--good-soft:#e4f4eb;--bad:#b3261e;--bad-soft:#fbe9e7;--open:#8a5a00;--open-soft:#fdf1d8;
--primary:#1d5fb8;--standby:#a9cdf0;--standby-ink:#143a66;--witness:#d9dee5;--witness-ink:#43505f;
--down:#f6d0cc;--down-line:#d8685f;--rejoin:#fbe7bd;--rejoin-line:#d79a2b;--rate:#2f8f83;--rate-soft:#2f8f8333;--outage:#d8685f26;
--p0:#4a6fa5;--p1:#7a5ea8;--p2:#b0527f;--p3:#bb5f2c;--p4:#8a7414;--p5:#2f7d57}
@media screen and (prefers-color-scheme:dark){:root{
--page:#0e141c;--card:#17202b;--ink:#e6ecf3;--soft:#98a7b8;--line:#2b3746;--faint:#1f2935;
--good:#6fd39b;--good-soft:#15352a;--bad:#ff9c92;--bad-soft:#43201f;--open:#f2c66d;--open-soft:#3b2f15;
--primary:#2f6fc4;--standby:#27496e;--standby-ink:#cfe3f8;--witness:#323e4c;--witness-ink:#c2cdd9;
--down:#4a2422;--down-line:#b4544c;--rejoin:#43361a;--rejoin-line:#b98a33;--rate:#4fc3b3;--rate-soft:#4fc3b333;--outage:#ff8a7e26;
--p0:#4f76b3;--p1:#8266b5;--p2:#b85984;--p3:#bd6634;--p4:#8c7822;--p5:#34855a}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;-webkit-print-color-adjust:exact;
print-color-adjust:exact}
main{max-width:1200px;margin:0 auto;padding:32px 24px 48px}
header{display:flex;flex-wrap:wrap;gap:8px 24px;align-items:flex-end;justify-content:space-between;margin-bottom:20px}
h1{font-size:30px;line-height:1.2;margin:0;letter-spacing:-.01em}
h2{font-size:18px;margin:0 0 12px}
h3{font-size:14px;margin:20px 0 6px;color:var(--soft);font-weight:600}
.over{font-size:13px;font-weight:600;color:var(--soft);margin:0 0 2px}
.meta{color:var(--soft);font-size:13px;text-align:right}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:20px 22px;margin-bottom:18px}
.verdict{display:flex;gap:18px;align-items:flex-start}
.sign{flex:none;width:42px;height:42px;border-radius:50%;display:grid;place-items:center;font-size:22px;font-weight:700}
.met .sign{background:var(--good-soft);color:var(--good)}.missed .sign{background:var(--bad-soft);color:var(--bad)}
.unknown .sign{background:var(--open-soft);color:var(--open)}
.verdict h2{font-size:22px;margin:5px 0 8px}.verdict ul{margin:0;padding-left:18px}.verdict li{margin:2px 0}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(248px,1fr));gap:14px;margin-bottom:18px}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:16px 18px}
.card .name{font-weight:700}.card .what{color:var(--soft);font-size:13px;min-height:20px}
.figure{font-size:34px;font-weight:650;letter-spacing:-.02em;line-height:1.25;margin:6px 0 2px;font-variant-numeric:tabular-nums}
.figure.none{color:var(--soft);font-weight:500}
.card .detail{font-size:13px;color:var(--soft);min-height:20px}
.judged{display:flex;justify-content:space-between;align-items:center;margin-top:10px;font-size:13px;color:var(--soft)}
.pill{display:inline-block;border-radius:99px;padding:2px 11px;font-weight:650;font-size:13px;white-space:nowrap}
.pill.met{background:var(--good-soft);color:var(--good)}.pill.missed{background:var(--bad-soft);color:var(--bad)}
.pill.unknown{background:var(--open-soft);color:var(--open)}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px}
th{text-align:left;font-weight:600;color:var(--soft);font-size:12.5px;padding:5px 10px 5px 0;
border-bottom:1px solid var(--line);white-space:nowrap}
td{padding:6px 10px 6px 0;border-bottom:1px solid var(--faint);vertical-align:top;overflow-wrap:anywhere}
tr:last-child td{border-bottom:0}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.n,th.n{padding-right:22px}td:last-child.n,th:last-child.n{padding-right:10px}
.failed{color:var(--bad);font-weight:650}
td.share{width:46%}.bar{display:block;height:12px;border-radius:3px;min-width:2px;margin-top:5px}
.swatch{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:8px;vertical-align:-1px}
.facts{color:var(--soft);font-size:13.5px;margin:-8px 0 12px}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;font-size:13px;color:var(--soft);margin:10px 0 0}
code{font:12.5px/1.5 ui-monospace,"SFMono-Regular",Menlo,Consolas,monospace;overflow-wrap:anywhere}
.quiet{color:var(--soft)}
footer{color:var(--soft);font-size:13px;padding:0 4px}
svg{display:block;width:100%;height:auto;min-width:760px;font-family:inherit}
svg text{font-size:11.5px;fill:var(--ink)}
svg .lane{font-size:12.5px;font-weight:600}svg .tick{fill:var(--soft);font-size:11px}svg .flag{font-weight:500;
paint-order:stroke;stroke:var(--card);stroke-width:4px;stroke-linejoin:round}
.grid{stroke:var(--line);stroke-width:1}.axis{stroke:var(--soft);stroke-width:1}
.marker{stroke:var(--soft);stroke-width:1;stroke-dasharray:2 3}.flag-dot{fill:var(--soft)}
.unknown-span{fill:var(--faint);stroke:var(--soft);stroke-dasharray:3 3}
.span{stroke:var(--card);stroke-width:1}
.role-primary,.sw-primary{fill:var(--primary);background:var(--primary)}.role-standby,.sw-standby{fill:var(--standby);
background:var(--standby)}
.role-witness,.sw-witness{fill:var(--witness);background:var(--witness)}.role-down{fill:url(#hatch-down)}
.role-rejoining{fill:url(#hatch-rejoining)}
.sw-down{background:repeating-linear-gradient(45deg,var(--down-line) 0 2px,var(--down) 2px 5px)}
.sw-rejoining{background:repeating-linear-gradient(-45deg,var(--rejoin-line) 0 2px,var(--rejoin) 2px 6px)}
.sw-rate{background:var(--rate)}.sw-outage{background:var(--outage);outline:1px solid var(--down-line)}
.sw-unknown{border:1px dashed var(--soft)}
.down-ground,.plate-down{fill:var(--down)}.down-line{fill:var(--down-line)}
.rejoining-ground,.plate-rejoining{fill:var(--rejoin)}.rejoining-line{fill:var(--rejoin-line)}
svg .on-primary,svg .on-phase,svg .on-run{fill:#fff;font-weight:600}svg .on-standby{fill:var(--standby-ink);font-weight:600}
svg .on-witness{fill:var(--witness-ink)}svg .on-down,svg .on-rejoining{font-weight:600}
.run-failover{fill:var(--p2)}.run-switchover{fill:var(--p0)}.run-rejoin{fill:var(--p5)}
.rate{fill:var(--rate-soft);stroke:var(--rate);stroke-width:1.5;stroke-linejoin:round}.outage{fill:var(--outage)}
.phase-0{fill:var(--p0);background:var(--p0)}.phase-1{fill:var(--p1);background:var(--p1)}.phase-2{fill:var(--p2);
background:var(--p2)}
.phase-3{fill:var(--p3);background:var(--p3)}.phase-4{fill:var(--p4);background:var(--p4)}.phase-5{fill:var(--p5);
background:var(--p5)}.phase-6{fill:var(--soft);background:var(--soft)}
@media (max-width:700px){main{padding:18px 12px}.meta{text-align:left}}
@media print{:root{color-scheme:light}body{background:#fff;font-size:12px}main{max-width:none;padding:0}
section,.card{break-inside:avoid;border-color:#ccc}svg{min-width:0}.wide{overflow:visible}}
)";

std::string Escaped(const Json& object, const char* key) { return EscapeHtml(TextAt(object, key)); }
std::string Code(const std::string& text) { return "<code>" + EscapeHtml(text) + "</code>"; }

std::string Sign(const std::string& judgement) { return judgement == "met" ? "✓" : judgement == "missed" ? "✗" : "?"; }

std::string Pill(const std::string& judgement) {
  return "<span class=\"pill " + judgement + "\">" + Sign(judgement) + " " + EscapeHtml(judgement) + "</span>";
}

std::string Head(const Json& document) {
  return "<header><div><p class=\"over\">Lifeboat report</p><h1>" + Escaped(document, "service") +
         "</h1></div><div class=\"meta\">" + EscapeHtml(FormatWallTime({SignedAt(document, "generated_ns")})) + "<br>" +
         Escaped(document, "machine") + "</div></header>";
}

std::string Verdict(const Json& document) {
  const std::string verdict = TextAt(document, "verdict", "unknown");
  std::string html = "<section class=\"verdict " + EscapeHtml(verdict) + "\"><div class=\"sign\" aria-hidden=\"true\">" +
                     Sign(verdict) + "</div><div><h2>" + EscapeHtml(VerdictText(document)) + "</h2><ul>";
  for (const Json& sentence : MemberAt(document, "sentences")) html += "<li>" + EscapeHtml(sentence.get<std::string>()) + "</li>";
  return html + "</ul></div></section>";
}

std::string Cards(const Json& document) {
  const auto figures = JudgedFigures(document);
  if (figures.empty()) return {};
  std::string html = "<div class=\"cards\">";
  for (const Judged& figure : figures) {
    const bool none = figure.figure == "unknown";
    html += "<div class=\"card\"><div class=\"name\">" + EscapeHtml(figure.name) + "</div><div class=\"what\">" +
            EscapeHtml(figure.what) + "</div><div class=\"figure" + (none ? " none" : "") + "\">" + EscapeHtml(figure.figure) +
            "</div><div class=\"detail\">" + EscapeHtml(figure.detail) + "</div><div class=\"judged\"><span>objective " +
            EscapeHtml(figure.objective) + "</span>" + Pill(JudgementText(figure.met)) + "</div></div>";
  }
  return html + "</div>";
}

std::string TimelineSection(const Json& document) {
  std::string legend;
  for (const char* role : {"primary", "standby", "witness", "down", "rejoining", "unknown"}) {
    legend += std::string("<span><i class=\"swatch sw-") + role + "\"></i>" + role + "</span>";
  }
  legend +=
      "<span><i class=\"swatch sw-rate\"></i>committed rows a second, all clients</span><span><i class=\"swatch sw-outage\"></i>at "
      "least one client out</span>";
  return "<section><h2>The run</h2><div class=\"wide\">" + TimelinePicture(document) + "</div><div class=\"legend\">" + legend +
         "</div></section>";
}

std::string PhaseTable(const Json& run) {
  const auto total = Real(MemberAt(run, "rto_s"));
  std::string html =
      "<table><thead><tr><th>phase</th><th class=\"n\">time</th><th class=\"n\">share</th><th></th></tr></thead><tbody>";
  for (const Json& phase : MemberAt(run, "phases")) {
    const std::string style = PhaseClass(TextAt(phase, "name"));
    const auto seconds = Real(MemberAt(phase, "seconds"));
    std::string share;
    std::string bar;
    if (seconds && total && *total > 0) {
      char percent[32];
      std::snprintf(percent, sizeof percent, "%.1f", *seconds / *total * 100);
      share = std::string(percent) + " %";
      bar = "<span class=\"bar " + style + "\" style=\"width:" + percent + "%\"></span>";
    }
    html += "<tr><td><i class=\"swatch " + style + "\"></i>" + Escaped(phase, "name") + "</td><td class=\"n\">" +
            SecondsText(MemberAt(phase, "seconds")) + "</td><td class=\"n\">" + share + "</td><td class=\"share\">" + bar +
            "</td></tr>";
  }
  return html + "<tr><td><b>together (RTO)</b></td><td class=\"n\"><b>" + SecondsText(MemberAt(run, "rto_s")) +
         "</b></td><td></td><td></td></tr></tbody></table>";
}

std::string StepTable(const Json& run) {
  std::string html = "<table><thead><tr><th>step</th><th>state</th><th class=\"n\">time</th><th>outcome</th></tr></thead><tbody>";
  for (const Json& step : MemberAt(run, "steps")) {
    html += "<tr><td>" + Escaped(step, "name") + "</td><td" + (TextAt(step, "state") == "failed" ? " class=\"failed\"" : "") + ">" +
            Escaped(step, "state") + "</td><td class=\"n\">" + SecondsText(MemberAt(step, "seconds")) + "</td><td>" +
            Escaped(step, "outcome") + "</td></tr>";
  }
  return html + "</tbody></table>";
}

std::string RunSection(const Json& run) {
  std::string title = RunTitle(run);
  title[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(title[0])));
  std::string html = "<section><h2>" + EscapeHtml(title) + "</h2><p class=\"facts\">epoch " + CountText(MemberAt(run, "epoch")) +
                     " · " + Code(TextAt(run, "execution"));
  if (!TextAt(run, "requested_by").empty()) html += " · asked for by " + Escaped(run, "requested_by");
  if (!TextAt(run, "state").empty()) html += " · " + Escaped(run, "state");
  if (TextAt(run, "kind") != "rejoin") html += " · loss: " + EscapeHtml(LossText(MemberAt(run, "loss")));
  html += "</p>";
  if (const std::string picture = PhasePicture(run); !picture.empty()) html += "<div class=\"wide\">" + picture + "</div>";
  if (!MemberAt(run, "phases").empty()) html += "<h3>Phases</h3><div class=\"wide\">" + PhaseTable(run) + "</div>";
  if (!MemberAt(run, "steps").empty()) html += "<h3>Steps</h3><div class=\"wide\">" + StepTable(run) + "</div>";
  return html + "</section>";
}

std::string Clients(const Json& document) {
  if (MemberAt(document, "clients").empty()) return {};
  std::string html =
      "<section><h2>Clients</h2><div class=\"wide\"><table><thead><tr><th>client</th><th>finds the database by</th><th "
      "class=\"n\">acknowledged rows</th>"
      "<th class=\"n\">lost</th><th class=\"n\">unaccounted</th><th class=\"n\">longest outage</th></tr></thead><tbody>";
  for (const Json& client : MemberAt(document, "clients")) {
    html += "<tr><td>" + Escaped(client, "name") + "</td><td>" + Escaped(client, "mode") + "</td>";
    for (const char* key : {"acknowledged", "lost", "unaccounted"})
      html += "<td class=\"n\">" + CountText(MemberAt(client, key)) + "</td>";
    html += "<td class=\"n\">" + SecondsText(MemberAt(client, "longest_outage_s")) + "</td></tr>";
  }
  return html + "</tbody></table></div></section>";
}

std::string Ledger(const Json& document) {
  std::string html = "<section><h2>Loss ledger</h2>";
  if (MemberAt(document, "ledger").empty())
    return html + "<p class=\"quiet\">" + EscapeHtml(EmptyLedgerText(document)) + "</p></section>";
  html +=
      "<div class=\"wide\"><table><thead><tr><th>old primary</th><th class=\"n\">commits</th><th class=\"n\">WAL after the "
      "fork</th><th>from, to</th>"
      "<th>committed between</th><th>saved in</th></tr></thead><tbody>";
  for (const Json& entry : MemberAt(document, "ledger")) {
    const std::string between =
        TextAt(entry, "first_commit").empty() ? "" : TextAt(entry, "first_commit") + " and " + TextAt(entry, "last_commit");
    html += "<tr><td>" + Escaped(entry, "region") + "</td><td class=\"n\">" + CountText(MemberAt(entry, "commits")) +
            "</td><td class=\"n\">" + FormatBytes({NumberAt(entry, "diverged_bytes")}) + "</td><td>" + Code(TextAt(entry, "fork")) +
            "<br>" + Code(TextAt(entry, "end")) + "</td><td>" + EscapeHtml(between) + "</td><td>";
    html += TextAt(entry, "saved_in").empty() ? "nothing to save"
                                              : Code(TextAt(entry, "saved_in")) + "<br><span class=\"quiet\">" +
                                                    FormatBytes({NumberAt(entry, "saved_bytes")}) + "</span>";
    html += "</td></tr>";
  }
  return html + "</tbody></table></div></section>";
}

std::string Events(const Json& document) {
  if (MemberAt(document, "events").empty()) return {};
  const Axis axis(document);
  std::string html =
      "<section><h2>Events</h2><div class=\"wide\"><table><thead><tr><th "
      "class=\"n\">after</th><th>region</th><th>event</th><th>what</th></tr></thead><tbody>";
  std::vector<Json> events = MemberAt(document, "events");
  std::stable_sort(events.begin(), events.end(),
                   [](const Json& a, const Json& b) { return SignedAt(a, "at_ns") < SignedAt(b, "at_ns"); });
  for (const Json& event : events) {
    char at[32];
    std::snprintf(at, sizeof at, "%.3f s", axis.At(MemberAt(event, "at_ns")));
    html += std::string("<tr><td class=\"n\">") + at + "</td><td>" + Escaped(event, "region") + "</td><td><b>" +
            Escaped(event, "kind") + "</b></td><td>" + Escaped(event, "text") + "</td></tr>";
  }
  return html + "</tbody></table></div></section>";
}

std::string EvidenceSection(const Json& document) {
  const Json& evidence = MemberAt(document, "evidence");
  const std::string state = EvidenceText(evidence);
  const std::string judgement = state == "verified" ? "met" : state == "not verified" ? "unknown" : "missed";
  std::string html = "<section><h2>Evidence</h2><p style=\"margin:0\">" + CountText(MemberAt(evidence, "records")) +
                     " records, each chained to the one before. <span class=\"pill " + judgement + "\">" + Sign(judgement) + " " +
                     state + "</span><br><span class=\"quiet\">head</span> " + Code(TextAt(evidence, "head", "unknown")) + "</p>";
  std::string settings;
  for (const auto& [name, value] : MemberAt(document, "settings").items()) {
    settings +=
        "<tr><td>" + EscapeHtml(name) + "</td><td>" +
        EscapeHtml(value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, Json::error_handler_t::replace)) +
        "</td></tr>";
  }
  if (!settings.empty())
    html += "<h3>Settings that bear on the figures</h3><table style=\"max-width:420px\"><tbody>" + settings + "</tbody></table>";
  return html + "</section>";
}

}  // namespace

std::string RenderHtml(const Json& document) {
  std::string html =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width,initial-scale=1\"><title>Lifeboat report: " +
      Escaped(document, "service") + "</title><style>" + kStyle + BackupStyle() + "</style></head><body><main>";
  html += Head(document) + Verdict(document) + Cards(document) + TimelineSection(document);
  for (const Json& run : MemberAt(document, "runs")) html += RunSection(run);
  html += Clients(document) + Ledger(document) + BackupSections(document) + Events(document) + EvidenceSection(document);
  return html +
         "<footer>Figures are as measured; “unknown” was not measured. The same document as JSON lies beside this "
         "page.</footer></main></body></html>\n";
}

}  // namespace lifeboat
