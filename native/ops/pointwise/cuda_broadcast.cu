// A thread for each element of z.
#include "cuda/elementwise.cuh"
#include "ops/pointwise/broadcast.h"

namespace spikeloom::cuda {
namespace {

template <class T, class F>
struct Combine {
  const T *x, *y;
  T* z;
  BroadcastAxes axes;
  F f;

  __device__ void operator()(int64_t i) const {
    const auto at = axes.places(i, axes.count);
    z[i] = f(x[at.x], y[at.y]);
  }
};

template <class T>
void broadcast(const Call& call) {
  const TensorView* t = call.tensors;
  const BroadcastAxes axes(t[0], t[1], t[2]);
  withFunction(static_cast<int>(call.attributes[0]), [&](auto f) {
    forEach(call, count(t[2]), Combine<T, decltype(f)>{as<T>(t[0]), as<T>(t[1]), as<T>(t[2]), axes, f});
  });
}

SPIKELOOM_CUDA_KERNEL(kBroadcast, broadcast)

}  // namespace
}  // namespace spikeloom::cuda
