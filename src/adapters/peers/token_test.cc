#include "adapters/peers/token.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

namespace lifeboat {
namespace {

class Token : public testing::Test {
 protected:
  Token() { std::filesystem::create_directory(folder_); }
  ~Token() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& content, mode_t mode = 0600) {
    const std::string file = folder_ / "token";
    std::ofstream(file, std::ios::binary) << content;
    ::chmod(file.c_str(), mode);
    return file;
  }

  std::filesystem::path folder_ = std::filesystem::temp_directory_path() / ("lifeboat-token-" + RandomHex(8));
};

TEST_F(Token, IsReadWithoutItsNewline) {
  const Result<Secret> token = ReadToken(Write("0123456789abcdef\n"));
  ASSERT_TRUE(token.ok()) << token.error().Text();
  EXPECT_EQ(token->Reveal(), "0123456789abcdef");
}

TEST_F(Token, NeedsSixteenCharacters) {
  EXPECT_FALSE(ReadToken(Write("")).ok());
  EXPECT_FALSE(ReadToken(Write("\n")).ok());
  EXPECT_FALSE(ReadToken(Write("0123456789abcde\n")).ok());
  EXPECT_TRUE(ReadToken(Write("0123456789abcdef")).ok());
  EXPECT_TRUE(ReadToken(Write("0123456789abcdef0")).ok());
}

TEST_F(Token, IsRefusedWhenOthersMayReadItAndTheMessageKeepsItSecret) {
  for (const mode_t mode : {mode_t{0640}, mode_t{0604}, mode_t{0620}}) {
    const Result<Secret> token = ReadToken(Write("0123456789abcdef", mode));
    ASSERT_FALSE(token.ok()) << mode;
    EXPECT_EQ(token.error().Text().find("0123456789abcdef"), std::string::npos);
    EXPECT_NE(token.error().hint.find("chmod 600"), std::string::npos);
  }
}

TEST_F(Token, IsRefusedWithSpacesOrTooLong) {
  EXPECT_FALSE(ReadToken(Write("0123456789 abcdef")).ok());
  EXPECT_FALSE(ReadToken(Write("0123456789abcdef\n0123456789abcdef\n")).ok());
  EXPECT_FALSE(ReadToken(Write(std::string(5000, 'x'))).ok());
}

TEST_F(Token, SaysThatTheFileIsMissingOrNoFile) {
  const Result<Secret> missing = ReadToken(folder_ / "none");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().retry, Retry::kNotFound);
  EXPECT_FALSE(ReadToken(folder_).ok());
}

}  // namespace
}  // namespace lifeboat
