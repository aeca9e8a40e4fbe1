// Lists and ranges of S3, against answers as the API reference writes them.

#include <gtest/gtest.h>

#include "adapters/aws/s3.h"
#include "adapters/aws/test_support.h"

namespace lifeboat::aws {
namespace {

using testing::FakeAws;
using testing::Said;
using testing::Seen;

const s3::Bucket kBucket{"eu-west-1", "backups"};

class S3ReadingTest : public ::testing::Test {
 protected:
  Result<s3::ListedPage> List(const std::string& body, const std::string& next = "") {
    aws_.answer = [body](const Seen&) { return Said{200, body, {}, {}}; };
    return aws_.Run(s3::ListObjects(*client_, kBucket, "repo/", next, 10s));
  }
  Result<s3::ObjectPart> Part(Said said, s3::Range range) {
    aws_.answer = [said](const Seen&) { return said; };
    return aws_.Run(s3::GetObjectPart(*client_, kBucket, "repo/a", range, "\"e\"", 10s));
  }
  FakeAws aws_;
  std::unique_ptr<Client> client_ = aws_.MakeClient();
};

TEST_F(S3ReadingTest, AListIsReadPageByPageAndKeysAreDecoded) {
  const auto first = List(R"(<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>
    <NextContinuationToken>1/x+y=</NextContinuationToken>
    <Contents><Key>repo/a+b%2Bc</Key><Size>12</Size><ETag>&quot;e1&quot;</ETag><StorageClass>GLACIER</StorageClass></Contents>
    </ListBucketResult>)");
  ASSERT_TRUE(first.ok()) << first.error().Text();
  ASSERT_EQ(first->objects.size(), 1U);
  EXPECT_EQ(first->objects[0].key, "repo/a b+c");
  EXPECT_EQ(first->objects[0].size, 12U);
  EXPECT_EQ(first->objects[0].etag, "\"e1\"");
  EXPECT_EQ(first->objects[0].storage_class, "GLACIER");
  EXPECT_EQ(first->next, "1/x+y=");
  const auto last = List("<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>", first->next);
  ASSERT_TRUE(last.ok()) << last.error().Text();
  EXPECT_TRUE(last->next.empty());
  EXPECT_NE(aws_.seen[1].request.url.find("continuation-token=1%2Fx%2By%3D"), std::string::npos) << aws_.seen[1].request.url;
}

TEST_F(S3ReadingTest, AListThatCannotBeReadWholeIsNoList) {
  EXPECT_FALSE(List("<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>").ok());
  EXPECT_FALSE(List("<ListBucketResult><Contents><Key>repo/a</Key><Size>many</Size></Contents></ListBucketResult>").ok());
  EXPECT_FALSE(List("<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>").ok());
  EXPECT_FALSE(List("<html></html>").ok());
}

TEST_F(S3ReadingTest, ARangeIsWhatWasAskedForOrAnError) {
  const auto good = Part({206, "cdef", {{"content-range", "bytes 2-5/10"}, {"etag", "\"e\""}}, {}}, {2, 4});
  ASSERT_TRUE(good.ok()) << good.error().Text();
  EXPECT_EQ(good->body, "cdef");
  EXPECT_EQ(good->total, 10U);
  EXPECT_EQ(aws_.seen[0].Header("Range"), "bytes=2-5");
  EXPECT_EQ(aws_.seen[0].Header("If-Match"), "\"e\"");
  EXPECT_FALSE(Part({206, "cde", {{"content-range", "bytes 2-5/10"}}, {}}, {2, 4}).ok()) << "one byte too few";
  EXPECT_FALSE(Part({206, "cdef", {{"content-range", "bytes 3-6/10"}}, {}}, {2, 4}).ok()) << "another place";
  EXPECT_FALSE(Part({206, "cdef", {}, {}}, {2, 4}).ok()) << "no word of the place";
  EXPECT_FALSE(Part({200, "abcdefghij", {}, {}}, {2, 4}).ok()) << "the whole object in place of its middle";
  EXPECT_EQ(Part({200, "abcdefghij", {}, {}}, {0, 4})->body, "abcd");
}

TEST_F(S3ReadingTest, AnObjectThatWasExchangedOrArchivedAnswersWithItsCode) {
  const auto said = [](int status, const std::string& code) {
    return Said{status, "<Error><Code>" + code + "</Code><Message>words</Message></Error>", {}, {}};
  };
  EXPECT_EQ(Part(said(412, "PreconditionFailed"), {0, 4})->code, "PreconditionFailed");
  EXPECT_EQ(Part(said(403, "InvalidObjectState"), {0, 4})->code, "InvalidObjectState");
  EXPECT_EQ(Part(said(404, "NoSuchKey"), {0, 4}).error().retry, Retry::kNotFound);
}

}  // namespace
}  // namespace lifeboat::aws
