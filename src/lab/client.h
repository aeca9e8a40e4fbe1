#pragma once

// A client of the service that keeps its own record: the only witness of what was acknowledged, and so of what an
// outage was and of what was lost. One thread and one connection a client, one numbered row every few milliseconds.
// Row numbers never repeat: a row whose answer did not come stays in doubt and is skipped, never sent again.
//
// Three kinds, as they are met in the field:
//  fresh      asks the authoritative name server at every connect, 20 ms between tries, every try bounded by 500 ms
//  ttl        keeps the address that it was given for as long as the record's TTL allows
//  multihost  knows both addresses and looks for the writable one; the client that failover tools are compared with
//
// Life cycle: Make, Start, Stop (or the destructor). Thread rule: the public methods from any thread.

#include <atomic>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "base/time.h"
#include "base/types.h"
#include "lab/sql.h"

namespace lifeboat::lab {

enum class ClientMode { kFresh, kTtl, kMultihost };
[[nodiscard]] const char* ToString(ClientMode mode);

/// What became of a row.
enum class RowFate {
  kAcknowledged,  ///< the server said that it is committed
  kInDoubt,       ///< sent, and no answer came: it may be there or not
  kRefused,       ///< the server said no: it must not be there
};

struct ClientRow {
  std::uint64_t n = 0;
  std::int64_t sent_ns = 0;   ///< CLOCK_MONOTONIC
  std::int64_t ended_ns = 0;  ///< CLOCK_MONOTONIC: when the answer came, or the client gave up on it
  std::int64_t wall_ns = 0;   ///< wall time of the same moment, for reports
  RowFate fate = RowFate::kInDoubt;
  std::uint16_t server = 0;  ///< index into ClientRecord::servers
};

/// A time in which the client could not write: from the last acknowledgement before it to the first after it.
struct ClientOutage {
  std::int64_t from_ns = 0;  ///< CLOCK_MONOTONIC
  std::int64_t to_ns = 0;
  std::int64_t from_wall_ns = 0;
  std::int64_t to_wall_ns = 0;
  std::string from_server;
  std::string to_server;
  [[nodiscard]] Duration Length() const { return Duration(to_ns - from_ns); }
};

/// A client's record, copied at one moment.
struct ClientRecord {
  int client = 0;
  std::string name;
  ClientMode mode = ClientMode::kFresh;
  std::vector<ClientRow> rows;       ///< in the order of their numbers
  std::vector<std::string> servers;  ///< addresses, in the order in which the client met them

  [[nodiscard]] std::uint64_t Count(RowFate fate) const;
  /// Gaps between two acknowledgements that are at least `least` long.
  [[nodiscard]] std::vector<ClientOutage> Outages(Duration least) const;
  /// The outage of a move: from the last acknowledgement before the first one on another server, to that one; looking
  /// at acknowledgements from `since_ns` (CLOCK_MONOTONIC) on. Nothing while the client has not moved.
  [[nodiscard]] std::optional<ClientOutage> FirstMove(std::int64_t since_ns) const;
  /// The longest gap between acknowledgements whose end is after `since_ns`: for an outage on one server.
  [[nodiscard]] std::optional<ClientOutage> LongestGap(std::int64_t since_ns) const;
};

struct ClientOptions {
  int number = 1;    ///< column `client` of the rows; each run of a lab uses new ones
  std::string name;  ///< "fresh-1"
  ClientMode mode = ClientMode::kFresh;
  Endpoint dns_server;             ///< fresh, ttl
  std::string dns_name;            ///< fresh, ttl: fully qualified
  std::uint16_t port = 0;          ///< of every server: an A record carries none
  std::vector<std::string> hosts;  ///< multihost: the addresses
  std::string user;
  std::string database;
  std::string password_file;  ///< libpq passfile
  std::string tls_root;       ///< fresh, ttl: file of the CA whose servers are made out to their addresses; empty: no TLS
  Duration interval = 5ms;
  std::optional<std::filesystem::path> record_file;  ///< the record is appended to it, one line a row
};

class Client {
 public:
  explicit Client(ClientOptions options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// @error kFail: the record file cannot be written
  [[nodiscard]] Result<Unit> Start();
  /// Ends the thread; a row that is under way is in doubt. Blocks for at most about 2 s (libpq's blocking connect).
  void Stop();

  [[nodiscard]] ClientRecord Record() const;
  /// Rows acknowledged so far.
  [[nodiscard]] std::uint64_t Acknowledged() const { return acknowledged_.load(); }
  /// CLOCK_MONOTONIC of the last acknowledgement; 0: none yet.
  [[nodiscard]] std::int64_t LastAcknowledgedNs() const { return last_acknowledged_ns_.load(); }
  [[nodiscard]] const ClientOptions& options() const { return options_; }
  /// Why the last connect or write failed, in libpq's words; for a person who waits.
  [[nodiscard]] std::string LastProblem() const;

 private:
  void Run(const std::stop_token& stop);
  [[nodiscard]] Connection Connect(const std::stop_token& stop);
  [[nodiscard]] Connection ConnectByName(const std::stop_token& stop);
  [[nodiscard]] Connection ConnectMultihost();
  [[nodiscard]] std::optional<std::string> AddressNow();
  void WriteRows(const Connection& connection, const std::stop_token& stop);
  [[nodiscard]] RowFate WriteRow(const Connection& connection, std::uint64_t n, const std::stop_token& stop);
  void Remember(ClientRow row);
  [[nodiscard]] std::uint16_t ServerIndex(const std::string& address);
  void SetProblem(std::string problem);

  const ClientOptions options_;
  const std::string pad_;

  mutable std::mutex mutex_;  // protects the five below
  std::vector<ClientRow> rows_;
  std::vector<std::string> servers_;
  std::string problem_;
  std::FILE* file_ = nullptr;

  std::string cached_address_;        // of the thread alone: ttl
  std::int64_t cached_until_ns_ = 0;  // of the thread alone
  std::uint64_t next_n_ = 1;          // of the thread alone

  std::atomic<std::uint64_t> acknowledged_{0};
  std::atomic<std::int64_t> last_acknowledged_ns_{0};
  std::jthread thread_;
};

/// What a comparison of a client's record with the table found.
struct ClientCheck {
  int client = 0;
  std::string name;
  std::uint64_t acknowledged = 0;
  std::uint64_t in_doubt = 0;
  std::uint64_t in_doubt_present = 0;     ///< allowed: the answer was lost, not the row
  std::vector<ClientRow> missing;         ///< acknowledged and not in the table, by number
  std::vector<std::uint64_t> unexpected;  ///< in the table though refused or never sent, by number
};

/// Compares the record with table ledger_rows of the server behind `conninfo`. Stop the client first.
/// @error kRetry, kFail: the table cannot be read; then nothing is known about it
[[nodiscard]] Result<ClientCheck> CheckRecord(const ClientRecord& record, const std::string& conninfo);

/// CLOCK_MONOTONIC in nanoseconds, the clock of the records.
[[nodiscard]] std::int64_t MonotonicNs();

}  // namespace lifeboat::lab
