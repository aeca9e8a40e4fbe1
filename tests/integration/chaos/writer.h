#pragma once

// A writer of uniquely keyed rows that remembers what became of each: who was asked, when, and by which transaction it was
// acknowledged. Two kinds: one that follows the service's public name, as clients do, and one beside a region's server that writes
// through its Unix socket whatever the network does and whether or not the region is the primary: those are the ones that a region
// must not believe.
// Life cycle: construct, Start, Stop. Thread rule: public methods from one thread.

#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/time.h"
#include "integration/chaos/history.h"
#include "lab/layout.h"
#include "lab/sql.h"

namespace lifeboat::chaos {

inline constexpr const char* kTable =
    "CREATE TABLE chaos_rows(writer int, n bigint, PRIMARY KEY (writer, n)); "
    "GRANT SELECT, INSERT ON chaos_rows TO clients";

class Writer {
 public:
  /// @param beside  region whose socket it writes through; empty: by the public name
  Writer(const lab::LabInfo& lab, int number, std::string beside, Duration interval);
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void Start();
  void Stop();
  /// Everything so far, in the order of its numbers.
  [[nodiscard]] std::vector<Row> Rows() const;
  /// How many rows were acknowledged.
  [[nodiscard]] std::uint64_t Acknowledged() const;

 private:
  void Run(const std::stop_token& stop);
  [[nodiscard]] lab::Connection Connect(std::string& region) const;
  [[nodiscard]] Row Write(const lab::Connection& connection, const std::string& region, const std::stop_token& stop, bool& broken);

  const lab::LabInfo& lab_;
  const int number_;
  const std::string beside_;
  const Duration interval_;
  std::uint64_t next_n_ = 1;  // of the thread alone
  mutable std::mutex mutex_;  // protects rows_ and acknowledged_
  std::vector<Row> rows_;
  std::uint64_t acknowledged_ = 0;
  std::jthread thread_;
};

}  // namespace lifeboat::chaos
