// y = the place of the largest number of a row, the first where several are equal; a NaN is larger than all.
#pragma once
#include "core/host_device.h"

namespace spikeloom {

inline constexpr char kArgmax[] = "argmax(x:real[R,K]) -> y:i32[R]";

// Whether b, which comes behind a, takes its place.
template <class T>
SPIKELOOM_HD bool isLarger(T b, T a) {
  return b > a || (b != b && a == a);
}

}  // namespace spikeloom
