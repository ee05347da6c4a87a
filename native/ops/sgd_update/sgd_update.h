// SGD, in place, with d = factor g + weightDecay w (factor: 1 where it is not given) and hyper = [lr]:
//   sgdUpdate:       w -= lr d
//   momentumUpdate:  m = momentum m + d;   w -= lr m, with Nesterov w -= lr (d + momentum m)
// With m starting at 0 this is PyTorch's rule with dampening 0.
#pragma once

namespace spikeloom {

inline constexpr char kSgdUpdate[] =
    "sgdUpdate(w!:real[...N], g:real[...N], hyper:real[1], factor?:real[1]; weightDecay:float) ->";
inline constexpr char kMomentumUpdate[] =
    "momentumUpdate(w!:real[...N], m!:real[...N], g:real[...N], hyper:real[1], factor?:real[1]; momentum:float, nesterov:bool, "
    "weightDecay:float) ->";

}  // namespace spikeloom
