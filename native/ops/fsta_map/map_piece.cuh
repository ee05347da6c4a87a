// A piece of a map: its kernels out of E, one for each class of columns, beside the copy of the rows around its own. Then a warp has 4 pixels side
// by side and a lane a picture: the lanes read the same numbers of E, and each a row of its picture in vectors.
#pragma once
#include "ops/fsta_map/rows.cuh"

namespace spikeloom::cuda {

constexpr int kTapLanes = 16;  // threads along a row of taps

// y of x, the sum over its channels.
template <class T>
struct MapJob {
  using Real = T;
  Pieces s;  // with a channel for each of y
  const T *x, *E;
  T* y;
  int channels;  // of x
  int n;         // taps of E along a side
  BorderClasses<int> rows, columns;

  MapJob(const Pieces& pieces, const TensorView& x_, const TensorView& E_, const TensorView& y_, int outer)
      : s(pieces), x(as<T>(x_)), E(as<T>(E_)), y(as<T>(y_)), channels(static_cast<int>(x_.dims[1])), n(0), rows(s.H, outer / 2),
        columns(s.W, outer / 2) {
    n = static_cast<int>(E_.dims[1]) / rows.count;
  }
  int64_t roomSize() const { return int64_t{s.imagesSize()} + kThreads * kTile + int64_t{columns.count} * s.rows * s.taps; }
  int64_t partsSize() const { return 0; }
};

// kernels[class of columns][row][tap]: what E number `kernel` has for the piece's row, in the rows that are kept.
template <bool kShared, class T>
__device__ void keepKernels(const MapJob<T>& job, const Piece& piece, int kernel, T* kernels) {
  const int rows = piece.rows(), taps = job.s.taps, n = job.n, width = job.columns.count * n;
  const int firstRow = piece.firstRow - piece.h + n / 2, firstTap = n / 2 - job.s.before;
  const T* from = job.E + (static_cast<int64_t>(kernel * job.rows.count + job.rows.of(piece.h)) * n + firstRow) * width + firstTap;
  for (Walk at(threadIdx.x / kTapLanes, rows); at.line < job.columns.count; at.advance(kThreads / kTapLanes)) {
    const T* line = from + at.place * width + at.line * n;
    T* to = kernels + (at.line * rows + at.place) * taps;
    for (int tap = threadIdx.x % kTapLanes; tap < taps; tap += kTapLanes) {
      const bool valid = static_cast<uint32_t>(tap + firstTap) < static_cast<uint32_t>(n);
      keep<kShared, 1>(to + tap, valid ? line + tap : job.E, valid);
    }
  }
}

// The warps of a piece: where it has few tiles, several of them share one's rows.
struct WarpPlace {
  int tile, share, shares;
  int threads;  // of all shares of one number

  __device__ WarpPlace(const Pieces& s, const Piece& piece) {
    const int tiles = s.rowVectors() - piece.tile, bits = tiles > 4 ? 3 : tiles > 2 ? 2 : tiles - 1;
    static_assert(kTiles == 8);
    tile = piece.tile + (threadIdx.x / 32 & ((1 << bits) - 1));
    share = threadIdx.x / 32 >> bits;
    shares = kWarps >> bits;
    threads = 32 << bits;
  }
};

// Adds to the sums of the tile's pixels what E has for a picture's rows; kClasses is 1 where all four are of one class.
template <int kClasses, class T>
__device__ __forceinline__ void addTaps(const Pieces& s, const Piece& piece, const WarpPlace& warp, const T* picture,
                                        const T* const (&kernels)[kTile], T (&sums)[kTile]) {
  const int vector = warp.tile - s.before / kTile;
  const auto read = [&](int row, int v) {
    return v >= piece.firstVector && v < piece.endVector ? vectorAt(picture + (row * s.vectors + v - piece.firstVector) * kTile) : Vector<T>{};
  };
  for (int row = warp.share; row < piece.rows(); row += warp.shares) {
    Vector<T> left = read(row, vector);
#pragma unroll 4
    for (int tap = 0; tap < s.taps; tap += kTile) {
      const Vector<T> right = read(row, vector + tap / kTile + 1);
      Vector<T> E[kClasses];
#pragma unroll
      for (int c = 0; c < kClasses; c++) E[c] = vectorAt(kernels[c] + row * s.taps + tap);
#pragma unroll
      for (int x = 0; x < kTile; x++) {
#pragma unroll
        for (int m = 0; m < kTile; m++) {
          const T value = x + m < kTile ? left.at[(x + m) % kTile] : right.at[(x + m) % kTile];
          sums[m] = multiplyAdd(E[kClasses == 1 ? 0 : m].at[x], value, sums[m]);
        }
      }
      left = right;
    }
  }
}

template <class T>
__device__ void mapTile(const MapJob<T>& job, const Piece& piece, const WarpPlace& warp, const T* images, const T* kernels, T (&sums)[kTile]) {
  const Pieces& s = job.s;
  const int picture = threadIdx.x % 32, w = warp.tile * kTile;
  if (w >= s.W || picture >= s.pictures) return;
  const T* own[kTile];
#pragma unroll
  for (int m = 0; m < kTile; m++) own[m] = kernels + job.columns.of(min(w + m, s.W - 1)) * piece.rows() * s.taps;
  const T* from = images + picture * s.pictureSize();
  if (own[0] == own[kTile - 1]) addTaps<1>(s, piece, warp, from, own, sums);
  else addTaps<kTile>(s, piece, warp, from, own, sums);
}

// Writes a tile's sums, with those of the other warps of it.
template <class T>
__device__ void putTile(const MapJob<T>& job, const Piece& piece, const WarpPlace& warp, T* shares, T (&sums)[kTile]) {
  const Pieces& s = job.s;
  if (warp.share > 0) storeMany<kTile>(shares + threadIdx.x * kTile, sums);
  if (warp.shares > 1) __syncthreads();
  const int b = piece.b + threadIdx.x % 32, w = warp.tile * kTile;
  if (warp.share > 0 || b >= min(piece.b + s.pictures, s.B) || w >= s.W) return;
#pragma unroll 1
  for (int share = 1; share < warp.shares; share++) {
    const Vector<T> more = vectorAt(shares + (share * warp.threads + threadIdx.x) * kTile);
#pragma unroll
    for (int m = 0; m < kTile; m++) sums[m] += more.at[m];
  }
  T* to = job.y + ((static_cast<int64_t>(b) * s.H + piece.h) * s.W + w) * s.O + piece.o;
  if (s.O == 1 && s.W % kTile == 0) return storeMany<kTile>(to, sums);
#pragma unroll
  for (int m = 0; m < kTile; m++) {
    if (w + m < s.W) to[m * s.O] = sums[m];
  }
}

template <bool kShared, class T>
__device__ void runPiece(const MapJob<T>& job, uint32_t at, T* room) {
  const Pieces& s = job.s;
  const Piece piece(s, at);
  T *images = room, *shares = images + s.imagesSize(), *kernels = shares + kThreads * kTile;
  T sums[kTile] = {};
#pragma unroll 1
  for (int channel = 0; channel < job.channels; channel++) {
    keepKernels<kShared>(job, piece, piece.o + channel, kernels);
    keepRows<kShared>(s, piece, job.x, job.channels, channel, images, s.vectors * kTile, s.pictureSize());
    commitCopies();
    waitCopies<0>();
    __syncthreads();
    mapTile(job, piece, WarpPlace(s, piece), images, kernels, sums);
    if (channel + 1 < job.channels) __syncthreads();
  }
  putTile(job, piece, WarpPlace(s, piece), shares, sums);
}

}  // namespace spikeloom::cuda
