#include "prove/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "model/database_state.h"
#include "prove/report_picture.h"
#include "prove/report_text.h"

namespace lifeboat {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

std::string ReadFile(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

Json Example() { return Json::parse(ReadFile(LIFEBOAT_SOURCE_DIR "/tests/fixtures/report_example.json")); }

/// The smallest document that is one: nothing happened and nothing was measured.
Json Empty() {
  return Json::parse(
      R"({"format":"lifeboat-report/1","service":"orders","generated_ns":1795498724123000000,"machine":"","settings":{},
    "objectives":{"rto_s":5,"rpo_s":5},"verdict":"unknown",
    "sentences":[],"events":[],"runs":[],"clients":[],"regions":[],"ledger":[],
    "evidence":{"records":0,"head":null,"verified":null}})");
}

Json UnknownRun() {
  return Json::parse(
      R"({"kind":"failover","execution":"x-1","source":"a","target":"b","epoch":2,
    "fault_ns":null,"began_ns":1795498724123000000,
    "ended_ns":null,"phases":[{"name":"detect","began_ns":null,"ended_ns":null,"seconds":null}],"rto_s":null,"rto_met":null,"loss":null,
    "rpo_met":null,"steps":[{"name":"route","state":"intended","seconds":null,"outcome":""}]})");
}

std::size_t Columns(const std::string& line) {
  return static_cast<std::size_t>(
      std::count_if(line.begin(), line.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

class Folder : public testing::Test {
 protected:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "lifeboat-report-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~Folder() override { std::filesystem::remove_all(path_); }
  std::filesystem::path path_;
};

TEST(ValidateReport, TakesTheExampleAndTheEmptyOne) {
  EXPECT_TRUE(ValidateReport(Example()).ok());
  EXPECT_TRUE(ValidateReport(Empty()).ok());
}

TEST(ValidateReport, NamesWhatIsMissingOrWrong) {
  const auto error_after = [](auto change) {
    Json document = Example();
    change(document);
    const auto valid = ValidateReport(document);
    return valid.ok() ? std::string("valid") : valid.error().message;
  };
  EXPECT_EQ(error_after([](Json& d) { d.erase("runs"); }), "report: 'runs' is missing");
  EXPECT_EQ(error_after([](Json& d) { d["format"] = "lifeboat-report/2"; }),
            "report: 'format' is 'lifeboat-report/2', not 'lifeboat-report/1'");
  EXPECT_EQ(error_after([](Json& d) { d["runs"][0]["phases"][2].erase("name"); }), "report: 'runs[0].phases[2].name' is missing");
  EXPECT_EQ(error_after([](Json& d) { d["runs"][0]["rto_s"] = "fast"; }), "report: 'runs[0].rto_s' is not a number");
  EXPECT_EQ(error_after([](Json& d) { d["verdict"] = "great"; }), "report: 'verdict' has the unknown value 'great'");
  EXPECT_EQ(error_after([](Json& d) { d["objectives"].erase("rpo_s"); }), "report: 'objectives.rpo_s' is missing");
  EXPECT_EQ(error_after([](Json& d) { d["clients"][1]["rate"][0]["at_ns"] = nullptr; }),
            "report: 'clients[1].rate[0].at_ns' is not a moment in nanoseconds");
  EXPECT_EQ(error_after([](Json& d) { d["clients"][0]["lost"] = -1; }), "report: 'clients[0].lost' is not a count");
  EXPECT_EQ(error_after([](Json& d) { d["regions"][0]["spans"][0]["role"] = "boss"; }),
            "report: 'regions[0].spans[0].role' has the unknown value 'boss'");
  EXPECT_EQ(error_after([](Json& d) { d["runs"][0]["loss"]["state"] = "some"; }),
            "report: 'runs[0].loss.state' has the unknown value 'some'");
  EXPECT_EQ(error_after([](Json& d) { d["sentences"][0] = 4; }), "report: 'sentences[0]' is not a text");
  EXPECT_EQ(ValidateReport(Json::array()).error().message, "report: the document is not an object");
}

TEST(ValidateReport, EveryMemberOfTheExampleIsNeededOrOptionalButNeverCrashes) {
  // Given the example with any one member, at any depth, removed or made null or a text
  const Json example = Example();
  const Json flat = example.flatten();
  std::size_t tried = 0;
  for (const auto& [pointer, value] : flat.items()) {
    if (pointer.find("/rate/") != std::string::npos && pointer.find("/rate/0/") == std::string::npos) continue;
    for (const Json& replacement : {Json(), Json("odd"), Json(-1), Json::array()}) {
      Json changed = example;
      changed[Json::json_pointer(pointer)] = replacement;
      // Then it is refused, or rendered whole
      if (ValidateReport(changed).ok()) {
        EXPECT_THAT(RenderHtml(changed), HasSubstr("</html>"));
        EXPECT_FALSE(RenderTerminal(changed).empty());
        ++tried;
      }
    }
  }
  EXPECT_GT(tried, 100u);
}

TEST(RenderTerminal, FitsAHundredColumnsAndHasNoColourUnlessAsked) {
  const std::string plain = RenderTerminal(Example());
  std::istringstream lines(plain);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(Columns(line), 100u) << line;
  EXPECT_THAT(plain, Not(HasSubstr("\033")));
  EXPECT_THAT(RenderTerminal(Example(), Colour::kYes), HasSubstr("\033[32mmet"));
  EXPECT_THAT(plain, HasSubstr("Verdict: met"));
  EXPECT_THAT(plain, ContainsRegex("RTO +failover us-east-1 → us-west-2 +3.215 s +≤ 5 s +met"));
  EXPECT_THAT(plain, HasSubstr("loss: 41 rows, 0.118 s, 11.0 KiB (counted)"));
  EXPECT_THAT(plain, HasSubstr("loss: nothing lost (proven zero)"));
  EXPECT_THAT(plain, ContainsRegex("detect +2.981 s +93 %"));
  EXPECT_THAT(plain, HasSubstr("57 records, chain verified, head 9f0c2e8b"));
}

TEST(RenderTerminal, ShowsUnknownAsUnknown) {
  Json document = Empty();
  document["runs"].push_back(UnknownRun());
  ASSERT_TRUE(ValidateReport(document).ok());
  const std::string text = RenderTerminal(document);
  EXPECT_THAT(text, ContainsRegex("RTO +failover a → b +unknown +≤ 5 s +unknown"));
  EXPECT_THAT(text, ContainsRegex("RPO +failover a → b +unknown +≤ 5 s +unknown"));
  EXPECT_THAT(text, HasSubstr("loss: unknown"));
  EXPECT_THAT(text, ContainsRegex("detect +unknown"));
  EXPECT_THAT(text, HasSubstr("chain not verified, head unknown"));
  EXPECT_THAT(text, Not(HasSubstr("0 s")));
}

TEST(RenderTerminal, LetsNoControlCharacterThrough) {
  Json document = Example();
  document["runs"][0]["steps"][0]["outcome"] = "\033[2Jgone";
  document["service"] = "or\nders";
  EXPECT_THAT(RenderTerminal(document), Not(HasSubstr("\033")));
  EXPECT_THAT(RenderTerminal(document), HasSubstr("report: or ders"));
}

TEST(RenderHtml, ShowsUnknownAsUnknownAndNeverAsMet) {
  Json document = Empty();
  document["runs"].push_back(UnknownRun());
  const std::string html = RenderHtml(document);
  EXPECT_THAT(html, HasSubstr("<div class=\"figure none\">unknown</div>"));
  EXPECT_THAT(html, HasSubstr("<span class=\"pill unknown\">? unknown</span>"));
  EXPECT_THAT(html, Not(HasSubstr("pill met")));
  EXPECT_THAT(html, Not(HasSubstr(">0 s<")));
}

TEST(RenderHtml, SaysMetAndMissedInWords) {
  Json document = Example();
  document["runs"][0]["rto_met"] = false;
  document["verdict"] = "missed";
  const std::string html = RenderHtml(document);
  EXPECT_THAT(html, HasSubstr("✗ missed"));
  EXPECT_THAT(html, HasSubstr("✓ met"));
  EXPECT_THAT(html, HasSubstr("An objective was missed"));
}

TEST(RenderHtml, NeedsNothingFromOutside) {
  const std::string html = RenderHtml(Example());
  for (const char* outside : {"http://", "https://", "src=", "@import", "<script", "<link", "url(\""})
    EXPECT_THAT(html, Not(HasSubstr(outside)));
  EXPECT_EQ(html.find("url("), html.find("url(#hatch"));
}

TEST(RenderHtml, EscapesEveryTextOfTheDocument) {
  // Given a document whose every free text tries to be markup
  Json document = Example();
  const std::string evil = "<img src=x onerror=\"alert('1')\">&";
  const Json flat = document.flatten();
  for (const auto& [pointer, value] : flat.items()) {
    const bool fixed = pointer == "/format" || pointer == "/verdict" || pointer.ends_with("/role") ||
                       pointer.ends_with("/loss/state") || (pointer.starts_with("/runs/") && pointer.ends_with("/kind"));
    if (value.is_string() && !fixed) document[Json::json_pointer(pointer)] = evil;
  }
  document["settings"][evil] = evil;
  ASSERT_TRUE(ValidateReport(document).ok());
  // Then none of it is markup in the page
  const std::string html = RenderHtml(document);
  EXPECT_THAT(html, Not(HasSubstr("<img")));
  EXPECT_THAT(html, Not(HasSubstr("\"alert")));
  EXPECT_THAT(html, HasSubstr("&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;"));
}

TEST(TimelinePicture, FlagsOfOneClusterNeverOverlap) {
  // Given six events within a third of a second of a minute
  const std::string svg = TimelinePicture(Example());
  // Then every flag text has a row of its own: no two stand at the same height and nearly the same place
  std::vector<std::pair<double, double>> places;
  for (std::size_t at = svg.find("class=\"flag\""); at != std::string::npos; at = svg.find("class=\"flag\"", at + 1)) {
    const auto begin = svg.rfind("<text", at);
    double x = 0;
    double y = 0;
    ASSERT_EQ(std::sscanf(svg.c_str() + begin, "<text x=\"%lf\" y=\"%lf\"", &x, &y), 2);
    for (const auto& [other_x, other_y] : places) EXPECT_TRUE(y != other_y || std::abs(x - other_x) > 40) << x << " " << y;
    places.emplace_back(x, y);
  }
  EXPECT_EQ(places.size(), Example()["events"].size());
}

TEST(TimelinePicture, DrawsADocumentInWhichNothingHappened) {
  EXPECT_THAT(TimelinePicture(Empty()), HasSubstr("</svg>"));
  EXPECT_EQ(PhasePicture(UnknownRun()), "");
}

TEST(TimelinePicture, ManyEventsLoseTheirTextsNotTheirMarkers) {
  Json document = Empty();
  for (int n = 0; n < 40; ++n)
    document["events"].push_back({{"at_ns", 1795498724123000000 + n}, {"region", ""}, {"kind", "event"}, {"text", ""}});
  const std::string svg = TimelinePicture(document);
  std::size_t markers = 0;
  for (std::size_t at = svg.find("class=\"marker\""); at != std::string::npos; at = svg.find("class=\"marker\"", at + 1)) ++markers;
  EXPECT_EQ(markers, 40u);
}

TEST(ReportText, CountsAreGroupedAndLossesSayHowTheyAreKnown) {
  EXPECT_EQ(CountText(Json(1234567)), "1 234 567");
  EXPECT_EQ(CountText(Json(999)), "999");
  EXPECT_EQ(CountText(Json()), "unknown");
  EXPECT_EQ(SecondsText(Json(0.3424)), "0.342 s");
  EXPECT_EQ(SecondsText(Json(65.0)), "1 min 5 s");
  EXPECT_EQ(SecondsText(Json()), "unknown");
  EXPECT_EQ(LossText({{"state", "bounded"}, {"rows", nullptr}, {"seconds", 2}, {"bytes", 1024}}), "at most 2 s, 1.0 KiB (bounded)");
  EXPECT_EQ(LossText({{"state", "bounded"}, {"rows", nullptr}, {"seconds", 4.5}, {"bytes", nullptr}, {"beats", 3}}),
            "at most 4.500 s (bounded; 3 heartbeats missing)");
  EXPECT_EQ(LossText({{"state", "counted"}, {"rows", nullptr}, {"seconds", nullptr}, {"bytes", nullptr}}),
            "unknown (counted, without a figure)");
  EXPECT_EQ(LossText(Json()), "unknown");
}

TEST(ReportLedger, TakesADivergenceAsTheModelWritesIt) {
  Json entry = ToJson(Divergence{});
  entry["region"] = "us-east-1";
  Json document = Empty();
  document["ledger"].push_back(entry);
  EXPECT_TRUE(ValidateReport(document).ok()) << ValidateReport(document).error().message;
}

TEST(ReportLedger, AnEmptyOneSaysThatNothingDivergedOnlyWhereNothingWasLost) {
  const auto told = [](const Json& loss) { return EmptyLedgerText({{"runs", {{{"kind", "failover"}, {"loss", loss}}}}}); };
  EXPECT_EQ(EmptyLedgerText({{"runs", Json::array()}}), "No divergent write-ahead log was found.");
  EXPECT_EQ(told({{"state", "proven zero"}}), "No divergent write-ahead log was found.");
  for (const Json& loss : {Json{{"state", "bounded"}}, Json{{"state", "unknown"}}, Json()})
    EXPECT_EQ(told(loss), "No old primary's log was saved here; what was lost, or may have been, stands with the runs.");
}

TEST_F(Folder, WriteReportWritesBothFilesWhole) {
  ASSERT_TRUE(WriteReport(Example(), path_ / "report.html", path_ / "report.json").ok());
  EXPECT_EQ(Json::parse(ReadFile(path_ / "report.json")), Example());
  EXPECT_EQ(ReadFile(path_ / "report.html"), RenderHtml(Example()));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(path_), {}), 2);
}

TEST_F(Folder, WriteReportWritesNothingOfABadDocument) {
  Json document = Example();
  document.erase("events");
  EXPECT_EQ(WriteReport(document, path_ / "report.html", path_ / "report.json").error().message, "report: 'events' is missing");
  EXPECT_TRUE(std::filesystem::is_empty(path_));
  const auto written = WriteReport(Example(), path_ / "no" / "report.html", {});
  EXPECT_EQ(written.error().message, "cannot write '" + (path_ / "no" / "report.html").string() + "': No such file or directory");
}

}  // namespace
}  // namespace lifeboat
