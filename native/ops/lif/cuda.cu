// One warp per word of 32 channels of a pixel, one lane per channel, the loop over T inside: the membrane stays in a register and a
// ballot packs the spikes. x is read once and s written once (forward).
// Gradient: x, s and gs are read once and gx written once; u of up to kHeld steps stays in registers, for longer runs it rests in gx
// until gx itself takes its place, which costs one more write and read of gx.
// The arithmetic is that of lif.h, unfused, so u has the bits of the CPU. lifSmooth serves tests of the CPU only and has no kernel here.
// Never run on a GPU yet.
#include "cuda/reduce.cuh"
#include "ops/lif/lif.h"

namespace spikeloom::cuda {
namespace {

constexpr int kHeld = 4;

// The lane's place: word of the step, element of the step.
struct Place {
  int64_t word, element;
  bool inside;  // false: past the last channel or word; the lane still votes

  __device__ Place(int64_t words, int64_t perPixel, int64_t channels) {
    word = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / 32;
    const int64_t channel = word % perPixel * 32 + threadIdx.x % 32;
    element = word / perPixel * channels + channel;
    inside = word < words && channel < channels;
  }
};

struct Sizes {
  int64_t steps, elements, words, perPixel, channels;

  explicit Sizes(const TensorView& x)
      : steps(x.dims[0]), elements(count(x) / steps), words(0), perPixel(0), channels(spikeloom::channels(x)) {
    perPixel = spikeWords(channels);
    words = elements / channels * perPixel;
  }
  int64_t blocks() const { return blocksFor(words * 32); }
};

template <class T>
__device__ double learnedDecay(const T* logit) {
  return 1 / (1 + exp(-static_cast<double>(*logit)));
}

template <class T, bool kSoft>
__global__ void lifKernel(const T* x, const T* v0, const T* logit, uint32_t* s, T* last, Sizes g, LifNeuron<T, false, kSoft> neuron) {
  const Place at(g.words, g.perPixel, g.channels);
  if (at.word >= g.words) return;  // the whole warp
  if (logit) neuron.decay = static_cast<T>(learnedDecay(logit));
  T v = at.inside && v0 ? v0[at.element] : T(0);
  for (int64_t t = 0; t < g.steps; t++) {
    const T u = neuron.charge(v, at.inside ? x[t * g.elements + at.element] : T(0));
    const T fired = at.inside ? neuron.fire(u) : T(0);
    v = neuron.reset(u, fired);
    const uint32_t bits = __ballot_sync(0xffffffffu, fired > 0);
    if (threadIdx.x % 32 == 0) s[t * g.words + at.word] = bits;
  }
  if (last && at.inside) last[at.element] = v;
}

template <class T>
struct GradientArguments {
  const T *gs, *gv, *x, *v0, *logit;
  const uint32_t* s;
  T *gx, *gv0;
  double* parts;  // one a block: its sum of gu v[t-1]; null: not wanted
};

// u of all steps: in registers, or in gx.
template <class T, bool kInRegisters>
struct Membranes {
  T held[kInRegisters ? kHeld : 1];
  T* rest;
  int64_t stride;

  __device__ void set(int64_t t, T u) {
    if constexpr (kInRegisters) {
#pragma unroll
      for (int k = 0; k < kHeld; k++) {
        if (k == t) held[k] = u;
      }
    } else {
      rest[t * stride] = u;
    }
  }
  __device__ T get(int64_t t) const {
    if constexpr (kInRegisters) {
      T u = held[0];
#pragma unroll
      for (int k = 1; k < kHeld; k++) {
        if (k == t) u = held[k];
      }
      return u;
    } else {
      return rest[t * stride];
    }
  }
};

// Back through time for one neuron; returns its sum of gu v[t-1].
template <class T, bool kSoft, bool kInRegisters, class S>
__device__ double backward(const GradientArguments<T>& a, const Sizes& g, const Place& at, const LifNeuron<T, false, kSoft>& neuron, const S& surrogate) {
  const int lane = threadIdx.x % 32;
  const auto fired = [&](int64_t t) { return static_cast<T>((a.s[t * g.words + at.word] >> lane) & 1u); };
  const T start = a.v0 ? a.v0[at.element] : T(0);
  Membranes<T, kInRegisters> u;
  u.rest = a.gx + at.element;
  u.stride = g.elements;
  T v = start;
  for (int64_t t = 0; t < g.steps; t++) {
    const T now = neuron.charge(v, a.x[t * g.elements + at.element]);
    u.set(t, now);
    v = neuron.reset(now, fired(t));
  }
  T G = a.gv ? a.gv[at.element] : T(0);
  double sum = 0;
  for (int64_t t = g.steps - 1; t >= 0; t--) {
    const T ut = u.get(t);
    const T gs = a.gs ? a.gs[t * g.elements + at.element] : T(0);
    const T d = surrogate.derivative(neuron.distance(ut)) / neuron.vth;
    const T gu = neuron.gradient(gs, G, ut, fired(t), d);
    a.gx[t * g.elements + at.element] = gu;
    G = neuron.decay * gu;
    if (a.parts) sum += static_cast<double>(gu) * static_cast<double>(t > 0 ? neuron.reset(u.get(t - 1), fired(t - 1)) : start);
  }
  if (a.gv0) a.gv0[at.element] = G;
  return sum;
}

template <class T, bool kSoft, bool kInRegisters, class S>
__global__ void lifGradKernel(GradientArguments<T> a, Sizes g, LifNeuron<T, false, kSoft> neuron, S surrogate) {
  __shared__ double sums[kWarps];
  const Place at(g.words, g.perPixel, g.channels);
  if (a.logit) neuron.decay = static_cast<T>(learnedDecay(a.logit));
  const double sum = at.inside ? backward<T, kSoft, kInRegisters>(a, g, at, neuron, surrogate) : 0;
  if (!a.parts) return;
  const double total = blockSum(sum, sums);
  if (threadIdx.x == 0) a.parts[blockIdx.x] = total;
}

template <class T>
__global__ void logitGradKernel(const double* parts, int64_t n, const T* logit, T* glogit) {
  __shared__ double sums[kWarps];
  double sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += kThreads) sum += parts[i];
  const double total = blockSum(sum, sums);
  if (threadIdx.x != 0) return;
  const double decay = learnedDecay(logit);
  *glogit = static_cast<T>(total * decay * (1 - decay));
}

template <class T, bool kSoft>
void forward(const Call& call) {
  const TensorView* t = call.tensors;
  const double* a = call.attributes;
  const Sizes g(t[0]);
  launch(call, lifKernel<T, kSoft>, g.blocks(), as<T>(t[0]), as<T>(t[1]), as<T>(t[2]), as<uint32_t>(t[3]), as<T>(t[4]), g,
         LifNeuron<T, false, kSoft>(a[0], a[1], a[2], false));
}

template <class T>
void lif(const Call& call) {
  if (call.attributes[3] != 0) forward<T, true>(call);
  else forward<T, false>(call);
}

template <class T, bool kSoft>
void gradient(const Call& call) {
  const TensorView* t = call.tensors;
  const double* a = call.attributes;
  const Sizes g(t[2]);
  T* glogit = as<T>(t[8]);
  double* parts = nullptr;
  if (glogit) {
    parts = static_cast<double*>(scratchBytes(call, static_cast<size_t>(g.blocks()) * sizeof(double)));
    if (!parts) return;
  }
  const GradientArguments<T> arguments{as<T>(t[0]), as<T>(t[1]),        as<T>(t[2]), as<T>(t[4]), as<T>(t[5]),
                                       as<uint32_t>(t[3]), as<T>(t[6]), as<T>(t[7]), parts};
  const LifNeuron<T, false, kSoft> neuron(a[0], a[1], a[2], a[4] != 0);
  withSurrogate<T>(static_cast<Surrogate>(static_cast<int>(a[5])), a[6], [&](const auto& surrogate) {
    using S = std::remove_cvref_t<decltype(surrogate)>;
    if (g.steps <= kHeld) launch(call, lifGradKernel<T, kSoft, true, S>, g.blocks(), arguments, g, neuron, surrogate);
    else launch(call, lifGradKernel<T, kSoft, false, S>, g.blocks(), arguments, g, neuron, surrogate);
  });
  if (glogit) launch(call, logitGradKernel<T>, 1, parts, g.blocks(), as<T>(t[5]), glogit);
}

template <class T>
void lifGrad(const Call& call) {
  if (call.attributes[3] != 0) gradient<T, true>(call);
  else gradient<T, false>(call);
}

SPIKELOOM_CUDA_KERNEL(kLif, lif)
SPIKELOOM_CUDA_KERNEL(kLifGrad, lifGrad)

}  // namespace
}  // namespace spikeloom::cuda
