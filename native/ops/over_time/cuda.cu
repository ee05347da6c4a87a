// A thread per element of a time step, time inside: every number is read once and written once.
#include "cuda/elementwise.cuh"
#include "ops/over_time/over_time.h"

namespace spikeloom::cuda {
namespace {

template <class T>
struct SumOverTime {
  const T* x;
  T* y;
  int64_t steps, n;
  T divisor;

  __device__ void operator()(int64_t i) const {
    T sum = x[i];
    for (int64_t t = 1; t < steps; t++) sum += x[t * n + i];
    y[i] = sum / divisor;
  }
};

template <class T>
struct RepeatOverTime {
  const T* x;
  T* y;
  int64_t steps, n;
  T divisor;

  __device__ void operator()(int64_t i) const {
    const T value = x[i] / divisor;
    for (int64_t t = 0; t < steps; t++) y[t * n + i] = value;
  }
};

template <class T>
void sumOverTime(const Call& call) {
  const TensorView &x = call.tensors[0], &y = call.tensors[1];
  forEach(call, x.dims[1], SumOverTime<T>{as<T>(x), as<T>(y), x.dims[0], x.dims[1], static_cast<T>(call.attributes[0])});
}

template <class T>
void repeatOverTime(const Call& call) {
  const TensorView &x = call.tensors[0], &y = call.tensors[1];
  forEach(call, y.dims[1], RepeatOverTime<T>{as<T>(x), as<T>(y), y.dims[0], y.dims[1], static_cast<T>(call.attributes[0])});
}

SPIKELOOM_CUDA_KERNEL(kSumOverTime, sumOverTime)
SPIKELOOM_CUDA_KERNEL(kRepeatOverTime, repeatOverTime)

}  // namespace
}  // namespace spikeloom::cuda
