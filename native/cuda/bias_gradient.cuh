// The gradient of a bias: the sum of gy over all pixels, per channel, in double and in a fixed order (cuda/channel_sums.cuh). gy is read once.
#pragma once
#include "cuda/channel_sums.cuh"

namespace spikeloom::cuda {

template <class T, int V>
struct AddPixels {
  using Real = double;
  static constexpr int kSums = 1, kVector = V;
  Resting<T> gy;

  __device__ void operator()(int64_t pixel, int64_t c, double (&sums)[1][V]) const {
    T values[V];
    gy.load(pixel, c, values);
#pragma unroll
    for (int i = 0; i < V; i++) sums[0][i] += static_cast<double>(values[i]);
  }
};

template <class T>
struct StoreSum {
  T* sums;

  __device__ void operator()(int64_t c, const double (&sum)[1]) const { sums[c] = static_cast<T>(sum[0]); }
};

// What biasGradient() wants of scratchBytes(), in 16s: vectors of other sums may lie behind it.
inline size_t biasGradientBytes(const TensorView& gy) {
  return (channelSumsBytes(pixels(gy), channels(gy), channelVector(channels(gy)), 1) + 15) / 16 * 16;
}

template <class T>
void biasGradient(const Call& call, const TensorView& gy, double* parts, T* gb) {
  withChannelVector(channels(gy), [&]<int V>() {
    channelSums(call, pixels(gy), channels(gy), parts, AddPixels<T, V>{Resting<T>(gy)}, StoreSum<T>{gb});
  });
}

}  // namespace spikeloom::cuda
