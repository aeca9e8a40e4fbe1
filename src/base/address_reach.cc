#include "base/address_reach.h"

#include <boost/asio/ip/address.hpp>

namespace lifeboat {

namespace asio = boost::asio;

namespace {

bool IsPrivate(const asio::ip::address_v4& address) {
  const std::uint32_t bits = address.to_uint();
  const auto within = [&](std::uint32_t network, int length) { return (bits >> (32 - length)) == (network >> (32 - length)); };
  return within(0x0A000000, 8) || within(0xAC100000, 12) || within(0xC0A80000, 16) || within(0x64400000, 10);
}

}  // namespace

std::optional<AddressReach> ReachOf(const std::string& host) {
  boost::system::error_code failure;
  asio::ip::address address = asio::ip::make_address(host, failure);
  if (failure) return std::nullopt;
  if (address.is_v6() && address.to_v6().is_v4_mapped()) address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  if (address.is_loopback()) return AddressReach::kLoopback;
  const bool is_private = address.is_v4() ? IsPrivate(address.to_v4()) : (address.to_v6().to_bytes()[0] & 0xFE) == 0xFC;
  return is_private ? AddressReach::kPrivate : AddressReach::kPublic;
}

}  // namespace lifeboat
