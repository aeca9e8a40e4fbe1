#include "adapters/store/transaction_check.h"

#include <set>
#include <string>
#include <string_view>

#include "base/json.h"

namespace lifeboat {

namespace {

bool IsText(const std::string& text) {
  try {
    return !Json(text).dump().empty();
  } catch (const Json::exception&) {
    return false;
  }
}

}  // namespace

Result<Unit> CheckTransaction(const Transaction& transaction) {
  std::set<std::string_view> changed;
  for (const Transaction::Put& put : transaction.puts) {
    if (put.key.empty() || !IsText(put.key)) return Fail("a transaction puts a record whose key is empty or not UTF-8");
    if (!IsText(put.value)) return Fail("the value for key '" + put.key + "' is not UTF-8");
    if (!changed.insert(put.key).second) return Fail("a transaction changes key '" + put.key + "' twice");
  }
  for (const std::string& key : transaction.deletes) {
    if (key.empty() || !IsText(key)) return Fail("a transaction deletes a key that is empty or not UTF-8");
    if (!changed.insert(key).second) return Fail("a transaction changes key '" + key + "' twice");
  }
  for (const Transaction::Compare& compare : transaction.compares) {
    if (compare.key.empty() || !IsText(compare.key)) return Fail("a transaction compares a key that is empty or not UTF-8");
  }
  return Done();
}

}  // namespace lifeboat
