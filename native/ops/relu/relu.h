// y = max(x, 0); gx = gy where y > 0.
#pragma once
#include "core/host_device.h"

namespace spikeloom {

inline constexpr char kRelu[] = "relu(x:real[...N]) -> y:real[...N]";
inline constexpr char kReluGrad[] = "reluGrad(gy:real[...N], y:real[...N]) -> gx:real[...N]";

// `value` where y is positive, else 0.
template <class T>
SPIKELOOM_HD T wherePositive(T y, T value) {
  return y > 0 ? value : T(0);
}

}  // namespace spikeloom
