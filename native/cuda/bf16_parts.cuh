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

// The sums of a stage are added to the totals, tile by tile: tensor cores cut digits off when they add, so factors in parts are added up
// in plain f32.
template <int kTilesM, int kTilesN>
__device__ __forceinline__ void addTiles(const float (&from)[kTilesM][kTilesN][4], float (&to)[kTilesM][kTilesN][4]) {
#pragma unroll
  for (int m = 0; m < kTilesM; m++) {
#pragma unroll
    for (int n = 0; n < kTilesN; n++) {
#pragma unroll
      for (int i = 0; i < 4; i++) to[m][n][i] += from[m][n][i];
    }
  }
}

// Eight floats to eight elements of each part; the parts lie one after the other.
template <int kParts>
struct SplitEight {
  const float* from;
  Bf16* to;
  int64_t partSize;

  __device__ void operator()(int64_t i) const {
    float values[8];
    Bf16 parts[kParts][8];
    loadMany<8>(from + i * 8, values);
#pragma unroll
    for (int k = 0; k < 8; k++) {
      Bf16 each[kParts];
      splitParts(values[k], each);
#pragma unroll
      for (int p = 0; p < kParts; p++) parts[p][k] = each[p];
    }
#pragma unroll
    for (int p = 0; p < kParts; p++) storeMany<8>(to + p * partSize + i * 8, parts[p]);
  }
};

// `count`, a multiple of 8, floats into parts that lie one after the other.
inline void splitFloats(const Call& call, const float* from, int64_t count, int parts, Bf16* to) {
  if (parts == 1) forEach(call, count / 8, SplitEight<1>{from, to, count});
  else forEach(call, count / 8, SplitEight<kFloatParts>{from, to, count});
}

}  // namespace spikeloom::cuda
