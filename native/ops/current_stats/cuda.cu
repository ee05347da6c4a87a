// y and the residual are read once: see cuda/statistics.cuh.
#include "cuda/statistics.cuh"
#include "ops/current_stats/current_stats.h"

namespace spikeloom::cuda {
namespace {

template <class T, class S, int N>
void statisticsOf(const Call& call) {
  const TensorView* v = call.tensors;
  Shape5 shape = shape5(v[0]);
  shape.T = v[6].dims[0];
  statistics(call, Current<T, S, N>(v, v + 3, shape.T), shape, v + 6);
}

template <class T>
void currentStats(const Call& call) {
  const TensorView* v = call.tensors;
  if (!fits(call, v[0], v[3], v[6].dims[0], sizeof(T) == 8)) return;
  withStorage<T>(v[0], [&]<class S>() {
    if (takesCurrent<S, kVector<S>>(v[0], v[3])) statisticsOf<T, S, kVector<S>>(call);
    else statisticsOf<T, S, 1>(call);
  });
}

SPIKELOOM_CUDA_KERNEL(kCurrentStats, currentStats)

}  // namespace
}  // namespace spikeloom::cuda
