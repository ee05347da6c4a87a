// y[b,k] = 1 where k is the label of b, else 0.
#pragma once

namespace spikeloom {

inline constexpr char kOneHot[] = "oneHot(labels:i32[B]) -> y:real[B,K]";

}  // namespace spikeloom
