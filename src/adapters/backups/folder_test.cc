// A store of objects behind the door that repositories are read through.

#include "adapters/backups/folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "base/types.h"

namespace lifeboat::backup {
namespace {

class FakeBlobs final : public Blobs {
 public:
  std::map<std::string, std::string> objects;
  std::vector<std::uint64_t> lengths;  ///< that were asked for
  std::optional<Error> problem;        ///< of every reading
  std::size_t short_by = 0;
  std::string cold;

  const std::string& name() const override { return name_; }
  Result<std::vector<Blob>> List() override {
    std::vector<Blob> blobs;
    for (const auto& [path, text] : objects) blobs.push_back({path, text.size(), "v1", cold});
    return blobs;
  }
  Result<std::string> Read(const Blob& blob, std::uint64_t offset, std::uint64_t length) override {
    lengths.push_back(length);
    if (problem) return *problem;
    return objects.at(blob.path).substr(offset, length - short_by);
  }

 private:
  std::string name_ = "s3://bucket/repo";
};

class BlobFolderTest : public ::testing::Test {
 protected:
  std::shared_ptr<Folder> Open() { return *BlobFolder(blobs_); }
  static std::optional<std::string> Text(const StreamPtr& stream, ReadError& error) { return ReadAll(*stream, 64U << 20, error); }
  std::shared_ptr<FakeBlobs> blobs_ = std::make_shared<FakeBlobs>();
  ReadError error_;
};

TEST_F(BlobFolderTest, FoldersAreWhatNamesBeginWith) {
  blobs_->objects = {{"backup/main/a", "1"}, {"backup/main/b/c", "22"}, {"backup/main-2/x", ""}, {"backup/main0", "3"}};
  const auto folder = Open();
  const std::filesystem::path root = blobs_->name();
  EXPECT_TRUE(folder->remote());
  EXPECT_TRUE(folder->Exists(root / "backup/main"));
  EXPECT_TRUE(folder->Exists(root / "backup/main/a"));
  EXPECT_FALSE(folder->Exists(root / "backup/mai"));
  EXPECT_EQ(folder->FoldersIn(root / "backup", false), (std::vector<std::string>{"main-2", "main"}));
  const auto tree = folder->ListTree(root / "backup/main");
  ASSERT_EQ(tree.size(), 2U);
  EXPECT_EQ(tree[1].path, "b/c");
  EXPECT_EQ(tree[1].size, 2U);
}

TEST_F(BlobFolderTest, BytesComeInBoundedRangesAndWhole) {
  std::string text(20U << 20, 'x');
  text[19U << 20] = 'y';
  blobs_->objects = {{"a", text}};
  const auto folder = Open();
  EXPECT_TRUE(Text(folder->Open("s3://bucket/repo/a"), error_) == text);
  EXPECT_EQ(blobs_->lengths.size(), 4U);
  for (const std::uint64_t each : blobs_->lengths) EXPECT_LE(each, 8U << 20);
  EXPECT_EQ(Text(folder->OpenPart("s3://bucket/repo/a", 19U << 20, 2), error_), "yx");
  EXPECT_EQ(Text(folder->OpenPart("s3://bucket/repo/a", (20U << 20) - 1, 2), error_), std::nullopt);
  EXPECT_EQ(error_.problem, ReadProblem::kTruncated);
}

TEST_F(BlobFolderTest, FewerBytesThanAskedForAreAnErrorAndTrouble) {
  blobs_->objects = {{"a", "0123456789"}};
  blobs_->short_by = 1;
  const auto folder = Open();
  EXPECT_EQ(Text(folder->Open("s3://bucket/repo/a"), error_), std::nullopt);
  EXPECT_TRUE(folder->Trouble().has_value());
}

TEST_F(BlobFolderTest, WhatIsGoneOrArchivedIsAFactOfTheObjectAndNoTrouble) {
  blobs_->objects = {{"a", "0123456789"}};
  auto folder = Open();
  EXPECT_EQ(Text(folder->Open("s3://bucket/repo/b"), error_), std::nullopt);
  EXPECT_EQ(error_.problem, ReadProblem::kGone);
  blobs_->problem = NotFound("gone");
  EXPECT_EQ(Text(folder->Open("s3://bucket/repo/a"), error_), std::nullopt);
  EXPECT_EQ(error_.problem, ReadProblem::kGone);
  blobs_->cold = "DEEP_ARCHIVE";
  folder = Open();
  EXPECT_EQ(Text(folder->Open("s3://bucket/repo/a"), error_), std::nullopt);
  EXPECT_NE(error_.message.find("DEEP_ARCHIVE"), std::string::npos);
  EXPECT_FALSE(folder->Trouble().has_value());
}

/// As a user who may read nothing that others keep to themselves, while it lives.
class Nobody {
 public:
  Nobody() { EXPECT_TRUE(!is_root_ || seteuid(65534) == 0); }
  ~Nobody() { EXPECT_TRUE(!is_root_ || seteuid(0) == 0); }
  Nobody(const Nobody&) = delete;
  Nobody& operator=(const Nobody&) = delete;

 private:
  bool is_root_ = geteuid() == 0;
};

TEST(LocalFolder, WhatThisUserMayNotReadIsTroubleAndNotAFileThatIsMissing) {
  namespace fs = std::filesystem;
  const fs::path top = fs::temp_directory_path() / ("lifeboat-folder-" + RandomHex(6));
  for (const char* below : {"open", "closed", "lost+found"}) fs::create_directories(top / below);
  for (const char* file : {"open/a", "open/b", "closed/c"}) std::ofstream(top / file) << "x";
  chmod(top.c_str(), 0755);
  chmod((top / "open/b").c_str(), 0);
  chmod((top / "lost+found").c_str(), 0);
  {
    const Nobody nobody;
    const std::shared_ptr<Folder> folder = LocalFolder();
    EXPECT_EQ(folder->ListTree(top).size(), 3u);
    EXPECT_FALSE(folder->Trouble().has_value()) << "a folder of the file system's own is nobody's backup";
    ReadError error;
    EXPECT_EQ(ReadAll(*folder->Open(top / "open/a"), 10, error), "x");
    EXPECT_FALSE(ReadAll(*folder->Open(top / "open/gone"), 10, error));
    EXPECT_FALSE(folder->Trouble().has_value()) << "what is not there is missing";
    EXPECT_FALSE(ReadAll(*folder->Open(top / "open/b"), 10, error));
    ASSERT_TRUE(folder->Trouble().has_value());
    EXPECT_NE(folder->Trouble()->message.find("open/b"), std::string::npos) << folder->Trouble()->message;
  }
  chmod((top / "closed").c_str(), 0);
  {
    const Nobody nobody;
    const std::shared_ptr<Folder> folder = LocalFolder();
    (void)folder->ListTree(top);
    EXPECT_TRUE(folder->Trouble().has_value());
  }
  for (const char* below : {"closed", "lost+found"}) chmod((top / below).c_str(), 0700);
  fs::remove_all(top);
}

}  // namespace
}  // namespace lifeboat::backup
