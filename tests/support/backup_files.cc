#include "support/backup_files.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "base/types.h"

namespace lifeboat::testing_support {

namespace fs = std::filesystem;

BackupCopy::BackupCopy(const fs::path& of) : folder_(of.parent_path() / ("copy-" + RandomHex(6))) {
  fs::create_directory(folder_);
  for (const auto& entry : fs::recursive_directory_iterator(of)) {
    const fs::path to = folder_ / entry.path().lexically_relative(of);
    if (entry.is_symlink()) {
      fs::copy_symlink(entry.path(), to);
    } else if (entry.is_directory()) {
      fs::create_directory(to);
    } else {
      fs::create_hard_link(entry.path(), to);
    }
  }
}

backup::Verified VerifyAt(const VerifyQuestion& question) {
  auto source = backup::OpenSource(
      {question.path, question.wal, "", question.pass == nullptr ? nullptr : std::make_shared<Secret>(question.pass)});
  EXPECT_TRUE(source.ok()) << (source ? "" : source.error().Text());
  if (!source) return {};
  auto verified = backup::Verify(**source, question.options);
  EXPECT_TRUE(verified.ok()) << (verified ? "" : verified.error().Text());
  return verified ? std::move(*verified) : backup::Verified{};
}

backup::Verified VerifyAt(const fs::path& path, const char* pass, backup::Level level, const fs::path& wal) {
  VerifyQuestion question{path, pass, wal, {}};
  question.options.level = level;
  return VerifyAt(question);
}

std::string Told(const backup::Verified& verified) {
  std::string text;
  for (const auto& each : verified.report.findings) {
    text += each.Number() + " " + each.set + " " + each.object + " " + each.position + ": " + each.what + "\n";
  }
  return text;
}

std::set<std::string> NumbersOf(const backup::Verified& verified) {
  std::set<std::string> numbers;
  for (const auto& each : verified.report.findings) numbers.insert(each.Number());
  return numbers;
}

std::vector<fs::path> FilesOf(const fs::path& folder, const std::function<bool(const std::string&)>& wanted) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && wanted(entry.path().string())) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string Slurp(const fs::path& file) {
  backup::ReadError error;
  const auto stream = backup::OpenFile(file);
  return backup::ReadAll(*stream, 64U << 20, error).value_or("");
}

std::string Unpacked(const fs::path& file) {
  const std::string whole = file.filename().string();
  std::string_view name = whole;
  backup::ReadError error;
  const auto stream = backup::Decompress(backup::OpenFile(file), backup::TakeCompression(name));
  return backup::ReadAll(*stream, 64U << 20, error).value_or("");
}

void ReplaceFile(const fs::path& file, const std::string& content) {
  fs::remove(file);
  std::ofstream(file, std::ios::binary) << content;
}

void CutFile(const fs::path& file, std::size_t size) { ReplaceFile(file, Slurp(file).substr(0, size)); }

void FlipBit(const fs::path& file, double where) {
  std::string content = Slurp(file);
  ASSERT_FALSE(content.empty()) << file;
  content[static_cast<std::size_t>(static_cast<double>(content.size()) * where)] ^= 0x10;
  ReplaceFile(file, content);
}

}  // namespace lifeboat::testing_support
