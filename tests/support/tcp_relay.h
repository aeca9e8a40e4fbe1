#pragma once

// A relay in front of a server, in the test's own io_context: it can lose the server's answers after the server has acted,
// hold everything back, and count what came. Thread rule: the thread that drives the context.

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "base/task.h"

namespace lifeboat::testing {

class TcpRelay {
 public:
  using Tcp = boost::asio::ip::tcp;

  TcpRelay(boost::asio::io_context& context, std::uint16_t server_port)
      : acceptor_(context, Tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0)), server_port_(server_port) {
    boost::asio::co_spawn(context, Accept(), boost::asio::detached);
  }

  [[nodiscard]] std::string Url() const { return "http://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()); }

  bool lose_answers = false;  ///< close the client's connection instead of handing an answer on
  int answers_lost = 0;

 private:
  static constexpr auto kAsTuple = boost::asio::as_tuple(boost::asio::use_awaitable);

  Task<> Accept() {
    while (true) {
      auto [problem, client] = co_await acceptor_.async_accept(kAsTuple);
      if (problem) co_return;
      auto near = std::make_shared<Tcp::socket>(std::move(client));
      auto far = std::make_shared<Tcp::socket>(acceptor_.get_executor());
      const Tcp::endpoint to(boost::asio::ip::address_v4::loopback(), server_port_);
      auto [refused] = co_await far->async_connect(to, kAsTuple);
      if (refused) continue;
      boost::asio::co_spawn(acceptor_.get_executor(), Carry(near, far, false), boost::asio::detached);
      boost::asio::co_spawn(acceptor_.get_executor(), Carry(far, near, true), boost::asio::detached);
    }
  }

  Task<> Carry(std::shared_ptr<Tcp::socket> from, std::shared_ptr<Tcp::socket> to, bool is_answer) {
    std::array<char, 16384> part{};
    while (true) {
      auto [problem, size] = co_await from->async_read_some(boost::asio::buffer(part), kAsTuple);
      if (!problem && is_answer && lose_answers) ++answers_lost;
      if (problem || (is_answer && lose_answers)) break;
      auto [broken, written] = co_await boost::asio::async_write(*to, boost::asio::buffer(part.data(), size), kAsTuple);
      if (broken) break;
    }
    boost::system::error_code ignored;
    from->close(ignored);
    to->close(ignored);
  }

  Tcp::acceptor acceptor_;
  std::uint16_t server_port_;
};

}  // namespace lifeboat::testing
