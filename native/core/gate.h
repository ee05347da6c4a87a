// FSTA's spatial gate, shared by the kernels that apply it: G = sigmoid(F) is the open share of a pixel, k = (m + n + n G) / 2 its factor.
#pragma once
#include "core/surrogate.h"

namespace spikeloom {

template <class T>
SPIKELOOM_HD T openShare(T F) {
  const T e = expNegative(-magnitude(F));
  return (F < 0 ? e : T(1)) / (T(1) + e);
}

template <class T>
SPIKELOOM_HD T gateFactor(T m, T n, T open) {
  return (m + n + n * open) / T(2);
}

}  // namespace spikeloom
