#include "lab/addresses.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

namespace lifeboat::lab {
namespace {

// A free slot to test with: another lab may run on this machine.
int FreeSlot() {
  const auto slot = Slot::Take();
  return slot ? slot->number() : 0;
}

TEST(Slot, IsNotGivenTwiceWhileItIsHeld) {
  const int number = FreeSlot();
  ASSERT_NE(number, 0);
  const auto held = Slot::Take(number);
  ASSERT_TRUE(held);
  ASSERT_EQ(held->number(), number);

  const auto other = Slot::Take(number);

  ASSERT_TRUE(other);
  EXPECT_NE(other->number(), number);
}

TEST(Slot, IsNotGivenWhileAServerListensOnAnyOfItsAddresses) {
  const int number = FreeSlot();
  ASSERT_NE(number, 0);
  for (const int host : {1, 2, 3, 4}) {
    const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    ::inet_pton(AF_INET, ("127.77." + std::to_string(number) + "." + std::to_string(host)).c_str(), &at.sin_addr);
    ASSERT_EQ(::bind(server, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
    ASSERT_EQ(::listen(server, 1), 0);

    const auto slot = Slot::Take(number);

    ASSERT_TRUE(slot);
    EXPECT_NE(slot->number(), number) << host;
    ::close(server);
  }
}

TEST(Slot, GivesEachPortOnce) {
  auto slot = Slot::Take();
  ASSERT_TRUE(slot);
  std::vector<std::uint16_t> ports;
  for (int count = 0; count < 20; ++count) {
    const auto port = slot->FreePort();
    ASSERT_TRUE(port);
    EXPECT_EQ(std::find(ports.begin(), ports.end(), *port), ports.end());
    ports.push_back(*port);
  }
}

}  // namespace
}  // namespace lifeboat::lab
