#pragma once

// The first half of loading: YAML text → flat values, each with its line, checked against the key list one by one
// (unknown, duplicate, missing, wrong type, ${ENV}). Rules across keys are the second half (load.cc).
// Thread rule: one owner; no I/O.

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/keys.h"
#include "config/text.h"

namespace lifeboat {

/// Collects what is wrong, one entry a problem, and renders them in the order of their lines.
class Problems {
 public:
  explicit Problems(std::string file) : file_(std::move(file)) {}
  /// @param line  1-based; 0: the file as a whole
  void Add(int line, std::string message, std::string hint = {});
  [[nodiscard]] bool empty() const { return entries_.empty(); }
  [[nodiscard]] Error ToError() const;

 private:
  struct Entry {
    int line;
    std::string message;
    std::string hint;
  };
  std::string file_;
  std::vector<Entry> entries_;
};

/// The values of one file. Paths inside lists carry the item's place: "regions[0].database.address".
class Document {
 public:
  /// What is wrong goes to `problems`; the document then holds the rest.
  [[nodiscard]] static Document Read(std::string_view text, const Environment& environment, Problems& problems);

  /// The value as it counts (expanded, or the default), only when it has its type; empty otherwise.
  [[nodiscard]] std::optional<std::string> Valid(const std::string& path) const;
  /// Line of the value, or of the section that should hold it.
  [[nodiscard]] int Line(const std::string& path) const;
  /// True when the key stands in the file (also with a bad value).
  [[nodiscard]] bool Given(const std::string& path) const { return given_.count(path) > 0; }
  /// How many items stand in the list at `path`: "regions", "backups[0].checks".
  [[nodiscard]] std::size_t Count(const std::string& path) const {
    const auto found = counts_.find(path);
    return found == counts_.end() ? 0 : found->second;
  }
  [[nodiscard]] std::size_t RegionCount() const { return Count("regions"); }
  /// "'policy.cool_down'", "'agent' of region 'us-east-1'".
  [[nodiscard]] std::string Label(const std::string& path) const;

 private:
  struct Value {
    std::string text;
    bool valid;
  };
  class Walk;

  std::map<std::string, Value> values_;
  std::map<std::string, int> given_;               // every key that stands in the file → its line
  std::map<std::string, std::size_t> counts_;      // items of a list, by its path
  std::map<std::string, std::string> item_names_;  // "regions[0]" → what its item calls itself

  [[nodiscard]] std::string ItemLabel(const std::string& item) const;
};

}  // namespace lifeboat
