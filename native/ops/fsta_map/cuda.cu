// Small kernels make M and the kernels K of the classes; then a thread per pixel and output has one sum of n x n products for each channel.
// Its reads of S (or gF) and K come out of the first cache: neighbouring threads are neighbouring pixels, and most of them of one class.
// gw: a thread per element f of K adds gF[p] S[p+f] over the pixels of a class in some rows of pictures; what blocks leave is added in double.
#include "cuda/elementwise.cuh"
#include "ops/fsta_map/fsta_map.h"

namespace spikeloom::cuda {
namespace {

constexpr int64_t kChunks = 64;    // of the rows of all pictures that are of one class
constexpr int kFilterThreads = 64;  // of a block for an element of w: 49 filters of 7 x 7 are usual

struct MapSizes {
  int64_t B, O, H, W, K, k, q;

  MapSizes(const TensorView& F, const TensorView& basis, const TensorView& w)
      : B(F.dims[0]), O(F.dims[1]), H(F.dims[2]), W(F.dims[3]), K(w.dims[1]), k(basis.dims[2]), q(w.dims[2]) {}

  __host__ __device__ int64_t n() const { return q + k - 1; }
  __host__ __device__ int64_t taps() const { return n() * n(); }
  __host__ __device__ int64_t inner() const { return k * k; }
  __host__ __device__ int64_t outer() const { return q * q; }
  int64_t mixed() const { return O * outer() * inner(); }
};

// The classes of a picture's pixels for a first convolution of `side` x `side`.
struct Classes {
  BorderClasses rows, columns;

  __host__ __device__ Classes(const MapSizes& s, int64_t side) : rows(s.H, side / 2), columns(s.W, side / 2) {}
  __host__ __device__ int64_t count() const { return rows.count * columns.count; }
};

// M[o,d,e].
template <class T>
struct MixFilters {
  MapSizes s;
  const T *basis, *w;
  T* mixed;

  __device__ void operator()(int64_t i) const {
    const auto [od, e] = divide(i, s.inner());
    T sum = 0;
    for (int64_t k = 0; k < s.K; k++) sum += w[od * s.K + k] * basis[k * s.inner() + e];
    mixed[i] = sum;
  }
};

// K[o,class,f], or with kBack those of the gradient: the convolutions in the other order, turned around.
template <class T, bool kBack>
struct ClassKernels {
  MapSizes s;
  Classes classes;
  const T* mixed;
  T* kernels;

  __device__ T element(int64_t o, int64_t d, int64_t e) const {
    if constexpr (kBack) return mixed[(o * s.outer() + s.outer() - 1 - e) * s.inner() + s.inner() - 1 - d];
    return mixed[(o * s.outer() + d) * s.inner() + e];
  }
  __device__ void operator()(int64_t i) const {
    const int64_t first = kBack ? s.k : s.q, second = kBack ? s.q : s.k;
    const auto [at, f] = divide(i, s.taps());
    const auto [o, in] = divide(at, classes.count());
    const auto [row, column] = divide(in, classes.columns.count);
    const auto [fy, fx] = divide(f, s.n());
    T sum = 0;
    for (int64_t y = classes.rows.firstInside(row); y < classes.rows.endInside(row); y++) {
      if (fy < y || fy - y >= second) continue;
      for (int64_t x = classes.columns.firstInside(column); x < classes.columns.endInside(column); x++) {
        if (fx >= x && fx - x < second) sum += element(o, y * first + x, (fy - y) * second + fx - x);
      }
    }
    kernels[i] = sum;
  }
};

// One output at one pixel: the sum over the channels of the picture.
template <class T>
struct MapPixel {
  MapSizes s;
  Classes classes;
  const T *in, *kernels;
  T* out;
  int64_t channels, outputs;

  __device__ void operator()(int64_t i) const {
    const auto [pixel, o] = divide(i, outputs);
    const auto [line, w] = divide(pixel, s.W);
    const auto [b, h] = divide(line, s.H);
    const int64_t n = s.n(), R = n / 2, at = classes.rows.of(h) * classes.columns.count + classes.columns.of(w);
    const int64_t y0 = h < R ? R - h : 0, y1 = s.H - h + R < n ? s.H - h + R : n;
    const int64_t x0 = w < R ? R - w : 0, x1 = s.W - w + R < n ? s.W - w + R : n;
    T sum = 0;
    for (int64_t channel = 0; channel < channels; channel++) {
      const T* K = kernels + ((o * channels + channel) * classes.count() + at) * n * n;
      for (int64_t y = y0; y < y1; y++) {
        const T* row = in + ((b * s.H + h + y - R) * s.W + w - R) * channels + channel;
        for (int64_t x = x0; x < x1; x++) sum += K[y * n + x] * row[x * channels];
      }
    }
    out[i] = sum;
  }
};

// The sum of gF[p] S[p+f], f = (dy, dx), over the pixels of a row that are of columns w0 <= w < w1, as far as p+f is inside.
template <class T>
__device__ double rowProduct(const MapSizes& s, const T* gF, const T* S, int64_t o, int64_t b, int64_t h, int64_t dy, int64_t dx, int64_t w0,
                             int64_t w1) {
  if (h + dy < 0 || h + dy >= s.H) return 0;
  const int64_t begin = w0 + dx < 0 ? -dx : w0, end = w1 + dx > s.W ? s.W - dx : w1;
  const T *g = gF + (b * s.H + h) * s.W * s.O + o, *from = S + (b * s.H + h + dy) * s.W + dx;
  T sum = 0;
#pragma unroll 4
  for (int64_t w = begin; w < end; w++) sum += g[w * s.O] * from[w];
  return static_cast<double>(sum);
}

// Parts [chunk][o][class][f] of gK. A block has a chunk of the rows of one class of rows; its threads lie along f and then along the rows.
template <class T>
__global__ void kernelGradientKernel(MapSizes s, Classes classes, const T* gF, const T* S, double* parts) {
  __shared__ double shared[kThreads];
  const int64_t row = blockIdx.x % classes.rows.count, rest = blockIdx.x / classes.rows.count, o = rest % s.O, chunk = rest / s.O;
  const int64_t first = classes.rows.begin(row), height = classes.rows.end(row) - first, all = s.B * height;
  const int64_t begin = all * chunk / kChunks, end = all * (chunk + 1) / kChunks;
  const int span = s.taps() < kThreads ? static_cast<int>(s.taps()) : kThreads, groups = kThreads / span;
  const int group = static_cast<int>(threadIdx.x) / span;
  double* part = parts + ((chunk * s.O + o) * classes.count() + row * classes.columns.count) * s.taps();
  for (int64_t column = 0; column < classes.columns.count; column++) {
    for (int64_t f0 = 0; f0 < s.taps(); f0 += span) {
      const int64_t f = f0 + threadIdx.x % span;
      const int64_t dy = f / s.n() - s.n() / 2, dx = f % s.n() - s.n() / 2;
      const bool used = group < groups && f < s.taps();
      double sum = 0;
      for (int64_t i = begin + group; used && i < end; i += groups) {
        const auto [b, h] = divide(i, height);
        sum += rowProduct(s, gF, S, o, b, first + h, dy, dx, classes.columns.begin(column), classes.columns.end(column));
      }
      shared[threadIdx.x] = sum;
      __syncthreads();
      if (group == 0 && used) {
        for (int g = 1; g < groups; g++) sum += shared[g * span + threadIdx.x];
        part[column * s.taps() + f] = sum;
      }
      __syncthreads();
    }
  }
}

// gK, the sum of the parts in their order, in the place of the first.
struct AddChunks {
  double* parts;
  int64_t size;

  __device__ void operator()(int64_t i) const {
    double sum = 0;
    for (int64_t chunk = 0; chunk < kChunks; chunk++) sum += parts[chunk * size + i];
    parts[i] = sum;
  }
};

// gw[o,k,d] by way of gM[o,d,e], the sum over the classes with d inside. A block for each (o,d).
template <class T>
__global__ void filterGradientKernel(MapSizes s, Classes classes, const double* gK, const T* basis, double* gM, T* gw) {
  const int64_t od = blockIdx.x, o = od / s.outer(), y = od % s.outer() / s.q, x = od % s.q;
  gM += od * s.inner();
  for (int64_t e = threadIdx.x; e < s.inner(); e += blockDim.x) {
    const int64_t f = (y + e / s.k) * s.n() + x + e % s.k;
    double sum = 0;
    for (int64_t row = 0; row < classes.rows.count; row++) {
      if (y < classes.rows.firstInside(row) || y >= classes.rows.endInside(row)) continue;
      for (int64_t column = 0; column < classes.columns.count; column++) {
        if (x < classes.columns.firstInside(column) || x >= classes.columns.endInside(column)) continue;
        sum += gK[(o * classes.count() + row * classes.columns.count + column) * s.taps() + f];
      }
    }
    gM[e] = sum;
  }
  __syncthreads();
  for (int64_t k = threadIdx.x; k < s.K; k += blockDim.x) {
    double sum = 0;
#pragma unroll 7
    for (int64_t e = 0; e < s.inner(); e++) sum += gM[e] * static_cast<double>(basis[k * s.inner() + e]);
    gw[od * s.K + k] = static_cast<T>(sum);
  }
}

// Maps `in` to `out`, with M and K at `room`.
template <class T, bool kBack>
void mapImages(const Call& call, const MapSizes& s, const T* basis, const T* w, const T* in, T* out, T* room) {
  const Classes classes(s, kBack ? s.k : s.q);
  T* kernels = room + s.mixed();
  forEach(call, s.mixed(), MixFilters<T>{s, basis, w, room});
  forEach(call, s.O * classes.count() * s.taps(), ClassKernels<T, kBack>{s, classes, room, kernels});
  const int64_t outputs = kBack ? 1 : s.O;
  forEach(call, s.B * s.H * s.W * outputs, MapPixel<T>{s, classes, in, kernels, out, kBack ? s.O : 1, outputs});
}

template <class T>
void filterGradient(const Call& call, const MapSizes& s, const T* gF, const T* S, const T* basis, T* gw, double* room) {
  const Classes classes(s, s.q);
  const int64_t size = s.O * classes.count() * s.taps();
  double* gM = room + kChunks * size;
  launch(call, kernelGradientKernel<T>, kChunks * s.O * classes.rows.count, s, classes, gF, S, room);
  forEach(call, size, AddChunks{room, size});
  launch(call, filterGradientKernel<T>, Grid(s.O * s.outer(), kFilterThreads), s, classes, static_cast<const double*>(room), basis, gM, gw);
}

template <class T>
void fstaMap(const Call& call) {
  const TensorView* v = call.tensors;
  const MapSizes s(v[3], v[1], v[2]);
  const int64_t numbers = s.mixed() + s.O * Classes(s, s.q).count() * s.taps();
  T* room = static_cast<T*>(scratchBytes(call, static_cast<size_t>(numbers) * sizeof(T)));
  if (room) mapImages<T, false>(call, s, as<T>(v[1]), as<T>(v[2]), as<T>(v[0]), as<T>(v[3]), room);
}

template <class T>
void fstaMapGrad(const Call& call) {
  const TensorView* v = call.tensors;
  const MapSizes s(v[0], v[2], v[3]);
  T *gS = as<T>(v[4]), *gw = as<T>(v[5]);
  const int64_t numbers = gS ? s.mixed() + s.O * Classes(s, s.k).count() * s.taps() : 0;
  const int64_t doubles = gw ? kChunks * s.O * Classes(s, s.q).count() * s.taps() + s.mixed() : 0;
  double* room = static_cast<double*>(scratchBytes(call, static_cast<size_t>(doubles) * sizeof(double) + static_cast<size_t>(numbers) * sizeof(T)));
  if (room == nullptr) return;
  if (gS) mapImages<T, true>(call, s, as<T>(v[2]), as<T>(v[3]), as<T>(v[0]), gS, reinterpret_cast<T*>(room + doubles));
  if (gw) filterGradient<T>(call, s, as<T>(v[0]), as<T>(v[1]), as<T>(v[2]), gw, room);
}

SPIKELOOM_CUDA_KERNEL(kFstaMap, fstaMap)
SPIKELOOM_CUDA_KERNEL(kFstaMapGrad, fstaMapGrad)

}  // namespace
}  // namespace spikeloom::cuda
