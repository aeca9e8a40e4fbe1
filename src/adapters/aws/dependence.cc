#include "adapters/aws/dependence.h"

#include <algorithm>
#include <set>

#include "adapters/aws/check_lines.h"
#include "adapters/aws/rds.h"

namespace lifeboat::aws {

namespace {

using Lines = std::vector<Readiness>;

constexpr const char* kGlobal = "us-east-1";

std::string Quote(const std::string& text) { return "'" + text + "'"; }

/// One failover: from a region that is lost to one that takes over.
class Way {
 public:
  Way(const Settings& settings, RegionName lost, RegionName target)
      : settings_(settings), aws_(*settings.aws), lost_(std::move(lost)), target_(std::move(target)) {}

  Lines Judge() {
    Store();
    if (aws_.database) asked_.push_back("RDS and CloudWatch in " + Quote(target_.text));
    Name();
    Compute();
    Hooks();
    if (!faults_.empty()) return faults_;
    std::string list;
    for (const std::string& one : asked_) list += (list.empty() ? "" : ", ") + one;
    return {Ok("with " + Quote(lost_.text) + " lost, a failover to " + Quote(target_.text) + " asks " + list + "; nothing of " +
               Quote(lost_.text) + (target_.text == kGlobal || lost_.text == kGlobal ? "" : ", and nothing of " + Quote(kGlobal)))};
  }

 private:
  void Lacks(const std::string& what, std::string hint) {
    faults_.push_back(Fault("with " + Quote(lost_.text) + " lost, a failover to " + Quote(target_.text) + " would need it: " + what,
                            std::move(hint)));
  }
  /// An ARN that names a region has to name the target's.
  void Arn(const std::string& what, const std::string& text, const char* hint) {
    const std::string region = rds::RegionOfArn(text);
    if (region.empty() || region == target_.text) return;
    if (region == lost_.text)
      Lacks(what + " is " + Quote(text), hint);
    else
      faults_.push_back(
          Fault(what + " is of " + Quote(region) + ", and serves " + Quote(target_.text) + ": that region would have to answer too",
                hint));
  }

  void Store() {
    const StoreSettings& store = settings_.store;
    switch (store.kind) {
      case StoreKind::kEmbedded:
        if (store.host == lost_) Lacks("the store is hosted there alone", "host it in a witness region");
        asked_.push_back("the store in " + Quote(store.host.text));
        break;
      case StoreKind::kDynamoDb: {
        std::string left;
        for (const std::string& region : store.aws_regions) {
          if (region != lost_.text) left += (left.empty() ? "" : " or ") + Quote(region);
        }
        if (left.empty())
          Lacks("the store's table is there alone", "make it a global table with multi-region strong consistency");
        else
          asked_.push_back("DynamoDB in " + left);
        break;
      }
      default: asked_.push_back("a majority of the store's members"); break;
    }
  }

  void Name() {
    if (!aws_.traffic) {
      asked_.push_back("AWS's own move of the global database's endpoint");
      return;
    }
    switch (aws_.traffic->kind) {
      case AwsTrafficKind::kStandbyTakesOver:
        asked_.push_back("S3 in " + Quote(target_.text) + " and the zone's name servers");
        break;
      case AwsTrafficKind::kRoutingControl: {
        std::size_t left = 0;
        for (const std::string& endpoint : aws_.traffic->control_endpoints) left += endpoint.starts_with(lost_.text + "=") ? 0 : 1;
        asked_.push_back("one of " + std::to_string(left) +
                         " routing control endpoints, of which three must agree, and the zone's name servers");
        break;
      }
      case AwsTrafficKind::kRecords:
        // SAFETY: said for every region that may be lost: the change itself goes to one region of the world.
        faults_.push_back(
            Fault("with " + Quote(lost_.text) + " lost, the name's record is changed through " + Quote(kGlobal) +
                      (lost_.text == kGlobal ? ", the region that is lost" : ", which has to answer whatever region is lost"),
                  "choose 'standby-takes-over' or 'routing-control'"));
        break;
    }
  }

  void Compute() {
    for (const AwsComputeSettings& one : aws_.compute) {
      const auto group = one.target_groups.find(target_);
      if (group != one.target_groups.end())
        Arn("target group of compute " + Quote(one.name), group->second, "name the target group of the region that takes over");
    }
    if (!aws_.compute.empty()) asked_.push_back("compute in " + Quote(target_.text));
  }

  void Hooks() {
    for (const AwsHookSettings& one : aws_.hooks) {
      const auto function = one.functions.find(target_);
      if (one.required && function != one.functions.end())
        Arn("the function of hook " + Quote(one.name), function->second,
            "deploy the function in the region that takes over, and name that one");
    }
    if (!aws_.hooks.empty()) asked_.push_back("Lambda in " + Quote(target_.text));
  }

  const Settings& settings_;
  const AwsSettings& aws_;
  const RegionName lost_;
  const RegionName target_;
  std::vector<std::string> asked_;
  Lines faults_;
};

}  // namespace

Lines DependenceLines(const Settings& settings) {
  Lines lines;
  if (!settings.aws) return lines;
  std::set<std::string> told;
  for (const RegionSettings& lost : settings.regions) {
    for (const RegionSettings& target : settings.regions) {
      if (lost.kind != RegionKind::kData || target.kind != RegionKind::kData || lost.name == target.name) continue;
      for (Readiness& line : Way(settings, lost.name, target.name).Judge()) {
        if (told.insert(line.what).second) lines.push_back(std::move(line));
      }
    }
  }
  return lines;
}

}  // namespace lifeboat::aws
