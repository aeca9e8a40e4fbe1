// The contract of the store on DynamoDB as two emulators of independent authors have it, and on a table that two regions share as
// multi-region strong consistency would. One emulator of a kind serves all tests; each test has a service of its own.

#include "contract/store_contract.h"

#include "adapters/store/dynamodb_store.h"
#include "adapters/store/dynamodb_table.h"
#include "support/aws_client.h"
#include "support/real_aws.h"

namespace lifeboat::testing {
namespace {

constexpr const char* kTable = "lifeboat";
constexpr const char* kRegion = "eu-west-1";

/// Where requests go, and what they were. Every request of these tests is checked against the vendor's models at the end.
struct Stage {
  explicit Stage(AwsEmulator emulator) : road(SharedAws(emulator)) { MakeStoreTable(road.Url(), kRegion, kTable); }
  AwsRoad road;
};

Stage& StageOf(AwsEmulator emulator) {
  static Stage ministack(AwsEmulator::kMinistack);
  static Stage moto(AwsEmulator::kMoto);
  return emulator == AwsEmulator::kMinistack ? ministack : moto;
}

template <AwsEmulator kEmulator>
class DynamoDbUnderTest : public StoreUnderTest {
 public:
  explicit DynamoDbUnderTest(boost::asio::io_context& context)
      : client_(MakeAwsClient(context, {{"*", StageOf(kEmulator).road.Url()}}, dynamodb::RetriesOfTable())),
        store_(context.get_executor(), client_, Options(), Log()) {}
  Store& store() override { return store_; }

 private:
  static DynamoDbOptions Options() {
    DynamoDbOptions options;
    options.service = "contract-" + RandomHex(6);
    options.table = kTable;
    options.regions = {kRegion};
    options.poll = 25ms;
    return options;
  }
  std::shared_ptr<aws::Client> client_;
  DynamoDbStore store_;
};

template <typename Subject>
StoreCase CaseOf(const char* name) {
  return {name,
          [](boost::asio::io_context& context) -> std::unique_ptr<StoreUnderTest> { return std::make_unique<Subject>(context); }};
}

INSTANTIATE_TEST_SUITE_P(DynamoDb, StoreContract,
                         ::testing::Values(CaseOf<DynamoDbUnderTest<AwsEmulator::kMinistack>>("ministack"),
                                           CaseOf<DynamoDbUnderTest<AwsEmulator::kMoto>>("moto")),
                         StoreCaseName);

/// At the end, when the emulators still run: everything that the contract's tests sent.
class RequestsAreAsTheVendorsModelsDemand : public ::testing::Environment {
 public:
  void TearDown() override {
    EXPECT_EQ(StageOf(AwsEmulator::kMinistack).road.Invalid(), "");
    EXPECT_EQ(StageOf(AwsEmulator::kMoto).road.Invalid(), "");
  }
};
const ::testing::Environment* const kCheck = ::testing::AddGlobalTestEnvironment(new RequestsAreAsTheVendorsModelsDemand);

}  // namespace
}  // namespace lifeboat::testing
