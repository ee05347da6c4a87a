// The map that FSTA takes apart into frequencies: the mean over time of the channel sums, each step weighted by its
// gate.
//
//   S[b,p] = 1/T sum over t of plane[t,b,p] (1 + a[t,b])            p = (h, w)
//
// Gradient: gplane[t,b,p] = gS[b,p] (1 + a[t,b]) / T;  ga[t,b] = 1/T sum over p of gS[b,p] plane[t,b,p], in f64.
#pragma once
#include <cstdint>

#include "core/host_device.h"

namespace spikeloom {

inline constexpr char kFstaPlane[] = "fstaPlane(plane:real[T,B,1,H,W], a:real[T,B]) -> S:real[B,1,H,W]";
inline constexpr char kFstaPlaneGrad[] =
    "fstaPlaneGrad(gS:real[B,1,H,W], plane:real[T,B,1,H,W], a:real[T,B]) -> gplane:real[T,B,1,H,W], ga:real[T,B]";

// What a step counts for in the mean.
template <class T>
SPIKELOOM_HD T planeShare(T a, int64_t steps) {
  return (T(1) + a) / static_cast<T>(steps);
}

}  // namespace spikeloom
