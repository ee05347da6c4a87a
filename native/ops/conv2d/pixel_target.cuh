// How the sums of a block of pixels go home: bias, what is added, bf16 or float, and the moments of a tile before rounding. The sums lie
// in shared memory, so that neighbouring threads write neighbouring channels, four each.
#pragma once
#include "ops/conv2d/pixel_product.cuh"

namespace spikeloom::cuda {

// The way home of a thread: four columns of every kGroups-th pixel of the tile.
template <class F>
struct PixelTarget {
  static constexpr int kOfPixel = kColumns / 4, kGroups = kThreads / kOfPixel;
  const PixelProduct& p;
  int group, column, channel, n;  // n: how many of the four channels there are
  float bias[4] = {};

  __device__ PixelTarget(const PixelProduct& product, int firstChannel)
      : p(product), group(threadIdx.x / kOfPixel), column(threadIdx.x % kOfPixel * 4), channel(firstChannel + column), n(p.targetC - channel) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      if (p.bias && i < n) bias[i] = p.bias[channel + i];
    }
  }

  __device__ void load(const float* sums, int pixel, float (&values)[4]) const {
    loadMany<4>(sums + pixel * F::kPitch + column, values);
#pragma unroll
    for (int i = 0; i < 4; i++) values[i] += bias[i];
  }

  __device__ void store(const float* sums, const PixelPlace* places) const {
    if (n <= 0) return;
    const bool whole = p.targetC % 4 == 0;
    for (int pixel = group; pixel < F::kPixels && places[pixel].target >= 0; pixel += kGroups) {
      float values[4];
      load(sums, pixel, values);
      if (whole) storeMany(places[pixel].target, values);
      else storeEach(places[pixel].target, values);
    }
  }

  // Means and squared deviations of the tile's `pixels` pixels. All threads call it.
  __device__ void putMoments(const float* sums, int pixels, double* moments) const {
    __shared__ float parts[kGroups][kColumns];
    float mean[4] = {};
    for (int pass = 0; pass < 2; pass++) {
      float total[4] = {};
      for (int pixel = group; pixel < pixels; pixel += kGroups) {
        float values[4];
        load(sums, pixel, values);
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const float apart = values[i] - mean[i];
          total[i] += pass == 0 ? apart : apart * apart;
        }
      }
      __syncthreads();
#pragma unroll
      for (int i = 0; i < 4; i++) parts[group][column + i] = total[i];
      __syncthreads();
#pragma unroll
      for (int i = 0; i < 4; i++) {
        float all = 0;
        for (int g = 0; g < kGroups; g++) all += parts[g][column + i];
        if (pass == 0) mean[i] = all /= static_cast<float>(pixels);
        if (group == 0 && i < n) moments[pass * p.targetC + channel + i] = static_cast<double>(all);
      }
    }
  }

 private:
  __device__ void storeMany(int pixel, float (&values)[4]) const {
    if (p.add.data) {
      float added[4];
      p.add.load(pixel, channel, added);
#pragma unroll
      for (int i = 0; i < 4; i++) values[i] += added[i];
    }
    p.target.store(pixel, channel, values);
  }

  __device__ void storeEach(int pixel, const float (&values)[4]) const {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      if (i < n) p.target.store(pixel, channel + i, {p.add.data ? values[i] + p.add.load(pixel, channel + i) : values[i]});
    }
  }
};

}  // namespace spikeloom::cuda
