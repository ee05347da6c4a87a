// A block takes 32 channels of a chunk of pixels: every thread keeps the chunk's values of its channel in registers, so that the squared
// deviations from the chunk's own mean need no second read. y is read once; chunks are merged in order, in double (cuda/moments.cuh).
#include "cuda/moments.cuh"
#include "cuda/storage.cuh"
#include "ops/channel_moments/channel_moments.h"

namespace spikeloom::cuda {
namespace {

constexpr int kHeld = 16;
constexpr int64_t kChunk = kHeld * kWarps;

// The sum over the warps of a block for each lane, in every thread.
template <class T>
__device__ T sumOverWarps(T value, T (&shared)[kWarps][32]) {
  __syncthreads();
  shared[threadIdx.x / 32][threadIdx.x % 32] = value;
  __syncthreads();
  T sum = 0;
  for (int i = 0; i < kWarps; i++) sum += shared[i][threadIdx.x % 32];
  return sum;
}

template <class T, class S>
__global__ void chunkMomentsKernel(const S* y, int64_t pixels, int64_t C, int64_t groups, T* parts) {
  __shared__ T shared[kWarps][32];
  const int64_t chunk = blockIdx.x / groups, c = blockIdx.x % groups * 32 + threadIdx.x % 32;
  const int64_t first = chunk * kChunk, n = pixels - first < kChunk ? pixels - first : kChunk;
  const int warp = threadIdx.x / 32;
  const auto inside = [&](int i) { return i * kWarps + warp < n && c < C; };
  T held[kHeld], sum = 0, squares = 0;
#pragma unroll
  for (int i = 0; i < kHeld; i++) {
    held[i] = inside(i) ? loadAs(y + (first + i * kWarps + warp) * C + c) : T(0);
    sum += held[i];
  }
  const T mean = sumOverWarps(sum, shared) / static_cast<T>(n);
#pragma unroll
  for (int i = 0; i < kHeld; i++) {
    const T apart = held[i] - mean;
    if (inside(i)) squares += apart * apart;
  }
  const T all = sumOverWarps(squares, shared);
  if (warp != 0 || c >= C) return;
  parts[chunk * 2 * C + c] = mean;
  parts[(chunk * 2 + 1) * C + c] = all;
}

template <class T>
void channelMoments(const Call& call) {
  const TensorView& y = call.tensors[0];
  const int64_t C = channels(y), n = pixels(y), chunks = (n + kChunk - 1) / kChunk, groups = (C + 31) / 32;
  T* parts = static_cast<T*>(scratchBytes(call, static_cast<size_t>(chunks * 2 * C) * sizeof(T)));
  if (!parts) return;
  withStorage<T>(y, [&]<class S>() { launch(call, chunkMomentsKernel<T, S>, chunks * groups, as<S>(y), n, C, groups, parts); });
  mergeMoments<T>(call, parts, chunks, kChunk, n, C, as<T>(call.tensors[1]), as<T>(call.tensors[2]));
}

SPIKELOOM_CUDA_KERNEL(kChannelMoments, channelMoments)

}  // namespace
}  // namespace spikeloom::cuda
