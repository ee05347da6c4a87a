// A thread per picture and channel adds the pixels row by row; neighbours lie on neighbouring channels. x is read once.
#include "cuda/elementwise.cuh"
#include "ops/global_avg_pool/global_avg_pool.h"

namespace spikeloom::cuda {
namespace {

template <class T>
struct Average {
  Resting<T> x;
  T* y;
  int64_t area;

  __device__ void operator()(int64_t i) const {
    const Division at = divide(i, x.C);
    T sum = 0;
    for (int64_t p = 0; p < area; p++) sum += x.load(at.quotient * area + p, at.rest);
    y[i] = sum / static_cast<T>(area);
  }
};

template <class T>
struct Gradient {
  const T* gy;
  T* gx;
  int64_t C, area;

  __device__ void operator()(int64_t i) const {
    const Division at = divide(i, C);
    gx[i] = gy[divide(at.quotient, area).quotient * C + at.rest] / static_cast<T>(area);
  }
};

template <class T>
void globalAvgPool(const Call& call) {
  const TensorView &x = call.tensors[0], &y = call.tensors[1];
  const Shape5 s = shape5(x);
  forEach(call, count(y), Average<T>{Resting<T>(x), as<T>(y), s.H * s.W});
}

template <class T>
void globalAvgPoolGrad(const Call& call) {
  const TensorView &gy = call.tensors[0], &gx = call.tensors[1];
  const Shape5 s = shape5(gx);
  forEach(call, count(gx), Gradient<T>{as<T>(gy), as<T>(gx), s.C, s.H * s.W});
}

SPIKELOOM_CUDA_KERNEL(kGlobalAvgPool, globalAvgPool)
SPIKELOOM_CUDA_KERNEL(kGlobalAvgPoolGrad, globalAvgPoolGrad)

}  // namespace
}  // namespace spikeloom::cuda
