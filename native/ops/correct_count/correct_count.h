// How many rows of x[B,K] have their first maximum at the label. A row with a NaN has no maximum and is not counted.
#pragma once

namespace spikeloom {

inline constexpr char kCorrectCount[] = "correctCount(x:real[B,K], labels:i32[B]) -> correct:i32[1]";

}  // namespace spikeloom
