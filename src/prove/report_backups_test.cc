#include "prove/report_backups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "prove/report.h"

namespace lifeboat {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

/// A window of 100 segments of 16 MiB from the third on, with a gap of two and a damaged one.
Json Windows() {
  constexpr std::uint64_t kSegment = 16U << 20;
  return {{{"backup", "sunday"},
           {"restores", true},
           {"timeline", 1},
           {"from", "0/3000148"},
           {"to", "0/20000000"},
           {"newest_wal", "0/67000000"},
           {"from_bytes", 3 * kSegment + 328},
           {"to_bytes", 32 * kSegment},
           {"newest_wal_bytes", 103 * kSegment},
           {"holes",
            {{{"first", "000000010000000000000020"},
              {"segments", 2},
              {"missing", true},
              {"first_bytes", 32 * kSegment},
              {"bytes", 2 * kSegment}},
             {{"first", "000000010000000000000050"},
              {"segments", 1},
              {"missing", false},
              {"first_bytes", 80 * kSegment},
              {"bytes", kSegment}}}}},
          {{"backup", "lost"}, {"restores", false}, {"timeline", 1}, {"holes", Json::array()}}};
}

Json Document() {
  Json document = Json::parse(
      R"({"format":"lifeboat-report/1","service":"orders","generated_ns":1795498724123000000,"machine":"","settings":{},
    "objectives":{"rto_s":5,"rpo_s":5},"verdict":"unknown","sentences":[],"events":[],"runs":[],"clients":[],"regions":[],"ledger":[],
    "evidence":{"records":0,"head":null,"verified":null}})");
  document["backups"] = {
      {{"source", "nightly"},
       {"region", "us-west-2"},
       {"gate", true},
       {"as_of", 1795498000},
       {"problem", ""},
       {"levels",
        {{{"level", 2}, {"name", "bytes"}, {"verdict", "fail"}}, {{"level", 4}, {"name", "restores"}, {"verdict", "not checked"}}}},
       {"objectives",
        {{{"name", "verified_age"}, {"objective_s", 259200}, {"measured_s", 90000}, {"verdict", "pass"}, {"reason", ""}},
         {{"name", "rto"},
          {"objective_s", 3600},
          {"measured_s", nullptr},
          {"verdict", "unknown"},
          {"reason", "not restored yet"}}}},
       {"sets",
        {{{"label", "sunday"},
          {"kind", "pgbackrest full"},
          {"levels", {{{"name", "exists"}, {"verdict", "pass"}, {"reason", ""}}}}}}},
       {"findings",
        {{{"fault", "F13"},
          {"severity", "fault"},
          {"set", ""},
          {"object", "<b>15-1</b>"},
          {"position", ""},
          {"what", "a gap"},
          {"means", "recovery stops"},
          {"todo", "find it"}}}},
       {"windows", Windows()},
       {"restore", nullptr},
       {"read", {{"read_bytes", 1048576}, {"standing_bytes", 3145728}, {"oldest_reading", 1795000000}}}}};
  return document;
}

TEST(BackupReport, ADocumentWithoutBackupsSaysNothingOfThem) {
  Json document = Document();
  document.erase("backups");
  ASSERT_TRUE(ValidateReport(document).ok());
  EXPECT_TRUE(BackupSections(document).empty());
  EXPECT_THAT(RenderTerminal(document), Not(HasSubstr("Backups")));
}

TEST(BackupReport, ThePageHoldsVerdictsPromisesFindingsAndThePicture) {
  ASSERT_TRUE(ValidateReport(Document()).ok()) << ValidateReport(Document()).error().Text();
  const std::string html = RenderHtml(Document());
  EXPECT_THAT(html, HasSubstr("Backups: nightly"));
  EXPECT_THAT(html, HasSubstr("2 bytes <span class=\"pill missed\">✗ fail</span>"));
  EXPECT_THAT(html, HasSubstr("4 restores <span class=\"pill unknown\">? not checked</span>")) << "never a pass";
  EXPECT_THAT(html, HasSubstr("1 d 1 h"));
  EXPECT_THAT(html, HasSubstr("F13"));
  EXPECT_THAT(html, HasSubstr("&lt;b&gt;15-1&lt;/b&gt;"));
  EXPECT_THAT(html, Not(HasSubstr("<b>15-1</b>")));
  EXPECT_THAT(html, HasSubstr("3.0 MiB unchanged since an earlier run found it good"));
  EXPECT_THAT(html, HasSubstr("class=\"w-hole\""));
}

TEST(BackupReport, ThePictureShowsHolesAndWhatLiesBehindThem) {
  const std::string svg = WindowsPicture(Windows());
  EXPECT_THAT(svg, HasSubstr("every moment from 0/3000148 to 0/20000000, timeline 1"));
  EXPECT_THAT(svg, HasSubstr("2 segments missing from 000000010000000000000020"));
  EXPECT_THAT(svg, HasSubstr("1 segments damaged from 000000010000000000000050"));
  EXPECT_THAT(svg, HasSubstr("cannot be reached from this backup, up to 0/67000000"));
  EXPECT_THAT(svg, HasSubstr("does not restore"));
  EXPECT_TRUE(WindowsPicture(Json::array()).empty());
}

TEST(BackupReport, TheTerminalDrawsTheSameWindows) {
  const auto blocks = BackupLines(Document());
  ASSERT_EQ(blocks.size(), 1u);
  EXPECT_THAT(blocks[0], Contains(HasSubstr("[=============..---------")));
  EXPECT_THAT(blocks[0], Contains(HasSubstr("x")));
  EXPECT_THAT(blocks[0], Contains("bytes fail, restores not checked"));
  EXPECT_THAT(blocks[0], Contains("  RTO: restore to the first verified query: unknown of at most 1 h 0 min: unknown"));
  std::string text = RenderTerminal(Document());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    const std::string line = text.substr(at, end - at);
    EXPECT_LE(std::count_if(line.begin(), line.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }), 100)
        << line;
    at = end + 1;
  }
}

TEST(BackupReport, WhatIsNoSourceIsRefused) {
  Json document = Document();
  document["backups"][0].erase("region");
  const auto valid = ValidateReport(document);
  ASSERT_FALSE(valid.ok());
  EXPECT_THAT(valid.error().Text(), HasSubstr("'backups[0].region' is missing"));
}

}  // namespace
}  // namespace lifeboat
