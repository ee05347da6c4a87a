// A warp has the 32 neurons of a word, a thread one of them, over all T: x is read once and the spikes are written once (forward). The
// gradient reads x and gs once; u rests in gx until gx itself takes its place, and a is computed anew for every kHeld steps, out of the spikes
// before them. The arithmetic is that of adaptive_lif.h, unfused: the bits of the CPU.
#include "cuda/divisor.cuh"
#include "cuda/neuron.cuh"
#include "ops/adaptive_lif/adaptive_lif.h"

namespace spikeloom::cuda {
namespace {

constexpr int kHeld = 4;

// The neurons of one step, pixel-major; a pixel has `perPixel` words.
struct Sizes {
  int64_t steps, channels, elements, words;
  Divisor perPixel;

  explicit Sizes(const TensorView& x)
      : steps(x.dims[0]),
        channels(spikeloom::channels(x)),
        elements(count(x) / steps),
        words(elements / channels * spikeWords(channels)),
        perPixel(spikeWords(channels)) {}

  int64_t blocks() const { return blocksFor(words * 32); }
  bool fits(const Call& call) const {
    if (words < int64_t{1} << 31) return true;
    fail(call.status, "%lld words of spikes a step are more than the kernel counts; make the batch smaller", static_cast<long long>(words));
    return false;
  }
};

// The neuron of a thread.
struct Place {
  int64_t word, element;
  uint32_t lane;
  bool isThere;

  __device__ __forceinline__ explicit Place(const Sizes& sizes) : word(threadOfGrid() / 32), lane(threadIdx.x % 32) {
    const int of = static_cast<int>(word), channel = sizes.perPixel.rest(of) * 32 + static_cast<int>(lane);
    isThere = word < sizes.words && channel < sizes.channels;
    element = sizes.perPixel.quotient(of) * sizes.channels + channel;
  }
};

template <class T, bool kSoft>
__global__ void __launch_bounds__(kThreads) fireKernel(Sizes sizes, AdaptiveNeuron<T, false, kSoft> neuron, const T* x, uint32_t* s) {
  waitForKernelsBefore();
  const Place own(sizes);
  if (own.word >= sizes.words) return;  // whole warps
  T v = 0, i = 0, a = 0;
  for (int64_t first = 0; first < sizes.steps; first += kHeld) {
    T read[kHeld];
#pragma unroll
    for (int j = 0; j < kHeld; j++) read[j] = own.isThere && first + j < sizes.steps ? x[(first + j) * sizes.elements + own.element] : T(0);
#pragma unroll
    for (int j = 0; j < kHeld; j++) {
      if (first + j >= sizes.steps) break;
      i = neuron.current(i, read[j]);
      const T u = neuron.lif.charge(v, i);
      const bool fires = own.isThere && neuron.fires(u, a);
      const T spike = fires ? T(1) : T(0);
      v = neuron.lif.reset(u, spike);
      a = neuron.adapt(a, spike);
      const uint32_t word = __ballot_sync(kWholeWarp, fires);
      if (own.lane == 0) s[(first + j) * sizes.words + own.word] = word;
    }
  }
}

template <class T>
struct GradientOf {
  const T *gs, *x;
  const uint32_t* s;
  T* gx;
};

template <class T, bool kSoft>
__global__ void __launch_bounds__(kThreads) gradientKernel(Sizes sizes, AdaptiveNeuron<T, false, kSoft> neuron, AnySurrogate<T> surrogate,
                                                           GradientOf<T> all) {
  waitForKernelsBefore();
  const Place own(sizes);
  if (!own.isThere) return;
  const auto spike = [&](int64_t t) { return (all.s[t * sizes.words + own.word] >> own.lane) & 1u ? T(1) : T(0); };
  const auto at = [&](int64_t t) { return t * sizes.elements + own.element; };
  T v = 0, i = 0;
  for (int64_t t = 0; t < sizes.steps; t++) {
    i = neuron.current(i, all.x[at(t)]);
    const T u = neuron.lif.charge(v, i);
    all.gx[at(t)] = u;
    v = neuron.lif.reset(u, spike(t));
  }
  T gv = 0, gi = 0, ga = 0;
  for (int64_t first = (sizes.steps - 1) / kHeld * kHeld; first >= 0; first -= kHeld) {
    T a = 0, before[kHeld];
    for (int64_t t = 0; t < first; t++) a = neuron.adapt(a, spike(t));
#pragma unroll
    for (int j = 0; j < kHeld; j++) {
      before[j] = a;
      if (first + j < sizes.steps) a = neuron.adapt(a, spike(first + j));
    }
#pragma unroll
    for (int j = kHeld - 1; j >= 0; j--) {
      const int64_t t = first + j;
      if (t >= sizes.steps) continue;
      const T u = all.gx[at(t)];
      T d = 0;
      surrogate.with([&](const auto& form) { d = form.derivative(neuron.distance(u, before[j])) / neuron.lif.vth; });
      all.gx[at(t)] = neuron.back(all.gs[at(t)], u, spike(t), d, gv, gi, ga);
    }
  }
}

template <class T, bool kSoft>
void fireAs(const Call& call) {
  const Sizes sizes(call.tensors[0]);
  if (!sizes.fits(call)) return;
  const AdaptiveNeuron<T, false, kSoft> neuron(call.attributes, false);
  launch(call, fireKernel<T, kSoft>, sizes.blocks(), sizes, neuron, as<T>(call.tensors[0]), as<uint32_t>(call.tensors[1]));
}

template <class T, bool kSoft>
void gradientAs(const Call& call) {
  const TensorView* in = call.tensors;
  const double* rest = call.attributes + adaptive::kRest;
  const Sizes sizes(in[1]);
  if (!sizes.fits(call)) return;
  const AdaptiveNeuron<T, false, kSoft> neuron(call.attributes, rest[0] != 0);
  const GradientOf<T> all{as<T>(in[0]), as<T>(in[1]), as<uint32_t>(in[2]), as<T>(in[3])};
  launch(call, gradientKernel<T, kSoft>, sizes.blocks(), sizes, neuron, AnySurrogate<T>(rest[1], rest[2]), all);
}

template <class T>
void adaptiveLif(const Call& call) {
  if (call.attributes[adaptive::kSoft] != 0) fireAs<T, true>(call);
  else fireAs<T, false>(call);
}

template <class T>
void adaptiveLifGrad(const Call& call) {
  if (call.attributes[adaptive::kSoft] != 0) gradientAs<T, true>(call);
  else gradientAs<T, false>(call);
}

SPIKELOOM_CUDA_KERNEL(kAdaptiveLif, adaptiveLif)
SPIKELOOM_CUDA_KERNEL(kAdaptiveLifGrad, adaptiveLifGrad)

}  // namespace
}  // namespace spikeloom::cuda
