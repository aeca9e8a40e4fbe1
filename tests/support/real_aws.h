#pragma once

// AWS for tests: an emulator on a free port, and a faulty road to it that records every request. Both die with the test.
// Their Python environment is build/aws-venv (scripts/aws-venv.sh); without it the constructors throw and say so.
// Thread rule: the thread of the test; starting, stopping and control calls block.

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"

namespace lifeboat::testing {

/// Two of independent authors: what one is lenient about, the other may not be.
enum class AwsEmulator { kMinistack, kMoto };
[[nodiscard]] const char* NameOf(AwsEmulator emulator);

/// What the tests sign with, wherever they are asked.
inline constexpr const char* kAwsAccessKey = "AKIALIFEBOATTESTS000";
inline constexpr const char* kAwsSecretKey = "a secret of the tests/+0123456789abcdefgh";

/// A Python program of tests/aws that serves until it is killed. Its first line of output is "port…"; the rest is its log.
class AwsProgram {
 public:
  /// @throws std::runtime_error with the log's end: it did not serve within 60 s
  explicit AwsProgram(std::vector<std::string> arguments);
  ~AwsProgram();
  AwsProgram(const AwsProgram&) = delete;
  AwsProgram& operator=(const AwsProgram&) = delete;

  [[nodiscard]] std::uint16_t port(std::size_t which = 0) const { return ports_.at(which); }
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  /// What it has said; the last 16 KiB.
  [[nodiscard]] std::string Log() const;
  void Freeze();  ///< it keeps its connections and says nothing
  void Thaw();
  void Kill();

 private:
  void Spawn(const std::vector<std::string>& arguments);
  void AwaitPorts();

  std::filesystem::path folder_;
  pid_t pid_ = -1;
  int out_ = -1;
  std::vector<std::uint16_t> ports_;
};

/// The path of a program of tests/aws.
[[nodiscard]] std::string AwsScript(const std::string& name);
/// Asks a program's control, on the `which`th of its ports. Throws, with its log, when it does not answer.
Json AwsControl(const AwsProgram& program, std::size_t which, const std::string& method, const std::string& path,
                const std::string& body);
/// Prints a log if the test that runs has failed.
void PrintLogOfFailure(const std::string& what, const std::string& log);

/// An emulator. Where the test fails, its log is printed when it ends.
class RealAws {
 public:
  explicit RealAws(AwsEmulator emulator);
  ~RealAws();

  [[nodiscard]] AwsEmulator emulator() const { return emulator_; }
  /// "http://127.0.0.1:…", of all its services and regions.
  [[nodiscard]] std::string Url() const;
  [[nodiscard]] AwsProgram& program() { return program_; }

 private:
  AwsEmulator emulator_;
  AwsProgram program_;
};

/// One that all tests of a program share; it ends with the program.
[[nodiscard]] RealAws& SharedAws(AwsEmulator emulator);

/// Files of a certificate and its key. Empty: no TLS.
struct RoadTls {
  std::string certificate;
  std::string key;
};

/// The road to an emulator. What faults there are: tests/aws/proxy.py.
class AwsRoad {
 public:
  /// With a certificate the road itself speaks TLS, as "localhost". `others`: services that lead to another emulator ("ecs" → its
  /// URL).
  explicit AwsRoad(const RealAws& aws, const RoadTls& tls = {}, const std::map<std::string, std::string>& others = {});
  ~AwsRoad();

  [[nodiscard]] std::string Url() const;
  /// Replaces all faults; requests that are held by one that is gone end without an answer.
  void Faults(const Json& faults);
  void Clear() { Faults(Json::array()); }
  /// As if it had just been opened; the recording stays.
  void Reset();
  /// AWS's clock is this far ahead of ours.
  void ShiftClock(int seconds);
  /// DynamoDB tables of these regions are one table with multi-region strong consistency, kept in the first.
  void MakeGlobal(const std::vector<std::string>& regions);
  /// [{n, service, region, operation, fault, forwarded, status}], in the order of their arrival
  [[nodiscard]] Json Requests() const;
  /// How many of them were of this service and operation.
  [[nodiscard]] std::size_t CountOf(const std::string& service, const std::string& operation) const;
  /// Requests to this region that were ever left waiting.
  [[nodiscard]] std::size_t HeldIn(const std::string& region) const;
  /// Checks all that was recorded until now against the vendor's service models, signatures included.
  /// @return empty: every request is as the models demand; else what is wrong
  [[nodiscard]] std::string Invalid() const;

 private:
  std::filesystem::path folder_;
  bool tls_;
  AwsProgram program_;
};

}  // namespace lifeboat::testing
