// Elements that are moved and not looked at: as units of 1, 2, 4, 8 or 16 bytes.
#pragma once
#include "cuda/kernel.h"

namespace spikeloom::cuda {

template <int kBytes>
struct alignas(kBytes) Unit {
  unsigned char bytes[kBytes];
};

// Calls body.template operator()<Unit<bytes>>() for the largest unit, `most` bytes at most, that divides `bytes`.
template <class F>
void withUnit(int64_t bytes, int64_t most, F&& body) {
  if (most >= 16 && bytes % 16 == 0) return body.template operator()<Unit<16>>();
  if (most >= 8 && bytes % 8 == 0) return body.template operator()<Unit<8>>();
  if (most >= 4 && bytes % 4 == 0) return body.template operator()<Unit<4>>();
  if (most >= 2 && bytes % 2 == 0) return body.template operator()<Unit<2>>();
  body.template operator()<Unit<1>>();
}

}  // namespace spikeloom::cuda
