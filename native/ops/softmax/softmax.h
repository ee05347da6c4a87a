// Softmax of rows, and its logarithm, in double, with the largest of a row taken off before the exponentials:
//   log: y[k] = x[k] - log sum_j exp(x[j]),   gx[k] = gy[k] - exp(y[k]) sum_j gy[j]
//   else y[k] = exp of that,                  gx[k] = y[k] (gy[k] - sum_j gy[j] y[j])
#pragma once
#include "core/host_device.h"

namespace spikeloom {

inline constexpr char kSoftmax[] = "softmax(x:real[R,K]; log:bool) -> y:real[R,K]";
inline constexpr char kSoftmaxGrad[] = "softmaxGrad(gy:real[R,K], y:real[R,K]; log:bool) -> gx:real[R,K]";

// The logarithm of a share; logSum is that of the sum of exp(x - largest).
SPIKELOOM_HD double logShare(double x, double largest, double logSum) { return (x - largest) - logSum; }

}  // namespace spikeloom
