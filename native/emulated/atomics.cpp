// Atomic operations of kernels. Threads take turns, so each is done in one step; what is left is the check of the
// access.
#include <cstring>

#include "emulated/machine.h"

namespace spikeloom::emulated {

void fence() { noteFence(); }

uint64_t updateAtomically(Update update, void* address, size_t bytes, bool isSigned, uint64_t operand, uint64_t expected) {
  checkAccess(reinterpret_cast<uintptr_t>(address), bytes, Access::atomic, true, reinterpret_cast<uintptr_t>(__builtin_return_address(0)));
  const auto widen = [&](uint64_t x) { return bytes == 8 ? x : isSigned ? static_cast<uint64_t>(static_cast<int32_t>(x)) : static_cast<uint32_t>(x); };
  uint64_t before = 0;
  std::memcpy(&before, address, bytes);
  before = widen(before);
  operand = widen(operand);
  const bool isLess = isSigned ? static_cast<int64_t>(operand) < static_cast<int64_t>(before) : operand < before;
  uint64_t after = operand;
  switch (update) {
    case Update::add: after = before + operand; break;
    case Update::least: after = isLess ? operand : before; break;
    case Update::most: after = isLess ? before : operand; break;
    case Update::both: after = before & operand; break;
    case Update::either: after = before | operand; break;
    case Update::differ: after = before ^ operand; break;
    case Update::exchange: break;
    case Update::compare: after = before == widen(expected) ? operand : before; break;
  }
  std::memcpy(address, &after, bytes);
  return before;
}

}  // namespace spikeloom::emulated
