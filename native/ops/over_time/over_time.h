// y = (sum over t of x[t]) / divisor, t rising; y[t] = x / divisor for every t. N counts the elements of a time step,
// in any order.
#pragma once

namespace spikeloom {

inline constexpr char kSumOverTime[] = "sumOverTime(x:real[T,N]; divisor:float) -> y:real[N]";
inline constexpr char kRepeatOverTime[] = "repeatOverTime(x:real[N]; divisor:float) -> y:real[T,N]";

}  // namespace spikeloom
