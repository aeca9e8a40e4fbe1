#include "backup/pgbackrest.h"

#include <charconv>
#include <sstream>

namespace lifeboat::backup::pgbackrest {

namespace {

constexpr std::uint64_t kFormat = 5;  // REPOSITORY_FORMAT, unchanged since 1.0

/// The hash that stands in backrest-checksum: of the lines as one compact JSON object.
class InfoDigest {
 public:
  InfoDigest() { Text("{"); }
  void Value(std::string_view section, std::string_view key, std::string_view value) {
    if (section != section_) {
      if (!section_.empty()) Text("},");
      Text("\"");
      Text(section);
      Text("\":{");
      section_ = section;
    } else {
      Text(",");
    }
    Text("\"");
    Text(key);
    Text("\":");
    Text(value);
  }
  std::string Hex() {
    Text("}}");
    return digest_.Hex();
  }

 private:
  void Text(std::string_view text) { digest_.Add(text.data(), text.size()); }
  Digest digest_{DigestKind::kSha1};
  std::string section_;
};

/// Where the key ends: a key may hold '=', so the value is the first rest that is JSON.
std::optional<std::size_t> SplitLine(std::string_view line) {
  for (std::size_t at = line.find('='); at != std::string_view::npos; at = line.find('=', at + 1)) {
    if (Json::accept(line.substr(at + 1))) return at;
  }
  return std::nullopt;
}

Json Parse(std::string_view value) { return Json::parse(value, nullptr, /*allow_exceptions=*/false); }

std::uint64_t Number(std::string_view text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

ListedBackup ListedFrom(std::string_view label, const Json& json) {
  ListedBackup backup;
  backup.label = label;
  backup.type = TextAt(json, "backup-type");
  backup.prior = TextAt(json, "backup-prior");
  if (const Json& references = MemberAt(json, "backup-reference"); references.is_array()) {
    for (const Json& each : references) {
      if (each.is_string()) backup.references.push_back(each.get<std::string>());
    }
  }
  backup.db_id = NumberAt(json, "db-id");
  backup.wal_start = TextAt(json, "backup-archive-start");
  backup.wal_stop = TextAt(json, "backup-archive-stop");
  backup.start = Lsn::Parse(TextAt(json, "backup-lsn-start")).value_or(Lsn{});
  backup.stop = Lsn::Parse(TextAt(json, "backup-lsn-stop")).value_or(Lsn{});
  backup.started = SignedAt(json, "backup-timestamp-start");
  backup.stopped = SignedAt(json, "backup-timestamp-stop");
  backup.size = NumberAt(json, "backup-info-size");
  backup.stored_size = NumberAt(json, "backup-info-repo-size");
  backup.had_errors = FlagAt(json, "backup-error");
  backup.online = FlagAt(json, "option-online", true);
  return backup;
}

/// The parts that backup.info and archive.info share.
void Common(std::string_view section, std::string_view key, const Json& json, std::map<std::uint64_t, ClusterHistory>& history,
            std::uint64_t& current, std::string& cipher_pass) {
  if (section == "db:history") {
    // archive.info calls the system id of a former cluster 'db-id', backup.info 'db-system-id'.
    history[Number(key)] = {NumberAt(json, "db-system-id", NumberAt(json, "db-id")), TextAt(json, "db-version")};
  }
  if (section == "db" && key == "db-id" && json.is_number_unsigned()) current = json.get<std::uint64_t>();
  if (section == "cipher" && key == "cipher-pass" && json.is_string()) cipher_pass = json.get<std::string>();
}

Result<Unit> CheckFormat(std::string_view section, std::string_view key, const Json& json) {
  if (section != "backrest" || key != "backrest-format") return Done();
  if (json.is_number_unsigned() && json.get<std::uint64_t>() == kFormat) return Done();
  return Fail("its repository format is not 5");
}

/// "pg_data/base/1/112" → "base/1/112"; tablespaces stay under pg_tblspc.
std::string DataPath(std::string_view key) {
  static constexpr std::string_view kData = "pg_data/";
  return std::string(key.starts_with(kData) ? key.substr(kData.size()) : key);
}

bool Leaves(std::string_view path) {
  return path.empty() || path[0] == '/' || path == ".." || path.starts_with("../") || path.find("/../") != std::string_view::npos ||
         path.ends_with("/..");
}

Result<Unit> FileFrom(std::string_view key, const Json& json, Manifest& content) {
  if (!json.is_object()) return Fail("the file '" + std::string(key.substr(0, 200)) + "' has no properties");
  FileEntry file;
  file.path = DataPath(key);
  if (Leaves(file.path)) return Fail("the path '" + std::string(key.substr(0, 200)) + "' leaves the backup");
  file.size = NumberAt(json, "size");
  file.digest_hex = TextAt(json, "checksum");
  file.digest = file.digest_hex.empty() ? DigestKind::kNone : DigestKind::kSha1;
  file.holder = TextAt(json, "reference");
  file.stored_size = NumberAt(json, "repo-size", file.size);
  file.stored_sha1 = TextAt(json, "rck");
  file.bundle = static_cast<std::uint32_t>(NumberAt(json, "bni"));
  file.bundle_offset = NumberAt(json, "bno");
  constexpr std::uint64_t kBlockUnit = 8192;
  constexpr std::uint64_t kChecksumLeast = 6;
  file.block_incremental = json.contains("bi");
  file.block_bytes = static_cast<std::uint32_t>(NumberAt(json, "bi") * kBlockUnit);
  file.block_map_bytes = static_cast<std::uint32_t>(NumberAt(json, "bim"));
  file.block_checksum_bytes = static_cast<std::uint32_t>(NumberAt(json, "bic", kChecksumLeast));
  file.page_errors = json.contains("checksum-page") && !FlagAt(json, "checksum-page", true);
  content.files.push_back(std::move(file));
  return Done();
}

}  // namespace

bool ReadInfo(std::string_view text,
              const std::function<Result<Unit>(std::string_view, std::string_view, std::string_view)>& on_value,
              ManifestError& error) {
  InfoDigest digest;
  std::string section;
  std::string stated;
  std::size_t line_number = 0;
  const auto fail = [&](ManifestProblem problem, std::string message) {
    error = {problem, std::move(message)};
    return false;
  };
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++line_number;
    if (line.empty()) continue;
    if (line.front() == '[' && line.back() == ']') {
      section = line.substr(1, line.size() - 2);
      continue;
    }
    const auto equals = SplitLine(line);
    if (!equals || *equals == 0 || section.empty()) {
      return fail(ManifestProblem::kChecksum,
                  "line " + std::to_string(line_number) + " is no 'key=value': it is cut off or not a text of pgBackRest");
    }
    const std::string_view key = line.substr(0, *equals);
    const std::string_view value = line.substr(*equals + 1);
    if (section == "backrest" && key == "backrest-checksum") {
      const Json json = Parse(value);
      stated = json.is_string() ? json.get<std::string>() : "";
      continue;
    }
    digest.Value(section, key, value);
    const Result<Unit> taken = on_value(section, key, value);
    if (!taken) return fail(ManifestProblem::kUnreadable, "line " + std::to_string(line_number) + ": " + taken.error().message);
  }
  if (stated.empty()) return fail(ManifestProblem::kChecksum, "it has no checksum of its own at its end: it was cut off");
  if (digest.Hex() != stated) return fail(ManifestProblem::kChecksum, "its own checksum is not that of its text");
  return true;
}

std::optional<BackupInfo> ParseBackupInfo(std::string_view text, ManifestError& error) {
  BackupInfo info;
  const auto take = [&](std::string_view section, std::string_view key, std::string_view value) -> Result<Unit> {
    const Json json = Parse(value);
    const Result<Unit> format = CheckFormat(section, key, json);
    if (!format) return format.error();
    Common(section, key, json, info.history, info.current_db_id, info.cipher_pass);
    if (section == "backup:current") info.backups.push_back(ListedFrom(key, json));
    return Done();
  };
  if (!ReadInfo(text, take, error)) return std::nullopt;
  return info;
}

std::optional<ArchiveInfo> ParseArchiveInfo(std::string_view text, ManifestError& error) {
  ArchiveInfo info;
  const auto take = [&](std::string_view section, std::string_view key, std::string_view value) -> Result<Unit> {
    const Json json = Parse(value);
    const Result<Unit> format = CheckFormat(section, key, json);
    if (!format) return format.error();
    Common(section, key, json, info.history, info.current_db_id, info.cipher_pass);
    return Done();
  };
  if (!ReadInfo(text, take, error)) return std::nullopt;
  return info;
}

std::optional<RepoManifest> ParseRepoManifest(std::string_view text, ManifestError& error) {
  RepoManifest manifest;
  Json about = Json::object();
  const auto take = [&](std::string_view section, std::string_view key, std::string_view value) -> Result<Unit> {
    const Json json = Parse(value);
    if (section == "target:file") return FileFrom(key, json, manifest.content);
    const Result<Unit> format = CheckFormat(section, key, json);
    if (!format) return format.error();
    if (section == "backup") about[std::string(key)] = json;
    if (section == "backup:db" && key == "db-system-id" && json.is_number_unsigned())
      manifest.content.system_id = json.get<std::uint64_t>();
    if (section == "backup:db" && key == "db-id") about["db-id"] = json;
    if (section == "backup:option" && key == "option-compress-type" && json.is_string())
      manifest.compression = json.get<std::string>();
    if (section == "backup:option" && key == "option-checksum-page" && json.is_boolean())
      manifest.checksum_pages = json.get<bool>();
    if (section == "cipher" && key == "cipher-pass" && json.is_string()) manifest.cipher_pass = json.get<std::string>();
    if (section == "backup:target" && key.starts_with("pg_tblspc/")) {
      manifest.content.tablespaces[std::string(key.substr(10))] = TextAt(json, "path");
    }
    return Done();
  };
  if (!ReadInfo(text, take, error)) return std::nullopt;
  manifest.bare_bundles = FlagAt(about, "backup-bundle-raw");
  std::istringstream references(TextAt(about, "backup-reference"));
  for (std::string label; std::getline(references, label, ',');) {
    if (!Leaves(label)) manifest.references.push_back(std::move(label));
  }
  manifest.backup = ListedFrom(TextAt(about, "backup-label"), about);
  if (manifest.backup.label.empty()) {
    error = {ManifestProblem::kUnreadable, "it names no backup"};
    return std::nullopt;
  }
  manifest.content.version = 1;
  manifest.content.bytes_digest = HexDigest(DigestKind::kSha256, text);
  return manifest;
}

}  // namespace lifeboat::backup::pgbackrest
