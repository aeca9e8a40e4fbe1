#include "adapters/aws/shared_config.h"

#include <charconv>
#include <set>

#include "adapters/aws/encoding.h"

namespace lifeboat::aws {

namespace {

/// Cuts a comment off a value: one that begins after white space.
std::string_view WithoutComment(std::string_view value) {
  for (std::size_t at = 1; at < value.size(); ++at) {
    if ((value[at] == '#' || value[at] == ';') && (value[at - 1] == ' ' || value[at - 1] == '\t')) return value.substr(0, at);
  }
  return value;
}

std::string_view Line(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

/// Sections by their whole title: "default", "profile dr", "services lab".
std::map<std::string, Properties> ParseSections(std::string_view text) {
  std::map<std::string, Properties> sections;
  Properties* open = nullptr;
  std::string parent;  // of a nested block
  while (!text.empty()) {
    const std::string_view raw = Line(text);
    const std::string_view line = Trim(raw);
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    if (raw.front() == '[') {
      const std::size_t end = raw.find(']');
      open = end == std::string_view::npos ? nullptr : &sections[std::string(Trim(raw.substr(1, end - 1)))];
      parent.clear();
      continue;
    }
    const std::size_t equals = line.find('=');
    if (open == nullptr || equals == std::string_view::npos) continue;
    const bool nested = raw.front() == ' ' || raw.front() == '\t';
    std::string name = Lower(Trim(line.substr(0, equals)));
    const std::string value(Trim(WithoutComment(line.substr(equals + 1))));
    if (!nested) parent = value.empty() ? name : std::string();
    if (nested && parent.empty()) continue;  // goes on with the value above: no property of ours does
    if (nested) name = parent + "." + name;
    (*open)[name] = value;
  }
  return sections;
}

std::string TextOf(const Properties& properties, const char* name) {
  const auto found = properties.find(name);
  return found == properties.end() ? std::string() : found->second;
}

Result<Unit> ReadKeys(const Properties& properties, const std::string& profile, ProfileCredentials& out) {
  out.access_key_id = TextOf(properties, "aws_access_key_id");
  out.secret_key = TextOf(properties, "aws_secret_access_key");
  out.session_token = TextOf(properties, "aws_session_token");
  out.kind = ProfileCredentials::Kind::kKeys;
  if (out.access_key_id.empty() != out.secret_key.empty()) {
    return Fail("profile '" + profile + "' has one half of a key", "write both aws_access_key_id and aws_secret_access_key");
  }
  if (!out.access_key_id.empty()) return Done();
  for (const char* other : {"credential_process", "sso_session", "sso_start_url"}) {
    if (!TextOf(properties, other).empty()) {
      return Fail("profile '" + profile + "' uses '" + other + "', which is not followed here",
                  "an unattended agent needs a role of its machine, or keys");
    }
  }
  return NotFound("profile '" + profile + "' says nothing about credentials");
}

Result<Unit> ReadSource(const std::string& source, const std::string& profile, ProfileCredentials& out) {
  if (source == "Environment") {
    out.kind = ProfileCredentials::Kind::kEnvironment;
  } else if (source == "EcsContainer") {
    out.kind = ProfileCredentials::Kind::kContainer;
  } else if (source == "Ec2InstanceMetadata") {
    out.kind = ProfileCredentials::Kind::kInstance;
  } else {
    return Fail("profile '" + profile + "' has the credential_source '" + source + "', which is none",
                "Environment, EcsContainer or Ec2InstanceMetadata");
  }
  return Done();
}

ProfileCredentials::Role RoleOf(const Properties& properties) {
  ProfileCredentials::Role role;
  role.arn = TextOf(properties, "role_arn");
  role.external_id = TextOf(properties, "external_id");
  role.session_name = TextOf(properties, "role_session_name");
  const std::string seconds = TextOf(properties, "duration_seconds");
  (void)std::from_chars(seconds.data(), seconds.data() + seconds.size(), role.seconds);
  return role;
}

}  // namespace

SharedConfig ParseSharedConfig(std::string_view config, std::string_view credentials) {
  constexpr std::string_view kProfile = "profile ";
  constexpr std::string_view kServices = "services ";
  SharedConfig shared;
  std::map<std::string, Properties> sections = ParseSections(config);
  for (auto& [title, properties] : sections) {
    if (title.starts_with(kServices)) shared.services[std::string(Trim(title.substr(kServices.size())))] = properties;
    if (title.starts_with(kProfile)) shared.profiles[std::string(Trim(title.substr(kProfile.size())))] = properties;
  }
  if (sections.contains("default") && !shared.profiles.contains("default")) shared.profiles["default"] = sections["default"];
  for (const auto& [title, properties] : ParseSections(credentials)) {
    for (const auto& [name, value] : properties) shared.profiles[title][name] = value;
  }
  return shared;
}

Result<ProfileCredentials> CredentialsOfProfile(const SharedConfig& config, const std::string& profile) {
  ProfileCredentials out;
  std::set<std::string> seen;
  std::string at = profile;
  while (true) {
    const auto found = config.profiles.find(at);
    if (found == config.profiles.end()) {
      if (at == profile) return NotFound("there is no profile '" + profile + "'");
      return Fail("profile '" + profile + "' leads to profile '" + at + "', which is not there");
    }
    const Properties& properties = found->second;
    if (at == profile) out.region = TextOf(properties, "region");
    const bool circle = !seen.insert(at).second;
    const ProfileCredentials::Role role = RoleOf(properties);
    // A profile that is its own source stands for its own keys. @source botocore, credentials.py
    if (role.arn.empty() || circle) {
      if (circle && TextOf(properties, "aws_access_key_id").empty()) {
        return Fail("profile '" + profile + "' leads to itself", "source_profile must end at a profile with keys");
      }
      const Result<Unit> keys = ReadKeys(properties, at, out);
      if (!keys) return keys.error().retry == Retry::kNotFound && at != profile ? Fail(keys.error().message) : keys.error();
      return out;
    }
    out.roles.insert(out.roles.begin(), role);
    const std::string source = TextOf(properties, "source_profile");
    out.token_file = TextOf(properties, "web_identity_token_file");
    if (!out.token_file.empty()) {
      out.kind = ProfileCredentials::Kind::kWebIdentity;
      return out;
    }
    if (source.empty()) {
      const Result<Unit> read = ReadSource(TextOf(properties, "credential_source"), at, out);
      if (!read) return read.error();
      return out;
    }
    at = source;
  }
}

void AddProfileEndpoints(const SharedConfig& config, const std::string& profile, Endpoints& endpoints) {
  const auto found = config.profiles.find(profile);
  if (found == config.profiles.end() || TextOf(found->second, "ignore_configured_endpoint_urls") == "true") return;
  const auto services = config.services.find(TextOf(found->second, "services"));
  if (services != config.services.end()) {
    for (const auto& [name, value] : services->second) {
      constexpr std::string_view kUrl = ".endpoint_url";
      if (name.ends_with(kUrl)) endpoints.AddService(name.substr(0, name.size() - kUrl.size()), value);
    }
  }
  const std::string url = TextOf(found->second, "endpoint_url");
  if (!url.empty()) endpoints.set.emplace("*", url);
}

}  // namespace lifeboat::aws
