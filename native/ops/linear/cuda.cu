// Three matrix products (cuda/matrix_product.cuh). The last layer of a network is small, so that whole products would keep few
// multiprocessors busy: the terms are cut into slices (cuda/slices.cuh).
#include "cuda/bias_gradient.cuh"
#include "cuda/matrix_product.cuh"
#include "cuda/slices.cuh"
#include "ops/linear/linear.h"

namespace spikeloom::cuda {
namespace {

// Rows at rest as a factor; kLineIsRow: line i is row i and the terms run along it, else the other way round.
template <class T, bool kLineIsRow>
struct Rows {
  static constexpr bool kTogether = !kLineIsRow;
  using Line = int;
  using Depth = int;
  Resting<T> rows;

  __device__ Line line(int i) const { return i; }
  __device__ Depth depth(int k) const { return k; }
  __device__ T value(Line line, Depth k) const { return kLineIsRow ? rows.load(line, k) : rows.load(k, line); }
};

// Sums of a slice on their way, or results where there is one slice.
template <class T>
struct Sums {
  static constexpr bool kMoments = false;
  T* to;
  const T* bias;  // may be null; else one number a column, added to the first slice
  int m, n;

  __device__ T finish(int slice, int row, int column, T sum) const {
    if (bias && slice == 0) sum += bias[column];
    to[(static_cast<int64_t>(slice) * m + row) * n + column] = sum;
    return sum;
  }
};

// y[m,n] = sum over k of a(m,k) b(k,n) (+ bias[n]).
template <class T, class A, class B>
void product(const Call& call, int64_t m, int64_t n, int64_t k, const A& a, const B& b, const T* bias, T* y) {
  if (!fits(call, m, n, k)) return;
  constexpr int64_t kFewest = 64;  // terms of a slice: the products are small
  ProductShape s{static_cast<int>(m), static_cast<int>(n), static_cast<int>(k), kDepth};
  s.sliced = static_cast<int>(termsOfSlice(k, static_cast<int64_t>(s.tilesM()) * s.tilesN(), kDepth, kFewest));
  if (s.slices() == 1) return multiply<T>(call, s, a, b, Sums<T>{y, bias, s.m, s.n});
  T* parts = static_cast<T*>(scratchBytes(call, static_cast<size_t>(s.slices() * m * n) * sizeof(T)));
  if (!parts) return;
  multiply<T>(call, s, a, b, Sums<T>{parts, bias, s.m, s.n});
  addSlices<T>(call, parts, m * n, s.slices(), y);
}

template <class T>
void linear(const Call& call) {
  const TensorView *t = call.tensors, &x = t[0], &w = t[1];
  const int64_t O = w.dims[0], F = w.dims[1];
  product<T>(call, count(t[3]) / O, O, F, Rows<T, true>{Resting<T>(x)}, Rows<T, true>{Resting<T>(w)}, as<T>(t[2]), as<T>(t[3]));
}

template <class T>
void linearGradX(const Call& call) {
  const TensorView *t = call.tensors, &gy = t[0], &w = t[1];
  const int64_t O = w.dims[0], F = w.dims[1];
  product<T>(call, count(gy) / O, F, O, Rows<T, true>{Resting<T>(gy)}, Rows<T, false>{Resting<T>(w)}, nullptr, as<T>(t[2]));
}

template <class T>
void linearGradW(const Call& call) {
  const TensorView *t = call.tensors, &gy = t[0], &x = t[1], &gw = t[2];
  const int64_t O = gw.dims[0], F = gw.dims[1], n = count(gy) / O;
  product<T>(call, O, F, n, Rows<T, false>{Resting<T>(gy)}, Rows<T, false>{Resting<T>(x)}, nullptr, as<T>(gw));
  if (!t[3].data) return;
  double* parts = static_cast<double*>(scratchBytes(call, biasGradientBytes(gy)));
  if (parts) biasGradient<T>(call, gy, parts, as<T>(t[3]));
}

SPIKELOOM_CUDA_KERNEL(kLinear, linear)
SPIKELOOM_CUDA_KERNEL(kLinearGradX, linearGradX)
SPIKELOOM_CUDA_KERNEL(kLinearGradW, linearGradW)

}  // namespace
}  // namespace spikeloom::cuda
