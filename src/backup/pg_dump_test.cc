#include "backup/pg_dump.h"

#include <gtest/gtest.h>

namespace lifeboat::backup {
namespace {

/// Writes as pg_dump's archiver does.
class Archiver {
 public:
  explicit Archiver(int minor) : minor_(minor) {}
  void Byte(int value) { text_ += static_cast<char>(value); }
  void Integer(int value) {
    Byte(value < 0 ? 1 : 0);
    const unsigned magnitude = value < 0 ? static_cast<unsigned>(-value) : static_cast<unsigned>(value);
    for (int byte = 0; byte < 4; ++byte) Byte(static_cast<int>(magnitude >> (8 * byte) & 0xFFU));
  }
  void Text(const char* text) {
    Integer(static_cast<int>(std::string_view(text).size()));
    text_ += text;
  }
  void NoText() { Integer(-1); }

  void Head(int format, int compression, int entries) {
    text_ = "PGDMP";
    for (const int byte : {1, minor_, 0, 4, 8, format}) Byte(byte);
    if (minor_ >= 15) {
      Byte(compression);
    } else {
      Integer(compression == 0 ? 0 : -1);
    }
    for (int part = 0; part < 7; ++part) Integer(part);
    Text("orders");
    Text("17.2");
    Text("17.2");
    Integer(entries);
  }
  void Entry(int id, const char* kind, const char* tag, bool custom, int state, std::uint64_t offset, const char* file) {
    Integer(id);
    Integer(1);
    Text("0");
    Text("0");
    Text(tag);
    Text(kind);
    Integer(3);
    for (int text = 0; text < 3; ++text) NoText();
    Text("public");
    NoText();
    if (minor_ >= 14) Text("heap");
    if (minor_ >= 16) Integer('r');
    Text("postgres");
    Text("false");
    Text("7");
    NoText();
    if (custom) {
      Byte(state);
      for (int byte = 0; byte < 8; ++byte) Byte(static_cast<int>(offset >> (8 * byte) & 0xFFU));
    } else {
      Text(file);
    }
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  int minor_;
  std::string text_;
};

TEST(Dumps, ContentsOfEachReleaseAreRead) {
  for (const int minor : {12, 13, 14, 15, 16}) {
    SCOPED_TRACE(minor);
    Archiver archiver(minor);
    archiver.Head(1, 1, 2);
    archiver.Entry(215, "TABLE DATA", "orders", true, 2, 4711, "");
    archiver.Entry(216, "TABLE", "orders", true, 3, 0, "");
    bool cut = false;
    const auto contents = ParseDumpContents(archiver.text() + "data", cut);
    ASSERT_TRUE(contents) << contents.error().Text();
    EXPECT_TRUE(contents->custom);
    EXPECT_EQ(contents->compression, Compression::kGzip);
    EXPECT_EQ(contents->database, "orders");
    EXPECT_EQ(contents->bytes, archiver.text().size());
    ASSERT_EQ(contents->entries.size(), 2U);
    EXPECT_EQ(contents->entries[0].what, "TABLE DATA public.orders");
    EXPECT_TRUE(contents->entries[0].holds_data && contents->entries[0].placed);
    EXPECT_EQ(contents->entries[0].offset, 4711U);
    EXPECT_FALSE(contents->entries[1].holds_data);
  }
}

TEST(Dumps, ADirectorysContentsNameFilesAndSixteenKnowsNewCompressions) {
  Archiver archiver(15);
  archiver.Head(3, 3, 1);
  archiver.Entry(215, "TABLE DATA", "orders", false, 0, 0, "215.dat");
  bool cut = false;
  const auto contents = ParseDumpContents(archiver.text(), cut);
  ASSERT_TRUE(contents) << contents.error().Text();
  EXPECT_FALSE(contents->custom);
  EXPECT_EQ(contents->compression, Compression::kZstd);
  EXPECT_EQ(contents->entries.at(0).file, "215.dat");
}

TEST(Dumps, WhereverTheyAreCutOffItIsSaidAndNothingIsReadBeyond) {
  Archiver archiver(14);
  archiver.Head(1, 1, 1);
  archiver.Entry(215, "TABLE DATA", "orders", true, 2, 4711, "");
  for (std::size_t size = 0; size < archiver.text().size(); ++size) {
    bool cut = false;
    EXPECT_FALSE(ParseDumpContents(archiver.text().substr(0, size), cut)) << size;
    EXPECT_TRUE(cut) << size;
  }
  std::string bad = archiver.text();
  bad[6] = 17;
  bool cut = false;
  EXPECT_FALSE(ParseDumpContents(bad, cut));
  EXPECT_FALSE(cut) << "a later format is not read further";
}

TEST(Dumps, AScriptIsWholeByItsLastWordsAlone) {
  const std::string end = "\n--\n-- PostgreSQL database dump complete\n--\n\n";
  EXPECT_TRUE(IsEndOfScript("COPY t FROM stdin;\n" + end));
  EXPECT_TRUE(IsEndOfScript("x" + end + "\\unrestrict tCb1vzzfBX08wWrOsPgpOVdtr1Qi2mmRWuZ8cZ24jOdTpgdvrBXcMqmNrGYYZsS\n\n"));
  EXPECT_FALSE(IsEndOfScript("COPY t FROM stdin;\n1\n2\n"));
  EXPECT_FALSE(IsEndOfScript(end + std::string(500, 'x'))) << "the end of one database is not that of the next";
  EXPECT_EQ(RecogniseDump("--\n-- PostgreSQL database dump\n--\n"), DumpKind::kScript);
  EXPECT_EQ(RecogniseDump("--\n-- PostgreSQL database cluster dump\n--\n"), DumpKind::kGlobals);
  EXPECT_EQ(RecogniseDump("pg_dump: error: connection to server"), DumpKind::kNone);
  EXPECT_EQ(RecogniseDump(""), DumpKind::kNone);
}

}  // namespace
}  // namespace lifeboat::backup
