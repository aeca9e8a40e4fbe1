#include "adapters/aws/s3_bucket.h"

#include <charconv>
#include <ctime>

#include "adapters/aws/encoding.h"
#include "adapters/aws/xml.h"

namespace lifeboat::aws::s3 {

namespace {

Call Ask(const Bucket& bucket, const std::string& operation, const std::string& what) {
  Call call;
  call.service = "s3";
  call.region = bucket.region;
  call.bucket = bucket.name;
  call.operation = operation;
  call.method = "GET";
  call.query = {{what, ""}};
  call.effect = Effect::kReads;
  return call;
}

std::uint64_t Number(const std::string& text) {
  std::uint64_t number = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

/// "2026-11-23T15:04:05.000Z" → seconds since 1970; 0: no such time.
std::int64_t Seconds(const std::string& text) {
  std::tm parts{};
  return strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts) == nullptr ? 0 : timegm(&parts);
}

std::string Plain(const std::string& text, bool encoded) {
  if (!encoded) return text;
  std::string plain = text;
  for (char& c : plain) c = c == '+' ? ' ' : c;
  return UriDecode(plain);
}

Result<VersionsPage> PageFrom(const XmlNode& root) {
  const bool encoded = root["EncodingType"].text == "url";
  VersionsPage page;
  // Versions and markers stand in one order, which only the children's own shows.
  for (const XmlNode& each : root.children) {
    if (each.name != "Version" && each.name != "DeleteMarker") continue;
    ObjectVersion version{Plain(each["Key"].text, encoded), each["VersionId"].text, each.name == "DeleteMarker",
                          each["IsLatest"].text == "true", Seconds(each["LastModified"].text)};
    if (version.key.empty()) return Fail("a version in the answer to 'ListObjectVersions' has no key");
    page.versions.push_back(std::move(version));
  }
  if (root["IsTruncated"].text != "true") return page;
  page.next_key = Plain(root["NextKeyMarker"].text, encoded);
  page.next_version = root["NextVersionIdMarker"].text;
  if (page.next_key.empty()) return Fail("the answer to 'ListObjectVersions' goes on, and does not say where");
  return page;
}

LifecycleExpiry ExpiryFrom(const XmlNode& node) {
  const XmlNode& filter = node["Filter"];
  const XmlNode& both = filter["And"];
  LifecycleExpiry rule;
  rule.id = node["ID"].text;
  for (const std::string& prefix : {node["Prefix"].text, filter["Prefix"].text, both["Prefix"].text}) {
    if (rule.prefix.empty()) rule.prefix = prefix;
  }
  rule.by_tags = filter.Has("Tag") || both.Has("Tag");
  rule.days = Number(node["Expiration"]["Days"].text);
  rule.date = Seconds(node["Expiration"]["Date"].text);
  for (const XmlNode* where : {&filter, &both}) {
    if (where->Has("ObjectSizeGreaterThan")) rule.more_than = Number((*where)["ObjectSizeGreaterThan"].text);
    if (where->Has("ObjectSizeLessThan")) rule.less_than = Number((*where)["ObjectSizeLessThan"].text);
  }
  return rule;
}

}  // namespace

Task<Result<VersionsPage>> ListObjectVersions(Client& client, Bucket bucket, std::string prefix, VersionsPage after,
                                              Duration timeout) {
  Call call = Ask(bucket, "ListObjectVersions", "versions");
  call.query = {{"encoding-type", "url"}};
  if (!after.next_key.empty()) call.query.emplace_back("key-marker", after.next_key);
  call.query.emplace_back("prefix", prefix);
  if (!after.next_version.empty()) call.query.emplace_back("version-id-marker", after.next_version);
  call.query.emplace_back("versions", "");
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  const Result<XmlNode> root = ParseXml(reply->body, "ListObjectVersions");
  if (!root) co_return root.error();
  if (root->name != "ListVersionsResult") co_return Fail("'ListObjectVersions' was answered by '" + root->name + "'");
  co_return PageFrom(*root);
}

Task<Result<std::vector<LifecycleExpiry>>> GetBucketExpiry(Client& client, Bucket bucket, Duration timeout) {
  Call call = Ask(bucket, "GetBucketLifecycleConfiguration", "lifecycle");
  call.answers = {"NoSuchLifecycleConfiguration"};
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  std::vector<LifecycleExpiry> rules;
  if (!reply->code.empty()) co_return rules;
  const Result<XmlNode> root = ParseXml(reply->body, "GetBucketLifecycleConfiguration");
  if (!root) co_return root.error();
  if (root->name != "LifecycleConfiguration")
    co_return Fail("'GetBucketLifecycleConfiguration' was answered by '" + root->name + "'");
  for (const XmlNode* rule : root->All("Rule")) {
    const XmlNode& expiration = (*rule)["Expiration"];
    if ((*rule)["Status"].text != "Enabled" || !(expiration.Has("Days") || expiration.Has("Date"))) continue;
    rules.push_back(ExpiryFrom(*rule));
  }
  co_return rules;
}

Task<Result<bool>> GetObjectLock(Client& client, Bucket bucket, Duration timeout) {
  Call call = Ask(bucket, "GetObjectLockConfiguration", "object-lock");
  call.answers = {"ObjectLockConfigurationNotFoundError"};
  Result<Reply> reply = co_await client.Send(std::move(call), timeout);
  if (!reply) co_return reply.error();
  if (!reply->code.empty()) co_return false;
  const Result<XmlNode> root = ParseXml(reply->body, "GetObjectLockConfiguration");
  if (!root) co_return root.error();
  co_return (*root)["ObjectLockEnabled"].text == "Enabled";
}

}  // namespace lifeboat::aws::s3
