// z = x + y, where a spike is 1 and its absence 0 (bf16: added in float, then rounded where z is bf16); y = value
// everywhere, in the shape of x; y = 0 everywhere, of any type.
#pragma once

namespace spikeloom {

inline constexpr char kAdd[] = "add(x:real|bf16|spike[...N], y:real|bf16|spike[...N]) -> z:real|bf16[...N]";
inline constexpr char kFill[] = "fill(x:real[...N]; value:float) -> y:real[...N]";
inline constexpr char kZero[] = "zero(y=:real|bf16|spike|u8|i32[...N]) -> ";

}  // namespace spikeloom
