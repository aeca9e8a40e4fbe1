#include "base/address_reach.h"

#include <gtest/gtest.h>

namespace lifeboat {
namespace {

TEST(AddressReach, OnlyTheMachineItselfIsLoopback) {
  for (const char* host : {"127.0.0.1", "127.77.3.2", "::1", "::ffff:127.0.0.1"})
    EXPECT_EQ(ReachOf(host), AddressReach::kLoopback) << host;
}

TEST(AddressReach, PrivateNetworksEndWhereTheyEnd) {
  for (const char* host : {"10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.1", "192.168.7.7", "100.64.0.1", "100.127.0.1",
                           "fd00::1", "fc12::1", "::ffff:10.1.2.3"}) {
    EXPECT_EQ(ReachOf(host), AddressReach::kPrivate) << host;
  }
  for (const char* host : {"9.255.255.255", "11.0.0.1", "172.15.0.1", "172.32.0.1", "192.167.0.1", "192.169.0.1", "100.63.0.1",
                           "100.128.0.1", "192.0.2.3", "8.8.8.8", "0.0.0.0", "::", "2001:db8::1", "fe80::1"}) {
    EXPECT_EQ(ReachOf(host), AddressReach::kPublic) << host;
  }
}

TEST(AddressReach, ANameHasNone) {
  for (const char* host : {"", "localhost", "10.0.0", "10.0.0.1:80"}) EXPECT_FALSE(ReachOf(host)) << host;
}

}  // namespace
}  // namespace lifeboat
