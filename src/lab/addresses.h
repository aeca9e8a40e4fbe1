#pragma once

// Loopback addresses of a lab: 127.77.<slot>.{1,2,3,4}, one a region, and ports that are free on them. Several labs run at
// once, each in a slot of its own. Thread rule: any thread.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace lifeboat::lab {

/// A slot that no other lab uses, held for as long as this object lives. Once the lab's servers listen on its addresses
/// they hold it by themselves. @source Linux: every address of 127.0.0.0/8 is local
class Slot {
 public:
  /// @param first  where the search begins, 1 to 254; nothing: anywhere
  /// @param also  further things that a slot needs; false passes it over
  /// @error kFail: no slot is free; else that of `also`
  [[nodiscard]] static Result<Slot> Take(std::optional<int> first = std::nullopt,
                                         const std::function<Result<bool>(int)>& also = {});
  Slot(Slot&& other) noexcept;
  Slot& operator=(Slot&&) = delete;
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;
  ~Slot();

  [[nodiscard]] int number() const { return number_; }
  /// "127.77.<slot>.<host>".
  [[nodiscard]] std::string Address(int host) const;
  /// A port that is free for TCP and UDP on all of 127.77.<slot>.{1,2,3,4}, and was not handed out before.
  [[nodiscard]] Result<std::uint16_t> FreePort();

 private:
  Slot(int number, int descriptor) : number_(number), descriptor_(descriptor) {}
  int number_;
  int descriptor_;
  std::vector<std::uint16_t> given_;
};

}  // namespace lifeboat::lab
