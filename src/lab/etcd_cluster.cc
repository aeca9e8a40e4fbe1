#include "lab/etcd_cluster.h"

#include <openssl/evp.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/json.h"
#include "lab/tools.h"

namespace lifeboat::lab {

namespace fs = std::filesystem;

namespace {

constexpr const char* kProgram = "/usr/bin/etcd";
constexpr Duration kOneRequest = 3s;
constexpr Duration kPause = 50ms;

std::string Base64(const std::string& bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size = ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                     reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  return text;
}

struct Step {
  std::string path;
  Json body;
};

// Every step may be repeated: what is there already is as good as made now.
bool IsDone(const HttpResponse& response) {
  return response.status == 200 || response.body.find("already exists") != std::string::npos ||
         response.body.find("already enabled") != std::string::npos;
}

Task<> RunSteps(boost::asio::any_io_executor io, const std::vector<std::string>& endpoints, HttpTls tls, std::vector<Step> steps,
                Duration timeout, Result<Unit>& outcome) {
  HttpOptions options;
  options.tls = std::move(tls);
  HttpClient http(io, std::move(options));
  boost::asio::steady_timer pause(io);
  const auto end = std::chrono::steady_clock::now() + timeout;
  std::size_t asked = 0;
  for (const Step& step : steps) {
    while (true) {
      HttpRequest request;
      request.method = "POST";
      request.url = endpoints[asked++ % endpoints.size()] + step.path;
      request.headers = {"Content-Type: application/json"};
      request.body = step.body.dump();
      Result<HttpResponse> response = co_await http.Send(std::move(request), kOneRequest);
      if (response && IsDone(*response)) break;
      // Once authentication is on, a repeated step is refused for want of a login: an earlier answer was lost.
      if (response && step.path == "/v3/auth/enable" && response->body.find("user name is empty") != std::string::npos) break;
      if (std::chrono::steady_clock::now() > end) {
        const std::string words = response ? response->body : response.error().message;
        outcome = RetryLater("etcd did not take '" + step.path + "' within " + FormatDuration(timeout) + ": " + words);
        co_return;
      }
      pause.expires_after(kPause);
      co_await pause.async_wait(boost::asio::use_awaitable);
    }
  }
  outcome = Done();
}

}  // namespace

Result<EtcdCertificates> MakeEtcdCertificates(const fs::path& folder, const std::vector<std::string>& addresses,
                                              const std::optional<RunAs>& owner) {
  std::string names;
  for (const std::string& address : addresses) names += (names.empty() ? "subjectAltName=IP:" : ",IP:") + address;
  const std::vector<std::string> key = {"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"};
  const auto run = [&](std::vector<std::string> argv, bool with_key) {
    if (with_key) argv.insert(argv.end(), key.begin(), key.end());
    return RunTool(std::move(argv), folder.string(), owner, 20s);
  };
  const auto authority = run({"openssl", "req", "-x509", "-days", "3650", "-subj", "/CN=lifeboat lab authority", "-addext",
                              "keyUsage=critical,keyCertSign", "-keyout", "ca.key", "-out", "ca.pem"},
                             true);
  if (!authority) return authority.error();
  const auto request = run(
      {"openssl", "req", "-new", "-subj", "/CN=lifeboat lab etcd", "-addext", names, "-keyout", "member.key", "-out", "member.csr"},
      true);
  if (!request) return request.error();
  const auto signed_one = run({"openssl", "x509", "-req", "-in", "member.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                               "-CAcreateserial", "-days", "3650", "-copy_extensions", "copyall", "-out", "member.pem"},
                              false);
  if (!signed_one) return signed_one.error();
  std::error_code ignored;
  for (const char* spare : {"ca.key", "ca.srl", "member.csr"}) fs::remove(folder / spare, ignored);
  return EtcdCertificates{folder / "ca.pem", folder / "member.pem", folder / "member.key"};
}

std::string EtcdUrl(const Endpoint& endpoint, bool tls) { return (tls ? "https://" : "http://") + endpoint.Text(); }

std::vector<std::string> EtcdCommand(const EtcdMember& member, const std::vector<EtcdMember>& members,
                                     const std::optional<EtcdCertificates>& certificates) {
  const bool tls = certificates.has_value();
  std::string cluster;
  for (const EtcdMember& each : members) cluster += (cluster.empty() ? "" : ",") + each.name + "=" + EtcdUrl(each.peer, tls);
  std::vector<std::string> argv = {kProgram,
                                   "--name",
                                   member.name,
                                   "--data-dir",
                                   member.data.string(),
                                   "--listen-client-urls",
                                   EtcdUrl(member.client, tls),
                                   "--advertise-client-urls",
                                   EtcdUrl(member.client, tls),
                                   "--listen-peer-urls",
                                   EtcdUrl(member.peer, tls),
                                   "--initial-advertise-peer-urls",
                                   EtcdUrl(member.peer, tls),
                                   "--initial-cluster",
                                   cluster,
                                   "--initial-cluster-state",
                                   "new",
                                   "--heartbeat-interval",
                                   "50",
                                   "--election-timeout",
                                   "500",
                                   "--auto-compaction-retention",
                                   "1h",
                                   "--logger",
                                   "zap",
                                   "--log-level",
                                   "warn"};
  if (tls) {
    for (const char* side : {"--", "--peer-"}) {
      argv.insert(argv.end(), {std::string(side) + "cert-file", certificates->certificate.string(), std::string(side) + "key-file",
                               certificates->key.string()});
    }
    // On the clients' port this flag would demand certificates of them: they log in instead.
    argv.insert(argv.end(), {"--peer-trusted-ca-file", certificates->ca.string(), "--peer-client-cert-auth"});
  }
  return argv;
}

Result<Unit> EnableEtcdLogin(const std::vector<std::string>& endpoints, const HttpTls& tls, const EtcdLogin& login,
                             const Secret& root_password, Duration timeout) {
  const std::string prefix = "lifeboat/" + login.service + "/";
  const Json permission{
      {"permType", "READWRITE"}, {"key", Base64(prefix)}, {"range_end", Base64("lifeboat/" + login.service + "0")}};
  std::vector<Step> steps;
  steps.push_back({"/v3/auth/user/add", Json{{"name", "root"}, {"password", root_password.Reveal()}}});
  steps.push_back({"/v3/auth/role/add", Json{{"name", "root"}}});
  steps.push_back({"/v3/auth/user/grant", Json{{"user", "root"}, {"role", "root"}}});
  steps.push_back({"/v3/auth/role/add", Json{{"name", login.user}}});
  steps.push_back({"/v3/auth/role/grant", Json{{"name", login.user}, {"perm", permission}}});
  steps.push_back({"/v3/auth/user/add", Json{{"name", login.user}, {"password", login.password.Reveal()}}});
  steps.push_back({"/v3/auth/user/grant", Json{{"user", login.user}, {"role", login.user}}});
  steps.push_back({"/v3/auth/enable", Json::object()});
  Result<Unit> outcome = Fail("etcd was not asked");
  boost::asio::io_context context(1);
  boost::asio::co_spawn(context, RunSteps(context.get_executor(), endpoints, tls, std::move(steps), timeout, outcome),
                        [&](const std::exception_ptr& thrown) {
                          if (thrown) outcome = Fail("etcd could not be asked");
                        });
  context.run();
  return outcome;
}

}  // namespace lifeboat::lab
