#include "backup/pg_dump.h"

#include <algorithm>
#include <ctime>
#include <optional>

namespace lifeboat::backup {

namespace {

constexpr std::string_view kMagic = "PGDMP";
constexpr int kOldestMinor = 12;
constexpr int kNewestMinor = 16;
constexpr std::int64_t kMostEntries = 50'000'000;

/// Integers and texts as the archiver writes them: a sign and `integer_bytes` bytes; a length and that many bytes.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  [[nodiscard]] bool cut() const { return cut_; }
  [[nodiscard]] std::size_t at() const { return at_; }
  void SetIntegerBytes(int bytes) { integer_bytes_ = bytes; }

  std::uint8_t Byte() {
    if (at_ >= text_.size()) {
      cut_ = true;
      return 0;
    }
    return static_cast<std::uint8_t>(text_[at_++]);
  }
  std::uint64_t Unsigned(int bytes) {
    std::uint64_t number = 0;
    for (int byte = 0; byte < bytes; ++byte) {
      const std::uint64_t digit = Byte();
      if (byte < 8) number |= digit << (8 * byte);
    }
    return number;
  }
  std::int64_t Integer() {
    const bool negative = Byte() != 0;
    const auto number = static_cast<std::int64_t>(Unsigned(integer_bytes_) & 0x7FFFFFFFFFFFFFFFULL);
    return negative ? -number : number;
  }
  /// Nothing: the text is absent, which ends lists.
  std::optional<std::string_view> Text() {
    const std::int64_t length = Integer();
    if (length < 0 || cut_) return std::nullopt;
    if (static_cast<std::uint64_t>(length) > text_.size() - at_) {
      cut_ = true;
      return std::nullopt;
    }
    const std::string_view read = text_.substr(at_, static_cast<std::size_t>(length));
    at_ += static_cast<std::size_t>(length);
    return read;
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
  int integer_bytes_ = 4;
  bool cut_ = false;
};

struct Head {
  int offset_bytes = 8;
};

Result<Head> ReadHead(Reader& reader, DumpContents& contents) {
  for (const char letter : kMagic) {
    if (reader.Byte() != static_cast<std::uint8_t>(letter) && !reader.cut()) return Fail("it does not begin as a dump");
  }
  const int major = reader.Byte();
  contents.format_minor = reader.Byte();
  (void)reader.Byte();  // a revision that changes nothing
  contents.integer_bytes = reader.Byte();
  Head head;
  head.offset_bytes = reader.Byte();
  const int format = reader.Byte();
  if (reader.cut()) return Fail("its header is cut off");
  if (major != 1 || contents.format_minor < kOldestMinor || contents.format_minor > kNewestMinor) {
    return Fail("its format " + std::to_string(major) + "." + std::to_string(contents.format_minor) + " is not known here");
  }
  const auto fits = [](int bytes) { return bytes >= 1 && bytes <= 32; };
  if (!fits(contents.integer_bytes) || !fits(head.offset_bytes)) return Fail("its header is damaged");
  reader.SetIntegerBytes(contents.integer_bytes);
  constexpr int kFormatCustom = 1;
  constexpr int kFormatTar = 3;  // the directory format writes this too
  if (format != kFormatCustom && format != kFormatTar) return Fail("its header is damaged");
  contents.custom = format == kFormatCustom;
  if (contents.format_minor >= 15) {
    constexpr Compression kAlgorithms[] = {Compression::kNone, Compression::kGzip, Compression::kLz4, Compression::kZstd};
    const int algorithm = reader.Byte();
    if (algorithm >= 4) return Fail("its compression is not known here");
    contents.compression = kAlgorithms[algorithm];
  } else {
    contents.compression = reader.Integer() == 0 ? Compression::kNone : Compression::kGzip;
  }
  std::tm local{};  // of the host that dumped; its zone is not said
  for (int* part : {&local.tm_sec, &local.tm_min, &local.tm_hour, &local.tm_mday, &local.tm_mon, &local.tm_year, &local.tm_isdst}) {
    *part = static_cast<int>(reader.Integer());
  }
  local.tm_isdst = 0;
  const bool sane = local.tm_year >= 100 && local.tm_year < 300 && local.tm_mon >= 0 && local.tm_mon < 12 && local.tm_mday >= 1 &&
                    local.tm_mday <= 31;
  if (sane) contents.began = timegm(&local);
  contents.database = reader.Text().value_or("");
  contents.server_version = reader.Text().value_or("");
  (void)reader.Text();  // pg_dump's own version
  return head;
}

/// The text in quotes behind `label`; "": it is not there.
std::string QuotedAfter(std::string_view text, std::string_view label) {
  const std::size_t at = text.find(label);
  if (at == std::string_view::npos) return {};
  const std::size_t begin = at + label.size();
  const std::size_t end = text.find('\'', begin);
  return end == std::string_view::npos ? std::string() : std::string(text.substr(begin, end - begin));
}

/// What PostgreSQL lets a superuser alone make. @source PostgreSQL manual, the pages of each CREATE
bool NeedsSuperuser(std::string_view kind, std::string_view made_by) {
  for (const char* each :
       {"EVENT TRIGGER", "SUBSCRIPTION", "PUBLICATION", "FOREIGN DATA WRAPPER", "PROCEDURAL LANGUAGE", "ACCESS METHOD",
        "OPERATOR CLASS", "OPERATOR FAMILY", "CAST", "TRANSFORM", "TEXT SEARCH PARSER", "TEXT SEARCH TEMPLATE", "SHELL TYPE"}) {
    if (kind == each) return true;
  }
  if (kind != "FUNCTION" && kind != "PROCEDURE") return false;
  return made_by.find("LANGUAGE c\n") != std::string_view::npos || made_by.find("LANGUAGE c ") != std::string_view::npos ||
         made_by.find("LANGUAGE internal") != std::string_view::npos;
}

/// What loading this entry asks of the cluster.
void NoteNeeds(std::string_view kind, std::string_view tag, std::string_view made_by, std::string_view owner,
               DumpContents& contents) {
  if (kind == "ENCODING") contents.encoding = QuotedAfter(made_by, "client_encoding = '");
  if (kind == "DATABASE") {
    const std::string both = QuotedAfter(made_by, " LOCALE = '");
    contents.collate = both.empty() ? QuotedAfter(made_by, "LC_COLLATE = '") : both;
    contents.ctype = both.empty() ? QuotedAfter(made_by, "LC_CTYPE = '") : both;
  }
  if (kind == "EXTENSION") contents.extensions.emplace_back(tag);
  if (NeedsSuperuser(kind, made_by)) contents.privileged.push_back(std::string(kind) + " " + std::string(tag));
  if (!owner.empty()) contents.owners.emplace_back(owner);
}

DumpEntry ReadEntry(Reader& reader, DumpContents& contents, const Head& head) {
  DumpEntry entry;
  entry.id = reader.Integer();
  (void)reader.Integer();  // whether something dumps its data
  (void)reader.Text();     // the catalog's oid
  (void)reader.Text();     // its own oid
  const std::string tag(reader.Text().value_or(""));
  const std::string kind(reader.Text().value_or(""));
  (void)reader.Integer();  // the section
  const std::string_view made_by = reader.Text().value_or("");
  for (int text = 0; text < 2; ++text) (void)reader.Text();  // how it is dropped, copied
  const std::string schema(reader.Text().value_or(""));
  (void)reader.Text();                                      // the tablespace
  if (contents.format_minor >= 14) (void)reader.Text();     // the access method
  if (contents.format_minor >= 16) (void)reader.Integer();  // the kind of relation
  const std::string_view owner = reader.Text().value_or("");
  (void)reader.Text();  // "false": with oids
  while (reader.Text() && !reader.cut()) {
    // what it depends on
  }
  if (contents.custom) {
    constexpr std::uint8_t kPlaced = 2;
    constexpr std::uint8_t kNoData = 3;
    const std::uint8_t state = reader.Byte();
    entry.offset = reader.Unsigned(head.offset_bytes);
    entry.holds_data = state != kNoData;
    entry.placed = state == kPlaced;
  } else {
    entry.file = reader.Text().value_or("");
    entry.holds_data = !entry.file.empty();
  }
  NoteNeeds(kind, tag, made_by, owner, contents);
  entry.what = kind + " " + (schema.empty() ? "" : schema + ".") + tag;
  return entry;
}

}  // namespace

const char* ToString(DumpKind kind) {
  switch (kind) {
    case DumpKind::kNone: return "no dump";
    case DumpKind::kCustom: return "pg_dump custom";
    case DumpKind::kDirectory: return "pg_dump directory";
    case DumpKind::kTar: return "pg_dump tar";
    case DumpKind::kScript: return "pg_dump plain";
    case DumpKind::kGlobals: return "pg_dumpall";
  }
  return "?";
}

DumpKind RecogniseDump(std::string_view first) {
  constexpr std::size_t kTarMagicAt = 257;
  if (first.starts_with(kMagic)) return first.size() > 10 && first[10] == 1 ? DumpKind::kCustom : DumpKind::kDirectory;
  if (first.starts_with("toc.dat") && first.size() >= 512 && first.substr(kTarMagicAt, 5) == "ustar") return DumpKind::kTar;
  if (first.starts_with("--\n-- PostgreSQL database dump\n")) return DumpKind::kScript;
  if (first.starts_with("--\n-- PostgreSQL database cluster dump\n")) return DumpKind::kGlobals;
  return DumpKind::kNone;
}

Moments MomentsOf(std::int64_t began) {
  constexpr std::int64_t kHour = 3600;
  return {began - 14 * kHour, began + 12 * kHour};
}

Result<DumpContents> ParseDumpContents(std::string_view text, bool& cut) {
  Reader reader(text);
  DumpContents contents;
  const Result<Head> head = ReadHead(reader, contents);
  cut = reader.cut();
  if (!head) return head.error();
  const std::int64_t count = reader.Integer();
  if (!reader.cut() && (count < 0 || count > kMostEntries)) return Fail("its table of contents is damaged");
  for (std::int64_t at = 0; at < count && !reader.cut(); ++at) contents.entries.push_back(ReadEntry(reader, contents, *head));
  contents.bytes = reader.at();
  std::sort(contents.owners.begin(), contents.owners.end());
  contents.owners.erase(std::unique(contents.owners.begin(), contents.owners.end()), contents.owners.end());
  cut = reader.cut();
  if (cut) return Fail("its table of contents is cut off, or damaged");
  return contents;
}

std::int64_t BeginOfDump(std::string_view first) {
  Reader reader(first);
  DumpContents contents;
  const Result<Head> head = ReadHead(reader, contents);
  return head ? contents.began : 0;
}

ScriptHead ParseScriptHead(std::string_view first) {
  ScriptHead head;
  constexpr std::string_view kVersion = "\n-- Dumped from database version ";
  if (const std::size_t at = first.find(kVersion); at != std::string_view::npos) {
    const std::size_t begin = at + kVersion.size();
    head.server_version = first.substr(begin, first.find('\n', begin) - begin);
  }
  head.encoding = QuotedAfter(first, "\nSET client_encoding = '");
  head.databases = first.find("\n-- Databases\n") != std::string_view::npos;
  return head;
}

std::string MajorVersionOf(std::string_view version) {
  const std::size_t end = std::min(version.find_first_not_of("0123456789"), version.size());
  if (end == 0) return {};
  const bool two_parts = end == 1 && version.substr(end).starts_with(".");  // before 10
  const std::size_t until = two_parts ? version.find_first_not_of("0123456789", end + 1) : end;
  return std::string(version.substr(0, until));
}

bool IsEndOfScript(std::string_view last) {
  const std::size_t database = last.rfind("\n-- PostgreSQL database dump complete\n--\n");
  const std::size_t cluster = last.rfind("\n-- PostgreSQL database cluster dump complete\n--\n");
  // A script with several databases has an end for each: only the last words count, and few may follow (\unrestrict, empty lines).
  constexpr std::size_t kMostAfter = 256;
  const std::size_t at = database == std::string_view::npos  ? cluster
                         : cluster == std::string_view::npos ? database
                                                             : std::max(database, cluster);
  return at != std::string_view::npos && last.size() - at < kMostAfter;
}

}  // namespace lifeboat::backup
