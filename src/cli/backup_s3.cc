#include "cli/backup_s3.h"

#include <algorithm>
#include <charconv>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <future>
#include <map>
#include <thread>
#include <utility>

#include "adapters/aws/open.h"
#include "adapters/aws/s3.h"
#include "adapters/aws/s3_bucket.h"
#include "adapters/system/clock.h"
#include "adapters/system/pool_files.h"
#include "base/spawn.h"

namespace lifeboat {

namespace {

namespace asio = boost::asio;

constexpr std::string_view kScheme = "s3://";
constexpr Duration kOneAnswer = 60s;  // a range over a poor line
// What all readers' ranges take together; each range is there twice, while it comes and while it is used.
constexpr std::uint64_t kReadersMemory = 8U << 20;
constexpr std::uint64_t kLeastRange = 512U << 10;
constexpr std::uint64_t kMostRange = 4U << 20;

template <typename T>
Task<> Deliver(Task<T> task, std::shared_ptr<std::promise<T>> into) {
  into->set_value(co_await std::move(task));
}

/// Classes whose objects are not there to be read until somebody asks for them, hours before.
/// @source S3 user guide, "Understanding and managing S3 storage classes"
bool IsCold(const std::string& storage_class) { return storage_class == "GLACIER" || storage_class == "DEEP_ARCHIVE"; }

class S3Blobs final : public S3Store {
 public:
  S3Blobs(aws::s3::Bucket bucket, std::string prefix, unsigned readers)
      : bucket_(std::move(bucket)),
        prefix_(std::move(prefix)),
        most_at_once_(std::clamp(kReadersMemory / std::max(readers, 1U), kLeastRange, kMostRange)),
        name_(std::string(kScheme) + bucket_.name + (prefix_.empty() ? "" : "/" + prefix_.substr(0, prefix_.size() - 1))) {}
  ~S3Blobs() override {
    work_.reset();
    io_.stop();
    if (thread_.joinable()) thread_.join();
  }
  S3Blobs(const S3Blobs&) = delete;
  S3Blobs& operator=(const S3Blobs&) = delete;

  Result<Unit> Start(const S3Place& place) {
    thread_ = std::thread([this] { io_.run(); });
    aws::OpenOptions how;
    how.credentials.region = bucket_.region;
    how.credentials.profile = place.profile;
    patience_ = place.patience;
    how.client.attempt_timeout = std::min<Duration>(kOneAnswer, patience_);
    how.ca_file = place.ca_file;
    if (!place.endpoint.empty()) how.client.endpoints.set["s3"] = place.endpoint;
    const aws::Surroundings around{clock_, files_, aws::EnvironmentOfTheProcess(), Log()};
    Result<aws::Opened> opened = Wait(aws::OpenWithCredentials(io_.get_executor(), std::move(how), around));
    if (!opened) return opened.error();
    opened_ = std::move(*opened);
    client_ = opened_.client;
    return Done();
  }

  const std::string& name() const override { return name_; }

  Result<std::vector<backup::Blob>> List() override {
    std::vector<backup::Blob> blobs;
    std::string next;
    do {
      Result<aws::s3::ListedPage> page = Wait(aws::s3::ListObjects(*client_, bucket_, prefix_, next, patience_));
      if (!page) return page.error().Within("cannot list '" + name_ + "'");
      for (aws::s3::ListedObject& each : page->objects) {
        if (!each.key.starts_with(prefix_))
          return Fail("the list of '" + name_ + "' holds '" + each.key + "', which does not lie there");
        if (each.key.ends_with('/')) continue;  // stands for a folder in some programs' eyes
        blobs.push_back({each.key.substr(prefix_.size()), each.size, each.etag,
                         IsCold(each.storage_class) ? each.storage_class : "", each.modified});
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
        Wait(aws::s3::GetObjectPart(*client_, bucket_, prefix_ + blob.path, range, blob.version, patience_));
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

  std::uint64_t MostAtOnce() const override { return most_at_once_; }

  const std::string& prefix() const override { return prefix_; }

  backup::BucketFacts Facts() override {
    backup::BucketFacts facts;
    const auto take = [&](const char* what, auto answer, auto& into) {
      if (answer) {
        into = std::move(*answer);
      } else {
        facts.unseen.push_back(std::string(what) + ": " + answer.error().message);
      }
    };
    take("versions", Wait(aws::s3::GetBucketVersioning(*client_, bucket_, kOneAnswer)), facts.versions);
    take("Object Lock", Wait(aws::s3::GetObjectLock(*client_, bucket_, kOneAnswer)), facts.lock);
    std::optional<std::vector<aws::s3::LifecycleExpiry>> expiry;
    take("lifecycle", Wait(aws::s3::GetBucketExpiry(*client_, bucket_, kOneAnswer)), expiry);
    if (!expiry) return facts;
    facts.expiry.emplace();
    for (aws::s3::LifecycleExpiry& each : *expiry) {
      facts.expiry->push_back(
          {std::move(each.id), std::move(each.prefix), each.days, each.date, each.more_than, each.less_than, each.by_tags});
    }
    return facts;
  }

  std::string CopyRules() override {
    const auto rules = Wait(aws::s3::GetBucketReplication(*client_, bucket_, kOneAnswer));
    if (!rules) return "its rules for copying cannot be seen: " + rules.error().message;
    std::string disabled;
    bool near = false;
    for (const aws::s3::ReplicationRule& rule : *rules) {
      const bool covers = prefix_.starts_with(rule.prefix) && !rule.by_tags;
      if (covers && rule.enabled) return "rule '" + rule.id + "' covers what is put there now, not what was there before it";
      if (covers) disabled = rule.id;
      near = near || rule.prefix.starts_with(prefix_) || rule.by_tags;
    }
    if (!disabled.empty()) return "rule '" + disabled + "' is disabled";
    if (rules->empty()) return "the bucket has no rule for copying";
    return near ? "its rules for copying cover a part of it" : "no rule for copying covers it";
  }

  std::optional<std::string> CopyStatus(const std::string& path) override {
    const auto head = Wait(aws::s3::HeadObject(*client_, bucket_, prefix_ + path, kOneAnswer));
    return head ? std::optional(head->replication) : std::nullopt;
  }

  Result<std::vector<backup::HiddenObject>> Hidden(const std::string& path) override {
    std::map<std::string, backup::HiddenObject> hidden;
    std::map<std::string, aws::s3::ObjectVersion> older;  // the newest that is not current, by path
    aws::s3::VersionsPage page;
    do {
      auto next = Wait(aws::s3::ListObjectVersions(*client_, bucket_, prefix_ + path, page, patience_));
      if (!next) return next.error().Within("the versions of '" + name_ + "' cannot be seen");
      if (!next->next_key.empty() && next->next_key == page.next_key && next->next_version == page.next_version) {
        return Fail("the list of versions of '" + name_ + "' does not come to an end");
      }
      page = std::move(*next);
      for (aws::s3::ObjectVersion& each : page.versions) {
        if (!each.key.starts_with(prefix_)) continue;
        const std::string below = each.key.substr(prefix_.size());
        if (each.marker && each.latest) hidden[below] = {below, each.modified, ""};
        if (each.marker || each.latest) continue;
        aws::s3::ObjectVersion& newest = older[below];
        if (newest.version.empty() || each.modified > newest.modified) newest = std::move(each);
      }
    } while (!page.next_key.empty());
    std::vector<backup::HiddenObject> all;
    for (auto& [below, object] : hidden) {
      if (const auto found = older.find(below); found != older.end()) object.version = found->second.version;
      all.push_back(std::move(object));
    }
    return all;
  }

  Result<backup::BlobsDoor> Door() override {
    const Result<aws::ServiceEndpoint> endpoint = opened_.endpoints.Of("s3", bucket_.region);
    if (!endpoint) return endpoint.error();
    const Result<aws::SharedCredentials> keys = Wait(opened_.credentials->Get(kOneAnswer));
    if (!keys) {
      Error error = keys.error().Within("no credentials for '" + name_ + "'");
      if (error.retry == Retry::kRefused) error.retry = Retry::kFail;
      return error;
    }
    backup::BlobsDoor door;
    door.bucket = bucket_.name;
    door.prefix = prefix_.empty() ? "" : prefix_.substr(0, prefix_.size() - 1);
    door.region = endpoint->sign_region;
    door.tls = endpoint->url.starts_with("https://");
    door.host = endpoint->url.substr(endpoint->url.find("://") + 3);
    // "[::1]:9000", "host:9000": a colon behind the last bracket begins the port.
    const std::size_t colon = door.host.rfind(':');
    if (colon != std::string::npos && door.host.find(']', colon) == std::string::npos) {
      (void)std::from_chars(door.host.data() + colon + 1, door.host.data() + door.host.size(), door.port);
      door.host.resize(colon);
    }
    door.bucket_in_host = !endpoint->by_hand && bucket_.name.find('.') == std::string::npos;
    door.ca_file = opened_.ca_file;
    door.access_key_id = (*keys)->access_key_id;
    door.secret_key = (*keys)->secret_key.Clone();
    door.session_token = (*keys)->session_token.Clone();
    return door;
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
  std::uint64_t most_at_once_;
  Duration patience_{0};
  std::string name_;
  SystemClock clock_;
  PoolFiles files_;
  asio::io_context io_{1};
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work_ = asio::make_work_guard(io_);
  aws::Opened opened_;
  std::shared_ptr<aws::Client> client_;
  std::thread thread_;
};

}  // namespace

bool IsS3(const std::string& repository) { return repository.starts_with(kScheme); }

Result<std::shared_ptr<S3Store>> OpenS3(const S3Place& place) {
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
    return Fail("the region of bucket '" + bucket + "' is not known", "name it by --s3-region or 's3_region', or set AWS_REGION");
  auto blobs = std::make_shared<S3Blobs>(aws::s3::Bucket{region, bucket}, prefix, place.readers);
  const Result<Unit> started = blobs->Start(place);
  if (!started) return started.error();
  return std::shared_ptr<S3Store>(std::move(blobs));
}

}  // namespace lifeboat
