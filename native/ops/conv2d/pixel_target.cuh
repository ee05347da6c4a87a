// How the sums of a block of pixels go home: bias, what is added, bf16 or float, and the moments of a tile before rounding. The sums lie
// in shared memory, so that neighbouring threads write neighbouring channels, four each.
#pragma once
#include "ops/conv2d/pixel_product.cuh"

namespace spikeloom::cuda {

struct alignas(8) FourBf16 {
  Bf16 at[4];
};

// Four numbers, or as many as there are, of a tensor of floats or bf16; all four lie aligned where `whole`.
__device__ inline FourFloats loadFour(const void* data, bool isBf16, int64_t at, int n, bool whole) {
  FourFloats values = {};
  if (isBf16) {
    FourBf16 rounded = {};
    const Bf16* from = static_cast<const Bf16*>(data) + at;
    if (whole) rounded = *reinterpret_cast<const FourBf16*>(from);
    else for (int i = 0; i < 4; i++) rounded.at[i] = i < n ? from[i] : Bf16{0};
#pragma unroll
    for (int i = 0; i < 4; i++) values.at[i] = toFloat(rounded.at[i]);
    return values;
  }
  const float* from = static_cast<const float*>(data) + at;
  if (whole) return *reinterpret_cast<const FourFloats*>(from);
#pragma unroll
  for (int i = 0; i < 4; i++) values.at[i] = i < n ? from[i] : 0;
  return values;
}

__device__ inline void storeFour(void* data, bool isBf16, int64_t at, int n, bool whole, const FourFloats& values) {
  if (isBf16) {
    FourBf16 rounded;
#pragma unroll
    for (int i = 0; i < 4; i++) rounded.at[i] = toBf16(values.at[i]);
    Bf16* to = static_cast<Bf16*>(data) + at;
    if (whole) *reinterpret_cast<FourBf16*>(to) = rounded;
    else {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        if (i < n) to[i] = rounded.at[i];
      }
    }
    return;
  }
  float* to = static_cast<float*>(data) + at;
  if (whole) *reinterpret_cast<FourFloats*>(to) = values;
  else {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      if (i < n) to[i] = values.at[i];
    }
  }
}

// The way home of a thread: four columns of every kGroups-th pixel of the tile.
template <class F>
struct PixelTarget {
  static constexpr int kOfPixel = F::kColumns / 4, kGroups = kThreads / kOfPixel;
  const PixelProduct& p;
  int group, column, channel, n;  // n: how many of the four channels there are
  FourFloats bias = {};

  __device__ PixelTarget(const PixelProduct& product, int firstChannel)
      : p(product), group(threadIdx.x / kOfPixel), column(threadIdx.x % kOfPixel * 4), channel(firstChannel + column), n(p.targetC - channel) {
    if (p.bias && n > 0) bias = loadFour(p.bias, false, channel, n, false);
  }

  __device__ FourFloats sum(const float* sums, int pixel) const {
    FourFloats values = *reinterpret_cast<const FourFloats*>(sums + pixel * F::kPitch + column);
#pragma unroll
    for (int i = 0; i < 4; i++) values.at[i] += bias.at[i];
    return values;
  }

  // targets: the pixels of the tile in the target, -1 past the last one.
  __device__ void store(const float* sums, const int* targets) const {
    const bool whole = p.targetC % 4 == 0;
    if (n <= 0) return;
    for (int pixel = group; pixel < kPixels && targets[pixel] >= 0; pixel += kGroups) {
      const int64_t at = static_cast<int64_t>(targets[pixel]) * p.targetC + channel;
      FourFloats values = sum(sums, pixel);
      if (p.add) {
        const FourFloats added = loadFour(p.add, p.addIsBf16, at, n, whole);
#pragma unroll
        for (int i = 0; i < 4; i++) values.at[i] += added.at[i];
      }
      storeFour(p.target, p.targetIsBf16, at, n, whole, values);
    }
  }

  // Means and squared deviations of the tile's `pixels` pixels. All threads call it.
  __device__ void putMoments(const float* sums, int pixels, float* moments) const {
    __shared__ float parts[kGroups][F::kColumns];
    FourFloats mean = {};
    for (int pass = 0; pass < 2; pass++) {
      FourFloats total = {};
      for (int pixel = group; pixel < pixels; pixel += kGroups) {
        const FourFloats values = sum(sums, pixel);
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const float apart = values.at[i] - mean.at[i];
          total.at[i] += pass == 0 ? apart : apart * apart;
        }
      }
      __syncthreads();
#pragma unroll
      for (int i = 0; i < 4; i++) parts[group][column + i] = total.at[i];
      __syncthreads();
#pragma unroll
      for (int i = 0; i < 4; i++) {
        float all = 0;
        for (int g = 0; g < kGroups; g++) all += parts[g][column + i];
        if (pass == 0) mean.at[i] = all /= static_cast<float>(pixels);
        if (group == 0 && i < n) moments[pass * p.targetC + channel + i] = all;
      }
    }
  }
};

}  // namespace spikeloom::cuda
