// What FSTA needs to know of a current (ops/fsta_stats, ops/current_stats), in one read of it: a thread keeps the maxima of its channels over
// its pixels of one (t,b). A block that has all of a (t,b) finishes it. Else it leaves its maxima for a second kernel, which merges them and
// adds up the rest; if it has all channels of its pixels it writes their sums home, else each tile of channels leaves its own. Where all steps
// are the same, the first is computed.
#pragma once
#include "cuda/current.cuh"
#include "cuda/pixel_tiles.cuh"
#include "cuda/reduce.cuh"

namespace spikeloom::cuda {

template <class T>
struct Peak {
  T value;
  int32_t pixel;

  // The larger of the two, or the first of equal ones.
  __device__ __forceinline__ void merge(const Peak& other) {
    if (other.value > value || (other.value == value && other.pixel < pixel)) *this = other;
  }
};

// What a block leaves: values and pixels [(t,b)][chunk][C], planes [tile][(t,b)][P].
template <class T>
struct StatisticsParts {
  T *values, *planes;
  int32_t* pixels;
};

template <class T>
struct StatisticsOut {
  T *mean, *peak, *plane;
  int32_t* argmax;
  uint32_t repeats;  // steps that a result goes to

  // out: mean, peak, plane, argmax.
  StatisticsOut(const TensorView* out, uint32_t repeats_)
      : mean(as<T>(out[0])), peak(as<T>(out[1])), plane(as<T>(out[2])), argmax(as<int32_t>(out[3])), repeats(repeats_) {}

  // The numbers of a (t,b) out of `computed` of them. peaks, total: each thread's share of the sums over the channels of the maxima, and over
  // all elements. All threads call it, once in a kernel.
  __device__ void putSums(double peaks, double total, int64_t tb, int64_t computed, int64_t P, int64_t C) const {
    __shared__ double sums[2][kWarps];
    const double peakSum = blockSum(peaks, sums[0]), meanSum = blockSum(total, sums[1]);
    if (threadIdx.x != 0) return;
    for (uint32_t t = 0; t < repeats; t++) {
      peak[t * computed + tb] = static_cast<T>(peakSum / static_cast<double>(C));
      mean[t * computed + tb] = static_cast<T>(meanSum / static_cast<double>(P * C));
    }
  }
};

// Merges the maxima of the block's threads; put(c, largest) for each of its channels.
template <class T, int N, class Put>
__device__ void mergePeaks(const PixelTiles<N>& tiles, const PixelPlace<N>& at, Peak<T> (&peaks)[N], Put&& put) {
  __shared__ Peak<T> shared[kWarps][N][32];
  const uint32_t warp = threadIdx.x / 32, lane = threadIdx.x % 32, width = N * tiles.group;
  for (uint32_t step = tiles.group; step < 32; step *= 2) {
    const int far = static_cast<int>(step);
#pragma unroll
    for (int i = 0; i < N; i++) peaks[i].merge({__shfl_xor_sync(kWholeWarp, peaks[i].value, far), __shfl_xor_sync(kWholeWarp, peaks[i].pixel, far)});
  }
#pragma unroll
  for (int i = 0; i < N; i++) {
    if (lane < tiles.group) shared[warp][i][lane] = peaks[i];
  }
  __syncthreads();
  for (uint32_t j = threadIdx.x; j < width; j += kThreads) {
    const uint32_t c = at.tile * width + j;
    if (c >= tiles.C) continue;
    Peak<T> largest = shared[0][j % N][j / N];
#pragma unroll
    for (int w = 1; w < kWarps; w++) largest.merge(shared[w][j % N][j / N]);
    put(c, largest);
  }
}

// kAlone: a block has all of a (t,b), and there is no second kernel.
template <class T, class S, int N, bool kAlone>
__global__ void __launch_bounds__(kThreads, 2) statisticsKernel(Current<T, S, N> current, PixelTiles<N> tiles, StatisticsParts<T> parts,
                                                                StatisticsOut<T> out, uint32_t steps) {
  waitForKernelsBefore();
  constexpr int kAtOnce = 4;  // pixels whose reads are under way together
  const uint32_t t = tiles.repetition(blockIdx.x), computed = steps * tiles.B;
  const PixelPlace<N> at(tiles, blockIdx.x);
  const uint32_t tb = t * tiles.B + at.b;
  const ChannelMap<T, N> map = current.mapAt(at.vector);
  T* plane = kAlone ? out.plane + int64_t{tb} * tiles.P : parts.planes + (static_cast<int64_t>(at.tile) * computed + tb) * tiles.P;
  Peak<T> peaks[N] = {};
  double total = 0;
  for (uint32_t p = at.begin; p < at.end; p += kAtOnce * at.rows) {
    RawCurrent<S, N> raw[kAtOnce];
#pragma unroll
    for (int k = 0; k < kAtOnce; k++) raw[k] = current.read(t, at.b * tiles.P + at.pixelAt(p + k * at.rows), at.vector);
    T sums[kAtOnce];
#pragma unroll
    for (int k = 0; k < kAtOnce; k++) {
      const uint32_t pixel = p + k * at.rows;
      const bool isFirst = k == 0 && p == at.begin;
      T x[N], sum = 0;
      current.value(raw[k], map, at.vector, x);
#pragma unroll
      for (int i = 0; i < N; i++) {
        sum += x[i];
        if (isFirst || x[i] > peaks[i].value) peaks[i] = {x[i], static_cast<int32_t>(at.pixelAt(pixel))};
      }
      sums[k] = at.hasChannels ? sum : T(0);
    }
    groupSums(sums, tiles.group);
#pragma unroll
    for (int k = 0; k < kAtOnce; k++) {
      const uint32_t pixel = p + k * at.rows;
      if (at.slot != 0 || !at.has(pixel)) continue;
      total += static_cast<double>(sums[k]);
#pragma unroll 1
      for (uint32_t r = 0; r < (kAlone ? out.repeats : 1); r++) plane[int64_t{r} * computed * tiles.P + pixel + at.row] = sums[k];
    }
  }
  if constexpr (kAlone) {
    double peakSum = 0;
    mergePeaks<T, N>(tiles, at, peaks, [&](uint32_t c, const Peak<T>& largest) {
      peakSum += static_cast<double>(largest.value);
#pragma unroll 1
      for (uint32_t r = 0; r < out.repeats; r++) out.argmax[int64_t{r * computed + tb} * tiles.C + c] = largest.pixel;
    });
    out.putSums(peakSum, total, tb, computed, tiles.P, tiles.C);
  } else {
    const int64_t row = (int64_t{t} * tiles.parts() + at.part) * tiles.C;
    mergePeaks<T, N>(tiles, at, peaks, [&](uint32_t c, const Peak<T>& largest) {
      parts.values[row + c] = largest.value;
      parts.pixels[row + c] = largest.pixel;
    });
  }
}

// One block per (t,b) that was computed.
template <class T>
__global__ void __launch_bounds__(kThreads) finishStatistics(StatisticsParts<T> parts, StatisticsOut<T> out, uint32_t tiles, uint32_t chunks,
                                                             int64_t C, int64_t P) {
  waitForKernelsBefore();
  const int64_t tb = blockIdx.x, computed = gridDim.x;
  double peaks = 0, total = 0;
  for (int64_t c = threadIdx.x; c < C; c += kThreads) {
    Peak<T> largest{parts.values[tb * chunks * C + c], parts.pixels[tb * chunks * C + c]};
    for (int64_t row = tb * chunks + 1; row < (tb + 1) * chunks; row++) largest.merge({parts.values[row * C + c], parts.pixels[row * C + c]});
    peaks += static_cast<double>(largest.value);
    for (uint32_t t = 0; t < out.repeats; t++) out.argmax[(t * computed + tb) * C + c] = largest.pixel;
  }
  for (int64_t p = threadIdx.x; p < P; p += kThreads) {
    T sum = parts.planes[tb * P + p];
    for (uint32_t tile = 1; tile < tiles; tile++) sum += parts.planes[(tile * computed + tb) * P + p];
    total += static_cast<double>(sum);
    for (uint32_t t = 0; t < out.repeats; t++) out.plane[(t * computed + tb) * P + p] = sum;
  }
  out.putSums(peaks, total, tb, computed, P, C);
}

// shape: of the current; out: mean, peak, plane, argmax.
template <class T, class S, int N>
void statistics(const Call& call, const Current<T, S, N>& current, const Shape5& shape, const TensorView* out) {
  const uint32_t repeats = current.sameEveryStep() ? static_cast<uint32_t>(shape.T) : 1;
  const int64_t steps = shape.T / repeats, P = shape.H * shape.W;
  const PixelTiles<N> tiles(shape.B, P, shape.C, steps);
  if (!tiles.fits(call, shape.T)) return;
  const StatisticsOut<T> made(out, repeats);
  const auto computed = static_cast<uint32_t>(steps);
  if (tiles.tiles * tiles.chunks == 1) {
    return launch(call, statisticsKernel<T, S, N, true>, steps * tiles.blocks(), current, tiles, StatisticsParts<T>{}, made, computed);
  }
  const int64_t peaks = steps * tiles.parts() * shape.C, planes = tiles.tiles > 1 ? tiles.tiles * steps * shape.B * P : 0;
  T* room = static_cast<T*>(scratchBytes(call, static_cast<size_t>(peaks + planes) * sizeof(T) + static_cast<size_t>(peaks) * sizeof(int32_t)));
  if (room == nullptr) return;
  const StatisticsParts<T> parts{room, planes > 0 ? room + peaks : made.plane, reinterpret_cast<int32_t*>(room + peaks + planes)};
  launch(call, statisticsKernel<T, S, N, false>, steps * tiles.blocks(), current, tiles, parts, made, computed);
  launch(call, finishStatistics<T>, steps * shape.B, parts, made, tiles.tiles, tiles.chunks, shape.C, P);
}

}  // namespace spikeloom::cuda
