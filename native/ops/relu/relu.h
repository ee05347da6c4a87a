// y = max(x, 0); gx = gy where y > 0.
#pragma once

namespace spikeloom {

inline constexpr char kRelu[] = "relu(x:real[...N]) -> y:real[...N]";
inline constexpr char kReluGrad[] = "reluGrad(gy:real[...N], y:real[...N]) -> gx:real[...N]";

}  // namespace spikeloom
