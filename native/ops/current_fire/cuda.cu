// y and the residual are read once, the spikes are written once: see cuda/fire.cuh.
#include "cuda/fire.cuh"
#include "ops/current_fire/current_fire.h"

namespace spikeloom::cuda {
namespace {

template <class T>
void currentFire(const Call& call) {
  const TensorView* in = call.tensors;
  const double* a = call.attributes;
  const Shape5 s = shape5(in[11]);
  if (!fits(call, in[0], in[3], s.T, sizeof(T) == 8)) return;
  const Neuron<T> neuron(a[0], a[1], a[2], a[3] != 0, false);
  const FireRest<T> rest{GateIn<T>(in + 6), neuron, as<T>(in[10]), nullptr, nullptr, as<uint32_t>(in[11])};
  withStorage<T>(in[0], [&]<class S>() {
    fireCurrent<T, S>(call, {s.T, s.B, s.H * s.W, s.C}, takesCurrent<S, kVector<S>>(in[0], in[3]), rest,
                      [&]<int N>() { return Current<T, S, N>(in, in + 3, s.T); });
  });
}

SPIKELOOM_CUDA_KERNEL(kCurrentFire, currentFire)

}  // namespace
}  // namespace spikeloom::cuda
