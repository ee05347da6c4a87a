// The smooth neuron, for finite differences in tests: element by element, in the scalar arithmetic of adaptive_lif.h.
#include "core/registry.h"
#include "core/tensor.h"
#include "cpu/parallel.h"
#include "ops/adaptive_lif/adaptive_lif.h"

namespace spikeloom {
namespace {

constexpr int64_t kGrain = 1024;

// body(neuron, surrogate, i) for every neuron i; `rest` of the attributes begins with the surrogate.
template <class T, bool kSoft, class F>
void eachNeuron(const Call& call, const double* rest, bool detachReset, int64_t elements, F&& body) {
  const AdaptiveNeuron<T, true, kSoft> neuron(call.attributes, detachReset);
  withSurrogate<T>(static_cast<Surrogate>(static_cast<int>(rest[0])), rest[1], [&](const auto& surrogate) {
    parallelRange(call, elements, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) body(neuron, surrogate, i);
    });
  });
}

template <class T, bool kSoft>
void forward(const Call& call) {
  const T* x = as<T>(call.tensors[0]);
  T* s = as<T>(call.tensors[1]);
  const int64_t steps = call.tensors[0].dims[0], elements = count(call.tensors[0]) / steps;
  const auto body = [&](const auto& neuron, const auto& surrogate, int64_t first) {
    T v = 0, i = 0, a = 0;
    for (int64_t t = 0, at = first; t < steps; t++, at += elements) {
      i = neuron.current(i, x[at]);
      const T u = neuron.lif.charge(v, i);
      s[at] = surrogate.primitive(neuron.distance(u, a));
      v = neuron.lif.reset(u, s[at]);
      a = neuron.adapt(a, s[at]);
    }
  };
  eachNeuron<T, kSoft>(call, call.attributes + adaptive::kRest, false, elements, body);
}

// u rests in gx until gx itself takes its place, a in memory of its own.
template <class T, bool kSoft>
void gradient(const Call& call) {
  const T *gs = as<T>(call.tensors[0]), *x = as<T>(call.tensors[1]), *s = as<T>(call.tensors[2]);
  T* gx = as<T>(call.tensors[3]);
  const double* rest = call.attributes + adaptive::kRest;
  const int64_t steps = call.tensors[1].dims[0], elements = count(call.tensors[1]) / steps;
  T* const held = scratch<T>(call, 0, 0, steps * elements);
  const auto body = [&](const auto& neuron, const auto& surrogate, int64_t first) {
    T v = 0, i = 0, a = 0;
    for (int64_t t = 0, at = first; t < steps; t++, at += elements) {
      i = neuron.current(i, x[at]);
      gx[at] = neuron.lif.charge(v, i);
      held[at] = a;
      v = neuron.lif.reset(gx[at], s[at]);
      a = neuron.adapt(a, s[at]);
    }
    T gv = 0, gi = 0, ga = 0;
    for (int64_t t = steps - 1, at = first + t * elements; t >= 0; t--, at -= elements) {
      const T d = surrogate.derivative(neuron.distance(gx[at], held[at])) / neuron.lif.vth;
      gx[at] = neuron.back(gs[at], gx[at], s[at], d, gv, gi, ga);
    }
  };
  eachNeuron<T, kSoft>(call, rest + 1, rest[0] != 0, elements, body);
}

template <class T>
void adaptiveLifSmooth(const Call& call) {
  if (call.attributes[adaptive::kSoft] != 0) forward<T, true>(call);
  else forward<T, false>(call);
}

template <class T>
void adaptiveLifSmoothGrad(const Call& call) {
  if (call.attributes[adaptive::kSoft] != 0) gradient<T, true>(call);
  else gradient<T, false>(call);
}

[[maybe_unused]] const bool kRegistered[] = {
    registerCpuKernel(kAdaptiveLifSmooth, Level::baseline, adaptiveLifSmooth<float>, adaptiveLifSmooth<double>),
    registerCpuKernel(kAdaptiveLifSmoothGrad, Level::baseline, adaptiveLifSmoothGrad<float>, adaptiveLifSmoothGrad<double>),
};

}  // namespace
}  // namespace spikeloom
