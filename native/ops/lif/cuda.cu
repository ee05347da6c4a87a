// x is read once and the spikes are written once (cuda/fire.cuh); the gradient reads x, the spikes and gs once and writes gx once
// (cuda/fire_grad.cuh, which says what long runs cost). The arithmetic is that of lif.h, unfused, so u has the bits of the CPU; the usual
// neuron's gradient fuses products.
#include "cuda/fire.cuh"
#include "cuda/fire_grad.cuh"
#include "ops/lif/lif.h"

namespace spikeloom::cuda {
namespace {

// x as one picture of all pixels.
FireSizes sizesOf(const TensorView& x) { return {x.dims[0], 1, pixels(x) / x.dims[0], channels(x)}; }

template <class T, class X>
void fire(const Call& call) {
  constexpr int N = kVector<X>;
  const TensorView *in = call.tensors, *out = call.tensors + 3;
  const double* a = call.attributes;
  const FireSizes s = sizesOf(in[0]);
  const FireRest<T> rest{GateIn<T>(), Neuron<T>(a[0], a[1], a[2], a[3] != 0, false), as<T>(in[2]), as<T>(in[1]), as<T>(out[1]), as<uint32_t>(out[0])};
  const bool vectors = takesVectors<N>(s.C, as<X>(in[0])) && takesVectors<N>(s.C, rest.v0) && takesVectors<N>(s.C, rest.last);
  fireCurrent<T, X>(call, s, vectors, rest, [&]<int kN>() { return Current<T, X, kN>(in[0]); });
}

template <class T>
void lif(const Call& call) {
  withStorage<T>(call.tensors[0], [&]<class X>() { fire<T, X>(call); });
}

template <class T, class X>
void gradient(const Call& call) {
  const TensorView *in = call.tensors, *out = call.tensors + 6;
  const double* a = call.attributes;
  const FireSizes s = sizesOf(in[2]);
  FireGradient<T, X, X> all{GateIn<T>(), Neuron<T>(a[0], a[1], a[2], a[3] != 0, a[4] != 0), AnySurrogate<T>(a[5], a[6])};
  all.logit = as<T>(in[5]);
  all.v0 = as<T>(in[4]);
  all.gv = as<T>(in[1]);
  all.gs = as<X>(in[0]);
  all.s = as<uint32_t>(in[3]);
  all.g = as<X>(out[0]);
  all.gv0 = as<T>(out[1]);
  all.learns = out[2].data != nullptr;
  const FireSums<T> sums{nullptr, {nullptr, nullptr, nullptr, nullptr, as<T>(out[2])}};
  const auto takes = [&]<int N>() {
    const auto each = [&](const auto*... p) { return (takesVectors<N>(s.C, p) && ...); };
    return each(as<X>(in[2]), all.v0, all.gv, all.gs, all.g, all.gv0);
  };
  fireGradient(call, s, all, sums, takes, [&]<int N>() { return Current<T, X, N>(in[2]); });
}

template <class T>
void lifGrad(const Call& call) {
  const TensorView &gs = call.tensors[0], &x = call.tensors[2];
  if (call.tensors[6].dtype != x.dtype || (gs.data && gs.dtype != x.dtype)) return fail(call.status, "gs and gx have the type of x; make them the same");
  withStorage<T>(x, [&]<class X>() { gradient<T, X>(call); });
}

SPIKELOOM_CUDA_KERNEL(kLif, lif)
SPIKELOOM_CUDA_KERNEL(kLifGrad, lifGrad)

}  // namespace
}  // namespace spikeloom::cuda
