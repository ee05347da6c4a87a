// A float as a sum of bf16 parts: x = x0 + x1 + x2, where each part rounds what the ones before left (24 bits together). One part is x
// rounded. What tensor cores multiply in f32 is made of such parts, see docs/numerics.md.
#pragma once
#include "cuda/elementwise.cuh"

namespace spikeloom::cuda {

constexpr int kFloatParts = 3;

template <int kParts>
__device__ __forceinline__ void splitParts(float x, Bf16 (&parts)[kParts]) {
#pragma unroll
  for (int i = 0; i < kParts; i++) {
    parts[i] = toBf16(x);
    x -= toFloat(parts[i]);
  }
}

struct alignas(16) EightBf16 {
  Bf16 at[8];
};
struct alignas(16) FourFloats {
  float at[4];
};

// Eight floats to eight elements of each part; the parts lie `count / 8` blocks of eight apart.
template <int kParts>
struct SplitEight {
  const FourFloats* from;
  EightBf16* to;
  int64_t blocks;

  __device__ void operator()(int64_t i) const {
    const FourFloats halves[2] = {from[2 * i], from[2 * i + 1]};
    EightBf16 parts[kParts];
#pragma unroll
    for (int k = 0; k < 8; k++) {
      Bf16 each[kParts];
      splitParts(halves[k / 4].at[k % 4], each);
#pragma unroll
      for (int p = 0; p < kParts; p++) parts[p].at[k] = each[p];
    }
#pragma unroll
    for (int p = 0; p < kParts; p++) to[p * blocks + i] = parts[p];
  }
};

// `count`, a multiple of 8, floats into parts that lie one after the other.
inline void splitFloats(const Call& call, const float* from, int64_t count, int parts, Bf16* to) {
  const auto* source = reinterpret_cast<const FourFloats*>(from);
  auto* target = reinterpret_cast<EightBf16*>(to);
  if (parts == 1) forEach(call, count / 8, SplitEight<1>{source, target, count / 8});
  else forEach(call, count / 8, SplitEight<kFloatParts>{source, target, count / 8});
}

}  // namespace spikeloom::cuda
