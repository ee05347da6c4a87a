// AdamW (Loshchilov and Hutter, arXiv 1711.05101), in place, with d = factor g (factor: 1 where it is not given) and
// hyper = [lr, 1 - beta1^n, 1 - beta2^n] in the n-th update:
//   m = beta1 m + (1 - beta1) d;   v = beta2 v + (1 - beta2) d^2
//   w = (1 - lr weightDecay) w - lr m^ / (sqrt(v^) + eps),   m^ = m / hyper[1],   v^ = v / hyper[2]
#pragma once

namespace spikeloom {

inline constexpr char kAdamwUpdate[] =
    "adamwUpdate(w!:real[...N], m!:real[...N], v!:real[...N], g:real[...N], hyper:real[3], factor?:real[1]; beta1:float, beta2:float, "
    "eps:float, weightDecay:float) ->";

}  // namespace spikeloom
