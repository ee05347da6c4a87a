// A block has one sample, a thread of it every kThreads-th neuron, over all T: before a step all neurons of the one before have fired. A
// neuron that fired costs each thread one weight, out of weights that are turned so that neighbouring threads read neighbours. The gradient
// reads all weights at every step; u rests in gx until gx itself takes its place. Spikes and u have the bits of the CPU, unfused.
#include <type_traits>

#include "cuda/elementwise.cuh"
#include "cuda/neuron.cuh"
#include "ops/recurrent_lif/recurrent_lif.h"

extern "C" const spikeloom::Backend* spikeloomBackend();

namespace spikeloom::cuda {
namespace {

// The neurons of all samples; smooth spikes are numbers.
template <class T, bool kSmooth>
struct Layer {
  using Spikes = std::conditional_t<kSmooth, T, uint32_t>;
  int64_t steps, batch, F, words;  // words: of a sample's spikes at a step
  const T *x, *w;
  Spikes* s;
  T *heard, *v, *i;  // heard[g F + f]: by how much f hears g; what is carried from step to step: [B,F]

  Layer(const TensorView& x_, const TensorView& w_, const TensorView& s_)
      : steps(x_.dims[0]), batch(x_.dims[1]), F(x_.dims[2]), words(kSmooth ? F : spikeWords(F)), x(as<T>(x_)), w(as<T>(w_)), s(as<Spikes>(s_)) {}

  // False, with the status set: no memory.
  bool prepare(const Call& call);

  __device__ int64_t row(int64_t t) const { return t * batch + blockIdx.x; }
  __device__ int64_t at(int64_t t, int64_t f) const { return row(t) * F + f; }
  __device__ T spike(int64_t t, int64_t f) const {
    if constexpr (kSmooth) return s[at(t, f)];
    else return (s[row(t) * words + (f >> 5)] >> (f & 31)) & 1u ? T(1) : T(0);
  }
  __device__ T current(int64_t t, int64_t f) const {
    T c = x[at(t, f)];
    const Spikes* const before = s + row(t - 1) * words;
    for (int64_t n = 0; t > 0 && n < words; n++) {
      if constexpr (kSmooth) c += heard[n * F + f] * before[n];
      else for (uint32_t bits = before[n]; bits != 0; bits &= bits - 1) c += heard[(n * 32 + __ffs(static_cast<int>(bits)) - 1) * F + f];
    }
    return c;
  }
  // u of a neuron; `own` is its place among the states.
  template <class Neuron>
  __device__ T charge(const Neuron& neuron, int64_t t, int64_t f, int64_t own) const {
    T now = t > 0 ? i[own] : T(0);
    const T u = neuron.charge(t > 0 ? v[own] : T(0), now, current(t, f));
    i[own] = now;
    return u;
  }
};

template <class T>
struct Turn {
  const T* from;
  T* to;
  int64_t F;

  __device__ void operator()(int64_t at) const { to[at] = from[at % F * F + at / F]; }
};

template <class T, bool kSmooth>
bool Layer<T, kSmooth>::prepare(const Call& call) {
  heard = static_cast<T*>(scratchBytes(call, static_cast<size_t>(F * F + 2 * batch * F) * sizeof(T)));
  if (heard == nullptr) return false;
  v = heard + F * F;
  i = v + batch * F;
  forEach(call, F * F, Turn<T>{w, heard, F});
  return true;
}

template <class T, bool kSmooth, bool kSoft>
__global__ void __launch_bounds__(kThreads) fireKernel(Layer<T, kSmooth> layer, RecurrentNeuron<T, kSmooth, kSoft> neuron,
                                                       AnySurrogate<T> surrogate) {
  waitForKernelsBefore();
  for (int64_t t = 0; t < layer.steps; t++) {
    for (int64_t f = threadIdx.x; (f & ~31) < layer.F; f += kThreads) {  // whole warps
      const int64_t own = blockIdx.x * layer.F + f;
      const bool isThere = f < layer.F;
      const T u = isThere ? layer.charge(neuron, t, f, own) : T(0);
      T now = isThere ? neuron.lif.fire(u) : T(0);
      if constexpr (kSmooth) {
        surrogate.with([&](const auto& form) { now = form.primitive(neuron.lif.distance(u)); });
        if (isThere) layer.s[layer.at(t, f)] = now;
      } else {
        const uint32_t word = __ballot_sync(kWholeWarp, now > 0);
        if ((f & 31) == 0) layer.s[layer.row(t) * layer.words + (f >> 5)] = word;
      }
      if (isThere) layer.v[own] = neuron.lif.reset(u, now);
    }
    __syncthreads();
  }
}

template <class T, bool kSmooth, bool kSoft>
__global__ void __launch_bounds__(kThreads) gradientKernel(Layer<T, kSmooth> layer, RecurrentNeuron<T, kSmooth, kSoft> neuron,
                                                           AnySurrogate<T> surrogate, const T* gs, T* gx) {
  waitForKernelsBefore();
  for (int64_t f = threadIdx.x; f < layer.F; f += kThreads) {
    const int64_t own = blockIdx.x * layer.F + f;
    for (int64_t t = 0; t < layer.steps; t++) {
      const T u = layer.charge(neuron, t, f, own);
      gx[layer.at(t, f)] = u;
      layer.v[own] = neuron.lif.reset(u, layer.spike(t, f));
    }
    layer.v[own] = layer.i[own] = 0;  // from here on gv and gi
  }
  for (int64_t t = layer.steps - 1; t >= 0; t--) {
    for (int64_t f = threadIdx.x; f < layer.F; f += kThreads) {
      const int64_t own = blockIdx.x * layer.F + f, at = layer.at(t, f);
      T arrived = gs[at];
      for (int64_t g = 0; t + 1 < layer.steps && g < layer.F; g++) arrived = multiplyAdd(gx[layer.at(t + 1, g)], layer.w[g * layer.F + f], arrived);
      const T u = gx[at];
      T d = 0;
      surrogate.with([&](const auto& form) { d = form.derivative(neuron.lif.distance(u)) / neuron.lif.vth; });
      gx[at] = neuron.back(arrived, u, layer.spike(t, f), d, layer.v[own], layer.i[own]);
    }
    __syncthreads();
  }
}

template <class T, bool kSmooth, bool kSoft>
void fireAs(const Call& call) {
  const TensorView* t = call.tensors;
  const double* rest = call.attributes + recurrent::kRest;
  Layer<T, kSmooth> layer(t[0], t[1], t[2]);
  if (!layer.prepare(call)) return;
  const AnySurrogate<T> surrogate(kSmooth ? rest[0] : 0, kSmooth ? rest[1] : 1);
  launch(call, fireKernel<T, kSmooth, kSoft>, layer.batch, layer, RecurrentNeuron<T, kSmooth, kSoft>(call.attributes, false), surrogate);
}

template <class T, bool kSmooth, bool kSoft>
void gradientAs(const Call& call) {
  const TensorView* t = call.tensors;
  const double* rest = call.attributes + recurrent::kRest;
  Layer<T, kSmooth> layer(t[1], t[2], t[3]);
  if (!layer.prepare(call)) return;
  const RecurrentNeuron<T, kSmooth, kSoft> neuron(call.attributes, rest[0] != 0);
  launch(call, gradientKernel<T, kSmooth, kSoft>, layer.batch, layer, neuron, AnySurrogate<T>(rest[1], rest[2]), as<T>(t[0]), as<T>(t[4]));
}

template <class T, bool kSmooth = false>
void recurrentLif(const Call& call) {
  if (call.attributes[recurrent::kSoft] != 0) fireAs<T, kSmooth, true>(call);
  else fireAs<T, kSmooth, false>(call);
}

template <class T, bool kSmooth = false>
void recurrentLifGrad(const Call& call) {
  if (call.attributes[recurrent::kSoft] != 0) gradientAs<T, kSmooth, true>(call);
  else gradientAs<T, kSmooth, false>(call);
}

template <class T>
void recurrentLifSmooth(const Call& call) {
  recurrentLif<T, true>(call);
}

template <class T>
void recurrentLifSmoothGrad(const Call& call) {
  recurrentLifGrad<T, true>(call);
}

template <class T>
void recurrentLifGradW(const Call& call) {
  TensorView tensors[4];
  const TensorView& gw = call.tensors[2];
  if (!shiftedByOneStep(call, tensors)) {
    check(call.status, cudaMemsetAsync(gw.data, 0, storedBytes(gw), contextOf(call).streamForOthers()), "clearing memory");
    return;
  }
  Call shifted = call;
  shifted.tensors = tensors;
  spikeloomBackend()->find("linearGradW", gw.dtype)(shifted);
}

SPIKELOOM_CUDA_KERNEL(kRecurrentLif, recurrentLif)
SPIKELOOM_CUDA_KERNEL(kRecurrentLifGrad, recurrentLifGrad)
SPIKELOOM_CUDA_KERNEL(kRecurrentLifGradW, recurrentLifGradW)
SPIKELOOM_CUDA_KERNEL(kRecurrentLifSmooth, recurrentLifSmooth)
SPIKELOOM_CUDA_KERNEL(kRecurrentLifSmoothGrad, recurrentLifSmoothGrad)

}  // namespace
}  // namespace spikeloom::cuda
