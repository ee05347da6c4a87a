// What is the same at every level: gw, which is linear's gradient of shifted steps, and the smooth neurons, for finite
// differences in tests: element by element, in the scalar arithmetic of recurrent_lif.h.
#include <algorithm>

#include "core/registry.h"
#include "core/tensor.h"
#include "cpu/backend.h"
#include "cpu/parallel.h"
#include "ops/recurrent_lif/recurrent_lif.h"

namespace spikeloom {
namespace {

template <class T>
void recurrentLifGradW(const Call& call) {
  TensorView tensors[4];
  const TensorView& gw = call.tensors[2];
  if (!shiftedByOneStep(call, tensors)) return void(std::fill_n(as<T>(gw), count(gw), T(0)));
  Call shifted = call;
  shifted.tensors = tensors;
  cpuBackend()->find("linearGradW", gw.dtype)(shifted);
}

// The smooth neurons of one sample.
template <class T, bool kSoft>
struct SmoothSample {
  const RecurrentNeuron<T, true, kSoft> neuron;
  int64_t steps, batch, F, b;
  const T *x, *w;

  int64_t at(int64_t t, int64_t f) const { return (t * batch + b) * F + f; }

  // Hands out u of every step and neuron: settle(at, u) gives the neuron's s.
  template <class Settle>
  void run(const Call& call, int thread, const T* s, Settle&& settle) const {
    T *v = scratch<T>(call, thread, 0, 2 * F), *i = v + F;
    std::fill_n(v, 2 * F, T(0));
    for (int64_t t = 0; t < steps; t++) {
      for (int64_t f = 0; f < F; f++) {
        T c = x[at(t, f)];
        for (int64_t g = 0; t > 0 && g < F; g++) c += w[f * F + g] * s[at(t - 1, g)];
        const T u = neuron.charge(v[f], i[f], c);
        v[f] = neuron.lif.reset(u, settle(at(t, f), u));
      }
    }
  }
};

// body(sample, surrogate, thread) for every sample; `rest` of the attributes begins with the surrogate.
template <class T, bool kSoft, class F>
void eachSample(const Call& call, const TensorView& x, const TensorView& w, const double* rest, bool detachReset, F&& body) {
  const RecurrentNeuron<T, true, kSoft> neuron(call.attributes, detachReset);
  withSurrogate<T>(static_cast<Surrogate>(static_cast<int>(rest[0])), rest[1], [&](const auto& surrogate) {
    parallelFor(call, x.dims[1], [&](int64_t b, int thread) {
      body(SmoothSample<T, kSoft>{neuron, x.dims[0], x.dims[1], x.dims[2], b, as<T>(x), as<T>(w)}, surrogate, thread);
    });
  });
}

template <class T, bool kSoft>
void forward(const Call& call) {
  const TensorView* t = call.tensors;
  T* s = as<T>(t[2]);
  eachSample<T, kSoft>(call, t[0], t[1], call.attributes + recurrent::kRest, false, [&](const auto& sample, const auto& surrogate, int thread) {
    sample.run(call, thread, s, [&](int64_t at, T u) { return s[at] = surrogate.primitive(sample.neuron.lif.distance(u)); });
  });
}

// u rests in gx until gx itself takes its place.
template <class T, bool kSoft>
void gradient(const Call& call) {
  const TensorView* in = call.tensors;
  const T *gs = as<T>(in[0]), *s = as<T>(in[3]);
  T* gx = as<T>(in[4]);
  const double* rest = call.attributes + recurrent::kRest;
  eachSample<T, kSoft>(call, in[1], in[2], rest + 1, rest[0] != 0, [&](const auto& sample, const auto& surrogate, int thread) {
    sample.run(call, thread, s, [&](int64_t at, T u) {
      gx[at] = u;
      return s[at];
    });
    const int64_t F = sample.F;
    T *gv = scratch<T>(call, thread, 0, 2 * F), *gi = gv + F;
    std::fill_n(gv, 2 * F, T(0));
    for (int64_t t = sample.steps - 1; t >= 0; t--) {
      for (int64_t f = 0; f < F; f++) {
        const int64_t at = sample.at(t, f);
        T arrived = gs[at];
        for (int64_t g = 0; t + 1 < sample.steps && g < F; g++) arrived += gx[sample.at(t + 1, g)] * sample.w[g * F + f];
        const T d = surrogate.derivative(sample.neuron.lif.distance(gx[at])) / sample.neuron.lif.vth;
        gx[at] = sample.neuron.back(arrived, gx[at], s[at], d, gv[f], gi[f]);
      }
    }
  });
}

template <class T>
void recurrentLifSmooth(const Call& call) {
  if (call.attributes[recurrent::kSoft] != 0) forward<T, true>(call);
  else forward<T, false>(call);
}

template <class T>
void recurrentLifSmoothGrad(const Call& call) {
  if (call.attributes[recurrent::kSoft] != 0) gradient<T, true>(call);
  else gradient<T, false>(call);
}

[[maybe_unused]] const bool kRegistered[] = {
    registerCpuKernel(kRecurrentLifGradW, Level::baseline, recurrentLifGradW<float>, recurrentLifGradW<double>),
    registerCpuKernel(kRecurrentLifSmooth, Level::baseline, recurrentLifSmooth<float>, recurrentLifSmooth<double>),
    registerCpuKernel(kRecurrentLifSmoothGrad, Level::baseline, recurrentLifSmoothGrad<float>, recurrentLifSmoothGrad<double>),
};

}  // namespace
}  // namespace spikeloom
