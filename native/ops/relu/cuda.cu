// One read and one write per element.
#include "cuda/elementwise.cuh"
#include "ops/relu/relu.h"

namespace spikeloom::cuda {
namespace {

template <class T>
struct Relu {
  const T* x;
  T* y;

  __device__ void operator()(int64_t i) const { y[i] = wherePositive(x[i], x[i]); }
};

template <class T>
struct ReluGrad {
  const T *gy, *y;
  T* gx;

  __device__ void operator()(int64_t i) const { gx[i] = wherePositive(y[i], gy[i]); }
};

template <class T>
void relu(const Call& call) {
  const TensorView* t = call.tensors;
  forEach(call, count(t[0]), Relu<T>{as<T>(t[0]), as<T>(t[1])});
}

template <class T>
void reluGrad(const Call& call) {
  const TensorView* t = call.tensors;
  forEach(call, count(t[0]), ReluGrad<T>{as<T>(t[0]), as<T>(t[1]), as<T>(t[2])});
}

SPIKELOOM_CUDA_KERNEL(kRelu, relu)
SPIKELOOM_CUDA_KERNEL(kReluGrad, reluGrad)

}  // namespace
}  // namespace spikeloom::cuda
