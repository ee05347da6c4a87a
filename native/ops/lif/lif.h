// Leaky integrate-and-fire neurons over all T steps in one call; the leading axis is time, R are the axes of one step.
//
//   u[t] = decay v[t-1] + x[t],   s[t] = 1 if u[t]/vth > threshold else 0,   v[t] = u (1 - s)  or, soft,  u - s threshold vth,   v[-1] = v0 or 0
//
// decay is the attribute, or sigmoid(logit) where a logit is given (PLIF). s is packed bits; v is v[T-1]. A NaN never fires.
// Gradient, from t = T-1 down, with G = dL/dv[t] (at T-1: gv or 0) and d = surrogate(u/vth - threshold) / vth:
//
//   gu = gs[t] d + G dv/du,   dv/du = (1 - s) - u d  or, soft,  1 - threshold vth d   (detachReset: without the term in d)
//   gx[t] = gu,   G <- decay gu,   gv0 = G after t = 0,   glogit = decay (1 - decay) sum over t and elements of gu v[t-1]
//
// lifSmooth has the primitive of the surrogate in place of the step, and real s. Its gradient formula is the one above, so finite
// differences of lifSmooth prove the code that lifGrad runs. It serves tests only.
//
// Forward and gradient compute u by the same operations in the same order, unfused: the same bits at every instruction-set level.
#pragma once
#include "core/surrogate.h"

namespace spikeloom {

inline constexpr char kLif[] =
    "lif(x:real[T,...R], v0?:real[...R], logit?:real[1]; decay:float, vth:float, threshold:float, soft:bool)"
    " -> s:spike[T,...R], v?:real[...R]";
inline constexpr char kLifGrad[] =
    "lifGrad(gs?:real[T,...R], gv?:real[...R], x:real[T,...R], s:spike[T,...R], v0?:real[...R], logit?:real[1];"
    " decay:float, vth:float, threshold:float, soft:bool, detachReset:bool, surrogate:int, temperature:float)"
    " -> gx:real[T,...R], gv0?:real[...R], glogit?:real[1]";
inline constexpr char kLifSmooth[] =
    "lifSmooth(x:real[T,...R], v0?:real[...R], logit?:real[1];"
    " decay:float, vth:float, threshold:float, soft:bool, surrogate:int, temperature:float)"
    " -> s:real[T,...R], v?:real[...R]";
inline constexpr char kLifSmoothGrad[] =
    "lifSmoothGrad(gs?:real[T,...R], gv?:real[...R], x:real[T,...R], s:real[T,...R], v0?:real[...R], logit?:real[1];"
    " decay:float, vth:float, threshold:float, soft:bool, detachReset:bool, surrogate:int, temperature:float)"
    " -> gx:real[T,...R], gv0?:real[...R], glogit?:real[1]";

// One neuron at one step. kSmooth: s is a real number of [0, 1]; else it is 0 or 1, and the hard reset selects, so that an
// infinite u resets to 0 as well.
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

}  // namespace spikeloom
