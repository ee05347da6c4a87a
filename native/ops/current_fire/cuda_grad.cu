// A thread has a vector of channels of some pixels of an image, over all T: y, the residual, the spikes and their gradient are read once and
// g is written once, where gs lies too if that is asked for. kHeld steps of u and x stay in registers. Runs of 1, 2 and 4 steps are known
// when compiled; longer ones go back through time in segments of kHeld, and what lies before a segment is computed anew for it, which reads y
// (by then in a cache) once more a segment.
// Sums over channels go over lanes of a warp; sums over pixels leave a part for each block, which small kernels add in double.
#include "cuda/channel_parts.cuh"
#include "cuda/current.cuh"
#include "cuda/gate.cuh"
#include "cuda/neuron.cuh"
#include "ops/current_fire/current_fire.h"

namespace spikeloom::cuda {
namespace {

// gs rests as A, y and g as S.
template <class T, class S, class A, int N>
struct FireGradient {
  Current<T, S, N> current;
  GateIn<T> gate;
  Neuron<T> neuron;
  AnySurrogate<T> surrogate;
  const T *logit, *mean;
  const A* gs;
  const uint32_t* s;
  S* g;                  // or null
  double* channelParts;  // [part][2][C], or null
  GateParts<T> parts;    // null where nothing of it is wanted
  bool learns;           // whether glogit is wanted
};

// What a thread adds up over its pixels. ga of a run that is not whole is in shared memory.
template <class T, int N, int kHeld>
struct Totals {
  T channels[2][N] = {};  // sums of g and of g (y - mean)
  T ga[kHeld] = {};
  T logit = 0;
  GateScalars gate;
};

// The steps of one pixel that a thread holds: first <= t < first + kHeld, of which `count` there are.
template <class T, class S, class A, int N, int kHeld, bool kWhole>
struct Segment {
  const FireGradient<T, S, A, N>& all;
  const ChannelMap<T, N>& map;
  uint32_t pixels, i, c;  // of all images; the pixel; the vector of channels
  uint32_t first, count;
  RawCurrent<S, N> raw[kHeld];
  Packed<A, N> arrived[kHeld];
  uint32_t fired[kHeld];
  T u[kHeld][N], start[N];

  __device__ __forceinline__ Segment(const FireGradient<T, S, A, N>& all_, const ChannelMap<T, N>& map_, uint32_t pixels_, uint32_t i_, uint32_t c_)
      : all(all_), map(map_), pixels(pixels_), i(i_), c(c_) {}

  __device__ __forceinline__ bool has(uint32_t j) const { return kWhole || j < count; }
  __device__ __forceinline__ uint32_t place(uint32_t t) const { return (t * pixels + i) * all.current.vectors + c; }
  __device__ __forceinline__ uint32_t firedAt(uint32_t t) const { return bitsOf<N>(all.s, (t * pixels + i) * all.current.words, c); }

  // u and the v after it at one step; v is the one before.
  __device__ __forceinline__ void charge(const RawCurrent<S, N>& from, uint32_t bits, T factor, T (&membrane)[N], T (&v)[N]) const {
    T x[N];
    all.current.value(from, map, c, x);
    if (all.gate.a) {
#pragma unroll
      for (int e = 0; e < N; e++) x[e] = x[e] * factor;
    }
    all.neuron.template charge<N>(v, x, membrane);
    all.neuron.template reset<N>(membrane, bits, v);
  }

  // Reads the steps from `first_` on and computes their u. factor(t): the gate's.
  template <class F>
  __device__ __forceinline__ void load(uint32_t first_, uint32_t steps, F&& factor) {
    first = first_;
    count = steps - first < kHeld ? steps - first : kHeld;
#pragma unroll
    for (int j = 0; j < kHeld; j++) {
      const uint32_t t = has(j) ? first + j : first;
      raw[j] = all.current.read(t, i, c);
      fired[j] = firedAt(t);
      arrived[j] = loadPacked<N>(all.gs, place(t));
    }
    T v[N] = {};
    if (!kWhole) {
      for (uint32_t t = 0; t < first; t++) charge(all.current.read(t, i, c), firedAt(t), factor(t), u[0], v);
    }
#pragma unroll
    for (int e = 0; e < N; e++) start[e] = v[e];
#pragma unroll
    for (int j = 0; j < kHeld; j++) {
      if (has(j)) charge(raw[j], fired[j], factor(first + j), u[j], v);
    }
  }

  // gu of step j. G is the gradient of the v after it and becomes that of the v before it. Adds to the sum for the logit.
  __device__ __forceinline__ void back(int j, bool used, T (&G)[N], T (&gu)[N], T& logit) const {
    T gs[N], d[N];
    unpack<T, N>(arrived[j], gs);
#pragma unroll
    for (int e = 0; e < N; e++) gs[e] = used ? gs[e] : T(0);
    slope<T, N>(all.surrogate, all.neuron, u[j], d);
    all.neuron.template gradient<N>(gs, G, u[j], fired[j], d, gu);
#pragma unroll
    for (int e = 0; e < N; e++) G[e] = all.neuron.hard.decay * gu[e];
    if (!all.learns) return;
    T before[N];
    if (j > 0) all.neuron.template reset<N>(u[j > 0 ? j - 1 : 0], fired[j > 0 ? j - 1 : 0], before);
#pragma unroll
    for (int e = 0; e < N; e++) logit += gu[e] * (j > 0 ? before[e] : start[e]);
  }

  // Through the gate: gu becomes g. Returns the sum of gu x over the channels.
  __device__ __forceinline__ T gateBack(int j, T factor, T (&gu)[N]) const {
    T x[N], q = 0;
    all.current.value(raw[j], map, c, x);
#pragma unroll
    for (int e = 0; e < N; e++) {
      q += gu[e] * x[e];
      gu[e] = gu[e] * factor;
    }
    return q;
  }

  __device__ __forceinline__ void put(int j, const T (&g)[N], const T (&centre)[N], bool used, T (&sums)[2][N]) const {
    if (all.g && used) storeVector<T, N>(all.g, place(first + j), g);
    if (!all.channelParts) return;
#pragma unroll
    for (int e = 0; e < N; e++) {
      sums[0][e] += g[e];
      sums[1][e] += g[e] * (loadAs(&raw[j].y.at[e]) - centre[e]);
    }
  }
};

// The block's sums over its pixels: ga of every t, then the totals.
template <class T, int N, int kHeld, bool kWhole>
__device__ void writePart(const Totals<T, N, kHeld>& totals, uint32_t steps, double* part) {
  if constexpr (kWhole) {
#pragma unroll
    for (int t = 0; t < kHeld; t++) writeSum(static_cast<double>(totals.ga[t]), part + t);
  } else {
    writeGains(steps, part);
  }
  writeSum(totals.gate.m, part + steps);
  writeSum(totals.gate.n, part + steps + 1);
  writeSum(static_cast<double>(totals.logit), part + steps + 2);
}

template <class T, class S, class A, int N, int kHeld, bool kWhole>
__global__ void __launch_bounds__(kThreads, kWhole ? 2 : 1) fireGradKernel(FireGradient<T, S, A, N> all, PixelTiles<N> tiles) {
  const uint32_t steps = kWhole ? kHeld : all.current.steps;
  if (!kWhole) clearGainSums(steps);
  const PixelPlace<N> at(tiles, blockIdx.x);
  all.neuron.learn(all.logit);
  const ChannelMap<T, N> map = all.current.mapAt(at.vector);
  T centre[N];
  loadVector<T, N>(all.mean, at.vector, centre);
  Totals<T, N, kHeld> totals;
  for (uint32_t p = at.begin; p < at.end; p += at.rows) {
    const uint32_t i = at.b * tiles.P + at.pixelAt(p);
    const bool used = at.has(p);
    const T open = all.gate.open(i), k = all.gate.factor(open);
    const auto gain = [&](uint32_t t) { return all.gate.gain(t * tiles.B + at.b); };
    T G[N] = {}, overTime = 0;
    Segment<T, S, A, N, kHeld, kWhole> segment(all, map, tiles.pixels(), i, at.vector);
    for (uint32_t end = (steps + kHeld - 1) / kHeld * kHeld; end > 0; end -= kHeld) {
      const uint32_t first = end - kHeld;
      segment.load(first, steps, [&](uint32_t t) { return gain(t) * k; });
#pragma unroll
      for (int j = kHeld - 1; j >= 0; j--) {
        if (!segment.has(j)) continue;
        T g[N];
        segment.back(j, used, G, g, totals.logit);
        if (all.gate.a) {
          const T q = segment.gateBack(j, gain(first + j) * k, g);
          overTime += q * gain(first + j);
          if constexpr (kWhole) totals.ga[j] += q * k;
          else addGain(steps, first + j, q * k);
        }
        segment.put(j, g, centre, used, totals.channels);
      }
    }
    if (all.gate.a) totals.gate.add(tiles, at, i, used, overTime, open, all.parts.r);
  }
  if (all.channelParts) writeChannelPart<T, 2, N>(tiles, at, totals.channels, all.channelParts);
  if (!all.parts.sums) return;
  writePart<T, N, kHeld, kWhole>(totals, steps, all.parts.sums + static_cast<int64_t>(blockIdx.x) * (steps + kGateTotals));
}

template <class T>
struct PutSums {
  T* sums;
  int64_t C;

  __device__ void operator()(int64_t c, const double (&found)[2]) const {
    sums[c] = static_cast<T>(found[0]);
    sums[C + c] = static_cast<T>(found[1]);
  }
};

template <class T, class S, class A, int N, int kHeld, bool kWhole>
void gradientAs(const Call& call) {
  const TensorView *in = call.tensors, *out = call.tensors + 14;
  const double* a = call.attributes;
  const Shape5 shape = shape5(in[12]);
  const PixelTiles<N> tiles(shape.B, shape.H * shape.W, shape.C);
  if (!tiles.fits(call, shape.T)) return;
  const GateIn<T> gate(in + 6);
  const GateOut<T> gateOut{as<T>(out[2]), as<T>(out[3]), as<T>(out[4]), as<T>(out[5]), as<T>(out[6])};
  const int64_t sums = gateSums(tiles, shape.T, gateOut), numbers = gateNumbers(tiles, gateOut);
  const int64_t channelSums = out[1].data ? int64_t{tiles.parts()} * 2 * tiles.C : 0;
  const size_t bytes = static_cast<size_t>(sums + channelSums) * sizeof(double) + static_cast<size_t>(numbers) * sizeof(T);
  double* room = bytes > 0 ? static_cast<double*>(scratchBytes(call, bytes)) : nullptr;
  if (call.status->failed) return;
  double* channelParts = channelSums > 0 ? room + sums : nullptr;
  const GateParts<T> parts{sums > 0 ? room : nullptr, numbers > 0 ? reinterpret_cast<T*>(room + sums + channelSums) : nullptr};
  const FireGradient<T, S, A, N> all{Current<T, S, N>(in, in + 3, shape.T), gate, Neuron<T>(a[0], a[1], a[2], a[3] != 0, a[4] != 0),
                                     AnySurrogate<T>(a[5], a[6]), as<T>(in[10]), as<T>(in[13]), as<A>(in[11]), as<uint32_t>(in[12]),
                                     as<S>(out[0]), channelParts, parts, out[6].data != nullptr};
  launch(call, fireGradKernel<T, S, A, N, kHeld, kWhole>, Grid(tiles.blocks(), kThreads, kWhole ? 0 : gateSharedBytes(shape.T)), all, tiles);
  if (channelParts) mergeChannelSums<2>(call, channelParts, tiles.parts(), tiles.C, PutSums<T>{as<T>(out[1]), tiles.C});
  finishGate(call, tiles, shape.T, gate, as<T>(in[10]), parts, gateOut);
}

template <class T, class S, class A>
void gradient(const Call& call) {
  constexpr int N = sizeof(S) == 2 ? 4 : 2;  // what a thread holds of them for 4 steps leaves room for two blocks
  const TensorView *in = call.tensors, &g = call.tensors[14];
  const int64_t C = channels(in[0]), steps = in[12].dims[0];
  const bool vectors = takesCurrent<S, N>(in[0], in[3]) && takesVectors<N>(C, as<A>(in[11])) && takesVectors<N>(C, as<S>(g));
  if (!vectors) return gradientAs<T, S, A, 1, 4, false>(call);
  if constexpr (sizeof(T) == 4 && sizeof(A) == sizeof(S)) {
    if (steps == 1) return gradientAs<T, S, A, N, 1, true>(call);
    if (steps == 2) return gradientAs<T, S, A, N, 2, true>(call);
    if (steps == 4) return gradientAs<T, S, A, N, 4, true>(call);
  }
  gradientAs<T, S, A, N, 4, false>(call);
}

template <class T>
void currentFireGrad(const Call& call) {
  const TensorView* in = call.tensors;
  if (in[14].data && in[14].dtype != in[0].dtype) return fail(call.status, "g has the type of y; make both the same");
  if (!fits(call, in[0], in[3], in[12].dims[0], sizeof(T) == 8)) return;
  withStorage<T>(in[0], [&]<class S>() { withStorage<T>(in[11], [&]<class A>() { gradient<T, S, A>(call); }); });
}

SPIKELOOM_CUDA_KERNEL(kCurrentFireGrad, currentFireGrad)

}  // namespace
}  // namespace spikeloom::cuda
