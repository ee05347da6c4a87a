// One exponential per element, of a number that is not above 0.
#include "cuda/elementwise.cuh"
#include "ops/sigmoid/sigmoid.h"

namespace spikeloom::cuda {
namespace {

template <class T>
struct Sigmoid {
  const T* x;
  T* y;

  __device__ void operator()(int64_t i) const { y[i] = sigmoidOf(x[i]); }
};

template <class T>
struct SigmoidGrad {
  const T *gy, *y;
  T* gx;

  __device__ void operator()(int64_t i) const { gx[i] = sigmoidGradient(gy[i], y[i]); }
};

template <class T>
void sigmoid(const Call& call) {
  const TensorView* t = call.tensors;
  forEach(call, count(t[0]), Sigmoid<T>{as<T>(t[0]), as<T>(t[1])});
}

template <class T>
void sigmoidGrad(const Call& call) {
  const TensorView* t = call.tensors;
  forEach(call, count(t[0]), SigmoidGrad<T>{as<T>(t[0]), as<T>(t[1]), as<T>(t[2])});
}

SPIKELOOM_CUDA_KERNEL(kSigmoid, sigmoid)
SPIKELOOM_CUDA_KERNEL(kSigmoidGrad, sigmoidGrad)

}  // namespace
}  // namespace spikeloom::cuda
