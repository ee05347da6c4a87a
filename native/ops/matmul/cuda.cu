// The tiled product of cuda/matrix_product.cuh for every batch; few tiles of many terms are cut into slices
// (cuda/slices.cuh), sums over batches among them.
#include "cuda/elementwise.cuh"
#include "cuda/matrix_product.cuh"
#include "cuda/slices.cuh"
#include "ops/matmul/matmul.h"

namespace spikeloom::cuda {
namespace {

// The lines of one batch's matrix, or of the batches that are summed, whose terms follow each other.
template <class T, bool kTogether_>
struct MatrixLines {
  static constexpr bool kTogether = kTogether_;
  using Line = int64_t;
  using Depth = int64_t;
  Matrices m;
  int64_t lineStep, depthStep;
  int K;  // terms of a batch
  int64_t first = 0;

  __device__ MatrixLines of(int64_t batch) const {
    MatrixLines own = *this;
    own.first = m.begin(batch);
    return own;
  }
  __device__ Line line(int i) const { return i * lineStep; }
  __device__ Depth depth(int k) const {
    if (k < K) return first + k * depthStep;
    const int batch = k / K;
    return m.begin(batch) + (k - batch * K) * depthStep;
  }
  __device__ T value(Line line, Depth depth) const {
    const int64_t i = line + depth;
    if (m.areSpikes) return fired(static_cast<const uint32_t*>(m.data), i) ? T(1) : T(0);
    return static_cast<const T*>(m.data)[i];
  }
};

// y, or a copy of it for every slice.
template <class T>
struct MatrixSums {
  static constexpr bool kMoments = false;
  T* to;
  Matrices y;
  int64_t size, first = 0;

  __device__ MatrixSums of(int64_t batch) const {
    MatrixSums own = *this;
    own.first = y.begin(batch);
    return own;
  }
  __device__ T finish(int slice, int row, int column, T sum) const {
    to[slice * size + first + row * y.rowStep + column * y.columnStep] = sum;
    return sum;
  }
};

template <class T, class A, class B>
__global__ void __launch_bounds__(kThreads, 2) batchedKernel(ProductShape s, int64_t blocks, A a, B b, MatrixSums<T> out) {
  waitForKernelsBefore();
  const Division at = divide(blockIdx.x, blocks);
  productTile<T>(s, static_cast<unsigned>(at.rest), a.of(at.quotient), b.of(at.quotient), out.of(at.quotient));
}

// body.template operator()<together>().
template <class F>
void withOrder(int64_t lineStep, int64_t depthStep, F&& body) {
  if (lineStep < depthStep) return body.template operator()<true>();
  body.template operator()<false>();
}

template <class T>
void matmul(const Call& call) {
  const TensorView& y = call.tensors[2];
  const BatchedProduct p(call.tensors[0], call.tensors[1], y, call.attributes[0] != 0, call.attributes[1] != 0);
  if (!fits(call, p.M, p.N, p.K * p.terms)) return;
  ProductShape s{static_cast<int>(p.M), static_cast<int>(p.N), static_cast<int>(p.K * p.terms), kDepth};
  const int64_t tiles = static_cast<int64_t>(s.tilesM()) * s.tilesN();
  s.sliced = static_cast<int>(termsOfSlice(s.k, tiles * p.y.batches, kDepth));
  T* sums = as<T>(y);
  if (s.slices() > 1) sums = static_cast<T*>(scratchBytes(call, static_cast<size_t>(s.slices() * count(y)) * sizeof(T)));
  if (!sums) return;
  const MatrixSums<T> out{sums, p.y, count(y)};
  const int64_t blocks = tiles * s.slices();
  withOrder(p.a.rowStep, p.a.columnStep, [&]<bool kA>() {
    withOrder(p.b.columnStep, p.b.rowStep, [&]<bool kB>() {
      using A = MatrixLines<T, kA>;
      using B = MatrixLines<T, kB>;
      const A a{p.a, p.a.rowStep, p.a.columnStep, static_cast<int>(p.K)};
      const B b{p.b, p.b.columnStep, p.b.rowStep, static_cast<int>(p.K)};
      launch(call, batchedKernel<T, A, B>, blocks * p.y.batches, s, blocks, a, b, out);
    });
  });
  addSlices<T>(call, sums, count(y), s.slices(), as<T>(y));
}

SPIKELOOM_CUDA_KERNEL(kMatmul, matmul)

}  // namespace
}  // namespace spikeloom::cuda
