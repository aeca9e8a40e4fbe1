#include "support/aws_backup_bucket.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <stdexcept>

#include "adapters/aws/s3.h"
#include "support/run_task.h"

namespace lifeboat::testing {

namespace {

namespace fs = std::filesystem;

constexpr auto kPatience = std::chrono::seconds(60);

std::string Slurp(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::string KeyOf(const std::string& url, const std::string& path) {
  return url.substr(url.find('/', std::string("s3://").size()) + 1) + "/" + path;
}

template <typename Do>
void EachFile(const fs::path& folder, bool links, const Do& what) {
  const auto how = links ? fs::directory_options::follow_directory_symlink : fs::directory_options::none;
  for (const auto& entry : fs::recursive_directory_iterator(folder, how)) {
    if (entry.is_regular_file()) what(entry.path(), entry.path().lexically_relative(folder).string());
  }
}

}  // namespace

BackupBucket::BackupBucket(RealAws& aws, std::string name, std::string region, bool locked)
    : client_(MakeAwsClient(context_, {{"*", aws.Url()}})), name_(std::move(name)), region_(std::move(region)) {
  setenv("AWS_ACCESS_KEY_ID", kAwsAccessKey, 1);
  setenv("AWS_SECRET_ACCESS_KEY", kAwsSecretKey, 1);
  Ask("CreateBucket", "PUT", {},
      "<CreateBucketConfiguration><LocationConstraint>" + region_ + "</LocationConstraint></CreateBucketConfiguration>",
      locked ? aws::Pairs{{"x-amz-bucket-object-lock-enabled", "true"}} : aws::Pairs());
  if (locked) {
    Ask("PutBucketVersioning", "PUT", {{"versioning", ""}},
        "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>");
  }
}

std::string BackupBucket::Ask(const std::string& operation, const std::string& method, const aws::Pairs& query,
                              const std::string& body, const aws::Pairs& headers) {
  aws::Call call;
  call.service = "s3";
  call.region = region_;
  call.bucket = name_;
  call.operation = operation;
  call.method = method;
  call.query = query;
  call.headers = headers;
  call.body = body;
  const auto reply = Await(context_, client_->Send(std::move(call), kPatience));
  EXPECT_TRUE(reply.ok()) << operation << ": " << (reply.ok() ? "" : reply.error().Text());
  return reply.ok() ? reply->body : "";
}

void BackupBucket::Put(const std::string& url, const std::string& path, const std::string& content) {
  const std::string key = KeyOf(url, path);
  const auto put = Await(context_, aws::s3::PutObject(*client_, {region_, name_}, key, content, "", {}, kPatience));
  EXPECT_TRUE(put.ok()) << key << ": " << (put.ok() ? "" : put.error().Text());
}

void BackupBucket::Remove(const std::string& url, const std::string& path) {
  const std::string key = KeyOf(url, path);
  EXPECT_TRUE(Await(context_, aws::s3::DeleteObject(*client_, {region_, name_}, key, kPatience)).ok()) << key;
}

void BackupBucket::Change(const std::string& url, const fs::path& from, const fs::path& to) {
  EachFile(from, false, [&](const fs::path&, const std::string& path) {
    if (!fs::exists(to / path)) Remove(url, path);
  });
  EachFile(to, false, [&](const fs::path& file, const std::string& path) {
    if (!fs::exists(from / path) || Slurp(from / path) != Slurp(file)) Put(url, path, Slurp(file));
  });
}

std::string BackupBucket::Upload(const fs::path& folder, bool links) {
  const std::string url = "s3://" + name_ + "/" + std::to_string(++uploads_);
  EachFile(folder, links, [&](const fs::path& file, const std::string& path) { Put(url, path, Slurp(file)); });
  return url;
}

LocalCertificate::LocalCertificate() : folder_(fs::temp_directory_path() / ("lifeboat-certificate-" + RandomHex(6))) {
  fs::create_directory(folder_);
  const std::string command =
      "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost -addext "
      "subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout '" +
      key() + "' -out '" + certificate() + "' >'" + (folder_ / "log").string() + "' 2>&1";
  if (std::system(command.c_str()) != 0) throw std::runtime_error("openssl cannot make a certificate: " + Slurp(folder_ / "log"));
}

}  // namespace lifeboat::testing
