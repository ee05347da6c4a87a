// A batch mixed with itself reversed, r(b) = B - 1 - b: mixup (Zhang et al., arXiv 1710.09412) and CutMix (Yun et al.,
// arXiv 1905.04899) as timm does them, one draw a batch. mix = (keep, share, top, left, bottom, right), the box in
// pixels, its far edges left out:
//   y[b] = x[r(b)] within the box, else keep x[b] + (1 - keep) x[r(b)]
//   target[b,k] = share [k = labels[b]] + (1 - share) [k = labels[r(b)]]
// Mixup has an empty box and keep = share; CutMix keeps 1 and shares by the area outside of the box. The map is its own
// transpose, so the gradient with respect to x is the same mix of gy.
#pragma once
#include <cstdint>

#include "core/host_device.h"

namespace spikeloom {

inline constexpr char kMixImages[] = "mixImages(x:real[...N,B,C,H,W], mix:real[6]) -> y:real[...N,B,C,H,W]";
inline constexpr char kMixLabels[] = "mixLabels(labels:i32[B], mix:real[6]) -> target:real[B,K]";

template <class T>
SPIKELOOM_HD bool isInBox(const T* mix, int64_t row, int64_t column) {
  return static_cast<T>(row) >= mix[2] && static_cast<T>(column) >= mix[3] && static_cast<T>(row) < mix[4] && static_cast<T>(column) < mix[5];
}

// `own` of an image and `other` of the one it is mixed with, at a pixel that is or is not in the box.
template <class T>
SPIKELOOM_HD T mixed(const T* mix, bool isInside, T own, T other) {
  return isInside ? other : mix[0] * own + (1 - mix[0]) * other;
}

template <class T>
SPIKELOOM_HD T sharedTarget(const T* mix, bool isOwn, bool isOther) {
  return (isOwn ? mix[1] : T(0)) + (isOther ? 1 - mix[1] : T(0));
}

}  // namespace spikeloom
