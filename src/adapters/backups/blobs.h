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
  std::string version;        ///< changes with the content (ETag); "": the store has none
  std::string cold;           ///< the class of storage out of which it must be brought back before it can be read; "": it can
  std::int64_t modified = 0;  ///< seconds since 1970: when it was put there; 0: the store does not say
};

/// What another program needs to read the same objects by itself.
struct BlobsDoor {
  std::string bucket;
  std::string prefix;  ///< without a slash at either end; "": the whole bucket
  std::string region;
  std::string host;  ///< of the endpoint, without the bucket
  std::uint16_t port = 443;
  bool tls = true;
  bool bucket_in_host = false;  ///< asked as https://bucket.host/; else https://host/bucket/
  std::string ca_file;          ///< "": the system's certificates
  std::string access_key_id;    ///< "": nobody's
  Secret secret_key;
  Secret session_token;  ///< empty: long-lived keys
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
  /// Bytes that one reading may ask for: each of the readers holds so much.
  [[nodiscard]] virtual std::uint64_t MostAtOnce() const { return 8U << 20; }
  /// With the credentials that hold now. @error kFail: only we can read there; else: there are no credentials now
  [[nodiscard]] virtual Result<BlobsDoor> Door() { return Fail("'" + name() + "' is read by Lifeboat alone"); }
};

/// Where the source's backups lie; null: in a folder.
[[nodiscard]] std::shared_ptr<Blobs> StoreOf(const Source& source);

/// SAFETY: why what was read of a source proves nothing, because its store failed or changed meanwhile. Nothing: it stands.
/// Asked after a run: a store that does not answer is neither a damaged backup nor a good one.
[[nodiscard]] std::optional<Error> TroubleOf(const Source& source);
/// Another program had such trouble with the source's store.
void NoteTrouble(Source& source, const Error& error);

}  // namespace lifeboat::backup
