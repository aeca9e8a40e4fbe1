#pragma once

// What pg_dump writes: the table of contents of its custom and directory formats (archive versions 1.12 to 1.16: PostgreSQL 9.0 to
// 18), and the first and last words of a plain script.
// Thread rule: pure. Memory: about 200 bytes an entry.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "backup/wal_name.h"
#include "base/result.h"

namespace lifeboat::backup {

enum class DumpKind {
  kNone,       ///< no dump: an error text, something else
  kCustom,     ///< pg_dump -Fc
  kDirectory,  ///< toc.dat of pg_dump -Fd
  kTar,        ///< pg_dump -Ft
  kScript,     ///< pg_dump -Fp
  kGlobals,    ///< pg_dumpall: roles and tablespaces, with or without databases
};
[[nodiscard]] const char* ToString(DumpKind kind);  ///< "pg_dump custom", …
/// By the first 512 bytes, decompressed.
[[nodiscard]] DumpKind RecogniseDump(std::string_view first);

/// One thing in a dump.
struct DumpEntry {
  std::int64_t id = 0;
  std::string what;  ///< "TABLE DATA public.orders"
  bool holds_data = false;
  bool placed = false;  ///< custom: `offset` is known (written to a file, not to a pipe)
  std::uint64_t offset = 0;
  std::string file;  ///< directory, tar: without a compression's ending
};

struct DumpContents {
  int format_minor = 0;  ///< of archive version 1.x
  int integer_bytes = 4;
  bool custom = false;
  Compression compression = Compression::kNone;  ///< of data; kGzip is zlib's own format in a custom dump
  std::int64_t began =
      0;  ///< by the clock on the wall of the host that dumped, whose zone it does not say, read as UTC; 0: not stated
  std::string database;
  std::string server_version;  ///< "15.20 (Debian …)"
  std::vector<DumpEntry> entries;
  std::uint64_t bytes = 0;  ///< of header and table: where a custom dump's data begin
  // What a cluster must have for it to be loaded.
  std::string encoding;  ///< of the database; "": not stated
  std::string collate;   ///< its locale; "": not stated
  std::string ctype;
  std::vector<std::string> extensions;  ///< by name
  std::vector<std::string> owners;      ///< roles that own something, sorted, each once
  std::vector<std::string> privileged;  ///< entries beside extensions that only a superuser can make: "EVENT TRIGGER audit"
};

/// The earliest and the latest moment, in seconds since 1970, that DumpContents::began can be: zones lie between UTC-12 and UTC+14.
struct Moments {
  std::int64_t earliest = 0;
  std::int64_t latest = 0;
};
[[nodiscard]] Moments MomentsOf(std::int64_t began);

/// @param cut  set where `text` ends within the table: more of it is needed, or it is damaged
/// @error kFail: `cut`; or it is no such table, or that of a later format
/// @source PostgreSQL, pg_backup_archiver.c: ReadHead, ReadToc; pg_backup_custom.c, pg_backup_directory.c: _ReadExtraToc
[[nodiscard]] Result<DumpContents> ParseDumpContents(std::string_view text, bool& cut);

/// DumpContents::began alone, of the first 512 bytes of such a table; 0: none is there.
[[nodiscard]] std::int64_t BeginOfDump(std::string_view first);

/// What the first words of a script say of the cluster that it is to be loaded into.
struct ScriptHead {
  std::string server_version;  ///< "15.20 (Debian …)"; "": not stated
  std::string encoding;        ///< of the text; "": not stated
  bool databases = false;      ///< of pg_dumpall: it holds databases, not roles and tablespaces alone
};
[[nodiscard]] ScriptHead ParseScriptHead(std::string_view first);

/// "15" of "15.20 (Debian …)", "9.6" of "9.6.24"; "": none.
[[nodiscard]] std::string MajorVersionOf(std::string_view version);

/// True where `last` (the last 1024 bytes) says that the script of this kind was written to its end.
[[nodiscard]] bool IsEndOfScript(std::string_view last);

}  // namespace lifeboat::backup
