// The contract of the store, on the embedded store itself and on a remote one over a door to it in the same process.

#include "contract/store_contract.h"

#include <filesystem>

#include "adapters/store/embedded_store.h"
#include "adapters/store/remote_store.h"
#include "adapters/store/store_test_support.h"

namespace lifeboat::testing {
namespace {

class EmbeddedUnderTest : public StoreUnderTest {
 public:
  explicit EmbeddedUnderTest(boost::asio::io_context& context) : context_(context) { Restart(); }
  Store& store() override { return *store_; }
  bool CanRestart() const override { return true; }
  void Restart() override {
    store_.reset();
    store_ = OpenOrThrow(context_, folder_.File("store.sqlite"));
  }

 private:
  boost::asio::io_context& context_;
  TestFolder folder_;
  std::unique_ptr<EmbeddedStore> store_;
};

class RemoteUnderTest : public StoreUnderTest {
 public:
  explicit RemoteUnderTest(boost::asio::io_context& context) : host_(context), peers_(context) { Connect(); }
  Store& store() override { return remote_; }
  bool CanRestart() const override { return true; }
  void Restart() override {
    peers_.handler = nullptr;
    host_.Restart();
    Connect();
  }

 private:
  void Connect() { peers_.handler = MakeStoreHandler(host_.store()); }

  EmbeddedUnderTest host_;
  InProcessPeers peers_;
  RemoteStore remote_{peers_, RegionName("eu-west-1")};
};

template <typename Subject>
StoreCase CaseOf(const char* name) {
  return {name,
          [](boost::asio::io_context& context) -> std::unique_ptr<StoreUnderTest> { return std::make_unique<Subject>(context); }};
}

INSTANTIATE_TEST_SUITE_P(Stores, StoreContract,
                         ::testing::Values(CaseOf<EmbeddedUnderTest>("embedded"), CaseOf<RemoteUnderTest>("remote")),
                         StoreCaseName);

}  // namespace
}  // namespace lifeboat::testing
