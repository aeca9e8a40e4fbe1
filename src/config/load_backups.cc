#include "config/load_backups.h"

#include <algorithm>
#include <set>
#include <sstream>

#include "config/text.h"

namespace lifeboat {

namespace {

constexpr unsigned kMostThreads = 64;
constexpr std::uint64_t kLeastRate = 1U << 20;

std::string Item(std::size_t source) { return "backups[" + std::to_string(source) + "]"; }

BackupKind KindOf(const std::string& word) {
  if (word == "pgbackrest") return BackupKind::kPgBackRest;
  if (word == "base-backup") return BackupKind::kBaseBackup;
  if (word == "wal") return BackupKind::kWal;
  if (word == "rds") return BackupKind::kRds;
  return word == "dump" ? BackupKind::kDump : BackupKind::kAuto;
}

/// One item of the list.
class SourceBuilder {
 public:
  SourceBuilder(const Document& document, std::size_t source) : document_(document), at_(Item(source)) {}

  BackupSourceSettings Build(const Settings& settings) const {
    BackupSourceSettings s;
    s.name = Text("name");
    s.region = RegionName(Text("region"));
    s.kind = KindOf(Text("kind"));
    s.path = Text("path");
    if (s.kind == BackupKind::kAuto && IsRdsName(s.path)) s.kind = BackupKind::kRds;
    s.wal = Text("wal");
    s.store = {Text("s3_region"), Text("s3_endpoint"), Text("s3_ca_file"), Text("s3_profile")};
    s.replica.path = Text("replica.path");
    s.replica.store = {Text("replica.s3_region"), Text("replica.s3_endpoint"), s.store.ca_file, s.store.profile};
    s.replica.lag = Time("replica.lag");
    s.rds = Rds();
    s.locked = Text("locked") == "true";
    s.stanza = Text("stanza");
    s.cipher_pass_file = Text("cipher_pass_file");
    s.threads = ParseNumber(Text("threads")).value_or(s.threads);
    s.read_rate = Size("read_rate");
    const Share share = ParseShare(Text("rolling_share")).value_or(Share{});
    s.rolling_part = share.part;
    s.rolling_of = share.whole;
    s.gate = Text("gate") == "true";
    const bool of_rds = s.kind == BackupKind::kRds;  // which shows no bytes
    s.schedule = {Time("schedule.every"), of_rds && !Given("schedule.level") ? 1 : Level("schedule.level", 3),
                  Time("schedule.restore_every"), Level("schedule.restore_level", 6), Time("schedule.deadline")};
    s.scratch_folder = Text("scratch.folder");
    s.scratch_limit = Size("scratch.limit");
    s.bin_directory = Text("scratch.bin_directory");
    if (s.bin_directory.empty()) {
      const RegionSettings* region = settings.Find(s.region);
      s.bin_directory = region != nullptr && region->database ? region->database->bin_directory : DatabaseSettings{}.bin_directory;
    }
    s.objectives = {Time("objectives.backup_age"), Time("objectives.verified_age"), Time("objectives.rto"), Time("objectives.rpo")};
    const std::size_t checks = document_.Count(at_ + ".checks");
    for (std::size_t check = 0; check < checks; ++check) {
      const std::string item = "checks[" + std::to_string(check) + "].";
      s.checks.push_back({Text(item + "name"), Text(item + "database"), Text(item + "sql"), Text(item + "expect")});
    }
    return s;
  }

 private:
  [[nodiscard]] BackupRds Rds() const {
    return {List("rds.regions"),         Text("rds.restore_region"),  Text("rds.instance_class"), Text("rds.subnet_group"),
            Text("rds.parameter_group"), List("rds.security_groups"), Text("rds.user"),           Time("rds.patience")};
  }
  [[nodiscard]] bool Given(const std::string& key) const { return document_.Given(at_ + "." + key); }
  [[nodiscard]] std::vector<std::string> List(const std::string& key) const {
    std::vector<std::string> items;
    std::istringstream lines(Text(key));
    for (std::string line; std::getline(lines, line);) items.push_back(line);
    return items;
  }
  [[nodiscard]] std::string Text(const std::string& key) const { return document_.Valid(at_ + "." + key).value_or(""); }
  [[nodiscard]] Duration Time(const std::string& key) const { return ParseDuration(Text(key)).value_or(Duration{0}); }
  [[nodiscard]] ByteCount Size(const std::string& key) const { return ParseByteCount(Text(key)).value_or(ByteCount{}); }
  [[nodiscard]] int Level(const std::string& key, int fallback) const {
    return static_cast<int>(ParseNumber(Text(key)).value_or(static_cast<std::uint32_t>(fallback)));
  }

  const Document& document_;
  std::string at_;
};

/// Rules across the keys of one item, and with the rest of the file.
class SourceRules {
 public:
  SourceRules(const Document& document, const Settings& settings, std::size_t source, Problems& problems)
      : document_(document), settings_(settings), s_(settings.backups[source]), at_(Item(source)), problems_(problems) {}

  void Check() {
    Region();
    Kind();
    Rds();
    Store();
    Numbers();
    Schedule();
    Folders();
    Objectives();
    Checks();
  }

 private:
  [[nodiscard]] bool Good(const std::string& key) const { return document_.Valid(at_ + "." + key).has_value(); }
  [[nodiscard]] bool Given(const std::string& key) const { return document_.Given(at_ + "." + key); }
  void Complain(const std::string& key, const std::string& what, std::string hint = {}) {
    const std::string path = at_ + "." + key;
    problems_.Add(document_.Line(path), document_.Label(path) + " " + what, std::move(hint));
  }

  void Region() {
    if (!Good("region") || settings_.Find(s_.region) != nullptr) return;
    std::vector<std::string> known;
    for (const RegionSettings& region : settings_.regions) {
      if (region.name.empty()) return;  // the name that is meant may be the one that was refused
      known.push_back(region.name.text);
    }
    const auto near = NearestTo(s_.region.text, known);
    std::string hint = near ? "did you mean '" + *near + "'?" : "known:";
    for (const std::string& region : known) hint += near ? "" : " '" + region + "'";
    Complain("region", "names the unknown region '" + s_.region.text + "'", hint);
  }

  void Kind() {
    if (!Good("kind")) return;
    const bool repository = s_.kind == BackupKind::kAuto || s_.kind == BackupKind::kPgBackRest;
    for (const char* key : {"stanza", "cipher_pass_file"}) {
      if (!repository && Given(key)) Complain(key, "is a key of 'kind: pgbackrest'", "remove it, or change 'kind'");
    }
    if (s_.kind != BackupKind::kAuto && s_.kind != BackupKind::kBaseBackup && Given("wal")) {
      Complain("wal", "is a key of 'kind: base-backup'", "remove it, or change 'kind'");
    }
    if (s_.kind == BackupKind::kWal && Given("schedule.restore_every")) {
      Complain("schedule.restore_every", "is given, and 'kind: wal' holds no backup to restore", "remove it");
    }
    if (Given("stanza") && (s_.stanza.empty() || s_.stanza.find('/') != std::string::npos)) {
      Complain("stanza", "is no name of a stanza", "look at 'pgbackrest info'");
    }
  }

  /// Snapshots of RDS have no files: what reads files says nothing of them.
  void Rds() {
    const bool of_rds = IsRdsName(s_.path);
    if (Good("path") && Good("kind") && of_rds != (s_.kind == BackupKind::kRds)) {
      Complain("path", of_rds ? "names snapshots of RDS, and 'kind' something else" : "is no name in RDS, and 'kind' is 'rds'",
               of_rds ? "remove 'kind', or write 'kind: rds'" : "write 'path: rds:NAME'");
      return;
    }
    if (!of_rds) {
      if (Good("path") && Given("rds"))
        Complain("rds", "is given, and 'path' is no name in RDS", "write 'path: rds:NAME', or remove it");
      return;
    }
    if (!Given("rds"))
      Complain("rds", "is missing: in which AWS regions must a snapshot lie?", "write 'rds: {regions: [eu-west-1, eu-central-1]}'");
    for (const char* key : {"threads", "read_rate", "rolling_share", "scratch"}) {
      if (Given(key)) Complain(key, "is given, and RDS shows no files of its snapshots", "remove it");
    }
    if (Given("schedule.level") && s_.schedule.level > 1)
      Complain("schedule.level", "is above 1, and RDS shows neither bytes nor pages", "write 1");
    if (Given("schedule.restore_level") && s_.schedule.restore_level == 5) {
      Complain("schedule.restore_level", "is 5, and amcheck is not run on a restored instance of RDS", "write 4 or 6");
    }
    // SAFETY: only a restore shows that a snapshot is worth something: without one the promise would never be kept.
    if (s_.objectives.verified_age > Duration{0} && s_.schedule.restore_every == Duration{0}) {
      Complain("objectives.verified_age", "is given, and nothing restores a snapshot of RDS by itself",
               "write 'schedule: {restore_every: 7d}'");
    }
    if (s_.objectives.rto > Duration{0} && s_.schedule.restore_level < 6) {
      Complain("objectives.rto", "is given, and no query is answered below level 6",
               "write 'schedule: {restore_level: 6}', or remove it");
    }
    const Duration patience = s_.rds.patience;
    if (Given("rds.patience") && Good("rds.patience") && (patience < 1min || patience > 24h)) {
      Complain("rds.patience", "must lie between 1min and 1d", "RDS restores within minutes, large ones within an hour or two");
    }
    std::set<std::string> seen;
    for (const std::string& region : s_.rds.regions) {
      if (!seen.insert(region).second) Complain("rds.regions", "names '" + region + "' twice", "name each region once");
    }
  }

  void Store() {
    const bool in_s3 = IsS3Folder(s_.path);
    if (Good("path") && !in_s3 && !IsS3Folder(s_.wal)) {
      for (const char* key : {"s3_region", "s3_endpoint", "s3_ca_file", "s3_profile"}) {
        if (Given(key)) Complain(key, "is given, and nothing lies in S3", "write 'path: s3://BUCKET/PREFIX', or remove it");
      }
    }
    if (Good("path") && !in_s3) {
      for (const char* key : {"replica", "locked"}) {
        if (Given(key)) Complain(key, "is given, and 'path' is no folder in S3", "remove it");
      }
    }
    if (Good("replica.path") && s_.replica.path == s_.path && s_.replica.store.endpoint == s_.store.endpoint) {
      Complain("replica.path", "is 'path' itself", "name the bucket of the other region");
    }
    // It could never be kept: what pgBackRest cannot reach it does not restore.
    if (in_s3 && s_.kind == BackupKind::kPgBackRest && Given("schedule.restore_every") && s_.store.endpoint.starts_with("http:")) {
      Complain("s3_endpoint", "is without TLS, and pgBackRest restores by TLS alone", "write 'https://…'");
    }
  }

  void Numbers() {
    if (Good("threads") && (s_.threads < 1 || s_.threads > kMostThreads)) {
      Complain("threads", "must lie between 1 and " + std::to_string(kMostThreads) + ", not '" + std::to_string(s_.threads) + "'",
               "one a processor is enough");
    }
    if (Good("read_rate") && s_.read_rate.bytes < kLeastRate) {
      Complain("read_rate", "must be at least 1MiB", "it is what may be read in a second; without the key there is no limit");
    }
  }

  void Schedule() {
    for (const char* key : {"schedule.every", "schedule.restore_every", "schedule.deadline"}) {
      const Duration value = ParseDuration(document_.Valid(at_ + "." + key).value_or("")).value_or(1min);
      if (Given(key) && Good(key) && value < 1min) Complain(key, "must be at least 1min", "a run that looks at much takes longer");
    }
    if (Given("schedule.restore_every") && !Given("scratch") && s_.kind != BackupKind::kRds) {
      Complain("schedule.restore_every", "is given, and a restore needs a place", "write 'scratch: {folder: /…}'");
    }
  }

  /// SAFETY: what a restore writes, and removes afterwards, lies apart from every database and from the backups themselves.
  void Folders() {
    if (!Good("scratch.folder")) return;
    const auto apart = [&](const std::string& other, const std::string& what) {
      if (other.empty() || (!LiesInside(s_.scratch_folder, other) && !LiesInside(other, s_.scratch_folder))) return;
      Complain("scratch.folder", "('" + s_.scratch_folder + "') and " + what + " ('" + other + "') lie in each other",
               "what a restore wrote is removed afterwards: choose a folder that holds nothing else");
    };
    for (const RegionSettings& region : settings_.regions) {
      if (region.database) apart(region.database->data_directory, "the data directory of region '" + region.name.text + "'");
    }
    for (const BackupSourceSettings& source : settings_.backups) {
      apart(source.path, "the path of backup source '" + source.name + "'");
      apart(source.wal, "the WAL of backup source '" + source.name + "'");
    }
  }

  void Objectives() {
    for (const char* key : {"objectives.backup_age", "objectives.verified_age", "objectives.rto", "objectives.rpo"}) {
      const Duration value = ParseDuration(document_.Valid(at_ + "." + key).value_or("")).value_or(Duration{1});
      if (Given(key) && value <= Duration{0}) Complain(key, "must be more than 0s", "without the key nothing is promised");
    }
    const Duration verified = s_.objectives.verified_age;
    const bool by_restores = s_.kind == BackupKind::kRds;
    if (verified > Duration{0} && verified < (by_restores ? s_.schedule.restore_every : s_.schedule.every)) {
      Complain("objectives.verified_age",
               by_restores ? "is shorter than 'schedule.restore_every'" : "is shorter than 'schedule.every'",
               "it would be missed between any two runs: raise it, or look more often");
    }
    // SAFETY: a gate without a measure would always be open.
    if (s_.gate && !Given("objectives.verified_age")) {
      Complain("gate", "is 'true', and 'objectives.verified_age' is missing", "say how old the newest verified backup may be");
    }
  }

  void Checks() {
    std::set<std::string> names;
    for (std::size_t check = 0; check < s_.checks.size(); ++check) {
      const std::string item = "checks[" + std::to_string(check) + "]";
      if (Good(item + ".name") && !names.insert(s_.checks[check].name).second) {
        Complain(item, "is given twice", "give each check a name of its own");
      }
      if (Good(item + ".sql") && s_.checks[check].sql.find_first_not_of(" \t\r\n;") == std::string::npos) {
        Complain(item + ".sql", "is empty", "write one statement that only reads");
      }
    }
  }

  const Document& document_;
  const Settings& settings_;
  const BackupSourceSettings& s_;
  std::string at_;
  Problems& problems_;
};

}  // namespace

std::vector<BackupSourceSettings> BuildBackups(const Document& document, const Settings& settings) {
  std::vector<BackupSourceSettings> sources;
  for (std::size_t source = 0; source < document.Count("backups"); ++source) {
    sources.push_back(SourceBuilder(document, source).Build(settings));
  }
  return sources;
}

void CheckBackups(const Document& document, const Settings& settings, Problems& problems) {
  std::set<std::string> names;
  for (std::size_t source = 0; source < settings.backups.size(); ++source) {
    const std::string& name = settings.backups[source].name;
    if (!name.empty() && !names.insert(name).second) {
      problems.Add(document.Line(Item(source) + ".name"), "backup source '" + name + "' is given twice",
                   "give each source a name of its own");
    }
    SourceRules(document, settings, source, problems).Check();
  }
}

}  // namespace lifeboat
