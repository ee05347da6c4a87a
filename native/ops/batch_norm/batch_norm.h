// Batch normalisation with statistics over all axes but the channels (T, B, H, W); n is their product.
//
//   training    mean = sum(x)/n, var = sum((x-mean)^2)/n, invStd = 1/sqrt(var+eps), y = (x-mean)*invStd*gamma + beta
//               running_mean += momentum*(mean - running_mean); running_var likewise with var*n/(n-1)
//   evaluation  y = (x-running_mean)/sqrt(running_var+eps)*gamma + beta
//   gradient    gbeta = sum(gy), ggamma = sum(gy*xhat); training: gx = gamma*invStd*(gy - gbeta/n - xhat*ggamma/n),
//               evaluation: gx = gamma*invStd*gy
#pragma once
#include "core/moments.h"

namespace spikeloom {

inline constexpr char kBatchNorm[] =
    "batchNorm(x:real[...N,C,H,W], gamma:real[C], beta:real[C], runningMean!:real[C], runningVar!:real[C]; eps:float, momentum:float)"
    " -> y:real[...N,C,H,W] | mean:real[C], invStd:real[C]";
inline constexpr char kBatchNormGrad[] =
    "batchNormGrad(gy:real[...N,C,H,W], x:real[...N,C,H,W], gamma:real[C], mean:real[C], invStd:real[C])"
    " -> gx:real[...N,C,H,W], ggamma:real[C], gbeta:real[C]";
inline constexpr char kBatchNormEval[] =
    "batchNormEval(x:real[...N,C,H,W], gamma:real[C], beta:real[C], runningMean:real[C], runningVar:real[C]; eps:float)"
    " -> y:real[...N,C,H,W] | invStd:real[C]";
inline constexpr char kBatchNormEvalGrad[] =
    "batchNormEvalGrad(gy:real[...N,C,H,W], x:real[...N,C,H,W], gamma:real[C], mean:real[C], invStd:real[C])"
    " -> gx:real[...N,C,H,W], ggamma:real[C], gbeta:real[C]";

// xhat of an element.
template <class T>
SPIKELOOM_HD T normalised(T x, T mean, T invStd) {
  return (x - mean) * invStd;
}

// gx of an element; `share` is 1/n in training, else 0.
template <class T>
SPIKELOOM_HD T normGradient(T gy, T xhat, T gamma, T invStd, T ggamma, T gbeta, T share) {
  return gamma * invStd * (gy - share * (gbeta + xhat * ggamma));
}

}  // namespace spikeloom
