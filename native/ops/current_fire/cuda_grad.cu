// y, the residual, the spikes and their gradient are read once and g is written once: see cuda/fire_grad.cuh.
#include "cuda/fire_grad.cuh"
#include "ops/current_fire/current_fire.h"

namespace spikeloom::cuda {
namespace {

template <class T, class S, class A>
void gradient(const Call& call) {
  const TensorView *in = call.tensors, *out = call.tensors + 14;
  const double* a = call.attributes;
  const Shape5 s = shape5(in[12]);
  FireGradient<T, S, A> all{GateIn<T>(in + 6), Neuron<T>(a[0], a[1], a[2], a[3] != 0, a[4] != 0), AnySurrogate<T>(a[5], a[6])};
  all.logit = as<T>(in[10]);
  all.mean = as<T>(in[13]);
  all.gs = as<A>(in[11]);
  all.s = as<uint32_t>(in[12]);
  all.g = as<S>(out[0]);
  all.learns = out[6].data != nullptr;
  const FireSums<T> sums{as<T>(out[1]), {as<T>(out[2]), as<T>(out[3]), as<T>(out[4]), as<T>(out[5]), as<T>(out[6])}};
  const auto takes = [&]<int N>() { return takesCurrent<S, N>(in[0], in[3]) && takesVectors<N>(s.C, all.gs) && takesVectors<N>(s.C, all.g); };
  fireGradient(call, {s.T, s.B, s.H * s.W, s.C}, all, sums, takes, [&]<int N>() { return Current<T, S, N>(in, in + 3, s.T); });
}

template <class T>
void currentFireGrad(const Call& call) {
  const TensorView* in = call.tensors;
  if (in[14].data && in[14].dtype != in[0].dtype) return fail(call.status, "g has the type of y; make both the same");
  if (!fits(call, in[0], in[3], in[12].dims[0], sizeof(T) == 8)) return;
  withStorage<T>(in[0], [&]<class S>() { withStorage<T>(in[11], [&]<class A>() { gradient<T, S, A>(call); }); });
}

SPIKELOOM_CUDA_KERNEL(kCurrentFireGrad, currentFireGrad)

}  // namespace
}  // namespace spikeloom::cuda
