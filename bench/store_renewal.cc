// Measures one renewal of the write lease at its store: a compare-and-set of an item of usual size, one after another, over a
// kept-open connection, as an agent sends it. Prints one line a store. Everything on this machine: between regions the network's
// round trip comes on top, once for the embedded store, twice for etcd where the asked member does not lead.
// Usage: lifeboat_bench_store [RENEWALS]

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "adapters/store/embedded_store.h"
#include "adapters/store/etcd_store.h"
#include "support/real_etcd.h"
#include "support/run_task.h"

namespace {

using namespace lifeboat;
using lifeboat::testing::Await;
using lifeboat::testing::RealEtcd;

void Measure(const char* name, boost::asio::io_context& context, Store& store, Durability durability, int renewals) {
  std::vector<double> took_ms;
  int failed = 0;
  Version version;
  const Result<Reading> first = Await(context, store.Read("orders/lease", 5s));
  if (first && !first->records.empty()) version = first->records[0].version;
  for (int renewal = 0; renewal < renewals; ++renewal) {
    Transaction transaction;
    transaction.compares.push_back({"orders/lease", version});
    transaction.puts.push_back({"orders/lease", std::string(300, 'x') + std::to_string(renewal)});
    transaction.durability = durability;
    const auto began = std::chrono::steady_clock::now();
    const Result<TransactionResult> result = Await(context, store.Commit(std::move(transaction), 750ms));
    took_ms.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count());
    if (!result || !result->committed) {
      ++failed;
      const Result<Reading> reading = Await(context, store.Read("orders/lease", 5s));
      if (reading && !reading->records.empty()) version = reading->records[0].version;
    } else {
      version = result->version;
    }
  }
  std::sort(took_ms.begin(), took_ms.end());
  const auto at = [&](double share) { return took_ms[static_cast<std::size_t>(share * static_cast<double>(took_ms.size() - 1))]; };
  std::printf("%-36s p50 %7.3f ms   p99 %7.3f ms   max %7.3f ms   failed %d of %d\n", name, at(0.5), at(0.99), took_ms.back(),
              failed, renewals);
}

void MeasureEtcd(const char* name, const RealEtcd& etcd, bool login, int renewals) {
  boost::asio::io_context context;
  EtcdOptions options;
  options.service = "orders";
  options.endpoints = etcd.Endpoints();
  options.tls = etcd.Tls();
  if (login) {
    options.user = RealEtcd::kUser;
    options.password = Secret(RealEtcd::kPassword);
  }
  // The first endpoint is a follower: the usual case for two of three regions.
  std::rotate(options.endpoints.begin(),
              options.endpoints.begin() + static_cast<std::ptrdiff_t>((etcd.Leader() + 1) % options.endpoints.size()),
              options.endpoints.end());
  EtcdStore store(context.get_executor(), std::move(options), Log());
  Measure(name, context, store, Durability::kVolatile, renewals);
}

}  // namespace

int main(int count, char** words) {
  const int renewals = count > 1 ? std::atoi(words[1]) : 1000;
  if (renewals < 1) return 2;
  const std::filesystem::path folder = std::filesystem::temp_directory_path() / ("lifeboat-bench-" + RandomHex(8));
  std::filesystem::create_directory(folder);
  {
    boost::asio::io_context context;
    auto opened = EmbeddedStore::Open(context.get_executor(), (folder / "store.sqlite").string());
    if (!opened) return 1;
    Measure("embedded, volatile (a renewal)", context, **opened, Durability::kVolatile, renewals);
    Measure("embedded, durable (a claim)", context, **opened, Durability::kDurable, std::min(renewals, 200));
  }
  std::filesystem::remove_all(folder);
  MeasureEtcd("etcd, one member", RealEtcd({.members = 1}), false, renewals);
  MeasureEtcd("etcd, three members, by a follower", RealEtcd({.members = 3}), false, renewals);
  MeasureEtcd("etcd, three members, TLS and login", RealEtcd({.members = 3, .tls = true, .service = "orders"}), true, renewals);
  return 0;
}
