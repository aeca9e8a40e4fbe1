#pragma once

// The disk of the embedded store: one SQLite file (docs/formats/store.md). It keeps what durable transactions wrote and
// counts incarnations; it knows nothing of compares, watches or volatile changes, which live in memory (embedded_store.h).
// Thread rule: everything blocks; one thread at a time (the store's own pool thread after Open).

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "ports/store.h"

namespace lifeboat {

/// What a durable transaction changes.
struct DurableChange {
  std::vector<Transaction::Put> puts;
  std::vector<std::string> deletes;
  Version version;                      ///< of every put
  std::optional<Incarnation> reseeded;  ///< a new life, of this number: what stood there before goes
};

/// Where durable changes go. The store's tests stand in for it to make it slow or full.
class StoreDisk {
 public:
  virtual ~StoreDisk() = default;
  /// All or nothing; on the disk when it answers. @error kFail: nothing changed; a later call tries again
  virtual Result<Unit> Write(const DurableChange& change) = 0;
};

/// What stood in the file when it was opened.
struct StoreContents {
  Incarnation incarnation;  ///< of this life: already on the disk
  std::vector<Record> records;
};

class StoreFile : public StoreDisk {
 public:
  struct Opened {
    std::unique_ptr<StoreFile> file;
    StoreContents contents;
  };

  /// A version, whose upper half it is, is a signed 64-bit number in SQLite.
  static constexpr std::uint64_t kLastIncarnation = (std::uint64_t{1} << 31) - 1;

  /// Opens or makes `path`, takes its lock for life and begins a new incarnation.
  /// @error kFail: another process has it open; it is no store, a newer one, or corrupt (then it is left untouched)
  [[nodiscard]] static Result<Opened> Open(const std::string& path);
  ~StoreFile() override;

  Result<Unit> Write(const DurableChange& change) override;

 private:
  struct Handles;
  explicit StoreFile(std::unique_ptr<Handles> handles);
  void Apply(const DurableChange& change);
  bool Rewrite() noexcept;

  std::unique_ptr<Handles> handles_;
  bool must_rewrite_ = false;  ///< a failed commit may have left frames in the log
};

}  // namespace lifeboat
