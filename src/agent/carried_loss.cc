#include "agent/carried_loss.h"

namespace lifeboat {

LossEstimate LossFromJson(const Json& json) {
  LossEstimate loss;
  loss.basis = TextAt(json, "basis");
  const std::string state = TextAt(json, "state");
  if (state == "proven zero") loss.kind = LossEstimate::Kind::kProvenZero;
  const Json& seconds = MemberAt(json, "seconds");
  // SAFETY: half a bound is none: what is not known is never taken for zero.
  if (state != "bounded" || !seconds.is_number() || !MemberAt(json, "bytes").is_number()) return loss;
  loss.kind = LossEstimate::Kind::kBounded;
  loss.time = Duration(static_cast<std::int64_t>(seconds.get<double>() * 1e9));
  loss.bytes = {NumberAt(json, "bytes")};
  return loss;
}

LossEstimate Sum(const LossEstimate& a, const LossEstimate& b) {
  using Kind = LossEstimate::Kind;
  if (b.kind == Kind::kProvenZero) return a;
  LossEstimate sum;
  sum.time = a.time + b.time;
  sum.bytes = {a.bytes.bytes + b.bytes.bytes};
  sum.basis = a.basis + "; and " + b.basis;
  const bool unknown = a.kind == Kind::kUnknown || b.kind == Kind::kUnknown;
  sum.kind = unknown ? Kind::kUnknown : Kind::kBounded;
  return sum;
}

}  // namespace lifeboat
