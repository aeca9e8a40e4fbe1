#pragma once

// Where backups lie, as the verifier sees it: sets with their content, archives of WAL, streams of bytes. One Source a
// repository, whatever made it; the judges behind it do not know which.
// Thread rule: Look and OpenSet from one thread; SetReader::Read and OpenWal from any number at once. All of it blocks.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapters/backups/byte_stream.h"
#include "backup/finding.h"
#include "backup/manifest.h"
#include "backup/structure.h"
#include "backup/windows.h"
#include "base/result.h"
#include "base/types.h"

namespace lifeboat::backup {

/// A WAL segment as it is stored.
struct WalFile {
  WalPlace place;
  std::string name;            ///< within its archive
  std::filesystem::path file;  ///< the file, or the tar file that it lies in
  std::string tar_entry;       ///< "": it is a file of its own
  std::string sha1;            ///< of its content, where its name says it
  Compression compression = Compression::kNone;
  std::uint64_t stored_size = 0;
};

/// WAL of one cluster in one place.
struct Archive {
  std::string name;          ///< "15-1", "pg_wal of monday"
  std::vector<WalFile> wal;  ///< by place, then name
  std::map<Timeline, History> histories;
  std::uint64_t segment_bytes = 0;         ///< 0: no segment could be looked into
  std::optional<std::uint64_t> system_id;  ///< whose WAL it must be, where something says so
  std::optional<std::uint64_t> owner;      ///< whose WAL most of a sample of segments is, by their headers
  bool only_needed = false;  ///< it came with a backup: only what that backup needs must be good, and it may end after it
};

inline constexpr std::size_t kNowhere = static_cast<std::size_t>(-1);

struct SetInfo {
  std::string label;
  std::string kind;  ///< "pgbackrest full", "pg_basebackup", "pg_basebackup tar"
  std::string prior;
  std::int64_t started = 0;  ///< seconds since 1970; 0: not known
  std::int64_t stopped = 0;
  std::int64_t shows = 0;  ///< of a dump: the moment that its data is of at the earliest; 0: not known
  std::uint64_t size = 0;
  std::uint64_t stored_size = 0;
  std::string version;  ///< "15"
  std::optional<std::uint64_t> system_id;
  BackupSpan span;
  std::size_t archive = kNowhere;  ///< index of the archive that its WAL is in
  std::size_t own = kNowhere;      ///< index of the archive that came with it
  bool present = true;             ///< false: listed, and gone
  bool offline = false;            ///< taken of a server that was shut down: it has no label, and needs no WAL
  bool logical = false;            ///< a dump: SQL or rows, no pages; it needs no WAL
  std::filesystem::path folder;    ///< that holds it; of a dump: its file or folder; "": it lies in none
};

/// What one look finds.
struct Inventory {
  std::vector<SetInfo> sets;  ///< oldest first
  std::vector<Archive> archives;
  std::vector<Finding> findings;
};

/// Takes the files of a set, one after the other, as they are read.
class FileSink {
 public:
  virtual ~FileSink() = default;
  virtual void Begin(const std::string& path) = 0;
  /// Whole pages of 32 KiB, except at the end of a file. False: stop reading, the run is cancelled.
  virtual bool Data(std::span<const char> bytes) = 0;
  /// @param error  null: the file was read to its end
  virtual void End(const ReadError* error) = 0;
};

/// A stored file, or what begins at an offset of it.
struct StoredPlace {
  std::filesystem::path file;
  std::uint64_t offset = 0;
  // Of an object, by the list that the run holds to:
  std::string version;  ///< "": a file of this machine
  std::uint64_t size = 0;
  std::int64_t modified = 0;  ///< seconds since 1970
};

class SetReader {
 public:
  virtual ~SetReader() = default;
  /// Parts that can be read side by side.
  [[nodiscard]] virtual std::size_t Units() const = 0;
  [[nodiscard]] virtual std::uint64_t StoredBytes(std::size_t unit) const = 0;
  virtual void Read(std::size_t unit, FileSink& sink) = 0;
  /// Feeds the bytes as they are stored, neither decrypted nor decompressed, to be held against FileEntry::stored_sha1.
  /// @return false: it cannot, and nothing was fed
  virtual bool ReadStored(std::size_t /*unit*/, FileSink& /*sink*/) { return false; }
  /// The one file that a unit is. "": it holds several.
  [[nodiscard]] virtual std::string PathOf(std::size_t) const { return {}; }
  /// Where a unit lies that is one file or a part of one: it can be known from an earlier run. Nothing: it is read each time.
  [[nodiscard]] virtual std::optional<StoredPlace> PlaceOf(std::size_t) const { return std::nullopt; }
};

struct SetContent {
  Manifest manifest;
  SmallFiles small;
  bool small_when_read = false;     ///< a tar file: small files and listing are known only once it was read
  std::vector<std::string> unread;  ///< files that cannot be looked into, and are not checked
  std::string not_proven;           ///< why its bytes cannot be judged although they were read; "": they can
  std::unique_ptr<SetReader> reader;
};

class Blobs;

/// What pgBackRest itself needs to restore from a repository.
struct PgBackRestPlace {
  std::filesystem::path repository;  ///< of this machine; "": it lies in `store`
  std::string stanza;
  std::shared_ptr<Secret> cipher_pass;  ///< null: not encrypted
  std::shared_ptr<Blobs> store;         ///< null: it lies in a folder
};

class Source {
 public:
  virtual ~Source() = default;
  /// Nothing: the sets are files that are copied.
  [[nodiscard]] virtual std::optional<PgBackRestPlace> pgbackrest() const { return std::nullopt; }
  [[nodiscard]] virtual const std::string& name() const = 0;
  /// False: it holds WAL alone, and is not empty without a backup.
  [[nodiscard]] virtual bool holds_backups() const { return true; }
  /// Lists what is there; what is wrong with the lists goes to the findings. @error kFail: it cannot be looked at at all
  [[nodiscard]] virtual Result<Inventory> Look() = 0;
  /// Manifest, small files, and the comparison of what is listed with what is stored.
  /// @return nothing: the set cannot be opened, and `findings` says why
  [[nodiscard]] virtual std::optional<SetContent> OpenSet(const SetInfo& set, std::vector<Finding>& findings) = 0;
  [[nodiscard]] virtual StreamPtr OpenWal(const WalFile& file) = 0;
  /// What a segment that is a file of its own is known by in later runs; nothing: it is read each time.
  [[nodiscard]] virtual std::optional<StoredPlace> PlaceOfWal(const WalFile& file) const {
    return StoredPlace{file.file, 0, "", 0, 0};
  }
};

struct SourceOptions {
  std::filesystem::path path;
  std::filesystem::path wal;                   ///< an archive folder beside base backups; may be empty
  std::string stanza;                          ///< pgBackRest; "": the only one
  std::shared_ptr<Secret> cipher_pass;         ///< null: not encrypted
  std::shared_ptr<Blobs> store = nullptr;      ///< it lies there, and `path` is not looked at; null: it is a folder
  std::shared_ptr<Blobs> wal_store = nullptr;  ///< likewise of `wal`
};

/// Recognises what lies at the path: a pgBackRest repository, base backups of pg_basebackup, a folder of WAL,
/// dumps of pg_dump.
/// @error kFail: none of them; several stanzas and none named; any: a store that cannot be listed
[[nodiscard]] Result<std::unique_ptr<Source>> OpenSource(const SourceOptions& options);
[[nodiscard]] Result<std::unique_ptr<Source>> OpenPgBackRest(const SourceOptions& options);
[[nodiscard]] Result<std::unique_ptr<Source>> OpenBaseBackups(const SourceOptions& options);
[[nodiscard]] Result<std::unique_ptr<Source>> OpenWalFolder(const SourceOptions& options);
[[nodiscard]] Result<std::unique_ptr<Source>> OpenDumps(const SourceOptions& options);

}  // namespace lifeboat::backup
