#include "adapters/peers/token.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace lifeboat {

namespace {

constexpr std::size_t kLongestToken = 4096;

/// A descriptor that closes itself.
struct OpenFile {
  explicit OpenFile(const std::string& path) : descriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~OpenFile() {
    if (descriptor >= 0) ::close(descriptor);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  int descriptor;
};

/// Judged on the open file, not on its name: what is checked is what is read.
Result<Unit> CheckKind(int descriptor, const std::string& file) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) return Fail("cannot look at the token file '" + file + "': " + std::strerror(errno));
  if (!S_ISREG(status.st_mode)) return Fail("the token file '" + file + "' is not a regular file");
  if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return Fail("the token file '" + file + "' may be used by its group or by others",
                "chmod 600 '" + file + "', and change the token");
  }
  return Done();
}

Result<Secret> CheckToken(std::string_view text, const std::string& file) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
  const std::string hint = "openssl rand -hex 32 > '" + file + "'; chmod 600 '" + file + "'; the same file for all agents";
  if (text.empty()) return Fail("the token file '" + file + "' is empty", hint);
  if (text.size() < kShortestToken) {
    return Fail("the token in '" + file + "' is shorter than '" + std::to_string(kShortestToken) + "' characters", hint);
  }
  const auto printable = [](char c) { return c > ' ' && c < '\x7f'; };
  if (!std::all_of(text.begin(), text.end(), printable)) {
    return Fail("the token in '" + file + "' holds spaces or characters that are not printable ASCII", hint);
  }
  return Secret(std::string(text));
}

}  // namespace

Result<Secret> ReadToken(const std::string& file) {
  const OpenFile open_file(file);
  if (open_file.descriptor < 0) {
    const std::string what = "cannot open the token file '" + file + "': " + std::strerror(errno);
    return errno == ENOENT ? NotFound(what, "see 'token_file' in the configuration") : Fail(what);
  }
  const Result<Unit> kind = CheckKind(open_file.descriptor, file);
  if (!kind) return kind.error();
  std::array<char, kLongestToken + 1> content{};
  std::size_t size = 0;
  while (size < content.size()) {
    const ssize_t count = ::read(open_file.descriptor, content.data() + size, content.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Fail("cannot read the token file '" + file + "': " + std::strerror(errno));
    if (count == 0) break;
    size += static_cast<std::size_t>(count);
  }
  if (size > kLongestToken)
    return Fail("the token file '" + file + "' is longer than '" + std::to_string(kLongestToken) + "' bytes");
  Result<Secret> token = CheckToken(std::string_view(content.data(), size), file);
  OPENSSL_cleanse(content.data(), content.size());
  return token;
}

}  // namespace lifeboat
