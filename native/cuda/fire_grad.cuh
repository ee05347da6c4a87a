// Back from the spikes to the current (cuda/current.cuh) and FSTA's gate: the gradients of ops/current_fire and ops/lif.
//
// A thread has a vector of channels of some pixels of an image, over all T: y, the residual, the spikes and their gradient are read once and
// g is written once, where gs lies too if that is asked for. kHeld steps of u stay in registers. Runs of 1, 2 and 4 steps are known when
// compiled; longer ones go back through time in segments of kHeld, and what lies before a segment is computed anew for it, which reads y (by
// then in a cache) once more a segment.
// Sums over channels go over lanes of a warp; sums over pixels leave a part for each block, which small kernels add in double.
#pragma once
#include "cuda/channel_parts.cuh"
#include "cuda/current.cuh"
#include "cuda/gate.cuh"
#include "cuda/multiply_add.cuh"
#include "cuda/neuron.cuh"

namespace spikeloom::cuda {

// What goes with a current. gs rests as A, y and g as S; every pointer but s may be null.
template <class T, class S, class A>
struct FireGradient {
  GateIn<T> gate;
  Neuron<T> neuron;
  AnySurrogate<T> surrogate;
  const T *logit = nullptr, *mean = nullptr, *v0 = nullptr, *gv = nullptr;  // membranes before the first step, gradients of those after the last one
  const A* gs = nullptr;
  const uint32_t* s = nullptr;
  S* g = nullptr;
  T* gv0 = nullptr;
  double* channelParts = nullptr;  // [part][2][C]: sums of g and of g (y - mean)
  GateParts<T> parts{};
  bool learns = false;  // whether glogit is wanted
};

// What a thread adds up over its pixels. ga of a run that is not whole is in shared memory.
template <class T, int N, int kHeld>
struct Totals {
  T channels[2][N] = {};  // sums of g and of g (y - mean)
  T ga[kHeld] = {};
  T logit = 0;
  GateScalars<T> gate;
};

// The steps of one pixel that a thread holds: first <= t < first + kHeld, of which `count` there are.
template <class T, class S, class A, int N, int kHeld, bool kWhole, bool kUsual>
struct Segment {
  const FireGradient<T, S, A>& all;
  const Current<T, S, N>& current;
  const ChannelMap<T, N>& map;
  uint32_t pixels, i, c;  // of all images; the pixel; the vector of channels
  uint32_t first, count;
  bool used;  // whether the place is the thread's own
  T mapped;   // the gate's F
  RawCurrent<S, N> raw[kHeld];
  Packed<A, N> arrived[kHeld];
  uint32_t fired[kHeld];
  T x[kWhole ? kHeld : 1][N], u[kHeld][N], start[N];  // x before the gate, where it is kept

  __device__ __forceinline__ Segment(const FireGradient<T, S, A>& all_, const Current<T, S, N>& current_, const ChannelMap<T, N>& map_,
                                     uint32_t pixels_, uint32_t c_)
      : all(all_), current(current_), map(map_), pixels(pixels_), c(c_) {}

  __device__ __forceinline__ bool has(uint32_t j) const { return kWhole || j < count; }
  __device__ __forceinline__ uint32_t place(uint32_t t) const { return (t * pixels + i) * current.vectors + c; }
  __device__ __forceinline__ uint32_t firedAt(uint32_t t) const { return bitsOf<N>(all.s, (t * pixels + i) * current.words, c); }

  // u and the v after it at one step; v is the one before, which there is none of where `starts`. own: the current before the gate.
  __device__ __forceinline__ void charge(const RawCurrent<S, N>& from, uint32_t bits, bool starts, T factor, T (&own)[N], T (&membrane)[N],
                                         T (&v)[N]) const {
    T gated[N];
    current.value(from, map, c, own);
#pragma unroll
    for (int e = 0; e < N; e++) gated[e] = kUsual || all.gate.a ? own[e] * factor : own[e];
    all.neuron.template charge<N>(v, gated, membrane);
#pragma unroll
    for (int e = 0; e < N; e++) membrane[e] = starts ? gated[e] : membrane[e];
    all.neuron.template reset<N>(membrane, bits, v);
  }

  // Begins to read pixel i_, its steps from `first_` on.
  __device__ __forceinline__ void enter(uint32_t i_, bool used_, uint32_t first_, uint32_t steps) {
    i = i_;
    used = used_;
    mapped = all.gate.map(i);
    read(first_, steps);
  }

  // Begins to read the steps from `first_` on. Another thread's gs may have become its g by now.
  __device__ __forceinline__ void read(uint32_t first_, uint32_t steps) {
    first = first_;
    count = steps - first < kHeld ? steps - first : kHeld;
#pragma unroll
    for (int j = 0; j < kHeld; j++) {
      const uint32_t t = has(j) ? first + j : first;
      raw[j] = current.read(t, i, c);
      fired[j] = firedAt(t);
      if ((kUsual || all.gs) && used) arrived[j] = loadPacked<N>(all.gs, place(t));
    }
  }

  // Computes u of the steps that were read. factor(t): the gate's.
  template <class F>
  __device__ __forceinline__ void membranes(F&& factor) {
    T v[N] = {};
    if (!kWhole && all.v0) loadVector<T, N>(all.v0, i * current.vectors + c, v);
    if (!kWhole) {
      for (uint32_t t = 0; t < first; t++) charge(current.read(t, i, c), firedAt(t), false, factor(t), x[0], u[0], v);
    }
#pragma unroll
    for (int e = 0; e < N; e++) start[e] = v[e];
#pragma unroll
    for (int j = 0; j < kHeld; j++) {
      if (has(j)) charge(raw[j], fired[j], kUsual && j == 0, factor(first + j), x[kWhole ? j : 0], u[j], v);
    }
  }

  // gu of step j. G is the gradient of the v after it and becomes that of the v before it. Adds to the sum for the logit.
  __device__ __forceinline__ void back(int j, T (&G)[N], T (&gu)[N], T& logit) const {
    T gs[N] = {}, d[N];
    if ((kUsual || all.gs) && used) unpack<T, N>(arrived[j], gs);
    if constexpr (kUsual) {
#pragma unroll
      for (int e = 0; e < N; e++) d[e] = all.surrogate.usualDerivative(u[j][e] - all.neuron.hard.threshold);
      all.neuron.template usualGradient<N>(j == kHeld - 1, gs, G, u[j], fired[j], d, gu);
    } else {
      slope<T, N>(all.surrogate, all.neuron, u[j], d);
      all.neuron.template gradient<N>(gs, G, u[j], fired[j], d, gu);
    }
#pragma unroll
    for (int e = 0; e < N; e++) G[e] = all.neuron.hard.decay * gu[e];
    if (!all.learns) return;
    T before[N];
    if (j > 0) all.neuron.template reset<N>(u[j > 0 ? j - 1 : 0], fired[j > 0 ? j - 1 : 0], before);
#pragma unroll
    for (int e = 0; e < N; e++) logit = multiplyAdd(gu[e], j > 0 ? before[e] : start[e], logit);
  }

  // Through the gate: gu becomes g. Returns the sum of gu x over the channels.
  __device__ __forceinline__ T gateBack(int j, T factor, T (&gu)[N]) const {
    T own[N], q = 0;
    if (!kWhole) current.value(raw[j], map, c, own);
#pragma unroll
    for (int e = 0; e < N; e++) {
      q = multiplyAdd(gu[e], kWhole ? x[kWhole ? j : 0][e] : own[e], q);
      gu[e] = gu[e] * factor;
    }
    return q;
  }

  // The means are read anew for every pixel, out of the nearest cache: there is no room to keep them.
  __device__ __forceinline__ void put(int j, const T (&g)[N], T (&sums)[2][N]) const {
    if ((kUsual || all.g) && used) storeVector<T, N>(all.g, place(first + j), g);
    if (!all.channelParts) return;
    T centre[N] = {};
    if (all.mean) loadVector<T, N>(all.mean, c, centre);
#pragma unroll
    for (int e = 0; e < N; e++) {
      sums[0][e] += g[e];
      sums[1][e] = multiplyAdd(g[e], raw[j].y.number(e) - centre[e], sums[1][e]);
    }
  }
};

// The block's sums over its pixels: ga of every t, then the totals.
template <class T, int N, int kHeld, bool kWhole>
__device__ void writePart(const Totals<T, N, kHeld>& totals, uint32_t steps, double* part) {
  constexpr int kGains = kWhole ? kHeld : 0;
  double sums[kGains + kGateTotals];
#pragma unroll
  for (int t = 0; t < kGains; t++) sums[t] = static_cast<double>(totals.ga[t]);
  sums[kGains] = totals.gate.gm();
  sums[kGains + 1] = totals.gate.gn();
  sums[kGains + 2] = static_cast<double>(totals.logit);
  if (!kWhole) writeGains(steps, part);
  writeSums(sums, part + (kWhole ? 0 : steps));
}

// kWhole: there are kHeld steps, and neither v0 nor gv nor gv0. kUsual: so are neuron and surrogate, there are gs and g, and glogit is not
// wanted; the gate is multiplied with where there is none, too: it is 1 then.
template <class T, class S, class A, int N, int kHeld, bool kWhole, bool kUsual>
__global__ void __launch_bounds__(kThreads, kWhole ? 2 : 1) fireGradKernel(Current<T, S, N> current, FireGradient<T, S, A> all, PixelTiles<N> tiles) {
  waitForKernelsBefore();
  const uint32_t steps = kWhole ? kHeld : current.steps, lastFirst = (steps - 1) / kHeld * kHeld;
  if (!kWhole) clearGainSums(steps);
  const PixelPlace<N> at(tiles, blockIdx.x);
  if constexpr (kUsual) {
    all.neuron.takeAsUsual();
    all.surrogate.takeAsUsual();
    all.learns = false;
  }
  all.neuron.learn(all.logit);
  const ChannelMap<T, N> map = current.mapAt(at.vector);
  Segment<T, S, A, N, kHeld, kWhole, kUsual> segment(all, current, map, tiles.pixels(), at.vector);
  const auto enter = [&](uint32_t p) { segment.enter(at.b * tiles.P + at.pixelAt(p), at.has(p), lastFirst, steps); };
  enter(at.begin);  // before anything is waited for
  const GateScale<T> scale = all.gate.scale();
  T gains[kHeld] = {};
  if constexpr (kWhole) {
#pragma unroll
    for (int j = 0; j < kHeld; j++) gains[j] = all.gate.gain(j * tiles.B + at.b);
  }
  const auto gain = [&](uint32_t t) {
    if constexpr (kWhole) return gains[t];
    else return all.gate.gain(t * tiles.B + at.b);
  };
  Totals<T, N, kHeld> totals;
  for (uint32_t p = at.begin;;) {
    const T open = all.gate.open(segment.mapped), k = all.gate.factor(scale, open);
    const uint32_t v = segment.i * tiles.vectors + at.vector;
    T G[N] = {}, overTime = 0;
    if (!kWhole && all.gv && segment.used) loadVector<T, N>(all.gv, v, G);
    for (uint32_t end = lastFirst + kHeld; end > 0; end -= kHeld) {
      const uint32_t first = end - kHeld;
      if (!kWhole && first != lastFirst) segment.read(first, steps);
      segment.membranes([&](uint32_t t) { return gain(t) * k; });
#pragma unroll
      for (int j = kHeld - 1; j >= 0; j--) {
        if (!segment.has(j)) continue;
        T g[N];
        segment.back(j, G, g, totals.logit);
        if (kUsual || all.gate.a) {
          const T q = segment.gateBack(j, gain(first + j) * k, g);
          overTime = multiplyAdd(q, gain(first + j), overTime);
          if constexpr (kWhole) totals.ga[j] = multiplyAdd(q, k, totals.ga[j]);
          else addGain(steps, first + j, q * k);
        }
        segment.put(j, g, totals.channels);
      }
    }
    if (!kWhole && all.gv0 && segment.used) storeVector<T, N>(all.gv0, v, G);
    if (all.parts.sums || all.parts.r) totals.gate.add(tiles, at, segment.i, segment.used, overTime, open, all.parts.r);
    p += at.rows;
    if (p >= at.end) break;
    enter(p);
  }
  if (all.channelParts) writeChannelPart<T, 2, N>(tiles, at, totals.channels, all.channelParts);
  if (!all.parts.sums) return;
  writePart<T, N, kHeld, kWhole>(totals, steps, all.parts.sums + static_cast<int64_t>(blockIdx.x) * (steps + kGateTotals));
}

// What a call wants of it, beside g and gv0.
template <class T>
struct FireSums {
  T* sums;  // [2][C]
  GateOut<T> gate;
};

template <class T, class S, class A, int N, int kHeld, bool kWhole, bool kUsual = false>
void fireGradAs(const Call& call, const FireSizes& s, const Current<T, S, N>& current, FireGradient<T, S, A> all, const FireSums<T>& out) {
  const PixelTiles<N> tiles(s.B, s.P, s.C);
  if (!tiles.fits(call, s.steps)) return;
  const int64_t sums = gateSums(tiles, s.steps, out.gate), numbers = gateNumbers(tiles, out.gate);
  const int64_t channelSums = out.sums ? int64_t{tiles.parts()} * 2 * tiles.C : 0;
  const size_t bytes = static_cast<size_t>(sums + channelSums) * sizeof(double) + static_cast<size_t>(numbers) * sizeof(T);
  double* room = bytes > 0 ? static_cast<double*>(scratchBytes(call, bytes)) : nullptr;
  if (call.status->failed) return;
  if (sums > 0) all.parts.sums = room;
  if (channelSums > 0) all.channelParts = room + sums;
  if (numbers > 0) all.parts.r = reinterpret_cast<T*>(room + sums + channelSums);
  const Grid grid(tiles.blocks(), kThreads, kWhole ? 0 : gateSharedBytes(s.steps));
  launch(call, fireGradKernel<T, S, A, N, kHeld, kWhole, kUsual>, grid, current, all, tiles);
  finishGate(call, tiles, s.steps, all.gate, all.logit, all.parts, out.gate, {all.channelParts, tiles.parts(), tiles.C, out.sums});
}

// The channels that a thread takes: 16 bytes of up to 2 steps, half of it of more, which leaves room for two blocks.
template <class S>
constexpr int kGradVector(int64_t steps) {
  return static_cast<int>((steps <= 2 ? 16 : 8) / sizeof(S));
}

// makeCurrent.template operator()<N>() is the current in vectors of N channels; takes.template operator()<N>(): whether all tensors can be read
// so.
template <class T, class S, class A, class Takes, class F>
void fireGradient(const Call& call, const FireSizes& s, const FireGradient<T, S, A>& all, const FireSums<T>& out, Takes&& takes, F&& makeCurrent) {
  constexpr int N = kGradVector<S>(4);
  const bool usual = all.neuron.isUsual() && all.surrogate.isUsual() && all.gs && all.g && !all.learns;
  const auto whole = [&]<int kSteps>() {
    constexpr int kN = kGradVector<S>(kSteps);
    if (!takes.template operator()<kN>()) return false;
    const auto current = makeCurrent.template operator()<kN>();
    if (usual) fireGradAs<T, S, A, kN, kSteps, true, true>(call, s, current, all, out);
    else fireGradAs<T, S, A, kN, kSteps, true>(call, s, current, all, out);
    return true;
  };
  if constexpr (sizeof(T) == 4) {
    const bool alone = !all.v0 && !all.gv && !all.gv0;
    if (alone && s.steps == 1 && whole.template operator()<1>()) return;
    if (alone && s.steps == 2 && whole.template operator()<2>()) return;
    if (alone && s.steps == 4 && whole.template operator()<4>()) return;
  }
  if (takes.template operator()<N>()) fireGradAs<T, S, A, N, 4, false>(call, s, makeCurrent.template operator()<N>(), all, out);
  else fireGradAs<T, S, A, 1, 4, false>(call, s, makeCurrent.template operator()<1>(), all, out);
}

}  // namespace spikeloom::cuda
