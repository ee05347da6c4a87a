// Softmax cross-entropy, the mean over T steps and B rows of K classes:
//   loss = -1/(T B) sum_tb sum_k q[b,k] log p[t,b,k],   p = softmax(x),   q = (1 - smoothing) target + smoothing / K
// gx[t,b,k] = gloss / (T B) (p[t,b,k] sum_j q[b,j] - q[b,k]).
// The target is either hard (`labels`, one class a row: one-hot) or soft (`target`, a weight for every class).
#pragma once
#include "core/host_device.h"

namespace spikeloom {

inline constexpr char kCrossEntropy[] =
    "crossEntropy(x:real[T,B,K], labels?:i32[B], target?:real[B,K]; smoothing:float) -> loss:real[1], p?:real[T,B,K]";
inline constexpr char kCrossEntropyGrad[] =
    "crossEntropyGrad(gloss:real[1], p:real[T,B,K], labels?:i32[B], target?:real[B,K]; smoothing:float) -> gx:real[T,B,K]";

// -log p of a class, in double: `largest` of the row is taken off before the exponentials, whose sum's logarithm is logSum.
SPIKELOOM_HD double negativeLogShare(double x, double largest, double logSum) { return logSum - (x - largest); }

// gx of a class; `scale` is gloss / (T B), `weight` the sum of the row's targets.
SPIKELOOM_HD double crossEntropySlope(double scale, double p, double weight, double q) { return scale * (p * weight - q); }

}  // namespace spikeloom
