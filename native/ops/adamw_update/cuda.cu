// Every tensor is read once; w, m and v are written once.
#include "cuda/elementwise.cuh"
#include "cuda/gradient_moments.cuh"
#include "ops/adamw_update/adamw_update.h"

namespace spikeloom::cuda {
namespace {

template <class T>
struct AdamwUpdate {
  GradientMoments<T> moments;
  double weightDecay;

  __device__ void operator()(int64_t i) const {
    if (*moments.isStopped) return;
    const T lr = moments.hyper[0], stay = static_cast<T>(1 - static_cast<double>(lr) * weightDecay);
    const T w = moments.w[i];
    moments.w[i] = adamwWeight(w, moments.update(i), stay, lr);
  }
};

template <class T>
AdamwUpdate<T> bodyOf(const Call& call) {
  return {GradientMoments<T>(call), call.attributes[3]};
}

template <class T>
void adamwUpdate(const Call& call) {
  forEach(call, count(call.tensors[0]), bodyOf<T>(call));
}

template <class T>
void adamwUpdates(const Call* calls, size_t count) {
  forEachOfMany(calls, count, bodyOf<T>);
}

SPIKELOOM_CUDA_KERNEL(kAdamwUpdate, adamwUpdate)
SPIKELOOM_CUDA_MERGED(kAdamwUpdate, adamwUpdates)

}  // namespace
}  // namespace spikeloom::cuda
