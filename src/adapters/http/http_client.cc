#include "adapters/http/http_client.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "base/types.h"

namespace lifeboat {

namespace {

namespace asio = boost::asio;

constexpr std::size_t kMostHeaders = 200;  // of an answer; libcurl bounds their size

/// A socket that libcurl opened, and what it waits for on it.
struct Watched {
  explicit Watched(const asio::any_io_executor& executor, int fd) : descriptor(executor, fd) {}
  asio::posix::stream_descriptor descriptor;
  int wanted = 0;  ///< CURL_POLL_IN, CURL_POLL_OUT, both
  bool reading = false;
  bool writing = false;
};

/// libcurl's own initialisation, once a process. @source curl_global_init(3)
void InitialiseCurl() {
  static const CURLcode code = ::curl_global_init(CURL_GLOBAL_DEFAULT);
  LIFEBOAT_CHECK(code == CURLE_OK, "libcurl cannot be initialised");
}

/// One request on its way.
struct Transfer {
  explicit Transfer(const asio::any_io_executor& executor) : done(executor) {}

  HttpRequest request;
  std::size_t handed = 0;  ///< bytes of the body that libcurl took
  bool body_taken = false;
  bool too_large = false;
  std::size_t most_body = 0;
  HttpResponse response;
  bool finished = false;
  CURLcode code = CURLE_OK;
  std::array<char, CURL_ERROR_SIZE> words{};
  CURL* easy = nullptr;
  curl_slist* headers = nullptr;
  curl_slist* connect_to = nullptr;
  asio::steady_timer done;
};

std::size_t GiveBody(char* to, std::size_t size, std::size_t count, void* user) {
  auto* transfer = static_cast<Transfer*>(user);
  const std::size_t part = std::min(size * count, transfer->request.body.size() - transfer->handed);
  std::memcpy(to, transfer->request.body.data() + transfer->handed, part);
  transfer->handed += part;
  transfer->body_taken = true;
  return part;
}

std::size_t TakeBody(char* from, std::size_t size, std::size_t count, void* user) {
  auto* transfer = static_cast<Transfer*>(user);
  const std::string_view part(from, size * count);
  if (transfer->request.on_body) {
    transfer->request.on_body(part);
    return part.size();
  }
  if (transfer->response.body.size() + part.size() > transfer->most_body) {
    transfer->too_large = true;
    return 0;
  }
  transfer->response.body.append(part);
  return part.size();
}

/// One line of the answer's head. A new status line (after a "100 Continue") begins it anew.
std::size_t TakeHeader(char* from, std::size_t size, std::size_t count, void* user) {
  auto& headers = static_cast<Transfer*>(user)->response.headers;
  std::string_view line(from, size * count);
  if (line.starts_with("HTTP/")) headers.clear();
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || headers.size() >= kMostHeaders) return size * count;
  std::string name(line.substr(0, colon));
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  line.remove_prefix(colon + 1);
  while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
  headers.emplace_back(std::move(name), line);
  return size * count;
}

bool IsAddress(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> binary{};
  return ::inet_pton(AF_INET, host.c_str(), binary.data()) == 1 || ::inet_pton(AF_INET6, host.c_str(), binary.data()) == 1;
}

/// "https://host:port" of a URL, for messages: the rest may hold what is not for them.
struct Target {
  std::string host;
  std::string origin;
};

Result<Target> ParseTarget(const std::string& url) {
  const std::unique_ptr<CURLU, decltype(&::curl_url_cleanup)> parts(::curl_url(), &::curl_url_cleanup);
  const auto part = [&](CURLUPart which) {
    char* text = nullptr;
    std::string answer;
    if (::curl_url_get(parts.get(), which, &text, 0) == CURLUE_OK) answer = text;
    ::curl_free(text);
    return answer;
  };
  if (!parts || ::curl_url_set(parts.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) return Fail("a URL cannot be read");
  Target target;
  const std::string scheme = part(CURLUPART_SCHEME);
  const std::string host = part(CURLUPART_HOST);
  const std::string port = part(CURLUPART_PORT);
  if (scheme != "http" && scheme != "https") return Fail("'" + scheme + "://" + host + "' is neither http nor https");
  target.origin = scheme + "://" + host + (port.empty() ? "" : ":" + port);
  target.host = host.size() > 2 && host.front() == '[' ? host.substr(1, host.size() - 2) : host;
  return target;
}

bool IsCertificateProblem(CURLcode code) {
  return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CERTPROBLEM ||
         code == CURLE_SSL_ISSUER_ERROR || code == CURLE_SSL_CONNECT_ERROR || code == CURLE_SSL_CIPHER;
}

}  // namespace

struct HttpClient::Engine : std::enable_shared_from_this<HttpClient::Engine> {
  Engine(asio::any_io_executor with, HttpOptions having) : executor(std::move(with)), options(std::move(having)), timer(executor) {
    InitialiseCurl();
    multi = ::curl_multi_init();
    LIFEBOAT_CHECK(multi != nullptr, "libcurl has no memory");
    ::curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, &Engine::OnInterest);
    ::curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, this);
    ::curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, &Engine::OnTimer);
    ::curl_multi_setopt(multi, CURLMOPT_TIMERDATA, this);
    ::curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, static_cast<long>(options.most_connections));
    ::curl_multi_setopt(multi, CURLMOPT_PIPELINING, static_cast<long>(CURLPIPE_NOTHING));
  }
  ~Engine() {
    ::curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, nullptr);
    ::curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, nullptr);
    ::curl_multi_cleanup(multi);  // closes the kept connections, by OnClose
  }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // ---- what libcurl calls; none of these may call it back ----

  static curl_socket_t OnOpen(void* user, curlsocktype /*purpose*/, curl_sockaddr* address) {
    auto* engine = static_cast<Engine*>(user);
    const int fd = ::socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->protocol);
    if (fd < 0) return CURL_SOCKET_BAD;
    try {
      engine->sockets[fd] = std::make_shared<Watched>(engine->executor, fd);
    } catch (const std::exception&) {
      ::close(fd);
      return CURL_SOCKET_BAD;
    }
    return fd;
  }

  static int OnClose(void* user, curl_socket_t fd) {
    auto* engine = static_cast<Engine*>(user);
    const auto found = engine->sockets.find(fd);
    if (found == engine->sockets.end()) return ::close(fd);
    // Closed by hand: what waits for it holds it, and would keep it open for as long as it waits.
    boost::system::error_code ignored;
    found->second->descriptor.close(ignored);
    engine->sockets.erase(found);
    return 0;
  }

  static int OnInterest(CURL* /*easy*/, curl_socket_t fd, int what, void* user, void* /*socket*/) {
    auto* engine = static_cast<Engine*>(user);
    const auto found = engine->sockets.find(fd);
    if (found == engine->sockets.end()) return 0;
    found->second->wanted = what == CURL_POLL_REMOVE ? 0 : what;
    engine->Arm(fd, found->second);
    return 0;
  }

  static int OnTimer(CURLM* /*multi*/, long milliseconds, void* user) {
    auto* engine = static_cast<Engine*>(user);
    if (milliseconds < 0) {
      engine->timer.cancel();
      return 0;
    }
    engine->timer.expires_after(std::chrono::milliseconds(milliseconds));
    engine->timer.async_wait([weak = engine->weak_from_this()](const boost::system::error_code& problem) {
      if (problem) return;
      if (const auto self = weak.lock()) self->Act(CURL_SOCKET_TIMEOUT, 0);
    });
    return 0;
  }

  // ---- what Asio calls ----

  void Arm(int fd, const std::shared_ptr<Watched>& socket) {
    const auto wait = [&](asio::posix::stream_descriptor::wait_type type, bool Watched::*waiting, int interest, int mask) {
      if ((socket->wanted & interest) == 0 || (*socket).*waiting) return;
      (*socket).*waiting = true;
      socket->descriptor.async_wait(
          type, [weak = weak_from_this(), fd, socket, waiting, interest, mask](const boost::system::error_code& problem) {
            (*socket).*waiting = false;
            const auto self = weak.lock();
            if (problem || !self || (socket->wanted & interest) == 0) return;
            self->Act(fd, mask);
            const auto still = self->sockets.find(fd);
            if (still != self->sockets.end() && still->second == socket) self->Arm(fd, socket);
          });
    };
    wait(asio::posix::stream_descriptor::wait_read, &Watched::reading, CURL_POLL_IN, CURL_CSELECT_IN);
    wait(asio::posix::stream_descriptor::wait_write, &Watched::writing, CURL_POLL_OUT, CURL_CSELECT_OUT);
  }

  void Act(curl_socket_t fd, int mask) {
    int running = 0;
    ::curl_multi_socket_action(multi, fd, mask, &running);
    int left = 0;
    while (CURLMsg* message = ::curl_multi_info_read(multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      void* user = nullptr;
      ::curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &user);
      auto* transfer = static_cast<Transfer*>(user);
      transfer->finished = true;
      transfer->code = message->data.result;
      transfer->done.cancel();
    }
  }

  // ---- requests ----

  void SetUp(Transfer& transfer, Duration timeout);
  [[nodiscard]] Result<HttpResponse> Judge(Transfer& transfer, const std::string& origin, Duration timeout) const;

  asio::any_io_executor executor;
  HttpOptions options;
  CURLM* multi = nullptr;
  asio::steady_timer timer;
  std::map<curl_socket_t, std::shared_ptr<Watched>> sockets;
  std::set<Transfer*> transfers;
  bool closed = false;
};

void HttpClient::Engine::SetUp(Transfer& transfer, Duration timeout) {
  CURL* easy = transfer.easy;
  const HttpRequest& request = transfer.request;
  const auto set = [easy](CURLoption option, auto value) { ::curl_easy_setopt(easy, option, value); };
  set(CURLOPT_PRIVATE, static_cast<void*>(&transfer));
  set(CURLOPT_ERRORBUFFER, transfer.words.data());
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_PROXY, "");  // an agent's doors are where its file says, whatever the environment holds
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_TCP_NODELAY, 1L);
  set(CURLOPT_TCP_KEEPALIVE, 1L);
  const Duration connect = request.connect_timeout > 0ns ? std::min(request.connect_timeout, timeout) : timeout;
  set(CURLOPT_CONNECTTIMEOUT_MS, std::max<long>(1, static_cast<long>(Millis(connect))));
  set(CURLOPT_OPENSOCKETFUNCTION, &Engine::OnOpen);
  set(CURLOPT_OPENSOCKETDATA, static_cast<void*>(this));
  set(CURLOPT_CLOSESOCKETFUNCTION, &Engine::OnClose);
  set(CURLOPT_CLOSESOCKETDATA, static_cast<void*>(this));
  set(CURLOPT_WRITEFUNCTION, &TakeBody);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
  set(CURLOPT_HEADERFUNCTION, &TakeHeader);
  set(CURLOPT_HEADERDATA, static_cast<void*>(&transfer));
  set(CURLOPT_PATH_AS_IS, 1L);  // the path may be signed: nothing in it is tidied up
  if (request.fresh_connection) set(CURLOPT_FRESH_CONNECT, 1L);

  if (!options.tls.ca_file.empty()) {
    set(CURLOPT_CAINFO, options.tls.ca_file.c_str());
    set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));
  }
  if (!options.tls.certificate_file.empty()) {
    set(CURLOPT_SSLCERT, options.tls.certificate_file.c_str());
    set(CURLOPT_SSLKEY, options.tls.key_file.c_str());
  }
  if (!request.address.empty()) {
    const std::string where =
        "::" + (request.address.find(':') == std::string::npos ? request.address : "[" + request.address + "]") + ":";
    transfer.connect_to = ::curl_slist_append(nullptr, where.c_str());
    set(CURLOPT_CONNECT_TO, transfer.connect_to);
  }

  for (const std::string& header : request.headers) transfer.headers = ::curl_slist_append(transfer.headers, header.c_str());
  transfer.headers = ::curl_slist_append(transfer.headers, "Expect:");  // no round trip before the body
  set(CURLOPT_HTTPHEADER, transfer.headers);
  if (!request.body.empty() || request.method == "POST" || request.method == "PUT") {
    set(CURLOPT_POST, 1L);
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    // SAFETY: a body that is read by a function and cannot be rewound is never sent a second time. With CURLOPT_POSTFIELDS
    // libcurl sends a request again, by itself, when a reused connection closes without an answer.
    set(CURLOPT_READFUNCTION, &GiveBody);
    set(CURLOPT_READDATA, static_cast<void*>(&transfer));
  }
  set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
  if (request.method == "HEAD") set(CURLOPT_NOBODY, 1L);
}

Result<HttpResponse> HttpClient::Engine::Judge(Transfer& transfer, const std::string& origin, Duration timeout) const {
  if (transfer.finished && transfer.code == CURLE_OK) {
    long status = 0;
    ::curl_easy_getinfo(transfer.easy, CURLINFO_RESPONSE_CODE, &status);
    transfer.response.status = static_cast<int>(status);
    return std::move(transfer.response);
  }
  if (transfer.too_large) {
    return UnknownOutcome("'" + origin + "' answered more than " + FormatBytes(ByteCount{options.most_body}));
  }
  const char* words = transfer.words[0] != '\0' ? transfer.words.data() : ::curl_easy_strerror(transfer.code);
  long sent = 0;
  ::curl_easy_getinfo(transfer.easy, CURLINFO_REQUEST_SIZE, &sent);
  const bool acted_on = transfer.request.body.empty() ? sent > 0 : transfer.body_taken;
  std::string message = "'" + origin + "': ";
  std::string hint;
  if (closed) {
    message += "the client was closed";
  } else if (!transfer.finished) {
    message += (acted_on ? "no answer within " : "no connection within ") + FormatDuration(timeout);
  } else if (!acted_on && IsCertificateProblem(transfer.code)) {
    message += "TLS failed: " + std::string(words);
    hint = "look at the certificates of both ends: who signed them, for which address, until when";
  } else {
    message += words;
  }
  return acted_on ? UnknownOutcome(message, hint) : RetryLater(message, hint);
}

HttpClient::HttpClient(asio::any_io_executor executor, HttpOptions options)
    : engine_(std::make_shared<Engine>(std::move(executor), std::move(options))) {}

HttpClient::~HttpClient() {
  engine_->closed = true;
  for (Transfer* transfer : engine_->transfers) transfer->done.cancel();
}

Task<Result<HttpResponse>> HttpClient::Send(HttpRequest request, Duration timeout) {
  const std::shared_ptr<Engine> engine = engine_;
  const Result<Target> target = ParseTarget(request.url);
  if (!target) co_return target.error();
  if (request.address.empty() && !IsAddress(target->host)) {
    co_return Fail("'" + target->origin + "' names its host by '" + target->host + "', and no address is known for that",
                   "write the address itself");
  }
  const auto end = std::chrono::steady_clock::now() + timeout;
  Transfer transfer(engine->executor);
  transfer.request = std::move(request);
  transfer.most_body = engine->options.most_body;
  transfer.easy = ::curl_easy_init();
  LIFEBOAT_CHECK(transfer.easy != nullptr, "libcurl has no memory");

  // Whatever ends this coroutine, its own frame's destruction included, takes the request out of libcurl.
  struct Cleanup {
    Engine& engine;
    Transfer& transfer;
    ~Cleanup() {
      engine.transfers.erase(&transfer);
      ::curl_multi_remove_handle(engine.multi, transfer.easy);
      ::curl_easy_cleanup(transfer.easy);
      ::curl_slist_free_all(transfer.headers);
      ::curl_slist_free_all(transfer.connect_to);
    }
  };
  const Cleanup cleanup{*engine, transfer};
  engine->SetUp(transfer, timeout);
  engine->transfers.insert(&transfer);
  if (::curl_multi_add_handle(engine->multi, transfer.easy) != CURLM_OK) co_return RetryLater("libcurl takes no request");
  transfer.done.expires_at(end);
  if (!transfer.finished && !engine->closed) co_await transfer.done.async_wait(asio::as_tuple(asio::use_awaitable));
  co_return engine->Judge(transfer, target->origin, timeout);
}

}  // namespace lifeboat
