// Division by a number that a kernel is given: a multiplication and a shift in place of the chain of some twenty instructions that a GPU
// divides by. Exact for all numbers from 0 to 2^31 - 1.
//
// With s = ceil(log2(by)) and factor = ceil(2^(31+s) / by), which is below 2^32, factor = (2^(31+s) + e) / by with e < by <= 2^s; so
// n factor / 2^(31+s) is more than n / by by n e / (by 2^(31+s)) < 1 / by, and both have the same whole part.
#pragma once
#include <cstdint>

#include "core/host_device.h"

namespace spikeloom::cuda {

struct Divisor {
  uint32_t by, factor, shift = 0;

  // Of a number from 1 on. 0, of what has nothing to divide, counts as 1.
  explicit Divisor(int64_t number = 1) : by(number > 0 ? static_cast<uint32_t>(number) : 1) {
    while ((uint64_t{1} << shift) < by) shift++;
    factor = static_cast<uint32_t>(((uint64_t{1} << (31 + shift)) + by - 1) / by);
  }
  SPIKELOOM_HD int quotient(int n) const {
    return static_cast<int>(static_cast<uint32_t>(uint64_t{static_cast<uint32_t>(n) * 2} * factor >> 32) >> shift);
  }
  SPIKELOOM_HD int rest(int n) const { return n - quotient(n) * static_cast<int>(by); }
};

}  // namespace spikeloom::cuda
