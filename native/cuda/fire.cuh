// Spikes of neurons that a current drives (cuda/current.cuh), with FSTA's gate where there is one. A thread has a vector of channels (16 bytes)
// of some pixels of an image, over all T: y and the residual are read once and the spikes written once; membranes stay in registers. What
// belongs to a channel is read once a thread. kHeld steps are read together, before the first of them is needed; runs of 1, 2 and 4 steps are
// known when compiled.
#pragma once
#include "cuda/current.cuh"
#include "cuda/gate.cuh"
#include "cuda/neuron.cuh"
#include "cuda/pixel_tiles.cuh"

namespace spikeloom::cuda {

// What goes with a current. v0: membranes before the first step, last: after the last one; null where there are none.
template <class T>
struct FireRest {
  GateIn<T> gate;
  Neuron<T> neuron;
  const T *logit, *v0;
  T* last;
  uint32_t* s;
};

// The word of a pixel out of the bits of the 32 / N threads that share it, whose first channels are N c.
template <int N>
__device__ __forceinline__ uint32_t gatherWord(uint32_t bits, uint32_t c) {
  uint32_t word = bits << (c * N % 32);
  for (int step = 1; step < 32 / N; step *= 2) word |= __shfl_xor_sync(kWholeWarp, word, step);
  return word;
}

// kWhole: there are kHeld steps, and neither v0 nor last.
template <class T, class S, int N, int kHeld, bool kWhole>
__global__ void __launch_bounds__(kThreads) fireKernel(Current<T, S, N> current, FireRest<T> all, PixelTiles<N> tiles) {
  waitForKernelsBefore();
  const PixelPlace<N> at(tiles, blockIdx.x);
  const uint32_t steps = kWhole ? kHeld : current.steps, c = at.tile * tiles.group + at.slot;
  uint32_t p = at.begin + (at.steps() - 1) * at.rows, i;
  T mapped;
  RawCurrent<S, N> raw[kHeld];
  const auto read = [&](uint32_t first) {
#pragma unroll
    for (int j = 0; j < kHeld; j++) raw[j] = current.read(kWhole || first + j < steps ? first + j : first, i, at.vector);
  };
  const auto enter = [&] {
    i = at.b * tiles.P + at.pixelAt(p);
    mapped = all.gate.map(i);
    read(0);
  };
  enter();  // before anything is waited for
  all.neuron.learn(all.logit);
  const ChannelMap<T, N> map = current.mapAt(at.vector);
  const GateScale<T> scale = all.gate.scale();
  T gains[kHeld] = {};
  if constexpr (kWhole) {
#pragma unroll
    for (int j = 0; j < kHeld; j++) gains[j] = all.gate.gain(j * tiles.B + at.b);
  }
  const bool ownsWord = at.hasChannels && c * N % 32 == 0;
  for (;;) {
    const uint32_t mask = at.has(p) ? ~0u : 0u;
    const T k = all.gate.factor(scale, all.gate.open(mapped));
    T v[N] = {};
    if (!kWhole && all.v0) loadVector<T, N>(all.v0, i * tiles.vectors + at.vector, v);
    for (uint32_t first = 0; first < steps; first += kHeld) {
      if (!kWhole && first > 0) read(first);
#pragma unroll
      for (int j = 0; j < kHeld; j++) {
        const uint32_t t = first + j;
        if (!kWhole && t >= steps) break;
        T x[N], u[N];
        current.value(raw[j], map, at.vector, x);
        const T factor = (kWhole ? gains[j] : all.gate.gain(t * tiles.B + at.b)) * k;  // 1 where there is no gate
#pragma unroll
        for (int e = 0; e < N; e++) x[e] = x[e] * factor;
        all.neuron.template charge<N>(v, x, u);
        const uint32_t bits = all.neuron.template fire<N>(u);
        all.neuron.template reset<N>(u, bits, v);
        const uint32_t word = gatherWord<N>(bits & mask, c);
        if (ownsWord && mask) all.s[(t * tiles.pixels() + i) * current.words + c * N / 32] = word;
      }
    }
    if (!kWhole && all.last && mask) storeVector<T, N>(all.last, i * tiles.vectors + at.vector, v);
    if (p == at.begin) return;
    p -= at.rows;
    enter();
  }
}

template <class T, class S, int N, int kHeld, bool kWhole>
void fireAs(const Call& call, const FireSizes& s, const Current<T, S, N>& current, const FireRest<T>& rest) {
  const PixelTiles<N> tiles(s.B, s.P, s.C, 1, 3);
  if (tiles.fits(call, s.steps)) launch(call, fireKernel<T, S, N, kHeld, kWhole>, tiles.blocks(), current, rest, tiles);
}

// makeCurrent.template operator()<N>() is the current in vectors of N channels; `vectors`: whether more than one may be taken.
template <class T, class S, class F>
void fireCurrent(const Call& call, const FireSizes& s, bool vectors, const FireRest<T>& rest, F&& makeCurrent) {
  constexpr int N = kVector<S>;
  if (!vectors) return fireAs<T, S, 1, 4, false>(call, s, makeCurrent.template operator()<1>(), rest);
  const auto current = makeCurrent.template operator()<N>();
  if (rest.v0 || rest.last) return fireAs<T, S, N, 4, false>(call, s, current, rest);
  if constexpr (sizeof(T) == 4) {
    if (s.steps == 1) return fireAs<T, S, N, 1, true>(call, s, current, rest);
    if (s.steps == 2) return fireAs<T, S, N, 2, true>(call, s, current, rest);
    if (s.steps == 4) return fireAs<T, S, N, 4, true>(call, s, current, rest);
  }
  fireAs<T, S, N, 4, false>(call, s, current, rest);
}

}  // namespace spikeloom::cuda
