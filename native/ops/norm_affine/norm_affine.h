// Batch normalisation as an affine map of each channel, y -> scale y + shift:
//
//   invStd = 1 / sqrt(var + eps),  scale = gamma invStd,  shift = beta - mean scale
//   training    runningMean += momentum (mean - runningMean);  runningVar likewise with var count / (count - 1)
//   evaluation  mean and var are the running ones
//
// var is biased; count is the number of values per channel, those of a repeated step counted T times.
#pragma once
#include "core/moments.h"

namespace spikeloom {

inline constexpr char kNormAffine[] =
    "normAffine(mean:real[C], var:real[C], gamma:real[C], beta:real[C], runningMean!:real[C], runningVar!:real[C];"
    " eps:float, momentum:float, count:float) -> scale:real[C], shift:real[C], invStd:real[C]";
inline constexpr char kNormAffineEval[] =
    "normAffineEval(gamma:real[C], beta:real[C], runningMean:real[C], runningVar:real[C]; eps:float)"
    " -> scale:real[C], shift:real[C], invStd:real[C]";

// One channel, in double.
struct ChannelAffine {
  double invStd, scale, shift;

  SPIKELOOM_HD ChannelAffine(double mean, double var, double gamma, double beta, double eps)
      : invStd(inverseDeviation(var, eps)), scale(gamma * invStd), shift(beta - mean * scale) {}
};

SPIKELOOM_HD double unbiasedVariance(double var, double count) { return var * (count > 1 ? count / (count - 1) : 1); }

}  // namespace spikeloom
