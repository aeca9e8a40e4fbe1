#pragma once

// A real Knot DNS server for tests: its own folder, a free port of 127.0.0.1, one zone, one TSIG key that may update it.
// Runs as whoever runs the test, and dies with the test. Thread rule: the thread of the test; starting and stopping block.

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "adapters/dns/knot_config.h"
#include "config/settings.h"

namespace lifeboat::testing {

class RealKnot {
 public:
  static constexpr const char* kZone = "lifeboat.test.";
  static constexpr const char* kName = "orders-db.lifeboat.test.";

  /// Starts a server whose zone has these names, and these lines. Throws when it does not serve within 20 s.
  explicit RealKnot(const std::vector<KnotName>& names = {}, const std::string& zone_lines = {})
      : folder_(MakeFolder()), settings_(MakeSettings(folder_)), secret_(MakeSecret()) {
    WriteFile("knot.conf", KnotConfig(settings_, secret_));
    WriteFile(settings_.zone_file, KnotZone(settings_, names) + zone_lines);
    Start();
  }
  ~RealKnot();
  RealKnot(const RealKnot&) = delete;
  RealKnot& operator=(const RealKnot&) = delete;

  void Start();
  void Stop();  ///< SIGTERM, and waits
  void Kill();  ///< SIGKILL, and waits
  /// Stops it in its tracks (SIGSTOP) and lets it go on (SIGCONT).
  void Freeze();
  void Thaw();

  [[nodiscard]] Endpoint endpoint() const { return settings_.listen; }
  [[nodiscard]] const Secret& secret() const { return secret_; }
  /// Settings of a client that updates kName.
  [[nodiscard]] DnsSettings ClientSettings() const;
  [[nodiscard]] std::string LogText() const;

 private:
  static std::filesystem::path MakeFolder();
  static KnotSettings MakeSettings(const std::filesystem::path& folder);
  static Secret MakeSecret();
  void WriteFile(const std::string& name, const std::string& text) const;
  [[nodiscard]] bool Answers() const;
  void End(int signal);

  std::filesystem::path folder_;
  KnotSettings settings_;
  Secret secret_;
  pid_t pid_ = -1;
};

}  // namespace lifeboat::testing
