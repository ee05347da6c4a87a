// Softmax cross-entropy, the mean over T steps and B rows of K classes:
//   loss = -1/(T B) sum_tb sum_k q[b,k] log p[t,b,k],   p = softmax(x),   q = (1 - smoothing) target + smoothing / K
// gx[t,b,k] = gloss / (T B) (p[t,b,k] sum_j q[b,j] - q[b,k]).
// The target is either hard (`labels`, one class a row: one-hot) or soft (`target`, a weight for every class).
#pragma once

namespace spikeloom {

inline constexpr char kCrossEntropy[] =
    "crossEntropy(x:real[T,B,K], labels?:i32[B], target?:real[B,K]; smoothing:float) -> loss:real[1], p?:real[T,B,K]";
inline constexpr char kCrossEntropyGrad[] =
    "crossEntropyGrad(gloss:real[1], p:real[T,B,K], labels?:i32[B], target?:real[B,K]; smoothing:float) -> gx:real[T,B,K]";

}  // namespace spikeloom
