// A store that was lost is begun anew (docs/lease.md section 5, docs/runbooks/store-lost.md): asks every agent what it has on
// record, has the new epoch recorded by all but its holder, and only then writes the new item.

#include "agent/agent.h"

namespace lifeboat {

namespace {

constexpr Duration kAsk = 1s;
constexpr Duration kWrite = 5s;
constexpr Duration kHolderPatience = 5s;

/// What an agent answered to "lease.record"; it keeps `answers` false where that cannot be read.
void TakeIn(const Json& said, ReseedWitness& w) {
  const auto record = AgentRecordFromJson(MemberAt(said, "record"));
  if (!record.ok()) {
    w.problem = record.error().message;
    return;
  }
  w.record = *record;
  w.answers = true;
  w.agent = AgentId(TextAt(said, "agent"));
  w.writable = FlagAt(said, "writable");
  w.standby = FlagAt(said, "standby");
  if (auto item = LeaseItemFromJson(MemberAt(said, "item")); item.ok()) w.remembered = *std::move(item);
}

}  // namespace

Task<Result<Json>> Agent::ReseedCalls(std::string method, Json parameters) {
  if (method == "lease.record") co_return WitnessForReseed();
  if (method == "lease.reseed") {
    const Epoch epoch{NumberAt(parameters, "epoch")};
    const Incarnation incarnation{NumberAt(parameters, "incarnation")};
    RegionName holder(TextAt(parameters, "holder"));
    if (epoch == Epoch{} || incarnation == Incarnation{} || holder.empty())
      co_return Fail("the question 'lease.reseed' was not understood");
    co_return co_await keeper_.OnReseed(epoch, incarnation, std::move(holder));
  }
  co_return co_await OrderReseed(std::move(parameters));
}

Json Agent::WitnessForReseed() const {
  const auto& item = keeper_.lease().item();
  const auto& database = world_.database();
  return {{"region", self_.text},
          {"agent", id_.text},
          {"record", ToJson(keeper_.lease().record())},
          {"item", item ? ToJson(*item) : Json(nullptr)},
          {"writable", database && database->IsWritable()},
          {"standby", database && database->IsStandby()}};
}

/// Everything that the plan looks at. @error kFail, kRetry: the store does not answer
Task<Result<ReseedQuestion>> Agent::AskForReseed(Json parameters) {
  ReseedQuestion question;
  question.holder = RegionName(TextAt(parameters, "holder"));
  question.by = "operator " + TextAt(parameters, "by", "unknown");
  question.length = settings_.lease.length;
  const Json& attested = MemberAt(parameters, "attest");
  if (attested.is_object()) {
    for (const auto& [region, words] : attested.items()) {
      question.attested[RegionName(region)] = words.is_string() ? words.get<std::string>() : "";
    }
  }
  const std::string key = keeper_.ItemKey();
  auto reading = co_await doors_.store.Read(key, kAsk);
  if (!reading.ok()) co_return reading.error().Within("the store that is to be reseeded must answer");
  question.incarnation = reading->incarnation;
  for (const Record& record : reading->records) {
    if (record.key != key) continue;
    const auto json = ParseJson(record.value, record.key);
    if (!json.ok()) co_return json.error();
    auto item = LeaseItemFromJson(*json);
    if (!item.ok()) co_return item.error();
    question.item = *std::move(item);
  }
  for (const RegionSettings& region : settings_.regions) {
    ReseedWitness witness;
    witness.region = region.name;
    witness.data = region.kind == RegionKind::kData;
    Result<Json> said = WitnessForReseed();
    if (region.name != self_) said = co_await doors_.peers.Call(region.name, "lease.record", Json::object(), kAsk, Lane::kWork);
    if (said.ok())
      TakeIn(*said, witness);
    else
      witness.problem = said.error().message;
    question.regions.push_back(std::move(witness));
  }
  co_return question;
}

/// Until `region` has the new epoch on its disk; the holder: until it has read it in the new store.
Task<Result<Unit>> Agent::AwaitRecorded(RegionName region, ReseedPlan plan, Duration patience) {
  const Instant until = doors_.clock.Now() + patience;
  Result<Json> answer = RetryLater("it was not asked");
  do {
    if (region == self_) {
      answer = co_await keeper_.OnReseed(plan.item.epoch, plan.least, plan.item.holder);
    } else {
      Json question = {{"epoch", plan.item.epoch.number}, {"incarnation", plan.least.number}, {"holder", plan.item.holder.text}};
      answer = co_await doors_.peers.Call(region, "lease.reseed", std::move(question), kAsk, Lane::kWork);
    }
    if (answer.ok()) {
      const auto record = AgentRecordFromJson(*answer);
      if (!record.ok()) co_return record.error();
      if (record->highest >= plan.item.epoch && record->incarnation >= plan.least) co_return Done();
      answer = RetryLater("it answers a record without the new epoch");
    }
    if (HasPassed(until, doors_.clock.Now())) break;
    co_await doors_.clock.Sleep(100ms);
  } while (true);
  co_return answer.error().Within("'" + region.text + "' has not recorded epoch " + std::to_string(plan.item.epoch.number));
}

Task<Result<Json>> Agent::OrderReseed(Json parameters) {
  auto question = co_await AskForReseed(std::move(parameters));
  if (!question.ok()) co_return question.error();
  const auto plan = PlanReseed(*question);
  if (!plan.ok()) co_return plan.error();
  log_.Warn("the store is reseeded by order", {{"epoch", plan->item.epoch.number}, {"words", plan->item.attested}});
  // SAFETY: every other candidate has it on its disk before it stands in the store; nobody gives its word for the old epoch then.
  for (const RegionName& region : plan->to_record) {
    auto recorded = co_await AwaitRecorded(region, *plan, kAsk);
    if (!recorded.ok()) {
      Error error = recorded.error();
      error.retry = Retry::kRefused;
      error.hint = "nothing was written into the store; run the command again when its agent answers";
      co_return error;
    }
  }
  std::vector<Transaction::Put> puts;
  puts.push_back({keeper_.ItemKey(), ToJson(plan->item).dump()});
  auto begun = co_await doors_.store.Reseed(question->incarnation, plan->least, std::move(puts), kWrite);
  if (!begun.ok()) co_return begun.error();

  std::string unread = "it is attested as down";
  if (plan->holder_answers) {
    auto read = co_await AwaitRecorded(plan->item.holder, *plan, kHolderPatience);
    unread = read.ok() ? "" : read.error().message;
  }
  Json recorded = Json::array();
  for (const RegionName& region : plan->to_record) recorded.push_back(region.text);
  Json attested = Json::object();
  for (const auto& [region, words] : question->attested) attested[region.text] = words;
  Json answer = {{"incarnation", begun->number}, {"item", ToJson(plan->item)},       {"recorded_by", recorded},
                 {"attested_as_down", attested}, {"holder_has_not_read_it", unread}, {"asked_for_by", question->by}};
  Json body = answer;
  auto kept = co_await doors_.evidence.Append("store_reseeded", ExecutionId(), std::move(body), doors_.clock.Wall());
  if (!kept.ok()) log_.Error("the reseed is not in the evidence", {{"problem", kept.error().message}});
  Kick();
  co_return answer;
}

}  // namespace lifeboat
