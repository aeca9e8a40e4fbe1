#include "adapters/aws/s3.h"

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
  rule.kms_objects = node["SourceSelectionCriteria"]["SseKmsEncryptedObjects"]["Status"].text == "Enabled";
  rule.replica_kms_key = node["Destination"]["EncryptionConfiguration"]["ReplicaKmsKeyID"].text;
  return rule;
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

}  // namespace lifeboat::aws::s3
