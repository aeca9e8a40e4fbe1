// The contract of the store on real etcd: one member, and three members with TLS, clients' certificates and a login. One cluster
// serves all tests of a kind; each test has a service, and so a prefix, of its own.

#include "contract/store_contract.h"

#include "adapters/store/etcd_store.h"
#include "support/real_etcd.h"

namespace lifeboat::testing {
namespace {

RealEtcd& OneMember() {
  static RealEtcd etcd;
  return etcd;
}

class OneMemberUnderTest : public StoreUnderTest {
 public:
  explicit OneMemberUnderTest(boost::asio::io_context& context) : store_(context.get_executor(), Options(), Log()) {}
  Store& store() override { return store_; }

 private:
  static EtcdOptions Options() {
    EtcdOptions options;
    options.service = "contract-" + RandomHex(6);
    options.endpoints = OneMember().Endpoints();
    return options;
  }
  EtcdStore store_;
};

/// The login's permission is for one service: what an earlier test left is removed.
RealEtcd& ThreeMembers() {
  static RealEtcd etcd({3, true, true, "contract", {"--bcrypt-cost", "4"}});
  return etcd;
}

class ThreeMembersUnderTest : public StoreUnderTest {
 public:
  explicit ThreeMembersUnderTest(boost::asio::io_context& context) : store_(context.get_executor(), Options(), Log()) {}
  Store& store() override { return store_; }

 private:
  static EtcdOptions Options() {
    ThreeMembers().Ctl("del --prefix lifeboat/contract/");
    EtcdOptions options;
    options.service = "contract";
    options.endpoints = ThreeMembers().Endpoints();
    options.user = RealEtcd::kUser;
    options.password = Secret(RealEtcd::kPassword);
    options.tls = ThreeMembers().Tls();
    return options;
  }
  EtcdStore store_;
};

template <typename Subject>
StoreCase CaseOf(const char* name) {
  return {name,
          [](boost::asio::io_context& context) -> std::unique_ptr<StoreUnderTest> { return std::make_unique<Subject>(context); }};
}

INSTANTIATE_TEST_SUITE_P(Etcd, StoreContract,
                         ::testing::Values(CaseOf<OneMemberUnderTest>("one_member"),
                                           CaseOf<ThreeMembersUnderTest>("three_members_tls_login")),
                         StoreCaseName);

}  // namespace
}  // namespace lifeboat::testing
