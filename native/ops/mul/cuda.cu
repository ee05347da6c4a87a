// One pass over all tensors.
#include "cuda/elementwise.cuh"
#include "ops/mul/mul.h"

namespace spikeloom::cuda {
namespace {

template <class T>
struct Mul {
  const T *x, *y;
  T* z;

  __device__ void operator()(int64_t i) const { z[i] = x[i] * y[i]; }
};

template <class T>
struct Scale {
  const T* x;
  T* y;
  T factor;

  __device__ void operator()(int64_t i) const { y[i] = factor * x[i]; }
};

template <class T>
void mul(const Call& call) {
  const TensorView* t = call.tensors;
  forEach(call, count(t[0]), Mul<T>{as<T>(t[0]), as<T>(t[1]), as<T>(t[2])});
}

template <class T>
void scale(const Call& call) {
  const TensorView* t = call.tensors;
  forEach(call, count(t[0]), Scale<T>{as<T>(t[0]), as<T>(t[1]), static_cast<T>(call.attributes[0])});
}

SPIKELOOM_CUDA_KERNEL(kMul, mul)
SPIKELOOM_CUDA_KERNEL(kScale, scale)

}  // namespace
}  // namespace spikeloom::cuda
