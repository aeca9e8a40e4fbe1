#include "cli/table.h"

#include <algorithm>

namespace lifeboat {

namespace {
/// Columns that a UTF-8 text takes: its code points (no wide ones are printed here).
std::size_t Width(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](unsigned char c) { return (c & 0xC0U) != 0x80U; }));
}
}  // namespace

std::string Table::Text(std::size_t indent) const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t column = 0; column < row.size(); ++column) widths[column] = std::max(widths[column], Width(row[column]));
  }
  std::string text;
  for (const auto& row : rows_) {
    std::string line(indent, ' ');
    for (std::size_t column = 0; column < row.size(); ++column) {
      line += row[column];
      if (column + 1 < row.size()) line += std::string(widths[column] - Width(row[column]) + 2, ' ');
    }
    text += line + "\n";
  }
  return text;
}

}  // namespace lifeboat
