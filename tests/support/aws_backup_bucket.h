#pragma once

// Backups in a bucket of an emulator: folders put there object by object, as those who copy backups to S3 do it. And a certificate
// of the tests' own, since pgBackRest asks S3 by TLS alone. Thread rule: the thread of the test; everything blocks.

#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <memory>
#include <string>

#include "support/aws_client.h"

namespace lifeboat::testing {

class BackupBucket {
 public:
  static constexpr const char* kRegion = "eu-west-1";

  /// Makes the bucket, and signs what this process asks of S3 with the tests' keys (environment).
  /// @param locked  with Object Lock, and so with versions
  explicit BackupBucket(RealAws& aws, std::string name = "lifeboat-backups", std::string region = kRegion, bool locked = false);

  /// Every file below `folder`, in a folder of its own. @param links  those behind links to folders too, as tablespaces are
  /// @return its URL, "s3://lifeboat-backups/1"
  [[nodiscard]] std::string Upload(const std::filesystem::path& folder, bool links = false);
  void Put(const std::string& url, const std::string& path, const std::string& content);
  void Remove(const std::string& url, const std::string& path);
  /// Makes what lies at `url` as `to` is, which was as `from`.
  void Change(const std::string& url, const std::filesystem::path& from, const std::filesystem::path& to);
  /// A call of S3 on the bucket itself: its settings. @return the answer's body
  std::string Ask(const std::string& operation, const std::string& method, const aws::Pairs& query, const std::string& body,
                  const aws::Pairs& headers = {});

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::string& region() const { return region_; }

 private:
  boost::asio::io_context context_;
  std::shared_ptr<aws::Client> client_;
  std::string name_;
  std::string region_;
  int uploads_ = 0;
};

/// A self-signed certificate for "localhost" and 127.0.0.1, and its key, in a folder that goes with it.
class LocalCertificate {
 public:
  LocalCertificate();
  ~LocalCertificate() { std::filesystem::remove_all(folder_); }
  LocalCertificate(const LocalCertificate&) = delete;
  LocalCertificate& operator=(const LocalCertificate&) = delete;
  [[nodiscard]] std::string certificate() const { return (folder_ / "certificate.pem").string(); }
  [[nodiscard]] std::string key() const { return (folder_ / "key.pem").string(); }

 private:
  std::filesystem::path folder_;
};

}  // namespace lifeboat::testing
