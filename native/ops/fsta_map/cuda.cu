// A block has a row of up to 32 pictures and makes what it needs of M and K anew, beside the copy of the rows around it into its memory, so
// that a map is one launch: M out of w and basis in tiles of 4 x 4, its sums over the d that are inside for the row, and K for each class of
// columns. Then a warp has 4 pixels side by side and a lane a picture: all lanes read the same numbers of K, and each a row in vectors.
// gS is the same map with both convolutions turned around and in the other order; its blocks lie beside those of gw in one launch.
// gw: a thread multiplies 4 pixels of gF with 8 taps each, summed over the pictures; what a block leaves, [dx][dy+ey][ex], is already summed over
// the pixels w with w+dx inside, and a second launch adds the rows with h+dy inside and multiplies with the basis, both in double.
#include "cuda/elementwise.cuh"
#include "cuda/multiply_add.cuh"
#include "ops/fsta_map/rows.cuh"

namespace spikeloom::cuda {
namespace {

constexpr int kTapTile = 2 * kTile;  // taps of a thread of gw
constexpr int64_t kMostRooms = 128;  // blocks at a time where a room is too large for shared memory
constexpr int kFinishThreads = 512;
constexpr int kFinishLanes = 8;  // for one number of gw

// `in` to `out`. Both of M's filters are outer and inner for the gradient, too: there they have changed places.
template <class T>
struct MapJob {
  Pieces s;
  Filters<T> outer, inner;
  const T* in;
  T* out;
  int channels, outputs;

  __host__ __device__ int64_t blocks() const { return out ? s.count(outputs) : 0; }
  __host__ __device__ BorderClasses classes() const { return BorderClasses(s.W, outer.reachX); }
  // How many numbers the parts of a room take, all of them whole vectors.
  __host__ __device__ int imagesSize() const { return s.pictures * s.pictureSize(); }
  __host__ __device__ int outerSize() const { return s.K * outer.stride(); }
  __host__ __device__ int innerSize() const { return s.K * inner.stride(); }
  __host__ __device__ int mixedSize() const { return outer.stride() * inner.stride(); }
  __host__ __device__ int foldedSize() const { return roundUp(outer.width() * s.rows * inner.width(), kTile); }
  int64_t roomSize() const {
    const int64_t kernels = classes().count * s.rows * s.taps;
    return out ? int64_t{imagesSize()} + outerSize() + innerSize() + mixedSize() + foldedSize() + kernels : 0;
  }
};

// mixed[d][e] = M[d,e], `inner.stride()` numbers in a row.
template <class T>
__device__ void mixFilters(const MapJob<T>& job, const T* outer, const T* inner, T* mixed) {
  const int outerStride = job.outer.stride(), innerStride = job.inner.stride(), across = innerStride / kTile;
  for (int i = threadIdx.x; i < outerStride / kTile * across; i += kThreads) {
    const int d = i / across * kTile, e = i % across * kTile;
    T sums[kTile][kTile] = {};
#pragma unroll 7
    for (int k = 0; k < job.s.K; k++) {
      const Vector<T> a = vectorAt(outer + k * outerStride + d), b = vectorAt(inner + k * innerStride + e);
#pragma unroll
      for (int y = 0; y < kTile; y++) {
#pragma unroll
        for (int x = 0; x < kTile; x++) sums[y][x] = multiplyAdd(a.at[y], b.at[x], sums[y][x]);
      }
    }
#pragma unroll
    for (int y = 0; y < kTile; y++) storeMany<kTile>(mixed + (d + y) * innerStride + e, sums[y]);
  }
}

// folded[dx][row][ex] = the sum of M over the dy inside, for the rows that are kept.
template <class T>
__device__ void foldRows(const MapJob<T>& job, const Piece& piece, const T* mixed, T* folded) {
  const Filters<T>&outer = job.outer, &inner = job.inner;
  const int width = inner.width(), rows = piece.rows(), step = outer.width() * inner.stride() - width;
  const int first = max(-outer.reachY, -piece.h), last = min(outer.reachY, job.s.H - 1 - piece.h);
  for (int i = threadIdx.x; i < outer.width() * rows * width; i += kThreads) {
    const int at = i / width, ex = i - at * width, dx = at / rows, f = at - dx * rows + piece.firstRow - piece.h;
    const int begin = max(first, f - inner.reachY), end = min(last, f + inner.reachY);
    const T* from = mixed + ((begin + outer.reachY) * outer.width() + dx) * inner.stride() + (f - begin + inner.reachY) * width + ex;
    T sum = 0;
    for (int dy = begin; dy <= end; dy++, from += step) sum += *from;
    folded[i] = sum;
  }
}

// kernels[class][row][tap] = K: the sum over the dx inside for a class of columns.
template <class T>
__device__ void foldColumns(const MapJob<T>& job, const Piece& piece, const T* folded, T* kernels) {
  const Filters<T>&outer = job.outer, &inner = job.inner;
  const BorderClasses classes = job.classes();
  const int width = inner.width(), rows = piece.rows(), step = rows * width - 1, vectors = job.s.taps / kTile;
  for (int i = threadIdx.x; i < static_cast<int>(classes.count) * rows * vectors; i += kThreads) {
    const int at = i / vectors, c = at / rows, row = at - c * rows, firstTap = (i - at * vectors) * kTile;
    const int first = static_cast<int>(classes.firstInside(c)), last = static_cast<int>(classes.endInside(c)) - 1;
#pragma unroll
    for (int tap = firstTap; tap < firstTap + kTile; tap++) {
      const int f = tap - job.s.before + outer.reachX;
      const int begin = max(first, f - inner.reachX), end = min(last, f + inner.reachX);
      const T* from = folded + (begin * rows + row) * width + f - begin + inner.reachX;
      T sum = 0;
      for (int dx = begin; dx <= end; dx++, from += step) sum += *from;
      kernels[(c * rows + row) * job.s.taps + tap] = sum;
    }
  }
}

// Adds to the sums of the tile's pixels what K has for a picture's rows; kClasses is 1 where all four are of one class.
template <int kClasses, class T>
__device__ __forceinline__ void addTaps(const Pieces& s, const Piece& piece, const T* picture, int vector, const T* const (&kernels)[kTile],
                                        T (&sums)[kTile]) {
  const auto read = [&](int row, int v) {
    return v >= piece.firstVector && v < piece.endVector ? vectorAt(picture + (row * s.vectors + v - piece.firstVector) * kTile) : Vector<T>{};
  };
  for (int row = 0; row < piece.rows(); row++) {
    Vector<T> left = read(row, vector);
#pragma unroll 4
    for (int tap = 0; tap < s.taps; tap += kTile) {
      const Vector<T> right = read(row, vector + tap / kTile + 1);
      Vector<T> K[kClasses];
#pragma unroll
      for (int c = 0; c < kClasses; c++) K[c] = vectorAt(kernels[c] + row * s.taps + tap);
#pragma unroll
      for (int x = 0; x < kTile; x++) {
#pragma unroll
        for (int m = 0; m < kTile; m++) {
          const T value = x + m < kTile ? left.at[(x + m) % kTile] : right.at[(x + m) % kTile];
          sums[m] = multiplyAdd(K[kClasses == 1 ? 0 : m].at[x], value, sums[m]);
        }
      }
      left = right;
    }
  }
}

template <class T>
__device__ void mapTile(const MapJob<T>& job, const Piece& piece, const T* images, const T* kernels, T (&sums)[kTile]) {
  const Pieces& s = job.s;
  const int tile = piece.tile + threadIdx.x / 32, picture = threadIdx.x % 32, w = tile * kTile;
  if (w >= s.W || picture >= s.pictures) return;
  const BorderClasses classes = job.classes();
  const T* own[kTile];
#pragma unroll
  for (int m = 0; m < kTile; m++) own[m] = kernels + static_cast<int>(classes.of(min(w + m, s.W - 1))) * piece.rows() * s.taps;
  const T* from = images + picture * s.pictureSize();
  if (own[0] == own[kTile - 1]) addTaps<1>(s, piece, from, tile - s.before / kTile, own, sums);
  else addTaps<kTile>(s, piece, from, tile - s.before / kTile, own, sums);
}

template <bool kShared, class T>
__device__ void mapPiece(const MapJob<T>& job, int64_t at, T* room) {
  const Pieces& s = job.s;
  const Piece piece(s, job.outputs, at);
  T *images = room, *outer = images + job.imagesSize(), *inner = outer + job.outerSize(), *mixed = inner + job.innerSize();
  T *folded = mixed + job.mixedSize(), *kernels = folded + job.foldedSize();
  T sums[kTile] = {};
  for (int channel = 0; channel < job.channels; channel++) {
    keepFilters<kShared>(job.outer, s.K, piece.o + channel, outer);
    keepFilters<kShared>(job.inner, s.K, piece.o + channel, inner);
    commitCopies();
    keepRows<kShared>(s, piece, job.in, job.channels, channel, images, s.vectors * kTile, s.pictureSize());
    commitCopies();
    waitCopies<1>();
    __syncthreads();
    mixFilters(job, outer, inner, mixed);
    __syncthreads();
    foldRows(job, piece, mixed, folded);
    __syncthreads();
    foldColumns(job, piece, folded, kernels);
    waitCopies<0>();
    __syncthreads();
    mapTile(job, piece, images, kernels, sums);
    __syncthreads();
  }
  const int w = (piece.tile + threadIdx.x / 32) * kTile, b = piece.b + threadIdx.x % 32;
  if (b >= min(piece.b + s.pictures, s.B) || w >= s.W) return;
  T* to = job.out + ((static_cast<int64_t>(b) * s.H + piece.h) * s.W + w) * job.outputs + piece.o;
  if (job.outputs == 1 && s.W % kTile == 0) return storeMany<kTile>(to, sums);
  for (int m = 0; m < kTile && w + m < s.W; m++) to[m * job.outputs] = sums[m];
}

// What gw is made of. outer and inner are w and basis.
template <class T>
struct FilterJob {
  Pieces s;
  Filters<T> outer, inner;
  const T *gF, *S;
  T* gw;
  double* parts;

  static constexpr int kGradientSize = (kTiles + 1) * kTile;  // of a picture's piece of gF
  static constexpr int kRowSize = (kTiles + 1) * kTile;       // products of a tap

  int64_t blocks() const { return gw ? s.count(s.O) : 0; }
  __host__ __device__ int imagesSize() const { return s.pictures * s.pictureSize(); }
  __host__ __device__ int tapTiles() const { return (s.taps + kTapTile - 1) / kTapTile; }
  __host__ __device__ int partHeight() const { return outer.height() + inner.height() - 1; }
  __host__ __device__ int partSize() const { return outer.width() * partHeight() * inner.width(); }
  int64_t roomSize() const {
    const int64_t products = int64_t{s.rows} * tapTiles() * kTapTile * kRowSize;
    return gw ? int64_t{kTile} + imagesSize() + s.pictures * kGradientSize + products : 0;
  }
};

// products[row][tap][w] = the sum over the pictures of gF[w] S[row,w+tap].
template <class T>
__device__ void multiplyRows(const FilterJob<T>& job, const Piece& piece, const T* zeros, const T* images, const T* gradients, T* products) {
  const Pieces& s = job.s;
  const int size = s.pictureSize();
  for (int i = threadIdx.x; i < piece.rows() * job.tapTiles() * kTiles; i += kThreads) {
    const int tile = i % kTiles, at = i / kTiles, row = at / job.tapTiles(), tap = (at - row * job.tapTiles()) * kTapTile;
    if (piece.tile + tile >= s.rowVectors()) continue;
    const T* from[kTapTile / kTile + 1];
    int steps[kTapTile / kTile + 1];
#pragma unroll
    for (int n = 0; n <= kTapTile / kTile; n++) {
      const int v = piece.tile + tile + (tap - s.before) / kTile + n;
      const bool isInside = v >= piece.firstVector && v < piece.endVector;
      from[n] = isInside ? images + (row * s.vectors + v - piece.firstVector) * kTile : zeros;
      steps[n] = isInside ? size : 0;
    }
    const T* gradient = gradients + tile * kTile;
    T sums[kTapTile][kTile] = {};
    for (int picture = 0; picture < s.pictures; picture++, gradient += job.kGradientSize) {
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
    T* to = products + (row * job.tapTiles() * kTapTile + tap) * job.kRowSize + tile * kTile;
#pragma unroll
    for (int x = 0; x < kTapTile; x++) storeMany<kTile>(to + x * job.kRowSize, sums[x]);
  }
}

// The sum of a tap's products over the pixels of the piece that have first <= w < end.
template <class T>
__device__ double sumOfPixels(const Pieces& s, const Piece& piece, const T* products, int first, int end) {
  double sum = 0;
  const int vectors = min(kTiles, s.rowVectors() - piece.tile);
#pragma unroll 4
  for (int v = 0; v < vectors; v++) {
    const Vector<T> terms = vectorAt(products + v * kTile);
    T four = 0;
#pragma unroll
    for (int m = 0; m < kTile; m++) {
      const int w = (piece.tile + v) * kTile + m;
      if (w >= first && w < end) four += terms.at[m];
    }
    sum += static_cast<double>(four);
  }
  return sum;
}

template <bool kShared, class T>
__device__ void filterPiece(const FilterJob<T>& job, int64_t at, T* room) {
  const Pieces& s = job.s;
  const Filters<T>&outer = job.outer, &inner = job.inner;
  const Piece piece(s, s.O, at);
  T *zeros = room, *images = zeros + kTile, *gradients = images + job.imagesSize(), *products = gradients + s.pictures * job.kGradientSize;
  keepRows<kShared>(s, piece, job.S, 1, 0, images, s.vectors * kTile, s.pictureSize());
  keepRows<kShared>(s, piece.own(s), job.gF, s.O, piece.o, gradients, 0, job.kGradientSize);
  commitCopies();
  if (threadIdx.x < kTile) zeros[threadIdx.x] = 0;
  waitCopies<0>();
  __syncthreads();
  multiplyRows(job, piece, zeros, images, gradients, products);
  __syncthreads();
  double* part = job.parts + at * job.partSize();
  for (int i = threadIdx.x; i < job.partSize(); i += kThreads) {
    const int place = i / inner.width(), ex = i - place * inner.width(), dx = place / job.partHeight();
    const int row = place - dx * job.partHeight() - outer.reachY - inner.reachY + piece.h - piece.firstRow;
    const int shift = dx - outer.reachX, tap = shift + ex - inner.reachX + s.before;
    const bool isInside = row >= 0 && row < piece.rows() && tap >= 0 && tap < s.taps;
    const T* from = products + (row * job.tapTiles() * kTapTile + tap) * job.kRowSize;
    part[i] = isInside ? sumOfPixels(s, piece, from, max(0, -shift), min(s.W, s.W - shift)) : 0;
  }
}

template <class T, bool kShared>
__global__ void __launch_bounds__(kThreads, 2) piecesKernel(MapJob<T> map, FilterJob<T> filter, T* rooms, int64_t roomSize, int64_t all) {
  T* room = kShared ? reinterpret_cast<T*>(dynamicShared()) : rooms + blockIdx.x * roomSize;
  for (int64_t at = blockIdx.x; at < all; at += gridDim.x) {
    if (at < map.blocks()) mapPiece<kShared>(map, at, room);
    else filterPiece<kShared>(filter, at - map.blocks(), room);
    __syncthreads();
  }
}

// gw[o,k,d] by way of gM[o,d,e]. A block for each (o,d), with groups of threads along the parts that lie along e.
template <class T>
__global__ void __launch_bounds__(kFinishThreads) finishFiltersKernel(FilterJob<T> job) {
  __shared__ double shared[kFinishThreads];
  double* gM = reinterpret_cast<double*>(dynamicShared());
  const Pieces& s = job.s;
  const Filters<T>&outer = job.outer, &inner = job.inner;
  const int outerSize = outer.side * outer.side, o = blockIdx.x / outerSize, d = blockIdx.x % outerSize, elements = inner.count();
  const int dy = d / outer.side - outer.side / 2, dx = d % outer.side - outer.side / 2;
  const bool isUsed = abs(dy) <= outer.reachY && abs(dx) <= outer.reachX;
  const int first = max(0, -dy), lines = isUsed ? (min(s.H, s.H - dy) - first) * s.segments : 0, terms = lines * static_cast<int>(s.groups());
  const double* from = job.parts + ((dx + outer.reachX) * job.partHeight() + dy + outer.reachY) * inner.width();
  const int span = min(elements, kFinishThreads), groups = kFinishThreads / span, group = threadIdx.x / span;
  for (int e0 = 0; e0 < elements; e0 += span) {
    const int e = e0 + threadIdx.x - group * span;
    double sum = 0;
    if (group < groups && e < elements) {
#pragma unroll 4
      for (int i = group; i < terms; i += groups) {
        const int pictures = i / lines, line = i - pictures * lines;
        const int64_t part = (static_cast<int64_t>(pictures) * s.O + o) * s.H * s.segments + first * s.segments + line;
        sum += from[part * job.partSize() + e];
      }
    }
    shared[threadIdx.x] = sum;
    __syncthreads();
    if (group == 0 && e < elements) {
      for (int g = 1; g < groups; g++) sum += shared[g * span + threadIdx.x];
      gM[e] = sum;
    }
    __syncthreads();
  }
  const int lane = threadIdx.x % kFinishLanes, size = inner.side * inner.side;
  for (int k0 = 0; k0 < s.K; k0 += kFinishThreads / kFinishLanes) {
    const int k = k0 + threadIdx.x / kFinishLanes;
    double sum = 0;
    if (k < s.K) {
#pragma unroll 7
      for (int e = lane; e < elements; e += kFinishLanes) sum += gM[e] * static_cast<double>(inner.data[k * size + inner.place(e)]);
    }
    for (int step = 1; step < kFinishLanes; step *= 2) sum += __shfl_xor_sync(kWholeWarp, sum, step);
    if (lane == 0 && k < s.K) job.gw[static_cast<int64_t>(blockIdx.x) * s.K + k] = static_cast<T>(sum);
  }
}

// What is wanted of one call, in one launch for what has an output for pixels or parts, and one for gw. Where a room does not fit shared memory
// with one picture either, some blocks with rooms in scratch memory take the pieces in turn.
template <class T>
void runJobs(const Call& call, MapJob<T> map, FilterJob<T> filter) {
  const auto roomSize = [&] { return std::max(map.roomSize(), filter.roomSize()); };
  const auto fits = [&] { return roomSize() * static_cast<int64_t>(sizeof(T)) <= kMostShared; };
  const int wanted = map.s.pictures;
  while (!fits() && map.s.pictures > 1) map.s.pictures = filter.s.pictures = map.s.pictures / 2;
  const bool isShared = fits();
  if (!isShared) map.s.pictures = filter.s.pictures = wanted;
  const int64_t all = map.blocks() + filter.blocks(), blocks = isShared ? all : std::min(all, kMostRooms), size = roomSize();
  const int64_t parts = (filter.blocks() * filter.partSize() + 1) / 2 * 2;  // the rooms behind them lie at multiples of 16 bytes
  const size_t roomBytes = static_cast<size_t>(size) * sizeof(T);
  const size_t bytes = static_cast<size_t>(parts) * sizeof(double) + (isShared ? 0 : static_cast<size_t>(blocks) * roomBytes);
  if (bytes > 0) {
    filter.parts = static_cast<double*>(scratchBytes(call, bytes));
    if (filter.parts == nullptr) return;
  }
  T* rooms = isShared ? nullptr : reinterpret_cast<T*>(filter.parts + parts);
  if (isShared) launch(call, piecesKernel<T, true>, Grid(blocks, kThreads, roomBytes), map, filter, rooms, size, all);
  else launch(call, piecesKernel<T, false>, blocks, map, filter, rooms, size, all);
  if (!filter.gw) return;
  const int64_t filters = int64_t{filter.s.O} * filter.outer.side * filter.outer.side;
  launch(call, finishFiltersKernel<T>, Grid(filters, kFinishThreads, static_cast<size_t>(filter.inner.count()) * sizeof(double)), filter);
}

template <class T>
void fstaMap(const Call& call) {
  const TensorView *t = call.tensors, &S = t[0], &basis = t[1], &w = t[2], &F = t[3];
  const Filters<T> outer(w, F, true, false), inner(basis, F, false, false);
  const Pieces s(F, outer, inner, static_cast<int>(w.dims[1]));
  runJobs<T>(call, {s, outer, inner, as<T>(S), as<T>(F), 1, s.O}, {s, outer, inner, nullptr, nullptr, nullptr, nullptr});
}

template <class T>
void fstaMapGrad(const Call& call) {
  const TensorView *t = call.tensors, &gF = t[0], &S = t[1], &basis = t[2], &w = t[3], &gS = t[4], &gw = t[5];
  const Filters<T> outer(w, gF, true, false), inner(basis, gF, false, false);
  const Pieces s(gF, outer, inner, static_cast<int>(w.dims[1]));
  runJobs<T>(call, {s, Filters<T>(basis, gF, false, true), Filters<T>(w, gF, true, true), as<T>(gF), as<T>(gS), s.O, 1},
             {s, outer, inner, as<T>(gF), as<T>(S), as<T>(gw), nullptr});
}

SPIKELOOM_CUDA_KERNEL(kFstaMap, fstaMap)
SPIKELOOM_CUDA_KERNEL(kFstaMapGrad, fstaMapGrad)

}  // namespace
}  // namespace spikeloom::cuda
