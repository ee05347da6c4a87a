// A piece of F or gS: out of w and basis, M in tiles of 3 x 4; its sums over the d that are inside for the row; and E for each class of
// columns. All blocks do so anew, beside the copy of the rows around theirs, so that a map is one launch. Then a warp has 4 pixels side by
// side and a lane a picture: the lanes read the same numbers of E, and each a row of its picture in vectors.
#pragma once
#include "ops/fsta_map/rows.cuh"

namespace spikeloom::cuda {

constexpr int kMixed = 3;      // elements of w in a tile of M
constexpr int kTapLanes = 16;  // threads along a row of taps

// How far one of the two convolutions reaches.
struct Reach {
  int y, x;

  template <class T>
  explicit Reach(const Filters<T>& filters) : y(filters.reachY), x(filters.reachX) {}
  __host__ __device__ int height() const { return 2 * y + 1; }
  __host__ __device__ int width() const { return 2 * x + 1; }
};

// F of S, or gS of gF: the sum over `channels`, to each of `outputs`.
template <class T>
struct MapJob {
  Pieces s;
  Filters<T> w, basis;
  bool isBack;
  const T* in;
  T* out;
  int channels, outputs;
  Reach outer, inner;  // of the convolution that is cut off at the border of the output, and of the other
  Divisor ofTiles;     // tiles of M along the basis

  MapJob(const Pieces& s_, const Filters<T>& w_, const Filters<T>& basis_, bool isBack_, const T* in_, T* out_)
      : s(s_), w(w_), basis(basis_), isBack(isBack_), in(in_), out(out_), channels(isBack_ ? s_.O : 1), outputs(isBack_ ? 1 : s_.O),
        outer(isBack_ ? basis_ : w_), inner(isBack_ ? w_ : basis_), ofTiles(basisStride() / kTile) {}

  __host__ __device__ BorderClasses<int> classes() const { return BorderClasses<int>(s.W, outer.x); }
  // How many numbers the parts of a room take, all of them whole vectors.
  __host__ __device__ int wSize() const { return roundUp(s.K * w.size(), kTile); }
  __host__ __device__ int basisStride() const { return roundUp(basis.count(), kTile); }
  __host__ __device__ int basisSize() const { return s.K * basisStride(); }
  __host__ __device__ int mixedSize() const { return w.count() * basisStride(); }
  __host__ __device__ int foldedSize() const { return roundUp(outer.width() * s.rows * inner.width(), kTile); }

  int64_t pieces() const { return out ? s.count(outputs) : 0; }
  int64_t roomSize() const {
    const int64_t kernels = int64_t{classes().count} * s.rows * s.taps;
    return out ? int64_t{s.imagesSize()} + wSize() + basisSize() + mixedSize() + foldedSize() + kThreads * kTile + kernels : 0;
  }
};

// The filters w of output o as they lie; the basis as [k][element], with zeros behind the last element used.
template <bool kShared, class T>
__device__ void keepFilters(const MapJob<T>& job, int o, T* w, T* basis) {
  constexpr int kCount = 16 / sizeof(T);
  const int K = job.s.K, all = K * job.w.size(), stride = job.basisStride();
  const T* from = job.w.data + static_cast<int64_t>(o) * all;
  const int whole = reinterpret_cast<uintptr_t>(from) % 16 == 0 ? all / kCount * kCount : 0;
#pragma unroll 1
  for (int i = threadIdx.x * kCount; i < whole; i += kThreads * kCount) keep<kShared, kCount>(w + i, from + i, true);
#pragma unroll 1
  for (int i = whole + threadIdx.x; i < all; i += kThreads) keep<kShared, 1>(w + i, from + i, true);
  const int firstFilter = threadIdx.x / 32;
#pragma unroll 1
  for (int i = threadIdx.x % 32; i < stride; i += 32) {
    const bool valid = i < job.basis.count();
    const T* element = job.basis.data + firstFilter * job.basis.size() + (valid ? job.basis.place(i) : 0);
    T* to = basis + firstFilter * stride + i;
#pragma unroll 1
    for (int k = firstFilter; k < K; k += kWarps, element += kWarps * job.basis.size(), to += kWarps * stride) keep<kShared, 1>(to, element, valid);
  }
}

// mixed[element of w][element of the basis] = M.
template <class T>
__device__ void mixFilters(const MapJob<T>& job, const T* w, const T* basis, T* mixed) {
  const int stride = job.basisStride(), count = job.w.count(), K = job.s.K;
  const int tiles = (count + kMixed - 1) / kMixed * static_cast<int>(job.ofTiles.by);
  for (int i = threadIdx.x; i < tiles; i += kThreads) {
    const int first = job.ofTiles.quotient(i) * kMixed, e = job.ofTiles.rest(i) * kTile;
    const T* row[kMixed];
#pragma unroll
    for (int d = 0; d < kMixed; d++) row[d] = w + job.w.place(min(first + d, count - 1)) * K;
    T sums[kMixed][kTile] = {};
#pragma unroll 7
    for (int k = 0; k < K; k++) {
      const Vector<T> factors = vectorAt(basis + k * stride + e);
#pragma unroll
      for (int d = 0; d < kMixed; d++) {
#pragma unroll
        for (int x = 0; x < kTile; x++) sums[d][x] = multiplyAdd(row[d][k], factors.at[x], sums[d][x]);
      }
    }
#pragma unroll
    for (int d = 0; d < kMixed; d++) {
      if (first + d < count) storeMany<kTile>(mixed + (first + d) * stride + e, sums[d]);
    }
  }
}

// folded[dx][row][ex] = the sum of M over the dy inside, for the rows that are kept. Back, M is turned around and its sides change places.
template <class T>
__device__ void foldRows(const MapJob<T>& job, const Piece& piece, const T* mixed, T* folded) {
  const int stride = job.basisStride(), step = job.isBack ? -1 : stride, innerStep = job.isBack ? -stride : 1;
  const int height = job.outer.height(), width = job.inner.width(), rows = piece.rows(), down = job.outer.width() * step - width * innerStep;
  const T* start = mixed + (job.isBack ? (job.w.count() - 1) * stride + job.basis.count() - 1 : 0);
  const int first = max(0, job.outer.y - piece.h), last = min(height, job.s.H - piece.h + job.outer.y) - 1;
  for (Walk at(threadIdx.x / kFoldLanes, rows); at.line < job.outer.width(); at.advance(kThreads / kFoldLanes)) {
    const int f = at.place + piece.firstRow - piece.h + job.outer.y + job.inner.y;  // dy + ey, both from 0 on
    const int begin = max(first, f - job.inner.height() + 1), count = max(0, min(last, f) - begin + 1);
    for (int ex = threadIdx.x % kFoldLanes; ex < width; ex += kFoldLanes) {
      const T* from = start + at.line * step + (f * width + ex) * innerStep;
      T sum = 0;
#pragma unroll 7
      for (int dy = 0; dy < height; dy++, from += down) sum += static_cast<uint32_t>(dy - begin) < static_cast<uint32_t>(count) ? *from : T(0);
      folded[(at.line * rows + at.place) * width + ex] = sum;
    }
  }
}

// kernels[class][row][tap] = E: the sum over the dx inside for a class of columns.
template <class T>
__device__ void foldColumns(const MapJob<T>& job, const Piece& piece, const T* folded, T* kernels) {
  const BorderClasses<int> classes = job.classes();
  const int width = job.inner.width(), rows = piece.rows(), taps = job.s.taps, along = rows * width - 1;
  for (Walk at(threadIdx.x / kTapLanes, rows); at.line < classes.count; at.advance(kThreads / kTapLanes)) {
    const int first = classes.firstInside(at.line), last = classes.endInside(at.line) - 1;
    for (int tap = threadIdx.x % kTapLanes; tap < taps; tap += kTapLanes) {
      const int f = tap - job.s.before + job.outer.x + job.inner.x;  // dx + ex, both from 0 on
      const int begin = max(first, f - width + 1), count = max(0, min(last, f) - begin + 1);
      const T* from = folded + at.place * width + f;
      T sum = 0;
#pragma unroll 7
      for (int dx = 0; dx < job.outer.width(); dx++, from += along) {
        sum += static_cast<uint32_t>(dx - begin) < static_cast<uint32_t>(count) ? *from : T(0);
      }
      kernels[(at.line * rows + at.place) * taps + tap] = sum;
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
  const BorderClasses<int> classes = job.classes();
  const T* own[kTile];
#pragma unroll
  for (int m = 0; m < kTile; m++) own[m] = kernels + classes.of(min(w + m, s.W - 1)) * piece.rows() * s.taps;
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
  T* to = job.out + ((static_cast<int64_t>(b) * s.H + piece.h) * s.W + w) * job.outputs + piece.o;
  if (job.outputs == 1 && s.W % kTile == 0) return storeMany<kTile>(to, sums);
#pragma unroll
  for (int m = 0; m < kTile; m++) {
    if (w + m < s.W) to[m * job.outputs] = sums[m];
  }
}

template <bool kShared, class T>
__device__ void mapPiece(const MapJob<T>& job, uint32_t at, T* room) {
  const Pieces& s = job.s;
  const Piece piece(s, job.outputs, at);
  T *images = room, *w = images + s.imagesSize(), *basis = w + job.wSize(), *mixed = basis + job.basisSize();
  T *folded = mixed + job.mixedSize(), *shares = folded + job.foldedSize(), *kernels = shares + kThreads * kTile;
  T sums[kTile] = {};
#pragma unroll 1
  for (int channel = 0; channel < job.channels; channel++) {
    keepFilters<kShared>(job, piece.o + channel, w, basis);
    commitCopies();
    keepRows<kShared>(s, piece, job.in, job.channels, channel, images, s.vectors * kTile, s.pictureSize());
    commitCopies();
    waitCopies<1>();
    __syncthreads();
    mixFilters(job, w, basis, mixed);
    __syncthreads();
    foldRows(job, piece, mixed, folded);
    __syncthreads();
    foldColumns(job, piece, folded, kernels);
    waitCopies<0>();
    __syncthreads();
    mapTile(job, piece, WarpPlace(s, piece), images, kernels, sums);
    if (channel + 1 < job.channels) __syncthreads();
  }
  putTile(job, piece, WarpPlace(s, piece), shares, sums);
}

}  // namespace spikeloom::cuda
