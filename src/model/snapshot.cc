#include "model/snapshot.h"

namespace lifeboat {

Json ToJson(const LossEstimate& loss) {
  switch (loss.kind) {
    case LossEstimate::Kind::kUnknown:
      return {{"state", "unknown"}, {"seconds", nullptr}, {"bytes", nullptr}, {"basis", loss.basis}};
    case LossEstimate::Kind::kProvenZero: return {{"state", "proven zero"}, {"seconds", 0}, {"bytes", 0}, {"basis", loss.basis}};
    case LossEstimate::Kind::kBounded:
      return {{"state", "bounded"}, {"seconds", Seconds(loss.time)}, {"bytes", loss.bytes.bytes}, {"basis", loss.basis}};
  }
  return {};
}

}  // namespace lifeboat
