#include "cli/backup_s3.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <future>
#include <thread>
#include <utility>

#include "adapters/aws/open.h"
#include "adapters/aws/s3.h"
#include "adapters/system/clock.h"
#include "adapters/system/pool_files.h"
#include "base/spawn.h"

namespace lifeboat {

namespace {

namespace asio = boost::asio;

constexpr std::string_view kScheme = "s3://";
constexpr Duration kOneAnswer = 60s;  // a range of 8 MiB over a poor line
constexpr Duration kPatience = 150s;  // all attempts at it

template <typename T>
Task<> Deliver(Task<T> task, std::shared_ptr<std::promise<T>> into) {
  into->set_value(co_await std::move(task));
}

/// Classes whose objects are not there to be read until somebody asks for them, hours before.
/// @source S3 user guide, "Understanding and managing S3 storage classes"
bool IsCold(const std::string& storage_class) { return storage_class == "GLACIER" || storage_class == "DEEP_ARCHIVE"; }

class S3Blobs final : public backup::Blobs {
 public:
  S3Blobs(aws::s3::Bucket bucket, std::string prefix)
      : bucket_(std::move(bucket)),
        prefix_(std::move(prefix)),
        name_(std::string(kScheme) + bucket_.name + (prefix_.empty() ? "" : "/" + prefix_.substr(0, prefix_.size() - 1))) {}
  ~S3Blobs() override {
    work_.reset();
    io_.stop();
    if (thread_.joinable()) thread_.join();
  }
  S3Blobs(const S3Blobs&) = delete;
  S3Blobs& operator=(const S3Blobs&) = delete;

  Result<Unit> Start(const std::string& endpoint) {
    thread_ = std::thread([this] { io_.run(); });
    aws::OpenOptions how;
    how.credentials.region = bucket_.region;
    how.client.attempt_timeout = kOneAnswer;
    if (!endpoint.empty()) how.client.endpoints.set["s3"] = endpoint;
    const aws::Surroundings around{clock_, files_, aws::EnvironmentOfTheProcess(), Log()};
    Result<std::shared_ptr<aws::Client>> client = Wait(aws::Open(io_.get_executor(), std::move(how), around));
    if (!client) return client.error();
    client_ = std::move(*client);
    return Done();
  }

  const std::string& name() const override { return name_; }

  Result<std::vector<backup::Blob>> List() override {
    std::vector<backup::Blob> blobs;
    std::string next;
    do {
      Result<aws::s3::ListedPage> page = Wait(aws::s3::ListObjects(*client_, bucket_, prefix_, next, kPatience));
      if (!page) return page.error().Within("cannot list '" + name_ + "'");
      for (aws::s3::ListedObject& each : page->objects) {
        if (!each.key.starts_with(prefix_))
          return Fail("the list of '" + name_ + "' holds '" + each.key + "', which does not lie there");
        if (each.key.ends_with('/')) continue;  // stands for a folder in some programs' eyes
        blobs.push_back(
            {each.key.substr(prefix_.size()), each.size, each.etag, IsCold(each.storage_class) ? each.storage_class : ""});
      }
      // SAFETY: the same page for ever would be no list.
      if (!page->next.empty() && page->next == next) return Fail("the list of '" + name_ + "' does not come to an end");
      next = page->next;
    } while (!next.empty());
    return blobs;
  }

  Result<std::string> Read(const backup::Blob& blob, std::uint64_t offset, std::uint64_t length) override {
    const aws::s3::Range range{offset, length};
    Result<aws::s3::ObjectPart> part =
        Wait(aws::s3::GetObjectPart(*client_, bucket_, prefix_ + blob.path, range, blob.version, kPatience));
    if (!part) {
      // An authority that says no (kRefused, kFail) has said nothing of the bytes: it is trouble, and no finding.
      Error error = part.error().Within("'" + blob.path + "'");
      if (error.retry == Retry::kRefused) error.retry = Retry::kFail;
      return error;
    }
    if (part->code == "InvalidObjectState")
      return Refused("'" + blob.path + "' is archived, and cannot be read before it is brought back");
    // SAFETY: halves of two objects are none of them.
    if (!part->code.empty() || part->total != blob.size) {
      return RetryLater("'" + blob.path + "' in '" + name_ + "' was exchanged while it was looked at", "verify again");
    }
    return std::move(part->body);
  }

 private:
  /// Runs a coroutine on the thread that talks to S3; the calling one waits.
  template <typename T>
  T Wait(Task<T> task) {
    auto promise = std::make_shared<std::promise<T>>();
    std::future<T> answer = promise->get_future();
    Spawn(io_.get_executor(), Deliver<T>(std::move(task), std::move(promise)));
    return answer.get();
  }

  aws::s3::Bucket bucket_;
  std::string prefix_;  ///< "" or with a slash at its end
  std::string name_;
  SystemClock clock_;
  PoolFiles files_;
  asio::io_context io_{1};
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work_ = asio::make_work_guard(io_);
  std::shared_ptr<aws::Client> client_;
  std::thread thread_;
};

}  // namespace

bool IsS3(const std::string& repository) { return repository.starts_with(kScheme); }

Result<std::shared_ptr<backup::Blobs>> OpenS3(const S3Place& place) {
  std::string path = IsS3(place.url) ? place.url.substr(kScheme.size()) : "";
  while (path.ends_with('/')) path.pop_back();
  const std::size_t slash = path.find('/');
  const std::string bucket = path.substr(0, slash);
  if (bucket.empty()) return Fail("'" + place.url + "' names no bucket", "write s3://bucket/folder");
  const std::string prefix = slash == std::string::npos ? "" : path.substr(slash + 1) + "/";
  const aws::Environment environment = aws::EnvironmentOfTheProcess();
  std::string region = place.region;
  for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION"}) {
    if (region.empty()) region = environment(name).value_or("");
  }
  if (region.empty())
    return Fail("the region of bucket '" + bucket + "' is not known", "name it by --s3-region, or set AWS_REGION");
  auto blobs = std::make_shared<S3Blobs>(aws::s3::Bucket{region, bucket}, prefix);
  const Result<Unit> started = blobs->Start(place.endpoint);
  if (!started) return started.error();
  return std::shared_ptr<backup::Blobs>(std::move(blobs));
}

}  // namespace lifeboat
