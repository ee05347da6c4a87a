// Spikes as factors of tensor-core tiles, straight from their bits. A spike becomes 2, which is a single bit of a bf16, so that a shift and
// a mask make two factors; the sums are halved at the end, which rounds nothing.
//
// Of 32 bits of a word, register i (0-3) of pair t (lane % 4) takes bits 4 t + i and 4 t + i + 16. Registers 2 j and 2 j + 1 are the two
// of product j (k 0-7 and 8-15), so the other factor has its 32 terms in this order: term 16 j + 8 r + 2 t + h of the two products is
// bit 4 t + 2 j + r + 16 h.
#pragma once
#include "cuda/kernel.h"

namespace spikeloom::cuda {

constexpr float kSpikeScale = 0.5f;

// `word` was shifted right by 4 (lane % 4).
__device__ __forceinline__ uint32_t spikePair(uint32_t word, int i) { return (word << (14 - i)) & 0x40004000u; }

// Which term of the two products a bit is.
SPIKELOOM_HD int termOfBit(int bit) { return (bit >> 1 & 1) * 16 + (bit & 1) * 8 + (bit >> 2 & 3) * 2 + (bit >> 4); }

// Which bit a term of the two products is.
SPIKELOOM_HD int bitOfTerm(int term) { return term / 2 % 4 * 4 + term / 16 * 2 + term / 8 % 2 + term % 2 * 16; }

// Lane r holds row r of 32 x 32 bits and gets column r: bit k of lane r's result is bit r of lane k's row.
__device__ __forceinline__ uint32_t turnBits(uint32_t row) {
  const int lane = threadIdx.x % 32;
  const uint32_t masks[5] = {0x0000ffffu, 0x00ff00ffu, 0x0f0f0f0fu, 0x33333333u, 0x55555555u};
#pragma unroll
  for (int i = 0; i < 5; i++) {
    const int step = 16 >> i;
    const uint32_t low = masks[i], other = __shfl_xor_sync(kWholeWarp, row, step);
    row = lane & step ? (row & ~low) | ((other >> step) & low) : (row & low) | ((other << step) & ~low);
  }
  return row;
}

}  // namespace spikeloom::cuda
