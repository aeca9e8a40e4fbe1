#pragma once

// One kept-open connection after its upgrade: frames in, frames out, both at the same time. Frames are written one
// after the other in the order of Send; each knows how far it came, so that the caller can tell "never left" from
// "may have arrived".
// Life cycle: always in a shared_ptr (its write loop keeps it alive); Close and Abort end the loops, and are final.
// Thread rule: one single-threaded executor (or strand), the socket's own.

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include "adapters/peers/wire.h"
#include "base/result.h"
#include "base/task.h"

namespace lifeboat::peers {

/// How far a frame came on its way out.
enum class Sending {
  kQueued,     ///< not a byte has left
  kWithdrawn,  ///< given up while queued: it will never leave
  kBegun,      ///< some of it may have left
  kWritten,    ///< all of it was handed to the kernel
};

struct OutgoingFrame {
  std::string bytes;
  Sending stage = Sending::kQueued;
};

class FramedSocket : public std::enable_shared_from_this<FramedSocket> {
 public:
  /// `early`: bytes that were read together with the upgrade and belong to the first frame.
  FramedSocket(boost::asio::ip::tcp::socket socket, std::string_view early);

  /// The text of the next frame. At most one Read at a time.
  /// @error kRetry: the connection has ended; kFail: the peer broke the format, and the connection must end
  Task<Result<std::string>> Read();

  /// Queues an encoded frame. On a closed connection it stays kQueued for ever.
  void Send(std::shared_ptr<OutgoingFrame> frame);

  /// Frames that were not yet written whole.
  [[nodiscard]] std::size_t QueueLength() const { return queue_.size(); }

  /// Looks without waiting: true when the other side has closed and nothing is left to read.
  [[nodiscard]] bool HasEnded();

  /// Ends the connection; what was written still travels.
  void Close();
  /// Ends the connection and takes back what has not left the machine. @source socket(7), SO_LINGER
  void Abort();
  [[nodiscard]] bool IsClosed() const { return closed_; }

 private:
  static Task<> WriteLoop(std::shared_ptr<FramedSocket> self);

  boost::asio::ip::tcp::socket socket_;
  FrameDecoder decoder_;
  std::array<char, 8192> chunk_{};
  std::deque<std::shared_ptr<OutgoingFrame>> queue_;
  bool writing_ = false;
  bool closed_ = false;
};

/// TCP_NODELAY, keepalive and TCP_USER_TIMEOUT, so that a peer which vanished is noticed without our asking.
/// @source tcp(7)
void TunePeerSocket(boost::asio::ip::tcp::socket& socket);

}  // namespace lifeboat::peers
