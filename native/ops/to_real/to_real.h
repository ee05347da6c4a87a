// y = 1 where x fires, else 0 (of bf16: the same number as float); count = how many of x fire, exact.
#pragma once

namespace spikeloom {

inline constexpr char kToReal[] = "toReal(x:spike|bf16[...N]) -> y:real[...N]";
inline constexpr char kSpikeCount[] = "spikeCount(x:spike[...N]) -> count:f64[1]";

}  // namespace spikeloom
