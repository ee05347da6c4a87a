// The smooth neuron, for finite differences in tests: element by element, in the scalar arithmetic of
// core/lif_neuron.h.
#include "core/registry.h"
#include "core/tensor.h"
#include "cpu/parallel.h"
#include "ops/lif/lif.h"

namespace spikeloom {
namespace {

constexpr int64_t kGrain = 1024;

template <class T>
T at(const T* data, int64_t i) {
  return data == nullptr ? T(0) : data[i];
}

template <class T>
double decayIn(const TensorView& logit, const Call& call) {
  return decayOf(logit, call.attributes[0], sizeof(T) == 8);
}

template <class T, bool kSoft>
void forward(const Call& call) {
  const TensorView *in = call.tensors, *out = call.tensors + 3;
  const double* a = call.attributes;
  const LifNeuron<T, true, kSoft> neuron(decayIn<T>(in[2], call), a[1], a[2], false);
  const int64_t steps = in[0].dims[0], elements = count(in[0]) / steps;
  withSurrogate<T>(static_cast<Surrogate>(static_cast<int>(a[4])), a[5], [&](const auto& surrogate) {
    parallelRange(call, elements, kGrain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        T v = at(as<T>(in[1]), i);
        for (int64_t t = 0; t < steps; t++) {
          const T u = neuron.charge(v, as<T>(in[0])[t * elements + i]);
          const T s = surrogate.primitive(neuron.distance(u));
          as<T>(out[0])[t * elements + i] = s;
          v = neuron.reset(u, s);
        }
        if (out[1].data != nullptr) as<T>(out[1])[i] = v;
      }
    });
  });
}

// Back through time for one neuron; returns its part of dL/ddecay.
template <class T, bool kSoft, class Form>
double backward(const Call& call, const LifNeuron<T, true, kSoft>& neuron, const Form& surrogate, int64_t i, int64_t steps,
                int64_t elements, T* u) {
  const TensorView *in = call.tensors, *out = call.tensors + 6;
  const T start = at(as<T>(in[4]), i);
  const auto fired = [&](int64_t t) { return as<T>(in[3])[t * elements + i]; };
  const auto before = [&](int64_t t) { return t > 0 ? neuron.reset(u[t - 1], fired(t - 1)) : start; };
  for (int64_t t = 0; t < steps; t++) u[t] = neuron.charge(before(t), as<T>(in[2])[t * elements + i]);
  T G = at(as<T>(in[1]), i);
  double sum = 0;
  for (int64_t t = steps - 1; t >= 0; t--) {
    const T d = surrogate.derivative(neuron.distance(u[t])) / neuron.vth;
    const T gu = neuron.gradient(at(as<T>(in[0]), t * elements + i), G, u[t], fired(t), d);
    as<T>(out[0])[t * elements + i] = gu;
    sum += static_cast<double>(gu) * static_cast<double>(before(t));
    G = neuron.decay * gu;
  }
  if (out[1].data != nullptr) as<T>(out[1])[i] = G;
  return sum;
}

template <class T, bool kSoft>
void gradient(const Call& call) {
  const TensorView& x = call.tensors[2];
  const double* a = call.attributes;
  const double decay = decayIn<T>(call.tensors[5], call);
  const LifNeuron<T, true, kSoft> neuron(decay, a[1], a[2], a[4] != 0);
  const int64_t steps = x.dims[0], elements = count(x) / steps;
  double sum = 0;
  withSurrogate<T>(static_cast<Surrogate>(static_cast<int>(a[5])), a[6], [&](const auto& surrogate) {
    T* u = scratch<T>(call, 0, 0, steps);
    for (int64_t i = 0; i < elements; i++) sum += backward<T, kSoft>(call, neuron, surrogate, i, steps, elements, u);
  });
  if (call.tensors[8].data != nullptr) *as<T>(call.tensors[8]) = static_cast<T>(logitGradient(sum, decay));
}

template <class T>
void lifSmooth(const Call& call) {
  if (call.attributes[3] != 0) forward<T, true>(call);
  else forward<T, false>(call);
}

template <class T>
void lifSmoothGrad(const Call& call) {
  if (call.attributes[3] != 0) gradient<T, true>(call);
  else gradient<T, false>(call);
}

[[maybe_unused]] const bool kRegistered[] = {
    registerCpuKernel(kLifSmooth, Level::baseline, lifSmooth<float>, lifSmooth<double>),
    registerCpuKernel(kLifSmoothGrad, Level::baseline, lifSmoothGrad<float>, lifSmoothGrad<double>),
};

}  // namespace
}  // namespace spikeloom
