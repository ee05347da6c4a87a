// What FSTA makes of the current's statistics: how much each step counts for, and the map that it takes apart into frequencies, the mean
// over time of the channel sums, each step weighted by its gate.
//
//   z[t,b] = alpha mean[t,b] + beta peak[t,b]
//   a[t,b] = sigmoid( sum over s of weight[t,s] z[s,b] )
//   S[b,p] = 1/T sum over t of plane[t,b,p] (1 + a[t,b])            p = (h, w)
//
// Gradient, with A[t,b] = ga[t,b] + 1/T sum over p of gS[b,p] plane[t,b,p], d = A a (1 - a) and gz[s,b] = sum over t of weight[t,s] d[t,b]:
//   gplane[t,b,p] = gS[b,p] (1 + a[t,b]) / T;
//   gmean = alpha gz;  gpeak = beta gz;  galpha = sum gz mean;  gbeta = sum gz peak;  gweight[t,s] = sum over b of d[t,b] z[s,b].
// A gradient that is absent counts as 0. All sums but S are kept in f64.
#pragma once
#include <cmath>
#include <cstdint>

#include "core/host_device.h"

namespace spikeloom {

inline constexpr char kFstaSteps[] =
    "fstaSteps(plane:real[T,B,1,H,W], mean:real[T,B], peak:real[T,B], alpha:real[1], beta:real[1], weight:real[T,T]) -> "
    "a:real[T,B], S:real[B,1,H,W]";
inline constexpr char kFstaStepsGrad[] =
    "fstaStepsGrad(ga?:real[T,B], gS?:real[B,1,H,W], a:real[T,B], plane:real[T,B,1,H,W], mean:real[T,B], peak:real[T,B], alpha:real[1], "
    "beta:real[1], weight:real[T,T]) -> "
    "gplane:real[T,B,1,H,W], gmean:real[T,B], gpeak:real[T,B], galpha:real[1], gbeta:real[1], gweight:real[T,T]";

SPIKELOOM_HD double stepInput(double alpha, double mean, double beta, double peak) { return alpha * mean + beta * peak; }

SPIKELOOM_HD double stepGate(double sum) { return 1.0 / (1.0 + std::exp(-sum)); }

// d of one element.
SPIKELOOM_HD double stepSlope(double ga, double a) { return ga * a * (1.0 - a); }

// What a step counts for in the mean.
template <class T>
SPIKELOOM_HD T stepShare(T a, int64_t steps) {
  return (T(1) + a) / static_cast<T>(steps);
}

}  // namespace spikeloom
