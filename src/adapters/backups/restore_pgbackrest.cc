#include "adapters/backups/restore_pgbackrest.h"

#include <unistd.h>

#include <algorithm>

#include "adapters/backups/source_internal.h"

namespace lifeboat::backup {

namespace {

namespace fs = std::filesystem;

constexpr std::uint16_t kDns = 53;
constexpr std::size_t kMostWords = 300;

std::string FindProgram(const char* name) {
  for (const char* folder : {"/usr/bin/", "/usr/local/bin/", "/bin/"}) {
    const std::string path = std::string(folder) + name;
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return std::string("/usr/bin/") + name;
}

/// A value of pgBackRest's configuration is what stands on its line.
bool FitsOnALine(const std::string& value) { return value.find_first_of("\r\n") == std::string::npos; }

/// The certificates lie where only we may read, perhaps: a copy for its user.
Result<Unit> CopyCertificates(const Sandbox& sandbox, const std::string& from, const fs::path& to) {
  ReadError error;
  const std::optional<std::string> text = ReadSmall(from, error);
  if (!text) return Fail("cannot read the certificates: " + error.message);
  return sandbox.Write(to, *text);
}

/// Options of a repository in S3. @source pgBackRest 2.45, "repository options"
Result<std::string> StoreOptions(const Sandbox& sandbox, Blobs& store, PgBackRestCall& call) {
  Result<BlobsDoor> door = store.Door();
  if (!door) return door.error();
  if (!door->tls) {
    return Fail("pgBackRest reads S3 by TLS alone, and '" + door->host + "' is asked without",
                "name an endpoint that begins with https://");
  }
  if (door->access_key_id.empty()) return Fail("there are no credentials to restore with: pgBackRest asks S3 by its keys alone");
  std::string options = "repo1-type=s3\nrepo1-path=/" + door->prefix + "\nrepo1-s3-bucket=" + door->bucket +
                        "\nrepo1-s3-region=" + door->region + "\nrepo1-s3-endpoint=" + door->host +
                        "\nrepo1-storage-port=" + std::to_string(door->port) +
                        "\nrepo1-storage-verify-tls=y\nrepo1-s3-uri-style=" + (door->bucket_in_host ? "host" : "path") +
                        "\nrepo1-s3-key-type=shared\njob-retry=1\n";  // each request is tried again besides
  if (!door->ca_file.empty()) {
    const fs::path copy = sandbox.tool() / "store-ca.pem";
    if (const Result<Unit> copied = CopyCertificates(sandbox, door->ca_file, copy); !copied) return copied.error();
    options += "repo1-storage-ca-file=" + copy.string() + "\n";
  }
  call.rights.environment["PGBACKREST_REPO1_S3_KEY"] = door->access_key_id;
  call.rights.environment["PGBACKREST_REPO1_S3_KEY_SECRET"] = door->secret_key.Reveal();
  if (!door->session_token.empty()) call.rights.environment["PGBACKREST_REPO1_S3_TOKEN"] = door->session_token.Reveal();
  call.rights.ports = {door->port, kDns};
  call.network = LandlockBindsPorts() ? "TCP to port " + std::to_string(door->port) + ", name servers"
                                      : "internet sockets: this kernel binds no ports (Linux 6.7 does)";
  return options;
}

/// The last error line without its date.
std::string LastError(const std::string& words) {
  std::string last;
  std::size_t begin = 0;
  while (begin < words.size()) {
    const std::size_t end = std::min(words.find('\n', begin), words.size());
    const std::string line = words.substr(begin, end - begin);
    const std::size_t error = line.find("ERROR:");
    if (error != std::string::npos) last = line.substr(error);
    begin = end + 1;
  }
  return last.empty() ? words.substr(words.size() - std::min(words.size(), kMostWords)) : last;
}

}  // namespace

Result<PgBackRestCall> PreparePgBackRest(const Sandbox& sandbox, const PgBackRestPlace& place, unsigned threads) {
  PgBackRestCall call;
  std::string config = "[global]\n";
  if (place.store) {
    Result<std::string> options = StoreOptions(sandbox, *place.store, call);
    if (!options) return options.error();
    config += *options;
  } else {
    config += "repo1-path=" + place.repository.string() + "\n";
  }
  config += "log-level-file=off\nlog-level-console=warn\nlog-level-stderr=off\n";
  // SAFETY: everything that it writes of its own lies in the sandbox.
  for (const char* kind : {"lock", "log", "spool"})
    config += std::string(kind) + "-path=" + (sandbox.tool() / kind).string() + "\n";
  if (place.cipher_pass) {
    config += "repo1-cipher-type=aes-256-cbc\n";
    // A folder's archive-get, which the server calls later, needs the pass too; S3's WAL is handed out by us.
    if (place.store) {
      call.rights.environment["PGBACKREST_REPO1_CIPHER_PASS"] = place.cipher_pass->Reveal();
    } else {
      config += "repo1-cipher-pass=" + place.cipher_pass->Reveal() + "\n";
    }
  }
  config += "process-max=" + std::to_string(std::max(threads, 1U)) + "\n[" + place.stanza +
            "]\npg1-path=" + sandbox.data().string() + "\n";
  if (!FitsOnALine(place.stanza) || !FitsOnALine(place.repository.string()))
    return Fail("a name in the repository holds a line break");
  const fs::path file = sandbox.tool() / "pgbackrest.conf";
  if (const Result<Unit> written = sandbox.Write(file, config); !written) return written.error();
  call.argv = {FindProgram("pgbackrest"), "--config=" + file.string(), "--stanza=" + place.stanza};
  return call;
}

PgBackRestRefusal JudgeRefusal(const std::string& words, bool in_s3) {
  PgBackRestRefusal refusal{31, LastError(words)};
  const auto has = [&](const std::string& part) { return refusal.message.find(part) != std::string::npos; };
  const auto is_one_of = [&](std::initializer_list<int> codes) {
    return std::any_of(codes.begin(), codes.end(), [&](int code) { return has("ERROR: [0" + std::to_string(code) + "]"); });
  };
  // @source pgBackRest, src/build/error/error.yaml
  if (has("No space left")) {
    refusal.fault = 49;
  } else if (has("invalid checksum") || is_one_of({26})) {
    refusal.fault = 9;
  } else if (has("cipher") || is_one_of({95})) {
    refusal.fault = 20;
  } else if (has("missing file") || is_one_of({55})) {
    refusal.fault = 7;
  } else if (in_s3 && !is_one_of({28, 29, 44, 46, 51, 58, 76})) {  // formats, versions, tablespaces: a file's own words
    refusal.fault = 0;
  }
  return refusal;
}

}  // namespace lifeboat::backup
