#include "adapters/aws/credential_check.h"

#include <algorithm>
#include <cctype>

#include "adapters/aws/check_lines.h"

namespace lifeboat::aws {

namespace {

using Lines = std::vector<Readiness>;

bool Contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// Roles and web identities are what STS gives out.
bool ByToken(const Credentials& credentials) { return credentials.source.starts_with("role '"); }

/// STS's endpoint, where it is needed.
void JudgeSts(const CredentialView& view, Lines& lines) {
  const std::string where = "roles are taken at '" + view.sts_url + "'";
  if (view.sts_url.empty()) {
    lines.push_back(
        Unknown("it is not known whose STS would renew the agent's role: the agent's region is none of AWS's", "set AWS_REGION"));
    return;
  }
  const std::string host = view.sts_url.substr(std::min(view.sts_url.find("://") + 3, view.sts_url.size()));
  if (host.substr(0, host.find_first_of("/:")) == "sts.amazonaws.com") {
    lines.push_back(Fault(where + ", the global endpoint, which is us-east-1",
                          "remove AWS_ENDPOINT_URL_STS: the region's own endpoint is asked then"));
    return;
  }
  for (const std::string& region : view.data_regions) {
    const bool other = region != view.own;
    if (other && (view.sts_region == region || Contains(host, "." + region + "."))) {
      lines.push_back(Fault(where + ": with '" + region + "' lost this agent's credentials could not be renewed",
                            "let it ask the STS of its own region, or of one that holds no copy"));
      return;
    }
  }
  lines.push_back(Ok(where + ", in '" + view.sts_region + "'"));
}

}  // namespace

bool IsAwsRegion(const std::string& region) {
  // "eu-west-1", "us-gov-west-1", "eusc-de-east-1": words and a number.
  const std::size_t dash = region.rfind('-');
  if (dash == std::string::npos || dash + 1 == region.size()) return false;
  const bool number = std::all_of(region.begin() + static_cast<std::ptrdiff_t>(dash) + 1, region.end(),
                                  [](unsigned char c) { return std::isdigit(c) != 0; });
  const std::string words = region.substr(0, dash);
  const std::size_t first = words.find('-');
  return number && first != std::string::npos && first >= 2 && first <= 4;
}

std::string StsRegionFor(const std::string& agent_region, const Environment& environment) {
  if (IsAwsRegion(agent_region)) return agent_region;
  return environment("AWS_REGION").value_or(environment("AWS_DEFAULT_REGION").value_or(""));
}

Lines CredentialLines(const Credentials& credentials, const CredentialView& view, WallTime now) {
  Lines lines;
  const std::string from =
      "the agent's credentials come from " + (credentials.source.empty() ? std::string("an unknown source") : credentials.source);
  if (credentials.expires) {
    const Duration left(credentials.expires->ns - now.ns);
    lines.push_back(left > 0ns ? Ok(from + " and end in " + FormatDuration(left) + "; they are renewed ten minutes before")
                               : Fault(from + " and ended " + FormatDuration(-left) + " ago: they could not be renewed",
                                       "look at the agent's log: what gives them out does not answer"));
  } else if (!credentials.session_token.empty()) {
    // SAFETY: a session's keys end within hours, and nobody would know when: most likely in the disaster.
    lines.push_back(Fault(from + " and are a session's: they end, nobody knows when, and nothing renews them by itself",
                          "give the machine a role, or name a role in a profile"));
  } else {
    lines.push_back(Ok(from + " and do not end: nothing has to renew them"));
  }
  if (ByToken(credentials)) JudgeSts(view, lines);
  return lines;
}

Task<Lines> CheckCredentials(std::shared_ptr<CredentialSource> source, CredentialView view, Clock& clock, Duration timeout) {
  Lines lines;
  Result<SharedCredentials> found = co_await source->Get(timeout);
  if (!found) {
    lines.push_back(Fault("the agent has no credentials for AWS: " + found.error().message,
                          found.error().hint.empty() ? "docs/aws.md, \"Credentials\"" : found.error().hint));
    co_return lines;
  }
  co_return CredentialLines(**found, view, clock.Wall());
}

}  // namespace lifeboat::aws
