// Sums per channel over a grid of PixelTiles: a thread adds up its own channels, a block writes one part of [K][C], K numbers for each channel,
// and mergeChannelSums() adds the parts.
#pragma once
#include "cuda/channel_sums.cuh"
#include "cuda/pixel_tiles.cuh"

namespace spikeloom::cuda {

// The block's sums into parts[part][K][C]; all threads call it.
template <class T, int K, int N>
__device__ void writeChannelPart(const PixelTiles<N>& tiles, const PixelPlace<N>& at, T (&sums)[K][N], double* parts) {
  __shared__ T shared[kWarps][K][N][32];
  const uint32_t warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  // the sum over the warp's lanes that have the same place in their groups, of all numbers at a time
  for (uint32_t step = tiles.group; step < 32; step *= 2) {
#pragma unroll
    for (int k = 0; k < K; k++) {
#pragma unroll
      for (int i = 0; i < N; i++) sums[k][i] += __shfl_xor_sync(kWholeWarp, sums[k][i], static_cast<int>(step));
    }
  }
#pragma unroll
  for (int k = 0; k < K; k++) {
#pragma unroll
    for (int i = 0; i < N; i++) {
      if (lane < tiles.group) shared[warp][k][i][lane] = sums[k][i];
    }
  }
  __syncthreads();
  const uint32_t width = N * tiles.group;
  for (uint32_t j = threadIdx.x; j < K * width; j += kThreads) {
    const uint32_t k = j >> tiles.tileBits, within = j & (width - 1), slot = within / N, i = within % N, c = at.tile * width + within;
    if (c >= tiles.C) continue;
    T sum = shared[0][k][i][slot];
    for (int w = 1; w < kWarps; w++) sum += shared[w][k][i][slot];
    parts[(static_cast<int64_t>(at.part) * K + k) * tiles.C + c] = static_cast<double>(sum);
  }
}

}  // namespace spikeloom::cuda
