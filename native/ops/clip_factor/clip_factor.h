// Clipping by the global norm over many gradients, without reading anything back:
//   gradNorm:    norms[slot] = |g|, for each gradient
//   clipFactor:  norm = |norms|,  factor = min(1, limit / (norm + 1e-6)), which the updates multiply their gradients by
// A norm that is NaN gives a factor that is NaN.
#pragma once
#include "core/host_device.h"

namespace spikeloom {

inline constexpr char kGradNorm[] = "gradNorm(g:real[...N], norms=:real[P]; slot:int) ->";
inline constexpr char kClipFactor[] = "clipFactor(norms:real[P]; limit:float) -> norm:real[1], factor:real[1]";

SPIKELOOM_HD double clipFactorOf(double norm, double limit) {
  const double factor = limit / (norm + 1e-6);
  return factor >= 1 ? 1.0 : factor;
}

// For printf: a slot and the last one, both long long.
inline constexpr char kSlotRule[] = "gradNorm: slot %lld is outside of 0..%lld";

}  // namespace spikeloom
