// Sums over pixels, per channel, in double and in a fixed order: chunks of pixels first, then the chunks. The rows are read once.
#pragma once
#include "core/host_device.h"
#include "cuda/storage.cuh"

namespace spikeloom::cuda {

// How the rows [pixels][C] are cut: a block takes 32 channels of a chunk, kWarps pixels at a time.
struct ChannelSums {
  int64_t pixels, C, chunk;

  ChannelSums(int64_t pixels_, int64_t C_) : pixels(pixels_), C(C_), chunk(pixels_ / 512 < 64 ? 64 : pixels_ / 512) {}
  SPIKELOOM_HD int64_t groups() const { return (C + 31) / 32; }
  SPIKELOOM_HD int64_t chunks() const { return (pixels + chunk - 1) / chunk; }
  size_t scratchBytes() const { return static_cast<size_t>(chunks() * C) * sizeof(double); }
};

template <class S>
__global__ void channelSumsKernel(ChannelSums s, const S* rows, double* parts) {
  __shared__ double shared[kWarps][32];
  const int64_t c = blockIdx.x % s.groups() * 32 + threadIdx.x % 32, first = blockIdx.x / s.groups() * s.chunk;
  const int64_t end = first + s.chunk < s.pixels ? first + s.chunk : s.pixels;
  double sum = 0;
  for (int64_t p = first + threadIdx.x / 32; p < end && c < s.C; p += kWarps) sum += static_cast<double>(loadAs(rows + p * s.C + c));
  shared[threadIdx.x / 32][threadIdx.x % 32] = sum;
  __syncthreads();
  if (threadIdx.x >= 32 || c >= s.C) return;
  double total = 0;
  for (int i = 0; i < kWarps; i++) total += shared[i][threadIdx.x];
  parts[blockIdx.x / s.groups() * s.C + c] = total;
}

template <class T>
__global__ void mergeChannelSumsKernel(ChannelSums s, const double* parts, T* sums) {
  const int64_t c = threadOfGrid();
  if (c >= s.C) return;
  double total = 0;
  for (int64_t i = 0; i < s.chunks(); i++) total += parts[i * s.C + c];
  sums[c] = static_cast<T>(total);
}

// `parts` is scratch of s.scratchBytes().
template <class T, class S>
void sumChannels(const Call& call, const ChannelSums& s, const S* rows, double* parts, T* sums) {
  launch(call, channelSumsKernel<S>, s.chunks() * s.groups(), s, rows, parts);
  launch(call, mergeChannelSumsKernel<T>, blocksFor(s.C), s, static_cast<const double*>(parts), sums);
}

}  // namespace spikeloom::cuda
