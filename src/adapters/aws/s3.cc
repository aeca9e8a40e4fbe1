#include "adapters/aws/s3.h"

#include <algorithm>
#include <charconv>
#include <ctime>

#include "adapters/aws/http_date.h"
#include "adapters/aws/xml.h"

namespace lifeboat::aws::s3 {

namespace {

Call CallOf(const std::string& operation, const Bucket& bucket, const std::string& method, const std::string& key, Effect effect) {
  Call call;
  call.service = "s3";
  call.region = bucket.region;
  call.bucket = bucket.name;
  call.operation = operation;
  call.method = method;
  call.path = "/" + UriEncode(key, false);
  call.effect = effect;
  return call;
}

Object ObjectFrom(Reply reply) {
  Object object;
  object.etag = reply.Header("etag");
  object.version_id = reply.Header("x-amz-version-id");
  object.replication = reply.Header("x-amz-replication-status");
  object.modified = ParseHttpDate(reply.Header("last-modified"));
  object.body = std::move(reply.body);
  return object;
}

Task<Result<Object>> Fetch(Client& client, std::string operation, Bucket bucket, std::string method, std::string key,
                           Duration timeout) {
  Call call = CallOf(operation, bucket, method, key, Effect::kReads);
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  co_return ObjectFrom(std::move(*reply));
}

ReplicationRule RuleFrom(const XmlNode& node) {
  const XmlNode& filter = node["Filter"];
  ReplicationRule rule;
  rule.id = node["ID"].text;
  rule.enabled = node["Status"].text == "Enabled";
  rule.prefix = node["Prefix"].text;  // version 1 of the configuration has it here
  if (rule.prefix.empty()) rule.prefix = filter["Prefix"].text;
  if (rule.prefix.empty()) rule.prefix = filter["And"]["Prefix"].text;
  rule.by_tags = filter.Has("Tag") || filter["And"].Has("Tag");
  rule.destination = node["Destination"]["Bucket"].text;
  rule.delete_markers = node["DeleteMarkerReplication"]["Status"].text == "Enabled";
  rule.time_control = node["Destination"]["ReplicationTime"]["Status"].text == "Enabled";
  rule.metrics = node["Destination"]["Metrics"]["Status"].text == "Enabled";
  rule.kms_objects = node["SourceSelectionCriteria"]["SseKmsEncryptedObjects"]["Status"].text == "Enabled";
  rule.replica_kms_key = node["Destination"]["EncryptionConfiguration"]["ReplicaKmsKeyID"].text;
  return rule;
}

std::optional<std::uint64_t> NumberIn(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// "bytes 0-9/100": that the answer begins where it was asked to, and the object's size.
std::optional<std::uint64_t> TotalIn(std::string_view range, std::uint64_t offset) {
  const std::string begin = "bytes " + std::to_string(offset) + "-";
  const std::size_t slash = range.find('/');
  if (!range.starts_with(begin) || slash == std::string_view::npos) return std::nullopt;
  return NumberIn(range.substr(slash + 1));
}

/// "2026-11-23T15:04:05.000Z" → seconds since 1970; 0: no such time.
std::int64_t SecondsIn(const std::string& text) {
  std::tm parts{};
  const char* rest = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  return rest == nullptr || !std::string_view(rest).ends_with('Z') ? 0 : timegm(&parts);
}

/// A key as S3 encodes it for XML.
std::string KeyIn(const std::string& text, bool encoded) {
  if (!encoded) return text;
  std::string plain = text;
  for (char& c : plain) c = c == '+' ? ' ' : c;
  return UriDecode(plain);
}

Result<ListedPage> PageFrom(const XmlNode& root) {
  const bool encoded = root["EncodingType"].text == "url";
  ListedPage page;
  for (const XmlNode* each : root.All("Contents")) {
    const std::optional<std::uint64_t> size = NumberIn((*each)["Size"].text);
    ListedObject object{KeyIn((*each)["Key"].text, encoded), size.value_or(0), (*each)["ETag"].text, (*each)["StorageClass"].text,
                        SecondsIn((*each)["LastModified"].text)};
    if (!size || object.key.empty()) return Fail("an object in the answer to 'ListObjectsV2' has no key or no size");
    page.objects.push_back(std::move(object));
  }
  if (root["IsTruncated"].text != "true") return page;
  page.next = root["NextContinuationToken"].text;
  // SAFETY: a list that goes on and does not say where would end here, and what is behind it would seem to be missing.
  if (page.next.empty()) return Fail("the answer to 'ListObjectsV2' goes on, and does not say where");
  return page;
}

}  // namespace

Task<Result<Object>> PutObject(Client& client, Bucket bucket, std::string key, std::string body, std::string content_type,
                               OnlyIf only_if, Duration timeout) {
  const bool bound = only_if.absent || !only_if.etag.empty();
  // The whole object again is the same object; under a condition the first success makes the second attempt fail.
  Call call = CallOf("PutObject", bucket, "PUT", key, bound ? Effect::kOnce : Effect::kRepeatable);
  call.headers.emplace_back("Content-Type", content_type.empty() ? "application/octet-stream" : content_type);
  if (only_if.absent) call.headers.emplace_back("If-None-Match", "*");
  if (!only_if.etag.empty()) call.headers.emplace_back("If-Match", only_if.etag);
  call.body = std::move(body);
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  co_return ObjectFrom(std::move(*reply));
}

Task<Result<Object>> GetObject(Client& client, Bucket bucket, std::string key, Duration timeout) {
  co_return co_await Fetch(client, "GetObject", std::move(bucket), "GET", std::move(key), timeout);
}

Task<Result<Object>> HeadObject(Client& client, Bucket bucket, std::string key, Duration timeout) {
  co_return co_await Fetch(client, "HeadObject", std::move(bucket), "HEAD", std::move(key), timeout);
}

Task<Result<Unit>> DeleteObject(Client& client, Bucket bucket, std::string key, Duration timeout) {
  Call call = CallOf("DeleteObject", bucket, "DELETE", key, Effect::kRepeatable);
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  co_return Done();
}

Task<Result<ListedPage>> ListObjects(Client& client, Bucket bucket, std::string prefix, std::string next, Duration timeout) {
  Call call = CallOf("ListObjectsV2", bucket, "GET", "", Effect::kReads);
  call.query = {{"encoding-type", "url"}, {"list-type", "2"}, {"prefix", prefix}};
  if (!next.empty()) call.query.insert(call.query.begin(), {"continuation-token", next});
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  const Result<XmlNode> root = ParseXml(reply->body, "ListObjectsV2");
  if (!root) co_return root.error();
  if (root->name != "ListBucketResult") co_return Fail("'ListObjectsV2' was answered by '" + root->name + "'");
  co_return PageFrom(*root);
}

Task<Result<ObjectPart>> GetObjectPart(Client& client, Bucket bucket, std::string key, Range range, std::string etag,
                                       Duration timeout) {
  Call call = CallOf("GetObject", bucket, "GET", key, Effect::kReads);
  call.headers = {{"Range", "bytes=" + std::to_string(range.offset) + "-" + std::to_string(range.offset + range.length - 1)}};
  if (!etag.empty()) call.headers.emplace_back("If-Match", etag);
  call.answers = {"PreconditionFailed", "InvalidObjectState"};
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  ObjectPart part;
  part.code = reply->code;
  if (!part.code.empty()) co_return part;
  part.etag = reply->Header("etag");
  // A store that knows no ranges answers the whole object, with 200.
  const std::optional<std::uint64_t> total = reply->status == 206 ? TotalIn(reply->Header("content-range"), range.offset)
                                             : range.offset == 0  ? std::optional<std::uint64_t>(reply->body.size())
                                                                  : std::nullopt;
  const std::uint64_t due = total && *total > range.offset ? std::min(range.length, *total - range.offset) : 0;
  if (!total || (reply->status == 206 ? reply->body.size() != due : reply->body.size() < due)) {
    co_return Fail("the answer to 'GetObject' is not the range of '" + key + "' that was asked for");
  }
  part.total = *total;
  part.body = std::move(reply->body);
  part.body.resize(due);
  co_return part;
}

Task<Result<std::vector<ReplicationRule>>> GetBucketReplication(Client& client, Bucket bucket, Duration timeout) {
  Call call = CallOf("GetBucketReplication", bucket, "GET", "", Effect::kReads);
  call.query = {{"replication", ""}};
  call.answers = {"ReplicationConfigurationNotFoundError"};
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  std::vector<ReplicationRule> rules;
  if (!reply->code.empty()) co_return rules;
  const Result<XmlNode> root = ParseXml(reply->body, "GetBucketReplication");
  if (!root) co_return root.error();
  if (root->name != "ReplicationConfiguration") co_return Fail("'GetBucketReplication' was answered by '" + root->name + "'");
  for (const XmlNode* rule : root->All("Rule")) rules.push_back(RuleFrom(*rule));
  co_return rules;
}

Task<Result<bool>> GetBucketVersioning(Client& client, Bucket bucket, Duration timeout) {
  Call call = CallOf("GetBucketVersioning", bucket, "GET", "", Effect::kReads);
  call.query = {{"versioning", ""}};
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  const Result<XmlNode> root = ParseXml(reply->body, "GetBucketVersioning");
  if (!root) co_return root.error();
  // The root is not looked at: what stands in for S3 names it otherwise, and a bucket that never had versions answers it empty.
  co_return (*root)["Status"].text == "Enabled";
}

Task<Result<BucketEncryption>> GetBucketEncryption(Client& client, Bucket bucket, Duration timeout) {
  Call call = CallOf("GetBucketEncryption", bucket, "GET", "", Effect::kReads);
  call.query = {{"encryption", ""}};
  call.answers = {"ServerSideEncryptionConfigurationNotFoundError"};
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  BucketEncryption encryption;
  if (!reply->code.empty()) co_return encryption;
  const Result<XmlNode> root = ParseXml(reply->body, "GetBucketEncryption");
  if (!root) co_return root.error();
  if (root->name != "ServerSideEncryptionConfiguration")
    co_return Fail("'GetBucketEncryption' was answered by '" + root->name + "'");
  const XmlNode& way = (*root)["Rule"]["ApplyServerSideEncryptionByDefault"];
  encryption.algorithm = way["SSEAlgorithm"].text;
  encryption.kms_key = way["KMSMasterKeyID"].text;
  co_return encryption;
}

}  // namespace lifeboat::aws::s3
