// FSTA's spatial gate, shared by the kernels that apply it. The open share of a pixel, its factor, and that of a step:
//   G = sigmoid(F)    k = (m + n + n G) / 2    1 + a
// Its gradients, in double, with r[b,p] = sum over t and c of gy x (1 + a):
//   gF = r n/2 G (1 - G)    gm += r/2    gn += r/2 (1 + G)
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

template <class T>
SPIKELOOM_HD T gateGain(T a) {
  return T(1) + a;
}

SPIKELOOM_HD double mapSlope(double r, double n, double open) { return r * n / 2 * open * (1 - open); }

struct GateSums {
  double m = 0, n = 0;

  SPIKELOOM_HD void add(double r, double open) {
    m += r / 2;
    n += r / 2 * (1 + open);
  }
};

}  // namespace spikeloom
