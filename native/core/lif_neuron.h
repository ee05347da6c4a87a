// The arithmetic of one leaky integrate-and-fire neuron at one step, shared by every kernel that holds a membrane, so
// that all of them have the same bits:
//   u = decay v + x    s = [u/vth > threshold]    v = u (1 - s) or, soft, u - s threshold vth
// cpu/lif_lanes.inl has the same for a vector of neurons.
#pragma once
#include <cmath>

#include "core/host_device.h"
#include "core/tensor.h"

namespace spikeloom {

// kSmooth: s is a real number of [0, 1]; else it is 0 or 1, and the hard reset selects, so that an infinite u resets to
// 0 as well.
template <class T, bool kSmooth, bool kSoft>
struct LifNeuron {
  T decay, vth, threshold, drop, through;

  LifNeuron(double decay_, double vth_, double threshold_, bool detachReset)
      : decay(T(decay_)), vth(T(vth_)), threshold(T(threshold_)), drop(T(threshold_) * T(vth_)), through(detachReset ? T(0) : T(1)) {}

  SPIKELOOM_HD T charge(T v, T x) const { return decay * v + x; }
  SPIKELOOM_HD T distance(T u) const { return u / vth - threshold; }
  SPIKELOOM_HD T fire(T u) const { return u / vth > threshold ? T(1) : T(0); }
  SPIKELOOM_HD T reset(T u, T s) const {
    if constexpr (kSoft) return u - s * drop;
    if constexpr (kSmooth) return u * (T(1) - s);
    return s > 0 ? T(0) : u;
  }
  // gu of step t; d = ds/du.
  SPIKELOOM_HD T gradient(T gs, T G, T u, T s, T d) const {
    const T direct = kSoft ? T(1) : T(1) - s;
    const T viaSpike = kSoft ? drop : u;
    return gs * d + G * (direct - through * (viaSpike * d));
  }
};

// A decay that is learned, and the logit's gradient out of the decay's.
SPIKELOOM_HD double decayOf(double logit) { return 1 / (1 + std::exp(-logit)); }
SPIKELOOM_HD double logitGradient(double gdecay, double decay) { return gdecay * decay * (1 - decay); }

// The decay of a step: the attribute, or sigmoid(logit) where a logit was given.
inline double decayOf(const TensorView& logit, double decay, bool isDouble) {
  if (logit.data == nullptr) return decay;
  return decayOf(isDouble ? *as<double>(logit) : static_cast<double>(*as<float>(logit)));
}

}  // namespace spikeloom
