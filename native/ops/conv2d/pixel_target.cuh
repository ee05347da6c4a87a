// How the sums of a block of pixels go home from the registers: bias, what is added, bf16 or float, and the moments of a tile before
// rounding. A lane has eight neighbouring channels of two pixels of every 16.
#pragma once
#include "ops/conv2d/pixel_product.cuh"

namespace spikeloom::cuda {

// Sums of the columns of groups of pixels, those of different warps.
struct ColumnSums {
  static constexpr int kMostGroups = 8;
  float at[kMostGroups][kColumns];
};

// The way home of a lane's sums.
template <class Sums>
struct PixelTarget {
  const PixelProduct& p;
  const PixelPlace* places;
  int row, group, groups;  // the warp's first pixel; its group of pixels, of how many
  int column, channel;     // the lane's first of the block, and of all

  __device__ PixelTarget(const PixelProduct& product, const PixelPlace* pixels, int firstRow, int ofGroup, int groupCount, int firstColumn, int firstChannel)
      : p(product), places(pixels), row(firstRow), group(ofGroup), groups(groupCount), column(firstColumn + static_cast<int>(threadIdx.x) % 4 * 8),
        channel(firstChannel + column) {}

  __device__ void addBias(Sums& sums) const {
    float bias[Sums::kWidths][8];
#pragma unroll
    for (int i = 0; i < Sums::kWidths * 8; i++) bias[i / 8][i % 8] = has(i) ? p.bias[channelOf(i)] : 0;
    sums.forPixels(row, [&](int, int width, float(&values)[8]) {
#pragma unroll
      for (int i = 0; i < 8; i++) values[i] += bias[width][i];
    });
  }

  __device__ void store(Sums& sums) const {
    if (p.targetC % 8 != 0) return storeEach(sums);
    if (p.target.dtype == DType::bf16) storeAll<Bf16>(sums);
    else storeAll<float>(sums);
  }

  // Means and squared deviations of the tile's first `pixels` pixels. All threads of the block call it; nobody looks at `shared` any more
  // once all are here.
  __device__ void putMoments(Sums& sums, int pixels, ColumnSums* shared, double* moments) const {
    __syncthreads();
    float mean[Sums::kWidths][8] = {};
#pragma unroll
    for (int pass = 0; pass < 2; pass++) {
      float total[Sums::kWidths][8] = {};
      sums.forPixels(row, [&](int pixel, int width, float(&values)[8]) {
        if (pixel >= pixels) return;
#pragma unroll
        for (int i = 0; i < 8; i++) {
          const float apart = values[i] - mean[width][i];
          total[width][i] += pass == 0 ? values[i] : apart * apart;
        }
      });
#pragma unroll
      for (int i = 0; i < Sums::kWidths * 8; i++) {
        float& sum = total[i / 8][i % 8];
#pragma unroll
        for (int step = 4; step < 32; step *= 2) sum += __shfl_xor_sync(kWholeWarp, sum, step);
      }
#pragma unroll
      for (int width = 0; width < Sums::kWidths; width++) {
        if (threadIdx.x % 32 < 4) storeMany<8>(&shared[pass].at[group][width * 32 + column], total[width]);
      }
      __syncthreads();
#pragma unroll
      for (int width = 0; width < Sums::kWidths; width++) {
#pragma unroll
        for (int i = 0; i < 8; i++) total[width][i] = 0;
        for (int g = 0; g < groups; g++) {
          float part[8];
          loadMany<8>(&shared[pass].at[g][width * 32 + column], part);
#pragma unroll
          for (int i = 0; i < 8; i++) total[width][i] += part[i];
        }
      }
#pragma unroll
      for (int i = 0; i < Sums::kWidths * 8; i++) {
        float& sum = total[i / 8][i % 8];
        if (pass == 0) sum = mean[i / 8][i % 8] = sum / static_cast<float>(pixels);
        if (group == 0 && threadIdx.x % 32 < 4 && has(i)) moments[pass * p.targetC + channelOf(i)] = static_cast<double>(sum);
      }
    }
  }

 private:
  // Of the lane's i-th channel.
  __device__ int channelOf(int i) const { return channel + i / 8 * 32 + i % 8; }
  __device__ bool has(int i) const { return channelOf(i) < p.targetC; }

  template <class S>
  __device__ void storeAll(Sums& sums) const {
    sums.forPixels(row, [&](int pixel, int width, float(&values)[8]) {
      const int64_t target = places[pixel].target;
      if (target < 0 || !has(width * 8)) return;
      if (p.add.data) {
        float added[8];
        p.add.load(target, channelOf(width * 8), added);
#pragma unroll
        for (int i = 0; i < 8; i++) values[i] += added[i];
      }
      storeMany<8>(static_cast<S*>(p.target.data) + target * p.targetC + channelOf(width * 8), values);
    });
  }

  __device__ void storeEach(Sums& sums) const {
    sums.forPixels(row, [&](int pixel, int width, float(&values)[8]) {
      const int target = places[pixel].target;
#pragma unroll
      for (int i = 0; i < 8; i++) {
        const int c = channelOf(width * 8 + i);
        if (target >= 0 && c < p.targetC) p.target.store(target, c, {p.add.data ? values[i] + p.add.load(target, c) : values[i]});
      }
    });
  }
};

// The sums of a block go home. All its threads call it; nobody looks at `shared` any more once all are here.
template <class Sums>
__device__ __forceinline__ void finishTile(const PixelProduct& p, const PixelTarget<Sums>& target, int tile, int height, Sums& sums, ColumnSums* shared) {
  if (p.bias) target.addBias(sums);
  const int left = p.pixels() - tile * height;
  if (p.moments) target.putMoments(sums, left < height ? left : height, shared, p.moments + static_cast<int64_t>(tile) * 2 * p.targetC);
  target.store(sums);
}

}  // namespace spikeloom::cuda
