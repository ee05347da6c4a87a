// Mean and biased variance per channel from parts. A part holds the mean (C numbers) and then the squared deviations from that mean (C
// numbers) of its own pixels: the same number of pixels each, the last part what is left. Parts are merged in double, in a fixed order:
//
//   mean = sum n_i mean_i / n      var = sum (squares_i + n_i (mean_i - mean)^2) / n
//
// No sum of squares of the values themselves is ever taken, so a large mean costs no digits. The parts are read twice.
#pragma once
#include "cuda/kernel.h"

namespace spikeloom::cuda {

constexpr int kMergedChannels = 8;                         // of a block of mergeMomentsKernel
constexpr int kStrands = kThreads / kMergedChannels;       // threads that share a channel

// The sum over the strands of a channel, in every thread of the channel.
__device__ inline double strandSum(double value, double (&shared)[kStrands][kMergedChannels]) {
  const int channel = threadIdx.x % kMergedChannels;
  __syncthreads();
  shared[threadIdx.x / kMergedChannels][channel] = value;
  __syncthreads();
  double sum = 0;
  for (int i = 0; i < kStrands; i++) sum += shared[i][channel];
  return sum;
}

template <class T>
__global__ void mergeMomentsKernel(const T* parts, int count, int pixelsEach, int64_t pixels, int C, T* mean, T* variance) {
  __shared__ double shared[kStrands][kMergedChannels];
  const int c = blockIdx.x * kMergedChannels + threadIdx.x % kMergedChannels;
  const int first = c < C ? threadIdx.x / kMergedChannels : count;
  const auto pixelsOf = [&](int i) {
    return static_cast<double>(i < count - 1 ? pixelsEach : pixels - static_cast<int64_t>(i) * pixelsEach);
  };
  const auto part = [&](int i, int which) { return static_cast<double>(parts[(static_cast<int64_t>(i) * 2 + which) * C + c]); };
  double sum = 0, squares = 0;
  for (int i = first; i < count; i += kStrands) sum += pixelsOf(i) * part(i, 0);
  const double all = strandSum(sum, shared) / static_cast<double>(pixels);
  for (int i = first; i < count; i += kStrands) {
    const double apart = part(i, 0) - all;
    squares += part(i, 1) + pixelsOf(i) * apart * apart;
  }
  const double total = strandSum(squares, shared);
  if (c >= C || threadIdx.x >= kMergedChannels) return;
  if (mean) mean[c] = static_cast<T>(all);
  if (variance) variance[c] = static_cast<T>(total / static_cast<double>(pixels));
}

template <class T>
void mergeMoments(const Call& call, const T* parts, int64_t count, int64_t pixelsEach, int64_t pixels, int64_t C, T* mean, T* variance) {
  launch(call, mergeMomentsKernel<T>, (C + kMergedChannels - 1) / kMergedChannels, parts, static_cast<int>(count),
         static_cast<int>(pixelsEach), pixels, static_cast<int>(C), mean, variance);
}

}  // namespace spikeloom::cuda
