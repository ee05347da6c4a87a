// One task per image and block of pixels, over all T. Forward: y and r are read once and s is written once. Gradient: y,
// r, s and gs are read once and g is written once. What waits for the next step or for the way back (membranes, x, u)
// rests in registers where there are 2 or 4 steps of the usual neuron, known when compiled, else in the first cache.
#define SPIKELOOM_BF16_STORES
#define SPIKELOOM_FILE "ops/current_fire/cpu.cpp"
#include "cpu/levels.h"
#include "core/gate.h"
#include "core/lif_neuron.h"
#include "core/surrogate.h"
#include "ops/current_fire/current_fire.h"

#include "cpu/level_begin.inl"
#include "cpu/current.inl"
#include "cpu/lif_lanes.inl"
#include "cpu/peaks.inl"
#include "cpu/surrogate_lanes.inl"
#include "cpu/gate_lanes.inl"

// What both directions get: tensors 3..10 of the call are r, rscale, rshift, a, F, m, n, logit. Without a, every factor
// is 1.
template <class T>
struct Gate {
  const T *a, *F;
  T m, n;

  explicit Gate(const TensorView* in) : a(as<T>(in[0])), F(as<T>(in[1])), m(a ? *as<T>(in[2]) : T(0)), n(a ? *as<T>(in[3]) : T(0)) {}

  // G and k of a block's pixels.
  void open(int64_t first, int64_t size, T* G, T* k) const {
    if (a) openShares(F + first, size, G);
    else std::fill(G, G + size, T(0));
    for (int64_t i = 0; i < size; i++) k[i] = a ? gateFactor(m, n, G[i]) : T(1);
  }
  T gain(int64_t at) const { return a ? gateGain(a[at]) : T(1); }
};

// The numbers that a task keeps for itself.
template <class T>
struct Room {
  T *G, *k, *gain, *factor;

  Room(const Call& call, int thread, int64_t block, int64_t steps) {
    G = scratch<T>(call, thread, 2, 2 * (block + steps));
    k = G + block;
    gain = k + block;
    factor = gain + steps;
  }
};

// Vectors of a pixel that go through the steps together where their number is not known when compiled: the same place of
// many steps falls into the same few lines of a cache, so whole lines of each are used up at once.
template <class T>
constexpr int kTogether = 64 / kLanes<T>;

// Channels that are fetched ahead then: many steps are more streams than a processor foresees.
constexpr int64_t kAhead = 64;

// body(c, n, count) for runs of up to kTogether vectors of n = kLanes<T> channels, and for the channels that are left.
template <class T, class F>
__attribute__((always_inline)) inline void eachRun(int64_t C, F&& body) {
  int64_t c = 0;
  for (int64_t count; (count = std::min<int64_t>(kTogether<T>, (C - c) / kLanes<T>)) > 0; c += count * kLanes<T>) {
    body(c, std::integral_constant<int, kLanes<T>>{}, count);
  }
  if (c < C) body(c, static_cast<int>(C - c), int64_t{1});
}

// kSteps: 0, or the number of steps, and then vth is 1 and the reset hard.
template <class T, bool kGated, int kSteps, class C>
void fireAll(const Call& call, const C& current, const LifNeuron<T, false, false>& one) {
  const TensorView* in = call.tensors;
  const LifLanes<T, (kSteps > 0)> neuron(one, call.attributes[3] != 0);
  const Gate<T> gate(in + 6);
  uint32_t* s = as<uint32_t>(in[11]);
  const int64_t steps = current.T_, stepWords = current.B * current.P * current.words;
  const Blocks blocks(current.B, current.P, current.C);
  parallelFor(call, blocks.tasks(), [&](int64_t task, int thread) {
    const int64_t b = blocks.b(task), begin = blocks.begin(task), end = blocks.end(task);
    const Room<T> room(call, thread, blocks.size, steps);
    if constexpr (kGated) {
      gate.open(b * current.P + begin, end - begin, room.G, room.k);
      for (int64_t t = 0; t < steps; t++) room.gain[t] = gate.gain(t * current.B + b);
    }
    for (int64_t p = begin; p < end; p++) {
      const auto pixel = current.pixel(b, p);
      uint32_t* words = s + (b * current.P + p) * current.words;
      if constexpr (kGated) {
        for (int64_t t = 0; t < steps; t++) room.factor[t] = room.gain[t] * room.k[p - begin];
      }
      const T* factor = room.factor;
      const auto step = [=](int64_t t, int64_t c, auto n, Vec<T>& v) __attribute__((always_inline)) {
        if constexpr (kSteps == 0) pixel.fetch(t, c + kAhead);
        Vec<T> x = pixel.at(t, c, n);
        if constexpr (kGated) x = x * splat(factor[t]);
        const Vec<T> u = neuron.charge(v, x);
        const uint32_t fired = neuron.fire(u) & ((1u << n) - 1u);
        putLaneMask(words + t * stepWords, c, fired);
        v = neuron.reset(u, fired);
      };
      if constexpr (kSteps > 0) {
        eachVector<T>(current.C, [&](int64_t c, auto n) __attribute__((always_inline)) {
          Vec<T> v{};
          unrolled<kSteps>([&](auto t) __attribute__((always_inline)) { step(t, c, n, v); });
        });
      } else {
        eachRun<T>(current.C, [&](int64_t c, auto n, int64_t count) __attribute__((always_inline)) {
          Vec<T> v[kTogether<T>] = {};
          for (int64_t t = 0; t < steps; t++) {
            for (int64_t i = 0; i < count; i++) step(t, c + i * kLanes<T>, n, v[i]);
          }
        });
      }
    }
  });
}

template <class T, class C>
void fire(const Call& call, const C& current) {
  const double* attributes = call.attributes;
  const double decay = decayOf(call.tensors[10], attributes[0], sizeof(T) == 8);
  const LifNeuron<T, false, false> neuron(decay, attributes[1], attributes[2], false);
  if constexpr (sizeof(T) == 4 && SPIKELOOM_LEVEL_NOW > 0) {
    const bool usual = neuron.vth == T(1) && attributes[3] == 0, gated = call.tensors[6].data != nullptr;
    if (usual && current.T_ == 2) return gated ? fireAll<T, true, 2>(call, current, neuron) : fireAll<T, false, 2>(call, current, neuron);
    if (usual && current.T_ == 4) return gated ? fireAll<T, true, 4>(call, current, neuron) : fireAll<T, false, 4>(call, current, neuron);
  }
  call.tensors[6].data ? fireAll<T, true, 0>(call, current, neuron) : fireAll<T, false, 0>(call, current, neuron);
}

template <class T>
void currentFire(const Call& call) {
  const TensorView* in = call.tensors;
  withCurrent<T>(call, in, in + 3, in[11].dims[0], [&](const auto& current) { fire<T>(call, current); });
}

// Where the sums of a task go: parts[task] = ga of every t, gm, gn, glogit; channelParts[task] = [2][C].
template <class T>
struct FireGradient {
  const TensorView *in, *out;
  const double* attributes;
  const Gate<T> gate;
  T *channelParts, *gF;
  double* parts;
  int64_t width;

  FireGradient(const Call& call, int64_t tasks, int64_t steps, int64_t C)
      : in(call.tensors), out(call.tensors + 14), attributes(call.attributes), gate(call.tensors + 6), gF(as<T>(out[3])), width(steps + 3) {
    channelParts = out[1].data ? scratch<T>(call, 0, 0, tasks * 2 * C) : nullptr;
    parts = scratch<double>(call, 0, 1, tasks * width);
  }
};

// A vector for each step: in registers where the number of steps is known when compiled, else in `room`.
template <class T, int kSteps>
struct PerStep {
  Vec<T> at[kSteps] = {};
  void rest(Vec<T>*) {}
};
template <class T>
struct PerStep<T, 0> {
  Vec<T>* at;
  void rest(Vec<T>* room) { at = room; }
};

// Room for the vectors that wait for the way back, [step][kTogether], the sums over the block, and each pixel's sum over
// steps, whose lanes are added up at the end: there the sums of several pixels are under way at once.
template <class T>
struct Waiting {
  Vec<T> *u, *x, *d, *q, *ga, *r;
  Vec<T> logit{};

  Waiting(const Call& call, int thread, int64_t steps, int64_t pixels) {
    const int64_t size = steps * kTogether<T>;
    u = scratch<Vec<T>>(call, thread, 3, 3 * size + 2 * steps + pixels);
    x = u + size;
    d = x + size;
    q = d + size;
    ga = q + steps;
    r = ga + steps;
    std::fill(ga, ga + steps, Vec<T>{});
  }
};

// The gradient at one pixel. kSteps: 0, or the number of steps, and then the neuron is the usual one: a vth of 1, a
// hard reset that is not detached, gentleTanh as its surrogate, no logit, and gs rests as y does.
template <class T, class S, bool kGated, int kSteps, class Pixel>
struct PixelGradient {
  static constexpr bool kUsual = kSteps > 0;
  // Vectors of channels that are computed side by side, so that their long chains of dependent operations overlap.
  static constexpr int kSide = SPIKELOOM_LEVEL_NOW >= 2 ? 8 / std::max(1, kSteps) : 4 / std::max(1, kSteps);
  using Steps = PerStep<T, kSteps>;
  Pixel pixel;
  LifLanes<T, kUsual> neuron;
  const SurrogateLanes<T>& surrogate;
  const uint32_t* s;
  const void* gs;
  S* g;
  const T *mean, *factor;
  T *sums, *products;
  int64_t steps, stepWords, stepSize;
  bool gsRounded;  // gs rests as bf16
  Waiting<T>& wait;
  bool logit;

  Vec<T> arrived(int64_t t, int64_t c, int n) const {
    const int64_t at = t * stepSize + c;
    if constexpr (kUsual) return loadLanes<T>(static_cast<const S*>(gs) + at, n);
    if constexpr (sizeof(T) == 4) {
      if (gsRounded) return loadLanes<T>(static_cast<const Bf16*>(gs) + at, n);
    }
    return loadLanes<T>(static_cast<const T*>(gs) + at, n);
  }
  // What arrives and leaves at c.
  void fetch(int64_t t, int64_t c) const {
    const int64_t at = t * stepSize + c;
    __builtin_prefetch(gsRounded ? static_cast<const void*>(static_cast<const Bf16*>(gs) + at) : static_cast<const T*>(gs) + at);
    if (g) __builtin_prefetch(g + at, 1);
  }
  uint32_t firedAt(int64_t t, int64_t c) const { return laneMask<T>(s + t * stepWords, c); }

  // A step: u, x and the membrane behind it.
  template <class N>
  __attribute__((always_inline)) void charge(int64_t t, int64_t c, N n, Vec<T>& u, Vec<T>& x, Vec<T>& v) const {
    if constexpr (!kUsual) pixel.fetch(t, c + kAhead);
    Vec<T> i = pixel.at(t, c, n);
    if constexpr (kGated) {
      x = i;
      i = i * splat(factor[t]);
    }
    u = neuron.charge(v, i);
    v = neuron.reset(u, firedAt(t, c));
  }

  // What a step hands back in time, and the sums over the steps of g and g (y - mean).
  struct Back {
    Vec<T> G{}, sum{}, product{};
  };

  // A step back; d is ds/du, and q gathers gu x. Returns gu.
  template <class N>
  __attribute__((always_inline)) Vec<T> back(int64_t t, int64_t c, N n, const Vec<T>& u, const Vec<T>& x, const Vec<T>& d, Back& to,
                                             Vec<T>& q) const {
    if constexpr (!kUsual) fetch(t, c + kAhead);
    const bool isLast = t == (kUsual ? kSteps : steps) - 1;
    const Vec<T> gu = isLast ? arrived(t, c, n) * d : neuron.gradient(arrived(t, c, n), to.G, u, firedAt(t, c), d);
    to.G = neuron.decay * gu;
    Vec<T> gy = gu;
    if constexpr (kGated) {
      q += gu * x;
      gy = gu * splat(factor[t]);
    }
    if (g) storeLanes<T>(g + t * stepSize + c, gy, n);
    const Vec<T> along = gy * (pixel.raw(t, c, n) - loadLanes<T>(mean + c, n));
    to.sum = isLast ? gy : to.sum + gy;
    to.product = isLast ? along : to.product + along;
    return gu;
  }

  template <class N>
  __attribute__((always_inline)) void addSums(int64_t c, N n, const Back& from) const {
    if (sums == nullptr) return;
    storeLanes<T>(sums + c, loadLanes<T>(sums + c, n) + from.sum, n);
    storeLanes<T>(products + c, loadLanes<T>(products + c, n) + from.product, n);
  }

  // Vectors of the usual neuron: everything rests in registers.
  template <int kVectors, class N>
  __attribute__((always_inline)) void vectors(int64_t c, N n, Steps& q) const {
    constexpr int kCount = kVectors * kSteps;
    Vec<T> u[kCount], x[kCount], d[kCount];
    unrolled<kVectors>([&](auto i) __attribute__((always_inline)) {
      Vec<T> v{};
      unrolled<kSteps>([&](auto t) __attribute__((always_inline)) { charge(t, c + i * kLanes<T>, n, u[i * kSteps + t], x[i * kSteps + t], v); });
    });
    unrolled<kCount>([&](auto k) __attribute__((always_inline)) { d[k] = neuron.distance(u[k]); });
    surrogate.gentleTanh(d);
    unrolled<kVectors>([&](auto i) __attribute__((always_inline)) {
      Back to;
      unrolled<kSteps>([&](auto k) __attribute__((always_inline)) {
        constexpr int kT = kSteps - 1 - k, kAt = i * kSteps + kT;
        back(kT, c + i * kLanes<T>, n, u[kAt], x[kAt], d[kAt], to, q.at[kT]);
      });
      addSums(c + i * kLanes<T>, n, to);
    });
  }

  // A run of vectors of any neuron, over any number of steps.
  template <class N>
  __attribute__((always_inline)) void run(int64_t c, N n, int64_t count, Steps& q) const {
    Vec<T> v[kTogether<T>] = {};
    for (int64_t t = 0, at = 0; t < steps; t++) {
      for (int64_t i = 0; i < count; i++, at++) charge(t, c + i * kLanes<T>, n, wait.u[at], wait.x[at], v[i]);
    }
    for (int64_t k = 0; k < steps * count; k++) wait.d[k] = neuron.distance(wait.u[k]);
    surrogate.derivatives(wait.d, steps * count);
    Back to[kTogether<T>];
    for (int64_t t = steps - 1; t >= 0; t--) {
      for (int64_t i = 0; i < count; i++) {
        const int64_t at = t * count + i, channel = c + i * kLanes<T>;
        const Vec<T> gu = back(t, channel, n, wait.u[at], wait.x[at], neuron.perVth(wait.d[at]), to[i], q.at[t]);
        if (logit && t > 0) wait.logit += gu * neuron.reset(wait.u[at - count], firedAt(t - 1, channel));
      }
    }
    for (int64_t i = 0; i < count; i++) addSums(c + i * kLanes<T>, n, to[i]);
  }

  // All channels; q[t] gathers the sum of gu x.
  void channels(int64_t C, Steps& q) const {
    if constexpr (!kUsual) {
      eachRun<T>(C, [&](int64_t c, auto n, int64_t count) __attribute__((always_inline)) { run(c, n, count, q); });
    } else {
      constexpr int kStride = kSide * kLanes<T>;
      int64_t c = 0;
      for (; c + kStride <= C; c += kStride) vectors<kSide>(c, std::integral_constant<int, kLanes<T>>{}, q);
      for (; c + kLanes<T> <= C; c += kLanes<T>) vectors<1>(c, std::integral_constant<int, kLanes<T>>{}, q);
      if (c < C) vectors<1>(c, static_cast<int>(C - c), q);
    }
  }
};

template <class T, class S, bool kGated, int kSteps, class C>
void fireBlock(const Call& call, const FireGradient<T>& all, const C& current, const Blocks& blocks, int64_t task, int thread,
               const LifLanes<T, (kSteps > 0)>& neuron, const SurrogateLanes<T>& surrogate) {
  const int64_t steps = kSteps ? kSteps : current.T_, b = blocks.b(task), begin = blocks.begin(task), end = blocks.end(task);
  const int64_t channels = current.C, pixels = current.B * current.P;
  const Room<T> room(call, thread, blocks.size, steps);
  Waiting<T> wait(call, thread, steps, blocks.size);
  T* sums = all.channelParts ? all.channelParts + task * 2 * channels : nullptr;
  if (sums) std::fill(sums, sums + 2 * channels, T(0));
  if constexpr (kGated) {
    all.gate.open(b * current.P + begin, end - begin, room.G, room.k);
    for (int64_t t = 0; t < steps; t++) room.gain[t] = all.gate.gain(t * current.B + b);
  }
  const TensorView& gs = all.in[11];
  const bool gsRounded = gs.dtype == DType::bf16;
  GateSums gates;
  for (int64_t p = begin; p < end; p++) {
    const int64_t first = b * current.P + p, at = first * channels;
    const T k = kGated ? room.k[p - begin] : T(1);
    PerStep<T, kSteps> q;
    q.rest(wait.q);
    if constexpr (kGated) {
      for (int64_t t = 0; t < steps; t++) {
        room.factor[t] = room.gain[t] * k;
        q.at[t] = Vec<T>{};
      }
    }
    using Pixel = typename C::Pixel;
    const PixelGradient<T, S, kGated, kSteps, Pixel> here{
        current.pixel(b, p), neuron, surrogate, as<uint32_t>(all.in[12]) + first * current.words,
        gsRounded ? static_cast<const void*>(as<Bf16>(gs) + at) : as<T>(gs) + at, all.out[0].data ? as<S>(all.out[0]) + at : nullptr,
        as<T>(all.in[13]), room.factor, sums, sums ? sums + channels : nullptr, steps, pixels * current.words, pixels * channels, gsRounded,
        wait, all.out[6].data != nullptr};
    here.channels(channels, q);
    if constexpr (kGated) {
      Vec<T> overTime{};
      for (int64_t t = 0; t < steps; t++) {
        wait.ga[t] += q.at[t] * k;
        overTime += q.at[t] * room.gain[t];
      }
      wait.r[p - begin] = overTime;
    }
  }
  for (int64_t p = begin; kGated && p < end; p++) {
    const double r = static_cast<double>(sumLanes<T>(wait.r[p - begin])), open = static_cast<double>(room.G[p - begin]);
    if (all.gF) all.gF[b * current.P + p] = static_cast<T>(mapSlope(r, static_cast<double>(all.gate.n), open));
    gates.add(r, open);
  }
  double* part = all.parts + task * all.width;
  for (int64_t t = 0; t < steps; t++) part[t] = static_cast<double>(sumLanes<T>(wait.ga[t]));
  part[steps] = gates.m;
  part[steps + 1] = gates.n;
  part[steps + 2] = static_cast<double>(sumLanes<T>(wait.logit));
}

template <class T>
void mergeFireGradient(const Call& call, const FireGradient<T>& all, const Blocks& blocks, int64_t steps, int64_t C) {
  const TensorView* out = all.out;
  if (T* sums = as<T>(out[1])) {
    mergePairs(call, all.channelParts, blocks.tasks(), C, [&](int64_t c, double sum, double product) {
      sums[c] = static_cast<T>(sum);
      sums[C + c] = static_cast<T>(product);
    });
  }
  if (T* ga = as<T>(out[2])) {
    for (int64_t i = 0; i < blocks.B * steps; i++) {
      const int64_t t = i / blocks.B, b = i % blocks.B;
      double sum = 0;
      for (int64_t k = 0; k < blocks.perImage; k++) sum += all.parts[(b * blocks.perImage + k) * all.width + t];
      ga[i] = static_cast<T>(sum);
    }
  }
  double totals[3] = {};
  for (int64_t task = 0; task < blocks.tasks(); task++) {
    for (int i = 0; i < 3; i++) totals[i] += all.parts[task * all.width + steps + i];
  }
  if (out[4].data) *as<T>(out[4]) = static_cast<T>(totals[0]);
  if (out[5].data) *as<T>(out[5]) = static_cast<T>(totals[1]);
  if (out[6].data == nullptr) return;
  *as<T>(out[6]) = static_cast<T>(logitGradient(totals[2], decayOf(all.in[10], 0, sizeof(T) == 8)));
}

template <class T, bool kGated, int kSteps, class S, Residual kResidual>
void fireBlocks(const Call& call, const Current<T, S, kResidual>& current, const LifNeuron<T, false, false>& one,
                const SurrogateLanes<T>& surrogate) {
  const Blocks blocks(current.B, current.P, current.C);
  const FireGradient<T> all(call, blocks.tasks(), current.T_, current.C);
  const LifLanes<T, (kSteps > 0)> neuron(one, call.attributes[3] != 0);
  parallelFor(call, blocks.tasks(), [&](int64_t task, int thread) {
    fireBlock<T, S, kGated, kSteps>(call, all, current, blocks, task, thread, neuron, surrogate);
  });
  mergeFireGradient(call, all, blocks, current.T_, current.C);
}

template <class T, class S, Residual kResidual>
void fireGradient(const Call& call, const Current<T, S, kResidual>& current) {
  const TensorView* in = call.tensors;
  const double* attributes = call.attributes;
  const LifNeuron<T, false, false> neuron(decayOf(in[10], attributes[0], sizeof(T) == 8), attributes[1], attributes[2], attributes[4] != 0);
  const SurrogateLanes<T> surrogate(attributes[5], attributes[6]);
  if constexpr (sizeof(T) == 4 && SPIKELOOM_LEVEL_NOW > 0) {
    const bool usual = neuron.vth == T(1) && attributes[3] == 0 && attributes[4] == 0 && surrogate.isGentleTanh() && in[20].data == nullptr &&
                       in[11].dtype == in[0].dtype;
    const auto known = [&]<bool kGated>(std::bool_constant<kGated>) {
      if (current.T_ == 2) fireBlocks<T, kGated, 2>(call, current, neuron, surrogate);
      else fireBlocks<T, kGated, 4>(call, current, neuron, surrogate);
    };
    if (usual && (current.T_ == 2 || current.T_ == 4)) return in[6].data ? known(std::true_type{}) : known(std::false_type{});
  }
  in[6].data ? fireBlocks<T, true, 0>(call, current, neuron, surrogate) : fireBlocks<T, false, 0>(call, current, neuron, surrogate);
}

template <class T>
void currentFireGrad(const Call& call) {
  const TensorView* in = call.tensors;
  if (in[14].data && in[14].dtype != in[0].dtype) return fail(call, "g has the type of y; make both the same");
  withCurrent<T>(call, in, in + 3, in[12].dims[0], [&](const auto& current) { fireGradient<T>(call, current); });
}

SPIKELOOM_KERNEL(kCurrentFire, currentFire)
SPIKELOOM_KERNEL(kCurrentFireGrad, currentFireGrad)

#include "cpu/level_end.inl"
