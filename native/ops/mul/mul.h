// z = x y, element by element; y = factor x.
#pragma once

namespace spikeloom {

inline constexpr char kMul[] = "mul(x:real[...N], y:real[...N]) -> z:real[...N]";
inline constexpr char kScale[] = "scale(x:real[...N]; factor:float) -> y:real[...N]";

}  // namespace spikeloom
