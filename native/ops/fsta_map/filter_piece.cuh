// A piece of gw: a thread multiplies 4 pixels of gF with 8 taps each, summed over the pictures, and the 8 lanes of a row add what pixels of one
// class have. What a piece leaves, [dx][dy+ey][ex], is the sum over the pixels w with w+dx inside; another launch adds the rows with h+dy inside
// and multiplies with the basis.
#pragma once
#include "ops/fsta_map/rows.cuh"

namespace spikeloom::cuda {

constexpr int kFoldLanes = 8;         // threads along a row of a part
constexpr int kTapTile = 2 * kTile;  // taps of a thread, and lanes that are the tiles of a row
static_assert(kTapTile == kTiles);

// gw of gF and S, by way of the parts that pieces leave.
template <class T>
struct FilterJob {
  using Real = T;
  Pieces s;
  int K, wSide, basisSide;
  Reach w, basis;
  const T *gF, *S, *filters;  // those of the basis, [k][element]
  T* gw;
  T* parts = nullptr;  // [piece][dx][dy+ey][ex]

  FilterJob(const TensorView& gF_, const TensorView& S_, const TensorView& basis_, const TensorView& gw_)
      : s(gF_, gF_.dims[1], Reach(gw_.dims[2], gF_), Reach(basis_.dims[2], gF_)), K(static_cast<int>(gw_.dims[1])),
        wSide(static_cast<int>(gw_.dims[2])), basisSide(static_cast<int>(basis_.dims[2])), w(wSide, gF_), basis(basisSide, gF_), gF(as<T>(gF_)),
        S(as<T>(S_)), filters(as<T>(basis_)), gw(as<T>(gw_)) {}

  static constexpr int kGradientSize = (kTiles + 1) * kTile;  // of a picture's piece of gF

  __host__ __device__ BorderClasses<int> classes() const { return BorderClasses<int>(s.W, w.x); }
  __host__ __device__ int tapTiles() const { return (s.taps + kTapTile - 1) / kTapTile; }
  __host__ __device__ int partHeight() const { return w.height() + basis.height() - 1; }
  __host__ __device__ int partSize() const { return w.width() * partHeight() * basis.width(); }
  // Products of a tap in a row, one for each class of columns.
  __host__ __device__ int productsSize() const { return s.rows * tapTiles() * kTapTile * classes().count; }
  int64_t roomSize() const {
    return int64_t{kTile} + s.imagesSize() + s.pictures * kGradientSize + productsSize();
  }
  int64_t partsSize() const { return s.count() * partSize(); }
};

// Of kTapTile neighbouring lanes each gets the sum over all of them of its own number: lane i of values[i].
template <class T>
__device__ __forceinline__ T sumOverLanes(T (&values)[kTapTile]) {
#pragma unroll
  for (int half = kTapTile / 2; half > 0; half /= 2) {
    const bool isUpper = threadIdx.x & half;
#pragma unroll
    for (int i = 0; i < half; i++) {
      const T given = isUpper ? values[i] : values[i + half], kept = isUpper ? values[i + half] : values[i];
      values[i] = kept + __shfl_xor_sync(kWholeWarp, given, half);
    }
  }
  return values[0];
}

// sums[x][m] = the sum over the pictures of gF[m] S[m + x], the first vectors of both at `gradient` and from[0].
template <class T>
__device__ __forceinline__ void multiplyPictures(int pictures, const T* gradient, int gradientStep, const T* (&from)[kTapTile / kTile + 1],
                                                 const int (&steps)[kTapTile / kTile + 1], T (&sums)[kTapTile][kTile]) {
#pragma unroll 2
  for (int picture = 0; picture < pictures; picture++, gradient += gradientStep) {
    const Vector<T> g = vectorAt(gradient);
    T values[kTapTile + kTile];
#pragma unroll
    for (int n = 0; n <= kTapTile / kTile; n++) {
      const Vector<T> v = vectorAt(from[n]);
      from[n] += steps[n];
#pragma unroll
      for (int m = 0; m < kTile; m++) values[n * kTile + m] = v.at[m];
    }
#pragma unroll
    for (int x = 0; x < kTapTile; x++) {
#pragma unroll
      for (int m = 0; m < kTile; m++) sums[x][m] = multiplyAdd(g.at[m], values[x + m], sums[x][m]);
    }
  }
}

// products[row][tap][class] = the sum over the pictures and the pixels w of the class of gF[w] S[row,w+tap]. The tiles of a row are
// neighbouring lanes.
template <class T>
__device__ void multiplyRows(const FilterJob<T>& job, const Piece& piece, const T* zeros, const T* images, const T* gradients, T* products) {
  const Pieces& s = job.s;
  const BorderClasses<int> classes = job.classes();
  const int tile = threadIdx.x % kTiles, count = classes.count, items = piece.rows() * job.tapTiles();
  const bool hasTile = piece.tile + tile < s.rowVectors();
  for (int i = threadIdx.x / kTiles; i < roundUp(items, 32 / kTiles); i += kThreads / kTiles) {
    const int row = static_cast<int>(static_cast<uint32_t>(i) / job.tapTiles()), tap = (i - row * job.tapTiles()) * kTapTile;
    const bool isUsed = hasTile && i < items;
    const T* from[kTapTile / kTile + 1];
    int steps[kTapTile / kTile + 1];
#pragma unroll
    for (int n = 0; n <= kTapTile / kTile; n++) {
      const int v = piece.tile + tile + (tap - s.before) / kTile + n;
      const bool isInside = v >= piece.firstVector && v < piece.endVector;
      from[n] = isInside ? images + (row * s.vectors + v - piece.firstVector) * kTile : zeros;
      steps[n] = isInside ? s.pictureSize() : 0;
    }
    T sums[kTapTile][kTile] = {};
    multiplyPictures(isUsed ? s.pictures : 0, gradients + tile * kTile, job.kGradientSize, from, steps, sums);
    T* to = products + (row * job.tapTiles() * kTapTile + tap) * count;
    T middle[kTapTile] = {};
#pragma unroll
    for (int m = 0; m < kTile; m++) {
      const int w = (piece.tile + tile) * kTile + m, c = classes.of(w);
      if (!isUsed || w >= s.W) continue;
      if (c == job.w.x) {
#pragma unroll
        for (int x = 0; x < kTapTile; x++) middle[x] += sums[x][m];
      } else {
#pragma unroll
        for (int x = 0; x < kTapTile; x++) to[x * count + c] = sums[x][m];
      }
    }
    const T sum = sumOverLanes(middle);
    if (i < items) to[tile * count + job.w.x] = sum;
  }
}

template <bool kShared, class T>
__device__ void runPiece(const FilterJob<T>& job, uint32_t at, T* room) {
  const Pieces& s = job.s;
  const Reach &w = job.w, &basis = job.basis;
  const Piece piece(s, at);
  T *zeros = room, *images = zeros + kTile, *gradients = images + s.imagesSize(), *products = gradients + s.pictures * job.kGradientSize;
  keepRows<kShared>(s, piece, job.S, 1, 0, images, s.vectors * kTile, s.pictureSize());
  keepRows<kShared>(s, piece.own(s), job.gF, s.O, piece.o, gradients, 0, job.kGradientSize);
  commitCopies();
  if (threadIdx.x < kTile) zeros[threadIdx.x] = 0;
  for (int i = threadIdx.x; i < job.productsSize(); i += kThreads) products[i] = 0;  // of classes without a pixel in the piece
  waitCopies<0>();
  __syncthreads();
  multiplyRows(job, piece, zeros, images, gradients, products);
  __syncthreads();
  T* part = job.parts + static_cast<int64_t>(at) * job.partSize();
  const int width = basis.width(), height = job.partHeight(), count = job.classes().count;
  for (Walk to(threadIdx.x / kFoldLanes, height); to.line < w.width(); to.advance(kThreads / kFoldLanes)) {
    const int row = to.place - w.y - basis.y + piece.h - piece.firstRow, shift = to.line - w.x;
    for (int ex = threadIdx.x % kFoldLanes; ex < width; ex += kFoldLanes) {
      const int tap = shift + ex - basis.x + s.before;
      const bool isInside = row >= 0 && row < piece.rows() && tap >= 0 && tap < s.taps;
      const T* from = products + (isInside ? (row * job.tapTiles() * kTapTile + tap) * count : 0);
      T sum = 0;
#pragma unroll 7
      for (int c = 0; c < count; c++) sum += isInside && c + shift >= 0 && c + shift < count ? from[c] : T(0);
      part[(to.line * height + to.place) * width + ex] = sum;
    }
  }
}

}  // namespace spikeloom::cuda
