#pragma once

// lifeboat init --from-aws: the first lifeboat.yaml of a service whose database is an Aurora global cluster, commented, from what
// AWS tells. It observes only, until its owner writes otherwise; what could not be read stands in it as a comment, with the reason.
// Data flow: ReadAws (cli/aws_survey.h) → FirstSettings → a new file. Nothing in AWS is changed, and no file is overwritten.
// Thread rule: the main thread; FirstSettings is pure.

#include <string>

#include "cli/ask.h"
#include "cli/aws_survey.h"

namespace lifeboat {

struct InitOptions {
  bool from_aws = false;
  AwsSurveyRequest request;
  std::vector<std::string> groups;       ///< "region=name" of an Auto Scaling group
  std::vector<std::string> services;     ///< "region=cluster/service" of ECS
  std::vector<std::string> node_groups;  ///< "region=cluster/nodegroup" of EKS
  std::vector<std::string> alarms;       ///< "region=name"
  std::string output = "lifeboat.yaml";
};

/// The text of a lifeboat.yaml that LoadSettings takes as it stands.
/// @error kRefused: the global cluster has no second region, so there is nowhere to move to
[[nodiscard]] Result<std::string> FirstSettings(const AwsSurvey& survey);

/// Exit code 3: the file is there already; 1: the global cluster cannot be read, or the file cannot be written.
[[nodiscard]] int InitFromAws(const CommonOptions& common, const InitOptions& options);

}  // namespace lifeboat
