// The targets of B rows of K classes that losses compare logits with: (1 - smoothing) target + smoothing / K. The
// target is either hard (`labels`, one class a row: one-hot) or soft (a weight for every class).
#pragma once
#include "core/host_device.h"
#include "core/tensor.h"

namespace spikeloom {

template <class T>
struct ClassTargets {
  const int32_t* labels;  // null where targets are soft
  const T* soft;          // null where they are hard
  int64_t B, K;
  double keep, share;  // 1 - smoothing, smoothing / K

  ClassTargets(const TensorView& labels_, const TensorView& target, int64_t B_, int64_t K_, double smoothing)
      : labels(as<int32_t>(labels_)), soft(as<T>(target)), B(B_), K(K_), keep(1 - smoothing), share(smoothing / static_cast<double>(K_)) {}

  SPIKELOOM_HD double at(int64_t b, int64_t k) const {
    const double t = soft ? static_cast<double>(soft[b * K + k]) : (k == labels[b] ? 1.0 : 0.0);
    return t * keep + share;
  }
};

}  // namespace spikeloom
