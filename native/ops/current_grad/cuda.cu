// A thread has a vector of channels (16 bytes of y) of some pixels of an image. Phase 1 sums per channel (the header says what it reads, and
// is left out where nothing is to be read), a small kernel makes ggamma, gbeta and what gy is made of, phase 2 reads g and y once and writes
// gy and gx once. gy or gx may lie where g does.
#include <initializer_list>

#include "cuda/channel_parts.cuh"
#include "cuda/current.cuh"
#include "cuda/multiply_add.cuh"
#include "ops/current_grad/current_grad.h"

namespace spikeloom::cuda {
namespace {

constexpr int kAtOnce = 2;  // pixels whose reads are under way together

// gy = slope (sum of gx) + tilt y + level, per channel.
template <class T>
struct Line {
  T *slope, *tilt, *level;
};

template <class T, class S>
struct CurrentGradient : CurrentGradTensors<T, S> {
  uint32_t steps, ySteps;

  explicit CurrentGradient(const Call& call)
      : CurrentGradTensors<T, S>(call),
        steps(static_cast<uint32_t>(call.tensors[0].dims[0])),
        ySteps(static_cast<uint32_t>(call.tensors[1].dims[0])) {}
};

// What the statistics add to the gradient of x in one (t,b), for a vector of channels.
template <class T, int N>
struct Parts {
  T flat, share;
  const T* plane;  // or null
  Packed<int32_t, N> largest;

  template <class S>
  __device__ __forceinline__ Parts(const CurrentGradient<T, S>& all, const PixelTiles<N>& tiles, uint32_t tb, uint32_t c)
      : flat(all.gmean ? all.gmean[tb] / static_cast<T>(int64_t{tiles.P} * tiles.C) : T(0)),
        share(all.gpeak ? all.gpeak[tb] / static_cast<T>(tiles.C) : T(0)),
        plane(all.gplane ? all.gplane + int64_t{tb} * tiles.P : nullptr) {
    if (all.gpeak) largest = loadPacked<N>(all.argmax, tb * tiles.vectors + c);
    else largest.at[0] = -1;
  }
  // gx += the parts at pixel p.
  __device__ __forceinline__ void add(bool hasPeak, uint32_t p, T (&gx)[N]) const {
    const T even = flat + (plane ? plane[p] : T(0));
    if (hasPeak) {
#pragma unroll
      for (int i = 0; i < N; i++) gx[i] += even + (largest.at[i] == static_cast<int32_t>(p) ? share : T(0));
    } else {
#pragma unroll
      for (int i = 0; i < N; i++) gx[i] += even;
    }
  }
};

// Phase 1: sums of gx and of gx (y - mean), without g where its sums are known.
template <class T, class S, int N>
__global__ void __launch_bounds__(kThreads) sumKernel(CurrentGradient<T, S> all, PixelTiles<N> tiles, double* parts) {
  const PixelPlace<N> at(tiles, blockIdx.x);
  const bool readsG = all.sums == nullptr;
  T centre[N], sums[2][N] = {};
  loadVector<T, N>(all.mean, at.vector, centre);
  for (uint32_t t = 0; t < all.steps; t++) {
    const uint32_t tb = t * tiles.B + at.b;
    const Parts<T, N> added(all, tiles, tb, at.vector);
    for (uint32_t p = at.begin; p < at.end; p += kAtOnce * at.rows) {
      Packed<S, N> y[kAtOnce], g[kAtOnce];
#pragma unroll
      for (int k = 0; k < kAtOnce; k++) {
        const uint32_t pixel = at.pixelAt(p + k * at.rows);
        y[k] = loadPacked<N>(all.y, ((all.ySteps == 1 ? at.b : tb) * tiles.P + pixel) * tiles.vectors + at.vector);
        if (readsG) g[k] = loadPacked<N>(all.g, (tb * tiles.P + pixel) * tiles.vectors + at.vector);
      }
#pragma unroll
      for (int k = 0; k < kAtOnce; k++) {
        T gx[N] = {};
        if (readsG) unpack<T, N>(g[k], gx);
        if (all.parts()) added.add(all.gpeak != nullptr, at.pixelAt(p + k * at.rows), gx);
        if (!at.has(p + k * at.rows)) continue;
#pragma unroll
        for (int i = 0; i < N; i++) {
          sums[0][i] += gx[i];
          sums[1][i] = multiplyAdd(gx[i], loadAs(&y[k].at[i]) - centre[i], sums[1][i]);
        }
      }
    }
  }
  writeChannelPart<T, 2, N>(tiles, at, sums, parts);
}

// The gradients of the parameters, and the line of each channel where one is wanted. share: 1 / n in training, else 0.
template <class T, class S>
struct FinishSums {
  CurrentGradient<T, S> all;
  Line<T> line;
  int64_t C;
  double share;

  __device__ void operator()(int64_t c, const double (&found)[2]) const {
    const double sum = found[0] + (all.sums ? static_cast<double>(all.sums[c]) : 0);
    const double product = found[1] + (all.sums ? static_cast<double>(all.sums[C + c]) : 0);
    all.gbeta[c] = static_cast<T>(sum);
    all.ggamma[c] = static_cast<T>(product * static_cast<double>(all.invStd[c]));
    if (!line.slope) return;
    const GradientLine made(static_cast<double>(all.gamma[c]), static_cast<double>(all.mean[c]), static_cast<double>(all.invStd[c]),
                            static_cast<double>(all.ggamma[c]), static_cast<double>(all.gbeta[c]), share);
    line.slope[c] = static_cast<T>(made.slope);
    line.tilt[c] = static_cast<T>(made.tilt);
    line.level[c] = static_cast<T>(made.level);
  }
};

// Phase 2. A grid for each step of y; where all steps share one, a thread adds them up.
template <class T, class S, int N>
__global__ void __launch_bounds__(kThreads) writeKernel(CurrentGradient<T, S> all, PixelTiles<N> tiles, Line<T> line) {
  const uint32_t perStep = tiles.parts() * tiles.tiles, yt = blockIdx.x / perStep;
  const PixelPlace<N> at(tiles, blockIdx.x % perStep);
  const uint32_t begin = all.ySteps == 1 ? 0 : yt, end = all.ySteps == 1 ? all.steps : yt + 1;
  T slope[N], tilt[N], level[N];
  loadVector<T, N>(line.slope, at.vector, slope);
  loadVector<T, N>(line.tilt, at.vector, tilt);
  loadVector<T, N>(line.level, at.vector, level);
  for (uint32_t p = at.begin; p < at.end; p += kAtOnce * at.rows) {
    Packed<S, N> y[kAtOnce];
    T sum[kAtOnce][N] = {};
    uint32_t place[kAtOnce];  // in a step
#pragma unroll
    for (int k = 0; k < kAtOnce; k++) {
      place[k] = (at.b * tiles.P + at.pixelAt(p + k * at.rows)) * tiles.vectors + at.vector;
      if (all.gy) y[k] = loadPacked<N>(all.y, yt * tiles.pixels() * tiles.vectors + place[k]);
    }
    for (uint32_t t = begin; t < end; t++) {
      const uint32_t step = t * tiles.pixels() * tiles.vectors;
      const Parts<T, N> added(all, tiles, t * tiles.B + at.b, at.vector);
      Packed<S, N> g[kAtOnce];
#pragma unroll
      for (int k = 0; k < kAtOnce; k++) {
        if (at.has(p + k * at.rows)) g[k] = loadPacked<N>(all.g, step + place[k]);  // another thread's place may be written by now
      }
#pragma unroll
      for (int k = 0; k < kAtOnce; k++) {
        if (!at.has(p + k * at.rows)) continue;
        T gx[N];
        unpack<T, N>(g[k], gx);
        if (all.parts()) added.add(all.gpeak != nullptr, at.pixelAt(p + k * at.rows), gx);
        if (all.gx) storeVector<T, N>(all.gx, step + place[k], gx);
#pragma unroll
        for (int i = 0; i < N; i++) sum[k][i] += gx[i];
      }
    }
#pragma unroll
    for (int k = 0; k < kAtOnce; k++) {
      if (!all.gy || !at.has(p + k * at.rows)) continue;
      T gy[N];
#pragma unroll
      for (int i = 0; i < N; i++) gy[i] = multiplyAdd(slope[i], sum[k][i], multiplyAdd(tilt[i], loadAs(&y[k].at[i]), level[i]));
      storeVector<T, N>(all.gy, yt * tiles.pixels() * tiles.vectors + place[k], gy);
    }
  }
}

template <class T, class S, int N>
void gradientAs(const Call& call) {
  const Shape5 s = shape5(call.tensors[0]);
  const CurrentGradient<T, S> all(call);
  const PixelTiles<N> summed(s.B, s.H * s.W, s.C), written(s.B, s.H * s.W, s.C, all.ySteps);
  if (!summed.fits(call, s.T)) return;
  const bool sums = all.parts() || !all.sums, writes = all.gy || all.gx;
  const int64_t parts = sums ? summed.parts() : 0;
  const size_t partBytes = static_cast<size_t>(parts * 2 * s.C) * sizeof(double), lineBytes = static_cast<size_t>(s.C) * sizeof(T) * 3;
  double* room = static_cast<double*>(scratchBytes(call, partBytes + lineBytes));
  if (room == nullptr) return;
  T* lines = reinterpret_cast<T*>(room + parts * 2 * s.C);
  const Line<T> line = writes ? Line<T>{lines, lines + s.C, lines + 2 * s.C} : Line<T>{nullptr, nullptr, nullptr};
  if (sums) launch(call, sumKernel<T, S, N>, summed.blocks(), all, summed, room);
  const double share = all.training ? 1.0 / (static_cast<double>(all.ySteps) * static_cast<double>(s.B * s.H * s.W)) : 0;
  mergeChannelSums<2>(call, room, parts, s.C, FinishSums<T, S>{all, line, s.C, share});
  if (writes) launch(call, writeKernel<T, S, N>, all.ySteps * written.blocks(), all, written, line);
}

template <class T>
void currentGrad(const Call& call) {
  const TensorView* v = call.tensors;
  if (!fits(call, v[1], v[0], v[0].dims[0], sizeof(T) == 8)) return;
  for (int i : {10, 13}) {
    if (v[i].data && v[i].dtype != v[1].dtype) return fail(call.status, "gy and gx have the type of y; make them the same");
  }
  withStorage<T>(v[1], [&]<class S>() {
    constexpr int N = kVector<S>;
    const auto takes = [&](int i) { return takesVectors<N>(channels(v[0]), as<S>(v[i])); };
    if (takes(0) && takes(1) && takes(10) && takes(13)) gradientAs<T, S, N>(call);
    else gradientAs<T, S, 1>(call);
  });
}

SPIKELOOM_CUDA_KERNEL(kCurrentGrad, currentGrad)

}  // namespace
}  // namespace spikeloom::cuda
