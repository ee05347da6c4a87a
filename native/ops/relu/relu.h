// y = max(x, 0); gx = gy where y > 0. A NaN stays one, and its gradient passes, as in PyTorch.
#pragma once
#include "core/host_device.h"

namespace spikeloom {

inline constexpr char kRelu[] = "relu(x:real[...N]) -> y:real[...N]";
inline constexpr char kReluGrad[] = "reluGrad(gy:real[...N], y:real[...N]) -> gx:real[...N]";

// `value` where y is positive or a NaN, else 0.
template <class T>
SPIKELOOM_HD T wherePositive(T y, T value) {
  return y <= 0 ? T(0) : value;
}

}  // namespace spikeloom
