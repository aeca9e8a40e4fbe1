#include "adapters/backups/misplaced.h"

#include <algorithm>
#include <cstring>
#include <set>

namespace lifeboat::backup {

namespace {

constexpr std::size_t kMostLookedAt = 16;  // each costs a checksum a block of its relation, and two reads

/// Pages of one file, kept as it is read.
class PageCatcher : public FileSink {
 public:
  PageCatcher(std::set<std::uint32_t> wanted, std::uint32_t first, std::uint32_t page_bytes)
      : wanted_(std::move(wanted)), block_(first), page_bytes_(page_bytes) {}
  void Begin(const std::string&) override {}
  bool Data(std::span<const char> bytes) override {
    for (; bytes.size() >= page_bytes_; bytes = bytes.subspan(page_bytes_), ++block_) {
      if (wanted_.count(block_) > 0) pages_[block_] = std::string(bytes.data(), page_bytes_);
    }
    return pages_.size() < wanted_.size();
  }
  void End(const ReadError*) override {}
  [[nodiscard]] std::map<std::uint32_t, std::string>& pages() { return pages_; }

 private:
  std::set<std::uint32_t> wanted_;
  std::uint32_t block_;
  std::uint32_t page_bytes_;
  std::map<std::uint32_t, std::string> pages_;
};

/// The relation's files in a backup, and their pages.
class Relation {
 public:
  Relation(const SetContent& content, const RelationFile& name, std::uint32_t page_bytes, std::uint32_t segment_blocks)
      : content_(content), page_bytes_(page_bytes), segment_blocks_(segment_blocks) {
    for (const FileEntry& file : content.manifest.files) {
      auto relation = ParseRelationPath(file.path);
      if (!relation) continue;
      const std::uint32_t segment = relation->segment;
      relation->segment = 0;
      if (*relation == name) segments_[segment] = &file;
    }
    for (const auto& [segment, file] : segments_) {
      blocks_ = std::max(blocks_, segment * segment_blocks + static_cast<std::uint32_t>(file->size / page_bytes));
    }
  }
  [[nodiscard]] std::uint32_t blocks() const { return blocks_; }

  std::map<std::uint32_t, std::string> Read(const std::set<std::uint32_t>& wanted) const {
    std::map<std::uint32_t, std::string> pages;
    std::map<std::uint32_t, std::set<std::uint32_t>> by_segment;
    for (const std::uint32_t block : wanted) by_segment[block / segment_blocks_].insert(block);
    for (const auto& [segment, blocks] : by_segment) {
      const auto file = segments_.find(segment);
      if (file == segments_.end()) continue;
      for (std::size_t unit = 0; unit < content_.reader->Units(); ++unit) {
        if (content_.reader->PathOf(unit) != file->second->path) continue;
        PageCatcher catcher(blocks, segment * segment_blocks_, page_bytes_);
        content_.reader->Read(unit, catcher);
        pages.merge(catcher.pages());
      }
    }
    return pages;
  }

 private:
  const SetContent& content_;
  std::uint32_t page_bytes_;
  std::uint32_t segment_blocks_;
  std::map<std::uint32_t, const FileEntry*> segments_;
  std::uint32_t blocks_ = 0;
};

std::uint16_t StoredChecksum(const std::string& page) {
  std::uint16_t sum = 0;
  std::memcpy(&sum, page.data() + 8, sizeof sum);
  return sum;
}

/// Blocks of the relation for which the page's checksum is right.
std::set<std::uint32_t> Fitting(const std::string& page, std::uint32_t own, std::uint32_t blocks) {
  std::set<std::uint32_t> fitting;
  for (std::uint32_t block = 0; block < blocks; ++block) {
    if (block != own && PageChecksum(page.data(), page.size(), block) == StoredChecksum(page)) fitting.insert(block);
  }
  return fitting;
}

/// True where `place` was never written, or most of what is in `page` is in it at the same offsets too.
bool WasMeantFor(const std::string& place, const std::string& page) {
  constexpr std::size_t kPiece = 64;
  static const std::string kZeros(kPiece, '\0');
  if (place.find_first_not_of('\0') == std::string::npos) return true;
  std::size_t filled = 0;
  std::size_t same = 0;
  for (std::size_t at = 0; at + kPiece <= page.size(); at += kPiece) {
    if (page.compare(at, kPiece, kZeros) == 0) continue;
    ++filled;
    if (place.compare(at, kPiece, page, at, kPiece) == 0) ++same;
  }
  return filled > 0 && same * 2 >= filled;
}

}  // namespace

std::map<PageName, std::uint32_t> FindMisplaced(const SetContent& content, const std::vector<SuspectPage>& bad,
                                                std::uint32_t page_bytes, std::uint32_t segment_blocks) {
  std::map<PageName, std::uint32_t> found;
  for (std::size_t at = 0; at < std::min(bad.size(), kMostLookedAt); ++at) {
    auto name = ParseRelationPath(content.manifest.files[bad[at].file].path);
    if (!name || bad[at].cut) continue;
    name->segment = 0;
    const Relation relation(content, *name, page_bytes, segment_blocks);
    const std::uint32_t own = bad[at].block;
    auto pages = relation.Read({own});
    if (pages.count(own) == 0) continue;
    const std::string page = std::move(pages[own]);
    const std::set<std::uint32_t> fitting = Fitting(page, own, relation.blocks());
    for (const auto& [block, place] : relation.Read(fitting)) {
      if (WasMeantFor(place, page)) found[{*name, own}] = block;
    }
  }
  return found;
}

}  // namespace lifeboat::backup
