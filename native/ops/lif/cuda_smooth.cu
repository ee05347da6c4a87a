// lifSmooth and its gradient, which serve tests only: a thread per neuron, over all T. u rests in gx until gx itself takes its place.
#include "cuda/elementwise.cuh"
#include "cuda/neuron.cuh"
#include "cuda/reduce.cuh"
#include "ops/lif/lif.h"

namespace spikeloom::cuda {
namespace {

template <class T, bool kSoft>
struct SmoothLif {
  const T *x, *v0, *logit;
  T *s, *last;
  int64_t steps, elements;
  LifNeuron<T, true, kSoft> neuron;
  AnySurrogate<T> surrogate;

  __device__ void operator()(int64_t i) const {
    LifNeuron<T, true, kSoft> own = neuron;
    if (logit) own.decay = static_cast<T>(learnedDecay(logit));
    T v = v0 ? v0[i] : T(0);
    for (int64_t t = 0; t < steps; t++) {
      const T u = own.charge(v, x[t * elements + i]);
      T now = 0;
      surrogate.with([&](const auto& form) { now = form.primitive(own.distance(u)); });
      s[t * elements + i] = now;
      v = own.reset(u, now);
    }
    if (last) last[i] = v;
  }
};

// Sums gu v[t-1] over the neurons; gx and gv0 are written on the way.
template <class T, bool kSoft>
struct SmoothLifGradient {
  static constexpr int kSums = 1;
  const T *gs, *gv, *x, *s, *v0, *logit;
  T *gx, *gv0;
  int64_t steps, elements;
  LifNeuron<T, true, kSoft> neuron;
  AnySurrogate<T> surrogate;

  __device__ void operator()(int64_t i, double (&sums)[1]) const {
    LifNeuron<T, true, kSoft> own = neuron;
    if (logit) own.decay = static_cast<T>(learnedDecay(logit));
    const T start = v0 ? v0[i] : T(0);
    T v = start;
    for (int64_t t = 0, at = i; t < steps; t++, at += elements) {
      gx[at] = own.charge(v, x[at]);
      v = own.reset(gx[at], s[at]);
    }
    T G = gv ? gv[i] : T(0);
    for (int64_t t = steps - 1; t >= 0; t--) {
      const int64_t at = t * elements + i;
      const T u = gx[at];
      T d = 0;
      surrogate.with([&](const auto& form) { d = form.derivative(own.distance(u)) / own.vth; });
      const T gu = own.gradient(gs ? gs[at] : T(0), G, u, s[at], d);
      gx[at] = gu;
      G = own.decay * gu;
      const T before = t > 0 ? own.reset(gx[at - elements], s[at - elements]) : start;
      sums[0] += static_cast<double>(gu) * static_cast<double>(before);
    }
    if (gv0) gv0[i] = G;
  }
};

template <class T>
struct PutLogit {
  const T* logit;
  T* glogit;

  __device__ void operator()(int64_t, const double (&sums)[1]) const {
    if (!glogit) return;
    *glogit = static_cast<T>(logitGradient(sums[0], learnedDecay(logit)));
  }
};

template <class T, bool kSoft>
void smooth(const Call& call) {
  const TensorView *in = call.tensors, *out = call.tensors + 3;
  const double* a = call.attributes;
  const int64_t steps = in[0].dims[0], elements = count(in[0]) / steps;
  forEach(call, elements, SmoothLif<T, kSoft>{as<T>(in[0]), as<T>(in[1]), as<T>(in[2]), as<T>(out[0]), as<T>(out[1]), steps, elements,
                                              LifNeuron<T, true, kSoft>(a[0], a[1], a[2], false), AnySurrogate<T>(a[4], a[5])});
}

template <class T, bool kSoft>
void smoothGrad(const Call& call) {
  const TensorView *in = call.tensors, *out = call.tensors + 6;
  const double* a = call.attributes;
  const int64_t steps = in[2].dims[0], elements = count(in[2]) / steps;
  double* parts = static_cast<double*>(scratchBytes(call, totalsBytes(elements, 1)));
  if (parts == nullptr) return;
  const SmoothLifGradient<T, kSoft> gradient{as<T>(in[0]), as<T>(in[1]), as<T>(in[2]), as<T>(in[3]), as<T>(in[4]), as<T>(in[5]), as<T>(out[0]),
                                             as<T>(out[1]), steps, elements, LifNeuron<T, true, kSoft>(a[0], a[1], a[2], a[4] != 0),
                                             AnySurrogate<T>(a[5], a[6])};
  totals(call, elements, parts, gradient, PutLogit<T>{as<T>(in[5]), as<T>(out[2])});
}

template <class T>
void lifSmooth(const Call& call) {
  if (call.attributes[3] != 0) smooth<T, true>(call);
  else smooth<T, false>(call);
}

template <class T>
void lifSmoothGrad(const Call& call) {
  if (call.attributes[3] != 0) smoothGrad<T, true>(call);
  else smoothGrad<T, false>(call);
}

SPIKELOOM_CUDA_KERNEL(kLifSmooth, lifSmooth)
SPIKELOOM_CUDA_KERNEL(kLifSmoothGrad, lifSmoothGrad)

}  // namespace
}  // namespace spikeloom::cuda
