#include "adapters/backups/known_bad.h"

#include <algorithm>
#include <cstring>

#include "adapters/backups/source_internal.h"
#include "adapters/backups/verify.h"
#include "backup/crc32c.h"
#include "backup/page.h"
#include "backup/wal_walk.h"

namespace lifeboat::backup {

namespace {

constexpr std::uint32_t kSegment = 1U << 20;
constexpr std::uint64_t kSystem = 7711294082689137186ULL;
constexpr const char* kFile = "base/5/16384";

template <typename T>
void Put(std::string& bytes, std::size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

/// A segment with one record and a switch, as PostgreSQL 15 writes them.
std::string MakeSegment(std::uint64_t number) {
  std::string bytes(kSegment, '\0');
  const std::uint64_t start = number * kSegment;
  Put<std::uint16_t>(bytes, 0, 0xD110);
  Put<std::uint16_t>(bytes, 2, 2);
  Put<std::uint32_t>(bytes, 4, 1);
  Put<std::uint64_t>(bytes, 8, start);
  Put<std::uint64_t>(bytes, 24, kSystem);
  Put<std::uint32_t>(bytes, 32, kSegment);
  Put<std::uint32_t>(bytes, 36, kWalPageBytes);
  const auto record = [&](std::size_t at, std::uint32_t length, std::uint64_t before, std::uint8_t info) {
    Put<std::uint32_t>(bytes, at, length);
    Put<std::uint64_t>(bytes, at + 8, before);
    Put<std::uint8_t>(bytes, at + 16, info);
    Crc32c crc;
    crc.Add(bytes.data() + at + 24, length - 24);
    crc.Add(bytes.data() + at, 20);
    Put<std::uint32_t>(bytes, at + 20, crc.Value());
  };
  bytes[64] = static_cast<char>(255);  // main data of six bytes
  bytes[65] = 6;
  record(40, 32, start - kSegment + 72, 0x20);
  record(72, 24, start + 40, 0x40);
  return bytes;
}

std::string MakePages() {
  std::string pages(2 * 8192, '\0');
  for (std::uint32_t block = 0; block < 2; ++block) {
    char* page = pages.data() + block * 8192;
    for (int at = 24; at < 8192; ++at) page[at] = static_cast<char>(at * 31 + block);
    page[14] = 32;  // pd_upper
    const std::uint16_t sum = PageChecksum(page, 8192, block);
    std::memcpy(page + 8, &sum, 2);
  }
  return pages;
}

std::string MakeControl() {
  std::string control(8192, '\0');
  Put<std::uint64_t>(control, 0, kSystem);
  Put<std::uint32_t>(control, 8, 1300);
  Put<std::uint32_t>(control, 12, 202209061);
  Put<std::uint32_t>(control, 216, 8192);
  Put<std::uint32_t>(control, 220, 131072);
  Put<std::uint32_t>(control, 228, kSegment);
  Put<std::uint32_t>(control, 252, 1);
  Put<std::uint32_t>(control, 288, Crc32c::Of(control.data(), 288));
  return control;
}

enum class Fixture { kClean, kDamaged };

class MemoryReader : public SetReader {
 public:
  explicit MemoryReader(std::map<std::string, std::string> files) {
    for (auto& [path, content] : files) files_.emplace_back(path, std::move(content));
  }
  std::size_t Units() const override { return files_.size(); }
  std::uint64_t StoredBytes(std::size_t unit) const override { return files_[unit].second.size(); }
  void Read(std::size_t unit, FileSink& sink) override {
    const StreamPtr stream = OpenText(files_[unit].second);
    Pump(*stream, files_[unit].first, sink);
  }

 private:
  std::vector<std::pair<std::string, std::string>> files_;
};

/// Backups "pages" (segment 3), "bytes" (segment 4) and "wal" (segment 6) over an archive of segments 3 to 9.
class MemorySource : public Source {
 public:
  explicit MemorySource(Fixture fixture) : damaged_(fixture == Fixture::kDamaged) {}
  const std::string& name() const override { return name_; }

  Result<Inventory> Look() override {
    Inventory inventory;
    Archive archive;
    archive.segment_bytes = kSegment;
    archive.system_id = kSystem;
    for (std::uint64_t number = 3; number <= 9; ++number) {
      if (damaged_ && number == 6) continue;
      WalFile file;
      file.place = {1, number};
      file.name = SegmentName(file.place, kSegment);
      file.stored_size = kSegment;
      archive.wal.push_back(std::move(file));
    }
    inventory.archives.push_back(std::move(archive));
    inventory.sets = {SetAt("pages", 3), SetAt("bytes", 4), SetAt("wal", 6)};
    return inventory;
  }

  std::optional<SetContent> OpenSet(const SetInfo& set, std::vector<Finding>&) override {
    SetContent content;
    std::map<std::string, std::string> files;
    std::string pages = MakePages();
    // Damaged before it was copied: the manifest's hash is that of the damage.
    if (damaged_ && set.label == "pages") pages[8192 + 4000] ^= 1;
    content.manifest.files.push_back(
        {.path = kFile, .size = pages.size(), .digest = DigestKind::kCrc32c, .digest_hex = HexDigest(DigestKind::kCrc32c, pages)});
    if (damaged_ && set.label == "bytes") pages[100] ^= 1;
    files[kFile] = pages;
    content.manifest.wal = set.span.wal;
    content.manifest.system_id = kSystem;
    content.small.version = "15\n";
    content.small.control = MakeControl();
    content.small.label = "START WAL LOCATION: " + set.span.wal[0].start.Text() +
                          " (file x)\nCHECKPOINT LOCATION: " + set.span.wal[0].start.Text() + "\n";
    content.reader = std::make_unique<MemoryReader>(std::move(files));
    return content;
  }

  StreamPtr OpenWal(const WalFile& file) override {
    std::string bytes = MakeSegment(file.place.number);
    if (damaged_ && file.place.number == 8) bytes[66] ^= 1;
    if (damaged_ && file.place.number == 9) Put<std::uint64_t>(bytes, 24, kSystem + 1);
    return OpenText(std::move(bytes));
  }

 private:
  static SetInfo SetAt(const char* label, std::uint64_t segment) {
    SetInfo set;
    set.label = label;
    set.version = "15";
    set.archive = 0;
    set.span = {label, {{1, Lsn{segment * kSegment + 40}, Lsn{segment * kSegment + 96}}}, 0};
    return set;
  }

  std::string name_ = "self-test";
  bool damaged_;
};

/// What a run over a fixture tells, as sorted words: "F23 base/5/16384 block 1".
Result<std::vector<std::string>> ToldOf(Fixture fixture) {
  MemorySource source(fixture);
  VerifyOptions options;
  options.threads = 1;
  const Result<Verified> verified = Verify(source, options);
  if (!verified) return verified.error();
  std::vector<std::string> told;
  for (const Finding& each : verified->report.findings) told.push_back(each.Number() + " " + each.object + " " + each.position);
  for (const SetReport& set : verified->report.sets) {
    for (const Level level : {Level::kStructure, Level::kBytes, Level::kPages}) {
      const Verdict verdict = set.levels[static_cast<std::size_t>(level)].verdict;
      if (verdict != Verdict::kPass) told.push_back(set.label + " " + ToString(level) + " " + ToString(verdict));
    }
  }
  std::sort(told.begin(), told.end());
  return told;
}

Result<Unit> Compare(const char* what, const Result<std::vector<std::string>>& told, const std::vector<std::string>& expected) {
  if (!told) return told.error().Within("the self-test of the verifier");
  if (*told == expected) return Done();
  std::string text;
  for (const std::string& each : *told) text += (text.empty() ? "'" : ", '") + each + "'";
  return Fail(std::string("the verifier did not tell what it must of its own ") + what + " fixture (F50): it told " +
                  (text.empty() ? "nothing" : text),
              "no verdict of this program counts: install it anew, and report it");
}

}  // namespace

Result<Unit> ProveThatChecksCanFail() {
  const Result<Unit> clean = Compare("clean", ToldOf(Fixture::kClean), {});
  if (!clean) return clean;
  return Compare("damaged", ToldOf(Fixture::kDamaged),
                 {"F09 base/5/16384 block 0", "F12 000000010000000000000006 0/600000", "F15 000000010000000000000008 0/800028",
                  "F16 000000010000000000000009 0/900000", "F23 base/5/16384 block 1", "bytes bytes fail", "bytes pages unknown",
                  "pages pages fail", "wal structure fail"});
}

}  // namespace lifeboat::backup
