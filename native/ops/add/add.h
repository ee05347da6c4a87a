// z = x + y, where a spike is 1 and its absence 0; y = value everywhere, in the shape of x.
#pragma once

namespace spikeloom {

inline constexpr char kAdd[] = "add(x:real|spike[...N], y:real|spike[...N]) -> z:real[...N]";
inline constexpr char kFill[] = "fill(x:real[...N]; value:float) -> y:real[...N]";

}  // namespace spikeloom
