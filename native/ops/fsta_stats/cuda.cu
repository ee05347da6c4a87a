// One block per (t,b), x read once. A warp takes every kWarps-th pixel; its lanes lie along the channels, so that reads are dense, and
// each lane keeps the maxima of kPerLane channels in registers. More than kTile channels: the pixels are walked once per tile.
// A plane's pixel belongs to one warp in all tiles, so its sum needs no atomics and has a fixed order.
// Never run on a GPU yet.
#include "cuda/reduce.cuh"
#include "ops/fsta_stats/fsta_stats.h"

namespace spikeloom::cuda {
namespace {

constexpr int kPerLane = 8;
constexpr int kTile = 32 * kPerLane;
static_assert(kTile == kThreads, "a thread merges the maxima of one channel of the tile");

template <class T>
struct TileMaxima {
  T value[kWarps][kTile];
  int32_t pixel[kWarps][kTile];  // -1: this warp had no pixel
};

// The maxima of the warp's pixels for the channels from `first` on, and their share of the plane.
template <class T>
__device__ void walkPixels(const T* x, T* plane, int64_t C, int32_t P, int64_t first, TileMaxima<T>& maxima) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  T value[kPerLane];
  int32_t pixel[kPerLane];
#pragma unroll
  for (int k = 0; k < kPerLane; k++) {
    value[k] = T(0);
    pixel[k] = -1;
  }
  for (int32_t p = warp; p < P; p += kWarps) {
    T sum = 0;
#pragma unroll
    for (int k = 0; k < kPerLane; k++) {
      const int64_t c = first + k * 32 + lane;
      if (c >= C) continue;
      const T v = x[p * C + c];
      sum += v;
      if (pixel[k] < 0 || v > value[k]) {
        value[k] = v;
        pixel[k] = p;
      }
    }
    for (int step = 16; step > 0; step /= 2) sum += __shfl_down_sync(0xffffffffu, sum, step);
    if (lane == 0) plane[p] = first == 0 ? sum : plane[p] + sum;
  }
#pragma unroll
  for (int k = 0; k < kPerLane; k++) {
    maxima.value[warp][k * 32 + lane] = value[k];
    maxima.pixel[warp][k * 32 + lane] = pixel[k];
  }
}

template <class T>
__global__ void statsKernel(const T* x, T* mean, T* peak, T* plane, int32_t* argmax, int64_t C, int32_t P) {
  __shared__ TileMaxima<T> maxima;
  __shared__ double sums[kWarps];
  const int64_t tb = blockIdx.x;
  x += tb * P * C;
  plane += tb * P;
  double peaks = 0;
  for (int64_t first = 0; first < C; first += kTile) {
    walkPixels(x, plane, C, P, first, maxima);
    __syncthreads();
    const int64_t c = first + threadIdx.x;
    if (c < C) {
      T value = maxima.value[0][threadIdx.x];
      int32_t pixel = maxima.pixel[0][threadIdx.x];
      for (int w = 1; w < kWarps; w++) {
        const T v = maxima.value[w][threadIdx.x];
        const int32_t p = maxima.pixel[w][threadIdx.x];
        if (p >= 0 && (v > value || (v == value && p < pixel))) {
          value = v;
          pixel = p;
        }
      }
      argmax[tb * C + c] = pixel;
      peaks += static_cast<double>(value);
    }
    __syncthreads();
  }
  double total = 0;
  for (int32_t p = threadIdx.x; p < P; p += kThreads) total += static_cast<double>(plane[p]);
  const double peakSum = blockSum(peaks, sums);
  __syncthreads();
  const double meanSum = blockSum(total, sums);
  if (threadIdx.x != 0) return;
  peak[tb] = static_cast<T>(peakSum / static_cast<double>(C));
  mean[tb] = static_cast<T>(meanSum / (static_cast<double>(C) * P));
}

template <class T>
__global__ void statsGradKernel(const T* gmean, const T* gpeak, const T* gplane, const int32_t* argmax, T* gx, int64_t n, int64_t C, int32_t P) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= n) return;
  const int64_t pixel = i / C, c = i % C, tb = pixel / P;
  T g = gmean ? gmean[tb] / static_cast<T>(C * P) : T(0);
  if (gplane) g += gplane[pixel];
  if (gpeak && argmax[tb * C + c] == pixel % P) g += gpeak[tb] / static_cast<T>(C);
  gx[i] = g;
}

template <class T>
void fstaStats(const Call& call) {
  const TensorView* t = call.tensors;
  const Shape5 s = shape5(t[0]);
  launch(call, statsKernel<T>, s.T * s.B, as<T>(t[0]), as<T>(t[1]), as<T>(t[2]), as<T>(t[3]), as<int32_t>(t[4]), s.C, static_cast<int32_t>(s.H * s.W));
}

template <class T>
void fstaStatsGrad(const Call& call) {
  const TensorView* t = call.tensors;
  const Shape5 s = shape5(t[4]);
  const int64_t n = count(t[4]);
  launch(call, statsGradKernel<T>, blocksFor(n), as<T>(t[0]), as<T>(t[1]), as<T>(t[2]), as<int32_t>(t[3]), as<T>(t[4]), n, s.C, static_cast<int32_t>(s.H * s.W));
}

SPIKELOOM_CUDA_KERNEL(kFstaStats, fstaStats)
SPIKELOOM_CUDA_KERNEL(kFstaStatsGrad, fstaStatsGrad)

}  // namespace
}  // namespace spikeloom::cuda
