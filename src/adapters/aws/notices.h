#pragma once

// The door to those who are told (ports/notifier.h) over SNS topics and EventBridge buses. What is told is the JSON as it is given,
// with an 'id' of its own where it brings none: both services deliver at least once, and a receiver tells a second delivery by it.
// Thread rule: as Client.

#include <memory>
#include <string>
#include <vector>

#include "adapters/aws/client.h"
#include "config/aws_settings.h"
#include "ports/notifier.h"

namespace lifeboat::aws {

class AwsNotifier final : public Notifier {
 public:
  /// `client` outlives it.
  AwsNotifier(Client& client, AwsNoticeSettings settings) : client_(client), settings_(std::move(settings)) {}
  [[nodiscard]] std::string name() const override;
  Task<Result<Unit>> Tell(std::string subject, Json body, Duration timeout) override;
  Task<Result<std::vector<Readiness>>> Check(Duration timeout) override;

 private:
  Client& client_;
  AwsNoticeSettings settings_;
};

/// One door for each that stands in the settings, in their order.
[[nodiscard]] std::vector<std::unique_ptr<Notifier>> OpenAwsNotifiers(Client& client,
                                                                      const std::vector<AwsNoticeSettings>& settings);

/// A line for `lifeboat check`: whether anybody would be told if a region were lost. No settings: no lines.
[[nodiscard]] std::vector<Readiness> CheckNoticeRegions(const std::vector<AwsNoticeSettings>& settings);

/// `subject` as SNS takes it: printable ASCII on one line, at most 100 characters, not beginning with a space. Never empty.
[[nodiscard]] std::string SubjectOf(const std::string& subject);

}  // namespace lifeboat::aws
