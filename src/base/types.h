#pragma once

// Named types: what could be swapped by mistake does not share a type.
// Thread rule: plain values.

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace lifeboat {

/// A text with a meaning. Two tags never mix.
template <typename Tag>
struct Named {
  std::string text;

  Named() = default;
  explicit Named(std::string value) : text(std::move(value)) {}
  [[nodiscard]] bool empty() const { return text.empty(); }
  friend auto operator<=>(const Named&, const Named&) = default;
};

using RegionName = Named<struct RegionTag>;      ///< "us-east-1"
using AgentId = Named<struct AgentTag>;          ///< one run of an agent: random, new at each start
using ExecutionId = Named<struct ExecutionTag>;  ///< "x-0000000000000007": sortable by age
using SystemId = Named<struct SystemIdTag>;      ///< PostgreSQL's database system identifier, decimal

/// The number of the current primaryship. 0: none yet.
struct Epoch {
  std::uint64_t number = 0;
  friend auto operator<=>(const Epoch&, const Epoch&) = default;
};
[[nodiscard]] inline Epoch Next(Epoch e) { return {e.number + 1}; }

/// A position in the write-ahead log, in bytes. 0: invalid, as in PostgreSQL.
struct Lsn {
  std::uint64_t bytes = 0;
  friend auto operator<=>(const Lsn&, const Lsn&) = default;

  /// "0/3000148". @source PostgreSQL manual, pg_lsn Type
  [[nodiscard]] std::string Text() const;
  [[nodiscard]] static std::optional<Lsn> Parse(std::string_view text);
};

using Timeline = std::uint32_t;

struct ByteCount {
  std::uint64_t bytes = 0;
  friend auto operator<=>(const ByteCount&, const ByteCount&) = default;
};
/// "1.5 MiB".
[[nodiscard]] std::string FormatBytes(ByteCount count);

struct Endpoint {
  std::string host;  ///< an address, never a name: names are resolved by doors that say so
  std::uint16_t port = 0;
  friend auto operator<=>(const Endpoint&, const Endpoint&) = default;
  [[nodiscard]] std::string Text() const { return host + ":" + std::to_string(port); }
};

/// A secret: prints as ***, is wiped at the end, and leaves only through Reveal().
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(std::move(value)) {}
  Secret(Secret&&) = default;
  Secret& operator=(Secret&&) = default;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret();

  [[nodiscard]] Secret Clone() const { return Secret(value_); }
  [[nodiscard]] const std::string& Reveal() const { return value_; }
  [[nodiscard]] bool empty() const { return value_.empty(); }
  /// Constant-time in the length of `other`.
  [[nodiscard]] bool Equals(std::string_view other) const;

 private:
  std::string value_;
};

/// `bytes` random bytes from the kernel, as lower-case hex. @source getrandom(2)
[[nodiscard]] std::string RandomHex(std::size_t bytes);
/// A version 4 UUID. @source RFC 9562
[[nodiscard]] std::string RandomUuid();

}  // namespace lifeboat

template <typename Tag>
struct std::hash<lifeboat::Named<Tag>> {
  std::size_t operator()(const lifeboat::Named<Tag>& name) const { return std::hash<std::string>{}(name.text); }
};
