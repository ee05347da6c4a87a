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

// gy = slope (sum of gx) + tilt y + level, per channel.
template <class T>
struct Line {
  T *slope, *tilt, *level;
};

template <class T, class S>
struct CurrentGradient : CurrentGradTensors<T, S> {
  uint32_t steps, ySteps;
  T perElement, perChannel;  // 1 / (C H W), 1 / C

  explicit CurrentGradient(const Call& call)
      : CurrentGradTensors<T, S>(call),
        steps(static_cast<uint32_t>(call.tensors[0].dims[0])),
        ySteps(static_cast<uint32_t>(call.tensors[1].dims[0])) {
    const Shape5 s = shape5(call.tensors[0]);
    perElement = static_cast<T>(1 / static_cast<double>(s.C * s.H * s.W));
    perChannel = static_cast<T>(1 / static_cast<double>(s.C));
  }
};

// What the statistics add to the gradient of x in one (t,b), for a vector of channels.
template <class T, int N>
struct Parts {
  T flat, share;
  bool hasPeak;
  Packed<int32_t, N> largest;

  template <class S>
  __device__ __forceinline__ Parts(const CurrentGradient<T, S>& all, const PixelTiles<N>& tiles, uint32_t tb, uint32_t c)
      : flat(all.gmean ? all.gmean[tb] * all.perElement : T(0)),
        share(all.gpeak ? all.gpeak[tb] * all.perChannel : T(0)),
        hasPeak(all.gpeak != nullptr) {
    if (hasPeak) largest = loadPacked<N>(all.argmax, tb * tiles.vectors + c);
  }
  // gx += the parts at pixel p; even: what all its channels get.
  __device__ __forceinline__ void add(T even, uint32_t p, T (&gx)[N]) const {
    if (hasPeak) {
#pragma unroll
      for (int i = 0; i < N; i++) gx[i] += even + (largest.at[i] == static_cast<int32_t>(p) ? share : T(0));
    } else {
#pragma unroll
      for (int i = 0; i < N; i++) gx[i] += even;
    }
  }
};

// Phase 1: sums of gx and of gx (y - mean). kReadsG: not where the sums of g are known. Then all channels of a pixel get the same, but for
// the one pixel of each that is its peak: a thread adds that afterwards where the pixel is its own.
//
// In both phases a thread's first reads begin before it waits for what belongs to its picture.
template <class T, class S, int N, bool kReadsG>
__global__ void __launch_bounds__(kThreads, kReadsG ? 2 : 3) sumKernel(CurrentGradient<T, S> all, PixelTiles<N> tiles, double* parts) {
  waitForKernelsBefore();
  constexpr int kAtOnce = 4;  // pixels whose reads are under way together
  const PixelPlace<N> at(tiles, blockIdx.x);
  T centre[N], sums[2][N] = {};
  loadVector<T, N>(all.mean, at.vector, centre);
  for (uint32_t t = all.steps; t-- > 0;) {
    const uint32_t tb = t * tiles.B + at.b, yFirst = (all.ySteps == 1 ? at.b : tb) * tiles.P;
    const auto yAt = [&](uint32_t pixel) { return (yFirst + pixel) * tiles.vectors + at.vector; };
    Packed<S, N> y[kAtOnce], g[kAtOnce];
    T plane[kAtOnce], evens = 0;
    const auto read = [&](uint32_t p) {
#pragma unroll
      for (int k = 0; k < kAtOnce; k++) {
        const uint32_t pixel = at.pixelAt(p + k * at.rows);
        y[k] = loadPacked<N>(all.y, yAt(pixel));
        if constexpr (kReadsG) g[k] = loadPacked<N>(all.g, (tb * tiles.P + pixel) * tiles.vectors + at.vector);
        plane[k] = all.gplane ? all.gplane[tb * tiles.P + pixel] : T(0);
      }
    };
    const uint32_t length = kAtOnce * at.rows;
    uint32_t p = at.begin + (at.template steps<kAtOnce>() - 1) * length;
    read(p);
    const Parts<T, N> added(all, tiles, tb, at.vector);
    for (;;) {
#pragma unroll
      for (int k = 0; k < kAtOnce; k++) {
        if (!at.has(p + k * at.rows)) continue;
        const T even = added.flat + plane[k];
        if (!kReadsG) evens += even;
#pragma unroll
        for (int i = 0; i < N; i++) {
          const T gx = kReadsG ? g[k].number(i) + even : even;
          if (kReadsG) sums[0][i] += gx;
          sums[1][i] = multiplyAdd(gx, y[k].number(i) - centre[i], sums[1][i]);
        }
      }
      if (p == at.begin) break;
      p -= length;
      read(p);
    }
#pragma unroll
    for (int i = 0; i < N; i++) {
      if (!kReadsG) sums[0][i] += evens;
      const auto pixel = static_cast<uint32_t>(added.hasPeak ? added.largest.at[i] : -1);
      if (!at.owns(pixel)) continue;
      sums[0][i] += added.share;
      sums[1][i] = multiplyAdd(added.share, static_cast<T>(loadAs(all.y + size_t{yAt(pixel)} * N + i)) - centre[i], sums[1][i]);
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

  struct Given {
    T sum, product, invStd, gamma, mean;
  };
  __device__ Given read(int64_t c) const {
    return {all.sums ? all.sums[c] : T(0), all.sums ? all.sums[C + c] : T(0), all.invStd[c], all.gamma[c], all.mean[c]};
  }
  __device__ void put(int64_t c, const double (&found)[2], const Given& given) const {
    const double sum = found[0] + static_cast<double>(given.sum), product = found[1] + static_cast<double>(given.product);
    const auto invStd = static_cast<double>(given.invStd);
    const T gbeta = static_cast<T>(sum), ggamma = static_cast<T>(product * invStd);
    const GradientLine made(static_cast<double>(given.gamma), static_cast<double>(given.mean), invStd, static_cast<double>(ggamma),
                            static_cast<double>(gbeta), share);
    all.gbeta[c] = gbeta;
    all.ggamma[c] = ggamma;
    if (!line.slope) return;
    line.slope[c] = static_cast<T>(made.slope);
    line.tilt[c] = static_cast<T>(made.tilt);
    line.level[c] = static_cast<T>(made.level);
  }
};

// What phase 2 makes of a vector of channels: gy = slope gx + tilt y + level.
template <class T, int N>
struct LineVector {
  T slope[N], tilt[N], level[N];

  __device__ __forceinline__ LineVector(const Line<T>& line, uint32_t c) {
    loadVector<T, N>(line.slope, c, slope);
    loadVector<T, N>(line.tilt, c, tilt);
    loadVector<T, N>(line.level, c, level);
  }
  template <class S>
  __device__ __forceinline__ void put(S* gy, uint32_t place, const T (&gx)[N], const Packed<S, N>& y) const {
    T made[N];
#pragma unroll
    for (int i = 0; i < N; i++) made[i] = multiplyAdd(slope[i], gx[i], multiplyAdd(tilt[i], y.number(i), level[i]));
    storeVector<T, N>(gy, place, made);
  }
};

// Phase 2 where every step has its own y: a grid for each.
template <class T, class S, int N>
__global__ void __launch_bounds__(kThreads, 2) writeKernel(CurrentGradient<T, S> all, PixelTiles<N> tiles, Line<T> line) {
  waitForKernelsBefore();
  constexpr int kAtOnce = 4;  // pixels whose reads are under way together
  const uint32_t t = tiles.repetition(blockIdx.x);
  const PixelPlace<N> at(tiles, blockIdx.x);
  const uint32_t tb = t * tiles.B + at.b;
  const bool hasParts = all.parts();
  Packed<S, N> y[kAtOnce], g[kAtOnce];
  T plane[kAtOnce];
  const auto place = [&](uint32_t pixel) { return (tb * tiles.P + pixel) * tiles.vectors + at.vector; };
  // g of a thread's own places alone: others may be written by now.
  const auto read = [&](uint32_t p) {
#pragma unroll
    for (int k = 0; k < kAtOnce; k++) {
      const uint32_t pixel = at.pixelAt(p + k * at.rows);
      if (at.has(p + k * at.rows)) g[k] = loadPacked<N>(all.g, place(pixel));
      if (all.gy) y[k] = loadPacked<N>(all.y, place(pixel));
      plane[k] = all.gplane ? all.gplane[tb * tiles.P + pixel] : T(0);
    }
  };
  read(at.begin);
  const LineVector<T, N> made(line, at.vector);
  const Parts<T, N> added(all, tiles, tb, at.vector);
  for (uint32_t p = at.begin;;) {
#pragma unroll
    for (int k = 0; k < kAtOnce; k++) {
      if (!at.has(p + k * at.rows)) continue;
      const uint32_t pixel = at.pixelAt(p + k * at.rows);
      T gx[N];
      unpack<T, N>(g[k], gx);
      if (hasParts) added.add(added.flat + plane[k], pixel, gx);
      if (all.gx) storeVector<T, N>(all.gx, place(pixel), gx);
      if (all.gy) made.put(all.gy, place(pixel), gx, y[k]);
    }
    p += kAtOnce * at.rows;
    if (p >= at.end) return;
    read(p);
  }
}

// Phase 2 where all steps share one y: a thread adds them up.
template <class T, class S, int N>
__global__ void __launch_bounds__(kThreads, 2) writeSharedKernel(CurrentGradient<T, S> all, PixelTiles<N> tiles, Line<T> line) {
  waitForKernelsBefore();
  constexpr int kAtOnce = 2;
  const PixelPlace<N> at(tiles, blockIdx.x);
  const bool hasParts = all.parts();
  const LineVector<T, N> made(line, at.vector);
  for (uint32_t p = at.begin; p < at.end; p += kAtOnce * at.rows) {
    Packed<S, N> y[kAtOnce], g[kAtOnce];
    T sum[kAtOnce][N] = {}, plane[kAtOnce];
    const auto pixel = [&](int k) { return at.pixelAt(p + k * at.rows); };
    const auto has = [&](int k) { return at.has(p + k * at.rows); };
    const auto place = [&](uint32_t tb, int k) { return (tb * tiles.P + pixel(k)) * tiles.vectors + at.vector; };
#pragma unroll
    for (int k = 0; k < kAtOnce; k++) {
      if (all.gy) y[k] = loadPacked<N>(all.y, place(at.b, k));
    }
    for (uint32_t tb = at.b; tb < all.steps * tiles.B; tb += tiles.B) {
#pragma unroll
      for (int k = 0; k < kAtOnce; k++) {
        if (has(k)) g[k] = loadPacked<N>(all.g, place(tb, k));
        plane[k] = all.gplane ? all.gplane[tb * tiles.P + pixel(k)] : T(0);
      }
      const Parts<T, N> added(all, tiles, tb, at.vector);
#pragma unroll
      for (int k = 0; k < kAtOnce; k++) {
        if (!has(k)) continue;
        T gx[N];
        unpack<T, N>(g[k], gx);
        if (hasParts) added.add(added.flat + plane[k], pixel(k), gx);
        if (all.gx) storeVector<T, N>(all.gx, place(tb, k), gx);
#pragma unroll
        for (int i = 0; i < N; i++) sum[k][i] += gx[i];
      }
    }
#pragma unroll
    for (int k = 0; k < kAtOnce; k++) {
      if (all.gy && has(k)) made.put(all.gy, place(at.b, k), sum[k], y[k]);
    }
  }
}

template <class T, class S, int N>
void gradientAs(const Call& call) {
  const Shape5 s = shape5(call.tensors[0]);
  const CurrentGradient<T, S> all(call);
  const PixelTiles<N> summed(s.B, s.H * s.W, s.C, 1, all.sums ? 3 : 2), written(s.B, s.H * s.W, s.C, all.ySteps);
  if (!summed.fits(call, s.T)) return;
  const bool sums = all.parts() || !all.sums, writes = all.gy || all.gx;
  const int64_t parts = sums ? summed.parts() : 0;
  const size_t partBytes = static_cast<size_t>(parts * 2 * s.C) * sizeof(double), lineBytes = static_cast<size_t>(s.C) * sizeof(T) * 3;
  double* room = static_cast<double*>(scratchBytes(call, partBytes + lineBytes));
  if (room == nullptr) return;
  T* lines = reinterpret_cast<T*>(room + parts * 2 * s.C);
  const Line<T> line = writes ? Line<T>{lines, lines + s.C, lines + 2 * s.C} : Line<T>{nullptr, nullptr, nullptr};
  if (sums) launch(call, all.sums ? sumKernel<T, S, N, false> : sumKernel<T, S, N, true>, summed.blocks(), all, summed, room);
  const double share = all.training ? 1.0 / (static_cast<double>(all.ySteps) * static_cast<double>(s.B * s.H * s.W)) : 0;
  mergeChannelSums<2>(call, room, parts, s.C, FinishSums<T, S>{all, line, s.C, share});
  if (!writes) return;
  const auto kernel = all.ySteps == 1 && s.T > 1 ? writeSharedKernel<T, S, N> : writeKernel<T, S, N>;
  launch(call, kernel, all.ySteps * written.blocks(), all, written, line);
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
