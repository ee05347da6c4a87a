// y = 1 / (1 + exp(-x)), for x < 0 as exp(x) / (1 + exp(x)) so that nothing overflows; gx = gy y (1 - y).
#pragma once

namespace spikeloom {

inline constexpr char kSigmoid[] = "sigmoid(x:real[...N]) -> y:real[...N]";
inline constexpr char kSigmoidGrad[] = "sigmoidGrad(gy:real[...N], y:real[...N]) -> gx:real[...N]";

}  // namespace spikeloom
