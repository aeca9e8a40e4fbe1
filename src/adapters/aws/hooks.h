#pragma once

// The door to a program of the operator's (ports/hook.h) over Lambda: called in the region that takes over, and waited for.
// Thread rule: as Client.

#include <memory>
#include <string>
#include <vector>

#include "adapters/aws/client.h"
#include "config/aws_settings.h"
#include "ports/hook.h"

namespace lifeboat::aws {

class AwsHook final : public Hook {
 public:
  /// `client` outlives it.
  AwsHook(Client& client, AwsHookSettings settings) : client_(client), settings_(std::move(settings)) {}
  [[nodiscard]] std::string name() const override { return settings_.name; }
  [[nodiscard]] std::string when() const override { return settings_.when; }
  [[nodiscard]] bool required() const override { return settings_.required; }
  [[nodiscard]] Duration patience() const override { return settings_.timeout; }
  Task<Result<Json>> Call(RegionName region, Json payload, Duration timeout) override;
  Task<Result<std::vector<Readiness>>> Check(RegionName region, Duration timeout) override;

 private:
  [[nodiscard]] Result<std::string> FunctionOf(const RegionName& region) const;
  Client& client_;
  AwsHookSettings settings_;
};

/// One door for each that stands in the settings, in their order.
[[nodiscard]] std::vector<std::unique_ptr<Hook>> OpenAwsHooks(Client& client, const std::vector<AwsHookSettings>& settings);

}  // namespace lifeboat::aws
