#pragma once

// A plain table for the terminal: columns as wide as their widest cell. Thread rule: plain value.

#include <string>
#include <vector>

namespace lifeboat {

class Table {
 public:
  explicit Table(std::vector<std::string> head) { rows_.push_back(std::move(head)); }
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  [[nodiscard]] std::string Text(std::size_t indent = 2) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace lifeboat
