// One read of every input and one write per element.
#include "cuda/elementwise.cuh"
#include "ops/pointwise/pointwise.h"

namespace spikeloom::cuda {
namespace {

template <class T, class F>
struct One {
  const T* x;
  T* y;
  F f;

  __device__ void operator()(int64_t i) const { y[i] = f(x[i]); }
};

template <class T, class F>
struct Two {
  const T *x, *y;
  T* z;
  F f;

  __device__ void operator()(int64_t i) const { z[i] = f(x[i], y[i]); }
};

template <class T, class F>
struct Three {
  const T *a, *b, *c;
  T* out;
  F f;

  __device__ void operator()(int64_t i) const { out[i] = f(a[i], b[i], c[i]); }
};

// The last tensor of a call from those before it.
template <class T, class F>
void mapOne(const Call& call, F f) {
  const TensorView* t = call.tensors;
  forEach(call, count(t[0]), One<T, F>{as<T>(t[0]), as<T>(t[1]), f});
}

template <class T, class F>
void mapTwo(const Call& call, F f) {
  const TensorView* t = call.tensors;
  forEach(call, count(t[0]), Two<T, F>{as<T>(t[0]), as<T>(t[1]), as<T>(t[2]), f});
}

template <class T, class F>
void mapThree(const Call& call, F f) {
  const TensorView* t = call.tensors;
  forEach(call, count(t[0]), Three<T, F>{as<T>(t[0]), as<T>(t[1]), as<T>(t[2]), as<T>(t[3]), f});
}

#include "ops/pointwise/kernels.inl"

SPIKELOOM_CUDA_KERNEL(kExp, expEach)
SPIKELOOM_CUDA_KERNEL(kLog, logEach)
SPIKELOOM_CUDA_KERNEL(kSqrt, sqrtEach)
SPIKELOOM_CUDA_KERNEL(kSqrtGrad, sqrtGrad)
SPIKELOOM_CUDA_KERNEL(kAbs, absEach)
SPIKELOOM_CUDA_KERNEL(kAbsGrad, absGrad)
SPIKELOOM_CUDA_KERNEL(kTanh, tanhEach)
SPIKELOOM_CUDA_KERNEL(kTanhGrad, tanhGrad)
SPIKELOOM_CUDA_KERNEL(kPow, powEach)
SPIKELOOM_CUDA_KERNEL(kPowGrad, powGrad)
SPIKELOOM_CUDA_KERNEL(kShift, shift)
SPIKELOOM_CUDA_KERNEL(kClamp, clamp)
SPIKELOOM_CUDA_KERNEL(kClampGrad, clampGrad)
SPIKELOOM_CUDA_KERNEL(kSub, sub)
SPIKELOOM_CUDA_KERNEL(kDiv, quotient)
SPIKELOOM_CUDA_KERNEL(kDivGradY, quotientGradY)

}  // namespace
}  // namespace spikeloom::cuda
