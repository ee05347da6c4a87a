// FSTA's gate over time:
//
//   z[t,b] = alpha mean[t,b] + beta peak[t,b]
//   a[t,b] = sigmoid( sum over s of weight[t,s] z[s,b] )
//
// Gradient, with d = ga a (1 - a) and gz[s,b] = sum over t of weight[t,s] d[t,b]:
//   gmean = alpha gz;  gpeak = beta gz;  galpha = sum gz mean;  gbeta = sum gz peak;  gweight[t,s] = sum over b of d[t,b] z[s,b].
// All sums are kept in f64.
#pragma once
#include <cmath>

#include "core/host_device.h"

namespace spikeloom {

inline constexpr char kFstaTemporal[] =
    "fstaTemporal(mean:real[T,B], peak:real[T,B], alpha:real[1], beta:real[1], weight:real[T,T]) -> a:real[T,B]";
inline constexpr char kFstaTemporalGrad[] =
    "fstaTemporalGrad(ga:real[T,B], a:real[T,B], mean:real[T,B], peak:real[T,B], alpha:real[1], beta:real[1], weight:real[T,T]) -> "
    "gmean:real[T,B], gpeak:real[T,B], galpha:real[1], gbeta:real[1], gweight:real[T,T]";

SPIKELOOM_HD double temporalInput(double alpha, double mean, double beta, double peak) { return alpha * mean + beta * peak; }

SPIKELOOM_HD double temporalGate(double sum) { return 1.0 / (1.0 + std::exp(-sum)); }

// d of one element.
SPIKELOOM_HD double temporalSlope(double ga, double a) { return ga * a * (1.0 - a); }

}  // namespace spikeloom
