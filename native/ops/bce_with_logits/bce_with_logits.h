// Binary cross-entropy with logits, the mean over B rows of K classes:
//   loss = 1/(B K) sum_bk max(x, 0) - x q + log(1 + exp(-|x|)),   q = (1 - smoothing) target + smoothing / K
// gx = gloss / (B K) (sigmoid(x) - q).
// The target is either hard (`labels`, one class a row: one-hot) or soft (`target`, a probability for every class).
#pragma once
#include <cmath>

#include "core/host_device.h"

namespace spikeloom {

inline constexpr char kBceWithLogits[] =
    "bceWithLogits(x:real[B,K], labels?:i32[B], target?:real[B,K]; smoothing:float) -> loss:real[1]";
inline constexpr char kBceWithLogitsGrad[] =
    "bceWithLogitsGrad(gloss:real[1], x:real[B,K], labels?:i32[B], target?:real[B,K]; smoothing:float) -> gx:real[B,K]";

// One logit, in double.
SPIKELOOM_HD double bceLoss(double x, double q) { return (x > 0 ? x : 0) - x * q + std::log1p(std::exp(-std::fabs(x))); }

SPIKELOOM_HD double bceSlope(double x, double q) {
  const double e = std::exp(-std::fabs(x));
  return (x >= 0 ? 1 : e) / (1 + e) - q;
}

}  // namespace spikeloom
