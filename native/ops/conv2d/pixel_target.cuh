// How the sums of a block of pixels go home from the registers: bias, what is added, bf16 or float, and the moments of a tile before
// rounding. A lane has eight neighbouring channels of two pixels of every 16.
#pragma once
#include "cuda/multiply_add.cuh"
#include "ops/conv2d/pixel_product.cuh"

namespace spikeloom::cuda {

// Means and squared deviations of columns over the pixels of a group, those of a row of warps.
struct ColumnMoments {
  float means[kColumns], squares[kColumns];
};

// Where the pixels of a block go, -1 past the last one: as their places say, or they lie side by side. kEights: target channels come in eights.
struct PlacedPixels {
  static constexpr bool kEights = false;
  const PixelPlace* places;

  __device__ int target(int pixel) const { return places[pixel].target; }
};

struct SidePixels {
  static constexpr bool kEights = true;
  int first, end;

  __device__ int target(int pixel) const { return first + pixel < end ? first + pixel : -1; }
};

// How two sets of n and m numbers merge: mean = first + d share and squares = both + d^2 weight, where d is how far their means are apart.
struct Merging {
  float share, weight;

  __device__ Merging(int n, bool hasOne) : share(hasOne ? 1 / static_cast<float>(n + 1) : 0), weight(static_cast<float>(n) * share) {}
  __device__ Merging(float n, float m) : share(n == m ? 0.5f : m / (n + m)), weight(n * share) {}
  __device__ __forceinline__ void add(float otherMean, float otherSquares, float& mean, float& squares) const {
    const float apart = otherMean - mean;
    mean = multiplyAdd(apart, share, mean);
    squares = multiplyAdd(apart * apart, weight, squares + otherSquares);
  }
};

// The way home of a lane's sums.
template <class Sums, class Pixels = PlacedPixels>
struct PixelTarget {
  const PixelProduct& p;
  Pixels pixels;
  int row, group;          // the warp's first pixel; its group of pixels
  int column, channel;     // the lane's first of the block, and of all

  __device__ PixelTarget(const PixelProduct& product, Pixels ofBlock, int firstRow, int ofGroup, int firstColumn, int firstChannel)
      : p(product), pixels(ofBlock), row(firstRow), group(ofGroup), column(firstColumn + static_cast<int>(threadIdx.x) % 4 * 8),
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
    if constexpr (!Pixels::kEights) {
      if (p.targetC % 8 != 0) return storeEach(sums);
    }
    if (p.target.dtype == DType::bf16) storeAll<Bf16>(sums);
    else storeAll<float>(sums);
  }

  // Leaves in shared memory the means and squared deviations of the warp's columns over those of its pixels that are among the tile's first `inside`.
  // Lanes that have the same columns of different pixels halve them between each other three times.
  __device__ __forceinline__ void leaveMoments(Sums& sums, int inside, ColumnMoments* groups) const {
    constexpr int kAll = Sums::kWidths * 8;
    const int lane = threadIdx.x % 32;
    float means[kAll], squares[kAll] = {};
#pragma unroll
    for (int i = 0; i < kAll; i++) means[i] = sums.number(0, i);
    float count = row + lane / 4 < inside ? 1 : 0;
#pragma unroll
    for (int n = 1; n < Sums::kPixels; n++) {
      const bool has = row + lane / 4 + n * 8 < inside;
      const Merging one(n, has);
#pragma unroll
      for (int i = 0; i < kAll; i++) one.add(sums.number(n, i), 0, means[i], squares[i]);
      count += has ? 1 : 0;
    }
    const auto halve = [&]<int kStep>() {
      constexpr int kHalf = kAll * kStep / 32;
      const float others = __shfl_xor_sync(kWholeWarp, count, kStep);
      const Merging merging(count, others);
      const bool isUpper = lane & kStep;
#pragma unroll
      for (int i = 0; i < kHalf; i++) {
        const float mean = __shfl_xor_sync(kWholeWarp, isUpper ? means[i] : means[i + kHalf], kStep);
        const float square = __shfl_xor_sync(kWholeWarp, isUpper ? squares[i] : squares[i + kHalf], kStep);
        means[i] = isUpper ? means[i + kHalf] : means[i];
        squares[i] = isUpper ? squares[i + kHalf] : squares[i];
        merging.add(mean, square, means[i], squares[i]);
      }
      count += others;
    };
    halve.template operator()<16>();
    halve.template operator()<8>();
    halve.template operator()<4>();
    const int mine = lane / 4 * Sums::kWidths, at = mine / 8 * 32 + column + mine % 8;
#pragma unroll
    for (int i = 0; i < Sums::kWidths; i++) groups[group].means[at + i] = means[i], groups[group].squares[at + i] = squares[i];
  }

 private:
  // Of the lane's i-th channel.
  __device__ int channelOf(int i) const { return channel + i / 8 * 32 + i % 8; }
  __device__ bool has(int i) const { return channelOf(i) < p.targetC; }

  template <class S>
  __device__ void storeAll(Sums& sums) const {
    sums.forPixels(row, [&](int pixel, int width, float(&values)[8]) {
      const int64_t target = pixels.target(pixel);
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
      const int target = pixels.target(pixel);
#pragma unroll
      for (int i = 0; i < 8; i++) {
        const int c = channelOf(width * 8 + i);
        if (target >= 0 && c < p.targetC) p.target.store(target, c, {p.add.data ? values[i] + p.add.load(target, c) : values[i]});
      }
    });
  }
};

// Means and squared deviations of the tile's first `pixels` pixels, out of those of groups of kGroupPixels: a thread for each column.
template <int kGroupPixels, int kGroups>
__device__ __forceinline__ void mergeGroups(const ColumnMoments* groups, int pixels, int left, int stride, float* moments) {
  const int i = threadIdx.x;
  if (i >= kColumns || i >= left) return;
  float counts[kGroups], mean = 0, squares = 0;
#pragma unroll
  for (int g = 0; g < kGroups; g++) {
    counts[g] = static_cast<float>(min(max(pixels - g * kGroupPixels, 0), kGroupPixels));
    mean = multiplyAdd(counts[g], groups[g].means[i], mean);
  }
  mean /= static_cast<float>(pixels);
#pragma unroll
  for (int g = 0; g < kGroups; g++) {
    const float apart = groups[g].means[i] - mean;
    squares += multiplyAdd(counts[g] * apart, apart, groups[g].squares[i]);
  }
  moments[i] = mean;
  moments[stride + i] = squares;
}

// The sums of a block of kPixels pixels in kGroups groups go home. All its threads call it. `groups`: kGroups of them in shared memory, which
// nobody looks at any more.
template <int kPixels, int kGroups, class Sums, class Pixels>
__device__ __forceinline__ void finishTile(const PixelProduct& p, const PixelTarget<Sums, Pixels>& target, int tile, int width, Sums& sums, ColumnMoments* groups) {
  if (p.bias) target.addBias(sums);
  const int pixels = min(p.pixels() - tile * kPixels, kPixels), first = width * kColumns;
  if (p.moments) target.leaveMoments(sums, pixels, groups);
  target.store(sums);
  if (!p.moments) return;
  __syncthreads();
  mergeGroups<kPixels / kGroups, kGroups>(groups, pixels, p.targetC - first, p.targetC, p.moments + static_cast<int64_t>(tile) * 2 * p.targetC + first);
}

}  // namespace spikeloom::cuda
