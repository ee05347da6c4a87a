// FSTA's gates as kernels read them, and their gradients (ops/fsta_gate), which those of a fused layer share: threads lie as in
// cuda/pixel_tiles.cuh, a block leaves its sums, and small kernels add them in double.
#pragma once
#include "core/gate.h"
#include "cuda/elementwise.cuh"
#include "cuda/neuron.cuh"
#include "cuda/pixel_tiles.cuh"
#include "cuda/reduce.cuh"

namespace spikeloom::cuda {

// The factor (1 + a[t,b]) k[b,p] of a pixel at a step, 1 where there is no FSTA.
template <class T>
struct GateIn {
  const T *a, *F, *m, *n;

  GateIn() : a(nullptr), F(nullptr), m(nullptr), n(nullptr) {}
  // From tensors a, F, m, n.
  explicit GateIn(const TensorView* v) : a(as<T>(v[0])), F(as<T>(v[1])), m(as<T>(v[2])), n(as<T>(v[3])) {}

  // G of pixel i of all images.
  __device__ __forceinline__ T open(uint32_t i) const { return a ? openShare(F[i]) : T(0); }
  __device__ __forceinline__ T factor(T open) const { return a ? gateFactor(*m, *n, open) : T(1); }
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

// The sum over the block's threads; all of them call it, and may call it again at once.
__device__ inline void writeSum(double value, double* to) {
  __shared__ double shared[kWarps];
  const double sum = blockSum(value, shared);
  if (threadIdx.x == 0) *to = sum;
  __syncthreads();
}

// What a thread keeps of r, which is summed over its pixels.
struct GateScalars : GateSums {
  // overTime: the thread's sum of q (1 + a) at pixel i, of which G is `open`. All threads of the group call it.
  template <class T, int N>
  __device__ __forceinline__ void add(const PixelTiles<N>& tiles, const PixelPlace<N>& at, uint32_t i, bool used, T overTime, T open, T* allR) {
    const double r = static_cast<double>(groupSum(overTime, tiles.group));
    if (at.slot != 0 || !used) return;
    if (allR) allR[static_cast<int64_t>(at.tile) * tiles.pixels() + i] = static_cast<T>(r);
    GateSums::add(r, static_cast<double>(open));
  }
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
    const int64_t t = i / B, b = i % B;
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

// kGateTotals blocks for the totals, then a thread for each pixel of gF and each number of ga, as far as they are wanted.
template <class T>
__global__ void finishGateKernel(MapGradient<T> map, GainGradient<T> gain, int64_t pixels, int64_t gains, int64_t blocks, const T* logit,
                                 GateOut<T> out) {
  if (blockIdx.x < kGateTotals) return putTotal(static_cast<int>(blockIdx.x), gain.parts, blocks, gain.width, logit, out);
  const int64_t i = threadOfGrid() - kGateTotals * kThreads;
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

// The gradients out of the parts.
template <class T, int N>
void finishGate(const Call& call, const PixelTiles<N>& tiles, int64_t steps, const GateIn<T>& gate, const T* logit, const GateParts<T>& parts,
                const GateOut<T>& out) {
  if (!out.gF && !out.totals()) return;
  const int64_t B = tiles.B, pixels = tiles.pixels(), mapped = out.gF ? pixels : 0, gains = out.ga ? steps * B : 0;
  launch(call, finishGateKernel<T>, kGateTotals + blocksFor(mapped + gains), MapGradient<T>{parts.r, gate.F, gate.n, out.gF, tiles.tiles, pixels},
         GainGradient<T>{parts.sums, out.ga, tiles.blocks() / B, B, steps + kGateTotals}, mapped, gains, tiles.blocks(), logit, out);
}

}  // namespace spikeloom::cuda
