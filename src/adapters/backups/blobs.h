#pragma once

// Backups that lie in a store of objects: what the sources need of it. The listing taken at the start is what the whole run
// holds to, so an object that is exchanged meanwhile is noticed and never passes. Bytes come in ranges: memory stays bounded
// whatever an object's size.
// Thread rule: List from one thread, Read from any number at once; both block.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapters/backups/source.h"

namespace lifeboat::backup {

struct Blob {
  std::string path;  ///< below the place that was opened, "backup/main/backup.info"
  std::uint64_t size = 0;
  std::string version;  ///< changes with the content (ETag); "": the store has none
  std::string cold;     ///< the class of storage out of which it must be brought back before it can be read; "": it can
};

class Blobs {
 public:
  virtual ~Blobs() = default;
  [[nodiscard]] virtual const std::string& name() const = 0;  ///< "s3://bucket/prefix"
  /// All of them. @error any: the list is not whole, and must not be used
  [[nodiscard]] virtual Result<std::vector<Blob>> List() = 0;
  /// @return `length` bytes from `offset` of the very version that was listed
  /// @error kNotFound: it is gone by now; kRefused: it cannot be read as it is (the store's own words); else: the store failed
  [[nodiscard]] virtual Result<std::string> Read(const Blob& blob, std::uint64_t offset, std::uint64_t length) = 0;
};

/// A pgBackRest repository in a store. Levels 0 to 3; it is not restored.
/// @error any: it cannot be listed; as OpenPgBackRest
[[nodiscard]] Result<std::unique_ptr<Source>> OpenPgBackRest(const SourceOptions& options, std::shared_ptr<Blobs> blobs);

/// SAFETY: why what was read of a source proves nothing, because its store failed or changed meanwhile. Nothing: it stands.
/// Asked after a run: a store that does not answer is neither a damaged backup nor a good one.
[[nodiscard]] std::optional<Error> TroubleOf(const Source& source);

}  // namespace lifeboat::backup
