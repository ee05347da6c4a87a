// adaptiveLifSmooth and its gradient, which serve tests only: a thread per neuron, over all T. u rests in gx until gx itself takes its place;
// a is computed anew from the spikes for every step.
#include "cuda/elementwise.cuh"
#include "cuda/neuron.cuh"
#include "ops/adaptive_lif/adaptive_lif.h"

namespace spikeloom::cuda {
namespace {

template <class T, bool kSoft>
struct SmoothAdaptiveLif {
  const T* x;
  T* s;
  int64_t steps, elements;
  AdaptiveNeuron<T, true, kSoft> neuron;
  AnySurrogate<T> surrogate;

  __device__ void operator()(int64_t first) const {
    T v = 0, i = 0, a = 0;
    for (int64_t t = 0, at = first; t < steps; t++, at += elements) {
      i = neuron.current(i, x[at]);
      const T u = neuron.lif.charge(v, i);
      T now = 0;
      surrogate.with([&](const auto& form) { now = form.primitive(neuron.distance(u, a)); });
      s[at] = now;
      v = neuron.lif.reset(u, now);
      a = neuron.adapt(a, now);
    }
  }
};

template <class T, bool kSoft>
struct SmoothAdaptiveLifGradient {
  const T *gs, *x, *s;
  T* gx;
  int64_t steps, elements;
  AdaptiveNeuron<T, true, kSoft> neuron;
  AnySurrogate<T> surrogate;

  __device__ void operator()(int64_t first) const {
    T v = 0, i = 0;
    for (int64_t t = 0, at = first; t < steps; t++, at += elements) {
      i = neuron.current(i, x[at]);
      gx[at] = neuron.lif.charge(v, i);
      v = neuron.lif.reset(gx[at], s[at]);
    }
    T gv = 0, gi = 0, ga = 0;
    for (int64_t t = steps - 1, at = first + t * elements; t >= 0; t--, at -= elements) {
      T a = 0;
      for (int64_t before = first; before < at; before += elements) a = neuron.adapt(a, s[before]);
      const T u = gx[at];
      T d = 0;
      surrogate.with([&](const auto& form) { d = form.derivative(neuron.distance(u, a)) / neuron.lif.vth; });
      gx[at] = neuron.back(gs[at], u, s[at], d, gv, gi, ga);
    }
  }
};

template <class T, bool kSoft>
void smooth(const Call& call) {
  const TensorView* t = call.tensors;
  const double* rest = call.attributes + adaptive::kRest;
  const int64_t steps = t[0].dims[0], elements = count(t[0]) / steps;
  const AdaptiveNeuron<T, true, kSoft> neuron(call.attributes, false);
  forEach(call, elements,
          SmoothAdaptiveLif<T, kSoft>{as<T>(t[0]), as<T>(t[1]), steps, elements, neuron, AnySurrogate<T>(rest[0], rest[1])});
}

template <class T, bool kSoft>
void smoothGrad(const Call& call) {
  const TensorView* t = call.tensors;
  const double* rest = call.attributes + adaptive::kRest;
  const int64_t steps = t[1].dims[0], elements = count(t[1]) / steps;
  forEach(call, elements,
          SmoothAdaptiveLifGradient<T, kSoft>{as<T>(t[0]), as<T>(t[1]), as<T>(t[2]), as<T>(t[3]), steps, elements,
                                              AdaptiveNeuron<T, true, kSoft>(call.attributes, rest[0] != 0), AnySurrogate<T>(rest[1], rest[2])});
}

template <class T>
void adaptiveLifSmooth(const Call& call) {
  if (call.attributes[adaptive::kSoft] != 0) smooth<T, true>(call);
  else smooth<T, false>(call);
}

template <class T>
void adaptiveLifSmoothGrad(const Call& call) {
  if (call.attributes[adaptive::kSoft] != 0) smoothGrad<T, true>(call);
  else smoothGrad<T, false>(call);
}

SPIKELOOM_CUDA_KERNEL(kAdaptiveLifSmooth, adaptiveLifSmooth)
SPIKELOOM_CUDA_KERNEL(kAdaptiveLifSmoothGrad, adaptiveLifSmoothGrad)

}  // namespace
}  // namespace spikeloom::cuda
