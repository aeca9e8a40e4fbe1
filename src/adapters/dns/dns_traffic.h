#pragma once

// The service's name in DNS, kept by RFC 2136 updates under a TSIG key at the authoritative primary. The epoch stands beside
// the address as TXT "epoch=N" at _lifeboat.<name>; both change in one update, which demands that both still are what was
// read. So a writer of an older epoch cannot undo a newer one, and no moment shows an empty name.
// Thread rule: on the executor that it was given.

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <string>

#include "adapters/dns/dns_packet.h"
#include "base/log.h"
#include "config/settings.h"
#include "ports/traffic.h"

namespace lifeboat {

/// The base64 secret in `file`, without white space around it. Blocks: call it at start-up only.
/// @error kFail: it cannot be read, others may read it (mode), or it is empty
[[nodiscard]] Result<Secret> ReadTsigSecret(const std::string& file);

class DnsTraffic : public Traffic {
 public:
  /// `secret` may be the error of reading it: then Read works, and Point fails with that error.
  DnsTraffic(boost::asio::any_io_executor executor, DnsSettings settings, Result<Secret> secret, Log log);

  Task<Result<TrafficRecord>> Read(Duration timeout) override;
  /// One or more updates, each conditional on what was read before it; done is what a last look has shown.
  /// @error kFail: the server refuses this key or this zone, or the epoch beside the name cannot be read
  Task<Result<Unit>> Point(std::string address, Epoch epoch, Duration timeout) override;

 private:
  using Moment = std::chrono::steady_clock::time_point;
  enum class Outcome { kTaken, kOvertaken, kUnknown, kNotSent };

  Task<Result<RecordSet>> AskSet(std::string name, RecordType type, Moment deadline, bool* exists);
  Task<Result<NameState>> Look(Moment deadline);
  Task<Result<Outcome>> Update(UpdatePlan plan, Moment deadline);
  [[nodiscard]] bool PointsTo(const NameState& state, const std::string& address) const;
  [[nodiscard]] Error Denied(const DnsAnswer& answer) const;

  boost::asio::any_io_executor executor_;
  DnsSettings settings_;
  Result<TsigKey> key_;
  Log log_;
};

/// The address that `name` has at the authoritative `server`: one question, A and then AAAA. For clients and the canary.
/// @error kRetry: no answer; kNotFound: the name has no address; kFail: the server is not authoritative for it
Task<Result<std::string>> ResolveAddress(boost::asio::any_io_executor executor, Endpoint server, std::string name,
                                         Duration timeout);

}  // namespace lifeboat
