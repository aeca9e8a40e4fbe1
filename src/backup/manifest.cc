#include "backup/manifest.h"

#include "base/json.h"

namespace lifeboat::backup {

namespace {

constexpr std::string_view kChecksumKey = "\"Manifest-Checksum\"";

/// Takes the files out of the JSON as it is parsed, so that no tree of a million objects is ever in memory.
class Builder : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(Manifest& manifest) : manifest_(manifest) {}

  bool null() override { return Refuse("a value is null"); }
  bool boolean(bool) override { return Refuse("a value is true or false"); }
  bool number_integer(number_integer_t) override { return Refuse("a number is negative"); }
  bool number_float(number_float_t, const string_t&) override { return Refuse("a number is no whole number"); }
  bool binary(binary_t&) override { return Refuse("binary"); }
  bool number_unsigned(number_unsigned_t value) override {
    if (depth_ == 1 && key_ == "PostgreSQL-Backup-Manifest-Version") {
      manifest_.version = static_cast<int>(value);
      return value == 1 || value == 2 || Refuse("version " + std::to_string(value) + " is unknown here");
    }
    if (depth_ == 1 && key_ == "System-Identifier") manifest_.system_id = value;
    if (InFile() && key_ == "Size") file_.size = value;
    if (InRange() && key_ == "Timeline") range_.timeline = static_cast<Timeline>(value);
    return true;
  }
  bool string(string_t& value) override {
    if (InFile()) return FileText(value);
    if (InRange()) return RangeText(value);
    return true;
  }
  bool start_object(std::size_t) override {
    ++depth_;
    if (InFile()) file_ = FileEntry();
    if (InFile()) has_path_ = false;
    if (InRange()) range_ = WalRange();
    return true;
  }
  bool key(string_t& value) override {
    key_ = value;
    if (depth_ == 1) section_ = value;
    return true;
  }
  bool end_object() override {
    if (InFile()) {
      if (!has_path_) return Refuse("a file has no path");
      if (file_.digest != DigestKind::kNone && file_.digest_hex.empty()) return Refuse("'" + file_.path + "' has no checksum");
      manifest_.files.push_back(std::move(file_));
    }
    if (InRange()) {
      if (range_.timeline == 0 || range_.start > range_.end) return Refuse("a WAL range is none");
      manifest_.wal.push_back(range_);
    }
    --depth_;
    return true;
  }
  bool start_array(std::size_t) override { return ++depth_ <= 2 || Refuse("lists within lists"); }
  bool end_array() override {
    --depth_;
    return true;
  }
  bool parse_error(std::size_t at, const std::string&, const nlohmann::detail::exception& e) override {
    return Refuse("no JSON at byte " + std::to_string(at) + ": " + e.what());
  }

  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  [[nodiscard]] bool InFile() const { return depth_ == 3 && section_ == "Files"; }
  [[nodiscard]] bool InRange() const { return depth_ == 3 && section_ == "WAL-Ranges"; }
  bool Refuse(std::string problem) {
    if (problem_.empty()) problem_ = std::move(problem);
    return false;
  }
  bool FileText(std::string& value) {
    if (key_ == "Path" || key_ == "Encoded-Path") {
      if (key_ == "Encoded-Path") {
        const auto decoded = FromHex(value);
        if (!decoded) return Refuse("an encoded path is no hex");
        value = *decoded;
      }
      // SAFETY: a path that leaves the backup would have us read, and a restore write, elsewhere.
      if (value.empty() || value[0] == '/' || value == ".." || value.starts_with("../") ||
          value.find("/../") != std::string::npos || value.ends_with("/..") || value.find('\0') != std::string::npos) {
        return Refuse("the path '" + value.substr(0, 200) + "' leaves the backup");
      }
      file_.path = std::move(value);
      has_path_ = true;
    } else if (key_ == "Checksum-Algorithm") {
      const auto kind = ParseDigestKind(value);
      if (!kind || *kind == DigestKind::kSha1)
        return Refuse("the checksum algorithm '" + value.substr(0, 40) + "' is unknown here");
      file_.digest = *kind;
    } else if (key_ == "Checksum") {
      if (!FromHex(value)) return Refuse("a checksum is no hex");
      file_.digest_hex = std::move(value);
    } else if (key_ == "Last-Modified" && value.size() == 23 && value.ends_with(" GMT")) {
      manifest_.newest_change = std::max(manifest_.newest_change, value);
    }
    return true;
  }
  bool RangeText(const std::string& value) {
    if (key_ != "Start-LSN" && key_ != "End-LSN") return true;
    const auto at = Lsn::Parse(value);
    if (!at) return Refuse("'" + value.substr(0, 40) + "' is no WAL position");
    (key_ == "Start-LSN" ? range_.start : range_.end) = *at;
    return true;
  }

  Manifest& manifest_;
  int depth_ = 0;
  std::string section_;
  std::string key_;
  FileEntry file_;
  bool has_path_ = false;
  WalRange range_;
  std::string problem_;
};

/// The hex digits that the last line states, and where that line begins.
bool SplitChecksum(std::string_view text, std::size_t& body, std::string& stated) {
  const std::size_t at = text.rfind(kChecksumKey);
  if (at == std::string_view::npos) return false;
  body = text.rfind('\n', at);
  if (body == std::string_view::npos) return false;
  ++body;
  const std::size_t open = text.find('"', at + kChecksumKey.size());
  if (open == std::string_view::npos) return false;
  const std::size_t close = text.find('"', open + 1);
  if (close == std::string_view::npos) return false;
  stated = text.substr(open + 1, close - open - 1);
  return true;
}

}  // namespace

std::optional<Manifest> ParseBackupManifest(std::string_view text, ManifestError& error) {
  std::size_t body = 0;
  std::string stated;
  if (!SplitChecksum(text, body, stated)) {
    error = {ManifestProblem::kChecksum, "it has no checksum of its own at its end: it was cut off"};
    return std::nullopt;
  }
  if (HexDigest(DigestKind::kSha256, text.substr(0, body)) != stated) {
    error = {ManifestProblem::kChecksum, "its own checksum is not that of its text"};
    return std::nullopt;
  }
  Manifest manifest;
  Builder builder(manifest);
  const bool parsed = Json::sax_parse(text.begin(), text.end(), &builder);
  if (!parsed || manifest.version == 0) {
    error = {ManifestProblem::kUnreadable, builder.problem().empty() ? "it states no version" : builder.problem()};
    return std::nullopt;
  }
  manifest.bytes_digest = HexDigest(DigestKind::kSha256, text);
  return manifest;
}

}  // namespace lifeboat::backup
