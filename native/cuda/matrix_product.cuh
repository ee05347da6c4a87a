// A matrix product whose factors are found element by element: out(m, n) = sum over k of a(m, k) b(k, n). One tiled kernel for every
// real type and every way in which factors rest (bits, bf16, taps of a picture), always correct; the tensor cores are in mma.cuh.
//
// A factor is a struct for the device:
//   kTogether             whether neighbouring lines (m, or n) lie together in memory; otherwise neighbouring k do
//   Line line(int)        what is known of a line (m, or n), kept for the whole product
//   Depth depth(int k)    what is known of a k
//   T value(line, depth)
// The result is a struct, too: `T finish(int slice, int m, int n, T sum)` puts a sum in its place and returns what it put;
// kMoments says whether `double* moments(int tile)` is where the means and then the squared deviations of a tile's columns go, for
// mergeChannelMoments() (null: not wanted).
//
// A block makes kTile x kTile sums over one slice of k, each in the order of k. An element of a is read once per kTile columns, one of b
// once per kTile lines.
#pragma once
#include "core/host_device.h"
#include "cuda/kernel.h"
#include "cuda/multiply_add.cuh"

namespace spikeloom::cuda {

constexpr int kTile = 64, kDepth = 16;

// m and n are of the result; k is cut into slices of `sliced`, a multiple of kDepth.
struct ProductShape {
  int m, n, k, sliced;

  SPIKELOOM_HD int tilesM() const { return (m + kTile - 1) / kTile; }
  SPIKELOOM_HD int tilesN() const { return (n + kTile - 1) / kTile; }
  SPIKELOOM_HD int slices() const { return (k + sliced - 1) / sliced; }
};

// The part of a tile that one thread loads: one k of four lines, or four k of one line, so that neighbouring threads read neighbours.
template <class T, class F>
struct TilePart {
  static constexpr int kEach = kTile * kDepth / kThreads;
  static constexpr int kLines = F::kTogether ? 1 : kEach, kDepths = F::kTogether ? kEach : 1;
  const F& factor;
  typename F::Line lines[kLines];
  bool inside[kLines];

  __device__ TilePart(const F& f, int first, int count) : factor(f) {
#pragma unroll
    for (int i = 0; i < kLines; i++) {
      const int line = first + lineOf(i);
      inside[i] = line < count;
      lines[i] = factor.line(inside[i] ? line : count - 1);
    }
  }
  __device__ static int lineOf(int i) { return F::kTogether ? threadIdx.x % kTile : threadIdx.x / kDepth + i * (kThreads / kDepth); }
  __device__ static int depthOf(int i) { return F::kTogether ? threadIdx.x / kTile + i * (kThreads / kTile) : threadIdx.x % kDepth; }

  __device__ void load(int k0, int end, T (&tile)[kDepth][kTile + 1]) const {
#pragma unroll
    for (int d = 0; d < kDepths; d++) {
      const int k = k0 + depthOf(d);
      const typename F::Depth depth = factor.depth(k < end ? k : end - 1);
#pragma unroll
      for (int i = 0; i < kLines; i++) {
        tile[depthOf(d)][lineOf(i)] = k < end && inside[i] ? factor.value(lines[i], depth) : T(0);
      }
    }
  }
};

// Mean and squared deviations of the columns of a tile whose thread (row, column) holds values of `rows` of 4 lines and 4 columns.
template <class T>
__device__ void tileMoments(const T (&values)[4][4], int rows, int lines, int firstN, int n, double* moments) {
  constexpr int kGroups = kTile / 4;
  __shared__ T sums[kGroups][kTile];
  __shared__ T means[kTile];
  const int group = threadIdx.x / kGroups, column = threadIdx.x % kGroups * 4;
  for (int pass = 0; pass < 2; pass++) {
#pragma unroll
    for (int j = 0; j < 4; j++) {
      T sum = 0;
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const T value = pass == 0 ? values[i][j] : values[i][j] - means[column + j];
        if (i < rows) sum += pass == 0 ? value : value * value;
      }
      sums[group][column + j] = sum;
    }
    __syncthreads();
    if (threadIdx.x < kTile) {
      T sum = 0;
      for (int g = 0; g < kGroups; g++) sum += sums[g][threadIdx.x];
      if (pass == 0) sum /= static_cast<T>(lines);
      means[threadIdx.x] = sum;
      if (firstN + static_cast<int>(threadIdx.x) < n) moments[pass * n + firstN + threadIdx.x] = static_cast<double>(sum);
    }
    __syncthreads();
  }
}

// What block number `block` of a product does.
template <class T, class A, class B, class Out>
__device__ __forceinline__ void productTile(const ProductShape& s, unsigned block, const A& a, const B& b, const Out& out) {
  __shared__ T tileA[kDepth][kTile + 1];
  __shared__ T tileB[kDepth][kTile + 1];
  const int tileN = block % s.tilesN(), tileM = block / s.tilesN() % s.tilesM(), slice = block / s.tilesN() / s.tilesM();
  const int m0 = tileM * kTile, n0 = tileN * kTile;
  const TilePart<T, A> partA(a, m0, s.m);
  const TilePart<T, B> partB(b, n0, s.n);
  const int row = threadIdx.x / 16 * 4, column = threadIdx.x % 16 * 4;
  const int end = s.k - slice * s.sliced < s.sliced ? s.k : (slice + 1) * s.sliced;
  T sums[4][4] = {};
  for (int k0 = slice * s.sliced; k0 < end; k0 += kDepth) {
    partA.load(k0, end, tileA);
    partB.load(k0, end, tileB);
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kDepth; k++) {
      T x[4], y[4];
#pragma unroll
      for (int i = 0; i < 4; i++) x[i] = tileA[k][row + i], y[i] = tileB[k][column + i];
#pragma unroll
      for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) sums[i][j] = multiplyAdd(x[i], y[j], sums[i][j]);
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < 4; i++) {
#pragma unroll
    for (int j = 0; j < 4; j++) {
      if (m0 + row + i < s.m && n0 + column + j < s.n) sums[i][j] = out.finish(slice, m0 + row + i, n0 + column + j, sums[i][j]);
    }
  }
  if constexpr (Out::kMoments) {
    if (!out.moments(tileM)) return;
    const int left = s.m - m0 < kTile ? s.m - m0 : kTile;
    tileMoments(sums, left - row, left, n0, s.n, out.moments(tileM));
  }
}

template <class T, class A, class B, class Out>
__global__ void __launch_bounds__(kThreads, 2) productKernel(ProductShape s, A a, B b, Out out) {
  waitForKernelsBefore();
  productTile<T>(s, blockIdx.x, a, b, out);
}

// Whether the product can be counted in ints; otherwise the status says so.
inline bool fits(const Call& call, int64_t m, int64_t n, int64_t k) {
  constexpr int64_t kMost = int64_t{1} << 30;
  if (m <= kMost && n <= kMost && k <= kMost) return true;
  fail(call.status, "a product of %lld x %lld sums over %lld terms is too large for one call; make the batch smaller",
       static_cast<long long>(m), static_cast<long long>(n), static_cast<long long>(k));
  return false;
}

template <class T, class A, class B, class Out>
void multiply(const Call& call, const ProductShape& s, const A& a, const B& b, const Out& out) {
  const int64_t blocks = static_cast<int64_t>(s.tilesM()) * s.tilesN() * s.slices();
  launch(call, productKernel<T, A, B, Out>, blocks, s, a, b, out);
}

}  // namespace spikeloom::cuda
