// FSTA's gates as kernels read them, and their gradients (ops/fsta_gate), which those of a fused layer share: threads lie as in
// cuda/pixel_tiles.cuh, a block leaves its sums, and small kernels add them in double.
#pragma once
#include "core/gate.h"
#include "cuda/channel_sums.cuh"
#include "cuda/elementwise.cuh"
#include "cuda/multiply_add.cuh"
#include "cuda/neuron.cuh"
#include "cuda/pixel_tiles.cuh"
#include "cuda/reduce.cuh"

namespace spikeloom::cuda {

// m and n, which a thread reads once.
template <class T>
struct GateScale {
  T m, n;
};

// The factor (1 + a[t,b]) k[b,p] of a pixel at a step, 1 where there is no FSTA.
template <class T>
struct GateIn {
  const T *a, *F, *m, *n;

  GateIn() : a(nullptr), F(nullptr), m(nullptr), n(nullptr) {}
  // From tensors a, F, m, n.
  explicit GateIn(const TensorView* v) : a(as<T>(v[0])), F(as<T>(v[1])), m(as<T>(v[2])), n(as<T>(v[3])) {}

  __device__ __forceinline__ GateScale<T> scale() const { return a ? GateScale<T>{*m, *n} : GateScale<T>{}; }
  // F of pixel i of all images, and G out of it: apart, so that other reads can begin in between.
  __device__ __forceinline__ T map(uint32_t i) const { return a ? F[i] : T(0); }
  __device__ __forceinline__ T open(T mapped) const { return a ? openShare(mapped) : T(0); }
  __device__ __forceinline__ T factor(const GateScale<T>& by, T open) const { return a ? gateFactor(by.m, by.n, open) : T(1); }
  __device__ __forceinline__ T gain(uint32_t tb) const { return a ? gateGain(a[tb]) : T(1); }
};

// Null where it is not wanted.
template <class T>
struct GateOut {
  T *ga, *gF, *gm, *gn, *glogit;

  bool totals() const { return ga || gm || gn || glogit; }
};

constexpr int kGateTotals = 3;  // gm, gn, glogit

// What the blocks leave: T + kGateTotals sums each (ga of every t first), and r of every pixel for each tile of channels.
template <class T>
struct GateParts {
  double* sums;
  T* r;
};

// The calling warp's own sums for every t, in the dynamic shared memory of gateSharedBytes(). All of a warp's lanes call them.
__device__ inline double* gainSums(uint32_t steps) { return reinterpret_cast<double*>(dynamicShared()) + threadIdx.x / 32 * steps; }

inline size_t gateSharedBytes(int64_t steps) { return static_cast<size_t>(kWarps * steps) * sizeof(double); }

__device__ inline void clearGainSums(uint32_t steps) {
  double* sums = gainSums(steps);
  for (uint32_t t = threadIdx.x % 32; t < steps; t += 32) sums[t] = 0;
  __syncwarp();
}

template <class T>
__device__ __forceinline__ void addGain(uint32_t steps, uint32_t t, T value) {
  const T sum = warpSum(value);
  if (threadIdx.x % 32 == 0) gainSums(steps)[t] += static_cast<double>(sum);
}

// Behind the last addGain() of a block; all its threads call it.
__device__ inline void writeGains(uint32_t steps, double* part) {
  __syncthreads();
  const double* sums = reinterpret_cast<const double*>(dynamicShared());
  for (uint32_t t = threadIdx.x; t < steps; t += kThreads) {
    double sum = 0;
    for (int w = 0; w < kWarps; w++) sum += sums[w * steps + t];
    part[t] = sum;
  }
}

// K sums over the block's threads, to `to`; all of them call it, once in a kernel.
template <int K>
__device__ void writeSums(double (&sums)[K], double* to) {
  __shared__ double shared[K][kWarps];
#pragma unroll
  for (int k = 0; k < K; k++) {
    sums[k] = warpSum(sums[k]);
    if (threadIdx.x % 32 == 0) shared[k][threadIdx.x / 32] = sums[k];
  }
  __syncthreads();
  if (threadIdx.x >= K) return;
  double sum = 0;
#pragma unroll
  for (int w = 0; w < kWarps; w++) sum += shared[threadIdx.x][w];
  to[threadIdx.x] = sum;
}

// What a thread keeps of r, which is summed over its pixels: gm and gn are sums of r/2 and of r/2 (1 + G).
template <class T>
struct GateScalars {
  T r = 0, opened = 0;

  // overTime: the thread's sum of q (1 + a) at pixel i, of which G is `open`. All threads of the group call it.
  template <int N>
  __device__ __forceinline__ void add(const PixelTiles<N>& tiles, const PixelPlace<N>& at, uint32_t i, bool used, T overTime, T open, T* allR) {
    const T sum = groupSum(overTime, tiles.group);
    if (at.slot != 0 || !used) return;
    if (allR) allR[at.tile * tiles.pixels() + i] = sum;
    r += sum;
    opened = multiplyAdd(sum, open, opened);
  }
  __device__ double gm() const { return static_cast<double>(r) / 2; }
  __device__ double gn() const { return (static_cast<double>(r) + static_cast<double>(opened)) / 2; }
};

// gF = r n/2 G (1 - G), r summed over the tiles.
template <class T>
struct MapGradient {
  const T *r, *F, *n;
  T* gF;
  int64_t tiles, pixels;

  __device__ void operator()(int64_t i) const {
    double sum = 0;
    for (int64_t tile = 0; tile < tiles; tile++) sum += static_cast<double>(r[tile * pixels + i]);
    const double open = static_cast<double>(openShare(F[i]));
    gF[i] = static_cast<T>(mapSlope(sum, static_cast<double>(*n), open));
  }
};

// ga[t,b]: the sum over the blocks of an image, perImage of them side by side.
template <class T>
struct GainGradient {
  const double* parts;
  T* ga;
  int64_t perImage, B, width;

  __device__ void operator()(int64_t i) const {
    const auto [t, b] = divide(i, B);
    double sum = 0;
    for (int64_t k = 0; k < perImage; k++) sum += parts[(b * perImage + k) * width + t];
    ga[i] = static_cast<T>(sum);
  }
};

// The calling block's one of gm, gn, glogit.
template <class T>
__device__ void putTotal(int which, const double* parts, int64_t blocks, int64_t width, const T* logit, const GateOut<T>& out) {
  __shared__ double shared[kWarps];
  T* to = which == 0 ? out.gm : which == 1 ? out.gn : out.glogit;
  if (!to) return;
  double sum = 0;
  for (int64_t k = threadIdx.x; k < blocks; k += kThreads) sum += parts[k * width + width - kGateTotals + which];
  const double total = blockSum(sum, shared);
  if (threadIdx.x != 0) return;
  *to = static_cast<T>(which == 2 ? logitGradient(total, learnedDecay(logit)) : total);
}

// Sums per channel that a block of mergeSums() each adds up beside the gate: parts [part][2][C] to sums [2][C]; no blocks where sums is null.
template <class T>
struct ChannelTotals {
  const double* parts;
  int64_t count, C;
  T* sums;

  int64_t blocks() const { return sums ? mergeBlocks(C) : 0; }
  __device__ void operator()(int64_t c, const double (&found)[2]) const {
    sums[c] = static_cast<T>(found[0]);
    sums[C + c] = static_cast<T>(found[1]);
  }
};

// The blocks of the channels, kGateTotals blocks for the totals, then a thread for each pixel of gF and each number of ga, as far as they are
// wanted.
template <class T>
__global__ void __launch_bounds__(kThreads) finishGateKernel(ChannelTotals<T> channels, int64_t channelBlocks, MapGradient<T> map,
                                                             GainGradient<T> gain, int64_t pixels, int64_t gains, int64_t blocks, const T* logit,
                                                             GateOut<T> out) {
  waitForKernelsBefore();
  const int64_t block = blockIdx.x - channelBlocks;
  if (block < 0) return mergeSums<2>(blockIdx.x, channels.parts, channels.count, channels.C, channels);
  if (block < kGateTotals) return putTotal(static_cast<int>(block), gain.parts, blocks, gain.width, logit, out);
  const int64_t i = (block - kGateTotals) * kThreads + threadIdx.x;
  if (i < pixels) map(i);
  else if (i < pixels + gains) gain(i - pixels);
}

// How many doubles and numbers of T the parts take.
template <class T, int N>
int64_t gateSums(const PixelTiles<N>& tiles, int64_t steps, const GateOut<T>& out) {
  return out.totals() ? tiles.blocks() * (steps + kGateTotals) : 0;
}

template <class T, int N>
int64_t gateNumbers(const PixelTiles<N>& tiles, const GateOut<T>& out) {
  return out.gF ? int64_t{tiles.tiles} * tiles.pixels() : 0;
}

// The gradients out of the parts, and the sums per channel.
template <class T, int N>
void finishGate(const Call& call, const PixelTiles<N>& tiles, int64_t steps, const GateIn<T>& gate, const T* logit, const GateParts<T>& parts,
                const GateOut<T>& out, const ChannelTotals<T>& channels = {}) {
  const bool gates = out.gF || out.totals();
  const int64_t B = tiles.B, pixels = tiles.pixels(), mapped = out.gF ? pixels : 0, gains = out.ga ? steps * B : 0;
  const int64_t blocks = channels.blocks() + (gates ? kGateTotals + blocksFor(mapped + gains) : 0);
  launch(call, finishGateKernel<T>, blocks, channels, channels.blocks(), MapGradient<T>{parts.r, gate.F, gate.n, out.gF, tiles.tiles, pixels},
         GainGradient<T>{parts.sums, out.ga, tiles.blocks() / B, B, steps + kGateTotals}, mapped, gains, tiles.blocks(), logit, out);
}

}  // namespace spikeloom::cuda
