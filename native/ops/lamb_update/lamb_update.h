// LAMB (You et al., arXiv 1904.00962), in place, with d = factor g (factor: 1 where it is not given) and
// hyper = [lr, 1 - beta1^n, 1 - beta2^n] in the n-th update:
//   m = beta1 m + (1 - beta1) d;   v = beta2 v + (1 - beta2) d^2
//   r = m^ / (sqrt(v^) + eps) + weightDecay w,   m^ = m / hyper[1],   v^ = v / hyper[2]
//   w -= lr q r,   q = |w| / |r|, or 1 where a norm is 0 or weightDecay is 0.
#pragma once
#include <cmath>

#include "core/host_device.h"

namespace spikeloom {

inline constexpr char kLambUpdate[] =
    "lambUpdate(w!:real[...N], m!:real[...N], v!:real[...N], g:real[...N], hyper:real[3], factor?:real[1]; beta1:float, beta2:float, "
    "eps:float, weightDecay:float) ->";

// lr q, from the sums of squares of w and r; with a weightDecay of 0 there is no trust in their ratio.
SPIKELOOM_HD double lambRate(double lr, double w, double r, bool trust) {
  return lr * (trust && w > 0 && r > 0 ? std::sqrt(w) / std::sqrt(r) : 1.0);
}

}  // namespace spikeloom
