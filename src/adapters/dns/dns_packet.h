#pragma once

// DNS packets as plain values: questions and updates to bytes, bytes to answers. ldns builds, signs and parses; its types
// stay inside. What an update demands and does is in UpdatePlan, so that the rule "nobody undoes a newer epoch" can be read
// and tested without a network.
// Thread rule: pure functions and plain values (the time of a signature and nothing else is read from outside).
// @source RFC 1035, RFC 2136 (updates), RFC 8945 (TSIG)

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace lifeboat {

using Bytes = std::vector<std::uint8_t>;

enum class RecordType { kA, kAaaa, kTxt, kCname, kNs };
[[nodiscard]] const char* ToString(RecordType type);

/// All records of one type at a name. Empty values: the set does not exist.
struct RecordSet {
  RecordType type = RecordType::kA;
  std::chrono::seconds ttl{0};
  std::vector<std::string> values;  ///< as a zone file writes them: "10.0.0.1", "\"epoch=7\""
  friend bool operator==(const RecordSet&, const RecordSet&) = default;
};

/// Beside the address stands the epoch, as a TXT record at this name.
[[nodiscard]] inline std::string EpochNameOf(const std::string& name) { return "_lifeboat." + name; }
[[nodiscard]] std::string EpochValue(Epoch epoch);
/// The epoch that a TXT set tells; nothing when the set does not exist. @error kFail: it tells something else
[[nodiscard]] Result<std::optional<Epoch>> EpochIn(const RecordSet& texts);

/// What stands at the name, read at the authoritative server.
struct NameState {
  bool exists = false;  ///< the name, or the one of its epoch
  RecordSet ipv4{RecordType::kA, {}, {}};
  RecordSet ipv6{RecordType::kAaaa, {}, {}};
  RecordSet texts{RecordType::kTxt, {}, {}};
};

/// One update: it happens wholly if the name still stands exactly as in `expected`, and not at all otherwise.
struct UpdatePlan {
  std::string zone;
  std::string name;
  NameState expected;
  std::string address;
  Epoch epoch;
  std::chrono::seconds ttl{1};
};

struct TsigKey {
  std::string name;
  std::string algorithm;  ///< "hmac-sha256"
  Secret secret;          ///< base64
};
/// @error kFail: the algorithm is not one of hmac-sha1, hmac-sha256 and hmac-sha512, or the secret is not base64
[[nodiscard]] Result<Unit> CheckTsigKey(const TsigKey& key);

/// A packet to send and what its answer is known by.
struct Request {
  std::uint16_t id = 0;
  Bytes bytes;
  Bytes mac;  ///< of its signature; the answer is signed over it. Empty: not signed
};

/// A question with a random id. @param recursive  to a resolver; else to an authoritative server
/// @error kFail: `name` is no domain name
[[nodiscard]] Result<Request> BuildQuestion(const std::string& name, RecordType type, bool recursive = false);
/// @error kFail: a name or the address is none, or the key cannot sign
[[nodiscard]] Result<Request> BuildUpdate(const UpdatePlan& plan, const TsigKey& key);

struct DnsAnswer {
  int rcode = 0;
  std::string rcode_text;  ///< "NOERROR"
  bool authoritative = false;
  bool truncated = false;
  bool is_alias = false;   ///< the name is a CNAME
  bool is_signed = false;  ///< carries a MAC; VerifyAnswer says whether it is right
  int tsig_error = 0;      ///< 16 BADSIG, 17 BADKEY, 18 BADTIME
  RecordSet records;       ///< of the type and the name that were asked
};

/// Parses an answer to a question. Nothing: not an answer to this request (another id, name or type, or no DNS at all).
[[nodiscard]] std::optional<DnsAnswer> ParseAnswer(const Bytes& bytes, const Request& request, const std::string& name,
                                                   RecordType type);
/// The same for an update of `zone`.
[[nodiscard]] std::optional<DnsAnswer> ParseUpdateAnswer(const Bytes& bytes, const Request& request, const std::string& zone);
/// True when the answer is signed with `key` over `request`.
[[nodiscard]] bool VerifyAnswer(const Bytes& bytes, const Request& request, const TsigKey& key);

namespace rcode {
inline constexpr int kNoError = 0;
inline constexpr int kServFail = 2;
inline constexpr int kNxDomain = 3;
inline constexpr int kRefused = 5;
inline constexpr int kYxDomain = 6;
inline constexpr int kYxRrset = 7;
inline constexpr int kNxRrset = 8;
inline constexpr int kNotAuth = 9;
inline constexpr int kNotZone = 10;
}  // namespace rcode

}  // namespace lifeboat
