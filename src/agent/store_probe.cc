#include "agent/store_probe.h"

namespace lifeboat {

Task<Result<Unit>> ProbeDurableWrite(Store& store, std::string key, WallTime now, Duration timeout) {
  Transaction transaction;
  const Json value = {{"at_ns", now.ns}};
  transaction.puts.push_back({std::move(key), value.dump()});
  transaction.durability = Durability::kDurable;
  auto wrote = co_await store.Commit(std::move(transaction), timeout);
  if (!wrote.ok()) co_return wrote.error();
  if (!wrote->committed) co_return Fail("the store refused a write that compares nothing");
  co_return Done();
}

Json StoreWriteFinding(const Result<Unit>& wrote, Duration took, Duration timeout) {
  if (wrote.ok())
    return {{"level", "ok"}, {"what", "the store takes durable writes: one took " + FormatDuration(took)}, {"hint", ""}};
  const bool unknown = wrote.error().retry != Retry::kFail && wrote.error().retry != Retry::kRefused;
  // Unknown is never good: a takeover would have had to wait as well.
  const std::string what =
      unknown ? "whether the store takes durable writes is unknown: none was confirmed within " + FormatDuration(timeout) + " (" +
                    wrote.error().message + ")"
              : "the store answers and takes no durable write, so nobody could take over: " + wrote.error().message;
  const std::string hint = wrote.error().hint.empty() ? "look at the disk of the store: renewals go on without it, takeovers do not"
                                                      : wrote.error().hint;
  return {{"level", "fault"}, {"what", what}, {"hint", hint}};
}

}  // namespace lifeboat
