// A thread per number, written once.
#include "cuda/elementwise.cuh"
#include "cuda/labels.cuh"
#include "ops/one_hot/one_hot.h"

namespace spikeloom::cuda {
namespace {

template <class T>
struct OneHot {
  const int32_t* labels;
  T* y;
  int64_t K;

  __device__ void operator()(int64_t i) const {
    const Division at = divide(i, K);
    y[i] = labels[at.quotient] == at.rest ? T(1) : T(0);
  }
};

template <class T>
void oneHot(const Call& call) {
  const TensorView &labels = call.tensors[0], &y = call.tensors[1];
  checkLabels(call, "oneHot", labels, y.dims[1]);
  forEach(call, count(y), OneHot<T>{as<int32_t>(labels), as<T>(y), y.dims[1]});
}

SPIKELOOM_CUDA_KERNEL(kOneHot, oneHot)

}  // namespace
}  // namespace spikeloom::cuda
