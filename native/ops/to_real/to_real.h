// y = 1 where x fires, else 0 (of bf16: the same number as float); count = how many of x fire, exact.
// Back to bf16: the nearest number, ties to even.
// From f32 to f64 or back: the same number, or the nearest one.
// Of bytes: y = unit x, in y's type; exact where the unit is a power of two.
#pragma once
#include "core/abi.h"

namespace spikeloom {

inline constexpr char kToReal[] = "toReal(x:spike|bf16[...N]) -> y:real[...N]";
inline constexpr char kToBf16[] = "toBf16(x:f32[...N]) -> y:bf16[...N]";
inline constexpr char kConvert[] = "convert(x:f32|f64[...N]) -> y:f32|f64[...N]";
inline constexpr char kBytesToReal[] = "bytesToReal(x:u8[...N]; unit:float) -> y:real[...N]";
inline constexpr char kSpikeCount[] = "spikeCount(x:spike[...N]) -> count:f64[1]";

// Calls run.operator()<From, To>() with the real types of x and y; T is one of them.
template <class T, class F>
void withConversion(const Call& call, F&& run) {
  const bool isWide = call.tensors[0].dtype == DType::f64, becomesWide = call.tensors[1].dtype == DType::f64;
  if (isWide == becomesWide) return run.template operator()<T, T>();
  if (isWide) return run.template operator()<double, float>();
  run.template operator()<float, double>();
}

}  // namespace spikeloom
