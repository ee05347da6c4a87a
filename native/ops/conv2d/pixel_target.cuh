// How the sums of a block of pixels go home from the registers: bias, what is added, bf16 or float, and the moments of a tile before
// rounding. A lane has eight neighbouring channels of two pixels of every 16.
#pragma once
#include "ops/conv2d/pixel_product.cuh"

namespace spikeloom::cuda {

// Sums of the columns of groups of pixels, each of a row of warps: [group][column].
struct GroupSums {
  float at[4][kColumns];
};

template <class F>
struct PixelTarget {
  const PixelProduct& p;
  const PixelPlace* places;
  int row, column, channel, n;  // the warp's first pixel, the lane's first column of the block and channel, and how many channels there are

  __device__ PixelTarget(const PixelProduct& product, const PixelPlace* pixels, int firstRow, int firstColumn, int firstChannel)
      : p(product), places(pixels), row(firstRow), column(firstColumn + static_cast<int>(threadIdx.x) % 4 * 8), channel(firstChannel + column),
        n(p.targetC - channel) {}

  __device__ void addBias(WarpSums<F>& sums) const {
    float bias[8];
#pragma unroll
    for (int i = 0; i < 8; i++) bias[i] = i < n ? p.bias[channel + i] : 0;
    sums.forPixels(row, [&](int, float(&values)[8]) {
#pragma unroll
      for (int i = 0; i < 8; i++) values[i] += bias[i];
    });
  }

  __device__ void store(WarpSums<F>& sums) const {
    if (n <= 0) return;
    if (p.targetC % 8 != 0) return storeEach(sums);
    if (p.target.dtype == DType::bf16) storeAll<Bf16>(sums);
    else storeAll<float>(sums);
  }

  // Means and squared deviations of the tile's first `pixels` pixels. All threads of the block call it; nobody reads stages any more once
  // all are here.
  __device__ void putMoments(WarpSums<F>& sums, int pixels, double* moments) const {
    GroupSums* const shared = reinterpret_cast<GroupSums*>(dynamicShared());
    __syncthreads();
    float mean[8] = {};
#pragma unroll
    for (int pass = 0; pass < 2; pass++) {
      float total[8] = {};
      sums.forPixels(row, [&](int pixel, float(&values)[8]) {
        if (pixel >= pixels) return;
#pragma unroll
        for (int i = 0; i < 8; i++) {
          const float apart = values[i] - mean[i];
          total[i] += pass == 0 ? values[i] : apart * apart;
        }
      });
#pragma unroll
      for (int i = 0; i < 8; i++) {
#pragma unroll
        for (int step = 4; step < 32; step *= 2) total[i] += __shfl_xor_sync(kWholeWarp, total[i], step);
      }
      if (threadIdx.x % 32 < 4) storeMany<8>(&shared[pass].at[threadIdx.x / 64][column], total);
      __syncthreads();
#pragma unroll
      for (int i = 0; i < 8; i++) total[i] = 0;
#pragma unroll
      for (int group = 0; group < 4; group++) {
        float part[8];
        loadMany<8>(&shared[pass].at[group][column], part);
#pragma unroll
        for (int i = 0; i < 8; i++) total[i] += part[i];
      }
#pragma unroll
      for (int i = 0; i < 8; i++) {
        if (pass == 0) total[i] = mean[i] = total[i] / static_cast<float>(pixels);
        if (threadIdx.x / 64 == 0 && threadIdx.x % 32 < 4 && i < n) moments[pass * p.targetC + channel + i] = static_cast<double>(total[i]);
      }
    }
  }

 private:
  template <class S>
  __device__ void storeAll(WarpSums<F>& sums) const {
    sums.forPixels(row, [&](int pixel, float(&values)[8]) {
      const int64_t target = places[pixel].target;
      if (target < 0) return;
      if (p.add.data) {
        float added[8];
        p.add.load(target, channel, added);
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] += added[i];
      }
      storeMany<8>(static_cast<S*>(p.target.data) + target * p.targetC + channel, values);
    });
  }

  __device__ void storeEach(WarpSums<F>& sums) const {
    sums.forPixels(row, [&](int pixel, float(&values)[8]) {
      const int target = places[pixel].target;
#pragma unroll
      for (int i = 0; i < 8; i++) {
        if (target >= 0 && i < n) p.target.store(target, channel + i, {p.add.data ? values[i] + p.add.load(target, channel + i) : values[i]});
      }
    });
  }
};

}  // namespace spikeloom::cuda
