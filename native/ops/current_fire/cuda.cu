// A thread has a vector of channels (16 bytes of y) of some pixels of an image, over all T: y and the residual are read once and the spikes
// written once; membranes stay in registers. What belongs to a channel is read once a thread. kHeld steps are read together, before the
// first of them is needed; runs of 1, 2 and 4 steps are known when compiled.
#include "cuda/current.cuh"
#include "cuda/gate.cuh"
#include "cuda/neuron.cuh"
#include "cuda/pixel_tiles.cuh"
#include "ops/current_fire/current_fire.h"

namespace spikeloom::cuda {
namespace {

template <class T, class S, int N>
struct Fire {
  Current<T, S, N> current;
  GateIn<T> gate;
  Neuron<T> neuron;
  const T* logit;
  uint32_t* s;
};

// The word of a pixel out of the bits of the 32 / N threads that share it, whose first channels are N c.
template <int N>
__device__ __forceinline__ uint32_t gatherWord(uint32_t bits, uint32_t c) {
  uint32_t word = bits << (c * N % 32);
  for (int step = 1; step < 32 / N; step *= 2) word |= __shfl_xor_sync(kWholeWarp, word, step);
  return word;
}

// kWhole: there are kHeld steps.
template <class T, class S, int N, int kHeld, bool kWhole>
__global__ void __launch_bounds__(kThreads) fireKernel(Fire<T, S, N> all, PixelTiles<N> tiles) {
  const Current<T, S, N>& current = all.current;
  const PixelPlace<N> at(tiles, blockIdx.x);
  all.neuron.learn(all.logit);
  const ChannelMap<T, N> map = current.mapAt(at.vector);
  const uint32_t steps = kWhole ? kHeld : current.steps, c = at.tile * tiles.group + at.slot;
  const bool ownsWord = at.hasChannels && c * N % 32 == 0;
  for (uint32_t p = at.begin; p < at.end; p += at.rows) {
    const uint32_t i = at.b * tiles.P + at.pixelAt(p), mask = at.has(p) ? ~0u : 0u;
    const T k = all.gate.factor(all.gate.open(i));
    T v[N] = {};
    for (uint32_t first = 0; first < steps; first += kHeld) {
      RawCurrent<S, N> raw[kHeld];
#pragma unroll
      for (int j = 0; j < kHeld; j++) raw[j] = current.read(kWhole || first + j < steps ? first + j : first, i, at.vector);
#pragma unroll
      for (int j = 0; j < kHeld; j++) {
        const uint32_t t = first + j;
        if (!kWhole && t >= steps) break;
        T x[N], u[N];
        current.value(raw[j], map, at.vector, x);
        if (all.gate.a) {
          const T factor = all.gate.gain(t * tiles.B + at.b) * k;
#pragma unroll
          for (int e = 0; e < N; e++) x[e] = x[e] * factor;
        }
        all.neuron.template charge<N>(v, x, u);
        const uint32_t bits = all.neuron.template fire<N>(u);
        all.neuron.template reset<N>(u, bits, v);
        const uint32_t word = gatherWord<N>(bits & mask, c);
        if (ownsWord && mask) all.s[(t * tiles.pixels() + i) * current.words + c * N / 32] = word;
      }
    }
  }
}

template <class T, class S, int N, int kHeld, bool kWhole>
void fireAs(const Call& call) {
  const TensorView* in = call.tensors;
  const double* a = call.attributes;
  const Shape5 shape = shape5(in[11]);
  const PixelTiles<N> tiles(shape.B, shape.H * shape.W, shape.C);
  if (!tiles.fits(call, shape.T)) return;
  const Fire<T, S, N> all{Current<T, S, N>(in, in + 3, shape.T), GateIn<T>(in + 6), Neuron<T>(a[0], a[1], a[2], a[3] != 0, false),
                          as<T>(in[10]), as<uint32_t>(in[11])};
  launch(call, fireKernel<T, S, N, kHeld, kWhole>, tiles.blocks(), all, tiles);
}

template <class T, class S>
void fire(const Call& call) {
  constexpr int N = kVector<S>;
  const int64_t steps = call.tensors[11].dims[0];
  if (!takesCurrent<S, N>(call.tensors[0], call.tensors[3])) return fireAs<T, S, 1, 4, false>(call);
  if constexpr (sizeof(T) == 4) {
    if (steps == 1) return fireAs<T, S, N, 1, true>(call);
    if (steps == 2) return fireAs<T, S, N, 2, true>(call);
    if (steps == 4) return fireAs<T, S, N, 4, true>(call);
  }
  fireAs<T, S, N, 4, false>(call);
}

template <class T>
void currentFire(const Call& call) {
  const TensorView* in = call.tensors;
  if (!fits(call, in[0], in[3], in[11].dims[0], sizeof(T) == 8)) return;
  withStorage<T>(in[0], [&]<class S>() { fire<T, S>(call); });
}

SPIKELOOM_CUDA_KERNEL(kCurrentFire, currentFire)

}  // namespace
}  // namespace spikeloom::cuda
