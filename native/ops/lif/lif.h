// Leaky integrate-and-fire neurons over all T steps in one call; the leading axis is time, R are the axes of one step.
//
//   u[t] = decay v[t-1] + x[t],   s[t] = 1 if u[t]/vth > threshold else 0,   v[t] = u (1 - s)  or, soft,  u - s threshold vth,   v[-1] = v0 or 0
//
// decay is the attribute, or sigmoid(logit) where a logit is given (PLIF). s is packed bits; v is v[T-1]. A NaN never
// fires. Gradient, from t = T-1 down, with G = dL/dv[t] (at T-1: gv or 0) and d = surrogate(u/vth - threshold) / vth:
//
//   gu = gs[t] d + G dv/du,   dv/du = (1 - s) - u d  or, soft,  1 - threshold vth d   (detachReset: without the term in d)
//   gx[t] = gu,   G <- decay gu,   gv0 = G after t = 0,   glogit = decay (1 - decay) sum over t and elements of gu v[t-1]
//
// lifSmooth has the primitive of the surrogate in place of the step, and real s. Its gradient formula is the one above,
// so finite differences of lifSmooth prove the code that lifGrad runs. It serves tests only.
//
// x may rest in bf16; gs and gx have its type.
//
// Forward and gradient compute u by the same operations in the same order, unfused: the same bits at every
// instruction-set level.
#pragma once
#include "core/lif_neuron.h"
#include "core/surrogate.h"

namespace spikeloom {

inline constexpr char kLif[] =
    "lif(x:real|bf16[T,...R], v0?:real[...R], logit?:real[1]; decay:float, vth:float, threshold:float, soft:bool)"
    " -> s:spike[T,...R], v?:real[...R]";
inline constexpr char kLifGrad[] =
    "lifGrad(gs?:real|bf16[T,...R], gv?:real[...R], x:real|bf16[T,...R], s:spike[T,...R], v0?:real[...R], logit?:real[1];"
    " decay:float, vth:float, threshold:float, soft:bool, detachReset:bool, surrogate:int, temperature:float)"
    " -> gx:real|bf16[T,...R], gv0?:real[...R], glogit?:real[1]";
inline constexpr char kLifSmooth[] =
    "lifSmooth(x:real[T,...R], v0?:real[...R], logit?:real[1];"
    " decay:float, vth:float, threshold:float, soft:bool, surrogate:int, temperature:float)"
    " -> s:real[T,...R], v?:real[...R]";
inline constexpr char kLifSmoothGrad[] =
    "lifSmoothGrad(gs?:real[T,...R], gv?:real[...R], x:real[T,...R], s:real[T,...R], v0?:real[...R], logit?:real[1];"
    " decay:float, vth:float, threshold:float, soft:bool, detachReset:bool, surrogate:int, temperature:float)"
    " -> gx:real[T,...R], gv0?:real[...R], glogit?:real[1]";

}  // namespace spikeloom
