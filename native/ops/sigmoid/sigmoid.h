// y = 1 / (1 + exp(-x)), for x < 0 as exp(x) / (1 + exp(x)) so that nothing overflows; gx = gy y (1 - y).
#pragma once
#include <cmath>

#include "core/host_device.h"

namespace spikeloom {

inline constexpr char kSigmoid[] = "sigmoid(x:real[...N]) -> y:real[...N]";
inline constexpr char kSigmoidGrad[] = "sigmoidGrad(gy:real[...N], y:real[...N]) -> gx:real[...N]";

template <class T>
SPIKELOOM_HD T sigmoidOf(T x) {
  const T e = std::exp(x < 0 ? x : -x);
  return (x < 0 ? e : T(1)) / (T(1) + e);
}

template <class T>
SPIKELOOM_HD T sigmoidGradient(T gy, T y) {
  return gy * y * (T(1) - y);
}

}  // namespace spikeloom
