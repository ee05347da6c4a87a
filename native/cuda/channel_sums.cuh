// Sums and moments per channel, over the pixels of a channels-last tensor, in a fixed order and in two stages, as those of cuda/reduce.cuh.
#pragma once
#include "core/moments.h"
#include "cuda/reduce.cuh"

namespace spikeloom::cuda {

// How the pixels and channels are shared out: a block takes a chunk of the pixels and a tile of the channels; its threads lie along the
// channels, `vector` of them each, and then along the pixels.
struct ChannelGrid {
  int64_t pixels, C;
  int vector, columns, rows;  // channels of a thread; threads along the channels and along the pixels
  int64_t tiles, length, chunks;

  ChannelGrid(int64_t pixels_, int64_t C_, int vector_) : pixels(pixels_), C(C_), vector(vector_), columns(1) {
    while (columns < 32 && columns * vector < C) columns *= 2;
    rows = kThreads / columns;
    tiles = (C + columns * vector - 1) / (columns * vector);
    const int64_t most = tiles < kMostParts ? kMostParts / tiles : 1;
    length = ((pixels + most - 1) / most + rows - 1) / rows * rows;
    chunks = (pixels + length - 1) / length;
  }
  int64_t blocks() const { return tiles * chunks; }
};

// What channelSums() and channelMoments() (2 sums) want of scratchBytes().
inline size_t channelSumsBytes(int64_t pixels, int64_t C, int vector, int sums) {
  return static_cast<size_t>(ChannelGrid(pixels, C, vector).chunks * sums * C) * sizeof(double);
}

// The thread's place in its block and in the tensor.
struct ChannelPlace {
  int column, row;
  int64_t chunk, firstChannel, channel, begin, end;  // the tile's first channel, the thread's; the chunk's pixels

  __device__ explicit ChannelPlace(const ChannelGrid& g)
      : column(static_cast<int>(threadIdx.x) % g.columns), row(static_cast<int>(threadIdx.x) / g.columns), chunk(blockIdx.x / g.tiles) {
    firstChannel = blockIdx.x % g.tiles * g.columns * g.vector;
    channel = firstChannel + column * g.vector;
    begin = chunk * g.length;
    end = begin + g.length < g.pixels ? begin + g.length : g.pixels;
  }
};

// Shared memory in which every thread leaves a number per channel: [row][channel of the thread][column], so that neighbouring threads
// meet different banks. merged(i) is the channel, counted from the tile's first, that thread i merges.
template <int V>
struct ChannelRows {
  double at[kThreads * V];

  __device__ double& put(const ChannelGrid& g, const ChannelPlace& p, int j) { return at[(p.row * V + j) * g.columns + p.column]; }
  __device__ double get(const ChannelGrid& g, int row, int i) const { return at[row * V * g.columns + i]; }
  __device__ static int merged(const ChannelGrid& g, int i) { return i % g.columns * V + i / g.columns; }
};

template <class Read>
__global__ void channelSumsKernel(ChannelGrid g, Read read, double* parts) {
  waitForKernelsBefore();
  constexpr int K = Read::kSums, V = Read::kVector;
  __shared__ ChannelRows<V> shared;
  const ChannelPlace at(g);
  typename Read::Real sums[K][V] = {};
  if (at.channel < g.C) {
    for (int64_t pixel = at.begin + at.row; pixel < at.end; pixel += g.rows) read(pixel, at.channel, sums);
  }
  const int mine = threadIdx.x;
  const int64_t c = at.firstChannel + ChannelRows<V>::merged(g, mine);
#pragma unroll
  for (int k = 0; k < K; k++) {
    if (k > 0) __syncthreads();
#pragma unroll
    for (int j = 0; j < V; j++) shared.put(g, at, j) = static_cast<double>(sums[k][j]);
    __syncthreads();
    if (mine >= V * g.columns || c >= g.C) continue;
    double sum = 0;
    for (int row = 0; row < g.rows; row++) sum += shared.get(g, row, mine);
    parts[(at.chunk * K + k) * g.C + c] = sum;
  }
}

constexpr int kMergedChannels = 4;  // of a block of the second stage: 32 bytes, what memory is read in

// A block of the second stage: its threads lie along the channels, then along the parts. Many parts get many threads, so that a thread has
// all its reads under way together.
constexpr int kMostMergeThreads = 1024;
inline int mergeThreads(int64_t chunks) { return chunks > kThreads ? kMostMergeThreads : kThreads; }
constexpr int kMergedAtOnce = 4;  // parts of a thread
inline int64_t mergeBlocks(int64_t C) { return (C + kMergedChannels - 1) / kMergedChannels; }

// The sum over the lanes of a column, in all of them.
__device__ __forceinline__ double columnSum(double value) {
  for (int step = kMergedChannels; step < 32; step *= 2) value += __shfl_xor_sync(kWholeWarp, value, step);
  return value;
}

// K sums over the threads of a column, valid in the block's first row; all threads call it, once in a kernel.
template <int K>
__device__ void columnSums(double (&sums)[K]) {
  __shared__ double shared[K][32][kMergedChannels];
  const int lane = threadIdx.x % 32, column = lane % kMergedChannels, warps = static_cast<int>(blockDim.x) / 32;
#pragma unroll
  for (int k = 0; k < K; k++) {
    sums[k] = columnSum(sums[k]);
    if (lane < kMergedChannels) shared[k][threadIdx.x / 32][column] = sums[k];
  }
  __syncthreads();
  if (threadIdx.x >= 32) return;
#pragma unroll
  for (int k = 0; k < K; k++) {
    sums[k] = 0;
    for (int i = lane / kMergedChannels; i < warps; i += 32 / kMergedChannels) sums[k] += shared[k][i][column];
    sums[k] = columnSum(sums[k]);
  }
}

// The thread's share of the sums of channel c, and then the block's.
template <int K>
__device__ void addParts(const double* parts, int64_t chunks, int64_t C, int64_t c, double (&sums)[K]) {
  const int rows = static_cast<int>(blockDim.x) / kMergedChannels, row = static_cast<int>(threadIdx.x) / kMergedChannels;
  const int count = static_cast<int>(c < C ? chunks : 0);
  for (int first = row; first < count; first += kMergedAtOnce * rows) {
    double part[kMergedAtOnce][K];
#pragma unroll
    for (int j = 0; j < kMergedAtOnce; j++) {
      const int i = first + j * rows;
#pragma unroll
      for (int k = 0; k < K; k++) part[j][k] = i < count ? parts[(static_cast<int64_t>(i) * K + k) * C + c] : 0;
    }
#pragma unroll
    for (int j = 0; j < kMergedAtOnce; j++) {
#pragma unroll
      for (int k = 0; k < K; k++) sums[k] += part[j][k];
    }
  }
  columnSums<K>(sums);
}

// The work of block `block` of mergeBlocks(C). What `finish` is to read, where it comes in two halves, is on its way meanwhile.
template <int K, class Finish>
__device__ void mergeSums(int64_t block, const double* parts, int64_t chunks, int64_t C, const Finish& finish) {
  const int64_t c = block * kMergedChannels + threadIdx.x % kMergedChannels;
  const bool finishes = threadIdx.x < kMergedChannels && c < C;
  double sums[K] = {};
  if constexpr (requires { finish.read(c); }) {
    decltype(finish.read(c)) given;
    if (finishes) given = finish.read(c);
    addParts(parts, chunks, C, c, sums);
    if (finishes) finish.put(c, sums, given);
  } else {
    addParts(parts, chunks, C, c, sums);
    if (finishes) finish(c, sums);
  }
}

template <int K, class Finish>
__global__ void __launch_bounds__(kMostMergeThreads) mergeSumsKernel(const double* parts, int64_t chunks, int64_t C, Finish finish) {
  waitForKernelsBefore();
  mergeSums<K>(blockIdx.x, parts, chunks, C, finish);
}

// Adds parts [chunk][K][C] in a fixed order; finish(c, sums), or finish.put(c, sums, finish.read(c)), for every channel.
template <int K, class Finish>
void mergeChannelSums(const Call& call, const double* parts, int64_t chunks, int64_t C, Finish finish) {
  launch(call, mergeSumsKernel<K, Finish>, Grid(mergeBlocks(C), mergeThreads(chunks)), parts, chunks, C, finish);
}

// K sums per channel over all pixels. A thread adds its pixels in Read::Real, everything else is added in double.
//
//   struct { using Real; static constexpr int kSums, kVector; __device__ void operator()(int64_t pixel, int64_t c, Real (&sums)[kSums][kVector]) const; }
//
// `read` adds what the kVector channels from c on give at a pixel; kVector divides C (see withChannelVector()). finish(c, sums).
template <class Read, class Finish>
void channelSums(const Call& call, int64_t pixels, int64_t C, double* parts, Read read, Finish finish) {
  const ChannelGrid g(pixels, C, Read::kVector);
  launch(call, channelSumsKernel<Read>, g.blocks(), g, read, parts);
  mergeChannelSums<Read::kSums>(call, parts, g.chunks, C, finish);
}

// A `read` of channelMoments(): the numbers of a tensor.
template <class T, int V>
struct ReadChannels {
  using Real = T;
  static constexpr int kVector = V;
  Resting<T> x;

  __device__ void operator()(int64_t pixel, int64_t c, T (&values)[V]) const { x.load(pixel, c, values); }
};

// Every thread sums the deviations from the first of its values and their squares: what is taken off for the mean is then at most as
// many times the result as the thread has pixels.
template <class Read>
__global__ void channelMomentsKernel(ChannelGrid g, Read read, double* parts) {
  waitForKernelsBefore();
  using T = typename Read::Real;
  constexpr int V = Read::kVector;
  __shared__ ChannelRows<V> means, squares;
  const ChannelPlace at(g);
  const int64_t first = at.begin + at.row;
  const double n = first < at.end ? static_cast<double>((at.end - first + g.rows - 1) / g.rows) : 0;
  T shift[V] = {}, sum[V] = {}, square[V] = {};
  if (n > 0 && at.channel < g.C) {
    read(first, at.channel, shift);
    for (int64_t pixel = first + g.rows; pixel < at.end; pixel += g.rows) {
      T value[V];
      read(pixel, at.channel, value);
#pragma unroll
      for (int j = 0; j < V; j++) {
        const T d = value[j] - shift[j];
        sum[j] += d;
        square[j] += d * d;
      }
    }
  }
#pragma unroll
  for (int j = 0; j < V; j++) {
    Moments part;
    part.addShifted(n, static_cast<double>(shift[j]), static_cast<double>(sum[j]), static_cast<double>(square[j]));
    means.put(g, at, j) = part.mean;
    squares.put(g, at, j) = part.squares;
  }
  __syncthreads();
  const int mine = threadIdx.x;
  const int64_t c = at.firstChannel + ChannelRows<V>::merged(g, mine);
  if (mine >= V * g.columns || c >= g.C) return;
  const auto pixelsOf = [&](int row) { return at.begin + row < at.end ? static_cast<double>((at.end - at.begin - row + g.rows - 1) / g.rows) : 0; };
  double mean = 0, total = 0;
  for (int row = 0; row < g.rows; row++) mean += pixelsOf(row) * means.get(g, row, mine);
  mean /= static_cast<double>(at.end - at.begin);
  for (int row = 0; row < g.rows; row++) {
    const double apart = means.get(g, row, mine) - mean;
    total += squares.get(g, row, mine) + pixelsOf(row) * apart * apart;
  }
  parts[at.chunk * 2 * g.C + c] = mean;
  parts[(at.chunk * 2 + 1) * g.C + c] = total;
}

// With d_i = mean_i - mean_0: mean = mean_0 + sum n_i d_i / n, squares = sum (squares_i + n_i d_i^2) - (sum n_i d_i)^2 / n. The parts are read
// once, and what is taken off is at most as many times the result as there are parts.
template <class Part, class Finish>
__global__ void __launch_bounds__(kMostMergeThreads) mergeMomentsKernel(const Part* parts, int64_t pixels, int64_t length, int chunks, int64_t C, Finish finish) {
  waitForKernelsBefore();
  const int64_t c = static_cast<int64_t>(blockIdx.x) * kMergedChannels + threadIdx.x % kMergedChannels;
  const int rows = static_cast<int>(blockDim.x) / kMergedChannels, row = static_cast<int>(threadIdx.x) / kMergedChannels;
  const int count = c < C ? chunks : 0;
  const double whole = static_cast<double>(length), rest = static_cast<double>(pixels - (chunks - 1) * length);
  const double shift = c < C ? static_cast<double>(parts[c]) : 0;
  double sums[2] = {};
  for (int first = row; first < count; first += kMergedAtOnce * rows) {
    double mean[kMergedAtOnce], squares[kMergedAtOnce];
#pragma unroll
    for (int j = 0; j < kMergedAtOnce; j++) {
      const int i = first + j * rows;
      const Part* part = parts + static_cast<int64_t>(i) * 2 * C + c;
      mean[j] = i < count ? static_cast<double>(part[0]) : shift;
      squares[j] = i < count ? static_cast<double>(part[C]) : 0;
    }
#pragma unroll
    for (int j = 0; j < kMergedAtOnce; j++) {
      const double apart = mean[j] - shift, weighted = (first + j * rows + 1 < chunks ? whole : rest) * apart;
      sums[0] += weighted;
      sums[1] += squares[j] + weighted * apart;
    }
  }
  columnSums<2>(sums);
  if (row > 0 || c >= C) return;
  const double n = static_cast<double>(pixels), moved = sums[0] / n;
  finish(c, Moments{n, shift + moved, sums[1] - sums[0] * moved});
}

// Merges parts [chunk][2][C], the means and the squared deviations of chunks of `length` pixels (the last may be shorter), in a fixed
// order; finish(c, moments) for every channel.
template <class Part, class Finish>
void mergeChannelMoments(const Call& call, const Part* parts, int64_t pixels, int64_t length, int64_t C, Finish finish) {
  const int64_t chunks = (pixels + length - 1) / length;
  launch(call, mergeMomentsKernel<Part, Finish>, Grid(mergeBlocks(C), mergeThreads(chunks)), parts, pixels, length, static_cast<int>(chunks), C, finish);
}

// A `finish` of moments: mean and biased variance, either may be null.
template <class T>
struct StoreMoments {
  T *mean, *variance;

  __device__ void operator()(int64_t c, const Moments& m) const {
    if (mean) mean[c] = static_cast<T>(m.mean);
    if (variance) variance[c] = static_cast<T>(m.variance());
  }
};

// Count, mean and squared deviations per channel over all pixels, each read once.
//
//   struct { using Real; static constexpr int kVector; __device__ void operator()(int64_t pixel, int64_t c, Real (&values)[kVector]) const; }
template <class Read, class Finish>
void channelMoments(const Call& call, int64_t pixels, int64_t C, double* parts, Read read, Finish finish) {
  const ChannelGrid g(pixels, C, Read::kVector);
  launch(call, channelMomentsKernel<Read>, g.blocks(), g, read, parts);
  mergeChannelMoments(call, parts, pixels, g.length, C, finish);
}

}  // namespace spikeloom::cuda
